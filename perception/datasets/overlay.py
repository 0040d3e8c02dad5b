"""Pictures with their labels drawn on them, for pages and for the eye."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ...common.classes import CLASS_NAMES
from ..config import CameraConfig
from ..labels import EDGE_PIECES, ObjectLabel
from ..projection import FISHEYE, LENS, PINHOLE, camera_view, project_points

# Distinct for those who see colours differently too (Okabe and Ito 2008, and tints of it); background classes are grey.
_PALETTE: dict[str, tuple[int, int, int]] = {
    "person": (213, 94, 0),
    "forklift": (240, 228, 66),
    "amr": (0, 114, 178),
    "pallet_truck": (255, 190, 90),
    "pallet": (0, 158, 115),
    "small_load_carrier": (86, 180, 233),
    "stillage": (120, 200, 160),
    "box": (230, 159, 0),
    "rack": (110, 120, 200),
    "conveyor": (204, 121, 167),
    "cone": (255, 110, 110),
    "crate": (150, 190, 60),
    "charger": (0, 200, 200),
    "dock_door": (170, 130, 90),
    "sign": (250, 250, 250),
}

_WIRED = 0.3
"""Least visible fraction of an object whose 3D box is drawn."""

_BOX_EDGES = [(i, i | bit) for i in range(8) for bit in (1, 2, 4) if not i & bit]


def class_color(class_id: int) -> tuple[int, int, int]:
    """Return the colour, RGB 0 to 255, that stands for a class in every drawing."""
    return _PALETTE.get(CLASS_NAMES[class_id - 1], (150, 150, 150))


def draw_labels(
    rgb: NDArray[np.uint8],
    labels: Sequence[ObjectLabel],
    *,
    opacity: float = 0.4,
    text: bool = True,
    config: CameraConfig | None = None,
) -> NDArray[np.uint8]:
    """Draw masks, 2D boxes, and class and distance of labels over a picture.

    Far objects are drawn first. Text is left out where the box is too small to carry it.

    Args:
        rgb: (H, W, 3) uint8; not changed.
        labels: of this picture.
        opacity: of the masks, 0 to 1.
        text: whether to name class and distance.
        config: of the camera; if given, 3D boxes are drawn as wires (not of racks, nor of what is mostly hidden).

    Returns:
        (H, W, 3) uint8.
    """
    tint = np.zeros_like(rgb)
    covered = np.zeros(rgb.shape[:2], dtype=bool)
    ordered = sorted(labels, key=lambda label: (-label.distance_m, label.instance_id))
    for label in ordered:
        x, y, width, height = label.box
        window = (slice(y, y + height), slice(x, x + width))
        mask = label.mask[window]
        tint[window][mask] = class_color(label.class_id)
        covered[window] |= mask
    blend = np.where(covered[..., None], np.float32(opacity), np.float32(0.0))
    canvas = np.ascontiguousarray((rgb * (1 - blend) + tint * blend + np.float32(0.5)).astype(np.uint8))
    for label in ordered:
        x, y, width, height = label.box
        color = class_color(label.class_id)
        cv2.rectangle(canvas, (x, y), (x + width - 1, y + height - 1), color, 1)
        if config is not None and label.class_name != "rack" and label.visib_fract >= _WIRED:
            _draw_wires(canvas, label, config, color)
    if text:
        for label in ordered:
            _draw_caption(canvas, label)
    return canvas


def _draw_wires(
    canvas: NDArray[np.uint8], label: ObjectLabel, config: CameraConfig, color: tuple[int, int, int]
) -> None:
    corners = label.corners_camera
    view = camera_view(config)
    if view[LENS] != FISHEYE and corners[:, 2].min() < config.near:
        return
    steps = np.linspace(0.0, 1.0, 2 if view[LENS] == PINHOLE else EDGE_PIECES + 1)[None, :, None]
    start, stop = corners[_BOX_EDGES].swapaxes(0, 1)
    edges = start[:, None] + steps * (stop - start)[:, None]
    image = project_points(edges.reshape(-1, 3), config).reshape(*edges.shape[:2], 2)
    # Four fractional bits give smooth lines.
    points = np.round(np.clip(image, -1e4, 1e4) * 16).astype(np.int32)
    cv2.polylines(canvas, list(points), False, color, 1, cv2.LINE_AA, 4)


def _draw_caption(canvas: NDArray[np.uint8], label: ObjectLabel) -> None:
    caption = f"{label.class_name.replace('_', ' ')} {label.distance_m:.1f} m"
    scale = 0.36
    (width, height), below = cv2.getTextSize(caption, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
    if label.box[2] < 0.6 * width or label.box[3] < 2 * height:
        return
    x = min(max(label.box[0], 0), max(canvas.shape[1] - width - 4, 0))
    y = max(label.box[1], height + below + 2)
    color = class_color(label.class_id)
    cv2.rectangle(canvas, (x, y - height - below - 2), (x + width + 4, y), color, cv2.FILLED)
    # Black or white, whichever stands out more (luma of Rec. 601).
    dark = 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2] > 140
    ink = (0, 0, 0) if dark else (255, 255, 255)
    cv2.putText(canvas, caption, (x + 2, y - below), cv2.FONT_HERSHEY_SIMPLEX, scale, ink, 1, cv2.LINE_AA)
