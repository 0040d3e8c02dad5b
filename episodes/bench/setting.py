"""What the benchmark of episodes runs: its scenario, the scripted driver that both sides share, and what is written."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ...common.errors import FloorcastError
from ...common.seeding import generator
from ...layouts.recipe import LayoutRecipe
from ...perception.config import CameraConfig, LidarConfig
from ..distributions import Constant
from ..hall import Hall, hall_of
from ..policy import EpisodeInfo, Observation
from ..randomization import SampledScenario, sample_scenario
from ..routes import FieldStore
from ..scenario import (
    CaptureSettings,
    LayoutSource,
    PeopleRanges,
    RobotRanges,
    Scenario,
    SensorRanges,
    TaskRanges,
)
from ..tasks import Assignment, assign_tasks

FloatArray = NDArray[np.float64]

SECONDS = 30.0
CAMERA_RATE = 5.0
"""Pictures per second, all by robot 0 [Hz]."""
JPEG_QUALITY = 95

_SPEED, _TURN_RATE = 0.8, 1.2
_ROOM = 0.15
"""The routes keep so much more than a robot's circle away from everything, where they can [m]."""
_AHEAD = 0.6
"""The driver heads for the point of its route that it comes to after so much [m]."""
_FREE = 0.9
"""It waits while the lidar sees something that is not that far ahead [m] ..."""
_LANE = 0.5
"""... and no more to the side than that [m] ..."""
_PATIENCE = 2.0
"""... and after so long it drives its route the other way [s]."""


@dataclass(frozen=True)
class Case:
    """One kind of episode.

    Attributes:
        robots, people: how many. area: of the hall [m^2]. fill: share of the pallet positions that are taken.
        levels: of the racks. camera: width and height in pixels, or None for no pictures.
        fresh: whether each episode has a hall of its own; otherwise all have one. seed: of everything.
        seconds: of the episode.
    """

    robots: int = 8
    people: int = 4
    area: float = 1000.0
    fill: float = 0.8
    levels: int = 2
    camera: tuple[int, int] | None = None
    fresh: bool = False
    seed: int = 0
    seconds: float = SECONDS

    def scenario(self) -> Scenario:
        """Return it as a scenario; everything that is not said here is as scenarios have it by default."""
        width, height = self.camera or (64, 48)
        return Scenario(
            name="bench",
            duration=self.seconds,
            layout=LayoutSource(
                recipe=LayoutRecipe(area=self.area, fill=self.fill, levels=self.levels),
                variants=None if self.fresh else 1,
            ),
            robots=RobotRanges(count=Constant(value=self.robots, unit="1")),
            people=PeopleRanges(count=Constant(value=self.people, unit="1")),
            tasks=TaskRanges(per_robot=Constant(value=1, unit="1")),
            sensors=SensorRanges(
                lidar=LidarConfig(beams=360, range_max=25.0, rate=10.0), camera=CameraConfig(width=width, height=height)
            ),
            capture=CaptureSettings(frames=round(self.seconds * CAMERA_RATE) if self.camera else 0, robot=0),
        )


@dataclass(frozen=True)
class Plan:
    """An episode before its first step, as the loop itself draws it: hall, starts, and the routes that are driven."""

    sampled: SampledScenario
    hall: Hall
    assignment: Assignment
    routes: tuple[FloatArray, ...]


def plan_episode(scenario: Scenario, seed: int, index: int) -> Plan:
    """Return what the loop draws for an episode.

    The route (K, 2) [m] of each robot goes by its pick to its drop, as far from everything as a robot needs to turn
    where there is such a way.
    """
    sampled = sample_scenario(scenario, seed, index)
    hall, model = hall_of(sampled.layout), sampled.models[0]
    assignment = assign_tasks(
        sampled.layout,
        [hall.ground(0.5 * model.width)] * len(sampled.models),
        sampled.models,
        sampled.tasks,
        generator(seed, index, "tasks"),
        # Of its own: what the timed episode works out must not be ready before it begins.
        FieldStore(),
    )
    roomy, fields = hall.ground(model.radius + _ROOM), FieldStore()
    routes = []
    for robot, (task, *_) in enumerate(assignment.tasks):
        here, legs = assignment.start[robot, :2], []
        for number, station in enumerate((task.pick, task.drop)):
            target = np.array([station.x, station.y])
            leg = fields.field(roomy, target).path(here, target)
            legs.append(assignment.routes[2 * robot + number] if leg is None else leg)
            here = target
        routes.append(np.concatenate([legs[0], legs[1][1:]]))
    return Plan(sampled, hall, assignment, tuple(routes))


class ScriptedDriver:
    """Drives one robot to and fro on a route, and waits for what the lidar sees ahead; keeps the scans.

    The same object serves either side of a comparison. It is meant to be cheap: what is compared is not the policy.

    Args:
        route: (K, 2) corners [m] in ``map``.
    """

    def __init__(self, route: FloatArray) -> None:
        corners = [(float(x), float(y)) for x, y in route]
        self._route = [corners[0]]
        for (x0, y0), (x1, y1) in itertools.pairwise(corners):
            count = max(1, math.ceil(math.hypot(x1 - x0, y1 - y0) / 0.2))
            self._route += [(x0 + (x1 - x0) * k / count, y0 + (y1 - y0) * k / count) for k in range(1, count + 1)]
        self.scans: list[NDArray[np.float32]] = []
        """Every scan that was seen, (B,) each."""

    def reset(self, info: EpisodeInfo) -> None:
        """Start anew; see ``Policy.reset``."""
        beams = np.flatnonzero(np.abs(info.scan_angles) < 1.3)
        self._ahead = slice(int(beams[0]), int(beams[-1]) + 1)
        angles = info.scan_angles[self._ahead]
        # Where each beam leaves the lane ahead: what is nearer stands in it.
        side = _LANE / np.maximum(np.abs(np.sin(angles)), 1e-9)
        self._limit = np.minimum(side, _FREE / np.cos(angles)).astype(np.float32)
        self._at, self._way, self._since, self._seen, self._blocked = 0, 1, 0.0, -1.0, False
        self.scans.clear()

    def act(self, observation: Observation) -> tuple[float, float]:
        """Return v [m/s], omega [rad/s]; see ``Policy.act``."""
        if observation.scan_time != self._seen:
            self._seen = observation.scan_time
            self.scans.append(observation.scan)
            self._blocked = bool((observation.scan[self._ahead] < self._limit).any())
        x, y, yaw = observation.pose.tolist()
        route, end = self._route, len(self._route) - 1
        for _ in range(2 * end + 2):
            px, py = route[self._at]
            dx, dy = px - x, py - y
            if dx * dx + dy * dy > _AHEAD * _AHEAD:
                break
            if (self._at == end and self._way > 0) or (self._at == 0 and self._way < 0):
                self._way = -self._way
                break
            self._at += self._way
        off = math.remainder(math.atan2(dy, dx) - yaw, 2.0 * math.pi)
        turn = max(-_TURN_RATE, min(_TURN_RATE, 2.0 * off))
        if abs(off) > 0.6:
            self._since = observation.time
            return 0.0, turn
        if self._blocked:
            if observation.time - self._since > _PATIENCE:
                self._way, self._since = -self._way, observation.time
                self._at = max(0, min(end, self._at + 5 * self._way))
            return 0.0, 0.0
        self._since = observation.time
        return _SPEED * (1.0 - abs(off)), turn


class Drivers:
    """Hands out one driver after the other, as the loop asks for policies robot by robot."""

    def __init__(self, routes: tuple[FloatArray, ...]) -> None:
        self.all = [ScriptedDriver(route) for route in routes]
        self._next: Iterator[ScriptedDriver] = iter(self.all)

    def __call__(self) -> ScriptedDriver:
        """Return the driver of the next robot."""
        return next(self._next)

    def scans(self) -> NDArray[np.float32]:
        """Return all scans (S, R, B) [m].

        Raises:
            FloorcastError: the robots have not seen equally many.
        """
        counts = {len(driver.scans) for driver in self.all}
        if len(counts) != 1:
            raise FloorcastError(f"the robots saw different numbers of scans: {sorted(counts)}")
        return np.stack([np.stack(driver.scans) for driver in self.all], axis=1)


@dataclass
class Journal:
    """Writes what an episode gives into a folder, for both sides alike, and counts it.

    Pictures: colour as JPEG. Scans: one ``.npy`` of float32. The record itself is written by whoever has it.
    """

    folder: Path
    seconds: float = 0.0
    """Processor time spent writing pictures [s]."""
    pictures: int = 0
    written: int = 0
    """Bytes."""
    names: list[Path] = field(default_factory=list)

    def picture(self, rgb: NDArray[np.uint8]) -> None:
        """Write a picture (H, W, 3) RGB."""
        start = time.process_time()
        fine, data = cv2.imencode(
            ".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        )
        if not fine:
            raise FloorcastError("a picture could not be written as JPEG")
        self.put(f"{self.pictures:05d}.jpg", data.tobytes())
        self.pictures += 1
        self.seconds += time.process_time() - start

    def put(self, name: str, data: bytes) -> None:
        """Write a file."""
        path = self.folder / name
        path.write_bytes(data)
        self.names.append(path)
        self.written += len(data)

    def scans(self, scans: NDArray[np.float32]) -> None:
        """Write all scans (S, R, B)."""
        path = self.folder / "scans.npy"
        np.save(path, scans)
        self.names.append(path)
        self.written += path.stat().st_size

    def clear(self) -> None:
        """Take away what was written."""
        for path in self.names:
            path.unlink()
        self.names.clear()
