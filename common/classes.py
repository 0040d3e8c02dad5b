"""The semantic classes of every mask, box and point label. Ids start at 1; 0 means nothing was hit."""

from __future__ import annotations

CLASS_NAMES: tuple[str, ...] = (
    "person",
    "forklift",
    "amr",
    "pallet_truck",
    "pallet",
    "small_load_carrier",
    "stillage",
    "box",
    "rack",
    "conveyor",
    "cone",
    "crate",
    "charger",
    "wall",
    "floor",
    "column",
    "dock_door",
    "sign",
    "obstacle",
)

CLASS_IDS: dict[str, int] = {name: index for index, name in enumerate(CLASS_NAMES, start=1)}

STUFF_CLASSES: frozenset[str] = frozenset({"wall", "floor"})
"""Classes without countable instances (COCO panoptic "stuff"); every other class has instance ids."""


def class_name(class_id: int) -> str:
    """Return the name of a class id (1-based)."""
    return CLASS_NAMES[class_id - 1]
