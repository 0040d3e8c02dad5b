"""Our own side of the benchmark: sensors without noise, with the full noise chain, and with labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from ...common.config import StrictModel
from ...common.geometry import FloatArray
from ..camera import Camera
from ..config import CameraConfig, LidarConfig, Lighting
from ..frames import CameraFrame
from ..labels import label_frame
from ..lidar import Lidar
from ..threads import map_chunks
from .hall import BenchHall

Pose = tuple[FloatArray, FloatArray]
Work = Callable[[FloatArray], None]
Config = TypeVar("Config", bound=StrictModel)

VARIANTS = {
    "geometry": "geometry only",
    "noise": "Floorcast, full noise chain",
    "labels": "Floorcast, labels",
    "all": "Floorcast, full noise chain and labels",
}
"""What is timed of ours: geometry (pictures with light and shadows) and what is added to it."""

_LIDAR_NOISE = {
    "range_noise": 0.01,
    "range_noise_growth": 1e-3,
    "range_noise_weak": 0.02,
    "range_bias": 0.005,
    "range_drift": 0.003,
    "ring_bias": 0.005,
    "angle_offset": 1e-3,
    "range_resolution": 0.002,
    "dropout": 0.002,
    "grazing_dropout": 0.3,
    "range_at_10_percent": 30.0,
    "dirty_sectors": 0.05,
    "divergence_horizontal": 3e-3,
    "divergence_vertical": 1.5e-3,
    "aperture": 0.01,
    "intensity_noise": 0.05,
    "intensity_resolution": 1.0 / 255.0,
    "false_echoes": 1e-3,
    "crosstalk": 2e-4,
    "film_share": 0.2,
    "gloss": 1.0,
    "returns": 2,
}
_LIDAR_QUIET = {name: 1 if name == "returns" else 0.0 for name in _LIDAR_NOISE}
_CAMERA_NOISE = {
    "full_well": 10_000.0,
    "read_noise": 6.0,
    "dark_nonuniformity": 1e-3,
    "gain_nonuniformity": 0.01,
    "row_nonuniformity": 1e-3,
    "column_nonuniformity": 1e-3,
    "hot_pixels": 1e-5,
    "vignetting": 0.5,
    "dirt": 0.2,
    "auto_exposure": True,
    "auto_white_balance": True,
}
"""Sensor and electronics. Lens distortion, blur, supersampling, rolling shutter and JPEG are no noise, and stay off."""
_CAMERA_QUIET = {
    **{name: False if value is True else 0.0 for name, value in _CAMERA_NOISE.items()},
    "noise": 0.0,
    "shot_noise": 0.0,
}


def quiet(config: Config) -> Config:
    """Return a sensor's settings without any noise."""
    return _changed(config, _LIDAR_QUIET if isinstance(config, LidarConfig) else _CAMERA_QUIET)


def noisy(config: Config) -> Config:
    """Return a sensor's settings with every effect of the noise chain switched on."""
    return _changed(config, _LIDAR_NOISE if isinstance(config, LidarConfig) else _CAMERA_NOISE)


def scan_work(hall: BenchHall, config: LidarConfig, poses: Sequence[Pose], variant: str) -> Work:
    """Return a function of the bodies' poses that places them and scans from all sensor poses.

    Args:
        hall: with the scene. config: of the lidar. poses: of the sensors, position (3,) [m] and rotation (3, 3).
        variant: a key of VARIANTS.
    """
    scene = hall.scene
    lidar = Lidar(noisy(config) if variant in ("noise", "all") else quiet(config))
    labelled = variant in ("labels", "all")
    position, rotation = np.stack([p for p, _ in poses]), np.stack([r for _, r in poses])
    sensors = np.arange(len(poses))

    def work(bodies: FloatArray) -> None:
        scene.update(bodies)
        if variant == "geometry":
            lidar.true_ranges(scene, position, rotation)
            return
        batch = lidar.scan_batch(scene, position, rotation, stream=0, sensors=sensors, frame=0, truth=labelled)
        if labelled:
            for scan, truth in batch:
                lidar.labelled_points(scan, truth)

    return work


def picture_work(
    hall: BenchHall, config: CameraConfig, poses: Sequence[Pose], variant: str, lighting: Lighting | None = None
) -> Work:
    """Return a function of the bodies' poses that places them and takes pictures from all camera poses."""
    scene, light = hall.scene, lighting if lighting is not None else Lighting()
    camera = Camera(noisy(config) if variant in ("noise", "all") else quiet(config))
    labelled = variant in ("labels", "all")
    position, rotation = np.stack([p for p, _ in poses]), np.stack([r for _, r in poses])
    frames: list[CameraFrame | None] = [None] * len(poses)

    def take(first: int, end: int) -> None:
        for s in range(first, end):
            frames[s] = camera.render(scene, position[s], rotation[s], light, stream=0, sensor=s, frame=0)

    def work(bodies: FloatArray) -> None:
        scene.update(bodies)
        map_chunks(take, len(poses))
        if labelled:
            world = scene.world_primitives()
            for frame in frames:
                if frame is not None:
                    label_frame(frame, world)

    return work


def _changed(config: Config, values: dict[str, Any]) -> Config:
    known = {name: value for name, value in values.items() if name in type(config).model_fields}
    return type(config)(**{**config.model_dump(), **known})
