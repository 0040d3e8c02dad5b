"""Readers of field logs. ``read_log`` finds the format by looking at the files."""

from __future__ import annotations

from pathlib import Path

from ...common.errors import InputError
from ..fieldlog import FieldLog
from .formats import READERS, Reader
from .opening import head_of
from .options import ReadOptions, load_options
from .sanity import examine

__all__ = [
    "BUNDLED",
    "FORMATS",
    "ReadOptions",
    "bundled_log",
    "detect_format",
    "load_options",
    "read_log",
]

FORMATS: dict[str, str] = {reader.name: reader.what for reader in READERS}
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
    return _detect(Path(path), ReadOptions()).name


def read_log(path: str | Path, robot: str | int | None = None, *, options: ReadOptions | None = None) -> list[FieldLog]:
    """Read all logs in a file or folder, or those of one robot.

    Args:
        path: a file, a folder or the name of a bundled log (``tricycle``).
        robot: its name or number; None reads all.
        options: what the log does not say itself.

    Returns:
        One log for each robot and run, in order. ``log.report`` says what was skipped.

    Raises:
        InputError: nothing there, unknown format, no such robot, or too much of a file is damaged.
    """
    if str(path) in BUNDLED and not Path(path).exists():
        path = bundled_log(str(path))
    path, options = Path(path), options or ReadOptions()
    reader = _named(options.format, path) if options.format is not None else _detect(path, options)
    return [examine(log, options) for log in _read(reader, path, robot, options)]


def _read(reader: Reader, path: Path, robot: str | int | None, options: ReadOptions) -> list[FieldLog]:
    if robot is None:
        return reader.read(path, options)
    if reader.read_robot is not None:
        return reader.read_robot(path, robot, options)
    logs = reader.read(path, options)
    found = [log for log in logs if str(robot) in (log.robot, log.name)]
    if not found:
        names = ", ".join(f"'{name}'" for name in dict.fromkeys(log.robot for log in logs))
        raise InputError(f"no robot '{robot}' in this log", where=str(path), mend=f"the log holds {names}")
    return found


def _named(name: str, path: Path) -> Reader:
    if not path.exists():
        raise _nowhere(path)
    for reader in READERS:
        if reader.name == name:
            return reader
    raise InputError(f"there is no log format '{name}'", where="format", mend=_KNOWN)


def _detect(path: Path, options: ReadOptions) -> Reader:
    if not path.exists():
        raise _nowhere(path)
    if path.is_dir():
        if not any(path.iterdir()):
            raise InputError("the folder is empty", where=str(path), mend=f"give a folder with a log; {_KNOWN}")
        head = b""
    else:
        head = head_of(path)
        if not head.strip():
            raise InputError("the file is empty", where=str(path), mend="copy the file again from its source")
    for reader in READERS:
        if reader.matches(path, head):
            return reader
    if options.columns and path.is_file():
        return _named("csv", path)
    what = "no field log of a known format in this folder" if path.is_dir() else "not a field log of a known format"
    raise InputError(what, where=str(path), mend=_KNOWN)


def _nowhere(path: Path) -> InputError:
    return InputError(
        "no such file or folder", where=str(path), mend=f"check the path, or name a bundled log: {', '.join(BUNDLED)}"
    )
