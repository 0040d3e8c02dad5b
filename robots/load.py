"""Robot types from files: built-in ones by name, or a YAML file of one's own."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

from ..common.config import load_model, parse_yaml, read_text
from ..common.errors import InputError
from .model import RobotModel

ROBOT_FOLDER = Path(__file__).resolve().parent.parent / "assets" / "robots"


def built_in_robots() -> tuple[str, ...]:
    """Return the names of the built-in robots, sorted."""
    return tuple(sorted(path.stem for path in ROBOT_FOLDER.glob("*.yaml")))


def load_robot(name_or_path: str | Path, folder: str | Path = ".") -> RobotModel:
    """Read a robot by built-in name, or from a YAML file: the fields of a ``RobotModel``, or a mapping of a URDF.

    Args:
        name_or_path: a name of ``built_in_robots()``, or a path (anything with a slash or a suffix).
        folder: where a relative path starts.

    Returns:
        The robot. A ``shape`` that stands beside the file is found there.

    Raises:
        InputError: no such robot (the known names are listed), or the file is wrong (every wrong field is listed).
    """
    path = Path(name_or_path)
    if path.name == str(name_or_path) and not path.suffix:
        built_in = ROBOT_FOLDER / f"{name_or_path}.yaml"
        if not built_in.is_file():
            known = built_in_robots()
            close = difflib.get_close_matches(str(name_or_path), known, n=1)
            mend = f"did you mean '{close[0]}'?" if close else f"built-in robots: {', '.join(known)}; or give a file"
            raise InputError(f"no robot named '{name_or_path}'", mend=mend)
        return load_model(built_in, RobotModel)
    file = Path(folder) / path
    if _maps_a_urdf(file):
        from .mapping import load_mapped  # It brings in the simulator, which other robots do without.

        return load_mapped(file).model
    model = load_model(file, RobotModel)
    beside = file.parent / model.shape
    return model.model_copy(update={"shape": str(beside)}) if beside.is_file() else model


def _maps_a_urdf(file: Path) -> bool:
    """Return whether a file is a mapping of a URDF (see ``robots.mapping``), not the fields of a robot."""
    _, content = parse_yaml(read_text(file), str(file))
    return isinstance(content, dict) and "urdf" in content


def _of_name(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return load_robot(value)
    except InputError as error:
        raise ValueError(f"{error.what}; {error.mend}") from error


NamedRobot = Annotated[RobotModel, BeforeValidator(_of_name)]
"""A field for a robot that may also be given by its built-in name."""
