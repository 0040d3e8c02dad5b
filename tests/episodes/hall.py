"""Small halls and policies that the episode tests share."""

import math

import numpy as np

from floorcast.episodes.scenario import Scenario, load_scenario
from floorcast.layouts.model import Layout, Station, Wall

SMALL = load_scenario("small")


def empty_hall(length=14.0, width=8.0, stations=None):
    """A bare hall with walls and two stations."""
    stations = stations or (
        Station(id="P1", x=4.0, y=4.0, yaw=0.0, kind="pick"),
        Station(id="D1", x=10.0, y=4.0, yaw=0.0, kind="drop"),
    )
    corners = [(0.0, 0.0), (length, 0.0), (length, width), (0.0, width)]
    walls = tuple(Wall(id=f"W{i}", start=corners[i], end=corners[(i + 1) % 4]) for i in range(4))
    return Layout(name="bare", length=length, width=width, walls=walls, stations=stations)


def quick(duration=4.0, frames=2, people=1, robots=1, layout=None, **changes):
    """A scenario of a few seconds in a bare hall, tiny sensors."""
    return Scenario.model_validate(
        {
            "name": "quick",
            "duration": duration,
            "layout": {"fixed": (layout or empty_hall()).model_dump()},
            "robots": {"count": {"distribution": "constant", "value": robots, "unit": "1"}},
            "people": {"count": {"distribution": "constant", "value": people, "unit": "1"}},
            "tasks": {"dwell": {"distribution": "constant", "value": 0.2, "unit": "s"}},
            "sensors": {"lidar": {"beams": 36}, "camera": {"width": 32, "height": 24}},
            "capture": {"frames": frames},
            **changes,
        }
    )


class Steer:
    """Turns towards the goal, drives there, turns to its yaw; sees nothing."""

    def reset(self, info):
        self.info = info

    def act(self, observation):
        if observation.goal is None:
            return 0.0, 0.0
        dx, dy = observation.goal[:2] - observation.pose[:2]
        away = math.hypot(dx, dy)
        wanted = math.atan2(dy, dx) if away > 0.1 else observation.goal[2]
        turn = (wanted - observation.pose[2] + math.pi) % (2 * math.pi) - math.pi
        speed = min(1.0, away) if away > 0.1 and abs(turn) < 0.3 else 0.0
        return speed, float(np.clip(2.0 * turn, -1.5, 1.5))


class Still:
    """Does nothing."""

    def reset(self, info):
        self.info = info

    def act(self, observation):
        return 0.0, 0.0
