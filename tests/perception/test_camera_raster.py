"""Drawn pictures against closed forms, against a second implementation, and against the ray caster pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from floorcast.common.geometry import mounted, optical, quaternion_from_rpy, rotation_matrix
from floorcast.common.primitives import BOX, CAPSULE, CYLINDER, PLANE, SPHERE, TRIANGLE, PrimitiveBuilder, Primitives
from floorcast.perception.bench.sensors import bench_hall
from floorcast.perception.camera_raster import raster_scratch, rasterise_view, visible_surfaces
from floorcast.perception.compiled import compiled
from floorcast.perception.intersect import interval, reciprocal
from floorcast.perception.raycast import trace
from floorcast.perception.scene import Scene, empty_primitives

from .exact import exact_ranges

KINDS = (BOX, CYLINDER, CAPSULE, SPHERE, PLANE, TRIANGLE)
FLAT = (0.0, 0.0, 0.0, 1.0)
AHEAD = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
"""A camera that looks along map x, level."""
ALLOWED = 1e-4
"""Share of pixels of any one picture that may differ from the caster's."""


def view_of(width, height, fov=1.39, near=0.05, far=60.0):
    focal = 0.5 * width / np.tan(0.5 * fov)
    return np.array([focal, focal, (width - 1) / 2, (height - 1) / 2, near, far])


def pixel_rays(view, width, height, rotation):
    """Directions (height, width, 3) in map of planar depth 1."""
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    rays = np.stack([(u - view[2]) / view[0], (v - view[3]) / view[1], np.ones(u.shape)], axis=-1)
    return rays @ np.asarray(rotation).T


def scene_of(*solids):
    builder = PrimitiveBuilder()
    for number, (kind, size, position, quaternion) in enumerate(solids, start=1):
        builder.add(kind, size, position, class_name="box", instance_id=number, quaternion=quaternion)
    return Scene(builder.build(), empty_primitives(), 0)


def clutter(rng, count, kinds=KINDS, spread=(12.0, 9.0, 3.0)):
    builder = PrimitiveBuilder()
    for number in range(count):
        kind = int(rng.choice(kinds))
        quaternion = rng.normal(size=4) if number % 2 else np.array([0, 0, *rng.normal(size=2)])
        size = rng.uniform(0.05, 0.6, 3) * rng.choice([0.3, 1.0, 3.0])
        if kind == TRIANGLE:
            size[1] = rng.uniform(-1, 1) * size[0]
        builder.add(
            kind,
            size,
            rng.uniform((0, 0, 0), spread),
            class_name="box",
            instance_id=number + 1,
            quaternion=quaternion / np.linalg.norm(quaternion),
        )
    return builder.build()


def tilted_floor(rng):
    builder = PrimitiveBuilder()
    tilt = quaternion_from_rpy(*(rng.normal(size=2) * 0.1), 0.0)
    builder.add(PLANE, (0,), (0, 0, -0.4), class_name="floor", quaternion=tilt)
    return builder.build()


def random_rotation(rng):
    q = rng.normal(size=4)
    return rotation_matrix(q / np.linalg.norm(q))


@compiled
def trace_view(tables, view, position, rotation, exclude, row, entry, depth, index):
    """Cast a ray through each pixel; ``entry`` is where it meets the solid that ``row`` names."""
    visited = np.zeros(len(tables.shape), np.int32)
    height, width = depth.shape
    ox, oy, oz = position[0], position[1], position[2]
    for v in range(height):
        for u in range(width):
            x, y = (u - view[2]) / view[0], (v - view[3]) / view[1]
            dx = rotation[0, 0] * x + rotation[0, 1] * y + rotation[0, 2]
            dy = rotation[1, 0] * x + rotation[1, 1] * y + rotation[1, 2]
            dz = rotation[2, 0] * x + rotation[2, 1] * y + rotation[2, 2]
            stamp = v * width + u + 1
            t, p = trace(tables, visited, stamp, ox, oy, oz, dx, dy, dz, view[4], view[5], exclude, False)
            depth[v, u], index[v, u], entry[v, u] = t, p, np.inf
            p = row[v, u]
            if p >= 0:
                ix, iy, iz = reciprocal(dx), reciprocal(dy), reciprocal(dz)
                enter, leave = interval(
                    tables.shape[p], tables.hot, tables.solid, p, ox, oy, oz, dx, dy, dz, ix, iy, iz
                )
                if enter <= leave and leave > view[4]:
                    entry[v, u] = max(enter, view[4])


def wrong_pixels(scene, view, width, height, position, rotation, exclude=-1):
    """Pixels (height, width) whose depth or solid differs from the caster's.

    Another solid at the same depth is right too: where two surfaces coincide there is no nearer one.
    """
    inverse, face = visible_surfaces(scene, view, width, height, position, rotation, exclude)
    row = np.where(face >= 0, face >> 3, -1)
    depth, entry = np.empty((height, width)), np.empty((height, width))
    index = np.empty((height, width), np.int64)
    trace_view(
        scene.tables,
        view,
        np.asarray(position, dtype=np.float64),
        np.ascontiguousarray(rotation),
        exclude,
        row,
        entry,
        depth,
        index,
    )
    assert np.isfinite(inverse).all()
    assert_array_equal(face >= 0, inverse > 0)
    seen = np.where(face >= 0, 1.0 / np.maximum(inverse, 1e-30), view[5])
    leave = np.maximum(1e-3, 1e-4 * depth)
    other = (row != index) & ~(np.abs(entry - depth) < 1e-6 * (1.0 + depth))
    return (np.abs(seen - depth) > leave) | other


@pytest.mark.parametrize(
    ("solid", "depth", "face"),
    [
        ((BOX, (1, 2, 3), (5, 0, 0), FLAT), 4.0, 0),
        ((BOX, (1, 2, 3), (5, 0, 0), tuple(quaternion_from_rpy(0, 0, np.pi))), 4.0, 1),
        ((BOX, (1, 2, 3), (5, 0, 0), tuple(quaternion_from_rpy(0, np.pi / 2, 0))), 2.0, 4),
        ((BOX, (1, 2, 3), (5, 0, 0), tuple(quaternion_from_rpy(0, 0, np.pi / 2))), 3.0, 3),
        ((CYLINDER, (1, 2), (5, 0, 0), FLAT), 4.0, 6),
        ((CYLINDER, (1, 2), (5, 0, 0), tuple(quaternion_from_rpy(0, np.pi / 2, 0))), 3.0, 4),
        ((CYLINDER, (1, 2), (5, 0, 0), tuple(quaternion_from_rpy(0, -np.pi / 2, 0))), 3.0, 5),
        ((CAPSULE, (1, 2), (5, 0, 0), FLAT), 4.0, 7),
        ((CAPSULE, (1, 2), (5, 0, 0), tuple(quaternion_from_rpy(0, np.pi / 2, 0))), 2.0, 7),
        ((SPHERE, (2,), (5, 0, 0), FLAT), 3.0, 7),
        ((PLANE, (0,), (7, 0, 0), tuple(quaternion_from_rpy(0, -np.pi / 2, 0))), 7.0, 5),
        ((TRIANGLE, (1, 0.2, 1), (5, 0, 0), tuple(quaternion_from_rpy(0, -np.pi / 2, 0))), 5.0, 5),
        ((TRIANGLE, (1, 0.2, 1), (5, 0, 0), tuple(quaternion_from_rpy(0, np.pi / 2, 0))), 5.0, 4),
    ],
)
def test_depth_and_face_on_the_axis(solid, depth, face):
    inverse, faces = visible_surfaces(scene_of(solid), view_of(33, 25), 33, 25, (0, 0, 0), AHEAD)
    assert_allclose(inverse[12, 16], 1.0 / depth, rtol=1e-6)
    assert faces[12, 16] == face


def test_a_box_covers_the_pixels_between_its_projected_edges():
    view = view_of(101, 81, fov=1.2)
    inverse, face = visible_surfaces(
        scene_of((BOX, (0.5, 0.8, 0.3), (4.5, 0.1, 0.2), FLAT)), view, 101, 81, (0, 0, 0), AHEAD
    )
    u, v = np.arange(101), np.arange(81)
    inside_u = np.abs((u - 50) / view[0] * 4.0 + 0.1) <= 0.8
    inside_v = np.abs((v - 40) / view[1] * 4.0 + 0.2) <= 0.3
    assert_array_equal(face == 0, inside_v[:, None] & inside_u[None, :])
    assert_allclose(inverse[face == 0], 0.25, rtol=1e-6)


def test_a_floor_up_to_its_horizon_and_the_far_plane():
    view = view_of(64, 481, far=40.0)
    scene = scene_of((PLANE, (0,), (0, 0, 0), FLAT))
    inverse, face = visible_surfaces(scene, view, 64, 481, (3, 4, 1.5), AHEAD)
    expected = (np.arange(481) - 240) / view[1] / 1.5
    expected[expected < 1 / 40.0] = 0.0
    assert_allclose(inverse, np.broadcast_to(expected[:, None], (481, 64)), rtol=1e-6)
    assert_array_equal(face, np.where(inverse > 0, 5, -1))


def test_a_sphere_covers_its_silhouette():
    view = view_of(201, 151)
    inverse, _ = visible_surfaces(scene_of((SPHERE, (0.7,), (3, 0.4, -0.2), FLAT)), view, 201, 151, (0, 0, 0), AHEAD)
    rays = pixel_rays(view, 201, 151, AHEAD)
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    centre = np.array([3, 0.4, -0.2])
    along = rays @ centre
    off = np.sqrt(np.maximum(centre @ centre - along**2, 0.0))
    assert_array_equal(inverse > 0, off <= 0.7)


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(KINDS[:5]), seed=st.integers(0, 2**32 - 1))
def test_any_single_solid_matches_the_second_implementation(kind, seed):
    rng = np.random.default_rng(seed)
    solid = clutter(rng, 2, kinds=[kind]).take([1])
    position = solid.position[0] + rng.normal(size=3) * 2.5
    rotation, view = random_rotation(rng), view_of(40, 30, fov=2.0, near=1e-6, far=1e3)
    inverse, face = visible_surfaces(Scene(solid, empty_primitives(), 0), view, 40, 30, position, rotation)
    rays = pixel_rays(view, 40, 30, rotation).reshape(-1, 3)
    ranges, _ = exact_ranges(solid, position, rays)
    if (ranges == 0).all():
        assert_allclose(inverse, 1e6, rtol=1e-6)
        return
    expected = np.where(ranges < 1e3, 1.0 / ranges, 0.0).reshape(30, 40)
    # An edge may fall on a pixel's centre, to rounding: there either answer is right.
    differs = ~np.isclose(inverse, expected, rtol=2e-5)
    assert differs.sum() <= 1
    assert_array_equal((face >= 0), inverse > 0)


def random_case(seed, width=160, height=120):
    """A random scene and pose: a scene, a view, the camera's place and rotation."""
    rng = np.random.default_rng([7, seed])
    world = clutter(rng, int(rng.integers(1, 160)))
    if seed % 3:
        world = Primitives.concatenate([tilted_floor(rng), world])
    fov, near, far = rng.uniform(0.3, 2.6), rng.choice([0.01, 0.05, 0.5]), rng.choice([3.0, 8.0, 60.0])
    scene = Scene(world, empty_primitives(), 0)
    return scene, view_of(width, height, fov, near, far), rng.uniform((-2, -2, -0.5), (14, 11, 4)), random_rotation(rng)


@pytest.mark.parametrize("seed", range(20))
def test_random_poses_and_layouts_match_the_caster(seed):
    scene, view, position, rotation = random_case(seed)
    assert wrong_pixels(scene, view, 160, 120, position, rotation).mean() <= ALLOWED


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 220))
def test_many_random_poses_and_layouts_match_the_caster(seed):
    scene, view, position, rotation = random_case(seed, 320, 240)
    assert wrong_pixels(scene, view, 320, 240, position, rotation).mean() <= ALLOWED


@pytest.fixture(scope="module")
def hall():
    return bench_hall(0)


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("tilt", [(0.0, 0.0), (0.2, -0.35), (np.pi / 2, 0.4)])
def test_the_hall_matches_the_caster(hall, place, tilt):
    hall.scene.update(hall.poses[place % len(hall.poses)])
    position, rotation = mounted(hall.places[place], np.array([0.0, 0.0, 1.2, *tilt, 0.0]))
    wrong = wrong_pixels(hall.scene, view_of(320, 240), 320, 240, position, optical(rotation))
    assert wrong.mean() <= ALLOWED


@pytest.mark.parametrize("tilt", [(0.0, 0.0), (0.3, 0.5)])
def test_the_body_that_carries_the_camera_is_not_seen(hall, tilt):
    hall.scene.update(hall.poses[0])
    place = hall.poses[0, 2]
    yaw = 2.0 * np.arctan2(place[5], place[6])
    position, rotation = mounted(np.array([place[0], place[1], yaw]), np.array([0.0, 0.0, 0.15, *tilt, 0.0]))
    view = view_of(160, 120)
    _, own = visible_surfaces(hall.scene, view, 160, 120, position, optical(rotation))
    _, face = visible_surfaces(hall.scene, view, 160, 120, position, optical(rotation), 2)
    assert (hall.scene.tables.body[own >> 3] == 2).any()
    assert not (hall.scene.tables.body[face[face >= 0] >> 3] == 2).any()
    assert wrong_pixels(hall.scene, view, 160, 120, position, optical(rotation), 2).mean() <= ALLOWED


@pytest.mark.parametrize("kind", KINDS[:5])
def test_a_camera_inside_a_solid_sees_it_at_the_near_depth(kind):
    scene = scene_of((kind, (0.5, 0.5, 0.5), (1, 1, 1), tuple(quaternion_from_rpy(0.1, 0.2, 0.3))))
    rotation = random_rotation(np.random.default_rng(3))
    inverse, face = visible_surfaces(scene, view_of(30, 20), 30, 20, (1.05, 0.95, 0.9), rotation)
    assert_allclose(inverse, 20.0, rtol=1e-6)
    assert (face >> 3 == 0).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(8))
def test_solids_that_the_near_plane_cuts(kind, seed):
    rng = np.random.default_rng([kind, seed])
    solid = clutter(rng, 2, kinds=[kind]).take([1])
    scene = Scene(solid, empty_primitives(), 0)
    rotation = random_rotation(rng)
    # The camera stands about as far from the solid's middle as the solid is large, and the near plane farther out.
    position = solid.position[0] + rng.normal(size=3) * solid.size[0, 0]
    view = view_of(160, 120, fov=2.2, near=0.4 * solid.size[0, 0])
    assert wrong_pixels(scene, view, 160, 120, position, rotation).mean() <= ALLOWED


@pytest.mark.parametrize("seed", range(6))
def test_a_wall_of_boxes_has_no_cracks(seed):
    rng = np.random.default_rng(seed)
    cuts = [np.concatenate([[-6.0], np.sort(rng.uniform(-6, 6, 30)), [6.0]]) for _ in range(2)]
    if seed == 0:  # Edges exactly on pixel centres.
        cuts = [np.arange(-6.0, 6.01, 0.5)] * 2
    builder = PrimitiveBuilder()
    for y0, y1 in zip(cuts[0], cuts[0][1:], strict=False):
        for z0, z1 in zip(cuts[1], cuts[1][1:], strict=False):
            builder.box((0.25, (y1 - y0) / 2, (z1 - z0) / 2), (4, (y0 + y1) / 2, (z0 + z1) / 2), class_name="box")
    scene = Scene(builder.build(), empty_primitives(), 0)
    view = view_of(320, 240, fov=1.0)
    if seed == 0:
        view[:4] = 150.0, 150.0, 160.0, 120.0
    turn = np.eye(3) if seed == 0 else rotation_matrix(quaternion_from_rpy(*rng.uniform(-0.15, 0.15, 3)))
    _, face = visible_surfaces(scene, view, 320, 240, (0, 0, 0), turn @ AHEAD)
    assert (face >= 0).all()


def test_a_fan_of_triangles_has_no_cracks():
    builder = PrimitiveBuilder()
    turn = np.linspace(0, 2 * np.pi, 38)[:-1]
    for angle in turn:
        # Isosceles triangles whose tips meet on the axis and whose sides coincide.
        half = 6.0 * np.tan(np.pi / 37)
        middle = (5.0, -3.0 * np.sin(angle), 3.0 * np.cos(angle))
        quaternion = quaternion_from_rpy(0.0, -np.pi / 2, 0.0)
        spin = quaternion_from_rpy(angle, 0.0, 0.0)
        axes = rotation_matrix(spin) @ rotation_matrix(quaternion) @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1.0]])
        w = np.sqrt(max(0.0, 1 + np.trace(axes))) / 2
        if w < 1e-3:
            continue
        q = np.array([axes[2, 1] - axes[1, 2], axes[0, 2] - axes[2, 0], axes[1, 0] - axes[0, 1]]) / (4 * w)
        builder.add(TRIANGLE, (half, 0.0, 3.0), middle, class_name="box", quaternion=(*q, w))
    built = builder.build()
    assert len(built) == 37
    _, face = visible_surfaces(Scene(built, empty_primitives(), 0), view_of(201, 151, 0.7), 201, 151, (0, 0, 0), AHEAD)
    assert (face >= 0).all()


def draw_rows(scene, view, width, height, position, rotation, bands, scratch):
    inverse, face = np.full((height, width), np.nan, np.float32), np.full((height, width), 99, np.int32)
    for row0, row1 in bands:
        rasterise_view(
            scene.tables,
            scene._bounds,
            scene.static_count,
            scene.blocks,
            view,
            np.asarray(position, dtype=np.float64),
            np.ascontiguousarray(rotation),
            -1,
            row0,
            row1,
            scratch,
            inverse,
            face,
        )
    return inverse, face


@pytest.mark.parametrize("seed", range(6))
def test_rows_come_out_the_same_in_bands(seed):
    scene, view, position, rotation = random_case(seed)
    scratch = raster_scratch(len(scene), 160, 120)
    whole = draw_rows(scene, view, 160, 120, position, rotation, [(0, 120)], scratch)
    for bands in ([(60, 120), (0, 60)], [(k, k + 1) for k in range(120)], [(0, 7), (7, 50), (50, 120)]):
        parts = draw_rows(scene, view, 160, 120, position, rotation, bands, scratch)
        assert whole[0].tobytes() == parts[0].tobytes()
        assert whole[1].tobytes() == parts[1].tobytes()


def test_only_the_rows_asked_for_are_written():
    scene, view, position, rotation = random_case(4)
    inverse, face = draw_rows(
        scene, view, 160, 120, position, rotation, [(30, 50)], raster_scratch(len(scene), 160, 120)
    )
    outside = np.r_[0:30, 50:120]
    assert np.isnan(inverse[outside]).all()
    assert (face[outside] == 99).all()
    assert np.isfinite(inverse[30:50]).all()


@pytest.mark.parametrize(
    "position",
    [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (1.0, 0.3, 0.2), (1.0, 1.0, 0.0), (-1.0, 0.0, 5.0), (3.0, 1.0, 0.5)],
)
def test_a_camera_on_corners_edges_and_faces(position):
    """Planes through the camera are seen edge-on: nothing may divide by the height above them."""
    scene = scene_of((BOX, (1, 1, 1), (0, 0, 0), FLAT), (TRIANGLE, (1, 0, 1), (1, 1, 1), FLAT))
    rng = np.random.default_rng(1)
    for rotation in (AHEAD, -AHEAD, *(random_rotation(rng) for _ in range(6))):
        if np.linalg.det(rotation) < 0:
            rotation = rotation_matrix(np.array([0.0, 0.0, 1.0, 0.0])) @ AHEAD
        assert wrong_pixels(scene, view_of(64, 48), 64, 48, position, rotation).mean() <= 0.02


def test_nothing_to_see():
    scene = Scene(empty_primitives(), empty_primitives(), 0)
    inverse, face = visible_surfaces(scene, view_of(16, 9), 16, 9, (0, 0, 0), AHEAD)
    assert (inverse == 0).all()
    assert (face == -1).all()


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("floor_first", [False, True])
def test_of_surfaces_that_coincide_the_lower_row_is_seen(swap, floor_first):
    """Two boxes whose fronts lie in one plane and overlap, and a slab whose top lies in the floor's plane."""
    boxes = [(BOX, (0.5, 1.0, 0.5), (4.5, 0.6, 1.0), FLAT), (BOX, (0.7, 1.0, 0.4), (4.7, -0.6, 1.1), FLAT)]
    floor, slab = (PLANE, (0,), (0, 0, 0), FLAT), (BOX, (9, 9, 0.3), (5, 0, -0.3), FLAT)
    solids = (boxes[::-1] if swap else boxes) + ([floor, slab] if floor_first else [slab, floor])
    view = view_of(321, 241)
    _, face = visible_surfaces(scene_of(*solids), view, 321, 241, (0, 0, 1.0), AHEAD)
    rays = pixel_rays(view, 321, 241, AHEAD)
    front = rays * 4.0 + (0, 0, 1.0)  # Where rays meet the boxes' plane.
    both = (np.abs(front[..., 1]) < 0.39) & (np.abs(front[..., 2] - 1.1) < 0.39)
    assert both.sum() > 1000
    assert (face[both] >> 3 == 0).all()
    ground = front[..., 2] < -0.01
    assert (face[ground] >> 3 == 2).all()


@pytest.mark.parametrize("seed", range(12))
def test_absurd_sizes_places_and_views_give_finite_pictures(seed):
    rng = np.random.default_rng([11, seed])
    world = clutter(rng, 40, spread=(6.0, 6.0, 3.0))
    scene = Scene(world, empty_primitives(), 0)
    if seed % 3 == 0:  # No size at all: a scene refuses that, but flat and pointlike solids come close.
        scene.tables.solid[::3, 3:6] = (0.0, 0.0, 0.0) if seed % 2 else (1e-12, 1e-12, 0.3)
    position = scene.tables.solid[5, :3].copy() if seed % 4 == 1 else rng.uniform((0, 0, 0), (6, 6, 3))
    if seed % 4 == 2:
        position = position * 1e6
    width, height = [(64, 48), (2, 3), (17, 31), (500, 2)][seed % 4]
    view = view_of(width, height, rng.choice([0.021, 2.999]), rng.choice([1e-9, 2.0]), rng.choice([2.5, 1e9]))
    if seed % 5 == 0:
        view[2:4] = -300.0, 1e4
    inverse, face = visible_surfaces(scene, view, width, height, position, random_rotation(rng))
    assert np.isfinite(inverse).all()
    assert ((inverse >= 0) & (inverse <= 1.0001 / view[4])).all()
    assert_array_equal(face >= 0, inverse > 0)
    assert (face < 8 * len(scene)).all()


def test_hidden_solids_change_nothing():
    """A wall hides a thousand boxes behind it: the picture is the wall's, bit for bit."""
    rng = np.random.default_rng(2)
    wall = (BOX, (0.1, 8.0, 8.0), (3.0, 0, 0), tuple(quaternion_from_rpy(0.02, 0.03, 0.2)))
    hidden = [(BOX, rng.uniform(0.1, 0.5, 3), rng.uniform((8.0, -4, -3), (20, 4, 3)), FLAT) for _ in range(1000)]
    view = view_of(160, 120)
    alone = visible_surfaces(scene_of(wall), view, 160, 120, (0, 0, 0), AHEAD)
    among = visible_surfaces(scene_of(wall, *hidden), view, 160, 120, (0, 0, 0), AHEAD)
    assert alone[0].tobytes() == among[0].tobytes()
    assert alone[1].tobytes() == among[1].tobytes()
