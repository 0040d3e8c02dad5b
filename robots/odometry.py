"""Encoders and the dead reckoning that a robot makes of them.

Encoders count whole ticks of the true wheels, slip included: the two wheels of a differential drive, the four of a
mecanum drive, on a tricycle the front wheel and, absolute, its angle. The robot turns ticks into travel with the
dimensions of its *nominal* model: what it does not know about itself shows as odometry error.
"""

from __future__ import annotations

from math import cos, floor, pi, sin

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..common.config import StrictModel
from ..common.kernels import compiled
from .drive_mecanum import body_speed
from .drive_table import (
    DIFFERENTIAL,
    MECANUM,
    P_BASE,
    P_KIND,
    P_RADIUS,
    P_STEER_GAIN,
    P_STEER_OFFSET,
    P_STEER_TICKS,
    P_TICKS,
    P_TRACK,
    S_STEER,
    S_TRAVEL_LEFT,
    S_TRAVEL_RIGHT,
    S_TRAVEL_RL,
    S_TRAVEL_RR,
    TRICYCLE,
    FloatArray,
)

ENCODERS = 4
"""Columns of a tick table: left and right; or front left, front right, rear left, rear right; or traction, steering."""
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
        ticks: (R, W + 1, 4) int64, ring of cumulative ticks, see ``ENCODERS``; entry (step mod (W + 1)) is written.
        pose: (R, 3) x, y [m], yaw [rad], changed in place.
    """
    size = ticks.shape[1]
    now, last = step % size, (step - 1) % size
    scale = true[i, P_TICKS] / (2.0 * pi * true[i, P_RADIUS])
    metres = 2.0 * pi * nominal[i, P_RADIUS] / nominal[i, P_TICKS]
    ticks[i, now, 0] = floor(state[i, S_TRAVEL_LEFT] * scale)
    if true[i, P_KIND] == TRICYCLE:
        ticks[i, now, 1] = floor(state[i, S_STEER] * (true[i, P_STEER_TICKS] / (2.0 * pi)))
        _reckon_tricycle(nominal, i, ticks, now, last, metres, pose)
        return
    ticks[i, now, 1] = floor(state[i, S_TRAVEL_RIGHT] * scale)
    left = (ticks[i, now, 0] - ticks[i, last, 0]) * metres
    right = (ticks[i, now, 1] - ticks[i, last, 1]) * metres
    if true[i, P_KIND] == DIFFERENTIAL:
        turn = (right - left) / nominal[i, P_TRACK]
        middle = pose[i, 2] + 0.5 * turn
        pose[i, 0] += 0.5 * (left + right) * cos(middle)
        pose[i, 1] += 0.5 * (left + right) * sin(middle)
        pose[i, 2] += turn
        return
    ticks[i, now, 2] = floor(state[i, S_TRAVEL_RL] * scale)
    ticks[i, now, 3] = floor(state[i, S_TRAVEL_RR] * scale)
    rear_left = (ticks[i, now, 2] - ticks[i, last, 2]) * metres
    rear_right = (ticks[i, now, 3] - ticks[i, last, 3]) * metres
    reach = 0.5 * (nominal[i, P_BASE] + nominal[i, P_TRACK])
    along, aside, turn = body_speed((left, right, rear_left, rear_right), reach)
    c, q = cos(pose[i, 2] + 0.5 * turn), sin(pose[i, 2] + 0.5 * turn)
    pose[i, 0] += along * c - aside * q
    pose[i, 1] += along * q + aside * c
    pose[i, 2] += turn


@compiled
def _reckon_tricycle(
    nominal: FloatArray, i: int, ticks: NDArray[np.int64], now: int, last: int, metres: float, pose: FloatArray
) -> None:
    """Move the dead-reckoned pose of a tricycle from the ticks of ``last`` to those of ``now``."""
    # A tick stands for its middle: the encoder rounds down.
    middle = 0.5 * (ticks[i, now, 1] + ticks[i, last, 1]) + 0.5
    angle = nominal[i, P_STEER_GAIN] * middle * 2.0 * pi / nominal[i, P_STEER_TICKS] + nominal[i, P_STEER_OFFSET]
    travel = (ticks[i, now, 0] - ticks[i, last, 0]) * metres
    turn = travel * sin(angle) / nominal[i, P_BASE]
    heading = pose[i, 2] + 0.5 * turn
    pose[i, 0] += travel * cos(angle) * cos(heading)
    pose[i, 1] += travel * cos(angle) * sin(heading)
    pose[i, 2] += turn


def wheel_velocity(nominal: FloatArray, ticks: NDArray[np.int64], step: int, dt: float) -> FloatArray:
    """Return vx [m/s], omega [rad/s], vy [m/s] (R, 3) from the ticks of the velocity window before step ``step``."""
    size = ticks.shape[1]
    span = min(step, size - 1)
    velocity = np.zeros((len(ticks), 3))
    if span == 0:
        return velocity
    counted = ticks[:, step % size] - ticks[:, (step - span) % size]
    metres = 2.0 * pi * nominal[:, P_RADIUS] / nominal[:, P_TICKS]
    speed = counted * (metres / (span * dt))[:, None]
    velocity[:, 0] = 0.5 * (speed[:, 0] + speed[:, 1])
    velocity[:, 1] = (speed[:, 1] - speed[:, 0]) / nominal[:, P_TRACK]
    kind = nominal[:, P_KIND]
    for i in np.flatnonzero(kind != DIFFERENTIAL):
        if kind[i] == MECANUM:
            reach = 0.5 * (nominal[i, P_BASE] + nominal[i, P_TRACK])
            wheels = speed[i].tolist()
            velocity[i, [0, 2, 1]] = body_speed((wheels[0], wheels[1], wheels[2], wheels[3]), reach)
            continue
        middle = 0.5 * (ticks[i, step % size, 1] + ticks[i, (step - span) % size, 1]) + 0.5
        angle = nominal[i, P_STEER_GAIN] * middle * 2.0 * pi / nominal[i, P_STEER_TICKS] + nominal[i, P_STEER_OFFSET]
        velocity[i, :2] = speed[i, 0] * cos(angle), speed[i, 0] * sin(angle) / nominal[i, P_BASE]
    return velocity


class OdometryErrors(StrictModel):
    """What a robot's dead reckoning gets wrong beyond the rounding of its encoders.

    Systematic: the odometry reports ``travel_gain`` times the true travel and ``turn_gain`` times the true turn, and
    turns by ``heading_per_metre`` for every metre (the two errors of UMBmark: Borenstein and Feng, IEEE Transactions on
    Robotics and Automation 12(6), 1996: unequal wheels show as heading per metre, a wrong track as gain of turn).
    ``drift_sigma`` is how much that drift differs from one stretch of a few metres to another.

    Random: the alphas of Thrun, Burgard and Fox, Probabilistic Robotics (2005), table 5.6. Its variances go with the
    squares of a step's travel and turn, so that they depend on how finely a path is cut; here they hold for steps of
    1 m and 1 rad and add up in proportion to travel and turn, so that every cut of a path gives the same, as in
    ``perception.config.WheelOdometryConfig``, whose names they share.
    """

    travel_gain: float = Field(default=1.0, gt=0.0, le=2.0)
    turn_gain: float = Field(default=1.0, gt=0.0, le=2.0)
    heading_per_metre: float = Field(default=0.0, ge=-1.0, le=1.0)
    """[rad/m], counter-clockwise."""
    drift_sigma: float = Field(default=0.0, ge=0.0, le=1.0)
    """Standard deviation of the drift between stretches [rad/m]."""
    rotation_per_rotation: float = Field(default=0.0, ge=0.0)
    """alpha 1: variance of heading by turn [rad2/rad]."""
    rotation_per_metre: float = Field(default=0.0, ge=0.0)
    """alpha 2: variance of heading by travel [rad2/m]."""
    translation_per_metre: float = Field(default=0.0, ge=0.0)
    """alpha 3: variance of travel by travel [m2/m]."""
    translation_per_rotation: float = Field(default=0.0, ge=0.0)
    """alpha 4: variance of travel by turn [m2/rad]."""

    def disturb(self, steps: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Return what the odometry makes of true motion.

        Args:
            steps: (..., N, 3) motion from sample to sample: along, aside [m], turn [rad], in the frame of each sample.
            rng: source of randomness; the drift is drawn once for each path (leading axes).

        Returns:
            the reported steps, of the same shape.
        """
        travel = np.hypot(steps[..., 0], steps[..., 1])
        turn = np.abs(steps[..., 2])
        white = rng.standard_normal((2, *travel.shape))
        drift = self.heading_per_metre + self.drift_sigma * rng.standard_normal((*travel.shape[:-1], 1))
        spread = np.sqrt(self.translation_per_metre * travel + self.translation_per_rotation * turn) * white[0]
        reported = np.empty_like(steps)
        reported[..., 0] = self.travel_gain * steps[..., 0] + spread
        reported[..., 1] = self.travel_gain * steps[..., 1]
        reported[..., 2] = (
            self.turn_gain * steps[..., 2]
            + drift * travel
            + np.sqrt(self.rotation_per_rotation * turn + self.rotation_per_metre * travel) * white[1]
        )
        return reported
