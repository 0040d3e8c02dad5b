"""Deferred shading, compiled: from the faces and inverse depths of a picture to linear light, by runs of equal face.

What is constant over a face is worked out once per picture (``faces``); plane faces are shaded a vector of pixels at a
time (``plane_light``), round ones pixel by pixel (``round_light``). Light is radiance relative to a white diffuse
surface under full light: albedo times irradiance.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.geometry import FloatArray
from .borrow import borrowed
from .compiled import compiled, inner
from .faces import FACE_COLUMNS, NO_FACE, PATTERNS, SLOTS, remember_face
from .grid import STATIC_HIGH, IntArray
from .lamps import NO_LAMPS, LampVolume, lamp_volume
from .lanes import LANES, item, lane_numbers, leading, load, padded, row_stride, single, store, to_float, unsigned
from .materials import MATERIALS, dressed_materials, material_table
from .plane_light import SEGMENT_COLUMNS, SEGMENTS, shade_piece, shade_roof
from .raycast import Tables, as_index
from .round_light import shade_round
from .shading import light_table
from .shadows import MoverShadows, ShadowMap, list_movers, mover_shadows, shadow_map
from .textures import Atlas, built_in_atlas, dressed_atlas

if TYPE_CHECKING:
    from .appearance import Appearance
    from .config import Lighting
    from .scene import Scene

ROOF_CLEARANCE = 0.8
"""The painted roof is this far [m] above the highest static solid."""


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
            shade_roof(shade, roof, position, focal, way, u, count, out, base)
        elif (code & 7) >= 6:
            shade_round(
                tables, shade, code >> 3, u, u + count, focal, position, inverse, first, moving, scratch, out, base
            )
        else:
            slot = unsigned((code ^ (code >> 10)) & (SLOTS - 1))
            o = slot * unsigned(FACE_COLUMNS)
            if scratch.key[slot] != code:
                scratch.key[slot] = code
                remember_face(tables, shade, as_index(code), focal, position, rotation, scratch.face, as_index(o))
            shade_piece(
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
