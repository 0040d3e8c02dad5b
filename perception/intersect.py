"""Where a straight line enters and leaves a solid: compiled maths of the primitives, one solid at a time.

Every solid is convex, so a line ``origin + t * direction`` meets it in one interval of t (of no length for triangles).
The direction need not have unit length: t is in units of it. Solids are packed once (``pack_solid``) into two rows of
float64:

- the *hot* row (8) holds only what the common shapes need, so that a test loads one cache line;
- the *solid* row (16) holds centre (3), size (3) and the three local axes as rows (9), for turned shapes and shading.
"""

from __future__ import annotations

import numpy as np

from ..common.geometry import FloatArray
from ..common.primitives import BOX, CAPSULE, CYLINDER, PLANE, SPHERE, TRIANGLE
from .compiled import compiled, inlined

AXIS_BOX = 0
"""A box whose edges lie along x, y and z. Hot row: lower corner, upper corner."""
YAW_BOX = 1
"""A box turned about z only. Hot row: centre, half extents, cosine and sine of yaw."""
UPRIGHT_CYLINDER = 2
"""Hot row: centre, radius, half length."""
UPRIGHT_CAPSULE = 3
"""Hot row: centre, radius, half length of the cylindrical part."""
ROUND = 4
"""A sphere. Hot row: centre, radius."""
TURNED_BOX = 5
TURNED_CYLINDER = 6
TURNED_CAPSULE = 7
HALF_SPACE = 8
"""All below a plane (against its normal). Hot row: normal, its product with the plane's position."""
FLAT_TRIANGLE = 9
"""A triangle at any orientation."""

HOT_COLUMNS = 8
SOLID_COLUMNS = 16

UPRIGHT_TOLERANCE = 1e-12
"""Cosine deficit up to which an axis counts as straight: 1.4 micrometres on a metre."""

TRIANGLE_LEAVE = 1e-9
"""Triangles are grown by this much [m], so that rounding opens no crack between two that share an edge."""

NO_HIT_ENTER = 1e300
NO_HIT_LEAVE = -1e300
SMALLEST_DIRECTION = 1e-300
"""Stands for a zero component of a direction, so that its reciprocal is finite and 0 * (1 / 0) never makes a NaN."""


@compiled
def pack_solid(
    kind: int, size: FloatArray, center: FloatArray, axes: FloatArray, hot: FloatArray, solid: FloatArray
) -> tuple[int, float, float, float]:
    """Fill the two rows of one solid.

    Args:
        kind: one of the kinds of ``common.primitives``.
        size: (3,) float64 [m], meaning by kind. center: (3,) float64 [m].
        axes: (3, 3) float64 rotation matrix; its columns are the local axes.
        hot: (8,) float64 and solid: (16,) float64, written.

    Returns:
        The shape code and the half extents x, y, z [m] of the axis-aligned bounding box (huge for a plane).
    """
    for i in range(3):
        solid[i] = center[i]
        solid[3 + i] = size[i]
        hot[i] = center[i]
        for j in range(3):
            solid[6 + 3 * i + j] = axes[j, i]
    upright = abs(axes[2, 2]) > 1.0 - UPRIGHT_TOLERANCE
    if kind == BOX:
        ex = abs(axes[0, 0]) * size[0] + abs(axes[0, 1]) * size[1] + abs(axes[0, 2]) * size[2]
        ey = abs(axes[1, 0]) * size[0] + abs(axes[1, 1]) * size[1] + abs(axes[1, 2]) * size[2]
        ez = abs(axes[2, 0]) * size[0] + abs(axes[2, 1]) * size[1] + abs(axes[2, 2]) * size[2]
        if not upright:
            return TURNED_BOX, ex, ey, ez
        if abs(axes[0, 0]) > 1.0 - UPRIGHT_TOLERANCE or abs(axes[1, 0]) > 1.0 - UPRIGHT_TOLERANCE:
            hot[0], hot[1], hot[2] = center[0] - ex, center[1] - ey, center[2] - ez
            hot[3], hot[4], hot[5] = center[0] + ex, center[1] + ey, center[2] + ez
            return AXIS_BOX, ex, ey, ez
        hot[3], hot[4], hot[5] = size[0], size[1], size[2]
        hot[6], hot[7] = axes[0, 0], axes[1, 0]
        return YAW_BOX, ex, ey, ez
    hot[3], hot[4] = size[0], size[1]
    if kind == SPHERE:
        return ROUND, size[0], size[0], size[0]
    if kind == PLANE:
        hot[0], hot[1], hot[2] = axes[0, 2], axes[1, 2], axes[2, 2]
        hot[3] = axes[0, 2] * center[0] + axes[1, 2] * center[1] + axes[2, 2] * center[2]
        return HALF_SPACE, 1e30, 1e30, 1e30
    if kind == TRIANGLE:
        ex = max(
            abs(axes[0, 0]) * size[0] + abs(axes[0, 1]) * size[2], abs(axes[0, 0] * size[1] + axes[0, 1] * size[2])
        )
        ey = max(
            abs(axes[1, 0]) * size[0] + abs(axes[1, 1]) * size[2], abs(axes[1, 0] * size[1] + axes[1, 1] * size[2])
        )
        ez = max(
            abs(axes[2, 0]) * size[0] + abs(axes[2, 1]) * size[2], abs(axes[2, 0] * size[1] + axes[2, 1] * size[2])
        )
        return FLAT_TRIANGLE, ex, ey, ez
    ax, ay, az = abs(axes[0, 2]), abs(axes[1, 2]), abs(axes[2, 2])
    if kind == CAPSULE:
        code = UPRIGHT_CAPSULE if upright else TURNED_CAPSULE
        return code, size[0] + ax * size[1], size[0] + ay * size[1], size[0] + az * size[1]
    # A disc of radius r with normal a reaches r * sqrt(1 - a_i^2) along axis i.
    ex = ax * size[1] + size[0] * np.sqrt(max(0.0, 1.0 - ax * ax))
    ey = ay * size[1] + size[0] * np.sqrt(max(0.0, 1.0 - ay * ay))
    ez = az * size[1] + size[0] * np.sqrt(max(0.0, 1.0 - az * az))
    return (UPRIGHT_CYLINDER if upright else TURNED_CYLINDER), ex, ey, ez


@inlined
def reciprocal(value: float) -> float:
    """Return 1 / value, huge but finite for zero."""
    return 1.0 / (value if value != 0.0 else SMALLEST_DIRECTION)


@inlined
def slab_interval(
    lx: float, ly: float, lz: float, ix: float, iy: float, iz: float, hx: float, hy: float, hz: float
) -> tuple[float, float]:
    """Return where a line enters and leaves a box about the origin: local origin, reciprocals of the direction, half
    extents. Enter > leave means a miss."""
    ax, bx = (-hx - lx) * ix, (hx - lx) * ix
    ay, by = (-hy - ly) * iy, (hy - ly) * iy
    az, bz = (-hz - lz) * iz, (hz - lz) * iz
    enter = max(max(min(ax, bx), min(ay, by)), min(az, bz))
    leave = min(min(max(ax, bx), max(ay, by)), max(az, bz))
    return enter, leave


@inlined
def quadratic_interval(a: float, b: float, c: float) -> tuple[float, float]:
    """Return the interval of t in which a t^2 + 2 b t + c <= 0, with a >= 0."""
    if a < 1e-24:
        # The line runs along the axis (or has no length): inside for ever, or never.
        if c <= 0.0:
            return NO_HIT_LEAVE, NO_HIT_ENTER
        return NO_HIT_ENTER, NO_HIT_LEAVE
    discriminant = b * b - a * c
    if discriminant < 0.0:
        return NO_HIT_ENTER, NO_HIT_LEAVE
    root = np.sqrt(discriminant)
    return (-b - root) / a, (-b + root) / a


@inlined
def sphere_interval(
    px: float, py: float, pz: float, dx: float, dy: float, dz: float, radius: float
) -> tuple[float, float]:
    """Return where a line enters and leaves a sphere about the origin."""
    return quadratic_interval(
        dx * dx + dy * dy + dz * dz, px * dx + py * dy + pz * dz, px * px + py * py + pz * pz - radius * radius
    )


@inlined
def cylinder_interval(
    px: float, py: float, pz: float, dx: float, dy: float, dz: float, radius: float, half: float
) -> tuple[float, float]:
    """Return where a line enters and leaves a cylinder about the origin, axis along z."""
    enter, leave = quadratic_interval(dx * dx + dy * dy, px * dx + py * dy, px * px + py * py - radius * radius)
    iz = reciprocal(dz)
    a, b = (-half - pz) * iz, (half - pz) * iz
    return max(enter, min(a, b)), min(leave, max(a, b))


@inlined
def capsule_interval(
    px: float, py: float, pz: float, dx: float, dy: float, dz: float, radius: float, half: float
) -> tuple[float, float]:
    """Return where a line enters and leaves a capsule about the origin, axis along z.

    A capsule is a cylinder and two spheres; their union is convex, so the union of the intervals is one interval.
    """
    enter, leave = cylinder_interval(px, py, pz, dx, dy, dz, radius, half)
    if enter > leave:
        enter, leave = NO_HIT_ENTER, NO_HIT_LEAVE
    for side in (-half, half):
        near, far = sphere_interval(px, py, pz - side, dx, dy, dz, radius)
        if near <= far:
            enter, leave = min(enter, near), max(leave, far)
    return enter, leave


@inlined
def triangle_interval(
    px: float, py: float, pz: float, dx: float, dy: float, dz: float, a: float, b: float, h: float
) -> tuple[float, float]:
    """Return where a line meets a triangle in the xy plane with corners (-a, -h), (a, -h), (b, h), as t, t.

    A line within the plane misses.
    """
    if dz == 0.0:
        return NO_HIT_ENTER, NO_HIT_LEAVE
    t = -pz / dz
    x, y = px + t * dx, py + t * dy
    # Its width at height y shrinks from 2 a at -h to 0 at h, about a centre that moves from 0 to b.
    up = 0.5 * (y + h) / h if h > 0.0 else 0.0
    if abs(y) <= h + TRIANGLE_LEAVE and abs(x - b * up) <= a * (1.0 - up) + TRIANGLE_LEAVE:
        return t, t
    return NO_HIT_ENTER, NO_HIT_LEAVE


@inlined
def half_space_interval(height: float, slope: float) -> tuple[float, float]:
    """Return where a line lies below a plane: its height over the plane at t = 0 and the change of that per t."""
    if slope == 0.0:
        if height <= 0.0:
            return NO_HIT_LEAVE, NO_HIT_ENTER
        return NO_HIT_ENTER, NO_HIT_LEAVE
    t = -height / slope
    if slope < 0.0:
        return t, NO_HIT_ENTER
    return NO_HIT_LEAVE, t


@inlined
def interval(
    shape: int,
    hot: FloatArray,
    solid: FloatArray,
    p: int,
    ox: float,
    oy: float,
    oz: float,
    dx: float,
    dy: float,
    dz: float,
    ix: float,
    iy: float,
    iz: float,
) -> tuple[float, float]:
    """Return the interval of t in which ``origin + t * direction`` lies in solid p; enter > leave means a miss.

    Args:
        shape: the solid's shape code. hot: (P, 8) and solid: (P, 16) float64 tables. p: row.
        ox, oy, oz: origin [m]. dx, dy, dz: direction, any length. ix, iy, iz: its ``reciprocal`` components.
    """
    if shape == AXIS_BOX:
        ax, bx = (hot[p, 0] - ox) * ix, (hot[p, 3] - ox) * ix
        ay, by = (hot[p, 1] - oy) * iy, (hot[p, 4] - oy) * iy
        az, bz = (hot[p, 2] - oz) * iz, (hot[p, 5] - oz) * iz
        enter = max(max(min(ax, bx), min(ay, by)), min(az, bz))
        leave = min(min(max(ax, bx), max(ay, by)), max(az, bz))
        return enter, leave
    if shape == HALF_SPACE:
        height = hot[p, 0] * ox + hot[p, 1] * oy + hot[p, 2] * oz - hot[p, 3]
        return half_space_interval(height, hot[p, 0] * dx + hot[p, 1] * dy + hot[p, 2] * dz)
    px, py, pz = ox - hot[p, 0], oy - hot[p, 1], oz - hot[p, 2]
    if shape == YAW_BOX:
        c, s = hot[p, 6], hot[p, 7]
        return slab_interval(
            c * px + s * py,
            c * py - s * px,
            pz,
            reciprocal(c * dx + s * dy),
            reciprocal(c * dy - s * dx),
            iz,
            hot[p, 3],
            hot[p, 4],
            hot[p, 5],
        )
    if shape == UPRIGHT_CYLINDER:
        return cylinder_interval(px, py, pz, dx, dy, dz, hot[p, 3], hot[p, 4])
    if shape == UPRIGHT_CAPSULE:
        return capsule_interval(px, py, pz, dx, dy, dz, hot[p, 3], hot[p, 4])
    if shape == ROUND:
        return sphere_interval(px, py, pz, dx, dy, dz, hot[p, 3])
    return turned_interval(shape, solid, p, ox, oy, oz, dx, dy, dz)


@inlined
def turned_interval(
    shape: int, solid: FloatArray, p: int, ox: float, oy: float, oz: float, dx: float, dy: float, dz: float
) -> tuple[float, float]:
    """As ``interval``, for the shapes that stand at any orientation, by way of their local frame."""
    px, py, pz = ox - solid[p, 0], oy - solid[p, 1], oz - solid[p, 2]
    lz = solid[p, 12] * px + solid[p, 13] * py + solid[p, 14] * pz
    ez = solid[p, 12] * dx + solid[p, 13] * dy + solid[p, 14] * dz
    lx = solid[p, 6] * px + solid[p, 7] * py + solid[p, 8] * pz
    ly = solid[p, 9] * px + solid[p, 10] * py + solid[p, 11] * pz
    ex = solid[p, 6] * dx + solid[p, 7] * dy + solid[p, 8] * dz
    ey = solid[p, 9] * dx + solid[p, 10] * dy + solid[p, 11] * dz
    if shape == TURNED_BOX:
        return slab_interval(
            lx, ly, lz, reciprocal(ex), reciprocal(ey), reciprocal(ez), solid[p, 3], solid[p, 4], solid[p, 5]
        )
    if shape == FLAT_TRIANGLE:
        return triangle_interval(lx, ly, lz, ex, ey, ez, solid[p, 3], solid[p, 4], solid[p, 5])
    if shape == TURNED_CYLINDER:
        return cylinder_interval(lx, ly, lz, ex, ey, ez, solid[p, 3], solid[p, 4])
    return capsule_interval(lx, ly, lz, ex, ey, ez, solid[p, 3], solid[p, 4])


@inlined
def surface(kind: int, solid: FloatArray, p: int, lx: float, ly: float, lz: float) -> tuple[float, float, float]:
    """Return the outward unit normal, in the local frame, at a point on the surface of solid p.

    Args:
        kind: one of the kinds of ``common.primitives``. solid: (P, 16) float64. p: row.
        lx, ly, lz: the point [m] in the local frame; rounding may leave it a little off the surface.

    Returns:
        The three components.
    """
    if kind == BOX:
        # The face that the point is least inside of: on an edge either answer is right.
        gx, gy, gz = abs(lx) - solid[p, 3], abs(ly) - solid[p, 4], abs(lz) - solid[p, 5]
        if gx >= gy and gx >= gz:
            return np.copysign(1.0, lx), 0.0, 0.0
        if gy >= gz:
            return 0.0, np.copysign(1.0, ly), 0.0
        return 0.0, 0.0, np.copysign(1.0, lz)
    if kind in (PLANE, TRIANGLE):
        return 0.0, 0.0, 1.0
    radius = solid[p, 3]
    if kind == CYLINDER:
        radial = np.sqrt(lx * lx + ly * ly)
        if abs(lz) - solid[p, 4] > radial - radius or radial == 0.0:
            return 0.0, 0.0, np.copysign(1.0, lz)
        return lx / radial, ly / radial, 0.0
    if kind == CAPSULE:
        lz -= min(max(lz, -solid[p, 4]), solid[p, 4])
    length = np.sqrt(lx * lx + ly * ly + lz * lz)
    if length == 0.0:
        return 0.0, 0.0, 1.0
    return lx / length, ly / length, lz / length
