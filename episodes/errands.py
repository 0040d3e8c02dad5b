"""What the robots of an episode are to do, robot by robot: goals for them, events and results of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .record import Event, FloorResult, TaskResult
from .routes import FloatArray
from .tasks import Task, TaskTracker


class Errands(Protocol):
    """Who tells the robots where to go."""

    @property
    def done(self) -> bool:
        """Whether nothing is left to do."""
        ...

    @property
    def carrying(self) -> NDArray[np.bool_]:
        """(R,) whether a robot has a load on board."""
        ...

    def goal(self, robot: int) -> FloatArray | None:
        """Return the pose (3,) to drive to; None while a robot is loaded and when it has nothing to do."""
        ...

    def holds(self, robot: int) -> bool:
        """Return whether a robot is held where it stands, by its brakes, and its policy is not asked."""
        ...

    def payload(self, robot: int) -> float:
        """Return the load on board [kg]."""
        ...

    def open(self, robot: int) -> bool:
        """Return whether a robot still has work that it should have done by the end of the episode."""
        ...

    def advance(
        self, time: float, period: float, pose: FloatArray, velocity: FloatArray, closed: Sequence[str] = ()
    ) -> list[Event]:
        """Take note of where the robots are at ``time`` [s], ``period`` [s] after the last call; returns what happened.

        Args:
            pose: (R, 3) true x, y [m], yaw [rad]. velocity: (R, 2) true v [m/s], omega [rad/s].
            closed: ids of stations that load and unload nobody now.
        """
        ...

    def results(self) -> list[TaskResult]:
        """Return finished and unfinished tasks."""
        ...

    def floor(self) -> FloorResult | None:
        """Return orders and stock as they stand; None where there are none."""
        ...

    def again(self, pose: FloatArray) -> Errands:
        """Return the same work once more, to be done from poses (R, 3); for what goes on after the record."""
        ...


class FixedErrands:
    """Lists of tasks that were given out before the episode began.

    Args:
        tasks: of each robot, in order.
        tolerance: distance [m] and angle [rad] at which a goal counts as reached, judged on the true pose.
        pose: (R, 3) where the robots begin.
    """

    def __init__(self, tasks: Sequence[Sequence[Task]], tolerance: tuple[float, float], pose: FloatArray) -> None:
        self._tasks, self._tolerance = tasks, tolerance
        self._trackers = [TaskTracker(r, mine, tolerance, pose[r]) for r, mine in enumerate(tasks)]

    @property
    def done(self) -> bool:
        """Whether every task of every robot is finished."""
        return all(tracker.done for tracker in self._trackers)

    @property
    def carrying(self) -> NDArray[np.bool_]:
        """(R,) whether a robot has its load on board."""
        return np.array([tracker.carrying for tracker in self._trackers], dtype=np.bool_)

    def goal(self, robot: int) -> FloatArray | None:
        """Return the pose (3,) of the station to go to; None while loading and when nothing is left to do."""
        return self._trackers[robot].goal

    def holds(self, robot: int) -> bool:
        """Return False: policies are asked at every control step."""
        return False

    def payload(self, robot: int) -> float:
        """Return the load on board [kg]."""
        return self._trackers[robot].payload

    def open(self, robot: int) -> bool:
        """Return whether a robot has tasks left."""
        return not self._trackers[robot].done

    def advance(
        self, time: float, period: float, pose: FloatArray, velocity: FloatArray, closed: Sequence[str] = ()
    ) -> list[Event]:
        """Follow every robot; see ``Errands``."""
        events: list[Event] = []
        for r, tracker in enumerate(self._trackers):
            serves = not closed or tracker.station not in closed
            events += tracker.advance(time, period, pose[r], velocity[r], serves=serves)
        return events

    def results(self) -> list[TaskResult]:
        """Return finished and unfinished tasks, robot by robot."""
        return [result for tracker in self._trackers for result in (*tracker.results, *tracker.unfinished())]

    def floor(self) -> None:
        """Return None: there are no orders."""

    def again(self, pose: FloatArray) -> FixedErrands:
        """Return the same tasks anew, from poses (R, 3)."""
        return FixedErrands(self._tasks, self._tolerance, pose)
