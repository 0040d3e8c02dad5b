"""An episode while it runs: the hall, the world, the robots and all that acts, drawn and put in place.

Nothing here asks a policy: ``loop`` does that. Everything that a feature needs of an episode hangs here, and what acts
beside the policies is in ``LiveEpisode.actors``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from ..common.seeding import generator, seed_sequence
from ..perception.camera import Camera
from ..perception.lidar import Lidar
from ..robots.fleet import Fleet
from .actors import Actor, Pedestrians
from .belts import Belts, belt_goods
from .capture import Photographer
from .chronicle import Chronicle
from .condition import fleet_condition
from .crowd import Crowd, plan_crowd
from .dispatch import Dispatcher
from .disturbances.actor import Disturbances
from .disturbances.floor import spill_radii
from .disturbances.plan import Occurrence, Surroundings, plan_disturbances, reserve_of
from .errands import Errands, FixedErrands
from .forklifts import Forklifts, Rounds, plan_rounds
from .hall import Hall, hall_of, with_reserve, world_of
from .localisation import LocalisationErrors
from .log import EpisodeLog
from .machines import RobotsOf
from .people import People, plan_people
from .policy import EpisodeInfo
from .randomization import sample_scenario
from .record import Event
from .routes import FloatArray
from .scenario import PHYSICS_RATE, Scenario
from .sensing import DeadReckoning, ScanQueue, Stage, localisation_errors
from .tasks import assign_tasks
from .vehicles import Vehicles
from .windows import Windows

if TYPE_CHECKING:
    from ..robots.twin import Twin


class LiveEpisode:
    """One episode, drawn and ready for its first step.

    Args:
        scenario: what to draw from.
        seed, index: which episode.
        twin: calibrated parameters; the true drives are drawn around them.

    Attributes:
        scenario, seed, index, twin: as given. period: between two control steps [s].
        sampled: what was drawn. hall: what follows from its layout.
        assignment: starts, tasks and shortest ways.
        world, fleet: physics; machines: the robots and, after them, the forklifts, whose drivers are ``forklifts``.
        rounds: where these go. condition: batteries, wear and faults, or None.
        people: persons on foot. vehicles: the machines that they mind. radius: (R,) circumscribed radii [m].
        actors: what acts beside the policies, in the order in which the loop calls it.
        errands: what the robots are to do now.
        stage: what sensors see. scans, reckoning: what they report. photographer: takes the pictures.
        error: (T, R, 3) of the localisation, by control step; an actor may change rows that are still to come.
        stream: of the sensors' noise.
        told: (R, 2) what the drives were told last. closed: ids of stations and conveyors that serve nobody now.
        belts: the hall's conveyors at work, or None. first_belt_good: number of the first of their own loose goods.
        occurrences: the disturbances that will come. windows: of the lidars.
        log: what was written down. chronicle: what becomes of it where not every step is kept, or None.
        events: what happened to the robots' tasks.

    Raises:
        InputError: the scenario cannot be realised (no hall can be built, no stations, no room to start).
    """

    def __init__(self, scenario: Scenario, seed: int, index: int, twin: Twin | None) -> None:
        self.scenario, self.seed, self.index, self.twin = scenario, seed, index, twin
        self.period = scenario.control_period
        self.sampled = sample_scenario(scenario, seed, index, twin)
        self.hall = hall_of(self.sampled.layout)
        models, robots = self.sampled.models, len(self.sampled.drives)
        grounds = {width: self.hall.ground(0.5 * width) for width in {model.width for model in models}}
        self.assignment = assign_tasks(
            self.sampled.layout,
            [grounds[model.width] for model in models],
            models,
            self.sampled.tasks if scenario.orders is None else [()] * len(models),
            generator(seed, index, "tasks"),
            self.hall.fields,
        )
        self.rounds = self._plan_rounds()
        plan = plan_crowd if scenario.people.model == "social_force" else plan_people
        self.people: People | Crowd = plan(
            self.sampled.walkers,
            self.sampled.layout,
            self.hall.walkable(),
            self.assignment.routes,
            np.concatenate([self.assignment.start, self.rounds.start])[:, :2],
            scenario.duration,
            [generator(seed, index, f"people.{p}.walk") for p in range(len(self.sampled.walkers))],
        )
        self.occurrences, self.hall = self._plan_disturbances()
        self.first_belt_good = len(self.hall.solids.loose_pose)
        self.hall = with_reserve(self.hall, belt_goods(scenario, seed, index))
        self.world = world_of(self.hall, self.sampled.loose_mass)
        self.fleet, self.machines = self._start_machines()
        self.radius = np.array([model.radius for model in models])

        self.stream = int(generator(seed, index, "noise").integers(2**62))
        self.condition = fleet_condition(scenario, self.fleet, seed, index, self.stream, self.sampled.values)
        self._prepare_sensors()
        self.errands: Errands = self._work()
        self.chronicle = Chronicle(self, scenario.record_rate) if scenario.record_rate is not None else None
        rows = scenario.control_steps if self.chronicle is None else self.chronicle.rows
        self.log = EpisodeLog(rows, robots, len(self.people), len(self.hall.solids.loose_pose))
        self.events: list[Event] = []
        self.vehicles = Vehicles(self.machines.models, robots)
        self.actors: list[Actor] = [Pedestrians(self.people, self.machines, self.world, self.vehicles)]
        self.forklifts: Forklifts | None = None
        if isinstance(self.fleet, RobotsOf):
            self.forklifts = Forklifts(
                self.rounds,
                self.sampled.drivers,
                self.machines,
                robots,
                self.fleet.told,
                self.people,
                self.vehicles,
                self.hall.ground(0.0),
                self.period,
                self.log,
                1 if self.chronicle is None else self.chronicle.every,
            )
            self.actors.append(self.forklifts)
        self.belts = Belts(self, self.first_belt_good) if scenario.conveyors is not None else None
        if self.belts is not None:
            self.actors.append(self.belts)
        self.told = np.zeros((robots, 2))
        self.closed: list[str] = []
        if self.occurrences:
            self.actors.append(Disturbances(self, self.occurrences))

    def infos(self) -> list[EpisodeInfo]:
        """Return what each robot is told at the start."""
        tasks = self.scenario.tasks
        infos = []
        for robot, model in enumerate(self.sampled.models):
            words = seed_sequence(self.seed, self.index, "policy", robot).generate_state(1, np.uint64)
            infos.append(
                EpisodeInfo(
                    robot=model,
                    layout=self.hall.map_layout,
                    control_period=self.period,
                    goal_tolerance=(tasks.goal_distance, tasks.goal_angle),
                    scan_angles=self.scans.angles.copy(),
                    seed=int(words[0] >> np.uint64(1)),
                )
            )
        return infos

    def scan(self, time: float, pose: FloatArray) -> None:
        """Let all lidars scan at ``time`` [s] from robots at poses (R, 3); the stage must be up to date."""
        if self.condition is not None:
            self.windows.worn = self.condition.window_dirt
        self.scans.take(self.stage.scene, pose, time, self.fleet.velocity)

    def unnamed_loads(self) -> NDArray[np.bool_]:
        """Return whether a machine shows a load (M,): it is laden, and with no good that is seen by itself."""
        carrying = self.errands.carrying
        for robot in np.flatnonzero(carrying).tolist():
            carrying[robot] = not self.world.carried_by(robot)
        return carrying if self.forklifts is None else np.concatenate([carrying, self.forklifts.carrying])

    def write_down(self, k: int, pose: FloatArray) -> None:
        """Log where everything is at the beginning of control step k; ``pose`` (R, 3) of the robots."""
        log = self.log
        row = log.row(k)
        log.pose[row], log.velocity[row] = pose, self.fleet.velocity
        log.person_pose[row], log.person_velocity[row] = self.people.pose, self.people.velocity
        log.loose_pose[row] = self.world.loose_pose()

    def advance(self, time: float) -> None:
        """Let one control period pass from ``time`` [s]: the actors decide, then everything moves."""
        for actor in self.actors:
            actor.advance(time, self.period)
        mover = self.fleet.step if self.condition is None else self.condition.advance
        mover(PHYSICS_RATE // self.scenario.control_rate)

    def settle(self, time: float) -> bool:
        """Follow the tasks up to ``time`` [s], the end of a control step; returns whether all are done."""
        for actor in self.actors:
            actor.settle(time)
        robots = range(len(self.radius))
        before = [self.errands.payload(r) for r in robots]
        pose, velocity = self.fleet.pose, self.fleet.velocity
        self.events += self.errands.advance(time, self.period, pose, velocity, self.closed)
        for r in robots:
            payload = self.errands.payload(r)
            if payload != before[r]:
                self.fleet.set_payload(r, payload)
        return self.errands.done

    def _plan_disturbances(self) -> tuple[list[Occurrence], Hall]:
        """Return what will go wrong, and the hall with the goods that it needs in reserve."""
        if not self.scenario.disturbances:
            return [], self.hall
        layout = self.sampled.layout
        used = {s.id for mine in self.assignment.tasks for task in mine for s in (task.pick, task.drop)}
        stations = [station for station in layout.stations if station.id in used or not used]
        around = Surroundings(
            ground=self.hall.ground(0.5 * self.sampled.model.width),
            routes=self.assignment.routes,
            kept_clear=np.array([*self.assignment.start[:, :2], *((s.x, s.y) for s in stations)]),
            equipment={
                "station": tuple(station.id for station in stations),
                "charger": tuple(charger.id for charger in layout.chargers),
                "conveyor": tuple(conveyor.id for conveyor in layout.conveyors),
            },
            robots=len(self.sampled.drives),
        )
        first = len(self.hall.solids.loose_pose)
        planned = plan_disturbances(self.scenario, around, first, self.seed, self.index, self.sampled.values)
        return planned, with_reserve(self.hall, reserve_of(self.scenario, self.seed, self.index))

    def _plan_rounds(self) -> Rounds:
        ranges, drivers = self.scenario.forklifts, self.sampled.drivers
        if ranges is None:
            return Rounds.none()
        rngs = [generator(self.seed, self.index, f"forklifts.{f}.round") for f in range(len(drivers))]
        return plan_rounds(ranges, drivers, self.sampled.layout, self.hall, self.assignment.start, rngs)

    def _start_machines(self) -> tuple[Fleet, Fleet]:
        """Put robots and forklifts at their starts; returns the fleet of the robots, and that of all machines."""
        sampled, ranges, robots = self.sampled, self.scenario.forklifts, len(self.sampled.drives)
        models, drives = list(sampled.models), list(sampled.drives)
        if ranges is not None:
            models += [ranges.model] * len(sampled.drivers)
            drives += [ranges.model.drive.model_copy(update={"max_speed": driver.speed}) for driver in sampled.drivers]
        driven = [None] * (len(models) - robots)
        machines = Fleet(self.world, models, drives, [*sampled.motions, *driven])
        start = np.concatenate([self.assignment.start, self.rounds.start])
        machines.reset(start, np.zeros(len(models)), sampled.friction)
        if len(models) == robots:
            return machines, machines
        return cast("Fleet", RobotsOf(machines, robots, sampled.friction)), machines

    def _prepare_sensors(self) -> None:
        sampled = self.sampled
        self.stage = Stage(
            self.hall.solids,
            self.machines.models,
            len(self.people),
            self.seed,
            self.index,
            sampled.appearance,
            patches=spill_radii(self.occurrences),
        )
        lidar = Lidar(sampled.lidar)
        self.windows = Windows(sampled.lidar, lidar.angles, len(sampled.models), self.seed, self.index)
        self.scans = ScanQueue(lidar, sampled.models, sampled.lidar_latency, self.stream, windows=self.windows)
        self.reckoning = DeadReckoning(
            sampled, self.assignment.start, self.scenario.imu_samples, self.period, self.stream
        )
        self.photographer = Photographer(
            self.scenario, Camera(sampled.camera), sampled.models, sampled.lighting, self.stream
        )
        if self.scenario.record_rate is not None:
            self.error: FloatArray | LocalisationErrors = LocalisationErrors(
                sampled, self.period, self.seed, self.index
            )
        else:
            self.error = localisation_errors(sampled, self.scenario.control_steps, self.period, self.seed, self.index)

    def _work(self) -> Errands:
        """Return what the robots are to do: orders, or the tasks drawn for them."""
        orders, sampled = self.scenario.orders, self.sampled
        if orders is None:
            return FixedErrands(self.assignment.tasks, self._judged(), self.fleet.pose)
        ground = self.hall.ground(0.5 * max(model.width for model in sampled.models))
        start, tolerance = self.assignment.start, self._judged()
        return Dispatcher(
            orders, sampled.layout, ground, sampled.models, start, tolerance, self.condition, self.seed, self.index
        )

    def _judged(self) -> tuple[float, float]:
        # The robots are told a tolerance that their localisation can keep; they are judged on the truth.
        tasks, sampled = self.scenario.tasks, self.sampled
        return tasks.goal_distance + 3.0 * sampled.position_error, tasks.goal_angle + 3.0 * sampled.heading_error
