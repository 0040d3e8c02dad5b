"""Path planning on the map: A* over the clearance field, shortcuts, smoothing, and a speed limit for each point.

Frame ``map``, SI units. Grids are [row = y, column = x]; a point belongs to the cell that holds it.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..layouts.directions import rules_of_the_road
from ..layouts.model import Layout
from ..layouts.occupancy import cell_size, clearance_field, is_sharp, occupancy_grid, sharp_clearance
from .doors import straight_through_doors
from .search import corridor, lookup, resample, search, shortcut, smooth, stamp

Float32Array = NDArray[np.float32]
FloatArray = NDArray[np.float64]

RESOLUTION = 0.1
"""Cell size of the navigation map [m]."""
SPACING = 0.1
"""Distance between the points of a path [m]."""
COARSE_CELLS = 400_000
"""Cells above which a way is first looked for by blocks: halls of about 4,000 m^2."""
_EVERYWHERE = np.zeros((0, 0), dtype=np.bool_)
_MAPS_KEPT = 4


@dataclass(frozen=True)
class NavigationMap:
    """What the planner knows of the hall.

    Attributes:
        clearance: (H, W) float32 [m], from each cell's centre to the nearest thing on the map or the hall's edge; half
            a cell is taken off, so that rounding to cells never promises room that is not there.
        resolution: cell size [m].
        origin: (2,) float64, x, y [m] of the outer corner of cell (0, 0).
        rules: (H, W) uint8, which way each cell is driven (see ``layouts.directions``); (0, 0) where there is no rule.
        speed: (H, W) float32 [m/s], the speed limits of lanes; None where there is none.
        sharp: whether the clearance is good to a fifth of a cell, so that robots may go where they only just fit.
    """

    clearance: Float32Array
    resolution: float
    origin: FloatArray
    rules: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0), dtype=np.uint8))
    speed: Float32Array | None = None
    sharp: bool = False

    def clearance_at(self, points: FloatArray) -> Float32Array:
        """Return the clearance [m] at points (N, 2); 0 outside the hall."""
        return lookup(self.clearance, self.origin[0], self.origin[1], self.resolution, np.ascontiguousarray(points))


@dataclass(frozen=True)
class PlannerSettings:
    """Costs of the planner, all distances [m] from the robot's centre.

    Attributes:
        hard: no path leads where the clearance is smaller (the robot's half width and a little).
        tight: below this the robot cannot turn on the spot; such places cost a lot (its radius and a little).
        soft: above this more clearance is not better.
        tight_cost: extra cost of a metre at ``hard``, falling to ``soft_cost`` at ``tight``.
        soft_cost: extra cost of a metre at ``tight``, falling to 0 at ``soft``.
        keep_right: extra cost of a metre driven on the left-hand side of a lane; half of it in its middle.
        lane: up to this clearance a place counts as part of a lane for ``keep_right``.
        escape: within this distance of start and goal, less clearance than ``hard`` is allowed, at a high cost.
        wrong_way: extra cost of a metre against a one-way aisle or lane: the last resort.
        off_lanes: extra cost of a metre beside the lanes of a hall that has lanes.
    """

    hard: float
    tight: float
    soft: float
    tight_cost: float = 12.0
    soft_cost: float = 2.0
    keep_right: float = 0.6
    lane: float = 2.2
    escape: float = 0.7
    wrong_way: float = 400.0
    off_lanes: float = 2.0

    @staticmethod
    def for_robot(length: float, width: float, *, sharp: bool = False) -> PlannerSettings:
        """Return settings for a footprint length x width [m]; on a sharp map with half the spare room in doors."""
        radius = 0.5 * math.hypot(length, width)
        spare = 0.03 if sharp else 0.07
        return PlannerSettings(hard=0.5 * width + spare, tight=radius + 0.06, soft=radius + 0.4)

    def as_array(self) -> FloatArray:
        """Return the fields as (10,) float64 in the order above, for the compiled code."""
        return np.array(
            [
                self.hard,
                self.tight,
                self.soft,
                self.tight_cost,
                self.soft_cost,
                self.keep_right,
                self.lane,
                self.escape,
                self.wrong_way,
                self.off_lanes,
            ]
        )


@dataclass(frozen=True)
class Path:
    """A path to a goal, points about ``SPACING`` apart.

    Attributes:
        points: (N, 2) float64 x, y [m], N >= 2.
        arc: (N,) float64 [m], length along the path from its start.
        curvature: (N,) float64 [1/m], unsigned.
        clearance: (N,) float64 [m] at each point.
        cost: of the search: metres weighted by clearance, side and rules of the road.
        limit: (N,) float64 [m/s], what lanes allow at each point; None where nothing limits.
    """

    points: FloatArray
    arc: FloatArray
    curvature: FloatArray
    clearance: FloatArray
    cost: float
    limit: FloatArray | None = None

    @property
    def length(self) -> float:
        """[m]"""
        return float(self.arc[-1])


_maps: OrderedDict[int, tuple[Layout, float, NavigationMap]] = OrderedDict()


def navigation_map(layout: Layout, resolution: float = RESOLUTION) -> NavigationMap:
    """Return the navigation map of a layout without its loose goods; the last few are kept for the process.

    The cache holds on to the layout itself and compares by identity: an equal layout gives an equal map either way.
    """
    key = id(layout)
    kept = _maps.get(key)
    if kept is not None and kept[0] is layout and kept[1] == resolution:
        _maps.move_to_end(key)
        return kept[2]
    grid = occupancy_grid(layout, cell_size(layout, resolution), loose_goods=False)
    sharp = is_sharp(layout)
    if sharp:
        clearance = sharp_clearance(layout, grid, loose_goods=False)
    else:
        clearance = clearance_field(grid).astype(np.float32) - np.float32(0.5 * grid.resolution)
    height, width = clearance.shape
    # Outside the hall there is no floor to drive on, whether or not the layout draws a wall there.
    row = np.minimum(np.arange(height), np.arange(height)[::-1])
    column = np.minimum(np.arange(width), np.arange(width)[::-1])
    edge = (np.minimum(row[:, None], column[None, :]) + 0.5) * grid.resolution
    clearance = np.maximum(np.minimum(clearance, edge.astype(np.float32)), np.float32(0.0))
    origin = np.asarray(grid.origin, dtype=np.float64)
    made = NavigationMap(clearance, float(grid.resolution), origin, sharp=sharp)
    rules = rules_of_the_road(layout, grid.shape, grid.resolution, origin)
    if rules is not None:
        made = replace(made, rules=rules.heading, speed=rules.speed)
    _maps[key] = (layout, resolution, made)
    while len(_maps) > _MAPS_KEPT:
        _maps.popitem(last=False)
    return made


def plan_path(
    nav: NavigationMap,
    start: FloatArray,
    goal: FloatArray,
    settings: PlannerSettings,
    *,
    clearance: Float32Array | None = None,
) -> Path | None:
    """Find a way.

    Args:
        nav: the map.
        start: (>= 2,) x, y [m].
        goal: (>= 2,) x, y [m].
        settings: costs.
        clearance: (H, W) float32 [m], used in place of the map's (see ``with_obstacles``).

    Returns:
        The path, beginning at ``start`` and ending at ``goal`` exactly; None where there is none, or where start or
        goal lie outside the hall.
    """
    field = nav.clearance if clearance is None else clearance
    costs = settings.as_array()
    rows, columns = field.shape
    cells = np.empty(4, dtype=np.int64)
    for k, point in enumerate((start, goal)):
        cells[2 * k] = math.floor((point[1] - nav.origin[1]) / nav.resolution)
        cells[2 * k + 1] = math.floor((point[0] - nav.origin[0]) / nav.resolution)
        if not (0 <= cells[2 * k] < rows and 0 <= cells[2 * k + 1] < columns):
            return None
    found, cost = _search_by_size(field, nav, cells, costs)
    if len(found) == 0:
        return None
    points = np.empty((max(len(found), 2), 2))
    points[: len(found), 0] = nav.origin[0] + (found[:, 1] + 0.5) * nav.resolution
    points[: len(found), 1] = nav.origin[1] + (found[:, 0] + 0.5) * nav.resolution
    points[0], points[-1] = start[:2], goal[:2]
    x0, y0 = float(nav.origin[0]), float(nav.origin[1])
    corners = shortcut(points, field, nav.rules, x0, y0, nav.resolution, costs)
    line = resample(corners, SPACING)
    line = smooth(line, field, x0, y0, nav.resolution, settings.tight + 0.04, 60)
    if nav.sharp:
        room = settings.tight - 0.02
        line = straight_through_doors(line, field, (x0, y0), nav.resolution, settings.hard, room, SPACING)
        line = smooth(line, field, x0, y0, nav.resolution, settings.tight + 0.04, 60)
    found_path = _as_path(line, lookup(field, x0, y0, nav.resolution, line), cost)
    if nav.speed is None:
        return found_path
    limit = lookup(nav.speed, x0, y0, nav.resolution, line).astype(np.float64)
    return replace(found_path, limit=limit)


def _search_by_size(
    field: Float32Array, nav: NavigationMap, ends: NDArray[np.int64], costs: FloatArray
) -> tuple[NDArray[np.int64], float]:
    """Search by cells; in a large hall only about a way that was found by blocks of cells, if there is one."""
    if field.size > COARSE_CELLS:
        within = corridor(field, nav.rules, nav.resolution, ends, costs)
        if within.any():
            found, cost = search(field, nav.rules, nav.resolution, ends, costs, within)
            if len(found):
                return found, cost
    return search(field, nav.rules, nav.resolution, ends, costs, _EVERYWHERE)


def with_obstacles(nav: NavigationMap, obstacles: FloatArray, reach: float) -> Float32Array:
    """Return the map's clearance (H, W) [m] with obstacles added, exact up to ``reach`` [m].

    Args:
        nav: the map.
        obstacles: (N, 3) float64 x, y, radius [m].
        reach: beyond this distance from an obstacle its effect may be left out [m].
    """
    field = nav.clearance.copy()
    if len(obstacles):
        stamp(field, nav.origin[0], nav.origin[1], nav.resolution, np.ascontiguousarray(obstacles), reach)
    return field


def _as_path(points: FloatArray, clearance: Float32Array, cost: float) -> Path:
    step = np.diff(points, axis=0)
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(step[:, 0], step[:, 1]))])
    return Path(points, arc, _curvature(points, arc), clearance.astype(np.float64), float(cost))


def _curvature(points: FloatArray, arc: FloatArray) -> FloatArray:
    """Curvature by the turn over half a metre, so that the jitter of single points does not slow the robot."""
    count = len(points)
    reach = 3
    if count < 2 * reach + 1:
        return np.zeros(count)
    before, here, after = points[: -2 * reach], points[reach:-reach], points[2 * reach :]
    a, b = here - before, after - here
    turn = np.arctan2(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], np.sum(a * b, axis=1))
    length = 0.5 * (arc[2 * reach :] - arc[: -2 * reach])
    middle = np.abs(turn) / np.maximum(length, 1e-6)
    return np.concatenate([np.full(reach, middle[0]), middle, np.full(reach, middle[-1])])
