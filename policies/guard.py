"""The guard: cuts commands down to what is safe before everything the lidar sees (see ``safety``)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .obstacles import PERSON_GIRTH, STANDING, WALKING, ObstacleLayer
from .pursuit import PursuitSettings, arc_rollout, rollout
from .routing import Way
from .safety import PERIOD, SafetySettings, first_hit, nearest, separation_speed

FloatArray = NDArray[np.float64]

CREEP = 0.045
"""Beside people who leave no room to drive the robot still creeps on: so slowly that it counts as standing [m/s]."""
_SCALES = (1.0, 0.75, 0.5, 0.32, 0.18)
"""Shares of the permitted speed that are tried, from the top."""
_LEAST_SPEED = 0.08
"""A share that is slower than this is taken for a stop [m/s]."""
_STOPPING_STEPS = 40
"""Steps within which the robot has come to rest from any speed."""
_PERSON_ZONE = 0.55
"""Nearer to a person than this no faster than ``SafetySettings.passing_speed`` [m]."""
_ESCAPES = (
    (-0.25, 0.0),
    (-0.25, 0.35),
    (-0.25, -0.35),
    (0.0, 0.6),
    (0.0, -0.6),
    (0.2, 0.0),
    (0.2, 0.5),
    (0.2, -0.5),
)
"""Motions v [m/s], omega [rad/s] tried to come free; the first of equally good ones wins."""


_SQUEEZE_BELOW = 0.1
"""With less room than this at either side [m] a door is a tight one."""
_SQUEEZE_SIDE = 0.015
"""Margin at the sides in a tight door [m]."""
_SQUEEZE_SPEED = 0.25
"""No faster than this through a tight door [m/s]."""


class Guard:
    """Judges commands of one robot.

    Args:
        layer: what the lidar sees.
        safety, pursuit: settings.
        control_period: [s].
        squeezes: whether the robot may go through doors that leave less than its margins, slowly.
    """

    def __init__(
        self,
        layer: ObstacleLayer,
        safety: SafetySettings,
        pursuit: PursuitSettings,
        control_period: float,
        *,
        squeezes: bool = False,
    ) -> None:
        self._layer, self._safety, self._pursuit, self._period = layer, safety, pursuit, control_period
        self._squeezes, self._side = squeezes, safety.side
        self._pursuit_array = pursuit.as_array()
        self._alarms = 0

    def blind(self, time: float) -> bool:
        """Whether there has been no scan for long, or the sensor sees nothing at all."""
        return time - self._layer.scan_time > self._safety.stale or self._layer.returns < self._safety.least_returns

    def drive(self, way: Way, pose: FloatArray, velocity: FloatArray, v: float, omega: float) -> tuple[float, float]:
        """Return the fastest share of the command v [m/s], omega [rad/s] that is safe; a braking one if none is."""
        speed = float(velocity[0])
        ceiling = min(v, max(self.speed_limit(pose), CREEP))
        self._side = self._safety.side
        if self._squeezes and self._is_tight(way):
            self._side, ceiling = _SQUEEZE_SIDE, min(ceiling, _SQUEEZE_SPEED)
        for scale in _SCALES:
            top = ceiling * scale
            if top < _LEAST_SPEED and scale < 1.0:
                break
            if self._is_safe(way, pose, speed, top):
                self._alarms = 0
                # Speed up no faster than the drive follows: the command is then what the robot really does.
                top = min(top, max(speed, 0.0) + 0.35 * self._pursuit.acceleration)
                return top, omega * top / v if v > 0 else omega
        # Brake: gently where that is enough, or for the first step (it may be a false alarm), else as hard as possible.
        safe = self._safety
        gentle = speed - safe.deceleration * (self._period + 0.1)
        stop = self._foresee(way, pose, speed, max(gentle, 0.0), 0.0, _STOPPING_STEPS)
        self._alarms = self._alarms + 1 if self._hits(stop, pose) else 0
        if gentle < _LEAST_SPEED or v <= 0 or self._alarms > 1:
            return 0.0, 0.0
        return gentle, omega * gentle / v

    def turn(self, pose: FloatArray, omega: float) -> tuple[float, float]:
        """Turn on the spot as asked if there is room, slowly if only that is safe, or not at all."""
        if omega == 0.0 or self.is_free(pose, 0.0, omega, 0.4):
            return 0.0, omega
        slow = math.copysign(min(abs(omega), 0.3), omega)
        return (0.0, slow) if self.is_free(pose, 0.0, slow, 0.2) else (0.0, 0.0)

    def is_free(self, pose: FloatArray, v: float, omega: float, duration: float) -> bool:
        """Whether the robot meets nothing if it moves at v [m/s], omega [rad/s] for a while [s] and then brakes."""
        safe = self._safety
        points, velocity = self._layer.in_map(pose)
        motion = arc_rollout(pose, v, omega, duration, safe.deceleration, safe.yaw_deceleration, PERIOD, 60)
        front, side = (safe.turn, safe.turn) if v == 0.0 else (safe.escape, safe.side)
        return (
            first_hit(
                motion,
                PERIOD,
                points,
                velocity,
                self._layer.girth,
                safe.half_length,
                safe.half_width,
                front,
                side,
                safe.mover,
                safe.mover_growth,
                math.inf,
            )
            < 0
        )

    def speed_limit(self, pose: FloatArray) -> float:
        """Return the speed permitted by what is near and is or may be a person [m/s]."""
        safe, layer = self._safety, self._layer
        points, _ = layer.in_map(pose)
        limit = math.inf
        for approach in (WALKING, STANDING):
            distance = self._nearest(pose, points, layer.alert == approach)
            limit = min(limit, separation_speed(distance, approach, safe))
            limit = min(limit, self._slow_down(distance - _PERSON_ZONE, safe.passing_speed))
        unsure = (layer.girth >= PERSON_GIRTH) & (layer.alert == 0.0)
        return min(limit, self._slow_down(self._nearest(pose, points, unsure) - safe.zone, safe.zone_speed))

    def person_within(self, pose: FloatArray, distance: float) -> bool:
        """Whether somebody who walks, or did a moment ago, is nearer than ``distance`` [m]."""
        points, _ = self._layer.in_map(pose)
        return self._nearest(pose, points, self._layer.alert > 0.0) < distance

    def best_escape(self, pose: FloatArray, clearance: FloatArray) -> tuple[float, float] | None:
        """Return the motion v [m/s], omega [rad/s] that leaves most room; None if there is room for none.

        Args:
            pose: (3,) x, y [m], yaw [rad].
            clearance: (K,) clearance of the map [m] where each of ``escape_ends`` leads.
        """
        points, _ = self._layer.in_map(pose)
        safe = self._safety
        best, most = None, 0.0
        for (v, omega), end, from_map in zip(_ESCAPES, self.escape_ends(pose), clearance, strict=True):
            if not self.is_free(pose, v, omega, 1.2):
                continue
            room = nearest(end, points, self._layer.girth, safe.half_length, safe.half_width)
            room = min(room, float(from_map)) + (0.15 if v < 0 else 0.0)
            if room > most + 1e-6:
                best, most = (v, omega), room
        return best

    def escape_ends(self, pose: FloatArray) -> FloatArray:
        """Return the poses (K, 3) that the motions tried by ``best_escape`` lead to."""
        return np.array([arc_rollout(pose, v, omega, 1.2, 1.0, 2.0, PERIOD, 30)[-1, :3] for v, omega in _ESCAPES])

    def _is_tight(self, way: Way) -> bool:
        """Whether the next stretch of the way leaves less than the usual margin at the robot's sides."""
        arc = way.path.arc
        first = int(np.searchsorted(arc, arc[way.index] - 0.6))
        last = int(np.searchsorted(arc, arc[way.index] + 1.2))
        return float(np.min(way.path.clearance[first : last + 1])) < self._safety.half_width + _SQUEEZE_BELOW

    def _is_safe(self, way: Way, pose: FloatArray, speed: float, top: float) -> bool:
        """Whether the robot can drive on at ``top`` [m/s] and still stop, and meets nobody if all go on as they do."""
        safe = self._safety
        if self._hits(self._foresee(way, pose, speed, top, safe.reaction, _STOPPING_STEPS), pose):
            return False
        if not np.any(self._layer.velocity):
            return True
        return not self._hits(self._foresee(way, pose, speed, top, math.inf, round(safe.horizon / PERIOD)), pose)

    def _foresee(
        self, way: Way, pose: FloatArray, speed: float, top: float, brake_after: float, steps: int
    ) -> FloatArray:
        """Return the motion (K, 4) along the way at up to ``top`` [m/s], braked after a time [s] (see ``rollout``)."""
        return rollout(
            way.path.points,
            way.path.arc,
            way.limit,
            way.index,
            pose,
            max(speed, 0.0),
            top,
            brake_after,
            self._safety.deceleration,
            PERIOD,
            steps,
            self._pursuit_array,
        )

    def _hits(self, motion: FloatArray, pose: FloatArray) -> bool:
        safe = self._safety
        points, velocity = self._layer.in_map(pose)
        hit = first_hit(
            motion,
            PERIOD,
            points,
            velocity,
            self._layer.girth,
            safe.half_length,
            safe.half_width,
            safe.front,
            self._side,
            safe.mover,
            safe.mover_growth,
            safe.from_behind,
        )
        return hit >= 0

    def _slow_down(self, room: float, speed: float) -> float:
        """Return the speed from which ``speed`` [m/s] is reached by braking over ``room`` [m]."""
        return math.sqrt(speed**2 + 2.0 * self._safety.deceleration * max(0.0, room))

    def _nearest(self, pose: FloatArray, points: FloatArray, chosen: NDArray[np.bool_]) -> float:
        if not np.any(chosen):
            return math.inf
        safe = self._safety
        return nearest(pose, points[chosen], self._layer.girth[chosen], safe.half_length, safe.half_width)
