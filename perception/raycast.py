"""Casting rays through a scene's tables, compiled: the nearest solid, or whether any solid stands in the way.

A ray first meets the few solids that every ray tests (planes, and movers outside the grid), then walks the floor-plan
grid cell by cell (Amanatides and Woo, *A Fast Voxel Traversal Algorithm*, 1987) and tests each solid it comes by once.
The functions take any direction length: a range for unit directions, planar depth for a camera's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import FloatArray
from ..common.primitives import TRIANGLE
from .compiled import compiled, inlined
from .grid import (
    CELL,
    END,
    FIRST,
    HEIGHT_STEPS,
    HIGH,
    LOW,
    MOVING,
    NEXT,
    PER_METRE,
    SOLID,
    X0,
    X_MAX,
    X_MIN,
    Y0,
    Y_MAX,
    Y_MIN,
    Z_HIGH,
    Z_LOW,
    IntArray,
)
from .intersect import interval, reciprocal, surface

UNIT_TOLERANCE = 1e-3
"""How far the length of a direction may be from 1."""

CAST_OK, CAST_NOT_FINITE, CAST_NOT_UNIT, CAST_BAD_RANGE = 0, 1, 2, 3


class Tables(NamedTuple):
    """A scene as the kernels see it; P solids, static ones first.

    Attributes:
        hot: (P, 8) and solid: (P, 16) float64, see ``intersect``.
        shape: (P,) uint8 shape codes; kind: (P,) uint8 kinds of ``common.primitives``.
        body: (P,) int32, moving body that carries the solid, -2 for static ones.
        grid: (8,) float64 and columns: number of columns, see ``grid``.
        cells: (C, 4), entries: (E, 4), moving: (M, 4) int32.
        always: (P + 1,) int32: how many solids every ray tests, then their rows.
    """

    hot: FloatArray
    solid: FloatArray
    shape: NDArray[np.uint8]
    kind: NDArray[np.uint8]
    body: IntArray
    grid: FloatArray
    columns: int
    cells: IntArray
    entries: IntArray
    moving: IntArray
    always: IntArray


@inlined
def as_index(value: int) -> int:
    """Return a whole number as int64: one type for all rows, so that nothing is compiled twice."""
    return np.int64(value)  # type: ignore[return-value]


@inlined
def test(
    tables: Tables,
    p: int,
    ox: float,
    oy: float,
    oz: float,
    dx: float,
    dy: float,
    dz: float,
    ix: float,
    iy: float,
    iz: float,
    t_min: float,
    best: float,
) -> float:
    """Return where a ray meets solid p, if that is before ``best``; otherwise ``best``."""
    enter, leave = interval(tables.shape[p], tables.hot, tables.solid, p, ox, oy, oz, dx, dy, dz, ix, iy, iz)
    if enter <= leave and leave > t_min and enter < best:
        return max(enter, t_min)
    return best


@inlined
def test_always(
    tables: Tables,
    ox: float,
    oy: float,
    oz: float,
    dx: float,
    dy: float,
    dz: float,
    ix: float,
    iy: float,
    iz: float,
    t_min: float,
    t_max: float,
    exclude: int,
) -> tuple[float, int]:
    """Return the first hit among the solids that every ray tests: t and row, or t_max and -1."""
    best, found = t_max, as_index(-1)
    for k in range(1, tables.always[0] + 1):
        p = as_index(tables.always[k])
        if tables.body[p] != exclude:
            t = test(tables, p, ox, oy, oz, dx, dy, dz, ix, iy, iz, t_min, best)
            if t < best:
                best, found = t, p
    return best, found


@inlined
def enter_grid(
    tables: Tables, ox: float, oy: float, oz: float, ix: float, iy: float, iz: float, t_min: float
) -> tuple[float, float]:
    """Return the interval of t in which a ray is where listed solids may be; start > end means never."""
    grid = tables.grid
    ax, bx = (grid[X_MIN] - ox) * ix, (grid[X_MAX] - ox) * ix
    ay, by = (grid[Y_MIN] - oy) * iy, (grid[Y_MAX] - oy) * iy
    az, bz = (grid[Z_LOW] - oz) * iz, (grid[Z_HIGH] - oz) * iz
    start = max(max(min(ax, bx), min(ay, by)), max(min(az, bz), t_min))
    return start, min(min(max(ax, bx), max(ay, by)), max(az, bz))


@inlined
def trace(
    tables: Tables,
    visited: IntArray,
    stamp: int,
    ox: float,
    oy: float,
    oz: float,
    dx: float,
    dy: float,
    dz: float,
    t_min: float,
    t_max: float,
    exclude: int,
    blocking: bool,
) -> tuple[float, int]:
    """Find the first solid on a ray, or (``blocking``) any.

    Args:
        tables: the scene. visited: (P,) int32 scratch, with values below stamp. stamp: > 0, new for every ray.
        ox, oy, oz: origin [m]. dx, dy, dz: direction, any length but zero.
        t_min, t_max: part of the ray to search. exclude: moving body that the ray passes through, or -1.
        blocking: stop at the first solid found, wherever it is on the ray.

    Returns:
        t of the hit (t_min if the ray starts inside the solid) and the solid's row; t_max and -1 for none.
    """
    ix, iy, iz = reciprocal(dx), reciprocal(dy), reciprocal(dz)
    best, found = test_always(tables, ox, oy, oz, dx, dy, dz, ix, iy, iz, t_min, t_max, exclude)
    t, end = enter_grid(tables, ox, oy, oz, ix, iy, iz, t_min)
    if t > end or t >= best or (blocking and found >= 0):
        return best, found
    grid, columns, cells, entries = tables.grid, tables.columns, tables.cells, tables.entries
    cell, per_metre = grid[CELL], grid[PER_METRE]
    gx, gy = ox - grid[X0], oy - grid[Y0]
    column, row = int((gx + t * dx) * per_metre), int((gy + t * dy) * per_metre)
    c = row * columns + column
    step_x, step_y = (1 if dx >= 0.0 else -1), (columns if dy >= 0.0 else -columns)
    next_x = ((column + (dx >= 0.0)) * cell - gx) * ix
    next_y = ((row + (dy >= 0.0)) * cell - gy) * iy
    delta_x, delta_y = cell * abs(ix), cell * abs(iy)
    base, slope = oz * HEIGHT_STEPS, dz * HEIGHT_STEPS
    while True:
        after = min(next_x, next_y)
        first, last = cells[c, FIRST], cells[c, END]
        link = as_index(cells[c, MOVING])
        if first < last or link >= 0:
            z0, z1 = base + t * slope, base + min(after, end) * slope
            low, high = int(min(z0, z1)) - 2, int(max(z0, z1)) + 2
            for k in range(first, last):
                if entries[k, LOW] > high:
                    break  # Entries of a cell stand in order of their lower ends.
                p = as_index(entries[k, SOLID])
                if entries[k, HIGH] >= low and visited[p] != stamp:
                    visited[p] = stamp
                    hit = test(tables, p, ox, oy, oz, dx, dy, dz, ix, iy, iz, t_min, best)
                    if hit < best:
                        best, found = hit, p
            if link >= 0:
                best, found = test_moving(
                    tables,
                    link,
                    low,
                    high,
                    visited,
                    stamp,
                    ox,
                    oy,
                    oz,
                    dx,
                    dy,
                    dz,
                    ix,
                    iy,
                    iz,
                    t_min,
                    best,
                    found,
                    exclude,
                )
        t = after
        if t >= best or t > end or (blocking and found >= 0):
            return best, found
        # Selections, not branches: which axis is next is a coin toss that the processor could not foresee.
        along_x = next_x <= next_y
        c += step_x if along_x else step_y
        next_x += delta_x if along_x else 0.0
        next_y += 0.0 if along_x else delta_y


@inlined
def test_moving(
    tables: Tables,
    link: int,
    low: int,
    high: int,
    visited: IntArray,
    stamp: int,
    ox: float,
    oy: float,
    oz: float,
    dx: float,
    dy: float,
    dz: float,
    ix: float,
    iy: float,
    iz: float,
    t_min: float,
    best: float,
    found: int,
    exclude: int,
) -> tuple[float, int]:
    """Return the first hit among the moving solids of a cell, from ``link`` on: t and row, or what was there before."""
    moving = tables.moving
    while link >= 0:
        p = as_index(moving[link, SOLID])
        if moving[link, LOW] <= high and moving[link, HIGH] >= low and visited[p] != stamp:
            visited[p] = stamp
            if tables.body[p] != exclude:
                hit = test(tables, p, ox, oy, oz, dx, dy, dz, ix, iy, iz, t_min, best)
                if hit < best:
                    best, found = hit, p
        link = as_index(moving[link, NEXT])
    return best, found


@inlined
def blocked(
    tables: Tables,
    visited: IntArray,
    stamp: int,
    guess: int,
    ox: float,
    oy: float,
    oz: float,
    dx: float,
    dy: float,
    dz: float,
    t_max: float,
) -> int:
    """Return a solid that stands in the way of a ray, or -1.

    Args:
        guess: a solid to try first, or -1: what blocked the neighbour's ray often blocks this one too.
        others: as in ``trace``.
    """
    if guess >= 0:
        t = test(tables, guess, ox, oy, oz, dx, dy, dz, reciprocal(dx), reciprocal(dy), reciprocal(dz), 0.0, t_max)
        if t < t_max:
            return guess
    _, found = trace(tables, visited, stamp, ox, oy, oz, dx, dy, dz, 0.0, t_max, as_index(-1), True)
    return found


@inlined
def world_normal(
    kind: int, solid: FloatArray, p: int, x: float, y: float, z: float
) -> tuple[float, float, float, float, float, float]:
    """Return the outward unit normal of solid p at a point [m] of its surface, and the point in the local frame [m].

    A triangle's is the normal of its front, whichever side is seen.
    """
    px, py, pz = x - solid[p, 0], y - solid[p, 1], z - solid[p, 2]
    lx = solid[p, 6] * px + solid[p, 7] * py + solid[p, 8] * pz
    ly = solid[p, 9] * px + solid[p, 10] * py + solid[p, 11] * pz
    lz = solid[p, 12] * px + solid[p, 13] * py + solid[p, 14] * pz
    a, b, c = surface(kind, solid, p, lx, ly, lz)
    nx = solid[p, 6] * a + solid[p, 9] * b + solid[p, 12] * c
    ny = solid[p, 7] * a + solid[p, 10] * b + solid[p, 13] * c
    nz = solid[p, 8] * a + solid[p, 11] * b + solid[p, 14] * c
    return nx, ny, nz, lx, ly, lz


@compiled
def cast_rays(
    tables: Tables,
    origin: FloatArray,
    direction: FloatArray,
    max_range: FloatArray,
    exclude: IntArray,
    ranges: NDArray[np.float32],
    index: IntArray,
    normal: NDArray[np.float32],
) -> tuple[int, int]:
    """Cast N rays.

    Args:
        tables: the scene. origin, direction: (N, 3). max_range, exclude: (N,) or (1,) for all.
        ranges: (N,), index: (N,) and normal: (N, 3), written.

    Returns:
        CAST_OK, or the first problem and the ray that has it.
    """
    visited = np.zeros(len(tables.shape), np.int32)
    for i in range(origin.shape[0]):
        ox, oy, oz = origin[i, 0], origin[i, 1], origin[i, 2]
        dx, dy, dz = direction[i, 0], direction[i, 1], direction[i, 2]
        length = np.sqrt(dx * dx + dy * dy + dz * dz)
        if not np.isfinite(ox + oy + oz + length):
            return CAST_NOT_FINITE, i
        if abs(length - 1.0) > UNIT_TOLERANCE:
            return CAST_NOT_UNIT, i
        limit = max_range[i if len(max_range) > 1 else 0]
        if not limit >= 0.0:
            return CAST_BAD_RANGE, i
        skip = as_index(exclude[i if len(exclude) > 1 else 0])
        t, p = trace(tables, visited, i + 1, ox, oy, oz, dx, dy, dz, 0.0, limit, skip, False)
        index[i] = p
        if p < 0:
            ranges[i] = np.inf
            normal[i, 0], normal[i, 1], normal[i, 2] = 0.0, 0.0, 0.0
            continue
        ranges[i] = t
        if t == 0.0:
            normal[i, 0], normal[i, 1], normal[i, 2] = -dx, -dy, -dz
            continue
        nx, ny, nz, _, _, _ = world_normal(tables.kind[p], tables.solid, p, ox + t * dx, oy + t * dy, oz + t * dz)
        side = -1.0 if tables.kind[p] == TRIANGLE and nx * dx + ny * dy + nz * dz > 0.0 else 1.0
        normal[i, 0], normal[i, 1], normal[i, 2] = side * nx, side * ny, side * nz
    return CAST_OK, 0
