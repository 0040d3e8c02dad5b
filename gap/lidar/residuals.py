"""Lidar residuals against a map, and which part of them is pose, map, moving things and sensor.

Every judged beam gets a label. Beams on a mapped surface are the core; their mean square is split:

- pose: what aligning the scans takes away (raw residuals count up to ``CORE_MOST``: beyond, the beam meets another
  thing);
- map: what the same piece of surface is off by, across itself, in different stretches of the run, a random effect
  (analysis of variance by moments, Searle, Casella and McCulloch, *Variance Components*, 1992): the mean product of a
  piece's residuals in two stretches;
- sensor: what neighbouring beams of one scan do not share on one surface: squares off the line through ``WINDOW``
  residuals, which follow a chi-squared distribution of ``WINDOW`` - 2 degrees of freedom; of these the lower quartile,
  the least spoilt by edges, in bins of range;
- pose left: the remainder, which beams share: the alignment of single scans, slow changes, walls that are not flat,
  people close to a wall.

Intervals: bootstrap over stretches, widened to Student's t for as many.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm
from scipy.stats import t as student

from ...common.errors import InputError
from ...common.geometry import FloatArray
from ...common.seeding import generator
from ..fieldlog import FieldLog, Scans
from .map import STRETCH, LidarMap, laser_poses, require_scans, split_stretches, stretch_numbers, sum_by
from .map_space import SeenSpace, run_blocks
from .matching import Alignment, align, match_grid
from .sensor import SensorClass, local_noise, sensor_class

__all__ = [
    "DROPOUT",
    "MAP",
    "MOVING",
    "NO_MAP",
    "POSE",
    "SENSOR",
    "SHORT",
    "Residuals",
    "SensorClass",
    "Share",
    "local_noise",
    "measure_residuals",
    "sensor_class",
    "split_stretches",
]

SENSOR, POSE, MAP, MOVING, SHORT, DROPOUT, NO_MAP = range(7)
"""Labels of beams: on the mapped surface; on it once the scan is aligned; beside an edge of the map; on something that
moves or has changed; short for no known reason; no return where one was due; no surface known."""
LABEL_NAMES = ("sensor", "pose", "map", "moving", "short", "dropout", "no_map")
CHANGED_SHARE = 0.05
"""Share of short returns that no mapped surface explains, above which a scene is named as changed."""
CORE_DEVIATIONS = 4.0
"""Half width of the core, in robust deviations of the aligned residuals ..."""
CORE_MOST = 0.3
"""... and at most this [m]."""
CLUSTER = 3
"""Neighbouring beams that make something moving."""
DUE = 0.9
"""A return is due if the map has a surface within this share of the sensor's reach."""
PIECE = 0.1
"""Length of the pieces of surface that map errors are told by [m]."""
GRAZING = 0.1
"""Least cosine of incidence that residuals are turned across the surface with."""
FAILED_SHARE = 0.1
"""Share of scans that could not be matched, above which that is said."""
MISFIT_SHARE = 0.3
"""Share of scans that could not be matched, above which nothing is said of changes."""
MOST_BEAMS = 600_000
"""Beams that are judged; of longer logs every n-th scan is taken."""
REPLICATES = 200
LEAST_STRETCHES = 4
"""Stretches below which there is no interval."""
WINDOW = 6
"""Neighbouring beams whose residuals are held against a line."""
QUARTILE = 0.25
BIN_WINDOWS = 400
"""Windows in a bin of range, at least."""
MOST_BINS = 8
LEAST_WINDOWS = 40
"""Windows below which the local noise of the scans stands in for the sensor's part."""


@dataclass(frozen=True)
class Share:
    """A share and its 95 % interval; None where fewer than four stretches exist."""

    value: float
    ci_low: float | None
    ci_high: float | None


@dataclass(frozen=True)
class Residuals:
    """Judged scans held against a map; S scans of B beams.

    Attributes:
        scans: the judged scans. stretch: (S,) number of the stretch of path each belongs to.
        pose_raw, pose: (S, 3) reference and aligned laser poses. alignment: how the latter were found.
        measured: (S, B) float32 [m]: the scans' ranges.
        expected_raw, expected: (S, B) float32 [m] at reference and aligned poses; +inf where nothing stands, NaN where
            the map does not know. surface: (S, B) int32 surface met at the aligned pose, -1 for none.
        label_raw, label: (S, B) uint8, one of SENSOR .. NO_MAP.
        core: half width of the core [m]. noise: local noise of the sensor [m].
        variance: parts of the core's mean square at reference poses [m^2]: pose, map, pose_left, sensor; ``shares``:
            the same over their sum, with intervals.
        beams_raw, beams: share of all judged beams by label at reference and aligned poses, with intervals.
        short: share of beams with a known surface that are short and unexplained by any mapped surface.
        coverage: share of the returns for which the map knows a surface.
        every: the judged scans are every n-th of those that were to be judged.
    """

    scans: Scans
    stretch: NDArray[np.int64]
    pose_raw: FloatArray
    pose: FloatArray
    alignment: Alignment
    measured: NDArray[np.float32]
    expected_raw: NDArray[np.float32]
    expected: NDArray[np.float32]
    surface: NDArray[np.int32]
    label_raw: NDArray[np.uint8]
    label: NDArray[np.uint8]
    core: float
    noise: float
    variance: dict[str, float]
    shares: dict[str, Share]
    beams_raw: dict[str, Share]
    beams: dict[str, Share]
    short: Share
    coverage: float
    every: int

    @property
    def notes(self) -> list[str]:
        """What a reader of the figures must know, as sentences."""
        lines = [f"the map knows a surface for {self.coverage:.1%} of the judged returns"]
        if self.every > 1:
            lines.append(
                f"one in {self.every} of the scans to be judged is used: the rest would cost time and tell no more"
            )
        if self.changed:
            lines.append(
                f"the scene changed during the run: {self.short.value:.1%} of the beams return from places that were "
                f"seen free (over {CHANGED_SHARE:.0%})"
            )
        failed = 1.0 - float(self.alignment.ok.mean())
        if failed > FAILED_SHARE:
            lines.append(
                f"{failed:.1%} of the judged scans could not be matched to the map; they keep their reference poses: "
                "check that map and poses are in one frame"
            )
        return lines

    @property
    def changed(self) -> bool:
        """Whether the scene changed: over ``CHANGED_SHARE`` short returns that no mapped surface explains.

        Never where over ``MISFIT_SHARE`` of the scans do not fit the map at all: then poses are wrong, not the scene.
        """
        return self.short.value > CHANGED_SHARE and float(self.alignment.ok.mean()) >= 1.0 - MISFIT_SHARE


def measure_residuals(
    log: FieldLog, lidar_map: LidarMap, judged: NDArray[np.bool_], *, metres: float = 3.0, seed: int = 0
) -> Residuals:
    """Hold scans against a map that was not made from them.

    Args:
        log: with scans and reference poses. lidar_map: from the other half, or from a layout. judged: (S,) scans.
        metres: length of the stretches that intervals resample [m]. seed: of the bootstrap.

    Raises:
        InputError: no scan is judged, or the log has no scans or poses.
    """
    every = max(1, int(np.ceil(judged.sum() * require_scans(log).ranges.shape[1] / MOST_BEAMS)))
    kept = np.zeros_like(judged)
    kept[np.flatnonzero(judged)[::every]] = True
    scans = require_scans(log).where(kept)
    if not len(scans):
        raise InputError(
            "no scan is left to judge the map by",
            where=log.name,
            mend=f"give a log of more than {STRETCH:g} m of path, or a layout to hold it against",
        )
    numbers = stretch_numbers(log, metres)
    pose_raw, stretch = laser_poses(log)[kept], numbers[kept]
    block = run_blocks(stretch, int(numbers.max()) + 1)
    noise = local_noise(scans)
    alignment = align(
        scans,
        pose_raw,
        match_grid(lidar_map.segments),
        range_noise=max(noise, 0.005),
        map_noise=max(lidar_map.tolerance, 0.01),
    )
    raw, aligned = lidar_map.expected(pose_raw), lidar_map.expected(alignment.pose)
    residual = _residual(scans.ranges, aligned.ranges)
    known = ~np.isnan(residual)
    spread = 1.4826 * float(np.median(np.abs(residual[known]))) if known.any() else noise
    core = float(np.clip(CORE_DEVIATIONS * max(spread, noise), 0.03, CORE_MOST))
    label = _labels(scans, aligned.ranges, residual, core, lidar_map, alignment.pose, block)
    label_raw = _raw_labels(scans, raw.ranges, label, core)
    variance, shares = _split(
        scans, aligned.ranges, _residual(scans.ranges, raw.ranges), residual, label, label_raw,
        aligned.surface, _pieces(aligned.surface, aligned.ranges, alignment.pose, scans), stretch, noise, seed,
    )  # fmt: skip
    counts, beams = _by_label(label, stretch, seed)
    _, beams_raw = _by_label(label_raw, stretch, seed)
    total = counts.sum(axis=0)
    compared = total - counts[NO_MAP]
    unexplained = ((label == MOVING) | (label == SHORT)) & (residual < 0)
    finite = np.isfinite(scans.ranges)
    return Residuals(
        scans=scans,
        stretch=stretch,
        pose_raw=pose_raw,
        pose=alignment.pose,
        alignment=alignment,
        measured=scans.ranges,
        expected_raw=raw.ranges,
        expected=aligned.ranges,
        surface=aligned.surface,
        label_raw=label_raw,
        label=label,
        core=core,
        noise=noise,
        variance=variance,
        shares=shares,
        beams_raw=beams_raw,
        beams=beams,
        short=_share(_per_stretch(unexplained, stretch), compared, seed, "short"),
        coverage=float((finite & np.isfinite(aligned.ranges)).sum() / max(finite.sum(), 1)),
        every=every,
    )


def _residual(measured: NDArray[np.float32], expected: NDArray[np.float32]) -> FloatArray:
    """Return measured minus expected (S, B) [m], NaN where either is no range."""
    both = np.isfinite(measured) & np.isfinite(expected)
    return np.where(both, np.where(both, measured, 0.0).astype(np.float64) - np.where(both, expected, 0.0), np.nan)


def _labels(
    scans: Scans, expected: NDArray[np.float32], residual: FloatArray, core: float, lidar_map: LidarMap,
    pose: FloatArray, block: NDArray[np.uint64],
) -> NDArray[np.uint8]:  # fmt: skip
    """Return (S, B) the label of each beam at these poses."""
    measured = scans.ranges
    label = np.full(measured.shape, NO_MAP, np.uint8)
    label[~np.isfinite(measured) & (expected < DUE * scans.range_max)] = DROPOUT
    known = ~np.isnan(residual)
    label[known & (np.abs(residual) <= core)] = SENSOR
    off = known & (np.abs(residual) > core)
    edge = off & _beside_edge(measured, expected, core)
    label[edge] = MAP
    off &= ~edge
    short, long = off & (residual < 0), off & (residual > 0)
    label[short] = SHORT
    label[long] = MAP
    scan, beam = np.nonzero(short)
    angle = pose[scan, 2] + scans.angles[beam]
    ends = pose[scan, :2] + measured[scan, beam, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    moving = short.copy()
    if lidar_map.seen is not None:
        unmapped, free = _standing(scans, ends, scan, lidar_map.seen, pose, block)
        label[scan[unmapped], beam[unmapped]] = MAP
        moving[scan[unmapped | ~free], beam[unmapped | ~free]] = False
    label[_clusters(moving, measured) | _clusters(long, measured)] = MOVING
    return label


def _standing(
    scans: Scans, ends: FloatArray, scan: NDArray[np.int64], seen: SeenSpace, pose: FloatArray,
    block: NDArray[np.uint64],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:  # fmt: skip
    """Tell what stands but was not mapped from what moves or has changed, at the ends (N, 2) of short beams.

    Returns:
        (N,) whether something stands there: returns in two parts of the run or more and in a third of those in which
        the place was in sight, and beams through it never or in most of those parts too (thin things let some
        through); (N,) whether beams ever went through it.
    """
    reach = 0.95 * scans.range_max
    crossed = seen.at(seen.also_crossed(scans.ranges, scans.angles, pose, block, reach), ends)
    hit = seen.at(seen.marked(ends, block[scan]), ends)
    parts, both = np.bitwise_count(hit), np.bitwise_count(hit & crossed)
    often = (parts >= 2) & (3 * parts.astype(np.int64) >= np.bitwise_count(hit | crossed))
    return often & ((crossed == 0) | (2 * both >= parts)), crossed != 0


def _raw_labels(
    scans: Scans, expected: NDArray[np.float32], label: NDArray[np.uint8], core: float
) -> NDArray[np.uint8]:
    """Return (S, B) the labels at reference poses: those at aligned poses, but for what the pose alone explains."""
    residual = _residual(scans.ranges, expected)
    raw = label.copy()
    known = ~np.isnan(residual)
    raw[known & (label == SENSOR) & (np.abs(residual) > core)] = POSE
    raw[known & (label != SENSOR) & (np.abs(residual) <= core)] = SENSOR
    raw[np.isfinite(scans.ranges) & ~known] = NO_MAP
    return raw


def _beside_edge(measured: NDArray[np.float32], expected: NDArray[np.float32], core: float) -> NDArray[np.bool_]:
    """Return (S, B) whether a range lies between what the beam and a neighbour should read: beside an edge."""
    found = np.zeros(measured.shape, np.bool_)
    own = np.where(np.isfinite(expected), expected, np.nan)
    for way in (-1, 1):
        other = np.full_like(own, np.nan)
        if way < 0:
            other[:, 1:] = own[:, :-1]
        else:
            other[:, :-1] = own[:, 1:]
        low, high = np.fmin(own, other) - core, np.fmax(own, other) + core
        found |= ~np.isnan(other) & (measured >= low) & (measured <= high)
    return found


def _clusters(mask: NDArray[np.bool_], measured: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return the beams of a mask (S, B) that have ``CLUSTER`` - 1 neighbours in a row on the same thing."""
    joined = (
        mask[:, 1:]
        & mask[:, :-1]
        & (np.abs(np.where(mask, measured, 0.0)[:, 1:] - np.where(mask, measured, 0.0)[:, :-1]) < 0.5)
    )
    beams = mask.shape[1]
    run = np.zeros((len(mask), beams), np.int64)
    for b in range(1, beams):
        run[:, b] = np.where(joined[:, b - 1], run[:, b - 1] + 1, 0)
    for b in range(beams - 2, -1, -1):
        run[:, b] = np.where(joined[:, b], np.maximum(run[:, b + 1], run[:, b]), run[:, b])
    kept: NDArray[np.bool_] = mask & (run >= CLUSTER - 1)
    return kept


def _pieces(
    surface: NDArray[np.int32], expected: NDArray[np.float32], pose: FloatArray, scans: Scans
) -> NDArray[np.int64]:
    """Return (S, B) which piece of surface each beam should meet, -1 for none: a surface in a cell of ``PIECE``."""
    piece = np.full(surface.shape, -1, np.int64)
    scan, beam = np.nonzero((surface >= 0) & np.isfinite(expected))
    angle = pose[scan, 2] + scans.angles[beam]
    ends = pose[scan, :2] + expected[scan, beam, None] * np.column_stack([np.cos(angle), np.sin(angle)])
    cell = np.floor(ends / PIECE).astype(np.int64)
    cell -= cell.min(axis=0, initial=0)
    key = (surface[scan, beam].astype(np.int64) * (cell[:, 0].max(initial=0) + 1) + cell[:, 0]) * (
        cell[:, 1].max(initial=0) + 1
    )
    _, number = np.unique(key + cell[:, 1], return_inverse=True)
    piece[scan, beam] = number
    return piece


def _incidence(expected: NDArray[np.float32], scans: Scans) -> FloatArray:
    """Return (S, B) the cosine of incidence, ``GRAZING`` at least: tan = dr / (r dtheta), the flatter of both sides."""
    step = np.abs(np.diff(np.where(np.isfinite(expected), expected, np.nan), axis=1)).astype(np.float64)
    edge = np.full((len(expected), 1), np.nan)
    change = np.fmin(np.hstack([edge, step]), np.hstack([step, edge]))
    tangent = np.nan_to_num(change / (np.maximum(expected, 1e-3) * abs(scans.angle_increment)), nan=0.0, posinf=0.0)
    return np.maximum(1.0 / np.sqrt(1.0 + tangent**2), GRAZING)


def _split(
    scans: Scans, expected: NDArray[np.float32], raw: FloatArray, aligned: FloatArray, label: NDArray[np.uint8],
    label_raw: NDArray[np.uint8], surface: NDArray[np.int32], piece: NDArray[np.int64], stretch: NDArray[np.int64],
    noise: float, seed: int,
) -> tuple[dict[str, float], dict[str, Share]]:  # fmt: skip
    """Return the parts of the core's mean square at reference poses [m^2], and their shares with intervals."""
    use = (label == SENSOR) & ((label_raw == SENSOR) | (label_raw == POSE)) & (piece >= 0)
    if not use.any():
        return {}, {}
    scan, beam = np.nonzero(use)
    own, place = aligned[scan, beam], piece[scan, beam]
    slope = _incidence(expected, scans)[scan, beam]
    numbers, run = np.unique(stretch[scan], return_inverse=True)
    moments: FloatArray = np.stack(
        [
            np.bincount(run, w, len(numbers))
            for w in (np.ones(len(own)), np.clip(raw[scan, beam], -CORE_MOST, CORE_MOST) ** 2, own**2)
        ]
    )
    table = _piece_table(own * slope, slope, place, run)
    # A stretch without any beam of the core has no windows either, whatever number it gets here.
    of_scan = np.minimum(np.searchsorted(numbers, stretch), len(numbers) - 1)
    windows = _windows(np.where(use, aligned, np.nan), expected, surface, of_scan, len(numbers), noise)
    parts = _parts(moments, table, windows, np.ones(len(numbers)))
    shares = parts / max(parts.sum(), 1e-12)
    low: list[float | None] = [None] * 4
    high: list[float | None] = [None] * 4
    if len(numbers) >= LEAST_STRETCHES:
        draw = generator(seed, "gap.lidar.residuals", "variance")
        drawn = np.empty((REPLICATES, 4))
        for k in range(REPLICATES):
            weight = np.bincount(draw.integers(0, len(numbers), len(numbers)), minlength=len(numbers)).astype(
                np.float64
            )
            found = _parts(moments, table, windows, weight)
            drawn[k] = found / max(found.sum(), 1e-12)
        ends = _interval(shares, drawn, len(numbers))
        low, high = ends[0].tolist(), ends[1].tolist()
    names = ("pose", "map", "pose_left", "sensor")
    return (
        dict(zip(names, parts.tolist(), strict=True)),
        {name: Share(float(shares[k]), low[k], high[k]) for k, name in enumerate(names)},
    )


def _interval(value: FloatArray | float, drawn: FloatArray, stretches: int) -> FloatArray:
    """Return both ends (2, ...) of the 95 % interval of shares, of bootstrap values (R, ...).

    A bootstrap over n stretches is too narrow by sqrt((n - 1) / n), and takes a normal distribution for Student's.
    """
    wider = float(student(stretches - 1).ppf(0.975) / norm.ppf(0.975)) * np.sqrt(stretches / (stretches - 1.0))
    ends: FloatArray = value + wider * (np.quantile(drawn, [0.025, 0.975], axis=0) - value)
    return np.clip(ends, 0.0, 1.0)


@dataclass(frozen=True)
class _PieceTable:
    """Sums of residuals across the surface by piece and stretch.

    Attributes:
        scale: (K,) mean of what makes squares across the surface squares along the beam.
        total, beams: (K,) sum and number of residuals of a piece in a stretch. piece, run: (K,) which.
    """

    scale: FloatArray
    total: FloatArray
    beams: FloatArray
    piece: NDArray[np.int64]
    run: NDArray[np.int64]


def _piece_table(own: FloatArray, slope: FloatArray, place: NDArray[np.int64], run: NDArray[np.int64]) -> _PieceTable:
    runs = int(run.max()) + 1
    key, group = np.unique(place * runs + run, return_inverse=True)
    total, beams = sum_by(group, own, len(key)), sum_by(group, np.ones(len(own)), len(key))
    _, piece = np.unique(key // runs, return_inverse=True)
    return _PieceTable(sum_by(group, slope**-2, len(key)) / beams, total, beams, piece, key % runs)


@dataclass(frozen=True)
class _Windows:
    """Windows of neighbouring residuals of one scan on one surface, by range.

    Attributes:
        squares, run: by bin, (N,) mean squares off a line at which a normal variable of that variance has its lower
            quartile [m^2], in rising order, and the stretch of each.
        beams: (bins, R) residuals of the core in each bin and stretch. noise: what stands in where there are none [m].
    """

    squares: list[FloatArray]
    run: list[NDArray[np.int64]]
    beams: FloatArray
    noise: float

    def variance(self, weight: FloatArray) -> float:
        """Return the variance [m^2] that neighbours do not share, with stretches (R,) weighted."""
        found = np.full(len(self.squares), np.nan)
        for k, (squares, run) in enumerate(zip(self.squares, self.run, strict=True)):
            below = np.cumsum(weight[run])
            if below[-1] > 0.0:
                found[k] = squares[np.searchsorted(below, QUARTILE * below[-1])]
        known = ~np.isnan(found)
        beams = (self.beams @ weight)[known]
        return float(found[known] @ beams / beams.sum()) if beams.sum() > 0.0 else self.noise**2


def _windows(
    own: FloatArray, expected: NDArray[np.float32], surface: NDArray[np.int32], run: NDArray[np.int64], runs: int,
    noise: float,
) -> _Windows:  # fmt: skip
    """Cut scans into windows.

    Args:
        own: (S, B) residuals of the core [m], NaN elsewhere. expected: (S, B) [m]. surface: (S, B). run: (S,) which of
            the ``runs`` stretches. noise: of the scans without a map [m].
    """
    count, width = len(own), own.shape[1] // WINDOW
    shape = (count, width, WINDOW)
    window, met = (part[:, : width * WINDOW].reshape(shape) for part in (own, surface))
    good = np.isfinite(window).all(axis=2) & (met == met[:, :, :1]).all(axis=2)
    if good.sum() < LEAST_WINDOWS:
        return _Windows([], [], np.zeros((0, runs)), noise)
    line = np.column_stack([np.ones(WINDOW), np.linspace(-1.0, 1.0, WINDOW)])
    squares = ((window[good] @ (np.eye(WINDOW) - line @ np.linalg.pinv(line))) ** 2).sum(axis=1)
    squares /= chi2(WINDOW - 2).ppf(QUARTILE)
    ranges = expected[:, : width * WINDOW].reshape(shape)[good].mean(axis=1).astype(np.float64)
    owner = np.broadcast_to(run[:, None], good.shape)[good]
    bins = int(np.clip(len(squares) // BIN_WINDOWS, 1, MOST_BINS))
    edges = np.quantile(ranges, np.linspace(0.0, 1.0, bins + 1)[1:-1])
    order = np.argsort(squares, kind="stable")
    which = np.searchsorted(edges, ranges, side="right")[order]
    mine = [order[which == k] for k in range(bins)]
    core = np.isfinite(own)
    index = np.searchsorted(edges, expected[core], side="right") * runs
    index += np.broadcast_to(run[:, None], own.shape)[core]
    beams = np.bincount(index, minlength=bins * runs).reshape(bins, runs).astype(np.float64)
    return _Windows([squares[k] for k in mine], [owner[k] for k in mine], beams, noise)


def _parts(moments: FloatArray, table: _PieceTable, windows: _Windows, weight: FloatArray) -> FloatArray:
    """Return pose, map, pose left and sensor [m^2] with stretches (R,) weighted."""
    count, raw, aligned = moments @ weight
    if not count:
        return np.zeros(4)
    raw, aligned = raw / count, aligned / count
    w = weight[table.run]
    mean = table.total / table.beams
    size = int(table.piece.max()) + 1
    first = sum_by(table.piece, w, size)
    second = sum_by(table.piece, w * w, size)
    product = sum_by(table.piece, w * mean, size) ** 2 - sum_by(table.piece, (w * mean) ** 2, size)
    pairs = first**2 - second
    several = pairs > 0
    beams = sum_by(table.piece, w * table.beams, size)[several]
    scaled = sum_by(table.piece, w * table.beams * table.scale, size)[several]
    across = float((product[several] / pairs[several] * scaled).sum() / beams.sum()) if beams.sum() > 0 else 0.0
    sensor = min(windows.variance(weight), aligned)
    in_map = min(max(across, 0.0), aligned - sensor)
    return np.array([max(raw - aligned, 0.0), in_map, aligned - sensor - in_map, sensor])


def _by_label(label: NDArray[np.uint8], stretch: NDArray[np.int64], seed: int) -> tuple[FloatArray, dict[str, Share]]:
    """Return beams (labels, stretches) by label and stretch, and the share of each label with its interval."""
    counts = np.stack([_per_stretch(label == value, stretch) for value in range(NO_MAP + 1)])
    total = counts.sum(axis=0)
    return counts, {name: _share(counts[value], total, seed, f"beams.{name}") for value, name in enumerate(LABEL_NAMES)}


def _per_stretch(mask: NDArray[np.bool_], stretch: NDArray[np.int64]) -> FloatArray:
    """Return the number of beams of a mask (S, B) by stretch."""
    _, run = np.unique(stretch, return_inverse=True)
    return np.bincount(run, mask.sum(axis=1)).astype(np.float64)


def _share(part: FloatArray, total: FloatArray, seed: int, name: str) -> Share:
    """Return the share of sums by stretch, with a bootstrap over stretches."""
    value = float(part.sum() / max(total.sum(), 1.0))
    if len(part) < LEAST_STRETCHES:
        return Share(value, None, None)
    draw = generator(seed, "gap.lidar.residuals", name).integers(0, len(part), (REPLICATES, len(part)))
    drawn = part[draw].sum(axis=1) / np.maximum(total[draw].sum(axis=1), 1.0)
    low, high = _interval(value, drawn, len(part))
    return Share(value, float(low), float(high))
