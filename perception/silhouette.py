"""Amodal silhouettes: what of an object would show in the picture, and beyond its edges, if nothing stood in front.

Each primitive is convex, so its picture is the convex hull of the pictures of its outline points: eight corners of a
box, three of a triangle, the two rims of a cylinder, the circle in which the cone of sight touches a sphere, two of
those for a capsule. Rims and circles become polygons of up to ``RIM_POINTS`` corners with the area of the circle. What
lies behind the near plane is cut off. The silhouette of an object is the union over its primitives.

Every hull is a ring of corners in pixels, top edge first from left to right. Each edge of a ring adds +1 (to the right)
or -1 (to the left) at the first pixel below it in every column it crosses; running sums down the columns then count the
hulls that cover a pixel, however many they are and in whatever order they come.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..common.primitives import BOX, CAPSULE, CYLINDER, SPHERE, TRIANGLE
from .compiled import compiled, inner, part, spliced
from .projection import CENTER_X, CENTER_Y, FISHEYE, FOCAL_X, FOCAL_Y, LENS, MAX_PIECES, NEAR, PINHOLE, bend_ring

RIM_POINTS = 48
"""Corners of the polygon that stands for a circle; the outline is off by 0.2 % of the radius at most."""

CANVAS_COLUMNS, CANVAS_ROWS = 96, 128
"""Most columns and rows of samples for truncation, in each of: before the picture, inside it, past it."""

CANVAS_DENSITY = 4.0
"""Samples per pixel, along a row and along a column, of silhouettes too small to fill ``CANVAS_COLUMNS``."""

_ANGLES = 2.0 * np.pi * np.arange(RIM_POINTS) / RIM_POINTS
_COS, _SIN = np.cos(_ANGLES), np.sin(_ANGLES)
_RIM_SCALE = float(np.sqrt((2 * np.pi / RIM_POINTS) / np.sin(2 * np.pi / RIM_POINTS)))
# All pairs of a rim's points may meet the near plane.
_MAX_OUTLINE = 2 * RIM_POINTS
_MAX_PICTURE = _MAX_OUTLINE + RIM_POINTS * RIM_POINTS


@dataclass(frozen=True)
class Silhouettes:
    """Amodal silhouettes of S objects.

    Attributes:
        area: (S,) int64, pixels of the picture whose centre lies in the silhouette, or that show the object.
        box: (S, 4) int64, x, y, width, height [pixels] around them.
        extent: (S, 4) float64, x1, y1, x2, y2 of the whole silhouette [pixels; centres are whole numbers], as far as a
            canvas holds it that has the picture's size once more on every side.
        truncation: (S,) float64, share of the silhouette's area on that canvas that lies outside the picture, 0 to 1.
            What lies beyond the canvas is left out, since the perspective picture of a thing beside the camera grows
            without bound.
    """

    area: NDArray[np.int64]
    box: NDArray[np.int64]
    extent: NDArray[np.float64]
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
    view: NDArray[np.float64],
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
        view: of the camera, see ``projection.camera_view``.

    Returns:
        The silhouettes. Approximations: the union is sampled at pixel centres; what is nearer than the near plane is
        not seen (through a fisheye it is); truncation is sampled on a grid (``CANVAS_COLUMNS``, ``CANVAS_ROWS``).
        Outside the picture a distorting lens goes on as ``projection`` says.
    """
    objects = len(primitive_offset) - 1
    ring, first = _all_rings(kind, size, center, axes, view)
    area, box = np.zeros(objects, dtype=np.int64), np.zeros((objects, 4), dtype=np.int64)
    whole, extent, truncation = np.empty((objects, 4)), np.empty((objects, 4)), np.zeros(objects)
    cover, lines = np.zeros((height, width), dtype=np.int16), np.empty((2, width), dtype=np.int16)
    # All memory comes from here: code that makes arrays takes long to compile.
    runs = (run_start, run_stop, run_offset)
    leaving = _cover(ring, first, primitive_offset, *runs, cover, lines[0], lines[1], whole, extent, area, box)
    if leaving > 0:
        canvas = np.zeros((3 * CANVAS_ROWS, 3 * CANVAS_COLUMNS), dtype=np.int16)
        lines = np.empty((2, 3 * CANVAS_COLUMNS), dtype=np.int16)
        bands = np.empty((6, 4))
        place = np.empty(3 * CANVAS_COLUMNS)
        _truncations(
            ring, first, primitive_offset, whole, width, height, canvas, lines[0], lines[1], bands, place, truncation
        )
    return Silhouettes(area, box, extent, truncation)


def _all_rings(
    kind: NDArray[np.uint8],
    size: NDArray[np.float64],
    center: NDArray[np.float64],
    axes: NDArray[np.float64],
    view: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the rings (N, 2) of P primitives, and where each begins (P + 1,)."""
    count = len(kind)
    points, picture, hull = np.empty((_MAX_OUTLINE, 3)), np.empty((_MAX_PICTURE, 2)), np.empty((_MAX_PICTURE + 1, 2))
    bent = view[LENS] != PINHOLE
    ring = np.empty(((48 if bent else 12) * count + (2 * MAX_PIECES * RIM_POINTS if bent else _MAX_PICTURE), 2))
    first = np.zeros(count + 1, dtype=np.int64)
    done = 0
    while done < count:
        if bent:
            done = _bent_rings(
                kind, size, center, axes, view, done, points, picture, hull, np.zeros((3, 3)), ring, first
            )
        else:
            done = _rings(kind, size, center, axes, view, done, points, picture, hull, ring, first)
        if done < count:
            longer = np.empty((2 * len(ring), 2))
            longer[: first[done]] = ring[: first[done]]
            ring = longer
    return ring, first


@spliced
def _corners(
    kind: int,
    size: NDArray[np.float64],
    center: NDArray[np.float64],
    axes: NDArray[np.float64],
    p: int,
    points: NDArray[np.float64],
) -> int:
    """Write the corners of box or triangle p; return how many."""
    a, b, c = size[p, 0], size[p, 1], size[p, 2]
    flat = kind == TRIANGLE
    count = 3 if flat else 8
    for i in range(count):
        if flat:
            x, y, z = (-a if i == 0 else (a if i == 1 else b)), (c if i == 2 else -c), 0.0
        else:
            x, y, z = (a if i & 1 else -a), (b if i & 2 else -b), (c if i & 4 else -c)
        for k in range(3):
            points[i, k] = center[p, k] + x * axes[p, k, 0] + y * axes[p, k, 1] + z * axes[p, k, 2]
    return count


@spliced
def _rims(
    kind: int,
    size: NDArray[np.float64],
    center: NDArray[np.float64],
    axes: NDArray[np.float64],
    p: int,
    points: NDArray[np.float64],
) -> int:
    """Write the rims of cylinder p, or the circles in which the cone of sight touches a round solid; return how many.

    There is none about a ball that the camera is in, and none of a plane.
    """
    a, b = size[p, 0], size[p, 1]
    count = 0
    ends = 1 if kind == SPHERE else (2 if kind in (CYLINDER, CAPSULE) else 0)
    for end in range(ends):
        along = 0.0 if kind == SPHERE else (2.0 * end - 1.0) * b
        cx = center[p, 0] + along * axes[p, 0, 2]
        cy = center[p, 1] + along * axes[p, 1, 2]
        cz = center[p, 2] + along * axes[p, 2, 2]
        ax, ay, az = a * axes[p, 0, 0], a * axes[p, 1, 0], a * axes[p, 2, 0]
        bx, by, bz = a * axes[p, 0, 1], a * axes[p, 1, 1], a * axes[p, 2, 1]
        if kind != CYLINDER:
            squared = cx * cx + cy * cy + cz * cz
            if squared <= a * a:
                continue
            distance = np.sqrt(squared)
            tx, ty, tz = cx / distance, cy / distance, cz / distance
            # What is not along the line of sight spans the circle's plane: x or y, whichever is farther from it.
            if abs(tx) < abs(ty):
                ax, ay, az = 0.0, tz, -ty
            else:
                ax, ay, az = -tz, 0.0, tx
            share = 1.0 - a * a / squared
            scale = a * np.sqrt(share) / np.sqrt(ax * ax + ay * ay + az * az)
            ax, ay, az = scale * ax, scale * ay, scale * az
            bx, by, bz = ty * az - tz * ay, tz * ax - tx * az, tx * ay - ty * ax
            cx, cy, cz = cx * share, cy * share, cz * share
        for i in range(RIM_POINTS):
            cos, sin = _RIM_SCALE * _COS[i], _RIM_SCALE * _SIN[i]
            points[count + i, 0] = cx + cos * ax + sin * bx
            points[count + i, 1] = cy + cos * ay + sin * by
            points[count + i, 2] = cz + cos * az + sin * bz
        count += RIM_POINTS
    return count


@spliced
def _picture(points: NDArray[np.float64], count: int, view: NDArray[np.float64], picture: NDArray[np.float64]) -> int:
    """Project points (count, 3), cut at the near plane, to pixels (n, 2); return n."""
    focal, center_u, center_v, near = view[FOCAL_X], view[CENTER_X], view[CENTER_Y], view[NEAR]
    n = 0
    for i in range(count):
        if points[i, 2] >= near:
            scale = focal / points[i, 2]
            picture[n, 0] = center_u + scale * points[i, 0]
            picture[n, 1] = center_v + scale * points[i, 1]
            n += 1
    if n == 0 or n == count:
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


@spliced
def _sort_points(picture: NDArray[np.float64], n: int) -> None:
    """Sort points (n, 2) in place by u, then v (Shell's method with Ciura's gaps)."""
    gap = 1750
    while gap > 0:
        for i in range(gap, n):
            u, v = picture[i, 0], picture[i, 1]
            j = i
            while j >= gap and (picture[j - gap, 0] > u or (picture[j - gap, 0] == u and picture[j - gap, 1] > v)):
                picture[j, 0] = picture[j - gap, 0]
                picture[j, 1] = picture[j - gap, 1]
                j -= gap
            picture[j, 0] = u
            picture[j, 1] = v
        # 1750, 701, 301, 132, 57, 23, 10, 4, 1
        gap = 701 if gap == 1750 else (301 if gap == 701 else (4 if gap == 10 else (gap * 10 // 23)))


@part
def _turn(ring: NDArray[np.float64], at: int, u: float, v: float) -> float:
    """Return how far the ring turns to the right, seen in the picture, at its last corner on the way to (u, v)."""
    du, dv = ring[at - 1, 0] - ring[at - 2, 0], ring[at - 1, 1] - ring[at - 2, 1]
    return du * (v - ring[at - 2, 1]) - dv * (u - ring[at - 2, 0])


@spliced
def _hull(picture: NDArray[np.float64], n: int, ring: NDArray[np.float64]) -> int:
    """Write the hull of sorted points to ``ring``; return how many corners it has.

    Andrew's monotone chain: the upper edge from left to right, then the lower edge back.
    """
    at = 0
    for i in range(n):
        u, v = picture[i, 0], picture[i, 1]
        while at >= 2 and _turn(ring, at, u, v) <= 0.0:
            at -= 1
        ring[at, 0], ring[at, 1] = u, v
        at += 1
    turning = at + 1
    for i in range(n - 2, -1, -1):
        u, v = picture[i, 0], picture[i, 1]
        while at >= turning and _turn(ring, at, u, v) <= 0.0:
            at -= 1
        ring[at, 0], ring[at, 1] = u, v
        at += 1
    return at - 1


@spliced
def _add_ring(
    cover: NDArray[np.int16], ring: NDArray[np.float64], first: int, last: int, width: int, height: int
) -> None:
    """Add a ring to the changes of coverage from each pixel of the picture to the one below it."""
    right, below = float(width), float(height)
    for i in range(first, last):
        j = i + 1 if i + 1 < last else first
        change = np.int16(1)
        if ring[i, 0] > ring[j, 0]:
            i, j = j, i
            change = np.int16(-1)
        u, v = ring[i, 0], ring[i, 1]
        start = np.int64(np.ceil(min(max(u, 0.0), right)))
        stop = np.int64(np.ceil(min(max(ring[j, 0], 0.0), right)))
        if start >= stop:
            continue
        slope = (ring[j, 1] - v) / (ring[j, 0] - u)
        for x in range(start, stop):
            y = np.int64(np.ceil(min(max(v + slope * (x - u), 0.0), below)))
            if y < height:
                cover[y, x] += change


@spliced
def _sweep(
    cover: NDArray[np.int16],
    depth: NDArray[np.int16],
    seen: NDArray[np.int16],
    x_start: int,
    x_stop: int,
    y_start: int,
    y_stop: int,
) -> tuple[int, int]:
    """Sum changes of coverage down the columns, clearing them; count the covered rows of each column in ``seen``.

    ``depth`` carries the sums from one call to the next. Returns the first covered row and the one past the last.
    """
    first, last = y_stop, y_start
    left, right = np.uint64(x_start), np.uint64(x_stop)
    for y in range(np.uint64(y_start), np.uint64(y_stop)):
        any_covered = np.int16(0)
        for x in range(left, right):
            now = np.int16(depth[x] + cover[y, x])
            cover[y, x] = 0
            depth[x] = now
            covered = np.int16(now > 0)
            seen[x] += covered
            any_covered |= covered
        if any_covered != 0:
            first, last = min(first, int(y)), int(y) + 1
    return first, last


@spliced
def _bands(low: float, high: float, size: int, most: int, bands: NDArray[np.float64], row: int) -> int:
    """Lay samples before, in and past a picture between two bounds; return how many.

    Writes start, step, count and 1 / step of each band to three rows.

    Bands without extent get no samples.
    """
    total = 0
    for band in range(3):
        start = max(low, (-0.5 - size, -0.5, size - 0.5)[band])
        stop = min(high, (-0.5, size - 0.5, 2 * size - 0.5)[band])
        count = 0
        if stop > start:
            count = int(min(np.ceil(CANVAS_DENSITY * (stop - start)), most))
        bands[row + band, 0], bands[row + band, 1], bands[row + band, 2] = start, (stop - start) / max(count, 1), count
        bands[row + band, 3] = count / (stop - start) if count > 0 else 0.0
        total += count
    return total


@inner
def _sample_at(bands: NDArray[np.float64], row: int, value: float) -> int:
    """Return how many samples lie before a coordinate."""
    total = 0.0
    for band in range(row, row + 3):
        total += min(max(np.ceil((value - bands[band, 0]) * bands[band, 3] - 0.5), 0.0), bands[band, 2])
    return int(total)


@spliced
def _add_ring_to_canvas(
    cover: NDArray[np.int16],
    ring: NDArray[np.float64],
    first: int,
    last: int,
    bands: NDArray[np.float64],
    rows: int,
    u: NDArray[np.float64],
) -> None:
    """Add a ring as ``_add_ring`` does, to samples in bands whose columns lie at u."""
    for i in range(first, last):
        j = i + 1 if i + 1 < last else first
        change = np.int16(1)
        if ring[i, 0] > ring[j, 0]:
            i, j = j, i
            change = np.int16(-1)
        start, stop = _sample_at(bands, 0, ring[i, 0]), _sample_at(bands, 0, ring[j, 0])
        if start >= stop:
            continue
        slope = (ring[j, 1] - ring[i, 1]) / (ring[j, 0] - ring[i, 0])
        for x in range(start, stop):
            y = _sample_at(bands, 3, ring[i, 1] + slope * (u[x] - ring[i, 0]))
            if y < rows:
                cover[y, x] += change


@spliced
def _toward(
    kind: int,
    size: NDArray[np.float64],
    center: NDArray[np.float64],
    axes: NDArray[np.float64],
    p: int,
    points: NDArray[np.float64],
    basis: NDArray[np.float64],
) -> bool:
    """Span a plane (basis: its axes and its foot, 1 from the camera) before which all of a solid lies.

    The plane faces the solid's nearest point, or of a round solid its axis's: a convex body lies beyond the plane
    through it. Returns whether there is one; there is none for a camera inside a solid.
    """
    x, y, z = 0.0, 0.0, 0.0
    if kind == TRIANGLE:
        for i in range(3):
            norm = np.sqrt(points[i, 0] ** 2 + points[i, 1] ** 2 + points[i, 2] ** 2)
            x, y, z = x + points[i, 0] / norm, y + points[i, 1] / norm, z + points[i, 2] / norm
    else:
        place = np.zeros(3)
        for j in range(3):
            for k in range(3):
                place[j] -= axes[p, k, j] * center[p, k]
        if kind == BOX:
            for j in range(3):
                place[j] = min(max(place[j], -size[p, j]), size[p, j])
        else:
            across = np.sqrt(place[0] ** 2 + place[1] ** 2)
            inward = min(1.0, size[p, 0] / across) if kind == CYLINDER and across > 0.0 else 0.0
            place[0], place[1] = place[0] * inward, place[1] * inward
            place[2] = 0.0 if kind == SPHERE else min(max(place[2], -size[p, 1]), size[p, 1])
        x, y, z = center[p, 0], center[p, 1], center[p, 2]
        for j in range(3):
            x, y, z = x + axes[p, 0, j] * place[j], y + axes[p, 1, j] * place[j], z + axes[p, 2, j] * place[j]
    norm = np.sqrt(x * x + y * y + z * z)
    if not norm > 1e-9:
        return False
    x, y, z = x / norm, y / norm, z / norm
    if abs(x) < abs(y):
        ax, ay, az = 0.0, z, -y
    else:
        ax, ay, az = -z, 0.0, x
    norm = np.sqrt(ax * ax + ay * ay + az * az)
    ax, ay, az = ax / norm, ay / norm, az / norm
    basis[0, 0], basis[0, 1], basis[0, 2] = ax, ay, az
    basis[1, 0], basis[1, 1], basis[1, 2] = y * az - z * ay, z * ax - x * az, x * ay - y * ax
    basis[2, 0], basis[2, 1], basis[2, 2] = x, y, z
    return True


@spliced
def _seen_about(
    points: NDArray[np.float64], count: int, good: bool, basis: NDArray[np.float64], picture: NDArray[np.float64]
) -> int:
    """Project points (count, 3) to the plane that a basis spans; return how many, none if one is not before it."""
    if not good:
        return 0
    for i in range(count):
        along = points[i, 0] * basis[2, 0] + points[i, 1] * basis[2, 1] + points[i, 2] * basis[2, 2]
        if along <= 1e-9:
            return 0
        for k in range(2):
            across = points[i, 0] * basis[k, 0] + points[i, 1] * basis[k, 1] + points[i, 2] * basis[k, 2]
            picture[i, k] = across / along
    return count


@compiled
def _rings(
    kind: NDArray[np.uint8],
    size: NDArray[np.float64],
    center: NDArray[np.float64],
    axes: NDArray[np.float64],
    view: NDArray[np.float64],
    done: int,
    points: NDArray[np.float64],
    picture: NDArray[np.float64],
    hull: NDArray[np.float64],
    ring: NDArray[np.float64],
    first: NDArray[np.int64],
) -> int:
    """Write the rings of primitives from ``done`` on as a pinhole shows them, until there is no room; return how many.

    Points, picture and hull are scratch; ``first`` (P + 1,) is told where rings begin.
    """
    for p in range(done, len(kind)):
        at = first[p]
        box = kind[p] == BOX or kind[p] == TRIANGLE
        count = (
            _corners(kind[p], size, center, axes, p, points) if box else _rims(kind[p], size, center, axes, p, points)
        )
        n = _picture(points, count, view, picture)
        corners = 0
        if n >= 3:
            _sort_points(picture, n)
            corners = _hull(picture, n, hull)
        if at + corners > len(ring):
            return p
        if corners >= 3:
            for i in range(corners):
                ring[at + i, 0], ring[at + i, 1] = hull[i, 0], hull[i, 1]
            at += corners
        first[p + 1] = at
    return len(kind)


@compiled
def _bent_rings(
    kind: NDArray[np.uint8],
    size: NDArray[np.float64],
    center: NDArray[np.float64],
    axes: NDArray[np.float64],
    view: NDArray[np.float64],
    done: int,
    points: NDArray[np.float64],
    picture: NDArray[np.float64],
    hull: NDArray[np.float64],
    basis: NDArray[np.float64],
    ring: NDArray[np.float64],
    first: NDArray[np.int64],
) -> int:
    """Do as ``_rings`` does, for any other lens."""
    for p in range(done, len(kind)):
        at = first[p]
        box = kind[p] == BOX or kind[p] == TRIANGLE
        count = (
            _corners(kind[p], size, center, axes, p, points) if box else _rims(kind[p], size, center, axes, p, points)
        )
        if view[LENS] == FISHEYE:
            n = _seen_about(points, count, _toward(kind[p], size, center, axes, p, points, basis), basis, picture)
        else:
            n = _picture(points, count, view, picture)
            basis[0, 0], basis[1, 1] = 1.0 / view[FOCAL_X], 1.0 / view[FOCAL_Y]
            basis[2, 0], basis[2, 1], basis[2, 2] = -view[CENTER_X] * basis[0, 0], -view[CENTER_Y] * basis[1, 1], 1.0
        corners = 0
        if n >= 3:
            _sort_points(picture, n)
            corners = _hull(picture, n, hull)
        if at + corners * MAX_PIECES > len(ring):
            return p
        first[p + 1] = bend_ring(hull, corners, basis, view, ring, at) if corners >= 3 else at
    return len(kind)


@compiled
def _cover(
    ring: NDArray[np.float64],
    first: NDArray[np.int64],
    primitive_offset: NDArray[np.int64],
    run_start: NDArray[np.int64],
    run_stop: NDArray[np.int64],
    run_offset: NDArray[np.int64],
    cover: NDArray[np.int16],
    depth: NDArray[np.int16],
    seen: NDArray[np.int16],
    whole: NDArray[np.float64],
    extent: NDArray[np.float64],
    area: NDArray[np.int64],
    box: NDArray[np.int64],
) -> int:
    """Write the bounds (S, 4) of all rings of each object, its extent, area and box; return how many leave the picture.

    ``cover`` (H, W) is 0 before and after; depth and seen (W,) are scratch.
    """
    height, width = cover.shape
    right, below = float(width), float(height)
    leaving = 0
    for s in range(len(area)):
        x1, y1, x2, y2 = np.inf, np.inf, -np.inf, -np.inf
        for p in range(primitive_offset[s], primitive_offset[s + 1]):
            for i in range(first[p], first[p + 1]):
                x1, x2 = min(x1, ring[i, 0]), max(x2, ring[i, 0])
                y1, y2 = min(y1, ring[i, 1]), max(y2, ring[i, 1])
            _add_ring(cover, ring, first[p], first[p + 1], width, height)
        whole[s, 0], whole[s, 1], whole[s, 2], whole[s, 3] = x1, y1, x2, y2
        leaving += x1 < -0.5 or y1 < -0.5 or x2 > width - 0.5 or y2 > height - 0.5
        # The pixels in which the silhouette may change coverage.
        x_start = np.int64(np.floor(min(max(x1, 0.0), right)))
        y_start = np.int64(np.floor(min(max(y1, 0.0), below)))
        x_stop = np.int64(min(np.floor(min(max(x2, -1.0), right)) + 1.0, right))
        y_stop = np.int64(min(np.floor(min(max(y2, -1.0), below)) + 2.0, below))
        for run in range(run_offset[s], run_offset[s + 1]):
            x = run_start[run] // height
            start, stop = run_start[run] - x * height, run_stop[run] - x * height
            cover[start, x] += 1
            if stop < height:
                cover[stop, x] -= 1
            x_start, x_stop = min(x_start, x), max(x_stop, x + 1)
            # One row more: the end of a run is a change too, and must be cleared.
            y_start, y_stop = min(y_start, start), max(y_stop, min(stop + 1, np.int64(height)))
        for x in range(x_start, x_stop):
            depth[x], seen[x] = 0, 0
        top, bottom = _sweep(cover, depth, seen, x_start, x_stop, y_start, y_stop)
        total, low, high = 0, x_stop, x_start
        for x in range(x_start, x_stop):
            if seen[x] > 0:
                total += seen[x]
                low, high = min(low, np.int64(x)), np.int64(x + 1)
        area[s] = total
        if total > 0:
            box[s, 0], box[s, 1], box[s, 2], box[s, 3] = low, top, high - low, bottom - top
        # Widened to its visible pixels and cut at the canvas.
        extent[s, 0] = max(min(x1, float(box[s, 0])), -0.5 - width)
        extent[s, 1] = max(min(y1, float(box[s, 1])), -0.5 - height)
        extent[s, 2] = min(max(x2, box[s, 0] + box[s, 2] - 1.0), 2 * width - 0.5)
        extent[s, 3] = min(max(y2, box[s, 1] + box[s, 3] - 1.0), 2 * height - 0.5)
    return leaving


@spliced
def _outside(
    cover: NDArray[np.int16],
    depth: NDArray[np.int16],
    seen: NDArray[np.int16],
    bands: NDArray[np.float64],
    columns: int,
) -> float:
    """Sweep a canvas; return the share of what it holds that lies outside the picture, 0 for nothing."""
    total, inside = 0.0, 0.0
    top = 0
    for band in range(3, 6):
        bottom = top + int(bands[band, 2])
        for x in range(columns):
            seen[x] = 0
        _sweep(cover, depth, seen, 0, columns, top, bottom)
        top = bottom
        left = 0
        for side in range(3):
            right = left + int(bands[side, 2])
            covered = 0
            for x in range(left, right):
                covered += seen[x]
            left = right
            share = covered * bands[side, 1] * bands[band, 1]
            total += share
            if band == 4 and side == 1:
                inside += share
    return min(max(1.0 - inside / total, 0.0), 1.0) if total > 0.0 else 0.0


@compiled
def _truncations(
    ring: NDArray[np.float64],
    first: NDArray[np.int64],
    primitive_offset: NDArray[np.int64],
    whole: NDArray[np.float64],
    width: int,
    height: int,
    cover: NDArray[np.int16],
    depth: NDArray[np.int16],
    seen: NDArray[np.int16],
    bands: NDArray[np.float64],
    place: NDArray[np.float64],
    truncation: NDArray[np.float64],
) -> None:
    """Write the share of each silhouette, as far as the canvas holds it, that lies outside the picture.

    ``whole`` (S, 4) bounds the rings of each object; ``cover`` is 0 before and after, the next four are scratch.
    """
    for s in range(len(truncation)):
        if not (whole[s, 0] < -0.5 or whole[s, 1] < -0.5 or whole[s, 2] > width - 0.5 or whole[s, 3] > height - 0.5):
            continue
        columns, rows = 0, 0
        for side in range(2):
            low, high = whole[s, side], whole[s, side + 2]
            count = _bands(
                low, high, height if side else width, CANVAS_ROWS if side else CANVAS_COLUMNS, bands, 3 * side
            )
            columns, rows = rows, count
        if columns == 0 or rows == 0:
            continue
        at = 0
        for band in range(3):
            for i in range(int(bands[band, 2])):
                place[at] = bands[band, 0] + (i + 0.5) * bands[band, 1]
                at += 1
        for p in range(primitive_offset[s], primitive_offset[s + 1]):
            _add_ring_to_canvas(cover, ring, first[p], first[p + 1], bands, rows, place)
        for x in range(columns):
            depth[x] = 0
        truncation[s] = _outside(cover, depth, seen, bands, columns)
