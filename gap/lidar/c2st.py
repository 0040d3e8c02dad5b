"""Can real scans be told from simulated ones? A classifier two-sample test on short stretches of neighbouring beams.

A classifier is trained to tell the two sets apart and judged on scans of stretches of path that it has not seen; its
accuracy is 0.5 if it cannot, 1 if it always can (Lopez-Paz and Oquab, *Revisiting Classifier Two-Sample Tests*, ICLR
2017). It sees windows of ``WINDOW`` neighbouring returns of one scan and knows neither the map nor the pose: how rough
they are, at which scale, how errors of neighbours hang together, how often the range jumps, how ranges are quantised.

What it cannot see: a range scale (windows of a 3 % larger building look the same), a bias, beams that do not come back
(windows are made of those that do). It is no measure by itself: read it beside ``lidar_w1_*`` and
``lidar_dropout_diff``.

The classifier is a gradient-boosted forest of small trees for the logistic loss with shrinkage and second-order leaves
(Friedman, *Greedy Function Approximation*, 2001; Chen and Guestrin, *XGBoost*, 2016), on features cut into 16 equally
full bins: deterministic, and about as fast as one pass of sorting.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...common.geometry import FloatArray
from ...common.kernels import compiled
from ...common.seeding import generator
from ..fieldlog import IntArray
from ..metrics import CONFIDENCE, MIN_BLOCKS, block_indices

WINDOW = 12
"""Neighbouring returns in a window."""
STEP_SCALE = 0.1
"""Share of the range by which neighbours must differ to count as a jump."""
FOLDS = 5
MAX_WINDOWS = 6000
"""Windows of each set that are used, drawn at random if there are more."""
BINS = 16
DEPTH = 3
TREES = 60
SHRINKAGE = 0.15
MIN_LEAF = 40.0
"""Least windows in a leaf: it cannot learn single ones by heart."""
RIDGE = 5.0


@dataclass(frozen=True)
class TwoSample:
    """Outcome of the test.

    Attributes:
        accuracy: share of held-out windows told right, the mean of both sets' shares.
        ci_low, ci_high: 95 % interval over stretches; None with too few.
        n: windows judged.
        importance: what share of the classifier's gain each feature has, by name.
    """

    accuracy: float
    ci_low: float | None
    ci_high: float | None
    n: int
    importance: dict[str, float]


FEATURES = (
    "range",
    "second_difference_25",
    "second_difference_50",
    "second_difference_75",
    "second_difference_max",
    "third_difference_50",
    "third_difference_max",
    "neighbour_correlation",
    "equal_neighbours",
    "sign_changes",
    "jumps",
    "line_rms",
    "line_max",
    "line_correlation",
)
"""What the classifier sees of a window, in order."""


@compiled
def window_features(ranges: FloatArray, angles: FloatArray, window: int, scale: float, out: FloatArray) -> IntArray:
    """Write the features of windows of neighbouring returns.

    Windows do not overlap and begin anew at each scan; beams that did not come back are left out. Angles between
    returns are taken as they are, so that a window across a lost beam stays a window.

    Args:
        ranges: (S, B) [m], not finite where nothing came back. angles: (B,) [rad].
        window: returns in a window. scale: share of the range that counts as a jump.
        out: (>= S * (B // window), 14), written; see ``FEATURES``.

    Returns:
        (N,) scan of each window.
    """
    scans, beams = ranges.shape
    scan = np.empty(out.shape[0], np.int64)
    r, x, y = np.empty(window), np.empty(window), np.empty(window)
    d2, d3, line = np.empty(window - 2), np.empty(window - 3), np.empty(window)
    n = 0
    for s in range(scans):
        filled = 0
        for b in range(beams):
            if not np.isfinite(ranges[s, b]):
                continue
            r[filled] = ranges[s, b]
            x[filled], y[filled] = r[filled] * np.cos(angles[b]), r[filled] * np.sin(angles[b])
            filled += 1
            if filled < window:
                continue
            filled = 0
            write_features(r, x, y, d2, d3, line, scale, out[n])
            scan[n] = s
            n += 1
    return scan[:n]


@compiled
def write_features(
    r: FloatArray,
    x: FloatArray,
    y: FloatArray,
    d2: FloatArray,
    d3: FloatArray,
    line: FloatArray,
    scale: float,
    out: FloatArray,
) -> None:
    """Write the features (14,) of one window: ranges ``r`` and points ``x``, ``y`` (W,); the others are scratch."""
    w = r.size
    jumps, equal, product, square = 0.0, 0.0, 0.0, 0.0
    for i in range(w - 1):
        step = abs(r[i + 1] - r[i])
        jumps += 1.0 if step > scale * min(r[i], r[i + 1]) else 0.0
        equal += 1.0 if step < 1e-6 else 0.0
    for i in range(w - 2):
        d2[i] = r[i] - 2.0 * r[i + 1] + r[i + 2]
    for i in range(w - 3):
        d3[i] = d2[i + 1] - d2[i]
        product += d2[i] * d2[i + 1]
    for i in range(w - 2):
        square += d2[i] * d2[i]
    a2, a3 = np.sort(np.abs(d2)), np.sort(np.abs(d3))
    # The line through the points with the least squared distance from it.
    mx, my = x.mean(), y.mean()
    xx, xy, yy = 0.0, 0.0, 0.0
    for i in range(w):
        xx += (x[i] - mx) * (x[i] - mx)
        xy += (x[i] - mx) * (y[i] - my)
        yy += (y[i] - my) * (y[i] - my)
    turn = 0.5 * np.arctan2(2.0 * xy, xx - yy)
    nx, ny = -np.sin(turn), np.cos(turn)
    rms, most, changes, along = 0.0, 0.0, 0.0, 0.0
    for i in range(w):
        line[i] = nx * (x[i] - mx) + ny * (y[i] - my)
        rms += line[i] * line[i]
        most = max(most, abs(line[i]))
        if i > 0:
            changes += 1.0 if line[i] * line[i - 1] < 0.0 else 0.0
            along += line[i] * line[i - 1]
    out[0] = r.mean()
    out[1], out[2], out[3] = a2[(w - 2) // 4], a2[(w - 2) // 2], a2[3 * (w - 2) // 4]
    out[4], out[5], out[6] = a2[w - 3], a3[(w - 3) // 2], a3[w - 4]
    out[7], out[8], out[9] = product / max(square, 1e-12), equal, changes
    out[10], out[11], out[12] = jumps, np.sqrt(rms / w), most
    out[13] = along / max(rms, 1e-12)


@compiled
def grow_forest(
    bins: IntArray,
    target: FloatArray,
    weight: FloatArray,
    trees: int,
    depth: int,
    size: int,
    shrinkage: float,
    ridge: float,
    least: float,
    gain: FloatArray,
) -> tuple[IntArray, IntArray, FloatArray]:
    """Fit boosted trees to the logistic loss.

    Args:
        bins: (N, F) int64, 0 to size - 1. target: (N,) 0 or 1. weight: (N,).
        trees, depth, size, shrinkage, ridge, least: how many, how deep, bins of a feature, step, squared penalty of a
            leaf, least weight of a leaf.
        gain: (F,), the gain of each feature's splits is added.

    Returns:
        Feature (-1: no split) and last bin that goes left, (trees, 2^depth - 1) each, and leaf values (trees, 2^depth).
    """
    count, features = bins.shape
    inner = 2**depth - 1
    feature, cut = np.full((trees, inner), -1, np.int64), np.zeros((trees, inner), np.int64)
    leaf = np.zeros((trees, inner + 1))
    score, node = np.zeros(count), np.zeros(count, np.int64)
    g, h = np.empty(count), np.empty(count)
    for t in range(trees):
        for i in range(count):
            p = 1.0 / (1.0 + np.exp(-score[i]))
            g[i], h[i], node[i] = weight[i] * (p - target[i]), weight[i] * max(p * (1.0 - p), 1e-6), 0
        for level in range(depth):
            first, nodes = 2**level - 1, 2**level
            sums = np.zeros((nodes, features, size, 3))
            for i in range(count):
                k = node[i] - first
                for f in range(features):
                    cell = sums[k, f, bins[i, f]]
                    cell[0] += g[i]
                    cell[1] += h[i]
                    cell[2] += weight[i]
            for k in range(nodes):
                best = best_split(sums[k], ridge, least)
                feature[t, first + k], cut[t, first + k] = int(best[0]), int(best[1])
                if best[0] >= 0.0:
                    gain[int(best[0])] += best[2]
            for i in range(count):
                f = feature[t, node[i]]
                right = f >= 0 and bins[i, f] > cut[t, node[i]]
                node[i] = 2 * node[i] + (2 if right else 1)
        total_g, total_h = np.zeros(inner + 1), np.zeros(inner + 1)
        for i in range(count):
            total_g[node[i] - inner] += g[i]
            total_h[node[i] - inner] += h[i]
        leaf[t] = -shrinkage * total_g / (total_h + ridge)
        for i in range(count):
            score[i] += leaf[t, node[i] - inner]
    return feature, cut, leaf


@compiled
def best_split(sums: FloatArray, ridge: float, least: float) -> tuple[float, float, float]:
    """Return the feature (-1: none is worth it) that best splits a node, the last bin that goes left, and the gain.

    Args:
        sums: (F, C, 3) of gradients, curvatures and weights by feature and bin. ridge, least: see ``grow_forest``.
    """
    total = sums[0].sum(axis=0)
    whole = total[0] * total[0] / (total[1] + ridge)
    best, feature, cut = 1e-9, -1.0, 0.0
    for f in range(sums.shape[0]):
        g, h, w = 0.0, 0.0, 0.0
        for c in range(sums.shape[1] - 1):
            g, h, w = g + sums[f, c, 0], h + sums[f, c, 1], w + sums[f, c, 2]
            if w < least or total[2] - w < least:
                continue
            other = total[0] - g
            value = g * g / (h + ridge) + other * other / (total[1] - h + ridge) - whole
            if value > best:
                best, feature, cut = value, float(f), float(c)
    return feature, cut, best


@compiled
def ask_forest(bins: IntArray, feature: IntArray, cut: IntArray, leaf: FloatArray) -> FloatArray:
    """Return the log odds (N,) that boosted trees give to binned features (N, F); see ``grow_forest``."""
    inner = feature.shape[1]
    score = np.zeros(bins.shape[0])
    for i in range(score.size):
        for t in range(feature.shape[0]):
            node = 0
            while node < inner:
                f = feature[t, node]
                right = f >= 0 and bins[i, f] > cut[t, node]
                node = 2 * node + (2 if right else 1)
            score[i] += leaf[t, node - inner]
    return score


def scan_windows(
    ranges: FloatArray, angles: FloatArray, stretch: IntArray, resolution: float = 0.0
) -> tuple[FloatArray, IntArray]:
    """Return features (N, 14) of the windows of scans and the stretch (N,) of each.

    Args:
        ranges: (S, B) [m]. angles: (B,) [rad]. stretch: (S,).
        resolution: of the sensor's ranges [m]; equal neighbours are those of one step. 0 for none.
    """
    values = np.ascontiguousarray(ranges, dtype=np.float64)
    if resolution > 0.0:
        values = np.round(values / resolution) * resolution
    out = np.empty((len(values) * (values.shape[1] // WINDOW) + 1, len(FEATURES)))
    scan = window_features(values, np.asarray(angles, dtype=np.float64), WINDOW, STEP_SCALE, out)
    return out[: len(scan)], stretch[scan]


def two_sample_test(
    first: tuple[FloatArray, IntArray],
    second: tuple[FloatArray, IntArray],
    *,
    seed: int,
    path: tuple[str, ...] = (),
    resamples: int = 400,
) -> TwoSample:
    """Tell two sets of windows apart, by cross-validation over groups.

    A group (stretch of path) is in one fold with all its windows of both sets. Of the larger set as many windows are
    drawn as the smaller one has, at most ``MAX_WINDOWS``.

    Args:
        first, second: features (N, F) and groups (N,) of each set, as of ``scan_windows``.
        seed: of draws, folds and bootstrap. path: further names of the random streams.
        resamples: of the bootstrap over groups. It holds the classifiers as they are; that they were learnt from the
            same few scans is allowed for by the factor of Nadeau and Bengio (*Inference for the Generalization Error*,
            2003): variance times 1 + K / (K - 1) with K folds.
    """
    rng = generator(seed, "lidar.c2st", *path)
    count = min(len(first[0]), len(second[0]), MAX_WINDOWS)
    picked = [np.sort(rng.permutation(len(part[0]))[:count]) for part in (first, second)]
    features = np.concatenate([part[0][index] for part, index in zip((first, second), picked, strict=True)])
    groups = np.concatenate([part[1][index] for part, index in zip((first, second), picked, strict=True)])
    target = np.repeat([0.0, 1.0], count)
    names, group = np.unique(groups, return_inverse=True)
    if count == 0 or len(names) < FOLDS:
        return TwoSample(float("nan"), None, None, 2 * count, {})
    fold = rng.permutation(len(names)) % FOLDS
    right, gain = np.zeros(2 * count), np.zeros(features.shape[1])
    for number in range(FOLDS):
        held = fold[group] == number
        binned = _binned(features, ~held)
        weight = _balanced(target[~held])
        forest = grow_forest(
            binned[~held], target[~held], weight, TREES, DEPTH, BINS, SHRINKAGE, RIDGE, MIN_LEAF, gain
        )  # fmt: skip
        right[held] = (ask_forest(binned[held], *forest) > 0.0) == (target[held] > 0.5)
    told: FloatArray = np.stack(
        [np.bincount(group[target == k], weights=right[target == k], minlength=len(names)) for k in (0, 1)]
    )
    seen = np.stack([np.bincount(group[target == k], minlength=len(names)) for k in (0, 1)]).astype(np.float64)
    low, high = _interval(told, seen, rng, resamples)
    share = gain / gain.sum() if gain.sum() > 0 else gain
    return TwoSample(
        accuracy=float((told.sum(axis=1) / seen.sum(axis=1)).mean()),
        ci_low=low,
        ci_high=high,
        n=2 * count,
        importance={name: float(value) for name, value in zip(FEATURES, share, strict=False)},
    )


def _balanced(target: FloatArray) -> FloatArray:
    """Return weights (N,) that make both classes count alike."""
    ones = target.mean()
    return np.where(target > 0.5, 0.5 / max(ones, 1e-9), 0.5 / max(1.0 - ones, 1e-9))


def _binned(features: FloatArray, train: FloatArray) -> IntArray:
    """Cut features (N, F) into equally full bins of the rows of the mask ``train``."""
    out = np.empty(features.shape, np.int64)
    for f in range(features.shape[1]):
        edges = np.quantile(features[train, f], np.linspace(0.0, 1.0, BINS + 1)[1:-1])
        out[:, f] = np.searchsorted(edges, features[:, f], side="left")
    return out


def _interval(
    told: FloatArray, seen: FloatArray, rng: np.random.Generator, resamples: int
) -> tuple[float | None, float | None]:
    """Return the 95 % interval of the balanced accuracy over groups; (2, G) windows told right and seen."""
    groups = told.shape[1]
    block = max(1, int(np.ceil(groups ** (1.0 / 3.0))))
    if groups < MIN_BLOCKS * block:
        return None, None
    index = block_indices([groups], block, resamples, rng)
    with np.errstate(invalid="ignore"):
        drawn = (told[:, index].sum(axis=2) / seen[:, index].sum(axis=2)).mean(axis=0)
    value = float((told.sum(axis=1) / seen.sum(axis=1)).mean())
    low, high = np.nanquantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]) - value
    wider = np.sqrt(1.0 + FOLDS / (FOLDS - 1.0))
    return max(0.0, value + wider * float(low)), min(1.0, value + wider * float(high))
