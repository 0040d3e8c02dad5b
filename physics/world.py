"""The PyBullet world: where robots, goods and people touch.

What is free does not need a physics engine: robots are moved by their drive model (``robots.drive``), people by their
walk, goods stand still. Only when a robot comes near something does it enter Bullet, together with what it is near: the
rack row (one compound body), the carton, the person, the other robot. Bullet answers only what touching changes. In
each such step a robot gets the velocity of its drive model, and is read back if the outcome differs.

Order of moving bodies for a ``Scene``: robots 0..R-1, then people, then loose goods (see ``body_pose``).

A reset empties the Bullet client and lets bodies come in again when they are needed. That costs a few milliseconds and
makes every episode bit-equal to one in a new process: ``restoreState`` leaves out sleep states, contact caches and the
broadphase tree, on which the outcome of contacts depends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import atan2, cos, hypot, sin
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.classes import class_name
from ..common.errors import InputError
from ..common.geometry import quaternion_from_yaw
from ..common.primitives import PrimitiveBuilder, Primitives
from ..layouts.geometry import LayoutSolids
from . import bullet, proximity
from .bodies import Bodies
from .bullet import pybullet
from .contacts import Contact, ContactTracker
from .pool import WorldPool
from .settings import PhysicsSettings

FloatArray = NDArray[np.float64]

__all__ = ["World", "WorldPool"]

_SAME = 1e-7
"""Difference [m; m/s, rad/s] between Bullet's outcome and the free one below which nothing was touched."""


@dataclass
class _Touch:
    """What one step saw of a robot and another body: closing speed [m/s], normal impulse [N s], place [m]."""

    robot: int
    other: int
    position: tuple[float, float]
    speed: float = 0.0
    impulse: float = 0.0
    known: bool = False
    """Whether it goes on from an earlier step, so that the speed is not asked for."""


@dataclass(slots=True)
class _Push:
    """A point where something that nothing stops holds up a robot.

    ``other`` is its Bullet body; the normal points to the robot, the arm [m] from the robot's centre to the point;
    ``approach`` is the speed [m/s] of the other along the normal, ``rebound`` the impulse [N s] taken out again.
    """

    other: int
    normal_x: float
    normal_y: float
    arm_x: float
    arm_y: float
    approach: float
    rebound: float = 0.0


class World:
    """One hall in one PyBullet client.

    Args:
        static: the solids of the hall in ``map``; ``body`` is the physics group. Planes and the class floor are left
            out: the world has its own floor at z = 0.
        group_class: class name of each group; group_id: layout id of each group.
        settings: see ``PhysicsSettings``.
        loose: solids of loose goods, each in the frame of its centre of mass; ``body`` is the index of the good.
        loose_pose: (L, 7) x, y, z [m], qx, qy, qz, qw at the start; loose_mass: (L,) [kg]; loose_id: L layout ids.

    Raises:
        InputError: lengths do not fit each other.
    """

    def __init__(
        self,
        static: Primitives,
        group_class: Sequence[str],
        group_id: Sequence[str],
        *,
        settings: PhysicsSettings | None = None,
        loose: Primitives | None = None,
        loose_pose: ArrayLike | None = None,
        loose_mass: ArrayLike | None = None,
        loose_id: Sequence[str] = (),
    ) -> None:
        self.settings = settings or PhysicsSettings()
        self._groups = [(str(c), str(i)) for c, i in zip(group_class, group_id, strict=True)]
        if len(static) and int(static.body.max()) >= len(self._groups):
            raise InputError(f"a solid is in group {int(static.body.max())}, but only {len(self._groups)} are named")
        self._static = static.take(proximity.touchable(static, self.settings.reach))

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

        self._bodies = Bodies(self.settings)
        self._contacts = ContactTracker(self.settings.contact_pause, self.settings.impact_time)
        self._dirty = False
        self.set_robots([])
        self.reset()

    @staticmethod
    def from_solids(solids: LayoutSolids, *, settings: PhysicsSettings | None = None) -> World:
        """Build the world of a layout's solids (see ``layouts.geometry.layout_solids``)."""
        return World(
            solids.static,
            solids.group_class,
            solids.group_id,
            settings=settings,
            loose=solids.loose,
            loose_pose=solids.loose_pose,
            loose_mass=solids.loose_mass,
            loose_id=solids.loose_id,
        )

    # -- set-up ------------------------------------------------------------------------------------------------------

    def set_robots(self, shapes: Sequence[Primitives]) -> None:
        """Say which robots there are, by their solids in ``base_link``; call ``reset`` afterwards."""
        self._shapes = list(shapes)
        count = len(self._shapes)
        boxes = [bullet.bounding_box(shape) for shape in self._shapes]
        self.robot_radius: FloatArray = np.array(
            [hypot(abs(c[0]) + h[0], abs(c[1]) + h[1]) for c, h in boxes], dtype=np.float64
        )
        """(R,) radius [m] of the circle about ``base_link`` that holds the shape."""
        self._robot_box = np.array([[c[0], c[1], h[0], h[1]] for c, h in boxes]).reshape(count, 4)
        self._robot_height = np.array([c[2] for c, _ in boxes])
        tops = [c[2] + h[2] for c, h in boxes]
        low = self._static.take(proximity.touchable(self._static, max(tops, default=0.0) + 0.02))
        self.static_table: FloatArray = proximity.footprints(low)
        """(K, 6) footprints of what robots can touch (see ``physics.proximity``)."""
        self._table_group = low.body.astype(np.int64)
        self.neighbours: NDArray[np.int32] = np.zeros((count, len(low) + 1), dtype=np.int32)
        self.anchors: FloatArray = np.zeros((count, 4))
        self._near_robot = np.zeros(count, dtype=np.bool_)
        self._near_group = np.zeros(max(len(self._groups), 1), dtype=np.bool_)
        self._near_good = np.zeros(len(self._start_pose), dtype=np.bool_)
        self._mass = np.ones(count)
        self._inertia = np.ones(count)

    def reset(self, mass: ArrayLike = (), inertia: ArrayLike = ()) -> None:
        """Put everything back to the start: time 0, goods at their places, no people, no contacts.

        Args:
            mass: (R,) [kg] of the robots with their payload; inertia: (R,) about z [kg m^2].
        """
        for body_property, value in ((self._mass, mass), (self._inertia, inertia)):
            given = np.asarray(value, dtype=np.float64)
            if len(given):
                body_property[:] = given
        if self._dirty:
            self._bodies.empty()
            self._dirty = False
        self._synced: NDArray[np.int64] = np.full(self.robot_count, -1, dtype=np.int64)
        self._near: list[int] = []
        self._changed = True
        self._placed: list[int] = []
        self._people_placed: list[int] = []
        self._passing: set[int] = set()
        self._awake: dict[int, float] = {}
        self._good_velocity: dict[int, tuple[float, float]] = {}
        self._pushes: dict[int, list[_Push]] = {}
        self.anchors[:, 2] = 0.0
        self._steps = 0
        self._contacts.clear()
        self._loose_pose = self._start_pose.copy()
        self.goods_table: FloatArray = np.zeros((len(self._loose_pose), proximity.FOOTPRINT_COLUMNS))
        """(L, 6) footprints of the loose goods now."""
        for k in range(len(self._loose_pose)):
            self._update_footprint(k)
        self.people: FloatArray = np.zeros((0, 4))
        """(P, 4) x, y [m] of the people ``people_age`` steps ago, and vx, vy [m/s], at which they walk since."""
        self.people_age = 0
        self._people_moved = False
        self._person_yaw = np.zeros(0)
        self._near_person = np.zeros(0, dtype=np.bool_)

    def set_mass(self, robot: int, mass: float, inertia: float) -> None:
        """Change the mass [kg] and the inertia about z [kg m^2] of a robot, for example when it takes up a load."""
        self._mass[robot], self._inertia[robot] = mass, inertia
        self._bodies.set_mass(robot, mass, inertia)

    def close(self) -> None:
        """Give the Bullet client back for the next world. The world cannot be used afterwards."""
        self._bodies.close()

    # -- what is where -----------------------------------------------------------------------------------------------

    @property
    def time(self) -> float:
        """Seconds since the reset."""
        return self._steps * self.settings.step_time

    @property
    def robot_count(self) -> int:
        """Number of robots."""
        return len(self._shapes)

    @property
    def goods_moving(self) -> bool:
        """Whether a loose good is in motion, so that every step needs Bullet."""
        return bool(self._awake)

    def loose_pose(self) -> FloatArray:
        """Return the poses (L, 7) x, y, z [m], qx, qy, qz, qw of the loose goods' centres of mass."""
        return self._loose_pose.copy()

    def person_pose(self) -> FloatArray:
        """Return the people's poses (P, 3) x, y [m], yaw [rad] now."""
        return np.column_stack([self._walkers()[:, :2], self._person_yaw])

    def body_pose(self, robot_pose: ArrayLike) -> FloatArray:
        """Return the poses (B, 7) of all moving bodies for ``Scene.update``: robots, people, loose goods.

        Args:
            robot_pose: (R, 3) x, y [m], yaw [rad].
        """
        planar = np.concatenate([np.asarray(robot_pose, dtype=np.float64).reshape(-1, 3), self.person_pose()])
        upright = np.column_stack([planar[:, :2], np.zeros(len(planar)), quaternion_from_yaw(planar[:, 2])])
        return np.concatenate([upright, self._loose_pose])

    def contacts(self) -> list[Contact]:
        """Return the contacts that began since the last call."""
        return self._contacts.take()

    def set_people(self, poses: ArrayLike, velocities: ArrayLike) -> None:
        """Place people, who then walk on at their velocities until the next call.

        Args:
            poses: (P, 3) x, y [m], yaw [rad] in ``map``; velocities: (P, 2) vx, vy [m/s] in ``map``.

        Raises:
            InputError: shapes do not fit, values are not finite, or P changed since the reset.
        """
        pose, velocity = np.asarray(poses, dtype=np.float64), np.asarray(velocities, dtype=np.float64)
        if pose.ndim != 2 or pose.shape[1] != 3 or velocity.shape != (len(pose), 2):
            raise InputError(f"people have poses {pose.shape} and velocities {velocity.shape}, not (P, 3) and (P, 2)")
        if not (np.isfinite(pose).all() and np.isfinite(velocity).all()):
            raise InputError("the pose or velocity of a person is not finite")
        if len(self.people) and len(self.people) != len(pose):
            raise InputError(f"{len(pose)} people were given, {len(self.people)} before", mend="reset the world first")
        self.people = np.ascontiguousarray(np.column_stack([pose[:, :2], velocity]))
        self.people_age = 0
        self._person_yaw = pose[:, 2].copy()
        if len(self._near_person) != len(pose):
            self._near_person = np.zeros(len(pose), dtype=np.bool_)
        self._people_moved = True

    def obstacles_at(self, robot: int, pose: ArrayLike) -> list[tuple[str, str]]:
        """Return class and id of static things and loose goods that a robot's footprint overlaps at a pose (3,)."""
        x, y, yaw = (float(v) for v in np.asarray(pose, dtype=np.float64))
        cx, cy, half_length, half_width = self._robot_box[robot]
        x, y = x + cos(yaw) * cx - sin(yaw) * cy, y + sin(yaw) * cx + cos(yaw) * cy
        rows = proximity.overlaps(self.static_table, x, y, yaw, half_length, half_width)
        goods = proximity.overlaps(self.goods_table, x, y, yaw, half_length, half_width)
        groups = sorted({int(self._table_group[row]) for row in rows})
        return [self._groups[group] for group in groups] + [self._loose_label[int(k)] for k in goods]

    # -- stepping ----------------------------------------------------------------------------------------------------

    def advance_free(self, steps: int) -> None:
        """Let time pass while nothing touches: people walk on."""
        self._steps += steps
        self.people_age += steps

    def _walkers(self) -> FloatArray:
        """Return x, y [m], vx, vy [m/s] (P, 4) of the people now; computed afresh so that no rounding adds up."""
        if not len(self.people):
            return self.people
        walkers = self.people.copy()
        walkers[:, :2] += self.people[:, 2:] * (self.people_age * self.settings.step_time)
        return walkers

    def must_touch(self, pose: FloatArray) -> bool:
        """Return whether the next step needs Bullet, from the poses (R, 3) before it."""
        marks = self._mark(pose)
        self._changed = self._changed or bool(marks & proximity.CHANGED)
        return bool(marks & proximity.TIGHT) or bool(self._awake)

    def touch_step(self, pose: FloatArray, drift: FloatArray) -> tuple[list[int], FloatArray, FloatArray]:
        """Make one Bullet step; ``must_touch`` must have been asked about the same poses.

        Args:
            pose: (R, 3) x, y [m], yaw [rad] before the step.
            drift: (R, 3) vx, vy [m/s], yaw rate [rad/s] in ``map`` over the step, as the drives would have it.

        Returns:
            the robots for which touching changed the outcome, and for these the poses (R, 3) and velocities (R, 3)
            after the step, in ``map``; rows of other robots mean nothing.
        """
        self._dirty = True
        self._before = pose
        self._pushes.clear()
        if self._changed or self._awake or self._people_moved:
            self._gather(pose)
            self._changed = False
        if self._people_placed:
            self._let_people_pass(pose)
        near, client, body = self._near, self._bodies.client, self._bodies.robot
        # Gravity takes out the vertical velocity again within the step: robots hover at their height.
        rise = self.settings.gravity * self.settings.step_time
        wanted = drift.tolist()
        for i in near:
            vx, vy, omega = wanted[i]
            pybullet.resetBaseVelocity(body[i], (vx, vy, rise), (0.0, 0.0, omega), client)
        pybullet.stepSimulation(client)
        started = self.time
        self.advance_free(1)
        self._synced[near] = self._steps
        touched = self._disturbed(wanted)
        touches = [touch for i in touched for touch in self._touches_of(i, started, drift)]
        result = self._read_robots(touched, pose, drift)
        self._report(started, touches)
        if self._awake:
            self._read_goods()
        return result

    def _mark(self, pose: FloatArray) -> int:
        """Set the flags of what is near a robot; returns ``proximity.TIGHT`` and ``proximity.CHANGED`` bits."""
        settings = self.settings
        return int(
            proximity.mark_near(
                pose,
                self.robot_radius,
                self.static_table,
                self._table_group,
                self.neighbours,
                self.anchors,
                self._walkers(),
                settings.person_radius,
                self.goods_table,
                settings.margin,
                settings.release_margin,
                self._synced,
                self._steps,
                self._near_robot,
                self._near_person,
                self._near_good,
                self._near_group,
            )
        )

    def _gather(self, pose: FloatArray) -> None:
        """Bring into Bullet what is near a robot or a moving good, and park what is not."""
        bodies = self._bodies
        for k in self._awake:
            self._mark_around_good(k, pose)
        for group in np.flatnonzero(self._near_group).tolist():
            if group not in bodies.groups:
                bodies.load_group(group, self._static.take(self._static.body == group), self._groups[group])
        for k in np.flatnonzero(self._near_good).tolist():
            if k not in bodies.good:
                mass, where = float(self._loose_mass[k]), self._loose_pose[k].tolist()
                bodies.create_good(k, self._loose_parts[k], mass, where, self._loose_label[k])
        self._near = np.flatnonzero(self._near_robot).tolist()
        for i in self._placed:
            if i not in self._near:
                bodies.park_robot(i)
        for i in self._near:
            height = float(self._robot_height[i])
            if i not in bodies.robot:
                bodies.create_robot(i, self._shapes[i], height, float(self._mass[i]), float(self._inertia[i]))
            if self._synced[i] != self._steps:
                x, y, yaw = pose[i].tolist()
                bodies.place_robot(i, x, y, yaw, height)
        self._placed = self._near
        self._gather_people()

    def _mark_around_good(self, k: int, pose: FloatArray) -> None:
        reach = self.settings.margin + float(np.hypot(self.goods_table[k, 4], max(self.goods_table[k, 5], 0.0)))
        x, y = self.goods_table[k, :2].tolist()
        proximity.mark_around(
            x, y, reach, self.goods_table, self.static_table, self._table_group, self._near_good, self._near_group
        )
        self._near_robot |= np.hypot(pose[:, 0] - x, pose[:, 1] - y) < reach + self.robot_radius

    def _gather_people(self) -> None:
        near = np.flatnonzero(self._near_person).tolist()
        for k in self._people_placed:
            if k not in near:
                self._bodies.park_person(k)
        walkers = self._walkers()
        self._passing &= set(near)
        for k in near:
            if k not in self._passing:
                self._bodies.place_person(k, *walkers[k].tolist())
        self._people_placed, self._people_moved = near, False

    def _let_people_pass(self, pose: FloatArray) -> None:
        """Let people through who press on a robot that cannot give way; else they would push it through a rack."""
        walkers, radius = self._walkers(), self.settings.person_radius
        for k in self._people_placed:
            x, y, vx, vy = walkers[k].tolist()
            gap = min(self._gap_to_robot(i, pose[i].tolist(), x, y) for i in self._near) - radius
            if k not in self._passing and gap < -self.settings.person_give:
                self._bodies.park_person(k)
                self._passing.add(k)
            elif k in self._passing and gap > 0.0:
                self._bodies.place_person(k, x, y, vx, vy)
                self._passing.discard(k)

    def _gap_to_robot(self, i: int, pose: list[float], x: float, y: float) -> float:
        """Distance [m] from a point to the footprint of robot i at a pose."""
        c, s = cos(pose[2]), sin(pose[2])
        cx, cy, half_length, half_width = self._robot_box[i].tolist()
        dx, dy = x - pose[0], y - pose[1]
        along = max(abs(c * dx + s * dy - cx) - half_length, 0.0)
        return hypot(along, max(abs(c * dy - s * dx - cy) - half_width, 0.0))

    # -- reading back ------------------------------------------------------------------------------------------------

    def _disturbed(self, wanted: list[list[float]]) -> list[int]:
        """Return the robots whose velocity after the step is not the one they were given: something touched them."""
        client, body = self._bodies.client, self._bodies.robot
        found: list[int] = []
        if not self._bodies.good and not pybullet.getContactPoints(physicsClientId=client):
            # One question for all; with goods in, the answer would list where they stand on the floor.
            return found
        for i in self._near:
            (vx, vy, vz), (_, _, omega) = pybullet.getBaseVelocity(body[i], client)
            wx, wy, turn = wanted[i]
            if abs(vx - wx) > _SAME or abs(vy - wy) > _SAME or abs(omega - turn) > _SAME or abs(vz) > _SAME:
                found.append(i)
        return found

    def _touches_of(self, i: int, started: float, drift: FloatArray) -> list[_Touch]:
        """Return what robot i touched in the step just made, one entry for each other body."""
        points = pybullet.getContactPoints(self._bodies.robot[i], physicsClientId=self._bodies.client)
        if not points:
            return []
        merged: dict[int, _Touch] = {}
        x, y = float(self._before[i, 0]), float(self._before[i, 1])
        for point in points:
            if point[9] <= 0.0:
                continue
            own_first = point[1] == self._bodies.robot[i]
            other = point[2] if own_first else point[1]
            sign = 1.0 if own_first else -1.0
            position = point[5] if own_first else point[6]
            # Normals point from the second body to the first.
            normal = (sign * point[7][0], sign * point[7][1])
            touch = merged.get(other)
            if touch is None:
                touch = merged[other] = _Touch(i, other, (float(position[0]), float(position[1])))
                touch.known = self._contacts.goes_on(started, i, self._bodies.label[other])
            approach = 0.0
            if other not in self._bodies.static:
                ux, uy = self._point_velocity(other, position, drift)
                approach = ux * normal[0] + uy * normal[1]
            if not touch.known:
                vx, vy = self._point_velocity(self._bodies.robot[i], position, drift)
                touch.speed = max(touch.speed, float(approach - vx * normal[0] - vy * normal[1]))
            touch.impulse += point[9] * self.settings.step_time
            if other in self._bodies.static or other in self._bodies.person_of:
                push = _Push(other, *normal, position[0] - x, position[1] - y, approach)
                self._pushes.setdefault(i, []).append(push)
        return list(merged.values())

    def _report(self, started: float, touches: list[_Touch]) -> None:
        for touch in touches:
            rebound = sum(push.rebound for push in self._pushes.get(touch.robot, ()) if push.other == touch.other)
            impulse = max(0.0, touch.impulse - rebound)
            if touch.other in self._bodies.person_of:
                # Bullet's people have no mass and stop at nothing; a real one takes what the reduced mass gives.
                mass, body = float(self._mass[touch.robot]), self.settings.person_mass
                impulse = touch.speed * mass * body / (mass + body)
            self._contacts.touch(
                started, touch.robot, self._bodies.label[touch.other], touch.speed, impulse, touch.position
            )
            good = self._bodies.good_of.get(touch.other)
            if good is not None:
                self._awake.setdefault(good, self.time)

    def _point_velocity(self, body: int, position: Any, drift: FloatArray) -> tuple[float, float]:
        """Velocity [m/s] in ``map`` of a body's point before the step."""
        robot = self._bodies.robot_of.get(body)
        if robot is not None:
            centre = self._before[robot]
            vx, vy, omega = drift[robot].tolist()
            return vx - omega * (position[1] - centre[1]), vy + omega * (position[0] - centre[0])
        person = self._bodies.person_of.get(body)
        if person is not None:
            return float(self.people[person, 2]), float(self.people[person, 3])
        return self._good_velocity.get(self._bodies.good_of.get(body, -1), (0.0, 0.0))

    def _read_robots(
        self, touched: list[int], pose: FloatArray, drift: FloatArray
    ) -> tuple[list[int], FloatArray, FloatArray]:
        new_pose, new_velocity = np.empty_like(pose), np.empty_like(pose)
        for i in touched:
            body = self._bodies.robot[i]
            (x, y, z), (_, _, qz, qw) = pybullet.getBasePositionAndOrientation(
                body, physicsClientId=self._bodies.client
            )
            (vx, vy, _), (_, _, omega) = pybullet.getBaseVelocity(body, physicsClientId=self._bodies.client)
            before = float(pose[i, 2])
            yaw = before + _wrapped(2.0 * atan2(qz, qw) - before)
            new_pose[i] = x, y, yaw
            new_velocity[i] = self._without_rebound(i, (vx, vy, omega), drift[i].tolist())
            if abs(z - self._robot_height[i]) > _SAME:
                level = [0.0, 0.0, sin(0.5 * yaw), cos(0.5 * yaw)]
                pybullet.resetBasePositionAndOrientation(
                    body, [x, y, float(self._robot_height[i])], level, physicsClientId=self._bodies.client
                )
        return touched, new_pose, new_velocity

    def _without_rebound(
        self, i: int, velocity: tuple[float, float, float], before: list[float]
    ) -> tuple[float, float, float]:
        """Take out of a velocity what Bullet added to push the robot out of a standing solid or a person.

        Penetration is corrected by velocity, which has moved the robot within the step and must not stay: touching is
        without restitution. Removed as impulses along the contact normals, where a point leaves faster than it did
        before and faster than what it touches, which nothing stops, came towards it.
        """
        vx, vy, omega = velocity
        mass, inertia = float(self._mass[i]), float(self._inertia[i])
        pushes = self._pushes.get(i, ())
        for _ in range(4):
            calm = True
            for push in pushes:
                nx, ny = push.normal_x, push.normal_y
                lever = push.arm_x * ny - push.arm_y * nx
                leaving = vx * nx + vy * ny + omega * lever
                allowed = max(push.approach, before[0] * nx + before[1] * ny + before[2] * lever)
                if leaving > allowed + _SAME:
                    calm = False
                    impulse = (leaving - allowed) / (1.0 / mass + lever * lever / inertia)
                    push.rebound += impulse
                    vx -= impulse * nx / mass
                    vy -= impulse * ny / mass
                    omega -= impulse * lever / inertia
            if calm:
                break
        if any(push.other in self._bodies.person_of for push in pushes):
            # A robot between a person, whom nothing stops, and a rack must not shoot out like a bar of soap.
            fastest = max(hypot(before[0], before[1]), float(np.hypot(self.people[:, 2], self.people[:, 3]).max()))
            scale = min(1.0, fastest / max(hypot(vx, vy), 1e-9))
            most = max(abs(before[2]), 2.0 * fastest / float(self.robot_radius[i]))
            return vx * scale, vy * scale, min(max(omega, -most), most)
        return vx, vy, omega

    def _read_goods(self) -> None:
        for k, body in self._bodies.good.items():
            if not (self._near_good[k] or k in self._awake):
                continue
            linear, angular = pybullet.getBaseVelocity(body, physicsClientId=self._bodies.client)
            speed = max(max(map(abs, linear)), max(map(abs, angular)))
            if speed > self.settings.settle_speed:
                self._awake[k] = self.time
            elif k not in self._awake:
                continue
            elif self.time - self._awake[k] > self.settings.settle_time:
                del self._awake[k]
            self._good_velocity[k] = (linear[0], linear[1])
            position, quaternion = pybullet.getBasePositionAndOrientation(body, physicsClientId=self._bodies.client)
            self._loose_pose[k] = (*position, *quaternion)
            self._update_footprint(k)

    def _update_footprint(self, k: int) -> None:
        x, y, _, qx, qy, qz, qw = self._loose_pose[k].tolist()
        half = self._loose_half[k]
        if qx * qx + qy * qy < 1e-4:
            yaw = 2.0 * atan2(qz, qw)
            self.goods_table[k] = x, y, cos(yaw), sin(yaw), half[0], half[1]
        else:
            self.goods_table[k] = x, y, 1.0, 0.0, float(np.linalg.norm(half)), -1.0


def _wrapped(angle: float) -> float:
    return atan2(sin(angle), cos(angle))
