"""Walking people: where they go, how they walk, what they look like.

Each person follows a polyline over walkable ground, with stops; ``walking`` moves them along it. Everything random
is drawn before the first step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..common.primitives import BOX, CAPSULE, SPHERE, PrimitiveBuilder, Primitives
from ..layouts.model import Layout
from .routes import DistanceField, FloatArray, Ground, line_is_free, path_length
from .vehicles import Vehicles
from .walking import step_people

PERSON_HEIGHT = 1.75
"""[m]"""
WALKING_MARGIN = 0.12
"""Distance from their skin to walls and racks that people plan with [m]."""

_TROUSERS = ((44, 52, 72), (62, 62, 66), (84, 74, 58), (30, 36, 48))
_VESTS = ((236, 226, 42), (244, 122, 32), (60, 96, 150), (120, 124, 128), (150, 48, 44))
_SKIN = ((234, 196, 168), (204, 154, 116), (150, 104, 74), (98, 66, 48))
_HELMETS = ((240, 240, 236), (238, 202, 44), (52, 40, 34), (92, 62, 40))


@dataclass(frozen=True)
class Walker:
    """What was drawn for one person.

    Attributes:
        speed: preferred walking speed [m/s].
        pause: mean time of a stop [s].
        stops_per_minute: unplanned stops on the way [1/min].
        careless: whether the person notices moving robots only when they are about to touch; one that stands still is
            walked around by everybody.
        crossing: whether the person keeps crossing the ways of the robots, instead of walking from place to place.
        sudden: whether the person waits between racks and steps out into the way of a robot that comes.
        group: number of the group that the person walks with, -1 alone. Groups and sudden crossings belong to the
            social force model.
    """

    speed: float
    pause: float
    stops_per_minute: float
    careless: bool
    crossing: bool
    sudden: bool = False
    group: int = -1


@dataclass
class People:
    """All persons of an episode; ``step`` moves them.

    Attributes:
        position: (P, 2) float64 [m] in ``map``; velocity: (P, 2) float64 [m/s]; yaw: (P,) float64 [rad].
    """

    position: FloatArray
    velocity: FloatArray
    yaw: FloatArray
    _path: FloatArray
    _path_length: NDArray[np.int64]
    _stop_at: FloatArray
    _stop_for: FloatArray
    _speed: FloatArray
    _careless: NDArray[np.bool_]
    _arc: FloatArray
    _waited: FloatArray
    _blocked: FloatArray
    _next_stop: NDArray[np.int64]
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
        pose, velocity, radius = vehicles.discs()
        step_people(
            self.position,
            self.velocity,
            self.yaw,
            self._path,
            self._path_length,
            self._stop_at,
            self._stop_for,
            self._speed,
            self._careless,
            self._arc,
            self._waited,
            self._blocked,
            self._next_stop,
            self._clearance,
            self._resolution,
            self._origin,
            pose,
            velocity,
            radius,
            dt,
        )


def plan_people(
    walkers: Sequence[Walker],
    layout: Layout,
    ground: Ground,
    robot_routes: Sequence[FloatArray],
    robot_starts: FloatArray,
    duration: float,
    rngs: Sequence[np.random.Generator],
) -> People:
    """Plan everybody's walk for a whole episode.

    Args:
        walkers: what was drawn for each person.
        layout: for its aisles and stations.
        ground: walkable ground of a disc of ``walking.PERSON_RADIUS + WALKING_MARGIN``.
        robot_routes: the shortest ways of the robots' tasks, (K, 2) each; crossing persons cross these.
        robot_starts: (R, 2) [m]; nobody begins within 2.5 m of one, if there is room.
        duration: of the episode [s].
        rngs: one generator for each person.

    Returns:
        The people, standing at their starts. A person without room to walk stands still.
    """
    places = places_of(layout, ground)
    taken = [np.asarray(start) for start in robot_starts]
    paths, stops = [], []
    for walker, rng in zip(walkers, rngs, strict=True):
        need = 1.2 * walker.speed * duration + 5.0
        crossing = crossing_walk(ground, robot_routes, taken, need, rng) if walker.crossing else None
        path, turns = crossing or _errand_walk(ground, places, taken, need, rng)
        taken.append(path[0])
        paths.append(path)
        stops.append(_stops(walker, path, turns, rng))
    return _assemble(walkers, paths, stops, ground)


def person_shape(index: int, rng: np.random.Generator, *, body: int, instance_id: int) -> Primitives:
    """Return the solids of a person in their own frame: origin on the floor, x forward, z up.

    Args:
        index: number of the person, for nothing but the order of colours.
        rng: draws clothes and height.
        body, instance_id: as in ``Primitives``.
    """
    scale = PERSON_HEIGHT * float(rng.uniform(0.92, 1.08)) / 1.75
    trousers, vest, skin, helmet = (
        palette[(int(rng.integers(len(palette))) + index) % len(palette)]
        for palette in (_TROUSERS, _VESTS, _SKIN, _HELMETS)
    )
    builder = PrimitiveBuilder()

    def add(kind: int, size: tuple[float, ...], at: tuple[float, float, float], color: tuple[int, int, int]) -> None:
        scaled = tuple(scale * value for value in size)
        position = tuple(scale * value for value in at)
        builder.add(kind, scaled, position, class_name="person", instance_id=instance_id, body=body, color=color)

    stride = float(rng.uniform(0.05, 0.14))
    for side in (-1.0, 1.0):
        add(CAPSULE, (0.075, 0.34), (side * stride, side * 0.09, 0.43), trousers)
        add(CAPSULE, (0.05, 0.24), (-side * 0.7 * stride, side * 0.215, 1.12), vest)
        add(BOX, (0.13, 0.05, 0.045), (side * stride + 0.03, side * 0.09, 0.045), (34, 32, 32))
    add(CAPSULE, (0.16, 0.19), (0.0, 0.0, 1.13), vest)
    add(SPHERE, (0.105,), (0.02, 0.0, 1.585), skin)
    add(SPHERE, (0.108,), (-0.005, 0.0, 1.64), helmet)
    return builder.build()


def places_of(layout: Layout, ground: Ground) -> FloatArray:
    """Return points worth walking to (N, 2): along aisles every 2 m, and stations; only those on walkable ground."""
    points: list[FloatArray] = []
    for aisle in layout.aisles:
        start, end = np.array(aisle.start), np.array(aisle.end)
        count = max(2, int(np.hypot(*(end - start)) / 2.0) + 1)
        points.extend(start + t * (end - start) for t in np.linspace(0.0, 1.0, count))
    points.extend(np.array([station.x, station.y]) for station in layout.stations)
    free = [point for point in points if ground.free[ground.cell(point)]]
    if len(free) < 2:
        rows, columns = np.nonzero(ground.free)
        step = max(1, len(rows) // 64)
        free = [ground.centre(int(r), int(c)) for r, c in zip(rows[::step], columns[::step], strict=True)]
    return np.array(free).reshape(-1, 2)


def _far_from(point: FloatArray, taken: Sequence[FloatArray], distance: float) -> bool:
    return all(float(np.hypot(*(point - other[:2]))) >= distance for other in taken)


def _errand_walk(
    ground: Ground, places: FloatArray, taken: Sequence[FloatArray], need: float, rng: np.random.Generator
) -> tuple[FloatArray, list[float]]:
    """Walk from place to place; returns the path (K, 2) and the arc lengths [m] at which a place is reached."""
    if len(places) == 0:
        middle = ground.origin + 0.5 * ground.resolution * np.array(ground.free.shape[::-1])
        return np.stack([middle, middle]), []
    order = rng.permutation(len(places))
    start = next((places[i] for i in order if _far_from(places[i], taken, 2.5)), places[order[0]])
    pieces, turns, length, here = [start[None]], [], 0.0, start
    for _ in range(64):
        if length >= need:
            break
        target = places[int(rng.integers(len(places)))] + rng.uniform(-0.3, 0.3, 2)
        if np.hypot(*(target - here)) < 3.0 or not ground.free[ground.cell(target)]:
            continue
        leg = DistanceField(ground, target).path(here, target)
        if leg is None:
            continue
        pieces.append(leg[1:])
        length += path_length(leg)
        turns.append(length)
        here = target
    path = np.concatenate(pieces)
    return (path, turns) if len(path) > 1 else (np.concatenate([path, path]), [])


def crossing_walk(
    ground: Ground, routes: Sequence[FloatArray], taken: Sequence[FloatArray], need: float, rng: np.random.Generator
) -> tuple[FloatArray, list[float]] | None:
    """Walk to and fro across the ways of the robots; None if no way has room on both sides.

    Args:
        ground: where one may walk. routes: the ways, (K, 2) each. need: length of the walk [m]. rng: draws it.
        taken: points (2,) to stay 2 m away from at the start.

    Returns:
        The path (N, 2) and the arc lengths [m] of its turns.
    """
    routes = [route for route in routes if len(route) >= 2 and path_length(route) > 4.0]
    if not routes:
        return None
    for _ in range(24):
        route = routes[int(rng.integers(len(routes)))]
        ends = _across(ground, route, float(rng.uniform(0.2, 0.9)), rng)
        if ends is None or not _far_from(ends[0], taken, 2.0):
            continue
        width = float(np.hypot(*(ends[1] - ends[0])))
        count = max(2, int(np.ceil(need / width)) + 1)
        path = np.array([ends[i % 2] for i in range(count)])
        # The same two points for ever would be a metronome: every crossing ends a little elsewhere.
        jitter = rng.uniform(-0.25, 0.25, path.shape)
        jittered = [p + j if ground.free[ground.cell(p + j)] else p for p, j in zip(path, jitter, strict=True)]
        kept = [jittered[0]]
        for i in range(1, count):
            kept.append(jittered[i] if line_is_free(ground, kept[-1], jittered[i]) else path[i])
        path = np.array(kept)
        steps = np.hypot(*np.diff(path, axis=0).T)
        return path, [float(value) for value in np.cumsum(steps)]
    return None


def _across(
    ground: Ground, route: FloatArray, share: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray] | None:
    """Return two points on either side of a route at a share of its length, in line of sight of each other."""
    steps = np.hypot(*np.diff(route, axis=0).T)
    arc = np.concatenate([[0.0], np.cumsum(steps)])
    at = share * arc[-1]
    i = min(int(np.searchsorted(arc, at, side="right")) - 1, len(steps) - 1)
    if steps[i] < 1e-6:
        return None
    along = (route[i + 1] - route[i]) / steps[i]
    middle = route[i] + (at - arc[i]) * along
    normal = np.array([-along[1], along[0]]) * (1.0 if rng.random() < 0.5 else -1.0)
    reach = [_reach(ground, middle, direction * normal, 4.0) for direction in (1.0, -1.0)]
    if min(reach) < 0.4 or sum(reach) < 2.0:
        return None
    return middle + reach[0] * normal, middle - reach[1] * normal


def across(ground: Ground, start: FloatArray, direction: FloatArray) -> FloatArray:
    """Return the point (2,) that one reaches straight on from a point in a direction (2,), at most 4 m away."""
    return np.asarray(start + _reach(ground, start, direction, 4.0) * direction)


def _reach(ground: Ground, start: FloatArray, direction: FloatArray, limit: float) -> float:
    """Return how far one can walk straight from a point, at most ``limit`` [m]."""
    far = 0.0
    for distance in np.arange(0.0, limit, 0.5 * ground.resolution):
        if not ground.free[ground.cell(start + distance * direction)]:
            break
        far = float(distance)
    return far


def _stops(walker: Walker, path: FloatArray, turns: Sequence[float], rng: np.random.Generator) -> FloatArray:
    """Return the stops (N, 2): arc length [m], and time [s], in order: at every turn, and Poisson ones between."""
    total = path_length(path)
    per_metre = walker.stops_per_minute / 60.0 / walker.speed
    count = int(rng.poisson(per_metre * total))
    unplanned = rng.random(count) * total
    at = np.concatenate([np.array(turns, dtype=np.float64), unplanned])
    time = rng.gamma(2.0, 0.5, len(at)) * walker.pause
    if walker.crossing:
        # Somebody who crosses for a purpose hardly lingers.
        time[: len(turns)] *= 0.4
    order = np.argsort(at, kind="stable")
    return np.column_stack([at[order], time[order]])


def _assemble(
    walkers: Sequence[Walker], paths: Sequence[FloatArray], stops: Sequence[FloatArray], ground: Ground
) -> People:
    count = len(walkers)
    path = np.zeros((count, max((len(p) for p in paths), default=2), 2))
    stop_at = np.full((count, max((len(s) for s in stops), default=0) + 1), np.inf)
    stop_for = np.zeros(stop_at.shape)
    yaw = np.zeros(count)
    for i, (points, pauses) in enumerate(zip(paths, stops, strict=True)):
        path[i, : len(points)] = points
        stop_at[i, : len(pauses)] = pauses[:, 0]
        stop_for[i, : len(pauses)] = pauses[:, 1]
        yaw[i] = np.arctan2(*(points[1] - points[0])[::-1])
    return People(
        position=path[:, 0].copy(),
        velocity=np.zeros((count, 2)),
        yaw=yaw,
        _path=path,
        _path_length=np.array([len(p) for p in paths], dtype=np.int64),
        _stop_at=stop_at,
        _stop_for=stop_for,
        _speed=np.array([walker.speed for walker in walkers], dtype=np.float64),
        _careless=np.array([walker.careless for walker in walkers], dtype=np.bool_),
        _arc=np.zeros(count),
        _waited=np.zeros(count),
        _blocked=np.zeros(count),
        _next_stop=np.zeros(count, dtype=np.int64),
        _clearance=np.ascontiguousarray(ground.clearance, dtype=np.float64),
        _resolution=ground.resolution,
        _origin=np.asarray(ground.origin, dtype=np.float64),
    )
