"""Pictures of maps, PGM and PNG: refused by the size they declare, and read whole or not at all."""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.errors import InputError
from .files import read_bytes
from .rectangles import MAX_CELLS, require_size

MAX_PICTURE_BYTES = 2 * MAX_CELLS + 4096
"""Of the largest map in 16 bits; so much may a picture have in its file, and twice that in memory."""
SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
"""Of a PNG's colour types."""
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""First column and row, and steps of the seven passes of an interlaced PNG."""
TEXT_BLOCK = 1 << 20

Pixels = NDArray[Any]


@dataclass(frozen=True)
class Picture:
    """A picture.

    Attributes:
        values: (H, W) of grey, or (H, W, 3) and (H, W, 4) of colour (any order, alpha last), uint8 or uint16; rows
            downwards.
        white: the value of white.
    """

    values: Pixels
    white: int


def read_picture(path: Path) -> Picture:
    """Read a PGM (P2, P5) or PNG.

    Raises:
        InputError: it is neither, is damaged or incomplete, or declares more than 100 million pixels.
    """
    data = read_bytes(path, MAX_PICTURE_BYTES)
    if data[:2] in (b"P2", b"P5"):
        return _read_pgm(data, path)
    if data.startswith(SIGNATURE):
        return _read_png(data, path)
    raise InputError("neither a PGM (P2, P5) nor a PNG picture", where=str(path), mend="convert it to one of these")


def _damaged(path: Path, what: str) -> InputError:
    return InputError(what, where=str(path), mend="export or copy the picture again")


def _read_pgm(data: bytes, path: Path) -> Picture:
    position = 2
    header = []
    for name in ("width", "height", "greatest value"):
        found = re.compile(rb"(?:\s|#[^\n]*\n)+(\d{1,12})(?=\s)").match(data, position, position + 4096)
        if found is None:
            raise _damaged(path, f"the header of the PGM has no {name}, or none that is a number")
        header.append(int(found[1]))
        position = found.end()
    columns, rows, white = header
    require_size(rows, columns, str(path))
    if not 1 <= white <= 65535:
        raise _damaged(path, f"the greatest value of the PGM is {white}, and must be 1 to 65535")
    values: Pixels
    if data[:2] == b"P2":
        values = _text_values(data, position, rows * columns, path)
    else:
        kind = np.dtype(np.uint8 if white < 256 else ">u2")
        needed, given = rows * columns * kind.itemsize, len(data) - position - 1
        if given < needed or data[position + 1 + needed :].strip():
            raise _damaged(path, f"{columns} x {rows} pixels take {needed:,} bytes, and {given:,} follow the header")
        values = np.frombuffer(data, dtype=kind, count=rows * columns, offset=position + 1)
    if int(values.max()) > white:
        raise _damaged(path, f"a pixel is {int(values.max())}, above the greatest value {white}")
    return Picture(values.reshape(rows, columns), white)


def _text_values(data: bytes, position: int, count: int, path: Path) -> Pixels:
    """Return the numbers of a PGM written as text, read in blocks: as objects they take thirty times their place."""
    if len(data) - position < 2 * count:
        raise _damaged(
            path, f"the header says {count:,} pixels, and the {len(data) - position:,} characters hold fewer"
        )
    body = re.sub(rb"#[^\n]*", b"", data[position:])
    values, filled, start = np.zeros(count, dtype=np.uint16), 0, 0
    while start < len(body):
        stop = start + TEXT_BLOCK
        while stop < len(body) and not body[stop : stop + 1].isspace():
            stop += 1
        block = body[start:stop]
        words = block.split()
        if block.translate(None, b"0123456789 \t\r\n\v\f") or max(map(len, words), default=0) > 5:
            raise _damaged(path, "a pixel of the PGM is no number from 0 to 65535")
        numbers = np.array(words, dtype="S5").astype(np.int64)
        if filled + len(numbers) > count or numbers.max(initial=0) > 65535:
            raise _damaged(path, f"more than the {count:,} pixels that the header says, or one above 65535")
        values[filled : filled + len(numbers)] = numbers
        filled, start = filled + len(numbers), stop
    if filled < count:
        raise _damaged(path, f"the header says {count:,} pixels and {filled:,} follow it")
    return values


def _read_png(data: bytes, path: Path) -> Picture:
    import cv2

    rows, columns = _check_png(data, path)
    values: Pixels | None = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None or values.shape[:2] != (rows, columns) or values.dtype not in (np.uint8, np.uint16):
        raise _damaged(path, "the PNG cannot be decoded")
    return Picture(values, 255 if values.dtype == np.uint8 else 65535)


def _check_png(data: bytes, path: Path) -> tuple[int, int]:
    """Return rows and columns of a PNG that is whole and holds as many bytes of pixels as it declares.

    Decoders give what they have of a broken picture, black from there on, and black is wall.
    """
    chunks = _chunks(data, path)
    kind, content = chunks[0]
    if kind != b"IHDR" or len(content) != 13:
        raise _damaged(path, "the PNG does not begin with its header")
    columns, rows, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", content)
    if depth not in DEPTHS.get(colour, ()) or interlaced > 1:
        raise _damaged(path, f"a PNG of colour type {colour} with {depth} bits does not exist")
    require_size(rows, columns, str(path))
    bits = depth * CHANNELS[colour]
    # Decoded, palettes and grey with alpha become colours.
    decoded = max(1, depth // 8) * (1 if colour == 0 else 4) * rows * columns
    if decoded > 2 * MAX_PICTURE_BYTES:
        message = f"{columns} x {rows} pixels of {bits} bits take more than {2 * MAX_PICTURE_BYTES >> 20} MiB decoded"
        raise InputError(message, where=str(path), mend="save it in grey")
    sizes = [(columns, rows)]
    if interlaced:
        sizes = [(-(-(columns - x) // dx), -(-(rows - y) // dy)) for x, y, dx, dy in PASSES]
    expected = sum(high * (1 + -(-wide * bits // 8)) for wide, high in sizes if wide > 0 and high > 0)
    inflated = _inflated_size([content for kind, content in chunks if kind == b"IDAT"], expected, path)
    if inflated != expected:
        more = "more" if inflated > expected else f"{inflated:,}"
        raise _damaged(path, f"{columns} x {rows} pixels take {expected:,} bytes, and the PNG holds {more}")
    return rows, columns


def _chunks(data: bytes, path: Path) -> list[tuple[bytes, memoryview]]:
    """Return kind and content of the chunks of a PNG up to its end, all with the right check sums."""
    view, position = memoryview(data), len(SIGNATURE)
    chunks: list[tuple[bytes, memoryview]] = []
    while not chunks or chunks[-1][0] != b"IEND":
        if position + 12 > len(data):
            raise _damaged(path, "the PNG ends before its last chunk")
        (length,), kind = struct.unpack_from(">I", data, position), data[position + 4 : position + 8]
        end = position + 12 + length
        if end > len(data):
            raise _damaged(path, f"the PNG ends within a chunk of {length:,} bytes")
        if zlib.crc32(view[position + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise _damaged(path, f"a chunk of the PNG at byte {position:,} does not match its check sum")
        chunks.append((kind, view[position + 8 : end - 4]))
        position = end
    return chunks


def _inflated_size(parts: list[memoryview], limit: int, path: Path) -> int:
    """Return how many bytes compressed parts hold, at most a block more than ``limit``; keeps none of them."""
    inflater, total = zlib.decompressobj(), 0
    try:
        for part in parts:
            rest: bytes | memoryview = part
            while len(rest) and total <= limit:
                total += len(inflater.decompress(rest, TEXT_BLOCK))
                rest = inflater.unconsumed_tail
        # What was read may hold more than one block gives.
        while total <= limit and (block := inflater.decompress(b"", TEXT_BLOCK)):
            total += len(block)
    except zlib.error as error:
        raise _damaged(path, f"the pixels of the PNG cannot be unpacked: {error}") from error
    return total
