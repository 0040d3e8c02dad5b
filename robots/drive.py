"""The traction models of robots: compiled, batched, free of any simulator; kinds may be mixed in a batch.

``drive_table`` has the columns of parameters and state. This is the model of a differential drive; ``drive_tricycle``
and ``drive_mecanum`` say what differs.

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

On a slope gravity pulls along the floor and presses less on it (``drive_common.free_motion``). A payload off the
centre moves the centre of mass, adds yaw inertia by the parallel-axis theorem, and loads wheels unlike. Load transfer
by acceleration and by the height of the centre of mass is neglected. Frame ``base_link``: between the wheels, x forward
and y left; SI units, radians; x and y are measured along the floor. Results for one robot do not depend on the others
in the batch.
"""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.errors import InputError
from ..common.kernels import compiled
from .drive_common import inlined
from .drive_differential import advance_differential
from .drive_mecanum import advance_mecanum
from .drive_table import (
    DIFFERENTIAL,
    GRAVITY,
    P_DELAY,
    P_KIND,
    PARAMETER_NAMES,
    PAYLOAD_GYRATION,
    S_OMEGA,
    S_V,
    S_X,
    S_Y,
    S_YAW,
    STATE_NAMES,
    TRICYCLE,
    FloatArray,
    checked,
    initial_state,
    parameter_array,
)
from .drive_tricycle import advance_tricycle

__all__ = [
    "GRAVITY",
    "PARAMETER_NAMES",
    "PAYLOAD_GYRATION",
    "STATE_NAMES",
    "advance_one",
    "delay_commands",
    "delay_steps",
    "initial_state",
    "parameter_array",
    "rollout",
    "rollout_velocity",
    "step_drives",
]


def rollout(
    parameters: ArrayLike,
    start_pose: ArrayLike,
    start_velocity: ArrayLike,
    commands: ArrayLike,
    dt: float,
    *,
    apply_delay: bool = False,
) -> FloatArray:
    """Drive N robots over a free floor, with the slope of the parameters (level unless set).

    Args:
        parameters: (N, P), see ``parameter_array``.
        start_pose: (N, 3) x, y [m], yaw [rad]; start_velocity: (N, 2) v [m/s], omega [rad/s] or
            (N, 3) vx, vy, omega.
        commands: (N, T, 2) v, omega or (N, T, 3) vx, vy, omega held over each step, already delayed (see
            ``delay_commands``).
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
        raise InputError(f"commands have shape {array.shape}, expected (N, T, 2) or (N, T, 3)")
    given = checked(array, (len(table), array.shape[1], 3 if array.shape[2] == 3 else 2), "commands")
    state = initial_state(start_pose, start_velocity, table)
    pose = np.empty((len(table), array.shape[1] + 1, 3))
    velocity = np.empty((len(table), array.shape[1] + 1, 2))
    shift = table[:, P_DELAY] / dt if apply_delay else np.zeros(len(table))
    commands_of = three_columns(given)
    _rollout_kernel(table, state, commands_of, np.floor(shift).astype(np.int64), shift % 1.0, float(dt), pose, velocity)
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
        commands: (N, 2) delayed v [m/s], omega [rad/s], or (N, 3) vx, vy [m/s], omega [rad/s].
        dt: step [s].
    """
    step_kernel(parameters, state, three_columns(commands), dt)


def three_columns(commands: FloatArray) -> FloatArray:
    """Return commands (..., 2) v, omega or (..., 3) vx, vy, omega as (..., 3) vx, omega, vy, contiguous: the order that
    the kernels take them in."""
    out = np.zeros((*commands.shape[:-1], 3))
    out[..., 0], out[..., 1] = commands[..., 0], commands[..., -1]
    if commands.shape[-1] == 3:
        out[..., 2] = commands[..., 1]
    return out


def delay_steps(parameters: FloatArray, dt: float) -> int:
    """Return how many past commands a delay line must keep for the longest delay of the drives."""
    longest = float(parameters[:, P_DELAY].max(initial=0.0))
    return ceil(longest / dt) + 2


@inlined
def advance_one(
    p: FloatArray,
    s: FloatArray,
    i: int,
    old_v: float,
    old_omega: float,
    old_lateral: float,
    command_v: float,
    command_omega: float,
    command_lateral: float,
    rest: float,
    dt: float,
) -> None:
    """Advance drive i by one step, in place, with the model of its kind.

    The old command v [m/s], omega [rad/s], vy [m/s] still holds in the first share ``rest`` of the step, then the new.
    """
    kind = p[i, P_KIND]
    if kind == DIFFERENTIAL:
        advance_differential(p, s, i, old_v, old_omega, command_v, command_omega, rest, dt)
    elif kind == TRICYCLE:
        advance_tricycle(p, s, i, old_v, old_omega, command_v, command_omega, rest, dt)
    else:
        advance_mecanum(p, s, i, old_v, old_lateral, old_omega, command_v, command_lateral, command_omega, rest, dt)


@compiled
def step_kernel(p: FloatArray, s: FloatArray, commands: FloatArray, dt: float) -> None:
    """Compiled body of ``step_drives``."""
    for i in range(len(p)):
        v, omega, lateral = commands[i, 0], commands[i, 1], commands[i, 2]
        advance_one(p, s, i, v, omega, lateral, v, omega, lateral, 0.0, dt)


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
                advance_one(
                    p,
                    s,
                    i,
                    commands[i, old, 0],
                    commands[i, old, 1],
                    commands[i, old, 2],
                    commands[i, new, 0],
                    commands[i, new, 1],
                    commands[i, new, 2],
                    delay_rest[i],
                    dt,
                )
            pose[i, k, 0], pose[i, k, 1], pose[i, k, 2] = s[i, S_X], s[i, S_Y], s[i, S_YAW]
            velocity[i, k, 0], velocity[i, k, 1] = s[i, S_V], s[i, S_OMEGA]
