"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .errors import InputError, OutputError


@contextlib.contextmanager
def whole_file(path: str | Path, *, suffix: str = ".part") -> Iterator[Path]:
    """Give a temporary neighbour to write to; it takes the file's place once the block ends without an error.

    Args:
        path: the file to be.
        suffix: of the neighbour, for writers that tell a format by it.

    Raises:
        OutputError: the folder cannot be written or the disk is full; the old file, if any, is untouched.
    """
    path = Path(path)
    with explained_os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=suffix)
        os.close(handle)
        try:
            yield Path(name)
            with open(name, "rb+") as file:
                os.fsync(file.fileno())
            os.chmod(name, 0o644)
            os.replace(name, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(name)
            raise


def write_bytes_atomic(path: str | Path, data: bytes) -> None:
    """Write a file through a temporary neighbour and a rename, so that a reader never sees half of it.

    Raises:
        OutputError: the folder cannot be written or the disk is full; the old file, if any, is untouched.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


def write_text_atomic(path: str | Path, text: str) -> None:
    """Write UTF-8 text as ``write_bytes_atomic`` does."""
    write_bytes_atomic(path, text.encode())


def write_json_atomic(path: str | Path, value: Any, *, indent: int | None = 2) -> None:
    """Write JSON with sorted keys, whole or not at all; NaN and infinity are refused (JSON has neither)."""
    write_text_atomic(path, json.dumps(value, indent=indent, sort_keys=True, allow_nan=False) + "\n")


@contextlib.contextmanager
def explained_os_errors(path: str | Path) -> Iterator[None]:
    """Turn the operating system's write errors into an OutputError that names the path and what to do."""
    try:
        yield
    except OSError as error:
        if isinstance(error, InputError):
            raise
        mends = {
            28: "free some space or give another --out",
            122: "your disk quota is used up: free some space or give another --out",
            30: "the file system is read-only: give another --out",
            13: "check the folder's owner and mode, or give another --out",
            20: "a part of the path is a file: give another --out",
            17: "a file of that name is in the way: give another --out",
        }
        raise OutputError(
            f"cannot write: {error.strerror or error}", where=str(path), mend=mends.get(error.errno or 0)
        ) from error
