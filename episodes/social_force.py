"""Walking people as a social force model: a compiled kernel that moves everybody by one step.

The force on a person is an acceleration, the sum of

- the driving force (v0 e - v) / tau towards the way, and a top speed of 1.3 v0: Helbing and Molnar, "Social force model
  for pedestrian dynamics", Physical Review E 51, 1995, equations 2 and 10, with their tau = 0.5 s; what lies behind
  counts half, as in their equation 8;
- the interaction with every other person in sight, as measured by Moussaid et al., "Experimental study of the
  behavioural mechanisms underlying self-organization in human crowds", Proceedings of the Royal Society B 276, 2009:
  with D = lambda (v_i - v_j) + e_ij, t = D / |D|, B = gamma |D| and theta the angle from t to e_ij,
  f = -A exp(-d / B - (n' B theta)^2) t - A sign(theta) exp(-d / B - (n B theta)^2) n_t, A = 4.5 m/s^2, lambda = 2,
  gamma = 0.35, n = 2, n' = 3; theta is biased by 0.005 B, so that people evade to the right;
- walls, racks and goods, a exp(-d / b) away from the nearest, a = 3 m/s^2, b = 0.1 m, from the same paper;
- the group, after Moussaid et al., "The walking behaviour of pedestrian social groups and its impact on crowd
  dynamics", PLoS ONE 5, 2010: who is ahead slows down so as to keep the others in view (-beta1 alpha v), who is far
  from the middle of the group comes closer (beta2), who is too near gives way (beta3); beta1 = 4 1/s, beta2 = 3 m/s^2,
  beta3 = 1 m/s^2, view of 90 degrees to either side;
- vehicles, by the same law as people, from the nearest point of their outline. Besides, people do not walk into the way
  of a machine: of some directions the best is taken that is free of vehicles, and speed is such that a vehicle stays
  half a second away. So is whoever walks ahead, without which a dense crowd walks too fast (Moussaid, Helbing and
  Theraulaz, PNAS 108, 2011).

Forces alone let bodies pass through each other in a crowd: two bodies that overlap are moved apart. Nobody enters
walls, racks or goods, or walks into a vehicle.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..common.kernels import compiled
from .avoidance import REACH, REACTION, STANDING, into_vehicle, minded_distance, nearest_on, past_vehicles, sees
from .routes import FloatArray
from .walking import PERSON_RADIUS, bounded_move, clearance_at

RELAXATION = 0.5
"""tau [s]"""
TOP_SPEED = 1.3
"""Times the desired speed, beyond which nobody is pushed."""
_BEHIND = 0.5
"""Weight of what lies more than 100 degrees from the direction of walking."""
_COS_SIGHT = -0.17364817766693041

_ABREAST = 0.4
"""Who is farther aside [m] is not ahead."""
_KEPT_AHEAD = 1.7
_SLIGHT = 0.02
"""Forces [m/s^2] of people farther away than _KEPT_AHEAD [m] that are smaller do not count."""

_STRENGTH = 4.5
_LAMBDA = 2.0
_GAMMA = 0.35
_N_ANGLE = 2.0
_N_SPEED = 3.0
_BIAS = 0.005
_WALL_STRENGTH = 3.0
_WALL_RANGE = 0.1

_GAZE = 4.0
_COHESION = 3.0
_SPACING = 1.0
_GROUP_DISTANCE = 0.8
"""Nearer [m] members of a group give way to each other."""

_LONGEST_STEP = 0.025
"""Longer steps [s] are cut."""
_LOOKAHEAD = 1.5
"""Distance ahead on the way that people steer at [m]."""
_BRAKING = 1.2
"""Deceleration with which people approach a stop [m/s^2]."""
_ARRIVED = 0.15
"""Nearer to a stop [m] one has arrived; each other member of the group allows _GROUP_ARRIVED more."""
_GROUP_ARRIVED = 0.45
_PATIENCE = 2.0
"""Time without progress after which people steer at a place further on [s]."""
HURRY = 1.3
"""Somebody who steps out suddenly walks this many times faster than usual."""
_SEEN_FROM = 10.0
"""Vehicles farther away [m] than this set off no sudden crossing."""

# Columns of what each person is ...
T_SPEED, T_CARELESS, T_FIRST, T_SIZE, T_CROSS_X, T_CROSS_Y, T_CROSS_TIME, T_UNAWARE, TRAITS = range(9)
"""Desired speed [m/s]; 1 if careless; first member and size of the group; where a sudden crossing meets the way of the
robots [m] and the time to get there [s], nan for none; arc length [m] up to which somebody who stepped out sees
nothing."""
# ... and of how far each has come.
W_ARC, W_WAITED, W_BLOCKED, W_STOP, W_OUT, WALK = range(6)
"""Arc length on the way [m]; time waited at this stop and time without progress [s]; number of the next stop; 1 once
stepped out."""


@compiled
def _aim(
    path: FloatArray, arcs: FloatArray, count: int, arc: float, limit: float, x: float, y: float
) -> tuple[float, float, float, float, float]:
    """Find a walker's place on a path whose corners are at ``arcs``; returns arc, aim x, y, direction x, y there.

    The aim is _LOOKAHEAD ahead, but not beyond ``limit``.
    """
    first = max(int(np.searchsorted(arcs[:count], arc, side="right")) - 1, 0)
    best, best_arc = np.inf, arc
    window = min(arc + 1.0, limit)
    for i in range(min(first, count - 2), count - 1):
        if arcs[i] > window:
            break
        length = arcs[i + 1] - arcs[i]
        if length > 0.0:
            dx, dy = (path[i + 1, 0] - path[i, 0]) / length, (path[i + 1, 1] - path[i, 1]) / length
            along = (x - path[i, 0]) * dx + (y - path[i, 1]) * dy
            along = min(max(along, 0.0, arc - arcs[i]), length, max(window - arcs[i], 0.0))
            distance = np.hypot(path[i, 0] + along * dx - x, path[i, 1] + along * dy - y)
            if distance < best - 1e-9:
                best, best_arc = distance, arcs[i] + along
    at = min(best_arc + _LOOKAHEAD, limit)
    i = min(max(int(np.searchsorted(arcs[:count], at, side="left")) - 1, 0), count - 2)
    length = max(arcs[i + 1] - arcs[i], 1e-9)
    dx, dy = (path[i + 1, 0] - path[i, 0]) / length, (path[i + 1, 1] - path[i, 1]) / length
    return best_arc, path[i, 0] + (at - arcs[i]) * dx, path[i, 1] + (at - arcs[i]) * dy, dx, dy


@compiled
def _interaction(
    dx: float, dy: float, distance: float, vx: float, vy: float, ux: float, uy: float
) -> tuple[float, float]:
    """Return the force of one at (dx, dy), ``distance`` away, moving at u, on one who moves at v (Moussaid 2009)."""
    ex, ey = dx / distance, dy / distance
    ix, iy = _LAMBDA * (vx - ux) + ex, _LAMBDA * (vy - uy) + ey
    size = np.hypot(ix, iy)
    if size < 1e-6:
        return 0.0, 0.0
    tx, ty = ix / size, iy / size
    b = _GAMMA * size
    theta = np.arctan2(tx * ey - ty * ex, tx * ex + ty * ey) + _BIAS * b
    decay = np.exp(-distance / b)
    slow = -_STRENGTH * decay * np.exp(-((_N_SPEED * b * theta) ** 2))
    turn = -_STRENGTH * decay * np.exp(-((_N_ANGLE * b * theta) ** 2)) * (1.0 if theta >= 0.0 else -1.0)
    return slow * tx - turn * ty, slow * ty + turn * tx


@compiled
def _people_force(
    i: int,
    position: FloatArray,
    velocity: FloatArray,
    ex: float,
    ey: float,
    field: FloatArray,
    resolution: float,
    origin: FloatArray,
) -> tuple[float, float, float]:
    """Sum the interactions of person i, who wants to go along e, with everybody else in sight.

    Returns:
        the force, and the room [m] to the nearest person ahead who does not come the other way.
    """
    fx, fy, room = 0.0, 0.0, np.inf
    x, y = position[i, 0], position[i, 1]
    for j in range(len(position)):
        dx, dy = position[j, 0] - x, position[j, 1] - y
        squared = dx * dx + dy * dy
        if j == i or squared > REACH * REACH or squared < 1e-12:
            continue
        distance = np.sqrt(squared)
        ahead = dx * ex + dy * ey
        weight = 1.0 if ahead >= _COS_SIGHT * distance else _BEHIND
        gx, gy = _interaction(dx, dy, distance, velocity[i, 0], velocity[i, 1], velocity[j, 0], velocity[j, 1])
        if distance > 1.0:
            # Whether they see each other costs more than the force: asked only where it matters.
            if distance > _KEPT_AHEAD and gx * gx + gy * gy < _SLIGHT * _SLIGHT:
                continue
            if not sees(x, y, position[j, 0], position[j, 1], field, resolution, origin):
                continue
        fx += weight * gx
        fy += weight * gy
        if ahead > 0.0 and abs(dy * ex - dx * ey) < _ABREAST and velocity[j, 0] * ex + velocity[j, 1] * ey > -0.1:
            room = min(room, ahead - 2.0 * PERSON_RADIUS)
    return fx, fy, room


@compiled
def _group_force(
    i: int, first: int, size: int, position: FloatArray, velocity: FloatArray, ex: float, ey: float
) -> tuple[float, float]:
    """Return what keeps person i, who wants to go along e, with the group (Moussaid 2010)."""
    x, y = position[i, 0], position[i, 1]
    mx, my, fx, fy = 0.0, 0.0, 0.0, 0.0
    for j in range(first, first + size):
        mx += position[j, 0] / size
        my += position[j, 1] / size
        dx, dy = x - position[j, 0], y - position[j, 1]
        distance = np.hypot(dx, dy)
        if j != i and 1e-6 < distance < _GROUP_DISTANCE:
            fx += _SPACING * dx / distance
            fy += _SPACING * dy / distance
    dx, dy = mx - x, my - y
    away = np.hypot(dx, dy)
    if away > 1e-6:
        # How far the head would turn beyond the 90 degrees that are in view anyway.
        head = max(np.arccos(min(max((dx * ex + dy * ey) / away, -1.0), 1.0)) - 0.5 * np.pi, 0.0)
        fx -= _GAZE * head * velocity[i, 0]
        fy -= _GAZE * head * velocity[i, 1]
        if away > 0.5 * (size - 1):
            fx += _COHESION * dx / away
            fy += _COHESION * dy / away
    return fx, fy


@compiled
def _wall_force(x: float, y: float, field: FloatArray, resolution: float, origin: FloatArray) -> tuple[float, float]:
    gap = clearance_at(field, resolution, origin, x, y) - PERSON_RADIUS
    if gap > 8.0 * _WALL_RANGE:
        return 0.0, 0.0
    h = resolution
    gx = clearance_at(field, resolution, origin, x + h, y) - clearance_at(field, resolution, origin, x - h, y)
    gy = clearance_at(field, resolution, origin, x, y + h) - clearance_at(field, resolution, origin, x, y - h)
    norm = np.hypot(gx, gy)
    if norm < 1e-9:
        return 0.0, 0.0
    size = _WALL_STRENGTH * np.exp(-max(gap, 0.0) / _WALL_RANGE) / norm
    return size * gx, size * gy


@compiled
def _vehicle_force(
    x: float, y: float, vx: float, vy: float, distance: float, vehicle: FloatArray, outline: FloatArray, speed: float
) -> tuple[float, float]:
    """As of a person whose skin is where the vehicle's is nearest."""
    if abs(speed) < STANDING or distance < 1e-6:
        return 0.0, 0.0  # One walks past a vehicle that stands as past a wall.
    px, py = nearest_on(vehicle, outline, x, y)
    far = distance + PERSON_RADIUS
    ux, uy = speed * np.cos(vehicle[2]), speed * np.sin(vehicle[2])
    return _interaction((px - x) / distance * far, (py - y) / distance * far, far, vx, vy, ux, uy)


@compiled
def _steps_out(
    trait: FloatArray,
    vehicles: FloatArray,
    speeds: FloatArray,
    robots: int,
    field: FloatArray,
    resolution: float,
    origin: FloatArray,
) -> bool:
    """Tell whether a robot comes so near that somebody who waits to cross meets it: by time to arrival."""
    cx, cy = trait[T_CROSS_X], trait[T_CROSS_Y]
    for k in range(robots):
        dx, dy = cx - vehicles[k, 0], cy - vehicles[k, 1]
        distance = np.hypot(dx, dy)
        closing = speeds[k] * (dx * np.cos(vehicles[k, 2]) + dy * np.sin(vehicles[k, 2])) / max(distance, 1e-9)
        near = distance < _SEEN_FROM and closing > 0.2 and distance <= closing * trait[T_CROSS_TIME]
        if near and sees(vehicles[k, 0], vehicles[k, 1], cx, cy, field, resolution, origin):
            return True
    return False


@compiled
def _next_stop(
    i: int,
    traits: FloatArray,
    walk: FloatArray,
    end: float,
    loop: float,
    stop_for: FloatArray,
    vehicles: FloatArray,
    speeds: FloatArray,
    robots: int,
    field: FloatArray,
    resolution: float,
    origin: FloatArray,
    dt: float,
) -> None:
    """Let person i, the first of the group, who has arrived at the end of what may be walked now, wait or go on."""
    stop = int(walk[i, W_STOP])
    walk[i, W_WAITED] += dt
    go = walk[i, W_WAITED] >= stop_for[stop]
    if stop == 0 and not np.isnan(traits[i, T_CROSS_TIME]) and walk[i, W_OUT] == 0.0:
        go = _steps_out(traits[i], vehicles, speeds, robots, field, resolution, origin)
        walk[i, W_OUT] = 1.0 if go else 0.0
    if not go:
        return
    first, last = i, i + int(traits[i, T_SIZE])
    again = end >= loop - 1e-9
    for k in range(first, last):
        walk[k, W_ARC] = 0.0 if again else max(walk[k, W_ARC], end)
        walk[k, W_STOP] = 0.0 if again else stop + 1.0
        walk[k, W_WAITED], walk[k, W_OUT] = 0.0, 0.0 if again else walk[k, W_OUT]


@compiled
def _acceleration(
    i: int,
    ex: float,
    ey: float,
    speed: float,
    traits: FloatArray,
    careless: bool,
    position: FloatArray,
    velocity: FloatArray,
    vehicles: FloatArray,
    speeds: FloatArray,
    outlines: FloatArray,
    minded: FloatArray,
    field: FloatArray,
    resolution: float,
    origin: FloatArray,
    relax: float,
) -> tuple[float, float]:
    """Sum all forces on person i, who walks along e at up to ``speed``."""
    x, y, vx, vy = position[i, 0], position[i, 1], velocity[i, 0], velocity[i, 1]
    fx, fy, room = _people_force(i, position, velocity, ex, ey, field, resolution, origin)
    speed = min(speed, max(room, 0.0) / REACTION)
    gx, gy = _wall_force(x, y, field, resolution, origin)
    fx, fy = fx + gx, fy + gy
    if traits[i, T_SIZE] > 1.0:
        gx, gy = _group_force(i, int(traits[i, T_FIRST]), int(traits[i, T_SIZE]), position, velocity, ex, ey)
        fx, fy = fx + gx, fy + gy
    near = False
    for k in range(len(vehicles)):
        minded[k] = minded_distance(x, y, careless, vehicles[k], outlines[k], speeds[k], field, resolution, origin)
        if minded[k] < np.inf:
            near = True
            gx, gy = _vehicle_force(x, y, vx, vy, minded[k], vehicles[k], outlines[k], speeds[k])
            fx, fy = fx + gx, fy + gy
    if near and speed > 0.05:
        ex, ey, speed = past_vehicles(
            x, y, ex, ey, speed, vx, vy, minded, vehicles, speeds, outlines, field, resolution, origin
        )
    # Exact over the step where nothing else pushes: (1 - exp(-dt / tau)) / dt in the place of 1 / tau.
    return fx + (speed * ex - vx) * relax, fy + (speed * ey - vy) * relax


@compiled
def _part(position: FloatArray, field: FloatArray, resolution: float, origin: FloatArray) -> None:
    """Move apart whoever overlaps, half of it each, without leaving the free floor."""
    for _ in range(3):
        apart = True
        for i in range(len(position)):
            for j in range(i):
                dx, dy = position[i, 0] - position[j, 0], position[i, 1] - position[j, 1]
                squared = dx * dx + dy * dy
                if squared >= 4.0 * PERSON_RADIUS * PERSON_RADIUS:
                    continue
                apart = False
                distance = np.sqrt(squared)
                if distance < 1e-6:
                    dx, dy, distance = 1e-6, 0.0, 1e-6
                push = 0.5 * (2.0 * PERSON_RADIUS - distance) / distance
                for k, sign in ((i, push), (j, -push)):
                    position[k, 0], position[k, 1] = bounded_move(
                        position[k, 0], position[k, 1], sign * dx, sign * dy, 1.0, field, resolution, origin
                    )
        if apart:
            break


@compiled
def _face(yaw: float, wanted: float, dt: float) -> float:
    turn = (wanted - yaw + np.pi) % (2.0 * np.pi) - np.pi
    return (yaw + turn * min(1.0, dt / 0.25) + np.pi) % (2.0 * np.pi) - np.pi


@compiled
def _step(
    position: FloatArray,
    velocity: FloatArray,
    yaw: FloatArray,
    traits: FloatArray,
    walk: FloatArray,
    path: FloatArray,
    arcs: FloatArray,
    path_count: NDArray[np.int64],
    stop_at: FloatArray,
    stop_for: FloatArray,
    stop_face: FloatArray,
    field: FloatArray,
    resolution: float,
    origin: FloatArray,
    vehicles: FloatArray,
    speeds: FloatArray,
    outlines: FloatArray,
    robots: int,
    dt: float,
) -> None:
    people = len(position)
    start = position.copy()
    after = position.copy()
    minded = np.empty(len(vehicles))
    stands = np.zeros(people, dtype=np.bool_)
    relax = (1.0 - np.exp(-dt / RELAXATION)) / dt
    for i in range(people):
        first, size = int(traits[i, T_FIRST]), traits[i, T_SIZE]
        count = path_count[first]
        loop = arcs[first, count - 1]
        stop = int(walk[first, W_STOP])
        limit = min(stop_at[first, stop], loop)
        x, y = position[i, 0], position[i, 1]
        arc, aim_x, aim_y, dx, dy = _aim(path[first], arcs[first], count, walk[i, W_ARC], limit, x, y)
        walk[i, W_ARC] = arc
        stands[i] = limit - arc < _ARRIVED + (0.0 if i == first else _GROUP_ARRIVED * (size - 1.0))
        if stands[i]:
            walk[i, W_BLOCKED] = 0.0
            if i == first:
                _next_stop(
                    i, traits, walk, limit, loop, stop_for[first], vehicles, speeds, robots, field, resolution, origin,
                    dt,
                )  # fmt: skip
            ax, ay = -velocity[i, 0] * relax, -velocity[i, 1] * relax
        else:
            # In a wide way everybody keeps their own line, in a narrow one all go along the middle.
            room = clearance_at(field, resolution, origin, aim_x, aim_y) - PERSON_RADIUS - 0.15
            aside = (y - aim_y) * dx - (x - aim_x) * dy
            aside = min(max(aside, -max(room, 0.0)), max(room, 0.0)) * min(1.0, 0.25 * (limit - arc))
            ex, ey = aim_x - dy * aside - x, aim_y + dx * aside - y
            norm = max(np.hypot(ex, ey), 1e-9)
            ex, ey = ex / norm, ey / norm
            unaware = walk[first, W_OUT] == 1.0 and arc < traits[first, T_UNAWARE]
            usual = traits[i, T_SPEED] * (HURRY if unaware else 1.0)
            speed = min(usual, 0.15 + np.sqrt(2.0 * _BRAKING * max(limit - arc, 0.0)))
            careless = traits[i, T_CARELESS] == 1.0 or unaware
            ax, ay = _acceleration(
                i, ex, ey, speed, traits, careless, position, velocity, vehicles, speeds, outlines, minded, field,
                resolution, origin, relax,
            )  # fmt: skip
            slow = velocity[i, 0] ** 2 + velocity[i, 1] ** 2 < 0.2 * 0.2
            walk[i, W_BLOCKED] = walk[i, W_BLOCKED] + dt if slow else 0.0
            if walk[i, W_BLOCKED] > _PATIENCE:
                # What cannot be reached is given up: steer at a place further on, past whatever stands there.
                walk[i, W_ARC] = min(arc + 0.5, limit)
                walk[i, W_BLOCKED] = 0.5 * _PATIENCE
        vx, vy = velocity[i, 0] + ax * dt, velocity[i, 1] + ay * dt
        fast = np.hypot(vx, vy) / (TOP_SPEED * traits[i, T_SPEED])
        if fast > 1.0:
            vx, vy = vx / fast, vy / fast
        new_x, new_y = bounded_move(x, y, vx, vy, dt, field, resolution, origin)
        if into_vehicle(x, y, new_x, new_y, vehicles, outlines):
            new_x, new_y = x, y
        after[i, 0], after[i, 1] = new_x, new_y
    position[:] = after
    _part(position, field, resolution, origin)
    for i in range(people):
        velocity[i, 0] = (position[i, 0] - start[i, 0]) / dt
        velocity[i, 1] = (position[i, 1] - start[i, 1]) / dt
        first = int(traits[i, T_FIRST])
        facing = stop_face[first, int(walk[first, W_STOP])]
        if velocity[i, 0] ** 2 + velocity[i, 1] ** 2 > 0.04:
            yaw[i] = _face(yaw[i], np.arctan2(velocity[i, 1], velocity[i, 0]), dt)
        elif stands[i] and not np.isnan(facing):
            yaw[i] = _face(yaw[i], facing, dt)


@compiled
def step_crowd(
    position: FloatArray,
    velocity: FloatArray,
    pace: FloatArray,
    yaw: FloatArray,
    traits: FloatArray,
    walk: FloatArray,
    path: FloatArray,
    arcs: FloatArray,
    path_count: NDArray[np.int64],
    stop_at: FloatArray,
    stop_for: FloatArray,
    stop_face: FloatArray,
    field: FloatArray,
    resolution: float,
    origin: FloatArray,
    vehicles: FloatArray,
    speeds: FloatArray,
    outlines: FloatArray,
    robots: int,
    dt: float,
) -> None:
    """Move everybody by ``dt`` [s], in equal steps of at most 25 ms; vehicles go straight on meanwhile.

    Args:
        position, velocity: (P, 2) [m], [m/s]; yaw: (P,) [rad]. Changed in place. ``velocity`` becomes the mean of the
            step, so that position has moved by ``velocity * dt``; pace: (P, 2) [m/s] is that at its end.
        traits: (P, TRAITS) and walk: (P, WALK), see the columns above; ``walk`` is changed in place.
        path: (P, K, 2) ways [m], closed, of the first of each group; arcs: (P, K) arc lengths [m] of their corners;
            path_count: (P,) how many corners.
        stop_at: (P, S) arc lengths [m] of stops, inf after the last; stop_for: (P, S) times [s]; stop_face: (P, S) yaw
            [rad] to stand at, nan for any.
        field: (H, W) clearance [m]; resolution [m] and origin (2,) [m] of its grid.
        vehicles: (K, 3) x, y [m], yaw [rad]; speeds: (K,) [m/s]; outlines: (K, 4) middle and half extents [m] in the
            vehicle's frame. The first ``robots`` of them set off sudden crossings.
    """
    parts = max(1, int(np.ceil(dt / _LONGEST_STEP - 1e-9)))
    start = position.copy()
    moving = vehicles.copy()
    for part in range(parts):
        for k in range(len(vehicles)):
            way = speeds[k] * dt * part / parts
            moving[k, 0] = vehicles[k, 0] + way * np.cos(vehicles[k, 2])
            moving[k, 1] = vehicles[k, 1] + way * np.sin(vehicles[k, 2])
        _step(
            position, pace, yaw, traits, walk, path, arcs, path_count, stop_at, stop_for, stop_face, field,
            resolution, origin, moving, speeds, outlines, robots, dt / parts,
        )  # fmt: skip
    for i in range(len(position)):
        velocity[i, 0] = (position[i, 0] - start[i, 0]) / dt
        velocity[i, 1] = (position[i, 1] - start[i, 1]) / dt
