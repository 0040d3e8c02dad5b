"""The same episode as a newcomer to PyBullet would write it, competently: the peer of the benchmark.

Every primitive of the hall is a body of its own, goods that stand loose have mass, robots are URDFs whose wheels are
turned by velocity motors, ``stepSimulation`` runs at its default 240 Hz. Lidars are ``rayTestBatch`` with rays that
start at the edge of the robot, cameras are TinyRenderer's ``getCameraImage``. One client serves all episodes,
emptied by ``resetSimulation``. People walk as in the episode that it is compared with: their poses are played back.

It is spared what the loop of ours does besides: randomization, routes, odometry, IMU, sensor noise, tasks, KPIs.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.geometry import mounted, quaternion_from_yaw, quaternion_multiply, rotation_matrix
from ...common.primitives import BOX, CAPSULE, CYLINDER, PLANE, SPHERE, Primitives
from ...common.seeding import generator
from ...perception.lidar import beam_angles
from ...physics.bullet import acquire_client, pybullet, release_client
from ...robots.model import RobotModel
from ..capture import capture_schedule
from ..people import person_shape
from ..policy import EpisodeInfo, Observation
from ..record import EpisodeRecord
from ..scenario import PHYSICS_RATE, Scenario
from .setting import Drivers, Journal, Plan

FloatArray = NDArray[np.float64]

_SHAPE = {BOX: pybullet.GEOM_BOX, CYLINDER: pybullet.GEOM_CYLINDER, CAPSULE: pybullet.GEOM_CAPSULE,
          SPHERE: pybullet.GEOM_SPHERE}  # fmt: skip
_CASTER = 0.03


@dataclass
class NaiveOutcome:
    """What the loop did.

    Attributes:
        seconds: processor time by part [s]; their sum is the episode.
        pose: (T, R, 3) of the robots. scans, pictures: how many scans and pictures were taken.
        first_scan: (R, B) ranges [m] of the first scan.
    """

    seconds: dict[str, float]
    pose: FloatArray
    scans: int
    pictures: int
    first_scan: NDArray[np.float32]


@dataclass
class _Clock:
    """Processor time by part."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = time.process_time()
        yield
        self.seconds[name] += time.process_time() - start


def run_naive(
    scenario: Scenario, plan: Plan, seen: EpisodeRecord, drivers: Drivers, folder: Path, seed: int, index: int
) -> NaiveOutcome:
    """Run the episode of a plan in PyBullet alone and write it to a folder.

    Args:
        scenario, plan, seed, index: the episode; ``seen`` is its record, for what the people do.
        drivers: one for each robot. folder: is written to, as ``Journal`` says, and the arrays as one ``.npz``.
    """
    clock = _Clock()
    client = acquire_client()
    try:
        with clock.part("reset and build"):
            world = _World(client, scenario, plan, folder)
        for driver in (drivers() for _ in plan.routes):
            driver.reset(world.info)
        return _loop(world, scenario, plan, seen, drivers, folder, seed, index, clock)
    finally:
        release_client(client)


def _loop(
    world: _World,
    scenario: Scenario,
    plan: Plan,
    seen: EpisodeRecord,
    drivers: Drivers,
    folder: Path,
    seed: int,
    index: int,
    clock: _Clock,
) -> NaiveOutcome:
    steps, robots = scenario.control_steps, len(plan.routes)
    due = capture_schedule(scenario, robots, seed, index) if scenario.capture.frames else []
    journal = Journal(folder)
    pose, velocity = np.empty((steps, robots, 3)), np.empty((steps, robots, 2))
    command, loose = np.zeros((steps, robots, 2)), np.empty((steps, len(plan.hall.solids.loose_pose), 7))
    scans: list[list[NDArray[np.float32]]] = []
    scan_time = 0.0
    for k in range(steps):
        now = k / scenario.control_rate
        with clock.part("people"):
            world.place_people(seen.person_pose[k])
        with clock.part("record"):
            world.read(pose[k], velocity[k], loose[k])
        with clock.part("camera"):
            while due and due[0][0] == k:
                journal.picture(world.picture(pose[k, due.pop(0)[1]]))
        with clock.part("lidar"):
            if k % scenario.scan_every == 0:
                scan_time = now
                scans.append([world.scan(place) for place in pose[k]])
        with clock.part("driver"):
            for r, driver in enumerate(drivers.all):
                command[k, r] = driver.act(world.observation(now, pose[k, r], velocity[k, r], scans[-1][r], scan_time))
        with clock.part("physics"):
            world.drive(command[k])
            for _ in range(PHYSICS_RATE // scenario.control_rate):
                pybullet.stepSimulation(physicsClientId=world.client)
    clock.seconds["camera"] -= journal.seconds
    clock.seconds["writing"] += journal.seconds
    with clock.part("writing"):
        journal.scans(np.array(scans))
        np.savez_compressed(
            folder / "record.npz",
            pose=pose,
            velocity=velocity,
            command=command,
            loose=loose,
            person_pose=seen.person_pose,
            person_velocity=seen.person_velocity,
        )
    return NaiveOutcome(
        dict(clock.seconds), pose, len(scans) * robots, journal.pictures, np.array(scans[0], dtype=np.float32)
    )


class _World:
    """The hall, goods, people and robots as bodies of one client."""

    def __init__(self, client: int, scenario: Scenario, plan: Plan, folder: Path) -> None:
        self.client = client
        model, solids = plan.sampled.models[0], plan.hall.solids
        pybullet.resetSimulation(physicsClientId=client)
        pybullet.setGravity(0, 0, -9.81, physicsClientId=client)
        pybullet.setTimeStep(1.0 / PHYSICS_RATE, physicsClientId=client)
        static = solids.static
        floor = self._body(pybullet.createCollisionShape(pybullet.GEOM_PLANE, physicsClientId=client), -1, 0.0)
        pybullet.changeDynamics(floor, -1, lateralFriction=plan.sampled.friction, physicsClientId=client)
        slab = pybullet.createVisualShape(
            pybullet.GEOM_BOX, halfExtents=[200, 200, 0.005], rgbaColor=[0.66, 0.66, 0.63, 1], physicsClientId=client
        )
        self._body(-1, slab, 0.0, (0.0, 0.0, -0.005))
        for row in np.flatnonzero(static.kind != PLANE).tolist():
            self._primitive(static, row, 0.0, static.position[row], static.quaternion[row])
        self._fill_goods(plan)
        self._fill_people(plan, scenario)
        self._fill_robots(plan, folder)
        self._aim(scenario, plan)
        self.info = EpisodeInfo(
            robot=model,
            layout=plan.hall.map_layout,
            control_period=scenario.control_period,
            goal_tolerance=(scenario.tasks.goal_distance, scenario.tasks.goal_angle),
            scan_angles=self._angles,
            seed=0,
        )

    def _body(
        self, collision: int, visual: int, mass: float, position: Any = (0, 0, 0), quaternion: Any = (0, 0, 0, 1)
    ) -> int:
        return int(
            pybullet.createMultiBody(
                mass, collision, visual, list(position), list(quaternion), physicsClientId=self.client
            )
        )

    def _primitive(self, solids: Primitives, row: int, mass: float, position: Any, quaternion: Any) -> int:
        kind, size = int(solids.kind[row]), solids.size[row].tolist()
        color = [*(solids.color[row] / 255.0).tolist(), 1.0]
        shape = _SHAPE[kind]
        if kind == BOX:
            collision = pybullet.createCollisionShape(shape, halfExtents=size, physicsClientId=self.client)
            visual = pybullet.createVisualShape(shape, halfExtents=size, rgbaColor=color, physicsClientId=self.client)
        elif kind == SPHERE:
            collision = pybullet.createCollisionShape(shape, radius=size[0], physicsClientId=self.client)
            visual = pybullet.createVisualShape(shape, radius=size[0], rgbaColor=color, physicsClientId=self.client)
        else:
            length = 2.0 * size[1]
            collision = pybullet.createCollisionShape(shape, radius=size[0], height=length, physicsClientId=self.client)
            visual = pybullet.createVisualShape(
                shape, radius=size[0], length=length, rgbaColor=color, physicsClientId=self.client
            )
        return self._body(collision, visual, mass, position, quaternion)

    def _fill_goods(self, plan: Plan) -> None:
        solids = plan.hall.solids
        loose = solids.loose
        self._goods: list[int] = []
        for k, pose in enumerate(solids.loose_pose):
            rows = np.flatnonzero(loose.body == k)
            position = pose[:3] + loose.position[rows] @ rotation_matrix(pose[3:]).T
            quaternion = quaternion_multiply(np.tile(pose[3:], (len(rows), 1)), loose.quaternion[rows])
            mass = float(solids.loose_mass[k]) * plan.sampled.loose_mass / len(rows)
            parts = [
                self._primitive(loose, row, mass, position[i], quaternion[i]) for i, row in enumerate(rows.tolist())
            ]
            self._goods.append(parts[0])

    def _fill_people(self, plan: Plan, scenario: Scenario) -> None:
        self._people: list[tuple[Primitives, list[int]]] = []
        for p in range(len(plan.sampled.walkers)):
            shape = person_shape(p, generator(0, 0, f"people.{p}.looks"), body=0, instance_id=1)
            parts = [
                self._primitive(shape, row, 0.0, shape.position[row] + [0, 0, -50], shape.quaternion[row])
                for row in range(len(shape))
            ]
            self._people.append((shape, parts))

    def _fill_robots(self, plan: Plan, folder: Path) -> None:
        model = plan.sampled.models[0]
        path = folder / "robot.urdf"
        path.write_text(robot_urdf(model))
        self._robots = []
        for x, y, yaw in plan.assignment.start.tolist():
            robot = int(
                pybullet.loadURDF(
                    str(path),
                    [x, y, 0.0],
                    quaternion_from_yaw(yaw).tolist(),
                    flags=pybullet.URDF_USE_INERTIA_FROM_FILE,
                    physicsClientId=self.client,
                )
            )
            for joint in (0, 1):
                pybullet.changeDynamics(
                    robot, joint, lateralFriction=plan.sampled.friction, physicsClientId=self.client
                )
            for joint in (2, 3):
                pybullet.changeDynamics(robot, joint, lateralFriction=0.0, physicsClientId=self.client)
            self._robots.append(robot)
        path.unlink()
        drive = model.drive
        self._radius, self._track, self._torque = drive.wheel_radius, drive.track_width, drive.max_wheel_torque

    def _aim(self, scenario: Scenario, plan: Plan) -> None:
        """Lay out the rays in the robot's frame, and what the camera needs."""
        model, lidar, camera = plan.sampled.models[0], plan.sampled.lidar, plan.sampled.camera
        mount = model.lidar_mount
        self._angles = beam_angles(lidar)
        direction = np.column_stack([np.cos(self._angles), np.sin(self._angles)])
        # Where each beam leaves the footprint: rays begin just outside, or they would end in the robot itself.
        half = np.array([0.5 * model.length, 0.5 * model.width]) + 0.01
        at = np.array([mount.x, mount.y])
        with np.errstate(divide="ignore"):
            leave = np.where(direction > 0, (half - at) / direction, (-half - at) / direction)
        self._skip = np.min(np.where(np.isfinite(leave), leave, np.inf), axis=1)
        self._reach = lidar.range_max
        self._near, self._far = at + self._skip[:, None] * direction, at + self._reach * direction
        self._height = mount.z
        self._eye = np.array([model.camera_mount.x, model.camera_mount.y, model.camera_mount.z, 0, 0, 0], dtype=float)
        self._eye[3:] = model.camera_mount.roll, model.camera_mount.pitch, model.camera_mount.yaw
        self._camera = camera
        aspect = camera.width / camera.height
        vertical = 2.0 * math.degrees(math.atan(0.5 * camera.height / camera.focal))
        self._projection = pybullet.computeProjectionMatrixFOV(vertical, aspect, camera.near, camera.far)
        self._light = [-float(value) for value in plan.sampled.lighting.direction]

    def place_people(self, pose: FloatArray) -> None:
        """Put the people where they are: poses (P, 3)."""
        for (shape, parts), (x, y, yaw) in zip(self._people, pose.tolist(), strict=True):
            turn = quaternion_from_yaw(yaw)
            position = shape.position @ rotation_matrix(turn).T + [x, y, 0.0]
            quaternion = quaternion_multiply(np.tile(turn, (len(parts), 1)), shape.quaternion)
            for part, place, rotation in zip(parts, position.tolist(), quaternion.tolist(), strict=True):
                pybullet.resetBasePositionAndOrientation(part, place, rotation, physicsClientId=self.client)

    def read(self, pose: FloatArray, velocity: FloatArray, loose: FloatArray) -> None:
        """Write poses (R, 3), velocities (R, 2) and the poses (L, 7) of the goods into the arrays."""
        for r, robot in enumerate(self._robots):
            (x, y, _), turn = pybullet.getBasePositionAndOrientation(robot, physicsClientId=self.client)
            yaw = pybullet.getEulerFromQuaternion(turn)[2]
            (vx, vy, _), (_, _, omega) = pybullet.getBaseVelocity(robot, physicsClientId=self.client)
            pose[r] = x, y, yaw
            velocity[r] = vx * math.cos(yaw) + vy * math.sin(yaw), omega
        for k, body in enumerate(self._goods):
            place, turn = pybullet.getBasePositionAndOrientation(body, physicsClientId=self.client)
            loose[k] = (*place, *turn)

    def drive(self, command: FloatArray) -> None:
        """Set the wheel motors to commands (R, 2) v [m/s], omega [rad/s]."""
        for robot, (v, omega) in zip(self._robots, command.tolist(), strict=True):
            left, right = (v - 0.5 * self._track * omega), (v + 0.5 * self._track * omega)
            pybullet.setJointMotorControlArray(
                robot,
                [0, 1],
                pybullet.VELOCITY_CONTROL,
                targetVelocities=[left / self._radius, right / self._radius],
                forces=[self._torque, self._torque],
                physicsClientId=self.client,
            )

    def scan(self, pose: FloatArray) -> NDArray[np.float32]:
        """Return the ranges (B,) [m] that a robot's lidar sees from a pose (3,); inf where there is nothing."""
        c, s = math.cos(pose[2]), math.sin(pose[2])
        turn = np.array([[c, s], [-s, c]])
        z = np.full((len(self._near), 1), self._height)
        starts = np.hstack([self._near @ turn + pose[:2], z])
        ends = np.hstack([self._far @ turn + pose[:2], z])
        hits = pybullet.rayTestBatch(starts.tolist(), ends.tolist(), physicsClientId=self.client)
        share = np.array([hit[2] for hit in hits])
        body = np.array([hit[0] for hit in hits])
        ranges = self._skip + share * (self._reach - self._skip)
        return np.where(body >= 0, ranges, np.inf).astype(np.float32)

    def picture(self, pose: FloatArray) -> NDArray[np.uint8]:
        """Return the colours (H, W, 3) that a robot's camera sees from a pose (3,)."""
        camera = self._camera
        position, rotation = mounted(pose, self._eye)
        view = pybullet.computeViewMatrix(
            position.tolist(), (position + rotation[:, 0]).tolist(), rotation[:, 2].tolist()
        )
        _, _, rgba, _, _ = pybullet.getCameraImage(
            camera.width,
            camera.height,
            view,
            self._projection,
            lightDirection=self._light,
            shadow=1,
            renderer=pybullet.ER_TINY_RENDERER,
            physicsClientId=self.client,
        )
        return np.asarray(rgba, dtype=np.uint8).reshape(camera.height, camera.width, 4)[..., :3].copy()

    def observation(
        self, now: float, pose: FloatArray, velocity: FloatArray, scan: NDArray[np.float32], scan_time: float
    ) -> Observation:
        """Return what a driver is told; there is no odometry and no IMU here."""
        return Observation(
            time=now,
            pose=pose,
            velocity=velocity,
            odometry=pose,
            imu=np.empty((0, 6)),
            scan=scan,
            scan_time=scan_time,
            goal=None,
            carrying=False,
        )


def robot_urdf(model: RobotModel) -> str:
    """Return the URDF of a robot with two wheel joints (0 left, 1 right) and two casters (2 front, 3 back)."""
    drive = model.drive
    wheel, low = drive.wheel_radius, 2.0 * _CASTER
    height = model.height - low
    wheel_mass, body_mass = 1.5, drive.mass - 4.0
    lean_x = body_mass / 12.0 * (model.width**2 + height**2)
    lean_y = body_mass / 12.0 * (model.length**2 + height**2)
    spin, across = 0.5 * wheel_mass * wheel**2, wheel_mass / 12.0 * (3.0 * wheel**2 + 0.04**2)
    parts = [
        f"""<robot name="amr"><link name="base_link">
<inertial><origin xyz="0 0 0.15"/><mass value="{body_mass}"/>
<inertia ixx="{lean_x}" ixy="0" ixz="0" iyy="{lean_y}" iyz="0" izz="{drive.inertia}"/></inertial>
{_solid(f'<box size="{model.length} {model.width} {height}"/>', f"0 0 {low + 0.5 * height}")}</link>"""
    ]
    for name, side in (("left", 1.0), ("right", -1.0)):
        parts.append(
            f"""<link name="{name}"><inertial><mass value="{wheel_mass}"/>
<inertia ixx="{across}" ixy="0" ixz="0" iyy="{spin}" iyz="0" izz="{across}"/></inertial>
{_solid(f'<cylinder radius="{wheel}" length="0.04"/>', "0 0 0", "1.5707963 0 0")}</link>
<joint name="{name}_joint" type="continuous"><parent link="base_link"/><child link="{name}"/>
<origin xyz="0 {0.5 * side * drive.track_width} {wheel}"/><axis xyz="0 1 0"/></joint>"""
        )
    for name, end in (("front", 1.0), ("back", -1.0)):
        parts.append(
            f"""<link name="{name}"><inertial><mass value="0.5"/>
<inertia ixx="0.0002" ixy="0" ixz="0" iyy="0.0002" iyz="0" izz="0.0002"/></inertial>
{_solid(f'<sphere radius="{_CASTER}"/>', "0 0 0")}</link>
<joint name="{name}_joint" type="fixed"><parent link="base_link"/><child link="{name}"/>
<origin xyz="{end * (0.5 * model.length - 0.08)} 0 {_CASTER}"/></joint>"""
        )
    return "\n".join([*parts, "</robot>"])


def _solid(shape: str, place: str, turn: str = "0 0 0") -> str:
    origin = f'<origin xyz="{place}" rpy="{turn}"/><geometry>{shape}</geometry>'
    return f"<visual>{origin}</visual><collision>{origin}</collision>"
