"""CARMEN logs: ``ODOM``, ``FLASER``, ``RLASER`` and ``ROBOTLASER1`` lines, plain or gzip.

Line forms (CARMEN's own header says them): ``ODOM x y theta tv rv accel stamp host logger_stamp``;
``FLASER n r1..rn x y theta odom_x odom_y odom_theta stamp host logger_stamp``; ``ROBOTLASER1 type start fov step max
accuracy remission_mode n r1..rn m e1..em laser_x laser_y laser_theta robot_x robot_y robot_theta tv rv safety_front
safety_side turn_axis stamp host logger_stamp``. Metres and radians; the first stamp is when it was measured.

In *corrected* logs a SLAM program has put its own pose into both triples of ``FLASER``, and the ``ODOM`` line after
each moves the odometry onto that pose, with no stamp of worth. Such a line is no motion: raw odometry is the chain of
the increments between all the other ``ODOM`` lines. Where the first stamps run backwards by a little, the order of the
file is the true one and the stamps are mended.
"""

from __future__ import annotations

from math import pi
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.errors import InputError
from ...common.geometry import FloatArray, relative, wrap_angle
from ..fieldlog import MAX_BAD_SHARE, SECOND, FieldLog, FileReport, Finding, IntArray, LogEvent, LogReport, Scans
from .carmen_parser import CarmenParser, Laser
from .options import ReadOptions
from .records import longest_rising
from .stream import LineStream, Rows

_SAMPLED = 20_000
"""Scans that are looked at for the reading that means no return, evenly spread."""
_CHUNK = 4096
"""Scans that are looked at a time, lest masks and copies of all take as much memory as the ranges."""
_MAX_STEP_BACK = 5.0
"""Stamps that run backwards by more [s] are damage, not jitter."""


def looks_like_carmen(head: bytes) -> bool:
    """Tell by the first bytes of a file (unpacked) whether it is such a log."""
    if b"# message formats defined:" in head[:4096] or b"# message  formats defined:" in head[:4096]:
        return True
    lines = head.splitlines()[:200]
    return any(line.startswith((b"ODOM ", b"FLASER ", b"RLASER ", b"ROBOTLASER1 ")) for line in lines)


def read_carmen(path: Path, options: ReadOptions) -> list[FieldLog]:
    """Read a log.

    Raises:
        InputError: the file cannot be read, holds neither odometry nor scans, or has too many bad records.
    """
    parser = CarmenParser(path)
    stream = LineStream(path)
    for block in stream:
        parser.feed(block)
    return [_build(parser, stream, options)]


class _Clock:
    """Stamps of the odometry that is used, by the line that it stood in.

    Attributes:
        t_ns: (N,) int64 stamps [ns].
    """

    def __init__(self, lines: FloatArray, t_ns: IntArray) -> None:
        self._lines, self.t_ns = lines, t_ns

    def of(self, lines: FloatArray) -> tuple[NDArray[np.bool_], IntArray]:
        """Return which lines (M,) have a stamp, (M,) bool, and those stamps [ns], (M,) int64."""
        if len(self.t_ns) == 0:
            return np.zeros(len(lines), dtype=bool), np.zeros(len(lines), dtype=np.int64)
        place = np.minimum(np.searchsorted(self._lines, lines), len(self.t_ns) - 1)
        return self._lines[place] == lines, self.t_ns[place]


def _build(parser: CarmenParser, stream: LineStream, options: ReadOptions) -> FieldLog:
    used = parser.odom.seen + parser.rebased
    key = next((item for item in (b"FLASER", b"ROBOTLASER1", b"RLASER") if parser.lasers[item].rows.seen), None)
    notes = [Finding(reason, item.count, item.first) for reason, item in parser.notes.items()]
    skipped = [Finding(reason, item.count, item.first) for reason, item in parser.skipped.items()]
    if stream.cut is not None:
        notes.append(Finding(stream.cut, 1, parser.line))
    if key is None and parser.odom.seen == 0:
        raise InputError(
            "no ODOM, FLASER, RLASER or ROBOTLASER1 record could be read",
            where=str(parser.path),
            mend="give a CARMEN log; " + "; ".join(f"{item.count} x {item.reason}" for item in skipped),
        )
    _refuse_damage(parser, skipped)
    if parser.rebased:
        notes.append(
            Finding("ODOM line that only moves the odometry onto the corrected pose (no motion)", parser.rebased, 1)
        )
    tables: dict[str, Any] = {}
    rows = parser.odom.values()
    preferred = np.isin(rows[:, 5], parser.lasers[b"FLASER"].rows.values()[:, 9]) if parser.corrected else None
    t_ns, keep = _stamps(rows[:, 0], rows[:, 5], "ODOM", parser.odom, notes, preferred)
    tables["odom_t_ns"], tables["odom"] = t_ns, rows[keep, 2:5].copy()
    tables["odom"][:, 2] = wrap_angle(tables["odom"][:, 2])
    clock = _Clock(rows[keep, 5], t_ns)
    if key is not None:
        laser = parser.lasers[key]
        used += laser.rows.seen
        tables.update(_laser_tables(parser, key, laser, notes, options, clock))
    for other in (b"ROBOTLASER1", b"RLASER"):
        if key not in (None, other) and parser.lasers[other].rows.seen:
            notes.append(
                Finding(f"{other.decode()} scan passed over: one laser a log", parser.lasers[other].rows.seen, 1)
            )
    name = parser.path.name.removesuffix(".gz").removesuffix(".log").removesuffix(".clf")
    report = FileReport(str(parser.path), stream.sha256, parser.records, used, tuple(skipped), tuple(notes))
    return FieldLog(
        robot=options.robot or name,
        drive=options.drive or "differential",
        report=LogReport((report,)),
        **{"pose_t_ns": np.empty(0, dtype=np.int64), "pose": np.empty((0, 3)), **tables},
    )


def _refuse_damage(parser: CarmenParser, skipped: list[Finding]) -> None:
    bad = sum(item.count for item in skipped)
    if bad > MAX_BAD_SHARE * parser.records:
        worst = max(skipped, key=lambda item: item.count)
        kinds = "; ".join(f"{item.count} x {item.reason} (first at line {item.first_line})" for item in skipped)
        raise InputError(
            f"{bad} of {parser.records} records are bad, over the limit of {MAX_BAD_SHARE:.0%}: {kinds}",
            where=f"{parser.path}, line {worst.first_line}",
            mend="copy the file again from its source, or remove the damaged part",
        )


def _laser_tables(
    parser: CarmenParser,
    key: bytes,
    laser: Laser,
    notes: list[Finding],
    options: ReadOptions,
    clock: _Clock,
) -> dict[str, Any]:
    rows, ranges = laser.rows.values(), laser.ranges.values()
    kind = key.decode()
    seconds = rows[:, 0].copy()
    if parser.corrected:
        # A scan was logged with the odometry of the line before it, whose stamp may have been mended.
        known, stamps = clock.of(rows[:, 9])
        seconds[known] = stamps[known] / SECOND
    t_ns, keep = _stamps(seconds, rows[:, 8], kind, laser.rows, notes)
    if not keep.all():
        rows, ranges = rows[keep], _compact(ranges, keep)
    shift = np.median(rows[:, 0] - rows[:, 1])
    if abs(shift) > 1e-3:
        told = f"{kind} stamped by the sensor's clock, which leads the logger's by {shift:.6f} s"
        notes.append(Finding(told, len(rows), int(rows[0, 8])))
    # In place: ranges are most of the memory.
    seen, range_max = no_return(ranges[:: max(1, len(ranges) // _SAMPLED)])
    beyond = 0
    for start in range(0, len(ranges), _CHUNK):
        part = ranges[start : start + _CHUNK]
        part[~(part > 0.0)] = np.nan
        far = (part >= seen) & np.isfinite(part)
        beyond += int(far.sum())
        part[far] = np.inf
    if np.isfinite(seen):
        notes.append(Finding(f"range of {seen:g} m or more, read as no return", beyond, int(rows[0, 8])))
    mount = np.median(relative(rows[:, 5:8], rows[:, 2:5]), axis=0)
    if key == b"RLASER":
        mount = np.array([mount[0], mount[1], mount[2] + pi if abs(mount[2]) < 0.5 * pi else mount[2]])
    if options.laser_mount is not None:
        mount = np.array(options.laser_mount)
    every = np.ones(len(t_ns), dtype=bool)
    if options.max_scans is not None and len(t_ns) > options.max_scans:
        every[:] = False
        every[np.linspace(0, len(t_ns) - 1, options.max_scans).round().astype(int)] = True
        notes.append(Finding("scan let go, to keep max_scans", int((~every).sum()), int(rows[0, 8])))
    scans = Scans(
        t_ns[every],
        ranges if every.all() else ranges[every],
        laser.start,
        laser.step,
        0.0,
        range_max,
        (float(mount[0]), float(mount[1]), float(mount[2])),
    )
    found: dict[str, Any] = {"scans": scans}
    events = [LogEvent(int(t_ns[0]), "parameters", dict(parser.parameters))] if parser.parameters else []
    if parser.corrected:
        events += _hidden(t_ns, rows[:, 8:10], clock, notes)
    found["events"] = tuple(events)
    if parser.corrected or (key == b"ROBOTLASER1" and parser.graph):
        pose = rows[:, 5:8].copy()
        pose[:, 2] = wrap_angle(pose[:, 2])
        found.update(pose_t_ns=t_ns, pose=pose, pose_source="slam")
    elif parser.odom.seen == 0:
        pose = rows[:, 5:8].copy()
        pose[:, 2] = wrap_angle(pose[:, 2])
        found.update(odom_t_ns=t_ns, odom=pose)
    return found


def _compact(ranges: NDArray[np.float32], keep: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Move the kept scans to the front, in place, and return them."""
    end = 0
    for start in range(0, len(ranges), _CHUNK):
        part = ranges[start : start + _CHUNK][keep[start : start + _CHUNK]]
        ranges[end : end + len(part)] = part
        end += len(part)
    return ranges[:end]


def _hidden(t_ns: IntArray, lines: FloatArray, clock: _Clock, notes: list[Finding]) -> list[LogEvent]:
    """Mark scans that no ``ODOM`` line goes with: what the odometry did before them is lost by the re-basing."""
    known = np.sort(clock.t_ns)
    alone = np.flatnonzero(lines[:, 1] == 0).tolist()
    events = []
    for index in alone:
        place = int(np.searchsorted(known, t_ns[index]))
        begin = int(known[place - 1]) if place else int(t_ns[index])
        what = f"odometry of {(t_ns[index] - begin) / SECOND:.2f} s hidden by re-basing"
        events.append(LogEvent(int(t_ns[index]), "jump", {"table": "odom", "what": what, "from_ns": begin}))
    if alone:
        reason = "scan without odometry of its time: the raw odometry is broken there"
        notes.append(Finding(reason, len(alone), int(lines[alone[0], 0])))
    return events


def no_return(ranges: NDArray[np.float32]) -> tuple[float, float]:
    """Find the readings that stand for "nothing within reach".

    Sensors of that time wrote a fixed great number (or a few neighbouring ones) instead. It stands out: many readings
    within a hand's breadth at the very top, and hardly any in the two metres below.

    Args:
        ranges: (S, B) [m].

    Returns:
        the least reading that means no return [m] (infinity where none does), and the farthest that can be told [m].
    """
    values = ranges[np.isfinite(ranges) & (ranges > 0)].astype(np.float64)
    if len(values) == 0:
        return float("inf"), 0.0
    top = values.max()
    levels = np.unique(np.round(values[values > 0.9 * top], 3))[::-1]
    gaps = np.flatnonzero(-np.diff(levels) > 0.1)
    low = levels[gaps[0]] if len(gaps) else levels[-1]
    count = int((values >= low - 1e-3).sum())
    below = int(((values >= low - 2.0) & (values < low - 1e-3)).sum())
    if top - low <= 0.3 and count >= 5 and count > 10 * below:
        return float(low) - 1e-3, float(low)
    return float("inf"), float(top)


def _stamps(
    seconds: FloatArray,
    lines: FloatArray,
    kind: str,
    rows: Rows,
    notes: list[Finding],
    preferred: NDArray[np.bool_] | None = None,
) -> tuple[IntArray, NDArray[np.bool_]]:
    """Make stamps rise strictly.

    The order of the file is the order of what happened. Stamps that stand against it are set between their neighbours;
    of records that share a stamp the last is kept, or the last of the preferred ones (N,) bool.

    Returns:
        (K,) int64 stamps [ns] and which of the records they belong to, (N,) bool.
    """
    if len(seconds) == 0:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=bool)
    micro = np.round(seconds * 1e6).astype(np.int64)
    keep = np.ones(len(micro), dtype=bool)
    if (np.diff(micro) < 0).any():
        rising = np.zeros(len(micro), dtype=bool)
        rising[longest_rising(micro.tolist())] = True
        index = np.arange(len(micro))
        between = np.round(np.interp(index, index[rising], micro[rising])).astype(np.int64)
        far = ~rising & (np.abs(between - micro) > _MAX_STEP_BACK * 1e6)
        near = ~rising & ~far
        for mask, what in (
            (near, "stamp out of order, set between its neighbours'"),
            (far, "record left out: its stamp is over 5 s out of order"),
        ):
            if mask.any():
                notes.append(Finding(f"{kind} {what}", int(mask.sum()), int(lines[mask][0])))
        micro, keep = between, ~far
    kept = np.flatnonzero(keep)
    group = np.concatenate([[0], np.cumsum(np.diff(micro[kept]) > 0)])
    worth = np.arange(len(kept)) + (0 if preferred is None else len(kept) * preferred[kept])
    best = np.zeros(group[-1] + 1, dtype=np.int64)
    np.maximum.at(best, group, worth)
    chosen = kept[best % len(kept)]
    lost = len(kept) - len(chosen)
    if lost:
        first = int(lines[kept[:-1][np.diff(micro[kept]) == 0]][0])
        notes.append(Finding(f"{kind} record that shares its stamp with another (one is used)", lost, first))
    keep[:] = False
    keep[chosen] = True
    if rows.stride > 1:
        notes.append(
            Finding(
                f"{kind} record let go: one in {rows.stride} is kept, to bound the memory", rows.seen - len(lines), 1
            )
        )
    return micro[keep] * (SECOND // 1_000_000), keep
