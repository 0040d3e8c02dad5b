"""Folders of many recordings: each is read by itself, and one that cannot be read does not end the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ...common.errors import InputError
from ..fieldlog import FieldLog, Finding, LogReport
from .options import ReadOptions

_NAMED = 20
"""Recordings that could not be read are told one by one, up to so many."""


@dataclass(frozen=True)
class Part:
    """One recording of a folder: its file or folder, and what reads it."""

    path: Path
    read: Callable[[ReadOptions], list[FieldLog]]


@dataclass(frozen=True)
class Unread:
    """A recording that could not be read, and why."""

    path: Path
    error: InputError

    def __str__(self) -> str:
        return f"{self.path.name} left out, as it cannot be read: {str(self.error).splitlines()[0]}"


def each_of(parts: Sequence[Part], options: ReadOptions) -> Iterator[FieldLog | Unread]:
    """Yield the logs of recordings one after the other, so that only one's need be in memory."""
    for part in parts:
        try:
            logs = part.read(options)
        except InputError as error:
            yield Unread(part.path, error)
            continue
        yield from logs


def all_of(parts: Sequence[Part], folder: Path, options: ReadOptions) -> list[FieldLog]:
    """Return all logs of recordings; the first one's report tells which could not be read.

    Raises:
        InputError: none could.
    """
    found = list(each_of(parts, options))
    logs = [item for item in found if isinstance(item, FieldLog)]
    unread = [item for item in found if isinstance(item, Unread)]
    if not logs:
        raise nothing_read(unread, folder)
    if not unread:
        return logs
    notes = [Finding(str(item), 1, 0) for item in unread[:_NAMED]]
    if rest := len(unread) - _NAMED:
        notes += [Finding("more recordings left out, as they cannot be read", rest, 0)] if rest > 0 else []
    first, *others = logs[0].report.files
    report = LogReport((replace(first, notes=(*first.notes, *notes)), *others))
    return [replace(logs[0], report=report), *logs[1:]]


def nothing_read(unread: Sequence[Unread], folder: Path) -> InputError:
    """Return the error of a folder none of whose recordings could be read."""
    if len(unread) == 1:
        return unread[0].error
    told = "; ".join(map(str, unread[:3])) + ("; ..." if len(unread) > 3 else "")
    return InputError(
        f"none of the {len(unread)} recordings can be read: {told}",
        where=str(folder),
        mend="give one of them by name to see more",
    )
