"""The robots of a fleet whose last machines are driven by people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from ..physics.world import World
    from ..robots.fleet import Fleet
    from ..robots.model import RobotModel

FloatArray = NDArray[np.float64]


class RobotsOf:
    """Stands for the first R machines of a fleet: takes and gives what ``Fleet`` does, rows of the robots alone.

    So whoever deals with robots needs to know nothing of the forklifts among them. Only ``body_pose`` tells of all.
    Motors and wear of such a fleet are not reckoned: a forklift has other drives.

    Args:
        machines: the whole fleet.
        robots: R.
        friction: of the floor under the other machines [-].

    Attributes:
        told: (F, 2) v [m/s], omega [rad/s] that the other machines are told at the next ``command``.
    """

    def __init__(self, machines: Fleet, robots: int, friction: float) -> None:
        self._machines, self._robots = machines, robots
        self._others = len(machines.models) - robots
        self._friction = np.full(self._others, friction)
        self.told: FloatArray = np.zeros((self._others, 2))

    @property
    def world(self) -> World:
        """Where they drive."""
        return self._machines.world

    @property
    def models(self) -> list[RobotModel]:
        """Of the robots."""
        return self._machines.models[: self._robots]

    def command(self, commands: ArrayLike) -> None:
        """Set the commands (R, 2) or (R, 3) of the robots; those of the others are ``told``."""
        given = np.asarray(commands, dtype=np.float64)
        rows = np.zeros((self._others, given.shape[1]))
        rows[:, 0], rows[:, -1] = self.told[:, 0], self.told[:, 1]
        self._machines.command(np.concatenate([given, rows]))

    def step(self, steps: int = 1) -> None:
        """Let physics steps pass, for all machines."""
        self._machines.step(steps)

    def set_payload(self, robot: int, kg: float, offset: tuple[float, float] | None = None) -> None:
        """Load or unload a robot; see ``Fleet``."""
        self._machines.set_payload(robot, kg, offset)

    def set_friction(self, friction: ArrayLike) -> None:
        """Set the floor's friction under each robot (R,); under the others it stays."""
        self._machines.set_friction(np.concatenate([np.asarray(friction, dtype=np.float64), self._friction]))

    @property
    def payload(self) -> FloatArray:
        """(R,) [kg]"""
        return self._machines.payload[: self._robots]

    @property
    def step_time(self) -> float:
        """Physics step [s]."""
        return self._machines.step_time

    @property
    def pose(self) -> FloatArray:
        """(R, 3) x, y [m], yaw [rad]"""
        return self._machines.pose[: self._robots]

    @property
    def velocity(self) -> FloatArray:
        """(R, 2) v [m/s], omega [rad/s]"""
        return self._machines.velocity[: self._robots]

    @property
    def energy_wh(self) -> FloatArray:
        """(R,) [Wh]"""
        return self._machines.energy_wh[: self._robots]

    @property
    def odometry(self) -> FloatArray:
        """(R, 3)"""
        return self._machines.odometry[: self._robots]

    @property
    def encoder_velocity(self) -> FloatArray:
        """(R, 2) v [m/s], omega [rad/s]"""
        return self._machines.encoder_velocity[: self._robots]

    def body_pose(self) -> FloatArray:
        """Return the poses (B, 7) of all moving bodies: robots, other machines, people, loose goods."""
        return self._machines.body_pose()
