"""The split of what a log's sensors err by: lidar ranges and beams, and wheel odometry, in the common form.

Lidar ranges: 100 % is the mean square of the residuals of beams on mapped surfaces at the log's own poses; the parts
are those of ``lidar.residuals``. Lidar beams: 100 % is the share of beams that do not end on the mapped surface; a
second currency, because a pallet that was moved is metres wrong in a few beams and would drown the millimetres of all
others. Odometry: 100 % is the mean squared heading error over 5 m of travel, on the part of the run that was not
fitted: a wrong heading is what makes the position wrong further on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import FloatArray
from ..common.seeding import generator
from ..robots.twin import Twin
from .lidar.residuals import SENSOR, Residuals
from .lidar.residuals import Share as LidarShare
from .metrics import Metric
from .odometry import OdometryGap
from .sources import ErrorSplit, Fix, Share, Source

_RANGE: dict[str, tuple[Source, str, str]] = {
    "pose": ("reference", "Log's poses", "goes away when each scan is laid on the map: the logged pose is off"),
    "pose_left": ("reference", "Poses, left over", "neighbouring beams are still off together"),
    "map": ("scene", "Map", "the same wall is off in every pass: the map is not exact there"),
    "sensor": ("sensor", "Sensor", "differs from scan to scan: the lidar's own noise"),
}
_BEAM: dict[str, tuple[Source, str, str]] = {
    "pose": ("reference", "Log's poses", "on the wall once the scan is laid on the map"),
    "map": ("scene", "Edges and gaps of the map", "beside an edge, or through what the map takes for a wall"),
    "moving": ("scene", "Moved or changed", "ends on something that the map does not have: people, pallets, doors"),
    "short": ("unexplained", "Short, not explained", "ends too soon for no reason that the map knows"),
    "dropout": ("sensor", "No return", "nothing came back though a wall is in reach"),
}
BLOCK_METRES = 25.0
"""Travel that the odometry's intervals resample together [m]."""
_RESAMPLES = 500


def lidar_errors(residuals: Residuals, name: str) -> list[ErrorSplit]:
    """Return a lidar's two splits."""
    total = sum(residuals.variance.values())
    ranges = tuple(_share(_RANGE[part], share, 1.0) for part, share in residuals.shares.items())
    beams = {part: share for part, share in residuals.beams.items() if part in _BEAM}
    off = sum(share.value for share in beams.values())
    found = [
        ErrorSplit(
            "lidar_range",
            f"Lidar: range error on known walls ({name})",
            f"100 % is the mean square of measured less expected range at the log's poses: ({total**0.5:.3g} m)².",
            "Scans of one half of the path, held against a map of the other half. What is the log's poses' is no fault "
            "of any simulator: the figures of scans laid on the map leave it out.",
            ranges,
        )
    ]
    if off > 0.0:
        found.append(
            ErrorSplit(
                "lidar_beams",
                f"Lidar: beams that miss the map ({name})",
                f"100 % is the {100 * off:.1f} % of all beams that do not end on the mapped surface.",
                "Scans of one half of the path, laid on a map of the other half.",
                tuple(_share(_BEAM[part], share, off) for part, share in beams.items() if share.value > 0.0),
            )
        )
    return found


def residual_metrics(residuals: Residuals, name: str) -> list[Metric]:
    """Return what real scans say by themselves: ``lidar_sigma`` and ``lidar_raw_sigma`` (scatter on known walls, laid
    on the map and at the log's poses; the floor is the sensor's local noise), ``lidar_inliers``, ``lidar_coverage`` and
    ``lidar_unexplained_short``. Intervals of the scatter: bootstrap over stretches of path.
    """
    found = []
    for metric, expected in (("lidar_sigma", residuals.expected), ("lidar_raw_sigma", residuals.expected_raw)):
        core = np.isfinite(residuals.measured) & np.isfinite(expected) & (residuals.label == SENSOR)
        difference = residuals.measured[core].astype(np.float64) - expected[core]
        stretch = np.broadcast_to(residuals.stretch[:, None], core.shape)[core]
        found.append(_scatter(metric, difference, stretch, residuals.noise, name))
    inliers, short = residuals.beams["sensor"], residuals.short
    beams, known = int(residuals.measured.size), int(np.isfinite(residuals.expected).sum())
    found += [
        Metric("lidar_inliers", name, None, inliers.value, inliers.ci_low, inliers.ci_high, beams, None, None, "1"),
        Metric("lidar_coverage", name, None, residuals.coverage, None, None, beams, None, None, "1"),
        Metric("lidar_unexplained_short", name, None, short.value, short.ci_low, short.ci_high, known, None, None, "1"),
    ]
    return found


def _scatter(metric: str, values: FloatArray, stretch: NDArray[np.int64], floor: float, name: str) -> Metric:
    """Return 1.4826 times the median absolute deviation [m], with an interval over stretches."""
    value = _deviation(values)
    low = high = None
    parts = [values[stretch == number] for number in np.unique(stretch)]
    if len(parts) >= 4:
        rng = generator(0, "sources", metric, name)
        drawn = [
            _deviation(np.concatenate([parts[k][:: max(1, len(parts[k]) // 400)] for k in row]))
            for row in rng.integers(0, len(parts), (100, len(parts)))
        ]
        low, high = (float(end) for end in np.quantile(drawn, [0.025, 0.975]))
        low, high = min(low, value), max(high, value)
    return Metric(metric, name, None, value, low, high, len(values), floor, value / floor if floor else None, "m")


def _deviation(values: FloatArray) -> float:
    return float(1.4826 * np.median(np.abs(values - np.median(values)))) if len(values) else float("nan")


def lidar_fixes(residuals: Residuals, *, has_noise: bool, from_layout: bool) -> list[Fix]:
    """Return what could be done about the lidar.

    Args:
        residuals: of the scans.
        has_noise: whether the twin holds a fitted lidar.
        from_layout: whether they were held against a given layout, and not a map made of the log.
    """
    of_range, beams = "of the squared range error at the log's poses", residuals.beams
    off = sum(beams[part].value for part in _BEAM)
    fixes = []
    changed = beams["moving"].value + beams["map"].value
    if off > 0.0 and changed > 0.02:
        fixes.append(
            Fix(
                "remap",
                "Survey the layout again" if from_layout else "Map the changed places again",
                f"{100 * changed:.1f} % of the beams end on things that the map does not have, or miss what it has. "
                + ("The scene changed during the log." if residuals.changed else "A fresh map takes most of it away."),
                "one slow drive through the hall with the mapper on",
                "beams off the map by more than the sensor can be",
                changed / off, None, None, "of the beams that miss the map", at_most=True,
            )
        )  # fmt: skip
    sensor = residuals.shares["sensor"]
    if not has_noise:
        fixes.append(
            Fix(
                "fit_lidar",
                "Fit the lidar's noise",
                "The simulated lidar has the noise of a data sheet. Fitted to this one, its scans look like the real "
                "ones to a policy that was trained on them.",
                "one command, 'floorcast calibrate', on a log with scans and poses as this one",
                "what differs from scan to scan on the same wall",
                sensor.value, sensor.ci_low, sensor.ci_high, of_range, at_most=True,
            )
        )  # fmt: skip
    return fixes


def odometry_error(gap: OdometryGap, name: str, *, twin: Twin | None = None, seed: int = 0) -> ErrorSplit | None:
    """Return an odometry's split: what its predicted mean explains, and what it does not.

    Args:
        gap: of one log. name: of it. seed: of the bootstrap.
        twin: whose odometry predicted the mean; None, or one without odometry: the first fifth of the run did.

    Returns:
        None without judged windows. A mean that makes the error greater explains nothing of it, and that is said.
    """
    if len(gap.judged) == 0:
        return None
    error = gap.judged.error[:, 2]
    whole, rest = error**2, (error - gap.mean[:, 2] * gap.judged.travel) ** 2
    block = (gap.judged.at // BLOCK_METRES).astype(np.int64)
    sums = np.stack([np.bincount(block, weights=values) for values in (whole, rest)], axis=1)
    sums = sums[np.bincount(block) > 0]
    found = 1.0 - float(rest.sum() / whole.sum())
    low = high = None
    if len(sums) >= 4:
        index = generator(seed, "sources", "odometry", name).integers(0, len(sums), (_RESAMPLES, len(sums)))
        drawn = sums[index].sum(axis=1)
        ends = np.quantile(1.0 - drawn[:, 1] / drawn[:, 0], [0.025, 0.975])
        low, high = (max(float(end), 0.0) for end in ends)
    value = max(found, 0.0)
    left_low, left_high = (None, None) if low is None or high is None else (1.0 - high, 1.0 - low)
    by_twin = twin is not None and bool(twin.odometry)
    how = "Predicted by the twin." if by_twin else "Fitted to the first fifth of the run, judged on the rest."
    if found < 0.0:
        how += (
            " What was predicted to be always the same made the error greater: "
            + ("the twin's odometry is that of another robot or another day" if by_twin else "it changes along the run")
            + ", so all of it counts as chance here."
        )
    return ErrorSplit(
        "odometry",
        f"Wheel odometry: heading after 5 m ({name})",
        "100 % is the mean squared error of the heading that the robot believed to have: "
        f"({np.degrees(whole.mean() ** 0.5):.3g}°)², over {len(whole)} stretches.",
        how,
        (
            Share("sensor", "Always the same", value, low, high, "wrong wheel size or track, a pull to one side"),
            Share(
                "sensor", "Chance", 1.0 - value, left_low, left_high, "slip and bumps, and the noise of the reference"
            ),
        ),
    )


def odometry_fixes(split: ErrorSplit | None, *, has_odometry: bool) -> list[Fix]:
    """Return what could be done about the odometry."""
    if split is None or has_odometry:
        return []
    part = split.shares[0]
    return [
        Fix(
            "calibrate_odometry",
            "Calibrate the wheel odometry",
            "The robot believes to have turned or driven what it has not, always in the same way. The twin can err "
            "alike, and the robot can be corrected.",
            "one command, 'floorcast calibrate', for the twin; wheel sizes and track in the robot's settings",
            "fitted to the first fifth of the run, judged on the rest",
            max(part.share, 0.0), part.ci_low, part.ci_high, "of the squared heading error of the odometry after 5 m",
        )
    ]  # fmt: skip


def _share(texts: tuple[Source, str, str], share: LidarShare, whole: float) -> Share:
    source, title, meaning = texts
    low, high = (None if end is None else end / whole for end in (share.ci_low, share.ci_high))
    return Share(source, title, share.value / whole, low, high, meaning)
