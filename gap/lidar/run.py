"""The lidar gap of one log, and the noise that narrows it: map from one half, everything else on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...common.errors import InputError
from ...common.geometry import FloatArray
from ...perception.config import LidarConfig
from ...robots.twin import Twin, TwinParameter
from ..fieldlog import FieldLog, IntArray
from ..metrics import Metric
from .c2st import TwoSample, scan_windows, two_sample_test
from .map import Expected, LidarMap, build_map, split_stretches
from .metrics import MAD_TO_SIGMA, Mask, ScanPairs, residuals, scan_metrics
from .noise import NoiseSample, fit_noise, range_step
from .residuals import MOVING, Residuals, measure_residuals
from .sensor import SensorClass, sensor_class
from .simulate import fitted_lidar, perfect_lidar, profile_lidar, simulate_scans

RAW = "lidar_raw_"
"""What names of metrics at the reference poses begin with, instead of ``lidar_``."""
MOST_SCANS = 1200
"""Scans, evenly spread, that are judged and fitted to."""


@dataclass(frozen=True)
class HeldScans:
    """Scans of the judge's half of a log, held against the map of the other half.

    Attributes:
        log: the log.
        map: made of the scans of every other stretch of path, or a layout.
        own_map: whether it was made of the log.
        residuals: of the scans that the map was not made of, split by cause.
        picked: (K,) scans of those that are simulated, judged and fitted to.
        sensor: what the scans read like.
    """

    log: FieldLog
    map: LidarMap
    own_map: bool
    residuals: Residuals
    picked: IntArray
    sensor: SensorClass


@dataclass(frozen=True)
class LidarGap:
    """The lidar's part of the gap.

    Attributes:
        metrics: ``lidar_*`` with scans aligned to the map, ``lidar_raw_*`` at the reference poses.
        shares: parts of the core's mean square at reference poses, by cause (pose, map, pose_left, sensor).
        notes: in words for people.
        model: what was simulated.
        pairs: real and simulated scans at aligned poses, for drawing.
    """

    metrics: list[Metric]
    shares: dict[str, float]
    notes: list[str]
    model: str
    pairs: ScanPairs

    def metric(self, name: str) -> Metric:
        """Return a metric by name; raises KeyError if there is none."""
        for item in self.metrics:
            if item.name == name:
                return item
        raise KeyError(name)


def measure_lidar(
    log: FieldLog,
    *,
    twin: Twin | None = None,
    layout: LidarMap | None = None,
    seed: int = 0,
    perfect: bool = False,
) -> LidarGap:
    """Measure how far simulated scans are from a log's real ones.

    Args:
        log: with scans and reference poses.
        twin: whose lidar section is simulated. Without one (or without the section) it is the data sheet of the device
            that the scans read most like.
        layout: a map from elsewhere; None makes one of the scans of every other 3 m of path, and judges the others.
        seed: of noise, classifier and bootstraps.
        perfect: simulate a lidar without noise instead.

    Raises:
        InputError: no scans or poses, or a map that covers nothing.
    """
    return judge(hold_scans(log, layout=layout, seed=seed), twin=twin, seed=seed, perfect=perfect)


def fit_lidar(logs: Sequence[FieldLog], seed: int = 0) -> dict[str, TwinParameter]:
    """Fit the noise of the lidar that some logs share: a twin's ``lidar`` section; see ``noise``.

    Raises:
        InputError: no log with scans, sensors that step differently, or too few beams.
    """
    if not logs:
        raise InputError("no log with lidar scans was given", mend="name a log with scans and reference poses")
    return fit_held([hold_scans(log, seed=seed) for log in logs], seed)


def hold_scans(log: FieldLog, *, layout: LidarMap | None = None, seed: int = 0) -> HeldScans:
    """Make the map of a log, align the scans that it was not made of, and split their residuals."""
    of_map = split_stretches(log)
    if layout is None:
        lidar_map, judged = build_map(log, of_map), ~of_map
    else:
        lidar_map, judged = layout, np.ones_like(of_map)
    return held_scans(log, lidar_map, measure_residuals(log, lidar_map, judged, seed=seed), own_map=layout is None)


def held_scans(log: FieldLog, lidar_map: LidarMap, found: Residuals, *, own_map: bool) -> HeldScans:
    """Take residuals that were measured elsewhere; ``own_map``: whether the map was made of the same log."""
    count = len(found.scans)
    picked = np.unique(np.linspace(0, count - 1, min(count, MOST_SCANS)).astype(np.int64))
    return HeldScans(log, lidar_map, own_map, found, picked, sensor_class(found.scans))


def fit_held(held: Sequence[HeldScans], seed: int) -> dict[str, TwinParameter]:
    """Fit the noise to scans that are held against their maps; as ``fit_lidar``."""
    samples = [noise_sample(each) for each in held]
    steps = sorted({sample.resolution for sample in samples})
    if len(steps) > 1:
        raise InputError(
            f"the logs' lidars report ranges in different steps: {', '.join(f'{step:g} m' for step in steps)}",
            where="lidar noise",
            mend="fit each kind of sensor on its own",
        )
    return fit_noise(samples, seed=seed, own_map=all(each.own_map for each in held))


def noise_sample(held: HeldScans) -> NoiseSample:
    """Return the residuals at aligned poses as ``fit_noise`` takes them."""
    found, picked = held.residuals, held.picked
    real = found.scans.ranges[picked].astype(np.float64)
    expected = found.expected[picked].astype(np.float64)
    expected[~np.isfinite(expected)] = np.nan
    # What moves or has changed is the scene's affair, which simulates people and goods itself.
    expected[found.label[picked] == MOVING] = np.nan
    return NoiseSample(
        error=residuals(real, expected),
        expected=expected,
        empty=np.isfinite(expected) & ~np.isfinite(real),
        surface=found.surface[picked],
        cosine=_cosines(held),
        stretch=found.stretch[picked],
        spacing=abs(found.scans.angle_increment),
        resolution=range_step(found.scans.ranges),
    )


def judge(held: HeldScans, *, twin: Twin | None = None, seed: int = 0, perfect: bool = False) -> LidarGap:
    """Measure the gap of scans that are held against their map; as ``measure_lidar``."""
    config, model = _simulated(held, twin, perfect)
    found, picked = held.residuals, held.picked
    scans = found.scans.where(np.isin(np.arange(len(found.scans)), picked))
    name, metrics = held.log.name, []
    if not (np.isfinite(found.expected[picked]) & np.isfinite(scans.ranges)).any():
        raise InputError(
            "the map has no surface where any of the judged beams returns",
            where=name,
            mend="check that map or layout lie in the frame of the log's poses",
        )
    kept: ScanPairs | None = None
    for aligned in (True, False):
        poses = (found.pose if aligned else found.pose_raw)[picked]
        expected = Expected(found.expected[picked], found.surface[picked]) if aligned else held.map.expected(poses)
        simulated = simulate_scans(config, held.map, poses, expected, scans, seed=seed)
        ranges = expected.ranges.astype(np.float64)
        pairs = ScanPairs(
            scans.angles, ranges, scans.ranges.astype(np.float64), simulated, found.stretch[picked], poses
        )
        rows = scan_metrics(pairs, name, local_noise=found.noise, seed=seed)
        rows.append(_told_apart(pairs, name, seed))
        metrics += rows if aligned else [_renamed(row) for row in rows]
        kept = kept or pairs
    assert kept is not None
    metrics.append(_short_metric(held))
    shares = {name: share.value for name, share in found.shares.items()}
    unknown = sorted({row.name.replace(RAW, "lidar_") for row in metrics if not np.isfinite(row.value)})
    notes = _notes(held, model)
    if unknown:
        notes.append(f"{name}: too few scans or beams for {', '.join(unknown)}")
    return LidarGap([row for row in metrics if np.isfinite(row.value)], shares, notes, model, kept)


def _simulated(held: HeldScans, twin: Twin | None, perfect: bool) -> tuple[LidarConfig, str]:
    scans = held.residuals.scans
    if perfect:
        return perfect_lidar(scans), "a lidar without noise"
    if twin is not None and twin.lidar:
        return fitted_lidar(twin.lidar, scans), f"twin {twin.name} version {twin.version}"
    return profile_lidar(held.sensor.profile, scans), f"data sheet {held.sensor.profile}"


def _told_apart(pairs: ScanPairs, name: str, seed: int) -> Metric:
    """Return C2ST between real and simulated scans; its floor is that between two halves of the real stretches."""
    hidden: Mask = ~pairs.known
    real = scan_windows(np.where(hidden, np.nan, pairs.real), pairs.angles, pairs.stretch)
    simulated = scan_windows(np.where(hidden, np.nan, pairs.simulated), pairs.angles, pairs.stretch)
    result = two_sample_test(real, simulated, seed=seed, path=(name,))
    half = np.unique(real[1], return_inverse=True)[1] % 2 == 0 if len(real[1]) else np.zeros(0, np.bool_)
    floor = two_sample_test((real[0][half], real[1][half]), (real[0][~half], real[1][~half]), seed=seed, path=(name,))
    return _as_metric(result, floor, name)


def _as_metric(result: TwoSample, floor: TwoSample, name: str) -> Metric:
    base = floor.accuracy if np.isfinite(floor.accuracy) else None
    ratio = result.accuracy / base if base else None
    return Metric("lidar_c2st", name, None, result.accuracy, result.ci_low, result.ci_high, result.n, base, ratio, "1")


def _short_metric(held: HeldScans) -> Metric:
    short = held.residuals.short
    n = int(np.isfinite(held.residuals.expected).sum())
    return Metric(
        "lidar_unexplained_short", held.log.name, None, short.value, short.ci_low, short.ci_high, n, None, None, "1"
    )


def _renamed(row: Metric) -> Metric:
    values = row.to_row() | {"name": row.name.replace("lidar_", RAW, 1)}
    return Metric(**values)  # type: ignore[arg-type]


def _cosines(held: HeldScans) -> FloatArray:
    """Return the cosine (K, B) of each beam's incidence on the mapped surface, 1 where there is none."""
    found, picked = held.residuals, held.picked
    surface = found.surface[picked]
    angle = found.pose[picked, 2:3] + found.scans.angles
    normal = held.map.segments.normal[np.maximum(surface, 0)]
    cosine = np.abs(normal[..., 0] * np.cos(angle) + normal[..., 1] * np.sin(angle))
    return np.where(surface >= 0, np.minimum(cosine, 1.0), 1.0)


def _notes(held: HeldScans, model: str) -> list[str]:
    found, name = held.residuals, held.log.name
    notes = [
        f"{name}: lidar simulated as {model}",
        f"{name}: " + "; ".join(held.sensor.evidence),
    ]
    if held.own_map:
        notes.append(
            f"{name}: the map was made of the scans of every other 3 m of path; {len(held.picked)} others are judged"
        )
    notes += [f"{name}: {line}" for line in found.notes]
    core = residuals(found.scans.ranges, found.expected)
    core = core[np.abs(core) < found.core]
    if len(core):
        spread = MAD_TO_SIGMA * float(np.median(np.abs(core - np.median(core))))
        notes.append(
            f"{name}: residuals spread by {1e3 * spread:.0f} mm, the sensor alone by {1e3 * found.noise:.0f} mm"
        )
    return notes
