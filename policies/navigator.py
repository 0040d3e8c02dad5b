"""The navigator: drives one robot from goal to goal on a known map, past people, robots and goods that are not on it.

Each control step: take in the scan, keep or mend the way, follow it by pure pursuit, and let the guard cut the speed to
what can be stopped. What blocks the way for long is planned around; where nothing helps the robot backs out, waits for
a time of its own (drawn from its seed, so that two robots that meet do not mirror each other) and tries again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import wrap_angle
from ..common.seeding import generator
from ..episodes.policy import EpisodeInfo, Observation
from .approach import Approach
from .guard import CREEP, Guard
from .obstacles import ObstacleLayer
from .planner import NavigationMap, Path, PlannerSettings, navigation_map
from .pursuit import PursuitSettings, advance, pursue, speed_profile
from .routing import Router, Way
from .safety import SafetySettings

FloatArray = NDArray[np.float64]

_BACK_OUT = 5.0
"""Held up for so long without a way round, the robot backs out [s]."""
_GIVE_WAY = 8.0
"""The robot stands still for people near by for so long before it looks for another way [s]."""
_OFF_CURVE = 0.5
"""Farther from a curve into or out of a station [m] the robot plans anew."""
_STEP = 0.5
_TURN = 0.6
"""A robot that was held up has come free once it has moved or turned so far [m, rad]."""


@dataclass
class _Trouble:
    """How long the robot has been held up, and what it has tried.

    Attributes:
        patience: how long it stands before it tries something [s].
        since: when it came to stand [s]; held_since: the same, but reset only by real progress.
        planned: whether a way round has been tried; attempts: how often it has backed out.
        escape: the motion v [m/s], omega [rad/s] that backs out, until ``escape_until``; then it waits until
            ``wait_until`` [s].
        place: (3,) pose where it came to stand.
        giving_way: since when it stands for somebody near by [s].
    """

    patience: float = 2.0
    since: float | None = None
    held_since: float | None = None
    planned: bool = False
    attempts: int = 0
    escape: tuple[float, float] | None = None
    escape_until: float = 0.0
    wait_until: float = 0.0
    place: FloatArray = field(default_factory=lambda: np.zeros(3))
    giving_way: float | None = None


class Navigator:
    """A* on the map, regulated pure pursuit and a lidar safety stop.

    Args:
        careful: False switches off everything that looks at the lidar: the robot drives through whatever is not on
            its map.
    """

    def __init__(self, *, careful: bool = True) -> None:
        self._careful = careful

    def reset(self, info: EpisodeInfo) -> None:
        """Forget everything and prepare for an episode."""
        robot = info.robot
        self._tolerance = info.goal_tolerance
        self._random = generator(info.seed, "navigator")
        self._nav: NavigationMap = navigation_map(info.layout)
        self._pursuit = PursuitSettings.for_robot(robot)
        self._pursuit_array = self._pursuit.as_array()
        self._layer: ObstacleLayer | None = None
        self._guard: Guard | None = None
        if self._careful:
            self._layer = ObstacleLayer(
                nav=self._nav,
                mount=robot.lidar_mount,
                angles=np.asarray(info.scan_angles, dtype=np.float64),
                blind_half_length=0.5 * robot.length - 0.03,
                blind_half_width=0.5 * robot.width - 0.03,
            )
            safety = SafetySettings.for_robot(robot, info.control_period)
            self._guard = Guard(self._layer, safety, self._pursuit, info.control_period, squeezes=self._nav.sharp)
        planner = PlannerSettings.for_robot(robot.length, robot.width, sharp=self._nav.sharp)
        self._router = Router(self._nav, planner, self._pursuit, self._layer)
        self._approach = Approach(self._nav, robot)
        self._stage: FloatArray | None = None
        self._fixed: Way | None = None
        self._goal: FloatArray | None = None
        self._docking = False
        self._trouble = _Trouble()

    def act(self, observation: Observation) -> tuple[float, float]:
        """Return the command v [m/s], omega [rad/s] for the next control period."""
        command = self._decide(observation)
        if not self._careful or command == (0.0, 0.0):
            return command
        pose = np.asarray(observation.pose, dtype=np.float64)
        if self._approach.keeps_clear(pose, *command):
            return command
        return self._held_up(pose, self._goal if self._goal is not None else pose, float(observation.time))

    def _decide(self, observation: Observation) -> tuple[float, float]:
        pose = np.asarray(observation.pose, dtype=np.float64)
        time = float(observation.time)
        if self._layer is not None:
            self._layer.update(time, pose, observation.velocity, observation.scan, float(observation.scan_time))
        if observation.goal is None:
            self._goal = None
            self._router.drop()
            return 0.0, 0.0
        goal = np.asarray(observation.goal, dtype=np.float64)
        if self._goal is None or not np.array_equal(goal, self._goal):
            self._take_goal(goal, pose)
        if self._guard is not None and self._guard.blind(time):
            return 0.0, 0.0
        if self._stage is not None:
            goal = self._stage
        arrived = self._arrive(pose, goal)
        if arrived == 0.0 and self._stage is not None:
            self._enter(np.asarray(observation.goal, dtype=np.float64))
            return 0.0, 0.0
        if arrived is not None:
            return self._guard.turn(pose, arrived) if self._guard is not None else (0.0, arrived)
        if self._guard is not None:
            manoeuvre = self._manoeuvre(self._guard, pose, time)
            if manoeuvre is not None:
                return manoeuvre
        held = self._trouble.held_since
        if self._on_fixed_way(pose):
            assert self._fixed is not None
            return self._follow(self._fixed, pose, goal, observation)
        self._router.mend(pose, goal, time, 0.0 if held is None else time - held)
        if self._router.way is None:
            return self._held_up(pose, goal, time)
        return self._follow(self._router.way, pose, goal, observation)

    def _take_goal(self, goal: FloatArray, pose: FloatArray) -> None:
        self._goal = goal
        self._stage = self._fixed = None
        if not self._approach.turns_at(goal):
            found = self._approach.into(goal)
            self._stage = None if found is None else found[0]
        if not self._approach.turns_at(pose):
            out = self._approach.out_of(pose)
            self._fixed = None if out is None else self._way_along(out)
        self._docking = False
        self._router.drop()
        self._trouble = _Trouble(patience=float(self._random.uniform(1.0, 3.0)))

    def _way_along(self, path: Path) -> Way:
        return Way(path, speed_profile(path, self._pursuit))

    def _enter(self, goal: FloatArray) -> None:
        """Turned at the stage: drive the curve into the goal."""
        found = self._approach.into(goal)
        self._stage = None
        self._docking = False
        if found is not None:
            self._fixed = self._way_along(found[1])
            self._router.way = self._fixed

    def _on_fixed_way(self, pose: FloatArray) -> bool:
        """Whether the robot is on a curve into or out of a station, and is to stay on it."""
        way = self._fixed
        if way is None:
            return False
        points = way.path.points
        way.index = advance(points, way.path.arc, way.index, pose[0], pose[1])
        off = math.hypot(points[way.index, 0] - pose[0], points[way.index, 1] - pose[1]) > _OFF_CURVE
        if off or way.left < 0.1 or self._trouble.attempts > 0:
            self._fixed = None
            self._router.drop()
            return False
        return True

    def _arrive(self, pose: FloatArray, goal: FloatArray) -> float | None:
        """Return the yaw rate that turns to the goal's yaw once the robot is there; None while it is not."""
        away = math.hypot(goal[0] - pose[0], goal[1] - pose[1])
        near, far = 0.4 * self._tolerance[0], 0.85 * self._tolerance[0]
        if self._docking and away > far:
            self._docking = False
            self._router.drop()
        elif not self._docking and (away < near or (away < far and self._at_end())):
            self._docking = True
        if not self._docking:
            return None
        off = float(wrap_angle(goal[2] - pose[2]))
        if abs(off) < 0.25 * self._tolerance[1]:
            return 0.0
        top, ramp = self._pursuit.yaw_rate, self._pursuit.yaw_acceleration
        return math.copysign(min(top, max(0.12, math.sqrt(1.2 * ramp * abs(off)))), off)

    def _at_end(self) -> bool:
        """Whether the robot is at the end of its way, or held up just before it."""
        way = self._router.way
        return way is not None and (way.left < 0.06 or self._trouble.since is not None)

    def _follow(self, way: Way, pose: FloatArray, goal: FloatArray, observation: Observation) -> tuple[float, float]:
        path, speed = way.path, float(observation.velocity[0])
        v, omega, way.turning = pursue(
            path.points, path.arc, way.limit, way.index, pose[0], pose[1], pose[2], speed, way.turning,
            self._pursuit_array,
        )  # fmt: skip
        if self._guard is None:
            return v, omega
        if way.turning:
            command = self._guard.turn(pose, omega)
        else:
            command = self._guard.drive(way, pose, observation.velocity, v, omega)
        time = float(observation.time)
        if abs(command[0]) >= 0.9 * CREEP or abs(command[1]) > 0.05:
            self._note_progress(pose)
            return command
        return (0.0, 0.0) if self._gives_way(self._guard, pose, time) else self._held_up(pose, goal, time)

    def _note_progress(self, pose: FloatArray) -> None:
        """Being held up ends once the robot has really come on, not at the first twitch."""
        trouble = self._trouble
        gone = math.hypot(pose[0] - trouble.place[0], pose[1] - trouble.place[1])
        if gone > _STEP or abs(float(wrap_angle(pose[2] - trouble.place[2]))) > _TURN:
            trouble.place = pose.copy()
            trouble.since = None
            trouble.planned = False
            if gone > _STEP:
                trouble.attempts = max(0, trouble.attempts - 1)
                trouble.held_since = None

    def _gives_way(self, guard: Guard, pose: FloatArray, time: float) -> bool:
        """Whether the robot stands because of somebody near by who walks; not for ever."""
        trouble = self._trouble
        if not guard.person_within(pose, 1.0):
            trouble.giving_way = None
            return False
        if trouble.giving_way is None:
            trouble.giving_way = time
        return time - trouble.giving_way < _GIVE_WAY

    def _held_up(self, pose: FloatArray, goal: FloatArray, time: float) -> tuple[float, float]:
        """Stand and wait; when patience ends, plan around everything in sight, then back out."""
        trouble = self._trouble
        if trouble.since is None:
            trouble.since = time
            trouble.place = pose.copy()
        if trouble.held_since is None:
            trouble.held_since = time
        if self._guard is None or time - trouble.since < trouble.patience:
            return 0.0, 0.0
        trouble.since = None
        trouble.patience = float(self._random.uniform(1.0, 2.0 + min(trouble.attempts, 4)))
        held = time - trouble.held_since
        if not trouble.planned:
            trouble.planned = self._router.avoid_all(pose, goal, time, held)
            if trouble.planned or held < _BACK_OUT:
                return 0.0, 0.0
        trouble.planned = False
        trouble.attempts += 1
        ends = self._guard.escape_ends(pose)
        room = self._nav.clearance_at(ends[:, :2]).astype(np.float64)
        if not self._approach.turns_at(pose):
            room = self._approach.gap(ends)
        trouble.escape = self._guard.best_escape(pose, room)
        if trouble.escape is not None:
            trouble.escape_until = time + float(self._random.uniform(1.2, 3.0))
            trouble.wait_until = trouble.escape_until + float(self._random.uniform(0.0, 2.5))
        return 0.0, 0.0

    def _manoeuvre(self, guard: Guard, pose: FloatArray, time: float) -> tuple[float, float] | None:
        """Go on with backing out and the wait after it; None when there is neither."""
        trouble = self._trouble
        if trouble.escape is not None:
            v, omega = trouble.escape
            free = guard.is_free(pose, v, omega, 0.3) and self._approach.keeps_clear(pose, v, omega)
            if time < trouble.escape_until and free:
                share = min(1.0, max(guard.speed_limit(pose), CREEP) / abs(v)) if v != 0.0 else 1.0
                return share * v, share * omega
            trouble.escape = None
            self._router.drop()
            return 0.0, 0.0
        return (0.0, 0.0) if time < trouble.wait_until else None
