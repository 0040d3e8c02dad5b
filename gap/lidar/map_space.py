"""Where the map's scans looked: cells that beams crossed, and how far other beams stay within what was seen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...common.geometry import FloatArray
from ...common.kernels import compiled

CELL = 0.1
"""Cell size [m]; coarser where the place is so large that there would be more than ``MOST_CELLS``."""
MOST_CELLS = 8_000_000
BLOCKS = 64
"""Parts of a run that are told apart."""
MARGIN = 0.15
"""A beam tells nothing of the last of its way [m]."""
HIDDEN = 0.4
"""A beam that crosses so much [m] of what nobody saw has left the known part."""


@dataclass(frozen=True)
class SeenSpace:
    """Where beams went, by cell and time.

    Attributes:
        crossed: (rows, columns) uint64: bit k is set where a beam of the k-th of ``BLOCKS`` parts of the run crossed.
        origin: (2,) x, y [m] of the grid's corner. cell: its cell size [m].
    """

    crossed: NDArray[np.uint64]
    origin: FloatArray
    cell: float

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """(rows, columns) whether beams went through a cell or a neighbour: far beams leave gaps between them."""
        wide = np.pad(self.crossed != 0, 1)
        tall = wide[:-2] | wide[1:-1] | wide[2:]
        near: NDArray[np.bool_] = tall[:, :-2] | tall[:, 1:-1] | tall[:, 2:]
        return np.ascontiguousarray(near)

    def at(self, table: NDArray[np.uint64], points: FloatArray) -> NDArray[np.uint64]:
        """Return the entries (N,) of a table like ``crossed`` at points (N, 2) [m]; 0 outside."""
        found = np.zeros(len(points), np.uint64)
        inside, row, column = self._cells(points)
        found[inside] = table[row, column]
        return found

    def marked(self, points: FloatArray, block: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """Return a table like ``crossed`` of points (N, 2) [m] in parts of the run, (N,) with one bit each."""
        table = np.zeros_like(self.crossed)
        inside, row, column = self._cells(points)
        np.bitwise_or.at(table, (row, column), block[inside])
        return table

    def also_crossed(
        self,
        ranges: NDArray[np.float32],
        angles: FloatArray,
        poses: FloatArray,
        block: NDArray[np.uint64],
        reach: float,
    ) -> NDArray[np.uint64]:
        """Return ``crossed`` with other scans added; arguments as for ``look_around``."""
        table = self.crossed.copy()
        cross_cells(ranges, angles, poses, block, reach, self.origin, self.cell, table)
        return table

    def _cells(self, points: FloatArray) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
        index = np.floor((points - self.origin) / self.cell).astype(np.int64)
        rows, columns = self.crossed.shape
        inside = (index >= 0).all(axis=1) & (index[:, 0] < columns) & (index[:, 1] < rows)
        return inside, index[inside, 1], index[inside, 0]


def look_around(
    ranges: NDArray[np.float32], angles: FloatArray, poses: FloatArray, block: NDArray[np.uint64], reach: float
) -> SeenSpace:
    """Return the space that scans (S, B) from laser poses (S, 3) saw, up to ``reach`` [m].

    Args:
        block: (S,) uint64 with the bit of the part of the run that each scan belongs to (``run_blocks``).
    """
    low, high = poses[:, :2].min(axis=0) - reach, poses[:, :2].max(axis=0) + reach
    size = high - low
    cell = max(CELL, float(np.sqrt(size[0] * size[1] / MOST_CELLS)))
    columns, rows = (int(np.ceil(s / cell)) + 1 for s in size)
    crossed = np.zeros((rows, columns), np.uint64)
    cross_cells(ranges, angles, poses, block, reach, low, cell, crossed)
    return SeenSpace(crossed, low, cell)


def run_blocks(stretch: NDArray[np.int64], count: int) -> NDArray[np.uint64]:
    """Return (S,) the bit of the part of the run for scans of the given stretches, of ``count`` in the run."""
    return np.uint64(1) << (stretch * BLOCKS // max(count, 1)).astype(np.uint64)


@compiled
def cross_cells(
    ranges: NDArray[np.float32], angles: FloatArray, poses: FloatArray, block: NDArray[np.uint64], reach: float,
    origin: FloatArray, cell: float, crossed: NDArray[np.uint64],
) -> None:  # fmt: skip
    """Mark, in steps of a cell, the cells that beams cross before they end."""
    count, beams = ranges.shape
    spread = abs(angles[1] - angles[0]) if beams > 1 else 0.0
    for s in range(count):
        for b in range(beams):
            r = ranges[s, b]
            if not r > 0.0 or r > reach:
                continue
            _cross(poses[s], angles[b], 0.0, r - MARGIN, block[s], origin, cell, crossed)
            if b + 1 == beams or not ranges[s, b + 1] > 0.0:
                continue
            # Far out, beams leave gaps of cells: what lies between two that go on is seen too.
            end = min(r, ranges[s, b + 1]) - MARGIN
            between = int(end * spread / cell)
            for k in range(between):
                angle = angles[b] + (angles[b + 1] - angles[b]) * (k + 1.0) / (between + 1.0)
                _cross(poses[s], angle, cell / spread, end, block[s], origin, cell, crossed)


@compiled
def _cross(
    pose: FloatArray, angle: float, begin: float, end: float, block: np.uint64, origin: FloatArray, cell: float,
    crossed: NDArray[np.uint64],
) -> None:  # fmt: skip
    """Mark the cells of a beam from ``begin`` to ``end`` [m]."""
    rows, columns = crossed.shape
    dx, dy = np.cos(pose[2] + angle), np.sin(pose[2] + angle)
    x, y = (pose[0] + begin * dx - origin[0]) / cell, (pose[1] + begin * dy - origin[1]) / cell
    for k in range(int((end - begin) / cell)):
        ix, iy = int(x + k * dx), int(y + k * dy)
        if 0 <= ix < columns and 0 <= iy < rows:
            crossed[iy, ix] |= block


@compiled
def known_ranges(
    angles: FloatArray, poses: FloatArray, limit: NDArray[np.float32], origin: FloatArray, cell: float,
    known: NDArray[np.bool_], out: NDArray[np.float32],
) -> None:  # fmt: skip
    """Fill ``out`` (S, B) with how far each beam stays in the known space [m], up to ``limit`` (S, B)."""
    rows, columns = known.shape
    for s in range(limit.shape[0]):
        x, y = (poses[s, 0] - origin[0]) / cell, (poses[s, 1] - origin[1]) / cell
        for b in range(limit.shape[1]):
            dx, dy = np.cos(poses[s, 2] + angles[b]), np.sin(poses[s, 2] + angles[b])
            hidden = 0.0
            out[s, b] = limit[s, b]
            for k in range(int((limit[s, b] - MARGIN) / cell) + 1):
                ix, iy = int(x + k * dx), int(y + k * dy)
                seen = 0 <= ix < columns and 0 <= iy < rows and known[iy, ix]
                hidden = 0.0 if seen else hidden + cell
                if hidden >= HIDDEN:
                    out[s, b] = (k + 1) * cell - hidden
                    break
