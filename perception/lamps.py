"""Lamps: the light of a hall's fittings, found once for a coarse lattice of points and looked up by the camera.

A lamp sends ``I(t) = I0 cos(t)^m`` at the angle t off straight down, with m such that half of I0 is left at half the
beam angle; at distance d it lights a surface by ``I(t) cos(i) / d^2`` (inverse-square and cosine laws), times
``(1 - (d / REACH)^4)^2`` so that it ends (Karis, *Real shading in Unreal Engine 4*, 2013). At each point of the lattice
the light of all lamps that are not hidden by static solids is summed for six directions of the surface, an *ambient
cube* (McTaggart, *Half-Life 2 / Valve Source shading*, 2004).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.errors import InputError
from ..common.geometry import FloatArray
from ..common.seeding import generator
from .borrow import borrowed
from .compiled import compiled, inlined
from .grid import MOVING
from .raycast import Tables, as_index, trace
from .shading import light_color

LAMP_X, LAMP_Y, LAMP_Z, LAMP_POWER, LAMP_TEMPERATURE, LAMP_BEAM, LAMP_COLUMNS = range(7)
"""Columns of a table of lamps: place [m], power (1 = standard lamp), colour temperature [K], beam angle [rad]."""
STANDARD_INTENSITY = 18.0
"""I0 of a lamp of power 1: half of full light at 6 m straight below it [m^2]."""
REACH = 15.0
"""Lamps light nothing farther away than this [m]."""
LATTICE = 1.0
"""Distance of the lattice's points [m], in halls where ``MAX_POINTS`` suffice."""
MAX_POINTS = 12_000
LIFT = 0.05
"""The lowest points of the lattice are this far [m] above the lowest solid."""
CUBE = 18
"""Values of a point: red, green and blue for surfaces that look along -x, +x, -y, +y, -z, +z."""


class LampVolume(NamedTuple):
    """Light of the lamps.

    Attributes:
        light: (nz * ny * nx * CUBE,) float32. frame: (8,) float64 corner [m], points per metre, counts nx, ny, nz (0:
            no lamps), scale.
    """

    light: NDArray[np.float32]
    frame: FloatArray


NO_LAMPS = LampVolume(np.zeros(CUBE, np.float32), np.zeros(8))


def check_lamps(lamps: ArrayLike | None) -> FloatArray:
    """Return a table of lamps as float64 (L, LAMP_COLUMNS); None is none.

    Raises:
        InputError: another shape, values that are not finite, power below 0, a temperature outside 1667 to 25000 K, or
            a beam angle outside (0.05, pi).
    """
    if lamps is None:
        return np.zeros((0, LAMP_COLUMNS))
    table = np.ascontiguousarray(lamps, dtype=np.float64)
    if table.ndim != 2 or table.shape[1] != LAMP_COLUMNS:
        raise InputError(f"lamps have shape {table.shape}", where="lamps", mend=f"give (L, {LAMP_COLUMNS})")
    heat, beam = table[:, LAMP_TEMPERATURE], table[:, LAMP_BEAM]
    good = np.isfinite(table).all(axis=1) & (table[:, LAMP_POWER] >= 0) & (heat >= 1667) & (heat <= 25000)
    good &= (beam >= 0.05) & (beam <= np.pi)
    if not good.all():
        bad = int(np.flatnonzero(~good)[0])
        raise InputError(
            f"lamp {bad} is {table[bad].tolist()}",
            where="lamps",
            mend="give x, y, z [m], power >= 0, temperature 1667 to 25000 K and beam angle 0.05 to pi rad",
        )
    return table


def lamp_volume(
    tables: Tables,
    bounds: FloatArray,
    static_count: int,
    lamps: FloatArray,
    *,
    failing: float = 0.0,
    seed: int = 0,
    temperature: float | None = None,
) -> LampVolume:
    """Return the light of a scene's lamps.

    Args:
        tables: of the scene. bounds: (P, 6) centre and half extents [m]. static_count: of the first rows.
        lamps: (L, LAMP_COLUMNS), see ``check_lamps``.
        failing: share of the lamps that are dark, 0 to 1; which ones depends on ``seed``.
        temperature: colour temperature of all lamps instead of their own [K].
    """
    lit = lamps[generator(seed, "failing lamps").random(len(lamps)) >= failing]
    lit = lit[lit[:, LAMP_POWER] > 0.0]
    solid = bounds[:static_count]
    solid = solid[solid[:, 3] < 1e20]
    if not len(lit):
        return NO_LAMPS
    around = np.concatenate([solid[:, :3] - solid[:, 3:], solid[:, :3] + solid[:, 3:], lit[:, :3]])
    lower, upper = around.min(axis=0), around.max(axis=0)
    lower[2] = min(lower[2], 0.0) + LIFT
    step = LATTICE
    while np.prod(np.ceil((upper - lower) / step) + 1) > MAX_POINTS:
        step *= 1.05
    count = (np.ceil((upper - lower) / step) + 1).astype(int).clip(2)
    table = np.empty((len(lit), 7))
    table[:, :3] = lit[:, :3]
    colors = [light_color(float(temperature or heat)) for heat in lit[:, LAMP_TEMPERATURE]]
    table[:, 3:6] = STANDARD_INTENSITY * lit[:, LAMP_POWER, None] * np.array(colors)
    table[:, 6] = np.log(0.5) / np.log(np.cos(np.minimum(0.5 * lit[:, LAMP_BEAM], 1.55)))
    volume = np.zeros((count[2], count[1], count[0], CUBE), np.float32)
    inside = np.zeros(volume.shape[:3], np.uint8)
    bake_lamps(_static_tables(tables, static_count), table, lower, step, volume, inside)
    _spread(volume, inside)
    return LampVolume(volume.reshape(-1), np.array([*lower, 1.0 / step, *count, 1.0]))


def _static_tables(tables: Tables, static_count: int) -> Tables:
    """Return the tables without what moves."""
    cells, always = tables.cells.copy(), tables.always.copy()
    cells[:, MOVING] = -1
    always[0] = int((always[1 : 1 + always[0]] < static_count).sum())
    return tables._replace(cells=cells, always=always)


def _spread(volume: NDArray[np.float32], inside: NDArray[np.uint8]) -> None:
    """Give points within solids the mean of their neighbours outside, so that no darkness leaks out."""
    total, number = np.zeros_like(volume), np.zeros((*volume.shape[:3], 1), np.float32)
    free = (inside == 0).astype(np.float32)[..., None]
    for axis in range(3):
        for here, there in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
            to = tuple(here if k == axis else slice(None) for k in range(3))
            source = tuple(there if k == axis else slice(None) for k in range(3))
            total[to] += volume[source] * free[source]
            number[to] += free[source]
    hidden = (inside > 0) & (number[..., 0] > 0)
    volume[hidden] = total[hidden] / number[hidden]


@compiled
def bake_lamps(
    tables: Tables,
    lamps: FloatArray,
    lower: FloatArray,
    step: float,
    volume: NDArray[np.float32],
    inside: NDArray[np.uint8],
) -> None:
    """Add the light of lamps (L, 7: place [m], I0 for red, green, blue, exponent) to a volume (nz, ny, nx, CUBE)."""
    tables, lamps, volume = borrowed(tables), borrowed(lamps), borrowed(volume)
    visited = np.zeros(len(tables.shape), np.int32)
    stamp = 0
    for k in range(volume.shape[0]):
        for j in range(volume.shape[1]):
            for i in range(volume.shape[2]):
                x, y, z = lower[0] + i * step, lower[1] + j * step, lower[2] + k * step
                for n in range(-1, lamps.shape[0]):
                    dx, dy, dz, reach = 0.0, 0.0, 1.0, 1e-3
                    if n >= 0:
                        dx, dy, dz = lamps[n, 0] - x, lamps[n, 1] - y, lamps[n, 2] - z
                        reach = np.sqrt(dx * dx + dy * dy + dz * dz)
                        if reach > REACH or dz <= 0.0:
                            continue
                        reach = max(reach, 0.3)
                        dx, dy, dz = dx / reach, dy / reach, dz / reach
                    stamp += 1
                    _, p = trace(
                        tables, visited, stamp, x, y, z, dx, dy, dz, 0.0, max(reach - 0.05, 1e-3), as_index(-1), n >= 0
                    )
                    if n < 0:
                        if p >= 0:
                            inside[k, j, i] = 1
                            break
                        continue
                    if p >= 0:
                        continue
                    part = 1.0 - (reach / REACH) ** 4
                    light = dz ** lamps[n, 6] / (reach * reach) * part * part
                    for c in range(3):
                        e = lamps[n, 3 + c] * light
                        volume[k, j, i, c] += max(-dx, 0.0) * e
                        volume[k, j, i, 3 + c] += max(dx, 0.0) * e
                        volume[k, j, i, 6 + c] += max(-dy, 0.0) * e
                        volume[k, j, i, 9 + c] += max(dy, 0.0) * e
                        volume[k, j, i, 12 + c] += max(-dz, 0.0) * e
                        volume[k, j, i, 15 + c] += max(dz, 0.0) * e


@inlined
def lamp_light(
    light: NDArray[np.float32], frame: FloatArray, x: float, y: float, z: float, nx: float, ny: float, nz: float
) -> tuple[float, float, float]:
    """Return the red, green and blue light of the lamps on a surface at x, y, z [m] with normal n; 0 without lamps."""
    red, green, blue = 0.0, 0.0, 0.0
    columns, rows, layers = as_index(frame[4]), as_index(frame[5]), as_index(frame[6])
    if columns > 0:
        fx = min(max((x - frame[0]) * frame[3], 0.0), columns - 1.001)
        fy = min(max((y - frame[1]) * frame[3], 0.0), rows - 1.001)
        fz = min(max((z - frame[2]) * frame[3], 0.0), layers - 1.001)
        i, j, k = as_index(fx), as_index(fy), as_index(fz)
        u, v, w = fx - i, fy - j, fz - k
        for axis in range(3):
            n = nx if axis == 0 else (ny if axis == 1 else nz)
            if n * n < 1e-4:
                continue
            side = 6 * axis + (3 if n > 0.0 else 0)
            for corner in range(8):
                a, b, c = corner & 1, (corner >> 1) & 1, corner >> 2
                share = (u if a else 1.0 - u) * (v if b else 1.0 - v) * (w if c else 1.0 - w) * n * n * frame[7]
                at = (((k + c) * rows + j + b) * columns + i + a) * CUBE + side
                red += share * light[at]
                green += share * light[at + 1]
                blue += share * light[at + 2]
    return red, green, blue
