"""The drift monitor of the sensors: do a log's lidar and wheel odometry still behave as those the twin was made of?

What is watched, by stretch of path: the median range error on known walls, the noise between neighbouring beams, the
share of lost beams (3 m each); and over 2 m each what the odometry counts too much of travel, of turns, and of heading
a metre. The twin keeps how these came out on the logs it was fitted to (``Twin.sensor_monitor``).

A change since some stretch is sought by a generalized likelihood ratio over its moment (Basseville and Nikiforov,
Detection of Abrupt Changes, 1993, section 2.4), with estimates clipped at three deviations as Huber does, the variance
of sums taken from blocks, since neighbouring stretches are alike, and the uncertainty of what is normal counted in. The
threshold comes from the calibration's own stretches: blocks of them are drawn anew into a calibration and a watched log
(a circular block bootstrap), and a Gumbel law is fitted to the greatest statistics of many such logs. A change that is
plain but too small to matter raises no alarm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..common.errors import InputError
from ..common.geometry import FloatArray, wrap_angle
from ..common.seeding import generator
from ..robots.twin import SoundStretches, Twin, TwinParameter
from .drift import FALSE_ALARMS, DriftReport, DriftRow
from .fieldlog import SECOND, FieldLog
from .lidar.residuals import SENSOR, Residuals
from .lidar.run import hold_scans
from .lidar.sensor import local_noise
from .odometry import odometry_windows

METRES = 2.0
"""Travel of a window of odometry [m]."""
FEWEST_SOUND = 12
"""Stretches of a calibration below which a quantity is not watched."""
FEWEST_WATCHED = 6
MOST_STRETCHES = 400
"""Stretches of a log that a twin keeps, the first ones."""
LEAST_BEAMS = 100
"""Beams of a stretch below which it tells nothing."""
ALIKE_SHARE = 0.75
"""Of its limit that a statistic must reach for its quantity to be named as what may have moved instead."""
_CLIP = 3.0
_DRAWS = 400
_ONSETS = 100
"""Supposed moments of a change, evenly spread over the log."""
_BLOCKS = 8
_EULER = 0.5772156649
_REACH = 1.959964


@dataclass(frozen=True)
class Quantity:
    """Something that is watched: its unit, and the least change that matters, in it (of the noise: its logarithm)."""

    unit: str
    matters: float


QUANTITIES = {
    "lidar_bias": Quantity("m", 0.005),
    "lidar_noise": Quantity("m", 0.2),
    "lidar_dropout": Quantity("1", 0.02),
    "odometry_travel": Quantity("m/m", 0.01),
    "odometry_turn": Quantity("rad/rad", 0.02),
    "odometry_drift": Quantity("rad/m", 0.005),
}
"""Range error [m], deviation of a beam's noise [m], share of lost beams, and what the odometry counts too much."""


@dataclass(frozen=True)
class Stretches:
    """One quantity along a log: scores and what each tells (K,), and the time of each one's end [s] (K,)."""

    score: FloatArray
    info: FloatArray
    time: FloatArray

    def __len__(self) -> int:
        return len(self.score)


def sound_sensors(
    logs: Sequence[FieldLog], odometry: Mapping[str, TwinParameter], seed: int = 0
) -> dict[str, dict[str, SoundStretches]]:
    """Return how the sensors of sound robots came out, as a twin keeps it.

    Args:
        logs: that the twin is fitted to. odometry: its section.
        seed: of the split of the residuals.
    """
    found: dict[str, dict[str, SoundStretches]] = {}
    for log in logs:
        residuals = None
        if log.scans is not None and len(log.scans) > 1 and len(log.pose_t_ns) > 1:
            try:
                residuals = hold_scans(log, seed=seed).residuals
            except InputError:
                residuals = None  # the lidar's section says why
        for name, item in sensor_stretches(log, odometry, residuals).items():
            if len(item):
                score, info = ([float(f"{x:.6g}") for x in part[:MOST_STRETCHES]] for part in (item.score, item.info))
                found.setdefault(name, {})[log.name] = SoundStretches(score=score, info=info)
    return found


def sensor_stretches(
    log: FieldLog, odometry: Mapping[str, TwinParameter], residuals: Residuals | None
) -> dict[str, Stretches]:
    """Return each quantity along a log; without scans or odometry those are left out.

    Args:
        log: the log. odometry: section of a twin: what it expects of windows. residuals: of the log's scans.
    """
    found: dict[str, Stretches] = {}
    if residuals is not None:
        found |= _lidar(residuals, log.pose_t_ns[0])
    if odometry and len(log.odom_t_ns) > 1 and len(log.pose_t_ns) > 1:
        found |= _odometry(log, {name: item.value for name, item in odometry.items()})
    return found


def watch_sensors(
    log: FieldLog, twin: Twin, residuals: Residuals | None, seed: int = 0, *, false_alarms: float = FALSE_ALARMS
) -> DriftReport | None:
    """Hold a log's lidar and odometry against a twin.

    Args:
        log: of a robot of the twin's kind.
        twin: with ``sensor_monitor``; without it nothing can be watched.
        residuals: of the log's scans against a map; None where it has none.
        seed: of the block bootstrap.
        false_alarms: probability that a sound log raises an alarm, shared by the quantities.

    Returns:
        None where twin and log have nothing in common, or too few stretches of it.
    """
    if not twin.sensor_monitor:
        return None
    rows: list[_Watched] = []
    notes = []
    for name, item in sensor_stretches(log, twin.odometry, residuals).items():
        sound = _sound_of(twin, name, log.name)
        if len(sound) < FEWEST_SOUND or len(item) < FEWEST_WATCHED:
            notes.append(
                f"{name} is not watched: {len(sound)} stretches calibrate ({FEWEST_SOUND} are needed), {len(item)} are "
                f"watched ({FEWEST_WATCHED})."
            )
            continue
        watched = np.column_stack([item.score, item.info])
        rows.append(_row(name, sound, watched, item.time, false_alarms / len(QUANTITIES), seed))
    if not rows:
        return None
    notes.append(
        "A lidar's bias shows against a map from elsewhere (--layout), or where it sets in during the log: a map made "
        "of the log itself moves with it."
    )
    alarms = [item for item in rows if item.at_s is not None]
    shown = [item.row for item in rows]
    if not alarms:
        return DriftReport(False, None, None, (), None, None, None, None, shown, notes)
    # One change may show in several quantities, first in one that it moves a little: it is named by what moved most.
    most = max(alarms, key=lambda item: item.strength)
    row, change = most.row, most.row.now - most.row.expected
    return DriftReport(
        alarm=True,
        at_s=min(item.at_s for item in alarms if item.at_s is not None),
        parameter=row.parameter,
        also=tuple(item.row.parameter for item in rows if item is not most and _alike(item, most)),
        change=change,
        change_low=change - most.half,
        change_high=change + most.half,
        began_s=row.since_s,
        rows=shown,
        notes=notes,
    )


def joined(first: DriftReport | None, second: DriftReport | None) -> DriftReport | None:
    """Return one report of two parts of a log: the earlier alarm counts, what else moved stands among the rows."""
    if first is None or second is None:
        return first or second
    early = min((first, second), key=lambda item: np.inf if item.at_s is None else item.at_s)
    return DriftReport(
        early.alarm, early.at_s, early.parameter, early.also, early.change, early.change_low, early.change_high,
        early.began_s, [*first.rows, *second.rows], [*first.notes, *second.notes],
    )  # fmt: skip


def _lidar(found: Residuals, begin_ns: int) -> dict[str, Stretches]:
    """Median error on walls, log of the local noise and share of lost beams, by stretch of path."""
    rows: dict[str, list[tuple[float, float]]] = {"lidar_bias": [], "lidar_noise": [], "lidar_dropout": []}
    known = np.isfinite(found.expected)
    lost = known & ~np.isfinite(found.measured)
    error = np.subtract(found.measured, found.expected, where=known & ~lost, out=np.full(known.shape, np.nan, "f4"))
    wall = (found.label == SENSOR) & (np.abs(error) < found.core)
    for stretch in np.unique(found.stretch):
        mask = found.stretch == stretch
        end = float(found.scans.t_ns[mask][-1] - begin_ns) / SECOND
        on_wall, beams = error[mask][wall[mask]], int(known[mask].sum())
        if len(on_wall) >= LEAST_BEAMS:
            rows["lidar_bias"].append((float(np.median(on_wall)), end))
        if beams >= LEAST_BEAMS:
            rows["lidar_dropout"].append((float(lost[mask].sum()) / beams, end))
        try:
            noise = local_noise(found.scans.where(mask), LEAST_BEAMS)
        except InputError:
            continue  # too few neighbouring beams on a smooth wall
        if noise > 0.0:
            rows["lidar_noise"].append((float(np.log(noise)), end))
    return {
        name: Stretches(np.array([x for x, _ in items]), np.ones(len(items)), np.array([t for _, t in items]))
        for name, items in rows.items()
        if items
    }


def _odometry(log: FieldLog, values: Mapping[str, float]) -> dict[str, Stretches]:
    """Scores of travel, turn and drift in windows that do not overlap; heading weighs by how much a window turns."""
    try:
        windows = odometry_windows(log, METRES)
    except InputError:
        return {}
    keep: list[int] = []
    for index in range(len(windows)):
        if not keep or windows.at[index] >= windows.at[keep[-1]] + windows.travel[keep[-1]]:
            keep.append(index)
    chosen = windows.where(np.isin(np.arange(len(windows)), keep))
    travel_gain, turn_gain = values["travel_gain"], values["turn_gain"]
    drift = values["heading_per_metre"] / (travel_gain * turn_gain)
    s, g = chosen.travel, chosen.net
    along = chosen.error[:, 0] - (1.0 - 1.0 / travel_gain) * s
    heading = wrap_angle(chosen.error[:, 2]) - (1.0 - 1.0 / turn_gain) * g - drift * s
    weight = 1.0 / (1.0 + chosen.turn)
    end = (chosen.end_ns - log.pose_t_ns[0]) / SECOND
    turned = np.abs(g) > 1e-3
    return {
        "odometry_travel": Stretches(along * s, s * s, end),
        "odometry_turn": Stretches((heading * g * weight)[turned], (g * g * weight)[turned], end[turned]),
        "odometry_drift": Stretches(heading * s * weight, s * s * weight, end),
    }


def _sound_of(twin: Twin, name: str, log: str) -> FloatArray:
    """Return scores and infos (K, 2) of a log that the twin knows, else of all logs of its calibration."""
    by_log = twin.sensor_monitor.get(name, {})
    chosen = [by_log[log]] if log in by_log else list(by_log.values())
    parts = [np.column_stack([item.score, item.info]) for item in chosen]
    return np.concatenate(parts) if parts else np.empty((0, 2))


@dataclass(frozen=True)
class _Normal:
    """What is normal: the estimate, its deviation and information, and the variance of sums by information."""

    level: float
    clip: float
    info: float
    variance: float

    def off(self, values: FloatArray) -> FloatArray:
        """Return clipped scores (..., K) against the level, of scores and infos (..., K, 2)."""
        root = np.sqrt(values[..., 1])
        size = np.clip((values[..., 0] - self.level * values[..., 1]) / root, -self.clip, self.clip)
        result: FloatArray = size * root
        return result


def _normal(sound: FloatArray) -> _Normal:
    info, root = float(sound[:, 1].sum()), np.sqrt(sound[:, 1])
    level, clip = float(sound[:, 0].sum() / info), np.inf
    for _ in range(5):
        size = (sound[:, 0] - level * sound[:, 1]) / root
        clip = _CLIP * max(1.4826 * float(np.median(np.abs(size))), 1e-12)
        level += float((np.clip(size, -clip, clip) * root).sum()) / info
    off = _Normal(level, clip, info, 1.0).off(sound)
    length = max(1, len(sound) // _BLOCKS)
    whole = len(sound) // length * length
    blocks, told = (part[:whole].reshape(-1, length).sum(axis=1) for part in (off, sound[:, 1]))
    variance = max(float((off**2).sum()) / info, float((blocks**2 / told).mean()), 1e-24)
    return _Normal(level, clip, info, variance)


def _statistics(normal: _Normal, watched: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return by stretch the greatest statistic (K,) over moments of change, and that moment (K,)."""
    count = len(watched)
    sums, told = (np.concatenate([[0.0], np.cumsum(part)]) for part in (normal.off(watched), watched[:, 1]))
    onsets = np.unique(np.linspace(0, count - 2, min(count - 1, _ONSETS)).astype(np.int64))
    change, info = sums[None, 1:] - sums[onsets, None], told[None, 1:] - told[onsets, None]
    later = np.arange(1, count + 1) - onsets[:, None] >= 2
    spread = np.sqrt(normal.variance * np.where(later, info * (1.0 + info / normal.info), 1.0))
    found = np.where(later, np.abs(change) / spread, 0.0)
    return found.max(axis=0), onsets[found.argmax(axis=0)]


def _limit(sound: FloatArray, watched: int, rate: float, seed: int, name: str) -> float:
    """Return what a sound log's statistic exceeds with a probability of ``rate``."""
    rng = generator(seed, "gap.drift.sensors", name)
    count, block = len(sound), max(2, int(np.ceil(len(sound) ** 0.5)))
    blocks = -(-(count + watched) // block)
    greatest = np.empty(_DRAWS)
    for draw in range(_DRAWS):
        begin = rng.integers(0, count, blocks)
        drawn = sound[(begin[:, None] + np.arange(block)).ravel()[: count + watched] % count]
        greatest[draw] = _statistics(_normal(drawn[:count]), drawn[count:])[0].max()
    scale = float(greatest.std()) * np.sqrt(6.0) / np.pi
    return float(greatest.mean() - _EULER * scale - scale * np.log(-np.log1p(-rate)))


@dataclass(frozen=True)
class _Watched:
    """A quantity's row, when its alarm went off [s] (None: it did not), half the interval of its change, and its
    greatest statistic over the limit."""

    row: DriftRow
    at_s: float | None
    half: float
    strength: float


def _alike(item: _Watched, most: _Watched) -> bool:
    """Tell whether a quantity moved too, or nearly did and is of the same sensor: turns and drift look much alike."""
    same = item.row.parameter.split("_")[0] == most.row.parameter.split("_")[0]
    return item.at_s is not None or (same and item.strength >= ALIKE_SHARE)


def _row(name: str, sound: FloatArray, watched: FloatArray, time: FloatArray, rate: float, seed: int) -> _Watched:
    """Watch one quantity."""
    normal, quantity = _normal(sound), QUANTITIES[name]
    limit = _limit(sound, len(watched), rate, seed, name)
    statistic, onset = _statistics(normal, watched)
    at = None
    for index in np.flatnonzero(statistic > limit):
        if abs(_level(watched[onset[index] : index + 1]) - normal.level) >= quantity.matters:
            at = int(index)
            break
    end = int(statistic.argmax()) if at is None else at
    first = int(onset[end])
    part = watched[first : end + 1]
    now, told = _level(part), float(part[:, 1].sum())
    half_before = _REACH * float(np.sqrt(normal.variance / normal.info))
    half = _REACH * float(np.sqrt(normal.variance / told))
    # A plain change that is too small to matter is no alarm: its statistic is told as that at the limit.
    top = float(statistic[end]) if at is not None else min(float(statistic[end]), limit)

    def shown(value: float) -> float:
        return float(np.exp(value)) if name == "lidar_noise" else value

    row = DriftRow(
        name, quantity.unit, shown(normal.level), shown(normal.level - half_before), shown(normal.level + half_before),
        shown(now), shown(now - half), shown(now + half), float(time[first - 1]) if first else 0.0, top, limit,
    )  # fmt: skip
    width = 0.5 * (row.now_high - row.now_low) + 0.5 * (row.expected_high - row.expected_low)
    return _Watched(row, None if at is None else float(time[at]), width, float(statistic.max()) / limit)


def _level(part: FloatArray) -> float:
    """Return the estimate of some stretches (K, 2): the weighted median of theirs, which no single room moves."""
    value, weight = part[:, 0] / part[:, 1], np.sqrt(part[:, 1])
    order = np.argsort(value, kind="stable")
    half = np.cumsum(weight[order])
    return float(value[order][np.searchsorted(half, 0.5 * half[-1])])
