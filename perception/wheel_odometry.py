"""Wheel odometry: random error on top of dead-reckoned poses, by the alpha model of *Probabilistic Robotics*.

What encoders count, and what wrong wheel radii and slip make of it, is in ``robots.odometry``; see
``config.WheelOdometryConfig`` for the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.errors import InputError
from ..common.geometry import FloatArray
from .compiled import compiled
from .noise import WHEELS, as_word, noise_key, standard_normal

if TYPE_CHECKING:
    from .config import WheelOdometryConfig

STILL = 1e-9
"""Ways shorter than this [m] have no direction."""


class WheelOdometry:
    """The odometry of R robots, all of one kind.

    Args:
        config: settings. stream: noise stream of the episode. sensors: (R,) numbers of the robots.
        start: (R, 3) pose x, y [m], yaw [rad] that dead reckoning starts from.
    """

    def __init__(self, config: WheelOdometryConfig, stream: int, sensors: ArrayLike, start: ArrayLike) -> None:
        self.config = config
        self._stream = as_word(stream)
        self._sensors = np.array([as_word(s) for s in np.atleast_1d(np.asarray(sensors)).tolist()], dtype=np.uint64)
        self.pose: FloatArray = self._checked(start, 2).copy()
        """(R, 3) reported pose x, y [m], yaw [rad]."""
        self._last = self.pose.copy()
        self._step = 0
        self._alphas = np.array(
            [
                config.rotation_per_rotation,
                config.rotation_per_metre,
                config.translation_per_metre,
                config.translation_per_rotation,
            ]
        )

    def measure(self, reckoned: ArrayLike) -> FloatArray:
        """Report the next N poses.

        Args:
            reckoned: (R, N, 3) x, y [m], yaw [rad]: dead-reckoned, without random error.

        Returns:
            (R, N, 3) reported poses. Does not depend on how the poses are split over calls.

        Raises:
            InputError: shapes that do not fit, or values that are not finite.
        """
        poses = self._checked(reckoned, 3)
        reported = np.empty_like(poses)
        _disturb(self._alphas, self._stream, self._sensors, self._step, self._last, self.pose, poses, reported)
        self._step += poses.shape[1]
        return reported

    def _checked(self, poses: ArrayLike, dimensions: int) -> FloatArray:
        values = np.ascontiguousarray(poses, dtype=np.float64)
        shape = (len(self._sensors), 3)
        if values.ndim != dimensions or (values.shape[0], values.shape[-1]) != shape or not np.isfinite(values).all():
            raise InputError(
                f"poses of shape {values.shape} do not fit {shape[0]} robots, or are not finite",
                where="WheelOdometry",
                mend="give finite x, y, yaw",
            )
        return values


@compiled
def _disturb(
    alphas: FloatArray,
    stream: np.uint64,
    sensors: NDArray[np.uint64],
    first: int,
    last: FloatArray,
    pose: FloatArray,
    poses: FloatArray,
    reported: FloatArray,
) -> None:
    """Add noise to each step: turn, drive, turn. ``last`` (true) and ``pose`` (reported) are moved on."""
    for r in range(len(sensors)):
        key = noise_key(stream, WHEELS, sensors[r], np.uint64(0))
        for n in range(poses.shape[1]):
            dx, dy = poses[r, n, 0] - last[r, 0], poses[r, n, 1] - last[r, 1]
            turned = poses[r, n, 2] - last[r, 2]
            turned -= 2.0 * np.pi * np.floor(turned / (2.0 * np.pi) + 0.5)
            way, turn = np.sqrt(dx * dx + dy * dy), 0.0
            if way > STILL:
                turn = np.arctan2(dy, dx) - last[r, 2]
                turn -= 2.0 * np.pi * np.floor(turn / (2.0 * np.pi) + 0.5)
                if abs(turn) > 0.5 * np.pi:  # Backwards.
                    turn, way = turn - np.copysign(np.pi, turn), -way
            rest = turned - turn
            element = 3 * (first + n)
            drive = way + np.sqrt(alphas[2] * abs(way) + alphas[3] * (abs(turn) + abs(rest))) * standard_normal(
                key, element
            )
            # Half of what driving adds to the heading goes to either turn.
            half = 0.5 * alphas[1] * abs(way)
            before = turn + np.sqrt(alphas[0] * abs(turn) + half) * standard_normal(key, element + 1)
            after = rest + np.sqrt(alphas[0] * abs(rest) + half) * standard_normal(key, element + 2)
            pose[r, 0] += drive * np.cos(pose[r, 2] + before)
            pose[r, 1] += drive * np.sin(pose[r, 2] + before)
            pose[r, 2] += before + after
            for j in range(3):
                last[r, j] = poses[r, n, j]
                reported[r, n, j] = pose[r, j]
