"""Motion gap metrics of replayed windows, with intervals that own up to overlapping windows.

Intervals: windows overlap and neighbours share conditions, so single windows must not be resampled. A circular
moving-block bootstrap (Politis and Romano 1992) resamples runs of neighbouring windows, each run twice as long as a
horizon, apart for each log, or whole logs where they are too short for that; 95 % percentile intervals. Fewer than
four give no interval.

Floor: how far the real robot differs from itself where it was told the same twice (see ``floor.py``); None where the
log holds too few repeats. ``ratio`` is value over floor. The tracker's own noise is told apart, as ``truth_`` rows:
the truth is split into samples of even and of odd number, and each window's true motion is measured with either
half.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..common.geometry import FloatArray, relative, wrap_angle
from ..common.seeding import generator
from .fieldlog import IntArray, interpolate_pose
from .floor import repeatability
from .replay import STEP, VELOCITY_BASE, Windows, commands_body

CONFIDENCE = 0.95
MIN_BLOCKS = 4
"""Independent runs below which no interval is given."""
RATE_HORIZON = 5.0
"""Speeds, delay and lag are judged over this much of each window [s]."""
MAX_OFFSET = 1.0
"""Clock offsets and delays are sought within this [s]."""
_LAG_GRID = np.concatenate([[0.0], np.arange(0.02, 0.41, 0.02)])
_WARM_UP = 1.0

Statistic = Callable[[FloatArray], FloatArray]
"""Reduces windows: (..., n, C) to (...); of additive samples, their sums: (..., C) to (...)."""


@dataclass(frozen=True)
class Metric:
    """One number of the gap.

    Attributes:
        name: what it is; ``_err`` are medians over windows.
        robot: the log it belongs to, or ``all``.
        horizon_s: length of the window [s], None where that has no meaning.
        value: the number.
        ci_low: lower end of the 95 % interval, None where too few independent windows exist.
        ci_high: upper end.
        n: number of windows.
        floor: repeatability of the real data, None where it is unknown.
        ratio: value / floor.
        unit: of value, interval and floor.
    """

    name: str
    robot: str
    horizon_s: float | None
    value: float
    ci_low: float | None
    ci_high: float | None
    n: int
    floor: float | None
    ratio: float | None
    unit: str

    def to_row(self) -> dict[str, str | float | int | None]:
        """Return the fields as a JSON-safe row."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


@dataclass(frozen=True)
class Samples:
    """Values of one metric before they are reduced: by robot, (n, C) each, windows in order of time.

    ``additive``: the statistic needs only the sum over windows. ``floor``: what the real robot does when told the same
    twice, already reduced, by robot; None where unknown.
    """

    name: str
    horizon: float | None
    unit: str
    block: int
    statistic: Statistic
    values: tuple[FloatArray, ...]
    additive: bool = False
    floor: float | None = None


def median(values: FloatArray) -> FloatArray:
    """Median over windows of the first column."""
    result: FloatArray = np.median(values[..., 0], axis=-1)
    return result


def percentile95(values: FloatArray) -> FloatArray:
    """95th percentile over windows of the first column."""
    result: FloatArray = np.percentile(values[..., 0], 95, axis=-1)
    return result


def root_mean(values: FloatArray) -> FloatArray:
    """Root of the mean over windows of squares in the first column."""
    result: FloatArray = np.sqrt(values[..., 0].mean(axis=-1))
    return result


def block_indices(lengths: Sequence[int], block: int, resamples: int, rng: np.random.Generator) -> IntArray:
    """Draw circular moving blocks within each group; groups too short for two blocks are drawn from all such groups.

    A block as long as its group is always the same windows: resampled on its own, a short run would show no spread at
    all. Such runs are drawn like blocks instead, each in proportion to its windows (a cluster bootstrap).

    Args:
        lengths: windows of each group; indices run on from group to group.
        block: windows in a block.
        resamples: how many draws.
        rng: source of randomness.

    Returns:
        (resamples, sum(lengths)) int64 indices.
    """
    firsts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64)
    short = [number for number, length in enumerate(lengths) if length < 2 * block]
    short = short if len(short) > 1 else []
    parts = []
    for number, length in enumerate(lengths):
        if number in short:
            continue
        size = min(block, length)
        blocks = -(-length // size)
        begin = rng.integers(0, length, size=(resamples, blocks))
        run = (begin[..., None] + np.arange(size)).reshape(resamples, -1)[:, :length] % length
        parts.append(run + firsts[number])
    if short:
        parts.append(_drawn_from_all(firsts[short], np.array(lengths)[short], block, resamples, rng))
    return np.concatenate(parts, axis=1)


def _drawn_from_all(
    firsts: IntArray, lengths: IntArray, block: int, resamples: int, rng: np.random.Generator
) -> IntArray:
    """Draw blocks from any of several short groups until there are as many windows as they hold together."""
    total = int(lengths.sum())
    group = rng.choice(len(lengths), size=(resamples, total), p=lengths / total)
    sizes = np.minimum(lengths, block)[group]
    begin = rng.integers(0, lengths[group])
    ends = np.cumsum(sizes, axis=1)
    starts = np.zeros((resamples, total), dtype=np.int64)
    rows, columns = np.nonzero(ends < total)
    starts[rows, ends[rows, columns]] = 1  # a new block begins here
    number = np.cumsum(starts, axis=1)
    place = np.arange(total) - np.take_along_axis(ends - sizes, number, axis=1)
    chosen = np.take_along_axis(group, number, axis=1)
    within = (np.take_along_axis(begin, number, axis=1) + place) % lengths[chosen]
    result: IntArray = firsts[chosen] + within
    return result


def enough_blocks(lengths: Sequence[int], block: int) -> bool:
    """Tell whether groups of windows hold ``MIN_BLOCKS`` independent ones; a short group counts as one."""
    return sum(max(1.0, length / block) for length in lengths) >= MIN_BLOCKS


def block_length(horizon: float, every: float, count: int) -> int:
    """Return how many windows a block holds: twice the overlap, and at least the cube root of their number."""
    return max(1, int(np.ceil(2.0 * horizon / every)), int(np.ceil(count ** (1.0 / 3.0))))


def interval(samples: Samples, *, seed: int, path: Sequence[str | int], resamples: int) -> tuple[float, float] | None:
    """Return the 95 % interval of a metric, or None with too few independent windows."""
    lengths = [len(part) for part in samples.values]
    if not enough_blocks(lengths, samples.block):
        return None
    index = block_indices(lengths, samples.block, resamples, generator(seed, "bootstrap", *path))
    drawn = reduce_drawn(samples, np.concatenate(samples.values), index)
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return float(low), float(high)


def reduce_drawn(samples: Samples, pooled: FloatArray, index: IntArray) -> FloatArray:
    """Return the statistic (R,) of resamples ``index`` (R, n) of pooled values (n, C)."""
    if not samples.additive:
        return samples.statistic(pooled[index])
    resamples, count = index.shape
    flat = (index + np.arange(resamples)[:, None] * count).ravel()
    weight = np.bincount(flat, minlength=resamples * count).reshape(resamples, count)
    return samples.statistic(weight @ pooled)


def measure(samples: Samples, robot: str, *, seed: int, resamples: int) -> Metric:
    """Reduce samples to a metric with its interval and floor."""
    pooled = np.concatenate(samples.values)
    bounds = interval(samples, seed=seed, path=(samples.name, robot, str(samples.horizon)), resamples=resamples)
    value = float(samples.statistic(pooled.sum(axis=0) if samples.additive else pooled))
    return Metric(
        name=samples.name,
        robot=robot,
        horizon_s=samples.horizon,
        value=value,
        ci_low=bounds[0] if bounds else None,
        ci_high=bounds[1] if bounds else None,
        n=len(pooled),
        floor=samples.floor,
        ratio=value / samples.floor if samples.floor else None,
        unit=samples.unit,
    )


def window_samples(windows: Windows, simulated: FloatArray) -> list[Samples]:
    """Compare replayed with true windows of one log.

    Args:
        windows: of one log.
        simulated: (K, T + 1, 3) replayed poses.

    Returns:
        Samples of ``pos_end_err`` and ``yaw_end_err`` (distance [m] and heading [rad] between replay and truth at the
        end), their 95th percentiles ``pos_end_p95`` and ``yaw_end_p95``, ``ate_rmse`` (root mean square distance
        after the best rigid alignment, no scale) by horizon; ``v_rmse``, ``omega_rmse``, ``offset_ms``,
        ``delay_ms``, ``tau_ms`` over the first five seconds; ``rpe_1m`` (position error after one metre of true
        travel); ``truth_pos_err`` and ``truth_yaw_err`` (disagreement of the two halves of the truth). Horizons
        without a valid window are not in the list.
    """
    found = _end_samples(windows, simulated)
    found += _rate_samples(windows, simulated)
    return found + _metre_samples(windows, simulated, 1.0)


def pool(parts: Sequence[Sequence[Samples]]) -> list[Samples]:
    """Join the samples of several logs: each metric over those that have it, which short logs may not at long horizons.

    The floor is the mean of theirs, None where one of them has none.
    """
    groups: dict[tuple[str, float | None], list[Samples]] = {}
    for part in parts:
        for item in part:
            groups.setdefault((item.name, item.horizon), []).append(item)
    joined = []
    for group in groups.values():
        floors = [each.floor for each in group if each.floor is not None]
        joined.append(
            replace(
                group[0],
                block=max(each.block for each in group),
                values=tuple(value for each in group for value in each.values),
                floor=sum(floors) / len(floors) if len(floors) == len(group) else None,
            )
        )
    return joined


def truth_halves(windows: Windows, t_ns: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return the true poses at stamps of any shape, from the even and from the odd samples of the truth."""
    log = windows.log
    even = interpolate_pose(t_ns, log.pose_t_ns[0::2], log.pose[0::2])
    odd = interpolate_pose(t_ns, log.pose_t_ns[1::2], log.pose[1::2])
    return even, odd


def rates(pose: FloatArray) -> FloatArray:
    """Return v [m/s] and omega [rad/s] (K, T + 1 - B, 2) of poses (K, T + 1, 3), over ``VELOCITY_BASE`` each."""
    base = round(VELOCITY_BASE / STEP)
    step = relative(pose[:, :-base], pose[:, base:])
    return step[..., [0, 2]] / VELOCITY_BASE


def _end_samples(windows: Windows, simulated: FloatArray) -> list[Samples]:
    found = []
    starts, floors = truth_halves(windows, windows.start_ns), repeatability(windows)
    for number, (horizon, step) in enumerate(zip(windows.horizons, windows.horizon_steps, strict=True)):
        valid = windows.valid[:, number]
        if not valid.any():
            continue
        error = relative(windows.truth[valid, step], simulated[valid, step])
        ends = truth_halves(windows, windows.start_ns + round(horizon * 1e9))
        moved = [relative(start[valid], end[valid]) for start, end in zip(starts, ends, strict=True)]
        scatter = relative(moved[0], moved[1])
        block = block_length(horizon, windows.every, int(valid.sum()))
        position, heading = _columns(error)
        position_floor, heading_floor = _columns(scatter)
        floor = floors.get(horizon, (None, None))
        found += [
            Samples("pos_end_err", horizon, "m", block, median, (position,), floor=floor[0]),
            Samples("yaw_end_err", horizon, "rad", block, median, (heading,), floor=floor[1]),
            Samples("pos_end_p95", horizon, "m", block, percentile95, (position,)),
            Samples("yaw_end_p95", horizon, "rad", block, percentile95, (heading,)),
            Samples("truth_pos_err", horizon, "m", block, median, (position_floor,)),
            Samples("truth_yaw_err", horizon, "rad", block, median, (heading_floor,)),
        ]
        if horizon >= RATE_HORIZON:
            pick = slice(0, step + 1, 5)
            aligned = aligned_rmse(simulated[valid, pick, :2], windows.truth[valid, pick, :2])
            found.append(Samples("ate_rmse", horizon, "m", block, median, (aligned[:, None],)))
    return found


def _columns(error: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Turn pose errors (n, 3) into distances (n, 1) and absolute headings (n, 1)."""
    return np.hypot(error[:, 0], error[:, 1])[:, None], np.abs(wrap_angle(error[:, 2]))[:, None]


def aligned_rmse(a: FloatArray, b: FloatArray) -> FloatArray:
    """Root mean square distance (K,) of paths (K, T, 2) after the best rotation and shift of each (Umeyama)."""
    a, b = a - a.mean(axis=1, keepdims=True), b - b.mean(axis=1, keepdims=True)
    dot = (a * b).sum(axis=(1, 2))
    cross = (a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]).sum(axis=1)
    squares = (a * a).sum(axis=(1, 2)) + (b * b).sum(axis=(1, 2)) - 2.0 * np.hypot(dot, cross)
    result: FloatArray = np.sqrt(np.maximum(squares, 0.0) / a.shape[1])
    return result


def _rate_samples(windows: Windows, simulated: FloatArray) -> list[Samples]:
    if RATE_HORIZON not in windows.horizons:
        return []
    number = windows.horizons.index(RATE_HORIZON)
    valid, last = windows.valid[:, number], int(windows.horizon_steps[number])
    if not valid.any():
        return []
    real, replay = rates(windows.truth[valid, : last + 1]), rates(simulated[valid, : last + 1])
    error = ((replay - real) ** 2).mean(axis=1)
    block = block_length(RATE_HORIZON, windows.every, int(valid.sum()))
    found = [
        Samples(name, RATE_HORIZON, unit, block, root_mean, (error[:, [axis]],))
        for axis, (name, unit) in enumerate((("v_rmse", "m/s"), ("omega_rmse", "rad/s")))
    ]
    offset, table = lag_table(replay[..., 1], real[..., 1])
    wanted = [("offset_ms", _best_offset, offset)]
    if windows.log.drive == "differential" and commands_body(windows.log):
        wanted += [("delay_ms", _best_delay, table), ("tau_ms", _best_lag, table)]
    return found + [
        Samples(name, RATE_HORIZON, "ms", block, statistic, (values,), additive=True)
        for name, statistic, values in wanted
    ]


def lag_table(replay: FloatArray, real: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Collect, by window, the sums from which offset, delay and lag between two signals follow.

    The real signal y is held against the replayed u through a first-order lag tau and a shift d: the pair (tau, d) with
    the greatest correlation of y(t) and lag(u)(t - d) is sought, d within ``MAX_OFFSET``.

    Args:
        replay: (K, T) the replayed signal every ``STEP``.
        real: (K, T) the real one.

    Returns:
        (K, 3 D) for tau = 0, and (K, 3 L D) for all tau: products uy, squares uu, squares yy by tau and shift.
    """
    steps = round(MAX_OFFSET / STEP)
    shifts = np.arange(-steps, steps + 1)
    middle = slice(max(steps, round(_WARM_UP / STEP)), replay.shape[1] - steps)
    window = np.lib.stride_tricks.sliding_window_view(real, middle.stop - middle.start, axis=1)
    shifted = window[:, middle.start + shifts]  # (K, D, M): y(t + d)
    squares = np.einsum("kdm,kdm->kd", shifted, shifted)
    sums = []
    for lag in _LAG_GRID:
        lagged = _first_order(replay, lag)[:, middle]
        product = np.einsum("km,kdm->kd", lagged, shifted)
        energy = np.repeat(np.einsum("km,km->k", lagged, lagged)[:, None], len(shifts), axis=1)
        sums.append(np.stack([product, energy, squares], axis=1))
    table = np.stack(sums, axis=2)  # (K, 3, L, D)
    return table[:, :, 0].reshape(len(replay), -1), table.reshape(len(replay), -1)


def _first_order(signal: FloatArray, lag: float) -> FloatArray:
    if lag <= 0.0:
        return signal
    decay = np.exp(-STEP / lag)
    out = np.empty_like(signal)
    out[:, 0] = signal[:, 0]
    for index in range(1, signal.shape[1]):
        out[:, index] = decay * out[:, index - 1] + (1.0 - decay) * signal[:, index]
    return out


def _correlation(values: FloatArray, lags: int) -> FloatArray:
    """Return correlations (..., L, D) of summed tables (..., 3 L D)."""
    sums = values.reshape(*values.shape[:-1], 3, lags, -1)
    scale = np.sqrt(sums[..., 1, :, :] * sums[..., 2, :, :])
    result: FloatArray = sums[..., 0, :, :] / np.where(scale > 0, scale, np.inf)
    return result


def _peak(curve: FloatArray) -> FloatArray:
    """Return the shift [ms] of the greatest value of curves (..., D), refined by a parabola."""
    best = curve.argmax(axis=-1)
    inner = np.clip(best, 1, curve.shape[-1] - 2)
    left, here, right = (np.take_along_axis(curve, (inner + k)[..., None], -1)[..., 0] for k in (-1, 0, 1))
    bend = left - 2.0 * here + right
    fine = np.where((best == inner) & (bend < 0), 0.5 * (left - right) / np.where(bend < 0, bend, -1.0), best - inner)
    result: FloatArray = (inner + fine - curve.shape[-1] // 2) * STEP * 1e3
    return result


def _best_offset(values: FloatArray) -> FloatArray:
    return _peak(_correlation(values, 1)[..., 0, :])


def _best_pair(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    table = _correlation(values, len(_LAG_GRID))
    best = table.max(axis=-1).argmax(axis=-1)
    return _LAG_GRID[best] * 1e3, _peak(np.take_along_axis(table, best[..., None, None], axis=-2)[..., 0, :])


def _best_delay(values: FloatArray) -> FloatArray:
    return _best_pair(values)[1]


def _best_lag(values: FloatArray) -> FloatArray:
    return _best_pair(values)[0]


def _metre_samples(windows: Windows, simulated: FloatArray, metres: float) -> list[Samples]:
    """Position error once the truth has travelled so far, in windows that get there within the longest horizon."""
    last = int(windows.horizon_steps[-1])
    valid = windows.valid[:, -1]
    # Path over steps of half a second: shorter ones would add up the tracker's noise.
    pick = np.arange(0, last + 1, 25)
    path = windows.truth[valid][:, pick, :2]
    travelled = np.concatenate(
        [np.zeros((len(path), 1)), np.cumsum(np.hypot(*np.moveaxis(np.diff(path, axis=1), -1, 0)), axis=1)], axis=1
    )
    arrives = travelled[:, -1] >= metres
    if not arrives.any():
        return []
    step = pick[(travelled[arrives] >= metres).argmax(axis=1)]
    rows = np.flatnonzero(valid)[arrives]
    position, _ = _columns(relative(windows.truth[rows, step], simulated[rows, step]))
    block = block_length(windows.horizons[-1], windows.every, len(rows))
    return [Samples(f"rpe_{metres:g}m", None, "m", block, median, (position,))]
