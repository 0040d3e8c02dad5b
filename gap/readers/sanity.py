"""What a log cannot mean: leaps that no robot makes, and units that contradict its own motion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from ...common.errors import InputError
from ...common.geometry import FloatArray, relative, wrap_angle
from ..clocks import coarse_offset, yaw_track
from ..fieldlog import SECOND, FieldLog, Finding, IntArray, LogEvent, LogReport, interpolate_pose
from .options import ReadOptions, Shifted

LEAP_TURN, LEAP_MOVE = 0.6, 0.5
"""Least leap in heading [rad] and position [m] from one record to the next that is looked into."""
_RARE = 8.0
"""A leap is so many times the 99th percentile of the table's steps."""
_MOST = 1000
"""Leaps that are marked at most, of a kind and a table."""
_AGREES = 0.5
"""Share of a leap that another table must not confirm."""
_DEGREES = 180.0 / np.pi
_FACTORS = (1000.0, 100.0, _DEGREES)
_RATIO_SLACK = 1.6
"""A ratio within this factor of 1000, 100 or 57.3 is taken for it."""
MAX_SPEED = 20.0
"""No floor robot is faster [m/s]."""


@dataclass(frozen=True)
class Suspicion:
    """A unit that is probably wrong.

    Attributes:
        field: what it is the unit of, as ``ReadOptions.units`` names it.
        unit: what it probably is.
        evidence: why, in figures.
    """

    field: str
    unit: str
    evidence: str

    def __str__(self) -> str:
        return f"{self.field} looks like {self.unit}: {self.evidence}"


def examine(log: FieldLog, options: ReadOptions) -> FieldLog:
    """Shift clocks as asked, mark leaps as events of kind ``jump`` and note what looks like a wrong unit."""
    log = shift(log, options.shift_s)
    # A stored log was looked at when it was imported: what it tells already is not told twice.
    leaps = [event for event in find_jumps(log) if event not in log.events]
    notes = [Finding(str(item), 1, 0) for item in suspicions(log)]
    notes += [Finding(text, 1, 0) for text in strangers(log)]
    for table in ("odom", "pose"):
        told = [event.values["what"] for event in leaps if event.values["table"] == table]
        if told:
            more = f", and {len(told) - 1} more" if told[1:] else ""
            notes.append(Finding(f"leap in {table}: {told[0]}{more}", len(told), 0))
    first, *others = log.report.files
    notes = [note for note in notes if note not in first.notes]
    if not notes and not leaps:
        return log
    report = LogReport((replace(first, notes=(*first.notes, *notes)), *others))
    events = tuple(sorted((*log.events, *leaps), key=lambda event: event.t_ns))
    return replace(log, report=report, events=events)


def strangers(log: FieldLog) -> list[str]:
    """Say which tables share no time with the poses, and by how many seconds their clock seems to be off."""
    found = []
    for table in ("cmd", "odom"):
        stamps = getattr(log, f"{table}_t_ns")
        if len(stamps) < 2 or len(log.pose_t_ns) < 2:
            continue
        if min(stamps[-1], log.pose_t_ns[-1]) > max(stamps[0], log.pose_t_ns[0]):
            continue
        apart = (int(log.pose_t_ns[0]) - int(stamps[0])) / SECOND
        told = f"{table} and poses share no time: their first stamps are {apart:+.3f} s apart"
        reference, track = yaw_track(log, "pose"), yaw_track(log, table)
        offset = coarse_offset(reference, track) if reference and track else None
        if offset is not None:
            told += (
                f"; both turn alike (correlation {offset[1]:.2f}) if {offset[0]:.1f} s are added to {table}:"
                f" shift_s: {{{table}: {offset[0]:.1f}}}"
            )
        found.append(told)
    return found


def shift(log: FieldLog, seconds: Mapping[Shifted, float]) -> FieldLog:
    """Return the log with some tables' stamps moved by seconds, by table."""
    for table, amount in seconds.items():
        by = round(amount * SECOND)
        if table == "events":
            log = replace(log, events=tuple(replace(event, t_ns=event.t_ns + by) for event in log.events))
        elif table == "scans":
            log = replace(log, scans=replace(log.scans, t_ns=log.scans.t_ns + by) if log.scans else None)
        else:
            log = replace(log, **{f"{table}_t_ns": getattr(log, f"{table}_t_ns") + by})
    return log


def find_jumps(log: FieldLog) -> list[LogEvent]:
    """Find leaps of the poses and of the odometry that the other of the two does not confirm.

    A leap is over half a metre, or 0.6 rad, and eight times what 99 % of the table's steps stay below. A robot that
    really turned during a hole in one table shows so in the other.
    """
    found = []
    for table, other in (("odom", "pose"), ("pose", "odom")):
        t_ns, track = getattr(log, f"{table}_t_ns"), getattr(log, table)
        if len(t_ns) < 20:
            continue
        step = relative(track[:-1], track[1:])
        for size, least, unit in (
            (np.abs(step[:, 2]), LEAP_TURN, "heading"),
            (np.hypot(step[:, 0], step[:, 1]), LEAP_MOVE, "position"),
        ):
            for index in np.flatnonzero((size > least) & (size > _RARE * np.percentile(size, 99)))[:_MOST]:
                if _confirmed(log, table, other, int(index), step[index], unit):
                    continue
                amount = f"{np.degrees(size[index]):.0f} degrees" if unit == "heading" else f"{size[index]:.2f} m"
                pause = (t_ns[index + 1] - t_ns[index]) / SECOND
                what = f"{unit} by {amount} within {pause:.2f} s at {t_ns[index + 1] / SECOND:.3f} s"
                found.append(
                    LogEvent(int(t_ns[index + 1]), "jump", {"table": table, "what": what, "from_ns": int(t_ns[index])})
                )
    return found


def _confirmed(log: FieldLog, table: str, other: str, index: int, step: FloatArray, unit: str) -> bool:
    """Tell whether the other table moved as well over the records of this step."""
    own_t, other_t, other_track = getattr(log, f"{table}_t_ns"), getattr(log, f"{other}_t_ns"), getattr(log, other)
    if len(other_t) < 2:
        return False
    before = int(np.searchsorted(other_t, own_t[index], side="right")) - 1
    after = int(np.searchsorted(other_t, own_t[index + 1], side="left"))
    if before < 0 or after >= len(other_t):
        return False
    ends = np.array([other_t[before], other_t[after]])
    own = relative(*interpolate_pose(ends, own_t, getattr(log, table)))
    seen = relative(other_track[before], other_track[after])
    gap = relative(seen, own)
    if unit == "heading":
        return bool(abs(gap[2]) < _AGREES * abs(step[2]))
    return bool(np.hypot(gap[0], gap[1]) < _AGREES * np.hypot(step[0], step[1]))


def suspicions(log: FieldLog) -> list[Suspicion]:
    """Compare the tables of a log with each other: lengths, turns and stamps that differ by a unit's factor."""
    found: list[Suspicion] = []
    tracks = {name: _totals(getattr(log, f"{name}_t_ns"), getattr(log, name)) for name in ("pose", "odom")}
    prefix = {"pose": "", "odom": "odom_"}
    asked = _commanded(log)
    for name, total in tracks.items():
        if total is None:
            continue
        length, turn, speed, pause = total
        if speed > MAX_SPEED:
            found.append(Suspicion(f"{prefix[name]}x", "mm", f"the fastest stretches run at {speed:.0f} m/s"))
        if asked is None:
            if pause >= 5.0 and _whole_seconds(getattr(log, f"{name}_t_ns")):
                found.append(Suspicion("t", "ms", f"one record every {pause:.0f} s, all at whole seconds"))
            continue
        travel, turned, fastest = asked
        found += _against_commands(prefix[name], length, turn, travel, turned, fastest)
    if tracks["pose"] and tracks["odom"]:
        factor = _factor(tracks["odom"][0], tracks["pose"][0])
        if factor in (1000.0, 1.0 / 1000.0):
            big = "odom_x" if factor > 1.0 else "x"
            found.append(
                Suspicion(big, "mm", f"odometry covers {tracks['odom'][0]:.4g} m, the poses {tracks['pose'][0]:.4g} m")
            )
    return list(dict.fromkeys(found))


def _against_commands(
    prefix: str, length: float, turn: float, travel: float, turned: float, fastest: float
) -> list[Suspicion]:
    moved, spun = _factor(length, travel), _factor(turn, turned)
    told = f"driven {length:.4g} m where {travel:.4g} m were asked, turned {turn:.4g} rad where {turned:.4g} were asked"
    if moved == 1.0 / 1000.0 and (spun == 1.0 / 1000.0 or turned < 1.0) and fastest < MAX_SPEED:
        return [Suspicion("t", "ms", told)]
    found = []
    if moved in (1000.0, 100.0):
        found.append(Suspicion(f"{prefix}x", "mm" if moved == 1000.0 else "cm", told))
    if moved == 1.0 / 1000.0:
        found.append(Suspicion("cmd_v", "mm/s", told))
    if spun == 1.0 / _DEGREES:
        found.append(Suspicion("cmd_omega", "deg/s", f"{told}: a ratio of {turned / turn:.1f}"))
    return found


def refuse_wrong_units(log: FieldLog, values: Mapping[str, FloatArray], unsaid: Iterable[str]) -> None:
    """Refuse a table whose units nobody has said and whose own motion says are wrong.

    Args:
        log: made of the table.
        values: the cells by field, as they would be in SI.
        unsaid: fields whose unit neither the header nor the user gives.

    Raises:
        InputError: names field, probable unit, the evidence and the option that settles it.
    """
    fields = set(unsaid)
    found = suspicions(log)
    for heading, x, y in (("yaw", "x", "y"), ("odom_yaw", "odom_x", "odom_y")):
        if heading in fields and heading in values and x in values:
            evidence = degrees_evidence(values[x], values[y], values[heading])
            if evidence:
                found.insert(0, Suspicion(heading, "deg", evidence))
    for item in found:
        if item.field in fields:
            unit = f"{{{item.field}: {item.unit}}}"
            if item.field.endswith("x"):
                unit = f"{{{item.field}: {item.unit}, {item.field[:-1]}y: {item.unit}}}"
            raise InputError(
                f"the unit of '{item.field}' is not said, and SI cannot be right: {item}",
                where=log.report.files[0].path,
                mend=f"say it: units: {unit} (or write it into the header, or say the SI unit to insist)",
            )


def degrees_evidence(x: FloatArray, y: FloatArray, yaw: FloatArray) -> str | None:
    """Say why a heading must be in degrees; None if it need not be.

    Robots mostly move along their heading, ahead or back: the direction of motion less the heading is then near 0 or
    180 degrees. How well it is, is the length of the mean of exp(2 i (course - heading)); 1 is always, 0 is never.

    Args:
        x, y, yaw: (N,) rows of a table; NaN where empty.
    """
    whole = np.flatnonzero(np.isfinite(x) & np.isfinite(y) & np.isfinite(yaw))
    whole = whole[:: max(1, len(whole) // 20_000)]
    x, y, yaw = x[whole], y[whole], yaw[whole]
    if len(yaw) < 20:
        return None
    extent = float(max(np.ptp(x), np.ptp(y)))
    chosen, last = [0], 0
    for index in range(1, len(x)):
        if np.hypot(x[index] - x[last], y[index] - y[last]) >= max(0.02 * extent, 1e-9):
            chosen.append(index)
            last = index
    at = np.array(chosen)
    course = np.arctan2(np.diff(y[at]), np.diff(x[at]))
    before = yaw[at[:-1]]
    great = float(np.abs(yaw).max())
    if len(course) >= 8:
        as_rad = abs(np.exp(2j * (course - before)).mean())
        as_deg = abs(np.exp(2j * (course - np.radians(before))).mean())
        spread = abs(np.exp(2j * course).mean())
        told = f"the direction of motion fits the heading to {as_deg:.2f} as degrees and to {as_rad:.2f} as radians"
        if as_deg > 0.8 and as_rad < 0.5 and spread < 0.98 and great > 2.0 * np.pi:
            return f"{told} (1 is always, 0 is never); the greatest value is {great:.4g}"
        if as_rad >= 0.8:
            return None
    steps = np.abs(np.diff(yaw))
    steps = steps[steps > 0]
    if 2.0 * np.pi < great <= 360.5 and len(steps) and np.median(steps) > 0.5:
        return f"the greatest value is {great:.4g}, over two pi, and it changes by {np.median(steps):.3g} a row"
    return None


def _totals(t_ns: IntArray, track: FloatArray) -> tuple[float, float, float, float] | None:
    """Return length [m], sum of turns [rad], 99th percentile of speed [m/s] and median pause [s] of a track."""
    if len(t_ns) < 20:
        return None
    # At most some 2,000 points, half a second apart or more, lest noise be added up.
    pause = float(np.median(np.diff(t_ns))) / SECOND
    every = max(1, round(0.5 / pause) if pause > 0 else 1, len(t_ns) // 20_000)
    t, picked = t_ns[::every] / SECOND, track[::every]
    if len(t) < 2:
        return None
    step = np.hypot(*np.diff(picked[:, :2], axis=0).T)
    turn = np.abs(wrap_angle(np.diff(picked[:, 2])))
    # Stamps that came in bunches and were set apart say nothing of speed.
    speed = step / np.maximum(np.diff(t), 0.5 * np.median(np.diff(t)))
    return float(step.sum()), float(turn.sum()), float(np.percentile(speed, 99)), pause


def _commanded(log: FieldLog) -> tuple[float, float, float] | None:
    """Return travel [m], sum of turns [rad] asked for and the greatest speed asked [m/s]."""
    if len(log.cmd_t_ns) < 20:
        return None
    held = np.diff(log.cmd_t_ns) / SECOND
    speed = np.hypot(log.cmd[:, 0], log.cmd[:, 1]) if log.cmd.shape[1] == 3 else np.abs(log.cmd[:, 0])
    turn = np.abs(log.cmd[:, -1])
    return float((speed[:-1] * held).sum()), float((turn[:-1] * held).sum()), float(np.percentile(speed, 99))


def _whole_seconds(t_ns: IntArray) -> bool:
    return bool((np.diff(t_ns) % SECOND == 0).all())


def _factor(a: float, b: float) -> float | None:
    """Return 1000, 100, 57.3 or one over them if a / b is near it."""
    if a <= 1e-6 or b <= 1e-6:
        return None
    for factor in _FACTORS:
        for wanted in (factor, 1.0 / factor):
            # 57.3 and 100 are near each other; the narrower half-way mark parts them.
            slack = 1.3 if factor < 1000.0 else _RATIO_SLACK
            if wanted / slack < a / b < wanted * slack:
                return wanted
    return None
