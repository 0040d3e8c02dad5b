"""Rows of one topic while a bag streams by: compact, thinned when they grow too many, put in order at the end."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...common.geometry import FloatArray
from ..fieldlog import SECOND, IntArray
from .records import longest_rising
from .rosmsg import Scan

MAX_ROWS = 2_000_000
"""Rows of one topic before every second is left out: 11 hours at 50 Hz."""
MAX_SCAN_BYTES = 1 << 28
"""Of the ranges of one topic, before every second scan is left out; ``ReadOptions.max_scans`` may set less."""
MAX_SHAPES = 256
"""Kinds of scan (number and direction of beams) that are kept apart on one topic."""
_NEIGHBOURS = SECOND // 2
"""Records that come out of order by less than this [ns] are sorted; others are faults of the clock."""
_CLOCK_LEAP = 10 * SECOND
"""A header that is further from its receive stamp than the topic's others [ns] is a fault."""


@dataclass
class Rows:
    """Rows of numbers with both stamps.

    Attributes:
        width: numbers in a row.
        limit: rows before thinning.
        log: receive stamps [ns].
        head: header stamps [ns]; 0 where the message has none.
        values: row after row.
        frames: how often each (frame, child frame) was named.
        stride: every how many-th row was kept.
        seen: rows that came.
    """

    width: int
    limit: int = MAX_ROWS
    log: array[int] = field(default_factory=lambda: array("q"))
    head: array[int] = field(default_factory=lambda: array("q"))
    values: array[float] = field(default_factory=lambda: array("d"))
    frames: Counter[tuple[str, str]] = field(default_factory=Counter)
    stride: int = 1
    seen: int = 0

    def add(self, log_ns: int, head_ns: int, values: Sequence[float]) -> None:
        """Take a row of ``width`` numbers."""
        self.seen += 1
        if self.stride > 1 and (self.seen - 1) % self.stride:
            return
        self.log.append(log_ns)
        self.head.append(head_ns)
        self.values.extend(values)
        if len(self.log) > self.limit:
            self._thin()

    def _thin(self) -> None:
        self.stride *= 2
        table = np.array(self.values).reshape(-1, self.width)[::2]
        self.log, self.head = self.log[::2], self.head[::2]
        self.values = array("d", table.tobytes())

    def table(self) -> FloatArray:
        """Return the rows (N, width)."""
        return np.array(self.values, dtype=np.float64).reshape(-1, self.width)


@dataclass
class ScanGroup:
    """Scans of one shape.

    Attributes:
        shape: of the first, as ``Scan`` has it.
        rows: stamps; ``seen`` counts those that came, kept or not.
        number: which scan of the topic each is, from 0.
        ranges: (B,) float32 each [m].
    """

    shape: tuple[float, float, float, float, float]
    rows: Rows = field(default_factory=lambda: Rows(0))
    number: list[int] = field(default_factory=list)
    ranges: list[NDArray[np.float32]] = field(default_factory=list)

    @property
    def beams(self) -> int:
        """Number of beams."""
        return len(self.ranges[0]) if self.ranges else 0

    def keep(self, chosen: list[int]) -> None:
        """Keep the scans at these places."""
        self.rows.log = array("q", [self.rows.log[k] for k in chosen])
        self.rows.head = array("q", [self.rows.head[k] for k in chosen])
        self.number = [self.number[k] for k in chosen]
        self.ranges = [self.ranges[k] for k in chosen]


@dataclass
class ScanRows:
    """Scans of one topic, those of each shape apart; thinned evenly when there are too many.

    Attributes:
        limit: scans kept; None: as many as ``MAX_SCAN_BYTES`` holds.
        groups: by shape (beams, angle_min, angle_increment).
        frames: how often each frame was named.
        seen: scans that came.
        stride: every how many-th was kept.
    """

    limit: int | None
    groups: dict[tuple[int, float, float], ScanGroup] = field(default_factory=dict)
    frames: Counter[tuple[str, str]] = field(default_factory=Counter)
    seen: int = 0
    stride: int = 1
    _kept: int = 0
    _bytes: int = 0

    def add(self, log_ns: int, scan: Scan) -> None:
        """Take a scan."""
        self.frames[(scan.frame, "")] += 1
        number, self.seen = self.seen, self.seen + 1
        # Drivers recompute the angles of every scan: what differs by less than a hundredth of a degree is the same.
        key = (len(scan.ranges), round(scan.shape[0], 4), round(scan.shape[2], 6))
        group = self.groups.get(key)
        if group is None:
            if len(self.groups) >= MAX_SHAPES:
                return
            group = self.groups[key] = ScanGroup(scan.shape, Rows(0, stride=self.stride))
        group.rows.seen += 1
        if number % self.stride:
            return
        group.rows.log.append(log_ns)
        group.rows.head.append(scan.t_ns)
        group.number.append(number)
        group.ranges.append(scan.ranges.astype(np.float32))  # a copy: the message's bytes are let go
        self._kept += 1
        self._bytes += 4 * len(scan.ranges)
        if self._bytes > MAX_SCAN_BYTES or (self.limit is not None and self._kept > self.limit):
            self._thin()

    def largest(self) -> ScanGroup | None:
        """Return the group of the shape that came most often; None if no scan was kept."""
        kept = [group for group in self.groups.values() if group.ranges]
        return max(kept, key=lambda group: group.rows.seen, default=None)

    def _thin(self) -> None:
        self.stride *= 2
        for group in self.groups.values():
            group.keep([k for k, number in enumerate(group.number) if number % self.stride == 0])
            group.rows.stride = self.stride
        self._kept = sum(len(group.ranges) for group in self.groups.values())
        self._bytes = sum(4 * len(group.ranges) * group.beams for group in self.groups.values())


@dataclass(frozen=True)
class Clock:
    """Which stamps a recording goes by.

    Attributes:
        header: stamps in the messages' headers; else when the recorder received them.
        offset_ns: receive minus header stamps of the recording, to be taken off where a message has no header.
    """

    header: bool
    offset_ns: int = 0


def offset_of(rows: Rows) -> int | None:
    """Return the median of receive minus header stamps [ns]; None where over half of the headers are zero."""
    log, head = np.array(rows.log, dtype=np.int64), np.array(rows.head, dtype=np.int64)
    given = head > 0
    if len(head) == 0 or 2 * int(given.sum()) <= len(head):
        return None
    return int(np.median(log[given] - head[given]))


@dataclass
class Ordered:
    """Rows of a table in order of time.

    Attributes:
        t_ns: (N,) int64, strictly increasing.
        index: (N,) which of the rows they are.
        skipped, notes: what was found, with the number (from 1) of the first row that shows it.
    """

    t_ns: IntArray
    index: IntArray
    skipped: list[tuple[str, int, int]] = field(default_factory=list)
    notes: list[tuple[str, int, int]] = field(default_factory=list)


def in_order(rows: Rows, clock: Clock, sound: NDArray[np.bool_] | None = None) -> Ordered:
    """Give rows their stamps and put them in order.

    Small disorder is how messages travel and is sorted; a clock that leaps costs the rows on its shorter side; of rows
    that share a stamp the last is used.

    Args:
        rows: of one topic.
        clock: which stamps to take.
        sound: (N,) rows that are not to be left out for their values.
    """
    log, head = np.array(rows.log, dtype=np.int64), np.array(rows.head, dtype=np.int64)
    result = Ordered(np.empty(0, dtype=np.int64), np.arange(len(log)))
    if sound is not None and not sound.all():
        _drop(result, ~sound, "message with NaN, infinity or an impossible value", rows.stride)
    offset = offset_of(rows)
    if clock.header and offset is not None:
        missing = ((head <= 0) & (log != head))[result.index]
        if missing.any():
            _note(result, missing, "message without a header stamp (its receive stamp is used)", rows.stride)
        stamps = np.where(head > 0, head, log - offset)
        _drop(
            result,
            np.abs(log - stamps - offset)[result.index] > _CLOCK_LEAP,
            "message whose header stamp is over 10 s off those of its topic",
            rows.stride,
        )
    else:
        stamps = log - clock.offset_ns if clock.header else log
    kept = stamps[result.index]
    if (np.diff(kept) < 0).any():
        backwards = kept < np.maximum.accumulate(kept) - _NEIGHBOURS
        if backwards.any():
            bad = np.ones(len(kept), dtype=bool)
            bad[longest_rising((kept // _NEIGHBOURS).tolist())] = False
            _drop(result, bad, "message whose time goes backwards (or leaps ahead of all that follow)", rows.stride)
            kept = stamps[result.index]
        late = np.concatenate([[False], np.diff(kept) < 0])
        if late.any():
            _note(result, late, "message out of order (sorted by time)", rows.stride)
            order = np.argsort(kept, kind="stable")
            result.index, kept = result.index[order], kept[order]
    repeated = np.zeros(len(kept), dtype=bool)
    repeated[:-1] = kept[:-1] == kept[1:]
    if repeated.any():
        _note(result, repeated, "message that shares its stamp with the next (the last is used)", rows.stride)
        result.index, kept = result.index[~repeated], kept[~repeated]
    result.t_ns = kept
    return result


def _note(result: Ordered, mask: NDArray[np.bool_], reason: str, stride: int) -> None:
    result.notes.append((reason, int(mask.sum()), int(result.index[mask][0]) * stride + 1))


def _drop(result: Ordered, mask: NDArray[np.bool_], reason: str, stride: int) -> None:
    if mask.any():
        result.skipped.append((reason, int(mask.sum()), int(result.index[mask][0]) * stride + 1))
        result.index = result.index[~mask]
