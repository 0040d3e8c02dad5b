"""What sensors see of a world: static solids and moving bodies, as arrays, ready to cast rays into. Knows no simulator.

Each solid is convex and filled (but triangles, which are two-sided and hollow). A ray that starts inside one hits it at
range 0, with the normal against the ray; the far side of a plane counts as inside (a floor is solid all the way down).
So a sensor that is buried in something gives finite answers, and never sees through it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import carray
from numpy.typing import ArrayLike, NDArray

from ..common.errors import InputError
from ..common.geometry import FloatArray, quaternion_multiply, rotation_matrix
from ..common.primitives import CAPSULE, CYLINDER, PLANE, SPHERE, TRIANGLE, PrimitiveBuilder, Primitives
from .blocks import RasterBlocks, raster_blocks
from .compiled import compiled, inlined, part
from .grid import (
    CELL,
    MAX_MOVING_CELLS,
    MOVING,
    STATIC_HIGH,
    STATIC_LOW,
    Z_HIGH,
    Z_LOW,
    IntArray,
    lay_out_grid,
    link_moving,
    list_static,
)
from .handles import make_handle, open_tables, pointer, tables_handle
from .intersect import HALF_SPACE, HOT_COLUMNS, SOLID_COLUMNS, pack_solid
from .lamps import check_lamps
from .lidar_footprints import (
    Footprints,
    footprint_lists,
    footprints,
    footprints_handle,
    group_solids,
    list_solid,
    open_footprints,
)
from .lidar_raster import MAX_SLICES
from .lidar_signal import lidar_surface
from .raycast import CAST_BAD_RANGE, CAST_NOT_FINITE, CAST_NOT_UNIT, Tables, cast_rays
from .shading import crowding_volume, looks, srgb_to_linear

if TYPE_CHECKING:
    from .appearance import Appearance

CELL_SIZE = 0.5
"""Cell size of the floor-plan grid [m]; the fastest of 0.25 to 1.0 in a hall of 1,000 m^2 with 2,400 solids."""
MARGIN = 1.0
"""The grid reaches this far [m] beyond the static solids, for movers that stick out."""
HEIGHT_PADDING = 1e-3

LUMINANCE = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
"""Weights of linear red, green and blue in luminance (ITU-R BT.709)."""

STATIC_BODY = -2
"""Body of static solids inside the tables; apart from -1, which stands for "exclude none"."""


@dataclass(frozen=True)
class Hits:
    """What N rays met.

    Attributes:
        range: (N,) float32 [m], inf for none.
        index: (N,) int32 row of the solid in the world table (static first, then moving), -1 for none.
        normal: (N, 3) float32 outward unit normal in ``map``, zero for none.
    """

    range: NDArray[np.float32]
    index: NDArray[np.int32]
    normal: NDArray[np.float32]


class Scene:
    """Static solids and the parts of moving bodies, with the tables that the kernels read.

    Args:
        static: solids in ``map``; ``body`` is not used.
        moving: parts of moving bodies; position and quaternion in the frame of the body that ``body`` names.
        body_count: number of moving bodies B.
        cell_size: cell size of the grid [m].
        lamps: (L, 6) x, y, z [m], power, colour temperature [K] and beam angle [rad] of each, see ``lamps``.
        appearance: how surfaces look to cameras beside their colours; None for the built-in looks.

    Raises:
        InputError: sizes not positive, values not finite, quaternions of no length, a body index outside
            [0, body_count), or lamps that ``lamps.check_lamps`` refuses.

    Until the first ``update`` every moving body stands at the origin of ``map``, unturned.
    """

    def __init__(
        self,
        static: Primitives,
        moving: Primitives,
        body_count: int,
        *,
        cell_size: float = CELL_SIZE,
        lamps: ArrayLike | None = None,
        appearance: Appearance | None = None,
    ) -> None:
        if not cell_size > 0 or not np.isfinite(cell_size):
            raise InputError(f"the cell size is {cell_size} m", where="Scene.cell_size", mend="give a size above 0")
        _check_primitives(static, "static")
        _check_primitives(moving, "moving")
        if len(moving) and (moving.body.min() < 0 or moving.body.max() >= body_count):
            raise InputError(
                f"parts name moving bodies {moving.body.min()} to {moving.body.max()}, there are {body_count}",
                where="Scene.moving.body",
                mend=f"use indices 0 to {body_count - 1}",
            )
        self.lamps: FloatArray = check_lamps(lamps)
        self.appearance = appearance
        self.static, self.moving, self.body_count = static, moving, body_count
        self.static_count = len(static)
        both = Primitives.concatenate([static, moving])
        self.instance_id: IntArray = both.instance_id.astype(np.int32)
        self.class_id: IntArray = both.class_id.astype(np.int32)
        self.color: NDArray[np.uint8] = np.ascontiguousarray(both.color)
        self.looks: NDArray[np.float32] = looks(both, self.appearance)
        self.reflectivity: NDArray[np.float32] = srgb_to_linear(both.color) @ LUMINANCE
        self._crowding: tuple[NDArray[np.float32], FloatArray] | None = None
        self._blocks: RasterBlocks | None = None
        self._lidar_surface: NDArray[np.float32] | None = None
        self._slices: dict[float | None, tuple[Footprints, NDArray[np.int64]]] = {}
        self.moving_footprints = footprint_lists(len(moving))
        """Moving solids as lidars want them; brought up to date by ``update``."""
        self._local_axes = rotation_matrix(_unit(moving.quaternion))
        self._local_position = np.ascontiguousarray(moving.position, dtype=np.float64)
        self._size = np.ascontiguousarray(both.size, dtype=np.float64)
        self._bounds = np.zeros((len(both), 6))
        self._pose = np.tile([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0], (body_count, 1))
        self._used = np.zeros(1, np.int64)
        self._tables = self._build_tables(both, cell_size)
        self._linked = False
        self._make_handles()
        self.update(self._pose)

    def __len__(self) -> int:
        return len(self.instance_id)

    def __getstate__(self) -> dict[str, Any]:
        """Return all but the addresses of arrays, which a copy has elsewhere."""
        left = ("placed_handle", "moving_handle", "placing_handle", "linking_handle", "_shade_tables")
        return {**{k: v for k, v in self.__dict__.items() if k not in left}, "_slices": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._make_handles()

    def _make_handles(self) -> None:
        self.placed_handle = tables_handle(self._tables)
        """The tables' handle, for kernels that cast no rays: moving solids need not be linked into the grid."""
        self.moving_handle = footprints_handle(self.moving_footprints)
        self.placing_handle = make_handle(self._size, self._local_position, self._local_axes, self._bounds, self._pose)
        """The handle of what ``place_bodies`` needs besides: where parts are in their bodies, bounds and poses."""
        self.linking_handle = make_handle(self._bounds, self._owner, self._used)
        """The handle of what ``link_bodies`` needs besides the tables."""

    @property
    def tables(self) -> Tables:
        """What the kernels read, with the moving solids linked into the grid (when first asked for after an update)."""
        if not self._linked:
            link_bodies(self.placed_handle, self.linking_handle, self.static_count)
            self._linked = True
        return self._tables

    @property
    def handle(self) -> NDArray[np.int64]:
        """The handle of ``tables``, likewise."""
        _ = self.tables
        return self.placed_handle

    def update(self, body_pose: ArrayLike) -> None:
        """Place the moving bodies for a frame.

        Args:
            body_pose: (B, 7) x, y, z [m] and quaternion xyzw of each body in ``map``.

        Raises:
            InputError: wrong shape, a value that is not finite or a quaternion not of unit length (within 1 %). The
                scene is left as it was.
        """
        pose = np.ascontiguousarray(body_pose, dtype=np.float64)
        if pose.shape != (self.body_count, 7):
            raise InputError(
                f"body poses have shape {pose.shape}", where="Scene.update", mend=f"give ({self.body_count}, 7)"
            )
        bad = place_bodies(self.placed_handle, self.placing_handle, self.moving_handle, pose, self.static_count)
        if bad >= 0:
            raise InputError(
                f"pose of moving body {bad} is not usable: {pose[bad].tolist()}",
                where="Scene.update",
                mend="positions must be finite and quaternions xyzw of unit length",
            )
        self._linked = False

    def cast(
        self,
        origin: ArrayLike,
        direction: ArrayLike,
        max_range: float | ArrayLike = np.inf,
        exclude_body: int | ArrayLike = -1,
    ) -> Hits:
        """Cast N rays.

        Args:
            origin: (N, 3) [m] in ``map``, or (3,) for all rays.
            direction: (N, 3) unit vectors in ``map``.
            max_range: [m], >= 0; one for all or (N,).
            exclude_body: moving body that rays pass through (the one that carries the sensor); -1 for none; one for
                all or (N,).

        Raises:
            InputError: shapes that do not fit, values that are not finite, directions not of unit length (within
                0.1 %), negative or NaN ranges.
        """
        direction = np.ascontiguousarray(direction, dtype=np.float64)
        origin = np.asarray(origin, dtype=np.float64)
        if direction.ndim != 2 or direction.shape[1] != 3 or origin.shape not in ((3,), direction.shape):
            raise InputError(
                f"origins {origin.shape} and directions {direction.shape} do not fit",
                where="Scene.cast",
                mend="give directions (N, 3) and origins (N, 3) or (3,)",
            )
        count = len(direction)
        origin = np.ascontiguousarray(np.broadcast_to(origin, direction.shape))
        limit = np.ascontiguousarray(np.atleast_1d(np.asarray(max_range, dtype=np.float64)))
        exclude = np.ascontiguousarray(np.atleast_1d(np.asarray(exclude_body, dtype=np.int32)))
        for name, values in (("max_range", limit), ("exclude_body", exclude)):
            if values.shape not in ((1,), (count,)):
                raise InputError(f"{name} has shape {values.shape}", where="Scene.cast", mend=f"give one or ({count},)")
        ranges, index = np.empty(count, np.float32), np.empty(count, np.int32)
        normal = np.empty((count, 3), np.float32)
        status, ray = cast_rays(self.tables, origin, direction, limit, exclude, ranges, index, normal)
        if status:
            what = {
                CAST_NOT_FINITE: "origin or direction is not finite",
                CAST_NOT_UNIT: f"direction {direction[ray % max(count, 1)].tolist()} is not of unit length",
                CAST_BAD_RANGE: "max_range is negative or NaN",
            }[status]
            raise InputError(what, where=f"Scene.cast, ray {ray}", mend="correct the ray")
        return Hits(ranges, index, normal)

    @property
    def crowding(self) -> tuple[NDArray[np.float32], FloatArray]:
        """How full of static solids each place is, for ambient light; see ``shading.crowding_volume``."""
        if self._crowding is None:
            n = self.static_count
            self._crowding = crowding_volume(self._bounds[:n], self._tables.kind[:n])
        return self._crowding

    @property
    def blocks(self) -> RasterBlocks:
        """The static solids in blocks of neighbours; see ``blocks.raster_blocks``."""
        if self._blocks is None:
            self._blocks = raster_blocks(self._bounds, self.static_count)
        return self._blocks

    @property
    def lidar_surface(self) -> NDArray[np.float32]:
        """What a lidar's light meets on each solid, (P, 4); see ``lidar_signal.lidar_surface``."""
        if self._lidar_surface is None:
            self._lidar_surface = lidar_surface(Primitives.concatenate([self.static, self.moving]))
        return self._lidar_surface

    def footprints_handle(self, height: float | None = None) -> NDArray[np.int64]:
        """Return the static solids as lidars want them; with a height [m] only those that stand there."""
        found = self._slices.get(height)
        if found is None:
            if len(self._slices) >= MAX_SLICES:
                self._slices.clear()
            lists = footprints(self._tables, self._bounds, self.blocks.row, height)
            found = self._slices[height] = lists, footprints_handle(lists)
        return found[1]

    def world_primitives(self) -> Primitives:
        """Return all solids in ``map``: static, then moving at their current poses.

        ``body`` is -1 for static solids and the moving body's index for parts; rows match ``Hits.index``.
        """
        moving = self.moving
        solid = self._tables.solid
        turned = quaternion_multiply(_unit(self._pose[:, 3:])[moving.body], _unit(moving.quaternion))
        placed = Primitives(
            kind=moving.kind,
            size=moving.size,
            position=solid[self.static_count :, :3].copy(),
            quaternion=turned,
            color=moving.color,
            class_id=moving.class_id,
            instance_id=moving.instance_id,
            body=moving.body,
        )
        static = self.static
        fixed = Primitives(
            kind=static.kind,
            size=static.size,
            position=static.position,
            quaternion=static.quaternion,
            color=static.color,
            class_id=static.class_id,
            instance_id=static.instance_id,
            body=np.full(len(static), -1, np.int32),
        )
        return Primitives.concatenate([fixed, placed])

    def _build_tables(self, both: Primitives, cell_size: float) -> Tables:
        count, static = len(both), self.static_count
        hot, solid = np.zeros((count, HOT_COLUMNS)), np.zeros((count, SOLID_COLUMNS))
        shape, kind = np.zeros(count, np.uint8), np.ascontiguousarray(both.kind, dtype=np.uint8)
        axes = rotation_matrix(_unit(both.quaternion))
        position = np.ascontiguousarray(both.position, dtype=np.float64)
        # Moving parts are packed here too, for their greatest extent; ``update`` places them.
        _pack_all(kind, self._size, position, axes, hot, solid, shape, self._bounds)

        bounded = self._bounds[:static][shape[:static] != HALF_SPACE]
        lower, upper = np.zeros(3), np.zeros(3)
        if len(bounded):
            lower = (bounded[:, :3] - bounded[:, 3:]).min(axis=0)
            upper = (bounded[:, :3] + bounded[:, 3:]).max(axis=0)
        around = np.array([MARGIN, MARGIN, HEIGHT_PADDING])
        grid, columns, rows = lay_out_grid(lower - around, upper + around, cell_size)
        cells = np.empty((columns * rows, 4), np.int32)
        bounds = np.ascontiguousarray(self._bounds[:static])
        order = np.argsort(bounds[:, 2] - bounds[:, 5], kind="stable")
        entries = list_static(order, shape, hot, bounds, grid, columns, cells)

        # Room for each part's cells at any orientation: a square about its bounding sphere.
        reach = np.linalg.norm(self._bounds[static:, 3:], axis=1)
        across = np.minimum(2.0 * reach / grid[CELL] + 3.0, np.sqrt(MAX_MOVING_CELLS))
        room = int(np.sum(np.where(shape[static:] == HALF_SPACE, 0.0, np.ceil(across) ** 2)))
        self._owner = np.empty(room, np.int32)
        always = np.zeros(count + 1, np.int32)
        planes = np.flatnonzero(shape[:static] == HALF_SPACE)
        always[0] = len(planes)
        always[1 : 1 + len(planes)] = planes
        body = np.concatenate([np.full(static, STATIC_BODY), self.moving.body]).astype(np.int32)
        return Tables(
            hot=hot,
            solid=solid,
            shape=shape,
            kind=kind,
            body=body,
            grid=grid,
            columns=columns,
            cells=cells,
            entries=entries,
            moving=np.empty((room, 4), np.int32),
            always=always,
        )


@compiled
def _pack_all(
    kind: NDArray[np.uint8],
    size: FloatArray,
    position: FloatArray,
    axes: FloatArray,
    hot: FloatArray,
    solid: FloatArray,
    shape: NDArray[np.uint8],
    bounds: FloatArray,
) -> None:
    for p in range(len(kind)):
        code, ex, ey, ez = pack_solid(kind[p], size[p], position[p], axes[p], hot[p], solid[p])
        shape[p] = code
        bounds[p, :3] = position[p]
        bounds[p, 3], bounds[p, 4], bounds[p, 5] = ex, ey, ez


@part
def first_bad_pose(pose: FloatArray) -> int:
    """Return the first of poses (B, 7) that is not finite or of no unit length, or -1."""
    for b in range(pose.shape[0]):
        total = 0.0
        for j in range(7):
            total += pose[b, j]
        norm = pose[b, 3] ** 2 + pose[b, 4] ** 2 + pose[b, 5] ** 2 + pose[b, 6] ** 2
        if not np.isfinite(total) or not abs(norm - 1.0) < 0.02:
            return b
    return -1


@compiled
def place_bodies(
    scene: NDArray[np.int64],
    placing: NDArray[np.int64],
    lists: NDArray[np.int64],
    pose: FloatArray,
    static_count: int,
) -> int:
    """Move the parts to their bodies' poses and list them for lidars; returns the first unusable pose, or -1.

    Args:
        scene: handle of the tables. placing: handle of size, local position and axes, bounds and the poses kept.
        lists: handle of the moving footprints. pose: (B, 7). static_count: number of static solids.
    """
    bad = first_bad_pose(pose)
    if bad >= 0:
        return bad
    tables, listed = open_tables(scene), open_footprints(lists)
    hot, solid, shape = tables.hot, tables.solid, tables.shape
    size = carray(pointer(placing[0]), (placing[1], 3), np.float64)
    local_position = carray(pointer(placing[2]), (placing[3], 3), np.float64)
    local_axes = carray(pointer(placing[4]), (placing[5], 3, 3), np.float64)
    bounds = carray(pointer(placing[6]), (placing[7], 6), np.float64)
    kept = carray(pointer(placing[8]), (placing[9], 7), np.float64)
    for b in range(pose.shape[0]):
        for j in range(7):
            kept[b, j] = pose[b, j]
    for j in range(3):
        listed.used[j] = 0
    turn, axes, center = np.empty((3, 3)), np.empty((3, 3)), np.empty(3)
    before = -1
    for i in range(local_position.shape[0]):
        p = static_count + i
        b = tables.body[p]
        if b != before:
            _fill_rotation(pose[b, 3], pose[b, 4], pose[b, 5], pose[b, 6], turn)
            before = b
        for r in range(3):
            center[r] = pose[b, r]
            for k in range(3):
                center[r] += turn[r, k] * local_position[i, k]
                axes[r, k] = (
                    turn[r, 0] * local_axes[i, 0, k]
                    + turn[r, 1] * local_axes[i, 1, k]
                    + turn[r, 2] * local_axes[i, 2, k]
                )
        code, ex, ey, ez = pack_solid(tables.kind[p], size[p], center, axes, hot[p], solid[p])
        shape[p] = code
        bounds[p, 0], bounds[p, 1], bounds[p, 2] = center[0], center[1], center[2]
        bounds[p, 3], bounds[p, 4], bounds[p, 5] = ex, ey, ez
        list_solid(tables, bounds, p, listed)
    group_solids(listed)
    return -1


@compiled
def link_bodies(scene: NDArray[np.int64], linking: NDArray[np.int64], static_count: int) -> None:
    """Link the moving solids into the cells that they stand over, for rays.

    Args:
        scene: handle of the tables. linking: handle of bounds, owners of moving entries and their number.
        static_count: number of static solids.
    """
    tables = open_tables(scene)
    bounds = carray(pointer(linking[0]), (linking[1], 6), np.float64)
    owner = carray(pointer(linking[2]), (linking[3],), np.int32)
    used = carray(pointer(linking[4]), (linking[5],), np.int64)
    hot, shape, always, grid = tables.hot, tables.shape, tables.always, tables.grid
    for k in range(used[0]):
        tables.cells[owner[k], MOVING] = -1
    grid[Z_LOW], grid[Z_HIGH] = grid[STATIC_LOW], grid[STATIC_HIGH]
    fixed = 0
    while fixed < always[0] and always[fixed + 1] < static_count:
        fixed += 1
    always[0] = fixed
    count = 0
    for p in range(static_count, len(shape)):
        linked = -1
        if shape[p] != HALF_SPACE:
            linked = link_moving(
                p, shape[p], hot, bounds[p], grid, tables.columns, tables.cells, tables.moving, owner, count
            )
        if linked < 0:
            always[0] += 1
            always[always[0]] = p
        else:
            count = linked
            grid[Z_LOW] = min(grid[Z_LOW], bounds[p, 2] - bounds[p, 5] - HEIGHT_PADDING)
            grid[Z_HIGH] = max(grid[Z_HIGH], bounds[p, 2] + bounds[p, 5] + HEIGHT_PADDING)
    used[0] = count


@inlined
def _fill_rotation(x: float, y: float, z: float, w: float, out: FloatArray) -> None:
    scale = 2.0 / (x * x + y * y + z * z + w * w)
    out[0, 0], out[0, 1], out[0, 2] = 1 - scale * (y * y + z * z), scale * (x * y - z * w), scale * (x * z + y * w)
    out[1, 0], out[1, 1], out[1, 2] = scale * (x * y + z * w), 1 - scale * (x * x + z * z), scale * (y * z - x * w)
    out[2, 0], out[2, 1], out[2, 2] = scale * (x * z - y * w), scale * (y * z + x * w), 1 - scale * (x * x + y * y)


def _unit(quaternion: ArrayLike) -> FloatArray:
    q = np.asarray(quaternion, dtype=np.float64)
    return q / np.linalg.norm(q, axis=-1, keepdims=True)


def _check_primitives(primitives: Primitives, name: str) -> None:
    kind, size = primitives.kind, primitives.size
    two = np.isin(kind, (CYLINDER, CAPSULE))
    used = np.ones((len(primitives), 3), dtype=bool)
    used[two, 2] = False
    used[kind == SPHERE, 1:] = False
    used[kind == PLANE] = False
    triangle = kind == TRIANGLE
    used[triangle, 1] = False
    finite: NDArray[np.bool_] = np.all(np.isfinite(np.hstack([primitives.position, primitives.quaternion])), axis=1)
    norm = np.linalg.norm(np.nan_to_num(primitives.quaternion, nan=0.0, posinf=0.0, neginf=0.0), axis=1)
    bad_size: NDArray[np.bool_] = np.any(used & ~((size > 0) & np.isfinite(size)), axis=1)
    checks: tuple[tuple[NDArray[np.bool_], str], ...] = (
        (np.asarray(kind > TRIANGLE), "kind is unknown"),
        (bad_size, "size is not positive"),
        (triangle & ~(np.abs(size[:, 1]) <= size[:, 0]), "the third corner lies beyond the base"),
        (np.logical_not(finite), "position or quaternion is not finite"),
        (np.asarray(finite & (np.abs(norm - 1.0) > 0.01)), "quaternion is not of unit length"),
    )
    for wrong, what in checks:
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise InputError(
                f"{what}: kind {kind[row]}, size {size[row].tolist()}, position {primitives.position[row].tolist()}, "
                f"quaternion {primitives.quaternion[row].tolist()}",
                where=f"Scene.{name}, solid {row}",
                mend="correct the solid",
            )


def empty_primitives() -> Primitives:
    """Return no solids at all, for scenes without moving bodies."""
    return PrimitiveBuilder().build()
