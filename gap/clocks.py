"""How far the clocks of two tables of a log are apart, found from what both say of the robot's turning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..common.geometry import FloatArray
from ..common.seeding import generator
from .fieldlog import SECOND, FieldLog, IntArray

REACH = 1.0
"""Offsets are sought finely within this [s]."""
_STEP = 0.01
_CAP = 3.0
"""Residuals beyond so many robust standard deviations count as this much."""
_PAIRS = 3000
_BLOCKS = 20
_DRAWS = 200
_PAUSE = 1.0
"""Turns are compared over at least this long [s]: shorter ones are noise."""
_GRID = 0.1
"""Step of the search over whole logs [s]."""
MIN_CORRELATION = 0.5
"""Below, two tables are not said to tell the same motion."""
_BETTER = 0.2
"""A far offset must correlate by so much more than the best near one: laps that repeat look alike."""


@dataclass(frozen=True)
class Offset:
    """Seconds to add to one table's stamps so that it turns with the other.

    Attributes:
        seconds: the best offset [s].
        low, high: its 95 % interval, by resampling twenty blocks of the log.
        before, after: what the turns over a second or more disagree by (root of the capped mean square) without
            and with the offset [rad].
        pairs: turns compared.
    """

    seconds: float
    low: float
    high: float
    before: float
    after: float
    pairs: int

    @property
    def clear(self) -> bool:
        """True if zero lies outside the interval and the offset removes a tenth of the disagreement."""
        return not self.low <= 0.0 <= self.high and self.after < 0.9 * self.before


def yaw_track(log: FieldLog, table: str) -> tuple[IntArray, FloatArray] | None:
    """Return stamps and running heading [rad] of a table (``pose``, ``odom`` or ``cmd``), None if it is too short."""
    t_ns, values = getattr(log, f"{table}_t_ns"), getattr(log, table)
    if len(t_ns) < 20:
        return None
    if table == "cmd":
        steps = values[:-1, -1] * np.diff(t_ns) / SECOND
        return t_ns, np.concatenate([[0.0], np.cumsum(steps)])
    return t_ns, np.unwrap(values[:, 2])


def fine_offset(
    reference: tuple[IntArray, FloatArray], track: tuple[IntArray, FloatArray], *, reach: float = REACH, seed: int = 0
) -> Offset | None:
    """Find the offset of a track's clock, within ``reach`` [s], that makes both turn alike.

    Turns between reference stamps are held against the turns of the shifted track; squares beyond three robust standard
    deviations are capped. A parabola through the best three offsets gives the fraction of a step.

    Returns:
        None if fewer than 40 turns of the reference lie within the track.
    """
    t, yaw = reference[0] / SECOND - track[0][0] / SECOND, reference[1]
    clock = (track[0] - track[0][0]) / SECOND
    inside = np.flatnonzero((t > reach) & (t < clock[-1] - reach))
    if len(inside) < 41:
        return None
    keep, last = [inside[0]], t[inside[0]]
    for index in inside[1:]:
        if t[index] - last >= _PAUSE:
            keep.append(index)
            last = t[index]
    at = np.array(keep)
    pause = np.diff(t[at])
    # Pairs far apart say little about the clock.
    near = np.flatnonzero(pause < 5.0 * max(_PAUSE, float(np.median(pause))))
    if len(near) < 40:
        return None
    moved = np.abs(yaw[at[1:]] - yaw[at[:-1]])[near]
    if len(near) > _PAIRS:
        near = np.sort(near[np.argsort(-moved, kind="stable")[:_PAIRS]])
    first, second = at[near], at[near + 1]
    shifts: FloatArray = np.arange(-round(reach / _STEP), round(reach / _STEP) + 1, dtype=np.float64) * _STEP
    told = yaw[second] - yaw[first]
    squares = np.empty((len(shifts), len(near)))
    for row, shift in zip(squares, shifts, strict=True):
        seen = np.interp(t[second] - shift, clock, track[1]) - np.interp(t[first] - shift, clock, track[1])
        row[:] = told - seen
    squares -= np.median(squares, axis=1, keepdims=True)
    scale = 1.4826 * np.median(np.abs(squares), axis=1)
    cap = _CAP * max(float(scale.min()), 1e-6)
    squares = np.minimum(squares**2, cap**2)
    blocks = np.array_split(np.arange(len(near)), _BLOCKS)
    cost = np.stack([squares[:, block].mean(axis=1) for block in blocks])
    best = _lowest(cost.mean(axis=0)[None], shifts)[0]
    drawn = generator(seed, "gap.clocks").integers(0, _BLOCKS, size=(_DRAWS, _BLOCKS))
    found = _lowest(cost[drawn].mean(axis=1), shifts)
    low, high = np.quantile(found, [0.025, 0.975])
    mean = cost.mean(axis=0)
    return Offset(
        float(best),
        min(float(low), float(best)),
        max(float(high), float(best)),
        float(np.sqrt(mean[len(shifts) // 2])),
        float(np.sqrt(mean.min())),
        len(near),
    )


def _lowest(cost: FloatArray, shifts: FloatArray) -> FloatArray:
    """Return where curves (R, D) are lowest, refined by a parabola."""
    best = np.clip(cost.argmin(axis=1), 1, cost.shape[1] - 2)
    rows = np.arange(len(cost))
    left, here, right = cost[rows, best - 1], cost[rows, best], cost[rows, best + 1]
    bend = left - 2.0 * here + right
    fine = np.where(bend > 0.0, 0.5 * (left - right) / np.where(bend > 0.0, bend, 1.0), 0.0)
    result: FloatArray = shifts[best] + np.clip(fine, -1.0, 1.0) * (shifts[1] - shifts[0])
    return result


def is_far(reference: tuple[IntArray, FloatArray], track: tuple[IntArray, FloatArray]) -> bool:
    """Tell whether some offset beyond ``REACH`` makes both turn alike where none within it does."""
    found = coarse_offset(reference, track)
    if found is None or abs(found[0]) <= REACH + _GRID:
        return False
    near = coarse_offset(reference, track, REACH + _GRID)
    return near is None or found[1] > near[1] + _BETTER


def coarse_offset(
    reference: tuple[IntArray, FloatArray], track: tuple[IntArray, FloatArray], within: float = np.inf
) -> tuple[float, float] | None:
    """Find the offset of a track's clock, whatever its size, by correlating yaw rates every 0.1 s over both tables.

    Args:
        reference: stamps and running heading [rad] that are right.
        track: those whose clock is sought.
        within: offsets are sought up to this [s].

    Returns:
        seconds to add to the track's stamps and the correlation there, or None if no overlap of at least a third of the
        shorter table correlates.
    """
    begin = int(reference[0][0]), int(track[0][0])
    rates = [_rate(*reference), _rate(*track)]
    if min(map(len, rates)) < 100:
        return None
    size = 1 << (len(rates[0]) + len(rates[1]) - 1).bit_length()
    spectra = [np.fft.rfft(rate, size) for rate in rates]
    product = np.fft.irfft(spectra[0] * np.conj(spectra[1]), size)
    # Energies of the parts that overlap, by lag.
    energy = [np.concatenate([[0.0], np.cumsum(rate**2)]) for rate in rates]
    lags = np.arange(-(len(rates[1]) - 1), len(rates[0]))
    start = np.maximum(lags, 0)
    end = np.minimum(len(rates[0]), lags + len(rates[1]))
    own = energy[0][end] - energy[0][start]
    other = energy[1][end - lags] - energy[1][start - lags]
    enough = end - start >= max(100, min(map(len, rates)) // 3)
    scale = np.sqrt(own * other)
    seconds = (begin[0] - begin[1]) / SECOND + lags * _GRID
    enough &= np.abs(seconds) <= within
    correlation = np.where(enough & (scale > 1e-12), product[lags] / np.where(scale > 1e-12, scale, 1.0), 0.0)
    best = int(correlation.argmax())
    if correlation[best] < MIN_CORRELATION:
        return None
    return float(seconds[best]), float(correlation[best])


def _rate(t_ns: IntArray, yaw: FloatArray) -> FloatArray:
    """Mean yaw rates [rad/s] of every ``_GRID``."""
    clock = (t_ns - t_ns[0]) / SECOND
    count = int(clock[-1] / _GRID)
    if count > 4_000_000:
        return np.empty(0)
    result: FloatArray = np.diff(np.interp(np.arange(count + 1) * _GRID, clock, yaw)) / _GRID
    return result
