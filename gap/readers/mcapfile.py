"""MCAP files, read from front to back without their summary.

Format: https://mcap.dev/spec. The summary at the end only serves to seek; a file that has lost it, or that was cut
anywhere, reads up to its last whole message, within a compressed chunk too.
"""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path

from ...common.errors import InputError
from .rosfile import (
    MAX_CHUNK,
    MAX_STAMP,
    Account,
    ByteSource,
    Channel,
    CutError,
    OpenChannel,
    RecordScan,
    Stream,
    open_source,
    unpack,
)

MAGIC = b"\x89MCAP0\r\n"
_HEADER, _FOOTER, _SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END = 1, 2, 3, 4, 5, 6, 15
_LENGTH = struct.Struct("<BQ")
_MESSAGE_HEAD = struct.Struct("<HIQQ")
_CHUNK_HEAD = struct.Struct("<QQQI")
_U16, _U32, _U64 = struct.Struct("<H"), struct.Struct("<I"), struct.Struct("<Q")
_MAX_DEFINITION = 1 << 24
# A chunk, a message, or the end of the data: what reading takes up again at after damage.
_RECORD = re.compile(
    rb"\x06.{5}\x00{3}.{28}(?:\x00{4}|\x03\x00{3}lz4|\x04\x00{3}zstd)|\x05.{4}\x00{4}|\x0f\x04\x00{7}", re.DOTALL
)
_DAY_NS = 86_400_000_000_000


def scan_mcap(path: Path, account: Account, open_channel: OpenChannel) -> str:
    """Read a file and hand every message of an opened channel to its sink, in the order of the file.

    Args:
        path: the file.
        account: filled in with what was read and what was lost.
        open_channel: called for each channel.

    Returns:
        The program that wrote the file, as it says itself.

    Raises:
        InputError: the file cannot be read, or is no MCAP.
    """
    file, source = open_source(path, account)
    with file:
        if bytes(source.peek(len(MAGIC))) != MAGIC:
            raise InputError("not an MCAP file", where=str(path), mend="give a file that begins with '\\x89MCAP0'")
        source.skip(len(MAGIC))
        scan = _Scan(account, open_channel)
        scan.run(source)
        account.sha256 = source.finish()
        file.seek(-min(len(MAGIC), account.size), 2)
        if not account.cut and file.read() != MAGIC:
            account.cut = "its summary breaks off, but all its messages are there"
    return scan.library


class _Fields:
    """Reads the fields of a record one after the other."""

    def __init__(self, view: memoryview) -> None:
        self._view, self._at = view, 0

    def u16(self) -> int:
        (value,) = _U16.unpack_from(self._view, self._at)
        self._at += 2
        return int(value)

    def blob(self) -> bytes:
        (length,) = _U32.unpack_from(self._view, self._at)
        self._at += 4 + length
        if self._at > len(self._view):
            raise ValueError("a field is longer than its record")
        return bytes(self._view[self._at - length : self._at])

    def text(self) -> str:
        return self.blob().decode()


class _Scan(RecordScan):
    pattern = _RECORD

    def __init__(self, account: Account, open_channel: OpenChannel) -> None:
        super().__init__(account)
        self._open_channel = open_channel
        self._schemas: dict[int, tuple[str, str, bytes]] = {}
        self._streams: dict[int, Stream] = {}
        self.library = ""

    def run(self, source: ByteSource) -> None:
        """Read the whole file."""
        self.read_records(source, None)
        if not self.ended and not self.account.cut:
            self.account.cut = "its end is missing"

    def read_record(self, source: ByteSource, at: int) -> bool:
        """Read one record; False if what stands here is none."""
        kind, length = _LENGTH.unpack(source.take(9))
        if kind == _MESSAGE:
            return self._message(source, length, at)
        if kind == _CHUNK:
            return self._chunk(source, length, at)
        if kind in (_SCHEMA, _CHANNEL, _HEADER):
            if length > _MAX_DEFINITION:
                return False
            self._describe(kind, _Fields(source.take(length)), at)
            return True
        if kind == 0 or 0x10 <= kind < 0x80:
            return False  # no such record: these bytes are damaged
        source.skip(length)
        self.ended = kind in (_DATA_END, _FOOTER)
        return True

    def _message(self, source: ByteSource, length: int, at: int) -> bool:
        if length < 22:
            return False
        number, _, stamp, _ = _MESSAGE_HEAD.unpack(source.take(22))
        stream = self._streams.get(number)
        if stream is None or stamp > MAX_STAMP:
            source.skip(length - 22)
            self.account.lose("message of a channel that is not in the file, or with a damaged time", at)
            return True
        if stream.sink is None or length > MAX_CHUNK:
            source.skip(length - 22)
        else:
            stream.sink(stamp, source.take(length - 22))
        stream.count += 1
        self.account.seen(stamp)
        return True

    def _describe(self, kind: int, fields: _Fields, at: int) -> None:
        """Read a schema, a channel or the file's header."""
        try:
            if kind == _HEADER:
                fields.text()
                self.library = fields.text()
                return
            number = fields.u16()
            if kind == _SCHEMA:
                self._schemas[number] = (fields.text(), fields.text(), fields.blob())
            elif number not in self._streams:
                name, form, definition = self._schemas.get(fields.u16(), ("", "", b""))
                channel = Channel(fields.text(), full_name(name), fields.text(), definition, form)
                self._streams[number] = self._open_channel(channel)
        except (struct.error, ValueError):
            self.account.lose("damaged schema or channel record", at)

    def _chunk(self, source: ByteSource, length: int, at: int) -> bool:
        _, _, size, checksum = _CHUNK_HEAD.unpack(source.take(_CHUNK_HEAD.size))
        (name,) = _U32.unpack(source.take(4))
        if name > 64:
            return False
        codec = bytes(source.take(name)).decode("ascii", "replace")
        (packed_size,) = _U64.unpack(source.take(8))
        if packed_size != length - 40 - name:
            return False
        if codec == "" and (checksum == 0 or packed_size > MAX_CHUNK or packed_size > source.remaining):
            return True  # its records simply come next
        cut = packed_size > source.remaining
        if cut and (source.remaining > MAX_CHUNK or self._goes_on(source)):
            return False
        if packed_size > MAX_CHUNK:
            source.skip(packed_size)
            self.account.lose(f"chunk of more than {MAX_CHUNK >> 20} MiB, left out", at)
            return True
        packed = source.take(source.remaining if cut else packed_size)
        data = self._unpacked(codec, packed, size, 0 if cut else checksum, at, cut)
        if data is not None:
            self.read_records(ByteSource(None, len(data), data), at)
        if cut:
            raise CutError
        return True

    def _goes_on(self, source: ByteSource) -> bool:
        """Tell whether sound records follow further on: then a length is wrong, and the file is not cut off here."""
        here = source.position
        found = source.search(_RECORD, self.is_plausible)
        source.rewind(here)
        return found

    def _unpacked(self, codec: str, packed: memoryview, size: int, checksum: int, at: int, cut: bool) -> bytes | None:
        try:
            data = bytes(packed) if codec == "" else unpack(codec, packed, size, partial=cut)
        except ValueError:
            self.account.lose(f"{codec} chunk that cannot be unpacked, left out", at)
            return None
        if checksum and zlib.crc32(data) != checksum:
            self.account.lose("chunk whose checksum is wrong, left out", at)
            return None
        return data

    def is_plausible(self, view: memoryview) -> bool:
        if len(view) < 9:
            return False
        kind, length = _LENGTH.unpack_from(view, 0)
        if kind == _CHUNK:
            if len(view) < 57:
                return False
            first, last, _, _ = _CHUNK_HEAD.unpack_from(view, 9)
            (name,) = _U32.unpack_from(view, 37)
            return bool(_U64.unpack_from(view, 41 + name)[0] == length - 40 - name and first <= last)
        if kind == _DATA_END:
            return True
        if not 22 <= length <= MAX_CHUNK or len(view) < 31:
            return False
        number, _, stamp, _ = _MESSAGE_HEAD.unpack_from(view, 9)
        return number in self._streams and abs(stamp - self.account.last_ns) < _DAY_NS


def full_name(name: str) -> str:
    """Return a ROS type as ROS 2 writes it in full (``std_msgs/Header`` becomes ``std_msgs/msg/Header``)."""
    package, slash, rest = name.partition("/")
    return f"{package}/msg/{rest}" if slash and "/" not in rest else name
