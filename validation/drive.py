"""Whether a robot can work in a hall: the built-in navigator fetches and brings between its stations, alone."""

from __future__ import annotations

from dataclasses import dataclass

from ..episodes.distributions import Constant
from ..episodes.loop import run_episode
from ..episodes.scenario import CaptureSettings, LayoutSource, RobotRanges, Scenario, TaskRanges
from ..layouts.model import Layout
from ..policies.registry import load_policy
from ..robots.model import RobotModel

CREEP = 0.25
"""Mean speed [m/s] that an episode's time allows for; stations of large sites lie hundreds of metres apart."""


@dataclass(frozen=True)
class Drive:
    """One errand: from where the robot starts to a pick station, and on to a drop station.

    Attributes:
        index: of the episode.
        pick, drop: the stations.
        success: whether it was done, and nothing was hit.
        time: it took [s]; None if it was not done.
        length: driven [m]; shortest: of the shortest way [m].
        collisions: how often the robot hit something.
    """

    index: int
    pick: str
    drop: str
    success: bool
    time: float | None
    length: float
    shortest: float
    collisions: int


def drive_between_stations(layout: Layout, *, episodes: int, seed: int, robot: RobotModel | None = None) -> list[Drive]:
    """Run errands of one robot in a hall without people.

    Args:
        layout: the hall; it needs two stations.
        episodes: how many, each with its own stations and start.
        seed: of the draws.
        robot: None for the standard one.

    Raises:
        InputError: the hall has no two stations that the robot can drive between.
    """
    duration = min(3600.0, max(120.0, 3.0 * (layout.length + layout.width) / CREEP))
    scenario = Scenario(
        name="drive",
        duration=duration,
        layout=LayoutSource(fixed=layout),
        robots=RobotRanges(count=Constant(value=1, unit="1"), model=robot or RobotModel()),
        tasks=TaskRanges(dwell=Constant(value=1, unit="s")),
        capture=CaptureSettings(frames=0),
    )
    make = load_policy("navigator")
    drives = []
    for index in range(episodes):
        record = run_episode(scenario, make, policy_name="navigator", seed=seed, index=index)
        (task,) = record.tasks
        hits = sum(event.kind == "collision" for event in record.events)
        drives.append(
            Drive(
                index=index,
                pick=task.pick_station,
                drop=task.drop_station,
                success=task.success and hits == 0,
                time=task.end_time if task.success else None,
                length=task.path_length,
                shortest=task.shortest_length,
                collisions=hits,
            )
        )
    return drives
