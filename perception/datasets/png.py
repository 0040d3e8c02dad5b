"""Pictures as PNG files: how colour, depth, instance and semantic images are stored, and reading them back with care.

Compression settings are those that measured fastest for each kind of image (zlib level 1; at 640x480 about 8 ms for a
noisy colour picture, 1.4 ms for depth and ids) and within 6 % of the smallest files for colour. The bytes depend on the
pixels alone.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...common.errors import InputError

MAX_DEPTH_MM = 65535
"""Depths beyond 65.535 m are stored as 0, like pixels that hit nothing."""

MAX_INSTANCE_ID = (1 << 24) - 1
"""Images with ids up to 65,535 are 16-bit grey; greater ones make them COCO-panoptic colour, R + 256 G + 65536 B."""

FLAT_SHARE = 0.8
"""Colour pictures in which more values than that equal the one above are searched for repeats."""

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Sensor noise has neither repeats nor runs to search for: codes by frequency only, of differences from the row above.
_NOISY = [
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
]
# Ids and exact depth repeat from row to row.
_SMOOTH = [
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_DEFAULT),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP),
]


def encode_rgb(rgb: NDArray[np.uint8]) -> bytes:
    """Encode a colour picture (H, W, 3) uint8."""
    image = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2BGR)
    # One pair of rows in sixteen tells noise from flat colour, of which codes by frequency would keep a bit per value.
    above, below = image[:-1:16], image[1::16]
    flat = np.count_nonzero(above == below) > FLAT_SHARE * above.size
    return _encode(image, _SMOOTH if flat else _NOISY)


def encode_depth(depth: NDArray[np.floating]) -> bytes:
    """Encode planar depth (H, W) [m] as whole millimetres, uint16; 0 where nothing was hit or beyond 65.535 m."""
    millimetres = depth * np.float32(1000.0) + np.float32(0.5)
    # What is not a number is not within the range either.
    stored = np.where((millimetres >= 0) & (millimetres < MAX_DEPTH_MM + 1), millimetres, np.float32(0.0))
    return _encode(stored.astype(np.uint16), _SMOOTH)


def encode_instance(instance: NDArray[np.integer]) -> bytes:
    """Encode an id buffer (H, W); see ``MAX_INSTANCE_ID`` for the two forms.

    Raises:
        InputError: an id does not fit into 24 bits.
    """
    greatest = int(instance.max(initial=0))
    if greatest <= 65535:
        return _encode(instance.astype(np.uint16), _SMOOTH)
    if greatest > MAX_INSTANCE_ID:
        raise InputError(
            f"instance id {greatest} does not fit into an instance image (at most {MAX_INSTANCE_ID})",
            where="instance image",
            mend="number the objects of the layout from 1 on, without gaps",
        )
    # cv2 takes blue first.
    parts = np.stack([instance >> 16, (instance >> 8) & 255, instance & 255], axis=2)
    return _encode(parts.astype(np.uint8), _SMOOTH)


def encode_panoptic(segment: NDArray[np.integer]) -> bytes:
    """Encode segment ids (H, W), 0 to ``MAX_INSTANCE_ID``, as COCO's panoptic colour R + 256 G + 65536 B."""
    # cv2 takes blue first: the bytes of a big-endian word after its first.
    wide = np.ascontiguousarray(segment, dtype=">u4").view(np.uint8).reshape(*segment.shape, 4)
    return _encode(np.ascontiguousarray(wide[:, :, 1:]), _SMOOTH)


def encode_semantic(semantic: NDArray[np.uint8]) -> bytes:
    """Encode class ids (H, W) uint8."""
    return _encode(np.ascontiguousarray(semantic, dtype=np.uint8), _SMOOTH)


def read_rgb(path: str | Path) -> NDArray[np.uint8]:
    """Read a colour picture (H, W, 3) uint8 RGB; raises InputError as ``decode_png`` does."""
    image = decode_png(_read(path), str(path))
    if image.ndim != 3 or image.dtype != np.uint8:
        raise InputError("not an 8-bit colour picture", where=str(path))
    return np.ascontiguousarray(image[:, :, 2::-1])


def read_depth(path: str | Path) -> NDArray[np.float32]:
    """Read planar depth (H, W) float32 [m], inf where nothing was stored; raises InputError as ``decode_png`` does."""
    image = decode_png(_read(path), str(path))
    if image.ndim != 2 or image.dtype != np.uint16:
        raise InputError("not a 16-bit grey depth image", where=str(path))
    return np.where(image == 0, np.float32(np.inf), image.astype(np.float32) / np.float32(1000.0))


def read_instance(path: str | Path) -> NDArray[np.int32]:
    """Read an id buffer (H, W) int32 of either form; raises InputError as ``decode_png`` does."""
    image = decode_png(_read(path), str(path))
    if image.ndim == 3 and image.dtype == np.uint8:
        wide = image.astype(np.int32)
        return wide[:, :, 2] + 256 * wide[:, :, 1] + 65536 * wide[:, :, 0]
    if image.dtype != np.uint16:
        raise InputError("not an instance image (16-bit grey or 8-bit colour)", where=str(path))
    return image.astype(np.int32)


def read_panoptic(path: str | Path) -> NDArray[np.int32]:
    """Read panoptic segment ids (H, W) int32; raises InputError as ``decode_png`` does."""
    image = decode_png(_read(path), str(path))
    if image.ndim != 3 or image.dtype != np.uint8:
        raise InputError("not a panoptic image (8-bit colour)", where=str(path))
    wide = image.astype(np.int32)
    return wide[:, :, 2] + 256 * wide[:, :, 1] + 65536 * wide[:, :, 0]


def read_semantic(path: str | Path) -> NDArray[np.uint8]:
    """Read class ids (H, W) uint8; raises InputError as ``decode_png`` does."""
    image = decode_png(_read(path), str(path))
    if image.ndim != 2 or image.dtype != np.uint8:
        raise InputError("not an 8-bit grey image of class ids", where=str(path))
    return image


def decode_png(data: bytes, source: str) -> NDArray:
    """Decode a PNG, blue first, in the depth it has, after every chunk's length and checksum has been verified.

    Decoders make grey rows of what is missing from a cut file, so that the check has to come first.

    Raises:
        InputError: empty, cut short, damaged or not a PNG.
    """
    if not data:
        raise InputError("the PNG is empty (0 bytes)", where=source, mend="generate it again")
    if not data.startswith(_SIGNATURE):
        raise InputError("not a PNG file", where=source)
    view = memoryview(data)
    at = len(_SIGNATURE)
    kind = b""
    while kind != b"IEND":
        if at + 12 > len(data):
            raise InputError(f"the PNG is cut short after {len(data)} bytes", where=source, mend="generate it again")
        (length,) = struct.unpack_from(">I", data, at)
        kind = data[at + 4 : at + 8]
        end = at + 8 + length
        if end + 4 > len(data):
            raise InputError(f"the PNG is cut short after {len(data)} bytes", where=source, mend="generate it again")
        if zlib.crc32(view[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise InputError(f"the PNG is damaged near byte {at}", where=source, mend="generate it again")
        at = end + 4
    image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise InputError("the PNG cannot be decoded", where=source, mend="generate it again")
    return image


def _encode(image: NDArray, parameters: list[int]) -> bytes:
    good, data = cv2.imencode(".png", image, parameters)
    if not good:
        raise InputError(f"an image of shape {image.shape} cannot be encoded as PNG")
    return data.tobytes()


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except FileNotFoundError as error:
        raise InputError("no such file", where=str(path), mend="generate it again") from error
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror or error}", where=str(path)) from error
