"""Small halls with every kind of solid, straight and turned, for tests of many worlds."""

import numpy as np

from floorcast.common.geometry import mounted, quaternion_from_yaw
from floorcast.common.primitives import BOX, CAPSULE, CYLINDER, PLANE, SPHERE, TRIANGLE, PrimitiveBuilder

SIZES = {
    BOX: (0.6, 0.4, 0.5),
    CYLINDER: (0.4, 0.6),
    CAPSULE: (0.3, 0.5),
    SPHERE: (0.5,),
    TRIANGLE: (0.9, 0.2, 0.7),
}
BODIES = 3


def random_turn(rng):
    q = rng.normal(size=4)
    return q / np.linalg.norm(q)


def small_hall(seed, count=20, shift=0.0):
    """A floor and solids of every kind, half of them upright, about (shift, shift)."""
    rng = np.random.default_rng(seed)
    builder = PrimitiveBuilder()
    builder.add(PLANE, (0.0,), (0.0, 0.0, 0.0), class_name="floor")
    for i in range(count):
        kind = list(SIZES)[i % len(SIZES)]
        turn = quaternion_from_yaw(rng.uniform(-3, 3) if i % 3 else 0.0) if i % 2 else random_turn(rng)
        place = rng.uniform([-8, -8, 0.2], [8, 8, 1.5]) + np.array([shift, shift, 0.0])
        options = {"class_name": "rack", "instance_id": i + 1, "quaternion": turn}
        builder.add(kind, SIZES[kind], place, color=rng.integers(0, 256, 3), **options)
    return builder.build()


def movers():
    """Parts of three bodies, not in the order of their bodies; one wheel is turned on its side."""
    builder = PrimitiveBuilder()
    half = float(np.sqrt(0.5))
    builder.box((0.45, 0.3, 0.1), (0.0, 0.0, 0.18), class_name="amr", instance_id=901, body=0)
    builder.add(CAPSULE, (0.2, 0.3), (0.0, 0.0, 1.0), class_name="person", instance_id=902, body=1)
    tilted = (half, 0.0, 0.0, half)
    builder.cylinder(0.1, 0.03, (0.0, 0.3, 0.1), class_name="amr", instance_id=901, body=0, quaternion=tilted)
    builder.add(SPHERE, (0.15,), (0.0, 0.0, 1.6), class_name="person", instance_id=902, body=1)
    builder.add(TRIANGLE, (0.5, 0.1, 0.4), (0.0, 0.0, 0.6), class_name="box", instance_id=903, body=2)
    return builder.build()


def random_poses(rng, worlds, shift=0.0):
    """(W, B, 7): upright but the last, which stands at any orientation."""
    poses = np.zeros((worlds, BODIES, 7))
    poses[..., :2] = rng.uniform(-5, 5, (worlds, BODIES, 2)) + shift
    poses[..., 3:] = quaternion_from_yaw(rng.uniform(-3, 3, (worlds, BODIES)))
    for w in range(worlds):
        poses[w, -1, 3:] = random_turn(rng)
        poses[w, -1, 2] = 0.7
    return poses


def random_places(rng, worlds, sensors, height=0.5, shift=0.0, tilt=0.3):
    """Sensor positions (W, S, 3) and tilted rotations (W, S, 3, 3)."""
    positions, rotations = np.zeros((worlds, sensors, 3)), np.zeros((worlds, sensors, 3, 3))
    for w in range(worlds):
        for s in range(sensors):
            x, y, yaw = rng.uniform([-4 + shift, -4 + shift, -3], [4 + shift, 4 + shift, 3])
            roll, pitch = rng.uniform(-tilt, tilt, 2)
            positions[w, s], rotations[w, s] = mounted([x, y, yaw], [0.0, 0.0, height, roll, pitch, 0.0])
    return positions, rotations
