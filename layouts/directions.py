"""Which way a hall is driven: rules per cell of a grid, from its one-way aisles and from the lanes of its route graph.

An aisle rules its whole width; where a two-way aisle or another one-way aisle crosses it, any way is open. A lane rules
a strip about its line; around waypoints any way is open. Where a hall has lanes, floor beside them is driven as well,
but planners may charge for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .headings import ANY_WAY, HEADINGS, OFF_LANES, WRONG_WAY
from .model import Layout, Point

LANE_HALF_WIDTH = 0.35
"""Half the width of the strip about a lane [m]."""
JUNCTION_RADIUS = 0.6
"""About a waypoint, where robots turn from lane to lane, any way is open so far [m]."""


@dataclass(frozen=True)
class Rules:
    """Rules of the road on a grid, row = y, column = x.

    Attributes:
        heading: (H, W) uint8: ``ANY_WAY``, ``OFF_LANES``, or n for the direction ``headings.heading_angle(n)``.
        speed: (H, W) float32 [m/s], the speed limit of the lanes; inf where there is none. None if no lane has any.
    """

    heading: NDArray[np.uint8]
    speed: NDArray[np.float32] | None


def has_rules(layout: Layout) -> bool:
    """Whether any direction or lane is given."""
    return bool(layout.lanes) or any(aisle.one_way for aisle in layout.aisles)


def rules_of_the_road(
    layout: Layout, shape: tuple[int, int], resolution: float, origin: NDArray[np.float64]
) -> Rules | None:
    """Return the rules on a grid; None if the layout gives none.

    Args:
        layout: its lanes must name waypoints that it has; others are passed over.
        shape: rows and columns.
        resolution: edge of a cell [m].
        origin: (2,) x, y [m] of the outer corner of cell (0, 0).
    """
    if not has_rules(layout):
        return None
    painter = _Painter(shape, resolution, origin)
    speed = None
    if layout.lanes:
        painter.heading[:] = OFF_LANES
        speed = _paint_lanes(layout, painter)
    _paint_aisles(layout, painter)
    return Rules(painter.heading, speed)


def against(heading: NDArray[np.uint8], dx: float, dy: float) -> NDArray[np.bool_]:
    """Return where a motion in direction (dx, dy), of length 1, is against the rule (any shape of codes)."""
    codes = np.arange(256)
    angle = (codes - 1) * 2.0 * math.pi / HEADINGS
    wrong = (codes >= 1) & (codes <= HEADINGS) & (np.cos(angle) * dx + np.sin(angle) * dy < WRONG_WAY)
    return np.asarray(wrong[heading], dtype=np.bool_)


class _Painter:
    """Marks strips and discs of a grid."""

    def __init__(self, shape: tuple[int, int], resolution: float, origin: NDArray[np.float64]) -> None:
        self.heading = np.zeros(shape, dtype=np.uint8)
        self.resolution = resolution
        self._origin = origin

    def strip(self, start: Point, end: Point, half: float, beyond: float) -> tuple[slice, slice, NDArray[np.bool_]]:
        """Return the window and the cells in it of a strip about a line that runs on ``beyond`` its ends [m]."""
        length = math.dist(start, end)
        ex, ey = ((end[0] - start[0]) / length, (end[1] - start[1]) / length) if length > 0 else (1.0, 0.0)
        reach = math.hypot(half, max(beyond, 0.0))
        low = np.minimum(start, end) - reach
        high = np.maximum(start, end) + reach
        rows, columns, x, y = self._window(low, high)
        dx, dy = x[None, :] - start[0], y[:, None] - start[1]
        along = ex * dx + ey * dy
        inside = (along >= -beyond) & (along <= length + beyond) & (np.abs(ex * dy - ey * dx) <= half)
        return rows, columns, inside

    def disc(self, centre: Point, radius: float) -> tuple[slice, slice, NDArray[np.bool_]]:
        """Return the window and the cells in it of a disc."""
        middle = np.asarray(centre)
        rows, columns, x, y = self._window(middle - radius, middle + radius)
        inside = (x[None, :] - centre[0]) ** 2 + (y[:, None] - centre[1]) ** 2 <= radius * radius
        return rows, columns, inside

    def _window(
        self, low: NDArray[np.float64], high: NDArray[np.float64]
    ) -> tuple[slice, slice, NDArray[np.float64], NDArray[np.float64]]:
        limit = np.array(self.heading.shape[::-1])
        first = np.clip(np.floor((low - self._origin) / self.resolution).astype(np.int64), 0, limit)
        last = np.clip(np.ceil((high - self._origin) / self.resolution).astype(np.int64), 0, limit)
        x = self._origin[0] + (np.arange(first[0], last[0]) + 0.5) * self.resolution
        y = self._origin[1] + (np.arange(first[1], last[1]) + 0.5) * self.resolution
        return slice(first[1], last[1]), slice(first[0], last[0]), x, y


def _code(start: Point, end: Point) -> int:
    turn = math.atan2(end[1] - start[1], end[0] - start[0]) / (2.0 * math.pi)
    return 1 + round(turn * HEADINGS) % HEADINGS


def _paint_aisles(layout: Layout, painter: _Painter) -> None:
    """Rule the one-way aisles; open again what a two-way aisle, or a second one-way aisle, covers."""
    one_way = [aisle for aisle in layout.aisles if aisle.one_way and math.dist(aisle.start, aisle.end) > 0.0]
    if not one_way:
        return
    covered = np.zeros(painter.heading.shape, dtype=np.uint8)
    for aisle in one_way:
        rows, columns, inside = painter.strip(aisle.start, aisle.end, 0.5 * aisle.width, 0.0)
        painter.heading[rows, columns][inside] = _code(aisle.start, aisle.end)
        covered[rows, columns][inside] += covered[rows, columns][inside] < 2
    painter.heading[covered > 1] = ANY_WAY
    for aisle in layout.aisles:
        if not aisle.one_way:
            half = 0.5 * aisle.width
            rows, columns, inside = painter.strip(aisle.start, aisle.end, half, half)
            window = painter.heading[rows, columns]
            window[inside & (window != OFF_LANES)] = ANY_WAY


def _paint_lanes(layout: Layout, painter: _Painter) -> NDArray[np.float32] | None:
    """Rule the strips about lanes; returns their speed limits."""
    places = {waypoint.id: (waypoint.x, waypoint.y) for waypoint in layout.waypoints}
    lanes = [
        (places[lane.start], places[lane.end], lane)
        for lane in layout.lanes
        if lane.start in places and lane.end in places and places[lane.start] != places[lane.end]
    ]
    limits = [lane.max_speed for _, _, lane in lanes if lane.max_speed is not None]
    speed = np.full(painter.heading.shape, np.inf, dtype=np.float32) if limits else None
    half = max(LANE_HALF_WIDTH, painter.resolution)
    for start, end, lane in lanes:
        rows, columns, inside = painter.strip(start, end, half, 0.0)
        window = painter.heading[rows, columns]
        code = _code(start, end) if lane.one_way else ANY_WAY
        # Where two lanes of different rules lie over each other, both ways are open.
        window[inside] = np.where((window[inside] == OFF_LANES) | (window[inside] == code), code, ANY_WAY)
        if speed is not None and lane.max_speed is not None:
            limit = speed[rows, columns]
            limit[inside] = np.minimum(limit[inside], np.float32(lane.max_speed))
    radius = max(JUNCTION_RADIUS, painter.resolution)
    for place in {place for start, end, _ in lanes for place in (start, end)}:
        rows, columns, inside = painter.disc(place, radius)
        window = painter.heading[rows, columns]
        window[inside] = ANY_WAY
    return speed
