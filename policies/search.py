"""Compiled parts of path planning: A* on a grid with costs by clearance and rules of the road, shortcuts, smoothing.

Grids are [row = y, column = x]; origin x0, y0 and cell size in metres. ``rules`` are the codes of
``layouts.directions``, of size (0, 0) where there are none; ``costs`` is ``PlannerSettings.as_array()``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..common.kernels import compiled
from ..layouts.headings import HEADINGS, OFF_LANES

Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]
Rules = NDArray[np.uint8]

BLOCK = 8
"""Cells along the edge of a block of the coarse search."""
_MOVE_ROW = np.array([0, 1, 0, -1, 1, 1, -1, -1], dtype=np.int64)
_MOVE_COLUMN = np.array([1, 0, -1, 0, 1, -1, 1, -1], dtype=np.int64)
_ACROSS = 0.06
"""Cosine of the angle to the perpendicular up to which a motion counts as across; rules are rounded to 3 degrees."""
_COS = np.cos(np.arange(HEADINGS) * (2.0 * math.pi / HEADINGS))
_SIN = np.sin(np.arange(HEADINGS) * (2.0 * math.pi / HEADINGS))


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
def stamp(field: Float32Array, x0: float, y0: float, resolution: float, points: FloatArray, reach: float) -> None:
    """Lower the field (H, W) about points x, y, radius (N, 3) [m], as far as ``reach`` [m] around each."""
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
def _rate(field: Float32Array, rules: Rules, row: int, column: int, dx: float, dy: float, costs: FloatArray) -> float:
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
    keep_right = costs[5] > 0.0 and c < costs[6]
    if rules.shape[0] > 0:
        rate += _rule_cost(rules[row, column], dx, dy, costs)
        # Who drives one way need not keep to a side.
        keep_right = keep_right and (rules[row, column] == 0 or rules[row, column] == OFF_LANES)
    if keep_right:
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
def _rule_cost(code: int, dx: float, dy: float, costs: FloatArray) -> float:
    """Extra cost of a metre in direction (dx, dy) [unit] where a rule holds."""
    if code == OFF_LANES:
        return costs[9]
    if code > 0:
        # By the way made against the rule, or a zigzag of small steps back would cost little.
        back = -(dx * _COS[code - 1] + dy * _SIN[code - 1])
        return costs[8] * back if back > _ACROSS else 0.0
    return 0.0


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
    field: Float32Array,
    rules: Rules,
    r: int,
    c: int,
    dr: int,
    dc: int,
    ends: NDArray[np.int64],
    escape: float,
    costs: FloatArray,
) -> float:
    """Cost of a metre of the step (dr, dc) into cell (r, c); negative if the step is not allowed."""
    step = math.sqrt(float(dr * dr + dc * dc))
    rate = _rate(field, rules, r, c, dc / step, dr / step, costs)
    if rate >= 0.0:
        return rate
    to_start = float((r - ends[0]) ** 2 + (c - ends[1]) ** 2)
    to_goal = float((r - ends[2]) ** 2 + (c - ends[3]) ** 2)
    if min(to_start, to_goal) > escape * escape:
        return -1.0
    # With less than its half width of room the robot is all but touching already: let it out, the shortest way.
    rate = 20.0 + 200.0 * (costs[0] - field[r, c])
    if rules.shape[0] > 0:
        rate += _rule_cost(rules[r, c], dc / step, dr / step, costs)
    return rate


@compiled
def search(
    field: Float32Array,
    rules: Rules,
    resolution: float,
    ends: NDArray[np.int64],
    costs: FloatArray,
    within: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], float]:
    """A* over 8 neighbours between two cells, ends (4,) row, column, row, column: cells (N, 2) and cost.

    No cells if there is no way. The heuristic is the octile distance at the lowest possible rate, so that the path is
    optimal for these costs. ``within`` (h, w) are the blocks of ``BLOCK`` x ``BLOCK`` cells that may be used; of size
    (0, 0) for all.
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
            if within.shape[0] > 0 and not within[r // BLOCK, c // BLOCK]:
                continue
            rate = _step_rate(field, rules, r, c, dr, dc, ends, escape, costs)
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
def corridor(
    field: Float32Array, rules: Rules, resolution: float, ends: NDArray[np.int64], costs: FloatArray
) -> NDArray[np.bool_]:
    """Search between two cells, ends (4,) row, column, row, column, by blocks; for halls where cells are too many.

    A block stands for its middle cell if a robot can turn there, else for its roomiest one; neighbours are joined where
    the straight line between those is free, at the cost of that line.

    Returns:
        (h, w) bool, the blocks of the way and those around them; none if there is no way by blocks.
    """
    rows, columns = (field.shape[0] + BLOCK - 1) // BLOCK, (field.shape[1] + BLOCK - 1) // BLOCK
    within = np.zeros((rows, columns), dtype=np.bool_)
    cell = np.full(rows * columns, -1, dtype=np.int32)
    best = np.full(rows * columns, np.inf, dtype=np.float32)
    came = np.full(rows * columns, -1, dtype=np.int8)
    closed = np.zeros(rows * columns, dtype=np.bool_)
    keys = np.empty(16 * rows * columns, dtype=np.float32)
    cells = np.empty(16 * rows * columns, dtype=np.int32)
    start = (ends[0] // BLOCK) * columns + ends[1] // BLOCK
    goal = (ends[2] // BLOCK) * columns + ends[3] // BLOCK
    cell[start] = ends[0] * field.shape[1] + ends[1]
    cell[goal] = ends[2] * field.shape[1] + ends[3]
    best[start] = 0.0
    keys[0], cells[0] = 0.0, start
    count = 1
    while count > 0:
        here = _pop(keys, cells, count)
        count -= 1
        if closed[here]:
            continue
        closed[here] = True
        if here == goal:
            break
        row, column = here // columns, here % columns
        for move in range(8):
            r, c = row + _MOVE_ROW[move], column + _MOVE_COLUMN[move]
            following = r * columns + c
            if r < 0 or c < 0 or r >= rows or c >= columns or closed[following]:
                continue
            if cell[following] == -1:
                cell[following] = _standing_for(field, r, c, costs)
            if cell[following] < 0:
                continue
            rate = _edge_cost(field, rules, cell[here], cell[following], costs)
            if rate == np.inf:
                if here != start and following != goal:
                    continue
                # Start and goal may lie where a robot only just fits; the search by cells finds out.
                rate = _guessed_cost(rules, cell[here], cell[following], move, field.shape[1], costs)
            cost = best[here] + np.float32(rate * resolution)
            if cost < best[following] and count < len(keys):
                best[following] = cost
                came[following] = move
                high = abs(cell[following] // field.shape[1] - ends[2])
                across = abs(cell[following] % field.shape[1] - ends[3])
                octile = max(high, across) + (math.sqrt(2.0) - 1.0) * min(high, across)
                _push(keys, cells, count, cost + octile * resolution, following)
                count += 1
    if closed[goal]:
        _mark_way(within, came, start, goal)
    return within


@compiled
def _mark_way(within: NDArray[np.bool_], came: NDArray[np.int8], start: int, goal: int) -> None:
    """Mark the blocks from start to goal by the moves that reached them, and those around each."""
    columns = within.shape[1]
    here = goal
    while True:
        row, column = here // columns, here % columns
        within[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2] = True
        if here == start:
            return
        here -= _MOVE_ROW[came[here]] * columns + _MOVE_COLUMN[came[here]]


@compiled
def _guessed_cost(rules: Rules, start: int, end: int, move: int, columns: int, costs: FloatArray) -> float:
    """Cost of a move by one block between two cells that no free straight line joins [cells]: high, and the rules'."""
    rate = 30.0
    if rules.shape[0] > 0:
        dr, dc = float(_MOVE_ROW[move]), float(_MOVE_COLUMN[move])
        step = math.sqrt(dr * dr + dc * dc)
        for cell in (start, end):
            rate += _rule_cost(rules[cell // columns, cell % columns], dc / step, dr / step, costs)
    return rate * BLOCK


@compiled
def _standing_for(field: Float32Array, row: int, column: int, costs: FloatArray) -> int:
    """Return the cell (row * columns + column) that stands for a block; -2 if a robot fits nowhere in it."""
    top, left = row * BLOCK, column * BLOCK
    bottom, right = min(top + BLOCK, field.shape[0]), min(left + BLOCK, field.shape[1])
    r, c = min(top + BLOCK // 2, field.shape[0] - 1), min(left + BLOCK // 2, field.shape[1] - 1)
    if field[r, c] < costs[1]:
        for i in range(top, bottom):
            for j in range(left, right):
                if field[i, j] > field[r, c]:
                    r, c = i, j
    return r * field.shape[1] + c if field[r, c] >= costs[0] else -2


@compiled
def _edge_cost(field: Float32Array, rules: Rules, start: int, end: int, costs: FloatArray) -> float:
    """Cost of the straight line between two cells [cells]; inf if it leads through a blocked one."""
    row, column = start // field.shape[1], start % field.shape[1]
    dr, dc = end // field.shape[1] - row, end % field.shape[1] - column
    steps = max(abs(dr), abs(dc))
    length = math.sqrt(float(dr * dr + dc * dc))
    if steps == 0:
        return 0.0
    total = 0.0
    for i in range(1, steps + 1):
        r, c = row + round(i * dr / steps), column + round(i * dc / steps)
        rate = _rate(field, rules, r, c, dc / length, dr / length, costs)
        if rate < 0.0:
            return np.inf
        total += rate
    return total * length / steps


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
    rules: Rules,
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
        rate = _rate(field, rules, row, column, dx / length, dy / length, costs)
        if rate < 0.0:
            return np.inf
        total += rate * length / steps
    return total


@compiled
def shortcut(
    points: FloatArray,
    field: Float32Array,
    rules: Rules,
    x0: float,
    y0: float,
    resolution: float,
    costs: FloatArray,
) -> FloatArray:
    """Replace stretches by straight lines wherever that costs no more than the stretch did."""
    count = len(points)
    price = np.zeros(count)
    for i in range(1, count):
        step = _line_cost(
            points[i - 1, 0], points[i - 1, 1], points[i, 0], points[i, 1], field, rules, x0, y0, resolution, costs
        )
        price[i] = price[i - 1] + (step if step < np.inf else 1e4)
    keep = np.zeros(count, dtype=np.bool_)
    keep[0] = True
    keep[count - 1] = True
    anchor, last = 0, 1
    while last < count - 1:
        trial = min(last + 3, count - 1)
        line = _line_cost(
            points[anchor, 0],
            points[anchor, 1],
            points[trial, 0],
            points[trial, 1],
            field,
            rules,
            x0,
            y0,
            resolution,
            costs,
        )
        if line <= (price[trial] - price[anchor]) * 1.002 + 0.01:
            last = trial
        else:
            keep[last] = True
            anchor = last
            last = anchor + 1
    return points[keep]


@compiled
def resample(points: FloatArray, spacing: float) -> FloatArray:
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
def smooth(
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
