"""Open-loop replay: short windows of a log, started at the true pose and driven by what was logged.

A window starts on the true pose every few seconds (re-anchoring) and is then left alone: the replay gets commands or
ticks, never the truth again. All windows of all logs run in one compiled call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..common.errors import InputError
from ..common.geometry import FloatArray, compose, relative
from ..common.kernels import compiled
from ..robots.drive import parameter_array, rollout
from ..robots.model import DriveParameters
from ..robots.tricycle import TricycleParameters, dead_reckon
from ..robots.wheels import WheelParameters, command_motion, count_motion, without_dead_band
from .fieldlog import SECOND, FieldLog, IntArray, interpolate_pose

STEP = 0.02
"""Of the common time grid [s]."""
MAX_TRUTH_GAP = 0.25
"""A window over a longer hole in the truth is left out [s]."""
MAX_INPUT_GAP = 2.0
"""A window over a longer silence of commands or ticks is left out [s]; shorter ones hold the last command."""
VELOCITY_BASE = 0.2
"""Time over which speeds are taken from poses [s], for the truth and the replay alike."""
_INTEGRAL_STEP = 0.005
_STEP_NS = round(STEP * SECOND)


@dataclass(frozen=True)
class Windows:
    """K windows of one log on the time grid.

    Attributes:
        log: where they come from.
        horizons: (H,) ascending [s].
        start_ns: (K,) int64.
        truth: (K, T + 1, 3) float64 true poses every ``STEP``, T = horizons[-1] / STEP; meaningless past the log's end.
        valid: (K, H) bool: truth and inputs are whole from the start to the horizon.
        left_out: for each horizon, how many windows that lie within the log fall on a hole in truth or inputs.
        every: time between starts [s].
    """

    log: FieldLog
    horizons: tuple[float, ...]
    start_ns: IntArray
    truth: FloatArray
    valid: NDArray[np.bool_]
    left_out: tuple[int, ...]
    every: float

    def __len__(self) -> int:
        return len(self.start_ns)

    @property
    def horizon_steps(self) -> IntArray:
        """(H,) grid index of each horizon."""
        return np.round(np.array(self.horizons) / STEP).astype(np.int64)

    def grid_ns(self) -> IntArray:
        """(K, T + 1) int64 stamps."""
        return _grid(self.start_ns, int(self.horizon_steps[-1]))


def make_windows(log: FieldLog, horizons: Sequence[float], *, every: float = 5.0) -> Windows:
    """Lay windows over a log, one every ``every`` seconds.

    Args:
        log: the log.
        horizons: lengths to be judged [s], each at least ``VELOCITY_BASE`` and at most 600.
        every: time between starts [s].

    Raises:
        InputError: no horizon, one out of bounds, or no whole window fits.
    """
    lengths = tuple(sorted({float(value) for value in horizons}))
    if not lengths or lengths[0] < VELOCITY_BASE or lengths[-1] > 600.0:
        raise InputError(f"horizons {list(horizons)} s", mend=f"give lengths from {VELOCITY_BASE} to 600 s")
    if not every > 0:
        raise InputError(f"windows every {every} s", mend="give a time above zero")
    start_ns, valid, left_out = lay_windows(log, lengths, every)
    grid = _grid(start_ns, round(lengths[-1] / STEP))
    truth = interpolate_pose(grid, log.pose_t_ns, log.pose)
    return Windows(log, lengths, start_ns, truth, valid, left_out, every)


def lay_windows(
    log: FieldLog, horizons: tuple[float, ...], every: float
) -> tuple[IntArray, NDArray[np.bool_], tuple[int, ...]]:
    """Return starts (K,) [ns], validity (K, H) and the number left out by horizon; see ``Windows``."""
    first, last = log.span_ns
    first += round(VELOCITY_BASE * SECOND)  # so that the speed at the start is known
    start_ns = np.arange(first, last - round(horizons[0] * SECOND) + 1, round(every * SECOND), dtype=np.int64)
    if len(start_ns) == 0:
        raise InputError(
            f"the log is too short ({(last - first) / SECOND:.1f} s) for a window of {horizons[0]:g} s",
            where=log.robot,
            mend="give a longer log or shorter horizons",
        )
    ends = start_ns[:, None] + np.round(np.array(horizons) * SECOND).astype(np.int64)[None, :]
    inside = ends <= last
    begin = np.broadcast_to((start_ns - round(VELOCITY_BASE * SECOND))[:, None], ends.shape)
    whole = ~crosses_gap(log.pose_t_ns, MAX_TRUTH_GAP, begin, ends)
    whole &= ~crosses_gap(log.input_t_ns, MAX_INPUT_GAP, begin, ends)
    return start_ns, inside & whole, tuple(int(count) for count in (inside & ~whole).sum(axis=0))


def mean_commands(log: FieldLog, start_ns: IntArray, seconds: float) -> FloatArray:
    """Return the undelayed commands (K, T, 2) of stretches of so many seconds: means over the grid's steps."""
    offset = (start_ns - log.cmd_t_ns[0]) / SECOND
    return _mean_commands(_command_integral(log), offset, round(seconds / STEP), STEP, _INTEGRAL_STEP)


class DriveReplay:
    """Replays the windows of logs with commands v, omega or vx, vy, omega, all in one compiled call.

    Args:
        windows: of one or more logs; equal horizons.
    """

    def __init__(self, windows: Sequence[Windows]) -> None:
        self._integrals = [_command_integral(item.log) for item in windows]
        self._offsets = [(item.start_ns - item.log.cmd_t_ns[0]) / SECOND for item in windows]
        self._steps = int(windows[0].horizon_steps[-1])
        self.start_pose = np.concatenate([item.truth[:, 0] for item in windows])
        self.start_velocity = np.concatenate([start_velocity(item) for item in windows])

    def commands(self, delay: float) -> FloatArray:
        """Return delayed commands (K, T, 2 or 3): means over the grid's steps, so that they change smoothly with delay."""
        parts = []
        for integral, offset in zip(self._integrals, self._offsets, strict=True):
            parts.append(_mean_commands(integral, offset - delay, self._steps, STEP, _INTEGRAL_STEP))
        return np.concatenate(parts)

    def raw(self) -> FloatArray:
        """Dead-reckon the commands as they stand: no gain, no delay, no lag. Returns poses (K, T + 1, 3)."""
        return _unicycle(self.start_pose, self.commands(0.0), STEP)

    def simulate(self, drive: DriveParameters) -> FloatArray:
        """Drive the windows with the traction model of ``robots.drive`` from the true pose and speed.

        Returns:
            Poses (K, T + 1, 3); yaw runs on past half a turn.
        """
        table = np.repeat(parameter_array([drive]), len(self.start_pose), axis=0)
        return rollout(table, self.start_pose, self.start_velocity, self.commands(drive.command_delay), STEP)


class TricycleReplay:
    """Replays the windows of tricycle logs from encoder ticks."""

    def __init__(self, windows: Sequence[Windows]) -> None:
        self._windows = tuple(windows)
        self._grids = [(item.grid_ns() - item.log.ticks_t_ns[0]) / SECOND for item in windows]
        self._times = [(item.log.ticks_t_ns - item.log.ticks_t_ns[0]) / SECOND for item in windows]

    def simulate(self, parameters: TricycleParameters, *, steps: IntArray | None = None) -> FloatArray:
        """Dead-reckon the ticks and place each window's stretch on its true starting pose.

        Args:
            parameters: the tricycle, its sensor mount and the delay of its ticks.
            steps: (H,) grid indices to be returned; None returns all T + 1.

        Returns:
            Poses (K, T + 1 or H, 3) of the tracked sensor.
        """
        parts = []
        for item, grid, times in zip(self._windows, self._grids, self._times, strict=True):
            chain = compose(tricycle_chain(item.log, parameters), parameters.sensor_pose)
            chosen = grid if steps is None else grid[:, steps]
            start = _at(chain, times, grid[:, 0] - parameters.tick_delay)
            there = _at(chain, times, chosen - parameters.tick_delay)
            parts.append(compose(item.truth[:, :1], relative(start[:, None], there)))
        return np.concatenate(parts)


class WheelReplay:
    """Replays the windows of logs from encoder counts of two or four wheels, or from raw wheel commands.

    Each log is reckoned once from end to end, robots at rest before the first raw command, and each window's stretch is
    placed on its true starting pose.
    """

    def __init__(self, windows: Sequence[Windows]) -> None:
        self._windows = tuple(windows)
        self._starts = [item.log.input_t_ns[0] for item in windows]
        self._grids = [(item.grid_ns() - start) / SECOND for item, start in zip(windows, self._starts, strict=True)]

    def simulate(self, parameters: WheelParameters, *, steps: IntArray | None = None) -> FloatArray:
        """Return the replayed poses of the tracked mark.

        Args:
            parameters: the wheels, the mount of the mark and the delays.
            steps: (H,) grid indices to be returned; None returns all T + 1.

        Returns:
            Poses (K, T + 1 or H, 3).
        """
        parts = []
        for item, grid in zip(self._windows, self._grids, strict=True):
            times, chain = wheel_chain(item.log, parameters)
            mark = compose(chain, parameters.sensor_pose)
            chosen = grid if steps is None else grid[:, steps]
            delay = 0.0 if commands_wheels(item.log) else parameters.tick_delay
            start = _at(mark, times, grid[:, 0] - delay)
            parts.append(compose(item.truth[:, :1], relative(start[:, None], _at(mark, times, chosen - delay))))
        return np.concatenate(parts)


def commands_wheels(log: FieldLog) -> bool:
    """Tell whether a log's replay is driven by raw wheel commands, not by counts."""
    return len(log.wheel_cmd_t_ns) > 0


def wheel_chain(log: FieldLog, parameters: WheelParameters) -> tuple[FloatArray, FloatArray]:
    """Return times (N,) [s] since the log's first command or count and the dead-reckoned poses (N, 3) of ``base_link``.

    From counts, the poses are at their stamps. From raw commands, every ``STEP``, until after the last true pose.
    """
    if not commands_wheels(log):
        return (log.ticks_t_ns - log.ticks_t_ns[0]) / SECOND, count_motion(log.ticks, parameters)
    first = log.wheel_cmd_t_ns[0]
    seconds = (log.wheel_cmd_t_ns - first) / SECOND
    span = max(float(seconds[-1]), (int(log.pose_t_ns[-1]) - int(first)) / SECOND)
    times = np.arange(int(span / STEP) + 2) * STEP
    told = without_dead_band(log.wheel_cmd, parameters.dead_band)
    integral = np.concatenate([np.zeros((1, told.shape[1])), np.cumsum(told[:-1] * np.diff(seconds)[:, None], axis=0)])
    late = times - parameters.command_delay
    held = np.column_stack([np.interp(late, seconds, column) for column in integral.T])
    # The last command holds on.
    held += np.maximum(late - seconds[-1], 0.0)[:, None] * told[-1]
    return times, command_motion(np.diff(held, axis=0) / STEP, parameters, STEP)


def tricycle_chain(log: FieldLog, parameters: TricycleParameters) -> FloatArray:
    """Return the dead-reckoned poses (N, 3) of ``base_link`` at the log's tick stamps, from the origin."""
    return dead_reckon(log.ticks[:, 0], log.ticks[:, 1], parameters)


def start_velocity(windows: Windows) -> FloatArray:
    """Return the true velocity of ``base_link`` just before each window: (K, 2) v [m/s], omega [rad/s], or (K, 3) vx, vy,
    omega where commands have three columns.

    From the poses ``VELOCITY_BASE`` before the start and at the start: nothing after the start is looked at.
    """
    log = windows.log
    before = interpolate_pose(windows.start_ns - round(VELOCITY_BASE * SECOND), log.pose_t_ns, log.pose)
    step = relative(before, windows.truth[:, 0])
    return (step if log.cmd.shape[1] == 3 else step[:, [0, 2]]) / VELOCITY_BASE


def _grid(start_ns: IntArray, steps: int) -> IntArray:
    return start_ns[:, None] + _STEP_NS * np.arange(steps + 1, dtype=np.int64)[None, :]


def crosses_gap(t_ns: IntArray, limit: float, begin: IntArray, end: IntArray) -> NDArray[np.bool_]:
    """Tell which intervals touch a stretch without samples that is longer than ``limit`` [s]."""
    gap = np.flatnonzero(np.diff(t_ns) > limit * SECOND)
    opens, closes = t_ns[gap], t_ns[gap + 1]
    # Gaps are disjoint and in order: those that open before the end, less those that close before the beginning.
    crossed: NDArray[np.bool_] = np.searchsorted(opens, end) > np.searchsorted(closes, begin, side="right")
    return crossed


def _command_integral(log: FieldLog) -> FloatArray:
    """Return the integral (G, 2 or 3) of the held commands from the first stamp on, every ``_INTEGRAL_STEP``."""
    seconds = (log.cmd_t_ns - log.cmd_t_ns[0]) / SECOND
    held = np.concatenate(
        [np.zeros((1, log.cmd.shape[1])), np.cumsum(log.cmd[:-1] * np.diff(seconds)[:, None], axis=0)]
    )
    grid = np.arange(int(seconds[-1] / _INTEGRAL_STEP) + 1) * _INTEGRAL_STEP
    return np.column_stack([np.interp(grid, seconds, held[:, axis]) for axis in range(log.cmd.shape[1])])


@compiled
def _mean_commands(
    integral: FloatArray, offset: FloatArray, steps: int, step: float, integral_step: float
) -> FloatArray:
    """Mean command of each grid step; before the first command the first is taken to hold, after the last the last."""
    count, last, columns = len(offset), len(integral) - 1, integral.shape[1]
    out = np.empty((count, steps, columns))
    for axis in range(columns):
        for k in range(count):
            before = 0.0
            for i in range(steps + 1):
                place = (offset[k] + i * step) / integral_step
                low = min(max(int(np.floor(place)), 0), last - 1)
                value = integral[low, axis] + (place - low) * (integral[low + 1, axis] - integral[low, axis])
                if i > 0:
                    out[k, i - 1, axis] = (value - before) / step
                before = value
    return out


def _unicycle(start: FloatArray, commands: FloatArray, step: float) -> FloatArray:
    """Integrate v, omega (K, T, 2) or vx, vy, omega (K, T, 3), constant within a step, exactly. Returns poses
    (K, T + 1, 3)."""
    turn = commands[..., -1] * step
    yaw = start[:, 2:3] + np.concatenate([np.zeros((len(start), 1)), np.cumsum(turn, axis=1)], axis=1)
    short = np.sinc(turn / (2.0 * np.pi))
    middle = yaw[:, :-1] + 0.5 * turn
    along = commands[..., 0] * step * short
    across = commands[..., 1] * step * short if commands.shape[-1] == 3 else np.zeros_like(along)
    pose = np.empty((*yaw.shape, 3))
    pose[:, 0, :2] = start[:, :2]
    pose[:, 1:, 0] = start[:, 0:1] + np.cumsum(along * np.cos(middle) - across * np.sin(middle), axis=1)
    pose[:, 1:, 1] = start[:, 1:2] + np.cumsum(along * np.sin(middle) + across * np.cos(middle), axis=1)
    pose[..., 2] = yaw
    return pose


def _at(chain: FloatArray, times: FloatArray, t: FloatArray) -> FloatArray:
    """Interpolate a chain whose yaw runs on; linear, because a step is a few centimetres."""
    return np.stack([np.interp(t, times, column) for column in _columns(chain)], axis=-1)


def _columns(chain: FloatArray) -> list[FloatArray]:
    return [chain[:, 0], chain[:, 1], np.unwrap(chain[:, 2])]
