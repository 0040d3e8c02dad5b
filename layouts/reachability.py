"""Whether a robot gets to every station and charger, and back without going against one-way aisles; free aisles."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .directions import against, rules_of_the_road
from .geometry import layout_solids
from .model import Charger, Layout
from .narrow import narrow_regions
from .occupancy import OccupancyGrid, clearance_field, is_sharp, occupancy_grid, sharp_clearance

POSE_TOLERANCE = 0.1
"""A place counts as reached from this far away [m]."""
DOCK_DISTANCE = 1.3
"""A dock counts as reached where a robot's centre is this far in front of its door [m]."""
COARSE_AREA = 2500.0
"""Floor area [m^2] above which directions are checked on cells of four times the size first."""
DOCKING_GAP = 0.05
"""Between a charger's contacts and the robot's circle [m]."""

Finding = tuple[str, str, str]
"""Field, message, mend."""


def docking_pose(charger: Charger, robot_radius: float) -> tuple[float, float, float]:
    """Return x, y [m], yaw [rad] of a robot that faces a charger, ``DOCKING_GAP`` away from it."""
    reach = 0.5 * charger.depth + robot_radius + DOCKING_GAP
    yaw = math.remainder(charger.yaw + math.pi, 2 * math.pi)
    return charger.x + reach * math.cos(charger.yaw), charger.y + reach * math.sin(charger.yaw), yaw


def reach_problems(
    layout: Layout, robot_radius: float, footprint: tuple[float, float] | None = None
) -> Iterator[Finding]:
    """Yield stations and chargers that a robot cannot reach, and aisles that run through obstacles.

    The robot is a circle; cells whose obstacles may be nearer than its radius are closed. Where not all can be reached
    like that, and a ``footprint`` (length, width [m]) is given, the robot is that rectangle in all headings.
    Everything counts as reachable that joins the region where the most stations and chargers lie. Where aisles are
    one-way, every station, charger, dock and aisle must be reached from every other, and left for it, without a motion
    against them.
    """
    solids = layout_solids(layout)
    grid = occupancy_grid(layout, solids=solids)
    clearance = clearance_field(grid) - np.float32(0.5 * grid.resolution)
    blocked = list(_blocked_places(layout, grid, clearance, robot_radius))
    if blocked and footprint is not None:
        sharp = sharp_clearance(layout, grid, solids=solids) if is_sharp(layout) else clearance
        blocked = list(_blocked_places(layout, grid, sharp, robot_radius, footprint))
    yield from blocked
    yield from _blocked_aisles(layout, occupancy_grid(layout, loose_goods=False, solids=solids))
    if not blocked and any(aisle.one_way for aisle in layout.aisles):
        yield from _against_one_way(layout, grid, clearance >= robot_radius, robot_radius)


def _blocked_places(
    layout: Layout,
    grid: OccupancyGrid,
    clearance: NDArray[np.float32],
    robot_radius: float,
    footprint: tuple[float, float] | None = None,
) -> Iterator[Finding]:
    from scipy import ndimage

    places = [(f"stations[{i}]", f"station '{s.id}'", (s.x, s.y)) for i, s in enumerate(layout.stations)]
    places += [
        (f"chargers[{i}]", f"the place in front of charger '{c.id}'", docking_pose(c, robot_radius)[:2])
        for i, c in enumerate(layout.chargers)
    ]
    if not places:
        return
    cells = grid.world_to_cell(np.array([point for _, _, point in places]))
    if footprint is None:
        regions, _ = ndimage.label(clearance >= robot_radius)
        found = [_regions_near(grid, regions, cell) for cell in cells]
    else:
        poses, stride = narrow_regions(clearance, grid.resolution, *footprint)
        found = [_labels_about(grid, poses, stride, point, POSE_TOLERANCE) for _, _, point in places]
    votes = np.bincount(np.concatenate([*found, np.zeros(1, dtype=np.int64)]), minlength=2)
    votes[0] = 0
    main = int(votes.argmax())
    for (field, name, _), cell, near in zip(places, cells, found, strict=True):
        if not len(near):
            free = float(clearance[tuple(cell)]) if grid.inside(cell) else 0.0
            message = f"{name} is blocked: {max(0.0, free):.2f} m free around it, a robot needs {robot_radius:.2f} m"
            yield field, message, "move it, or clear the floor around it"
        elif main not in near:
            yield field, f"{name} cannot be reached from most of the others", "open a lane to it, or widen the aisles"


def _regions_near(grid: OccupancyGrid, regions: NDArray[np.int32], cell: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the labels of free regions within the pose tolerance of a cell."""
    reach = round(POSE_TOLERANCE / grid.resolution)
    low = np.clip(cell - reach, 0, grid.shape)
    high = np.clip(cell + reach + 1, 0, grid.shape)
    labels = np.unique(regions[low[0] : high[0], low[1] : high[1]])
    return labels[labels > 0].astype(np.int64)


def _against_one_way(
    layout: Layout, grid: OccupancyGrid, free: NDArray[np.bool_], robot_radius: float
) -> Iterator[Finding]:
    """Yield places that are not strongly connected with most others by motions that keep to one-way aisles."""
    places = [
        (f"stations[{i}]", f"station '{s.id}'", (s.x, s.y), POSE_TOLERANCE) for i, s in enumerate(layout.stations)
    ]
    places += [
        (f"chargers[{i}]", f"charger '{c.id}'", docking_pose(c, robot_radius)[:2], POSE_TOLERANCE)
        for i, c in enumerate(layout.chargers)
    ]
    for i, door in enumerate(layout.docks):
        ahead = door.x + DOCK_DISTANCE * math.cos(door.yaw), door.y + DOCK_DISTANCE * math.sin(door.yaw)
        places.append((f"docks[{i}]", f"dock '{door.id}'", ahead, 0.5 * door.width))
    for i, aisle in enumerate(layout.aisles):
        middle = 0.5 * (aisle.start[0] + aisle.end[0]), 0.5 * (aisle.start[1] + aisle.end[1])
        places.append((f"aisles[{i}]", f"aisle '{aisle.id}'", middle, max(POSE_TOLERANCE, 0.5 * aisle.width)))
    lost: list[int] = []
    for stride in (4, 1) if layout.area > COARSE_AREA else (1,):
        regions = _strong_regions(layout, grid, free, stride)
        found = [_labels_about(grid, regions, stride, at, reach) for _, _, at, reach in places]
        votes = np.bincount(np.concatenate([*found, np.zeros(1, dtype=np.int64)]), minlength=2)
        votes[0] = 0
        main = int(votes.argmax())
        lost = [index for index, labels in enumerate(found) if main not in labels]
        if not lost:
            return
    for index in lost:
        field, name, _, _ = places[index]
        message = f"{name} cannot be reached and left again without driving against a one-way aisle"
        yield field, message, "turn an aisle round, make one two-way, or join aisles by a two-way cross aisle"


def _strong_regions(layout: Layout, grid: OccupancyGrid, free: NDArray[np.bool_], stride: int) -> NDArray[np.int32]:
    """Label every ``stride``-th free cell by its strongly connected region under one-way motion; 0 is closed."""
    from scipy.sparse import csgraph, csr_matrix

    rules = rules_of_the_road(layout.model_copy(update={"lanes": ()}), grid.shape, grid.resolution, grid.origin)
    assert rules is not None
    free, heading = free[::stride, ::stride], rules.heading[::stride, ::stride]
    number = np.full(free.shape, -1, dtype=np.int32)
    number[free] = np.arange(np.count_nonzero(free), dtype=np.int32)
    rows, columns = free.shape
    tails, heads = [], []
    for dr, dc in ((0, 1), (1, 0), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1)):
        here = slice(max(0, -dr), rows - max(0, dr)), slice(max(0, -dc), columns - max(0, dc))
        there = slice(max(0, dr), rows - max(0, -dr)), slice(max(0, dc), columns - max(0, -dc))
        size = math.hypot(dr, dc)
        wrong = against(heading, dc / size, dr / size)
        open_move = free[here] & free[there] & ~wrong[here] & ~wrong[there]
        tails.append(number[here][open_move])
        heads.append(number[there][open_move])
    tail, head = np.concatenate(tails), np.concatenate(heads)
    count = int(np.count_nonzero(free))
    graph = csr_matrix((np.ones(len(tail), dtype=np.bool_), (tail, head)), shape=(count, count))
    _, labels = csgraph.connected_components(graph, directed=True, connection="strong")
    regions = np.zeros(free.shape, dtype=np.int32)
    regions[free] = labels + 1
    return regions


def _labels_about(
    grid: OccupancyGrid, regions: NDArray[np.int32], stride: int, at: tuple[float, float], reach: float
) -> NDArray[np.int64]:
    """Return the labels (..., h, w) within ``reach`` [m] of a point, in a grid of every ``stride``-th cell."""
    row, column = grid.world_to_cell(np.array(at)).tolist()
    span = max(1, math.ceil(reach / (stride * grid.resolution)))
    row, column = round(row / stride), round(column / stride)
    labels = np.unique(regions[..., max(0, row - span) : row + span + 1, max(0, column - span) : column + span + 1])
    return labels[labels > 0].astype(np.int64)


def _blocked_aisles(layout: Layout, grid: OccupancyGrid) -> Iterator[Finding]:
    for index, aisle in enumerate(layout.aisles):
        count = max(2, math.ceil(math.dist(aisle.start, aisle.end) / (0.5 * grid.resolution)))
        cells = grid.world_to_cell(np.linspace(aisle.start, aisle.end, count))
        cells = cells[grid.inside(cells)]
        if grid.occupied[cells[:, 0], cells[:, 1]].any():
            yield (
                f"aisles[{index}]",
                f"the centre line of aisle '{aisle.id}' runs through an obstacle",
                "move the aisle",
            )
