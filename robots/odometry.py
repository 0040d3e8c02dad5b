"""Wheel encoders and the dead reckoning that a robot makes of them.

Encoders count whole ticks of the true wheels, slip included. The robot turns ticks into travel with the wheel radius
and the track width of its *nominal* model: what it does not know about itself shows as odometry error.
"""

from __future__ import annotations

from math import cos, floor, pi, sin

import numpy as np
from numpy.typing import NDArray

from ..common.kernels import compiled
from .drive import P_RADIUS, P_TICKS, P_TRACK, S_TRAVEL_LEFT, S_TRAVEL_RIGHT, FloatArray

VELOCITY_WINDOW = 0.05
"""Time [s] over which ticks are counted for a wheel speed: 4096 ticks on a 0.1 m wheel give steps of 3 mm/s."""


def window_steps(dt: float) -> int:
    """Return the number of steps of ``dt`` [s] in the velocity window."""
    return max(1, round(VELOCITY_WINDOW / dt))


@compiled
def count_ticks(
    true: FloatArray,
    nominal: FloatArray,
    state: FloatArray,
    i: int,
    step: int,
    ticks: NDArray[np.int64],
    pose: FloatArray,
) -> None:
    """Read the encoders of robot i after step number ``step`` (from 1) and move its dead-reckoned pose.

    Args:
        true, nominal: (R, P) drive parameters; state: (R, S).
        ticks: (R, W + 1, 2) int64, ring of cumulative ticks left and right; entry (step mod (W + 1)) is written.
        pose: (R, 3) x, y [m], yaw [rad], changed in place.
    """
    size = ticks.shape[1]
    now, last = step % size, (step - 1) % size
    scale = true[i, P_TICKS] / (2.0 * pi * true[i, P_RADIUS])
    ticks[i, now, 0] = floor(state[i, S_TRAVEL_LEFT] * scale)
    ticks[i, now, 1] = floor(state[i, S_TRAVEL_RIGHT] * scale)
    metres = 2.0 * pi * nominal[i, P_RADIUS] / nominal[i, P_TICKS]
    left = (ticks[i, now, 0] - ticks[i, last, 0]) * metres
    right = (ticks[i, now, 1] - ticks[i, last, 1]) * metres
    turn = (right - left) / nominal[i, P_TRACK]
    middle = pose[i, 2] + 0.5 * turn
    pose[i, 0] += 0.5 * (left + right) * cos(middle)
    pose[i, 1] += 0.5 * (left + right) * sin(middle)
    pose[i, 2] += turn


def wheel_velocity(nominal: FloatArray, ticks: NDArray[np.int64], step: int, dt: float) -> FloatArray:
    """Return v [m/s] and omega [rad/s] (R, 2) from the ticks of the velocity window before step ``step``."""
    size = ticks.shape[1]
    span = min(step, size - 1)
    if span == 0:
        return np.zeros((len(ticks), 2))
    counted = ticks[:, step % size] - ticks[:, (step - span) % size]
    metres = 2.0 * pi * nominal[:, P_RADIUS] / nominal[:, P_TICKS]
    speed = counted * (metres / (span * dt))[:, None]
    forward = 0.5 * (speed[:, 0] + speed[:, 1])
    return np.column_stack([forward, (speed[:, 1] - speed[:, 0]) / nominal[:, P_TRACK]])
