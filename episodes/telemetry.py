"""Telemetry on disk: a folder with one CSV file per robot and a manifest that says what was injected.

The manifest, ``telemetry.json``, names columns and units, run, faults with their true times, and the SHA-256 of every
file. Equal telemetry gives equal bytes. Measured columns are rounded to six significant digits.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..common.errors import InputError
from ..common.files import write_bytes_atomic, write_json_atomic
from ..robots.condition_model import COLUMNS, LABELS, MEASURED, TELEMETRY_RATE, fault_name
from ..robots.faults import FAULT_KINDS, Fault
from .routes import FloatArray

FORMAT = 1
"""Version of the layout of these folders."""
MANIFEST = "telemetry.json"

UNITS = {
    "t_s": "s",
    "current_a": "A",
    "voltage_v": "V",
    "motor_current_left_a": "A",
    "motor_current_right_a": "A",
    "temperature_left_c": "degC",
    "temperature_right_c": "degC",
    "vibration_rms_mm_s": "mm/s",
    "speed_m_s": "m/s",
    "soc": "1",
    "fault": "name",
    "fault_active": "0 or 1",
    "severity": "1",
    "rul_h": "h of operation",
}


@dataclass(frozen=True)
class Telemetry:
    """The telemetry of a run.

    Attributes:
        scenario_hash, seed, index: what was run.
        time_scale: seconds of operation in a second of the run.
        age_h: (R,) hours of operation before the run.
        faults: of each robot; hours of operation since it was new.
        rows: (N, R, C) float64, columns as in ``robots.condition_model.COLUMNS``; row n ends at ``(n + 1) / 10`` s.
    """

    scenario_hash: str
    seed: int
    index: int
    time_scale: float
    age_h: FloatArray
    faults: tuple[tuple[Fault, ...], ...]
    rows: FloatArray


def save_telemetry(telemetry: Telemetry, folder: str | Path) -> list[Path]:
    """Write the telemetry of a run; the manifest comes last, so that a folder with one is whole.

    Returns:
        The files written, the manifest last.

    Raises:
        InputError: the folder cannot be written.
    """
    folder = Path(folder)
    files = []
    for robot in range(telemetry.rows.shape[1]):
        name = f"robot_{robot:03d}.csv"
        data = _csv_bytes(telemetry.rows[:, robot])
        write_bytes_atomic(folder / name, data)
        files.append({"file": name, "robot": robot, "sha256": hashlib.sha256(data).hexdigest()})
    manifest = {
        "format": FORMAT,
        "rate_hz": TELEMETRY_RATE,
        "rows": len(telemetry.rows),
        "columns": [{"name": name, "unit": UNITS[name], "label": name in LABELS} for name in COLUMNS],
        "fault_kinds": list(FAULT_KINDS),
        "scenario_hash": telemetry.scenario_hash,
        "seed": telemetry.seed,
        "index": telemetry.index,
        "time_scale": telemetry.time_scale,
        "age_h": telemetry.age_h.tolist(),
        "faults": [asdict(fault) for row in telemetry.faults for fault in row],
        "files": files,
    }
    write_json_atomic(folder / MANIFEST, manifest)
    return [*(folder / str(entry["file"]) for entry in files), folder / MANIFEST]


def load_telemetry(folder: str | Path) -> Telemetry:
    """Read what ``save_telemetry`` wrote.

    Raises:
        InputError: no manifest, another format, or a file that is missing, changed or not as the manifest says.
    """
    path = Path(folder) / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if manifest.get("format") != FORMAT:
            raise InputError(
                f"telemetry of format {manifest.get('format')}; this version reads format {FORMAT}", where=str(path)
            )
        age = np.array(manifest["age_h"], dtype=np.float64)
        rows = np.empty((int(manifest["rows"]), len(age), len(COLUMNS)))
        for entry in manifest["files"]:
            data = (Path(folder) / Path(entry["file"]).name).read_bytes()
            if hashlib.sha256(data).hexdigest() != entry["sha256"]:
                raise InputError("the file is not the one that the manifest names", where=str(entry["file"]))
            rows[:, int(entry["robot"])] = _parsed(data)
        faults: list[list[Fault]] = [[] for _ in age]
        for item in manifest["faults"]:
            faults[item["robot"]].append(Fault(**item))
        return Telemetry(
            scenario_hash=manifest["scenario_hash"],
            seed=manifest["seed"],
            index=manifest["index"],
            time_scale=manifest["time_scale"],
            age_h=age,
            faults=tuple(tuple(row) for row in faults),
            rows=rows,
        )
    except FileNotFoundError as error:
        raise InputError("no whole telemetry here", where=str(error.filename), mend="check the path") from error
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, OSError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"not whole telemetry ({error})", where=str(path), mend="run the episode again") from error


def _csv_bytes(rows: FloatArray) -> bytes:
    """Return the rows (N, C) of a robot as CSV; what is unknown stays empty."""
    count = len(MEASURED)
    numbers = "%.1f," + ",".join(["%.6g"] * (count - 1))
    lines = [",".join(COLUMNS)]
    for row in rows.tolist():
        left = "" if math.isnan(row[count + 3]) else f"{row[count + 3]:.6g}"
        labels = f"{fault_name(int(row[count]))},{int(row[count + 1])},{row[count + 2]:.6g},{left}"
        lines.append(f"{numbers % tuple(row[:count])},{labels}")
    return ("\n".join(lines) + "\n").encode()


def _parsed(data: bytes) -> FloatArray:
    """Return the rows (N, C) of a CSV file, kinds as their codes."""
    reader = csv.reader(io.StringIO(data.decode()))
    if tuple(next(reader, ())) != COLUMNS:
        raise ValueError("other columns than expected")
    place = COLUMNS.index("fault")
    rows = []
    for cells in reader:
        cells[place] = str(FAULT_KINDS.index(cells[place]) + 1) if cells[place] else "0"  # type: ignore[arg-type]
        rows.append([float(value) if value else math.nan for value in cells])
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(COLUMNS))
