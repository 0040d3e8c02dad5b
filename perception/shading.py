"""Light and colour, compiled: Lambert's law with one key light, ambient light that corners swallow, and sRGB.

All sums are in linear light; colours are decoded from sRGB before and encoded after (IEC 61966-2-1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.geometry import FloatArray
from ..common.primitives import BOX, PLANE, Primitives
from .compiled import compiled, inlined
from .materials import CARTON, CLASS_MATERIAL, FILM
from .noise import as_word, random_bits_of

if TYPE_CHECKING:
    from .appearance import Appearance
    from .config import Lighting

LOOK_RED, LOOK_GREEN, LOOK_BLUE, LOOK_MATERIAL, LOOK_SEED = range(5)
"""Columns of the table of looks: linear albedo, material, the object's own number from 0 to 1."""
TINT = 0.07
"""Objects of one colour differ in brightness by up to this share."""

VOXEL = 0.5
"""Cell size of the volume that ambient light is dimmed by [m]."""
MAX_VOXELS = 8_000_000
CROWDING = 1.5
"""How fast ambient light falls off where solids fill the neighbourhood."""

LIGHT_X, LIGHT_Y, LIGHT_Z = 0, 1, 2
KEY, SKY, GROUND, BACK = 3, 6, 9, 12
"""First columns of the light table: direction to the key light, then linear colours."""

_SKY_TINT = np.array([1.02, 1.06, 1.12])
_GROUND_TINT = np.array([0.70, 0.67, 0.62])
_BACKGROUND = np.array([0.34, 0.36, 0.39])

ENCODE_STEPS = 4096


def srgb_to_linear(color: ArrayLike) -> NDArray[np.float32]:
    """Return sRGB values 0 to 255 of any shape as linear light 0 to 1."""
    value = np.asarray(color, dtype=np.float64) / 255.0
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


def linear_to_srgb(light: ArrayLike) -> FloatArray:
    """Return linear light 0 to 1 of any shape as sRGB values 0 to 255, not rounded; clipped outside."""
    value = np.clip(np.asarray(light, dtype=np.float64), 0.0, 1.0)
    return 255.0 * np.where(value <= 0.0031308, 12.92 * value, 1.055 * value ** (1 / 2.4) - 0.055)


ENCODING: NDArray[np.float32] = linear_to_srgb(np.arange(ENCODE_STEPS + 2) / ENCODE_STEPS).astype(np.float32)
"""sRGB value 0 to 255 of linear light in ENCODE_STEPS steps; read with interpolation."""
BYTE_STEPS = 32768
ENCODED_BYTES: NDArray[np.uint8] = np.rint(linear_to_srgb(np.arange(BYTE_STEPS + 1) / BYTE_STEPS)).astype(np.uint8)
"""The same rounded, in BYTE_STEPS steps, read without: where they are coarsest they are a tenth of a grey level."""


def light_color(temperature: float) -> FloatArray:
    """Return the linear sRGB colour (3,) of a black body [K], scaled so that 5000 K is (1, 1, 1) and luminance is 1.

    Chromaticity after Kim et al., *Design of advanced color temperature control system*, 2002 (1667 to 25000 K).
    """
    color = _black_body(temperature) / _black_body(5000.0)
    return color / float(np.dot([0.2126, 0.7152, 0.0722], color))


def _black_body(kelvin: float) -> FloatArray:
    u = 1000.0 / kelvin
    if kelvin <= 4000.0:
        x = -0.2661239 * u**3 - 0.2343589 * u**2 + 0.8776956 * u + 0.179910
    else:
        x = -3.0258469 * u**3 + 2.1070379 * u**2 + 0.2226347 * u + 0.240390
    if kelvin <= 2222.0:
        y = -1.1063814 * x**3 - 1.34811020 * x**2 + 2.18555832 * x - 0.20219683
    elif kelvin <= 4000.0:
        y = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    else:
        y = 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483
    xyz = np.array([x / y, 1.0, (1.0 - x - y) / y])
    to_linear = np.array([[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]])
    return np.maximum(to_linear @ xyz, 1e-3)


def light_table(lighting: Lighting) -> FloatArray:
    """Return the light as the kernels read it (15,): direction to the key light, key, sky, ground and background."""
    direction = -np.asarray(lighting.direction, dtype=np.float64)
    direction /= np.linalg.norm(direction)
    ambient = lighting.ambient
    level = lighting.key * 0.5 + ambient
    return np.concatenate(
        [
            direction,
            lighting.key * light_color(lighting.temperature),
            ambient * _SKY_TINT,
            ambient * _GROUND_TINT,
            level * _BACKGROUND,
        ]
    )


def looks(primitives: Primitives, appearance: Appearance | None = None) -> NDArray[np.float32]:
    """Return how each solid looks (P, 5) float32; solids of one object share their tint.

    Objects are told apart by instance id, stuff (id 0) by its row.
    """
    table = np.zeros((len(primitives), 5), np.float32)
    instance = primitives.instance_id.astype(np.int64)
    bits = random_bits_of(as_word(0x10C), np.where(instance > 0, instance, -1 - np.arange(len(primitives))))
    table[:, LOOK_SEED] = (bits & np.uint64(0xFFFF)) / 65536.0
    brightness = ((bits >> np.uint64(16)) & np.uint64(0xFFFF)) / 32768.0
    table[:, :3] = (1.0 + TINT * (brightness - 1.0))[:, None]
    plane = primitives.kind == PLANE
    table[plane, :3] = 1.0
    table[:, :3] *= srgb_to_linear(primitives.color)
    table[:, LOOK_MATERIAL] = CLASS_MATERIAL[np.clip(primitives.class_id, 0, len(CLASS_MATERIAL) - 1)]
    if appearance is not None and (appearance.wrap > 0 or appearance.hue > 0):
        _vary_objects(table, instance, appearance)
    return table


def _vary_objects(table: NDArray[np.float32], instance: NDArray[np.int64], appearance: Appearance) -> None:
    """Wrap some cartons, and turn the colours of objects about the grey axis, keeping their sum (Rodrigues)."""
    bits = random_bits_of(as_word(0x10D + 2 * appearance.seed), instance)
    carton = (instance > 0) & (table[:, LOOK_MATERIAL] == CARTON)
    table[carton & ((bits & np.uint64(0xFFFF)) / 65536.0 < appearance.wrap), LOOK_MATERIAL] = FILM
    share = ((bits >> np.uint64(16)) & np.uint64(0xFFFF)) / 32768.0 - 1.0
    angle = np.where(instance > 0, appearance.hue * share, 0.0)[:, None]
    color = table[:, :3].astype(np.float64)
    across = (np.roll(color, -2, axis=1) - np.roll(color, -1, axis=1)) / np.sqrt(3.0)
    grey = color.mean(axis=1, keepdims=True)
    table[:, :3] = np.clip(grey + (color - grey) * np.cos(angle) + across * np.sin(angle), 0.0, 1.0)


def crowding_volume(bounds: FloatArray, kind: NDArray[np.uint8]) -> tuple[NDArray[np.float32], FloatArray]:
    """Return how full of solids the neighbourhood of each point is, for dimming ambient light.

    Args:
        bounds: (N, 6) centre and half extents [m] of the static solids. kind: (N,).

    Returns:
        Volume (nz, ny, nx) float32 from 0 (empty) to 1, blurred over a metre or two; and its corner and cell size
        (4,) [m].
    """
    bounded = bounds[kind != PLANE]
    if not len(bounded):
        return np.zeros((2, 2, 2), np.float32), np.array([0.0, 0.0, 0.0, VOXEL])
    lower = (bounded[:, :3] - bounded[:, 3:]).min(axis=0) - 2.0 * VOXEL
    upper = (bounded[:, :3] + bounded[:, 3:]).max(axis=0) + 2.0 * VOXEL
    cell = max(VOXEL, float(np.cbrt(np.prod((upper - lower) / MAX_VOXELS ** (1 / 3)))))
    count = np.ceil((upper - lower) / cell).astype(int) + 1
    volume = np.zeros((count[2], count[1], count[0]), np.float32)
    fill_volume(bounded, lower, cell, volume)
    np.minimum(volume, 1.0, out=volume)
    for axis in (0, 1, 2):
        for _ in range(2):
            padded = np.pad(volume, [(1, 1) if i == axis else (0, 0) for i in range(3)], mode="edge")
            first, middle, last = (
                padded[tuple(slice(k, k + volume.shape[axis]) if i == axis else slice(None) for i in range(3))]
                for k in range(3)
            )
            volume = ((first + 2.0 * middle + last) * np.float32(0.25)).astype(np.float32)
    return np.ascontiguousarray(volume), np.array([*lower, cell])


@compiled
def fill_volume(bounds: FloatArray, lower: FloatArray, cell: float, volume: NDArray[np.float32]) -> None:
    """Add to each cell the share of it that each bounding box (N, 6) fills."""
    nz, ny, nx = volume.shape
    for p in range(bounds.shape[0]):
        x0, x1 = (bounds[p, 0] - bounds[p, 3] - lower[0]) / cell, (bounds[p, 0] + bounds[p, 3] - lower[0]) / cell
        y0, y1 = (bounds[p, 1] - bounds[p, 4] - lower[1]) / cell, (bounds[p, 1] + bounds[p, 4] - lower[1]) / cell
        z0, z1 = (bounds[p, 2] - bounds[p, 5] - lower[2]) / cell, (bounds[p, 2] + bounds[p, 5] - lower[2]) / cell
        for k in range(int(z0), min(int(z1) + 1, nz)):
            dz = min(z1, k + 1.0) - max(z0, k)
            for j in range(int(y0), min(int(y1) + 1, ny)):
                dy = min(y1, j + 1.0) - max(y0, j)
                for i in range(int(x0), min(int(x1) + 1, nx)):
                    dx = min(x1, i + 1.0) - max(x0, i)
                    volume[k, j, i] += dx * dy * dz


@inlined
def crowding(volume: NDArray[np.float32], corner: FloatArray, x: float, y: float, z: float) -> float:
    """Return the volume's value at a point [m], interpolated; 0 outside."""
    nz, ny, nx = volume.shape
    scale = 1.0 / corner[3]
    fx, fy, fz = (x - corner[0]) * scale - 0.5, (y - corner[1]) * scale - 0.5, (z - corner[2]) * scale - 0.5
    if fx < 0.0 or fy < 0.0 or fz < 0.0 or fx >= nx - 1 or fy >= ny - 1 or fz >= nz - 1:
        return 0.0
    i, j, k = int(fx), int(fy), int(fz)
    u, v, w = fx - i, fy - j, fz - k
    a = volume[k, j, i] * (1.0 - u) + volume[k, j, i + 1] * u
    b = volume[k, j + 1, i] * (1.0 - u) + volume[k, j + 1, i + 1] * u
    c = volume[k + 1, j, i] * (1.0 - u) + volume[k + 1, j, i + 1] * u
    d = volume[k + 1, j + 1, i] * (1.0 - u) + volume[k + 1, j + 1, i + 1] * u
    return (a * (1.0 - v) + b * v) * (1.0 - w) + (c * (1.0 - v) + d * v) * w


@inlined
def local_face(kind: int, a: float, b: float, c: float) -> int:
    """Return the local axis 0, 1 or 2 that a surface with local normal (a, b, c) looks along most."""
    if kind == PLANE:
        return 2
    if kind == BOX:
        return 0 if abs(a) > 0.5 else (1 if abs(b) > 0.5 else 2)
    return 2 if abs(c) > 0.8 else 0


@inlined
def encode(light: float, encoding: NDArray[np.float32]) -> float:
    """Return the sRGB value 0 to 255, not rounded, of linear light; clipped above 1."""
    place = min(max(light, 0.0), 1.0) * ENCODE_STEPS
    i = int(place)
    low = encoding[i]
    return low + (encoding[i + 1] - low) * (place - i)
