"""Readers of field logs. ``read_log`` finds the format by looking at the files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from ...common.errors import InputError
from ..fieldlog import FieldLog, Finding, LogReport
from .formats import READERS, Reader
from .opening import head_of
from .options import ReadOptions, load_options
from .parts import Part, Unread, all_of, each_of
from .sanity import examine

__all__ = [
    "BUNDLED",
    "FORMATS",
    "ReadOptions",
    "Unread",
    "bundled_log",
    "detect_format",
    "load_options",
    "read_each",
    "read_log",
]

FORMATS: dict[str, str] = {reader.name: reader.what for reader in READERS}
"""Known formats and what they look like."""
BUNDLED = ("tricycle",)
"""Logs that come with the package, by name."""
_FOLDER = "folder"
"""Name of the format that a folder of logs counts as."""
_BAGS = ("rosbag", "mcap")
"""Formats that are read together from one folder."""
_LOOKED_AT = 5000
"""Entries of a folder that are looked at for logs."""
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
    path, options = _located(path), options or ReadOptions()
    reader = _reader_of(path, options)
    logs = [examine(log, options) for log in _read(reader, path, robot, options)]
    return _with_unread(logs, path, reader)


def read_each(path: str | Path, *, options: ReadOptions | None = None) -> Iterator[FieldLog | Unread]:
    """Read the logs in a file or folder as ``read_log`` does, but one recording after the other.

    Yields:
        The logs, and in the place of a recording that cannot be read what was wrong with it. No more than one
        recording's logs are held.

    Raises:
        InputError: nothing there, or unknown format; of a single recording whatever ``read_log`` raises.
    """
    path, options = _located(path), options or ReadOptions()
    reader = _reader_of(path, options)
    parts = reader.parts(path) if reader.parts is not None else []
    if not parts:
        yield from read_log(path, options=options)
        return
    for item in each_of(parts, options):
        yield item if isinstance(item, Unread) else examine(item, options)


def _located(path: str | Path) -> Path:
    return bundled_log(str(path)) if str(path) in BUNDLED and not Path(path).exists() else Path(path)


def _reader_of(path: Path, options: ReadOptions) -> Reader:
    return _named(options.format, path) if options.format is not None else _detect(path, options)


def _with_unread(logs: list[FieldLog], path: Path, reader: Reader) -> list[FieldLog]:
    """Note logs of other formats that lie beside those that were read: a folder is read as one format."""
    if not path.is_dir() or reader.name in ("stored", _FOLDER) or not logs:
        return logs
    read = {Path(item.path).name for log in logs for item in log.report.files}
    own = _BAGS if reader.name in _BAGS else (reader.name,)
    beside = [(file, name) for file, name in _logs_in(path) if name not in own and file.name not in read]
    if not beside:
        return logs
    told = f"{_listed(beside)} beside it not read: a folder is read as one format ({reader.name} here)"
    first, *others = logs[0].report.files
    report = LogReport((replace(first, notes=(*first.notes, Finding(told, len(beside), 1))), *others))
    return [replace(logs[0], report=report), *logs[1:]]


def _logs_in(folder: Path, *, folders: bool = False) -> list[tuple[Path, str]]:
    """Return the log files right in a folder, the folders that are logs too if wanted, with their formats."""
    found = []
    for entry in sorted(folder.iterdir())[:_LOOKED_AT]:
        # What cannot be looked into is no log that anybody misses.
        with contextlib.suppress(InputError, OSError):
            if entry.is_file() or (folders and entry.is_dir() and not entry.name.startswith(".")):
                name = _detect(entry, ReadOptions()).name
                found += [(entry, name)] if name != _FOLDER else []
    return found


def _folder_parts(folder: Path) -> list[Part]:
    entries = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    return [Part(entry, partial(_read_entry, entry)) for entry in entries]


def _read_folder(folder: Path, options: ReadOptions) -> list[FieldLog]:
    return all_of(_folder_parts(folder), folder, options)


def _read_entry(entry: Path, options: ReadOptions) -> list[FieldLog]:
    """Read one log of a folder; its name tells the runs of a robot that is in several."""
    stem = entry.name.partition(".")[0]
    reader = _reader_of(entry, options)
    if reader.name == _FOLDER:
        raise InputError("a folder of logs within a folder of logs", where=str(entry), mend="give it by itself")
    logs = reader.read(entry, options)
    return [log if log.robot == stem else replace(log, run=f"{stem}_{log.run}" if log.run else stem) for log in logs]


def _listed(files: list[tuple[Path, str]]) -> str:
    told = ", ".join(f"{file.name} ({name})" for file, name in files[:5])
    return told + (f" and {len(files) - 5} more" if len(files) > 5 else "")


def _read(reader: Reader, path: Path, robot: str | int | None, options: ReadOptions) -> list[FieldLog]:
    if robot is None:
        return reader.read(path, options)
    if reader.read_robot is not None:
        return reader.read_robot(path, robot, options)
    logs = reader.read(path, options)
    found = [log for log in logs if str(robot) in (log.robot, log.name)]
    if not found:
        known = list(dict.fromkeys(name for log in logs for name in (log.robot, log.name)))
        names = ", ".join(f"'{name}'" for name in known[:8]) + (", ..." if len(known) > 8 else "")
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
    elif not path.is_file():
        raise InputError(
            "this is no file but a pipe or a device, which cannot be read twice",
            where=str(path),
            mend="write it into a file first",
        )
    else:
        head = head_of(path)
        if not head.strip():
            raise InputError("the file is empty", where=str(path), mend="copy the file again from its source")
    for reader in READERS:
        if reader.matches(path, head):
            return reader
    if options.columns and path.is_file():
        return _named("csv", path)
    if path.is_dir():
        if _logs_in(path, folders=True):
            return Reader(_FOLDER, "a folder of logs", lambda path, head: True, _read_folder, parts=_folder_parts)
        raise InputError("this folder is no field log of a known format, and holds none", where=str(path), mend=_KNOWN)
    raise InputError("not a field log of a known format", where=str(path), mend=_KNOWN)


def _nowhere(path: Path) -> InputError:
    return InputError(
        "no such file or folder", where=str(path), mend=f"check the path, or name a bundled log: {', '.join(BUNDLED)}"
    )
