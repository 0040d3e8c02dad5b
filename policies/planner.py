"""Path planning on the map: A* over the clearance field, shortcuts, smoothing, and a speed limit for each point.

Frame ``map``, SI units. Grids are [row = y, column = x]; a point belongs to the cell that holds it.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..common.kernels import compiled
from ..layouts.model import Layout
from ..layouts.occupancy import clearance_field, occupancy_grid

Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]

RESOLUTION = 0.1
"""Cell size of the navigation map [m]."""
SPACING = 0.1
"""Distance between the points of a path [m]."""
_MAPS_KEPT = 4
_MOVE_ROW = np.array([0, 1, 0, -1, 1, 1, -1, -1], dtype=np.int64)
_MOVE_COLUMN = np.array([1, 0, -1, 0, 1, -1, 1, -1], dtype=np.int64)


@dataclass(frozen=True)
class NavigationMap:
    """What the planner knows of the hall.

    Attributes:
        clearance: (H, W) float32 [m], from each cell's centre to the nearest thing on the map or the hall's edge; half
            a cell is taken off, so that rounding to cells never promises room that is not there.
        resolution: cell size [m].
        origin: (2,) float64, x, y [m] of the outer corner of cell (0, 0).
    """

    clearance: Float32Array
    resolution: float
    origin: FloatArray

    def clearance_at(self, points: FloatArray) -> Float32Array:
        """Return the clearance [m] at points (N, 2); 0 outside the hall."""
        return lookup(self.clearance, self.origin[0], self.origin[1], self.resolution, np.ascontiguousarray(points))


@dataclass(frozen=True)
class PlannerSettings:
    """Costs of the planner, all distances [m] from the robot's centre.

    Attributes:
        hard: no path leads where the clearance is smaller (the robot's half width and a little).
        tight: below this the robot cannot turn on the spot; such places cost a lot (its radius and a little).
        soft: above this more clearance is not better.
        tight_cost: extra cost of a metre at ``hard``, falling to ``soft_cost`` at ``tight``.
        soft_cost: extra cost of a metre at ``tight``, falling to 0 at ``soft``.
        keep_right: extra cost of a metre driven on the left-hand side of a lane; half of it in its middle.
        lane: up to this clearance a place counts as part of a lane for ``keep_right``.
        escape: within this distance of start and goal, less clearance than ``hard`` is allowed, at a high cost.
    """

    hard: float
    tight: float
    soft: float
    tight_cost: float = 12.0
    soft_cost: float = 2.0
    keep_right: float = 0.6
    lane: float = 2.2
    escape: float = 0.7

    @staticmethod
    def for_robot(length: float, width: float) -> PlannerSettings:
        """Return settings for a footprint length x width [m]."""
        radius = 0.5 * math.hypot(length, width)
        return PlannerSettings(hard=0.5 * width + 0.07, tight=radius + 0.06, soft=radius + 0.4)

    def as_array(self) -> FloatArray:
        """Return the fields as (8,) float64 in the order above, for the compiled code."""
        return np.array(
            [
                self.hard,
                self.tight,
                self.soft,
                self.tight_cost,
                self.soft_cost,
                self.keep_right,
                self.lane,
                self.escape,
            ]
        )


@dataclass(frozen=True)
class Path:
    """A path to a goal, points about ``SPACING`` apart.

    Attributes:
        points: (N, 2) float64 x, y [m], N >= 2.
        arc: (N,) float64 [m], length along the path from its start.
        curvature: (N,) float64 [1/m], unsigned.
        clearance: (N,) float64 [m] at each point.
        cost: of the search: metres weighted by clearance and side.
    """

    points: FloatArray
    arc: FloatArray
    curvature: FloatArray
    clearance: FloatArray
    cost: float

    @property
    def length(self) -> float:
        """[m]"""
        return float(self.arc[-1])


_maps: OrderedDict[int, tuple[Layout, float, NavigationMap]] = OrderedDict()


def navigation_map(layout: Layout, resolution: float = RESOLUTION) -> NavigationMap:
    """Return the navigation map of a layout without its loose goods; the last few are kept for the process.

    The cache holds on to the layout itself and compares by identity: an equal layout gives an equal map either way.
    """
    key = id(layout)
    kept = _maps.get(key)
    if kept is not None and kept[0] is layout and kept[1] == resolution:
        _maps.move_to_end(key)
        return kept[2]
    grid = occupancy_grid(layout, resolution, loose_goods=False)
    clearance = clearance_field(grid).astype(np.float32) - np.float32(0.5 * grid.resolution)
    height, width = clearance.shape
    # Outside the hall there is no floor to drive on, whether or not the layout draws a wall there.
    row = np.minimum(np.arange(height), np.arange(height)[::-1])
    column = np.minimum(np.arange(width), np.arange(width)[::-1])
    edge = (np.minimum(row[:, None], column[None, :]) + 0.5) * grid.resolution
    clearance = np.maximum(np.minimum(clearance, edge.astype(np.float32)), np.float32(0.0))
    made = NavigationMap(clearance, float(grid.resolution), np.asarray(grid.origin, dtype=np.float64))
    _maps[key] = (layout, resolution, made)
    while len(_maps) > _MAPS_KEPT:
        _maps.popitem(last=False)
    return made


def plan_path(
    nav: NavigationMap,
    start: FloatArray,
    goal: FloatArray,
    settings: PlannerSettings,
    *,
    clearance: Float32Array | None = None,
) -> Path | None:
    """Find a way.

    Args:
        nav: the map.
        start: (>= 2,) x, y [m].
        goal: (>= 2,) x, y [m].
        settings: costs.
        clearance: (H, W) float32 [m], used in place of the map's (see ``with_obstacles``).

    Returns:
        The path, beginning at ``start`` and ending at ``goal`` exactly; None where there is none, or where start or
        goal lie outside the hall.
    """
    field = nav.clearance if clearance is None else clearance
    costs = settings.as_array()
    rows, columns = field.shape
    cells = np.empty(4, dtype=np.int64)
    for k, point in enumerate((start, goal)):
        cells[2 * k] = math.floor((point[1] - nav.origin[1]) / nav.resolution)
        cells[2 * k + 1] = math.floor((point[0] - nav.origin[0]) / nav.resolution)
        if not (0 <= cells[2 * k] < rows and 0 <= cells[2 * k + 1] < columns):
            return None
    found, cost = _search(field, nav.resolution, cells, costs)
    if len(found) == 0:
        return None
    points = np.empty((max(len(found), 2), 2))
    points[: len(found), 0] = nav.origin[0] + (found[:, 1] + 0.5) * nav.resolution
    points[: len(found), 1] = nav.origin[1] + (found[:, 0] + 0.5) * nav.resolution
    points[0], points[-1] = start[:2], goal[:2]
    x0, y0 = float(nav.origin[0]), float(nav.origin[1])
    corners = _shortcut(points, field, x0, y0, nav.resolution, costs)
    line = _resample(corners, SPACING)
    line = _smooth(line, field, x0, y0, nav.resolution, settings.tight + 0.04, 60)
    return _as_path(line, lookup(field, x0, y0, nav.resolution, line), cost)


def with_obstacles(nav: NavigationMap, obstacles: FloatArray, reach: float) -> Float32Array:
    """Return the map's clearance (H, W) [m] with obstacles added, exact up to ``reach`` [m].

    Args:
        nav: the map.
        obstacles: (N, 3) float64 x, y, radius [m].
        reach: beyond this distance from an obstacle its effect may be left out [m].
    """
    field = nav.clearance.copy()
    if len(obstacles):
        _stamp(field, nav.origin[0], nav.origin[1], nav.resolution, np.ascontiguousarray(obstacles), reach)
    return field


def _as_path(points: FloatArray, clearance: Float32Array, cost: float) -> Path:
    step = np.diff(points, axis=0)
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(step[:, 0], step[:, 1]))])
    return Path(points, arc, _curvature(points, arc), clearance.astype(np.float64), float(cost))


def _curvature(points: FloatArray, arc: FloatArray) -> FloatArray:
    """Curvature by the turn over half a metre, so that the jitter of single points does not slow the robot."""
    count = len(points)
    reach = 3
    if count < 2 * reach + 1:
        return np.zeros(count)
    before, here, after = points[: -2 * reach], points[reach:-reach], points[2 * reach :]
    a, b = here - before, after - here
    turn = np.arctan2(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], np.sum(a * b, axis=1))
    length = 0.5 * (arc[2 * reach :] - arc[: -2 * reach])
    middle = np.abs(turn) / np.maximum(length, 1e-6)
    return np.concatenate([np.full(reach, middle[0]), middle, np.full(reach, middle[-1])])


@compiled
def lookup(field: Float32Array, x0: float, y0: float, resolution: float, points: FloatArray) -> Float32Array:
    """Return the field (H, W) at points (N, 2) [m], by cell; 0 outside. Origin x0, y0 and cell size in metres."""
    out = np.zeros(len(points), dtype=np.float32)
    for i in range(len(points)):
        row = math.floor((points[i, 1] - y0) / resolution)
        column = math.floor((points[i, 0] - x0) / resolution)
        if 0 <= row < field.shape[0] and 0 <= column < field.shape[1]:
            out[i] = field[row, column]
    return out


@compiled
def _stamp(field: Float32Array, x0: float, y0: float, resolution: float, points: FloatArray, reach: float) -> None:
    span = math.ceil(reach / resolution)
    for i in range(len(points)):
        row = math.floor((points[i, 1] - y0) / resolution)
        column = math.floor((points[i, 0] - x0) / resolution)
        for r in range(max(0, row - span), min(field.shape[0], row + span + 1)):
            dy = y0 + (r + 0.5) * resolution - points[i, 1]
            for c in range(max(0, column - span), min(field.shape[1], column + span + 1)):
                dx = x0 + (c + 0.5) * resolution - points[i, 0]
                distance = max(0.0, math.sqrt(dx * dx + dy * dy) - points[i, 2])
                if distance < field[r, c]:
                    field[r, c] = distance


@compiled
def _rate(field: Float32Array, row: int, column: int, dx: float, dy: float, costs: FloatArray) -> float:
    """Cost of a metre at a cell in direction (dx, dy) [unit]; below ``hard`` a negative number."""
    c = field[row, column]
    if c < costs[0]:
        return -1.0
    rate = 1.0
    if c < costs[1]:
        rate += costs[4] + (costs[3] - costs[4]) * (costs[1] - c) / (costs[1] - costs[0])
    elif c < costs[2]:
        share = (costs[2] - c) / (costs[2] - costs[1])
        rate += costs[4] * share * share
    if costs[5] > 0.0 and c < costs[6]:
        # The gradient of the clearance points away from the nearest wall: to the left of who keeps to the right.
        up, down = min(row + 1, field.shape[0] - 1), max(row - 1, 0)
        right, left = min(column + 1, field.shape[1] - 1), max(column - 1, 0)
        gx = field[row, right] - field[row, left]
        gy = field[up, column] - field[down, column]
        norm = math.sqrt(gx * gx + gy * gy)
        side = 0.0
        if norm > 1e-6:
            side = (dx * gy - dy * gx) / norm
        rate += costs[5] * 0.5 * (1.0 - side)
    return rate


@compiled
def _before(key_a: float, cell_a: int, key_b: float, cell_b: int) -> bool:
    """Order of the heap; ties go to the lower cell number, so that it never varies."""
    return key_a < key_b or (key_a == key_b and cell_a < cell_b)


@compiled
def _push(keys: Float32Array, cells: NDArray[np.int32], count: int, key: float, cell: int) -> None:
    hole = count
    while hole > 0:
        parent = (hole - 1) // 2
        if not _before(key, cell, keys[parent], cells[parent]):
            break
        keys[hole], cells[hole] = keys[parent], cells[parent]
        hole = parent
    keys[hole], cells[hole] = key, cell


@compiled
def _pop(keys: Float32Array, cells: NDArray[np.int32], count: int) -> int:
    """Take the first of ``count`` entries; the heap then holds one less."""
    top = cells[0]
    last = count - 1
    key, moved = keys[last], cells[last]
    hole = 0
    while True:
        child = 2 * hole + 1
        if child >= last:
            break
        if child + 1 < last and _before(keys[child + 1], cells[child + 1], keys[child], cells[child]):
            child += 1
        if not _before(keys[child], cells[child], key, moved):
            break
        keys[hole], cells[hole] = keys[child], cells[child]
        hole = child
    keys[hole], cells[hole] = key, moved
    return top


@compiled
def _step_rate(
    field: Float32Array, r: int, c: int, dr: int, dc: int, ends: NDArray[np.int64], escape: float, costs: FloatArray
) -> float:
    """Cost of a metre of the step (dr, dc) into cell (r, c); negative if the step is not allowed."""
    step = math.sqrt(float(dr * dr + dc * dc))
    rate = _rate(field, r, c, dc / step, dr / step, costs)
    if rate >= 0.0:
        return rate
    to_start = float((r - ends[0]) ** 2 + (c - ends[1]) ** 2)
    to_goal = float((r - ends[2]) ** 2 + (c - ends[3]) ** 2)
    if min(to_start, to_goal) > escape * escape:
        return -1.0
    # With less than its half width of room the robot is all but touching already: let it out, the shortest way.
    return 20.0 + 200.0 * (costs[0] - field[r, c])


@compiled
def _search(
    field: Float32Array, resolution: float, ends: NDArray[np.int64], costs: FloatArray
) -> tuple[NDArray[np.int64], float]:
    """A* over 8 neighbours between two cells, ends (4,) row, column, row, column: cells (N, 2) and cost.

    No cells if there is no way. The heuristic is the octile distance at the lowest possible rate, so that the path is
    optimal for these costs.
    """
    rows, columns = field.shape
    best = np.full(rows * columns, np.inf, dtype=np.float32)
    came = np.full(rows * columns, -1, dtype=np.int8)
    closed = np.zeros(rows * columns, dtype=np.bool_)
    keys = np.empty(4096, dtype=np.float32)
    cells = np.empty(4096, dtype=np.int32)
    escape = costs[7] / resolution
    start, goal = ends[0] * columns + ends[1], ends[2] * columns + ends[3]
    best[start] = 0.0
    keys[0], cells[0] = 0.0, start
    count = 1
    while count > 0:
        cell = _pop(keys, cells, count)
        count -= 1
        if closed[cell]:
            continue
        closed[cell] = True
        if cell == goal:
            return _trace(came, start, goal, columns), float(best[goal])
        row, column = cell // columns, cell % columns
        for move in range(8):
            dr, dc = _MOVE_ROW[move], _MOVE_COLUMN[move]
            r, c = row + dr, column + dc
            following = r * columns + c
            if r < 0 or c < 0 or r >= rows or c >= columns or closed[following]:
                continue
            rate = _step_rate(field, r, c, dr, dc, ends, escape, costs)
            if rate < 0.0:
                continue
            cost = best[cell] + np.float32(math.sqrt(float(dr * dr + dc * dc)) * resolution * rate)
            if cost < best[following]:
                best[following] = cost
                came[following] = move
                if count == len(keys):
                    keys = np.concatenate((keys, np.empty(count, dtype=np.float32)))
                    cells = np.concatenate((cells, np.empty(count, dtype=np.int32)))
                high, across = abs(r - ends[2]), abs(c - ends[3])
                octile = max(high, across) + (math.sqrt(2.0) - 1.0) * min(high, across)
                _push(keys, cells, count, cost + octile * resolution, following)
                count += 1
    return np.empty((0, 2), dtype=np.int64), np.inf


@compiled
def _trace(came: NDArray[np.int8], start: int, goal: int, columns: int) -> NDArray[np.int64]:
    """Cells (N, 2) from start to goal by the moves that reached them."""
    length = 1
    cell = goal
    while cell != start:
        cell -= _MOVE_ROW[came[cell]] * columns + _MOVE_COLUMN[came[cell]]
        length += 1
    path = np.empty((length, 2), dtype=np.int64)
    cell = goal
    for i in range(length - 1, -1, -1):
        path[i, 0], path[i, 1] = cell // columns, cell % columns
        if i > 0:
            cell -= _MOVE_ROW[came[cell]] * columns + _MOVE_COLUMN[came[cell]]
    return path


@compiled
def _line_cost(
    ax: float,
    ay: float,
    bx: float,
    by: float,
    field: Float32Array,
    x0: float,
    y0: float,
    resolution: float,
    costs: FloatArray,
) -> float:
    """Cost of the straight line from a to b; inf if it leads through a blocked cell."""
    dx, dy = bx - ax, by - ay
    length = math.sqrt(dx * dx + dy * dy)
    if length < 1e-9:
        return 0.0
    steps = math.ceil(length / (0.5 * resolution))
    total = 0.0
    for i in range(steps):
        s = (i + 0.5) / steps
        row = math.floor((ay + s * dy - y0) / resolution)
        column = math.floor((ax + s * dx - x0) / resolution)
        if row < 0 or column < 0 or row >= field.shape[0] or column >= field.shape[1]:
            return np.inf
        rate = _rate(field, row, column, dx / length, dy / length, costs)
        if rate < 0.0:
            return np.inf
        total += rate * length / steps
    return total


@compiled
def _shortcut(
    points: FloatArray, field: Float32Array, x0: float, y0: float, resolution: float, costs: FloatArray
) -> FloatArray:
    """Replace stretches by straight lines wherever that costs no more than the stretch did."""
    count = len(points)
    price = np.zeros(count)
    for i in range(1, count):
        step = _line_cost(
            points[i - 1, 0], points[i - 1, 1], points[i, 0], points[i, 1], field, x0, y0, resolution, costs
        )
        price[i] = price[i - 1] + (step if step < np.inf else 1e4)
    keep = np.zeros(count, dtype=np.bool_)
    keep[0] = True
    keep[count - 1] = True
    anchor, last = 0, 1
    while last < count - 1:
        trial = min(last + 3, count - 1)
        line = _line_cost(
            points[anchor, 0], points[anchor, 1], points[trial, 0], points[trial, 1], field, x0, y0, resolution, costs
        )
        if line <= (price[trial] - price[anchor]) * 1.002 + 0.01:
            last = trial
        else:
            keep[last] = True
            anchor = last
            last = anchor + 1
    return points[keep]


@compiled
def _resample(points: FloatArray, spacing: float) -> FloatArray:
    """Return points (M, 2), M >= 2, at most ``spacing`` apart along the polyline, its corners included."""
    total = 1
    for i in range(len(points) - 1):
        length = math.hypot(points[i + 1, 0] - points[i, 0], points[i + 1, 1] - points[i, 1])
        total += max(1, math.ceil(length / spacing))
    out = np.empty((total, 2))
    k = 0
    for i in range(len(points) - 1):
        length = math.hypot(points[i + 1, 0] - points[i, 0], points[i + 1, 1] - points[i, 1])
        parts = max(1, math.ceil(length / spacing))
        for j in range(parts):
            s = j / parts
            out[k, 0] = points[i, 0] + s * (points[i + 1, 0] - points[i, 0])
            out[k, 1] = points[i, 1] + s * (points[i + 1, 1] - points[i, 1])
            k += 1
    out[k, 0], out[k, 1] = points[len(points) - 1, 0], points[len(points) - 1, 1]
    return out


@compiled
def _smooth(
    points: FloatArray,
    field: Float32Array,
    x0: float,
    y0: float,
    resolution: float,
    keep_clear: float,
    rounds: int,
) -> FloatArray:
    """Round the corners: move points to their neighbours' middle where that leaves ``keep_clear`` or loses no room."""
    line = points.copy()
    for _ in range(rounds):
        for i in range(1, len(line) - 1):
            x = 0.5 * line[i, 0] + 0.25 * (line[i - 1, 0] + line[i + 1, 0])
            y = 0.5 * line[i, 1] + 0.25 * (line[i - 1, 1] + line[i + 1, 1])
            row, column = math.floor((y - y0) / resolution), math.floor((x - x0) / resolution)
            old_row = math.floor((line[i, 1] - y0) / resolution)
            old_column = math.floor((line[i, 0] - x0) / resolution)
            c = field[row, column]
            if c >= keep_clear or c >= field[old_row, old_column]:
                line[i, 0], line[i, 1] = x, y
    return line
