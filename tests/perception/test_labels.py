"""Labels against closed-form answers, against pycocotools, and against rendering each object alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pycocotools.mask
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.spatial.transform import Rotation

from floorcast.common.geometry import quaternion_from_rpy, rotation_matrix
from floorcast.common.primitives import BOX, CAPSULE, CYLINDER, PLANE, SPHERE, TRIANGLE, PrimitiveBuilder
from floorcast.perception import optics, silhouette
from floorcast.perception.config import CameraConfig
from floorcast.perception.datasets.overlay import draw_labels
from floorcast.perception.labels import label_frame, level_rotation
from floorcast.perception.masks import instance_runs, run_length_codes
from floorcast.perception.projection import camera_view, project_points

from .datasets.small_dataset import POSES, SMALL, small_frame, small_world
from .reference_renderer import camera_pose, lens_rays, render

WIDE = CameraConfig(width=320, height=240)


def alone(world, instance_id):
    return world.take(world.instance_id == instance_id)


def enlarged(config):
    """The same camera with a sensor three times as large."""
    fov = 2 * np.arctan(1.5 * config.width / config.focal)
    return CameraConfig(width=3 * config.width, height=3 * config.height, horizontal_fov=fov, near=config.near)


def one_label(build, config=WIDE, pose=None):
    b = PrimitiveBuilder()
    build(b)
    world = b.build()
    (label,) = label_frame(render(world, config, *(pose or camera_pose(0, 0, 1))), world)
    return label


# Masks and boxes


@given(hnp.arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 4)))
@settings(max_examples=200, deadline=None)
def test_runs_and_codes_are_those_of_pycocotools(ids):
    runs = instance_runs(ids)
    assert runs.instance_id.tolist() == sorted(set(ids.ravel().tolist()) - {0})
    for number, (instance_id, code) in enumerate(zip(runs.instance_id, run_length_codes(runs), strict=True)):
        expected = pycocotools.mask.encode(np.asfortranarray(ids == instance_id, dtype=np.uint8))
        assert code == expected["counts"]
        assert runs.area[number] == pycocotools.mask.area(expected)
        assert runs.box[number].tolist() == pycocotools.mask.toBbox(expected).tolist()


def test_codes_of_a_large_picture():
    ids = np.zeros((1200, 1600), dtype=np.int32)
    ids[::2, 5:1500] = 70000
    ids[:, 1590:] = 3
    runs = instance_runs(ids)
    for instance_id, code in zip(runs.instance_id, run_length_codes(runs), strict=True):
        expected = pycocotools.mask.encode(np.asfortranarray(ids == instance_id, dtype=np.uint8))
        assert code == expected["counts"]


@pytest.mark.parametrize("pose", range(len(POSES)))
def test_masks_partition_the_id_buffer(pose):
    frame = small_frame(pose)
    labels = label_frame(frame, small_world(), min_pixels=1)
    painted = np.zeros_like(frame.instance)
    for label in labels:
        assert not painted[label.mask].any()
        painted[label.mask] = label.instance_id
        rows, columns = np.nonzero(frame.instance == label.instance_id)
        x, y = columns.min(), rows.min()
        assert label.box == (x, y, columns.max() - x + 1, rows.max() - y + 1)
        assert label.area == len(rows)
        assert (frame.semantic[label.mask] == label.class_id).all()
    assert (painted == frame.instance).all()
    assert [label.instance_id for label in labels] == sorted(label.instance_id for label in labels)


def test_small_objects_are_left_out():
    frame, world = small_frame(0), small_world()
    every = label_frame(frame, world, min_pixels=1)
    bound = sorted(label.area for label in every)[len(every) // 2]
    kept = label_frame(frame, world, min_pixels=bound)
    assert [label.instance_id for label in kept] == [label.instance_id for label in every if label.area >= bound]
    assert len(label_frame(frame, world, min_pixels=10**6)) == 0


def test_nothing_to_see():
    world = small_world()
    frame = replace(small_frame(0), instance=np.zeros((120, 160), dtype=np.int32))
    assert list(label_frame(frame, world)) == []


# What lies hidden, and what lies outside


@pytest.mark.parametrize("pose", range(len(POSES)))
def test_amodal_silhouette_is_the_object_rendered_alone(pose):
    world = small_world()
    for label in label_frame(small_frame(pose), world):
        rendered = render(alone(world, label.instance_id), SMALL, *POSES[pose]).instance > 0
        whole = np.count_nonzero(rendered)
        rows, columns = np.nonzero(rendered)
        expected = (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
        assert np.abs(np.subtract(label.amodal_box, expected)).max() <= 1
        # Rims are polygons: allow 1 % and two pixels.
        assert label.area / label.visib_fract == pytest.approx(whole, rel=0.01, abs=2)


def test_a_box_half_hidden_shows_half():
    b = PrimitiveBuilder()
    b.box((0.01, 0.5, 0.5), (4, 0, 1), class_name="box", instance_id=1)
    b.box((0.01, 0.5, 2), (2, 0.5, 1), class_name="box", instance_id=2)
    world = b.build()
    hidden, front = label_frame(render(world, WIDE, *camera_pose(0, 0, 1)), world)
    assert hidden.visib_fract == pytest.approx(0.5, abs=0.02)
    assert front.visib_fract == pytest.approx(1.0, abs=0.001)
    left, top, width, height = hidden.amodal_box
    assert hidden.box[0] > left
    assert (hidden.box[1], hidden.box[3]) == (top, height)
    assert width == pytest.approx(WIDE.focal / 3.99, abs=1)


@pytest.mark.parametrize(
    "build",
    [
        lambda b: b.box((0.4, 0.6, 0.3), (2.5, 2.0, 1.2), class_name="box", instance_id=1, yaw=0.5),
        lambda b: b.add(SPHERE, (0.6,), (2.0, -1.5, 1.6), class_name="sign", instance_id=1),
        lambda b: b.add(CAPSULE, (0.3, 0.6), (1.0, 0.8, 0.9), class_name="person", instance_id=1),
        lambda b: b.add(CYLINDER, (0.3, 0.9), (1.2, -0.9, 1.5), class_name="column", instance_id=1),
        lambda b: [
            b.box((0.1, 0.1, 1.0), (2, y, 1), class_name="rack", instance_id=1) for y in (0.9, 1.4, 1.5, 1.9, 2.6)
        ],
    ],
    ids=["box", "sphere", "capsule", "cylinder", "several"],
)
def test_truncation_is_what_a_larger_sensor_sees(build):
    b = PrimitiveBuilder()
    build(b)
    world, pose = b.build(), camera_pose(0, 0, 1)
    (label,) = label_frame(render(world, SMALL, *pose), world)
    large = render(world, enlarged(SMALL), *pose).instance > 0
    inside = large[120:240, 160:320]
    assert 0.1 < label.truncation < 0.9
    assert label.truncation == pytest.approx(1 - inside.sum() / large.sum(), abs=0.01)
    assert label.visib_fract == pytest.approx(1.0, abs=0.01)


LENSES = {
    "barrel": CameraConfig(width=160, height=120, horizontal_fov=1.6, k1=-0.18, k2=0.02, p1=0.003, p2=-0.002),
    "pincushion": CameraConfig(width=160, height=120, horizontal_fov=1.2, k1=0.25, center_offset=(6.0, -4.0)),
    "fisheye": CameraConfig(width=160, height=120, horizontal_fov=2.6, lens="fisheye", k1=-0.02, k2=0.003),
    "wide fisheye": CameraConfig(width=160, height=120, horizontal_fov=3.4, lens="fisheye"),
}


@pytest.mark.parametrize("lens", LENSES)
@pytest.mark.parametrize("pose", range(len(POSES)))
def test_silhouettes_through_a_lens(lens, pose):
    """Each object rendered alone through rays that OpenCV bends covers the pixels that its silhouette does."""
    world, config = small_world(), LENSES[lens]
    frame = render(world, config, *POSES[pose])
    labels = label_frame(frame, world, min_pixels=8)
    assert len(labels) >= 5
    lengths = np.linalg.norm(lens_rays(config), axis=2)
    for label in labels:
        rendered = render(alone(world, label.instance_id), config, *POSES[pose]).instance > 0
        whole = np.count_nonzero(rendered)
        rows, columns = np.nonzero(rendered)
        expected = (columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1)
        assert np.abs(np.subtract(label.amodal_box, expected)).max() <= 1
        # A rim's polygon may move the half of an upright edge over a column of pixel centres.
        assert label.area / label.visib_fract == pytest.approx(whole, rel=0.01, abs=0.5 * max(expected[2:]))
        assert label.distance_m == pytest.approx((frame.depth * lengths)[label.mask].min(), rel=1e-5)
        # The box holds the object, so its picture holds the object's.
        x1, y1, x2, y2 = label.box3d_image
        beyond = (x1 - columns.min(), y1 - rows.min(), columns.max() - x2, rows.max() - y2)
        assert max(beyond) <= 0.75
        if label.cuboid and label.truncation == 0:
            assert np.abs(beyond).max() <= 1.25


@pytest.mark.parametrize("lens", LENSES)
def test_labels_and_pictures_share_one_lens(lens):
    config = LENSES[lens]
    pixels = np.stack(np.meshgrid(np.arange(config.width), np.arange(config.height)), axis=-1).reshape(-1, 2)
    rays = lens_rays(config).reshape(-1, 3)
    assert project_points(3.0 * rays, config) == pytest.approx(pixels, abs=1e-5)
    assert optics.project(3.0 * rays, config)[0] == pytest.approx(pixels, abs=1e-5)


@pytest.mark.parametrize("lens", LENSES)
def test_truncation_through_a_lens(lens):
    """Cut a picture out of a larger one that the same lens makes: what is left out is the truncation."""
    small = LENSES[lens]
    b = PrimitiveBuilder()
    b.box((0.4, 0.6, 0.3), (2.5, 2.1, 1.2), class_name="box", instance_id=1, yaw=0.5)
    b.add(CYLINDER, (0.3, 0.5), (1.2, -1.3, 1.5), class_name="column", instance_id=2)
    for y in (0.1, 0.3, 0.5):
        b.box((0.05, 0.05, 0.6), (1.2, y, 0.3), class_name="rack", instance_id=3)
    for i, angle in enumerate(np.arange(-2.2, 2.2, 0.13)):
        place = (2.2 * np.cos(angle), 2.2 * np.sin(angle), 1 + 0.7 * angle)
        b.box((0.12, 0.12, 0.12), place, class_name="crate", instance_id=10 + i, yaw=angle + 0.4)
    world, pose = b.build(), camera_pose(0, 0, 1)
    width, height = 216, 162
    changes = {"width": width, "height": height, "center_offset": small.center_offset}
    if small.lens == "fisheye":
        half = 0.5 * small.horizontal_fov * width / small.width
        for _ in range(50):
            image = half * (1 + small.k1 * half**2 + small.k2 * half**4)
            half *= 0.5 * width / small.focal / image
        changes["horizontal_fov"] = 2 * half
    else:
        changes["horizontal_fov"] = 2 * np.arctan(0.5 * width / small.focal)
    large = small.model_copy(update=changes)
    assert large.focal == pytest.approx(small.focal)
    inside = np.zeros((height, width), dtype=bool)
    inside[21:141, 28:188] = True
    labels = label_frame(render(world, small, *pose), world)
    held = cut = 0
    for label in labels:
        rendered = render(alone(world, label.instance_id), large, *pose).instance > 0
        edge = rendered[0].any() or rendered[-1].any() or rendered[:, 0].any() or rendered[:, -1].any()
        if not edge:
            held += 1
            expected = 1 - (rendered & inside).sum() / rendered.sum()
            assert label.truncation == pytest.approx(expected, abs=0.02)
            cut += expected > 0.02
    assert held >= 5
    assert cut >= 1


def mesh_of(corners, faces, b, **options):
    """Add triangles with the given corners (V, 3) as solids of kind TRIANGLE."""
    for face in faces:
        one, two, three = (np.asarray(corners[i], dtype=np.float64) for i in face)
        lengths = [np.linalg.norm(two - one), np.linalg.norm(three - two), np.linalg.norm(one - three)]
        for _ in range(int(np.argmax(lengths))):
            one, two, three = two, three, one
        a = 0.5 * np.linalg.norm(two - one)
        x = (two - one) / (2 * a)
        foot = (three - one) @ x
        up = three - one - foot * x
        h = 0.5 * np.linalg.norm(up)
        y = up / (2 * h)
        position = 0.5 * (one + two) + h * y
        turn = Rotation.from_matrix(np.stack([x, y, np.cross(x, y)], axis=1)).as_quat()
        b.add(TRIANGLE, (a, foot - a, h), position, quaternion=turn, **options)


def wavy_sheet(n=24):
    """A sheet of 2 n^2 triangles that folds over itself as seen from the camera."""
    u, v = np.meshgrid(np.linspace(-1, 1, n + 1), np.linspace(-1, 1, n + 1), indexing="ij")
    corners = np.stack([3 + 0.5 * np.sin(4 * u + v), u + 0.3 * np.sin(5 * v), 1 + v + 0.3 * np.cos(4 * u)], axis=-1)
    at = np.arange((n + 1) ** 2).reshape(n + 1, n + 1)
    quads = np.stack([at[:-1, :-1], at[1:, :-1], at[1:, 1:], at[:-1, 1:]], axis=-1).reshape(-1, 4)
    return corners.reshape(-1, 3), np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def test_a_mesh_is_one_object():
    """The silhouette of a mesh is the union of its triangles: no pixel twice, none lost at an edge they share."""
    b = PrimitiveBuilder()
    corners, faces = wavy_sheet()
    mesh_of(corners, faces, b, class_name="pallet", instance_id=4)
    b.box((0.1, 0.6, 0.6), (1.2, 0.4, 0.9), class_name="box", instance_id=5)
    world = b.build()
    config, pose = CameraConfig(width=160, height=120), camera_pose(0, 0, 1)
    mesh = label_frame(render(world, config, *pose), world)[0]
    whole = np.count_nonzero(render(alone(world, 4), config, *pose).instance)
    assert mesh.visib_fract < 0.8
    assert mesh.area / mesh.visib_fract == pytest.approx(whole, abs=2)
    assert not mesh.cuboid
    inside = (corners - pose[0]) @ pose[1] - mesh.center_camera
    assert (np.abs(inside @ mesh.axes_camera) <= 0.5 * mesh.size + 1e-9).all()


@pytest.mark.parametrize("yaw", [0.0, 0.3, -1.2, 2.9])
def test_the_box_of_a_mesh_turns_with_it(yaw):
    """A carton of twelve triangles has the carton's box, whichever way it stands."""
    signs = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    turn = rotation_matrix([0, 0, np.sin(yaw / 2), np.cos(yaw / 2)])
    corners = (signs * [0.5, 0.3, 0.2]) @ turn.T + [4, 0.2, 1]
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [half for a, b, c, d in quads for half in ((a, b, c), (a, c, d))]
    label = one_label(lambda b: mesh_of(corners, faces, b, class_name="pallet", instance_id=2))
    assert sorted(label.size) == pytest.approx([0.4, 0.6, 1.0], abs=2e-3)
    assert label.center_camera == pytest.approx([-0.2, 0, 4], abs=1e-3)
    assert label.size[2] == pytest.approx(0.4)
    assert not label.tilted
    # The heading stays with the body: its angle against the carton is the same at every yaw.
    heading = camera_pose(0, 0, 1)[1] @ label.axes_camera[:, 0]
    assert abs(heading @ turn[:, 0]) in (pytest.approx(1, abs=1e-6), pytest.approx(0, abs=1e-3))


def test_objects_inside_are_not_truncated():
    assert one_label(lambda b: b.box((0.2, 0.2, 0.2), (3, 0, 1), class_name="box", instance_id=1)).truncation == 0.0


def test_a_wall_of_boxes_through_the_camera_plane():
    """A long thing that runs from before the camera to behind it: finite labels, cut at the near plane."""
    label = one_label(lambda b: b.box((6, 0.3, 0.5), (0, 1.5, 1), class_name="conveyor", instance_id=1))
    assert label.visib_fract == pytest.approx(1.0, abs=0.01)
    assert 0.5 < label.truncation < 1.0
    assert label.amodal_box[0] == 0
    assert label.box3d_image[0] == -0.5
    assert all(np.isfinite(label.box3d_image))


@example(
    # The camera is in both balls: neither has an outline, and what they show is all that counts.
    [(SPHERE, (0.5,) * 3, (0.0, 0.0, 0.5), (0.0,) * 3, 2), (SPHERE, (0.75,) * 3, (0.0,) * 3, (0.0,) * 3, 1)]
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from((BOX, CYLINDER, CAPSULE, SPHERE, TRIANGLE)),
            st.tuples(*[st.floats(0.05, 0.8)] * 3),
            st.tuples(st.floats(-1, 5), st.floats(-2, 2), st.floats(-1, 2)),
            st.tuples(*[st.floats(-3, 3)] * 3),
            st.integers(1, 3),
        ),
        min_size=1,
        max_size=5,
    )
)
@settings(max_examples=60, deadline=None)
def test_shares_are_shares_and_boxes_hold_boxes(solids):
    b = PrimitiveBuilder()
    for kind, size, position, rpy, instance_id in solids:
        if kind == TRIANGLE:
            size = (size[0], size[1] - 0.4, size[2]) if abs(size[1] - 0.4) <= size[0] else (size[0], 0.0, size[2])
        b.add(kind, size, position, class_name="box", instance_id=instance_id, quaternion=quaternion_from_rpy(*rpy))
    world = b.build()
    config = CameraConfig(width=40, height=30)
    for label in label_frame(render(world, config, *camera_pose(-0.5, 0, 0.5)), world, min_pixels=1):
        assert 0.0 < label.visib_fract <= 1.0
        assert 0.0 <= label.truncation <= 1.0
        x, y, width, height = label.box
        left, top, broad, tall = label.amodal_box
        assert left <= x
        assert top <= y
        assert x + width <= left + broad <= config.width
        assert y + height <= top + tall <= config.height
        assert label.box3d_image[0] <= x + 0.01
        assert label.box3d_image[3] >= y + height - 1.01
        assert label.distance_m > 0


# 3D boxes


def test_distance_is_to_the_nearest_visible_point():
    label = one_label(lambda b: b.box((0.5, 0.5, 0.5), (4, 0, 1), class_name="box", instance_id=1))
    # The pixels nearest to the axis are half a pixel off it.
    assert label.distance_m == pytest.approx(3.5, abs=1e-4)


@pytest.mark.parametrize(("yaw", "rotation_y"), [(0.0, -np.pi / 2), (-np.pi / 2, 0.0), (0.3, -np.pi / 2 - 0.3)])
def test_box_of_a_carton(yaw, rotation_y):
    label = one_label(lambda b: b.box((0.4, 0.3, 0.2), (4, 0.5, 0.7), class_name="box", instance_id=1, yaw=yaw))
    assert label.cuboid
    assert label.size == pytest.approx([0.8, 0.6, 0.4])
    assert label.center_camera == pytest.approx([-0.5, 0.3, 4.0])
    assert label.yaw_camera == pytest.approx(rotation_y)
    x, y, width, height = label.box
    assert label.box3d_image == pytest.approx((x, y, x + width - 1, y + height - 1), abs=1.0)


def test_box_of_a_vehicle_of_many_parts():
    """The heading is that of the chassis; wheels that lie across do not turn it."""
    yaw = 0.7
    turn = rotation_matrix([0, 0, np.sin(yaw / 2), np.cos(yaw / 2)])

    def build(b):
        for y in (-0.25, 0.25):
            place = turn @ [0.1, y, 0.1] + [4, 0, 0]
            b.add(CYLINDER, (0.1, 0.05), place, class_name="amr", instance_id=5, quaternion=across)
        b.box((0.45, 0.3, 0.1), (4, 0, 0.2), class_name="amr", instance_id=5, yaw=yaw)

    across = quaternion_from_rpy(np.pi / 2, 0, yaw)
    label = one_label(build)
    assert not label.cuboid
    assert label.size == pytest.approx([0.9, 0.6, 0.3])
    assert label.center_camera == pytest.approx([0, 0.85, 4])
    assert label.axes_camera.T @ label.axes_camera == pytest.approx(np.eye(3), abs=1e-12)
    assert label.yaw_camera == pytest.approx(-np.pi / 2 - yaw)


@pytest.mark.parametrize(
    ("kind", "size", "expected"),
    [
        (CAPSULE, (0.25, 0.6), (0.5, 0.5, 1.7)),
        (SPHERE, (0.4,), (0.8, 0.8, 0.8)),
        (CYLINDER, (0.3, 0.5), (0.6, 0.6, 1.0)),
    ],
)
def test_boxes_of_round_things(kind, size, expected):
    label = one_label(lambda b: b.add(kind, size, (4, 0, 1), class_name="person", instance_id=1))
    assert label.size == pytest.approx(expected)
    assert not label.cuboid


def test_a_toppled_carton_keeps_an_upright_box():
    tilt = quaternion_from_rpy(0.0, 0.5, 0.0)
    label = one_label(lambda b: b.box((0.4, 0.3, 0.2), (4, 0, 1), class_name="box", instance_id=1, quaternion=tilt))
    assert not label.cuboid
    length, height = 0.8 * np.cos(0.5) + 0.4 * np.sin(0.5), 0.8 * np.sin(0.5) + 0.4 * np.cos(0.5)
    assert label.size == pytest.approx([length, 0.6, height])
    on_end = quaternion_from_rpy(0.0, np.pi / 2, 0.0)
    label = one_label(lambda b: b.box((0.4, 0.3, 0.2), (4, 0, 1), class_name="box", instance_id=1, quaternion=on_end))
    assert label.cuboid
    assert sorted(label.size) == pytest.approx([0.4, 0.6, 0.8])
    assert label.size[2] == pytest.approx(0.8)


def test_a_thing_that_leans_has_a_box_of_its_own():
    """Its tight box is the carton itself; what stands has one box, not two."""
    tilt = quaternion_from_rpy(0.3, 0.5, 0.9)
    label = one_label(lambda b: b.box((0.4, 0.3, 0.2), (4, 0.2, 1), class_name="box", instance_id=1, quaternion=tilt))
    assert label.tilted
    assert label.oriented_size == pytest.approx([0.8, 0.6, 0.4])
    assert label.oriented_center == pytest.approx([-0.2, 0, 4])
    optical = camera_pose(0, 0, 1)[1]
    assert label.oriented_axes == pytest.approx(optical.T @ rotation_matrix(tilt))
    label = one_label(lambda b: b.box((0.4, 0.3, 0.2), (4, 0.2, 1), class_name="box", instance_id=1, yaw=0.9))
    assert not label.tilted
    assert label.oriented_corners == pytest.approx(label.corners_camera)


def test_extent_goes_on_beyond_the_picture():
    label = one_label(lambda b: b.box((0.005, 0.5, 0.3), (2.005, 1.5, 1.2), class_name="box", instance_id=1))
    # The front face: y from 1 to 2 m, z from -0.1 to 0.5 m above the axis, at 2 m.
    scale = WIDE.focal / 2
    expected = (159.5 - 2 * scale, 119.5 - 0.5 * scale, 159.5 - scale, 119.5 + 0.1 * scale)
    assert label.extent == pytest.approx(expected, abs=0.01 * scale)
    assert label.amodal_box[0] == 0
    assert label.truncation > 0.2


def test_level_frame():
    level = camera_pose(0, 0, 0, yaw=0.8)[1]
    assert (level_rotation(level) == level).all()
    for pitch, roll in ((0.4, 0.0), (-0.3, 0.2), (1.5, 0.0)):
        turned = level_rotation(camera_pose(0, 0, 0, yaw=0.8, pitch=pitch, roll=roll)[1])
        assert turned == pytest.approx(level, abs=1e-9)
    down = level_rotation(camera_pose(0, 0, 0, pitch=np.pi / 2)[1])
    assert down[:, 1] == pytest.approx([0, 0, -1])
    assert np.linalg.det(down) == pytest.approx(1.0)


# Wrong input


def test_an_instance_that_the_world_does_not_have():
    world = small_world()
    with pytest.raises(ValueError, match=r"\[7\]"):
        label_frame(small_frame(0), world.take(world.instance_id != 7))


def test_a_plane_is_no_object():
    b = PrimitiveBuilder()
    b.add(PLANE, (0,), (0, 0, 0), class_name="floor", instance_id=4)
    world = b.build()
    with pytest.raises(ValueError, match="plane"):
        label_frame(render(world, SMALL, *camera_pose(0, 0, 1)), world)


# Drawing


def test_overlay_tints_the_masks_only():
    frame = small_frame(0)
    labels = label_frame(frame, small_world())
    before = frame.rgb.copy()
    drawn = draw_labels(frame.rgb, labels, text=False)
    assert drawn.shape == frame.rgb.shape
    assert (frame.rgb == before).all()
    boxes = np.zeros(frame.rgb.shape[:2], dtype=bool)
    for x, y, width, height in (label.box for label in labels):
        boxes[y : y + height, x : x + width] = True
    assert (drawn[~boxes] == frame.rgb[~boxes]).all()
    for label in labels:
        assert (drawn[label.mask] != frame.rgb[label.mask]).any()
    assert (draw_labels(frame.rgb, [], config=SMALL) == frame.rgb).all()
    assert (draw_labels(frame.rgb, labels, config=SMALL) != drawn).any()


def test_runs_of_thousands_of_instances():
    ids = np.random.default_rng(3).integers(-2, 3000, (90, 120)).astype(np.int32)
    runs = instance_runs(ids, min_pixels=2)
    found, count = np.unique(ids[ids > 0], return_counts=True)
    assert (runs.instance_id == found[count >= 2]).all()
    assert (runs.area == count[count >= 2]).all()
    for s in range(0, len(runs), 97):
        rows, columns = np.nonzero(ids == runs.instance_id[s])
        box = columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1
        assert tuple(runs.box[s]) == box


@pytest.mark.parametrize("lens", [{}, {"lens": "fisheye", "k1": -0.02}])
def test_rings_that_outgrow_their_memory(lens):
    """However many solids there are, each has the ring that it has alone."""
    rng, view = np.random.default_rng(4), camera_view(CameraConfig(width=160, height=120, **lens))
    count = 250
    kind = np.where(np.arange(count) % 3 > 0, SPHERE, BOX).astype(np.uint8)
    size, center = rng.uniform(0.05, 0.3, (count, 3)), rng.uniform([-3, -2, 1], [3, 2, 9], (count, 3))
    axes = np.ascontiguousarray(Rotation.random(count, random_state=5).as_matrix())
    ring, first = silhouette._all_rings(kind, size, center, axes, view)
    assert first[-1] > 48 * 160
    for p in range(count):
        one = slice(p, p + 1)
        alone, bounds = silhouette._all_rings(kind[one], size[one], center[one], axes[one], view)
        assert np.array_equal(ring[first[p] : first[p + 1]], alone[: bounds[1]])
