"""Device functions that find what a ray meets in one of many worlds.

As ``raycast.trace``, with two differences. A thread has no room for a list of the solids that it has tested, so one
that spans cells is tested in each: a test costs less than a mailbox in memory. And movers are not in the grid: a ray
passes by the boxes of its world's bodies, all threads of a warp together, and tests the parts of those that it meets.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..grid import (
    CELL,
    HEIGHT_STEPS,
    HIGH,
    LOW,
    PER_METRE,
    SOLID,
    STATIC_HIGH,
    STATIC_LOW,
    X0,
    X_MAX,
    X_MIN,
    Y0,
    Y_MAX,
    Y_MIN,
)
from ..intersect import AXIS_BOX, HALF_SPACE, NO_HIT_ENTER, interval, reciprocal
from .tables import HALL_CELL, HALL_CELLS, HALL_COLUMNS, HALL_PLANE, HALL_PLANES, WorldTables
from .translate import Real, device


@device
def test_row(
    tables: WorldTables,
    p: Any,
    ox: Any,
    oy: Any,
    oz: Any,
    dx: Any,
    dy: Any,
    dz: Any,
    ix: Any,
    iy: Any,
    iz: Any,
    per_square: Any,
    t_min: Any,
    best: Any,
) -> Any:
    """Return where a ray meets solid p, if that is not behind ``best``; otherwise a very large number.

    The ray's origin is first moved along it to where it passes the solid's centre (``per_square``: one over the squared
    length of the direction): the roots of a round solid 30 m away would otherwise drown in 32-bit rounding.
    """
    shape = tables.shape[p]
    shift = Real(0.0)
    if shape != AXIS_BOX and shape != HALF_SPACE:
        px, py, pz = tables.hot[p, 0] - ox, tables.hot[p, 1] - oy, tables.hot[p, 2] - oz
        shift = (px * dx + py * dy + pz * dz) * per_square
    enter, leave = interval(
        shape, tables.hot, tables.solid, p, ox + shift * dx, oy + shift * dy, oz + shift * dz, dx, dy, dz, ix, iy, iz
    )
    enter, leave = enter + shift, leave + shift
    if enter <= leave and leave > t_min and enter <= best:
        return max(enter, t_min)
    return Real(NO_HIT_ENTER)


@device
def meets_box(
    tables: WorldTables, b: Any, ox: Any, oy: Any, oz: Any, ix: Any, iy: Any, iz: Any, t_min: Any, best: Any
) -> Any:
    """Return whether a ray may meet a part of body row b between t_min and ``best``."""
    box = tables.body_box
    ax, bx = (box[b, 0] - ox) * ix, (box[b, 3] - ox) * ix
    ay, by = (box[b, 1] - oy) * iy, (box[b, 4] - oy) * iy
    az, bz = (box[b, 2] - oz) * iz, (box[b, 5] - oz) * iz
    enter = max(max(min(ax, bx), min(ay, by)), min(az, bz))
    leave = min(min(max(ax, bx), max(ay, by)), max(az, bz))
    return enter <= leave and leave > t_min and enter < best


@device
def meet_movers(
    tables: WorldTables,
    world: Any,
    ox: Any,
    oy: Any,
    oz: Any,
    dx: Any,
    dy: Any,
    dz: Any,
    ix: Any,
    iy: Any,
    iz: Any,
    per_square: Any,
    t_min: Any,
    t_max: Any,
    exclude: Any,
) -> Any:
    """Return the first hit among the movers of a world: t and row, or t_max and -1."""
    best, found = t_max, np.int64(-1)
    bodies, parts = len(tables.body_first) - 1, len(tables.body_parts) - 1
    first_row = tables.static[0] + world * parts
    for b in range(bodies):
        if b == exclude or not meets_box(tables, world * bodies + b, ox, oy, oz, ix, iy, iz, t_min, best):
            continue
        for k in range(tables.body_first[b], tables.body_first[b + 1]):
            p = np.int64(first_row + tables.body_parts[k])
            t = test_row(tables, p, ox, oy, oz, dx, dy, dz, ix, iy, iz, per_square, t_min, best)
            if nearer(t, p, best, found):
                best, found = t, p
    return best, found


@device
def walk(
    tables: WorldTables,
    world: Any,
    ox: Any,
    oy: Any,
    oz: Any,
    dx: Any,
    dy: Any,
    dz: Any,
    t_min: Any,
    t_max: Any,
    exclude: Any,
    blocking: Any,
) -> Any:
    """Find the first solid on a ray in a world, or (``blocking``) any; see ``raycast.trace``.

    Returns:
        t of the hit (t_min if the ray starts inside the solid) and the solid's row; t_max and -1 for none.
    """
    ix, iy, iz = reciprocal(dx), reciprocal(dy), reciprocal(dz)
    per_square = reciprocal(dx * dx + dy * dy + dz * dz)
    best, found = meet_movers(tables, world, ox, oy, oz, dx, dy, dz, ix, iy, iz, per_square, t_min, t_max, exclude)
    hall = tables.hall_of_world[world]
    first = tables.hall[hall, HALL_PLANE]
    for k in range(first, first + tables.hall[hall, HALL_PLANES]):
        p = np.int64(tables.planes[k])
        t = test_row(tables, p, ox, oy, oz, dx, dy, dz, ix, iy, iz, per_square, t_min, best)
        if nearer(t, p, best, found):
            best, found = t, p
    if blocking and found >= 0:
        return best, found
    return walk_grid(tables, hall, ox, oy, oz, dx, dy, dz, ix, iy, iz, per_square, t_min, best, found, blocking)


@device
def walk_grid(
    tables: WorldTables,
    hall: Any,
    ox: Any,
    oy: Any,
    oz: Any,
    dx: Any,
    dy: Any,
    dz: Any,
    ix: Any,
    iy: Any,
    iz: Any,
    per_square: Any,
    t_min: Any,
    best: Any,
    found: Any,
    blocking: Any,
) -> Any:
    """Return the first hit among the listed solids of a hall: t and row, or ``best`` and ``found``."""
    grid, cells, entries = tables.grid, tables.cells, tables.entries
    ax, bx = (grid[hall, X_MIN] - ox) * ix, (grid[hall, X_MAX] - ox) * ix
    ay, by = (grid[hall, Y_MIN] - oy) * iy, (grid[hall, Y_MAX] - oy) * iy
    az, bz = (grid[hall, STATIC_LOW] - oz) * iz, (grid[hall, STATIC_HIGH] - oz) * iz
    t = max(max(min(ax, bx), min(ay, by)), max(min(az, bz), t_min))
    end = min(min(max(ax, bx), max(ay, by)), max(az, bz))
    if not (t <= end and t < best):
        return best, found
    columns = np.int64(tables.hall[hall, HALL_COLUMNS])
    low_cell = np.int64(tables.hall[hall, HALL_CELL])
    high_cell = low_cell + tables.hall[hall, HALL_CELLS]
    cell, per_metre = grid[hall, CELL], grid[hall, PER_METRE]
    gx, gy = ox - grid[hall, X0], oy - grid[hall, Y0]
    column, row = int((gx + t * dx) * per_metre), int((gy + t * dy) * per_metre)
    c = low_cell + row * columns + column
    step_x, step_y = (1 if dx >= 0.0 else -1), (columns if dy >= 0.0 else -columns)
    # Sums of reals alone: a whole number times a 32-bit real would be 64 bits wide.
    edge_x = cell if dx >= 0.0 else Real(0.0)
    edge_y = cell if dy >= 0.0 else Real(0.0)
    next_x = (Real(column) * cell + edge_x - gx) * ix
    next_y = (Real(row) * cell + edge_y - gy) * iy
    delta_x, delta_y = cell * abs(ix), cell * abs(iy)
    base, slope = oz * HEIGHT_STEPS, dz * HEIGHT_STEPS
    # The bounds of c end every walk, also one that goes wrong.
    while c >= low_cell and c < high_cell:
        after = end_of_cell(next_x, next_y)
        first, last = cells[c, 0], cells[c, 1]
        if first < last:
            z0, z1 = base + t * slope, base + min(after, end) * slope
            low, high = int(min(z0, z1)) - 2, int(max(z0, z1)) + 2
            for k in range(first, last):
                if entries[k, LOW] > high:
                    break  # Entries of a cell stand in order of their lower ends.
                if reaches_up(entries, k, low):
                    p = np.int64(entries[k, SOLID])
                    hit = test_row(tables, p, ox, oy, oz, dx, dy, dz, ix, iy, iz, per_square, t_min, best)
                    if nearer(hit, p, best, found):
                        best, found = hit, p
        t = after
        if not (t < best and t <= end) or (blocking and found >= 0):
            return best, found
        along_x = next_x <= next_y
        c += step_x if along_x else step_y
        if along_x:
            next_x += delta_x
        else:
            next_y += delta_y
    return best, found


@device
def nearer(t: Any, p: Any, best: Any, found: Any) -> Any:
    """Return whether a hit counts before another: it is nearer, or as near and of a lower row."""
    return t < best or (t == best and p < found)


@device
def end_of_cell(next_x: Any, next_y: Any) -> Any:
    """Return where a ray leaves a cell, given where it meets the next lines of the grid."""
    return min(next_x, next_y)


@device
def reaches_up(entries: Any, k: Any, low: Any) -> Any:
    """Return whether an entry's height interval reaches up to a ray's lowest height in the cell."""
    return entries[k, HIGH] >= low


@device
def info_row(tables: WorldTables, world: Any, p: Any) -> Any:
    """Return the row of ``info`` and ``look`` that belongs to row p of a world."""
    static = tables.static[0]
    return p if p < static else p - world * (len(tables.body_parts) - 1)
