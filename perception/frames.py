"""What sensors hand out: measured signals and, apart from them, ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from .config import CameraConfig


@dataclass(frozen=True)
class LidarScan:
    """A measured scan: all that a policy may see.

    Attributes:
        angles: (B,) float64 azimuths [rad] in the frame ``laser``; elevations: (E,) float64 [rad].
        ranges: (E, B) float32 [m]; inf where nothing came back.
        intensity: (E, B) float32, 0 to 1, 0 where nothing came back; None if the lidar does not measure it.
    """

    angles: NDArray[np.float64]
    elevations: NDArray[np.float64]
    ranges: NDArray[np.float32]
    intensity: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class LidarTruth:
    """Ground truth of a scan: ranges (E, B) float32 [m] without noise (inf = nothing), and what each beam hit.

    ``instance_id`` and ``class_id`` are (E, B) int32, 0 where nothing was hit (or for stuff instances).
    """

    ranges: NDArray[np.float32]
    instance_id: NDArray[np.int32]
    class_id: NDArray[np.int32]


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
