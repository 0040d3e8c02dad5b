"""Cameras: the measured picture, and exact depth, instance and class of every pixel.

A picture is made in three stages: geometry (``camera_raster``, through a lens ``lens_raster``: inverse depth and face
of every pixel), shading (a row of linear light, 1 = diffuse white in full light), and developing (``imaging``: from
linear light to uint8). Light may come from several samples in each pixel and from several moments; what is true of a
pixel (depth, ids, normals, motion) is that of its centre at the middle of its exposure.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.errors import InputError
from ..common.geometry import FloatArray, quaternion_multiply
from ..common.primitives import BOX, TRIANGLE
from .blocks import RasterBlocks
from .borrow import borrowed
from .camera_raster import RasterScratch, raster_scratch, rasterise_view
from .compiled import compiled, inlined, inner, part
from .deferred import (
    ShadeScratch,
    ShadeTables,
    begin_shading,
    pinhole_way,
    shade_row,
    shade_scratch,
    shade_tables,
)
from .frames import CameraFrame, CameraMotion, EarlierView
from .grid import IntArray
from .imaging import Development, compress, develop_picture, develop_row, development, gaussian, meter, soften
from .lanes import (
    LANES,
    gather,
    greater,
    item,
    leading,
    load,
    padded,
    put,
    row_stride,
    select,
    single,
    spread,
    store,
    store_bytes,
    unsigned,
)
from .lens_raster import LensRays, LensScratch, lens_rays, lens_scratch, rasterise_rays
from .lidar import check_sensor_poses
from .materials import ceiling
from .noise import CAMERA, as_word, noise_key
from .optics import is_plain, lens_table, pixel_rays, project_point
from .raycast import Tables, as_index, world_normal
from .recycler import Recycler
from .scene import Scene
from .threads import map_chunks

if TYPE_CHECKING:
    from .config import CameraConfig, Lighting

ROOF_CLEARANCE = 0.8
"""The painted roof is this far [m] above the highest static solid."""
SHADOW_OFFSET = 1e-4
"""Shadow rays start this far [m] off the surface."""
CROWDING_OFFSET = 0.3
"""Ambient light is looked up this far [m] off the surface."""


class Appearance(NamedTuple):
    """What the P solids of a scene are: instance_id and class_id (P,) int32."""

    instance_id: IntArray
    class_id: IntArray


class Sight(NamedTuple):
    """Where the samples of a picture look.

    Attributes:
        pinhole: (6,) float64 fx, fy, cx, cy [samples], near, far [m].
        rays: of the samples through a lens, of no size for a pinhole.
    """

    pinhole: FloatArray
    rays: LensRays


class Surfaces(NamedTuple):
    """What samples see: inverse depth (h, w) float32 [1/m], 0 for nothing, and face (h, w) int32, -1 for nothing."""

    inverse_depth: NDArray[np.float32]
    face: IntArray


class CameraScratch(NamedTuple):
    """Memory that a camera works in; one for each thread.

    Attributes:
        raster, lens: of the geometry. samples: what the samples of light see; pixels: what the pixels' centres see, the
            same memory if there is one sample in each.
        ray: (w, 3) float64 directions in ``camera_optical`` of the samples of a row. row: (1, 3, stride) float32
            their light, see ``deferred.shade_row``.
        light: (H, 3, stride) float32 of the picture, or (1, 3, stride) if rows are developed at once.
        solids: that there is room for.
    """

    raster: RasterScratch
    lens: LensScratch
    samples: Surfaces
    pixels: Surfaces
    ray: FloatArray
    row: NDArray[np.float32]
    light: NDArray[np.float32]
    solids: int


@dataclass(frozen=True)
class _Moment:
    """Rows row0 to row1 as they are exposed at some times [s] from the picture's; the truth is that at ``time``."""

    row0: int
    row1: int
    time: float
    times: tuple[float, ...]


OUTPUTS = frozenset({"normals", "motion"})
"""What ``Camera.render`` computes on request."""
MAX_BANDS = 240
"""Most bands of rows that a rolling shutter is cut into."""
BAND_SHIFT = 0.5
"""A rolling shutter is cut into bands over which the picture moves by about so much [pixels]."""
TYPICAL_DISTANCE = 2.0
"""Distance [m] at which this is reckoned."""


class Camera:
    """A camera that takes pictures of scenes.

    Frame ``camera_optical``: x right, y down, z forward. What is seen in the centre of pixel (u, v) is at
    ``depth * optics.unproject([[u, v]], config)``: without distortion ``((u - cx) / f, (v - cy) / f, 1) * depth``.

    A camera that is buried in something (beyond ``near``) sees that thing at depth ``near`` in every pixel. Pixels that
    a fisheye images nothing in (beyond the angle at which its distortion folds over) are black, at depth inf.

    One camera may be used by several threads, but not on the same scene if anything moves within an exposure.
    """

    def __init__(self, config: CameraConfig) -> None:
        self.config = config
        cx, cy = config.center
        self.intrinsics: FloatArray = np.array([[config.focal, 0.0, cx], [0.0, config.focal, cy], [0.0, 0.0, 1.0]])
        """(3, 3) [pixels]."""
        self._sight = _sight(config, 1)
        self._samples = self._sight if config.supersampling == 1 else _sight(config, config.supersampling)
        self._moves = config.exposure_time > 0 or config.readout_time > 0
        self._whole = config.auto_exposure or config.auto_white_balance or config.softness > 0
        self._soft = gaussian(config.softness) if config.softness > 0 else None
        self._lens_table = lens_table(config)
        self._development: dict[int, Development] = {}
        self._scratch: list[CameraScratch] = []
        shape = (config.height, config.width)
        self._results = (
            Recycler((*shape, 3), np.uint8),
            Recycler(shape, np.float32),
            Recycler(shape, np.int32),
            Recycler(shape, np.uint8),
        )
        self._shading: list[tuple[object, ShadeScratch]] = []

    def __reduce__(self) -> tuple[type[Camera], tuple[CameraConfig]]:
        return type(self), (self.config,)

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
        motion: CameraMotion | None = None,
        earlier: EarlierView | None = None,
        outputs: Collection[str] = (),
    ) -> CameraFrame:
        """Take a picture.

        Args:
            scene: what is there.
            position: (3,) [m] of the optical centre in ``map``, at the middle of the exposure of the middle row.
            rotation: (3, 3); columns are the axes of ``camera_optical`` in ``map``, at that time.
            lighting: the light.
            stream: noise stream of the episode. sensor: index of the camera. frame: number of the picture.
            exclude_body: moving body that carries the camera and is not seen (its shadow is), -1 for none.
            motion: how camera and bodies move, for motion blur and rolling shutter; None: they stand still.
            earlier: where camera and bodies were, for the output ``motion``.
            outputs: what else to compute: ``normals``, ``motion``; see ``CameraFrame``.

        Returns:
            The picture and its truth. Depth is inf, and the ids 0, where nothing is hit before ``far``.

        Raises:
            InputError: a pose that is not finite, or not a rotation; motion that is not finite or does not fit the
                scene; an output that is not known, or ``motion`` without ``earlier``.
        """
        return self.render_batch(
            scene,
            np.asarray(position, dtype=np.float64)[None],
            np.asarray(rotation, dtype=np.float64)[None],
            lighting,
            stream=stream,
            sensors=(sensor,),
            frame=frame,
            exclude_body=(exclude_body,),
            motion=None if motion is None else (motion,),
            earlier=None if earlier is None else (earlier,),
            outputs=outputs,
        )[0]

    def render_batch(
        self,
        scene: Scene,
        positions: ArrayLike,
        rotations: ArrayLike,
        lighting: Lighting,
        *,
        stream: int,
        sensors: Collection[int],
        frame: int,
        exclude_body: Collection[int] | None = None,
        motion: Collection[CameraMotion] | None = None,
        earlier: Collection[EarlierView] | None = None,
        outputs: Collection[str] = (),
    ) -> list[CameraFrame]:
        """Take a picture from each of S places, as ``render`` does one by one: the same bytes, on all threads.

        Args:
            scene: what is there. positions: (S, 3) [m]. rotations: (S, 3, 3). lighting: the light.
            stream: noise stream of the episode. sensors: S indices of cameras. frame: number of the pictures.
            exclude_body: S moving bodies, -1 for none; None for none at all.
            motion, earlier: S of each, or None. outputs: see ``render``.

        Raises:
            InputError: see ``render``; or not S of something.
        """
        places, turns = check_sensor_poses(positions, rotations, "camera")
        sensors = tuple(sensors)
        excluded = (-1,) * len(places) if exclude_body is None else tuple(exclude_body)
        _check_counts(len(places), sensors=sensors, exclude_body=excluded, motion=motion, earlier=earlier)
        _check_outputs(outputs, earlier)
        appearance = Appearance(scene.instance_id, scene.class_id)
        take = _Take(self, scene, appearance, shade_tables(scene, lighting), frozenset(outputs))
        moving = (None,) * len(places) if motion is None else tuple(motion)
        before = (None,) * len(places) if earlier is None else tuple(earlier)
        frames: list[CameraFrame | None] = [None] * len(places)

        def some(first: int, end: int) -> None:
            for s in range(first, end):
                key = unsigned(noise_key(as_word(stream), CAMERA, as_word(sensors[s]), as_word(frame)))
                frames[s] = take.picture(places[s], turns[s], sensors[s], key, excluded[s], moving[s], before[s])

        if len(places) == 1 or (motion is not None and self._moves):
            # Exposures that move the scene's bodies take it in turns.
            some(0, len(places))
        else:
            _ = scene.blocks  # Made once, not by each thread.
            map_chunks(some, len(places))
        return [picture for picture in frames if picture is not None]

    def develops(self, sensor: int) -> Development:
        """Return how the camera of an index develops its pictures; kept for the last few."""
        found = self._development.get(sensor)
        if found is None:
            while len(self._development) >= 8:
                self._development.pop(next(iter(self._development)), None)
            found = self._development[sensor] = development(self.config, sensor)
        return found

    def _take_shading(self, shade: ShadeTables, moving: int) -> ShadeScratch:
        """Return memory to shade in; hand it back by appending it to ``_shading`` with the shadow map it is for."""
        while self._shading:
            shadow, scratch = self._shading.pop()
            if shadow is shade.shadow:
                return scratch
        return shade_scratch(shade, moving, self.config.width * self.config.supersampling)

    def _take_scratch(self, solids: int) -> CameraScratch:
        """Return memory to work in; hand it back by appending it to ``_scratch``."""
        while self._scratch:
            scratch = self._scratch.pop()
            if scratch.solids >= solids:
                return scratch
        height, width, n = self.config.height, self.config.width, self.config.supersampling
        pixels = _surfaces(height, width)
        samples = _surfaces(height * n, width * n) if n > 1 else pixels
        return CameraScratch(
            raster=raster_scratch(solids, width * n, height * n),
            lens=lens_scratch(solids),
            samples=samples,
            pixels=pixels,
            ray=np.zeros((width * n, 3)),
            row=np.zeros((1, 3, row_stride(width * n)), np.float32),
            light=np.zeros((height if self._whole or self._moves else 1, 3, row_stride(width)), np.float32),
            solids=solids,
        )


class _Take:
    """One call's worth of a camera: it takes pictures of a scene one by one."""

    def __init__(
        self, camera: Camera, scene: Scene, appearance: Appearance, shade: ShadeTables, outputs: frozenset[str]
    ) -> None:
        self.camera, self.scene, self.appearance, self.outputs = camera, scene, appearance, outputs
        self.shade = shade

    def picture(
        self,
        position: FloatArray,
        rotation: FloatArray,
        sensor: int,
        key: np.uint64,
        exclude: int,
        motion: CameraMotion | None,
        earlier: EarlierView | None,
    ) -> CameraFrame:
        """Take one picture; see ``Camera.render``."""
        camera, config = self.camera, self.camera.config
        shape = (config.height, config.width)
        normals = np.zeros((*shape, 3), np.float32) if "normals" in self.outputs else None
        flow = np.zeros((*shape, 2), np.float32) if "motion" in self.outputs else None
        rgb, depth, instance, semantic = camera._results
        frame = CameraFrame(
            config,
            position,
            rotation,
            rgb(),
            depth(),
            instance(),
            semantic(),
            normals,
            flow,
        )
        develop = camera.develops(sensor)
        scratch = camera._take_scratch(len(self.scene))
        if motion is not None and camera._moves:
            self._expose_moving(frame, motion, earlier, develop, exclude, scratch)
        else:
            at_once = len(scratch.light) == 1
            self._expose(frame, position, rotation, 0, shape[0], develop, key, exclude, scratch, 1.0, True, at_once)
            self._extras(frame, position, rotation, 0, shape[0], earlier, scratch)
        if len(scratch.light) > 1:
            if camera._soft is not None:
                soften(scratch.light, camera._soft, np.empty_like(scratch.light), as_index(config.width))
            exposure, gain = meter(scratch.light, config, develop.transmission)
            develop_picture(scratch.light, develop, exposure, gain, key, frame.rgb)
        camera._scratch.append(scratch)
        if config.jpeg_quality:
            frame.rgb[:] = compress(frame.rgb, config.jpeg_quality, config.monochrome)
        return frame

    def _expose(
        self,
        frame: CameraFrame,
        position: FloatArray,
        rotation: FloatArray,
        row0: int,
        row1: int,
        develop: Development,
        key: np.uint64,
        exclude: int,
        scratch: CameraScratch,
        weight: float,
        truth: bool,
        at_once: bool,
    ) -> None:
        """Add what shows at one moment to rows of the picture: weight 0 adds no light."""
        scene, camera, config = self.scene, self.camera, self.camera.config
        shading = camera._take_shading(self.shade, len(scene.moving))
        render_kernel(
            scene.tables,
            scene._bounds,
            as_index(scene.static_count),
            scene.blocks,
            self.appearance,
            self.shade,
            camera._sight,
            camera._samples,
            develop,
            config.exposure,
            _gain(config),
            position,
            rotation,
            key,
            as_index(exclude),
            as_index(row0),
            as_index(row1),
            weight,
            truth,
            at_once,
            scratch,
            shading,
            frame.rgb,
            frame.depth,
            frame.instance,
            frame.semantic,
        )
        camera._shading.append((self.shade.shadow, shading))

    def _expose_moving(
        self,
        frame: CameraFrame,
        motion: CameraMotion,
        earlier: EarlierView | None,
        develop: Development,
        exclude: int,
        scratch: CameraScratch,
    ) -> None:
        """Expose band by band and moment by moment; the scene is left as it was."""
        scene, key = self.scene, unsigned(0)
        velocity, turning, bodies = _checked_motion(motion, scene.body_count)
        standing = scene._pose.copy()
        scratch.light[:] = 0.0
        try:
            for moment in _moments(self.camera.config, velocity, turning, bodies):
                rows = moment.row0, moment.row1
                for time in moment.times:
                    position, rotation = _moved(frame.position, frame.rotation, velocity, turning, time)
                    if bodies is not None:
                        scene.update(_moved_bodies(standing, bodies, time))
                    truth = time == moment.time
                    weight = 1.0 / len(moment.times)
                    self._expose(frame, position, rotation, *rows, develop, key, exclude, scratch, weight, truth, False)
                    if truth:
                        self._extras(frame, position, rotation, *rows, earlier, scratch)
                if moment.time not in moment.times:
                    position, rotation = _moved(frame.position, frame.rotation, velocity, turning, moment.time)
                    if bodies is not None:
                        scene.update(_moved_bodies(standing, bodies, moment.time))
                    self._expose(frame, position, rotation, *rows, develop, key, exclude, scratch, 0.0, True, False)
                    self._extras(frame, position, rotation, *rows, earlier, scratch)
        finally:
            if bodies is not None:
                scene.update(standing)

    def _extras(
        self,
        frame: CameraFrame,
        position: FloatArray,
        rotation: FloatArray,
        row0: int,
        row1: int,
        earlier: EarlierView | None,
        scratch: CameraScratch,
    ) -> None:
        """Compute the outputs asked for, in rows whose surfaces are in the scratch memory."""
        camera, scene = self.camera, self.scene
        if frame.normals is not None:
            fill_normals(
                scene.tables, camera._sight, position, rotation, row0, row1, scratch.pixels, scratch.ray, frame.normals
            )
        if frame.motion is not None and earlier is not None:
            place, turn, poses = _checked_earlier(earlier, scene.body_count)
            fill_motion(
                scene.tables,
                camera._sight,
                camera._lens_table,
                position,
                rotation,
                place,
                turn,
                scene._pose,
                poses,
                row0,
                row1,
                scratch.pixels,
                scratch.ray,
                frame.motion,
            )


def _sight(config: CameraConfig, samples: int) -> Sight:
    """Return where a camera's samples look, so many along each side of a pixel."""
    focal, (cx, cy) = samples * config.focal, config.center
    view = np.array([focal, focal, samples * (cx + 0.5) - 0.5, samples * (cy + 0.5) - 0.5, config.near, config.far])
    directions = np.zeros((0, 0, 3)) if is_plain(config) else pixel_rays(config, samples)
    return Sight(view, lens_rays(directions))


def _surfaces(height: int, width: int) -> Surfaces:
    shape = (height, width)
    return Surfaces(padded(np.zeros(shape, np.float32)), padded(np.zeros(shape, np.int32)))


def _gain(config: CameraConfig) -> NDArray[np.float32]:
    return np.array([config.gain * factor for factor in config.white_balance], dtype=np.float32)


def _check_counts(count: int, **given: Collection[object] | None) -> None:
    for name, values in given.items():
        if values is not None and len(values) != count:
            raise InputError(f"{len(values)} {name} for {count} cameras", where="camera", mend="give one for each")


def _check_outputs(outputs: Collection[str], earlier: Collection[EarlierView] | None) -> None:
    unknown = sorted(set(outputs) - OUTPUTS)
    if unknown:
        raise InputError(f"outputs {unknown} are not known", where="camera outputs", mend=f"use {sorted(OUTPUTS)}")
    if "motion" in outputs and earlier is None:
        raise InputError("the output motion needs earlier poses", where="camera outputs", mend="give earlier")


def _checked_motion(motion: CameraMotion, body_count: int) -> tuple[FloatArray, FloatArray, FloatArray | None]:
    """Return velocity (3,), angular velocity (3,) of the camera, and those of the bodies (B, 6) or None.

    Raises:
        InputError: shapes that do not fit, or values that are not finite.
    """
    values: list[FloatArray | None] = []
    for name, given, shape in (
        ("velocity", motion.velocity, (3,)),
        ("angular_velocity", motion.angular_velocity, (3,)),
        ("body_velocity", motion.body_velocity, (body_count, 6)),
    ):
        value = None if given is None else np.ascontiguousarray(given, dtype=np.float64)
        if value is not None and (value.shape != shape or not np.isfinite(value).all()):
            raise InputError(
                f"{name} has shape {value.shape}, or is not finite", where="camera motion", mend=f"give {shape}"
            )
        values.append(value)
    velocity, turning, bodies = values
    assert velocity is not None
    assert turning is not None
    return velocity, turning, bodies


def _checked_earlier(earlier: EarlierView, body_count: int) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return earlier position (3,), rotation (3, 3) and body poses (B, 7).

    Raises:
        InputError: shapes that do not fit, values that are not finite, or no rotations.
    """
    place, turn = check_sensor_poses(
        np.asarray(earlier.position, dtype=np.float64)[None],
        np.asarray(earlier.rotation, dtype=np.float64)[None],
        "earlier camera",
    )
    poses = np.ascontiguousarray(earlier.body_pose, dtype=np.float64)
    length = np.linalg.norm(poses[:, 3:], axis=1) if poses.ndim == 2 else np.zeros(1)
    if poses.shape != (body_count, 7) or not np.isfinite(poses).all() or not (np.abs(length - 1.0) < 0.02).all():
        raise InputError(
            f"earlier body poses have shape {poses.shape}, or values that are no poses",
            where="camera earlier.body_pose",
            mend=f"give ({body_count}, 7), finite, quaternions of unit length",
        )
    return place[0], turn[0], poses


def _moments(
    config: CameraConfig, velocity: FloatArray, turning: FloatArray, bodies: FloatArray | None
) -> Iterator[_Moment]:
    """Return the bands of rows of a picture, and when each is exposed."""
    height, count = config.height, config.blur_samples if config.exposure_time > 0 else 1
    spread = [((k + 0.5) / count - 0.5) * config.exposure_time for k in range(count)]
    bands = 1
    if config.readout_time > 0:
        speed = float(np.linalg.norm(velocity))
        if bodies is not None and len(bodies):
            speed += float(np.linalg.norm(bodies[:, :3], axis=1).max())
            speed += float(np.linalg.norm(bodies[:, 3:], axis=1).max())
        rate = float(np.linalg.norm(turning)) + speed / TYPICAL_DISTANCE
        shift = config.focal * rate * config.readout_time
        bands = int(min(max(1.0, math.ceil(shift / BAND_SHIFT)), height, MAX_BANDS))
    edges = [height * k // bands for k in range(bands + 1)]
    for row0, row1 in pairwise(edges):
        middle = 0.5 * (row0 + row1 - 1) - 0.5 * (height - 1)
        time = middle / max(height - 1, 1) * config.readout_time
        yield _Moment(row0, row1, time, tuple(time + dt for dt in spread))


def _rotation_by(vector: FloatArray) -> FloatArray:
    """Return the matrix (3, 3) of a rotation vector (3,) [rad] (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle == 0.0:
        return np.eye(3)
    x, y, z = vector / angle
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.eye(3) + math.sin(angle) * cross + (1.0 - math.cos(angle)) * (cross @ cross)


def _moved(
    position: FloatArray, rotation: FloatArray, velocity: FloatArray, turning: FloatArray, time: float
) -> tuple[FloatArray, FloatArray]:
    """Return a camera's pose after a time [s]."""
    return position + time * velocity, np.ascontiguousarray(_rotation_by(time * turning) @ rotation)


def _moved_bodies(pose: FloatArray, velocity: FloatArray, time: float) -> FloatArray:
    """Return the poses (B, 7) of bodies after a time [s]: velocities (B, 6) linear and angular in ``map``."""
    moved = pose.copy()
    moved[:, :3] += time * velocity[:, :3]
    vector = time * velocity[:, 3:]
    angle = np.linalg.norm(vector, axis=1, keepdims=True)
    turn = np.hstack([vector * (0.5 * np.sinc(angle / (2.0 * np.pi))), np.cos(0.5 * angle)])
    moved[:, 3:] = quaternion_multiply(turn, pose[:, 3:])
    return moved


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


@part
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


@inner
def truth_rows(
    appearance: Appearance,
    surfaces: Surfaces,
    row0: int,
    row1: int,
    depth: NDArray[np.float32],
    instance: IntArray,
    semantic: NDArray[np.uint8],
) -> None:
    """Fill depth [m], instance and class of rows row0 to row1 of a picture from what its pixels see."""
    appearance, surfaces = borrowed(appearance), borrowed(surfaces)
    depth, instance, semantic = borrowed(depth), borrowed(instance), borrowed(semantic)
    inverse, face = surfaces.inverse_depth, surfaces.face
    width, lanes = unsigned(face.shape[1]), unsigned(LANES)
    at, end = unsigned(row0) * width, unsigned(row1) * width
    while at + lanes <= end:
        code, first = load(face, at), item(face, at)
        if leading(code == first) == lanes:
            p = unsigned(max(first, np.int32(0)) >> 3)
            ids = spread(item(appearance.instance_id, p) if first >= 0 else np.int32(0))
            classes = spread(item(appearance.class_id, p) if first >= 0 else np.int32(0))
        else:
            rows = greater(code, np.int32(0)) >> 3
            ids = select(code < 0, np.int32(0), gather(appearance.instance_id, rows))
            classes = select(code < 0, np.int32(0), gather(appearance.class_id, rows))
        store(depth, at, select(code < 0, single(np.inf), single(1.0) / load(inverse, at)))
        store(instance, at, ids)
        store_bytes(semantic, at, classes)
        at += lanes
    while at < end:
        first, p = item(face, at), unsigned(max(item(face, at), np.int32(0)) >> 3)
        put(depth, at, single(1.0) / item(inverse, at) if first >= 0 else single(np.inf))
        put(instance, at, item(appearance.instance_id, p) if first >= 0 else np.int32(0))
        put(semantic, at, np.uint8(item(appearance.class_id, p)) if first >= 0 else np.uint8(0))
        at += unsigned(1)


@inner
def fill_rays(sight: Sight, v: int, ray: FloatArray) -> None:
    """Fill the directions (w, 3) in ``camera_optical`` of row v of the samples; zero where they see nothing."""
    if sight.rays.ray.shape[1] == 0:
        y = (v - sight.pinhole[3]) / sight.pinhole[1]
        for u in range(ray.shape[0]):
            ray[u, 0] = (u - sight.pinhole[2]) / sight.pinhole[0]
            ray[u, 1] = y
            ray[u, 2] = 1.0
        return
    for u in range(sight.rays.ray.shape[2]):
        for i in range(3):
            value = np.float64(sight.rays.ray[i, v, u])
            ray[u, i] = value if np.isfinite(value) else 0.0


@inner
def lens_way(sight: Sight, rotation: FloatArray, v: int, way: NDArray[np.float32]) -> None:
    """Fill the directions in ``map`` of row v of samples through a lens, zero where they see nothing: see
    ``ShadeScratch.way``."""
    ray, rotation, way = borrowed(sight.rays.ray), borrowed(rotation), borrowed(way)
    across = as_index(len(way) // 3)
    for u in range(ray.shape[2]):
        x, y, z = np.float64(ray[0, v, u]), np.float64(ray[1, v, u]), np.float64(ray[2, v, u])
        seen = np.isfinite(x + y + z)
        for i in range(3):
            along = rotation[i, 0] * x + rotation[i, 1] * y + rotation[i, 2] * z
            way[i * across + u] = along if seen else 0.0


@inner
def see(
    tables: Tables,
    bounds: FloatArray,
    static_count: int,
    blocks: RasterBlocks,
    sight: Sight,
    position: FloatArray,
    rotation: FloatArray,
    exclude: int,
    row0: int,
    row1: int,
    scratch: CameraScratch,
    surfaces: Surfaces,
) -> None:
    """Fill rows row0 to row1 of what the samples see."""
    view, inverse, face = sight.pinhole, surfaces.inverse_depth, surfaces.face
    if sight.rays.ray.shape[1] == 0:
        rasterise_view(
            tables,
            bounds,
            static_count,
            blocks,
            view,
            position,
            rotation,
            exclude,
            row0,
            row1,
            scratch.raster,
            inverse,
            face,
        )
    else:
        rasterise_rays(
            tables,
            bounds,
            static_count,
            blocks,
            sight.rays,
            view[4],
            view[5],
            position,
            rotation,
            exclude,
            row0,
            row1,
            scratch.lens,
            inverse,
            face,
        )


@inner
def light_row(
    tables: Tables,
    shade: ShadeTables,
    sight: Sight,
    position: FloatArray,
    rotation: FloatArray,
    v: int,
    moving: int,
    scratch: CameraScratch,
    shading: ShadeScratch,
    weight: float,
    add: bool,
    into: int,
) -> None:
    """Fill, or add to, row ``into`` of the light: of row v of the picture the mean of its samples, times the weight."""
    scratch = borrowed(scratch)
    surfaces, row, light = scratch.samples, scratch.row, scratch.light
    width, across = scratch.pixels.face.shape[1], unsigned(row.shape[2])
    n = unsigned(surfaces.face.shape[0] // scratch.pixels.face.shape[0])
    share = single(weight) / single(n * n)
    # Of one sample in each pixel, that counts whole, the light is the row's.
    direct = n == 1 and weight == 1.0 and not add
    if not add and not direct:
        light[into] = 0.0
    for k in range(n):
        at = np.int64(v * n + k)
        if sight.rays.ray.shape[1] == 0:
            pinhole_way(sight.pinhole, rotation, at, shading.way)
        else:
            lens_way(sight, rotation, at, shading.way)
        out, first = (light, into * 3 * light.shape[2]) if direct else (row, as_index(0))
        shade_row(
            tables, shade, sight.pinhole[0], position, rotation, surfaces.inverse_depth, surfaces.face, at, moving,
            shading, out, first,
        )  # fmt: skip
        if sight.rays.ray.shape[1] > 0:
            for u in range(sight.rays.ray.shape[2]):
                if not np.isfinite(sight.rays.ray[2, at, u]):
                    for i in range(unsigned(3)):
                        put(out, unsigned(first) + i * across + unsigned(u), single(0.0))
        if not direct:
            for i in range(3):
                for u in range(width):
                    total = single(0.0)
                    for j in range(n):
                        total += item(row, unsigned(i) * across + unsigned(u) * n + j)
                    light[into, i, u] += share * total


@compiled
def render_kernel(
    tables: Tables,
    bounds: FloatArray,
    static_count: int,
    blocks: RasterBlocks,
    appearance: Appearance,
    shade: ShadeTables,
    sight: Sight,
    samples: Sight,
    develop: Development,
    exposure: float,
    gain: NDArray[np.float32],
    position: FloatArray,
    rotation: FloatArray,
    key: np.uint64,
    exclude: int,
    row0: int,
    row1: int,
    weight: float,
    truth: bool,
    at_once: bool,
    scratch: CameraScratch,
    shading: ShadeScratch,
    rgb: NDArray[np.uint8],
    depth: NDArray[np.float32],
    instance: IntArray,
    semantic: NDArray[np.uint8],
) -> None:
    """Expose rows row0 to row1 at one moment; see ``Camera``. The last four arrays are written.

    Args:
        tables, bounds, static_count, blocks: of the scene. appearance: its looks. sight: of the pixels' centres;
            samples: of the samples of light. develop, exposure, gain, key: see ``imaging.develop_row``.
        position: (3,) [m]. rotation: (3, 3). exclude: moving body that is not seen, or -1.
        weight: share of the light; 0: none is reckoned. truth: whether to fill depth, instance and semantic.
        at_once: develop each row as it is done; otherwise the light is added to ``scratch.light``.
        scratch: memory.
    """
    n = as_index(scratch.samples.face.shape[0] // scratch.pixels.face.shape[0])
    pixels = scratch.pixels
    if weight > 0.0 or n == 1:
        surfaces = scratch.samples
        see(
            tables,
            bounds,
            static_count,
            blocks,
            samples,
            position,
            rotation,
            exclude,
            row0 * n,
            row1 * n,
            scratch,
            surfaces,
        )
    moving = begin_shading(tables, bounds, static_count, shade, shading)
    whole = scratch.light.shape[0] > 1
    if weight > 0.0:
        for v in range(row0, row1):
            into = v if whole else as_index(0)
            light_row(
                tables, shade, samples, position, rotation, v, moving, scratch, shading, weight, weight < 1.0, into
            )
            if at_once:
                develop_row(scratch.light, as_index(0), develop, exposure, gain, key, v, rgb)
    if truth:
        if n > 1:
            see(
                tables,
                bounds,
                static_count,
                blocks,
                sight,
                position,
                rotation,
                exclude,
                row0,
                row1,
                scratch,
                pixels,
            )
        truth_rows(appearance, pixels, row0, row1, depth, instance, semantic)


@compiled
def fill_normals(
    tables: Tables,
    sight: Sight,
    position: FloatArray,
    rotation: FloatArray,
    row0: int,
    row1: int,
    surfaces: Surfaces,
    ray: FloatArray,
    normals: NDArray[np.float32],
) -> None:
    """Fill rows of the unit normals (H, W, 3) in ``camera_optical``, towards the camera; zero for nothing."""
    for v in range(row0, row1):
        fill_rays(sight, v, ray)
        for u in range(normals.shape[1]):
            code = surfaces.face[v, u]
            if code < 0:
                normals[v, u, 0], normals[v, u, 1], normals[v, u, 2] = 0.0, 0.0, 0.0
                continue
            p, t = as_index(code >> 3), 1.0 / np.float64(surfaces.inverse_depth[v, u])
            x, y, z = to_map(position, rotation, t * ray[u, 0], t * ray[u, 1], t * ray[u, 2])
            nx, ny, nz, _, _, _ = face_normal(tables, p, as_index(code & 7), x, y, z)
            if tables.kind[p] == TRIANGLE and (code & 7) == 4:
                nx, ny, nz = -nx, -ny, -nz
            for i in range(3):
                normals[v, u, i] = nx * rotation[0, i] + ny * rotation[1, i] + nz * rotation[2, i]


@part
def to_map(position: FloatArray, rotation: FloatArray, x: float, y: float, z: float) -> tuple[float, float, float]:
    """Return a point of ``camera_optical`` [m] in ``map``."""
    return (
        position[0] + rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2] * z,
        position[1] + rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2] * z,
        position[2] + rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2] * z,
    )


@part
def from_map(position: FloatArray, rotation: FloatArray, x: float, y: float, z: float) -> tuple[float, float, float]:
    """Return a point of ``map`` [m] in ``camera_optical``."""
    x, y, z = x - position[0], y - position[1], z - position[2]
    return (
        rotation[0, 0] * x + rotation[1, 0] * y + rotation[2, 0] * z,
        rotation[0, 1] * x + rotation[1, 1] * y + rotation[2, 1] * z,
        rotation[0, 2] * x + rotation[1, 2] * y + rotation[2, 2] * z,
    )


@part
def turn(qx: float, qy: float, qz: float, qw: float, x: float, y: float, z: float) -> tuple[float, float, float]:
    """Return a vector turned by a unit quaternion: v + 2 q x (q x v + w v)."""
    ax, ay, az = qy * z - qz * y + qw * x, qz * x - qx * z + qw * y, qx * y - qy * x + qw * z
    return x + 2.0 * (qy * az - qz * ay), y + 2.0 * (qz * ax - qx * az), z + 2.0 * (qx * ay - qy * ax)


@compiled
def fill_motion(
    tables: Tables,
    sight: Sight,
    lens: FloatArray,
    position: FloatArray,
    rotation: FloatArray,
    earlier_position: FloatArray,
    earlier_rotation: FloatArray,
    pose: FloatArray,
    earlier_pose: FloatArray,
    row0: int,
    row1: int,
    surfaces: Surfaces,
    ray: FloatArray,
    motion: NDArray[np.float32],
) -> None:
    """Fill rows of the way (H, W, 2) [pixels] that what each pixel sees has come since an earlier moment.

    ``pose``, ``earlier_pose``: (B, 7) of the moving bodies, now and then. See ``CameraFrame.motion``.
    """
    focal, cx, cy = sight.pinhole[0], sight.pinhole[2], sight.pinhole[3]
    for v in range(row0, row1):
        fill_rays(sight, v, ray)
        for u in range(motion.shape[1]):
            code = surfaces.face[v, u]
            if code < 0:
                # Endlessly far: only turning counts.
                x, y, z = to_map(earlier_position, rotation, ray[u, 0], ray[u, 1], ray[u, 2])
            else:
                t = 1.0 / np.float64(surfaces.inverse_depth[v, u])
                x, y, z = to_map(position, rotation, t * ray[u, 0], t * ray[u, 1], t * ray[u, 2])
                b = as_index(tables.body[code >> 3])
                if b >= 0:
                    x, y, z = x - pose[b, 0], y - pose[b, 1], z - pose[b, 2]
                    x, y, z = turn(-pose[b, 3], -pose[b, 4], -pose[b, 5], pose[b, 6], x, y, z)
                    q = earlier_pose[b]
                    x, y, z = turn(q[3], q[4], q[5], q[6], x, y, z)
                    x, y, z = x + q[0], y + q[1], z + q[2]
            x, y, z = from_map(earlier_position, earlier_rotation, x, y, z)
            px, py = project_point(lens, x, y, z)
            blind = ray[u, 0] == 0.0 and ray[u, 1] == 0.0 and ray[u, 2] == 0.0
            if not (np.isfinite(px) and np.isfinite(py)) or blind:
                motion[v, u, 0], motion[v, u, 1] = np.inf, np.inf
            else:
                motion[v, u, 0], motion[v, u, 1] = u - (focal * px + cx), v - (focal * py + cy)
