"""Amodal silhouettes: what of an object would show in the picture, and beyond its edges, if nothing stood in front.

Each primitive is convex, so its picture is the convex hull of the pictures of its outline points: eight corners of a
box, the two rims of a cylinder, the circle in which the cone of sight touches a sphere, two of those for a capsule.
Rims and circles become polygons of ``RIM_POINTS`` corners with the area of the circle. What lies behind the near plane
is cut off. The silhouette of an object is the union over its primitives.

A hull is kept as two chains that run from left to right, its upper and its lower edge, so that each image column meets
it in one interval.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..common.primitives import BOX, CYLINDER, PLANE, SPHERE
from .compiled import compiled

RIM_POINTS = 48
"""Corners of the polygon that stands for a circle; the outline is off by 0.2 % of the radius at most."""

MAX_BAND_COLUMNS = 128
"""Columns at which a silhouette that leaves the picture is measured, in each of: left of it, inside, right of it."""

_RIM_SCALE = float(np.sqrt((2 * np.pi / RIM_POINTS) / np.sin(2 * np.pi / RIM_POINTS)))
# All pairs of a rim's points may meet the near plane.
_MAX_OUTLINE = 2 * RIM_POINTS
_MAX_PICTURE = _MAX_OUTLINE + RIM_POINTS * RIM_POINTS
_MAX_CHAIN = 256


@dataclass(frozen=True)
class Silhouettes:
    """Amodal silhouettes of S objects.

    Attributes:
        area: (S,) int64, pixels of the picture whose centre lies in the silhouette, or that show the object.
        box: (S, 4) int64, x, y, width, height [pixels] around them.
        truncation: (S,) float64, share of the silhouette's area that lies outside the picture, 0 to 1. What lies more
            than the picture's own width or height beyond its edges is left out, since the perspective picture of a
            thing beside the camera grows without bound.
    """

    area: NDArray[np.int64]
    box: NDArray[np.int64]
    truncation: NDArray[np.float64]


def silhouettes(
    kind: NDArray[np.uint8],
    size: NDArray[np.float64],
    center: NDArray[np.float64],
    axes: NDArray[np.float64],
    primitive_offset: NDArray[np.int64],
    run_start: NDArray[np.int64],
    run_stop: NDArray[np.int64],
    run_offset: NDArray[np.int64],
    *,
    width: int,
    height: int,
    focal: float,
    near: float,
) -> Silhouettes:
    """Measure the amodal silhouettes of S objects made of P primitives.

    Args:
        kind: (P,) as in ``Primitives``, grouped by object; planes have no silhouette.
        size: (P, 3) [m] as in ``Primitives``.
        center: (P, 3) [m] in ``camera_optical``.
        axes: (P, 3, 3), columns are the primitive's local axes in ``camera_optical``.
        primitive_offset: (S + 1,); primitives ``primitive_offset[s]:primitive_offset[s + 1]`` belong to object s.
        run_start, run_stop, run_offset: visible pixels as in ``InstanceRuns``. They always count as part of the
            silhouette, so that the visible share never exceeds one where rounding moves an edge over a pixel centre.
        width, height: of the picture [pixels].
        focal: [pixels].
        near: planar distance [m] of the near plane.

    Returns:
        The silhouettes. Approximations: the union is sampled at pixel centres; a part nearer than ``near`` is
        not seen; truncation is integrated exactly along columns and by the midpoint rule across at most
        ``MAX_BAND_COLUMNS`` columns on each side.
    """
    area, box, truncation = _measure(
        kind,
        size,
        center,
        axes,
        primitive_offset,
        run_start,
        run_stop,
        run_offset,
        width,
        height,
        float(focal),
        float(near),
    )
    return Silhouettes(area, box, truncation)


@compiled
def _circle(
    points: NDArray[np.float64],
    count: int,
    center: NDArray[np.float64],
    axis_1: NDArray[np.float64],
    axis_2: NDArray[np.float64],
    radius: float,
) -> int:
    for i in range(RIM_POINTS):
        angle = 2.0 * np.pi * i / RIM_POINTS
        along_1 = radius * _RIM_SCALE * np.cos(angle)
        along_2 = radius * _RIM_SCALE * np.sin(angle)
        for k in range(3):
            points[count + i, k] = center[k] + along_1 * axis_1[k] + along_2 * axis_2[k]
    return count + RIM_POINTS


@compiled
def _tangent_circle(points: NDArray[np.float64], count: int, center: NDArray[np.float64], radius: float) -> int:
    """Add the circle in which the cone of sight from the origin touches a sphere; nothing from inside the sphere."""
    squared = center[0] ** 2 + center[1] ** 2 + center[2] ** 2
    if squared <= radius * radius:
        return count
    distance = np.sqrt(squared)
    toward = center / distance
    # Any vector that is not along the line of sight gives the circle's plane; the smallest component is the safest.
    helper = np.zeros(3)
    helper[np.argmin(np.abs(toward))] = 1.0
    axis_1 = np.array(
        [
            toward[1] * helper[2] - toward[2] * helper[1],
            toward[2] * helper[0] - toward[0] * helper[2],
            toward[0] * helper[1] - toward[1] * helper[0],
        ]
    )
    axis_1 /= np.sqrt(axis_1[0] ** 2 + axis_1[1] ** 2 + axis_1[2] ** 2)
    axis_2 = np.array(
        [
            toward[1] * axis_1[2] - toward[2] * axis_1[1],
            toward[2] * axis_1[0] - toward[0] * axis_1[2],
            toward[0] * axis_1[1] - toward[1] * axis_1[0],
        ]
    )
    share = 1.0 - radius * radius / squared
    return _circle(points, count, center * share, axis_1, axis_2, radius * np.sqrt(share))


@compiled
def _outline(
    kind: int,
    size: NDArray[np.float64],
    center: NDArray[np.float64],
    axes: NDArray[np.float64],
    points: NDArray[np.float64],
) -> int:
    """Write points whose convex hull has the primitive's silhouette; return how many."""
    count = 0
    if kind == BOX:
        for i in range(8):
            for k in range(3):
                points[i, k] = (
                    center[k]
                    + (size[0] if i & 1 else -size[0]) * axes[k, 0]
                    + (size[1] if i & 2 else -size[1]) * axes[k, 1]
                    + (size[2] if i & 4 else -size[2]) * axes[k, 2]
                )
        count = 8
    elif kind == SPHERE:
        count = _tangent_circle(points, 0, center, size[0])
    elif kind != PLANE:
        for end in (-1.0, 1.0):
            middle = center + end * size[1] * axes[:, 2]
            if kind == CYLINDER:
                count = _circle(points, count, middle, axes[:, 0], axes[:, 1], size[0])
            else:
                count = _tangent_circle(points, count, middle, size[0])
    return count


@compiled
def _picture(
    points: NDArray[np.float64],
    count: int,
    focal: float,
    center_u: float,
    center_v: float,
    near: float,
    picture: NDArray[np.float64],
) -> int:
    """Project points (count, 3), cut at the near plane, to pixels (n, 2); return n."""
    n = 0
    for i in range(count):
        if points[i, 2] >= near:
            picture[n, 0] = center_u + focal * points[i, 0] / points[i, 2]
            picture[n, 1] = center_v + focal * points[i, 1] / points[i, 2]
            n += 1
    if n in (0, count):
        return n
    # The hull meets the plane in the hull of all crossings between points before it and points behind it.
    for i in range(count):
        if points[i, 2] < near:
            continue
        for j in range(count):
            if points[j, 2] >= near:
                continue
            t = (near - points[i, 2]) / (points[j, 2] - points[i, 2])
            picture[n, 0] = center_u + focal * (points[i, 0] + t * (points[j, 0] - points[i, 0])) / near
            picture[n, 1] = center_v + focal * (points[i, 1] + t * (points[j, 1] - points[i, 1])) / near
            n += 1
    return n


@compiled
def _sort_points(picture: NDArray[np.float64], n: int) -> None:
    """Sort points (n, 2) in place by u, then v (Shell's method with Ciura's gaps)."""
    for gap in (1750, 701, 301, 132, 57, 23, 10, 4, 1):
        for i in range(gap, n):
            u, v = picture[i, 0], picture[i, 1]
            j = i
            while j >= gap and (picture[j - gap, 0] > u or (picture[j - gap, 0] == u and picture[j - gap, 1] > v)):
                picture[j, 0] = picture[j - gap, 0]
                picture[j, 1] = picture[j - gap, 1]
                j -= gap
            picture[j, 0] = u
            picture[j, 1] = v


@compiled
def _chain(picture: NDArray[np.float64], n: int, side: float, chain: NDArray[np.float64], first: int) -> int:
    """Write one edge of the hull of sorted points from ``chain[first]`` on: side 1 the least v, -1 the greatest.

    Andrew's monotone chain. Returns the index past its last point.
    """
    at = first
    for i in range(n):
        while at - first >= 2:
            turn = (chain[at - 1, 0] - chain[at - 2, 0]) * (picture[i, 1] - chain[at - 2, 1]) - (
                chain[at - 1, 1] - chain[at - 2, 1]
            ) * (picture[i, 0] - chain[at - 2, 0])
            if side * turn > 0.0:
                break
            at -= 1
        # A hull keeps far fewer corners than this; the guard only keeps a bad table from writing past the end.
        if at - first >= _MAX_CHAIN:
            at -= 1
        chain[at, 0] = picture[i, 0]
        chain[at, 1] = picture[i, 1]
        at += 1
    # Points one above the other at an end: only the outer one belongs to this edge.
    if at - first >= 2 and chain[first, 0] == chain[first + 1, 0]:
        if side * (chain[first + 1, 1] - chain[first, 1]) < 0.0:
            chain[first, 1] = chain[first + 1, 1]
        for i in range(first + 1, at - 1):
            chain[i, 0] = chain[i + 1, 0]
            chain[i, 1] = chain[i + 1, 1]
        at -= 1
    if at - first >= 2 and chain[at - 1, 0] == chain[at - 2, 0]:
        if side * (chain[at - 1, 1] - chain[at - 2, 1]) < 0.0:
            chain[at - 2, 1] = chain[at - 1, 1]
        at -= 1
    return at


@compiled
def _height_at(chain: NDArray[np.float64], first: int, last: int, u: float) -> float:
    """Return v of a chain ``first:last`` at u, which must lie between its ends."""
    i = first
    while i < last - 2 and chain[i + 1, 0] < u:
        i += 1
    if i >= last - 1:
        return chain[first, 1]
    across = chain[i + 1, 0] - chain[i, 0]
    t = (u - chain[i, 0]) / across if across > 0.0 else 0.0
    t = min(max(t, 0.0), 1.0)
    return chain[i, 1] + t * (chain[i + 1, 1] - chain[i, 1])


@compiled
def _fill(
    chain: NDArray[np.float64],
    edges: NDArray[np.int64],
    stamp: NDArray[np.int32],
    value: int,
    width: int,
    height: int,
    box: NDArray[np.int64],
) -> int:
    """Stamp the pixels whose centre one hull covers; return how many were new; widen box (x0, y0, x1, y1)."""
    added = 0
    top, bottom = edges[0], edges[1]
    u_min, u_max = chain[top, 0], chain[edges[1] - 1, 0]
    x_first = max(0, int(np.ceil(min(max(u_min, -1.0), width + 1.0))))
    x_last = min(width - 1, int(np.floor(min(max(u_max, -1.0), width + 1.0))))
    for x in range(x_first, x_last + 1):
        # Cursors move on with x, so that a column costs no search.
        while top < edges[1] - 2 and chain[top + 1, 0] < x:
            top += 1
        while bottom < edges[2] - 2 and chain[bottom + 1, 0] < x:
            bottom += 1
        v_top = _height_at(chain, top, min(top + 2, edges[1]), float(x))
        v_bottom = _height_at(chain, bottom, min(bottom + 2, edges[2]), float(x))
        y_first = max(0, int(np.ceil(min(max(v_top, -1.0), height + 1.0))))
        y_last = min(height - 1, int(np.floor(min(max(v_bottom, -1.0), height + 1.0))))
        if y_first > y_last:
            continue
        box[0], box[2] = min(box[0], x), max(box[2], x)
        box[1], box[3] = min(box[1], y_first), max(box[3], y_last)
        for pixel in range(x * height + y_first, x * height + y_last + 1):
            if stamp[pixel] != value:
                stamp[pixel] = value
                added += 1
    return added


@compiled
def _column_union(
    chain: NDArray[np.float64],
    edges: NDArray[np.int64],
    order: NDArray[np.int64],
    interval: NDArray[np.float64],
    u: float,
    height: int,
) -> tuple[float, float]:
    """Return the length of the union of hulls (N, 3 edges) along the column u: on the canvas, and in the picture."""
    n = len(edges)
    for i in range(n):
        first, last = edges[i, 0], edges[i, 1]
        interval[i, 0] = np.inf
        if last > first and chain[first, 0] <= u <= chain[last - 1, 0]:
            interval[i, 0] = _height_at(chain, first, last, u)
            interval[i, 1] = _height_at(chain, last, edges[i, 2], u)
    # Neighbouring columns meet the hulls in nearly the same order, so insertion into the last order is nearly free.
    for i in range(1, n):
        item = order[i]
        j = i
        while j > 0 and interval[order[j - 1], 0] > interval[item, 0]:
            order[j] = order[j - 1]
            j -= 1
        order[j] = item
    low, high = -0.5, height - 0.5
    top, bottom = low - height, high + height
    reached = -np.inf
    length = 0.0
    inside = 0.0
    for i in range(n):
        start, stop = interval[order[i], 0], interval[order[i], 1]
        if start == np.inf:
            break
        start, stop = max(start, reached, top), min(stop, bottom)
        if stop > start:
            length += stop - start
            inside += max(0.0, min(stop, high) - max(start, low))
            reached = stop
    return length, inside


@compiled
def _truncation(
    chain: NDArray[np.float64], edges: NDArray[np.int64], u_min: float, u_max: float, width: int, height: int
) -> float:
    """Return the share of a union of hulls, as far as the enlarged canvas holds it, that lies outside the picture.

    The picture is [-0.5, width - 0.5] x [-0.5, height - 0.5]; the canvas has its size once more on every side.
    """
    u_min, u_max = max(u_min, -0.5 - width), min(u_max, 2 * width - 0.5)
    order = np.arange(len(edges))
    interval = np.empty((len(edges), 2))
    whole = 0.0
    inside = 0.0
    for band in range(3):
        start = (u_min, max(u_min, -0.5), max(u_min, width - 0.5))[band]
        stop = (min(u_max, -0.5), min(u_max, width - 0.5), u_max)[band]
        if stop <= start:
            continue
        columns = int(min(np.ceil(stop - start), MAX_BAND_COLUMNS))
        step = (stop - start) / columns
        for i in range(columns):
            length, shown = _column_union(chain, edges, order, interval, start + (i + 0.5) * step, height)
            whole += length * step
            if band == 1:
                inside += shown * step
    return min(max(1.0 - inside / whole, 0.0), 1.0) if whole > 0.0 else 0.0


@compiled
def _measure(
    kind: NDArray[np.uint8],
    size: NDArray[np.float64],
    center: NDArray[np.float64],
    axes: NDArray[np.float64],
    primitive_offset: NDArray[np.int64],
    run_start: NDArray[np.int64],
    run_stop: NDArray[np.int64],
    run_offset: NDArray[np.int64],
    width: int,
    height: int,
    focal: float,
    near: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    objects = len(primitive_offset) - 1
    area = np.zeros(objects, dtype=np.int64)
    box = np.zeros((objects, 4), dtype=np.int64)
    truncation = np.zeros(objects)
    # Column-major like the runs; a pixel belongs to the object whose number it holds, so it is never cleared.
    stamp = np.zeros(width * height, dtype=np.int32)
    points = np.empty((_MAX_OUTLINE, 3))
    picture = np.empty((_MAX_PICTURE, 2))
    extent = np.empty(4, dtype=np.int64)
    center_u, center_v = 0.5 * (width - 1), 0.5 * (height - 1)
    most = 0
    for s in range(objects):
        most = max(most, primitive_offset[s + 1] - primitive_offset[s])
    edges = np.zeros((most, 3), dtype=np.int64)
    chain = np.empty((64, 2))
    for s in range(objects):
        first, last = primitive_offset[s], primitive_offset[s + 1]
        extent[0], extent[1], extent[2], extent[3] = width, height, -1, -1
        u_min, u_max, v_min, v_max = np.inf, -np.inf, np.inf, -np.inf
        at = 0
        count = 0
        for p in range(first, last):
            n = _outline(kind[p], size[p], center[p], axes[p], points)
            n = _picture(points, n, focal, center_u, center_v, near, picture)
            if at + 2 * _MAX_CHAIN > len(chain):
                longer = np.empty((2 * len(chain) + 2 * _MAX_CHAIN, 2))
                longer[:at] = chain[:at]
                chain = longer
            hull = edges[p - first]
            hull[0] = hull[1] = hull[2] = at
            if n < 3:
                continue
            _sort_points(picture, n)
            hull[1] = _chain(picture, n, 1.0, chain, at)
            hull[2] = _chain(picture, n, -1.0, chain, hull[1])
            at = hull[2]
            u_min, u_max = min(u_min, picture[0, 0]), max(u_max, picture[n - 1, 0])
            for i in range(n):
                v_min, v_max = min(v_min, picture[i, 1]), max(v_max, picture[i, 1])
            count += _fill(chain, hull, stamp, s + 1, width, height, extent)
        for run in range(run_offset[s], run_offset[s + 1]):
            for pixel in range(run_start[run], run_stop[run]):
                if stamp[pixel] != s + 1:
                    stamp[pixel] = s + 1
                    count += 1
                    x, y = pixel // height, pixel % height
                    extent[0], extent[2] = min(extent[0], x), max(extent[2], x)
                    extent[1], extent[3] = min(extent[1], y), max(extent[3], y)
        area[s] = count
        if count:
            box[s, 0], box[s, 1] = extent[0], extent[1]
            box[s, 2], box[s, 3] = extent[2] - extent[0] + 1, extent[3] - extent[1] + 1
        if u_min < -0.5 or u_max > width - 0.5 or v_min < -0.5 or v_max > height - 0.5:
            truncation[s] = _truncation(chain, edges[: last - first], u_min, u_max, width, height)
    return area, box, truncation
