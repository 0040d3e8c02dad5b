"""Plane faces of solids, compiled: what is constant over one, worked out once per picture.

A face's frame, pattern, colour, normal and light go into a row of columns (``F_...``) that ``plane_light`` reads;
tapes, labels and other rectangles on it are decals (``D_...``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import FloatArray
from ..common.primitives import BOX, CYLINDER, PLANE, TRIANGLE
from .compiled import inner, part
from .grid import IntArray
from .lanes import bits_of, single
from .materials import (
    CARTON,
    CLADDING,
    CLOTHES,
    COLUMN,
    EXPONENT,
    GLOSS,
    HAZARD_HEIGHT,
    LABEL,
    PALLET,
    RIM,
    SIDE,
    STEEL,
    TAPE,
    TEXTURE,
    TILE_A,
    TILE_B,
    TOP,
)
from .raycast import Tables, as_index
from .shading import GROUND, SKY
from .shadows import SHADOW_DARK, SHADOW_PER_HEIGHT, SHADOW_PER_METRE
from .textures import COVERS, LABEL_VARIANTS, LEVELS, LOG_HEIGHT, LOG_WIDTH

if TYPE_CHECKING:
    from .deferred import ShadeTables

SLOTS = 1024
"""Faces remembered at once (a power of two)."""
NO_FACE = -2
UNBOUNDED = 1e6
"""Half extent of faces without rim [m]."""
# Columns of a remembered face: axes a and b in ``map`` and the camera's place along them [m]; and so on.
FA, FB, F_HALF_A, F_HALF_B, F_RIM = 0, 4, 8, 9, 10
F_TEXTURE, F_SA, F_OA, F_SB, F_OB = 11, 12, 13, 14, 15
F_RED, F_NORMAL, F_FACING, F_BIAS, F_GLOSS, F_EXPONENT = 16, 19, 22, 23, 24, 25
F_DECALS, F_AU, F_AV, F_BU, F_BV, F_WU, F_WV = 26, 27, 28, 29, 30, 31, 32
F_SOFT, F_COVERS = 33, 36
F_DECAL, DECAL_COLUMNS = 37, 10
FACE_COLUMNS = 64
# A decal: middle and half size along a and b [m], then texture, and texels of a and b as scale and offset.
D_A, D_B, D_HALF_A, D_HALF_B, D_TEXTURE, D_SA, D_OA, D_SB, D_OB = range(9)
# Textures that patterns on faces use: columns of ``ShadeTables.pattern``.
P_PLAIN, P_UPRIGHT, P_HAZARD, P_TAPE, P_PLINTH, P_BAND, P_ROOF, P_LABEL = range(8)
PATTERNS = ("plain", "upright", "hazard", "tape", "plinth", "band", "roof", "label0")


@part
def texture_level(
    texture: IntArray, tex: int, sa: float, sb: float, au: float, av: float, bu: float, bv: float
) -> tuple[int, float]:
    """Return the mip level for a pixel, and its size in texels, squared.

    Args:
        texture: table of textures. tex: row. sa, sb: texels per metre. au, av, bu, bv: change of a and b [m] per pixel.

    The level fits the pixel's shorter side, and not less than half of the longer: a compromise of blur and shimmer.
    """
    one, two, three, four = au * sa, bu * sb, av * sa, bv * sb
    along, down = one * one + two * two, three * three + four * four
    size = single(max(min(along, down), single(0.25) * max(along, down)))
    # The least level at which it is at most 2: half of the binary logarithm, read off the number's exponent.
    power = (np.int64(bits_of(single(0.5) * size)) - 1 >> 23) - 127
    return as_index(min(max((power >> 1) + 1, 0), np.int64(texture[tex, LEVELS]) - 1)), size


@part
def _put_decal(
    out: NDArray[np.float32],
    o: int,
    n: int,
    a: float,
    b: float,
    half_a: float,
    half_b: float,
    texture: IntArray,
    tex: int,
    tile: float,
) -> int:
    """Add a rectangle with a texture to a remembered face: stretched, or repeating after ``tile`` [m] if above 0."""
    k = F_DECAL + DECAL_COLUMNS * n
    wide, tall = float(1 << texture[tex, LOG_WIDTH]), float(1 << texture[tex, LOG_HEIGHT])
    out[o + k + D_A], out[o + k + D_B], out[o + k + D_HALF_A], out[o + k + D_HALF_B] = a, b, half_a, half_b
    out[o + k + D_TEXTURE] = tex
    if tile > 0.0:
        sa, sb = wide / tile, tall / tile
        out[o + k + D_OA], out[o + k + D_OB] = 0.0, 0.0
    else:
        sa, sb = 0.5 * wide / max(half_a, 1e-6), 0.5 * tall / max(half_b, 1e-6)
        out[o + k + D_OA], out[o + k + D_OB] = 0.5 * wide - a * sa, 0.5 * tall - b * sb
    out[o + k + D_SA], out[o + k + D_SB] = sa, sb
    return n + 1


@inner
def _decorate(
    material: int,
    seed: float,
    face: int,
    half_a: float,
    half_b: float,
    table: NDArray[np.float32],
    texture: IntArray,
    pattern: IntArray,
    out: NDArray[np.float32],
    o: int,
) -> int:
    """Add the rectangles that a material has on a box's face; return how many."""
    n = as_index(0)
    upright = face < 4
    if material == CARTON:
        if not upright:
            # Tape closes the lid along its longer middle line.
            narrow = min(0.03, 0.2 * min(half_a, half_b))
            wide, tall = (half_a, narrow) if half_a >= half_b else (narrow, half_b)
            n = _put_decal(out, o, n, 0.0, 0.0, wide, tall, texture, pattern[P_TAPE], 0.0)
        else:
            if half_a < 0.5 and seed >= table[material, TAPE]:
                # The tape's end comes down the side.
                reach = min(0.04, 0.5 * half_b)
                n = _put_decal(out, o, n, 0.0, half_b - reach, min(0.03, half_a), reach, texture, pattern[P_TAPE], 0.0)
            if seed >= table[material, LABEL]:
                wide, tall = min(0.075, 0.35 * half_a), min(0.05, 0.3 * half_b)
                variant = as_index(seed * 997.0) % LABEL_VARIANTS
                n = _put_decal(
                    out,
                    o,
                    n,
                    (0.5 * seed - 0.1) * half_a,
                    -0.25 * half_b,
                    wide,
                    tall,
                    texture,
                    pattern[P_LABEL] + variant,
                    0.0,
                )
    elif material == CLADDING and upright:
        reach = min(0.5, half_b)
        n = _put_decal(out, o, n, 0.0, reach - half_b, half_a, reach, texture, pattern[P_PLINTH], 0.0)
    elif material == COLUMN and upright:
        reach = min(0.5 * HAZARD_HEIGHT, half_b)
        n = _put_decal(out, o, n, 0.0, reach - half_b, half_a, reach, texture, pattern[P_HAZARD], 0.6)
    elif material == CLOTHES and upright and half_b > 0.15:
        n = _put_decal(out, o, n, 0.0, -0.1 * half_b, half_a, 0.05, texture, pattern[P_BAND], 0.0)
    return n


@inner
def _wear(
    shade: ShadeTables,
    material: int,
    seed: float,
    kind: int,
    face: int,
    half_a: float,
    half_b: float,
    out: NDArray[np.float32],
    o: int,
) -> None:
    """Fill the pattern of a remembered face."""
    table = shade.material
    column = TOP if kind == PLANE or face in (4, 5) else SIDE
    tex = as_index(table[material, column + TEXTURE])
    tile_a, tile_b = float(table[material, column + TILE_A]), float(table[material, column + TILE_B])
    if kind == BOX:
        if material == STEEL and face < 4 and half_a <= 0.07 and half_b >= 0.8:
            tex, tile_a, tile_b = as_index(shade.pattern[P_UPRIGHT]), 0.0, 0.1
        elif material == PALLET and face < 4 and half_b < 0.05:
            tex, tile_a, tile_b = as_index(shade.pattern[P_PLAIN]), 1.0, 1.0  # A single board of a pallet in parts.
    elif tile_a == 0.0 or tile_b == 0.0:
        tex, tile_a, tile_b = as_index(shade.pattern[P_PLAIN]), 1.0, 1.0  # Nothing to stretch over.
    wide, tall = float(1 << shade.texture[tex, LOG_WIDTH]), float(1 << shade.texture[tex, LOG_HEIGHT])
    shift = seed if material != CLADDING and kind != PLANE else 0.0
    out[o + F_SA] = wide / tile_a if tile_a > 0.0 else 0.5 * wide / max(half_a, 1e-6)
    out[o + F_OA] = shift * wide if tile_a > 0.0 else 0.5 * wide
    out[o + F_SB] = tall / tile_b if tile_b > 0.0 else 0.5 * tall / max(half_b, 1e-6)
    out[o + F_OB] = shift * tall if tile_b > 0.0 else 0.5 * tall
    out[o + F_TEXTURE], out[o + F_COVERS] = tex, shade.texture[tex, COVERS]
    out[o + F_HALF_A], out[o + F_HALF_B] = half_a, half_b
    out[o + F_RIM] = table[material, RIM] if kind == BOX else 0.0
    out[o + F_GLOSS], out[o + F_EXPONENT] = table[material, GLOSS], table[material, EXPONENT]
    out[o + F_DECALS] = 0.0
    if kind == BOX:
        out[o + F_DECALS] = _decorate(material, seed, face, half_a, half_b, table, shade.texture, shade.pattern, out, o)


@inner
def remember_face(
    tables: Tables,
    shade: ShadeTables,
    code: int,
    focal: float,
    position: FloatArray,
    rotation: FloatArray,
    out: NDArray[np.float32],
    o: int,
) -> None:
    """Work out what is constant over a plane face: see the columns of a remembered face."""
    p, face = code >> 3, code & 7
    solid, kind = tables.solid, tables.kind[p]
    axis = as_index(2)
    if kind == BOX:
        axis = face >> 1
    ia, ib = as_index(1 if axis == 0 else 0), as_index(1 if axis == 2 else 2)
    # Seen from outside, a runs to the right and b up (on upper sides: as the local y axis).
    flip = -1.0 if face in (0, 3, 4) else 1.0
    sign = 1.0 if face & 1 else -1.0
    if kind == TRIANGLE:
        # Two-sided: the normal that looks at the camera.
        up = solid[p, 12] * (position[0] - solid[p, 0]) + solid[p, 13] * (position[1] - solid[p, 1])
        sign = 1.0 if up + solid[p, 14] * (position[2] - solid[p, 2]) >= 0.0 else -1.0
    half_a, half_b = UNBOUNDED, UNBOUNDED
    if kind == BOX:
        half_a, half_b = solid[p, 3 + ia], solid[p, 3 + ib]
    for k in range(3):
        row = ia if k == 0 else (ib if k == 1 else axis)
        scale = flip if k == 0 else (1.0 if k == 1 else sign)
        x, y, z = scale * solid[p, 6 + 3 * row], scale * solid[p, 7 + 3 * row], scale * solid[p, 8 + 3 * row]
        u = (x * rotation[0, 0] + y * rotation[1, 0] + z * rotation[2, 0]) / focal
        v = (x * rotation[0, 1] + y * rotation[1, 1] + z * rotation[2, 1]) / focal
        at = x * (position[0] - solid[p, 0]) + y * (position[1] - solid[p, 1]) + z * (position[2] - solid[p, 2])
        if k < 2:
            out[o + FA + 4 * k], out[o + FA + 4 * k + 1], out[o + FA + 4 * k + 2] = x, y, z
            out[o + FA + 4 * k + 3] = at
            out[o + F_AU + 2 * k], out[o + F_AU + 2 * k + 1] = u, v
        else:
            out[o + F_NORMAL], out[o + F_NORMAL + 1], out[o + F_NORMAL + 2] = x, y, z
            if kind == BOX:
                at -= solid[p, 3 + axis]
            elif kind == CYLINDER:
                at -= solid[p, 4]
            height = max(at, 1e-6)
            out[o + F_WU], out[o + F_WV] = -u / height, -v / height
    material = as_index(shade.look[p, 3])
    _wear(shade, material, float(shade.look[p, 4]), kind, face, half_a, half_b, out, o)
    for i in range(3):
        out[o + F_RED + i] = shade.look[p, i]
    light, nx, ny = shade.light, out[o + F_NORMAL], out[o + F_NORMAL + 1]
    facing = nx * light[0] + ny * light[1] + out[o + F_NORMAL + 2] * light[2]
    out[o + F_FACING] = max(facing, 0.0) * (1.0 - shade.frame[SHADOW_DARK])
    out[o + F_BIAS] = shadow_bias(shade.frame, light[2], nx, ny, facing)
    up = 0.5 + 0.5 * out[o + F_NORMAL + 2]
    for i in range(3):
        out[o + F_SOFT + i] = light[GROUND + i] + (light[SKY + i] - light[GROUND + i]) * up


@part
def shadow_bias(frame: FloatArray, sun_z: float, nx: float, ny: float, facing: float) -> float:
    """Return by how many levels of the shadow map a surface may lie below it and still be lit.

    Over the half diagonal of a texel the height of a surface with normal n, that faces the light by the cosine
    ``facing``, changes by ``|n_xy| sun_z / facing`` times that.
    """
    slope = np.sqrt(nx * nx + ny * ny) * sun_z / max(facing, 1e-3)
    return 1.0 + (2e-3 + 0.75 * min(slope, 8.0) / frame[SHADOW_PER_METRE]) * frame[SHADOW_PER_HEIGHT]
