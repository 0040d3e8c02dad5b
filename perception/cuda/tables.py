"""Many worlds as flat arrays, the same on the host and on the device: halls, and in them the movers of each world.

Layout, and why: rows of solids are read by threads that each look at another solid, so a solid is a row (32 bytes, one
memory sector, hold all that the common shapes need). Outputs are written by neighbouring threads side by side, so there
each quantity is an array of its own. Halls are shared and read-only, a few hundred kilobytes that stay in the cache;
a world adds only its movers (about 100 bytes for each part) and their bodies' boxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...common.geometry import FloatArray, rotation_matrix
from ...common.primitives import Primitives
from ..compiled import compiled
from ..grid import END, FIRST, GRID_PARAMETERS, IntArray, lay_out_grid, list_static
from ..intersect import HALF_SPACE, HOT_COLUMNS, SOLID_COLUMNS, YAW_BOX, pack_solid

KIND, BODY, INSTANCE, CLASS = range(4)
"""Columns of ``info``."""
HALL_CELL, HALL_COLUMNS, HALL_CELLS, HALL_PLANE, HALL_PLANES = range(5)
"""Columns of ``hall``: first cell, columns, cells, first plane, planes."""
STATIC_BODY = -2
LEAVE = 1e-4
"""Footprints and bodies' boxes are grown by this much [m], so that 32-bit rounding in a large hall loses nothing."""
MARGIN = 1e-2
"""Grids reach this far [m] beyond the solids."""


class WorldTables(NamedTuple):
    """W worlds as the kernels see them: R = S static rows of all halls, then W * M rows of movers, world by world.

    Attributes:
        hot: (R, 8) and solid: (R, 16) reals, see ``perception.intersect``. shape: (R,) uint8 shape codes.
        info: (S + M, 4) int32 kind, body (-2: static), instance and class; movers' rows are the same in every world.
        look: (S + M, 8) float32, see ``Looks``.
        hall: (H, 5) int32 and grid: (H, 12) reals: see the constants and ``perception.grid``.
        cells: (C, 2) int32 first entry and end. entries: (E, 4) int32 height interval, row, unused.
        planes: int32 rows of the halls' planes. hall_of_world: (W,) int32.
        body_first: (B + 1,) int32: the parts of body b are ``body_parts[body_first[b]:body_first[b + 1]]``.
        body_parts: (M,) int32, 0 to M - 1. body_box: (W * B, 6) reals, lower and upper corners [m].
        static: (1,) int32, S.
    """

    hot: Any
    solid: Any
    shape: Any
    info: Any
    look: Any
    hall: Any
    grid: Any
    cells: Any
    entries: Any
    planes: Any
    hall_of_world: Any
    body_first: Any
    body_parts: Any
    body_box: Any
    static: Any


@dataclass(frozen=True)
class Parts:
    """M parts of moving bodies in their bodies' frames, as the kernel that places them needs them.

    Attributes:
        kind: (M,) uint8. size: (M, 3), position: (M, 3) and axes: (M, 3, 3) float64.
    """

    kind: NDArray[np.uint8]
    size: FloatArray
    position: FloatArray
    axes: FloatArray


LOOK_COLUMNS = 8


def pack_worlds(
    halls: Sequence[Primitives],
    moving: Primitives,
    body_count: int,
    hall_of_world: IntArray,
    looks: Sequence[NDArray[np.float32]],
    *,
    cell_size: float,
    real: type,
) -> tuple[WorldTables, Parts]:
    """Return the tables of W worlds on the host, movers not yet placed, and the movers' parts.

    Args:
        halls: static solids of each hall. moving: parts of the B moving bodies of every world.
        hall_of_world: (W,) which hall each world is in.
        looks: (S_h, 8) of each hall, then (M, 8) of the movers.
        cell_size: of the grids [m]. real: np.float32 or np.float64.
    """
    packed = [_pack_hall(hall, cell_size) for hall in halls]
    static, worlds, parts = sum(len(hall) for hall in halls), len(hall_of_world), len(moving)
    rows = static + worlds * parts
    hot: NDArray[Any] = np.zeros((rows, HOT_COLUMNS), real)
    solid: NDArray[Any] = np.zeros((rows, SOLID_COLUMNS), real)
    shape = np.zeros(rows, np.uint8)
    tables, first = [], np.zeros(2, np.int64)
    for one in packed:
        here = slice(first[0], first[0] + len(one.shape))
        hot[here], solid[here], shape[here] = one.hot, one.solid, one.shape
        tables.append(one.shifted(*first.tolist()))
        first += len(one.shape), len(one.entries)
    planes = np.concatenate([[0], *(table.planes for table in tables)])
    plane_counts = np.array([len(table.planes) for table in tables])
    plane_first = 1 + np.cumsum(plane_counts) - plane_counts
    cell_counts = np.array([len(table.cells) for table in tables])
    hall = np.stack(
        [
            np.cumsum(cell_counts) - cell_counts,
            [table.columns for table in tables],
            cell_counts,
            plane_first,
            plane_counts,
        ],
        axis=1,
    )
    order = np.argsort(moving.body, kind="stable")
    counts = np.bincount(moving.body, minlength=body_count)
    result = WorldTables(
        hot=hot,
        solid=solid,
        shape=shape,
        info=np.concatenate([_info(p, False) for p in halls] + [_info(moving, True)]),
        look=np.ascontiguousarray(np.concatenate(looks), dtype=np.float32),
        hall=hall.astype(np.int32),
        grid=np.stack([table.grid for table in tables]).astype(real),
        cells=np.concatenate([table.cells for table in tables]),
        entries=np.concatenate([table.entries for table in tables] + [np.zeros((1, 4), np.int32)]),
        planes=planes.astype(np.int32),
        hall_of_world=np.ascontiguousarray(hall_of_world, dtype=np.int32),
        body_first=np.concatenate([[0], np.cumsum(counts)]).astype(np.int32),
        body_parts=np.concatenate([order, [0]]).astype(np.int32),
        body_box=np.zeros((max(1, worlds * body_count), 6), real),
        static=np.array([static], np.int32),
    )
    quaternion = moving.quaternion / np.linalg.norm(moving.quaternion, axis=1, keepdims=True)
    return result, Parts(
        np.ascontiguousarray(moving.kind),
        np.ascontiguousarray(moving.size, dtype=np.float64),
        np.ascontiguousarray(moving.position, dtype=np.float64),
        np.ascontiguousarray(rotation_matrix(quaternion)),
    )


@dataclass(frozen=True)
class _Hall:
    hot: FloatArray
    solid: FloatArray
    shape: NDArray[np.uint8]
    grid: FloatArray
    columns: int
    cells: IntArray
    entries: IntArray
    planes: IntArray

    def shifted(self, row: int, entry: int) -> _Hall:
        """Return the hall with its rows and entries counted from those of the halls before it."""
        entries = self.entries.copy()
        entries[:, 2] += row
        return replace(self, entries=entries, cells=self.cells + np.int32(entry), planes=self.planes + np.int32(row))


def _pack_hall(solids: Primitives, cell_size: float) -> _Hall:
    count = len(solids)
    hot, solid, bounds = np.zeros((count, HOT_COLUMNS)), np.zeros((count, SOLID_COLUMNS)), np.zeros((count, 6))
    shape = np.zeros(count, np.uint8)
    quaternion = solids.quaternion / np.linalg.norm(solids.quaternion, axis=1, keepdims=True)
    pack_rows(
        np.ascontiguousarray(solids.kind, dtype=np.uint8),
        np.ascontiguousarray(solids.size, dtype=np.float64),
        np.ascontiguousarray(solids.position, dtype=np.float64),
        np.ascontiguousarray(rotation_matrix(quaternion)),
        hot,
        solid,
        shape,
        bounds,
    )
    listed = bounds[shape != HALF_SPACE]
    lower, upper = np.zeros(3), np.zeros(3)
    if len(listed):
        lower = (listed[:, :3] - listed[:, 3:]).min(axis=0)
        upper = (listed[:, :3] + listed[:, 3:]).max(axis=0)
    grid, columns, rows = lay_out_grid(lower - MARGIN, upper + MARGIN, cell_size)
    # Footprints for the lists alone: the rows themselves stay exact.
    grown, wide = hot.copy(), bounds.copy()
    wide[:, 3:] += LEAVE
    grown[shape == YAW_BOX, 3:5] += LEAVE
    grown[(shape != YAW_BOX) & (shape != HALF_SPACE), 3] += LEAVE
    cells = np.empty((columns * rows, 4), np.int32)
    order = np.argsort(wide[:, 2] - wide[:, 5], kind="stable")
    entries = list_static(order, shape, grown, wide, grid, columns, cells)
    planes = np.flatnonzero(shape == HALF_SPACE).astype(np.int32)
    assert len(grid) == GRID_PARAMETERS
    return _Hall(hot, solid, shape, grid, columns, np.ascontiguousarray(cells[:, [FIRST, END]]), entries, planes)


def _info(solids: Primitives, moving: bool) -> IntArray:
    body = solids.body if moving else np.full(len(solids), STATIC_BODY)
    return np.stack([solids.kind, body, solids.instance_id, solids.class_id], axis=1).astype(np.int32).reshape(-1, 4)


@compiled
def pack_rows(
    kind: NDArray[np.uint8],
    size: FloatArray,
    position: FloatArray,
    axes: FloatArray,
    hot: FloatArray,
    solid: FloatArray,
    shape: NDArray[np.uint8],
    bounds: FloatArray,
) -> None:
    """Pack N solids (see ``intersect.pack_solid``); the last four arrays are written, bounds (N, 6) as centre and half
    extents [m]."""
    for p in range(len(kind)):
        code, ex, ey, ez = pack_solid(kind[p], size[p], position[p], axes[p], hot[p], solid[p])
        shape[p] = code
        bounds[p, 0], bounds[p, 1], bounds[p, 2] = position[p, 0], position[p, 1], position[p, 2]
        bounds[p, 3], bounds[p, 4], bounds[p, 5] = ex, ey, ez
