"""The hall of the benchmark: a generated layout with robots, people and loose goods, and places for sensors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...common.geometry import FloatArray, mounted, optical, quaternion_from_yaw
from ...common.primitives import CAPSULE, PLANE, SPHERE, PrimitiveBuilder, Primitives
from ...common.seeding import generator
from ...layouts.generator import generate_layout
from ...layouts.geometry import LayoutSolids, layout_solids
from ...layouts.recipe import LayoutRecipe
from ..scene import Scene

HALL_AREA = 1000.0
HALL_FILL = 0.8
ROBOTS, PEOPLE = 8, 4
SENSOR_POSES = 4
LIDAR_2D_HEIGHT, LIDAR_3D_HEIGHT, CAMERA_HEIGHT = 0.25, 0.6, 1.2
CAMERA_TILT = 0.1
"""How far cameras look down [rad]."""


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


def bench_hall(
    seed: int,
    *,
    area: float = HALL_AREA,
    frames: int = 16,
    robots: int = ROBOTS,
    people: int = PEOPLE,
    annex: float = 0.0,
) -> BenchHall:
    """Build the hall of the benchmark: about 2,400 solids on 1,000 m^2, 48 parts that move.

    Args:
        seed: of the layout and of the places.
        area: of the hall [m^2], 100 to 10,000; its solids go with it.
        frames: how many sets of poses of the moving bodies. robots, people: how many; no more than there are stations.
        annex: area [m^2] of a second hall that stands beside the first; 0 for none.
    """
    layout = generate_layout(LayoutRecipe(area=area, fill=HALL_FILL), seed)
    solids = layout_solids(layout)
    if annex > 0.0:
        solids = _with_annex(solids, layout.length, annex, seed + 1)
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
    count = min(robots + people, len(spots))
    for body in range(count):
        add = _add_robot if body < robots else _add_person
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


def lidar_pose(place: FloatArray, height: float) -> tuple[FloatArray, FloatArray]:
    """Return position (3,) [m] and rotation (3, 3) of a level lidar at a place x, y [m], yaw [rad]."""
    return mounted(place, np.array([0.0, 0.0, height, 0.0, 0.0, 0.0]))


def camera_pose(place: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return position (3,) [m] and rotation (3, 3), in ``camera_optical`` axes, of a camera looking a little down."""
    position, rotation = mounted(place, np.array([0.0, 0.0, CAMERA_HEIGHT, 0.0, CAMERA_TILT, 0.0]))
    return position, optical(rotation)


def _with_annex(solids: LayoutSolids, length: float, area: float, seed: int) -> LayoutSolids:
    """Return the solids with those of a second hall set beside them, its floor left out."""
    other = layout_solids(generate_layout(LayoutRecipe(area=area, fill=HALL_FILL), seed))
    added = other.static.take(other.static.kind != PLANE)
    shifted = replace(
        added,
        position=added.position + np.array([length + 5.0, 0.0, 0.0]),
        body=(added.body + solids.static.body.max()).astype(np.int32),
        instance_id=np.where(added.instance_id > 0, added.instance_id + solids.next_instance_id, 0).astype(np.int32),
    )
    return replace(
        solids,
        static=Primitives.concatenate([solids.static, shifted]),
        next_instance_id=solids.next_instance_id + other.next_instance_id,
    )


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
