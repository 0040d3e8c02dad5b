"""The safety layer: never drive faster than can be stopped before what the lidar sees, and give way to what moves.

A planned motion is foreseen as a sequence of poses; the footprint, with margins, is laid at each, and every lidar point
is tested against it, moved on by the velocity of the thing it belongs to. Frame ``map`` by the robot's own estimate
(its error cancels: points and poses share it), SI units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..common.kernels import compiled
from ..robots.model import RobotModel

FloatArray = NDArray[np.float64]

PERIOD = 0.1
"""Time step of the foresight [s]."""
_NO_NEARER = 0.005
"""What is within the margin already may come nearer by no more than this share of it."""
_SIGHT = 8.0
"""Points farther away than this are of no concern to the motions foreseen [m]."""


@dataclass(frozen=True)
class SafetySettings:
    """Margins and promises.

    Attributes:
        half_length, half_width: of the footprint [m].
        reaction: time until braking begins: scan age, control period, dead time and motor lag [s].
        deceleration: braking that is relied on [m/s^2]; less than nominal, for wet floors and loads.
        yaw_deceleration: [rad/s^2].
        front, side: margins about the footprint when driving [m].
        turn: margin when turning on the spot [m]; escape: along the robot when backing out [m].
        mover: margin about things that move [m], growing by ``mover_growth`` [m/s] with the time foreseen.
        horizon: how far ahead in time moving things are avoided [s]; from_behind: the same for those that come from
            behind.
        zone, zone_speed: nearer than zone [m] to something that may be a person, no faster than zone_speed [m/s].
        passing_speed: nearer than 0.5 m to a person, no faster than this [m/s].
        hard_deceleration: what the drive brakes at when told to stand [m/s^2].
        stale: a scan older than this stops the robot [s].
        least_returns: share of beams that must come back; fewer and the sensor counts as blind.
    """

    half_length: float
    half_width: float
    reaction: float
    deceleration: float
    yaw_deceleration: float
    front: float = 0.15
    side: float = 0.06
    turn: float = 0.025
    escape: float = 0.1
    mover: float = 0.15
    mover_growth: float = 0.1
    horizon: float = 2.0
    from_behind: float = 0.8
    zone: float = 0.4
    zone_speed: float = 0.6
    passing_speed: float = 0.28
    hard_deceleration: float = 1.5
    stale: float = 0.6
    least_returns: float = 0.02

    @staticmethod
    def for_robot(robot: RobotModel, control_period: float) -> SafetySettings:
        """Return settings for a robot that is commanded every ``control_period`` [s]."""
        drive = robot.drive
        return SafetySettings(
            half_length=0.5 * robot.length,
            half_width=0.5 * robot.width,
            reaction=control_period + drive.command_delay + drive.motor_lag + 0.1,
            deceleration=min(1.0, 0.5 * drive.max_deceleration),
            hard_deceleration=0.75 * drive.max_deceleration,
            yaw_deceleration=min(2.0, 0.5 * drive.max_yaw_acceleration),
        )


@compiled
def first_hit(
    motion: FloatArray,
    period: float,
    points: FloatArray,
    velocity: FloatArray,
    girth: FloatArray,
    half_length: float,
    half_width: float,
    front: float,
    side: float,
    mover: float,
    mover_growth: float,
    from_behind: float,
) -> int:
    """Return the first pose of a motion at which the footprint meets a point, or -1.

    Args:
        motion: (K, 4) x, y, yaw, v at times 0, period, ...
        points: (N, 2) lidar points [m] at time 0; velocity: (N, 2) of the thing each belongs to [m/s].
        girth: (N,) how far that thing may stand out beyond the point [m], added to every margin.
        half_length, half_width: of the footprint [m].
        front, side: margins along and across the robot for points at rest [m]; mover, mover_growth: for moving ones.
        from_behind: moving points that reach the robot from behind its middle count only up to this time [s]: who
            follows the robot is not helped by its stopping early.

    A point that lies within the margin at the outset counts only once it comes nearer than it was: a robot that stands
    close to something may still leave.
    """
    first = len(motion)
    for i in range(len(points)):
        vx, vy = velocity[i, 0], velocity[i, 1]
        moves = vx != 0.0 or vy != 0.0
        begun = np.inf
        for k in range(first):
            t = k * period
            dx, dy = points[i, 0] + t * vx - motion[k, 0], points[i, 1] + t * vy - motion[k, 1]
            if k == 0 and dx * dx + dy * dy > _SIGHT * _SIGHT:
                break
            cos, sin = math.cos(motion[k, 2]), math.sin(motion[k, 2])
            bx, by = cos * dx + sin * dy, -sin * dx + cos * dy
            margin_x, margin_y = front + girth[i], side + girth[i]
            if moves:
                margin_y = mover + mover_growth * t + girth[i]
                margin_x = max(margin_x, margin_y)
            # How far outside the footprint, in margins: 0 at its edge, 1 at the margin's edge.
            depth = max((abs(bx) - half_length) / margin_x, (abs(by) - half_width) / margin_y)
            if k == 0:
                begun = depth
            elif depth < min(1.0, begun - _NO_NEARER):
                if not (moves and bx < 0.0 and t > from_behind):
                    first = k
                break
    return first if first < len(motion) else -1


@compiled
def nearest(pose: FloatArray, points: FloatArray, girth: FloatArray, half_length: float, half_width: float) -> float:
    """Return the distance [m] from the footprint at ``pose`` (3,) to the nearest of points (N, 2); inf if none.

    ``girth`` (N,) [m] is taken off each distance.
    """
    best = np.inf
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    for i in range(len(points)):
        dx, dy = points[i, 0] - pose[0], points[i, 1] - pose[1]
        ex = max(0.0, abs(cos * dx + sin * dy) - half_length)
        ey = max(0.0, abs(-sin * dx + cos * dy) - half_width)
        best = min(best, math.sqrt(ex * ex + ey * ey) - girth[i])
    return best


def separation_speed(distance: float, approach: float, settings: SafetySettings) -> float:
    """Return the speed [m/s] from which the robot stands before somebody comes over ``distance`` [m].

    Speed and separation monitoring after ISO/TS 15066: distance = approach * (reaction + v / a) + 0.05 m, with the
    speed ``approach`` [m/s] at which that person may come.
    """
    time = (distance - 0.05) / approach - settings.reaction
    return max(0.0, settings.hard_deceleration * time)
