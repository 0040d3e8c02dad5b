"""Residuals of a calibration problem, their robust loss, and the search for its minimum.

Loss: at each horizon a window's end error along x, y and yaw is divided by the median absolute error at that horizon
and put through ``2 (sqrt(1 + r^2) - 1)``, which is quadratic near zero and linear for outliers (a bump, a pushed
robot). CMA-ES (N. Hansen, *The CMA Evolution Strategy: A Tutorial*, 2016) finds the basin; Levenberg-Marquardt steps on
the iteratively reweighted squares of the same loss (Holland and Welsch, *Communications in Statistics* A6(9), 1977),
held within the cube, finish.

Refits on resampled windows differ little from the fit, so they are made on the second-order Taylor expansion of the
residuals about it (``Expansion``): a few dozen replays once instead of a few dozen for each. One that leaves the region
in which the expansion is trusted is finished on the replay itself.

Sums are numpy's own (``einsum``), never a threaded library's: the bits do not depend on how many threads there are.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..common.errors import InputError
from ..common.geometry import FloatArray, relative, wrap_angle
from ..common.seeding import generator
from .fieldlog import IntArray
from .metrics import block_length
from .problems import Problem
from .tasks import Evaluate

EXPANSION_STEP = 0.02
"""Of the unit cube, for the differences of the expansion."""
EXPANSION_REACH = 0.12
"""How far from its centre the expansion is trusted, in the unit cube."""
_DIFFERENCE = 1e-2
_SMALLEST_STEP = 5e-5
_SMALLEST_GAIN = 1e-8
_STALE = 0.01
"""A step longer than this, in the unit cube, asks for the derivatives anew; after shorter ones the old ones serve."""
_MOST_STEPS = 30
VALLEY = ("command_delay", "motor_lag")
"""Two parameters whose sum is known much better than either."""
_VALLEY_POINTS, _VALLEY_APART = 13, 0.25
"""Points along that sum, and how far from the fit, as a share of it, another valley may begin."""
_MIN_POSITION, _MIN_HEADING = 1e-3, 2e-3

Residuals = Callable[[FloatArray], FloatArray]
"""Of a point of the cube (P,): residuals (K, C) of all windows."""
Derivative = Callable[[FloatArray], FloatArray]
"""Of a point of the cube (P,): their derivatives (K, C, P)."""


def loss_of(residuals: FloatArray) -> FloatArray:
    """Return ``2 (sqrt(1 + r^2) - 1)`` of residuals of any shape."""
    result: FloatArray = 2.0 * (np.sqrt(1.0 + residuals**2) - 1.0)
    return result


@dataclass(frozen=True)
class Scoring:
    """Residuals of a problem at points of the unit cube; picklable where the problem is.

    Attributes:
        problem: what is fitted.
        truth: (K, H, 3) true ends of all windows.
        valid: (K, H) bool.
        logs: the windows of each log, as indices.
        scale: (H, 3) what an error is divided by [m, m, rad].
    """

    problem: Problem
    truth: FloatArray
    valid: NDArray[np.bool_]
    logs: tuple[IntArray, ...]
    scale: FloatArray

    @classmethod
    def of(cls, problem: Problem) -> Scoring:
        """Score a problem, scaled by the errors of the robot as it came.

        Raises:
            InputError: no window is whole.
        """
        truth = np.concatenate([item.truth[:, item.horizon_steps] for item in problem.windows])
        valid = np.concatenate([item.valid for item in problem.windows])
        if not valid.any():
            raise InputError("no window of the training logs is whole", mend="give logs with fewer holes in them")
        bounds = np.cumsum([0, *(len(item) for item in problem.windows)])
        logs = tuple(np.arange(a, b) for a, b in itertools.pairwise(bounds))
        made = cls(problem, truth, valid, logs, np.ones((truth.shape[1], 3)))
        return made.scaled_to(problem.baseline)

    def scaled_to(self, ends: FloatArray) -> Scoring:
        """Return the scoring that takes the median absolute errors of end poses (K, H, 3) as its scale."""
        error, scale = self._errors(ends), np.ones_like(self.scale)
        for number in range(error.shape[1]):
            chosen = error[self.valid[:, number], number]
            typical = np.median(np.abs(chosen), axis=0) if len(chosen) else np.ones(3)
            position = max(float(np.hypot(typical[0], typical[1])), _MIN_POSITION)
            scale[number] = position, position, max(float(typical[2]), _MIN_HEADING)
        return replace(self, scale=scale)

    def scaled_at(self, cube: FloatArray) -> Scoring:
        """Return the scoring whose scale are the errors at a point of the cube."""
        return self.scaled_to(self.problem.simulate(self.problem.values(cube)))

    def residuals(self, cube: FloatArray) -> FloatArray:
        """Return the scaled errors (K, 3 H) at a point of the cube; zero where a window is not whole.

        A problem with a pull has it as one more column.
        """
        found = self.residuals_of(self.problem.simulate(self.problem.values(cube)))
        if self.problem.pull is None:
            return found
        return np.column_stack([found, np.full(len(found), self.problem.pulled(cube))])

    def residuals_of(self, ends: FloatArray) -> FloatArray:
        """Return the scaled errors (K, 3 H) of end poses (K, H, 3)."""
        scaled = np.where(self.valid[..., None], self._errors(ends) / self.scale, 0.0)
        return scaled.reshape(len(scaled), -1)

    def loss(self, cube: FloatArray) -> float:
        """Return the mean loss over all windows at a point of the cube."""
        return float(loss_of(self.residuals(cube)).mean())

    def derivative(self, cube: FloatArray) -> FloatArray:
        """Return the derivatives (K, 3 H, P) by central differences, shorter ones at the ends of a range.

        Steps span some milliseconds of delay: commands come in steps, so that shorter ones would see their edges.
        """
        columns = []
        for number, place in enumerate(cube):
            above, below = min(place + _DIFFERENCE, 1.0) - place, max(place - _DIFFERENCE, 0.0) - place
            rise = self.residuals(_moved(cube, number, above)) - self.residuals(_moved(cube, number, below))
            columns.append(rise / (above - below))
        return np.stack(columns, axis=-1)

    def polish(self, cube: FloatArray, weight: FloatArray | None = None) -> FloatArray:
        """Finish a fit on the replay itself, from a point of the cube; ``weight`` (K,) counts each window so often."""
        counted = self.every() if weight is None else weight
        return self.problem.tied(minimise(self.residuals, self.derivative, cube, counted))

    def cross(self, cube: FloatArray) -> FloatArray:
        """Finish the fit from elsewhere in the valley of delay and lag too. Returns the point (P,) with less loss.

        A second of delay and one of lag do nearly the same, so that the loss is a valley along their constant sum, with
        minima in it where a search can end. Points along that sum are looked at; the best that is not near the given
        one is finished as well. Without a delay or a lag, or with parts that may yet be taken away (``structure``), the
        point comes back as it was.
        """
        names = [item.name for item in self.problem.ranges]
        if self.problem.parts or not {*VALLEY} <= set(names):
            return cube
        values = self.problem.values(cube)
        delay, lag = VALLEY
        total = values[delay] + values[lag]
        shares = np.linspace(0.0, 1.0, _VALLEY_POINTS)
        away = [share for share in shares if abs(share * total - values[lag]) >= _VALLEY_APART * total]
        points = [self.problem.cube({**values, delay: (1.0 - share) * total, lag: share * total}) for share in away]
        # Where a range ends, part of the sum is lost: those points just have more loss.
        points = [self.problem.tied(np.clip(point, 0.0, 1.0)) for point in points]
        if not points:
            return cube
        other = self.polish(min(points, key=self.loss))
        return other if self.loss(other) < self.loss(cube) else cube

    def every(self) -> FloatArray:
        """Return the weights (K,) that count each window once."""
        return np.ones(len(self.truth))

    def only(self, rows: IntArray) -> FloatArray:
        """Return the weights (K,) that count the given windows as often as they are given, and no others."""
        return np.bincount(rows, minlength=len(self.truth)).astype(np.float64)

    def resample(self, rng: np.random.Generator) -> FloatArray:
        """Draw logs, then blocks of windows within each. Returns weights (K,).

        Where runs repeat commands, all runs of a command are drawn together.
        """
        groups = self.problem.groups
        if len(set(groups)) > 1:
            # Repeats of a command say the same again: what counts is how many commands there are.
            chosen = rng.integers(0, max(groups) + 1, size=max(groups) + 1)
            return self.only(
                np.concatenate([self.logs[log] for one in chosen for log in np.flatnonzero(np.equal(groups, one))])
            )
        parts = []
        for number in rng.integers(0, len(self.logs), size=len(self.logs)):
            rows, windows = self.logs[number], self.problem.windows[number]
            size = min(len(rows), block_length(windows.horizons[-1], windows.every, len(rows)))
            begin = rng.integers(0, len(rows), size=-(-len(rows) // size))
            run = (begin[:, None] + np.arange(size)).ravel()[: len(rows)] % len(rows)
            parts.append(rows[run])
        return self.only(np.concatenate(parts))

    def _errors(self, ends: FloatArray) -> FloatArray:
        error = relative(self.truth, ends)
        error[..., 2] = wrap_angle(error[..., 2])
        return error


class Expansion:
    """Residuals near a point of the cube by their second-order Taylor expansion, from central differences.

    Args:
        scoring: what is expanded.
        centre: (P,) in the cube; moved inwards where the differences would leave it.
        evaluate: does the 1 + P + P^2 replays' worth of work.
    """

    def __init__(self, scoring: Scoring, centre: FloatArray, evaluate: Evaluate) -> None:
        step = EXPANSION_STEP
        self.scoring = scoring
        self.centre = np.clip(centre, step, 1.0 - step)
        count = len(centre)
        pairs = list(itertools.combinations(range(count), 2))
        points = [self.centre]
        points += [_moved(self.centre, i, sign * step) for i in range(count) for sign in (1.0, -1.0)]
        points += [
            _moved(_moved(self.centre, i, sign * step), j, sign * step) for i, j in pairs for sign in (1.0, -1.0)
        ]
        found = evaluate(residuals_at, scoring, points)
        here, ahead, behind = found[0], found[1 : 2 * count + 1 : 2], found[2 : 2 * count + 1 : 2]
        self._here = here
        self._slope = np.stack([(a - b) / (2.0 * step) for a, b in zip(ahead, behind, strict=True)], axis=-1)
        bend = np.zeros((*here.shape, count, count))
        for i in range(count):
            bend[..., i, i] = (ahead[i] - 2.0 * here + behind[i]) / step**2
        for number, (i, j) in enumerate(pairs):
            both = found[2 * count + 1 + 2 * number] + found[2 * count + 2 + 2 * number]
            mixed = (both - ahead[i] - behind[i] - ahead[j] - behind[j] + 2.0 * here) / (2.0 * step**2)
            bend[..., i, j] = bend[..., j, i] = mixed
        self._bend = bend

    def residuals(self, cube: FloatArray) -> FloatArray:
        """Return the expanded residuals (K, C) at a point of the cube."""
        move = cube - self.centre
        result: FloatArray = self._here + np.einsum("kcp,p->kc", self._slope + 0.5 * self._turned(move), move)
        return result

    def derivative(self, cube: FloatArray) -> FloatArray:
        """Return their derivatives (K, C, P)."""
        result: FloatArray = self._slope + self._turned(cube - self.centre)
        return result

    def trusts(self, cube: FloatArray) -> bool:
        """Tell whether a point is near enough to the centre."""
        return bool(np.abs(cube - self.centre).max() <= EXPANSION_REACH)

    def refit(self, cube: FloatArray, weight: FloatArray) -> FloatArray:
        """Fit weighted windows from a point of the cube: on the expansion, or on the replay where that is too far."""
        found = self.scoring.problem.tied(minimise(self.residuals, self.derivative, cube, weight))
        return found if self.trusts(found) else self.scoring.polish(cube, weight)

    def finish(self, cube: FloatArray, weight: FloatArray) -> FloatArray:
        """Fit weighted windows on the replay, from where the expansion ends up: there is little left to do."""
        near = self.refit(cube, weight)
        return self.scoring.polish(near, weight) if self.trusts(near) else near

    def _turned(self, move: FloatArray) -> FloatArray:
        result: FloatArray = np.einsum("kcpq,q->kcp", self._bend, move)
        return result


def minimise(residuals: Residuals, derivative: Derivative, cube: FloatArray, weight: FloatArray) -> FloatArray:
    """Minimise the weighted loss of residuals within the unit cube, from a point of it. Returns (P,)."""
    place = np.clip(np.asarray(cube, dtype=np.float64), 0.0, 1.0)
    rows = np.flatnonzero(weight > 0)
    counts = weight[rows]
    now = residuals(place)[rows]
    total = _total(now, counts)
    damping = 1e-4
    slope, fresh, exact = derivative(place)[rows], True, True
    for _ in range(_MOST_STEPS):
        if not fresh:
            slope, fresh, exact = derivative(place)[rows], True, True
        share = counts[:, None] / np.sqrt(1.0 + now**2)
        gradient = np.einsum("kc,kcp->p", share * now, slope)
        curvature = np.einsum("kcp,kcq->pq", share[..., None] * slope, slope)
        step = _bounded_step(place, gradient, curvature, damping)
        if np.abs(step).max() < _SMALLEST_STEP:
            break
        tried = np.clip(place + step, 0.0, 1.0)
        there = residuals(tried)[rows]
        reached = _total(there, counts)
        if reached < total:
            gained = total - reached
            fresh = bool(np.abs(tried - place).max() <= _STALE)
            place, now, total, exact = tried, there, reached, False
            damping = max(0.1 * damping, 1e-9)
            if gained < _SMALLEST_GAIN * total:
                break
        elif fresh and not exact:
            fresh = False
        else:
            damping *= 10.0
            if damping > 1e6:
                break
    return place


def search(scoring: Scoring, seed: int, max_evaluations: int, evaluate: Evaluate) -> tuple[FloatArray, int]:
    """Find the basin by CMA-ES. Returns the best point of the cube and the number of replays."""
    import cma  # Here, as it loads pyplot, which commands that search nothing need not wait for.

    problem = scoring.problem
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
            strategy.tell(points, evaluate(loss_at, scoring, [np.asarray(point) for point in points]))
        best = np.clip(np.asarray(strategy.result.xbest, dtype=np.float64), 0.0, 1.0)
        return best, int(strategy.countevals)
    finally:
        np.random.set_state(state)  # noqa: NPY002


def loss_at(scoring: Scoring, cube: FloatArray) -> float:
    """Return the mean loss at a point of the cube: a task."""
    return scoring.loss(cube)


def residuals_at(scoring: Scoring, cube: FloatArray) -> FloatArray:
    """Return the residuals (K, C) at a point of the cube: a task."""
    return scoring.residuals(cube)


def finish_at(expansion: Expansion, task: tuple[FloatArray, FloatArray]) -> FloatArray:
    """Fit weighted windows (point of the cube (P,), weights (K,)) on the replay: a task."""
    return expansion.finish(*task)


def refits_at(expansion: Expansion, task: tuple[FloatArray, Sequence[FloatArray]]) -> list[FloatArray]:
    """Fit several resamples (point of the cube (P,), weights (K,) of each) on the expansion: a task."""
    cube, weights = task
    return [expansion.refit(cube, weight) for weight in weights]


def _moved(cube: FloatArray, number: int, step: float) -> FloatArray:
    moved = cube.copy()
    moved[number] += step
    return moved


def _total(residuals: FloatArray, counts: FloatArray) -> float:
    return float(np.einsum("k,kc->", counts, loss_of(residuals)))


def _bounded_step(place: FloatArray, gradient: FloatArray, curvature: FloatArray, damping: float) -> FloatArray:
    """Return the damped Newton step of the parameters that are not held at a bound by the loss itself."""
    free = ~(((place <= 0.0) & (gradient > 0.0)) | ((place >= 1.0) & (gradient < 0.0)))
    step = np.zeros_like(place)
    chosen = np.flatnonzero(free & (np.diagonal(curvature) > 0.0))
    if len(chosen):
        damped = curvature[np.ix_(chosen, chosen)] + damping * np.diag(np.diagonal(curvature)[chosen])
        step[chosen] = np.linalg.lstsq(damped, -gradient[chosen], rcond=None)[0]
    return step
