"""Light of plane faces, compiled: a piece of a row at a time, ``LANES`` pixels as one vector (``lanes``).

Along a row a plane's coordinates times the inverse depth are linear in the column, so each pixel's place on its face is
one division and a few products. Light that changes slowly (``glow``), and the mip level, are found at both ends of
segments of a row, serve for a few rows, and are interpolated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import FloatArray
from .compiled import part
from .faces import (
    D_A,
    D_B,
    D_HALF_A,
    D_HALF_B,
    D_OA,
    D_OB,
    D_SA,
    D_SB,
    D_TEXTURE,
    DECAL_COLUMNS,
    F_AU,
    F_AV,
    F_BIAS,
    F_BU,
    F_BV,
    F_COVERS,
    F_DECAL,
    F_DECALS,
    F_EXPONENT,
    F_FACING,
    F_GLOSS,
    F_HALF_A,
    F_HALF_B,
    F_NORMAL,
    F_OA,
    F_OB,
    F_RED,
    F_RIM,
    F_SA,
    F_SB,
    F_SOFT,
    F_TEXTURE,
    F_WU,
    F_WV,
    FA,
    FB,
    P_ROOF,
    texture_level,
)
from .glow import glow
from .grid import IntArray
from .lanes import (
    LANES,
    Lanes,
    absolute,
    any_lane,
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
    select,
    single,
    spread,
    store,
    to_float,
    to_int,
    unsigned,
)
from .raycast import Tables, as_index
from .shading import BACK, KEY
from .shadows import (
    CELL_SHIFT,
    SHADOW_COLUMNS,
    SHADOW_KX,
    SHADOW_KY,
    SHADOW_PER_HEIGHT,
    SHADOW_PER_METRE,
    SHADOW_ROWS,
    SHADOW_X,
    SHADOW_Y,
    SHADOW_Z,
    mover_blocks,
)
from .textures import FIRST_LEVEL, LOG_HEIGHT, LOG_WIDTH

if TYPE_CHECKING:
    from .deferred import ShadeScratch, ShadeTables

SEGMENTS, SEGMENT_SHIFT, SEGMENT, SEGMENT_ROWS = 1024, 5, 32, 4
"""Segments of rows remembered at once (a power of two); binary logarithm and number of their columns; rows for which
one serves: light that changes slowly, and the mip level, are found once for so many pixels of a face."""
BILINEAR = 0.4
"""Below this many texels per pixel, squared, texels are interpolated."""
SHADOW_OFFSET = 1e-4
RIM_WIDTH = 0.008
"""Edges of faces are darkened over this width [m]."""
# Columns of a segment: light at its first column, its change up to the last, first column, steps per column; mip level
# and the size of a pixel in its texels, squared.
S_GLOW, S_CHANGE, S_START, S_STEP, S_LEVEL, S_SIZE, SEGMENT_COLUMNS = 0, 4, 8, 9, 10, 11, 12


@part
def shade_roof(
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
        red, green, blue, shine = glow(
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
def shade_piece(
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
