"""Text files as a stream of blocks of whole lines: plain or gzip, of any size, in bounded memory."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.errors import InputError
from .opening import GZIP

BLOCK = 4 << 20
"""Bytes that are read, and characters that are unpacked, at a time."""
MAX_LINE = 64 << 20
"""A longer line [bytes] is no text."""
MAX_TABLE_BYTES = 192 << 20
"""Rows kept of one table take at most so much memory; beyond, every second one is let go (see ``Rows``)."""

_CHUNK = 4096
"""Rows that are moved at a time."""


class LineStream:
    """Iterate over a file's content in blocks of whole lines; only the last may lack its line end.

    Attributes (valid once the iteration ended):
        sha256: of the file's bytes.
        size: bytes of content, unpacked.
        cut: what is wrong with the end of a gzip file, if anything; what unpacked before that was delivered.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sha256 = ""
        self.size = 0
        self.cut: str | None = None

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        for data in self.blocks():
            end = data.rfind(b"\n") + 1
            if end:
                yield rest + data[:end]
                rest = data[end:]
            else:
                rest += data
            if len(rest) > MAX_LINE:
                raise InputError(
                    f"a line is longer than {MAX_LINE >> 20} MiB: this is no text file", where=str(self.path)
                )
        if rest:
            yield rest

    def blocks(self) -> Iterator[bytes]:
        """Yield the content in blocks that end anywhere, without a byte order mark."""
        first = True
        for data in self._content():
            if first:
                data, first = data.removeprefix(b"\xef\xbb\xbf"), False
            self.size += len(data)
            yield data

    def _content(self) -> Iterator[bytes]:
        digest = hashlib.sha256()
        try:
            if self.path.is_dir():
                raise InputError(
                    "a file was expected, this is a folder", where=str(self.path), mend="give the path of a file"
                )
            with self.path.open("rb") as file:
                blocks = _hashed(file, digest)
                start = next(blocks, b"")
                if start.startswith(GZIP):
                    yield from self._unpack(start, blocks)
                    for _ in blocks:
                        pass  # what follows damage belongs to the hash all the same
                else:
                    yield start
                    yield from blocks
        except FileNotFoundError as error:
            raise InputError("no such file", where=str(self.path), mend="check the path") from error
        except PermissionError as error:
            raise InputError("no permission to read the file", where=str(self.path), mend="check its mode") from error
        except OSError as error:
            raise InputError(f"cannot read the file: {error.strerror or error}", where=str(self.path)) from error
        self.sha256 = digest.hexdigest()

    def _unpack(self, data: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        packed = 0
        while data:
            packed += len(data)
            try:
                out = unpacker.decompress(data, BLOCK)
            except zlib.error as error:
                self.cut = f"gzip data damaged ({error}): the content before the damage was used"
                return
            packed -= len(unpacker.unconsumed_tail) + len(unpacker.unused_data)
            if out:
                yield out
            data = unpacker.unconsumed_tail
            if unpacker.eof:
                data = unpacker.unused_data or next(blocks, b"")
                if not data.startswith(GZIP):
                    return  # padding after the last member
                unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
            elif not data:
                data = next(blocks, b"")
        self.cut = f"gzip file cut off after {packed} bytes: what unpacked of it was used"


def _hashed(file: Any, digest: Any) -> Iterator[bytes]:
    while block := file.read(BLOCK):
        digest.update(block)
        yield block


class Rows:
    """Rows of one table as they come, in bounded memory: when it is full, every second row is let go, and from then on
    only every second (fourth, ...) one is taken.

    Attributes:
        limit: rows that it holds at most.
        stride: one row in so many is kept.
        seen: rows that came.
    """

    def __init__(self, columns: int, dtype: Any = np.float64, *, limit: int | None = None) -> None:
        self._columns, self._dtype = columns, np.dtype(dtype)
        self.limit = max(2, limit or MAX_TABLE_BYTES // max(1, columns * self._dtype.itemsize))
        self._table: NDArray[Any] = np.empty((0, columns), dtype=self._dtype)
        self._kept = 0
        self.stride = 1
        self.seen = 0

    def add(self, rows: NDArray[Any]) -> None:
        """Add rows (n, columns)."""
        first = -self.seen % self.stride
        self.seen += len(rows)
        part = rows[first :: self.stride]
        while len(part):
            fits = part[: self.limit - self._kept]
            self._reserve(self._kept + len(fits))
            self._table[self._kept : self._kept + len(fits)] = fits
            self._kept += len(fits)
            part = part[len(fits) :]
            if len(part):
                # The first of the rest is due only if as many rows as are kept are an even number.
                part = part[self._kept % 2 :: 2]
                self._halve()

    def _reserve(self, count: int) -> None:
        # One table that grows in its place: joined of parts, or copied to a larger one, it would be in memory twice.
        if count > len(self._table):
            size = max(2 * len(self._table), count)
            size = self.limit if 2 * size > self.limit else size
            self._table.resize((size, self._columns))

    def _halve(self) -> None:
        kept = (self._kept + 1) // 2
        for start in range(0, kept, _CHUNK):
            end = min(start + _CHUNK, kept)
            self._table[start:end] = self._table[2 * start : 2 * end : 2]
        self._kept = kept
        self.stride *= 2

    def values(self) -> NDArray[Any]:
        """Return the kept rows (n, columns), not to be added to after that."""
        return self._table[: self._kept]
