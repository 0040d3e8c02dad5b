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

from typing import NamedTuple

import numpy as np
from numba import carray
from numpy.typing import NDArray

from ..common.geometry import FloatArray
from .borrow import borrowed
from .compiled import inner, part
from .grid import IntArray
from .handles import make_handle, pointer
from .intersect import reciprocal
from .lanes import LANES as SPANS
from .lidar_draw import draw_plane, draw_solid, is_part_of, seen_rings, turn_by
from .lidar_footprints import (
    COLUMN_ROWS,
    END,
    ENTER,
    FOOTPRINT_COLUMNS,
    HIDDEN_MARGIN,
    IX,
    IY,
    LANES,
    LEAST,
    MOST,
    NODE,
    NOTHING,
    NOWHERE,
    OX,
    OY,
    OZ,
    SPAN_ROWS,
    SQUARE,
    START,
    TOUCH,
    TURN,
    UX,
    UY,
    Footprints,
    View,
    bits_of,
    float_of,
    frame_of_spans,
    lanes_of,
    list_seen,
    look_at_block,
    ring_span,
)
from .lidar_ring import RING_BINS, draw_ring, ring_slots
from .raycast import Tables, as_index

BINS = 12
"""Solids and groups are drawn in the order of so many bins of distance."""
FIRST_BIN = 1023 + 2
"""Exponent of the square of the distance [m2] at which the first bin ends; each of the others ends at the next."""
LEVEL_TOLERANCE = 1e-9
"""A lidar is level if its axis leans by no more than this [rad]: a nanometre on a metre."""
MAX_SLICES = 16
"""Slices at different heights that are kept for a scene."""


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
