"""What a pinhole camera sees, by drawing the solids into its picture: inverse depth and face of every pixel.

The inverse depth 1 / z of a plane is linear in the pixel: with the camera at signed height s over the plane and the ray
``d = (x, y, 1)``, the ray meets it at planar depth ``z = -s / (n . d)``, so ``1 / z = -(n . d) / s`` (Olano and Greer,
*Triangle scan conversion using 2D homogeneous coordinates*, 1997). A convex solid is what lies behind all its planes:
a ray enters it through the last *front* plane (camera outside of it), at the least of their inverse depths, and leaves
through the first *back* plane, at the greatest of theirs. The ray hits if every front plane's inverse depth is at least
every back plane's: each such pair is a straight edge in the picture. The near plane joins the front planes and the far
plane the back planes as constants, so nothing is ever clipped or divided by a depth near zero, and a camera inside a
solid needs no rule of its own. Per row the edges give one span, within which the least front plane is drawn.

Round solids use the edges of the box around them, and then, per pixel, ``a t^2 + 2 b t + c = 0`` solved for 1 / t.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.geometry import FloatArray
from ..common.primitives import BOX, CAPSULE, CYLINDER, PLANE, SPHERE, TRIANGLE
from .blocks import BLOCK, RasterBlocks
from .borrow import borrowed
from .compiled import compiled, part, spliced
from .grid import IntArray
from .raycast import Tables

if TYPE_CHECKING:
    from .scene import Scene

BUCKETS = 1024
"""Steps of depth by which solids are drawn front to back; spaced evenly in 1 / z up to ``NEAREST``."""
NEAREST = 0.25
"""[m]"""
EDGE_LEAVE = 1e-9
"""Edges are inclusive, and this much [pixels] wider, so that rounding opens no crack between solids that touch."""
NO_SLOPE = 1e-13
"""Share of an edge function's greatest term up to which another does not count."""
TIE, WINS_TIE = np.float32(1.0 + 6e-7), np.float32(1.0 - 6e-7)
"""Between these ratios of inverse depths two surfaces are equally near: then the solid of the lower row is seen."""
TILE_WIDTH, TILE_HEIGHT = 8, 4
"""Pixels of a tile, of which the farthest depth is known, so that what lies behind all of it is left out."""
LANES = 16
"""Pixels drawn at once, where the processor can."""
VECTOR = 8
"""Rows worked on at once."""
GROUP = 3
"""Edges on either side worked on at once."""
HIDDEN = 1.0 + 1e-6
"""Ratio of inverse depths from which on something is surely hidden, whatever the rounding."""
HUGE = 1e30
HUGE_EXTENT = 1e20
TINY = 1e-30
CULL_MARGIN = 1e-9
"""[m]"""

whole: Any = np.int64
"""``whole(value)`` in a kernel: the value as int64, one type for all indices, so that nothing is compiled twice."""

MANTLE, ROUNDED = 6, 7
NEAR_AXIS, FAR_AXIS = 3, 4


class RasterScratch(NamedTuple):
    """Memory that ``rasterise_view`` works in; one for each thread.

    Attributes:
        queue: (2, P) int32 solids in view, as found and in order. bucket: (P,) int32; start: (BUCKETS + 1,) int32.
        tile: (H', W') int32, least inverse depth of each tile, as the bits of a float32; stale: (H', W') uint8, whether
            something was drawn there since.
        low, high, stop: (H + LANES,) float64 first and last column of a solid in each row, whole numbers, and last of a
            face. left, right: (H + LANES,) int32 first and last column to draw.
        front: (4, 6), back: (8, 5), basis: (3, 3), plane: (4, 4), edge: (32, 3) float64, of the solid being drawn.
        cull: (6, 4) float64 half spaces of the view. bits: (1,) float32, as_bits: the same bytes as int32.
        line: (2, 32, 2) float64 slope and offset of its left and right edges, column = slope row + offset.
    """

    queue: IntArray
    bucket: IntArray
    start: IntArray
    tile: IntArray
    stale: NDArray[np.uint8]
    low: FloatArray
    high: FloatArray
    stop: FloatArray
    left: IntArray
    right: IntArray
    front: FloatArray
    back: FloatArray
    basis: FloatArray
    plane: FloatArray
    edge: FloatArray
    cull: FloatArray
    bits: NDArray[np.float32]
    as_bits: IntArray
    line: FloatArray


def raster_scratch(solids: int, width: int, height: int) -> RasterScratch:
    """Return scratch memory for scenes of up to ``solids`` solids and pictures of that size."""
    tiles = (-(-height // TILE_HEIGHT), -(-width // TILE_WIDTH))
    bits = np.zeros(1, np.float32)
    return RasterScratch(
        queue=np.zeros((2, max(solids, 1)), np.int32),
        bucket=np.zeros(max(solids, 1), np.int32),
        start=np.zeros(BUCKETS + 1, np.int32),
        tile=np.zeros(tiles, np.int32),
        stale=np.zeros(tiles, np.uint8),
        low=np.zeros(height + LANES),
        high=np.zeros(height + LANES),
        stop=np.zeros(height + LANES),
        left=np.zeros(height + LANES, np.int32),
        right=np.zeros(height + LANES, np.int32),
        front=np.zeros((4, 6)),
        back=np.zeros((8, 5)),
        basis=np.zeros((3, 3)),
        plane=np.zeros((4, 4)),
        edge=np.zeros((32, 3)),
        cull=np.zeros((6, 4)),
        bits=bits,
        as_bits=bits.view(np.int32),
        line=np.zeros((2, 32, 2)),
    )


def visible_surfaces(
    scene: Scene, view: ArrayLike, width: int, height: int, position: ArrayLike, rotation: ArrayLike, exclude: int = -1
) -> tuple[NDArray[np.float32], IntArray]:
    """Return what a pinhole camera sees.

    Args:
        scene: what is there. view: (6,) fx, fy, cx, cy [pixels], near, far [m]. width, height: of the picture.
        position: (3,) [m] in ``map``. rotation: (3, 3), columns are the axes of ``camera_optical`` in ``map``.
        exclude: moving body that is not seen, -1 for none.

    Returns:
        Inverse depth (height, width) float32 [1/m], 0 for nothing; and face codes (height, width) int32: 8 times the
        solid's row plus the face (box 0 to 5: -x, +x, -y, +y, -z, +z; cylinder 6 mantle, 4 and 5 caps; capsule and
        sphere 7; plane 5; triangle 5 from its front, 4 from behind), -1 for nothing.
    """
    inverse_depth, face = np.empty((height, width), np.float32), np.empty((height, width), np.int32)
    rasterise_view(
        scene.tables,
        scene._bounds,
        whole(scene.static_count),
        scene.blocks,
        np.ascontiguousarray(view, dtype=np.float64),
        np.ascontiguousarray(position, dtype=np.float64),
        np.ascontiguousarray(rotation, dtype=np.float64),
        whole(exclude),
        whole(0),
        whole(height),
        raster_scratch(len(scene), width, height),
        inverse_depth,
        face,
    )
    return inverse_depth, face


@part
def _in_view(bounds: FloatArray, i: int, cull: FloatArray) -> bool:
    """Tell whether an axis-aligned box reaches into all half spaces (6, 4) of the view."""
    for k in range(6):
        a, b, c = cull[k, 0], cull[k, 1], cull[k, 2]
        reach = abs(a) * bounds[i, 3] + abs(b) * bounds[i, 4] + abs(c) * bounds[i, 5]
        if a * bounds[i, 0] + b * bounds[i, 1] + c * bounds[i, 2] + reach < cull[k, 3]:
            return False
    return True


@part
def _view_bounds(
    view: FloatArray, width: int, row0: int, row1: int, position: FloatArray, rotation: FloatArray, cull: FloatArray
) -> None:
    """Fill the half spaces (6, 4) ``n . x >= h`` in ``map`` that hold what rows row0 to row1 of the picture see."""
    fx, fy, cx, cy = view[0], view[1], view[2], view[3]
    left, right = (-0.5 - cx) / fx, (width - 0.5 - cx) / fx
    top, bottom = (row0 - 0.5 - cy) / fy, (row1 - 0.5 - cy) / fy
    for k in range(6):
        a, b, c, h = 0.0, 0.0, 1.0, view[4]
        if k == 1:
            c, h = -1.0, -view[5]
        elif k == 2:
            a, c, h = 1.0, -left, 0.0
        elif k == 3:
            a, c, h = -1.0, right, 0.0
        elif k == 4:
            b, c, h = 1.0, -top, 0.0
        elif k == 5:
            b, c, h = -1.0, bottom, 0.0
        for i in range(3):
            cull[k, i] = a * rotation[i, 0] + b * rotation[i, 1] + c * rotation[i, 2]
            h += cull[k, i] * position[i]
        cull[k, 3] = h - CULL_MARGIN


@part
def _enqueue(bounds: FloatArray, i: int, p: int, cull: FloatArray, scale: float, scratch: RasterScratch, n: int) -> int:
    """Put solid p into the queue, with the step of depth at which its bounding box begins."""
    a, b, c = cull[0, 0], cull[0, 1], cull[0, 2]
    reach = abs(a) * bounds[i, 3] + abs(b) * bounds[i, 4] + abs(c) * bounds[i, 5]
    depth = a * bounds[i, 0] + b * bounds[i, 1] + c * bounds[i, 2] - reach - scale
    bucket = whole(0)
    if reach > HUGE_EXTENT:
        bucket = whole(BUCKETS - 1)
    elif depth > NEAREST:
        bucket = whole((BUCKETS - 1) * (1.0 - NEAREST / depth)) + 1
    bucket = min(bucket, whole(BUCKETS - 1))
    scratch.queue[0, n] = p
    scratch.bucket[n] = bucket
    scratch.start[bucket] += 1
    return n + 1


@part
def _find_solids(
    body: IntArray,
    bounds: FloatArray,
    static_count: int,
    blocks: RasterBlocks,
    cull: FloatArray,
    origin_depth: float,
    exclude: int,
    scratch: RasterScratch,
) -> int:
    """Fill ``scratch.queue[1]`` with the solids that may be in view, front to back; return how many."""
    n = whole(0)
    scratch.start[:] = 0
    for k in range(blocks.block.shape[0]):
        if _in_view(blocks.block, k, cull):
            for i in range(k * BLOCK, min((k + 1) * BLOCK, len(blocks.row))):
                if _in_view(blocks.bounds, i, cull):
                    n = _enqueue(blocks.bounds, whole(i), whole(blocks.row[i]), cull, origin_depth, scratch, n)
    for p in range(static_count, len(body)):
        if body[p] != exclude and _in_view(bounds, p, cull):
            n = _enqueue(bounds, whole(p), whole(p), cull, origin_depth, scratch, n)
    # A counting sort: it keeps the order of solids of equal depth.
    at = 0
    for k in range(BUCKETS):
        count = scratch.start[k]
        scratch.start[k] = at
        at += count
    for i in range(n):
        k = scratch.bucket[i]
        scratch.queue[1, scratch.start[k]] = scratch.queue[0, i]
        scratch.start[k] += 1
    return n


@part
def _half_extents(kind: int, solid: FloatArray, p: int) -> tuple[float, float, float]:
    """Return the half extents [m] along the local axes of the box around solid p."""
    if kind == BOX:
        return solid[p, 3], solid[p, 4], solid[p, 5]
    radius = solid[p, 3]
    if kind == SPHERE:
        return radius, radius, radius
    return radius, radius, solid[p, 4] + (radius if kind == CAPSULE else 0.0)


@part
def _local_frame(
    solid: FloatArray, p: int, view: FloatArray, position: FloatArray, rotation: FloatArray, scratch: RasterScratch
) -> tuple[float, float, float]:
    """Fill ``basis``, rows (u, v, 1) -> component of the ray along each local axis of solid p; return the camera's
    place in the local frame [m]."""
    fx, fy, cx, cy = view[0], view[1], view[2], view[3]
    basis = scratch.basis
    for k in range(3):
        a, b, c = solid[p, 6 + 3 * k], solid[p, 7 + 3 * k], solid[p, 8 + 3 * k]
        basis[k, 0] = (a * rotation[0, 0] + b * rotation[1, 0] + c * rotation[2, 0]) / fx
        basis[k, 1] = (a * rotation[0, 1] + b * rotation[1, 1] + c * rotation[2, 1]) / fy
        forward = a * rotation[0, 2] + b * rotation[1, 2] + c * rotation[2, 2]
        basis[k, 2] = forward - cx * basis[k, 0] - cy * basis[k, 1]
    x, y, z = position[0] - solid[p, 0], position[1] - solid[p, 1], position[2] - solid[p, 2]
    lx = solid[p, 6] * x + solid[p, 7] * y + solid[p, 8] * z
    ly = solid[p, 9] * x + solid[p, 10] * y + solid[p, 11] * z
    lz = solid[p, 12] * x + solid[p, 13] * y + solid[p, 14] * z
    return lx, ly, lz


@part
def _put_front(scratch: RasterScratch, n: int, axis: int, sign: float, height: float, code: int) -> int:
    """Add the plane across a local axis, its outward normal along ``sign``, with the camera ``height`` outside it."""
    for i in range(3):
        scratch.front[n, i] = -sign * scratch.basis[axis, i]
    scratch.front[n, 3], scratch.front[n, 4], scratch.front[n, 5] = height, axis, code
    return n + 1


@part
def _put_back(scratch: RasterScratch, n: int, axis: int, sign: float, height: float) -> int:
    """Add the plane across a local axis, its outward normal along ``sign``, with the camera ``height`` inside it."""
    for i in range(3):
        scratch.back[n, i] = sign * scratch.basis[axis, i]
    scratch.back[n, 3], scratch.back[n, 4] = height, axis
    return n + 1


@part
def _put_near_and_far(
    scratch: RasterScratch, fronts: int, backs: int, near: float, far: float, code: int
) -> tuple[int, int]:
    """Add the planes that limit what the camera sees."""
    for i in range(3):
        constant = 1.0 if i == 2 else 0.0
        scratch.front[fronts, i], scratch.back[backs, i] = constant, constant
    scratch.front[fronts, 3], scratch.front[fronts, 4], scratch.front[fronts, 5] = near, NEAR_AXIS, code
    scratch.back[backs, 3], scratch.back[backs, 4] = far, FAR_AXIS
    return fronts + 1, backs + 1


@part
def _box_planes(
    hx: float, hy: float, hz: float, lx: float, ly: float, lz: float, scratch: RasterScratch
) -> tuple[int, int, int]:
    """List front and back planes of a box; return how many, and the face turned most towards the camera."""
    fronts, backs = whole(0), whole(0)
    best, facing = -HUGE, whole(0)
    for k in range(3):
        half = hx if k == 0 else (hy if k == 1 else hz)
        place = lx if k == 0 else (ly if k == 1 else lz)
        for side in range(2):
            sign = 2.0 * side - 1.0
            height = sign * place - half
            if height > 0.0:
                fronts = _put_front(scratch, fronts, whole(k), sign, height, whole(2 * k + side))
            else:
                backs = _put_back(scratch, backs, whole(k), sign, -height)
            if height > best:
                best, facing = height, whole(2 * k + side)
    return fronts, backs, facing


@part
def _pair_edges(scratch: RasterScratch, fronts: int, backs: int) -> int:
    """Fill ``edge`` with a u + b v + c >= 0 where front planes are met before back planes; return how many."""
    front, back, edge = scratch.front, scratch.back, scratch.edge
    n = whole(0)
    for i in range(fronts):
        for j in range(backs):
            # A plane across the same axis adds nothing, nor do the near and far planes to each other.
            if front[i, 4] != back[j, 4] and not (front[i, 4] == NEAR_AXIS and back[j, 4] == FAR_AXIS):
                for k in range(3):
                    edge[n, k] = front[i, k] * back[j, 3] - back[j, k] * front[i, 3]
                n += 1
    return n


@part
def _sort_edges(
    scratch: RasterScratch, edges: int, width: int, height: int, first: int, last: int
) -> tuple[int, int, int]:
    """Turn ``edge`` into ``line``, left and right ones; return the rows that level edges leave, and how many groups."""
    edge, line = scratch.edge, scratch.line
    lefts, rights = whole(0), whole(0)
    for n in range(edges):
        a, b, c = edge[n, 0], edge[n, 1], edge[n, 2]
        steep, level = abs(a) * width, abs(b) * height
        least = NO_SLOPE * max(max(steep, level), abs(c))
        if steep > least:
            inverse = -1.0 / a
            if a > 0.0:
                line[0, lefts, 0], line[0, lefts, 1] = b * inverse, c * inverse - EDGE_LEAVE
                lefts += 1
            else:
                line[1, rights, 0], line[1, rights, 1] = b * inverse, c * inverse + EDGE_LEAVE
                rights += 1
        elif level > least:
            row = min(max(-c / b, -2.0), height + 2.0)
            if b > 0.0:
                first = max(first, whole(np.ceil(row - EDGE_LEAVE)))
            else:
                last = min(last, whole(np.floor(row + EDGE_LEAVE)))
        elif c < 0.0:
            last = first - 1
    groups = max(max((lefts + GROUP - 1) // GROUP, (rights + GROUP - 1) // GROUP), whole(1))
    for n in range(lefts, GROUP * groups):
        line[0, n, 0], line[0, n, 1] = 0.0, 0.0
    for n in range(rights, GROUP * groups):
        line[1, n, 0], line[1, n, 1] = 0.0, width - 1.0
    return first, last, groups


@part
def _trim(scratch: RasterScratch, groups: int, width: int, first: int, last: int) -> None:
    """Fill ``low`` and ``high`` of the rows first to last with the columns within all lines."""
    low, high, line = scratch.low, scratch.high, scratch.line
    rows = np.uint64((last - first + VECTOR) // VECTOR * VECTOR)
    start = np.uint64(first)
    for i in range(rows):
        low[start + i], high[start + i] = 0.0, width - 1.0
    for group in range(0, GROUP * groups, GROUP):
        s0, s1, s2 = line[0, group, 0], line[0, group + 1, 0], line[0, group + 2, 0]
        o0, o1, o2 = line[0, group, 1], line[0, group + 1, 1], line[0, group + 2, 1]
        t0, t1, t2 = line[1, group, 0], line[1, group + 1, 0], line[1, group + 2, 0]
        p0, p1, p2 = line[1, group, 1], line[1, group + 1, 1], line[1, group + 2, 1]
        for i in range(rows):
            v = np.float64(np.int64(start + i))
            at_least = max(max(s0 * v + o0, s1 * v + o1), max(s2 * v + o2, low[start + i]))
            at_most = min(min(t0 * v + p0, t1 * v + p1), min(t2 * v + p2, high[start + i]))
            # Clamped to just outside the picture, so that the numbers fit an int32.
            low[start + i] = np.ceil(min(at_least, float(width)))
            high[start + i] = np.floor(max(at_most, -1.0))


@part
def _corner_rows(
    hx: float,
    hy: float,
    hz: float,
    lx: float,
    ly: float,
    lz: float,
    view: FloatArray,
    scratch: RasterScratch,
    row0: int,
    row1: int,
) -> tuple[int, int, float, float]:
    """Return the first and last row that a box in front of the camera can touch, and its depths [m].

    The basis holds the rays' local components; turned back into ``camera_optical`` its rows are the local axes.
    """
    fy, cx, cy = view[1], view[2], view[3]
    basis = scratch.basis
    yx, yy, yz = basis[0, 1] * fy, basis[1, 1] * fy, basis[2, 1] * fy
    zx = basis[0, 2] + cx * basis[0, 0] + cy * basis[0, 1]
    zy = basis[1, 2] + cx * basis[1, 0] + cy * basis[1, 1]
    zz = basis[2, 2] + cx * basis[2, 0] + cy * basis[2, 1]
    y0, z0 = -(lx * yx + ly * yy + lz * yz), -(lx * zx + ly * zy + lz * zz)
    reach = hx * abs(zx) + hy * abs(zy) + hz * abs(zz)
    nearest, farthest = z0 - reach, z0 + reach
    if nearest <= view[4]:
        return row0, row1 - 1, nearest, farthest
    least, most = HUGE, -HUGE
    for corner in range(8):
        sx = hx if corner & 1 else -hx
        sy = hy if corner & 2 else -hy
        sz = hz if corner & 4 else -hz
        ratio = (y0 + sx * yx + sy * yy + sz * yz) / (z0 + sx * zx + sy * zy + sz * zz)
        least, most = min(least, ratio), max(most, ratio)
    first = whole(np.floor(min(max(least * fy + cy, -1.0), row1 + 1.0)))
    last = whole(np.ceil(min(max(most * fy + cy, -1.0), row1 + 1.0)))
    return max(first, row0), min(last, row1 - 1), nearest, farthest


@part
def _fill(
    start: int,
    count: int,
    base: float,
    slope: float,
    code: int,
    depth: NDArray[np.float32],
    face: IntArray,
) -> None:
    """Draw ``count`` pixels from the flat index ``start`` on, with inverse depth ``base`` at the end where it is least.

    That end is the origin of the sums in float32, so that a plane seen at a grazing angle keeps its precision there.
    """
    shift = np.float32(1 - count if slope < 0.0 else 0)
    origin, step, number = np.float32(base), np.float32(slope), np.int32(code)
    first, pixels = np.uint64(start), np.int32(count)
    # Whole vectors, of which the pixels past the end are masked: a loop over the odd ones would take five times longer.
    for i in range(np.uint64((count + LANES - 1) // LANES * LANES)):
        if np.int32(i) < pixels:
            w = origin + step * (np.float32(np.int32(i)) + shift)
            old, held = depth[first + i], face[first + i]
            depth[first + i] = max(w, old)
            face[first + i] = number if w > old * (WINS_TIE if number < held else TIE) else held


@part
def _sort_fronts(fronts: int, scratch: RasterScratch) -> None:
    """Fill ``plane`` with the inverse depths of the front planes, a u + b v + c and face, in order of falling a.

    Along a row the least of them is the first one, then the second, and so on.
    """
    plane, front = scratch.plane, scratch.front
    for k in range(fronts):
        inverse = 1.0 / max(front[k, 3], TINY)
        a, b, c, code = front[k, 0] * inverse, front[k, 1] * inverse, front[k, 2] * inverse, front[k, 5]
        j = whole(k)
        while j > 0 and plane[j - 1, 0] < a:
            for i in range(4):
                plane[j, i] = plane[j - 1, i]
            j -= 1
        plane[j, 0], plane[j, 1], plane[j, 2], plane[j, 3] = a, b, c, code


@part
def _face_spans(k: int, fronts: int, first: int, rows: int, scratch: RasterScratch) -> None:
    """Fill ``left`` and ``right`` with the columns of face k in each row, and move ``low`` past them.

    Two planes are equally near along a straight line; the face ends where the first of the later ones takes over.
    """
    low, high, stop, plane = scratch.low, scratch.high, scratch.stop, scratch.plane
    start, count = np.uint64(first), np.uint64(rows)
    for i in range(count):
        stop[start + i] = high[start + i]
    for j in range(k + 1, fronts):
        inverse = 1.0 / max(plane[k, 0] - plane[j, 0], TINY)
        slope, offset = (plane[j, 1] - plane[k, 1]) * inverse, (plane[j, 2] - plane[k, 2]) * inverse
        for i in range(count):
            stop[start + i] = min(stop[start + i], slope * np.float64(np.int64(start + i)) + offset)
    for i in range(count):
        begin = low[start + i]
        end = max(np.floor(stop[start + i]), -1.0)
        scratch.left[start + i], scratch.right[start + i] = np.int32(begin), np.int32(end)
        low[start + i] = max(begin, end + 1.0)


@part
def _draw_flat(
    p: int,
    fronts: int,
    first: int,
    last: int,
    width: int,
    scratch: RasterScratch,
    depth: NDArray[np.float32],
    face: IntArray,
) -> int:
    """Draw the least of the front planes within each row's span; return how many pixels the spans have."""
    covered = whole(0)
    _sort_fronts(fronts, scratch)
    rows = (last - first + VECTOR) // VECTOR * VECTOR
    for k in range(fronts):
        _face_spans(k, fronts, first, rows, scratch)
        a, b, c = scratch.plane[k, 0], scratch.plane[k, 1], scratch.plane[k, 2]
        code = 8 * p + whole(scratch.plane[k, 3])
        for v in range(first, last + 1):
            left, right = whole(scratch.left[v]), whole(scratch.right[v])
            if left <= right:
                covered += right - left + 1
                base = a * (left if a >= 0.0 else right) + (b * v + c)
                _fill(v * width + left, right - left + 1, base, a, code, depth, face)
    return covered


@part
def _root_inverse(a: float, b: float, c: float) -> tuple[float, float]:
    """Return 1 / t where a ray enters and leaves ``a t^2 + 2 b t + c <= 0``; an enter of -1 means that it does not.

    c <= 0 means that the ray starts inside: it enters at t <= 0, for which HUGE stands. By the stable formulas for
    roots (Press et al., *Numerical Recipes*, 5.6), so that no digits cancel.
    """
    # Selections, not branches, so that a row of pixels is worked on at once.
    discriminant = b * b - a * c
    root = np.sqrt(max(discriminant, 0.0))
    ahead = max(root - b, TINY)
    scale = 1.0 / max(abs(c), TINY)
    inside = c <= 0.0
    hit = (discriminant >= 0.0) & (b < 0.0)
    enter = HUGE if inside else (ahead * scale if hit else -1.0)
    behind = (b + root) * scale if inside else HUGE
    return enter, (a / ahead if hit else behind)


@part
def _caps_inverse(lz: float, ez: float, half: float) -> tuple[float, float]:
    """Return 1 / t where a ray enters and leaves the slab ``abs(z) <= half``: place lz and direction ez along z."""
    height = abs(lz)
    ahead = -ez if lz > 0.0 else ez  # Towards the slab, if the ray starts outside of it.
    outside = height > half
    far_side = 1.0 / max(height + half, TINY)
    near_side = 1.0 / max(abs(height - half), TINY)
    enter = ahead * near_side if outside else HUGE
    leave = ahead * far_side if outside else max(ahead * far_side, -ahead * near_side)
    return enter, leave


@part
def _cylinder_inverse(
    lx: float, ly: float, lz: float, ex: float, ey: float, ez: float, radius: float, half: float
) -> tuple[float, float, float]:
    """Return 1 / t where a ray enters and leaves a cylinder along z, and where it enters its mantle."""
    mantle, leave = _root_inverse(ex * ex + ey * ey, lx * ex + ly * ey, lx * lx + ly * ly - radius * radius)
    cap, out = _caps_inverse(lz, ez, half)
    return min(mantle, cap), max(leave, out), mantle


@part
def _ball_inverse(
    lx: float, ly: float, lz: float, ex: float, ey: float, ez: float, radius: float
) -> tuple[float, float]:
    """Return 1 / t where a ray enters and leaves a sphere about the origin."""
    return _root_inverse(
        ex * ex + ey * ey + ez * ez, lx * ex + ly * ey + lz * ez, lx * lx + ly * ly + lz * lz - radius * radius
    )


@part
def _capsule_inverse(
    lx: float, ly: float, lz: float, ex: float, ey: float, ez: float, radius: float, half: float
) -> tuple[float, float]:
    """Return 1 / t where a ray enters and leaves a capsule along z: the union of a cylinder and two spheres."""
    enter, leave, _ = _cylinder_inverse(lx, ly, lz, ex, ey, ez, radius, half)
    if enter < leave:
        enter, leave = -1.0, HUGE
    low_enter, low_leave = _ball_inverse(lx, ly, lz + half, ex, ey, ez, radius)
    high_enter, high_leave = _ball_inverse(lx, ly, lz - half, ex, ey, ez, radius)
    return max(enter, max(low_enter, high_enter)), min(leave, min(low_leave, high_leave))


@part
def _put_pixel(
    at: int,
    enter: float,
    leave: float,
    closest: float,
    remotest: float,
    code: int,
    depth: NDArray[np.float32],
    face: IntArray,
) -> int:
    """Draw a pixel of a solid between two inverse depths; return 1 if it is there, whatever stands in front."""
    w = min(enter, closest)
    there = w >= max(leave, remotest)
    drawn = np.float32(w if there else 0.0)
    old, held = depth[at], face[at]
    depth[at] = max(drawn, old)
    face[at] = code if drawn > old * (WINS_TIE if code < held else TIE) else held
    return 1 if there else 0


@part
def _draw_round(
    kind: int,
    p: int,
    lx: float,
    ly: float,
    lz: float,
    radius: float,
    half: float,
    near: float,
    far: float,
    first: int,
    last: int,
    width: int,
    scratch: RasterScratch,
    depth: NDArray[np.float32],
    face: IntArray,
) -> int:
    """Draw a cylinder, capsule or sphere within each row's span; return how many pixels of it are in the picture.

    A sphere is a capsule whose ``half`` is 0.
    """
    basis = scratch.basis
    sx, sy, sz = basis[0, 0], basis[1, 0], basis[2, 0]
    closest, remotest = 1.0 / near, 1.0 / far
    mantle_code = np.int32(8 * p + MANTLE)
    cap_code = np.int32(8 * p + (5 if lz > 0.0 else 4))
    rounded_code = np.int32(8 * p + ROUNDED)
    covered = whole(0)
    for v in range(first, last + 1):
        u = whole(scratch.low[v])
        count = whole(max(scratch.high[v], -1.0)) - u + 1
        start = np.uint64(v * width + u)
        bx, by, bz = (
            sx * u + (basis[0, 1] * v + basis[0, 2]),
            sy * u + (basis[1, 1] * v + basis[1, 2]),
            sz * u + (basis[2, 1] * v + basis[2, 2]),
        )
        if kind == CYLINDER:
            for i in range(np.uint64(max(count, 0))):
                x = np.float64(np.int32(i))
                enter, leave, mantle = _cylinder_inverse(
                    lx, ly, lz, bx + sx * x, by + sy * x, bz + sz * x, radius, half
                )
                code = mantle_code if (mantle <= enter) | (enter > closest) else cap_code
                covered += _put_pixel(start + i, enter, leave, closest, remotest, code, depth, face)
        else:
            for i in range(np.uint64(max(count, 0))):
                x = np.float64(np.int32(i))
                enter, leave = _capsule_inverse(lx, ly, lz, bx + sx * x, by + sy * x, bz + sz * x, radius, half)
                covered += _put_pixel(start + i, enter, leave, closest, remotest, rounded_code, depth, face)
    return covered


@part
def _triangle_planes(
    a: float, b: float, h: float, lx: float, ly: float, lz: float, near: float, far: float, scratch: RasterScratch
) -> int:
    """List the front plane of a triangle and its edges, as ``edge``; return how many edges, or -1 if edge-on."""
    if lz == 0.0:
        return -1
    _put_front(scratch, whole(0), whole(2), 1.0 if lz > 0.0 else -1.0, abs(lz), whole(5 if lz > 0.0 else 4))
    edge, basis = scratch.edge, scratch.basis
    for n in range(3):
        x0 = -a if n == 0 else (a if n == 1 else b)
        y0 = h if n == 2 else -h
        x1 = a if n == 0 else (b if n == 1 else -a)
        y1 = h if n == 1 else -h
        # Normal of the plane through the camera and this side, towards the inside.
        x0, x1, y0, y1 = x0 - lx, x1 - lx, y0 - ly, y1 - ly
        mx, my, mz = lz * (y1 - y0), lz * (x0 - x1), x0 * y1 - x1 * y0
        side = -1.0 if lz > 0.0 else 1.0
        for k in range(3):
            edge[n, k] = side * (mx * basis[0, k] + my * basis[1, k] + mz * basis[2, k])
    for k in range(3):
        # Beyond the near plane, which does not close a triangle: there is nothing inside it.
        constant = abs(lz) if k == 2 else 0.0
        edge[3, k] = constant - scratch.front[0, k] * near
        edge[4, k] = scratch.front[0, k] * far - constant
    return 5


@part
def _window(
    bounds: FloatArray,
    p: int,
    view: FloatArray,
    position: FloatArray,
    rotation: FloatArray,
    width: int,
    row0: int,
    row1: int,
) -> tuple[int, int, int, int, float]:
    """Return first and last row and column that solid p can touch, and its greatest inverse depth [1/m].

    From its bounding box; the whole picture and HUGE if that reaches the near plane.
    """
    x, y, z = bounds[p, 0] - position[0], bounds[p, 1] - position[1], bounds[p, 2] - position[2]
    hx, hy, hz = bounds[p, 3], bounds[p, 4], bounds[p, 5]
    reach = hx * abs(rotation[0, 2]) + hy * abs(rotation[1, 2]) + hz * abs(rotation[2, 2])
    depth = x * rotation[0, 2] + y * rotation[1, 2] + z * rotation[2, 2]
    if not depth - reach > view[4]:
        return row0, row1 - 1, whole(0), width - 1, HUGE
    near, far = 1.0 / (depth - reach), 1.0 / (depth + reach)
    reach = hx * abs(rotation[0, 0]) + hy * abs(rotation[1, 0]) + hz * abs(rotation[2, 0])
    middle = x * rotation[0, 0] + y * rotation[1, 0] + z * rotation[2, 0]
    low, high = middle - reach, middle + reach
    left = view[2] + view[0] * (low * (near if low < 0.0 else far))
    right = view[2] + view[0] * (high * (far if high < 0.0 else near))
    reach = hx * abs(rotation[0, 1]) + hy * abs(rotation[1, 1]) + hz * abs(rotation[2, 1])
    middle = x * rotation[0, 1] + y * rotation[1, 1] + z * rotation[2, 1]
    low, high = middle - reach, middle + reach
    top = view[3] + view[1] * (low * (near if low < 0.0 else far))
    bottom = view[3] + view[1] * (high * (far if high < 0.0 else near))
    first, last = whole(min(max(top, -1.0), row1 + 1.0)), whole(min(max(bottom, -1.0), row1 + 0.0)) + 1
    start, end = whole(min(max(left, -1.0), width + 1.0)), whole(min(max(right, -1.0), width + 0.0)) + 1
    return max(first, row0), min(last, row1 - 1), max(start, whole(0)), min(end, width - 1), near


@part
def _farthest(depth_bits: IntArray, start: int, rows: int, columns: int, width: int) -> int:
    """Return the least of the inverse depths of a tile, as bits; of floats that are not negative these sort alike."""
    least = np.int32(0x7F800000)
    for r in range(rows):
        at = np.uint64(start + r * width)
        for i in range(np.uint64(columns)):
            least = min(least, depth_bits[at + i])
    return int(least)


@part
def _hidden(
    first: int,
    last: int,
    start: int,
    end: int,
    bits: int,
    width: int,
    row0: int,
    row1: int,
    scratch: RasterScratch,
    depth_bits: IntArray,
) -> bool:
    """Tell whether everything drawn so far in a window of the picture is nearer than an inverse depth, as bits."""
    tile, stale = scratch.tile, scratch.stale
    for j in range(first // TILE_HEIGHT, last // TILE_HEIGHT + 1):
        for i in range(start // TILE_WIDTH, end // TILE_WIDTH + 1):
            if tile[j, i] < bits:
                if stale[j, i] == 0:
                    return False
                stale[j, i] = 0
                top, bottom = max(j * TILE_HEIGHT, row0), min((j + 1) * TILE_HEIGHT, row1)
                left = i * TILE_WIDTH
                columns = min(whole(TILE_WIDTH), width - left)
                tile[j, i] = _farthest(depth_bits, top * width + left, bottom - top, columns, width)
                if tile[j, i] < bits:
                    return False
    return True


@spliced
def _draw_solid(
    solid: FloatArray,
    kind: int,
    p: int,
    view: FloatArray,
    position: FloatArray,
    rotation: FloatArray,
    width: int,
    height: int,
    row0: int,
    row1: int,
    scratch: RasterScratch,
    depth: NDArray[np.float32],
    face: IntArray,
) -> int:
    """Draw one solid into rows row0 to row1; return how many pixels it would have with nothing in front."""
    near, far = view[4], view[5]
    lx, ly, lz = _local_frame(solid, p, view, position, rotation, scratch)
    first, last = row0, row1 - 1
    fronts, backs, edges = whole(1), whole(0), whole(0)
    if kind == TRIANGLE:
        edges = _triangle_planes(solid[p, 3], solid[p, 4], solid[p, 5], lx, ly, lz, near, far, scratch)
        if edges < 0:
            return 0
    else:
        if kind == PLANE:
            fronts = whole(0)
            if lz > 0.0:
                fronts = _put_front(scratch, fronts, whole(2), 1.0, lz, whole(5))
            else:
                backs = _put_back(scratch, backs, whole(2), 1.0, -lz)
            fronts, backs = _put_near_and_far(scratch, fronts, backs, near, far, whole(5))
        else:
            hx, hy, hz = _half_extents(kind, solid, p)
            first, last, nearest, farthest = _corner_rows(hx, hy, hz, lx, ly, lz, view, scratch, row0, row1)
            if first > last or farthest < near or nearest > far:
                return 0
            fronts, backs, facing = _box_planes(hx, hy, hz, lx, ly, lz, scratch)
            if nearest <= near or farthest >= far:
                fronts, backs = _put_near_and_far(scratch, fronts, backs, near, far, facing)
        edges = _pair_edges(scratch, fronts, backs)
    first, last, groups = _sort_edges(scratch, edges, width, height, first, last)
    if first > last:
        return 0
    _trim(scratch, groups, width, first, last)
    if kind in (CYLINDER, CAPSULE, SPHERE):
        half = 0.0 if kind == SPHERE else solid[p, 4]
        return _draw_round(kind, p, lx, ly, lz, solid[p, 3], half, near, far, first, last, width, scratch, depth, face)
    return _draw_flat(p, fronts, first, last, width, scratch, depth, face)


@spliced
def _draw_all(
    solid: FloatArray,
    kind: NDArray[np.uint8],
    body: IntArray,
    bounds: FloatArray,
    static_count: int,
    blocks: RasterBlocks,
    view: FloatArray,
    position: FloatArray,
    rotation: FloatArray,
    exclude: int,
    width: int,
    height: int,
    row0: int,
    row1: int,
    scratch: RasterScratch,
    depth: NDArray[np.float32],
    face: IntArray,
    depth_bits: IntArray,
) -> None:
    """Draw what is in view, front to back, but for what is surely hidden; ``depth_bits`` is ``depth`` as int32."""
    cull = scratch.cull
    _view_bounds(view, width, row0, row1, position, rotation, cull)
    forward = cull[0, 0] * position[0] + cull[0, 1] * position[1] + cull[0, 2] * position[2]
    found = _find_solids(body, bounds, static_count, blocks, cull, forward, exclude, scratch)
    scratch.tile[:] = 0
    scratch.stale[:] = 0
    for i in range(found):
        p = whole(scratch.queue[1, i])
        first, last, start, end, nearest = _window(bounds, p, view, position, rotation, width, row0, row1)
        if first > last or start > end:
            continue
        if nearest < HUGE:
            scratch.bits[0] = nearest * HIDDEN
            if _hidden(first, last, start, end, scratch.as_bits[0], width, row0, row1, scratch, depth_bits):
                continue
        if (
            _draw_solid(solid, kind[p], p, view, position, rotation, width, height, row0, row1, scratch, depth, face)
            > 0
        ):
            for j in range(first // TILE_HEIGHT, last // TILE_HEIGHT + 1):
                for k in range(start // TILE_WIDTH, end // TILE_WIDTH + 1):
                    scratch.stale[j, k] = 1


@compiled
def rasterise_view(
    tables: Tables,
    bounds: FloatArray,
    static_count: int,
    blocks: RasterBlocks,
    view: FloatArray,
    position: FloatArray,
    rotation: FloatArray,
    exclude: int,
    row0: int,
    row1: int,
    scratch: RasterScratch,
    inverse_depth: NDArray[np.float32],
    face: IntArray,
) -> None:
    """Fill rows row0 to row1 of a picture; see ``visible_surfaces``.

    A row comes out the same, bit for bit, whichever rows are drawn with it.

    Args:
        tables, bounds, static_count: of the scene. blocks: its ``raster_blocks``.
        view: (6,) float64 fx, fy, cx, cy [pixels], near, far [m]. position: (3,) float64 [m] in ``map``.
        rotation: (3, 3) float64, columns are the axes of ``camera_optical`` in ``map``.
        exclude: moving body that is not seen, -1 for none. scratch: working memory, for this call alone.
        inverse_depth: (H, W) float32 [1/m] and face: (H, W) int32, C-contiguous; rows row0 to row1 are written.
    """
    height, width = inverse_depth.shape
    depth, code = inverse_depth.reshape(-1), face.reshape(-1)
    depth[row0 * width : row1 * width] = 0.0
    code[row0 * width : row1 * width] = -1
    _draw_all(
        borrowed(tables.solid),
        borrowed(tables.kind),
        borrowed(tables.body),
        borrowed(bounds),
        static_count,
        borrowed(blocks),
        borrowed(view),
        borrowed(position),
        borrowed(rotation),
        exclude,
        whole(width),
        whole(height),
        whole(row0),
        whole(row1),
        borrowed(scratch),
        borrowed(depth),
        borrowed(code),
        borrowed(depth.view(np.int32)),
    )
