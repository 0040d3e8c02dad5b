"""A small closed-loop world for policies: unicycles with ramps and lag, discs that walk, and a lidar by sphere tracing.

Written apart from the product's physics and sensors, so that it checks the policies and not their neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from floorcast.common.geometry import mounted, wrap_angle
from floorcast.episodes.policy import EpisodeInfo, Observation, Policy
from floorcast.layouts.model import Layout
from floorcast.layouts.occupancy import clearance_field, occupancy_grid
from floorcast.robots.model import RobotModel

PERIOD = 0.05
ANGLES = -np.pi + np.arange(360) * (2 * np.pi / 360)
SIGHT = 20.0


@dataclass
class Person:
    """A disc that walks along a polyline and back at a constant speed.

    It stops before robots and turns round after a while; ``careless`` ones stop only for robots that stand still.
    """

    points: np.ndarray
    speed: float
    careless: bool = False
    radius: float = 0.25
    arc: float = 0.0
    waited: float = 0.0

    def __post_init__(self) -> None:
        self.points = np.asarray(self.points, dtype=float)
        step = np.diff(self.points, axis=0)
        self.lengths = np.concatenate([[0.0], np.cumsum(np.hypot(step[:, 0], step[:, 1]))])

    @property
    def position(self) -> np.ndarray:
        total = self.lengths[-1]
        s = self.arc % (2 * total) if total > 0 else 0.0
        s = 2 * total - s if s > total else s
        return np.array([np.interp(s, self.lengths, self.points[:, k]) for k in range(2)])


@dataclass
class Machine:
    """A robot: pose, speeds, its policy and goals."""

    policy: Policy
    pose: np.ndarray
    goals: list[np.ndarray]
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    motor: np.ndarray = field(default_factory=lambda: np.zeros(2))
    reached: int = 0
    scan: np.ndarray = field(default_factory=lambda: np.full(len(ANGLES), np.inf, dtype=np.float32))
    scan_time: float = 0.0
    trail: list[np.ndarray] = field(default_factory=list)
    finished_at: float = math.inf


@dataclass
class Outcome:
    """Who touched what, the least distances, and the machines as they ended."""

    touched: list[str]
    least_static: float
    least_person: float
    least_robot: float
    time: float
    machines: list[Machine]

    @property
    def done(self) -> bool:
        return all(m.reached == len(m.goals) for m in self.machines)


class Hall:
    """The world. Loose boxes (x, y, half edge) are seen by the lidar and are not on the policies' map."""

    def __init__(
        self,
        layout: Layout,
        robot: RobotModel | None = None,
        *,
        people: list[Person] | None = None,
        boxes: tuple[tuple[float, float, float], ...] = (),
        noise: float = 0.01,
        pose_noise: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.layout, self.robot = layout, robot or RobotModel()
        self.people = people or []
        self.rng = np.random.default_rng(seed)
        self.noise, self.pose_noise = noise, pose_noise
        grid = occupancy_grid(layout, 0.05)
        xs = grid.origin[0] + (np.arange(grid.occupied.shape[1]) + 0.5) * grid.resolution
        ys = grid.origin[1] + (np.arange(grid.occupied.shape[0]) + 0.5) * grid.resolution
        for x, y, half in boxes:
            grid.occupied[np.ix_(np.abs(ys - y) <= half, np.abs(xs - x) <= half)] = True
        self.field = clearance_field(grid).astype(np.float64)
        self.origin, self.resolution = np.asarray(grid.origin), grid.resolution
        self.machines: list[Machine] = []
        self.seed = seed

    def add(self, make: Callable[[], Policy], pose, goals) -> Machine:
        policy = make()
        layout = self.layout.model_copy(update={"goods": tuple(g for g in self.layout.goods if g.rack)})
        if self.machines:
            layout = self.known
        self.known = layout
        policy.reset(
            EpisodeInfo(
                robot=self.robot,
                layout=layout,
                control_period=PERIOD,
                goal_tolerance=(0.25, 0.25),
                scan_angles=ANGLES,
                seed=self.seed * 100 + len(self.machines),
            )
        )
        machine = Machine(policy, np.asarray(pose, dtype=float), [np.asarray(g, dtype=float) for g in goals])
        self.machines.append(machine)
        return machine

    def distance(self, points: np.ndarray) -> np.ndarray:
        """(N,) to the nearest standing thing, about half a cell exact; 0 outside."""
        cell = np.floor((points - self.origin) / self.resolution).astype(int)
        inside = (cell >= 0).all(axis=1) & (cell[:, 0] < self.field.shape[1]) & (cell[:, 1] < self.field.shape[0])
        out = np.zeros(len(points))
        out[inside] = self.field[cell[inside, 1], cell[inside, 0]]
        return out

    def cast(self, machine: Machine) -> np.ndarray:
        mount = self.robot.lidar_mount
        origin, rotation = mounted(machine.pose, (mount.x, mount.y, mount.z, mount.roll, mount.pitch, mount.yaw))
        yaw = math.atan2(rotation[1, 0], rotation[0, 0])
        direction = np.column_stack([np.cos(yaw + ANGLES), np.sin(yaw + ANGLES)])
        travelled = np.zeros(len(ANGLES))
        for _ in range(120):
            step = self.distance(origin[:2] + travelled[:, None] * direction)
            travelled += np.where(step > 0.03, np.maximum(step - 0.03, 0.02), 0.0)
            if np.all((step <= 0.03) | (travelled > SIGHT)):
                break
        ranges = np.where(travelled < SIGHT, travelled, np.inf)
        for person in self.people:
            # At the lidar's height there are only legs.
            for side in (-0.09, 0.09):
                ranges = np.minimum(ranges, _disc(origin[:2], direction, np.add(person.position, (0.0, side)), 0.075))
        for other in self.machines:
            if other is not machine:
                ranges = np.minimum(ranges, _rectangle(origin[:2], direction, other.pose, self.robot))
        ranges = ranges + self.rng.normal(0, self.noise, len(ranges))
        return ranges.astype(np.float32)

    def run(self, duration: float) -> Outcome:
        touched: list[str] = []
        least = [math.inf, math.inf, math.inf]
        step = 0
        time = 0.0
        while time < duration and not all(m.reached == len(m.goals) for m in self.machines):
            time = step * PERIOD
            for machine in self.machines:
                if step % 2 == 0:
                    machine.scan, machine.scan_time = self.cast(machine), time
                self._drive(machine, time)
            self._walk()
            self._judge(touched, least)
            step += 1
        return Outcome(touched, least[0], least[1], least[2], time, self.machines)

    def _drive(self, machine: Machine, time: float) -> None:
        drive = self.robot.drive
        goal = machine.goals[machine.reached] if machine.reached < len(machine.goals) else None
        estimate = machine.pose + self.rng.normal(0, self.pose_noise, 3) * (1, 1, 0.3)
        observation = Observation(
            time=time,
            pose=estimate,
            velocity=machine.velocity.copy(),
            odometry=np.zeros(3),
            imu=np.empty((0, 6)),
            scan=machine.scan,
            scan_time=machine.scan_time,
            goal=goal,
            carrying=False,
        )
        v, omega = machine.policy.act(observation)
        assert math.isfinite(v)
        assert math.isfinite(omega)
        want = np.clip([v, omega], [-drive.max_speed, -drive.max_yaw_rate], [drive.max_speed, drive.max_yaw_rate])
        up = np.array([drive.max_acceleration, drive.max_yaw_acceleration]) * PERIOD
        down = np.array([drive.max_deceleration, drive.max_yaw_acceleration]) * PERIOD
        change = want - machine.motor
        braking = np.abs(want) < np.abs(machine.motor)
        limit = np.where(braking, down, up)
        machine.motor = machine.motor + np.clip(change, -limit, limit)
        machine.velocity = machine.velocity + (machine.motor - machine.velocity) * (1 - math.exp(-PERIOD / 0.08))
        v, omega = machine.velocity
        yaw = machine.pose[2]
        machine.pose = machine.pose + PERIOD * np.array(
            [v * math.cos(yaw + 0.5 * omega * PERIOD), v * math.sin(yaw + 0.5 * omega * PERIOD), omega]
        )
        machine.trail.append(machine.pose.copy())
        if goal is not None and math.hypot(*(goal[:2] - machine.pose[:2])) < 0.25:
            turned = abs(float(wrap_angle(goal[2] - machine.pose[2]))) < 0.25
            if turned and abs(v) < 0.05 and abs(omega) < 0.1:
                machine.reached += 1
                machine.finished_at = time

    def _walk(self) -> None:
        for person in self.people:
            ahead = Person(
                person.points, person.speed, radius=person.radius, arc=person.arc + math.copysign(0.3, person.speed)
            ).position
            near = any(np.hypot(*(m.pose[:2] - ahead)) < 1.1 for m in self.machines)
            closer = any(
                np.hypot(*(m.pose[:2] - ahead)) < np.hypot(*(m.pose[:2] - person.position)) for m in self.machines
            )
            slow = any(np.abs(m.velocity[0]) < 0.05 and np.hypot(*(m.pose[:2] - ahead)) < 0.95 for m in self.machines)
            if closer and ((near and not person.careless) or slow):
                person.waited += PERIOD
                if person.waited > 2.0:
                    person.speed, person.waited = -person.speed, 0.0
                continue
            person.arc += person.speed * PERIOD

    def _judge(self, touched: list[str], least: list[float]) -> None:
        for index, machine in enumerate(self.machines):
            outline = _outline(machine.pose, self.robot)
            static = float(np.min(self.distance(outline))) - 0.5 * self.resolution
            least[0] = min(least[0], static)
            if static <= 0:
                touched.append(f"robot {index} the hall at {machine.pose}")
            for person in self.people:
                gap = _gap(machine.pose, person.position[None], self.robot) - person.radius
                least[1] = min(least[1], gap)
                if gap <= 0:
                    touched.append(f"robot {index} a person at {machine.pose} v {machine.velocity}")
            for other in self.machines[:index]:
                gap = _gap(machine.pose, _outline(other.pose, self.robot), self.robot)
                least[2] = min(least[2], gap)
                if gap <= 0:
                    touched.append(f"robot {index} a robot at {machine.pose}")


def _outline(pose: np.ndarray, robot: RobotModel) -> np.ndarray:
    a, b = 0.5 * robot.length, 0.5 * robot.width
    s = np.linspace(-1, 1, 9)
    one = np.ones(9)
    local = np.concatenate(
        [np.column_stack(p) for p in ((a * one, b * s), (-a * one, b * s), (a * s, b * one), (a * s, -b * one))]
    )
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    return local @ np.array([[cos, sin], [-sin, cos]]) + pose[:2]


def _gap(pose: np.ndarray, points: np.ndarray, robot: RobotModel) -> float:
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    local = (points - pose[:2]) @ np.array([[cos, -sin], [sin, cos]])
    out = np.abs(local) - (0.5 * robot.length, 0.5 * robot.width)
    return float(np.min(np.where(out.max(axis=1) <= 0, out.max(axis=1), np.hypot(*np.maximum(out, 0).T))))


def _disc(origin: np.ndarray, direction: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    p = centre - origin
    along = direction @ p
    inside = radius**2 - (p @ p - along**2)
    hit = along - np.sqrt(np.maximum(inside, 0))
    return np.where((inside > 0) & (hit > 0), hit, np.inf)


def _rectangle(origin: np.ndarray, direction: np.ndarray, pose: np.ndarray, robot: RobotModel) -> np.ndarray:
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    turn = np.array([[cos, -sin], [sin, cos]])
    o, d = (origin - pose[:2]) @ turn, direction @ turn
    d = np.where(np.abs(d) < 1e-9, 1e-9, d)
    half = np.array([0.5 * robot.length, 0.5 * robot.width])
    a, b = (-half - o) / d, (half - o) / d
    near, far = np.minimum(a, b).max(axis=1), np.maximum(a, b).min(axis=1)
    return np.where((near <= far) & (near > 0), near, np.inf)
