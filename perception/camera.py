"""Cameras: the measured picture, and exact depth, instance and class of every pixel.

A picture is made in three stages: geometry (``camera_raster``: inverse depth and face of every pixel), shading (a row
of linear light, 1 = diffuse white in full light), and developing (``imaging``: from linear light to uint8).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.geometry import FloatArray
from ..common.primitives import BOX
from .blocks import RasterBlocks
from .camera_raster import RasterScratch, raster_scratch, rasterise_view
from .compiled import compiled, inlined
from .frames import CameraFrame
from .grid import STATIC_HIGH, IntArray
from .imaging import Development, develop_row
from .lidar import check_sensor_poses
from .materials import ceiling, paint
from .noise import CAMERA, QUANTILES, as_word, noise_key
from .raycast import Tables, as_index, blocked, world_normal
from .scene import Scene
from .shading import BACK, CROWDING, ENCODING, GROUND, KEY, SKY, crowding, light_table, local_face

if TYPE_CHECKING:
    from .config import CameraConfig, Lighting

ROOF_CLEARANCE = 0.8
"""The painted roof is this far [m] above the highest static solid."""
SHADOW_OFFSET = 1e-4
"""Shadow rays start this far [m] off the surface."""
CROWDING_OFFSET = 0.3
"""Ambient light is looked up this far [m] off the surface."""


class Appearance(NamedTuple):
    """How a scene looks, as the kernels read it; P solids.

    Attributes:
        look: (P, 5) float32, see ``shading.looks``. instance_id, class_id: (P,) int32.
        volume: (nz, ny, nx) float32 and corner: (4,) float64, see ``shading.crowding_volume``.
        light: (15,) float64, see ``shading.light_table``.
    """

    look: NDArray[np.float32]
    instance_id: IntArray
    class_id: IntArray
    volume: NDArray[np.float32]
    corner: FloatArray
    light: FloatArray


class CameraScratch(NamedTuple):
    """Memory that a camera works in; one for each thread.

    Attributes:
        raster: of the geometry. inverse_depth: (h, w) float32 [1/m] and face: (h, w) int32 of the samples.
        ray: (w, 3) float64 directions in ``camera_optical`` of the samples of a row. light: (w, 3) float32 their light.
        visited: (P,) int32 and stamp: (1,) int64, of the shadow rays.
    """

    raster: RasterScratch
    inverse_depth: NDArray[np.float32]
    face: IntArray
    ray: FloatArray
    light: NDArray[np.float32]
    visited: IntArray
    stamp: NDArray[np.int64]


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
        k = self.intrinsics
        self._view = np.array([k[0, 0], k[1, 1], k[0, 2], k[1, 2], config.near, config.far])
        self._development = Development(ENCODING, QUANTILES, config.noise, config.shot_noise)
        self._scratch: list[CameraScratch] = []

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
        scratch = self._take_scratch(len(scene))
        render_kernel(
            scene.tables,
            scene._bounds,
            as_index(scene.static_count),
            scene.blocks,
            Appearance(scene.looks, scene.instance_id, scene.class_id, volume, corner, light_table(lighting)),
            self._development,
            self._view,
            places[0],
            rotations[0],
            np.uint64(noise_key(as_word(stream), CAMERA, as_word(sensor), as_word(frame))),
            as_index(exclude_body),
            scratch,
            rgb,
            depth,
            instance,
            semantic,
        )
        self._scratch.append(scratch)
        return CameraFrame(self.config, places[0], rotations[0], rgb, depth, instance, semantic)

    def _take_scratch(self, solids: int) -> CameraScratch:
        """Return memory to work in; hand it back by appending it to ``_scratch``."""
        while self._scratch:
            scratch = self._scratch.pop()
            if len(scratch.visited) >= solids:
                return scratch
        height, width = self.config.height, self.config.width
        return CameraScratch(
            raster=raster_scratch(solids, width, height),
            inverse_depth=np.zeros((height, width), np.float32),
            face=np.zeros((height, width), np.int32),
            ray=np.zeros((width, 3)),
            light=np.zeros((width, 3), np.float32),
            visited=np.zeros(solids, np.int32),
            stamp=np.zeros(1, np.int64),
        )


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


@inlined
def face_normal(
    tables: Tables, p: int, f: int, x: float, y: float, z: float
) -> tuple[float, float, float, float, float, float]:
    """Return the outward unit normal of face f of solid p at a point [m], and the point in the local frame [m].

    A triangle's is the normal of its front, whichever side is seen.
    """
    kind, solid = tables.kind[p], tables.solid
    if kind != BOX:
        return world_normal(kind, solid, p, x, y, z)
    px, py, pz = x - solid[p, 0], y - solid[p, 1], z - solid[p, 2]
    lx = solid[p, 6] * px + solid[p, 7] * py + solid[p, 8] * pz
    ly = solid[p, 9] * px + solid[p, 10] * py + solid[p, 11] * pz
    lz = solid[p, 12] * px + solid[p, 13] * py + solid[p, 14] * pz
    axis, sign = 6 + 3 * (f >> 1), 2.0 * (f & 1) - 1.0
    return sign * solid[p, axis], sign * solid[p, axis + 1], sign * solid[p, axis + 2], lx, ly, lz


@compiled
def pinhole_row(view: FloatArray, v: int, ray: FloatArray) -> None:
    """Fill the directions (w, 3) in ``camera_optical``, z = 1, of row v of a pinhole view."""
    y = (v - view[3]) / view[1]
    for u in range(ray.shape[0]):
        ray[u, 0] = (u - view[2]) / view[0]
        ray[u, 1] = y
        ray[u, 2] = 1.0


@compiled
def shade_row(
    tables: Tables,
    appearance: Appearance,
    focal: float,
    position: FloatArray,
    rotation: FloatArray,
    ray: FloatArray,
    inverse_depth: NDArray[np.float32],
    face: IntArray,
    visited: IntArray,
    stamp: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    """Shade a row of w samples.

    Args:
        tables: the scene. appearance: how it looks. focal: [pixels], tells how large a sample is.
        position: (3,) float64 [m] of the camera in ``map``. rotation: (3, 3) float64, columns are its axes in ``map``.
        ray: (w, 3) float64 directions in ``camera_optical``; a sample is at ``position + rotation @ ray / w``.
        inverse_depth: (w,) float32 [1/m], 0 for nothing. face: (w,) int32 face codes.
        visited: (P,) int32 and stamp: (1,), memory of the shadow rays.
        out: (w, 3) float32 linear light, written; 1 = diffuse white in full light.
    """
    light, volume, corner = appearance.light, appearance.volume, appearance.corner
    ox, oy, oz = position[0], position[1], position[2]
    sun_x, sun_y, sun_z = light[0], light[1], light[2]
    roof = tables.grid[STATIC_HIGH] + ROOF_CLEARANCE
    shade_by = as_index(-1)
    mark = stamp[0]
    for u in range(face.shape[0]):
        px, py, pz = ray[u, 0], ray[u, 1], ray[u, 2]
        dx = rotation[0, 0] * px + rotation[0, 1] * py + rotation[0, 2] * pz
        dy = rotation[1, 0] * px + rotation[1, 1] * py + rotation[1, 2] * pz
        dz = rotation[2, 0] * px + rotation[2, 1] * py + rotation[2, 2] * pz
        if face[u] < 0:
            sky = background(ox, oy, roof - oz, dx, dy, dz, focal)
            for i in range(3):
                out[u, i] = light[BACK + i] * sky
            continue
        p, f = as_index(face[u] >> 3), as_index(face[u] & 7)
        t = 1.0 / np.float64(inverse_depth[u])
        x, y, z = ox + t * dx, oy + t * dy, oz + t * dz
        nx, ny, nz, lx, ly, lz = face_normal(tables, p, f, x, y, z)
        red, green, blue = albedo(
            tables.kind[p], appearance.look, tables.solid, p, x, y, z, nx, ny, nz, lx, ly, lz, t / focal
        )
        facing = max(nx * sun_x + ny * sun_y + nz * sun_z, 0.0)
        if facing > 0.0:
            mark += 1
            ax, ay, az = x + SHADOW_OFFSET * nx, y + SHADOW_OFFSET * ny, z + SHADOW_OFFSET * nz
            shade_by = blocked(tables, visited, mark, shade_by, ax, ay, az, sun_x, sun_y, sun_z, 1e3)
            if shade_by >= 0:
                facing = 0.0
        full = crowding(volume, corner, x + CROWDING_OFFSET * nx, y + CROWDING_OFFSET * ny, z + CROWDING_OFFSET * nz)
        open_sky, up = 1.0 / (1.0 + CROWDING * full), 0.5 + 0.5 * nz
        for i in range(3):
            ambient = light[GROUND + i] + (light[SKY + i] - light[GROUND + i]) * up
            out[u, i] = light[KEY + i] * facing + ambient * open_sky
        out[u, 0] *= red
        out[u, 1] *= green
        out[u, 2] *= blue
    stamp[0] = mark


@compiled
def truth_row(
    instance_id: IntArray,
    class_id: IntArray,
    inverse_depth: NDArray[np.float32],
    face: IntArray,
    depth: NDArray[np.float32],
    instance: IntArray,
    semantic: NDArray[np.uint8],
) -> None:
    """Fill depth [m], instance and class of a row (w,) from its inverse depth and faces."""
    for u in range(face.shape[0]):
        if face[u] < 0:
            depth[u], instance[u], semantic[u] = np.inf, 0, 0
            continue
        p = np.uint64(face[u] >> 3)
        depth[u] = np.float32(1.0) / inverse_depth[u]
        instance[u], semantic[u] = instance_id[p], class_id[p]


@compiled
def render_kernel(
    tables: Tables,
    bounds: FloatArray,
    static_count: int,
    blocks: RasterBlocks,
    appearance: Appearance,
    development: Development,
    view: FloatArray,
    position: FloatArray,
    rotation: FloatArray,
    key: np.uint64,
    exclude: int,
    scratch: CameraScratch,
    rgb: NDArray[np.uint8],
    depth: NDArray[np.float32],
    instance: IntArray,
    semantic: NDArray[np.uint8],
) -> None:
    """Fill a picture; see ``Camera``. The last four arrays are written."""
    height, width = as_index(depth.shape[0]), as_index(depth.shape[1])
    inverse, face, ray, light = scratch.inverse_depth, scratch.face, scratch.ray, scratch.light
    rasterise_view(
        tables,
        bounds,
        static_count,
        blocks,
        view,
        position,
        rotation,
        exclude,
        as_index(0),
        height,
        scratch.raster,
        inverse,
        face,
    )
    scratch.visited[:] = 0
    scratch.stamp[0] = 0
    for v in range(height):
        pinhole_row(view, v, ray)
        truth_row(appearance.instance_id, appearance.class_id, inverse[v], face[v], depth[v], instance[v], semantic[v])
        shade_row(
            tables,
            appearance,
            view[0],
            position,
            rotation,
            ray,
            inverse[v],
            face[v],
            scratch.visited,
            scratch.stamp,
            light,
        )
        develop_row(light, development, key, v * width, rgb[v])
