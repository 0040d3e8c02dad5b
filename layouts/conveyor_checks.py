"""Checks of conveyors: that they can be built, that they meet what they feed, and that goods never go in circles."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping

from .conveyors import (
    MEETING_TOLERANCE,
    Joint,
    conveyor_joints,
    conveyor_pieces,
    line_length,
    line_pose,
    tangent_length,
    wrapped,
)
from .model import Conveyor, Layout, Station

Finding = tuple[str, str, str]
"""Field, message, mend: the parts of a ``validation.Problem``."""

MAX_STEP = 0.03
"""Largest difference in height [m] between a conveyor and what it feeds."""
STATION_REACH = 3.0
"""A station stands at most this far [m] from the end of a conveyor that it serves."""
SHARPEST_BEND = 2.9
"""Angle [rad] above which a bend is a reversal."""
GRAVITY = 9.81


def conveyor_problems(layout: Layout) -> Iterator[Finding]:
    """Yield what is wrong with the conveyors of a layout."""
    stations = {station.id: station for station in layout.stations}
    known = {conveyor.id for conveyor in layout.conveyors}
    for index, conveyor in enumerate(layout.conveyors):
        field = f"conveyors[{index}]"
        yield from _bends(conveyor, field)
        yield from _fittings(conveyor, field)
        yield from _ends(conveyor, field, known, stations)
        yield from _served(conveyor, field, stations)
    joints = conveyor_joints(layout)
    for joint in joints:
        yield from _meeting(layout, joint)
    yield from _circles(layout, joints)


def _bends(conveyor: Conveyor, field: str) -> Iterator[Finding]:
    points = [conveyor.start, *((bend.x, bend.y) for bend in conveyor.bends), conveyor.end]
    legs = [math.dist(a, b) for a, b in itertools.pairwise(points)]
    yaws = [math.atan2(b[1] - a[1], b[0] - a[0]) for a, b in itertools.pairwise(points)]
    if conveyor.bends and min(legs) < 0.01:
        yield f"{field}.bends", f"two corners of '{conveyor.id}' are in one place", "move or remove one of them"
        return
    angles = [wrapped(b - a) for a, b in itertools.pairwise(yaws)]
    tangents = [0.0, *(tangent_length(a, b.radius) for a, b in zip(angles, conveyor.bends, strict=True)), 0.0]
    for number, (bend, angle) in enumerate(zip(conveyor.bends, angles, strict=True)):
        at = f"{field}.bends[{number}]"
        if abs(angle) > SHARPEST_BEND:
            yield at, f"'{conveyor.id}' turns back on itself", "make it two bends"
        if bend.radius <= 0.5 * conveyor.width:
            what = f"'{conveyor.id}' is {conveyor.width:g} m wide and turns on {bend.radius:g} m"
            yield f"{at}.radius", what, "give a radius above half the width"
        limit = conveyor.friction * GRAVITY * bend.radius
        if conveyor.speed**2 > limit:
            what = (
                f"'{conveyor.id}' goes round {bend.radius:g} m at {conveyor.speed:g} m/s, and friction "
                f"{conveyor.friction:g} holds goods up to {math.sqrt(limit):.2f} m/s"
            )
            yield f"{at}.radius", what, "widen the bend, or let the conveyor run slower"
    for number, leg in enumerate(legs):
        if tangents[number] + tangents[number + 1] > leg + 1e-6:
            what = (
                f"the bends of '{conveyor.id}' take {tangents[number] + tangents[number + 1]:.2f} m of a leg of "
                f"{leg:.2f} m"
            )
            yield f"{field}.bends", what, "give smaller radii, or move the corners apart"


def _fittings(conveyor: Conveyor, field: str) -> Iterator[Finding]:
    length = line_length(conveyor_pieces(conveyor))
    for number, eye in enumerate(conveyor.eyes):
        if eye.at > length:
            what = f"'{eye.id}' is at {eye.at:g} m and '{conveyor.id}' is {length:.2f} m long"
            yield f"{field}.eyes[{number}].at", what, "give a distance along the conveyor"
    zone = conveyor.zone_length
    if zone is not None:
        if zone > length + 1e-9:
            what = f"the zones of '{conveyor.id}' are {zone:g} m long, the conveyor only {length:.2f} m"
            yield f"{field}.zone_length", what, "give shorter zones, or none"
        stopping = conveyor.speed**2 / (2.0 * conveyor.friction * GRAVITY)
        if zone < 2.0 * stopping:
            what = f"goods on '{conveyor.id}' need {stopping:.2f} m to stop, its zones are {zone:g} m long"
            yield f"{field}.zone_length", what, "give zones at least twice as long as that"


def _ends(conveyor: Conveyor, field: str, known: set[str], stations: Mapping[str, Station]) -> Iterator[Finding]:
    names = [("next", conveyor.next)]
    if conveyor.divert is not None:
        names.append(("divert.to", conveyor.divert.to))
        if conveyor.next is None:
            yield f"{field}.divert", f"'{conveyor.id}' diverts goods but has no 'next'", "name what it feeds otherwise"
        elif conveyor.next == conveyor.divert.to:
            yield f"{field}.divert.to", f"both outlets of '{conveyor.id}' are '{conveyor.next}'", "name another one"
        if conveyor.divert.to in stations or conveyor.next in stations:
            what = f"'{conveyor.id}' diverts to or past a station"
            yield f"{field}.divert", what, "let both outlets be conveyors; a station stands at the end of one"
    for key, name in names:
        if name == conveyor.id:
            yield f"{field}.{key}", f"'{conveyor.id}' feeds itself", "name the conveyor that comes after it"
        elif name is not None and name not in known and name not in stations:
            what = f"'{conveyor.id}' feeds '{name}', which is no conveyor or station of the layout"
            yield f"{field}.{key}", what, "name one of them, or leave it out"
    if conveyor.at_end == "fall" and conveyor.next is not None:
        what = f"'{conveyor.id}' feeds '{conveyor.next}', so nothing falls off its end"
        yield f"{field}.at_end", what, "leave out 'next' or 'at_end'"


def _served(conveyor: Conveyor, field: str, stations: Mapping[str, Station]) -> Iterator[Finding]:
    pieces = conveyor_pieces(conveyor)
    if conveyor.induct is not None and conveyor.induct not in stations:
        what = f"'{conveyor.id}' is fed at '{conveyor.induct}', which is no station of the layout"
        yield f"{field}.induct", what, "name one of the stations"
    for key, name, s in (("induct", conveyor.induct, 0.0), ("next", conveyor.next, line_length(pieces))):
        station = stations.get(name or "")
        if station is None:
            continue
        x, y, _ = line_pose(pieces, s)
        away = math.hypot(station.x - x, station.y - y)
        if away > STATION_REACH:
            what = f"station '{station.id}' is {away:.1f} m away from the end of '{conveyor.id}' that it serves"
            yield f"{field}.{key}", what, f"put it within {STATION_REACH:g} m"


def _meeting(layout: Layout, joint: Joint) -> Iterator[Finding]:
    source, target = layout.conveyors[joint.source], layout.conveyors[joint.target]
    field = f"conveyors[{joint.source}].{'divert.to' if joint.diverted else 'next'}"
    if joint.gap > MEETING_TOLERANCE:
        what = f"the end of '{source.id}' misses '{target.id}', which it feeds, by {joint.gap:.2f} m"
        yield field, what, "let it end at the other's start, or at its side"
        return
    if abs(joint.angle) > 0.75 * math.pi:
        what = f"'{source.id}' feeds '{target.id}' against its motion"
        yield field, what, "turn one of them round"
    step = target.height - source.height
    if abs(step) > MAX_STEP:
        what = f"'{target.id}' lies {abs(step):.2f} m {'above' if step > 0 else 'below'} '{source.id}', which feeds it"
        yield field, what, f"give heights that differ by at most {MAX_STEP:g} m"


def _circles(layout: Layout, joints: tuple[Joint, ...]) -> Iterator[Finding]:
    """Find conveyors that goods would come back to (depth first; one circle is told once)."""
    onward: dict[int, list[int]] = {}
    for joint in joints:
        onward.setdefault(joint.source, []).append(joint.target)
    state = [0] * len(layout.conveyors)
    for first in range(len(layout.conveyors)):
        way = [(first, iter(onward.get(first, ())))] if state[first] == 0 else []
        if way:
            state[first] = 1
        while way:
            here, targets = way[-1]
            target = next(targets, None)
            if target is None:
                state[here] = 2
                way.pop()
            elif state[target] == 1:
                places = [place for place, _ in way]
                circle = [layout.conveyors[place].id for place in places[places.index(target) :]]
                what = f"goods would go round and round: {' -> '.join([*circle, circle[0]])}"
                yield f"conveyors[{here}].next", what, "let one of them end at a station, or without 'next'"
            elif state[target] == 0:
                state[target] = 1
                way.append((target, iter(onward.get(target, ()))))
