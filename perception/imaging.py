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
from .borrow import borrowed
from .compiled import compiled, inner, part
from .lanes import (
    LANES,
    Lanes,
    gather,
    gather_bytes,
    greater,
    item,
    lane,
    lane_words,
    lesser,
    load,
    root,
    row_stride,
    single,
    store_colors,
    to_float,
    to_int,
    unsigned,
)
from .noise import (
    CAMERA_UNIT,
    QUANTILES,
    as_word,
    mix,
    noise_key,
    normal_lanes,
    random_bits,
    random_lanes,
    table_normal,
    uniform,
)
from .shading import BYTE_STEPS, ENCODE_STEPS, ENCODED_BYTES, ENCODING

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
        encoding: ``shading.ENCODING``. encoded: ``shading.ENCODED_BYTES``. quantiles: ``noise.QUANTILES``.
        read_noise, shot_noise: standard deviations [grey levels]; full_well [electrons], 0 for none; dark_noise
            [electrons]; see ``CameraConfig``.
        monochrome: whether the channels are one.
        transmission: (H * stride,) float32 of the lens, response, offset: (H * 3 * stride,) float32 of the sensor, rows
            of ``lanes.row_stride(W)``; or of no size.
    """

    encoding: NDArray[np.float32]
    encoded: NDArray[np.uint8]
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
        encoded=ENCODED_BYTES,
        quantiles=QUANTILES,
        read_noise=0.0 if config.full_well > 0 else config.noise,
        shot_noise=0.0 if config.full_well > 0 else config.shot_noise,
        full_well=config.full_well,
        dark_noise=config.read_noise,
        monochrome=config.monochrome,
        transmission=_in_rows(transmission(config, sensor)),
        response=_in_rows(np.moveaxis(response, 2, 1)),
        offset=_in_rows(np.moveaxis(offset, 2, 1)),
    )


def _in_rows(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return values (..., W) in rows that vectors may start anywhere in, flat."""
    if not values.size:
        return np.zeros(0, np.float32)
    rows = np.zeros((*values.shape[:-1], row_stride(values.shape[-1])), np.float32)
    rows[..., : values.shape[-1]] = values
    return rows.reshape(-1)


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
    return unsigned(noise_key(unsigned(0), CAMERA_UNIT, as_word(sensor), as_word(part)))


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
    own = mix(key + unsigned(1))
    for v in range(height):
        row_bits = random_bits(own, v)
        for u in range(width):
            column_bits = random_bits(own, height + u)
            a, b = random_bits(key, 2 * (v * width + u)), random_bits(key, 2 * (v * width + u) + 1)
            shine = 0.0
            if np.float64(a >> unsigned(36)) < hot * 268435456.0:
                shine = HOT_LEAST + (HOT_MOST - HOT_LEAST) * np.float64(b >> unsigned(36)) / 268435456.0
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
        light: (H, 3, stride) float32 linear light. config: the camera.
        transmitted: (H * stride,) float32 share of the light that the lens lets through, or of no size.
    """
    exposure = config.exposure
    balance = np.array(config.white_balance, dtype=np.float64)
    if config.auto_exposure or config.auto_white_balance:
        step = max(1, math.isqrt(config.height * config.width // METERED))
        some = (slice(step // 2, None, step), slice(None), slice(step // 2, config.width, step))
        seen = light[some].astype(np.float64)
        if transmitted.size:
            seen = seen * transmitted.reshape(config.height, 1, -1)[some]
        seen = seen.transpose(0, 2, 1)
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
def soften(light: NDArray[np.float32], weights: NDArray[np.float32], line: NDArray[np.float32], width: int) -> None:
    """Blur a picture (H, 3, stride) of a width in place by a symmetric kernel: weights (R + 1,) from its middle on.

    Beyond the picture its border goes on. ``line``: (H, 3, stride) float32, memory.
    """
    height = light.shape[0]
    reach = len(weights) - 1
    for v in range(height):
        for i in range(3):
            for u in range(width):
                total = weights[0] * light[v, i, u]
                for r in range(1, reach + 1):
                    total += weights[r] * (light[max(v - r, 0), i, u] + light[min(v + r, height - 1), i, u])
                line[v, i, u] = total
    for v in range(height):
        for i in range(3):
            for u in range(width):
                total = weights[0] * line[v, i, u]
                for r in range(1, reach + 1):
                    total += weights[r] * (line[v, i, max(u - r, 0)] + line[v, i, min(u + r, width - 1)])
                light[v, i, u] = total


def gaussian(deviation: float) -> NDArray[np.float32]:
    """Return the weights (R + 1,) float32 of a Gaussian of the given deviation [pixels], from its middle outwards."""
    reach = max(1, math.ceil(4.0 * deviation))
    weights = np.exp(-0.5 * (np.arange(reach + 1) / deviation) ** 2)
    return (weights / (2.0 * weights.sum() - weights[0])).astype(np.float32)


@inner
def develop_row(
    light: NDArray[np.float32],
    first: int,
    develop: Development,
    exposure: float,
    gain: NDArray[np.float32],
    key: np.uint64,
    v: int,
    rgb: NDArray[np.uint8],
) -> None:
    """Develop row v of a picture.

    Args:
        light: any number of rows (3, stride) float32 of linear red, green and blue, ``stride`` being
            ``lanes.row_stride(W)``; the row to develop begins with element ``first``. develop: how.
        exposure: factor; gain: (3,) float32 of each channel. key: noise key of the picture.
        rgb: (H, W, 3) uint8, of which row v is written.
    """
    light, develop, rgb = borrowed(light), borrowed(develop), borrowed(rgb)
    stride, width = unsigned(light.shape[light.ndim - 1]), unsigned(rgb.shape[1])
    row, lanes, base = unsigned(v), unsigned(LANES), unsigned(first)
    start = row * width
    red_gain, green_gain, blue_gain = item(gain, 0), item(gain, 1), item(gain, 2)
    electrons, grey = develop.full_well > 0.0, develop.read_noise + develop.shot_noise > 0.0
    one = unsigned(0 if develop.monochrome else 1)
    at = unsigned(0)
    while at < width:
        # The last vector ends where the row does.
        if at + lanes > width and width >= lanes:
            at = width - lanes
        k = base + at
        r, g, b = load(light, k), load(light, k + stride), load(light, k + stride + stride)
        if develop.transmission.size > 0:
            share = load(develop.transmission, row * stride + at)
            r, g, b = r * share, g * share, b * share
        if develop.monochrome:
            level = r * single(LUMINANCE[0]) + g * single(LUMINANCE[1]) + b * single(LUMINANCE[2])
            r, g, b = level, level, level
        bits = random_lanes(key, start + at) if electrons or grey else lane_words()
        if electrons:
            r = _gathered(r, develop, exposure, bits, unsigned(0))
            g = _gathered(g, develop, exposure, bits, one)
            b = _gathered(b, develop, exposure, bits, one + one)
        else:
            r, g, b = r * single(exposure), g * single(exposure), b * single(exposure)
        if develop.response.size > 0:
            k = unsigned(3) * row * stride + at
            r = r * load(develop.response, k) + load(develop.offset, k)
            g = g * load(develop.response, k + stride) + load(develop.offset, k + stride)
            b = b * load(develop.response, k + stride + stride) + load(develop.offset, k + stride + stride)
        r, g, b = r * red_gain, g * green_gain, b * blue_gain
        if grey:
            red = _noisy_level(r, develop, bits, unsigned(0))
            green, blue = _noisy_level(g, develop, bits, one), _noisy_level(b, develop, bits, one + one)
        else:
            red, green, blue = _level(r, develop), _level(g, develop), _level(b, develop)
        if width >= lanes:
            store_colors(rgb, start + at, red, green, blue)
        else:
            for u in range(width):
                rgb[v, u, 0] = np.uint8(lane(red, u))
                rgb[v, u, 1] = np.uint8(lane(green, u))
                rgb[v, u, 2] = np.uint8(lane(blue, u))
        at += lanes


@part
def _gathered(light: Lanes, develop: Development, exposure: float, bits: Lanes, channel: np.uint64) -> Lanes:
    """Return what a linear sensor gathers of light in one channel; what is over the full well is lost."""
    electrons = greater(light * single(exposure * develop.full_well), single(0.0))
    spread = root(electrons + single(develop.dark_noise**2))
    electrons = electrons + spread * normal_lanes(bits, channel, develop.quantiles)
    return lesser(electrons, single(develop.full_well)) * single(1.0 / develop.full_well)


@part
def _level(light: Lanes, develop: Development) -> Lanes:
    """Return the grey levels (int32) of linear light."""
    place = lesser(greater(light, single(0.0)), single(1.0)) * single(BYTE_STEPS) + single(0.5)
    return gather_bytes(develop.encoded, to_int(place))


@part
def _noisy_level(light: Lanes, develop: Development, bits: Lanes, channel: np.uint64) -> Lanes:
    """Return the grey levels (int32) of linear light, with noise that is given in these."""
    read, shot = single(develop.read_noise**2), single(develop.shot_noise**2 / 255.0)
    place = lesser(greater(light, single(0.0)), single(1.0)) * single(ENCODE_STEPS)
    k = to_int(place)
    low = gather(develop.encoding, k)
    level = low + (gather(develop.encoding, k + 1) - low) * (place - to_float(k))
    level = level + root(level * shot + read) * normal_lanes(bits, channel, develop.quantiles)
    return to_int(lesser(greater(level + single(0.5), single(0.0)), single(255.0)))


@compiled
def develop_picture(
    light: NDArray[np.float32],
    develop: Development,
    exposure: float,
    gain: NDArray[np.float32],
    key: np.uint64,
    rgb: NDArray[np.uint8],
) -> None:
    """Develop a picture: light (H, 3, stride), rgb (H, W, 3); see ``develop_row``."""
    for v in range(rgb.shape[0]):
        develop_row(light, v * 3 * light.shape[2], develop, exposure, gain, key, v, rgb)


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
