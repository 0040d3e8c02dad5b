"""The plan of a site with zones, before chance comes in: what goes where, and whether it fits.

Row coordinates as in ``recipe``: u from the dock wall inwards, v across. In front, side by side: charging, docks with
staging lanes, packing. Then a main aisle, pick faces, a second main aisle, bulk storage cut by cross aisles, and a
cross aisle along the far wall, so that every rack aisle opens at both ends.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from .recipe import (
    CONVEYOR_WIDTH,
    DOCK_REACH,
    DROP_PITCH,
    LayoutRecipe,
    ZoneRecipe,
    count_that_fit,
    flue_width,
    rows_across,
    split_line,
)

CHARGER_SPACING = 1.2
"""Between chargers side by side [m]."""
STAGING_WIDTH = 1.3
"""Of a lane of waiting pallets, beside each dock [m]."""
STAGING_PITCH = 1.35
"""Between waiting pallets one behind the other [m]."""
STAGING_START = 1.2
"""From the dock wall to the first waiting pallet's edge [m]."""
TABLE = (1.6, 0.8, 0.9)
"""Length, depth and height of a pack table [m]."""
TABLE_PITCH = 2.3
WORKER_STRIP = 1.0
"""Where people stand, between a table and the belt behind it [m]."""
PACKING_LANE = 2.8
"""Width of the robots' lane between pack tables [m]."""
PACKING_UNIT = CONVEYOR_WIDTH + 2 * WORKER_STRIP + 2 * TABLE[1] + PACKING_LANE
SHELF_FLUE = 0.1
LEAST_FRONT = 6.5
SHELF_POST = 0.06


@dataclass(frozen=True)
class SitePlan:
    """All that is settled before chance comes in, in row coordinates [m].

    Attributes:
        swapped: whether rows follow the width of the hall.
        length, width: of the hall along u and v.
        front: depth of the zones at the dock wall.
        main_aisles: u of the centre lines of the two main aisles.
        pick: first u and bays of the shelves of every line of pick faces.
        pick_aisles: number of aisles between them; pick_walls: whether single lines stand at the walls.
        pick_slack: width left over for them.
        segments: (first u, bays) of the pallet racks of every line.
        cross_aisles: u of the centre lines of the cross aisles in bulk storage, the far one last.
        bulk_aisles, bulk_walls, bulk_slack, flue: the same for bulk storage, and the gap between back-to-back racks.
        charging, docking, packing: (from, to) in v of the zones in front.
        chargers, docks, packing_lanes, drop_stations, pick_stations, loose_goods, conveyors: how many of each.
        tables: pack tables on either side of a packing lane.
    """

    swapped: bool
    length: float
    width: float
    front: float
    main_aisles: tuple[float, float]
    pick: tuple[float, int]
    pick_aisles: int
    pick_walls: tuple[bool, bool]
    pick_slack: float
    segments: tuple[tuple[float, int], ...]
    cross_aisles: tuple[float, ...]
    bulk_aisles: int
    bulk_walls: tuple[bool, bool]
    bulk_slack: float
    flue: float
    charging: tuple[float, float]
    docking: tuple[float, float]
    packing: tuple[float, float]
    chargers: int
    docks: int
    packing_lanes: int
    drop_stations: int
    pick_stations: int
    loose_goods: int
    conveyors: int
    tables: int


def feasible_site_lengths(recipe: LayoutRecipe, zones: ZoneRecipe) -> list[int]:
    """Return the longest rows, in bays, out of ``recipe.bays_per_row`` with which the site can be built.

    Raises:
        ValueError: none can; says what is short with the longest rows.
    """
    low, high = recipe.bays_per_row
    lengths = []
    for bays in range(low, high + 1):
        try:
            feasible_site_plans(recipe, zones, bays)
        except ValueError:
            continue
        lengths.append(bays)
    if not lengths:
        feasible_site_plans(recipe, zones, high)
    return lengths


def feasible_site_plans(recipe: LayoutRecipe, zones: ZoneRecipe, bays_per_row: int) -> list[SitePlan]:
    """Return the plans that fit, one for each direction of the rows that the recipe allows.

    Raises:
        ValueError: none fits; says what is short and by how much.
    """
    for name in ("office", "fire_wall"):
        if getattr(recipe, name):
            raise ValueError(f"{name}: is not built in a hall with zones; leave it out, or leave out zones")
    directions = {"length": (False,), "width": (True,), "any": (False, True)}[recipe.row_direction]
    plans, problems = [], []
    for swapped in directions:
        try:
            plans.append(_plan(recipe, zones, swapped, bays_per_row))
        except ValueError as error:
            problems.append(str(error))
    if not plans:
        raise ValueError(problems[0])
    return plans


def dock_pitch(recipe: LayoutRecipe) -> float:
    """Return the length of dock wall that a door and the staging lane beside it take [m]."""
    return dock_lane(recipe) + STAGING_WIDTH + 0.3


def dock_lane(recipe: LayoutRecipe) -> float:
    """Return the width of the lane from a dock door to the main aisle [m]."""
    return max(recipe.door_width, 2.6)


def staging_places(front: float) -> int:
    """Return how many pallets wait one behind the other in a staging lane."""
    return max(1, math.floor((front - STAGING_START) / STAGING_PITCH + 1e-9))


def drop_ranks(front: float) -> int:
    """Return how many drop stations fit one behind the other at a dock."""
    return 1 + max(0, math.floor((front - DOCK_REACH - 0.9) / DROP_PITCH + 1e-9))


def _plan(recipe: LayoutRecipe, zones: ZoneRecipe, swapped: bool, bays_per_row: int) -> SitePlan:
    hall_length, hall_width = math.sqrt(recipe.area * recipe.aspect), math.sqrt(recipe.area / recipe.aspect)
    length, width = (hall_width, hall_length) if swapped else (hall_length, hall_width)
    flue = flue_width(recipe)
    bulk_aisles, bulk_walls, bulk_slack = rows_across(recipe.aisle_width, recipe.rack_depth, width, flue)
    pick_aisles, pick_walls, pick_slack = rows_across(
        zones.pick_aisle_width, zones.shelf_depth, width, SHELF_FLUE, "zones.pick_aisle_width"
    )
    asked = zones.front_depth if zones.front_depth is not None else min(12.0, max(LEAST_FRONT, 0.09 * length))
    front, pick_bays, counts = _along(recipe, zones, length, asked, bays_per_row)
    main, cross, post = zones.main_aisle_width, recipe.cross_aisle_width, 0.1
    shelves = front + main
    u = shelves + pick_bays * recipe.bay_width + SHELF_POST
    main_aisles = (front + 0.5 * main, u + 0.5 * main)
    u += main
    segments, crossings = [], []
    for count in counts:
        segments.append((u, count))
        u += count * recipe.bay_width + post
        crossings.append(u + 0.5 * cross)
        u += cross
    charging, docking, packing, chargers, docks, lanes = _dock_wall(recipe, zones, width)
    places = pick_aisles * pick_bays + bulk_aisles * sum(counts)
    ranks = docks * drop_ranks(front)
    staged = docks * staging_places(front)
    return SitePlan(
        swapped=swapped,
        length=length,
        width=width,
        front=front,
        main_aisles=main_aisles,
        pick=(shelves, pick_bays),
        pick_aisles=pick_aisles,
        pick_walls=pick_walls,
        pick_slack=pick_slack,
        segments=tuple(segments),
        cross_aisles=tuple(crossings),
        bulk_aisles=bulk_aisles,
        bulk_walls=bulk_walls,
        bulk_slack=bulk_slack,
        flue=flue,
        charging=charging,
        docking=docking,
        packing=packing,
        chargers=chargers,
        docks=docks,
        packing_lanes=lanes,
        drop_stations=count_that_fit("drop_stations", recipe.drop_stations, docks, ranks, f"at {docks} docks"),
        pick_stations=count_that_fit(
            "pick_stations", recipe.pick_stations, max(4, recipe.area // 90), places, "at racks"
        ),
        loose_goods=count_that_fit(
            "loose_goods", recipe.loose_goods, round(0.6 * staged), staged, "in the staging lanes"
        ),
        conveyors=count_that_fit("conveyors", recipe.conveyors, lanes + 1, lanes + 1, f"beside {lanes} packing lanes"),
        tables=max(1, math.floor((front - 1.6) / TABLE_PITCH + 1e-9)),
    )


def _along(
    recipe: LayoutRecipe, zones: ZoneRecipe, length: float, asked: float, cap: int
) -> tuple[float, int, list[int]]:
    """Cut the length; returns the depth of the zones in front, the bays of the pick faces, and of each bulk row."""
    bay, main, cross, post = recipe.bay_width, zones.main_aisle_width, recipe.cross_aisle_width, 0.1
    room = length - asked - 2 * main
    pick_bays = max(1, math.floor((zones.pick_share * room - SHELF_POST) / bay + 1e-9))
    bulk = room - pick_bays * bay - SHELF_POST
    # Every row is followed by a cross aisle, the last one by the one along the far wall.
    counts = split_line(bulk - cross, bay, post, cross, cap, 1)
    if not counts:
        need = asked + 2 * main + 2 * bay + SHELF_POST + post + cross
        raise ValueError(
            f"the hall is {length:.1f} m long along the rows; with zones it needs {need:.1f} m: {asked:.1f} m for "
            f"docks and packing, two main aisles of {main:g} m, two bays of {bay:g} m, a cross aisle of {cross:g} m; "
            "raise area or aspect, or lower zones.main_aisle_width or cross_aisle_width"
        )
    used = sum(counts) * bay + len(counts) * (post + cross)
    return asked + (bulk - used), pick_bays, counts


def _dock_wall(
    recipe: LayoutRecipe, zones: ZoneRecipe, width: float
) -> tuple[tuple[float, float], tuple[float, float], tuple[float, float], int, int, int]:
    """Share the dock wall: (from, to) of charging, docks and packing; chargers, docks, packing lanes."""
    chargers = recipe.chargers if recipe.chargers is not None else max(1, round(recipe.area / 800))
    lanes = zones.packing_lanes if zones.packing_lanes is not None else max(1, round(0.3 * width / PACKING_UNIT))
    docks = recipe.docks if recipe.docks is not None else max(1, round(width / 10))
    pitch = dock_pitch(recipe)

    def charging(count: int) -> float:
        return count * CHARGER_SPACING + 0.8 if count else 0.0

    def packing(count: int) -> float:
        return count * PACKING_UNIT + CONVEYOR_WIDTH + 0.2

    def short() -> bool:
        return charging(chargers) + docks * pitch + packing(lanes) > width + 1e-9

    while short() and zones.packing_lanes is None and lanes > 1:
        lanes -= 1
    while short() and recipe.docks is None and docks > 1:
        docks -= 1
    while short() and recipe.chargers is None and chargers > 1:
        chargers -= 1
    if short():
        raise ValueError(
            f"docks {docks} (of {pitch:.1f} m), chargers {chargers} ({charging(chargers):.1f} m) and "
            f"zones.packing_lanes {lanes} ({packing(lanes):.1f} m) do not fit on {width:.1f} m of dock wall: "
            "ask for fewer, or raise area"
        )
    end, start = charging(chargers), width - packing(lanes)
    return (0.0, end), (end, start), (start, width), chargers, docks, lanes
