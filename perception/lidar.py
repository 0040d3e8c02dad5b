"""A scanning lidar, 2D or 3D: what it measures, and the truth apart from that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import carray
from numpy.typing import ArrayLike, NDArray

from ..common.errors import InputError
from ..common.geometry import FloatArray
from .compiled import compiled, inner, part
from .frames import LidarBatch, LidarScan, LidarTruth
from .grid import IntArray
from .handles import make_handle, open_tables, pointer
from .lanes import LANES
from .lidar_footprints import open_footprints
from .lidar_mirrors import draw_mirrors
from .lidar_raster import beams_handle, lidar_beams, lidar_scratch, open_beams, place_lidar, see_lidar
from .lidar_signal import (
    S_GLOSS,
    S_MAX,
    S_OFFSET,
    S_RETURNS,
    TARGET,
    beam_times,
    find_echoes,
    lidar_settings,
    report_scan,
    trace_mirrors,
    turn_unit,
    unit_angle,
)
from .lidar_solids import local_rays, place_rays
from .noise import LIDAR, LIDAR_FILM, QUANTILES, as_word, noise_key
from .raycast import as_index
from .scene import Scene
from .threads import map_chunks

if TYPE_CHECKING:
    from .config import LidarConfig

ROTATION_TOLERANCE = 1e-4
"""How far the rows of a rotation matrix may be from orthonormal."""
_AT_REST = np.zeros((0, 6))
_NOBODY = np.full(1, -1, np.int32)
_NO_FLAGS, _NO_LABELS = np.zeros((0, 0, 0), np.uint8), np.zeros((0, 0, 0, 0), np.int32)
_NO_SURFACE, _NO_NOISE = np.zeros((0, 4), np.float32), (np.uint64(0), np.zeros(0, np.uint64), np.uint64(0))
_NO_INTENSITY, _NO_KINDS = np.zeros((0, 0), np.float32), np.zeros((0, 0), np.uint8)
_WORD = 0xFFFFFFFFFFFFFFFF
BEAMS_HANDLE = 10
"""Length of the handle of a lidar's beams."""


class Lidar:
    """A lidar that scans scenes.

    Frame ``laser``: x forward, y left, z up; azimuth counter-clockwise from x, elevation up from the xy plane.

    What is measured of the true ranges is told in ``lidar_signal``. A lidar that is buried in something measures
    nothing: its true range is 0.
    """

    def __init__(self, config: LidarConfig) -> None:
        self.config = config
        self.angles: FloatArray = beam_angles(config)
        self.elevations: FloatArray = np.array(config.elevations, dtype=np.float64)
        elevation, azimuth = np.meshgrid(self.elevations, self.angles, indexing="ij")
        self.directions: FloatArray = np.ascontiguousarray(
            np.stack(
                [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], axis=-1
            ).reshape(-1, 3)
        )
        """(E * B, 3) unit vectors in ``laser``, ring by ring."""
        self._rays = local_rays.py_func(self.directions)
        self._settings = lidar_settings(config)
        span = config.angle_max - config.angle_min
        step = span / (config.beams if _full_turn(config) else max(config.beams - 1, 1))
        self._beams = lidar_beams(self.angles, step, self.elevations, beam_times(config))
        self._shape = (len(self.elevations), len(self.angles))
        self._sweeps = bool(self._beams.time.any())
        self._make_handle()
        self._flat = config.elevations == (0.0,)
        self._casts_rays = max(config.divergence_horizontal, config.divergence_vertical, config.gloss) > 0.0

    def __getstate__(self) -> dict[str, Any]:
        """Return all but the addresses of arrays, which a copy has elsewhere."""
        return {name: value for name, value in self.__dict__.items() if name != "_handle"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._make_handle()

    def _make_handle(self) -> None:
        own = make_handle(self._rays, self._settings, QUANTILES)
        self._handle = np.concatenate([beams_handle(self._beams), own])

    def scan(
        self,
        scene: Scene,
        position: ArrayLike,
        rotation: ArrayLike,
        *,
        stream: int,
        sensor: int,
        frame: int,
        exclude_body: int = -1,
        velocity: ArrayLike | None = None,
    ) -> tuple[LidarScan, LidarTruth]:
        """Scan once; see ``scan_batch``."""
        return self.scan_batch(
            scene,
            np.asarray(position, dtype=np.float64)[None],
            np.asarray(rotation, dtype=np.float64)[None],
            stream=stream,
            sensors=(sensor,),
            frame=frame,
            exclude_body=(exclude_body,),
            velocity=None if velocity is None else np.asarray(velocity, dtype=np.float64)[None],
        )[0]

    def scan_batch(
        self,
        scene: Scene,
        positions: ArrayLike,
        rotations: ArrayLike,
        *,
        stream: int,
        sensors: ArrayLike,
        frame: int,
        exclude_body: ArrayLike = -1,
        velocity: ArrayLike | None = None,
        truth: bool = True,
    ) -> LidarBatch:
        """Scan from S places in one compiled call; each result equals that of ``scan`` alone.

        Args:
            scene: what is there.
            positions: (S, 3) [m] of the lidars in ``map``, at the start of the sweep.
            rotations: (S, 3, 3); columns are the axes of ``laser`` in ``map``, at the start of the sweep.
            stream: noise stream of the episode. sensors: (S,) indices of the lidars. frame: number of the scan.
            exclude_body: (S,) or one: moving body that carries the lidar and is not seen, -1 for none.
            velocity: (S, 6) linear [m/s] and angular [rad/s] velocity of the lidars in ``map``, constant in a sweep.
                Beam by beam the lidar is where it has come to by the beam's time (``beam_times``; a scan is stamped
                with the start of its sweep); the other bodies stand still. Without effect if the sweep takes no time.
            truth: whether to return true ranges and what was hit.

        Returns:
            Measured scans and truths; ``batch[s]`` gives those of one lidar.

        Raises:
            InputError: shapes that do not fit, or poses that are not finite or not rotations.
        """
        position, rotation = check_sensor_poses(positions, rotations, "lidar")
        count = len(position)
        word = _words(sensors)
        if len(word) != count:
            raise InputError(f"{len(word)} sensor indices for {count} poses", where="lidar", mend="give one per pose")
        shape, own = (count, *self._shape), 2 * self.config.returns
        reported = np.empty((own + truth, *shape), np.float32)
        flags = np.empty(shape, np.uint8)
        labels = np.empty((2, *shape), np.int32) if truth else _NO_LABELS
        noise = (as_word(stream), word, as_word(frame))
        self._run(scene, position, rotation, velocity, exclude_body, noise, (reported, labels, flags))
        batch = LidarBatch(self.angles, self.elevations, reported[0], reported[1])
        if own == 4:
            batch.second_ranges, batch.second_intensity = reported[2], reported[3]
        if truth:
            batch.true_ranges, batch.instance_id, batch.class_id = reported[own], labels[0], labels[1]
            batch.flags = flags
        return batch

    def true_ranges(
        self,
        scene: Scene,
        positions: ArrayLike,
        rotations: ArrayLike,
        *,
        exclude_body: ArrayLike = -1,
        velocity: ArrayLike | None = None,
    ) -> tuple[NDArray[np.float32], IntArray]:
        """Return what S lidars would measure if they were perfect; arguments as for ``scan_batch``.

        Returns:
            Ranges (S, E, B) float32 [m], inf for nothing, and rows (S, E, B) int32 of the world table, -1 for nothing.
        """
        position, rotation = check_sensor_poses(positions, rotations, "lidar")
        shape = (1, len(position), *self._shape)
        ranges, index = np.empty(shape, np.float32), np.empty(shape, np.int32)
        self._run(scene, position, rotation, velocity, exclude_body, _NO_NOISE, (ranges, index, _NO_FLAGS))
        return ranges[0], index[0]

    def _run(
        self,
        scene: Scene,
        position: FloatArray,
        rotation: FloatArray,
        velocity: ArrayLike | None,
        exclude_body: ArrayLike,
        noise: tuple[np.uint64, NDArray[np.uint64], np.uint64],
        out: tuple[NDArray[Any], ...],
    ) -> None:
        """Call the kernel on all threads; ``out`` as in ``scan_kernel``."""
        count = len(position)
        exclude, speed = _excluded(exclude_body, count), self._velocity(velocity, count)
        fixed, height = scene.footprints_handle(), np.nan
        flat = fixed
        if self._flat and count:
            height = float(position[0, 2])
            flat = scene.footprints_handle(height)
        stream, words, frame = noise
        surface = scene.lidar_surface if len(words) else _NO_SURFACE
        tables = scene.handle if self._casts_rays and len(words) else scene.placed_handle

        def work(first: int, end: int) -> None:
            scan_kernel(
                first, end, tables, fixed, flat, height, scene.moving_handle, self._handle, surface, scene.instance_id,
                scene.class_id, position, rotation, speed, stream, words, frame, exclude, *out,
            )  # fmt: skip

        map_chunks(work, count)

    def _velocity(self, velocity: ArrayLike | None, count: int) -> FloatArray:
        """Return velocities as (count, 6), or (0, 6) if they have no effect."""
        if velocity is None:
            return _AT_REST
        speed = np.ascontiguousarray(velocity, dtype=np.float64)
        if speed.shape != (count, 6) or not np.isfinite(speed).all():
            raise InputError(
                f"velocities have shape {speed.shape}, or are not finite",
                where="lidar",
                mend=f"give ({count}, 6): linear [m/s] and angular [rad/s]",
            )
        return speed if self._sweeps else _AT_REST

    def points(self, scan: LidarScan) -> NDArray[np.float32]:
        """Return the returns of a scan as points.

        Returns:
            (N, 4) float32 x, y, z [m] in ``laser`` and intensity [0, 1]; ring by ring, empty beams left out.
        """
        intensity = _NO_INTENSITY if scan.intensity is None else scan.intensity
        return gather_points(self.directions, scan.ranges, intensity)  # type: ignore[no-any-return]

    def labelled_points(
        self, scan: LidarScan, truth: LidarTruth
    ) -> tuple[NDArray[np.float32], NDArray[np.int32], NDArray[np.int32]]:
        """Return the returns of a scan as points, with what they are of.

        Returns:
            The points of ``points``, and class and instance ids, (N,) int32 each, as by ``labels.label_points``.
        """
        intensity = _NO_INTENSITY if scan.intensity is None else scan.intensity
        flags = _NO_KINDS if truth.flags is None else truth.flags
        points, ids = gather_labelled_points(
            self.directions, scan.ranges, intensity, flags, truth.class_id, truth.instance_id
        )
        return points, ids[0], ids[1]


def beam_angles(config: LidarConfig) -> FloatArray:
    """Return the azimuths (B,) [rad] of a lidar; a full turn leaves out the last, which would repeat the first."""
    return np.linspace(config.angle_min, config.angle_max, config.beams, endpoint=not _full_turn(config))


def _full_turn(config: LidarConfig) -> bool:
    return abs(config.angle_max - config.angle_min - 2.0 * np.pi) < 1e-9


def _words(values: ArrayLike) -> NDArray[np.uint64]:
    """Return whole numbers as words for the noise."""
    whole = values if isinstance(values, (tuple, list, range)) else np.atleast_1d(np.asarray(values)).tolist()
    return np.array([int(v) & _WORD for v in whole], dtype=np.uint64)


def _excluded(body: ArrayLike, count: int) -> IntArray:
    """Return the bodies that are not seen as (count,) int32, or as (1,) one for all."""
    if isinstance(body, int):
        return _NOBODY if body == -1 else np.array((body,), np.int32)
    return np.full(count, body, dtype=np.int32)


def check_sensor_poses(positions: ArrayLike, rotations: ArrayLike, sensor: str) -> tuple[FloatArray, FloatArray]:
    """Return sensor positions (S, 3) and rotations (S, 3, 3) as contiguous float64.

    Raises:
        InputError: shapes that do not fit, values that are not finite, or matrices that are not rotations.
    """
    position = np.ascontiguousarray(positions, dtype=np.float64)
    rotation = np.ascontiguousarray(rotations, dtype=np.float64)
    if position.ndim != 2 or position.shape[1] != 3 or rotation.shape != (len(position), 3, 3):
        raise InputError(
            f"positions {position.shape} and rotations {rotation.shape} do not fit",
            where=f"{sensor} pose",
            mend="give (S, 3) and (S, 3, 3)",
        )
    bad = first_bad_sensor_pose(position, rotation)
    if bad >= 0:
        raise InputError(
            f"the pose is not finite, or its matrix is no rotation: position {position[bad].tolist()}, "
            f"rotation {rotation[bad].tolist()}",
            where=f"{sensor} pose {bad}",
            mend="give finite positions and orthonormal, right-handed matrices",
        )
    return position, rotation


@compiled
def first_bad_sensor_pose(position: FloatArray, rotation: FloatArray) -> int:
    """Return the first pose of (S, 3) and (S, 3, 3) that is not finite or not a right-handed rotation, or -1."""
    for s in range(position.shape[0]):
        r = rotation[s]
        worst = 0.0
        for i in range(3):
            for j in range(3):
                dot = r[0, i] * r[0, j] + r[1, i] * r[1, j] + r[2, i] * r[2, j]
                worst = max(worst, abs(dot - (1.0 if i == j else 0.0)))
                if not np.isfinite(r[i, j]):
                    return s
        turn = (
            r[0, 0] * (r[1, 1] * r[2, 2] - r[1, 2] * r[2, 1])
            - r[0, 1] * (r[1, 0] * r[2, 2] - r[1, 2] * r[2, 0])
            + r[0, 2] * (r[1, 0] * r[2, 1] - r[1, 1] * r[2, 0])
        )
        if (
            not np.isfinite(position[s, 0] + position[s, 1] + position[s, 2])
            or turn < 0.0
            or worst > ROTATION_TOLERANCE
        ):
            return s
    return -1


@compiled
def gather_points(
    directions: FloatArray, ranges: NDArray[np.float32], intensity: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Return (N, 4) float32 x, y, z [m] and intensity of those of E * B beams that came back.

    Args:
        directions: (E * B, 3) unit vectors. ranges: (E, B) [m], inf for none. intensity: likewise, or (0, 0).
    """
    distance, light = ranges.reshape(-1), intensity.reshape(-1)
    points = np.empty((count_finite(distance), 4), np.float32)
    n = np.uint64(0)
    for b in range(np.uint64(distance.size)):
        if np.isfinite(distance[b]):
            put_point(directions, distance, light, b, points, n)
            n += np.uint64(1)
    return points


@compiled
def gather_labelled_points(
    directions: FloatArray,
    ranges: NDArray[np.float32],
    intensity: NDArray[np.float32],
    flags: NDArray[np.uint8],
    class_id: IntArray,
    instance_id: IntArray,
) -> tuple[NDArray[np.float32], IntArray]:
    """As ``gather_points``, with (2, N) int32 class and instance; ``flags`` (E, B) or (0, 0): see ``LidarTruth``."""
    distance, light, kinds = ranges.reshape(-1), intensity.reshape(-1), flags.reshape(-1)
    classes, instances = class_id.reshape(-1), instance_id.reshape(-1)
    count = count_finite(distance)
    points, ids = np.empty((count, 4), np.float32), np.empty((2, count), np.int32)
    n = np.uint64(0)
    for b in range(np.uint64(distance.size)):
        if np.isfinite(distance[b]):
            put_point(directions, distance, light, b, points, n)
            known = kinds.size == 0 or (kinds[b] & TARGET) != 0
            ids[0, n], ids[1, n] = (classes[b], instances[b]) if known else (np.int32(0), np.int32(0))
            n += np.uint64(1)
    return points, ids


@part
def count_finite(values: NDArray[np.float32]) -> int:
    """Return how many of (N,) values are finite."""
    count = 0
    for b in range(np.uint64(values.size)):
        count += 1 if np.isfinite(values[b]) else 0
    return count


@part
def put_point(
    directions: FloatArray,
    distance: NDArray[np.float32],
    light: NDArray[np.float32],
    b: np.uint64,
    points: NDArray[np.float32],
    n: np.uint64,
) -> None:
    """Write beam b as point n."""
    for j in range(np.uint64(3)):
        points[n, j] = directions[b, j] * distance[b]
    points[n, np.uint64(3)] = light[b] if light.size > 0 else np.float32(0.0)


@compiled
def scan_kernel(
    first: int,
    end: int,
    scene: NDArray[np.int64],
    fixed_lists: NDArray[np.int64],
    flat_lists: NDArray[np.int64],
    height: float,
    moving_lists: NDArray[np.int64],
    lidar: NDArray[np.int64],
    surface: NDArray[np.float32],
    instance_id: IntArray,
    class_id: IntArray,
    position: FloatArray,
    rotation: FloatArray,
    velocity: FloatArray,
    stream: np.uint64,
    sensors: NDArray[np.uint64],
    frame: np.uint64,
    exclude: IntArray,
    reported: NDArray[np.float32],
    labels: IntArray,
    flags: NDArray[np.uint8],
) -> None:
    """Scan with lidars first to end - 1; see ``Lidar``.

    Args:
        scene, fixed_lists, flat_lists, moving_lists: handles, see ``Scene``; height: of flat_lists [m].
        lidar: handle of the beams, their local rays, settings and quantiles. surface: (P, 4), see ``lidar_surface``.
        instance_id, class_id: (P,). position: (S, 3) [m]. rotation: (S, 3, 3). velocity: (S, 6), or (0, 6) at rest.
        stream, sensors, frame: words that noise is hashed from; ``sensors`` (S,), of no length for perfect lidars.
        exclude: (S,) moving bodies that are not seen, or (1,) for all lidars.
        reported: (K, S, E, B), written: ranges and intensities of each return; then, if wanted, true ranges; of perfect
            lidars those alone. labels: (2, S, E, B), written: instance and class, or of no length if they are not
            wanted; of perfect lidars (1, S, E, B), rows of the world table. flags: (S, E, B), written.
    """
    tables, beams = open_tables(scene), open_beams(lidar)
    own = lidar[BEAMS_HANDLE:]
    columns = len(beams.time)
    count = columns * len(beams.order)
    local = carray(pointer(own[0]), (own[1], count + LANES), np.float32)
    settings = carray(pointer(own[2]), (own[3],), np.float64)
    quantiles = carray(pointer(own[4]), (own[5],), np.float32)
    fixed, flat = open_footprints(fixed_lists), open_footprints(flat_lists)
    moving = open_footprints(moving_lists)
    perfect = len(sensors) == 0
    scratch = lidar_scratch(beams, len(tables.shape), len(velocity) > 0)
    spare, found = np.empty(count + LANES, np.float32), np.full(count + LANES, -1, np.int32)
    solids, seen = np.empty((len(tables.shape), LANES), np.float32), np.zeros(len(tables.shape), np.uint8)
    film_key = noise_key(stream, LIDAR_FILM, np.uint64(0), np.uint64(0))
    none, turned = np.empty(0, np.float32), np.empty((1, 3, 3))
    signals = 0 if perfect else 2 * int(settings[S_RETURNS])
    for s in range(first, end):
        truth = reported[0, s].reshape(-1) if perfect else spare[:count]
        index = labels[0, s].reshape(-1) if perfect else found[:count]
        skip = as_index(exclude[s if len(exclude) > 1 else 0])
        if settings[S_OFFSET] > 0.0 and not perfect:
            turned[0] = rotation[s]
            turn_unit(unit_angle(settings[S_OFFSET], stream, sensors[s]), turned[0])
            place_lidar(position[s:], turned, velocity[s:], 0, beams.time, scratch)
        else:
            place_lidar(position, rotation, velocity, s, beams.time, scratch)
        see_lidar(tables, fixed, flat, height, moving, beams, settings[S_MAX], skip, scratch, truth, index)
        if perfect:
            continue
        two = signals == 4
        ranges, intensity, kinds = reported[0, s].reshape(-1), reported[1, s].reshape(-1), flags[s].reshape(-1)
        again, again_intensity = (reported[2, s].reshape(-1), reported[3, s].reshape(-1)) if two else (none, none)
        rays = place_rays(local, scratch.origins, scratch.turns, columns)
        seen[:] = 0
        echoes = find_echoes(
            tables, surface, instance_id, settings, quantiles, noise_key(stream, LIDAR, sensors[s], frame), film_key,
            scratch.origins, rays, count, spare, found, seen, solids,
        )  # fmt: skip
        if settings[S_GLOSS] > 0.0:
            draw_mirrors(
                tables, surface, settings, fixed, moving, beams, skip, scratch, rays, spare, found, echoes, instance_id,
                film_key, seen, solids,
            )  # fmt: skip
            trace_mirrors(tables, surface, skip, scratch.origins, rays, count, spare, found, echoes)
        report_scan(
            settings, quantiles, stream, sensors[s], frame, columns, spare, found, echoes, ranges, intensity, again,
            again_intensity, kinds,
        )  # fmt: skip
        if labels.shape[0] > 0:
            reported[signals, s].reshape(-1)[:] = truth
            label(index, instance_id, class_id, labels[0, s].reshape(-1), labels[1, s].reshape(-1))


@inner
def label(index: IntArray, instance_id: IntArray, class_id: IntArray, instance: IntArray, semantic: IntArray) -> None:
    """Write what each beam hit: (N,) ids of instance and class by rows (N,) of the world table."""
    b, beams = 0, len(index)
    while b < beams:
        p, first = as_index(index[b]), np.uint64(b)
        while b < beams and index[b] == p:
            b += 1
        i, c = (instance_id[p], class_id[p]) if p >= 0 else (np.int32(0), np.int32(0))
        for k in range(first, np.uint64(b)):
            instance[k] = i
        for k in range(first, np.uint64(b)):
            semantic[k] = c
