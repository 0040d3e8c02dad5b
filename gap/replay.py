"""Open-loop replay: short windows of a log, started at the true pose and driven by what was logged.

A window starts on the true pose every few seconds (re-anchoring) and is then left alone: the replay gets commands or
ticks, never the truth again. All windows of all logs run in one compiled call.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..common.errors import InputError
from ..common.geometry import FloatArray, compose, relative
from ..common.kernels import compiled
from ..robots.drive import parameter_array, rollout
from ..robots.model import DriveParameters, TricycleDrive
from ..robots.tricycle import TricycleParameters, dead_reckon
from ..robots.wheels import WheelParameters, command_motion, command_travel, count_motion, driven, integrate
from .fieldlog import SECOND, FieldLog, IntArray, interpolate_pose

STEP = 0.02
"""Of the common time grid [s]."""
MAX_TRUTH_GAP = 0.25
"""A window over a longer hole in the truth is left out [s]."""
MAX_INPUT_GAP = 2.0
"""A window over a longer silence of commands or ticks is left out [s]; shorter ones hold the last command."""
VELOCITY_BASE = 0.2
"""Time over which speeds are taken from poses [s], for the truth and the replay alike."""
WARM_UP = 1.5
"""Stretch of commands before the first window [s] that a fit drives as well, to have the model's own speed by then."""
_INTEGRAL_STEP = 0.005
_TRICYCLE_STEPS = 5
"""Steps of a tricycle in one of the grid."""
_STEP_NS = round(STEP * SECOND)
_TRAVELS_KEPT = 8
"""Derivatives by dead band, delay and lag come in pairs, and the point about which they are taken."""


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


def whole_run(log: FieldLog) -> Windows:
    """Lay one window over a whole run: from the first input with a true pose to the last true pose.

    That may come after the last input: a robot that was told to stop rolls out.

    Raises:
        InputError: inputs and truth do not overlap.
    """
    first, _ = log.span_ns
    length = (int(log.pose_t_ns[-1]) - first) // _STEP_NS * STEP
    start_ns = np.array([first], dtype=np.int64)
    truth = interpolate_pose(_grid(start_ns, round(length / STEP)), log.pose_t_ns, log.pose)
    ends = start_ns[:, None] + round(length * SECOND)
    whole = ~crosses_gap(log.pose_t_ns, MAX_TRUTH_GAP, start_ns[:, None], ends)
    return Windows(log, (length,), start_ns, truth, whole, (int((~whole).sum()),), length)


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
    for before, after in log.breaks("pose"):
        whole &= (ends <= before) | (begin >= after)
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
        """Return delayed commands (K, T, 2 or 3): means over the grid's steps, smooth in the delay."""
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
        return drive_fast(drive, self.start_pose, self.start_velocity, self.commands(drive.command_delay))

    def simulate_warm(self, drive: DriveParameters, *, steps: IntArray) -> FloatArray:
        """Do as ``simulate`` does, but at the speed that the drive itself has at each start.

        Each log is driven once from end to end, from ``WARM_UP`` before its first window, and each window's stretch is
        placed on its true starting pose. What fits need: the measured speed of ``start_velocity`` is that of
        ``VELOCITY_BASE / 2`` before the start, on average, and a robot that speeds up is faster by then. A fit would
        make up for that by less lag and more delay. The truth before the start is not looked at, so that a break in it
        does no harm.

        Args:
            drive: of all of them.
            steps: (H,) grid indices to be returned.

        Returns:
            Poses (K, H, 3); yaw runs on past half a turn.
        """
        parts, first = [], 0
        for integral, offset in zip(self._integrals, self._offsets, strict=True):
            begin = offset[0] - WARM_UP
            count = int(np.ceil((offset[-1] - begin) / STEP)) + self._steps
            command = _mean_commands(integral, np.array([begin - drive.command_delay]), count, STEP, _INTEGRAL_STEP)
            chain = drive_fast(drive, np.zeros((1, 3)), command[:, 0], command)[0]
            times = begin + STEP * np.arange(count + 1)
            start = np.ascontiguousarray(self.start_pose[first : first + len(offset)])
            parts.append(_placed(chain, times, offset, offset[:, None] + STEP * steps, start, np.zeros(3)))
            first += len(offset)
        return np.concatenate(parts)


def drive_fast(
    drive: DriveParameters, start_pose: FloatArray, start_velocity: FloatArray, commands: FloatArray
) -> FloatArray:
    """Drive K robots with the traction model, in one compiled call.

    Args:
        drive: of all of them; its ``command_delay`` is not added.
        start_pose: (K, 3) x, y [m], yaw [rad]; start_velocity: (K, 2) v, omega or (K, 3) vx, vy, omega.
        commands: (K, T, 2 or 3), already delayed, held over steps of ``STEP``.

    Returns:
        Poses (K, T + 1, 3); yaw runs on past half a turn.
    """
    table = np.repeat(parameter_array([drive]), len(start_pose), axis=0)
    if not isinstance(drive, TricycleDrive):
        return rollout(table, start_pose, start_velocity, commands, STEP)
    # Traction waits for the steering, which turns fast: long steps would turn it too late.
    fine = np.repeat(commands, _TRICYCLE_STEPS, axis=1)
    return rollout(table, start_pose, start_velocity, fine, STEP / _TRICYCLE_STEPS)[:, ::_TRICYCLE_STEPS]


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
    placed on its true starting pose. What wheels with a gain of one travel under raw commands is kept for the last few
    dead bands, delays and lags: a fit changes the other parameters far more often.
    """

    def __init__(self, windows: Sequence[Windows]) -> None:
        self._travels: dict[tuple[float, float, float], list[FloatArray]] = {}
        self._tables = [_wheel_table(item.log) for item in windows]
        self._grids = [(item.grid_ns() - item.log.input_t_ns[0]) / SECOND for item in windows]
        self._starts = [np.ascontiguousarray(item.truth[:, 0]) for item in windows]

    def simulate(self, parameters: WheelParameters, *, steps: IntArray | None = None) -> FloatArray:
        """Return the replayed poses of the tracked mark.

        Args:
            parameters: the wheels, the mount of the mark and the delays.
            steps: (H,) grid indices to be returned; None returns all T + 1.

        Returns:
            Poses (K, T + 1 or H, 3); yaw runs on past half a turn.
        """
        parts = []
        chains = self._told(parameters) if all(table.told for table in self._tables) else None
        for number, (table, grid, start) in enumerate(zip(self._tables, self._grids, self._starts, strict=True)):
            times, chain = table.reckon(parameters) if chains is None else (table.grid, chains[number])
            delay = 0.0 if table.told else parameters.tick_delay
            chosen = grid if steps is None else grid[:, steps]
            parts.append(_placed(chain, times, grid[:, 0] - delay, chosen - delay, start, parameters.sensor_pose))
        return np.concatenate(parts)

    def _told(self, parameters: WheelParameters) -> list[FloatArray]:
        """Return each log's poses (M, 3) of ``base_link`` every ``STEP`` under its raw commands."""
        key = (parameters.dead_band, parameters.command_delay, parameters.motor_lag)
        if key not in self._travels:
            while len(self._travels) >= _TRAVELS_KEPT:
                del self._travels[next(iter(self._travels))]
            self._travels[key] = [table.travel(parameters) for table in self._tables]
        travels = self._travels[key]
        steps = driven(np.concatenate(travels), parameters)
        borders = np.cumsum([0, *(len(travel) for travel in travels)])
        return [integrate(steps[first:last]) for first, last in itertools.pairwise(borders.tolist())]


@dataclass(frozen=True)
class _WheelTable:
    """Times (N,) [s] since the first record, counts or raw commands (N, W), and for commands how long to reckon [s]."""

    times: FloatArray
    values: FloatArray
    told: bool
    span: float

    def reckon(self, parameters: WheelParameters) -> tuple[FloatArray, FloatArray]:
        """Return times (M,) [s] and the poses (M, 3) of ``base_link`` then."""
        if not self.told:
            return self.times, count_motion(self.values, parameters)
        return self.grid, command_motion(self.times, self.values, parameters, STEP, len(self.grid) - 1)

    @cached_property
    def grid(self) -> FloatArray:
        """(M,) [s] times at which raw commands are reckoned."""
        return np.arange(int(self.span / STEP) + 3, dtype=np.float64) * STEP

    def travel(self, parameters: WheelParameters) -> FloatArray:
        """Return what wheels with a gain of one travel (M - 1, W) under raw commands."""
        return command_travel(self.times, self.values, parameters, STEP, len(self.grid) - 1)


def _wheel_table(log: FieldLog) -> _WheelTable:
    if not commands_wheels(log):
        return _WheelTable((log.ticks_t_ns - log.ticks_t_ns[0]) / SECOND, log.ticks.astype(np.float64), False, 0.0)
    first, values = int(log.wheel_cmd_t_ns[0]), np.ascontiguousarray(log.wheel_cmd, dtype=np.float64)
    times = (log.wheel_cmd_t_ns - first) / SECOND
    return _WheelTable(times, values, True, max(float(times[-1]), (int(log.pose_t_ns[-1]) - first) / SECOND))


def commands_body(log: FieldLog) -> bool:
    """Tell whether a log's replay is driven by commands of the body's motion: a tricycle's counts go before them."""
    return len(log.cmd_t_ns) > 0 and not (log.drive == "tricycle" and len(log.ticks_t_ns) > 0)


def commands_wheels(log: FieldLog) -> bool:
    """Tell whether a log's replay is driven by raw wheel commands, not by counts."""
    return len(log.wheel_cmd_t_ns) > 0


def wheel_chain(log: FieldLog, parameters: WheelParameters) -> tuple[FloatArray, FloatArray]:
    """Return times (N,) [s] since the log's first command or count and the dead-reckoned poses (N, 3) of ``base_link``.

    From counts, the poses are at their stamps. From raw commands, every ``STEP``, until after the last true pose.
    """
    return _wheel_table(log).reckon(parameters)


def tricycle_chain(log: FieldLog, parameters: TricycleParameters) -> FloatArray:
    """Return the dead-reckoned poses (N, 3) of ``base_link`` at the log's tick stamps, from the origin."""
    return dead_reckon(log.ticks[:, 0], log.ticks[:, 1], parameters)


def start_velocity(windows: Windows) -> FloatArray:
    """Return the true velocity of ``base_link`` just before each window.

    (K, 2) v [m/s], omega [rad/s], or (K, 3) vx, vy, omega where commands have three columns.

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


@compiled
def _placed(
    chain: FloatArray,
    times: FloatArray,
    begin: FloatArray,
    chosen: FloatArray,
    start: FloatArray,
    mount: FloatArray,
) -> FloatArray:
    """Place stretches of a chain of ``base_link`` (N, 3), known at times (N,), on true poses of a mark mounted on it.

    Args:
        begin: (K,) times at which the mark was at start (K, 3). chosen: (K, H) times to be returned.
        mount: (3,) pose of the mark in ``base_link``.

    Returns:
        (K, H, 3) poses of the mark; interpolated linearly between the chain's, because a step is a few centimetres.
    """
    out = np.empty((*chosen.shape, 3))
    for k in range(len(chosen)):
        x0, y0, yaw0 = _mark_at(chain, times, begin[k], mount)
        turn = start[k, 2] - yaw0
        c, s = np.cos(turn), np.sin(turn)
        for h in range(chosen.shape[1]):
            x, y, yaw = _mark_at(chain, times, chosen[k, h], mount)
            out[k, h, 0] = start[k, 0] + c * (x - x0) - s * (y - y0)
            out[k, h, 1] = start[k, 1] + s * (x - x0) + c * (y - y0)
            out[k, h, 2] = yaw + turn
    return out


@compiled
def _mark_at(chain: FloatArray, times: FloatArray, t: float, mount: FloatArray) -> tuple[float, float, float]:
    """Return the pose of the mark at a time; before the first and after the last it stands."""
    after = min(max(int(np.searchsorted(times, t)), 1), len(times) - 1)
    share = min(max((t - times[after - 1]) / (times[after] - times[after - 1]), 0.0), 1.0)
    x = chain[after - 1, 0] + share * (chain[after, 0] - chain[after - 1, 0])
    y = chain[after - 1, 1] + share * (chain[after, 1] - chain[after - 1, 1])
    yaw = chain[after - 1, 2] + share * (chain[after, 2] - chain[after - 1, 2])
    c, s = np.cos(yaw), np.sin(yaw)
    return x + c * mount[0] - s * mount[1], y + s * mount[0] + c * mount[1], yaw + mount[2]
