"""The kernel that renders: one thread finds what a pixel shows, lights it, and writes colour, depth and ids."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import cuda

from ...common.primitives import BOX, TRIANGLE
from ..camera import CROWDING_OFFSET, ROOF_CLEARANCE, SHADOW_OFFSET, background
from ..grid import STATIC_HIGH
from ..materials import paint
from ..noise import CAMERA, noise_key, random_bits, table_normal
from ..raycast import world_normal
from ..shading import BACK, CROWDING, GROUND, KEY, SKY, crowding, encode, local_face
from .kernels import usable_sensor
from .rays import info_row, walk
from .tables import CLASS, INSTANCE, KIND, WorldTables
from .translate import Real, device

FOCAL, CENTER_X, CENTER_Y, NEAR, FAR, READ_NOISE, SHOT_NOISE = range(7)
"""Elements of a camera's view."""
SHADOW_LENGTH = 1e3
"""Shadow rays end here [m]."""


def render_pixels(
    tables: WorldTables,
    volumes: Any,
    corners: Any,
    light: Any,
    encoding: Any,
    quantiles: Any,
    view: Any,
    position: Any,
    rotation: Any,
    exclude: Any,
    stream: Any,
    sensors: Any,
    frame: Any,
    rgb: Any,
    depth: Any,
    instance: Any,
    semantic: Any,
) -> None:
    """Render with all S cameras of all W worlds; see ``camera.Camera``.

    Args:
        tables: the worlds. volumes: (H, nz, ny, nx) float32 and corners: (H, 4) reals, see ``shading.crowding``.
        light, encoding, quantiles: see ``shading.light_table``, ``shading.ENCODING`` and ``noise.QUANTILES``.
        view: (7,) see above. position: (W * S, 3), rotation: (W * S, 3, 3), exclude: (W * S,) int32.
        stream, frame: (W,) uint64. sensors: (S,) uint64.
        rgb: (W * S, h, w, 3) uint8, depth: (W * S, h, w) float32, instance: int32 and semantic: uint8 likewise,
            written. A camera whose pose is not usable sees nothing, in black.
    """
    rows, columns = depth.shape[1], depth.shape[2]
    across = (columns + cuda.blockDim.x - 1) // cuda.blockDim.x
    down = (rows + cuda.blockDim.y - 1) // cuda.blockDim.y
    s = cuda.blockIdx.x // (across * down)
    tile = cuda.blockIdx.x - s * across * down
    v = tile // across * cuda.blockDim.y + cuda.threadIdx.y
    u = tile % across * cuda.blockDim.x + cuda.threadIdx.x
    if v >= rows or u >= columns or s >= position.shape[0]:
        return
    world = s // sensors.shape[0]
    depth[s, v, u], instance[s, v, u], semantic[s, v, u] = np.inf, 0, 0
    if not usable_sensor(position, rotation, s):
        rgb[s, v, u, 0], rgb[s, v, u, 1], rgb[s, v, u, 2] = 0, 0, 0
        return
    px, py = (Real(u) - view[CENTER_X]) / view[FOCAL], (Real(v) - view[CENTER_Y]) / view[FOCAL]
    dx = Real(rotation[s, 0, 0]) * px + Real(rotation[s, 0, 1]) * py + Real(rotation[s, 0, 2])
    dy = Real(rotation[s, 1, 0]) * px + Real(rotation[s, 1, 1]) * py + Real(rotation[s, 1, 2])
    dz = Real(rotation[s, 2, 0]) * px + Real(rotation[s, 2, 1]) * py + Real(rotation[s, 2, 2])
    ox, oy, oz = Real(position[s, 0]), Real(position[s, 1]), Real(position[s, 2])
    t, p = walk(tables, world, ox, oy, oz, dx, dy, dz, view[NEAR], view[FAR], exclude[s], False)
    if p < 0:
        roof = tables.grid[tables.hall_of_world[world], STATIC_HIGH] + ROOF_CLEARANCE
        sky = background(ox, oy, roof - oz, dx, dy, dz, view[FOCAL])
        red, green, blue = light[BACK] * sky, light[BACK + 1] * sky, light[BACK + 2] * sky
    else:
        info = info_row(tables, world, p)
        depth[s, v, u], instance[s, v, u] = t, tables.info[info, INSTANCE]
        semantic[s, v, u] = tables.info[info, CLASS]
        x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
        pixel = t / view[FOCAL]
        red, green, blue = lit_surface(tables, volumes, corners, light, world, p, info, x, y, z, dx, dy, dz, pixel)
    key = noise_key(stream[world], CAMERA, sensors[s - world * sensors.shape[0]], frame[world])
    bits = random_bits(key, v * columns + u)
    read, shot = view[READ_NOISE] * view[READ_NOISE], view[SHOT_NOISE] * view[SHOT_NOISE]
    rgb[s, v, u, 0] = grey_level(red, encoding, read, shot, bits, 0, quantiles)
    rgb[s, v, u, 1] = grey_level(green, encoding, read, shot, bits, 1, quantiles)
    rgb[s, v, u, 2] = grey_level(blue, encoding, read, shot, bits, 2, quantiles)


@device
def lit_surface(
    tables: WorldTables,
    volumes: Any,
    corners: Any,
    light: Any,
    world: Any,
    p: Any,
    info: Any,
    x: Any,
    y: Any,
    z: Any,
    dx: Any,
    dy: Any,
    dz: Any,
    pixel: Any,
) -> Any:
    """Return the linear light that comes from a point [m] of solid p against direction d; ``pixel``: its size [m]."""
    kind = tables.info[info, KIND]
    nx, ny, nz, lx, ly, lz = world_normal(kind, tables.solid, p, x, y, z)
    red, green, blue = surface_albedo(kind, tables, p, info, x, y, z, nx, ny, nz, lx, ly, lz, pixel)
    if kind == TRIANGLE and nx * dx + ny * dy + nz * dz > 0.0:
        nx, ny, nz = -nx, -ny, -nz
    facing = max(Real(0.0), nx * light[0] + ny * light[1] + nz * light[2])
    if facing > 0.0:
        sx, sy, sz = x + SHADOW_OFFSET * nx, y + SHADOW_OFFSET * ny, z + SHADOW_OFFSET * nz
        _, shade = walk(
            tables, world, sx, sy, sz, light[0], light[1], light[2], Real(0.0), Real(SHADOW_LENGTH), -1, True
        )
        if shade >= 0:
            facing = Real(0.0)
    hall = tables.hall_of_world[world]
    full = crowding(
        volumes[hall], corners[hall], x + CROWDING_OFFSET * nx, y + CROWDING_OFFSET * ny, z + CROWDING_OFFSET * nz
    )
    open_sky, up = 1.0 / (1.0 + CROWDING * full), 0.5 + 0.5 * nz
    red *= light[KEY] * facing + (light[GROUND] + (light[SKY] - light[GROUND]) * up) * open_sky
    green *= light[KEY + 1] * facing + (light[GROUND + 1] + (light[SKY + 1] - light[GROUND + 1]) * up) * open_sky
    blue *= light[KEY + 2] * facing + (light[GROUND + 2] + (light[SKY + 2] - light[GROUND + 2]) * up) * open_sky
    return red, green, blue


@device
def surface_albedo(
    kind: Any,
    tables: WorldTables,
    p: Any,
    info: Any,
    x: Any,
    y: Any,
    z: Any,
    nx: Any,
    ny: Any,
    nz: Any,
    lx: Any,
    ly: Any,
    lz: Any,
    pixel: Any,
) -> Any:
    """Return the linear albedo of solid p at a surface point: see ``camera.albedo``."""
    solid, look = tables.solid, tables.look
    a = solid[p, 6] * nx + solid[p, 7] * ny + solid[p, 8] * nz
    b = solid[p, 9] * nx + solid[p, 10] * ny + solid[p, 11] * nz
    c = solid[p, 12] * nx + solid[p, 13] * ny + solid[p, 14] * nz
    hx, hy, hz = solid[p, 3], solid[p, 4], solid[p, 5]
    if kind != BOX:
        hx, hy, hz = Real(1e3), Real(1e3), solid[p, 4] if solid[p, 4] > 0.0 else solid[p, 3]
    return paint(
        int(look[info, 3]),
        Real(look[info, 4]),
        Real(look[info, 0]),
        Real(look[info, 1]),
        Real(look[info, 2]),
        local_face(kind, a, b, c),
        lx,
        ly,
        lz,
        hx,
        hy,
        hz,
        x,
        y,
        z,
        pixel,
    )


@device
def grey_level(value: Any, encoding: Any, read: Any, shot: Any, bits: Any, channel: Any, quantiles: Any) -> Any:
    """Return the grey level 0 to 255 that the sensor reports for linear light; ``read``, ``shot``: variances."""
    level = encode(value, encoding)
    variance = read + shot * level * (1.0 / 255.0)
    if variance > 0.0:
        level += np.sqrt(variance) * table_normal(bits, channel, quantiles)
    return np.uint8(int(min(max(level + 0.5, Real(0.0)), Real(255.0))))
