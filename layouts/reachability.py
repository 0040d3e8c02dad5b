"""Whether a robot gets to every station and charger, and whether aisles are free."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .geometry import layout_solids
from .model import Charger, Layout
from .occupancy import OccupancyGrid, clearance_field, occupancy_grid

POSE_TOLERANCE = 0.1
"""A place counts as reached from this far away [m]."""
DOCKING_GAP = 0.05
"""Between a charger's contacts and the robot's circle [m]."""

Finding = tuple[str, str, str]
"""Field, message, mend."""


def docking_pose(charger: Charger, robot_radius: float) -> tuple[float, float, float]:
    """Return x, y [m], yaw [rad] of a robot that faces a charger, ``DOCKING_GAP`` away from it."""
    reach = 0.5 * charger.depth + robot_radius + DOCKING_GAP
    yaw = math.remainder(charger.yaw + math.pi, 2 * math.pi)
    return charger.x + reach * math.cos(charger.yaw), charger.y + reach * math.sin(charger.yaw), yaw


def reach_problems(layout: Layout, robot_radius: float) -> Iterator[Finding]:
    """Yield stations and chargers that a robot cannot reach, and aisles that run through obstacles.

    The robot is a circle; cells whose obstacles may be nearer than its radius are closed. Everything counts as
    reachable that joins the region where the most stations and chargers lie.
    """
    solids = layout_solids(layout)
    grid = occupancy_grid(layout, solids=solids)
    yield from _blocked_places(layout, grid, robot_radius)
    yield from _blocked_aisles(layout, occupancy_grid(layout, loose_goods=False, solids=solids))


def _blocked_places(layout: Layout, grid: OccupancyGrid, robot_radius: float) -> Iterator[Finding]:
    from scipy import ndimage

    places = [(f"stations[{i}]", f"station '{s.id}'", (s.x, s.y)) for i, s in enumerate(layout.stations)]
    places += [
        (f"chargers[{i}]", f"the place in front of charger '{c.id}'", docking_pose(c, robot_radius)[:2])
        for i, c in enumerate(layout.chargers)
    ]
    if not places:
        return
    clearance = clearance_field(grid) - 0.5 * grid.resolution
    regions, _ = ndimage.label(clearance >= robot_radius)
    cells = grid.world_to_cell(np.array([point for _, _, point in places]))
    found = [_regions_near(grid, regions, cell) for cell in cells]
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
