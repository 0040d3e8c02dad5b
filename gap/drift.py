"""The drift monitor: does a new log of a robot still fit its twin, and if not, what moved and when.

The log is cut into windows of two seconds, each replayed from its true start with the twin's parameters. What its end
misses by is held against what a sound robot's windows miss by (``MonitorNoise``, fitted when the twin was), against how
well the twin knows the robot, and against how much robots of the kind differ where this one is not in the family; see
``drift_filter`` for the filter and the test. The alarm goes off at the first window at which a change of one parameter
explains the errors so far so much better than no change that a sound log would show the like with probability
``FALSE_ALARMS`` only, however long it is and whatever moment and parameter the test may pick.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from ..common.errors import InputError
from ..common.geometry import FloatArray, relative, wrap_angle
from ..robots.twin import MonitorNoise, Twin, TwinParameter
from .drift_filter import Crossing, Noise, Stream, follow, run_filter, step_at, threshold
from .drift_noise import fit_noise
from .fieldlog import SECOND, FieldLog
from .problems import problem_for

WINDOW = 2.0
"""Length of a window, and time from one to the next [s]."""
ONSET_EVERY = 5
"""Windows between supposed onsets of a change."""
FALSE_ALARMS = 2e-3
"""Probability that a sound log raises an alarm."""
FEWEST_WINDOWS = 30
ALIKE = 4.0
"""Two parameters whose statistics differ by less than this could both be what moved: twice the log of the ratio of
their likelihoods."""
REFINEMENTS = 4
"""Most replays in which the size of a change is sought."""
MOTION = "motion"
_UNKNOWN_SHARE = 0.05
_DIFFERENCE = 0.01
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

    def sentence(self) -> str:
        """Say it in plain words."""
        if not self.alarm:
            return "no drift: the log stays within what the twin predicts"
        row = next(item for item in self.rows if item.parameter == self.parameter)
        unit = "" if row.unit == "-" else f" {row.unit}"
        text = (
            f"{self.parameter} moved by {self.change:+.3g}{unit} ({self.change_low:+.3g} to {self.change_high:+.3g}) "
            f"from about {self.began_s:.0f} s on; plain after {self.at_s:.0f} s"
        )
        text += f"; {MEANING[self.parameter]}" if self.parameter in MEANING else ""
        return text + (f"; a change of {' or '.join(self.also)} would look alike" if self.also else "")


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
    stream = motion_stream(log, {name: item.value for name, item in expected.items()},
                           window=known.window_s if known is not None else WINDOW)  # fmt: skip
    if stream.whole.sum() < FEWEST_WINDOWS:
        raise InputError(
            f"the log has {int(stream.whole.sum())} whole windows, {FEWEST_WINDOWS} are needed", where=log.name,
            mend="give a longer log, with the truth known throughout",
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
    limit = threshold(stream, noise, filtered, ONSET_EVERY, rate=false_alarms, seed=seed)
    crossing = follow(stream, noise, filtered, ONSET_EVERY)
    rows = _rows(stream, crossing, expected, limit)
    hit = np.flatnonzero(crossing.statistic > limit)
    if len(hit) == 0:
        return DriftReport(False, None, None, (), None, None, None, None, rows, notes)
    at = int(hit[0])
    size, error = _size(log, expected, stream, noise, prior, crossing, at)
    number, strength = int(crossing.parameter[at]), crossing.by_parameter[at]
    return DriftReport(
        alarm=True,
        at_s=float(stream.time[at]),
        parameter=stream.names[number],
        also=tuple(
            stream.names[other]
            for other in np.argsort(-strength)
            if other != number and strength[number] - strength[other] < ALIKE
        ),
        change=size,
        change_low=size - _REACH * error,
        change_high=size + _REACH * error,
        began_s=_start(stream, int(crossing.onset[at])),
        rows=rows,
        notes=notes,
    )


def motion_stream(log: FieldLog, values: Mapping[str, float], *, window: float = WINDOW) -> Stream:
    """Replay a log's windows, back to back, and return their end errors and how parameters change them.

    Args:
        log: the log.
        values: of the parameters; those not given keep the start of their range.
        window: length of a window [s].
    """
    problem = problem_for([log], window, horizons=(window,))
    windows = problem.windows[0]
    truth = windows.truth[:, windows.horizon_steps[0]]
    at = {item.name: float(values.get(item.name, item.start)) for item in problem.ranges}

    def error(changed: Mapping[str, float]) -> FloatArray:
        found = relative(truth, problem.simulate({**at, **changed})[:, 0])
        found[:, 2] = wrap_angle(found[:, 2])
        return found

    slopes = []
    for item in problem.ranges:
        step = _DIFFERENCE * (item.high - item.low)
        above = min(at[item.name] + step, max(item.high, at[item.name]))
        below = max(at[item.name] - step, min(item.low, at[item.name]))
        # A robot whose parameter is greater ends further on; the replay, which does not know, stays behind.
        slopes.append((error({item.name: below}) - error({item.name: above})) / (above - below))
    end = (windows.start_ns - log.span_ns[0]) / SECOND + window
    names = tuple(item.name for item in problem.ranges)
    return Stream(names, end, error({}), np.stack(slopes, axis=-1), windows.valid[:, 0].copy())


def fit_monitor(logs: Sequence[FieldLog], values: Mapping[str, Mapping[str, float]]) -> MonitorNoise:
    """Fit what a sound robot's window errors are like.

    Args:
        logs: of sound robots.
        values: by log name, the parameters of its robot.

    Raises:
        InputError: the logs are too short.
    """
    streams = [motion_stream(log, values[log.name]) for log in logs]
    whole = sum(int(stream.whole.sum()) for stream in streams)
    if whole < 2 * FEWEST_WINDOWS:
        raise InputError(
            f"{whole} whole windows of {WINDOW:g} s are too few to learn what a sound robot's errors are like",
            mend="give logs of some minutes",
        )
    ranges = problem_for([logs[0]], WINDOW, horizons=(WINDOW,)).ranges
    noise = fit_noise(streams, np.array([_UNKNOWN_SHARE * (item.high - item.low) for item in ranges]))
    return MonitorNoise(
        window_s=WINDOW,
        names=list(streams[0].names),
        white=_rounded(noise.white),
        window=_rounded(noise.window),
        wander_quick=_rounded(noise.wander[0]),
        wander_slow=_rounded(noise.wander[1]),
        memory_s=(float(noise.memory[0]), float(noise.memory[1])),
        tails=noise.tails,
    )


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


def _size(
    log: FieldLog,
    expected: Mapping[str, TwinParameter],
    stream: Stream,
    noise: Noise,
    prior: FloatArray,
    crossing: Crossing,
    at: int,
) -> tuple[float, float]:
    """Return by how much the parameter moved and the standard error of that.

    The test itself takes errors to be proportional to a move, which is right for small ones only: the log is replayed
    with the parameter moved until the size of the move fits (Gauss-Newton).
    """
    number, onset = int(crossing.parameter[at]), int(crossing.onset[at])
    size, error = float(crossing.size[at, number]), float(crossing.error[at, number])
    values = {name: item.value for name, item in expected.items()}
    name, window = stream.names[number], float(np.median(np.diff(stream.time)))
    after = np.arange(len(stream.time)) >= onset
    for _ in range(REFINEMENTS):
        moved = motion_stream(log, {**values, name: values.get(name, 0.0) + size}, window=window)
        joined = Stream(
            stream.names,
            stream.time[: at + 1],
            np.where(after[:, None], moved.error, stream.error)[: at + 1],
            stream.slope[: at + 1],
            stream.whole[: at + 1],
        )
        step, error = step_at(joined, noise, run_filter(joined, noise, prior), number, onset)
        size += step
        if abs(step) < 0.1 * error:
            break
    return size, error


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
