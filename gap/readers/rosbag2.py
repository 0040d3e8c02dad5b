"""ROS 2 bags: folders with ``metadata.yaml``, and their storages: SQLite files (``.db3``) and MCAP, compressed or not.

The metadata is a help, not a need: a folder without it (the recorder was killed) reads by its storage files.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ...common.errors import InputError
from ..fieldlog import sha256_of
from .mcapfile import scan_mcap
from .rosfile import MAX_CHUNK, MAX_STAMP, Account, Channel, OpenChannel, Stream, unpack

SQLITE_MAGIC = b"SQLite format 3\x00"
_STORAGE = re.compile(r".*\.(db3|mcap)(\.zstd)?$")
_MAX_METADATA = 1 << 26
_MAX_TRIES = 2000
_STEPS = 2_000_000_000


@dataclass(frozen=True)
class Folder:
    """Storage files of one recording, in order of time, and whether each message is compressed for itself."""

    files: tuple[Path, ...]
    packed_messages: bool


def storage_files(folder: Path) -> list[Path]:
    """Return the storage files in a folder, those of split bags in the order of their numbers."""
    found = [path for path in folder.iterdir() if path.is_file() and _STORAGE.fullmatch(path.name)]
    return sorted(
        found, key=lambda path: [int(part) if part.isdigit() else 0 for part in re.split(r"(\d+)", path.name)]
    )


def open_folder(folder: Path) -> Folder:
    """Read what the metadata says of a folder's files.

    Raises:
        InputError: the folder holds no storage file.
    """
    here = storage_files(folder)
    metadata = _metadata(folder / "metadata.yaml")
    named = [folder / Path(str(name)).name for name in _list(metadata.get("relative_file_paths"))]
    files = [path for path in named if path in here]
    files += [path for path in here if path not in files and path.with_suffix("") not in files]
    if not files:
        missing = f", although its metadata names {named[0].name}" if named else ""
        raise InputError(
            f"the folder holds no .db3 or .mcap file{missing}",
            where=str(folder),
            mend="give the folder that ros2 bag record wrote, with all its files",
        )
    mode = str(metadata.get("compression_mode", "")).upper()
    return Folder(tuple(files), mode == "MESSAGE")


def _metadata(path: Path) -> dict[str, Any]:
    """Return the content of ``metadata.yaml``; empty where there is none that can be read."""
    import yaml

    try:
        if path.stat().st_size > _MAX_METADATA:
            return {}
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        content = yaml.load(path.read_bytes(), Loader=loader)
        found = content["rosbag2_bagfile_information"]
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def scan_storage(path: Path, account: Account, open_channel: OpenChannel, packed_messages: bool) -> str:
    """Read one storage file and hand every message of an opened channel to its sink.

    Args:
        path: ``.db3``, ``.mcap``, or either with ``.zstd`` after it.
        account: filled in with what was read and what was lost.
        open_channel: called for each channel.
        packed_messages: each message is compressed for itself (zstd).

    Returns:
        The program that wrote the file, where it says so.

    Raises:
        InputError: the file cannot be read or is no such storage.
    """
    if packed_messages:
        open_channel = _unpacking(open_channel)
    with _unpacked(path, account) as plain:
        kind = plain.name.removesuffix(".zstd").rpartition(".")[2]
        if kind == "mcap":
            library = scan_mcap(plain, account, open_channel)
        else:
            library = ""
            scan_sqlite(plain, account, open_channel)
    if plain != path:
        account.sha256 = sha256_of(path)
    return library


@contextlib.contextmanager
def _unpacked(path: Path, account: Account) -> Iterator[Path]:
    """Give the file itself, or a temporary copy without its compression."""
    if path.suffix != ".zstd":
        yield path
        return
    import pyarrow

    with tempfile.TemporaryDirectory(prefix="floorcast_bag_") as folder:
        plain = Path(folder) / path.with_suffix("").name
        try:
            with pyarrow.input_stream(str(path), compression="zstd") as source, plain.open("wb") as copy:
                shutil.copyfileobj(source, copy, 1 << 20)
        except OSError as error:
            if plain.exists() and plain.stat().st_size > 0:
                account.lose(f"zstd file that unpacks in part only ({plain.stat().st_size} bytes)", 0)
            else:
                raise InputError(
                    f"the file cannot be unpacked: {error}", where=str(path), mend="unpack it with zstd -d"
                ) from error
        yield plain


def _unpacking(open_channel: OpenChannel) -> OpenChannel:
    """Have the messages of each channel unpacked before its sink sees them."""

    def opened(channel: Channel) -> Stream:
        stream = open_channel(channel)
        sink = stream.sink
        if sink is not None:

            def unpacked(log_ns: int, view: memoryview) -> None:
                try:
                    data = unpack("zstd", view, 0)
                except ValueError:
                    data = b""  # no message is empty: the sink counts it as bad
                sink(log_ns, memoryview(data))

            stream.sink = unpacked
        return stream

    return opened


def scan_sqlite(path: Path, account: Account, open_channel: OpenChannel) -> None:
    """Read an SQLite storage as ``scan_storage`` does.

    Raises:
        InputError: it cannot be read or is no such storage.
    """
    account.size = path.stat().st_size
    # Without a write-ahead log beside it the file is opened as unchangeable, which works on read-only media too.
    log = path.with_name(path.name + "-wal")
    fixed = "" if log.exists() and log.stat().st_size else "&immutable=1"
    try:
        base = sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro{fixed}", uri=True)
    except sqlite3.Error as error:
        raise _no_database(path, error) from error
    with contextlib.closing(base):
        # A damaged tree of pages may lead in a circle: no honest read takes so many steps between two rows.
        steps = [0]
        base.set_progress_handler(lambda: _too_long(steps), 10_000_000)
        base.text_factory = bytes
        try:
            # Has SQLite open a file that is shorter than its first page says.
            base.execute("PRAGMA writable_schema = ON")
            streams = _open_topics(base, open_channel)
        except (sqlite3.Error, ValueError) as error:
            raise _no_database(path, error) from error
        _read_rows(base, streams, account, steps)
    account.sha256 = sha256_of(path)


def _too_long(steps: list[int]) -> int:
    steps[0] += 10_000_000
    return int(steps[0] > _STEPS)


def _no_database(path: Path, error: Exception) -> InputError:
    mend = "copy the file again from its source; 'sqlite3 FILE .recover' may save more of a damaged one"
    if path.with_name(path.name + "-wal").exists():
        mend = f"SQLite must be able to write beside it, to read {path.name}-wal: copy the folder where you may write"
    return InputError(f"the SQLite storage cannot be read: {error}", where=str(path), mend=mend)


def _open_topics(base: sqlite3.Connection, open_channel: OpenChannel) -> dict[int, Stream]:
    definitions: dict[bytes, tuple[bytes, bytes]] = {}
    with contextlib.suppress(sqlite3.Error):  # older bags hold no definitions
        rows = base.execute("SELECT topic_type, encoding, encoded_message_definition FROM message_definitions")
        definitions = {row[0]: row[1:] for row in rows if all(isinstance(text, bytes) for text in row)}
    streams = {}
    for number, name, msgtype, form in base.execute("SELECT id, name, type, serialization_format FROM topics"):
        if not (isinstance(number, int) and all(isinstance(text, bytes) for text in (name, msgtype, form))):
            continue
        encoding, definition = definitions.get(msgtype, (b"", b""))
        streams[number] = open_channel(
            Channel(name.decode(), msgtype.decode(), form.decode(), definition, encoding.decode())
        )
    return streams


def _read_rows(base: sqlite3.Connection, streams: dict[int, Stream], account: Account, steps: list[int]) -> None:
    """Read all rows in the order they were written; past a damaged page, go on where the file can be read again."""
    last, ahead = -1, 0
    wanted = ",".join(str(number) for number, stream in streams.items() if stream.sink is not None) or "NULL"
    # Only what somebody takes is loaded: of an image, SQLite reads the page with its number and not the picture.
    query = (
        "SELECT id, topic_id, timestamp, CASE WHEN topic_id IN (" + wanted + ") THEN data END "
        "FROM messages WHERE id > ? ORDER BY id"
    )
    for _ in range(_MAX_TRIES):
        try:
            for number, topic, stamp, data in base.execute(query, (last + ahead,)):
                if number <= last:
                    raise sqlite3.DatabaseError("rows out of order")
                last, ahead, steps[0] = number, 0, 0
                _deliver(streams.get(topic), stamp, data, account)
            return
        except (sqlite3.Error, OverflowError) as error:
            if steps[0] > _STEPS or last + ahead > 1 << 61:
                account.cut = account.cut or "it cannot be read to its end"
                return
            if ahead == 0:
                account.lose(f"place where the database is damaged ({error})", 0)
            ahead = max(1, 2 * ahead)
    account.cut = "it cannot be read to its end"


def _deliver(stream: Stream | None, stamp: Any, data: Any, account: Account) -> None:
    if stream is None or not isinstance(stamp, int) or not 0 <= stamp < MAX_STAMP:
        account.lose("message of a topic that is not in the file, or with a damaged time", 0)
        return
    stream.count += 1
    account.seen(stamp)
    if stream.sink is not None and isinstance(data, bytes) and len(data) <= MAX_CHUNK:
        account.read += len(data)
        stream.sink(stamp, memoryview(data))
