"""COCO panoptic annotations: every pixel belongs to one segment, a thing or a stretch of stuff (Kirillov et al. 2019).

A picture's segments are an 8-bit colour PNG, id = R + 256 G + 65536 B. Things keep their instance ids. All pixels of a
class without instances (floor, walls) are one segment, ``STUFF_BASE`` + class id; so are those of a thing that nobody
numbered, and then ``iscrowd`` is 1. Id 0 is void: nothing was hit, or the object shows too few pixels for a label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.classes import CLASS_NAMES, STUFF_CLASSES
from ...common.errors import InputError
from ..compiled import compiled
from ..labels import LabelledFrame
from ..masks import hash_ids, hash_place
from .coco import IMAGE_LINE, PANOPTIC_LINE, categories, header_chunks, image_chunks, json_text
from .overlay import class_color

STUFF_BASE = 0xFFFF00
"""Segments from here on are stuff; instance ids must be below."""

_IS_STUFF = tuple(name in STUFF_CLASSES for name in CLASS_NAMES)


def panoptic_categories() -> list[dict[str, Any]]:
    """Return COCO's categories with ``isthing`` and ``color`` (RGB)."""
    return [
        {**category, "isthing": int(not stuff), "color": list(class_color(category["id"]))}
        for category, stuff in zip(categories(), _IS_STUFF, strict=True)
    ]


def panoptic_segments(labelled: LabelledFrame) -> tuple[NDArray[np.int32], list[dict[str, Any]]]:
    """Return the segment ids (H, W) int32 of a picture and the records of its segments.

    Raises:
        InputError: an instance id is ``STUFF_BASE`` or above.
    """
    frame = labelled.frame
    things = np.array([label.instance_id for label in labelled.labels], dtype=np.int32)
    if things.max(initial=0) >= STUFF_BASE:
        raise InputError(
            f"instance id {things.max()} does not fit into a panoptic image (below {STUFF_BASE})",
            where="panoptic image",
            mend="number the objects of the layout from 1 on, without gaps",
        )
    instance = np.ascontiguousarray(frame.instance, dtype=np.int32)
    semantic = np.ascontiguousarray(frame.semantic, dtype=np.uint8)
    ids, count, box = _segments(instance, semantic, hash_ids(things), STUFF_BASE)
    segments = [
        {
            "id": label.instance_id,
            "category_id": label.class_id,
            "area": label.area,
            "bbox": list(label.box),
            "iscrowd": 0,
        }
        for label in labelled.labels
    ]
    for class_id in np.flatnonzero(count).tolist():
        left, top, right, bottom = box[class_id].tolist()
        segments.append(
            {
                "id": STUFF_BASE + class_id,
                "category_id": class_id,
                "area": int(count[class_id]),
                "bbox": [left, top, right - left + 1, bottom - top + 1],
                "iscrowd": int(not _IS_STUFF[class_id - 1]),
            }
        )
    return ids, segments


def panoptic_line(labelled: LabelledFrame, segments: list[dict[str, Any]]) -> str:
    """Return the record of a picture's segments as a line of JSON, without the picture's id."""
    return PANOPTIC_LINE + json_text({"file_name": f"{labelled.stem}.png", "segments_info": segments}) + "\n"


def panoptic_chunks(
    shards: Iterable[Callable[[], Iterable[str]]], info: Mapping[str, Any], license_name: str | None
) -> Iterator[str]:
    """Yield the text of ``panoptic.json`` piece by piece; arguments and image ids as in ``coco.instances_chunks``."""
    shards = list(shards)
    yield from header_chunks(panoptic_categories(), info, license_name)
    yield from image_chunks(shards, license_name)
    yield '\n],\n"annotations": ['
    image_id = 0
    first = True
    for line in (line for shard in shards for line in shard()):
        if line.startswith(IMAGE_LINE):
            image_id += 1
        elif line.startswith(PANOPTIC_LINE):
            record = line[len(PANOPTIC_LINE) + 1 :].rstrip("\n")
            yield ("" if first else ",") + f'\n{{"image_id":{image_id},{record}'
            first = False
    yield "\n]\n}\n"


@compiled
def _segments(
    instance: NDArray[np.int32], semantic: NDArray[np.uint8], table: NDArray[np.int32], stuff_base: int
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Return segment ids (H, W), and of each class without instances pixels (256,) and x1, y1, x2, y2 (256, 4)."""
    height, width = instance.shape
    ids = np.zeros((height, width), dtype=np.int32)
    count = np.zeros(256, dtype=np.int64)
    box = np.zeros((256, 4), dtype=np.int64)
    box[:, 0], box[:, 1] = width, height
    for y in range(height):
        begin = 0
        while begin < width:
            key, kind = instance[y, begin], semantic[y, begin]
            end = begin + 1
            while end < width and instance[y, end] == key and semantic[y, end] == kind:
                end += 1
            value = 0
            if key > 0:
                value = table[hash_place(table, key), 0]
            elif kind > 0:
                value = stuff_base + kind
                count[kind] += end - begin
                box[kind, 0], box[kind, 2] = min(box[kind, 0], begin), max(box[kind, 2], end - 1)
                box[kind, 1], box[kind, 3] = min(box[kind, 1], y), max(box[kind, 3], y)
            for x in range(begin, end):
                ids[y, x] = value
            begin = end
    return ids, count, box
