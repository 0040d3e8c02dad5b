"""The lines of CARMEN logs, a block at a time, by compiled code.

What the kernels cannot read exactly - a number of twenty digits, text in place of one, a line cut short - they leave
to plain Python, line by line: it alone decides what is damaged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...common.geometry import FloatArray
from ...common.kernels import compiled
from ..fieldlog import IntArray
from .decimals import last_word, next_word, read_count, read_decimal

BLANK, ODOM, FLASER, RLASER, ROBOTLASER1, OTHER = range(6)
"""Kinds of lines; comments are blank."""
GOOD, UNREAD, BAD, STRANGE = range(4)
"""What became of a record: read, left to Python, damaged, or of another number of beams."""

_NAMES = (b"", b"ODOM", b"FLASER", b"RLASER", b"ROBOTLASER1")
_LETTERS = np.frombuffer(b"".join(_NAMES), dtype=np.uint8)
_BEGINS = np.cumsum([0, *map(len, _NAMES)])


@dataclass
class Block:
    """A block of whole lines.

    Attributes:
        data: (N,) uint8.
        begin, end: (L,) int64, where the lines begin and end, without line ends.
        kind: (L,) int64.
    """

    data: NDArray[np.uint8]
    begin: IntArray
    end: IntArray
    kind: IntArray

    def text(self, line: int) -> bytes:
        """Return a line, counted from 0."""
        return self.data[self.begin[line] : self.end[line]].tobytes()


@dataclass
class ScanRecords:
    """The records of one laser in a block.

    Attributes:
        head: (S, 8) stamp, logger stamp, laser pose, robot pose [s, m, rad].
        ranges: (S, B) float32 [m].
        state: (S,) int64, one of ``GOOD``, ``UNREAD``, ``BAD``, ``STRANGE``.
    """

    head: FloatArray
    ranges: NDArray[np.float32]
    state: IntArray


def split_block(text: bytes) -> Block:
    """Part a block that ends with a line end into lines and tell their kinds."""
    data = np.frombuffer(text, dtype=np.uint8)
    end = np.flatnonzero(data == 10)
    begin = np.concatenate([[0], end[:-1] + 1])
    kind = np.empty(len(end), dtype=np.int64)
    _tell_kinds(data, begin, end, _LETTERS, _BEGINS, kind)
    return Block(data, begin, end, kind)


def read_odometry(block: Block, lines: IntArray) -> tuple[FloatArray, IntArray]:
    """Return x, y, yaw, stamp and logger stamp (K, 5) of ``ODOM`` lines, and their states (K,)."""
    values, state = np.zeros((len(lines), 5)), np.empty(len(lines), dtype=np.int64)
    _read_odometry(block.data, block.begin[lines], block.end[lines], values, state)
    return values, state


def read_scans(block: Block, lines: IntArray, beams: int, kind: int) -> ScanRecords:
    """Read the scans of ``beams`` beams on lines (S,) of one kind."""
    count = len(lines)
    found = ScanRecords(
        np.zeros((count, 8)), np.zeros((count, beams), dtype=np.float32), np.empty(count, dtype=np.int64)
    )
    read = _read_new_scans if kind == ROBOTLASER1 else _read_old_scans
    read(block.data, block.begin[lines], block.end[lines], found.head, found.ranges, found.state)
    return found


@compiled
def _tell_kinds(data, begin, end, letters, begins, kind):  # type: ignore[no-untyped-def]
    for line in range(len(begin)):
        first, stop = next_word(data, begin[line], end[line])
        if first == stop or data[first] == 35:
            kind[line] = BLANK
            continue
        kind[line] = OTHER
        for name in range(1, len(begins) - 1):
            if begins[name + 1] - begins[name] == stop - first:
                same = True
                for k in range(stop - first):
                    same &= data[first + k] == letters[begins[name] + k]
                if same:
                    kind[line] = name


@compiled
def _skip_words(data, at, end, count):  # type: ignore[no-untyped-def]
    for _ in range(count):
        at = next_word(data, at, end)[1]
    return at


@compiled
def _read_odometry(data, begin, end, values, state):  # type: ignore[no-untyped-def]
    for row in range(len(begin)):
        last = end[row]
        at = _skip_words(data, begin[row], last, 1)
        state[row] = GOOD
        for column in range(5):
            if column >= 3:
                at = _skip_words(data, at, last, 3 if column == 3 else 1)
            values[row, column], at = read_decimal(data, at, last)
            if at < 0:
                state[row] = UNREAD
                break
            if not np.isfinite(values[row, column]):
                state[row] = BAD


@compiled
def _read_ranges(data, at, end, count, ranges, row):  # type: ignore[no-untyped-def]
    """Read that many ranges, into a row of the table if they fit; returns where they end, -1 if one is unread."""
    fits = count == ranges.shape[1]
    for beam in range(count):
        value, at = read_decimal(data, at, end)
        if at < 0:
            return at
        if fits:
            ranges[row, beam] = value
    return at


@compiled
def _read_head(data, at, end, head, row, first, last):  # type: ignore[no-untyped-def]
    """Read numbers into columns of the head; returns where they end, -1 if one is unread."""
    for column in range(first, last):
        head[row, column], at = read_decimal(data, at, end)
        if at < 0:
            return at
    return at


@compiled
def _finish_scan(data, at, end, beams, head, row, ranges):  # type: ignore[no-untyped-def]
    """Read stamp and logger stamp, which is the last word of the line; returns the state."""
    head[row, 0], at = read_decimal(data, at, end)
    if at < 0:
        return UNREAD
    word, stop = last_word(data, 0, end)
    head[row, 1], at = read_decimal(data, word, stop)
    if at < 0:
        return UNREAD
    if beams != ranges.shape[1] or beams == 0:
        return STRANGE
    for column in range(8):
        if not np.isfinite(head[row, column]):
            return BAD
    return GOOD


@compiled
def _read_old_scans(data, begin, end, head, ranges, state):  # type: ignore[no-untyped-def]
    for row in range(len(begin)):
        last = end[row]
        state[row] = UNREAD
        beams, at = read_count(data, _skip_words(data, begin[row], last, 1), last)
        if beams < 0:
            continue
        at = _read_ranges(data, at, last, beams, ranges, row)
        if at >= 0:
            at = _read_head(data, at, last, head, row, 2, 8)
        if at >= 0:
            state[row] = _finish_scan(data, at, last, beams, head, row, ranges)


@compiled
def _read_new_scans(data, begin, end, head, ranges, state):  # type: ignore[no-untyped-def]
    for row in range(len(begin)):
        last = end[row]
        state[row] = UNREAD
        beams, at = read_count(data, _skip_words(data, begin[row], last, 8), last)
        if beams < 0:
            continue
        at = _read_ranges(data, at, last, beams, ranges, row)
        if at < 0:
            continue
        remissions, at = read_count(data, at, last)
        if remissions < 0:
            continue
        for _ in range(remissions):
            at = read_decimal(data, at, last)[1]
            if at < 0:
                break
        if at >= 0:
            at = _read_head(data, at, last, head, row, 2, 8)
        for _ in range(5):  # speeds, safety distances and the axis of turning
            if at >= 0:
                at = read_decimal(data, at, last)[1]
        if at >= 0:
            state[row] = _finish_scan(data, at, last, beams, head, row, ranges)


@compiled
def follow(kind, row, odom, odom_state, scans, scan_state, first_line, corrected, memory, raw, beside):  # type: ignore[no-untyped-def]
    """Chain the raw odometry of a block, in the order of its lines.

    Args:
        kind: (L,) int64 of the lines.
        row: (L,) int64, number of each line's record among those of its kind.
        odom, odom_state: as ``read_odometry`` gives them; no state is ``UNREAD``.
        scans, scan_state: head and state of the ``FLASER`` records; likewise.
        first_line: number of the first line in the file.
        corrected: whether an ``ODOM`` line on the pose of the scan before it only moves the odometry.
        memory: (13,) float64 that goes on from block to block: chained pose, last pose and whether there is one, pose
            of the scan before and whether there is one, line and stamp of the last odometry.
        raw: (K, 6) float64, written: stamp, logger stamp, chained pose, line.
        beside: (S,) int64, written: line of the odometry that each ``FLASER`` was logged with, 0 for none.

    Returns:
        rows written of ``raw``, and lines that only moved the odometry.
    """
    written = rebased = 0
    for line in range(len(kind)):
        if kind[line] == BLANK:
            continue
        if kind[line] == FLASER:
            scan = row[line]
            beside[scan] = np.int64(memory[11]) if memory[12] == scans[scan, 0] else 0
            if scan_state[scan] != BAD:
                memory[7:10] = scans[scan, 2:5]
                memory[10] = 1.0
            continue
        if kind[line] == ODOM and odom_state[row[line]] == GOOD:
            new = odom[row[line]]
            if corrected and memory[10] == 1.0 and (new[:3] == memory[7:10]).all():
                rebased += 1
            else:
                _advance(memory, new)
                memory[11], memory[12] = first_line + line, new[3]
                raw[written, 0], raw[written, 1], raw[written, 5] = new[3], new[4], first_line + line
                raw[written, 2:5] = memory[:3]
                written += 1
            memory[3:6] = new[:3]
            memory[6] = 1.0
        memory[10] = 0.0
    return written, rebased


@compiled
def _advance(memory, new):  # type: ignore[no-untyped-def]
    """Add the motion from the last pose to the new one to the chained pose."""
    if memory[6] == 0.0:
        memory[:3] = new[:3]
        return
    c, s = np.cos(memory[5]), np.sin(memory[5])
    along = c * (new[0] - memory[3]) + s * (new[1] - memory[4])
    aside = -s * (new[0] - memory[3]) + c * (new[1] - memory[4])
    c, s = np.cos(memory[2]), np.sin(memory[2])
    memory[0] = memory[0] + c * along - s * aside
    memory[1] = memory[1] + s * along + c * aside
    memory[2] = memory[2] + ((new[2] - memory[5] + np.pi) % (2.0 * np.pi) - np.pi)
