"""Shortest ways through a hall on a grid: what tasks are measured by and people walk along.

Distances are solved by the fast marching method (Sethian, "A fast marching level set method for monotonically advancing
fronts", PNAS 1996), which knows any direction, not only eight; paths descend that field and are then pulled straight.
This is independent of every planner that is judged with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..common.kernels import compiled

FloatArray = NDArray[np.float64]


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


def distance_field(ground: Ground, target: FloatArray) -> FloatArray:
    """Return the length of the shortest way to ``target`` from everywhere.

    Args:
        ground: where one may be.
        target: (2,) x, y [m]; moved to the nearest free cell if need be.

    Returns:
        (H, W) float64 [m]; inf where there is no way (everywhere if the target lies in solid matter).
    """
    cell = ground.nearest_free(target)
    if cell is None:
        return np.full(ground.free.shape, np.inf)
    return _march(ground.free, cell[0], cell[1]) * ground.resolution


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
    cells = _descend(field, cell[0], cell[1])
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
def _push(keys: FloatArray, cells: NDArray[np.int64], count: int, key: float, cell: int) -> int:
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
def _pop(keys: FloatArray, cells: NDArray[np.int64], count: int) -> int:
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
def _upwind(distance: FloatArray, row: int, column: int) -> float:
    """Solve the eikonal equation |grad d| = 1 at one cell from its smaller neighbours (grid units)."""
    height, width = distance.shape
    a = np.inf
    if row > 0:
        a = distance[row - 1, column]
    if row + 1 < height:
        a = min(a, distance[row + 1, column])
    b = np.inf
    if column > 0:
        b = distance[row, column - 1]
    if column + 1 < width:
        b = min(b, distance[row, column + 1])
    low, high = min(a, b), max(a, b)
    if high - low >= 1.0:
        return low + 1.0
    return 0.5 * (low + high + np.sqrt(2.0 - (high - low) * (high - low)))


@compiled
def _march(free: NDArray[np.bool_], row: int, column: int) -> FloatArray:
    """Fast marching from one cell; distances in cells, inf where not reached."""
    height, width = free.shape
    distance = np.full((height, width), np.inf)
    done = np.zeros((height, width), dtype=np.bool_)
    keys = np.empty(4 * height * width + 512, dtype=np.float64)
    cells = np.empty(4 * height * width + 512, dtype=np.int64)
    count = 0
    # Exact distances around the source, where the upwind scheme is worst, as far as the source sees.
    for dr in range(-6, 7):
        for dc in range(-6, 7):
            r, c = row + dr, column + dc
            if r < 0 or c < 0 or r >= height or c >= width or not free[r, c] or dr * dr + dc * dc > 36:
                continue
            if _visible(free, float(row), float(column), float(r), float(c)):
                distance[r, c] = np.sqrt(float(dr * dr + dc * dc))
                count = _push(keys, cells, count, distance[r, c], r * width + c)
    while count > 0:
        cell = cells[0]
        count = _pop(keys, cells, count)
        r, c = cell // width, cell % width
        if done[r, c]:
            continue
        done[r, c] = True
        for k in range(4):
            rr = r + (k == 0) - (k == 1)
            cc = c + (k == 2) - (k == 3)
            if rr < 0 or cc < 0 or rr >= height or cc >= width or not free[rr, cc] or done[rr, cc]:
                continue
            value = _upwind(distance, rr, cc)
            if value < distance[rr, cc]:
                distance[rr, cc] = value
                count = _push(keys, cells, count, value, rr * width + cc)
    return distance


@compiled
def _descend(field: FloatArray, row: int, column: int) -> FloatArray:
    """Follow the steepest of the eight neighbours down to the source; (K, 2) float64 rows and columns."""
    height, width = field.shape
    path = np.empty((height * width + 1, 2), dtype=np.float64)
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
                slope = (field[row, column] - field[r, c]) / np.sqrt(float(dr * dr + dc * dc))
                if slope > best:
                    best, best_row, best_column = slope, r, c
        if best <= 0.0:
            break
        row, column = best_row, best_column
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
