"""The predicted distribution of a robot's motion: fitted to logs, sampled for windows, judged by proper scores.

``fit_spread`` fits ``robots.motion_spread.MotionSpread`` in stages, each on the training logs alone:

1. The mean response to commands (``spread_response``) and the clock by which they are taken over (``spread_clock``), to
   all logs; then again with each robot (of a single log: each stretch) left out once.
2. The processes that make motion differ from its mean (``spread_fit``), from the errors of the left-out robots about
   what the others predict for them: what differs between robots shows there, but not about a mean that has seen them.
   How often the robot stalls is chosen with them, by the scores of samples of the left-out ends.
3. One factor on the sizes of all these processes, such that on average over horizons, position and heading, the 95 %
   bands hold 95 % of the left-out ends: conformal prediction (Vovk, Gammerman and Shafer, *Algorithmic Learning in a
   Random World*, 2005) with one number, since few robots do not tell more. Leave-one-robot-out in place of
   leave-one-out, because windows of one robot are not exchangeable with those of another.

Parameters get jackknife intervals (as in ``calibration``) from how much they move when a robot is left out.

Position is judged as a point (energy score, elliptic 95 % region of the samples), heading as an angle (CRPS, central
95 % interval); see ``scores``.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from ..common.errors import InputError
from ..common.geometry import FloatArray, relative, wrap_angle
from ..common.seeding import seed_sequence
from ..robots.motion_spread import Estimate, MotionSpread, ResponseCell
from .fieldlog import SECOND, FieldLog
from .metrics import Metric, Samples, block_length, measure, pool
from .replay import VELOCITY_BASE, Windows, make_windows
from .scores import (
    BAND,
    central_ratio,
    crps_angle,
    energy_score,
    in_central_band,
    in_region,
    interval_score,
    pit,
    region_ratio,
)
from .spread_clock import fit_clock, sampled, score_of
from .spread_fit import (
    Clock,
    Covariances,
    Ends,
    Noise,
    covariances,
    ends_of,
    fit_noise,
    joined,
    logarithms,
    tracker_noise,
    value_array,
)
from .spread_response import Response, TimedCommands, fit_response
from .tasks import Evaluate, in_process

HORIZONS = (1.0, 2.0, 5.0, 10.0, 30.0)
CLOCK_HORIZONS = (1.0, 2.0, 5.0, 10.0)
"""Longer ones tell little of the clock and cost the most."""
CLOCK_EVERY = 10.0
SAMPLES = 200
LEAST_DRIVING = 180.0
"""Time that the robots must be told to move, over all training logs [s]."""
LONGEST = 3600.0
"""Of a longer log the first hour is used [s]."""
STRETCHES = 3
"""Parts that a single log is cut into."""
STALL_RATES = (0.0, 0.005, 0.01, 0.02, 0.04, 0.08)
"""Rates of stalls that are tried [1/s]."""
STALL_TIME = 0.3
"""Mean time of a stall where the clock's fit found none [s]."""
RESOLUTION = 0.25
"""Least half width of a parameter's interval, as a share of its value: on made logs the clock is found so closely."""
_FIRST_HOLD = 0.2
_NARROWEST, _WIDEST = 0.8, 4.0
"""Bounds of the factor on the sizes of processes."""
_ROUNDS = 2
_FACTOR_SAMPLES = 100
_UNITS = {
    "hold": "s", "hold_jitter": "-", "sync_share": "-", "sync_delay": "s", "sync_jitter": "s", "delay": "s", "lag": "s",
    "stall_rate": "1/s", "stall_time": "s",
    "turn_sd": "-", "turn_time": "s", "travel_sd": "-", "travel_time": "s", "veer_sd": "rad/m", "veer_time": "s",
    "turn_robot": "-", "travel_robot": "-", "veer_robot": "rad/m", "crab_robot": "rad",
    "rock_position": "m", "rock_yaw": "rad", "truth_position": "m", "truth_yaw": "rad", "tail": "-",
    "scatter_time": "s", "linear_gain": "-", "angular_gain": "-",
}  # fmt: skip


@dataclass(frozen=True)
class _Mean:
    """What is fitted in the first stage."""

    response: Response
    clock: Clock


@dataclass(frozen=True)
class _Left:
    """A mean that was fitted without a group, and the covariances of the group's windows about it."""

    mean: _Mean
    tables: list[Covariances]


@dataclass(frozen=True)
class _Fitted:
    """A fit of all stages."""

    mean: _Mean
    noise: Noise

    def numbers(self) -> dict[str, float]:
        """Return all parameters but the cells, by their names in ``MotionSpread``."""
        gain = dict(zip(("linear_gain", "angular_gain"), self.mean.response.gain.tolist(), strict=True))
        truth = {"truth_position": self.noise.truth[0], "truth_yaw": self.noise.truth[1]}
        given = {**gain, **vars(self.mean.clock), **self.noise.values, **truth}
        return {name: given[name] for name in _UNITS}

    def ends(self, part: _Part) -> Ends:
        """Return the ends of a part's windows, with the fitted scatter of cells."""
        ends = part.ends(self.mean)
        return replace(ends, rate=ends.rate * np.array([1.0, 1.0, *self.noise.scatter]))

    def values(self) -> FloatArray:
        """Return the array that ``sample_ends`` takes."""
        return value_array(self.mean.clock, self.noise.values, self.noise.truth)


class _Part:
    """A training log, or a stretch of the only one, with its windows.

    Attributes:
        name: of the log or stretch. group: what is left out together: the robot; with one only, the log or stretch.
    """

    def __init__(self, log: FieldLog, name: str, group: str) -> None:
        log = replace(log, scans=None)
        self.name, self.group = name, group
        self.commands = TimedCommands(log)
        self.windows = make_windows(log, _fitting(HORIZONS, log))
        self.short = make_windows(log, _fitting(CLOCK_HORIZONS, log), every=CLOCK_EVERY)

    def ends(self, mean: _Mean) -> Ends:
        """Return true and mean ends of the windows."""
        return ends_of(self.windows, self.commands, mean.response, mean.clock)


def fit_spread(logs: Sequence[FieldLog], seed: int = 0, *, evaluate_many: Evaluate = in_process) -> MotionSpread:
    """Fit the distribution of motion to the logs of one or more robots with commands and true poses.

    Args:
        logs: of a differential drive; runs of one robot are left out together, those of a single robot one by one, and
            a single log is cut into stretches.
        seed: of the samples that the fit rests on.
        evaluate_many: does the fits of all parts and with one left out; the result does not depend on it.

    Raises:
        InputError: not a differential drive, no commands, or less than ``LEAST_DRIVING`` of driving.
    """
    parts = _parts(logs)
    key = _key(seed, "fit")
    position, heading = np.mean([tracker_noise(part.commands.log) for part in parts], axis=0).tolist()
    mean: _Mean = evaluate_many(_of_all, (parts, key), [None])[0]
    names = [part.name for part in parts]
    if len(parts) < 2:
        table = joined([covariances(part.ends(mean), mean.clock, key) for part in parts])
        return _described(_Fitted(mean, fit_noise(table, (position, heading))), {}, 1.0, names)
    groups = list(dict.fromkeys(part.group for part in parts))
    means = dict(zip(groups, evaluate_many(_left_out, (parts, mean, key), groups), strict=True))
    stall, left, noise = _with_stalls(parts, mean.clock, means, (position, heading), key)
    mean = replace(mean, clock=replace(mean.clock, **stall))
    factor = _factor(parts, {name: _Fitted(item.mean, noise) for name, item in left.items()}, _key(seed, "factor"))
    whole = _Fitted(mean, noise.scaled(factor))
    without = [_Fitted(left[name].mean, _without(left, name, noise).scaled(factor)) for name in groups]
    return _described(whole, _jackknife(whole, without), factor, names)


def predict(windows: Windows, spread: MotionSpread, *, samples: int = SAMPLES, seed: int = 0) -> FloatArray:
    """Sample where the robot is after each horizon of each window.

    Args:
        windows: of a log with commands (M, 2). spread: the distribution. samples: N. seed: of the samples.

    Returns:
        (K, H, N, 3) x, y [m], yaw [rad] as the tracker would measure them, in the frame of the measured pose at the
        window's start.

    Raises:
        InputError: the log has no commands of forward speed and yaw rate.
    """
    return _predicted(_ends(windows, spread), windows, spread, samples, predict_key(seed, windows.log.name))


def true_ends(windows: Windows) -> FloatArray:
    """Return the measured ends (K, H, 3) of windows in the frames of their measured starts."""
    return relative(windows.truth[:, :1], windows.truth[:, windows.horizon_steps])


def _ends(windows: Windows, spread: MotionSpread) -> Ends:
    _require_commands(windows.log)
    return ends_of(windows, TimedCommands(windows.log), response_of(spread), clock_of(spread))


def _predicted(ends: Ends, windows: Windows, spread: MotionSpread, samples: int, key: np.uint64) -> FloatArray:
    drawn = sampled(ends, spread.values(), samples, key)
    return widened(drawn, spread.widening_at(np.array(windows.horizons)))


def widened(samples: FloatArray, factor: FloatArray) -> FloatArray:
    """Return samples (K, H, N, 3) whose distance from their mean is multiplied by factors (H, 2)."""
    mean = samples.mean(axis=2, keepdims=True)
    result: FloatArray = mean + (samples - mean) * factor[None, :, None, [0, 0, 1]]
    return result


@dataclass(frozen=True)
class Judged:
    """Scores of the windows of one log at one horizon: (n,) each.

    Attributes:
        robot, horizon, block: as in ``metrics.Samples``.
        position, heading: CRPS [m, rad]. along, across: CRPS of x and y in the frame of the start [m].
        in_position, in_heading: whether the 95 % band holds the truth.
        rank: (n, 3) probability integral transform of x, y, yaw.
    """

    robot: str
    horizon: float
    block: int
    position: FloatArray
    heading: FloatArray
    along: FloatArray
    across: FloatArray
    in_position: NDArray[np.bool_]
    in_heading: NDArray[np.bool_]
    rank: FloatArray


def judge(windows: Windows, truth: FloatArray, samples: FloatArray) -> list[Judged]:
    """Score samples (K, H, N, 3) against true ends (K, H, 3), both in the frames of the windows' starts."""
    found = []
    for number, horizon in enumerate(windows.horizons):
        valid = windows.valid[:, number]
        if not valid.any():
            continue
        drawn, true = samples[valid, number], truth[valid, number]
        off = wrap_angle(drawn[..., 2] - true[:, None, 2])
        zero = np.zeros(len(true))
        x, y = (crps_angle(drawn[..., axis], true[:, axis]) for axis in range(2))
        ranks = [pit(drawn[..., 0], true[:, 0]), pit(drawn[..., 1], true[:, 1]), pit(off, zero)]
        found.append(
            Judged(
                robot=windows.log.name, horizon=horizon, block=block_length(horizon, windows.every, int(valid.sum())),
                position=energy_score(drawn[..., :2], true[:, :2]), heading=crps_angle(drawn[..., 2], true[:, 2]),
                along=x, across=y,
                in_position=in_region(drawn[..., :2], true[:, :2]), in_heading=in_central_band(off, zero),
                rank=np.column_stack(ranks),
            )
        )  # fmt: skip
    return found


def measure_spread(
    logs: Sequence[FieldLog], spread: MotionSpread, *, seed: int = 0, resamples: int = 1000, samples: int = SAMPLES
) -> list[Metric]:
    """Judge a predicted distribution on logs.

    Returns:
        ``crps_pos`` [m], ``crps_yaw`` [rad], and ``band95_pos``, ``band95_yaw`` (share of ends inside the 95 % band) by
        horizon, for each log and, of several, for ``all``. Floors are unknown: a robot that is told the same twice
        shows how far two motions differ, not how sharp a distribution could be.

    Raises:
        InputError: a log has no commands of forward speed and yaw rate.
    """
    by_log = []
    for log in logs:
        windows = make_windows(log, _fitting(HORIZONS, log))
        by_log.append(scored(judge_spread(windows, spread, seed=seed, samples=samples)))
    return measured([log.name for log in logs], by_log, seed=seed, resamples=resamples)


def judge_spread(windows: Windows, spread: MotionSpread, *, seed: int = 0, samples: int = SAMPLES) -> list[Judged]:
    """Score the windows of one log; raises as ``predict``."""
    ends = _ends(windows, spread)
    drawn = _predicted(ends, windows, spread, samples, predict_key(seed, windows.log.name))
    return judge(windows, ends.truth, drawn)


def measured(
    names: Sequence[str], by_log: Sequence[Sequence[Samples]], *, seed: int = 0, resamples: int = 1000
) -> list[Metric]:
    """Reduce the scores of named logs to metrics, of each and, of several, of ``all``."""
    found = []
    for name, parts in zip(names, by_log, strict=True):
        found += [measure(part, name, seed=seed, resamples=resamples) for part in parts]
    if len(names) > 1:
        found += [measure(part, "all", seed=seed, resamples=resamples) for part in pool(by_log)]
    return found


def scored(items: Sequence[Judged]) -> list[Samples]:
    """Return the scores of one log by name and horizon, ready to be reduced."""
    return [part for item in items for part in _as_samples(item)]


def mean_of(values: FloatArray) -> FloatArray:
    """Mean over windows of the first column."""
    result: FloatArray = values[..., 0].mean(axis=-1)
    return result


def _as_samples(item: Judged) -> list[Samples]:
    named = (
        ("crps_pos", "m", item.position),
        ("crps_yaw", "rad", item.heading),
        ("band95_pos", "-", item.in_position.astype(np.float64)),
        ("band95_yaw", "-", item.in_heading.astype(np.float64)),
    )
    return [Samples(name, item.horizon, unit, item.block, mean_of, (values[:, None],)) for name, unit, values in named]


def response_of(spread: MotionSpread) -> Response:
    """Return the mean response of a fitted distribution."""
    gain = np.array([spread.linear_gain.value, spread.angular_gain.value])
    asked = np.array([[cell.v, cell.omega] for cell in spread.cells]).reshape(-1, 2)
    done = np.array([[cell.v_done, cell.omega_done] for cell in spread.cells]).reshape(-1, 2)
    seconds = np.array([cell.seconds for cell in spread.cells])
    if len(asked) == 0:
        asked, done, seconds = np.zeros((1, 2)), np.zeros((1, 2)), np.zeros(1)
    scatter = np.array([[cell.v_scatter, cell.omega_scatter] for cell in spread.cells]).reshape(-1, 2)
    return Response(
        gain, asked, done, seconds, np.array(spread.span), spread.hold.value, spread.delay.value, spread.lag.value,
        scatter=scatter if len(scatter) else np.zeros((1, 2)), novel=np.array(spread.novel),
    )  # fmt: skip


def clock_of(spread: MotionSpread) -> Clock:
    """Return the clock of a fitted distribution."""
    return Clock(**{name: getattr(spread, name).value for name in Clock.__dataclass_fields__})


def _parts(logs: Sequence[FieldLog]) -> list[_Part]:
    for log in logs:
        _require_commands(log)
    driving = sum(_driving_seconds(log) for log in logs)
    if driving < LEAST_DRIVING:
        raise InputError(
            f"the robots are told to move for {driving:.0f} s in all: too little to learn how much motion differs "
            f"({LEAST_DRIVING:.0f} s are needed)",
            mend="give longer logs, or more of them",
        )
    begins = [log.span_ns[0] for log in logs]
    used = [
        log.cut(int(log.pose_t_ns[0]), begin + round(LONGEST * SECOND)) if log.duration > LONGEST else log
        for log, begin in zip(logs, begins, strict=True)
    ]
    if len(used) > 1:
        several = len({log.robot for log in used}) > 1
        return [_Part(log, log.name, log.robot if several else log.name) for log in used]
    start, end = used[0].span_ns
    borders = np.linspace(start, end, STRETCHES + 1).astype(np.int64)
    names = [f"{used[0].name}, part {number + 1}" for number in range(STRETCHES)]
    return [
        _Part(used[0].cut(int(a), int(b) - 1), name, name)
        for name, (a, b) in zip(names, itertools.pairwise(borders), strict=True)
    ]


def _require_commands(log: FieldLog) -> None:
    if log.drive != "differential" or log.cmd.shape[1:] != (2,) or len(log.cmd) < 2:
        raise InputError(
            "the distribution of motion needs the commands (forward speed and yaw rate) of a differential drive",
            where=log.name,
            mend="give a log with commands; encoder ticks and wheel commands are replayed without a distribution",
        )


def _driving_seconds(log: FieldLog) -> float:
    moving = np.abs(log.cmd[:-1]).max(axis=1) > 0.0
    return float(np.minimum(np.diff(log.cmd_t_ns) / SECOND, 2.0)[moving].sum())


def _fitting(horizons: Sequence[float], log: FieldLog) -> tuple[float, ...]:
    room = log.duration - VELOCITY_BASE
    return tuple(value for value in horizons if value <= room) or tuple(horizons[:1])


def _fit_mean(parts: Sequence[_Part], key: np.uint64, near: _Mean | None = None) -> _Mean:
    """Fit response and clock; near another fit only the neighbourhood of its clock is searched."""
    commands = [part.commands for part in parts]
    hold = _FIRST_HOLD if near is None else near.clock.hold
    response = fit_response(commands, hold, rounds=2 if near is None else 1)
    clock = fit_clock([part.short for part in parts], commands, response, key, near.clock if near else None)
    return _Mean(response, clock)


def _of_all(shared: tuple[Sequence[_Part], np.uint64], task: None) -> _Mean:
    """Fit the mean to all parts: a task."""
    return _fit_mean(*shared)


def _left_out(shared: tuple[Sequence[_Part], _Mean, np.uint64], group: str) -> _Mean:
    """Fit the mean to all but one group, near the fit of all: a task."""
    parts, whole, key = shared
    return _fit_mean([part for part in parts if part.group != group], key, near=whole)


def _with_stalls(
    parts: Sequence[_Part], clock: Clock, means: dict[str, _Mean], truth: tuple[float, float], key: np.uint64
) -> tuple[dict[str, float], dict[str, _Left], Noise]:
    """Choose how often the robot stalls, and fit the processes that go with it, to the errors of left-out groups.

    The clock's own fit hardly tells: stalls are rare, and show in the tails of the errors. So rates are judged by CRPS
    and interval score of samples of the left-out ends, from the clock's rate up or down as long as that is better.
    """
    time = clock.stall_time or STALL_TIME

    def tried(rate: float) -> tuple[float, dict[str, float], dict[str, _Left], Noise]:
        stall = {"stall_rate": rate, "stall_time": time}
        others = {}
        for name, item in means.items():
            mean = replace(item, clock=replace(item.clock, **stall))
            tables = [covariances(part.ends(mean), mean.clock, key) for part in parts if part.group == name]
            others[name] = _Left(mean, tables)
        noise = fit_noise(joined([table for item in others.values() for table in item.tables]), truth)
        return (
            _left_score(parts, {name: _Fitted(item.mean, noise) for name, item in others.items()}, key),
            stall,
            others,
            noise,
        )

    place = int(np.abs(np.array(STALL_RATES) - clock.stall_rate).argmin())
    found = {place: tried(STALL_RATES[place])}
    best = place
    for step in (1, -1):
        while 0 <= best + step < len(STALL_RATES) and best + step not in found:
            found[best + step] = tried(STALL_RATES[best + step])
            if found[best + step][0] >= found[best][0]:
                break
            best += step
    return found[best][1:]


def _left_score(parts: Sequence[_Part], left: dict[str, _Fitted], key: np.uint64) -> float:
    """Return the mean logarithm of CRPS and of interval scores of the left-out ends, over horizons and directions."""
    count = min(len(part.windows.horizons) for part in parts)
    ends = [left[part.group].ends(part).first(count) for part in parts]
    drawn = [
        sampled(each, left[part.group].values(), _FACTOR_SAMPLES, key) for part, each in zip(parts, ends, strict=True)
    ]
    tails = []
    for number in range(count):
        off = [
            x[e.valid[:, number], number] - e.truth[e.valid[:, number], None, number]
            for e, x in zip(ends, drawn, strict=True)
        ]
        all_off = np.concatenate(off)
        all_off[..., 2] = wrap_angle(all_off[..., 2])
        low, high = np.quantile(all_off, [0.5 - 0.5 * BAND, 0.5 + 0.5 * BAND], axis=1)
        if len(low):
            tails.append(np.log(interval_score(low, high, np.zeros_like(low)).mean(axis=0) + 1e-9))
    return score_of(ends, drawn) + float(np.mean(tails))


def _without(left: dict[str, _Left], group: str, near: Noise) -> Noise:
    """Fit the processes to the errors of all groups but one."""
    tables = [table for name, item in left.items() if name != group for table in item.tables]
    return fit_noise(joined(tables), near.truth, logarithms(near))


def _factor(parts: Sequence[_Part], left: dict[str, _Fitted], key: np.uint64) -> float:
    """Return the factor on the sizes of the processes with which the bands hold 95 % of left-out ends on average."""
    factor = 1.0
    for _ in range(_ROUNDS):
        ratios: dict[tuple[float, str], list[FloatArray]] = {}
        for part in parts:
            fitted = left[part.group]
            fitted = replace(fitted, noise=fitted.noise.scaled(factor))
            ends = fitted.ends(part)
            drawn = sampled(ends, fitted.values(), _FACTOR_SAMPLES, key)
            for number, horizon in enumerate(part.windows.horizons):
                valid = ends.valid[:, number]
                x, true = drawn[valid, number], ends.truth[valid, number]
                off = wrap_angle(x[..., 2] - true[:, None, 2])
                ratios.setdefault((horizon, "position"), []).append(region_ratio(x[..., :2], true[:, :2]))
                ratios.setdefault((horizon, "heading"), []).append(central_ratio(off, np.zeros(len(true))))
        needed = [_conformal(item) for item in ratios.values()]
        factor = float(np.clip(factor * np.exp(np.mean(np.log(needed))), _NARROWEST, _WIDEST))
    return factor


def _conformal(parts: Sequence[FloatArray]) -> float:
    """Return the level's quantile of ratios, with one more than their number for the end that is to come."""
    values = np.concatenate(parts)
    if len(values) == 0:
        return 1.0
    level = min(BAND * (len(values) + 1) / len(values), 1.0)
    return float(np.clip(np.quantile(values, level), 1.0 / _WIDEST, _WIDEST))


def _jackknife(whole: _Fitted, left: Sequence[_Fitted]) -> dict[str, float]:
    """Return half the 95 % interval of each parameter, from fits with one part left out each."""
    centre = whole.numbers()
    count = len(left)
    factor = float(student_t.ppf(0.975, count - 1)) * np.sqrt((count - 1) / count)
    return {
        name: float(factor * np.sqrt(sum((item.numbers()[name] - value) ** 2 for item in left)))
        for name, value in centre.items()
    }


def _described(whole: _Fitted, reach: dict[str, float], factor: float, names: list[str]) -> MotionSpread:
    estimates = {}
    for name, value in whole.numbers().items():
        # A value that no refit moved is known no better than the steps of its search.
        half = max(reach[name], RESOLUTION * value) if name in reach else None
        low, high = (max(value - half, 0.0), value + half) if half is not None else (None, None)
        estimates[name] = Estimate(value=value, ci_low=low, ci_high=high, unit=_UNITS[name])
    response, scale = whole.mean.response, np.array(whole.noise.scatter)
    cells = [
        ResponseCell(
            v=asked[0], omega=asked[1], v_done=done[0], omega_done=done[1], v_scatter=scatter[0],
            omega_scatter=scatter[1], seconds=seconds,
        )
        for asked, done, scatter, seconds in zip(
            response.asked.tolist(), response.done.tolist(), (scale * response.scatter).tolist(),
            response.seconds.tolist(), strict=True,
        )
    ]  # fmt: skip
    span = (float(response.span[0]), float(response.span[1]))
    return MotionSpread.model_validate(
        {
            **estimates,
            "cells": cells,
            "span": span,
            "novel": tuple((scale * response.novel).tolist()),
            "factor": factor,
            "trained_on": names,
        }
    )


def predict_key(seed: int, name: str) -> np.uint64:
    """Return the key of the random numbers with which a log is predicted."""
    return _key(seed, "predict", name)


def _key(seed: int, *path: str) -> np.uint64:
    return np.uint64(seed_sequence(seed, "gap.spread", *path).generate_state(1, np.uint64)[0])
