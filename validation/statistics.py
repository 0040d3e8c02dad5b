"""Statistics of episodes: intervals of proportions, quantiles and means, a paired test, how many episodes are missing.

``confidence`` is everywhere the level of the central, two-sided interval: each end alone then holds with confidence
``(1 + confidence) / 2``. Where nothing is known an interval is unbounded, (-inf, inf), never a guess.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from ..common.seeding import generator

FloatArray = NDArray[np.float64]
Side = Literal["min", "max"]
Statistic = str | Callable[[FloatArray], FloatArray]

MAX_EPISODES = 10_000_000
"""Above this many episodes a gate is called undecidable in practice."""

TAIL_SHARE = 0.1
"""Share of the episodes that ``cvar_low``, ``cvar_high`` and the worst decile speak of."""

_CHUNK_VALUES = 4_000_000
_JACKKNIFE_BLOCKS = 1_000


class Interval(NamedTuple):
    """Two ends of a confidence interval; -inf or inf where that end is unknown."""

    low: float
    high: float


UNKNOWN = Interval(-math.inf, math.inf)


def finite_values(values: Iterable[float | None]) -> FloatArray:
    """Return the known values, (n,) float64: None, NaN and infinities mean "not measured" and are left out."""
    known = [float(value) for value in values if value is not None]
    array = np.array(known, dtype=np.float64)
    return array[np.isfinite(array)]


def clopper_pearson(successes: float, trials: float, confidence: float = 0.95) -> Interval:
    """Return the exact interval of a proportion (Clopper and Pearson, Biometrika 26, 1934), through beta quantiles.

    Args:
        successes: 0..trials. Fractions are allowed (the beta form extends to them); ``episodes_needed`` uses that.
        trials: how often it was tried; 0 gives (0, 1).
        confidence: of the two-sided interval, in (0, 1).

    Returns:
        Ends in [0, 1]; the low end is 0 without successes, the high end is 1 without failures.

    Raises:
        ValueError: the counts are negative, not finite or out of order, or confidence is outside (0, 1).
    """
    _check_confidence(confidence)
    if not (math.isfinite(trials) and 0 <= successes <= trials):
        raise ValueError(f"successes must be between 0 and trials, not {successes} of {trials}")
    alpha = (1.0 - confidence) / 2.0
    failures = trials - successes
    low = 0.0 if successes == 0 else float(special.betaincinv(successes, failures + 1.0, alpha))
    high = 1.0 if failures == 0 else float(special.betaincinv(successes + 1.0, failures, 1.0 - alpha))
    return Interval(low, high)


def rule_of_three(trials: int, confidence: float = 0.95) -> float:
    """Return the one-sided upper bound of a rate after ``trials`` without a single event: 1 - (1 - c)^(1 / n).

    At 95 % that is close to 3 / n, hence the name. 1.0 after no trials.

    Raises:
        ValueError: trials is negative or confidence is outside (0, 1).
    """
    _check_confidence(confidence)
    if trials < 0:
        raise ValueError(f"trials must not be negative, not {trials}")
    return 1.0 if trials == 0 else -math.expm1(math.log1p(-confidence) / trials)


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Return the two-sided p value of McNemar's exact test for two policies run on the same seeds.

    Args:
        only_first: episodes in which the first policy succeeded and the second did not.
        only_second: the other way round. Episodes in which both did alike carry no information.

    Returns:
        min(1, 2 P(X <= min)) for X binomial with n = only_first + only_second and p = 1/2; 1.0 without such episodes.

    Raises:
        ValueError: a count is negative.
    """
    if only_first < 0 or only_second < 0:
        raise ValueError(f"counts must not be negative, not {only_first} and {only_second}")
    discordant = only_first + only_second
    if discordant == 0:
        return 1.0
    return min(1.0, 2.0 * float(stats.binom.cdf(min(only_first, only_second), discordant, 0.5)))


def quantile_interval(values: ArrayLike, share: float, confidence: float = 0.95) -> Interval:
    """Return the distribution-free interval of a quantile from order statistics (Conover, chapter 3.2).

    Its coverage is at least ``confidence`` for any distribution; a bootstrap of a high percentile of few values is far
    too narrow, since it can never reach beyond the largest value seen.

    Args:
        values: (n,) finite.
        share: of the population below the quantile, in (0, 1): 0.95 for the 95th percentile.
        confidence: of the two-sided interval, in (0, 1).

    Returns:
        Two of the values, or -inf / inf at an end that so few values cannot bound.
    """
    _check_confidence(confidence)
    if not 0.0 < share < 1.0:
        raise ValueError(f"share must be inside (0, 1), not {share}")
    ordered = np.sort(_clean(values))
    n, alpha = len(ordered), (1.0 - confidence) / 2.0
    # The (j+1)-th smallest value lies at or above the quantile unless more than j values fall below it, so ends follow
    # from P(at most j of n below the quantile), j = 0..n-1.
    at_most = stats.binom.cdf(np.arange(n), n, share)
    lower, upper = np.flatnonzero(at_most <= alpha), np.flatnonzero(at_most >= 1.0 - alpha)
    low = float(ordered[lower[-1]]) if len(lower) else -math.inf
    high = float(ordered[upper[0]]) if len(upper) else math.inf
    return Interval(low, high)


def bootstrap_interval(
    values: ArrayLike,
    statistic: Statistic = "mean",
    confidence: float = 0.95,
    seed: int = 0,
    *,
    resamples: int = 2_000,
) -> Interval:
    """Return the bias-corrected and accelerated bootstrap interval (Efron, JASA 82, 1987) over episodes.

    Args:
        values: (n,) finite; leave missing ones out with ``finite_values``.
        statistic: "mean", "median", "cvar_low", "cvar_high", "pNN" for a percentile, or a function that maps (m, n) to
            (m,), one value for each row.
        confidence: of the two-sided interval, in (0, 1).
        seed: of the resampling; equal arguments give equal bits.
        resamples: how many; 2,000 place a 95 % end within about 3 % of the interval's width.

    Returns:
        The interval. Special cases: fewer than 2 values say nothing about their spread: (-inf, inf). Equal values
        resample to themselves: (v, v), which is the method's answer and not a proof; gates say so in a note.

    Raises:
        ValueError: a value is not finite, the statistic is unknown or confidence is outside (0, 1).
    """
    _check_confidence(confidence)
    sample = _clean(values)
    function = named_statistic(statistic)
    n = len(sample)
    if n < 2:
        return UNKNOWN
    if np.all(sample == sample[0]):
        value = float(function(sample[None, :])[0])
        return Interval(value, value)
    point = float(function(sample[None, :])[0])
    replicates = np.sort(_resampled(sample, function, resamples, seed))
    below = 0.5 * float(np.mean(replicates < point) + np.mean(replicates <= point))
    # A share of 0 or 1 would put the correction at infinity; half a resample is the finest that can be told.
    bias = float(special.ndtri(np.clip(below, 0.5 / resamples, 1.0 - 0.5 / resamples)))
    acceleration = _acceleration(_jackknife(sample, function))
    alpha = (1.0 - confidence) / 2.0
    ends = []
    for tail in (alpha, 1.0 - alpha):
        shifted = bias + float(special.ndtri(tail))
        scale = 1.0 - acceleration * shifted
        adjusted = float(special.ndtr(bias + shifted / scale)) if scale > 0 else float(shifted > 0)
        ends.append(float(np.quantile(replicates, adjusted)))
    return Interval(min(ends), max(ends))


def named_statistic(statistic: Statistic) -> Callable[[FloatArray], FloatArray]:
    """Return the function of a statistic's name, (m, n) to (m,); a function is returned as it is.

    Names: "mean", "median", "min", "max", "pNN" (percentile NN from 1 to 99), "cvar_low" and "cvar_high" (mean of the
    lowest or highest tenth; see ``tail_mean``).

    Raises:
        ValueError: the name is unknown.
    """
    if callable(statistic):
        return statistic
    plain: dict[str, Callable[[FloatArray], FloatArray]] = {
        "mean": lambda rows: rows.mean(axis=-1),
        "median": lambda rows: np.median(rows, axis=-1),
        "min": lambda rows: rows.min(axis=-1),
        "max": lambda rows: rows.max(axis=-1),
        "cvar_low": lambda rows: tail_mean(rows, TAIL_SHARE, upper=False),
        "cvar_high": lambda rows: tail_mean(rows, TAIL_SHARE, upper=True),
    }
    if statistic in plain:
        return plain[statistic]
    share = percentile_share(statistic)
    if share is None:
        raise ValueError(f"unknown statistic '{statistic}' (known: {', '.join(plain)}, p01 to p99)")
    return lambda rows: np.quantile(rows, share, axis=-1)


def percentile_share(statistic: str) -> float | None:
    """Return 0.95 for "p95" and so on for p1 to p99; "median" is 0.5; None for any other name."""
    if statistic == "median":
        return 0.5
    digits = statistic[1:]
    if (
        statistic[:1] != "p"
        or not (digits.isascii() and digits.isdigit() and 1 <= len(digits) <= 2)
        or int(digits) == 0
    ):
        return None
    return int(digits) / 100.0


def tail_mean(rows: FloatArray, share: float, *, upper: bool) -> FloatArray:
    """Return the conditional value at risk: the mean of the lowest or highest ``share`` of each row.

    The value on the edge counts with the fraction of it that belongs to the tail (Rockafellar and Uryasev, 2002).

    Args:
        rows: (..., n) finite, n >= 1.
        share: in (0, 1].
        upper: whether the highest values are the tail.

    Returns:
        (...) means.
    """
    ordered = np.sort(rows, axis=-1)
    if upper:
        ordered = ordered[..., ::-1]
    n = ordered.shape[-1]
    weight = np.clip(share * n - np.arange(n), 0.0, 1.0)
    return (ordered @ weight) / (share * n)


def episodes_needed(successes: int, trials: int, bound: float, side: Side, confidence: float = 0.95) -> int | None:
    """Return how many further episodes would decide a gate on a proportion if the observed rate persisted.

    Decided means that the Clopper-Pearson interval lies wholly on one side of the bound. The rate is held at
    successes / trials (fractions of a success are allowed), so this is a plan, not a promise. Without any trial the
    best possible record is assumed: the fewest episodes that can pass.

    Args:
        successes, trials: what was seen.
        bound: of the proportion.
        side: "min" if the proportion must be at least the bound, "max" if at most.
        confidence: of the two-sided interval.

    Returns:
        At least 1; None if the rate equals the bound or ``MAX_EPISODES`` would not do.

    Raises:
        ValueError: as ``clopper_pearson``.
    """
    best = 1.0 if side == "min" else 0.0
    rate = successes / trials if trials else best

    def decided(total: int) -> bool:
        interval = clopper_pearson(min(rate * total, total), total, confidence)
        return bool(decide(interval, bound, side) != "inconclusive")

    if rate == bound or not decided(MAX_EPISODES):
        return None
    low, high = trials, max(2 * trials, 1)
    while not decided(high):
        low, high = high, min(2 * high, MAX_EPISODES)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if decided(middle) else (middle, high)
    return max(high - trials, 1)


def episodes_needed_for_mean(value: float, interval: Interval, trials: int, bound: float) -> int | None:
    """Return how many further episodes would bring the end of an interval to the bound if the value persisted.

    The distance from the value to its interval's end shrinks with the square root of the number of episodes.

    Args:
        value: the statistic as seen.
        interval: its interval, finite.
        trials: episodes behind it.
        bound: of the gate.

    Returns:
        At least 1; None if the value equals the bound, the interval is unbounded on that side or ``MAX_EPISODES`` would
        not do.
    """
    distance = abs(value - bound)
    reach = abs(value - (interval.low if value >= bound else interval.high))
    if distance == 0.0 or not math.isfinite(reach):
        return None
    total = trials * (reach / distance) ** 2
    if total > MAX_EPISODES:
        return None
    return max(math.ceil(total) - trials, 1)


def decide(interval: Interval, bound: float, side: Side) -> Literal["pass", "fail", "inconclusive"]:
    """Return where an interval lies: wholly on the good side (bound included), wholly on the bad side, or across."""
    if side == "min":
        return "pass" if interval.low >= bound else "fail" if interval.high < bound else "inconclusive"
    return "pass" if interval.high <= bound else "fail" if interval.low > bound else "inconclusive"


def _resampled(
    sample: FloatArray, function: Callable[[FloatArray], FloatArray], resamples: int, seed: int
) -> FloatArray:
    random = generator(seed, "bootstrap")
    rows = max(1, _CHUNK_VALUES // len(sample))  # bounds the memory
    parts = []
    for start in range(0, resamples, rows):
        index = random.integers(0, len(sample), size=(min(rows, resamples - start), len(sample)))
        parts.append(function(sample[index]))
    return np.concatenate(parts)


def _jackknife(sample: FloatArray, function: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """Leave one value out at a time; of a long sample one of 1,000 blocks of neighbours, as its cost is quadratic."""
    blocks = np.array_split(np.arange(len(sample)), min(len(sample), _JACKKNIFE_BLOCKS))
    return np.array([function(np.delete(sample, block)[None, :])[0] for block in blocks])


def _acceleration(jackknife: FloatArray) -> float:
    deviation = jackknife.mean() - jackknife
    spread = float(np.sum(deviation**2))
    return float(np.sum(deviation**3)) / (6.0 * spread**1.5) if spread > 0 else 0.0


def _clean(values: ArrayLike) -> FloatArray:
    array = np.asarray(values, dtype=np.float64).ravel()
    if not np.all(np.isfinite(array)):
        raise ValueError("a value is not finite; leave missing ones out with finite_values")
    return array


def _check_confidence(confidence: float) -> None:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must be inside (0, 1), not {confidence}")
