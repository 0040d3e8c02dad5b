"""The drift monitor: does a new log of a robot still fit its twin, and if not, what moved and when.

The log is cut into short windows, each replayed from its true start with the twin's parameters: half a second where the
body is commanded, since delay and lag differ in the first instants after a command only. What a window's end misses by
is held against what a sound robot's windows miss by (``MonitorNoise``, fitted when the twin was), against how well the
twin knows the robot, and against how much robots of the kind differ where this one is not in the family; see
``drift_filter`` for the filter and the test. Something has moved at the first window at which a change of one parameter
explains the errors so far so much better than no change that a sound log would show the like with probability
``FALSE_ALARMS`` only, however long it is and whatever moment and parameter the test may pick. The alarm goes off and
names it once no other parameter explains them about as well, at the latest ``NAMING`` later. For that the log is
replayed with each parameter moved: errors are proportional to small changes only, by which delay and lag look alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from ..common.errors import InputError
from ..common.geometry import FloatArray, relative, wrap_angle
from ..robots.motion_spread import MotionSpread
from ..robots.twin import MonitorNoise, Twin, TwinParameter
from .drift_filter import Crossing, Noise, Stream, follow, run_filter, step_at, threshold
from .drift_noise import fit_noise
from .fieldlog import SECOND, FieldLog
from .problems import problem_for
from .replay import commands_body
from .response_replay import replays_by_response, response_paths

WINDOW = 2.0
"""Length of a window, and time from one to the next [s], of ticks and wheel commands."""
BODY_WINDOW = 0.5
"""The same where the body is commanded."""
ONSET_EVERY = 10.0
"""Time between supposed onsets of a change [s]."""
MOST_ONSETS = 200
"""In longer logs supposed onsets are further apart: work and memory grow with their number times that of windows."""
FALSE_ALARMS = 2e-3
"""Probability that a sound log raises an alarm."""
SHORTEST = 60.0
"""Time that whole windows must cover [s]."""
NAMING, NAMING_STEP = 60.0, 10.0
"""How long after an alarm what moved is looked for, where two parameters look alike, and how often [s]."""
ALIKE = 4.0
"""Two parameters whose statistics differ by less than this could both be what moved: twice the log of the ratio of
their likelihoods."""
REFINEMENTS = 4
"""Most replays in which the size of a change is sought."""
MOTION = "motion"
_UNKNOWN_SHARE = 0.05
_DIFFERENCE = 0.01
_WORTH_A_LOOK = 0.25
"""Share of the greatest statistic that another parameter's must reach to be held against the log itself."""
_REACH = float(norm.ppf(0.975))

MEANING = {
    "linear_gain": "the robot drives another distance than it is told: wheel size (wear, tyre pressure) or slip",
    "angular_gain": "the robot turns by another angle than it is told: track width, uneven wheels or slip",
    "command_delay": "commands take effect later or earlier: network, controller load or clocks",
    "motor_lag": "the drives follow more slowly or quickly: motor control, load or battery",
    "k_steer": "the steering gear's ratio, or its encoder",
    "k_traction": "the traction wheel's size (wear) or its encoder",
    "axis_length": "the wheel base, or which wheels carry the load",
    "steer_offset": "the steering's zero has moved",
    "tick_delay": "the ticks' clock against the tracker's",
    "lidar_bias": "the lidar reads too far or too near, or the map is off: mounting, temperature, a changed hall",
    "lidar_noise": "the lidar scatters more or less: dirt on its window, ageing, another surface",
    "lidar_dropout": "beams get lost: dirt, rain, dark or shining surfaces",
    "odometry_travel": "the wheels count another way than is driven: wear, tyre pressure, load",
    "odometry_turn": "the wheels count another turn than is made: track width, uneven wheels, slip",
    "odometry_drift": "the odometry pulls to one side: one wheel wears or slips",
}
"""What a moved parameter may mean on the floor."""


@dataclass(frozen=True)
class DriftRow:
    """One parameter at the end of the log.

    Attributes:
        parameter: its name; unit: of all values.
        expected, expected_low, expected_high: what the twin says of this robot, with its 95 % interval.
        now, now_low, now_high: the estimate after the most likely moment of change, with its 95 % interval.
        since_s: that moment, since the log's start [s].
        statistic: greatest value of the test; limit: what it must exceed for an alarm.
    """

    parameter: str
    unit: str
    expected: float
    expected_low: float
    expected_high: float
    now: float
    now_low: float
    now_high: float
    since_s: float
    statistic: float
    limit: float

    def to_row(self) -> dict[str, Any]:
        """Return the fields as a JSON-safe row."""
        return dict(vars(self))


@dataclass(frozen=True)
class DriftReport:
    """What the monitor found.

    Attributes:
        alarm: whether the log leaves what the twin predicts.
        at_s: when that was plain, since the log's start [s]; None without an alarm.
        parameter: what moved; None without an alarm.
        also: parameters whose change would explain the errors nearly as well.
        change, change_low, change_high: by how much it moved, as estimated when the alarm went off, with its 95 %
            interval; began_s: since when.
        rows: all parameters.
        notes: how it was made and what to beware of.
    """

    alarm: bool
    at_s: float | None
    parameter: str | None
    also: tuple[str, ...]
    change: float | None
    change_low: float | None
    change_high: float | None
    began_s: float | None
    rows: list[DriftRow]
    notes: list[str]

    def to_summary(self) -> dict[str, Any]:
        """Return everything JSON-safe."""
        return {**vars(self), "also": list(self.also), "rows": [row.to_row() for row in self.rows]}

    def sentence(self, label: Callable[[str], str] = str) -> str:
        """Say it in plain words; ``label`` names parameters."""
        if not self.alarm:
            return "no drift: the log stays within what the twin predicts"
        row = next(item for item in self.rows if item.parameter == self.parameter)
        unit = "" if row.unit == "-" else f" {row.unit}"
        text = (
            f"{label(row.parameter)} moved by {self.change:+.3g}{unit} "
            f"({self.change_low:+.3g} to {self.change_high:+.3g}) "
            f"from about {self.began_s:.0f} s on; plain after {self.at_s:.0f} s"
        )
        text += f"; {MEANING[self.parameter]}" if self.parameter in MEANING else ""
        return text + (f"; a change of {' or '.join(map(label, self.also))} would look alike" if self.also else "")


def watch(log: FieldLog, twin: Twin, seed: int = 0, *, false_alarms: float = FALSE_ALARMS) -> DriftReport:
    """Hold a log against a twin.

    Args:
        log: of a robot of the twin's kind, with commands (or ticks) and an independent pose.
        twin: with a ``monitor`` section, if it was made by a calibration; without one, what a sound robot's errors are
            like is taken from the log itself, which makes the test blunter, and the notes say so.
        seed: of the simulated sound logs behind the threshold.
        false_alarms: probability that a sound log raises an alarm, 0..0.1.

    Raises:
        InputError: the twin is of another kind, or the log is too short or lacks what is needed.
    """
    if log.drive != twin.kind:
        raise InputError(
            f"the log is of a {log.drive} robot, twin '{twin.name}' of a {twin.kind} one", where=log.name,
            mend="give the twin of this kind of robot",
        )  # fmt: skip
    if not 0.0 < false_alarms <= 0.1:
        raise InputError(f"{false_alarms} as the probability of a false alarm", mend="give one above 0, at most 0.1")
    expected, notes = expectations(twin, log.robot)
    known = twin.monitor.get(MOTION)
    by_response = known is not None and known.by_response and replays_by_response(twin, log)
    if known is not None and known.by_response and not by_response:
        known = None  # the spread that it was learnt with has been taken out of the twin
    motion = _Motion(log, known.window_s if known is not None else window_of(log), twin.spread if by_response else None)
    stream = motion.stream({name: item.value for name, item in expected.items()})
    if stream.whole.sum() * motion.window < SHORTEST:
        raise InputError(
            f"whole windows cover {stream.whole.sum() * motion.window:.0f} s, {SHORTEST:.0f} are needed",
            where=log.name, mend="give a longer log, with the truth known throughout",
        )  # fmt: skip
    prior = _prior(stream.names, expected, twin)
    if known is not None and set(stream.names) <= set(known.names):
        noise = noise_of(known, stream.names)
    else:
        noise = fit_noise([stream], np.sqrt(np.diagonal(prior)))
        notes.append(
            "The twin does not say what a sound robot's errors are like (section 'monitor'): they were taken from this "
            "log, drift and all, so that small drifts hide. Calibrate the twin anew to sharpen the test."
        )
    filtered = run_filter(stream, noise, prior)
    every = _onsets_every(stream, motion.window)
    limit = threshold(stream, noise, filtered, every, rate=false_alarms, seed=seed)
    limit *= known.dispersion if known is not None else 1.0
    crossing = follow(stream, noise, filtered, every)
    rows = _rows(stream, crossing, expected, limit)
    hit = np.flatnonzero(crossing.statistic > limit)
    if len(hit) == 0:
        return DriftReport(False, None, None, (), None, None, None, None, rows, notes)
    moves = _named(motion, expected, stream, noise, prior, crossing, int(hit[0]))
    first = moves[0]
    return DriftReport(
        alarm=True,
        at_s=float(stream.time[first.at]),
        parameter=stream.names[first.number],
        also=tuple(stream.names[move.number] for move in moves[1:] if first.clear_of(move) < ALIKE),
        change=first.size,
        change_low=first.size - _REACH * first.error,
        change_high=first.size + _REACH * first.error,
        began_s=_start(stream, first.onset),
        rows=rows,
        notes=notes,
    )


def window_of(log: FieldLog) -> float:
    """Return how long a log's windows are [s]."""
    return BODY_WINDOW if commands_body(log) else WINDOW


def _onsets_every(stream: Stream, window: float) -> int:
    """Return how many windows lie between supposed onsets."""
    return max(round(ONSET_EVERY / window), -(-len(stream.time) // MOST_ONSETS))


def motion_stream(log: FieldLog, values: Mapping[str, float], *, window: float | None = None) -> Stream:
    """Replay a log's windows, back to back, and return their end errors and how parameters change them.

    Args:
        log: the log.
        values: of the parameters; those not given keep the start of their range.
        window: length of a window [s]; None takes ``window_of``.
    """
    return _Motion(log, window or window_of(log)).stream(values)


class _Motion:
    """A log's windows, back to back, and what their replay misses the truth by.

    With a spread, what the twin's values say counts as it differs from the replay by its response and clock: what a
    command does on average is no drift of the gains.
    """

    def __init__(self, log: FieldLog, window: float, spread: MotionSpread | None = None) -> None:
        self.window = window
        self.problem = problem_for([log], window, horizons=(window,))
        self._windows = self.problem.windows[0]
        self._truth = self._windows.truth[:, self._windows.horizon_steps[0]]
        self._end = (self._windows.start_ns - log.span_ns[0]) / SECOND + window
        self._spread = spread
        self._response: FloatArray = np.zeros(3)

    def values(self, given: Mapping[str, float]) -> dict[str, float]:
        """Complete parameter values by the starts of their ranges."""
        return {item.name: float(given.get(item.name, item.start)) for item in self.problem.ranges}

    def error(self, values: dict[str, float]) -> FloatArray:
        """Return the end errors (K, 3) of the windows: along, across [m], heading [rad]."""
        return self._off(self.problem.simulate(values)[:, 0]) + self._response

    def _off(self, ends: FloatArray) -> FloatArray:
        """Return by how much replayed ends (K, 3) miss the truth (K, 3), in its frame."""
        found = relative(self._truth, ends)
        found[:, 2] = wrap_angle(found[:, 2])
        return found

    def _set_response(self, at: dict[str, float]) -> None:
        """Note what the response says beyond the twin's values (K, 3)."""
        if self._spread is not None:
            ends = response_paths(self._windows, self._spread)[:, self._windows.horizon_steps[0]]
            self._response = self._off(ends) - self._off(self.problem.simulate(at)[:, 0])

    def stream(self, given: Mapping[str, float]) -> Stream:
        """Return the errors and how parameters change them."""
        at, slopes = self.values(given), []
        self._set_response(at)
        for item in self.problem.ranges:
            step = _DIFFERENCE * (item.high - item.low)
            above = min(at[item.name] + step, max(item.high, at[item.name]))
            below = max(at[item.name] - step, min(item.low, at[item.name]))
            # A robot whose parameter is greater ends further on; the replay, which does not know, stays behind.
            change = self.error({**at, item.name: below}) - self.error({**at, item.name: above})
            slopes.append(change / (above - below))
        names = tuple(item.name for item in self.problem.ranges)
        reach = np.array([item.high - item.low for item in self.problem.ranges])
        whole = self._windows.valid[:, 0].copy()
        return Stream(names, self._end, self.error(at), np.stack(slopes, axis=-1), whole, reach)


def fit_monitor(
    logs: Sequence[FieldLog], values: Mapping[str, Mapping[str, float]], spread: MotionSpread | None = None
) -> MonitorNoise:
    """Fit what a sound robot's window errors are like.

    Args:
        logs: of sound robots.
        values: by log name, the parameters of its robot.
        spread: of the twin, if logs are replayed by it.

    Raises:
        InputError: the logs are too short.
    """
    window = window_of(logs[0])
    streams = [_Motion(log, window, spread).stream(values[log.name]) for log in logs]
    whole = sum(int(stream.whole.sum()) for stream in streams)
    if whole * window < 2 * SHORTEST:
        raise InputError(
            f"{whole} whole windows of {window:g} s are too few to learn what a sound robot's errors are like",
            mend="give logs of some minutes",
        )
    unknown = _UNKNOWN_SHARE * streams[0].reach
    noise = fit_noise(streams, unknown)
    return MonitorNoise(
        window_s=window,
        names=list(streams[0].names),
        white=_rounded(noise.white),
        window=_rounded(noise.window),
        wander_quick=_rounded(noise.wander[0]),
        wander_slow=_rounded(noise.wander[1]),
        memory_s=(float(noise.memory[0]), float(noise.memory[1])),
        tails=noise.tails,
        by_response=spread is not None,
        dispersion=max(1.0, float(f"{_dispersion(streams, noise, np.diag(unknown**2), window):.4g}")),
    )


def _dispersion(streams: Sequence[Stream], noise: Noise, prior: FloatArray, window: float) -> float:
    """Return the greatest statistic of sound logs over its median where the noise is all there is; mean over logs.

    As with the dispersion of a quasi-likelihood (Wedderburn, *Biometrika* 61(3), 1974): what the model of the noise
    leaves out makes the statistic greater in proportion.
    """
    ratios = []
    for stream in streams:
        filtered, every = run_filter(stream, noise, prior), _onsets_every(stream, window)
        typical = threshold(stream, noise, filtered, every, rate=0.5, seed=0)
        ratios.append(float(follow(stream, noise, filtered, every).statistic.max()) / typical)
    return float(np.mean(ratios))


def noise_of(monitor: MonitorNoise, names: Sequence[str]) -> Noise:
    """Return the filter's noise for the named parameters."""
    order = [monitor.names.index(name) for name in names]
    wander = np.array([monitor.wander_quick, monitor.wander_slow])[:, order]
    return Noise(
        np.array(monitor.white), np.array(monitor.window)[order], wander, np.array(monitor.memory_s), monitor.tails
    )


def expectations(twin: Twin, robot: str) -> tuple[dict[str, TwinParameter], list[str]]:
    """Return what a twin says of a robot's parameters, as values with 95 % intervals of that robot, and notes.

    A robot of the family has its own; another one of the kind may differ as much as the family does; without a family
    the twin's own intervals have to do, which do not tell how robots differ.
    """
    own = {name: item.robots[robot] for name, item in twin.family.items() if robot in item.robots}
    if own:
        return {**twin.parameters, **own}, [f"{robot} is in the twin's family: held against its own values."]
    kin = {
        name: TwinParameter(
            value=item.mean, ci_low=item.new_low, ci_high=item.new_high, identifiable=True, unit=item.unit
        )
        for name, item in twin.family.items()
        if item.new_low is not None and item.new_high is not None
    }
    if kin:
        count = max(len(item.robots) for item in twin.family.values())
        return {**twin.parameters, **kin}, [
            f"{robot} is not in the twin's family: it may differ from its {count} robots as much as they do from each "
            "other, so that only greater differences, or changes within the log, raise an alarm."
        ]
    return dict(twin.parameters), [
        "The twin has no family: its intervals do not say how robots of the kind differ. On another robot than the one "
        "it was fitted to, an alarm may only mean that this one differs."
    ]


def _prior(names: Sequence[str], expected: Mapping[str, TwinParameter], twin: Twin) -> FloatArray:
    """Return the covariance (P, P) of what the robot differs from the expectation by."""
    spread = np.empty(len(names))
    for number, name in enumerate(names):
        item = expected.get(name)
        if item is None or item.ci_low is None or item.ci_high is None:
            spread[number] = _UNKNOWN_SHARE
        else:
            # The wider side counts: intervals may be cut off at the end of a range.
            spread[number] = max(item.ci_high - item.value, item.value - item.ci_low, 1e-6) / _REACH
    correlation = np.eye(len(names))
    if not twin.family and twin.correlation is not None and set(names) <= set(twin.correlation.names):
        order = [twin.correlation.names.index(name) for name in names]
        correlation = 0.98 * np.array(twin.correlation.rows)[np.ix_(order, order)] + 0.02 * np.eye(len(names))
    return correlation * np.outer(spread, spread)


@dataclass(frozen=True)
class _Move:
    """A change of one parameter that may explain the windows up to one.

    Attributes:
        number: of the parameter; size: by how much it moved; error: the standard error of that.
        onset: window at which it moved; at: last window that was looked at.
        log_likelihood: of the windows, the move granted.
    """

    number: int
    size: float
    error: float
    onset: int
    at: int
    log_likelihood: float

    def clear_of(self, other: _Move) -> float:
        """Return twice the log of the ratio of likelihoods."""
        return 2.0 * (self.log_likelihood - other.log_likelihood)


def _named(
    motion: _Motion,
    expected: Mapping[str, TwinParameter],
    stream: Stream,
    noise: Noise,
    prior: FloatArray,
    crossing: Crossing,
    hit: int,
) -> list[_Move]:
    """Return the moves that may explain an alarm at a window, the likeliest first.

    Looks on while the two likeliest are alike.
    """
    step = max(1, round(NAMING_STEP / motion.window))
    last = min(hit + round(NAMING / motion.window), len(stream.time) - 1)
    moves: list[_Move] = []
    for at in range(hit, last + 1, step):
        strength = crossing.by_parameter[at]
        likely = np.flatnonzero(strength > _WORTH_A_LOOK * strength.max())
        moves = [_move(motion, expected, stream, noise, prior, crossing, at, int(number)) for number in likely]
        moves.sort(key=lambda move: -move.log_likelihood)
        if len(moves) == 1 or moves[0].clear_of(moves[1]) >= ALIKE:
            break
    return moves


def _move(
    motion: _Motion,
    expected: Mapping[str, TwinParameter],
    stream: Stream,
    noise: Noise,
    prior: FloatArray,
    crossing: Crossing,
    at: int,
    number: int,
) -> _Move:
    """Return the move of one parameter that explains the windows up to one best.

    The test itself takes errors to be proportional to a move, which is right for small ones only: the log is replayed
    with the parameter moved until the size of the move fits (Gauss-Newton).
    """
    onset, item = int(crossing.began[at, number]), motion.problem.ranges[number]
    size, error = float(crossing.size[at, number]), float(crossing.error[at, number])
    values = motion.values({name: parameter.value for name, parameter in expected.items()})
    least, most = min(item.low - values[item.name], 0.0), max(item.high - values[item.name], 0.0)
    after, likelihood = np.arange(len(stream.time))[: at + 1] >= onset, -np.inf
    size = min(max(size, least), most)
    for _ in range(REFINEMENTS):
        moved = motion.error({**values, item.name: values[item.name] + size})[: at + 1]
        joined = Stream(
            stream.names,
            stream.time[: at + 1],
            np.where(after[:, None], moved, stream.error[: at + 1]),
            stream.slope[: at + 1],
            stream.whole[: at + 1],
            stream.reach,
        )
        filtered = run_filter(joined, noise, prior)
        likelihood = filtered.log_likelihood
        step, error = step_at(joined, noise, filtered, number, onset)
        step = min(max(size + step, least), most) - size
        size += step
        if abs(step) < 0.1 * error:
            break
    return _Move(number, size, error, onset, at, likelihood)


def _rows(stream: Stream, crossing: Crossing, expected: Mapping[str, TwinParameter], limit: float) -> list[DriftRow]:
    rows = []
    for number, name in enumerate(stream.names):
        item = expected.get(name)
        if item is None:
            continue
        # Where the evidence is greatest, not at the end: a change may have been undone.
        at = int(crossing.by_parameter[:, number].argmax())
        size, error = float(crossing.size[at, number]), float(crossing.error[at, number])
        error = error if np.isfinite(error) else 0.0
        rows.append(
            DriftRow(
                name,
                item.unit,
                item.value,
                item.value if item.ci_low is None else item.ci_low,
                item.value if item.ci_high is None else item.ci_high,
                item.value + size,
                item.value + size - _REACH * error,
                item.value + size + _REACH * error,
                _start(stream, int(crossing.began[at, number])),
                float(crossing.by_parameter[at, number]),
                limit,
            )
        )
    return rows


def _start(stream: Stream, window: int) -> float:
    """Return when a window begins [s]."""
    return float(stream.time[window - 1]) if window > 0 else 0.0


def _rounded(values: FloatArray) -> list[float]:
    """Return numbers with six digits: more say nothing and make the twin's file hard to read."""
    return [float(f"{value:.6g}") for value in values]
