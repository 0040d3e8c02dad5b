"""Level lidars of one ring: footprints are found sixteen at a time and drawn eight columns at a time, in vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import FloatArray
from .borrow import borrowed
from .compiled import inner, part
from .grid import IntArray
from .intersect import SMALLEST_DIRECTION, UPRIGHT_CYLINDER, reciprocal
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
from .lidar_draw import draw_any
from .lidar_footprints import (
    COS,
    CX,
    CY,
    FARTHEST,
    FOOTPRINT_COLUMNS,
    HIDDEN_MARGIN,
    HIGH,
    HX,
    HY,
    LANES,
    LOW,
    NODE,
    NOTHING,
    OX,
    OY,
    RADIUS,
    RING_MARGIN,
    SIN,
    SPAN_MARGIN,
    TOUCH,
    TURN,
    UX,
    UY,
    YAW,
    Footprints,
    View,
    bits_of,
    field,
    float_of,
    lanes_of,
)
from .raycast import Tables, as_index

if TYPE_CHECKING:
    from .lidar_raster import LidarScratch

RING_BINS = 16
"""As ``BINS``, for lidars of one horizontal ring."""
FIRST_RING_BIN = (127 + 1) * 2 - 1
"""The first of those ends where the upper 10 bits of the distance [m] as float32 are one more, at 2 m; the others end
at 3, 4, 6, 8, 12 m and so on."""
SINGLE_MARGIN = 2e-6
"""Footprints are larger by this share of their size and distance where spans are found in float32: several times the
error of their corners."""


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
