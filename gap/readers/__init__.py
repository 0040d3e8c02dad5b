"""Readers of field logs. ``read_log`` finds the format by looking at the files."""

from __future__ import annotations

from pathlib import Path

from ...common.errors import InputError
from ..fieldlog import FieldLog
from .mrclam import read_mrclam, robots_in
from .tricycle import looks_like_tricycle, read_tricycle

FORMATS: dict[str, str] = {
    "mrclam": "a folder with RobotN_Odometry.dat and RobotN_Groundtruth.dat",
    "tricycle": "a text file of 'time: ticks: model_pose: tracker_pose:' records",
}
"""Known formats and what they look like."""
BUNDLED = ("tricycle",)
"""Logs that come with the package, by name."""
_KNOWN = "known formats: " + "; ".join(f"{name}: {what}" for name, what in FORMATS.items())


def bundled_log(name: str) -> Path:
    """Return the path of a log that comes with the package.

    Raises:
        InputError: no log of that name.
    """
    if name not in BUNDLED:
        raise InputError(f"no bundled log '{name}'", mend=f"bundled logs: {', '.join(BUNDLED)}")
    return Path(__file__).resolve().parents[2] / "assets" / "fieldlogs" / name / "dataset.txt"


def detect_format(path: str | Path) -> str:
    """Return the format's name (a key of ``FORMATS``) of a file or folder.

    Raises:
        InputError: nothing there, an empty folder or file, or no known format.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(
            "no such file or folder", where=str(path), mend=f"check the path, or name a bundled log: {BUNDLED}"
        )
    if path.is_dir():
        if not any(path.iterdir()):
            raise InputError("the folder is empty", where=str(path), mend=f"give a folder with a log; {_KNOWN}")
        if robots_in(path):
            return "mrclam"
        if _tricycle_file(path) is not None:
            return "tricycle"
        raise InputError("no field log of a known format in this folder", where=str(path), mend=_KNOWN)
    head = _head(path)
    if not head.strip():
        raise InputError("the file is empty", where=str(path), mend="copy the file again from its source")
    if looks_like_tricycle(head):
        return "tricycle"
    raise InputError("not a field log of a known format", where=str(path), mend=_KNOWN)


def read_log(path: str | Path, robot: str | int | None = None) -> list[FieldLog]:
    """Read the logs of all robots in a file or folder, or of one.

    Args:
        path: a file, a folder or the name of a bundled log (``tricycle``).
        robot: its name or number; None reads all.

    Returns:
        One log for each robot, in order. ``log.report`` says what was skipped.

    Raises:
        InputError: nothing there, unknown format, no such robot, or too much of a file is damaged.
    """
    if str(path) in BUNDLED and not Path(path).exists():
        path = bundled_log(str(path))
    path = Path(path)
    if detect_format(path) == "mrclam":
        return read_mrclam(path, None if robot is None else _number(robot))
    log = read_tricycle(path if path.is_file() else _tricycle_file(path) or path)
    if robot is not None and str(robot) != log.robot:
        raise InputError(f"no robot '{robot}' in this log", where=str(path), mend=f"the log holds '{log.robot}'")
    return [log]


def _number(robot: str | int) -> int:
    digits = str(robot).lower().removeprefix("robot").strip("_ ")
    if not digits.isdecimal():
        raise InputError(f"'{robot}' names no robot", mend="give its number, for example 4 or robot4")
    return int(digits)


def _tricycle_file(folder: Path) -> Path | None:
    for candidate in sorted(folder.glob("*.txt")):
        if candidate.is_file() and looks_like_tricycle(_head(candidate)):
            return candidate
    return None


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(65536)
    except OSError as error:
        raise InputError(f"cannot read the file: {error.strerror or error}", where=str(path)) from error
