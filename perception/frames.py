"""What sensors hand out: measured signals and, apart from them, ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

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
class CameraFrame:
    """A picture and its ground truth, H x W.

    Attributes:
        config: the camera's settings.
        position: (3,) float64 [m] of the optical centre in ``map``.
        rotation: (3, 3) float64, columns are the axes of ``camera_optical`` (x right, y down, z forward) in ``map``.
        rgb: (H, W, 3) uint8, the measured picture.
        depth: (H, W) float32, planar z [m], exact; inf where nothing was hit.
        instance: (H, W) int32 instance ids; 0 for stuff and nothing.
        semantic: (H, W) uint8 class ids; 0 where nothing was hit.
    """

    config: CameraConfig
    position: NDArray[np.float64]
    rotation: NDArray[np.float64]
    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    instance: NDArray[np.int32]
    semantic: NDArray[np.uint8]
