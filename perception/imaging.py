"""From the light that falls through the lens to the picture that a camera hands out.

The chain, in this order; each link is off by default:

1. the lens: softness (a Gaussian), vignetting and dirt;
2. exposure, fixed or automatic;
3. the sensor: monochrome or three colours; photon and read noise in electrons (EMVA standard 1288, release 4.0,
   equations 1 to 13: ``variance = N + read_noise^2`` for N electrons); fixed-pattern gains and offsets, hot pixels;
4. gain and white balance, fixed or automatic;
5. sRGB encoding (IEC 61966-2-1); noise given in grey levels; rounding to 8 bits;
6. JPEG.

Automatic settings are functions of the same picture, so that they depend on no history. Noise comes from counter-based
numbers, what belongs to the camera from numbers keyed by the sensor alone: it is the same in all episodes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import FloatArray
from .compiled import compiled, inner, part
from .noise import CAMERA_UNIT, QUANTILES, as_word, mix, noise_key, random_bits, table_normal, uniform
from .shading import ENCODE_STEPS, ENCODING

if TYPE_CHECKING:
    from .config import CameraConfig

LUMINANCE = (0.2126, 0.7152, 0.0722)
"""Weights of linear red, green and blue (ITU-R BT.709)."""
METERED = 4096
"""About so many pixels are metered, evenly spread."""
DARKEST = 1e-6
"""Light below which metering sees nothing to adjust to."""
HOT_LEAST, HOT_MOST = 0.2, 1.0
"""Hot pixels shine by so much of full scale."""
DIRT_SPECKS = 48
DIRT_LEAST, DIRT_MOST = 0.01, 0.08
"""Radius of a speck of dirt, blurred as it is by being out of focus, over the picture's width."""


class Development(NamedTuple):
    """How linear light becomes grey levels, as the kernels read it.

    Attributes:
        encoding: ``shading.ENCODING``. quantiles: ``noise.QUANTILES``.
        read_noise, shot_noise: standard deviations [grey levels]; full_well [electrons], 0 for none; dark_noise
            [electrons]; see ``CameraConfig``.
        monochrome: whether the channels are one.
        transmission: (H, W) float32 of the lens, response, offset: (H, W, 3) float32 of the sensor; or of no size.
    """

    encoding: NDArray[np.float32]
    quantiles: NDArray[np.float32]
    read_noise: float
    shot_noise: float
    full_well: float
    dark_noise: float
    monochrome: bool
    transmission: NDArray[np.float32]
    response: NDArray[np.float32]
    offset: NDArray[np.float32]


def development(config: CameraConfig, sensor: int) -> Development:
    """Return how a camera develops its pictures; ``sensor`` is its index, which its own flaws go by."""
    response, offset = fixed_pattern(config, sensor)
    return Development(
        encoding=ENCODING,
        quantiles=QUANTILES,
        read_noise=0.0 if config.full_well > 0 else config.noise,
        shot_noise=0.0 if config.full_well > 0 else config.shot_noise,
        full_well=config.full_well,
        dark_noise=config.read_noise,
        monochrome=config.monochrome,
        transmission=transmission(config, sensor),
        response=response,
        offset=offset,
    )


def transmission(config: CameraConfig, sensor: int) -> NDArray[np.float32]:
    """Return the share of the light that the lens lets through to each pixel (H, W) float32; (0, 0) where it is all."""
    if config.vignetting == 0.0 and config.dirt == 0.0:
        return np.zeros((0, 0), np.float32)
    u, v = np.arange(config.width), np.arange(config.height)
    share = np.ones((config.height, config.width))
    if config.vignetting > 0.0:
        x, y = (u - config.center[0]) / config.focal, (v - config.center[1]) / config.focal
        square = x[None, :] ** 2 + y[:, None] ** 2
        # The angle off the axis: of a fisheye about the radius itself.
        natural = (
            np.cos(np.minimum(np.sqrt(square), 0.5 * math.pi)) ** 4
            if config.lens == "fisheye"
            else (1.0 + square) ** -2.0
        )
        share *= 1.0 - config.vignetting * (1.0 - natural)
    if config.dirt > 0.0:
        key = _unit_key(sensor, 2)
        taken = np.zeros(share.shape)
        for speck in range(DIRT_SPECKS):
            a, b, c, d = (uniform(key, 4 * speck + i) for i in range(4))
            radius = config.width * DIRT_LEAST * (DIRT_MOST / DIRT_LEAST) ** c
            across = np.exp(-0.5 * ((u - a * config.width) / radius) ** 2)
            taken += d * np.exp(-0.5 * ((v - b * config.height) / radius) ** 2)[:, None] * across[None, :]
        share *= 1.0 - config.dirt * np.minimum(taken, 1.0)
    return share.astype(np.float32)


def fixed_pattern(config: CameraConfig, sensor: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return gain and offset of each pixel and channel (H, W, 3) float32, the offset over full scale; (0, 0, 0) where
    all are 1 and 0."""
    none = np.zeros((0, 0, 0), np.float32)
    deviations = np.array(
        [
            config.gain_nonuniformity,
            config.dark_nonuniformity,
            config.row_nonuniformity,
            config.column_nonuniformity,
            config.hot_pixels,
        ]
    )
    if not deviations.any():
        return none, none
    shape = (config.height, config.width, 3)
    response, offset = np.ones(shape, np.float32), np.zeros(shape, np.float32)
    _fill_pattern(_unit_key(sensor, 1), deviations, config.monochrome, QUANTILES, response, offset)
    return response, offset


def _unit_key(sensor: int, part: int) -> np.uint64:
    return np.uint64(noise_key(np.uint64(0), CAMERA_UNIT, as_word(sensor), as_word(part)))


@compiled
def _fill_pattern(
    key: np.uint64,
    deviations: FloatArray,
    monochrome: bool,
    quantiles: NDArray[np.float32],
    response: NDArray[np.float32],
    offset: NDArray[np.float32],
) -> None:
    height, width, _ = response.shape
    gain, dark, row, column, hot = deviations[0], deviations[1], deviations[2], deviations[3], deviations[4]
    own = mix(key + np.uint64(1))
    for v in range(height):
        row_bits = random_bits(own, v)
        for u in range(width):
            column_bits = random_bits(own, height + u)
            a, b = random_bits(key, 2 * (v * width + u)), random_bits(key, 2 * (v * width + u) + 1)
            shine = 0.0
            if np.float64(a >> np.uint64(36)) < hot * 268435456.0:
                shine = HOT_LEAST + (HOT_MOST - HOT_LEAST) * np.float64(b >> np.uint64(36)) / 268435456.0
            for i in range(3):
                part = 0 if monochrome else i
                response[v, u, i] = 1.0 + gain * table_normal(a, part, quantiles)
                offset[v, u, i] = shine + (
                    dark * table_normal(b, part, quantiles)
                    + row * table_normal(row_bits, 0, quantiles)
                    + column * table_normal(column_bits, 0, quantiles)
                )


def meter(
    light: NDArray[np.float32], config: CameraConfig, transmitted: NDArray[np.float32]
) -> tuple[float, NDArray[np.float32]]:
    """Return what a camera sets itself to: its exposure, and its gains of red, green and blue (3,) float32.

    Args:
        light: (H, W, 3) float32 linear light. config: the camera.
        transmitted: (H, W) float32 share of the light that the lens lets through, or of no size.
    """
    exposure = config.exposure
    balance = np.array(config.white_balance, dtype=np.float64)
    if config.auto_exposure or config.auto_white_balance:
        step = max(1, math.isqrt(light.shape[0] * light.shape[1] // METERED))
        seen = light[step // 2 :: step, step // 2 :: step].astype(np.float64)
        if transmitted.size:
            seen = seen * transmitted[step // 2 :: step, step // 2 :: step, None]
        if config.auto_exposure:
            level = float(np.percentile(seen @ np.array(LUMINANCE), config.exposure_percentile))
            wanted = config.exposure_target / max(level * config.exposure * config.gain, DARKEST)
            exposure *= min(max(wanted, config.exposure_limits[0]), config.exposure_limits[1])
        if config.auto_white_balance:
            # What is blown out has lost its colour.
            kept = seen[(seen * exposure * config.gain).max(axis=2) < 1.0]
            mean = kept.mean(axis=0) * balance if len(kept) else np.ones(3)
            low, high = config.white_balance_limits
            balance *= np.clip(mean[1] / np.maximum(mean, DARKEST), low, high)
    return exposure, (config.gain * balance).astype(np.float32)


@compiled
def soften(light: NDArray[np.float32], weights: NDArray[np.float32], line: NDArray[np.float32]) -> None:
    """Blur a picture (H, W, 3) in place by a symmetric kernel: weights (R + 1,) from its middle outwards.

    Beyond the picture its border goes on. ``line``: (H, W, 3) float32, memory.
    """
    height, width, _ = light.shape
    reach = len(weights) - 1
    for v in range(height):
        for u in range(width):
            for i in range(3):
                total = weights[0] * light[v, u, i]
                for r in range(1, reach + 1):
                    total += weights[r] * (light[max(v - r, 0), u, i] + light[min(v + r, height - 1), u, i])
                line[v, u, i] = total
    for v in range(height):
        for u in range(width):
            for i in range(3):
                total = weights[0] * line[v, u, i]
                for r in range(1, reach + 1):
                    total += weights[r] * (line[v, max(u - r, 0), i] + line[v, min(u + r, width - 1), i])
                light[v, u, i] = total


def gaussian(deviation: float) -> NDArray[np.float32]:
    """Return the weights (R + 1,) float32 of a Gaussian of the given deviation [pixels], from its middle outwards."""
    reach = max(1, math.ceil(4.0 * deviation))
    weights = np.exp(-0.5 * (np.arange(reach + 1) / deviation) ** 2)
    return (weights / (2.0 * weights.sum() - weights[0])).astype(np.float32)


@inner
def develop_row(
    light: NDArray[np.float32],
    develop: Development,
    exposure: float,
    gain: NDArray[np.float32],
    key: np.uint64,
    v: int,
    rgb: NDArray[np.uint8],
) -> None:
    """Develop row v of a picture.

    Args:
        light: (W, 3) float32 linear light; used up. develop: how. exposure: factor; gain: (3,) float32 of each channel.
        key: noise key of the picture. rgb: (W, 3) uint8, written.
    """
    first = v * light.shape[0]
    if develop.transmission.size > 0:
        for u in range(light.shape[0]):
            for i in range(3):
                light[u, i] *= develop.transmission[v, u]
    if develop.monochrome:
        _desaturate(light)
    if develop.full_well > 0.0:
        _gather(light, develop, exposure, key, first)
    else:
        _multiply(light, np.float32(exposure), np.float32(exposure), np.float32(exposure))
    if develop.response.size > 0:
        for u in range(light.shape[0]):
            for i in range(3):
                light[u, i] = light[u, i] * develop.response[v, u, i] + develop.offset[v, u, i]
    _multiply(light, gain[0], gain[1], gain[2])
    _encode_row(light, develop, key, first, rgb)


@part
def _multiply(light: NDArray[np.float32], red: float, green: float, blue: float) -> None:
    if red == 1.0 and green == 1.0 and blue == 1.0:
        return
    for u in range(np.uint64(light.shape[0])):
        light[u, 0] *= red
        light[u, 1] *= green
        light[u, 2] *= blue


@part
def _desaturate(light: NDArray[np.float32]) -> None:
    """Set the channels of a row (W, 3) to its luminance."""
    for u in range(np.uint64(light.shape[0])):
        level = (
            np.float32(LUMINANCE[0]) * light[u, 0]
            + np.float32(LUMINANCE[1]) * light[u, 1]
            + np.float32(LUMINANCE[2]) * light[u, 2]
        )
        light[u, 0], light[u, 1], light[u, 2] = level, level, level


@part
def _gather(light: NDArray[np.float32], develop: Development, exposure: float, key: np.uint64, first: int) -> None:
    """Turn the light of a row (W, 3) into what a linear sensor gathers of it; what is over the full well is lost."""
    scale, well = np.float32(exposure * develop.full_well), np.float32(develop.full_well)
    dark, unit = np.float32(develop.dark_noise**2), np.float32(1.0 / develop.full_well)
    one = np.uint64(0 if develop.monochrome else 1)
    for u in range(np.uint64(light.shape[0])):
        bits = random_bits(key, first + u)
        for i in range(np.uint64(3)):
            electrons = max(light[u, i] * scale, np.float32(0.0))
            electrons += np.sqrt(electrons + dark) * table_normal(bits, i * one, develop.quantiles)
            light[u, i] = min(electrons, well) * unit


@inner
def _encode_row(
    light: NDArray[np.float32], develop: Development, key: np.uint64, first: int, rgb: NDArray[np.uint8]
) -> None:
    """Turn linear light (W, 3) float32 into grey levels, with noise that is given in these."""
    encoding, quantiles = develop.encoding, develop.quantiles
    read, shot = np.float32(develop.read_noise**2), np.float32(develop.shot_noise**2 / 255.0)
    noisy = read + shot > 0.0
    top, low, white = np.float32(ENCODE_STEPS), np.float32(0.0), np.float32(255.0)
    one = np.uint64(0 if develop.monochrome else 1)
    for u in range(np.uint64(light.shape[0])):
        bits = random_bits(key, first + u) if noisy else np.uint64(0)
        for i in range(np.uint64(3)):
            place = min(max(light[u, i] * top, low), top)
            k = np.uint64(np.int32(place))
            level = encoding[k]
            level += (encoding[k + np.uint64(1)] - level) * (place - np.float32(np.int32(place)))
            if noisy:
                level += np.sqrt(read + shot * level) * table_normal(bits, i * one, quantiles)
            rgb[u, i] = np.uint8(np.int32(min(max(level + np.float32(0.5), low), white)))


@compiled
def develop_picture(
    light: NDArray[np.float32],
    develop: Development,
    exposure: float,
    gain: NDArray[np.float32],
    key: np.uint64,
    rgb: NDArray[np.uint8],
) -> None:
    """Develop a picture (H, W, 3); see ``develop_row``."""
    for v in range(light.shape[0]):
        develop_row(light[v], develop, exposure, gain, key, v, rgb[v])


def compress(rgb: NDArray[np.uint8], quality: int, monochrome: bool) -> NDArray[np.uint8]:
    """Return a picture (H, W, 3) uint8 as it is after JPEG compression at a quality from 1 to 100.

    Loads OpenCV. The same bytes come out wherever the same version of it is installed.
    """
    import cv2

    source = rgb[..., 0] if monochrome else rgb[..., ::-1]
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(source), [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError(f"OpenCV could not compress a picture of shape {rgb.shape}")
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE if monochrome else cv2.IMREAD_COLOR), np.uint8)
    if monochrome:
        return np.repeat(decoded[..., None], 3, axis=2)
    return np.ascontiguousarray(decoded[..., ::-1])
