"""Which part of the replay's error comes from what: gains, delay, scatter of the robot itself, others, the reference.

The currency is the mean squared position error at the end of a window, without a twin: 100 %. Of it:

- **drive** and **delay**: what the error falls by when the drive's values (gains, lengths) and the delays are put
  right. The two hang together, so each is the mean of its two ablations, put right first and put right last (Shapley's
  value of a game of two). Without a twin the values are fitted here, on one half of the data, and the fall is measured
  on the other, and the other way round: a part that is only fitted to noise comes out as nothing, or below.
- **contact**: windows in which another logged robot comes within touch err more than the others; the excess.
- **reference**: what the two halves of the tracker's samples disagree by.
- **scatter**: what does not repeat. Each window is paired with the nearest one of the same robot at another time in
  which it was told nearly the same (paths of the unfitted replay within ``_SAME_PATH``); half the mean squared
  difference of the two errors, over their mean square, is the share of the remainder that no value of any parameter
  takes away (the difference-based variance of Rice, *Annals of Statistics* 12(4), 1984). A twin's spread accounts for
  it.
- **rest**: errors that come back whenever the robot is told the same: wrong in the model, but not by these values.

The remainder after drive and delay is given to contact, reference and scatter in this order, never more than there is.
Where fewer than ``MIN_PAIRS`` windows have a partner, scatter stays in the rest.
Intervals (95 %): windows are resampled in blocks within each log, all parts from the same windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..common.errors import InputError
from ..common.geometry import FloatArray, relative
from ..common.seeding import generator
from ..robots.twin import Twin
from ..robots.wheels import WheelParameters
from .fieldlog import SECOND, FieldLog, interpolate_pose
from .metrics import block_indices, block_length, enough_blocks, truth_halves
from .problems import FIT_HORIZONS, Problem, problem_for
from .replay import Windows
from .scoring import Scoring
from .wheel_start import textbook_wheels

SPLIT_HORIZON = 10.0
"""Windows of this length are split, or the longest that the log has below it [s]."""
DELAYS = frozenset({"command_delay", "motor_lag", "tick_delay"})
"""Parameters that say when a robot reacts; the others say how much."""
TOUCH = 0.05
"""Robots whose circles come within this of each other are taken to be able to touch [m]."""
MIN_PAIRS = 20
"""Windows with a partner below which scatter is not told from the rest."""
_SAME_PATH = 0.1
"""How far paths may differ: root mean square over horizons of thrice the metres and of the radians."""
_PARTNERS = 24
_LOOKS_PER_SECOND = 4
PARTS = ("drive", "delay", "contact", "reference", "scatter", "rest")


@dataclass(frozen=True)
class MotionSplit:
    """The parts of the replay's squared position error.

    Attributes:
        horizon_s: length of the windows.
        total: mean squared position error without a twin [m2].
        shares: of it by part (see the module's docstring); ``scatter`` is missing where nothing repeats. They sum to
            one; drive and delay may be below zero where a value makes it worse.
        intervals: 95 %, by part, and of ``values``, drive and delay together; empty with too few windows.
        windows: how many.
        held_out: whether values were fitted here and judged on other windows; else they are the twin's.
        logs: names.
    """

    horizon_s: float
    total: float
    shares: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    windows: int
    held_out: bool
    logs: tuple[str, ...]


@dataclass(frozen=True)
class _Errors:
    """Squared position errors (K,) [m2] of the windows of one log, by what is put right, and what goes with them."""

    none: FloatArray
    drive: FloatArray
    delay: FloatArray
    both: FloatArray
    unrepeated: FloatArray
    """Half the squared difference to a partner's error with everything put right; NaN without a partner."""
    touched: NDArray[np.bool_]
    block: int


def split_motion(
    logs: Sequence[FieldLog],
    *,
    twin: Twin | None = None,
    textbook: WheelParameters | None = None,
    every: float,
    seed: int = 0,
    resamples: int = 500,
) -> MotionSplit:
    """Split the replay's error of logs of one kind of drive by its causes.

    Args:
        logs: of one kind of drive.
        twin: whose values are put in; None fits them here, crosswise.
        textbook: wheels as they were known without the twin; None takes those of the logs fitted on.
        every: time between windows [s].
        seed: of the bootstrap.
        resamples: of the bootstrap.

    Raises:
        InputError: the logs are too short, or hold nothing to fit.
    """
    found: list[_Errors] = []
    reference: list[float] = []
    horizon = 0.0
    for train, judged in _folds(logs, twin):
        known = textbook or (textbook_wheels(train) if train else None)
        problem = problem_for(judged, every, horizons=FIT_HORIZONS, textbook=known)
        values = _of_twin(twin, problem) if twin is not None else _fitted(problem_for(train, every, textbook=known))
        number = _horizon_number(problem)
        horizon = problem.windows[0].horizons[number]
        found += _errors(problem, values, number, logs)
        reference += [_reference(item, number) for item in problem.windows]
    noise = float(np.mean([value for value in reference if np.isfinite(value)] or [0.0]))
    paired = sum(int(np.isfinite(item.unrepeated).sum()) for item in found) >= MIN_PAIRS
    joined = _joined(found)
    shares = _shares(joined, np.arange(len(joined.none)), noise, paired)
    return MotionSplit(
        horizon_s=horizon,
        total=float(joined.none.mean()),
        shares=shares,
        intervals=_intervals(found, noise, paired, seed, resamples),
        windows=len(joined.none),
        held_out=twin is None,
        logs=tuple(log.name for log in logs),
    )


def _folds(logs: Sequence[FieldLog], twin: Twin | None) -> list[tuple[list[FieldLog], list[FieldLog]]]:
    """Return (fitted on, judged on): every other log, or the halves of a single one; all as they are with a twin."""
    if twin is not None:
        return [([], list(logs))]
    if len(logs) > 1:
        one, other = list(logs[0::2]), list(logs[1::2])
    else:
        first, second = logs[0].split(0.5)
        one, other = [first], [second]
    return [(one, other), (other, one)]


def _of_twin(twin: Twin, problem: Problem) -> dict[str, float]:
    return {item.name: twin.values.get(item.name, item.start) for item in problem.ranges}


def _fitted(problem: Problem) -> dict[str, float]:
    """Fit by least squares from where the robot is described to be; twice, as the scale follows the fit."""
    scoring = Scoring.of(problem)
    cube = problem.cube({item.name: item.start for item in problem.ranges})
    for _ in range(2):
        cube = scoring.polish(cube)
        scoring = scoring.scaled_at(cube)
    return problem.values(cube)


def _horizon_number(problem: Problem) -> int:
    """Return the number of the longest horizon up to ``SPLIT_HORIZON`` at which some window is whole."""
    horizons = problem.windows[0].horizons
    whole = [
        number
        for number, value in enumerate(horizons)
        if value <= SPLIT_HORIZON and any(item.valid[:, number].any() for item in problem.windows)
    ]
    if not whole:
        raise InputError("no window is whole", where=problem.windows[0].log.name, mend="give a longer log")
    return whole[-1]


def _errors(problem: Problem, values: dict[str, float], number: int, logs: Sequence[FieldLog]) -> list[_Errors]:
    nothing = {
        item.name: float(np.clip(0.0, item.low, item.high)) if item.name in DELAYS else item.start
        for item in problem.ranges
    }
    gains = {**values, **{name: value for name, value in nothing.items() if name in DELAYS}}
    delays = {**values, **{name: value for name, value in nothing.items() if name not in DELAYS}}
    truth = np.concatenate([item.truth[:, item.horizon_steps[number]] for item in problem.windows])
    ends = (problem.baseline, problem.simulate(gains), problem.simulate(delays), problem.simulate(values))
    squares = [((relative(truth, end[:, number])[:, :2]) ** 2).sum(axis=1) for end in ends]
    unrepeated = _unrepeated(problem, ends[-1], number)
    found, first = [], 0
    for item in problem.windows:
        chosen = np.flatnonzero(item.valid[:, number])
        rows = first + chosen
        first += len(item)
        if len(rows) == 0:
            continue
        length = item.horizons[number]
        found.append(
            _Errors(
                squares[0][rows],
                squares[1][rows],
                squares[2][rows],
                squares[3][rows],
                unrepeated[rows],
                _touched(item, chosen, length, logs),
                block_length(length, item.every, len(rows)),
            )
        )
    return found


def _unrepeated(problem: Problem, ends: FloatArray, number: int) -> FloatArray:
    """Return half the squared difference (K,) [m2] of each window's error to that of its partner; NaN without one."""
    start = np.concatenate([item.truth[:, 0] for item in problem.windows])
    truth = np.concatenate([item.truth[:, item.horizon_steps[number]] for item in problem.windows])
    error = relative(start, ends[:, number])[:, :2] - relative(start, truth)[:, :2]
    path = relative(start[:, None], problem.baseline[:, : number + 1])
    path[..., 2] = np.unwrap(path[..., 2], axis=1)
    feature = (path * (3.0, 3.0, 1.0) / np.sqrt(number + 1)).reshape(len(path), -1)
    valid = np.concatenate([item.valid[:, number] for item in problem.windows])
    begin = np.concatenate([item.start_ns for item in problem.windows])
    run = np.repeat(np.arange(len(problem.windows)), [len(item) for item in problem.windows])
    robot = np.array([item.log.robot for item in problem.windows])[run]
    apart_ns = round((problem.windows[0].horizons[number] + 1.0) * SECOND)
    found = np.full(len(error), np.nan)
    for name in dict.fromkeys(robot.tolist()):
        rows = np.flatnonzero((robot == name) & valid)
        count = min(_PARTNERS, len(rows))
        if count < 2:
            continue
        distance, partner = cKDTree(feature[rows]).query(feature[rows], k=count)
        other = rows[partner]
        near = (distance < _SAME_PATH) & (
            (run[other] != run[rows][:, None]) | (np.abs(begin[other] - begin[rows][:, None]) > apart_ns)
        )
        has, first = near.any(axis=1), near.argmax(axis=1)
        nearest = other[np.arange(len(rows)), first]
        found[rows[has]] = 0.5 * ((error[rows[has]] - error[nearest[has]]) ** 2).sum(axis=1)
    return found


def _touched(item: Windows, chosen: NDArray[np.int64], length: float, logs: Sequence[FieldLog]) -> NDArray[np.bool_]:
    """Tell in which windows another robot that was tracked at the same time came within touch."""
    touched = np.zeros(len(chosen), dtype=np.bool_)
    steps = np.round(np.linspace(0.0, length, round(length * _LOOKS_PER_SECOND) + 1) * SECOND).astype(np.int64)
    t_ns = item.start_ns[chosen][:, None] + steps
    own = interpolate_pose(t_ns, item.log.pose_t_ns, item.log.pose)[..., :2]
    for other in logs:
        if other.robot == item.log.robot or len(other.pose_t_ns) < 2:
            continue
        inside = (t_ns >= other.pose_t_ns[0]) & (t_ns <= other.pose_t_ns[-1])
        if not inside.any():
            continue
        apart = np.hypot(*np.moveaxis(interpolate_pose(t_ns, other.pose_t_ns, other.pose)[..., :2] - own, -1, 0))
        reach = _radius(item.log) + _radius(other) + TOUCH
        touched |= ((apart < reach) & inside).any(axis=1)
    return touched


def _radius(log: FieldLog) -> float:
    return 0.5 * max(log.model.length, log.model.width)


def _reference(item: Windows, number: int) -> float:
    """Return the mean squared error [m2] of a window's true displacement by the tracker's noise.

    Two halves of the samples disagree by the noise of both; the whole is at least as good as the mean of the halves,
    whose error is half their disagreement.
    """
    valid = item.valid[:, number]
    if not valid.any() or len(item.log.pose_t_ns) < 8:
        return float("nan")
    starts = truth_halves(item, item.start_ns)
    ends = truth_halves(item, item.start_ns + round(item.horizons[number] * SECOND))
    moved = [relative(start[valid], end[valid]) for start, end in zip(starts, ends, strict=True)]
    differ = relative(moved[0], moved[1])[:, :2]
    return float(0.25 * (differ**2).sum(axis=1).mean())


def _joined(found: Sequence[_Errors]) -> _Errors:
    names = ("none", "drive", "delay", "both", "unrepeated", "touched")
    tables = {name: np.concatenate([getattr(item, name) for item in found]) for name in names}
    return _Errors(**tables, block=max(item.block for item in found))


def _shares(found: _Errors, rows: NDArray[np.int64], noise: float, paired: bool) -> dict[str, float]:
    """Return the shares of chosen windows."""
    none, drive, delay, both = (float(item[rows].mean()) for item in (found.none, found.drive, found.delay, found.both))
    if none <= 0.0:
        raise InputError("the replay does not err at all", mend="is the log made by this simulator?")
    left = both
    parts = {"drive": 0.5 * ((none - drive) + (delay - both)), "delay": 0.5 * ((none - delay) + (drive - both))}
    touched, after = found.touched[rows], found.both[rows]
    parts["contact"] = 0.0
    if touched.any() and not touched.all():
        excess = float(touched.mean() * (after[touched].mean() - after[~touched].mean()))
        parts["contact"] = min(max(excess, 0.0), left)
    left -= parts["contact"]
    parts["reference"] = min(noise, left)
    left -= parts["reference"]
    if paired:
        unrepeated = found.unrepeated[rows]
        known = np.isfinite(unrepeated)
        share = min(float(unrepeated[known].mean() / max(after[known].mean(), 1e-12)), 1.0) if known.any() else 0.0
        # The tracker's noise does not repeat either, and is counted already.
        parts["scatter"] = min(max(share * both - parts["reference"], 0.0), left)
        left -= parts["scatter"]
    parts["rest"] = left
    return {name: parts[name] / none for name in PARTS if name in parts}


def _intervals(
    found: Sequence[_Errors], noise: float, paired: bool, seed: int, resamples: int
) -> dict[str, tuple[float, float]]:
    lengths, joined = [len(item.none) for item in found], _joined(found)
    if not enough_blocks(lengths, joined.block):
        return {}
    index = block_indices(lengths, joined.block, resamples, generator(seed, "bootstrap", "motion sources"))
    drawn = [_shares(joined, rows, noise, paired) for rows in index]
    ends = {}
    for shares in drawn:
        shares["values"] = shares["drive"] + shares["delay"]
    for name in drawn[0]:
        low, high = np.quantile([shares[name] for shares in drawn], [0.025, 0.975])
        ends[name] = (float(low), float(high))
    return ends
