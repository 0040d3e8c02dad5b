"""From a ``Layout`` to solids: the one place that decides what racks, goods, conveyors and doors look like.

Physics, sensors, the occupancy grid and the checks all work on these arrays, so they agree on every shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ..common.errors import InputError
from ..common.geometry import quaternion_from_rpy
from ..common.primitives import BOX, CYLINDER, PLANE, PrimitiveBuilder, Primitives
from .conveyors import SURFACE_DROP, Piece, conveyor_pieces, line_pose, rail_openings
from .model import Charger, Column, Conveyor, DockDoor, Good, Layout, Obstacle, Rack, Wall

Color = tuple[int, int, int]

FLOOR_COLOR: Color = (168, 168, 162)
WALL_COLOR: Color = (222, 222, 214)
COLUMN_COLOR: Color = (196, 198, 200)
UPRIGHT_COLOR: Color = (36, 82, 148)
BEAM_COLOR: Color = (226, 112, 32)
DECK_COLOR: Color = (150, 152, 156)
BELT_COLOR: Color = (46, 48, 52)
ROLLER_COLOR: Color = (134, 138, 142)
FRAME_COLOR: Color = (120, 134, 148)
EYE_COLOR: Color = (214, 186, 30)
CHARGER_COLOR: Color = (38, 132, 92)
DOOR_COLOR: Color = (176, 190, 206)

DECK_THICKNESS = 0.03
"""Thickness of the shelf on a pair of beams [m]."""
BELT_THICKNESS = 0.12
"""Height of a conveyor's bed [m]."""
LEG_SPACING = 2.0
"""Largest distance between two pairs of conveyor legs [m]."""
ARC_STEP = 0.2
"""Largest angle [rad] of a curved conveyor that one straight box stands for."""
DOOR_PROUD = 0.03
"""How far a dock door stands out of the wall's inner face [m], so that rays meet the door first."""


@dataclass(frozen=True)
class LayoutSolids:
    """Everything of a layout that has a shape.

    Attributes:
        static: solids in ``map``: floor (a PLANE, instance 0), walls, columns, racks, racked goods (each with its own
            instance id), conveyors, chargers, dock doors, obstacles. ``static.body`` is the physics group: 0 is the
            floor, every wall, column, conveyor, charger and door is one group, a rack row with all its goods is one
            group, and so are obstacles that are part of one thing, which also share an instance id.
        group_class: class name by group, for example "rack".
        group_id: layout id by group, for example "R03".
        loose: solids of the goods without a rack, each in its own body frame (axes of the good, origin at its centre
            of mass); ``loose.body`` counts the goods from 0 to L - 1.
        loose_pose: (L, 7) float64 x, y, z [m], qx, qy, qz, qw of those body frames in ``map``.
        loose_mass: (L,) float64 [kg].
        loose_id: layout ids of the loose goods.
        object_id: layout id by instance id, for every instance id above 0.
        next_instance_id: the first free instance id, for robots and people.
        lamps: (L, 6) float64 x, y, z [m], power, colour temperature [K] and beam angle [rad] of the lights that are on.
    """

    static: Primitives
    group_class: tuple[str, ...]
    group_id: tuple[str, ...]
    loose: Primitives
    loose_pose: NDArray[np.float64]
    loose_mass: NDArray[np.float64]
    loose_id: tuple[str, ...]
    object_id: dict[int, str]
    next_instance_id: int
    lamps: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 6)))


@dataclass(frozen=True)
class Part:
    """One solid of an object, upright, in the object's own axes.

    Attributes:
        kind: BOX or CYLINDER.
        size: as in ``Primitives`` [m].
        position: centre [m] from the object's origin (for goods, the centre of the underside).
        color: sRGB.
    """

    kind: int
    size: tuple[float, float, float]
    position: tuple[float, float, float]
    color: Color

    @property
    def volume(self) -> float:
        """Volume [m^3]."""
        if self.kind == CYLINDER:
            return math.pi * self.size[0] ** 2 * 2.0 * self.size[1]
        return 8.0 * self.size[0] * self.size[1] * self.size[2]


def layout_solids(layout: Layout) -> LayoutSolids:
    """Build the solids of a layout.

    Args:
        layout: need not be valid in the sense of ``check_layout``, but every racked good must name a rack of it.

    Returns:
        The solids; the same layout always gives the same arrays in the same order.

    Raises:
        InputError: a good names a rack that the layout does not have.
    """
    collector = _Collector()
    for wall in layout.walls:
        collector.add_stuff("wall", wall.id, wall_parts(wall), *_middle(wall.start, wall.end))
    for column in layout.columns:
        collector.add_object("column", column.id, column_parts(column), column.x, column.y, column.yaw)
    rack_group = {
        rack.id: collector.add_object("rack", rack.id, rack_parts(rack), rack.x, rack.y, rack.yaw)
        for rack in layout.racks
    }
    for good in layout.goods:
        if good.rack is not None:
            collector.add_racked_good(good, rack_group)
    openings = rail_openings(layout)
    for index, conveyor in enumerate(layout.conveyors):
        collector.add_conveyor(conveyor, openings.get(index, []))
    for charger in layout.chargers:
        collector.add_object("charger", charger.id, charger_parts(charger), charger.x, charger.y, charger.yaw)
    for door in layout.docks:
        collector.add_object("dock_door", door.id, dock_parts(door), door.x, door.y, door.yaw)
    for obstacle in layout.obstacles:
        collector.add_obstacle(obstacle)
    loose_goods = [good for good in layout.goods if good.rack is None]
    for good in loose_goods:
        collector.add_loose_good(good)
    return LayoutSolids(
        static=collector.static.build(),
        group_class=tuple(collector.group_class),
        group_id=tuple(collector.group_id),
        loose=collector.loose.build(),
        loose_pose=np.array(collector.loose_pose, dtype=np.float64).reshape(len(loose_goods), 7),
        loose_mass=np.array([good.mass for good in loose_goods], dtype=np.float64),
        loose_id=tuple(good.id for good in loose_goods),
        object_id=collector.object_id,
        next_instance_id=len(collector.object_id) + 1,
        lamps=np.array(
            [
                [*light.position, light.power, light.temperature, light.beam_angle]
                for light in layout.lights
                if light.lit
            ],
            dtype=np.float64,
        ).reshape(-1, 6),
    )


def wall_parts(wall: Wall) -> list[Part]:
    """Return the solids of a wall about the middle of its foot line, x along the wall."""
    length = math.dist(wall.start, wall.end)
    return [_box((length, wall.thickness, wall.height), (0.0, 0.0, 0.0), WALL_COLOR)]


def column_parts(column: Column) -> list[Part]:
    """Return the solids of a column about the centre of its foot."""
    if column.round:
        half = 0.5 * column.height
        return [Part(CYLINDER, (0.5 * column.width, half, 0.0), (0.0, 0.0, half), COLUMN_COLOR)]
    return [_box((column.width, column.width, column.height), (0.0, 0.0, 0.0), COLUMN_COLOR)]


def rack_parts(rack: Rack) -> list[Part]:
    """Return the solids of an empty rack about the centre of its foot: posts, and for each level two beams and a deck.

    Beams and decks run through the whole row: a row of ten bays with two levels needs 28 solids.
    """
    run, width, depth = rack.bays * rack.bay_width, rack.upright_width, rack.depth
    post_depth = min(0.1, 0.4 * depth)
    post_y, beam_y = 0.5 * (depth - post_depth), 0.5 * depth - 0.03
    parts = []
    for frame in range(rack.bays + 1):
        x = -0.5 * run + frame * rack.bay_width
        parts += [_box((width, post_depth, rack.height), (x, side * post_y, 0.0), UPRIGHT_COLOR) for side in (-1, 1)]
    for top in rack.level_heights:
        foot = top - rack.beam_height
        parts += [_box((run, 0.05, rack.beam_height), (0.0, side * beam_y, foot), BEAM_COLOR) for side in (-1, 1)]
        deck_depth = 2.0 * (beam_y - 0.025)
        parts.append(_box((run, deck_depth, DECK_THICKNESS), (0.0, 0.0, top - DECK_THICKNESS), DECK_COLOR))
    return parts


def conveyor_stretches(
    conveyor: Conveyor, openings: Sequence[tuple[int, float, float]] = ()
) -> list[tuple[tuple[float, float, float], list[Part]]]:
    """Return the solids of a conveyor: bed, side rails, legs and photo-eyes, one straight stretch after the other.

    Args:
        conveyor: curves become boxes of ``ARC_STEP`` at most.
        openings: where rails are left out, as in ``conveyors.rail_openings``.

    Returns:
        For each stretch the pose x, y [m], yaw [rad] in ``map`` of the middle of its foot line, x along the motion,
        and the solids about it.
    """
    pieces = conveyor_pieces(conveyor)
    stretches, start = [], 0.0
    for piece in pieces:
        count = max(1, math.ceil(abs(piece.curvature) * piece.length / ARC_STEP))
        for number in range(count):
            pose, length = _chord(piece, number, count)
            if not conveyor.bends:
                pose = _middle(conveyor.start, conveyor.end)
            # Boxes on the chords of an arc gape outside: each reaches as far as the outer rims of its neighbours.
            spare = conveyor.width * math.tan(0.5 * abs(piece.curvature) * piece.length / count)
            cut = [
                (side, low - start - 0.5 * length, high - start - 0.5 * length)
                for side, low, high in openings
                if low < start + length and high > start
            ]
            legs = 0 if count > 1 and number != count // 2 else 1
            stretches.append((pose, _stretch_parts(conveyor, length, spare, cut, legs)))
            start += piece.length / count
    rail = 0.5 * (conveyor.width - belt_width(conveyor))
    for eye in conveyor.eyes:
        foot = rail_top(conveyor)
        parts = [_box((0.05, rail, 0.06), (0.0, side * 0.5 * (conveyor.width - rail), foot), EYE_COLOR)
                 for side in (-1, 1)]  # fmt: skip
        stretches.append((line_pose(pieces, eye.at), parts))
    return stretches


def belt_width(conveyor: Conveyor) -> float:
    """Return the width [m] between the side rails."""
    return max(conveyor.width - 0.1, 0.5 * conveyor.width)


def rail_top(conveyor: Conveyor) -> float:
    """Return the height [m] of the top of the side rails."""
    return conveyor.height - SURFACE_DROP + conveyor.guide_height


def _chord(piece: Piece, number: int, count: int) -> tuple[tuple[float, float, float], float]:
    """Return the middle and the length [m] of the line under part ``number`` of ``count`` of a piece."""
    x0, y0, _ = piece.pose(piece.length * number / count)
    x1, y1, _ = piece.pose(piece.length * (number + 1) / count)
    return _middle((x0, y0), (x1, y1)), math.dist((x0, y0), (x1, y1))


def _stretch_parts(
    conveyor: Conveyor, length: float, spare: float, openings: Sequence[tuple[int, float, float]], legs: int
) -> list[Part]:
    """Return the solids of a straight stretch about the middle of its foot line."""
    bed = min(BELT_THICKNESS, 0.5 * conveyor.height)
    foot = conveyor.height - bed
    width = belt_width(conveyor)
    rail = 0.5 * (conveyor.width - width)
    color = BELT_COLOR if conveyor.kind == "belt" else ROLLER_COLOR
    parts = [_box((length + spare, width, bed - SURFACE_DROP), (0.0, 0.0, foot), color)]
    side_y = 0.5 * (conveyor.width - rail)
    height = bed - SURFACE_DROP + conveyor.guide_height
    half = 0.5 * (length + spare)
    for side in (-1, 1):
        for low, high in _uncut(half, [(a, b) for which, a, b in openings if which == side]):
            parts.append(_box((high - low, rail, height), (0.5 * (low + high), side * side_y, foot), FRAME_COLOR))
    if not legs:
        return parts
    spans = max(1, math.ceil((length - 0.4) / LEG_SPACING))
    reach = 0.5 * length - min(0.2, 0.25 * length)
    for index in range(spans + 1):
        x = -reach + 2.0 * reach * index / spans
        parts += [_box((rail, rail, foot), (x, side * side_y, 0.0), FRAME_COLOR) for side in (-1, 1)]
    return parts


def _uncut(half: float, openings: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return what openings leave of the span from -half to half [m]."""
    left, at = [], -half
    for low, high in sorted(openings):
        if low > at:
            left.append((at, min(low, half)))
        at = max(at, high)
    if at < half:
        left.append((at, half))
    return [(low, high) for low, high in left if high - low > 0.01]


def charger_parts(charger: Charger) -> list[Part]:
    """Return the solids of a charger about the centre of its foot, the robot's side at +x."""
    contact = 0.03
    body = charger.depth - contact
    return [
        _box((body, charger.width, charger.height), (-0.5 * contact, 0.0, 0.0), CHARGER_COLOR),
        _box(
            (contact, 0.6 * charger.width, 0.3 * charger.height),
            (0.5 * body, 0.0, 0.2 * charger.height),
            (24, 26, 28),
        ),
    ]


def dock_parts(door: DockDoor) -> list[Part]:
    """Return the solids of a closed dock door about its pose on the inner face of the wall, x into the hall."""
    thickness = DOOR_PROUD + 0.05
    return [_box((thickness, door.width, door.height), (DOOR_PROUD - 0.5 * thickness, 0.0, 0.0), DOOR_COLOR)]


def good_parts(good: Good) -> list[Part]:
    """Return the solids of a good about the centre of its underside.

    Cartons, carriers and crates are one box. A racked pallet is one box too, since there are hundreds; a loose one has
    a deck on three runners. A stillage has a foot; a cone is a foot plate with three stacked cylinders.
    """
    length, width, height = good.size
    dark = _shade(good.color, 0.6)
    if good.kind == "pallet" and good.rack is None:
        deck, runner = 0.3 * height, 0.16 * width
        runners = [_box((length, runner, height - deck), (0.0, y, 0.0), dark) for y in _spread(width - runner)]
        return [_box((length, width, deck), (0.0, 0.0, height - deck), good.color), *runners]
    if good.kind == "stillage":
        foot = min(0.1, 0.25 * height)
        return [
            _box((0.9 * length, 0.9 * width, foot), (0.0, 0.0, 0.0), dark),
            _box((length, width, height - foot), (0.0, 0.0, foot), good.color),
        ]
    if good.kind == "cone":
        plate, third = 0.06 * height, 0.94 * height / 3.0
        radius = 0.36 * min(length, width)
        rings = [
            Part(
                CYLINDER,
                (radius * scale, 0.5 * third, 0.0),
                (0.0, 0.0, plate + (index + 0.5) * third),
                (236, 236, 230) if index == 1 else good.color,
            )
            for index, scale in enumerate((1.0, 0.68, 0.36))
        ]
        return [_box((length, width, plate), (0.0, 0.0, 0.0), (40, 40, 42)), *rings]
    return [_box((length, width, height), (0.0, 0.0, 0.0), good.color)]


def obstacle_solid(
    obstacle: Obstacle,
) -> tuple[int, tuple[float, float, float], tuple[float, float, float], NDArray[np.float64]]:
    """Return kind, size and position [m] (as in ``Primitives``) and quaternion (4,) xyzw of an obstacle in ``map``."""
    x, y, z = (0.5 * edge for edge in obstacle.size)
    box = obstacle.shape == "box"
    quaternion = quaternion_from_rpy(obstacle.roll, obstacle.pitch, obstacle.yaw)
    return (
        BOX if box else CYLINDER,
        (x, y, z) if box else (x, z, 0.0),
        (obstacle.x, obstacle.y, obstacle.z),
        quaternion,
    )


class _Collector:
    """Hands out groups and instance ids while solids are collected."""

    def __init__(self) -> None:
        self.static = PrimitiveBuilder()
        self.loose = PrimitiveBuilder()
        self.group_class = ["floor"]
        self.group_id = ["floor"]
        self.object_id: dict[int, str] = {}
        self.loose_pose: list[tuple[float, ...]] = []
        self._things: dict[str, tuple[int, int]] = {}
        self.static.add(PLANE, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), class_name="floor", color=FLOOR_COLOR)

    def add_stuff(self, class_name: str, name: str, parts: Sequence[Part], x: float, y: float, yaw: float) -> int:
        """Add a group without instance id; returns the group."""
        return self._add_group(class_name, name, parts, (x, y, yaw), 0)

    def add_object(self, class_name: str, name: str, parts: Sequence[Part], x: float, y: float, yaw: float) -> int:
        """Add a group that is one countable object; returns the group."""
        return self._add_group(class_name, name, parts, (x, y, yaw), self._instance(name))

    def add_conveyor(self, conveyor: Conveyor, openings: Sequence[tuple[int, float, float]]) -> None:
        """Add a conveyor, stretch by stretch, as one group and one object."""
        group, instance = self._group("conveyor", conveyor.id), self._instance(conveyor.id)
        for pose, parts in conveyor_stretches(conveyor, openings):
            _place(self.static, parts, (*pose, 0.0), "conveyor", instance, group)

    def add_racked_good(self, good: Good, rack_group: dict[str, int]) -> None:
        """Add a good to the group of its rack."""
        group = rack_group.get(good.rack or "")
        if group is None:
            raise InputError(
                f"good '{good.id}' names rack '{good.rack}', which the layout does not have",
                where="goods",
                mend="name one of the racks, or leave out 'rack' for a loose good",
            )
        place = (good.x, good.y, good.yaw, good.z)
        _place(self.static, good_parts(good), place, good.kind, self._instance(good.id), group)

    def add_obstacle(self, obstacle: Obstacle) -> None:
        """Add an obstacle; those of one ``part_of`` are one group and one object."""
        thing = self._things.get(obstacle.part_of) if obstacle.part_of else None
        if thing is None:
            name = obstacle.part_of or obstacle.id
            thing = self._group("obstacle", name), self._instance(name)
            if obstacle.part_of:
                self._things[obstacle.part_of] = thing
        kind, size, position, quaternion = obstacle_solid(obstacle)
        self.static.add(
            kind,
            size,
            position,
            class_name="obstacle",
            instance_id=thing[1],
            body=thing[0],
            color=obstacle.color,
            quaternion=quaternion.tolist(),
        )

    def add_loose_good(self, good: Good) -> None:
        """Add a good as a moving body of its own."""
        parts = good_parts(good)
        total = sum(part.volume for part in parts)
        # Every part is taken to be of one density; only z matters, since all shapes are symmetric about their axis.
        height = sum(part.volume * part.position[2] for part in parts) / total
        _place(self.loose, parts, (0.0, 0.0, 0.0, -height), good.kind, self._instance(good.id), len(self.loose_pose))
        half = 0.5 * good.yaw
        self.loose_pose.append((good.x, good.y, good.z + height, 0.0, 0.0, math.sin(half), math.cos(half)))

    def _add_group(
        self, class_name: str, name: str, parts: Sequence[Part], pose: tuple[float, float, float], instance: int
    ) -> int:
        group = self._group(class_name, name)
        _place(self.static, parts, (*pose, 0.0), class_name, instance, group)
        return group

    def _group(self, class_name: str, name: str) -> int:
        self.group_class.append(class_name)
        self.group_id.append(name)
        return len(self.group_class) - 1

    def _instance(self, name: str) -> int:
        instance = len(self.object_id) + 1
        self.object_id[instance] = name
        return instance


def _place(
    builder: PrimitiveBuilder,
    parts: Sequence[Part],
    place: tuple[float, float, float, float],
    class_name: str,
    instance: int,
    body: int,
) -> None:
    """Add parts at the pose x, y [m], yaw [rad], height of the origin [m]."""
    x, y, yaw, z = place
    cos, sin = math.cos(yaw), math.sin(yaw)
    quaternion = (0.0, 0.0, math.sin(0.5 * yaw), math.cos(0.5 * yaw))
    add = partial(builder.add, class_name=class_name, instance_id=instance, body=body, quaternion=quaternion)
    for part in parts:
        px, py, pz = part.position
        add(part.kind, part.size, (x + cos * px - sin * py, y + sin * px + cos * py, z + pz), color=part.color)


def _box(full: tuple[float, float, float], foot: tuple[float, float, float], color: Color) -> Part:
    """Return a box from its full size and the centre of its underside."""
    half = (0.5 * full[0], 0.5 * full[1], 0.5 * full[2])
    return Part(BOX, half, (foot[0], foot[1], foot[2] + half[2]), color)


def _middle(start: tuple[float, float], end: tuple[float, float]) -> tuple[float, float, float]:
    """Return the pose of a line's middle, x along the line."""
    yaw = math.atan2(end[1] - start[1], end[0] - start[0])
    return 0.5 * (start[0] + end[0]), 0.5 * (start[1] + end[1]), yaw


def _spread(width: float) -> tuple[float, float, float]:
    return -0.5 * width, 0.0, 0.5 * width


def _shade(color: Color, factor: float) -> Color:
    return int(color[0] * factor), int(color[1] * factor), int(color[2] * factor)
