"""Keeping compiled kernels on disk only as long as what they are made of stays the same.

Numba compiles a cached kernel anew when the file that holds it changes, but not when a function that it calls changes
in another file: after an update of such a file it would go on with the old code. The stamp below covers them all.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

_RELATIVE_IMPORT = re.compile(r"^from (\.+)([\w.]*) import ", re.MULTILINE)


def content_stamp(files: Iterable[str | Path]) -> str:
    """Return 16 hex digits that identify the content of the files, in their order; a missing file counts as empty."""
    digest = hashlib.sha256()
    for file in files:
        path = Path(file)
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()[:16]


@cache
def imported_files(file: str | Path) -> frozenset[Path]:
    """Return a module's file and all files that it imports relatively at its top level, directly or not."""
    found: set[Path] = set()
    waiting = [Path(file).resolve()]
    while waiting:
        path = waiting.pop()
        if path in found or not path.exists():
            continue
        found.add(path)
        for dots, name in _RELATIVE_IMPORT.findall(path.read_text(encoding="utf-8")):
            folder = path.parents[len(dots) - 1]
            target = folder.joinpath(*name.split(".")) if name else folder
            waiting.append(target.with_suffix(".py") if target.with_suffix(".py").exists() else target / "__init__.py")
    return frozenset(found)


@cache
def import_stamp(file: str | Path) -> str:
    """Return the stamp of all that a module is made of: see ``imported_files``."""
    return content_stamp(sorted(imported_files(file)))


def stamped(dispatcher: Any, stamp: str) -> Any:
    """Let a numba dispatcher with ``cache=True`` keep its kernels under ``stamp`` besides numba's own; returns it."""
    # Numba has no public way to add to the stamp; without this attribute its own stamp stays, which is no worse.
    cache_file = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if cache_file is not None and hasattr(cache_file, "_source_stamp"):
        cache_file._source_stamp = (cache_file._source_stamp, stamp)
    return dispatcher
