"""Procedural surfaces, compiled: cardboard with tape and labels, wood, concrete, cladding, painted steel.

Every pattern is a function of the point on the solid, in the solid's own frame (or in ``map`` for floors, walls and
columns), so that it sticks to the thing when the thing moves, and costs no texture memory. Fine lines fade out where
they get thinner than a pixel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..common.classes import CLASS_NAMES
from .compiled import inlined

if TYPE_CHECKING:
    from .appearance import Appearance

PLAIN, CARTON, WOOD, CONCRETE, CLADDING, STEEL, COLUMN, DOOR, CRATE, CLOTHES, PALLET, FILM = range(12)
MATERIAL_NAMES = (
    "plain", "carton", "wood", "concrete", "cladding", "steel", "column", "door", "crate", "clothes", "pallet", "film",
)  # fmt: skip

_BY_CLASS = {
    "person": CLOTHES,
    "pallet": PALLET,
    "small_load_carrier": CRATE,
    "stillage": STEEL,
    "box": CARTON,
    "rack": STEEL,
    "conveyor": STEEL,
    "crate": WOOD,
    "wall": CLADDING,
    "floor": CONCRETE,
    "column": COLUMN,
    "dock_door": DOOR,
}

CLASS_MATERIAL: NDArray[np.uint8] = np.array(
    [PLAIN] + [_BY_CLASS.get(name, PLAIN) for name in CLASS_NAMES], dtype=np.uint8
)
"""Material by class id."""

SIDE, TOP, FACE_MATERIAL_COLUMNS = 0, 3, 3
"""First columns of what sides, and tops and undersides, of solids wear."""
TEXTURE, TILE_A, TILE_B = range(3)
GLOSS, EXPONENT, RIM, TAPE, LABEL, MATERIAL_COLUMNS = 6, 7, 8, 9, 10, 11
"""Columns of the table of materials: texture row, and the length [m] along a and b that the texture repeats after (0:
it is stretched over the face), for sides and for tops; then share of light in the highlight, its Blinn-Phong exponent,
how dark the rims of faces are; and the least own number of cartons with tape on their sides, and with labels."""


@dataclass(frozen=True)
class Wear:
    """What a face wears: a texture by name, and the length [m] after which it repeats to the right and upwards.

    0 stretches the texture over the face.
    """

    texture: str = "plain"
    right: float = 1.0
    up: float = 1.0


@dataclass(frozen=True)
class Material:
    """How a surface looks, beside its colour.

    Attributes:
        side, top: what upright faces, and lids and undersides, wear.
        gloss: share of the light that is in the highlight, 0 to 1. exponent: of the Blinn-Phong lobe.
        rim: how much the edges of faces are darkened, 0 to 1.
    """

    side: Wear = Wear()
    top: Wear = Wear()
    gloss: float = 0.0
    exponent: float = 20.0
    rim: float = 0.0


_PLANKS = Wear("planks", 2.0, 0.96)
_CLOTH = Wear("clothes", 0.6, 0.6)
_SHEET = Wear("steel")
_FILM = Wear("film")

MATERIALS: tuple[Material, ...] = (
    Material(rim=0.3),
    Material(Wear("cardboard"), Wear("cardboard"), rim=0.3),
    Material(_PLANKS, _PLANKS, rim=0.3),
    Material(Wear("concrete", 12.0, 12.0), Wear("concrete", 12.0, 12.0), gloss=0.03, exponent=60.0),
    Material(Wear("cladding", 1.2, 2.0), _SHEET),
    Material(_SHEET, _SHEET, gloss=0.04, exponent=30.0, rim=0.3),
    Material(Wear("steel"), _SHEET),
    Material(Wear("door", 1.0, 0.5), _SHEET, gloss=0.03, exponent=30.0),
    Material(Wear("crate", 0.36, 0.0), _SHEET, gloss=0.03, exponent=20.0, rim=0.2),
    Material(_CLOTH, _CLOTH),
    Material(Wear("pallet_side", 0.0, 0.0), _PLANKS, rim=0.3),
    Material(_FILM, _FILM, gloss=0.15, exponent=40.0, rim=0.15),
)
"""The built-in materials, in the order of their numbers."""


def material_table(
    materials: Sequence[Material], rows: Mapping[str, int], appearance: Appearance | None = None
) -> NDArray[np.float32]:
    """Return materials as the kernels read them (M, MATERIAL_COLUMNS) float32; ``rows``: texture row by name."""
    gloss, scale, tape, labels = 1.0, 1.0, 0.65, 0.7
    if appearance is not None:
        gloss, scale = appearance.gloss, appearance.texture_scale
        tape, labels = appearance.tape, appearance.labels
    return np.array(
        [
            [
                *(rows[m.side.texture], scale * m.side.right, scale * m.side.up),
                *(rows[m.top.texture], scale * m.top.right, scale * m.top.up),
                *(min(gloss * m.gloss, 1.0), m.exponent, m.rim),
                *(1.0 - tape, 1.0 - labels),
            ]
            for m in materials
        ],
        np.float32,
    )


def dressed_materials(appearance: Appearance) -> tuple[Material, ...]:
    """Return the built-in materials, with the textures of an appearance in place: named ``image0`` and so on."""
    materials = list(MATERIALS)
    for k, texture in enumerate(appearance.textures):
        row = MATERIAL_NAMES.index(texture.material)
        wear = Wear(f"image{k}", texture.image.width, texture.image.height)
        materials[row] = replace(materials[row], side=wear, top=wear)
    return tuple(materials)


SLAB = 6.0
"""Distance of the joints in the concrete floor [m]."""
HAZARD_HEIGHT = 1.2
"""Columns carry yellow and black stripes up to here [m]."""


@inlined
def lattice(i: int, j: int) -> float:
    """Return a fixed pseudo-random number in [0, 1) for a whole-numbered point of the plane."""
    h = (i * 374761393 + j * 668265263) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    return ((h ^ (h >> 16)) & 0xFFFF) / 65536.0


@inlined
def value_noise(x: float, y: float) -> float:
    """Return smooth noise in [0, 1) with features of about one unit."""
    fx, fy = np.floor(x), np.floor(y)
    i, j = int(fx), int(fy)
    u, v = x - fx, y - fy
    u, v = u * u * (3.0 - 2.0 * u), v * v * (3.0 - 2.0 * v)
    a, b = lattice(i, j), lattice(i + 1, j)
    c, d = lattice(i, j + 1), lattice(i + 1, j + 1)
    return (a + (b - a) * u) * (1.0 - v) + (c + (d - c) * u) * v


@inlined
def line(distance: float, half_width: float, pixel: float) -> float:
    """Return how much of a pixel of the given size [m] a line covers, 0 to 1, seen ``distance`` [m] off its middle."""
    reach = max(half_width, 0.5 * pixel)
    cover = min(1.0, max(0.0, (reach - abs(distance)) / (0.5 * pixel + 1e-6) + 0.5))
    return cover * half_width / reach


@inlined
def edge_shade(a: float, b: float, half_a: float, half_b: float, pixel: float) -> float:
    """Return a factor that darkens a rectangle's rim a little: a, b on it, its half sizes [m]."""
    rim = min(half_a - abs(a), half_b - abs(b))
    return 1.0 - 0.3 * line(rim, 0.008, pixel)


@inlined
def carton(
    seed: float, a: float, b: float, half_a: float, half_b: float, top: bool, pixel: float
) -> tuple[float, float, float, float]:
    """Return factor, and tape, label and print cover (0 to 1) at a point of a carton's face.

    Args:
        seed: 0 to 1, of this carton. a, b: along the face and up (or across the lid) [m], with half sizes.
        top: whether this is the lid or the underside. pixel: size of a pixel there [m].
    """
    shade = edge_shade(a, b, half_a, half_b, pixel)
    if top:
        # Tape closes the lid along its longer middle line.
        off = b if half_a >= half_b else a
        return shade, line(off, min(0.03, 0.2 * min(half_a, half_b)), pixel), 0.0, 0.0
    # The tape's end comes down the short sides; a label sits on every face of a carton that carries one.
    tape = line(a, 0.03, pixel) * line(half_b - b, 0.08, pixel) if half_a < 0.5 and seed > 0.35 else 0.0
    label_a, label_b = (0.5 * seed - 0.1) * half_a, -0.25 * half_b
    wide, tall = min(0.075, 0.35 * half_a), min(0.055, 0.3 * half_b)
    label = 0.0
    if seed > 0.3:
        label = line(a - label_a, wide, pixel) * line(b - label_b, tall, pixel)
    # Three bars of print: enough to read as a label from afar.
    u = (a - label_a) / max(wide, 1e-3)
    bars = 1.0 if (int(np.floor((u + 1.0) * 7.0 + seed * 5.0)) % 3 == 0) and abs(u) < 0.8 else 0.0
    printed = bars * line(b - label_b - 0.25 * tall, 0.45 * tall, pixel) * min(1.0, 0.01 / (pixel + 1e-6))
    return shade, tape, label, label * printed


@inlined
def concrete(x: float, y: float, pixel: float) -> float:
    """Return the brightness factor of a concrete floor at x, y [m] of ``map``: clouds, grain and joints."""
    fine = min(1.0, 0.05 / (pixel + 1e-6))
    clouds = 0.16 * (value_noise(0.35 * x, 0.35 * y) - 0.5) + 0.1 * (value_noise(1.7 * x, 1.7 * y) - 0.5)
    grain = 0.09 * fine * (value_noise(13.0 * x, 13.0 * y) - 0.5)
    joint = max(
        line(x - SLAB * np.floor(x / SLAB + 0.5), 0.008, pixel), line(y - SLAB * np.floor(y / SLAB + 0.5), 0.008, pixel)
    )
    return (1.0 + clouds + grain) * (1.0 - 0.45 * joint)


@inlined
def planks(along: float, across: float, pixel: float) -> float:
    """Return the brightness factor of boards: position along and across them [m]."""
    width = 0.12
    board = np.floor(across / width)
    gap = line(across - width * (board + 0.5 + np.copysign(0.5, across - width * (board + 0.5))), 0.008, pixel)
    grain = value_noise(3.0 * along + 17.0 * board, 60.0 * across) - 0.5
    fine = min(1.0, 0.01 / (pixel + 1e-6))
    return (0.92 + 0.16 * lattice(int(board), 7) + 0.2 * grain * fine) * (1.0 - 0.6 * gap)


@inlined
def pallet_side(a: float, b: float, half_a: float, half_b: float, pixel: float) -> float:
    """Return the brightness factor of a pallet's side: boards above and below, three blocks, dark gaps between them."""
    if half_b < 0.05:
        return 1.0  # A single board or runner of a pallet that is modelled in parts.
    gap = line(b + 0.05 * half_b, 0.5 * half_b, pixel)
    pitch = half_a - 0.07
    off = abs(a) if abs(a) < 0.5 * pitch else abs(a) - pitch
    return 1.0 - 0.82 * gap * (1.0 - line(off, 0.07, pixel))


@inlined
def upright_holes(a: float, b: float, half_a: float, half_b: float, pixel: float) -> float:
    """Return the brightness factor of a rack's upright: a column of slots, on tall narrow faces only."""
    if half_a > 0.07 or half_b < 0.8:
        return 1.0
    slot = b - 0.1 * np.floor(b / 0.1 + 0.5)
    return 1.0 - 0.6 * line(a, 0.012, pixel) * line(slot, 0.02, pixel)


@inlined
def ceiling(x: float, y: float, pixel: float) -> float:
    """Return the brightness of a hall's roof at x, y [m] of ``map``: sheets, girders, and strips of light."""
    strip = line(y - 5.0 * np.floor(y / 5.0 + 0.5), 0.14, pixel) * line(x - 3.0 * np.floor(x / 3.0 + 0.5), 1.2, pixel)
    girder = line(x - 6.0 * np.floor(x / 6.0) - 3.0, 0.12, pixel)
    purlin = line(y - 1.5 * np.floor(y / 1.5 + 0.5), 0.04, pixel)
    return (1.0 - 0.35 * girder) * (1.0 - 0.2 * purlin) + 2.2 * strip


@inlined
def ribs(position: float, pitch: float, depth: float, pixel: float) -> float:
    """Return the brightness factor of upright ribs: position across them and their pitch [m]."""
    phase = position / pitch - np.floor(position / pitch)
    fade = min(1.0, 0.25 * pitch / (pixel + 1e-6))
    return 1.0 - depth * fade * (1.0 if phase < 0.18 else (-0.3 if phase < 0.3 else 0.0))


@inlined
def paint(
    material: int,
    seed: float,
    red: float,
    green: float,
    blue: float,
    face: int,
    lx: float,
    ly: float,
    lz: float,
    hx: float,
    hy: float,
    hz: float,
    wx: float,
    wy: float,
    wz: float,
    pixel: float,
) -> tuple[float, float, float]:
    """Return the albedo at a point of a solid.

    Args:
        material: see the constants. seed: 0 to 1, of this object. red, green, blue: its own linear albedo.
        face: 0, 1 or 2, the local axis that the surface looks along most. lx, ly, lz: the point in the local frame [m].
        hx, hy, hz: half extents [m]. wx, wy, wz: the point in ``map`` [m]. pixel: size of a pixel there [m].
    """
    if face == 0:
        a, b, half_a, half_b = ly, lz, hy, hz
    elif face == 1:
        a, b, half_a, half_b = lx, lz, hx, hz
    else:
        a, b, half_a, half_b = lx, ly, hx, hy
    if material == CARTON:
        shade, tape, label, printed = carton(seed, a, b, half_a, half_b, face == 2, pixel)
        clean = 0.78 * label * (1.0 - printed)
        keep = shade * (1.0 + 0.22 * tape) * (1.0 - label)
        return red * keep + clean, green * keep + clean, blue * (keep - 0.1 * tape) + clean
    factor = 1.0
    if material == CONCRETE:
        factor = concrete(wx, wy, pixel)
    elif material == WOOD or (material == PALLET and face == 2):
        factor = planks(b, a, pixel) * edge_shade(a, b, half_a, half_b, pixel)
    elif material == PALLET:
        factor = pallet_side(a, b, half_a, half_b, pixel)
    elif material in (STEEL, PLAIN):
        factor = edge_shade(a, b, half_a, half_b, pixel)
        if material == STEEL:
            factor *= upright_holes(a, b, half_a, half_b, pixel)
    else:
        return _paint_building(material, red, green, blue, a, b, half_a, half_b, face, wx, wy, wz, pixel)
    return red * factor, green * factor, blue * factor


@inlined
def _paint_building(
    material: int,
    red: float,
    green: float,
    blue: float,
    a: float,
    b: float,
    half_a: float,
    half_b: float,
    face: int,
    wx: float,
    wy: float,
    wz: float,
    pixel: float,
) -> tuple[float, float, float]:
    factor = 1.0
    if material == CLADDING and face != 2:
        factor = ribs(a, 0.3, 0.12, pixel)
        if wz < 1.0:
            # A darker plinth, as halls have where forklifts pass.
            return 0.42 * red * factor, 0.46 * green * factor, 0.52 * blue * factor
    elif material == COLUMN and wz < HAZARD_HEIGHT:
        stripe = (wz + wx + wy) / 0.3
        if stripe - np.floor(stripe) < 0.5:
            return 0.83, 0.55, 0.02
        return 0.02, 0.02, 0.022
    elif material == DOOR:
        factor = 1.0 - 0.35 * line(wz - 0.5 * np.floor(wz / 0.5 + 0.5), 0.012, pixel)
    elif material == CRATE and face != 2:
        factor = ribs(a, 0.09, 0.22, pixel) * (1.0 + 0.18 * line(half_b - b, 0.03, pixel))
    elif material == CLOTHES and abs(b + 0.1 * half_b) < 0.05 and half_b > 0.15:
        # A reflective band around the vest.
        return 0.75, 0.76, 0.72
    return red * factor, green * factor, blue * factor
