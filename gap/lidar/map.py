"""A map from a log: the surfaces that half of a run's scans saw, as primitives of the product.

Points of the scans at their reference poses are sorted into cells, cells grow into straight segments, and each
segment's line is fitted to all of its points by iterated weights. The scans are then aligned to that map and the map is
made again from the poses found (reference poses err by centimetres, which blurs walls), a few times over, each time
with less tolerance. A surface that beams pass through more often than they end on it is a person, a ghost or a door
that stood open: it is not mapped.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...common.errors import InputError
from ...common.geometry import FloatArray, compose, quaternion_from_yaw
from ...common.primitives import PrimitiveBuilder, Primitives
from ...layouts.model import Layout
from ...perception.config import LidarConfig
from ...perception.lidar import Lidar
from ...perception.scene import Scene
from ..fieldlog import FieldLog, Scans, interpolate_pose
from .map_kernels import (
    cell_keys,
    cell_moments,
    cut_lines,
    fit_lines,
    grow_segments,
    loose_chips,
    scan_points,
)
from .map_space import SeenSpace, known_ranges, look_around, run_blocks
from .matching import Alignment, Segments, align, match_grid
from .sensor import local_noise

STRETCH = 3.0
"""Length of path [m] after which scans change from the map's half to the judge's."""
THICKNESS = 0.02
"""Depth of a mapped surface behind its face [m]."""
HALF_HEIGHT = 1.0
CELLS = (0.1, 0.15, 0.2, 0.3)
"""Cell sizes [m]; the first in which half of the points have ``COMPANY`` others is taken."""
COMPANY = 8
ROUNDS = 4
"""Times that poses and map are made from each other."""
FIRST_TOLERANCE = 0.05
"""How far cells may lie off a segment's line in the first round [m]: walls that poses have doubled become one."""
LAST_TOLERANCE = 0.015
"""The same in the last round; the range noise if that is more."""
BIN = 0.05
"""Length of the bins in which a line's points are counted [m]."""
GAP = 0.15
"""Stretches of a line farther apart are two [m]; nearer ones too if beams pass between them."""
PIECE = 0.1
"""Surfaces are judged in pieces of this length [m]."""
BEHIND = 0.4
"""A beam that meets a face from behind may go on to one that looks at it within this [m]."""
BACKS = 3
"""Backs of faces that a beam may go through."""
FRONT = 0.3
"""Beams that meet a face at less than this cosine of incidence do not tell where it is."""
PASS_MARGIN = 0.1
"""A beam that goes on behind a surface by this [m], along its normal, or three deviations of noise passes through."""
LEAST_POINTS = 3.0
"""Points that a cell of the map needs."""
PASS_SHARE = 0.5
"""Share of beams through a surface, of all that meet it, above which it is not mapped."""
MOST_BEAMS = 300_000
"""Beams that a map is made from; of longer logs every n-th scan is taken."""
REACH = 30.0
"""Returns beyond this [m] do not make the map: their footprint is wider than a cell's noise."""


@dataclass(frozen=True)
class Expected:
    """What S scans should read by a map.

    Attributes:
        ranges: (S, B) float32 [m]; +inf where the map knows that nothing stands, NaN where it does not know.
        surface: (S, B) int32 number of the surface that is met, -1 for none.
    """

    ranges: NDArray[np.float32]
    surface: NDArray[np.int32]


@dataclass(frozen=True)
class LidarMap:
    """Surfaces as a scene, and where scans looked.

    Attributes:
        static: P solids in ``map``. Of a map from a log: one thin box for each segment, in their order.
        segments: faces of the solids, for scan matching.
        seen: what the map's scans saw; None where the map is a layout, which knows everything.
        angle_min, angle_increment, beams, range_max: of the scans that are to be expected, as in ``Scans``.
        tolerance: how far points were from their surfaces, root mean square [m]; 0 for a layout.
        height: of the lidar above the solids' z = 0 [m].
    """

    static: Primitives
    segments: Segments
    seen: SeenSpace | None
    angle_min: float
    angle_increment: float
    beams: int
    range_max: float
    tolerance: float = 0.0
    height: float = 0.0

    def to_layout(self, name: str, file: str = "") -> Layout:
        """Return the map as a layout to drive in; see ``map_layout.to_layout``."""
        from .map_layout import to_layout

        return to_layout(self, name, file)

    @cached_property
    def scene(self) -> Scene:
        """The surfaces as sensors see them."""
        return Scene(self.static, PrimitiveBuilder().build(), 0)

    @cached_property
    def lidar(self) -> Lidar:
        """A perfect lidar with the beams of the scans."""
        first, last = self.angle_min, self.angle_min + self.angle_increment * (self.beams - 1)
        low, high = min(first, last), max(first, last)
        config = LidarConfig(
            beams=self.beams, angle_min=low, angle_max=max(high, low + 1e-6), range_max=self.range_max,
            range_min=0.0, range_noise=0.0, dropout=0.0, grazing_dropout=0.0,
        )  # fmt: skip
        return Lidar(config)

    def expected(self, poses: FloatArray) -> Expected:
        """Return what scans from laser poses (S, 3) in ``map`` should read.

        Raises:
            InputError: poses that are not finite.
        """
        position, rotation = _upright(poses, self.height)
        ranges, surface = self.lidar.true_ranges(self.scene, position, rotation)
        ranges, surface = ranges[:, 0], surface[:, 0]
        if self.angle_increment < 0:
            ranges, surface = ranges[:, ::-1], surface[:, ::-1]
        ranges, surface = np.ascontiguousarray(ranges), np.ascontiguousarray(surface)
        self._look_through_backs(position, rotation[:, :2, 0], ranges, surface)
        if self.seen is not None:
            limit = np.minimum(ranges, np.float32(self.range_max))
            known = np.empty_like(limit)
            angles = self.angle_min + self.angle_increment * np.arange(self.beams)
            known_ranges(angles, np.ascontiguousarray(poses, dtype=np.float64), limit, self.seen.origin,
                         self.seen.cell, self.seen.known, known)  # fmt: skip
            unknown = known < limit
            ranges[unknown], surface[unknown] = np.nan, -1
        return Expected(ranges, surface)

    def _look_through_backs(
        self, position: FloatArray, ahead: FloatArray, ranges: NDArray[np.float32], surface: NDArray[np.int32]
    ) -> None:
        """Replace, in place, beams that meet a face from behind by the face next behind it that looks at them.

        Poses that err let the faces of one wall pass through each other. Where no such face is near, the thing was
        never seen from this side: the beam is not known.
        """
        if self.seen is None:
            return
        angles = self.angle_min + self.angle_increment * np.arange(self.beams)
        scan, beam = np.nonzero(surface >= 0)
        cos, sin = np.cos(angles[beam]), np.sin(angles[beam])
        c, d = ahead[scan, 0], ahead[scan, 1]
        heading = np.column_stack([c * cos - d * sin, d * cos + c * sin, np.zeros(len(scan))])
        back = (self.segments.normal[surface[scan, beam]] * heading[:, :2]).sum(axis=1) > 0.0
        scan, beam, heading = scan[back], beam[back], heading[back]
        entered = ranges[scan, beam].astype(np.float64)
        walked = entered.copy()
        ranges[scan, beam], surface[scan, beam] = np.nan, -1
        for _ in range(BACKS):
            walked += 1.5 * THICKNESS
            hits = self.scene.cast(position[scan] + walked[:, None] * heading, heading, BEHIND)
            walked += np.where(np.isfinite(hits.range), hits.range, np.inf)
            near = walked - entered <= BEHIND
            front = near & ((self.segments.normal[hits.index] * heading[:, :2]).sum(axis=1) < 0.0)
            ranges[scan[front], beam[front]] = walked[front]
            surface[scan[front], beam[front]] = hits.index[front]
            on = near & ~front
            if not on.any():
                break
            scan, beam, heading, entered, walked = scan[on], beam[on], heading[on], entered[on], walked[on]


def laser_poses(log: FieldLog) -> FloatArray:
    """Return the (S, 3) reference poses of the laser in ``map`` at the scans' stamps.

    Raises:
        InputError: the log has no scans, no poses, or poses that are not finite.
    """
    scans = require_scans(log)
    if len(log.pose_t_ns) < 2:
        raise InputError(
            "the log has no reference poses",
            where=log.name,
            mend="give a log with a tracker's or a SLAM solution's poses",
        )
    pose = interpolate_pose(scans.t_ns, log.pose_t_ns, log.pose)
    if not np.isfinite(pose).all():
        raise InputError(
            f"{int((~np.isfinite(pose)).any(axis=1).sum())} scans have no finite pose",
            where=log.name,
            mend="leave out the poses that are no numbers",
        )
    return pose if log.pose_frame == "laser" else compose(pose, np.array(scans.mount))


def require_scans(log: FieldLog) -> Scans:
    """Return the log's scans; raises InputError if it has none."""
    if log.scans is None or not len(log.scans):
        raise InputError("the log has no lidar scans", where=log.name, mend="give a log with scans")
    return log.scans


def split_stretches(log: FieldLog, metres: float = STRETCH) -> NDArray[np.bool_]:
    """Return (S,) which scans belong to the map's half: those of every other stretch of path.

    Args:
        log: with scans. metres: length of a stretch [m].
    """
    return stretch_numbers(log, metres) % 2 == 0


def stretch_numbers(log: FieldLog, metres: float = STRETCH) -> NDArray[np.int64]:
    """Return (S,) the number of the stretch of path that each scan belongs to; arguments as ``split_stretches``."""
    if not metres > 0:
        raise InputError(f"stretches of {metres} m", mend="give a length above 0")
    pose = laser_poses(log)
    step = np.hypot(*np.diff(pose[:, :2], axis=0).T) if len(pose) > 1 else np.empty(0)
    return np.floor(np.concatenate([[0.0], np.cumsum(step)]) / metres).astype(np.int64)


def build_map(log: FieldLog, chosen: NDArray[np.bool_]) -> LidarMap:
    """Make a map of the surfaces that some of a log's scans saw.

    Args:
        log: with scans and reference poses. chosen: (S,) scans to make it from.

    Raises:
        InputError: no scans, no poses, or scans that see no surface.
    """
    scans = require_scans(log)
    index = np.flatnonzero(chosen)
    if not len(index):
        raise InputError("no scan is left to make a map from", where=log.name, mend="choose more scans")
    index = index[:: max(1, int(np.ceil(len(index) * scans.ranges.shape[1] / MOST_BEAMS)))]
    few = replace(scans, t_ns=scans.t_ns[index], ranges=np.ascontiguousarray(scans.ranges[index]))
    reach = min(REACH, 0.95 * scans.range_max)
    noise = local_noise(few)
    reference = laser_poses(log)[index]
    place = reference.copy()
    last = max(LAST_TOLERANCE, noise)
    tolerances = np.geomspace(max(FIRST_TOLERANCE, last), last, ROUNDS)
    fine = _cell_size(few, place, reach)
    for number, tolerance in enumerate(tolerances):
        segments, rms = _surfaces(few, place, reach, float(tolerance), noise, fine)
        segments = _carved(few, place, segments, noise)
        if number < len(tolerances) - 1:
            found = align(few, place, match_grid(segments), range_noise=max(noise, 0.01), map_noise=float(tolerance),
                          least_width=3.0 * float(np.hypot(tolerance, noise)), search=False)  # fmt: skip
            place = _kept_in_frame(reference, found)
    stretch = stretch_numbers(log)
    block = run_blocks(stretch[index], int(stretch.max()) + 1)
    seen = look_around(few.ranges, few.angles, place, block, reach)
    return _as_map(segments, few, seen, rms)


def sum_by(index: NDArray[np.int64], values: FloatArray, count: int) -> FloatArray:
    """Return (count,) the sums of values (N,) that share an index (N,)."""
    return np.bincount(index, values, count).astype(np.float64)


def _as_map(segments: Segments, scans: Scans, seen: SeenSpace | None, rms: float) -> LidarMap:
    return LidarMap(
        surface_boxes(segments), segments, seen, scans.angle_min, scans.angle_increment, scans.ranges.shape[1],
        scans.range_max, rms,
    )  # fmt: skip


def surface_boxes(segments: Segments) -> Primitives:
    """Return segments as thin upright boxes whose faces are the segments."""
    along = segments.end - segments.start
    length = np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-4)
    middle = 0.5 * (segments.start + segments.end) - 0.5 * THICKNESS * segments.normal
    count = len(segments)
    size = np.column_stack([0.5 * length, np.full(count, 0.5 * THICKNESS), np.full(count, HALF_HEIGHT)])
    one = PrimitiveBuilder()
    one.box((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), class_name="wall")
    return replace(
        one.build().take(np.zeros(count, np.int64)), size=size,
        position=np.column_stack([middle, np.zeros(count)]),
        quaternion=quaternion_from_yaw(np.arctan2(along[:, 1], along[:, 0])),
    )  # fmt: skip


def _kept_in_frame(reference: FloatArray, found: Alignment) -> FloatArray:
    """Return aligned poses moved back as a whole, so that the map stays in the frame of the reference poses."""
    if not found.ok.any():
        return reference
    a, b = found.pose[found.ok], reference[found.ok]
    turn = np.arctan2(np.sin(b[:, 2] - a[:, 2]).sum(), np.cos(b[:, 2] - a[:, 2]).sum())
    middle = a[:, :2].mean(axis=0)
    return compose(np.array([*b[:, :2].mean(axis=0), turn]), compose(np.array([*-middle, 0.0]), found.pose))


def _cells(points: FloatArray, cell: float) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Return the sorted keys of the cells that hold points (N, 4), the cell of each (N,), and the grid's width."""
    origin = points[:, :2].min(axis=0) - 3.0 * cell
    width = int(np.ceil((points[:, 0].max() - origin[0]) / cell)) + 6
    keys, row = np.unique(cell_keys(points, origin, cell, width), return_inverse=True)
    return keys, row.astype(np.int64), width


def _cell_size(scans: Scans, poses: FloatArray, reach: float) -> float:
    """Return the finest of ``CELLS`` that the points fill well enough to tell lines from them."""
    points, _ = scan_points(scans.ranges, scans.angles, poses, reach)
    if not len(points):
        raise InputError("the scans hold no usable range", where="map from log", mend="check the log's ranges")
    for cell in CELLS:
        _, row, _ = _cells(points, cell)
        if np.median(np.bincount(row)[row]) >= COMPANY:
            break
    return cell


def _surfaces(
    scans: Scans, poses: FloatArray, reach: float, tolerance: float, noise: float, cell: float
) -> tuple[Segments, float]:
    """Return the surfaces that scans (S) at laser poses (S, 3) saw, and the root mean square of points off them [m]."""
    points, _ = scan_points(scans.ranges, scans.angles, poses, reach)
    keys, row, width = _cells(points, cell)
    moments = cell_moments(points, row, len(keys))
    order = np.argsort(-moments[:, 0], kind="stable")
    label = grow_segments(keys, moments, order, cell, width, tolerance, LEAST_POINTS)
    line = fit_lines(points, row, label, int(label.max()) + 1, max(tolerance, noise), 4)
    pieces = cut_lines(points, row, label, line, BIN, max(GAP, 1.5 * cell), 1.0, 3.0 * max(tolerance, noise))
    long = np.hypot(pieces[:, 2] - pieces[:, 0], pieces[:, 3] - pieces[:, 1]) >= 0.02
    pieces = pieces[long & (pieces[:, 6] >= LEAST_POINTS)]
    chips = loose_chips(keys, moments, label, cell, width, LEAST_POINTS, max(0.06, 3.0 * noise))
    every = np.concatenate([pieces, chips])
    rms = float(np.sqrt(np.average(line[:, 7] ** 2, weights=line[:, 6]))) if line[:, 6].sum() > 0 else 0.0
    return Segments(every[:, :2].copy(), every[:, 2:4].copy(), every[:, 4:6].copy()), rms


def _carved(scans: Scans, poses: FloatArray, segments: Segments, noise: float) -> Segments:
    """Return the parts of segments that beams end on more often than they pass through, pushed to where they end.

    Segments are judged in pieces of ``PIECE``; what no beam meets stays if it lies between pieces that stay.
    """
    margin = max(PASS_MARGIN, 3.0 * noise)
    for last in (False, False, True):
        expected = _as_map(segments, scans, None, 0.0).expected(poses)
        valid = (expected.surface >= 0) & ~np.isnan(scans.ranges)
        surface = expected.surface[valid]
        heading = (poses[:, 2, None] + scans.angles)[valid]
        beam = np.column_stack([np.cos(heading), np.sin(heading)])
        origin = np.repeat(poses[:, :2], valid.sum(axis=1), axis=0)
        reading, wanted = scans.ranges[valid], expected.ranges[valid]
        slope = -(segments.normal[surface] * beam).sum(axis=1)
        off = (reading - wanted) * np.clip(np.abs(slope), 0.2, 1.0)
        along = segments.end - segments.start
        length = np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-6)
        u = ((origin + wanted[:, None] * beam - segments.start[surface]) * (along / length[:, None])[surface]).sum(
            axis=1
        )
        bins = np.maximum(np.round(length / PIECE).astype(np.int64), 1)
        first = np.concatenate([[0], np.cumsum(bins)])
        piece = first[surface] + np.clip((u / length[surface] * bins[surface]).astype(np.int64), 0, bins[surface] - 1)
        near = np.abs(off) <= margin
        hits = np.bincount(piece[near], minlength=first[-1])
        passes = np.bincount(piece[off > margin], minlength=first[-1])
        front = near & (slope > FRONT)
        shift = sum_by(surface[front], off[front], len(segments))
        shift /= np.maximum(np.bincount(surface[front], minlength=len(segments)), LEAST_POINTS)
        gone = passes > PASS_SHARE / (1.0 - PASS_SHARE) * hits
        segments = _cut_pieces(segments, shift, bins, first, gone, hits + passes == 0)
        if last or not gone.any():
            break
    return segments


def _cut_pieces(
    segments: Segments,
    shift: FloatArray,
    bins: NDArray[np.int64],
    first: NDArray[np.int64],
    gone: NDArray[np.bool_],
    unmet: NDArray[np.bool_],
) -> Segments:
    """Return the runs of pieces that are not gone; a run that no beam meets is kept where it is a whole segment."""
    owner = np.repeat(np.arange(len(bins)), bins)
    number = np.arange(first[-1]) - first[owner]
    stays = ~gone
    begins = stays & ((number == 0) | ~np.concatenate([[False], stays[:-1]]))
    ends = stays & ((number == bins[owner] - 1) | ~np.concatenate([stays[1:], [False]]))
    a, b = np.flatnonzero(begins), np.flatnonzero(ends)
    met = np.concatenate([[0], np.cumsum(~unmet)])
    whole = (b - a + 1) == bins[owner[a]]
    keep = whole | (met[b + 1] > met[a])
    a, b = a[keep], b[keep]
    which = owner[a]
    along = segments.end - segments.start
    move = shift[which, None] * segments.normal[which]
    start = segments.start[which] + (number[a] / bins[which])[:, None] * along[which] - move
    end = segments.start[which] + ((number[b] + 1) / bins[which])[:, None] * along[which] - move
    return Segments(start, end, segments.normal[which].copy())


def _upright(poses: FloatArray, height: float) -> tuple[FloatArray, FloatArray]:
    """Return positions (S, 3) and rotations (S, 3, 3) of level lidars."""
    pose = np.ascontiguousarray(poses, dtype=np.float64)
    position = np.column_stack([pose[:, :2], np.full(len(pose), height)])
    rotation = np.zeros((len(pose), 3, 3))
    cos, sin = np.cos(pose[:, 2]), np.sin(pose[:, 2])
    rotation[:, 0, 0], rotation[:, 0, 1], rotation[:, 1, 0], rotation[:, 1, 1] = cos, -sin, sin, cos
    rotation[:, 2, 2] = 1.0
    return position, rotation
