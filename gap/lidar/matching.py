"""Scan matching: aligns scans to a map of line segments, all in one compiled call.

Each return is paired with the nearest segment that faces the sensor, found in a grid. The pose minimises

    sum_i  rho(e_i / s_i) + |pose - start|^2 / prior^2,   e_i = n_i . (T p_i - q_i),

by Gauss-Newton with iterated weights: point-to-line matching (Censi, *An ICP variant using a point-to-line metric*,
ICRA 2008), rho Tukey's biweight, whose width shrinks from round to round (so that far pairs pull first and near ones
decide), and s_i^2 = range_noise^2 cos^2(incidence) + map_noise^2: range noise acts along the beam. The covariance is
that of the estimate under noise of the ranges (Censi, *On achievable accuracy for range-finder localization*, ICRA
2007): the inverse of the weighted normal matrix, times the residuals' own variance where that is larger.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...common.errors import InputError
from ...common.geometry import FloatArray
from ...common.kernels import compiled
from ..fieldlog import Scans

REACH = 0.4
"""Segments farther than this from a return [m] are no partners: the grid does not list them."""
PARTNERS = 6
"""Segments that a place of the grid lists, the nearest."""
FINEST = 0.05
"""Cell size of the grid [m]; coarser where the map is so large that it would have over ``MOST_CELLS``."""
MOST_CELLS = 4_000_000
WIDTHS = (0.4, 0.4, 0.3, 0.25, 0.2, 0.15, 0.12, 0.1)
"""Width [m] of the biweight by round, then the last one or more (``least_width``)."""
NEAR = 4
"""Widths that are left out where starts are known to be near."""
DEVIATIONS = 4.685
"""Width of the biweight in the last rounds, in standard deviations of each return (95 % efficiency; Holland and Welsch
1977). A return beside a corner that is paired with the wrong face, met at grazing incidence, would else weigh most."""
ROUNDS = 24
"""Most Gauss-Newton rounds."""
CONVERGED = 2e-5
"""Step [m, rad] below which the last width has converged."""
LEAST_INLIERS = 0.5
"""Share of the returns near the map (``REACH``) that must lie within the last width, or the match has failed."""
LEAST_RETURNS = 20
"""Paired returns below which a match has failed."""
LEAST_COSINE = 0.05
"""Faces that a beam meets at less than this cosine of incidence are no partners of its return."""
SEARCH_BELOW = 0.7
"""Share of inliers below which other starts are tried."""
SEARCH_OFFSETS = (-0.25, 0.0, 0.25)
"""Other starts [m], along both axes ..."""
SEARCH_TURNS = (-0.16, -0.12, -0.08, -0.04, 0.0, 0.04, 0.08, 0.12, 0.16)
"""... and turned by [rad]."""
SEARCH_WIDTH = 0.3
"""Returns farther from the map than this [m] do not speak for a start."""
SEARCH_BEAMS = 90
"""Returns that other starts are compared by."""


@dataclass(frozen=True)
class Segments:
    """Faces of a map as M line segments.

    Attributes:
        start, end: (M, 2) [m]; seen from in front the start is at the right.
        normal: (M, 2) unit vectors towards the side that is seen.
    """

    start: FloatArray
    end: FloatArray
    normal: FloatArray

    def __len__(self) -> int:
        return len(self.start)


@dataclass(frozen=True)
class MatchGrid:
    """Which segments are near each place: ``near`` (rows, columns, PARTNERS) int32, -1 for none, nearest first."""

    segments: Segments
    near: NDArray[np.int32]
    origin: FloatArray
    cell: float


@dataclass(frozen=True)
class Alignment:
    """Scans aligned to a map.

    Attributes:
        pose: (S, 3) x, y [m], yaw [rad] of the laser in ``map``; the start's where the match failed.
        covariance: (S, 3, 3) of it, [m, m, rad]; NaN where the match failed.
        inliers: (S,) share of returns that lie on the map at the end.
        ok: (S,) whether the match succeeded.
    """

    pose: FloatArray
    covariance: FloatArray
    inliers: FloatArray
    ok: NDArray[np.bool_]


def match_grid(segments: Segments) -> MatchGrid:
    """Return the grid by which ``align`` finds partners.

    Raises:
        InputError: there is no segment.
    """
    if not len(segments):
        raise InputError(
            "the map holds no surface to match scans to",
            where="map from log",
            mend="give a log with more scans, or a layout",
        )
    low = np.minimum(segments.start, segments.end).min(axis=0) - REACH - FINEST
    high = np.maximum(segments.start, segments.end).max(axis=0) + REACH + FINEST
    size = high - low
    cell = max(FINEST, float(np.sqrt(size[0] * size[1] / MOST_CELLS)))
    columns, rows = (int(np.ceil(s / cell)) for s in size)
    near = fill_grid(segments.start, segments.end, low, cell, rows, columns)
    return MatchGrid(segments, near, low, cell)


def align(
    scans: Scans,
    poses: FloatArray,
    grid: MatchGrid,
    *,
    range_noise: float = 0.02,
    map_noise: float = 0.01,
    least_width: float | None = None,
    prior: tuple[float, float] = (0.3, 0.17),
    search: bool = True,
    reach: float | None = None,
) -> Alignment:
    """Align scans to a map.

    Args:
        scans: S scans. poses: (S, 3) of the laser in ``map`` [m, rad], to start from: right within about 0.3 m and 10
            degrees. grid: of the map.
        range_noise, map_noise: standard deviations of ranges and of the map's faces [m]; their ratio weighs beams, and
            they set the covariance.
        least_width: of the biweight at the end [m]; by default 4 standard deviations, 0.06 m at least.
        prior: standard deviations of the start's position [m] and heading [rad]; holds what the scan leaves open, such
            as the place along a corridor.
        search: whether starts may be far off: begins wide, and tries others where the first match explains too little.
        reach: returns beyond this [m] are left out; by default 95 % of the sensor's own.

    Raises:
        InputError: poses that do not fit the scans or are not finite.
    """
    start = np.ascontiguousarray(poses, dtype=np.float64)
    if start.shape != (len(scans), 3) or not np.isfinite(start).all():
        raise InputError(
            f"poses of shape {start.shape} for {len(scans)} scans, or not finite",
            where="scan matching",
            mend="give (S, 3) finite poses",
        )
    noise = float(np.hypot(range_noise, map_noise))
    last = max(4.0 * noise, 0.06) if least_width is None else least_width
    first = WIDTHS if search else WIDTHS[NEAR:]
    widths = np.array([max(w, last) for w in first] + [last])
    segments = grid.segments
    pose, covariance = np.empty_like(start), np.empty((len(start), 3, 3))
    inliers, ok = np.empty(len(start)), np.empty(len(start), np.bool_)
    align_scans(
        scans.ranges, scans.angles, start, _faces(segments), grid.near, grid.origin,
        grid.cell, widths, (range_noise, map_noise), prior, 0.95 * scans.range_max if reach is None else reach, search,
        np.array(SEARCH_OFFSETS), np.array(SEARCH_TURNS), pose, covariance, inliers, ok,
    )  # fmt: skip
    return Alignment(pose, covariance, inliers, ok)


def _faces(segments: Segments) -> FloatArray:
    """Return (M, 5) start x, y, normal x, y and length of each segment: what the kernels read of it."""
    length = np.hypot(*(segments.end - segments.start).T)
    return np.column_stack([segments.start, segments.normal, length])


@compiled
def fill_grid(
    start: FloatArray, end: FloatArray, origin: FloatArray, cell: float, rows: int, columns: int
) -> NDArray[np.int32]:
    """Return (rows, columns, PARTNERS) the nearest segments within ``REACH`` of each cell's middle, or -1."""
    near = np.full((rows, columns, PARTNERS), -1, np.int32)
    distance = np.full((rows, columns, PARTNERS), np.float32(REACH))
    for m in range(len(start)):
        ax, ay = start[m, 0] - origin[0], start[m, 1] - origin[1]
        bx, by = end[m, 0] - origin[0], end[m, 1] - origin[1]
        dx, dy = bx - ax, by - ay
        length = max(np.hypot(dx, dy), 1e-9)
        low = max(int((min(ay, by) - REACH) / cell), 0)
        high = min(int((max(ay, by) + REACH) / cell), rows - 1)
        for iy in range(low, high + 1):
            y = (iy + 0.5) * cell
            # Part of the segment within reach of this row, so that long slanted ones do not fill their whole box.
            t0, t1 = 0.0, 1.0
            if abs(dy) > 1e-9:
                u, v = (y - REACH - ay) / dy, (y + REACH - ay) / dy
                t0, t1 = max(0.0, min(u, v)), min(1.0, max(u, v))
                if t0 > t1:
                    continue
            xa, xb = ax + t0 * dx, ax + t1 * dx
            left = max(int((min(xa, xb) - REACH) / cell), 0)
            right = min(int((max(xa, xb) + REACH) / cell), columns - 1)
            for ix in range(left, right + 1):
                x = (ix + 0.5) * cell
                t = min(max(((x - ax) * dx + (y - ay) * dy) / (length * length), 0.0), 1.0)
                far = np.float32(np.hypot(x - ax - t * dx, y - ay - t * dy))
                k = PARTNERS - 1
                if far >= distance[iy, ix, k]:
                    continue
                while k > 0 and distance[iy, ix, k - 1] > far:
                    distance[iy, ix, k] = distance[iy, ix, k - 1]
                    near[iy, ix, k] = near[iy, ix, k - 1]
                    k -= 1
                distance[iy, ix, k] = far
                near[iy, ix, k] = m
    return near


@compiled
def _partner(
    x: float, y: float, dx: float, dy: float, faces: FloatArray, near: NDArray[np.int32], origin: FloatArray,
    cell: float,
) -> tuple[int, float, float]:  # fmt: skip
    """Return segment, signed distance to its line and distance past its ends for a return (x, y) of a beam (dx, dy)."""
    ix, iy = int(np.floor((x - origin[0]) / cell)), int(np.floor((y - origin[1]) / cell))
    if ix < 0 or iy < 0 or iy >= near.shape[0] or ix >= near.shape[1]:
        return -1, 0.0, 0.0
    best, least, off, past = -1, np.inf, 0.0, 0.0
    for k in range(PARTNERS):
        m = near[iy, ix, k]
        if m < 0:
            break
        nx, ny = faces[m, 2], faces[m, 3]
        if nx * dx + ny * dy > -LEAST_COSINE:
            continue
        px, py = x - faces[m, 0], y - faces[m, 1]
        e = nx * px + ny * py
        # Along the face, from its start at the right: the normal turned clockwise.
        u = px * ny - py * nx
        beyond = max(-u, u - faces[m, 4], 0.0)
        far = e * e + beyond * beyond
        if far < least:
            best, least, off, past = m, far, e, beyond
    return best, off, past


@compiled
def _normal_equations(
    points: FloatArray, count: int, pose: FloatArray, faces: FloatArray,
    near: NDArray[np.int32], origin: FloatArray, cell: float, width: float, deviations: float,
    noise: tuple[float, float], h: FloatArray, g: FloatArray,
) -> tuple[int, int, float, float]:  # fmt: skip
    """Fill normal matrix (3, 3) and gradient (3,); return pairs within the width, pairs, sums of weights and squares.

    Args:
        points: (B, 4) x, y [m] in the laser's frame and the beam's cosine and sine. count: of them. width: [m] and
            deviations: of the biweight; the lesser counts.
    """
    h[:] = 0.0
    g[:] = 0.0
    c, d = np.cos(pose[2]), np.sin(pose[2])
    inside, paired, total, squares = 0, 0, 0.0, 0.0
    for i in range(count):
        rx, ry = c * points[i, 0] - d * points[i, 1], d * points[i, 0] + c * points[i, 1]
        bx, by = c * points[i, 2] - d * points[i, 3], d * points[i, 2] + c * points[i, 3]
        m, e, past = _partner(pose[0] + rx, pose[1] + ry, bx, by, faces, near, origin, cell)
        if m < 0:
            continue
        paired += 1
        if past > 0.5 * width:
            continue
        nx, ny = faces[m, 2], faces[m, 3]
        slope = nx * bx + ny * by
        variance = noise[0] * noise[0] * slope * slope + noise[1] * noise[1]
        inside += abs(e) < width
        u = e / min(width, deviations * np.sqrt(variance))
        if abs(u) >= 1.0:
            continue
        robust = (1.0 - u * u) ** 2
        weight = robust / variance
        j2 = -ry * nx + rx * ny
        h[0, 0] += weight * nx * nx
        h[0, 1] += weight * nx * ny
        h[0, 2] += weight * nx * j2
        h[1, 1] += weight * ny * ny
        h[1, 2] += weight * ny * j2
        h[2, 2] += weight * j2 * j2
        g[0] += weight * nx * e
        g[1] += weight * ny * e
        g[2] += weight * j2 * e
        total += robust
        squares += weight * e * e
    h[1, 0], h[2, 0], h[2, 1] = h[0, 1], h[0, 2], h[1, 2]
    return inside, paired, total, squares


@compiled
def _solve3(h: FloatArray, g: FloatArray, out: FloatArray) -> bool:
    """Put the inverse of the symmetric (3, 3) ``h`` in ``out``, in place of solving; return whether it exists."""
    a, b, c = h[0, 0], h[0, 1], h[0, 2]
    d, e, f = h[1, 1], h[1, 2], h[2, 2]
    p, q, r = d * f - e * e, c * e - b * f, b * e - c * d
    determinant = a * p + b * q + c * r
    if not determinant > 0.0:
        return False
    out[0, 0], out[0, 1], out[0, 2] = p / determinant, q / determinant, r / determinant
    out[1, 1] = (a * f - c * c) / determinant
    out[1, 2] = (b * c - a * e) / determinant
    out[2, 2] = (a * d - b * b) / determinant
    out[1, 0], out[2, 0], out[2, 1] = out[0, 1], out[0, 2], out[1, 2]
    return True


@compiled
def _descend(
    points: FloatArray, count: int, pose: FloatArray, anchor: FloatArray, faces: FloatArray,
    near: NDArray[np.int32], origin: FloatArray, cell: float, widths: FloatArray,
    noise: tuple[float, float], prior: tuple[float, float], h: FloatArray, g: FloatArray, inverse: FloatArray,
) -> tuple[int, int]:  # fmt: skip
    """Improve ``pose`` in place; return returns on the map at the end, and near it; ``inverse`` is the covariance."""
    inside, paired = 0, 0
    for turn in range(ROUNDS):
        width = widths[min(turn, len(widths) - 1)]
        deviations = DEVIATIONS if turn >= len(widths) else np.inf
        inside, paired, total, squares = _normal_equations(
            points, count, pose, faces, near, origin, cell, width, deviations, noise, h, g
        )
        if total <= 0.0:
            return 0, paired
        spread = squares / total
        turned = (pose[2] - anchor[2] + np.pi) % (2.0 * np.pi) - np.pi
        place, heading = prior[0] * prior[0], prior[1] * prior[1]
        # While the map is still far, its pull is as weak as its misfit is large.
        scale = max(spread, 1.0)
        h /= scale
        g /= scale
        h[0, 0] += 1.0 / place
        h[1, 1] += 1.0 / place
        h[2, 2] += 1.0 / heading
        g[0] += (pose[0] - anchor[0]) / place
        g[1] += (pose[1] - anchor[1]) / place
        g[2] += turned / heading
        if not _solve3(h, g, inverse):
            return 0, paired
        step = 0.0
        for i in range(3):
            change = -(inverse[i, 0] * g[0] + inverse[i, 1] * g[1] + inverse[i, 2] * g[2])
            pose[i] += change
            step = max(step, abs(change))
        if turn > len(widths) and step < CONVERGED:
            break
    return inside, paired


@compiled
def _best_start(
    points: FloatArray, count: int, pose: FloatArray, faces: FloatArray,
    near: NDArray[np.int32], origin: FloatArray, cell: float, offsets: FloatArray, turns: FloatArray, best: FloatArray,
) -> None:  # fmt: skip
    """Fill ``best`` (3,) with the start around ``pose`` from which most returns lie near the map; ties: the first."""
    most = -1.0
    stride = max(count // SEARCH_BEAMS, 1)
    for turn in turns:
        yaw = pose[2] + turn
        c, d = np.cos(yaw), np.sin(yaw)
        for ox in offsets:
            for oy in offsets:
                x, y = pose[0] + ox, pose[1] + oy
                score = 0.0
                for i in range(0, count, stride):
                    px, py = c * points[i, 0] - d * points[i, 1], d * points[i, 0] + c * points[i, 1]
                    bx, by = c * points[i, 2] - d * points[i, 3], d * points[i, 2] + c * points[i, 3]
                    m, e, past = _partner(x + px, y + py, bx, by, faces, near, origin, cell)
                    if m >= 0:
                        score += max(1.0 - (e * e + past * past) / (SEARCH_WIDTH * SEARCH_WIDTH), 0.0)
                if score > most:
                    most = score
                    best[0], best[1], best[2] = x, y, yaw


@compiled
def align_scans(
    ranges: NDArray[np.float32], angles: FloatArray, poses: FloatArray, faces: FloatArray,
    near: NDArray[np.int32], origin: FloatArray, cell: float, widths: FloatArray,
    noise: tuple[float, float], prior: tuple[float, float], reach: float, search: bool, offsets: FloatArray,
    turns: FloatArray, pose: FloatArray, covariance: FloatArray, inliers: FloatArray, ok: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Align all scans; ``pose`` (S, 3), ``covariance`` (S, 3, 3), ``inliers`` and ``ok`` (S,) are filled."""
    count, beams = ranges.shape
    points = np.empty((beams, 4))
    h, inverse, g = np.empty((3, 3)), np.empty((3, 3)), np.empty(3)
    trial, best = np.empty(3), np.empty(3)
    for s in range(count):
        n = 0
        for b in range(beams):
            r = ranges[s, b]
            if r > 0.0 and r <= reach:
                c, d = np.cos(angles[b]), np.sin(angles[b])
                points[n, 0], points[n, 1], points[n, 2], points[n, 3] = r * c, r * d, c, d
                n += 1
        trial[:] = poses[s]
        inside, paired = _descend(
            points, n, trial, poses[s], faces, near, origin, cell, widths, noise, prior, h, g, inverse
        )
        if search and n >= LEAST_RETURNS and inside < SEARCH_BELOW * paired:
            _best_start(points, n, poses[s], faces, near, origin, cell, offsets, turns, best)
            there, other = _descend(
                points, n, best, poses[s], faces, near, origin, cell, widths, noise, prior, h, g, inverse
            )
            if there > inside:
                inside, paired = there, other
                trial[:] = best
            else:
                _descend(
                    points, n, trial, poses[s], faces, near, origin, cell, widths[-1:], noise, prior,
                    h, g, inverse,
                )  # fmt: skip
        inliers[s] = inside / n if n else 0.0
        ok[s] = inside >= LEAST_RETURNS and inside >= LEAST_INLIERS * paired
        pose[s] = trial if ok[s] else poses[s]
        pose[s, 2] = (pose[s, 2] + np.pi) % (2.0 * np.pi) - np.pi
        for i in range(3):
            for j in range(3):
                covariance[s, i, j] = inverse[i, j] if ok[s] else np.nan
