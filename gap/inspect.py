"""What a log holds, how sound it is, and what of the gap can be measured from it and what not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..common.geometry import FloatArray, wrap_angle
from .clocks import REACH, Offset, coarse_offset, fine_offset, is_far, yaw_track
from .fieldlog import SECOND, FieldLog, IntArray
from .orders import timed_orders
from .readers.sanity import suspicions

TABLES = ("pose", "odom", "cmd", "wheel_cmd", "ticks", "scans", "events")
_HOLE = 5.0
"""A pause so many times the median is a hole, if it is longer than ``_LEAST_HOLE`` [s]."""
_LEAST_HOLE = 0.5
_EDGE = 0.05
"""An offset so near the end of the search [s] is none."""
_STANDING = 0.01
"""Below this speed a robot stands [m/s]."""
MIN_TRAVEL = 25.0
"""Odometry per metre needs so much travel [m]: a fifth of it calibrates."""


@dataclass(frozen=True)
class TableFacts:
    """One table of a log.

    Attributes:
        table: its name.
        records: rows.
        begin_s, end_s: first and last stamp [s], None if empty.
        rate_hz: one over the median pause.
        pause_p95_s: 95th percentile of the pauses [s].
        holes: pauses of five times the median and over half a second.
        longest_hole_s, hole_at_s: length and stamp of the longest of them.
    """

    table: str
    records: int
    begin_s: float | None = None
    end_s: float | None = None
    rate_hz: float | None = None
    pause_p95_s: float | None = None
    holes: int = 0
    longest_hole_s: float | None = None
    hole_at_s: float | None = None


@dataclass(frozen=True)
class ClockFacts:
    """How a table's clock stands against the poses'.

    Attributes:
        table: the table.
        offset_s: seconds to add to its stamps, None where it cannot be told.
        low_s, high_s: 95 % interval, None for offsets of minutes and hours.
        clear: whether the offset differs from zero for certain, and matters.
        why: why there is no offset, or what it may come from.
    """

    table: str
    offset_s: float | None
    low_s: float | None
    high_s: float | None
    clear: bool
    why: str


@dataclass(frozen=True)
class Measurable:
    """Something that the gap has a figure for, and whether this log gives it."""

    what: str
    possible: bool
    why: str


@dataclass(frozen=True)
class LogFacts:
    """One log.

    Attributes:
        name, drive, pose_source, simulated: as the log has them.
        tables: facts of those that hold records, in the order of ``TABLES``.
        travel_m: path of the poses (of the odometry without), None without either.
        speed_median, speed_p95, turn_p95: while moving [m/s, m/s, rad/s].
        standing: share of the time.
        beams, no_return, invalid: of the scans: beams, share of ranges beyond reach, share without a valid reading.
        jumps: leaps, in words.
        clocks: of commands and odometry against the poses.
        units: what looks like a wrong unit.
        measurable: what can be measured, and what not and why.
        findings: what the import said.
    """

    name: str
    drive: str
    pose_source: str
    simulated: bool
    tables: list[TableFacts]
    travel_m: float | None
    speed_median: float | None
    speed_p95: float | None
    turn_p95: float | None
    standing: float | None
    beams: int | None
    no_return: float | None
    invalid: float | None
    jumps: list[str]
    clocks: list[ClockFacts]
    units: list[str]
    measurable: list[Measurable]
    findings: list[str]


@dataclass(frozen=True)
class Inspection:
    """All logs of a set."""

    logs: list[LogFacts]

    def inspect_rows(self) -> list[dict[str, str | float | int | bool | None]]:
        """Return one JSON-safe row for every fact: ``log``, ``section``, ``item``, ``value``, ``unit``, ``note``."""
        rows: list[dict[str, str | float | int | bool | None]] = []

        def add(log: str, section: str, item: str, value: Any, unit: str = "", note: str = "") -> None:
            rows.append({"log": log, "section": section, "item": item, "value": value, "unit": unit, "note": note})

        for log in self.logs:
            source = f"poses by {log.pose_source}" if any(item.table == "pose" for item in log.tables) else "no poses"
            add(log.name, "log", "drive", log.drive, note="simulated, not real" if log.simulated else source)
            for table in log.tables:
                note = (
                    f"{table.rate_hz:.3g} Hz, 95 % of pauses below {table.pause_p95_s:.3g} s" if table.rate_hz else ""
                )
                if table.holes:
                    note += (
                        f"; {table.holes} holes, the longest {table.longest_hole_s:.2f} s at {table.hole_at_s:.3f} s"
                    )
                add(log.name, "table", table.table, table.records, "records", note)
            for item, value, unit in (
                ("travel", log.travel_m, "m"),
                ("median speed while moving", log.speed_median, "m/s"),
                ("95th percentile of speed", log.speed_p95, "m/s"),
                ("95th percentile of turning", log.turn_p95, "rad/s"),
                ("share of time standing", log.standing, "1"),
                ("beams", log.beams, "1"),
                ("share of ranges without return", log.no_return, "1"),
                ("share of invalid ranges", log.invalid, "1"),
            ):
                if value is not None:
                    add(log.name, "motion" if unit not in ("1",) or "time" in item else "scans", item, value, unit)
            for clock in log.clocks:
                offset_s = None if clock.offset_s is None else round(clock.offset_s, 4) + 0.0
                add(log.name, "clock", f"{clock.table} to poses", offset_s, "s", clock.why)
            for text in log.jumps:
                add(log.name, "leap", text, None, note="nothing is measured across it")
            for text in log.units:
                add(log.name, "unit", text, None)
            for thing in log.measurable:
                add(log.name, "measurable", thing.what, thing.possible, note=thing.why)
            for text in log.findings:
                add(log.name, "import", text, None)
        return rows

    def lines(self) -> list[str]:
        """Return the inspection as text for people."""
        lines, last = [], None
        for row in self.inspect_rows():
            if row["log"] != last:
                lines.append(f"{row['log']}")
                last = row["log"]
            value = row["value"]
            if row["section"] == "measurable":
                shown = "yes" if value else "no"
            else:
                shown = f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
            unit = f" {row['unit']}" if row["unit"] not in ("", "1") and shown else ""
            lines.append(
                f"  {row['section']:<11}{row['item']}"
                + (f": {shown}{unit}" if shown else "")
                + (f" ({row['note']})" if row["note"] else "")
            )
        return lines


def inspect(logs: Sequence[FieldLog], seed: int = 0) -> Inspection:
    """Look into logs.

    Args:
        logs: as ``read_log`` gives them.
        seed: of the intervals of clock offsets.
    """
    return Inspection([_facts(log, seed) for log in logs])


def inspect_rows(logs: Sequence[FieldLog], seed: int = 0) -> list[dict[str, str | float | int | bool | None]]:
    """Look into logs and return one row for every fact (see ``Inspection.inspect_rows``)."""
    return inspect(logs, seed).inspect_rows()


def _facts(log: FieldLog, seed: int) -> LogFacts:
    tables = [item for item in (_table(name, _stamps(log, name)) for name in TABLES) if item.records]
    travel, median, p95, turning, standing = _motion(log)
    scans = log.scans
    clocks = [item for item in (_clock(log, name, seed) for name in ("cmd", "odom")) if item is not None]
    return LogFacts(
        name=log.name,
        drive=log.drive,
        pose_source=log.pose_source,
        simulated=log.simulated,
        tables=tables,
        travel_m=travel,
        speed_median=median,
        speed_p95=p95,
        turn_p95=turning,
        standing=standing,
        beams=None if scans is None else scans.ranges.shape[1],
        no_return=None if scans is None else float(np.isposinf(scans.ranges).mean()),
        invalid=None if scans is None else float((np.isnan(scans.ranges) | np.isneginf(scans.ranges)).mean()),
        jumps=[f"{event.values.get('table', '')}: {event.values.get('what', 'leap')}" for event in _jumps(log)],
        clocks=clocks,
        units=[str(item) for item in suspicions(log)],
        measurable=_measurable(log, travel, clocks),
        findings=log.report.lines(),
    )


def _jumps(log: FieldLog) -> list[Any]:
    return [event for event in log.events if event.kind == "jump"]


def _stamps(log: FieldLog, table: str) -> IntArray:
    if table == "scans":
        return log.scans.t_ns if log.scans is not None else np.empty(0, dtype=np.int64)
    if table == "events":
        return np.array([event.t_ns for event in log.events if event.kind != "jump"], dtype=np.int64)
    stamps: IntArray = getattr(log, f"{table}_t_ns")
    return stamps


def _table(name: str, t_ns: IntArray) -> TableFacts:
    if len(t_ns) < 2:
        return TableFacts(name, len(t_ns))
    pauses = np.diff(t_ns) / SECOND
    median = float(np.median(pauses))
    facts = TableFacts(
        name,
        len(t_ns),
        begin_s=float(t_ns[0] / SECOND),
        end_s=float(t_ns[-1] / SECOND),
        rate_hz=1.0 / median if median > 0.0 else None,
        pause_p95_s=float(np.percentile(pauses, 95)),
    )
    holes = np.flatnonzero(pauses > max(_HOLE * median, _LEAST_HOLE))
    if name == "events" or len(holes) == 0:
        return facts
    longest = int(holes[pauses[holes].argmax()])
    return replace(
        facts,
        holes=len(holes),
        longest_hole_s=float(pauses[longest]),
        hole_at_s=float(t_ns[longest] / SECOND),
    )


def _motion(log: FieldLog) -> tuple[float | None, ...]:
    """Return travel [m], median and 95th percentile of speed, 95th percentile of turning, share of time standing."""
    table = "pose" if len(log.pose_t_ns) >= 2 else "odom"
    t_ns, track = getattr(log, f"{table}_t_ns"), getattr(log, table)
    if len(t_ns) < 2:
        return (None,) * 5
    # Half-second steps: shorter ones would add up the tracker's noise.
    slot = (t_ns - t_ns[0]) // (SECOND // 2)
    pick = np.append(np.flatnonzero(np.diff(slot, prepend=-1) > 0), len(t_ns) - 1)
    pick = np.unique(pick)
    step = np.hypot(*np.diff(track[pick, :2], axis=0).T)
    pause = np.maximum(np.diff(t_ns[pick]) / SECOND, 0.25)
    turn = np.abs(wrap_angle(np.diff(track[pick, 2]))) / pause
    speed = step / pause
    moving = (speed > _STANDING) | (turn > 0.05)
    if not moving.any():
        return float(step.sum()), 0.0, 0.0, 0.0, 1.0
    return (
        float(step.sum()),
        float(np.median(speed[moving])),
        float(np.percentile(speed[moving], 95)),
        float(np.percentile(turn[moving], 95)),
        float(pause[~moving].sum() / pause.sum()),
    )


def _clock(log: FieldLog, table: str, seed: int) -> ClockFacts | None:
    reference, track = _turning(log, "pose"), _turning(log, table)
    if track is None or reference is None:
        return None
    overlap = min(track[0][-1], reference[0][-1]) > max(track[0][0], reference[0][0])
    offset = fine_offset(reference, track, seed=seed) if overlap else None
    # An interval that comes near the end of what was searched, or fills it, says that the offset is elsewhere.
    within = offset is not None and offset.low > -REACH + _EDGE and offset.high < REACH - _EDGE
    if offset is not None and within and offset.after < 0.3 and not is_far(reference, track):
        return _fine(table, offset)
    coarse = coarse_offset(reference, track)
    if coarse is None:
        why = (
            "the turns of both agree under no offset, or are too few"
            if overlap
            else "no common time, and no offset found"
        )
        return ClockFacts(table, None, None, None, False, why)
    why = f"turns agree (correlation {coarse[1]:.2f}) with shift_s: {{{table}: {coarse[0]:.1f}}}"
    return ClockFacts(table, coarse[0], None, None, abs(coarse[0]) > 1.0, why)


def _turning(log: FieldLog, table: str) -> tuple[IntArray, FloatArray] | None:
    """Return stamps and running heading [rad] of a table without its leaps, which say nothing of clocks."""
    track = yaw_track(log, table)
    if track is None:
        return None
    t_ns, yaw = track[0], track[1].copy()
    for event in _jumps(log):
        if event.values.get("table") == table and str(event.values.get("what", "")).startswith("heading"):
            after = int(np.searchsorted(t_ns, event.t_ns))
            before = int(np.searchsorted(t_ns, int(event.values["from_ns"])))
            yaw[before + 1 :] -= yaw[min(after, len(yaw) - 1)] - yaw[min(before, len(yaw) - 1)]
    return t_ns, yaw


def _fine(table: str, offset: Offset) -> ClockFacts:
    # Whole numbers, lest a small negative one read "-0".
    interval = f"95 % interval {round(offset.low * 1e3)} to {round(offset.high * 1e3)} ms"
    if not offset.clear:
        return ClockFacts(table, offset.seconds, offset.low, offset.high, False, f"{interval}: no clear offset")
    late = "earlier" if offset.seconds > 0 else "later"
    why = f"{interval}: {table} turns {late} than the poses"
    why += " (delay of the drive and of the clock together)" if table == "cmd" else ""
    return ClockFacts(table, offset.seconds, offset.low, offset.high, True, why)


def _measurable(log: FieldLog, travel: float | None, clocks: Sequence[ClockFacts]) -> list[Measurable]:
    poses = len(log.pose_t_ns) >= 2
    truth = poses and log.pose_source != "localisation"
    no_truth = "no true poses" if not poses else "the poses are the robot's own localisation, no independent truth"
    hours = {item.table: item.why for item in clocks if item.offset_s is not None and abs(item.offset_s) > 1.0}
    found = [_replay(log, truth, no_truth, hours)]
    if not len(log.odom_t_ns):
        odometry = Measurable("odometry per metre", False, "no odometry")
    elif not truth:
        odometry = Measurable("odometry per metre", False, no_truth)
    elif "odom" in hours:
        odometry = Measurable("odometry per metre", False, f"clocks apart: {hours['odom']}")
    elif (travel or 0.0) < MIN_TRAVEL:
        odometry = Measurable("odometry per metre", False, f"{travel:.1f} m of travel, {MIN_TRAVEL:g} m are needed")
    else:
        odometry = Measurable("odometry per metre", True, f"{travel:.0f} m of travel against {log.pose_source} poses")
    found.append(odometry)
    found.append(_lidar(log, poses))
    if poses and not any(map(len, (log.input_t_ns, log.odom_t_ns, _stamps(log, "scans")))):
        found.append(
            Measurable("closed-loop drive", True, "a path with its times, no commands: a fit to this run only")
        )
    found.append(_tasks(log, poses))
    if log.simulated:
        found = [Measurable(item.what, False, "a simulated run is no real half of a gap") for item in found]
    return found


def _replay(log: FieldLog, truth: bool, no_truth: str, hours: dict[str, str]) -> Measurable:
    what = "motion replay"
    if not len(log.input_t_ns):
        return Measurable(what, False, "no commands, wheel commands or encoder ticks")
    if not truth:
        return Measurable(what, False, no_truth)
    if log.drive == "unknown":
        return Measurable(what, False, "the log does not say what moves the robot: give the option drive")
    if "cmd" in hours:
        return Measurable(what, False, f"clocks apart: {hours['cmd']}")
    if min(log.input_t_ns[-1], log.pose_t_ns[-1]) <= max(log.input_t_ns[0], log.pose_t_ns[0]):
        return Measurable(what, False, "commands and poses share no time")
    return Measurable(what, True, f"{log.duration:.0f} s of commands or ticks with true poses")


def _lidar(log: FieldLog, poses: bool) -> Measurable:
    what = "lidar"
    if log.scans is None or len(log.scans) == 0:
        return Measurable(what, False, "no scans")
    if not poses:
        return Measurable(what, False, "scans, but no poses to place them at")
    if len(log.scans) < 50:
        return Measurable(what, False, f"only {len(log.scans)} scans")
    return Measurable(what, True, f"{len(log.scans)} scans of {log.scans.ranges.shape[1]} beams with poses")


def _tasks(log: FieldLog, poses: bool) -> Measurable:
    what = "task times and routes"
    events = [event for event in log.events if event.kind not in ("jump", "parameters")]
    if not events:
        return Measurable(what, False, "no events of tasks")
    count = timed_orders(log)
    if count == 0:
        kinds = ", ".join(sorted({event.kind for event in events})[:6])
        return Measurable(what, False, f"no order that was taken and worked on; events: {kinds}")
    told = f"{count} orders" if count > 1 else "1 order"
    return Measurable(what, True, told if poses else f"{told}; times only: no positions to measure routes by")
