"""The bodies of one world inside its Bullet client: brought in when first needed, parked when not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import cos, sin

import numpy as np

from ..common.classes import class_name
from ..common.geometry import quaternion_from_yaw
from ..common.primitives import Primitives
from . import bullet
from .bullet import pybullet
from .settings import PhysicsSettings


class Bodies:
    """Creates, places and parks bodies, and knows who they are.

    Attributes:
        label: class name and id by Bullet body.
        static: Bullet bodies that stand still; groups: the static groups that are loaded.
        robot, good, person: Bullet body by index; held: that of what a robot holds, by robot.
        robot_of, good_of, person_of: index by Bullet body.
    """

    def __init__(self, settings: PhysicsSettings) -> None:
        self._settings = settings
        self.client = bullet.acquire_client()
        self._by_position = True
        self.empty()

    def empty(self) -> None:
        """Empty the client and lay the floor."""
        settings, client = self._settings, self.client
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
        floor = int(pybullet.createMultiBody(0, plane, useMaximalCoordinates=True, physicsClientId=client))
        pybullet.changeDynamics(floor, -1, lateralFriction=settings.static_friction, physicsClientId=client)
        bullet.set_filter(client, floor, bullet.FLOOR)
        self.part_by_position(self._by_position)
        self.label: dict[int, tuple[str, str]] = {floor: ("floor", "floor")}
        self.static: set[int] = set()
        self.groups: set[int] = set()
        self.robot: dict[int, int] = {}
        self.good: dict[int, int] = {}
        self.held: dict[int, int] = {}
        self.person: dict[int, int] = {}
        self.robot_of: dict[int, int] = {}
        self.good_of: dict[int, int] = {}
        self.person_of: dict[int, int] = {}
        self._mass: dict[int, tuple[float, float]] = {}
        self._held_shapes: dict[bytes, int] = {}

    def part_by_position(self, wanted: bool) -> None:
        """Say whether overlapping bodies are parted by position alone (split impulses), or by velocity.

        By velocity, what is pushed hops: a carton of 20 kg drags with 1.08 to 1.11 mu m g instead of 0.99 to 1.02. But
        by position, a tonne on a pallet of 25 kg sinks into it by millimetres.
        """
        self._by_position = wanted
        pybullet.setPhysicsEngineParameter(
            useSplitImpulse=int(wanted), splitImpulsePenetrationThreshold=0.0, physicsClientId=self.client
        )

    def close(self) -> None:
        """Give the client back for the next world."""
        if self.client >= 0:
            bullet.release_client(self.client)
            self.client = -1

    def load_group(self, group: int, solids: Primitives, label: tuple[str, str]) -> None:
        """Load the solids (frame ``map``) of a static group."""
        self.groups.add(group)
        for body in bullet.load_static(self.client, solids, self._settings.static_friction):
            self.label[body] = label
            self.static.add(body)

    def create_good(
        self, k: int, solids: Primitives, mass: float, pose: Sequence[float], label: tuple[str, str]
    ) -> None:
        """Bring in loose good k, mass [kg], at its pose (7,); asleep until an awake body touches it."""
        body = bullet.create_body(self.client, solids, mass, pose[:3], pose[3:])
        pybullet.changeDynamics(
            body,
            -1,
            lateralFriction=self._settings.goods_friction,
            linearDamping=0.0,
            angularDamping=0.0,
            activationState=pybullet.ACTIVATION_STATE_SLEEP,
            physicsClientId=self.client,
        )
        bullet.set_filter(self.client, body, bullet.GOODS)
        self.good[k], self.good_of[body], self.label[body] = body, k, label

    def rest_good(self, k: int, pose: Sequence[float]) -> None:
        """Put good k, if it is in Bullet, at a pose (7,), asleep until an awake body touches it."""
        if k in self.good:
            self._put_good(k, pose, pybullet.ACTIVATION_STATE_SLEEP)

    def rouse_good(self, k: int, pose: Sequence[float]) -> None:
        """Let good k move from a pose (7,) and not fall asleep: resting on what is taken away, it must fall."""
        self._put_good(k, pose, pybullet.ACTIVATION_STATE_DISABLE_SLEEPING)

    def _put_good(self, k: int, pose: Sequence[float], activation: int) -> None:
        body, client = self.good[k], self.client
        pybullet.resetBasePositionAndOrientation(body, pose[:3], pose[3:], physicsClientId=client)
        pybullet.resetBaseVelocity(body, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), physicsClientId=client)
        bullet.set_filter(client, body, bullet.GOODS)
        pybullet.changeDynamics(body, -1, activationState=activation, physicsClientId=client)

    def park_good(self, k: int) -> None:
        """Let everything pass through good k, if it is in Bullet, until it is placed again."""
        if k in self.good:
            bullet.set_filter(self.client, self.good[k], bullet.GOODS, touches=False)
            pybullet.changeDynamics(
                self.good[k], -1, activationState=pybullet.ACTIVATION_STATE_SLEEP, physicsClientId=self.client
            )

    def create_robot(self, i: int, solids: Primitives, height: float, mass: float, inertia: float) -> None:
        """Create robot i from its solids in ``base_link``; ``height`` [m] is that of its centre above the floor."""
        lowered = replace(solids, position=solids.position - np.array([0.0, 0.0, height]))
        body = bullet.create_robot(self.client, lowered, (0.0, 0.0, height))
        kind = class_name(int(solids.class_id[0]))
        self.robot[i], self.robot_of[body], self.label[body] = body, i, (kind, f"{kind}_{i}")
        pybullet.changeDynamics(
            body,
            -1,
            lateralFriction=self._settings.robot_friction,
            linearDamping=0.0,
            angularDamping=0.0,
            physicsClientId=self.client,
        )
        self.set_mass(i, mass, inertia)

    def create_held(self, i: int, solids: Primitives) -> None:
        """Create what robot i holds out, from solids in ``base_link`` at hold height 0; the robot is in Bullet.

        It is a second body with the robot's frame, mass and inertia, so that a blow on it does what it would do to the
        robot; the two pass through each other.
        """
        body = bullet.create_body(
            self.client, solids, 1.0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0), shapes=self._held_shapes
        )
        self.held[i], self.robot_of[body], self.label[body] = body, i, self.label[self.robot[i]]
        pybullet.changeDynamics(
            body,
            -1,
            lateralFriction=self._settings.robot_friction,
            linearDamping=0.0,
            angularDamping=0.0,
            activationState=pybullet.ACTIVATION_STATE_DISABLE_SLEEPING,
            physicsClientId=self.client,
        )
        bullet.set_filter(self.client, body, bullet.ROBOT)
        pybullet.setCollisionFilterPair(self.robot[i], body, -1, -1, 0, physicsClientId=self.client)
        self._set_mass(body, *self._mass[i])

    def place_held(
        self, i: int, pose: Sequence[float], height: float, velocity: tuple[float, float, float], omega: float
    ) -> None:
        """Put what robot i holds at the robot's pose x, y [m], yaw [rad], moving at [m/s] and [rad/s]."""
        body, client = self.held[i], self.client
        quaternion = (0.0, 0.0, sin(0.5 * pose[2]), cos(0.5 * pose[2]))
        pybullet.resetBasePositionAndOrientation(body, (pose[0], pose[1], height), quaternion, physicsClientId=client)
        pybullet.resetBaseVelocity(body, velocity, (0.0, 0.0, omega), client)

    def drop_held(self, i: int) -> None:
        """Remove what robot i holds out, if it is in Bullet."""
        body = self.held.pop(i, None)
        if body is not None:
            del self.robot_of[body], self.label[body]
            pybullet.removeBody(body, physicsClientId=self.client)

    def set_mass(self, i: int, mass: float, inertia: float) -> None:
        """Set the mass [kg] and the inertia about z [kg m^2] of a robot that is in Bullet."""
        self._mass[i] = mass, inertia
        for bodies in (self.robot, self.held):
            if i in bodies:
                self._set_mass(bodies[i], mass, inertia)

    def _set_mass(self, body: int, mass: float, inertia: float) -> None:
        # The mass must come along: PyBullet takes a missing one for zero, and a mass alone wipes the inertia.
        tilt = self._settings.tilt_inertia
        pybullet.changeDynamics(
            body, -1, mass=mass, localInertiaDiagonal=[tilt, tilt, inertia], physicsClientId=self.client
        )

    def place_robot(self, i: int, x: float, y: float, yaw: float, height: float) -> None:
        """Put robot i at a pose [m, rad] and let it touch things."""
        body = self.robot[i]
        quaternion = quaternion_from_yaw(yaw).tolist()
        pybullet.resetBasePositionAndOrientation(body, [x, y, height], quaternion, physicsClientId=self.client)
        for moved in self.of_robot(i):
            bullet.set_filter(self.client, moved, bullet.ROBOT)
            pybullet.changeDynamics(
                moved, -1, activationState=pybullet.ACTIVATION_STATE_DISABLE_SLEEPING, physicsClientId=self.client
            )

    def park_robot(self, i: int) -> None:
        """Let everything pass through robot i until it is placed again."""
        for body in self.of_robot(i):
            bullet.set_filter(self.client, body, bullet.ROBOT, touches=False)
            pybullet.changeDynamics(
                body, -1, activationState=pybullet.ACTIVATION_STATE_SLEEP, physicsClientId=self.client
            )

    def of_robot(self, i: int) -> list[int]:
        """Return the Bullet bodies of robot i, which is in: its own, and that of what it holds if it holds anything."""
        return [self.robot[i], self.held[i]] if i in self.held else [self.robot[i]]

    def place_person(self, k: int, x: float, y: float, vx: float, vy: float) -> None:
        """Put person k at x, y [m], walking at vx, vy [m/s].

        A person is a capsule without mass in reduced coordinates: it walks at its velocity and nothing stops it. Its
        lower half sphere is under the floor, so that low robots meet an upright side.
        """
        length = self._settings.person_height - self._settings.person_radius
        if k not in self.person:
            shape = pybullet.createCollisionShape(
                pybullet.GEOM_CAPSULE,
                radius=self._settings.person_radius,
                height=length,
                physicsClientId=self.client,
            )
            body = int(pybullet.createMultiBody(0, shape, physicsClientId=self.client))
            self.person[k], self.person_of[body], self.label[body] = body, k, ("person", f"person_{k}")
        body, place = self.person[k], [x, y, 0.5 * length]
        pybullet.resetBasePositionAndOrientation(body, place, [0.0, 0.0, 0.0, 1.0], physicsClientId=self.client)
        pybullet.resetBaseVelocity(body, [vx, vy, 0.0], [0.0, 0.0, 0.0], physicsClientId=self.client)
        bullet.set_filter(self.client, body, bullet.PERSON)

    def park_person(self, k: int) -> None:
        """Let everything pass through person k until it is placed again."""
        bullet.set_filter(self.client, self.person[k], bullet.PERSON, touches=False)
