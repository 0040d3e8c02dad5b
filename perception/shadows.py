"""Shadows of the key light: a map of the static solids, sheared along the light, and a list of the moving ones.

All points of one ray of light share their *sheared* place ``(x - z kx, y - z ky)``, with ``k`` the light's sideways
travel per metre of height. So the map needs one number for each ray: the height at which the ray first meets a static
solid. A point is lit by what stands still if that height is not above it (Williams, *Casting curved shadows on curved
surfaces*, 1978, for parallel light). The solid met is kept too, as a convex solid never shades the side of itself that
looks to the light.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import FloatArray
from .borrow import borrowed
from .compiled import compiled, inlined, inner
from .grid import IntArray
from .intersect import AXIS_BOX, HALF_SPACE, interval, reciprocal
from .raycast import Tables, as_index

TEXEL = 0.02
"""Size of a texel of the shadow map [m], in halls where ``MAX_TEXELS`` suffice."""
MAX_TEXELS = 8_000_000
"""Four bytes each."""
HEIGHT_LEVELS = 65500.0
STEEPEST = 8.0
"""Light that travels more than this many metres sideways per metre down is taken as if it travelled that many."""
CELL_SHIFT = 5
"""Cells of the list of moving solids are 2 to this power texels wide."""
LINKS_EACH = 64
"""Room for cells of each moving solid; those that find none left are tested everywhere."""

SHADOW_X, SHADOW_Y, SHADOW_PER_METRE, SHADOW_KX, SHADOW_KY, SHADOW_Z, SHADOW_PER_HEIGHT, SHADOW_DARK = range(8)
SHADOW_COLUMNS, SHADOW_ROWS, FRAME_COLUMNS = 8, 9, 10
"""Columns of a shadow map's frame: corner [m] (sheared), texels per metre, sideways travel per height, lowest height
[m], levels per metre, 1 if a plane keeps all light out; columns and rows of texels."""


class ShadowMap(NamedTuple):
    """Where static solids shade each other.

    Attributes:
        texels: (rows * columns,) uint32: height in the upper 16 bits (0 for none), the solid's row in the lower 16.
        frame: (10,) float64, see ``SHADOW_X``.
    """

    texels: NDArray[np.uint32]
    frame: FloatArray


def shadow_map(tables: Tables, bounds: FloatArray, static_count: int, towards: FloatArray) -> ShadowMap:
    """Draw the shadow map of a scene's static solids.

    Args:
        tables: of the scene. bounds: (P, 6) centre and half extents [m]. static_count: of the first rows.
        towards: (3,) unit vector to the light, z > 0.

    Returns:
        The map; at most ``MAX_TEXELS`` texels, so in large halls they are larger than ``TEXEL``.
    """
    z = max(float(towards[2]), 1e-9)
    k = np.array([towards[0] / z, towards[1] / z])
    long = float(np.hypot(*k))
    if long > STEEPEST:
        k *= STEEPEST / long
    flat = tables.shape[:static_count] == HALF_SPACE
    dark = bool(np.any(tables.hot[:static_count][flat][:, :3] @ np.asarray(towards) < -1e-9))
    solid = bounds[:static_count][~flat]
    frame = np.array([0.0, 0.0, 1.0 / TEXEL, k[0], k[1], 0.0, 1.0, float(dark), 2.0, 2.0])
    if not len(solid):
        return ShadowMap(np.zeros(4, np.uint32), frame)
    middle = solid[:, :2] - solid[:, 2:3] * k
    reach = solid[:, 3:5] + solid[:, 5:6] * np.abs(k)
    lower, upper = (middle - reach).min(axis=0), (middle + reach).max(axis=0)
    low, high = (solid[:, 2] - solid[:, 5]).min(), (solid[:, 2] + solid[:, 5]).max()
    texel = max(TEXEL, float(np.sqrt(np.prod(upper - lower) / MAX_TEXELS)))
    lower = lower - 2.0 * texel
    columns, rows = (np.ceil((upper - lower) / texel) + 2).astype(int)
    frame[[SHADOW_X, SHADOW_Y, SHADOW_PER_METRE]] = lower[0], lower[1], 1.0 / texel
    frame[[SHADOW_Z, SHADOW_PER_HEIGHT]] = low, HEIGHT_LEVELS / max(high - low, 1e-3)
    frame[[SHADOW_COLUMNS, SHADOW_ROWS]] = columns, rows
    texels = np.zeros(rows * columns, np.uint32)
    draw_shadows(tables, bounds, as_index(static_count), frame, texels)
    return ShadowMap(texels, frame)


@inlined
def sheared_window(bounds: FloatArray, p: int, frame: FloatArray, columns: int, rows: int) -> tuple[int, int, int, int]:
    """Return the first and last texel column and row whose centres the shadow of solid p may cover."""
    kx, ky, per = frame[SHADOW_KX], frame[SHADOW_KY], frame[SHADOW_PER_METRE]
    x = (bounds[p, 0] - bounds[p, 2] * kx - frame[SHADOW_X]) * per - 0.5
    y = (bounds[p, 1] - bounds[p, 2] * ky - frame[SHADOW_Y]) * per - 0.5
    dx = (bounds[p, 3] + bounds[p, 5] * abs(kx)) * per
    dy = (bounds[p, 4] + bounds[p, 5] * abs(ky)) * per
    i0 = as_index(np.ceil(max(x - dx, 0.0)))
    i1 = as_index(np.floor(min(x + dx, columns - 1.0)))
    j0 = as_index(np.ceil(max(y - dy, 0.0)))
    j1 = as_index(np.floor(min(y + dy, rows - 1.0)))
    return i0, i1, j0, j1


@compiled
def draw_shadows(
    tables: Tables, bounds: FloatArray, static_count: int, frame: FloatArray, texels: NDArray[np.uint32]
) -> None:
    """Fill a shadow map, empty before; see ``shadow_map``."""
    tables, bounds, texels = borrowed(tables), borrowed(bounds), borrowed(texels)
    columns, rows = as_index(frame[SHADOW_COLUMNS]), as_index(frame[SHADOW_ROWS])
    kx, ky = frame[SHADOW_KX], frame[SHADOW_KY]
    size = 1.0 / frame[SHADOW_PER_METRE]
    x0, y0 = frame[SHADOW_X] + 0.5 * size, frame[SHADOW_Y] + 0.5 * size
    low, per = frame[SHADOW_Z], frame[SHADOW_PER_HEIGHT]
    ix, iy = reciprocal(kx), reciprocal(ky)
    hot = tables.hot
    for p in range(static_count):
        shape = tables.shape[p]
        if shape == HALF_SPACE:
            continue
        i0, i1, j0, j1 = sheared_window(bounds, p, frame, columns, rows)
        code = np.uint32(p & 0xFFFF)
        for j in range(j0, j1 + 1):
            y = y0 + j * size
            if shape == AXIS_BOX:
                ay, by = (hot[p, 1] - y) * iy, (hot[p, 4] - y) * iy
                enter_y, leave_y = max(min(ay, by), hot[p, 2]), min(max(ay, by), hot[p, 5])
                for i in range(i0, i1 + 1):
                    x = x0 + i * size
                    ax, bx = (hot[p, 0] - x) * ix, (hot[p, 3] - x) * ix
                    leave = min(max(ax, bx), leave_y)
                    level = np.uint32(max((leave - low) * per + 0.5, 1.0))
                    value = np.uint32(np.uint32(level << np.uint32(16)) | code)
                    if max(min(ax, bx), enter_y) <= leave and level > np.uint32(
                        texels[j * columns + i] >> np.uint32(16)
                    ):
                        texels[j * columns + i] = value
            else:
                for i in range(i0, i1 + 1):
                    enter, leave = interval(
                        shape, hot, tables.solid, p, x0 + i * size, y, 0.0, kx, ky, 1.0, ix, iy, 1.0
                    )
                    level = np.uint32(max((leave - low) * per + 0.5, 1.0))
                    if enter <= leave and level > np.uint32(texels[j * columns + i] >> np.uint32(16)):
                        texels[j * columns + i] = np.uint32(np.uint32(level << np.uint32(16)) | code)


class MoverShadows(NamedTuple):
    """Which moving solids may shade what, in cells of the shadow map's plane.

    Attributes:
        head: (cells + 2,) int32, first link of each cell, -1 for none; the last but one is of the solids that are
            tested everywhere, the last counts the links. link: (L, 2) int32 row of the solid, next link.
        box: (L, 5) float32 first and last texel column and row, and height [m], that the solid's shadow keeps below.
        size: (2,) int64 columns and rows of cells.
    """

    head: IntArray
    link: IntArray
    box: NDArray[np.float32]
    size: NDArray[np.int64]


def mover_shadows(shadow: ShadowMap, moving: int) -> MoverShadows:
    """Return room for the shadows of so many moving solids."""
    size = np.array([(int(shadow.frame[k]) >> CELL_SHIFT) + 1 for k in (SHADOW_COLUMNS, SHADOW_ROWS)], np.int64)
    room = max(1, moving * LINKS_EACH)
    head = np.full(int(size.prod()) + 1, -1, np.int32)
    return MoverShadows(head, np.zeros((room, 2), np.int32), np.zeros((room, 5), np.float32), size)


@inner
def list_movers(tables: Tables, bounds: FloatArray, static_count: int, frame: FloatArray, movers: MoverShadows) -> int:
    """List the moving solids in the cells that their shadows may cover; return how many there are."""
    head, link, box = movers.head, movers.link, movers.box
    columns, rows = movers.size[0], movers.size[1]
    head[:] = -1
    everywhere = len(head) - 1
    used = 0
    per, cell = frame[SHADOW_PER_METRE], 1.0 / (1 << CELL_SHIFT)
    kx, ky = frame[SHADOW_KX], frame[SHADOW_KY]
    for p in range(static_count, len(tables.shape)):
        x = (bounds[p, 0] - bounds[p, 2] * kx - frame[SHADOW_X]) * per
        y = (bounds[p, 1] - bounds[p, 2] * ky - frame[SHADOW_Y]) * per
        dx = (bounds[p, 3] + bounds[p, 5] * abs(kx)) * per + 1.0
        dy = (bounds[p, 4] + bounds[p, 5] * abs(ky)) * per + 1.0
        i0, i1, j0, j1 = 0, 0, 0, 0
        inside = x - dx >= 0.0 and y - dy >= 0.0 and (x + dx) * cell < columns and (y + dy) * cell < rows
        if inside:
            i0, i1 = int((x - dx) * cell), int((x + dx) * cell)
            j0, j1 = int((y - dy) * cell), int((y + dy) * cell)
            inside = used + (i1 - i0 + 1) * (j1 - j0 + 1) < len(link) - (len(tables.shape) - p)
        if not inside:
            i0, i1, j0, j1 = everywhere, everywhere, 0, 0
        for j in range(j0, j1 + 1):
            for i in range(i0, i1 + 1):
                at = j * columns + i
                link[used, 0], link[used, 1] = p, head[at]
                box[used, 0], box[used, 1], box[used, 2], box[used, 3] = x - dx, x + dx, y - dy, y + dy
                box[used, 4] = bounds[p, 2] + bounds[p, 5]
                head[at] = used
                used += 1
    return len(tables.shape) - static_count


@inner
def solid_blocks(
    shape: int, hot: FloatArray, solid: FloatArray, p: int, x: float, y: float, z: float, towards: FloatArray
) -> bool:
    """Tell whether solid p stands between a point [m] and the light: towards (3,) unit vector to it."""
    hot, solid, towards = borrowed(hot), borrowed(solid), borrowed(towards)
    tx, ty, tz = towards[0], towards[1], towards[2]
    hot, solid = borrowed(hot), borrowed(solid)
    enter, leave = interval(shape, hot, solid, p, x, y, z, tx, ty, tz, reciprocal(tx), reciprocal(ty), reciprocal(tz))
    return enter <= leave and leave > 0.0


@inlined
def mover_blocks(
    tables: Tables,
    movers: MoverShadows,
    first: int,
    own: int,
    column: float,
    row: float,
    x: float,
    y: float,
    z: float,
    towards: FloatArray,
) -> bool:
    """Tell whether a moving solid of the list from link ``first`` on stands between a point and the light.

    Args:
        own: the solid that the point lies on, which does not shade itself. column, row: the point's texel.
        x, y, z: the point [m]. towards: (3,) unit vector to the light.
    """
    box = movers.box
    at = first
    while at >= 0:
        p = as_index(movers.link[at, 0])
        if (
            column >= box[at, 0]
            and column <= box[at, 1]
            and row >= box[at, 2]
            and row <= box[at, 3]
            and z <= box[at, 4]
            and p != own
            and solid_blocks(tables.shape[p], tables.hot, tables.solid, p, x, y, z, towards)
        ):
            return True
        at = as_index(movers.link[at, 1])
    return False
