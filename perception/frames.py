"""What sensors hand out: measured signals and, apart from them, ground truth."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.errors import InputError

if TYPE_CHECKING:
    from .config import CameraConfig


@dataclass(frozen=True)
class LidarScan:
    """A measured scan: all that a policy may see.

    Attributes:
        angles: (B,) float64 azimuths [rad] in the frame ``laser``; elevations: (E,) float64 [rad].
        ranges: (E, B) float32 [m]; inf where nothing came back.
        intensity: (E, B) float32, 0 to 1, 0 where nothing came back; None if the lidar does not measure it.
        second_ranges, second_intensity: likewise for the second return; None if the lidar reports one.
    """

    angles: NDArray[np.float64]
    elevations: NDArray[np.float64]
    ranges: NDArray[np.float32]
    intensity: NDArray[np.float32] | None = None
    second_ranges: NDArray[np.float32] | None = None
    second_intensity: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class LidarTruth:
    """Ground truth of a scan: ranges (E, B) float32 [m] without noise (inf = nothing), and what each beam hit.

    ``instance_id`` and ``class_id`` are (E, B) int32, 0 where nothing was hit (or for stuff instances). ``flags``
    (E, B) uint8 tell where a reported range comes from (see ``lidar_signal.TARGET``).
    """

    ranges: NDArray[np.float32]
    instance_id: NDArray[np.int32]
    class_id: NDArray[np.int32]
    flags: NDArray[np.uint8] | None = None


@dataclass(slots=True)
class LidarBatch:
    """The scans of S lidars at once; ``batch[s]`` gives scan and truth of one, as views.

    Attributes:
        angles: (B,) float64 and elevations: (E,) float64 [rad], as in ``LidarScan``.
        ranges, intensity, second_ranges, second_intensity: (S, E, B) float32, as in ``LidarScan``.
        true_ranges: (S, E, B) float32 [m]; instance_id, class_id: (S, E, B) int32; flags: (S, E, B) uint8, as in
            ``LidarTruth``; None if they were not asked for.
    """

    angles: NDArray[np.float64]
    elevations: NDArray[np.float64]
    ranges: NDArray[np.float32]
    intensity: NDArray[np.float32]
    true_ranges: NDArray[np.float32] | None = None
    instance_id: NDArray[np.int32] | None = None
    class_id: NDArray[np.int32] | None = None
    flags: NDArray[np.uint8] | None = None
    second_ranges: NDArray[np.float32] | None = None
    second_intensity: NDArray[np.float32] | None = None

    def __len__(self) -> int:
        return len(self.ranges)

    def __getitem__(self, s: int) -> tuple[LidarScan, LidarTruth]:
        """Return scan and truth of lidar s.

        Raises:
            InputError: the truth was not asked for; ``scan`` gives the scan alone.
        """
        return self.scan(s), self.truth(s)

    def __iter__(self) -> Iterator[tuple[LidarScan, LidarTruth]]:
        return (self[s] for s in range(len(self)))

    def scan(self, s: int) -> LidarScan:
        """Return the measured scan of lidar s."""
        own = self.angles, self.elevations, self.ranges[s], self.intensity[s]
        if self.second_ranges is None or self.second_intensity is None:
            return LidarScan(*own)
        return LidarScan(*own, self.second_ranges[s], self.second_intensity[s])

    def truth(self, s: int) -> LidarTruth:
        """Return the ground truth of lidar s.

        Raises:
            InputError: it was not asked for.
        """
        if self.true_ranges is None or self.instance_id is None or self.class_id is None:
            raise InputError("these scans were taken without truth", where="lidar", mend="scan with truth=True")
        flags = None if self.flags is None else self.flags[s]
        return LidarTruth(self.true_ranges[s], self.instance_id[s], self.class_id[s], flags)


@dataclass(frozen=True)
class CameraMotion:
    """How a camera and the moving bodies move while a picture is exposed.

    Attributes:
        velocity: (3,) [m/s] of the optical centre, in ``map``. angular_velocity: (3,) [rad/s] of the camera, likewise.
        body_velocity: (B, 6) of the moving bodies: [m/s] of each body's origin, and [rad/s], in ``map``; None: they
            stand still.
    """

    velocity: ArrayLike
    angular_velocity: ArrayLike
    body_velocity: ArrayLike | None = None


@dataclass(frozen=True)
class EarlierView:
    """Where a camera and the moving bodies were at an earlier moment.

    Attributes:
        position: (3,) [m] and rotation: (3, 3) of the camera, as in ``CameraFrame``.
        body_pose: (B, 7) x, y, z [m] and quaternion xyzw of each body in ``map``.
    """

    position: ArrayLike
    rotation: ArrayLike
    body_pose: ArrayLike


@dataclass(frozen=True)
class CameraFrame:
    """A picture and its ground truth, H x W.

    Attributes:
        config: the camera's settings.
        position: (3,) float64 [m] of the optical centre in ``map``.
        rotation: (3, 3) float64, columns are the axes of ``camera_optical`` (x right, y down, z forward) in ``map``.
        rgb: (H, W, 3) uint8, the measured picture.
        depth: (H, W) float32, planar z [m] (through a fisheye the distance from the optical centre), exact; inf where
            nothing was hit.
        instance: (H, W) int32 instance ids; 0 for stuff and nothing.
        semantic: (H, W) uint8 class ids; 0 where nothing was hit.
        normals: (H, W, 3) float32 outward unit normals in ``camera_optical``, a triangle's towards the camera; zero
            where nothing was hit. None unless asked for.
        motion: (H, W, 2) float32 [pixels], the way right and down that what a pixel sees has come since an earlier
            moment (so that it was then at (u, v) - motion); what is endlessly far moves by the camera's turning alone;
            inf where the lens did not image it then. None unless asked for.
    """

    config: CameraConfig
    position: NDArray[np.float64]
    rotation: NDArray[np.float64]
    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    instance: NDArray[np.int32]
    semantic: NDArray[np.uint8]
    normals: NDArray[np.float32] | None = None
    motion: NDArray[np.float32] | None = None
