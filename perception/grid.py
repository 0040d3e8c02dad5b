"""A uniform grid over the floor plan that lists, cell by cell, the solids above it.

Static solids are listed once (cells in compressed rows); moving solids are linked into the cells that they stand over,
anew for every frame. A list entry carries the solid's height interval, so that a ray passes by all that lies above or
below it without loading the solid.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import FloatArray
from .compiled import compiled, inlined
from .intersect import HALF_SPACE, UPRIGHT_CAPSULE, UPRIGHT_CYLINDER, YAW_BOX

IntArray = NDArray[np.int32]

FIRST, END, MOVING, UNUSED = 0, 1, 2, 3
"""Columns of a cell: range of its static entries, first moving entry (-1: none)."""
LOW, HIGH, SOLID, NEXT = 0, 1, 2, 3
"""Columns of an entry: height interval [HEIGHT_STEP], solid, next moving entry of the cell (or -1)."""
X0, Y0, CELL, PER_METRE, Z_LOW, Z_HIGH, STATIC_LOW, STATIC_HIGH, X_MIN, Y_MIN, X_MAX, Y_MAX = range(12)
"""Grid parameters [m]: corner, cell size and its reciprocal, heights of all solids, heights of the static ones, and the
rectangle that holds all listed solids. One row of empty cells surrounds that rectangle, so that a walk that ends at the
rectangle's edge never leaves the table, however it rounds."""
GRID_PARAMETERS = 12

HEIGHT_STEPS = 1024.0
"""Heights in entries are whole steps of 1 / HEIGHT_STEPS m, rounded outwards."""
HEIGHT_LIMIT = 1e6
"""Heights in entries saturate here [m]."""
PADDING = 1e-6
"""Footprints are grown by this much [m], so that rounding never loses a solid on a cell's edge."""
MAX_CELLS = 4_000_000
MAX_MOVING_CELLS = 1024
"""A moving solid that covers more cells than this is tested by every ray instead."""


def lay_out_grid(lower: FloatArray, upper: FloatArray, cell: float) -> tuple[FloatArray, int, int]:
    """Return the parameters of a grid that holds a box, and its numbers of columns and rows.

    Args:
        lower, upper: (3,) corners [m]. cell: wanted cell size [m]; grows if the grid would exceed MAX_CELLS.
    """
    extent = np.maximum(upper - lower, cell)[:2]
    cell = max(cell, float(np.sqrt(extent[0] * extent[1] / MAX_CELLS)), float(extent.max()) / MAX_CELLS)
    columns, rows = (int(n) + 3 for n in np.ceil(extent / cell))
    grid = np.zeros(GRID_PARAMETERS)
    grid[[X0, Y0, CELL, PER_METRE]] = lower[0] - cell, lower[1] - cell, cell, 1.0 / cell
    grid[[STATIC_LOW, STATIC_HIGH]] = lower[2], upper[2]
    grid[[X_MIN, Y_MIN]] = lower[:2]
    grid[[X_MAX, Y_MAX]] = grid[X0] + (columns - 1) * cell, grid[Y0] + (rows - 1) * cell
    return grid, columns, rows


@inlined
def height_low(z: float) -> int:
    """Return a height [m] in steps, rounded down."""
    return int(np.floor(max(min(z, HEIGHT_LIMIT), -HEIGHT_LIMIT) * HEIGHT_STEPS))


@inlined
def height_high(z: float) -> int:
    """Return a height [m] in steps, rounded up."""
    return int(np.ceil(max(min(z, HEIGHT_LIMIT), -HEIGHT_LIMIT) * HEIGHT_STEPS))


@inlined
def over_cell(shape: int, hot: FloatArray, p: int, x: float, y: float, half: float) -> bool:
    """Return whether the footprint of solid p may touch the square cell about (x, y) with the given half width [m].

    Exact for boxes turned about z and for upright round solids; other shapes are taken by their bounding box, which the
    caller has checked.
    """
    px, py = x - hot[p, 0], y - hot[p, 1]
    if shape == YAW_BOX:
        # Separating axes of the box; those of the cell are the bounding box that the caller has checked.
        c, s = hot[p, 6], hot[p, 7]
        reach = half * (abs(c) + abs(s)) + PADDING
        return abs(c * px + s * py) <= hot[p, 3] + reach and abs(c * py - s * px) <= hot[p, 4] + reach
    if shape in (UPRIGHT_CYLINDER, UPRIGHT_CAPSULE):
        gx, gy = max(abs(px) - half, 0.0), max(abs(py) - half, 0.0)
        reach = hot[p, 3] + PADDING
        return gx * gx + gy * gy <= reach * reach
    return True


@inlined
def cell_span(center: float, half: float, origin: float, cell: float, count: int) -> tuple[int, int]:
    """Return the first and one past the last cell, along one axis, that ``center +- half`` [m] touches."""
    first = int(np.floor((center - half - PADDING - origin) / cell))
    last = int(np.floor((center + half + PADDING - origin) / cell))
    return max(first, 0), min(last + 1, count)


@compiled
def list_static(
    order: NDArray[np.int64],
    shape: NDArray[np.uint8],
    hot: FloatArray,
    bounds: FloatArray,
    grid: FloatArray,
    columns: int,
    cells: IntArray,
) -> IntArray:
    """List the static solids by cell.

    Args:
        order: (N,) rows of the first N solids by their lower ends.
        shape: (P,) shape codes. hot: (P, 8). bounds: (N, 6) centre and half extents [m] of the first N <= P solids.
        grid: grid parameters. columns: number of columns. cells: (C, 4), written.

    Returns:
        Entries (E, 4); within a cell in order of their lower ends.
    """
    rows = cells.shape[0] // columns
    x0, y0, cell = grid[X0], grid[Y0], grid[CELL]
    entries = np.empty((0, 4), np.int32)
    cells[:, FIRST] = 0
    cells[:, END] = 0
    cells[:, MOVING] = -1
    cells[:, UNUSED] = 0
    for write in range(2):
        for p in order:
            if shape[p] == HALF_SPACE:
                continue
            ix0, ix1 = cell_span(bounds[p, 0], bounds[p, 3], x0, cell, columns)
            iy0, iy1 = cell_span(bounds[p, 1], bounds[p, 4], y0, cell, rows)
            for iy in range(iy0, iy1):
                for ix in range(ix0, ix1):
                    if not over_cell(shape[p], hot, p, x0 + (ix + 0.5) * cell, y0 + (iy + 0.5) * cell, 0.5 * cell):
                        continue
                    c = iy * columns + ix
                    if write:
                        k = cells[c, END]
                        entries[k, LOW] = height_low(bounds[p, 2] - bounds[p, 5])
                        entries[k, HIGH] = height_high(bounds[p, 2] + bounds[p, 5])
                        entries[k, SOLID] = p
                        entries[k, NEXT] = -1
                    cells[c, END] += 1
        if not write:
            total = 0
            for c in range(cells.shape[0]):
                count = cells[c, END]
                cells[c, FIRST] = total
                cells[c, END] = total
                total += count
            entries = np.empty((total, 4), np.int32)
    return entries


@compiled
def link_moving(
    p: int,
    shape: int,
    hot: FloatArray,
    bounds: FloatArray,
    grid: FloatArray,
    columns: int,
    cells: IntArray,
    entries: IntArray,
    owner: IntArray,
    used: int,
) -> int:
    """Link moving solid p into the cells it stands over.

    Args:
        p: row. shape: its code. hot: (P, 8). bounds: (6,) its centre and half extents [m].
        grid, columns, cells: the grid; column MOVING of the cells is written.
        entries: (M, 4) moving entries and owner: (M,) the cell of each, written. used: entries in use before.

    Returns:
        Entries in use after; -1 if the solid does not fit inside the grid or the table, and nothing was linked.
    """
    rows = cells.shape[0] // columns
    x0, y0, cell = grid[X0], grid[Y0], grid[CELL]
    if bounds[0] - bounds[3] < grid[X_MIN] or bounds[0] + bounds[3] > grid[X_MAX]:
        return -1
    if bounds[1] - bounds[4] < grid[Y_MIN] or bounds[1] + bounds[4] > grid[Y_MAX]:
        return -1
    ix0, ix1 = cell_span(bounds[0], bounds[3], x0, cell, columns)
    iy0, iy1 = cell_span(bounds[1], bounds[4], y0, cell, rows)
    count = (ix1 - ix0) * (iy1 - iy0)
    if count > MAX_MOVING_CELLS or used + count > entries.shape[0]:
        return -1
    low, high = height_low(bounds[2] - bounds[5]), height_high(bounds[2] + bounds[5])
    for iy in range(iy0, iy1):
        for ix in range(ix0, ix1):
            if not over_cell(shape, hot, p, x0 + (ix + 0.5) * cell, y0 + (iy + 0.5) * cell, 0.5 * cell):
                continue
            c = iy * columns + ix
            entries[used, LOW], entries[used, HIGH], entries[used, SOLID] = low, high, p
            entries[used, NEXT] = cells[c, MOVING]
            owner[used] = c
            cells[c, MOVING] = used
            used += 1
    return used
