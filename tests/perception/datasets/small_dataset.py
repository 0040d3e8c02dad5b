"""A small world with every kind of solid, pictures of it, and a dataset made of them."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from floorcast.common.primitives import CAPSULE, PLANE, SPHERE, PrimitiveBuilder, Primitives
from floorcast.perception.config import CameraConfig
from floorcast.perception.datasets.shards import ShardManifest, ShardWriter
from floorcast.perception.frames import CameraFrame
from floorcast.perception.labels import LabelledFrame, label_frame

from ..reference_renderer import camera_pose, render

SMALL = CameraConfig(width=160, height=120)
POSES = [
    camera_pose(0.0, 0.0, 0.6),
    camera_pose(0.3, 0.4, 0.9, yaw=-0.3, pitch=0.15),
    camera_pose(0.0, -0.5, 1.2, yaw=0.4, pitch=0.3, roll=0.1),
]


def small_world() -> Primitives:
    b = PrimitiveBuilder()
    b.add(PLANE, (0,), (0, 0, 0), class_name="floor", color=(120, 120, 120))
    b.box((0.1, 8, 2), (9, 0, 2), class_name="wall", color=(200, 200, 190))
    b.box((0.3, 0.2, 0.25), (4, 0.9, 0.25), class_name="box", instance_id=7, yaw=0.4, color=(181, 136, 92))
    b.box((0.3, 0.3, 0.2), (4.9, 0.8, 0.2), class_name="box", instance_id=8, color=(170, 120, 80))
    b.cylinder(0.3, 0.5, (5, -0.9, 0.5), class_name="cone", instance_id=3, color=(240, 90, 30))
    b.add(CAPSULE, (0.25, 0.6), (6, 2, 0.85), class_name="person", instance_id=300, color=(60, 90, 160))
    b.add(SPHERE, (0.3,), (3, -1.2, 0.9), class_name="sign", instance_id=12, color=(220, 40, 40))
    b.box((0.45, 0.3, 0.1), (3, 1.9, 0.1), class_name="amr", instance_id=9, yaw=1, color=(40, 40, 45))
    b.box((0.2, 0.2, 0.3), (3, 1.9, 0.5), class_name="amr", instance_id=9, yaw=1, color=(237, 115, 26))
    return b.build()


@functools.cache
def small_frame(pose: int) -> CameraFrame:
    position, rotation = POSES[pose]
    return render(small_world(), SMALL, position, rotation, number=pose)


@functools.cache
def _labels(pose: int) -> tuple:
    return tuple(label_frame(small_frame(pose), small_world()))


@functools.cache
def sweep(pose: int) -> dict:
    """Points on what every 97th pixel shows, as a lidar 0.1 m below the camera would have them, and their labels."""
    frame = small_frame(pose)
    position, rotation = POSES[pose]
    row, column = np.unravel_index(np.arange(0, frame.depth.size, 97), frame.depth.shape)
    depth = frame.depth[row, column].astype(np.float64)
    hit = np.isfinite(depth)
    row, column, depth = row[hit], column[hit], depth[hit]
    rays = np.stack([(column - 79.5) / SMALL.focal, (row - 59.5) / SMALL.focal, np.ones(len(row))], axis=1)
    lidar = position - np.array([0.0, 0.0, 0.1])
    points = np.empty((len(row), 4), dtype=np.float32)
    points[:, :3] = position + (depth[:, None] * rays) @ rotation.T - lidar
    points[:, 3] = 0.5
    return {
        "points": points,
        "lidar_position": lidar,
        "lidar_rotation": np.eye(3),
        "point_class": frame.semantic[row, column].astype(np.int32),
        "point_instance": frame.instance[row, column],
    }


def labelled(episode: int, number: int, *, robot: int = 0, points: bool = False) -> LabelledFrame:
    pose = (episode + number) % len(POSES)
    extra = sweep(pose) if points else {}
    return LabelledFrame(episode, robot, number, 0.2 * number, small_frame(pose), list(_labels(pose)), **extra)


def write_shard(folder: Path, episode: int, *, pictures: int = 2, reverse: bool = False, **options) -> ShardManifest:
    writer = ShardWriter(folder, episode, **options)
    numbers = range(pictures)
    for number in reversed(numbers) if reverse else numbers:
        writer.add(labelled(episode, number, points=episode == 1))
    return writer.close()


def tree(folder: Path) -> dict[str, bytes | str]:
    """Every file of a folder with its bytes; links with their targets."""
    return {
        str(path.relative_to(folder)): str(path.readlink()) if path.is_symlink() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }
