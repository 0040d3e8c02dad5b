"""Keeping compiled kernels on disk: only as long as what they are made of stays the same, and for all processes.

Numba compiles a cached kernel anew when the file that holds it changes, but not when a function that it calls changes
in another file: after an update of such a file it would go on with the old code. The stamp below covers them all.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

LOCK_FILE = "kernels.lock"
"""Name of the file in a folder of kernels by which processes agree on who compiles which."""
LONGEST_WAIT = 600.0
"""After so many seconds of waiting for another process to compile a kernel it is compiled here too."""
POLL = 0.05
"""Seconds between two looks at whether it has been."""

_RELATIVE_IMPORT = re.compile(r"^from (\.+)([\w.]*) import ", re.MULTILINE)


def content_stamp(files: Iterable[str | Path]) -> str:
    """Return 16 hex digits that identify the content of the files, in their order; a missing file counts as empty."""
    digest = hashlib.sha256()
    for file in files:
        path = Path(file)
        digest.update(path.read_bytes() if path.exists() else b"")
    return digest.hexdigest()[:16]


@cache
def read_module(path: Path) -> tuple[bytes, tuple[Path, ...]]:
    """Return the digest of a module's file and the files that it imports relatively at its top level; read once."""
    content = path.read_bytes()
    imported = []
    for dots, name in _RELATIVE_IMPORT.findall(content.decode()):
        folder = path.parents[len(dots) - 1]
        target = folder.joinpath(*name.split(".")) if name else folder
        imported.append(target.with_suffix(".py") if target.with_suffix(".py").exists() else target / "__init__.py")
    return hashlib.sha256(content).digest(), tuple(file for file in imported if file.exists())


def imported_files(file: str | Path) -> frozenset[Path]:
    """Return a module's file and all files that it imports relatively at its top level, directly or not."""
    found: set[Path] = set()
    waiting = [Path(file).resolve()]
    while waiting:
        path = waiting.pop()
        if path not in found and path.exists():
            found.add(path)
            waiting += read_module(path)[1]
    return frozenset(found)


@cache
def import_stamp(file: str | Path) -> str:
    """Return 16 hex digits that identify the content of all that a module is made of: see ``imported_files``."""
    digest = hashlib.sha256()
    for path in sorted(imported_files(file)):
        digest.update(read_module(path)[0])
    return digest.hexdigest()[:16]


def stamped(dispatcher: Any, stamp: str) -> Any:
    """Let a numba dispatcher with ``cache=True`` keep its kernels under ``stamp`` besides numba's own; returns it."""
    # Numba has no public way to add to the stamp; without this attribute its own stamp stays, which is no worse.
    cache_file = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if cache_file is not None and hasattr(cache_file, "_source_stamp"):
        cache_file._source_stamp = (cache_file._source_stamp, stamp)
    return dispatcher


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a kernel that Python calls: kept on disk, without the interpreter's lock, division as IEEE 754 says.

    It is kept under the stamp of its module; see ``kept``.
    """
    from numba import njit

    return kept(
        njit(cache=True, nogil=True, error_model="numpy")(function), import_stamp(function.__code__.co_filename)
    )


def kept(dispatcher: Any, stamp: str) -> Any:
    """Let a numba dispatcher with ``cache=True`` keep its kernels under a stamp, for all processes; returns it.

    See ``stamped``, ``quickly_loaded`` and ``compiled_once``.
    """
    return compiled_once(quickly_loaded(stamped(dispatcher, stamp)))


def quickly_loaded(dispatcher: Any) -> Any:
    """Let a numba dispatcher with ``cache=True`` load kernels without what only compiling needs; returns it.

    Numba imports all that it can compile (scipy.linalg too) before it loads the first kernel, which takes longer than
    the kernels. They need no more than its runtime; its compiler imports the rest by itself when it is called.
    """
    store: Any = getattr(dispatcher, "_cache", None)
    # As above: where another numba has no such functions, its own way of loading stays.
    if not all(hasattr(store, name) for name in ("_load_overload", "_guard_against_spurious_io_errors")):
        return dispatcher

    def load_overload(signature: Any, target: Any) -> Any:
        from numba.core.runtime import rtsys

        rtsys.initialize(target)
        with store._guard_against_spurious_io_errors():
            return store._load_overload(signature, target)

    store.load_overload = load_overload
    return dispatcher


def compiled_once(dispatcher: Any) -> Any:
    """Let only one of the processes that want the same kernel at the same time compile it; returns the dispatcher.

    The others wait until it is kept on disk. Processes compile parts before wholes, so none waits for one that waits
    for it.
    """
    store: Any = getattr(dispatcher, "_cache", None)
    if not hasattr(store, "load_overload"):
        return dispatcher
    load, compile_here, turns = store.load_overload, dispatcher.compile, []

    def load_overload(signature: Any, target: Any) -> Any:
        kernel, folder = load(signature, target), cache_folder(dispatcher)
        if kernel is None and folder is not None:
            turn = _Turn(folder, f"{dispatcher.py_func.__module__}.{dispatcher.py_func.__qualname__}{signature}")
            turns.append(turn)
            end = time.monotonic() + LONGEST_WAIT
            while not turn.begin() and kernel is None and time.monotonic() < end:
                time.sleep(POLL)
                kernel = load(signature, target)
            kernel = kernel or load(signature, target)  # The last turn may have ended since.
        return kernel

    def compile_kernel(signature: Any) -> Any:
        from numba.core.compiler_lock import global_compiler_lock

        with global_compiler_lock:
            before = len(turns)
            try:
                return compile_here(signature)
            finally:
                while len(turns) > before:
                    turns.pop().end()

    store.load_overload, dispatcher.compile = load_overload, compile_kernel
    return dispatcher


class _Turn:
    """The turn to compile a kernel, by name: a lock on one byte of a file that all processes share.

    Such a lock is a process's own: it ends with the process, and never keeps the process itself waiting.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._begun = folder, False
        self._place = int.from_bytes(hashlib.sha256(name.encode()).digest()[:7])

    def begin(self) -> bool:
        """Take the turn if no other process has it; True also where processes cannot agree on turns."""
        try:
            import fcntl

            self._folder.mkdir(parents=True, exist_ok=True)
            file = _lock_file(self._folder / LOCK_FILE)
        except (ImportError, OSError):
            return True
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self._place)
        except OSError as error:
            return error.errno not in (errno.EACCES, errno.EAGAIN)
        self._begun = True
        return True

    def end(self) -> None:
        """Give the turn up."""
        if self._begun:
            import fcntl

            with contextlib.suppress(OSError):
                fcntl.lockf(_lock_file(self._folder / LOCK_FILE), fcntl.LOCK_UN, 1, self._place)


@cache
def _lock_file(path: Path) -> int:
    """Return a file's descriptor; opened once and never closed, as closing would end all locks on the file."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def is_kept(dispatcher: Any) -> bool:
    """Return whether numba keeps any kernel of a dispatcher under its present stamp."""
    index = getattr(getattr(getattr(dispatcher, "_cache", None), "_cache_file", None), "_load_index", None)
    return bool(index is not None and index())


def cache_folder(dispatcher: Any) -> Path | None:
    """Return the folder that numba keeps a dispatcher's kernels in, or None if it keeps none."""
    folder = getattr(getattr(dispatcher, "stats", None), "cache_path", None)
    return Path(folder) if folder is not None else None
