"""What the generator is asked for, and the hall plan that follows from it before any chance is involved.

Plans are drawn in row coordinates: u runs along the rack rows, from the dock wall (u = 0) to the far wall, v across
them. ``Frame`` lays the plan into the hall, turned or mirrored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from ..common.config import StrictModel

Count = Annotated[int, Field(ge=0, le=2000)]

PALLET_OVERHANG = 0.05
"""How far pallets stand out of a rack on either face [m]; usual for 1.2 m pallets on 1.1 m racks."""
WALL_GAP = 0.15
"""Between a rack and the wall behind it [m]."""
COLUMN_WIDTH = 0.3
CONVEYOR_WIDTH = 0.6
CONVEYOR_LANE = 0.9
"""Free strip on either side of a conveyor [m]; two neighbours leave 1.8 m to drive through."""
CHARGER_PITCH = 1.1
CHARGER_DEPTH = 0.3
CHARGER_ZONE = 1.6
"""Strip along a wall that a charger and the robot docked at it take [m]."""
STATION_REACH = 0.85
"""From a rack's face to the centre of the robot that serves it [m], where the aisle is wide enough."""
DOCK_REACH = 1.3
"""From a dock door to the centre of the robot that serves it [m]."""
DROP_PITCH = 1.5
"""Between drop stations one behind the other [m]."""
MINIMUM_APRON = 1.9
FIRE_WALL_THICKNESS = 0.24


class ZoneRecipe(StrictModel):
    """How a site is split: docks with staging lanes, packing and charging in front, then pick faces, then bulk storage.

    A main aisle lies in front of the pick faces and one behind them; the recipe's own fields describe the bulk storage.
    Lengths in metres.
    """

    main_aisle_width: float = Field(default=4.0, ge=2.4, le=10)
    front_depth: float | None = Field(default=None, ge=5.5, le=40)
    """Depth of docks, staging, packing and charging; follows from the size of the hall if left out."""
    pick_share: float = Field(default=0.2, ge=0.05, le=0.7)
    """Share of what is left of the hall's length behind them that pick faces take."""
    pick_aisle_width: float = Field(default=2.4, ge=1.6, le=6)
    shelf_depth: float = Field(default=0.6, ge=0.3, le=1.2)
    shelf_levels: int = Field(default=4, ge=1, le=10)
    shelf_level_height: float = Field(default=0.45, ge=0.25, le=1)
    packing_lanes: Annotated[int, Field(ge=1, le=60)] | None = None
    """Lanes between pack tables, with a belt to the dock wall behind every row of tables."""
    fast_movers: float = Field(default=0.2, ge=0, le=1)
    """Share of places that hold fast-moving articles, low and near the front: often opened, seldom full."""
    slow_movers: float = Field(default=0.5, ge=0, le=1)
    """Share that hold slow ones, high and far away: mostly full pallets."""

    @model_validator(mode="after")
    def _shares_fit(self) -> ZoneRecipe:
        if self.fast_movers + self.slow_movers > 1:
            raise ValueError(f"fast_movers {self.fast_movers:g} and slow_movers {self.slow_movers:g} are over 1")
        return self


class LayoutRecipe(StrictModel):
    """What a generated hall must hold. Fields left at None follow from the area; lengths in metres.

    A recipe that cannot be built is refused when it is read, naming what does not fit and what would.
    """

    area: float = Field(default=1000.0, ge=100, le=10_000)
    """Floor area [m^2]."""
    aspect: float = Field(default=1.6, ge=0.5, le=4)
    """Length of the hall by its width."""
    row_direction: Literal["length", "width", "any"] = "any"
    """Which side of the hall the rack rows follow; "any" lets the seed choose among those that fit."""
    aisle_width: float = Field(default=2.8, ge=1.6, le=8)
    """Least clear width between rack faces, pallet overhang not counted; leftover width goes into the aisles."""
    cross_aisle_width: float = Field(default=2.6, ge=1.8, le=10)
    bays_per_row: tuple[Annotated[int, Field(ge=1, le=60)], Annotated[int, Field(ge=1, le=60)]] = (8, 14)
    """Longest unbroken row, in bays: drawn from this range; cross aisles cut longer rows."""
    bay_width: float = Field(default=2.7, ge=1.2, le=4)
    rack_depth: float = Field(default=1.1, ge=0.6, le=1.6)
    levels: int = Field(default=2, ge=1, le=8)
    """Beam levels; goods also stand on the floor below the first if ``floor_level``."""
    level_height: float = Field(default=1.6, ge=0.7, le=3)
    floor_level: bool = True
    fill: float = Field(default=0.7, ge=0, le=1)
    """Share of the pallet positions that are taken."""
    loose_goods: Count | None = None
    """Cartons, carriers and pallets that stand about. An upper limit: they are put only where they block nobody."""
    docks: Annotated[int, Field(ge=1, le=200)] | None = None
    door_width: float = Field(default=3.0, ge=1, le=6)
    pick_stations: Annotated[int, Field(ge=1, le=2000)] | None = None
    drop_stations: Annotated[int, Field(ge=1, le=600)] | None = None
    conveyors: Count | None = None
    """Belts from the packing zone to the dock wall, each with a packing station at its head."""
    chargers: Count | None = None
    columns: bool = True
    """Building columns, between back-to-back rows."""
    column_spacing: float = Field(default=12.0, ge=3, le=50)
    office: bool | None = None
    """A closed room in one corner of the dock zone."""
    fire_wall: bool = False
    """An inner wall across the middle cross aisle, with openings."""
    one_way: bool | None = None
    """Rack aisles are driven one way, in turns there and back, if both ends open on a cross aisle and no fire wall cuts
    them. Left out: only with ``zones``."""
    zones: ZoneRecipe | None = None
    """Left out: one storage area behind a dock zone."""

    @property
    def is_one_way(self) -> bool:
        """Whether rack aisles are driven one way."""
        return self.zones is not None if self.one_way is None else self.one_way

    @model_serializer(mode="wrap")
    def _without_what_is_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A recipe without zones and one-way aisles keeps the hash that it had before there were any.
        content: dict[str, Any] = handler(self)
        for name in ("one_way", "zones"):
            if getattr(self, name) is None:
                content.pop(name, None)
        return content

    @model_validator(mode="after")
    def _can_be_built(self) -> LayoutRecipe:
        if self.bays_per_row[0] > self.bays_per_row[1]:
            raise ValueError(f"bays_per_row {list(self.bays_per_row)} is upside down: give the smaller number first")
        if self.zones is None:
            feasible_row_lengths(self)
            return self
        # The plan of a site builds on the functions of this module.
        from .site_plan import feasible_site_lengths

        feasible_site_lengths(self, self.zones)
        return self


def site_recipe() -> LayoutRecipe:
    """Return the recipe of a whole site: 10,000 m^2 in zones, more than 20,000 pallet places on nine levels."""
    return LayoutRecipe(area=10_000.0, levels=8, level_height=1.5, fill=0.85, zones=ZoneRecipe())


@dataclass(frozen=True)
class HallPlan:
    """All that is settled before chance comes in, in row coordinates [m].

    Attributes:
        swapped: whether rows follow the width of the hall.
        length, width: of the hall along u and v.
        apron: depth of the dock zone; the front cross aisle follows it.
        segments: (first u, bays) of the racks of every line, outer uprights at the first u.
        cross_aisles: u of centre lines of the cross aisles.
        fire_wall: u of the fire wall's centre line, if any.
        aisle_count: lanes between rack faces.
        wall_racks: whether there is a single line at v = 0 and at v = width.
        slack: width left over for the aisles.
        flue: gap between back-to-back rows.
        docks, conveyors, chargers, drop_stations, pick_stations, loose_goods: how many of each.
        charger_walls: chargers at v = 0 and at v = width.
        office: size along u and v, or None.
    """

    swapped: bool
    length: float
    width: float
    apron: float
    segments: tuple[tuple[float, int], ...]
    cross_aisles: tuple[float, ...]
    fire_wall: float | None
    aisle_count: int
    wall_racks: tuple[bool, bool]
    slack: float
    flue: float
    docks: int
    conveyors: int
    chargers: int
    charger_walls: tuple[int, int]
    drop_stations: int
    pick_stations: int
    loose_goods: int
    office: tuple[float, float] | None

    @property
    def storage_start(self) -> float:
        """The u where the first rack begins [m]."""
        return self.segments[0][0]

    @property
    def bays(self) -> int:
        """Bays in one line of racks."""
        return sum(count for _, count in self.segments)


def feasible_row_lengths(recipe: LayoutRecipe) -> list[int]:
    """Return the longest rows, in bays, out of ``recipe.bays_per_row`` with which the hall can be built.

    How rows are cut settles what is left for the dock zone, and so what fits into it.

    Raises:
        ValueError: none can; says what is short with the longest rows.
    """
    low, high = recipe.bays_per_row
    lengths = []
    for bays in range(low, high + 1):
        try:
            feasible_plans(recipe, bays)
        except ValueError:
            continue
        lengths.append(bays)
    if not lengths:
        feasible_plans(recipe, high)
    return lengths


def feasible_plans(recipe: LayoutRecipe, bays_per_row: int) -> list[HallPlan]:
    """Return the plans that fit, one for each direction of the rows that the recipe allows.

    Raises:
        ValueError: none fits; says what is short and by how much.
    """
    directions = {"length": (False,), "width": (True,), "any": (False, True)}[recipe.row_direction]
    plans, problems = [], []
    for swapped in directions:
        try:
            plans.append(_plan(recipe, swapped, bays_per_row))
        except ValueError as error:
            problems.append(str(error))
    if not plans:
        # Both directions fail alike more often than not; the first, along the length, is the one people picture.
        raise ValueError(problems[0])
    return plans


def drop_rows(plan_apron: float, cross_aisle_width: float) -> int:
    """Return how many drop stations fit one behind the other at a dock."""
    room = plan_apron + cross_aisle_width - 1.0 - DOCK_REACH
    return 1 + max(0, math.floor(room / DROP_PITCH + 1e-9))


def _plan(recipe: LayoutRecipe, swapped: bool, bays_per_row: int) -> HallPlan:
    hall_length, hall_width = math.sqrt(recipe.area * recipe.aspect), math.sqrt(recipe.area / recipe.aspect)
    length, width = (hall_width, hall_length) if swapped else (hall_length, hall_width)
    flue = flue_width(recipe)
    aisles, wall_racks, slack = rows_across(recipe.aisle_width, recipe.rack_depth, width, flue)
    apron, segments, crossings, fire_wall = _along(recipe, length, bays_per_row)
    office = _office(recipe, apron, width)
    charger_walls = _chargers(recipe, apron, office is not None)
    docks, conveyors = _dock_wall(recipe, apron, width, office, charger_walls)
    drop_room = docks * drop_rows(apron, recipe.cross_aisle_width)
    pick_room = aisles * sum(count for _, count in segments)
    return HallPlan(
        swapped=swapped,
        length=length,
        width=width,
        apron=apron,
        segments=segments,
        cross_aisles=crossings,
        fire_wall=fire_wall,
        aisle_count=aisles,
        wall_racks=wall_racks,
        slack=slack,
        flue=flue,
        docks=docks,
        conveyors=conveyors,
        chargers=sum(charger_walls),
        charger_walls=charger_walls,
        drop_stations=count_that_fit(
            "drop_stations", recipe.drop_stations, max(2, docks), drop_room, f"at {docks} docks"
        ),
        pick_stations=count_that_fit(
            "pick_stations", recipe.pick_stations, max(4, recipe.area // 90), pick_room, "at racks"
        ),
        loose_goods=recipe.loose_goods if recipe.loose_goods is not None else max(2, round(recipe.area / 60)),
        office=office,
    )


def flue_width(recipe: LayoutRecipe) -> float:
    """Return the gap between back-to-back pallet racks [m]; columns stand in it."""
    return COLUMN_WIDTH + 2 * (PALLET_OVERHANG + 0.04) if recipe.columns else 0.2


def count_that_fit(name: str, asked: int | None, usual: float, room: int, where: str) -> int:
    """Return how many there will be: as many as asked, or the usual number as far as there is room.

    Raises:
        ValueError: more are asked for than fit.
    """
    if asked is None:
        return min(int(usual), room)
    if asked > room:
        raise ValueError(f"{name} {asked}: only {room} fit {where}; ask for fewer or for a larger area")
    return asked


def rows_across(
    aisle_width: float, depth: float, width: float, flue: float, field: str = "aisle_width"
) -> tuple[int, tuple[bool, bool], float]:
    """Choose the pattern of rows and aisles with the most rows.

    Args:
        aisle_width: least width of an aisle [m]; ``field`` is its name, for the error.
        depth: of a rack [m]; flue: between two back to back [m].
        width: of the hall across the rows [m].

    Returns:
        Number of aisles, whether single lines stand at the walls, width left over [m].

    Raises:
        ValueError: not even one rack and one aisle fit.
    """
    double, single = 2 * depth + flue, depth + WALL_GAP
    best: tuple[int, int, float, tuple[bool, bool]] | None = None
    for wall_racks in ((True, True), (True, False), (False, False)):
        free = width - single * sum(wall_racks)
        aisles = math.floor((free + double) / (aisle_width + double) + 1e-9)
        rows = 2 * (aisles - 1) + sum(wall_racks)
        if aisles < 1 or rows < 1:
            continue
        slack = free - aisles * aisle_width - (aisles - 1) * double
        if best is None or (rows, aisles) > best[:2]:
            best = (rows, aisles, slack, wall_racks)
    if best is None:
        raise ValueError(
            f"the hall is {width:.1f} m wide across the rows; one rack and an {field} of {aisle_width:g} m "
            f"need {single + aisle_width:.1f} m: lower {field} or aspect, or raise area"
        )
    return best[1], best[3], best[2]


def _along(
    recipe: LayoutRecipe, length: float, cap: int
) -> tuple[float, tuple[tuple[float, int], ...], tuple[float, ...], float | None]:
    """Cut the length into apron, cross aisles and rows; returns apron, segments, cross aisles, fire wall."""
    cross, bay, post = recipe.cross_aisle_width, recipe.bay_width, 0.1
    least = max(MINIMUM_APRON, 2.6 if recipe.conveyors else 0.0, 3.0 if recipe.office else 0.0)
    apron = min(9.0, max(least, 0.18 * length))
    wall = cross + FIRE_WALL_THICKNESS if recipe.fire_wall else 0.0
    counts: list[int] = []
    # First with the far end open to a cross aisle; short halls end at the wall, and at last the apron shrinks.
    tries = ((apron, cross, 3), (apron, WALL_GAP, 1), (least, WALL_GAP, 1))
    for depth, rear, fewest in tries:
        counts = split_line(length - depth - cross - rear - wall, bay, post, cross, cap, 2 if recipe.fire_wall else 1)
        if sum(counts) >= fewest:
            break
    if not counts:
        need = least + cross + WALL_GAP + wall + (bay + post) + (cross + bay + post if recipe.fire_wall else 0.0)
        raise ValueError(
            f"the hall is {length:.1f} m long along the rows; dock zone, cross_aisle_width {cross:g} m and one bay of "
            f"{bay:g} m need {need:.1f} m: lower cross_aisle_width or bay_width, or raise area"
        )
    used = sum(counts) * bay + len(counts) * post + (len(counts) - 1) * cross + wall + cross + rear
    apron = length - used
    crossings, segments, fire_wall, u = [apron + 0.5 * cross], [], None, apron + cross
    for index, count in enumerate(counts):
        segments.append((u, count))
        u += count * bay + post
        if index + 1 < len(counts):
            crossings.append(u + 0.5 * cross)
            if recipe.fire_wall and index == (len(counts) - 1) // 2:
                fire_wall = u + cross + 0.5 * FIRE_WALL_THICKNESS
                u += wall
                crossings.append(u + 0.5 * cross)
            u += cross
    if rear >= cross:
        crossings.append(length - 0.5 * cross)
    return apron, tuple(segments), tuple(crossings), fire_wall


def split_line(room: float, bay: float, post: float, cross: float, cap: int, fewest: int) -> list[int]:
    """Return the bays of each row in a line of ``room`` metres: as many as fit, no row longer than ``cap`` bays.

    Args:
        room: length of the line [m].
        bay, post, cross: width of a bay, of an upright, and of the cross aisle between two rows [m].
        cap: longest row; fewest: least number of rows.
    """
    best: list[int] = []
    pieces = fewest
    while True:
        bays = math.floor((room - pieces * post - (pieces - 1) * cross) / bay + 1e-9)
        if bays < pieces:
            return best
        total = min(bays, pieces * cap)
        if total > sum(best):
            best = [total // pieces + (index < total % pieces) for index in range(pieces)]
        if bays <= pieces * cap:
            return best
        pieces += 1


def _office(recipe: LayoutRecipe, apron: float, width: float) -> tuple[float, float] | None:
    wanted = recipe.office if recipe.office is not None else (recipe.area >= 600 and apron >= 4 and width >= 18)
    if not wanted:
        return None
    if width < 12:
        raise ValueError(f"office: the dock wall is {width:.1f} m long and an office needs 12 m; raise area")
    return min(apron - 0.6, 4.5), min(0.22 * width, 6.5)


def _chargers(recipe: LayoutRecipe, apron: float, office: bool) -> tuple[int, int]:
    """Return how many chargers stand at v = 0 and at v = width."""
    room = 1 + math.floor((apron - 1.5) / CHARGER_PITCH + 1e-9)
    total = room if office else 2 * room
    count = count_that_fit(
        "chargers", recipe.chargers, max(1, round(recipe.area / 400)), total, "at the walls of the dock zone"
    )
    return min(count, room), max(0, count - room)


def _dock_wall(
    recipe: LayoutRecipe, apron: float, width: float, office: tuple[float, float] | None, charger_walls: tuple[int, int]
) -> tuple[int, int]:
    """Return how many docks and conveyors share the dock wall."""
    start, end = dock_wall_span(width, office, charger_walls)
    dock, belt = dock_slot(recipe), CONVEYOR_WIDTH + 2 * CONVEYOR_LANE
    docks = recipe.docks if recipe.docks is not None else max(1, round(width / 10))
    belts = recipe.conveyors if recipe.conveyors is not None else (round(width / 16) if apron >= 3.5 else 0)
    while recipe.conveyors is None and belts > 0 and docks * dock + belts * belt > end - start:
        belts -= 1
    while recipe.docks is None and docks > 1 and docks * dock + belts * belt > end - start:
        docks -= 1
    if docks * dock + belts * belt > end - start + 1e-9:
        raise ValueError(
            f"docks {docks} (of {dock:.1f} m) and conveyors {belts} (of {belt:.1f} m with their lanes) do not fit on "
            f"{end - start:.1f} m of dock wall: ask for fewer, for a smaller door_width, or for a larger area"
        )
    return docks, belts


def dock_slot(recipe: LayoutRecipe) -> float:
    """Return the length of dock wall that a dock takes [m]."""
    return max(recipe.door_width, 1.6) + 0.2


def dock_wall_span(
    width: float, office: tuple[float, float] | None, charger_walls: tuple[int, int]
) -> tuple[float, float]:
    """Return the part of the dock wall, v from and to [m], that docks and conveyors may use."""
    near = CHARGER_ZONE if charger_walls[0] else 0.1
    far = office[1] + 0.3 if office is not None else CHARGER_ZONE if charger_walls[1] else 0.1
    return near, width - far


class Oriented(Protocol):
    """A plan in row coordinates: whether rows follow the width of the hall, and its size along u and v [m]."""

    @property
    def swapped(self) -> bool: ...  # noqa: D102

    @property
    def length(self) -> float: ...  # noqa: D102

    @property
    def width(self) -> float: ...  # noqa: D102


class Frame:
    """Lays row coordinates into the hall: turned by 90 degrees if the plan is, and mirrored as the seed says."""

    def __init__(self, plan: Oriented, mirror_x: bool, mirror_y: bool) -> None:
        self._swapped = plan.swapped
        self._mirror = (mirror_x, mirror_y)
        self.length, self.width = (plan.width, plan.length) if plan.swapped else (plan.length, plan.width)
        self.length, self.width = round(self.length, 4), round(self.width, 4)

    def point(self, u: float, v: float) -> tuple[float, float]:
        """Return the point x, y [m] in ``map``, to a tenth of a millimetre."""
        x, y = (v, u) if self._swapped else (u, v)
        x = self.length - x if self._mirror[0] else x
        y = self.width - y if self._mirror[1] else y
        return round(x, 4) + 0.0, round(y, 4) + 0.0

    def yaw(self, angle: float) -> float:
        """Return a heading [rad] in ``map``, within (-pi, pi]."""
        angle = 0.5 * math.pi - angle if self._swapped else angle
        angle = math.pi - angle if self._mirror[0] else angle
        angle = -angle if self._mirror[1] else angle
        wrapped = math.remainder(angle, 2 * math.pi)
        return round(wrapped if wrapped > -math.pi + 1e-9 else math.pi, 6) + 0.0
