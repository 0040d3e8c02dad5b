"""A scanning lidar, 2D or 3D: what it measures, and the truth apart from that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.errors import InputError
from ..common.geometry import FloatArray
from .compiled import compiled, inner
from .frames import LidarBatch, LidarScan, LidarTruth
from .grid import IntArray
from .handles import open_tables
from .lidar_raster import beams_handle, lidar_beams, lidar_scratch, open_beams, open_footprints, place_lidar, see_lidar
from .lidar_signal import S_MAX, beam_times, lidar_settings, measure_scan, unit_azimuth
from .noise import QUANTILES, as_word
from .raycast import as_index
from .scene import Scene
from .threads import map_chunks

if TYPE_CHECKING:
    from .config import LidarConfig

ROTATION_TOLERANCE = 1e-4
"""How far the rows of a rotation matrix may be from orthonormal."""
_AT_REST = np.zeros((0, 6))
_NO_SIGNAL, _NO_FLAGS = np.zeros((2, 0, 0, 0), np.float32), np.zeros((0, 0, 0), np.uint8)
_NO_LABELS, _NO_ROWS = np.zeros((2, 0, 0, 0), np.int32), np.zeros((0, 0, 0), np.int32)
_NO_SURFACE, _NO_NOISE = np.zeros((0, 4), np.float32), (np.uint64(0), np.zeros(0, np.uint64), np.uint64(0))


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
        self._settings = lidar_settings(config)
        span = config.angle_max - config.angle_min
        step = span / (config.beams if _full_turn(config) else max(config.beams - 1, 1))
        self._beams = lidar_beams(self.angles, step, self.elevations, beam_times(config))
        self._beams_handle = beams_handle(self._beams)
        self._flat = config.elevations == (0.0,)
        self._casts_rays = max(config.divergence_horizontal, config.divergence_vertical, config.gloss) > 0.0

    def __getstate__(self) -> dict[str, Any]:
        """Return all but the addresses of arrays, which a copy has elsewhere."""
        return {name: value for name, value in self.__dict__.items() if name != "_beams_handle"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._beams_handle = beams_handle(self._beams)

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
        if self.config.angle_offset > 0.0:
            rotation = rotation @ about_z(unit_azimuth(self.config, stream, word))
        shape = (len(self.elevations), len(self.angles))
        two = self.config.returns == 2
        measured = np.empty((2, count, *shape), np.float32)
        second = np.empty((2, count, *shape) if two else (2, 1, 0, 0), np.float32)
        flags = np.empty((count, *shape), np.uint8)
        true_ranges = np.empty((count if truth else 0, *shape), np.float32)
        labels = np.empty((2, count if truth else 0, *shape), np.int32)
        noise = (as_word(stream), word, as_word(frame))
        out = (measured, second, flags, true_ranges, labels, _NO_ROWS)
        self._run(scene, position, rotation, velocity, exclude_body, noise, out)
        batch = LidarBatch(self.angles, self.elevations, measured[0], measured[1])
        if two:
            batch.second_ranges, batch.second_intensity = second[0], second[1]
        if truth:
            batch.true_ranges, batch.instance_id, batch.class_id = true_ranges, labels[0], labels[1]
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
        shape = (len(position), len(self.elevations), len(self.angles))
        ranges, index = np.empty(shape, np.float32), np.empty(shape, np.int32)
        out = (_NO_SIGNAL, _NO_SIGNAL, _NO_FLAGS, ranges, _NO_LABELS, index)
        self._run(scene, position, rotation, velocity, exclude_body, _NO_NOISE, out)
        return ranges, index

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
        """Call the kernel on all threads."""
        count = len(position)
        exclude, speed = _excluded(exclude_body, count), self._velocity(velocity, count)
        fixed, height = scene.footprints_handle(), np.nan
        flat = fixed
        if self._flat and count:
            height = float(position[0, 2])
            flat = scene.footprints_handle(height)
        surface = scene.lidar_surface if len(noise[1]) else _NO_SURFACE
        stream, words, frame = noise
        tables = scene.handle if self._casts_rays and len(words) else scene.placed_handle

        def work(first: int, end: int) -> None:
            scan_kernel(
                first, end, tables, fixed, flat, height, scene.moving_handle, self._beams_handle, surface,
                scene.instance_id, scene.class_id, position, rotation, speed, self.directions, self._settings,
                QUANTILES, stream, words, frame, exclude, *out,
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
        return speed if self._beams.time.any() else _AT_REST

    def points(self, scan: LidarScan) -> NDArray[np.float32]:
        """Return the returns of a scan as points.

        Returns:
            (N, 4) float32 x, y, z [m] in ``laser`` and intensity [0, 1]; ring by ring, empty beams left out.
        """
        ranges = scan.ranges.reshape(-1)
        back = np.isfinite(ranges)
        points = np.zeros((int(back.sum()), 4), np.float32)
        points[:, :3] = self.directions[back] * ranges[back, None]
        if scan.intensity is not None:
            points[:, 3] = scan.intensity.reshape(-1)[back]
        return points


def beam_angles(config: LidarConfig) -> FloatArray:
    """Return the azimuths (B,) [rad] of a lidar; a full turn leaves out the last, which would repeat the first."""
    return np.linspace(config.angle_min, config.angle_max, config.beams, endpoint=not _full_turn(config))


def _full_turn(config: LidarConfig) -> bool:
    return abs(config.angle_max - config.angle_min - 2.0 * np.pi) < 1e-9


def about_z(angle: FloatArray) -> FloatArray:
    """Return matrices (S, 3, 3) that turn by angles (S,) [rad] about z."""
    turn = np.zeros((len(angle), 3, 3))
    turn[:, 0, 0], turn[:, 1, 1], turn[:, 2, 2] = np.cos(angle), np.cos(angle), 1.0
    turn[:, 0, 1], turn[:, 1, 0] = -np.sin(angle), np.sin(angle)
    return turn


def _words(values: ArrayLike) -> NDArray[np.uint64]:
    """Return whole numbers as words for the noise."""
    return np.array([as_word(s) for s in np.atleast_1d(np.asarray(values)).tolist()], dtype=np.uint64)


def _excluded(body: ArrayLike, count: int) -> IntArray:
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
    directions: FloatArray,
    settings: FloatArray,
    quantiles: NDArray[np.float32],
    stream: np.uint64,
    sensors: NDArray[np.uint64],
    frame: np.uint64,
    exclude: IntArray,
    measured: NDArray[np.float32],
    second: NDArray[np.float32],
    flags: NDArray[np.uint8],
    true_ranges: NDArray[np.float32],
    labels: IntArray,
    rows: IntArray,
) -> None:
    """Scan with lidars first to end - 1; see ``Lidar``.

    Writes (2, S, E, B) ranges and intensity of first and second returns, flags, truth and labels, or truth and
    ``rows``; what is not wanted is an array of no lidars.
    """
    tables, beams = open_tables(scene), open_beams(lidar)
    fixed, flat = open_footprints(fixed_lists), open_footprints(flat_lists)
    moving = open_footprints(moving_lists)
    count = directions.shape[0]
    scratch = lidar_scratch(beams, len(tables.shape), len(velocity) > 0)
    spare, found = np.empty(count, np.float32), np.empty(count, np.int32)
    for s in range(first, end):
        truth = true_ranges[s].reshape(-1) if len(true_ranges) > 0 else spare
        index = rows[s].reshape(-1) if len(rows) > 0 else found
        place_lidar(position, rotation, velocity, s, beams.time, scratch)
        see_lidar(
            tables, fixed, flat, height, moving, beams, settings[S_MAX], as_index(exclude[s]), scratch, truth, index,
        )  # fmt: skip
        if measured.shape[1] > 0:
            again = s if second.shape[2] > 0 else 0
            measure_scan(
                tables, surface, instance_id, settings, quantiles, stream, sensors[s], frame, as_index(exclude[s]),
                scratch.origins, scratch.turns, directions, len(beams.time), truth, index, measured[0, s].reshape(-1),
                measured[1, s].reshape(-1), second[0, again].reshape(-1), second[1, again].reshape(-1),
                flags[s].reshape(-1),
            )  # fmt: skip
        if labels.shape[1] > 0:
            label(index, instance_id, class_id, labels[0, s].reshape(-1), labels[1, s].reshape(-1))


@inner
def label(index: IntArray, instance_id: IntArray, class_id: IntArray, instance: IntArray, semantic: IntArray) -> None:
    """Write what each beam hit: (N,) ids of instance and class by rows (N,) of the world table."""
    for b in range(len(index)):
        p = as_index(index[b])
        instance[b], semantic[b] = (instance_id[p], class_id[p]) if p >= 0 else (0, 0)
