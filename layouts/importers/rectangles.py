"""Grids of cells to walls: few rectangles that cover exactly the occupied cells and never overlap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.errors import InputError

MAX_CELLS = 100_000_000
MAX_SIDE = 65_535
"""Cells along a side."""
MAX_RECTANGLES = 500_000
"""As many as a layout holds walls."""
MAX_RUNS = 5_000_000
"""Stretches of occupied cells, along rows or columns, that are looked at."""
BLOCK_CELLS = 4_000_000
"""Cells worked on at once, which bounds the memory of what is computed on the way."""

Bools = NDArray[np.bool_]
Rectangles = NDArray[np.int64]


def require_size(rows: int, columns: int, where: str) -> None:
    """Refuse a grid by the size that its file declares, before anything of that size is made.

    Raises:
        InputError: a side is below 1 or above ``MAX_SIDE``, or there are more than ``MAX_CELLS`` cells.
    """
    if not (1 <= rows <= MAX_SIDE and 1 <= columns <= MAX_SIDE) or rows * columns > MAX_CELLS:
        raise InputError(
            f"a map of {columns} x {rows} cells is not read: sides are 1 to {MAX_SIDE:,}, cells {MAX_CELLS:,} at most",
            where=where,
            mend="correct the sizes, or give a coarser map",
        )


def row_blocks(rows: int, columns: int) -> Iterator[slice]:
    """Yield the rows of a grid in slices of about ``BLOCK_CELLS`` cells."""
    step = max(1, BLOCK_CELLS // max(columns, 1))
    for first in range(0, rows, step):
        yield slice(first, min(first + step, rows))


def merged_rectangles(occupied: Bools, where: str) -> Rectangles:
    """Return rectangles that cover the occupied cells, each cell once.

    Each cell goes with the longer of the two stretches, along its row and its column, that it lies in; equal stretches
    of neighbouring rows (columns) make one rectangle. Where rows alone or columns alone need fewer, they are taken.

    Args:
        occupied: (H, W) bool. where: for errors.

    Returns:
        (N, 4) int64: first row, row behind the last, first column, column behind the last; sorted.

    Raises:
        InputError: there are more rectangles than a layout holds walls.
    """
    along = _longer_along_rows(occupied)
    ways = [_merge(_runs(occupied, where)), _turned(_merge(_runs(occupied.T, where)))]
    ways.append(np.concatenate([_merge(_runs(along, where)), _turned(_merge(_runs((occupied & ~along).T, where)))]))
    found = min(ways, key=len)
    if len(found) > MAX_RECTANGLES:
        raise _too_ragged(where)
    return found[np.lexsort((found[:, 2], found[:, 0]))]


def walls_of(rectangles: Rectangles, rows: int, cell: float) -> list[dict[str, Any]]:
    """Return walls (as fields of ``Wall``) that stand on rectangles of cells.

    Args:
        rectangles: as ``merged_rectangles`` gives them, rows counted downwards. rows: of the grid, whose lower left
            corner is the origin of ``map``. cell: edge of a cell [m].
    """
    walls = []
    for number, (top, bottom, left, right) in enumerate(rectangles.tolist()):
        low, high = (left * cell, (rows - bottom) * cell), (right * cell, (rows - top) * cell)
        middle = [_metres(0.5 * (a + b)) for a, b in zip(low, high, strict=True)]
        if right - left >= bottom - top:
            ends, thickness = ((_metres(low[0]), middle[1]), (_metres(high[0]), middle[1])), (bottom - top) * cell
        else:
            ends, thickness = ((middle[0], _metres(low[1])), (middle[0], _metres(high[1]))), (right - left) * cell
        walls.append({"id": f"wall_{number}", "start": ends[0], "end": ends[1], "thickness": _metres(thickness)})
    return walls


def _metres(value: float) -> float:
    """Round to a nanometre, which keeps sums of decimal cells short in a file."""
    return round(value, 9)


def _runs(cells: Bools, where: str) -> Rectangles:
    """Return row, first column and the column behind the last (N, 3) of the stretches of set cells in each row."""
    found, count = [np.empty((0, 3), dtype=np.int64)], 0
    for rows in row_blocks(*cells.shape):
        block = np.pad(cells[rows], ((0, 0), (1, 1)))
        # Row by row, a stretch begins and ends at every second change.
        row, column = np.nonzero(block[:, 1:] != block[:, :-1])
        count += len(row) // 2
        if count > MAX_RUNS:
            raise _too_ragged(where)
        found.append(np.stack([row[::2] + rows.start, column[::2], column[1::2]], axis=-1))
    return np.concatenate(found)


def _merge(runs: Rectangles) -> Rectangles:
    """Join equal stretches of neighbouring rows to rectangles."""
    runs = runs[np.lexsort((runs[:, 0], runs[:, 2], runs[:, 1]))]
    joins = (runs[1:, 1:] == runs[:-1, 1:]).all(axis=1) & (runs[1:, 0] == runs[:-1, 0] + 1)
    first = np.flatnonzero(np.concatenate([np.ones(min(len(runs), 1), dtype=np.bool_), ~joins]))
    last = np.append(first[1:], len(runs)) - 1 if len(first) else first
    return np.stack([runs[first, 0], runs[last, 0] + 1, runs[first, 1], runs[first, 2]], axis=-1)


def _turned(rectangles: Rectangles) -> Rectangles:
    """Exchange rows and columns."""
    return rectangles[:, [2, 3, 0, 1]]


def _longer_along_rows(occupied: Bools) -> Bools:
    """Return (H, W) bool: occupied cells whose stretch along the row is no shorter than that along the column."""
    rows, columns = occupied.shape
    # Sides are below 2^16, and so are stretches.
    above = np.zeros((rows, columns), dtype=np.uint16)
    for row in range(rows):
        if row:
            above[row] = above[row - 1]
        above[row] += 1
        above[row] *= occupied[row]
    along = np.zeros((rows, columns), dtype=np.bool_)
    below = np.zeros(columns, dtype=np.int64)
    for row in range(rows - 1, -1, -1):
        cells = occupied[row]
        below = (below + 1) * cells
        edges = np.flatnonzero(np.diff(np.concatenate([[False], cells, [False]])))
        lengths = edges[1::2] - edges[::2]
        upright = above[row, cells].astype(np.int64) + below[cells] - 1
        along[row, cells] = np.repeat(lengths, lengths) >= upright
    return along


def _too_ragged(where: str) -> InputError:
    return InputError(
        f"the occupied cells make more rectangles than the {MAX_RECTANGLES:,} walls that a layout holds",
        where=where,
        mend="give a coarser or a cleaner map",
    )
