"""The floor plan as a list of marks in page pixels, before any file format: what is drawn, where and in which style."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .conveyors import conveyor_pieces, line_length, line_pose
from .footprints import outline
from .geometry import obstacle_solid
from .model import Conveyor, Good, Layout, Obstacle, Rack
from .plan_shapes import (
    PATH_COLORS,
    Mark,
    Pixel,
    arrow,
    arrow_icon,
    box_mark,
    boxes_icon,
    ends_of,
    event_icon,
    event_marks,
    hex_color,
    line_mark,
    middle_of,
    overhead_icon,
    rack_icon,
    zone_icon,
)

MAX_PATH_POINTS = 1500
LIMITS = (1100.0, 760.0)
"""Pixels that a hall takes at most, across and down."""
MAX_SCALE = 60.0
"""Pixels of a metre in the smallest halls."""
NAMED_SCALE = 12.0
"""Pixels of a metre from which stations and doors are named."""
ROUTE_LIMIT = 6000
"""Waypoints, and lanes, beyond this number are not drawn, or the plan would be all dots."""
LABEL_LIMIT = 60
"""Stations beyond this number go without names, or the plan would be all letters."""
ZONE_COLORS = {
    "bulk": "#8fa7c4",
    "pick": "#8ec49b",
    "packing": "#b79bd6",
    "docks": "#eab676",
    "staging": "#d9863a",
    "charging": "#63c7b2",
}
"""Tints of the zones by kind."""
FLAT = 0.03
"""Top [m] up to which an obstacle is driven over, and not drawn."""
OVERHEAD = 2.2
"""Height [m] from which on an obstacle is above all traffic."""


class PlanEvent(Protocol):
    """Something to mark on the plan, such as an episode's event."""

    @property
    def kind(self) -> str:
        """What happened: "collision" and "near_miss" have marks of their own."""
        ...

    @property
    def position(self) -> tuple[float, float]:
        """Where: x, y [m] in ``map``."""
        ...


@dataclass(frozen=True)
class Plan:
    """A page: its size [pixels], its marks in drawing order, a title and a description in words.

    A point x, y [m] in ``map`` is at ``origin + scale * (x, -y)`` [pixels].
    """

    width: float
    height: float
    marks: tuple[Mark, ...]
    title: str
    description: str
    scale: float
    origin: Pixel


def plan_marks(
    layout: Layout,
    *,
    trajectories: Iterable[ArrayLike] = (),
    people: Iterable[ArrayLike] = (),
    events: Iterable[PlanEvent] = (),
    limits: tuple[float, float] = LIMITS,
) -> Plan:
    """Draw a layout.

    Args:
        layout: the hall.
        trajectories: robots' paths, each (T, 2 or more) x, y [m] in ``map``; rows with NaN break a path.
        people: people's paths, alike.
        events: collisions, near misses and other events to mark.
        limits: pixels that the hall takes at most, across and down.
    """
    drawer = _Drawer(layout, limits)
    drawer.draw_hall()
    drawer.draw_obstacles(layout.obstacles)
    drawer.draw_racks()
    drawer.draw_furniture()
    drawer.draw_goods([good for good in layout.goods if good.rack is None])
    drawer.draw_routes()
    robots = [np.asarray(path, dtype=np.float64) for path in trajectories]
    drawer.draw_paths(robots, [np.asarray(path, dtype=np.float64) for path in people])
    drawer.draw_stations()
    drawer.draw_events(list(events))
    return drawer.finish(robots)


class _Drawer:
    """Collects marks; knows the scale of the page and what the legend must explain."""

    def __init__(self, layout: Layout, limits: tuple[float, float]) -> None:
        self.layout = layout
        self.scale = min(limits[0] / layout.length, limits[1] / layout.width, MAX_SCALE)
        # Outer walls stand outside the hall's rectangle and doors on them: the margins begin behind those.
        self.rim = self.scale * max((min(wall.thickness, 1.0) for wall in layout.walls), default=0.0) + 4.0
        self.left, self.top, self.right = 40.0 + self.rim, 58.0 + self.rim, 18.0 + self.rim
        self.marks: list[Mark] = []
        self.legend: dict[str, tuple[str, Callable[[float, float], list[Mark]]]] = {}

    def pixel(self, x: float, y: float) -> Pixel:
        """Return the page position of a point [m] in ``map``."""
        return (
            round(self.left + x * self.scale, 2),
            round(self.top + (self.layout.width - y) * self.scale, 2),
        )

    def draw_hall(self) -> None:
        layout = self.layout
        self._rectangle("floor", 0.5 * layout.length, 0.5 * layout.width, 0.0, layout.length, layout.width)
        self._draw_zones()
        step = _round_step(max(layout.length, layout.width) / 7.0)
        for value in np.arange(0.0, layout.length + 1e-6, step).tolist():
            self._line("grid", [(value, 0.0), (value, layout.width)])
            self._text("text", self._below(value), f"{value:g}", 10.0)
        for value in np.arange(0.0, layout.width + 1e-6, step).tolist():
            self._line("grid", [(0.0, value), (layout.length, value)])
            x, y = self.pixel(0.0, value)
            self._text("text", (x - self.rim - 5.0, y + 3.5), f"{value:g}", 10.0, anchor="end")
        for aisle in layout.aisles:
            self._line("aisle", [aisle.start, aisle.end], title=f"aisle {aisle.id}, {aisle.width:.2f} m wide")
            if aisle.one_way:
                (x, y), length, yaw = middle_of(aisle.start, aisle.end)
                size = max(4.0, min(7.0, 0.22 * aisle.width * self.scale))
                for share in (-0.3, 0.3):
                    at = self.pixel(x + share * length * math.cos(yaw), y + share * length * math.sin(yaw))
                    self.marks.append(arrow("one_way", at, yaw, size, f"aisle {aisle.id}, one way"))
        if layout.aisles:
            self._explain("aisle", "aisle centre line", lambda x, y: [line_mark("aisle", [(x - 9, y), (x + 9, y)])])
        if any(aisle.one_way for aisle in layout.aisles):
            self._explain("one_way", "one way", lambda x, y: [arrow("one_way", (x, y), 0.0, 6.0, "")])
        # A wall thinner than two pixels would vanish on large halls.
        for wall in layout.walls:
            middle, length, yaw = middle_of(wall.start, wall.end)
            thick = max(wall.thickness, 2.0 / self.scale)
            self._rectangle("wall", *middle, yaw, length + thick - wall.thickness, thick, title=f"wall {wall.id}")
        if layout.walls:
            self._explain("wall", "wall", lambda x, y: [box_mark("wall", x, y, 18, 5)])

    def _draw_zones(self) -> None:
        """Tint the zones, those that lie within others last."""
        for kind, color in ZONE_COLORS.items():
            for zone in self.layout.zones:
                if zone.kind == kind:
                    points = tuple(self.pixel(x, y) for x, y in zone.corners)
                    title = f"{kind} zone {zone.id}"
                    self.marks.append(Mark("polygon", "zone", points, opacity=0.3, color=color, text=title))
            if any(zone.kind == kind for zone in self.layout.zones):
                words = {"bulk": "bulk storage", "pick": "pick faces"}.get(kind, kind)
                self._explain(f"zone {kind}", words, zone_icon(color))

    def draw_obstacles(self, obstacles: Sequence[Obstacle]) -> None:
        """Draw what of each obstacle is in the way of traffic, low things first, and what is above it as an outline."""
        for obstacle in sorted(obstacles, key=lambda item: item.z):
            solid, title = obstacle_solid(obstacle), f"obstacle {obstacle.part_of or obstacle.id}"
            corners = outline(*solid, FLAT, OVERHEAD).tolist()
            if len(corners) >= 3:
                points, color = tuple(self.pixel(x, y) for x, y in corners), hex_color(obstacle.color)
                self.marks.append(Mark("polygon", "obstacle", points, opacity=0.85, color=color, text=title))
                self._explain("obstacle", "obstacle", boxes_icon("obstacle", 11.0, 8.0))
                continue
            corners = outline(*solid, OVERHEAD, math.inf).tolist()
            if len(corners) >= 3:
                self._line("overhead", [*corners, corners[0]], title=f"{title}, overhead")
                self._explain("overhead", f"above {OVERHEAD:g} m", overhead_icon)

    def draw_racks(self) -> None:
        loads = bay_loads(self.layout)
        for rack in self.layout.racks:
            title = f"rack {rack.id}, {rack.bays} bays"
            self._rectangle("rack", rack.x, rack.y, rack.yaw, rack.length, rack.depth, title=title)
            pitch = rack.length / rack.bays
            cos, sin = math.cos(rack.yaw), math.sin(rack.yaw)
            for bay, load in enumerate(loads[rack.id].tolist()):
                x = -0.5 * rack.length + (bay + 0.5) * pitch
                place = rack.x + cos * x, rack.y + sin * x, rack.yaw
                if load > 0:
                    opacity = round(0.08 + 0.8 * load, 2)
                    self._rectangle("load", *place, pitch, rack.depth, opacity=opacity)
                if bay and pitch * self.scale > 5:
                    x -= 0.5 * pitch
                    ends = [(rack.x + cos * x - sin * y, rack.y + sin * x + cos * y) for y in ends_of(rack.depth)]
                    self._line("bay", ends)
            self._rack_label(rack)
        if self.layout.racks:
            self._explain("rack", "rack (stronger: fuller)", rack_icon)

    def draw_furniture(self) -> None:
        layout, least = self.layout, 5.0 / self.scale
        for column in layout.columns:
            width = max(column.width, 3.0 / self.scale)
            if column.round:
                self._circle("column", self.pixel(column.x, column.y), 0.5 * width * self.scale, f"column {column.id}")
            else:
                title = f"column {column.id}"
                self._rectangle("column", column.x, column.y, column.yaw, width, width, title=title)
        for conveyor in layout.conveyors:
            self._conveyor(conveyor, least)
        for door in layout.docks:
            depth = max(0.3, 6.0 / self.scale)
            # The symbol lies on the wall, outside the floor.
            x, y = door.x - 0.4 * depth * math.cos(door.yaw), door.y - 0.4 * depth * math.sin(door.yaw)
            self._rectangle("dock", x, y, door.yaw, depth, door.width, title=f"dock door {door.id}")
            if self.scale >= NAMED_SCALE:
                self._door_label(door.x, door.y, door.yaw, door.id)
        for charger in layout.chargers:
            depth, width = max(charger.depth, least), max(charger.width, 1.4 * least)
            self._rectangle("charger", charger.x, charger.y, charger.yaw, depth, width, title=f"charger {charger.id}")
        boxes = (("columns", "column", 8, 8), ("conveyors", "conveyor", 18, 8), ("docks", "dock", 18, 7))
        for kind, style, width, height in (*boxes, ("chargers", "charger", 9, 9)):
            if getattr(layout, kind):
                name = "dock door" if style == "dock" else style
                self._explain(style, name, boxes_icon(style, float(width), float(height)))

    def _conveyor(self, conveyor: Conveyor, least: float) -> None:
        """Draw a conveyor: its stretches, arrow heads along its motion, photo-eyes as lines across."""
        title = f"{'conveyor' if conveyor.kind == 'belt' else 'roller conveyor'} {conveyor.id}, {conveyor.speed:g} m/s"
        style = "conveyor" if conveyor.kind == "belt" else "roller"
        width, pieces = max(conveyor.width, least), conveyor_pieces(conveyor)
        for piece in pieces:
            # Outer and inner edge, point by point: a curve has no corners.
            count = max(1, math.ceil(abs(piece.curvature) * piece.length / 0.1))
            line = [piece.pose(piece.length * step / count) for step in range(count + 1)]
            left, right = (
                [(x - side * width * math.sin(yaw), y + side * width * math.cos(yaw)) for x, y, yaw in line]
                for side in (0.5, -0.5)
            )
            points = tuple(self.pixel(x, y) for x, y in [*left, *right[::-1]])
            self.marks.append(Mark("polygon", style, points, text=title))
        length, half = line_length(pieces), 0.28 * conveyor.width
        count = min(60, math.floor(length / 0.9))
        for index in range(count):
            x, y, yaw = line_pose(pieces, (index + 0.5) * length / count)
            cos, sin = math.cos(yaw), math.sin(yaw)
            corners = ((-half, half), (0.0, 0.0), (-half, -half))
            self._line("chevron", [(x + cos * a - sin * b, y + sin * a + cos * b) for a, b in corners])
        for eye in conveyor.eyes:
            x, y, yaw = line_pose(pieces, eye.at)
            reach = 0.5 * width + 3.0 / self.scale
            ends = [(x - side * math.sin(yaw), y + side * math.cos(yaw)) for side in (reach, -reach)]
            self._line("eye", ends, title=f"photo-eye {eye.id}")
            self._explain("eye", "photo-eye", lambda x, y: [line_mark("eye", [(x, y - 7), (x, y + 7)])])
        if conveyor.kind == "roller":
            self._explain("roller", "roller conveyor", boxes_icon("roller", 18.0, 8.0))

    def draw_goods(self, goods: Sequence[Good]) -> None:
        for good in goods:
            least = 3.0 / self.scale
            length, width = max(good.size[0], least), max(good.size[1], least)
            title = f"{good.kind.replace('_', ' ')} {good.id}, {good.mass:g} kg"
            self._rectangle("good", good.x, good.y, good.yaw, length, width, title=title, color=hex_color(good.color))
        if goods:
            self._explain("good", "loose goods", boxes_icon("good", 11.0, 8.0))

    def draw_routes(self) -> None:
        """Draw the site's own route graph: lanes, with an arrow where they are one-way, and waypoints."""
        lanes, waypoints = self.layout.lanes, self.layout.waypoints
        places = {waypoint.id: (waypoint.x, waypoint.y) for waypoint in waypoints}
        for lane in lanes if len(lanes) <= ROUTE_LIMIT else ():
            if lane.start not in places or lane.end not in places:
                continue
            start, end = places[lane.start], places[lane.end]
            speed = "" if lane.max_speed is None else f", {lane.max_speed:g} m/s"
            self._line("lane", [start, end], title=f"lane {lane.id}{speed}")
            (x, y), length, yaw = middle_of(start, end)
            if lane.one_way and length * self.scale > 6.0:
                # Beside the middle, or the arrows of two lanes on one line would hide each other.
                ahead = 0.1 * length
                at = self.pixel(x + ahead * math.cos(yaw), y + ahead * math.sin(yaw))
                self.marks.append(arrow("lane_arrow", at, yaw, min(5.0, 0.3 * length * self.scale), ""))
        for waypoint in waypoints if len(waypoints) <= ROUTE_LIMIT else ():
            title = f"waypoint {waypoint.id}" + (f", {waypoint.name}" if waypoint.name else "")
            self._circle("waypoint", self.pixel(waypoint.x, waypoint.y), 2.2, title)
        if lanes:
            words = "lane (arrow: one way)" if len(lanes) <= ROUTE_LIMIT else f"{len(lanes):,} lanes, not drawn"
            self._explain("lane", words, lambda x, y: [
                line_mark("lane", [(x - 9, y), (x + 9, y)]),
                arrow("lane_arrow", (x + 2, y), 0.0, 5.0, ""),
            ])  # fmt: skip
        if waypoints:
            many = f"{len(waypoints):,} waypoints, not drawn"
            words = "waypoint" if len(waypoints) <= ROUTE_LIMIT else many
            self._explain("waypoint", words, lambda x, y: [Mark("circle", "waypoint", ((x, y),), size=2.2)])

    def draw_paths(self, robots: Sequence[NDArray[np.float64]], people: Sequence[NDArray[np.float64]]) -> None:
        for number, path in enumerate(people):
            for piece in self._pieces(path):
                self.marks.append(line_mark("person_path", piece, text=f"person {number}"))
        if people:
            icon = lambda x, y: [line_mark("person_path", [(x - 9, y), (x + 9, y)])]  # noqa: E731
            self._explain("person_path", "person's path", icon)
        for number, path in enumerate(robots):
            color = PATH_COLORS[number % len(PATH_COLORS)]
            pieces = self._pieces(path)
            for piece in pieces:
                self.marks.append(line_mark("path_edge", piece))
                self.marks.append(line_mark("path", piece, color=color, text=f"robot {number}"))
            if pieces:
                self._circle("path_start", pieces[0][0], 4.0, f"robot {number} starts", color=color)
        if robots:
            color = PATH_COLORS[0]
            self._explain("path", "robot's path, from the dot", lambda x, y: [
                line_mark("path", [(x - 9, y), (x + 9, y)], color=color),
                Mark("circle", "path_start", ((x - 7, y),), size=3.5, color=color),
            ])  # fmt: skip

    def draw_stations(self) -> None:
        size = min(11.0, max(5.0, 0.42 * self.scale))
        named = len(self.layout.stations) <= LABEL_LIMIT and self.scale >= NAMED_SCALE
        for station in self.layout.stations:
            at = self.pixel(station.x, station.y)
            title = f"{station.kind} station {station.id}"
            self.marks.append(arrow(station.kind, at, station.yaw, size, title))
            if named:
                self._text("halo", (at[0], at[1] - size - 2.0), station.id, 9.0)
        for kind in ("pick", "drop", "pack"):
            if any(station.kind == kind for station in self.layout.stations):
                self._explain(kind, f"{kind} station", arrow_icon(kind))

    def draw_events(self, events: Sequence[PlanEvent]) -> None:
        for event in events:
            at = self.pixel(*event.position)
            for mark in event_marks(event.kind, *at):
                self.marks.append(mark)
            known = event.kind if event.kind in ("collision", "near_miss") else "event"
            kind = event.kind
            self._explain(known if known != "event" else f"event {kind}", kind.replace("_", " "), event_icon(kind))

    def finish(self, robots: Sequence[NDArray[np.float64]]) -> Plan:
        """Add title, legend and scale bar, and return the page."""
        layout = self.layout
        bottom = self.top + layout.width * self.scale + self.rim + 36.0
        width = max(760.0, self.left + layout.length * self.scale + self.right)
        # Letters of a title are about 0.62 of its size wide: long names are written smaller, and then cut.
        room = (width - self.left - self.right) / 0.62
        size, most = min(18.0, max(11.0, room / len(layout.name))), math.floor(room / 11.0)
        title = layout.name if len(layout.name) <= most else layout.name[: most - 1] + "…"
        self._text("title", (self.left, 28.0), title, round(size, 1), anchor="start")
        bays = sum(rack.bays for rack in layout.racks)
        facts = [f"{layout.length:.1f} x {layout.width:.1f} m", f"{layout.area:,.0f} m²"]
        for count, word in ((bays, "rack bay"), (len(layout.goods), "good"), (len(layout.stations), "station")):
            facts.append(f"{count:,} {word}{'' if count == 1 else 's'}")
        self._text("text", (self.left, 47.0), "  ·  ".join(facts), 11.5, anchor="start")
        self._scale_bar(width - self.right, bottom - 2.0)
        x, y = self.left, bottom
        right = width - self.right - 190.0
        for words, icon in self.legend.values():
            needed = 44.0 + 5.8 * len(words)
            if x + needed > right and x > self.left:
                x, y = self.left, y + 21.0
            self.marks += icon(x + 12.0, y)
            self._text("text", (x + 28.0, y + 4.0), words, 11.0, anchor="start")
            x += needed
        height = y + 24.0
        paper = Mark("polygon", "paper", ((0.0, 0.0), (width, 0.0), (width, height), (0.0, height)))
        description = f"Floor plan: {', '.join(facts)}" + (f", paths of {len(robots)} robots" if len(robots) else "")
        marks, origin = (paper, *self.marks), self.pixel(0.0, 0.0)
        return Plan(round(width, 1), round(height, 1), marks, layout.name, description, self.scale, origin)

    def _rectangle(
        self,
        style: str,
        x: float,
        y: float,
        yaw: float,
        length: float,
        width: float,
        *,
        title: str = "",
        color: str | None = None,
        opacity: float = 1.0,
    ) -> None:
        cos, sin = math.cos(yaw), math.sin(yaw)
        corners = ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5))
        points = tuple(
            self.pixel(x + cos * a * length - sin * b * width, y + sin * a * length + cos * b * width)
            for a, b in corners
        )
        self.marks.append(Mark("polygon", style, points, opacity=opacity, color=color, text=title))

    def _line(self, style: str, points: Sequence[tuple[float, float]], *, title: str = "") -> None:
        self.marks.append(line_mark(style, [self.pixel(*point) for point in points], text=title))

    def _circle(self, style: str, at: Pixel, radius: float, title: str = "", *, color: str | None = None) -> None:
        self.marks.append(Mark("circle", style, (at,), size=round(radius, 2), color=color, text=title))

    def _text(
        self,
        style: str,
        at: Pixel,
        words: str,
        size: float,
        *,
        anchor: Literal["start", "middle", "end"] = "middle",
        turn: float = 0.0,
    ) -> None:
        self.marks.append(Mark("text", style, (at,), size=size, text=words, anchor=anchor, turn=turn))

    def _explain(self, key: str, words: str, icon: Callable[[float, float], list[Mark]]) -> None:
        self.legend.setdefault(key, (words, icon))

    def _below(self, x: float) -> Pixel:
        at = self.pixel(x, 0.0)
        return at[0], at[1] + self.rim + 13.0

    def _rack_label(self, rack: Rack) -> None:
        size = min(11.0, 0.6 * rack.depth * self.scale)
        if size < 6.0 or rack.length * self.scale < 4.0 * size:
            return
        x, y = self.pixel(rack.x, rack.y)
        turn = math.degrees(rack.yaw) % 180.0
        turn = turn - 180.0 if turn > 90.5 else turn
        # Letters sit on their base line: shift them by a third of their height, across the line of writing.
        angle = math.radians(turn)
        at = (x + 0.35 * size * math.sin(angle), y + 0.35 * size * math.cos(angle))
        self._text("halo", at, rack.id, size, turn=round(turn, 1))

    def _door_label(self, x: float, y: float, yaw: float, words: str) -> None:
        """Write a door's name inside the hall, where the axis numbers are not."""
        inside = 13.0 / self.scale
        px, py = self.pixel(x + inside * math.cos(yaw), y + inside * math.sin(yaw))
        self._text("label", (px, py + 3.5), words, 9.5)

    def _chevrons(
        self, style: str, start: tuple[float, float], end: tuple[float, float], half: float, pitch: float
    ) -> None:
        """Draw arrow heads along a line, ``pitch`` metres apart."""
        length = math.dist(start, end)
        cos, sin = (end[0] - start[0]) / max(length, 1e-9), (end[1] - start[1]) / max(length, 1e-9)
        count = min(60, math.floor(length / pitch))
        for index in range(count):
            s = (index + 0.5) * length / count
            corners = ((s - half, half), (s, 0.0), (s - half, -half))
            self._line(style, [(start[0] + cos * a - sin * b, start[1] + sin * a + cos * b) for a, b in corners])

    def _pieces(self, path: NDArray[np.float64]) -> list[list[Pixel]]:
        """Cut a path at NaN and thin it to what the eye sees."""
        if path.ndim != 2 or path.shape[1] < 2:
            raise ValueError(f"a path must be (T, 2 or more), this one is {path.shape}")
        good = np.isfinite(path[:, :2]).all(axis=1)
        cuts = np.flatnonzero(np.diff(good.astype(np.int8))) + 1
        pieces = []
        for part, fine in zip(np.split(path[:, :2], cuts), np.split(good, cuts), strict=True):
            if not len(part) or not fine[0]:
                continue
            step = max(1, math.ceil(len(part) / MAX_PATH_POINTS))
            thin = part[::step].tolist()
            if (len(part) - 1) % step:
                thin.append(part[-1].tolist())
            pieces.append(_simplified([self.pixel(x, y) for x, y in thin]))
        return pieces

    def _scale_bar(self, right: float, y: float) -> None:
        metres = _round_step(150.0 / self.scale)
        length, left = metres * self.scale, right - metres * self.scale
        for quarter in range(4):
            style = "scale" if quarter % 2 == 0 else "scale_gap"
            self.marks.append(box_mark(style, left + (quarter + 0.5) * length / 4, y, length / 4, 5.0))
        for share in (0.0, 0.5, 1.0):
            words = f"{share * metres:g}" + (" m" if share == 1.0 else "")
            self._text("text", (left + share * length, y + 16.0), words, 10.0)


def bay_loads(layout: Layout) -> dict[str, NDArray[np.float64]]:
    """Return how full each bay of each rack is, by rack id: (bays,) float64 from 0 to 1.

    Full means that goods take half of the bay's volume: clearances and pallet gaps leave no more in practice.
    """
    loads = {rack.id: np.zeros(rack.bays) for rack in layout.racks}
    racks = {rack.id: rack for rack in layout.racks}
    for good in layout.goods:
        rack = racks.get(good.rack or "")
        if rack is None:
            continue
        along = math.cos(rack.yaw) * (good.x - rack.x) + math.sin(rack.yaw) * (good.y - rack.y)
        bay = math.floor(along / rack.bay_width + 0.5 * rack.bays)
        volume = good.size[0] * good.size[1] * good.size[2]
        loads[rack.id][min(max(bay, 0), rack.bays - 1)] += volume / (rack.bay_width * rack.depth * rack.height)
    return {name: np.minimum(1.0, 2.0 * load) for name, load in loads.items()}


def _round_step(rough: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is not above ``rough``."""
    power = 10.0 ** math.floor(math.log10(rough))
    return max(factor * power for factor in (1.0, 2.0, 5.0) if factor * power <= rough * (1 + 1e-9))


def _simplified(points: list[Pixel], tolerance: float = 0.35) -> list[Pixel]:
    """Drop the points that a line through the others misses by less than the tolerance (Douglas and Peucker)."""
    line = np.array(points)
    keep = np.zeros(len(line), dtype=bool)
    keep[[0, -1]] = True
    spans = [(0, len(line) - 1)]
    while spans:
        first, last = spans.pop()
        if last - first < 2:
            continue
        along, offset = line[last] - line[first], line[first + 1 : last] - line[first]
        share = np.clip((offset @ along) / max(float(along @ along), 1e-12), 0.0, 1.0)
        distance = np.linalg.norm(offset - share[:, None] * along, axis=1)
        far = int(distance.argmax())
        if distance[far] > tolerance:
            keep[first + 1 + far] = True
            spans += [(first, first + 1 + far), (first + 1 + far, last)]
    return [points[index] for index in np.flatnonzero(keep).tolist()]
