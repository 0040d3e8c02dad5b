"""The predicted distribution of a robot's motion: what it does on average with a command, and what differs each time.

Commands become motion in five steps, each with parameters that a log can tell:

1. **Response.** What a command does on average, as a table of cells in the plane of forward speed and yaw rate: gain
   times command plus the cell's correction. Drives round, saturate and cut corners; a table says so without a formula.
2. **Hold.** The robot takes a new command over only when a clock ticks, every ``hold`` on average; short commands are
   missed or stretched. Nobody logs that clock, but commands that fall back (the end of a turn) often come a fixed time
   before a tick, because the controller answers what it saw at the last one: with probability ``sync_share`` such an
   edge tells the next tick, ``sync_delay`` later. Between ticks so told the phase is random.
3. **Delay and lag.** A fixed delay and a first-order lag.
4. **Gains that wander.** The gain of turning and of travelling, and the veer (curvature while travelling), are
   Ornstein-Uhlenbeck processes with standard deviation and correlation time; each robot has its own constant offsets of
   them, and its own crab (direction of travel against heading). What a cell does scatters, for ``scatter_time``. All,
   and the rocking below, are multiplied by one factor a path, the square root of ``tail`` over a chi-square number with
   that many degrees of freedom, so that ends are Student's t, not normal. And rarely the robot stalls.
5. **What the tracker sees.** The body rocks while it drives, and the tracker has noise.

A robot that is told to stand, and stood, stands: steps 2 to 4 multiply what the command asks for.
"""

from __future__ import annotations

from math import cos, erfc, exp, log, pi, sin, sqrt
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ..common.config import StrictModel
from ..common.geometry import FloatArray
from ..common.kernels import compiled

GRID = 0.02
"""Step of the streams of mean speeds [s]."""
PATH_STEP = 0.2
"""Step of the gains that wander, and of the path [s]."""
SCATTER_TIME = 5.0
"""Correlation time of what cells do beyond the wandering gains [s], where none was fitted."""
_SUB = round(PATH_STEP / GRID)
FALL = 0.25
"""Share of the span by which a command must fall back to count as an edge that tells the clock."""
LASTING = 0.06
"""Time that a command must have lasted before such an edge, and must last after it [s]."""
MOVING_V, MOVING_W = 0.003, 0.01
"""Speeds [m/s, rad/s] above which the body counts as moving, so that it rocks."""
Own = tuple[float, float, float]
Memory = tuple[float, float, float, float]
Wander = tuple[float, float, float, float, float]
_FAR = 100.0
"""Distance between cells whose commands differ in sign; larger than any within (spans count as 1)."""


class Estimate(StrictModel):
    """A fitted number with its 95 % interval; ends are None where the log is too short to tell."""

    value: float
    ci_low: float | None = None
    ci_high: float | None = None
    unit: str

    @model_validator(mode="after")
    def _interval_in_order(self) -> Estimate:
        if (self.ci_low is None) != (self.ci_high is None):
            raise ValueError("ci_low and ci_high must both be given or both be left out")
        if self.ci_low is not None and self.ci_high is not None and self.ci_low > self.ci_high:
            raise ValueError(f"the interval is upside down: {self.ci_low} > {self.ci_high}")
        return self


class ResponseCell(StrictModel):
    """What a command does on average: asked and done, forward speed [m/s] and yaw rate [rad/s]."""

    v: float
    omega: float
    v_done: float
    omega_done: float
    v_scatter: float = Field(default=0.0, ge=0)
    omega_scatter: float = Field(default=0.0, ge=0)
    """Standard deviation of what it does [m/s, rad/s] beyond what steps 2 to 5 explain: a robot that sometimes does not
    start to turn in place, a command that was hardly ever seen."""
    seconds: float = Field(ge=0)
    """Time that the training logs hold of it."""


class Widening(StrictModel):
    """Factors on the distance of samples from their mean, after so long, that make the 95 % bands hold on training
    robots (or stretches) that were left out of the fit."""

    horizon_s: float = Field(gt=0)
    position: float = Field(gt=0)
    heading: float = Field(gt=0)


class MotionSpread(StrictModel):
    """Parameters of the predicted distribution of motion (see the module's docstring)."""

    linear_gain: Estimate
    angular_gain: Estimate
    cells: list[ResponseCell] = Field(default_factory=list)
    span: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = (1.0, 1.0)
    """Greatest forward speed [m/s] and yaw rate [rad/s] in the training logs: the scale of distances between cells."""
    reach: float = Field(default=0.1, gt=0)
    """Distance in spans over which a cell's correction fades, away from its own commands."""
    novel: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(ge=0)]] = (0.0, 0.0)
    """Scatter [m/s, rad/s] of commands that are far from every cell."""
    hold: Estimate
    """Mean time for which a command is held [s]; 0: every command is taken over at once."""
    hold_jitter: Estimate
    sync_share: Estimate
    sync_delay: Estimate
    sync_jitter: Estimate
    delay: Estimate
    lag: Estimate
    stall_rate: Estimate
    stall_time: Estimate
    turn_sd: Estimate
    turn_time: Estimate
    travel_sd: Estimate
    travel_time: Estimate
    veer_sd: Estimate
    veer_time: Estimate
    turn_robot: Estimate
    travel_robot: Estimate
    veer_robot: Estimate
    crab_robot: Estimate
    rock_position: Estimate
    rock_yaw: Estimate
    truth_position: Estimate
    truth_yaw: Estimate
    tail: Estimate
    """Degrees of freedom; above 2."""
    scatter_time: Estimate = Field(default_factory=lambda: Estimate(value=SCATTER_TIME, unit="s"))
    """Correlation time of what cells do beyond the wandering gains."""
    widening: list[Widening] = Field(default_factory=list)
    """By ascending horizon; none: samples stand as they are."""
    factor: float = Field(default=1.0, gt=0)
    """With which the sizes of the processes were multiplied, and already are here, so that 95 % bands hold on training
    robots that were left out."""
    trained_on: list[str] = Field(default_factory=list)

    def values(self) -> FloatArray:
        """Return the numbers of steps 2 to 5 as an array, in the order of ``VALUE_NAMES``."""
        return np.array([getattr(self, name).value for name in VALUE_NAMES])

    def widening_at(self, horizons: FloatArray) -> FloatArray:
        """Return the factors (H, 2) of position and heading after horizons (H,) [s], over the logarithm of time."""
        if not self.widening:
            return np.ones((len(horizons), 2))
        known = np.log([item.horizon_s for item in self.widening])
        columns = [[item.position for item in self.widening], [item.heading for item in self.widening]]
        return np.column_stack([np.interp(np.log(horizons), known, column) for column in columns])

    def respond(self, commands: FloatArray) -> FloatArray:
        """Return what commands (M, 2) forward speed [m/s], yaw rate [rad/s] do on average, of the same shape."""
        rows: FloatArray = respond_to(np.ascontiguousarray(commands), self.cell_table(), self.response_values())
        return rows[:, :2]

    def cell_table(self) -> FloatArray:
        """Return the cells (C, 6): asked, done, scatter; one that corrects nothing if there is none."""
        rows = [[c.v, c.omega, c.v_done, c.omega_done, c.v_scatter, c.omega_scatter] for c in self.cells]
        return np.array(rows or [[0.0] * 6])

    def response_values(self) -> FloatArray:
        """Return (7,) gains, span, reach and novelty, as ``respond_to`` takes them."""
        return np.array([self.linear_gain.value, self.angular_gain.value, *self.span, self.reach, *self.novel])


VALUE_NAMES = (
    "hold", "hold_jitter", "sync_share", "sync_delay", "sync_jitter", "delay", "lag", "stall_rate", "stall_time",
    "turn_sd", "turn_time", "travel_sd", "travel_time", "veer_sd", "veer_time",
    "turn_robot", "travel_robot", "veer_robot", "crab_robot",
    "rock_position", "rock_yaw", "truth_position", "truth_yaw", "tail", "scatter_time",
)  # fmt: skip
(
    _HOLD, _HOLD_JITTER, _SYNC_SHARE, _SYNC_DELAY, _SYNC_JITTER, _DELAY, _LAG, _STALL_RATE, _STALL_TIME,
    _TURN, _TURN_TIME, _TRAVEL, _TRAVEL_TIME, _VEER, _VEER_TIME, _TURN_ROBOT, _TRAVEL_ROBOT, _VEER_ROBOT,
    _CRAB_ROBOT, _ROCK_POSITION, _ROCK_YAW, _TRUTH_POSITION, _TRUTH_YAW, _TAIL, _SCATTER_TIME,
) = range(len(VALUE_NAMES))  # fmt: skip


@compiled
def nearest_cells(
    commands: FloatArray, asked: FloatArray, span: FloatArray, reach: float
) -> tuple[NDArray[np.int64], FloatArray]:
    """Find the cell of each command: the nearest one among those with the same signs, else among all.

    Args:
        commands: (M, 2). asked: (C, 2) centres. span: (2,) scale of distances. reach: fading length, in spans.

    Returns:
        (M,) index, and (M,) weight of its correction in 0..1: ``exp(-d^2 / (2 reach^2))``; 0 where the signs differ.
    """
    count = len(commands)
    place, weight = np.empty(count, np.int64), np.empty(count)
    for i in range(count):
        if i > 0 and commands[i, 0] == commands[i - 1, 0] and commands[i, 1] == commands[i - 1, 1]:
            place[i], weight[i] = place[i - 1], weight[i - 1]
            continue
        place[i], weight[i] = nearest_cell(commands[i, 0], commands[i, 1], asked, 0, len(asked), span, reach)
    return place, weight


@compiled
def nearest_cell(
    v: float, omega: float, asked: FloatArray, first: int, count: int, span: FloatArray, reach: float
) -> tuple[int, float]:
    """Find the cell of one command among ``count`` rows of ``asked`` from ``first`` on; see ``nearest_cells``.

    Returns:
        The row in ``asked``, and the weight of its correction.
    """
    best, chosen = np.inf, first
    for j in range(first, first + count):
        a, b = (v - asked[j, 0]) / span[0], (omega - asked[j, 1]) / span[1]
        distance = a * a + b * b
        if np.sign(v) != np.sign(asked[j, 0]):
            distance += _FAR
        if np.sign(omega) != np.sign(asked[j, 1]):
            distance += _FAR
        if distance < best:
            best, chosen = distance, j
    return chosen, exp(-0.5 * best / (reach * reach))


@compiled
def respond_one(
    v: float, omega: float, cells: FloatArray, first: int, count: int, values: FloatArray
) -> tuple[float, float, float, float, float]:
    """Return what one command does on average, its scatter, and the weight of its cell; see ``respond_to``.

    Args:
        first, count: rows of ``cells`` that count.
    """
    place, weight = nearest_cell(v, omega, cells, first, count, values[2:4], values[4])
    gain_v, gain_w = values[0], values[1]
    mean_v = v * gain_v + weight * (cells[place, 2] - gain_v * cells[place, 0])
    mean_w = omega * gain_w + weight * (cells[place, 3] - gain_w * cells[place, 1])
    if v == 0.0 and omega == 0.0:
        return mean_v, mean_w, 0.0, 0.0, weight
    odd_v = weight * cells[place, 4] + (1.0 - weight) * values[5]
    odd_w = weight * cells[place, 5] + (1.0 - weight) * values[6]
    return mean_v, mean_w, odd_v, odd_w, weight


@compiled
def respond_to(commands: FloatArray, cells: FloatArray, values: FloatArray) -> FloatArray:
    """Return what commands do on average.

    Args:
        commands: (M, 2) forward speed [m/s], yaw rate [rad/s].
        cells: (C, 6) asked, done, scatter [m/s, rad/s]. values: (7,) gains, span, reach, novelty (``MotionSpread``).

    Returns:
        (M, 5) mean, its scatter (none of standing) [m/s, rad/s], and the weight of the cell's correction: 1 for
        commands that the log holds, towards 0, where gains alone count, for those far from all that it holds.
    """
    out = np.empty((len(commands), 5))
    for i in range(len(commands)):
        if i > 0 and commands[i, 0] == commands[i - 1, 0] and commands[i, 1] == commands[i - 1, 1]:
            out[i] = out[i - 1]
            continue
        found = respond_one(commands[i, 0], commands[i, 1], cells, 0, len(cells), values)
        out[i, 0], out[i, 1], out[i, 2], out[i, 3], out[i, 4] = found
    return out


def age_weights(hold: float, jitter: float) -> FloatArray:
    """Return how likely the command in force is so many steps of ``GRID`` old: (A,), sum 1.

    The density of the age of a renewal process is its survival function over its mean (Cox 1962): with holds that are
    normal about ``hold`` [s] with relative deviation ``jitter``, 1 up to about the mean, then falling to 0.
    """
    if hold <= 0.0:
        return np.ones(1)
    age = np.arange(int(np.ceil((1.0 + 3.0 * jitter) * hold / GRID)) + 1) * GRID
    survival = np.array([0.5 * erfc((value / hold - 1.0) / (sqrt(2.0) * max(jitter, 1e-3))) for value in age.tolist()])
    weights: FloatArray = survival / survival.sum()
    return weights


def sync_edges(seconds: FloatArray, commands: FloatArray, span: FloatArray) -> FloatArray:
    """Return the times (E,) [s] at which commands (M, 2) fall back: clear drops that last, after a level that lasted.

    Args:
        seconds: (M,) stamps. commands: (M, 2). span: (2,) scale of the commands.
    """
    level = np.abs(commands) / span
    drop = (level[:-1] - level[1:]).max(axis=1) > FALL
    rows = np.flatnonzero(drop) + 1
    if len(rows) == 0:
        return np.empty(0)
    changed = np.flatnonzero((np.abs(np.diff(commands, axis=0)) > 0.5 * FALL * span).any(axis=1)) + 1
    stamps = np.concatenate([[seconds[0]], seconds[changed], [seconds[-1]]])
    place = np.searchsorted(stamps, seconds[rows])
    lasted = (seconds[rows] - stamps[np.maximum(place - 1, 0)] >= LASTING) & (
        stamps[np.minimum(place + 1, len(stamps) - 1)] - seconds[rows] >= LASTING
    )
    result: FloatArray = seconds[rows[lasted]]
    return result


@compiled
def _mix(state: np.uint64) -> np.uint64:
    """Return the output of SplitMix64 (Steele, Lea and Flood 2014) for a state."""
    z = state
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@compiled
def uniform(state: NDArray[np.uint64]) -> float:
    """Return the next number in (0, 1] of a SplitMix64 sequence and move its state (1,) on."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    return (float(_mix(state[0]) >> np.uint64(11)) + 1.0) * 2.0**-53


@compiled
def _pair(state: NDArray[np.uint64]) -> tuple[float, float]:
    """Return two independent standard normal numbers (Box and Muller 1958)."""
    size, angle = sqrt(-2.0 * log(uniform(state))), 2.0 * pi * uniform(state)
    return size * cos(angle), size * sin(angle)


@compiled
def _tail_factor(state: NDArray[np.uint64], freedom: float) -> float:
    """Return the square root of ``freedom`` over a chi-square number with that many degrees of freedom.

    Gamma numbers after Marsaglia and Tsang, *A Simple Method for Generating Gamma Variables*, 2000; the shape, half
    the degrees of freedom, is above 1.
    """
    d = 0.5 * freedom - 1.0 / 3.0
    c = 1.0 / sqrt(9.0 * d)
    while True:
        x, _ = _pair(state)
        v = (1.0 + c * x) ** 3
        if v > 0.0 and log(uniform(state)) < 0.5 * x * x + d - d * v + d * log(v):
            return sqrt(0.5 * freedom / (d * v))


@compiled
def sample_ends(
    rate: FloatArray,
    edges: FloatArray,
    start: FloatArray,
    steps: NDArray[np.int64],
    values: FloatArray,
    samples: int,
    key: np.uint64,
) -> FloatArray:
    """Sample where the robot ends, in the frame of its measured starting pose.

    Args:
        rate: (G, 4) mean response [m/s, rad/s] to the commands every ``GRID`` and its scatter, neither held, delayed
            nor lagged.
        edges: (E,) ascending, see ``sync_edges``, in steps of ``GRID``.
        start: (K,) place of each window's start in ``rate``; may be a fraction.
        steps: (H,) ascending horizons in steps of ``PATH_STEP``.
        values: see ``MotionSpread.values``.
        samples: paths a window, N.
        key: of the random numbers: window k and sample n have a sequence of their own.

    Returns:
        (K, H, N, 3) x, y [m], yaw [rad] as the tracker measures it; yaw runs on past half a turn.
    """
    windows, horizons = len(start), len(steps)
    out = np.empty((windows, horizons, samples, 3))
    state = np.empty(1, np.uint64)
    warm = warm_steps(values)
    length = steps[-1] * _SUB + warm
    held = np.empty((length, 4))
    for k in range(windows):
        window_key = _mix(key + np.uint64(k + 1) * np.uint64(0xBF58476D1CE4E5B9))
        for n in range(samples):
            state[0] = _mix(window_key ^ (np.uint64(n + 1) * np.uint64(0x94D049BB133111EB)))
            take_over(rate, edges, start[k] - warm, values, state, held)
            _sample_path(held, warm, steps, values, state, out[k, :, n])
    return out


@compiled
def warm_steps(p: FloatArray) -> int:
    """Return after how many steps of ``GRID`` a path has forgotten how it began; ``p``: ``MotionSpread.values``."""
    return int((2.0 * p[_HOLD] + 5.0 * p[_LAG]) / GRID) + 2


@compiled
def take_over(
    rate: FloatArray,
    edges: FloatArray,
    begin: float,
    p: FloatArray,
    state: NDArray[np.uint64],
    held: FloatArray,
) -> None:
    """Fill ``held`` (L, 4) with the responses in force from the place ``begin`` in ``rate`` on.

    The clock by which commands are taken over is drawn backwards in time: an edge tells where the clock stood when the
    command before it was taken over, which is what makes short commands come out a whole period long.
    """
    length, last = len(held), len(rate) - 1
    delay = p[_DELAY] / GRID
    if p[_HOLD] <= 0.0:
        for i in range(length):
            place = begin + i - delay
            low = min(max(int(np.floor(place)), 0), last)
            for c in range(4):
                held[i, c] = rate[low, c]
        return
    hold, sync = p[_HOLD] / GRID, p[_SYNC_DELAY] / GRID
    end = begin + length
    edge = np.searchsorted(edges, end - sync) - 1
    tick, upper = end + hold * (1.0 - uniform(state)), length
    share, blur, a = p[_SYNC_SHARE], p[_SYNC_JITTER] / GRID, 0.0
    while upper > 0:
        tick -= hold * hold_factor(p, state)
        while edge >= 0 and edges[edge] + sync > tick + 0.5 * hold:
            edge -= 1
        if edge >= 0 and edges[edge] + sync > tick - 0.5 * hold:
            if share >= 1.0 or uniform(state) < share:
                if blur > 0.0:
                    a, _rest = _pair(state)
                tick = edges[edge] + sync + blur * a
            edge -= 1
        lower = max(int(np.ceil(tick - begin)), 0)
        low = min(max(int(np.floor(tick - delay)), 0), last)
        for i in range(lower, upper):
            for c in range(4):
                held[i, c] = rate[low, c]
        upper = min(upper, lower)


@compiled
def mean_taken_over(
    rate: FloatArray, edges: FloatArray, begin: float, length: int, p: FloatArray, clocks: int, key: np.uint64
) -> FloatArray:
    """Return the responses (L, 2) in force from the place ``begin`` in ``rate`` on, averaged over drawn clocks.

    Args:
        rate, edges, begin, p: as ``take_over`` takes them. length: L. clocks: how many. key: of the random numbers.
    """
    held, mean, state = np.empty((length, 4)), np.zeros((length, 2)), np.empty(1, np.uint64)
    for n in range(clocks):
        state[0] = _mix(key ^ (np.uint64(n + 1) * np.uint64(0x94D049BB133111EB)))
        take_over(rate, edges, begin, p, state, held)
        for i in range(length):
            mean[i, 0] += held[i, 0] / clocks
            mean[i, 1] += held[i, 1] / clocks
    return mean


@compiled
def hold_factor(p: FloatArray, state: NDArray[np.uint64]) -> float:
    """Draw how long the next hold is, in means; see ``MotionSpread.values`` for ``p``."""
    if p[_HOLD_JITTER] <= 0.0:
        return 1.0
    a, _rest = _pair(state)
    return max(1.0 + p[_HOLD_JITTER] * a, 0.2)


@compiled
def _sample_path(
    held: FloatArray,
    warm: int,
    steps: NDArray[np.int64],
    p: FloatArray,
    state: NDArray[np.uint64],
    out: FloatArray,
) -> None:
    """Sample one path from the responses in force, ``warm`` steps before its start; ``out`` (H, 3) gets its ends."""
    blend = 1.0 - exp(-GRID / p[_LAG]) if p[_LAG] > 0.0 else 1.0
    factor = _tail_factor(state, p[_TAIL])
    turn_own, travel_own = _pair(state)
    veer_own, crab = _pair(state)
    own = (
        turn_own * (p[_TURN_ROBOT] * factor),
        travel_own * (p[_TRAVEL_ROBOT] * factor),
        veer_own * (p[_VEER_ROBOT] * factor),
    )
    crab *= p[_CRAB_ROBOT] * factor
    memory, wander = memory_of(p), first_wander(state)

    v, w = held[0, 0], held[0, 1]
    for i in range(warm):
        v += blend * (held[i, 0] - v)
        w += blend * (held[i, 1] - w)
    # The first pose is measured too: an error of its heading swings the whole path.
    size = _noise(p, v, w, factor, _TRUTH_POSITION)
    a, b = _pair(state)
    x, y = -a * size, -b * size
    a, _rest = _pair(state)
    yaw = -a * _noise(p, v, w, factor, _TRUTH_YAW)
    moved_v = moved_w = odd_v = odd_w = 0.0
    stalled = 0.0
    h = 0
    for i in range(steps[-1] * _SUB):
        v += blend * (held[warm + i, 0] - v)
        w += blend * (held[warm + i, 1] - w)
        moved_v += v * GRID
        moved_w += w * GRID
        odd_v += held[warm + i, 2] * GRID
        odd_w += held[warm + i, 3] * GRID
        if (i + 1) % _SUB:
            continue
        moving, stalled = moving_share(p, stalled, state)
        along, swung = as_driven(moving * moved_v, moving * moved_w, odd_v, odd_w, p, own, factor, wander)
        middle = yaw + 0.5 * swung + crab
        x += along * cos(middle)
        y += along * sin(middle)
        yaw += swung
        if i + 1 == steps[h] * _SUB:
            size = _noise(p, v, w, factor, _TRUTH_POSITION)
            a, b = _pair(state)
            out[h, 0], out[h, 1] = x + a * size, y + b * size
            a, _rest = _pair(state)
            out[h, 2] = yaw + a * _noise(p, v, w, factor, _TRUTH_YAW)
            h += 1
        moved_v = moved_w = odd_v = odd_w = 0.0
        wander = next_wander(wander, memory, state)


@compiled
def memory_of(p: FloatArray) -> Memory:
    """Return how much of turn, travel, veer and scatter of ``next_wander`` is left after ``PATH_STEP``."""
    return (
        exp(-PATH_STEP / p[_TURN_TIME]),
        exp(-PATH_STEP / p[_TRAVEL_TIME]),
        exp(-PATH_STEP / p[_VEER_TIME]),
        exp(-PATH_STEP / p[_SCATTER_TIME]),
    )


@compiled
def first_wander(state: NDArray[np.uint64]) -> Wander:
    """Draw what wanders, of unit variance: turn, travel, veer, scatter of forward speed and of yaw rate."""
    turn, travel = _pair(state)
    veer, _rest = _pair(state)
    scatter_v, scatter_w = _pair(state)
    return turn, travel, veer, scatter_v, scatter_w


@compiled
def next_wander(wander: Wander, memory: Memory, state: NDArray[np.uint64]) -> Wander:
    """Return what wanders ``PATH_STEP`` later: exact for Ornstein-Uhlenbeck processes (Gillespie 1996)."""
    turn, travel, veer, scatter_v, scatter_w = wander
    keep_turn, keep_travel, keep_veer, keep_scatter = memory
    new_scatter = sqrt(1.0 - keep_scatter * keep_scatter)
    a, b = _pair(state)
    scatter_v, scatter_w = keep_scatter * scatter_v + new_scatter * a, keep_scatter * scatter_w + new_scatter * b
    a, b = _pair(state)
    turn = keep_turn * turn + sqrt(1.0 - keep_turn * keep_turn) * a
    travel = keep_travel * travel + sqrt(1.0 - keep_travel * keep_travel) * b
    a, _rest = _pair(state)
    veer = keep_veer * veer + sqrt(1.0 - keep_veer * keep_veer) * a
    return turn, travel, veer, scatter_v, scatter_w


@compiled
def moving_share(p: FloatArray, stalled: float, state: NDArray[np.uint64]) -> tuple[float, float]:
    """Draw stalls: the share of the next ``PATH_STEP`` in which the robot moves, and how long it stalls after it [s].

    Args:
        p: see ``MotionSpread.values``. stalled: how long it stalls from now on [s].
    """
    if p[_STALL_RATE] <= 0.0:
        return 1.0, stalled
    if uniform(state) < p[_STALL_RATE] * PATH_STEP:
        stalled -= p[_STALL_TIME] * log(uniform(state))
    lost = min(stalled, PATH_STEP)
    return 1.0 - lost / PATH_STEP, stalled - lost


@compiled
def as_driven(
    v: float, omega: float, odd_v: float, odd_w: float, p: FloatArray, own: Own, factor: float, wander: Wander
) -> tuple[float, float]:
    """Return travel and turn (or their rates) as driven, from mean ones and the scatter of these.

    Args:
        p: see ``MotionSpread.values``. own: what this robot differs by in turn, travel and veer. factor: of the path.
        wander: as of ``first_wander``.
    """
    turn, travel, veer, scatter_v, scatter_w = wander
    swung = omega * (1.0 + own[0] + p[_TURN] * factor * turn)
    swung += abs(v) * (own[2] + p[_VEER] * factor * veer) + factor * scatter_w * odd_w
    return v * (1.0 + own[1] + p[_TRAVEL] * factor * travel) + factor * scatter_v * odd_v, swung


@compiled
def _noise(p: FloatArray, v: float, omega: float, factor: float, truth: int) -> float:
    """Return the standard deviation of a measured pose: tracker, and rocking while moving."""
    moving = 1.0 if abs(v) > MOVING_V or abs(omega) > MOVING_W else 0.0
    rock = factor * moving * p[truth - _TRUTH_POSITION + _ROCK_POSITION]
    return sqrt(p[truth] * p[truth] + rock * rock)
