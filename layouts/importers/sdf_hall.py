"""From the solids and lamps of a world to a hall: which of them are its floor, roof, walls and obstacles."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...common.errors import InputError
from ...common.mesh import TriangleMesh
from ..model import MAX_LENGTH, Layout, Light, Obstacle, SourceFrame, Wall
from .boxes import mesh_boxes
from .names import Names
from .report import Leftovers

Floats = NDArray[np.float64]
Color = tuple[int, int, int]

WIDE = 0.5
"""Share of the hall's floor from which on something flat is its ground or its roof, and a box may be its shell."""
MAX_SHELLS = 16
"""Boxes that are looked at as shells, the largest first."""
GROUND_THICKNESS = 1.0
GROUND_REACH = 0.3
"""Greatest thickness of a ground, and how far from z = 0 its top may be [m]."""
OVERHEAD = 2.2
"""Height [m] from which on something wide is a roof."""
WALL_LENGTH, WALL_HEIGHT, WALL_THICKNESS, WALL_SLIMNESS = 2.0, 2.0, 0.5, 4.0
"""Least length and height, greatest thickness of a wall [m], and how many times as long as thick it is at least."""
FOOT = 0.1
"""How far above the floor a wall may begin [m]."""
BURIED = 0.005
"""Tops up to which something is in the floor [m]."""
MARGIN = 2.0
"""Floor around what stands in a world without walls and without a ground that ends [m]."""
STANDARD_DISTANCE, STANDARD_LIGHT = 6.0, 0.5
"""A lamp of power 1 gives this share of full light straight below it at this distance [m]."""
MAX_POWER = 20.0
MAX_DROPS = 10
"""Solids below each other that a lamp is taken out of."""
HANGING = 0.05
"""How far below what it was in a lamp hangs [m]."""


@dataclass(frozen=True)
class Solid:
    """A solid in the world's frame.

    Attributes:
        kind: "box" or "cylinder".
        size: (3,) full size along its own axes [m]; of a cylinder its diameter twice, and its length.
        position: (3,) of its middle [m]. rotation: (3, 3), columns are its axes.
        thing: what it is part of. color: sRGB, or None if none is told.
        mesh, mesh_place: the mesh that it alone stands for, if it does, and that mesh's place (4, 4) in the world.
    """

    kind: str
    size: Floats
    position: Floats
    rotation: Floats
    thing: str
    color: Color | None
    mesh: TriangleMesh | None = None
    mesh_place: Floats | None = None

    def bounds(self) -> tuple[Floats, Floats]:
        """Return the lower and upper corner (3,) [m] of the box along the world's axes that holds it."""
        if self.kind == "box":
            reach = np.abs(self.rotation) @ (0.5 * self.size)
        else:
            axis = self.rotation[:, 2]
            reach = 0.5 * self.size[2] * np.abs(axis) + 0.5 * self.size[0] * np.sqrt(np.maximum(1.0 - axis**2, 0.0))
        return self.position - reach, self.position + reach

    @property
    def stands(self) -> bool:
        """Whether its third axis is upright."""
        return bool(abs(self.rotation[2, 2]) > 1.0 - 1e-6)

    def holds(self, points: Floats) -> NDArray[np.bool_]:
        """Return which points (N, 3) are in the box of its size."""
        inside = np.abs((points - self.position) @ self.rotation) <= 0.5 * self.size
        return np.asarray(inside.all(axis=1))


@dataclass(frozen=True)
class Lamp:
    """A point or spot light in the world's frame.

    ``brightness`` is what it gives near by, over ``fall`` = (c, l, q) as c + l d + q d^2 at the distance d [m];
    ``angle`` [rad] is the full angle of its beam.
    """

    position: Floats
    brightness: float
    fall: tuple[float, float, float]
    angle: float
    lit: bool


def build(
    solids: Sequence[Solid],
    lamps: Sequence[Lamp],
    grounds: Sequence[float],
    *,
    leftovers: Leftovers,
    name: str,
    file: str,
) -> Layout:
    """Return the layout of a world.

    Args:
        solids: collision shapes. lamps: lights. grounds: heights of endless floors [m].
        leftovers: gets what has no place in the layout. name: of the world. file: where it was read from.

    Raises:
        InputError: nothing stands on a floor, or the hall would be larger than a layout may be.
    """
    if not solids:
        raise InputError(
            "there is nothing solid in the world", where=file, mend="its models must have collision shapes"
        )
    solids = _opened(solids)
    floors = _floors(solids)
    tops = [float(solids[index].bounds()[1][2]) for index in floors]
    ground = max([*tops, *grounds], default=0.0)
    if abs(ground) > 1e-3:
        leftovers.add("height of the ground, which is z = 0 here", f"{ground:.3f} m")
    lift = np.array([0.0, 0.0, -ground])
    extent = _extent([solids[index] for index in floors])
    standing = [replace(s, position=s.position + lift) for k, s in enumerate(solids) if k not in floors]
    low, high = _extent(standing) if standing else extent
    kept, ceiling = [], 0.0
    for solid in standing:
        bottom, top = solid.bounds()
        if top[2] <= BURIED:
            leftovers.add("shape in the floor", solid.thing)
        elif bottom[2] >= OVERHEAD and _covers(solid, low, high):
            ceiling = max(ceiling, float(bottom[2]))
            leftovers.add("roof, which halls have anyhow", solid.thing)
        else:
            kept.append(solid)
    walls, obstacles = _sorted_out(kept)
    if kept:
        low, high = _extent(kept)
    if not walls and floors:
        low, high = np.minimum(low, extent[0]), np.maximum(high, extent[1])
    elif not walls:
        low, high = low - MARGIN, high + MARGIN
    length, width = float(high[0] - low[0]), float(high[1] - low[1])
    if max(length, width, float(high[2])) > MAX_LENGTH:
        raise InputError(
            f"the world is {length:.0f} x {width:.0f} m", where=file, mend=f"leave out what is beyond {MAX_LENGTH:g} m"
        )
    shift = np.array([-low[0], -low[1], 0.0])
    walls, obstacles = (
        [replace(solid, position=solid.position + shift) for solid in group] for group in (walls, obstacles)
    )
    kept = [*walls, *obstacles]
    hung = [replace(lamp, position=lamp.position + shift + lift) for lamp in lamps]
    lights = _lights(hung, kept, (length, width), leftovers)
    tall = [float(solid.bounds()[1][2]) for solid in kept] + [light.position[2] + 0.1 for light in lights]
    names = Names()
    return Layout(
        name=name[:128] or "world",
        length=length,
        width=width,
        height=max([3.0, ceiling, *tall]),
        walls=tuple(_wall(solid, names) for solid in walls),
        obstacles=tuple(_obstacle(solid, names) for solid in obstacles),
        lights=tuple(lights),
        source=SourceFrame(file=file[:256], format="sdf", name=name[:256], x=float(shift[0]), y=float(shift[1])),
    )


def _opened(solids: Sequence[Solid]) -> list[Solid]:
    """Replace each closed box of a mesh that holds most other things, which is a building's shell, by its sides."""
    middles = np.array([solid.position for solid in solids])
    low, high = _extent(solids)
    wide = [k for k, solid in enumerate(solids) if solid.mesh is not None and _covers(solid, low, high)]
    shells = set(sorted(wide, key=lambda k: -float(np.prod(solids[k].size)))[:MAX_SHELLS])
    things = np.unique([solid.thing for solid in solids], return_inverse=True)[1].reshape(-1)
    count = int(things.max())
    found: list[Solid] = []
    for index, solid in enumerate(solids):
        if index not in shells or solid.mesh is None or solid.mesh_place is None:
            found.append(solid)
            continue
        held = np.unique(things[solid.holds(middles) & (things != things[index])])
        if not len(held) or len(held) < WIDE * count:
            found.append(solid)
            continue
        turn, place = solid.mesh_place[:3, :3], solid.mesh_place[:3, 3]
        for box in mesh_boxes(solid.mesh, shell=True):
            position, rotation = turn @ box.centre + place, turn @ box.rotation
            found.append(replace(solid, size=box.size, position=position, rotation=rotation, mesh=None))
    return found


def _extent(solids: Sequence[Solid]) -> tuple[Floats, Floats]:
    """Return the corners (3,) [m] of the box that holds all solids; zeros if there are none."""
    bounds = [solid.bounds() for solid in solids] or [(np.zeros(3), np.zeros(3))]
    return np.min([low for low, _ in bounds], axis=0), np.max([high for _, high in bounds], axis=0)


def _covers(solid: Solid, low: Floats, high: Floats) -> bool:
    """Return whether a solid is wide against the floor between two corners."""
    bottom, top = solid.bounds()
    return bool(np.prod((top - bottom)[:2]) >= WIDE * np.prod((high - low)[:2]))


def _floors(solids: Sequence[Solid]) -> set[int]:
    """Return which solids are the ground: flat, wide, and near z = 0."""
    flat = {index for index, solid in enumerate(solids) if _is_flat(solid)}
    rest = [solid for index, solid in enumerate(solids) if index not in flat]
    low, high = _extent(rest or solids)
    return {index for index in flat if _covers(solids[index], low, high)}


def _is_flat(solid: Solid) -> bool:
    low, high = solid.bounds()
    flat = high[2] - low[2] <= min(GROUND_THICKNESS, 0.2 * float((high - low)[:2].min()))
    return bool(flat and abs(high[2]) <= GROUND_REACH)


def _sorted_out(solids: Sequence[Solid]) -> tuple[list[Solid], list[Solid]]:
    """Return walls and all else. Walls are parts of things that are mostly walls, not the panels of a shelf."""
    walls, parts = Counter(solid.thing for solid in solids if _is_wall(solid)), Counter(s.thing for s in solids)
    chosen = [_is_wall(solid) and 2 * walls[solid.thing] >= parts[solid.thing] for solid in solids]
    pairs = list(zip(solids, chosen, strict=True))
    return [solid for solid, wall in pairs if wall], [solid for solid, wall in pairs if not wall]


def _is_wall(solid: Solid) -> bool:
    """Return whether a solid is upright, long, high and thin, and stands on the floor."""
    if solid.kind != "box" or not solid.stands:
        return False
    low, high = solid.bounds()
    thin, long = sorted(solid.size[:2].tolist())
    slim = thin <= WALL_THICKNESS and long >= max(WALL_LENGTH, WALL_SLIMNESS * thin)
    return bool(slim and low[2] <= FOOT and high[2] >= WALL_HEIGHT)


def _wall(solid: Solid, names: Names) -> Wall:
    along = int(solid.size[1] > solid.size[0])
    reach = 0.5 * solid.size[along] * solid.rotation[:2, along]
    start, end = (solid.position[:2] - reach).tolist(), (solid.position[:2] + reach).tolist()
    return Wall(
        id=_name(solid, names),
        start=(start[0], start[1]),
        end=(end[0], end[1]),
        thickness=float(solid.size[1 - along]),
        height=float(solid.bounds()[1][2]),
    )


def _obstacle(solid: Solid, names: Names) -> Obstacle:
    rotation, size = solid.rotation, solid.size
    if solid.kind == "box":
        rotation, size = _upright_axes(rotation, size)
    roll, pitch, yaw = _angles(rotation)
    x, y, z = solid.position.tolist()
    return Obstacle(
        id=_name(solid, names),
        x=x,
        y=y,
        z=z,
        roll=roll,
        pitch=pitch,
        yaw=yaw,
        size=(float(size[0]), float(size[1]), float(size[2])),
        shape="box" if solid.kind == "box" else "cylinder",
        part_of=solid.thing[:256],
        **({} if solid.color is None else {"color": solid.color}),
    )


def _name(solid: Solid, names: Names) -> str:
    return names(solid.thing.rsplit("::", 1)[-1], "part")


def _upright_axes(rotation: Floats, size: Floats) -> tuple[Floats, Floats]:
    """Return a box by other axes of its own, of which the third is the most upright one and points up."""
    third = int(np.abs(rotation[2]).argmax())
    order = [(third + 1) % 3, (third + 2) % 3, third]
    axes = rotation[:, order]
    if axes[2, 2] < 0.0:
        axes = axes * np.array([1.0, -1.0, -1.0])
    return axes, size[order]


def _angles(rotation: Floats) -> tuple[float, float, float]:
    """Return roll, pitch, yaw [rad] about fixed axes; exactly 0 where the third axis is upright to 1e-6."""
    if rotation[2, 2] > 1.0 - 5e-13:
        return 0.0, 0.0, math.atan2(rotation[1, 0], rotation[0, 0])
    sine = min(max(-float(rotation[2, 0]), -1.0), 1.0)
    if abs(sine) > 1.0 - 1e-12:
        return 0.0, math.asin(sine), math.atan2(-rotation[0, 1], rotation[1, 1])
    roll, yaw = math.atan2(rotation[2, 1], rotation[2, 2]), math.atan2(rotation[1, 0], rotation[0, 0])
    return roll, math.asin(sine), yaw


def _lights(
    lamps: Sequence[Lamp], solids: Sequence[Solid], floor: tuple[float, float], leftovers: Leftovers
) -> list[Light]:
    """Return the lamps that are in the hall; those that are inside a solid hang below it."""
    lights = []
    position = np.array([solid.position for solid in solids]).reshape(-1, 3)
    rotation = np.array([solid.rotation for solid in solids]).reshape(-1, 3, 3)
    half = 0.5 * np.array([solid.size for solid in solids]).reshape(-1, 3)
    for lamp in lamps:
        x, y, z = lamp.position.tolist()
        for _ in range(MAX_DROPS):
            local = np.einsum("nji,nj->ni", rotation, np.array([x, y, z]) - position)
            around = np.flatnonzero((np.abs(local) <= half).all(axis=1)).tolist()
            if not around:
                break
            z = min(float(solids[index].bounds()[0][2]) for index in around) - HANGING
        if z != lamp.position[2]:
            leftovers.add("light in a solid, hung below it", f"at ({x:.1f}, {y:.1f})")
        if not (0.0 <= x <= floor[0] and 0.0 <= y <= floor[1] and 0.0 < z <= MAX_LENGTH):
            leftovers.add("light outside the hall", f"at ({x:.1f}, {y:.1f}, {z:.1f})")
            continue
        fall = sum(factor * STANDARD_DISTANCE**power for power, factor in enumerate(lamp.fall))
        power = lamp.brightness / fall / STANDARD_LIGHT if fall > 1e-9 else MAX_POWER
        lights.append(
            Light(
                position=(x, y, z),
                power=min(max(power, 0.0), MAX_POWER),
                beam_angle=min(max(lamp.angle, 0.1), 3.0),
                lit=lamp.lit,
            )
        )
    return lights
