"""Many worlds at once: halls that they share, movers of their own; on the CPU or resident on a CUDA device.

A world is one of the halls and, for each frame, the poses of the same B moving bodies; so W worlds take little memory
beyond their halls, on a GPU about 100 bytes for each moving part. What a sensor sees in a world is what it sees in a
``Scene`` of that hall and those poses: bit for bit on the CPU, to the rounding of its arithmetic on a GPU.

On the CPU the lidars of all worlds scan in one compiled call, on the threads that ``threads.set_threads`` allows.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import carray
from numpy.typing import ArrayLike, NDArray

from ..common.errors import InputError
from ..common.geometry import FloatArray
from ..common.primitives import Primitives
from .compiled import compiled
from .device import resolve_device
from .grid import IntArray
from .handles import make_handle, pointer
from .lidar import Lidar, check_sensor_poses, scan_kernel
from .lidar_raster import MAX_SLICES
from .lidar_signal import FILM, GLOSS, REFLECTIVITY, lidar_settings, lidar_surface
from .noise import QUANTILES, as_word
from .scene import CELL_SIZE, Scene, first_bad_pose, link_bodies, place_bodies
from .shading import ENCODING, light_table
from .threads import get_threads, map_chunks

if TYPE_CHECKING:
    from .camera import Camera
    from .config import CameraConfig, Lighting
    from .cuda.engine import CudaWorlds

LOOK_COLUMNS = 8
CAMERA_ON_GPU = ("width", "height", "horizontal_fov", "near", "far", "rate", "center_offset", "noise", "shot_noise")
"""Settings of a camera that the GPU knows; the others must be at their defaults: a pinhole with simple noise."""
NOT_ON_GPU = (
    "divergence_horizontal",
    "divergence_vertical",
    "gloss",
    "sweep_time",
    "angle_offset",
    "shared_noise",
    "shared_noise_growth",
    "edge_shift",
    "edge_mixed",
    "outlier_short",
    "outlier_long",
)
"""Settings of a lidar that must be 0 on ``cuda``: effects that need the beam's neighbours, or more than one pose."""


@dataclass(frozen=True)
class WorldScans:
    """Scans of S lidars in each of W worlds, E rings of B beams: arrays (W, S, E, B).

    On ``cpu`` numpy arrays, yours to keep. On ``cuda`` device arrays that other libraries take without a copy
    (``__cuda_array_interface__``): the next scan of the same shape overwrites them, so copy what is to outlive it.

    Attributes:
        ranges: float32 [m], measured, inf where nothing came back; intensity: float32, 0 to 1. See ``Lidar``.
        true_ranges: float32 [m] without noise; instance_id, class_id: int32 of what was hit, 0 for nothing.
    """

    ranges: Any
    intensity: Any
    true_ranges: Any
    instance_id: Any
    class_id: Any

    def torch(self) -> dict[str, Any]:
        """Return the arrays as torch tensors by name, on the device that they are on, sharing their memory."""
        return _tensors(self)

    def numpy(self) -> WorldScans:
        """Return the arrays on the host: a copy from the device, itself on the CPU."""
        return WorldScans(**{field.name: _host(getattr(self, field.name)) for field in fields(self)})


@dataclass(frozen=True)
class WorldPictures:
    """Pictures of S cameras in each of W worlds, on the host or on the device as ``WorldScans``.

    Attributes:
        rgb: (W, S, H, W', 3) uint8. depth: (W, S, H, W') float32, planar z [m], inf where nothing was hit.
        instance_id: int32 and class_id: uint8, 0 where nothing was hit.
    """

    rgb: Any
    depth: Any
    instance_id: Any
    class_id: Any

    def torch(self) -> dict[str, Any]:
        """Return the arrays as torch tensors by name, on the device that they are on, sharing their memory."""
        return _tensors(self)

    def numpy(self) -> WorldPictures:
        """Return the arrays on the host: a copy from the device, itself on the CPU."""
        return WorldPictures(**{field.name: _host(getattr(self, field.name)) for field in fields(self)})


class Worlds:
    """W worlds for sensors.

    Args:
        halls: static solids in ``map``: of one hall or of several.
        moving: parts of moving bodies in their bodies' frames, the same in every world; see ``Scene``.
        body_count: number of moving bodies B in each world.
        world_count: number of worlds W.
        hall_of_world: (W,) index of the hall that each world is in; the first for all if left out.
        cell_size: of the halls' grids [m].
        device: ``auto``, ``cpu`` or ``cuda``; see ``perception.device``.
        precision: width of the rays' arithmetic on ``cuda``. ``float32`` places what is hit to about 1e-5 m in a hall
            of 100 m (grazing hits to more, by one over the sine of the angle); ``float64`` as the CPU.

    Raises:
        InputError: solids as in ``Scene``, no hall, no world, a hall that does not exist, no such device.

    Until the first ``update`` every moving body stands at the origin of ``map``, unturned.
    """

    def __init__(
        self,
        halls: Primitives | Sequence[Primitives],
        moving: Primitives,
        body_count: int,
        world_count: int,
        *,
        hall_of_world: ArrayLike | None = None,
        cell_size: float = CELL_SIZE,
        device: str = "auto",
        precision: str = "float32",
    ) -> None:
        every = [halls] if isinstance(halls, Primitives) else list(halls)
        if not every or world_count < 1:
            raise InputError(f"{len(every)} halls, {world_count} worlds", where="Worlds", mend="give at least one each")
        if precision not in ("float32", "float64"):
            raise InputError(f"precision {precision!r} is unknown", where="Worlds", mend="give float32 or float64")
        index = np.zeros(world_count, np.int32) if hall_of_world is None else np.asarray(hall_of_world)
        if index.shape != (world_count,) or index.min() < 0 or index.max() >= len(every):
            raise InputError(
                f"hall_of_world has shape {index.shape}, values {index.min(initial=0)} to {index.max(initial=0)}",
                where="Worlds",
                mend=f"give ({world_count},) indices from 0 to {len(every) - 1}",
            )
        self.device = resolve_device(device)
        self.body_count, self.world_count = body_count, world_count
        self.hall_of_world = index.astype(np.int32)
        self.scenes = [Scene(hall, moving, body_count, cell_size=cell_size) for hall in every]
        """One scene for each hall; which world's poses it is in changes from call to call."""
        self._pose = np.tile([0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0], (world_count, body_count, 1))
        self._scene_sets: list[list[Scene]] = [self.scenes]
        """Scenes of the halls for each thread."""
        self._cuda: CudaWorlds | None = None
        if self.device == "cuda":
            from .cuda.engine import CudaWorlds

            self._cuda = CudaWorlds(
                every,
                moving,
                body_count,
                self.hall_of_world,
                [_look_table(scene)[: scene.static_count] for scene in self.scenes]
                + [_look_table(self.scenes[0])[self.scenes[0].static_count :]],
                cell_size=cell_size,
                precision=precision,
            )
            self._cuda.update(self._pose)

    def __len__(self) -> int:
        return self.world_count

    @property
    def nbytes(self) -> int:
        """Memory [bytes] of the worlds on the device, or of their poses on the CPU (halls not counted)."""
        return self._cuda.nbytes if self._cuda is not None else int(self._pose.nbytes)

    def update(self, body_pose: Any, worlds: ArrayLike | None = None) -> None:
        """Place the moving bodies for a frame.

        Args:
            body_pose: (W, B, 7) x, y, z [m] and quaternion xyzw in ``map``; on ``cuda`` also a device array (a torch
                tensor, say), float32 or float64, which is not copied to the host and not checked: a body whose pose is
                not finite or not of unit length is seen by no sensor.
            worlds: (K,) indices of the worlds to place, body_pose then (K, B, 7); all if left out.

        Raises:
            InputError: wrong shape, a world that does not exist, or (host arrays) a pose that is not usable. The
                worlds are left as they were.
        """
        index = None if worlds is None else np.ascontiguousarray(worlds, dtype=np.int32)
        if index is not None and index.size and (index.min() < 0 or index.max() >= self.world_count):
            raise InputError(
                f"worlds {index.min()} to {index.max()} of {self.world_count}",
                where="Worlds.update",
                mend=f"use indices 0 to {self.world_count - 1}",
            )
        count = self.world_count if index is None else len(index)
        if tuple(body_pose.shape if hasattr(body_pose, "shape") else np.shape(body_pose)) != (
            count,
            self.body_count,
            7,
        ):
            raise InputError(
                f"body poses have shape {tuple(np.shape(body_pose))}",
                where="Worlds.update",
                mend=f"give ({count}, {self.body_count}, 7)",
            )
        if self._cuda is not None:
            self._cuda.update(body_pose if _is_on_device(body_pose) else _checked_pose(body_pose), index)
            return
        pose = np.ascontiguousarray(body_pose, dtype=np.float64)
        bad = keep_poses(pose, np.arange(count, dtype=np.int32) if index is None else index, self._pose)
        if bad >= 0:
            raise _unusable(pose, *divmod(bad, self.body_count))

    def scene(self, world: int) -> Scene:
        """Return the scene of a world (``cpu`` only), in its poses until another world's is asked for."""
        if self._cuda is not None:
            raise InputError("these worlds are on the GPU", where="Worlds.scene", mend="build them with device='cpu'")
        scene = self.scenes[self.hall_of_world[world]]
        scene.update(self._pose[world])
        return scene

    def scan(
        self,
        lidar: Lidar,
        positions: Any,
        rotations: Any,
        *,
        stream: Any = 0,
        sensors: ArrayLike | None = None,
        frame: Any = 0,
        exclude_body: ArrayLike = -1,
    ) -> WorldScans:
        """Scan with S lidars in each world.

        Args:
            lidar: what they are. On ``cuda`` anything that has its ``directions``, ``elevations`` and ``config``.
            positions: (W, S, 3) [m]; rotations: (W, S, 3, 3), columns are the axes of ``laser`` in ``map``. On ``cuda``
                also device arrays, which are not checked: a lidar whose pose is not usable sees nothing.
            stream: noise stream of each world, one or (W,). sensors: (S,) indices of the lidars; 0 to S - 1 if left
                out. frame: number of the scan in each world, one or (W,).
            exclude_body: one, (S,) or (W, S): moving body that carries the lidar and is not seen; -1 for none.

        Raises:
            InputError: shapes that do not fit, or (host arrays) poses that are not usable.
        """
        count = self._check_places(positions, rotations, "lidar")
        words = _words(np.arange(count) if sensors is None else sensors, count, "sensors")
        streams, frames = _words(stream, self.world_count, "stream"), _words(frame, self.world_count, "frame")
        exclude = np.broadcast_to(np.asarray(exclude_body, dtype=np.int32), (self.world_count, count))
        if self._cuda is not None:
            places = _checked_places(positions, rotations, "lidar")
            settings = _lidar_settings(lidar)
            rings = len(lidar.elevations)
            return WorldScans(
                **self._cuda.scan(
                    lidar.directions, rings, settings, QUANTILES, *places, exclude, streams, words, frames
                )
            )
        position, rotation = _checked_places(positions, rotations, "lidar")
        shape = (self.world_count, count, len(lidar.elevations), len(lidar.angles))
        measured, true_ranges, labels = self._scan(lidar, position, rotation, (streams, words, frames), exclude)
        return WorldScans(*(a.reshape(shape) for a in (measured[0], measured[1], true_ranges, labels[0], labels[1])))

    def _scan(
        self,
        lidar: Lidar,
        position: FloatArray,
        rotation: FloatArray,
        noise: tuple[NDArray[np.uint64], NDArray[np.uint64], NDArray[np.uint64]],
        exclude: IntArray,
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], IntArray]:
        """Call the kernel for all worlds, on all threads; returns (2, W * S, E, B), (W * S, E, B), (2, W * S, E, B)."""
        stream, words, frame = noise
        total, size = self.world_count * len(words), (len(lidar.elevations), len(lidar.angles))
        place, turn = position.reshape(total, 3), np.ascontiguousarray(rotation.reshape(total, 3, 3))
        sensors, without = np.tile(words, self.world_count), np.ascontiguousarray(exclude.reshape(total))
        own = 2 * lidar.config.returns
        reported, labels = np.empty((own + 1, total, *size), np.float32), np.empty((2, total, *size), np.int32)
        out = (reported, labels, np.empty((total, *size), np.uint8))
        fixed, flat, height, held = self._static_lists(lidar, position)
        known = np.stack([make_handle(scene.lidar_surface, scene.instance_id, scene.class_id) for scene in self.scenes])
        static_count = np.array([scene.static_count for scene in self.scenes])
        # Bodies are placed in a scene's own tables, so that each thread needs scenes of its own.
        while len(self._scene_sets) < min(get_threads(), self.world_count):
            self._scene_sets.append(copy.deepcopy(self.scenes))
        free = list(self._scene_sets)

        def work(first: int, end: int) -> None:
            scenes = free.pop()
            scan_worlds(
                first, end, self.hall_of_world, self._pose,
                np.stack([scene.placed_handle for scene in scenes]),
                np.stack([scene.placing_handle for scene in scenes]),
                np.stack([scene.linking_handle for scene in scenes]),
                np.stack([scene.moving_handle for scene in scenes]),
                fixed, flat, height, known, static_count, lidar._casts_rays, lidar._handle, place, turn,
                np.zeros((0, 6)), stream, sensors, frame, without, *out,
            )  # fmt: skip
            for scene in scenes:
                scene._linked = False

        map_chunks(work, self.world_count)
        del held  # It kept the lists that the handles stand for.
        return reported[:2], reported[own], labels

    def _static_lists(
        self, lidar: Lidar, position: FloatArray
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], FloatArray, list[Any]]:
        """Return the halls' static solids as a lidar wants them.

        Returns:
            Handles of those of each hall (H, N), of those at the height of each world's first lidar (W, N), these
            heights (W,) [m], NaN where there are too many to list, and what must live as long as the handles are used.
        """
        fixed = np.stack([scene.footprints_handle() for scene in self.scenes])
        flat, height = fixed[self.hall_of_world], np.full(self.world_count, np.nan)
        held: list[Any] = []
        for h, scene in enumerate(self.scenes if lidar._flat and position.shape[1] else ()):
            here = self.hall_of_world == h
            heights = np.unique(position[here, 0, 2])
            for z in heights.tolist() if len(heights) < MAX_SLICES else ():
                same = here & (position[:, 0, 2] == z)
                flat[same], height[same] = scene.footprints_handle(z), z
                held.append(scene._slices[z])
        return fixed, flat, height, held

    def render(
        self,
        camera: Camera,
        positions: Any,
        rotations: Any,
        lighting: Lighting,
        *,
        stream: Any = 0,
        sensors: ArrayLike | None = None,
        frame: Any = 0,
        exclude_body: ArrayLike = -1,
    ) -> WorldPictures:
        """Take pictures with S cameras in each world.

        Args:
            camera: what they are. On ``cuda`` anything that has its ``config``.
            positions: (W, S, 3) [m]; rotations: (W, S, 3, 3), columns are the axes of ``camera_optical`` in ``map``.
            lighting: the light of all worlds. On ``cuda`` each point of a surface is lit by the key light (one shadow
                ray) and the ambient light, and painted by ``materials.paint``: depth and ids are those of the CPU, the
                colours of its textures and lamps are not.
            others: as in ``scan``.

        Raises:
            InputError: as ``scan``.
        """
        count = self._check_places(positions, rotations, "camera")
        words = _words(np.arange(count) if sensors is None else sensors, count, "sensors")
        streams, frames = _words(stream, self.world_count, "stream"), _words(frame, self.world_count, "frame")
        exclude = np.broadcast_to(np.asarray(exclude_body, dtype=np.int32), (self.world_count, count))
        size = (camera.config.height, camera.config.width)
        if self._cuda is not None:
            position, rotation = _checked_places(positions, rotations, "camera")
            lights = (light_table(lighting), ENCODING, QUANTILES)
            view = _camera_view(camera.config)
            return WorldPictures(
                **self._cuda.render(
                    size, view, lights, self._crowding, position, rotation, exclude, streams, words, frames
                )
            )
        shape = (self.world_count, count, *size)
        pictures = WorldPictures(
            np.empty((*shape, 3), np.uint8),
            np.empty(shape, np.float32),
            np.empty(shape, np.int32),
            np.empty(shape, np.uint8),
        )
        position, rotation = np.asarray(positions), np.asarray(rotations)
        for w in range(self.world_count):
            scene = self.scene(w)
            for s in range(count):
                picture = camera.render(
                    scene,
                    position[w, s],
                    rotation[w, s],
                    lighting,
                    stream=int(streams[w]),
                    sensor=int(words[s]),
                    frame=int(frames[w]),
                    exclude_body=int(exclude[w, s]),
                )
                pictures.rgb[w, s], pictures.depth[w, s] = picture.rgb, picture.depth
                pictures.instance_id[w, s], pictures.class_id[w, s] = picture.instance, picture.semantic
        return pictures

    def host_shading(self, lighting: Lighting) -> tuple[NDArray[np.float32], FloatArray, FloatArray]:
        """Return what the device shades by, on the host: volumes of all halls, their corners, and the light table."""
        return (*self._crowding(), light_table(lighting).astype(np.float32))

    def _crowding(self) -> tuple[NDArray[np.float32], FloatArray]:
        """Return the halls' volumes (H, nz, ny, nx), filled up with zeros to one size, and their corners (H, 4)."""
        each = [scene.crowding for scene in self.scenes]
        size = np.max([volume.shape for volume, _ in each], axis=0)
        volumes = np.zeros((len(each), *size), np.float32)
        for h, (volume, _) in enumerate(each):
            nz, ny, nx = volume.shape
            volumes[h, :nz, :ny, :nx] = volume
        return volumes, np.stack([corner for _, corner in each])

    def _check_places(self, positions: Any, rotations: Any, sensor: str) -> int:
        """Return the number of sensors in each world."""
        place, turn = tuple(np.shape(positions)), tuple(np.shape(rotations))
        if len(place) != 3 or place[0] != self.world_count or place[2] != 3 or turn != (*place, 3):
            raise InputError(
                f"positions {place} and rotations {turn} do not fit {self.world_count} worlds",
                where=f"{sensor} pose",
                mend="give (W, S, 3) and (W, S, 3, 3)",
            )
        return int(place[1])


@compiled
def keep_poses(pose: FloatArray, world: IntArray, kept: FloatArray) -> int:
    """Copy poses (K, B, 7) of worlds (K,) into those kept (W, B, 7), if all are usable.

    Returns the first unusable one, counted over K * B, or -1.
    """
    for k in range(len(world)):
        bad = first_bad_pose(pose[k])
        if bad >= 0:
            return k * pose.shape[1] + bad
    for k in range(len(world)):
        kept[world[k]] = pose[k]
    return -1


@compiled
def scan_worlds(
    first: int,
    end: int,
    hall_of_world: IntArray,
    pose: FloatArray,
    placed: NDArray[np.int64],
    placing: NDArray[np.int64],
    linking: NDArray[np.int64],
    moving: NDArray[np.int64],
    fixed: NDArray[np.int64],
    flat: NDArray[np.int64],
    height: FloatArray,
    known: NDArray[np.int64],
    static_count: NDArray[np.int64],
    casts_rays: bool,
    lidar: NDArray[np.int64],
    position: FloatArray,
    rotation: FloatArray,
    velocity: FloatArray,
    stream: NDArray[np.uint64],
    sensors: NDArray[np.uint64],
    frame: NDArray[np.uint64],
    exclude: IntArray,
    reported: NDArray[np.float32],
    labels: IntArray,
    flags: NDArray[np.uint8],
) -> None:
    """Scan in worlds first to end - 1: place each one's bodies in its hall, then do as ``scan_kernel``.

    Args:
        pose: (W, B, 7). placed, placing, linking, moving, fixed: handles of the halls' scenes, a row for each hall.
        known: likewise, of what lidars meet, and of instance and class of all solids.
        flat: handles (W, N), height: (W,), of each world; see ``scan_kernel``.
        position to flags: as there, of all lidars of all worlds; stream, frame: (W,).
    """
    count = len(position) // len(hall_of_world)
    for w in range(first, end):
        h = hall_of_world[w]
        place_bodies(placed[h], placing[h], moving[h], pose[w], static_count[h])
        if casts_rays:
            link_bodies(placed[h], linking[h], static_count[h])
        surface = carray(pointer(known[h, 0]), (known[h, 1], 4), np.float32)
        instance_id = carray(pointer(known[h, 2]), (known[h, 3],), np.int32)
        class_id = carray(pointer(known[h, 4]), (known[h, 5],), np.int32)
        scan_kernel(
            w * count, (w + 1) * count, placed[h], fixed[h], flat[w], height[w], moving[h], lidar, surface,
            instance_id, class_id, position, rotation, velocity, stream[w], sensors, frame[w], exclude, reported,
            labels, flags,
        )  # fmt: skip


def _look_table(scene: Scene) -> NDArray[np.float32]:
    """Return (P, 8) float32: linear albedo (3), material, the object's number; reflectivity, film, gloss for lidars."""
    table = np.zeros((len(scene), LOOK_COLUMNS), np.float32)
    table[:, :5] = scene.looks[:, :5]
    surface = lidar_surface(Primitives.concatenate([scene.static, scene.moving]))
    table[:, 5], table[:, 6], table[:, 7] = surface[:, REFLECTIVITY], surface[:, FILM], surface[:, GLOSS]
    return table


def _lidar_settings(lidar: Lidar) -> FloatArray:
    """Return a lidar's settings as the kernel reads them.

    Raises:
        InputError: an effect that the GPU does not have.
    """
    for name in NOT_ON_GPU:
        if getattr(lidar.config, name):
            raise InputError(
                f"{name} is {getattr(lidar.config, name)}: lidars on the GPU do not have this effect yet",
                where="Worlds.scan",
                mend=f"set {name} to 0, or use device='cpu'",
            )
    if lidar.config.returns != 1:
        raise InputError(
            "lidars on the GPU report one return", where="Worlds.scan", mend="set returns to 1, or use device='cpu'"
        )
    return lidar_settings(lidar.config)


def _camera_view(config: CameraConfig) -> FloatArray:
    """Return a camera's view as ``pictures.render_pixels`` reads it.

    Raises:
        InputError: an effect that the GPU does not have.
    """
    for name, field in getattr(type(config), "model_fields", {}).items():
        if name not in CAMERA_ON_GPU and getattr(config, name) != field.default:
            raise InputError(
                f"{name} is {getattr(config, name)}: cameras on the GPU do not have this effect yet",
                where="Worlds.render",
                mend=f"leave {name} at {field.default}, or use device='cpu'",
            )
    return np.array(
        [
            config.focal,
            *config.center,
            config.near,
            config.far,
            config.noise,
            config.shot_noise,
        ]
    )


def _checked_pose(body_pose: Any) -> FloatArray:
    pose = np.ascontiguousarray(body_pose, dtype=np.float64)
    square = np.einsum("...i,...i->...", pose[..., 3:], pose[..., 3:])
    bad = ~(np.isfinite(pose).all(axis=-1) & (np.abs(square - 1.0) < 0.02))
    if bad.any():
        raise _unusable(pose, *(int(i[0]) for i in np.nonzero(bad)))
    return pose


def _unusable(pose: FloatArray, world: int, body: int) -> InputError:
    return InputError(
        f"pose of moving body {body} is not usable: {pose[world, body].tolist()}",
        where=f"Worlds.update, world {world}",
        mend="positions must be finite and quaternions xyzw of unit length",
    )


def _checked_places(positions: Any, rotations: Any, sensor: str) -> tuple[Any, Any]:
    """Return the poses of sensors; checked if they are on the host."""
    if _is_on_device(positions) or _is_on_device(rotations):
        return positions, rotations
    position, rotation = np.asarray(positions, dtype=np.float64), np.asarray(rotations, dtype=np.float64)
    check_sensor_poses(position.reshape(-1, 3), rotation.reshape(-1, 3, 3), sensor)
    return position, rotation


def _words(values: Any, count: int, name: str) -> NDArray[np.uint64]:
    """Return one or ``count`` whole numbers as (count,) uint64."""
    array = np.atleast_1d(np.asarray(values))
    whole = array.dtype.kind in "iu"
    words = array.astype(np.uint64) if whole else np.array([as_word(v) for v in array.tolist()], dtype=np.uint64)
    if words.shape not in ((1,), (count,)):
        raise InputError(f"{name} has shape {words.shape}", where="Worlds.scan", mend=f"give one or ({count},)")
    return np.ascontiguousarray(np.broadcast_to(words, (count,)))


def _is_on_device(array: Any) -> bool:
    return hasattr(array, "copy_to_host") or hasattr(array, "__cuda_array_interface__")


def _tensors(arrays: WorldScans | WorldPictures) -> dict[str, Any]:
    torch = importlib.import_module("torch")
    return {field.name: torch.as_tensor(getattr(arrays, field.name)) for field in fields(arrays)}


def _host(array: Any) -> NDArray[Any]:
    return np.asarray(array.copy_to_host() if hasattr(array, "copy_to_host") else array)
