"""What lidars see in a shiny floor, by drawing the hall's mirror image.

A beam that a level floor mirrors goes on as if it came from below the floor, where the lidar's image stands. So the
solids are drawn once more, as seen from there, into the beams that meet the floor and could return something that it
mirrors (``lidar_signal.meet_surfaces``). What is drawn ahead of the floor is not in the mirror: such beams, and those
of other mirrors and of lidars that lean, are left to rays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import FloatArray
from .compiled import inner, part
from .grid import IntArray
from .lanes import LANES, any_lane, gather_rows, greater, load, select, single, store
from .lidar_footprints import LANES as DRAWN_LANES
from .lidar_footprints import NOTHING, NOWHERE, Footprints, View, bits_of, float_of
from .lidar_footprints import OZ as ORIGIN_Z
from .lidar_raster import Beams, LidarScratch, draw_solids, is_drawn_level, sweep_reach
from .lidar_signal import MIRROR_LIFT, MIRRORED, S_MAX, TARGET, Echoes, know_solids
from .lidar_solids import (
    KIND,
    OTHER,
    REFLECTION,
    Rays,
    Singles,
    face_lanes,
    face_others,
    load_origin,
    load_ray,
)
from .raycast import Tables, as_index


@part
def level_floor(tables: Tables, fixed: Footprints, moving: Footprints) -> int:
    """Return the row of a scene's only plane if that is level and faces up, otherwise -1."""
    if fixed.used[1] != 1 or moving.used[1] != 0:
        return as_index(-1)
    p = as_index(fixed.planes[0])
    return p if tables.hot[p, 0] == 0.0 and tables.hot[p, 1] == 0.0 and tables.hot[p, 2] > 0.0 else as_index(-1)


@inner
def draw_mirrors(
    tables: Tables,
    surface: NDArray[np.float32],
    settings: FloatArray,
    fixed: Footprints,
    moving: Footprints,
    beams: Beams,
    exclude: int,
    scratch: LidarScratch,
    rays: Rays,
    truth: Singles,
    row: IntArray,
    echoes: Echoes,
    instance_id: IntArray,
    film_key: np.uint64,
    seen: NDArray[np.uint8],
    solids: Singles,
) -> None:
    """Add what a level lidar sees in a level floor, and take those beams from ``echoes.mirror``.

    Args:
        tables to settings and rays to echoes: as in ``lidar_signal.trace_mirrors``. fixed, moving, beams, exclude:
            as in ``lidar_raster.raster_lidar``; ``fixed`` holds all static solids. scratch: as ``see_lidar`` left it.
        instance_id to solids: as in ``lidar_signal.know_solids``.
    """
    floor, rings = level_floor(tables, fixed, moving), 0
    while rings < beams.ring.shape[1] and beams.ring[0, rings] < 0.0:
        rings += 1
    if floor < 0 or rings == 0 or not is_drawn_level(beams, scratch):
        return
    if not ask_beams(floor, rings, beams, row, echoes, scratch):
        return
    origins, columns = scratch.origins, beams.azimuth.shape[1]
    last, tangents = origins.shape[0] - 1, np.empty((1, rings))
    image = 2.0 * tables.hot[floor, 3]
    for c in range(scratch.column.shape[1]):
        scratch.column[ORIGIN_Z, c] = image - scratch.column[ORIGIN_Z, c]
    for j in range(rings):
        tangents[0, j] = -beams.ring[0, rings - 1 - j]
    grow, first, step = sweep_reach(beams, scratch)
    view = View(
        0.5 * (origins[0, 0] + origins[last, 0]),
        0.5 * (origins[0, 1] + origins[last, 1]),
        image - origins[0, 2],
        grow,
        0.0,
        first,
        step,
        columns,
        min(settings[S_MAX] * settings[S_MAX] * (1.0 + 1e-9), NOWHERE),
        tangents[0, 0],
        tangents[0, rings - 1],
    )
    s = scratch
    drawn = LidarScratch(
        s.origins, s.turns, s.velocity, s.mask, s.column, s.depth[:rings], s.cover[:rings], s.span, s.box, s.lanes,
        s.bins, s.waiting, s.place,
    )  # fmt: skip
    direction = np.empty((3, 0, scratch.depth.shape[1]))
    draw_solids(
        tables, fixed, moving, exclude, view, np.zeros((3, 3)), False, tangents, direction, scratch.mask[0], drawn
    )
    ranges, rows = np.empty(columns + LANES, np.float32), np.full(columns + LANES, -1, np.int32)
    lift = image - 2.0 * origins[0, 2]
    for j in range(rings):
        e = rings - 1 - j
        at = as_index(beams.order[e]) * columns
        if read_ring(scratch.mask[0], scratch.depth[j], beams.ring[1, e], at, columns, truth, echoes, ranges, rows):
            know_solids(tables, surface, instance_id, settings, film_key, origins[0], columns, rows, seen, solids)
            meet_image(tables, solids, rays, origins[0], lift, at, ranges, rows, echoes)


@inner
def meet_image(
    tables: Tables,
    solids: Singles,
    rays: Rays,
    origin: FloatArray,
    lift: float,
    at: int,
    ranges: Singles,
    rows: IntArray,
    echoes: Echoes,
) -> None:
    """Write the second echoes of a ring, whose beams begin at ``at``, from what their images meet.

    Args:
        tables, solids, rays, origin: as in ``lidar_signal.meet_surfaces``. lift: height of the image of the lidar's
            first origin over that origin [m]. ranges, rows: of ``read_ring``. echoes: ``beyond`` holds what is
            mirrored.
    """
    scratch = np.empty(7 * LANES, np.float32)
    for k in range(0, len(rows) - LANES, LANES):
        p, t = load(rows, k), load(ranges, k)
        met = p >= 0
        if not any_lane(met):
            continue
        solid = gather_rows(solids, greater(p, 0))
        x, y, z = load_origin(rays, k)
        z = single(lift) - z
        dx, dy, dz = load_ray(rays, at + k)
        dz = single(0.0) - dz
        face = face_lanes(solid, x, y, z, dx, dy, dz, t)
        others = met & (solid[KIND] == single(OTHER))
        if any_lane(others):
            face = face_others(tables, others, rows, k, origin, x, y, z, dx, dy, dz, t, face, scratch)
        share = load(echoes.beyond, at + k)
        store(echoes.other, at + k, select(met, t, load(echoes.other, at + k)))
        store(echoes.beyond, at + k, select(met, share * solid[REFLECTION] * face, share))
        store(echoes.kind, at + k, select(met, TARGET | MIRRORED, load(echoes.kind, at + k)))


@part
def ask_beams(
    floor: int,
    rings: int,
    beams: Beams,
    row: IntArray,
    echoes: Echoes,
    scratch: LidarScratch,
) -> bool:
    """Make depth and cover ready: open as far as may matter where the floor mirrors, else closed; tell if any is."""
    depth, cover, columns, asked = scratch.depth, scratch.cover, beams.azimuth.shape[1], False
    closed = bits_of(0.0)
    for j in range(rings):
        e = rings - 1 - j
        at = np.uint64(beams.order[e] * columns)
        for c in range(np.uint64(columns)):
            wanted = (row[at + c] == floor) & (echoes.mirror[at + c] > 0.0)
            far = min(float(echoes.reach[at + c]) * beams.ring[1, e], NOTHING)
            depth[j, c] = bits_of(far) | scratch.mask[0] if wanted else closed
        for c in range(np.uint64(columns), np.uint64(depth.shape[1])):
            depth[j, c] = closed
        for block in range(np.uint64(cover.shape[1])):
            farthest = closed
            for lane in range(np.uint64(DRAWN_LANES)):
                word = depth[j, block * np.uint64(DRAWN_LANES) + lane]
                farthest = word if word > farthest else farthest
            cover[j, block] = float_of(farthest & ~scratch.mask[0])
            asked = asked or farthest > closed
    return asked


@part
def read_ring(
    mask: int,
    depth: NDArray[np.int64],
    cosine: float,
    at: int,
    columns: int,
    truth: Singles,
    echoes: Echoes,
    ranges: Singles,
    rows: IntArray,
) -> bool:
    """Read what was drawn into a ring, whose beams begin at ``at``: ranges [m] and rows, -1 for nothing.

    The share that is mirrored goes from ``echoes.mirror`` to ``echoes.beyond``; it stays where a ray is needed. Tells
    whether anything is seen.
    """
    seen = False
    for c in range(columns):
        b, word = at + c, depth[c]
        ranges[c], rows[c] = np.inf, -1
        t = float_of(word & ~mask) / cosine
        if word == bits_of(0.0) or t < truth[b] + 2.0 * MIRROR_LIFT:
            continue
        p = word & mask
        if p != mask:
            ranges[c], rows[c], seen = t, p, True
            echoes.beyond[b] = echoes.mirror[b]
        echoes.mirror[b] = 0.0
    return seen
