"""Fit a lidar's noise to residuals against a map, in closed form, and hand it on as fields of ``LidarConfig``.

Real lidar residuals are not white. Four parts are told apart, each estimated where the others say little:

1. **Local noise** of a beam: what neighbouring residuals on one surface are off their line, freed of the q^2 / 12 of
   the sensor's step q (Widrow and Kollar, *Quantization Noise*, 2008). Of a scanner that interlaces two sweeps only
   beams of the same sweep are compared.
2. **Shared error** (pose, map, walls that are not flat): what the core's variance has beyond the local noise. The angle
   over which it changes follows from the robust variogram on single surfaces, gamma(lag) = local + shared *
   (1 - (1 + a) exp(-a)) with a = lag / angle (Cressie, *Statistics for Spatial Data*, 1993, sections 2.4 and 2.6).
3. **Edges**: where neighbouring beams should meet two surfaces whose ranges differ by more than an outlier's least
   size, as many beams m report the other side as a Laplace distributed shift of the edge of scale s makes on average,
   m = 1 / (2 sinh(spacing / 2 s)); others report a range between both sides. Of those are seen the ones off either
   side by an outlier's least size, at a step J a share 1 - 2 least / J, beside edges that are not shifted by a beam, a
   share 1 - exp(-spacing / 2 s); away from edges as many outliers of that size are counted, and taken off.
4. **Runs of outliers**: what remains of the residuals beyond ``OUTLIER`` robust deviations. Short ones by the density
   of unmapped things per metre that gives the counted number, sum(1 - exp(-density * r)) = n; long ones by their share.
   The mean length L of runs of equal sign from that of the run that an outlier is in, 2 L - 1 if lengths are geometric,
   so that the long runs, which hold most outliers, come right. Sizes by L-moments of the Weibull distribution, shape =
   -ln 2 / ln(1 - l2 / l1) and scale = l1 / Gamma(1 + 1 / shape) (Hosking, *L-moments*, 1990), which keep the mean.
   Clutter from the covariance of being an outlier at two lags, as that of a chain of two states.
5. **Dropout**: by least squares, not below 0, on dropout + grazing_dropout * (1 - cos(incidence))^4.

Both variances of the core may grow with range: v(r) = a^2 + (g r)^2, by least squares, not below 0, over bins of range.

Intervals: refits on stretches of path drawn with replacement.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls
from scipy.special import gamma
from scipy.stats import chi2

from ...common.errors import InputError
from ...common.geometry import FloatArray
from ...common.seeding import generator
from ...robots.twin import TwinParameter
from ..fieldlog import IntArray
from ..metrics import CONFIDENCE, MIN_BLOCKS, block_indices
from .metrics import CORE, MAD_TO_SIGMA, robust_sigma

OUTLIER = 4.0
"""Residuals beyond so many robust deviations of the core are outliers."""
RANGE_BINS = 8
LEAST_BEAMS = 2000
"""Beams with a residual below which nothing is fitted."""
LEAST_RUNS = 30
"""Runs of outliers of one kind below which their sizes are not identifiable."""
REFITS = 40
MOST_SCANS = 400
"""Scans, evenly spread, that a fit uses."""
EDGE_BEAMS = 3
"""Beams on either side of an edge that may report its other side."""
LEAST_STILL = 0.2
"""Share of edges that are taken not to be shifted by a beam, at least."""
LEAST_LAG = 0.1
"""Least lag by which clutter is told [rad]."""
LARGEST_ANGLE = 0.6
"""Greatest lag of the variogram [rad]."""
MOST_STEPS = 0.7
ANGLE_GRID = np.geomspace(0.005, 3.0, 80)
"""Angles that are tried for the variogram [rad]."""
LINE_BEAMS = 8
"""Beams of the windows that local noise is told from."""
LEAST_WINDOWS = 40
LEAST_PAIRS = 200
INTERLACED = 0.9
"""A scanner interlaces if the variogram at lag 2 is below this share of that at lag 1."""
STEPS = (0.1, 0.05, 0.04, 0.025, 0.02, 0.01, 0.005, 0.004, 0.002, 0.001)
"""Steps of ranges that are looked for [m]."""

FIELDS: dict[str, str] = {
    "range_bias": "m",
    "range_noise": "m",
    "range_noise_growth": "1",
    "range_resolution": "m",
    "shared_noise": "m",
    "shared_noise_growth": "1",
    "shared_angle": "rad",
    "clutter_share": "1",
    "clutter_angle": "rad",
    "edge_shift": "rad",
    "edge_mixed": "1",
    "outlier_short": "1/m",
    "outlier_long": "1",
    "outlier_angle": "rad",
    "outlier_least": "m",
    "outlier_short_size": "1",
    "outlier_short_shape": "1",
    "outlier_long_size": "m",
    "outlier_long_shape": "1",
    "dropout": "1",
    "grazing_dropout": "1",
}
"""What is fitted, by the field of ``LidarConfig``, and its unit."""


@dataclass(frozen=True)
class NoiseSample:
    """Residuals that noise is fitted to, of one log.

    Attributes:
        error: (S, B) measured minus expected range [m]; NaN where the map says nothing or nothing came back.
        expected: (S, B) [m]; NaN where the map says nothing.
        empty: (S, B): where the map says something and nothing came back.
        surface: (S, B) int32 number of the surface that is expected, -1 for none.
        cosine: (S, B) of the incidence on the mapped surface, 0 to 1; 1 where it is not known.
        stretch: (S,) number of the stretch of path.
        spacing: angle between beams [rad].
        resolution: step of the sensor's ranges [m], 0 if none is seen.
    """

    error: FloatArray
    expected: FloatArray
    empty: NDArray[np.bool_]
    surface: NDArray[np.int32]
    cosine: FloatArray
    stretch: IntArray
    spacing: float
    resolution: float

    def take(self, scans: IntArray) -> NoiseSample:
        """Return scans by their numbers, which may repeat."""
        names = ("error", "expected", "empty", "surface", "cosine", "stretch")
        return replace(self, **{name: getattr(self, name)[scans] for name in names})


def range_step(ranges: NDArray[np.float32]) -> float:
    """Return the step in which a sensor reports ranges [m], 0 if none of ``STEPS`` is seen.

    The largest step of which most ranges are whole multiples, up to what single precision can hold: some sensors report
    a mean of two readings now and then, or round a second time.
    """
    values = ranges[np.isfinite(ranges)].astype(np.float64)
    values = values[: 200_000 : max(1, len(values) // 20_000)]
    for step in STEPS:
        off = np.abs(values / step - np.round(values / step)) * step
        if len(values) and np.mean(off < np.maximum(2e-4 * step, 2e-7 * values) + 1e-7) > MOST_STEPS:
            return step
    return 0.0


def fit_noise(samples: Sequence[NoiseSample], *, seed: int, own_map: bool = True) -> dict[str, TwinParameter]:
    """Fit the noise of one kind of sensor to the residuals of one or more logs.

    Args:
        samples: one for each log; the logs count by their number of beams.
        seed: of the draws of stretches.
        own_map: whether the map was made with the same sensor, so that a common bias does not show.

    Returns:
        By field of ``LidarConfig``. Intervals are None with fewer than four independent stretches.

    Raises:
        InputError: too few beams with a residual.
    """
    thinned = [_thinned(sample) for sample in samples]
    beams = sum(int(np.isfinite(sample.error).sum()) for sample in thinned)
    if beams < LEAST_BEAMS:
        raise InputError(
            f"only {beams} lidar beams can be held against the map ({LEAST_BEAMS} are needed)",
            where="lidar noise",
            mend="give a longer log, or a layout that covers where it was driven",
        )
    values, known = _estimate(thinned)
    drawn = _refits(thinned, seed)
    found = {}
    for name, unit in FIELDS.items():
        low, high = _bounds(drawn, name)
        if low is not None and high is not None:
            low, high = min(low, values[name]), max(high, values[name])
        found[name] = TwinParameter(
            value=values[name],
            ci_low=low,
            ci_high=high,
            identifiable=known[name] and low is not None and not (name == "range_bias" and own_map),
            unit=unit,
        )
    return found


def _bounds(drawn: list[dict[str, float]], name: str) -> tuple[float | None, float | None]:
    if not drawn:
        return None, None
    low, high = np.quantile([each[name] for each in drawn], [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def _thinned(sample: NoiseSample) -> NoiseSample:
    count = len(sample.stretch)
    return sample.take(np.unique(np.linspace(0, count - 1, min(count, MOST_SCANS)).astype(np.int64)))


def _refits(samples: list[NoiseSample], seed: int) -> list[dict[str, float]]:
    """Estimate again on stretches drawn with replacement; none with too few stretches."""
    groups = [np.unique(sample.stretch, return_inverse=True) for sample in samples]
    counts = [len(names) for names, _ in groups]
    block = max(1, int(np.ceil(sum(counts) ** (1.0 / 3.0))))
    if sum(counts) < MIN_BLOCKS * block:
        return []
    index = block_indices(counts, block, REFITS, generator(seed, "lidar.noise"))
    first = np.concatenate([[0], np.cumsum(counts)])
    found = []
    for row in index:
        drawn = []
        for k, (sample, (_, of_scan)) in enumerate(zip(samples, groups, strict=True)):
            chosen = row[first[k] : first[k + 1]] - first[k]
            scans = np.concatenate([np.flatnonzero(of_scan == group) for group in chosen])
            drawn.append(sample.take(scans))
        found.append(_estimate(drawn)[0])
    return found


def _estimate(samples: Sequence[NoiseSample]) -> tuple[dict[str, float], dict[str, bool]]:
    """Return the value of every field, and whether the residuals say something of it."""
    error = np.concatenate([sample.error.ravel() for sample in samples])
    core = error[np.abs(error) < CORE]
    bias = float(np.median(core))
    step = max(sample.resolution for sample in samples)
    least = OUTLIER * max(robust_sigma(core), 0.5 * step)
    inner = _core(samples, bias, least)
    variogram = _variogram(samples, inner)
    nugget = _line_variance(samples, inner, variogram.stride)
    if nugget is None:
        nugget = float(variogram.gamma[0]) if len(variogram.gamma) else variogram.sill
    nugget = min(nugget, variogram.sill)
    angle = shared_angle(variogram, nugget)
    local = _local(samples, inner, nugget, variogram.stride)
    shared = {**_shared(samples, inner, local), "shared_angle": angle}
    edges = [_at_edges(sample, least) for sample in samples]
    runs, identified = _runs(samples, [beside.plain for beside in edges], least)
    dropout, grazing = _dropout(samples)
    values = {
        "range_bias": bias,
        "range_noise": float(np.sqrt(max(local[0] - step**2 / 12.0, 0.0))),
        "range_noise_growth": float(np.sqrt(local[1])),
        "range_resolution": step,
        **shared,
        **_edges(edges, samples[0].spacing),
        "outlier_least": least,
        **runs,
        "dropout": dropout,
        "grazing_dropout": grazing,
    }
    known = dict.fromkeys(FIELDS, True) | identified
    known["shared_angle"] = shared["shared_noise"] + shared["shared_noise_growth"] > 0.0
    return values, known


def _core(samples: Sequence[NoiseSample], bias: float, least: float) -> list[FloatArray]:
    """Return the residuals (S, B) of each sample without bias, NaN outside the core."""
    return [np.where(np.abs(each.error - bias) < least, each.error - bias, np.nan) for each in samples]


def _local(
    samples: Sequence[NoiseSample], core: Sequence[FloatArray], nugget: float, stride: int
) -> tuple[float, float]:
    """Return a^2 and g^2 of the local variance a^2 + (g r)^2, the step's own q^2 / 12 included.

    How it grows with range follows from second differences of beams ``stride`` apart on one surface; its level is such
    that its mean is the ``nugget``.
    """
    second, ranges = [], []
    for sample, e in zip(samples, core, strict=True):
        difference = e[:, : -2 * stride] - 2.0 * e[:, stride:-stride] + e[:, 2 * stride :]
        same = sample.surface[:, : -2 * stride] == sample.surface[:, 2 * stride :]
        good = np.isfinite(difference) & same
        second.append(difference[good])
        ranges.append(sample.expected[:, stride:-stride][good])
    every = np.concatenate(ranges)
    base, growth = _growing(np.concatenate(second), every, lambda v: robust_sigma(v) ** 2)
    mean = base + growth * float(np.median(every**2)) if len(every) else 0.0
    return (nugget * base / mean, nugget * growth / mean) if mean > 0.0 else (nugget, 0.0)


@dataclass(frozen=True)
class Variogram:
    """Half the robust variance of differences of the core's residuals on one surface, by lag.

    Attributes:
        lags: (K,) [rad]. gamma: (K,) [m^2]. sill: robust variance of the core [m^2].
        stride: 2 for a scanner that interlaces two sweeps, whose beams agree better with the next but one; else 1.
    """

    lags: FloatArray
    gamma: FloatArray
    sill: float
    stride: int


def _variogram(samples: Sequence[NoiseSample], core: Sequence[FloatArray]) -> Variogram:
    pooled = np.concatenate([e[np.isfinite(e)] for e in core])
    sill = float(MAD_TO_SIGMA * np.median(np.abs(pooled))) ** 2 if len(pooled) else 0.0
    spacing = samples[0].spacing
    found: dict[int, float] = {}
    lag = 1
    while lag * spacing < LARGEST_ANGLE and lag < samples[0].error.shape[1] // 2:
        parts = []
        for sample, e in zip(samples, core, strict=True):
            same = sample.surface[:, lag:] == sample.surface[:, :-lag]
            difference = np.where(same, e[:, lag:] - e[:, :-lag], np.nan)
            parts.append(difference[np.isfinite(difference)])
        values = np.concatenate(parts)
        if len(values) > LEAST_PAIRS:
            found[lag] = 0.5 * float(MAD_TO_SIGMA * np.median(np.abs(values))) ** 2
        lag = lag + 1 if lag < 4 else 2 * int(0.75 * lag)
    stride = 2 if found.get(2, np.inf) < INTERLACED * found.get(1, 0.0) else 1
    kept = [k for k in found if k % stride == 0]
    return Variogram(np.array(kept) * spacing, np.array([found[k] for k in kept]), sill, stride)


def shared_angle(variogram: Variogram, nugget: float) -> float:
    """Fit gamma(lag) = nugget + (sill - nugget) (1 - (1 + a) exp(-a)), a = lag / angle, by relative least squares.

    Args:
        variogram: whose sill is given. nugget: [m^2].

    Returns:
        The angle of ``ANGLE_GRID`` that fits best [rad].
    """
    if not len(variogram.lags):
        return float(ANGLE_GRID[0])
    a = variogram.lags / ANGLE_GRID[:, None]
    model = nugget + max(variogram.sill - nugget, 0.0) * (1.0 - (1.0 + a) * np.exp(-a))
    loss = ((model / np.maximum(variogram.gamma, 1e-12) - 1.0) ** 2).sum(axis=1)
    return float(ANGLE_GRID[int(np.argmin(loss))])


def _line_variance(samples: Sequence[NoiseSample], core: Sequence[FloatArray], stride: int) -> float | None:
    """Return the local variance of a beam [m^2], the step's own included; None with too few windows.

    Windows of neighbouring residuals on one surface are fitted by a line; of the sums of squares left, which follow a
    chi-squared distribution of two degrees of freedom less than beams, the lower quartile is the least spoilt.
    """
    steps = stride * np.arange(LINE_BEAMS)
    design = np.column_stack([np.ones(LINE_BEAMS), np.linspace(-1.0, 1.0, LINE_BEAMS)])
    rest = np.eye(LINE_BEAMS) - design @ np.linalg.pinv(design)
    squares = []
    for sample, e in zip(samples, core, strict=True):
        begin = np.arange(0, e.shape[1] - steps[-1], steps[-1] + 1)
        window, surface = e[:, begin[:, None] + steps], sample.surface[:, begin[:, None] + steps]
        good = np.isfinite(window).all(axis=2) & (surface == surface[:, :, :1]).all(axis=2)
        squares.append(((window[good] @ rest) ** 2).sum(axis=1))
    every = np.concatenate(squares)
    if len(every) < LEAST_WINDOWS:
        return None
    return float(np.quantile(every, 0.25) / chi2(LINE_BEAMS - 2).ppf(0.25))


def _growing(values: FloatArray, ranges: FloatArray, variance: Callable[[FloatArray], float]) -> tuple[float, float]:
    """Return a^2 and g^2 of a variance a^2 + (g r)^2 over bins of range, not below 0."""
    if len(values) == 0:
        return 0.0, 0.0
    edges = np.quantile(ranges, np.linspace(0.0, 1.0, RANGE_BINS + 1))
    which = np.clip(np.searchsorted(edges, ranges, side="right") - 1, 0, RANGE_BINS - 1)
    rows, right = [], []
    for k in range(RANGE_BINS):
        inside = values[which == k]
        if len(inside) < 50:
            continue
        found = variance(inside)
        # A variance is known to within a share of itself: weigh by its inverse.
        weight = 1.0 / max(found, 1e-8)
        rows.append([weight, weight * float(np.mean(ranges[which == k] ** 2))])
        right.append(weight * found)
    if not rows:
        return 0.0, 0.0
    solution, _ = nnls(np.array(rows), np.array(right))
    return float(solution[0]), float(solution[1])


def _shared(samples: Sequence[NoiseSample], core: Sequence[FloatArray], local: tuple[float, float]) -> dict[str, float]:
    """Return the size of the shared error: what the core's variance has beyond the local one."""
    errors = np.concatenate([e.ravel() for e in core])
    ranges = np.concatenate([sample.expected.ravel() for sample in samples])
    good = np.isfinite(errors)
    whole = _growing(errors[good], ranges[good], lambda v: float(MAD_TO_SIGMA * np.median(np.abs(v))) ** 2)
    return {
        "shared_noise": float(np.sqrt(max(whole[0] - local[0], 0.0))),
        "shared_noise_growth": float(np.sqrt(max(whole[1] - local[1], 0.0))),
    }


@dataclass(frozen=True)
class _Edges:
    """Edges of the expected ranges of one log.

    Attributes:
        count: how many. seen: of how many a mixed beam would be told from either side, on average. swapped: beams that
        report the other side. mixed: beams that report a range between both. chance: how many of these would be there
        without any edge, by the outliers elsewhere. plain: (S, B): the other beams.
    """

    count: int
    seen: float
    swapped: int
    mixed: int
    chance: float
    plain: NDArray[np.bool_]


def _at_edges(sample: NoiseSample, least: float) -> _Edges:
    """Sort the outliers near edges by what they report."""
    expected, surface = sample.expected, sample.surface
    measured = expected + sample.error
    out = np.abs(sample.error) > least
    swapped = np.zeros(out.shape, np.bool_)
    low, high = expected.copy(), expected.copy()
    for k in range(1, EDGE_BEAMS + 1):
        for mine, other in ((np.s_[:, k:], np.s_[:, :-k]), (np.s_[:, :-k], np.s_[:, k:])):
            apart = (np.abs(expected[mine] - expected[other]) > least) & (surface[mine] != surface[other])
            swapped[mine] |= out[mine] & apart & (np.abs(measured[mine] - expected[other]) < least)
            if k == 1:
                beyond = np.where(apart, expected[other], np.nan)
                low[mine], high[mine] = np.fmin(low[mine], beyond), np.fmax(high[mine], beyond)
    mixed = out & ~swapped & (measured > low) & (measured < high)
    steps = np.abs(np.diff(expected, axis=1))
    steps = steps[(steps > least) & (surface[:, 1:] != surface[:, :-1])]
    seen = float(np.maximum(1.0 - 2.0 * least / steps, 0.0).sum())
    chance = _between_by_chance(sample, low - expected, high - expected, least)
    return _Edges(len(steps), seen, int(swapped.sum()), int(mixed.sum()), chance, ~swapped & ~mixed)


def _between_by_chance(sample: NoiseSample, low: FloatArray, high: FloatArray, least: float) -> float:
    """Return how many outliers beside edges lie between both sides for no reason of the edge.

    Beams beside an edge have errors between ``low`` and ``high`` (S, B) [m] with the chance of beams away from edges.
    """
    near = (low < -least) | (high > least)
    wide = near.copy()
    for k in range(1, EDGE_BEAMS + 1):
        wide[:, k:] |= near[:, :-k]
        wide[:, :-k] |= near[:, k:]
    away = np.sort(sample.error[~wide & np.isfinite(sample.error)])
    here = near & np.isfinite(sample.error)
    if len(away) == 0:
        return 0.0
    above = np.searchsorted(away, np.maximum(high[here] - least, least)) - np.searchsorted(away, least, side="right")
    below = np.searchsorted(away, -least) - np.searchsorted(away, np.minimum(low[here] + least, -least), side="right")
    return float(np.maximum(above, 0).sum() + np.maximum(below, 0).sum()) / len(away)


def _edges(found: Sequence[_Edges], spacing: float) -> dict[str, float]:
    """Return the fields of edges."""
    count = sum(each.count for each in found)
    swapped, mixed = sum(each.swapped for each in found), float(sum(each.mixed for each in found))
    if count == 0:
        return {"edge_shift": 0.0, "edge_mixed": 0.0}
    shift = 0.0 if swapped == 0 else spacing / (2.0 * np.arcsinh(0.5 * count / swapped))
    still = 1.0 if shift == 0.0 else -np.expm1(-spacing / (2.0 * shift))
    seen = sum(each.seen for each in found) * max(float(still), LEAST_STILL)
    mixed = max(mixed - sum(each.chance for each in found), 0.0)
    return {"edge_shift": min(float(shift), 0.2), "edge_mixed": min(mixed / seen, 1.0) if seen > 0.0 else 0.0}


def _runs(
    samples: Sequence[NoiseSample], plain: Sequence[NDArray[np.bool_]], least: float
) -> tuple[dict[str, float], dict[str, bool]]:
    """Return the fields of runs of outliers among the ``plain`` beams of each sample, and which of them are known."""
    error = np.concatenate(
        [np.where(part, each.error, np.nan).ravel() for each, part in zip(samples, plain, strict=True)]
    )
    expected = np.concatenate([sample.expected.ravel() for sample in samples])
    seen = np.isfinite(error)
    short, long = seen & (error < -least), seen & (error > least)
    r = expected[short]
    relative = -np.log(np.maximum((r + error[short]) / r, 1e-3)) - least / r
    spacing = samples[0].spacing
    count, length = _run_length(samples, plain, least)
    share, width = _clutter(samples, plain, least, length)
    short_size, short_shape = weibull_by_l_moments(np.maximum(relative, 0.0))
    long_size, long_shape = weibull_by_l_moments(error[long] - least)
    values = {
        "outlier_short": density_of_outliers(expected[seen], int(short.sum())),
        "outlier_long": min(float(long.sum() / max(seen.sum(), 1)), 0.5),
        "clutter_share": share,
        "clutter_angle": width * spacing,
        "outlier_angle": length * spacing,
        "outlier_short_size": short_size,
        "outlier_short_shape": short_shape,
        "outlier_long_size": long_size,
        "outlier_long_shape": long_shape,
    }
    enough = {"short": short.sum() / length >= LEAST_RUNS, "long": long.sum() / length >= LEAST_RUNS}
    known = {f"outlier_{kind}_{what}": bool(enough[kind]) for kind in enough for what in ("size", "shape")}
    known["outlier_angle"] = bool(count >= LEAST_RUNS)
    known["clutter_share"] = known["clutter_angle"] = known["outlier_angle"] and share > 0.0
    return values, known


def _run_length(samples: Sequence[NoiseSample], plain: Sequence[NDArray[np.bool_]], least: float) -> tuple[int, float]:
    """Return the number of runs of outliers of one sign, and the mean length [beams] of geometric ones like them."""
    lengths = []
    for sample, part in zip(samples, plain, strict=True):
        sign = np.where(part & (np.abs(sample.error) > least), np.sign(np.nan_to_num(sample.error)), 0.0)
        begun = np.concatenate([sign[:, :1] != 0, (sign[:, 1:] != 0) & (sign[:, 1:] != sign[:, :-1])], axis=1)
        number = np.cumsum(begun.ravel())
        lengths.append(np.bincount(number[sign.ravel() != 0], minlength=1)[1:])
    every = np.concatenate(lengths).astype(np.float64)
    if len(every) == 0:
        return 0, 1.0
    return len(every), 0.5 * (float(every @ every / every.sum()) + 1.0)


def _clutter(
    samples: Sequence[NoiseSample], plain: Sequence[NDArray[np.bool_]], least: float, length: float
) -> tuple[float, float]:
    """Return the share of cluttered sectors and their mean width [beams]; (0, 1) where outliers are spread evenly.

    Beyond the length of a run, being an outlier (p: its chance) has the covariance p^2 (1 - c) / c exp(-lag / t) with
    t = (1 - c) width, c the share.
    """
    near = int(np.ceil(max(3.0 * length, LEAST_LAG / samples[0].spacing)))
    lags = (near, 3 * near)
    sums, pairs, outliers, beams = np.zeros(2), np.zeros(2), 0, 0
    for sample, part in zip(samples, plain, strict=True):
        known = part & np.isfinite(sample.error)
        out = known & (np.abs(sample.error) > least)
        outliers, beams = outliers + int(out.sum()), beams + int(known.sum())
        for k, lag in enumerate(lags):
            if lag < out.shape[1]:
                sums[k] += (out[:, lag:] & out[:, :-lag]).sum()
                pairs[k] += (known[:, lag:] & known[:, :-lag]).sum()
    if outliers == 0 or not pairs.all():
        return 0.0, 1.0
    excess = sums / pairs / (outliers / beams) ** 2 - 1.0
    if not excess[0] > excess[1] > 0.0:
        return 0.0, 1.0
    forgotten = (lags[1] - lags[0]) / float(np.log(excess[0] / excess[1]))
    odds = float(excess[0]) * float(np.exp(lags[0] / forgotten))
    share = float(np.clip(1.0 / (1.0 + odds), 0.05, 0.95))
    return share, max(forgotten / (1.0 - share), 1.0)


def weibull_by_l_moments(values: FloatArray) -> tuple[float, float]:
    """Return scale and shape of the Weibull distribution with the first two L-moments of values (N,) >= 0.

    l1 is the mean, l2 half the mean difference of two values. The shape is kept within 0.2 and 5.
    """
    if len(values) < 2 or not values.max() > 0.0:
        return 0.0, 1.0
    ordered = np.sort(values)
    first = ordered.mean()
    second = 2.0 * (np.arange(len(ordered)) / (len(ordered) - 1.0)) @ ordered / len(ordered) - first
    shape = float(np.clip(-np.log(2.0) / np.log1p(-min(second / first, 1.0 - 1e-9)), 0.2, 5.0))
    return float(first / gamma(1.0 + 1.0 / shape)), shape


def density_of_outliers(ranges: FloatArray, count: int) -> float:
    """Return the density d [1/m] at which sum(1 - exp(-d r)) over beams of expected ranges r (N,) equals ``count``."""
    if count == 0 or len(ranges) == 0:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = 0.5 * (low + high)
        enough = float(-np.expm1(-middle * ranges).sum()) >= count
        low, high = (low, middle) if enough else (middle, high)
    return high


def _dropout(samples: Sequence[NoiseSample]) -> tuple[float, float]:
    """Return the chance of dropout head on, and what is added at grazing incidence."""
    away = np.concatenate([(1.0 - sample.cosine[np.isfinite(sample.expected)]) ** 4 for sample in samples])
    lost = np.concatenate([sample.empty[np.isfinite(sample.expected)] for sample in samples]).astype(np.float64)
    if len(lost) == 0:
        return 0.0, 0.0
    design = np.array([[float(len(lost)), away.sum()], [away.sum(), away @ away]])
    # The normal equations of a regression on one column and a constant, as their Cholesky factor.
    design += np.diag([1e-9, 1e-9])
    factor = np.linalg.cholesky(design)
    solution, _ = nnls(factor.T, np.linalg.solve(factor, np.array([lost.sum(), away @ lost])))
    return min(float(solution[0]), 1.0), min(float(solution[1]), 1.0)
