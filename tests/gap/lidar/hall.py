"""A hall with known walls, a robot that drives rounds in it, and the scans that the product's lidar takes there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from floorcast.common.primitives import PrimitiveBuilder, Primitives
from floorcast.gap.fieldlog import FieldLog, FileReport, LogReport, Scans
from floorcast.layouts.geometry import layout_solids
from floorcast.layouts.model import Column, Layout, Obstacle, Wall
from floorcast.layouts.occupancy import loose_in_map
from floorcast.perception.config import LidarConfig
from floorcast.perception.lidar import Lidar
from floorcast.perception.scene import Scene

LENGTH, WIDTH, HEIGHT = 14.0, 9.0, 0.2


def hall(shift: float = 0.0, seed: int = 0) -> Layout:
    """A hall of 14 x 9 m; each of its parts is moved by up to a few ``shift`` [m] across its faces."""
    rng = np.random.default_rng(seed)

    def off() -> float:
        return float(rng.normal(0.0, shift)) if shift else 0.0

    lines = [
        ((0.0, 0.0), (LENGTH, 0.0)), ((LENGTH, 0.0), (LENGTH, WIDTH)), ((LENGTH, WIDTH), (0.0, WIDTH)),
        ((0.0, WIDTH), (0.0, 0.0)), ((5.0, 3.6), (9.0, 3.6)), ((5.0, 5.4), (9.0, 5.4)), ((5.0, 3.6), (5.0, 5.4)),
        ((9.0, 3.6), (9.0, 5.4)), ((3.0, 0.0), (3.0, 1.0)), ((11.0, 8.0), (11.0, 9.0)),
    ]  # fmt: skip
    walls = []
    for k, ((ax, ay), (bx, by)) in enumerate(lines):
        dx, dy = (off(), 0.0) if ax == bx else (0.0, off())
        walls.append(Wall(id=f"w{k}", start=(ax + dx, ay + dy), end=(bx + dx, by + dy), thickness=0.1))
    boxes = [
        (0.6, 4.0, 0.8, 1.2),
        (13.3, 6.0, 0.9, 0.7),
        (7.0, 0.5, 1.4, 0.6),
        (6.0, 8.6, 2.0, 0.5),
        (13.4, 2.0, 0.5, 1.0),
    ]
    obstacles = [
        Obstacle(id=f"b{k}", x=x + off(), y=y + off(), z=0.5, size=(a, b, 1.0)) for k, (x, y, a, b) in enumerate(boxes)
    ]
    columns = [Column(id="c0", x=11.5 + off(), y=1.2 + off(), width=0.3, round=True)]
    return Layout(name="hall", length=LENGTH, width=WIDTH, walls=walls, obstacles=obstacles, columns=columns)


def rounds(count: int, step: float = 0.12) -> np.ndarray:
    """Poses (S, 3) on rounds about the middle block, a little wider each time and every second one the other way."""
    poses = []
    for k in range(count):
        a, b = 4.6 + 0.25 * (k % 3), 2.35 + 0.2 * (k % 3)
        t = np.linspace(0.0, 2.0 * np.pi, 4000)
        x, y = (
            7.0 + a * np.sign(np.cos(t)) * np.abs(np.cos(t)) ** 0.6,
            4.5 + b * np.sign(np.sin(t)) * np.abs(np.sin(t)) ** 0.6,
        )
        path = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(y)))])
        at = np.arange(0.0, path[-1], step)
        x, y = np.interp(at, path, x), np.interp(at, path, y)
        yaw = np.unwrap(np.arctan2(np.gradient(y), np.gradient(x)))
        one = np.column_stack([x, y, yaw])
        poses.append(one if k % 2 == 0 else np.column_stack([x, y, yaw + np.pi])[::-1])
    return np.concatenate(poses)


def aisle_tour(layout: Layout, count: int, step: float = 0.15) -> np.ndarray:
    """Poses (S, 3) of ``count`` tours through the aisles of a generated hall whose rack rows follow its length."""
    along = [aisle for aisle in layout.aisles if abs(aisle.start[1] - aisle.end[1]) < 0.01]
    longest = max(abs(aisle.end[0] - aisle.start[0]) for aisle in along)
    along = [aisle for aisle in along if abs(aisle.end[0] - aisle.start[0]) > longest - 0.1]
    left, right = sorted((along[0].start[0], along[0].end[0]))
    corners = []
    for k, y in enumerate(sorted({aisle.start[1] for aisle in along})):
        corners += [(left, y), (right, y)] if k % 2 == 0 else [(right, y), (left, y)]
    points = np.array((corners + corners[-2::-1][:-1]) * count, dtype=float)
    path = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    at = np.arange(0.0, path[-1], step)
    x, y = np.interp(at, path, points[:, 0]), np.interp(at, path, points[:, 1])
    heading = np.unwrap(np.arctan2(np.diff(points[:, 1]), np.diff(points[:, 0])))
    return np.column_stack([x, y, np.interp(at, 0.5 * (path[:-1] + path[1:]), heading)])


@dataclass(frozen=True)
class Run:
    """A log and what is true of it: laser poses (S, 3), ranges without noise (S, B), beams on a walker (S, B)."""

    log: FieldLog
    truth: np.ndarray
    clean: np.ndarray
    walker: np.ndarray


def scans_of(
    layout: Layout, truth: np.ndarray, *, noise: float = 0.0, beams: int = 181, span: float = np.pi, walkers: int = 0,
    seed: int = 0,
) -> tuple[Scans, np.ndarray, np.ndarray]:  # fmt: skip
    """Scans (S, B) from laser poses with normal noise, ranges without it, and which beams meet a walker."""
    config = LidarConfig(
        beams=beams, angle_min=-span / 2, angle_max=span / 2, range_max=40.0, range_noise=0.0, dropout=0.0,
        grazing_dropout=0.0,
    )  # fmt: skip
    lidar = Lidar(config)
    solids = layout_solids(layout)
    static = Primitives.concatenate([solids.static, loose_in_map(solids)])
    people = PrimitiveBuilder()
    for k in range(walkers):
        people.cylinder(0.15, 1.0, (0.0, 0.0, 1.0), class_name="person", body=k)
    scene = Scene(static, people.build(), walkers)
    rng = np.random.default_rng(seed)
    cos, sin = np.cos(truth[:, 2]), np.sin(truth[:, 2])
    rotation = np.zeros((len(truth), 3, 3))
    rotation[:, 0, 0], rotation[:, 0, 1], rotation[:, 1, 0], rotation[:, 1, 1] = cos, -sin, sin, cos
    rotation[:, 2, 2] = 1.0
    position = np.column_stack([truth[:, :2], np.full(len(truth), HEIGHT)])
    if not walkers:
        clean, row = lidar.true_ranges(scene, position, rotation)
    else:
        parts = []
        for s in range(len(truth)):
            pose = np.zeros((walkers, 7))
            pose[:, 6] = 1.0
            for k in range(walkers):
                # A walker goes to and fro ahead of the robot, across its way, never where it is.
                ahead, side = 1.6 + 0.5 * k, 1.2 * np.sin(0.21 * s + 2.0 * k)
                pose[k, 0] = truth[s, 0] + cos[s] * ahead - sin[s] * side
                pose[k, 1] = truth[s, 1] + sin[s] * ahead + cos[s] * side
            scene.update(pose)
            parts.append(lidar.true_ranges(scene, position[s : s + 1], rotation[s : s + 1]))
        clean, row = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
    clean, row = clean[:, 0], row[:, 0]
    ranges = (clean + rng.normal(0.0, noise, clean.shape) if noise else clean).astype(np.float32)
    stamps = np.arange(len(truth), dtype=np.int64) * 100_000_000
    scans = Scans(stamps, ranges, -span / 2, span / (beams - 1), 0.05, 40.0)
    return scans, clean.astype(np.float64), row >= len(static)


def run_of(
    layout: Layout, truth: np.ndarray, *, pose_noise: tuple[float, float] = (0.0, 0.0), seed: int = 0, **options
) -> Run:
    """A log of scans whose reference poses err by ``pose_noise`` [m, rad]."""
    scans, clean, walker = scans_of(layout, truth, seed=seed, **options)
    rng = np.random.default_rng(seed + 1000)
    wrong = truth + rng.normal(0.0, 1.0, truth.shape) * np.array([pose_noise[0], pose_noise[0], pose_noise[1]])
    log = FieldLog(
        robot="made",
        drive="unknown",
        pose_t_ns=scans.t_ns,
        pose=wrong,
        report=LogReport((FileReport("made.log", "0" * 64, len(scans), len(scans)),)),
        pose_frame="laser",
        scans=scans,
    )
    return Run(log, truth, clean, walker)
