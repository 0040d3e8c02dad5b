"""Field logs kept as Parquet: one folder a log, one file a table, and ``log.json`` that says what they are.

The tables come back bit for bit. Any program reads them: stamps are int64 nanoseconds, every other column names its
unit and frame in the file's schema. A folder is written whole or not at all, and every table's SHA-256 stands in
``log.json``, so that a damaged one is refused.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from .. import __version__
from ..common.config import StrictModel
from ..common.errors import InputError
from ..common.files import explained_os_errors
from ..robots.model import RobotModel
from ..robots.tricycle import TricycleParameters
from .fieldlog import Drive, FieldLog, FileReport, Finding, LogEvent, LogReport, Scans, sha256_of

if TYPE_CHECKING:
    from .readers.options import ReadOptions

MANIFEST = "log.json"
FORMAT: Literal["floorcast.fieldlog/1"] = "floorcast.fieldlog/1"
MAX_MANIFEST_BYTES = 1 << 26
MAX_TABLE_BYTES = 1 << 33
"""Memory that one table may take when it is read."""
_GROUP_BYTES = 1 << 24
_MAX_WIDTH = 1 << 16

_COLUMNS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "pose": (("x", "m", "map"), ("y", "m", "map"), ("yaw", "rad", "map")),
    "odom": (("x", "m", "odom"), ("y", "m", "odom"), ("yaw", "rad", "odom")),
}
"""Name, unit and frame of the columns of each table; those of wheels are numbered."""
_PLANAR = (("v", "m/s", "base_link"), ("omega", "rad/s", "base_link"))
_SIDEWAYS = (("vx", "m/s", "base_link"), ("vy", "m/s", "base_link"), ("omega", "rad/s", "base_link"))
_TABLES: dict[str, type] = {
    "pose": np.float64,
    "cmd": np.float64,
    "wheel_cmd": np.float64,
    "odom": np.float64,
    "ticks": np.int64,
}


_OURS = frozenset({MANIFEST, *(f"{name}.parquet" for name in (*_TABLES, "scans", "events"))})


class _Stored(StrictModel):
    """One table: its file, its shape, and the SHA-256 of the file."""

    rows: int
    width: int
    sha256: str


class _ScanShape(StrictModel):
    """What is the same in all scans; numbers as Python writes them, ``inf`` too."""

    angle_min: str
    angle_increment: str
    range_min: str
    range_max: str
    mount: tuple[str, str, str]


class _Found(StrictModel):
    reason: str
    count: int
    first_line: int


class _File(StrictModel):
    path: str
    sha256: str
    records: int
    used: int
    skipped: tuple[_Found, ...]
    notes: tuple[_Found, ...]
    unit: Literal["line", "message"]


class _Manifest(StrictModel):
    """Content of ``log.json``."""

    format: Literal["floorcast.fieldlog/1"]
    written_by: str
    robot: str
    run: str
    drive: Drive
    pose_frame: Literal["base_link", "laser"]
    pose_source: Literal["tracker", "slam", "localisation"]
    wheel_cmd_unit: Literal["rad/s", "raw"]
    simulated: bool
    model: RobotModel
    tricycle: TricycleParameters | None
    scans: _ScanShape | None
    files: tuple[_File, ...]
    tables: dict[str, _Stored]


def save_log(log: FieldLog, folder: str | Path) -> Path:
    """Write a log into a folder of its own, whole or not at all.

    Args:
        log: any log; values of its events must be JSON's.
        folder: made anew; an older log of this kind in it is replaced.

    Returns:
        The folder.

    Raises:
        InputError: the folder holds something else, or an event holds what JSON has no word for.
        OutputError: it cannot be written.
    """
    folder = Path(folder)
    _require_free(folder)
    with explained_os_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            _write(log, fresh)
            fresh.chmod(0o755)
            _put_in_place(fresh, folder)
        except BaseException:
            shutil.rmtree(fresh, ignore_errors=True)
            raise
    return folder


def load_log(folder: str | Path) -> FieldLog:
    """Read a log that ``save_log`` wrote, bit for bit.

    Raises:
        InputError: no such folder, a file is missing, damaged or of another kind, or a newer version wrote it.
    """
    folder = Path(folder)
    manifest = _read_manifest(folder / MANIFEST)
    tables: dict[str, Any] = {}
    for name, dtype in _TABLES.items():
        columns = _columns(name, _stored(manifest, name, folder).width, manifest.pose_frame, manifest.wheel_cmd_unit)
        t_ns, values = _read_numbers(folder, name, manifest, dtype, [column for column, _, _ in columns])
        tables[f"{name}_t_ns"], tables[name] = t_ns, values
    return FieldLog(
        robot=manifest.robot,
        run=manifest.run,
        drive=manifest.drive,
        pose_frame=manifest.pose_frame,
        pose_source=manifest.pose_source,
        wheel_cmd_unit=manifest.wheel_cmd_unit,
        simulated=manifest.simulated,
        model=manifest.model,
        tricycle=manifest.tricycle,
        scans=_read_scans(folder, manifest),
        events=_read_events(folder, manifest),
        report=LogReport(tuple(_report_of(file) for file in manifest.files)),
        **tables,
    )


def holds_log(path: Path) -> bool:
    """Tell whether a folder is a stored log or holds some."""
    return path.is_dir() and bool(log_folders(path))


def log_folders(path: Path) -> list[Path]:
    """Return the folders of stored logs: the path itself, or those in it, by name."""
    if _is_manifest(path / MANIFEST):
        return [path]
    found = [entry.parent for entry in path.glob(f"*/{MANIFEST}") if _is_manifest(entry)]
    return sorted(folder for folder in found if not folder.name.startswith("."))


def _is_manifest(path: Path) -> bool:
    """Tell by its first bytes, where the format stands, whether a file is ours: others call theirs log.json too."""
    try:
        with path.open("rb") as file:
            return b'"floorcast.fieldlog/' in file.read(200)
    except OSError:
        return False


def load_logs(path: str | Path) -> list[FieldLog]:
    """Return the stored log of a folder, or all in it.

    One that came of no file names its manifest as its file, which tells it apart from others.
    """
    return [_with_file(load_log(folder), folder / MANIFEST) for folder in log_folders(Path(path))]


def _with_file(log: FieldLog, manifest: Path) -> FieldLog:
    if log.report.files:
        return log
    # The manifest holds the hashes of the tables, so that its own is one of everything.
    records = len(log.pose_t_ns)
    return replace(log, report=LogReport((FileReport(str(manifest), sha256_of(manifest), records, records),)))


def import_log(
    path: str | Path, out: str | Path, options: ReadOptions | None = None, *, unread: list[str] | None = None
) -> list[Path]:
    """Read logs of any format and keep them as Parquet, one after the other: only one recording's are in memory.

    Args:
        path: a file or folder of any known format, or a folder of logs.
        out: folder of the one log, or of a folder for each where there are several.
        options: what the log does not say itself.
        unread: filled with what was wrong with recordings of a folder that could not be read; None leaves it untold.

    Returns:
        The folders written, in the order of the logs.

    Raises:
        InputError: no log can be read, or ``out`` holds something else.
        OutputError: ``out`` cannot be written.
    """
    from .readers import Unread, read_each  # readers know this store as one of their formats
    from .readers.parts import nothing_read

    out = Path(out)
    bad: list[Unread] = []
    written: list[Path] = []
    waiting: FieldLog | None = None
    for item in read_each(path, options=options):
        if isinstance(item, Unread):
            bad.append(item)
            continue
        if waiting is not None:
            written.append(_save_among(waiting, out, written))
        waiting = item
    if unread is not None:
        unread += map(str, bad)
    if waiting is None:
        raise nothing_read(bad, Path(path))
    # A single log has the folder for itself, but not the one that is left of several.
    alone = not written and not bad
    return [*written, save_log(waiting, out) if alone else _save_among(waiting, out, written)]


def _save_among(log: FieldLog, out: Path, written: list[Path]) -> Path:
    """Write a log into a folder of its own name, with a number where another one has it."""
    name = re.sub(r"[^\w.-]+", "_", log.name).strip(".") or "log"
    taken = {folder.name for folder in written}
    names = itertools.chain([name], (f"{name}_{k}" for k in itertools.count(2)))
    return save_log(log, out / next(item for item in names if item not in taken))


def _require_free(folder: Path) -> None:
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise InputError("a file or link of that name is in the way", where=str(folder), mend="give another folder")
    inside = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    strangers = inside if inside and not _is_manifest(folder / MANIFEST) else inside - _OURS
    if strangers:
        raise InputError(
            f"the folder holds something that is no stored log: {', '.join(sorted(strangers)[:5])}",
            where=str(folder),
            mend="give an empty or a new folder",
        )


def _put_in_place(fresh: Path, folder: Path) -> None:
    """Give a folder its name; what had the name before is removed only then."""
    if not folder.exists():
        os.rename(fresh, folder)
        return
    old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}.old."))
    os.rename(folder, old / "log")
    os.rename(fresh, folder)
    shutil.rmtree(old)


def _columns(name: str, width: int, pose_frame: str, wheel_unit: str) -> tuple[tuple[str, str, str], ...]:
    if name == "cmd":
        return _SIDEWAYS if width == 3 else _PLANAR
    if name == "ticks":
        return tuple((f"count_{k}", "1", pose_frame) for k in range(width))
    if name == "wheel_cmd":
        return tuple((f"wheel_{k}", wheel_unit, "base_link") for k in range(width))
    return _COLUMNS[name]


def _write(log: FieldLog, folder: Path) -> None:
    stored = {}
    for name, dtype in _TABLES.items():
        values: NDArray[Any] = np.ascontiguousarray(getattr(log, name), dtype=dtype)
        columns = _columns(name, values.shape[1], log.pose_frame, log.wheel_cmd_unit)
        if values.shape[1] != len(columns):
            raise InputError(
                f"the table {name} has {values.shape[1]} columns in place of {len(columns)}", where=log.name
            )
        stored[name] = _write_numbers(folder, name, getattr(log, f"{name}_t_ns"), values, columns)
    if log.scans is not None:
        stored["scans"] = _write_scans(folder, log.scans)
    stored["events"] = _write_events(folder, log)
    manifest = _Manifest(
        format=FORMAT,
        written_by=f"floorcast {__version__}",
        robot=log.robot,
        run=log.run,
        drive=log.drive,
        pose_frame=log.pose_frame,
        pose_source=log.pose_source,
        wheel_cmd_unit=log.wheel_cmd_unit,
        simulated=log.simulated,
        model=log.model,
        tricycle=log.tricycle,
        scans=_shape_of(log.scans),
        files=tuple(_File.model_validate(asdict(file)) for file in log.report.files),
        tables=stored,
    )
    text = json.dumps(manifest.model_dump(mode="json"), indent=1, ensure_ascii=True) + "\n"
    with (folder / MANIFEST).open("w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _shape_of(scans: Scans | None) -> _ScanShape | None:
    if scans is None:
        return None
    x, y, yaw = (repr(float(value)) for value in scans.mount)
    limits = (scans.angle_min, scans.angle_increment, scans.range_min, scans.range_max)
    first, step, near, far = (repr(float(value)) for value in limits)
    return _ScanShape(angle_min=first, angle_increment=step, range_min=near, range_max=far, mount=(x, y, yaw))


def _field(name: str, kind: Any, unit: str, frame: str = "") -> Any:
    import pyarrow as pa

    return pa.field(name, kind, nullable=False, metadata={"unit": unit, **({"frame": frame} if frame else {})})


def _write_numbers(folder: Path, name: str, t_ns: Any, values: NDArray[Any], columns: Any) -> _Stored:
    import pyarrow as pa

    kind = pa.int64() if values.dtype == np.int64 else pa.float64()
    schema = pa.schema([_field("t_ns", pa.int64(), "ns"), *(_field(*_typed(column, kind)) for column in columns)])
    stamps = np.ascontiguousarray(t_ns, dtype=np.int64)
    table = pa.Table.from_arrays([pa.array(stamps), *(pa.array(column) for column in values.T)], schema=schema)
    return _write_table(folder, name, table, values.shape[1])


def _typed(column: tuple[str, str, str], kind: Any) -> tuple[str, Any, str, str]:
    name, unit, frame = column
    return name, kind, unit, frame


def _write_scans(folder: Path, scans: Scans) -> _Stored:
    import pyarrow as pa

    beams = scans.ranges.shape[1]
    ranges = np.ascontiguousarray(scans.ranges, dtype=np.float32)
    kind = pa.list_(pa.field("item", pa.float32(), nullable=False), beams)
    schema = pa.schema([_field("t_ns", pa.int64(), "ns"), _field("ranges", kind, "m", "laser")])
    flat = pa.array(ranges.reshape(-1), type=pa.float32())
    column = pa.FixedSizeListArray.from_arrays(flat, type=kind)
    stamps = np.ascontiguousarray(scans.t_ns, dtype=np.int64)
    return _write_table(folder, "scans", pa.Table.from_arrays([pa.array(stamps), column], schema=schema), beams)


def _write_events(folder: Path, log: FieldLog) -> _Stored:
    import pyarrow as pa

    texts = []
    for event in log.events:
        try:
            texts.append(json.dumps(event.values, default=_plain_number))
        except (TypeError, ValueError) as error:
            raise InputError(f"an event of kind '{event.kind}' cannot be kept: {error}", where=log.name) from error
    schema = pa.schema(
        [_field("t_ns", pa.int64(), "ns"), _field("kind", pa.string(), ""), _field("values", pa.string(), "JSON")]
    )
    stamps = pa.array([event.t_ns for event in log.events], type=pa.int64())
    kinds = pa.array([event.kind for event in log.events], type=pa.string())
    return _write_table(
        folder, "events", pa.Table.from_arrays([stamps, kinds, pa.array(texts, type=pa.string())], schema=schema), 2
    )


def _plain_number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no value of JSON")


def _write_table(folder: Path, name: str, table: Any, width: int) -> _Stored:
    import pyarrow.parquet as pq

    path = folder / f"{name}.parquet"
    rows = max(1, _GROUP_BYTES // max(8 * (width + 1), 1))
    with path.open("wb") as file:
        # Without statistics and dictionaries: they cost time, and numbers hardly repeat.
        pq.write_table(
            table, file, compression="zstd", row_group_size=rows, use_dictionary=False, write_statistics=False
        )
        file.flush()
        os.fsync(file.fileno())
    return _Stored(rows=table.num_rows, width=width, sha256=sha256_of(path))


def _read_manifest(path: Path) -> _Manifest:
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise InputError(f"over the limit of {MAX_MANIFEST_BYTES >> 20} MiB", where=str(path))
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(
            f"no stored log here: {error.strerror or error}", where=str(path), mend="give a folder with a log.json"
        ) from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"is no JSON: {error}") from error
    version = content.get("format") if isinstance(content, dict) else None
    if version != FORMAT:
        raise InputError(
            f"the log is of the format {version!r}, this version reads {FORMAT!r}",
            where=str(path),
            mend="import the original log again",
        )
    try:
        return _Manifest.model_validate_json(json.dumps(content))
    except (ValidationError, ValueError, RecursionError) as error:
        raise _damaged(path, f"does not fit: {str(error)[:300]}") from error


def _stored(manifest: _Manifest, name: str, folder: Path) -> _Stored:
    stored = manifest.tables.get(name)
    if stored is None or not 0 <= stored.width <= _MAX_WIDTH or stored.rows < 0:
        raise _damaged(folder / MANIFEST, f"tells nothing sensible of the table {name}")
    if stored.rows * (stored.width + 2) * 8 > MAX_TABLE_BYTES:
        raise InputError(
            f"the table {name} would take over {MAX_TABLE_BYTES >> 30} GiB of memory",
            where=str(folder),
            mend="import the original log again, with fewer scans (max_scans)",
        )
    return stored


def _read_table(folder: Path, name: str, manifest: _Manifest, columns: list[str]) -> Any:
    """Return a table after everything that can be wrong with its file has been looked at."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    stored = _stored(manifest, name, folder)
    path = folder / f"{name}.parquet"
    try:
        if sha256_of(path) != stored.sha256:
            raise _damaged(path, "is not the file that was written with this log.json (its SHA-256 differs)")
        with pq.ParquetFile(path) as file:
            if file.metadata.num_rows != stored.rows or file.schema_arrow.names != columns:
                raise _damaged(path, "has other rows or columns than log.json says")
            table = file.read()
        table.validate(full=True)
    except OSError as error:
        if isinstance(error, InputError):
            raise
        raise _damaged(path, f"cannot be read: {error}") from error
    except (pa.ArrowException, ValueError, MemoryError) as error:
        raise _damaged(path, f"cannot be read: {error}") from error
    if any(column.null_count for column in table.columns):
        raise _damaged(path, "has gaps")
    return table


def _stamps(table: Any, path: Path, *, strictly: bool = True) -> NDArray[np.int64]:
    import pyarrow as pa

    if table.schema.field("t_ns").type != pa.int64():
        raise _damaged(path, "has stamps that are no integers")
    stamps = np.ascontiguousarray(table.column("t_ns").to_numpy())
    before, after = stamps[:-1], stamps[1:]
    if ((after <= before) if strictly else (after < before)).any():
        raise _damaged(path, "has stamps that do not rise")
    return stamps


def _read_numbers(
    folder: Path, name: str, manifest: _Manifest, dtype: type, columns: list[str]
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    import pyarrow as pa

    table, path = _read_table(folder, name, manifest, ["t_ns", *columns]), folder / f"{name}.parquet"
    kind = pa.int64() if dtype is np.int64 else pa.float64()
    if (
        any(table.schema.field(column).type != kind for column in columns)
        or len(columns) != manifest.tables[name].width
    ):
        raise _damaged(path, "has columns of another type or number")
    values = np.empty((table.num_rows, len(columns)), dtype=dtype)
    for k, column in enumerate(columns):
        values[:, k] = table.column(column).to_numpy()
    return _stamps(table, path), values


def _read_scans(folder: Path, manifest: _Manifest) -> Scans | None:
    import pyarrow as pa

    if manifest.scans is None:
        return None
    beams, path = _stored(manifest, "scans", folder).width, folder / "scans.parquet"
    table = _read_table(folder, "scans", manifest, ["t_ns", "ranges"])
    kind = table.schema.field("ranges").type
    if not pa.types.is_fixed_size_list(kind) or kind.list_size != beams or kind.value_type != pa.float32():
        raise _damaged(path, "has ranges of another type or number")
    parts = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in table.column("ranges").chunks]
    flat = np.concatenate(parts) if parts else np.empty(0, dtype=np.float32)
    if len(flat) != table.num_rows * beams:
        raise _damaged(path, "has gaps")
    shape = manifest.scans
    try:
        first, step, near, far, x, y, yaw = (
            float(text)
            for text in (shape.angle_min, shape.angle_increment, shape.range_min, shape.range_max, *shape.mount)
        )
    except ValueError as error:
        raise _damaged(folder / MANIFEST, f"tells no shape of the scans: {error}") from error
    if not all(map(math.isfinite, (first, step, x, y, yaw))):
        raise _damaged(folder / MANIFEST, "tells no shape of the scans")
    ranges = np.ascontiguousarray(flat).reshape(table.num_rows, beams)
    return Scans(_stamps(table, path), ranges, first, step, near, far, (x, y, yaw))


def _read_events(folder: Path, manifest: _Manifest) -> tuple[LogEvent, ...]:
    import pyarrow as pa

    path = folder / "events.parquet"
    table = _read_table(folder, "events", manifest, ["t_ns", "kind", "values"])
    if any(table.schema.field(name).type != pa.string() for name in ("kind", "values")):
        raise _damaged(path, "has columns of another type")
    stamps = _stamps(table, path, strictly=False).tolist()
    return tuple(
        LogEvent(t_ns, kind, values)
        for t_ns, kind, values in zip(stamps, table.column("kind").to_pylist(), _values_of(table, path), strict=True)
    )


def _values_of(table: Any, path: Path) -> Iterator[dict[str, Any]]:
    for text in table.column("values").to_pylist():
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise _damaged(path, f"has values that are no JSON: {error}") from error
        if not isinstance(values, dict):
            raise _damaged(path, "has values that are no mapping")
        yield values


def _report_of(file: _File) -> FileReport:
    found = {
        name: tuple(Finding(item.reason, item.count, item.first_line) for item in getattr(file, name))
        for name in ("skipped", "notes")
    }
    return FileReport(file.path, file.sha256, file.records, file.used, **found, unit=file.unit)


def _damaged(path: Path, what: str) -> InputError:
    return InputError(f"{path.name} {what}", where=str(path), mend="copy the folder again, or import the log again")
