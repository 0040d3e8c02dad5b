"""An episode at any time, from its record and the scenario that it was drawn from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...common.config import config_hash
from ...common.errors import InputError
from ...common.geometry import wrap_angle
from ...common.seeding import generator
from ...layouts.geometry import layout_solids
from ...layouts.model import Good
from ...perception.scene import Scene
from ...physics.handling import with_spares
from ..belts import belt_goods
from ..disturbances.plan import occurrence_times, reserve_of
from ..randomization import layout_hash, sample_scenario
from ..record import EpisodeRecord, TaskResult
from ..routes import FloatArray
from ..scenario import Scenario
from ..sensing import Stage, upright

if TYPE_CHECKING:
    from ...robots.twin import Twin


@dataclass(frozen=True)
class Moment:
    """An episode at one time. R robots, P people, L loose goods, F forklifts.

    Attributes:
        time: [s]; step: the control step that began last.
        pose: (R, 3) x, y [m], yaw [rad]; velocity: (R, 2) v [m/s], omega [rad/s].
        goal: (R, 3), nan where a robot has none.
        carrying: (R,) whether a robot has its load on board.
        person_pose: (P, 3); person_velocity: (P, 2) [m/s].
        loose_pose: (L, 7) x, y, z [m], qx, qy, qz, qw of the loose goods' centres of mass.
        forklift_pose: (F, 3); forklift_velocity: (F, 2) v [m/s], omega [rad/s] as the poses tell it.
        forklift_load: (F,) whether something lies on the forks.
    """

    time: float
    step: int
    pose: FloatArray
    velocity: FloatArray
    goal: FloatArray
    carrying: NDArray[np.bool_]
    person_pose: FloatArray
    person_velocity: FloatArray
    loose_pose: FloatArray
    forklift_pose: FloatArray
    forklift_velocity: FloatArray
    forklift_load: NDArray[np.bool_]


class Playback:
    """Plays a record: what was where, at any time.

    Args:
        record: the episode.
        scenario: what it was drawn from.
        twin: that it was run with.

    Raises:
        InputError: the record is empty, its arrays do not fit each other, or the scenario, the twin or this version
            give another hall than the one that was recorded.
    """

    def __init__(self, record: EpisodeRecord, scenario: Scenario, twin: Twin | None = None) -> None:
        where = f"episode {record.index}, seed {record.seed}"
        _require_sound(record, where)
        if config_hash(scenario) != record.scenario_hash:
            raise InputError(
                f"the record was not made with the scenario '{scenario.name}' as it is now",
                where=where,
                mend="run the episode again",
            )
        self.record, self.scenario = record, scenario
        self.sampled = sample_scenario(scenario, record.seed, record.index, twin)
        if layout_hash(self.sampled.layout) != record.layout_hash:
            raise InputError(
                "this version builds another hall than the one that was recorded",
                where=where,
                mend="run the episode again",
            )
        self.layout = self.sampled.layout
        which = scenario, record.seed, record.index
        reserve = (*reserve_of(*which), *belt_goods(*which))
        self.solids = with_spares(layout_solids(self.layout), reserve) if reserve else layout_solids(self.layout)
        self.loose: tuple[Good, ...] = (*(good for good in self.layout.goods if good.rack is None), *reserve)
        self._spills = _spills(scenario, record)
        if len(record.loose_moves) and record.loose_moves[:, 1].max() >= len(self.loose):
            raise InputError("the record moves goods that the hall does not have", where=where)
        forklifts = [] if scenario.forklifts is None else [scenario.forklifts.model] * len(self.sampled.drivers)
        self.models = (*self.sampled.models, *forklifts)
        """Of the robots, then of the forklifts."""
        steps, count = len(record.time), record.forklift_pose.shape[1]
        if count != len(forklifts):
            raise InputError(f"the record has {count} forklifts, not {len(forklifts)}", where=where)
        self.forklift_pose = record.forklift_pose if count else np.zeros((steps, 0, 3))
        """(T, F, 3) x, y [m], yaw [rad] of the forklifts."""
        self._forklift_load = record.forklift_load > 0 if count else np.zeros((steps, 0), dtype=np.bool_)
        self.robots, self.people = record.pose.shape[1], record.person_pose.shape[1]
        self.tasks: list[list[TaskResult]] = [
            [task for task in record.tasks if task.robot == robot] for robot in range(self.robots)
        ]
        self.turns = [self._times(robot, ("pick", "drop")) for robot in range(self.robots)]
        """Times [s] at which each robot takes up a load or sets it down, in turns."""
        self.closest = np.minimum.accumulate(record.person_distance.min(axis=1, initial=np.inf))
        """(T,) the least distance [m] of any robot from a person so far; inf without people."""

    @property
    def duration(self) -> float:
        """Seconds of the episode; in the last control period everything is where the last step found it."""
        return self.record.duration

    def at(self, time: float) -> Moment:
        """Return the episode at a time [s], held to its beginning and end; poses go evenly between control steps."""
        record = self.record
        time = min(max(time, 0.0), self.duration)
        step = max(int(np.searchsorted(record.time, time, side="right")) - 1, 0)
        after = min(step + 1, len(record.time) - 1)
        gap = record.time[after] - record.time[step]
        share = float((time - record.time[step]) / gap) if gap > 0 else 0.0
        return Moment(
            time=time,
            step=step,
            pose=_between(record.pose[step], record.pose[after], share),
            velocity=record.velocity[step] + share * (record.velocity[after] - record.velocity[step]),
            goal=record.goal[step],
            carrying=self.carrying(time),
            person_pose=_between(record.person_pose[step], record.person_pose[after], share),
            person_velocity=record.person_velocity[step],
            loose_pose=self.loose_pose(step),
            forklift_pose=_between(self.forklift_pose[step], self.forklift_pose[after], share),
            forklift_velocity=_planar_speed(self.forklift_pose, step, after, float(gap)),
            forklift_load=self._forklift_load[step],
        )

    @property
    def patch_radii(self) -> list[float]:
        """Radii [m] of the spills, those that never came included."""
        return [radius for _, radius, _, _ in self._spills]

    def patches(self, time: float) -> list[FloatArray | None]:
        """Return where (2,) [m] each spill lies at a time [s], None for those that do not."""
        return [place if begin <= time < end else None for place, _, begin, end in self._spills]

    def carrying(self, time: float) -> NDArray[np.bool_]:
        """Return which robots (R,) have a load on board at a time [s]."""
        return np.array([np.searchsorted(turns, time, side="right") % 2 == 1 for turns in self.turns], dtype=np.bool_)

    def task(self, robot: int, time: float) -> TaskResult | None:
        """Return the task that a robot is at, None once all are done."""
        finished = int(np.searchsorted(self.turns[robot], time, side="right")) // 2
        return self.tasks[robot][finished] if finished < len(self.tasks[robot]) else None

    def loose_pose(self, step: int) -> FloatArray:
        """Return the poses (L, 7) of the loose goods at a control step."""
        pose, moves = self.solids.loose_pose.copy(), self.record.loose_moves
        moves = moves[: np.searchsorted(moves[:, 0], step, side="right")]
        # The last move of each good counts: the first one from behind.
        bodies, last = np.unique(moves[::-1, 1].astype(np.int64), return_index=True)
        pose[bodies] = moves[::-1][last, 2:]
        return pose

    def _times(self, robot: int, kinds: tuple[str, ...]) -> FloatArray:
        return np.array([e.time for e in self.record.events if e.robot == robot and e.kind in kinds])


class Rebuilt:
    """The scene of an episode as its robots' sensors met it, rebuilt from a record.

    Attributes:
        stage: the scene; stream: the noise stream of the episode.
    """

    def __init__(self, playback: Playback) -> None:
        record, sampled = playback.record, playback.sampled
        self.stage = Stage(
            playback.solids,
            playback.models,
            playback.people,
            record.seed,
            record.index,
            sampled.appearance,
            patches=playback.patch_radii,
        )
        self._playback = playback
        self.stream = int(generator(record.seed, record.index, "noise").integers(2**62))

    def scene(self, moment: Moment) -> Scene:
        """Return the scene at a moment; the next call changes it."""
        bodies = (
            upright(moment.pose),
            upright(moment.forklift_pose),
            upright(moment.person_pose),
            moment.loose_pose,
        )
        for number, place in enumerate(self._playback.patches(moment.time)):
            self.stage.show_patch(number, place)
        self.stage.update(np.concatenate(bodies), np.concatenate([moment.carrying, moment.forklift_load]))
        return self.stage.scene


def _spills(scenario: Scenario, record: EpisodeRecord) -> list[tuple[FloatArray, float, float, float]]:
    """Return place (2,), radius [m], begin and end [s] of every spill of a record, in the order of its plan."""
    found = []
    for settings, label, _ in occurrence_times(scenario, record.seed, record.index):
        if settings.kind == "spill":
            place = np.array([record.sampled[f"{label}.x"], record.sampled[f"{label}.y"]])
            when = {
                event.other_id: event.time
                for event in record.events
                if event.other == "spill" and event.position == (place[0], place[1])
            }
            radius = float(record.sampled[f"{label}.radius"])
            found.append((place, radius, when.get("begin", math.inf), when.get("end", math.inf)))
    return found


def _planar_speed(pose: FloatArray, step: int, after: int, gap: float) -> FloatArray:
    """Return v [m/s], omega [rad/s] (F, 2) of poses (T, F, 3) between two steps ``gap`` [s] apart."""
    if gap <= 0:
        return np.zeros((pose.shape[1], 2))
    yaw, moved = pose[step, :, 2], (pose[after] - pose[step]) / gap
    turn = wrap_angle(pose[after, :, 2] - yaw) / gap
    return np.column_stack([moved[:, 0] * np.cos(yaw) + moved[:, 1] * np.sin(yaw), turn])


def _between(first: FloatArray, second: FloatArray, share: float) -> FloatArray:
    """Return poses (N, 3) between two; bit-equal to the first where ``share`` is 0."""
    pose = first + share * (second - first)
    pose[:, 2] = first[:, 2] + share * wrap_angle(second[:, 2] - first[:, 2])
    return pose


def _require_sound(record: EpisodeRecord, where: str) -> None:
    steps, robots = len(record.time), record.pose.shape[1] if record.pose.ndim == 3 else 0
    people = record.person_pose.shape[1] if record.person_pose.ndim == 3 else 0
    if steps == 0 or robots == 0 or not record.duration > 0:
        raise InputError("the record holds no step of any robot: there is nothing to show", where=where)
    shapes = {
        "pose": (steps, robots, 3),
        "velocity": (steps, robots, 2),
        "command": (steps, robots, 2),
        "goal": (steps, robots, 3),
        "min_clearance": (steps, robots),
        "person_distance": (steps, robots),
        "person_pose": (steps, people, 3),
        "person_velocity": (steps, people, 2),
        "person_radius": (people,),
        "loose_moves": (len(record.loose_moves), 9),
    }
    if record.forklift_pose.ndim != 3 or record.forklift_pose.shape[1]:
        forklifts = record.forklift_pose.shape[1] if record.forklift_pose.ndim == 3 else 0
        shapes |= {"forklift_pose": (steps, forklifts, 3), "forklift_load": (steps, forklifts)}
    for name, shape in shapes.items():
        if getattr(record, name).shape != shape:
            raise InputError(
                f"the record's '{name}' is {getattr(record, name).shape}, not {shape}",
                where=where,
                mend="run the episode again",
            )
