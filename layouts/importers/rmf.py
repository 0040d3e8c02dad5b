"""Open-RMF buildings (``.building.yaml``, as the traffic editor writes them).

A level becomes a layout. Walls are as Open-RMF builds them: 0.1 m thick, 2.5 m high, and half their thickness longer at
either end. Vertices have no height of their own there, and so none here. Lanes of all graphs become lanes; their graph
is in their name. Doors are gaps between walls, and stay open; a wall that runs along one is cut. A charger's vertex is
where its robot stands, so the charger itself stands before that. Models have no size in the file, and are left out.
"""

from __future__ import annotations

import cmath
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ...common.config import parse_model, parse_yaml
from ...common.errors import InputError
from ..model import Charger, Lane, Layout, SourceFrame, Station, Wall, Waypoint
from ..reachability import docking_pose
from .files import read_bytes
from .names import Names
from .report import Imported, Leftovers
from .rmf_frame import level_frame
from .rmf_values import Edge, edges, entries, mapping, number, parameters, points, word

MAX_BYTES = 16 * 1024 * 1024
MAX_VALUES = 1_000_000
"""Values in a file; an airport's terminal has 40,000."""
WALL_THICKNESS, WALL_HEIGHT = 0.1, 2.5
"""Of every wall that Open-RMF builds [m]."""
MARGIN = 1.0
"""Floor around waypoints beyond all walls and floors [m]."""
REACH = 4900.0
"""Vertices farther than this from the middle of a level [m] have no place in it."""
SHORTEST = 0.01
"""Walls and lanes shorter than this [m] are points."""
ROBOT_RADIUS = 0.56
"""Of the robots that there must be room for at chargers [m]."""
MAX_SPEED = 100.0
DIRECTIONS = 16
"""Ways that are looked at for the place of a charger."""

USED = {"vertices", "walls", "lanes", "doors", "floors", "measurements", "fiducials", "models"}
SILENT = {"drawing", "elevation", "flattened_x_offset", "flattened_y_offset", "x_meters", "y_meters"}
"""Parts of a level that hold nothing for a layout."""
OTHER_PARTS = {
    "constraints": "constraint that aligns drawings",
    "features": "feature that aligns drawings",
    "holes": "hole in a floor",
    "human_lanes": "lane of people",
    "layers": "drawing laid over the level",
}
OTHER_PARAMETERS = {
    "dock_name": "docking",
    "human_goal_set_name": "goal of people",
    "is_cleaning_zone": "zone to clean",
    "is_passthrough_point": "point to pass only",
    "lift_cabin": "place in a lift",
    "spawn_robot_name": "name of a robot that starts at a vertex",
    "spawn_robot_type": "type of a robot that starts at a vertex",
}
"""Parts of a level, and parameters of vertices, that a layout has no place for."""
PLACES = {"is_charger", "pickup_dispenser", "dropoff_ingestor", "is_holding_point", "is_parking_spot"}
"""Parameters of vertices that make stations and chargers of them."""


def import_layout(path: str | Path, level: str | None = None) -> Imported:
    """Read a level of an Open-RMF building.

    Args:
        path: the file. level: the level's name; without it, the only one, or the only one that has lanes.

    Returns:
        The layout: its axes are those of the building's reference level, shifted so that the hall begins at (0, 0).
        ``source`` says how: from pixels with y down, from metres, or, for buildings on the globe, from metres east and
        north of the place that its name tells.

    Raises:
        InputError: the file is no building, or the level cannot be told or has nothing in it.
    """
    path = Path(path)
    building = _read(path)
    levels = {word(key): value for key, value in mapping(building.get("levels")).items()}
    name = _chosen(levels, level, path)
    return _Storey(path, building, levels, name).imported()


def _read(path: Path) -> dict[Any, Any]:
    try:
        text = read_bytes(path, MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text (byte {error.start})", where=str(path)) from error
    _, data = parse_yaml(text, str(path), max_values=MAX_VALUES)
    if not isinstance(data, dict) or not isinstance(data.get("levels"), dict):
        raise InputError("no Open-RMF building: it has no levels", where=str(path), mend="give a .building.yaml file")
    return data


def _chosen(levels: dict[str, Any], level: str | None, path: Path) -> str:
    """Return the name of the level to take."""
    known = ", ".join(repr(name[:40]) for name in list(levels)[:20]) or "none"
    if level is None:
        choice = list(levels)
        if len(choice) > 1:
            choice = [name for name in levels if mapping(levels[name]).get("lanes")]
        if len(choice) != 1:
            raise InputError(
                "which level to take is not clear", where=str(path), mend=f"name one with --level: {known}"
            )
        level = choice[0]
    if level not in levels:
        raise InputError(f"there is no level {level!r}", where=str(path), mend=f"one of {known}")
    if not isinstance(levels[level], dict):
        raise InputError(f"level {level[:80]!r} is no mapping", where=str(path), mend="correct the file")
    return level


@dataclass
class _Room:
    """Where chargers may not stand: walls and lanes as segments (N, 2) complex [m], and chargers placed before."""

    walls: NDArray[np.complex128]
    lanes: NDArray[np.complex128]
    boxes: list[complex] = field(default_factory=list)

    def charger(self, at: complex, heading: float, name: str) -> Charger | None:
        """Return a charger for a robot that charges at a point, or None if there is no room for its box.

        Beyond the point if there is room, seen from where the robot comes, else in the next direction that has some.
        """
        box = Charger(id=name, x=0.0, y=0.0)
        reach = math.hypot(*docking_pose(box, ROBOT_RADIUS)[:2])
        beyond = 2.0 * reach + ROBOT_RADIUS
        near_walls, near_lanes = _near(self.walls, at, beyond), _near(self.lanes, at, beyond)
        for step in sorted(range(DIRECTIONS), key=lambda step: min(step, DIRECTIONS - step)):
            way = cmath.exp(1j * (heading + 2.0 * math.pi * step / DIRECTIONS))
            place = at + reach * way
            half = 0.5 * complex(box.depth, box.width)
            if (
                not _crosses(near_walls, place, way, half, 0.5 * WALL_THICKNESS + SHORTEST)
                and not _crosses(near_lanes, place, way, half, ROBOT_RADIUS)
                and all(abs(place - other) > 2.0 * abs(half) for other in self.boxes)
            ):
                self.boxes.append(place)
                yaw = round(cmath.phase(-way), 6)
                return box.model_copy(update={"x": round(place.real, 4), "y": round(place.imag, 4), "yaw": yaw})
        return None


class _Storey:
    """One level on its way to a layout."""

    def __init__(self, path: Path, building: dict[Any, Any], levels: dict[str, Any], name: str) -> None:
        self.path, self.building, self.name = path, building, name
        self.level: dict[Any, Any] = levels[name]
        self.left, self.names = Leftovers(), Names()
        self.prefix = Names()(name, "level")[:24]
        self.vertices = entries(self.level, "vertices", self.left)
        self.vertex_names = [word(row[3]) if isinstance(row, list) and len(row) > 3 else "" for row in self.vertices]
        self.vertex_parameters = [
            parameters(row[4]) if isinstance(row, list) and len(row) > 4 else {} for row in self.vertices
        ]
        self.frame = level_frame(building, levels, name, self.left)
        self.points = self._places()
        usable = np.isfinite(self.points.real)
        self.walls = self._long(edges(self.level, "walls", "wall", usable, self.left), "wall")
        self.lanes = self._long(edges(self.level, "lanes", "lane", usable, self.left), "lane")
        self.doors = edges(self.level, "doors", "door", usable, self.left)
        self.usable = usable

    def imported(self) -> Imported:
        """Return the layout and what was left."""
        floor, floors = self._floor()
        used = self._waypoints_used()
        pieces = self._pieces()
        low, high = self._extent(floor, used, pieces)
        shift = complex(-round(low.real, 4), -round(low.imag, 4))
        self.points = self.points + shift
        pieces = [(name, start + shift, end + shift) for name, start, end in pieces]
        waypoints, ids = self._waypoints(used)
        lanes = self._lanes(ids)
        stations, chargers = self._stations(ids, pieces)
        self._count_the_rest()
        layout = parse_model(
            {
                "name": f"{word(self.building.get('name'))[:80] or self.path.name[:80]} {self.name[:40]}".strip(),
                "length": max(round(high.real + shift.real, 4), WALL_THICKNESS),
                "width": max(round(high.imag + shift.imag, 4), WALL_THICKNESS),
                "height": WALL_HEIGHT,
                "walls": tuple(_wall(*piece) for piece in pieces),
                "waypoints": waypoints,
                "lanes": lanes,
                "stations": stations,
                "chargers": chargers,
                "source": SourceFrame(
                    file=self.path.name[:256],
                    format="rmf",
                    name=self.name[:128] + self.frame.note,
                    x=round(self.frame.offset.real + shift.real, 9),
                    y=round(self.frame.offset.imag + shift.imag, 9),
                    yaw=round(cmath.phase(self.frame.turn), 12),
                    scale=abs(self.frame.turn),
                    mirrored=self.frame.mirrored,
                ),
            },
            Layout,
            source=str(self.path),
        )
        read = {
            "vertices": len(self.vertices),
            "walls": len(self.walls),
            "waypoints": len(waypoints),
            "lanes": len(lanes),
            "doors": len(self.doors),
            "floors": floors,
            "stations": len(stations),
            "chargers": len(chargers),
        }
        return Imported(layout, read, self.left)

    def _extent(
        self, floor: NDArray[np.complex128], used: list[int], pieces: list[tuple[str, complex, complex]]
    ) -> tuple[complex, complex]:
        """Return the lower and upper corner [m] of the hall: floors, walls, and waypoints that lie outside them."""
        corners = [floor]
        ends = np.array([ends for _, *ends in pieces], dtype=np.complex128).reshape(-1, 2)
        if len(ends):
            side = 0.5j * WALL_THICKNESS * (ends[:, 1:] - ends[:, :1]) / np.abs(ends[:, 1:] - ends[:, :1])
            corners += [(ends + side).ravel(), (ends - side).ravel()]
        built = np.concatenate(corners)
        waypoints = self.points[used]
        if len(built):
            within = (waypoints.real >= built.real.min()) & (waypoints.real <= built.real.max())
            within &= (waypoints.imag >= built.imag.min()) & (waypoints.imag <= built.imag.max())
            waypoints = waypoints[~within]
        everything = np.concatenate([built, waypoints + MARGIN * (1 + 1j), waypoints - MARGIN * (1 + 1j)])
        if not len(everything):
            told = "; ".join(self.left.lines()[:3]) or "draw walls or lanes in it"
            raise InputError(
                f"level {self.name[:80]!r} has nothing in it that can be used", where=str(self.path), mend=told
            )
        low = complex(everything.real.min(), everything.imag.min())
        return low, complex(everything.real.max(), everything.imag.max())

    def _places(self) -> NDArray[np.complex128]:
        """Return where the vertices are (N,) complex [m], NaN for those that have no place in a hall."""
        source = points(self.vertices)
        for index in np.flatnonzero(np.isnan(source[:, 0])).tolist():
            self.left.add("vertex without two numbers for its place", f"vertex {index}")
        with np.errstate(all="ignore"):
            metres = self.frame.metres(source)
            known = np.isfinite(metres).all(axis=-1)
            middle = np.median(metres[known], axis=0) if known.any() else np.zeros(2)
            far = ~(np.abs(metres - middle).max(axis=-1, initial=0.0) <= REACH) & np.isfinite(source[:, 0])
        for index in np.flatnonzero(far).tolist():
            self.left.add(f"vertex more than {REACH:g} m away from the middle of the level", f"vertex {index}")
        metres[far] = np.nan
        return np.asarray(metres[:, 0] + 1j * metres[:, 1])

    def _long(self, found: list[Edge], what: str) -> list[Edge]:
        """Return the edges that are more than points; the others are counted."""
        kept = []
        for edge in found:
            if abs(self.points[edge.end] - self.points[edge.start]) >= SHORTEST:
                kept.append(edge)
            else:
                self.left.add(f"{what} that ends where it starts", f"{what} {edge.number}")
        return kept

    def _floor(self) -> tuple[NDArray[np.complex128], int]:
        """Return the corners of all floors, and how many floors there are."""
        corners: set[int] = set()
        count = 0
        for index, floor in enumerate(entries(self.level, "floors", self.left)):
            vertices = mapping(floor).get("vertices")
            places = vertices if isinstance(vertices, list) else []
            known = [v for v in places if type(v) is int and 0 <= v < len(self.usable) and self.usable[v]]
            if len(known) < 3 or len(known) < len(places):
                self.left.add("floor with vertices that the level lacks, or too few", f"floor {index}")
                continue
            corners.update(known)
            count += 1
        return self.points[sorted(corners)], count

    def _waypoints_used(self) -> list[int]:
        """Return the vertices that lanes use, that have a name, or where robots do something."""
        used = {vertex for lane in self.lanes for vertex in (lane.start, lane.end)}
        for index, (name, given) in enumerate(zip(self.vertex_names, self.vertex_parameters, strict=True)):
            if self.usable[index] and (name or any(given.get(key) for key in PLACES)):
                used.add(index)
        return sorted(used)

    def _pieces(self) -> list[tuple[str, complex, complex]]:
        """Return the walls' names and ends [m], lengthened at both as Open-RMF does, and cut where doors are."""
        pieces: dict[int, list[tuple[complex, complex]]] = {}
        for index, edge in enumerate(self.walls):
            start, end = complex(self.points[edge.start]), complex(self.points[edge.end])
            more = 0.5 * WALL_THICKNESS * (end - start) / abs(end - start)
            pieces[index] = [(start - more, end + more)]
        whole = np.array([ends[0] for ends in pieces.values()], dtype=np.complex128).reshape(-1, 2)
        for door in self.doors:
            hinge, other = complex(self.points[door.start]), complex(self.points[door.end])
            width = abs(other - hinge)
            self.left.add("door, which stays open", word(door.parameters.get("name")) or f"door {door.number}")
            if width < SHORTEST:
                continue
            way = (other - hinge) / width
            seen = (whole - hinge) / way
            along = (np.abs(seen.imag) < 0.5 * WALL_THICKNESS).all(axis=-1)
            overlap = np.minimum(seen.real.max(axis=-1), width) - np.maximum(seen.real.min(axis=-1), 0.0)
            # Less than a wall's thickness is the wall's end that stands in the door's frame.
            for index in np.flatnonzero(along & (overlap > WALL_THICKNESS)).tolist():
                self.left.add("wall along a door, cut open there", f"wall {self.walls[index].number}")
                pieces[index] = [part for piece in pieces[index] for part in _cut(piece, hinge, way, width)]
        return [
            (self.names(f"{self.prefix}.wall{self.walls[index].number}", "wall"), *ends)
            for index, parts in pieces.items()
            for ends in parts
        ]

    def _waypoints(self, used: list[int]) -> tuple[tuple[Waypoint, ...], dict[int, str]]:
        """Return the waypoints, and the ids by vertex."""
        ids = {}
        found = []
        for index in used:
            name = self.vertex_names[index]
            ids[index] = self.names(name, f"{self.prefix}.vertex{index}")
            if name and ids[index] != name:
                self.left.add(
                    "name that is no id or stands twice: its vertex has another id", f"{name} -> {ids[index]}"
                )
            x, y = _rounded(self.points[index])
            found.append(Waypoint(id=ids[index], x=x, y=y, name=name))
        return tuple(found), ids

    def _lanes(self, ids: dict[int, str]) -> tuple[Lane, ...]:
        found = []
        for edge in self.lanes:
            given, name = edge.parameters, f"lane {edge.number}"
            speed = number(given.get("speed_limit", 0))
            if speed is None or not 0 <= speed <= MAX_SPEED:
                self.left.add(f"speed limit that is no number from 0 to {MAX_SPEED:g}", name)
                speed = 0.0
            for key in ("orientation", "mutex", "demo_mock_floor_name", "demo_mock_lift_name"):
                if given.get(key):
                    self.left.add(f"{key} of a lane", name)
            graph = given.get("graph_idx")
            found.append(
                Lane(
                    id=self.names(f"{self.prefix}.lane{edge.number}", "lane"),
                    start=ids[edge.start],
                    end=ids[edge.end],
                    one_way=given.get("bidirectional") is not True,
                    max_speed=speed or None,
                    name=f"graph {graph}" if type(graph) is int and abs(graph) < 1000 else "",
                )
            )
        return tuple(found)

    def _stations(
        self, ids: dict[int, str], pieces: list[tuple[str, complex, complex]]
    ) -> tuple[tuple[Station, ...], tuple[Charger, ...]]:
        """Return stations, which face the way that robots come there, and chargers."""
        heading = self._headings()
        room = _Room(
            np.array([ends for _, *ends in pieces], dtype=np.complex128).reshape(-1, 2),
            np.array([(self.points[lane.start], self.points[lane.end]) for lane in self.lanes]).reshape(-1, 2),
        )
        stations: list[Station] = []
        chargers: list[Charger] = []
        for index, name in ids.items():
            given = self.vertex_parameters[index]
            yaw = heading.get(index, 0.0)
            x, y = _rounded(self.points[index])
            charger = None
            if given.get("is_charger") is True:
                charger = room.charger(complex(self.points[index]), yaw, self.names(f"{name}.charger", "charger"))
                if charger is None:
                    self.left.add("charger without room for its box: a place to stand only", name)
                else:
                    chargers.append(charger)
            kinds: list[tuple[Literal["pick", "drop"], str]] = []
            if word(given.get("pickup_dispenser")):
                kinds.append(("pick", "pick"))
            if word(given.get("dropoff_ingestor")):
                kinds.append(("drop", "drop"))
            waits = given.get("is_holding_point") is True or given.get("is_parking_spot") is True
            if (
                not kinds
                and charger is None
                and (given.get("is_charger") is True or (waits and self.vertex_names[index]))
            ):
                kinds.append(("pick", "stand"))
            for kind, ending in kinds:
                stations.append(
                    Station(id=self.names(f"{name}.{ending}", "station"), kind=kind, x=x, y=y, yaw=round(yaw, 6))
                )
        return tuple(stations), tuple(chargers)

    def _headings(self) -> dict[int, float]:
        """Return the direction [rad] in which the first lane that leads to a vertex comes there."""
        found: dict[int, float] = {}
        leaving: dict[int, float] = {}
        for lane in self.lanes:
            yaw = cmath.phase(self.points[lane.end] - self.points[lane.start])
            back = math.remainder(yaw + math.pi, 2.0 * math.pi)
            found.setdefault(lane.end, yaw)
            (found if lane.parameters.get("bidirectional") is True else leaving).setdefault(lane.start, back)
        return leaving | found

    def _count_the_rest(self) -> None:
        """Count what a layout has no place for."""
        for model in entries(self.level, "models", self.left):
            self.left.add("model, whose size the file does not tell", word(mapping(model).get("model_name")))
        for index, given in enumerate(self.vertex_parameters):
            for key in given:
                if key not in PLACES and given[key]:
                    reason = OTHER_PARAMETERS.get(key, "parameter of a vertex that is not known")
                    self.left.add(reason, self.vertex_names[index] or f"vertex {index}")
        for part, value in self.level.items():
            if part not in USED | SILENT:
                count = len(value) if isinstance(value, list | dict) else 1
                known = OTHER_PARTS.get(part)
                self.left.add(
                    known or "entry of a part of the level that is not known", "" if known else word(part), count
                )
        for lift in mapping(self.building.get("lifts")):
            self.left.add("lift, whose shaft stays open", word(lift))
        if mapping(self.building.get("crowd_sim")).get("enable"):
            self.left.add("crowd simulation")


def _cut(piece: tuple[complex, complex], hinge: complex, way: complex, width: float) -> list[tuple[complex, complex]]:
    """Return what is left of a wall beside a door that begins at ``hinge`` and runs ``way`` for ``width`` metres."""
    low, high = sorted(((end - hinge) / way).real for end in piece)
    start, end = sorted(piece, key=lambda point: ((point - hinge) / way).real)
    left = []
    if low < -SHORTEST:
        left.append((start, start + (min(high, 0.0) - low) * way))
    if high > width + SHORTEST:
        left.append((end - (high - max(low, width)) * way, end))
    return left


def _near(segments: NDArray[np.complex128], at: complex, reach: float) -> NDArray[np.complex128]:
    """Return the segments whose bounding boxes come within ``reach`` of a point."""
    seen = segments - at
    near = (np.maximum(seen.real.min(axis=-1), -seen.real.max(axis=-1)) < reach) & (
        np.maximum(seen.imag.min(axis=-1), -seen.imag.max(axis=-1)) < reach
    )
    return segments[near]


def _crosses(segments: NDArray[np.complex128], place: complex, way: complex, half: complex, spare: float) -> bool:
    """Return whether a segment comes into a box: half its size as a complex number, and ``spare`` around it [m]."""
    seen = (segments - place) / way
    reach = half.real + spare, half.imag + spare
    start, run = seen[:, 0], seen[:, 1] - seen[:, 0]
    apart = (seen.real.min(axis=-1) > reach[0]) | (seen.real.max(axis=-1) < -reach[0])
    apart |= (seen.imag.min(axis=-1) > reach[1]) | (seen.imag.max(axis=-1) < -reach[1])
    across = np.abs(start.real * run.imag - start.imag * run.real)
    apart |= across > reach[0] * np.abs(run.imag) + reach[1] * np.abs(run.real)
    return bool((~apart).any())


def _wall(name: str, start: complex, end: complex) -> Wall:
    return Wall(id=name, start=_rounded(start), end=_rounded(end), thickness=WALL_THICKNESS, height=WALL_HEIGHT)


def _rounded(place: complex) -> tuple[float, float]:
    """Return x, y to a tenth of a millimetre."""
    return round(float(place.real), 4), round(float(place.imag), 4)
