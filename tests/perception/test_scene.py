"""Scenes: moving bodies, bookkeeping, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from floorcast.common.errors import InputError
from floorcast.common.geometry import quaternion_from_rpy, quaternion_from_yaw
from floorcast.common.primitives import BOX, CAPSULE, CYLINDER, PLANE, SPHERE, PrimitiveBuilder, Primitives
from floorcast.perception.scene import Scene, empty_primitives

from .exact import exact_ranges, random_directions


def build(*solids, class_name="box"):
    builder = PrimitiveBuilder()
    for number, (kind, size, position, body) in enumerate(solids):
        builder.add(kind, size, position, class_name=class_name, instance_id=100 + number, body=body)
    return builder.build()


def pose(x=0.0, y=0.0, z=0.0, roll=0.0, pitch=0.0, yaw=0.0):
    return [x, y, z, *quaternion_from_rpy(roll, pitch, yaw)]


STATIC = build((BOX, (0.1, 5, 1), (10, 0, 1), 0), (BOX, (5, 0.1, 1), (5, 5, 1), 0))
PARTS = build(
    (BOX, (0.5, 0.3, 0.2), (0, 0, 0.3), 0), (SPHERE, (0.2,), (0.6, 0, 0.3), 0), (CAPSULE, (0.2, 0.5), (0, 0, 0.7), 1)
)


def test_a_body_is_seen_where_it_stands_and_nowhere_else():
    scene = Scene(STATIC, PARTS, 2)
    for x in (3.0, 6.0):
        scene.update([pose(x, 0, 0), pose(2, 3, 0, yaw=1.0)])
        hits = scene.cast((0, 0, 0.3), [(1, 0, 0)])
        assert_allclose(hits.range, [x - 0.5], atol=1e-6)
        assert scene.instance_id[hits.index[0]] == 100
        scene.update([pose(x, 0, 0, yaw=np.pi), pose(2, 3, 0)])
        hits = scene.cast((0, 0, 0.3), [(1, 0, 0)])
        assert_allclose(hits.range, [x - 0.8], atol=1e-6)  # Now the sphere leads.
        assert scene.instance_id[hits.index[0]] == 101


def test_unplaced_bodies_stand_at_the_origin():
    hits = Scene(STATIC, PARTS, 2).cast((-3, 0, 0.3), [(1, 0, 0)])
    assert_allclose(hits.range, [2.5], atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_bodies_at_any_pose_match_a_scene_without_bodies(seed):
    """What moving bodies show equals what the second implementation says of the same solids, standing still."""
    rng = np.random.default_rng(seed)
    builder = PrimitiveBuilder()
    for body in range(6):
        for _ in range(4):
            turn = rng.normal(size=4)
            turn /= np.linalg.norm(turn)
            kind = int(rng.choice([BOX, CYLINDER, CAPSULE, SPHERE]))
            place = rng.normal(size=3) * 0.4
            builder.add(kind, rng.uniform(0.05, 0.4, 3), place, class_name="amr", body=body, quaternion=turn)
    scene = Scene(STATIC, builder.build(), 6)
    for _ in range(3):  # Placed anew: nothing of the last frame may remain.
        poses = np.zeros((6, 7))
        poses[:, :3] = rng.uniform((-4, -8, 0), (14, 8, 2), (6, 3))  # Some outside the grid.
        poses[:, 3:] = rng.normal(size=(6, 4))
        poses[0, 3:5] = 0.0
        poses[:, 3:] /= np.linalg.norm(poses[:, 3:], axis=1, keepdims=True)
        scene.update(poses)
        world = scene.world_primitives()
        origin = rng.uniform((0, -4, 0), (9, 4, 2))
        aim = poses[rng.integers(6, size=200), :3] - origin + rng.normal(size=(200, 3)) * 0.4
        direction = np.concatenate([aim / np.linalg.norm(aim, axis=1, keepdims=True), random_directions(rng, 40)])
        ranges, _ = exact_ranges(world, origin, direction)
        assert_allclose(scene.cast(origin, direction).range, ranges, rtol=1e-6, atol=1e-5)


def test_excluded_bodies_are_passed_through():
    scene = Scene(STATIC, PARTS, 2)
    scene.update([pose(3), pose(6)])
    origin, ray = (0, 0, 0.3), [(1, 0, 0)]
    assert_allclose(scene.cast(origin, ray).range, [2.5], atol=1e-6)
    assert_allclose(scene.cast(origin, ray, exclude_body=0).range, [5.8], atol=1e-6)
    assert_allclose(scene.cast(origin, ray * 3, exclude_body=[0, 1, -1]).range, [5.8, 2.5, 2.5], atol=1e-6)
    # A body that stands outside the grid is excluded as well.
    scene.update([pose(-20), pose(6)])
    assert_allclose(scene.cast((-30, 0, 0.3), ray).range, [9.5], atol=1e-6)
    assert_allclose(scene.cast((-30, 0, 0.3), ray, exclude_body=0).range, [35.8], atol=1e-5)


def test_bodies_far_outside_and_a_moving_plane():
    plane = PrimitiveBuilder()
    plane.add(PLANE, (0,), (0, 0, 0), class_name="floor", body=0)
    scene = Scene(STATIC, plane.build(), 1)
    scene.update([pose(0, 0, -2.0)])
    assert_allclose(scene.cast((50, 50, 3), [(0, 0, -1)]).range, [5.0])
    scene.update([pose(0, 0, 1.0)])
    assert_allclose(scene.cast((50, 50, 3), [(0, 0, -1)]).range, [2.0])


def test_a_scene_of_moving_bodies_only():
    scene = Scene(empty_primitives(), PARTS, 2)
    scene.update([pose(300, 0, 0), pose(0, 200, 0)])
    assert_allclose(scene.cast((0, 0, 0.3), [(1, 0, 0), (0, 1, 0)]).range, [299.5, 199.8], atol=1e-4)


def test_world_primitives_follow_the_bodies():
    scene = Scene(STATIC, PARTS, 2)
    scene.update([pose(3, 1, 0.2, yaw=np.pi / 2), pose(6)])
    world = scene.world_primitives()
    assert len(world) == len(scene) == 5
    assert world.body.tolist() == [-1, -1, 0, 0, 1]
    assert_allclose(world.position[3], [3, 1.6, 0.5], atol=1e-12)
    assert_allclose(world.quaternion[3], quaternion_from_yaw(np.pi / 2), atol=1e-12)
    assert_allclose(world.position[:2], STATIC.position)
    assert world.instance_id.tolist() == scene.instance_id.tolist()
    world.position[:] = 0  # A copy: the scene does not change.
    assert_allclose(scene.cast((0, 1, 0.4), [(1, 0, 0)], exclude_body=1).range, [2.7], atol=1e-6)


def test_a_slightly_long_quaternion_is_normalised():
    scene = Scene(STATIC, PARTS, 2)
    scene.update(np.array([pose(3), pose(6)]) * [1, 1, 1, 1.003, 1.003, 1.003, 1.003])
    assert_allclose(scene.cast((0, 0, 0.3), [(1, 0, 0)]).range, [2.5], atol=1e-9)
    assert_allclose(np.linalg.norm(scene.world_primitives().quaternion, axis=1), 1.0)


@pytest.mark.parametrize(
    ("poses", "what"),
    [
        ([pose(), pose(np.nan)], "body 1"),
        ([pose(), [0, 0, 0, 0, 0, 0, np.nan]], "body 1"),
        ([pose(np.inf), pose()], "body 0"),
        ([pose(), [0, 0, 0, 0, 0, 0, 0]], "body 1"),
        ([pose(), [0, 0, 0, 0, 0, 0, 2]], "body 1"),
        ([pose()], "shape"),
        (np.zeros((2, 6)), "shape"),
    ],
)
def test_bad_poses_are_refused_and_change_nothing(poses, what):
    scene = Scene(STATIC, PARTS, 2)
    scene.update([pose(3), pose(6)])
    with pytest.raises(InputError, match=what):
        scene.update(poses)
    assert_allclose(scene.cast((0, 0, 0.3), [(1, 0, 0)]).range, [2.5], atol=1e-6)
    assert_allclose(scene.world_primitives().position[4, :2], [6, 0])


def changed(**fields):
    values = {**vars(STATIC), **{name: np.array(value) for name, value in fields.items()}}
    return Primitives(**values)


@pytest.mark.parametrize(
    ("static", "what"),
    [
        (changed(size=[[0.1, 0, 1], [5, 0.1, 1]]), "size is not positive.*\n.*static, solid 0"),
        (changed(size=[[0.1, 1, 1], [5, np.nan, 1]]), "size is not positive.*\n.*solid 1"),
        (changed(position=[[0, 0, 0], [0, np.inf, 0]]), "not finite.*\n.*solid 1"),
        (changed(quaternion=[[0, 0, 0, 1], [0, 0, 0, 0.5]]), "unit length.*\n.*solid 1"),
        (changed(quaternion=[[0, 0, np.nan, 1], [0, 0, 0, 1]]), "not finite.*\n.*solid 0"),
        (changed(kind=np.array([0, 9], np.uint8)), "unknown.*\n.*solid 1"),
    ],
)
def test_bad_solids_are_refused(static, what):
    with pytest.raises(InputError, match=what):
        Scene(static, empty_primitives(), 0)


def test_parts_of_bodies_that_do_not_exist_are_refused():
    with pytest.raises(InputError, match="moving bodies 0 to 1, there are 1"):
        Scene(STATIC, PARTS, 1)


@pytest.mark.parametrize("cell", [0.0, -1.0, np.nan, np.inf])
def test_bad_cell_sizes_are_refused(cell):
    with pytest.raises(InputError, match="cell size"):
        Scene(STATIC, empty_primitives(), 0, cell_size=cell)


def test_far_flung_solids_do_not_exhaust_memory():
    scene = Scene(build((BOX, (1, 1, 1), (0, 0, 0), 0), (BOX, (1, 1, 1), (4e5, 3e5, 0), 0)), empty_primitives(), 0)
    assert len(scene.tables.cells) < 5_000_000
    direction = np.array([[0.8, 0.6, 0.0]])
    assert_allclose(scene.cast((4.0, 3.0, 0), direction).range, [5e5 - 5 - 1.25], rtol=1e-6)


def test_two_scenes_do_not_share_state():
    one, two = Scene(STATIC, PARTS, 2), Scene(STATIC, PARTS, 2)
    one.update([pose(3), pose(6)])
    two.update([pose(5), pose(6)])
    ray = ((0, 0, 0.3), [(1, 0, 0)])
    assert [float(s.cast(*ray).range[0]) for s in (one, two)] == pytest.approx([2.5, 4.5])
