"""Halls at site scale, split into zones: docks and staging, packing, charging, pick faces, bulk storage.

Rack aisles are driven one way, in turns there and back; main and cross aisles, dock lanes and packing lanes both ways.
"""

from __future__ import annotations

import math

import numpy as np

from ..common.seeding import generator
from .loads import Item, item_mass, loose_item
from .model import (
    Aisle,
    Charger,
    Conveyor,
    DockDoor,
    Good,
    Layout,
    Light,
    Obstacle,
    Rack,
    Station,
    Zone,
    ZoneKind,
)
from .recipe import (
    CHARGER_DEPTH,
    CONVEYOR_WIDTH,
    DOCK_REACH,
    DROP_PITCH,
    STATION_REACH,
    Frame,
    LayoutRecipe,
    ZoneRecipe,
)
from .rows import Rows, columns_between, lay_rows, lights_along, outer_walls
from .site_plan import (
    CHARGER_SPACING,
    PACKING_LANE,
    PACKING_UNIT,
    SHELF_FLUE,
    SHELF_POST,
    STAGING_PITCH,
    STAGING_START,
    STAGING_WIDTH,
    TABLE,
    TABLE_PITCH,
    WORKER_STRIP,
    SitePlan,
    dock_lane,
    dock_pitch,
    drop_ranks,
    feasible_site_lengths,
    feasible_site_plans,
    staging_places,
)
from .stock import PlacedRack, stock_bulk, stock_shelves

Color = tuple[int, int, int]
_TABLE_COLOR: Color = (188, 170, 140)
_STEEL_COLOR: Color = (92, 98, 106)
_SCREEN_COLOR: Color = (28, 30, 34)
_PICK_SHARE = 0.6
"""Share of the pick stations that stand at pick faces; the others stand in bulk storage."""


def build_site(recipe: LayoutRecipe, zones: ZoneRecipe, seed: int) -> Layout:
    """Build the site that a recipe with zones asks for; see ``generator.generate_layout``."""
    return _SiteBuilder(recipe, zones, seed).build()


class _SiteBuilder:
    """Builds one site part by part; each part draws from its own random stream."""

    def __init__(self, recipe: LayoutRecipe, zones: ZoneRecipe, seed: int) -> None:
        self._recipe, self._zones, self._seed = recipe, zones, seed
        rng = self._stream("plan")
        lengths = feasible_site_lengths(recipe, zones)
        plans = feasible_site_plans(recipe, zones, lengths[int(rng.integers(len(lengths)))])
        # Rows along the length are the rule, across it the exception.
        self._plan: SitePlan = plans[-1] if rng.random() < 0.3 else plans[0]
        plan = self._plan
        self._frame = Frame(plan, bool(rng.random() < 0.5), bool(rng.random() < 0.5))
        self._top = recipe.levels * recipe.level_height
        shelves = 0.1 + zones.shelf_levels * zones.shelf_level_height
        self._height = max(5.0, round(self._top + recipe.level_height + 0.8, 2), round(shelves + 0.8, 2))
        self._bulk = self._rows(rng, plan.bulk_aisles, recipe.aisle_width, plan.bulk_slack, recipe.rack_depth,
                                plan.flue, plan.bulk_walls)  # fmt: skip
        self._pick = self._rows(rng, plan.pick_aisles, zones.pick_aisle_width, plan.pick_slack, zones.shelf_depth,
                                SHELF_FLUE, plan.pick_walls)  # fmt: skip
        low, high = plan.docking
        spare = (high - low - plan.docks * dock_pitch(recipe)) / plan.docks
        pitch = dock_pitch(recipe) + spare
        self._dock_v = [low + (index + 0.5) * pitch - 0.5 * STAGING_WIDTH for index in range(plan.docks)]
        self._staging_v = [v + 0.5 * (dock_lane(recipe) + STAGING_WIDTH) + 0.1 for v in self._dock_v]
        first = plan.packing[0] + CONVEYOR_WIDTH + WORKER_STRIP + TABLE[1] + 0.5 * PACKING_LANE
        self._lane_v = [first + lane * PACKING_UNIT for lane in range(plan.packing_lanes)]

    def build(self) -> Layout:
        """Return the whole site."""
        recipe, frame, plan = self._recipe, self._frame, self._plan
        racks, shelves = self._racks(), self._shelves()
        goods = stock_bulk(racks, frame, recipe.level_height, recipe.fill, self._zones, self._stream("stock"))
        goods += stock_shelves(shelves, frame, recipe.fill, self._stream("shelves"))
        walls = outer_walls(frame, plan.length, plan.width, self._height)
        columns = []
        if recipe.columns:
            columns = columns_between(frame, self._bulk.flues, plan.segments, recipe.bay_width, plan.length,
                                      recipe.column_spacing, self._height)  # fmt: skip
        return Layout(
            name=f"site-{recipe.area:.0f}m2-seed{self._seed}",
            length=frame.length,
            width=frame.width,
            height=self._height,
            walls=tuple(walls),
            columns=tuple(columns),
            racks=tuple(rack for rack, _ in (*racks, *shelves)),
            conveyors=tuple(self._conveyors()),
            stations=tuple(self._pick_stations() + self._drop_stations() + self._pack_stations()),
            docks=tuple(self._docks()),
            chargers=tuple(self._chargers()),
            aisles=tuple(self._aisles()),
            lights=tuple(self._lights()),
            obstacles=tuple(self._tables()),
            zones=tuple(self._zone_list()),
            goods=tuple(goods + self._staged_goods()),
        )

    def _stream(self, name: str) -> np.random.Generator:
        return generator(self._seed, "layout", f"site.{name}")

    @staticmethod
    def _rows(
        rng: np.random.Generator,
        count: int,
        least: float,
        slack: float,
        depth: float,
        flue: float,
        walls: tuple[bool, bool],
    ) -> Rows:
        shares = rng.uniform(0.5, 1.5, count)
        return lay_rows((least + slack * shares / shares.sum()).tolist(), depth, flue, walls)

    def _racks(self) -> list[PlacedRack]:
        """Return the pallet racks with the u, v of their centres."""
        recipe = self._recipe
        tops = tuple(round((level + 1) * recipe.level_height, 4) for level in range(recipe.levels))
        height = round(self._top + min(1.0, 0.6 * recipe.level_height), 4)
        racks: list[PlacedRack] = []
        for v in self._bulk.lines:
            for start, bays in self._plan.segments:
                u = start + 0.5 * (bays * recipe.bay_width + 0.1)
                x, y = self._frame.point(u, v)
                rack = Rack(id=f"R{len(racks) + 1:03d}", x=x, y=y, yaw=self._frame.yaw(0.0), bays=bays,
                            bay_width=recipe.bay_width, depth=recipe.rack_depth, level_heights=tops, height=height,
                            floor_level=recipe.floor_level)  # fmt: skip
                racks.append((rack, (u, v)))
        return racks

    def _shelves(self) -> list[PlacedRack]:
        """Return the shelving of the pick faces with the u, v of their centres: two shelf bays in a rack bay."""
        zones, (start, bays) = self._zones, self._plan.pick
        tops = tuple(round(0.1 + level * zones.shelf_level_height, 4) for level in range(zones.shelf_levels))
        height = round(tops[-1] + zones.shelf_level_height, 4)
        shelves: list[PlacedRack] = []
        for v in self._pick.lines:
            u = start + 0.5 * (bays * self._recipe.bay_width + SHELF_POST)
            x, y = self._frame.point(u, v)
            rack = Rack(id=f"H{len(shelves) + 1:03d}", x=x, y=y, yaw=self._frame.yaw(0.0), bays=2 * bays,
                        bay_width=0.5 * self._recipe.bay_width, depth=zones.shelf_depth, level_heights=tops,
                        height=height, upright_width=SHELF_POST, beam_height=0.04, floor_level=False)  # fmt: skip
            shelves.append((rack, (u, v)))
        return shelves

    def _docks(self) -> list[DockDoor]:
        height = min(3.2, self._height - 0.5)
        docks = []
        for index, v in enumerate(self._dock_v):
            x, y = self._frame.point(0.0, v)
            docks.append(
                DockDoor(id=f"D{index + 1:02d}", x=x, y=y, yaw=self._frame.yaw(0.0), width=self._recipe.door_width,
                         height=height)
            )  # fmt: skip
        return docks

    def _conveyors(self) -> list[Conveyor]:
        """Return the belts that take packed goods to the dock wall: behind each row of tables."""
        plan = self._plan
        first = plan.packing[0] + 0.5 * CONVEYOR_WIDTH
        belts = []
        for index in range(plan.conveyors):
            v = first + index * PACKING_UNIT
            start, end = self._frame.point(plan.front - 0.6, v), self._frame.point(0.5, v)
            belts.append(Conveyor(id=f"C{index + 1:02d}", start=start, end=end, width=CONVEYOR_WIDTH))
        return belts

    def _table_places(self) -> list[tuple[float, float, float]]:
        """Return u, v of every pack table and the side of it on which robots stop: +1 above, -1 below."""
        reach = 0.5 * (PACKING_LANE + TABLE[1])
        first = 0.5 * (self._plan.front - (self._plan.tables - 1) * TABLE_PITCH)
        return [
            (first + number * TABLE_PITCH, v - side * reach, side)
            for v in self._lane_v
            for number in range(self._plan.tables)
            for side in (1.0, -1.0)
        ]

    def _tables(self) -> list[Obstacle]:
        """Return the pack tables: a top on two side panels, with a screen."""
        length, depth, height = TABLE
        tables = []
        for number, (u, v, side) in enumerate(self._table_places()):
            name = f"T{number + 1:03d}"
            parts = (
                ("top", 0.0, 0.0, height - 0.02, (length, depth, 0.04), _TABLE_COLOR),
                ("left", -0.5 * length + 0.03, 0.0, 0.5 * height - 0.02, (0.06, depth - 0.1, height - 0.04),
                 _STEEL_COLOR),
                ("right", 0.5 * length - 0.03, 0.0, 0.5 * height - 0.02, (0.06, depth - 0.1, height - 0.04),
                 _STEEL_COLOR),
                ("screen", 0.3, -0.3 * side * depth, height + 0.2, (0.5, 0.04, 0.4), _SCREEN_COLOR),
            )  # fmt: skip
            for part, along, across, z, size, color in parts:
                x, y = self._frame.point(u + along, v + across)
                tables.append(
                    Obstacle(id=f"{name}.{part}", x=x, y=y, z=round(z, 4), yaw=self._frame.yaw(0.0), size=size,
                             color=color, part_of=name)
                )  # fmt: skip
        return tables

    def _pack_stations(self) -> list[Station]:
        """Return a packing station at every table, on the side of the lane, facing the table."""
        away = 0.5 * TABLE[1] + STATION_REACH
        return [
            self._station("pack", index, u, v + side * away, -0.5 * side * math.pi)
            for index, (u, v, side) in enumerate(self._table_places())
        ]

    def _drop_stations(self) -> list[Station]:
        """Return the drop stations: one in front of each dock, then second and further ranks behind them."""
        ranks = drop_ranks(self._plan.front)
        places = [(DOCK_REACH + rank * DROP_PITCH, v) for rank in range(ranks) for v in self._dock_v]
        chosen = places[: self._plan.drop_stations]
        return [self._station("drop", index, u, v, math.pi) for index, (u, v) in enumerate(chosen)]

    def _pick_stations(self) -> list[Station]:
        """Return the pick stations at pick faces and in bulk storage, heading the way their aisle is driven."""
        plan, rng = self._plan, self._stream("stations")
        bay = self._recipe.bay_width
        faces = [plan.pick[0] + 0.03 + (index + 0.5) * bay for index in range(plan.pick[1])]
        bulk = [start + 0.05 + (index + 0.5) * bay for start, count in plan.segments for index in range(count)]
        room = len(faces) * plan.pick_aisles
        at_faces = min(room, round(_PICK_SHARE * plan.pick_stations))
        at_faces = max(at_faces, plan.pick_stations - len(bulk) * plan.bulk_aisles)
        stations: list[Station] = []
        for rows, places_u, count in (
            (self._pick, faces, at_faces),
            (self._bulk, bulk, plan.pick_stations - at_faces),
        ):
            places = [(aisle, u) for aisle in range(len(rows.aisles)) for u in places_u]
            start = rng.random()
            for index in range(count):
                # Equal steps through all places, from a random start, spread the stations evenly.
                aisle, u = places[min(len(places) - 1, math.floor((index + start) * len(places) / count))]
                centre, width = rows.aisles[aisle]
                below, above = rows.faces[aisle]
                side = (-1.0 if rng.random() < 0.5 else 1.0) if below and above else (-1.0 if below else 1.0)
                heading = 0.0 if rng.random() < 0.5 else math.pi
                if self._recipe.is_one_way:
                    heading = 0.0 if _runs_on(aisle) else math.pi
                v = centre + side * max(0.0, 0.5 * width - STATION_REACH)
                stations.append(self._station("pick", len(stations), u, v, heading))
        return stations

    def _station(self, kind: str, index: int, u: float, v: float, heading: float) -> Station:
        x, y = self._frame.point(u, v)
        name = {"pick": "P", "drop": "Q", "pack": "K"}[kind]
        return Station(id=f"S{name}{index + 1:03d}", kind=kind, x=x, y=y, yaw=self._frame.yaw(heading))  # type: ignore[arg-type]

    def _chargers(self) -> list[Charger]:
        """Return the chargers, side by side at the dock wall."""
        chargers = []
        for index in range(self._plan.chargers):
            v = self._plan.charging[0] + 0.4 + (index + 0.5) * CHARGER_SPACING
            x, y = self._frame.point(0.5 * CHARGER_DEPTH, v)
            chargers.append(Charger(id=f"E{index + 1:02d}", x=x, y=y, yaw=self._frame.yaw(0.0), depth=CHARGER_DEPTH))
        return chargers

    def _aisles(self) -> list[Aisle]:
        """Return centre lines: main and cross aisles, rack aisles, and lanes to docks and between pack tables."""
        plan, zones, one_way = self._plan, self._zones, self._recipe.is_one_way
        lines: list[tuple[str, tuple[float, float], tuple[float, float], float, bool]] = []
        front, middle = plan.main_aisles
        across = 1.0, plan.width - 1.0
        for index, u in enumerate(plan.main_aisles):
            lines.append((f"M{index + 1}", (u, across[0]), (u, across[1]), zones.main_aisle_width, False))
        for index, u in enumerate(plan.cross_aisles):
            lines.append((f"X{index + 1:02d}", (u, across[0]), (u, across[1]), self._recipe.cross_aisle_width, False))
        for name, rows, near, far in (
            ("B", self._pick, front, middle),
            ("A", self._bulk, middle, plan.cross_aisles[-1]),
        ):
            # A single aisle could not be left again if it were one-way.
            turns = one_way and len(rows.aisles) > 1
            for index, (v, width) in enumerate(rows.aisles):
                ends = ((near, v), (far, v)) if _runs_on(index) or not turns else ((far, v), (near, v))
                lines.append((f"{name}{index + 1:02d}", *ends, width, turns))
        for index, v in enumerate(self._dock_v):
            lines.append((f"L{index + 1:02d}", (DOCK_REACH, v), (front, v), dock_lane(self._recipe), False))
        for index, v in enumerate(self._lane_v):
            lines.append((f"K{index + 1:02d}", (1.2, v), (front, v), PACKING_LANE, False))
        if plan.chargers:
            v = 0.5 * sum(plan.charging)
            width = max(1.6, plan.charging[1] - plan.charging[0] - 0.4)
            lines.append(("E", (CHARGER_DEPTH + 1.2, v), (front, v), width, False))
        return [
            Aisle(id=name, start=self._frame.point(*a), end=self._frame.point(*b), width=round(width, 4), one_way=turn)
            for name, a, b, width, turn in lines
        ]

    def _lights(self) -> list[Light]:
        """Return ceiling lights: along bulk aisles, every second pick aisle, and over the zones in front."""
        plan, z = self._plan, round(self._height - 0.3, 2)
        far = plan.length
        start, middle = plan.pick[0], plan.main_aisles[1]
        lights = [light for v, _ in self._bulk.aisles for light in lights_along(self._frame, v, middle, far, z)]
        lights += [light for v, _ in self._pick.aisles[::2] for light in lights_along(self._frame, v, start, middle, z)]
        count = max(1, round(plan.width / 8.0))
        for index in range(count):
            lights += lights_along(self._frame, (index + 0.5) * plan.width / count, 0.0, start, z)
        return lights

    def _zone_list(self) -> list[Zone]:
        plan = self._plan
        bulk_start = plan.segments[0][0]
        bulk_end = plan.segments[-1][0] + plan.segments[-1][1] * self._recipe.bay_width + 0.1
        pick_end = plan.pick[0] + plan.pick[1] * self._recipe.bay_width + SHELF_POST
        zones = [
            self._zone("docks", "docks", (0.0, plan.front), plan.docking),
            self._zone("packing", "packing", (0.0, plan.front), plan.packing),
            self._zone("pick", "pick", (plan.pick[0], pick_end), (0.0, plan.width)),
            self._zone("bulk", "bulk", (bulk_start, bulk_end), (0.0, plan.width)),
        ]
        if plan.chargers:
            zones.append(self._zone("charging", "charging", (0.0, plan.front), plan.charging))
        end = STAGING_START + staging_places(plan.front) * STAGING_PITCH
        for index, v in enumerate(self._staging_v):
            across = v - 0.5 * STAGING_WIDTH, v + 0.5 * STAGING_WIDTH
            zones.append(self._zone(f"staging-{index + 1:02d}", "staging", (STAGING_START, end), across))
        return zones

    def _zone(self, name: str, kind: ZoneKind, along: tuple[float, float], across: tuple[float, float]) -> Zone:
        corners = [(along[0], across[0]), (along[1], across[0]), (along[1], across[1]), (along[0], across[1])]
        return Zone(id=f"zone-{name}", kind=kind, corners=tuple(self._frame.point(u, v) for u, v in corners))

    def _staged_goods(self) -> list[Good]:
        """Return what waits in the staging lanes: pallets, stillages and crates, filled from the far end."""
        rng, wanted = self._stream("staging"), self._plan.loose_goods
        places = staging_places(self._plan.front)
        goods: list[Good] = []
        full = rng.permutation(len(self._staging_v) * places)[:wanted]
        for number in sorted(full.tolist()):
            lane, place = divmod(number, places)
            item = _staged_item(rng)
            offset, turn = rng.uniform(-0.04, 0.04), rng.uniform(-0.03, 0.03)
            u = STAGING_START + (place + 0.5) * STAGING_PITCH
            x, y = self._frame.point(u, self._staging_v[lane] + float(offset))
            goods.append(
                Good(id=f"G{len(goods) + 1:03d}", kind=item.kind, x=x, y=y, yaw=self._frame.yaw(float(turn)),
                     size=item.size, mass=item_mass(item.kind, item.size), color=item.color)
            )  # fmt: skip
        return goods


def _runs_on(aisle: int) -> bool:
    """Whether a one-way aisle is driven away from the docks; neighbours are driven opposite ways."""
    return aisle % 2 == 0


def _staged_item(rng: np.random.Generator) -> Item:
    """Return something that waits for a truck and covers no more floor than a pallet."""
    pick = rng.random()
    if pick < 0.35:
        return Item("stillage", (1.2, 0.8, 0.97), (0.0, 0.0, 0.0), (112, 120, 128))
    if pick < 0.6:
        return Item("crate", (1.16, 0.76, round(float(rng.uniform(0.6, 1.1)), 3)), (0.0, 0.0, 0.0), (172, 138, 96))
    return loose_item(rng, staging=True)
