"""Records on disk: one ``.npz`` per episode, arrays as they are and everything else as JSON inside.

Equal records give equal bytes: entries come in a fixed order, compressed at a fixed level, without time stamps. Nothing
in a file is ever executed: arrays are plain numbers and pickles are refused.
"""

from __future__ import annotations

import io
import json
import math
import zipfile
import zlib
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..common.errors import InputError
from ..common.files import write_bytes_atomic
from .record import EpisodeRecord, Event, FloorResult, OrderResult, TaskResult
from .stock import StockTable

FORMAT = 2
"""Version of the layout of these files."""
FLOOR_FORMAT = 3
"""Version of those of episodes with orders, or with a record rate: more entries, the rest as in ``FORMAT``."""

_ARRAYS = (
    "time",
    "pose",
    "velocity",
    "command",
    "goal",
    "min_clearance",
    "person_distance",
    "person_pose",
    "person_velocity",
    "robot_radius",
    "person_radius",
    "energy_wh",
    "loose_moves",
)
_STOCK = {"opening": "<i8", "time": "<f8", "moves": "<i8"}
"""Arrays of the stock's books and their types; the entries are called ``stock_...``."""
_FORKLIFTS = ("forklift_pose", "forklift_load")
"""Arrays that only episodes with forklifts have."""
_META = "record.json"
_STAMP = (1980, 1, 1, 0, 0, 0)


def save_record(record: EpisodeRecord, path: str | Path) -> None:
    """Write a record, whole or not at all; equal records give equal bytes.

    Raises:
        InputError: the file cannot be written.
    """
    write_bytes_atomic(path, record_bytes(record))


def record_bytes(record: EpisodeRecord) -> bytes:
    """Return the bytes that ``save_record`` writes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        archive.writestr(_entry(_META), _meta(record))
        for name in (*_ARRAYS, *(_FORKLIFTS if record.forklift_pose.shape[1] else ())):
            archive.writestr(_entry(f"{name}.npy"), _array_bytes(getattr(record, name), "<f8"))
        if record.floor is not None:
            for name, kind in _STOCK.items():
                values = getattr(record.floor.stock, name)
                archive.writestr(_entry(f"stock_{name}.npy"), _array_bytes(values, kind))
    return buffer.getvalue()


def load_record(path: str | Path) -> EpisodeRecord:
    """Read a record that ``save_record`` wrote.

    Raises:
        InputError: no such file, cut off, damaged or of another format.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            meta = json.loads(archive.read(_META))
            if not isinstance(meta, dict) or meta.get("format") not in (FORMAT, FLOOR_FORMAT):
                found = meta.get("format") if isinstance(meta, dict) else None
                raise InputError(
                    f"an episode record of format {found}; this version reads formats {FORMAT} and {FLOOR_FORMAT}",
                    where=str(path),
                )
            there = [name for name in _FORKLIFTS if f"{name}.npy" in archive.namelist()]
            arrays = {name: _read_array(archive, name) for name in (*_ARRAYS, *there)}
            stock = {name: _read_array(archive, f"stock_{name}") for name in _STOCK} if meta.get("floor") else {}
        return _build(meta, arrays, stock)
    except FileNotFoundError as error:
        raise InputError("no such episode record", where=str(path), mend="check the path") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, TypeError, OSError) as error:
        raise InputError(
            f"not a whole episode record ({error})", where=str(path), mend="run the episode again"
        ) from error


def _array_bytes(values: np.ndarray, kind: str) -> bytes:
    array = io.BytesIO()
    np.lib.format.write_array(array, np.ascontiguousarray(values, dtype=kind), version=(1, 0), allow_pickle=False)
    return array.getvalue()


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    return np.asarray(np.lib.format.read_array(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False))


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, date_time=_STAMP)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    info.create_system = 3
    return info


def _meta(record: EpisodeRecord) -> str:
    extended = record.floor is not None or record.record_period is not None
    meta: dict[str, Any] = {"format": FLOOR_FORMAT if extended else FORMAT}
    for item in fields(EpisodeRecord):
        apart = (*_ARRAYS, *_FORKLIFTS, "events", "tasks", "kpis", "floor", "record_period")
        if item.name not in apart:
            meta[item.name] = getattr(record, item.name)
    if extended:
        meta["record_period"] = record.record_period
        meta["floor"] = None if record.floor is None else _floor_meta(record.floor)
    meta["events"] = [_plain(asdict(event)) for event in record.events]
    meta["tasks"] = [_plain(asdict(task)) for task in record.tasks]
    meta["kpis"] = _plain(record.kpis)
    return json.dumps(meta, sort_keys=True, allow_nan=False, separators=(",", ":"))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Replace NaN by None: JSON has no NaN."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in values.items()}


def _floor_meta(floor: FloorResult) -> dict[str, Any]:
    stock = floor.stock
    return {
        "orders": [_plain(asdict(order)) for order in floor.orders],
        "charging_s": floor.charging_s.tolist(),
        "deadlocks": floor.deadlocks,
        "withdrawals": floor.withdrawals,
        "skipped": floor.skipped,
        "places": stock.places,
        "skus": stock.skus,
        "reasons": stock.reasons,
    }


def _floor(meta: dict[str, Any], stock: dict[str, np.ndarray]) -> FloorResult:
    places, skus, reasons = (tuple(meta.pop(name)) for name in ("places", "skus", "reasons"))
    books = StockTable(places, skus, reasons, stock["opening"], stock["time"], stock["moves"])
    numbers = ("due", "end_time")
    orders = [
        OrderResult(**{**row, **{name: math.nan if row[name] is None else row[name] for name in numbers}})
        for row in meta.pop("orders")
    ]
    charging = np.array(meta.pop("charging_s"), dtype=np.float64)
    return FloorResult(orders=orders, stock=books, charging_s=charging, **meta)


def _build(meta: dict[str, Any], arrays: dict[str, np.ndarray], stock: dict[str, np.ndarray]) -> EpisodeRecord:
    meta = {name: value for name, value in meta.items() if name != "format"}
    events = [Event(**{**row, "position": tuple(row["position"])}) for row in meta.pop("events")]
    times = ("start_time", "pick_time", "end_time", "path_length", "shortest_length")
    tasks = [
        TaskResult(**{**row, **{name: math.nan if row[name] is None else row[name] for name in times}})
        for row in meta.pop("tasks")
    ]
    if meta.get("floor") is not None:
        meta["floor"] = _floor(meta["floor"], stock)
    content: dict[str, Any] = {**meta, **arrays, "events": events, "tasks": tasks}
    return EpisodeRecord(**content)
