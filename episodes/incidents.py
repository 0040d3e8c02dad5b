"""Incidents that are read off an episode's trajectories once it is over: near misses, emergency stops, being stuck."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import wrap_angle
from .record import Event, EventKind
from .routes import FloatArray

NEAR_MISS_DISTANCE = 0.3
"""Nearer to a person than this [m] while driving faster than ``NEAR_MISS_SPEED`` is a near miss."""
NEAR_MISS_SPEED = 0.3
"""[m/s]"""
NEAR_MISS_REARM = 0.6
"""A new near miss counts once the person was farther away than this [m]."""
STOP_FROM_SPEED = 0.4
"""An emergency stop is a command to stand (below 0.02 m/s) at more than this speed [m/s] ..."""
STOP_GOAL_DISTANCE = 1.0
"""... farther than this [m] from the goal."""
STUCK_TIME, STUCK_DISTANCE, STUCK_TURN = 10.0, 0.25, 0.5
"""Stuck is who moved less than this [m, rad] over this time [s] with one goal."""
STUCK_REARM = 5.0
"""Being stuck again counts anew after this time [s] of progress."""


def find_incidents(
    time: FloatArray,
    pose: FloatArray,
    velocity: FloatArray,
    command: FloatArray,
    goal: FloatArray,
    person_distance: FloatArray,
    period: float,
) -> list[Event]:
    """Return the near_miss, estop and stuck events of all robots, arrays as in ``EpisodeRecord``."""
    finder = IncidentFinder(pose.shape[1], period)
    return finder.find(time, pose, velocity, command, goal, person_distance)


class IncidentFinder:
    """Finds near_miss, estop and stuck events in an episode that is told part by part.

    Args:
        robots: how many. period: between two rows [s].
    """

    def __init__(self, robots: int, period: float) -> None:
        self._window = max(1, round(STUCK_TIME / period))
        self._rearm = max(1, round(STUCK_REARM / period))
        self.overlap = self._window + self._rearm + 2
        """Rows of the part before that must come along."""
        self._ready = [[True] * robots for _ in range(3)]

    def find(
        self,
        time: FloatArray,
        pose: FloatArray,
        velocity: FloatArray,
        command: FloatArray,
        goal: FloatArray,
        person_distance: FloatArray,
        first: int = 0,
    ) -> list[Event]:
        """Return what happened in the rows from ``first`` on, arrays as in ``EpisodeRecord``.

        Rows before ``first`` were told before: ``overlap`` of them, or all that there were.
        """
        events: list[Event] = []
        for robot in range(pose.shape[1]):
            place = pose[:, robot]
            speed = np.abs(velocity[:, robot, 0])
            gap = person_distance[:, robot]
            left = np.hypot(*(goal[:, robot, :2] - place[:, :2]).T)
            asked = command[:, robot, 0]
            stops = (np.abs(asked) < 0.02) & (speed > STOP_FROM_SPEED) & (left > STOP_GOAL_DISTANCE)
            held = _is_stuck(place, goal[:, robot], self._window)
            spells: tuple[tuple[EventKind, NDArray[np.bool_], NDArray[np.bool_]], ...] = (
                ("near_miss", (gap < NEAR_MISS_DISTANCE) & (speed > NEAR_MISS_SPEED), gap > NEAR_MISS_REARM),
                ("estop", stops, np.abs(asked) > 0.1),
                ("stuck", held, _quiet(held, self._rearm)),
            )
            for number, (kind, active, rearm) in enumerate(spells):
                found, self._ready[number][robot] = _rising(active, rearm, first, self._ready[number][robot])
                for k in found:
                    events.append(
                        Event(
                            float(time[k]),
                            kind,
                            robot,
                            other="person" if kind == "near_miss" else "",
                            value=float(speed[k]),
                            position=(float(place[k, 0]), float(place[k, 1])),
                        )
                    )
        return events


def _quiet(active: NDArray[np.bool_], steps: int) -> NDArray[np.bool_]:
    """Return where nothing was active for that many steps."""
    count = np.concatenate([np.zeros(steps + 1, dtype=np.int64), np.cumsum(active)])
    return np.asarray(count[steps + 1 :] == count[: len(active)])


def _rising(active: NDArray[np.bool_], rearm: NDArray[np.bool_], first: int, ready: bool) -> tuple[list[int], bool]:
    """Return the rows from ``first`` on where spells begin: active, and ``rearm`` at some time since the spell before.

    ``ready`` says whether there was no spell yet, or ``rearm`` since; the second answer is the same at the end.
    """
    found = []
    for k in (first + np.flatnonzero(active[first:] | rearm[first:])).tolist():
        if active[k]:
            if ready:
                found.append(k)
            ready = False
        else:
            ready = True
    return found, ready


def _is_stuck(place: FloatArray, goal: FloatArray, window: int) -> NDArray[np.bool_]:
    stuck = np.zeros(len(place), dtype=np.bool_)
    if len(place) <= window:
        return stuck
    # Steps since the goal last changed or was absent.
    same = np.concatenate([[False], np.all(goal[1:] == goal[:-1], axis=1)])
    rows = np.arange(len(place))
    since = rows - np.maximum.accumulate(np.where(same, 0, rows))
    moved = np.hypot(*(place[window:, :2] - place[:-window, :2]).T)
    turned = np.abs(wrap_angle(place[window:, 2] - place[:-window, 2]))
    stuck[window:] = (since[window:] >= window) & (moved < STUCK_DISTANCE) & (turned < STUCK_TURN)
    return stuck
