"""Upright boxes as arrays, which of them overlap (separating axes, sort and sweep), and outlines of leaning solids."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.geometry import rotation_matrix
from ..common.primitives import BOX
from .model import Point

Floats = NDArray[np.float64]
BoxRow = tuple[str, float, float, float, float, float, float, float]
"""Name, x, y, yaw, full size along and across, lower and upper end."""
LineRow = tuple[str, Point, Point, float, float]
"""Name, start, end, width, height."""
MAX_CANDIDATES = 5_000_000
"""Pairs of overlapping rectangles at which the search ends; a real hall has a few for each thing in it."""
ROUND_EDGES = 24
"""Corners of the polygon around a circle."""


@dataclass(frozen=True)
class Footprints:
    """N upright boxes.

    Attributes:
        kinds, names, fields: what each is, for messages: "racks", "R03", "racks[2]".
        pose: (N, 3) float64 x, y [m], yaw [rad] of the centres.
        half: (N, 2) float64 half extents along the own axes [m].
        span: (N, 2) float64 lower and upper end [m].
    """

    kinds: tuple[str, ...]
    names: tuple[str, ...]
    fields: tuple[str, ...]
    pose: Floats
    half: Floats
    span: Floats

    def __len__(self) -> int:
        return len(self.names)

    @staticmethod
    def of_boxes(kind: str, rows: Sequence[BoxRow], *, numbers: Sequence[int] | None = None) -> Footprints:
        """Build from boxes; ``numbers`` are their places in the layout's list, if not 0, 1, 2..."""
        data = np.array([row[1:] for row in rows], dtype=np.float64).reshape(len(rows), 7)
        places = numbers if numbers is not None else range(len(rows))
        return Footprints(
            kinds=(kind,) * len(rows),
            names=tuple(row[0] for row in rows),
            fields=tuple(f"{kind}[{place}]" for place in places),
            pose=data[:, :3],
            half=0.5 * data[:, 3:5],
            span=data[:, 5:7],
        )

    @staticmethod
    def of_lines(kind: str, rows: Sequence[LineRow]) -> Footprints:
        """Build from lines with a width."""
        boxes: list[BoxRow] = []
        for name, (x0, y0), (x1, y1), width, height in rows:
            length, yaw = math.hypot(x1 - x0, y1 - y0), math.atan2(y1 - y0, x1 - x0)
            boxes.append((name, 0.5 * (x0 + x1), 0.5 * (y0 + y1), yaw, length, width, 0.0, height))
        return Footprints.of_boxes(kind, boxes)

    @staticmethod
    def concatenate(parts: Sequence[Footprints]) -> Footprints:
        """Return all boxes of the parts in order."""
        return Footprints(
            kinds=tuple(kind for part in parts for kind in part.kinds),
            names=tuple(name for part in parts for name in part.names),
            fields=tuple(field for part in parts for field in part.fields),
            pose=np.concatenate([part.pose for part in parts]),
            half=np.concatenate([part.half for part in parts]),
            span=np.concatenate([part.span for part in parts]),
        )

    def bounds(self) -> tuple[Floats, Floats]:
        """Return the lower and upper corners (N, 2) [m] of the axis-parallel rectangles around the footprints."""
        cos, sin = np.abs(np.cos(self.pose[:, 2])), np.abs(np.sin(self.pose[:, 2]))
        reach = np.stack(
            [cos * self.half[:, 0] + sin * self.half[:, 1], sin * self.half[:, 0] + cos * self.half[:, 1]], axis=-1
        )
        return self.pose[:, :2] - reach, self.pose[:, :2] + reach


def overlapping_pairs(boxes: Footprints, tolerance: float) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Return the pairs of boxes that share more than ``tolerance`` metres of space in every direction.

    Returns:
        first, second: (K,) int64 indices, first < second, sorted; depth: (K,) float64 [m], the shortest horizontal way
        to part the two.
    """
    first, second = _candidates(boxes, tolerance)
    low, high = boxes.span[:, 0], boxes.span[:, 1]
    height = np.minimum(high[first], high[second]) - np.maximum(low[first], low[second])
    keep = height > tolerance
    first, second = first[keep], second[keep]
    depth = _horizontal_overlap(boxes, first, second)
    keep = depth > tolerance
    first, second, depth = first[keep], second[keep], depth[keep]
    order = np.lexsort((second, first))
    return first[order], second[order], depth[order]


def _candidates(boxes: Footprints, tolerance: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the pairs whose axis-parallel rectangles overlap: boxes sorted by their lower x, each with its followers.

    Boxes go through by x; a follower is looked at as long as it begins before this one ends.
    """
    low, high = boxes.bounds()
    order = np.argsort(low[:, 0], kind="stable")
    begin = low[order, 0]
    stop = np.searchsorted(begin, high[order, 0] - tolerance)
    firsts, seconds, count = [], [], 0
    for rank in range(len(order)):
        followers = order[rank + 1 : stop[rank]]
        if not len(followers):
            continue
        me = order[rank]
        near = (low[followers, 1] < high[me, 1] - tolerance) & (high[followers, 1] > low[me, 1] + tolerance)
        found = followers[near]
        firsts.append(np.minimum(found, me))
        seconds.append(np.maximum(found, me))
        count += len(found)
        if count > MAX_CANDIDATES:
            break
    if not firsts:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    return np.concatenate(firsts).astype(np.int64), np.concatenate(seconds).astype(np.int64)


def _horizontal_overlap(boxes: Footprints, first: NDArray[np.int64], second: NDArray[np.int64]) -> Floats:
    """Return the least overlap over the four separating axes (K,) [m]; not positive where the two are apart."""
    offset = boxes.pose[second, :2] - boxes.pose[first, :2]
    least = np.full(len(first), np.inf)
    for owner in (first, second):
        for turn in (0.0, 0.5 * math.pi):
            angle = boxes.pose[owner, 2] + turn
            axis = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
            reach = _reach(boxes, first, angle) + _reach(boxes, second, angle)
            least = np.minimum(least, reach - np.abs((offset * axis).sum(axis=-1)))
    return least


def _reach(boxes: Footprints, index: NDArray[np.int64], angle: Floats) -> Floats:
    """Return half the width of each box seen along a direction (K,) [m]."""
    turned = angle - boxes.pose[index, 2]
    return boxes.half[index, 0] * np.abs(np.cos(turned)) + boxes.half[index, 1] * np.abs(np.sin(turned))


def outline(
    kind: int, size: Sequence[float], position: Sequence[float], quaternion: ArrayLike, low: float, high: float
) -> Floats:
    """Return the convex outline, seen from above, of what of a solid lies between two heights.

    Args:
        kind: BOX or CYLINDER; a cylinder is taken as the prism of ``ROUND_EDGES`` edges around it.
        size, position: [m] as in ``Primitives``. quaternion: (4,) xyzw. low, high: ends of the band [m].

    Returns:
        (K, 2) float64 corners x, y [m], counter-clockwise; K is 0 if the solid does not reach into the band.
    """
    if kind == BOX:
        ring = np.array([(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)]) * np.asarray(size)[:2]
        half = size[2]
    else:
        angle = (np.arange(ROUND_EDGES) + 0.5) * 2.0 * math.pi / ROUND_EDGES
        ring = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * size[0] / math.cos(math.pi / ROUND_EDGES)
        half = size[1]
    local = np.concatenate([np.column_stack([ring, np.full(len(ring), side * half)]) for side in (-1.0, 1.0)])
    corners = local @ rotation_matrix(quaternion).T + np.asarray(position)
    count = len(ring)
    around = np.arange(count)
    onward = (around + 1) % count
    # The edges of the underside, of the top, and those between them.
    start = corners[np.concatenate([around, around + count, around])]
    end = corners[np.concatenate([onward, onward + count, around + count])]
    points = [corners[(corners[:, 2] >= low) & (corners[:, 2] <= high)]]
    for level in (low, high):
        crossing = (start[:, 2] - level) * (end[:, 2] - level) < 0.0
        a, b = start[crossing], end[crossing]
        share = (level - a[:, 2]) / (b[:, 2] - a[:, 2])
        points.append(a + share[:, None] * (b - a))
    return _convex_hull(np.concatenate(points)[:, :2])


def _convex_hull(points: Floats) -> Floats:
    """Return the corners of the convex hull of points (N, 2), counter-clockwise (Andrew's monotone chain)."""
    ordered = sorted({(x, y) for x, y in np.round(points, 9).tolist()})
    if len(ordered) < 3:
        return np.array(ordered, dtype=np.float64).reshape(-1, 2)
    hull: list[Point] = []
    for chain in (ordered, ordered[::-1]):
        first = len(hull)
        for x, y in chain:
            while len(hull) - first >= 2:
                (ax, ay), (bx, by) = hull[-2], hull[-1]
                if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0.0:
                    break
                hull.pop()
            hull.append((x, y))
        hull.pop()
    return np.array(hull, dtype=np.float64)
