"""What scans tell of their sensor without a map: its noise, its step, and which known device it reads like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...common.errors import InputError
from ...common.geometry import FloatArray
from ...perception.lidar_profile import lidar_profiles, load_lidar
from ..fieldlog import Scans

NEAR, FAR = 0.3, 10.0
"""Ranges [m] between which noise is read: nearer ones may be the robot itself, farther footprints cover edges."""
GRAZING = 4.0
"""A surface is smooth where neighbours differ by less than this times the spacing of beams (and ``JUMP``)."""
JUMP = 0.1
LEAST = 200
"""Triples of beams that a noise figure needs."""
MOST = 400_000
"""Triples that are looked at."""
MOST_RANGES = 4_000_000
"""Ranges that a class is told by; of longer logs every n-th scan is taken."""
CUT = 3.0
"""Deviations beyond which a triple is an edge, not noise ..."""
_CUT_VARIANCE = 0.9733
"""... and what that leaves of a normal variable's variance."""
STEPS = (0.1, 0.05, 0.04, 0.025, 0.02, 0.01, 0.005, 0.002, 0.001)
"""Steps of ranges that devices and files have [m]."""
COHERENT = 0.5
"""Ranges come in steps of q if |mean exp(2 pi i r / q)| is above this: 1 for whole steps, 0 for none."""


@dataclass(frozen=True)
class SensorClass:
    """Which device scans read like, and why.

    Attributes:
        profile: the nearest of ``perception.lidar_profiles()``; ``device``: its name.
        noise: standard deviation of a range on a smooth surface [m].
        step: of the ranges [m]; None if they have none above 1 mm.
        farthest: greatest range read [m].
        beams: number. field_of_view: [rad].
        distance: how unlike the profile is, 0 for equal; ``ranking``: of all planar profiles, nearest first.
        evidence: the above in words.
    """

    profile: str
    noise: float
    step: float | None
    farthest: float
    beams: int
    field_of_view: float
    distance: float
    ranking: tuple[tuple[str, float], ...]
    evidence: tuple[str, ...]


def local_noise(scans: Scans, least: int = LEAST) -> float:
    """Return the standard deviation of a range on a smooth surface [m], from neighbouring beams alone.

    On a straight wall 1 / r is a sinusoid of the azimuth, so that for three neighbouring beams, ``step`` apart,
    r2 = 2 cos(step) / (1 / r1 + 1 / r3) exactly. The deviation of what this misses is read off with triples beyond
    three of it cut away until nothing changes, starting from the 75th percentile: a median would jump between the
    steps of a coarse sensor. An error of r1 and r3 counts half each, so it is sqrt(3 / 2) times a range's own.

    Raises:
        InputError: fewer than ``least`` usable triples.
    """
    error = _line_errors(scans)
    if len(error) < least:
        raise InputError(
            f"only {len(error)} triples of neighbouring beams lie on smooth surfaces",
            where="lidar noise",
            mend="give a log with more scans",
        )
    return trimmed_deviation(error) / float(np.sqrt(1.5))


def standing_noise(scans: Scans, poses: FloatArray) -> float | None:
    """Return the standard deviation [m] between scans of a robot that stands, over sqrt 2; None with too few pairs.

    Args:
        scans: S scans. poses: (S, 3) of the laser: it stands where neighbours differ by under 1 mm and 0.03 degrees.
    """
    step = np.diff(poses, axis=0)
    still = (np.hypot(step[:, 0], step[:, 1]) < 0.001) & (np.abs(step[:, 2]) < 0.0005)
    ranges = np.where(np.isfinite(scans.ranges), scans.ranges, np.nan).astype(np.float64)
    change = (ranges[1:] - ranges[:-1])[still]
    change = change[np.isfinite(change)]
    return trimmed_deviation(change) / float(np.sqrt(2.0)) if len(change) >= LEAST else None


def trimmed_deviation(values: FloatArray) -> float:
    """Return the standard deviation of the normal core of values (N,), those beyond ``CUT`` of it cut away."""
    size = np.abs(values)
    sigma = float(np.quantile(size, 0.75)) / 1.1503
    for _ in range(50):
        core = size[size <= CUT * sigma]
        new = float(np.sqrt(np.mean(core**2) / _CUT_VARIANCE)) if len(core) else sigma
        if abs(new - sigma) <= 1e-9:
            break
        sigma = new
    return sigma


def range_step(scans: Scans) -> float | None:
    """Return the greatest of ``STEPS`` in which ranges come [m]; None for a finer one."""
    values = scans.ranges[np.isfinite(scans.ranges) & (scans.ranges < 2.0 * FAR)].astype(np.float64)
    values = values[:: max(1, len(values) // MOST)]
    if not len(values):
        return None
    # Float32 carries about 1e-7 of the range: no step above 1 mm is blurred by it.
    return next((q for q in STEPS if abs(np.exp(2j * np.pi * values / q).mean()) > COHERENT), None)


def sensor_class(scans: Scans) -> SensorClass:
    """Return the known device that scans read most like.

    Planar profiles are compared by noise and step (logarithms; steps under a third of the noise do not show), reach
    (a log may not reach far, but not beyond the device), field of view and angular step; each by what differs notably.

    Raises:
        InputError: too few usable ranges (see ``local_noise``).
    """
    scans = scans.where(np.arange(len(scans)) % max(1, int(np.ceil(scans.ranges.size / MOST_RANGES))) == 0)
    noise, step = local_noise(scans), range_step(scans)
    finite = scans.ranges[np.isfinite(scans.ranges)]
    farthest = float(np.quantile(finite, 0.9995))
    beams = scans.ranges.shape[1]
    increment = abs(scans.angle_increment)
    view = increment * (beams - 1)
    ranking = sorted(
        ((name, _unlike(name, noise, step, farthest, view, increment)) for name in lidar_profiles()),
        key=lambda item: (item[1], item[0]),
    )
    ranking = [item for item in ranking if np.isfinite(item[1])]
    profile, distance = ranking[0]
    told = "no step above 1 mm" if step is None else f"steps of {step * 1e3:g} mm"
    evidence = (
        f"ranges on smooth surfaces scatter by {noise * 1e3:.1f} mm (neighbouring beams)",
        f"ranges come in {told}" if step is not None else f"ranges show {told}",
        f"99.95 % of the ranges are below {farthest:.1f} m",
        f"{beams} beams, {np.degrees(increment):.3g} degrees apart, over {np.degrees(view):.0f} degrees",
        f"reads most like {profile} (unlikeness {distance:.1f}; next {ranking[1][0]}, {ranking[1][1]:.1f})"
        if len(ranking) > 1
        else f"reads most like {profile}",
    )
    return SensorClass(profile, noise, step, farthest, beams, view, distance, tuple(ranking), evidence)


def _unlike(name: str, noise: float, step: float | None, farthest: float, view: float, increment: float) -> float:
    config = load_lidar(name)
    if config.elevations != (0.0,):
        return float("inf")
    own = float(np.hypot(config.range_noise, config.range_resolution / np.sqrt(12.0)))
    found = float(np.hypot(noise, 1e-4))
    away = abs(np.log2(found / max(own, 1e-4)))
    away += 0.5 * abs(np.log2(max(step or 0.0, 0.001) / max(config.range_resolution, 0.001)))
    away += 4.0 * max(np.log2(farthest / config.range_max), 0.0)
    # A driver may report less than the device sees, never more.
    device_view = config.angle_max - config.angle_min
    away += 4.0 * max(np.log2((view - 0.05) / device_view), 0.0) + 0.5 * abs(np.log2(view / device_view))
    device_step = device_view / max(config.beams - 1, 1)
    away += 0.5 * abs(np.log2(increment / device_step))
    return float(away)


def _line_errors(scans: Scans) -> FloatArray:
    """Return (N,) what triples of neighbouring beams on smooth surfaces miss a straight wall by [m]."""
    count, beams = scans.ranges.shape
    if beams < 3:
        return np.empty(0)
    ranges: NDArray[np.float64] = scans.ranges[:: max(1, count * beams // MOST)].astype(np.float64)
    ranges[~np.isfinite(ranges)] = np.nan
    left, middle, right = ranges[:, :-2], ranges[:, 1:-1], ranges[:, 2:]
    step = abs(scans.angle_increment)
    with np.errstate(divide="ignore", invalid="ignore"):
        error = middle - 2.0 * np.cos(step) / (1.0 / left + 1.0 / right)
        smooth = (np.abs(right - left) < GRAZING * step * middle + JUMP) & (middle > NEAR) & (middle < FAR)
    found: FloatArray = error[smooth & np.isfinite(error)]
    return found
