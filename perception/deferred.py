"""Deferred shading, compiled: from the faces and inverse depths of a picture to linear light, by runs of equal face.

Along a row a plane's coordinates times the inverse depth are linear in the column, so each pixel's place on its face is
one division and a few products. What is constant over a face (frame, pattern, normal, light) is worked out once per
picture and face; runs are shaded ``LANES`` pixels at a time as vectors (``lanes``); light that changes slowly (ambient,
lamps, highlights) is found at both ends of those and interpolated. Round solids take a path of their own, pixel by
pixel.

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
from .compiled import compiled, inner, part
from .grid import STATIC_HIGH, IntArray
from .intersect import surface
from .lamps import NO_LAMPS, LampVolume, lamp_light, lamp_volume
from .lanes import (
    LANES,
    Lanes,
    absolute,
    any_lane,
    bits_of,
    float_of,
    floor,
    gather,
    greater,
    item,
    lane,
    lane_numbers,
    leading,
    lesser,
    load,
    padded,
    put,
    row_stride,
    select,
    single,
    spread,
    store,
    to_float,
    to_int,
    unsigned,
)
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
from .shading import BACK, CROWDING, GROUND, KEY, SKY, light_table
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
    COVERS,
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

SLOTS = 1024
"""Faces remembered at once (a power of two)."""
SEGMENTS, SEGMENT_SHIFT, SEGMENT, SEGMENT_ROWS = 1024, 5, 32, 4
"""Segments of rows remembered at once (a power of two); binary logarithm and number of their columns; rows for which
one serves: light that changes slowly, and the mip level, are found once for so many pixels of a face."""
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
F_SOFT, F_COVERS = 33, 36
F_DECAL, DECAL_COLUMNS = 37, 10
FACE_COLUMNS = 64
# A decal: middle and half size along a and b [m], then texture, and texels of a and b as scale and offset.
D_A, D_B, D_HALF_A, D_HALF_B, D_TEXTURE, D_SA, D_OA, D_SB, D_OB = range(9)

# Columns of a segment: light at its first column, its change up to the last, first column, steps per column; mip level
# and the size of a pixel in its texels, squared.
S_GLOW, S_CHANGE, S_START, S_STEP, S_LEVEL, S_SIZE, SEGMENT_COLUMNS = 0, 4, 8, 9, 10, 11, 12

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
        lane: (6 * LANES,) float32, word: (LANES,) int32: vectors whose lanes are dealt with one by one.
        way: (3 * stride,) float32, see ``lanes.row_stride``: directions x, y, z in ``map`` of a row's samples, planar
            depth 1.
        segment: (SEGMENTS * SEGMENT_COLUMNS,) float32: what changes slowly over faces; segment_of: (SEGMENTS * 4,)
            int32: face code, row, first and last column of each.
        movers: see ``shadows.MoverShadows``.
    """

    key: IntArray
    face: NDArray[np.float32]
    lane: NDArray[np.float32]
    word: NDArray[np.int32]
    way: NDArray[np.float32]
    segment: NDArray[np.float32]
    segment_of: NDArray[np.int32]
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
        lane=np.zeros(6 * LANES, np.float32),
        word=np.zeros(LANES, np.int32),
        way=np.zeros(3 * row_stride(width), np.float32),
        segment=np.zeros(SEGMENTS * SEGMENT_COLUMNS, np.float32),
        segment_of=np.full(SEGMENTS * 4, NO_FACE, np.int32),
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
    out = np.empty((len(face), 3, row_stride(face.shape[1])), np.float32)
    shade_rows(
        scene.tables,
        scene._bounds,
        as_index(scene.static_count),
        tables,
        np.ascontiguousarray(view, dtype=np.float64),
        np.ascontiguousarray(position, dtype=np.float64),
        np.ascontiguousarray(rotation, dtype=np.float64),
        padded(inverse_depth),
        padded(face),
        shade_scratch(tables, len(scene.moving), face.shape[1]),
        out.reshape(len(face), -1),
    )
    return np.ascontiguousarray(out[:, :, : face.shape[1]].transpose(0, 2, 1))


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


@part
def _shade_roof(
    shade: ShadeTables,
    clearance: float,
    position: FloatArray,
    focal: float,
    way: NDArray[np.float32],
    at: int,
    count: int,
    out: NDArray[np.float32],
    into: int,
) -> None:
    """Shade ``count`` columns from ``at`` on that see nothing: a roof that is painted, not modelled; else plain haze.

    ``clearance``: from the camera up to the roof [m].
    """
    across = unsigned(len(way)) // unsigned(3)
    level = spread(single(0.75))
    steep = item(way, across + across + at + (count >> unsigned(1)))
    least = single(1e-6)
    if clearance > 0.0 and steep > least and clearance < 700.0 * steep:
        tex = unsigned(shade.pattern[P_ROOF])
        per = single(float(1 << as_index(shade.texture[tex, LOG_WIDTH])) * (1.0 / 30.0))
        dz = load(way, across + across + at)
        t = single(clearance) / greater(dz, least)
        near = single(1.0) / (t * t * single(0.0004) + single(1.0))
        s = (t * load(way, at) + single(position[0])) * per
        q = (t * load(way, across + at) + single(position[1])) * per
        size = single(np.sqrt(2.0)) * per * single(clearance) / (steep * single(focal))
        nothing, one = single(0.0), single(1.0)
        mip, _ = texture_level(shade.texture, tex, one, one, size, nothing, nothing, size)
        seen = to_float(_mixed_texels(shade, tex, mip, s, q) & 255) * single(2.0 / 128.0) - single(0.75)
        level = level + select(dz > least, near * seen, nothing)
    for i in range(unsigned(3)):
        store(out, into + i * across + at, level * single(shade.light[unsigned(BACK) + i]))


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
def power_of_half(power: int) -> float:
    """Return 2^-power as float32, power 0 to 126."""
    return float_of(np.int32((np.int64(127) - np.int64(power)) << 23))


@part
def whole_lanes(value: Lanes) -> Lanes:
    """Return the greatest whole numbers (int32) not above values, which are cut off at a thousand million."""
    most = single(1e9)
    return to_int(floor(lesser(greater(value, -most), most)))


@part
def _nearest_texels(shade: ShadeTables, tex: int, level: int, s: Lanes, t: Lanes) -> Lanes:
    """Return the texels of a mip level at coordinates s, t in texels of the full size."""
    wide, tall = as_index(shade.texture[tex, LOG_WIDTH]), as_index(shade.texture[tex, LOG_HEIGHT])
    less_a, less_b = min(level, wide), min(level, tall)
    a, b = whole_lanes(s * power_of_half(less_a)), whole_lanes(t * power_of_half(less_b))
    mask_a, mask_b = np.int32((1 << (wide - less_a)) - 1), np.int32((1 << (tall - less_b)) - 1)
    row = ((b & mask_b) << np.int32(wide - less_a)) + shade.texture[tex, FIRST_LEVEL + level]
    return gather(shade.texels, row + (a & mask_a))


@part
def _mixed_texels(shade: ShadeTables, tex: int, level: int, s: Lanes, t: Lanes) -> Lanes:
    """As ``_nearest_texels``, interpolated between the middles of four, in steps of 1/16."""
    wide, tall = as_index(shade.texture[tex, LOG_WIDTH]), as_index(shade.texture[tex, LOG_HEIGHT])
    less_a, less_b = min(level, wide), min(level, tall)
    x = s * power_of_half(less_a) - single(0.5)
    y = t * power_of_half(less_b) - single(0.5)
    a, b = whole_lanes(x), whole_lanes(y)
    u, v = to_int((x - to_float(a)) * single(16.0)) & 15, to_int((y - to_float(b)) * single(16.0)) & 15
    mask_a, mask_b = np.int32((1 << (wide - less_a)) - 1), np.int32((1 << (tall - less_b)) - 1)
    shift, first = np.int32(wide - less_a), shade.texture[tex, FIRST_LEVEL + level]
    a0, a1 = a & mask_a, (a + 1) & mask_a
    b0, b1 = ((b & mask_b) << shift) + first, (((b + 1) & mask_b) << shift) + first
    u0, v0 = 16 - u, 16 - v
    # Two channels at once in the halves of each word; the weights' sum is 256.
    low, high = spread(np.int32(0x00800080)), spread(np.int32(0x00800080))
    texel, weight = gather(shade.texels, b0 + a0), v0 * u0
    low, high = low + (texel & 0x00FF00FF) * weight, high + ((texel >> 8) & 0x00FF00FF) * weight
    texel, weight = gather(shade.texels, b0 + a1), v0 * u
    low, high = low + (texel & 0x00FF00FF) * weight, high + ((texel >> 8) & 0x00FF00FF) * weight
    texel, weight = gather(shade.texels, b1 + a0), v * u0
    low, high = low + (texel & 0x00FF00FF) * weight, high + ((texel >> 8) & 0x00FF00FF) * weight
    texel, weight = gather(shade.texels, b1 + a1), v * u
    low, high = low + (texel & 0x00FF00FF) * weight, high + ((texel >> 8) & 0x00FF00FF) * weight
    return ((low >> 8) & 0x00FF00FF) | (high & -16711936)


@part
def _tinted(channel: Lanes, cover: Lanes, color: float) -> Lanes:
    """Return the albedo of texels in one channel: that of the thing times the texel, or, where it covers, the texel."""
    base = color * single(1.0 / 128.0)
    return to_float(channel & 255) * (cover * ((single(1.0 / 255.0) - base) * single(1.0 / 255.0)) + base)


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


@part
def _lit_lanes(
    tables: Tables,
    shade: ShadeTables,
    scratch: ShadeScratch,
    moving: int,
    p: int,
    bias: float,
    lift: tuple[float, float, float],
    x: Lanes,
    y: Lanes,
    h: Lanes,
    count: int,
) -> Lanes:
    """Return 1 for each lane that the key light comes to, 0 for the others; places [m] in ``map``.

    ``lift``: off the surface [m]. ``count``: lanes that matter.
    """
    frame, movers = shade.frame, scratch.movers
    per = single(frame[SHADOW_PER_METRE])
    column = (x - h * single(frame[SHADOW_KX]) - single(frame[SHADOW_X])) * per
    row = (y - h * single(frame[SHADOW_KY]) - single(frame[SHADOW_Y])) * per
    nothing = single(0.0)
    i = to_int(lesser(greater(column, nothing), single(frame[SHADOW_COLUMNS] - 1.0)))
    k = to_int(lesser(greater(row, nothing), single(frame[SHADOW_ROWS] - 1.0)))
    texel = gather(shade.shadow, k * np.int32(frame[SHADOW_COLUMNS]) + i)
    level = (h - single(frame[SHADOW_Z])) * single(frame[SHADOW_PER_HEIGHT]) + single(bias)
    clear = (to_float(texel >> 16) <= level) | ((texel & 0xFFFF) == np.int32(p & 0xFFFF))
    lit = select(clear, single(1.0), nothing)
    if moving > 0:
        across = np.int64(movers.size[0])
        everywhere = as_index(item(movers.head, len(movers.head) - 1))
        # The lanes lie on a line, so their cells lie within those of its ends.
        last = count - unsigned(1)
        i0, i1 = np.int64(lane(i, 0) >> CELL_SHIFT), np.int64(lane(i, last) >> CELL_SHIFT)
        k0, k1 = np.int64(lane(k, 0) >> CELL_SHIFT), np.int64(lane(k, last) >> CELL_SHIFT)
        near = everywhere >= 0
        for b in range(min(k0, k1), max(k0, k1) + 1):
            for a in range(min(i0, i1), max(i0, i1) + 1):
                near |= item(movers.head, b * across + a) >= 0
        if near:
            memory, word = scratch.lane, scratch.word
            store(memory, 0, lit)
            store(memory, LANES, column - single(0.5))
            store(memory, 2 * LANES, row - single(0.5))
            store(memory, 3 * LANES, x + single(lift[0]))
            store(memory, 4 * LANES, y + single(lift[1]))
            store(memory, 5 * LANES, h + single(lift[2]))
            store(word, 0, (k >> CELL_SHIFT) * np.int32(across) + (i >> CELL_SHIFT))
            for j in range(count):
                link = as_index(movers.head[np.uint32(word[j])])
                if max(link, everywhere) >= 0 and memory[j] > nothing:
                    for pool in range(2):
                        if mover_blocks(
                            tables,
                            movers,
                            link if pool == 0 else everywhere,
                            p,
                            memory[LANES + j],
                            memory[2 * LANES + j],
                            memory[3 * LANES + j],
                            memory[4 * LANES + j],
                            memory[5 * LANES + j],
                            shade.light,
                        ):
                            memory[j] = nothing
            lit = load(memory, 0)
    return lit


@part
def _glow(
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


@part
def _slopes(
    face: NDArray[np.float32], o: int, way: NDArray[np.float32], inverse: NDArray[np.float32], first: int, u: int
) -> tuple[float, float, float, float]:
    """Return by how much a and then b [m] change to the right and down from pixel to pixel at column u."""
    across = unsigned(len(way)) // unsigned(3)
    depth = single(1.0) / max(item(inverse, first + u), single(1e-6))
    x, y, h = depth * item(way, u), depth * item(way, across + u), depth * item(way, across + across + u)
    da = item(face, o + FA) * x + item(face, o + FA + 1) * y + item(face, o + FA + 2) * h
    db = item(face, o + FB) * x + item(face, o + FB + 1) * y + item(face, o + FB + 2) * h
    wu, wv = item(face, o + F_WU), item(face, o + F_WV)
    au, av = depth * (item(face, o + F_AU) - da * wu), depth * (item(face, o + F_AV) - da * wv)
    return au, av, depth * (item(face, o + F_BU) - db * wu), depth * (item(face, o + F_BV) - db * wv)


@part
def _segment(
    shade: ShadeTables,
    o: int,
    code: int,
    first: int,
    at: int,
    count: int,
    row: int,
    position: FloatArray,
    inverse: NDArray[np.float32],
    face_code: IntArray,
    scratch: ShadeScratch,
) -> int:
    """Return the place in ``scratch.segment`` of what changes slowly over a face, about the columns of a piece.

    It is that of a segment of up to ``SEGMENT`` columns, found in this row or up to ``SEGMENT_ROWS - 1`` rows before.
    """
    segment, of, face, way = scratch.segment, scratch.segment_of, scratch.face, scratch.way
    slot = (unsigned(code) * unsigned(5) + (at >> unsigned(SEGMENT_SHIFT))) & unsigned(SEGMENTS - 1)
    e, k = slot * unsigned(SEGMENT_COLUMNS), slot * unsigned(4)
    same = item(of, k) == code and row - item(of, k + 1) < SEGMENT_ROWS and row >= item(of, k + 1)
    if same and item(of, k + 2) <= np.int32(at) + 3 and np.int32(at + count) <= item(of, k + 3) + 4:
        return e
    end = at + count
    if count == unsigned(LANES):
        end += leading(load(face_code, first + end) == code)
        end = min(end, unsigned(face_code.shape[1]))
    last = end - unsigned(1)
    of[k], of[k + 1], of[k + 2], of[k + 3] = code, row, np.int32(at), np.int32(last)
    au, av, bu, bv = _slopes(face, o, way, inverse, first, (at + last) >> unsigned(1))
    tex = unsigned(item(face, o + F_TEXTURE))
    level, size = texture_level(shade.texture, tex, item(face, o + F_SA), item(face, o + F_SB), au, av, bu, bv)
    segment[e + S_LEVEL], segment[e + S_SIZE] = level, size
    segment[e + S_START] = at
    segment[e + S_STEP] = single(1.0) / single(max(last - at, unsigned(1)))
    gloss = item(face, o + F_GLOSS) if item(face, o + F_FACING) > single(0.0) else single(0.0)
    across = unsigned(len(way)) // unsigned(3)
    for side in range(unsigned(2)):
        v = last if side > 0 else at
        depth = single(1.0) / max(item(inverse, first + v), single(1e-6))
        red, green, blue, shine = _glow(
            shade,
            gloss,
            item(face, o + F_EXPONENT),
            (item(face, o + F_SOFT), item(face, o + F_SOFT + 1), item(face, o + F_SOFT + 2)),
            item(face, o + F_NORMAL),
            item(face, o + F_NORMAL + 1),
            item(face, o + F_NORMAL + 2),
            single(position[0]) + depth * item(way, v),
            single(position[1]) + depth * item(way, across + v),
            single(position[2]) + depth * item(way, across + across + v),
            position,
        )
        put = e + (unsigned(S_CHANGE) if side > 0 else unsigned(S_GLOW))
        segment[put], segment[put + 1], segment[put + 2], segment[put + 3] = red, green, blue, shine
    for i in range(unsigned(4)):
        segment[e + S_CHANGE + i] -= segment[e + S_GLOW + i]
    return e


@part
def _shade_piece(
    tables: Tables,
    shade: ShadeTables,
    o: int,
    code: int,
    first: int,
    at: int,
    count: int,
    row: int,
    focal: float,
    position: FloatArray,
    inverse: NDArray[np.float32],
    face_code: IntArray,
    moving: int,
    scratch: ShadeScratch,
    out: NDArray[np.float32],
    into: int,
) -> None:
    """Shade ``count`` columns from ``at`` on that see one plane face, remembered from column o on.

    A whole vector is written: what is beyond the count is not of it. ``first``: the row's first sample in ``inverse``
    and ``face_code``.
    """
    face, light, way, segment = scratch.face, shade.light, scratch.way, scratch.segment
    across = unsigned(len(way)) // unsigned(3)
    way_y, way_z = across, across + across
    one, nothing, least = single(1.0), single(0.0), single(1e-6)
    a_x, a_y, a_z, a_0 = item(face, o + FA), item(face, o + FA + 1), item(face, o + FA + 2), item(face, o + FA + 3)
    b_x, b_y, b_z, b_0 = item(face, o + FB), item(face, o + FB + 1), item(face, o + FB + 2), item(face, o + FB + 3)
    z = one / greater(load(inverse, first + at), least)
    x, y, h = load(way, at) * z, load(way, way_y + at) * z, load(way, way_z + at) * z
    a = x * a_x + y * a_y + h * a_z + a_0
    b = x * b_x + y * b_y + h * b_z + b_0
    e = _segment(shade, o, code, first, at, count, row, position, inverse, face_code, scratch)
    tex = unsigned(item(face, o + F_TEXTURE))
    scale_a, scale_b = item(face, o + F_SA), item(face, o + F_SB)
    level = as_index(item(segment, e + S_LEVEL))
    s, t = a * scale_a + item(face, o + F_OA), b * scale_b + item(face, o + F_OB)
    if item(segment, e + S_SIZE) < single(BILINEAR):
        texel = _mixed_texels(shade, tex, level, s, t)
    else:
        texel = _nearest_texels(shade, tex, level, s, t)
    red, green, blue = item(face, o + F_RED), item(face, o + F_RED + 1), item(face, o + F_RED + 2)
    if item(face, o + F_COVERS) > nothing:
        cover = to_float(texel >> 24)
        r, g, c = _tinted(texel, cover, red), _tinted(texel >> 8, cover, green), _tinted(texel >> 16, cover, blue)
    else:
        per = single(1.0 / 128.0)
        r, g = to_float(texel & 255) * (red * per), to_float((texel >> 8) & 255) * (green * per)
        c = to_float((texel >> 16) & 255) * (blue * per)
    rim = item(face, o + F_RIM)
    if rim > nothing:
        depth = one / max(item(inverse, first + at + (count >> unsigned(1))), least)
        half_pixel = single(0.5) * depth / single(focal)
        per, reach = one / (half_pixel + least), max(single(RIM_WIDTH), half_pixel)
        inside = lesser(item(face, o + F_HALF_A) - absolute(a), item(face, o + F_HALF_B) - absolute(b))
        rise = lesser(greater((reach * per + single(0.5)) - inside * per, nothing), one)
        dim = one - rise * (rim * single(RIM_WIDTH) / reach)
        r, g, c = r * dim, g * dim, c * dim
    for n in range(unsigned(item(face, o + F_DECALS))):
        k = o + unsigned(F_DECAL) + unsigned(DECAL_COLUMNS) * n
        within = (absolute(a - item(face, k + D_A)) <= item(face, k + D_HALF_A)) & (
            absolute(b - item(face, k + D_B)) <= item(face, k + D_HALF_B)
        )
        if any_lane(within):
            over = unsigned(item(face, k + D_TEXTURE))
            scale_a, scale_b = item(face, k + D_SA), item(face, k + D_SB)
            au, av, bu, bv = _slopes(face, o, scratch.way, inverse, first, at + (count >> unsigned(1)))
            level, _ = texture_level(shade.texture, over, scale_a, scale_b, au, av, bu, bv)
            s, t = a * scale_a + item(face, k + D_OA), b * scale_b + item(face, k + D_OB)
            texel = _nearest_texels(shade, over, level, s, t)
            cover = to_float(texel >> 24)
            r = select(within, _tinted(texel, cover, red), r)
            g = select(within, _tinted(texel >> 8, cover, green), g)
            c = select(within, _tinted(texel >> 16, cover, blue), c)
    facing = item(face, o + F_FACING)
    x0, y0, z0 = single(position[0]), single(position[1]), single(position[2])
    along = (to_float(lane_numbers()) + (single(at) - item(segment, e + S_START))) * item(segment, e + S_STEP)
    along = lesser(greater(along, nothing), one)
    soft_r = along * item(segment, e + S_CHANGE) + item(segment, e + S_GLOW)
    soft_g = along * item(segment, e + S_CHANGE + 1) + item(segment, e + S_GLOW + 1)
    soft_c = along * item(segment, e + S_CHANGE + 2) + item(segment, e + S_GLOW + 2)
    if facing > nothing:
        off = single(SHADOW_OFFSET)
        lift = (
            off * item(face, o + F_NORMAL), off * item(face, o + F_NORMAL + 1), off * item(face, o + F_NORMAL + 2)
        )  # fmt: skip
        bias = item(face, o + F_BIAS)
        lit = _lit_lanes(tables, shade, scratch, moving, as_index(code >> 3), bias, lift, x + x0, y + y0, h + z0, count)
        shine = lit * (along * item(segment, e + S_CHANGE + 3) + item(segment, e + S_GLOW + 3))
        k0, k1, k2 = single(light[KEY]), single(light[KEY + 1]), single(light[KEY + 2])
        lit = lit * facing
        r = r * (lit * k0 + soft_r) + shine * (facing * k0)
        g = g * (lit * k1 + soft_g) + shine * (facing * k1)
        c = c * (lit * k2 + soft_c) + shine * (facing * k2)
    else:
        r, g, c = r * soft_r, g * soft_g, c * soft_c
    store(out, into + at, r)
    store(out, into + way_y + at, g)
    store(out, into + way_z + at, c)


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
        red, green, blue, shine = _glow(
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


@inner
def shade_row(
    tables: Tables,
    shade: ShadeTables,
    focal: float,
    position: FloatArray,
    rotation: FloatArray,
    inverse: NDArray[np.float32],
    face: IntArray,
    v: int,
    moving: int,
    scratch: ShadeScratch,
    out: NDArray[np.float32],
    into: int,
) -> None:
    """Shade row v of w samples; ``begin_shading`` first, once for each picture, and a function that fills the way.

    Args:
        tables: the scene. shade: how it looks. focal: [pixels], tells how large a sample is.
        position: (3,) float64 [m] of the camera in ``map``. rotation: (3, 3) float64, columns are its axes in ``map``.
        inverse: (h, w) float32 inverse depths [1/m], 0 for nothing. face: (h, w) int32 face codes. Of both ``LANES``
            numbers beyond the last are read.
        moving: what ``begin_shading`` returned. scratch: memory to work in, for rows as wide or wider.
        out: any number of rows (3, stride) float32, ``stride`` being that of ``scratch.way``, for linear red, green and
            blue; 1 = white diffuse surface in full light. That which begins with element ``into`` is written, of each
            colour up to ``LANES`` more than w.
    """
    tables, shade, scratch = borrowed(tables), borrowed(shade), borrowed(scratch)
    position, rotation = borrowed(position), borrowed(rotation)
    inverse, face, out = borrowed(inverse), borrowed(face), borrowed(out)
    width, way, base = unsigned(face.shape[1]), scratch.way, unsigned(into)
    first = unsigned(v) * width
    roof = tables.grid[STATIC_HIGH] + ROOF_CLEARANCE - position[2]
    u = unsigned(0)
    while u < width:
        code = item(face, first + u)
        count = min(leading(load(face, first + u) == code), width - u)
        if code < 0:
            _shade_roof(shade, roof, position, focal, way, u, count, out, base)
        elif (code & 7) >= 6:
            shade_round(
                tables, shade, code >> 3, u, u + count, focal, position, inverse, first, moving, scratch, out, base
            )
        else:
            slot = unsigned((code ^ (code >> 10)) & (SLOTS - 1))
            o = slot * unsigned(FACE_COLUMNS)
            if scratch.key[slot] != code:
                scratch.key[slot] = code
                _remember(tables, shade, as_index(code), focal, position, rotation, scratch.face, as_index(o))
            _shade_piece(
                tables,
                shade,
                o,
                code,
                first,
                u,
                count,
                np.int32(v),
                focal,
                position,
                inverse,
                face,
                moving,
                scratch,
                out,
                base,
            )
        u += count


@inner
def pinhole_way(view: FloatArray, rotation: FloatArray, v: int, way: NDArray[np.float32]) -> None:
    """Fill the directions in ``map``, planar depth 1, of row v of a pinhole view: see ``ShadeScratch.way``."""
    across = as_index(len(way) // 3)
    y = (v - view[3]) / view[1]
    for i in range(3):
        first = single(rotation[i, 1] * y + rotation[i, 2] - rotation[i, 0] * view[2] / view[0])
        step = single(rotation[i, 0] / view[0])
        for u in range(0, across, LANES):
            store(way, i * across + u, to_float(lane_numbers() + np.int32(u)) * step + first)


@inner
def begin_shading(
    tables: Tables, bounds: FloatArray, static_count: int, shade: ShadeTables, scratch: ShadeScratch
) -> int:
    """Prepare for the rows of a picture: forget the faces of the last one, and list the shadows of what moves.

    Returns:
        How many solids move, for ``shade_row``.
    """
    scratch.key[:] = NO_FACE
    scratch.segment_of[:] = NO_FACE
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
    """Fill ``out`` (height, 3 * stride) float32 with linear light; see ``shade_row``."""
    moving = begin_shading(tables, bounds, static_count, shade, scratch)
    for v in range(face.shape[0]):
        pinhole_way(view, rotation, v, scratch.way)
        into = v * out.shape[1]
        shade_row(tables, shade, view[0], position, rotation, inverse_depth, face, v, moving, scratch, out, into)
