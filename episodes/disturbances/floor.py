"""Disturbances that lie on the floor: spills, goods across an aisle, cartons that fall."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...physics.proximity import overlaps
from ..dispatch import Dispatcher
from ..routes import FloatArray
from .effects import Effect
from .plan import Occurrence

if TYPE_CHECKING:
    from ..live import LiveEpisode

_BODY_GAP = 0.25
"""Goods are put no nearer than this to a robot or a person [m], and taken away no nearer either."""
_PERSON_RADIUS = 0.3
_GOODS_GAP = 0.12
"""Between goods that stand side by side [m]."""
_SPARE = 0.03
"""Between goods and what else stands there [m], at least."""
_FARTHEST = 2.5
"""Goods stand no farther than this beside the middle of the way [m]."""


class SpillEffect(Effect):
    """A puddle."""

    def friction(self, pose: FloatArray, friction: FloatArray) -> None:
        """Lower the friction (R,) under robots whose centre, poses (R, 3), is on it."""
        assert self.what.place is not None
        wet = np.hypot(*(pose[:, :2] - self.what.place[:2]).T) <= self.drawn("radius")
        friction[wet] = np.minimum(friction[wet], self.drawn("friction"))


def spill_radii(occurrences: Sequence[Occurrence]) -> list[float]:
    """Return the radii [m] of the spills among occurrences, in order."""
    return [what.values["radius"] for what in occurrences if what.settings.kind == "spill"]


def machine_radius(episode: LiveEpisode) -> FloatArray:
    """Return the circumscribed radii [m] of the robots and, after them, of the forklifts."""
    return np.array([model.radius for model in episode.machines.models])


def standing_room(episode: LiveEpisode, place: FloatArray, reach: float) -> bool:
    """Return whether nobody is within ``reach`` [m] of a place and as much again as people and robots need."""
    away = np.hypot(*(episode.machines.pose[:, :2] - place[:2]).T)
    if (away < reach + machine_radius(episode) + _BODY_GAP).any():
        return False
    people = episode.people.position
    return not len(people) or float(np.hypot(*(people - place[:2]).T).min()) > reach + _PERSON_RADIUS + _BODY_GAP


class BlockedAisleEffect(Effect):
    """Goods across the way, put down as soon as nobody is there, and taken away when nobody touches them."""

    def begin(self, time: float) -> bool:
        """Put them down side by side, as many as there is room for."""
        places = self._places()
        if not places or not all(standing_room(self.episode, place, self._reach()) for place in places):
            return False
        world = self.episode.world
        for good, (x, y, yaw) in zip(self.what.goods, places, strict=False):
            world.place_good(good, world.standing_pose(good, float(x), float(y), 0.0, float(yaw)))
        return True

    def end(self, time: float) -> bool:
        """Take them away, unless somebody is leaning on them."""
        world = self.episode.world
        where, hidden = world.loose_pose(), world.hidden_goods()
        for good in self.what.goods:
            if good not in hidden and not standing_room(self.episode, where[good], self._reach()):
                return False
        for good in self.what.goods:
            world.hide_good(good)
        return True

    def _reach(self) -> float:
        return 0.5 * math.hypot(self.drawn("length"), self.drawn("width"))

    def _places(self) -> list[FloatArray]:
        """Return where they can stand (3,): from the middle of the way outwards, across it, clear of all else."""
        assert self.what.place is not None
        x, y, yaw = self.what.place
        across = np.array([-math.sin(yaw), math.cos(yaw)])
        half_length, half_width = 0.5 * self.drawn("length") + _SPARE, 0.5 * self.drawn("width") + _SPARE
        pitch, world = self.drawn("length") + _GOODS_GAP, self.episode.world
        # Under the beams of a rack there is room too, but nobody leaves goods there.
        ground, inner = self.episode.hall.ground(half_width), max(half_length - half_width, 0.0)
        found: list[tuple[float, FloatArray]] = []
        for offset in sorted(np.arange(-_FARTHEST, _FARTHEST + 0.01, 0.1).round(3).tolist(), key=abs):
            place = np.append(np.array([x, y]) + offset * across, yaw + 0.5 * math.pi)
            pose = (*place.tolist(), half_length, half_width)
            open_floor = all(ground.free[ground.cell(place[:2] + end * across)] for end in (-inner, 0.0, inner))
            apart = all(abs(offset - other) >= pitch for other, _ in found)
            if (
                open_floor
                and apart
                and not len(overlaps(world.static_table, *pose))
                and not len(overlaps(world.goods_table, *pose))
            ):
                found.append((offset, place))
        return [place for _, place in found[: len(self.what.goods)]]


class DroppedCartonEffect(Effect):
    """A carton that falls and stays."""

    def begin(self, time: float) -> bool:
        """Let it fall, from the rack's side of the way or off a laden robot, as soon as nobody is below."""
        drop = self._off_robot(time) if getattr(self.what.settings, "source", "") == "load" else self._off_rack()
        if drop is None:
            return False
        x, y, z, yaw = drop
        self._place = (x, y)
        world, good = self.episode.world, self.what.goods[0]
        world.drop_good(good, world.standing_pose(good, x, y, z, yaw))
        return True

    def end(self, time: float) -> bool:
        """Somebody picks it up, unless a robot is leaning on it."""
        world = self.episode.world
        where = world.loose_pose()[self.what.goods[0]]
        if not standing_room(self.episode, where, self.drawn("edge")):
            return False
        world.hide_good(self.what.goods[0])
        return True

    def place(self, robot: int) -> tuple[float, float]:
        """Return where it fell [m]."""
        return self._place

    def _off_rack(self) -> tuple[float, float, float, float] | None:
        """Return x, y, z [m], yaw [rad] at the edge of the way, as far to its side as there is room for."""
        assert self.what.place is not None
        x, y, yaw = self.what.place
        side = 1.0 if self.random("side").random() < 0.5 else -1.0
        ground = self.episode.hall.ground(0.75 * self.drawn("edge"))
        middle = np.array([x, y])
        for away in np.arange(1.5, -0.01, -0.1):
            point = middle + side * away * np.array([-math.sin(yaw), math.cos(yaw)])
            if ground.free[ground.cell(point)]:
                break
        if not standing_room(self.episode, point, self.drawn("edge")):
            return None
        return float(point[0]), float(point[1]), self.drawn("height"), float(yaw)

    def _lighten(self, robot: int, time: float) -> None:
        """Take the carton off the robot's load; what was on board for an order is lost as a whole."""
        fleet, desk = self.episode.fleet, self.episode.errands
        if isinstance(desk, Dispatcher):
            desk.lose_load(robot, time)
            fleet.set_payload(robot, desk.payload(robot))
        else:
            load = float(fleet.payload[robot])
            fleet.set_payload(robot, load - min(self.drawn("mass"), load))

    def _off_robot(self, time: float) -> tuple[float, float, float, float] | None:
        """Return where the load slides off behind the first laden robot that moves, if there is room."""
        carrying = self.episode.errands.carrying
        edge = self.drawn("edge")
        ground = self.episode.hall.ground(0.75 * edge)
        for robot in np.flatnonzero(carrying).tolist():
            x, y, yaw = self.episode.fleet.pose[robot]
            if abs(float(self.episode.fleet.velocity[robot, 0])) < 0.2:
                continue
            back = float(self.episode.radius[robot]) + 0.75 * edge
            point = np.array([x - back * math.cos(yaw), y - back * math.sin(yaw)])
            people = self.episode.people.position
            alone = not len(people) or float(np.hypot(*(people - point).T).min()) > edge + _PERSON_RADIUS
            others = np.hypot(*(self.episode.machines.pose[:, :2] - point).T) > edge + machine_radius(self.episode)
            clear = bool(np.delete(others, robot).all())
            if alone and clear and ground.free[ground.cell(point)]:
                self._lighten(robot, time)
                return float(point[0]), float(point[1]), self.episode.fleet.models[robot].height, float(yaw)
        return None
