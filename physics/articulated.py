"""Robots as PyBullet simulates them alone: a URDF with wheel joints, motors and friction under the wheels.

The reference that the compiled traction model (``robots.drive``) is held against. It costs a hundred times as much, and
is only right if it is built well:

- Wheels touch the floor in one point each: spheres. Cylinders touch along a line whose ends slide and whose contact
  points wander from step to step: even built as below they turn 4 % too little on an arc.
- Fixed links are not merged into the base, whose friction casters would then get.
- All damping is off, and a motor's velocity gain is 1.
- The solver has 200 iterations and wheels weigh 1.5 % of the robot each: with 50 iterations and light wheels, what the
  motors ask for arrives at the floor 20 to 40 ms late.

What stays: two rigid wheels on one axle hold lateral forces against each other, which use up their friction, so that
they slip earlier than wheels of rubber where a turn is reversed hard.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from math import atan, cos, sin
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..common.errors import InputError
from . import bullet
from .bullet import pybullet

FloatArray = NDArray[np.float64]

ITERATIONS = 200


class ArticulatedRobot:
    """A URDF on wheel joints on an endless level floor, in a PyBullet client of its own.

    Args:
        urdf: the file; its root stands on the floor at z = 0 once its wheels do.
        left, right: names of the driven wheels' joints. radius: of these wheels [m].
        friction: between driven wheels and floor [-]; everything else slides freely.
        torque: of each motor [N m].
        slope: rise of the floor for each metre along x [-].
        step_time: [s].

    Raises:
        InputError: the URDF cannot be loaded, or has no such joint.
    """

    def __init__(
        self,
        urdf: str | Path,
        left: Sequence[str],
        right: Sequence[str],
        *,
        radius: float,
        friction: float,
        torque: float,
        slope: float = 0.0,
        step_time: float = 1.0 / 240.0,
    ) -> None:
        self._client = bullet.acquire_client()
        self._radius, self._torque = radius, torque
        client = self._client
        tilt = atan(slope)
        pybullet.setGravity(-9.81 * sin(tilt), 0, -9.81 * cos(tilt), physicsClientId=client)
        pybullet.setTimeStep(step_time, physicsClientId=client)
        pybullet.setPhysicsEngineParameter(numSolverIterations=ITERATIONS, physicsClientId=client)
        plane = pybullet.createCollisionShape(pybullet.GEOM_PLANE, physicsClientId=client)
        floor = pybullet.createMultiBody(0, plane, physicsClientId=client)
        pybullet.changeDynamics(floor, -1, lateralFriction=1.0, physicsClientId=client)
        flags = pybullet.URDF_USE_INERTIA_FROM_FILE | pybullet.URDF_IGNORE_VISUAL_SHAPES
        try:
            self._body = int(pybullet.loadURDF(str(urdf), flags=flags, physicsClientId=client))
        except pybullet.error as error:
            self.close()
            raise InputError(f"PyBullet cannot load it: {error}", where=str(urdf), mend="correct the URDF") from error
        joints = {
            pybullet.getJointInfo(self._body, k, physicsClientId=client)[1].decode(): k
            for k in range(pybullet.getNumJoints(self._body, physicsClientId=client))
        }
        missing = [name for name in (*left, *right) if name not in joints]
        if missing:
            self.close()
            raise InputError(f"there is no joint '{missing[0]}'", where=str(urdf), mend=f"it has {', '.join(joints)}")
        self._left, self._right = [joints[name] for name in left], [joints[name] for name in right]
        driven = {*self._left, *self._right}
        # Calls with damping or activation in them change the base whatever link they name, its friction included.
        pybullet.changeDynamics(
            self._body,
            -1,
            linearDamping=0.0,
            angularDamping=0.0,
            activationState=pybullet.ACTIVATION_STATE_DISABLE_SLEEPING,
            physicsClientId=client,
        )
        for link in range(-1, len(joints)):
            pybullet.changeDynamics(
                self._body,
                link,
                lateralFriction=friction if link in driven else 0.0,
                rollingFriction=0.0,
                spinningFriction=0.0,
                physicsClientId=client,
            )
            if link >= 0:
                pybullet.changeDynamics(self._body, link, jointDamping=0.0, physicsClientId=client)
            if link >= 0 and link not in driven:
                pybullet.setJointMotorControl2(
                    self._body, link, pybullet.VELOCITY_CONTROL, force=0.0, physicsClientId=client
                )

    def step(self, left: float, right: float) -> None:
        """Make one step with target speeds [m/s] of the wheels' surfaces."""
        for joints, speed in ((self._left, left), (self._right, right)):
            pybullet.setJointMotorControlArray(
                self._body,
                joints,
                pybullet.VELOCITY_CONTROL,
                targetVelocities=[speed / self._radius] * len(joints),
                forces=[self._torque] * len(joints),
                velocityGains=[1.0] * len(joints),
                physicsClientId=self._client,
            )
        pybullet.stepSimulation(self._client)

    @property
    def pose(self) -> FloatArray:
        """Pose (3,) x, y [m], yaw [rad] of the root link."""
        position, quaternion = self._link_pose()
        return np.array([position[0], position[1], 2.0 * np.arctan2(quaternion[2], quaternion[3])])

    @property
    def tilt(self) -> float:
        """Angle [rad] by which the root link leans."""
        _, (x, y, _, _) = self._link_pose()
        return float(2.0 * np.arcsin(min(1.0, np.hypot(x, y))))

    def _link_pose(self) -> tuple[Sequence[float], Sequence[float]]:
        position, quaternion = pybullet.getBasePositionAndOrientation(self._body, physicsClientId=self._client)
        # PyBullet gives the pose of the centre of mass.
        inertial = pybullet.getDynamicsInfo(self._body, -1, physicsClientId=self._client)[3:5]
        back = pybullet.invertTransform(*inertial)
        placed: tuple[Sequence[float], Sequence[float]] = pybullet.multiplyTransforms(position, quaternion, *back)
        return placed

    def close(self) -> None:
        """Give the client back."""
        if self._client >= 0:
            bullet.release_client(self._client)
            self._client = -1


def differential_urdf(
    *,
    mass: float,
    inertia: float,
    radius: float,
    track: float,
    load_share: float = 1.0,
    height: float = 0.1,
    wheel: str = "sphere",
) -> str:
    """Return the URDF of a differential drive with the given totals, root link between the wheels on the floor.

    Args:
        mass: [kg] and inertia: about z through ``base_link`` [kg m^2], wheels included.
        radius: of the wheels [m]; track: between them [m].
        load_share: of the weight on the wheels. Below 1 a caster behind carries the rest, and the centre of mass is
            that much behind the axle; at 1 casters before and behind only keep it level.
        height: of the centre of mass [m].
        wheel: "sphere", or "cylinder" to see what those do.
    """
    reach, ball, small = 0.35, 0.03, 0.015 * mass
    wheel_inertia = 0.4 * small * radius**2
    body = mass - 2.0 * small
    # The caster carries its share of all the weight, the wheels' own included.
    behind = reach * (1.0 - load_share) * mass / body
    about = max(inertia - 2.0 * small * (0.5 * track) ** 2 - 2.0 * wheel_inertia - body * behind**2, 0.1 * inertia)
    shape = f'<sphere radius="{radius!r}"/>' if wheel == "sphere" else f'<cylinder radius="{radius!r}" length="0.04"/>'
    turn = "0 0 0" if wheel == "sphere" else f"{0.5 * np.pi!r} 0 0"
    inertial = (
        f'<inertia ixx="{wheel_inertia!r}" ixy="0" ixz="0" iyy="{wheel_inertia!r}" iyz="0" izz="{wheel_inertia!r}"/>'
    )
    # Casters of a level robot hang a tenth of a millimetre above the floor.
    lift = 1e-4 if load_share >= 1.0 else 0.0
    ends = (-reach, reach) if load_share >= 1.0 else (-reach,)
    caster = f'<geometry><sphere radius="{ball!r}"/></geometry></collision>'
    casters = "\n".join(f'<collision><origin xyz="{x!r} 0 {ball + lift!r}"/>{caster}' for x in ends)
    wheels = "\n".join(
        f"""<link name="{name}_wheel"><inertial><mass value="{small!r}"/>{inertial}</inertial>
<collision><origin rpy="{turn}"/><geometry>{shape}</geometry></collision></link>
<joint name="{name}" type="continuous"><parent link="base_link"/><child link="{name}_wheel"/>
<origin xyz="0 {y!r} {radius!r}"/><axis xyz="0 1 0"/></joint>"""
        for name, y in (("left", 0.5 * track), ("right", -0.5 * track))
    )
    return f"""<?xml version="1.0"?>
<robot name="differential"><link name="base_link"><inertial><origin xyz="{-behind!r} 0 {height!r}"/>
<mass value="{body!r}"/>
<inertia ixx="{about!r}" ixy="0" ixz="0" iyy="{about!r}" iyz="0" izz="{about!r}"/></inertial>
{casters}</link>
{wheels}
</robot>
"""


def articulated_differential(
    *, friction: float, torque: float, slope: float = 0.0, step_time: float = 1.0 / 240.0, **robot: float | str
) -> ArticulatedRobot:
    """Build a differential drive; see ``differential_urdf`` and ``ArticulatedRobot`` for the arguments."""
    handle, path = tempfile.mkstemp(suffix=".urdf", prefix="floorcast_")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(differential_urdf(**robot))  # type: ignore[arg-type]
        return ArticulatedRobot(
            path,
            ["left"],
            ["right"],
            radius=float(robot["radius"]),
            friction=friction,
            torque=torque,
            slope=slope,
            step_time=step_time,
        )
    finally:
        os.unlink(path)
