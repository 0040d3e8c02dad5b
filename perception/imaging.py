"""From linear light to the picture a sensor hands out: noise and sRGB encoding, compiled."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled
from .noise import random_bits, table_normal
from .shading import ENCODE_STEPS


class Development(NamedTuple):
    """How linear light becomes grey levels.

    Attributes:
        encoding: ``shading.ENCODING``. quantiles: ``noise.QUANTILES``.
        read_noise, shot_noise: standard deviations [grey levels]; see ``CameraConfig``.
    """

    encoding: NDArray[np.float32]
    quantiles: NDArray[np.float32]
    read_noise: float
    shot_noise: float


@compiled
def develop_row(
    light: NDArray[np.float32], development: Development, key: np.uint64, first: int, rgb: NDArray[np.uint8]
) -> None:
    """Develop a row of w pixels.

    Args:
        light: (w, 3) float32 linear light. development: how. key: noise key of the picture.
        first: number of the row's first pixel. rgb: (w, 3) uint8, written.
    """
    encoding, quantiles = development.encoding, development.quantiles
    read, shot = np.float32(development.read_noise**2), np.float32(development.shot_noise**2 / 255.0)
    noisy = read + shot > 0.0
    top = np.float32(ENCODE_STEPS)
    for u in range(light.shape[0]):
        bits = random_bits(key, first + u) if noisy else np.uint64(0)
        for i in range(3):
            place = min(max(light[u, i] * top, np.float32(0.0)), top)
            k = np.uint64(place)
            low = encoding[k]
            level = low + (encoding[k + np.uint64(1)] - low) * (place - np.float32(k))
            if noisy:
                level += np.sqrt(read + shot * level) * table_normal(bits, i, quantiles)
            rgb[u, i] = np.uint8(min(max(level + np.float32(0.5), np.float32(0.0)), np.float32(255.0)))
