"""Made logs: a robot with known parameters, driven on a floor that slips, seen by an imperfect tracker.

They answer what no real log can: does a calibration find what is true, and does the drift monitor see what changed and
nothing else. The robot is the product's own drive model, so that its parameters are exactly what is fitted; slip,
tracker and clocks are not in what is fitted, so that the fit has to live with them as with a real log.

Slip multiplies the speeds that the drive reaches by ``1 + s(t)``, forward and yaw apart. ``s`` is the sum of a quick
part, which forgets itself within seconds (grip, joints of the floor), and a slow one that takes minutes (warmth,
battery, where in the hall the robot is); both are Ornstein-Uhlenbeck processes. Bumps shift the pose at random moments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..common.geometry import FloatArray, wrap_angle
from ..common.kernels import compiled
from ..common.seeding import generator
from ..robots.drive import parameter_array, rollout_velocity
from ..robots.model import DriveParameters, RobotModel
from .fieldlog import CREATE_MODEL, SECOND, FieldLog, LogReport

STEP = 0.01
SEGMENT = 5.0
"""Parameters that change are held for so long [s]."""


@dataclass(frozen=True)
class Slip:
    """How the floor disturbs the drive: standard deviations of the share of speed lost, and how long they last [s]."""

    quick_linear: float = 0.05
    quick_angular: float = 0.10
    quick_s: float = 1.5
    slow_linear: float = 0.01
    slow_angular: float = 0.02
    slow_s: float = 60.0
    bumps_per_min: float = 0.5
    bump_m: float = 0.004
    bump_rad: float = 0.02


@dataclass(frozen=True)
class Tracker:
    """What the reference gets wrong: white noise [m, rad], rate [Hz], jitter of its clock and the robot's [s]."""

    noise_m: float = 0.001
    noise_rad: float = 0.003
    rate: float = 50.0
    jitter_s: float = 0.002


@dataclass(frozen=True)
class Change:
    """A drift put into a log.

    Attributes:
        parameter: field of ``DriveParameters``.
        size: how much is added in the end, in the parameter's unit.
        at_s: when it begins [s].
        ramp_s: how long it takes to come [s]; 0 is a step.
    """

    parameter: Literal["linear_gain", "angular_gain", "command_delay", "motor_lag"]
    size: float
    at_s: float
    ramp_s: float = 0.0

    def value(self, time: FloatArray) -> FloatArray:
        """Return what is added (N,) at times (N,) [s]."""
        share = (time - self.at_s) / self.ramp_s if self.ramp_s > 0 else (time >= self.at_s).astype(np.float64)
        result: FloatArray = self.size * np.clip(share, 0.0, 1.0)
        return result


def make_log(
    drive: DriveParameters,
    *,
    seconds: float,
    seed: int,
    robot: str = "robot1",
    slip: Slip | None = None,
    tracker: Tracker | None = None,
    changes: Sequence[Change] = (),
    model: RobotModel = CREATE_MODEL,
) -> FieldLog:
    """Make the log of a differential-drive robot.

    Args:
        drive: its true parameters.
        seconds: how long it drives.
        seed: of commands, slip and tracker; each has its own stream.
        robot: its name.
        slip, tracker: what disturbs; None takes the defaults.
        changes: drifts of the true parameters.
        model: what the log says of the robot: the start of a calibration.

    Returns:
        A log with commands at 20 Hz and poses of ``base_link`` from the tracker.
    """
    slip, tracker = slip or Slip(), tracker or Tracker()
    count = round(seconds / STEP)
    time: FloatArray = STEP * np.arange(count, dtype=np.float64)
    cmd_t, cmd = mission(seconds, generator(seed, "made.commands", robot))
    speed = _driven(drive, time, cmd_t, cmd, changes)
    rng = generator(seed, "made.slip", robot)
    for axis, (quick, slow) in enumerate(
        ((slip.quick_linear, slip.slow_linear), (slip.quick_angular, slip.slow_angular))
    ):
        lost = _ornstein_uhlenbeck(rng.standard_normal(count), quick, slip.quick_s)
        lost += _ornstein_uhlenbeck(rng.standard_normal(count), slow, slip.slow_s)
        speed[:, axis] *= 1.0 + lost
    pose = _integrate(speed, _bumps(rng, count, slip))
    return _observed(time, pose, cmd_t, cmd, tracker, generator(seed, "made.tracker", robot), robot, model)


def mission(seconds: float, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Make commands at 20 Hz: straight stretches, arcs, turns on the spot and stops, of one to six seconds each.

    Returns:
        Times (M,) [s] and v [m/s], omega [rad/s] (M, 2).
    """
    times = np.arange(0.0, seconds, 0.05)
    commands, at = np.zeros((len(times), 2)), 0
    while at < len(times):
        hold = int(rng.uniform(1.0, 6.0) / 0.05)
        kind = rng.random()
        v = rng.uniform(0.1, 0.4) if kind < 0.8 else 0.0
        w = 0.0 if kind < 0.35 else rng.uniform(-0.7, 0.7)
        commands[at : at + hold] = (v, w) if kind < 0.93 else (0.0, 0.0)
        at += hold
    return times, commands


def _driven(
    drive: DriveParameters, time: FloatArray, cmd_t: FloatArray, cmd: FloatArray, changes: Sequence[Change]
) -> FloatArray:
    """Return the speeds (N, 2) that the drive reaches, its parameters held over ``SEGMENT``."""
    size = len(time) if not changes else round(SEGMENT / STEP)
    speed, velocity = np.empty((len(time), 2)), np.zeros((1, 2))
    for first in range(0, len(time), size):
        chosen = slice(first, min(first + size, len(time)))
        middle = np.array([0.5 * (time[chosen][0] + time[chosen][-1])])
        added: dict[str, float] = {}
        for change in changes:
            added[change.parameter] = added.get(change.parameter, 0.0) + float(change.value(middle)[0])
        now = drive.model_copy(update={name: getattr(drive, name) + value for name, value in added.items()})
        asked = cmd[np.clip(np.searchsorted(cmd_t, time[chosen] - now.command_delay, side="right") - 1, 0, None)]
        _, reached = rollout_velocity(parameter_array([now]), np.zeros((1, 3)), velocity, asked[None], STEP)
        speed[chosen], velocity = reached[0, 1:], reached[:, -1]
    return speed


def _bumps(rng: np.random.Generator, count: int, slip: Slip) -> FloatArray:
    """Return the shift (N, 3) in the robot's frame that each step brings; mostly none."""
    hit = rng.random(count) < slip.bumps_per_min * STEP / 60.0
    shift: FloatArray = rng.standard_normal((count, 3)) * np.array([slip.bump_m, slip.bump_m, slip.bump_rad])
    return np.where(hit[:, None], shift, 0.0)


def _observed(
    time: FloatArray,
    pose: FloatArray,
    cmd_t: FloatArray,
    cmd: FloatArray,
    tracker: Tracker,
    rng: np.random.Generator,
    robot: str,
    model: RobotModel,
) -> FieldLog:
    every = max(1, round(1.0 / (tracker.rate * STEP)))
    seen = pose[::every] + rng.standard_normal((len(pose[::every]), 3)) * np.array(
        [tracker.noise_m, tracker.noise_m, tracker.noise_rad]
    )
    seen[:, 2] = wrap_angle(seen[:, 2])
    # Half the spacing is never exceeded, so that stamps stay in order.
    early = np.clip(tracker.jitter_s * rng.standard_normal(len(seen)), -0.45 * every * STEP, 0.45 * every * STEP)
    late = np.clip(tracker.jitter_s * rng.standard_normal(len(cmd_t)), -0.02, 0.02)
    start = 1_600_000_000 * SECOND
    return FieldLog(
        robot=robot,
        drive="differential",
        pose_t_ns=start + np.round((time[::every] + early) * SECOND).astype(np.int64),
        pose=seen,
        cmd_t_ns=start + np.round((cmd_t + late) * SECOND).astype(np.int64),
        cmd=cmd,
        model=model,
        report=LogReport(()),
    )


@compiled
def _ornstein_uhlenbeck(noise: FloatArray, spread: float, memory: float) -> FloatArray:
    """Return a stationary process (N,) every ``STEP`` of that standard deviation and memory [s]."""
    keep = np.exp(-STEP / memory)
    fresh = np.sqrt(1.0 - keep * keep)
    out = np.empty(len(noise))
    value = noise[0]
    for i in range(len(noise)):
        if i > 0:
            value = keep * value + fresh * noise[i]
        out[i] = spread * value
    return out


@compiled
def _integrate(speed: FloatArray, bump: FloatArray) -> FloatArray:
    """Return poses (N, 3), the first at the origin, of speeds (N, 2) held over each step, and shifts (N, 3)."""
    out = np.zeros((len(speed), 3))
    x = y = yaw = 0.0
    for i in range(len(speed) - 1):
        turn = speed[i, 1] * STEP
        ahead, side = speed[i, 0] * STEP + bump[i, 0], bump[i, 1]
        middle = yaw + 0.5 * turn
        x += ahead * np.cos(middle) - side * np.sin(middle)
        y += ahead * np.sin(middle) + side * np.cos(middle)
        yaw += turn + bump[i, 2]
        out[i + 1, 0], out[i + 1, 1], out[i + 1, 2] = x, y, yaw
    return out
