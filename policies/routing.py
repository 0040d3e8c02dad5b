"""Keeping a way to the goal: planning, and mending the plan when something is, will be or may be on it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .obstacles import STANDING, ObstacleLayer
from .planner import NavigationMap, Path, PlannerSettings, plan_path, with_obstacles
from .pursuit import PursuitSettings, advance, speed_profile

FloatArray = NDArray[np.float64]

_REPLAN_PERIOD = 0.8
"""Between two plans on the way to one goal [s], at least."""
_LOOK = 5.0
"""Length of path ahead that is watched for things in the way [m]."""
_OFF_PATH = 0.6
"""Farther from its path than this the robot plans anew [m]."""
_DETOUR = 8.0
_DETOUR_PER_SECOND = 2.0
"""A detour may cost so much more than the direct way, and so much more for each second held up [m, m/s]."""
_LONG = 60.0
"""On longer ways [m] what is spent on keeping right and clear adds up; they are given half as much again."""
_FORESEEN = 3.0
"""The ways of those who come towards the robot are kept clear for this long [s]."""
_STEP_RIGHT = 0.45
"""So far to the robot's left their ways are widened, so that both who meet pass on the right [m]."""
_BERTH = 0.45
"""Radius about people who stand that paths keep clear of where they can [m]."""
_NOTHING = np.empty((0, 3))


@dataclass
class Way:
    """A path that is being followed, its speed limits (N,) [m/s], and how far it has been followed."""

    path: Path
    limit: FloatArray
    index: int = 0
    turning: bool = False

    @property
    def left(self) -> float:
        """Length that is left [m]."""
        return self.path.length - float(self.path.arc[self.index])


class Router:
    """Owns the way of one robot.

    Args:
        nav: the map.
        planner, pursuit: settings.
        layer: what the lidar sees beyond the map; None to go by the map alone.
    """

    def __init__(
        self, nav: NavigationMap, planner: PlannerSettings, pursuit: PursuitSettings, layer: ObstacleLayer | None
    ) -> None:
        self._nav, self._planner, self._pursuit, self._layer = nav, planner, pursuit, layer
        self.way: Way | None = None
        self._last = -math.inf

    def drop(self) -> None:
        """Forget the way and plan anew at once."""
        self.way = None
        self._last = -math.inf

    def mend(self, pose: FloatArray, goal: FloatArray, time: float, held_up: float) -> None:
        """Plan if there is no way, if the robot is off it, or if something is, will be or may be on it.

        Args:
            pose, goal: (3,) x, y [m], yaw [rad].
            time: now [s].
            held_up: for how long the robot has been held up [s]; the longer, the longer the detour it takes.
        """
        tries = self._tries(pose)
        if not tries or time - self._last < _REPLAN_PERIOD:
            return
        self._last = time
        direct = self._search(pose, goal, _NOTHING) if self.way is None else None
        limit = self._cost_limit(direct, held_up)
        for obstacles in tries:
            path = self._search(pose, goal, obstacles)
            if path is not None and path.cost <= limit:
                self._take(path)
                return
        # Every way round is too long as yet: drive up to what is in the way, and wait there for a while.
        if self.way is None and direct is not None:
            self._take(direct)

    def avoid_all(self, pose: FloatArray, goal: FloatArray, time: float, held_up: float) -> bool:
        """Plan around all that is seen, as if what moves would stay where it is; returns whether that led to a way."""
        if self._layer is None:
            return False
        self._last = time
        points, _ = self._layer.in_map(pose)
        seen = np.column_stack([points, self._layer.girth])[self._layer.unknown]
        path = self._search(pose, goal, np.concatenate([self._layer.staying(), seen]))
        if path is None or path.cost > self._cost_limit(path, held_up):
            return False
        self._take(path)
        return True

    def _take(self, path: Path) -> None:
        self.way = Way(path, speed_profile(path, self._pursuit))

    def _search(self, pose: FloatArray, goal: FloatArray, obstacles: FloatArray) -> Path | None:
        clearance = None
        if len(obstacles):
            clearance = with_obstacles(self._nav, obstacles, self._planner.soft + 0.2)
        return plan_path(self._nav, pose, goal, self._planner, clearance=clearance)

    def _cost_limit(self, direct: Path | None, held_up: float) -> float:
        """Return what a way may cost: the length that is left of the present one, or of the direct one, and a detour.

        Length, not cost: a way that has become tight must not make up for ever longer ways round, one by one.
        """
        if self.way is not None:
            length = self.way.left
        elif direct is not None:
            length = direct.length
        else:
            return math.inf
        return 1.1 * length + 0.5 * max(0.0, length - _LONG) + _DETOUR + _DETOUR_PER_SECOND * held_up

    def _tries(self, pose: FloatArray) -> list[FloatArray]:
        """Return the obstacles (N, 3) to plan around, the most careful choice first; none if the way is good."""
        way = self.way
        lost = way is None
        if way is not None:
            points = way.path.points
            way.index = advance(points, way.path.arc, way.index, pose[0], pose[1])
            lost = math.hypot(points[way.index, 0] - pose[0], points[way.index, 1] - pose[1]) > _OFF_PATH
        if self._layer is None:
            return [_NOTHING] if lost else []
        staying, oncoming, people = self._layer.staying(), self._oncoming(pose), self._people(pose)
        wide = np.concatenate([staying, people, oncoming])
        tries = [wide, np.concatenate([staying, oncoming]), staying]
        if lost or way is None or self._on_way(way, staying):
            return tries
        if self._on_way(way, oncoming):
            return tries[:2]
        return tries[:1] if self._on_way(way, people) else []

    def _people(self, pose: FloatArray) -> FloatArray:
        """Return x, y, radius (N, 3) [m] about people who stand: wide, since they are better passed at a distance."""
        assert self._layer is not None
        points, _ = self._layer.in_map(pose)
        near = points[self._layer.alert == STANDING]
        return np.column_stack([near, np.full(len(near), _BERTH)])

    def _oncoming(self, pose: FloatArray) -> FloatArray:
        """Return x, y, radius (N, 3) [m] of the ways ahead of those who come towards the robot."""
        assert self._layer is not None
        out = []
        for x, y, vx, vy, size in self._layer.movers(pose):
            dx, dy = x - pose[0], y - pose[1]
            away, speed = math.hypot(dx, dy), math.hypot(vx, vy)
            if away < 0.3 or away > 7.0 or (dx * vx + dy * vy) > -0.8 * away * speed:
                continue
            radius = 0.5 * max(size, 0.3) + 0.1
            left = np.array([-dy, dx]) / away
            # Not up to the robot itself: it must still find a way out from where it is.
            reach = min(speed * _FORESEEN, away - 1.0)
            for s in np.arange(0.0, max(reach, 0.01), 0.25):
                at = np.array([x + s * vx / speed, y + s * vy / speed])
                out += [(*at, radius), (*(at + _STEP_RIGHT * left), radius)]
        return np.array(out) if out else _NOTHING

    def _on_way(self, way: Way, obstacles: FloatArray) -> bool:
        """Whether any of the obstacles (N, 3) x, y, radius [m] lies on the next few metres of the way."""
        if len(obstacles) == 0:
            return False
        arc = way.path.arc
        last = int(np.searchsorted(arc, arc[way.index] + _LOOK))
        ahead = way.path.points[way.index + 3 : last + 1 : 2]
        if len(ahead) == 0:
            return False
        gap = ahead[:, None, :] - obstacles[None, :, :2]
        return float(np.min(np.hypot(gap[..., 0], gap[..., 1]) - obstacles[:, 2])) < self._planner.hard - 0.03
