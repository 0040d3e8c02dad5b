"""Marks and colours that the plan and the panel share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ...layouts.plan_shapes import PATH_COLORS, STYLES
from ..record import Event
from ..routes import FloatArray
from .lettering import Color, Picture

SHIFT = 4
"""Bits of a pixel's fraction that OpenCV draws with."""

PERSON: Color = (255, 138, 28)
LOAD: Color = (214, 164, 96)
INK: Color = (28, 34, 41)
WHITE: Color = (255, 255, 255)


def color_of(style: str, *, stroke: bool = False) -> Color:
    """Return the colour that floor plans give a kind of mark."""
    pair = STYLES[style].stroke if stroke else STYLES[style].fill
    return _rgb(pair[0] if pair else "#000000")


def _rgb(text: str) -> Color:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


ROBOTS: tuple[Color, ...] = tuple(_rgb(text) for text in PATH_COLORS)
"""Colours of the robots, repeated beyond these."""
EVENT_COLORS: dict[str, Color] = {
    "collision": color_of("collision", stroke=True),
    "near_miss": color_of("near_miss"),
    "estop": (126, 60, 160),
    "stuck": (90, 96, 104),
    "timeout": (90, 96, 104),
    "planning_failed": (90, 96, 104),
    "fault": (150, 90, 20),
    "disturbance": (20, 104, 150),
}


def event_words(event: Event) -> str:
    """Return what an event was, in a few words."""
    if event.kind == "collision":
        return f"contact with {event.other.replace('_', ' ') or 'something'} at {event.value:.2f} m/s"
    if event.kind == "disturbance":
        return f"{event.other.replace('_', ' ')}{': over' if event.other_id == 'end' else ''}"
    if event.kind == "conveyor":
        return f"{event.other_id}: {event.other.replace('_', ' ')}"
    if event.kind == "fault":
        return f"{event.other.replace('_', ' ')}, {event.other_id}"
    names = {"near_miss": "near miss", "estop": "emergency stop", "planning_failed": "no way found"}
    places = {"pick": "loaded at", "drop": "unloaded at", "goal_reached": "reached"}
    if event.kind in places:
        return f"{places[event.kind]} {event.other_id}"
    return names.get(event.kind, event.kind.replace("_", " "))


def draw_mark(picture: Picture, kind: str, at: Sequence[float] | FloatArray, unit: float) -> None:
    """Draw the mark of an incident around a pixel, in place; ``unit`` is the pixels of the page's units."""
    color, centre = EVENT_COLORS[kind], np.asarray(at)
    if kind == "collision":
        for pen, tint in ((5.5, WHITE), (3.2, color)):
            for turn in ((1, 1), (1, -1)):
                ends = np.stack([centre - 6.0 * unit * np.array(turn), centre + 6.0 * unit * np.array(turn)])
                cv2.polylines(picture, [fixed(ends)], False, tint, max(1, round(pen * unit)), cv2.LINE_AA, SHIFT)
        return
    if kind == "near_miss":
        corners = centre + unit * np.array([[0.0, -8.0], [7.5, 5.0], [-7.5, 5.0]])
    elif kind == "estop":
        angles = np.arange(8) * math.pi / 4 + math.pi / 8
        corners = centre + 6.5 * unit * np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    else:
        corners = centre + 5.5 * unit * np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]])
    cv2.fillConvexPoly(picture, fixed(corners), color, cv2.LINE_AA, SHIFT)
    cv2.polylines(picture, [fixed(corners)], True, INK, max(1, round(unit)), cv2.LINE_AA, SHIFT)


def draw_sign(picture: Picture, kind: str, at: Sequence[float] | FloatArray, unit: float) -> None:
    """Draw what a legend shows for a robot ("robot", "laden"), a "goal", a "person" or a "moved" good, in place."""
    centre, box = np.asarray(at), unit * np.array([[-9.0, -5.0], [9.0, -5.0], [9.0, 5.0], [-9.0, 5.0]])
    pen = max(1, round(unit))
    if kind in ("robot", "laden"):
        cv2.fillConvexPoly(picture, fixed(centre + box), ROBOTS[0], cv2.LINE_AA, SHIFT)
        if kind == "laden":
            cv2.fillConvexPoly(picture, fixed(centre + 0.65 * box - (2.5 * unit, 0.0)), LOAD, cv2.LINE_AA, SHIFT)
        nose = unit * np.array([[8.5, 0.0], [4.0, 4.0], [4.0, -4.0]])
        cv2.fillConvexPoly(picture, fixed(centre + nose), WHITE, cv2.LINE_AA, SHIFT)
        cv2.polylines(picture, [fixed(centre + box)], True, INK, pen, cv2.LINE_AA, SHIFT)
    elif kind == "goal":
        circle(picture, centre, 5.5 * unit, ROBOTS[0], 2 * pen)
    elif kind == "person":
        for radius, color in ((6.0, INK), (5.0, PERSON), (2.0, WHITE)):
            circle(picture, centre, radius * unit, color, -1)
    else:
        cv2.fillConvexPoly(picture, fixed(centre + 0.7 * box), LOAD, cv2.LINE_AA, SHIFT)
        cv2.polylines(picture, [fixed(centre + 0.7 * box)], True, EVENT_COLORS["collision"], pen, cv2.LINE_AA, SHIFT)


def circle(picture: Picture, at: Sequence[float] | FloatArray, radius: float, color: Color, pen: int) -> None:
    """Draw a circle around a pixel, in place; a disc if ``pen`` is -1."""
    centre = fixed(np.asarray(at, dtype=np.float64)[None])[0]
    place = (int(centre[0]), int(centre[1]))
    cv2.circle(picture, place, max(1, round(radius * (1 << SHIFT))), color, pen, cv2.LINE_AA, SHIFT)


def fixed(pixels: FloatArray) -> NDArray[np.int32]:
    """Return pixels (N, 2) as OpenCV's fixed-point numbers; far outside the picture all is one."""
    return np.round(np.clip(pixels, -20_000.0, 20_000.0) * (1 << SHIFT)).astype(np.int32)
