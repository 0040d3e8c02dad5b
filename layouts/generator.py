"""Seeded halls: the same recipe and seed always give the same layout, on any machine."""

from __future__ import annotations

import math

import numpy as np

from ..common.seeding import generator
from .loads import Item, item_mass, loose_item, stock_racks
from .model import Aisle, Charger, Column, Conveyor, DockDoor, Good, Layout, Light, Rack, Station, Wall
from .recipe import (
    CHARGER_DEPTH,
    CHARGER_PITCH,
    CONVEYOR_LANE,
    CONVEYOR_WIDTH,
    DOCK_REACH,
    DROP_PITCH,
    FIRE_WALL_THICKNESS,
    PALLET_OVERHANG,
    STATION_REACH,
    Frame,
    HallPlan,
    LayoutRecipe,
    dock_slot,
    dock_wall_span,
    drop_rows,
    feasible_plans,
    feasible_row_lengths,
)
from .rows import LIGHT_SPACING, columns_between, lay_rows, lights_along, outer_walls, straight_wall
from .site import build_site

__all__ = ["LayoutRecipe", "generate_layout"]

LANE = 1.6
"""Width that loose goods always leave free beside them [m]: a robot of 0.56 m radius and room to spare."""
FIRE_WALL_OPENING = 3.5
"""Widest opening in a fire wall [m]; every other aisle has one."""


def generate_layout(recipe: LayoutRecipe, seed: int) -> Layout:
    """Build the hall that a recipe asks for.

    Back-to-back rack rows between aisles, cut by cross aisles, behind a dock zone with doors, conveyors, chargers and
    an office; goods on the racks, some loose on the floor. With ``recipe.zones`` a site: docks with staging lanes,
    packing, charging, pick faces and bulk storage. ``check_layout`` finds nothing wrong with it: a robot of 0.56 m
    radius gets from every station, charger, dock and aisle to every other without driving against a one-way aisle.

    Args:
        recipe: what the hall must hold.
        seed: >= 0; chooses among the recipe's halls.

    Returns:
        The layout. Equal arguments give equal layouts.
    """
    if recipe.zones is not None:
        return build_site(recipe, recipe.zones, seed)
    return _Builder(recipe, seed).build()


class _Builder:
    """Builds one hall part by part; each part draws from its own random stream."""

    def __init__(self, recipe: LayoutRecipe, seed: int) -> None:
        self._recipe = recipe
        self._seed = seed
        rng = self._stream("plan")
        lengths = feasible_row_lengths(recipe)
        plans = feasible_plans(recipe, lengths[int(rng.integers(len(lengths)))])
        # Rows along the length are the rule, across it the exception.
        self._plan: HallPlan = plans[-1] if rng.random() < 0.3 else plans[0]
        self._frame = Frame(self._plan, bool(rng.random() < 0.5), bool(rng.random() < 0.5))
        self._top = recipe.levels * recipe.level_height
        self._height = max(5.0, round(self._top + recipe.level_height + 0.8, 2))
        self._place_lines(rng)
        self._dock_v, self._conveyor_v = self._share_dock_wall(rng)
        last_u, bays = self._plan.segments[-1]
        # One-way only where both ends open on a cross aisle, and where there is another aisle to come back by.
        through = self._plan.cross_aisles[-1] > last_u + bays * recipe.bay_width
        walled = self._plan.fire_wall is not None
        self._one_way = recipe.is_one_way and through and not walled and self._plan.aisle_count > 1
        self._keep_clear: list[tuple[float, float, float]] = []
        """u, v and radius [m] of places that loose goods must leave alone."""

    def build(self) -> Layout:
        """Return the whole hall."""
        recipe, frame = self._recipe, self._frame
        racks = self._racks()
        conveyors, pack = self._conveyors()
        stations = self._pick_stations() + self._drop_stations() + pack
        chargers = self._chargers()
        stock = stock_racks(racks, frame, recipe.level_height, recipe.fill, self._stream("stock"))
        return Layout(
            name=f"hall-{recipe.area:.0f}m2-seed{self._seed}",
            length=frame.length,
            width=frame.width,
            height=self._height,
            walls=tuple(self._walls()),
            columns=tuple(self._columns()),
            racks=tuple(rack for rack, _ in racks),
            conveyors=tuple(conveyors),
            stations=tuple(stations),
            docks=tuple(self._docks()),
            chargers=tuple(chargers),
            aisles=tuple(self._aisles()),
            lights=tuple(self._lights()),
            goods=tuple(stock + self._loose_goods()),
        )

    def _stream(self, name: str) -> np.random.Generator:
        return generator(self._seed, "layout", name)

    def _place_lines(self, rng: np.random.Generator) -> None:
        """Settle the v of every aisle's and rack line's centre; leftover width goes to the aisles in uneven shares."""
        plan, depth = self._plan, self._recipe.rack_depth
        shares = rng.uniform(0.5, 1.5, plan.aisle_count)
        widths = self._recipe.aisle_width + plan.slack * shares / shares.sum()
        self._rows = lay_rows(widths.tolist(), depth, plan.flue, plan.wall_racks)
        self._aisle_v, self._line_v = self._rows.aisles, self._rows.lines
        self._flue_v, self._faces = self._rows.flues, self._rows.faces

    def _share_dock_wall(self, rng: np.random.Generator) -> tuple[list[float], list[float]]:
        """Return the v of dock doors and of conveyors, in an order and with gaps that the seed chooses."""
        plan = self._plan
        start, end = dock_wall_span(plan.width, plan.office, plan.charger_walls)
        kinds = np.array([True] * plan.docks + [False] * plan.conveyors)
        rng.shuffle(kinds)
        sizes = [dock_slot(self._recipe) if dock else CONVEYOR_WIDTH + 2 * CONVEYOR_LANE for dock in kinds]
        gaps = rng.uniform(0.3, 1.0, len(kinds) + 1)
        gaps *= max(0.0, end - start - sum(sizes)) / gaps.sum()
        docks: list[float] = []
        belts: list[float] = []
        v = start
        for dock, size, gap in zip(kinds.tolist(), sizes, gaps.tolist(), strict=False):
            v += gap
            (docks if dock else belts).append(v + 0.5 * size)
            v += size
        return docks, belts

    def _racks(self) -> list[tuple[Rack, tuple[float, float]]]:
        """Return the racks with the u, v of their centres."""
        recipe = self._recipe
        tops = tuple(round((level + 1) * recipe.level_height, 4) for level in range(recipe.levels))
        racks: list[tuple[Rack, tuple[float, float]]] = []
        for v in self._line_v:
            for start, bays in self._plan.segments:
                u = start + 0.5 * (bays * recipe.bay_width + 0.1)
                x, y = self._frame.point(u, v)
                rack = Rack(
                    id=f"R{len(racks) + 1:02d}",
                    x=x,
                    y=y,
                    yaw=self._frame.yaw(0.0),
                    bays=bays,
                    bay_width=recipe.bay_width,
                    depth=recipe.rack_depth,
                    level_heights=tops,
                    height=round(self._top + min(1.0, 0.6 * recipe.level_height), 4),
                    floor_level=recipe.floor_level,
                )
                racks.append((rack, (u, v)))
        return racks

    def _walls(self) -> list[Wall]:
        """Return the outer walls (inner faces on the hall's edge), the office and the fire wall."""
        plan = self._plan
        walls = outer_walls(self._frame, plan.length, plan.width, self._height)
        if plan.office is not None:
            u, v = plan.office[0] - 0.06, plan.width - plan.office[1] + 0.06
            walls.append(straight_wall(self._frame, "O1", (0.0, v), (u + 0.06, v), 0.12, 3.0))
            walls.append(straight_wall(self._frame, "O2", (u, v + 0.06), (u, plan.width), 0.12, 3.0))
        if plan.fire_wall is not None:
            v, pieces = 0.0, []
            for centre, width in self._aisle_v[::2]:
                opening = min(width, FIRE_WALL_OPENING)
                pieces.append((v, centre - 0.5 * opening))
                v = centre + 0.5 * opening
            for low, high in [*pieces, (v, plan.width)]:
                if high - low > 0.1:
                    line = ((plan.fire_wall, low), (plan.fire_wall, high))
                    walls.append(straight_wall(self._frame, f"F{len(walls)}", *line, FIRE_WALL_THICKNESS, self._height))
        return walls

    def _columns(self) -> list[Column]:
        """Return the columns: on a grid along the rows, in the gap between back-to-back racks."""
        plan, recipe = self._plan, self._recipe
        if not recipe.columns:
            return []
        return columns_between(
            self._frame,
            self._flue_v,
            plan.segments,
            recipe.bay_width,
            plan.length,
            recipe.column_spacing,
            self._height,
        )

    def _docks(self) -> list[DockDoor]:
        docks = []
        for index, v in enumerate(self._dock_v):
            x, y = self._frame.point(0.0, v)
            height = min(3.2, self._height - 0.5)
            docks.append(
                DockDoor(
                    id=f"D{index + 1:02d}",
                    x=x,
                    y=y,
                    yaw=self._frame.yaw(0.0),
                    width=self._recipe.door_width,
                    height=height,
                )
            )
            self._keep_clear.append((0.0, v, 0.5 * self._recipe.door_width + 0.5))
            self._keep_clear += [(u, v, 0.8) for u in np.arange(0.5, self._plan.apron, 0.5).tolist()]
        return docks

    def _conveyors(self) -> tuple[list[Conveyor], list[Station]]:
        """Return the conveyors, which run towards the dock wall, and the packing stations at their heads."""
        conveyors, stations = [], []
        head = min(self._plan.apron - 0.9, 8.0)
        for index, v in enumerate(self._conveyor_v):
            start, end = self._frame.point(head, v), self._frame.point(0.5, v)
            conveyors.append(Conveyor(id=f"C{index + 1:02d}", start=start, end=end, width=CONVEYOR_WIDTH))
            stations.append(self._station("pack", index, head + 0.8, v, math.pi))
            self._keep_clear += [(u, v, 1.9) for u in np.arange(0.5, head + 1.0, 0.5).tolist()]
        return conveyors, stations

    def _drop_stations(self) -> list[Station]:
        """Return the drop stations: one in front of each dock, then second and further ranks behind them."""
        ranks = drop_rows(self._plan.apron, self._recipe.cross_aisle_width)
        places = [(DOCK_REACH + rank * DROP_PITCH, v) for rank in range(ranks) for v in self._dock_v]
        chosen = places[: self._plan.drop_stations]
        return [self._station("drop", index, u, v, math.pi) for index, (u, v) in enumerate(chosen)]

    def _pick_stations(self) -> list[Station]:
        """Return the pick stations: spread over aisles and bays, at the face of a rack, heading along the aisle."""
        rng, stations = self._stream("stations"), []
        bays = [
            start + 0.05 + (bay + 0.5) * self._recipe.bay_width
            for start, count in self._plan.segments
            for bay in range(count)
        ]
        places = [(aisle, u) for aisle in range(len(self._aisle_v)) for u in bays]
        # Equal steps through all places, from a random start, spread the stations evenly over the hall.
        count = self._plan.pick_stations
        step, start = len(places) / count, rng.random()
        for index in range(count):
            aisle, u = places[min(len(places) - 1, math.floor((index + start) * step))]
            centre, width = self._aisle_v[aisle]
            offset = max(0.0, 0.5 * width - STATION_REACH)
            below, above = self._faces[aisle]
            side = (-1.0 if rng.random() < 0.5 else 1.0) if below and above else (-1.0 if below else 1.0)
            heading = 0.0 if rng.random() < 0.5 else math.pi
            if self._one_way:
                heading = math.pi if aisle % 2 else 0.0
            stations.append(self._station("pick", index, u, centre + side * offset, heading))
        return stations

    def _station(self, kind: str, index: int, u: float, v: float, heading: float) -> Station:
        x, y = self._frame.point(u, v)
        self._keep_clear.append((u, v, 1.0))
        name = {"pick": "P", "drop": "Q", "pack": "K"}[kind]
        return Station(id=f"S{name}{index + 1:02d}", kind=kind, x=x, y=y, yaw=self._frame.yaw(heading))  # type: ignore[arg-type]

    def _chargers(self) -> list[Charger]:
        chargers: list[Charger] = []
        for count, v, yaw in zip(
            self._plan.charger_walls,
            (0.5 * CHARGER_DEPTH, self._plan.width - 0.5 * CHARGER_DEPTH),
            (0.5 * math.pi, -0.5 * math.pi),
            strict=True,
        ):
            for index in range(count):
                u = 0.8 + index * CHARGER_PITCH
                x, y = self._frame.point(u, v)
                chargers.append(
                    Charger(id=f"E{len(chargers) + 1:02d}", x=x, y=y, yaw=self._frame.yaw(yaw), depth=CHARGER_DEPTH)
                )
                self._keep_clear.append((u, v, 2.2))
        return chargers

    def _aisles(self) -> list[Aisle]:
        """Return centre lines: rack aisles, cross aisles, and a lane from each dock to the front cross aisle."""
        plan, cross, aisles = self._plan, self._recipe.cross_aisle_width, []
        last_u, bays = plan.segments[-1]
        end = max(plan.cross_aisles[-1], last_u + bays * self._recipe.bay_width)
        front = plan.cross_aisles[0]
        for index, (v, width) in enumerate(self._aisle_v):
            name = f"A{index + 1:02d}"
            if plan.fire_wall is None:
                aisles.append((name, (front, v), (end, v), width))
            elif index % 2 == 0:
                aisles.append((name, (front, v), (end, v), min(width, FIRE_WALL_OPENING)))
            else:
                # The fire wall has no opening here: one lane on either side of it.
                before = max(u for u in plan.cross_aisles if u < plan.fire_wall)
                behind = min(u for u in plan.cross_aisles if u > plan.fire_wall)
                aisles.append((f"{name}.1", (front, v), (before, v), width))
                aisles.append((f"{name}.2", (behind, v), (end, v), width))
        low, high = self._aisle_v[0][0], self._aisle_v[-1][0]
        if len(self._aisle_v) == 1:
            low, high = 0.8, plan.width - 0.8
        for index, u in enumerate(plan.cross_aisles):
            aisles.append((f"X{index + 1:02d}", (u, low), (u, high), cross))
        for index, v in enumerate(self._dock_v):
            aisles.append((f"L{index + 1:02d}", (DOCK_REACH, v), (front, v), dock_slot(self._recipe)))
        turned = {f"A{index + 1:02d}" for index in range(1, len(self._aisle_v), 2)} if self._one_way else set()
        return [
            Aisle(
                id=name,
                start=self._frame.point(*(b if name in turned else a)),
                end=self._frame.point(*(a if name in turned else b)),
                width=round(width, 4),
                one_way=self._one_way and name.startswith("A"),
            )
            for name, a, b, width in aisles
        ]

    def _lights(self) -> list[Light]:
        """Return ceiling lights: along every aisle and over the dock zone."""
        z, plan = round(self._height - 0.3, 2), self._plan
        lights = [light for v, _ in self._aisle_v for light in lights_along(self._frame, v, plan.apron, plan.length, z)]
        count = max(1, round(plan.width / LIGHT_SPACING))
        places = [(0.5 * plan.apron, (i + 0.5) * plan.width / count) for i in range(count)]
        return lights + [Light(position=(*self._frame.point(u, v), z)) for u, v in places]

    def _loose_goods(self) -> list[Good]:
        """Return goods on the floor, each beside a lane of at least ``LANE`` metres, never two at one place."""
        rng = self._stream("loose")
        goods: list[Good] = []
        for _ in range(12 * self._plan.loose_goods):
            if len(goods) == self._plan.loose_goods:
                break
            staging = bool(rng.random() < 0.25)
            item = loose_item(rng, staging=staging)
            found = self._staging_place(rng) if staging else self._aisle_place(rng, item)
            if found is None:
                continue
            u, v, yaw = found
            reach = 0.5 * math.hypot(item.size[0], item.size[1])
            if any(math.hypot(u - cu, v - cv) < radius + reach for cu, cv, radius in self._keep_clear):
                continue
            self._keep_clear.append((u, v, reach + LANE))
            x, y = self._frame.point(u, v)
            goods.append(
                Good(
                    id=f"G{len(goods) + 1:03d}",
                    kind=item.kind,
                    x=x,
                    y=y,
                    yaw=self._frame.yaw(yaw),
                    size=item.size,
                    mass=item_mass(item.kind, item.size),
                    color=item.color,
                )
            )
        return goods

    def _aisle_place(self, rng: np.random.Generator, item: Item) -> tuple[float, float, float] | None:
        """Return u, v, yaw close to a rack face or a wall along an aisle, or None where that would narrow the lane."""
        start, bays = self._plan.segments[int(rng.integers(len(self._plan.segments)))]
        centre, width = self._aisle_v[int(rng.integers(len(self._aisle_v)))]
        u = start + rng.uniform(0.5, bays * self._recipe.bay_width - 0.5)
        yaw, side = rng.uniform(-0.35, 0.35), -1.0 if rng.random() < 0.5 else 1.0
        extent = item.size[1] * math.cos(yaw) + item.size[0] * abs(math.sin(yaw))
        gap = PALLET_OVERHANG + 0.05
        if width - PALLET_OVERHANG - gap - extent < LANE:
            return None
        return u, centre + side * (0.5 * width - gap - 0.5 * extent), yaw

    def _staging_place(self, rng: np.random.Generator) -> tuple[float, float, float] | None:
        """Return u, v, yaw in the open floor of the dock zone, a lane away from everything, or None if it is tight."""
        plan, reach = self._plan, 0.75
        near, far = dock_wall_span(plan.width, plan.office, plan.charger_walls)
        low, high = LANE + reach, plan.apron + self._recipe.cross_aisle_width - LANE - reach
        near, far = near + LANE + reach, far - LANE - reach
        draws = rng.random(3)
        if low >= high or near >= far:
            return None
        yaw = float(rng.choice((0.0, 0.5 * math.pi))) + 0.1 * (draws[2] - 0.5)
        return low + draws[0] * (high - low), near + draws[1] * (far - near), yaw
