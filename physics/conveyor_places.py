"""Where goods on conveyors are in the hall, compiled; arrays as in ``conveyor_motion``."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..common.kernels import compiled
from .conveyor_motion import (
    B_LENGTH,
    C_END,
    C_PIECE,
    C_PIECE_END,
    EPSILON,
    G_OFFSET,
    G_S,
    G_YAW,
    K_BELT,
    K_OUTLET,
    O_ENTRY,
    O_EXTENDED,
    O_TARGET,
    ONWARD,
)

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@njit(nogil=True, error_model="numpy")
def line_place(piece: FloatArray, first: int, end: int, s: float, offset: float) -> tuple[float, float, float]:
    """Return x, y [m], yaw [rad] at s [m] along the pieces from ``first`` to ``end``, ``offset`` [m] to the left."""
    row = first
    while row + 1 < end and s > piece[row + 1, 0]:
        row += 1
    on = s - piece[row, 0]
    inside = min(max(on, 0.0), piece[row, 4])
    yaw, curvature = piece[row, 3], piece[row, 5]
    turned = curvature * inside
    chord = inside if curvature == 0.0 else 2.0 * math.sin(0.5 * turned) / curvature
    x = piece[row, 1] + chord * math.cos(yaw + 0.5 * turned)
    y = piece[row, 2] + chord * math.sin(yaw + 0.5 * turned)
    yaw += turned
    x += (on - inside) * math.cos(yaw) - offset * math.sin(yaw)
    y += (on - inside) * math.sin(yaw) + offset * math.cos(yaw)
    return x, y, yaw


@compiled
def places(good: FloatArray, link: IntArray, belt: FloatArray, count: IntArray, outlet: FloatArray,
           outlet_to: IntArray, piece: FloatArray, out: FloatArray) -> None:  # fmt: skip
    """Write x, y [m], yaw [rad] in ``map`` of all goods on conveyors into ``out`` (N, 3); other rows stay."""
    for k in range(len(good)):
        b = link[k, K_BELT]
        if b < 0:
            continue
        s, length, row = good[k, G_S], belt[b, B_LENGTH], 2 * b + max(link[k, K_OUTLET], 0)
        if count[b, C_END] == ONWARD and s > length and outlet[row, O_EXTENDED] > length + EPSILON:
            # On the transfer: straight from the end to the place of entry.
            x0, y0, yaw = line_place(piece, count[b, C_PIECE], count[b, C_PIECE_END], length, good[k, G_OFFSET])
            target = outlet_to[row, O_TARGET]
            x1, y1, _ = line_place(piece, count[target, C_PIECE], count[target, C_PIECE_END], outlet[row, O_ENTRY], 0.0)
            share = (s - length) / (outlet[row, O_EXTENDED] - length)
            x, y = x0 + share * (x1 - x0), y0 + share * (y1 - y0)
        else:
            x, y, yaw = line_place(piece, count[b, C_PIECE], count[b, C_PIECE_END], s, good[k, G_OFFSET])
        out[k, 0], out[k, 1], out[k, 2] = x, y, yaw + good[k, G_YAW]
