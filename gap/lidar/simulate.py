"""What the product's own lidar measures where a map says what there is to see."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import ValidationError

from ...common.errors import InputError
from ...common.geometry import FloatArray
from ...common.seeding import seed_sequence
from ...perception.config import LidarConfig
from ...perception.lidar_profile import load_lidar
from ...perception.lidar_signal import lidar_settings, lidar_surface, measure_scan
from ...perception.noise import QUANTILES, as_word
from ...robots.twin import TwinParameter
from ..fieldlog import Scans
from .map import Expected, LidarMap

_NO_PICTURE: dict[str, Any] = {
    "divergence_horizontal": 0.0,
    "divergence_vertical": 0.0,
    "gloss": 0.0,
    "film_share": 0.0,
    "returns": 1,
    "elevations": (0.0,),
    "sweep_time": 0.0,
    "angle_offset": 0.0,
}
"""A map from a log tells no reflectivities, mirrors or film, and its edges are where beams saw them."""


def profile_lidar(profile: str, scans: Scans) -> LidarConfig:
    """Return the settings of a device's data sheet, with the beams of the scans.

    Raises:
        InputError: no such profile.
    """
    angles = scans.angles
    low, high = float(angles.min()), float(angles.max())
    base = load_lidar(profile)
    changes = {
        "profile": "",
        "beams": scans.ranges.shape[1],
        "angle_min": low,
        "angle_max": max(high, low + 1e-6),
        "range_max": float(scans.range_max),
        "range_min": min(base.range_min, 0.5 * float(scans.range_max)),
        **_NO_PICTURE,
    }
    return LidarConfig.model_validate({**base.model_dump(), **changes})


def perfect_lidar(scans: Scans) -> LidarConfig:
    """Return a lidar without noise, with the beams of the scans."""
    angles = scans.angles
    low, high = float(angles.min()), float(angles.max())
    return LidarConfig(
        beams=scans.ranges.shape[1],
        angle_min=low,
        angle_max=max(high, low + 1e-6),
        range_min=0.0,
        range_max=float(scans.range_max),
        range_noise=0.0,
        dropout=0.0,
        grazing_dropout=0.0,
    )


def fitted_lidar(values: dict[str, TwinParameter], scans: Scans) -> LidarConfig:
    """Return a lidar whose noise is that of a twin's lidar section, with the beams of the scans.

    Raises:
        InputError: a value that does not fit ``LidarConfig``.
    """
    base = perfect_lidar(scans)
    found = {name: parameter.value for name, parameter in values.items()}
    try:
        return LidarConfig.model_validate({**base.model_dump(), **found})
    except ValidationError as error:
        item = error.errors()[0]
        raise InputError(f"the twin's lidar section does not fit: {item['loc']}: {item['msg']}") from error


def simulate_scans(
    config: LidarConfig, lidar_map: LidarMap, poses: FloatArray, expected: Expected, scans: Scans, *, seed: int
) -> FloatArray:
    """Return what a lidar measures at poses where the true ranges are the expected ones.

    Args:
        config: of the lidar; its beams are those of ``scans``.
        lidar_map: whose surfaces the beams meet. poses: (S, 3) of the laser. expected: at these poses.
        scans: for their angles.
        seed: of the noise; each scan has its own.

    Returns:
        (S, B) [m]; inf where nothing comes back, NaN where the map does not know.
    """
    scene = lidar_map.scene
    surface, settings = lidar_surface(scene.world_primitives()), lidar_settings(config)
    angles = scans.angles
    directions = np.ascontiguousarray(np.stack([np.cos(angles), np.sin(angles), np.zeros(len(angles))], axis=1))
    stream = as_word(int(seed_sequence(seed, "gap.lidar.simulate").generate_state(1, np.uint64)[0]))
    beams = len(angles)
    truth = np.where(np.isfinite(expected.ranges), expected.ranges, np.inf).astype(np.float32)
    rows = np.where(np.isfinite(expected.ranges), expected.surface, -1).astype(np.int32)
    out = np.empty(truth.shape, np.float32)
    intensity, flags, none = np.empty(beams, np.float32), np.empty(beams, np.uint8), np.empty(0, np.float32)
    origin, turn = np.zeros((1, 3)), np.zeros((1, 3, 3))
    turn[0, 2, 2], origin[0, 2] = 1.0, lidar_map.height
    for s, (x, y, yaw) in enumerate(np.asarray(poses, dtype=np.float64)):
        origin[0, 0], origin[0, 1] = x, y
        turn[0, 0, 0] = turn[0, 1, 1] = np.cos(yaw)
        turn[0, 1, 0] = np.sin(yaw)
        turn[0, 0, 1] = -turn[0, 1, 0]
        measure_scan(
            scene.tables, surface, scene.instance_id, settings, QUANTILES, stream, np.uint64(0), np.uint64(s), -1,
            origin, turn, directions, beams, truth[s], rows[s], out[s], intensity, none, none, flags,
        )  # fmt: skip
    result = out.astype(np.float64)
    result[np.isnan(expected.ranges)] = np.nan
    return result
