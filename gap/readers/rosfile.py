"""What the readers of bag files share: a file read once from front to back, its channels, and what was lost of it.

No index is ever needed: the files are read in order, so that one without its end (the recorder was killed, the disk
was full) reads as any other, and memory stays bounded by the largest chunk.
"""

from __future__ import annotations

import bz2
import hashlib
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from ...common.errors import InputError
from .opening import GZIP

MAX_CHUNK = 1 << 30
"""Bytes of the largest record that is held in memory; greater ones are passed over and counted."""
_BLOCK = 1 << 22
_PIECE = 1 << 20
_CRUMB = 1 << 9
"""Bytes at a time of a chunk whose end is missing: the last piece before the gap is lost."""
MAX_STAMP = 1 << 62
"""Greater stamps [ns] are damage: the year 2116."""

Sink = Callable[[int, memoryview], None]
"""Takes the receive stamp [ns] and the bytes of one message."""


@dataclass(frozen=True)
class Channel:
    """One topic of one publisher.

    Attributes:
        topic: its name.
        msgtype: as ROS 2 writes it, ``sensor_msgs/msg/LaserScan``; other schemas by their own name.
        encoding: of the messages: ``ros1``, ``cdr``, ``json`` or ``protobuf``.
        definition: the schema as the file holds it; empty where it holds none.
        definition_format: ``ros1msg``, ``ros2msg``, ``ros2idl``, ``jsonschema``, ``protobuf`` or empty.
        digest: ROS 1: MD5 of the definition; empty elsewhere.
    """

    topic: str
    msgtype: str
    encoding: str
    definition: bytes = b""
    definition_format: str = ""
    digest: str = ""


@dataclass
class Stream:
    """A channel while its file is read: who takes its messages (None: nobody), and how many there were."""

    channel: Channel
    sink: Sink | None
    count: int = 0


OpenChannel = Callable[[Channel], Stream]
"""Called once for each channel of a file, before its first message."""


@dataclass
class Damage:
    """One kind of loss: how often, and the first byte of the file that shows it."""

    count: int
    first_byte: int


@dataclass
class Account:
    """What became of one file.

    Attributes:
        path: of the file.
        size: bytes.
        sha256: of all bytes; set when the file has been read.
        read: bytes of whole records.
        damage: losses by kind.
        cut: how the file ends before its end, in words; empty for a whole file.
        first_ns: receive stamp of the first message read.
        last_ns: of the latest; tells real records from noise after damage.
    """

    path: Path
    size: int = 0
    sha256: str = ""
    read: int = 0
    damage: dict[str, Damage] = field(default_factory=dict)
    cut: str = ""
    first_ns: int = 0
    last_ns: int = 0

    def seen(self, stamp: int) -> None:
        """Note the receive stamp of a message [ns]."""
        self.last_ns = stamp
        if not self.first_ns:
            self.first_ns = stamp

    def lose(self, kind: str, at: int) -> None:
        """Count a loss of a kind that shows at a byte."""
        self.damage.setdefault(kind, Damage(0, at)).count += 1


class CutError(Exception):
    """The file ends within a record."""


class ByteSource:
    """Bytes from front to back, hashed on the way. ``position`` counts from the first byte."""

    def __init__(self, file: IO[bytes] | None, size: int, data: bytes = b"") -> None:
        """Read ``size`` bytes from ``file``, or ``data`` alone."""
        self._file, self._data, self._view = file, data, memoryview(data)
        self._base = self._at = 0
        self._hash = hashlib.sha256()
        self._hashed = 0
        self._size = size

    @property
    def position(self) -> int:
        """Bytes passed so far."""
        return self._base + self._at

    @property
    def remaining(self) -> int:
        """Bytes to come."""
        return self._size - self._base - self._at

    def available(self, count: int) -> bool:
        """Tell whether so many bytes are still to come, and have them ready."""
        if len(self._data) - self._at >= count:
            return True
        if self._file is None or count > self.remaining:
            return False
        while len(self._data) - self._at < count:
            more = self._file.read(max(_BLOCK, min(count - (len(self._data) - self._at), 16 * _BLOCK)))
            if not more:
                return False
            self._digest(self._base + len(self._data), more)
            self._base += self._at
            self._data = self._data[self._at :] + more
            self._view, self._at = memoryview(self._data), 0
        return True

    def peek(self, count: int) -> memoryview:
        """Return the next bytes without passing them: as many as there are, at most ``count``."""
        self.available(min(count, self.remaining))
        return self._view[self._at : self._at + count]

    def take(self, count: int) -> memoryview:
        """Return the next bytes and pass them.

        Raises:
            CutError: there are not so many; nothing is passed.
        """
        at = self._at
        if len(self._data) - at < count:
            if not self.available(count):
                raise CutError
            at = self._at
        self._at = at + count
        return self._view[at : at + count]

    def skip(self, count: int) -> None:
        """Pass bytes without holding them.

        Raises:
            CutError: there are not so many.
        """
        if count > self.remaining:
            raise CutError
        ready = len(self._data) - self._at
        while count > ready:
            count -= ready
            self._at = len(self._data)
            if not self.available(1):
                raise CutError
            ready = len(self._data) - self._at
        self._at += count

    def search(self, pattern: re.Pattern[bytes], check: Callable[[memoryview], bool], reach: int = 256) -> bool:
        """Pass bytes up to the next place that matches a pattern and a closer look at ``reach`` bytes from there."""
        while True:
            self.available(min(_BLOCK, self.remaining))
            window = self._data
            last = len(window) - reach if self.remaining > len(window) - self._at else len(window)
            for match in pattern.finditer(window, self._at):
                if match.start() > last:
                    break
                if check(self._view[match.start() : match.start() + reach]):
                    self._at = match.start()
                    return True
            self._at = max(self._at, last)
            if not self.available(reach + 1):
                self._at = len(self._data)
                return False

    def rewind(self, position: int) -> None:
        """Go back to an earlier position."""
        if self._file is not None and position < self._base:
            self._file.seek(position)
            self._base, self._data, self._view, self._at = position, b"", memoryview(b""), 0
        else:
            self._at = position - self._base

    def finish(self) -> str:
        """Read what is left, for the hash alone, and return the SHA-256 of all bytes as hex digits."""
        if self._file is None:
            return ""
        offset = self._base + len(self._data)
        while more := self._file.read(_BLOCK):
            self._digest(offset, more)
            offset += len(more)
        return self._hash.hexdigest()

    def _digest(self, offset: int, more: bytes) -> None:
        """Hash bytes that stand at an offset, unless they have been hashed before a step back."""
        fresh = offset + len(more) - self._hashed
        if fresh > 0:
            self._hash.update(memoryview(more)[len(more) - fresh :])
            self._hashed = offset + len(more)


class RecordScan(ABC):
    """Reads records one after the other, and takes up reading again after damage.

    Attributes:
        account: what was read and what was lost.
        ended: set by who reads a record that ends the file.
    """

    pattern: re.Pattern[bytes]
    """How a record begins that reading may take up again at."""

    def __init__(self, account: Account) -> None:
        self.account = account
        self.ended = False

    def read_records(self, source: ByteSource, chunk_at: int | None) -> None:
        """Read records to the end; ``chunk_at`` is the place of a chunk that was unpacked, None at the file's level."""
        while source.remaining > 0 and not self.ended:
            start = source.position
            at = start if chunk_at is None else chunk_at
            try:
                sound = self.read_record(source, at)
            except CutError:
                sound = False
            if sound:
                if chunk_at is None:
                    self.account.read += source.position - start
                continue
            if not self._take_up(source, start, at, chunk_at is None):
                return

    def _take_up(self, source: ByteSource, start: int, at: int, outer: bool) -> bool:
        """After damage: pass to the next record that makes sense. False if the file ends here."""
        source.rewind(start + 1)
        if source.search(self.pattern, self.is_plausible):
            self.account.lose("stretch of damaged bytes, passed over", at)
            return True
        if outer:
            self.account.cut = f"it breaks off within a record ({self.account.size - start} bytes of it are left)"
        return False

    @abstractmethod
    def read_record(self, source: ByteSource, at: int) -> bool:
        """Read one record; False if what stands here is none. ``at``: the byte of the file that damage is told of."""

    @abstractmethod
    def is_plausible(self, view: memoryview) -> bool:
        """Tell whether bytes that begin like a record make sense as one."""


def unpack(codec: str, packed: memoryview, size: int, *, partial: bool = False) -> bytes:
    """Decompress a chunk.

    Args:
        codec: ``bz2``, ``lz4`` (frames) or ``zstd``.
        packed: the compressed bytes.
        size: bytes they should give; 0 for unknown.
        partial: return what the beginning gives, where the end is missing.

    Raises:
        ValueError: unknown codec, damaged or cut bytes (unless ``partial``), or not ``size`` bytes.
    """
    if size > MAX_CHUNK:
        raise ValueError(f"a chunk of {size >> 20} MiB, over the limit of {MAX_CHUNK >> 20} MiB")
    limit = size or MAX_CHUNK
    pieces: list[bytes] = []
    try:
        for piece in _pieces(codec, packed, _CRUMB if partial else _PIECE):
            pieces.append(piece)
            limit -= len(piece)
            if limit < 0:
                break
    except (OSError, EOFError, ValueError) as error:
        if not partial:
            raise ValueError(str(error)) from error
    data = b"".join(pieces)
    if not partial and (limit < 0 or (size and len(data) != size)):
        raise ValueError(f"the chunk unpacks to {len(data)} bytes in place of {size}")
    return data[:size] if size else data


def _pieces(codec: str, packed: memoryview, length: int) -> Iterator[bytes]:
    """Yield decompressed pieces of at most ``length`` bytes."""
    if codec == "bz2":
        unpacker = bz2.BZ2Decompressor()
        yield unpacker.decompress(packed, length)
        while not (unpacker.eof or unpacker.needs_input):
            yield unpacker.decompress(b"", length)
        if not unpacker.eof:
            raise ValueError("the compressed bytes end too soon")
        return
    if codec not in ("lz4", "zstd"):
        raise ValueError(f"unknown compression '{codec}'")
    import pyarrow  # large; wanted for compressed bags only

    with pyarrow.CompressedInputStream(pyarrow.py_buffer(packed), codec) as stream:
        while piece := stream.read(length):
            yield piece


def open_source(path: Path, account: Account) -> tuple[IO[bytes], ByteSource]:
    """Open a file to be read from front to back.

    Raises:
        InputError: it cannot be read or is empty.
    """
    try:
        file = path.open("rb")
        account.size = path.stat().st_size
    except OSError as error:
        raise InputError(
            f"cannot read the file: {error.strerror or error}", where=str(path), mend="check the path and its mode"
        ) from error
    if account.size == 0:
        file.close()
        raise InputError("the file is empty", where=str(path), mend="copy the file again from its source")
    source = ByteSource(file, account.size)
    if bytes(source.peek(2)) == GZIP:
        file.close()
        raise InputError("the bag is packed with gzip", where=str(path), mend="unpack it first, with gunzip")
    return file, source
