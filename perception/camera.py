"""A pinhole camera: the measured picture, and exact depth, instance and class of every pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.geometry import FloatArray
from .compiled import compiled, inlined
from .frames import CameraFrame
from .grid import STATIC_HIGH, IntArray
from .lidar import check_sensor_poses
from .materials import ceiling, paint
from .noise import CAMERA, QUANTILES, as_word, noise_key, random_bits, table_normal
from .raycast import Tables, as_index, blocked, trace, world_normal
from .scene import Scene
from .shading import BACK, CROWDING, ENCODING, GROUND, KEY, SKY, crowding, encode, light_table, local_face

if TYPE_CHECKING:
    from .config import CameraConfig, Lighting

ROOF_CLEARANCE = 0.8
"""The painted roof is this far [m] above the highest static solid."""
SHADOW_OFFSET = 1e-4
"""Shadow rays start this far [m] off the surface."""
CROWDING_OFFSET = 0.3
"""Ambient light is looked up this far [m] off the surface."""


class Camera:
    """A camera that takes pictures of scenes.

    Frame ``camera_optical``: x right, y down, z forward. The centre of pixel (u, v) is at
    ``((u - cx) / f, (v - cy) / f, 1) * depth`` with cx = (width - 1) / 2, cy = (height - 1) / 2.

    A camera that is buried in something (beyond ``near``) sees that thing at depth ``near`` in every pixel.
    """

    def __init__(self, config: CameraConfig) -> None:
        self.config = config
        self.intrinsics: FloatArray = np.array(
            [
                [config.focal, 0.0, 0.5 * (config.width - 1)],
                [0.0, config.focal, 0.5 * (config.height - 1)],
                [0.0, 0.0, 1.0],
            ]
        )
        """(3, 3) [pixels]."""
        self._view = np.array(
            [
                config.focal,
                self.intrinsics[0, 2],
                self.intrinsics[1, 2],
                config.near,
                config.far,
                config.noise,
                config.shot_noise,
            ]
        )

    def render(
        self,
        scene: Scene,
        position: ArrayLike,
        rotation: ArrayLike,
        lighting: Lighting,
        *,
        stream: int,
        sensor: int,
        frame: int,
        exclude_body: int = -1,
    ) -> CameraFrame:
        """Take a picture.

        Args:
            scene: what is there.
            position: (3,) [m] of the optical centre in ``map``.
            rotation: (3, 3); columns are the axes of ``camera_optical`` in ``map``.
            lighting: the light.
            stream: noise stream of the episode. sensor: index of the camera. frame: number of the picture.
            exclude_body: moving body that carries the camera and is not seen (its shadow is), -1 for none.

        Returns:
            The picture and its truth. Depth is inf, and the ids 0, where nothing is hit before ``far``.

        Raises:
            InputError: a pose that is not finite, or not a rotation.
        """
        places, rotations = check_sensor_poses(
            np.asarray(position, dtype=np.float64)[None], np.asarray(rotation, dtype=np.float64)[None], "camera"
        )
        shape = (self.config.height, self.config.width)
        rgb, depth = np.empty((*shape, 3), np.uint8), np.empty(shape, np.float32)
        instance, semantic = np.empty(shape, np.int32), np.empty(shape, np.uint8)
        volume, corner = scene.crowding
        render_kernel(
            scene.tables,
            scene.looks,
            scene.instance_id,
            scene.class_id,
            volume,
            corner,
            light_table(lighting),
            ENCODING,
            QUANTILES,
            self._view,
            places[0],
            rotations[0],
            np.uint64(noise_key(as_word(stream), CAMERA, as_word(sensor), as_word(frame))),
            int(exclude_body),
            rgb,
            depth,
            instance,
            semantic,
        )
        return CameraFrame(self.config, places[0], rotations[0], rgb, depth, instance, semantic)


@inlined
def background(x: float, y: float, clearance: float, dx: float, dy: float, dz: float, focal: float) -> float:
    """Return the brightness of what lies behind everything: a roof that is painted, not modelled; else plain haze.

    Args:
        x, y: of the camera [m]. clearance: from the camera up to the roof [m]. dx, dy, dz: direction, planar depth 1.
        focal: focal length [pixels].
    """
    if clearance <= 0.0 or dz <= 1e-6:
        return 0.75
    t = clearance / dz
    pixel = t * np.sqrt(dx * dx + dy * dy + dz * dz) / (focal * dz)
    near = 1.0 / (1.0 + 0.0004 * t * t)
    return 0.75 + near * (ceiling(x + t * dx, y + t * dy, pixel) - 0.75)


@inlined
def albedo(
    kind: int,
    look: NDArray[np.float32],
    solid: FloatArray,
    p: int,
    x: float,
    y: float,
    z: float,
    nx: float,
    ny: float,
    nz: float,
    lx: float,
    ly: float,
    lz: float,
    pixel: float,
) -> tuple[float, float, float]:
    """Return the linear albedo of solid p at a surface point: in ``map`` x, y, z, normal n, local point l [m]."""
    a = solid[p, 6] * nx + solid[p, 7] * ny + solid[p, 8] * nz
    b = solid[p, 9] * nx + solid[p, 10] * ny + solid[p, 11] * nz
    c = solid[p, 12] * nx + solid[p, 13] * ny + solid[p, 14] * nz
    hx, hy, hz = solid[p, 3], solid[p, 4], solid[p, 5]
    if kind != 0:
        # Round solids: patterns run around and along the axis, without rims.
        hx, hy, hz = 1e3, 1e3, solid[p, 4] if solid[p, 4] > 0.0 else solid[p, 3]
    return paint(
        int(look[p, 3]),
        look[p, 4],
        look[p, 0],
        look[p, 1],
        look[p, 2],
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


@compiled
def render_kernel(
    tables: Tables,
    look: NDArray[np.float32],
    instance_id: IntArray,
    class_id: IntArray,
    volume: NDArray[np.float32],
    corner: FloatArray,
    light: FloatArray,
    encoding: NDArray[np.float32],
    quantiles: NDArray[np.float32],
    view: FloatArray,
    position: FloatArray,
    rotation: FloatArray,
    key: np.uint64,
    exclude: int,
    rgb: NDArray[np.uint8],
    depth: NDArray[np.float32],
    instance: IntArray,
    semantic: NDArray[np.uint8],
) -> None:
    """Fill a picture; see ``Camera``. The last four arrays are written."""
    height, width = depth.shape
    focal, cx, cy, near, far, read_noise, shot_noise = view[0], view[1], view[2], view[3], view[4], view[5], view[6]
    ox, oy, oz = position[0], position[1], position[2]
    visited = np.zeros(len(tables.shape), np.int32)
    color = np.empty(3)
    stamp, shade_by = 0, as_index(-1)
    sun_x, sun_y, sun_z = light[0], light[1], light[2]
    roof = tables.grid[STATIC_HIGH] + ROOF_CLEARANCE
    for v in range(height):
        py = (v - cy) / focal
        for u in range(width):
            px = (u - cx) / focal
            dx = rotation[0, 0] * px + rotation[0, 1] * py + rotation[0, 2]
            dy = rotation[1, 0] * px + rotation[1, 1] * py + rotation[1, 2]
            dz = rotation[2, 0] * px + rotation[2, 1] * py + rotation[2, 2]
            stamp += 1
            t, p = trace(tables, visited, stamp, ox, oy, oz, dx, dy, dz, near, far, exclude, False)
            if p < 0:
                depth[v, u], instance[v, u], semantic[v, u] = np.inf, 0, 0
                sky = background(ox, oy, roof - oz, dx, dy, dz, focal)
                for i in range(3):
                    color[i] = light[BACK + i] * sky
            else:
                depth[v, u], instance[v, u], semantic[v, u] = t, instance_id[p], class_id[p]
                x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
                kind = tables.kind[p]
                nx, ny, nz, lx, ly, lz = world_normal(kind, tables.solid, p, x, y, z)
                red, green, blue = albedo(kind, look, tables.solid, p, x, y, z, nx, ny, nz, lx, ly, lz, t / focal)
                facing = nx * sun_x + ny * sun_y + nz * sun_z
                if facing > 0.0:
                    stamp += 1
                    shade_by = blocked(
                        tables,
                        visited,
                        stamp,
                        shade_by,
                        x + SHADOW_OFFSET * nx,
                        y + SHADOW_OFFSET * ny,
                        z + SHADOW_OFFSET * nz,
                        sun_x,
                        sun_y,
                        sun_z,
                        1e3,
                    )
                    if shade_by >= 0:
                        facing = 0.0
                else:
                    facing = 0.0
                full = crowding(
                    volume, corner, x + CROWDING_OFFSET * nx, y + CROWDING_OFFSET * ny, z + CROWDING_OFFSET * nz
                )
                open_sky = 1.0 / (1.0 + CROWDING * full)
                up = 0.5 + 0.5 * nz
                for i in range(3):
                    ambient = light[GROUND + i] + (light[SKY + i] - light[GROUND + i]) * up
                    color[i] = light[KEY + i] * facing + ambient * open_sky
                color[0] *= red
                color[1] *= green
                color[2] *= blue
            bits = random_bits(key, v * width + u)
            for i in range(3):
                level = encode(color[i], encoding)
                variance = read_noise * read_noise + shot_noise * shot_noise * level * (1.0 / 255.0)
                if variance > 0.0:
                    level += np.sqrt(variance) * table_normal(bits, i, quantiles)
                rgb[v, u, i] = int(min(max(level + 0.5, 0.0), 255.0))
