"""Occupancy grids of a layout, rasterized from its solids, and the clearance to the nearest of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.errors import InputError
from ..common.geometry import rotation_matrix
from ..common.primitives import BOX, PLANE, Primitives
from .footprints import outline
from .geometry import LayoutSolids, layout_solids
from .model import Layout

MAX_CELLS = 200_000_000
SHARP_AREA = 4000.0
"""Imported halls up to this size [m^2] are measured on finer cells (see ``sharp_clearance``)."""
FINE_AREA = 1000.0
FINE_CELL = 0.05
"""In those up to this size [m^2], ways are looked for on cells of this size [m]: the middle of a door must lie on one.
"""
BORDER = 0.5
"""Strip around the hall that belongs to the grid [m]; all of it is occupied."""
TOUCH = 1e-6
"""Footprints that overlap a cell by less than this [m] only touch it."""
UPRIGHT = 1.0 - 1e-9
"""Cosine of the lean from which a solid counts as leaning."""


def is_sharp(layout: Layout) -> bool:
    """Whether a hall is measured on finer cells: imported ones are, whose walls lie as they like."""
    return layout.source is not None and layout.area <= SHARP_AREA


def cell_size(layout: Layout, usual: float) -> float:
    """Return the edge of the cells [m] that ways are looked for on: finer ones in small imported halls."""
    return min(usual, FINE_CELL) if is_sharp(layout) and layout.area <= FINE_AREA else usual


@dataclass(frozen=True)
class OccupancyGrid:
    """A grid over the hall and a border around it.

    Attributes:
        occupied: (H, W) bool, row = y, column = x: whether a footprint overlaps the cell. The border is occupied.
        resolution: edge of a cell [m].
        origin: (2,) float64 x, y [m] in ``map`` of the outer corner of cell (0, 0).
    """

    occupied: NDArray[np.bool_]
    resolution: float
    origin: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.occupied.shape[0], self.occupied.shape[1]

    def world_to_cell(self, points: ArrayLike) -> NDArray[np.int64]:
        """Return row, column (..., 2) of the cells that hold the points x, y (..., 2) [m]; may lie outside the grid."""
        cells = np.floor((np.asarray(points, dtype=np.float64) - self.origin) / self.resolution).astype(np.int64)
        return cells[..., ::-1]

    def cell_to_world(self, cells: ArrayLike) -> NDArray[np.float64]:
        """Return x, y (..., 2) [m] of the centres of cells row, column (..., 2)."""
        return self.origin + (np.asarray(cells, dtype=np.float64)[..., ::-1] + 0.5) * self.resolution

    def inside(self, cells: ArrayLike) -> NDArray[np.bool_]:
        """Return whether cells row, column (..., 2) lie in the grid."""
        index = np.asarray(cells)
        return np.asarray(((index >= 0) & (index < np.array(self.shape))).all(axis=-1))


def occupancy_grid(
    layout: Layout,
    resolution: float = 0.05,
    *,
    z_min: float = 0.03,
    z_max: float = 1.9,
    loose_goods: bool = True,
    solids: LayoutSolids | None = None,
) -> OccupancyGrid:
    """Rasterize the footprints of all solids that reach into a band of heights.

    A cell is occupied if any footprint overlaps it, so that nothing thinner than a cell is lost.

    Args:
        layout: the hall.
        resolution: edge of a cell [m].
        z_min: lower end of the band [m]; flatter things are driven over.
        z_max: upper end of the band [m]; higher things are driven under.
        loose_goods: whether goods without a rack count.
        solids: ``layout_solids(layout)``, if at hand.

    Raises:
        InputError: the grid would have more than 200 million cells.
    """
    rows, columns = math.ceil(layout.width / resolution - 1e-9), math.ceil(layout.length / resolution - 1e-9)
    border = math.ceil(BORDER / resolution)
    if (rows + 2 * border) * (columns + 2 * border) > MAX_CELLS:
        raise InputError(
            f"a grid of {rows} x {columns} cells is over the limit of {MAX_CELLS:,} cells",
            where=f"layout '{layout.name}', {layout.length:g} x {layout.width:g} m at {resolution:g} m",
            mend="correct length and width, or use a coarser resolution",
        )
    occupied = np.ones((rows + 2 * border, columns + 2 * border), dtype=np.bool_)
    occupied[border:-border, border:-border] = False
    grid = OccupancyGrid(occupied, resolution, np.full(2, -border * resolution))
    solids = solids or layout_solids(layout)
    _rasterize(grid, solids.static, z_min, z_max)
    if loose_goods:
        _rasterize(grid, loose_in_map(solids), z_min, z_max)
    return grid


def clearance_field(grid: OccupancyGrid) -> NDArray[np.float32]:
    """Return (H, W) float32: metres from each cell's centre to the centre of the nearest occupied cell, 0 if occupied.

    The Euclidean distance transform of ``scipy.ndimage`` (exact). Obstacles are up to half a cell nearer than this.
    """
    from scipy import ndimage

    return (ndimage.distance_transform_edt(~grid.occupied) * grid.resolution).astype(np.float32)


def sharp_clearance(
    layout: Layout, grid: OccupancyGrid, *, loose_goods: bool = True, solids: LayoutSolids | None = None
) -> NDArray[np.float32]:
    """Return (H, W) float32 [m]: a lower bound of the distance from each cell's centre to the nearest footprint.

    As ``clearance_field`` less half a cell, but measured on cells of a fifth of the size: walls that lie across the
    grid lose no more than that, where they lose a whole cell there. For doors that are hardly wider than a robot.

    Args:
        layout: the hall that the grid is of.
        grid: whose cells are asked for.
        loose_goods, solids: as in ``occupancy_grid``.
    """
    fine = occupancy_grid(layout, grid.resolution / 5.0, loose_goods=loose_goods, solids=solids)
    field = clearance_field(fine)
    rows, columns = grid.shape
    y = grid.origin[1] + (np.arange(rows) + 0.5) * grid.resolution
    x = grid.origin[0] + (np.arange(columns) + 0.5) * grid.resolution
    row = np.clip(np.floor((y - fine.origin[1]) / fine.resolution).astype(np.int64), 0, fine.shape[0] - 1)
    column = np.clip(np.floor((x - fine.origin[0]) / fine.resolution).astype(np.int64), 0, fine.shape[1] - 1)
    off_y = np.abs(fine.origin[1] + (row + 0.5) * fine.resolution - y)
    off_x = np.abs(fine.origin[0] + (column + 0.5) * fine.resolution - x)
    off = np.hypot(off_y[:, None], off_x[None, :]) + 0.5 * fine.resolution
    return np.maximum(field[row[:, None], column[None, :]] - off, 0.0).astype(np.float32)


def loose_in_map(solids: LayoutSolids) -> Primitives:
    """Return the solids of the loose goods placed in ``map``; poses must be upright, as those of a layout are."""
    pose = solids.loose_pose[solids.loose.body]
    cos, sin = 1.0 - 2.0 * pose[:, 5] ** 2, 2.0 * pose[:, 5] * pose[:, 6]
    x, y, z = solids.loose.position.T
    position = np.stack([cos * x - sin * y, sin * x + cos * y, z], axis=-1) + pose[:, :3]
    loose = solids.loose
    return Primitives(
        loose.kind, loose.size, position, pose[:, 3:], loose.color, loose.class_id, loose.instance_id, loose.body
    )


def _rasterize(grid: OccupancyGrid, solids: Primitives, z_min: float, z_max: float) -> None:
    """Mark the cells that the footprints of boxes and cylinders overlap; of leaning ones, what lies in the band."""
    solids = solids.take(solids.kind != PLANE)
    leaning = rotation_matrix(solids.quaternion)[:, 2, 2] < UPRIGHT
    for index in np.flatnonzero(leaning).tolist():
        size, position = solids.size[index].tolist(), solids.position[index].tolist()
        _mark_polygon(grid, outline(int(solids.kind[index]), size, position, solids.quaternion[index], z_min, z_max))
    solids = solids.take(~leaning)
    is_box = solids.kind == BOX
    half_height = np.where(is_box, solids.size[:, 2], solids.size[:, 1])
    z = solids.position[:, 2]
    solids = solids.take((z + half_height > z_min) & (z - half_height < z_max))
    is_box = solids.kind == BOX
    cos = 1.0 - 2.0 * solids.quaternion[:, 2] ** 2
    sin = 2.0 * solids.quaternion[:, 2] * solids.quaternion[:, 3]
    half_x = solids.size[:, 0]
    half_y = np.where(is_box, solids.size[:, 1], solids.size[:, 0])
    reach_x = np.where(is_box, np.abs(cos) * half_x + np.abs(sin) * half_y, half_x)
    reach_y = np.where(is_box, np.abs(sin) * half_x + np.abs(cos) * half_y, half_y)
    centre = solids.position[:, :2] - grid.origin
    reach = np.stack([reach_x, reach_y], axis=-1) - TOUCH
    limit = np.array(grid.shape[::-1])
    low = np.clip(np.floor((centre - reach) / grid.resolution).astype(np.int64), 0, limit)
    high = np.clip(np.floor((centre + reach) / grid.resolution).astype(np.int64) + 1, 0, limit)
    square = is_box & ((np.abs(sin) < 1e-9) | (np.abs(cos) < 1e-9))
    for index in range(len(solids)):
        (x0, y0), (x1, y1) = low[index].tolist(), high[index].tolist()
        window = grid.occupied[y0:y1, x0:x1]
        if square[index]:
            window[...] = True
            continue
        dx = (np.arange(x0, x1) + 0.5) * grid.resolution - centre[index, 0]
        dy = (np.arange(y0, y1) + 0.5) * grid.resolution - centre[index, 1]
        half = 0.5 * grid.resolution
        if is_box[index]:
            # Separating axes: those of the grid bound the window already, those of the box are tested here.
            c, s = cos[index], sin[index]
            cell = half * (abs(c) + abs(s)) - TOUCH
            along = np.abs(c * dx[None, :] + s * dy[:, None]) < half_x[index] + cell
            window |= along & (np.abs(c * dy[:, None] - s * dx[None, :]) < half_y[index] + cell)
        else:
            near_x, near_y = np.maximum(np.abs(dx) - half, 0.0), np.maximum(np.abs(dy) - half, 0.0)
            window |= near_x[None, :] ** 2 + near_y[:, None] ** 2 < (half_x[index] - TOUCH) ** 2


def _mark_polygon(grid: OccupancyGrid, corners: NDArray[np.float64]) -> None:
    """Mark the cells that a convex polygon (K, 2) x, y [m], counter-clockwise, overlaps."""
    if len(corners) < 3:
        return
    limit = np.array(grid.shape[::-1])
    local = corners - grid.origin
    x0, y0 = np.clip(np.floor((local.min(axis=0) + TOUCH) / grid.resolution).astype(np.int64), 0, limit).tolist()
    x1, y1 = np.clip(np.ceil((local.max(axis=0) - TOUCH) / grid.resolution).astype(np.int64), 0, limit).tolist()
    x = (np.arange(x0, x1) + 0.5) * grid.resolution
    y = (np.arange(y0, y1) + 0.5) * grid.resolution
    covered = np.ones((y1 - y0, x1 - x0), dtype=np.bool_)
    half = 0.5 * grid.resolution
    # Separating axes: those of the grid bound the window already, those across the polygon's edges are tested here.
    for (ax, ay), (bx, by) in zip(local.tolist(), np.roll(local, -1, axis=0).tolist(), strict=True):
        length = math.hypot(bx - ax, by - ay)
        nx, ny = (by - ay) / length, (ax - bx) / length
        reach = half * (abs(nx) + abs(ny)) - TOUCH
        covered &= nx * (x[None, :] - ax) + ny * (y[:, None] - ay) < reach
    grid.occupied[y0:y1, x0:x1] |= covered
