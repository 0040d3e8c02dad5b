"""What a sound robot's window errors are like: fitted by maximum likelihood to the logs that its twin was fitted to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.special import gammaln

from ..common.geometry import FloatArray
from .drift_filter import Noise, Stream, run_filter

QUICK_RANGE, SLOW_RANGE = (0.5, 12.0), (15.0, 400.0)
"""Of the memories [s]. Longer ones cannot be told from a fixed offset in one log."""
TAILS_RANGE = (3.0, 50.0)
_LEAST = 0.02
"""Least scale, in parts of the start: zero would make a value certain."""
_MOST = 20.0


def fit_noise(streams: Sequence[Stream], offset: FloatArray) -> Noise:
    """Fit the noise of sound logs.

    Each log has its own fixed offset d, of which only a rough size is said beforehand, so that differences between
    robots and what the twin's values get wrong do not count as wander.

    Args:
        streams: of one or more logs, with the same parameters.
        offset: (P,) rough size of d.

    Returns:
        The noise with the greatest penalised likelihood.
    """
    start = _start(streams, offset)
    number = len(start.window)
    prior = np.diag(offset**2)
    parts = (start.white, start.window, start.wander.ravel(), start.memory, np.array([start.tails]))
    first = np.log(np.concatenate(parts))
    cuts = np.cumsum([len(part) for part in parts])

    def unpack(place: FloatArray) -> Noise:
        white, window, wander, memory, tails = np.split(np.exp(place), cuts[:-1])
        return Noise(white, window, wander.reshape(2, number), memory, float(tails[0]))

    def cost(place: FloatArray) -> float:
        noise = unpack(place)
        total = sum(run_filter(stream, noise, prior).log_likelihood + _constant(stream, noise) for stream in streams)
        # A weak pull towards the start: what the logs do not tell stays where it was.
        return float(-total + 0.05 * ((place - first) ** 2).sum())

    spread = np.log(_MOST) * np.ones(len(first))
    low, high = first + np.log(_LEAST), first + spread
    for row, (least, most) in zip((-3, -2, -1), (QUICK_RANGE, SLOW_RANGE, TAILS_RANGE), strict=True):
        low[row], high[row] = np.log(least), np.log(most)
    found = minimize(
        cost, first, method="L-BFGS-B", bounds=list(zip(low, high, strict=True)), options={"maxiter": 60, "ftol": 1e-7}
    )
    return unpack(np.asarray(found.x, dtype=np.float64))


def _start(streams: Sequence[Stream], offset: FloatArray) -> Noise:
    error = np.concatenate([stream.error[stream.whole] for stream in streams])
    slope = np.concatenate([stream.slope[stream.whole] for stream in streams])
    reach = np.abs(slope).max(axis=(1, 2))
    still = reach <= np.quantile(reach, 0.1)
    typical = np.median(np.abs(error), axis=0) / 0.6745
    quiet = np.median(np.abs(error[still]), axis=0) / 0.6745 if still.sum() >= 10 else typical
    white = np.maximum(np.minimum(quiet, typical), 1e-2 * np.maximum(typical, 1e-9))
    return Noise(white, offset.copy(), np.stack([0.5 * offset, 0.2 * offset]), np.array([3.0, 60.0]), 6.0)


def _constant(stream: Stream, noise: Noise) -> float:
    """Return the part of the Student-t's log-likelihood that depends on its tails alone."""
    channels, tails = stream.error.shape[1], noise.tails
    each = gammaln(0.5 * (tails + channels)) - gammaln(0.5 * tails) - 0.5 * channels * np.log(tails * np.pi)
    return float(each * stream.whole.sum())
