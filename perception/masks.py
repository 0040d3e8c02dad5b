"""From an id buffer to runs, boxes and COCO run-length codes, without a loop over pixels in Python."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled

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
    edge_offset, row = _column_edges(ids)
    return InstanceRuns(ids.shape, *_group(ids, edge_offset, row, min_pixels))


def run_length_codes(runs: InstanceRuns) -> list[bytes]:
    """Return COCO's compressed run-length code of each instance: the bytes ``pycocotools`` makes of its mask."""
    code, offset = _encode(runs.offset, runs.start, runs.stop, runs.shape[0] * runs.shape[1])
    text = code.tobytes()
    return [text[a:b] for a, b in zip(offset[:-1].tolist(), offset[1:].tolist(), strict=True)]


@compiled
def _column_edges(ids: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the rows at which runs begin, column by column: column x has ``row[offset[x]:offset[x + 1]]``."""
    one = np.uint64(1)
    height, width = np.uint64(ids.shape[0]), np.uint64(ids.shape[1])
    count = np.ones(ids.shape[1], dtype=np.int32)
    for y in range(one, height):
        for x in range(width):
            count[x] += np.int32(ids[y, x] != ids[y - one, x])
    offset = np.zeros(ids.shape[1] + 1, dtype=np.int64)
    for x in range(width):
        offset[x + one] = offset[x] + count[x]
    row = np.zeros(offset[-1], dtype=np.int32)
    at = np.empty(ids.shape[1], dtype=np.int64)
    for x in range(width):
        at[x] = offset[x] + 1
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
                    row[at[x]] = y
                    at[x] += 1
    return offset, row


@compiled
def hash_table(entries: int) -> NDArray[np.int32]:
    """Return an empty table (N, 2) int32 of ids and their numbers, with room to spare for so many ids above 0."""
    size = 64
    while size < 2 * entries:
        size *= 2
    return np.zeros((size, 2), dtype=np.int32)


@compiled
def hash_place(table: NDArray[np.int32], key: int) -> int:
    """Return the row of a hash table where an id above 0 stands, or where it belongs."""
    mask = np.uint64(table.shape[0] - 1)
    # Knuth's multiplicative hashing: 2^32 over the golden ratio spreads ids that count up.
    at = ((np.uint64(key) * np.uint64(2654435769)) >> np.uint64(12)) & mask
    while table[at, 0] != 0 and table[at, 0] != key:
        at = (at + np.uint64(1)) & mask
    return int(at)


@compiled
def _group(
    ids: NDArray[np.int32], edge_offset: NDArray[np.int64], row: NDArray[np.int32], min_pixels: int
) -> tuple[
    NDArray[np.int32],
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.int64],
]:
    """Group runs by instance; return instance_id, offset, start, stop, area, box of ``InstanceRuns``."""
    height, width = ids.shape
    edges = len(row)
    # First number the ids as they come, then again in ascending order.
    table = hash_table(edges)
    number = np.empty(edges, dtype=np.int32)
    found = np.empty(edges, dtype=np.int32)
    total = np.zeros(edges, dtype=np.int64)
    count = 0
    for x in range(width):
        for k in range(edge_offset[x], edge_offset[x + 1]):
            key = ids[row[k], x]
            number[k] = -1
            if key <= 0:
                continue
            at = hash_place(table, key)
            if table[at, 0] == 0:
                table[at, 0], table[at, 1] = key, count
                found[count] = key
                count += 1
            number[k] = table[at, 1]
            total[number[k]] += (row[k + 1] if k + 1 < edge_offset[x + 1] else height) - row[k]
    order = _ascending(found, count)
    rank = np.empty(count, dtype=np.int32)
    kept = 0
    for i in range(count):
        rank[order[i]] = -1
        if total[order[i]] >= min_pixels:
            rank[order[i]] = kept
            kept += 1
    instance_id = np.empty(kept, dtype=np.int32)
    area = np.empty(kept, dtype=np.int64)
    offset = np.zeros(kept + 1, dtype=np.int64)
    for i in range(count):
        if rank[i] >= 0:
            instance_id[rank[i]], area[rank[i]] = found[i], total[i]
    for k in range(edges):
        number[k] = rank[number[k]] if number[k] >= 0 else -1
        if number[k] >= 0:
            offset[number[k] + 1] += 1
    for s in range(kept):
        offset[s + 1] += offset[s]
    start, stop, box = _place(number, edge_offset, row, offset, width, height)
    return instance_id, offset, start, stop, area, box


@compiled
def _ascending(values: NDArray[np.int32], count: int) -> NDArray[np.int32]:
    """Return the order that sorts the first values (Shell's method; numpy's own sort takes seconds to compile)."""
    order = np.empty(count, dtype=np.int32)
    for i in range(count):
        order[i] = i
    gap = count // 2
    while gap > 0:
        for i in range(gap, count):
            item = order[i]
            j = i
            while j >= gap and values[order[j - gap]] > values[item]:
                order[j] = order[j - gap]
                j -= gap
            order[j] = item
        gap //= 2
    return order


@compiled
def _place(
    number: NDArray[np.int32],
    edge_offset: NDArray[np.int64],
    row: NDArray[np.int32],
    offset: NDArray[np.int64],
    width: int,
    height: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return start (R,), stop (R,) and box (S, 4) of runs whose instances are numbered (-1 = none)."""
    start, stop = np.empty(offset[-1], dtype=np.int64), np.empty(offset[-1], dtype=np.int64)
    instances = len(offset) - 1
    box = np.empty((instances, 4), dtype=np.int64)
    for s in range(instances):
        box[s, 0], box[s, 1], box[s, 2], box[s, 3] = width, height, -1, -1
    at = offset.copy()
    for x in range(width):
        for k in range(edge_offset[x], edge_offset[x + 1]):
            s = number[k]
            if s < 0:
                continue
            first, last = np.int64(row[k]), np.int64(row[k + 1] if k + 1 < edge_offset[x + 1] else height)
            start[at[s]], stop[at[s]] = x * height + first, x * height + last
            at[s] += 1
            box[s, 0], box[s, 2] = min(box[s, 0], x), max(box[s, 2], x)
            box[s, 1], box[s, 3] = min(box[s, 1], first), max(box[s, 3], last - 1)
    for s in range(instances):
        box[s, 2] += 1 - box[s, 0]
        box[s, 3] += 1 - box[s, 1]
    return start, stop, box


@compiled
def _encode(
    offset: NDArray[np.int64], start: NDArray[np.int64], stop: NDArray[np.int64], pixels: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Write the counts of zeros and ones in turn, each less the count two before it, five bits to a character.

    The format is that of ``rleToString`` in the COCO toolbox (maskApi.c): the first three counts as they are. Runs that
    go on in the next column are one there.
    """
    # A difference of two counts below 2^35 takes eight characters at most; there are two counts to a run and one more.
    code = np.empty((2 * len(start) + len(offset)) * 8, dtype=np.uint8)
    code_offset = np.zeros(len(offset), dtype=np.int64)
    counts = np.empty(2 * len(start) + 1, dtype=np.int64)
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
    return code[:at], code_offset
