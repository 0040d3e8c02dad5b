"""Incidents that are read off an episode's trajectories once it is over: near misses, emergency stops, being stuck."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import wrap_angle
from .record import Event
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
    events: list[Event] = []
    for robot in range(pose.shape[1]):
        place = pose[:, robot]
        speed = np.abs(velocity[:, robot, 0])
        gap = person_distance[:, robot]
        near = _rising((gap < NEAR_MISS_DISTANCE) & (speed > NEAR_MISS_SPEED), gap > NEAR_MISS_REARM)
        left = np.hypot(*(goal[:, robot, :2] - place[:, :2]).T)
        asked = command[:, robot, 0]
        stops = (np.abs(asked) < 0.02) & (speed > STOP_FROM_SPEED) & (left > STOP_GOAL_DISTANCE)
        halted = _rising(stops, np.abs(asked) > 0.1)
        held = _is_stuck(place, goal[:, robot], max(1, round(STUCK_TIME / period)))
        stuck = _rising(held, _quiet(held, max(1, round(STUCK_REARM / period))))
        for kind, steps in (("near_miss", near), ("estop", halted), ("stuck", stuck)):
            for k in steps:
                events.append(
                    Event(
                        float(time[k]),
                        kind,  # type: ignore[arg-type]
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


def _rising(active: NDArray[np.bool_], rearm: NDArray[np.bool_]) -> list[int]:
    """Return where spells begin: active, and ``rearm`` at some time since the spell before."""
    ready, found = True, []
    for k in range(len(active)):
        if active[k] and ready:
            found.append(k)
            ready = False
        elif rearm[k] and not active[k]:
            ready = True
    return found


def _is_stuck(place: FloatArray, goal: FloatArray, window: int) -> NDArray[np.bool_]:
    stuck = np.zeros(len(place), dtype=np.bool_)
    if len(place) <= window:
        return stuck
    # Steps since the goal last changed or was absent.
    same = np.concatenate([[False], np.all(goal[1:] == goal[:-1], axis=1)])
    since = np.zeros(len(place), dtype=np.int64)
    for k in range(1, len(place)):
        since[k] = since[k - 1] + 1 if same[k] else 0
    moved = np.hypot(*(place[window:, :2] - place[:-window, :2]).T)
    turned = np.abs(wrap_angle(place[window:, 2] - place[:-window, 2]))
    stuck[window:] = (since[window:] >= window) & (moved < STUCK_DISTANCE) & (turned < STUCK_TURN)
    return stuck
