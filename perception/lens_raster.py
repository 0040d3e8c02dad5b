"""What a camera sees through a lens, exactly: inverse depth and face along a given ray of every pixel.

A picture is cut into tiles. A tile's rays lie in a cone; the solids whose bounding spheres reach into it are drawn into
the tile front to back, each pixel by its own ray: a ray ``d`` meets a plane that the camera is at signed height s over
at ``1 / t = -(n . d) / s``, for any direction and length of d, so a box costs three products a pixel and no division
(see ``camera_raster``, where the same is done with rays on a plane). Nothing is interpolated.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import FloatArray
from ..common.primitives import BOX, CAPSULE, CYLINDER, PLANE, SPHERE, TRIANGLE
from .blocks import BLOCK, RasterBlocks
from .borrow import borrowed
from .camera_raster import (
    HUGE,
    MANTLE,
    ROUNDED,
    TIE,
    TINY,
    WINS_TIE,
    _ball_inverse,
    _capsule_inverse,
    _cylinder_inverse,
)
from .compiled import compiled, part
from .grid import IntArray
from .raycast import Tables, as_index

TILE_WIDTH, TILE_HEIGHT = 16, 16
"""[pixels]"""
TILE = TILE_WIDTH * TILE_HEIGHT
STEPS = 256
"""Steps of range by which a tile's solids are drawn front to back; spaced evenly in 1 / range up to ``NEAREST``."""
NEAREST = 0.25
"""[m]"""
EXTENT_LEAVE = 1e-9
CONE_LEAVE = 1e-6
"""Cones are this much [rad] wider, for rounding."""


class LensRays(NamedTuple):
    """The rays of a picture's pixels, and the tiles they are drawn by.

    Attributes:
        ray: (3, H, W) float32 directions in ``camera_optical``, NaN where a pixel sees nothing.
        cone: (H', W', 6) float64 of each tile: unit axis, cosine and sine of its half angle, number of pixels that see
            nothing; a cosine of 2 means that none of them sees anything.
    """

    ray: NDArray[np.float32]
    cone: FloatArray


class LensScratch(NamedTuple):
    """Memory that ``rasterise_rays`` works in; one for each thread.

    Attributes:
        queue: (2, P) int32 solids in a tile, as found and in order. step: (P,) int32; start: (STEPS,) int32.
        form: (6, 3) float64 linear forms of the solid being drawn.
        ray: (3, TILE) float64, depth: (TILE + 1,) float32, face: (TILE,) int32 of the tile being drawn; box: (6,)
            middle and half sizes of the box that holds its rays.
    """

    queue: IntArray
    step: IntArray
    start: IntArray
    form: FloatArray
    ray: FloatArray
    depth: NDArray[np.float32]
    face: IntArray
    box: FloatArray


def lens_rays(directions: NDArray[np.floating]) -> LensRays:
    """Return rays from directions (H, W, 3), NaN where a pixel sees nothing."""
    ray = np.ascontiguousarray(np.moveaxis(directions, -1, 0), dtype=np.float32)
    height, width = ray.shape[1:]
    cone = np.zeros((-(-height // TILE_HEIGHT), -(-width // TILE_WIDTH), 6))
    _fill_cones(ray, cone)
    return LensRays(ray, cone)


def lens_scratch(solids: int) -> LensScratch:
    """Return scratch memory for scenes of up to ``solids`` solids."""
    return LensScratch(
        queue=np.zeros((2, max(solids, 1)), np.int32),
        step=np.zeros(max(solids, 1), np.int32),
        start=np.zeros(STEPS, np.int32),
        form=np.zeros((6, 3)),
        ray=np.zeros((3, TILE)),
        depth=np.zeros(TILE + 1, np.float32),
        face=np.zeros(TILE, np.int32),
        box=np.zeros(6),
    )


@compiled
def _fill_cones(ray: NDArray[np.float32], cone: FloatArray) -> None:
    """Fill the cone of each tile."""
    _, height, width = ray.shape
    for i in range(cone.shape[0]):
        for j in range(cone.shape[1]):
            rows = range(i * TILE_HEIGHT, min((i + 1) * TILE_HEIGHT, height))
            columns = range(j * TILE_WIDTH, min((j + 1) * TILE_WIDTH, width))
            sx, sy, sz = 0.0, 0.0, 0.0
            for v in rows:
                for u in columns:
                    x, y, z = np.float64(ray[0, v, u]), np.float64(ray[1, v, u]), np.float64(ray[2, v, u])
                    n = np.sqrt(x * x + y * y + z * z)
                    if np.isfinite(n):
                        sx, sy, sz = sx + x / n, sy + y / n, sz + z / n
                    else:
                        cone[i, j, 5] += 1.0
            length = np.sqrt(sx * sx + sy * sy + sz * sz)
            cone[i, j, 3] = 2.0
            if length == 0.0:
                continue
            sx, sy, sz = sx / length, sy / length, sz / length
            least = 1.0
            for v in rows:
                for u in columns:
                    x, y, z = np.float64(ray[0, v, u]), np.float64(ray[1, v, u]), np.float64(ray[2, v, u])
                    n = np.sqrt(x * x + y * y + z * z)
                    if np.isfinite(n):
                        least = min(least, (sx * x + sy * y + sz * z) / n)
            angle = np.arccos(min(max(least, -1.0), 1.0)) + CONE_LEAVE
            cone[i, j, 0], cone[i, j, 1], cone[i, j, 2] = sx, sy, sz
            cone[i, j, 3], cone[i, j, 4] = np.cos(angle), np.sin(angle)


@part
def _reaches(
    bounds: FloatArray, i: int, position: FloatArray, ax: float, ay: float, az: float, cosine: float, sine: float
) -> float:
    """Return how near [m] the sphere around a box may come, or -1 if it stays outside of the cone with that axis."""
    x, y, z = bounds[i, 0] - position[0], bounds[i, 1] - position[1], bounds[i, 2] - position[2]
    radius = np.sqrt(bounds[i, 3] * bounds[i, 3] + bounds[i, 4] * bounds[i, 4] + bounds[i, 5] * bounds[i, 5])
    square = x * x + y * y + z * z
    along = ax * x + ay * y + az * z
    if np.sqrt(max(square - along * along, 0.0)) * cosine - along * sine > radius:
        return -1.0
    return max(np.sqrt(square) - radius, 0.0)


@part
def _put(scratch: LensScratch, n: int, p: int, distance: float) -> int:
    step = as_index(0)
    if distance > NEAREST:
        step = min(as_index(STEPS * (1.0 - NEAREST / distance)), as_index(STEPS - 1))
    scratch.queue[0, n] = p
    scratch.step[n] = step
    scratch.start[step] += 1
    return n + 1


@part
def _find(
    tables: Tables,
    bounds: FloatArray,
    static_count: int,
    blocks: RasterBlocks,
    position: FloatArray,
    ax: float,
    ay: float,
    az: float,
    cosine: float,
    sine: float,
    far: float,
    exclude: int,
    scratch: LensScratch,
) -> int:
    """Fill ``scratch.queue[1]`` with the solids that may show in a cone, front to back; return how many."""
    n = as_index(0)
    scratch.start[:] = 0
    for k in range(blocks.block.shape[0]):
        if _reaches(blocks.block, k, position, ax, ay, az, cosine, sine) < 0.0:
            continue
        for i in range(k * BLOCK, min((k + 1) * BLOCK, len(blocks.row))):
            distance = _reaches(blocks.bounds, i, position, ax, ay, az, cosine, sine)
            if distance >= 0.0 and distance <= far:
                n = _put(scratch, n, blocks.row[i], distance)
    for p in range(static_count, len(tables.body)):
        if tables.body[p] != exclude:
            distance = _reaches(bounds, p, position, ax, ay, az, cosine, sine)
            if distance >= 0.0 and distance <= far:
                n = _put(scratch, n, p, distance)
    at = 0
    for k in range(STEPS):
        count = scratch.start[k]
        scratch.start[k] = at
        at += count
    for i in range(n):
        k = scratch.step[i]
        scratch.queue[1, scratch.start[k]] = scratch.queue[0, i]
        scratch.start[k] += 1
    return n


@part
def _to_local(
    solid: FloatArray, p: int, position: FloatArray, rotation: FloatArray, form: FloatArray
) -> tuple[float, float, float]:
    """Fill ``form[:3]``, the local axes of solid p in ``camera_optical``; return the camera's local place [m]."""
    for k in range(3):
        a, b, c = solid[p, 6 + 3 * k], solid[p, 7 + 3 * k], solid[p, 8 + 3 * k]
        for i in range(3):
            form[k, i] = a * rotation[0, i] + b * rotation[1, i] + c * rotation[2, i]
    x, y, z = position[0] - solid[p, 0], position[1] - solid[p, 1], position[2] - solid[p, 2]
    lx = solid[p, 6] * x + solid[p, 7] * y + solid[p, 8] * z
    ly = solid[p, 9] * x + solid[p, 10] * y + solid[p, 11] * z
    lz = solid[p, 12] * x + solid[p, 13] * y + solid[p, 14] * z
    return lx, ly, lz


@part
def _slab(place: float, half: float) -> tuple[float, float, float, float]:
    """Return the factors of a slab's inverse ranges: a ray with component e enters at ``e * a + b`` and leaves at
    ``max(e * c, e * d)``, with the camera at ``place`` [m] and the slab from -half to half."""
    if place > half:
        return -1.0 / (place - half), 0.0, -1.0 / (place + half), -1.0 / (place + half)
    if place < -half:
        return 1.0 / (-half - place), 0.0, 1.0 / (half - place), 1.0 / (half - place)
    return 0.0, HUGE, 1.0 / max(half - place, TINY), -1.0 / max(half + place, TINY)


@part
def _wins(inverse: float, drawn: float, code: int, face: int) -> bool:
    """Tell whether a surface is seen before what is drawn; of two that coincide, the solid of the lower row is."""
    return bool(inverse > drawn * TIE) | (bool(inverse > drawn * WINS_TIE) & (code < face))


@part
def _draw_box(
    p: int,
    hx: float,
    hy: float,
    hz: float,
    lx: float,
    ly: float,
    lz: float,
    near: float,
    far: float,
    ray: FloatArray,
    form: FloatArray,
    depth: NDArray[np.float32],
    face: IntArray,
) -> None:
    """Draw a box into a tile."""
    ax, bx, cx, dx = _slab(lx, hx)
    ay, by, cy, dy = _slab(ly, hy)
    az, bz, cz, dz = _slab(lz, hz)
    closest, remotest = 1.0 / near, 1.0 / far
    fx, fy, fz = 8 * p + (1 if lx > 0.0 else 0), 8 * p + (3 if ly > 0.0 else 2), 8 * p + (5 if lz > 0.0 else 4)
    gx, gy, gz = abs(lx) - hx, abs(ly) - hy, abs(lz) - hz
    inside = fx if gx >= gy and gx >= gz else (fy if gy >= gz else fz)
    xx, xy, xz = form[0, 0], form[0, 1], form[0, 2]
    yx, yy, yz = form[1, 0], form[1, 1], form[1, 2]
    zx, zy, zz = form[2, 0], form[2, 1], form[2, 2]
    for i in range(np.uint64(TILE)):
        x, y, z = ray[0, i], ray[1, i], ray[2, i]
        ex, ey, ez = xx * x + xy * y + xz * z, yx * x + yy * y + yz * z, zx * x + zy * y + zz * z
        wx, wy, wz = ex * ax + bx, ey * ay + by, ez * az + bz
        enter = min(min(wx, wy), min(wz, closest))
        leave = max(max(max(ex * cx, ex * dx), max(ey * cy, ey * dy)), max(max(ez * cz, ez * dz), remotest))
        code = fx if wx <= enter else (fy if wy <= enter else (fz if wz <= enter else inside))
        shows = (enter >= leave) & _wins(np.float32(enter), depth[i], 8 * p + 7, face[i])
        depth[i] = np.float32(enter) if shows else depth[i]
        face[i] = np.int32(code) if shows else face[i]


@part
def _flat(
    kind: int, a: float, b: float, h: float, lx: float, ly: float, lz: float, form: FloatArray
) -> tuple[float, float, float, int]:
    """Prepare a plane or triangle: fill ``form[3:6]`` with its sides (>= 0 inside).

    Returns:
        Factor and constant of the inverse range where it is entered, factor where it is left (planes), and the face.
    """
    form[3:6] = 0.0
    if kind == PLANE:
        if lz > 0.0:
            return -1.0 / lz, 0.0, 0.0, as_index(5)
        return 0.0, HUGE, 1.0 / max(-lz, TINY), as_index(5)
    side = -1.0 if lz > 0.0 else 1.0
    for n in range(3):
        x0 = (-a if n == 0 else (a if n == 1 else b)) - lx
        y0 = (h if n == 2 else -h) - ly
        x1 = (a if n == 0 else (b if n == 1 else -a)) - lx
        y1 = (h if n == 1 else -h) - ly
        mx, my, mz = lz * (y1 - y0), lz * (x0 - x1), x0 * y1 - x1 * y0
        for k in range(3):
            form[3 + n, k] = side * (mx * form[0, k] + my * form[1, k] + mz * form[2, k])
    if lz == 0.0:
        return 0.0, -1.0, 0.0, as_index(5)
    return -1.0 / lz, 0.0, 0.0, as_index(5 if lz > 0.0 else 4)


@part
def _draw_flat(
    p: int,
    factor: float,
    constant: float,
    out: float,
    f: int,
    near: float,
    far: float,
    closes: bool,
    ray: FloatArray,
    form: FloatArray,
    depth: NDArray[np.float32],
    face: IntArray,
) -> None:
    """Draw a plane (``closes``: the near plane shows what is behind it) or a triangle."""
    closest, remotest = 1.0 / near, 1.0 / far
    code = np.int32(8 * p + f)
    zx, zy, zz = form[2, 0], form[2, 1], form[2, 2]
    for i in range(np.uint64(TILE)):
        x, y, z = ray[0, i], ray[1, i], ray[2, i]
        ez = zx * x + zy * y + zz * z
        w = ez * factor + constant
        a = form[3, 0] * x + form[3, 1] * y + form[3, 2] * z
        b = form[4, 0] * x + form[4, 1] * y + form[4, 2] * z
        c = form[5, 0] * x + form[5, 1] * y + form[5, 2] * z
        enter = min(w, closest)
        hit = enter >= max(remotest, ez * out) and min(a, min(b, c)) >= 0.0 and (closes or w <= closest)
        if hit and _wins(np.float32(enter), depth[i], 8 * p + 7, face[i]):
            depth[i] = enter
            face[i] = code


@part
def _draw_round(
    kind: int,
    p: int,
    radius: float,
    half: float,
    lx: float,
    ly: float,
    lz: float,
    near: float,
    far: float,
    ray: FloatArray,
    form: FloatArray,
    depth: NDArray[np.float32],
    face: IntArray,
) -> None:
    """Draw a cylinder, capsule or sphere."""
    closest, remotest = 1.0 / near, 1.0 / far
    cap = 5 if lz > 0.0 else 4
    for i in range(np.uint64(TILE)):
        x, y, z = ray[0, i], ray[1, i], ray[2, i]
        ex = form[0, 0] * x + form[0, 1] * y + form[0, 2] * z
        ey = form[1, 0] * x + form[1, 1] * y + form[1, 2] * z
        ez = form[2, 0] * x + form[2, 1] * y + form[2, 2] * z
        code = ROUNDED
        if kind == CYLINDER:
            enter, leave, mantle = _cylinder_inverse(lx, ly, lz, ex, ey, ez, radius, half)
            code = MANTLE if mantle <= enter or enter > closest else cap
        elif kind == CAPSULE:
            enter, leave = _capsule_inverse(lx, ly, lz, ex, ey, ez, radius, half)
        else:
            enter, leave = _ball_inverse(lx, ly, lz, ex, ey, ez, radius)
        w = min(enter, closest)
        if w >= max(leave, remotest) and _wins(np.float32(w), depth[i], 8 * p + 7, face[i]):
            depth[i] = w
            face[i] = 8 * p + code


@part
def _half_extent(kind: int, solid: FloatArray, p: int, axis: int) -> float:
    """Return the half extent [m] along a local axis of the box around solid p."""
    if kind == BOX:
        return solid[p, 3 + axis]
    if kind == SPHERE or axis < 2:
        return solid[p, 3]
    return solid[p, 4] + (solid[p, 3] if kind == CAPSULE else 0.0)


@part
def _span(form: FloatArray, axis: int, box: FloatArray) -> tuple[float, float]:
    """Return the least and greatest component along a local axis of rays in a box: middle (3), half sizes (3)."""
    middle, reach = 0.0, EXTENT_LEAVE
    for i in range(3):
        middle += form[axis, i] * box[i]
        reach += abs(form[axis, i]) * box[3 + i]
    return middle - reach, middle + reach


@part
def _may_show(
    kind: int,
    hx: float,
    hy: float,
    hz: float,
    lx: float,
    ly: float,
    lz: float,
    near: float,
    far: float,
    box: FloatArray,
    form: FloatArray,
    hidden: float,
) -> bool:
    """Tell whether a box (or the inside of a plane) may be met by rays of a tile, nearer than what is drawn there."""
    enter, leave = 1.0 / near, 1.0 / far
    for k in range(3):
        if kind == PLANE and k < 2:
            continue
        low, high = _span(form, k, box)
        place = lx if k == 0 else (ly if k == 1 else lz)
        if kind == PLANE:
            a, b, c, d = (-1.0 / lz, 0.0, 0.0, 0.0) if lz > 0.0 else (0.0, HUGE, 0.0, 0.0)
        else:
            a, b, c, d = _slab(place, hx if k == 0 else (hy if k == 1 else hz))
        enter = min(enter, max(low * a, high * a) + b)
        leave = max(leave, max(min(low * c, high * c), min(low * d, high * d)))
    return enter >= leave and enter * float(TIE) > hidden


@part
def _draw(
    tables: Tables,
    p: int,
    near: float,
    far: float,
    position: FloatArray,
    rotation: FloatArray,
    box: FloatArray,
    hidden: float,
    ray: FloatArray,
    form: FloatArray,
    depth: NDArray[np.float32],
    face: IntArray,
) -> bool:
    """Draw one solid into a tile; return whether it may have shown."""
    solid, kind = tables.solid, tables.kind[p]
    lx, ly, lz = _to_local(solid, p, position, rotation, form)
    sx, sy, sz = solid[p, 3], solid[p, 4], solid[p, 5]
    if kind != TRIANGLE:
        hx, hy, hz = _half_extent(kind, solid, p, 0), _half_extent(kind, solid, p, 1), _half_extent(kind, solid, p, 2)
        if not _may_show(kind, hx, hy, hz, lx, ly, lz, near, far, box, form, hidden):
            return False
    if kind == BOX:
        _draw_box(p, sx, sy, sz, lx, ly, lz, near, far, ray, form, depth, face)
    elif kind in (PLANE, TRIANGLE):
        factor, constant, out, f = _flat(kind, sx, sy, sz, lx, ly, lz, form)
        _draw_flat(p, factor, constant, out, f, near, far, kind == PLANE, ray, form, depth, face)
    else:
        _draw_round(kind, p, sx, sy, lx, ly, lz, near, far, ray, form, depth, face)
    return True


@compiled
def rasterise_rays(
    tables: Tables,
    bounds: FloatArray,
    static_count: int,
    blocks: RasterBlocks,
    rays: LensRays,
    near: float,
    far: float,
    position: FloatArray,
    rotation: FloatArray,
    exclude: int,
    row0: int,
    row1: int,
    scratch: LensScratch,
    inverse_depth: NDArray[np.float32],
    face: IntArray,
) -> None:
    """Fill rows row0 to row1 of a picture through a lens.

    A row comes out the same, bit for bit, whichever rows are drawn with it.

    Args:
        tables, bounds, static_count: of the scene. blocks: its ``raster_blocks``. rays: of the lens.
        near, far: limits in units of the rays' length: planar depth [m] for rays with z = 1, range for unit rays.
        position: (3,) float64 [m] in ``map``. rotation: (3, 3) float64, columns are the camera's axes in ``map``.
        exclude: moving body that is not seen, -1 for none. scratch: working memory, for this call alone.
        inverse_depth: (H, W) float32, 1 / length along the ray, 0 for nothing; face: (H, W) int32, see
            ``camera_raster.visible_surfaces``; rows row0 to row1 are written.
    """
    tables, bounds, blocks, rays, scratch = (
        borrowed(tables),
        borrowed(bounds),
        borrowed(blocks),
        borrowed(rays),
        borrowed(scratch),
    )
    position, rotation = borrowed(position), borrowed(rotation)
    width, cone = as_index(face.shape[1]), rays.cone
    inverse_depth[row0:row1] = 0.0
    face[row0:row1] = -1
    # Rays with z = 1 are longest at the corners: there ``far`` reaches farther than its number says.
    reach = far * _longest(rays.ray)
    for i in range(row0 // TILE_HEIGHT, (row1 + TILE_HEIGHT - 1) // TILE_HEIGHT):
        for j in range(cone.shape[1]):
            cosine, sine = cone[i, j, 3], cone[i, j, 4]
            if cosine > 1.0:
                continue
            x, y, z = cone[i, j, 0], cone[i, j, 1], cone[i, j, 2]
            ax = rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z
            ay = rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z
            az = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z
            found = _find(
                tables, bounds, static_count, blocks, position, ax, ay, az, cosine, sine, reach, exclude, scratch
            )
            if found == 0:
                continue
            _load_tile(rays.ray, i * TILE_HEIGHT, j * TILE_WIDTH, scratch)
            hidden = 0.0
            for k in range(found):
                p = as_index(scratch.queue[1, k])
                drawn = _draw(
                    tables,
                    p,
                    near,
                    far,
                    position,
                    rotation,
                    scratch.box,
                    hidden,
                    scratch.ray,
                    scratch.form,
                    scratch.depth,
                    scratch.face,
                )
                if drawn:
                    hidden = _farthest(scratch.depth)
            for v in range(max(as_index(i * TILE_HEIGHT), row0), min(as_index((i + 1) * TILE_HEIGHT), row1)):
                for u in range(j * TILE_WIDTH, min(as_index((j + 1) * TILE_WIDTH), width)):
                    at = (v - i * TILE_HEIGHT) * TILE_WIDTH + u - j * TILE_WIDTH
                    if np.isfinite(rays.ray[2, v, u]):
                        inverse_depth[v, u], face[v, u] = scratch.depth[at], scratch.face[at]


@part
def _load_tile(ray: NDArray[np.float32], v0: int, u0: int, scratch: LensScratch) -> None:
    """Load the rays of a tile, and the box that holds them; places outside of the picture repeat its last ones."""
    box, height, width = scratch.box, as_index(ray.shape[1]), as_index(ray.shape[2])
    scratch.depth[:] = 0.0
    scratch.face[:] = -1
    for k in range(3):
        low, high = HUGE, -HUGE
        for i in range(TILE_HEIGHT):
            v = min(as_index(v0 + i), height - 1)
            for j in range(TILE_WIDTH):
                value = np.float64(ray[k, v, min(as_index(u0 + j), width - 1)])
                if np.isfinite(value):
                    low, high = min(low, value), max(high, value)
                scratch.ray[k, i * TILE_WIDTH + j] = value
        box[k], box[3 + k] = 0.5 * (low + high), 0.5 * (high - low)


@part
def _farthest(depth: NDArray[np.float32]) -> float:
    """Return the least inverse depth of a tile; of floats that are not negative the bits sort alike."""
    bits = depth.view(np.int32)
    least = np.int32(0x7F800000)
    for i in range(np.uint64(TILE)):
        least = min(least, bits[i])
    bits[TILE] = least
    return np.float64(depth[TILE])


@part
def _longest(ray: NDArray[np.float32]) -> float:
    """Return the length of the longest of the four corner rays and of a unit ray."""
    longest = 1.0
    for v in (0, ray.shape[1] - 1):
        for u in (0, ray.shape[2] - 1):
            x, y, z = np.float64(ray[0, v, u]), np.float64(ray[1, v, u]), np.float64(ray[2, v, u])
            n = np.sqrt(x * x + y * y + z * z)
            if n > longest:
                longest = n
    return 1.001 * longest
