"""Walking people: where they go, how they walk, what they look like.

Each person follows a polyline over walkable ground, with stops, and is moved by a small compiled model in the manner
of Moussaid, Helbing and Theraulaz, "How simple rules determine pedestrian behavior and crowd disasters", PNAS 2011: of
some directions the best is taken, weighing how far it turns off from the aim against how soon it is blocked; speed is
such that whatever blocks it stays a reaction time away; both are taken up with a relaxation time. Nobody enters walls,
racks or goods, or walks into a robot. Everything random is drawn before the first step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..common.primitives import BOX, CAPSULE, SPHERE, PrimitiveBuilder, Primitives
from ..layouts.model import Layout
from .routes import FloatArray, Ground, distance_field, line_is_free, path_length, shortest_path

PERSON_RADIUS = 0.25
"""Radius of the cylinder that holds a walking person's trunk [m]."""
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
    """

    speed: float
    pause: float
    stops_per_minute: float
    careless: bool
    crossing: bool


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

    def step(self, robot_pose: FloatArray, robot_velocity: FloatArray, robot_radius: FloatArray, dt: float) -> None:
        """Move everybody by one step.

        Args:
            robot_pose: (R, 3) x, y [m], yaw [rad]; robot_velocity: (R, 2) v [m/s], omega [rad/s].
            robot_radius: (R,) [m].
            dt: [s].
        """
        if len(self.position) == 0:
            return
        _step_people(
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
            np.ascontiguousarray(robot_pose),
            np.ascontiguousarray(robot_velocity),
            robot_radius,
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
        ground: walkable ground of a disc of ``PERSON_RADIUS + WALKING_MARGIN``.
        robot_routes: the shortest ways of the robots' tasks, (K, 2) each; crossing persons cross these.
        robot_starts: (R, 2) [m]; nobody begins within 2.5 m of one, if there is room.
        duration: of the episode [s].
        rngs: one generator for each person.

    Returns:
        The people, standing at their starts. A person without room to walk stands still.
    """
    places = _places(layout, ground)
    taken = [np.asarray(start) for start in robot_starts]
    paths, stops = [], []
    for walker, rng in zip(walkers, rngs, strict=True):
        need = 1.2 * walker.speed * duration + 5.0
        crossing = _crossing_walk(ground, robot_routes, taken, need, rng) if walker.crossing else None
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


def _places(layout: Layout, ground: Ground) -> FloatArray:
    """Points worth walking to (N, 2): along aisles every 2 m, and stations; only those on walkable ground."""
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
        leg = shortest_path(ground, distance_field(ground, target), here, target)
        if leg is None:
            continue
        pieces.append(leg[1:])
        length += path_length(leg)
        turns.append(length)
        here = target
    path = np.concatenate(pieces)
    return (path, turns) if len(path) > 1 else (np.concatenate([path, path]), [])


def _crossing_walk(
    ground: Ground, routes: Sequence[FloatArray], taken: Sequence[FloatArray], need: float, rng: np.random.Generator
) -> tuple[FloatArray, list[float]] | None:
    """Walk to and fro across the ways of the robots; None if no way has room on both sides."""
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


_RELAXATION = 0.35
"""Time in which people take up their desired velocity [s]."""
_BRAKING = 1.2
"""Deceleration with which people approach a stop [m/s^2]."""
_LOOKAHEAD = 0.8
"""Distance ahead on the path that people steer at [m]."""
_HORIZON = 3.0
"""How far people look ahead [m]."""
_CLEAR_WAY = 1.5
"""A way that is free for this length [m] is as good as one that is free for ever."""
_BLOCKED_COST = 1.2
_REACTION = 0.5
"""Time that people keep to whatever is in their way [s]."""
_PATIENCE = 2.0
"""Time without progress after which people steer at a place further on [s]."""
_DIRECTIONS = 8
"""Directions that people consider on either side of straight on ..."""
_DIRECTION_STEP = 0.21
"""... and the angle between them [rad]."""
_STARTLE_GAP = 0.45
"""Gap to a moving robot at which even careless people notice it [m]."""
_ROBOT_MARGIN = 0.35
"""Distance that attentive people keep from moving robots [m]."""
_STANDING = 0.05
"""Below this speed a robot counts as standing [m/s]."""


@njit(cache=True, nogil=True, error_model="numpy")
def _clearance_at(field: FloatArray, resolution: float, origin: FloatArray, x: float, y: float) -> float:
    """Bilinear clearance [m] at a point; outside the grid 0."""
    height, width = field.shape
    u = (x - origin[0]) / resolution - 0.5
    v = (y - origin[1]) / resolution - 0.5
    if not (0.0 <= u <= width - 1.0 and 0.0 <= v <= height - 1.0):
        return 0.0
    i, j = min(int(v), height - 2), min(int(u), width - 2)
    a, b = v - i, u - j
    return (1.0 - a) * ((1.0 - b) * field[i, j] + b * field[i, j + 1]) + a * (
        (1.0 - b) * field[i + 1, j] + b * field[i + 1, j + 1]
    )


@njit(cache=True, nogil=True, error_model="numpy")
def _follow(
    path: FloatArray, count: int, arc: float, limit: float, x: float, y: float
) -> tuple[float, float, float, float]:
    """Project a walker on the path between ``arc`` and ``limit`` (at most 1 m further on than ``arc``).

    Returns the new arc length, the end of what may be walked now (``limit`` or the path's end), and the point to steer
    at, _LOOKAHEAD ahead but not beyond that end: so corners where one stops are not cut.
    """
    best, best_arc, walked = np.inf, arc, 0.0
    window = min(arc + 1.0, limit)
    for i in range(count - 1):
        dx, dy = path[i + 1, 0] - path[i, 0], path[i + 1, 1] - path[i, 1]
        length = np.sqrt(dx * dx + dy * dy)
        if length > 0.0 and walked + length >= arc and walked <= window:
            t = ((x - path[i, 0]) * dx + (y - path[i, 1]) * dy) / (length * length)
            t = min(max(t, 0.0, (arc - walked) / length), 1.0, (window - walked) / length)
            ex, ey = path[i, 0] + t * dx - x, path[i, 1] + t * dy - y
            distance = np.sqrt(ex * ex + ey * ey)
            if distance < best - 1e-9:
                best, best_arc = distance, walked + t * length
        walked += length
    end = min(limit, walked)
    aim = min(best_arc + _LOOKAHEAD, end)
    at = 0.0
    for i in range(count - 1):
        dx, dy = path[i + 1, 0] - path[i, 0], path[i + 1, 1] - path[i, 1]
        length = np.sqrt(dx * dx + dy * dy)
        if length > 0.0 and at + length >= aim:
            t = (aim - at) / length
            return best_arc, end, path[i, 0] + t * dx, path[i, 1] + t * dy
        at += length
    return best_arc, end, path[count - 1, 0], path[count - 1, 1]


@njit(cache=True, nogil=True, error_model="numpy")
def _way_to_disc(
    dx: float, dy: float, ux: float, uy: float, speed: float, vx: float, vy: float, radius: float, horizon: float
) -> float:
    """Return how far somebody walks along u at ``speed`` until touching a disc at d that moves at v."""
    wx, wy = speed * ux - vx, speed * uy - vy
    closing = dx * wx + dy * wy
    if closing <= 0.0:
        return horizon
    # Who stands within the margin already may go anywhere but nearer.
    distance = np.sqrt(dx * dx + dy * dy)
    radius = min(radius, max(distance - 1e-3, 0.0))
    speed2 = wx * wx + wy * wy
    root = closing * closing - speed2 * (distance * distance - radius * radius)
    if root <= 0.0:
        return horizon
    return min(horizon, speed * (closing - np.sqrt(root)) / speed2)


@njit(cache=True, nogil=True, error_model="numpy")
def _way_to_walls(
    x: float, y: float, ux: float, uy: float, field: FloatArray, resolution: float, origin: FloatArray, horizon: float
) -> float:
    """Return how far one may walk along u before walls, racks and goods are nearer than a body; sphere tracing."""
    need = PERSON_RADIUS + 0.03
    way = 0.0
    for _ in range(24):
        room = _clearance_at(field, resolution, origin, x + way * ux, y + way * uy) - need
        if room < 0.01:
            # Along a wall that is touched already one may go on.
            ahead = _clearance_at(field, resolution, origin, x + 0.1 * ux, y + 0.1 * uy) - need
            return 0.3 if way == 0.0 and ahead > room else way
        way += max(room, 0.05)
        if way >= horizon:
            return horizon
    return min(way, horizon)


@njit(cache=True, nogil=True, error_model="numpy")
def _free_way(
    i: int,
    position: FloatArray,
    velocity: FloatArray,
    ux: float,
    uy: float,
    speed: float,
    careless: bool,
    horizon: float,
    robot_pose: FloatArray,
    robot_velocity: FloatArray,
    robot_radius: FloatArray,
) -> float:
    """Return how far person i walks along u until touching a person or a robot that they mind."""
    x, y = position[i, 0], position[i, 1]
    way = horizon
    for j in range(len(position)):
        if j != i:
            dx, dy = position[j, 0] - x, position[j, 1] - y
            radius = 2.0 * PERSON_RADIUS + 0.1
            way = min(way, _way_to_disc(dx, dy, ux, uy, speed, velocity[j, 0], velocity[j, 1], radius, horizon))
    for r in range(len(robot_pose)):
        v = robot_velocity[r, 0]
        moves = abs(v) >= _STANDING
        dx, dy = robot_pose[r, 0] - x, robot_pose[r, 1] - y
        touching = robot_radius[r] + PERSON_RADIUS
        if careless and moves and dx * dx + dy * dy > (touching + _STARTLE_GAP) ** 2:
            continue
        vx, vy = v * np.cos(robot_pose[r, 2]), v * np.sin(robot_pose[r, 2])
        radius = touching + (_ROBOT_MARGIN if moves and not careless else 0.08)
        way = min(way, _way_to_disc(dx, dy, ux, uy, speed, vx, vy, radius, horizon))
    return way


@njit(cache=True, nogil=True, error_model="numpy")
def _bounded_move(
    x: float, y: float, vx: float, vy: float, dt: float, field: FloatArray, resolution: float, origin: FloatArray
) -> tuple[float, float]:
    """Return where a step ends that may slide along walls and racks but never enter them."""
    need = PERSON_RADIUS + 0.02
    new_x, new_y = x + vx * dt, y + vy * dt
    clearance = _clearance_at(field, resolution, origin, new_x, new_y)
    if clearance >= need:
        return new_x, new_y
    h = resolution
    gx = _clearance_at(field, resolution, origin, new_x + h, new_y) - _clearance_at(
        field, resolution, origin, new_x - h, new_y
    )
    gy = _clearance_at(field, resolution, origin, new_x, new_y + h) - _clearance_at(
        field, resolution, origin, new_x, new_y - h
    )
    norm = np.sqrt(gx * gx + gy * gy)
    if norm > 1e-9:
        new_x += (need - clearance) * gx / norm
        new_y += (need - clearance) * gy / norm
    moved = np.sqrt((new_x - x) ** 2 + (new_y - y) ** 2)
    if _clearance_at(field, resolution, origin, new_x, new_y) < need - 0.01 or moved > 0.2:
        return x, y
    return new_x, new_y


@njit(cache=True, nogil=True, error_model="numpy")
def _blocked_by_robot(
    x: float,
    y: float,
    new_x: float,
    new_y: float,
    robot_pose: FloatArray,
    robot_radius: FloatArray,
) -> bool:
    """Tell whether a step would lead into a robot: nobody walks into a machine, a machine may drive into somebody."""
    for r in range(len(robot_pose)):
        before = (robot_pose[r, 0] - x) ** 2 + (robot_pose[r, 1] - y) ** 2
        after = (robot_pose[r, 0] - new_x) ** 2 + (robot_pose[r, 1] - new_y) ** 2
        if after < (robot_radius[r] + PERSON_RADIUS + 0.03) ** 2 and after < before:
            return True
    return False


@njit(cache=True, nogil=True, error_model="numpy")
def _desired_velocity(
    i: int,
    position: FloatArray,
    velocity: FloatArray,
    speed: float,
    remaining: float,
    aim_x: float,
    aim_y: float,
    careless: bool,
    field: FloatArray,
    resolution: float,
    origin: FloatArray,
    robot_pose: FloatArray,
    robot_velocity: FloatArray,
    robot_radius: FloatArray,
) -> tuple[float, float]:
    """Choose direction and speed: the direction that comes nearest to the aim, as far as it is free."""
    x, y = position[i, 0], position[i, 1]
    distance = np.sqrt((aim_x - x) ** 2 + (aim_y - y) ** 2)
    if distance < 1e-6:
        return 0.0, 0.0
    ux, uy = (aim_x - x) / distance, (aim_y - y) / distance
    best, best_x, best_y, best_way = np.inf, 0.0, 0.0, 0.0
    for k in range(2 * _DIRECTIONS + 1):
        # 0, -1, +1, -2, +2 ...: of equal directions the one nearest to straight on wins, then the right-hand one.
        angle = _DIRECTION_STEP * ((k + 1) // 2) * (1.0 if k % 2 == 0 else -1.0)
        cos, sin = np.cos(angle), np.sin(angle)
        wx, wy = cos * ux - sin * uy, sin * ux + cos * uy
        way = _free_way(
            i, position, velocity, wx, wy, speed, careless, _HORIZON, robot_pose, robot_velocity, robot_radius
        )
        way = min(way, _way_to_walls(x, y, wx, wy, field, resolution, origin, _HORIZON))
        # A right angle costs 1, a way that is blocked at once a little more, a change of mind something.
        keeps_on = (wx * velocity[i, 0] + wy * velocity[i, 1]) / speed
        cost = 1.0 - cos + _BLOCKED_COST * max(0.0, 1.0 - way / _CLEAR_WAY) - 0.1 * keeps_on
        if cost < best - 1e-9:
            best, best_x, best_y, best_way = cost, wx, wy, way
    size = min(speed, best_way / _REACTION, 0.15 + np.sqrt(2.0 * _BRAKING * max(remaining, 0.0)))
    return size * best_x, size * best_y


@njit(cache=True, nogil=True, error_model="numpy")
def _step_people(
    position: FloatArray,
    velocity: FloatArray,
    yaw: FloatArray,
    path: FloatArray,
    path_count: NDArray[np.int64],
    stop_at: FloatArray,
    stop_for: FloatArray,
    speed: FloatArray,
    careless: NDArray[np.bool_],
    arc: FloatArray,
    waited: FloatArray,
    blocked: FloatArray,
    next_stop: NDArray[np.int64],
    field: FloatArray,
    resolution: float,
    origin: FloatArray,
    robot_pose: FloatArray,
    robot_velocity: FloatArray,
    robot_radius: FloatArray,
    dt: float,
) -> None:
    """Move everybody by one step, one after the other in order of index."""
    for i in range(len(position)):
        x, y = position[i, 0], position[i, 1]
        limit = stop_at[i, next_stop[i]]
        arc[i], end, aim_x, aim_y = _follow(path[i], path_count[i], arc[i], limit, x, y)
        want_x, want_y = 0.0, 0.0
        if end - arc[i] < 0.15:
            waited[i] += dt
            if limit <= end and waited[i] >= stop_for[i, next_stop[i]]:
                arc[i] = max(arc[i], limit)
                next_stop[i] += 1
                waited[i] = 0.0
        else:
            want_x, want_y = _desired_velocity(
                i,
                position,
                velocity,
                speed[i],
                end - arc[i],
                aim_x,
                aim_y,
                careless[i],
                field,
                resolution,
                origin,
                robot_pose,
                robot_velocity,
                robot_radius,
            )
            slow = velocity[i, 0] ** 2 + velocity[i, 1] ** 2 < 0.2 * 0.2
            blocked[i] = blocked[i] + dt if slow else 0.0
            if blocked[i] > _PATIENCE:
                # What cannot be reached is given up: steer at a place further on, past whatever stands there.
                arc[i] = min(arc[i] + 0.5, end)
                blocked[i] = 0.5 * _PATIENCE
        blend = min(1.0, dt / _RELAXATION)
        vx = velocity[i, 0] + blend * (want_x - velocity[i, 0])
        vy = velocity[i, 1] + blend * (want_y - velocity[i, 1])
        new_x, new_y = _bounded_move(x, y, vx, vy, dt, field, resolution, origin)
        if _blocked_by_robot(x, y, new_x, new_y, robot_pose, robot_radius):
            new_x, new_y = x, y
        position[i, 0], position[i, 1] = new_x, new_y
        velocity[i, 0], velocity[i, 1] = (new_x - x) / dt, (new_y - y) / dt
        if velocity[i, 0] ** 2 + velocity[i, 1] ** 2 > 0.01:
            turn = np.arctan2(velocity[i, 1], velocity[i, 0]) - yaw[i]
            turn = (turn + np.pi) % (2.0 * np.pi) - np.pi
            yaw[i] = (yaw[i] + turn * min(1.0, dt / 0.25) + np.pi) % (2.0 * np.pi) - np.pi
