"""Labels read back from a dataset folder are those that were written."""

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.common.geometry import quaternion_from_rpy, rotation_matrix
from floorcast.common.primitives import PrimitiveBuilder
from floorcast.perception.camera import Camera
from floorcast.perception.config import CameraConfig, Lighting
from floorcast.perception.datasets.check import check_dataset
from floorcast.perception.datasets.overlay import draw_labels
from floorcast.perception.datasets.reader import DatasetReader
from floorcast.perception.datasets.shards import ShardWriter, assemble_dataset
from floorcast.perception.labels import LabelledFrame, label_frame
from floorcast.perception.scene import Scene

LEVEL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
# Looks 20 degrees down and leans 10 degrees to its side.
TILTED = LEVEL @ rotation_matrix(quaternion_from_rpy(np.radians(-20.0), 0.0, np.radians(10.0)))
PLAIN = CameraConfig(width=160, height=120)


def written(folder, rotation=LEVEL, config=PLAIN):
    builder = PrimitiveBuilder()
    builder.box((0.3, 0.2, 0.4), (3.0, 0.4, 0.4), class_name="box", instance_id=3, yaw=0.7)
    builder.box((0.2, 0.5, 0.3), (4.0, -0.9, 0.3), class_name="crate", instance_id=5, yaw=-1.1)
    scene = Scene(builder.build(), PrimitiveBuilder().build(), 0)
    scene.update(np.zeros((0, 7)))
    camera = Camera(config)
    frame = camera.render(scene, np.array([0.0, 0.0, 0.5]), rotation, Lighting(), stream=1, sensor=0, frame=0)
    labels = label_frame(frame, scene.world_primitives())
    with ShardWriter(folder, 0) as writer:
        writer.add(LabelledFrame(episode=0, robot=0, number=0, time=0.5, frame=frame, labels=labels))
        shard = writer.close()
    assemble_dataset(folder, [shard], info={}, license=None)
    return frame, labels


@pytest.mark.parametrize("rotation", [LEVEL, TILTED], ids=["level", "tilted"])
def test_pictures_and_labels_survive_the_round_trip(tmp_path, rotation):
    frame, labels = written(tmp_path / "dataset", rotation)
    reader = DatasetReader.open(tmp_path / "dataset")
    (image,) = reader.images
    np.testing.assert_array_equal(reader.picture(image), frame.rgb)
    again = reader.labels(image)
    assert [label.instance_id for label in again] == [label.instance_id for label in labels] == [3, 5]
    for ours, theirs in zip(again, labels, strict=True):
        np.testing.assert_array_equal(ours.mask, theirs.mask)
        assert (ours.box, ours.class_name) == (theirs.box, theirs.class_name)
        np.testing.assert_allclose(ours.corners_camera, theirs.corners_camera, atol=1e-4)
        np.testing.assert_allclose(ours.box3d_image, theirs.box3d_image, atol=0.02)


@pytest.mark.parametrize(
    "config",
    [
        CameraConfig(width=160, height=120, horizontal_fov=1.5, k1=-0.2, k2=0.03, p1=0.002, center_offset=(4.0, -3.0)),
        CameraConfig(width=160, height=120, horizontal_fov=2.4, lens="fisheye", k1=-0.03),
    ],
    ids=["barrel", "fisheye"],
)
def test_labels_through_a_lens_come_back_and_pass_the_check(tmp_path, config):
    frame, labels = written(tmp_path / "dataset", TILTED, config)
    reader = DatasetReader.open(tmp_path / "dataset")
    (image,) = reader.images
    for ours, theirs in zip(reader.labels(image), labels, strict=True):
        np.testing.assert_allclose(ours.box3d_image, theirs.box3d_image, atol=0.02)
        np.testing.assert_allclose(ours.extent, theirs.extent, atol=0.01)
        assert ours.distance_m == pytest.approx(theirs.distance_m, abs=1e-3)
    report = check_dataset(tmp_path / "dataset")
    assert report.problems == ()
    assert report.boxes_held_to_masks >= 1
    drawn = draw_labels(frame.rgb, labels, config=frame.config)
    assert (drawn != draw_labels(frame.rgb, labels)).any()


def test_an_empty_folder_is_bad_input(tmp_path):
    with pytest.raises(InputError):
        DatasetReader.open(tmp_path)
