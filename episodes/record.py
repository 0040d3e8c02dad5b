"""What an episode leaves behind."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .stock import StockTable

EventKind = Literal[
    "collision",
    "pick",
    "drop",
    "goal_reached",
    "near_miss",
    "estop",
    "stuck",
    "timeout",
    "planning_failed",
    "fault",
    "disturbance",
    "conveyor",
]


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Attributes:
        time: [s] since the start.
        kind: what.
        robot: index of the robot; -1 for what happens to the hall and its conveyors.
        other: class name of the other party ("person", "rack", "amr", ...), kind of the fault or disturbance,
            what a conveyor did (``physics.conveyors.ConveyorEvent``), or "".
        other_id: id of the other party, "onset" or "failure" of a fault, "begin" or "end" of a disturbance,
            conveyor or photo-eye, or "".
        value: speed at contact [m/s] for collisions, severity of faults [-], size of disturbances,
            number of the loose good (-1: none) for conveyors, otherwise 0.
        impulse: contact impulse [N s] for collisions, otherwise 0.
        position: x, y [m] in ``map``.
    """

    time: float
    kind: EventKind
    robot: int
    other: str = ""
    other_id: str = ""
    value: float = 0.0
    impulse: float = 0.0
    position: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class TaskResult:
    """One pick-and-drop task as it went. Times [s], lengths [m]; nan where a stage was never reached."""

    robot: int
    pick_station: str
    drop_station: str
    start_time: float
    pick_time: float
    end_time: float
    path_length: float
    shortest_length: float
    success: bool


@dataclass(frozen=True)
class OrderResult:
    """One order as it went. Times [s]; ``end_time`` is nan for one that is still open, ``backordered`` counts the
    cartons that had to wait for stock; ``kind`` is "out", "return" or "supply"."""

    name: str
    kind: str
    time: float
    due: float
    end_time: float
    lines: int
    cartons: int
    backordered: int


@dataclass(frozen=True)
class FloorResult:
    """What an episode with orders leaves behind beside its trajectories.

    Attributes:
        orders: those done, in the order of their ends, then those still open.
        stock: the books.
        charging_s: (R,) float64 time at chargers [s].
        deadlocks: times that two robots blocked each other; withdrawals: times that one was sent out of the way.
        skipped: rows of the order file that could not be used, by reason.
    """

    orders: list[OrderResult]
    stock: StockTable
    charging_s: NDArray[np.float64]
    deadlocks: int
    withdrawals: int
    skipped: dict[str, int]


@dataclass
class EpisodeRecord:
    """The outcome of one episode: pure in (scenario, twin, policy, seed, index).

    T control steps, R robots, P people. All ground truth, for evaluation only: a policy never sees a record.

    Attributes:
        scenario_hash, twin_version, policy, seed, index: what was run.
        area, friction, ...: see ``sampled``: what the randomization drew, by dotted name.
        layout_hash: content hash of the sampled layout.
        duration: simulated seconds.
        time: (T,) float64 [s].
        pose: (T, R, 3) float64 x, y [m], yaw [rad] of ``base_link`` in ``map``.
        velocity: (T, R, 2) float64 v [m/s], omega [rad/s].
        command: (T, R, 2) float64, what the policy asked for.
        goal: (T, R, 3) float64, nan where the robot had none.
        min_clearance: (T, R) float64 [m], from the footprint to the nearest static or moving thing (people included).
        person_distance: (T, R) float64 [m], from the footprint to the nearest person's body; inf without people.
        person_pose: (T, P, 3) float64; person_velocity: (T, P, 2) float64 vx, vy [m/s] in ``map``.
        robot_radius: (R,) float64 [m] circumscribed radius; person_radius: (P,) float64 [m].
        energy_wh: (R,) float64 electrical energy used.
        loose_moves: (M, 9) float64, every change of a loose good's place, in order of time: control step, number of the
            good among the layout's loose ones, x, y, z [m], qx, qy, qz, qw of its centre of mass in ``map``.
        forklift_pose: (T, F, 3) float64 x, y [m], yaw [rad] of driven forklifts; forklift_load: (T, F) float64, 1 where
            something lay on the forks. None of them is in files of episodes without forklifts.
        events: in order of time.
        tasks: finished and unfinished tasks.
        kpis: per-episode key performance indicators by name (see ``episodes.kpis``); nan is stored as None.
        sampled: what randomization drew, by dotted name.
        floor: orders and stock; None for an episode without orders.
        record_period: time between two rows [s]; None: every control step is a row. With a period the rows of
            ``min_clearance`` and ``person_distance`` hold the least since the row before.
    """

    scenario_hash: str
    twin_version: str
    policy: str
    seed: int
    index: int
    layout_hash: str
    duration: float
    time: NDArray[np.float64]
    pose: NDArray[np.float64]
    velocity: NDArray[np.float64]
    command: NDArray[np.float64]
    goal: NDArray[np.float64]
    min_clearance: NDArray[np.float64]
    person_distance: NDArray[np.float64]
    person_pose: NDArray[np.float64]
    person_velocity: NDArray[np.float64]
    robot_radius: NDArray[np.float64]
    person_radius: NDArray[np.float64]
    energy_wh: NDArray[np.float64]
    loose_moves: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 9)))
    forklift_pose: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0, 3)))
    forklift_load: NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 0)))
    events: list[Event] = field(default_factory=list)
    tasks: list[TaskResult] = field(default_factory=list)
    kpis: dict[str, float | None] = field(default_factory=dict)
    sampled: dict[str, Any] = field(default_factory=dict)
    floor: FloorResult | None = None
    record_period: float | None = None
