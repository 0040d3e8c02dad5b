"""What robots sense: a scene of all that moves, scans with their delay, localisation with its error.

Everything that goes into an ``Observation`` is made here, and everything made here for it is a measurement.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import mounted, quaternion_from_yaw, relative, wrap_angle
from ..common.primitives import PrimitiveBuilder, Primitives
from ..common.seeding import generator
from ..layouts.geometry import LayoutSolids
from ..perception.appearance import Appearance
from ..perception.imu import Imu, planar_motion
from ..perception.lidar import Lidar
from ..perception.scene import Scene
from ..perception.wheel_odometry import WheelOdometry
from ..robots.model import RobotModel, SensorMount
from ..robots.urdf import load_shape
from .people import person_shape
from .randomization import SampledScenario
from .routes import FloatArray
from .windows import Windows

_AWAY = -20.0
"""Height [m] at which loads wait that are not on board: under the floor, where nothing sees them."""
_PUT_AWAY = (0.0, 0.0, _AWAY, 0.0, 0.0, 0.0, 1.0)
_PATCH_HEIGHT = 0.002
"""Thickness of patches on the floor [m]: cameras see them, no lidar looks that low."""
_PATCH_COLOR = (92, 96, 99)
_LOAD_HALF = (0.3, 0.2, 0.14)
"""Half extents of the load carrier that a laden robot shows [m] ..."""
_STACK_HALF = (0.55, 0.4, 0.45)
"""... and of the stillage on a forklift's forks."""


class Stage:
    """The scene of an episode: hall, robots, people, loose goods, and the loads on board.

    Bodies in the order robots 0..R-1, forklifts, people, loose goods, two for the forks of each truck (carriage, inner
    mast), then the load of each robot and forklift; R in what follows counts both.

    Args:
        solids: of the hall.
        models: of the robots, then of the forklifts.
        people: how many.
        seed, index: the episode, for the people's looks.
        appearance: how surfaces look; None for the built-in looks.
        patches: radii of round patches on the floor [m], not shown until ``show_patch`` does.
    """

    def __init__(
        self,
        solids: LayoutSolids,
        models: Sequence[RobotModel],
        people: int,
        seed: int,
        index: int,
        appearance: Appearance | None = None,
        patches: Sequence[float] = (),
    ) -> None:
        first = solids.next_instance_id
        robots, loose = len(models), len(solids.loose_pose)
        kinds = {(model.shape, model.class_name) for model in models}
        shapes = {kind: load_shape(*kind) for kind in sorted(kinds)}
        parts = [
            _relabelled(shapes[model.shape, model.class_name], body=r, instance_id=first + r)
            for r, model in enumerate(models)
        ]
        parts += [
            person_shape(
                p,
                generator(seed, index, f"people.{p}.looks"),
                body=robots + p,
                instance_id=first + robots + p,
            )
            for p in range(people)
        ]
        parts.append(_shifted(solids.loose, robots + people))
        self._trucks: list[int] = []
        for r, model in enumerate(models):
            if model.forks is not None:
                forks = model.forks.solids(model.class_name)
                body = forks.body + (robots + people + loose + 2 * len(self._trucks))
                parts.append(_relabelled(forks, body=body, instance_id=first + r))
                self._trucks.append(r)
        load_body = robots + people + loose + 2 * len(self._trucks)
        parts += [
            carried_load(body=load_body + r, instance_id=first + robots + people + r, model=model)
            for r, model in enumerate(models)
        ]
        patch_body = load_body + robots
        parts += [floor_patch(radius, body=patch_body + k) for k, radius in enumerate(patches)]
        self.scene = Scene(
            solids.static,
            Primitives.concatenate(parts),
            patch_body + len(patches),
            lamps=solids.lamps,
            appearance=appearance,
        )
        self._robots, self._load_body = robots, load_body
        self._patch_pose = np.tile(_PUT_AWAY, (len(patches), 1))

    def update(self, body_pose: FloatArray, carrying: NDArray[np.bool_]) -> None:
        """Place everything.

        Args:
            body_pose: (R + P + L + F, 7) of robots, people, loose goods and forks, as ``World.body_pose`` gives;
                without the last ones forks are shown lowered.
            carrying: (R,) whether a robot has its load on board.
        """
        if self._trucks and len(body_pose) < self._load_body:
            body_pose = np.concatenate([body_pose, np.repeat(body_pose[self._trucks], 2, axis=0)])
        loads = body_pose[: self._robots].copy()
        loads[~carrying] = _PUT_AWAY
        self.scene.update(np.concatenate([body_pose, loads, self._patch_pose]))

    def show_patch(self, number: int, place: FloatArray | None) -> None:
        """Let a patch lie at a place x, y [m], or take it away, from the next ``update`` on."""
        self._patch_pose[number] = _PUT_AWAY
        if place is not None:
            self._patch_pose[number, :3] = place[0], place[1], 0.0

    def body_velocity(self, pose: FloatArray, velocity: FloatArray, people: FloatArray) -> FloatArray:
        """Return the velocities (B, 6) of all bodies in ``map``: [m/s] of their origins, [rad/s]; loose goods rest.

        Args:
            pose: (R, 3) of the robots. velocity: (R, 2) v [m/s], omega [rad/s]. people: (P, 2) [m/s].
        """
        moving = np.zeros((self.scene.body_count, 6))
        robots, end = self._robots, self._robots + len(people)
        moving[:robots] = planar_velocity(pose, velocity)
        moving[robots:end, :2] = people
        moving[self._load_body : self._load_body + robots] = moving[:robots]
        moving[self._load_body - 2 * len(self._trucks) : self._load_body] = np.repeat(moving[self._trucks], 2, axis=0)
        return moving


class ScanQueue:
    """The lidars of all robots: scans at their rate, seen after their latency.

    Args:
        lidar: common to all robots.
        models: where it sits on each of the R robots.
        latency: from a scan until it is seen [s].
        stream: noise stream of the episode.
        taken: scans that were taken before the first one here, for their noise.
        windows: through which they look; None: clean ones.
    """

    def __init__(
        self,
        lidar: Lidar,
        models: Sequence[RobotModel],
        latency: float,
        stream: int,
        taken: int = 0,
        windows: Windows | None = None,
    ) -> None:
        self._windows = windows
        self._lidar, self._latency, self._stream = lidar, latency, stream
        self._offset = np.array([mount_offset(model.lidar_mount) for model in models])
        self._sensors = np.arange(len(models))
        self._waiting: deque[tuple[float, list[NDArray[np.float32] | None]]] = deque()
        self._seen: list[NDArray[np.float32]] = []
        self._taken_at = np.full(len(models), -np.inf)
        self._count = taken

    @property
    def angles(self) -> FloatArray:
        """Beam angles (B,) [rad] in a lidar's own frame."""
        return self._lidar.angles

    def take(self, scene: Scene, pose: FloatArray, time: float, velocity: FloatArray) -> None:
        """Scan now, from the true poses (R, 3) of robots that drive at (R, 2) v [m/s], omega [rad/s]."""
        position, rotation = _each_mounted(pose, self._offset)
        batch = self._lidar.scan_batch(
            scene,
            position,
            rotation,
            stream=self._stream,
            sensors=self._sensors,
            frame=self._count,
            exclude_body=self._sensors,
            velocity=carried_velocity(pose, velocity, position) if self._lidar.config.sweep_time > 0 else None,
            truth=False,
        )
        # Copies: a row of the batch would drag the scans of the others along.
        rows: list[NDArray[np.float32] | None] = [ranges[0].copy() for ranges in batch.ranges]
        if self._windows is not None:
            through = self._windows.look_through
            rows = [through(self._count, r, row[0].copy(), batch.intensity[r, 0]) for r, row in enumerate(batch.ranges)]
        self._count += 1
        self._beams = batch.ranges.shape[-1]
        self._waiting.append((time, rows))

    def newest(self, now: float) -> tuple[FloatArray, list[NDArray[np.float32]]]:
        """Return when it was taken (R,) [s] and ranges (B,) per robot of the newest scan that has arrived.

        The first arrives at once. A lidar that has never reported anything gives empty beams, taken at -inf.
        """
        while self._waiting and (not self._seen or self._waiting[0][0] + self._latency <= now + 1e-9):
            time, rows = self._waiting.popleft()
            if not self._seen:
                self._seen = [np.full(self._beams, np.inf, np.float32) for _ in rows]
            for robot, row in enumerate(rows):
                if row is not None:
                    self._seen[robot], self._taken_at[robot] = row, time
        if not self._seen:
            raise RuntimeError("no scan was taken")
        return self._taken_at, self._seen


class DeadReckoning:
    """Wheel odometry and IMUs of all robots, read once per control step.

    Args:
        sampled: their settings. start: (R, 3) poses in ``map`` where the robots start: the origin of each ``odom``.
        samples: IMU samples in a control period. period: [s]. stream: noise stream of the episode.
    """

    def __init__(self, sampled: SampledScenario, start: FloatArray, samples: int, period: float, stream: int) -> None:
        robots = np.arange(len(start))
        self._start, self._samples, self._period = start.copy(), samples, period
        self._wheels = WheelOdometry(sampled.odometry, stream, robots, np.zeros_like(start))
        self._imu = Imu(sampled.imu, stream, robots)
        self._velocity: FloatArray | None = None

    def read(self, reckoned: FloatArray, velocity: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return what odometry and IMUs report at a control step.

        Args:
            reckoned: (R, 3) dead-reckoned poses in ``map``, from where the robots started.
            velocity: (R, 2) true v [m/s], omega [rad/s]; between two steps they are taken to change evenly.

        Returns:
            Poses (R, 3) in ``odom``, and samples (R, M, 6) since the last step, (R, 0, 6) at the first.
        """
        pose = self._wheels.measure(relative(self._start, reckoned)[:, None])[:, 0]
        pose[:, 2] = wrap_angle(pose[:, 2])
        before, self._velocity = self._velocity, velocity.copy()
        if before is None:
            return pose, np.empty((len(pose), 0, 6))
        share = np.arange(1, self._samples + 1) / self._samples
        change = velocity - before
        between = before[:, None] + share[:, None] * change[:, None]
        angular, force = planar_motion(between[..., 0], between[..., 1], change[:, :1] / self._period)
        return pose, np.concatenate(self._imu.measure(angular, force), axis=2)


def localisation_errors(sampled: SampledScenario, steps: int, period: float, seed: int, index: int) -> FloatArray:
    """Return the localisation errors (T, R, 3) x, y [m], yaw [rad] of all control steps.

    Each is an Ornstein-Uhlenbeck process in its stationary state: Gaussian with the scenario's standard deviation, and
    a correlation exp(-dt / error_time), exact for any step.
    """
    robots = len(sampled.drives)
    size = np.array([sampled.position_error, sampled.position_error, sampled.heading_error])
    keep = float(np.exp(-period / sampled.error_time))
    fresh = float(np.sqrt(1.0 - keep * keep))
    errors = np.empty((steps, robots, 3))
    for robot in range(robots):
        errors[:, robot] = generator(seed, index, f"robots.{robot}.localisation").standard_normal((steps, 3))
    for k in range(1, steps):
        errors[k] = keep * errors[k - 1] + fresh * errors[k]
    return errors * size


def localised(pose: FloatArray, error: FloatArray) -> FloatArray:
    """Return poses (..., 3) as robots believe them to be."""
    estimate = np.asarray(pose + error, dtype=np.float64)
    estimate[..., 2] = wrap_angle(estimate[..., 2])
    return estimate


def upright(pose: FloatArray) -> FloatArray:
    """Return poses (N, 7) of bodies on the floor from (N, 3) x, y [m], yaw [rad]."""
    return np.column_stack([pose[:, :2], np.zeros(len(pose)), quaternion_from_yaw(pose[:, 2])])


def planar_velocity(pose: FloatArray, velocity: FloatArray) -> FloatArray:
    """Return velocities (..., 6) in ``map``, [m/s] and [rad/s], of poses (..., 3) that drive at (..., 2) v, omega."""
    moving = np.zeros((*pose.shape[:-1], 6))
    moving[..., 0] = velocity[..., 0] * np.cos(pose[..., 2])
    moving[..., 1] = velocity[..., 0] * np.sin(pose[..., 2])
    moving[..., 5] = velocity[..., 1]
    return moving


def carried_velocity(pose: FloatArray, velocity: FloatArray, position: FloatArray) -> FloatArray:
    """Return velocities (..., 6) in ``map`` of sensors at ``position`` (..., 3) [m] on robots that drive as above."""
    moving = planar_velocity(pose, velocity)
    moving[..., 0] -= velocity[..., 1] * (position[..., 1] - pose[..., 1])
    moving[..., 1] += velocity[..., 1] * (position[..., 0] - pose[..., 0])
    return moving


def mount_offset(mount: SensorMount) -> FloatArray:
    """Return (6,) x, y, z [m], roll, pitch, yaw [rad] of a mount."""
    return np.array([mount.x, mount.y, mount.z, mount.roll, mount.pitch, mount.yaw])


def _each_mounted(pose: FloatArray, offset: FloatArray) -> tuple[FloatArray, FloatArray]:
    """As ``mounted`` for robots at poses (R, 3), each with an offset (R, 6) of its own."""
    if (offset == offset[0]).all():
        return mounted(pose, offset[0])
    placed = [mounted(pose[r], offset[r]) for r in range(len(pose))]
    return np.array([position for position, _ in placed]), np.array([rotation for _, rotation in placed])


def _relabelled(shape: Primitives, *, body: int | NDArray[np.int32], instance_id: int) -> Primitives:
    count = len(shape)
    return Primitives(
        shape.kind,
        shape.size,
        shape.position,
        shape.quaternion,
        shape.color,
        shape.class_id,
        np.full(count, instance_id, dtype=np.int32),
        np.full(count, body, dtype=np.int32),
    )


def _shifted(loose: Primitives, first_body: int) -> Primitives:
    return Primitives(
        loose.kind,
        loose.size,
        loose.position,
        loose.quaternion,
        loose.color,
        loose.class_id,
        loose.instance_id,
        (loose.body + first_body).astype(np.int32),
    )


def carried_load(*, body: int, instance_id: int, model: RobotModel) -> Primitives:
    """Return the load that a laden robot shows, in ``base_link``: a carrier, or a stillage on rigid forks."""
    builder = PrimitiveBuilder()
    if model.class_name == "forklift" and model.forks is None:
        builder.box(
            _STACK_HALF,
            (-0.5 * model.length + _STACK_HALF[0], 0.0, 0.1 + _STACK_HALF[2]),
            class_name="stillage",
            instance_id=instance_id,
            body=body,
            color=(88, 110, 92),
        )
        return builder.build()
    place = model.load_place
    builder.box(
        _LOAD_HALF,
        (place[0], place[1], place[2] + _LOAD_HALF[2] + 0.005),
        class_name="small_load_carrier",
        instance_id=instance_id,
        body=body,
        color=(70, 96, 150),
    )
    return builder.build()


def floor_patch(radius: float, *, body: int) -> Primitives:
    """Return a dark, wet patch of floor as a moving body about its centre; radius [m]."""
    builder = PrimitiveBuilder()
    half = 0.5 * _PATCH_HEIGHT
    builder.cylinder(radius, half, (0.0, 0.0, half), class_name="floor", instance_id=0, body=body, color=_PATCH_COLOR)
    return builder.build()
