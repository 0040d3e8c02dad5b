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
from .record import EpisodeRecord, Event, TaskResult

FORMAT = 2
"""Version of the layout of these files."""

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
        for name in _ARRAYS:
            array = io.BytesIO()
            values = np.ascontiguousarray(getattr(record, name), dtype="<f8")
            np.lib.format.write_array(array, values, version=(1, 0), allow_pickle=False)
            archive.writestr(_entry(f"{name}.npy"), array.getvalue())
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
            if not isinstance(meta, dict) or meta.get("format") != FORMAT:
                found = meta.get("format") if isinstance(meta, dict) else None
                raise InputError(
                    f"an episode record of format {found}; this version reads format {FORMAT}", where=str(path)
                )
            arrays = {
                name: np.lib.format.read_array(io.BytesIO(archive.read(f"{name}.npy")), allow_pickle=False)
                for name in _ARRAYS
            }
        return _build(meta, arrays)
    except FileNotFoundError as error:
        raise InputError("no such episode record", where=str(path), mend="check the path") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, TypeError, OSError) as error:
        raise InputError(
            f"not a whole episode record ({error})", where=str(path), mend="run the episode again"
        ) from error


def _entry(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, date_time=_STAMP)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    info.create_system = 3
    return info


def _meta(record: EpisodeRecord) -> str:
    meta: dict[str, Any] = {"format": FORMAT}
    for item in fields(EpisodeRecord):
        if item.name not in _ARRAYS and item.name not in ("events", "tasks", "kpis"):
            meta[item.name] = getattr(record, item.name)
    meta["events"] = [_plain(asdict(event)) for event in record.events]
    meta["tasks"] = [_plain(asdict(task)) for task in record.tasks]
    meta["kpis"] = _plain(record.kpis)
    return json.dumps(meta, sort_keys=True, allow_nan=False, separators=(",", ":"))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Replace NaN by None: JSON has no NaN."""
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in values.items()}


def _build(meta: dict[str, Any], arrays: dict[str, np.ndarray]) -> EpisodeRecord:
    meta = {name: value for name, value in meta.items() if name != "format"}
    events = [Event(**{**row, "position": tuple(row["position"])}) for row in meta.pop("events")]
    times = ("start_time", "pick_time", "end_time", "path_length", "shortest_length")
    tasks = [
        TaskResult(**{**row, **{name: math.nan if row[name] is None else row[name] for name in times}})
        for row in meta.pop("tasks")
    ]
    content: dict[str, Any] = {**meta, **arrays, "events": events, "tasks": tasks}
    return EpisodeRecord(**content)
