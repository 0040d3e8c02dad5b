"""What a policy sees and answers. Ground truth is not here: everything in an ``Observation`` was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..layouts.model import Layout
from ..robots.model import RobotModel


@dataclass(frozen=True)
class EpisodeInfo:
    """What a robot knows when an episode starts.

    Attributes:
        robot: the nominal model (not the sampled, true parameters of this episode).
        layout: the map the robot was given: walls, racks, conveyors, stations; no loose goods and no people.
        control_period: time between two calls of ``act`` [s].
        goal_tolerance: distance [m] and angle [rad] at which a goal counts as reached.
        scan_angles: (B,) float64, beam angles [rad] of the lidar in its own frame, counter-clockwise from its x axis.
        seed: for the policy's own random numbers.
    """

    robot: RobotModel
    layout: Layout
    control_period: float
    goal_tolerance: tuple[float, float]
    scan_angles: NDArray[np.float64]
    seed: int


@dataclass(frozen=True)
class Observation:
    """What a robot senses at one control step.

    Attributes:
        time: since the start of the episode [s].
        pose: (3,) float64 x [m], y [m], yaw [rad]: localisation estimate in ``map``, with its error.
        velocity: (2,) float64 v [m/s], omega [rad/s] from the wheel encoders.
        odometry: (3,) float64 x [m], y [m], yaw [rad] in ``odom``: dead reckoning on the wheels since the start.
        imu: (M, 6) float64 angular velocity x, y, z [rad/s] and specific force x, y, z [m/s^2] in ``base_link``: the
            samples since the last control step, oldest first; none at the first step.
        scan: (B,) float32 ranges [m] of the newest lidar scan; inf where nothing came back.
        scan_time: when that scan was taken [s].
        goal: (3,) float64 target pose in ``map``, or None when there is nothing to do.
        carrying: whether a load is on board.
    """

    time: float
    pose: NDArray[np.float64]
    velocity: NDArray[np.float64]
    odometry: NDArray[np.float64]
    imu: NDArray[np.float64]
    scan: NDArray[np.float32]
    scan_time: float
    goal: NDArray[np.float64] | None
    carrying: bool


@runtime_checkable
class Policy(Protocol):
    """Drives one robot. A new instance, or a ``reset`` one, serves each robot of each episode."""

    def reset(self, info: EpisodeInfo) -> None:
        """Forget everything and prepare for an episode."""
        ...

    def act(self, observation: Observation) -> tuple[float, float]:
        """Return the command v [m/s], omega [rad/s] (``cmd_vel``) for the next control period.

        In an episode with orders a robot that is held where it stands (loaded, parked, charging, or waiting for another
        one to pass) is not asked: the next ``observation.time`` may be long after the last.
        """
        ...
