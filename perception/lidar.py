"""A scanning lidar, 2D or 3D: ranges with bias, noise and dropout, and the truth apart from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.errors import InputError
from ..common.geometry import FloatArray
from .compiled import compiled, inlined
from .frames import LidarScan, LidarTruth
from .grid import IntArray
from .noise import LIDAR, as_word, noise_key, standard_normal, uniform
from .raycast import Tables, as_index, trace, world_normal
from .scene import Scene

if TYPE_CHECKING:
    from .config import LidarConfig

ELEMENTS_PER_BEAM = 2
ROTATION_TOLERANCE = 1e-4
"""How far the rows of a rotation matrix may be from orthonormal."""


class Lidar:
    """A lidar that scans scenes.

    Frame ``laser``: x forward, y left, z up; azimuth counter-clockwise from x, elevation up from the xy plane.

    Measured range = true range + bias + noise; a beam comes back empty (inf)

    - with probability ``dropout + grazing_dropout * (1 - cos i)^4``, i being the angle of incidence;
    - when the measured range is outside [range_min, range_max]. A lidar that is buried in something measures nothing:
      its true range is 0.

    Intensity is reflectivity (luminance of the solid's colour, linear) times cos i, 0 to 1; 0 for empty beams.
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
        self._settings = np.array(
            [
                config.range_min,
                config.range_max,
                config.range_bias,
                config.range_noise,
                config.dropout,
                config.grazing_dropout,
            ]
        )

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
    ) -> list[tuple[LidarScan, LidarTruth]]:
        """Scan from S places in one compiled call; each result equals that of ``scan`` alone.

        Args:
            scene: what is there.
            positions: (S, 3) [m] of the lidars in ``map``.
            rotations: (S, 3, 3); columns are the axes of ``laser`` in ``map``.
            stream: noise stream of the episode. sensors: (S,) indices of the lidars. frame: number of the scan.
            exclude_body: (S,) or one: moving body that carries the lidar and is not seen, -1 for none.

        Returns:
            Measured scan and truth of each lidar.

        Raises:
            InputError: shapes that do not fit, or poses that are not finite or not rotations.
        """
        position, rotation = check_sensor_poses(positions, rotations, "lidar")
        count = len(position)
        word = np.array([as_word(s) for s in np.atleast_1d(np.asarray(sensors)).tolist()], dtype=np.uint64)
        exclude = np.full(count, exclude_body, dtype=np.int32)
        if len(word) != count:
            raise InputError(f"{len(word)} sensor indices for {count} poses", where="lidar", mend="give one per pose")
        beams = len(self.directions)
        shape = (count, len(self.elevations), len(self.angles))
        truth, ranges, intensity = (np.empty(shape, np.float32) for _ in range(3))
        instance, class_id = np.empty(shape, np.int32), np.empty(shape, np.int32)
        scan_kernel(
            scene.tables,
            scene.reflectivity,
            scene.instance_id,
            scene.class_id,
            position,
            rotation,
            self.directions,
            self._settings,
            as_word(stream),
            word,
            as_word(frame),
            exclude,
            truth.reshape(count, beams),
            ranges.reshape(count, beams),
            intensity.reshape(count, beams),
            instance.reshape(count, beams),
            class_id.reshape(count, beams),
        )
        return [
            (
                LidarScan(self.angles, self.elevations, ranges[s], intensity[s]),
                LidarTruth(truth[s], instance[s], class_id[s]),
            )
            for s in range(count)
        ]

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
    span = config.angle_max - config.angle_min
    full = abs(span - 2.0 * np.pi) < 1e-9
    return np.linspace(config.angle_min, config.angle_max, config.beams, endpoint=not full)


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


@inlined
def dropout_probability(base: float, grazing: float, cosine: float) -> float:
    """Return the chance that a beam is lost, given the cosine of its incidence angle (1 = head on)."""
    away = 1.0 - cosine
    return base + grazing * away * away * away * away


@compiled
def scan_kernel(
    tables: Tables,
    reflectivity: NDArray[np.float32],
    instance_id: IntArray,
    class_id: IntArray,
    position: FloatArray,
    rotation: FloatArray,
    directions: FloatArray,
    settings: FloatArray,
    stream: np.uint64,
    sensors: NDArray[np.uint64],
    frame: np.uint64,
    exclude: IntArray,
    truth: NDArray[np.float32],
    ranges: NDArray[np.float32],
    intensity: NDArray[np.float32],
    instance: IntArray,
    semantic: IntArray,
) -> None:
    """Scan from S places; see ``Lidar``. The last five arrays, (S, beams), are written."""
    range_min, range_max, bias, sigma = settings[0], settings[1], settings[2], settings[3]
    beams = directions.shape[0]
    visited = np.zeros(len(tables.shape), np.int32)
    for s in range(position.shape[0]):
        key = noise_key(stream, LIDAR, sensors[s], frame)
        ox, oy, oz = position[s, 0], position[s, 1], position[s, 2]
        r = rotation[s]
        for b in range(beams):
            x, y, z = directions[b, 0], directions[b, 1], directions[b, 2]
            dx = r[0, 0] * x + r[0, 1] * y + r[0, 2] * z
            dy = r[1, 0] * x + r[1, 1] * y + r[1, 2] * z
            dz = r[2, 0] * x + r[2, 1] * y + r[2, 2] * z
            stamp = s * beams + b + 1
            t, p = trace(tables, visited, stamp, ox, oy, oz, dx, dy, dz, 0.0, range_max, as_index(exclude[s]), False)
            truth[s, b], ranges[s, b], intensity[s, b] = np.inf, np.inf, 0.0
            instance[s, b], semantic[s, b] = 0, 0
            if p < 0:
                continue
            truth[s, b], instance[s, b], semantic[s, b] = t, instance_id[p], class_id[p]
            nx, ny, nz, _, _, _ = world_normal(tables.kind[p], tables.solid, p, ox + t * dx, oy + t * dy, oz + t * dz)
            cosine = min(1.0, abs(nx * dx + ny * dy + nz * dz))
            if uniform(key, ELEMENTS_PER_BEAM * b) < dropout_probability(settings[4], settings[5], cosine):
                continue
            measured = t + bias
            if sigma > 0.0:
                measured += sigma * standard_normal(key, ELEMENTS_PER_BEAM * b + 1)
            if range_min <= measured <= range_max:
                ranges[s, b] = measured
                intensity[s, b] = reflectivity[p] * cosine
