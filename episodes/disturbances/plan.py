"""From the disturbances of a scenario to what will happen in one episode: times, values, places and robots, all drawn.

Nothing here has begun yet, and nothing drawn here depends on what robots do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...common.errors import InputError
from ...common.seeding import generator
from ...layouts.model import Good
from ..routes import FloatArray, Ground
from .config import Area, BlockedAisle, ConveyorJam, Disturbance, DroppedCarton, EquipmentFailure, drawn_ranges

if TYPE_CHECKING:
    from ..scenario import Scenario

KEPT_CLEAR = 1.6
"""Nothing is put nearer than this to a station or a start [m]: it would be no disturbance but the end of the errand."""
AISLE_CLEARANCE = 1.7
"""Where the nearest solid is within this distance a way counts as an aisle [m]."""
_TRIES = 200
_COLORS = ((181, 136, 92), (164, 122, 80), (196, 152, 106))


@dataclass(frozen=True)
class Occurrence:
    """One disturbance of one episode.

    Attributes:
        settings: what the scenario says of it. label: dotted name of what was drawn for it.
        begin, end: [s]; the end may lie beyond the episode.
        values: what was drawn, by name of the range, in SI units.
        robots: whom it strikes; none for what happens to the hall.
        place: (3,) x, y [m] and the direction [rad] of the way there, or None.
        goods: numbers of the spare goods that it uses, among the loose goods.
        target: id of the station, charger or conveyor that it strikes, or "".
    """

    settings: Disturbance
    label: str
    begin: float
    end: float
    values: dict[str, float]
    robots: tuple[int, ...] = ()
    place: FloatArray | None = None
    goods: tuple[int, ...] = ()
    target: str = ""


@dataclass(frozen=True)
class Surroundings:
    """What places are drawn from.

    Attributes:
        ground: where a robot's centre may be.
        routes: shortest ways of the robots' tasks, (K, 2) [m] each.
        kept_clear: (N, 2) starts and stations [m].
        equipment: ids of what may fail, by the names of ``EquipmentFailure.equipment``.
        robots: how many.
    """

    ground: Ground
    routes: Sequence[FloatArray]
    kept_clear: FloatArray
    equipment: Mapping[str, tuple[str, ...]]
    robots: int


def occurrence_times(scenario: Scenario, seed: int, index: int) -> list[tuple[Disturbance, str, float]]:
    """Return the disturbances that will begin within the episode: settings, label and time [s], in order of time."""
    found: list[tuple[Disturbance, str, float]] = []
    seen: dict[str, int] = {}
    for settings in scenario.disturbances:
        number = seen.get(settings.kind, 0)
        seen[settings.kind] = number + 1
        label = f"disturbances.{settings.kind}.{number}"
        times = _times(settings, scenario.duration, generator(seed, index, f"{label}.at"))
        found += [(settings, f"{label}.{k}", time) for k, time in enumerate(times)]
    return sorted(found, key=lambda row: (row[2], row[1]))


def reserve_of(scenario: Scenario, seed: int, index: int) -> list[Good]:
    """Return the spare goods that the disturbances of an episode need, which stand nowhere before they happen."""
    goods: list[Good] = []
    for settings, label, _ in occurrence_times(scenario, seed, index):
        goods += _spare_goods(settings, label, _draw(settings, label, seed, index))
    return goods


def plan_disturbances(
    scenario: Scenario, around: Surroundings, first_good: int, seed: int, index: int, values: dict[str, Any]
) -> list[Occurrence]:
    """Draw what will happen in an episode.

    Args:
        scenario: with its disturbances.
        around: what places are drawn from.
        first_good: number that the first good of ``reserve_of`` has among the loose goods.
        seed, index: the episode.
        values: gets what was drawn, by dotted name, in SI units.

    Returns:
        The occurrences in order of time.

    Raises:
        InputError: a disturbance names a robot or a station that the episode does not have.
    """
    occurrences: list[Occurrence] = []
    number = first_good
    for settings, label, begin in occurrence_times(scenario, seed, index):
        drawn = _draw(settings, label, seed, index)
        goods = tuple(range(number, number + len(_spare_goods(settings, label, drawn))))
        number += len(goods)
        place = _place(settings, around, generator(seed, index, f"{label}.place"))
        occurrences.append(
            Occurrence(
                settings=settings,
                label=label,
                begin=begin,
                end=begin + drawn["duration"] if "duration" in drawn else math.inf,
                values=drawn,
                robots=_robots(settings, around.robots, generator(seed, index, f"{label}.robots"), scenario.name),
                place=place,
                goods=goods,
                target=_target(settings, around.equipment, generator(seed, index, f"{label}.target"), scenario.name),
            )
        )
        values.update({f"{label}.{name}": value for name, value in drawn.items()})
        values[f"{label}.at"] = begin
        if place is not None:
            values[f"{label}.x"], values[f"{label}.y"] = float(place[0]), float(place[1])
    return occurrences


def _draw(settings: Disturbance, label: str, seed: int, index: int) -> dict[str, float]:
    """Draw the ranges of one occurrence, in SI units."""
    return {
        name: float(source.sample(generator(seed, index, f"{label}.{name}")))
        for name, source in drawn_ranges(settings).items()
    }


def _times(settings: Disturbance, duration: float, rng: np.random.Generator) -> list[float]:
    if settings.at is not None:
        return [time for time in settings.at if time < duration]
    first, last = settings.window or (0.0, duration)
    last = min(last, duration)
    if settings.probability is not None:
        occurs, share = rng.random(2)
        time = first + share * (last - first)
        return [time] if occurs < settings.probability and time < duration else []
    assert settings.rate is not None
    times = []
    time = first + rng.exponential(3600.0 / settings.rate)
    while time < last:
        times.append(float(time))
        time += rng.exponential(3600.0 / settings.rate)
    return times


def _robots(settings: Disturbance, count: int, rng: np.random.Generator, scenario: str) -> tuple[int, ...]:
    chosen = getattr(settings, "robots", None)
    if chosen is None or (isinstance(settings, EquipmentFailure) and settings.equipment != "robot"):
        return ()
    drawn = int(rng.integers(count))
    if chosen == "all":
        return tuple(range(count))
    if chosen == "random":
        return (drawn,)
    missing = [robot for robot in chosen if robot >= count]
    if missing:
        raise InputError(
            f"a disturbance '{settings.kind}' is planned for robot {missing[0]}, the episode has {count}",
            where=f"scenario '{scenario}', disturbances",
            mend=f"robots are 0 to {count - 1}; raise robots.count",
        )
    return tuple(chosen)


def _target(
    settings: Disturbance, equipment: Mapping[str, tuple[str, ...]], rng: np.random.Generator, scenario: str
) -> str:
    """Return the id of the station, charger or conveyor that a disturbance strikes, "" if it strikes none."""
    if isinstance(settings, ConveyorJam):
        kind = "conveyor"
    elif isinstance(settings, EquipmentFailure) and settings.equipment != "robot":
        kind = settings.equipment
    else:
        return ""
    known, where = equipment[kind], f"scenario '{scenario}', disturbances"
    if not known:
        raise InputError(
            f"a {kind} is to fail, but the hall has none in use", where=where, mend=f"give the hall a {kind}"
        )
    drawn = known[int(rng.integers(len(known)))]
    if settings.id is not None and settings.id not in known:
        raise InputError(
            f"{kind} '{settings.id}' is to fail, but none of that name is in use",
            where=where,
            mend=f"leave 'id' out, or name one of {', '.join(known[:6])}",
        )
    return settings.id or drawn


def _place(settings: Disturbance, around: Surroundings, rng: np.random.Generator) -> FloatArray | None:
    where = getattr(settings, "place", None)
    if where is None:
        return None
    if isinstance(where, Area):
        return _in_area(where, around.ground, rng)
    if where == "floor" or not around.routes:
        rows, columns = np.nonzero(around.ground.free)
        candidates = [
            np.append(around.ground.centre(int(rows[k]), int(columns[k])), rng.uniform(-math.pi, math.pi))
            for k in rng.integers(len(rows), size=_TRIES)
        ]
    else:
        candidates = [_on_route(around.routes, rng) for _ in range(_TRIES)]
    if where == "aisle":
        # The middle of a hall is no aisle.
        tight = [around.ground.clearance[around.ground.cell(p)] <= AISLE_CLEARANCE for p in candidates]
        candidates = [p for p, narrow in zip(candidates, tight, strict=True) if narrow] or candidates
    apart = [float(np.hypot(*(around.kept_clear - p[:2]).T).min()) for p in candidates]
    best = next((k for k, gap in enumerate(apart) if gap >= KEPT_CLEAR), int(np.argmax(apart)))
    return candidates[best]


def _on_route(routes: Sequence[FloatArray], rng: np.random.Generator) -> FloatArray:
    """Draw a point of all routes, every metre as likely as any other, and the direction of the way there."""
    legs = np.concatenate([np.column_stack([route[:-1], route[1:]]) for route in routes])
    length = np.hypot(legs[:, 2] - legs[:, 0], legs[:, 3] - legs[:, 1])
    along = rng.random() * float(length.sum())
    k = min(int(np.searchsorted(np.cumsum(length), along, side="right")), len(legs) - 1)
    share = (along - float(length[:k].sum())) / max(float(length[k]), 1e-9)
    x, y = legs[k, :2] + share * (legs[k, 2:] - legs[k, :2])
    return np.array([x, y, math.atan2(legs[k, 3] - legs[k, 1], legs[k, 2] - legs[k, 0])])


def _in_area(area: Area, ground: Ground, rng: np.random.Generator) -> FloatArray:
    """Draw a free point of an area, or its middle if none is found."""
    middle = np.array([area.x, area.y])
    points = middle + (rng.random((_TRIES, 2)) - 0.5) * (area.length, area.width)
    yaw = float(rng.uniform(-math.pi, math.pi))
    free = [point for point in points if ground.free[ground.cell(point)]]
    return np.append(free[0] if free else middle, yaw)


def _spare_goods(settings: Disturbance, label: str, drawn: dict[str, float]) -> list[Good]:
    if isinstance(settings, BlockedAisle):
        size, kind = (drawn["length"], drawn["width"], drawn["height"]), "pallet"
        count = round(drawn["goods"])
    elif isinstance(settings, DroppedCarton):
        size, kind, count = (drawn["edge"],) * 3, "box", 1
    else:
        return []
    name = label.removeprefix("disturbances.")
    return [
        Good.model_validate(
            {
                "id": f"{name}.{k}",
                "kind": "box" if kind == "box" else "stillage",
                "x": 0.0,
                "y": 0.0,
                "size": size,
                "mass": drawn["mass"],
                "color": _COLORS[k % len(_COLORS)],
            }
        )
        for k in range(count)
    ]
