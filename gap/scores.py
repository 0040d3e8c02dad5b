"""Proper scores of predicted distributions given as samples, and how well their bands hold.

Scores after T. Gneiting and A. Raftery, *Strictly Proper Scoring Rules, Prediction, and Estimation*, Journal of the
American Statistical Association 102(477), 2007; smaller is better, in the unit of what is predicted. With N samples x
and the truth y:

- energy score (their section 4.3): ``mean |x - y| - 0.5 mean |x - x'|``; in one dimension it is the CRPS;
- the mean over pairs is taken over N (N - 1) pairs of different samples (``fair``: its expectation does not depend on
  N, C. Ferro, Quarterly Journal of the Royal Meteorological Society 140, 2014), or over all N^2;
- interval score (their section 6.2): width, and 2 / alpha times how far the truth lies outside.

The CRPS of position in this package is the energy score of (x, y); that of heading the CRPS of the angle from the
truth, wrapped to half a turn.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from ..common.geometry import FloatArray, wrap_angle
from ..common.kernels import compiled

BAND = 0.95


def crps(samples: FloatArray, truth: FloatArray, *, fair: bool = True) -> FloatArray:
    """CRPS (...) of samples (..., N) against the truth (...), by sorting: O(N log N).

    The mean distance of pairs is ``2 sum (2 i - N - 1) x_i`` over the number of pairs, x sorted, i from 1.
    """
    count = samples.shape[-1]
    ordered = np.sort(samples, axis=-1)
    weight = 2.0 * np.arange(1, count + 1) - count - 1.0
    pairs = count * (count - 1 if fair else count)
    spread = 2.0 * (ordered @ weight) / pairs
    result: FloatArray = np.abs(samples - truth[..., None]).mean(axis=-1) - 0.5 * spread
    return result


def crps_angle(samples: FloatArray, truth: FloatArray, *, fair: bool = True) -> FloatArray:
    """CRPS (...) of headings (..., N) [rad] against the truth (...): of the wrapped angle from the truth to each."""
    return crps(wrap_angle(samples - truth[..., None]), np.zeros(truth.shape), fair=fair)


def crps_normal(mean: FloatArray, sd: FloatArray, truth: FloatArray) -> FloatArray:
    """CRPS of a normal distribution, closed form (Gneiting and Raftery 2007, equation 21); all arrays broadcast."""
    z = (truth - mean) / sd
    density = np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi)
    result: FloatArray = sd * (z * (2.0 * ndtr(z) - 1.0) + 2.0 * density - 1.0 / np.sqrt(np.pi))
    return result


def energy_score(samples: FloatArray, truth: FloatArray, *, fair: bool = True) -> FloatArray:
    """Energy score (...) of points (..., N, 2) against the truth (..., 2); O(N^2), compiled."""
    flat = np.ascontiguousarray(samples.reshape(-1, *samples.shape[-2:]))
    found = _energy(flat, np.ascontiguousarray(truth.reshape(-1, 2)), fair)
    result: FloatArray = found.reshape(truth.shape[:-1])
    return result


def interval_score(low: FloatArray, high: FloatArray, truth: FloatArray, level: float = BAND) -> FloatArray:
    """Interval score of central intervals of a level; all arrays broadcast."""
    alpha = 1.0 - level
    outside = np.maximum(low - truth, 0.0) + np.maximum(truth - high, 0.0)
    result: FloatArray = high - low + 2.0 / alpha * outside
    return result


def pit(samples: FloatArray, truth: FloatArray) -> FloatArray:
    """Probability integral transform (...) of the truth: share of samples (..., N) below it, ties half, in (0, 1).

    The rank is counted among N + 1 equally likely places: (below + 0.5 ties + 0.5) / (N + 1).
    """
    below = (samples < truth[..., None]).sum(axis=-1) + 0.5 * (samples == truth[..., None]).sum(axis=-1)
    result: FloatArray = (below + 0.5) / (samples.shape[-1] + 1.0)
    return result


def in_central_band(samples: FloatArray, truth: FloatArray, level: float = BAND) -> NDArray[np.bool_]:
    """Tell whether the truth (...) lies in the central band of samples (..., N): between the two tail quantiles.

    Its rank among N + 1 places is held against the level, so that the band of N samples of the truth's own
    distribution holds it with the level's probability, up to 1 / (N + 1).
    """
    result: NDArray[np.bool_] = np.abs(pit(samples, truth) - 0.5) <= 0.5 * level
    return result


def central_ratio(samples: FloatArray, truth: FloatArray, level: float = BAND) -> FloatArray:
    """Distance (...) of the truth from the samples' mean, over that of the central band's end on its side."""
    low, high = np.quantile(samples, [0.5 - 0.5 * level, 0.5 + 0.5 * level], axis=-1)
    mean = samples.mean(axis=-1)
    reach = np.where(truth < mean, mean - low, high - mean)
    result: FloatArray = np.abs(truth - mean) / np.maximum(reach, 1e-12)
    return result


def in_region(samples: FloatArray, truth: FloatArray, level: float = BAND) -> NDArray[np.bool_]:
    """Tell whether points (..., 2) lie in the region that holds a share of the samples (..., N, 2).

    The region is the ellipse about the samples' mean, with the shape of their covariance, that is just wide enough:
    truth and samples are ranked by Mahalanobis distance.
    """
    own, away = _distances(samples, truth)
    found: NDArray[np.bool_] = pit(own, away) <= level
    return found


def region_ratio(samples: FloatArray, truth: FloatArray, level: float = BAND) -> FloatArray:
    """Distance (...) of the truth from the samples' mean, over that of the region's border in its direction."""
    own, away = _distances(samples, truth)
    result: FloatArray = np.sqrt(away / np.maximum(np.quantile(own, level, axis=-1), 1e-300))
    return result


def _distances(samples: FloatArray, truth: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Squared Mahalanobis distances from the samples' mean: (..., N) of the samples, (...) of the truth."""
    centre = samples.mean(axis=-2)
    off, away = samples - centre[..., None, :], truth - centre
    xx, yy = (off[..., 0] ** 2).mean(axis=-1), (off[..., 1] ** 2).mean(axis=-1)
    xy = (off[..., 0] * off[..., 1]).mean(axis=-1)
    determinant = np.maximum(xx * yy - xy * xy, 1e-300)
    inverse = np.stack([yy, -xy, xx], axis=-1) / determinant[..., None]

    def squared(x: FloatArray, y: FloatArray, part: FloatArray) -> FloatArray:
        result: FloatArray = part[..., 0] * x * x + 2.0 * part[..., 1] * x * y + part[..., 2] * y * y
        return result

    own = squared(off[..., 0], off[..., 1], inverse[..., None, :])
    return own, squared(away[..., 0], away[..., 1], inverse)


@compiled
def _energy(samples: FloatArray, truth: FloatArray, fair: bool) -> FloatArray:
    out = np.empty(len(samples))
    count = samples.shape[1]
    pairs = 0.5 * count * (count - 1) if fair else 0.5 * count * count
    for k in range(len(samples)):
        away = spread = 0.0
        for i in range(count):
            x, y = samples[k, i, 0], samples[k, i, 1]
            away += np.hypot(x - truth[k, 0], y - truth[k, 1])
            for j in range(i):
                a, b = x - samples[k, j, 0], y - samples[k, j, 1]
                spread += np.sqrt(a * a + b * b)
        # Each unordered pair was counted once.
        out[k] = away / count - 0.5 * spread / pairs
    return out
