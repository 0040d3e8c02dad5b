"""The drawn lidar against closed forms, an independent ray caster, and the scene's own, pose by pose."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from floorcast.common.errors import InputError
from floorcast.common.geometry import mounted, quaternion_from_rpy, rotation_matrix
from floorcast.common.primitives import BOX, CAPSULE, CYLINDER, PLANE, SPHERE, TRIANGLE, PrimitiveBuilder, Primitives
from floorcast.perception.config import LidarConfig
from floorcast.perception.lidar import Lidar
from floorcast.perception.scene import Scene, empty_primitives
from floorcast.perception.threads import get_threads, map_chunks, set_threads

from .exact import exact_ranges, signed_distance

RINGS = (-0.35, -0.1, 0.0, 0.05, 0.3)
TIE = 1e-4
"""Rows may differ where two solids are this near to each other [m]: within it they are taken for equally near."""


def level(yaw=0.0):
    return mounted(np.array([0.0, 0.0, yaw]), np.zeros(6))[1]


def tilted(rng, amount=0.3):
    return rotation_matrix(quaternion_from_rpy(*rng.normal(scale=amount, size=2), rng.uniform(-np.pi, np.pi)))


def add_random(builder, rng, count, *, upright, body_count=0, reach=6.0):
    for number in range(count):
        kind = int(rng.choice([BOX, CYLINDER, CAPSULE, SPHERE, TRIANGLE], p=[0.5, 0.2, 0.1, 0.1, 0.1]))
        a, b, h = rng.uniform(0.05, 1.0, 3)
        size = {BOX: (a, b, h), TRIANGLE: (a, rng.uniform(-a, a), h)}.get(kind, (a, b))
        lean = 0.0 if upright and kind != TRIANGLE else 1.0
        turn = quaternion_from_rpy(*(lean * rng.normal(size=2)), rng.choice([0.0, np.pi / 2, rng.uniform(-4, 4)]))
        place = rng.uniform((-reach, -reach, 0.0), (reach, reach, 2.5))
        body = int(rng.integers(body_count)) if body_count else 0
        builder.add(kind, size, place, class_name="box", instance_id=number + 1, quaternion=turn, body=body)


def random_scene(seed, solids=60):
    rng = np.random.default_rng(seed)
    static, moving = PrimitiveBuilder(), PrimitiveBuilder()
    static.add(PLANE, (0.0,), (0.0, 0.0, 0.0), class_name="floor")
    if seed % 3 == 0:
        lean = quaternion_from_rpy(*rng.normal(scale=0.3, size=3))
        static.add(PLANE, (0.0,), (0.0, 0.0, -1.0), class_name="floor", quaternion=lean)
    for side in ((7.0, 0.0), (-7.0, 0.0), (0.0, 7.0), (0.0, -7.0)):
        half = (0.1, 7.2, 1.0) if side[0] else (7.2, 0.1, 1.5)
        static.box(half, (*side, 1.0), class_name="wall", instance_id=0)
    add_random(static, rng, solids, upright=seed % 2 == 0)
    add_random(moving, rng, 12, upright=False, body_count=4, reach=0.5)
    scene = Scene(static.build(), moving.build(), 4)
    pose = np.zeros((4, 7))
    pose[:, :2] = rng.uniform(-6, 6, (4, 2))
    pose[:, 3:] = [quaternion_from_rpy(0, 0, rng.uniform(-4, 4)) for _ in range(4)]
    scene.update(pose)
    return scene, rng


def compare(scene, lidar, position, rotation, exclude=-1):
    """Hold one scan against the scene's own rays: every beam, and every row but at ties."""
    ranges, index = lidar.true_ranges(scene, position[None], rotation[None], exclude_body=exclude)
    rays = scene.cast(position, lidar.directions @ rotation.T, lidar.config.range_max, exclude)
    ranges, index = ranges.reshape(-1), index.reshape(-1)
    assert_array_equal(np.isfinite(ranges), np.isfinite(rays.range))
    hit = np.isfinite(ranges)
    assert_allclose(ranges[hit], rays.range[hit], rtol=1e-6, atol=1e-6)
    other = np.flatnonzero(index != rays.index)
    for b in other:
        # The row that was found must be as near as the nearest.
        alone = scene.world_primitives().take([index[b]])
        again, _ = exact_ranges(alone, position, lidar.directions[b : b + 1] @ rotation.T)
        assert again[0] == pytest.approx(rays.range[b], abs=TIE)
    return ranges


def check_poses(seeds, poses):
    flat = Lidar(LidarConfig(beams=181, range_max=9.0))
    rings = Lidar(LidarConfig(beams=120, elevations=RINGS, range_max=30.0))
    sector = Lidar(LidarConfig(beams=90, angle_min=-2.0, angle_max=0.7, elevations=(0.2, -0.2)))
    for seed in seeds:
        scene, rng = random_scene(seed)
        for number in range(poses):
            position = rng.uniform((-6.5, -6.5, 0.05), (6.5, 6.5, 2.2))
            rotation = tilted(rng) if number % 2 else level(rng.uniform(-4, 4))
            for lidar in (flat, rings, sector):
                compare(scene, lidar, position, rotation, int(rng.integers(-1, 4)))


def test_random_layouts_and_poses():
    check_poses(range(5), 4)


def test_many_solids_that_hide_each_other():
    rng = np.random.default_rng(12)
    static, moving = PrimitiveBuilder(), PrimitiveBuilder()
    static.add(PLANE, (0.0,), (0.0, 0.0, 0.0), class_name="floor")
    add_random(static, rng, 1500, upright=True, reach=20.0)
    add_random(moving, rng, 40, upright=False, body_count=8, reach=0.5)
    scene = Scene(static.build(), moving.build(), 8)
    pose = np.zeros((8, 7))
    pose[:, :2], pose[:, 6] = rng.uniform(-15, 15, (8, 2)), 1.0
    scene.update(pose)
    lidars = [
        Lidar(LidarConfig(beams=360, range_max=60.0)),
        Lidar(LidarConfig(beams=120, elevations=(-1.5, *RINGS, 1.0), range_max=60.0)),
    ]
    over = rotation_matrix(quaternion_from_rpy(np.pi, 0.0, 1.0))
    for rotation in (level(2.0), tilted(rng), tilted(rng, 1.0), over, over @ tilted(rng)):
        position = rng.uniform((-18, -18, 0.1), (18, 18, 3.0))
        for lidar in lidars:
            compare(scene, lidar, position, rotation, int(rng.integers(-1, 8)))


@pytest.mark.parametrize("away", [0.0, 2e4])
def test_one_horizontal_ring_sees_what_it_sees_among_others(away):
    rng = np.random.default_rng(21)
    static, moving = PrimitiveBuilder(), PrimitiveBuilder()
    static.add(PLANE, (0.0,), (0.0, 0.0, 0.0), class_name="floor")
    static.box((30.0, 0.05, 1.5), (0.0, 12.0, 1.5), class_name="wall", instance_id=1)
    add_random(static, rng, 300, upright=True, reach=20.0)
    add_random(moving, rng, 40, upright=False, body_count=8, reach=0.5)
    fixed, parts = static.build(), moving.build()
    fixed.position[:, :2] += away
    scene = Scene(fixed, parts, 8)
    pose = np.zeros((8, 7))
    pose[:, :2], pose[:, 6] = away + rng.uniform(-15, 15, (8, 2)), 1.0
    scene.update(pose)
    for options in (
        {"beams": 360, "range_max": 25.0},
        {"beams": 333, "angle_min": -0.4, "angle_max": 2.9, "sweep_time": 0.1},
        {"beams": 1500, "sweep_time": 0.1},
    ):
        one, two = (Lidar(LidarConfig(elevations=e, **options)) for e in ((0.0,), (0.0, 0.5)))
        for position in (*rng.uniform((-15, -15, 0.1), (15, 15, 2.0), (6, 3)), (3.0, 11.9500001, 1.0)):
            position = np.add([position], (away, away, 0.0))
            velocity, turn = np.array([[*rng.normal(0, 1, 2), 0, 0, 0, 2 * rng.normal()]]), level(rng.uniform(-4, 4))
            others = {"exclude_body": int(rng.integers(-1, 8)), "velocity": velocity}
            ranges, rows = one.true_ranges(scene, position, turn[None], **others)
            expected, among = two.true_ranges(scene, position, turn[None], **others)
            assert_allclose(ranges[0, 0], expected[0, 0], rtol=1e-6, atol=1e-6)
            assert np.mean(rows[0, 0] == among[0, 0]) > 0.99


@pytest.mark.slow
def test_two_hundred_random_layouts_and_poses():
    check_poses(range(100, 150), 4)


coordinate = st.floats(-3, 3)
extent = st.floats(0.02, 1.5)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from([BOX, CYLINDER, CAPSULE, SPHERE, PLANE, TRIANGLE]),
    size=st.tuples(extent, extent, extent),
    place=st.tuples(coordinate, coordinate, coordinate),
    solid_turn=st.tuples(st.sampled_from([0.0, 0.4]), st.sampled_from([0.0, -0.9]), st.floats(-3.2, 3.2)),
    lidar_turn=st.tuples(st.sampled_from([0.0, 0.2]), st.sampled_from([0.0, -0.3]), st.floats(-3.2, 3.2)),
    lidar_place=st.tuples(coordinate, coordinate, coordinate),
)
def test_one_solid_as_an_independent_caster_sees_it(kind, size, place, solid_turn, lidar_turn, lidar_place):
    if kind == TRIANGLE:
        size = (size[0], min(size[1], size[0]), size[2])
    builder = PrimitiveBuilder()
    builder.add(kind, size, place, class_name="box", instance_id=1, quaternion=quaternion_from_rpy(*solid_turn))
    scene = Scene(builder.build(), empty_primitives(), 0)
    lidar = Lidar(LidarConfig(beams=64, elevations=(-0.6, -0.05, 0.0, 0.4), range_max=1000.0))
    rotation = rotation_matrix(quaternion_from_rpy(*lidar_turn))
    position = np.array(lidar_place)
    world = builder.build()
    local = (position - world.position) @ rotation_matrix(world.quaternion)[0]
    assume(abs(signed_distance(kind, np.array(size), local)[0]) > 1e-6)  # On a surface, see below.
    got = lidar.true_ranges(scene, position[None], rotation[None])[0].reshape(-1)
    expected, _ = exact_ranges(world, position, lidar.directions @ rotation.T, 1000.0)
    # A beam along a surface may be called either way, and one that runs almost along a face is not worth its digits.
    assert (np.isfinite(got) != np.isfinite(expected)).sum() <= 1
    both = np.isfinite(got) & np.isfinite(expected)
    assert (np.abs(got[both] - expected[both]) > 1e-4 + 1e-5 * expected[both]).sum() <= 1


def seen(add, elevations=(0.0,), beams=360, position=(0.0, 0.0, 1.0), rotation=None, **config):
    builder = PrimitiveBuilder()
    add(builder)
    scene = Scene(builder.build(), empty_primitives(), 0)
    lidar = Lidar(LidarConfig(beams=beams, elevations=elevations, range_max=100.0, **config))
    rotation = np.eye(3) if rotation is None else rotation
    return lidar, lidar.true_ranges(scene, np.array([position]), rotation[None])[0][0]


def test_a_room_of_boxes_across_the_seam():
    def walls(builder):
        for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            half = (0.1, 6.0, 50.0) if x else (6.0, 0.1, 50.0)
            builder.box(half, (5.1 * x, 5.1 * y, 0.0), class_name="wall")

    rings = (-0.4, 0.0, 0.3)
    lidar, ranges = seen(walls, rings)
    over_ground = 5.0 / np.maximum(np.abs(np.cos(lidar.angles)), np.abs(np.sin(lidar.angles)))
    assert_allclose(ranges, over_ground / np.cos(rings)[:, None], rtol=1e-6)


@pytest.mark.parametrize("bearing", [0.0, 1.0, np.pi, -3.1])
def test_a_cylinder_and_a_sphere_at_any_bearing(bearing):
    center = np.array([4.0 * np.cos(bearing), 4.0 * np.sin(bearing)])

    def expected(lidar):
        away = np.abs(np.sin(lidar.angles - bearing)) * 4.0
        ahead = np.cos(lidar.angles - bearing) * 4.0
        chord = np.sqrt(np.maximum(0.25 - away**2, 0.0))
        return np.where((away < 0.5) & (ahead > 0), ahead - chord, np.inf)

    lidar, ranges = seen(lambda b: b.cylinder(0.5, 2.0, (*center, 1.0), class_name="column"))
    assert_allclose(ranges[0], expected(lidar), rtol=1e-6)
    lidar, ranges = seen(lambda b: b.add(SPHERE, (0.5,), (*center, 1.0), class_name="box"))
    assert_allclose(ranges[0], expected(lidar), rtol=1e-6)
    lidar, ranges = seen(lambda b: b.add(CAPSULE, (0.5, 1.0), (*center, 1.0), class_name="person"))
    assert_allclose(ranges[0], expected(lidar), rtol=1e-6)


def test_boxes_straight_ahead_abeam_and_behind():
    for x, y in ((3.0, 0.0), (0.0, 3.0), (-3.0, 0.0), (0.0, -3.0)):
        for yaw in (0.0, np.pi / 2, np.pi):
            lidar, ranges = seen(
                lambda b, x=x, y=y, yaw=yaw: b.box((0.5, 0.5, 1.0), (x, y, 1.0), class_name="box", yaw=yaw)
            )
            off = np.abs(np.angle(np.exp(1j * (lidar.angles - np.arctan2(y, x)))))
            hit = off < np.arctan(0.5 / 2.5) - 1e-9
            assert_array_equal(np.isfinite(ranges[0]), hit)
            assert_allclose(ranges[0][hit], 2.5 / np.cos(off[hit]), rtol=1e-6)


def test_the_top_of_a_carton_and_the_floor_beyond():
    def carton(builder):
        builder.add(PLANE, (0.0,), (0.0, 0.0, 0.0), class_name="floor")
        builder.box((0.5, 5.0, 0.25), (2.5, 0.0, 0.25), class_name="box")

    _, ranges = seen(carton, (-0.35, -0.3, -0.2), beams=1, angle_min=0.0, angle_max=0.1)
    # From 1 m up: into its front at x = 2, onto its top at z = 0.5, and over it to the floor.
    assert_allclose(ranges[:, 0], [2.0 / np.cos(0.35), 2.0 / np.cos(0.3), 0.5 / np.sin(0.2)], rtol=1e-6)


def test_a_triangle_is_seen_from_both_sides():
    turn = quaternion_from_rpy(0.0, np.pi / 2, 0.0)
    for x in (3.0, -3.0):
        lidar, ranges = seen(
            lambda b, x=x: b.add(TRIANGLE, (1.0, 0.2, 1.0), (x, 0.0, 1.0), class_name="box", quaternion=turn)
        )
        ahead = np.sign(x) * np.cos(lidar.angles)
        hit = np.isfinite(ranges[0])
        assert hit.sum() > 5
        assert_allclose(ranges[0][hit], 3.0 / ahead[hit], rtol=1e-6)


def test_a_tilted_lidar_over_the_floor():
    pitch = 0.5
    rotation = rotation_matrix(quaternion_from_rpy(0.0, pitch, 0.0))
    lidar, ranges = seen(
        lambda b: b.add(PLANE, (0.0,), (0.0, 0.0, 0.0), class_name="floor"), (-0.1, 0.2), rotation=rotation
    )
    down = -(lidar.directions @ rotation.T)[:, 2]
    expected = np.where(down > 0.01, 1.0 / np.maximum(down, 0.01), np.inf)
    assert_allclose(ranges.reshape(-1), expected, rtol=1e-6)


def test_inside_a_solid_every_range_is_zero():
    for kind, size in ((BOX, (0.5, 0.4, 0.3)), (CYLINDER, (0.5, 0.4)), (SPHERE, (0.5,)), (PLANE, (0.0,))):
        for rotation in (level(0.3), tilted(np.random.default_rng(1))):
            _, ranges = seen(
                lambda b, kind=kind, size=size: b.add(kind, size, (0.1, -0.1, 1.1), class_name="box"),
                RINGS,
                rotation=rotation,
            )
            assert (ranges == 0.0).all()


def test_on_a_face_only_the_half_turn_into_the_solid_is_zero():
    _, ranges = seen(lambda b: b.box((1.0, 1.0, 1.0), (1.0, 0.0, 1.0), class_name="box"), beams=360)
    angles = -180 + np.arange(360)
    into = np.abs(angles) < 90
    assert (ranges[0][into] == 0.0).all()
    assert np.isinf(ranges[0][np.abs(angles) > 90]).all()
    for corner in ((1.0, 1.0), (1.0, -1.0)):
        _, ranges = seen(lambda b, c=corner: b.box((1.0, 1.0, 1.0), (*c, 1.0), class_name="box"), RINGS)
        assert not np.isnan(ranges).any()
        assert (ranges[2] == 0.0).mean() == pytest.approx(0.25, abs=0.01)


def test_solids_of_next_to_no_size_are_seen_or_not_but_never_wrong():
    for kind, size in ((BOX, (1e-9, 1e-9, 1e-9)), (CYLINDER, (1e-9, 1e-9)), (TRIANGLE, (1e-9, 0.0, 1e-9))):
        _, ranges = seen(lambda b, k=kind, s=size: b.add(k, s, (3.0, 0.0, 1.0), class_name="box"), RINGS)
        assert (np.isinf(ranges) | (np.abs(ranges - 3.0) < 1e-6)).all()


def moving_room():
    builder = PrimitiveBuilder()
    for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        half = (0.1, 60.0, 50.0) if x else (60.0, 0.1, 50.0)
        builder.box(half, (5.1 * x, 5.1 * y, 0.0), class_name="wall")
    return Scene(builder.build(), empty_primitives(), 0)


@pytest.mark.parametrize("clockwise", [False, True])
@pytest.mark.parametrize(
    ("linear", "angular"),
    [((0, 0, 0), (0, 0, 1)), ((2, 0, 0), (0, 0, 0)), ((1.5, -1, 0), (0, 0, -2)), ((1, 0, 0.5), (0.3, -0.4, 1.0))],
)
def test_a_sweep_while_driving_and_turning(linear, angular, clockwise):
    config = LidarConfig(beams=720, elevations=(-0.1, 0.0, 0.15), rate=10.0, sweep_time=0.1, clockwise=clockwise)
    lidar, scene = Lidar(config), moving_room()
    speed = np.array([[*linear, *angular]], dtype=float)
    start = level(0.4)
    ranges, _ = lidar.true_ranges(scene, [[0.5, -0.3, 1.0]], start[None], velocity=speed)
    fraction = np.arange(720) / 719
    time = 0.1 * (fraction[::-1] if clockwise else fraction)
    expected = np.empty((3, 720))
    for c, t in enumerate(time):
        # Rotation about a fixed axis in map, through an angle that grows with time.
        angle = np.linalg.norm(angular) * t
        axis = np.array(angular) / max(np.linalg.norm(angular), 1e-12)
        k = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
        turn = np.eye(3) + np.sin(angle) * k + (1 - np.cos(angle)) * k @ k
        origin = np.array([0.5, -0.3, 1.0]) + np.array(linear) * t
        d = lidar.directions.reshape(3, 720, 3)[:, c] @ start.T @ turn.T
        to_x, to_y = (np.copysign(5.0, d[:, i]) - origin[i] for i in (0, 1))
        expected[:, c] = np.minimum(to_x / d[:, 0], to_y / d[:, 1])
    assert_allclose(ranges[0], expected, rtol=1e-6)


def test_a_sweep_against_rays_of_its_own():
    scene, rng = random_scene(8)
    lidar = Lidar(LidarConfig(beams=200, elevations=RINGS, sweep_time=0.1, range_max=30.0))
    time = np.linspace(0, 0.1, 200)
    for yaw_rate in (1.0, -3.0, 40.0, -60.0):
        velocity = np.array([2.0, -1.0, 0.0, 0.0, 0.0, yaw_rate])
        position, yaw = rng.uniform((-5, -5, 0.1), (5, 5, 2)), rng.uniform(-4, 4)
        ranges, _ = lidar.true_ranges(scene, position[None], level(yaw)[None], velocity=velocity[None])
        for c in range(200):
            origin = position + velocity[:3] * time[c]
            d = lidar.directions.reshape(len(RINGS), 200, 3)[:, c] @ level(yaw + yaw_rate * time[c]).T
            assert_allclose(ranges[0, :, c], scene.cast(origin, d, 30.0).range, rtol=2e-6, atol=1e-6)


def test_a_sweep_while_leaning_and_rolling_against_rays_of_its_own():
    scene, rng = random_scene(8)
    lidar = Lidar(LidarConfig(beams=100, elevations=RINGS, sweep_time=0.1, range_max=30.0))
    for angular in ((0.5, -0.8, 2.0), (6.0, -9.0, 3.0), (30.0, 25.0, 0.0)):
        speed, position, start = np.array([1.0, -2.0, 0.5]), rng.uniform((-5, -5, 0.3), (5, 5, 2)), tilted(rng)
        ranges, _ = lidar.true_ranges(scene, position[None], start[None], velocity=[[*speed, *angular]])
        rate = np.linalg.norm(angular)
        for c, t in enumerate(np.linspace(0, 0.1, 100)):
            turn = rotation_matrix(np.append(np.sin(0.5 * rate * t) * np.array(angular) / rate, np.cos(0.5 * rate * t)))
            d = lidar.directions.reshape(len(RINGS), 100, 3)[:, c] @ (turn @ start).T
            assert_allclose(ranges[0, :, c], scene.cast(position + speed * t, d, 30.0).range, rtol=2e-6, atol=1e-6)


def test_a_batch_on_any_number_of_threads_equals_single_scans():
    scene, rng = random_scene(4)
    lidar = Lidar(LidarConfig(beams=100, elevations=RINGS, sweep_time=0.05, returns=2, divergence_horizontal=0.01))
    position = rng.uniform((-6, -6, 0.1), (6, 6, 2), (7, 3))
    rotation = np.stack([tilted(rng) if s % 2 else level(s) for s in range(7)])
    velocity = rng.normal(size=(7, 6)) * [1, 1, 0, 0, 0, 1]
    options = {"stream": 3, "frame": 5}
    names = ("ranges", "intensity", "second_ranges", "true_ranges", "instance_id", "class_id", "flags")
    before = get_threads()
    try:
        batches = []
        for threads in (1, 2, 5):
            set_threads(threads)
            batches.append(
                lidar.scan_batch(
                    scene, position, rotation, sensors=range(7), exclude_body=2, velocity=velocity, **options
                )
            )
    finally:
        set_threads(before)
    for batch in batches[1:]:
        for name in names:
            assert getattr(batch, name).tobytes() == getattr(batches[0], name).tobytes()
    for s in (4, 0, 3):
        scan, truth = lidar.scan(
            scene, position[s], rotation[s], sensor=s, exclude_body=2, velocity=velocity[s], **options
        )
        assert scan.ranges.tobytes() == batches[0].ranges[s].tobytes()
        assert scan.second_ranges.tobytes() == batches[0].second_ranges[s].tobytes()
        assert truth.ranges.tobytes() == batches[0].true_ranges[s].tobytes()
        assert truth.flags.tobytes() == batches[0].flags[s].tobytes()


def test_scans_without_truth():
    scene, _ = random_scene(2)
    lidar = Lidar(LidarConfig(beams=50))
    options = {"stream": 0, "sensors": [0], "frame": 0}
    bare = lidar.scan_batch(scene, [(0, 0, 0.5)], [level()], truth=False, **options)
    full = lidar.scan_batch(scene, [(0, 0, 0.5)], [level()], **options)
    assert bare.ranges.tobytes() == full.ranges.tobytes()
    assert bare.true_ranges is None
    with pytest.raises(InputError, match="without truth"):
        bare[0]
    with pytest.raises(IndexError):
        full[1]


def test_copies_of_scene_and_lidar_stand_alone():
    scene, _ = random_scene(2)
    lidar = Lidar(LidarConfig(beams=50))
    expected = lidar.true_ranges(scene, [(0, 0, 0.5)], [level()])[0].tobytes()
    for renew in (copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))):
        other, again = renew(scene), renew(lidar)
        other.update(scene._pose + np.array([0.5, 0.2, 0, 0, 0, 0, 0]))
        assert lidar.true_ranges(scene, [(0, 0, 0.5)], [level()])[0].tobytes() == expected
        other.update(scene._pose)
        assert again.true_ranges(other, [(0, 0, 0.5)], [level()])[0].tobytes() == expected


def test_velocities_that_do_not_fit_are_refused():
    scene, _ = random_scene(2)
    lidar = Lidar(LidarConfig(beams=5, sweep_time=0.1))
    for velocity in (np.zeros((2, 6)), np.zeros(6), np.full((1, 6), np.nan)):
        with pytest.raises(InputError, match="velocities"):
            lidar.true_ranges(scene, [(0, 0, 1)], [level()], velocity=velocity)


def test_chunks_cover_everything_once_and_errors_come_through():
    before = get_threads()
    try:
        for threads in (1, 2, 3, 8):
            set_threads(threads)
            done = np.zeros(7, int)

            def add(first, end, done=done):
                done[first:end] += 1

            map_chunks(add, 7)
            assert (done == 1).all()
            map_chunks(add, 0)
            with pytest.raises(ZeroDivisionError):
                map_chunks(lambda first, end: 1 // 0, 4)
    finally:
        set_threads(before)
    for bad in (0, -1, 1.5, True, 10**6):
        with pytest.raises(InputError):
            set_threads(bad)


def test_an_odd_environment_variable_is_named(monkeypatch):
    monkeypatch.setattr("floorcast.perception.threads._count", None)
    monkeypatch.setenv("FLOORCAST_THREADS", "many")
    with pytest.raises(InputError, match="FLOORCAST_THREADS"):
        get_threads()
    monkeypatch.setenv("FLOORCAST_THREADS", "3")
    assert get_threads() == 3


def test_a_mesh_sized_scene_of_triangles():
    rng = np.random.default_rng(3)
    builder = PrimitiveBuilder()
    add_random(builder, rng, 5, upright=False)
    many = Primitives.concatenate([builder.build()] * 400)
    scene = Scene(many, empty_primitives(), 0)
    compare(scene, Lidar(LidarConfig(beams=64, elevations=RINGS)), np.array([0.0, 0.0, 1.0]), level(0.2))
