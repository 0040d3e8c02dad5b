"""People under the social force model: groups, tasks at racks and stations, and stepping out into a robot's way.

``social_force`` moves them; here is planned where they go. Everything random is drawn before the first step. A walk is
closed and begins anew once it has been walked, so that its size does not grow with the duration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..layouts.model import Layout
from .avoidance import sees
from .people import Walker, across, crossing_walk, places_of
from .routes import FloatArray, Ground, distance_field, line_is_free, path_length, shortest_path
from .social_force import (
    HURRY,
    RELAXATION,
    T_CARELESS,
    T_CROSS_TIME,
    T_CROSS_X,
    T_FIRST,
    T_SIZE,
    T_SPEED,
    T_UNAWARE,
    TRAITS,
    WALK,
    step_crowd,
)
from .vehicles import Vehicles

LONGEST_WALK = 600.0
"""Time [s] after which a walk begins anew at the latest; the stops come on top."""
_PLACES = 24
"""Places of a hall that the people of one episode go to, at most."""
_RACK_GAP = 0.55
"""Distance [m] at which people work at a rack."""
_STATION_SIDE = 1.0
"""Distance [m] beside a station at which people work there, out of the way of the robot that docks."""
_TRIES = 1500
"""Draws of a place to step out from before there counts as none."""
_HIDDEN_FROM = 4.0
"""A robot that is this far [m] from where somebody will step out must not have seen them."""


@dataclass
class Crowd:
    """All persons of an episode; ``step`` moves them.

    Attributes:
        position: (P, 2) float64 [m] in ``map``; velocity: (P, 2) float64 [m/s]; yaw: (P,) float64 [rad].
    """

    position: FloatArray
    velocity: FloatArray
    yaw: FloatArray
    _traits: FloatArray
    _walk: FloatArray
    _pace: FloatArray
    _path: FloatArray
    _arcs: FloatArray
    _path_count: NDArray[np.int64]
    _stop_at: FloatArray
    _stop_for: FloatArray
    _stop_face: FloatArray
    _clearance: FloatArray
    _resolution: float
    _origin: FloatArray

    def __len__(self) -> int:
        return len(self.position)

    @property
    def pose(self) -> FloatArray:
        """(P, 3) float64 x, y [m], yaw [rad], a copy."""
        return np.column_stack([self.position, self.yaw])

    def step(self, vehicles: Vehicles, dt: float) -> None:
        """Move everybody by one step of ``dt`` [s]."""
        if len(self.position) == 0:
            return
        step_crowd(
            self.position,
            self.velocity,
            self._pace,
            self.yaw,
            self._traits,
            self._walk,
            self._path,
            self._arcs,
            self._path_count,
            self._stop_at,
            self._stop_for,
            self._stop_face,
            self._clearance,
            self._resolution,
            self._origin,
            vehicles.pose,
            vehicles.speed,
            vehicles.outline,
            vehicles.robots,
            dt,
        )


@dataclass
class _Walk:
    """One walk: corners (K, 2) [m], closed; stops (N, 3): arc length [m], time [s], yaw [rad] or nan."""

    path: FloatArray
    stops: FloatArray
    cross: tuple[float, float, float, float] | None = None
    """Where a sudden crossing meets the way of the robots [m], the time to get there [s], its length [m]."""


def plan_crowd(
    walkers: Sequence[Walker],
    layout: Layout,
    ground: Ground,
    robot_routes: Sequence[FloatArray],
    vehicle_starts: FloatArray,
    duration: float,
    rngs: Sequence[np.random.Generator],
) -> Crowd:
    """Plan everybody's walk for a whole episode.

    Args:
        walkers: what was drawn for each person; members of a group one after the other.
        layout: for its racks and stations.
        ground: walkable ground of a disc of ``walking.PERSON_RADIUS + WALKING_MARGIN``.
        robot_routes: the shortest ways of the robots' tasks, (K, 2) each; who crosses crosses these.
        vehicle_starts: (R, 2) [m]; nobody begins within 2 m of one, if there is room.
        duration: of the episode [s].
        rngs: one generator for each person.

    Returns:
        The people, standing at their starts. A person without room to walk stands still; one who is to step out
        suddenly where no place is hidden from the robots goes about as the others do.
    """
    planner = _Planner(layout, ground, robot_routes, rngs[0] if rngs else None)
    walks: list[_Walk] = []
    taken: list[FloatArray] = []
    first = np.zeros(len(walkers), dtype=np.int64)
    for p, (walker, rng) in enumerate(zip(walkers, rngs, strict=True)):
        first[p] = first[p - 1] if p and walker.group >= 0 and walker.group == walkers[p - 1].group else p
        if first[p] != p:
            walks.append(walks[-1])
            taken.append(planner.beside(taken[int(first[p])], taken, vehicle_starts))
            continue
        walk = planner.walk(walker, taken, vehicle_starts, min(duration, LONGEST_WALK), rng)
        walks.append(walk)
        taken.append(walk.path[0])
    return _assemble(walkers, walks, first, np.array(taken).reshape(-1, 2), ground)


class _Planner:
    """Plans walks over one floor; the fields of distances to places are computed once each."""

    def __init__(
        self, layout: Layout, ground: Ground, routes: Sequence[FloatArray], rng: np.random.Generator | None
    ) -> None:
        self._ground = ground
        self._routes = [route for route in routes if len(route) >= 2 and path_length(route) > 4.0]
        places = _work_places(layout, ground)
        if len(places) < 2:
            other = places_of(layout, ground)
            places = np.column_stack([other, np.full(len(other), np.nan)])
        if rng is not None and len(places) > _PLACES:
            places = places[np.sort(rng.choice(len(places), _PLACES, replace=False))]
        self.places: FloatArray = places
        self._fields: dict[int, FloatArray] = {}

    def walk(
        self, walker: Walker, taken: Sequence[FloatArray], vehicles: FloatArray, time: float, rng: np.random.Generator
    ) -> _Walk:
        """Plan the walk of one person or group, of about ``time`` [s] and at most twice that."""
        ground = self._ground
        length = 1.2 * walker.speed * time + 5.0
        if walker.crossing and not walker.sudden:
            crossing = crossing_walk(ground, self._routes, taken, length, rng)
            if crossing is not None:
                path, turns = crossing
                # The way back over the same points closes the walk.
                turns = turns + [2.0 * turns[-1] - turn for turn in reversed(turns[:-1])]
                path = np.concatenate([path, path[-2::-1]])
                return _Walk(path, _stops(walker, path, turns, np.full(len(turns), np.nan), rng, 0.4))
        if len(self.places) == 0:
            middle = ground.origin + 0.5 * ground.resolution * np.array(ground.free.shape[::-1])
            return _Walk(np.stack([middle, middle]), np.zeros((0, 3)))
        hidden = self._step_out(walker, taken, rng) if walker.sudden else None
        if hidden is None:
            start, place = self._start(taken, vehicles, rng)
            return self._errands(walker, start, length, rng, home=place)
        path, lead = hidden
        walk = self._errands(walker, path[0], length, rng, via=path)
        way = float(np.hypot(*(path[1] - path[0])))
        walk.cross = (*path[1].tolist(), way / (HURRY * walker.speed) + RELAXATION + lead, path_length(path))
        back = path[0] - path[1]
        walk.stops = np.concatenate([[[0.0, 0.0, float(np.arctan2(back[1], back[0]))]], walk.stops])
        return walk

    def beside(self, leader: FloatArray, taken: Sequence[FloatArray], vehicles: FloatArray) -> FloatArray:
        """Return a free place (2,) near the first of a group."""
        for radius in (0.7, 1.1, 1.5, 1.9):
            for angle in np.arange(12) * (np.pi / 6.0):
                point = leader + radius * np.array([np.cos(angle), np.sin(angle)])
                free = self._ground.free[self._ground.cell(point)] and line_is_free(self._ground, leader, point)
                if free and _apart(point, taken, 0.6) and _apart(point, vehicles, 2.0):
                    return np.asarray(point)
        return leader.copy()

    def _start(
        self, taken: Sequence[FloatArray], vehicles: FloatArray, rng: np.random.Generator
    ) -> tuple[FloatArray, int | None]:
        """Choose where somebody begins: at a place if one is free, else near one, else anywhere.

        Returns:
            the point (2,), and the place that it is at or straight before.
        """
        for i in rng.permutation(len(self.places)).tolist():
            point = self.places[i, :2]
            if _apart(point, taken, 2.5) and _apart(point, vehicles, 2.0):
                return np.asarray(point), i
        for _ in range(64):
            i = int(rng.integers(len(self.places)))
            place, angle = self.places[i, :2], float(rng.uniform(-np.pi, np.pi))
            point = place + float(rng.uniform(0.6, 6.0)) * np.array([np.cos(angle), np.sin(angle)])
            free = self._ground.free[self._ground.cell(point)] and line_is_free(self._ground, place, point)
            if free and _apart(point, taken, 0.8) and _apart(point, vehicles, 2.0):
                return np.asarray(point), i
        rows, columns = np.nonzero(self._ground.free & (self._ground.clearance > 0.45))
        best, best_gap = self.places[0, :2], -1.0
        for _ in range(64 if len(rows) else 0):
            k = int(rng.integers(len(rows)))
            point = self._ground.centre(int(rows[k]), int(columns[k]))
            gap = min((float(np.hypot(*(point - other[:2]))) for other in (*taken, *vehicles)), default=np.inf)
            if gap > best_gap:
                best, best_gap = point, gap
        return np.asarray(best), None

    def _errands(
        self,
        walker: Walker,
        start: FloatArray,
        length: float,
        rng: np.random.Generator,
        via: FloatArray | None = None,
        home: int | None = None,
    ) -> _Walk:
        """Walk from place to place and back to the start, over the points ``via`` first; ``home`` as of ``_start``."""
        pieces = [start[None]] if via is None else [via]
        here = pieces[0][-1]
        walked = path_length(pieces[0])
        turns: list[float] = []
        faces: list[float] = []
        for _ in range(64):
            if walked >= length:
                break
            i = int(rng.integers(len(self.places)))
            if np.hypot(*(self.places[i, :2] - here)) < 3.0:
                continue
            leg = self._leg(i, here)
            if leg is None:
                continue
            pieces.append(leg[1:])
            walked += path_length(leg)
            turns.append(walked)
            faces.append(float(self.places[i, 2]))
            here = leg[-1]
        if home is None:
            back = shortest_path(self._ground, distance_field(self._ground, start), here, start)
        else:
            # The field of distances to a place is known; the start is in sight of it.
            back = self._leg(home, here)
        if back is None or not turns:
            return _Walk(np.stack([start, start]), np.zeros((0, 3)))
        pieces += [back[1:], start[None]] if home is not None else [back[1:]]
        path = np.concatenate(pieces)
        return _Walk(path, _stops(walker, path, turns, np.array(faces), rng, 1.0))

    def _leg(self, place: int, here: FloatArray) -> FloatArray | None:
        target = self.places[place, :2]
        if place not in self._fields:
            self._fields[place] = distance_field(self._ground, target)
        return shortest_path(self._ground, self._fields[place], here, target)

    def _step_out(
        self, walker: Walker, taken: Sequence[FloatArray], rng: np.random.Generator
    ) -> tuple[FloatArray, float] | None:
        """Choose where somebody steps out from between racks: points (3, 2) from there over a robot's way, and by how
        long [s] they are early there."""
        ground = self._ground
        if not self._routes:
            return None
        lead = float(rng.uniform(-0.3, 0.7))
        for _ in range(_TRIES):
            route = self._routes[int(rng.integers(len(self._routes)))]
            total = path_length(route)
            at = float(rng.uniform(min(3.0, 0.3 * total), max(total - 1.5, 0.5 * total)))
            angle, far = float(rng.uniform(-np.pi, np.pi)), float(rng.uniform(1.2, 3.5))
            meet, before = _along(route, at), _along(route, at - _HIDDEN_FROM)
            stand = meet + far * np.array([np.cos(angle), np.sin(angle)])
            if not (ground.free[ground.cell(stand)] and ground.free[ground.cell(meet)]):
                continue
            if not (line_is_free(ground, stand, meet) and _apart(stand, taken, 0.8)):
                continue
            if min(_distance_to(other, stand) for other in self._routes) < 1.0:
                continue
            if sees(*before, *stand, ground.clearance, ground.resolution, ground.origin):
                continue
            ends = across(ground, meet, (meet - stand) / far)
            return np.stack([stand, meet, ends]), lead
        return None


def _work_places(layout: Layout, ground: Ground) -> FloatArray:
    """Return where people work (N, 3), x, y [m] and the yaw [rad] they face: before every bay of a rack, and beside
    stations; only those on walkable ground."""
    rows: list[tuple[float, float, float]] = []
    for rack in layout.racks:
        c, s = np.cos(rack.yaw), np.sin(rack.yaw)
        for bay in range(rack.bays):
            u = (bay + 0.5 - 0.5 * rack.bays) * rack.bay_width
            for side in (1.0, -1.0):
                v = side * (0.5 * rack.depth + _RACK_GAP)
                rows.append((rack.x + c * u - s * v, rack.y + s * u + c * v, rack.yaw - side * 0.5 * np.pi))
    for station in layout.stations:
        c, s = np.cos(station.yaw), np.sin(station.yaw)
        for side in (_STATION_SIDE, -_STATION_SIDE):
            rows.append((station.x - s * side, station.y + c * side, station.yaw))
    free = [row for row in rows if ground.free[ground.cell(np.array(row[:2]))]]
    return np.array(free).reshape(-1, 3)


def _along(route: FloatArray, at: float) -> FloatArray:
    """Return the point (2,) at an arc length [m] of a polyline, held to its ends."""
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(route, axis=0).T))])
    return np.array([np.interp(at, arc, route[:, 0]), np.interp(at, arc, route[:, 1])])


def _distance_to(route: FloatArray, point: FloatArray) -> float:
    start, step = route[:-1], np.diff(route, axis=0)
    squared = np.maximum(np.sum(step * step, axis=1), 1e-12)
    t = np.clip(np.sum((point - start) * step, axis=1) / squared, 0.0, 1.0)
    return float(np.hypot(*(start + t[:, None] * step - point).T).min())


def _apart(point: FloatArray, others: Sequence[FloatArray] | FloatArray, distance: float) -> bool:
    return all(float(np.hypot(*(point - other[:2]))) >= distance for other in others)


def _stops(
    walker: Walker,
    path: FloatArray,
    turns: Sequence[float],
    faces: FloatArray,
    rng: np.random.Generator,
    linger: float,
) -> FloatArray:
    """Return the stops (N, 3) in order: at every turn for ``linger`` times the mean pause, and Poisson ones between."""
    total = path_length(path)
    unplanned = rng.random(int(rng.poisson(walker.stops_per_minute / 60.0 / walker.speed * total))) * total
    at = np.concatenate([np.asarray(turns, dtype=np.float64), unplanned])
    time = rng.gamma(2.0, 0.5, len(at)) * walker.pause
    time[: len(turns)] *= linger
    order = np.argsort(at, kind="stable")
    face = np.concatenate([faces, np.full(len(unplanned), np.nan)])
    return np.column_stack([at, time, face])[order]


def _assemble(
    walkers: Sequence[Walker],
    walks: Sequence[_Walk],
    first: NDArray[np.int64],
    position: FloatArray,
    ground: Ground,
) -> Crowd:
    count = len(walkers)
    corners = max((len(walk.path) for walk in walks), default=2)
    stops = max((len(walk.stops) for walk in walks), default=0) + 1
    path, arcs = np.zeros((count, corners, 2)), np.zeros((count, corners))
    stop_at = np.full((count, stops), np.inf)
    stop_for, stop_face = np.zeros((count, stops)), np.full((count, stops), np.nan)
    traits, yaw = np.zeros((count, TRAITS)), np.zeros(count)
    traits[:, T_CROSS_X : T_CROSS_TIME + 1] = np.nan
    size = np.bincount(first, minlength=count)
    for p, (walker, walk) in enumerate(zip(walkers, walks, strict=True)):
        points = len(walk.path)
        path[p, :points] = walk.path
        arcs[p, 1:points] = np.cumsum(np.hypot(*np.diff(walk.path, axis=0).T))
        rows = len(walk.stops)
        if rows:
            stop_at[p, :rows], stop_for[p, :rows], stop_face[p, :rows] = walk.stops.T
        traits[p, T_CARELESS] = float(walker.careless)
        traits[p, T_FIRST], traits[p, T_SIZE] = first[p], size[first[p]]
        if walk.cross is not None:
            traits[p, T_CROSS_X : T_UNAWARE + 1] = walk.cross
        yaw[p] = stop_face[p, 0] if walk.cross is not None else np.arctan2(*(walk.path[1] - walk.path[0])[::-1])
    speed = np.array([walker.speed for walker in walkers], dtype=np.float64)
    # Who walks together walks at one speed.
    traits[:, T_SPEED] = (np.bincount(first, weights=speed, minlength=count) / np.maximum(size, 1))[first]
    return Crowd(
        position=position.copy(),
        velocity=np.zeros((count, 2)),
        yaw=yaw,
        _traits=traits,
        _walk=np.zeros((count, WALK)),
        _pace=np.zeros((count, 2)),
        _path=path,
        _arcs=arcs,
        _path_count=np.array([len(walk.path) for walk in walks], dtype=np.int64),
        _stop_at=stop_at,
        _stop_for=stop_for,
        _stop_face=stop_face,
        _clearance=np.ascontiguousarray(ground.clearance, dtype=np.float64),
        _resolution=ground.resolution,
        _origin=np.asarray(ground.origin, dtype=np.float64),
    )
