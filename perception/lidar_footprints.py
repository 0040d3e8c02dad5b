"""Solids as a lidar's rasteriser looks them up: footprints in a tree of blocks, and the spans that blocks fill."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import carray, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from ..common.geometry import FloatArray
from .compiled import compiled, inner, part
from .grid import IntArray
from .handles import make_handle, pointer
from .intersect import AXIS_BOX, HALF_SPACE, UPRIGHT_CYLINDER, YAW_BOX
from .lanes import WIDE_LANES
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
UX, UY, IX, IY, OX, OY, OZ, ENTER, LEAVE, LX, LY, LZ = range(12)
"""Rows of the table of columns: direction over ground x, y and its reciprocals, origin [m] (all in ``map``), and
scratch: where the ray enters and leaves a footprint, the origin in the frame of a box [m]."""
COLUMN_ROWS = 12
LANES = WIDE_LANES
"""Columns that are drawn at once; the tables of columns and depths are filled up to a multiple."""
FARTHEST = 1e15
"""[m] Whatever stands farther away along an axis is taken to stand there; the square fits into float32."""
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
