"""How far simulated scans are from real ones at the same poses: bias, spread, dropout, W1 and chamfer distance.

Residuals are ranges minus what the map lets expect, e = r - r_expected, of the beams for which the map says something.
``CORE`` parts them: nearer ones are the sensor, the pose and the map; farther ones are things that the map lacks, or
that have moved.

- ``lidar_bias``, ``lidar_sigma``: median and 1.4826 times the median absolute deviation of the real core.
  ``lidar_sigma_sim``: the same of the simulated core, which a noise model should bring up to the real one.
- ``lidar_w1_core``, ``lidar_w1_all``: Wasserstein-1 distance between the pooled real and the pooled simulated
  residuals, W1 = integral |F - G| (Vallender 1974), of the core and of all beams that came back. Blind to beams that
  did not.
- ``lidar_dropout_diff``: share of beams that come back empty, simulated minus real [points].
- ``lidar_dcd``: density-aware chamfer distance between the points of a real and of a simulated scan, averaged over
  scans (Wu et al., *Density-aware Chamfer Distance as a Comprehensive Metric for Point Cloud Completion*, NeurIPS 2021,
  equation 5): 0 for equal sets, at most 1.
- ``lidar_inliers``: share of real returns in the core. ``lidar_coverage``: share of real returns for which the map says
  something.

Intervals: a moving-block bootstrap over stretches of the path (``gap.metrics``), never over beams, which see the same
walls. Floors: the real scans of every other stretch against those of the rest; of ``lidar_sigma`` the sensor's local
noise; of ``lidar_dcd`` a real scan against the next one, moved by the poses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...common.geometry import FloatArray, relative
from ...common.kernels import compiled
from ...common.seeding import generator
from ..fieldlog import IntArray
from ..metrics import CONFIDENCE, MIN_BLOCKS, Metric, block_indices

CORE = 0.5
"""Residuals nearer to zero than this are the core [m]."""
MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""
DCD_SCALE = 10.0
"""Of the chamfer distance [1/m]: points 0.1 m apart count as 1 - 1/e apart."""
DCD_SCANS = 400
"""Scans, evenly spread, whose chamfer distance is taken."""
_BINS = 2000
_NEAR_STEP, _NEAR_TURN = 0.25, 0.2

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ScanPairs:
    """Real scans, what the map lets expect at their poses, and what a simulator measures there.

    Attributes:
        angles: (B,) direction of each beam in the laser's frame [rad].
        expected: (S, B) true ranges of the map [m]; inf or NaN where it says nothing.
        real: (S, B) measured [m]; not finite where nothing came back.
        simulated: (S, B) likewise; ``expected`` itself for a lidar without noise.
        stretch: (S,) number of the stretch of path that a scan belongs to, in order of time.
        poses: (S, 3) of the laser [m, m, rad].
    """

    angles: FloatArray
    expected: FloatArray
    real: FloatArray
    simulated: FloatArray
    stretch: IntArray
    poses: FloatArray

    def __len__(self) -> int:
        return len(self.stretch)

    @property
    def known(self) -> Mask:
        """(S, B): where the map says something."""
        return np.isfinite(self.expected)

    def where(self, scans: Mask) -> ScanPairs:
        """Return the scans of a mask (S,)."""
        parts = {name: getattr(self, name)[scans] for name in ("expected", "real", "simulated", "stretch", "poses")}
        return replace(self, **parts)

    def halves(self) -> tuple[Mask, Mask]:
        """Return two masks (S,): scans of every other stretch, and the rest."""
        order = np.unique(self.stretch, return_inverse=True)[1]
        return order % 2 == 0, order % 2 == 1


@dataclass(frozen=True)
class Pool:
    """Values of beams by stretch, as counts in fine bins, so that resampling stretches is a matrix product.

    Attributes:
        centers: (K,) middle of each bin. edges: (K + 1,).
        counts: (G, K) by stretch.
    """

    edges: FloatArray
    counts: FloatArray

    @property
    def centers(self) -> FloatArray:
        """(K,) middle of each bin."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])


def residuals(ranges: ArrayLike, expected: ArrayLike) -> FloatArray:
    """Return ranges minus expected ones, NaN where either is not finite; any shape."""
    a, b = np.asarray(ranges, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    both = np.isfinite(a) & np.isfinite(b)
    return np.subtract(a, b, out=np.full(np.broadcast(a, b).shape, np.nan), where=both)


def core_of(values: FloatArray) -> FloatArray:
    """Return the residuals of the core, as one row."""
    return values[np.abs(values) < CORE]


def robust_sigma(values: FloatArray) -> float:
    """Return 1.4826 times the median absolute deviation of values."""
    return float(MAD_TO_SIGMA * np.median(np.abs(values - np.median(values)))) if values.size else float("nan")


def wasserstein(a: FloatArray, b: FloatArray) -> float:
    """Return the Wasserstein-1 distance between two samples of any size: the area between their distribution functions.

    NaN if one is empty.
    """
    if a.size == 0 or b.size == 0:
        return float("nan")
    a, b = np.sort(a.ravel()), np.sort(b.ravel())
    every = np.sort(np.concatenate([a, b]))
    at = every[:-1]
    gap = np.searchsorted(a, at, side="right") / a.size - np.searchsorted(b, at, side="right") / b.size
    return float(np.abs(gap) @ np.diff(every))


@compiled
def density_aware_chamfer(
    first: FloatArray, second: FloatArray, begin: IntArray, middle: IntArray, scale: float
) -> FloatArray:
    """Return the density-aware chamfer distance of K pairs of sets of points (Wu et al. 2021, equation 5).

    d = 1/2 (1/|X| sum_x (1 - exp(-scale |x - y(x)|) / n_y(x)) + the same from Y to X), where y(x) is the point of Y
    nearest to x (the first of several) and n_y counts the x that have chosen it.

    Args:
        first: (N, 2) points of all sets X [m]; set k begins at begin[k], the last one ends at begin[K].
        second: (M, 2), begin of sets ``middle``.
        begin, middle: (K + 1,) int64.
        scale: [1/m].

    Returns:
        (K,) from 0 to 1; NaN where a set is empty.
    """
    count = begin.size - 1
    out = np.empty(count)
    for k in range(count):
        a, b = first[begin[k] : begin[k + 1]], second[middle[k] : middle[k + 1]]
        n, m = a.shape[0], b.shape[0]
        if n == 0 or m == 0:
            out[k] = np.nan
            continue
        near_a, near_b = np.full(n, np.inf), np.full(m, np.inf)
        pick_a, pick_b = np.zeros(n, np.int64), np.zeros(m, np.int64)
        for i in range(n):
            for j in range(m):
                x, y = a[i, 0] - b[j, 0], a[i, 1] - b[j, 1]
                d = x * x + y * y
                if d < near_a[i]:
                    near_a[i], pick_a[i] = d, j
                if d < near_b[j]:
                    near_b[j], pick_b[j] = d, i
        chosen_b, chosen_a = np.bincount(pick_a, minlength=m), np.bincount(pick_b, minlength=n)
        total_a, total_b = 0.0, 0.0
        for i in range(n):
            total_a += 1.0 - np.exp(-scale * np.sqrt(near_a[i])) / chosen_b[pick_a[i]]
        for j in range(m):
            total_b += 1.0 - np.exp(-scale * np.sqrt(near_b[j])) / chosen_a[pick_b[j]]
        out[k] = 0.5 * (total_a / n + total_b / m)
    return out


def scan_metrics(
    pairs: ScanPairs, robot: str, *, local_noise: float | None, seed: int, resamples: int = 400
) -> list[Metric]:
    """Return the metrics of this module but C2ST; see its head.

    Args:
        pairs: scans of the half that the map was not made of.
        robot: name in the metrics.
        local_noise: standard deviation of the sensor's own noise [m], the floor of ``lidar_sigma``; None if unknown.
        seed: of the bootstrap.
        resamples: of the bootstrap.
    """
    real, simulated = residuals(pairs.real, pairs.expected), residuals(pairs.simulated, pairs.expected)
    draw = _Bootstrap(pairs.stretch, seed, robot, resamples)
    halves = [real[mask] for mask in pairs.halves()]
    known, back = pairs.known, np.isfinite(pairs.real)
    core = np.linspace(-CORE, CORE, _BINS + 1)
    every = _edges(real, simulated)
    floors = _floors(pairs, halves)
    own, other = draw.pool(real, core), draw.pool(simulated, core)
    own_all, other_all = draw.pool(real, every), draw.pool(simulated, every)
    width, width_all = np.diff(own.centers), np.diff(own_all.centers)
    inside = np.abs(np.where(np.isnan(real), np.inf, real)) < CORE
    met = known & back
    empty = [known & ~np.isfinite(ranges) for ranges in (pairs.simulated, pairs.real)]
    chamfer, near = _chamfer(pairs)
    n = int(np.isfinite(real).sum())

    def row(name: str, value: float, drawn: FloatArray | None, unit: str, floor: float | None = None) -> Metric:
        bounds = draw.bounds(drawn)
        ratio = value / floor if floor else None
        return Metric(name, robot, None, value, bounds[0], bounds[1], n, floor, ratio, unit)

    return [
        row("lidar_bias", float(np.median(core_of(real))), _quantile(draw.sums(own), own, 0.5), "m", floors["bias"]),
        row("lidar_sigma", robust_sigma(core_of(real)), _sigma(draw, real), "m", local_noise),
        row("lidar_sigma_sim", robust_sigma(core_of(simulated)), _sigma(draw, simulated), "m", local_noise),
        row(
            "lidar_w1_core",
            wasserstein(core_of(real), core_of(simulated)),
            _distance(draw.sums(own), draw.sums(other), width),
            "m",
            floors["core"],
        ),
        row(
            "lidar_w1_all",
            wasserstein(real[np.isfinite(real)], simulated[np.isfinite(simulated)]),
            _distance(draw.sums(own_all), draw.sums(other_all), width_all),
            "m",
            floors["all"],
        ),
        row(
            "lidar_dropout_diff",
            100.0 * float((empty[0].sum() - empty[1].sum()) / known.sum()),
            100.0 * draw.ratio(empty[0].sum(axis=1) - empty[1].sum(axis=1), known.sum(axis=1)),
            "points",
            floors["dropout"],
        ),
        row(
            "lidar_inliers",
            float(inside.sum() / met.sum()),
            draw.ratio(inside.sum(axis=1), met.sum(axis=1)),
            "1",
        ),
        row(
            "lidar_coverage",
            float(met.sum() / back.sum()),
            draw.ratio(met.sum(axis=1), back.sum(axis=1)),
            "1",
        ),
        row(
            "lidar_dcd",
            float(np.nanmean(chamfer)),
            draw.ratio(np.nan_to_num(chamfer), np.isfinite(chamfer)),
            "1",
            float(np.nanmean(near)) if np.isfinite(near).any() else None,
        ),
    ]


class _Bootstrap:
    """Resampled weights of stretches."""

    def __init__(self, stretch: IntArray, seed: int, robot: str, resamples: int) -> None:
        names, self._of_scan = np.unique(stretch, return_inverse=True)
        self.groups = len(names)
        block = max(1, int(np.ceil(self.groups ** (1.0 / 3.0))))
        self._few = self.groups < MIN_BLOCKS * block
        index = block_indices([self.groups], block, resamples, generator(seed, "lidar.bootstrap", robot))
        flat = (index + np.arange(resamples)[:, None] * self.groups).ravel()
        weight = np.bincount(flat, minlength=resamples * self.groups)
        self._weight: FloatArray = weight.reshape(resamples, self.groups).astype(np.float64)

    def pool(self, values: FloatArray, edges: FloatArray) -> Pool:
        """Count values (S, B) by stretch and bin; NaN and values outside are left out."""
        inside = (values >= edges[0]) & (values <= edges[-1])
        bins = np.minimum(np.searchsorted(edges, values[inside], side="right") - 1, len(edges) - 2)
        group = np.broadcast_to(self._of_scan[:, None], values.shape)[inside]
        size = len(edges) - 1
        counts = np.bincount(group * size + bins, minlength=self.groups * size)
        return Pool(edges, counts.reshape(self.groups, size).astype(np.float64))

    def sums(self, pool: Pool) -> FloatArray:
        """Return resampled counts (R, K)."""
        result: FloatArray = self._weight @ pool.counts
        return result

    def ratio(self, above: ArrayLike, below: ArrayLike) -> FloatArray:
        """Return resampled ratios (R,) of sums over scans, each given by scan (S,)."""
        sums = [
            self._weight @ np.bincount(self._of_scan, weights=np.asarray(part, dtype=np.float64))
            for part in (above, below)
        ]
        result: FloatArray = sums[0] / np.where(sums[1] > 0, sums[1], np.nan)
        return result

    def bounds(self, drawn: FloatArray | None) -> tuple[float, float] | tuple[None, None]:
        """Return the 95 % percentile interval, or none with too few stretches."""
        if drawn is None or self._few or not np.isfinite(drawn).all():
            return None, None
        low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        return float(low), float(high)


def _edges(real: FloatArray, simulated: FloatArray) -> FloatArray:
    """Return bins that hold about equally many of both."""
    both = np.concatenate([real[np.isfinite(real)], simulated[np.isfinite(simulated)]])
    cuts = np.unique(np.quantile(both, np.linspace(0.0, 1.0, _BINS + 1)))
    return cuts if len(cuts) > 1 else np.array([cuts[0] - 1e-6, cuts[0] + 1e-6])


def _quantile(counts: FloatArray, pool: Pool, share: float) -> FloatArray:
    """Return a quantile (R,) of counts (R, K), interpolated within its bin."""
    total = np.cumsum(counts, axis=1)
    wanted = share * total[:, -1:]
    at = np.minimum((total < wanted).sum(axis=1), counts.shape[1] - 1)
    rows = np.arange(len(counts))
    before = total[rows, at] - counts[rows, at]
    within = (wanted[:, 0] - before) / np.maximum(counts[rows, at], 1e-300)
    result: FloatArray = pool.edges[at] + np.clip(within, 0.0, 1.0) * np.diff(pool.edges)[at]
    return result


def _sigma(draw: _Bootstrap, values: FloatArray) -> FloatArray:
    """Return resampled 1.4826 MAD (R,) of the core of residuals (S, B), around the median of all of them."""
    core = np.where(np.abs(values) < CORE, values, np.nan)
    spread = draw.pool(np.abs(core - np.nanmedian(core)), np.linspace(0.0, CORE, _BINS + 1))
    return MAD_TO_SIGMA * _quantile(draw.sums(spread), spread, 0.5)


def _distance(a: FloatArray, b: FloatArray, width: FloatArray) -> FloatArray:
    """Return Wasserstein-1 distances (R,) of counts (R, K) in bins whose middles are ``width`` (K - 1,) apart."""
    gap = np.cumsum(a, axis=1) / a.sum(axis=1, keepdims=True) - np.cumsum(b, axis=1) / b.sum(axis=1, keepdims=True)
    result: FloatArray = np.abs(gap[:, :-1]) @ width
    return result


def _floors(pairs: ScanPairs, halves: list[FloatArray]) -> dict[str, float | None]:
    """Compare the real residuals of two halves of the stretches."""
    if any(not np.isfinite(half).any() for half in halves):
        return dict.fromkeys(("bias", "core", "all", "dropout"))
    cores, whole = [core_of(half) for half in halves], [half[np.isfinite(half)] for half in halves]
    empty = []
    for mask in pairs.halves():
        known = pairs.known[mask]
        empty.append(float((known & ~np.isfinite(pairs.real[mask])).sum() / known.sum()))
    return {
        "bias": float(abs(np.median(cores[0]) - np.median(cores[1]))),
        "core": wasserstein(cores[0], cores[1]),
        "all": wasserstein(whole[0], whole[1]),
        "dropout": 100.0 * abs(empty[0] - empty[1]),
    }


def _chamfer(pairs: ScanPairs) -> tuple[FloatArray, FloatArray]:
    """Return the chamfer distance (S,) of real to simulated scans, and of real scans to the next; NaN if not taken."""
    count = len(pairs)
    picked = np.unique(np.linspace(0, count - 1, min(count, DCD_SCANS)).astype(np.int64))
    known = np.where(pairs.known, pairs.real, np.nan)
    real, begin = _points(known[picked], pairs.angles)
    simulated, middle = _points(pairs.simulated[picked], pairs.angles)
    out, near = np.full(count, np.nan), np.full(count, np.nan)
    out[picked] = density_aware_chamfer(real, simulated, begin, middle, DCD_SCALE)
    following = picked[picked + 1 < count]
    step = relative(pairs.poses[following], pairs.poses[following + 1])
    close = (np.hypot(step[:, 0], step[:, 1]) < _NEAR_STEP) & (np.abs(step[:, 2]) < _NEAR_TURN)
    close &= pairs.stretch[following] == pairs.stretch[following + 1]
    following, step = following[close], step[close]
    if len(following):
        first, begin = _points(known[following], pairs.angles)
        second, middle = _points(known[following + 1], pairs.angles)
        move = np.repeat(step, np.diff(middle), axis=0)
        cos, sin = np.cos(move[:, 2]), np.sin(move[:, 2])
        moved = np.stack(
            [
                move[:, 0] + cos * second[:, 0] - sin * second[:, 1],
                move[:, 1] + sin * second[:, 0] + cos * second[:, 1],
            ],
            axis=1,
        )
        near[following] = density_aware_chamfer(first, moved, begin, middle, DCD_SCALE)
    return out, near


def _points(ranges: FloatArray, angles: FloatArray) -> tuple[FloatArray, IntArray]:
    """Return the points (N, 2) of scans (K, B) in their own frames, and where each scan begins (K + 1,)."""
    back = np.isfinite(ranges)
    direction = np.broadcast_to(angles, ranges.shape)[back]
    points = ranges[back][:, None] * np.stack([np.cos(direction), np.sin(direction)], axis=1)
    return points, np.concatenate([[0], np.cumsum(back.sum(axis=1))]).astype(np.int64)
