"""Textures: an atlas of patterns with mip levels, drawn from fixed seeds and kept on disk, and images from files.

A texel is four bytes in a uint32: red, green, blue and *cover* (lowest byte red, highest cover). Where cover is 0, red,
green and blue multiply the colour of the thing, in units of 1/128 (128 leaves it as it is); where it is 255, they are
the linear albedo itself, in units of 1/255. Between the two the meaning is mixed. Sizes are powers of two, rows run up
(``b``), columns right (``a``) as seen from outside the solid. Each mip level is the mean of 2 x 2 texels of the one
before (Williams, *Pyramidal parametrics*, 1983).
"""

from __future__ import annotations

import contextlib
import hashlib
import sys
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..common.errors import InputError, OutputError
from ..common.files import write_bytes_atomic
from ..common.kernels import cache_folder
from .noise import noise_key

if TYPE_CHECKING:
    from .appearance import Appearance

Image = NDArray[np.float32]
"""(height, width, 4) float32 in texel units (0 to 255): red, green, blue, cover; row 0 is the lowest."""

TEXTURE_COLUMNS = 16
LOG_WIDTH, LOG_HEIGHT, LEVELS, FIRST_LEVEL, COVERS = 0, 1, 2, 3, 15
"""Columns of the table of textures: binary logarithms of the size, number of levels, each level's first texel; 1 if any
texel has cover."""
NEUTRAL = 128.0
"""The texel value that leaves a colour as it is."""
ATLAS_FILE = "textures.atlas"
"""Name of the file that the built-in atlas is kept in."""
MAX_IMAGE_PIXELS = 64_000_000
MAX_TEXTURE = 1024
"""Greatest width and height of a texture [texels]; larger images are reduced."""
LABEL_VARIANTS = 4
WORN = ("cardboard", "concrete", "planks", "steel", "cladding", "clothes")
"""Patterns whose contrast is wear."""
BAR_MODULES = 57
"""Width of a barcode in modules: the narrowest bar."""


class Atlas(NamedTuple):
    """Textures as the kernels read them.

    Attributes:
        texels: (N,) uint32, all levels of all textures. table: (T, TEXTURE_COLUMNS) int32.
    """

    texels: NDArray[np.uint32]
    table: NDArray[np.int32]


def make_atlas(images: list[Image]) -> Atlas:
    """Return an atlas of images whose sizes are powers of two, in their order."""
    table = np.zeros((len(images), TEXTURE_COLUMNS), np.int32)
    parts, at = [], 0
    for row, image in zip(table, images, strict=True):
        height, width = image.shape[:2]
        row[LOG_WIDTH], row[LOG_HEIGHT] = width.bit_length() - 1, height.bit_length() - 1
        level = image
        row[COVERS] = image[..., 3].any()
        for k in range(COVERS - FIRST_LEVEL):
            row[FIRST_LEVEL + k] = at
            row[LEVELS] = k + 1
            rounded = np.clip(level + 0.5, 0, 255).astype(np.uint8)
            parts.append(np.ascontiguousarray(rounded).view(np.uint32).ravel())
            at += parts[-1].size
            if level.shape[0] == 1 and level.shape[1] == 1:
                break
            if level.shape[0] > 1:
                level = 0.5 * (level[0::2] + level[1::2])
            if level.shape[1] > 1:
                level = 0.5 * (level[:, 0::2] + level[:, 1::2])
    return Atlas(np.concatenate(parts), table)


@cache
def procedural_images() -> Mapping[str, Image]:
    """Return the built-in patterns by name; the same in every process."""
    images: dict[str, Image] = {}
    for name, draw in _PATTERNS.items():
        images[name] = draw()
    for k in range(LABEL_VARIANTS):
        images[f"label{k}"] = label(k)
    return images


@cache
def built_in_atlas() -> tuple[Atlas, dict[str, int]]:
    """Return the atlas of the built-in patterns and the row of each by name.

    Drawing it takes a quarter of a second: it is kept in a file beside the compiled kernels, if that can be written.
    """
    folder = cache_folder(noise_key)
    file = None if folder is None else folder / ATLAS_FILE
    atlas = None if file is None else read_atlas(file)
    if atlas is None:
        atlas = make_atlas(list(procedural_images().values()))
        if file is not None:
            with contextlib.suppress(OutputError):
                write_atlas(file, atlas)
    names = [*_PATTERNS, *(f"label{k}" for k in range(LABEL_VARIANTS))]
    return atlas, {name: row for row, name in enumerate(names)}


def read_atlas(file: Path) -> Atlas | None:
    """Return the built-in atlas from a file; None if there is none, it is damaged, or another version has written it.

    The file holds words of 32 bits: digest of what drew it (8), checksum of the rest, count of textures, table, texels.
    """
    try:
        words = np.fromfile(file, np.uint32)
        same = words[:8].tobytes() == _drawn_by()
    except OSError:
        return None
    if not same or len(words) < 10 or words[8] != zlib.crc32(words[9:].data):
        return None
    end = 10 + int(words[9]) * TEXTURE_COLUMNS
    return Atlas(words[end:], words[10:end].view(np.int32).reshape(-1, TEXTURE_COLUMNS))


def write_atlas(file: Path, atlas: Atlas) -> None:
    """Write the built-in atlas to a file, whole or not at all; raises OutputError where that cannot be."""
    try:
        head = _drawn_by()
    except OSError as error:
        raise OutputError(f"the source of the textures cannot be read: {error}", where=str(file)) from error
    count = np.uint32(len(atlas.table))
    rest = count.tobytes() + atlas.table.tobytes() + atlas.texels.tobytes()
    write_bytes_atomic(file, head + np.uint32(zlib.crc32(rest)).tobytes() + rest)


@cache
def _drawn_by() -> bytes:
    """Return 32 bytes that identify all that decides the texels: this module, numpy and the processor."""
    from llvmlite.binding import get_host_cpu_name  # type: ignore[import-untyped]

    source = hashlib.sha256(Path(__file__).read_bytes())
    source.update(f"{np.__version__} {sys.byteorder} {get_host_cpu_name()}".encode())
    return source.digest()


def dressed_atlas(appearance: Appearance) -> tuple[Atlas, dict[str, int]]:
    """Return the atlas for an appearance, its pictures as ``image0`` and so on, and the row of each texture by name."""
    images = dict(procedural_images())
    if appearance.wear != 1.0:
        for name in WORN:
            image = images[name].copy()
            image[..., :3] = np.clip(NEUTRAL + appearance.wear * (image[..., :3] - NEUTRAL), 0.0, 255.0)
            images[name] = image
    for k, texture in enumerate(appearance.textures):
        images[f"image{k}"] = image_texture(texture.image.content(), where=f"texture of {texture.material}")
    return make_atlas(list(images.values())), {name: row for row, name in enumerate(images)}


def image_texture(path: str | Path | bytes, *, where: str = "texture") -> Image:
    """Read a PNG or JPEG as a texture of full cover: its sRGB colours are the albedo.

    Args:
        path: of the file, or its bytes. where: named in errors.

    Returns:
        The image, reduced or enlarged to sizes that are powers of two, at most ``MAX_TEXTURE``.

    Raises:
        InputError: no such file, not an image that can be read, or one of over 64 million pixels.
    """
    from PIL import Image as Pictures

    from .shading import srgb_to_linear

    source = "the image" if isinstance(path, bytes) else Path(path)
    if isinstance(source, Path) and not source.is_file():
        raise InputError(f"there is no image {source}", where=where, mend="give the path of a PNG or JPEG file")
    try:
        with Pictures.open(BytesIO(path) if isinstance(path, bytes) else path) as picture:
            if picture.width * picture.height > MAX_IMAGE_PIXELS:
                raise InputError(
                    f"{source} has {picture.width} x {picture.height} pixels",
                    where=where,
                    mend=f"give an image of at most {MAX_IMAGE_PIXELS // 1_000_000} million pixels",
                )
            size = (_power_of_two(picture.width), _power_of_two(picture.height))
            pixels = np.asarray(picture.convert("RGB").resize(size, Pictures.Resampling.LANCZOS))
    except (OSError, ValueError, SyntaxError, Pictures.DecompressionBombError) as error:
        raise InputError(
            f"{source} cannot be read as an image: {error}", where=where, mend="give a PNG or JPEG file"
        ) from error
    image = np.full((*pixels.shape[:2], 4), 255.0, np.float32)
    image[..., :3] = 255.0 * srgb_to_linear(pixels[::-1])
    return image


def _power_of_two(size: int) -> int:
    return min(MAX_TEXTURE, 1 << max(0, round(float(np.log2(size)))))


def tiled_noise(rng: np.random.Generator, height: int, width: int, rows: int, columns: int) -> Image:
    """Return smooth noise (height, width) from 0 to 1 that repeats, with rows x columns features."""
    grid = rng.random((rows, columns)).astype(np.float32)

    def along(count: int, cells: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        place = (np.arange(count) + 0.5) * (cells / count)
        first = np.floor(place).astype(np.int64)
        part = (place - first).astype(np.float32)
        return first % cells, (first + 1) % cells, part * part * (3.0 - 2.0 * part)

    i0, i1, v = along(height, rows)
    j0, j1, u = along(width, columns)
    across = grid[:, j0] * (1.0 - u) + grid[:, j1] * u
    return np.asarray(across[i0] * (1.0 - v[:, None]) + across[i1] * v[:, None], dtype=np.float32)


def _tint(factor: NDArray[Any], warm: float | NDArray[Any] = 0.0) -> Image:
    """Return a texture that multiplies by ``factor`` (height, width), redder and less blue by ``warm``."""
    image = np.zeros((*factor.shape, 4), np.float32)
    image[..., 0], image[..., 1], image[..., 2] = factor * (1.0 + warm), factor, factor * (1.0 - warm)
    image[..., :3] *= NEUTRAL
    return image


def _places(count: int, length: float) -> NDArray[np.float32]:
    """Return the middles of ``count`` texels over a length."""
    return ((np.arange(count) + 0.5) * (length / count)).astype(np.float32)


def _stroke(place: NDArray[np.float32], middle: float, half: float, texel: float) -> NDArray[np.float32]:
    """Return how much of each texel a line of half width ``half`` about ``middle`` covers."""
    return np.clip((half - np.abs(place - middle)) / texel + 0.5, 0.0, 1.0).astype(np.float32)


def plain() -> Image:
    """Return the texture that changes nothing."""
    return _tint(np.ones((1, 1), np.float32))


def cardboard() -> Image:
    """Return 1 m x 1 m of corrugated board: flutes, fibres and scuffs."""
    rng = np.random.default_rng(11)
    size = 256
    fibre = tiled_noise(rng, size, size, 8, 128) + tiled_noise(rng, size, size, 128, 8)
    scuff = tiled_noise(rng, size, size, 9, 9)
    flute = 0.5 + 0.5 * np.sin(2.0 * np.pi * _places(size, 1.0) * 64.0)
    return _tint(0.96 + 0.05 * (fibre - 1.0) + 0.09 * (scuff - 0.5) + 0.02 * flute[None, :])


def concrete() -> Image:
    """Return 12 m x 12 m of floor: joints every 6 m, clouds, stains and tyre marks."""
    rng = np.random.default_rng(12)
    size = 1024
    clouds = 0.15 * (tiled_noise(rng, size, size, 4, 4) - 0.5) + 0.12 * (tiled_noise(rng, size, size, 20, 20) - 0.5)
    grain = 0.07 * (tiled_noise(rng, size, size, 160, 160) - 0.5) + 0.05 * (rng.random((size, size)) - 0.5)
    stain = np.clip(tiled_noise(rng, size, size, 26, 26) - 0.78, 0.0, 1.0)
    marks = np.clip(tiled_noise(rng, size, size, 90, 5) - 0.84, 0.0, 1.0)
    marks += np.clip(tiled_noise(rng, size, size, 5, 90) - 0.84, 0.0, 1.0)
    factor = (1.0 + clouds + grain) * (1.0 - 0.9 * stain) * (1.0 - 0.8 * marks)
    place, texel = _places(size, 12.0), 12.0 / size
    for middle in (0.0, 6.0, 12.0):
        joint = 0.45 * _stroke(place, middle, 0.008, texel)
        factor *= (1.0 - joint[None, :]) * (1.0 - joint[:, None])
    return _tint(factor.astype(np.float32), 0.01 * (tiled_noise(rng, size, size, 6, 6) - 0.3))


def planks() -> Image:
    """Return 2 m along (columns) x 0.96 m across (rows) of boards, 0.12 m wide: grain, knots and gaps."""
    rng = np.random.default_rng(13)
    height, width = 256, 512
    rows = 8
    grain = tiled_noise(rng, height, width, 128, 8) - 0.5
    fine = tiled_noise(rng, height, width, 256, 24) - 0.5
    shade = np.repeat(0.9 + 0.18 * rng.random(rows), height // rows)[:, None]
    factor = shade * (1.0 + 0.2 * grain + 0.12 * fine)
    y, x = np.meshgrid(_places(height, 0.96), _places(width, 2.0), indexing="ij")
    for _ in range(10):
        cy, cx = (rng.integers(rows) + 0.3 + 0.4 * rng.random()) * 0.12, 2.0 * rng.random()
        far = np.sqrt(((y - cy) * 1.6) ** 2 + (x - cx) ** 2)
        factor *= 1.0 - 0.45 * np.clip(1.0 - far / 0.022, 0.0, 1.0)
    across, texel = _places(height, 0.96), 0.96 / height
    for board in range(rows + 1):
        factor *= 1.0 - 0.6 * _stroke(across, 0.12 * board, 0.006, texel)[:, None]
    return _tint(factor.astype(np.float32), 0.02 * grain)


def pallet_side() -> Image:
    """Return a pallet's side: boards above and below, three blocks, dark gaps between; stretched over the face."""
    rng = np.random.default_rng(14)
    height, width = 64, 256
    factor = 0.95 + 0.2 * (tiled_noise(rng, height, width, 32, 8) - 0.5)
    x, y = _places(width, 1.0), _places(height, 1.0)
    blocks = sum(_stroke(x, middle, 0.06, 1.0 / width) for middle in (0.06, 0.5, 0.94))
    gap = _stroke(y, 0.46, 0.25, 1.0 / height)[:, None] * (1.0 - np.minimum(blocks, 1.0))[None, :]
    lower = _stroke(y, 0.21, 0.015, 1.0 / height) + _stroke(y, 0.71, 0.015, 1.0 / height)
    return _tint((factor * (1.0 - 0.85 * gap) * (1.0 - 0.35 * lower[:, None])).astype(np.float32))


def upright() -> Image:
    """Return 0.1 m up (rows) of a rack's upright with one slot; stretched across."""
    rng = np.random.default_rng(15)
    height, width = 64, 32
    x, y = _places(width, 1.0), _places(height, 0.1)
    slot = _stroke(x, 0.5, 0.12, 1.0 / width)[None, :] * _stroke(y, 0.05, 0.02, 0.1 / height)[:, None]
    fold = 0.12 * (_stroke(x, 0.0, 0.08, 1.0 / width) + _stroke(x, 1.0, 0.08, 1.0 / width))
    return _tint((1.0 - 0.72 * slot) * (1.0 - fold)[None, :] * (0.98 + 0.04 * rng.random((height, width))))


def steel() -> Image:
    """Return 1 m x 1 m of painted steel: slight wear."""
    rng = np.random.default_rng(16)
    size = 128
    wear = np.clip(tiled_noise(rng, size, size, 24, 24) - 0.8, 0.0, 1.0)
    return _tint((0.99 + 0.05 * (tiled_noise(rng, size, size, 8, 8) - 0.5)) * (1.0 - 0.6 * wear))


def cladding() -> Image:
    """Return 1.2 m (columns) of ribbed sheet, pitch 0.3 m, and 2 m (rows) of faint streaks."""
    rng = np.random.default_rng(17)
    height, width = 64, 256
    phase = _places(width, 4.0) % 1.0
    rib = np.where(phase < 0.18, -0.12, np.where(phase < 0.3, 0.04, 0.0))
    streak = 0.04 * (tiled_noise(rng, height, width, 4, 64) - 0.5)
    return _tint((1.0 + rib[None, :] + streak).astype(np.float32))


def hazard() -> Image:
    """Return 0.6 m x 0.6 m of yellow and black stripes at 45 degrees, 0.15 m wide along the axes."""
    size = 128
    x = _places(size, 2.0)
    phase = (x[None, :] + x[:, None]) % 1.0
    share = np.clip((0.25 - np.abs(phase - 0.25)) * (size / 2.0) + 0.5, 0.0, 1.0)[..., None]
    share = np.maximum(share, np.clip((0.25 - np.abs(phase - 1.25)) * (size / 2.0) + 0.5, 0.0, 1.0)[..., None])
    color = share * np.array([0.83, 0.55, 0.02]) + (1.0 - share) * np.array([0.02, 0.02, 0.022])
    return np.concatenate([255.0 * color, np.full((size, size, 1), 255.0)], axis=2).astype(np.float32)


def door() -> Image:
    """Return 0.5 m (rows) of a sectional door: one joint and a shallow fold."""
    y = _places(64, 0.5)
    joint = 0.35 * (_stroke(y, 0.0, 0.012, 0.5 / 64) + _stroke(y, 0.5, 0.012, 0.5 / 64))
    return _tint((1.0 - joint - 0.05 * _stroke(y, 0.25, 0.02, 0.5 / 64))[:, None] * np.ones((1, 4), np.float32))


def crate() -> Image:
    """Return 0.36 m (columns) of a plastic crate's ribs, pitch 0.09 m; stretched up, with a rim at the top."""
    height, width = 64, 128
    phase = _places(width, 4.0) % 1.0
    rib = np.where(phase < 0.18, -0.22, np.where(phase < 0.3, 0.066, 0.0))
    y = _places(height, 1.0)
    rim = 0.18 * _stroke(y, 0.94, 0.06, 1.0 / height) - 0.3 * _stroke(y, 0.86, 0.012, 1.0 / height)
    grip = 0.0 * y
    return _tint(((1.0 + rib)[None, :] * (1.0 + rim + grip)[:, None]).astype(np.float32))


def clothes() -> Image:
    """Return 0.6 m x 0.6 m of cloth: folds."""
    rng = np.random.default_rng(18)
    size = 64
    fold = tiled_noise(rng, size, size, 5, 8) - 0.5
    return _tint(1.0 + 0.22 * fold + 0.08 * (tiled_noise(rng, size, size, 32, 32) - 0.5))


def film() -> Image:
    """Return 1 m x 1 m of shrink-wrap: whitish, with thin bright creases, mostly upright."""
    rng = np.random.default_rng(19)
    size = 128
    upright, slanted = (np.abs(2.0 * tiled_noise(rng, size, size, *cells) - 1.0) for cells in ((4, 14), (9, 9)))
    crease = np.clip(1.0 - 9.0 * upright, 0.0, 1.0) + 0.5 * np.clip(1.0 - 9.0 * slanted, 0.0, 1.0)
    haze = tiled_noise(rng, size, size, 12, 24)
    image = np.empty((size, size, 4), np.float32)
    image[..., 3] = 255.0 * np.clip(0.28 + 0.2 * haze + 0.16 * crease, 0.0, 1.0)
    level = np.clip(0.55 + 0.15 * haze + 0.15 * crease, 0.0, 1.0)[..., None]
    image[..., :3] = level * (NEUTRAL + image[..., 3:] * 0.5)
    return image


def roof() -> Image:
    """Return 30 m x 30 m of roof from below: sheets, purlins, girders; cover 0."""
    size = 1024
    x, texel = _places(size, 30.0), 30.0 / size
    girder = np.sum([_stroke(x, 6.0 * k + 3.0, 0.12, texel) for k in range(5)], axis=0)
    purlin = np.sum([_stroke(x, 1.5 * k, 0.04, texel) for k in range(21)], axis=0)
    long = np.sum([_stroke(x, 5.0 * k, 0.14, texel) for k in range(7)], axis=0)
    short = np.sum([_stroke(x, 3.0 * k, 1.2, texel) for k in range(11)], axis=0)
    level = (1.0 - 0.35 * girder)[None, :] * (1.0 - 0.2 * purlin)[:, None] + 2.2 * long[:, None] * short[None, :]
    # A quarter of the multiplier: strips of light are three times as bright as the sheets.
    return _tint((0.5 * level).astype(np.float32))


def barcode(number: int) -> NDArray[np.float32]:
    """Return the modules of a barcode (BAR_MODULES,): 1 for print; starts and ends with print."""
    rng = np.random.default_rng(100 + number)
    modules: list[float] = []
    dark = True
    while len(modules) < BAR_MODULES - 1:
        modules += [float(dark)] * int(rng.integers(1, 4))
        dark = not dark
    modules = [*modules[: BAR_MODULES - 1], 1.0]
    modules[0] = 1.0
    return np.array(modules, np.float32)


LABEL_WIDTH, LABEL_HEIGHT = 256, 128
LABEL_MARGIN = (LABEL_WIDTH - 4 * BAR_MODULES) // 2
"""Texels left of the barcode, of which each module takes four."""


def label(number: int) -> Image:
    """Return a white label: a barcode over the middle rows, lines of print above and below, a pictogram."""
    rng = np.random.default_rng(200 + number)
    printed = np.zeros((LABEL_HEIGHT, LABEL_WIDTH), np.float32)
    bars = np.repeat(barcode(number), 4)
    printed[24:84, LABEL_MARGIN : LABEL_MARGIN + len(bars)] = bars
    for row in (8, 14, 94, 104, 114):
        at = 12
        stop = int(120 + 100 * rng.random())
        while at < stop:
            length = int(rng.integers(6, 26))
            printed[row : row + 4, at : min(at + length, stop)] = 0.85
            at += length + 5
    printed[92:120, 208:240] = 1.0
    printed[96:116, 212:236] = 0.0
    printed[100:112, 218:230] = 1.0
    level = 255.0 * (0.78 - 0.76 * printed)
    image = np.full((LABEL_HEIGHT, LABEL_WIDTH, 4), 255.0, np.float32)
    image[..., :3] = level[..., None]
    return image


def tape() -> Image:
    """Return packing tape: brighter and yellower than what it sticks to."""
    return _tint(np.full((1, 1), 1.22, np.float32), 0.05)


def plinth() -> Image:
    """Return a dark plinth's tint."""
    image = plain()
    image[..., :3] *= np.array([0.42, 0.46, 0.52], np.float32)
    return image


def band() -> Image:
    """Return a vest's reflective band."""
    return np.array([[[191.0, 194.0, 184.0, 255.0]]], np.float32)


_PATTERNS: dict[str, Callable[[], Image]] = {
    "plain": plain,
    "cardboard": cardboard,
    "concrete": concrete,
    "planks": planks,
    "pallet_side": pallet_side,
    "upright": upright,
    "steel": steel,
    "cladding": cladding,
    "hazard": hazard,
    "door": door,
    "crate": crate,
    "clothes": clothes,
    "film": film,
    "roof": roof,
    "tape": tape,
    "plinth": plinth,
    "band": band,
}
