"""Sensors against PyBullet's, on one generated hall, in one run: times, ratios and a check that both see the same.

PyBullet gets the same solids in the form that suits it best (measured): each rack row with its goods one compound body,
implicit cylinders, rigid bodies in maximal coordinates; ray batches below the 16,384 rays at which it silently returns
nothing, with whichever number of threads is fastest. Both sides place the moving bodies anew for every scan or picture,
and that is part of the time. This is the only module of ``perception`` that may load PyBullet, and only when it runs.
"""

from __future__ import annotations

import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...common.errors import FloorcastError, InputError
from ...common.geometry import FloatArray, mounted, optical, quaternion_from_yaw, rotation_matrix
from ...common.primitives import BOX, CAPSULE, CYLINDER, PLANE, SPHERE, PrimitiveBuilder, Primitives
from ...common.seeding import generator
from ...layouts.generator import generate_layout
from ...layouts.geometry import LayoutSolids, layout_solids
from ...layouts.recipe import LayoutRecipe
from ..camera import Camera
from ..config import CameraConfig, LidarConfig, Lighting
from ..lidar import Lidar
from ..scene import Scene

HALL_AREA = 1000.0
HALL_FILL = 0.8
ROBOTS, PEOPLE = 8, 4
SENSOR_POSES = 4
TURN = 5
"""Timed calls of one side in a row before it is the other side's turn."""
DENSE_RAYS = 3600
RAY_CHUNK = 8192
"""``rayTestBatch`` returns ``()`` for exactly 16,384 rays and refuses more."""
AGREE_M = 0.01
EDGE_M = 0.001
"""How far [m] a ray may be shifted to find PyBullet's answer at an edge; see ``agreement``."""
LIDAR_3D = LidarConfig(beams=1024, elevations=tuple(np.radians(np.linspace(-15, 15, 16)).tolist()), range_max=60.0)
LIDAR_2D_HEIGHT, LIDAR_3D_HEIGHT, CAMERA_HEIGHT = 0.25, 0.6, 1.2


@dataclass(frozen=True)
class BenchRow:
    """One comparison.

    Attributes:
        name: what was timed. peer: against what.
        ours_ms, peer_ms: median time [ms] of one scan or picture, moving bodies placed. ratio: peer / ours.
        cores: cores that we used; peer_cores: threads that the peer was allowed, at its fastest.
        agree: share of rays within 1 cm of PyBullet's ``rayTestBatch``, in the worst of the poses; see ``agreement``.
        agree_plain: the same without leave at edges.
    """

    name: str
    peer: str
    ours_ms: float
    peer_ms: float
    ratio: float
    cores: int
    peer_cores: int
    agree: float
    agree_plain: float


@dataclass(frozen=True)
class SensorBench:
    """All comparisons of a run, and the conditions that they hold under."""

    rows: list[BenchRow]
    conditions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BenchHall:
    """A hall with moving bodies, and places for sensors.

    Attributes:
        solids: of the layout; loose goods move too (bodies after robots and people).
        scene: robots, people and loose goods in the hall.
        parts: parts of the robots and people, ``body`` counting from 0.
        poses: (F, B, 7) poses of all moving bodies in F frames.
        places: (S, 3) x, y [m], yaw [rad] for sensors, free of solids.
        length, width: of the hall [m].
    """

    solids: LayoutSolids
    scene: Scene
    parts: Primitives
    poses: FloatArray
    places: FloatArray
    length: float
    width: float


def bench_sensors(*, repeat: int = 15, seed: int = 0) -> SensorBench:
    """Time the sensors against PyBullet.

    Args:
        repeat: timed repetitions at each pose of each sensor; slow sensors get fewer.
        seed: of the hall.

    Returns:
        Rows for the 360-beam and the 16 x 1024 lidar against ``rayTestBatch``, and pictures of 128 x 128 and 640 x 480
        against TinyRenderer, with the conditions.

    Raises:
        InputError: ``repeat`` below 1, or PyBullet is not installed.
    """
    if repeat < 1:
        raise InputError(f"repeat is {repeat}", where="bench sensors", mend="give at least 1")
    hall = bench_hall(seed)
    with PyBulletPeer(hall) as peer:
        rows = [
            _bench_lidar("lidar 360 beams", LidarConfig(), LIDAR_2D_HEIGHT, hall, peer, repeat),
            _bench_lidar("lidar 16 x 1024", LIDAR_3D, LIDAR_3D_HEIGHT, hall, peer, max(1, repeat // 3)),
            _bench_camera("camera 128 x 128", 128, 128, hall, peer, max(1, repeat // 2)),
            _bench_camera("camera 640 x 480", 640, 480, hall, peer, max(1, repeat // 5)),
        ]
    scene = hall.scene
    conditions = {
        "hall": f"{hall.length:.0f} x {hall.width:.0f} m, seed {seed}, {scene.static_count} static solids",
        "moving": f"{len(hall.parts)} parts of {ROBOTS} robots and {PEOPLE} people, "
        f"{len(scene.moving) - len(hall.parts)} of loose goods; placed anew for every scan and picture, on both sides "
        "(the peer's goods rest)",
        "picture": "RGB, depth, instance and class ids, shadows; PyBullet's has no ids of goods in a compound",
        "times": f"median over {SENSOR_POSES} poses, Python calls included, one core of ours",
        "machine": f"{_cpu_name()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}",
        "check": f"rays within {100 * AGREE_M:.0f} cm of rayTestBatch in the worst pose, with {1e3 * EDGE_M:.0f} mm of "
        "leave at edges (and without): "
        + ", ".join(f"{row.name} {100 * row.agree:.2f} % ({100 * row.agree_plain:.2f} %)" for row in rows),
    }
    return SensorBench(rows, conditions)


def bench_hall(seed: int, *, area: float = HALL_AREA, frames: int = 16) -> BenchHall:
    """Build the hall of the benchmark: about 2,400 solids on 1,000 m^2, 48 parts that move."""
    layout = generate_layout(LayoutRecipe(area=area, fill=HALL_FILL), seed)
    solids = layout_solids(layout)
    rng = generator(seed, "bench sensors")
    spots = np.array([[s.x, s.y, s.yaw] for s in layout.stations])
    middles = [
        [0.5 * (a.start[0] + a.end[0]), 0.5 * (a.start[1] + a.end[1]), np.arctan2(*np.subtract(a.end, a.start)[::-1])]
        for a in layout.aisles
    ]
    places = np.array(middles)[rng.permutation(len(middles))[:SENSOR_POSES]]
    away = np.linalg.norm(spots[:, None, :2] - places[None, :, :2], axis=2).min(axis=1) > 1.5
    spots = rng.permutation(spots[away])
    builder = PrimitiveBuilder()
    count = min(ROBOTS + PEOPLE, len(spots))
    for body in range(count):
        add = _add_robot if body < ROBOTS else _add_person
        add(builder, solids.next_instance_id + body, body)
    parts = builder.build()
    loose = solids.loose
    goods = Primitives(**{**vars(loose), "body": (loose.body + count).astype(np.int32)})
    poses = np.zeros((frames, count + len(solids.loose_pose), 7))
    for f in range(frames):
        shift = 0.3 * np.sin(0.7 * f + np.arange(count))
        yaw = spots[:count, 2]
        poses[f, :count, 0] = spots[:count, 0] + shift * np.cos(yaw)
        poses[f, :count, 1] = spots[:count, 1] + shift * np.sin(yaw)
        poses[f, :count, 3:] = quaternion_from_yaw(yaw + 0.1 * shift)
    poses[:, count:] = solids.loose_pose
    scene = Scene(solids.static, Primitives.concatenate([parts, goods]), poses.shape[1])
    return BenchHall(solids, scene, parts, poses, places, layout.length, layout.width)


class PyBulletPeer:
    """The benchmark's hall in a PyBullet client of its own; use as a context manager."""

    def __init__(self, hall: BenchHall) -> None:
        try:
            import pybullet
        except ImportError as error:
            raise InputError(
                "PyBullet is not installed", where="bench sensors", mend="pip install 'pybullet>=3.2.7'"
            ) from error
        self.bullet: Any = pybullet
        self.hall = hall
        self.threads = 1
        self.client = -1
        self.movers: list[int] = []

    def __enter__(self) -> PyBulletPeer:
        with _quiet_standard_output():
            self.client = int(self.bullet.connect(self.bullet.DIRECT))
            if self.client < 0:
                raise FloorcastError("PyBullet could not open a physics client")
            static = self.hall.solids.static
            plane = self.bullet.createCollisionShape(self.bullet.GEOM_PLANE, physicsClientId=self.client)
            self.bullet.createMultiBody(0, plane, physicsClientId=self.client)
            # What TinyRenderer shows of the floor: a thin slab just below the plane.
            slab = self.bullet.createVisualShape(
                self.bullet.GEOM_BOX, halfExtents=[200, 200, 0.005], rgbaColor=[0.66, 0.66, 0.64, 1],
                physicsClientId=self.client,
            )  # fmt: skip
            self.bullet.createMultiBody(
                0, baseVisualShapeIndex=slab, basePosition=[0, 0, -0.005], physicsClientId=self.client
            )
            for group in range(1, int(static.body.max()) + 1):
                self._load(static.take(static.body == group))
            loose = self.hall.solids.loose
            for body, pose in enumerate(self.hall.solids.loose_pose.tolist()):
                self._place(self._load(loose.take(loose.body == body)), pose)
            parts = self.hall.parts
            self.movers = [self._load(parts.take(parts.body == body)) for body in range(int(parts.body.max()) + 1)]
        return self

    def __exit__(self, *error: object) -> None:
        self.bullet.disconnect(physicsClientId=self.client)

    def update(self, poses: FloatArray) -> None:
        """Place robots and people: poses (B, 7) of all moving bodies, of which the goods stay."""
        for body, pose in zip(self.movers, poses.tolist(), strict=False):
            self._place(body, pose)

    def ranges(self, origin: FloatArray, direction: FloatArray, reach: float) -> FloatArray:
        """Return the ranges (N,) [m] of rays from one point along unit directions (N, 3); inf for none."""
        starts = np.broadcast_to(origin, direction.shape).tolist()
        answer = self.cast(starts, (origin + reach * direction).tolist())
        fraction = np.array([row[2] for row in answer])
        hit = np.array([row[0] for row in answer]) >= 0
        return np.where(hit, fraction * reach, np.inf)

    def cast(self, starts: list[Any], ends: list[Any]) -> list[Any]:
        """Call ``rayTestBatch`` in chunks that it can answer."""
        found: list[Any] = []
        for k in range(0, len(starts), RAY_CHUNK):
            found.extend(
                self.bullet.rayTestBatch(
                    starts[k : k + RAY_CHUNK],
                    ends[k : k + RAY_CHUNK],
                    numThreads=self.threads,
                    physicsClientId=self.client,
                )
            )
        return found

    def picture(self, config: CameraConfig, position: FloatArray, rotation: FloatArray, lighting: Lighting) -> Any:
        """Call TinyRenderer."""
        near, far = config.near, config.far
        eye, ahead, up = position, position + rotation[:, 2], -rotation[:, 1]
        fov = 2.0 * np.degrees(np.arctan(0.5 * config.height / config.focal))
        view = self.bullet.computeViewMatrix(eye.tolist(), ahead.tolist(), up.tolist())
        projection = self.bullet.computeProjectionMatrixFOV(fov, config.width / config.height, near, far)
        return self.bullet.getCameraImage(
            config.width,
            config.height,
            view,
            projection,
            lightDirection=(-np.asarray(lighting.direction)).tolist(),
            shadow=1,
            renderer=self.bullet.ER_TINY_RENDERER,
            physicsClientId=self.client,
        )

    def _place(self, body: int, pose: list[float]) -> None:
        self.bullet.resetBasePositionAndOrientation(body, pose[:3], pose[3:], physicsClientId=self.client)

    def _load(self, solids: Primitives) -> int:
        # A URDF link takes a compound of any size; ``createCollisionShapeArray`` drops all after the 16th child.
        handle, path = tempfile.mkstemp(suffix=".urdf", prefix="floorcast_bench_")
        try:
            with os.fdopen(handle, "w") as file:
                file.write(compound_urdf(solids))
            return int(
                self.bullet.loadURDF(
                    path,
                    useFixedBase=True,
                    useMaximalCoordinates=True,
                    flags=self.bullet.URDF_USE_IMPLICIT_CYLINDER,
                    physicsClientId=self.client,
                )
            )
        finally:
            os.unlink(path)


def compound_urdf(solids: Primitives) -> str:
    """Return a URDF of one motionless link with all solids, as visuals and as collision shapes."""
    lines = ['<robot name="group"><link name="base"><inertial><mass value="0"/>']
    lines.append('<inertia ixx="0" ixy="0" ixz="0" iyy="0" iyz="0" izz="0"/></inertial>')
    rotation = rotation_matrix(solids.quaternion)
    rows = zip(solids.kind.tolist(), solids.size.tolist(), solids.position.tolist(), rotation, strict=True)
    for row, (kind, size, position, turn) in enumerate(rows):
        if kind == PLANE:
            raise ValueError("a plane cannot be part of a compound")
        roll, pitch, yaw = np.arctan2(turn[2, 1], turn[2, 2]), np.arcsin(-turn[2, 0].clip(-1, 1)), 0.0
        yaw = float(np.arctan2(turn[1, 0], turn[0, 0]))
        shape = {
            BOX: f'<box size="{2 * size[0]!r} {2 * size[1]!r} {2 * size[2]!r}"/>',
            CYLINDER: f'<cylinder radius="{size[0]!r}" length="{2 * size[1]!r}"/>',
            CAPSULE: f'<capsule radius="{size[0]!r}" length="{2 * size[1]!r}"/>',
            SPHERE: f'<sphere radius="{size[0]!r}"/>',
        }[kind]
        red, green, blue = (solids.color[row] / 255.0).round(4).tolist()
        origin = f'<origin xyz="{position[0]!r} {position[1]!r} {position[2]!r}" rpy="{roll!s} {pitch!s} {yaw!s}"/>'
        lines.append(f"<collision>{origin}<geometry>{shape}</geometry></collision>")
        lines.append(f'<visual>{origin}<geometry>{shape}</geometry><material name="m{row}">')
        lines.append(f'<color rgba="{red} {green} {blue} 1"/></material></visual>')
    lines.append("</link></robot>")
    return "\n".join(lines)


def _bench_lidar(
    name: str, config: LidarConfig, height: float, hall: BenchHall, peer: PyBulletPeer, repeat: int
) -> BenchRow:
    lidar = Lidar(config)
    reach = config.range_max
    times: list[tuple[float, float]] = []
    shares: list[tuple[float, float]] = []
    for place in hall.places:
        position, rotation = mounted(place, np.array([0.0, 0.0, height, 0.0, 0.0, 0.0]))
        directions = lidar.directions @ rotation.T
        starts = np.broadcast_to(position, directions.shape).tolist()
        ends = (position + reach * directions).tolist()

        def scan(poses: FloatArray, position: FloatArray = position, rotation: FloatArray = rotation) -> None:
            hall.scene.update(poses)
            lidar.scan(hall.scene, position, rotation, stream=0, sensor=0, frame=0)

        def peer_scan(poses: FloatArray, starts: list[Any] = starts, ends: list[Any] = ends) -> None:
            peer.update(poses)
            peer.cast(starts, ends)

        if not times:
            peer.threads = min(_thread_settings(), key=lambda threads: _seconds_with(peer, threads, peer_scan, hall))
        times += _times(scan, peer_scan, hall.poses, repeat)
        dense = _denser(directions, rotation) if len(directions) < DENSE_RAYS else directions
        shares.append(agreement(hall.scene, position, dense, reach, peer.ranges(position, dense, reach)))
    return _row(name, "PyBullet rayTestBatch", times, peer.threads, shares)


def _bench_camera(name: str, width: int, height: int, hall: BenchHall, peer: PyBulletPeer, repeat: int) -> BenchRow:
    config = CameraConfig(width=width, height=height)
    camera, lighting = Camera(config), Lighting()
    times: list[tuple[float, float]] = []
    shares: list[tuple[float, float]] = []
    for place in hall.places:
        position, rotation = mounted(place, np.array([0.0, 0.0, CAMERA_HEIGHT, 0.0, 0.1, 0.0]))
        rotation = optical(rotation)

        def render(poses: FloatArray, position: FloatArray = position, rotation: FloatArray = rotation) -> None:
            hall.scene.update(poses)
            camera.render(hall.scene, position, rotation, lighting, stream=0, sensor=0, frame=0)

        def peer_render(poses: FloatArray, position: FloatArray = position, rotation: FloatArray = rotation) -> None:
            peer.update(poses)
            peer.picture(config, position, rotation, lighting)

        times += _times(render, peer_render, hall.poses, repeat)
        pixels = pixel_directions(config) @ rotation.T
        pixels /= np.linalg.norm(pixels, axis=1, keepdims=True)
        shares.append(agreement(hall.scene, position, pixels, config.far, peer.ranges(position, pixels, config.far)))
    return _row(name, "PyBullet TinyRenderer", times, 1, shares)


def pixel_directions(config: CameraConfig) -> FloatArray:
    """Return the directions (H * W, 3) of the pixels in ``camera_optical``, z = 1, row by row."""
    u, v = np.meshgrid(np.arange(config.width), np.arange(config.height))
    x = (u - 0.5 * (config.width - 1)) / config.focal
    y = (v - 0.5 * (config.height - 1)) / config.focal
    return np.stack([x, y, np.ones(x.shape)], axis=-1).reshape(-1, 3)


def agreement(
    scene: Scene, origin: FloatArray, direction: FloatArray, reach: float, expected: FloatArray
) -> tuple[float, float]:
    """Compare our ranges of rays from one point with PyBullet's.

    Args:
        scene: to cast into. origin: (3,) [m]. direction: (N, 3) unit vectors. reach: longest range [m].
        expected: (N,) PyBullet's ranges [m], inf for none.

    Returns:
        Share of rays within 1 cm, and the same with EDGE_M of leave to either side: Bullet's ray test is iterative and
        stops within about a millimetre of a surface, so at an edge it may meet, or miss, what the exact ray does not.
    """
    side = np.cross(direction, [0.0, 0.0, 1.0])
    side /= np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
    up = np.cross(side, direction)
    plain = same_range(scene.cast(origin, direction, reach).range, expected)
    close = plain.copy()
    for a in (-EDGE_M, 0.0, EDGE_M):
        for b in (-EDGE_M, 0.0, EDGE_M):
            close |= same_range(scene.cast(origin + a * side + b * up, direction, reach).range, expected)
    return float(plain.mean()), float(close.mean())


def same_range(ranges: ArrayLike, expected: ArrayLike) -> NDArray[np.bool_]:
    """Return which ranges [m] agree within 1 cm, or are both inf."""
    mine, other = np.asarray(ranges, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    both = np.isfinite(mine) & np.isfinite(other)
    close = np.abs(np.where(both, mine, 0.0) - np.where(both, other, np.inf)) <= AGREE_M
    return close | (np.isinf(mine) & np.isinf(other))


def _denser(directions: FloatArray, rotation: FloatArray) -> FloatArray:
    """Return the directions of a 2D scan ten times over, turned a little each time: one ray in 360 is no statistic."""
    turns = rotation_matrix(quaternion_from_yaw(np.arange(10) * 2.0 * np.pi / len(directions) / 10.0))
    return np.concatenate([directions @ rotation @ turn.T @ rotation.T for turn in turns])


def _row(
    name: str, peer: str, times: list[tuple[float, float]], threads: int, shares: list[tuple[float, float]]
) -> BenchRow:
    ours, theirs = (1e3 * np.median(times, axis=0)).tolist()
    cores = threads if threads > 0 else (os.cpu_count() or 1)
    plain, close = np.min(shares, axis=0).tolist()
    return BenchRow(name, peer, ours, theirs, theirs / ours, 1, cores, close, plain)


Work = Callable[[FloatArray], None]


def _times(ours: Work, theirs: Work, poses: FloatArray, repeat: int) -> list[tuple[float, float]]:
    """Return seconds of each repetition, ours and theirs by turns, moving bodies in another frame each time.

    Each turn is a few calls in a row, as in a simulation that steps many robots, after one that is not counted. The
    bodies are left in the first frame.
    """
    spent: tuple[list[float], list[float]] = ([], [])
    for first in range(0, repeat, TURN):
        for work, seconds in zip((ours, theirs), spent, strict=True):
            work(poses[0])
            for k in range(first, min(first + TURN, repeat)):
                frame = poses[(k + 1) % len(poses)]
                start = time.perf_counter()
                work(frame)
                seconds.append(time.perf_counter() - start)
            work(poses[0])
    return list(zip(*spent, strict=True))


def _seconds_with(peer: PyBulletPeer, threads: int, work: Work, hall: BenchHall) -> float:
    """Return the seconds that the peer takes with a number of threads: the best of four calls."""
    peer.threads = threads
    spent = []
    for poses in hall.poses[:4]:
        start = time.perf_counter()
        work(poses)
        spent.append(time.perf_counter() - start)
    return min(spent)


def _thread_settings() -> tuple[int, ...]:
    """Return the numbers of threads to try; 0 lets PyBullet decide."""
    cores = os.cpu_count() or 1
    return (1, 0) if cores == 1 else (1, 0, cores)


def _add_robot(builder: PrimitiveBuilder, instance: int, body: int) -> None:
    options: dict[str, Any] = {"class_name": "amr", "instance_id": instance, "body": body}
    builder.box((0.45, 0.325, 0.11), (0.0, 0.0, 0.18), color=(228, 230, 232), **options)
    builder.box((0.42, 0.30, 0.02), (0.0, 0.0, 0.31), color=(44, 46, 52), **options)
    half = float(np.sqrt(0.5))
    for side in (-1.0, 1.0):
        wheel = (0.0, 0.27 * side, 0.1)
        builder.cylinder(0.1, 0.03, wheel, color=(24, 24, 26), quaternion=(half, 0.0, 0.0, half), **options)


def _add_person(builder: PrimitiveBuilder, instance: int, body: int) -> None:
    options: dict[str, Any] = {"class_name": "person", "instance_id": instance, "body": body}
    for side in (-1.0, 1.0):
        builder.add(CAPSULE, (0.1, 0.32), (0.0, 0.11 * side, 0.44), color=(40, 52, 84), **options)
    builder.add(CAPSULE, (0.2, 0.26), (0.0, 0.0, 1.16), color=(232, 118, 24), **options)
    builder.add(SPHERE, (0.12,), (0.0, 0.0, 1.68), color=(206, 160, 132), **options)


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


@contextmanager
def _quiet_standard_output() -> Iterator[None]:
    """Keep PyBullet's own printing (it writes to file descriptor 1) off the terminal."""
    saved = os.dup(1)
    empty = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(empty, 1)
        yield
    finally:
        os.dup2(saved, 1)
        os.close(saved)
        os.close(empty)
