"""Where the time of an episode goes: functions are timed from outside while it runs, each without what it calls."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ...physics.world import World
from ...robots.fleet import Fleet
from .. import chronicle, hall, live, loop, randomization
from ..actors import Pedestrians
from ..capture import Photographer
from ..errands import FixedErrands
from ..live import LiveEpisode
from ..pilots import Pilots
from ..sensing import DeadReckoning, ScanQueue, Stage

REST = "the loop itself: observations, checks"

PARTS: tuple[tuple[str, tuple[tuple[Any, str], ...]], ...] = (
    ("reset: scenario drawn", ((live, "sample_scenario"),)),
    ("reset: hall generated and built", ((randomization, "_layout"), (live, "hall_of"), (hall, "_build"))),
    ("reset: physics world and robots", ((live, "world_of"), (Fleet, "__init__"), (Fleet, "reset"))),
    ("reset: tasks and routes", ((live, "assign_tasks"),)),
    ("reset: walks of people", ((live, "plan_people"),)),
    ("reset: scene, sensors, the rest", ((LiveEpisode, "__init__"),)),
    ("policies", ((Pilots, "ask"),)),
    ("physics, nothing touched", ((Fleet, "step"), (Fleet, "_free_run"))),
    ("physics, touching", ((Fleet, "_touch_step"), (World, "must_touch"))),
    ("people", ((Pedestrians, "advance"),)),
    ("bodies placed for the sensors", ((Stage, "update"), (Fleet, "body_pose"))),
    ("scans", ((LiveEpisode, "scan"), (ScanQueue, "take"), (ScanQueue, "newest"))),
    ("odometry and IMU", ((DeadReckoning, "read"),)),
    ("pictures", ((Photographer, "take"), (Stage, "body_velocity"))),
    ("tasks followed", ((LiveEpisode, "settle"), (FixedErrands, "advance"))),
    ("log", ((LiveEpisode, "write_down"),)),
    ("record: clearances", ((chronicle.Surroundings, "__init__"), (chronicle.Surroundings, "distances"))),
    ("record: incidents, KPIs, the rest", ((loop, "close_record"),)),
)
"""What is timed, by part: object and attribute."""


class Stopwatch:
    """Exclusive processor time of parts; what no part covers is ``REST``."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {REST: 0.0}
        self._inside: list[float] = []

    def part(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that notes its time, less that of other parts that it calls, under a name."""
        inside, seconds = self._inside, self.seconds
        seconds.setdefault(name, 0.0)

        @functools.wraps(function)
        def timed(*arguments: Any, **options: Any) -> Any:
            inside.append(0.0)
            start = time.process_time()
            try:
                return function(*arguments, **options)
            finally:
                spent = time.process_time() - start
                seconds[name] += spent - inside.pop()
                if inside:
                    inside[-1] += spent

        return timed

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Time everything in ``PARTS`` within the block."""
        kept: list[tuple[Any, str, Any]] = []
        try:
            for name, targets in PARTS:
                for owner, attribute in targets:
                    function = getattr(owner, attribute)
                    kept.append((owner, attribute, function))
                    setattr(owner, attribute, self.part(name, function))
            yield
        finally:
            for owner, attribute, function in reversed(kept):
                setattr(owner, attribute, function)
