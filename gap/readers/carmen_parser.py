"""What a CARMEN log holds, gathered block by block in bounded memory (line forms: see ``carmen``)."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite, pi
from pathlib import Path

import numpy as np

from ...common.geometry import FloatArray
from ..fieldlog import IntArray
from .carmen_lines import (
    BAD,
    BLANK,
    FLASER,
    GOOD,
    ODOM,
    OTHER,
    RLASER,
    ROBOTLASER1,
    STRANGE,
    UNREAD,
    Block,
    ScanRecords,
    follow,
    read_odometry,
    read_scans,
    split_block,
)
from .stream import Rows

_STEPS = {180: 1.0, 181: 1.0, 360: 0.5, 361: 0.5, 400: 0.25, 401: 0.25}
"""Degrees between beams by their number, as CARMEN itself guesses for ``FLASER``."""
_PASSED_OVER = (b"NEFF", b"PARAM", b"SYNC", b"VERTEX2", b"EDGE2", b"TRUEPOS", b"GPS", b"SONAR", b"BUMPER", b"MARKER")
_MAX_ODOM = 1_000_000
"""Rows of odometry that are kept; beyond, every second one is let go (see ``Rows``)."""
_MAX_PARAMETERS = 10_000
_KINDS = {FLASER: b"FLASER", RLASER: b"RLASER", ROBOTLASER1: b"ROBOTLASER1"}
_STRANGE = "scan with another number of beams than the first"


@dataclass
class Count:
    """How often something came, and on which line first."""

    count: int = 0
    first: int = 0


@dataclass
class Laser:
    """Scans of one laser.

    Attributes:
        beams: of every scan, 0 before the first.
        rows: stamp, logger stamp, laser pose, robot pose, line, line of the odometry that it was logged with (0: none).
        ranges: [m], float32.
        start, step: angle of the first beam and from one to the next [rad].
    """

    beams: int = 0
    rows: Rows = field(default_factory=lambda: Rows(10))
    ranges: Rows = field(default_factory=lambda: Rows(1))
    start: float = -0.5 * pi
    step: float = 0.0

    def begin(self, beams: int, start: float, step: float) -> None:
        """Take the shape of the first scan."""
        self.beams, self.start, self.step = beams, start, step
        self.ranges = Rows(beams, np.float32)
        # Both tables must let go the same rows.
        self.rows = Rows(10, limit=self.ranges.limit)


@dataclass(frozen=True)
class _Scan:
    """One scan as plain Python reads it."""

    head: list[float]
    ranges: FloatArray


class CarmenParser:
    """Takes blocks of whole lines in order.

    Attributes:
        path: of the file.
        line, records: lines and records so far.
        notes, skipped: what was passed over, and what was damaged, by reason.
        lasers: by the name of their records.
        odom: stamp, logger stamp, chained pose, line.
        corrected: whether a SLAM program has put its poses into the file; None: not known yet.
        rebased: ``ODOM`` lines that only moved the odometry.
        graph: whether the poses were optimised as a graph.
        parameters: of ``PARAM`` lines.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.line = 0
        self.records = 0
        self.notes: dict[str, Count] = {}
        self.skipped: dict[str, Count] = {}
        self.lasers = {name: Laser() for name in _KINDS.values()}
        self.odom = Rows(6, limit=_MAX_ODOM)
        self.corrected: bool | None = None
        self.rebased = 0
        self.graph = False
        self.parameters: dict[str, str] = {}
        self._memory = np.zeros(13)

    def feed(self, text: bytes) -> None:
        """Take one block; a last line without its end is left out, as nobody knows what it lacks."""
        end = text.rfind(b"\n") + 1
        block = split_block(text[:end] if end < len(text) else text)
        self._take_block(block)
        self.line += len(block.kind)
        if text[end:].strip():
            self.line += 1
            self.records += 1
            self._skip("last line cut off (no line end)", np.array([self.line]))

    def _take_block(self, block: Block) -> None:
        self.records += int((block.kind != BLANK).sum())
        if self.corrected is None:
            self.corrected = _looks_corrected(block)
        row = np.zeros(len(block.kind), dtype=np.int64)
        lines = {kind: np.flatnonzero(block.kind == kind) for kind in (ODOM, *_KINDS)}
        for found in lines.values():
            row[found] = np.arange(len(found))
        odom, state = read_odometry(block, lines[ODOM])
        for item in np.flatnonzero(state == UNREAD):
            numbers = _read_odometry(block.text(lines[ODOM][item]))
            state[item] = BAD if numbers is None else GOOD
            odom[item] = 0.0 if numbers is None else numbers
        self._skip(_damaged(b"ODOM"), self._numbers_of(lines[ODOM][state == BAD]))
        scans = {kind: self._read_scans(block, lines[kind], kind) for kind in _KINDS}
        beside = np.zeros(len(lines[FLASER]), dtype=np.int64)
        raw = np.empty((len(odom), 6))
        front = scans[FLASER]
        written, rebased = follow(
            block.kind,
            row,
            odom,
            state,
            front.head,
            front.state,
            self.line + 1,
            bool(self.corrected),
            self._memory,
            raw,
            beside,
        )
        self.rebased += rebased
        self.odom.add(raw[:written])
        for kind, scan in scans.items():
            good = scan.state == GOOD
            if good.any():
                laser, at = self.lasers[_KINDS[kind]], self._numbers_of(lines[kind][good])
                by = beside[good] if kind == FLASER else np.zeros(len(at))
                laser.rows.add(np.column_stack([scan.head[good], at, by]))
                laser.ranges.add(scan.ranges[good])
        for line in np.flatnonzero(block.kind == OTHER).tolist():
            self._take_other(block.text(line), line + self.line + 1)

    def _numbers_of(self, lines: IntArray) -> IntArray:
        """Return the numbers in the file, from 1, of lines of this block."""
        return lines + (self.line + 1)

    def _read_scans(self, block: Block, lines: IntArray, kind: int) -> ScanRecords:
        laser = self.lasers[_KINDS[kind]]
        if laser.beams == 0:
            shapes = (_shape_of(block.text(line), kind) for line in lines)
            if first := next((shape for shape in shapes if shape is not None), None):
                laser.begin(*first)
        found = read_scans(block, lines, laser.beams, kind)
        for item in np.flatnonzero(found.state == UNREAD):
            scan = _read_scan(block.text(lines[item]), kind)
            if scan is None:
                found.state[item] = BAD
                continue
            found.head[item] = scan.head
            found.state[item] = STRANGE
            if len(scan.ranges) == laser.beams > 0:
                found.ranges[item] = scan.ranges
                found.state[item] = GOOD if all(map(isfinite, scan.head)) else BAD
        self._skip(_damaged(_KINDS[kind]), self._numbers_of(lines[found.state == BAD]))
        self._skip(_STRANGE, self._numbers_of(lines[found.state == STRANGE]))
        return found

    def _take_other(self, text: bytes, line: int) -> None:
        words = text.split(None, 3)
        name, at = words[0], np.array([line])
        if name not in _PASSED_OVER:
            self._skip("line of unknown kind", at)
            return
        if name == b"PARAM" and len(words) < 3:
            self._skip(_damaged(name), at)
        elif name == b"PARAM" and len(self.parameters) < _MAX_PARAMETERS:
            self.parameters[words[1].decode("latin-1")] = words[2].decode("latin-1")
        self.graph |= name == b"VERTEX2"
        _raise_count(self.notes, f"{name.decode()} line passed over", at)

    def _skip(self, reason: str, lines: IntArray) -> None:
        _raise_count(self.skipped, reason, lines)


def _raise_count(counts: dict[str, Count], reason: str, lines: IntArray) -> None:
    if len(lines):
        item = counts.setdefault(reason, Count(0, int(lines[0])))
        item.count += len(lines)


def _damaged(name: bytes) -> str:
    return f"{name.decode()} record cut short or with text in place of a number"


def _read_odometry(text: bytes) -> list[float] | None:
    """Return x, y, yaw, stamp and logger stamp of a line; None if it is damaged."""
    words = text.split()
    try:
        numbers = [float(words[place]) for place in (1, 2, 3, 7, 9)]
    except (ValueError, IndexError):
        return None
    return numbers if all(map(isfinite, numbers)) else None


def _read_scan(text: bytes, kind: int) -> _Scan | None:
    """Read the scan of a line; None if it is damaged."""
    try:
        return _read_new_scan(text) if kind == ROBOTLASER1 else _read_old_scan(text)
    except (ValueError, IndexError):
        return None


def _shape_of(text: bytes, kind: int) -> tuple[int, float, float] | None:
    """Return beams, start and step (see ``Laser``) of a line with a sound scan; None without one."""
    scan = _read_scan(text, kind)
    if scan is None or len(scan.ranges) == 0:
        return None
    beams = len(scan.ranges)
    if kind != ROBOTLASER1:
        return beams, -0.5 * pi, _STEPS.get(beams, 180.0 / beams) * pi / 180.0
    words = text.split(None, 5)
    try:
        start, step = float(words[2]), float(words[4])
    except ValueError:
        return None
    return (beams, start, step) if isfinite(start) and isfinite(step) else None


def _read_old_scan(text: bytes) -> _Scan:
    _, count, rest = text.split(None, 2)
    beams = int(count)
    numbers = _numbers(rest, beams + 7)
    *poses, stamp = numbers[beams:].tolist()
    logged = float(rest.rsplit(None, 1)[1])
    return _Scan([stamp, logged, *poses], numbers[:beams])


def _read_new_scan(text: bytes) -> _Scan:
    words = text.split(None, 9)
    beams = int(words[8])
    after = beams + 1 + int(_numbers(words[9], beams + 1)[beams])
    numbers = _numbers(words[9], after + 12)
    logged = float(words[9].rsplit(None, 1)[1])
    head = [float(numbers[after + 11]), logged, *numbers[after : after + 6].tolist()]
    return _Scan(head, numbers[:beams])


def _numbers(text: bytes, count: int) -> FloatArray:
    # Not numpy.fromstring: where there are fewer than asked for, it fills up with what happens to be in memory.
    words = text.split(None, count)[:count]
    if len(words) != count:
        raise ValueError
    return np.array([float(word) for word in words])


def _looks_corrected(block: Block) -> bool | None:
    """Tell whether ``ODOM`` lines after ``FLASER`` repeat its pose with a stamp from nowhere; None: no such pair."""
    pairs = marked = 0
    before: tuple[list[bytes], float] | None = None
    for line in np.flatnonzero((block.kind == FLASER) | (block.kind == ODOM)).tolist():
        scan = block.kind[line] == FLASER
        if not scan and before is None:
            continue
        words = block.text(line).split()
        try:
            if scan:
                beams = int(words[1])
                before = (words[2 + beams : 5 + beams], float(words[8 + beams]))
                continue
            pairs += 1
            marked += before is not None and words[1:4] == before[0] and float(words[7]) < before[1]
        except (ValueError, IndexError):
            pairs -= 0 if scan else 1
        before = None
    return None if pairs == 0 else 2 * marked > pairs
