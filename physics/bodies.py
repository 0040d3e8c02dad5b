"""The bodies of one world inside its Bullet client: brought in when first needed, parked when not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

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
        robot, good, person: Bullet body by index; robot_of, good_of, person_of: index by Bullet body.
    """

    def __init__(self, settings: PhysicsSettings) -> None:
        self._settings = settings
        self.client = bullet.acquire_client()
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
        self.label: dict[int, tuple[str, str]] = {floor: ("floor", "floor")}
        self.static: set[int] = set()
        self.groups: set[int] = set()
        self.robot: dict[int, int] = {}
        self.good: dict[int, int] = {}
        self.person: dict[int, int] = {}
        self.robot_of: dict[int, int] = {}
        self.good_of: dict[int, int] = {}
        self.person_of: dict[int, int] = {}

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

    def create_robot(self, i: int, solids: Primitives, height: float, mass: float, inertia: float) -> None:
        """Create robot i from its solids in ``base_link``; ``height`` [m] is that of its centre above the floor."""
        lowered = replace(solids, position=solids.position - np.array([0.0, 0.0, height]))
        body = bullet.create_body(self.client, lowered, mass, (0.0, 0.0, height), (0.0, 0.0, 0.0, 1.0))
        self.robot[i], self.robot_of[body], self.label[body] = body, i, ("amr", f"amr_{i}")
        pybullet.changeDynamics(
            body,
            -1,
            lateralFriction=self._settings.robot_friction,
            linearDamping=0.0,
            angularDamping=0.0,
            physicsClientId=self.client,
        )
        self.set_mass(i, mass, inertia)

    def set_mass(self, i: int, mass: float, inertia: float) -> None:
        """Set the mass [kg] and the inertia about z [kg m^2] of a robot that is in Bullet."""
        if i in self.robot:
            # The mass must come along: PyBullet takes a missing one for zero, and a mass alone wipes the inertia.
            tilt = self._settings.tilt_inertia
            pybullet.changeDynamics(
                self.robot[i], -1, mass=mass, localInertiaDiagonal=[tilt, tilt, inertia], physicsClientId=self.client
            )

    def place_robot(self, i: int, x: float, y: float, yaw: float, height: float) -> None:
        """Put robot i at a pose [m, rad] and let it touch things."""
        body = self.robot[i]
        quaternion = quaternion_from_yaw(yaw).tolist()
        pybullet.resetBasePositionAndOrientation(body, [x, y, height], quaternion, physicsClientId=self.client)
        bullet.set_filter(self.client, body, bullet.ROBOT)
        pybullet.changeDynamics(
            body, -1, activationState=pybullet.ACTIVATION_STATE_DISABLE_SLEEPING, physicsClientId=self.client
        )

    def park_robot(self, i: int) -> None:
        """Let everything pass through robot i until it is placed again."""
        bullet.set_filter(self.client, self.robot[i], bullet.ROBOT, touches=False)
        pybullet.changeDynamics(
            self.robot[i], -1, activationState=pybullet.ACTIVATION_STATE_SLEEP, physicsClientId=self.client
        )

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
