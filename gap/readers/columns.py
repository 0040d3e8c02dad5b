"""What the columns of a table mean: usual names, units in the header, and the tables of a log made of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...common.errors import InputError
from ...common.geometry import FloatArray, wrap_angle
from ..fieldlog import Drive, FieldLog, Finding, IntArray, LogReport
from .options import QUANTITIES, UNITS, ReadOptions
from .records import Table, sort_out_times

_MOVE = ("x", "y", "yaw")
FIELDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "t": ("t", ("t", "time", "stamp", "timestamp", "ts", "secs", "sec", "seconds", "datetime", "date_time", "zeit",
                "header_stamp", "time_stamp", "elapsed", "zeitstempel")),
    "x": ("length", ("x", "pos_x", "x_pos", "position_x", "px", "pose_x", "gt_x", "true_x", "pose_position_x", "tx")),
    "y": ("length", ("y", "pos_y", "y_pos", "position_y", "py", "pose_y", "gt_y", "true_y", "pose_position_y", "ty")),
    "yaw": ("angle", ("yaw", "theta", "heading", "th", "phi", "psi", "angle", "rz", "pose_yaw", "pose_theta", "gt_yaw",
                      "gt_theta", "true_yaw", "orientation", "rotation")),
    "qx": ("none", ("qx", "orientation_x", "pose_orientation_x", "q_x")),
    "qy": ("none", ("qy", "orientation_y", "pose_orientation_y", "q_y")),
    "qz": ("none", ("qz", "orientation_z", "pose_orientation_z", "q_z")),
    "qw": ("none", ("qw", "orientation_w", "pose_orientation_w", "q_w")),
    "v": ("speed", ("v", "vx", "speed", "velocity", "linear_velocity", "linear_x", "v_x", "vel_x", "vel")),
    "vy": ("speed", ("vy", "linear_y", "v_y", "vel_y")),
    "omega": ("rate", ("omega", "w", "wz", "yaw_rate", "yawrate", "angular_velocity", "angular_z", "gyro_z", "vyaw")),
    "cmd_v": ("speed", ("cmd_v", "cmd_vx", "v_cmd", "vx_cmd", "cmd_linear", "cmd_linear_x", "cmd_speed", "speed_cmd",
                        "cmd_vel_linear_x", "target_v", "v_ref", "v_target", "v_set")),
    "cmd_vy": ("speed", ("cmd_vy", "vy_cmd", "cmd_linear_y", "cmd_vel_linear_y")),
    "cmd_omega": ("rate", ("cmd_omega", "cmd_w", "omega_cmd", "w_cmd", "cmd_angular", "cmd_angular_z", "cmd_yaw_rate",
                           "cmd_vel_angular_z", "target_omega", "omega_ref", "w_ref", "omega_set", "cmd_wz")),
    "odom_x": ("length", ("odom_x", "x_odom", "odometry_x", "odom_pose_position_x")),
    "odom_y": ("length", ("odom_y", "y_odom", "odometry_y", "odom_pose_position_y")),
    "odom_yaw": ("angle", ("odom_yaw", "odom_theta", "odom_heading", "yaw_odom", "theta_odom", "odometry_yaw",
                           "odometry_theta", "odom_th")),
    "odom_v": ("speed", ("odom_v", "odom_vx", "v_odom", "odom_speed", "odom_linear_x")),
    "odom_omega": ("rate", ("odom_omega", "odom_w", "omega_odom", "odom_yaw_rate", "odom_angular_z")),
    **{f"wheel_{place}": ("wheel", (f"wheel_{place}", f"wheel_cmd_{place}", f"cmd_wheel_{place}", f"cmd_{place}"))
       for place in ("fl", "fr", "rl", "rr", "left", "right")},
    **{f"ticks_{place}": ("none", (f"ticks_{place}", f"enc_{place}", f"encoder_{place}", f"{place}_ticks",
                                   f"{place}_encoder"))
       for place in ("left", "right", "fl", "fr", "rl", "rr")},
    "robot": ("text", ("robot", "robot_id", "agv", "vehicle", "amr", "serial_number", "serialnumber", "robot_name")),
    "run": ("text", ("run", "run_id", "take", "trial", "mission")),
}  # fmt: skip
"""By field: its quantity and the usual names of its column (lower case, signs as underscores, unit taken off)."""
_UNIT_ENDINGS = {
    "mm": "mm", "cm": "cm", "m": "m", "ft": "ft", "in": "in", "ms": "ms", "us": "us", "ns": "ns", "s": "s", "sec": "s",
    "deg": "deg", "degrees": "deg", "\u00b0": "deg", "rad": "rad", "mps": "m/s", "m_s": "m/s", "mm_s": "mm/s",
    "cm_s": "cm/s", "km_h": "km/h", "kmh": "km/h", "rad_s": "rad/s", "deg_s": "deg/s", "dps": "deg/s", "rpm": "rpm",
}  # fmt: skip
_WHEELS = (("fl", "fr", "rl", "rr"), ("left", "right"))


@dataclass(frozen=True)
class Columns:
    """Which column stands for what.

    Attributes:
        index: column number from 0 by field.
        unit: by field; SI where the header and the user say nothing.
        said: where each unit comes from, by field: ``options``, ``header`` or ``default``.
        unused: names of columns that stand for nothing.
    """

    index: dict[str, int]
    unit: dict[str, str]
    said: dict[str, str]
    unused: tuple[str, ...] = ()

    def has(self, *fields: str) -> bool:
        """Tell whether all of these fields have a column."""
        return all(name in self.index for name in fields)


@dataclass
class Cells:
    """Numbers of a file by field, row by row, NaN where a cell was empty.

    Attributes:
        line: (N,) int64, 1-based.
        values: by field, (N,) float64 in SI; ``t`` in seconds.
        group: (N,) int64, number of each row's (robot, run) in ``names``.
    """

    path: Path
    sha256: str
    records: int
    line: IntArray
    values: dict[str, FloatArray]
    group: IntArray
    names: list[tuple[str, str]]
    skipped: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)


def split_unit(header: str) -> tuple[str, str | None]:
    """Return a column's name in plain form and the unit that its header gives, if any.

    ``Position X [mm]`` gives ``position_x`` and ``mm``; ``yaw_deg`` gives ``yaw`` and ``deg``.
    """
    text = header.strip().strip("\"'").lstrip("#%").strip().lower()
    unit = None
    bracket = re.search(r"[\[(]\s*([^\])]+?)\s*[\])]\s*$", text)
    if bracket:
        text, unit = text[: bracket.start()], re.sub(r"[^a-z\u00b0]+", "_", bracket[1]).strip("_")
    name = re.sub(r"[^a-z0-9\u00b0]+", "_", text).strip("_")
    if unit is None:
        for ending in sorted(_UNIT_ENDINGS, key=len, reverse=True):
            if name.endswith(f"_{ending}") and name not in _ALL_NAMES:
                name, unit = name[: -len(ending) - 1], ending
                break
    return name, _UNIT_ENDINGS.get(unit) if unit else None


_ALL_NAMES = {name for _, names in FIELDS.values() for name in names}


def find_columns(header: Sequence[str], options: ReadOptions, where: str) -> Columns:
    """Find out which column stands for which field.

    Args:
        header: names of the columns; empty names where the file has no header.
        options: ``columns`` and ``units`` go before the usual names.
        where: names the file in errors.

    Raises:
        InputError: a column or field of the options does not exist, or a unit does not fit its field.
    """
    names = [split_unit(text) for text in header]
    index: dict[str, int] = {}
    for name, column in options.columns.items():
        if name not in FIELDS:
            raise InputError(f"no field '{name}'", where="columns", mend=f"fields: {', '.join(FIELDS)}")
        index[name] = _column(column, header, where)
    taken = set(index.values())
    for name, (_, known) in FIELDS.items():
        if name in index:
            continue
        hits = [i for word in known for i, (text, _) in enumerate(names) if text == word and i not in taken]
        if hits:
            index[name] = hits[0]
            taken.add(hits[0])
    unit, said = {}, {}
    for name, column_index in index.items():
        kind = FIELDS[name][0]
        found = names[column_index][1]
        if name in options.units:
            unit[name], said[name] = options.units[name], "options"
        elif found is not None and found in QUANTITIES.get(kind, ()):
            unit[name], said[name] = found, "header"
        else:
            unit[name], said[name] = QUANTITIES.get(kind, ("",))[0], "default"
        if kind in QUANTITIES and unit[name] not in QUANTITIES[kind]:
            raise InputError(
                f"'{unit[name]}' is no unit of '{name}'", where="units", mend=f"one of {', '.join(QUANTITIES[kind])}"
            )
    unused = tuple(header[i] for i in range(len(header)) if i not in taken)
    return Columns(index, unit, said, unused)


def _column(column: str, header: Sequence[str], where: str) -> int:
    plain = [text.strip().strip("\"'") for text in header]
    if column in plain:
        return plain.index(column)
    if column.isdecimal() and 1 <= int(column) <= len(header):
        return int(column) - 1
    raise InputError(f"no column '{column}'", where=where, mend=f"columns: {', '.join(plain)}")


def to_si(values: FloatArray, name: str, unit: str) -> FloatArray:
    """Turn a field's values into SI (times into seconds); ``iso8601`` times are seconds already."""
    factor = 1.0 if unit == "iso8601" else UNITS.get(unit, 1.0)
    # Most columns are in SI already: no copy, as tables may be large.
    return values if factor == 1.0 else values * factor


def epoch_unit(values: FloatArray) -> str | None:
    """Return the unit that makes stamps of an unsaid unit fall between 1990 and 2100, if they are no seconds."""
    finite = values[np.isfinite(values)]
    if len(finite) == 0:
        return None
    typical = float(np.median(finite))
    for unit in ("ms", "us", "ns"):
        if 6.3e8 <= typical * UNITS[unit] <= 4.1e9:
            return unit
    return None


def build_logs(cells: Cells, columns: Columns, options: ReadOptions, *, simulated: bool) -> list[FieldLog]:
    """Make one log for each robot and run of a table.

    Raises:
        InputError: the table gives no pose, odometry, commands or ticks, or too much of it is bad.
    """
    wheels = next((places for places in _WHEELS if columns.has(*(f"wheel_{place}" for place in places))), None)
    counted = next((places for places in _WHEELS if columns.has(*(f"ticks_{place}" for place in places))), None)
    heading = "yaw" if columns.has("yaw") else "qz" if columns.has("qz", "qw") else None
    plan: dict[str, tuple[str, ...]] = {}
    if columns.has("x", "y"):
        plan["pose"] = ("x", "y", heading) if heading else ("x", "y")
    if columns.has("odom_x", "odom_y", "odom_yaw"):
        plan["odom"] = ("odom_x", "odom_y", "odom_yaw")
    elif columns.has("odom_v", "odom_omega"):
        plan["odom"] = ("odom_v", "odom_omega")
    if columns.has("cmd_v", "cmd_omega"):
        plan["cmd"] = ("cmd_v", "cmd_vy", "cmd_omega") if columns.has("cmd_vy") else ("cmd_v", "cmd_omega")
    elif columns.has("v", "omega") and "pose" not in plan:
        plan["cmd"] = ("v", "vy", "omega") if columns.has("vy") else ("v", "omega")
        cells.notes.append(Finding("columns of speeds without poses are taken for commands", 1, 0))
    if wheels:
        plan["wheel_cmd"] = tuple(f"wheel_{place}" for place in wheels)
    if counted:
        plan["ticks"] = tuple(f"ticks_{place}" for place in counted)
    if not plan or not columns.has("t"):
        missing = "no column of times" if not columns.has("t") else "no pose, odometry, commands or ticks"
        raise InputError(
            f"{missing} among the columns (known: {', '.join(columns.index)}; not known: {', '.join(columns.unused)})",
            where=str(cells.path),
            mend="say which column is which, for example columns: {t: Zeit, x: pos_x, y: pos_y, yaw: richtung}",
        )
    _note_speeds(cells, columns, plan)
    return [_one_log(cells, number, name, plan, columns, options, simulated) for number, name in enumerate(cells.names)]


def _note_speeds(cells: Cells, columns: Columns, plan: dict[str, tuple[str, ...]]) -> None:
    used = {name for names in plan.values() for name in names}
    idle = [name for name in ("v", "vy", "omega") if name in columns.index and name not in used]
    if idle and "pose" in plan:
        cells.notes.append(
            Finding(
                f"measured speed ({', '.join(idle)}) beside the poses passed over; cmd_v, cmd_omega name commands", 1, 0
            )
        )


def _one_log(
    cells: Cells,
    number: int,
    name: tuple[str, str],
    plan: dict[str, tuple[str, ...]],
    columns: Columns,
    options: ReadOptions,
    simulated: bool,
) -> FieldLog:
    # All rows at once where there is one log only: a mask would copy every column.
    mine: Any = slice(None) if len(cells.names) == 1 else cells.group == number
    lines = cells.line[mine]
    tables: dict[str, Any] = {}
    notes, used = list(cells.notes), np.zeros(len(lines), dtype=bool)
    for table, fields in plan.items():
        rows = np.column_stack([cells.values["t"][mine], *(cells.values[item][mine] for item in fields)])
        if fields[-1] == "qz":
            rows[:, 3] = _yaw(cells, mine)
        if table == "pose" and len(fields) == 2:
            rows = np.column_stack([rows, _course(rows)])
            notes.append(Finding("pose without heading: the direction of motion is taken", len(rows), 1))
        whole = np.isfinite(rows).all(axis=1)
        used |= whole
        if whole.sum() < 2:
            continue
        every = whole.all()
        part = Table(
            cells.path,
            rows if every else rows[whole],
            lines if every else lines[whole],
            int(whole.sum()),
            cells.sha256,
        )
        t_ns = sort_out_times(part)
        notes += [*part.skipped, *part.notes]
        tables[f"{table}_t_ns"], tables[table] = t_ns, _finish(table, part.values[:, 1:], t_ns)
    if not tables:
        raise InputError("fewer than two whole rows", where=str(cells.path), mend="give a table with rows in it")
    sideways = (
        tables.get("cmd", np.empty((0, 2))).shape[1] == 3 or tables.get("wheel_cmd", np.empty((0, 2))).shape[1] == 4
    )
    guess: Drive = "mecanum" if sideways else "differential"
    if options.drive is None:
        notes.append(Finding(f"the table does not say what moves the robot: taken for {guess} (option drive)", 1, 0))
    if simulated:
        notes.append(Finding("this run comes from a simulator, not from a robot", len(used), 1))
    if "wheel_cmd" in tables and columns.unit[plan["wheel_cmd"][0]] == "raw":
        tables["wheel_cmd_unit"] = "raw"
    # A bad row is bad in every table that is made of it: once is enough.
    report = _report(cells, int(used.sum()), len(used), list(dict.fromkeys(notes)))
    return FieldLog(
        robot=name[0],
        run=name[1],
        drive=options.drive or guess,
        report=report,
        pose_source=options.pose_source or "tracker",
        simulated=simulated,
        **{"pose_t_ns": np.empty(0, dtype=np.int64), "pose": np.empty((0, 3)), **tables},
    )


def _report(cells: Cells, used: int, rows: int, notes: list[Finding]) -> LogReport:
    skipped = list(cells.skipped)
    records = cells.records if len(cells.names) == 1 else rows
    table = Table(cells.path, np.empty((max(used, 2), 1)), cells.line, records, cells.sha256, skipped, notes)
    found = table.report()
    return LogReport((type(found)(found.path, found.sha256, records, used, found.skipped, found.notes),))


def _finish(table: str, values: FloatArray, t_ns: IntArray) -> Any:
    if table == "ticks":
        return np.round(values).astype(np.int64)
    if table == "odom" and values.shape[1] == 2:
        return reckon(values, t_ns)
    values = values.copy()
    if table in ("pose", "odom"):
        values[:, 2] = wrap_angle(values[:, 2])
    return values


def reckon(twist: FloatArray, t_ns: IntArray) -> FloatArray:
    """Integrate measured speeds (N, 2) to a track (N, 3), by the mean speed between stamps."""
    dt = np.diff(t_ns) / 1e9
    mean = 0.5 * (twist[1:] + twist[:-1])
    yaw = np.concatenate([[0.0], np.cumsum(mean[:, 1] * dt)])
    middle = 0.5 * (yaw[1:] + yaw[:-1])
    x = np.concatenate([[0.0], np.cumsum(mean[:, 0] * dt * np.cos(middle))])
    y = np.concatenate([[0.0], np.cumsum(mean[:, 0] * dt * np.sin(middle))])
    return np.column_stack([x, y, wrap_angle(yaw)])


def _yaw(cells: Cells, mine: Any) -> FloatArray:
    zero = np.zeros(len(cells.line))
    x, y, z, w = (cells.values.get(name, zero)[mine] for name in ("qx", "qy", "qz", "qw"))
    result: FloatArray = np.arctan2(2.0 * (w * z + x * y), w * w + x * x - y * y - z * z)
    return result


def _course(rows: FloatArray) -> FloatArray:
    """Direction of motion (N,) of positions, from one row to the next; standing rows keep the last one."""
    step = np.diff(rows[:, 1:3], axis=0, append=rows[-1:, 1:3])
    course = np.arctan2(step[:, 1], step[:, 0])
    moving = np.hypot(step[:, 0], step[:, 1]) > 1e-4
    last = np.maximum.accumulate(np.where(moving, np.arange(len(rows)), -1))
    first = int(np.argmax(moving)) if moving.any() else 0
    result: FloatArray = course[np.where(last < 0, first, last)]
    return result
