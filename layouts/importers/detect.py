"""Which importer a file is for."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...common.errors import InputError
from .report import Imported

FORMATS: dict[str, tuple[str, str]] = {
    "lif": ("lif", "VDMA LIF 1.0 (.json)"),
    "map_server": ("occupancy_map", "ROS map_server (.yaml with a .pgm or .png)"),
    "grid": ("grid_map", "MovingAI and League of Robot Runners grid (.map)"),
    "rmf": ("rmf", "Open-RMF building (.building.yaml)"),
    "sdf": ("sdf", "SDF world (.world, .sdf)"),
    "dxf": ("dxf", "DXF drawing (.dxf), with the extra dxf"),
}
"""Module and title of each importer by its name; each module has ``import_layout(path, level=None, **options)``."""


def detect_format(path: Path) -> str:
    """Return the name of the format that a file's name, or else its content, tells.

    Raises:
        InputError: none does.
    """
    name = path.name.lower()
    if name.endswith(".building.yaml"):
        return "rmf"
    if name.endswith(".map"):
        return "grid"
    if name.endswith(".dxf"):
        return "dxf"
    if name.endswith((".world", ".sdf")):
        return "sdf"
    if name.endswith((".json", ".lif")):
        return "lif"
    if name.endswith((".yaml", ".yml")):
        return "map_server"
    known = "; ".join(f"{key}: {title}" for key, (_, title) in FORMATS.items())
    raise InputError("the format of the file is not known", where=str(path), mend=f"say it with --format ({known})")


def import_layout(
    path: str | Path, *, format: str | None = None, level: str | None = None, cell_size: float | None = None
) -> Imported:
    """Read a site's own file.

    Args:
        path: the file. format: a key of FORMATS; None: by the file's name. level: the storey or layout to take, where
            the file has several. cell_size: edge of a cell [m] of a grid, which such files do not tell.

    Raises:
        InputError: the file, the format, the level or the cell size cannot be used; says why.
    """
    path = Path(path)
    name = format if format is not None else detect_format(path)
    if name not in FORMATS:
        raise InputError(f"there is no format {name!r}", where="--format", mend=f"one of {', '.join(FORMATS)}")
    if cell_size is not None and name != "grid":
        raise InputError(f"files of the format {name} have no cells to size", where="--cell-size", mend="leave it out")
    module = importlib.import_module(f".{FORMATS[name][0]}", __package__)
    read: Callable[..., Any] = module.import_layout
    found: Imported = read(path, level=level, **({} if cell_size is None else {"cell_size": cell_size}))
    return found
