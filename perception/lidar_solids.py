"""What a lidar's signal needs of rays and solids, for ``LANES`` beams at once, in float32.

A part in 10^7 is enough for how much light comes back and for what a footprint holds: lengths are relative to where the
lidar is, and true ranges stay as they were found.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import FloatArray
from .compiled import inlined, inner, part
from .grid import IntArray
from .intersect import AXIS_BOX, HALF_SPACE, YAW_BOX
from .lanes import (
    LANES,
    absolute,
    first_bit,
    flag_bits,
    gather,
    greater,
    lesser,
    load,
    select,
    single,
    spread,
    store,
)
from .raycast import Tables, as_index, world_normal

Singles = NDArray[np.float32]

(
    CX,
    CY,
    CZ,
    HX,
    HY,
    HZ,
    COS,
    SIN,
    KIND,
    REFLECTION,
    MIRROR,
    WRAP,
) = range(12)
"""Columns of the table of solids: centre relative to the lidar's first origin [m], half extents [m], cosine and sine of
yaw of an upright box; kind; reflectivity; gloss; whether it is wrapped in film (1 or 0). A plane has its normal for the
centre, and the height of the lidar's first origin over it [m] for the first half extent."""
UPRIGHT, FLAT, OTHER = 0.0, 1.0, 2.0
"""Kinds: upright boxes, planes, and all others, of which the table has no shape."""
FARTHEST = np.float32(3e38)
"""Stands for a range of inf [m], so that nothing becomes not a number."""


class Rays(NamedTuple):
    """The rays of a lidar in ``map``; arrays have room for a vector beyond their ends.

    Attributes:
        direction: (3, stride) float32 unit directions x, y, z of the beams, ring by ring.
        column: (6, width) float32: for each column the origin, relative to that of the first [m], and the axis z of the
            lidar's frame. Of a lidar that stands still the first column stands for all.
        moves: whether the lidar moves during its sweep. columns: beams of a ring.
    """

    direction: Singles
    column: Singles
    moves: bool
    columns: int


@inlined
def local_rays(directions: FloatArray) -> Singles:
    """Return unit directions (beams, 3) as (3, stride) float32 with room for a vector beyond their end."""
    beams = directions.shape[0]
    rays = np.zeros((3, beams + LANES), np.float32)
    rays[:, :beams] = directions.T
    return rays


@inner
def place_rays(local: Singles, origins: FloatArray, rotations: FloatArray, columns: int) -> Rays:
    """Return the rays of a lidar: ``local`` of ``local_rays``, poses as in ``lidar_signal.measure_scan``."""
    stride, poses = local.shape[1], origins.shape[0]
    moves = poses > 1
    out, column = np.zeros((3, stride), np.float32), np.zeros((6, poses + LANES), np.float32)
    for k in range(poses):
        for i in range(3):
            column[i, k] = origins[k, i] - origins[0, i]
            column[3 + i, k] = rotations[k, i, 2]
    if moves:
        for b in range(stride - LANES):
            r = rotations[b % columns]
            for i in range(3):
                out[i, b] = r[i, 0] * local[0, b] + r[i, 1] * local[1, b] + r[i, 2] * local[2, b]
        return Rays(out, column, moves, columns)
    r = rotations[0]
    for b in range(0, stride - LANES, LANES):
        x, y, z = load(local, b), load(local, stride + b), load(local, 2 * stride + b)
        for i in range(3):
            store(out, i * stride + b, x * r[i, 0] + y * r[i, 1] + z * r[i, 2])
    return Rays(out, column, moves, columns)


@part
def load_ray(rays: Rays, b: int) -> tuple[Any, Any, Any]:
    """Return the directions of beams from b on."""
    stride = rays.direction.shape[1]
    return load(rays.direction, b), load(rays.direction, stride + b), load(rays.direction, 2 * stride + b)


@part
def gather_ray(rays: Rays, beams: Any) -> tuple[Any, Any, Any]:
    """Return the directions of beams (int32)."""
    stride = np.int32(rays.direction.shape[1])
    direction = rays.direction
    return gather(direction, beams), gather(direction, beams + stride), gather(direction, beams + np.int32(2) * stride)


@part
def load_origin(rays: Rays, column: int) -> tuple[Any, Any, Any]:
    """Return the origins of the columns from ``column`` on, relative to that of the first [m]."""
    if rays.moves:
        width = rays.column.shape[1]
        return load(rays.column, column), load(rays.column, width + column), load(rays.column, 2 * width + column)
    zero = spread(single(0.0))
    return zero, zero, zero


@part
def gather_pose(rays: Rays, columns: Any) -> tuple[Any, Any, Any, Any, Any, Any]:
    """Return origin, relative to that of the first [m], and axis z of columns (int32)."""
    table = rays.column
    if rays.moves:
        width = np.int32(table.shape[1])
        at = columns + np.int32(3) * width
        return (
            gather(table, columns),
            gather(table, columns + width),
            gather(table, columns + np.int32(2) * width),
            gather(table, at),
            gather(table, at + width),
            gather(table, at + np.int32(2) * width),
        )
    zero = spread(single(0.0))
    return zero, zero, zero, spread(table[3, 0]), spread(table[4, 0]), spread(table[5, 0])


@part
def put_solid(
    tables: Tables,
    p: int,
    ox: float,
    oy: float,
    oz: float,
    reflectivity: float,
    gloss: float,
    wrapped: float,
    solids: Singles,
) -> None:
    """Write row p of the table of solids (P, LANES) for a lidar whose first origin is (ox, oy, oz) [m]."""
    hot, code = tables.hot, tables.shape[p]
    x, y, z, hx, hy, hz = hot[p, 0], hot[p, 1], hot[p, 2], hot[p, 3], hot[p, 4], hot[p, 5]
    c, s, kind = 1.0, 0.0, UPRIGHT
    if code == AXIS_BOX:
        x, y, z, hx, hy, hz = (
            0.5 * (x + hx) - ox,
            0.5 * (y + hy) - oy,
            0.5 * (z + hz) - oz,
            0.5 * (hx - x),
            0.5 * (hy - y),
            0.5 * (hz - z),
        )
    elif code == YAW_BOX:
        x, y, z, c, s = x - ox, y - oy, z - oz, hot[p, 6], hot[p, 7]
    elif code == HALF_SPACE:
        hx, kind = x * ox + y * oy + z * oz - hx, FLAT
    else:
        kind = OTHER
    row = solids[p]
    row[CX], row[CY], row[CZ], row[HX], row[HY], row[HZ] = x, y, z, hx, hy, hz
    row[COS], row[SIN], row[KIND] = c, s, kind
    row[REFLECTION], row[MIRROR], row[WRAP] = reflectivity, gloss, wrapped


@part
def face_lanes(solid: Any, ox: Any, oy: Any, oz: Any, dx: Any, dy: Any, dz: Any, t: Any) -> Any:
    """Return the cosine (0 to 1) between rays and the normals of the boxes and planes that they meet at ``t`` [m].

    Args:
        solid: row of the table of solids for each lane. ox to oz: origins as in ``Rays``. dx to dz: directions.
    """
    c, s = solid[COS], solid[SIN]
    px, py, pz = ox - solid[CX], oy - solid[CY], oz - solid[CZ]
    ex, ey = c * dx + s * dy, c * dy - s * dx
    gx = absolute(c * px + s * py + t * ex) - solid[HX]
    gy = absolute(c * py - s * px + t * ey) - solid[HY]
    gz = absolute(pz + t * dz) - solid[HZ]
    # The face that the point is least inside of.
    face = select(greater(gx, gy) >= gz, select(gx >= gy, ex, ey), dz)
    level = solid[CX] * dx + solid[CY] * dy + solid[CZ] * dz
    return lesser(absolute(select(solid[KIND] == FLAT, level, face)), single(1.0))


@part
def incidence(
    shape: NDArray[np.uint8],
    kind: NDArray[np.uint8],
    hot: FloatArray,
    solid: FloatArray,
    p: int,
    x: float,
    y: float,
    z: float,
    dx: float,
    dy: float,
    dz: float,
) -> float:
    """Return the cosine (0 to 1) between a ray and the normal of solid p where they meet (x, y, z) [m].

    The first four are tables of the scene. Upright boxes and planes, which most are, take a shorter way.
    """
    code = shape[p]
    if code == AXIS_BOX:
        gx = max(hot[p, 0] - x, x - hot[p, 3])
        gy = max(hot[p, 1] - y, y - hot[p, 4])
        gz = max(hot[p, 2] - z, z - hot[p, 5])
        side = dx if gx >= gy else dy
        return min(1.0, abs(side if max(gx, gy) >= gz else dz))
    if code == YAW_BOX:
        c, s = hot[p, 6], hot[p, 7]
        px, py = x - hot[p, 0], y - hot[p, 1]
        gx, gy = abs(c * px + s * py) - hot[p, 3], abs(c * py - s * px) - hot[p, 4]
        gz = abs(z - hot[p, 2]) - hot[p, 5]
        side = c * dx + s * dy if gx >= gy else c * dy - s * dx
        return min(1.0, abs(side if max(gx, gy) >= gz else dz))
    if code == HALF_SPACE:
        return min(1.0, abs(hot[p, 0] * dx + hot[p, 1] * dy + hot[p, 2] * dz))
    nx, ny, nz, _, _, _ = world_normal(kind[p], solid, p, x, y, z)
    return min(1.0, abs(nx * dx + ny * dy + nz * dz))


@inner
def face_others(
    tables: Tables,
    others: Any,
    row: IntArray,
    at: int,
    origin: FloatArray,
    x: Any,
    y: Any,
    z: Any,
    dx: Any,
    dy: Any,
    dz: Any,
    t: Any,
    face: Any,
    scratch: Singles,
) -> Any:
    """Return ``face`` of ``face_lanes`` with the lanes ``others``, which are of other shapes, found one by one.

    Args:
        row: rows of the solids, from element ``at`` on. origin: (3,) [m] that x, y, z are relative to.
        dx to t: as for ``face_lanes``. scratch: (7 LANES,).
    """
    store(scratch, 0, x)
    store(scratch, LANES, y)
    store(scratch, 2 * LANES, z)
    store(scratch, 3 * LANES, dx)
    store(scratch, 4 * LANES, dy)
    store(scratch, 5 * LANES, dz)
    store(scratch, 6 * LANES, t)
    values = scratch.reshape(7, LANES)
    faces = np.empty(LANES, np.float32)
    store(faces, 0, face)
    bits = flag_bits(others)
    while bits != 0:
        i = first_bit(bits)
        bits &= bits - 1
        ux, uy, uz = float(values[3, i]), float(values[4, i]), float(values[5, i])
        distance = float(values[6, i])
        faces[i] = incidence(
            tables.shape, tables.kind, tables.hot, tables.solid, as_index(row[at + i]),
            origin[0] + values[0, i] + distance * ux, origin[1] + values[1, i] + distance * uy,
            origin[2] + values[2, i] + distance * uz, ux, uy, uz,
        )  # fmt: skip
    return load(faces, 0)
