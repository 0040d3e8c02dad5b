"""Conveyors as lines: straight and curved pieces, poses along them, and where one conveyor meets the next."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from .model import Conveyor, Layout

SURFACE_DROP = 0.02
"""What carries the goods is this much [m] below a conveyor's ``height``."""
MEETING_TOLERANCE = 0.05
"""An end meets another conveyor if it is this near [m] to its start, or to its side."""
MERGING_ANGLE = 0.35
"""A feeder that turns by more than this [rad] enters from the side: it needs a gap, not only room behind the last."""
_STRAIGHT = 1e-6


@dataclass(frozen=True)
class Piece:
    """A stretch of a centre line with one curvature.

    Attributes:
        x, y, yaw: pose [m, rad] of its start, x along the motion.
        length: [m].
        curvature: [1/m], above zero where it turns left; 0 where it is straight.
    """

    x: float
    y: float
    yaw: float
    length: float
    curvature: float = 0.0

    def pose(self, s: float) -> tuple[float, float, float]:
        """Return x, y [m], yaw [rad] at ``s`` [m] from its start; beyond its ends the line goes on straight."""
        inside = min(max(s, 0.0), self.length)
        turned = self.curvature * inside
        if self.curvature:
            # The chord of an arc leaves its start at half the angle.
            chord = 2.0 * math.sin(0.5 * turned) / self.curvature
            x = self.x + chord * math.cos(self.yaw + 0.5 * turned)
            y = self.y + chord * math.sin(self.yaw + 0.5 * turned)
        else:
            x, y = self.x + inside * math.cos(self.yaw), self.y + inside * math.sin(self.yaw)
        yaw = self.yaw + turned
        return x + (s - inside) * math.cos(yaw), y + (s - inside) * math.sin(yaw), yaw


@dataclass(frozen=True)
class Joint:
    """Where a conveyor hands goods over to another.

    Attributes:
        source, target: indices of the two in the layout's conveyors.
        diverted: whether it is the outlet of the source's diverter, not its ``next``.
        entry: [m] along the target where the middle of a good comes onto its centre line; below zero if that lies
            before its start.
        transfer: [m] from the source's end to there; a powered transfer carries goods over it at the source's speed.
        gap: [m] by which the two miss each other; 0 where they meet.
        angle: [rad] by which the motion turns, above zero to the left.
    """

    source: int
    target: int
    diverted: bool
    entry: float
    transfer: float
    gap: float
    angle: float


def conveyor_pieces(conveyor: Conveyor) -> tuple[Piece, ...]:
    """Return the pieces of a conveyor's centre line, in order.

    A bend whose arc does not fit between its neighbours gets the largest radius that does (``check_layout`` reports
    it).
    """
    points = [conveyor.start, *((bend.x, bend.y) for bend in conveyor.bends), conveyor.end]
    legs = [math.dist(a, b) for a, b in itertools.pairwise(points)]
    yaws = [math.atan2(b[1] - a[1], b[0] - a[0]) for a, b in itertools.pairwise(points)]
    pieces: list[Piece] = []
    used = 0.0
    x, y = points[0]
    for number, bend in enumerate(conveyor.bends):
        angle = wrapped(yaws[number + 1] - yaws[number])
        tangent = tangent_length(angle, bend.radius)
        last = number == len(conveyor.bends) - 1
        room = min(legs[number] - used, legs[number + 1] * (1.0 if last else 0.5))
        tangent = max(0.0, min(tangent, room))
        straight = legs[number] - used - tangent
        if straight > _STRAIGHT:
            pieces.append(Piece(x, y, yaws[number], straight))
            x, y, _ = pieces[-1].pose(straight)
        if abs(angle) > _STRAIGHT and tangent > 0.0:
            radius = tangent / math.tan(0.5 * abs(angle))
            pieces.append(Piece(x, y, yaws[number], radius * abs(angle), math.copysign(1.0 / radius, angle)))
            x, y, _ = pieces[-1].pose(pieces[-1].length)
        used = tangent
    if legs[-1] - used > _STRAIGHT or not pieces:
        pieces.append(Piece(x, y, yaws[-1], legs[-1] - used))
    return tuple(pieces)


def tangent_length(angle: float, radius: float) -> float:
    """Return how far [m] from the corner an arc of a radius [m] begins, for legs that turn by ``angle`` [rad]."""
    return radius * math.tan(0.5 * min(abs(angle), 3.1))


def line_length(pieces: Sequence[Piece]) -> float:
    """Return the length of a centre line [m]."""
    return sum(piece.length for piece in pieces)


def line_pose(pieces: Sequence[Piece], s: float) -> tuple[float, float, float]:
    """Return x, y [m], yaw [rad] at ``s`` [m] along a centre line; beyond its ends it goes on straight."""
    for piece in pieces[:-1]:
        if s <= piece.length:
            return piece.pose(s)
        s -= piece.length
    return pieces[-1].pose(s)


def nearest_on_line(
    pieces: Sequence[Piece], x: float, y: float, before: float = 0.0, beyond: float = 0.0
) -> tuple[float, float]:
    """Return s [m] and distance [m] of the point of a centre line nearest to x, y.

    The line is taken to begin ``before`` metres ahead of its start and to end ``beyond`` metres after its end.
    """
    best, start = (math.inf, 0.0), 0.0
    for number, piece in enumerate(pieces):
        first = -before if number == 0 else 0.0
        dx, dy = x - piece.x, y - piece.y
        cos, sin = math.cos(piece.yaw), math.sin(piece.yaw)
        along, across = cos * dx + sin * dy, cos * dy - sin * dx
        longest = piece.length + (beyond if number == len(pieces) - 1 else 0.0)
        candidates = [min(max(along, first), longest if not piece.curvature else 0.0)]
        if piece.curvature:
            radius = 1.0 / piece.curvature
            angle = math.atan2(along, math.copysign(radius - across, (radius - across) * radius))
            candidates.append(min(max(angle * abs(radius), 0.0), piece.length))
        for s in candidates:
            px, py, _ = piece.pose(s)
            best = min(best, (math.hypot(x - px, y - py), start + s))
        start += piece.length
    return best[1], best[0]


def conveyor_joints(layout: Layout) -> tuple[Joint, ...]:
    """Return the joints of a layout: one for each conveyor that feeds another and one for each diverter."""
    number = {conveyor.id: index for index, conveyor in enumerate(layout.conveyors)}
    lines = [conveyor_pieces(conveyor) for conveyor in layout.conveyors]
    found = []
    for source, conveyor in enumerate(layout.conveyors):
        outlets = [(conveyor.next, False)]
        if conveyor.divert is not None:
            outlets.append((conveyor.divert.to, True))
        for name, diverted in outlets:
            if name in number and number[name] != source:
                target = number[name]
                found.append(_joint(layout, lines, source, target, diverted))
    return tuple(found)


def _joint(layout: Layout, lines: Sequence[Sequence[Piece]], source: int, target: int, diverted: bool) -> Joint:
    own, other = layout.conveyors[source].width, layout.conveyors[target].width
    x, y, yaw = line_pose(lines[source], line_length(lines[source]))
    entry, distance = nearest_on_line(lines[target], x, y, 0.5 * (own + other))
    angle = wrapped(line_pose(lines[target], entry)[2] - yaw)
    # A target may begin at the side of what feeds it, half the width away from its centre line, but no further.
    ahead = max(0.0, -entry) - 0.5 * own * abs(math.sin(angle))
    return Joint(
        source=source,
        target=target,
        diverted=diverted,
        entry=0.0 if abs(entry) < 1e-9 else entry,
        transfer=distance,
        gap=max(0.0, distance - 0.5 * other, ahead),
        angle=angle,
    )


def rail_openings(layout: Layout) -> dict[int, list[tuple[int, float, float]]]:
    """Return where side rails are left out, for they would stand in the lane of a conveyor that meets this one.

    Returns:
        By index of the conveyor: side (1 left, -1 right), from and to [m] along it. Those without openings are left
        out.
    """
    meeting: dict[int, set[int]] = {}
    for a, b in _meetings(layout):
        meeting.setdefault(a, set()).add(b)
    # Lanes go on to where goods leave them: over a transfer, or back to where the target takes over.
    before, beyond = dict.fromkeys(meeting, 0.0), dict.fromkeys(meeting, 0.0)
    for joint in conveyor_joints(layout):
        before[joint.target] = max(before[joint.target], -joint.entry)
        beyond[joint.source] = max(beyond[joint.source], joint.transfer)
    lines = {index: conveyor_pieces(layout.conveyors[index]) for index in meeting}
    openings: dict[int, list[tuple[int, float, float]]] = {}
    for index in sorted(meeting):
        length, half = line_length(lines[index]), 0.5 * layout.conveyors[index].width - _RAIL_MIDDLE
        count = math.ceil(length / _RAIL_STEP)
        for side in (1, -1):
            for number in range(count):
                x, y, yaw = line_pose(lines[index], (number + 0.5) * length / count)
                x, y = x - side * half * math.sin(yaw), y + side * half * math.cos(yaw)
                widths = {b: layout.conveyors[b].width for b in sorted(meeting[index])}
                if any(_in_lane(w, lines[b], x, y, before[b], beyond[b]) for b, w in widths.items()):
                    span = side, (number - 0.5) * length / count, (number + 1.5) * length / count
                    openings.setdefault(index, []).append(span)
    return openings


_RAIL_STEP, _RAIL_MIDDLE = 0.05, 0.025
"""Length of the pieces in which a rail is left out, and distance of its middle from the conveyor's side [m]."""


def _meetings(layout: Layout) -> list[tuple[int, int]]:
    """Return the pairs of conveyors, both ways round, that meet in one place."""
    groups: dict[tuple[str, int], set[int]] = {}
    for joint in conveyor_joints(layout):
        groups.setdefault(("source", joint.source), {joint.source}).add(joint.target)
        groups.setdefault(("target", joint.target), {joint.target}).add(joint.source)
    return sorted({(a, b) for members in groups.values() for a in members for b in members if a != b})


def _in_lane(width: float, pieces: Sequence[Piece], x: float, y: float, before: float, beyond: float) -> bool:
    s, distance = nearest_on_line(pieces, x, y, before, beyond)
    return distance < 0.5 * width and -before + 1e-6 < s < line_length(pieces) + beyond - 1e-6


def joined_conveyors(layout: Layout) -> frozenset[tuple[str, str]]:
    """Return the pairs of conveyor ids, both ways round, that may share space: those that meet in one place."""
    return frozenset((layout.conveyors[a].id, layout.conveyors[b].id) for a, b in _meetings(layout))


def wrapped(angle: float) -> float:
    """Return an angle [rad] in [-pi, pi)."""
    return (angle + math.pi) % (2.0 * math.pi) - math.pi
