"""The loose goods of a world: where they are, which of them move, and what is done to them by hand.

A good stands still and out of Bullet until something comes near it; it is *awake* while it moves. It may be hidden (out
of the world), carried by a robot (part of its body), placed, or released.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from functools import cached_property
from math import atan2, cos, sin

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.classes import class_name
from ..common.errors import InputError
from ..common.geometry import rotation_matrix
from ..common.primitives import BOX, PrimitiveBuilder, Primitives
from . import bullet, proximity
from .bodies import Bodies
from .bullet import pybullet
from .handling import FAR_FOOTPRINT, HIDDEN_POSE, RESTING_GAP, Cargo, checked_pose
from .settings import PhysicsSettings
from .surfaces import Surface, Surfaces

FloatArray = NDArray[np.float64]

_UPRIGHT = 1.0 - 1e-4
"""Cosine of the tilt below which goods count as upright."""


class LooseGoods(ABC):
    """What ``World`` knows of its loose goods; see there for the arguments."""

    settings: PhysicsSettings
    _bodies: Bodies
    _robot_pose: FloatArray
    _lift: FloatArray
    _solids: Primitives
    _groups: list[tuple[str, str]]
    _near_good: NDArray[np.bool_]

    def _set_goods(
        self,
        loose: Primitives | None,
        loose_pose: ArrayLike | None,
        loose_mass: ArrayLike | None,
        loose_id: Sequence[str],
    ) -> None:
        self._loose = loose if loose is not None else PrimitiveBuilder().build()
        self._start_pose = np.array(loose_pose if loose_pose is not None else np.zeros((0, 7)), dtype=np.float64)
        self._loose_mass = np.array(loose_mass if loose_mass is not None else np.zeros(0), dtype=np.float64)
        count = len(self._start_pose)
        if self._start_pose.shape != (count, 7) or self._loose_mass.shape != (count,) or len(loose_id) != count:
            raise InputError("loose_pose (L, 7), loose_mass (L,) and loose_id do not have one length")
        self._loose_parts = [self._loose.take(self._loose.body == k) for k in range(count)]
        boxes = [bullet.bounding_box(part) for part in self._loose_parts]
        self._loose_half = np.array([np.abs(c) + h for c, h in boxes]).reshape(count, 3)
        self._loose_label = [
            (class_name(int(part.class_id[0])), str(name))
            for part, name in zip(self._loose_parts, loose_id, strict=True)
        ]

        self._cargo = Cargo(self._loose_parts)

    def _reset_goods(self) -> None:
        """Put the goods back to where they start."""
        self._cargo.clear(self._start_pose)
        self._hold_speed: dict[int, float] = {}
        self._awake: dict[int, float] = {}
        self._roused: dict[int, bool] = {}
        self._guided: set[int] = set()
        self._launch: dict[int, tuple[float, float, float]] = {}
        self._good_velocity: dict[int, tuple[float, float]] = {}
        self._loose_pose = self._start_pose.copy()
        self.goods_table: FloatArray = np.zeros((len(self._loose_pose), proximity.FOOTPRINT_COLUMNS))
        """(L, 6) footprints of the loose goods now."""
        for k in range(len(self._loose_pose)):
            self._update_footprint(k)

    @property
    @abstractmethod
    def time(self) -> float:
        """Seconds since the reset."""

    @property
    @abstractmethod
    def robot_count(self) -> int:
        """Number of robots."""

    @cached_property
    def _surfaces(self) -> Surfaces:
        return Surfaces(self._solids, self._groups)

    @abstractmethod
    def _refit(self, i: int) -> None:
        """Take note that robot i has another shape now, for what it carries has changed."""

    @abstractmethod
    def _reach_up(self, top: float) -> None:
        """Take note that something will be as high as ``top`` [m]."""

    @property
    def loose_size(self) -> FloatArray:
        """Full sizes (L, 3) [m] of the boxes around the goods, along their own axes."""
        return 2.0 * self._loose_half

    @property
    def goods_moving(self) -> bool:
        """Whether a loose good is in motion, so that every step needs Bullet."""
        return bool(self._awake)

    def loose_pose(self) -> FloatArray:
        """Return the poses (L, 7) x, y, z [m], qx, qy, qz, qw of the loose goods' centres of mass."""
        self._cargo.move(self._loose_pose, self._robot_pose)
        return self._loose_pose.copy()

    def place_good(self, k: int, pose: ArrayLike) -> None:
        """Put loose good k somewhere, at rest: there it stands, whatever is below it, until something touches it.

        Goods that stood on it fall.

        Args:
            k: index of the good, which may be hidden, carried or anywhere else now.
            pose: (7,) x, y, z [m], quaternion xyzw in ``map`` of its centre of mass; see ``standing_pose``.

        Raises:
            InputError: no such good, or the pose is not usable.
        """
        where = checked_pose(pose, f"the pose for good {self._named(k)}")
        if k not in self._guided:
            self._rouse_above(k)
        self._take_out(k)
        self._cargo.hidden.discard(k)
        self._loose_pose[k] = where
        self._update_footprint(k)
        self._bodies.rest_good(k, where.tolist())

    def drop_good(self, k: int, pose: ArrayLike) -> None:
        """Put loose good k somewhere, and let it fall from there; arguments and errors as for ``place_good``."""
        self.place_good(k, pose)
        self._rouse(k)

    def guide_good(self, k: int, pose: ArrayLike) -> None:
        """Place loose good k and let something else move it from now on, a conveyor for instance.

        Robots do not meet it until ``let_go`` is called; sensors see it. It ends when it is placed, hidden or carried.
        """
        self.place_good(k, pose)
        self._guided.add(k)
        self._update_footprint(k)
        self._bodies.park_good(k)

    def guided(self, k: int) -> bool:
        """Return whether something else moves good k."""
        return k in self._guided

    def move_guided(self, goods: Sequence[int], poses: FloatArray) -> None:
        """Move goods that are guided to poses (n, 7) in ``map`` of their centres of mass."""
        self._loose_pose[goods] = poses

    def let_go(self, k: int, velocity: tuple[float, float, float]) -> None:
        """Leave a guided good to Bullet where it is, with vx, vy [m/s] and yaw rate [rad/s]."""
        self._take_out(k)
        self._update_footprint(k)
        self._rouse(k)
        self._launch[k] = velocity

    def good_velocity(self, k: int) -> tuple[float, float]:
        """Return vx, vy [m/s] of good k, as far as Bullet moves it; else zero."""
        return self._good_velocity.get(k, (0.0, 0.0))

    def moving_goods(self) -> list[int]:
        """Return the goods that Bullet moves, in order."""
        return sorted(self._awake)

    def hide_good(self, k: int) -> None:
        """Take loose good k out of the world, until it is placed or carried: nothing sees or touches it.

        Goods that stood on it fall.

        Raises:
            InputError: no such good.
        """
        self._named(k)
        self._rouse_above(k)
        self._take_out(k)
        self._cargo.hidden.add(k)
        self._loose_pose[k] = HIDDEN_POSE
        self.goods_table[k] = FAR_FOOTPRINT
        self._bodies.park_good(k)

    def carry_good(self, k: int, robot: int, offset: ArrayLike) -> None:
        """Let loose good k ride on a robot, or move it on board.

        It moves with ``base_link`` and is part of the robot's shape in Bullet. The robot's mass stays as it is: say
        what it carries to ``Fleet.set_payload``. Goods that stood on it fall, unless they are carried first.

        Args:
            k: index of the good. robot: index of the robot.
            offset: (7,) x, y, z [m], quaternion xyzw in ``base_link`` of the good's centre of mass.

        Raises:
            InputError: no such good or robot, or the offset is not usable.
        """
        where = checked_pose(offset, f"the offset of good {self._named(k)} on board")
        if not 0 <= robot < self.robot_count:
            raise InputError(f"there is no robot {robot}", mend=f"robots are 0 to {self.robot_count - 1}")
        if self._cargo.rides.get(k, (-1,))[0] != robot:
            self._rouse_above(k)
            self._take_out(k)
            self._cargo.hidden.discard(k)
            self.goods_table[k] = FAR_FOOTPRINT
            self._bodies.park_good(k)
        if self._cargo.take(k, robot, where):
            self._refit(robot)

    def set_hold_height(self, robot: int, height: float) -> None:
        """Raise or lower all that a robot holds, to a height [m] above where it was when the world was reset.

        Raises:
            InputError: no such robot, or the height is outside of 0 to what ``set_robots`` was told.
        """
        if not 0 <= robot < self.robot_count:
            raise InputError(f"there is no robot {robot}", mend=f"robots are 0 to {self.robot_count - 1}")
        if not 0.0 <= height <= self._lift[robot]:
            raise InputError(f"robot {robot} cannot hold anything {height} m up", mend=f"0 to {self._lift[robot]} m")
        self._hold_speed[robot] = (height - self._cargo.height.get(robot, 0.0)) / self.settings.step_time
        self._cargo.height[robot] = float(height)

    def release_good(self, k: int) -> None:
        """Let go of carried good k where it is now; it falls or settles from there.

        Raises:
            InputError: no such good, or nobody carries it.
        """
        if k not in self._cargo.rides:
            raise InputError(f"nobody carries good {self._named(k)}", mend="carry it first")
        self._cargo.move(self._loose_pose, self._robot_pose)
        self._take_out(k)
        self._update_footprint(k)
        self._rouse(k)

    # -- what is known of them ---------------------------------------------------------------------------------------

    @property
    def loose_mass(self) -> FloatArray:
        """Masses (L,) [kg]."""
        return self._loose_mass.copy()

    def good_label(self, k: int) -> tuple[str, str]:
        """Return class name and layout id of good k."""
        return self._loose_label[k]

    def good_heights(self, k: int) -> tuple[float, float]:
        """Return the lowest and the highest z [m] of good k now."""
        self._cargo.move(self._loose_pose, self._robot_pose)
        return self._cargo.heights(k, self._loose_pose[k])

    def goods_at(self, x: float, y: float, yaw: float, half_length: float, half_width: float) -> list[int]:
        """Return the goods, neither carried nor hidden, whose footprints a rectangle [m, rad] overlaps, in order."""
        rows: list[int] = proximity.overlaps(self.goods_table, x, y, yaw, half_length, half_width).tolist()
        return rows

    def good_boxes(self, k: int) -> list[tuple[float, float, float, float, float, float, float]]:
        """Return the boxes of good k: centre x, y [m], yaw [rad], half length, half width, lowest and highest z [m].

        Solids that do not stand upright are left out.
        """
        pose, parts = self._loose_pose[k], self._loose_parts[k]
        rotation = rotation_matrix(pose[3:])
        found = []
        if rotation[2, 2] > _UPRIGHT:
            yaw = atan2(rotation[1, 0], rotation[0, 0])
            for p in np.flatnonzero(parts.kind == BOX).tolist():
                own = rotation_matrix(parts.quaternion[p])
                if own[2, 2] > _UPRIGHT:
                    x, y, z = (pose[:3] + rotation @ parts.position[p]).tolist()
                    length, width, height = parts.size[p].tolist()
                    turn = yaw + atan2(own[1, 0], own[0, 0])
                    found.append((x, y, turn, length, width, z - height, z + height))
        return found

    def stack_on(self, k: int) -> list[int]:
        """Return good k and all that stands on it, directly or not, each after what it stands on."""
        stack = [k]
        for below in stack:
            stack += [m for m in self._resting_on(below) if m not in stack]
        return stack

    def surface_below(self, k: int, without: Collection[int] = ()) -> Surface:
        """Return the highest surface below good k.

        Args:
            k: index of the good.
            without: goods that make up one load with it, whose centre of mass counts, and which hold nothing.
        """
        self._cargo.move(self._loose_pose, self._robot_pose)
        load = sorted({k, *without})
        weight = self._loose_mass[load] / self._loose_mass[load].sum()
        centre = weight @ self._loose_pose[load, :2]
        x, y, c, s, length, width = self._footprint(k)
        base = (x, y, atan2(s, c), length, length if width < 0.0 else width)
        low = self._cargo.heights(k, self._loose_pose[k])[0]
        near = [m for m in self.goods_at(*base) if m not in load]
        tops = np.array([self._cargo.heights(m, self._loose_pose[m])[1] for m in near])
        labels = [self._loose_label[m] for m in near]
        return self._surfaces.below(
            base, low, (float(centre[0]), float(centre[1])), self.goods_table[near], tops, labels
        )

    def carried_by(self, robot: int) -> list[int]:
        """Return the goods that a robot carries, in the order in which they were taken up."""
        return self._cargo.carried_by(robot)

    def hidden_goods(self) -> list[int]:
        """Return the goods that are out of the world, in order."""
        return sorted(self._cargo.hidden)

    def standing_pose(self, k: int, x: float, y: float, z: float, yaw: float = 0.0) -> FloatArray:
        """Return the pose (7,) of good k, upright, the middle of its underside at x, y, z [m], turned by yaw [rad]."""
        self._named(k)
        pose = np.array([x, y, 0.0, 0.0, 0.0, sin(0.5 * yaw), cos(0.5 * yaw)])
        pose[2] = z - self._cargo.heights(k, pose)[0]
        return pose

    def _named(self, k: int) -> str:
        """Return a good's id, or raise InputError."""
        if not 0 <= k < len(self._start_pose):
            raise InputError(f"there is no loose good {k}", mend=f"loose goods are 0 to {len(self._start_pose) - 1}")
        return f"'{self._loose_label[k][1]}'"

    def _take_out(self, k: int) -> None:
        """End what good k does: riding or moving."""
        self._awake.pop(k, None)
        self._roused.pop(k, None)
        self._good_velocity.pop(k, None)
        self._guided.discard(k)
        self._launch.pop(k, None)
        if k in self._cargo.rides:
            self._refit(self._cargo.drop(k))

    def _rouse(self, k: int) -> None:
        """Let good k fall or settle from where it is."""
        self._reach_up(self._cargo.heights(k, self._loose_pose[k])[1])
        self._awake[k] = self.time
        self._roused[k] = False

    def _rouse_above(self, k: int) -> None:
        """Let go of what stands on good k, which is about to be taken away."""
        if k in self._cargo.rides or k in self._cargo.hidden:
            return
        for m in self._resting_on(k):
            if m not in self._awake:
                self._rouse(m)

    def _resting_on(self, k: int) -> list[int]:
        """Return the goods that stand on good k."""
        x, y, c, s, length, width = self.goods_table[k].tolist()
        top = self._cargo.heights(k, self._loose_pose[k])[1]
        above = self.goods_at(x, y, atan2(s, c), length, length if width < 0.0 else width)
        lows = [self._cargo.heights(m, self._loose_pose[m])[0] for m in above]
        return [m for m, low in zip(above, lows, strict=True) if m != k and abs(low - top) < RESTING_GAP]

    def _bring_goods(self) -> None:
        """Bring into Bullet the goods that are near something, and wake those that shall fall."""
        bodies = self._bodies
        for k in np.flatnonzero(self._near_good).tolist():
            if k not in bodies.good:
                mass, where = float(self._loose_mass[k]), self._loose_pose[k].tolist()
                bodies.create_good(k, self._loose_parts[k], mass, where, self._loose_label[k])
        for k, up in self._roused.items():
            if not up:
                bodies.rouse_good(k, self._loose_pose[k].tolist())
                vx, vy, turn = self._launch.pop(k, (0.0, 0.0, 0.0))
                if vx or vy or turn:
                    pybullet.resetBaseVelocity(bodies.good[k], (vx, vy, 0.0), (0.0, 0.0, turn), bodies.client)
                self._roused[k] = True

    def _read_goods(self) -> None:
        for k, body in self._bodies.good.items():
            if not (self._near_good[k] or k in self._awake):
                continue
            settled = False
            linear, angular = pybullet.getBaseVelocity(body, physicsClientId=self._bodies.client)
            speed = max(max(map(abs, linear)), max(map(abs, angular)))
            if speed > self.settings.settle_speed:
                self._awake[k] = self.time
            elif k not in self._awake:
                continue
            elif self.time - self._awake[k] > self.settings.settle_time:
                del self._awake[k]
                settled = self._roused.pop(k, False)
            self._good_velocity[k] = (linear[0], linear[1])
            position, quaternion = pybullet.getBasePositionAndOrientation(body, physicsClientId=self._bodies.client)
            self._loose_pose[k] = (*position, *quaternion)
            self._update_footprint(k)
            if settled:
                self._bodies.rest_good(k, self._loose_pose[k].tolist())

    def _update_footprint(self, k: int) -> None:
        out = k in self._cargo.hidden or k in self._guided
        self.goods_table[k] = FAR_FOOTPRINT if out else self._footprint(k)

    def _footprint(self, k: int) -> tuple[float, float, float, float, float, float]:
        """Return the footprint of good k where it is now."""
        x, y, _, qx, qy, qz, qw = self._loose_pose[k].tolist()
        half = self._loose_half[k].tolist()
        if qx * qx + qy * qy < 1e-4:
            yaw = 2.0 * atan2(qz, qw)
            return x, y, cos(yaw), sin(yaw), half[0], half[1]
        return x, y, 1.0, 0.0, float(np.linalg.norm(half)), -1.0
