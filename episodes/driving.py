"""How people drive forklifts: a compiled driver that follows a route, stops for what it sees, backs off when blocked.

The driver steers by pure pursuit (Coulter, "Implementation of the pure pursuit path tracking algorithm", Carnegie
Mellon University, CMU-RI-TR-92-01, 1992): curvature 2 sin(alpha) / L towards a point L ahead on the route; where the
route turns back it turns on the spot. It drives as fast as it likes, but no faster than sideways acceleration allows in
a bend, than lets it stop at the end of what may be driven, and than lets it stop for people and machines in its way
that it can see: v^2 <= 2 a (gap - rest). It brakes only once it has seen them for its reaction time; who is careless
looks a second late.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..common.kernels import compiled
from .avoidance import nearest_on, sees
from .routes import FloatArray
from .walking import PERSON_RADIUS, clearance_at

_SIDE_ACCELERATION = 0.6
"""In bends [m/s^2]."""
_CORNER_SPEED = 0.9
"""Before corners of the route [m/s]."""
_NEAR_SPEED = 0.8
"""Beside people [m/s]."""
_NEAR_PERSON = 1.0
"""[m] from the truck's side."""
_SIDE_MARGIN = 0.3
"""What comes nearer to the truck's side than this [m] is in its way."""
_REST = 0.6
"""Gap at which the truck wants to stand [m]."""
_STEP_AHEAD = 0.3
_SPOT_TURN = 1.0
"""The truck turns on the spot once its way leads off by more than this angle [rad], until it is a third of it."""
_SPOT_RATE = 0.5
"""[rad/s]"""
_LATE = 1.0
"""Careless drivers react later by this time [s]."""
_ARRIVED = 0.25
_PATIENCE = 6.0
"""Time at a standstill before a machine after which the driver backs off [s]."""
_BACK_WAY, _BACK_SPEED = 2.5, 0.5
"""How far [m] and how fast [m/s] the driver backs off."""

# Columns of what each forklift and its driver is ...
D_SPEED, D_REACTION, D_CARELESS, D_HALF_LENGTH, D_HALF_WIDTH, D_BRAKING, DRIVER = range(7)
"""Speed [m/s]; reaction time [s]; 1 if careless; half extents [m]; deceleration that the driver reckons with
[m/s^2]."""
# ... and of how far each has come.
F_ARC, F_SEEN, F_BLOCKED, F_BACK, F_STOP, F_WAITED, F_TURNING, PROGRESS = range(8)
"""Arc length on the route [m]; time that something in the way has been seen, and at a standstill before it [s]; way
left to back off [m]; number of the next stop; time waited there [s]; 1 while turning on the spot."""


@compiled
def _point_at(path: FloatArray, arcs: FloatArray, count: int, at: float) -> tuple[float, float]:
    i = min(max(int(np.searchsorted(arcs[:count], at, side="left")) - 1, 0), count - 2)
    share = min(max((at - arcs[i]) / max(arcs[i + 1] - arcs[i], 1e-9), 0.0), 1.0)
    return path[i, 0] + share * (path[i + 1, 0] - path[i, 0]), path[i, 1] + share * (path[i + 1, 1] - path[i, 1])


@compiled
def _advance(path: FloatArray, arcs: FloatArray, count: int, arc: float, limit: float, x: float, y: float) -> float:
    """Return the arc length up to ``limit`` that is nearest to x, y, looking 1.5 m ahead of ``arc``."""
    best, best_arc = np.inf, arc
    at = arc
    while at <= min(arc + 1.5, limit):
        px, py = _point_at(path, arcs, count, at)
        distance = np.hypot(px - x, py - y)
        if distance < best - 1e-9:
            best, best_arc = distance, at
        at += 0.05
    if (
        min(limit, arc + 1.5) == limit
        and np.hypot(_point_at(path, arcs, count, limit)[0] - x, _point_at(path, arcs, count, limit)[1] - y) < best
    ):
        best_arc = limit
    return best_arc


@compiled
def _turn_ahead(path: FloatArray, arcs: FloatArray, count: int, arc: float, limit: float, reach: float) -> float:
    """Return by how much [rad] the route turns within ``reach`` [m]."""
    ax, ay = _point_at(path, arcs, count, arc)
    bx, by = _point_at(path, arcs, count, min(arc + 0.5 * reach, limit))
    cx, cy = _point_at(path, arcs, count, min(arc + reach, limit))
    if np.hypot(bx - ax, by - ay) < 0.05 or np.hypot(cx - bx, cy - by) < 0.05:
        return 0.0
    turn = np.arctan2(cy - by, cx - bx) - np.arctan2(by - ay, bx - ax)
    return abs((turn + np.pi) % (2.0 * np.pi) - np.pi)


@compiled
def _gap_to(
    person: bool,
    pose: FloatArray,
    speed: float,
    front: float,
    width: float,
    reach: float,
    x: float,
    y: float,
    vx: float,
    vy: float,
    machine: FloatArray,
    outline: FloatArray,
    path: FloatArray,
    arcs: FloatArray,
    count: int,
    arc: float,
    limit: float,
) -> float:
    """Return how far [m] the truck's front may go along the route until it meets something at x, y moving at v.

    Where it is now counts, and where it will be when the truck gets there, at most 1.5 s ahead; of a machine the point
    of its outline that is nearest. Inf for what is not in the way.
    """
    skin = PERSON_RADIUS if person else 0.0
    c, s = np.cos(pose[2]), np.sin(pose[2])
    # Whoever has come up to the very front stands in the way wherever the route leads.
    ahead, aside = c * (x - pose[0]) + s * (y - pose[1]), c * (y - pose[1]) - s * (x - pose[0])
    if front - 0.1 < ahead < front + 1.0 and abs(aside) < width + 0.1 + skin:
        return max(ahead - front - skin, 0.0)
    # Straight on up to where the route goes on, if the truck has backed off from there; then along the route.
    ax, ay = _point_at(path, arcs, count, arc)
    lag = max(c * (ax - pose[0]) + s * (ay - pose[1]), 0.0)
    way = 0.0
    while way <= reach - front:
        at = arc + front + way - lag
        px, py = _point_at(path, arcs, count, min(at, limit))
        if way < lag:
            px, py = pose[0] + c * (front + way), pose[1] + s * (front + way)
        elif at > limit:
            # Beyond the stop the front still stands out.
            px, py = px + (at - limit) * c, py + (at - limit) * s
        when = min(way / max(speed, 0.5), 1.5)
        nx, ny = (x, y) if person else nearest_on(machine, outline, px, py)
        now = np.hypot(nx - px, ny - py)
        then = np.hypot(x + when * vx - px, y + when * vy - py)
        if min(now, then) < width + _SIDE_MARGIN + skin:
            return max(way - width, 0.0)
        way += _STEP_AHEAD
    return np.inf


@compiled
def _gap_ahead(
    f: int,
    trait: FloatArray,
    pose: FloatArray,
    speed: float,
    path: FloatArray,
    arcs: FloatArray,
    count: int,
    arc: float,
    limit: float,
    people: FloatArray,
    people_velocity: FloatArray,
    machines: FloatArray,
    speeds: FloatArray,
    outlines: FloatArray,
    first: int,
    field: FloatArray,
    resolution: float,
    origin: FloatArray,
) -> tuple[float, bool, float]:
    """Look along the route of forklift f, machine ``first + f``.

    Returns:
        the gap [m] from its front to what is in the way, inf if nothing is in sight; whether that is a machine; and the
        distance [m] from its side to the nearest person.
    """
    x, y = pose[0], pose[1]
    seat_x, seat_y = x + 0.3 * np.cos(pose[2]), y + 0.3 * np.sin(pose[2])
    front, width = trait[D_HALF_LENGTH], trait[D_HALF_WIDTH]
    reach = front + width + _REST + speed * speed / (2.0 * trait[D_BRAKING])
    reach += 1.0 + speed * trait[D_REACTION]
    own = np.array([0.0, 0.0, front, width])
    gap, machine, beside = np.inf, False, np.inf
    for k in range(len(people)):
        ox, oy = people[k, 0], people[k, 1]
        if np.hypot(ox - x, oy - y) > reach + 3.0 or not sees(seat_x, seat_y, ox, oy, field, resolution, origin):
            continue
        px, py = nearest_on(pose, own, ox, oy)
        beside = min(beside, np.hypot(ox - px, oy - py) - PERSON_RADIUS)
        vx, vy = people_velocity[k, 0], people_velocity[k, 1]
        found = _gap_to(
            True, pose, speed, front, width, reach, ox, oy, vx, vy, pose, own, path, arcs, count, arc, limit
        )
        gap = min(gap, found)
    for j in range(len(machines)):
        size = np.hypot(outlines[j, 2], outlines[j, 3])
        if j == first + f or np.hypot(machines[j, 0] - x, machines[j, 1] - y) > reach + size + 3.0:
            continue
        ox, oy = nearest_on(machines[j], outlines[j], x, y)
        if not sees(seat_x, seat_y, ox, oy, field, resolution, origin):
            continue
        vx, vy = speeds[j] * np.cos(machines[j, 2]), speeds[j] * np.sin(machines[j, 2])
        found = _gap_to(False, pose, speed, front, width, reach, ox, oy, vx, vy, machines[j], outlines[j], path, arcs,
                        count, arc, limit)  # fmt: skip
        if found < gap:
            gap, machine = found, True
    return gap, machine, beside


@compiled
def _room_behind(
    f: int,
    trait: FloatArray,
    pose: FloatArray,
    people: FloatArray,
    machines: FloatArray,
    outlines: FloatArray,
    first: int,
    field: FloatArray,
    resolution: float,
    origin: FloatArray,
) -> bool:
    """Tell whether the truck can go back a little."""
    back = trait[D_HALF_LENGTH] + 0.5
    x, y = pose[0] - back * np.cos(pose[2]), pose[1] - back * np.sin(pose[2])
    if clearance_at(field, resolution, origin, x, y) < trait[D_HALF_WIDTH] + 0.1:
        return False
    for k in range(len(people)):
        if np.hypot(people[k, 0] - x, people[k, 1] - y) < 1.5:
            return False
    for j in range(len(machines)):
        if j != first + f:
            px, py = nearest_on(machines[j], outlines[j], x, y)
            if np.hypot(px - x, py - y) < 1.2:
                return False
    return True


@compiled
def _room_to_turn(
    f: int,
    trait: FloatArray,
    pose: FloatArray,
    people: FloatArray,
    machines: FloatArray,
    outlines: FloatArray,
    first: int,
) -> tuple[bool, bool]:
    """Tell whether nobody stands where the truck sweeps when it turns on the spot, and whether a machine does."""
    reach = np.hypot(trait[D_HALF_LENGTH], trait[D_HALF_WIDTH]) + 0.15
    for k in range(len(people)):
        if np.hypot(people[k, 0] - pose[0], people[k, 1] - pose[1]) < reach + PERSON_RADIUS:
            return False, False
    for j in range(len(machines)):
        if j != first + f:
            px, py = nearest_on(machines[j], outlines[j], pose[0], pose[1])
            if np.hypot(px - pose[0], py - pose[1]) < reach:
                return False, True
    return True, False


@compiled
def _stop_is_over(progress: FloatArray, limit: float, end: float, wait: float, dt: float) -> bool:
    """Let a truck wait at the stop at arc length ``limit``, and go on once it has waited long enough."""
    progress[F_WAITED] += dt
    if progress[F_WAITED] < wait:
        return False
    again = limit >= end - 1e-9
    progress[F_ARC] = 0.0 if again else limit
    progress[F_STOP] = 0.0 if again else progress[F_STOP] + 1.0
    progress[F_WAITED], progress[F_BLOCKED] = 0.0, 0.0
    return True


@compiled
def drive_one(
    f: int,
    trait: FloatArray,
    progress: FloatArray,
    pose: FloatArray,
    speed: float,
    path: FloatArray,
    arcs: FloatArray,
    count: int,
    stop_at: FloatArray,
    stop_for: FloatArray,
    people: FloatArray,
    people_velocity: FloatArray,
    machines: FloatArray,
    speeds: FloatArray,
    outlines: FloatArray,
    first: int,
    field: FloatArray,
    resolution: float,
    origin: FloatArray,
    dt: float,
) -> tuple[float, float, bool]:
    """Let the driver of forklift f decide; see ``drive_all``.

    Returns:
        v [m/s], omega [rad/s], and whether a stop has just been finished.
    """
    stop = int(progress[F_STOP])
    limit = min(stop_at[stop], arcs[count - 1])
    arc = _advance(path, arcs, count, progress[F_ARC], limit, pose[0], pose[1])
    progress[F_ARC] = arc
    if limit - arc < _ARRIVED:
        return 0.0, 0.0, _stop_is_over(progress, limit, arcs[count - 1], stop_for[stop], dt)
    gap, machine, beside = _gap_ahead(
        f, trait, pose, abs(speed), path, arcs, count, arc, limit, people, people_velocity, machines, speeds, outlines,
        first, field, resolution, origin,
    )  # fmt: skip
    if progress[F_BACK] > 0.0:
        progress[F_BACK] -= abs(speed) * dt + 0.02 * dt
        if _room_behind(f, trait, pose, people, machines, outlines, first, field, resolution, origin):
            return -_BACK_SPEED, 0.0, False
        progress[F_BACK] = 0.0
    ahead = min(max(1.0 + 0.5 * abs(speed), 1.0), 2.2)
    aim_x, aim_y = _point_at(path, arcs, count, min(arc + ahead, limit))
    turn = np.arctan2(aim_y - pose[1], aim_x - pose[0]) - pose[2]
    turn = (turn + np.pi) % (2.0 * np.pi) - np.pi
    if abs(turn) > _SPOT_TURN:
        progress[F_TURNING] = 1.0
    elif abs(turn) < _SPOT_TURN / 3.0:
        progress[F_TURNING] = 0.0
    distance = max(np.hypot(aim_x - pose[0], aim_y - pose[1]), 0.3)
    curvature = 2.0 * np.sin(turn) / distance
    v = min(trait[D_SPEED], np.sqrt(_SIDE_ACCELERATION / max(abs(curvature), 1e-6)))
    v = min(v, 0.1 + np.sqrt(2.0 * 0.7 * trait[D_BRAKING] * max(limit - arc - 0.5 * _ARRIVED, 0.0)))
    if _turn_ahead(path, arcs, count, arc, limit, 2.0 + 0.8 * speed * speed) > 0.4:
        v = min(v, _CORNER_SPEED)
    progress[F_SEEN] = progress[F_SEEN] + dt if gap < np.inf or beside < _NEAR_PERSON else 0.0
    if progress[F_SEEN] >= trait[D_REACTION] + _LATE * trait[D_CARELESS]:
        v = min(v, np.sqrt(2.0 * trait[D_BRAKING] * max(gap - _REST, 0.0)))
        v = min(v, _NEAR_SPEED if beside < _NEAR_PERSON else v)
    # Some way remains below any speed: creeping up to it ends here.
    v = v if v > 0.08 else 0.0
    room, crowded = True, False
    if progress[F_TURNING] == 1.0:
        room, crowded = _room_to_turn(f, trait, pose, people, machines, outlines, first)
    held = ((gap < np.inf and v == 0.0) or crowded) and abs(speed) < 0.05
    progress[F_BLOCKED] = progress[F_BLOCKED] + dt if held and (machine or crowded) else 0.0
    if progress[F_BLOCKED] > _PATIENCE + 1.5 * (f % 3):
        progress[F_BLOCKED] = 0.0
        progress[F_BACK] = _BACK_WAY
    if progress[F_TURNING] == 1.0:
        return 0.0, _SPOT_RATE * (1.0 if turn > 0.0 else -1.0) if room else 0.0, False
    return v, v * curvature, False


@compiled
def drive_all(
    traits: FloatArray,
    progress: FloatArray,
    path: FloatArray,
    arcs: FloatArray,
    path_count: NDArray[np.int64],
    stop_at: FloatArray,
    stop_for: FloatArray,
    people: FloatArray,
    people_velocity: FloatArray,
    machines: FloatArray,
    speeds: FloatArray,
    outlines: FloatArray,
    first: int,
    field: FloatArray,
    resolution: float,
    origin: FloatArray,
    dt: float,
    commands: FloatArray,
    finished: NDArray[np.bool_],
) -> None:
    """Let all drivers decide for the next ``dt`` [s].

    Args:
        traits: (F, DRIVER) and progress: (F, PROGRESS), see the columns above; ``progress`` is changed in place.
        path: (F, K, 2) closed routes [m]; arcs: (F, K) arc lengths [m] of their corners; path_count: (F,).
        stop_at: (F, S) arc lengths [m] of stops, inf after the last; stop_for: (F, S) [s].
        people: (P, 2) [m]; people_velocity: (P, 2) [m/s].
        machines: (M, 3) x, y [m], yaw [rad] of robots and forklifts, the forklifts from ``first`` on; speeds: (M,)
            [m/s]; outlines: (M, 4) as in ``Vehicles``.
        field: (H, W) clearance [m]; resolution [m] and origin (2,) [m] of its grid.
        commands: (F, 2) v [m/s], omega [rad/s], and finished: (F,) whether a stop was finished; written.
    """
    for f in range(len(traits)):
        commands[f, 0], commands[f, 1], finished[f] = drive_one(
            f, traits[f], progress[f], machines[first + f], speeds[first + f], path[f], arcs[f], path_count[f],
            stop_at[f], stop_for[f], people, people_velocity, machines, speeds, outlines, first, field, resolution,
            origin, dt,
        )  # fmt: skip
