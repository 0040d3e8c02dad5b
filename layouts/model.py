"""The ``Layout``: a hall and everything in it that stands still, in frame ``map`` (REP-105), SI units, z up.

The hall is the rectangle [0, length] x [0, width]; x runs along the length, y along the width.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from ..common.config import StrictModel, load_model, save_model

MAX_LENGTH = 10_000.0
"""Greatest size and coordinate [m]; checks and drawings are not made for what is larger than any hall."""

Positive = Annotated[float, Field(gt=0, le=MAX_LENGTH)]
Coordinate = Annotated[float, Field(ge=-MAX_LENGTH, le=MAX_LENGTH)]
Angle = Annotated[float, Field(ge=-2 * math.pi, le=2 * math.pi)]
Point = tuple[Coordinate, Coordinate]
Channel = Annotated[int, Field(ge=0, le=255)]
Some = Field(default=(), max_length=20_000)
Many = Field(default=(), max_length=500_000)
Identifier = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:-]+$")]

Label = Annotated[str, Field(max_length=256)]
"""A name as a site gives it."""

GoodClass = Literal["pallet", "small_load_carrier", "stillage", "box", "crate", "cone"]
"""Classes that a good may have; ids in ``floorcast.common.classes``."""


class Placed(StrictModel):
    """Something with an id and a planar pose: x, y [m], yaw [rad] in ``map``."""

    id: Identifier
    x: Coordinate
    y: Coordinate
    yaw: Angle = 0.0


class Wall(StrictModel):
    """A straight wall between two points [m] of its centre line."""

    id: Identifier
    start: Point
    end: Point
    thickness: Positive = 0.2
    height: Positive = 6.0


class Column(Placed):
    """A building column: square of ``width`` [m], or round with that diameter."""

    width: Positive = 0.4
    height: Positive = 6.0
    round: bool = False


class Rack(Placed):
    """A row of pallet racking, centred on its pose, bays side by side along its local x axis.

    ``level_heights`` are the heights [m] of the tops of the beams; goods also stand on the floor below the first beam
    if ``floor_level`` is true.
    """

    bays: int = Field(gt=0, le=400)
    bay_width: Positive = 2.8
    depth: Positive = 1.1
    level_heights: tuple[Positive, ...] = Field(default=(1.6, 3.2), max_length=40)
    height: Positive = 4.4
    upright_width: Positive = 0.1
    beam_height: Positive = 0.12
    floor_level: bool = True

    @property
    def length(self) -> float:
        """Length of the row along its local x axis [m], outer uprights included."""
        return self.bays * self.bay_width + self.upright_width


class Bend(StrictModel):
    """A corner of a conveyor's centre line: where its two straight legs would meet [m], rounded by ``radius`` [m]."""

    x: Coordinate
    y: Coordinate
    radius: Positive


class PhotoEye(StrictModel):
    """A light barrier across a conveyor, ``at`` [m] along its centre line from the start."""

    id: Identifier
    at: float = Field(ge=0, le=MAX_LENGTH)


class Diverter(StrictModel):
    """A second outlet at the end of a conveyor, and which goods take it in place of ``next``.

    ``alternate``: every second good. ``share``: each with that chance. ``heavier``: those above ``mass`` [kg].
    ``overflow``: those that find no room on ``next``.
    """

    to: Identifier
    rule: Literal["alternate", "share", "heavier", "overflow"] = "alternate"
    share: float = Field(default=0.5, ge=0, le=1)
    mass: float = Field(default=10.0, ge=0, le=100_000)


class Conveyor(StrictModel):
    """A conveyor from ``start`` to ``end`` [m], moving that way at ``speed`` [m/s] along its centre line.

    The centre line is straight, or goes round ``bends`` in their order. ``height`` [m] is that of the top of the side
    rails, which stand ``guide_height`` [m] above what carries the goods, if that is 0.02 m.
    """

    id: Identifier
    start: Point
    end: Point
    width: Positive = 0.6
    height: Positive = 0.75
    speed: float = Field(default=0.5, ge=0, le=100)
    kind: Literal["belt", "roller"] = "belt"
    bends: tuple[Bend, ...] = Field(default=(), max_length=100)
    next: Identifier | None = None
    """What it feeds: another conveyor, at its start or from the side, or a station, where a robot or person takes goods
    away. Left out: goods wait at the end, or fall off it (``at_end``)."""
    divert: Diverter | None = None
    induct: Identifier | None = None
    """Station at which robots and people put goods on its start."""
    merge: Literal["zipper", "priority"] = "zipper"
    """How those that meet on this conveyor take turns: one after the other, or the higher ``priority`` first."""
    priority: int = Field(default=0, ge=-1000, le=1000)
    zone_length: Positive | None = None
    """Length of its accumulation zones [m]; each holds one good, and stops while the next one is occupied."""
    eyes: tuple[PhotoEye, ...] = Field(default=(), max_length=1000)
    friction: float = Field(default=0.5, gt=0, le=2)
    """Coefficient between goods and what carries them [-]."""
    guide_height: float = Field(default=0.02, gt=0, le=1)
    at_end: Literal["hold", "fall"] = "hold"

    @model_serializer(mode="wrap")
    def _without_what_is_not_said(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A conveyor that says nothing of these fields is written, and keeps the hash, as before there were any.
        content: dict[str, Any] = handler(self)
        return {
            name: value
            for name, value in content.items()
            if name in _CONVEYOR_ALWAYS or getattr(self, name) != type(self).model_fields[name].default
        }


_CONVEYOR_ALWAYS = ("id", "start", "end", "width", "height", "speed")


class Station(Placed):
    """A place where a robot picks up or drops goods: the pose that ``base_link`` must reach."""

    kind: Literal["pick", "drop", "pack"] = "pick"


class DockDoor(Placed):
    """A door in an outer wall; yaw points into the hall."""

    width: Positive = 3.0
    height: Positive = 3.2


class Charger(Placed):
    """A charging station: the box stands at the pose, the robot docks in front of it (local +x)."""

    width: Positive = 0.5
    depth: Positive = 0.3
    height: Positive = 0.6


class Good(StrictModel):
    """A carton, carrier or pallet: pose of the centre of its underside [m], size along its own axes [m], mass [kg].

    ``rack`` names the rack that carries it; goods without a rack stand loose and may be pushed.
    """

    id: Identifier
    kind: GoodClass = "box"
    x: Coordinate
    y: Coordinate
    z: float = Field(default=0.0, ge=0, le=MAX_LENGTH)
    yaw: Angle = 0.0
    size: tuple[Positive, Positive, Positive]
    mass: float = Field(default=8.0, gt=0, le=100_000)
    color: tuple[Channel, Channel, Channel] = (181, 136, 92)
    rack: Identifier | None = None


class Aisle(StrictModel):
    """The centre line [m] of a lane that robots use, and its clear width [m]."""

    id: Identifier
    start: Point
    end: Point
    width: Positive
    one_way: bool = False


ZoneKind = Literal["bulk", "pick", "packing", "docks", "staging", "charging"]


class Zone(StrictModel):
    """A part of the floor with one use: its corners [m] in order, a simple polygon.

    Bulk storage, pick faces, packing, the strip in front of dock doors, lanes where goods wait for a truck, charging.
    Zones are told to nobody's wheels: they stand in no way and may lie within each other.
    """

    id: Identifier
    kind: ZoneKind
    corners: tuple[Point, ...] = Field(min_length=3, max_length=256)


class Waypoint(StrictModel):
    """A point [m] of a site's own route graph; ``yaw`` [rad] where robots must face a way, ``name`` what the site calls
    it."""

    id: Identifier
    x: Coordinate
    y: Coordinate
    yaw: Angle | None = None
    name: Label = ""


class Lane(StrictModel):
    """A stretch of a site's own route graph, from waypoint ``start`` to waypoint ``end``, straight.

    ``max_speed`` [m/s] holds where given. ``one_way``: it is driven from start to end only.
    """

    id: Identifier
    start: Identifier
    end: Identifier
    one_way: bool = False
    max_speed: float | None = Field(default=None, gt=0, le=100)
    name: Label = ""


class Obstacle(StrictModel):
    """Something that stands still and has no class of its own: a box, or an upright cylinder, in ``map``.

    The pose is that of its middle: x, y, z [m], and ``roll``, ``pitch``, ``yaw`` [rad] about the fixed axes x, y, z
    (REP-103). ``size`` is along its own axes [m]; of a cylinder the first is the diameter. ``part_of`` names what it is
    part of, where one thing is made of several.
    """

    id: Identifier
    x: Coordinate
    y: Coordinate
    z: Coordinate
    roll: Angle = 0.0
    pitch: Angle = 0.0
    yaw: Angle = 0.0
    size: tuple[Positive, Positive, Positive]
    shape: Literal["box", "cylinder"] = "box"
    color: tuple[Channel, Channel, Channel] = (150, 152, 156)
    part_of: Label = ""


class SourceFrame(StrictModel):
    """Where a layout was imported from, and how the source's frame lies in ``map``.

    A point p of the source, in the source's own unit, is at ``R(yaw) (scale * p) + (x, y)``, with its y axis turned
    over first if ``mirrored`` (pictures count rows downwards).
    """

    file: Label
    format: Label
    name: Label = ""
    x: float = 0.0
    y: float = 0.0
    yaw: Angle = 0.0
    scale: Annotated[float, Field(gt=0)] = 1.0
    mirrored: bool = False


class Light(StrictModel):
    """A ceiling light: position [m] and luminous power relative to a standard lamp (1.0).

    ``temperature`` is its colour temperature [K], ``beam_angle`` the full angle at half its intensity [rad].
    """

    position: tuple[Coordinate, Coordinate, Positive]
    power: float = Field(default=1.0, ge=0, le=1e6)
    temperature: float = Field(default=4000.0, ge=2000, le=12000)
    beam_angle: float = Field(default=1.9, ge=0.1, le=math.pi)
    lit: bool = True


class Layout(StrictModel):
    """A hall, static. See the module docstring for the frame."""

    schema_version: Literal[1] = 1
    name: Annotated[str, Field(min_length=1, max_length=128)] = "hall"
    length: Positive
    width: Positive
    height: Positive = 7.0
    walls: tuple[Wall, ...] = Many
    columns: tuple[Column, ...] = Some
    racks: tuple[Rack, ...] = Some
    conveyors: tuple[Conveyor, ...] = Some
    stations: tuple[Station, ...] = Some
    docks: tuple[DockDoor, ...] = Field(default=(), max_length=1000)
    chargers: tuple[Charger, ...] = Some
    aisles: tuple[Aisle, ...] = Some
    lights: tuple[Light, ...] = Some
    obstacles: tuple[Obstacle, ...] = Many
    waypoints: tuple[Waypoint, ...] = Many
    lanes: tuple[Lane, ...] = Many
    zones: tuple[Zone, ...] = Field(default=(), max_length=2000)
    source: SourceFrame | None = None
    goods: tuple[Good, ...] = Many

    @model_serializer(mode="wrap")
    def _without_what_is_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # A layout without zones keeps the hash that it had before there were any.
        content: dict[str, Any] = handler(self)
        if not self.zones:
            content.pop("zones", None)
        return content

    @property
    def area(self) -> float:
        """Floor area [m^2]."""
        return self.length * self.width

    @staticmethod
    def load(path: str | Path) -> Layout:
        """Read a layout from YAML; raises InputError naming file, line and field."""
        return load_model(path, Layout)

    def save(self, path: str | Path) -> None:
        """Write the layout as YAML, whole or not at all."""
        save_model(self, path)
