"""What the wheels of a robot do with it: two wheels on an axle, or four mecanum wheels, from counts or raw commands.

Wheel i, whose surface runs at u_i, rolls without slip where ``a_i . xi = u_i`` for the body's motion xi = (vx, vy,
omega). Two wheels: ``u = vx -/+ K omega`` with K half the track. Four mecanum wheels, rollers at 45 degrees: ``u = vx
-/+/+/- vy -/+/-/+ K omega`` with K half the wheel base plus half the track (Muir and Neuman 1987, *Kinematic modeling
for feedback control of an omnidirectional wheeled mobile robot*).

Four wheels and three freedoms contradict each other a little, and rollers do not turn for nothing. Both are settled as
creep: the force of a wheel along its rollers' axes grows with its slip and with the load it carries, and each roller
drags against its own turning, ``b_i . xi - u_i`` with ``b = (1, +/-/-/+ 1, 0)``, with the share ``roller_drag`` of that
stiffness. Balance of forces then is the least-squares solution

    xi = argmin sum_i w_i ((a_i . xi - u_i)^2 + roller_drag (b_i . xi - u_i)^2),

linear in u. The weights are the loads: a stiff frame on four wheels rocks, so that the diagonal front right - rear left
carries ``diagonal_share`` of the weight, and the other one the rest. With half on each and no drag this is the textbook
mean over the wheels. What rollers turn by yaw (it goes with half base less half track) is neglected.
"""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from ..common.config import StrictModel
from ..common.errors import InputError
from ..common.geometry import FloatArray
from ..common.kernels import compiled

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]

WHEEL_GAINS = ("wheel_gain_front_left", "wheel_gain_front_right", "wheel_gain_rear_left", "wheel_gain_rear_right")
WHEEL_PARAMETERS: tuple[str, ...] = (
    *WHEEL_GAINS,
    "dead_band",
    "wheel_reach",
    "diagonal_share",
    "roller_drag",
    "sensor_x",
    "sensor_y",
    "sensor_yaw",
    "tick_delay",
)
"""What a calibration may change here and a drive does not have; ``lateral_gain``, ``command_delay`` and ``motor_lag``
are fields of the drive as well."""

_SIDE = np.array([-1.0, 1.0, -1.0, 1.0])
_DIAGONAL = np.array([-1.0, 1.0, 1.0, -1.0])


class WheelParameters(StrictModel):
    """The wheels of a robot and the mark on it that is tracked."""

    wheel_gain_front_left: float = 0.001
    """What a wheel's surface runs [m] for each count, or [m/s] for each unit of a raw command; negative for a wheel
    whose numbers run backwards. Two wheels on one axle are the front ones."""
    wheel_gain_front_right: float = 0.001
    wheel_gain_rear_left: float = 0.001
    wheel_gain_rear_right: float = 0.001
    dead_band: NonNegative = 0.0
    """Raw command below which a wheel stands; the rest counts [units]."""
    wheel_reach: Positive = 0.4
    """Half the wheel base plus half the track of a mecanum base; half the track of two wheels [m]."""
    diagonal_share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Of the weight that stands on the front right and the rear left wheel [-]."""
    roller_drag: NonNegative = 0.0
    """Resistance of a roller's turning for each of a wheel's slip [-]."""
    lateral_gain: Positive = 1.0
    """Sideways speed for what the wheels make of it [-]."""
    command_delay: NonNegative = 0.0
    """Dead time between a raw command and the wheels [s]."""
    motor_lag: NonNegative = 0.0
    """Time constant of the wheels' speed [s]."""
    tick_delay: float = 0.0
    """How much later the tracker's stamps are than the counts': a pose stamped t belongs to the counts of t - delay
    [s]."""
    sensor_x: float = 0.0
    """Position of the tracked mark in ``base_link`` [m]."""
    sensor_y: float = 0.0
    """[m]"""
    sensor_yaw: float = 0.0
    """[rad]"""

    @property
    def sensor_pose(self) -> FloatArray:
        """(3,) x [m], y [m], yaw [rad] of the tracked mark in ``base_link``."""
        return np.array([self.sensor_x, self.sensor_y, self.sensor_yaw])

    def gains(self, wheels: int) -> FloatArray:
        """Return the gains (wheels,) in the order of the tables."""
        return np.array([getattr(self, name) for name in WHEEL_GAINS[:wheels]])


def body_matrix(parameters: WheelParameters, wheels: int) -> FloatArray:
    """Return the matrix (3, wheels) from the wheels' surface speeds [m/s] to vx, vy [m/s], omega [rad/s].

    Args:
        parameters: of the wheels.
        wheels: 2 (left, right) or 4 (mecanum: front left, front right, rear left, rear right).

    Raises:
        InputError: another number of wheels.
    """
    if wheels == 2:
        return np.array([[0.5, 0.5], [0.0, 0.0], [-0.5 / parameters.wheel_reach, 0.5 / parameters.wheel_reach]])
    if wheels != 4:
        raise InputError(f"{wheels} wheels", mend="two wheels on an axle and four mecanum wheels are known")
    rolls = np.column_stack([np.ones(4), _DIAGONAL, _SIDE * parameters.wheel_reach])
    turns = np.column_stack([np.ones(4), -_DIAGONAL, np.zeros(4)])
    share = parameters.diagonal_share
    weight = np.array([1.0 - share, share, share, 1.0 - share])[:, None]
    pull = rolls * weight + parameters.roller_drag * turns * weight
    stiffness = rolls.T @ (rolls * weight) + parameters.roller_drag * turns.T @ (turns * weight)
    matrix: FloatArray = np.linalg.solve(stiffness, pull.T)
    matrix[1] *= parameters.lateral_gain
    return matrix


def count_motion(ticks: ArrayLike, parameters: WheelParameters) -> FloatArray:
    """Dead-reckon wheel counts.

    Args:
        ticks: (N, 2 or 4) cumulative counts.
        parameters: of the wheels; the mark and the delay are not used here.

    Returns:
        (N, 3) x [m], y [m], yaw [rad] (not wrapped) of ``base_link``, from the origin.
    """
    counts = np.asarray(ticks, dtype=np.float64)
    steps = np.diff(counts, axis=0) * parameters.gains(counts.shape[1])
    return integrate(np.ascontiguousarray(steps @ body_matrix(parameters, counts.shape[1]).T))


def command_motion(
    seconds: FloatArray, commands: FloatArray, parameters: WheelParameters, step: float, count: int
) -> FloatArray:
    """Drive from rest by raw wheel commands.

    Args:
        seconds: (N,) times of the commands [s], ascending, from 0; commands: (N, 2 or 4), each held until the next one,
            the last one for ever.
        parameters: of the wheels; the commands are delayed by ``command_delay``.
        step: [s]. count: how many steps.

    Returns:
        (count + 1, 3) x [m], y [m], yaw [rad] (not wrapped) of ``base_link``, from the origin.
    """
    return integrate(driven(command_travel(seconds, commands, parameters, step, count), parameters))


def command_travel(
    seconds: FloatArray, commands: FloatArray, parameters: WheelParameters, step: float, count: int
) -> FloatArray:
    """Return what wheels with a gain of one travel (count, W) [m] in each step; arguments as in ``command_motion``.

    It depends on ``dead_band``, ``command_delay`` and ``motor_lag`` alone.
    """
    lag, delay = parameters.motor_lag, parameters.command_delay
    return _travel(seconds, commands, parameters.dead_band, delay, lag, step, count)


def driven(travel: FloatArray, parameters: WheelParameters) -> FloatArray:
    """Return the body's motion (N, 3) x, y [m], turn [rad] for travel (N, W) of wheels with a gain of one."""
    wheels = travel.shape[1]
    motion: FloatArray = np.ascontiguousarray(travel @ (body_matrix(parameters, wheels) * parameters.gains(wheels)).T)
    return motion


@compiled
def integrate(steps: FloatArray) -> FloatArray:
    """Add up body motions (N, 3) x, y [m], turn [rad], each a screw. Returns poses (N + 1, 3), yaw not wrapped."""
    count = len(steps)
    pose = np.zeros((count + 1, 3))
    x = y = yaw = 0.0
    for i in range(count):
        turn = steps[i, 2]
        half = 0.5 * turn
        chord = np.sin(half) / half if abs(half) > 1e-6 else 1.0 - half * half / 6.0
        c, s = chord * np.cos(yaw + half), chord * np.sin(yaw + half)
        x += c * steps[i, 0] - s * steps[i, 1]
        y += s * steps[i, 0] + c * steps[i, 1]
        yaw += turn
        pose[i + 1, 0], pose[i + 1, 1], pose[i + 1, 2] = x, y, yaw
    return pose


@compiled
def _travel(
    seconds: FloatArray,
    commands: FloatArray,
    dead_band: float,
    delay: float,
    lag: float,
    step: float,
    count: int,
) -> FloatArray:
    """Travel (count, W) of wheels with a gain of one in each step.

    The mean of the delayed commands beyond the dead band, followed with a first-order lag from rest, exact for a target
    that is constant in a step.
    """
    decay = np.exp(-step / lag) if lag > 0.0 else 0.0
    travel = np.empty((count, commands.shape[1]))
    last = len(seconds) - 1
    for w in range(commands.shape[1]):
        speed = 0.0
        k = -1
        now = 0.0
        for i in range(count):
            begin, end = i * step - delay, (i + 1) * step - delay
            total = 0.0
            at = begin
            while k < last and seconds[k + 1] < end:
                if seconds[k + 1] > at:
                    total += now * (seconds[k + 1] - at)
                    at = seconds[k + 1]
                k += 1
                size = abs(commands[k, w]) - dead_band
                now = 0.0 if size <= 0.0 else (size if commands[k, w] > 0.0 else -size)
            total += now * (end - at)
            target = total / step
            late = (speed - target) * (1.0 - decay)
            travel[i, w] = target * step + late * lag
            speed -= late
    return travel
