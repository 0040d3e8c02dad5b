"""Fit of the clock by which a robot takes commands over, by the scores of its samples on the training windows.

A hold cannot be told from a mean: it makes short commands longer or lost, at random. So the clock minimises what its
samples are judged by, the CRPS of position and heading over all horizons (``score``), by a search along one parameter
at a time with the same random numbers throughout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from ..common.geometry import FloatArray
from ..robots.motion_spread import sample_ends
from .replay import Windows
from .scores import crps_angle, energy_score
from .spread_fit import NAMES, START, Clock, Ends, ends_of, value_array
from .spread_response import Response, TimedCommands, fit_timing

HOLDS = (0.0, 0.06, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.6)
"""Mean holds to begin at [s]."""
SYNC_PLACES = (0.2, 0.4, 0.6, 0.8, 1.0)
"""Shares of the hold at which an edge may precede the next taking-over, to begin at."""
STALLS = (0.01, 0.03)
"""Rates of stalls while the robot moves, to begin at [1/s]."""
SAMPLES = 24
PASSES = 3
_FREE_JITTER, _SYNC_JITTER, _SYNC_SHARE = 0.3, 0.12, 0.6
_LOCAL_REACH = 0.5
_TRUTH = (1e-4, 3e-4)
_NO_TAIL = 1e6
_LEAST_GAIN = 1e-3
"""A change must lower the score by so much (0.1 %) to be taken: simpler clocks win ties."""


def fit_clock(
    windows: Sequence[Windows],
    commands: Sequence[TimedCommands],
    response: Response,
    key: np.uint64,
    start: Clock | None = None,
) -> Clock:
    """Search the clock.

    Args:
        windows: of the training logs. commands: of the same. response: the mean. key: of the samples.
        start: search near this one only.
    """
    # Without a heavy tail: it would blur what the clock does.
    noise = dict(zip(NAMES, START.tolist(), strict=True)) | {"tail": _NO_TAIL}
    # Only the mean path depends on the clock, and samples do not need it.
    still = Clock(0.0, 0.0, 0.0, 0.0, 0.0, response.delay, response.lag)
    parts = [ends_of(w, c, response, still) for w, c in zip(windows, commands, strict=True)]

    def score(clock: Clock) -> float:
        values = value_array(clock, noise, _TRUTH)
        return score_of(parts, [sampled(part, values, SAMPLES, key) for part in parts])

    if start is not None:
        return _descend(score, start, score(start), _LOCAL_REACH, 1)
    best, least = still, np.inf
    for hold in HOLDS:
        timed = fit_timing(commands, response, hold)
        free = Clock(hold, _FREE_JITTER if hold > 0 else 0.0, 0.0, 0.0, 0.0, timed.delay, timed.lag)
        best, least = _better(score, best, least, [free])
    if best.hold > 0.0:
        told = [
            replace(best, sync_share=_SYNC_SHARE, sync_delay=place * best.hold, sync_jitter=_SYNC_JITTER * best.hold,
                    hold_jitter=_FREE_JITTER / 3)
            for place in SYNC_PLACES
        ]  # fmt: skip
        best, least = _better(score, best, least, told)
    best, least = _better(score, best, least, [replace(best, stall_rate=rate, stall_time=0.3) for rate in STALLS])
    return _descend(score, best, least, 1.0, PASSES)


def _descend(score: Callable[[Clock], float], best: Clock, least: float, reach: float, passes: int) -> Clock:
    """Search along one parameter at a time, with steps that halve from pass to pass."""
    for number in range(passes):
        before = least
        for group in _neighbours(best, reach * 0.5**number):
            best, least = _better(score, best, least, group(best))
        if before - least < _LEAST_GAIN:
            break
    return best


def score_of(parts: Sequence[Ends], samples: Sequence[FloatArray]) -> float:
    """Return the sum over horizons of the logarithms of mean CRPS of position and of heading, over two."""
    total, count = 0.0, 0
    for number in range(parts[0].truth.shape[1]):
        position, heading = [], []
        for part, drawn in zip(parts, samples, strict=True):
            valid = part.valid[:, number]
            x, truth = drawn[valid, number], part.truth[valid, number]
            position.append(energy_score(x[..., :2], truth[:, :2]))
            heading.append(crps_angle(x[..., 2], truth[:, 2]))
        if sum(map(len, position)) == 0:
            continue
        total += float(np.log(np.concatenate(position).mean() + 1e-9) + np.log(np.concatenate(heading).mean() + 1e-9))
        count += 2
    return total / max(count, 1)


def sampled(ends: Ends, values: FloatArray, samples: int, key: np.uint64) -> FloatArray:
    """Return samples (K, H, N, 3) of the ends of windows, in the frames of their starts."""
    drawn: FloatArray = sample_ends(ends.rate, ends.edges, ends.place, ends.steps, values, samples, key)
    return drawn


def _better(score: Callable[[Clock], float], best: Clock, least: float, others: Sequence[Clock]) -> tuple[Clock, float]:
    for other in others:
        found = score(other)
        if found < least - _LEAST_GAIN:
            best, least = other, found
    return best, least


def _neighbours(start: Clock, reach: float) -> Iterator[Callable[[Clock], list[Clock]]]:
    """Yield, parameter by parameter, functions that return the neighbours of a clock along it."""
    if start.hold > 0.0:
        if start.sync_share > 0.0:
            yield lambda c: [_with(c, sync_delay=c.sync_delay + d * reach * c.hold) for d in (-0.2, -0.1, 0.1, 0.2)]
            yield lambda c: [_with(c, sync_share=c.sync_share + d * reach) for d in (-0.3, -0.15, 0.15, 0.3)]
            yield lambda c: [_with(c, sync_jitter=c.sync_jitter * f**reach) for f in (0.5, 0.7, 1.4, 2.0)]
        yield lambda c: [_with(c, hold=c.hold * f**reach) for f in (0.88, 0.95, 1.05, 1.14)]
        yield lambda c: [_with(c, hold_jitter=c.hold_jitter * f**reach) for f in (0.4, 0.7, 1.5, 2.5)]
    if start.stall_rate > 0.0:
        yield lambda c: [_with(c, stall_rate=c.stall_rate * f**reach) for f in (0.5, 0.7, 1.4, 2.0)]
        yield lambda c: [_with(c, stall_time=c.stall_time * f**reach) for f in (0.6, 0.8, 1.25, 1.6)]
    yield lambda c: [_with(c, delay=c.delay + d * reach) for d in (-0.04, -0.02, 0.02, 0.04)]
    yield lambda c: [_with(c, lag=c.lag + d * reach) for d in (-0.04, -0.02, 0.02, 0.04)]
    if start.sync_share > 0.0:
        yield lambda c: [
            _with(c, delay=c.delay + d * reach, sync_delay=c.sync_delay + d * reach) for d in (-0.03, 0.03)
        ]


def _with(clock: Clock, **changes: float) -> Clock:
    """Return a clock with changes, kept within what makes sense."""
    limits = {"sync_share": 1.0, "hold_jitter": 0.5, "lag": 0.5, "delay": 1.0, "hold": 1.5}
    kept = {name: min(max(value, 0.0), limits.get(name, 2.0)) for name, value in changes.items()}
    return replace(clock, **kept)
