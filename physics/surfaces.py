"""What lies below a load, and whether it would hold it: plan-view geometry of upright solids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, sin

import numpy as np
from numpy.typing import NDArray

from ..common.classes import class_name
from ..common.primitives import PLANE, Primitives
from . import proximity

FloatArray = NDArray[np.float64]
Rectangle = tuple[float, float, float, float, float]
"""Centre x, y [m], yaw [rad], half length and half width [m]."""

SINK = 0.01
"""A top this far [m] above the underside of a load still counts as below it."""
LEVEL = 0.005
"""Tops that differ by no more than this [m] hold a load together."""
_SAMPLES = 11
"""Points along each edge of the grid on which the underside of a load is taken to rest."""


@dataclass(frozen=True)
class Surface:
    """The highest surface below a load.

    Attributes:
        height: of its top [m]. class_name, name: of what it belongs to; the floor is ("floor", "floor").
        holds: whether the load's centre of mass is above the points where it would rest.
    """

    height: float
    class_name: str
    name: str
    holds: bool


class Surfaces:
    """The tops of static solids.

    Args:
        static: solids in ``map``; ``body`` is the physics group. Planes and the class floor are left out.
        groups: class name and layout id by group.
    """

    def __init__(self, static: Primitives, groups: Sequence[tuple[str, str]]) -> None:
        solids = static.take(
            (static.kind != PLANE) & np.array([class_name(int(c)) != "floor" for c in static.class_id])
        )
        self._table = proximity.footprints(solids)
        self._top = proximity.heights(solids)[1]
        self._label = [groups[int(group)] for group in solids.body]

    def below(
        self,
        base: Rectangle,
        low: float,
        centre: tuple[float, float],
        goods: FloatArray,
        goods_top: FloatArray,
        labels: Sequence[tuple[str, str]],
    ) -> Surface:
        """Return the highest surface below a load.

        Args:
            base: outline of its underside; low: height of that [m]; centre: x, y [m] of its centre of mass.
            goods: (M, 6) footprints of loose goods that may be below; goods_top: (M,) heights of their tops [m].
            labels: class name and id of these goods.
        """
        x, y, yaw, half_length, half_width = base
        shrunk = (x, y, yaw, half_length - 1e-3, half_width - 1e-3)
        static = proximity.overlaps(self._table, *shrunk)
        static = static[self._top[static] <= low + SINK]
        loose = proximity.overlaps(goods, *shrunk)
        loose = loose[goods_top[loose] <= low + SINK]
        tops = np.concatenate([self._top[static], goods_top[loose]])
        height = float(tops.max(initial=0.0))
        if height <= LEVEL:
            return Surface(0.0, "floor", "floor", True)
        table = np.concatenate([self._table[static], goods[loose]])
        first = int(np.argmax(tops))
        label = self._label[int(static[first])] if first < len(static) else labels[int(loose[first - len(static)])]
        rests = table[tops >= height - LEVEL]
        return Surface(height, *label, _holds(base, centre, rests))


def _holds(base: Rectangle, centre: tuple[float, float], rests: FloatArray) -> bool:
    """Return whether a centre of mass is within the hull of the points of a rectangle that are above footprints."""
    x, y, yaw, half_length, half_width = base
    u, w = np.meshgrid(np.linspace(-half_length, half_length, _SAMPLES), np.linspace(-half_width, half_width, _SAMPLES))
    px, py = x + cos(yaw) * u - sin(yaw) * w, y + sin(yaw) * u + cos(yaw) * w
    held = np.zeros(px.shape, dtype=np.bool_)
    for row in rests:
        dx, dy = px - row[0], py - row[1]
        if row[5] < 0.0:
            held |= np.hypot(dx, dy) <= row[4]
        else:
            along, across = row[2] * dx + row[3] * dy, row[2] * dy - row[3] * dx
            held |= (np.abs(along) <= row[4]) & (np.abs(across) <= row[5])
    around = np.sort(np.arctan2(py[held] - centre[1], px[held] - centre[0]))
    if len(around) < 2:
        return False
    # Outside of the hull all points are within less than half a turn, which leaves a gap of more than half a turn.
    gaps = np.diff(np.append(around, around[0] + 2.0 * np.pi))
    return bool(gaps.max() <= np.pi + 1e-9)


def rectangles_overlap(a: Sequence[float], b: Sequence[float]) -> bool:
    """Return whether two rectangles (see ``Rectangle``) overlap, by the separating axis theorem."""
    row = np.array([[b[0], b[1], cos(b[2]), sin(b[2]), b[3], b[4]]])
    return len(proximity.overlaps(row, a[0], a[1], a[2], a[3], a[4])) > 0
