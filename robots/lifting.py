"""What forks do in a world: they go up and down, take up what they get under, and set it down on what lies below.

A load is taken up when both tines meet its underside from below: a pallet by its deck, if the tines are in its pockets,
with all that stands on it. It is carried without play, at the place where the tines met it, and its mass and centre of
mass are told to the drive. It is set down where its underside meets the floor, a rack level or the top of other goods,
and settles there in Bullet. Whatever goes wrong on the way is reported and never lifts or places silently.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, sin
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..common.errors import InputError
from ..physics.handling import offset_of
from ..physics.surfaces import rectangles_overlap
from ..physics.world import World
from .forks import GRAVITY, ForkParameters, next_height

FloatArray = NDArray[np.float64]
Kind = Literal["picked", "placed", "overload", "missed", "unstable", "blocked"]

MEETING = 0.004
"""Undersides no further [m] below the tines' upper faces than this can still be met from below, and those no further
above them are met if Bullet says that they touch: what is heavily laden gives by a millimetre."""


@dataclass(frozen=True)
class ForkEvent:
    """Something happened at a truck's forks.

    Attributes:
        time: [s] since the reset of the world. robot: index of the truck.
        kind: ``picked`` and ``placed`` as intended. ``overload``: more than the capacity at that distance, the forks
            stop beneath it. ``missed``: a load is met by one tine only, or does not lie between heel and tips and
            between the tines; the forks stop beneath it. ``blocked``: carriage or load met something above or below,
            the forks stop. ``unstable``: a load was set down where what is below does not hold it, and falls.
        other_class, other_id: the load; for ``placed``, ``unstable`` and ``blocked`` what is below or in the way.
        height: of the tines' upper faces [m]. mass: of the load [kg], 0 without one.
    """

    time: float
    robot: int
    kind: Kind
    other_class: str
    other_id: str
    height: float
    mass: float


@dataclass
class _Truck:
    forks: ForkParameters
    most: float
    height: float
    target: float
    speed: float = 0.0
    load: tuple[int, ...] = ()
    mass: float = 0.0
    work: float = 0.0
    refused: tuple[str, str, str] | None = None
    """What stopped the forks where they are."""

    @property
    def moving(self) -> bool:
        return self.height != self.target or self.speed != 0.0


class Lifts:
    """The forks of a fleet.

    Args:
        world: where the trucks are.
        forks: of each robot; None for those that have none.
        max_payload: (R,) what each may carry [kg].
        set_payload: called with robot, mass [kg] and x, y [m] in ``base_link`` when a load is taken up or set down.
    """

    def __init__(
        self,
        world: World,
        forks: Sequence[ForkParameters | None],
        max_payload: Sequence[float],
        set_payload: Callable[[int, float, tuple[float, float]], None],
    ) -> None:
        self._world, self._set_payload = world, set_payload
        self._given = {i: (item, max_payload[i]) for i, item in enumerate(forks) if item is not None}
        self.reset()

    def reset(self) -> None:
        """Lower all forks and forget loads and events."""
        self._trucks = {
            i: _Truck(forks, most, forks.lowered_height, forks.lowered_height)
            for i, (forks, most) in self._given.items()
        }
        self._events: list[ForkEvent] = []
        self.moving = False
        """Whether a carriage moves, so that every step must be made singly."""

    def command(self, robot: int, height: float) -> None:
        """Set the height [m] that a truck's forks go to; see ``Fleet.command_forks``."""
        truck = self._trucks.get(robot)
        if truck is None:
            raise InputError(f"robot {robot} has no forks", mend="give its model 'forks'")
        forks = truck.forks
        if not forks.lowered_height <= height <= forks.lift_height:
            raise InputError(
                f"the forks of robot {robot} cannot go to {height} m",
                mend=f"give {forks.lowered_height} to {forks.lift_height} m",
            )
        truck.target = float(height)
        self.moving = any(truck.moving for truck in self._trucks.values())

    def height(self, robot: int) -> float:
        """Return the height [m] of a truck's forks; NaN without forks."""
        truck = self._trucks.get(robot)
        return truck.height if truck is not None else float("nan")

    def load(self, robot: int) -> tuple[int, ...]:
        """Return the loose goods on a truck's forks, the one that the tines hold first."""
        truck = self._trucks.get(robot)
        return truck.load if truck is not None else ()

    def energy(self, count: int) -> FloatArray:
        """Return the electrical energy (count,) [J] that lifting has taken since the reset, by robot."""
        spent = np.zeros(count)
        for i, truck in self._trucks.items():
            spent[i] = truck.work / truck.forks.efficiency
        return spent

    def events(self) -> list[ForkEvent]:
        """Return what happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    def advance(self, pose: FloatArray, dt: float) -> None:
        """Let the carriages move for one step, after the robots have: poses (R, 3) x, y [m], yaw [rad]; dt [s]."""
        for i, truck in self._trucks.items():
            if truck.moving:
                self._advance(i, truck, pose[i].tolist(), dt)
        self.moving = any(truck.moving for truck in self._trucks.values())

    def _advance(self, i: int, truck: _Truck, pose: list[float], dt: float) -> None:
        stop = self._world.hold_stops.pop(i, None)
        met = stop is not None and (truck.target - truck.height) * stop[2] < 0.0
        if stop is not None and met:
            # Something above or below touches what is held. From above it may be what shall be lifted.
            upwards = not truck.load and truck.target > truck.height
            if not upwards or self._underside(truck, pose, truck.height + MEETING) is None:
                self._halt(truck)
                self._note(i, truck, "blocked", stop[0], stop[1])
                return
        forks, before = truck.forks, truck.height
        height, speed = next_height(
            before,
            truck.speed,
            truck.target,
            forks.lifting_speed(truck.mass),
            forks.lower_speed,
            forks.acceleration,
            dt,
        )
        if height > before and not truck.load:
            height, speed = self._meet(i, truck, pose, height, speed, MEETING if met else 0.0)
        if height < before and truck.load:
            height = self._land(i, truck, height)
        truck.work += max(height - before, 0.0) * (truck.mass + forks.carriage_mass) * GRAVITY
        self._set_height(i, truck, height)
        truck.speed = speed

    def _set_height(self, i: int, truck: _Truck, height: float) -> None:
        if height != truck.height:
            truck.refused = None
        truck.height = height
        self._world.set_hold_height(i, min(max(height - truck.forks.lowered_height, 0.0), truck.forks.stroke))

    def _halt(self, truck: _Truck) -> None:
        truck.target, truck.speed = truck.height, 0.0

    def _note(self, i: int, truck: _Truck, kind: Kind, other_class: str, other_id: str) -> None:
        refused = (kind, other_class, other_id)
        if kind in ("overload", "missed", "blocked"):
            # Forks that are asked for the same once more meet the same once more.
            if truck.refused is not None and truck.refused[1:] == refused[1:]:
                return
            truck.refused = refused
        self._events.append(ForkEvent(self._world.time, i, kind, other_class, other_id, truck.height, truck.mass))

    # -- taking up ---------------------------------------------------------------------------------------------------

    def _meet(
        self, i: int, truck: _Truck, pose: list[float], height: float, speed: float, give: float
    ) -> tuple[float, float]:
        """Take up what the tines meet on the way up to ``height``; returns where they get to, and their speed.

        ``give``: how far above that an underside may be [m].
        """
        met = self._underside(truck, pose, height + give)
        if met is None:
            return height, speed
        good, underside, tines = met
        world, forks = self._world, truck.forks
        name = world.good_label(good)
        stack = world.stack_on(good)
        where, mass = world.loose_pose(), world.loose_mass
        total = sum(float(mass[k]) for k in stack)
        c, s = cos(pose[2]), sin(pose[2])
        x = y = 0.0
        for k in stack:
            dx, dy = float(where[k, 0]) - pose[0], float(where[k, 1]) - pose[1]
            x += float(mass[k]) / total * (c * dx + s * dy)
            y += float(mass[k]) / total * (c * dy - s * dx)
        along, across = forks.in_forks(x, y)
        if tines < 2 or not 0.0 <= along <= forks.length or abs(across) > 0.5 * (forks.spacing + forks.width):
            self._refuse(i, truck, underside, "missed", name)
            return truck.height, 0.0
        truck.mass = total
        if total > truck.most or not forks.can_lift(total, along):
            self._refuse(i, truck, underside, "overload", name)
            truck.mass = 0.0
            return truck.height, 0.0
        self._set_height(i, truck, max(truck.height, underside))
        truck.load = tuple(stack)
        for k in reversed(stack):
            world.carry_good(k, i, offset_of(pose, where[k]))
        self._set_payload(i, total, (x, y))
        self._note(i, truck, "picked", *name)
        return max(height, truck.height), speed

    def _refuse(self, i: int, truck: _Truck, underside: float, kind: Kind, name: tuple[str, str]) -> None:
        """Stop beneath an underside at a height [m]."""
        self._set_height(i, truck, max(truck.height, underside))
        self._halt(truck)
        self._note(i, truck, kind, *name)

    def _underside(self, truck: _Truck, pose: list[float], height: float) -> tuple[int, float, int] | None:
        """Return the lowest underside that the tines meet below ``height``: the good, its z [m], and by how many tines.

        Sides of solids that the tines have run into are no undersides: those stop the truck.
        """
        forks = truck.forks
        yaw = pose[2] + forks.yaw
        middle = forks.in_base(0.5 * forks.length, 0.0)
        c, s = cos(pose[2]), sin(pose[2])
        x, y = pose[0] + c * middle[0] - s * middle[1], pose[1] + s * middle[0] + c * middle[1]
        half = 0.5 * forks.length, 0.5 * (forks.spacing + forks.width)
        tines = []
        for side in (-0.5, 0.5):
            at = forks.in_base(0.5 * forks.length, side * forks.spacing)
            centre = pose[0] + c * at[0] - s * at[1], pose[1] + s * at[0] + c * at[1]
            tines.append((*centre, yaw, half[0], 0.5 * forks.width))
        found: tuple[int, float, int] | None = None
        for good in self._world.goods_at(x, y, yaw, *half):
            for box in self._world.good_boxes(good):
                low = box[5]
                if truck.height - MEETING <= low <= height and (found is None or low < found[1]):
                    count = sum(rectangles_overlap(tine, box[:5]) for tine in tines)
                    if count:
                        found = good, low, count
        return found

    # -- setting down ------------------------------------------------------------------------------------------------

    def _land(self, i: int, truck: _Truck, height: float) -> float:
        """Set the load down if it meets something on the way down to ``height``; returns where the forks get to."""
        world, base = self._world, truck.load[0]
        low = world.good_heights(base)[0]
        surface = world.surface_below(base, without=truck.load)
        if low + (height - truck.height) > surface.height:
            return height
        self._set_height(i, truck, truck.height + surface.height - low)
        for k in truck.load:
            world.release_good(k)
        self._set_payload(i, 0.0, (0.0, 0.0))
        self._note(i, truck, "placed" if surface.holds else "unstable", surface.class_name, surface.name)
        truck.load, truck.mass = (), 0.0
        return min(truck.height, height)
