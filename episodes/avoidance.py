"""How people see vehicles and get past them: compiled parts of the crowd, some of which drivers share.

Of some directions the best is taken that is free of the vehicles a person minds, and speed is such that they stay half
a second away, in the manner of Moussaid, Helbing and Theraulaz, "How simple rules determine pedestrian behavior and
crowd disasters", PNAS 108, 2011.
"""

from __future__ import annotations

import numpy as np

from ..common.kernels import compiled
from .routes import FloatArray
from .walking import PERSON_RADIUS, clearance_at

_VEHICLE_MARGIN = 0.35
"""Distance that attentive people keep from moving vehicles [m]."""
_STANDING_MARGIN = 0.08
STANDING = 0.05
"""Below this speed [m/s] a vehicle stands."""
STARTLE_GAP = 0.45
"""Gap to a moving vehicle at which even careless people notice it [m]."""
_HORIZON = 3.0
"""How far people look ahead [s]."""
REACTION = 0.5
"""Time [s] that people keep to whatever is in their way."""
_DIRECTIONS = 6
_DIRECTION_STEP = 0.26
"""Directions that people consider on either side to get past a vehicle, and the angle [rad] between them."""
REACH = 6.0
"""Farther away [m] nobody minds anybody."""


@compiled
def sees(ax: float, ay: float, bx: float, by: float, field: FloatArray, resolution: float, origin: FloatArray) -> bool:
    """Tell whether no wall, rack or good stands between two points [m] of a clearance field."""
    dx, dy = bx - ax, by - ay
    length = np.hypot(dx, dy)
    way = 0.0
    while way < length:
        room = clearance_at(field, resolution, origin, ax + dx * way / length, ay + dy * way / length)
        if room <= 0.0:
            return False
        way += max(room, resolution)
    return True


@compiled
def nearest_on(vehicle: FloatArray, outline: FloatArray, x: float, y: float) -> tuple[float, float]:
    """Return the point of a vehicle's outline that is nearest to x, y [m].

    ``vehicle`` is x, y [m], yaw [rad]; ``outline`` the middle x, y and half extents [m] in its frame.
    """
    c, s = np.cos(vehicle[2]), np.sin(vehicle[2])
    dx, dy = x - vehicle[0], y - vehicle[1]
    u = min(max(c * dx + s * dy - outline[0], -outline[2]), outline[2]) + outline[0]
    v = min(max(c * dy - s * dx - outline[1], -outline[3]), outline[3]) + outline[1]
    return vehicle[0] + c * u - s * v, vehicle[1] + s * u + c * v


@compiled
def _way_to_vehicle(
    x: float,
    y: float,
    wx: float,
    wy: float,
    vehicle: FloatArray,
    speed: float,
    outline: FloatArray,
    margin: float,
) -> float:
    """Return the time [s] after which somebody walking at w is nearer than ``margin`` to a vehicle; inf for never.

    The outline is grown to a rectangle. Who is inside already may walk anywhere but nearer to its middle.
    """
    c, s = np.cos(vehicle[2]), np.sin(vehicle[2])
    dx, dy = x - vehicle[0], y - vehicle[1]
    u, v = c * dx + s * dy - outline[0], c * dy - s * dx - outline[1]
    du, dv = c * wx + s * wy - speed, c * wy - s * wx
    half_u, half_v = outline[2] + margin, outline[3] + margin
    if abs(u) < half_u and abs(v) < half_v:
        return 0.0 if u * du / (half_u * half_u) + v * dv / (half_v * half_v) < 0.0 else np.inf
    enter, leave = 0.0, np.inf
    for k in range(2):
        place, rate, half = (u, du, half_u) if k == 0 else (v, dv, half_v)
        if abs(rate) < 1e-9:
            if abs(place) >= half:
                return np.inf
            continue
        first, second = (-half - place) / rate, (half - place) / rate
        enter, leave = max(enter, min(first, second)), min(leave, max(first, second))
    return enter if enter < leave else np.inf


@compiled
def minded_distance(
    x: float,
    y: float,
    careless: bool,
    vehicle: FloatArray,
    outline: FloatArray,
    speed: float,
    field: FloatArray,
    resolution: float,
    origin: FloatArray,
) -> float:
    """Return the distance [m] from a person's middle to a vehicle that the person minds; inf for one that is not."""
    size = abs(outline[0]) + outline[2] + abs(outline[1]) + outline[3]
    if abs(vehicle[0] - x) > REACH + size or abs(vehicle[1] - y) > REACH + size:
        return np.inf
    px, py = nearest_on(vehicle, outline, x, y)
    distance = np.hypot(px - x, py - y)
    if distance > REACH:
        return np.inf
    if careless and abs(speed) >= STANDING and distance > PERSON_RADIUS + STARTLE_GAP:
        return np.inf
    if distance > 1.0 and not sees(x, y, px, py, field, resolution, origin):
        return np.inf
    return distance


@compiled
def _free_time(
    x: float,
    y: float,
    wx: float,
    wy: float,
    minded: FloatArray,
    vehicles: FloatArray,
    speeds: FloatArray,
    outlines: FloatArray,
) -> float:
    """Return the time [s] that somebody may walk at w until too near to a vehicle that they mind."""
    time = _HORIZON
    for k in range(len(vehicles)):
        if minded[k] < np.inf:
            margin = PERSON_RADIUS + (_VEHICLE_MARGIN if abs(speeds[k]) >= STANDING else _STANDING_MARGIN)
            time = min(time, _way_to_vehicle(x, y, wx, wy, vehicles[k], speeds[k], outlines[k], margin))
    return time


@compiled
def past_vehicles(
    x: float,
    y: float,
    ex: float,
    ey: float,
    speed: float,
    vx: float,
    vy: float,
    minded: FloatArray,
    vehicles: FloatArray,
    speeds: FloatArray,
    outlines: FloatArray,
    field: FloatArray,
    resolution: float,
    origin: FloatArray,
) -> tuple[float, float, float]:
    """Choose the direction nearest to e that is free of vehicles, and the speed that keeps them away in time."""
    if _free_time(x, y, speed * ex, speed * ey, minded, vehicles, speeds, outlines) >= _HORIZON:
        return ex, ey, speed
    best, best_x, best_y, best_time = np.inf, ex, ey, 0.0
    for k in range(2 * _DIRECTIONS + 1):
        # Straight on first, then to the right and to the left, farther and farther.
        angle = _DIRECTION_STEP * ((k + 1) // 2) * (1.0 if k % 2 == 0 else -1.0)
        c, s = np.cos(angle), np.sin(angle)
        wx, wy = c * ex - s * ey, s * ex + c * ey
        time = _free_time(x, y, speed * wx, speed * wy, minded, vehicles, speeds, outlines)
        for step in range(1, 5):
            room = clearance_at(field, resolution, origin, x + 0.35 * step * wx, y + 0.35 * step * wy)
            if room < PERSON_RADIUS + 0.03:
                time = min(time, 0.35 * (step - 1) / speed)
        cost = 1.0 - c + 1.2 * max(0.0, 1.0 - time / 1.5) - 0.1 * (wx * vx + wy * vy) / speed
        if cost < best - 1e-9:
            best, best_x, best_y, best_time = cost, wx, wy, time
    return best_x, best_y, min(speed, best_time * speed / REACTION)


@compiled
def into_vehicle(x: float, y: float, new_x: float, new_y: float, vehicles: FloatArray, outlines: FloatArray) -> bool:
    """Tell whether a step would lead into a vehicle: nobody walks into one, though one may drive into somebody."""
    for k in range(len(vehicles)):
        ax, ay = nearest_on(vehicles[k], outlines[k], new_x, new_y)
        after = np.hypot(ax - new_x, ay - new_y)
        if after < PERSON_RADIUS + 0.03:
            bx, by = nearest_on(vehicles[k], outlines[k], x, y)
            if after < np.hypot(bx - x, by - y):
                return True
    return False
