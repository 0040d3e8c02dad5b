"""Letters on pictures: DejaVu Sans, which comes with Matplotlib, so that films and floor plans match everywhere."""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]
Color = tuple[int, int, int]


def write(
    picture: Picture,
    words: str,
    at: tuple[float, float],
    size: float,
    color: Color,
    *,
    anchor: Literal["start", "middle", "end"] = "start",
    bold: bool = False,
    rim: float = 0.0,
) -> None:
    """Write words onto a picture, in place; what lies outside is cut off.

    Args:
        picture: (H, W, 3) uint8.
        words: one line.
        at: x and base line y [pixels]. size: font height [pixels]. anchor: which end of the words x is.
        color: of the letters. bold: whether they are. rim: width of a white rim around them [pixels].
    """
    if rim > 0:
        _lay(picture, _mask(words, max(round(size), 4), bold, max(round(rim), 1)), at, (255, 255, 255), anchor)
    _lay(picture, _mask(words, max(round(size), 4), bold, 0), at, color, anchor)


def width_of(words: str, size: float, *, bold: bool = False) -> int:
    """Return how wide words are [pixels]."""
    return int(_mask(words, max(round(size), 4), bold, 0).cover.shape[1])


class _Mask(NamedTuple):
    """How much letters cover (h, w, 1) uint16, 0 to 255; rows above the base line; width of the rim [pixels]."""

    cover: NDArray[np.uint16]
    ascent: int
    rim: int


def _lay(
    picture: Picture,
    mask: _Mask,
    at: tuple[float, float],
    color: Color,
    anchor: Literal["start", "middle", "end"],
) -> None:
    height, width, _ = mask.cover.shape
    left = round(at[0] - {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor] * (width - 2 * mask.rim)) - mask.rim
    top = round(at[1]) - mask.ascent - mask.rim
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + width, picture.shape[1]), min(top + height, picture.shape[0])
    if x0 >= x1 or y0 >= y1:
        return
    cover = mask.cover[y0 - top : y1 - top, x0 - left : x1 - left]
    place = picture[y0:y1, x0:x1]
    place[:] = (place * (255 - cover) + np.array(color, dtype=np.uint16) * cover + 127) // 255


@cache
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    from matplotlib import get_data_path

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(str(Path(get_data_path()) / "fonts" / "ttf" / name), size)


@lru_cache(maxsize=256)  # more than a picture needs; many small blocks would leave the heap in pieces
def _mask(words: str, size: int, bold: bool, rim: int) -> _Mask:
    font = _font(size, bold)
    ascent, descent = font.getmetrics()
    width = max(int(np.ceil(font.getlength(words))), 1)
    image = Image.new("L", (width + 2 * rim, ascent + descent + 2 * rim), 0)
    ImageDraw.Draw(image).text((rim, rim), words, font=font, fill=255, stroke_width=rim)
    return _Mask(np.array(image, dtype=np.uint16)[..., None], ascent, rim)
