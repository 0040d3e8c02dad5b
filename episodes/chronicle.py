"""The record of a long episode, written as it goes: a few rows a second are kept, and sums over all control steps.

The log holds the last part of the episode only. Once it is full, the distances to everything are measured, incidents
found and KPIs summed up over every control step in it, the rows to keep are set aside, and the log begins anew. So
memory grows with the rows kept, not with the control steps.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..physics.proximity import heights
from .clearance import clearances, footprints
from .incidents import IncidentFinder
from .kpi_sums import TrajectorySums, trajectory_sums
from .kpis import KpiSettings
from .record import EpisodeRecord, Event
from .routes import FloatArray
from .walking import PERSON_RADIUS

if TYPE_CHECKING:
    from .live import LiveEpisode
    from .log import EpisodeLog

PART = 60.0
"""Length of a part [s]."""

_FIELDS = ("pose", "velocity", "command", "goal", "person_pose", "person_velocity")


@dataclass
class Trajectories:
    """What of a record is read off a log: arrays as in ``EpisodeRecord``, and incidents.

    ``sums`` are those of all control steps, where the arrays hold only some of them.
    """

    time: FloatArray
    arrays: dict[str, FloatArray]
    min_clearance: FloatArray
    person_distance: FloatArray
    loose_moves: FloatArray
    incidents: list[Event] = field(default_factory=list)
    sums: TrajectorySums | None = None


def whole(episode: LiveEpisode, steps: int) -> Trajectories:
    """Return the trajectories of the first ``steps`` control steps of a log that holds them all."""
    log = episode.log
    time = np.arange(steps) / episode.scenario.control_rate
    everything, people = Surroundings(episode).distances(log, 0, steps)
    arrays = {name: getattr(log, name)[:steps].copy() for name in _FIELDS}
    finder = IncidentFinder(len(episode.radius), episode.period)
    given = [arrays[name] for name in ("pose", "velocity", "command", "goal")]
    incidents = contact_events(episode)
    incidents += finder.find(time, given[0], given[1], given[2], given[3], people)
    return Trajectories(time, arrays, everything, people, log.loose_moves(steps), incidents)


def contact_events(episode: LiveEpisode) -> list[Event]:
    """Take the contacts that have begun since the last call as events."""
    return [
        Event(c.time, "collision", c.robot, c.other_class, c.other_id, c.speed, c.impulse, c.position)
        for c in episode.world.contacts()
        if c.robot < len(episode.radius)  # What forklifts run into is their drivers' affair.
    ]


class Chronicle:
    """Keeps some rows of a long episode, and sums over all.

    Args:
        episode: whose log is read.
        rate: rows kept per second [Hz], a divisor of the control rate.
    """

    def __init__(self, episode: LiveEpisode, rate: int) -> None:
        self._episode, self.every = episode, episode.scenario.control_rate // rate
        """Control steps from one kept row to the next."""
        self._finder = IncidentFinder(len(episode.radius), episode.period)
        # A whole number of rows that are kept.
        self._part = math.ceil(PART * rate) * self.every
        self.rows = self._finder.overlap + self._part
        """Rows that the log needs."""
        self.sums = TrajectorySums()
        self._settings = KpiSettings()
        self._before = 0
        self._kept: dict[str, list[FloatArray]] = {name: [] for name in (*_FIELDS, "everything", "people")}
        self._moves: list[FloatArray] = []
        self._loose: FloatArray | None = None
        self._count = 0
        self.incidents: list[Event] = []
        """Contacts, near misses, emergency stops and robots that were stuck so far."""
        self._surroundings: Surroundings | None = None

    def note(self, step: int, watch: Callable[[EpisodeRecord, LiveEpisode], None] | None) -> None:
        """Control step ``step`` has been logged and settled."""
        filled = self._episode.log.row(step) + 1
        if filled - self._before == self._part:
            part = self._take(filled)
            if watch is not None:
                watch(part, self._episode)

    def close(self, steps: int) -> Trajectories:
        """Return the trajectories of the first ``steps`` control steps."""
        filled = self._episode.log.row(steps)
        if filled > self._before:
            self._take(filled)
        self.incidents += contact_events(self._episode)
        kept = {name: np.concatenate(parts) for name, parts in self._kept.items()}
        time = np.arange(self._count) * self.every / self._episode.scenario.control_rate
        moves = np.concatenate(self._moves) if self._moves else np.zeros((0, 9))
        everything, people = kept.pop("everything"), kept.pop("people")
        return Trajectories(time, kept, everything, people, moves, list(self.incidents), self.sums)

    def _take(self, filled: int) -> EpisodeRecord:
        """Sum up and set aside what the log's first ``filled`` rows hold; returns the new ones as a record."""
        episode, log, first = self._episode, self._episode.log, self._before
        if self._surroundings is None:
            self._surroundings = Surroundings(episode)
        everything, people = self._surroundings.distances(log, first, filled)
        part = self._part_record(log, filled, everything, people)
        self.sums.add(trajectory_sums(part, episode.period, self._settings, first))
        self.incidents += contact_events(episode)
        self.incidents += self._finder.find(
            part.time, part.pose, part.velocity, part.command, part.goal, part.person_distance, first
        )
        rows = slice(first, filled, self.every)
        for name in _FIELDS:
            self._kept[name].append(getattr(log, name)[rows].copy())
        starts = np.arange(0, filled - first, self.every)
        self._kept["everything"].append(np.minimum.reduceat(everything, starts, axis=0))
        self._kept["people"].append(np.minimum.reduceat(people, starts, axis=0))
        self._keep_moves(log.loose_pose[rows])
        told = _from(part, first)
        self._before = min(self._finder.overlap, filled)
        log.roll(filled, self._before)
        return told

    def _keep_moves(self, pose: FloatArray) -> None:
        """Set aside the places (N, L, 7) of loose goods that differ from the kept row before."""
        before = pose[:1] if self._loose is None else self._loose
        step, body = np.nonzero(np.any(pose != np.concatenate([before, pose[:-1]]), axis=2))
        self._moves.append(np.column_stack([step + self._count, body, pose[step, body]]))
        self._loose = pose[-1:].copy()
        self._count += len(pose)

    def _part_record(self, log: EpisodeLog, filled: int, everything: FloatArray, people: FloatArray) -> EpisodeRecord:
        episode, first = self._episode, self._before
        far = np.full((first, everything.shape[1]), np.inf)
        return EpisodeRecord(
            scenario_hash="",
            twin_version="",
            policy="",
            seed=episode.seed,
            index=episode.index,
            layout_hash=episode.hall.content,
            duration=filled * episode.period,
            time=(log.first + np.arange(filled)) / episode.scenario.control_rate,
            pose=log.pose[:filled],
            velocity=log.velocity[:filled],
            command=log.command[:filled],
            goal=log.goal[:filled],
            min_clearance=np.concatenate([far, everything]),
            person_distance=np.concatenate([far, people]),
            person_pose=log.person_pose[:filled],
            person_velocity=log.person_velocity[:filled],
            robot_radius=episode.radius,
            person_radius=np.full(len(episode.people), PERSON_RADIUS),
            energy_wh=np.zeros(len(episode.radius)),
        )


def _from(part: EpisodeRecord, first: int) -> EpisodeRecord:
    """Return a part without the rows before ``first``, as arrays of its own."""
    names = (*_FIELDS, "time", "min_clearance", "person_distance")
    for name in names:
        setattr(part, name, getattr(part, name)[first:].copy())
    return part


_FAR = 1e6
"""Away [m] from everything."""


class Surroundings:
    """What robots may come near to: outlines of all that stands or lies in the hall."""

    def __init__(self, episode: LiveEpisode) -> None:
        models, solids = episode.sampled.models, episode.hall.solids
        self._half = np.array([[0.5 * model.length, 0.5 * model.width] for model in models])
        self._height = np.array([model.height for model in models])
        # What a robot passes under is no obstacle to it.
        self._static = {top: footprints(solids.static, 0.01, top) for top in np.unique(self._height).tolist()}
        self._loose, self._body = footprints(solids.loose, -math.inf, math.inf), solids.loose.body
        self._forklifts = episode.forklifts
        # Goods of conveyors ride above most robots, or on top of them.
        self._rides = self._body >= episode.first_belt_good
        self._foot = heights(solids.loose)[0]
        self._person_radius = np.full(len(episode.people), PERSON_RADIUS)

    def distances(self, log: EpisodeLog, first: int, end: int) -> tuple[FloatArray, FloatArray]:
        """Return distances (T, R) [m] from every robot to the nearest thing and to the nearest person, for the rows
        from ``first`` to before ``end``."""
        rows = slice(first, end)
        pose, person = log.pose[rows], log.person_pose[rows, :, :2]
        place = log.loose_pose[rows]
        # Most goods stand where they stood: those are as good as static, and only the others are placed in every row.
        moved = np.any(place != place[:1], axis=(0, 2))[self._body]
        outlines = [
            (_loose_outlines(self._loose[which], self._body[which], at), which, at)
            for which, at in ((~moved, place[:1]), (moved, place))
        ]
        others = np.empty((len(pose), 0, self._loose.shape[1]))
        if self._forklifts is not None:
            others = self._forklifts.outlines(log.first + np.arange(first, end))
        everything, people = np.empty((2, *pose.shape[:2]))
        for top, static in self._static.items():
            resting, moving = (self._below(top, *some) for some in outlines)
            around = np.concatenate([static, resting[0]])
            part = clearances(
                pose, self._half, around, np.concatenate([moving, others], axis=1), person, self._person_radius
            )
            mine = self._height == top
            everything[:, mine], people[:, mine] = (column[:, mine] for column in part)
        return everything, people

    def _below(self, top: float, outline: FloatArray, which: NDArray[np.bool_], place: FloatArray) -> FloatArray:
        """Return outlines (T, N, 7) of the solids ``which``, those that ride above ``top`` [m] far away."""
        if not self._rides[which].any():
            return outline
        over = self._rides[which] & (place[:, self._body[which], 2] + self._foot[which] > top - 0.01)
        outline = outline.copy()
        outline[..., 0] += np.where(over, _FAR, 0.0)
        return outline


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
