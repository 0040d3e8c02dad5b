"""The episode loop: one scenario, one policy, one seed and index in; one record out, and pictures on the way.

Physics runs at 240 Hz, the policy at the scenario's control rate, the lidars at theirs. The record is pure in
(scenario, twin, policy, seed, index): neither what the process has run before nor whether pictures are taken changes a
bit of it.

An episode is over for its record once every task is done, or at the scenario's duration. If pictures are taken, the
hall goes on after that, people walking and robots doing their tasks once more, until the last picture: so an episode
always gives exactly ``scenario.capture.frames`` of them, spread over its whole duration.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..common.config import config_hash
from ..common.errors import FloorcastError
from ..common.seeding import generator, seed_sequence
from ..perception.camera import Camera
from ..perception.lidar import Lidar
from ..robots.fleet import Fleet
from ..robots.urdf import load_shape
from .capture import Capture, Photographer, capture_schedule
from .clearance import clearances, footprints
from .condition import fleet_condition
from .hall import hall_of, world_of
from .incidents import find_incidents
from .kpis import episode_kpis
from .people import plan_people
from .policy import EpisodeInfo, Observation, Policy
from .randomization import sample_scenario
from .record import EpisodeRecord, Event
from .routes import FloatArray
from .scenario import PHYSICS_RATE, Scenario
from .sensing import DeadReckoning, ScanQueue, Stage, localisation_errors, localised
from .tasks import TaskTracker, assign_tasks
from .telemetry import Telemetry
from .walking import PERSON_RADIUS

if TYPE_CHECKING:
    from ..robots.twin import Twin

__all__ = ["Capture", "PolicyError", "run_episode"]


class PolicyError(FloorcastError):
    """A policy failed: it raised, or answered something that is no command."""


def run_episode(
    scenario: Scenario,
    make_policy: Callable[[], Policy],
    *,
    policy_name: str,
    seed: int,
    index: int,
    twin: Twin | None = None,
    capture: Callable[[Capture], None] | None = None,
    telemetry: Callable[[Telemetry], None] | None = None,
) -> EpisodeRecord:
    """Run one episode.

    Args:
        scenario: what to draw from.
        make_policy: gives a new policy for each robot.
        policy_name: for the record and for errors.
        seed, index: which episode.
        twin: calibrated parameters; the true drives are drawn around them.
        capture: called with every picture, in order of time; None takes none.
        telemetry: called once with the robots' telemetry over the duration of the record, if the scenario has a
            ``condition``.

    Returns:
        The record, KPIs included.

    Raises:
        InputError: the scenario cannot be realised (no hall can be built, no stations, no room to start).
        PolicyError: the policy raised, or answered NaN or something that is not two numbers; names policy, robot and
            step.
    """
    return _Episode(scenario, make_policy, policy_name, seed, index, twin, telemetry).run(capture)


class _Log:
    """What is written down at every control step, in arrays that hold a full episode."""

    def __init__(self, steps: int, robots: int, people: int, loose: int) -> None:
        self.pose = np.empty((steps, robots, 3))
        self.velocity = np.empty((steps, robots, 2))
        self.command = np.zeros((steps, robots, 2))
        self.goal = np.full((steps, robots, 3), np.nan)
        self.person_pose = np.empty((steps, people, 3))
        self.person_velocity = np.empty((steps, people, 2))
        self.loose_pose = np.empty((steps, loose, 7))


class _Episode:
    """The state of an episode while it runs."""

    def __init__(
        self,
        scenario: Scenario,
        make_policy: Callable[[], Policy],
        policy_name: str,
        seed: int,
        index: int,
        twin: Twin | None,
        telemetry: Callable[[Telemetry], None] | None,
    ) -> None:
        self.telemetry = telemetry
        self.scenario, self.policy_name, self.seed, self.index, self.twin = scenario, policy_name, seed, index, twin
        self.period = scenario.control_period
        self.sampled = sample_scenario(scenario, seed, index, twin)
        self.hall = hall_of(self.sampled.layout)
        model, robots = self.sampled.model, len(self.sampled.drives)
        self.assignment = assign_tasks(
            self.sampled.layout,
            self.hall.ground(0.5 * model.width),
            model,
            self.sampled.tasks,
            generator(seed, index, "tasks"),
        )
        self.people = plan_people(
            self.sampled.walkers,
            self.sampled.layout,
            self.hall.walkable(),
            self.assignment.routes,
            self.assignment.start[:, :2],
            scenario.duration,
            [generator(seed, index, f"people.{p}.walk") for p in range(len(self.sampled.walkers))],
        )
        self.world = world_of(self.hall, self.sampled.loose_mass)
        self.fleet = Fleet(self.world, [model] * robots, list(self.sampled.drives))
        self.fleet.reset(self.assignment.start, np.zeros(robots), self.sampled.friction)
        self.world.set_people(self.people.pose, self.people.velocity)

        self.stream = int(generator(seed, index, "noise").integers(2**62))
        self.condition = fleet_condition(scenario, self.fleet, seed, index, self.stream, self.sampled.values)
        self.stage = Stage(
            self.hall.solids,
            load_shape(model.shape),
            model,
            robots,
            len(self.people),
            seed,
            index,
            self.sampled.appearance,
        )
        lidar = Lidar(self.sampled.lidar)
        self.scans = ScanQueue(lidar, model, self.sampled.lidar_latency, self.stream, robots)
        self.reckoning = DeadReckoning(
            self.sampled, self.assignment.start, scenario.imu_samples, self.period, self.stream
        )
        self.error = localisation_errors(self.sampled, scenario.control_steps, self.period, seed, index)
        tasks = scenario.tasks
        # The robots are told a tolerance that their localisation can keep; they are judged on the truth.
        self.judged = (
            tasks.goal_distance + 3.0 * self.sampled.position_error,
            tasks.goal_angle + 3.0 * self.sampled.heading_error,
        )
        self.trackers = self._new_trackers()
        self.policies = [self._make(make_policy, r, lidar.angles) for r in range(robots)]
        self.radius = np.full(robots, model.radius)
        self.events: list[Event] = []
        self.log = _Log(scenario.control_steps, robots, len(self.people), len(self.hall.solids.loose_pose))

    def run(self, capture: Callable[[Capture], None] | None) -> EpisodeRecord:
        """Step until the record is complete, and on until the last picture is taken."""
        steps, robots = self.scenario.control_steps, len(self.trackers)
        due = capture_schedule(self.scenario, robots, self.seed, self.index) if capture is not None else []
        photographer = Photographer(
            self.scenario, Camera(self.sampled.camera), self.sampled.model, self.sampled.lighting, self.stream
        )
        record: EpisodeRecord | None = None
        for k in range(steps):
            pose = self.fleet.pose
            scan_now = k % self.scenario.scan_every == 0
            if scan_now or (due and due[0][0] == k):
                carrying = np.array([tracker.carrying for tracker in self.trackers])
                self.stage.update(self.fleet.body_pose(), carrying)
            while due and due[0][0] == k and capture is not None:
                _, robot, number = due.pop(0)
                moving = self.stage.body_velocity(pose, self.fleet.velocity, self.people.velocity)
                now, velocity = k / self.scenario.control_rate, self.fleet.velocity[robot]
                capture(photographer.take(self.stage.scene, pose[robot], robot, number, now, velocity, moving))
            if record is not None and not due:
                break
            if scan_now:
                self.scans.take(self.stage.scene, pose, k / self.scenario.control_rate, self.fleet.velocity)
            self._control(k, pose)
            self._advance()
            if self._settle(k):
                record = record or self._record(k + 1)
                self.trackers = self._new_trackers()
        return record or self._record(steps)

    def _new_trackers(self) -> list[TaskTracker]:
        """Return every robot's tasks, to be done from where the robots are now."""
        pose = self.fleet.pose
        return [TaskTracker(r, tasks, self.judged, pose[r]) for r, tasks in enumerate(self.assignment.tasks)]

    def _make(self, make_policy: Callable[[], Policy], robot: int, angles: FloatArray) -> Policy:
        """Return a policy that is ready for the episode."""
        tasks = self.scenario.tasks
        words = seed_sequence(self.seed, self.index, "policy", robot).generate_state(1, np.uint64)
        info = EpisodeInfo(
            robot=self.sampled.model,
            layout=self.hall.map_layout,
            control_period=self.period,
            goal_tolerance=(tasks.goal_distance, tasks.goal_angle),
            scan_angles=angles.copy(),
            seed=int(words[0] >> np.uint64(1)),
        )
        try:
            policy = make_policy()
            policy.reset(info)
        except Exception as error:
            raise PolicyError(
                f"policy '{self.policy_name}' failed to start for robot {robot}: {type(error).__name__}: {error}"
            ) from error
        return policy

    def _control(self, k: int, pose: FloatArray) -> None:
        """Let every robot observe and answer; write the step down."""
        now = k / self.scenario.control_rate
        log = self.log
        log.pose[k], log.velocity[k] = pose, self.fleet.velocity
        log.person_pose[k], log.person_velocity[k] = self.people.pose, self.people.velocity
        log.loose_pose[k] = self.world.loose_pose()
        measured = self.fleet.encoder_velocity
        odometry, imu = self.reckoning.read(self.fleet.odometry, log.velocity[k])
        scan_time, scans = self.scans.newest(now)
        for r, tracker in enumerate(self.trackers):
            goal = tracker.goal
            observation = Observation(
                time=now,
                pose=localised(pose[r], self.error[k, r]),
                velocity=measured[r].copy(),
                odometry=odometry[r].copy(),
                imu=imu[r].copy(),
                scan=scans[r].copy(),
                scan_time=scan_time,
                goal=goal,
                carrying=tracker.carrying,
            )
            if goal is not None:
                log.goal[k, r] = goal
            log.command[k, r] = self._ask(r, k, observation)
        self.fleet.command(log.command[k])

    def _ask(self, robot: int, k: int, observation: Observation) -> tuple[float, float]:
        """Return a robot's command, or raise PolicyError saying what was wrong with it."""
        where = f"policy '{self.policy_name}', robot {robot}, step {k} ({observation.time:.2f} s)"
        try:
            answer: Any = self.policies[robot].act(observation)
        except Exception as error:
            raise PolicyError(f"{where}: act raised {type(error).__name__}: {error}") from error
        try:
            values = [float(value) for value in answer]
        except (TypeError, ValueError):
            values = []
        if len(values) != 2:
            raise PolicyError(f"{where}: act must return two numbers v [m/s], omega [rad/s], not {_shown(answer)}")
        if not (math.isfinite(values[0]) and math.isfinite(values[1])):
            raise PolicyError(f"{where}: act returned {_shown(answer)}; both numbers must be finite")
        return values[0], values[1]

    def _advance(self) -> None:
        """Let one control period pass: people decide where to go, then everything moves."""
        before = self.people.pose
        self.people.step(self.fleet.pose, self.fleet.velocity, self.radius, self.period)
        before[:, 2] = self.people.yaw
        self.world.set_people(before, self.people.velocity)
        mover = self.fleet.step if self.condition is None else self.condition.advance
        mover(PHYSICS_RATE // self.scenario.control_rate)

    def _settle(self, k: int) -> bool:
        """Follow the tasks after step k; returns whether all are done."""
        pose, velocity = self.fleet.pose, self.fleet.velocity
        for r, tracker in enumerate(self.trackers):
            before = tracker.payload
            self.events += tracker.advance((k + 1) / self.scenario.control_rate, self.period, pose[r], velocity[r])
            if tracker.payload != before:
                self.fleet.set_payload(r, tracker.payload)
        return all(tracker.done for tracker in self.trackers)

    def _record(self, steps: int) -> EpisodeRecord:
        """Close the books after the first ``steps`` control steps."""
        log, sampled = self.log, self.sampled
        time = np.arange(steps) / self.scenario.control_rate
        end = steps / self.scenario.control_rate
        person_radius = np.full(len(self.people), PERSON_RADIUS)
        everything, people = self._distances(steps, person_radius)
        events = self.events + [
            Event(c.time, "collision", c.robot, c.other_class, c.other_id, c.speed, c.impulse, c.position)
            for c in self.world.contacts()
        ]
        events += find_incidents(
            time,
            log.pose[:steps],
            log.velocity[:steps],
            log.command[:steps],
            log.goal[:steps],
            people,
            self.period,
        )
        for r, tracker in enumerate(self.trackers):
            if not tracker.done:
                x, y = (float(value) for value in self.fleet.pose[r, :2])
                events.append(Event(end, "timeout", r, position=(x, y)))
        events += self._faults(time)
        events.sort(key=lambda event: (event.time, event.robot, event.kind, event.other_id))
        record = EpisodeRecord(
            scenario_hash=config_hash(self.scenario),
            twin_version=f"{self.twin.name}@{self.twin.version}" if self.twin is not None else "",
            policy=self.policy_name,
            seed=self.seed,
            index=self.index,
            layout_hash=self.hall.content,
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
            robot_radius=self.radius.copy(),
            person_radius=person_radius,
            energy_wh=(self.fleet if self.condition is None else self.condition).energy_wh.copy(),
            loose_moves=_changes(log.loose_pose[:steps]),
            events=events,
            tasks=[result for tracker in self.trackers for result in (*tracker.results, *tracker.unfinished())],
            sampled=dict(sampled.values),
        )
        record.kpis = episode_kpis(record, control_period=self.period)
        if self.condition is not None and self.telemetry is not None:
            starts = self.condition.starts
            self.telemetry(
                Telemetry(
                    scenario_hash=record.scenario_hash,
                    seed=self.seed,
                    index=self.index,
                    time_scale=self.condition.time_scale,
                    age_h=np.array([start.age_h for start in starts]),
                    faults=tuple(start.faults for start in starts),
                    rows=self.condition.telemetry,
                )
            )
        return record

    def _faults(self, time: FloatArray) -> list[Event]:
        """Return onsets and failures so far, at the places where the robots were."""
        events = []
        for change in self.condition.changes() if self.condition is not None else ():
            k = max(int(np.searchsorted(time, change.time, side="right")) - 1, 0)
            x, y = (float(value) for value in self.log.pose[k, change.robot, :2])
            events.append(
                Event(change.time, "fault", change.robot, change.kind, change.stage, change.severity, position=(x, y))
            )
        return events

    def _distances(self, steps: int, person_radius: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return distances (T, R) [m] from every robot to the nearest thing and to the nearest person."""
        model, solids = self.sampled.model, self.hall.solids
        half = np.tile([0.5 * model.length, 0.5 * model.width], (len(self.trackers), 1))
        return clearances(
            self.log.pose[:steps],
            half,
            footprints(solids.static, 0.01, model.height),
            _loose_outlines(
                footprints(solids.loose, -math.inf, math.inf), solids.loose.body, self.log.loose_pose[:steps]
            ),
            self.log.person_pose[:steps, :, :2],
            person_radius,
        )


def _changes(pose: FloatArray) -> FloatArray:
    """Return the rows (M, 9) step, body, pose of all poses (T, L, 7) that differ from the step before."""
    step, body = np.nonzero(np.any(pose[1:] != pose[:-1], axis=2))
    return np.column_stack([step + 1, body, pose[step + 1, body]])


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


def _shown(answer: Any) -> str:
    text = repr(answer)
    return text if len(text) <= 80 else text[:77] + "..."
