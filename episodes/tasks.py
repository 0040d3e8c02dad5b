"""Pick-and-drop tasks: who drives where, and how far each task has come."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..common.errors import InputError
from ..layouts.model import Layout, Station
from ..robots.model import RobotModel
from .randomization import SampledTask
from .record import Event, TaskResult
from .routes import DistanceField, FieldStore, FloatArray, Ground, path_length

STANDING_SPEED = 0.05
"""A robot stands below this speed [m/s] and four times as much yaw rate [rad/s]: only then a goal counts as reached."""
TURNS_AT_STATIONS = 0.75
"""Radius [m] up to which robots turn on the spot at stations, which are made for them."""
SHORT_OF = 2.0
"""So far from a station [m] a longer robot may stop, with its nose towards it."""
ROOM = 0.2
"""And so much is left around its body there [m]."""
START_SPACING = 2.0
"""Robots start at least this far apart [m], if there is room."""


@dataclass(frozen=True)
class Task:
    """Fetch from one station, bring to another.

    Attributes:
        pick, drop: the stations.
        drawn: payload and times.
        shortest: length of the shortest way from where the robot is when it begins, by way of pick to drop [m].
    """

    pick: Station
    drop: Station
    drawn: SampledTask
    shortest: float


@dataclass(frozen=True)
class Assignment:
    """What all robots have to do.

    Attributes:
        start: (R, 3) float64 x, y [m], yaw [rad] where the robots begin.
        tasks: for each robot, in order.
        routes: the shortest ways, (K, 2) float64 [m] each, two for each task: to the pick station, to the drop station.
    """

    start: FloatArray
    tasks: tuple[tuple[Task, ...], ...]
    routes: tuple[FloatArray, ...]


def assign_tasks(
    layout: Layout,
    grounds: Sequence[Ground],
    models: Sequence[RobotModel],
    drawn: Sequence[Sequence[SampledTask]],
    rng: np.random.Generator,
    fields: FieldStore | None = None,
) -> Assignment:
    """Choose starts and stations for every robot.

    Stations go round: two robots share one only if there are fewer stations than tasks. A robot is not sent where it
    has no place to stand (see ``standing_place``), unless there is no other.

    Args:
        layout: the hall.
        grounds: where each robot's centre may be; robots of one size share one.
        models: for the radius of each robot.
        drawn: the tasks of each robot.
        rng: draws starts and stations.
        fields: where distances in this hall are kept.

    Raises:
        InputError: the hall has no two stations that a robot can reach from each other, or no room to start.
    """
    store = FieldStore() if fields is None else fields
    known = {id(ground): _Planner(layout, ground, store) for ground in grounds}
    planners = [known[id(ground)] for ground in grounds]
    places = {key: planner.stations() for key, planner in known.items()}
    mine_of = [_fitting(places[id(ground)], ground, model) for ground, model in zip(grounds, models, strict=True)]
    wanted_ids = [{s.id for of in places.values() for s in of[k]} for k in range(2)]
    picks, drops = ([s for s in layout.stations if s.id in ids] for ids in wanted_ids)
    start = _starts(grounds, models, planners, [of[0][0] for of in mine_of], rng)
    pick_order, drop_order = rng.permutation(len(picks)), rng.permutation(len(drops))
    routes: list[FloatArray] = []
    tasks: list[tuple[Task, ...]] = []
    number = 0
    for robot, wanted in enumerate(drawn):
        here = start[robot, :2]
        mine = []
        for item in wanted:
            pick = _next(picks, pick_order, number, mine_of[robot][0])
            drop = _next(drops, drop_order, number, [s for s in mine_of[robot][1] if s.id != pick.id])
            number += 1
            pick, drop = (standing_place(s, grounds[robot], models[robot]) or s for s in (pick, drop))
            to_pick = planners[robot].route(here, pick)
            to_drop = planners[robot].route(np.array([pick.x, pick.y]), drop)
            routes.extend((to_pick, to_drop))
            mine.append(Task(pick, drop, item, path_length(to_pick) + path_length(to_drop)))
            here = np.array([drop.x, drop.y])
        tasks.append(tuple(mine))
    return Assignment(start, tuple(tasks), tuple(routes))


class _Planner:
    """Distance fields to stations, computed once each."""

    def __init__(self, layout: Layout, ground: Ground, store: FieldStore) -> None:
        self._layout, self._ground, self._store = layout, ground, store
        self._fields: dict[str, DistanceField] = {}

    def field(self, station: Station) -> DistanceField:
        """Return the distances to a station."""
        if station.id not in self._fields:
            self._fields[station.id] = self._store.field(self._ground, np.array([station.x, station.y]))
        return self._fields[station.id]

    def route(self, start: FloatArray, station: Station) -> FloatArray:
        """Return the shortest way to a station."""
        path = self.field(station).path(start, np.array([station.x, station.y]))
        if path is None:
            raise InputError(
                f"station '{station.id}' cannot be reached by the robot from ({start[0]:.2f}, {start[1]:.2f})",
                where=f"layout '{self._layout.name}'",
                mend="move the station or widen the way to it",
            )
        return path

    def stations(self) -> tuple[list[Station], list[Station]]:
        """Return the stations to pick from and to drop at that hang together with the first of them."""
        reachable = [s for s in self._layout.stations if self._ground.nearest_free(np.array([s.x, s.y])) is not None]
        for anchor in reachable:
            field = self.field(anchor).all()
            together = [s for s in reachable if _distance(self._ground, field, s) < math.inf]
            picks = [s for s in together if s.kind == "pick"] or together
            drops = [s for s in together if s.kind != "pick"] or together
            if len({s.id for s in (*picks, *drops)}) >= 2:
                return picks, drops
        raise InputError(
            "the hall has no two stations that a robot can drive between",
            where=f"layout '{self._layout.name}', stations",
            mend="add a 'pick' and a 'drop' station that can be reached from each other",
        )


def standing_place(station: Station, ground: Ground, model: RobotModel) -> Station | None:
    """Return a station where a robot stands to use it; None if its body would stand in something.

    Robots that can turn at stations stand right at it. A longer one that would not fit stops short of it, farther back
    along its direction by up to ``SHORT_OF``.
    """
    if model.radius <= TURNS_AT_STATIONS:
        return station
    half_width = 0.5 * model.width
    reach = max(0.5 * model.length - half_width, 0.0)
    along = np.linspace(-reach, reach, 2 + math.ceil(2.0 * reach / half_width))
    direction = np.array([math.cos(station.yaw), math.sin(station.yaw)])
    for back in np.arange(0.0, SHORT_OF, 0.05).tolist():
        places = np.array([station.x, station.y]) + (along[:, None] - back) * direction
        if min(float(ground.clearance[ground.cell(place)]) for place in places) >= half_width + ROOM:
            x, y = (float(v) for v in np.array([station.x, station.y]) - back * direction)
            return station if back == 0.0 else station.model_copy(update={"x": x, "y": y})
    return None


def _fitting(
    places: tuple[list[Station], list[Station]], ground: Ground, model: RobotModel
) -> tuple[list[Station], list[Station]]:
    """Return the stations, to pick from and to drop at, that a robot has a place at; all if that leaves none."""
    picks, drops = ([s for s in kind if standing_place(s, ground, model) is not None] for kind in places)
    if not picks or not drops or len({station.id for station in (*picks, *drops)}) < 2:
        return places
    return picks, drops


def _distance(ground: Ground, field: FloatArray, station: Station) -> float:
    cell = ground.nearest_free(np.array([station.x, station.y]))
    return math.inf if cell is None else float(field[cell])


def _next(stations: Sequence[Station], order: np.ndarray, number: int, allowed: Sequence[Station]) -> Station:
    """Return the station whose turn it is among those allowed."""
    ids = {station.id for station in allowed}
    turns = (stations[int(order[(number + k) % len(stations)])] for k in range(len(stations)))
    return next(station for station in turns if station.id in ids)


def _starts(
    grounds: Sequence[Ground],
    models: Sequence[RobotModel],
    planners: Sequence[_Planner],
    anchors: Sequence[Station],
    rng: np.random.Generator,
) -> FloatArray:
    """Draw where robots begin: anywhere that they can turn, apart from each other and connected to the stations."""
    poses: list[FloatArray] = []
    largest = 0.0
    rooms: dict[tuple[int, float], tuple[np.ndarray, ...]] = {}
    for ground, model, planner, anchor in zip(grounds, models, planners, anchors, strict=True):
        size = (id(ground), model.radius)
        if size not in rooms:
            room = np.isfinite(planner.field(anchor).all()) & (ground.clearance > model.radius + 0.15)
            rooms[size] = np.nonzero(room)
        rows, columns = rooms[size]
        if len(rows) == 0:
            raise InputError(
                f"the hall has no room for a robot '{model.name}' to start",
                mend="widen the aisles or use a smaller robot",
            )
        candidates = [int(i) for i in rng.integers(len(rows), size=64)]
        points = np.array([ground.centre(int(rows[i]), int(columns[i])) for i in candidates])
        taken = np.array([pose[:2] for pose in poses]).reshape(-1, 2)
        gaps = np.hypot(*(points[:, None] - taken).T).min(axis=0, initial=math.inf).tolist()
        best = next((k for k, gap in enumerate(gaps) if gap >= START_SPACING), int(np.argmax(gaps)))
        largest = max(largest, model.radius)
        if gaps[best] < model.radius + largest:
            raise InputError(
                f"the hall has no room for {len(models)} robots to start",
                mend="lower robots.count or give a larger hall",
            )
        poses.append(np.array([*points[best], float(rng.uniform(-math.pi, math.pi))]))
    return np.array(poses)


class TaskTracker:
    """Follows one robot through its tasks: to the pick station, load, to the drop station, unload, next.

    Args:
        robot: its index.
        tasks: what to do.
        tolerance: distance [m] and angle [rad] that count as reached, judged on the true pose.
        start: (2,) where the robot begins [m].
    """

    def __init__(self, robot: int, tasks: Sequence[Task], tolerance: tuple[float, float], start: FloatArray) -> None:
        self._robot, self._tasks, self._tolerance = robot, tasks, tolerance
        self._current = 0
        self._to_drop = False
        self._dwelled = 0.0
        self._dwelling = False
        self._start_time, self._pick_time, self._driven = 0.0, math.nan, 0.0
        self._last = np.asarray(start[:2], dtype=np.float64).copy()
        self.carrying = False
        self.results: list[TaskResult] = []

    @property
    def done(self) -> bool:
        """Whether every task is finished."""
        return self._current >= len(self._tasks)

    @property
    def payload(self) -> float:
        """Load on board [kg]."""
        return self._tasks[self._current].drawn.payload if self.carrying else 0.0

    @property
    def goal(self) -> FloatArray | None:
        """Pose (3,) to drive to; None while loading and when nothing is left to do."""
        return None if self.done or self._dwelling else self._target()

    @property
    def station(self) -> str:
        """Id of the station that the robot is to go to, or is at; "" when nothing is left to do."""
        return "" if self.done else self._station().id

    def advance(
        self, time: float, dt: float, pose: FloatArray, velocity: FloatArray, *, serves: bool = True
    ) -> list[Event]:
        """Take note of where the robot is now.

        Args:
            time: now [s].
            dt: since the last call [s].
            pose: (3,) true x, y [m], yaw [rad]; velocity: (2,) true v [m/s], omega [rad/s].
            serves: whether the station loads and unloads now; if not, time there does not count.

        Returns:
            goal_reached, pick and drop events of this moment.
        """
        self._driven += float(math.hypot(pose[0] - self._last[0], pose[1] - self._last[1]))
        self._last[:] = pose[:2]
        if self.done:
            return []
        standing = abs(velocity[0]) < STANDING_SPEED and abs(velocity[1]) < 4 * STANDING_SPEED
        if not (standing or self._dwelling):
            return []
        there = self._reached(pose)
        events: list[Event] = []
        position = (float(pose[0]), float(pose[1]))
        station = self._station()
        if not self._dwelling:
            if not (standing and there):
                return []
            self._dwelling, self._dwelled = True, 0.0
            events.append(Event(time, "goal_reached", self._robot, other_id=station.id, position=position))
        elif not there:
            # It drove off before it was loaded: the goal stands again.
            self._dwelling = False
            return []
        elif standing and serves:
            self._dwelled += dt
        task = self._tasks[self._current]
        needed = task.drawn.unload_time if self._to_drop else task.drawn.load_time
        if serves and self._dwelled + 1e-9 >= needed:
            events.append(
                Event(time, "drop" if self._to_drop else "pick", self._robot, other_id=station.id, position=position)
            )
            self._finish_stage(time)
        return events

    def unfinished(self) -> list[TaskResult]:
        """Return the results of what is still open: the current task and those never begun."""
        rows = []
        for k in range(self._current, len(self._tasks)):
            task, begun = self._tasks[k], k == self._current
            rows.append(
                TaskResult(
                    robot=self._robot,
                    pick_station=task.pick.id,
                    drop_station=task.drop.id,
                    start_time=self._start_time if begun else math.nan,
                    pick_time=self._pick_time if begun else math.nan,
                    end_time=math.nan,
                    path_length=self._driven if begun else 0.0,
                    shortest_length=task.shortest,
                    success=False,
                )
            )
        return rows

    def _finish_stage(self, time: float) -> None:
        task = self._tasks[self._current]
        self._dwelling = False
        if not self._to_drop:
            self._to_drop, self.carrying, self._pick_time = True, True, time
            return
        self.results.append(
            TaskResult(
                robot=self._robot,
                pick_station=task.pick.id,
                drop_station=task.drop.id,
                start_time=self._start_time,
                pick_time=self._pick_time,
                end_time=time,
                path_length=self._driven,
                shortest_length=task.shortest,
                success=True,
            )
        )
        self._current += 1
        self._to_drop, self.carrying = False, False
        self._start_time, self._pick_time, self._driven = time, math.nan, 0.0

    def _station(self) -> Station:
        task = self._tasks[self._current]
        return task.drop if self._to_drop else task.pick

    def _target(self) -> FloatArray:
        station = self._station()
        return np.array([station.x, station.y, station.yaw])

    def _reached(self, pose: FloatArray) -> bool:
        station = self._station()
        angle = (pose[2] - station.yaw + math.pi) % (2 * math.pi) - math.pi
        distance = math.hypot(pose[0] - station.x, pose[1] - station.y)
        return distance <= self._tolerance[0] and abs(angle) <= self._tolerance[1]
