"""From an id buffer to runs, boxes and COCO run-length codes, without a loop over pixels in Python."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled, spliced

EDGE_BLOCK = 32
"""Pixels of a row that are compared at once with those above them."""


@dataclass(frozen=True)
class InstanceRuns:
    """The pixels of every instance of an id buffer (H, W), as runs in column-major order (COCO's order).

    S instances with an id above 0, in ascending order; R runs grouped by instance, each within one column, ascending.
    Runs never overlap, since each pixel of the buffer holds one id: masks made of them are disjoint by construction.

    Attributes:
        shape: (H, W).
        instance_id: (S,) int32, ascending.
        offset: (S + 1,) int64; runs ``offset[s]:offset[s + 1]`` belong to instance s.
        start, stop: (R,) int64, pixel index ``x * H + y`` of the first pixel and past the last.
        area: (S,) int64 [pixels].
        box: (S, 4) int64, tight x, y, width, height [pixels].
    """

    shape: tuple[int, int]
    instance_id: NDArray[np.int32]
    offset: NDArray[np.int64]
    start: NDArray[np.int64]
    stop: NDArray[np.int64]
    area: NDArray[np.int64]
    box: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.instance_id)

    def keep(self, selected: NDArray[np.bool_]) -> InstanceRuns:
        """Return only the instances that a mask (S,) selects."""
        run_count = np.diff(self.offset)
        runs = np.repeat(selected, run_count)
        return InstanceRuns(
            shape=self.shape,
            instance_id=self.instance_id[selected],
            offset=np.concatenate([[0], np.cumsum(run_count[selected])]).astype(np.int64),
            start=self.start[runs],
            stop=self.stop[runs],
            area=self.area[selected],
            box=self.box[selected],
        )


def instance_runs(instance: NDArray[np.integer], *, min_pixels: int = 1) -> InstanceRuns:
    """Split an id buffer (H, W) into the runs of its instances.

    Ids of 0 and below are background, and so are instances of fewer than ``min_pixels`` pixels.
    """
    ids = np.ascontiguousarray(instance, dtype=np.int32)
    height, width = ids.shape
    place, first = np.ones(width, dtype=np.int32), np.zeros(width + 1, dtype=np.int64)
    row = np.zeros(0, dtype=np.int32)
    _column_edges(ids, first, row, place)
    row = np.zeros(first[-1], dtype=np.int32)
    _column_edges(ids, first, row, place)
    number = np.empty(len(row), dtype=np.int32)
    count, table = -1, hash_table(512)
    while count < 0:
        most = len(table) // 2
        found, total = np.empty(most, dtype=np.int32), np.zeros((2, most), dtype=np.int64)
        count = _number_runs(ids, first, row, table, number, found, total)
        table = hash_table(2 * most) if count < 0 else table
    # The ids were numbered as they came; now in ascending order.
    order = np.argsort(found[:count])
    order = order[total[0, order] >= min_pixels]
    offset = np.zeros(len(order) + 1, dtype=np.int64)
    np.cumsum(total[1, order], out=offset[1:])
    rank = np.full(count, -1, dtype=np.int64)
    rank[order] = np.arange(len(order))
    start, stop = np.empty(offset[-1], dtype=np.int64), np.empty(offset[-1], dtype=np.int64)
    box = np.empty((len(order), 4), dtype=np.int64)
    _place(number, rank, first, row, offset[:-1].copy(), height, start, stop, box)
    return InstanceRuns((height, width), found[order], offset, start, stop, total[0, order], box)


def run_length_codes(runs: InstanceRuns) -> list[bytes]:
    """Return COCO's compressed run-length code of each instance: the bytes ``pycocotools`` makes of its mask."""
    # A difference of two counts below 2^35 takes eight characters at most; there are two counts to a run and one more.
    code = np.empty((2 * len(runs.start) + len(runs.offset)) * 8, dtype=np.uint8)
    offset = np.zeros(len(runs.offset), dtype=np.int64)
    counts = np.empty(2 * len(runs.start) + 1, dtype=np.int64)
    _encode(runs.offset, runs.start, runs.stop, runs.shape[0] * runs.shape[1], counts, code, offset)
    text = code[: offset[-1]].tobytes()
    return [text[a:b] for a, b in zip(offset[:-1].tolist(), offset[1:].tolist(), strict=True)]


def hash_table(entries: int) -> NDArray[np.int32]:
    """Return an empty table (N, 2) int32 of ids and their numbers, with room to spare for so many ids above 0."""
    return np.zeros((max(1 << (2 * entries - 1).bit_length(), 64), 2), dtype=np.int32)


def hash_ids(ids: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return a table of ids (N,) above 0, no two the same, and their places among them."""
    table = hash_table(len(ids))
    _hash_ids(table, ids)
    return table


@spliced
def hash_place(table: NDArray[np.int32], key: int) -> int:
    """Return the row of a hash table where an id above 0 stands, or where it belongs."""
    mask = np.uint64(table.shape[0] - 1)
    # Knuth's multiplicative hashing: 2^32 over the golden ratio spreads ids that count up.
    at = ((np.uint64(key) * np.uint64(2654435769)) >> np.uint64(12)) & mask
    while table[at, 0] != 0 and table[at, 0] != key:
        at = (at + np.uint64(1)) & mask
    return int(at)


@compiled
def _hash_ids(table: NDArray[np.int32], ids: NDArray[np.int32]) -> None:
    for s in range(len(ids)):
        at = hash_place(table, ids[s])
        table[at, 0], table[at, 1] = ids[s], s


@compiled
def _column_edges(
    ids: NDArray[np.int32], first: NDArray[np.int64], row: NDArray[np.int32], place: NDArray[np.int32]
) -> None:
    """Write the rows at which runs begin, column by column: column x has ``row[first[x]:first[x + 1]]``.

    With an empty ``row``, and ones in ``place`` (W,), only count them: write ``first`` (W + 1,), and places to go on.
    """
    one = np.uint64(1)
    height, width = np.uint64(ids.shape[0]), np.uint64(ids.shape[1])
    if len(row) == 0:
        for y in range(one, height):
            for x in range(width):
                place[x] += np.int32(ids[y, x] != ids[y - one, x])
        for x in range(width):
            first[x + one] = first[x] + place[x]
            place[x] = first[x] + 1
        return
    for y in range(one, height):
        for block in range(np.uint64(0), width, np.uint64(EDGE_BLOCK)):
            end = min(block + np.uint64(EDGE_BLOCK), width)
            edges = np.int32(0)
            for x in range(block, end):
                edges += np.int32(ids[y, x] != ids[y - one, x])
            if edges == 0:
                continue
            for x in range(block, end):
                if ids[y, x] != ids[y - one, x]:
                    row[place[x]] = y
                    place[x] += 1


@compiled
def _number_runs(
    ids: NDArray[np.int32],
    first: NDArray[np.int64],
    row: NDArray[np.int32],
    table: NDArray[np.int32],
    number: NDArray[np.int32],
    found: NDArray[np.int32],
    total: NDArray[np.int64],
) -> int:
    """Number the instances as they come; return how many, or -1 for more than half the rows of the hash table.

    Writes the number of each run (R,), -1 for none; the ids found; their pixels ``total[0]`` and runs ``total[1]``.
    """
    height, count = ids.shape[0], 0
    for x in range(ids.shape[1]):
        for k in range(first[x], first[x + 1]):
            key = ids[row[k], x]
            number[k] = -1
            if key <= 0:
                continue
            at = hash_place(table, key)
            if table[at, 0] == 0:
                if count >= len(found):
                    return -1
                table[at, 0], table[at, 1] = key, count
                found[count] = key
                count += 1
            n = table[at, 1]
            number[k] = n
            total[0, n] += (row[k + 1] if k + 1 < first[x + 1] else height) - row[k]
            total[1, n] += 1
    return count


@compiled
def _place(
    number: NDArray[np.int32],
    rank: NDArray[np.int64],
    first: NDArray[np.int64],
    row: NDArray[np.int32],
    at: NDArray[np.int64],
    height: int,
    start: NDArray[np.int64],
    stop: NDArray[np.int64],
    box: NDArray[np.int64],
) -> None:
    """Write start (R,), stop (R,) and box (S, 4) of runs; those of instance n go to ``at[rank[n]]`` and on."""
    for s in range(len(box)):
        box[s, 0], box[s, 1], box[s, 2], box[s, 3] = len(first), height, 0, 0
    for x in range(len(first) - 1):
        for k in range(first[x], first[x + 1]):
            s = rank[number[k]] if number[k] >= 0 else -1
            if s < 0:
                continue
            y = np.int64(row[k])
            end = np.int64(row[k + 1]) if k + 1 < first[x + 1] else height
            start[at[s]], stop[at[s]] = x * height + y, x * height + end
            at[s] += 1
            box[s, 0], box[s, 2] = min(box[s, 0], x), x + 1
            box[s, 1], box[s, 3] = min(box[s, 1], y), max(box[s, 3], end)
    for s in range(len(box)):
        box[s, 2] -= box[s, 0]
        box[s, 3] -= box[s, 1]


@compiled
def _encode(
    offset: NDArray[np.int64],
    start: NDArray[np.int64],
    stop: NDArray[np.int64],
    pixels: int,
    counts: NDArray[np.int64],
    code: NDArray[np.uint8],
    code_offset: NDArray[np.int64],
) -> None:
    """Write the counts of zeros and ones in turn, each less the count two before it, five bits to a character.

    The format is that of ``rleToString`` in the COCO toolbox (maskApi.c): the first three counts as they are. Runs that
    go on in the next column are one there.
    """
    at = 0
    for s in range(len(offset) - 1):
        n = 0
        position = np.int64(0)
        for run in range(offset[s], offset[s + 1]):
            if n > 0 and start[run] == position:
                counts[n - 1] += stop[run] - start[run]
            else:
                counts[n], counts[n + 1] = start[run] - position, stop[run] - start[run]
                n += 2
            position = stop[run]
        if position < pixels:
            counts[n] = pixels - position
            n += 1
        for i in range(n):
            rest = counts[i] - counts[i - 2] if i > 2 else counts[i]
            more = True
            while more:
                bits = rest & 0x1F
                rest >>= 5
                more = rest != -1 if bits & 0x10 else rest != 0
                if more:
                    bits |= 0x20
                code[at] = bits + 48
                at += 1
        code_offset[s + 1] = at
