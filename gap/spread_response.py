"""What commands do on average: a table of cells, a delay and a lag, by regression of true steps on commanded time.

The true displacement of a short step is, but for noise, a sum over cells of the time for which their commands were in
force (delayed, lagged, of random age) times what they do. That is linear in what they do, so that even commands that
flicker faster than the robot moves are told apart. Cells are boxes that a k-d tree (Bentley 1975) cuts from the
commands of the training logs, apart by the signs of forward speed and yaw rate; ridge regression draws a cell towards
gain times command, weighted by Cauchy's function of the residuals against outliers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from ..common.errors import InputError
from ..common.geometry import FloatArray, relative
from ..common.kernels import compiled
from ..robots.motion_spread import GRID, SCATTER_TIME, age_weights, nearest_cells, respond_to
from .fieldlog import SECOND, FieldLog, IntArray, interpolate_pose

STEP = 0.2
"""Length of the true steps that are regressed [s]."""
LEAST_SECONDS = 4.0
"""Time that a cell must hold [s]."""
NARROW = 0.02
"""A box narrower than this share of the span is not cut again."""
WIDE = 0.1
"""A wider one is cut even where it holds less time than that, so that a dead band is not mixed with what lies above."""
FEWEST_SECONDS = 0.5
"""Time that a cell must hold even then [s]."""
RIDGE = (1.0, 3.0)
"""Weight of the pull towards gain times command, of forward speed and yaw rate: as so many fully occupied true steps.
"""
SCATTER_BLOCK = 1.0
PRIOR_BLOCKS = 2.0
SCATTER_KNOWN = 10.0
"""See ``_with_scatter``; block and the last in [s]."""
REACH = 0.1
"""See ``MotionSpread.reach``."""
HOLD_JITTER = 0.2
"""Relative deviation of holds that the table is fitted with; it hardly matters for a mean."""
LONGEST_COMMAND = 2.0
"""A command counts as in force for at most so long without another [s]."""
_TRUTH_SAMPLES = 3
"""True poses that a step must hold."""
_MOST_CELLS = 96
_ROUNDS = 5


@dataclass(frozen=True)
class Response:
    """A fitted mean response.

    Attributes:
        gain: (2,) of forward speed and yaw rate.
        asked, done: (C, 2) commands and what they do [m/s, rad/s].
        seconds: (C,) time in the training logs.
        span: (2,) scale of the commands.
        hold, delay, lag: [s]
        scatter: (C, 2) of what cells do, and novel: (2,) of commands far from all of them (see ``ResponseCell``).
        score: sum over logs and axes of the logarithm of the mean absolute residual of true steps.
    """

    gain: FloatArray
    asked: FloatArray
    done: FloatArray
    seconds: FloatArray
    span: FloatArray
    hold: float
    delay: float
    lag: float
    score: float = np.inf
    scatter: FloatArray = field(default_factory=lambda: np.zeros((1, 2)))
    novel: FloatArray = field(default_factory=lambda: np.zeros(2))

    def respond(self, commands: FloatArray) -> FloatArray:
        """Return what commands (M, 2) do on average, of the same shape."""
        return self.with_scatter(commands)[:, :2]

    def with_scatter(self, commands: FloatArray) -> FloatArray:
        """Return (M, 4) what commands (M, 2) do on average, and the scatter of it; standing does not scatter."""
        scatter = np.broadcast_to(self.scatter, self.asked.shape)
        values = np.array([*self.gain, *self.span, REACH, *self.novel])
        rows: FloatArray = respond_to(
            np.ascontiguousarray(commands), np.column_stack([self.asked, self.done, scatter]), values
        )
        return rows[:, :4]


class TimedCommands:
    """The commands of a log on the grid of ``GRID``, and the log's true steps.

    Args:
        log: of a differential drive, with commands.
    """

    def __init__(self, log: FieldLog) -> None:
        self.log = log
        self.seconds = (log.cmd_t_ns - log.cmd_t_ns[0]) / SECOND
        self.count = max(int(self.seconds[-1] / GRID), 1)
        begin, end = log.span_ns
        stamps = np.arange(begin + SECOND, end - SECOND, round(STEP * SECOND), dtype=np.int64)
        pose = interpolate_pose(stamps, log.pose_t_ns, log.pose)
        samples = np.diff(np.searchsorted(log.pose_t_ns, stamps))
        self.known: NDArray[np.bool_] = samples >= _TRUTH_SAMPLES
        self.moved = body_steps(pose)
        self._place = (stamps - log.cmd_t_ns[0]) / SECOND / GRID

    def rate(self, values: FloatArray) -> FloatArray:
        """Return values (M, C) that hold from each command's stamp to the next as means (G, C) over grid steps."""
        return _held_means(self.seconds, np.ascontiguousarray(values), self.count, GRID)

    def cells(self, place: IntArray, cells: int) -> FloatArray:
        """Return the share (G, cells) of each grid step in which a cell's commands are in force."""
        return _occupancy(self.seconds, place, cells, self.count, GRID)

    def steps_of(self, rate: FloatArray, delay: float) -> FloatArray:
        """Return the integral of a rate (G, C) over the true steps, delayed: (S, C), unknown steps left out."""
        total = cumulate(rate)
        return np.diff(at_places(total, self._place - delay / GRID), axis=0)[self.known]

    @property
    def true_steps(self) -> FloatArray:
        """(S, 2) true travel [m] and turn [rad] of the known steps."""
        return self.moved[self.known]


def body_steps(pose: FloatArray) -> FloatArray:
    """Return travel [m] and turn [rad] (N - 1, 2) between poses (N, 3), along the arc that joins them."""
    step = relative(pose[:-1], pose[1:])
    half = 0.5 * step[:, 2]
    flat = np.abs(half) < 1e-9
    safe = np.where(flat, 1.0, half)
    travel = np.where(flat, 1.0, safe / np.tan(safe)) * step[:, 0] + half * step[:, 1]
    return np.column_stack([travel, step[:, 2]])


def cumulate(rate: FloatArray) -> FloatArray:
    """Return the running integral (G + 1, C) of means (G, C) over grid steps."""
    return np.concatenate([np.zeros((1, rate.shape[1])), np.cumsum(rate, axis=0) * GRID])


def at_places(total: FloatArray, place: FloatArray) -> FloatArray:
    """Interpolate a running integral (G + 1, C) at places in grid steps, any shape: (..., C); it stops at the ends."""
    low = np.clip(np.floor(place).astype(np.int64), 0, len(total) - 2)
    share = np.clip(place - low, 0.0, 1.0)[..., None]
    result: FloatArray = total[low] * (1.0 - share) + total[low + 1] * share
    return result


def aged(rate: FloatArray, hold: float, jitter: float = HOLD_JITTER) -> FloatArray:
    """Return the mean over random ages of the command in force (``age_weights``) of a rate (G, C)."""
    weights = age_weights(hold, jitter)
    result: FloatArray = lfilter(weights, [1.0], rate, axis=0)
    return result


def lagged(rate: FloatArray, lag: float) -> FloatArray:
    """Return a rate (G, C) behind a first-order lag [s]."""
    if lag <= 0.0:
        return rate
    keep = np.exp(-GRID / lag)
    result: FloatArray = lfilter([1.0 - keep], [1.0, -keep], rate, axis=0)
    return result


def fit_response(
    logs: Sequence[TimedCommands], hold: float, *, ridge: tuple[float, float] = RIDGE, rounds: int = 2
) -> Response:
    """Fit gains, cells, delay and lag for a given hold.

    Raises:
        InputError: the robot is never told to move.
    """
    asked, seconds, span = command_cells([item.log for item in logs])
    gain: FloatArray = np.ones(2)
    found = Response(gain, asked, asked * gain, seconds, span, hold, 0.1, 0.05)
    places = [nearest_cells(item.log.cmd, asked, span, REACH)[0] for item in logs]
    shares = [aged(item.cells(place, len(asked)), hold) for item, place in zip(logs, places, strict=True)]
    given = [aged(item.rate(item.log.cmd), hold) for item in logs]
    for _ in range(rounds):
        found = fit_timing(logs, found)
        found = _solve(logs, shares, given, found, ridge)
    return _with_scatter(logs, shares, fit_timing(logs, found))


def _with_scatter(logs: Sequence[TimedCommands], shares: Sequence[FloatArray], found: Response) -> Response:
    """Estimate how much what cells do scatters, and draw cells whose scatter leaves them unsure to gain times command.

    Errors over ``SCATTER_BLOCK`` that lie in one cell, beyond the typical ones, have a variance s^2; they hang together
    for ``SCATTER_TIME``, so that a cell of t seconds holds n = t / ``SCATTER_TIME`` of them. Responses differ from gain
    times command with mean square p^2 over cells: a cell's correction is multiplied by p^2 / (p^2 + s^2 / n), the
    posterior mean. Its scatter is s, as far as few seconds were seen (the wandering gains have learnt of the others),
    and p for what was hardly seen at all.
    """
    count = round(SCATTER_BLOCK / STEP)
    squares, weights = [], []
    for item, share in zip(logs, shares, strict=True):
        rate = lagged(aged(item.rate(found.respond(item.log.cmd)), found.hold), found.lag)
        error = item.true_steps - item.steps_of(rate, found.delay)
        blocks = len(error) // count
        sums = error[: blocks * count].reshape(blocks, count, 2).sum(axis=1) / SCATTER_BLOCK
        inside = item.steps_of(lagged(share, found.lag), found.delay)[: blocks * count]
        squares.append(sums**2)
        weights.append(inside.reshape(blocks, count, -1).sum(axis=1) / SCATTER_BLOCK)
    square, weight = np.concatenate(squares), np.concatenate(weights)
    typical = np.median(square, axis=0) / 0.455  # the median of a chi-square number with one degree of freedom
    novel = np.sqrt(((found.done - found.gain * found.asked) ** 2).mean(axis=0))
    # Blocks that lie mostly within a cell tell of it; others tell of the change.
    weight = np.where(weight > 0.5, weight, 0.0)
    inside_only = weight.sum(axis=0)[:, None]
    excess = np.maximum((weight.T @ square - inside_only * 2.0 * typical) / (inside_only + PRIOR_BLOCKS), 0.0)
    seen = found.seconds[:, None]
    trust = novel**2 / (novel**2 + excess * SCATTER_TIME / seen + 1e-12)
    asked = found.gain * found.asked
    scatter = np.sqrt(excess * SCATTER_KNOWN / (SCATTER_KNOWN + seen) + novel**2 * PRIOR_BLOCKS / (PRIOR_BLOCKS + seen))
    return replace(found, done=asked + trust * (found.done - asked), scatter=scatter, novel=novel)


def fit_timing(logs: Sequence[TimedCommands], response: Response, hold: float | None = None) -> Response:
    """Fit delay and lag again, for the response's own hold or another; the cells stay."""
    hold = response.hold if hold is None else hold
    rates = [aged(item.rate(response.respond(item.log.cmd)), hold) for item in logs]
    truth = [item.true_steps for item in logs]

    def score(delay: float, totals: list[FloatArray]) -> float:
        value = 0.0
        for item, total, true in zip(logs, totals, truth, strict=True):
            step = np.diff(at_places(total, item._place - delay / GRID), axis=0)[item.known]
            value += float(np.log(np.abs(step - true).mean(axis=0) + 1e-9).sum())
        return value

    best = (np.inf, 0.0, 0.0)
    for lag in np.arange(0.0, 0.301, 0.03):
        totals = [cumulate(lagged(rate, lag)) for rate in rates]
        coarse = [(score(delay, totals), delay) for delay in np.arange(0.0, 0.501, 0.08)]
        near = min(coarse)[1]
        fine = [
            (score(delay, totals), delay)
            for delay in near + np.array([-0.06, -0.04, -0.02, 0.0, 0.02, 0.04, 0.06])
            if delay >= 0.0
        ]
        value, delay = min(fine)
        best = min(best, (value, float(delay), float(lag)))
    return replace(response, hold=hold, score=best[0], delay=best[1], lag=best[2])


def _solve(
    logs: Sequence[TimedCommands],
    shares: Sequence[FloatArray],
    given: Sequence[FloatArray],
    found: Response,
    ridge: tuple[float, float],
) -> Response:
    """Fit gains and cells for the delay and the lag of ``found``."""
    cells = np.concatenate([i.steps_of(lagged(s, found.lag), found.delay) for i, s in zip(logs, shares, strict=True)])
    asked = np.concatenate([i.steps_of(lagged(g, found.lag), found.delay) for i, g in zip(logs, given, strict=True)])
    true = np.concatenate([item.true_steps for item in logs])
    gain, done = np.ones(2), found.asked.copy()
    for axis in range(2):
        gain[axis], extra = _robust_ridge(cells, asked[:, axis], true[:, axis], ridge[axis] * STEP**2)
        done[:, axis] = gain[axis] * found.asked[:, axis] + extra
    return replace(found, gain=gain, done=done)


def _robust_ridge(cells: FloatArray, asked: FloatArray, true: FloatArray, pull: float) -> tuple[float, FloatArray]:
    """Fit ``true = gain asked + cells extra`` with Cauchy's weights; ``extra`` is drawn to 0. Returns gain, extra."""
    strong = np.abs(asked) > 0.5 * np.abs(asked).max()
    gain = float(np.median(true[strong] / asked[strong])) if strong.any() and np.abs(asked).max() > 0 else 1.0
    extra: FloatArray = np.zeros(cells.shape[1])
    weight: FloatArray = np.ones(len(true))
    for number in range(_ROUNDS):
        if number > 0:
            power = float((weight * asked * asked).sum())
            gain = float((weight * asked * (true - cells @ extra)).sum()) / power if power > 0 else 1.0
        heavy = cells * weight[:, None]
        normal = heavy.T @ cells + pull * np.eye(cells.shape[1])
        extra = np.asarray(np.linalg.solve(normal, heavy.T @ (true - gain * asked)), dtype=np.float64)
        residual = true - gain * asked - cells @ extra
        scale = 3.0 * (1.4826 * float(np.median(np.abs(residual))) + 1e-5)
        weight = 1.0 / (1.0 + (residual / scale) ** 2)
    return gain, extra


def command_cells(logs: Sequence[FieldLog]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Cut the commands of logs into cells.

    Returns:
        Mean command (C, 2) of each cell, its time (C,) [s], and the span (2,) of the commands.

    Raises:
        InputError: the robot is never told to move.
    """
    command = np.concatenate([log.cmd[:-1] for log in logs])
    seconds = np.concatenate([np.minimum(np.diff(log.cmd_t_ns) / SECOND, LONGEST_COMMAND) for log in logs])
    greatest = np.abs(command).max(axis=0)
    if greatest.max() <= 0.0:
        raise InputError("the robot is never told to move", mend="give a log with driving in it")
    span = np.where(greatest > 0.0, greatest, 1.0)
    least = max(LEAST_SECONDS, float(seconds.sum()) / (4 * _MOST_CELLS))
    signs = (np.sign(command) @ np.array([3, 1])).astype(np.int64)
    boxes: list[IntArray] = []
    for sign in np.unique(signs):
        boxes += _cut(np.flatnonzero(signs == sign), command / span, seconds, least)
    boxes = [box for box in boxes if seconds[box].sum() >= FEWEST_SECONDS] or boxes
    centre = [np.average(command[box], axis=0, weights=seconds[box]) for box in boxes]
    return np.array(centre), np.array([seconds[box].sum() for box in boxes]), span


def _cut(rows: IntArray, place: FloatArray, seconds: FloatArray, least: float) -> list[IntArray]:
    """Cut a box across its longer side where half its time is, until it is narrow or holds too little time."""
    inside = place[rows]
    extent = inside.max(axis=0) - inside.min(axis=0)
    axis = int(extent.argmax())
    needed = FEWEST_SECONDS if extent[axis] > WIDE else least
    if seconds[rows].sum() < 2.0 * needed or extent[axis] < NARROW:
        return [rows]
    order = rows[np.argsort(inside[:, axis], kind="stable")]
    time = np.cumsum(seconds[order])
    change = np.flatnonzero(np.diff(place[order, axis]) > 0)
    middle = int(change[np.abs(time[change] - 0.5 * time[-1]).argmin()])
    if min(time[middle], time[-1] - time[middle]) < needed:
        return [rows]
    return _cut(order[: middle + 1], place, seconds, least) + _cut(order[middle + 1 :], place, seconds, least)


@compiled
def _held_means(seconds: FloatArray, values: FloatArray, count: int, step: float) -> FloatArray:
    out = np.zeros((count, values.shape[1]))
    for i in range(len(seconds) - 1):
        begin, k = seconds[i], int(seconds[i] / step)
        while begin < seconds[i + 1] and k < count:
            end = min(seconds[i + 1], (k + 1) * step)
            for c in range(values.shape[1]):
                out[k, c] += values[i, c] * (end - begin) / step
            begin = end
            k += 1
    return out


@compiled
def _occupancy(seconds: FloatArray, place: IntArray, cells: int, count: int, step: float) -> FloatArray:
    out = np.zeros((count, cells))
    for i in range(len(seconds) - 1):
        begin, k = seconds[i], int(seconds[i] / step)
        while begin < seconds[i + 1] and k < count:
            end = min(seconds[i + 1], (k + 1) * step)
            out[k, place[i]] += (end - begin) / step
            begin = end
            k += 1
    return out
