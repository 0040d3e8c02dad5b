"""Closing the books of an episode: from what was logged and what happened to its record."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ..common.config import config_hash
from .clearance import clearances, footprints
from .incidents import find_incidents
from .kpis import episode_kpis
from .live import LiveEpisode
from .record import EpisodeRecord, Event
from .routes import FloatArray
from .telemetry import Telemetry
from .walking import PERSON_RADIUS


def close_record(episode: LiveEpisode, policy_name: str, steps: int) -> EpisodeRecord:
    """Return the record of the first ``steps`` control steps, KPIs included."""
    log = episode.log
    time = np.arange(steps) / episode.scenario.control_rate
    end = steps / episode.scenario.control_rate
    person_radius = np.full(len(episode.people), PERSON_RADIUS)
    everything, people = _distances(episode, steps, person_radius)
    record = EpisodeRecord(
        scenario_hash=config_hash(episode.scenario),
        twin_version=f"{episode.twin.name}@{episode.twin.version}" if episode.twin is not None else "",
        policy=policy_name,
        seed=episode.seed,
        index=episode.index,
        layout_hash=episode.hall.content,
        duration=end,
        time=time,
        pose=log.pose[:steps].copy(),
        velocity=log.velocity[:steps].copy(),
        command=log.command[:steps].copy(),
        goal=log.goal[:steps].copy(),
        min_clearance=everything,
        person_distance=people,
        person_pose=log.person_pose[:steps].copy(),
        person_velocity=log.person_velocity[:steps].copy(),
        robot_radius=episode.radius.copy(),
        person_radius=person_radius,
        energy_wh=(episode.fleet if episode.condition is None else episode.condition).energy_wh.copy(),
        loose_moves=log.loose_moves(steps),
        events=_events(episode, time, end, people),
        tasks=episode.errands.results(),
        sampled=dict(episode.sampled.values),
    )
    record.kpis = episode_kpis(record, control_period=episode.period)
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


def _events(episode: LiveEpisode, time: FloatArray, end: float, people: FloatArray) -> list[Event]:
    """Return everything that happened by ``end`` [s], in order of time; ``people`` (T, R) distances [m]."""
    log, steps = episode.log, len(time)
    events = episode.events + [
        Event(c.time, "collision", c.robot, c.other_class, c.other_id, c.speed, c.impulse, c.position)
        for c in episode.world.contacts()
    ]
    events += find_incidents(
        time,
        log.pose[:steps],
        log.velocity[:steps],
        log.command[:steps],
        log.goal[:steps],
        people,
        episode.period,
    )
    for robot in range(len(episode.radius)):
        if episode.errands.open(robot):
            x, y = (float(value) for value in episode.fleet.pose[robot, :2])
            events.append(Event(end, "timeout", robot, position=(x, y)))
    events += _faults(episode, time)
    for actor in episode.actors:
        events += actor.events()
    events.sort(key=lambda event: (event.time, event.robot, event.kind, event.other_id))
    return events


def _faults(episode: LiveEpisode, time: FloatArray) -> list[Event]:
    """Return onsets and failures so far, at the places where the robots were."""
    events = []
    for change in episode.condition.changes() if episode.condition is not None else ():
        k = max(int(np.searchsorted(time, change.time, side="right")) - 1, 0)
        x, y = (float(value) for value in episode.log.pose[k, change.robot, :2])
        events.append(
            Event(change.time, "fault", change.robot, change.kind, change.stage, change.severity, position=(x, y))
        )
    return events


def _distances(episode: LiveEpisode, steps: int, person_radius: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return distances (T, R) [m] from every robot to the nearest thing and to the nearest person."""
    models, solids, log = episode.sampled.models, episode.hall.solids, episode.log
    half = np.array([[0.5 * model.length, 0.5 * model.width] for model in models])
    height = np.array([model.height for model in models])
    loose = _loose_outlines(footprints(solids.loose, -math.inf, math.inf), solids.loose.body, log.loose_pose[:steps])
    everything, people = np.empty((2, steps, len(models)))
    for top in np.unique(height):
        # What a robot passes under is no obstacle to it.
        static = footprints(solids.static, 0.01, top)
        part = clearances(log.pose[:steps], half, static, loose, log.person_pose[:steps, :, :2], person_radius)
        everything[:, height == top], people[:, height == top] = (column[:, height == top] for column in part)
    return everything, people


def _loose_outlines(outline: FloatArray, body: NDArray[np.int32], pose: FloatArray) -> FloatArray:
    """Place the outlines (N, 7) of loose goods' solids at the goods' poses (T, L, 7); returns (T, N, 7).

    Goods that have been tipped over keep the outline they have when upright.
    """
    placed = np.repeat(outline[None], len(pose), axis=0)
    x, y, z, w = np.moveaxis(pose[:, body, 3:], -1, 0)
    yaw = np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))
    cos, sin = np.cos(yaw), np.sin(yaw)
    placed[..., 0] = pose[:, body, 0] + cos * outline[:, 0] - sin * outline[:, 1]
    placed[..., 1] = pose[:, body, 1] + sin * outline[:, 0] + cos * outline[:, 1]
    placed[..., 2] = cos * outline[:, 2] - sin * outline[:, 3]
    placed[..., 3] = sin * outline[:, 2] + cos * outline[:, 3]
    return placed
