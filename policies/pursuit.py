"""Regulated pure pursuit: following a path with a differential drive.

After Coulter 1992 (pure pursuit) and Macenski et al. 2023 (regulated pure pursuit: slower in curves, near things and
near the goal). Frame ``map``, SI units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..common.kernels import compiled
from ..robots.model import RobotModel
from .planner import Path

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class PursuitSettings:
    """How fast and how closely a path is followed.

    Attributes:
        cruise: top speed [m/s].
        slowest: speed that curves and narrow places do not go below [m/s].
        acceleration, deceleration: planned [m/s^2]; below what the drive can do, so that it can follow.
        lateral_acceleration: in curves [m/s^2].
        yaw_rate, yaw_acceleration: on the spot [rad/s, rad/s^2].
        lookahead, lookahead_time, farthest: the aim lies lookahead + lookahead_time * v ahead, no farther than
            farthest [m, s, m].
        turn_above, turn_until: farther off than the first the robot turns on the spot, until it is within the
            second [rad].
        narrow, wide: clearance at which narrow_speed holds, and from which cruise does [m]; linear between.
        narrow_speed: [m/s].
    """

    cruise: float
    slowest: float
    acceleration: float
    deceleration: float
    lateral_acceleration: float
    yaw_rate: float
    yaw_acceleration: float
    lookahead: float
    lookahead_time: float
    farthest: float
    turn_above: float
    turn_until: float
    narrow: float
    wide: float
    narrow_speed: float

    @staticmethod
    def for_robot(robot: RobotModel) -> PursuitSettings:
        """Return settings for a robot: a share of what its drive can do."""
        drive = robot.drive
        cruise = min(1.5, 0.8 * drive.max_speed)
        return PursuitSettings(
            cruise=cruise,
            slowest=min(0.25, 0.3 * cruise),
            acceleration=0.8 * drive.max_acceleration,
            deceleration=min(0.8, 0.5 * drive.max_deceleration),
            lateral_acceleration=0.6,
            yaw_rate=min(1.5, 0.6 * drive.max_yaw_rate),
            yaw_acceleration=min(1.6, 0.4 * drive.max_yaw_acceleration),
            lookahead=0.45,
            lookahead_time=0.45,
            farthest=1.1,
            turn_above=0.9,
            turn_until=0.12,
            narrow=robot.radius + 0.02,
            wide=robot.radius + 0.45,
            narrow_speed=min(0.7, 0.6 * cruise),
        )

    def as_array(self) -> FloatArray:
        """Return what the compiled code needs, (9,) float64."""
        return np.array(
            [
                self.lookahead,
                self.lookahead_time,
                self.farthest,
                self.deceleration,
                self.yaw_rate,
                self.yaw_acceleration,
                self.turn_above,
                self.turn_until,
                self.acceleration,
            ]
        )


def speed_profile(path: Path, settings: PursuitSettings) -> FloatArray:
    """Return the speed limit [m/s] at each point of a path, (N,), low enough everywhere to brake for what follows."""
    share = np.clip((path.clearance - settings.narrow) / (settings.wide - settings.narrow), 0.0, 1.0)
    limit = settings.narrow_speed + share * (settings.cruise - settings.narrow_speed)
    bend = np.sqrt(settings.lateral_acceleration / np.maximum(path.curvature, 1e-6))
    spin = settings.yaw_rate / np.maximum(path.curvature, 1e-6)
    limit = np.maximum(np.minimum(np.minimum(limit, bend), spin), settings.slowest)
    if path.limit is not None:
        limit = np.minimum(limit, path.limit)
    limit[-1] = 0.0
    # Braking at a constant rate makes v^2 linear in the arc: v_i^2 <= v_j^2 + 2 a (s_j - s_i) for every j ahead of i.
    reach = limit**2 + 2 * settings.deceleration * path.arc
    return np.sqrt(np.minimum.accumulate(reach[::-1])[::-1] - 2 * settings.deceleration * path.arc)


@compiled
def advance(points: FloatArray, arc: FloatArray, index: int, x: float, y: float) -> int:
    """Return the path point nearest to (x, y) [m] among those from 0.3 m behind ``index`` to 1.5 m ahead of it."""
    first = index
    while first > 0 and arc[index] - arc[first] < 0.3:
        first -= 1
    best, nearest = index, np.inf
    i = first
    while i < len(points) and arc[i] - arc[index] < 1.5:
        distance = (points[i, 0] - x) ** 2 + (points[i, 1] - y) ** 2
        if distance < nearest:
            best, nearest = i, distance
        i += 1
    return best


@compiled
def pursue(
    points: FloatArray,
    arc: FloatArray,
    limit: FloatArray,
    index: int,
    x: float,
    y: float,
    yaw: float,
    v: float,
    turning: bool,
    settings: FloatArray,
) -> tuple[float, float, bool]:
    """Return the command v [m/s], omega [rad/s] that follows a path, and whether the robot turns on the spot.

    Args:
        points, arc, limit: the path (N, 2) [m], its arc (N,) [m] and speed profile (N,) [m/s].
        index: nearest point (see ``advance``).
        x, y, yaw, v: the robot's pose [m, rad] and speed [m/s].
        turning: whether it was turning on the spot.
        settings: ``PursuitSettings.as_array``.
    """
    last = len(points) - 1
    ahead = min(settings[0] + settings[1] * max(v, 0.0), settings[2])
    target = index
    while target < last and arc[target] - arc[index] < ahead:
        target += 1
    tx, ty = points[target, 0], points[target, 1]
    missing = ahead - (arc[target] - arc[index])
    if target == last and missing > 0.0:
        # Past the goal the path goes on straight, so that the aim never comes too near to steer by.
        back = last
        while back > 0 and arc[last] - arc[back] < 0.3:
            back -= 1
        dx, dy = points[last, 0] - points[back, 0], points[last, 1] - points[back, 1]
        norm = math.sqrt(dx * dx + dy * dy)
        if norm > 1e-6:
            tx += missing * dx / norm
            ty += missing * dy / norm
    dx, dy = tx - x, ty - y
    off = math.atan2(dy, dx) - yaw
    off = (off + math.pi) % (2.0 * math.pi) - math.pi
    size = abs(off)
    if size > settings[6] or (turning and size > settings[7]):
        rate = min(settings[4], max(0.15, math.sqrt(2.0 * 0.6 * settings[5] * size)))
        return 0.0, math.copysign(rate, off), True
    curvature = 2.0 * math.sin(off) / max(math.sqrt(dx * dx + dy * dy), 0.2)
    speed = limit[index]
    following = min(index + 1, last)
    speed = min(speed, limit[following]) if limit[following] < speed else speed
    remaining = arc[last] - arc[index]
    speed = max(speed, 0.08) if remaining > 0.02 else 0.08
    speed *= max(0.3, math.cos(off))
    if abs(curvature) * speed > settings[4]:
        speed = settings[4] / abs(curvature)
    return speed, speed * curvature, False


@compiled
def rollout(
    points: FloatArray,
    arc: FloatArray,
    limit: FloatArray,
    index: int,
    pose: FloatArray,
    v: float,
    top: float,
    brake_after: float,
    deceleration: float,
    period: float,
    steps: int,
    settings: FloatArray,
) -> FloatArray:
    """Foresee how the robot follows the path.

    Args:
        points, arc, limit, index, settings: as in ``pursue``.
        pose: (3,) x, y [m], yaw [rad] now; v: speed now [m/s].
        top: speed it is held to [m/s].
        brake_after: from this time on it brakes [s], at ``deceleration`` [m/s^2], along the path.
        period, steps: time step [s] and their number.

    Returns:
        (K, 4) x, y, yaw, v at times 0, period, ...; K <= steps + 1, shorter when the robot has come to rest.
    """
    out = np.empty((steps + 1, 4))
    x, y, yaw, speed = pose[0], pose[1], pose[2], max(v, 0.0)
    out[0, 0], out[0, 1], out[0, 2], out[0, 3] = x, y, yaw, speed
    turning = False
    for k in range(steps):
        index = advance(points, arc, index, x, y)
        want, rate, turning = pursue(points, arc, limit, index, x, y, yaw, speed, turning, settings)
        curvature = rate / want if want > 1e-3 else 0.0
        if k * period >= brake_after:
            new = max(0.0, speed - deceleration * period)
        else:
            want = min(want, top)
            new = min(want, speed + settings[8] * period) if want > speed else max(want, speed - deceleration * period)
        mean = 0.5 * (speed + new)
        turn = mean * curvature * period
        x += mean * period * math.cos(yaw + 0.5 * turn)
        y += mean * period * math.sin(yaw + 0.5 * turn)
        yaw += turn
        speed = new
        out[k + 1, 0], out[k + 1, 1], out[k + 1, 2], out[k + 1, 3] = x, y, yaw, speed
        if speed <= 0.0 and k * period >= brake_after:
            return out[: k + 2]
    return out


@compiled
def arc_rollout(
    pose: FloatArray,
    v: float,
    omega: float,
    brake_after: float,
    deceleration: float,
    yaw_deceleration: float,
    period: float,
    steps: int,
) -> FloatArray:
    """Foresee an arc at constant v [m/s], omega [rad/s] that is braked after ``brake_after`` [s].

    Returns:
        (K, 4) as in ``rollout``; ends when the robot has come to rest.
    """
    out = np.empty((steps + 1, 4))
    x, y, yaw = pose[0], pose[1], pose[2]
    out[0, 0], out[0, 1], out[0, 2], out[0, 3] = x, y, yaw, abs(v)
    for k in range(steps):
        if k * period >= brake_after:
            v = math.copysign(max(0.0, abs(v) - deceleration * period), v)
            omega = math.copysign(max(0.0, abs(omega) - yaw_deceleration * period), omega)
        turn = omega * period
        x += v * period * math.cos(yaw + 0.5 * turn)
        y += v * period * math.sin(yaw + 0.5 * turn)
        yaw += turn
        out[k + 1, 0], out[k + 1, 1], out[k + 1, 2], out[k + 1, 3] = x, y, yaw, abs(v)
        if v == 0.0 and omega == 0.0:
            return out[: k + 2]
    return out
