"""What people see of the machines on the floor: robots first, then driven forklifts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..robots.model import RobotModel
from .routes import FloatArray


class Vehicles:
    """Where the machines are, how fast they drive and how large they are.

    Args:
        models: of all machines, the robots first.
        robots: how many of them are robots.

    Attributes:
        pose: (K, 3) float64 x, y [m], yaw [rad]; velocity: (K, 2) float64 v [m/s], omega [rad/s].
        outline: (K, 4) float64 middle x, y and half extents [m] in the machine's frame.
        robots: how many of the machines are robots.
    """

    def __init__(self, models: Sequence[RobotModel], robots: int) -> None:
        self.robots = robots
        self.pose: FloatArray = np.zeros((len(models), 3))
        self.velocity: FloatArray = np.zeros((len(models), 2))
        self.outline: FloatArray = np.array(
            [[0.0, 0.0, 0.5 * model.length, 0.5 * model.width] for model in models]
        ).reshape(-1, 4)
        # A robot is minded as the disc around it, a forklift, which is too long for that, as a row of discs.
        discs = [[(0.0, 0.0, model.radius)] for model in models[:robots]]
        discs += [_discs(row) for row in self.outline[robots:]]
        self._owner: NDArray[np.int64] = np.repeat(np.arange(len(models)), [len(rows) for rows in discs])
        self._offset = np.array([[x, y] for rows in discs for x, y, _ in rows]).reshape(-1, 2)
        self.disc_radius: FloatArray = np.array([radius for rows in discs for _, _, radius in rows])

    @property
    def speed(self) -> FloatArray:
        """(K,) float64 [m/s] along the yaw."""
        return np.ascontiguousarray(self.velocity[:, 0])

    def update(self, pose: FloatArray, velocity: FloatArray) -> None:
        """Take over poses (K, 3) and velocities (K, 2) v [m/s], omega [rad/s]."""
        self.pose, self.velocity = np.ascontiguousarray(pose), np.ascontiguousarray(velocity)

    def discs(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return the machines as discs: poses (D, 3), velocities (D, 2), radii (D,)."""
        pose = self.pose[self._owner]
        if np.any(self._offset):
            cos, sin = np.cos(pose[:, 2]), np.sin(pose[:, 2])
            x, y = self._offset.T
            pose[:, 0] += cos * x - sin * y
            pose[:, 1] += sin * x + cos * y
        return pose, self.velocity[self._owner], self.disc_radius


def _discs(outline: FloatArray) -> list[tuple[float, float, float]]:
    """Return a row of discs x, y, radius [m] that covers an outline."""
    x, y, half_length, half_width = outline.tolist()
    count = int(np.ceil(half_length / half_width))
    step = 2.0 * half_length / count
    reach = float(np.hypot(0.5 * step, half_width))
    return [(x - half_length + (k + 0.5) * step, y, reach) for k in range(count)]
