"""The tables that the compiled drive models read and change: one row for each robot, the same columns for all kinds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.errors import InputError
from .model import DriveParameters, MecanumDrive, TricycleDrive

FloatArray = NDArray[np.float64]

GRAVITY = 9.81
"""[m/s^2]"""
PAYLOAD_GYRATION = 0.06
"""Yaw inertia of a payload for each kilogram [m^2]: a uniform block of 0.6 x 0.6 m about its own centre."""

DIFFERENTIAL, TRICYCLE, MECANUM = range(3)
"""Codes in the column ``kind``."""

PARAMETER_NAMES: tuple[str, ...] = (
    "wheel_radius",
    "track_width",
    "mass",
    "payload",
    "inertia",
    "linear_gain",
    "angular_gain",
    "command_delay",
    "motor_lag",
    "max_wheel_torque",
    "max_speed",
    "max_yaw_rate",
    "max_acceleration",
    "max_deceleration",
    "max_yaw_acceleration",
    "friction",
    "drive_wheel_load",
    "rolling_resistance",
    "encoder_ticks",
    "payload_x",
    "payload_y",
    "wheel_base",
    "max_steering_angle",
    "max_steering_rate",
    "steering_lag",
    "steering_gain",
    "steering_offset",
    "steering_ticks",
    "max_lateral_speed",
    "lateral_gain",
    "roller_friction",
    "kind",
    "unladen_x",
    "slope_x",
    "slope_y",
)
"""Columns of a parameter array, named and measured as in ``DriveParameters`` and its kinds; zero where a kind has none.

The last four: the kind's code; where the centre of mass of the unladen robot is, in ``base_link`` [m]; the gradient of
the floor under the robot, as the rise for each metre along x and y of ``map`` [-].
"""

# Columns of the parameter array; compile-time constants of the kernels.
P_RADIUS, P_TRACK, P_MASS, P_PAYLOAD, P_INERTIA, P_LINEAR_GAIN, P_ANGULAR_GAIN, P_DELAY, P_LAG, P_TORQUE = range(10)
P_MAX_SPEED, P_MAX_YAW_RATE, P_ACCELERATION, P_DECELERATION, P_YAW_ACCELERATION, P_FRICTION = range(10, 16)
P_LOAD, P_ROLLING, P_TICKS, P_PAYLOAD_X, P_PAYLOAD_Y, P_BASE, P_STEER_MAX, P_STEER_RATE, P_STEER_LAG = range(16, 25)
P_STEER_GAIN, P_STEER_OFFSET, P_STEER_TICKS, P_MAX_LATERAL, P_LATERAL_GAIN, P_ROLLER = range(25, 31)
P_KIND, P_UNLADEN_X, P_SLOPE_X, P_SLOPE_Y = range(31, 35)

STATE_NAMES: tuple[str, ...] = (
    "x",
    "y",
    "yaw",
    "v",
    "v_lateral",
    "omega",
    "ramp_v",
    "ramp_omega",
    "target_left",
    "target_right",
    "wheel_left",
    "wheel_right",
    "travel_left",
    "travel_right",
    "work",
    "kick_v",
    "kick_lateral",
    "kick_omega",
    "drift_x",
    "drift_y",
    "drift_yaw",
    "force_left",
    "force_right",
    "torque_share_left",
    "torque_share_right",
    "brake_left",
    "brake_right",
    "count_share_left",
    "count_share_right",
    "ramp_lateral",
    "steering_set",
    "steering",
    "target_rear_left",
    "target_rear_right",
    "wheel_rear_left",
    "wheel_rear_right",
    "travel_rear_left",
    "travel_rear_right",
    "force_rear_left",
    "force_rear_right",
)
"""Columns of a state array.

Pose [m, rad]; velocity in ``base_link`` [m/s, rad/s]; ramp outputs; lagged wheel targets, wheel surface speeds [m/s];
wheel travel as the encoders count it [m]; mechanical work of the motors, positive power only [J]; half the change of
velocity in the last step, in ``base_link`` (``kick``); mean velocity of the last step in ``map`` (``drift``); mean
force of the motors at the wheels' surfaces in the last step [N].

Then what is wrong with each wheel: the share of its torque that a motor still gives (1 if sound), a force that drags on
the rolling wheel [N] (0), the share of its travel that the encoder counts (1). Differential drives alone have these.

Left and right are the two wheels of a differential drive and the front wheels of a mecanum drive, whose rear wheels
come last. On a tricycle left is the front wheel, ``ramp_v`` the ramp of its speed [m/s], ``steering_set`` the set point
of its angle and ``steering`` what the steering encoder reads [rad].
"""
S_X, S_Y, S_YAW, S_V, S_LATERAL, S_OMEGA, S_RAMP_V, S_RAMP_OMEGA, S_TARGET_LEFT, S_TARGET_RIGHT = range(10)
S_WHEEL_LEFT, S_WHEEL_RIGHT, S_TRAVEL_LEFT, S_TRAVEL_RIGHT, S_WORK = range(10, 15)
S_KICK_V, S_KICK_LATERAL, S_KICK_OMEGA, S_DRIFT_X, S_DRIFT_Y, S_DRIFT_YAW = range(15, 21)
S_FORCE_LEFT, S_FORCE_RIGHT, S_SHARE_LEFT, S_SHARE_RIGHT, S_BRAKE_LEFT, S_BRAKE_RIGHT = range(21, 27)
S_COUNT_LEFT, S_COUNT_RIGHT, S_RAMP_LATERAL, S_STEER_SET, S_STEER = range(27, 32)
S_TARGET_RL, S_TARGET_RR, S_WHEEL_RL, S_WHEEL_RR, S_TRAVEL_RL, S_TRAVEL_RR, S_FORCE_RL, S_FORCE_RR = range(32, 40)

_WHEELS = (S_TARGET_LEFT, S_TARGET_RIGHT, S_TARGET_RL, S_TARGET_RR)
"""Lagged targets, front left to rear right; the wheels' speeds follow two columns later."""


def parameter_array(parameters: Sequence[DriveParameters]) -> FloatArray:
    """Return the parameters of N drives as an array (N, P), columns as in ``PARAMETER_NAMES``; level floor."""
    table = np.zeros((len(parameters), len(PARAMETER_NAMES)))
    for row, item in zip(table, parameters, strict=True):
        for column, name in enumerate(PARAMETER_NAMES[:P_KIND]):
            row[column] = float(getattr(item, name, 0.0))
        if isinstance(item, TricycleDrive):
            row[P_KIND], row[P_UNLADEN_X] = TRICYCLE, item.drive_wheel_load * item.wheel_base
        elif isinstance(item, MecanumDrive):
            row[P_KIND] = MECANUM
    return table


def mass_of(parameters: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return mass [kg], yaw inertia about the centre of mass [kg m^2] and its place x, y in ``base_link`` [m].

    All (N,), of drives (N, P) with their payloads: the parallel-axis theorem for robot and payload about the common
    centre of mass.
    """
    own, load = parameters[:, P_MASS], parameters[:, P_PAYLOAD]
    mass = own + load
    away_x, away_y = parameters[:, P_PAYLOAD_X] - parameters[:, P_UNLADEN_X], parameters[:, P_PAYLOAD_Y]
    inertia = parameters[:, P_INERTIA] + PAYLOAD_GYRATION * load
    inertia += own * load / mass * (away_x * away_x + away_y * away_y)
    return mass, inertia, parameters[:, P_UNLADEN_X] + load / mass * away_x, load / mass * away_y


def initial_state(pose: ArrayLike, velocity: ArrayLike, parameters: FloatArray) -> FloatArray:
    """Return the state (N, S) of drives that roll steadily.

    Args:
        pose: (N, 3) x, y [m], yaw [rad].
        velocity: (N, 2) v [m/s], omega [rad/s], or (N, 3) vx, vy, omega, of which only mecanum drives heed vy.
        parameters: (N, P).

    Raises:
        InputError: shapes do not fit or values are not finite.
    """
    count = len(parameters)
    columns = 3 if np.ndim(velocity) == 2 and np.shape(velocity)[1] == 3 else 2
    pose, velocity = checked(pose, (count, 3), "start_pose"), checked(velocity, (count, columns), "start_velocity")
    state = np.zeros((count, len(STATE_NAMES)))
    state[:, S_X : S_YAW + 1] = pose
    v, omega = velocity[:, 0], velocity[:, -1]
    state[:, S_V], state[:, S_OMEGA] = v, omega
    state[:, S_RAMP_V], state[:, S_RAMP_OMEGA] = v, omega
    kind = parameters[:, P_KIND]
    half = 0.5 * parameters[:, P_TRACK] * omega
    half[kind == MECANUM] += 0.5 * (parameters[:, P_BASE] * omega)[kind == MECANUM]
    for column in (S_TARGET_LEFT, S_WHEEL_LEFT, S_TARGET_RL, S_WHEEL_RL):
        state[:, column] = v - half
        state[:, column + 1] = v + half
    if columns == 3:
        sideways = np.where(kind == MECANUM, velocity[:, 1], 0.0)
        state[:, S_LATERAL] = state[:, S_RAMP_LATERAL] = sideways
        for column, sign in zip(_WHEELS, (-1.0, 1.0, 1.0, -1.0), strict=True):
            state[:, column] += sign * sideways
            state[:, column + S_WHEEL_LEFT - S_TARGET_LEFT] += sign * sideways
    state[kind != MECANUM, S_TARGET_RL:] = 0.0
    state[:, [S_SHARE_LEFT, S_SHARE_RIGHT, S_COUNT_LEFT, S_COUNT_RIGHT]] = 1.0
    for i in np.flatnonzero(kind == TRICYCLE):
        across = parameters[i, P_BASE] * omega[i]
        backwards = -1.0 if v[i] < 0.0 else 1.0
        speed = backwards * float(np.hypot(v[i], across))
        state[i, [S_RAMP_V, S_TARGET_LEFT, S_WHEEL_LEFT]] = speed
        state[i, [S_RAMP_OMEGA, S_TARGET_RIGHT, S_WHEEL_RIGHT]] = 0.0
        angle = float(np.arctan2(backwards * across, backwards * v[i])) - parameters[i, P_STEER_OFFSET]
        state[i, [S_STEER_SET, S_STEER]] = angle / parameters[i, P_STEER_GAIN]
    return state


def checked(value: ArrayLike, shape: tuple[int, ...], name: str) -> FloatArray:
    """Return a value as a contiguous float64 array.

    Raises:
        InputError: it has another shape, or holds a value that is not finite.
    """
    array = np.ascontiguousarray(value, dtype=np.float64)
    if array.shape != shape:
        raise InputError(f"{name} has shape {array.shape}, expected {shape}")
    if not np.isfinite(array).all():
        first = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise InputError(f"{name} holds a value that is not finite", where=f"index {first}")
    return array
