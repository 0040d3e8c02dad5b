"""Where a robot gets to that is longer than wide: by its rectangle in all headings, not by the circle around it."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

HEADINGS = 24
"""Headings that are looked at over half a turn; a rectangle looks the same after that."""
DISCS = 5
"""Discs along the rectangle that cover it; of a robot of 0.9 x 0.65 m they stand out by 1 cm."""
MOST_STATES = 40_000_000
"""Cells times headings at most; beyond, coarser cells are taken."""


def narrow_regions(
    clearance: NDArray[np.float32], resolution: float, length: float, width: float
) -> tuple[NDArray[np.int32], int]:
    """Label the poses of a rectangular robot by what can be driven to from each other.

    The rectangle is covered by discs along its length; a pose is free if each has its room. Neighbouring cells, and
    neighbouring headings on one cell, are joined where both are free. That takes motions sideways for possible, which
    a differential drive makes up of small turns and moves wherever it has any room at all (Laumond 1986).

    Args:
        clearance: (H, W) float32 [m], from each cell's centre to the nearest thing.
        resolution: cell size [m].
        length, width: of the robot [m].

    Returns:
        (HEADINGS, h, w) int32 labels, 0 where the robot does not fit, of every ``stride``-th cell; and that stride.
    """
    from scipy import ndimage

    stride = 1
    while HEADINGS * clearance.size / stride**2 > MOST_STATES:
        stride += 1
    pitch = length / DISCS
    radius = math.hypot(0.5 * width, 0.5 * pitch)
    shape = len(range(0, clearance.shape[0], stride)), len(range(0, clearance.shape[1], stride))
    free = np.ones((HEADINGS, *shape), dtype=np.bool_)
    for heading in range(HEADINGS):
        angle = heading * math.pi / HEADINGS
        for disc in range(DISCS):
            reach = ((disc + 0.5) * pitch - 0.5 * length) / resolution
            free[heading] &= _beside(clearance, reach * math.sin(angle), reach * math.cos(angle), stride) >= radius
    joined = np.zeros((3, 3, 3), dtype=np.bool_)
    joined[1] = True
    joined[:, 1, 1] = True
    labels, count = ndimage.label(free, structure=joined)
    return _closed_ring(labels, int(count)), stride


def _beside(clearance: NDArray[np.float32], down: float, right: float, stride: int) -> NDArray[np.float32]:
    """Return the clearance so many cells beside every ``stride``-th cell, between cells by linear interpolation."""
    rows, columns = clearance.shape
    row, column = np.arange(0, rows, stride), np.arange(0, columns, stride)
    found = np.zeros((len(row), len(column)), dtype=np.float32)
    whole_down, whole_right = math.floor(down), math.floor(right)
    for dr, share_down in ((whole_down, 1.0 - down + whole_down), (whole_down + 1, down - whole_down)):
        for dc, share_right in ((whole_right, 1.0 - right + whole_right), (whole_right + 1, right - whole_right)):
            if share_down * share_right == 0.0:
                continue
            at_row, at_column = row + dr, column + dc
            good_row, good_column = (at_row >= 0) & (at_row < rows), (at_column >= 0) & (at_column < columns)
            there = clearance[np.clip(at_row, 0, rows - 1)[:, None], np.clip(at_column, 0, columns - 1)[None, :]]
            found += np.float32(share_down * share_right) * there * (good_row[:, None] & good_column[None, :])
    return found


def _closed_ring(labels: NDArray[np.int32], count: int) -> NDArray[np.int32]:
    """Join the last heading to the first: half a turn on, the rectangle is the same."""
    from scipy.sparse import csgraph, csr_matrix

    both = (labels[0] > 0) & (labels[-1] > 0)
    ends = labels[0][both], labels[-1][both]
    graph = csr_matrix((np.ones(len(ends[0]), dtype=np.bool_), ends), shape=(count + 1, count + 1))
    _, merged = csgraph.connected_components(graph, directed=False)
    # Numbers from 1 on, and 0 where nothing is free.
    renamed = np.asarray(merged, dtype=np.int32) + 1
    renamed[0] = 0
    return renamed[labels]
