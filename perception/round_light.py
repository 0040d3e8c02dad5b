"""Light of round solids, compiled: pixel by pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import FloatArray
from ..common.primitives import CAPSULE
from .borrow import borrowed
from .compiled import inner, part
from .faces import P_BAND, P_PLAIN, shadow_bias, texture_level
from .glow import glow
from .intersect import surface
from .lanes import item, put, single, unsigned
from .materials import CLOTHES, EXPONENT, GLOSS, TEXTURE, TILE_A, TILE_B
from .raycast import Tables, as_index
from .shading import GROUND, KEY, SKY
from .shadows import (
    CELL_SHIFT,
    SHADOW_COLUMNS,
    SHADOW_DARK,
    SHADOW_KX,
    SHADOW_KY,
    SHADOW_PER_HEIGHT,
    SHADOW_PER_METRE,
    SHADOW_ROWS,
    SHADOW_X,
    SHADOW_Y,
    SHADOW_Z,
    MoverShadows,
    mover_blocks,
)
from .textures import FIRST_LEVEL, LOG_HEIGHT, LOG_WIDTH

if TYPE_CHECKING:
    from .deferred import ShadeScratch, ShadeTables


@part
def _round_albedo(shade: ShadeTables, p: int, around: float, along: float, pixel: float) -> int:
    """Return the texel of a round solid at lengths around and along its axis [m]."""
    material = as_index(shade.look[p, 3])
    tex = as_index(shade.material[material, TEXTURE])
    tile_a, tile_b = float(shade.material[material, TILE_A]), float(shade.material[material, TILE_B])
    if tile_a == 0.0 or tile_b == 0.0:
        tex, tile_a, tile_b = as_index(shade.pattern[P_PLAIN]), 1.0, 1.0
    log_width, log_height = as_index(shade.texture[tex, LOG_WIDTH]), as_index(shade.texture[tex, LOG_HEIGHT])
    sa, sb = float(1 << log_width) / tile_a, float(1 << log_height) / tile_b
    level, _ = texture_level(shade.texture, tex, sa, sb, pixel, 0.0, 0.0, pixel)
    wide, tall = max(log_width - level, as_index(0)), max(log_height - level, as_index(0))
    s = as_index(np.floor((around / tile_a + shade.look[p, 4]) * float(1 << wide)))
    t = as_index(np.floor((along / tile_b + shade.look[p, 4]) * float(1 << tall)))
    first = as_index(shade.texture[tex, FIRST_LEVEL + level])
    return as_index(shade.texels[first + ((t & ((1 << tall) - 1)) << wide) + (s & ((1 << wide) - 1))])


@part
def _point_lit(
    tables: Tables,
    shade: ShadeTables,
    movers: MoverShadows,
    moving: int,
    p: int,
    bias: float,
    x: float,
    y: float,
    h: float,
) -> bool:
    """Tell whether the key light comes to a point of solid p [m]."""
    frame = shade.frame
    per = frame[SHADOW_PER_METRE]
    sx = (x - h * frame[SHADOW_KX] - frame[SHADOW_X]) * per
    sy = (y - h * frame[SHADOW_KY] - frame[SHADOW_Y]) * per
    i = as_index(min(max(sx, 0.0), frame[SHADOW_COLUMNS] - 1.0))
    k = as_index(min(max(sy, 0.0), frame[SHADOW_ROWS] - 1.0))
    texel = as_index(shade.shadow[k * as_index(frame[SHADOW_COLUMNS]) + i])
    level = (h - frame[SHADOW_Z]) * frame[SHADOW_PER_HEIGHT] + bias
    if (texel >> 16) > level and (texel & 0xFFFF) != (p & 0xFFFF):
        return False
    if moving > 0:
        cell = (k >> CELL_SHIFT) * movers.size[0] + (i >> CELL_SHIFT)
        for pool in range(2):
            first = as_index(movers.head[cell if pool == 0 else len(movers.head) - 1])
            if mover_blocks(tables, movers, first, p, sx - 0.5, sy - 0.5, x, y, h, shade.light):
                return False
    return True


@inner
def shade_round(
    tables: Tables,
    shade: ShadeTables,
    p: int,
    start: int,
    stop: int,
    focal: float,
    position: FloatArray,
    inverse: NDArray[np.float32],
    first: int,
    moving: int,
    scratch: ShadeScratch,
    out: NDArray[np.float32],
    into: int,
) -> None:
    """Shade the columns start to stop - 1 of a row, which see the round side of one solid."""
    tables, shade, scratch = borrowed(tables), borrowed(shade), borrowed(scratch)
    position, inverse, out = borrowed(position), borrowed(inverse), borrowed(out)
    solid, kind, light, way = tables.solid, tables.kind[p], shade.light, scratch.way
    across = as_index(len(way) // 3)
    material = as_index(shade.look[p, 3])
    gloss, exponent = shade.material[material, GLOSS], shade.material[material, EXPONENT]
    banded = material == CLOTHES and kind == CAPSULE and solid[p, 4] > 0.15
    for u in range(start, stop):
        depth = 1.0 / max(item(inverse, first + u), single(1e-6))
        x, y = position[0] + depth * way[u], position[1] + depth * way[across + u]
        h = position[2] + depth * way[2 * across + u]
        dx, dy, dz = x - solid[p, 0], y - solid[p, 1], h - solid[p, 2]
        a = solid[p, 6] * dx + solid[p, 7] * dy + solid[p, 8] * dz
        b = solid[p, 9] * dx + solid[p, 10] * dy + solid[p, 11] * dz
        c = solid[p, 12] * dx + solid[p, 13] * dy + solid[p, 14] * dz
        la, lb, lc = surface(kind, solid, p, a, b, c)
        nx = la * solid[p, 6] + lb * solid[p, 9] + lc * solid[p, 12]
        ny = la * solid[p, 7] + lb * solid[p, 10] + lc * solid[p, 13]
        nz = la * solid[p, 8] + lb * solid[p, 11] + lc * solid[p, 14]
        texel = _round_albedo(shade, p, solid[p, 3] * np.arctan2(b, a), c, depth / focal)
        if banded and abs(c + 0.1 * solid[p, 4]) < 0.05:
            texel = as_index(shade.texels[as_index(shade.texture[as_index(shade.pattern[P_BAND]), FIRST_LEVEL])])
        cover = ((texel >> 24) & 255) * (1.0 / 255.0)
        facing = max(nx * light[0] + ny * light[1] + nz * light[2], 0.0) * (1.0 - shade.frame[SHADOW_DARK])
        if facing > 0.0:
            bias = shadow_bias(shade.frame, light[2], nx, ny, facing)
            if not _point_lit(tables, shade, scratch.movers, moving, p, bias, x, y, h):
                facing = 0.0
        up = 0.5 + 0.5 * nz
        red, green, blue, shine = glow(
            shade,
            gloss,
            exponent,
            (
                single(light[GROUND] + (light[SKY] - light[GROUND]) * up),
                single(light[GROUND + 1] + (light[SKY + 1] - light[GROUND + 1]) * up),
                single(light[GROUND + 2] + (light[SKY + 2] - light[GROUND + 2]) * up),
            ),
            single(nx),
            single(ny),
            single(nz),
            single(x),
            single(y),
            single(h),
            position,
        )
        for i in range(3):
            base = shade.look[p, i] * (1.0 / 128.0)
            albedo = ((texel >> (8 * i)) & 255) * (base + cover * (1.0 / 255.0 - base))
            ambient = red if i == 0 else (green if i == 1 else blue)
            value = albedo * (light[KEY + i] * facing + ambient) + light[KEY + i] * facing * shine
            put(out, into + unsigned(i * across) + unsigned(u), single(value))
