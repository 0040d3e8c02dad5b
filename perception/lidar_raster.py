"""What lidars see, by drawing the solids into an image of azimuth x ring: range and solid of every beam.

A ray of a level lidar goes ``rho`` metres over ground along a unit direction that all rings of a column share, and
rises ``rho * tan(elevation)``. An upright box or cylinder is a footprint times a height interval: the footprint is cut
once for a column, and a ring needs only the maximum and minimum with ``(z - z0) * cot(elevation)``. Each solid is drawn
into the columns that its footprint spans, seen from the lidar, and into the rings that its height reaches. Spans are
rounded outwards; whether a beam hits is decided by the exact interval, in the arithmetic of ``intersect``.

Everything else (solids that lean, capsules, spheres, triangles) has the footprint of its bounding box, and
``intersect.interval`` decides for each beam of its span. So it is for lidars that lean: there spans are those of
upright boxes around the solids in the lidar's own frame. Planes meet all beams.

Solids stand in a tree: neighbours in groups of ``NODE``, those in groups again, each with the footprint of a box around
it. The tree is walked from near to far; what lies outside the beams, or behind all that is drawn so far, is left out
with everything in it. So a scan costs what it sees, and hardly more where thousands of solids stand behind.

The depth of a beam and the solid's row share one word: the row stands in the low bits of the range (float64), where it
changes less than a part in 10^7 of a micrometre, so that one minimum of integers is the depth test. Of two solids that
are equally near, up to that, the lower row is seen.

Lidars that move during the sweep have an origin and a direction for each column: the velocity is constant over a sweep.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import carray, types
from numba.core import cgutils
from numba.core.cgutils import ir
from numba.extending import intrinsic
from numpy.typing import NDArray

from ..common.geometry import FloatArray
from ..common.primitives import BOX
from .borrow import borrowed
from .compiled import compiled, inner, part
from .grid import IntArray
from .handles import make_handle, pointer
from .intersect import AXIS_BOX, HALF_SPACE, SMALLEST_DIRECTION, UPRIGHT_CYLINDER, YAW_BOX, interval, reciprocal
from .lanes import LANES as SPANS
from .lanes import (
    WIDE_LANES,
    Lanes,
    absolute,
    any_lane,
    first_bit,
    flag_bits,
    floor,
    gather,
    greater,
    greatest,
    lane_numbers,
    least,
    lesser,
    load,
    narrow,
    root,
    select,
    spread,
    spread_wide,
    store,
    to_int,
    wide_lane_numbers,
)
from .lanes import bits_of as bits_of_lanes
from .raycast import Tables, as_index

CX, CY, HX, HY, COS, SIN, LOW, HIGH, YAW, RADIUS = range(10)
"""Columns of a footprint: centre [m], half extents [m], cosine and sine of yaw, lower and upper end [m], yaw [rad],
radius [m] of a cylinder (0 for a box). A cylinder's half extents are those of the square around it."""
FOOTPRINT_COLUMNS = 10
NODE = 32
"""Footprints stand in blocks of this many, field by field, so that vector registers load them whole."""
START, END, SQUARE, LEAST, MOST, SEEN = range(6)
"""Rows of a table of spans: first and last column as real numbers, square of the nearest distance [m2], least and
greatest tangent of elevation, and whether (1 or 0) any of that may be seen."""
SPAN_ROWS = 6
NOWHERE = 1e100
"""Where the footprints stand that fill up a block [m]."""
BOX_MARGIN = 1e-6
"""[m] by which boxes around solids and groups are larger than these."""
BINS = 12
"""Solids and groups are drawn in the order of so many bins of distance."""
FIRST_BIN = 1023 + 2
"""Exponent of the square of the distance [m2] at which the first bin ends; each of the others ends at the next."""
UX, UY, IX, IY, OX, OY, OZ, ENTER, LEAVE, LX, LY, LZ = range(12)
"""Rows of the table of columns: direction over ground x, y and its reciprocals, origin [m] (all in ``map``), and
scratch: where the ray enters and leaves a footprint, the origin in the frame of a box [m]."""
COLUMN_ROWS = 12
LANES = WIDE_LANES
"""Columns that are drawn at once; the tables of columns and depths are filled up to a multiple."""
RING_BINS = 16
"""As ``BINS``, for lidars of one horizontal ring."""
FIRST_RING_BIN = (127 + 1) * 2 - 1
"""The first of those ends where the upper 10 bits of the distance [m] as float32 are one more, at 2 m; the others end
at 3, 4, 6, 8, 12 m and so on."""
SINGLE_MARGIN = 2e-6
"""Footprints are larger by this share of their size and distance where spans are found in float32: several times the
error of their corners."""
FARTHEST = 1e15
"""[m] Whatever stands farther away along an axis is taken to stand there; the square fits into float32."""

LEVEL_TOLERANCE = 1e-9
"""A lidar is level if its axis leans by no more than this [rad]: a nanometre on a metre."""
HIDDEN_MARGIN = 1e-6
"""[m]"""
SPAN_MARGIN = 5e-5
"""Spans of azimuth are wider by this [rad] on both sides: more than the error of ``quick_atan``."""
TOUCH = 1e-9
"""Ranges below this [m] are 0: the lidar stands in the solid."""
NOTHING = 1e300
LARGEST_TAN = 1e30
RING_MARGIN = 1e-9
"""Spans of tangents of elevation are wider by this share on both sides."""
WIDEST = 1.5
"""A lidar that turns by more than this [rad] from the middle of its sweep may see everything with every beam."""
TURN = 2.0 * np.pi
MAX_SLICES = 16
"""Slices at different heights that are kept for a scene."""


class Footprints(NamedTuple):
    """Solids as a lidar wants them: a tree of footprints, and planes.

    Attributes:
        node: float64 footprints of solids, then of groups of them, then of groups of groups, in blocks of
            (FOOTPRINT_COLUMNS, NODE) in one row. The last block holds the root's.
        link: (N + 1,) int32 of each node: the solid's row in the world table, or, of a group, -1 - the block that it
            stands for. The root stands behind the last block.
        planes: (K,) int32 rows of planes.
        used: (3,) int64 how many solids, planes and blocks there are.
    """

    node: FloatArray
    link: IntArray
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
    blocks, level = 0, count
    while level > 0:
        level = -(-level // NODE)
        blocks += level
        level = level if level > 1 else 0
    return Footprints(
        np.zeros(blocks * NODE * FOOTPRINT_COLUMNS),
        np.zeros(blocks * NODE + 1, np.int32),
        np.zeros(count, np.int32),
        np.zeros(3, np.int64),
    )


def footprints_handle(lists: Footprints) -> NDArray[np.int64]:
    """Return the handle of lists of solids."""
    return make_handle(lists.node, lists.link, lists.planes, lists.used)


@part
def open_footprints(h: NDArray[np.int64]) -> Footprints:
    """Return the lists that a handle stands for."""
    return Footprints(
        carray(pointer(h[0]), (h[1],), np.float64),
        carray(pointer(h[2]), (h[3],), np.int32),
        carray(pointer(h[4]), (h[5],), np.int32),
        carray(pointer(h[6]), (h[7],), np.int64),
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


def footprints(tables: Tables, bounds: FloatArray, order: IntArray, height: float | None = None) -> Footprints:
    """Return static solids of a scene as lidars want them.

    Args:
        tables: the scene. bounds: (P, 6) centre and half extents [m] of all solids.
        order: (S,) rows of the solids, neighbours near each other, see ``blocks.raster_blocks``.
        height: of a horizontal beam [m], if only those solids are wanted that it may meet.
    """
    lists = footprint_lists(len(order))
    low, high = (-np.inf, np.inf) if height is None else (height - 1e-6, height + 1e-6)
    list_solids(tables, bounds, order, low, high, lists)
    return lists


@compiled
def list_solids(tables: Tables, bounds: FloatArray, order: IntArray, low: float, high: float, out: Footprints) -> None:
    """List those solids of ``order`` that reach into heights from low to high [m]."""
    for k in range(len(order)):
        p = as_index(order[k])
        if bounds[p, 2] - bounds[p, 5] <= high and bounds[p, 2] + bounds[p, 5] >= low:
            list_solid(tables, bounds, p, out)
    group_solids(out)


@part
def list_solid(tables: Tables, bounds: FloatArray, p: int, out: Footprints) -> None:
    """Add solid p to the lists; ``group_solids`` is to follow."""
    count = out.used
    if tables.shape[p] == HALF_SPACE:
        out.planes[count[1]] = p
        count[1] += 1
    else:
        put_footprint(tables, bounds, p, out.node, count[0])
        out.link[count[0]] = p
        count[0] += 1


@inner
def group_solids(lists: Footprints) -> None:
    """Build the groups over the solids that are listed."""
    node, link, used = lists.node, lists.link, lists.used
    block, count = 0, used[0]
    while count > 0:
        blocks = (count + NODE - 1) // NODE
        for k in range(block * NODE + count, (block + blocks) * NODE):
            for name in range(FOOTPRINT_COLUMNS):
                node[place_of(k, name)] = 0.0
            node[place_of(k, CX)], node[place_of(k, CY)], node[place_of(k, COS)] = NOWHERE, NOWHERE, 1.0
            link[k] = 0
        above = block + blocks
        for b in range(blocks):
            link[above * NODE + b] = -1 - (block + b)
            if blocks > 1:
                put_group(node, block + b, min(count - b * NODE, NODE), above * NODE + b)
        block, count = above, blocks if blocks > 1 else 0
    used[2] = block


@part
def put_group(table: FloatArray, block: int, count: int, k: int) -> None:
    """Write the footprint of the box around the first ``count`` footprints of a block as number k."""
    x0, y0, z0, x1, y1, z1 = np.inf, np.inf, np.inf, -np.inf, -np.inf, -np.inf
    for i in range(block * NODE, block * NODE + count):
        hx, hy, c, s = field(table, i, HX), field(table, i, HY), abs(field(table, i, COS)), abs(field(table, i, SIN))
        ex, ey = c * hx + s * hy + BOX_MARGIN, s * hx + c * hy + BOX_MARGIN
        x0, x1 = min(x0, field(table, i, CX) - ex), max(x1, field(table, i, CX) + ex)
        y0, y1 = min(y0, field(table, i, CY) - ey), max(y1, field(table, i, CY) + ey)
        z0, z1 = min(z0, field(table, i, LOW)), max(z1, field(table, i, HIGH))
    table[place_of(k, CX)], table[place_of(k, CY)] = 0.5 * (x0 + x1), 0.5 * (y0 + y1)
    table[place_of(k, HX)], table[place_of(k, HY)] = 0.5 * (x1 - x0), 0.5 * (y1 - y0)
    table[place_of(k, COS)], table[place_of(k, SIN)], table[place_of(k, YAW)] = 1.0, 0.0, 0.0
    table[place_of(k, LOW)], table[place_of(k, HIGH)] = z0 - BOX_MARGIN, z1 + BOX_MARGIN
    table[place_of(k, RADIUS)] = 0.0


@part
def place_of(k: int, name: int) -> int:
    """Return where a field of footprint k stands."""
    return k // NODE * (FOOTPRINT_COLUMNS * NODE) + name * NODE + k % NODE


@part
def field(table: FloatArray, k: int, name: int) -> float:
    """Return a field of footprint k."""
    return table[np.uint64(place_of(k, name))]


@part
def put_footprint(tables: Tables, bounds: FloatArray, p: int, out: FloatArray, k: int) -> None:
    """Write the footprint of solid p as number k: its own if it is an upright box or cylinder, else its bounding
    box's."""
    hot, shape = tables.hot, tables.shape[p]
    hx, hy, hz, c, s, yaw, radius = bounds[p, 3], bounds[p, 4], bounds[p, 5], 1.0, 0.0, 0.0, 0.0
    if shape == YAW_BOX:
        hx, hy, hz, c, s = hot[p, 3], hot[p, 4], hot[p, 5], hot[p, 6], hot[p, 7]
        yaw = np.arctan2(s, c)
    elif shape == UPRIGHT_CYLINDER:
        hx, hy, hz, radius = hot[p, 3], hot[p, 3], hot[p, 4], hot[p, 3]
    elif shape != AXIS_BOX:
        hx, hy, hz = hx + BOX_MARGIN, hy + BOX_MARGIN, hz + BOX_MARGIN
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


class View(NamedTuple):
    """From where and how far a lidar sees, for what it may leave out.

    Attributes:
        x, y, z: the place that spans are seen from [m]: the middle of the sweep, in ``map``.
        grow: how far the lidar moves from there [m]. widen: how far it turns from the frame of spans [rad].
        first, step: azimuth of the first column, in the frame of spans, and distance of columns [rad].
        columns: how many columns there are. reach: square of the greatest range [m2].
        low, high: least and greatest tangent of the rings' elevations.
    """

    x: float
    y: float
    z: float
    grow: float
    widen: float
    first: float
    step: float
    columns: int
    reach: float
    low: float
    high: float


@part
def find_spans(table: FloatArray, block: int, x: float, y: float, z: float, view: View, span: FloatArray) -> None:
    """Find where the footprints of a block stand, seen from x, y, z [m], all of them ``view.grow`` larger all round.

    Args:
        table: see ``Footprints.node``. span: (SPAN_ROWS, NODE), written; columns are those of the copy (a turn apart)
            that ends at column 0 or later.
    """
    turn = TURN / view.step
    per_radian, per_turn, end = 1.0 / view.step, 1.0 / turn, np.float64(view.columns)
    i = np.uint64(block * (FOOTPRINT_COLUMNS * NODE))
    for lane in range(np.uint64(NODE)):
        px = table[i + np.uint64(CX * NODE) + lane] - x
        py = table[i + np.uint64(CY * NODE) + lane] - y
        c, s = table[i + np.uint64(COS * NODE) + lane], table[i + np.uint64(SIN * NODE) + lane]
        px, py = c * px + s * py, c * py - s * px
        hx = table[i + np.uint64(HX * NODE) + lane] + view.grow
        hy = table[i + np.uint64(HY * NODE) + lane] + view.grow
        ax, ay = abs(px), abs(py)
        x0, y0, x1, y1 = ax - hx, ay - hy, ax + hx, ay + hy
        gx, gy = (x0 if x0 > 0.0 else 0.0), (y0 if y0 > 0.0 else 0.0)
        near = gx * gx + gy * gy
        # Mirrored into the first quadrant, the outermost corners are known.
        most = quick_atan(y1 if x0 > 0.0 else y0, x0)
        least = quick_atan(y0, x1 if y0 > 0.0 else x0)
        start = least if (px < 0.0) == (py < 0.0) else -most
        start = start + np.pi if px < 0.0 else start
        a = (start + table[i + np.uint64(YAW * NODE) + lane] - SPAN_MARGIN - view.first) * per_radian
        b = a + (most - least + 2.0 * SPAN_MARGIN) * per_radian
        back = np.floor(b * per_turn) * turn
        a = a - back if near > 0.0 else 0.0
        low, high = table[i + np.uint64(LOW * NODE) + lane] - z, table[i + np.uint64(HIGH * NODE) + lane] - z
        nearest, farthest = np.sqrt(near if near > 1e-300 else 1e-300), np.sqrt(x1 * x1 + y1 * y1)
        flattest, steepest = low / (nearest if low < 0.0 else farthest), high / (nearest if high > 0.0 else farthest)
        span[START, lane] = a
        span[END, lane] = b - back if near > 0.0 else end
        span[SQUARE, lane] = near
        span[LEAST, lane], span[MOST, lane] = flattest, steepest
        seen = (near < view.reach) & (a < end)
        seen &= flattest - RING_MARGIN * (1.0 + abs(flattest)) <= view.high
        seen &= steepest + RING_MARGIN * (1.0 + abs(steepest)) >= view.low
        span[SEEN, lane] = 1.0 if seen else 0.0


@inner
def widen_spans(view: View, span: FloatArray) -> None:
    """Make the spans of a block wider all round by the angle that the lidar turns while it sweeps."""
    turn, end = TURN / view.step, float(view.columns)
    sine, tangent = np.sin(view.widen), np.tan(view.widen)
    for lane in range(NODE):
        least, most = span[LEAST, lane], span[MOST, lane]
        # A turn by an angle moves an azimuth by no more than arcsin(sin(angle) / cos(elevation)).
        steepest = max(abs(least), abs(most))
        side = sine * np.sqrt(1.0 + steepest * steepest)
        if view.widen >= WIDEST or side >= 1.0 or span[SQUARE, lane] == 0.0:
            span[START, lane], span[END, lane] = 0.0, end
        else:
            half = (np.arcsin(side) + SPAN_MARGIN) / view.step
            b = span[END, lane] + half
            back = np.floor(b / turn) * turn
            span[START, lane], span[END, lane] = span[START, lane] - half - back, b - back
        if view.widen >= WIDEST or 1.0 + least * tangent <= 0.0:
            least = -LARGEST_TAN
        else:
            least = (least - tangent) / (1.0 + least * tangent)
        if view.widen >= WIDEST or 1.0 - most * tangent <= 0.0:
            most = LARGEST_TAN
        else:
            most = (most + tangent) / (1.0 - most * tangent)
        span[LEAST, lane], span[MOST, lane] = least, most
        span[SEEN, lane] = 1.0 if span[SQUARE, lane] < view.reach and span[START, lane] < end else 0.0


@part
def lean_block(table: FloatArray, block: int, frame: FloatArray, view: View, out: FloatArray) -> None:
    """Write upright boxes around the solids of a block, in a leaning frame, as block 0 of another table.

    Args:
        table: see ``Footprints.node``. frame: (3, 3), its rows are the axes of the frame in ``map``; its origin is
            that of the view. out: (FOOTPRINT_COLUMNS * NODE,), written; ``view.grow`` higher and lower, not yet wider.
    """
    a, b, c = frame[0, 0], frame[0, 1], frame[0, 2]
    d, e, f = frame[1, 0], frame[1, 1], frame[1, 2]
    g, h, k = frame[2, 0], frame[2, 1], frame[2, 2]
    i = np.uint64(block * (FOOTPRINT_COLUMNS * NODE))
    for lane in range(np.uint64(NODE)):
        low, high = table[i + np.uint64(LOW * NODE) + lane], table[i + np.uint64(HIGH * NODE) + lane]
        x, y = table[i + np.uint64(CX * NODE) + lane] - view.x, table[i + np.uint64(CY * NODE) + lane] - view.y
        z = 0.5 * (low + high) - view.z
        cosine, sine = table[i + np.uint64(COS * NODE) + lane], table[i + np.uint64(SIN * NODE) + lane]
        hx, hy = table[i + np.uint64(HX * NODE) + lane], table[i + np.uint64(HY * NODE) + lane]
        hz = 0.5 * (high - low)
        # The solid's axes in the frame, and how far the box reaches along those, turned by its yaw about the frame's z.
        ux, uy, uz = a * cosine + b * sine, d * cosine + e * sine, g * cosine + h * sine
        vx, vy, vz = b * cosine - a * sine, e * cosine - d * sine, h * cosine - g * sine
        ex = abs(cosine * ux + sine * uy) * hx + abs(cosine * vx + sine * vy) * hy + abs(cosine * c + sine * f) * hz
        ey = abs(cosine * uy - sine * ux) * hx + abs(cosine * vy - sine * vx) * hy + abs(cosine * f - sine * c) * hz
        ez = abs(uz) * hx + abs(vz) * hy + abs(k) * hz + view.grow
        height = g * x + h * y + k * z
        out[np.uint64(CX * NODE) + lane] = a * x + b * y + c * z
        out[np.uint64(CY * NODE) + lane] = d * x + e * y + f * z
        out[np.uint64(HX * NODE) + lane], out[np.uint64(HY * NODE) + lane] = ex, ey
        out[np.uint64(COS * NODE) + lane], out[np.uint64(SIN * NODE) + lane] = cosine, sine
        out[np.uint64(LOW * NODE) + lane], out[np.uint64(HIGH * NODE) + lane] = height - ez, height + ez
        out[np.uint64(YAW * NODE) + lane] = table[i + np.uint64(YAW * NODE) + lane]


@part
def frame_of_spans(axis: FloatArray, out: FloatArray) -> None:
    """Write the rotation (3, 3) that takes a lidar's own z (3,), given in ``map``, to z and turns about nothing else.

    In that frame what stands upright leans as little as can be.
    """
    side = 1.0 if axis[2] >= 0.0 else -1.0  # Upside down, everything is turned over about x first.
    x, y, z = axis[0], side * axis[1], side * axis[2]
    scale = 1.0 / (1.0 + z)
    out[0, 0], out[0, 1], out[0, 2] = 1.0 - scale * x * x, -side * scale * x * y, -side * x
    out[1, 0], out[1, 1], out[1, 2] = -scale * x * y, side * (1.0 - scale * y * y), -side * y
    out[2, 0], out[2, 1], out[2, 2] = x, side * y, side * z


@part
def ring_span(ring: FloatArray, least: float, most: float) -> tuple[int, int]:
    """Return the first and one past the last ring whose tangent lies in [least, most], a little outwards."""
    least -= RING_MARGIN * (1.0 + abs(least))
    most += RING_MARGIN * (1.0 + abs(most))
    first, last = as_index(0), as_index(0)
    for e in range(ring.shape[1]):
        first += 1 if ring[0, e] < least else 0
        last += 1 if ring[0, e] <= most else 0
    return first, last


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
def lanes_of(a: float, b: float, end: float) -> tuple[int, int]:
    """Return the first and one past the last LANES of the columns from a to b (real numbers) that there are."""
    first = as_index(np.ceil(a if a > 0.0 else 0.0))
    last = as_index(np.floor(b if b < end - 1.0 else end - 1.0))
    return first // LANES, (last // LANES + 1 if first <= last else first // LANES)


@part
def look_at_block(
    table: FloatArray, block: int, leaning: bool, frame: FloatArray, view: View, box: FloatArray, span: FloatArray
) -> None:
    """Find the spans of a block: see ``find_spans``, ``lean_block`` and ``widen_spans``; ``box`` is scratch."""
    source, at, x, y, z = table, block, view.x, view.y, view.z
    if leaning:
        lean_block(table, block, frame, view, box)
        source, at, x, y, z = box, as_index(0), 0.0, 0.0, 0.0
    find_spans(source, at, x, y, z, view, span)
    if view.widen > 0.0:
        widen_spans(view, span)


@part
def list_seen(span: FloatArray, lanes: NDArray[np.int64]) -> int:
    """Write the lanes of a table of spans that may be seen; return how many."""
    seen = as_index(0)
    for lane in range(NODE):
        lanes[seen] = lane
        seen += 1 if span[SEEN, lane] > 0.0 else 0
    return seen


@part
def is_part_of(body: IntArray, link: int, moving: int) -> bool:
    """Tell whether a node is a solid of a moving body."""
    return link >= 0 and bool(body[link] == moving)


@inner
def draw_solids(
    tables: Tables,
    fixed: Footprints,
    moving: Footprints,
    exclude: int,
    view: View,
    frame: FloatArray,
    leaning: bool,
    ring: FloatArray,
    direction: FloatArray,
    mask: int,
    scratch: LidarScratch,
) -> None:
    """Draw all solids but planes, from near to far, into ``scratch.depth``.

    Args:
        tables, fixed, moving, exclude, mask: see ``raster_lidar``. frame: (3, 3) of a leaning lidar, see
            ``lean_block``. ring: see ``Beams``. direction: see ``fill_directions``.
    """
    tables, fixed, moving, scratch = borrowed(tables), borrowed(fixed), borrowed(moving), borrowed(scratch)
    frame, ring, direction = borrowed(frame), borrowed(ring), borrowed(direction)
    column, depth, span, cover, box = scratch.column, scratch.depth, scratch.span, scratch.cover, scratch.box
    waiting, place, bins, lanes = scratch.waiting, scratch.place, scratch.bins, scratch.lanes
    turn, end = TURN / view.step, np.float64(view.columns)
    bins[:] = -1
    count = as_index(0)
    for tree in range(2):
        used = moving.used if tree == 1 else fixed.used
        if used[0] > 0:
            waiting[count, 0], waiting[count, 1] = 2 * NODE * used[2] + tree, bins[0]
            waiting[count, 2], waiting[count, 3] = 0, ring.shape[1]
            place[count, 0], place[count, 1], place[count, 2] = 0.0, end, 0.0
            bins[0] = count
            count += 1
    for step in range(BINS):
        while bins[step] >= 0:
            i = bins[step]
            bins[step] = waiting[i, 1]
            tree, k = waiting[i, 0] & 1, as_index(waiting[i, 0] >> 1)
            table, links = (moving.node if tree == 1 else fixed.node), (moving.link if tree == 1 else fixed.link)
            link = as_index(links[k])
            a, b, near = place[i, 0], place[i, 1], place[i, 2] - HIDDEN_MARGIN
            group_seen = False
            while a < end and not group_seen:
                c0, c1 = lanes_of(a, b, end)
                ring0, ring1 = as_index(waiting[i, 2]), as_index(waiting[i, 3])
                ring0, ring1 = seen_rings(cover, near, ring0, ring1, c0, c1)
                if ring0 < ring1 and link < 0:
                    group_seen = True
                elif ring0 < ring1:
                    draw_solid(
                        tables, table, k, link, c0, c1, ring0, ring1, near, view.z, leaning,
                        ring, column, direction, mask, cover, depth,
                    )  # fmt: skip
                a += turn
                b += turn
            if not group_seen:
                continue
            block = -1 - link
            look_at_block(table, block, leaning, frame, view, box, span)
            seen = list_seen(span, lanes)
            for n in range(seen):
                lane = lanes[n]
                child = block * NODE + lane
                ring0, ring1 = ring_span(ring, span[LEAST, lane], span[MOST, lane])
                if ring0 >= ring1 or (tree == 1 and exclude >= 0 and is_part_of(tables.body, links[child], exclude)):
                    continue
                square = span[SQUARE, lane]
                later = max(step, min((bits_of(square) >> 52) - FIRST_BIN + 1, BINS - 1))
                waiting[count, 0], waiting[count, 1] = 2 * child + tree, bins[later]
                waiting[count, 2], waiting[count, 3] = ring0, ring1
                place[count, 0], place[count, 1], place[count, 2] = span[START, lane], span[END, lane], np.sqrt(square)
                bins[later] = count
                count += 1


@part
def quick_atan_lanes(y: Lanes, x: Lanes) -> Lanes:
    """As ``quick_atan``, of vectors of float32, within 3e-6 rad."""
    ax, ay = absolute(x), absolute(y)
    r = lesser(ax, ay) / greater(greater(ax, ay), 1e-30)
    q = r * r
    angle = r * (
        0.99997726 + q * (-0.33262347 + q * (0.19354346 + q * (-0.11643287 + q * (0.05265332 + q * -0.01172120))))
    )
    angle = select(ay > ax, 0.5 * np.pi - angle, angle)
    angle = select(x < 0.0, np.pi - angle, angle)
    return select(y < 0.0, 0.0 - angle, angle)


@part
def single_lanes(table: FloatArray, at: np.uint64, less: float) -> Lanes:
    """Return ``SPANS`` numbers of a table from ``at`` on, less a number, as float32."""
    return narrow(load(table, at) - less, load(table, at + np.uint64(WIDE_LANES)) - less)


@part
def find_ring_spans(
    table: FloatArray,
    at: np.uint64,
    slot: int,
    count: int,
    view: View,
    spans: NDArray[np.float32],
) -> tuple[int, int]:
    """Find where ``SPANS`` footprints stand, as ``find_spans`` does, for a level lidar of one horizontal ring.

    Args:
        table: see ``Footprints.node``; at: where the first footprint's CX stands.
        spans: (3 * count,), written from ``slot``, ``count + slot`` and ``2 * count + slot`` on: first and last column,
            and a distance [m] at least ``HIDDEN_MARGIN`` nearer than the nearest.

    Returns:
        Flags of those that may be seen, and the bin that the nearest of them is in, ``RING_BINS`` if there are none.
    """
    turn, end = TURN / view.step, np.float64(view.columns)
    per_radian, per_turn = 1.0 / view.step, view.step / TURN
    px = single_lanes(table, at + np.uint64(CX * NODE), view.x)
    py = single_lanes(table, at + np.uint64(CY * NODE), view.y)
    px, py = lesser(greater(px, -FARTHEST), FARTHEST), lesser(greater(py, -FARTHEST), FARTHEST)
    hx = single_lanes(table, at + np.uint64(HX * NODE), 0.0)
    hy = single_lanes(table, at + np.uint64(HY * NODE), 0.0)
    c, s = single_lanes(table, at + np.uint64(COS * NODE), 0.0), single_lanes(table, at + np.uint64(SIN * NODE), 0.0)
    margin = (absolute(px) + absolute(py) + hx + hy) * SINGLE_MARGIN + (view.grow + HIDDEN_MARGIN)
    hx, hy = hx + margin, hy + margin
    lx, ly = c * px + s * py, c * py - s * px
    ax, ay = absolute(lx), absolute(ly)
    x0, y0, x1, y1 = ax - hx, ay - hy, ax + hx, ay + hy
    gx, gy = greater(x0, 0.0), greater(y0, 0.0)
    square = gx * gx + gy * gy
    # Mirrored into the first quadrant, the outermost corners are known.
    high_angle = quick_atan_lanes(select(x0 > 0.0, y1, y0), x0)
    low_angle = quick_atan_lanes(y0, select(y0 > 0.0, x1, x0))
    start = select((lx < 0.0) ^ (ly < 0.0), 0.0 - high_angle, low_angle)
    start = select(lx < 0.0, start + np.pi, start)
    yaw = single_lanes(table, at + np.uint64(YAW * NODE), 0.0)
    a = (start + yaw - (SPAN_MARGIN + view.first)) * per_radian
    b = a + (high_angle - low_angle + 2.0 * SPAN_MARGIN) * per_radian
    back = floor(b * per_turn) * turn
    around = square <= 0.0
    a, b = select(around, 0.0, a - back), select(around, end, b - back)
    store(spans, slot, a)
    store(spans, count + slot, b)
    near = root(square)
    store(spans, 2 * count + slot, near)
    low = single_lanes(table, at + np.uint64(LOW * NODE), view.z)
    high = single_lanes(table, at + np.uint64(HIGH * NODE), view.z)
    seen = (square < min(view.reach, 0.1 * FARTHEST * FARTHEST)) & (a < end)
    seen = seen & (low <= RING_MARGIN) & (high >= -RING_MARGIN)
    # What stands between two columns is not seen.
    seen = seen & ((floor(b) >= a) | (a + turn < end))
    return flag_bits(seen), as_index(least(select(seen, ring_bins(near), RING_BINS)))


@part
def ring_bins(near: Lanes) -> Lanes:
    """Return the bins of distances [m]."""
    return lesser((bits_of_lanes(near) >> 22) - FIRST_RING_BIN, RING_BINS - 1)


@part
def list_ring_block(
    table: FloatArray,
    block: int,
    slot: int,
    count: int,
    view: View,
    spans: NDArray[np.float32],
    left: IntArray,
    links: IntArray,
    heads: IntArray,
    step: int,
) -> None:
    """Let those of a block's nodes wait, from slot on, that may be seen, for bin ``step`` or later."""
    for half in range(NODE // SPANS):
        at = np.uint64(block * (FOOTPRINT_COLUMNS * NODE) + half * SPANS)
        seen, soonest = find_ring_spans(table, at, slot + half * SPANS, count, view, spans)
        if seen != 0:
            k, later = np.uint64(slot // SPANS + half), np.uint64(max(soonest, step))
            left[k] = np.int32(seen)
            links[k], heads[later] = heads[later], k


@part
def take_ring_nodes(
    k: np.uint64,
    count: int,
    step: int,
    view: View,
    farthest: NDArray[np.float32],
    spans: NDArray[np.float32],
    left: IntArray,
    links: IntArray,
    heads: IntArray,
) -> int:
    """Return flags of those of ``SPANS`` nodes to be drawn now; the others wait on, but those that are hidden.

    Args:
        farthest: (columns / LANES,) float32, ``cover`` of the ring. spans: see ``find_ring_spans``. others: see
            ``draw_ring``.
    """
    turn, end, slot = TURN / view.step, np.float64(view.columns), as_index(k) * SPANS
    a, b, near = load(spans, slot), load(spans, count + slot), load(spans, 2 * count + slot)
    first, last = to_int(lesser(greater(a, 0.0), end - 1.0)) >> 3, to_int(lesser(b, end - 1.0)) >> 3
    # Two LANES of columns at most, and not those on the other side of the seam as well.
    hidden = (last - first <= 1) & (a + turn >= end)
    hidden = hidden & (near > greater(gather(farthest, first), gather(farthest, last)))
    bins = select(hidden, RING_BINS, ring_bins(near))
    waiting = ((spread(left[k]) >> lane_numbers()) & 1) == 1
    ready = waiting & (bins <= step)
    bins = select(waiting & (bins > step), bins, RING_BINS)
    later = np.uint64(least(bins))
    if later < np.uint64(RING_BINS):
        left[k] = np.int32(flag_bits(bins < RING_BINS))
        links[k], heads[later] = heads[later], k
    return flag_bits(ready)


@inner
def draw_ring(
    tables: Tables,
    fixed: Footprints,
    moving: Footprints,
    exclude: int,
    view: View,
    ring: FloatArray,
    direction: FloatArray,
    mask: int,
    scratch: LidarScratch,
    spans: NDArray[np.float32],
    links: IntArray,
) -> None:
    """As ``draw_solids``, for a level lidar of one horizontal ring.

    Nodes wait in bins by ``SPANS``: when some come out, those are drawn that are near enough, and those forgotten that
    are hidden by now.

    Args:
        spans: (3 * N + columns / LANES,) scratch for N slots of nodes, see ``ring_slots``. links: (N / SPANS * 2 +
            RING_BINS,) scratch.
    """
    tables, fixed, moving, scratch = borrowed(tables), borrowed(fixed), borrowed(moving), borrowed(scratch)
    ring, direction, spans, links = borrowed(ring), borrowed(direction), borrowed(spans), borrowed(links)
    column, depth, cover = scratch.column, scratch.depth, scratch.cover
    end, turn = np.float64(view.columns), TURN / view.step
    second, count = NODE * fixed.used[2], ring_slots(fixed, moving)
    left, heads, farthest = links[count // SPANS :], links[2 * (count // SPANS) :], spans[3 * count :]
    for step in range(np.uint64(RING_BINS)):
        heads[step] = -1
    for block in range(np.uint64(cover.shape[1])):
        farthest[block] = cover[0, block]
    if moving.used[0] > 0:
        list_ring_block(moving.node, moving.used[2] - 1, count - NODE, count, view, spans, left, links, heads, 0)
    if fixed.used[0] > 0:
        list_ring_block(fixed.node, fixed.used[2] - 1, second - NODE, count, view, spans, left, links, heads, 0)
    for step in range(RING_BINS):
        while heads[np.uint64(step)] >= 0:
            k = np.uint64(heads[np.uint64(step)])
            heads[np.uint64(step)] = links[k]
            ready = take_ring_nodes(k, count, step, view, farthest, spans, left, links, heads)
            slot = as_index(k) * SPANS
            moves = slot >= second
            base = second if moves else as_index(0)
            table, own = (moving.node if moves else fixed.node), (moving.link if moves else fixed.link)
            while ready != 0:
                node = np.uint64(slot + first_bit(ready))
                ready &= ready - 1
                p = as_index(own[node - np.uint64(base)])
                if p < 0:
                    block = -1 - p
                    list_ring_block(table, block, base + block * NODE, count, view, spans, left, links, heads, step)
                elif not moves or exclude < 0 or tables.body[p] != exclude:
                    a, b = np.float64(spans[node]), np.float64(spans[np.uint64(count) + node])
                    near = np.float64(spans[np.uint64(2 * count) + node])
                    while a < end:
                        draw_ring_solid(
                            tables, table, as_index(node) - base, p, a, b, near, view, ring, column, direction, mask,
                            cover, farthest, depth,
                        )  # fmt: skip
                        a += turn
                        b += turn


@part
def ring_slots(fixed: Footprints, moving: Footprints) -> int:
    """Return how many nodes the blocks of both trees hold."""
    return as_index(NODE * (fixed.used[2] + moving.used[2]))


@part
def draw_ring_solid(
    tables: Tables,
    table: FloatArray,
    k: int,
    p: int,
    a: float,
    b: float,
    near: float,
    view: View,
    ring: FloatArray,
    column: FloatArray,
    direction: FloatArray,
    mask: int,
    cover: FloatArray,
    farthest: NDArray[np.float32],
    depth: NDArray[np.int64],
) -> None:
    """Draw solid p, which is node k, into columns a to b (real numbers) of the only ring, as far as there are those.

    Args:
        near: least distance [m] at which it may be met. cover, farthest: of LANES columns each, see ``draw_row``;
            kept. others: see ``draw_ring``.
    """
    if tables.shape[np.uint64(p)] > UPRIGHT_CYLINDER:
        c0, c1 = lanes_of(a, b, np.float64(view.columns))
        draw_any(tables, p, c0, c1, 0, 1, near, False, ring, column, direction, mask, cover, depth)
        for block in range(np.uint64(c0), np.uint64(c1)):
            farthest[block] = cover[0, block]
        return
    first, last = as_index(np.ceil(max(a, 0.0))), as_index(np.floor(min(b, view.columns - 1.0)))
    width, cotangent = column.shape[1], reciprocal(ring[0, 0])
    cx, cy, hx, hy = field(table, k, CX), field(table, k, CY), field(table, k, HX), field(table, k, HY)
    u, v, radius = field(table, k, COS), field(table, k, SIN), field(table, k, RADIUS)
    low, high = (field(table, k, LOW) - view.z) * cotangent, (field(table, k, HIGH) - view.z) * cotangent
    below, above, word = min(low, high), max(low, high), bits_of(near)
    for block in range(np.uint64(first) // np.uint64(LANES), np.uint64(last + LANES) // np.uint64(LANES)):
        at = block * np.uint64(LANES)
        before, number = load(depth, at), wide_lane_numbers() + as_index(at)
        if not any_lane((before > word) & (number >= first) & (number <= last)):
            continue
        dx, dy = load(column, np.uint64(UX * width) + at), load(column, np.uint64(UY * width) + at)
        px, py = load(column, np.uint64(OX * width) + at) - cx, load(column, np.uint64(OY * width) + at) - cy
        if radius > 0.0:
            along = px * dx + py * dy
            discriminant = along * along - (px * px + py * py - radius * radius)
            half = root(greater(discriminant, 0.0))
            enter = select(discriminant >= 0.0, 0.0 - along - half, spread_wide(NOTHING))
            leave = half - along
        else:
            lx, ly = u * px + v * py, u * py - v * px
            ex, ey = u * dx + v * dy, u * dy - v * dx
            ix = 1.0 / select(ex == 0.0, spread_wide(SMALLEST_DIRECTION), ex)
            iy = 1.0 / select(ey == 0.0, spread_wide(SMALLEST_DIRECTION), ey)
            ax, bx, ay, by = (-hx - lx) * ix, (hx - lx) * ix, (-hy - ly) * iy, (hy - ly) * iy
            enter = greater(lesser(ax, bx), lesser(ay, by))
            leave = lesser(greater(ax, bx), greater(ay, by))
        enter, leave = greater(enter, below), lesser(leave, above)
        packed = (bits_of_lanes(greater(enter, TOUCH)) & ~mask) | p
        packed = select((enter <= leave) & (leave > 0.0) & (packed < before), packed, before)
        store(depth, at, packed)
        most = float_of(greatest(packed) & ~mask)
        cover[np.uint64(0), block], farthest[block] = most, most


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
    columns = np.uint64(beams.azimuth.shape[1])
    for c in range(columns):
        k = c * moves
        x, y = beams.azimuth[0, c], beams.azimuth[1, c]
        ux, uy = turns[k, 0, 0] * x + turns[k, 0, 1] * y, turns[k, 1, 0] * x + turns[k, 1, 1] * y
        column[UX, c], column[UY, c], column[IX, c], column[IY, c] = ux, uy, reciprocal(ux), reciprocal(uy)
        column[OX, c], column[OY, c], column[OZ, c] = origins[k, 0], origins[k, 1], origins[k, 2]
    # Beyond the last: filled, so that whole LANES can be drawn, and never read.
    for c in range(columns, np.uint64(column.shape[1])):
        for row in range(np.uint64(ENTER)):
            column[row, c] = column[row, columns - np.uint64(1)]


@inner
def fill_directions(
    beams: Beams, origins: FloatArray, turns: FloatArray, column: FloatArray, direction: FloatArray
) -> None:
    """Fill origins (in ``column``) and directions (3, E, whole LANES) of a leaning lidar from its poses, K = 1 or B."""
    moves = np.uint64(1 if origins.shape[0] > 1 else 0)
    columns = np.uint64(beams.azimuth.shape[1])
    for c in range(columns):
        k = c * moves
        column[OX, c], column[OY, c], column[OZ, c] = origins[k, 0], origins[k, 1], origins[k, 2]
    for e in range(np.uint64(direction.shape[1])):
        cosine, z = beams.ring[1, e], beams.ring[2, e]
        for i in range(np.uint64(3)):
            for c in range(columns):
                k = c * moves
                x, y = cosine * beams.azimuth[0, c], cosine * beams.azimuth[1, c]
                direction[i, e, c] = turns[k, i, 0] * x + turns[k, i, 1] * y + turns[k, i, 2] * z
    for c in range(columns, np.uint64(column.shape[1])):
        for i in range(np.uint64(3)):
            column[np.uint64(OX) + i, c] = column[np.uint64(OX) + i, columns - np.uint64(1)]
            for e in range(np.uint64(direction.shape[1])):
                direction[i, e, c] = direction[i, e, columns - np.uint64(1)]


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


class LidarScratch(NamedTuple):
    """Memory that ``see_lidar`` works in; one for each thread.

    Attributes:
        origins: (K, 3) [m] and turns: (K, 3, 3): the lidar's pose in ``map``, one or for each column.
        velocity: (6,), see ``sweep_poses``. mask: (1,) int64 bits of the depth that hold a row.
        column: (COLUMN_ROWS, whole LANES), see ``UX``. depth: (E, whole LANES) int64.
        cover: (E, columns / LANES), see ``draw_row``.
        span: (SPAN_ROWS, NODE), see ``START``. box: (FOOTPRINT_COLUMNS * NODE,), see ``lean_block``.
        lanes: (NODE,) int64: those of a block that may be seen.
        bins: (BINS,) int32: which node waits first in each bin, -1 for none.
        waiting: (N, 4) int32 of each node that waits: 2 * its number + 1 if it moves; which waits next, or -1; first
            and one past the last ring. place: (N, 3) float64 its first and last column, its nearest distance [m].
    """

    origins: FloatArray
    turns: FloatArray
    velocity: FloatArray
    mask: NDArray[np.int64]
    column: FloatArray
    depth: NDArray[np.int64]
    cover: FloatArray
    span: FloatArray
    box: FloatArray
    lanes: NDArray[np.int64]
    bins: IntArray
    waiting: IntArray
    place: FloatArray


@inner
def lidar_scratch(beams: Beams, solids: int, moves: bool) -> LidarScratch:
    """Return scratch memory for the beams of a lidar in a scene of so many solids."""
    columns, rings = beams.azimuth.shape[1], beams.ring.shape[1]
    poses = columns if moves else 1
    # An odd number of LANES: rows a multiple of 4 KiB apart would fall on each other in the processor's caches.
    padded = ((columns + LANES - 1) // LANES | 1) * LANES
    nodes = solids + solids // (NODE - 1) + 2 * NODE  # Two trees of at most eight levels.
    mask = np.ones(1, np.int64)
    while mask[0] < solids + 1:
        mask[0] = 2 * mask[0] + 1
    return LidarScratch(
        np.empty((poses, 3)),
        np.empty((poses, 3, 3)),
        np.zeros(6),
        mask,
        np.empty((COLUMN_ROWS, padded)),
        np.empty((rings, padded), np.int64),
        np.empty((rings, padded // LANES)),
        np.empty((SPAN_ROWS, NODE)),
        np.empty(FOOTPRINT_COLUMNS * NODE),
        np.empty(NODE, np.int64),
        np.empty(BINS, np.int32),
        np.empty((nodes, 4), np.int32),
        np.empty((nodes, 3)),
    )


@inner
def raster_lidar(
    tables: Tables,
    fixed: Footprints,
    moving: Footprints,
    beams: Beams,
    reach: float,
    exclude: int,
    direction: FloatArray,
    scratch: LidarScratch,
    truth: NDArray[np.float32],
    index: IntArray,
) -> None:
    """Find range and solid of every beam of one lidar.

    Args:
        tables: the scene. fixed: static solids (for a level lidar of one horizontal ring a slice at its height will
            do). moving: moving solids.
        beams: of the lidar. reach: greatest range [m]. exclude: moving body that is not seen, or -1.
        direction: (3, E, whole LANES), or (3, 0, whole LANES) if the lidar is level. scratch: holds the lidar's pose.
        truth: (E * B,) float32 [m] and index: (E * B,) int32, written: inf and -1 for nothing; 0 inside a solid.
    """
    tables, fixed, moving, scratch = borrowed(tables), borrowed(fixed), borrowed(moving), borrowed(scratch)
    beams, truth, index = borrowed(beams), borrowed(truth), borrowed(index)
    origins, turns, velocity, mask = scratch.origins, scratch.turns, scratch.velocity, scratch.mask[0]
    ring, columns, last = beams.ring, beams.azimuth.shape[1], origins.shape[0] - 1
    leaning = direction.shape[1] > 0
    column, depth = scratch.column, scratch.depth
    depth[:] = bits_of(NOTHING) | mask
    scratch.cover[:] = np.inf
    half = 0.5 * abs(beams.time[columns - 1] - beams.time[0]) if last > 0 else 0.0
    grow = half * np.sqrt(velocity[0] ** 2 + velocity[1] ** 2 + velocity[2] ** 2) + 1e-9
    widen = half * np.sqrt(velocity[3] ** 2 + velocity[4] ** 2 + velocity[5] ** 2)
    frame = np.zeros((3, 3))
    first, step = beams.first, beams.step
    if leaning:
        fill_directions(beams, origins, turns, column, direction)
        t = 0.5 * (beams.time[0] + beams.time[columns - 1]) - beams.time[0] if last > 0 else 0.0
        own = np.empty((3, 3))
        middle_frame(turns, velocity, t, own)
        frame_of_spans(own[2], frame)
        across, along = 0.0, 0.0
        for i in range(3):
            across += own[1, i] * frame[0, i]
            along += own[0, i] * frame[0, i]
        first -= np.arctan2(across, along)
    else:
        fill_columns(beams, origins, turns, column)
        first += np.arctan2(turns[0, 1, 0], turns[0, 0, 0])
        if last > 0:
            step += velocity[5] * (beams.time[columns - 1] - beams.time[0]) / (columns - 1)
        widen = 0.0
    view = View(
        0.5 * (origins[0, 0] + origins[last, 0]),
        0.5 * (origins[0, 1] + origins[last, 1]),
        0.5 * (origins[0, 2] + origins[last, 2]),
        grow,
        widen,
        first,
        step,
        columns,
        min(reach * reach * (1.0 + 1e-9), NOWHERE),
        ring[0, 0],
        ring[0, ring.shape[1] - 1],
    )
    for k in range(2):
        solids = fixed if k == 0 else moving
        skip = as_index(-1) if k == 0 else exclude
        for i in range(solids.used[1]):
            p = as_index(solids.planes[i])
            if skip < 0 or tables.body[p] != skip:
                draw_plane(tables.hot, p, leaning, ring, column, direction, mask, scratch.cover, depth)
    if not leaning and ring.shape[1] == 1 and ring[0, 0] == 0.0:
        nodes = ring_slots(fixed, moving)
        spans = np.empty(3 * nodes + scratch.cover.shape[1], np.float32)
        links = np.empty(2 * (nodes // SPANS) + RING_BINS, np.int32)
        draw_ring(tables, fixed, moving, exclude, view, ring, direction, mask, scratch, spans, links)
    else:
        draw_solids(tables, fixed, moving, exclude, view, frame, leaning, ring, direction, mask, scratch)
    read_depth(depth, mask, beams, leaning, reach, truth, index)


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


@part
def is_drawn_level(beams: Beams, scratch: LidarScratch) -> bool:
    """Tell whether a placed lidar is drawn as a level one."""
    velocity, time, columns = scratch.velocity, beams.time, beams.azimuth.shape[1]
    level = is_level(scratch.turns[0], velocity)
    if columns > 1 and scratch.origins.shape[0] > 1:
        # Turning against its own sweep, it may see hardly anything but one azimuth: then spans say nothing.
        step = beams.step + velocity[5] * (time[columns - 1] - time[0]) / (columns - 1)
        level = level and step > 0.2 * beams.step
    return level


@part
def sweep_reach(beams: Beams, scratch: LidarScratch) -> tuple[float, float, float]:
    """Return how far a placed lidar moves from the middle of its sweep [m], and, if it is level, the azimuth of its
    first column and the distance of columns in ``map`` [rad]."""
    velocity, time, last = scratch.velocity, beams.time, scratch.origins.shape[0] - 1
    half = 0.5 * abs(time[last] - time[0]) if last > 0 else 0.0
    grow = half * np.sqrt(velocity[0] ** 2 + velocity[1] ** 2 + velocity[2] ** 2) + 1e-9
    turn = velocity[5] * (time[last] - time[0]) / last if last > 0 else 0.0
    return grow, beams.first + np.arctan2(scratch.turns[0, 1, 0], scratch.turns[0, 0, 0]), beams.step + turn


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
    tables, fixed, flat, moving = borrowed(tables), borrowed(fixed), borrowed(flat), borrowed(moving)
    beams, scratch, truth, index = borrowed(beams), borrowed(scratch), borrowed(truth), borrowed(index)
    level = is_drawn_level(beams, scratch)
    direction = np.empty((3, 0 if level else beams.ring.shape[1], scratch.depth.shape[1]))
    solids = flat if level and scratch.origins[0, 2] == height else fixed
    raster_lidar(tables, solids, moving, beams, reach, exclude, direction, scratch, truth, index)
