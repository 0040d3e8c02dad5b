"""A family of robots: what they have in common and how they differ, from the fits of each alone.

Random effects: robot i's true value is ``mean + u_i``, its fitted one that plus an error of known size. The spread of
``u`` is estimated by restricted maximum likelihood (REML; Viechtbauer, *Journal of Educational and Behavioral
Statistics* 30(3), 2005), so that the uncertainty of the fits does not count as a difference between robots. The mean's
interval is that of Hartung and Knapp (*Statistics in Medicine* 20, 2001), the spread's the Q-profile (Viechtbauer,
*Statistics in Medicine* 26, 2007), and the interval of a robot that was not logged adds the spread to the mean's
uncertainty (Higgins, Thompson and Spiegelhalter, *JRSS A* 172, 2009), with one degree of freedom less than robots.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq, minimize_scalar
from scipy.stats import chi2
from scipy.stats import t as student_t

from ..common.geometry import FloatArray

CONFIDENCE = 0.95
_LEAST_GAIN = 1e-6
"""Of minus twice the log-likelihood: a spread that gains less is none, only the search's own step off zero."""


@dataclass(frozen=True)
class RandomEffects:
    """What robots have in common and how they differ; intervals of 95 %.

    Attributes:
        mean: over robots of this kind; ci_low, ci_high: its interval.
        spread: standard deviation between robots; spread_low, spread_high: its interval.
        new_low, new_high: where a robot's value lies that was not logged.
    """

    mean: float
    ci_low: float
    ci_high: float
    spread: float
    spread_low: float
    spread_high: float
    new_low: float
    new_high: float


def random_effects(
    values: ArrayLike, errors: ArrayLike, *, bounds: tuple[float, float] = (-np.inf, np.inf)
) -> RandomEffects:
    """Take fits of several robots apart into their mean and their spread.

    Args:
        values: (N,) fitted values, N >= 2; errors: (N,) their standard errors, above zero.
        bounds: between which a value lies; intervals are cut off there.
    """
    value, variance = np.asarray(values, dtype=np.float64), np.asarray(errors, dtype=np.float64) ** 2
    count = len(value)
    most = 10.0 * (float(value.std(ddof=1)) + 1e-12)
    found = minimize_scalar(_restricted, bounds=(0.0, most), args=(value, variance), method="bounded",
                            options={"xatol": 1e-7 * most})  # fmt: skip
    # The search does not look at the end of its range itself.
    gain = _restricted(0.0, value, variance) - found.fun
    spread = float(found.x) if gain > _LEAST_GAIN else 0.0
    mean, share = _weighted(value, variance, spread)
    scatter = float((share * (value - mean) ** 2).sum()) / (count - 1)
    error = np.sqrt(max(scatter, 1.0) / float(share.sum()))
    reach = float(student_t.ppf(0.5 + 0.5 * CONFIDENCE, count - 1))
    new = reach * float(np.hypot(spread, error))
    low, high = _spread_interval(value, variance)
    ends = np.clip([mean - reach * error, mean + reach * error, mean - new, mean + new], *bounds).tolist()
    return RandomEffects(mean, ends[0], ends[1], spread, min(low, spread), max(high, spread), ends[2], ends[3])


def _weighted(value: FloatArray, variance: FloatArray, spread: float) -> tuple[float, FloatArray]:
    share = 1.0 / (variance + spread**2)
    return float((share * value).sum() / share.sum()), share


def _restricted(spread: float, value: FloatArray, variance: FloatArray) -> float:
    """Return minus twice the restricted log-likelihood."""
    mean, share = _weighted(value, variance, spread)
    return float(-np.log(share).sum() + np.log(share.sum()) + (share * (value - mean) ** 2).sum())


def _spread_interval(value: FloatArray, variance: FloatArray) -> tuple[float, float]:
    """Return the spreads at which Cochran's Q is at the quantiles of its distribution."""

    def excess(spread: float, quantile: float) -> float:
        mean, share = _weighted(value, variance, spread)
        return float((share * (value - mean) ** 2).sum()) - quantile

    ends = []
    for tail in (0.5 + 0.5 * CONFIDENCE, 0.5 - 0.5 * CONFIDENCE):
        quantile = float(chi2.ppf(tail, len(value) - 1))
        most = 1e3 * (float(value.std(ddof=1)) + 1e-12)
        if excess(0.0, quantile) <= 0.0:
            ends.append(0.0)
        else:
            ends.append(float(brentq(excess, 0.0, most, args=(quantile,), xtol=1e-9 * most)))
    return ends[0], ends[1]
