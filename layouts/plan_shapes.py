"""What floor plans are drawn with: styles, marks on the page, and the icons of the legend."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Pixel = tuple[float, float]


@dataclass(frozen=True)
class Style:
    """Colours (light page, dark page) and pen of a kind of mark; None draws nothing. Widths and dashes in pixels."""

    fill: tuple[str, str] | None = None
    stroke: tuple[str, str] | None = None
    width: float = 1.0
    dash: tuple[float, float] | None = None


STYLES: dict[str, Style] = {
    "paper": Style(fill=("#ffffff", "#14181d")),
    "floor": Style(fill=("#f4f2ec", "#1e242b")),
    "zone": Style(fill=("#ffffff", "#ffffff")),
    "grid": Style(stroke=("#e6e2d8", "#29313a"), width=0.7),
    "wall": Style(fill=("#39424e", "#b9c4d0")),
    "column": Style(fill=("#6b7683", "#8b97a5")),
    "obstacle": Style(fill=("#96989c", "#96989c"), stroke=("#454b53", "#c3cad2"), width=0.7),
    "overhead": Style(stroke=("#9aa3ad", "#7d8895"), width=0.8, dash=(3, 3)),
    "rack": Style(fill=("#e3eaf2", "#263443"), stroke=("#4d6c90", "#6f95bf"), width=0.9),
    "load": Style(fill=("#3d6ea6", "#6ea3dc")),
    "bay": Style(stroke=("#4d6c90", "#6f95bf"), width=0.5),
    "aisle": Style(stroke=("#b9a24a", "#9a8a48"), width=1.0, dash=(7, 5)),
    "one_way": Style(fill=("#8a742a", "#cdb75f")),
    "lane": Style(stroke=("#2a8c8c", "#4fb3b3"), width=0.9),
    "lane_arrow": Style(fill=("#2a8c8c", "#4fb3b3")),
    "waypoint": Style(fill=("#1b6464", "#7fd0d0")),
    "conveyor": Style(fill=("#7d8794", "#66717f"), stroke=("#4a535e", "#98a4b1"), width=0.8),
    "roller": Style(fill=("#a9b1ba", "#8b96a3"), stroke=("#4a535e", "#98a4b1"), width=0.8),
    "eye": Style(stroke=("#c4262e", "#ff7d74"), width=1.6),
    "chevron": Style(stroke=("#f4f2ec", "#e2e7ec"), width=1.2),
    "dock": Style(fill=("#e08a1e", "#f0a344"), stroke=("#ffffff", "#14181d"), width=0.8),
    "charger": Style(fill=("#1f9d6b", "#35c48b"), stroke=("#ffffff", "#14181d"), width=0.8),
    "pick": Style(fill=("#1d5fd1", "#6aa2ff"), stroke=("#ffffff", "#14181d"), width=1.0),
    "drop": Style(fill=("#b3261e", "#ff7d74"), stroke=("#ffffff", "#14181d"), width=1.0),
    "pack": Style(fill=("#7b3fb5", "#c08cf5"), stroke=("#ffffff", "#14181d"), width=1.0),
    "good": Style(fill=("#b5885c", "#b5885c"), stroke=("#5e4630", "#2b2118"), width=0.7),
    "person_path": Style(stroke=("#8a8f98", "#a5acb6"), width=1.3, dash=(2, 3)),
    "path": Style(stroke=("#000000", "#ffffff"), width=2.0),
    "path_edge": Style(stroke=("#ffffff", "#14181d"), width=3.6),
    "path_start": Style(fill=("#000000", "#ffffff"), stroke=("#ffffff", "#14181d"), width=1.2),
    "collision": Style(stroke=("#d10f2f", "#ff5d73"), width=3.0),
    "near_miss": Style(fill=("#f5b301", "#ffc933"), stroke=("#5b4300", "#14181d"), width=0.8),
    "event": Style(stroke=("#d10f2f", "#ff5d73"), width=1.4),
    "scale": Style(fill=("#39424e", "#b9c4d0"), stroke=("#39424e", "#b9c4d0"), width=1.0),
    "scale_gap": Style(fill=("#ffffff", "#14181d"), stroke=("#39424e", "#b9c4d0"), width=1.0),
    "title": Style(fill=("#1c2229", "#eef2f6")),
    "text": Style(fill=("#55606c", "#a9b4c0")),
    "label": Style(fill=("#20344a", "#dfeaf5")),
    "halo": Style(fill=("#20344a", "#dfeaf5"), stroke=("#f4f2ec", "#1e242b"), width=2.6),
}

PATH_COLORS = ("#d1495b", "#00798c", "#e39b1b", "#6a4c93", "#2f7dd1", "#5f9e1c", "#f3722c", "#137a63")
"""One for each robot, repeated beyond eight."""


@dataclass(frozen=True)
class Mark:
    """One shape on the page [pixels, y down].

    Attributes:
        kind: "polygon" and "line" use all points; "circle" the first and ``size`` as radius; "text" the first and
            ``size`` as font height.
        style: a name in ``STYLES``.
        points: corners.
        size: radius or font height.
        opacity: of the fill.
        color: replaces the style's main colour (a good's own, a robot's own).
        text: the words of a text, or the tooltip of a shape.
        anchor: of a text, along its line.
        turn: of a text [degrees, counter-clockwise].
    """

    kind: Literal["polygon", "line", "circle", "text"]
    style: str
    points: tuple[Pixel, ...]
    size: float = 0.0
    opacity: float = 1.0
    color: str | None = None
    text: str = ""
    anchor: Literal["start", "middle", "end"] = "middle"
    turn: float = 0.0


def middle_of(start: tuple[float, float], end: tuple[float, float]) -> tuple[tuple[float, float], float, float]:
    """Return the middle of a line [m], its length [m] and its yaw [rad]."""
    centre = 0.5 * (start[0] + end[0]), 0.5 * (start[1] + end[1])
    return centre, math.dist(start, end), math.atan2(end[1] - start[1], end[0] - start[0])


def ends_of(width: float) -> tuple[float, float]:
    """Return the two ends of a width [m] about its middle."""
    return -0.5 * width, 0.5 * width


def hex_color(color: tuple[int, int, int]) -> str:
    """Return a colour as a web page writes it."""
    return "#{:02x}{:02x}{:02x}".format(*(min(255, max(0, channel)) for channel in color))


def line_mark(style: str, points: Sequence[Pixel], *, color: str | None = None, text: str = "") -> Mark:
    """Return a line."""
    return Mark("line", style, tuple(points), color=color, text=text)


def box_mark(style: str, x: float, y: float, width: float, height: float, opacity: float = 1.0) -> Mark:
    """Return a rectangle about a point of the page."""
    left, right, top, bottom = x - 0.5 * width, x + 0.5 * width, y - 0.5 * height, y + 0.5 * height
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return Mark("polygon", style, tuple((round(a, 2), round(b, 2)) for a, b in corners), opacity=opacity)


def arrow(style: str, at: Pixel, yaw: float, size: float, title: str) -> Mark:
    """Return a navigator's arrow head that points along ``yaw`` (page y runs down)."""
    cos, sin = math.cos(yaw), -math.sin(yaw)
    shape = ((1.0, 0.0), (-0.8, 0.75), (-0.4, 0.0), (-0.8, -0.75))
    points = tuple(
        (round(at[0] + size * (cos * a - sin * b), 2), round(at[1] + size * (sin * a + cos * b), 2)) for a, b in shape
    )
    return Mark("polygon", style, points, text=title)


def arrow_icon(kind: str) -> Callable[[float, float], list[Mark]]:
    """Return the legend's icon of a station."""
    return lambda x, y: [arrow(kind, (x, y), 0.0, 8.0, "")]


def boxes_icon(style: str, width: float, height: float) -> Callable[[float, float], list[Mark]]:
    """Return the legend's icon of a rectangle."""
    return lambda x, y: [box_mark(style, x, y, width, height)]


def zone_icon(color: str) -> Callable[[float, float], list[Mark]]:
    """Return the legend's icon of a zone."""
    corners = ((-9.0, -5.0), (9.0, -5.0), (9.0, 5.0), (-9.0, 5.0))
    return lambda x, y: [Mark("polygon", "zone", tuple((x + a, y + b) for a, b in corners), opacity=0.45, color=color)]


def overhead_icon(x: float, y: float) -> list[Mark]:
    """Return the legend's icon of what is above traffic."""
    return [line_mark("overhead", [(x - 9, y), (x + 9, y)])]


def rack_icon(x: float, y: float) -> list[Mark]:
    """Return the legend's icon of racks."""
    return [
        box_mark("rack", x, y, 22, 10),
        box_mark("load", x - 5.5, y, 11, 10, 0.25),
        box_mark("load", x + 5.5, y, 11, 10, 0.8),
    ]


def event_icon(kind: str) -> Callable[[float, float], list[Mark]]:
    """Return the legend's icon of an event."""
    return lambda x, y: event_marks(kind, x, y)


def event_marks(kind: str, x: float, y: float) -> list[Mark]:
    """Return the marks of an event at a point of the page."""
    title = kind.replace("_", " ")
    if kind == "collision":
        strokes = (((x - 6, y - 6), (x + 6, y + 6)), ((x - 6, y + 6), (x + 6, y - 6)))
        return [Mark("line", "collision", stroke, text=title) for stroke in strokes]
    if kind == "near_miss":
        return [Mark("polygon", "near_miss", ((x, y - 7), (x + 7, y + 5), (x - 7, y + 5)), text=title)]
    return [Mark("circle", "event", ((x, y),), size=6.0, text=title)]
