"""What lidars see, by drawing the solids into an image of azimuth x ring: range and solid of every beam.

A ray of a level lidar goes ``rho`` metres over ground along a unit direction that all rings of a column share, and
rises ``rho * tan(elevation)``. An upright box or cylinder is a footprint times a height interval: the footprint is cut
once for a column, and a ring needs only the maximum and minimum with ``(z - z0) * cot(elevation)``. Each solid is drawn
into the columns that its footprint spans, seen from the lidar, and into the rings that its height reaches. Spans are
rounded outwards; whether a beam hits is decided by the exact interval, in the arithmetic of ``intersect``.

Everything else (lidars and solids that lean, capsules, spheres, triangles) takes the beams around its bounding sphere,
and ``intersect.interval`` for each. Planes meet all beams.

The depth of a beam and the solid's row share one word: the row stands in the low bits of the range (float64), where it
changes less than a part in 10^7 of a micrometre, so that one minimum of integers is the depth test. Of two solids that
are equally near, up to that, the lower row is seen.

Lidars that move during the sweep have an origin and a direction for each column: the velocity is constant over a sweep.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import carray, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from ..common.geometry import FloatArray
from ..common.primitives import BOX, CAPSULE, CYLINDER, TRIANGLE
from .compiled import compiled, inner, part
from .grid import IntArray
from .handles import make_handle, pointer
from .intersect import AXIS_BOX, HALF_SPACE, UPRIGHT_CYLINDER, YAW_BOX, interval, reciprocal
from .raycast import Tables, as_index

CX, CY, HX, HY, COS, SIN, LOW, HIGH, YAW, RADIUS = range(10)
"""Columns of a footprint: centre [m], half extents [m], cosine and sine of yaw, lower and upper end [m], yaw [rad],
radius [m] of a cylinder (0 for a box). A cylinder's half extents are those of the square around it."""
FOOTPRINT_COLUMNS = 10
BLOCK = 64
"""Footprints stand in blocks of this many, field by field, so that vector registers load them whole. Blocks of less are
unrolled before they are vectorised, and then are not."""
SPAN_FIELDS = 4

UX, UY, IX, IY, OX, OY, OZ, ENTER, LEAVE = range(9)
"""Rows of the table of columns: direction over ground x, y and its reciprocals, origin [m] (all in ``map``), and
scratch: where the ray enters and leaves a footprint [m]."""
COLUMN_ROWS = 9
LANES = 8
"""Columns that are drawn at once; the tables of columns and depths are filled up to a multiple."""

LEVEL_TOLERANCE = 1e-9
"""A lidar is level if its axis leans by no more than this [rad]: a nanometre on a metre."""
NEAR_FIRST = 6.0
"""Solids nearer than this [m] are drawn first; what these hide is left out."""
HIDDEN_MARGIN = 1e-6
"""[m]"""
SPAN_MARGIN = 5e-5
"""Spans of azimuth are wider by this [rad] on both sides: more than the error of ``quick_atan``."""
TOUCH = 1e-9
"""Ranges below this [m] are 0: the lidar stands in the solid."""
NOTHING = 1e300
LARGEST_TAN = 1e9
TURN = 2.0 * np.pi
MAX_SLICES = 16
"""Slices at different heights that are kept for a scene."""


class Footprints(NamedTuple):
    """Static solids as a lidar wants them.

    Attributes:
        upright: float64 footprints of upright boxes and cylinders, blocks of (FOOTPRINT_COLUMNS, BLOCK) in one row.
        row: (N,) int32 their rows in the world table. other: (M,) int32 rows of the other solids, without planes.
        planes: (K,) int32 rows of planes.
        used: (3,) int64 how many entries of upright and row, of other, and of planes are in use.
    """

    upright: FloatArray
    row: IntArray
    other: IntArray
    planes: IntArray
    used: NDArray[np.int64]


class Beams(NamedTuple):
    """The beams of a lidar; B azimuths, E elevations from low to high.

    Attributes:
        azimuth: (2, B) float64 cosine and sine of each azimuth. time: (B,) float64 when it is shot, from the start of
            the sweep on [s].
        ring: (3, E) float64 tangent, cosine and sine of each elevation, in rising order; order: (E,) int32 rings of the
            lidar in that order.
        first, step: first azimuth and distance of azimuths [rad].
    """

    azimuth: FloatArray
    time: FloatArray
    ring: FloatArray
    order: IntArray
    first: float
    step: float


@intrinsic
def _bits_of(typing_context: Any, value: Any) -> Any:
    """Return the bits of a float64 as int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.int64))

    return types.int64(types.float64), generate


bits_of: Any = _bits_of


@intrinsic
def _float_of(typing_context: Any, bits: Any) -> Any:
    """Return the float64 that has the given bits (int64)."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.float64))

    return types.float64(types.int64), generate


float_of: Any = _float_of


def lidar_beams(angles: FloatArray, step: float, elevations: FloatArray, time: FloatArray) -> Beams:
    """Return the beams of a lidar.

    Args:
        angles: (B,) azimuths [rad], ``step`` [rad] apart. elevations: (E,) [rad]. time: (B,) [s].
    """
    order = np.argsort(elevations, kind="stable").astype(np.int32)
    rising = np.ascontiguousarray(elevations, dtype=np.float64)[order]
    return Beams(
        azimuth=np.stack([np.cos(angles), np.sin(angles)]),
        time=np.ascontiguousarray(time, dtype=np.float64),
        ring=np.stack([np.tan(rising), np.cos(rising), np.sin(rising)]),
        order=order,
        first=float(angles[0]),
        step=float(step),
    )


def footprint_lists(count: int) -> Footprints:
    """Return lists with room for so many solids."""
    return Footprints(
        np.zeros(-(-count // BLOCK) * BLOCK * FOOTPRINT_COLUMNS),
        np.zeros(count, np.int32),
        np.zeros(count, np.int32),
        np.zeros(count, np.int32),
        np.zeros(3, np.int64),
    )


def footprints_handle(lists: Footprints) -> NDArray[np.int64]:
    """Return the handle of lists of solids."""
    return make_handle(lists.upright, lists.row, lists.other, lists.planes, lists.used)


@part
def open_footprints(h: NDArray[np.int64]) -> Footprints:
    """Return the lists that a handle stands for."""
    return Footprints(
        carray(pointer(h[0]), (h[1],), np.float64),
        carray(pointer(h[2]), (h[3],), np.int32),
        carray(pointer(h[4]), (h[5],), np.int32),
        carray(pointer(h[6]), (h[7],), np.int32),
        carray(pointer(h[8]), (h[9],), np.int64),
    )


def beams_handle(beams: Beams) -> NDArray[np.int64]:
    """Return the handle of a lidar's beams; first and step are the bits of its last entries."""
    bits = np.array([beams.first, beams.step]).view(np.int64)
    return np.concatenate([make_handle(*(beams.azimuth, beams.time, beams.ring, beams.order)), bits])


@part
def open_beams(h: NDArray[np.int64]) -> Beams:
    """Return the beams that a handle stands for."""
    return Beams(
        carray(pointer(h[0]), (h[1], h[3]), np.float64),
        carray(pointer(h[2]), (h[3],), np.float64),
        carray(pointer(h[4]), (h[5], h[7]), np.float64),
        carray(pointer(h[6]), (h[7],), np.int32),
        float_of(h[8]),
        float_of(h[9]),
    )


def footprints(tables: Tables, bounds: FloatArray, static_count: int) -> Footprints:
    """Return the first ``static_count`` solids of a scene as lidars want them.

    Args:
        tables: the scene. bounds: (P, 6) centre and half extents [m] of all solids.
    """
    lists = footprint_lists(static_count)
    list_solids(tables, bounds, static_count, -np.inf, np.inf, lists)
    return lists


def slice_footprints(tables: Tables, bounds: FloatArray, static_count: int, height: float) -> Footprints:
    """Return those of the static solids that a horizontal beam at a height [m] may meet."""
    lists = footprint_lists(static_count)
    list_solids(tables, bounds, static_count, height - 1e-6, height + 1e-6, lists)
    return lists


@compiled
def list_solids(tables: Tables, bounds: FloatArray, count: int, low: float, high: float, out: Footprints) -> None:
    """List those of the first ``count`` solids that reach into heights from low to high [m]."""
    for p in range(count):
        if bounds[p, 2] - bounds[p, 5] <= high and bounds[p, 2] + bounds[p, 5] >= low:
            list_solid(tables, bounds, p, out)


@part
def list_solid(tables: Tables, bounds: FloatArray, p: int, out: Footprints) -> None:
    """Add solid p to the lists."""
    shape, count = tables.shape[p], out.used
    if shape <= UPRIGHT_CYLINDER:
        put_footprint(tables, bounds, p, out.upright, count[0])
        out.row[count[0]] = p
        count[0] += 1
    elif shape == HALF_SPACE:
        out.planes[count[2]] = p
        count[2] += 1
    else:
        out.other[count[1]] = p
        count[1] += 1


@part
def place_of(k: int, name: int) -> int:
    """Return where a field of footprint k stands."""
    return k // BLOCK * (FOOTPRINT_COLUMNS * BLOCK) + name * BLOCK + k % BLOCK


@part
def field(table: FloatArray, k: int, name: int) -> float:
    """Return a field of footprint k."""
    return table[np.uint64(place_of(k, name))]


@part
def put_footprint(tables: Tables, bounds: FloatArray, p: int, out: FloatArray, k: int) -> None:
    """Write the footprint of solid p, which is an upright box or cylinder, as number k."""
    hot, shape = tables.hot, tables.shape[p]
    hx, hy, hz, c, s, yaw, radius = bounds[p, 3], bounds[p, 4], bounds[p, 5], 1.0, 0.0, 0.0, 0.0
    if shape == YAW_BOX:
        hx, hy, hz, c, s = hot[p, 3], hot[p, 4], hot[p, 5], hot[p, 6], hot[p, 7]
        yaw = np.arctan2(s, c)
    elif shape == UPRIGHT_CYLINDER:
        hx, hy, hz, radius = hot[p, 3], hot[p, 3], hot[p, 4], hot[p, 3]
    out[place_of(k, CX)], out[place_of(k, CY)] = bounds[p, 0], bounds[p, 1]
    out[place_of(k, HX)], out[place_of(k, HY)] = hx, hy
    out[place_of(k, COS)], out[place_of(k, SIN)], out[place_of(k, YAW)] = c, s, yaw
    out[place_of(k, LOW)], out[place_of(k, HIGH)] = bounds[p, 2] - hz, bounds[p, 2] + hz
    out[place_of(k, RADIUS)] = radius


@part
def quick_atan(y: float, x: float) -> float:
    """Return atan2(y, x) for x > 0 or y > 0, within 2e-6 rad, without branches.

    A polynomial of degree 11 (after Hastings, *Approximations for Digital Computers*, 1955).
    """
    ax, ay = abs(x), abs(y)
    steep = ay > ax
    low, high = (ax if steep else ay), (ay if steep else ax)
    r = low / (high if high > 1e-300 else 1e-300)
    q = r * r
    angle = r * (
        0.99997726 + q * (-0.33262347 + q * (0.19354346 + q * (-0.11643287 + q * (0.05265332 + q * -0.01172120))))
    )
    angle = 0.5 * np.pi - angle if steep else angle
    angle = np.pi - angle if x < 0.0 else angle
    return -angle if y < 0.0 else angle


@inner
def find_spans(
    table: FloatArray,
    count: int,
    mx: float,
    my: float,
    grow: float,
    first: float,
    step: float,
    columns: int,
    span: FloatArray,
) -> None:
    """Find where footprints stand, seen from (mx, my) [m], all of them ``grow`` [m] larger all round.

    Args:
        table: blocks of footprints, see ``Footprints``, of which ``count`` are in use.
        first, step: azimuth of the first column and distance of columns [rad]. columns: how many.
        span: blocks of (SPAN_FIELDS, BLOCK), written: first and last column as real numbers, of the copy (a turn apart)
            that ends at column 0 or later, and the squares [m2] of nearest and farthest distance.
    """
    turn = TURN / step
    per_radian, per_turn = 1.0 / step, 1.0 / turn
    for block in range(np.uint64((count + BLOCK - 1) // BLOCK)):
        i, o = block * np.uint64(FOOTPRINT_COLUMNS * BLOCK), block * np.uint64(SPAN_FIELDS * BLOCK)
        for lane in range(np.uint64(BLOCK)):
            x = table[i + np.uint64(CX * BLOCK) + lane] - mx
            y = table[i + np.uint64(CY * BLOCK) + lane] - my
            c, s = table[i + np.uint64(COS * BLOCK) + lane], table[i + np.uint64(SIN * BLOCK) + lane]
            px, py = c * x + s * y, c * y - s * x
            hx = table[i + np.uint64(HX * BLOCK) + lane] + grow
            hy = table[i + np.uint64(HY * BLOCK) + lane] + grow
            ax, ay = abs(px), abs(py)
            x0, y0, x1, y1 = ax - hx, ay - hy, ax + hx, ay + hy
            gx, gy = (x0 if x0 > 0.0 else 0.0), (y0 if y0 > 0.0 else 0.0)
            near = gx * gx + gy * gy
            # Mirrored into the first quadrant, the outermost corners are known.
            most = quick_atan(y1 if x0 > 0.0 else y0, x0)
            least = quick_atan(y0, x1 if y0 > 0.0 else x0)
            start = least if (px < 0.0) == (py < 0.0) else -most
            start = start + np.pi if px < 0.0 else start
            a = (start + table[i + np.uint64(YAW * BLOCK) + lane] - SPAN_MARGIN - first) * per_radian
            b = a + (most - least + 2.0 * SPAN_MARGIN) * per_radian
            back = np.floor(b * per_turn) * turn
            span[o + lane] = a - back if near > 0.0 else 0.0
            span[o + np.uint64(BLOCK) + lane] = b - back if near > 0.0 else columns
            span[o + np.uint64(2 * BLOCK) + lane] = near
            span[o + np.uint64(3 * BLOCK) + lane] = x1 * x1 + y1 * y1


@part
def ring_span(ring: FloatArray, least: float, most: float) -> tuple[int, int]:
    """Return the first and one past the last ring whose tangent lies in [least, most], a little outwards."""
    least -= 1e-9 * (1.0 + abs(least))
    most += 1e-9 * (1.0 + abs(most))
    first, last = as_index(0), as_index(0)
    for e in range(ring.shape[1]):
        first += 1 if ring[0, e] < least else 0
        last += 1 if ring[0, e] <= most else 0
    return first, last


@part
def height_tangents(low: float, high: float, near: float, far: float) -> tuple[float, float]:
    """Return the least and greatest tangent of elevation of what lies between two heights [m] over the lidar and two
    distances [m] over ground."""
    near = max(near, 1e-9)
    return low / (near if low < 0.0 else far), high / (near if high > 0.0 else far)


@part
def span_columns(start: float, width: float, first: float, step: float, columns: int) -> tuple[float, float, float]:
    """Return a span of azimuth as columns: its first copy that ends at column 0 or later, its end, and the distance of
    copies, all as real numbers. Copies that begin beyond the last column are not seen."""
    turn = TURN / step
    if width >= TURN:
        return 0.0, float(columns), 4.0 * (turn + columns)
    a = (start - first) / step
    b = a + width / step
    back = np.floor(b / turn) * turn
    return a - back, b - back, turn


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
def draw_upright(
    table: FloatArray,
    k: int,
    p: int,
    first: np.uint64,
    end: np.uint64,
    ring0: int,
    ring1: int,
    z: float,
    ring: FloatArray,
    column: FloatArray,
    mask: int,
    depth: NDArray[np.int64],
) -> None:
    """Draw an upright solid into columns first to end and rings ring0 to ring1; z: height of the lidar [m].

    Columns are taken LANES at a time: those beside the span miss the solid by the same arithmetic that hits it.
    """
    low, high = field(table, k, LOW) - z, field(table, k, HIGH) - z
    at = first // np.uint64(LANES) * np.uint64(LANES)
    count = (end - at + np.uint64(LANES - 1)) // np.uint64(LANES) * np.uint64(LANES)
    cut_footprint(table, k, column, at, count)
    for e in range(np.uint64(ring0), np.uint64(ring1)):
        cotangent = reciprocal(ring[0, e])
        a, b = low * cotangent, high * cotangent
        below, above = min(a, b), max(a, b)
        for i in range(count // np.uint64(LANES) * np.uint64(LANES)):
            c = at + i
            enter, leave = column[ENTER, c], column[LEAVE, c]
            put(
                depth,
                e,
                c,
                enter if enter > below else below,
                leave if leave < above else above,
                mask,
                p,
            )


@inner
def fill_cover(depth: NDArray[np.int64], mask: int, cover: FloatArray) -> None:
    """Write the farthest distance [m] drawn so far in each ring and LANES columns, (E, columns / LANES)."""
    for e in range(np.uint64(depth.shape[0])):
        for block in range(np.uint64(cover.shape[1])):
            farthest = 0.0
            for lane in range(np.uint64(LANES)):
                farthest = max(farthest, float_of(depth[e, block * np.uint64(LANES) + lane] & ~mask))
            cover[e, block] = farthest


@part
def is_hidden(cover: FloatArray, near: float, ring0: int, ring1: int, first: int, end: int) -> bool:
    """Tell whether all that a solid could show, from a distance ``near`` [m] on, lies behind what is drawn."""
    first_block, end_block = first // LANES, (end + LANES - 1) // LANES
    for e in range(np.uint64(ring0), np.uint64(ring1)):
        for block in range(np.uint64(first_block), np.uint64(end_block)):
            if near - HIDDEN_MARGIN <= cover[e, block]:
                return False
    return True


@inner
def draw_uprights(
    table: FloatArray,
    rows: IntArray,
    count: int,
    z: float,
    turn: float,
    columns: int,
    least: float,
    most: float,
    body: IntArray,
    exclude: int,
    ring: FloatArray,
    column: FloatArray,
    span: FloatArray,
    cover: FloatArray,
    mask: int,
    depth: NDArray[np.int64],
) -> None:
    """Draw upright boxes and cylinders as a level lidar sees them.

    Args:
        table, rows: see ``Footprints``; the first ``count`` are drawn. span: of them, by ``find_spans``.
        z: height of the lidar [m]. turn: columns in a full turn. columns: how many there are.
        least, most: squares [m2] of nearest distances: only solids from ``least`` up to below ``most`` are drawn.
        body: of all solids. exclude: moving body that is not seen, or -1.
        ring: see ``Beams``. column: (COLUMN_ROWS, whole LANES), see ``UX``.
        cover: see ``fill_cover``; what it hides is left out.
        mask: bits of ``depth`` that hold a row. depth: (E, whole LANES), written.
    """
    horizontal = ring.shape[1] == 1 and ring[0, 0] == 0.0
    for k in range(count):
        at = k // BLOCK * (SPAN_FIELDS * BLOCK) + k % BLOCK
        near = span[at + 2 * BLOCK]
        if near < least or near >= most or (exclude >= 0 and body[as_index(rows[k])] == exclude):
            continue
        low, high = field(table, k, LOW) - z, field(table, k, HIGH) - z
        distance = np.sqrt(near)
        if horizontal:
            ring0, ring1 = as_index(0), as_index(1 if low <= 0.0 <= high else 0)
        else:
            flattest, steepest = height_tangents(low, high, distance, np.sqrt(span[at + 3 * BLOCK]))
            ring0, ring1 = ring_span(ring, flattest, steepest)
        if ring0 >= ring1:
            continue
        a, b = span[at], span[at + BLOCK]
        away = turn if near > 0.0 else 2.0 * columns
        while a < columns:
            c0 = as_index(np.ceil(a if a > 0.0 else 0.0))
            c1 = min(as_index(np.floor(b)) + 1, columns)
            if c0 < c1 and not is_hidden(cover, distance, ring0, ring1, c0, c1):
                draw_upright(
                    table,
                    k,
                    as_index(rows[k]),
                    np.uint64(c0),
                    np.uint64(c1),
                    ring0,
                    ring1,
                    z,
                    ring,
                    column,
                    mask,
                    depth,
                )
            a += away
            b += away


@part
def bounding_radius(kind: int, solid: FloatArray, p: int) -> float:
    """Return the radius [m] of a sphere about the centre of solid p that holds it."""
    a, b, c = solid[p, 3], solid[p, 4], solid[p, 5]
    if kind == BOX:
        return np.sqrt(a * a + b * b + c * c)
    if kind == CYLINDER:
        return np.sqrt(a * a + b * b)
    if kind == TRIANGLE:
        return np.sqrt(a * a + c * c)
    return a + b if kind == CAPSULE else a


@part
def sphere_span(x: float, y: float, z: float, radius: float, widen: float) -> tuple[float, float, float, float]:
    """Return the azimuth [rad] at which a sphere begins, its width [rad], and its least and greatest tangent of
    elevation.

    Args:
        x, y, z: its centre, seen from the lidar [m]. radius: [m]. widen: angle [rad] to add all round.
    """
    square = x * x + y * y + z * z
    if square <= radius * radius * (1.0 + 1e-9):
        return 0.0, 2.0 * TURN, -LARGEST_TAN, LARGEST_TAN
    distance = np.sqrt(square)
    angle = np.arcsin(min(radius / distance, 1.0)) + widen + SPAN_MARGIN
    elevation = np.arcsin(min(max(z / distance, -1.0), 1.0))
    low, high, limit = elevation - angle, elevation + angle, 0.5 * np.pi - 1e-6
    least = np.tan(low) if low > -limit else -LARGEST_TAN
    most = np.tan(high) if high < limit else LARGEST_TAN
    if low <= -limit or high >= limit:
        return 0.0, 2.0 * TURN, least, most
    # The cone stays below the pole: its sides touch the meridians at sin(half) = sin(angle) / cos(elevation).
    half = np.arcsin(min(np.sin(angle) / np.cos(elevation), 1.0)) + SPAN_MARGIN
    return np.arctan2(y, x) - half, 2.0 * half, least, most


@part
def draw_leaning_box(
    tables: Tables,
    p: int,
    first: np.uint64,
    end: np.uint64,
    ring0: int,
    ring1: int,
    column: FloatArray,
    direction: FloatArray,
    mask: int,
    depth: NDArray[np.int64],
) -> None:
    """Draw a box at any orientation for a lidar that leans: ``slab_interval`` in the box's frame."""
    solid, hot, shape = tables.solid, tables.hot, tables.shape[p]
    cx, cy, cz = solid[p, 0], solid[p, 1], solid[p, 2]
    hx, hy, hz = solid[p, 3], solid[p, 4], solid[p, 5]
    x0, x1, x2 = solid[p, 6], solid[p, 7], solid[p, 8]
    y0, y1, y2 = solid[p, 9], solid[p, 10], solid[p, 11]
    z0, z1, z2 = solid[p, 12], solid[p, 13], solid[p, 14]
    if shape <= YAW_BOX:
        # Their axes stand straight; what is packed may lean by the tolerance.
        z0, z1, z2, x2, y2 = 0.0, 0.0, 1.0, 0.0, 0.0
        x0, x1 = (hot[p, 6], hot[p, 7]) if shape == YAW_BOX else (1.0, 0.0)
        y0, y1 = -x1, x0
        if shape == AXIS_BOX:
            hx, hy, hz = 0.5 * (hot[p, 3] - hot[p, 0]), 0.5 * (hot[p, 4] - hot[p, 1]), 0.5 * (hot[p, 5] - hot[p, 2])
    for e in range(np.uint64(ring0), np.uint64(ring1)):
        for c in range(first, end):
            px, py, pz = column[OX, c] - cx, column[OY, c] - cy, column[OZ, c] - cz
            dx, dy, dz = direction[0, e, c], direction[1, e, c], direction[2, e, c]
            lx, ly, lz = x0 * px + x1 * py + x2 * pz, y0 * px + y1 * py + y2 * pz, z0 * px + z1 * py + z2 * pz
            ix = reciprocal(x0 * dx + x1 * dy + x2 * dz)
            iy = reciprocal(y0 * dx + y1 * dy + y2 * dz)
            iz = reciprocal(z0 * dx + z1 * dy + z2 * dz)
            ax, bx = (-hx - lx) * ix, (hx - lx) * ix
            ay, by = (-hy - ly) * iy, (hy - ly) * iy
            az, bz = (-hz - lz) * iz, (hz - lz) * iz
            nx, ny, nz = (ax if ax < bx else bx), (ay if ay < by else by), (az if az < bz else bz)
            fx, fy, fz = (bx if ax < bx else ax), (by if ay < by else ay), (bz if az < bz else az)
            enter, leave = (nx if nx > ny else ny), (fx if fx < fy else fy)
            put(depth, e, c, enter if enter > nz else nz, leave if leave < fz else fz, mask, p)


@part
def draw_any(
    tables: Tables,
    p: int,
    first: np.uint64,
    end: np.uint64,
    ring0: int,
    ring1: int,
    leaning: bool,
    ring: FloatArray,
    column: FloatArray,
    direction: FloatArray,
    mask: int,
    depth: NDArray[np.int64],
) -> None:
    """Draw solid p beam by beam."""
    shape = tables.shape[p]
    for e in range(np.uint64(ring0), np.uint64(ring1)):
        for c in range(first, end):
            dx, dy, dz = column[UX, c], column[UY, c], ring[0, e]
            if leaning:
                dx, dy, dz = direction[0, e, c], direction[1, e, c], direction[2, e, c]
            enter, leave = interval(
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
            put(depth, e, c, enter, leave, mask, p)


@inner
def draw_others(
    tables: Tables,
    rows: IntArray,
    count: int,
    middle: FloatArray,
    frame: FloatArray,
    grow: float,
    widen: float,
    first: float,
    step: float,
    columns: int,
    reach: float,
    exclude: int,
    leaning: bool,
    ring: FloatArray,
    column: FloatArray,
    direction: FloatArray,
    mask: int,
    depth: NDArray[np.int64],
) -> None:
    """Draw solids of any kind but planes, by way of the spheres around them.

    Args:
        tables: the scene. rows: (N,) solids, of which the first ``count`` are drawn.
        frame: (3, 3), rows are the axes in which azimuth and elevation are meant, in ``map``.
        widen: how far the lidar turns from its pose in the middle of the sweep [rad].
        leaning: whether the rays' directions stand in ``direction`` (3, E, B), unit; if not, in ``column``.
        others: as in ``draw_uprights``.
    """
    horizontal = not leaning and ring.shape[1] == 1 and ring[0, 0] == 0.0
    for k in range(count):
        p = as_index(rows[k])
        radius = bounding_radius(tables.kind[p], tables.solid, p) + grow
        x, y, z = tables.solid[p, 0] - middle[0], tables.solid[p, 1] - middle[1], tables.solid[p, 2] - middle[2]
        away = radius + reach
        if x * x + y * y + z * z > away * away or (exclude >= 0 and tables.body[p] == exclude):
            continue
        if horizontal and abs(z) > radius:
            continue
        start, width, least, most = sphere_span(
            frame[0, 0] * x + frame[0, 1] * y + frame[0, 2] * z,
            frame[1, 0] * x + frame[1, 1] * y + frame[1, 2] * z,
            frame[2, 0] * x + frame[2, 1] * y + frame[2, 2] * z,
            radius,
            widen,
        )
        ring0, ring1 = ring_span(ring, least, most)
        if ring0 >= ring1:
            continue
        a, b, turn = span_columns(start, width, first, step, columns)
        while a < columns:
            c0 = as_index(max(np.ceil(a), 0.0))
            c1 = as_index(min(np.floor(b) + 1.0, float(columns)))
            if c0 < c1 and leaning and tables.kind[p] == BOX:
                draw_leaning_box(tables, p, np.uint64(c0), np.uint64(c1), ring0, ring1, column, direction, mask, depth)
            elif c0 < c1:
                draw_any(
                    tables,
                    p,
                    np.uint64(c0),
                    np.uint64(c1),
                    ring0,
                    ring1,
                    leaning,
                    ring,
                    column,
                    direction,
                    mask,
                    depth,
                )
            a += turn
            b += turn


@inner
def draw_plane(
    hot: FloatArray,
    p: int,
    leaning: bool,
    ring: FloatArray,
    column: FloatArray,
    direction: FloatArray,
    mask: int,
    depth: NDArray[np.int64],
) -> None:
    """Draw plane p into all beams: ``intersect.half_space_interval``, in closed form."""
    a, b, c, h = hot[p, 0], hot[p, 1], hot[p, 2], hot[p, 3]
    columns = np.uint64(direction.shape[2])
    for e in range(np.uint64(ring.shape[1])):
        for k in range(columns):
            dx, dy, dz = column[UX, k], column[UY, k], ring[0, e]
            if leaning:
                dx, dy, dz = direction[0, e, k], direction[1, e, k], direction[2, e, k]
            height = a * column[OX, k] + b * column[OY, k] + c * column[OZ, k] - h
            slope = a * dx + b * dy + c * dz
            inside = (height < 0.0) | ((height == 0.0) & (slope <= 0.0))
            t = -height / (slope if slope < 0.0 else -1.0)
            t = 0.0 if inside else t
            put(depth, e, k, t, NOTHING if inside | (slope < 0.0) else -1.0, mask, p)


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


@part
def middle_frame(turns: FloatArray, velocity: FloatArray, t: float, out: FloatArray) -> None:
    """Write the axes in ``map`` of a lidar that moves, t [s] after the first of ``turns``, as rows (3, 3)."""
    turn = np.empty((3, 3))
    turn_by(t * velocity[3], t * velocity[4], t * velocity[5], turn)
    # Not as a product of matrices: numba would load scipy for it.
    for i in range(3):
        for j in range(3):
            out[j, i] = turn[i, 0] * turns[0, 0, j] + turn[i, 1] * turns[0, 1, j] + turn[i, 2] * turns[0, 2, j]


@inner
def sweep_poses(
    position: FloatArray,
    rotation: FloatArray,
    velocity: FloatArray,
    time: FloatArray,
    origins: FloatArray,
    turns: FloatArray,
) -> None:
    """Write where a moving lidar is at each of B times: origins (B, 3) [m] and rotations (B, 3, 3).

    Args:
        position: (3,) [m] and rotation: (3, 3) at time 0, columns are the axes of ``laser`` in ``map``.
        velocity: (6,) linear [m/s] and angular [rad/s] velocity in ``map``, constant. time: (B,) [s].
    """
    step = np.empty((3, 3))
    for c in range(len(time)):
        t = time[c]
        turn_by(t * velocity[3], t * velocity[4], t * velocity[5], step)
        for i in range(3):
            origins[c, i] = position[i] + t * velocity[i]
            for j in range(3):
                turns[c, i, j] = step[i, 0] * rotation[0, j] + step[i, 1] * rotation[1, j] + step[i, 2] * rotation[2, j]


@part
def is_level(rotation: FloatArray, velocity: FloatArray) -> bool:
    """Tell whether a lidar stands upright and stays so, at its height, while it moves."""
    square = rotation[0, 0] * rotation[0, 0] + rotation[1, 0] * rotation[1, 0]
    return (
        abs(rotation[2, 0]) < LEVEL_TOLERANCE
        and abs(rotation[2, 1]) < LEVEL_TOLERANCE
        and rotation[2, 2] > 0.0
        and abs(square - 1.0) < LEVEL_TOLERANCE
        and velocity[2] == 0.0
        and velocity[3] == 0.0
        and velocity[4] == 0.0
    )


@inner
def fill_columns(beams: Beams, origins: FloatArray, turns: FloatArray, column: FloatArray) -> None:
    """Fill the table of columns of a level lidar from its poses (K, 3) and (K, 3, 3), K = 1 or B."""
    moves = np.uint64(1 if origins.shape[0] > 1 else 0)
    last = np.uint64(beams.azimuth.shape[1] - 1)
    for c in range(np.uint64(column.shape[1])):
        b = c if c < last else last  # Beyond the last: filled, so that whole LANES can be drawn, and never read.
        k = b * moves
        x, y = beams.azimuth[0, b], beams.azimuth[1, b]
        ux, uy = turns[k, 0, 0] * x + turns[k, 0, 1] * y, turns[k, 1, 0] * x + turns[k, 1, 1] * y
        column[UX, c], column[UY, c], column[IX, c], column[IY, c] = ux, uy, reciprocal(ux), reciprocal(uy)
        column[OX, c], column[OY, c], column[OZ, c] = origins[k, 0], origins[k, 1], origins[k, 2]


@inner
def fill_directions(
    beams: Beams, origins: FloatArray, turns: FloatArray, column: FloatArray, direction: FloatArray
) -> None:
    """Fill origins (in ``column``) and directions (3, E, B) of a leaning lidar from its poses, K = 1 or B."""
    moves = np.uint64(1 if origins.shape[0] > 1 else 0)
    columns = np.uint64(direction.shape[2])
    for c in range(columns):
        k = c * moves
        column[OX, c], column[OY, c], column[OZ, c] = origins[k, 0], origins[k, 1], origins[k, 2]
    for e in range(np.uint64(direction.shape[1])):
        cosine, z = beams.ring[1, e], beams.ring[2, e]
        for c in range(columns):
            k = c * moves
            x, y = cosine * beams.azimuth[0, c], cosine * beams.azimuth[1, c]
            for i in range(np.uint64(3)):
                direction[i, e, c] = turns[k, i, 0] * x + turns[k, i, 1] * y + turns[k, i, 2] * z


@inner
def read_depth(
    depth: NDArray[np.int64],
    mask: int,
    beams: Beams,
    leaning: bool,
    reach: float,
    truth: NDArray[np.float32],
    index: IntArray,
) -> None:
    """Turn the drawn image (E, B) into ranges [m] and rows, (E * B,) in the lidar's own order of rings."""
    columns = np.uint64(beams.azimuth.shape[1])
    for e in range(np.uint64(depth.shape[0])):
        scale = 1.0 if leaning else 1.0 / beams.ring[1, e]
        at = np.uint64(beams.order[e]) * columns
        for c in range(columns):
            word = depth[e, c]
            rho = float_of(word & ~mask)
            t = 0.0 if rho <= TOUCH else rho * scale
            seen = t < reach
            truth[at + c] = np.float32(t) if seen else np.float32(np.inf)
            index[at + c] = np.int32(word & mask) if seen else np.int32(-1)


@inner
def raster_lidar(
    tables: Tables,
    fixed: Footprints,
    moving: Footprints,
    beams: Beams,
    origins: FloatArray,
    turns: FloatArray,
    velocity: FloatArray,
    reach: float,
    exclude: int,
    mask: int,
    column: FloatArray,
    span: FloatArray,
    direction: FloatArray,
    depth: NDArray[np.int64],
    truth: NDArray[np.float32],
    index: IntArray,
) -> None:
    """Find range and solid of every beam of one lidar.

    Args:
        tables: the scene. fixed: static solids (for a level lidar of one horizontal ring a slice at its height will
            do). moving: moving solids.
        beams: of the lidar. origins: (K, 3) [m] and turns: (K, 3, 3): its pose in ``map``, one or for each column.
        velocity: (6,), see ``sweep_poses``. reach: greatest range [m]. exclude: moving body that is not seen, or -1.
        mask: bits of the depth that hold a row. column, span: see ``draw_uprights``. direction: (3, E, B), or
            (3, 0, B) if the lidar is level, depth: (E, whole LANES): scratch.
        truth: (E * B,) float32 [m] and index: (E * B,) int32, written: inf and -1 for nothing; 0 inside a solid.
    """
    ring, columns, last = beams.ring, beams.azimuth.shape[1], origins.shape[0] - 1
    leaning = direction.shape[1] > 0
    depth[:] = bits_of(NOTHING) | mask
    half = 0.5 * abs(beams.time[columns - 1] - beams.time[0]) if last > 0 else 0.0
    grow = half * np.sqrt(velocity[0] ** 2 + velocity[1] ** 2 + velocity[2] ** 2) + 1e-9
    widen = half * np.sqrt(velocity[3] ** 2 + velocity[4] ** 2 + velocity[5] ** 2)
    middle, frame = np.empty(3), np.zeros((3, 3))
    for i in range(3):
        middle[i] = 0.5 * (origins[0, i] + origins[last, i])
    first, step = beams.first, beams.step
    if leaning:
        fill_directions(beams, origins, turns, column, direction)
        t = 0.5 * (beams.time[0] + beams.time[columns - 1]) - beams.time[0] if last > 0 else 0.0
        middle_frame(turns, velocity, t, frame)
    else:
        fill_columns(beams, origins, turns, column)
        frame[0, 0], frame[1, 1], frame[2, 2] = 1.0, 1.0, 1.0
        first += np.arctan2(turns[0, 1, 0], turns[0, 0, 0])
        if last > 0:
            step += velocity[5] * (beams.time[columns - 1] - beams.time[0]) / (columns - 1)
        widen = 0.0
    for k in range(2):
        solids = fixed if k == 0 else moving
        skip = as_index(-1) if k == 0 else exclude
        for i in range(solids.used[2]):
            p = as_index(solids.planes[i])
            if skip < 0 or tables.body[p] != skip:
                draw_plane(tables.hot, p, leaning, ring, column, direction, mask, depth)
        if leaning:
            draw_others(
                tables, solids.row, solids.used[0], middle, frame, grow, widen, first, step, columns, reach, skip,
                leaning, ring, column, direction, mask, depth,
            )  # fmt: skip
        draw_others(
            tables, solids.other, solids.used[1], middle, frame, grow, widen, first, step, columns, reach, skip,
            leaning, ring, column, direction, mask, depth,
        )  # fmt: skip
    if not leaning:
        # What is near first: most of what is far is behind it.
        blocks, split = depth.shape[1] // LANES, NEAR_FIRST * NEAR_FIRST
        cover, turn = np.empty((depth.shape[0], blocks)), TURN / step
        cover[:] = np.inf
        for k in range(3):
            solids = moving if k == 0 else fixed
            if k < 2:
                find_spans(solids.upright, solids.used[0], middle[0], middle[1], grow, first, step, columns, span)
            if k == 2:
                fill_cover(depth, mask, cover)
            draw_uprights(
                solids.upright, solids.row, solids.used[0], middle[2], turn, columns,
                0.0 if k < 2 else split, split if k == 1 else reach * reach * (1.0 + 1e-9),
                tables.body, exclude if k == 0 else as_index(-1), ring, column, span, cover, mask, depth,
            )  # fmt: skip
    read_depth(depth, mask, beams, leaning, reach, truth, index)


class LidarScratch(NamedTuple):
    """Memory that ``see_lidar`` works in; one for each thread. Arrays as in ``raster_lidar``; mask: (1,) int64."""

    origins: FloatArray
    turns: FloatArray
    velocity: FloatArray
    mask: NDArray[np.int64]
    column: FloatArray
    span: FloatArray
    depth: NDArray[np.int64]


@inner
def lidar_scratch(beams: Beams, solids: int, moves: bool) -> LidarScratch:
    """Return scratch memory for the beams of a lidar in a scene of so many solids."""
    columns, rings = beams.azimuth.shape[1], beams.ring.shape[1]
    poses, padded = (columns if moves else 1), (columns + LANES - 1) // LANES * LANES
    mask = np.ones(1, np.int64)
    while mask[0] < solids + 1:
        mask[0] = 2 * mask[0] + 1
    return LidarScratch(
        np.empty((poses, 3)),
        np.empty((poses, 3, 3)),
        np.zeros(6),
        mask,
        np.empty((COLUMN_ROWS, padded)),
        np.empty((solids + BLOCK - 1) // BLOCK * (SPAN_FIELDS * BLOCK)),
        np.empty((rings, padded), np.int64),
    )


@inner
def place_lidar(
    position: FloatArray, rotation: FloatArray, velocity: FloatArray, s: int, time: FloatArray, scratch: LidarScratch
) -> None:
    """Fill the poses of lidar s from (S, 3) and (S, 3, 3) and, if it moves, (S, 6); see ``sweep_poses``."""
    origins, turns = scratch.origins, scratch.turns
    if velocity.shape[0] > 0:
        scratch.velocity[:] = velocity[s]
        sweep_poses(position[s], rotation[s], scratch.velocity, time, origins, turns)
        return
    for i in range(3):
        origins[0, i] = position[s, i]
        for j in range(3):
            turns[0, i, j] = rotation[s, i, j]


@inner
def see_lidar(
    tables: Tables,
    fixed: Footprints,
    flat: Footprints,
    height: float,
    moving: Footprints,
    beams: Beams,
    reach: float,
    exclude: int,
    scratch: LidarScratch,
    truth: NDArray[np.float32],
    index: IntArray,
) -> None:
    """Write range and solid of every beam of a lidar that ``place_lidar`` has placed; see ``raster_lidar``.

    ``flat`` holds the static solids at ``height`` [m], for horizontal beams there.
    """
    velocity, time, columns = scratch.velocity, beams.time, beams.azimuth.shape[1]
    level = is_level(scratch.turns[0], velocity)
    if columns > 1 and scratch.origins.shape[0] > 1:
        # Turning against its own sweep, it may see hardly anything but one azimuth: then spans say nothing.
        step = beams.step + velocity[5] * (time[columns - 1] - time[0]) / (columns - 1)
        level = level and step > 0.2 * beams.step
    direction = np.empty((3, 0 if level else beams.ring.shape[1], columns))
    solids = flat if level and scratch.origins[0, 2] == height else fixed
    raster_lidar(
        tables,
        solids,
        moving,
        beams,
        scratch.origins,
        scratch.turns,
        velocity,
        reach,
        exclude,
        scratch.mask[0],
        scratch.column,
        scratch.span,
        direction,
        scratch.depth,
        truth,
        index,
    )
