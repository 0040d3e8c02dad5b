"""The filter and the test behind the drift monitor; knows windows, errors and sensitivities, not robots.

Model of the errors e_k (C) of windows k, with sensitivities J_k (C, P) to parameters:

    e_k = J_k (d + a_k + b_k) + n_k,    n_k ~ Student-t(nu) with scale  R + J_k Q J_k'

``d`` is how far the robot is from its twin for good (normal, as far as the twin's own intervals and the spread between
robots allow), ``a_k`` and ``b_k`` how its parameters wander while it is sound, within seconds and within minutes:
first-order autoregressions. R is the tracker's noise, Q what each window slips for itself. A Kalman filter with the
weights of the Student-t (Roth, Ozkan and Gustafsson, *ICASSP* 2013) turns errors that hang together over minutes into
innovations that do not.

Test: a parameter that steps by one unit at window o shifts the later innovations by a known signature g_k (Willsky and
Jones, "A generalized likelihood ratio approach to the detection and estimation of jumps in linear systems", *IEEE
Transactions on Automatic Control* 21(1), 1976). The greatest ``2 s sum g psi - s^2 sum g^2`` over parameters, onsets
and steps s that are possible is followed from window to window (``(sum g psi)^2 / sum g^2`` unless the step is at its
bound: while a robot is not told to turn, rounding alone would fit any error by a huge change of its turns); psi is the
score of the whitened innovation, which an outlier cannot blow up. How great it gets in a sound log is simulated with
the same signatures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import FloatArray
from ..common.kernels import compiled
from ..common.seeding import generator

SETTLE = 16.0
"""Time after a supposed onset before it is judged [s]: a single bump is no drift."""
PATHS = 400
"""Sound logs simulated for the threshold."""
_TAIL_FROM = 0.9


@dataclass(frozen=True)
class Stream:
    """Errors of one log, window by window.

    Attributes:
        names: (P) of the parameters.
        time: (K,) end of each window since the log's start [s].
        error: (K, C) what was measured less what the twin predicts.
        slope: (K, C, P) change of the error for one unit of a parameter. A robot whose parameter is greater than the
            twin's shows ``slope`` times the difference.
        whole: (K,) bool: the window can be used.
        reach: (P,) greatest change of each parameter that is possible.
    """

    names: tuple[str, ...]
    time: FloatArray
    error: FloatArray
    slope: FloatArray
    whole: NDArray[np.bool_]
    reach: FloatArray


@dataclass(frozen=True)
class Noise:
    """What a sound robot's errors are like.

    Attributes:
        white: (C,) scale of the noise of each channel.
        window: (P,) scale of each parameter's scatter from window to window.
        wander: (2, P) spread of each parameter's quick and slow changes; memory: (2,) how long they last [s].
        tails: degrees of freedom of the Student-t.
    """

    white: FloatArray
    window: FloatArray
    wander: FloatArray
    memory: FloatArray
    tails: float


@dataclass(frozen=True)
class Filtered:
    """Innovations of a stream.

    Attributes:
        log_likelihood: of the errors.
        score: (K, C) psi of the whitened innovations; zero where a window cannot be used.
        whitener: (K, C, C) inverse Cholesky factors of the innovations' scales.
        gain: (K, 3 P, C) of the filter.
        offset: (P,) estimate of d at the end; offset_covariance: (P, P).
    """

    log_likelihood: float
    score: FloatArray
    whitener: FloatArray
    gain: FloatArray
    offset: FloatArray
    offset_covariance: FloatArray


@dataclass(frozen=True)
class Crossing:
    """Where the statistic stands.

    Attributes:
        statistic: (K,) greatest over parameters and onsets at each window.
        parameter, onset: (K,) where it is reached.
        by_parameter: (K, P) greatest over onsets.
        size: (K, P) estimated step at that onset; error: (K, P) its standard error; began: (K, P) the onset.
    """

    statistic: FloatArray
    parameter: NDArray[np.int64]
    onset: NDArray[np.int64]
    by_parameter: FloatArray
    size: FloatArray
    error: FloatArray
    began: NDArray[np.int64]


def run_filter(stream: Stream, noise: Noise, prior: FloatArray) -> Filtered:
    """Filter a stream; ``prior`` (P, P) is the covariance of d before the first window."""
    total, score, whitener, gain, mean, covariance = _filter(
        stream.error, stream.slope, stream.whole, _elapsed(stream), noise.white, noise.window, noise.wander,
        noise.memory, float(noise.tails), np.ascontiguousarray(prior),
    )  # fmt: skip
    count = len(stream.names)
    return Filtered(total, score, whitener, gain, mean[:count], covariance[:count, :count])


def follow(stream: Stream, noise: Noise, filtered: Filtered, every: int) -> Crossing:
    """Follow the statistic of all parameters and onsets (one every so many windows) through a log."""
    onsets = np.arange(0, len(stream.error), every)
    signature = _signatures(stream, noise, filtered, onsets)
    information = _information(noise.tails, stream.error.shape[1])
    best, size, deviation, began = _follow(
        signature, filtered.score, onsets, information, _settle(stream), stream.reach
    )
    parameter = best.argmax(axis=1)
    rows = np.arange(len(best))
    return Crossing(best[rows, parameter], parameter, began[rows, parameter], best, size, deviation, began)


def step_at(stream: Stream, noise: Noise, filtered: Filtered, parameter: int, onset: int) -> tuple[float, float]:
    """Return the step of one parameter at one onset that fits the whole stream best, and its standard error."""
    signature = _signatures(stream, noise, filtered, np.array([onset]))[0, parameter]
    information = _information(noise.tails, stream.error.shape[1])
    energy = float((signature**2).sum()) * information
    if energy <= 0.0:
        return 0.0, float("inf")
    return float((signature * filtered.score).sum()) / energy, 1.0 / float(np.sqrt(energy))


def threshold(stream: Stream, noise: Noise, filtered: Filtered, every: int, *, rate: float, seed: int) -> float:
    """Return what the statistic exceeds in a share ``rate`` of sound logs with these windows.

    Simulated with the log's own signatures and Student-t innovations; the far tail, in which the greatest of squared
    normal sums falls off as exp(-x / 2), is carried on from the 90th percentile.
    """
    onsets = np.arange(0, len(stream.error), every)
    signature = _signatures(stream, noise, filtered, onsets)
    channels = stream.error.shape[1]
    rng = generator(seed, "drift.threshold")
    normal = rng.standard_normal((PATHS, len(stream.error), channels))
    mixed = normal / np.sqrt(rng.chisquare(noise.tails, (PATHS, len(stream.error), 1)) / noise.tails)
    score = mixed * ((noise.tails + channels) / (noise.tails + (mixed**2).sum(axis=2, keepdims=True)))
    score *= stream.whole[:, None]
    information = _information(noise.tails, channels)
    greatest = _greatest(signature, score, onsets, information, _settle(stream), stream.reach)
    if rate >= 1.0 - _TAIL_FROM:
        return float(np.quantile(greatest, 1.0 - rate))
    return float(np.quantile(greatest, _TAIL_FROM) + 2.0 * np.log((1.0 - _TAIL_FROM) / rate))


def _settle(stream: Stream) -> int:
    """Return how many windows ``SETTLE`` is."""
    return max(1, round(SETTLE / float(np.median(np.diff(stream.time)))))


def _elapsed(stream: Stream) -> FloatArray:
    return np.diff(stream.time, prepend=stream.time[0])


def _information(tails: float, channels: int) -> float:
    """Return the Fisher information of a Student-t's location, that of a normal being 1."""
    return (tails + channels) / (tails + channels + 2.0)


def _signatures(stream: Stream, noise: Noise, filtered: Filtered, onsets: NDArray[np.int64]) -> FloatArray:
    return _signature_kernel(
        stream.slope, stream.whole, _elapsed(stream), noise.memory, filtered.whitener, filtered.gain, onsets
    )


@compiled
def _filter(
    error: FloatArray,
    slope: FloatArray,
    whole: NDArray[np.bool_],
    elapsed: FloatArray,
    white: FloatArray,
    window: FloatArray,
    wander: FloatArray,
    memory: FloatArray,
    tails: float,
    prior: FloatArray,
) -> tuple[float, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    count, channels, number = slope.shape
    size = 3 * number
    mean, cov = np.zeros(size), np.zeros((size, size))
    cov[:number, :number] = prior
    for i in range(number, size):
        cov[i, i] = wander[i // number - 1, i % number] ** 2
    score = np.zeros((count, channels))
    whitener = np.zeros((count, channels, channels))
    gains = np.zeros((count, size, channels))
    total = 0.0
    h = np.zeros((channels, size))
    for k in range(count):
        _forget(mean, cov, elapsed[k], wander, memory)
        if not whole[k]:
            continue
        for c in range(channels):
            for p in range(number):
                h[c, p] = h[c, number + p] = h[c, 2 * number + p] = slope[k, c, p]
        spread = h @ cov  # (C, S)
        scale = spread @ h.T
        _add_noise(scale, slope[k], white, window)
        root = np.linalg.cholesky(scale)
        inverse = np.linalg.inv(root)
        innovation = error[k] - h @ mean
        z = inverse @ innovation
        square = 0.0
        for c in range(channels):
            square += z[c] * z[c]
            total -= np.log(root[c, c])
        total -= 0.5 * (tails + channels) * np.log1p(square / tails)
        weight = (tails + channels) / (tails + square)
        # An outlier counts as one of a window with more noise: its scale, less what the state explains, grows.
        explained = spread @ h.T
        grown = explained + (scale - explained) / min(weight, 1.0)
        gain = (np.linalg.inv(grown) @ spread).T
        mean = mean + gain @ innovation
        cov = cov - gain @ spread
        cov = 0.5 * (cov + cov.T)
        score[k] = weight * z
        whitener[k] = inverse
        gains[k] = gain
    return total, score, whitener, gains, mean, cov


@compiled
def _forget(mean: FloatArray, cov: FloatArray, elapsed: float, wander: FloatArray, memory: FloatArray) -> None:
    """Let the autoregressions run on by a time [s], in place."""
    number, size = wander.shape[1], len(mean)
    for i in range(number, size):
        band, p = i // number - 1, i % number
        keep = np.exp(-elapsed / memory[band])
        mean[i] *= keep
        for j in range(size):
            cov[i, j] *= keep
        for j in range(size):
            cov[j, i] *= keep
        cov[i, i] += (1.0 - keep * keep) * wander[band, p] ** 2


@compiled
def _add_noise(scale: FloatArray, slope: FloatArray, white: FloatArray, window: FloatArray) -> None:
    """Add the window's own noise, ``R + J Q J'``, to the innovation's scale (C, C), in place."""
    for c in range(len(white)):
        scale[c, c] += white[c] ** 2
        for b in range(len(white)):
            for p in range(len(window)):
                scale[c, b] += slope[c, p] * window[p] ** 2 * slope[b, p]


@compiled
def _signature_kernel(
    slope: FloatArray,
    whole: NDArray[np.bool_],
    elapsed: FloatArray,
    memory: FloatArray,
    whitener: FloatArray,
    gain: FloatArray,
    onsets: NDArray[np.int64],
) -> FloatArray:
    """Return the whitened shift (O, P, K, C) of the innovations by a unit step of each parameter at each onset."""
    count, channels, number = slope.shape
    out = np.zeros((len(onsets), number, count, channels))
    believed = np.zeros(3 * number)
    shift = np.zeros(channels)
    for o in range(len(onsets)):
        for p in range(number):
            believed[:] = 0.0
            for k in range(onsets[o], count):
                for i in range(number, 3 * number):
                    believed[i] *= np.exp(-elapsed[k] / memory[i // number - 1])
                if not whole[k]:
                    continue
                for c in range(channels):
                    shift[c] = slope[k, c, p]
                    for q in range(number):
                        shift[c] -= slope[k, c, q] * (believed[q] + believed[number + q] + believed[2 * number + q])
                for c in range(channels):
                    value = 0.0
                    for b in range(c + 1):
                        value += whitener[k, c, b] * shift[b]
                    out[o, p, k, c] = value
                for i in range(3 * number):
                    for c in range(channels):
                        believed[i] += gain[k, i, c] * shift[c]
    return out


@compiled
def _likeliest(match: float, energy: float, reach: float) -> tuple[float, float]:
    """Return the likeliest step within ``reach`` either way, and twice the log of its likelihood ratio."""
    step = min(max(match / energy, -reach), reach)
    return step, step * (2.0 * match - step * energy)


@compiled
def _follow(
    signature: FloatArray,
    score: FloatArray,
    onsets: NDArray[np.int64],
    information: float,
    settle: int,
    reach: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray, NDArray[np.int64]]:
    starts, number, count, channels = signature.shape
    best, size = np.zeros((count, number)), np.zeros((count, number))
    deviation = np.full((count, number), np.inf)
    began = np.zeros((count, number), dtype=np.int64)
    for o in range(starts):
        for p in range(number):
            match = energy = 0.0
            for k in range(onsets[o], count):
                for c in range(channels):
                    match += signature[o, p, k, c] * score[k, c]
                    energy += signature[o, p, k, c] ** 2
                if k - onsets[o] + 1 < settle or energy <= 0.0:
                    continue
                step, value = _likeliest(match, energy * information, reach[p])
                if value > best[k, p]:
                    best[k, p] = value
                    size[k, p] = step
                    deviation[k, p] = 1.0 / np.sqrt(energy * information)
                    began[k, p] = onsets[o]
    return best, size, deviation, began


@compiled
def _greatest(
    signature: FloatArray,
    score: FloatArray,
    onsets: NDArray[np.int64],
    information: float,
    settle: int,
    reach: FloatArray,
) -> FloatArray:
    """Return the greatest statistic (N,) over parameters, onsets and windows of simulated scores (N, K, C)."""
    starts, number, count, channels = signature.shape
    out = np.zeros(len(score))
    for o in range(starts):
        for p in range(number):
            for n in range(len(score)):
                match = energy = 0.0
                for k in range(onsets[o], count):
                    for c in range(channels):
                        match += signature[o, p, k, c] * score[n, k, c]
                        energy += signature[o, p, k, c] ** 2
                    if k - onsets[o] + 1 >= settle and energy > 0.0:
                        out[n] = max(out[n], _likeliest(match, energy * information, reach[p])[1])
    return out
