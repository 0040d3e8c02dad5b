"""Blocks of neighbouring static solids, so that a sensor can leave out many at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..common.geometry import FloatArray
from .grid import IntArray

BLOCK = 32
"""Solids of a block."""
SMALLEST_CLASS, LARGEST_CLASS = -2, 6
"""Powers of 2 [m] between which solids are sorted by their greatest half extent, so that a long wall does not spoil the
bounds of a block of cartons."""
PLACE_STEPS = 1023
"""Steps of place along each axis in the space-filling curve."""


class RasterBlocks(NamedTuple):
    """Static solids in blocks of neighbours, so that whole blocks can be left out.

    Attributes:
        row: (S,) int32 rows of the world table, sorted by size and place. bounds: (S, 6) float64 their centres and
            half extents [m]. block: (ceil(S / BLOCK), 6) float64, the same of each block.
    """

    row: IntArray
    bounds: FloatArray
    block: FloatArray


def raster_blocks(bounds: FloatArray, static_count: int) -> RasterBlocks:
    """Sort the static solids into blocks: by size class, then along a space-filling curve (Morton, 1966).

    Args:
        bounds: (P, 6) float64 centre and half extents [m] of each solid's axis-aligned box.
        static_count: the first so many are static.
    """
    fixed = bounds[:static_count]
    if static_count == 0:
        return RasterBlocks(np.zeros(0, np.int32), np.zeros((0, 6)), np.zeros((0, 6)))
    greatest = fixed[:, 3:].max(axis=1)
    size_class = np.clip(np.ceil(np.log2(np.maximum(greatest, 1e-9))), SMALLEST_CLASS, LARGEST_CLASS).astype(np.int64)
    finite = greatest < 1e6
    middle = fixed[finite, :3] if finite.any() else fixed[:, :3]
    low, high = middle.min(axis=0), middle.max(axis=0)
    cell = np.clip((fixed[:, :3] - low) / max(float((high - low).max()), 1e-9) * PLACE_STEPS, 0, PLACE_STEPS).astype(
        np.int64
    )
    code = np.zeros(static_count, np.int64)
    for bit in range(10):
        for axis in range(3):
            code |= ((cell[:, axis] >> bit) & 1) << (3 * bit + axis)
    order = np.lexsort((np.arange(static_count), code, size_class))
    row = np.ascontiguousarray(order, dtype=np.int32)
    sorted_bounds = np.ascontiguousarray(fixed[order])
    starts = np.arange(0, static_count, BLOCK)
    lower = np.minimum.reduceat(sorted_bounds[:, :3] - sorted_bounds[:, 3:], starts, axis=0)
    upper = np.maximum.reduceat(sorted_bounds[:, :3] + sorted_bounds[:, 3:], starts, axis=0)
    block = np.hstack([0.5 * (lower + upper), 0.5 * (upper - lower)])
    return RasterBlocks(row, sorted_bounds, np.ascontiguousarray(block))
