"""Light that changes slowly over a surface, compiled: ambient light, lamps and the key light's highlight.

Highlights are Blinn-Phong lobes, normalised by (n + 8) / 8 (Akenine-Moeller et al., *Real-time rendering*, 2018, 9.8,
in these units).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..common.geometry import FloatArray
from .compiled import part
from .lamps import lamp_light
from .lanes import item, single, unsigned
from .shading import CROWDING

if TYPE_CHECKING:
    from .deferred import ShadeTables

CROWDING_OFFSET = 0.3
"""Ambient light is looked up this far [m] off the surface."""


@part
def _highlight(
    exponent: float,
    nx: float,
    ny: float,
    nz: float,
    lx: float,
    ly: float,
    lz: float,
    vx: float,
    vy: float,
    vz: float,
) -> float:
    """Return a normalised Blinn-Phong lobe: unit normal n, unit vector l to the light, any vector v to the camera."""
    scale = 1.0 / np.sqrt(vx * vx + vy * vy + vz * vz + 1e-30)
    hx, hy, hz = lx + vx * scale, ly + vy * scale, lz + vz * scale
    along = (nx * hx + ny * hy + nz * hz) / np.sqrt(hx * hx + hy * hy + hz * hz + 1e-30)
    if along <= 0.0:
        return 0.0
    power = exponent * np.log(min(along, 1.0))
    if power < -12.0:
        return 0.0
    return (exponent + 8.0) * 0.125 * np.exp(power)


@part
def _open_sky(shade: ShadeTables, x: float, y: float, z: float, nx: float, ny: float, nz: float) -> float:
    """Return the share of ambient light (float32) that comes to a surface point [m] with normal n."""
    off, scale, half = single(CROWDING_OFFSET), single(1.0 / shade.corner[3]), single(0.5)
    x = (x + off * nx - single(shade.corner[0])) * scale - half
    y = (y + off * ny - single(shade.corner[1])) * scale - half
    z = (z + off * nz - single(shade.corner[2])) * scale - half
    layers, rows, columns = shade.volume.shape
    one = single(1.0)
    outside = min(min(x, y), z) < single(0.0)
    if outside or x >= single(columns - 1) or y >= single(rows - 1) or z >= single(layers - 1):
        return one
    i, j, k = unsigned(x), unsigned(y), unsigned(z)
    u, v, w = x - single(i), y - single(j), z - single(k)
    volume, across = shade.volume, unsigned(columns)
    a = (k * unsigned(rows) + j) * across + i
    b = a + unsigned(rows) * across
    a0 = _between(item(volume, a), item(volume, a + 1), u)
    a1 = _between(item(volume, a + across), item(volume, a + across + 1), u)
    b0 = _between(item(volume, b), item(volume, b + 1), u)
    b1 = _between(item(volume, b + across), item(volume, b + across + 1), u)
    return one / (one + single(CROWDING) * _between(_between(a0, a1, v), _between(b0, b1, v), w))


@part
def _between(first: float, second: float, share: float) -> float:
    return first + (second - first) * share


@part
def glow(
    shade: ShadeTables,
    gloss: float,
    exponent: float,
    soft: tuple[float, float, float],
    nx: float,
    ny: float,
    nz: float,
    x: float,
    y: float,
    z: float,
    position: FloatArray,
) -> tuple[float, float, float, float]:
    """Return the light that comes to a surface point apart from the key light, and the key light's highlight.

    ``soft``: the ambient light that comes to a surface with this normal in the open.
    """
    light = shade.light
    sky = _open_sky(shade, x, y, z, nx, ny, nz)
    red, green, blue = soft[0] * sky, soft[1] * sky, soft[2] * sky
    if shade.lamp_frame[4] > 0.0:
        lamp_red, lamp_green, lamp_blue = lamp_light(shade.lamps, shade.lamp_frame, x, y, z, nx, ny, nz)
        red, green, blue = red + single(lamp_red), green + single(lamp_green), blue + single(lamp_blue)
    shine = single(0.0)
    if gloss > 0.0:
        vx, vy, vz = position[0] - x, position[1] - y, position[2] - z
        shine = single(gloss * _highlight(exponent, nx, ny, nz, light[0], light[1], light[2], vx, vy, vz))
    return red, green, blue, shine
