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

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
from .bullet import pybullet
from .contacts import Contact, ContactTracker
from .settings import PhysicsSettings

FloatArray = NDArray[np.float64]

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

        self._client = bullet.acquire_client()
        self._contacts = ContactTracker(self.settings.contact_pause, self.settings.impact_time)
        self._dirty = True
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
            self._empty_client()
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
        self._person_yaw = np.zeros(0)
        self._near_person = np.zeros(0, dtype=np.bool_)

    def _empty_client(self) -> None:
        settings, client = self.settings, self._client
        pybullet.resetSimulation(physicsClientId=client)
        pybullet.setGravity(0, 0, -settings.gravity, physicsClientId=client)
        pybullet.setTimeStep(settings.step_time, physicsClientId=client)
        pybullet.setPhysicsEngineParameter(
            numSolverIterations=settings.solver_iterations,
            contactERP=settings.contact_erp,
            deterministicOverlappingPairs=1,
            physicsClientId=client,
        )
        plane = pybullet.createCollisionShape(pybullet.GEOM_PLANE, physicsClientId=client)
        floor = pybullet.createMultiBody(0, plane, useMaximalCoordinates=True, physicsClientId=client)
        pybullet.changeDynamics(floor, -1, lateralFriction=settings.static_friction, physicsClientId=client)
        bullet.set_filter(client, floor, bullet.FLOOR)
        self._identity: dict[int, tuple[str, str]] = {int(floor): ("floor", "floor")}
        self._loaded_groups: set[int] = set()
        self._static_bodies: set[int] = set()
        self._robot_body: dict[int, int] = {}
        self._robot_synced: dict[int, int] = {}
        self._person_body: dict[int, int] = {}
        self._person_synced: dict[int, int] = {}
        self._good_body: dict[int, int] = {}
        self._good_of_body: dict[int, int] = {}
        self._robot_of_body: dict[int, int] = {}
        self._person_of_body: dict[int, int] = {}
        self._awake: dict[int, float] = {}
        self._good_velocity: dict[int, tuple[float, float]] = {}
        self._braced: dict[int, list[tuple[float, float, float, float]]] = {}
        self._rebound: dict[int, float] = {}
        self._dirty = False

    def set_mass(self, robot: int, mass: float, inertia: float) -> None:
        """Change the mass [kg] and the inertia about z [kg m^2] of a robot, for example when it takes up a load."""
        self._mass[robot], self._inertia[robot] = mass, inertia
        if robot in self._robot_body:
            self._set_inertia(robot)

    def close(self) -> None:
        """Give the Bullet client back for the next world. The world cannot be used afterwards."""
        if self._client >= 0:
            bullet.release_client(self._client)
            self._client = -1

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
        for k in self._person_synced:
            self._person_synced[k] = -2

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
        walkers = self.people.copy()
        walkers[:, :2] += self.people[:, 2:] * (self.people_age * self.settings.step_time)
        return walkers

    def touch_step(self, pose: FloatArray, drift: FloatArray) -> tuple[list[int], FloatArray, FloatArray]:
        """Make one Bullet step.

        Args:
            pose: (R, 3) x, y [m], yaw [rad] before the step.
            drift: (R, 3) vx, vy [m/s], yaw rate [rad/s] in ``map`` over the step, as the drives would have it.

        Returns:
            the robots for which touching changed the outcome, and for these the poses (R, 3) and velocities (R, 3)
            after the step, in ``map``; rows of other robots mean nothing.
        """
        self._dirty = True
        self._before = pose
        self._braced.clear()
        self._rebound.clear()
        near = self._gather(pose)
        gravity = self.settings.gravity * self.settings.step_time
        for i in near:
            vx, vy, omega = drift[i].tolist()
            # Gravity takes out the vertical velocity again within the step: robots hover at their height.
            pybullet.resetBaseVelocity(
                self._robot_body[i], [vx, vy, gravity], [0.0, 0.0, omega], physicsClientId=self._client
            )
        pybullet.stepSimulation(physicsClientId=self._client)
        started = self.time
        self.advance_free(1)
        self._robot_synced.update((i, self._steps) for i in near)
        touched = self._disturbed(near, drift)
        touches = [touch for i in touched for touch in self._touches_of(i, started, drift)]
        result = self._read_robots(touched, pose, drift)
        self._report(started, touches)
        self._read_goods()
        return result

    def _gather(self, pose: FloatArray) -> list[int]:
        """Bring into Bullet what is near a robot or a moving good, park what is not; return the robots in it."""
        settings = self.settings
        x, y = np.ascontiguousarray(pose[:, 0]), np.ascontiguousarray(pose[:, 1])
        margin = np.where(
            [self._robot_synced.get(i) == self._steps for i in range(len(pose))],
            settings.release_margin,
            settings.margin,
        )
        proximity.mark_near(
            x,
            y,
            self.robot_radius,
            self.static_table,
            self._table_group,
            self.neighbours,
            self.anchors,
            self._walkers(),
            settings.person_radius,
            self.goods_table,
            margin,
            self._near_robot,
            self._near_person,
            self._near_good,
            self._near_group,
        )
        for k in list(self._awake):
            self._gather_around_good(k, x, y)
        for group in np.flatnonzero(self._near_group).tolist():
            if group not in self._loaded_groups:
                self._load_group(group)
        for k in np.flatnonzero(self._near_good).tolist():
            if k not in self._good_body:
                self._create_good(k)
        near = np.flatnonzero(self._near_robot).tolist()
        for i in list(self._robot_synced):
            if i not in near:
                self._park(self._robot_body[i], bullet.ROBOT)
                del self._robot_synced[i]
        for i in near:
            if self._robot_synced.get(i) != self._steps:
                self._place_robot(i, pose[i])
        self._place_people()
        return near

    def _gather_around_good(self, k: int, x: FloatArray, y: FloatArray) -> None:
        radius = float(np.hypot(self.goods_table[k, 4], max(self.goods_table[k, 5], 0.0)))
        reach = radius + self.settings.margin
        cx, cy = self.goods_table[k, 0], self.goods_table[k, 1]
        proximity.mark_around(
            cx, cy, reach, self.goods_table, self.static_table, self._table_group, self._near_good, self._near_group
        )
        self._near_robot |= np.hypot(x - cx, y - cy) < reach + self.robot_radius

    def _load_group(self, group: int) -> None:
        self._loaded_groups.add(group)
        solids = self._static.take(self._static.body == group)
        for body in bullet.load_static(self._client, solids, self.settings.static_friction):
            self._identity[body] = self._groups[group]
            self._static_bodies.add(body)

    def _create_good(self, k: int) -> None:
        pose = self._loose_pose[k]
        body = bullet.create_body(self._client, self._loose_parts[k], float(self._loose_mass[k]), pose[:3], pose[3:])
        # Asleep until an awake body touches it: resting goods cost nothing and do not creep.
        pybullet.changeDynamics(
            body,
            -1,
            lateralFriction=self.settings.goods_friction,
            linearDamping=0.0,
            angularDamping=0.0,
            activationState=pybullet.ACTIVATION_STATE_SLEEP,
            physicsClientId=self._client,
        )
        bullet.set_filter(self._client, body, bullet.GOODS)
        self._good_body[k], self._good_of_body[body] = body, k
        self._identity[body] = self._loose_label[k]

    def _place_robot(self, i: int, pose: FloatArray) -> None:
        """Create a robot in Bullet or bring it there from where it was parked."""
        height = float(self._robot_height[i])
        position = [float(pose[0]), float(pose[1]), height]
        quaternion = quaternion_from_yaw(float(pose[2])).tolist()
        if i not in self._robot_body:
            shape = self._shapes[i]
            lowered = replace(shape, position=shape.position - np.array([0.0, 0.0, height]))
            body = bullet.create_body(self._client, lowered, float(self._mass[i]), position, quaternion)
            self._robot_body[i], self._robot_of_body[body] = body, i
            self._identity[body] = ("amr", f"amr_{i}")
            pybullet.changeDynamics(
                body,
                -1,
                lateralFriction=self.settings.robot_friction,
                linearDamping=0.0,
                angularDamping=0.0,
                physicsClientId=self._client,
            )
            self._set_inertia(i)
        body = self._robot_body[i]
        pybullet.resetBasePositionAndOrientation(body, position, quaternion, physicsClientId=self._client)
        self._unpark(body, bullet.ROBOT)

    def _set_inertia(self, i: int) -> None:
        # The mass must come along: PyBullet takes a missing one for zero, and a mass alone wipes the inertia.
        tilt = self.settings.tilt_inertia
        pybullet.changeDynamics(
            self._robot_body[i],
            -1,
            mass=float(self._mass[i]),
            localInertiaDiagonal=[tilt, tilt, float(self._inertia[i])],
            physicsClientId=self._client,
        )

    def _place_people(self) -> None:
        walkers = self._walkers()
        for k in list(self._person_synced):
            if not self._near_person[k]:
                bullet.set_filter(self._client, self._person_body[k], bullet.PERSON, touches=False)
                del self._person_synced[k]
        for k in np.flatnonzero(self._near_person).tolist():
            if k not in self._person_body:
                self._create_person(k)
            if self._person_synced.get(k) != self._steps - 1:
                body = self._person_body[k]
                x, y, vx, vy = walkers[k].tolist()
                height = 0.5 * (self.settings.person_height - self.settings.person_radius)
                pybullet.resetBasePositionAndOrientation(
                    body, [x, y, height], [0.0, 0.0, 0.0, 1.0], physicsClientId=self._client
                )
                pybullet.resetBaseVelocity(body, [vx, vy, 0.0], [0.0, 0.0, 0.0], physicsClientId=self._client)
                bullet.set_filter(self._client, body, bullet.PERSON)
            self._person_synced[k] = self._steps

    def _create_person(self, k: int) -> None:
        """A person is a capsule without mass in reduced coordinates: it walks at its velocity and nothing stops it.

        Its lower half sphere is under the floor, so that low robots meet an upright side.
        """
        settings = self.settings
        shape = pybullet.createCollisionShape(
            pybullet.GEOM_CAPSULE,
            radius=settings.person_radius,
            height=settings.person_height - settings.person_radius,
            physicsClientId=self._client,
        )
        body = int(pybullet.createMultiBody(0, shape, physicsClientId=self._client))
        self._person_body[k], self._person_of_body[body] = body, k
        self._identity[body] = ("person", f"person_{k}")

    def _park(self, body: int, group: int) -> None:
        bullet.set_filter(self._client, body, group, touches=False)
        pybullet.changeDynamics(body, -1, activationState=pybullet.ACTIVATION_STATE_SLEEP, physicsClientId=self._client)

    def _unpark(self, body: int, group: int) -> None:
        bullet.set_filter(self._client, body, group)
        pybullet.changeDynamics(
            body, -1, activationState=pybullet.ACTIVATION_STATE_DISABLE_SLEEPING, physicsClientId=self._client
        )

    # -- reading back ------------------------------------------------------------------------------------------------

    def _disturbed(self, near: list[int], drift: FloatArray) -> list[int]:
        """Return the robots whose velocity after the step is not the one they were given: something touched them."""
        client, found = self._client, []
        for i in near:
            (vx, vy, vz), (_, _, omega) = pybullet.getBaseVelocity(self._robot_body[i], physicsClientId=client)
            wx, wy, turn = drift[i].tolist()
            if abs(vx - wx) > _SAME or abs(vy - wy) > _SAME or abs(omega - turn) > _SAME or abs(vz) > _SAME:
                found.append(i)
        return found

    def _touches_of(self, i: int, started: float, drift: FloatArray) -> list[_Touch]:
        """Return what robot i touched in the step just made, one entry for each other body."""
        points = pybullet.getContactPoints(self._robot_body[i], physicsClientId=self._client)
        if not points:
            return []
        merged: dict[int, _Touch] = {}
        x, y = float(self._before[i, 0]), float(self._before[i, 1])
        for point in points:
            if point[9] <= 0.0:
                continue
            own_first = point[1] == self._robot_body[i]
            other = point[2] if own_first else point[1]
            sign = 1.0 if own_first else -1.0
            position = point[5] if own_first else point[6]
            # Normals point from the second body to the first.
            normal = (sign * point[7][0], sign * point[7][1])
            touch = merged.get(other)
            if touch is None:
                touch = merged[other] = _Touch(i, other, (float(position[0]), float(position[1])))
                touch.known = self._contacts.goes_on(started, i, self._identity[other])
            if not touch.known:
                touch.speed = max(touch.speed, self._closing_speed(i, other, position, normal, drift))
            touch.impulse += point[9] * self.settings.step_time
            if other in self._static_bodies:
                self._braced.setdefault(i, []).append((*normal, position[0] - x, position[1] - y))
        return list(merged.values())

    def _report(self, started: float, touches: list[_Touch]) -> None:
        braced: dict[int, float] = {}
        for touch in touches:
            if touch.other in self._static_bodies:
                braced[touch.robot] = braced.get(touch.robot, 0.0) + touch.impulse
        for touch in touches:
            impulse = touch.impulse
            if touch.other in self._static_bodies:
                # Without the share that only pushed the robot out of the solid.
                impulse *= max(0.0, 1.0 - self._rebound.get(touch.robot, 0.0) / braced[touch.robot])
            self._contacts.touch(
                started, touch.robot, self._identity[touch.other], touch.speed, impulse, touch.position
            )
            good = self._good_of_body.get(touch.other)
            if good is not None:
                self._awake.setdefault(good, self.time)

    def _closing_speed(
        self, i: int, other: int, position: Any, normal: tuple[float, float], drift: FloatArray
    ) -> float:
        vx, vy = self._point_velocity(self._robot_body[i], position, drift)
        ux, uy = self._point_velocity(other, position, drift)
        return float(max(0.0, -((vx - ux) * normal[0] + (vy - uy) * normal[1])))

    def _point_velocity(self, body: int, position: Any, drift: FloatArray) -> tuple[float, float]:
        """Velocity [m/s] in ``map`` of a body's point before the step."""
        robot = self._robot_of_body.get(body)
        if robot is not None:
            centre = self._before[robot]
            vx, vy, omega = drift[robot].tolist()
            return vx - omega * (position[1] - centre[1]), vy + omega * (position[0] - centre[0])
        person = self._person_of_body.get(body)
        if person is not None:
            return float(self.people[person, 2]), float(self.people[person, 3])
        return self._good_velocity.get(self._good_of_body.get(body, -1), (0.0, 0.0))

    def _read_robots(
        self, touched: list[int], pose: FloatArray, drift: FloatArray
    ) -> tuple[list[int], FloatArray, FloatArray]:
        new_pose, new_velocity = np.empty_like(pose), np.empty_like(pose)
        for i in touched:
            body = self._robot_body[i]
            (x, y, z), (_, _, qz, qw) = pybullet.getBasePositionAndOrientation(body, physicsClientId=self._client)
            (vx, vy, _), (_, _, omega) = pybullet.getBaseVelocity(body, physicsClientId=self._client)
            before = float(pose[i, 2])
            yaw = before + _wrapped(2.0 * atan2(qz, qw) - before)
            new_pose[i] = x, y, yaw
            new_velocity[i] = self._without_rebound(i, (vx, vy, omega), drift[i].tolist())
            if abs(z - self._robot_height[i]) > _SAME:
                level = [0.0, 0.0, sin(0.5 * yaw), cos(0.5 * yaw)]
                pybullet.resetBasePositionAndOrientation(
                    body, [x, y, float(self._robot_height[i])], level, physicsClientId=self._client
                )
        return touched, new_pose, new_velocity

    def _without_rebound(
        self, i: int, velocity: tuple[float, float, float], before: list[float]
    ) -> tuple[float, float, float]:
        """Take out of a velocity what Bullet added to push the robot out of a standing solid.

        Penetration is corrected by velocity, which has moved the robot within the step and must not stay: touching is
        without restitution. Removed as impulses along the contact normals, where a point leaves faster than before.
        """
        vx, vy, omega = velocity
        mass, inertia = float(self._mass[i]), float(self._inertia[i])
        braced = self._braced.get(i, ())
        for _ in range(4):
            calm = True
            for nx, ny, ax, ay in braced:
                lever = ax * ny - ay * nx
                leaving = vx * nx + vy * ny + omega * lever
                allowed = max(0.0, before[0] * nx + before[1] * ny + before[2] * lever)
                if leaving > allowed + _SAME:
                    calm = False
                    impulse = (leaving - allowed) / (1.0 / mass + lever * lever / inertia)
                    self._rebound[i] = self._rebound.get(i, 0.0) + impulse
                    vx -= impulse * nx / mass
                    vy -= impulse * ny / mass
                    omega -= impulse * lever / inertia
            if calm:
                break
        return vx, vy, omega

    def _read_goods(self) -> None:
        for k, body in self._good_body.items():
            if not (self._near_good[k] or k in self._awake):
                continue
            linear, angular = pybullet.getBaseVelocity(body, physicsClientId=self._client)
            speed = max(max(map(abs, linear)), max(map(abs, angular)))
            if speed > self.settings.settle_speed:
                self._awake[k] = self.time
            elif k not in self._awake:
                continue
            elif self.time - self._awake[k] > self.settings.settle_time:
                del self._awake[k]
            self._good_velocity[k] = (linear[0], linear[1])
            position, quaternion = pybullet.getBasePositionAndOrientation(body, physicsClientId=self._client)
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


class WorldPool:
    """Keeps the worlds a process has built, so that clients and worlds are used again.

    Args:
        size: how many worlds are kept; the one used longest ago is closed, and its Bullet client serves the next.
    """

    def __init__(self, size: int = 4) -> None:
        if size < 1:
            raise InputError(f"a pool holds at least one world, not {size}")
        self._size = size
        self._worlds: OrderedDict[str, World] = OrderedDict()

    def get(self, key: str, build: Callable[[], World]) -> World:
        """Return the world of a key (for example the layout's hash), reset; build it if it is not there."""
        world = self._worlds.pop(key, None)
        if world is None:
            while len(self._worlds) >= self._size:
                self._worlds.popitem(last=False)[1].close()
            world = build()
        else:
            world.reset()
        self._worlds[key] = world
        return world

    def close(self) -> None:
        """Close all worlds."""
        while self._worlds:
            self._worlds.popitem()[1].close()


def _wrapped(angle: float) -> float:
    return atan2(sin(angle), cos(angle))
