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
from .compiled import compiled, inlined
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
    runs = (run_start, run_stop, run_offset)
    return Silhouettes(*_measure(kind, size, center, axes, primitive_offset, *runs, width, height, view))


@inlined
def _circle(
    points: NDArray[np.float64],
    count: int,
    cx: float,
    cy: float,
    cz: float,
    ax: float,
    ay: float,
    az: float,
    bx: float,
    by: float,
    bz: float,
) -> int:
    """Add a rim about a centre, spanned by two vectors as long as the radius."""
    for i in range(RIM_POINTS):
        cos, sin = _RIM_SCALE * _COS[i], _RIM_SCALE * _SIN[i]
        points[count + i, 0] = cx + cos * ax + sin * bx
        points[count + i, 1] = cy + cos * ay + sin * by
        points[count + i, 2] = cz + cos * az + sin * bz
    return count + RIM_POINTS


@compiled
def _tangent_circle(points: NDArray[np.float64], count: int, cx: float, cy: float, cz: float, radius: float) -> int:
    """Add the circle in which the cone of sight from the origin touches a sphere; nothing from inside the sphere."""
    squared = cx * cx + cy * cy + cz * cz
    if squared <= radius * radius:
        return count
    distance = np.sqrt(squared)
    tx, ty, tz = cx / distance, cy / distance, cz / distance
    # Any vector that is not along the line of sight spans the circle's plane: x or y, whichever is farther from it.
    if abs(tx) < abs(ty):
        ax, ay, az = 0.0, tz, -ty
    else:
        ax, ay, az = -tz, 0.0, tx
    share = 1.0 - radius * radius / squared
    scale = radius * np.sqrt(share) / np.sqrt(ax * ax + ay * ay + az * az)
    ax, ay, az = scale * ax, scale * ay, scale * az
    bx, by, bz = ty * az - tz * ay, tz * ax - tx * az, tx * ay - ty * ax
    return _circle(points, count, cx * share, cy * share, cz * share, ax, ay, az, bx, by, bz)


@compiled
def _outline(
    kind: int,
    size: NDArray[np.float64],
    center: NDArray[np.float64],
    axes: NDArray[np.float64],
    p: int,
    points: NDArray[np.float64],
) -> int:
    """Write points whose convex hull has the silhouette of primitive p; return how many."""
    a, b, c = size[p, 0], size[p, 1], size[p, 2]
    if kind in (BOX, TRIANGLE):
        flat = kind == TRIANGLE
        for i in range(3 if flat else 8):
            if flat:
                x, y, z = (-a if i == 0 else (a if i == 1 else b)), (c if i == 2 else -c), 0.0
            else:
                x, y, z = (a if i & 1 else -a), (b if i & 2 else -b), (c if i & 4 else -c)
            for k in range(3):
                points[i, k] = center[p, k] + x * axes[p, k, 0] + y * axes[p, k, 1] + z * axes[p, k, 2]
        return 3 if flat else 8
    count = 0
    ends = 1 if kind == SPHERE else (2 if kind in (CYLINDER, CAPSULE) else 0)
    for end in range(ends):
        along = 0.0 if kind == SPHERE else (2.0 * end - 1.0) * b
        x = center[p, 0] + along * axes[p, 0, 2]
        y = center[p, 1] + along * axes[p, 1, 2]
        z = center[p, 2] + along * axes[p, 2, 2]
        if kind == CYLINDER:
            count = _circle(
                points,
                count,
                x,
                y,
                z,
                a * axes[p, 0, 0],
                a * axes[p, 1, 0],
                a * axes[p, 2, 0],
                a * axes[p, 0, 1],
                a * axes[p, 1, 1],
                a * axes[p, 2, 1],
            )
        else:
            count = _tangent_circle(points, count, x, y, z, a)
    return count


@compiled
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


@compiled
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


@compiled
def _turn(ring: NDArray[np.float64], at: int, u: float, v: float) -> float:
    """Return how far the ring turns to the right, seen in the picture, at its last corner on the way to (u, v)."""
    du, dv = ring[at - 1, 0] - ring[at - 2, 0], ring[at - 1, 1] - ring[at - 2, 1]
    return du * (v - ring[at - 2, 1]) - dv * (u - ring[at - 2, 0])


@compiled
def _hull(picture: NDArray[np.float64], n: int, ring: NDArray[np.float64], first: int) -> int:
    """Write the hull of sorted points to ``ring`` from ``first`` on; return the index past its last corner.

    Andrew's monotone chain: the upper edge from left to right, then the lower edge back.
    """
    at = first
    for i in range(n):
        u, v = picture[i, 0], picture[i, 1]
        while at - first >= 2 and _turn(ring, at, u, v) <= 0.0:
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


@compiled
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


@compiled
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


@compiled
def _add_runs(
    cover: NDArray[np.int16],
    run_start: NDArray[np.int64],
    run_stop: NDArray[np.int64],
    first: int,
    last: int,
    height: int,
    window: NDArray[np.int64],
) -> None:
    """Add visible runs, each within one column; widen the window (x, y, past x, past y)."""
    for run in range(first, last):
        x = run_start[run] // height
        start, stop = run_start[run] - x * height, run_stop[run] - x * height
        cover[start, x] += 1
        if stop < height:
            cover[stop, x] -= 1
        window[0], window[2] = min(window[0], x), max(window[2], x + 1)
        window[1], window[3] = min(window[1], start), max(window[3], stop)


@compiled
def _bands(low: float, high: float, size: int, most: int, bands: NDArray[np.float64]) -> int:
    """Lay samples before, in and past a picture between two bounds; return how many.

    Writes start, step, count and 1 / step of each band (3, 4).

    Bands without extent get no samples.
    """
    total = 0
    for band in range(3):
        start = max(low, (-0.5 - size, -0.5, size - 0.5)[band])
        stop = min(high, (-0.5, size - 0.5, 2 * size - 0.5)[band])
        count = 0
        if stop > start:
            count = int(min(np.ceil(CANVAS_DENSITY * (stop - start)), most))
        bands[band, 0], bands[band, 1], bands[band, 2] = start, (stop - start) / max(count, 1), count
        bands[band, 3] = count / (stop - start) if count > 0 else 0.0
        total += count
    return total


@compiled
def _sample_at(bands: NDArray[np.float64], value: float) -> int:
    """Return how many samples lie before a coordinate."""
    total = 0.0
    for band in range(3):
        total += min(max(np.ceil((value - bands[band, 0]) * bands[band, 3] - 0.5), 0.0), bands[band, 2])
    return int(total)


@compiled
def _add_ring_to_canvas(
    cover: NDArray[np.int16],
    ring: NDArray[np.float64],
    first: int,
    last: int,
    across: NDArray[np.float64],
    down: NDArray[np.float64],
    u: NDArray[np.float64],
) -> None:
    """Add a ring as ``_add_ring`` does, to samples in bands whose columns lie at u."""
    rows = np.int64(down[0, 2] + down[1, 2] + down[2, 2])
    for i in range(first, last):
        j = i + 1 if i + 1 < last else first
        change = np.int16(1)
        if ring[i, 0] > ring[j, 0]:
            i, j = j, i
            change = np.int16(-1)
        start, stop = _sample_at(across, ring[i, 0]), _sample_at(across, ring[j, 0])
        if start >= stop:
            continue
        slope = (ring[j, 1] - ring[i, 1]) / (ring[j, 0] - ring[i, 0])
        for x in range(start, stop):
            y = _sample_at(down, ring[i, 1] + slope * (u[x] - ring[i, 0]))
            if y < rows:
                cover[y, x] += change


@compiled
def _truncation(
    ring: NDArray[np.float64],
    ring_offset: NDArray[np.int64],
    rings: int,
    extent: NDArray[np.float64],
    width: int,
    height: int,
    cover: NDArray[np.int16],
) -> float:
    """Return the share of a union of rings, as far as the canvas holds it, that lies outside the picture."""
    across, down = np.empty((3, 4)), np.empty((3, 4))
    columns = _bands(extent[0], extent[2], width, CANVAS_COLUMNS, across)
    rows = _bands(extent[1], extent[3], height, CANVAS_ROWS, down)
    if columns == 0 or rows == 0:
        return 0.0
    u = np.empty(columns)
    at = 0
    for band in range(3):
        for i in range(int(across[band, 2])):
            u[at] = across[band, 0] + (i + 0.5) * across[band, 1]
            at += 1
    for r in range(rings):
        _add_ring_to_canvas(cover, ring, ring_offset[r], ring_offset[r + 1], across, down, u)
    depth, seen = np.zeros(columns, dtype=np.int16), np.empty(columns, dtype=np.int16)
    whole, inside = 0.0, 0.0
    top = 0
    for band in range(3):
        bottom = top + int(down[band, 2])
        _clear(seen, 0, columns)
        _sweep(cover, depth, seen, 0, columns, top, bottom)
        top = bottom
        left = 0
        for side in range(3):
            right = left + int(across[side, 2])
            covered = 0
            for x in range(left, right):
                covered += seen[x]
            left = right
            area = covered * across[side, 1] * down[band, 1]
            whole += area
            if band == 1 and side == 1:
                inside += area
    return min(max(1.0 - inside / whole, 0.0), 1.0) if whole > 0.0 else 0.0


@compiled
def _add_part(
    kind: NDArray[np.uint8],
    size: NDArray[np.float64],
    center: NDArray[np.float64],
    axes: NDArray[np.float64],
    p: int,
    view: NDArray[np.float64],
    points: NDArray[np.float64],
    picture: NDArray[np.float64],
    hull: NDArray[np.float64],
    basis: NDArray[np.float64],
    ring: NDArray[np.float64],
    at: int,
) -> tuple[NDArray[np.float64], int]:
    """Write the ring of primitive p from ``ring[at]`` on; return the ring, longer if need be, and the index past it."""
    count = _outline(kind[p], size, center, axes, p, points)
    if view[LENS] == FISHEYE:
        n = _seen_about(points, count, _toward(kind[p], size, center, axes, p, points, basis), basis, picture)
    else:
        n = _picture(points, count, view, picture)
        basis[0, 0], basis[1, 1] = 1.0 / view[FOCAL_X], 1.0 / view[FOCAL_Y]
        basis[2, 0], basis[2, 1], basis[2, 2] = -view[CENTER_X] * basis[0, 0], -view[CENTER_Y] * basis[1, 1], 1.0
    if n < 3:
        return ring, at
    _sort_points(picture, n)
    bent = view[LENS] != PINHOLE
    corners = _hull(picture, n, hull, 0)
    if corners < 3:
        return ring, at
    room = at + corners * (MAX_PIECES if bent else 1)
    while len(ring) < room:
        ring = _longer(ring, at)
    if bent:
        return ring, bend_ring(hull, corners, basis, view, ring, at)
    for i in range(corners):
        ring[at + i, 0], ring[at + i, 1] = hull[i, 0], hull[i, 1]
    return ring, at + corners


@compiled
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


@compiled
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
    view: NDArray[np.float64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    objects = len(primitive_offset) - 1
    area = np.zeros(objects, dtype=np.int64)
    box = np.zeros((objects, 4), dtype=np.int64)
    extents = np.empty((objects, 4))
    extent = np.empty(4)
    truncation = np.zeros(objects)
    cover = np.zeros((height, width), dtype=np.int16)
    canvas = np.zeros((3 * CANVAS_ROWS, 3 * CANVAS_COLUMNS), dtype=np.int16)
    depth, seen = np.empty(width, dtype=np.int16), np.empty(width, dtype=np.int16)
    points, picture = np.empty((_MAX_OUTLINE, 3)), np.empty((_MAX_PICTURE, 2))
    window = np.empty(4, dtype=np.int64)
    most = 0
    for s in range(objects):
        most = max(most, primitive_offset[s + 1] - primitive_offset[s])
    ring_offset = np.zeros(most + 1, dtype=np.int64)
    hull, ring, basis = np.empty((_MAX_PICTURE + 1, 2)), np.empty((256, 2)), np.zeros((3, 3))
    for s in range(objects):
        extent[0], extent[1], extent[2], extent[3] = np.inf, np.inf, -np.inf, -np.inf
        rings = primitive_offset[s + 1] - primitive_offset[s]
        for r in range(rings):
            at = ring_offset[r]
            p = primitive_offset[s] + r
            ring, end = _add_part(kind, size, center, axes, p, view, points, picture, hull, basis, ring, at)
            ring_offset[r + 1] = end
            for i in range(at, ring_offset[r + 1]):
                extent[0], extent[2] = min(extent[0], ring[i, 0]), max(extent[2], ring[i, 0])
                extent[1], extent[3] = min(extent[1], ring[i, 1]), max(extent[3], ring[i, 1])
            _add_ring(cover, ring, at, ring_offset[r + 1], width, height)
        _window(extent, width, height, window)
        _add_runs(cover, run_start, run_stop, run_offset[s], run_offset[s + 1], height, window)
        _clear(depth, window[0], window[2])
        _clear(seen, window[0], window[2])
        first, last = _sweep(cover, depth, seen, window[0], window[2], window[1], window[3])
        area[s] = _tight(seen, window[0], window[2], first, last, box, s)
        if extent[0] < -0.5 or extent[2] > width - 0.5 or extent[1] < -0.5 or extent[3] > height - 0.5:
            truncation[s] = _truncation(ring, ring_offset, rings, extent, width, height, canvas)
        _cut_extent(extent, box, s, width, height, extents)
    return area, box, extents, truncation


@compiled
def _window(extent: NDArray[np.float64], width: int, height: int, window: NDArray[np.int64]) -> None:
    """Write the pixels (x, y, past x, past y) in which a silhouette may change coverage."""
    right, below = float(width), float(height)
    window[0] = np.int64(np.floor(min(max(extent[0], 0.0), right)))
    window[1] = np.int64(np.floor(min(max(extent[1], 0.0), below)))
    window[2] = np.int64(min(np.floor(min(max(extent[2], -1.0), right)) + 1.0, right))
    window[3] = np.int64(min(np.floor(min(max(extent[3], -1.0), below)) + 2.0, below))


@compiled
def _tight(
    seen: NDArray[np.int16], left: int, right: int, first: int, last: int, box: NDArray[np.int64], s: int
) -> int:
    """Write the box x, y, width, height of covered pixels, given the covered rows of each column; return how many."""
    total, low, high = 0, right, left
    for x in range(left, right):
        if seen[x] > 0:
            total += seen[x]
            low, high = min(low, x), x + 1
    if total > 0:
        box[s, 0], box[s, 1], box[s, 2], box[s, 3] = low, first, high - low, last - first
    return total


@compiled
def _cut_extent(
    extent: NDArray[np.float64],
    box: NDArray[np.int64],
    s: int,
    width: int,
    height: int,
    extents: NDArray[np.float64],
) -> None:
    """Write the extent of object s, widened to its visible pixels and cut at the canvas."""
    extents[s, 0] = max(min(extent[0], float(box[s, 0])), -0.5 - width)
    extents[s, 1] = max(min(extent[1], float(box[s, 1])), -0.5 - height)
    extents[s, 2] = min(max(extent[2], box[s, 0] + box[s, 2] - 1.0), 2 * width - 0.5)
    extents[s, 3] = min(max(extent[3], box[s, 1] + box[s, 3] - 1.0), 2 * height - 0.5)


@compiled
def _clear(values: NDArray[np.int16], first: int, last: int) -> None:
    for i in range(first, last):
        values[i] = 0


@compiled
def _longer(ring: NDArray[np.float64], used: int) -> NDArray[np.float64]:
    """Return a copy of a ring's memory with twice the room."""
    longer = np.empty((2 * len(ring), 2))
    for i in range(used):
        longer[i, 0], longer[i, 1] = ring[i, 0], ring[i, 1]
    return longer
