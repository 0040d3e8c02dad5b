"""How people walk: a small compiled model that moves everybody by one step.

In the manner of Moussaid, Helbing and Theraulaz, "How simple rules determine pedestrian behavior and crowd disasters",
PNAS 2011: of some directions the best is taken, weighing how far it turns off from the aim against how soon it is
blocked; speed is such that whatever blocks it stays a reaction time away; both are taken up with a relaxation time.
Nobody enters walls, racks or goods, or walks into a robot.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..common.kernels import compiled
from .routes import FloatArray

PERSON_RADIUS = 0.25
"""Radius of the cylinder that holds a walking person's trunk [m]."""

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


@compiled
def clearance_at(field: FloatArray, resolution: float, origin: FloatArray, x: float, y: float) -> float:
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


@compiled
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


@compiled
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


@compiled
def _way_to_walls(
    x: float, y: float, ux: float, uy: float, field: FloatArray, resolution: float, origin: FloatArray, horizon: float
) -> float:
    """Return how far one may walk along u before walls, racks and goods are nearer than a body; sphere tracing."""
    need = PERSON_RADIUS + 0.03
    way = 0.0
    for _ in range(24):
        room = clearance_at(field, resolution, origin, x + way * ux, y + way * uy) - need
        if room < 0.01:
            # Along a wall that is touched already one may go on.
            ahead = clearance_at(field, resolution, origin, x + 0.1 * ux, y + 0.1 * uy) - need
            return 0.3 if way == 0.0 and ahead > room else way
        way += max(room, 0.05)
        if way >= horizon:
            return horizon
    return min(way, horizon)


@compiled
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


@compiled
def bounded_move(
    x: float, y: float, vx: float, vy: float, dt: float, field: FloatArray, resolution: float, origin: FloatArray
) -> tuple[float, float]:
    """Return where a step ends that may slide along walls and racks but never enter them."""
    need = PERSON_RADIUS + 0.02
    new_x, new_y = x + vx * dt, y + vy * dt
    clearance = clearance_at(field, resolution, origin, new_x, new_y)
    if clearance >= need:
        return new_x, new_y
    h = resolution
    gx = clearance_at(field, resolution, origin, new_x + h, new_y) - clearance_at(
        field, resolution, origin, new_x - h, new_y
    )
    gy = clearance_at(field, resolution, origin, new_x, new_y + h) - clearance_at(
        field, resolution, origin, new_x, new_y - h
    )
    norm = np.sqrt(gx * gx + gy * gy)
    if norm > 1e-9:
        new_x += (need - clearance) * gx / norm
        new_y += (need - clearance) * gy / norm
    moved = np.sqrt((new_x - x) ** 2 + (new_y - y) ** 2)
    if clearance_at(field, resolution, origin, new_x, new_y) < need - 0.01 or moved > 0.2:
        return x, y
    return new_x, new_y


@compiled
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


@compiled
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
        # A right angle costs 1, a way that is blocked at once a little more, a change of mind something.
        keeps_on = (wx * velocity[i, 0] + wy * velocity[i, 1]) / speed
        if 1.0 - cos - 0.1 * keeps_on >= best - 1e-9:
            # Were it free all the way, it would still be no better.
            continue
        way = _free_way(
            i, position, velocity, wx, wy, speed, careless, _HORIZON, robot_pose, robot_velocity, robot_radius
        )
        way = min(way, _way_to_walls(x, y, wx, wy, field, resolution, origin, _HORIZON))
        cost = 1.0 - cos + _BLOCKED_COST * max(0.0, 1.0 - way / _CLEAR_WAY) - 0.1 * keeps_on
        if cost < best - 1e-9:
            best, best_x, best_y, best_way = cost, wx, wy, way
    size = min(speed, best_way / _REACTION, 0.15 + np.sqrt(2.0 * _BRAKING * max(remaining, 0.0)))
    return size * best_x, size * best_y


@compiled
def step_people(
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
        new_x, new_y = bounded_move(x, y, vx, vy, dt, field, resolution, origin)
        if _blocked_by_robot(x, y, new_x, new_y, robot_pose, robot_radius):
            new_x, new_y = x, y
        position[i, 0], position[i, 1] = new_x, new_y
        velocity[i, 0], velocity[i, 1] = (new_x - x) / dt, (new_y - y) / dt
        if velocity[i, 0] ** 2 + velocity[i, 1] ** 2 > 0.01:
            turn = np.arctan2(velocity[i, 1], velocity[i, 0]) - yaw[i]
            turn = (turn + np.pi) % (2.0 * np.pi) - np.pi
            yaw[i] = (yaw[i] + turn * min(1.0, dt / 0.25) + np.pi) % (2.0 * np.pi) - np.pi
