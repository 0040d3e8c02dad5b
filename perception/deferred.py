"""Deferred shading, compiled: from the faces and inverse depths of a picture to linear light, by runs of equal face.

Along a row a plane's coordinates times the inverse depth are linear in the column, so each pixel's place on its face is
one division and a few products. What is constant over a face (frame, pattern, normal, light) is worked out once per
picture and face; runs are shaded ``LANES`` pixels at a time, in loops of fixed length that the compiler turns into
vector instructions; light that changes slowly (ambient, lamps, highlights) is found at both ends of those and
interpolated. Round solids take a path of their own, pixel by pixel.

Light is radiance relative to a white diffuse surface under full light: albedo times irradiance. Highlights are
Blinn-Phong lobes, normalised by (n + 8) / 8 (Akenine-Moeller et al., *Real-time rendering*, 2018, 9.8, in these units).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.geometry import FloatArray
from ..common.primitives import BOX, CAPSULE, CYLINDER, PLANE, TRIANGLE
from .borrow import borrowed
from .compiled import compiled, inlined, inner, part
from .grid import STATIC_HIGH, IntArray
from .intersect import surface
from .lamps import NO_LAMPS, LampVolume, lamp_light, lamp_volume
from .materials import (
    CARTON,
    CLADDING,
    CLOTHES,
    COLUMN,
    EXPONENT,
    GLOSS,
    HAZARD_HEIGHT,
    LABEL,
    MATERIALS,
    PALLET,
    RIM,
    SIDE,
    STEEL,
    TAPE,
    TEXTURE,
    TILE_A,
    TILE_B,
    TOP,
    dressed_materials,
    material_table,
)
from .raycast import Tables, as_index
from .shading import BACK, CROWDING, GROUND, KEY, SKY, crowding, light_table
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
    ShadowMap,
    list_movers,
    mover_blocks,
    mover_shadows,
    shadow_map,
)
from .textures import (
    FIRST_LEVEL,
    LABEL_VARIANTS,
    LEVELS,
    LOG_HEIGHT,
    LOG_WIDTH,
    Atlas,
    built_in_atlas,
    dressed_atlas,
)

if TYPE_CHECKING:
    from .appearance import Appearance
    from .config import Lighting
    from .scene import Scene

LANES = 16
SLOTS = 1024
"""Faces remembered at once (a power of two)."""
NO_FACE = -2
ROOF_CLEARANCE = 0.8
"""The painted roof is this far [m] above the highest static solid."""
CROWDING_OFFSET = 0.3
"""Ambient light is looked up this far [m] off the surface."""
BILINEAR = 0.4
"""Below this many texels per pixel, squared, texels are interpolated."""
UNBOUNDED = 1e6
"""Half extent of faces without rim [m]."""
SHADOW_OFFSET = 1e-4
RIM_WIDTH = 0.008
"""Edges of faces are darkened over this width [m]."""

# Columns of a remembered face: axes a and b in ``map`` and the camera's place along them [m]; and so on.
FA, FB, F_HALF_A, F_HALF_B, F_RIM = 0, 4, 8, 9, 10
F_TEXTURE, F_SA, F_OA, F_SB, F_OB = 11, 12, 13, 14, 15
F_RED, F_NORMAL, F_FACING, F_BIAS, F_GLOSS, F_EXPONENT = 16, 19, 22, 23, 24, 25
F_DECALS, F_AU, F_AV, F_BU, F_BV, F_WU, F_WV = 26, 27, 28, 29, 30, 31, 32
F_DECAL, DECAL_COLUMNS = 34, 10
FACE_COLUMNS = 64
# A decal: middle and half size along a and b [m], then texture, and texels of a and b as scale and offset.
D_A, D_B, D_HALF_A, D_HALF_B, D_TEXTURE, D_SA, D_OA, D_SB, D_OB = range(9)

# Lanes of the buffer of a piece of a run.
L_Z, L_A, L_B, L_X, L_Y, L_H, L_S, L_T, L_R, L_G, L_BLUE, L_LIT, L_INDEX = range(13)
I_TEXEL, I_SHADOW, I_CELL = range(3)

# Textures that patterns on faces use: columns of ``ShadeTables.pattern``.
P_PLAIN, P_UPRIGHT, P_HAZARD, P_TAPE, P_PLINTH, P_BAND, P_ROOF, P_LABEL = range(8)
PATTERNS = ("plain", "upright", "hazard", "tape", "plinth", "band", "roof", "label0")


class ShadeTables(NamedTuple):
    """How a scene looks under a light, as the kernel reads it.

    Attributes:
        look: (P, 5) float32, see ``shading.looks``. material: (M, MATERIAL_COLUMNS) float32, see ``materials``.
        light: (15,) float64, see ``shading.light_table``. volume, corner: see ``shading.crowding_volume``.
        texels, texture: see ``textures.Atlas``. pattern: (8,) int32 rows of the textures that patterns are made of.
        shadow, frame: see ``shadows.ShadowMap``. lamps, lamp_frame: see ``lamps.LampVolume``.
    """

    look: NDArray[np.float32]
    material: NDArray[np.float32]
    light: FloatArray
    volume: NDArray[np.float32]
    corner: FloatArray
    texels: NDArray[np.uint32]
    texture: IntArray
    pattern: IntArray
    shadow: NDArray[np.uint32]
    frame: FloatArray
    lamps: NDArray[np.float32]
    lamp_frame: FloatArray


class ShadeScratch(NamedTuple):
    """Memory that ``shade_row`` works in; one for each thread, and ``begin_shading`` for each picture.

    Attributes:
        key: (SLOTS,) int32 and face: (SLOTS * FACE_COLUMNS,) float32: faces worked out in this picture.
        lane: (16 * LANES,) float32, word: (4 * LANES,) int32: a piece of a run.
        way: (4, width + LANES) float32: directions in ``map`` and inverse depths of a row. glow: (8,) float32.
        movers: see ``shadows.MoverShadows``.
    """

    key: IntArray
    face: NDArray[np.float32]
    lane: NDArray[np.float32]
    word: NDArray[np.int32]
    way: NDArray[np.float32]
    glow: NDArray[np.float32]
    movers: MoverShadows


def shade_tables(scene: Scene, lighting: Lighting) -> ShadeTables:
    """Return how a scene looks under a light.

    The last answer is kept until the scene's ``lamps``, ``looks`` or ``appearance`` are replaced or the light is
    another one; the shadow map and the lamps' light outlast changes of what they do not depend on.
    """
    kept = scene.__dict__.get("_shade_tables")
    if kept is not None:
        light, lamps, appearance, found = kept
        same = lamps is scene.lamps and appearance is scene.appearance and found.look is scene.looks
        if same and (light is lighting or light == lighting):
            return cast(ShadeTables, found)
    atlas, pattern, material = _patterns(scene.appearance)
    light = light_table(lighting)
    shadow = scene_shadow(scene, light[:3])
    volume, corner = scene.crowding
    light_of_lamps = scene_lamps(scene, lighting)
    made = ShadeTables(
        look=scene.looks,
        material=material,
        light=light,
        volume=volume,
        corner=corner,
        texels=atlas.texels,
        texture=atlas.table,
        pattern=pattern,
        shadow=shadow.texels,
        frame=shadow.frame,
        lamps=light_of_lamps.light,
        lamp_frame=light_of_lamps.frame,
    )
    scene.__dict__["_shade_tables"] = (lighting, scene.lamps, scene.appearance, made)
    return made


def scene_lamps(scene: Scene, lighting: Lighting) -> LampVolume:
    """Return the light of a scene's lamps, of which the last is kept but for its scale."""
    table = scene.lamps
    if not len(table) or lighting.lamps == 0.0:
        return NO_LAMPS
    key = (lighting.lamp_failing, lighting.lamp_seed, lighting.lamp_temperature)
    kept = scene.__dict__.get("_lamp_volume")
    if kept is None or kept[0] != key or kept[1] is not table:
        made = lamp_volume(
            scene.tables,
            scene._bounds,
            scene.static_count,
            table,
            failing=lighting.lamp_failing,
            seed=lighting.lamp_seed,
            temperature=lighting.lamp_temperature,
        )
        kept = (key, table, made)
        scene.__dict__["_lamp_volume"] = kept
    volume: LampVolume = kept[2]
    frame = volume.frame.copy()
    frame[7] *= lighting.lamps
    return volume._replace(frame=frame)


@lru_cache(maxsize=4)
def _patterns(appearance: Appearance | None) -> tuple[Atlas, IntArray, NDArray[np.float32]]:
    plain = appearance is None or (appearance.wear == 1.0 and not appearance.textures)
    atlas, rows = built_in_atlas() if appearance is None or plain else dressed_atlas(appearance)
    materials = MATERIALS if appearance is None else dressed_materials(appearance)
    material = material_table(materials, rows, appearance)
    return atlas, np.array([rows[name] for name in PATTERNS], np.int32), material


def scene_shadow(scene: Scene, towards: FloatArray) -> ShadowMap:
    """Return the shadow map of a scene for light from ``towards`` (3,); the last one is kept."""
    kept = scene.__dict__.get("_shadow")
    if kept is None or not np.array_equal(kept[0], towards):
        kept = (towards.copy(), shadow_map(scene.tables, scene._bounds, scene.static_count, towards))
        scene.__dict__["_shadow"] = kept
    shadow: ShadowMap = kept[1]
    return shadow


def shade_scratch(tables: ShadeTables, moving: int, width: int) -> ShadeScratch:
    """Return scratch memory for pictures so wide, of scenes with so many moving solids and the tables' shadow map."""
    return ShadeScratch(
        key=np.full(SLOTS, NO_FACE, np.int32),
        face=np.zeros(SLOTS * FACE_COLUMNS, np.float32),
        lane=np.tile(np.arange(LANES, dtype=np.float32), 16),
        word=np.zeros(4 * LANES, np.int32),
        way=np.zeros((4, width + LANES), np.float32),
        glow=np.zeros(8, np.float32),
        movers=mover_shadows(ShadowMap(tables.shadow, tables.frame), moving),
    )


def shade_picture(
    scene: Scene,
    lighting: Lighting,
    view: ArrayLike,
    position: ArrayLike,
    rotation: ArrayLike,
    inverse_depth: NDArray[np.float32],
    face: IntArray,
) -> NDArray[np.float32]:
    """Return the light of a picture.

    Args:
        scene, lighting: what is there. view: (6,) fx, fy, cx, cy [pixels], near, far [m].
        position: (3,) [m] in ``map``. rotation: (3, 3), columns are the axes of ``camera_optical`` in ``map``.
        inverse_depth: (height, width) float32 [1/m] and face: (height, width) int32, see
            ``camera_raster.visible_surfaces``.

    Returns:
        (height, width, 3) float32 linear red, green and blue; 1 is a white diffuse surface under full light.
    """
    tables = shade_tables(scene, lighting)
    out = np.empty((*face.shape, 3), np.float32)
    shade_rows(
        scene.tables,
        scene._bounds,
        as_index(scene.static_count),
        tables,
        np.ascontiguousarray(view, dtype=np.float64),
        np.ascontiguousarray(position, dtype=np.float64),
        np.ascontiguousarray(rotation, dtype=np.float64),
        inverse_depth,
        face,
        shade_scratch(tables, len(scene.moving), face.shape[1]),
        out,
    )
    return out


@inlined
def whole(value: float) -> int:
    """Return the greatest whole number not above a float32 value; turns into vector instructions, unlike a call."""
    cut = np.int32(value)
    return np.int32(cut - np.int32(value < np.float32(cut)))  # type: ignore[return-value]


@part
def texture_level(
    texture: IntArray, tex: int, sa: float, sb: float, au: float, av: float, bu: float, bv: float
) -> tuple[int, float]:
    """Return the mip level for a pixel, and its size in texels, squared.

    Args:
        texture: table of textures. tex: row. sa, sb: texels per metre. au, av, bu, bv: change of a and b [m] per pixel.

    The level fits the pixel's shorter side, and not less than half of the longer: a compromise of blur and shimmer.
    """
    along = (au * sa) ** 2 + (bu * sb) ** 2
    down = (av * sa) ** 2 + (bv * sb) ** 2
    size = max(min(along, down), 0.25 * max(along, down))
    level, left, last = as_index(0), size, texture[tex, LEVELS] - 1
    while left > 2.0 and level < last:
        left *= 0.25
        level += 1
    return level, size


@part
def mix_texels(texels: NDArray[np.uint32], first: int, log_width: int, log_height: int, s: float, t: float) -> int:
    """Return the texture at texel coordinates s, t > 0, between the middles of texels, as a packed texel."""
    x, y = np.float32(s - 0.5), np.float32(t - 0.5)
    i, j = whole(x), whole(y)
    u, v = int((x - np.float32(i)) * np.float32(16.0)), int((y - np.float32(j)) * np.float32(16.0))
    mask_a, mask_b = (1 << log_width) - 1, (1 << log_height) - 1
    i0, i1 = i & mask_a, (i + 1) & mask_a
    j0, j1 = first + ((j & mask_b) << log_width), first + (((j + 1) & mask_b) << log_width)
    total = np.uint64(128 * 0x0001000100010001)
    for k in range(4):
        texel = np.uint64(texels[(j1 if k > 1 else j0) + (i1 if k & 1 else i0)])
        weight = np.uint64((v if k > 1 else 16 - v) * (u if k & 1 else 16 - u))
        spread = (texel | (texel << np.uint64(24))) & np.uint64(0x00FF00FF00FF00FF)
        total += spread * weight
    total = (total >> np.uint64(8)) & np.uint64(0x00FF00FF00FF00FF)
    return np.int64((total | (total >> np.uint64(24))) & np.uint64(0xFFFFFFFF))  # type: ignore[return-value]


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
    out[o + F_TEXTURE] = tex
    out[o + F_HALF_A], out[o + F_HALF_B] = half_a, half_b
    out[o + F_RIM] = table[material, RIM] if kind == BOX else 0.0
    out[o + F_GLOSS], out[o + F_EXPONENT] = table[material, GLOSS], table[material, EXPONENT]
    out[o + F_DECALS] = 0.0
    if kind == BOX:
        out[o + F_DECALS] = _decorate(material, seed, face, half_a, half_b, table, shade.texture, shade.pattern, out, o)


@part
def _roof(
    shade: ShadeTables, clearance: float, x: float, y: float, dx: float, dy: float, dz: float, focal: float
) -> float:
    """Return the brightness of what lies behind everything: a roof that is painted, not modelled; else plain haze.

    Args:
        clearance: from the camera up to the roof [m]. x, y: of the camera [m]. dx, dy, dz: direction, planar depth 1.
        focal: focal length [pixels].
    """
    if clearance <= 0.0 or dz <= 1e-6:
        return 0.75
    t = clearance / dz
    near = 1.0 / (1.0 + 0.0004 * t * t)
    if near < 0.005:
        return 0.75
    tex = as_index(shade.pattern[P_ROOF])
    log_width, log_height = as_index(shade.texture[tex, LOG_WIDTH]), as_index(shade.texture[tex, LOG_HEIGHT])
    per = float(1 << log_width) * (1.0 / 30.0)
    size = per * t / focal
    level, left = as_index(0), 2.0 * size * size
    while left > 2.0 and level < shade.texture[tex, LEVELS] - 1:
        left *= 0.25
        level += 1
    scale = per / float(1 << level)
    texel = mix_texels(
        shade.texels,
        as_index(shade.texture[tex, FIRST_LEVEL + level]),
        max(log_width - level, as_index(0)),
        max(log_height - level, as_index(0)),
        (x + t * dx) * scale,
        (y + t * dy) * scale,
    )
    return 0.75 + near * ((texel & 255) * (2.0 / 128.0) - 0.75)


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
    """Return the share of ambient light that comes to a surface point."""
    full = crowding(
        shade.volume, shade.corner, x + CROWDING_OFFSET * nx, y + CROWDING_OFFSET * ny, z + CROWDING_OFFSET * nz
    )
    return 1.0 / (1.0 + CROWDING * full)


@part
def _fetch_texels(
    shade: ShadeTables,
    tex: int,
    sa: float,
    oa: float,
    sb: float,
    ob: float,
    slopes: tuple[float, float, float, float],
    count: int,
    lane: NDArray[np.float32],
    word: NDArray[np.int32],
) -> None:
    """Fill each lane's texel: the nearest of the level that fits, or a mixture of four where they are large."""
    texture, texels = shade.texture, shade.texels
    level, size = texture_level(texture, tex, sa, sb, slopes[0], slopes[1], slopes[2], slopes[3])
    log_width = max(as_index(texture[tex, LOG_WIDTH]) - level, as_index(0))
    log_height = max(as_index(texture[tex, LOG_HEIGHT]) - level, as_index(0))
    first = as_index(texture[tex, FIRST_LEVEL + level])
    # A side that is down to one texel shrinks no more.
    scale_a = np.float32(sa * float(1 << log_width) / float(1 << as_index(texture[tex, LOG_WIDTH])))
    scale_b = np.float32(sb * float(1 << log_height) / float(1 << as_index(texture[tex, LOG_HEIGHT])))
    move_a = np.float32(oa * float(1 << log_width) / float(1 << as_index(texture[tex, LOG_WIDTH])))
    move_b = np.float32(ob * float(1 << log_height) / float(1 << as_index(texture[tex, LOG_HEIGHT])))
    if log_width + log_height == 0:
        texel = np.int32(texels[first])
        for j in range(LANES):
            word[I_TEXEL * LANES + j] = texel
        return
    if size < BILINEAR:
        for j in range(count):
            word[I_TEXEL * LANES + j] = np.int32(
                mix_texels(
                    texels,
                    first,
                    log_width,
                    log_height,
                    lane[L_A * LANES + j] * scale_a + move_a,
                    lane[L_B * LANES + j] * scale_b + move_b,
                )
            )
        return
    mask_a, mask_b = np.int32((1 << log_width) - 1), np.int32((1 << log_height) - 1)
    base, shift = np.int32(first), np.int32(log_width)
    for j in range(LANES):
        a = whole(lane[L_A * LANES + j] * scale_a + move_a)
        b = whole(lane[L_B * LANES + j] * scale_b + move_b)
        word[I_TEXEL * LANES + j] = base + ((b & mask_b) << shift) + (a & mask_a)
    for j in range(count):
        word[I_TEXEL * LANES + j] = np.int32(texels[np.uint32(word[I_TEXEL * LANES + j])])


@part
def _unpack(
    face: NDArray[np.float32], o: int, rim: float, rise: float, per: float, lane: NDArray[np.float32], word: IntArray
) -> None:
    """Fill each lane's albedo from its texel, darkened at the face's rim: depth there, value at the rim and
    steps per metre."""
    half_a, half_b = face[o + F_HALF_A], face[o + F_HALF_B]
    red, green, blue = face[o + F_RED], face[o + F_RED + 1], face[o + F_RED + 2]
    scale, least = np.float32(1.0 / 128.0), np.float32(1.0 / 255.0)
    red, green, blue = red * scale, green * scale, blue * scale
    red1, green1, blue1 = (least - red) * least, (least - green) * least, (least - blue) * least
    one, nothing = np.float32(1.0), np.float32(0.0)
    for j in range(LANES):
        texel = word[I_TEXEL * LANES + j]
        off = min(half_a - abs(lane[L_A * LANES + j]), half_b - abs(lane[L_B * LANES + j]))
        dim = one - rim * min(max(rise - off * per, nothing), one)
        cover = np.float32(np.int32((texel >> 24) & 255))
        lane[L_R * LANES + j] = np.float32(np.int32(texel & 255)) * (red + cover * red1) * dim
        lane[L_G * LANES + j] = np.float32(np.int32((texel >> 8) & 255)) * (green + cover * green1) * dim
        lane[L_BLUE * LANES + j] = np.float32(np.int32((texel >> 16) & 255)) * (blue + cover * blue1) * dim


@part
def _lay_decals(
    shade: ShadeTables,
    face: NDArray[np.float32],
    o: int,
    slopes: tuple[float, float, float, float],
    count: int,
    lane: NDArray[np.float32],
) -> None:
    """Replace the albedo of lanes that lie within the face's rectangles."""
    texture, texels = shade.texture, shade.texels
    a_first, a_last = lane[L_A * LANES], lane[L_A * LANES + count - 1]
    b_first, b_last = lane[L_B * LANES], lane[L_B * LANES + count - 1]
    for n in range(as_index(face[o + F_DECALS])):
        k = F_DECAL + DECAL_COLUMNS * n
        a, b, half_a, half_b = face[o + k + D_A], face[o + k + D_B], face[o + k + D_HALF_A], face[o + k + D_HALF_B]
        if min(a_first, a_last) > a + half_a or max(a_first, a_last) < a - half_a:
            continue
        if min(b_first, b_last) > b + half_b or max(b_first, b_last) < b - half_b:
            continue
        tex = as_index(face[o + k + D_TEXTURE])
        sa, sb = face[o + k + D_SA], face[o + k + D_SB]
        level, _ = texture_level(texture, tex, sa, sb, slopes[0], slopes[1], slopes[2], slopes[3])
        log_width = max(as_index(texture[tex, LOG_WIDTH]) - level, as_index(0))
        log_height = max(as_index(texture[tex, LOG_HEIGHT]) - level, as_index(0))
        shrink_a = float(1 << log_width) / float(1 << as_index(texture[tex, LOG_WIDTH]))
        shrink_b = float(1 << log_height) / float(1 << as_index(texture[tex, LOG_HEIGHT]))
        first = as_index(texture[tex, FIRST_LEVEL + level])
        for j in range(count):
            la, lb = lane[L_A * LANES + j], lane[L_B * LANES + j]
            if abs(la - a) <= half_a and abs(lb - b) <= half_b:
                s = (la * sa + face[o + k + D_OA]) * shrink_a
                t = (lb * sb + face[o + k + D_OB]) * shrink_b
                i = whole(np.float32(s)) & ((1 << log_width) - 1)
                i += (whole(np.float32(t)) & ((1 << log_height) - 1)) << log_width
                texel = as_index(texels[first + i])
                cover = np.float32((texel >> 24) & 255) * np.float32(1.0 / 255.0)
                for c in range(3):
                    base = face[o + F_RED + c] * np.float32(1.0 / 128.0)
                    tint = np.float32((texel >> (8 * c)) & 255)
                    lane[(L_R + c) * LANES + j] = tint * (base + cover * (np.float32(1.0 / 255.0) - base))


@part
def _light_lanes(
    key: tuple[float, float, float],
    glow: NDArray[np.float32],
    lane: NDArray[np.float32],
) -> None:
    """Turn albedo into light: the key light where it comes to; ambient light and highlight (``glow``: four values at
    the first lane, then at the last) linear over the lanes."""
    step = np.float32(1.0 / (LANES - 1))
    r0, g0, b0, s0 = glow[0], glow[1], glow[2], glow[3]
    r1, g1, b1, s1 = (glow[4] - r0) * step, (glow[5] - g0) * step, (glow[6] - b0) * step, (glow[7] - s0) * step
    k0, k1, k2 = key
    for j in range(LANES):
        at = lane[L_INDEX * LANES + j]
        lit = lane[L_LIT * LANES + j]
        shine = (s0 + s1 * at) * lit
        lane[L_R * LANES + j] = lane[L_R * LANES + j] * (k0 * lit + r0 + r1 * at) + k0 * shine
        lane[L_G * LANES + j] = lane[L_G * LANES + j] * (k1 * lit + g0 + g1 * at) + k1 * shine
        lane[L_BLUE * LANES + j] = lane[L_BLUE * LANES + j] * (k2 * lit + b0 + b1 * at) + k2 * shine


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
    s = whole(np.float32((around / tile_a + shade.look[p, 4]) * float(1 << wide)))
    t = whole(np.float32((along / tile_b + shade.look[p, 4]) * float(1 << tall)))
    first = as_index(shade.texture[tex, FIRST_LEVEL + level])
    return as_index(shade.texels[first + ((t & ((1 << tall) - 1)) << wide) + (s & ((1 << wide) - 1))])


@inner
def _remember(
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


@part
def shadow_bias(frame: FloatArray, sun_z: float, nx: float, ny: float, facing: float) -> float:
    """Return by how many levels of the shadow map a surface may lie below it and still be lit.

    Over the half diagonal of a texel the height of a surface with normal n, that faces the light by the cosine
    ``facing``, changes by ``|n_xy| sun_z / facing`` times that.
    """
    slope = np.sqrt(nx * nx + ny * ny) * sun_z / max(facing, 1e-3)
    return 1.0 + (2e-3 + 0.75 * min(slope, 8.0) / frame[SHADOW_PER_METRE]) * frame[SHADOW_PER_HEIGHT]


@part
def _place_lanes(
    face: NDArray[np.float32],
    o: int,
    way: NDArray[np.float32],
    at: int,
    x0: float,
    y0: float,
    z0: float,
    lane: NDArray[np.float32],
) -> None:
    """Fill depth, coordinates on the face and place in ``map`` of each lane; x0, y0, z0: the camera's [m]."""
    ax, ay, az, a0 = face[o + FA], face[o + FA + 1], face[o + FA + 2], face[o + FA + 3]
    bx, by, bz, b0 = face[o + FB], face[o + FB + 1], face[o + FB + 2], face[o + FB + 3]
    least = np.float32(1e-6)
    for j in range(LANES):
        z = np.float32(1.0) / max(way[3, at + j], least)
        x, y, h = way[0, at + j] * z, way[1, at + j] * z, way[2, at + j] * z
        lane[L_Z * LANES + j] = z
        lane[L_A * LANES + j] = a0 + ax * x + ay * y + az * h
        lane[L_B * LANES + j] = b0 + bx * x + by * y + bz * h
        lane[L_X * LANES + j] = x0 + x
        lane[L_Y * LANES + j] = y0 + y
        lane[L_H * LANES + j] = z0 + h


@part
def _shadow_lanes(
    tables: Tables,
    shade: ShadeTables,
    movers: MoverShadows,
    moving: int,
    p: int,
    bias: float,
    lift: tuple[float, float, float],
    count: int,
    lane: NDArray[np.float32],
    word: IntArray,
) -> None:
    """Fill 1 for each lane that the key light comes to, 0 for the others. ``lift``: off the surface [m]."""
    frame, shadow = shade.frame, shade.shadow
    per = np.float32(frame[SHADOW_PER_METRE])
    kx, ky = np.float32(frame[SHADOW_KX]), np.float32(frame[SHADOW_KY])
    x0, y0 = np.float32(frame[SHADOW_X]), np.float32(frame[SHADOW_Y])
    last_x, last_y = np.float32(frame[SHADOW_COLUMNS] - 1.0), np.float32(frame[SHADOW_ROWS] - 1.0)
    low, steps = np.float32(frame[SHADOW_Z]), np.float32(frame[SHADOW_PER_HEIGHT])
    nothing = np.float32(0.0)
    wide, across = np.int32(frame[SHADOW_COLUMNS]), np.int32(movers.size[0])
    for j in range(LANES):
        h = lane[L_H * LANES + j]
        x = (lane[L_X * LANES + j] - h * kx - x0) * per
        y = (lane[L_Y * LANES + j] - h * ky - y0) * per
        i, k = np.int32(min(max(x, nothing), last_x)), np.int32(min(max(y, nothing), last_y))
        word[I_SHADOW * LANES + j] = k * wide + i
        word[I_CELL * LANES + j] = (k >> CELL_SHIFT) * across + (i >> CELL_SHIFT)
        lane[L_S * LANES + j] = x - np.float32(0.5)
        lane[L_T * LANES + j] = y - np.float32(0.5)
        lane[L_LIT * LANES + j] = (h - low) * steps + bias
    own = np.uint32(p & 0xFFFF)
    for j in range(count):
        texel = np.uint32(shadow[np.uint32(word[I_SHADOW * LANES + j])])
        height = np.float32(np.uint32(texel >> np.uint32(16)))
        clear = (height <= lane[L_LIT * LANES + j]) | (np.uint32(texel & np.uint32(0xFFFF)) == own)
        lane[L_LIT * LANES + j] = np.float32(clear)
    if moving > 0:
        everywhere = as_index(movers.head[len(movers.head) - 1])
        for j in range(count):
            link = as_index(movers.head[np.uint32(word[I_CELL * LANES + j])])
            if max(link, everywhere) >= 0 and lane[L_LIT * LANES + j] > nothing:
                for pool in range(2):
                    if mover_blocks(
                        tables,
                        movers,
                        link if pool == 0 else everywhere,
                        p,
                        lane[L_S * LANES + j],
                        lane[L_T * LANES + j],
                        lane[L_X * LANES + j] + lift[0],
                        lane[L_Y * LANES + j] + lift[1],
                        lane[L_H * LANES + j] + lift[2],
                        shade.light,
                    ):
                        lane[L_LIT * LANES + j] = nothing


@part
def _glow(
    shade: ShadeTables,
    gloss: float,
    exponent: float,
    nx: float,
    ny: float,
    nz: float,
    x: float,
    y: float,
    z: float,
    position: FloatArray,
) -> tuple[float, float, float, float]:
    """Return the light that comes to a surface point apart from the key light, and the key light's highlight."""
    light = shade.light
    sky, up = _open_sky(shade, x, y, z, nx, ny, nz), 0.5 + 0.5 * nz
    red = (light[GROUND] + (light[SKY] - light[GROUND]) * up) * sky
    green = (light[GROUND + 1] + (light[SKY + 1] - light[GROUND + 1]) * up) * sky
    blue = (light[GROUND + 2] + (light[SKY + 2] - light[GROUND + 2]) * up) * sky
    lamp_red, lamp_green, lamp_blue = lamp_light(shade.lamps, shade.lamp_frame, x, y, z, nx, ny, nz)
    shine = 0.0
    if gloss > 0.0:
        vx, vy, vz = position[0] - x, position[1] - y, position[2] - z
        shine = gloss * _highlight(exponent, nx, ny, nz, light[0], light[1], light[2], vx, vy, vz)
    return red + lamp_red, green + lamp_green, blue + lamp_blue, shine


@part
def _shade_run(
    tables: Tables,
    shade: ShadeTables,
    o: int,
    p: int,
    start: int,
    stop: int,
    focal: float,
    position: FloatArray,
    moving: int,
    scratch: ShadeScratch,
    glow: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Shade the columns start to stop - 1 of a row, which see one plane face, remembered from column o on."""
    face, lane, word, light, way = scratch.face, scratch.lane, scratch.word, shade.light, scratch.way
    nx, ny, nz = face[o + F_NORMAL], face[o + F_NORMAL + 1], face[o + F_NORMAL + 2]
    facing = face[o + F_FACING]
    gloss = face[o + F_GLOSS] if facing > 0.0 else np.float32(0.0)
    key = (np.float32(light[KEY] * facing), np.float32(light[KEY + 1] * facing), np.float32(light[KEY + 2] * facing))
    lift = (SHADOW_OFFSET * nx, SHADOW_OFFSET * ny, SHADOW_OFFSET * nz)
    x0, y0, z0 = np.float32(position[0]), np.float32(position[1]), np.float32(position[2])
    wu, wv, rim = face[o + F_WU], face[o + F_WV], face[o + F_RIM]
    for at in range(start, stop, LANES):
        count = min(as_index(LANES), stop - at)
        _place_lanes(face, o, way, at, x0, y0, z0, lane)
        middle = count >> 1
        z = lane[L_Z * LANES + middle]
        da, db = lane[L_A * LANES + middle] - face[o + FA + 3], lane[L_B * LANES + middle] - face[o + FB + 3]
        slopes = (
            z * (face[o + F_AU] - da * wu),
            z * (face[o + F_AV] - da * wv),
            z * (face[o + F_BU] - db * wu),
            z * (face[o + F_BV] - db * wv),
        )
        _fetch_texels(
            shade,
            as_index(face[o + F_TEXTURE]),
            face[o + F_SA],
            face[o + F_OA],
            face[o + F_SB],
            face[o + F_OB],
            slopes,
            count,
            lane,
            word,
        )
        half_pixel = 0.5 * z / focal
        per, reach = 1.0 / (half_pixel + 1e-6), max(RIM_WIDTH, half_pixel)
        dark = np.float32(rim * RIM_WIDTH / reach)
        _unpack(face, o, dark, np.float32(reach * per + 0.5), np.float32(per), lane, word)
        if face[o + F_DECALS] > 0.0:
            _lay_decals(shade, face, o, slopes, count, lane)
        if facing > 0.0:
            _shadow_lanes(tables, shade, scratch.movers, moving, p, face[o + F_BIAS], lift, count, lane, word)
        else:
            for j in range(LANES):
                lane[L_LIT * LANES + j] = np.float32(0.0)
        # Light at the first lane, unless known from the piece before, and at the last that counts.
        for k in range(0 if at == start else 1, 2):
            i = (count - 1) * k
            red, green, blue, shine = _glow(
                shade,
                gloss,
                face[o + F_EXPONENT],
                nx,
                ny,
                nz,
                lane[L_X * LANES + i],
                lane[L_Y * LANES + i],
                lane[L_H * LANES + i],
                position,
            )
            glow[4 * k], glow[4 * k + 1], glow[4 * k + 2], glow[4 * k + 3] = red, green, blue, shine
        if count < LANES:
            # As ``_light_lanes`` goes on to the last lane.
            grow = np.float32(LANES - 1) / np.float32(max(count - 1, 1))
            for k in range(4):
                glow[4 + k] = glow[k] + (glow[4 + k] - glow[k]) * grow
        _light_lanes(key, glow, lane)
        for k in range(4):
            glow[k] = glow[4 + k]
        for j in range(count):
            out[at + j, 0] = lane[L_R * LANES + j]
            out[at + j, 1] = lane[L_G * LANES + j]
            out[at + j, 2] = lane[L_BLUE * LANES + j]


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
    moving: int,
    scratch: ShadeScratch,
    out: NDArray[np.float32],
) -> None:
    """Shade the columns start to stop - 1 of a row, which see the round side of one solid."""
    tables, shade, scratch = borrowed(tables), borrowed(shade), borrowed(scratch)
    position, out = borrowed(position), borrowed(out)
    solid, kind, light, way = tables.solid, tables.kind[p], shade.light, scratch.way
    material = as_index(shade.look[p, 3])
    gloss, exponent = shade.material[material, GLOSS], shade.material[material, EXPONENT]
    banded = material == CLOTHES and kind == CAPSULE and solid[p, 4] > 0.15
    for u in range(start, stop):
        depth = 1.0 / max(way[3, u], np.float32(1e-6))
        x, y, h = position[0] + depth * way[0, u], position[1] + depth * way[1, u], position[2] + depth * way[2, u]
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
        red, green, blue, shine = _glow(shade, gloss, exponent, nx, ny, nz, x, y, h, position)
        for i in range(3):
            base = shade.look[p, i] * (1.0 / 128.0)
            albedo = ((texel >> (8 * i)) & 255) * (base + cover * (1.0 / 255.0 - base))
            ambient = red if i == 0 else (green if i == 1 else blue)
            out[u, i] = albedo * (light[KEY + i] * facing + ambient) + light[KEY + i] * facing * shine


@inner
def shade_row(
    tables: Tables,
    shade: ShadeTables,
    focal: float,
    position: FloatArray,
    rotation: FloatArray,
    ray: FloatArray,
    inverse_depth: NDArray[np.float32],
    face: IntArray,
    moving: int,
    scratch: ShadeScratch,
    out: NDArray[np.float32],
) -> None:
    """Shade a row of w samples; ``begin_shading`` first, once for each picture.

    Args:
        tables: the scene. shade: how it looks. focal: [pixels], tells how large a sample is.
        position: (3,) float64 [m] of the camera in ``map``. rotation: (3, 3) float64, columns are its axes in ``map``.
        ray: (w, 3) float64 directions in ``camera_optical``; a sample is at ``position + rotation @ ray / inverse``.
        inverse_depth: (w,) float32, 0 for nothing. face: (w,) int32 face codes.
        moving: what ``begin_shading`` returned. scratch: memory to work in, as wide as the row or wider.
        out: (w, 3) float32 linear light, written; 1 = white diffuse surface in full light.
    """
    tables, shade, scratch = borrowed(tables), borrowed(shade), borrowed(scratch)
    position, rotation, ray = borrowed(position), borrowed(rotation), borrowed(ray)
    inverse_depth, face, out = borrowed(inverse_depth), borrowed(face), borrowed(out)
    width = as_index(face.shape[0])
    way, glow = scratch.way, scratch.glow
    for i in range(3):
        r0, r1, r2 = rotation[i, 0], rotation[i, 1], rotation[i, 2]
        for u in range(width):
            way[i, u] = r0 * ray[u, 0] + r1 * ray[u, 1] + r2 * ray[u, 2]
    for u in range(width):
        way[3, u] = inverse_depth[u]
    roof = tables.grid[STATIC_HIGH] + ROOF_CLEARANCE - position[2]
    u = as_index(0)
    while u < width:
        code = as_index(face[u])
        stop = u + 1
        while stop < width and face[stop] == code:
            stop += 1
        if code < 0:
            for w in range(u, stop):
                sky = _roof(shade, roof, position[0], position[1], way[0, w], way[1, w], way[2, w], focal)
                for i in range(3):
                    out[w, i] = shade.light[BACK + i] * sky
        elif (code & 7) >= 6:
            shade_round(tables, shade, code >> 3, u, stop, focal, position, moving, scratch, out)
        else:
            slot = (code ^ (code >> 10)) & (SLOTS - 1)
            o = slot * FACE_COLUMNS
            if scratch.key[slot] != code:
                scratch.key[slot] = code
                _remember(tables, shade, code, focal, position, rotation, scratch.face, o)
            _shade_run(tables, shade, o, code >> 3, u, stop, focal, position, moving, scratch, glow, out)
        u = stop


@inner
def begin_shading(
    tables: Tables, bounds: FloatArray, static_count: int, shade: ShadeTables, scratch: ShadeScratch
) -> int:
    """Prepare for the rows of a picture: forget the faces of the last one, and list the shadows of what moves.

    Returns:
        How many solids move, for ``shade_row``.
    """
    scratch.key[:] = NO_FACE
    return list_movers(tables, bounds, static_count, shade.frame, scratch.movers)


@compiled
def shade_rows(
    tables: Tables,
    bounds: FloatArray,
    static_count: int,
    shade: ShadeTables,
    view: FloatArray,
    position: FloatArray,
    rotation: FloatArray,
    inverse_depth: NDArray[np.float32],
    face: IntArray,
    scratch: ShadeScratch,
    out: NDArray[np.float32],
) -> None:
    """Fill ``out`` (height, width, 3) float32 with linear light; see ``shade_picture``."""
    ray = np.empty((face.shape[1], 3))
    moving = begin_shading(tables, bounds, static_count, shade, scratch)
    for v in range(face.shape[0]):
        for u in range(face.shape[1]):
            ray[u, 0] = (u - view[2]) / view[0]
            ray[u, 1] = (v - view[3]) / view[1]
            ray[u, 2] = 1.0
        shade_row(tables, shade, view[0], position, rotation, ray, inverse_depth[v], face[v], moving, scratch, out[v])
