"""How long robots come to a station and leave it: along a curve that ends, or begins, in the direction they stand in.

Robots that can turn on the spot at a station drive up to it from anywhere. A long one turns first where there is room,
and then shifts sideways into its place while it drives: along ``y = l h(s)`` with the quintic
``h = 10 s^3 - 15 s^4 + 6 s^5``, which has neither slope nor curvature at its ends (Fraichard and Scheuer 2004 speak of
the need for continuous curvature). Frame ``map``, SI units.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..episodes.tasks import TURNS_AT_STATIONS
from ..robots.model import RobotModel
from .planner import SPACING, NavigationMap, Path

FloatArray = NDArray[np.float64]

_AHEAD = (3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 2.0)
"""Lengths of the curve [m], the one that is tried first in front."""
_ASIDE = tuple(round(0.25 * k, 2) for k in range(11))
"""Shifts of the curve, to either side [m]."""
_GAPS = (0.22, 0.12)
"""What the body keeps on a curve to what stands on the map [m]; the second only where the first cannot be had."""
_KEEP = 0.04
"""What its ends keep to what stands on the map in every other motion [m]."""
_ROOM = 0.06
"""What the corners keep while the robot turns on the spot [m]."""


class Approach:
    """Curves into and out of stations for one robot.

    Args:
        nav: the map. robot: its footprint.
    """

    def __init__(self, nav: NavigationMap, robot: RobotModel) -> None:
        self._nav = nav
        self._radius, self._half_width = robot.radius, 0.5 * robot.width
        reach = 0.5 * robot.length - self._half_width
        self._discs = np.linspace(-reach, reach, 2 + math.ceil(2.0 * reach / self._half_width))

    def turns_at(self, pose: FloatArray) -> bool:
        """Whether the robot can turn on the spot at a pose (3,) x, y [m], yaw [rad]."""
        return self._radius <= TURNS_AT_STATIONS or self._has_room(pose[:2])

    def gap(self, poses: FloatArray) -> FloatArray:
        """Return how far the body is from what the map shows (N,) [m] at poses (N, 3); below zero inside."""
        direction = np.stack([np.cos(poses[:, 2]), np.sin(poses[:, 2])], axis=-1)
        places = poses[:, None, :2] + self._discs[None, :, None] * direction[:, None]
        clearance = self._nav.clearance_at(places.reshape(-1, 2)).reshape(len(poses), -1)
        return clearance.min(axis=1).astype(np.float64) - self._half_width

    def keeps_clear(self, pose: FloatArray, v: float, omega: float) -> bool:
        """Whether a motion v [m/s], omega [rad/s] keeps a long robot's ends away from the map for a second.

        Its lidar passes below the beams of a rack that a tall body would meet as it swings round. One that stands too
        near already may move away.
        """
        if self._radius <= TURNS_AT_STATIONS:
            return True
        time = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
        middle = pose[2] + 0.5 * omega * time
        ahead = pose + np.column_stack([v * time * np.cos(middle), v * time * np.sin(middle), omega * time])
        gap = self.gap(ahead)
        return float(gap[1:].min()) >= min(_KEEP, float(gap[0]) - 1e-6)

    def into(self, goal: FloatArray) -> tuple[FloatArray, Path] | None:
        """Return a pose (3,) to turn at and the path from there to a goal (3,); None if there is none."""
        found = self._curve(goal, -1.0)
        if found is None:
            return None
        points = found.points[::-1].copy()
        stage = np.array([*points[0], goal[2]])
        return stage, Path(points, found.arc, found.curvature[::-1].copy(), found.clearance[::-1].copy(), found.cost)

    def out_of(self, pose: FloatArray) -> Path | None:
        """Return a path that leads straight ahead out of a place (3,) to where the robot can turn; None if none."""
        return self._curve(pose, 1.0)

    def _curve(self, pose: FloatArray, sign: float) -> Path | None:
        """Return the path from a pose, ahead (1) or back (-1), to the nearest place in which the robot can turn."""
        tried = [(a, n) for a in _ASIDE for n in _AHEAD if n >= 2.0 * a]
        for gap in _GAPS:
            for aside, length in tried:
                for shift in (aside, -aside) if aside else (0.0,):
                    path = self._try(pose, sign * length, shift, gap)
                    if path is not None:
                        return path
        return None

    def _try(self, pose: FloatArray, length: float, shift: float, gap: float) -> Path | None:
        share = np.linspace(0.0, 1.0, 2 + math.ceil(abs(length) / SPACING))
        along, side = length * share, shift * share**3 * (10.0 - 15.0 * share + 6.0 * share**2)
        slope = shift * share**2 * (30.0 - 60.0 * share + 30.0 * share**2) / length
        cos, sin = math.cos(pose[2]), math.sin(pose[2])
        points = np.column_stack([pose[0] + cos * along - sin * side, pose[1] + sin * along + cos * side])
        if not self._has_room(points[-1]):
            return None
        yaw = pose[2] + np.arctan(slope)
        if float(self.gap(np.column_stack([points, yaw])).min()) < gap:
            return None
        arc = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
        curvature = np.abs(np.gradient(np.arctan(slope), arc))
        return Path(points, arc, curvature, self._nav.clearance_at(points).astype(np.float64), float(arc[-1]))

    def _has_room(self, point: FloatArray) -> bool:
        return float(self._nav.clearance_at(point[None, :2])[0]) >= self._radius + _ROOM
