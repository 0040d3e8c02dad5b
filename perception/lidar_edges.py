"""Mixed pixels: which beams of a lidar have an edge in their footprints, and what lies beyond it.

An edge lies between a beam and the next one outside its footprint, if they hit different solids at different ranges. It
is the nearer solid's, and only the two are looked at. Pairs of such beams are listed first; then ``LANES`` pairs are
looked at together, and of those with an edge the other side. Upright boxes and planes, which most solids are, have
their edges in closed form; others are left to ``edge_share``, one by one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compiled import inner, part
from .grid import IntArray
from .intersect import interval, reciprocal
from .lanes import (
    LANES,
    absolute,
    first_bit,
    flag_bits,
    gather,
    gather_rows,
    greater,
    lane_numbers,
    lesser,
    load,
    root,
    select,
    single,
    store,
)
from .lidar_solids import (
    COS,
    CX,
    CY,
    CZ,
    FARTHEST,
    FLAT,
    HX,
    HY,
    HZ,
    KIND,
    OTHER,
    REFLECTION,
    SIN,
    Rays,
    Singles,
    face_lanes,
    gather_pose,
    gather_ray,
    incidence,
)
from .raycast import Tables, as_index

EDGE_STEP = 0.02
"""Neighbouring beams whose ranges differ by less than this [m] do not make an edge."""
EDGE_STEPS = 5
"""Halvings in the search for an edge of a solid that is no upright box: the share of a footprint is right to 1/128."""
UNKNOWN = -1.0
"""Place of an edge that has no closed form."""
SMALLEST = np.float32(1e-30)
"""Stands for a zero component of a direction."""


class Footprint(NamedTuple):
    """A lidar's footprints: half their divergence across and upwards [rad], half their width at the lidar [m]."""

    across: float
    upwards: float
    aperture: float


class Pairs(NamedTuple):
    """Pairs of neighbouring beams, (N,) int32 each: the beams, the second to the left of the first or above it, and
    their columns."""

    first: IntArray
    second: IntArray
    column: IntArray
    next_column: IntArray


class Halves(NamedTuple):
    """Halves of footprints with an edge in them, (N,) each.

    Attributes:
        beam, other: int32, whose footprint it is, and the neighbour on that side; column: int32, the beam's.
        edge: float32, where the edge is: 0, the beam's middle, to 1, the rim; or ``UNKNOWN``.
        side: float32, 1 if the neighbour is to the left or above, otherwise -1.
    """

    beam: IntArray
    other: IntArray
    column: IntArray
    edge: Singles
    side: Singles


@inner
def mix_edges(
    tables: Tables,
    solids: Singles,
    rays: Rays,
    origin: NDArray[np.float64],
    footprint: Footprint,
    stride: int,
    full_turn: bool,
    reach: float,
    beams: int,
    truth: Singles,
    row: IntArray,
    own: Singles,
    other: Singles,
    beyond: Singles,
    kinds: IntArray,
    plain: int,
    mixed: int,
) -> None:
    """Find the beams whose footprints straddle an edge. Of up to four edges about a beam the widest share counts.

    Args:
        tables: the scene. solids: table of the solids that are hit. rays: of the lidar. origin: (3,) its first [m].
        footprint: of the beams. stride: columns to the first beam outside a footprint. full_turn: whether the last
            column is a neighbour of the first. reach: longest range of an echo [m].
        beams: how many there are; all arrays have room for a vector beyond them.
        truth, row: range [m] and row of the solid of each beam; inf and -1 for nothing.
        own: what is left of the beam's own share of its footprint; 1 before the call.
        other, beyond: range [m] and amplitude of what lies beyond the edge, changed where it has an
            echo. kinds: set to ``mixed`` there, and to ``plain`` where there is an edge before nothing.
    """
    columns = rays.columns
    room = beams + LANES
    pairs = Pairs(
        np.empty(room, np.int32), np.empty(room, np.int32), np.zeros(room, np.int32), np.zeros(room, np.int32)
    )
    halves = Halves(
        np.empty(2 * room, np.int32),
        np.empty(2 * room, np.int32),
        np.zeros(2 * room, np.int32),
        np.empty(2 * room, np.float32),
        np.empty(2 * room, np.float32),
    )
    for upward in (False, True):
        half = footprint.upwards if upward else footprint.across
        if half > 0.0:
            if upward:
                count = pair_range(truth, row, 0, beams - columns, columns, columns, rays.moves, pairs, 0)
            else:
                count = 0
                for b in range(0, beams, columns):
                    count = pair_range(truth, row, b, columns - stride, stride, columns, rays.moves, pairs, count)
                    if full_turn:
                        count = pair_ends(truth, row, b, columns, stride, rays.moves, pairs, count)
            count = find_halves(solids, rays, truth, row, half, footprint.aperture, upward, pairs, count, halves)
            look_beyond(
                tables, solids, rays, origin, truth, row, half, footprint.aperture, upward, reach, halves, count, own,
                other, beyond, kinds, plain, mixed,
            )  # fmt: skip


@part
def pair_range(
    truth: Singles,
    row: IntArray,
    first: int,
    length: int,
    ahead: int,
    columns: int,
    moves: bool,
    pairs: Pairs,
    count: int,
) -> int:
    """List those of ``length`` beams from ``first`` on that make an edge with the one ``ahead``; return how many are
    listed then."""
    for k in range(0, length, LANES):
        b = first + k
        p, q, near, far = load(row, b), load(row, b + ahead), load(truth, b), load(truth, b + ahead)
        edges = ((p < q) | (p > q)) & (absolute(near - far) >= single(EDGE_STEP)) & (lane_numbers() < length - k)
        bits = flag_bits(edges)
        while bits != 0:
            i = b + first_bit(bits)
            bits &= bits - 1
            pairs.first[count], pairs.second[count] = i, i + ahead
            if moves:
                pairs.column[count], pairs.next_column[count] = i % columns, (i + ahead) % columns
            count += 1
    return count


@part
def pair_ends(
    truth: Singles, row: IntArray, first: int, columns: int, stride: int, moves: bool, pairs: Pairs, count: int
) -> int:
    """As ``pair_range``, for the last ``stride`` beams of the ring from ``first`` on and those that it begins with."""
    for i in range(stride):
        b, n = first + (i - stride) % columns, first + i
        if row[b] != row[n] and abs(truth[b] - truth[n]) >= single(EDGE_STEP):
            pairs.first[count], pairs.second[count] = b, n
            if moves:
                pairs.column[count], pairs.next_column[count] = b - first, i
            count += 1
    return count


@inner
def find_halves(
    solids: Singles,
    rays: Rays,
    truth: Singles,
    row: IntArray,
    half: float,
    aperture: float,
    upward: bool,
    pairs: Pairs,
    count: int,
    halves: Halves,
) -> int:
    """List the halves of footprints, of ``count`` pairs, that have an edge in them; return how many."""
    for k in range(count, count + LANES):
        pairs.first[k], pairs.second[k], pairs.column[k], pairs.next_column[k] = 0, 0, 0, 0
    numbers, shares = np.empty(3 * LANES, np.int32), np.empty(2 * LANES, np.float32)
    found = 0
    for at in range(0, count, LANES):
        listed = lane_numbers() < count - at
        b, n = load(pairs.first, at), load(pairs.second, at)
        column, next_column = load(pairs.column, at), load(pairs.next_column, at)
        t, t_next = gather(truth, b), gather(truth, n)
        ahead = t < t_next
        near, far = select(ahead, b, n), select(ahead, n, b)
        solid = gather_rows(solids, greater(gather(row, near), 0))
        side = select(ahead, single(1.0), single(-1.0))
        t_near, t_far = lesser(t, t_next), greater(t, t_next)
        column_near, column_far = select(ahead, column, next_column), select(ahead, next_column, column)
        edge = edge_lanes(solid, rays, near, column_near, t_near, side, half, aperture, upward, True)
        bits = flag_bits((edge < single(1.0)) & (t_near > single(0.0)) & listed)
        found = put_halves(bits, near, far, column_near, edge, side, found, halves, numbers, shares)
        side = single(0.0) - side
        edge = edge_lanes(solid, rays, far, column_far, t_far, side, half, aperture, upward, False)
        bits = flag_bits((edge < single(1.0)) & (t_far <= FARTHEST) & listed)
        found = put_halves(bits, far, near, column_far, edge, side, found, halves, numbers, shares)
    return found


@part
def put_halves(
    bits: int,
    beam: Any,
    other: Any,
    column: Any,
    edge: Any,
    side: Any,
    found: int,
    halves: Halves,
    numbers: IntArray,
    shares: Singles,
) -> int:
    """List the halves whose bits are set after ``found`` others; return how many are listed then.

    ``numbers`` (3 LANES,) and ``shares`` (2 LANES,) are scratch.
    """
    if bits != 0:
        store(numbers, 0, beam)
        store(numbers, LANES, other)
        store(numbers, 2 * LANES, column)
        store(shares, 0, edge)
        store(shares, LANES, side)
    while bits != 0:
        k = first_bit(bits)
        bits &= bits - 1
        halves.beam[found], halves.other[found] = numbers[k], numbers[LANES + k]
        halves.column[found] = numbers[2 * LANES + k]
        halves.edge[found], halves.side[found] = shares[k], shares[LANES + k]
        found += 1
    return found


@part
def rim_lanes(
    ax: Any, ay: Any, az: Any, dx: Any, dy: Any, dz: Any, t: Any, side: Any, half: float, aperture: float, upward: bool
) -> tuple[Any, Any, Any]:
    """Return the step from the middle of footprints to their rims.

    Args:
        ax to az: axis z of the lidar. dx to dz: directions. t: ranges [m]. side: 1 to the left or upwards, else -1.
        half: half the divergence [rad]. aperture: half the width at the lidar [m]. upward: or across.
    """
    rise = ax * dx + ay * dy + az * dz
    move = side * (single(half) + single(aperture) / t) / root(greater(single(1.0) - rise * rise, SMALLEST))
    if upward:
        return move * (ax - rise * dx), move * (ay - rise * dy), move * (az - rise * dz)
    return move * (ay * dz - az * dy), move * (az * dx - ax * dz), move * (ax * dy - ay * dx)


@part
def edge_lanes(
    solid: Any,
    rays: Rays,
    beam: Any,
    column: Any,
    t: Any,
    side: Any,
    half: float,
    aperture: float,
    upward: bool,
    own: bool,
) -> Any:
    """Return where the edge of solids lies in halves of footprints; see ``Halves.edge``; 1: nowhere."""
    ox, oy, oz, ax, ay, az = gather_pose(rays, column)
    dx, dy, dz = gather_ray(rays, beam)
    ex, ey, ez = rim_lanes(ax, ay, az, dx, dy, dz, t, side, half, aperture, upward)
    edge = box_edge(solid, ox, oy, oz, dx, dy, dz, ex, ey, ez, own)
    slope = solid[CX] * dx + solid[CY] * dy + solid[CZ] * dz
    after = slope + solid[CX] * ex + solid[CY] * ey + solid[CZ] * ez
    crossed = select((slope < single(0.0)) ^ (after < single(0.0)), single(UNKNOWN), single(1.0))
    edge = select(solid[KIND] == single(FLAT), crossed, edge)
    return select(solid[KIND] == single(OTHER), single(UNKNOWN), edge)


@part
def box_edge(
    solid: Any, ox: Any, oy: Any, oz: Any, dx: Any, dy: Any, dz: Any, ex: Any, ey: Any, ez: Any, own: bool
) -> Any:
    """Return where the edge of upright boxes lies between direction d (0) and d + e (1); 1: nowhere; or ``UNKNOWN``.

    A ray enters the box where it has passed the nearer plane of all three axes, and leaves it at the first of the
    farther planes. It misses if it passes some axis' nearer plane after another's farther one; times the two
    components of the direction, that is linear in the direction, so the edge is known in closed form. It is unknown
    where a component changes its sign.

    Args:
        solid: rows of the table of solids. ox to ez: origin, relative to the first [m], direction d, and step e.
        own: whether d meets the box, and edges are sought where d + e does not; or the other way round.
    """
    zero, one = single(0.0), single(1.0)
    c, s, hx, hy, hz = solid[COS], solid[SIN], solid[HX], solid[HY], solid[HZ]
    x, y, lz = ox - solid[CX], oy - solid[CY], oz - solid[CZ]
    lx, ly = c * x + s * y, c * y - s * x
    dx, dy = c * dx + s * dy, c * dy - s * dx
    ex, ey = c * ex + s * ey, c * ey - s * ex
    # Mirrored so that the ray goes up along all axes.
    lx, ex, dx = select(dx > zero, lx, zero - lx), select(dx > zero, ex, zero - ex), absolute(dx)
    ly, ey, dy = select(dy > zero, ly, zero - ly), select(dy > zero, ey, zero - ey), absolute(dy)
    lz, ez, dz = select(dz > zero, lz, zero - lz), select(dz > zero, ez, zero - ez), absolute(dz)
    fx, fy, fz = dx + ex, dy + ey, dz + ez
    nx, ny, nz, mx, my, mz = zero - hx - lx, zero - hy - ly, zero - hz - lz, hx - lx, hy - ly, hz - lz
    # How far the ray is from meeting the box, by each pair of axes: positive if it misses.
    a0, a1 = nx * dy - my * dx, nx * fy - my * fx
    b0, b1 = ny * dx - mx * dy, ny * fx - mx * fy
    c0, c1 = nx * dz - mz * dx, nx * fz - mz * fx
    d0, d1 = nz * dx - mx * dz, nz * fx - mx * fz
    e0, e1 = ny * dz - mz * dy, ny * fz - mz * fy
    f0, f1 = nz * dy - my * dz, nz * fy - my * fz
    misses = greater(greater(greater(a1, b1), greater(c1, d1)), greater(e1, f1)) > zero
    if own:
        away = greater(greater(passing(a1, a0), passing(b1, b0)), greater(passing(c1, c0), passing(d1, d0)))
        edge = select(misses, one - greater(away, greater(passing(e1, e0), passing(f1, f0))), one)
    else:
        missed = greater(greater(greater(a0, b0), greater(c0, d0)), greater(e0, f0)) > zero
        away = greater(greater(passing(a0, a1), passing(b0, b1)), greater(passing(c0, c1), passing(d0, d1)))
        edge = greater(away, greater(passing(e0, e1), passing(f0, f1)))
        edge = select(misses, one, select(missed, edge, one))
    return select(lesser(fx, lesser(fy, fz)) < zero, single(UNKNOWN), edge)


@part
def passing(out: Any, within: Any) -> Any:
    """Return where a linear function passes zero, as a share of the way from ``out`` to ``within``; 0 if out <= 0."""
    zero = single(0.0)
    return select(out > zero, out / (out - lesser(within, zero)), zero)


@inner
def look_beyond(
    tables: Tables,
    solids: Singles,
    rays: Rays,
    origin: NDArray[np.float64],
    truth: Singles,
    row: IntArray,
    half: float,
    aperture: float,
    upward: bool,
    reach: float,
    halves: Halves,
    count: int,
    own: Singles,
    other: Singles,
    beyond: Singles,
    kinds: IntArray,
    plain: int,
    mixed: int,
) -> None:
    """Find what lies beyond the edges in ``count`` halves of footprints; arguments as in ``mix_edges``.

    The range is that of the neighbour's solid in the middle of the part beyond the edge, or, if it is not met there,
    that at the neighbouring beam.
    """
    zero, one = single(0.0), single(1.0)
    for k in range(count, count + LANES):
        halves.beam[k], halves.other[k], halves.column[k], halves.edge[k], halves.side[k] = 0, 0, 0, one, one
    found = np.empty(3 * LANES, np.float32)
    for at in range(0, count, LANES):
        b, n, column = load(halves.beam, at), load(halves.other, at), load(halves.column, at)
        edge, side = load(halves.edge, at), load(halves.side, at)
        ox, oy, oz, ax, ay, az = gather_pose(rays, column)
        dx, dy, dz = gather_ray(rays, b)
        t = gather(truth, b)
        ex, ey, ez = rim_lanes(ax, ay, az, dx, dy, dz, t, side, half, aperture, upward)
        middle = single(0.5) * (one + edge)
        cx, cy, cz = dx + middle * ex, dy + middle * ey, dz + middle * ez
        q = gather(row, n)
        solid = gather_rows(solids, greater(q, 0))
        beside = gather(truth, n)
        t_beyond = meet_lanes(solid, ox, oy, oz, cx, cy, cz, beside)
        face = face_lanes(solid, ox, oy, oz, cx, cy, cz, t_beyond)
        share = single(0.5) * (one - edge)
        store(found, 0, share)
        store(found, LANES, select(q >= 0, t_beyond, single(np.inf)))
        store(found, 2 * LANES, solid[REFLECTION] * face)
        hard = flag_bits((edge < zero) | (solid[KIND] == single(OTHER)) & (q >= 0))
        for i in range(min(LANES, count - at)):
            h = as_index(halves.beam[at + i])
            if (hard >> i) & 1:
                side_i, place = float(halves.side[at + i]), as_index(halves.column[at + i])
                found[i], found[LANES + i], found[2 * LANES + i] = trace_edge(
                    tables, solids, rays, origin, truth, row, h, as_index(halves.other[at + i]), place, side_i, half,
                    aperture, upward,
                )  # fmt: skip
            left = one - found[i]
            if left < own[h]:
                own[h] = left
                there = found[LANES + i] <= reach
                kinds[h] = mixed if there else plain
                other[h] = found[LANES + i] if there else single(np.inf)
                beyond[h] = found[i] * found[2 * LANES + i] if there else zero


@part
def meet_lanes(solid: Any, ox: Any, oy: Any, oz: Any, dx: Any, dy: Any, dz: Any, missed: Any) -> Any:
    """Return the ranges at which rays, of any length, meet upright boxes and planes, in units of it; or ``missed``."""
    zero, one = single(0.0), single(1.0)
    c, s = solid[COS], solid[SIN]
    x, y, z = ox - solid[CX], oy - solid[CY], oz - solid[CZ]
    ix, iy, iz = one / nonzero(c * dx + s * dy), one / nonzero(c * dy - s * dx), one / nonzero(dz)
    x, y = c * x + s * y, c * y - s * x
    ax, bx = (zero - solid[HX] - x) * ix, (solid[HX] - x) * ix
    ay, by = (zero - solid[HY] - y) * iy, (solid[HY] - y) * iy
    az, bz = (zero - solid[HZ] - z) * iz, (solid[HZ] - z) * iz
    enter = greater(greater(lesser(ax, bx), lesser(ay, by)), lesser(az, bz))
    leave = lesser(lesser(greater(ax, bx), greater(ay, by)), greater(az, bz))
    met = select((enter <= leave) & (leave > zero), greater(enter, zero), missed)
    height = solid[HX] + solid[CX] * ox + solid[CY] * oy + solid[CZ] * oz
    slope = solid[CX] * dx + solid[CY] * dy + solid[CZ] * dz
    down = (zero - height) / nonzero(slope)
    within = select(slope < zero, greater(down, zero), select(down > zero, zero, missed))
    return select(solid[KIND] == single(FLAT), within, met)


@part
def nonzero(value: Any) -> Any:
    """Return numbers, tiny instead of zero."""
    return select((value < single(0.0)) | (value > single(0.0)), value, SMALLEST)


@inner
def trace_edge(
    tables: Tables,
    solids: Singles,
    rays: Rays,
    origin: NDArray[np.float64],
    truth: Singles,
    row: IntArray,
    b: int,
    n: int,
    column: int,
    side: float,
    half: float,
    aperture: float,
    upward: bool,
) -> tuple[float, float, float]:
    """Return the share of the footprint of beam b that lies beyond an edge, range [m] and amplitude of all of what is
    there, by rays; arguments as in ``mix_edges`` and ``Halves``."""
    place, direction = rays.column, rays.direction
    ox, oy, oz = origin[0] + place[0, column], origin[1] + place[1, column], origin[2] + place[2, column]
    ax, ay, az = float(place[3, column]), float(place[4, column]), float(place[5, column])
    dx, dy, dz = float(direction[0, b]), float(direction[1, b]), float(direction[2, b])
    rise = ax * dx + ay * dy + az * dz
    move = side * (half + aperture / truth[b]) / np.sqrt(max(1.0 - rise * rise, 1e-30))
    if upward:
        ex, ey, ez = move * (ax - rise * dx), move * (ay - rise * dy), move * (az - rise * dz)
    else:
        ex, ey, ez = move * (ay * dz - az * dy), move * (az * dx - ax * dz), move * (ax * dy - ay * dx)
    own_near, q = truth[b] < truth[n], as_index(row[n])
    near = as_index(row[b]) if own_near else q
    share, t, u = edge_share(tables, near, q, own_near, ox, oy, oz, dx, dy, dz, ex, ey, ez)
    if share == 0.0 or q < 0:
        return share, np.inf, 0.0
    t = t if t < np.inf else float(truth[n])
    x, y, z = dx + u * ex, dy + u * ey, dz + u * ez
    face = incidence(
        tables.shape, tables.kind, tables.hot, tables.solid, q, ox + t * x, oy + t * y, oz + t * z, x, y, z
    )
    return share, t, solids[q, REFLECTION] * face


@part
def edge_share(
    tables: Tables,
    near: int,
    other: int,
    own_near: bool,
    ox: float,
    oy: float,
    oz: float,
    dx: float,
    dy: float,
    dz: float,
    ex: float,
    ey: float,
    ez: float,
) -> tuple[float, float, float]:
    """Find the edge of a solid in one half of a beam's footprint.

    Args:
        tables: the scene. near: the nearer of the two solids, whose edge it is. other: the neighbouring beam's solid,
            or -1. own_near: whether the beam's own solid is the nearer one.
        ox, oy, oz: origin [m]. dx, dy, dz: unit direction of the beam. ex, ey, ez: from there to the footprint's rim.

    Returns:
        Share of the whole footprint beyond the edge (0 if there is none), the range [m] of the other solid in the
        middle of that part (inf if it is not met there), and where that is: from 0, the beam's middle, to 1, the rim.
    """
    shape, hot, solid = tables.shape, tables.hot, tables.solid
    low, high, t = 0.0, 1.0, np.inf
    for k in range(EDGE_STEPS + 2):
        last = k == EDGE_STEPS + 1
        if last and other < 0:
            break
        u = 0.5 * (1.0 + high) if last else (1.0 if k == 0 else 0.5 * (low + high))
        q = other if last else near
        x, y, z = dx + u * ex, dy + u * ey, dz + u * ez
        enter, leave = interval(
            shape[q], hot, solid, q, ox, oy, oz, x, y, z, reciprocal(x), reciprocal(y), reciprocal(z)
        )
        hit = enter <= leave and leave > 0.0
        if last:
            t = max(enter, 0.0) if hit else np.inf
        elif k == 0:
            if hit == own_near:
                return 0.0, np.inf, 0.0
        elif hit == own_near:
            low = u
        else:
            high = u
    return 0.5 * (1.0 - 0.5 * (low + high)), t, 0.5 * (1.0 + high)
