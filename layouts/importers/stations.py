"""Stations for halls whose files have none: from a file of the user's, or at places where a robot has room."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...common.config import StrictModel, load_model
from ...common.errors import InputError
from ..geometry import layout_solids
from ..model import Layout, Station, Wall
from ..occupancy import clearance_field, occupancy_grid

GRID_CELLS = 4_000_000
"""Cells of the grid on which places are looked for, at most; larger halls get larger cells."""
SPARE = 0.2
"""Room [m] that a robot has around it at a station, where there is any with so much."""


class StationList(StrictModel):
    """A file of stations: the key ``stations`` as in a layout file."""

    stations: tuple[Station, ...] = Field(min_length=2, max_length=20_000)


def add_stations(layout: Layout, stations: str, *, robot_radius: float = 0.56) -> Layout:
    """Return a layout with further stations.

    Args:
        layout: the hall.
        stations: a number of them, from 2 to 200, to be put where there is room; or a YAML file with them (see
            ``StationList``).
        robot_radius: of the circle that must have room at a place [m].

    Raises:
        InputError: neither a number nor a file that can be read, an id that is taken, or no room.
    """
    if stations.isdecimal():
        added = free_stations(layout, int(stations), robot_radius)
    else:
        added = load_model(Path(stations), StationList).stations
    taken = {item.id for kind in ("stations", "waypoints", "lanes", "walls", "racks") for item in getattr(layout, kind)}
    for station in added:
        if station.id in taken:
            raise InputError(f"the id '{station.id}' is taken", where=stations, mend="give stations ids of their own")
    return layout.model_copy(update={"stations": (*layout.stations, *added)})


def free_stations(layout: Layout, count: int, robot_radius: float) -> tuple[Station, ...]:
    """Return stations far apart in the largest part of the floor that a robot can go to, half of them to pick from.

    The first stands where there is most room; each further one as far as possible from those before it (farthest-point
    sampling, Gonzalez 1985), by the straight line. Each faces the longer side of the room about it.

    Raises:
        InputError: fewer than 2 or more than 200 are asked for, or there is no room for as many.
    """
    if not 2 <= count <= 200:
        raise InputError(f"{count} stations", where="--stations", mend="ask for 2 to 200")
    from scipy import ndimage

    resolution = max(0.1, math.sqrt(layout.area / GRID_CELLS))
    grid = occupancy_grid(layout, resolution, solids=layout_solids(layout))
    clearance = clearance_field(grid) - np.float32(0.5 * resolution)
    regions, _ = ndimage.label(clearance >= robot_radius)
    sizes = np.bincount(regions.ravel())
    sizes[0] = 0
    if sizes.max() == 0:
        raise InputError(
            f"nowhere in '{layout.name}' has a robot of {robot_radius:g} m radius room",
            where="--stations",
            mend="give a smaller robot, or stations in a file",
        )
    main = regions == int(sizes.argmax())
    roomy = main & (clearance >= robot_radius + SPARE)
    cells = np.argwhere(roomy if np.count_nonzero(roomy) >= count else main)
    points = grid.cell_to_world(cells)
    room = clearance[cells[:, 0], cells[:, 1]]
    chosen = [int(room.argmax())]
    away = np.hypot(*(points - points[chosen[0]]).T)
    while len(chosen) < count:
        # Of places equally far, the one with more room; in steps of a metre, or stations would stand in corners.
        best = int(np.argmax(np.floor(away) + np.minimum(room, 0.9)))
        if away[best] < 2.0 * robot_radius:
            raise InputError(f"there is room for {len(chosen)} stations only", where="--stations", mend="ask for fewer")
        chosen.append(best)
        away = np.minimum(away, np.hypot(*(points - points[best]).T))
    return tuple(
        Station(
            id=f"station-{number + 1}",
            kind="pick" if number % 2 == 0 else "drop",
            x=round(float(points[index, 0]), 3),
            y=round(float(points[index, 1]), 3),
            yaw=_longer_side(main, cells[index]),
        )
        for number, index in enumerate(chosen)
    )


def with_walls(layout: Layout) -> Layout:
    """Return a layout with four walls around the hall if it holds nothing that a lidar could see.

    Route graphs tell nothing of buildings, and a robot whose lidar sees nothing at all takes it for broken and stands.
    """
    if layout.walls or layout.racks or layout.obstacles or layout.columns:
        return layout
    far_x, far_y = layout.length + 0.1, layout.width + 0.1
    corners = ((-0.1, -0.1), (far_x, -0.1), (far_x, far_y), (-0.1, far_y))
    height = min(3.0, layout.height)
    walls = tuple(
        Wall(id=f"around-{side + 1}", start=corners[side], end=corners[(side + 1) % 4], height=height)
        for side in range(4)
    )
    return layout.model_copy(update={"walls": walls})


def _longer_side(free: NDArray[np.bool_], cell: NDArray[np.int64]) -> float:
    """Return the heading, 0 or a quarter turn [rad], along which more cells are free about one."""
    row, column = cell.tolist()
    along_x, along_y = _run(free[row], column), _run(free[:, column], row)
    return 0.0 if along_x >= along_y else round(0.5 * math.pi, 6)


def _run(line: NDArray[np.bool_], at: int) -> int:
    """Return how many cells in a row are free about one."""
    closed = np.flatnonzero(~line)
    after = closed[closed > at]
    before = closed[closed < at]
    return int((after[0] if len(after) else len(line)) - (before[-1] if len(before) else -1))
