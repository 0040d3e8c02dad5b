"""Drawing of one solid into a lidar's image, azimuth x ring: by columns of an upright footprint, or ray by ray."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.core import cgutils
from numba.core.cgutils import ir
from numba.extending import intrinsic
from numpy.typing import NDArray

from ..common.geometry import FloatArray
from ..common.primitives import BOX
from .compiled import inner, part
from .grid import IntArray
from .intersect import UPRIGHT_CYLINDER, YAW_BOX, interval, reciprocal
from .lidar_footprints import (
    COS,
    CX,
    CY,
    ENTER,
    HIGH,
    HX,
    HY,
    IX,
    IY,
    LANES,
    LEAVE,
    LOW,
    LX,
    LY,
    LZ,
    NOTHING,
    OX,
    OY,
    OZ,
    RADIUS,
    SIN,
    TOUCH,
    UX,
    UY,
    bits_of,
    field,
    float_of,
)
from .raycast import Tables


def _lanes(context: Any, builder: Any, kind: Any, array: Any, row: Any, at: Any) -> Any:
    """Return the pointer to LANES entries of a table."""
    table = context.make_array(kind)(context, builder, array)
    pointer = cgutils.get_item_pointer(context, builder, kind, table, [row, at], wraparound=False)
    return builder.bitcast(pointer, ir.VectorType(pointer.type.pointee, LANES).as_pointer())


def _all_lanes(builder: Any, value: Any) -> Any:
    """Return a number in all LANES."""
    one = ir.Constant(ir.VectorType(value.type, LANES), ir.Undefined)
    one = builder.insert_element(one, value, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES))


def _draw_lanes(
    typing_context: Any, column: Any, depth: Any, e: Any, at: Any, below: Any, above: Any, mask: Any, p: Any
) -> Any:
    """Draw solid p into LANES beams of ring e, from column ``at`` on, where it lies ahead and is nearest so far.

    The beams are in it from rows ENTER to LEAVE of ``column``, and from ``below`` to ``above``. Returns the greatest
    word of ``depth`` there. Written out, for loops over so few are not made into vectors reliably.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        columns, words, row, first, least, most, bits, number = arguments
        whole = ir.VectorType(ir.IntType(64), LANES)
        ends = [ir.Constant(ir.IntType(64), name) for name in (ENTER, LEAVE)]
        enter, leave = (
            builder.load(_lanes(context, builder, signature.args[0], columns, end, first), align=8) for end in ends
        )
        least, most = _all_lanes(builder, least), _all_lanes(builder, most)
        enter = builder.select(builder.fcmp_ordered(">", enter, least), enter, least)
        leave = builder.select(builder.fcmp_ordered("<", leave, most), leave, most)
        touch = _all_lanes(builder, ir.Constant(ir.DoubleType(), TOUCH))
        ahead = builder.fcmp_ordered(">", leave, ir.Constant(leave.type, [0.0] * LANES))
        ahead = builder.and_(ahead, builder.fcmp_ordered("<=", enter, leave))
        enter = builder.select(builder.fcmp_ordered(">", enter, touch), enter, touch)
        word = builder.and_(builder.bitcast(enter, whole), _all_lanes(builder, builder.not_(bits)))
        word = builder.or_(word, _all_lanes(builder, number))
        place = _lanes(context, builder, signature.args[1], words, row, first)
        before = builder.load(place, align=8)
        nearer = builder.and_(ahead, builder.icmp_signed("<", word, before))
        word = builder.select(nearer, word, before)
        builder.store(word, place, align=8)
        return _greatest(builder, word)

    whole_numbers = (types.int64, types.int64)
    return types.int64(column, depth, *whole_numbers, types.float64, types.float64, *whole_numbers), generate


draw_lanes: Any = intrinsic(_draw_lanes)


def _greatest(builder: Any, word: Any) -> Any:
    kind = ir.FunctionType(ir.IntType(64), [word.type])
    name = f"llvm.vector.reduce.smax.v{LANES}i64"
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [word])


def _greatest_word(typing_context: Any, depth: Any, e: Any, at: Any) -> Any:
    """Return the greatest of LANES words of ring e from column ``at`` on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _lanes(context, builder, signature.args[0], *arguments)
        return _greatest(builder, builder.load(place, align=8))

    return types.int64(depth, types.int64, types.int64), generate


greatest_word: Any = intrinsic(_greatest_word)


@part
def put(depth: NDArray[np.int64], e: int, c: int, enter: float, leave: float, mask: int, p: int) -> None:
    """Draw solid p into a beam that is in it from ``enter`` to ``leave``, if that is ahead and nearest so far."""
    t = enter if enter > TOUCH else TOUCH
    packed = (bits_of(t) & ~mask) | p
    packed = packed if (enter <= leave) & (leave > 0.0) else bits_of(NOTHING)
    before = depth[e, c]
    depth[e, c] = packed if packed < before else before


@part
def cut_footprint(table: FloatArray, k: int, column: FloatArray, first: np.uint64, count: np.uint64) -> None:
    """Write where the rays of so many columns enter and leave a footprint, over ground [m]: rows ENTER and LEAVE."""
    cx, cy, hx, hy = field(table, k, CX), field(table, k, CY), field(table, k, HX), field(table, k, HY)
    u, v = field(table, k, COS), field(table, k, SIN)
    if field(table, k, RADIUS) > 0.0:
        square = field(table, k, RADIUS) * field(table, k, RADIUS)
        for i in range(count // np.uint64(LANES) * np.uint64(LANES)):
            c = first + i
            px, py = column[OX, c] - cx, column[OY, c] - cy
            b = px * column[UX, c] + py * column[UY, c]
            discriminant = b * b - (px * px + py * py - square)
            root = np.sqrt(discriminant if discriminant > 0.0 else 0.0)
            column[ENTER, c] = -b - root if discriminant >= 0.0 else NOTHING
            column[LEAVE, c] = -b + root
    elif v == 0.0:
        x0, x1, y0, y1 = cx - hx, cx + hx, cy - hy, cy + hy
        for i in range(count // np.uint64(LANES) * np.uint64(LANES)):
            c = first + i
            ax, bx = (x0 - column[OX, c]) * column[IX, c], (x1 - column[OX, c]) * column[IX, c]
            ay, by = (y0 - column[OY, c]) * column[IY, c], (y1 - column[OY, c]) * column[IY, c]
            nx, ny = (ax if ax < bx else bx), (ay if ay < by else by)
            fx, fy = (bx if ax < bx else ax), (by if ay < by else ay)
            column[ENTER, c] = nx if nx > ny else ny
            column[LEAVE, c] = fx if fx < fy else fy
    else:
        for i in range(count // np.uint64(LANES) * np.uint64(LANES)):
            c = first + i
            px, py = column[OX, c] - cx, column[OY, c] - cy
            lx, ly = u * px + v * py, u * py - v * px
            ix = reciprocal(u * column[UX, c] + v * column[UY, c])
            iy = reciprocal(u * column[UY, c] - v * column[UX, c])
            ax, bx = (-hx - lx) * ix, (hx - lx) * ix
            ay, by = (-hy - ly) * iy, (hy - ly) * iy
            nx, ny = (ax if ax < bx else bx), (ay if ay < by else by)
            fx, fy = (bx if ax < bx else ax), (by if ay < by else ay)
            column[ENTER, c] = nx if nx > ny else ny
            column[LEAVE, c] = fx if fx < fy else fy


@part
def draw_row(
    column: FloatArray,
    e: int,
    first: int,
    end: int,
    near: float,
    below: float,
    above: float,
    mask: int,
    p: int,
    cover: FloatArray,
    depth: NDArray[np.int64],
) -> None:
    """Draw solid p into LANES first to end - 1 of ring e, where it is not hidden; see ``draw_lanes``.

    Args:
        near: least distance [m] at which it may be met. cover: (E, columns / LANES), farthest distance [m] that LANES
            columns of a ring show; kept.
    """
    for block in range(first, end):
        if near <= cover[np.uint64(e), np.uint64(block)]:
            word = draw_lanes(column, depth, e, block * LANES, below, above, mask, p)
            cover[np.uint64(e), np.uint64(block)] = float_of(word & ~mask)


@part
def draw_upright(
    table: FloatArray,
    k: int,
    p: int,
    first: int,
    end: int,
    ring0: int,
    ring1: int,
    near: float,
    z: float,
    ring: FloatArray,
    column: FloatArray,
    mask: int,
    cover: FloatArray,
    depth: NDArray[np.int64],
) -> None:
    """Draw an upright solid, which is node k, into LANES first to end - 1 and rings ring0 to ring1 - 1.

    Columns beside its span miss it by the same arithmetic that hits it. z: height of the lidar [m].
    """
    low, high = field(table, k, LOW) - z, field(table, k, HIGH) - z
    cut_footprint(table, k, column, np.uint64(first * LANES), np.uint64((end - first) * LANES))
    for e in range(ring0, ring1):
        cotangent = reciprocal(ring[0, np.uint64(e)])
        a, b = low * cotangent, high * cotangent
        draw_row(column, e, first, end, near, min(a, b), max(a, b), mask, p, cover, depth)


@part
def is_row_hidden(cover: FloatArray, near: float, e: int, first: int, end: int) -> bool:
    """Tell whether all LANES from first to end - 1 of a ring show something nearer than ``near`` [m]."""
    block = np.uint64(first)
    while block < np.uint64(end) and near > cover[np.uint64(e), block]:
        block += np.uint64(1)
    return bool(block >= np.uint64(end))


@part
def seen_rings(cover: FloatArray, near: float, ring0: int, ring1: int, first: int, end: int) -> tuple[int, int]:
    """Return those rings in which a solid in LANES first to end - 1 could show itself, from a distance ``near`` [m] on;
    the first is not below the last if there are none."""
    while ring0 < ring1 and is_row_hidden(cover, near, ring0, first, end):
        ring0 += 1
    while ring0 < ring1 and is_row_hidden(cover, near, ring1 - 1, first, end):
        ring1 -= 1
    return ring0, ring1


@part
def is_part_of(body: IntArray, link: int, moving: int) -> bool:
    """Tell whether a node is a solid of a moving body."""
    return link >= 0 and bool(body[link] == moving)


@part
def draw_solid(
    tables: Tables,
    table: FloatArray,
    k: int,
    p: int,
    first: int,
    end: int,
    ring0: int,
    ring1: int,
    near: float,
    z: float,
    leaning: bool,
    ring: FloatArray,
    column: FloatArray,
    direction: FloatArray,
    mask: int,
    cover: FloatArray,
    depth: NDArray[np.int64],
) -> None:
    """Draw solid p, which is node k, into LANES first to end - 1 and rings ring0 to ring1 - 1.

    Args:
        near, cover: see ``draw_row``. z: height of the lidar [m], if it is level. others: see ``draw_solids``.
    """
    if leaning and tables.kind[p] == BOX:
        draw_leaning_box(tables, table, k, p, first, end, ring0, ring1, near, column, direction, mask, cover, depth)
    elif leaning or tables.shape[p] > UPRIGHT_CYLINDER:
        draw_any(tables, p, first, end, ring0, ring1, near, leaning, ring, column, direction, mask, cover, depth)
    else:
        draw_upright(table, k, p, first, end, ring0, ring1, near, z, ring, column, mask, cover, depth)


@part
def draw_leaning_box(
    tables: Tables,
    table: FloatArray,
    k: int,
    p: int,
    first: int,
    end: int,
    ring0: int,
    ring1: int,
    near: float,
    column: FloatArray,
    direction: FloatArray,
    mask: int,
    cover: FloatArray,
    depth: NDArray[np.int64],
) -> None:
    """Draw a box at any orientation for a lidar that leans: ``slab_interval`` in the box's frame."""
    solid = tables.solid
    cx, cy, cz = solid[p, 0], solid[p, 1], solid[p, 2]
    hx, hy, hz = solid[p, 3], solid[p, 4], solid[p, 5]
    x0, x1, x2 = solid[p, 6], solid[p, 7], solid[p, 8]
    y0, y1, y2 = solid[p, 9], solid[p, 10], solid[p, 11]
    z0, z1, z2 = solid[p, 12], solid[p, 13], solid[p, 14]
    if tables.shape[p] <= YAW_BOX:
        # Its axes stand straight; what is packed may lean by the tolerance.
        hx, hy = field(table, k, HX), field(table, k, HY)
        hz = 0.5 * (field(table, k, HIGH) - field(table, k, LOW))
        x0, x1, x2 = field(table, k, COS), field(table, k, SIN), 0.0
        y0, y1, y2 = -x1, x0, 0.0
        z0, z1, z2 = 0.0, 0.0, 1.0
    start = np.uint64(first * LANES)
    for i in range(np.uint64((end - first) * LANES)):
        c = start + i
        px, py, pz = column[OX, c] - cx, column[OY, c] - cy, column[OZ, c] - cz
        column[LX, c] = x0 * px + x1 * py + x2 * pz
        column[LY, c] = y0 * px + y1 * py + y2 * pz
        column[LZ, c] = z0 * px + z1 * py + z2 * pz
    for e in range(ring0, ring1):
        low, high = first, end
        while low < high and near > cover[np.uint64(e), np.uint64(low)]:
            low += 1
        while low < high and near > cover[np.uint64(e), np.uint64(high - 1)]:
            high -= 1
        start = np.uint64(low * LANES)
        for i in range(np.uint64((high - low) * LANES)):
            c = start + i
            dx, dy, dz = direction[0, e, c], direction[1, e, c], direction[2, e, c]
            ix = reciprocal(x0 * dx + x1 * dy + x2 * dz)
            iy = reciprocal(y0 * dx + y1 * dy + y2 * dz)
            iz = reciprocal(z0 * dx + z1 * dy + z2 * dz)
            lx, ly, lz = column[LX, c], column[LY, c], column[LZ, c]
            ax, bx = (-hx - lx) * ix, (hx - lx) * ix
            ay, by = (-hy - ly) * iy, (hy - ly) * iy
            az, bz = (-hz - lz) * iz, (hz - lz) * iz
            nx, ny, nz = (ax if ax < bx else bx), (ay if ay < by else by), (az if az < bz else bz)
            fx, fy, fz = (bx if ax < bx else ax), (by if ay < by else ay), (bz if az < bz else az)
            enter, leave = (nx if nx > ny else ny), (fx if fx < fy else fy)
            column[ENTER, c] = enter if enter > nz else nz
            column[LEAVE, c] = leave if leave < fz else fz
        draw_row(column, e, low, high, near, -NOTHING, NOTHING, mask, p, cover, depth)


@part
def draw_any(
    tables: Tables,
    p: int,
    first: int,
    end: int,
    ring0: int,
    ring1: int,
    near: float,
    leaning: bool,
    ring: FloatArray,
    column: FloatArray,
    direction: FloatArray,
    mask: int,
    cover: FloatArray,
    depth: NDArray[np.int64],
) -> None:
    """Draw solid p beam by beam."""
    shape = tables.shape[p]
    for e in range(np.uint64(ring0), np.uint64(ring1)):
        for c in range(np.uint64(first * LANES), np.uint64(end * LANES)):
            dx, dy, dz = column[UX, c], column[UY, c], ring[0, e]
            if leaning:
                dx, dy, dz = direction[0, e, c], direction[1, e, c], direction[2, e, c]
            column[ENTER, c], column[LEAVE, c] = interval(
                shape,
                tables.hot,
                tables.solid,
                p,
                column[OX, c],
                column[OY, c],
                column[OZ, c],
                dx,
                dy,
                dz,
                reciprocal(dx),
                reciprocal(dy),
                reciprocal(dz),
            )
        draw_row(column, e, first, end, near, -NOTHING, NOTHING, mask, p, cover, depth)


@inner
def draw_plane(
    hot: FloatArray,
    p: int,
    leaning: bool,
    ring: FloatArray,
    column: FloatArray,
    direction: FloatArray,
    mask: int,
    cover: FloatArray,
    depth: NDArray[np.int64],
) -> None:
    """Draw plane p into all beams: ``intersect.half_space_interval``, in closed form."""
    a, b, c, h = hot[p, 0], hot[p, 1], hot[p, 2], hot[p, 3]
    level = not leaning and a == 0.0 and b == 0.0
    for e in range(np.uint64(ring.shape[1])):
        if level and c * column[OZ, 0] - h > 0.0 and c * ring[0, e] >= 0.0:
            continue
        for k in range(np.uint64(depth.shape[1])):
            dx, dy, dz = column[UX, k], column[UY, k], ring[0, e]
            if leaning:
                dx, dy, dz = direction[0, e, k], direction[1, e, k], direction[2, e, k]
            height = a * column[OX, k] + b * column[OY, k] + c * column[OZ, k] - h
            slope = a * dx + b * dy + c * dz
            inside = (height < 0.0) | ((height == 0.0) & (slope <= 0.0))
            t = -height / (slope if slope < 0.0 else -1.0)
            t = 0.0 if inside else t
            put(depth, e, k, t, NOTHING if inside | (slope < 0.0) else -1.0, mask, p)
        for block in range(np.uint64(cover.shape[1])):
            cover[e, block] = float_of(greatest_word(depth, e, block * np.uint64(LANES)) & ~mask)


@inner
def turn_by(x: float, y: float, z: float, out: FloatArray) -> None:
    """Write the matrix (3, 3) that turns by the rotation vector x, y, z [rad] (Rodrigues' formula)."""
    angle = np.sqrt(x * x + y * y + z * z)
    sine = 1.0 if angle < 1e-9 else np.sin(angle) / angle
    versine = 0.5 if angle < 1e-6 else (1.0 - np.cos(angle)) / (angle * angle)
    cosine = np.cos(angle)
    out[0, 0], out[0, 1], out[0, 2] = cosine + versine * x * x, versine * x * y - sine * z, versine * x * z + sine * y
    out[1, 0], out[1, 1], out[1, 2] = versine * x * y + sine * z, cosine + versine * y * y, versine * y * z - sine * x
    out[2, 0], out[2, 1], out[2, 2] = versine * x * z - sine * y, versine * y * z + sine * x, cosine + versine * z * z
