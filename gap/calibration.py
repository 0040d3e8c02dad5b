"""Fit of a robot's parameters to its log: CMA-ES on the unit cube, then refits on resampled windows for intervals.

Loss: at 1, 2, 5 and 10 s each window's end error along x, y and yaw is divided by the median absolute error at that
horizon and put through ``2 (sqrt(1 + r^2) - 1)``, which is quadratic near zero and linear for outliers (a bump, a
pushed robot). CMA-ES (N. Hansen, *The CMA Evolution Strategy: A Tutorial*, 2016) finds the basin, scaled by the
unfitted replay; a bounded least-squares fit of the same loss, scaled by the errors of the fit itself, finishes.

Intervals: errors of neighbouring windows hang together (slip, wear, a drifting battery), and robots differ, so that the
number of windows says little about how well a value is known. What counts is how much it moves from part to part, a
part being a robot, or a stretch of a single log. Each part is left out once and the rest fitted again (the delete-one
jackknife, Tukey 1958; as a cluster-robust variance: Cameron and Miller, *Journal of Human Resources* 50(2), 2015), and
each is fitted alone; the wider of the two spreads counts, times Student's t for one degree of freedom less than there
are parts: with three robots 4.3 standard errors, not 1.96. The interval is that, widened to hold the 95 % of bootstrap
refits on windows resampled in blocks, which see scatter within parts, and with one log the fits of its halves.

It is a 95 % interval of the value that robots (or stretches) of this kind have on average; one single robot may lie
outside. It does not cover drift slower than a part: on made logs with slip that forgets itself within a fifth of a part
it held the truth in 95 % of trials, within a quarter in 94 %. Nor does it cover what the model gets wrong: ``refit`` on
data of another kind (driving backwards instead of forwards) shows that.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import cma
import numpy as np
from scipy.optimize import least_squares
from scipy.stats import t as student_t

from ..common.errors import InputError
from ..common.geometry import FloatArray, relative, wrap_angle
from ..common.seeding import generator
from .fieldlog import IntArray
from .metrics import block_length
from .problems import Problem

AT_BOUND = 0.01
"""A value within this share of the range from its end counts as stopped by the bound."""
WIDE = 0.5
"""An interval over this share of the range says that the log does not pin the value down."""
CONFIDENCE = 0.95
FEWEST_PARTS, MOST_PARTS = 3, 6
"""Stretches that a single log is cut into for its intervals."""
PART_HORIZONS = 4.0
"""Least length of a stretch in longest horizons, where the log is long enough for more than the fewest."""
MAX_CORRELATION = 0.99
"""Two parameters whose refits move together more than this cannot be told apart."""
_KNOWN = 64
_MIN_POSITION, _MIN_HEADING = 1e-3, 2e-3


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


@dataclass(frozen=True)
class Fit:
    """Outcome of a calibration's fit.

    Attributes:
        parameters: by order of the ranges.
        correlation: (P, P) of the refits.
        loss_before, loss_after: mean loss over the training windows.
        evaluations: replays of the whole training set.
        refits: (R, P) parameter values of the bootstrap.
        parts: into which the training data was cut for the intervals.
        by_part: the fit of each training robot alone, or of the halves of a single log.
    """

    parameters: tuple[FittedParameter, ...]
    correlation: FloatArray
    loss_before: float
    loss_after: float
    evaluations: int
    refits: FloatArray
    parts: int
    by_part: dict[str, dict[str, float]]

    @property
    def values(self) -> dict[str, float]:
        """Fitted value by name."""
        return {item.name: item.value for item in self.parameters}


def fit(problem: Problem, *, seed: int, refits: int = 60, max_evaluations: int = 3000) -> Fit:
    """Fit the parameters and their intervals.

    Args:
        problem: what to fit.
        seed: of CMA-ES and of the resampling. Neither reads nor changes numpy's global generator.
        refits: bootstrap refits; at least 20.
        max_evaluations: of CMA-ES.

    Raises:
        InputError: no training window is valid, or the robot never moves in them.
    """
    scoring = _Scoring(problem)
    best = scoring.search(seed, max_evaluations)
    for _ in range(2):
        # What counts as an outlier depends on how good the fit is, so the scale follows the fit.
        scoring.rescale_at(best)
        best = scoring.polish(best, scoring.every_row())
    before = float(_loss(scoring.residuals_of(problem.baseline, scoring.every_row())).mean())
    after = float(_loss(scoring.residuals(best, scoring.every_row())).mean())
    drawn = np.array(
        [scoring.polish(best, scoring.resample(generator(seed, "refit", number))) for number in range(max(refits, 20))]
    )
    spread = drawn.std(axis=0)
    correlation = np.eye(len(best))
    moving = np.flatnonzero(spread > 1e-6)
    if len(moving) > 1:
        correlation[np.ix_(moving, moving)] = np.corrcoef(drawn[:, moving].T)
    parts = {name: scoring.polish(best, rows) for name, rows in scoring.parts().items()}
    reach, count = scoring.jackknife(best)
    low, high = np.quantile(drawn, [0.5 - 0.5 * CONFIDENCE, 0.5 + 0.5 * CONFIDENCE], axis=0)
    low, high = np.minimum(low, best - reach), np.maximum(high, best + reach)
    if len(problem.windows) == 1:
        halves = np.array([best, *parts.values()])
        low, high = np.minimum(low, halves.min(axis=0)), np.maximum(high, halves.max(axis=0))
    return Fit(
        parameters=_describe(problem, best, np.clip(low, 0.0, 1.0), np.clip(high, 0.0, 1.0), correlation),
        correlation=correlation,
        loss_before=before,
        loss_after=after,
        evaluations=scoring.evaluations,
        refits=np.array([list(problem.values(cube).values()) for cube in drawn]),
        parts=count,
        by_part={name: problem.values(cube) for name, cube in parts.items()},
    )


@dataclass(frozen=True)
class Refit:
    """A fit of other data: values, and their 95 % intervals by the jackknife alone (low, high), by name."""

    values: dict[str, float]
    intervals: dict[str, tuple[float, float]]


def refit(problem: Problem, values: dict[str, float]) -> Refit:
    """Fit again on other data, from given values, as a check of their intervals. Raises as ``fit`` does."""
    scoring = _Scoring(problem)
    cube = problem.cube(values)
    for _ in range(2):
        scoring.rescale_at(cube)
        cube = scoring.polish(cube, scoring.every_row())
    reach, _ = scoring.jackknife(cube)
    low, high = problem.values(cube - reach), problem.values(cube + reach)
    return Refit(problem.values(cube), {name: (low[name], high[name]) for name in low})


class _Scoring:
    """Residuals of a problem at points of the unit cube, for chosen windows."""

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._truth = np.concatenate([item.truth[:, item.horizon_steps] for item in problem.windows])
        self._valid = np.concatenate([item.valid for item in problem.windows])
        bounds = np.cumsum([0, *(len(item) for item in problem.windows)])
        self._rows = [np.arange(a, b) for a, b in itertools.pairwise(bounds)]
        if not self._valid.any():
            raise InputError("no window of the training logs is whole", mend="give logs with fewer holes in them")
        self.evaluations = 0
        # All refits start at the same point: its errors, and those of the steps around it, are asked for many times.
        self._known: dict[bytes, FloatArray] = {}
        self._scale = np.ones((1, self._truth.shape[1], 3))
        self.rescale(problem.baseline)

    def rescale(self, ends: FloatArray) -> None:
        """Take the median absolute errors of end poses (K, H, 3) as the scale of the residuals."""
        error = self._errors(ends)
        for number in range(error.shape[1]):
            chosen = error[self._valid[:, number], number]
            typical = np.median(np.abs(chosen), axis=0) if len(chosen) else np.ones(3)
            position = max(float(np.hypot(typical[0], typical[1])), _MIN_POSITION)
            self._scale[0, number] = position, position, max(float(typical[2]), _MIN_HEADING)

    def rescale_at(self, cube: FloatArray) -> None:
        """Take the scale from the errors at a point of the cube."""
        self.rescale(self._problem.simulate(self._problem.values(cube)))

    def every_row(self) -> IntArray:
        """Return the indices of all training windows."""
        return np.concatenate(self._rows)

    def parts(self) -> dict[str, IntArray]:
        """Return the windows of each log, or of the halves of the only one, that have a valid end."""
        if len(self._rows) > 1:
            named = {item.log.robot: rows for item, rows in zip(self._problem.windows, self._rows, strict=True)}
        else:
            half = len(self._rows[0]) // 2
            named = {"first half": self._rows[0][:half], "second half": self._rows[0][half:]}
        return {name: rows for name, rows in named.items() if self._valid[rows].any()}

    def jackknife(self, best: FloatArray) -> tuple[FloatArray, int]:
        """Return half the 95 % interval (P,) from what differs between parts, and the number of parts.

        The wider of two estimates: from fits without one part each (the jackknife), and from fits of one part each.
        With two parts there is one degree of freedom and an interval of 12.7 standard errors; with one, none: then it
        is infinite.
        """
        parts = self._clusters()
        if len(parts) < 2:
            return np.full(len(best), np.inf), len(parts)
        left = np.array([self.polish(best, np.concatenate(parts[:i] + parts[i + 1 :])) for i in range(len(parts))])
        share = (len(parts) - 1) / len(parts)
        alone = np.array([self.polish(best, part) for part in parts])
        error = np.maximum(
            np.sqrt(share * ((left - best) ** 2).sum(axis=0)), alone.std(axis=0, ddof=1) / np.sqrt(len(parts))
        )
        reach: FloatArray = error * student_t.ppf(0.5 + 0.5 * CONFIDENCE, len(parts) - 1)
        return reach, len(parts)

    def _clusters(self) -> list[IntArray]:
        """Return the windows of each log, or of stretches of the only one, that have a valid end."""
        rows = self._rows
        if len(rows) == 1:
            windows = self._problem.windows[0]
            span = len(windows) * windows.every
            count = int(np.clip(span // (PART_HORIZONS * windows.horizons[-1]), FEWEST_PARTS, MOST_PARTS))
            rows = np.array_split(rows[0], min(count, len(windows)))
        return [part for part in rows if self._valid[part].any()]

    def resample(self, rng: np.random.Generator) -> IntArray:
        """Draw logs, then blocks of windows within each."""
        parts = []
        for number in rng.integers(0, len(self._rows), size=len(self._rows)):
            rows, windows = self._rows[number], self._problem.windows[number]
            size = min(len(rows), block_length(windows.horizons[-1], windows.every, len(rows)))
            begin = rng.integers(0, len(rows), size=-(-len(rows) // size))
            run = (begin[:, None] + np.arange(size)).ravel()[: len(rows)] % len(rows)
            parts.append(rows[run])
        return np.concatenate(parts)

    def residuals(self, cube: FloatArray, rows: IntArray) -> FloatArray:
        """Return the scaled errors (n,) of the chosen windows at a point of the cube."""
        key = cube.tobytes()
        error = self._known.get(key)
        if error is None:
            self.evaluations += 1
            error = self._errors(self._problem.simulate(self._problem.values(cube)))
            self._known[key] = error
            if len(self._known) > _KNOWN:
                del self._known[next(iter(self._known))]
        return self._scaled(error, rows)

    def residuals_of(self, ends: FloatArray, rows: IntArray) -> FloatArray:
        """Return the scaled errors (n,) of end poses (K, H, 3)."""
        return self._scaled(self._errors(ends), rows)

    def _scaled(self, error: FloatArray, rows: IntArray) -> FloatArray:
        scaled = error / self._scale
        return np.where(self._valid[rows][..., None], scaled[rows], 0.0).ravel()

    def search(self, seed: int, max_evaluations: int) -> FloatArray:
        """Find the basin by CMA-ES. Returns the best point of the cube."""
        problem = self._problem
        rows = self.every_row()
        rng = generator(seed, "cma")
        options = {
            "bounds": [0.0, 1.0],
            "seed": float("nan"),  # leave numpy's global generator alone; the numbers come from randn
            "randn": lambda *shape: rng.standard_normal(shape),
            "verbose": -9,
            "verb_log": 0,
            "maxfevals": max_evaluations,
            "tolx": 1e-3,
            "tolfun": 1e-4,
            "tolfunhist": 1e-5,
        }
        start = np.clip(problem.cube({item.name: item.start for item in problem.ranges}), 0.02, 0.98)
        state = np.random.get_state()  # noqa: NPY002 - held so that it can be put back
        try:
            strategy = cma.CMAEvolutionStrategy(start, 0.2, options)
            while not strategy.stop():
                points = strategy.ask()
                strategy.tell(points, [float(_loss(self.residuals(np.asarray(p), rows)).mean()) for p in points])
            return np.clip(np.asarray(strategy.result.xbest, dtype=np.float64), 0.0, 1.0)
        finally:
            np.random.set_state(state)  # noqa: NPY002

    def polish(self, cube: FloatArray, rows: IntArray) -> FloatArray:
        """Finish a fit by bounded least squares of the same loss, from a point of the cube."""
        inside = np.clip(cube, 1e-6, 1.0 - 1e-6)
        solution = least_squares(
            self.residuals, inside, args=(rows,), bounds=(0.0, 1.0), loss="soft_l1", diff_step=2e-3, xtol=1e-4,
            ftol=1e-5, max_nfev=15,
        )  # fmt: skip
        found: FloatArray = np.asarray(solution.x, dtype=np.float64)
        return found

    def _errors(self, ends: FloatArray) -> FloatArray:
        error = relative(self._truth, ends)
        error[..., 2] = wrap_angle(error[..., 2])
        return error


def _loss(residuals: FloatArray) -> FloatArray:
    return 2.0 * (np.sqrt(1.0 + residuals**2) - 1.0)


def _describe(
    problem: Problem, best: FloatArray, low: FloatArray, high: FloatArray, correlation: FloatArray
) -> tuple[FittedParameter, ...]:
    values, lows, highs = problem.values(best), problem.values(low), problem.values(high)
    described = []
    for number, item in enumerate(problem.ranges):
        others = np.abs(np.delete(correlation[number], number))
        partner = [other.name for other in problem.ranges if other.name != item.name][int(others.argmax())]
        reasons = []
        if best[number] < AT_BOUND or best[number] > 1.0 - AT_BOUND:
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
            )
        )
    return tuple(described)
