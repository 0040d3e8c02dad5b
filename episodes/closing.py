"""Closing the books of an episode: from what was logged and what happened to its record."""

from __future__ import annotations

import numpy as np

from ..common.config import config_hash
from .chronicle import Trajectories, whole
from .kpis import episode_kpis
from .live import LiveEpisode
from .order_kpis import order_kpis
from .record import EpisodeRecord, Event
from .routes import FloatArray
from .spread_kpis import spread_kpis
from .telemetry import Telemetry
from .walking import PERSON_RADIUS


def close_record(episode: LiveEpisode, policy_name: str, steps: int) -> EpisodeRecord:
    """Return the record of the first ``steps`` control steps, KPIs included."""
    scenario, chronicle, floor = episode.scenario, episode.chronicle, episode.errands.floor()
    end = steps / scenario.control_rate
    moved = whole(episode, steps) if chronicle is None else chronicle.close(steps)
    record = EpisodeRecord(
        scenario_hash=config_hash(scenario),
        twin_version=f"{episode.twin.name}@{episode.twin.version}" if episode.twin is not None else "",
        policy=policy_name,
        seed=episode.seed,
        index=episode.index,
        layout_hash=episode.hall.content,
        duration=end,
        time=moved.time,
        pose=moved.arrays["pose"],
        velocity=moved.arrays["velocity"],
        command=moved.arrays["command"],
        goal=moved.arrays["goal"],
        person_pose=moved.arrays["person_pose"],
        person_velocity=moved.arrays["person_velocity"],
        min_clearance=moved.min_clearance,
        person_distance=moved.person_distance,
        robot_radius=episode.radius.copy(),
        person_radius=np.full(len(episode.people), PERSON_RADIUS),
        energy_wh=(episode.fleet if episode.condition is None else episode.condition).energy_wh.copy(),
        loose_moves=moved.loose_moves,
        events=_events(episode, moved, end),
        tasks=episode.errands.results(),
        sampled=dict(episode.sampled.values),
        floor=floor,
        record_period=None if scenario.record_rate is None else 1.0 / scenario.record_rate,
    )
    if episode.forklifts is not None:
        every = 1 if chronicle is None else chronicle.every
        rows = np.arange(len(record.time)) * every
        record.forklift_pose, record.forklift_load = episode.forklifts.history(rows)
    record.kpis = episode_kpis(record, control_period=episode.period, sums=moved.sums)
    if floor is not None and scenario.orders is not None:
        record.kpis.update(order_kpis(record, floor, scenario.orders.costs))
    record.kpis.update(spread_kpis(episode.machines.motion))
    return record


def telemetry_of(episode: LiveEpisode) -> Telemetry | None:
    """Return the robots' telemetry so far, if they have a condition."""
    condition = episode.condition
    if condition is None:
        return None
    return Telemetry(
        scenario_hash=config_hash(episode.scenario),
        seed=episode.seed,
        index=episode.index,
        time_scale=condition.time_scale,
        age_h=np.array([start.age_h for start in condition.starts]),
        faults=tuple(start.faults for start in condition.starts),
        rows=condition.telemetry,
    )


def _events(episode: LiveEpisode, moved: Trajectories, end: float) -> list[Event]:
    """Return everything that happened by ``end`` [s], in order of time."""
    events = episode.events + moved.incidents
    for robot in range(len(episode.radius)):
        if episode.errands.open(robot):
            x, y = (float(value) for value in episode.fleet.pose[robot, :2])
            events.append(Event(end, "timeout", robot, position=(x, y)))
    events += _faults(episode, moved.time, moved.arrays["pose"])
    for actor in episode.actors:
        events += actor.events()
    events.sort(key=lambda event: (event.time, event.robot, event.kind, event.other_id))
    return events


def _faults(episode: LiveEpisode, time: FloatArray, pose: FloatArray) -> list[Event]:
    """Return onsets and failures so far, at the places (T, R, 3) where the robots were at times (T,) [s]."""
    events = []
    for change in episode.condition.changes() if episode.condition is not None else ():
        k = max(int(np.searchsorted(time, change.time, side="right")) - 1, 0)
        x, y = (float(value) for value in pose[k, change.robot, :2])
        events.append(
            Event(change.time, "fault", change.robot, change.kind, change.stage, change.severity, position=(x, y))
        )
    return events
