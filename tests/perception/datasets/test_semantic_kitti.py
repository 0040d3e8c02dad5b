"""Point labels as anybody reads them: with numpy.fromfile and a YAML parser, after SemanticKITTI's own description."""

from __future__ import annotations

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from floorcast.common.classes import CLASS_NAMES
from floorcast.common.errors import InputError
from floorcast.common.geometry import quaternion_from_rpy, rotation_matrix
from floorcast.common.primitives import CAPSULE, PLANE, PrimitiveBuilder
from floorcast.perception.config import LidarConfig
from floorcast.perception.datasets.reader import DatasetReader
from floorcast.perception.datasets.semantic_kitti import config_text, label_bytes, read_point_labels
from floorcast.perception.datasets.shards import ShardWriter, assemble_dataset
from floorcast.perception.frames import LidarScan, LidarTruth
from floorcast.perception.labels import label_points
from floorcast.perception.lidar import Lidar
from floorcast.perception.scene import Scene

from .small_dataset import labelled, write_shard


def test_round_trip_through_numpy(tmp_path):
    folder = tmp_path / "d"
    assemble_dataset(folder, [write_shard(folder, 1)], info={}, license=None)
    frame = labelled(1, 0, points=True)
    sequence = folder / "semantickitti/sequences/00"
    words = np.fromfile(sequence / "labels/000001_00_0000.label", dtype=np.uint32)
    scan = np.fromfile(sequence / "velodyne/000001_00_0000.bin", dtype=np.float32).reshape(-1, 4)
    assert len(words) == len(scan) == len(frame.points)
    assert (words & 0xFFFF == frame.point_class).all()
    assert (words >> 16 == frame.point_instance).all()
    assert {3, 7, 300} < set((words >> 16).tolist())
    config = yaml.safe_load((folder / "semantickitti/semantic-kitti.yaml").read_text())
    assert {config["labels"][i] for i in np.unique(words & 0xFFFF).tolist()} > {"floor", "wall", "box", "person"}
    reader = DatasetReader.open(folder)
    again = reader.point_labels(reader.images[0])
    assert (again[0] == frame.point_class).all()
    assert (again[1] == frame.point_instance).all()
    assert (reader.points(reader.images[0]) == frame.points).all()


def test_the_class_map():
    config = yaml.safe_load(config_text())
    assert config["labels"] == dict(enumerate(("unlabeled", *CLASS_NAMES)))
    for key in ("color_map", "learning_map", "learning_map_inv", "learning_ignore"):
        assert set(config[key]) == set(config["labels"])
    assert all(config["learning_map_inv"][value] == key for key, value in config["learning_map"].items())
    assert [key for key, ignored in config["learning_ignore"].items() if ignored] == [0]
    assert config["split"]["train"] == [0]
    assert all(len(color) == 3 and 0 <= min(color) <= max(color) <= 255 for color in config["color_map"].values())


@given(st.lists(st.tuples(st.integers(0, 65535), st.integers(0, 65535)), max_size=30))
@settings(max_examples=50, deadline=None)
def test_any_ids(pairs):
    classes, instances = (np.array([pair[i] for pair in pairs], dtype=np.int32) for i in range(2))
    words = np.frombuffer(label_bytes(classes, instances), dtype="<u4")
    assert words.tolist() == [instance * 65536 + kind for kind, instance in pairs]


def test_ids_that_do_not_fit():
    with pytest.raises(InputError, match="70000"):
        label_bytes(np.array([1]), np.array([70000]))
    with pytest.raises(ValueError, match="negative"):
        label_bytes(np.array([1]), np.array([-1]))
    with pytest.raises(ValueError, match="classes"):
        label_bytes(np.array([1, 2]), np.array([1]))


def test_files_that_are_not_whole(tmp_path):
    path = tmp_path / "a.label"
    path.write_bytes(b"12345")
    with pytest.raises(InputError, match="5 bytes"):
        read_point_labels(path)
    with pytest.raises(InputError, match="no such file"):
        read_point_labels(tmp_path / "none.label")


def test_points_and_labels_of_different_length(tmp_path):
    frame = labelled(1, 0, points=True)
    fewer = type(frame)(**{**vars(frame), "point_class": frame.point_class[:-1]})
    with ShardWriter(tmp_path / "d", 1) as writer, pytest.raises(ValueError, match="labels"):
        writer.add(fewer)


def test_strays_have_no_label():
    angles = np.zeros(2)
    ranges = np.array([[1.0, np.inf, 2.0], [3.0, 4.0, 5.0]], dtype=np.float32)
    ids, classes = np.arange(6, dtype=np.int32).reshape(2, 3) + 40, np.full((2, 3), 8, dtype=np.int32)
    flags = np.array([[1, 0, 16], [3, 32, 5]], dtype=np.uint8)
    truth = LidarTruth(ranges, ids, classes, flags)
    point_class, point_instance = label_points(LidarScan(angles, angles, ranges), truth)
    assert point_class.tolist() == [8, 0, 8, 0, 8]
    assert point_instance.tolist() == [40, 0, 43, 0, 45]


def test_points_of_a_scan_lie_on_what_their_labels_name():
    """Each labelled point of a noisy sweep is within five sigma, along its beam, of the surface of its object."""
    b = PrimitiveBuilder()
    b.add(PLANE, (0,), (0, 0, 0), class_name="floor")
    b.box((0.3, 0.4, 0.5), (3, 1, 0.5), class_name="box", instance_id=11, yaw=0.6)
    b.box((0.2, 0.2, 0.2), (-2, -1, 0.2), class_name="crate", instance_id=12, yaw=-0.2)
    b.add(CAPSULE, (0.25, 0.6), (0, 2.5, 0.85), class_name="person", instance_id=13)
    world = b.build()
    scene = Scene(world, PrimitiveBuilder().build(), 0)
    config = LidarConfig(beams=512, elevations=tuple(np.radians(np.linspace(-25, 15, 16)).tolist()), range_noise=0.01)
    lidar = Lidar(config)
    position, rotation = np.array([0.1, 0.0, 0.8]), rotation_matrix(quaternion_from_rpy(0.05, -0.03, 0.4))
    scan, truth = lidar.scan(scene, position, rotation, stream=3, sensor=0, frame=1)
    points, (classes, instances) = lidar.points(scan), label_points(scan, truth)
    assert len(points) == len(classes) == len(instances)
    in_map = points[:, :3] @ rotation.T + position
    far = {}
    for row in range(1, 4):
        local = (in_map - world.position[row]) @ rotation_matrix(world.quaternion[row])
        if world.kind[row] == CAPSULE:
            local[:, 2] -= np.clip(local[:, 2], -0.6, 0.6)
            far[10 + row] = np.linalg.norm(local, axis=1) - 0.25
        else:
            away = np.abs(local) - world.size[row]
            far[10 + row] = np.linalg.norm(np.maximum(away, 0), axis=1) + np.minimum(away.max(axis=1), 0)
    for instance, distance in far.items():
        assert (instances == instance).sum() > 20
        assert np.abs(distance[instances == instance]).max() < 0.05
        assert (classes[instances == instance] == world.class_id[instance - 10]).all()
    floor = classes == CLASS_NAMES.index("floor") + 1
    assert (instances[floor] == 0).all()
    assert np.abs(in_map[floor, 2]).max() < 0.05
