"""Kinematics of a front-traction tricycle (forklift), from the ticks of its steering and traction encoders.

The front wheel steers and drives. With steering angle a and front-wheel travel ds, the rear axle's centre
(``base_link``) moves ``ds cos a`` along a circle and turns ``ds sin a / axis_length``: the bicycle model (Siegwart,
Nourbakhsh, Scaramuzza, *Introduction to Autonomous Mobile Robots*, section 3.2), integrated exactly for a constant
steering angle within one step.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field

from ..common.config import StrictModel
from ..common.errors import InputError
from ..common.geometry import FloatArray
from ..common.kernels import compiled

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]

TRICYCLE_PARAMETERS: tuple[str, ...] = (
    "k_steer",
    "k_traction",
    "axis_length",
    "steer_offset",
    "sensor_x",
    "sensor_y",
    "sensor_yaw",
    "tick_delay",
)
"""What a calibration may change."""


class TricycleParameters(StrictModel):
    """A front-traction tricycle and the tracker or laser mounted on it. Every field but the last two is calibrated."""

    k_steer: Positive = 1.0
    """Steering angle [rad] for each radian that the steering encoder turns [-]."""
    k_traction: Positive = 0.01
    """Travel of the front wheel for each turn of the traction encoder [m]."""
    axis_length: Positive = 1.4
    """From the rear axle to the steered wheel [m]."""
    steer_offset: float = 0.0
    """Steering angle where the encoder reads zero [rad]."""
    sensor_x: float = 0.0
    """Position of the tracked sensor in ``base_link`` [m]."""
    sensor_y: float = 0.0
    """[m]"""
    sensor_yaw: float = 0.0
    """[rad]"""
    tick_delay: float = 0.0
    """How much later the tracker's stamps are than the ticks': a pose stamped t belongs to the ticks of t - delay [s].
    """
    steering_ticks: int = Field(default=8192, gt=1)
    """Ticks in one turn of the steering encoder (absolute; the upper half means negative angles)."""
    traction_ticks: int = Field(default=5000, gt=1)
    """Ticks in one turn of the traction encoder."""

    @property
    def sensor_pose(self) -> FloatArray:
        """(3,) x [m], y [m], yaw [rad] of the sensor in ``base_link``."""
        return np.array([self.sensor_x, self.sensor_y, self.sensor_yaw])


def unwrap_traction(ticks: ArrayLike, *, modulus: int = 2**32) -> NDArray[np.int64]:
    """Turn a wrapping counter (N,) into one that runs on, starting at 0; steps are the shortest way round."""
    counter = np.asarray(ticks, dtype=np.int64)
    if counter.ndim != 1:
        raise InputError(f"a counter must be one row of ticks, got shape {counter.shape}")
    steps = (np.diff(counter) + modulus // 2) % modulus - modulus // 2
    return np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(steps)])[: len(counter)]


def signed_steering(ticks: ArrayLike, *, modulus: int = 8192) -> NDArray[np.int64]:
    """Map an absolute encoder's ticks (N,) 0..modulus-1 to -modulus/2..modulus/2-1."""
    return (np.asarray(ticks, dtype=np.int64) + modulus // 2) % modulus - modulus // 2


def dead_reckon(steering: ArrayLike, traction: ArrayLike, parameters: TricycleParameters) -> FloatArray:
    """Integrate encoder ticks into the pose of ``base_link``.

    Args:
        steering: (N,) signed ticks of the steering encoder (fractions allowed: interpolated readings).
        traction: (N,) cumulative ticks of the traction encoder.
        parameters: the tricycle; its sensor mount and delay are not used here.

    Returns:
        (N, 3) float64 x [m], y [m], yaw [rad] (not wrapped), from the origin.

    Raises:
        InputError: the two rows differ in length.
    """
    steering = np.ascontiguousarray(steering, dtype=np.float64)
    traction = np.ascontiguousarray(traction, dtype=np.float64)
    if steering.shape != traction.shape or steering.ndim != 1:
        raise InputError(f"steering and traction ticks differ in shape: {steering.shape} and {traction.shape}")
    return _dead_reckon(
        steering,
        traction,
        parameters.k_steer * 2.0 * np.pi / parameters.steering_ticks,
        parameters.steer_offset,
        parameters.k_traction / parameters.traction_ticks,
        parameters.axis_length,
    )


@compiled
def _dead_reckon(
    steering: FloatArray,
    traction: FloatArray,
    angle_per_tick: float,
    offset: float,
    travel_per_tick: float,
    axis_length: float,
) -> FloatArray:
    count = len(steering)
    pose = np.zeros((count, 3))
    x = y = yaw = 0.0
    for i in range(1, count):
        angle = 0.5 * (steering[i - 1] + steering[i]) * angle_per_tick + offset
        travel = (traction[i] - traction[i - 1]) * travel_per_tick
        turn = travel * np.sin(angle) / axis_length
        half = 0.5 * turn
        # Chord over arc; the series avoids 0/0 where the truck drives straight.
        ratio = np.sin(half) / half if abs(half) > 1e-6 else 1.0 - half * half / 6.0
        chord = travel * np.cos(angle) * ratio
        x += chord * np.cos(yaw + half)
        y += chord * np.sin(yaw + half)
        yaw += turn
        pose[i, 0] = x
        pose[i, 1] = y
        pose[i, 2] = yaw
    return pose
