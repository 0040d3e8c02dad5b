"""Parallel rack rows and the aisles between them, and the outer walls: what every generated hall is laid out with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .model import Column, Light, Wall
from .recipe import COLUMN_WIDTH, WALL_GAP, Frame

WALL_THICKNESS = 0.2
LIGHT_SPACING = 8.0


@dataclass(frozen=True)
class Rows:
    """Where rows and aisles lie across a hall.

    Attributes:
        aisles: v of the centre line and clear width [m] of each aisle.
        lines: v of the centre of each line of racks [m].
        flues: v of the middle of each gap between two lines back to back [m].
        faces: whether each aisle has racks below it (towards v = 0) and above it.
    """

    aisles: list[tuple[float, float]]
    lines: list[float]
    flues: list[float]
    faces: list[tuple[bool, bool]]


def lay_rows(widths: Sequence[float], depth: float, flue: float, wall_racks: tuple[bool, bool]) -> Rows:
    """Lay aisles of given widths [m] side by side from v = 0, two lines of racks back to back between each two.

    Args:
        widths: of the aisles [m].
        depth: of a rack [m]; flue: the gap between two back to back [m].
        wall_racks: whether a single line stands at v = 0, and one beyond the last aisle.
    """
    rows = Rows([], [], [], [])
    v = 0.0
    if wall_racks[0]:
        rows.lines.append(WALL_GAP + 0.5 * depth)
        v = WALL_GAP + depth
    for index, width in enumerate(widths):
        rows.aisles.append((v + 0.5 * width, width))
        last = index + 1 == len(widths)
        rows.faces.append((index > 0 or wall_racks[0], not last or wall_racks[1]))
        v += width
        if not last:
            rows.lines.extend((v + 0.5 * depth, v + 1.5 * depth + flue))
            rows.flues.append(v + depth + 0.5 * flue)
            v += 2 * depth + flue
    if wall_racks[1]:
        rows.lines.append(v + 0.5 * depth)
    return rows


def outer_walls(frame: Frame, length: float, width: float, height: float) -> list[Wall]:
    """Return the four walls around a hall of ``length`` x ``width`` along u and v [m], inner faces on its edge."""
    out = -0.5 * WALL_THICKNESS
    far_u, far_v = length - out, width - out
    # Two of the walls run on to close the corners.
    lines = [((2 * out, out), (far_u - out, out)), ((far_u, out), (far_u, far_v))]
    lines += [((far_u - out, far_v), (2 * out, far_v)), ((out, far_v), (out, out))]
    return [straight_wall(frame, f"W{i + 1}", *line, WALL_THICKNESS, height) for i, line in enumerate(lines)]


def straight_wall(
    frame: Frame, name: str, start: tuple[float, float], end: tuple[float, float], thickness: float, height: float
) -> Wall:
    """Return a wall between two points u, v [m]."""
    return Wall(id=name, start=frame.point(*start), end=frame.point(*end), thickness=thickness, height=height)


def columns_between(
    frame: Frame,
    flues: Sequence[float],
    segments: Sequence[tuple[float, int]],
    bay_width: float,
    length: float,
    spacing: float,
    height: float,
) -> list[Column]:
    """Return the building's columns: on a grid along the rows, only in gaps between back-to-back racks.

    Args:
        frame: lays row coordinates into the hall.
        flues: v of the gaps [m].
        segments: first u [m] and bays of the racks of every line; bay_width: [m].
        length: of the hall along u [m]; spacing: of the columns [m]; height: [m].
    """
    columns: list[Column] = []
    first = (0.5 * length) % spacing
    for v in flues:
        for index in range(int((length - first) // spacing) + 1):
            u = first + index * spacing
            if any(start + 0.2 <= u <= start + bays * bay_width - 0.1 for start, bays in segments):
                x, y = frame.point(u, v)
                columns.append(Column(id=f"P{len(columns) + 1:02d}", x=x, y=y, width=COLUMN_WIDTH, height=height))
    return columns


def lights_along(frame: Frame, v: float, start: float, end: float, z: float) -> list[Light]:
    """Return ceiling lights along u from ``start`` to ``end`` [m], about ``LIGHT_SPACING`` apart, at height z [m]."""
    count = max(1, round((end - start) / LIGHT_SPACING))
    step = (end - start) / count
    return [Light(position=(*frame.point(start + (i + 0.5) * step, v), z)) for i in range(count)]
