"""Fit of a robot's parameters to its log: CMA-ES on the unit cube, then refits on resampled windows for intervals.

The loss and its search are those of ``scoring``; parts of a model that do not predict better what was left out are left
as they were (``structure``). The work is cut into tasks that may be done anywhere (``tasks``).

Intervals: errors of neighbouring windows hang together (slip, wear, a drifting battery), and robots differ, so that the
number of windows says little about how well a value is known. What counts is how much it moves from part to part, a
part being a robot, or a stretch of a single log. Each part is left out once and the rest fitted again (the delete-one
jackknife, Tukey 1958; as a cluster-robust variance: Cameron and Miller, *Journal of Human Resources* 50(2), 2015), and
each is fitted alone; the wider of the two spreads counts, times Student's t for one degree of freedom less than there
are parts: with three robots 4.3 standard errors, not 1.96. The interval is that, widened to hold the 95 % of bootstrap
refits on windows resampled in blocks, which see scatter within parts, and with one log the fits of its halves.

It is a 95 % interval of the value that robots (or stretches) of this kind have on average; one single robot may lie
outside. Of runs under raw wheel commands the parts and the blocks are commands, and the interval is widened to the
points that profiles of the loss allow (``profiles``). It does not cover drift slower than a part: on made logs with
slip that forgets itself within a fifth of a part it held the truth in 95 % of trials, within a quarter in 94 %. Nor
does it cover what the model gets wrong: ``refit`` on data of another kind (driving backwards instead of forwards)
shows that.

What cannot be told apart: the curvature of the loss (its Gauss-Newton form, which is Fisher's information up to the
noise) is inverted, and parameters whose errors hang together in it are named, with the combination that *is* known.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from ..common.geometry import FloatArray
from ..common.seeding import generator
from .fieldlog import IntArray
from .problems import Problem
from .profiles import allowed_points
from .scoring import Expansion, Scoring, finish_at, loss_of, refits_at, search
from .structure import KEPT, choose_structure
from .tasks import Evaluate, in_chunks, in_process

AT_BOUND = 0.01
"""A value within this share of the range from its end counts as stopped by the bound."""
WIDE = 0.5
"""An interval over this share of the range says that the log does not pin the value down."""
CONFIDENCE = 0.95
FEWEST_PARTS, MOST_PARTS = 3, 6
"""Stretches that a single log is cut into for its intervals."""
MOST_RUN_PARTS = 12
"""Groups that the runs of a single robot are put into for its intervals."""
PART_HORIZONS = 4.0
"""Least length of a stretch in longest horizons, where the log is long enough for more than the fewest."""
MAX_CORRELATION = 0.99
"""Two parameters whose refits move together more than this cannot be told apart."""
HARDLY_APART = 0.8
"""Two parameters whose errors hang together more than this are told of together."""
_REFITS_PER_TASK = 10


@dataclass(frozen=True)
class FittedParameter:
    """A fitted value with its 95 % interval (see the module's docstring)."""

    name: str
    value: float
    ci_low: float
    ci_high: float
    identifiable: bool
    unit: str
    reason: str
    """Why it is not identifiable; empty if it is."""
    error: float
    """Standard error from what differs between parts; infinite where there is one part only."""
    least: float
    """Least value that was allowed; ``most``: greatest."""
    most: float


@dataclass(frozen=True)
class Together:
    """Two parameters that the log hardly tells apart, and what it does know of them.

    Attributes:
        names: of the two.
        correlation: of their errors, -1..1.
        value, ci_low, ci_high: of their sum (correlation below zero) or difference, where they share a unit; else None.
        unit: of that.
    """

    names: tuple[str, str]
    correlation: float
    value: float | None
    ci_low: float | None
    ci_high: float | None
    unit: str

    def sentence(self) -> str:
        """Say it in plain words."""
        first, second = self.names
        text = f"{first} and {second} can hardly be told apart by this log (correlation {self.correlation:+.2f})"
        if self.value is None:
            return f"{text}: more of the one looks like {'less' if self.correlation < 0 else 'more'} of the other"
        what = "together" if self.correlation < 0 else f"{first} less {second}"
        return f"{text}: {what} {self.value:.3g} {self.unit} ({self.ci_low:.3g} to {self.ci_high:.3g})"


@dataclass(frozen=True)
class Fit:
    """Outcome of a calibration's fit.

    Attributes:
        parameters: by order of the ranges.
        correlation: (P, P) of the refits.
        loss_before, loss_after: mean loss over the training windows.
        evaluations: replays of the whole training set by CMA-ES.
        refits: (R, P) parameter values of the bootstrap.
        parts: into which the training data was cut for the intervals.
        by_part: the fit of each training robot alone, or of the halves of a single robot's logs.
        together: what can hardly be told apart.
    """

    parameters: tuple[FittedParameter, ...]
    correlation: FloatArray
    loss_before: float
    loss_after: float
    evaluations: int
    refits: FloatArray
    parts: int
    by_part: dict[str, dict[str, float]]
    together: tuple[Together, ...] = field(default=())
    held: tuple[str, ...] = ()
    """Parts of the model that were left as they were (``structure``)."""
    free: FloatArray | None = None
    """(P, P) projector of the unit cube onto what was fitted; None where all was."""

    @property
    def values(self) -> dict[str, float]:
        """Fitted value by name."""
        return {item.name: item.value for item in self.parameters}


def fit(
    problem: Problem,
    *,
    seed: int,
    refits: int = 60,
    max_evaluations: int = 3000,
    evaluate_many: Evaluate = in_process,
) -> Fit:
    """Fit the parameters and their intervals.

    Args:
        problem: what to fit.
        seed: of CMA-ES and of the resampling. Neither reads nor changes numpy's global generator.
        refits: bootstrap refits; at least 20.
        max_evaluations: of CMA-ES.
        evaluate_many: does the independent pieces of work; the result does not depend on it.

    Raises:
        InputError: no training window is valid, or the robot never moves in them.
    """
    scoring = Scoring.of(problem)
    best, evaluations = search(scoring, seed, max_evaluations, evaluate_many)
    for _ in range(2):
        # What counts as an outlier depends on how good the fit is, so the scale follows the fit.
        scoring = scoring.scaled_at(best)
        best = scoring.cross(scoring.polish(best))
    expansion = Expansion(scoring, best, evaluate_many)
    problem, held = choose_structure(scoring, best, expansion)
    if held:
        scoring = replace(scoring, problem=problem)
        scoring = scoring.scaled_at(scoring.polish(problem.tied(best)))
        best = scoring.polish(problem.tied(best))
        expansion = Expansion(scoring, best, evaluate_many)
    drawn = _bootstrap(expansion, best, seed, max(refits, 20), evaluate_many)
    parts = _Parts(scoring, expansion, best, evaluate_many)
    low, high = parts.interval(np.eye(len(best)), drawn)
    if len(set(problem.groups)) > 1:
        stopped = (np.abs(best - 0.5) > 0.5 - AT_BOUND) & (high - low < 1.0 - AT_BOUND)
        allowed = allowed_points(scoring, best, stopped, evaluate_many)
        low, high = np.minimum(low, allowed.min(axis=0)), np.maximum(high, allowed.max(axis=0))
        drawn = np.concatenate([drawn, allowed])
    correlation = _correlation_of(np.atleast_2d(np.cov(drawn.T)))
    return Fit(
        parameters=_describe(problem, best, np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0), parts, correlation),
        correlation=correlation,
        loss_before=float(loss_of(scoring.residuals_of(problem.baseline)).mean()),
        loss_after=float(loss_of(scoring.residuals_of(problem.simulate(problem.values(best)))).mean()),
        evaluations=evaluations,
        refits=np.array([list(problem.values(cube).values()) for cube in drawn]),
        parts=parts.count,
        by_part={name: problem.values(cube) for name, cube in parts.by_name.items()},
        together=_together(problem, expansion, best, parts, drawn),
        held=held,
        free=problem.free if held else None,
    )


@dataclass(frozen=True)
class Refit:
    """A fit of other data, by name: values, their 95 % intervals by the jackknife alone, their standard errors."""

    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    errors: dict[str, float]


def refit(problem: Problem, values: dict[str, float], *, evaluate_many: Evaluate = in_process) -> Refit:
    """Fit again on other data, from given values, as a check of their intervals. Raises as ``fit`` does."""
    scoring = Scoring.of(problem)
    cube = problem.cube(values)
    for _ in range(2):
        scoring = scoring.scaled_at(cube)
        cube = scoring.cross(scoring.polish(cube))
    parts = _Parts(scoring, Expansion(scoring, cube, evaluate_many), cube, evaluate_many)
    reach = parts.reach(np.eye(len(cube)))
    low, high = problem.values(cube - reach), problem.values(cube + reach)
    sizes = [item.high - item.low for item in problem.ranges]
    errors = dict(zip(low, (parts.error(np.eye(len(cube))) * sizes).tolist(), strict=True))
    return Refit(problem.values(cube), {name: (low[name], high[name]) for name in low}, errors)


def refit_problem(values: dict[str, float], problem: Problem) -> Refit:
    """Fit other data from given values: a task."""
    return refit(problem, values)


class _Parts:
    """Fits of the parts of the data, and of all but one part, and the intervals that follow from them."""

    def __init__(self, scoring: Scoring, expansion: Expansion, best: FloatArray, evaluate_many: Evaluate) -> None:
        self._best = best
        clusters, self._alone_counts = _clusters(scoring)
        named = _named_parts(scoring)
        rest = [np.concatenate(clusters[:i] + clusters[i + 1 :]) for i in range(len(clusters))] if clusters[1:] else []
        alone = clusters if rest and self._alone_counts else []
        # The robots alone are both parts and named: each set of windows is fitted once.
        wanted = {rows.tobytes(): rows for rows in [*rest, *alone, *named.values()]}
        tasks = [(best, scoring.only(rows)) for rows in wanted.values()]
        found = dict(zip(wanted, evaluate_many(finish_at, expansion, tasks), strict=True))
        self.count = len(clusters)
        self._left = np.array([found[rows.tobytes()] for rows in rest]).reshape(-1, len(best))
        self._alone = np.array([found[rows.tobytes()] for rows in alone]).reshape(-1, len(best))
        self.by_name = {name: found[rows.tobytes()] for name, rows in named.items()}
        self._single = len(scoring.logs) == 1

    def reach(self, directions: FloatArray) -> FloatArray:
        """Return half the 95 % interval (D,) of combinations (D, P) from what differs between parts.

        With two parts there is one degree of freedom and an interval of 12.7 standard errors; with one, none: then it
        is infinite.
        """
        error = self.error(directions)
        if self.count < 2:
            return error
        result: FloatArray = error * student_t.ppf(0.5 + 0.5 * CONFIDENCE, self.count - 1)
        return result

    def error(self, directions: FloatArray) -> FloatArray:
        """Return the standard errors (D,) of combinations (D, P): infinite with one part.

        The wider of two estimates: from fits without one part each (the jackknife), and from fits of one part each.
        """
        if self.count < 2:
            return np.full(len(directions), np.inf)
        share = (self.count - 1) / self.count
        moved = np.einsum("rp,dp->rd", self._left - self._best, directions)
        error: FloatArray = np.sqrt(share * (moved**2).sum(axis=0))
        if len(self._alone):
            scatter = np.einsum("rp,dp->rd", self._alone, directions).std(axis=0, ddof=1) / np.sqrt(self.count)
            error = np.maximum(error, scatter)
        return error

    def interval(self, directions: FloatArray, drawn: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the ends (D,), (D,) of the 95 % interval of combinations (D, P); ``drawn`` (R, P) are the refits."""
        value, reach = directions @ self._best, self.reach(directions)
        spread = np.einsum("rp,dp->rd", drawn, directions)
        low, high = np.quantile(spread, [0.5 - 0.5 * CONFIDENCE, 0.5 + 0.5 * CONFIDENCE], axis=0)
        low, high = np.minimum(low, value - reach), np.maximum(high, value + reach)
        if self._single:
            halves = np.einsum("rp,dp->rd", np.array([self._best, *self.by_name.values()]), directions)
            low, high = np.minimum(low, halves.min(axis=0)), np.maximum(high, halves.max(axis=0))
        return low, high


def _clusters(scoring: Scoring) -> tuple[list[IntArray], bool]:
    """Return the windows of each part that has a valid end, and whether fits of one part alone say anything.

    Parts are robots; with one robot its runs, put into groups by turns; with one log its stretches. A group of short
    runs alone may not hold what the parameters need, so only the jackknife counts there.
    """
    windows, logs = scoring.problem.windows, scoring.logs
    robots = list(dict.fromkeys(item.log.robot for item in windows))
    if len(robots) > 1:
        parts = [
            np.concatenate([rows for item, rows in zip(windows, logs, strict=True) if item.log.robot == robot])
            for robot in robots
        ]
    elif len(logs) > 1:
        told = scoring.problem.groups or tuple(range(len(logs)))
        groups = min(max(told) + 1, MOST_RUN_PARTS)
        parts = [
            np.concatenate([rows for rows, one in zip(logs, told, strict=True) if one % groups == first])
            for first in range(groups)
        ]
    else:
        span = len(windows[0]) * windows[0].every
        count = int(np.clip(span // (PART_HORIZONS * windows[0].horizons[-1]), FEWEST_PARTS, MOST_PARTS))
        parts = list(np.array_split(logs[0], min(count, len(windows[0]))))
    return [part for part in parts if scoring.valid[part].any()], len(robots) > 1 or len(logs) == 1


def _named_parts(scoring: Scoring) -> dict[str, IntArray]:
    """Return the windows of each robot, or of the halves of the only one's logs, that have a valid end."""
    windows, logs = scoring.problem.windows, scoring.logs
    robots = list(dict.fromkeys(item.log.robot for item in windows))
    if len(robots) > 1:
        parts, _ = _clusters(scoring)
        named = dict(zip(robots, parts, strict=False)) if len(parts) == len(robots) else {}
    elif len(logs) > 1:
        half = len(logs) // 2
        named = {"first half of runs": np.concatenate(logs[:half]), "second half of runs": np.concatenate(logs[half:])}
    else:
        half = len(logs[0]) // 2
        named = {"first half": logs[0][:half], "second half": logs[0][half:]}
    return {name: rows for name, rows in named.items() if scoring.valid[rows].any()}


def _bootstrap(expansion: Expansion, best: FloatArray, seed: int, refits: int, evaluate_many: Evaluate) -> FloatArray:
    """Return the fits (R, P) of windows resampled in blocks."""
    weights = [expansion.scoring.resample(generator(seed, "refit", number)) for number in range(refits)]
    tasks = [(best, [weights[number] for number in chunk]) for chunk in in_chunks(refits, _REFITS_PER_TASK)]
    return np.array([cube for part in evaluate_many(refits_at, expansion, tasks) for cube in part])


def _correlation_of(covariance: FloatArray) -> FloatArray:
    """Return the correlations (P, P) of a covariance; zero for what does not move."""
    spread = np.sqrt(np.maximum(np.diagonal(covariance), 0.0))
    moving = spread > 1e-6
    safe = np.where(moving, spread, 1.0)
    correlation = np.where(moving[:, None] & moving[None, :], covariance / np.outer(safe, safe), 0.0)
    np.fill_diagonal(correlation, 1.0)
    return np.clip(correlation, -1.0, 1.0)


def _together(
    problem: Problem, expansion: Expansion, best: FloatArray, parts: _Parts, drawn: FloatArray
) -> tuple[Together, ...]:
    """Name the pairs whose errors hang together in the inverse of the loss's curvature."""
    residuals, slope = expansion.residuals(best), expansion.derivative(best)
    curvature = np.einsum("kcp,kcq->pq", slope / np.sqrt(1.0 + residuals**2)[..., None], slope)
    known = np.flatnonzero(np.diagonal(curvature) > 1e-9 * np.diagonal(curvature).max())
    inverse = np.linalg.pinv(curvature[np.ix_(known, known)], rcond=1e-12, hermitian=True)
    spread = np.sqrt(np.maximum(np.diagonal(inverse), 1e-300))
    tied = _tied(problem)
    found = []
    for a, b in itertools.combinations(range(len(known)), 2):
        if tied[known[a], known[b]]:
            continue
        correlation = float(np.clip(inverse[a, b] / (spread[a] * spread[b]), -1.0, 1.0))
        if abs(correlation) < HARDLY_APART:
            continue
        i, j = int(known[a]), int(known[b])
        first, second = problem.ranges[i], problem.ranges[j]
        value = low = high = None
        if first.unit == second.unit:
            sign = -1.0 if correlation > 0 else 1.0
            size = np.array([item.high - item.low for item in problem.ranges])
            direction = np.zeros(len(best))
            direction[i], direction[j] = size[i], sign * size[j]
            offset = first.low + sign * second.low
            value = float(direction @ best) + offset
            ends = parts.interval(direction[None, :], drawn)
            low, high = float(ends[0][0]) + offset, float(ends[1][0]) + offset
        found.append(Together((first.name, second.name), correlation, value, low, high, first.unit))
    return tuple(found)


def _tied(problem: Problem) -> NDArray[np.bool_]:
    """Tell which parameters (P, P) may only move together, each with itself too."""
    itself = np.eye(len(problem.ranges), dtype=np.bool_)
    return itself if problem.free is None else itself | (np.abs(problem.free) > 1e-9)


def _describe(
    problem: Problem, best: FloatArray, low: FloatArray, high: FloatArray, parts: _Parts, correlation: FloatArray
) -> tuple[FittedParameter, ...]:
    values, lows, highs = problem.values(best), problem.values(low), problem.values(high)
    errors = parts.error(np.eye(len(best)))
    tied = _tied(problem)
    described = []
    for number, item in enumerate(problem.ranges):
        others = np.where(tied[number], 0.0, np.abs(correlation[number]))
        partner = problem.ranges[int(others.argmax())].name
        reasons = []
        if problem.free is not None and problem.free[number, number] < 1e-9:
            reasons.append(KEPT)
        elif best[number] < AT_BOUND or best[number] > 1.0 - AT_BOUND:
            reasons.append("stopped by the end of its range")
        if high[number] - low[number] > WIDE:
            reasons.append("the interval spans more than half of the range")
        if others.max() > MAX_CORRELATION:
            reasons.append(f"cannot be told apart from {partner}")
        described.append(
            FittedParameter(
                item.name,
                values[item.name],
                lows[item.name],
                highs[item.name],
                not reasons,
                item.unit,
                "; ".join(reasons),
                float(errors[number]) * (item.high - item.low),
                item.low,
                item.high,
            )
        )
    return tuple(described)
