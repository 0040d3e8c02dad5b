"""ROS 1 bags (format 2.0), read from front to back without their index.

Format: http://wiki.ros.org/Bags/Format/2.0. A bag whose recorder was killed has no index (``index_pos`` is 0), one that
was cut off has lost it: both read as any other up to their last whole message.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

from ...common.errors import InputError
from .rosfile import (
    MAX_CHUNK,
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

MAGIC = b"#ROSBAG V2.0\n"
_MESSAGE, _BAG_HEADER, _CHUNK, _CONNECTION = 2, 3, 5, 7
_KNOWN = frozenset(range(2, 8))
_U32, _U64 = struct.Struct("<I"), struct.Struct("<Q")
_MAX_HEADER = 1 << 16
# Header of a message (38 bytes) or of a chunk (40 or 41): what reading takes up again at after damage.
_RECORD = re.compile(rb"[\x26\x28\x29]\x00{3}(?=.{0,40}op=[\x02\x05])", re.DOTALL)
_DAY_NS = 86_400_000_000_000


def scan_bag1(path: Path, account: Account, open_channel: OpenChannel) -> None:
    """Read a bag and hand every message of an opened channel to its sink, in the order of the file.

    Args:
        path: the bag.
        account: filled in with what was read and what was lost.
        open_channel: called for each connection.

    Raises:
        InputError: the file cannot be read, or is no bag of this format.
    """
    file, source = open_source(path, account)
    with file:
        head = bytes(source.peek(len(MAGIC)))
        if head != MAGIC:
            raise InputError(
                "not a ROS 1 bag of format 2.0",
                where=str(path),
                mend="give a .bag file that begins with '#ROSBAG V2.0'; rosbag migrate converts older ones",
            )
        source.skip(len(MAGIC))
        _Scan(account, open_channel).run(source)
        account.sha256 = source.finish()


def parse_header(header: memoryview) -> dict[bytes, bytes]:
    """Return the fields of a record's header; empty if it is none."""
    fields: dict[bytes, bytes] = {}
    data, at = bytes(header), 0
    while at < len(data):
        if at + 4 > len(data):
            return {}
        (length,) = _U32.unpack_from(data, at)
        name, equals, value = data[at + 4 : at + 4 + length].partition(b"=")
        at += 4 + length
        if not equals or at > len(data):
            return {}
        fields[name] = value
    return fields


class _Scan(RecordScan):
    pattern = _RECORD

    def __init__(self, account: Account, open_channel: OpenChannel) -> None:
        super().__init__(account)
        self._open_channel = open_channel
        self._streams: dict[int, Stream] = {}
        self._index_pos = 0
        self._layout: tuple[int, int, int, int] | None = None

    def run(self, source: ByteSource) -> None:
        """Read the whole file."""
        self.read_records(source, None)
        account = self.account
        if not account.cut and self._index_pos == 0:
            account.cut = "the recorder did not close it: it has no index"
        if account.cut and self._index_pos > account.size:
            account.cut += f"; {account.size / self._index_pos:.0%} of its data is there"

    def read_record(self, source: ByteSource, at: int) -> bool:
        """Read one record; False if what stands here is none."""
        (length,) = _U32.unpack(source.take(4))
        if not 4 < length <= _MAX_HEADER:
            return False
        header = source.take(length)
        layout = self._layout
        if layout is not None and length == layout[0]:
            conn, op, time = layout[1:]
            if header[op - 3 : op + 1] == b"op=\x02" and header[conn - 5 : conn] == b"conn=":
                seconds, nanoseconds = struct.unpack_from("<II", header, time)
                return self._message(source, _U32.unpack_from(header, conn)[0], seconds, nanoseconds, at)
        fields = parse_header(header)
        op_field = fields.get(b"op", b"")
        if len(op_field) != 1 or op_field[0] not in _KNOWN:
            return False
        kind = op_field[0]
        if kind == _MESSAGE:
            return self._first_message(source, header, fields, at)
        (size,) = _U32.unpack(source.take(4))
        if kind == _CHUNK:
            return self._chunk(source, fields, size, at)
        if kind == _CONNECTION:
            if size > _MAX_HEADER * 64:
                return False
            return self._connection(fields, parse_header(source.take(size)), at)
        if kind == _BAG_HEADER and len(fields.get(b"index_pos", b"")) == 8:
            (self._index_pos,) = _U64.unpack(fields[b"index_pos"])
        source.skip(size)
        return True

    def _first_message(self, source: ByteSource, header: memoryview, fields: dict[bytes, bytes], at: int) -> bool:
        """Read a message, and learn where the fields of its header stand: the same in all that one program wrote."""
        if len(fields.get(b"conn", b"")) != 4 or len(fields.get(b"time", b"")) != 8:
            return False
        raw = bytes(header)
        places = (raw.find(b"conn=") + 5, raw.find(b"op=\x02") + 3, raw.find(b"time=") + 5)
        if len(header) == 38:
            self._layout = (38, *places)
        seconds, nanoseconds = struct.unpack("<II", fields[b"time"])
        return self._message(source, _U32.unpack(fields[b"conn"])[0], seconds, nanoseconds, at)

    def _message(self, source: ByteSource, conn: int, seconds: int, nanoseconds: int, at: int) -> bool:
        (size,) = _U32.unpack(source.take(4))
        stream = self._streams.get(conn)
        if stream is None or nanoseconds >= 1_000_000_000:
            source.skip(size)
            self.account.lose("message of a connection that is not in the file, or with a damaged time", at)
            return True
        stamp = seconds * 1_000_000_000 + nanoseconds
        if stream.sink is None or size > MAX_CHUNK:
            source.skip(size)
        else:
            stream.sink(stamp, source.take(size))
        stream.count += 1
        self.account.seen(stamp)
        return True

    def _connection(self, fields: dict[bytes, bytes], data: dict[bytes, bytes], at: int) -> bool:
        try:
            (number,) = _U32.unpack(fields[b"conn"])
            topic = fields[b"topic"].decode()
            package, _, name = data[b"type"].decode().rpartition("/")
        except (KeyError, struct.error, UnicodeDecodeError):
            self.account.lose("damaged connection record", at)
            return True
        if number not in self._streams:
            channel = Channel(
                topic=topic,
                msgtype=f"{package}/msg/{name}",
                encoding="ros1",
                definition=data.get(b"message_definition", b""),
                definition_format="ros1msg",
                digest=data.get(b"md5sum", b"").decode("ascii", "replace"),
            )
            self._streams[number] = self._open_channel(channel)
        return True

    def _chunk(self, source: ByteSource, fields: dict[bytes, bytes], size: int, at: int) -> bool:
        if len(fields.get(b"size", b"")) != 4 or b"compression" not in fields:
            return False
        codec = fields[b"compression"].decode("ascii", "replace")
        if codec == "none":
            return True  # its records simply come next
        if codec not in ("bz2", "lz4"):
            source.skip(size)
            self.account.lose(f"chunk of the unknown compression '{codec}', left out", at)
            return True
        (whole,) = _U32.unpack(fields[b"size"])
        cut = size > source.remaining
        if cut and size > MAX_CHUNK:
            return False
        packed = source.take(source.remaining if cut else size) if min(size, source.remaining) <= MAX_CHUNK else None
        try:
            if packed is None:
                source.skip(size)
                raise ValueError("too large")
            data = unpack(codec, packed, whole, partial=cut)
        except ValueError:
            self.account.lose(f"{codec} chunk that cannot be unpacked, left out", at)
            return True
        self.read_records(ByteSource(None, len(data), data), at)
        if cut:
            raise CutError
        return True

    def is_plausible(self, view: memoryview) -> bool:
        (length,) = _U32.unpack_from(view, 0)
        fields = parse_header(view[4 : 4 + length])
        if fields.get(b"op") == b"\x05":
            return fields.get(b"compression") in (b"none", b"bz2", b"lz4") and len(fields.get(b"size", b"")) == 4
        if len(fields.get(b"conn", b"")) != 4 or len(fields.get(b"time", b"")) != 8:
            return False
        seconds, nanoseconds = struct.unpack("<II", fields[b"time"])
        stamp = seconds * 1_000_000_000 + nanoseconds
        known = _U32.unpack(fields[b"conn"])[0] in self._streams
        return known and (self.account.last_ns == 0 or abs(stamp - self.account.last_ns) < _DAY_NS)
