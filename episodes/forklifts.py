"""Forklifts that people drive on their rounds: where they go, planned by driving it once; and driving them.

They are machines of the ``Fleet`` after the robots, so that physics, sensors and collisions treat them as such; no
policy knows of them but by its sensors. ``driving`` decides what they do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..common.errors import InputError
from ..layouts.model import Layout
from ..robots.model import RobotModel
from .actors import Actor
from .clearance import placed_rectangles
from .drivers import Driver
from .driving import (
    D_BRAKING,
    D_CARELESS,
    D_HALF_LENGTH,
    D_HALF_WIDTH,
    D_REACTION,
    D_SPEED,
    DRIVER,
    F_STOP,
    PROGRESS,
    drive_all,
)
from .routes import FloatArray, Ground, distance_field, path_length, shortest_path
from .walking import clearance_at

if TYPE_CHECKING:
    from ..robots.fleet import Fleet
    from .crowd import Crowd
    from .hall import Hall
    from .log import EpisodeLog
    from .people import People
    from .scenario import ForkliftRanges
    from .vehicles import Vehicles

_MARGINS = (0.85, 0.6, 0.45, 0.3)
"""Room beside the truck [m] that routes keep, tried in turn: the middle of aisles first."""
_SPARE = 0.04
"""Room beside the truck [m] that is left at any moment when a route is driven for a try."""
_TRY_STEP = 0.1
_TRY_TIME = 240.0
"""Longest drive between two stops [s]."""
_STOPS = 6
"""Stops of a round."""
_START_GAP = 3.0
"""Nobody starts nearer to a forklift than this [m], if there is room."""


@dataclass
class Rounds:
    """Planned rounds of F forklifts, arrays as in ``driving.drive_all``.

    Attributes:
        start: (F, 3) x, y [m], yaw [rad] where they begin.
    """

    start: FloatArray
    path: FloatArray
    arcs: FloatArray
    path_count: NDArray[np.int64]
    stop_at: FloatArray
    stop_for: FloatArray
    traits: FloatArray

    @staticmethod
    def none() -> Rounds:
        """Return the rounds of no forklift."""
        return _assembled([], [], None)


def plan_rounds(
    ranges: ForkliftRanges,
    drivers: Sequence[Driver],
    layout: Layout,
    hall: Hall,
    taken: FloatArray,
    rngs: Sequence[np.random.Generator],
) -> Rounds:
    """Plan closed rounds from place to place, each leg of which has been driven once without touching the hall.

    Args:
        ranges: the model, the kinds of places, or waypoints.
        drivers: one for each forklift.
        layout, hall: where.
        taken: (R, 3) where robots start; forklifts begin away from them, if there is room.
        rngs: one for each forklift.

    Raises:
        InputError: the hall has no round that the truck can drive.
    """
    model = ranges.model
    places = _places(ranges, layout, hall)
    starts = [row[:2] for row in taken]
    rounds = []
    for number, (driver, rng) in enumerate(zip(drivers, rngs, strict=True)):
        given = [np.array(route) for route in ranges.waypoints]
        if given:
            found = _given_round(given[number % len(given)], driver, model, hall, starts)
        else:
            found = _drawn_round(places, driver, model, hall, starts, rng)
        if found is None:
            raise InputError(
                f"the hall has no round that forklift {number} ({model.length:g} x {model.width:g} m) can drive",
                where=f"layout '{layout.name}', forklifts",
                mend="widen the aisles, give waypoints with room to turn, or take a smaller truck",
            )
        path, stops, start = found
        starts.append(start[:2])
        rounds.append((path, stops, start, rng.gamma(4.0, 0.25, len(stops)) * driver.dwell))
    return _assembled(rounds, drivers, model)


def _places(ranges: ForkliftRanges, layout: Layout, hall: Hall) -> FloatArray:
    """Return where forklifts stop (N, 2): before docks, beside stations, at ends of aisles; those with room."""
    points: list[tuple[float, float]] = []
    reach = 0.5 * ranges.model.length + 0.6
    if "docks" in ranges.places:
        points += [(d.x + reach * np.cos(d.yaw), d.y + reach * np.sin(d.yaw)) for d in layout.docks]
    if "stations" in ranges.places:
        points += [(s.x, s.y) for s in layout.stations]
    if "aisles" in ranges.places:
        for aisle in layout.aisles:
            (x0, y0), (x1, y1) = aisle.start, aisle.end
            points += [(x0 + t * (x1 - x0), y0 + t * (y1 - y0)) for t in (0.15, 0.5, 0.85)]
    ground = hall.ground(0.5 * ranges.model.width + _MARGINS[-1])
    free = [point for point in points if ground.free[ground.cell(np.array(point))]]
    return np.array(free).reshape(-1, 2)


def _drawn_round(
    places: FloatArray,
    driver: Driver,
    model: RobotModel,
    hall: Hall,
    taken: Sequence[FloatArray],
    rng: np.random.Generator,
) -> tuple[FloatArray, list[float], FloatArray] | None:
    """Draw a closed round over some of the places: path (K, 2), arc lengths [m] of its stops, start pose (3,)."""
    order = rng.permutation(len(places)) if len(places) else np.zeros(0, dtype=np.int64)
    apart = [i for i in order if all(float(np.hypot(*(places[i] - other))) >= _START_GAP for other in taken)]
    for home in apart[:8]:
        pieces: list[FloatArray] = []
        stops: list[float] = []
        pose: FloatArray | None = None
        begin: FloatArray | None = None
        targets = [i for i in rng.permutation(len(places)) if i != home][: 3 * _STOPS]
        here = places[home]
        for target in [*targets, home]:
            last = target == home
            if (len(stops) >= _STOPS - 1 or np.hypot(*(places[target] - here)) < 4.0) and not last:
                continue
            leg = _leg(here, places[target], pose, driver, model, hall)
            if leg is None:
                continue
            path, pose = leg
            if begin is None:
                begin = np.array([*here, np.arctan2(*(path[1] - path[0])[::-1])])
            pieces.append(path)
            stops.append((stops[-1] if stops else 0.0) + path_length(path))
            here = places[target]
        if begin is None or pose is None or len(stops) < 2 or np.hypot(*(here - places[home])) > 1e-9:
            continue
        # The next round begins as this one ended.
        if _drive(pieces[0], pose, driver, model, hall) is not None:
            return np.concatenate([pieces[0], *(piece[1:] for piece in pieces[1:])]), stops, begin
    return None


def _given_round(
    points: FloatArray, driver: Driver, model: RobotModel, hall: Hall, taken: Sequence[FloatArray]
) -> tuple[FloatArray, list[float], FloatArray] | None:
    """Make a closed round over given waypoints, with a stop at each, from the first that is not taken."""
    gaps = [min((float(np.hypot(*(point - other))) for other in taken), default=np.inf) for point in points]
    first = next((i for i, gap in enumerate(gaps) if gap >= _START_GAP), int(np.argmax(gaps)))
    points = np.roll(points, -first, axis=0)
    start = np.array([*points[0], np.arctan2(*(points[1] - points[0])[::-1])])
    pose, pieces, stops, length = start, [], [], 0.0
    for here, target in zip(points, np.roll(points, -1, axis=0), strict=True):
        leg = _leg(here, target, pose, driver, model, hall)
        if leg is None:
            return None
        path, pose = leg
        pieces.append(path)
        length += path_length(path)
        stops.append(length)
    return np.concatenate([pieces[0], *(piece[1:] for piece in pieces[1:])]), stops, start


def _leg(
    here: FloatArray, target: FloatArray, pose: FloatArray | None, driver: Driver, model: RobotModel, hall: Hall
) -> tuple[FloatArray, FloatArray] | None:
    """Return a way between two places and the pose (3,) at its end, or None if it cannot be driven."""
    for margin in _MARGINS:
        ground = hall.ground(0.5 * model.width + margin)
        if not (ground.free[ground.cell(here)] and ground.free[ground.cell(target)]):
            continue
        path = shortest_path(ground, distance_field(ground, target), here, target)
        if path is None or path_length(path) < 1.0:
            continue
        begin = pose if pose is not None else np.array([*here, np.arctan2(*(path[1] - path[0])[::-1])])
        end = _drive(path, begin, driver, model, hall)
        if end is not None:
            return path, end
    return None


def _drive(path: FloatArray, pose: FloatArray, driver: Driver, model: RobotModel, hall: Hall) -> FloatArray | None:
    """Drive a leg alone in the hall, as a point that turns at once; returns the pose at its end, None if it touches."""
    ground = hall.ground(0.0)
    arcs = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])[None]
    traits, progress = _traits([driver], model), np.zeros((1, PROGRESS))
    stop_at, stop_for = np.array([[arcs[0, -1], np.inf]]), np.zeros((1, 2))
    nobody, commands, finished = np.zeros((0, 2)), np.zeros((1, 2)), np.zeros(1, dtype=np.bool_)
    at, speed = pose.copy()[None], np.zeros(1)
    outline = np.array([[0.0, 0.0, 0.5 * model.length, 0.5 * model.width]])
    count = max(2, int(np.ceil(model.length / model.width)))
    middles = model.length * ((np.arange(count) + 0.5) / count - 0.5)
    need = float(np.hypot(0.5 * model.length / count, 0.5 * model.width)) + _SPARE
    counts = np.array([len(path)])
    most = model.drive.max_acceleration * _TRY_STEP
    for _ in range(int(_TRY_TIME / _TRY_STEP)):
        drive_all(
            traits, progress, path[None], arcs, counts, stop_at, stop_for, nobody, nobody, at, speed, outline, 0,
            ground.clearance, ground.resolution, ground.origin, _TRY_STEP, commands, finished,
        )  # fmt: skip
        if finished[0]:
            return at[0]
        speed += np.clip(commands[:, 0] - speed, -2.0 * most, most)
        at[0, 2] += commands[0, 1] * _TRY_STEP
        at[0, 0] += speed[0] * _TRY_STEP * np.cos(at[0, 2])
        at[0, 1] += speed[0] * _TRY_STEP * np.sin(at[0, 2])
        for middle in middles:
            x, y = at[0, 0] + middle * np.cos(at[0, 2]), at[0, 1] + middle * np.sin(at[0, 2])
            if clearance_at(ground.clearance, ground.resolution, ground.origin, x, y) < need:
                return None
    return None


def _traits(drivers: Sequence[Driver], model: RobotModel | None) -> FloatArray:
    traits = np.zeros((len(drivers), DRIVER))
    if model is None:
        return traits
    for f, driver in enumerate(drivers):
        traits[f, D_SPEED], traits[f, D_REACTION] = driver.speed, driver.reaction_time
        traits[f, D_CARELESS] = float(driver.careless)
        traits[f, D_HALF_LENGTH], traits[f, D_HALF_WIDTH] = 0.5 * model.length, 0.5 * model.width
        traits[f, D_BRAKING] = 0.8 * model.drive.max_deceleration
    return traits


def _assembled(
    rounds: Sequence[tuple[FloatArray, list[float], FloatArray, FloatArray]],
    drivers: Sequence[Driver],
    model: RobotModel | None,
) -> Rounds:
    count = len(rounds)
    corners = max((len(path) for path, _, _, _ in rounds), default=2)
    most = max((len(stops) for _, stops, _, _ in rounds), default=0) + 1
    made = Rounds(
        start=np.array([start for _, _, start, _ in rounds]).reshape(-1, 3),
        path=np.zeros((count, corners, 2)),
        arcs=np.zeros((count, corners)),
        path_count=np.array([len(path) for path, _, _, _ in rounds], dtype=np.int64),
        stop_at=np.full((count, most), np.inf),
        stop_for=np.zeros((count, most)),
        traits=_traits(drivers, model),
    )
    for f, (path, stops, _, times) in enumerate(rounds):
        made.path[f, : len(path)] = path
        made.arcs[f, 1 : len(path)] = np.cumsum(np.hypot(*np.diff(path, axis=0).T))
        made.stop_at[f, : len(stops)], made.stop_for[f, : len(stops)] = stops, times
    return made


class Forklifts(Actor):
    """Driven forklifts: machines ``first`` to ``first + F - 1`` of a fleet.

    Args:
        rounds: planned. drivers: one for each.
        machines: the fleet with robots and forklifts. first: the first forklift's index in it.
        told: (F, 2) v [m/s], omega [rad/s] that the drives of the forklifts are told next; written by ``command``.
        people: on foot. vehicles: where all machines are, up to date when ``command`` is called.
        ground: clearance of the hall. period: between two decisions [s].
        log: what it has forgotten is forgotten here, too, but for every ``every``-th control step.

    Attributes:
        carrying: (F,) bool, load on the forks.
    """

    def __init__(
        self,
        rounds: Rounds,
        drivers: Sequence[Driver],
        machines: Fleet,
        first: int,
        told: FloatArray,
        people: People | Crowd,
        vehicles: Vehicles,
        ground: Ground,
        period: float,
        log: EpisodeLog,
        every: int,
    ) -> None:
        self._rounds, self._drivers, self._machines, self._first = rounds, list(drivers), machines, first
        self._people, self._vehicles, self._ground, self._period = people, vehicles, ground, period
        self._progress = np.zeros((len(drivers), PROGRESS))
        self._finished = np.zeros(len(drivers), dtype=np.bool_)
        self._log, self._every, self._thinned = log, every, 0
        self._rows: dict[int, FloatArray] = {}
        self._told = told
        self.carrying: NDArray[np.bool_] = np.zeros(len(drivers), dtype=np.bool_)

    def __len__(self) -> int:
        return len(self._drivers)

    @property
    def pose(self) -> FloatArray:
        """(F, 3) float64 x, y [m], yaw [rad] now."""
        return self._machines.pose[self._first :]

    def begin(self, step: int, time: float) -> None:
        """Write down where the forklifts are."""
        self._rows[step] = np.column_stack([self.pose, self.carrying])
        for old in range(self._thinned, self._log.first):
            if old % self._every:
                del self._rows[old]
        self._thinned = self._log.first

    def command(self, time: float, commands: FloatArray) -> None:
        """Let the drivers decide; robots are told nothing."""
        vehicles, rounds, ground = self._vehicles, self._rounds, self._ground
        vehicles.update(self._machines.pose, self._machines.velocity)
        drive_all(
            rounds.traits,
            self._progress,
            rounds.path,
            rounds.arcs,
            rounds.path_count,
            rounds.stop_at,
            rounds.stop_for,
            self._people.position,
            self._people.velocity,
            vehicles.pose,
            vehicles.speed,
            vehicles.outline,
            self._first,
            ground.clearance,
            ground.resolution,
            ground.origin,
            self._period,
            self._told,
            self._finished,
        )
        for f in np.flatnonzero(self._finished).tolist():
            # Loads at one stop, unloads at the next; whoever starts a new round starts it empty.
            self.carrying[f] = not self.carrying[f] and self._progress[f, F_STOP] > 0
            kg = self._drivers[f].payload if self.carrying[f] else 0.0
            self._machines.set_payload(self._first + f, kg)

    def outlines(self, steps: NDArray[np.int64]) -> FloatArray:
        """Return the outlines (T, F, 7), as of ``clearance.footprints``, at control steps (T,)."""
        pose, _ = self.history(steps)
        model = self._machines.models[self._first]
        return placed_rectangles(pose, model.length, model.width)

    def history(self, steps: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
        """Return poses (T, F, 3) and loads (T, F), 1 where something lay on the forks, at control steps (T,).

        Raises:
            KeyError: one of these steps has not been kept.
        """
        rows = np.array([self._rows[k] for k in steps.tolist()])
        return rows[..., :3].copy(), rows[..., 3].copy()
