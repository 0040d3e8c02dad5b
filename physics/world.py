"""The PyBullet world: where robots, goods and people touch.

What is free does not need a physics engine: robots are moved by their drive model (``robots.drive``), people by their
walk, goods stand still. Only when a robot comes near something does it enter Bullet, together with what it is near: the
rack row (one compound body), the carton, the person, the other robot. Bullet answers only what touching changes. In
each such step a robot gets the velocity of its drive model, and is read back if the outcome differs.

Order of moving bodies for a ``Scene``: robots 0..R-1, then people, then loose goods, then a fork carriage and the inner
stage of a mast for each robot that has them (see ``body_pose``).

A reset empties the Bullet client and lets bodies come in again when they are needed. That costs a few milliseconds and
makes every episode bit-equal to one in a new process: ``restoreState`` leaves out sleep states, contact caches and the
broadphase tree, on which the outcome of contacts depends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import atan2, cos, hypot, inf, sin
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.errors import InputError
from ..common.geometry import quaternion_from_yaw
from ..common.primitives import Primitives
from ..layouts.geometry import LayoutSolids
from . import bullet, proximity
from .bodies import Bodies
from .bullet import pybullet
from .contacts import Contact, ContactTracker
from .goods import LooseGoods
from .pool import WorldPool
from .rebound import SAME, Push, Touch, without_rebound
from .settings import PhysicsSettings

FloatArray = NDArray[np.float64]

__all__ = ["World", "WorldPool"]


_UPRIGHT_NORMAL = 0.7
"""Contact normals whose vertical part is above this are of something above or below."""


class World(LooseGoods):
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
        self._solids = static

        self._set_goods(loose, loose_pose, loose_mass, loose_id)
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

    def set_robots(
        self,
        shapes: Sequence[Primitives],
        held: Mapping[int, Primitives] | None = None,
        lift: ArrayLike | None = None,
    ) -> None:
        """Say which robots there are; call ``reset`` afterwards.

        Args:
            shapes: R robots' solids in ``base_link``.
            held: what robots hold out besides (a fork carriage), by robot: solids in ``base_link`` at hold height 0;
                those of body 0 go up and down with it, those of body 1 go half as far and touch nothing.
            lift: (R,) how high each may raise what it holds [m]; None: not at all.
        """
        self._shapes = list(shapes)
        count = len(self._shapes)
        self._shape_box = [bullet.bounding_box(shape) for shape in self._shapes]
        self._robot_height = np.array([c[2] for c, _ in self._shape_box])
        self._lift = np.zeros(count) if lift is None else np.array(lift, dtype=np.float64)
        self._cargo.rides.clear()
        self._cargo.parts = dict(held or {})
        self._bodies.part_by_position(not self._lift.any())
        self.robot_radius: FloatArray = np.zeros(count)
        """(R,) radius [m] of the circle about ``base_link`` that holds the shape and what is held."""
        self._robot_box = np.zeros((count, 4))
        self.anchors: FloatArray = np.zeros((count, 4))
        self._base_top = max((self._measure(i) for i in range(count)), default=0.02)
        self._lay_table(self._base_top)
        self._robot_pose: FloatArray = np.zeros((count, 3))
        self._near_robot = np.zeros(count, dtype=np.bool_)
        self._near_group = np.zeros(max(len(self._groups), 1), dtype=np.bool_)
        self._near_good = np.zeros(len(self._start_pose), dtype=np.bool_)
        self._mass = np.ones(count)
        self._inertia = np.ones(count)

    def follow(self, pose: FloatArray) -> None:
        """Take robots to be where an array (R, 3) x, y [m], yaw [rad] says, which is kept and not copied."""
        self._robot_pose = pose

    def _lay_table(self, top: float) -> None:
        """List the footprints of what something of a height [m] can touch, and what of it may come into Bullet."""
        self._table_top = top
        self._static = self._solids.take(proximity.touchable(self._solids, max(self.settings.reach, top)))
        low = self._static.take(proximity.touchable(self._static, top))
        self.static_table: FloatArray = np.column_stack([proximity.footprints(low), proximity.heights(low)[0]])
        """(K, 7) footprints of what robots can touch (see ``physics.proximity``), and their lowest z [m]."""
        self._table_group = low.body.astype(np.int64)
        self.neighbours: NDArray[np.int32] = np.zeros((self.robot_count, len(low) + 1), dtype=np.int32)
        self.anchors[:, 2] = 0.0

    def _reach_up(self, top: float) -> None:
        """See to it that all that something of a height [m] can touch is known and, where need be, in Bullet."""
        if top <= self._table_top:
            return
        known = max(self.settings.reach, self._table_top)
        self._lay_table(top)
        if top > known:
            new = self._static.take(~proximity.touchable(self._static, known))
            for group in sorted(self._bodies.groups & set(new.body.tolist())):
                self._bodies.load_group(group, new.take(new.body == group), self._groups[group])

    def _measure(self, i: int) -> float:
        """Measure robot i with what it holds; returns the height [m] that it must have free at most."""
        centre, half = self._shape_box[i]
        low, high = centre - half, centre + half
        held = self._cargo.held(i)
        if held is not None:
            centre, half = bullet.bounding_box(held)
            half[2] += float(self._lift[i])
            low, high = np.minimum(low, centre - half), np.maximum(high, centre + half)
            centre, half = 0.5 * (low + high), 0.5 * (high - low)
        self.robot_radius[i] = hypot(abs(centre[0]) + half[0], abs(centre[1]) + half[1])
        self._robot_box[i] = centre[0], centre[1], half[0], half[1]
        top = float(high[2]) + 0.02
        self.anchors[i, 2:] = 0.0, top
        return top

    def _refit(self, i: int) -> None:
        self._reach_up(self._measure(i))
        self._bodies.drop_held(i)
        self._changed = True

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
        self.before_step: Callable[[Bodies], None] | None = None
        """Called before every Bullet step of this run, if set: conveyors move their belts."""
        self._reset_goods()
        if self._table_top > self._base_top:
            self._lay_table(self._base_top)
        self._synced: NDArray[np.int64] = np.full(self.robot_count, -1, dtype=np.int64)
        self._near: list[int] = []
        self._changed = True
        self._placed: list[int] = []
        self._people_placed: list[int] = []
        self._passing: set[int] = set()
        self._pushes: dict[int, list[Push]] = {}
        self.hold_stops: dict[int, tuple[str, str, float]] = {}
        """By robot, what was above or below the things it holds in the last step and touched them: class name, id, and
        the vertical part of the normal towards them (below 0: it is above)."""
        for i in range(self.robot_count):
            self._measure(i)
        self._steps = 0
        self._contacts.clear()
        self.people: FloatArray = np.zeros((0, 4))
        """(P, 4) x, y [m] of the people ``people_age`` steps ago, and vx, vy [m/s], at which they walk since."""
        self.people_age = 0
        self._walked = self.people, 0, self.people
        """The people, their age, and where they were then: asked for several times in a step."""
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
    def robot_top(self) -> FloatArray:
        """Heights (R,) [m] that the robots reach up to, with what they hold raised as high as it goes."""
        return self.anchors[:, 3]

    def person_pose(self) -> FloatArray:
        """Return the people's poses (P, 3) x, y [m], yaw [rad] now."""
        return np.column_stack([self._walkers()[:, :2], self._person_yaw])

    def body_pose(self, robot_pose: ArrayLike) -> FloatArray:
        """Return the poses (B, 7) of all moving bodies for ``Scene.update``, in the order told above.

        Args:
            robot_pose: (R, 3) x, y [m], yaw [rad].
        """
        robots = np.asarray(robot_pose, dtype=np.float64).reshape(-1, 3)
        self._cargo.move(self._loose_pose, robots)
        planar = np.concatenate([robots, self.person_pose()])
        upright = np.column_stack([planar[:, :2], np.zeros(len(planar)), quaternion_from_yaw(planar[:, 2])])
        return np.concatenate([upright, self._loose_pose, self._cargo.part_poses(robots)])

    def bullet_pose(self) -> FloatArray:
        """Return the poses (R, 3) x, y [m], yaw [rad] that Bullet itself has; NaN for robots that are not in it now."""
        pose = np.full((self.robot_count, 3), np.nan)
        for i in np.flatnonzero(self._synced[: len(pose)] == self._steps).tolist():
            place = pybullet.getBasePositionAndOrientation(self._bodies.robot[i], physicsClientId=self._bodies.client)
            (x, y, _), (_, _, qz, qw) = place
            pose[i] = x, y, 2.0 * atan2(qz, qw)
        return pose

    @property
    def touching(self) -> bool:
        """Whether contacts began since the last call of ``contacts``."""
        return self._contacts.waiting

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
        rows = rows[self.static_table[rows, 6] < self.anchors[robot, 3]]
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
        if self._walked[0] is not self.people or self._walked[1] != self.people_age:
            walkers = self.people.copy()
            walkers[:, :2] += self.people[:, 2:] * (self.people_age * self.settings.step_time)
            self._walked = self.people, self.people_age, walkers
        return self._walked[2]

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
        self.hold_stops.clear()
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
            if i in self._bodies.held:
                lift = self._hold_speed.get(i, 0.0)
                self._bodies.place_held(
                    i, pose[i].tolist(), self._cargo.height.get(i, 0.0), (vx, vy, rise + lift), omega
                )
        if self.before_step is not None:
            self.before_step(self._bodies)
        pybullet.stepSimulation(client)
        started = self.time
        self.advance_free(1)
        self._synced[near] = self._steps
        touched = self._disturbed(wanted)
        self._hold_speed.clear()
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
        self._bring_goods()
        for group in np.flatnonzero(self._near_group).tolist():
            if group not in bodies.groups:
                bodies.load_group(group, self._static.take(self._static.body == group), self._groups[group])
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
            held = self._cargo.held(i)
            if held is not None and i not in bodies.held:
                bodies.create_held(i, held)
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
            if k not in self._passing and self._is_clear(pose, x, y):
                continue
            gap = min(self._gap_to_robot(i, pose[i].tolist(), x, y) for i in self._near) - radius
            if k not in self._passing and gap < -self.settings.person_give:
                self._bodies.park_person(k)
                self._passing.add(k)
            elif k in self._passing and gap > 0.0:
                self._bodies.place_person(k, x, y, vx, vy)
                self._passing.discard(k)

    def _is_clear(self, pose: FloatArray, x: float, y: float) -> bool:
        """Whether a person at a point is outside the circles of all robots that are near anything."""
        radius = self.settings.person_radius
        return all(
            hypot(x - float(pose[i, 0]), y - float(pose[i, 1])) > float(self.robot_radius[i]) + radius
            for i in self._near
        )

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
        client = self._bodies.client
        found: list[int] = []
        if not self._bodies.good and not pybullet.getContactPoints(physicsClientId=client):
            # One question for all; with goods in, the answer would list where they stand on the floor.
            return found
        step, px, py = self.settings.step_time, self._before[:, 0].tolist(), self._before[:, 1].tolist()
        for i in self._near:
            wx, wy, turn = wanted[i]
            for number, body in enumerate(self._bodies.of_robot(i)):
                (vx, vy, vz), (_, _, omega) = pybullet.getBaseVelocity(body, client)
                vz -= self._hold_speed.get(i, 0.0) if number else 0.0
                if abs(vx - wx) > SAME or abs(vy - wy) > SAME or abs(omega - turn) > SAME or abs(vz) > SAME:
                    found.append(i)
                    break
            else:
                # What is overlapped is left by way of the pose, without a change of velocity.
                (x, y, z), _ = pybullet.getBasePositionAndOrientation(self._bodies.robot[i], client)
                gone = max(abs(x - px[i] - wx * step), abs(y - py[i] - wy * step), abs(z - self._robot_height[i]))
                if gone > SAME:
                    found.append(i)
        return found

    def _touches_of(self, i: int, started: float, drift: FloatArray) -> list[Touch]:
        """Return what robot i touched in the step just made, one entry for each other body."""
        points = [
            (body, point)
            for body in self._bodies.of_robot(i)
            for point in pybullet.getContactPoints(body, physicsClientId=self._bodies.client)
        ]
        merged: dict[int, Touch] = {}
        x, y = float(self._before[i, 0]), float(self._before[i, 1])
        for own, point in points:
            if point[9] <= 0.0:
                continue
            own_first = point[1] == own
            other = point[2] if own_first else point[1]
            sign = 1.0 if own_first else -1.0
            position = point[5] if own_first else point[6]
            # Normals point from the second body to the first.
            normal = (sign * point[7][0], sign * point[7][1])
            if own != self._bodies.robot[i] and abs(point[7][2]) > _UPRIGHT_NORMAL:
                self.hold_stops.setdefault(i, (*self._bodies.label[other], sign * point[7][2]))
                if other in self._bodies.good_of:
                    # What lies on forks, or comes to lie on something, is no collision.
                    self._awake.setdefault(self._bodies.good_of[other], self.time)
                    continue
            touch = merged.get(other)
            if touch is None:
                touch = merged[other] = Touch(i, other, (float(position[0]), float(position[1])))
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
                push = Push(other, *normal, position[0] - x, position[1] - y, approach)
                self._pushes.setdefault(i, []).append(push)
        return list(merged.values())

    def _report(self, started: float, touches: list[Touch]) -> None:
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
            blow_x, blow_y, blow_turn = self._blow_on_held(i, drift[i].tolist())
            if blow_x or blow_y or blow_turn:
                step = self.settings.step_time
                x, y, yaw, z = x + blow_x * step, y + blow_y * step, yaw + blow_turn * step, inf
            new_pose[i] = x, y, yaw
            after = vx + blow_x, vy + blow_y, omega + blow_turn
            new_velocity[i] = self._without_rebound(i, after, drift[i].tolist())
            if abs(z - self._robot_height[i]) > SAME:
                level = [0.0, 0.0, sin(0.5 * yaw), cos(0.5 * yaw)]
                pybullet.resetBasePositionAndOrientation(
                    body, [x, y, float(self._robot_height[i])], level, physicsClientId=self._bodies.client
                )
        return touched, new_pose, new_velocity

    def _blow_on_held(self, i: int, wanted: list[float]) -> tuple[float, float, float]:
        """Return the change of velocity [m/s, rad/s] that a robot has from what met the things it holds."""
        if i not in self._bodies.held:
            return 0.0, 0.0, 0.0
        (vx, vy, _), (_, _, omega) = pybullet.getBaseVelocity(self._bodies.held[i], self._bodies.client)
        return vx - wanted[0], vy - wanted[1], omega - wanted[2]

    def _without_rebound(
        self, i: int, velocity: tuple[float, float, float], before: list[float]
    ) -> tuple[float, float, float]:
        """Take out of a velocity what Bullet added to part bodies; see ``rebound.without_rebound``."""
        pushes = self._pushes.get(i, ())
        vx, vy, omega = without_rebound(pushes, velocity, before, float(self._mass[i]), float(self._inertia[i]))
        if any(push.other in self._bodies.person_of for push in pushes):
            # A robot between a person, whom nothing stops, and a rack must not shoot out like a bar of soap.
            fastest = max(hypot(before[0], before[1]), float(np.hypot(self.people[:, 2], self.people[:, 3]).max()))
            scale = min(1.0, fastest / max(hypot(vx, vy), 1e-9))
            most = max(abs(before[2]), 2.0 * fastest / float(self.robot_radius[i]))
            return vx * scale, vy * scale, min(max(omega, -most), most)
        return vx, vy, omega


def _wrapped(angle: float) -> float:
    return atan2(sin(angle), cos(angle))
