"""Rays against closed forms, against a second implementation, and against PyBullet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from floorcast.common.errors import InputError
from floorcast.common.geometry import mounted, quaternion_from_rpy
from floorcast.common.primitives import BOX, CAPSULE, CYLINDER, PLANE, SPHERE, PrimitiveBuilder, Primitives
from floorcast.perception.bench.hall import bench_hall
from floorcast.perception.bench.peer import RayFan, ray_agreement, same_range
from floorcast.perception.bench.pybullet_peer import PyBulletPeer
from floorcast.perception.scene import Scene, empty_primitives

from .exact import exact_ranges, random_directions

KINDS = (BOX, CYLINDER, CAPSULE, SPHERE, PLANE)


def scene_of(*solids, cell_size=0.5, floor=False):
    builder = PrimitiveBuilder()
    if floor:
        builder.add(PLANE, (0,), (0, 0, 0), class_name="floor")
    for number, (kind, size, position, quaternion) in enumerate(solids, start=1):
        builder.add(kind, size, position, class_name="box", instance_id=number, quaternion=quaternion)
    return Scene(builder.build(), empty_primitives(), 0, cell_size=cell_size)


def clutter(rng, count, kinds=KINDS[:4], spread=(12.0, 9.0, 3.0), tilted=True):
    builder = PrimitiveBuilder()
    for number in range(count):
        quaternion = rng.normal(size=4) if tilted and number % 2 else np.array([0, 0, *rng.normal(size=2)])
        builder.add(
            int(rng.choice(kinds)),
            rng.uniform(0.05, 0.6, 3),
            rng.uniform((0, 0, 0), spread),
            class_name="box",
            instance_id=number + 1,
            quaternion=quaternion / np.linalg.norm(quaternion),
        )
    return builder.build()


FLAT = (0.0, 0.0, 0.0, 1.0)
ON_ITS_SIDE = tuple(quaternion_from_rpy(0.0, np.pi / 2, 0.0))  # Local z along map x.
YAW_45 = tuple(quaternion_from_rpy(0.0, 0.0, np.pi / 4))
S = np.sqrt(0.5)


@pytest.mark.parametrize(
    ("solid", "origin", "direction", "range_", "normal"),
    [
        ((BOX, (1, 2, 3), (5, 0, 0), FLAT), (0, 0, 0), (1, 0, 0), 4.0, (-1, 0, 0)),
        ((BOX, (1, 1, 3), (5, 0, 0), YAW_45), (0, 0.2, 0), (1, 0, 0), 5 - np.sqrt(2) + 0.2, (-S, S, 0)),
        ((BOX, (1, 2, 3), (0, 0, -5), FLAT), (0.3, 0.4, 0), (0, 0, -1), 2.0, (0, 0, 1)),
        ((BOX, (1, 2, 3), (5, 0, 0), ON_ITS_SIDE), (0, 0, 0), (1, 0, 0), 2.0, (-1, 0, 0)),
        ((CYLINDER, (1, 2), (5, 0, 0), FLAT), (0, 0.6, 0), (1, 0, 0), 5 - 0.8, (-0.8, 0.6, 0)),
        ((CYLINDER, (1, 2), (0, 0, 5), FLAT), (0.5, 0, 0), (0, 0, 1), 3.0, (0, 0, -1)),
        ((CYLINDER, (1, 2), (5, 0, 0), ON_ITS_SIDE), (0, 0, 0.9), (1, 0, 0), 3.0, (-1, 0, 0)),
        ((CAPSULE, (1, 2), (5, 0, 0), FLAT), (0, 0, 1.5), (1, 0, 0), 4.0, (-1, 0, 0)),
        ((CAPSULE, (1, 2), (5, 0, 0), FLAT), (0, 0, 2.6), (1, 0, 0), 5 - 0.8, (-0.8, 0, 0.6)),
        ((CAPSULE, (1, 2), (5, 0, 0), ON_ITS_SIDE), (0, 0, 0), (1, 0, 0), 2.0, (-1, 0, 0)),
        ((SPHERE, (2,), (0, 5, 0), FLAT), (0, 0, 1.2), (0, 1, 0), 5 - 1.6, (0, -0.8, 0.6)),
        ((PLANE, (0,), (0, 0, 1), FLAT), (3, 4, 3), (S, 0, -S), 2 / S, (0, 0, 1)),
        ((PLANE, (0,), (7, 0, 0), ON_ITS_SIDE), (9, 0, 0), (-1, 0, 0), 2.0, (1, 0, 0)),
    ],
)
def test_closed_form(solid, origin, direction, range_, normal):
    hits = scene_of(solid).cast(origin, [direction])
    assert_allclose(hits.range, [range_], atol=1e-6)
    assert_allclose(hits.normal, [normal], atol=1e-6)
    assert hits.index.tolist() == [0]


@pytest.mark.parametrize("kind", KINDS[:4])
def test_passing_by_is_a_miss(kind):
    scene = scene_of((kind, (0.5, 0.5, 0.5), (5, 0, 0), FLAT))
    hits = scene.cast((0, 1.02, 0), [(1, 0, 0), (-1, 0, 0), (0, 0, 1)])
    assert np.isinf(hits.range).all()
    assert (hits.index == -1).all()
    assert (hits.normal == 0).all()


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(KINDS), seed=st.integers(0, 2**32 - 1))
def test_any_single_solid_at_any_orientation(kind, seed):
    rng = np.random.default_rng(seed)
    solid = clutter(rng, 1, kinds=[kind]).take([0])
    scene = Scene(solid, empty_primitives(), 0)
    origin = solid.position[0] + rng.normal(size=3) * 1.5
    toward = solid.position[0] - origin + rng.normal(size=(200, 3)) * 0.4
    direction = np.concatenate([toward / np.linalg.norm(toward, axis=1, keepdims=True), random_directions(rng, 50)])
    ranges, rows = exact_ranges(solid, origin, direction)
    hits = scene.cast(origin, direction)
    assert_allclose(hits.range, ranges, rtol=1e-6, atol=1e-6)
    assert_allclose(hits.index, rows)
    met = rows >= 0
    # A surface that is met from outside looks against the ray.
    assert (np.einsum("ij,ij->i", hits.normal[met], direction[met]) < 1e-6).all()
    assert_allclose(np.linalg.norm(hits.normal[met], axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("cell_size", [0.2, 0.5, 3.0, 50.0])
def test_clutter_matches_the_second_implementation(cell_size):
    rng = np.random.default_rng(5)
    floor = PrimitiveBuilder()
    floor.add(PLANE, (0,), (0, 0, -0.4), class_name="floor")
    world = Primitives.concatenate([floor.build(), clutter(rng, 150)])
    scene = Scene(world, empty_primitives(), 0, cell_size=cell_size)
    for origin in ((6.0, 4.0, 1.2), (-9.0, 30.0, 2.0), (5.0, 4.0, 40.0)):
        aim = rng.uniform((0, 0, 0), (12, 9, 3), (1500, 3)) - origin
        direction = np.concatenate([aim / np.linalg.norm(aim, axis=1, keepdims=True), random_directions(rng, 300)])
        ranges, rows = exact_ranges(world, np.array(origin), direction)
        hits = scene.cast(origin, direction)
        assert_allclose(hits.range, ranges, rtol=1e-6, atol=1e-5)
        assert (hits.index == rows).mean() > 0.999  # Where two solids meet, either may be named.


@pytest.mark.parametrize("direction", [(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)])
def test_rays_along_the_axes_and_along_cell_edges(direction):
    rng = np.random.default_rng(8)
    world = clutter(rng, 200, spread=(6.0, 6.0, 2.0))
    scene = Scene(world, empty_primitives(), 0, cell_size=0.5)
    corner = scene.tables.grid[:2]
    # Origins on the corners and edges of grid cells, inside and outside the grid.
    for i, j in ((0, 0), (3, 5), (8, 8), (4, 2), (-3, 6), (60, 3)):
        origin = np.array([corner[0] + 0.5 * i, corner[1] + 0.5 * j, 1.03])
        ranges, _ = exact_ranges(world, origin, np.array([direction], dtype=float))
        assert_allclose(scene.cast(origin, [direction]).range, ranges, atol=1e-5)


def test_a_thin_wall_is_never_slipped_through():
    scene = scene_of((BOX, (20, 0.0005, 2), (0, 0, 1), tuple(quaternion_from_rpy(0, 0, 0.3))))
    rng = np.random.default_rng(0)
    y = 3.0
    angle = rng.uniform(-np.pi + 0.5, -0.1, 5000)
    hits = scene.cast((0.0, y, 1.0), np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1), 19.0)
    reach = 3.0 * np.cos(0.3) / -np.sin(angle - 0.3)
    expected = np.where((reach > 0) & (reach < 18.9), reach - 0.0005 / np.abs(np.sin(angle - 0.3)), np.inf)
    within = (reach > 0) & (reach < 18.9)
    assert_allclose(hits.range[within], expected[within], atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_ray_that_starts_inside_hits_at_zero_against_its_direction(kind):
    scene = scene_of((kind, (0.5, 0.5, 0.5), (1, 1, 1), tuple(quaternion_from_rpy(0.1, 0.2, 0.3))))
    direction = random_directions(np.random.default_rng(1), 50)
    hits = scene.cast((1.05, 0.95, 0.9), direction)
    assert (hits.range == 0).all()
    assert (hits.index == 0).all()
    assert_allclose(hits.normal, -direction, atol=1e-6)


def test_leaving_a_surface_is_not_a_hit():
    scene = scene_of((BOX, (1, 1, 1), (0, 0, 0), FLAT))
    assert np.isinf(scene.cast((1.0, 0, 0), [(1, 0, 0)]).range[0])
    assert scene.cast((1.0, 0, 0), [(-1, 0, 0)]).range[0] == 0


def test_max_range_for_all_and_for_each():
    scene = scene_of((BOX, (1, 1, 1), (5, 0, 0), FLAT))
    rays = [(1, 0, 0)] * 3
    assert np.isinf(scene.cast((0, 0, 0), rays, 3.999).range).all()
    assert_allclose(scene.cast((0, 0, 0), rays, [3.0, 4.001, np.inf]).range, [np.inf, 4, 4])
    assert np.isinf(scene.cast((0, 0, 0), rays, 0.0).range).all()


def test_no_rays_and_no_solids():
    scene = Scene(empty_primitives(), empty_primitives(), 0)
    assert scene.cast((0, 0, 0), np.empty((0, 3))).range.shape == (0,)
    assert np.isinf(scene.cast((0, 0, 0), random_directions(np.random.default_rng(0), 20)).range).all()


@pytest.mark.parametrize(
    ("origin", "direction", "max_range", "exclude", "what"),
    [
        ((np.nan, 0, 0), [(1, 0, 0)], 1.0, -1, "not finite"),
        ((0, np.inf, 0), [(1, 0, 0)], 1.0, -1, "not finite"),
        ((0, 0, 0), [(1, 0, 0), (0, np.nan, 0)], 1.0, -1, "not finite"),
        ((0, 0, 0), [(1, 1, 0)], 1.0, -1, "unit length"),
        ((0, 0, 0), [(0, 0, 0)], 1.0, -1, "unit length"),
        ((0, 0, 0), [(1, 0, 0)], -1.0, -1, "negative or NaN"),
        ((0, 0, 0), [(1, 0, 0)], np.nan, -1, "negative or NaN"),
        ((0, 0, 0), [(1, 0, 0)] * 3, [1.0, 2.0], -1, "max_range"),
        ((0, 0, 0), [(1, 0, 0)] * 3, 1.0, [1, 2], "exclude_body"),
        ((0, 0), [(1, 0, 0)], 1.0, -1, "do not fit"),
        ((0, 0, 0), (1, 0, 0), 1.0, -1, "do not fit"),
    ],
)
def test_bad_rays_are_refused(origin, direction, max_range, exclude, what):
    scene = scene_of((BOX, (1, 1, 1), (5, 0, 0), FLAT))
    with pytest.raises(InputError, match=what):
        scene.cast(origin, direction, max_range, exclude)


@pytest.fixture(scope="module")
def hall():
    hall = bench_hall(2)
    hall.scene.update(hall.poses[3])
    return hall


def fan(elevations, beams=1440):
    azimuth = np.linspace(-np.pi, np.pi, beams, endpoint=False)
    e, a = np.meshgrid(np.radians(elevations), azimuth, indexing="ij")
    return np.stack([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)], axis=-1).reshape(-1, 3)


def test_generated_warehouse_against_closed_forms_pose_by_pose(hall):
    world = hall.scene.world_primitives()
    for place, height, tilt in zip(hall.places, (0.25, 1.5), (0.0, -0.2), strict=False):
        position, rotation = mounted(place, np.array([0, 0, height, 0.3 * tilt, tilt, 0]))
        direction = fan([-20, 0, 12], beams=120) @ rotation.T
        ranges, _ = exact_ranges(world, position, direction)
        assert_allclose(hall.scene.cast(position, direction).range, ranges, rtol=1e-6, atol=1e-5)


def test_generated_warehouse_against_pybullet_pose_by_pose(hall):
    """99.9 % of rays within 1 cm; and where the two differ at all, Bullet differs from the closed forms as well."""
    world = hall.scene.world_primitives()
    with PyBulletPeer(hall) as peer:
        peer.update(hall.poses[3])
        for place in hall.places:
            position, rotation = mounted(place, np.array([0, 0, 0.6, 0, 0, 0]))
            direction = fan(np.linspace(-15, 15, 9)) @ rotation.T
            theirs = peer.ranges(peer.cast(peer.lay_out([RayFan(position, direction, 60.0)])))
            plain, with_leave_at_edges = ray_agreement(hall.scene, position, direction, 60.0, theirs)
            assert plain >= 0.997
            assert with_leave_at_edges >= 0.999
            ours = hall.scene.cast(position, direction, 60.0).range
            differ = ~same_range(ours, theirs)
            truth, _ = exact_ranges(world, position, direction[differ], 60.0)
            assert_allclose(ours[differ], truth, rtol=1e-6, atol=1e-5)


def test_the_agreement_notices_an_error_of_two_centimetres(hall):
    position, rotation = mounted(hall.places[0], np.array([0, 0, 0.6, 0, 0, 0]))
    direction = fan([0.0]) @ rotation.T
    ranges = hall.scene.cast(position, direction, 60.0).range.astype(float)
    assert ray_agreement(hall.scene, position, direction, 60.0, ranges) == (1.0, 1.0)
    ranges[::10] += 0.02
    plain, close = ray_agreement(hall.scene, position, direction, 60.0, ranges)
    assert plain == pytest.approx(0.9)
    assert close < 0.98
