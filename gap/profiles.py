"""How far the data let parameters go that they do not pin down: profiles of the loss.

A parameter is moved away from the fit, step by step to the end of its range, and all others are fitted again where that
is needed (Raue et al., *Bioinformatics* 25(15), 2009). It is done for those that the fit leaves at the end of their
range, and for one that something draws to its textbook value; what the others become on the way is allowed as well.
Where a valley of the loss leads, refits of resampled data do not: each of them stays where its search began, or where
something draws it. The profile is of the data alone, without a pull.

A point is allowed while its loss exceeds the least one by no more than

    phi t^2,    phi = G / (G - 1) / r * sum_c h_c' A^+ h_c,

with t Student's 97.5 % quantile for G - 1 degrees of freedom, h_c the loss's gradient over the runs that were told the
same command c of G, A the loss's curvature (Gauss-Newton) and r its rank: chi-square's limit, times how much more the
gradients differ between commands than independent errors would (the mean of the weights in Rao and Scott's adjusted
test, *Annals of Statistics* 12(1), 1984), for as few commands as there are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from ..common.geometry import FloatArray
from .scoring import Scoring, loss_of, minimise
from .tasks import Evaluate

_STEPS = 4
"""Places between the fit and the end of a range, which the profile takes one after the other."""
_RANK = 1e-6
_CONFIDENCE = 0.95


def allowed_points(
    scoring: Scoring, best: FloatArray, stopped: NDArray[np.bool_], evaluate_many: Evaluate
) -> FloatArray:
    """Return points (N, P) of the unit cube that explain the data as well as the fit.

    Args:
        scoring: of a problem whose logs are in at least two groups, scaled at the fit.
        best: (P,) that fit.
        stopped: (P,) bool whose profiles are followed; that of a parameter that is pulled always is.
        evaluate_many: does the profiles, each a task.
    """
    pull = scoring.problem.pull
    numbers = set(np.flatnonzero(stopped).tolist()) | (set() if pull is None else {pull.number})
    bare = replace(scoring, problem=replace(scoring.problem, pull=None))
    least = bare.polish(best)
    limit = _total(bare, least) + _allowance(bare, least)
    tasks = [(least, number, end, limit) for number in sorted(numbers) for end in (0.0, 1.0)]
    found = [point for points in evaluate_many(profile_at, bare, tasks) for point in points]
    return np.array([best, least, *found])


def profile_at(scoring: Scoring, task: tuple[FloatArray, int, float, float]) -> list[FloatArray]:
    """Follow one parameter from a fit (P,) towards an end of its range, up to a total loss: a task.

    Returns:
        The points (P,) that are allowed. The last one is within a quarter of a step of where the profile leaves the
        limit.
    """
    start, number, end, limit = task
    here, allowed = start, []
    step = (end - float(start[number])) / _STEPS
    smallest = abs(step) / 4.0
    while abs(step) >= max(smallest, 1e-4) and abs(end - here[number]) > 1e-9:
        moved = here.copy()
        moved[number] = np.clip(here[number] + step, 0.0, 1.0)
        # What is allowed as it is needs no fit: where a profile ends is all that is asked.
        if _total(scoring, moved) > limit:
            moved = _held(scoring, moved, number)
        if _total(scoring, moved) <= limit:
            allowed.append(moved)
            here = moved
        else:
            step *= 0.5
    return allowed


def _held(scoring: Scoring, cube: FloatArray, number: int) -> FloatArray:
    """Fit all parameters but one, from a point of the cube."""

    def derivative(place: FloatArray) -> FloatArray:
        slope = scoring.derivative(place)
        slope[..., number] = 0.0
        return slope

    return minimise(scoring.residuals, derivative, cube, scoring.every())


def _total(scoring: Scoring, cube: FloatArray) -> float:
    return float(loss_of(scoring.residuals(cube)).sum())


def _allowance(scoring: Scoring, cube: FloatArray) -> float:
    """Return by how much the total loss may exceed its least value; see the module's docstring."""
    residuals, slope = scoring.residuals(cube), scoring.derivative(cube)
    share = 1.0 / np.sqrt(1.0 + residuals**2)
    # A parameter that the loss holds at the end of its range has a gradient and no scatter.
    inside = (cube > 0.0) & (cube < 1.0)
    gradient = np.einsum("kc,kcp->kp", share * residuals, slope)[:, inside]
    curvature = np.einsum("kcp,kcq->pq", share[..., None] * slope, slope)[np.ix_(inside, inside)]
    groups = np.asarray(scoring.problem.groups)
    count = int(groups.max()) + 1
    sums = np.array(
        [
            sum(gradient[scoring.logs[log]].sum(axis=0) for log in np.flatnonzero(groups == one).tolist())
            for one in range(count)
        ]
    )
    values, vectors = np.linalg.eigh(curvature)
    known = values > _RANK * values.max()
    turned = np.einsum("gp,pq->gq", sums, vectors[:, known])
    phi = float((turned**2 / values[known]).sum()) / int(known.sum()) * count / (count - 1)
    return phi * float(student_t.ppf(0.5 + 0.5 * _CONFIDENCE, count - 1)) ** 2
