"""The traction model of a differential drive: compiled, batched over robots, free of any simulator.

Two wheels on one axle carry ``drive_wheel_load`` of the weight, evenly; frictionless casters carry the rest. Each step:

1. The command (already delayed) is multiplied by the gains, clamped to the speed limits and followed by a ramp of
   bounded acceleration, deceleration and yaw acceleration.
2. The ramp becomes two wheel speeds, which pass a first-order lag (the closed speed loop of the motors), solved
   exactly for an input r that is linear within the step, with slope s:
   ``x1 = r1 - s tau + (x0 - r0 + s tau) exp(-dt / tau)``.
3. Both wheels are assumed to roll without slip at those speeds. The impulses that this takes (longitudinal from the
   mass and the yaw inertia, lateral ``m v omega dt``) are accepted if each motor has the torque and each wheel's
   friction circle holds; else projected Gauss-Seidel passes saturate the torque and scale the pair into the circle.
   A wheel that leaves its circle spins at the speed of its motor, and the encoder sees that.
4. The pose follows by the trapezoid rule: mean velocity of the step along the heading of its middle.

Load transfer between wheels is neglected. Frame ``base_link``: between the wheels, x forward, y left; SI units,
radians. Results for one robot do not depend on the others in the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, cos, exp, sin, sqrt

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.errors import InputError
from ..common.kernels import compiled
from .model import DriveParameters

FloatArray = NDArray[np.float64]
Pair = tuple[float, float]

GRAVITY = 9.81
"""[m/s^2]"""
PAYLOAD_GYRATION = 0.06
"""Yaw inertia of a payload for each kilogram [m^2]: a uniform block of 0.6 x 0.6 m centred on the robot."""
_PASSES = 100
"""Most Gauss-Seidel passes. The coupling of the two wheels is weak, so that a pass gains about one digit; where both
wheels stand on the edge of their circles it takes more to make left and right turns mirror images."""
_CONVERGED = 1e-10
"""Relative change of the impulses at which the passes end."""
_DRAG_SPEED = 0.01
"""Wheel speed [m/s] at which rolling resistance is fully developed; below it grows linearly from zero."""

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
)
"""Columns of a parameter array, named and measured as in ``DriveParameters``."""

# Columns of the parameter array; compile-time constants of the kernels.
P_RADIUS, P_TRACK, P_MASS, P_PAYLOAD, P_INERTIA, P_LINEAR_GAIN, P_ANGULAR_GAIN, P_DELAY, P_LAG, P_TORQUE = range(10)
P_MAX_SPEED, P_MAX_YAW_RATE, P_ACCELERATION, P_DECELERATION, P_YAW_ACCELERATION, P_FRICTION = range(10, 16)
P_LOAD, P_ROLLING, P_TICKS = range(16, 19)

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
)
"""Columns of a state array.

Pose [m, rad]; velocity in ``base_link`` [m/s, rad/s]; ramp outputs; lagged wheel targets, wheel surface speeds [m/s];
wheel travel as the encoders count it [m]; mechanical work of the motors, positive power only [J]; half the change of
velocity in the last step, in ``base_link`` (``kick``); mean velocity of the last step in ``map`` (``drift``); mean
force of the motors at the wheels' surfaces in the last step [N].

Then what is wrong with each wheel: the share of its torque that a motor still gives (1 if sound), a force that drags on
the rolling wheel [N] (0), the share of its travel that the encoder counts (1).
"""
S_X, S_Y, S_YAW, S_V, S_LATERAL, S_OMEGA, S_RAMP_V, S_RAMP_OMEGA, S_TARGET_LEFT, S_TARGET_RIGHT = range(10)
S_WHEEL_LEFT, S_WHEEL_RIGHT, S_TRAVEL_LEFT, S_TRAVEL_RIGHT, S_WORK = range(10, 15)
S_KICK_V, S_KICK_LATERAL, S_KICK_OMEGA, S_DRIFT_X, S_DRIFT_Y, S_DRIFT_YAW = range(15, 21)
S_FORCE_LEFT, S_FORCE_RIGHT, S_SHARE_LEFT, S_SHARE_RIGHT, S_BRAKE_LEFT, S_BRAKE_RIGHT = range(21, 27)
S_COUNT_LEFT, S_COUNT_RIGHT = range(27, 29)


def parameter_array(parameters: Sequence[DriveParameters]) -> FloatArray:
    """Return the parameters of N drives as an array (N, P), columns as in ``PARAMETER_NAMES``."""
    rows = [[float(getattr(item, name)) for name in PARAMETER_NAMES] for item in parameters]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(PARAMETER_NAMES))


def initial_state(pose: ArrayLike, velocity: ArrayLike, parameters: FloatArray) -> FloatArray:
    """Return the state (N, S) of drives that roll steadily.

    Args:
        pose: (N, 3) x, y [m], yaw [rad].
        velocity: (N, 2) v [m/s], omega [rad/s].
        parameters: (N, P).

    Raises:
        InputError: shapes do not fit or values are not finite.
    """
    count = len(parameters)
    pose, velocity = _checked(pose, (count, 3), "start_pose"), _checked(velocity, (count, 2), "start_velocity")
    state = np.zeros((count, len(STATE_NAMES)))
    state[:, S_X : S_YAW + 1] = pose
    state[:, S_V], state[:, S_OMEGA] = velocity[:, 0], velocity[:, 1]
    state[:, S_RAMP_V], state[:, S_RAMP_OMEGA] = velocity[:, 0], velocity[:, 1]
    half = 0.5 * parameters[:, P_TRACK] * velocity[:, 1]
    state[:, S_TARGET_LEFT] = state[:, S_WHEEL_LEFT] = velocity[:, 0] - half
    state[:, S_TARGET_RIGHT] = state[:, S_WHEEL_RIGHT] = velocity[:, 0] + half
    state[:, [S_SHARE_LEFT, S_SHARE_RIGHT, S_COUNT_LEFT, S_COUNT_RIGHT]] = 1.0
    return state


def rollout(
    parameters: ArrayLike,
    start_pose: ArrayLike,
    start_velocity: ArrayLike,
    commands: ArrayLike,
    dt: float,
    *,
    apply_delay: bool = False,
) -> FloatArray:
    """Drive N robots over a free, level floor.

    Args:
        parameters: (N, P), see ``parameter_array``.
        start_pose: (N, 3) x, y [m], yaw [rad]; start_velocity: (N, 2) v [m/s], omega [rad/s].
        commands: (N, T, 2) v, omega held over each step, already delayed (see ``delay_commands``).
        dt: step [s].
        apply_delay: the commands are not delayed yet: delay them by ``command_delay``, exact within a step. The first
            is taken to have been held before.

    Returns:
        (N, T + 1, 3) poses at the step ends, the start first. Yaw is continuous (not wrapped).

    Raises:
        InputError: shapes do not fit, or values are not finite.
    """
    return rollout_velocity(parameters, start_pose, start_velocity, commands, dt, apply_delay=apply_delay)[0]


def rollout_velocity(
    parameters: ArrayLike,
    start_pose: ArrayLike,
    start_velocity: ArrayLike,
    commands: ArrayLike,
    dt: float,
    *,
    apply_delay: bool = False,
) -> tuple[FloatArray, FloatArray]:
    """Do what ``rollout`` does and return the poses (N, T + 1, 3) and the velocities (N, T + 1, 2) v, omega as well."""
    table = np.ascontiguousarray(parameters, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != len(PARAMETER_NAMES):
        raise InputError(f"parameters have shape {table.shape}, expected (N, {len(PARAMETER_NAMES)})")
    if not np.isfinite(dt) or dt <= 0:
        raise InputError(f"the step must be above zero, not {dt} s", where="dt")
    array = np.asarray(commands, dtype=np.float64)
    if array.ndim != 3:
        raise InputError(f"commands have shape {array.shape}, expected (N, T, 2)")
    checked = _checked(array, (len(table), array.shape[1], 2), "commands")
    state = initial_state(start_pose, start_velocity, table)
    pose = np.empty((len(table), array.shape[1] + 1, 3))
    velocity = np.empty((len(table), array.shape[1] + 1, 2))
    shift = table[:, P_DELAY] / dt if apply_delay else np.zeros(len(table))
    _rollout_kernel(table, state, checked, np.floor(shift).astype(np.int64), shift % 1.0, float(dt), pose, velocity)
    return pose, velocity


def delay_commands(commands: ArrayLike, delay: ArrayLike, dt: float) -> FloatArray:
    """Delay commands that are held over each step, exact on the mean of each step.

    Smooth in the delay, which fits need. A ramp at its limit sees a mixed command up to a step early; ``apply_delay``
    of ``rollout`` does not have this error.

    Args:
        commands: (N, T, 2).
        delay: (N,) or scalar [s]; before the first command it is taken to have been held.
        dt: step [s].

    Returns:
        (N, T, 2): the mean over each step of the command ``delay`` seconds earlier.
    """
    array = np.asarray(commands, dtype=np.float64)
    count, steps = array.shape[:2]
    shift = np.broadcast_to(np.asarray(delay, dtype=np.float64) / dt, (count,))
    whole = np.floor(shift).astype(np.int64)
    rest = (shift - whole)[:, None, None]
    index = np.arange(steps)[None, :] - whole[:, None]
    newer = np.take_along_axis(array, np.clip(index, 0, None)[..., None], axis=1)
    older = np.take_along_axis(array, np.clip(index - 1, 0, None)[..., None], axis=1)
    return (1.0 - rest) * newer + rest * older


def step_drives(parameters: FloatArray, state: FloatArray, commands: FloatArray, dt: float) -> None:
    """Advance all drives by one step, in place.

    Args:
        parameters: (N, P) float64, C-contiguous.
        state: (N, S) float64, C-contiguous, changed in place.
        commands: (N, 2) float64 delayed v [m/s], omega [rad/s], C-contiguous.
        dt: step [s].
    """
    step_kernel(parameters, state, commands, dt)


def delay_steps(parameters: FloatArray, dt: float) -> int:
    """Return how many past commands a delay line must keep for the longest delay of the drives."""
    longest = float(parameters[:, P_DELAY].max(initial=0.0))
    return ceil(longest / dt) + 2


def _checked(value: ArrayLike, shape: tuple[int, ...], name: str) -> FloatArray:
    array = np.ascontiguousarray(value, dtype=np.float64)
    if array.shape != shape:
        raise InputError(f"{name} has shape {array.shape}, expected {shape}")
    if not np.isfinite(array).all():
        first = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise InputError(f"{name} holds a value that is not finite", where=f"index {first}")
    return array


@compiled
def _clamp(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)


@compiled
def _ramp(current: float, target: float, up: float, down: float, dt: float) -> float:
    """Move towards the target: at most ``up`` away from zero, at most ``down`` towards zero, both per second."""
    if current * target < 0.0:
        # Through zero: brake first, then speed up in what is left of the step.
        stop_time = abs(current) / down
        if stop_time >= dt:
            return current - down * dt if current > 0.0 else current + down * dt
        left = up * (dt - stop_time)
        return min(target, left) if target > 0.0 else max(target, -left)
    rate = up if abs(target) > abs(current) else down
    return current + _clamp(target - current, -rate * dt, rate * dt)


@compiled
def _lag(value: float, before: float, after: float, lag: float, decay: float, dt: float) -> float:
    """First-order lag, exact for an input that goes linearly from ``before`` to ``after``."""
    if lag <= 0.0:
        return after
    offset = (after - before) / dt * lag
    return after - offset + (value - before + offset) * decay


@compiled
def _solve_traction(
    mass: float,
    inertia: float,
    half: float,
    v: float,
    lateral: float,
    omega: float,
    target_left: float,
    target_right: float,
    drag_left: float,
    drag_right: float,
    motor_left: float,
    motor_right: float,
    grip: float,
) -> tuple[float, float, float, bool, bool]:
    """Find the wheel impulses [N s] that bring both wheels to their targets as far as torque and grip allow.

    ``half`` is half the track [m]; ``v``, ``lateral``, ``omega`` the velocity without wheel forces; ``drag`` what the
    motors lose to rolling resistance and brakes, ``motor`` the most that each gives, ``grip`` the radius of a friction
    circle [N s].

    Returns:
        longitudinal impulses left and right, the sum of the lateral ones, and whether the left and right wheel slip.
    """
    change_v = 0.5 * (target_left + target_right) - v
    change_omega = 0.5 * (target_right - target_left) / half - omega
    left = 0.5 * (mass * change_v - inertia * change_omega / half)
    right = 0.5 * (mass * change_v + inertia * change_omega / half)
    side = -0.5 * mass * lateral
    torque_holds = abs(left + drag_left) <= motor_left and abs(right + drag_right) <= motor_right
    if torque_holds and max(left * left, right * right) + side * side <= grip * grip:
        return left, right, 2.0 * side, False, False

    effective = 1.0 / (1.0 / mass + half * half / inertia)
    left = right = side_left = side_right = 0.0
    slip_left = slip_right = False
    for _ in range(_PASSES):
        before_left, before_right, before_side = left, right, side_left + side_right
        side_change = -0.5 * (mass * lateral + side_left + side_right)
        speed = v + (left + right) / mass - (omega + (right - left) * half / inertia) * half
        left = _clamp(left + effective * (target_left - speed), -motor_left - drag_left, motor_left - drag_left)
        side_left += side_change
        size = sqrt(left * left + side_left * side_left)
        slip_left = size > grip
        if slip_left:
            left *= grip / size
            side_left *= grip / size
        speed = v + (left + right) / mass + (omega + (right - left) * half / inertia) * half
        right = _clamp(right + effective * (target_right - speed), -motor_right - drag_right, motor_right - drag_right)
        side_right += side_change
        size = sqrt(right * right + side_right * side_right)
        slip_right = size > grip
        if slip_right:
            right *= grip / size
            side_right *= grip / size
        moved = abs(left - before_left) + abs(right - before_right) + abs(side_left + side_right - before_side)
        if moved <= _CONVERGED * grip:
            break
    # A motor at its torque limit cannot spin the wheel: only side force took the wheel out of its circle.
    slip_left = slip_left and abs(left + drag_left) < 0.999 * motor_left
    slip_right = slip_right and abs(right + drag_right) < 0.999 * motor_right
    return left, right, side_left + side_right, slip_left, slip_right


@compiled
def _follow(p: FloatArray, i: int, ramp_v: float, ramp_omega: float, v: float, omega: float, dt: float) -> Pair:
    """Move the ramp of drive i for ``dt`` towards a command; returns v [m/s], omega [rad/s]."""
    goal_v = _clamp(v * p[i, P_LINEAR_GAIN], -p[i, P_MAX_SPEED], p[i, P_MAX_SPEED])
    goal_omega = _clamp(omega * p[i, P_ANGULAR_GAIN], -p[i, P_MAX_YAW_RATE], p[i, P_MAX_YAW_RATE])
    yaw_rate = p[i, P_YAW_ACCELERATION]
    return (
        _ramp(ramp_v, goal_v, p[i, P_ACCELERATION], p[i, P_DECELERATION], dt),
        _ramp(ramp_omega, goal_omega, yaw_rate, yaw_rate, dt),
    )


@compiled
def advance_one(
    p: FloatArray,
    s: FloatArray,
    i: int,
    old_v: float,
    old_omega: float,
    command_v: float,
    command_omega: float,
    rest: float,
    dt: float,
) -> None:
    """Advance drive i by one step, in place: the model of the module docstring.

    The old command v [m/s], omega [rad/s] still holds in the first share ``rest`` of the step, the new one after it.
    """
    half = 0.5 * p[i, P_TRACK]
    ramp_v, ramp_omega = s[i, S_RAMP_V], s[i, S_RAMP_OMEGA]
    if rest > 0.0:
        ramp_v, ramp_omega = _follow(p, i, ramp_v, ramp_omega, old_v, old_omega, rest * dt)
    ramp_v, ramp_omega = _follow(p, i, ramp_v, ramp_omega, command_v, command_omega, (1.0 - rest) * dt)

    lag = p[i, P_LAG]
    decay = exp(-dt / lag) if lag > 0.0 else 0.0
    old_left, old_right = s[i, S_RAMP_V] - s[i, S_RAMP_OMEGA] * half, s[i, S_RAMP_V] + s[i, S_RAMP_OMEGA] * half
    target_left = _lag(s[i, S_TARGET_LEFT], old_left, ramp_v - ramp_omega * half, lag, decay, dt)
    target_right = _lag(s[i, S_TARGET_RIGHT], old_right, ramp_v + ramp_omega * half, lag, decay, dt)
    s[i, S_RAMP_V], s[i, S_RAMP_OMEGA] = ramp_v, ramp_omega
    s[i, S_TARGET_LEFT], s[i, S_TARGET_RIGHT] = target_left, target_right

    # Without wheel forces the velocity keeps its direction in the map, so that it turns backwards in base_link
    # (Cayley form of the rotation: keeps the length exactly).
    v, lateral, omega = s[i, S_V], s[i, S_LATERAL], s[i, S_OMEGA]
    h = 0.5 * omega * dt
    scale = 1.0 / (1.0 + h * h)
    c, q = (1.0 - h * h) * scale, 2.0 * h * scale
    free_v, free_lateral = c * v + q * lateral, c * lateral - q * v

    mass = p[i, P_MASS] + p[i, P_PAYLOAD]
    inertia = p[i, P_INERTIA] + PAYLOAD_GYRATION * p[i, P_PAYLOAD]
    weight = mass * GRAVITY
    drag = 0.5 * p[i, P_ROLLING] * weight * dt
    drag_left = (drag + s[i, S_BRAKE_LEFT] * dt) * _clamp(s[i, S_WHEEL_LEFT] / _DRAG_SPEED, -1.0, 1.0)
    drag_right = (drag + s[i, S_BRAKE_RIGHT] * dt) * _clamp(s[i, S_WHEEL_RIGHT] / _DRAG_SPEED, -1.0, 1.0)
    motor = p[i, P_TORQUE] / p[i, P_RADIUS] * dt
    grip = 0.5 * p[i, P_FRICTION] * p[i, P_LOAD] * weight * dt
    motor_left, motor_right = motor * s[i, S_SHARE_LEFT], motor * s[i, S_SHARE_RIGHT]
    left, right, side, slip_left, slip_right = _solve_traction(
        mass,
        inertia,
        half,
        free_v,
        free_lateral,
        omega,
        target_left,
        target_right,
        drag_left,
        drag_right,
        motor_left,
        motor_right,
        grip,
    )
    new_v = free_v + (left + right) / mass
    new_lateral = free_lateral + side / mass
    new_omega = omega + (right - left) * half / inertia
    _finish_step(
        s, i, new_v, new_lateral, new_omega, left + drag_left, right + drag_right, slip_left, slip_right, half, dt
    )


@compiled
def _finish_step(
    s: FloatArray,
    i: int,
    v: float,
    lateral: float,
    omega: float,
    motor_left: float,
    motor_right: float,
    slip_left: bool,
    slip_right: bool,
    half: float,
    dt: float,
) -> None:
    """Turn wheels, count work, move the pose by the trapezoid rule and keep the new velocity."""
    wheel_left = s[i, S_TARGET_LEFT] if slip_left else v - omega * half
    wheel_right = s[i, S_TARGET_RIGHT] if slip_right else v + omega * half
    mean_left, mean_right = 0.5 * (s[i, S_WHEEL_LEFT] + wheel_left), 0.5 * (s[i, S_WHEEL_RIGHT] + wheel_right)
    s[i, S_WHEEL_LEFT], s[i, S_WHEEL_RIGHT] = wheel_left, wheel_right
    s[i, S_TRAVEL_LEFT] += mean_left * dt * s[i, S_COUNT_LEFT]
    s[i, S_TRAVEL_RIGHT] += mean_right * dt * s[i, S_COUNT_RIGHT]
    s[i, S_FORCE_LEFT], s[i, S_FORCE_RIGHT] = motor_left / dt, motor_right / dt
    s[i, S_WORK] += max(motor_left * mean_left, 0.0) + max(motor_right * mean_right, 0.0)

    old_v, old_lateral, old_omega = s[i, S_V], s[i, S_LATERAL], s[i, S_OMEGA]
    mean_v, mean_lateral, mean_omega = 0.5 * (old_v + v), 0.5 * (old_lateral + lateral), 0.5 * (old_omega + omega)
    turn = 0.5 * mean_omega * dt
    middle = s[i, S_YAW] + turn
    # The chord of an arc is shorter than the arc by sin(turn) / turn.
    chord = 1.0 - turn * turn / 6.0
    ca, sa = cos(middle) * chord, sin(middle) * chord
    s[i, S_DRIFT_X] = mean_v * ca - mean_lateral * sa
    s[i, S_DRIFT_Y] = mean_v * sa + mean_lateral * ca
    s[i, S_DRIFT_YAW] = mean_omega
    s[i, S_X] += s[i, S_DRIFT_X] * dt
    s[i, S_Y] += s[i, S_DRIFT_Y] * dt
    s[i, S_YAW] += mean_omega * dt
    s[i, S_KICK_V], s[i, S_KICK_LATERAL] = 0.5 * (v - old_v), 0.5 * (lateral - old_lateral)
    s[i, S_KICK_OMEGA] = 0.5 * (omega - old_omega)
    s[i, S_V], s[i, S_LATERAL], s[i, S_OMEGA] = v, lateral, omega


@compiled
def step_kernel(p: FloatArray, s: FloatArray, commands: FloatArray, dt: float) -> None:
    """Compiled body of ``step_drives``."""
    for i in range(len(p)):
        v, omega = commands[i, 0], commands[i, 1]
        advance_one(p, s, i, v, omega, v, omega, 0.0, dt)


@compiled
def _rollout_kernel(
    p: FloatArray,
    s: FloatArray,
    commands: FloatArray,
    delay_whole: NDArray[np.int64],
    delay_rest: FloatArray,
    dt: float,
    pose: FloatArray,
    velocity: FloatArray,
) -> None:
    for i in range(len(p)):
        for k in range(commands.shape[1] + 1):
            if k > 0:
                new = max(k - 1 - delay_whole[i], 0)
                old = max(new - 1, 0)
                old_v, old_omega = commands[i, old, 0], commands[i, old, 1]
                advance_one(p, s, i, old_v, old_omega, commands[i, new, 0], commands[i, new, 1], delay_rest[i], dt)
            pose[i, k, 0], pose[i, k, 1], pose[i, k, 2] = s[i, S_X], s[i, S_Y], s[i, S_YAW]
            velocity[i, k, 0], velocity[i, k, 1] = s[i, S_V], s[i, S_OMEGA]
