"""Shortest ways through a hall on a grid: what tasks are measured by and people walk along.

Distances are solved by the fast marching method (Sethian, "A fast marching level set method for monotonically advancing
fronts", PNAS 1996), which knows any direction, not only eight; paths descend that field and are then pulled straight.
This is independent of every planner that is judged with it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..common.kernels import compiled

FloatArray = NDArray[np.float64]

_KEPT_BYTES = 1 << 28
"""Distance fields that a ``FieldStore`` keeps take up to that many bytes together."""
_FRONT = 1 << 13
"""Entries of the heap that a front is given at first."""


@dataclass(frozen=True)
class Ground:
    """Where the centre of a disc may be.

    Attributes:
        free: (H, W) bool, row = y, column = x.
        clearance: (H, W) float64 [m] from each cell's centre to the nearest obstacle.
        resolution: edge of a cell [m].
        origin: (2,) float64 [m], corner of cell (0, 0) in ``map``.
    """

    free: NDArray[np.bool_]
    clearance: FloatArray
    resolution: float
    origin: FloatArray

    def cell(self, point: FloatArray) -> tuple[int, int]:
        """Return row and column of the cell that holds a point x, y [m], clamped to the grid."""
        column, row = np.floor((np.asarray(point[:2]) - self.origin) / self.resolution).astype(int)
        height, width = self.free.shape
        return int(min(max(row, 0), height - 1)), int(min(max(column, 0), width - 1))

    def centre(self, row: int, column: int) -> FloatArray:
        """Return the centre x, y [m] of a cell."""
        return self.origin + (np.array([column, row]) + 0.5) * self.resolution

    def nearest_free(self, point: FloatArray, reach: float = 1.0) -> tuple[int, int] | None:
        """Return the free cell nearest to a point x, y [m], or None if there is none within ``reach`` [m]."""
        row, column = self.cell(point)
        if self.free[row, column]:
            return row, column
        span = int(np.ceil(reach / self.resolution))
        top, left = max(row - span, 0), max(column - span, 0)
        rows, columns = np.nonzero(self.free[top : row + span + 1, left : column + span + 1])
        if len(rows) == 0:
            return None
        squared = (rows + top - row) ** 2 + (columns + left - column) ** 2
        best = int(np.argmin(squared))
        if squared[best] > span * span:
            return None
        return int(rows[best] + top), int(columns[best] + left)


class DistanceField:
    """Lengths of the shortest ways to one cell, solved outwards from it only as far as somebody asks.

    What is asked for is the same, bit for bit, whatever was asked before.

    Args:
        ground: where one may be.
        target: (2,) x, y [m]; moved to the nearest free cell if need be.
    """

    def __init__(self, ground: Ground, target: FloatArray) -> None:
        self._ground = ground
        # A border of one blocked cell all round spares the march its questions about the edge.
        height, width = (size + 2 for size in ground.free.shape)
        self._distance = np.full((height, width), np.inf)
        self._cell = ground.nearest_free(target)
        self._count = 0
        self._open = np.zeros((height, width), dtype=np.uint8)
        if self._cell is None:
            return
        self._open[1:-1, 1:-1] = ground.free
        self._keys, self._cells = np.empty(_FRONT, dtype=np.float64), np.empty(_FRONT, dtype=np.uint64)
        self._count = int(_begin(ground.free, *self._cell, self._distance, self._keys, self._cells))

    @property
    def bytes(self) -> int:
        """About how much memory it takes."""
        return 9 * self._distance.size

    def all(self) -> FloatArray:
        """Return (H, W) float64 [m]; inf where there is no way (everywhere if the target lies in solid matter)."""
        self._march(-1, -1)
        return self._distance[1:-1, 1:-1] * self._ground.resolution

    def path(self, start: FloatArray, target: FloatArray) -> FloatArray | None:
        """Return the way from ``start`` to ``target``, both (2,) x, y [m]; see ``shortest_path``."""
        cell = self._ground.nearest_free(start)
        if cell is None:
            return None
        self._march(*cell)
        distance = self._distance[1:-1, 1:-1]
        if not np.isfinite(distance[cell]):
            return None
        # Nothing on the way down, nor beside it, is farther than the start: the rest may be unsolved.
        cells = _descend(distance, self._ground.resolution, *cell)
        return _pulled(self._ground, cells, start, target)

    def _march(self, row: int, column: int) -> None:
        """Go on until a cell is solved, or all are for (-1, -1)."""
        width = self._distance.shape[1]
        wanted = (row + 1) * width + column + 1 if row >= 0 else 0
        distance, still_open = self._distance.reshape(-1), self._open.reshape(-1)
        while self._count > 0 and (row < 0 or still_open[wanted]):
            if self._count + 4 > len(self._keys):
                size = 2 * len(self._keys)
                self._keys, self._cells = np.resize(self._keys, size), np.resize(self._cells, size)
            self._count = int(_march_on(distance, still_open, self._keys, self._cells, self._count, width, wanted))


class FieldStore:
    """Distance fields that are kept from episode to episode; those go first that were not used for longest."""

    def __init__(self) -> None:
        self._fields: OrderedDict[tuple[int, float, float], tuple[Ground, DistanceField]] = OrderedDict()
        self._bytes = 0

    def field(self, ground: Ground, target: FloatArray) -> DistanceField:
        """Return the field of a target (2,) x, y [m] on a ground."""
        key = (id(ground), float(target[0]), float(target[1]))
        kept = self._fields.pop(key, None)
        if kept is None:
            kept = ground, DistanceField(ground, target)
            self._bytes += kept[1].bytes
            while self._fields and self._bytes > _KEPT_BYTES:
                self._bytes -= self._fields.popitem(last=False)[1][1].bytes
        self._fields[key] = kept
        return kept[1]

    def clear(self) -> None:
        """Give everything back."""
        self._fields.clear()
        self._bytes = 0


def distance_field(ground: Ground, target: FloatArray) -> FloatArray:
    """Return the length of the shortest way to ``target`` from everywhere.

    Args:
        ground: where one may be.
        target: (2,) x, y [m]; moved to the nearest free cell if need be.

    Returns:
        (H, W) float64 [m]; inf where there is no way (everywhere if the target lies in solid matter).
    """
    return DistanceField(ground, target).all()


def shortest_path(ground: Ground, field: FloatArray, start: FloatArray, target: FloatArray) -> FloatArray | None:
    """Return the way from ``start`` to ``target`` as a polyline.

    Args:
        ground: where one may be.
        field: ``distance_field(ground, target)``.
        start, target: (2,) x, y [m].

    Returns:
        (K, 2) float64 [m], K >= 2, from start to target, pulled straight; None if there is no way.
    """
    cell = ground.nearest_free(start)
    if cell is None or not np.isfinite(field[cell]):
        return None
    return _pulled(ground, _descend(field, 1.0, cell[0], cell[1]), start, target)


def _pulled(ground: Ground, cells: FloatArray, start: FloatArray, target: FloatArray) -> FloatArray:
    """Return the polyline of a way over cells (K, 2), pulled straight."""
    # Once from each end: the first pass keeps corners a little early, the second takes most of that back.
    points = _pull(ground.free, _pull(ground.free, cells)[::-1].copy())[::-1]
    inner = ground.origin + (points[1:-1, ::-1] + 0.5) * ground.resolution
    return np.concatenate([np.asarray(start[:2])[None], inner, np.asarray(target[:2])[None]])


def path_length(path: FloatArray) -> float:
    """Return the length [m] of a polyline (K, 2)."""
    return float(np.sum(np.hypot(*np.diff(path[:, :2], axis=0).T)))


def line_is_free(ground: Ground, start: FloatArray, end: FloatArray) -> bool:
    """Tell whether the straight line between two points x, y [m] stays on free cells."""
    a = (np.asarray(start[:2]) - ground.origin) / ground.resolution - 0.5
    b = (np.asarray(end[:2]) - ground.origin) / ground.resolution - 0.5
    return bool(_visible(ground.free, float(a[1]), float(a[0]), float(b[1]), float(b[0])))


@compiled
def _push(keys: FloatArray, cells: NDArray[np.uint64], count: int, key: float, cell: int) -> int:
    child = count
    while child > 0:
        parent = (child - 1) >> 1
        if keys[parent] <= key:
            break
        keys[child] = keys[parent]
        cells[child] = cells[parent]
        child = parent
    keys[child] = key
    cells[child] = cell
    return count + 1


@compiled
def _pop(keys: FloatArray, cells: NDArray[np.uint64], count: int) -> int:
    """Remove the smallest entry (read it before at index 0); returns the new count."""
    count -= 1
    key, cell = keys[count], cells[count]
    parent = 0
    while True:
        child = 2 * parent + 1
        if child >= count:
            break
        if child + 1 < count and keys[child + 1] < keys[child]:
            child += 1
        if keys[child] >= key:
            break
        keys[parent] = keys[child]
        cells[parent] = cells[child]
        parent = child
    keys[parent] = key
    cells[parent] = cell
    return count


@compiled
def _begin(
    free: NDArray[np.bool_], row: int, column: int, distance: FloatArray, keys: FloatArray, cells: NDArray[np.uint64]
) -> int:
    """Set exact distances, in cells, around the source, where the upwind scheme is worst, as far as the source sees.

    ``distance`` has a border of one cell. Returns the number of entries in the heap.
    """
    height, width = free.shape
    count = 0
    for dr in range(-6, 7):
        for dc in range(-6, 7):
            r, c = row + dr, column + dc
            if r < 0 or c < 0 or r >= height or c >= width or not free[r, c] or dr * dr + dc * dc > 36:
                continue
            if _visible(free, float(row), float(column), float(r), float(c)):
                distance[r + 1, c + 1] = np.sqrt(float(dr * dr + dc * dc))
                count = _push(keys, cells, count, distance[r + 1, c + 1], (r + 1) * (width + 2) + c + 1)
    return count


@compiled
def _march_on(
    distance: FloatArray,
    still_open: NDArray[np.uint8],
    keys: FloatArray,
    cells: NDArray[np.uint64],
    count: int,
    width: int,
    wanted: int,
) -> int:
    """Go on with fast marching until cell ``wanted`` is done (none is for 0), or the heap is full.

    Cells are numbered row by row, ``width`` to a row, with a border; ``still_open`` are those that are free and not
    done. Each takes the solution of the eikonal equation |grad d| = 1, in cells, from its smaller neighbours. Returns
    the entries left in the heap.
    """
    one, row = np.uint64(1), np.uint64(width)
    last = np.uint64(wanted)
    while 0 < count <= len(keys) - 4:
        cell = cells[0]
        count = _pop(keys, cells, count)
        if not still_open[cell]:
            continue
        still_open[cell] = 0
        for k in range(4):
            if k == 0:
                at = cell + row
            elif k == 1:
                at = cell - row
            elif k == 2:
                at = cell + one
            else:
                at = cell - one
            if not still_open[at]:
                continue
            a, b = min(distance[at - row], distance[at + row]), min(distance[at - one], distance[at + one])
            low, high = min(a, b), max(a, b)
            value = low + 1.0
            if high - low < 1.0:
                value = 0.5 * (low + high + np.sqrt(2.0 - (high - low) * (high - low)))
            if value < distance[at]:
                distance[at] = value
                count = _push(keys, cells, count, value, at)
        if cell == last:
            break
    return count


@compiled
def _descend(field: FloatArray, unit: float, row: int, column: int) -> FloatArray:
    """Follow the steepest of the eight neighbours down to the source; (K, 2) float64 rows and columns.

    The field counts in ``unit`` metres.
    """
    height, width = field.shape
    path = np.empty((height + width, 2), dtype=np.float64)
    path[0, 0], path[0, 1] = row, column
    count = 1
    while count <= height * width and field[row, column] > 0.0:
        best, best_row, best_column = 0.0, row, column
        for dr in range(-1, 2):
            for dc in range(-1, 2):
                r, c = row + dr, column + dc
                if r < 0 or c < 0 or r >= height or c >= width or (dr == 0 and dc == 0):
                    continue
                if dr != 0 and dc != 0 and not (np.isfinite(field[row, c]) and np.isfinite(field[r, column])):
                    continue
                slope = (field[row, column] * unit - field[r, c] * unit) / np.sqrt(float(dr * dr + dc * dc))
                if slope > best:
                    best, best_row, best_column = slope, r, c
        if best <= 0.0:
            break
        row, column = best_row, best_column
        if count == len(path):
            path = np.concatenate((path, np.empty_like(path)))
        path[count, 0], path[count, 1] = row, column
        count += 1
    return path[:count].copy()


@compiled
def _visible(free: NDArray[np.bool_], row0: float, column0: float, row1: float, column1: float) -> bool:
    """Sample the straight line between two points in cell units (centres at whole numbers) every quarter cell."""
    height, width = free.shape
    length = np.sqrt((row1 - row0) ** 2 + (column1 - column0) ** 2)
    steps = int(4.0 * length) + 1
    for i in range(steps + 1):
        t = i / steps
        r = int(np.floor(row0 + t * (row1 - row0) + 0.5))
        c = int(np.floor(column0 + t * (column1 - column0) + 0.5))
        if r < 0 or c < 0 or r >= height or c >= width or not free[r, c]:
            return False
    return True


@compiled
def _pull(free: NDArray[np.bool_], path: FloatArray) -> FloatArray:
    """Keep of a path (K, 2) only the corners: from each kept point go to the farthest visible one."""
    n = len(path)
    kept = np.empty((n, 2), dtype=np.float64)
    kept[0] = path[0]
    count, i = 1, 0
    while i < n - 1:
        j = n - 1
        while j > i + 1 and not _visible(free, path[i, 0], path[i, 1], path[j, 0], path[j, 1]):
            j -= 1
        kept[count] = path[j]
        count += 1
        i = j
    return kept[:count].copy()
