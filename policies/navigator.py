"""The navigator: drives one robot from goal to goal on a known map, past people, robots and goods that are not on it.

Each control step: take in the scan, keep or mend the path, follow it by pure pursuit, and let the safety layer cut the
speed to what can be stopped. What blocks the way for long is planned around; where nothing helps the robot backs out,
waits for a time of its own (drawn from its seed, so that two robots that meet do not mirror each other) and tries
again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import wrap_angle
from ..common.seeding import generator
from ..episodes.policy import EpisodeInfo, Observation
from .obstacles import PERSON_GIRTH, STANDING, WALKING, ObstacleLayer
from .planner import NavigationMap, Path, PlannerSettings, navigation_map, plan_path, with_obstacles
from .pursuit import PursuitSettings, advance, arc_rollout, pursue, rollout, speed_profile
from .safety import PERIOD, SafetySettings, first_hit, nearest, separation_speed

FloatArray = NDArray[np.float64]

_SCALES = (1.0, 0.75, 0.5, 0.32, 0.18)
"""Shares of the wanted speed that the safety layer tries, from the top."""
_LEAST_SPEED = 0.08
"""A slower crawl is taken for a stop [m/s]."""
_CREEP = 0.045
"""Beside people who leave no room to drive the robot still creeps on: so slowly that it counts as standing [m/s]."""
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
_REPLAN_PERIOD = 0.8
"""Between two plans on the way to one goal [s], at least."""
_LOOK = 5.0
"""Length of path ahead that is watched for things in the way [m]."""
_OFF_PATH = 0.6
"""Farther from its path than this the robot plans anew [m]."""
_DETOUR = 6.0
_DETOUR_PER_SECOND = 1.5
"""A detour may cost so much more than waiting, and so much for each second of waiting [m, m/s]."""
_BACK_OUT = 5.0
"""Held up for so long without a way round, the robot backs out [s]."""
_FORESEEN = 3.0
"""The ways of those who come towards the robot are kept clear for this long [s]."""
_STEP_RIGHT = 0.45
"""So far to the robot's left their ways are widened, so that both who meet pass on the right [m]."""
_BERTH = 0.45
"""Radius about people who stand that paths keep clear of where they can [m]."""
_GIVE_WAY = 8.0
"""The robot stands still for people near by for so long before it looks for another way [s]."""


@dataclass
class _Way:
    """The path being followed."""

    path: Path
    limit: FloatArray
    index: int = 0
    turning: bool = False
    made: float = 0.0


@dataclass
class _Trouble:
    """How long the robot has been held up, and what it has tried."""

    since: float | None = None
    blocked_since: float | None = None
    planned: bool = False
    patience: float = 2.0
    attempts: int = 0
    escape: tuple[float, float] | None = None
    escape_until: float = 0.0
    wait_until: float = 0.0
    moved_from: FloatArray = field(default_factory=lambda: np.zeros(3))
    progress_time: float = 0.0
    standing_for: float | None = None


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
        self._period = info.control_period
        self._tolerance = info.goal_tolerance
        self._nav: NavigationMap = navigation_map(info.layout)
        self._planner = PlannerSettings.for_robot(robot.length, robot.width)
        self._pursuit = PursuitSettings.for_robot(robot)
        self._pursuit_array = self._pursuit.as_array()
        self._safety = SafetySettings.for_robot(robot, info.control_period)
        self._random = generator(info.seed, "navigator")
        self._layer = ObstacleLayer(
            nav=self._nav,
            mount=robot.lidar_mount,
            angles=np.asarray(info.scan_angles, dtype=np.float64),
            blind_half_length=0.5 * robot.length - 0.03,
            blind_half_width=0.5 * robot.width - 0.03,
        )
        self._goal: FloatArray | None = None
        self._way: _Way | None = None
        self._docking = False
        self._trouble = _Trouble()
        self._last_plan = -math.inf
        self._alarms = 0

    def act(self, observation: Observation) -> tuple[float, float]:
        """Return the command v [m/s], omega [rad/s] for the next control period."""
        pose = np.asarray(observation.pose, dtype=np.float64)
        time = float(observation.time)
        if self._careful:
            self._layer.update(time, pose, observation.velocity, observation.scan, float(observation.scan_time))
        if observation.goal is None:
            self._goal, self._way = None, None
            return 0.0, 0.0
        goal = np.asarray(observation.goal, dtype=np.float64)
        if self._goal is None or not np.array_equal(goal, self._goal):
            self._take_goal(goal, pose, time)
        if self._careful and self._blind(time):
            return 0.0, 0.0
        arrived = self._arrive(pose, goal)
        if arrived is not None:
            return self._guard_turn(pose, arrived)
        if self._careful:
            manoeuvre = self._manoeuvre(pose, time)
            if manoeuvre is not None:
                return manoeuvre
        self._mend_way(pose, goal, time)
        if self._way is None:
            return self._held_up(pose, time)
        return self._drive(pose, observation, time)

    def _take_goal(self, goal: FloatArray, pose: FloatArray, time: float) -> None:
        self._goal = goal
        self._docking = False
        self._way = None
        self._last_plan = -math.inf
        self._trouble = _Trouble(
            patience=float(self._random.uniform(1.0, 3.0)), moved_from=pose.copy(), progress_time=time
        )

    def _blind(self, time: float) -> bool:
        """No scan for long, or a sensor that sees nothing at all."""
        stale = time - self._layer.scan_time > self._safety.stale
        return stale or self._layer.returns < self._safety.least_returns

    def _arrive(self, pose: FloatArray, goal: FloatArray) -> float | None:
        """Return the yaw rate that turns to the goal's yaw once the robot is there; None while it is not."""
        away = math.hypot(goal[0] - pose[0], goal[1] - pose[1])
        near, far = 0.4 * self._tolerance[0], 0.85 * self._tolerance[0]
        if self._docking and away > far:
            self._docking = False
            self._way = None
        elif not self._docking and (away < near or (away < far and self._passed_by())):
            self._docking = True
        if not self._docking:
            return None
        off = float(wrap_angle(goal[2] - pose[2]))
        if abs(off) < 0.25 * self._tolerance[1]:
            return 0.0
        top, ramp = self._pursuit.yaw_rate, self._pursuit.yaw_acceleration
        return math.copysign(min(top, max(0.12, math.sqrt(1.2 * ramp * abs(off)))), off)

    def _passed_by(self) -> bool:
        """Whether the robot is at the end of its path, or held up just before it."""
        if self._way is None:
            return False
        left = self._way.path.length - self._way.path.arc[self._way.index]
        return left < 0.06 or self._trouble.since is not None

    def _mend_way(self, pose: FloatArray, goal: FloatArray, time: float) -> None:
        """Plan if there is no path, if the robot is off it, or if something is, will be or may be on it."""
        tries = self._reasons(pose)
        if not tries or time - self._last_plan < _REPLAN_PERIOD:
            return
        self._last_plan = time
        limit = self._detour_limit(time)
        for obstacles in tries:
            if self._plan(pose, goal, obstacles, time, limit):
                return
        # Every way round is too long as yet: drive up to what is in the way, and wait there for a while.

    def _reasons(self, pose: FloatArray) -> list[FloatArray]:
        """Return the obstacles (N, 3) to plan around, the most careful choice first; none if the path is good."""
        way = self._way
        lost = way is None
        if way is not None:
            points = way.path.points
            way.index = advance(points, way.path.arc, way.index, pose[0], pose[1])
            lost = math.hypot(points[way.index, 0] - pose[0], points[way.index, 1] - pose[1]) > _OFF_PATH
        if not self._careful:
            return [np.empty((0, 3))] if lost else []
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
        points, _ = self._layer.in_map(pose)
        near = points[self._layer.alert == STANDING]
        return np.column_stack([near, np.full(len(near), _BERTH)])

    def _detour_limit(self, time: float) -> float:
        """Return how much more than the present way a detour may cost [m]: more, the longer the robot is held up."""
        if self._way is None:
            return math.inf
        blocked = self._trouble.blocked_since
        return _DETOUR + (0.0 if blocked is None else _DETOUR_PER_SECOND * (time - blocked))

    def _oncoming(self, pose: FloatArray) -> FloatArray:
        """Return x, y, radius (N, 3) [m] of the ways ahead of those who come towards the robot."""
        movers = self._layer.movers(pose)
        out = []
        for x, y, vx, vy, size in movers:
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
        return np.array(out) if out else np.empty((0, 3))

    def _on_way(self, way: _Way, obstacles: FloatArray) -> bool:
        """Whether any of the obstacles (N, 3) x, y, radius [m] lies on the next few metres of the path."""
        if len(obstacles) == 0:
            return False
        arc = way.path.arc
        last = int(np.searchsorted(arc, arc[way.index] + _LOOK))
        ahead = way.path.points[way.index + 3 : last + 1 : 2]
        if len(ahead) == 0:
            return False
        gap = ahead[:, None, :] - obstacles[None, :, :2]
        return float(np.min(np.hypot(gap[..., 0], gap[..., 1]) - obstacles[:, 2])) < self._planner.hard - 0.03

    def _plan(self, pose: FloatArray, goal: FloatArray, obstacles: FloatArray, time: float, limit: float) -> bool:
        """Plan around obstacles (N, 3) and take that way, unless it costs over ``limit`` [m] more than the present one.

        Returns whether it was taken.
        """
        clearance = None
        if len(obstacles):
            clearance = with_obstacles(self._nav, obstacles, self._planner.soft + 0.2)
        path = plan_path(self._nav, pose, goal, self._planner, clearance=clearance)
        if path is None:
            return False
        way = self._way
        if way is not None:
            left = 1.0 - way.path.arc[way.index] / max(way.path.length, 1e-6)
            if path.cost - left * way.path.cost > limit:
                return False
        self._way = _Way(path, speed_profile(path, self._pursuit), made=time)
        return True

    def _drive(self, pose: FloatArray, observation: Observation, time: float) -> tuple[float, float]:
        way = self._way
        assert way is not None
        speed = float(observation.velocity[0])
        v, omega, way.turning = pursue(
            way.path.points,
            way.path.arc,
            way.limit,
            way.index,
            pose[0],
            pose[1],
            pose[2],
            speed,
            way.turning,
            self._pursuit_array,
        )
        if not self._careful:
            return v, omega
        if way.turning:
            command = self._guard_turn(pose, omega)
        else:
            command = self._guard_drive(pose, speed, float(observation.velocity[1]), v, omega)
        moving = abs(command[0]) >= 0.9 * _CREEP or abs(command[1]) > 0.05
        if moving:
            self._note_progress(pose, time)
            return command
        return (0.0, 0.0) if self._gives_way(pose, time) else self._held_up(pose, time)

    def _guard_drive(self, pose: FloatArray, speed: float, spin: float, v: float, omega: float) -> tuple[float, float]:
        """Return the fastest share of the command that is safe; a braking one or (0, 0) if none is."""
        way, safe = self._way, self._safety
        assert way is not None
        points, velocity = self._layer.in_map(pose)
        if len(points) == 0:
            return v, omega
        common = (way.path.points, way.path.arc, way.limit, way.index, pose, max(speed, 0.0), spin)
        moving = bool(np.any(velocity != 0.0))
        ceiling = min(v, max(self._zone_limit(pose, points), _CREEP))
        for scale in _SCALES:
            top = ceiling * scale
            if top < _LEAST_SPEED and scale < 1.0:
                break
            stop = rollout(*common, top, safe.reaction, safe.deceleration, PERIOD, 40, self._pursuit_array)
            if self._hits(stop, points, velocity):
                continue
            if moving:
                steps = round(safe.horizon / PERIOD)
                on = rollout(*common, top, math.inf, safe.deceleration, PERIOD, steps, self._pursuit_array)
                if self._hits(on, points, velocity):
                    continue
            self._alarms = 0
            # Speed up no faster than the drive follows: the command is then what the robot really does.
            top = min(top, max(speed, 0.0) + 0.35 * self._pursuit.acceleration)
            return top, omega * top / v if v > 0 else omega
        # Brake: gently where that is enough, or for the first step (it may be a false alarm), else as hard as possible.
        gentle = speed - safe.deceleration * (self._period + 0.1)
        stop = rollout(*common, max(gentle, 0.0), 0.0, safe.deceleration, PERIOD, 40, self._pursuit_array)
        self._alarms = self._alarms + 1 if self._hits(stop, points, velocity) else 0
        if gentle < _LEAST_SPEED or v <= 0 or self._alarms > 1:
            return 0.0, 0.0
        return gentle, omega * gentle / v

    def _zone_limit(self, pose: FloatArray, points: FloatArray) -> float:
        """Return the speed permitted by what is near and may be a person [m/s]."""
        safe, layer = self._safety, self._layer
        limit = math.inf
        for approach in (WALKING, STANDING):
            people = layer.alert == approach
            if np.any(people):
                distance = self._nearest(pose, points, people)
                limit = min(limit, separation_speed(distance, approach, safe))
                # Down to passing speed by the edge of the person's zone.
                room = max(0.0, distance - 0.55)
                limit = min(limit, math.sqrt(safe.passing_speed**2 + 2.0 * safe.deceleration * room))
        people = (layer.girth >= PERSON_GIRTH) & (layer.alert == 0.0)
        if np.any(people):
            # Outside the zone, as fast as can be braked to its speed before the edge.
            room = max(0.0, self._nearest(pose, points, people) - safe.zone)
            limit = min(limit, math.sqrt(safe.zone_speed**2 + 2.0 * safe.deceleration * room))
        return limit

    def _nearest(self, pose: FloatArray, points: FloatArray, chosen: NDArray[np.bool_]) -> float:
        safe = self._safety
        return nearest(pose, points[chosen], self._layer.girth[chosen], safe.half_length, safe.half_width)

    def _hits(self, motion: FloatArray, points: FloatArray, velocity: FloatArray) -> bool:
        safe = self._safety
        hit = first_hit(
            motion,
            PERIOD,
            points,
            velocity,
            self._layer.girth,
            safe.half_length,
            safe.half_width,
            safe.front,
            safe.side,
            safe.mover,
            safe.mover_growth,
            safe.from_behind,
        )
        return hit >= 0

    def _guard_turn(self, pose: FloatArray, omega: float) -> tuple[float, float]:
        """Turn on the spot as asked if there is room, the other way round if only that has room, or not at all."""
        if not self._careful or omega == 0.0:
            return 0.0, omega
        if self._motion_free(pose, 0.0, omega, 0.4):
            return 0.0, omega
        slow = math.copysign(min(abs(omega), 0.3), omega)
        return (0.0, slow) if self._motion_free(pose, 0.0, slow, 0.2) else (0.0, 0.0)

    def _motion_free(self, pose: FloatArray, v: float, omega: float, duration: float) -> bool:
        safe = self._safety
        points, velocity = self._layer.in_map(pose)
        motion = arc_rollout(pose, v, omega, duration, safe.deceleration, safe.yaw_deceleration, PERIOD, 60)
        margin = safe.turn if v == 0.0 else safe.side
        front = safe.turn if v == 0.0 else 0.1
        hit = first_hit(
            motion,
            PERIOD,
            points,
            velocity,
            self._layer.girth,
            safe.half_length,
            safe.half_width,
            front,
            margin,
            safe.mover,
            safe.mover_growth,
            math.inf,
        )
        return hit < 0

    def _note_progress(self, pose: FloatArray, time: float) -> None:
        """Being held up ends once the robot has really come on, not at the first twitch."""
        trouble = self._trouble
        gone = math.hypot(pose[0] - trouble.moved_from[0], pose[1] - trouble.moved_from[1])
        if gone > 0.5 or abs(float(wrap_angle(pose[2] - trouble.moved_from[2]))) > 0.6:
            trouble.moved_from = pose.copy()
            trouble.progress_time = time
            trouble.since = None
            trouble.planned = False
            if gone > 0.5:
                trouble.attempts = max(0, trouble.attempts - 1)
                trouble.blocked_since = None

    def _gives_way(self, pose: FloatArray, time: float) -> bool:
        """Whether the robot stands because of somebody near by who walks; not for ever."""
        points, _ = self._layer.in_map(pose)
        person = self._layer.alert > 0.0
        near = bool(np.any(person)) and self._nearest(pose, points, person) < 1.0
        trouble = self._trouble
        if not near:
            trouble.standing_for = None
            return False
        if trouble.standing_for is None:
            trouble.standing_for = time
        return time - trouble.standing_for < _GIVE_WAY

    def _held_up(self, pose: FloatArray, time: float) -> tuple[float, float]:
        """Stand and wait; when patience ends, plan around everything in sight, then back out."""
        trouble = self._trouble
        if trouble.since is None:
            trouble.since = time
            trouble.moved_from = pose.copy()
        if trouble.blocked_since is None:
            trouble.blocked_since = time
        if time - trouble.since < trouble.patience:
            return 0.0, 0.0
        trouble.since = None
        trouble.patience = float(self._random.uniform(1.0, 2.0 + min(trouble.attempts, 4)))
        assert self._goal is not None
        if not trouble.planned:
            # First, around all that is seen, as if what moves would stay where it is.
            points, _ = self._layer.in_map(pose)
            seen = np.column_stack([points, self._layer.girth])[self._layer.unknown]
            obstacles = np.concatenate([self._layer.staying(), seen])
            trouble.planned = self._plan(pose, self._goal, obstacles, time, self._detour_limit(time))
            self._last_plan = time
            if trouble.planned or time - trouble.blocked_since < _BACK_OUT:
                return 0.0, 0.0
        trouble.planned = False
        trouble.attempts += 1
        escape = self._best_escape(pose)
        if escape is not None:
            trouble.escape = escape
            trouble.escape_until = time + float(self._random.uniform(1.2, 3.0))
            trouble.wait_until = trouble.escape_until + float(self._random.uniform(0.0, 2.5))
        return 0.0, 0.0

    def _best_escape(self, pose: FloatArray) -> tuple[float, float] | None:
        """Return the motion that leaves most room about the robot; None if there is no room for any."""
        points, _ = self._layer.in_map(pose)
        best, most = None, 0.0
        for v, omega in _ESCAPES:
            if not self._motion_free(pose, v, omega, 1.2):
                continue
            end = arc_rollout(pose, v, omega, 1.2, 1.0, 2.0, PERIOD, 30)[-1]
            room = nearest(end[:3], points, self._layer.girth, self._safety.half_length, self._safety.half_width)
            room = min(room, float(self._nav.clearance_at(end[None, :2])[0]))
            if v < 0:
                room += 0.15
            if room > most + 1e-6:
                best, most = (v, omega), room
        return best

    def _manoeuvre(self, pose: FloatArray, time: float) -> tuple[float, float] | None:
        """Go on with backing out and the wait after it; None when there is neither."""
        trouble = self._trouble
        if trouble.escape is not None:
            if time < trouble.escape_until and self._motion_free(pose, *trouble.escape, 0.3):
                points, _ = self._layer.in_map(pose)
                limit = max(self._zone_limit(pose, points), _CREEP) if len(points) else math.inf
                v, omega = trouble.escape
                share = min(1.0, limit / abs(v)) if v != 0.0 else 1.0
                return share * v, share * omega
            trouble.escape = None
            self._way = None
            self._last_plan = -math.inf
            return 0.0, 0.0
        if time < trouble.wait_until:
            return 0.0, 0.0
        return None
