"""Opening log files: plain or gzip, whole or cut off, never more of them in memory than asked for."""

from __future__ import annotations

import zlib
from pathlib import Path

from ...common.errors import InputError

HEAD = 65536
"""Bytes that a format is recognised by."""
GZIP = b"\x1f\x8b"


def head_of(path: Path, size: int = HEAD) -> bytes:
    """Return the first bytes of a file, of its content if it is a gzip file (cut off or not).

    Raises:
        InputError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(size)
    except OSError as error:
        raise InputError(f"cannot read the file: {error.strerror or error}", where=str(path)) from error
    if not head.startswith(GZIP):
        return head
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, size)
    except zlib.error as error:
        raise InputError(
            f"the file begins like gzip but does not unpack: {error}",
            where=str(path),
            mend="copy the file again from its source",
        ) from error
