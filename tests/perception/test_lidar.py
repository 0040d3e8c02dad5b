"""Lidars: geometry against closed forms, noise against its stated distribution, and determinism."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from floorcast.common.errors import InputError
from floorcast.common.geometry import mounted, quaternion_from_rpy, rotation_matrix
from floorcast.common.primitives import CAPSULE, PLANE, PrimitiveBuilder
from floorcast.perception.config import LidarConfig
from floorcast.perception.labels import label_points
from floorcast.perception.lidar import Lidar
from floorcast.perception.scene import Scene, empty_primitives

LEVEL = np.eye(3)
QUIET = {"range_noise": 0.0, "dropout": 0.0, "grazing_dropout": 0.0}
HALF = 5.0
"""Half the width of the square room [m]."""


@pytest.fixture(scope="module")
def room():
    builder = PrimitiveBuilder()
    builder.add(PLANE, (0,), (0, 0, 0), class_name="floor")
    for number, (x, y) in enumerate(((1, 0), (-1, 0), (0, 1), (0, -1))):
        half = (0.1, HALF + 0.2, 1.5) if x else (HALF + 0.2, 0.1, 1.5)
        builder.box(half, ((HALF + 0.1) * x, (HALF + 0.1) * y, 1.5), class_name="wall", instance_id=0, body=number)
    person = PrimitiveBuilder()
    person.add(CAPSULE, (0.2, 0.6), (0, 0, 0.8), class_name="person", instance_id=7, body=0)
    person.box((0.3, 0.3, 0.1), (0, 0, 0.2), class_name="amr", instance_id=8, body=1)
    scene = Scene(builder.build(), person.build(), 2)
    scene.update([[3, 0, 0, 0, 0, 0, 1], [-30, 0, 0, 0, 0, 0, 1]])
    return scene


def one(config, scene, position=(0, 0, 1), rotation=LEVEL, frame=0, **options):
    return Lidar(config).scan(scene, position, rotation, stream=11, sensor=0, frame=frame, **options)


def test_angles_of_a_full_turn_and_of_a_sector():
    turn = Lidar(LidarConfig(beams=8)).angles
    assert_allclose(turn, -np.pi + np.arange(8) * np.pi / 4)
    sector = Lidar(LidarConfig(beams=5, angle_min=-1.0, angle_max=1.0)).angles
    assert_allclose(sector, [-1, -0.5, 0, 0.5, 1])
    assert Lidar(LidarConfig(beams=1, angle_min=0.2, angle_max=1.0)).angles.tolist() == [0.2]


def test_a_square_room_and_a_person(room):
    scan, truth = one(LidarConfig(beams=720, **QUIET), room)
    expected = HALF / np.maximum(np.abs(np.cos(scan.angles)), np.abs(np.sin(scan.angles)))
    person = np.abs(np.sin(scan.angles)) * 3 < 0.2
    person &= np.cos(scan.angles) > 0
    reach = 3 * np.cos(scan.angles) - np.sqrt(np.maximum(0.04 - (3 * np.sin(scan.angles)) ** 2, 0))
    expected = np.where(person, reach, expected)
    assert truth.ranges.shape == scan.ranges.shape == (1, 720)
    assert_allclose(truth.ranges[0], expected, atol=1e-5)
    assert_array_equal(scan.ranges, truth.ranges)
    assert_array_equal(truth.instance_id[0], np.where(person, 7, 0))
    assert_array_equal(truth.class_id[0], np.where(person, 1, 14))


def test_rings_meet_the_floor_where_trigonometry_says(room):
    elevations = (-0.5, -0.3, 0.0, 0.6)
    config = LidarConfig(beams=90, elevations=elevations, **QUIET)
    _, truth = one(config, room, position=(0, -2.0, 1.0))
    assert_allclose(truth.ranges[0], 1 / np.sin(0.5), rtol=1e-5)
    assert set(truth.class_id[0].tolist()) == {15}
    # Above the walls there is nothing.
    assert np.isinf(truth.ranges[3]).any()
    assert (truth.class_id[3][np.isinf(truth.ranges[3])] == 0).all()


def test_a_turned_and_tilted_lidar_sees_the_same_room(room):
    position, rotation = mounted(np.array([1.0, -0.5, 2.1]), np.array([0.2, 0, 0.8, 0.1, -0.2, 0.4]))
    lidar = Lidar(LidarConfig(beams=180, elevations=(-0.2, 0.1), **QUIET))
    _, truth = lidar.scan(room, position, rotation, stream=0, sensor=0, frame=0)
    rays = room.cast(position, lidar.directions @ rotation.T, 25.0)
    assert_allclose(truth.ranges.reshape(-1), rays.range, rtol=1e-6)


def test_noise_has_the_stated_bias_and_deviation(room):
    config = LidarConfig(beams=3600, range_noise=0.03, range_bias=-0.05, dropout=0, grazing_dropout=0)
    errors = np.concatenate(
        [(scan.ranges - truth.ranges).ravel() for scan, truth in (one(config, room, frame=f) for f in range(5))]
    )
    assert errors.mean() == pytest.approx(-0.05, abs=0.001)
    assert errors.std() == pytest.approx(0.03, rel=0.03)
    assert np.abs(errors + 0.05).max() > 3 * 0.03


def test_dropout_head_on_and_grazing():
    builder = PrimitiveBuilder()
    builder.box((0.5, 4000, 2), (2.5, 0, 0), class_name="wall")
    wall = Scene(builder.build(), empty_primitives(), 0)
    for angle, expected in (
        (0.0, 0.05),
        (1.0, 0.05 + 0.6 * (1 - np.cos(1.0)) ** 4),
        (1.5, 0.05 + 0.6 * (1 - np.cos(1.5)) ** 4),
    ):
        config = LidarConfig(
            beams=20000, angle_min=angle, angle_max=angle + 1e-6, range_max=2000, dropout=0.05, grazing_dropout=0.6
        )
        scan, truth = one(config, wall, position=(0, 0, 0))
        assert np.isfinite(truth.ranges).all()
        assert np.isinf(scan.ranges).mean() == pytest.approx(expected, abs=0.01)


def test_certain_dropout_empties_the_scan(room):
    scan, truth = one(LidarConfig(dropout=1.0), room)
    assert np.isinf(scan.ranges).all()
    assert (scan.intensity == 0).all()
    assert np.isfinite(truth.ranges).all()


def test_ranges_outside_the_limits_come_back_empty(room):
    scan, truth = one(LidarConfig(range_min=4.0, range_max=6.0, **QUIET), room)
    assert np.isinf(truth.ranges[0][np.abs(np.abs(np.cos(scan.angles)) - np.sqrt(0.5)) < 0.05]).all()  # Corners: 7.1 m.
    kept = scan.ranges[np.isfinite(scan.ranges)]
    assert kept.min() >= 4.0
    assert kept.max() <= 6.0
    near = truth.ranges < 4.0
    assert near.any()
    assert np.isinf(scan.ranges[near]).all()


def test_intensity_is_reflectivity_times_cosine(room):
    scan, truth = one(LidarConfig(beams=360, **QUIET), room)
    wall = truth.class_id[0] == 14
    cosine = np.maximum(np.abs(np.cos(scan.angles)), np.abs(np.sin(scan.angles)))
    assert_allclose(scan.intensity[0][wall], (((160 / 255 + 0.055) / 1.055) ** 2.4 * cosine)[wall], rtol=1e-5)
    assert scan.intensity.min() >= 0
    assert scan.intensity.max() <= 1


def test_points_lie_on_the_walls_and_leave_out_empty_beams(room):
    config = LidarConfig(beams=256, elevations=(-0.3, 0.0, 0.4), range_max=25, **QUIET)
    lidar = Lidar(config)
    scan, _ = lidar.scan(room, (0, 0, 1), LEVEL, stream=0, sensor=0, frame=0)
    points = lidar.points(scan)
    assert points.dtype == np.float32
    assert len(points) == np.isfinite(scan.ranges).sum() < scan.ranges.size
    world = points[:, :3] + [0, 0, 1]
    on_wall = np.abs(np.abs(world[:, :2]).max(axis=1) - HALF) < 1e-4
    on_floor = np.abs(world[:, 2]) < 1e-4
    on_person = np.hypot(world[:, 0] - 3, world[:, 1]) < 0.2001
    assert (on_wall | on_floor | on_person).all()


def test_labelled_points_are_the_points_with_the_labels_of_the_frame(room):
    lidar = Lidar(LidarConfig(beams=256, elevations=(-0.3, 0.0, 0.4), dropout=0.2, crosstalk=0.2))
    scan, truth = lidar.scan(room, (0, 0, 1), LEVEL, stream=0, sensor=0, frame=0)
    for flags in (truth.flags, None):
        truth = replace(truth, flags=flags)
        points, classes, instances = lidar.labelled_points(scan, truth)
        assert_array_equal(points, lidar.points(scan))
        for got, expected in zip((classes, instances), label_points(scan, truth), strict=True):
            assert_array_equal(got, expected)
    assert set(instances.tolist()) == {0, 7}
    bare = replace(scan, intensity=None)
    assert_array_equal(lidar.points(bare)[:, :3], points[:, :3])
    assert (lidar.labelled_points(bare, truth)[0][:, 3] == 0).all()


def test_a_buried_lidar_measures_nothing_and_its_truth_is_zero(room):
    scan, truth = one(LidarConfig(beams=64), room, position=(3, 0, 0.9))
    assert (truth.ranges == 0).all()
    assert (truth.instance_id == 7).all()
    assert np.isinf(scan.ranges).all()
    assert not np.isnan(scan.intensity).any()
    below, truth = one(LidarConfig(beams=64), room, position=(1, 1, -0.5))
    assert (truth.ranges == 0).all()
    assert not np.isnan(below.ranges).any()


def test_the_carrier_is_not_seen(room):
    assert (one(LidarConfig(), room, position=(3, 0, 0.9), exclude_body=0)[1].instance_id != 7).all()


def test_a_batch_equals_single_scans_and_order_does_not_matter(room):
    lidar = Lidar(LidarConfig(beams=90, elevations=(-0.1, 0.0), range_noise=0.05, dropout=0.1))
    rng = np.random.default_rng(2)
    position = rng.uniform((-4, -4, 0.3), (4, 4, 1), (5, 3))
    rotation = rotation_matrix(np.array([quaternion_from_rpy(*rng.normal(size=3)) for _ in range(5)]))
    exclude = [-1, 0, -1, 1, -1]
    batch = lidar.scan_batch(room, position, rotation, stream=9, sensors=range(5), frame=4, exclude_body=exclude)
    for s in (3, 0, 4, 2, 1):
        alone = lidar.scan(room, position[s], rotation[s], stream=9, sensor=s, frame=4, exclude_body=exclude[s])
        for got, expected in zip(alone, batch[s], strict=True):
            for name in vars(got):
                assert_array_equal(getattr(got, name), getattr(expected, name))


def test_noise_depends_on_stream_sensor_and_frame_only(room):
    lidar = Lidar(LidarConfig(range_noise=0.05))

    def ranges(**changes):
        options = {"stream": 0, "sensor": 0, "frame": 0} | changes
        return lidar.scan(room, (0, 0, 1), LEVEL, **options)[0].ranges

    assert_array_equal(ranges(), ranges())
    for change in ({"stream": 1}, {"sensor": 1}, {"frame": 1}, {"stream": -1}, {"stream": 2**70 + 1}):
        assert (ranges(**change) != ranges()).mean() > 0.9


@pytest.mark.parametrize(
    ("position", "rotation"),
    [
        ((np.nan, 0, 1), LEVEL),
        ((0, 0, np.inf), LEVEL),
        ((0, 0, 1), np.full((3, 3), np.nan)),
        ((0, 0, 1), 2 * LEVEL),
        ((0, 0, 1), np.diag([1.0, 1.0, -1.0])),
        ((0, 0, 1), np.zeros((3, 3))),
        ((0, 0), LEVEL),
        ((0, 0, 1), np.eye(4)),
    ],
)
def test_bad_poses_are_refused(room, position, rotation):
    with pytest.raises(InputError):
        one(LidarConfig(), room, position, rotation)


def test_a_batch_needs_one_sensor_index_per_pose(room):
    with pytest.raises(InputError, match="2 sensor indices for 1 poses"):
        Lidar(LidarConfig()).scan_batch(room, [(0, 0, 1)], [LEVEL], stream=0, sensors=(0, 1), frame=0)


def test_an_empty_scene_is_all_empty_beams():
    scan, truth = one(LidarConfig(beams=16), Scene(empty_primitives(), empty_primitives(), 0))
    assert np.isinf(scan.ranges).all()
    assert np.isinf(truth.ranges).all()
    assert (truth.class_id == 0).all()
