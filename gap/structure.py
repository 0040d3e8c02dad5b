"""How much of a model the training data asks for: parts that do not help on stretches left out are left as they were.

A log of a minute can be fitted by four wheels of their own, a sideways gain and a mount of the mark; whether that says
something about the next minute is another question. It is asked of the training data alone: stretches of the logs (or
robots, where there are three) are left out in turn, the rest is fitted, and the ends within what was left out are
judged (cross-validation in blocks: Roberts et al., *Ecography* 40(8), 2017). From the full model, the part whose loss
hurts least is taken away again and again, down to the robot as it came. Of these models the one with the least loss is
kept, if it beats the robot as it came by more than the standard error of their difference over the blocks; if not,
nothing is changed.

Ends that begin on one side of a border and end on the other are neither fitted nor judged. Fits are made on the loss's
expansion about the full fit (``scoring.Expansion``), and on the replay where that is too far away.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import FloatArray
from .fieldlog import SECOND
from .problems import Problem
from .scoring import Expansion, Scoring, loss_of, minimise

KEPT = "left as it was, since stretches left out of the fit are not predicted better with it"
"""Why a parameter that could have been fitted was not."""
MOST_BLOCKS, FEWEST_BLOCKS = 8, 3


@dataclass(frozen=True)
class _Fold:
    """What is fitted and what is judged: (K, H) bool each."""

    fitted: NDArray[np.bool_]
    judged: NDArray[np.bool_]


def choose_structure(scoring: Scoring, best: FloatArray, expansion: Expansion) -> tuple[Problem, tuple[str, ...]]:
    """Choose what is fitted.

    Args:
        scoring: of the problem with all its parts, scaled at the fit.
        best: (P,) that fit.
        expansion: about it.

    Returns:
        The problem with the parts that are not needed held at the start, and what those parts are. A problem without
        parts, or with fewer than ``FEWEST_BLOCKS`` stretches to leave out, comes back as it was.
    """
    problem = scoring.problem
    folds = _folds(scoring) if problem.parts else []
    if len(folds) < FEWEST_BLOCKS:
        return problem, ()
    left_out: tuple[int, ...] = ()
    losses = {left_out: _judged(scoring, expansion, best, problem, folds)}
    path = [left_out]
    while len(left_out) < len(problem.parts):
        rest = [k for k in range(len(problem.parts)) if k not in left_out]
        single = [k for k in rest if not problem.parts[k].basic]
        # Basic parts go last, all at once.
        tried = [tuple(sorted((*left_out, k))) for k in single] or [tuple(range(len(problem.parts)))]
        for parts in tried:
            losses[parts] = _judged(scoring, expansion, best, problem.without(parts), folds)
        left_out = min(tried, key=lambda parts: float(losses[parts].sum()))
        path.append(left_out)
    chosen = min(path, key=lambda parts: float(losses[parts].sum()))
    if not _shown_better(losses[chosen] - losses[left_out]):
        chosen = left_out
    return problem.without(chosen), tuple(problem.parts[k].what for k in chosen)


def _shown_better(more: FloatArray) -> bool:
    """Tell whether a model's losses by fold, less another's, are below zero by more than their standard error."""
    return float(more.sum()) < -np.sqrt(len(more)) * float(more.std(ddof=1))


def _judged(
    scoring: Scoring, expansion: Expansion, best: FloatArray, problem: Problem, folds: Sequence[_Fold]
) -> FloatArray:
    """Return the loss (F,) of what each fold left out, over all that is judged."""
    count = sum(int(fold.judged.sum()) for fold in folds)
    tied = replace(scoring, problem=problem)
    losses = []
    for fold in folds:
        cube = _fitted(tied, expansion, problem.tied(best), fold.fitted)
        judged = replace(scoring, valid=fold.judged)
        losses.append(float(loss_of(judged.residuals(cube)).sum()) / count)
    return np.array(losses)


def _fitted(scoring: Scoring, expansion: Expansion, cube: FloatArray, chosen: NDArray[np.bool_]) -> FloatArray:
    """Fit the chosen ends (K, H), from a point of the cube."""
    problem = scoring.problem
    if problem.free is not None and not problem.free.any():
        return cube
    mask = np.repeat(chosen, 3, axis=1).astype(np.float64)
    free = np.eye(len(cube)) if problem.free is None else problem.free
    rows = np.asarray(chosen.any(axis=1), dtype=np.float64)
    found = problem.tied(
        minimise(
            lambda place: mask * expansion.residuals(problem.tied(place)),
            lambda place: np.einsum("kcp,pq->kcq", mask[..., None] * expansion.derivative(problem.tied(place)), free),
            cube,
            rows,
        )
    )
    return found if expansion.trusts(found) else replace(scoring, valid=chosen).polish(cube)


def _folds(scoring: Scoring) -> list[_Fold]:
    """Leave out robots, where there are three; else stretches of time."""
    robots = [item.log.robot for item in scoring.problem.windows]
    if len(set(robots)) < FEWEST_BLOCKS:
        return _by_time(scoring)
    folds = []
    for robot in dict.fromkeys(robots):
        rows = np.concatenate([rows for rows, own in zip(scoring.logs, robots, strict=True) if own == robot])
        inside = np.zeros_like(scoring.valid)
        inside[rows] = True
        folds.append(_Fold(scoring.valid & ~inside, scoring.valid & inside))
    return [fold for fold in folds if fold.judged.any() and fold.fitted.any()]


def _by_time(scoring: Scoring) -> list[_Fold]:
    """Cut the logs into stretches of equal length, none shorter than the longest horizon where there are enough."""
    windows = scoring.problem.windows
    spans = [item.start_ns[[0, -1]] + np.array([0, round(item.every * SECOND)]) for item in windows]
    total = sum(int(span[1] - span[0]) for span in spans) / SECOND
    count = int(np.clip(total // (2.0 * windows[0].horizons[-1]), FEWEST_BLOCKS, MOST_BLOCKS))
    folds = []
    for item, rows, span in zip(windows, scoring.logs, spans, strict=True):
        share = max(1, round(count * float(span[1] - span[0]) / SECOND / total))
        borders = np.linspace(span[0], span[1], share + 1)
        ends = item.start_ns[:, None] + np.round(np.array(item.horizons) * SECOND)[None, :]
        begin = np.broadcast_to(item.start_ns[:, None], ends.shape)
        for first, last in itertools.pairwise(borders):
            fitted, judged = scoring.valid.copy(), np.zeros_like(scoring.valid)
            # After the last border there is nothing else: what begins before it may end behind it.
            after = last if last < span[1] else np.inf
            judged[rows] = scoring.valid[rows] & (begin >= first) & (ends <= after)
            fitted[rows] &= (ends <= first) | (begin >= last)
            folds.append(_Fold(fitted, judged))
    return [fold for fold in folds if fold.judged.any() and fold.fitted.any()]
