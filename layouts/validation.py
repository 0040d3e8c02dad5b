"""Checks that a layout makes sense as a hall, beyond what the types of its fields can say."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..common.config import yaml_lines
from ..common.errors import InputError
from ..common.geometry import rotation_matrix
from ..common.primitives import BOX, CYLINDER
from .conveyor_checks import conveyor_problems
from .conveyors import conveyor_pieces, joined_conveyors
from .footprints import BoxRow, Footprints, outline, overlapping_pairs
from .geometry import conveyor_stretches, obstacle_solid
from .model import Good, Layout, Obstacle, Rack
from .reachability import reach_problems

MAX_AREA = 100_000.0
"""Largest hall [m^2] that is checked and simulated."""
TOLERANCE = 0.005
"""Overlaps below this [m] count as touching."""
MAX_OVERLAPS = 1000
"""Overlaps that are told; a file that puts everything in one spot has millions."""
RACK_OVERHANG = 0.2
"""How far a good may stand out of its rack [m]."""


@dataclass(frozen=True)
class Problem:
    """Something wrong with a layout: the field, what is wrong there and how to mend it."""

    field: str
    message: str
    mend: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def check_layout(
    layout: Layout, *, robot_radius: float = 0.56, footprint: tuple[float, float] | None = None
) -> list[Problem]:
    """Return everything that is wrong with a layout; an empty list if nothing is.

    Looked at: ids that stand twice, things outside the hall or too high for it, solids that overlap (a rack through a
    wall), rack levels out of order, goods without their rack or off its shelves, doors away from the walls, aisles
    through obstacles, lanes without their waypoints, conveyors that do not meet what they feed or feed each other in a
    circle, and stations and chargers that a robot cannot reach.

    Args:
        layout: the hall.
        robot_radius: of the circle that must fit through all lanes [m].
        footprint: length and width of the robot [m]: what its circle cannot reach it may reach by its rectangle.
    """
    if layout.area > MAX_AREA:
        message = f"{layout.length:g} x {layout.width:g} m is over the limit of {MAX_AREA:,.0f} m2"
        return [Problem("length", message, "give length and width in metres")]
    problems = [*_duplicate_ids(layout), *_impossible_shapes(layout), *_outside(layout), *_too_high(layout)]
    problems += [*_overlaps(layout), *_racked_goods(layout), *_doors(layout), *_lanes(layout)]
    problems += [Problem(*found) for found in conveyor_problems(layout)]
    if not any(problem.field.startswith("goods") and "names rack" in problem.message for problem in problems):
        problems += [Problem(*found) for found in reach_problems(layout, robot_radius, footprint)]
    return problems


def require_valid(
    layout: Layout, source: str, *, robot_radius: float = 0.56, footprint: tuple[float, float] | None = None
) -> None:
    """Raise an InputError that lists the problems of a layout (at most ten), if it has any.

    Args:
        layout: the hall.
        source: file or name that the layout came from, for the error. Of a YAML file, the lines are named.
        robot_radius, footprint: as in ``check_layout``.
    """
    problems = check_layout(layout, robot_radius=robot_radius, footprint=footprint)
    if not problems:
        return
    shown = [line + str(problem) for problem, line in zip(problems, _lines(source, problems[:10]), strict=False)]
    if len(problems) > len(shown):
        shown.append(f"... and {len(problems) - len(shown)} more")
    mends = list(dict.fromkeys(problem.mend for problem in problems[:10]))
    raise InputError("the layout cannot be used:\n  - " + "\n  - ".join(shown), where=source, mend="; ".join(mends[:3]))


def _lines(source: str, problems: Sequence[Problem]) -> list[str]:
    """Return ``line N, `` for each problem if the source is a file that tells, else empty strings."""
    if not Path(source).is_file():
        return [""] * len(problems)
    locations = [
        tuple(int(part) if part.isdecimal() else part for part in re.findall(r"\w+", problem.field))
        for problem in problems
    ]
    return [f"line {line}, " if line is not None else "" for line in yaml_lines(source, locations)]


def _identified(layout: Layout) -> Iterator[tuple[str, str]]:
    """Yield field and id of everything that has an id."""
    kinds = ("walls", "columns", "racks", "conveyors", "stations", "docks", "chargers", "aisles", "goods")
    for kind in (*kinds, "obstacles", "waypoints", "lanes"):
        for index, item in enumerate(getattr(layout, kind)):
            yield f"{kind}[{index}]", item.id
    for index, conveyor in enumerate(layout.conveyors):
        for number, eye in enumerate(conveyor.eyes):
            yield f"conveyors[{index}].eyes[{number}]", eye.id


def _duplicate_ids(layout: Layout) -> Iterator[Problem]:
    first: dict[str, str] = {}
    for field, name in _identified(layout):
        if name in first:
            yield Problem(
                f"{field}.id", f"id '{name}' is already that of {first[name]}", "give every object its own id"
            )
        first.setdefault(name, field)


def _impossible_shapes(layout: Layout) -> Iterator[Problem]:
    for kind in ("walls", "conveyors", "aisles"):
        for index, item in enumerate(getattr(layout, kind)):
            if math.dist(item.start, item.end) < 0.01:
                yield Problem(f"{kind}[{index}]", f"'{item.id}' starts where it ends", "move start or end")
    for index, rack in enumerate(layout.racks):
        tops = rack.level_heights
        steps = [high - low for low, high in zip((0.0, *tops), tops, strict=False)]
        if any(step <= rack.beam_height for step in steps):
            message = (
                f"level_heights {list(tops)} of '{rack.id}' must rise by more than the beams' {rack.beam_height} m"
            )
            yield Problem(f"racks[{index}].level_heights", message, "sort the levels and spread them")
        if tops and max(tops) > rack.height + TOLERANCE:
            message = f"'{rack.id}' is {rack.height:g} m high and its top level is at {max(tops):g} m"
            yield Problem(f"racks[{index}].height", message, "raise height or lower the levels")


def _outside(layout: Layout) -> Iterator[Problem]:
    mend = f"keep it within x 0..{layout.length:g} and y 0..{layout.width:g} m"
    for prints in (*_footprint_sets(layout, walls=False), _obstacle_footprints(layout.obstacles)):
        low, high = prints.bounds()
        beyond = np.maximum(np.maximum(-low, high - (layout.length, layout.width)).max(axis=-1), 0.0)
        for index in np.flatnonzero(beyond > TOLERANCE).tolist():
            message = f"'{prints.names[index]}' stands {_metres(beyond[index])} outside the hall"
            yield Problem(prints.fields[index], message, mend)
    points = [(f"stations[{i}]", item.id, (item.x, item.y), 0.0) for i, item in enumerate(layout.stations)]
    points += [(f"docks[{i}]", item.id, (item.x, item.y), 0.3) for i, item in enumerate(layout.docks)]
    lines = [(f"walls[{i}]", wall.id, wall.start, wall.end, 2 * wall.thickness) for i, wall in enumerate(layout.walls)]
    lines += [(f"aisles[{i}]", aisle.id, aisle.start, aisle.end, 0.1) for i, aisle in enumerate(layout.aisles)]
    for field, name, start, end, spare in lines:
        points += [(f"{field}.start", name, start, spare), (f"{field}.end", name, end, spare)]
    points += [(f"waypoints[{i}]", item.id, (item.x, item.y), 0.0) for i, item in enumerate(layout.waypoints)]
    points += [(f"lights[{i}]", f"light {i}", light.position[:2], 0.0) for i, light in enumerate(layout.lights)]
    for field, name, (x, y), spare in points:
        if not (-spare <= x <= layout.length + spare and -spare <= y <= layout.width + spare):
            yield Problem(field, f"'{name}' at ({x:g}, {y:g}) is outside the hall", mend)


def _too_high(layout: Layout) -> Iterator[Problem]:
    tall = [(f"{kind}[{i}].height", item.id, item.height) for kind in ("racks", "columns", "walls", "docks", "chargers")
            for i, item in enumerate(getattr(layout, kind))]  # fmt: skip
    tall += [(f"goods[{i}]", good.id, good.z + good.size[2]) for i, good in enumerate(layout.goods)]
    tall += [(f"lights[{i}]", f"light {i}", light.position[2]) for i, light in enumerate(layout.lights)]
    boxes = _obstacle_footprints(layout.obstacles)
    tall += zip(boxes.fields, boxes.names, boxes.span[:, 1].tolist(), strict=True)
    for field, name, top in tall:
        if top > layout.height + TOLERANCE:
            message = f"'{name}' reaches {top:g} m and the hall is {layout.height:g} m high"
            yield Problem(field, message, "lower it, or raise the hall's height")


def _footprint_sets(layout: Layout, *, walls: bool) -> list[Footprints]:
    """Return the footprints of all that stands on the floor, racked goods apart."""
    sets = []
    if walls:
        sets.append(Footprints.of_lines("walls", [(w.id, w.start, w.end, w.thickness, w.height) for w in layout.walls]))
    sets.append(
        Footprints.of_boxes(
            "columns", [(c.id, c.x, c.y, c.yaw, c.width, c.width, 0.0, c.height) for c in layout.columns]
        )
    )
    sets.append(
        Footprints.of_boxes("racks", [(r.id, r.x, r.y, r.yaw, r.length, r.depth, 0.0, r.height) for r in layout.racks])
    )
    sets.append(_conveyor_footprints(layout))
    sets.append(
        Footprints.of_boxes(
            "chargers", [(c.id, c.x, c.y, c.yaw, c.depth, c.width, 0.0, c.height) for c in layout.chargers]
        )
    )
    loose = [(index, good) for index, good in enumerate(layout.goods) if good.rack is None]
    sets.append(_good_footprints(loose))
    return sets


def _conveyor_footprints(layout: Layout) -> Footprints:
    """Return the footprints of conveyors, one for each straight stretch."""
    rows: list[BoxRow] = []
    numbers = []
    for index, c in enumerate(layout.conveyors):
        if not c.bends:
            x, y, yaw = conveyor_pieces(c)[0].pose(0.5 * math.dist(c.start, c.end))
            rows.append((c.id, x, y, yaw, math.dist(c.start, c.end), c.width, 0.0, c.height))
            numbers.append(index)
            continue
        for (x, y, yaw), parts in conveyor_stretches(c):
            length = max(2.0 * part.size[0] for part in parts)
            rows.append((c.id, x, y, yaw, length, c.width, 0.0, c.height))
            numbers.append(index)
    return Footprints.of_boxes("conveyors", rows, numbers=numbers)


def _good_footprints(goods: Sequence[tuple[int, Good]]) -> Footprints:
    rows = [(g.id, g.x, g.y, g.yaw, g.size[0], g.size[1], g.z, g.z + g.size[2]) for _, g in goods]
    return Footprints.of_boxes("goods", rows, numbers=[index for index, _ in goods])


def _obstacle_footprints(obstacles: Sequence[Obstacle]) -> Footprints:
    """Return upright obstacles as they are, and leaning ones by the boxes along the hall's axes that hold them."""
    rows: list[BoxRow] = []
    for obstacle in obstacles:
        kind, half, _, quaternion = obstacle_solid(obstacle)
        turn = rotation_matrix(quaternion)
        corners = outline(kind, half, (0.0, 0.0, 0.0), quaternion, -math.inf, math.inf)
        length, width = np.ptp(corners, axis=0).tolist()
        yaw = 0.0
        if kind == BOX:
            reach = float(np.abs(turn[2]) @ half)
        else:
            reach = half[1] * abs(turn[2, 2]) + half[0] * math.sqrt(max(0.0, 1.0 - turn[2, 2] ** 2))
        if _stands(obstacle):
            length, width = obstacle.size[0], obstacle.size[0 if kind == CYLINDER else 1]
            yaw = obstacle.yaw
        rows.append((obstacle.id, obstacle.x, obstacle.y, yaw, length, width, obstacle.z - reach, obstacle.z + reach))
    return Footprints.of_boxes("obstacles", rows)


def _stands(obstacle: Obstacle) -> bool:
    return obstacle.roll == 0.0 and obstacle.pitch == 0.0


def _overlaps(layout: Layout) -> Iterator[Problem]:
    """Find solids that share space: all that stands on the floor, and goods among each other.

    Obstacles may share space with each other and with the building, as those of imported halls do; leaning ones, which
    are not known well enough here, with everything.
    """
    upright = [(index, item) for index, item in enumerate(layout.obstacles) if _stands(item)]
    obstacles = _obstacle_footprints([item for _, item in upright])
    fields = tuple(f"obstacles[{index}]" for index, _ in upright)
    standing = Footprints.concatenate([*_footprint_sets(layout, walls=True), replace(obstacles, fields=fields)])
    for a, b, overlap in _first_overlaps(standing, joined_conveyors(layout)):
        yield _overlap_problem(standing, a, b, overlap)
    racked = _good_footprints([(i, good) for i, good in enumerate(layout.goods) if good.rack is not None])
    for a, b, overlap in _first_overlaps(racked):
        yield _overlap_problem(racked, a, b, overlap)


def _first_overlaps(
    prints: Footprints, joined: frozenset[tuple[str, str]] = frozenset()
) -> Iterator[tuple[int, int, float]]:
    """Yield the pairs that may not overlap but do, and by how much [m], ``MAX_OVERLAPS`` at most.

    Walls meet, cross and double each other, columns are built into walls, and obstacles may be parts of either.
    Stretches of one conveyor overlap, and so do conveyors that are ``joined``.
    """
    first, second, depth = overlapping_pairs(prints, TOLERANCE)
    wall = np.array([kind in ("walls", "obstacles") for kind in prints.kinds], dtype=np.bool_)
    built_in = wall | np.array([kind == "columns" for kind in prints.kinds], dtype=np.bool_)
    names, belt = prints.names, np.array([kind == "conveyors" for kind in prints.kinds], dtype=np.bool_)
    one = belt[first] & belt[second]
    for pair in np.flatnonzero(one).tolist():
        a, b = names[int(first[pair])], names[int(second[pair])]
        one[pair] = a == b or (a, b) in joined
    wrong = ~one & ~((wall[first] & built_in[second]) | (built_in[first] & wall[second]))
    columns = first[wrong], second[wrong], depth[wrong]
    yield from zip(*(column[:MAX_OVERLAPS].tolist() for column in columns), strict=True)


def _overlap_problem(prints: Footprints, a: int, b: int, overlap: float) -> Problem:
    # The wall, or else the earlier thing, stays; the other is the one to move.
    if prints.kinds[b] == "walls":
        a, b = b, a
    other = f"{prints.fields[a]} '{prints.names[a]}'"
    if prints.kinds[a] == "walls":
        what = f"'{prints.names[b]}' goes through {other} ({_metres(overlap)} to part them)"
    else:
        what = f"'{prints.names[b]}' overlaps {other} by {_metres(overlap)}"
    return Problem(prints.fields[b], what, "move one of them or make it smaller")


def _racked_goods(layout: Layout) -> Iterator[Problem]:
    racks = {rack.id: rack for rack in layout.racks}
    by_rack: dict[str, list[int]] = {}
    for index, good in enumerate(layout.goods):
        if good.rack is None:
            continue
        if good.rack not in racks:
            message = f"'{good.id}' names rack '{good.rack}', which the layout does not have"
            yield Problem(
                f"goods[{index}].rack", message, "name one of the racks, or leave out 'rack' for a loose good"
            )
            continue
        by_rack.setdefault(good.rack, []).append(index)
    for name, indices in by_rack.items():
        yield from _goods_of(racks[name], indices, layout)


def _goods_of(rack: Rack, indices: list[int], layout: Layout) -> Iterator[Problem]:
    """Find goods that stand beside their rack or stick in its beams."""
    goods = [layout.goods[index] for index in indices]
    data = np.array([(g.x, g.y, g.z, g.z + g.size[2]) for g in goods], dtype=np.float64)
    cos, sin = math.cos(rack.yaw), math.sin(rack.yaw)
    dx, dy = data[:, 0] - rack.x, data[:, 1] - rack.y
    along, across = np.abs(cos * dx + sin * dy), np.abs(cos * dy - sin * dx)
    beside = (along > 0.5 * rack.length) | (across > 0.5 * rack.depth + RACK_OVERHANG)
    stuck: NDArray[np.bool_] = np.zeros(len(goods), dtype=np.bool_)
    for top in rack.level_heights:
        stuck |= (data[:, 2] < top - TOLERANCE) & (data[:, 3] > top - rack.beam_height + TOLERANCE)
    for number in np.flatnonzero(beside).tolist():
        message = f"'{goods[number].id}' does not stand in its rack '{rack.id}'"
        yield Problem(f"goods[{indices[number]}]", message, "move the good into the rack's footprint")
    for number in np.flatnonzero(stuck).tolist():
        message = f"'{goods[number].id}' sticks in a beam of rack '{rack.id}'"
        yield Problem(f"goods[{indices[number]}].z", message, "put z on a level, and keep the load below the next beam")


def _doors(layout: Layout) -> Iterator[Problem]:
    for index, door in enumerate(layout.docks):
        edge = min(abs(door.x), abs(door.y), abs(door.x - layout.length), abs(door.y - layout.width))
        if edge > 0.3:
            message = f"'{door.id}' stands {_metres(edge)} away from the outer walls"
            yield Problem(f"docks[{index}]", message, "put the door on an edge of the hall")
    ends = [(door.x, door.y, 0.5 * door.width, index) for index, door in enumerate(layout.docks)]
    for (x, y, half, a), (other_x, other_y, other_half, b) in _pairs(ends):
        if math.hypot(x - other_x, y - other_y) < half + other_half - TOLERANCE and (
            abs(x - other_x) < 0.3 or abs(y - other_y) < 0.3
        ):
            message = f"'{layout.docks[b].id}' overlaps docks[{a}] '{layout.docks[a].id}'"
            yield Problem(f"docks[{b}]", message, "move one of the doors")


def _lanes(layout: Layout) -> Iterator[Problem]:
    known = {waypoint.id for waypoint in layout.waypoints}
    for index, lane in enumerate(layout.lanes):
        for end, name in (("start", lane.start), ("end", lane.end)):
            if name not in known:
                message = f"'{lane.id}' names waypoint '{name}', which the layout does not have"
                yield Problem(f"lanes[{index}].{end}", message, "name one of the waypoints, or remove the lane")


def _pairs(
    items: Sequence[tuple[float, float, float, int]],
) -> Iterator[tuple[tuple[float, float, float, int], tuple[float, float, float, int]]]:
    for index, item in enumerate(items):
        for other in items[index + 1 :]:
            yield item, other


def _metres(value: float) -> str:
    return f"{value:.2f} m" if value >= 0.01 else f"{1000 * value:.0f} mm"
