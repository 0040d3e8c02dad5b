"""KITTI files: 3D boxes land on the masks, lidar points on what they hit."""

from __future__ import annotations

import numpy as np
import pytest

from floorcast.common.classes import CLASS_NAMES
from floorcast.common.errors import InputError
from floorcast.common.primitives import PrimitiveBuilder
from floorcast.perception.config import CameraConfig
from floorcast.perception.datasets import kitti
from floorcast.perception.labels import label_frame

from ..reference_renderer import camera_pose, render

CONFIG = CameraConfig(width=320, height=240)
POSES = {
    "level": camera_pose(0.2, -0.1, 0.8, yaw=0.1),
    "pitched": camera_pose(0, 0, 1.6, yaw=-0.1, pitch=0.35),
    "rolled": camera_pose(0, 0, 1.0, pitch=-0.1, roll=0.2),
}


def cartons():
    b = PrimitiveBuilder()
    rng = np.random.default_rng(5)
    for i, (x, y) in enumerate([(2.5, 0.9), (3.0, -0.8), (4.5, 0.1), (6.0, 1.9), (6.5, -1.8)]):
        size = rng.uniform(0.15, 0.4, size=3)
        b.box(size, (x, y, size[2] + 0.3 * i % 0.7), class_name="box", instance_id=i + 1, yaw=rng.uniform(-3, 3))
    return b.build()


@pytest.fixture(params=POSES)
def written(request, tmp_path):
    """Read back what was written for a picture of a few cartons: objects, calibration, frame, labels."""
    position, rotation = POSES[request.param]
    world = cartons()
    frame = render(world, CONFIG, position, rotation)
    labels = label_frame(frame, world)
    (tmp_path / "label.txt").write_text(kitti.label_text(labels, rotation))
    (tmp_path / "calib.txt").write_text(kitti.calibration_text(CONFIG, position, rotation, position - 0.1, np.eye(3)))
    return kitti.read_labels(tmp_path / "label.txt"), kitti.read_calibration(tmp_path / "calib.txt"), frame, labels


def test_boxes_project_onto_the_id_mask(written):
    """Every unoccluded carton: the projected 3D box fits the pixels of its id within 2 px."""
    objects, calibration, frame, labels = written
    held = 0
    for item, label in zip(objects, labels, strict=True):
        corners = np.concatenate([item.corners(), np.ones((8, 1))], axis=1)
        image = corners @ calibration.projection.T
        image = image[:, :2] / image[:, 2:]
        rows, columns = np.nonzero(frame.instance == label.instance_id)
        mask_box = np.array([columns.min(), rows.min(), columns.max(), rows.max()])
        whole = mask_box[0] > 0 and mask_box[1] > 0 and mask_box[2] < 319 and mask_box[3] < 239
        if label.visib_fract == 1.0 and whole:
            held += 1
            assert np.abs(np.concatenate([image.min(0), image.max(0)]) - mask_box).max() <= 2.0
            assert np.abs(np.subtract(item.box, mask_box)).max() <= 1.0
    assert held >= 3


def test_fields(written):
    objects, _, _, labels = written
    for item, label in zip(objects, labels, strict=True):
        assert item.type == "Box"
        assert item.truncated == pytest.approx(label.truncation, abs=1e-4)
        assert item.size == pytest.approx(label.size[[2, 1, 0]], abs=1e-4)
        x, _, z = item.location
        assert item.alpha == pytest.approx((item.rotation_y - np.arctan2(x, z) + np.pi) % (2 * np.pi) - np.pi, abs=2e-4)
        assert -np.pi <= item.rotation_y <= np.pi


def test_lidar_points_land_where_the_camera_sees_them(written):
    _, calibration, frame, _ = written
    in_map = np.array([[4.0, 0.4, 0.9], [5.0, -1.0, 0.2]])
    in_camera = (in_map - frame.position) @ frame.rotation
    expected = CONFIG.focal * in_camera[:, :2] / in_camera[:, 2:] + [159.5, 119.5]
    in_lidar = in_map - (frame.position - 0.1)
    in_level = np.concatenate([in_lidar, np.ones((2, 1))], axis=1) @ calibration.lidar_to_camera.T
    image = np.concatenate([in_level, np.ones((2, 1))], axis=1) @ calibration.projection.T
    assert image[:, :2] / image[:, 2:] == pytest.approx(expected, abs=1e-6)


def test_a_level_camera_has_the_usual_matrix(tmp_path):
    (tmp_path / "c.txt").write_text(kitti.calibration_text(CONFIG, *POSES["level"]))
    projection = kitti.read_calibration(tmp_path / "c.txt").projection
    assert projection == pytest.approx(
        np.array([[CONFIG.focal, 0, 159.5, 0], [0, CONFIG.focal, 119.5, 0], [0, 0, 1, 0]]), abs=1e-9
    )


def test_heading_of_known_poses(tmp_path):
    """A carton that points where the camera looks has rotation_y -pi/2; one that points right has 0 (KITTI)."""
    b = PrimitiveBuilder()
    b.box((0.4, 0.2, 0.2), (4, 0.6, 0.2), class_name="pallet_truck", instance_id=1, yaw=0.0)
    b.box((0.4, 0.2, 0.2), (4, -0.6, 0.2), class_name="person", instance_id=2, yaw=-np.pi / 2)
    world, (position, rotation) = b.build(), camera_pose(0, 0, 0.5)
    labels = label_frame(render(world, CONFIG, position, rotation), world)
    (tmp_path / "l.txt").write_text(kitti.label_text(labels, rotation))
    ahead, right = kitti.read_labels(tmp_path / "l.txt")
    assert (ahead.type, right.type) == ("PalletTruck", "Person")
    assert ahead.rotation_y == pytest.approx(-np.pi / 2, abs=1e-4)
    assert right.rotation_y == pytest.approx(0.0, abs=1e-4)
    assert ahead.location == pytest.approx((-0.6, 0.5, 4.0), abs=1e-4)
    assert right.location == pytest.approx((0.6, 0.5, 4.0), abs=1e-4)


@pytest.mark.parametrize(
    ("visible", "level"), [(1.0, 0), (0.95, 0), (0.94, 1), (0.5, 1), (0.49, 2), (0.1, 2), (0.01, 3)]
)
def test_occlusion_levels(visible, level):
    assert kitti.occlusion_level(visible) == level


def test_every_class_has_a_type():
    assert len(set(kitti.KITTI_TYPES)) == len(CLASS_NAMES)
    assert set(kitti.KITTI_ALIASES) <= set(kitti.KITTI_TYPES)


def test_points():
    points = np.arange(8, dtype=np.float32).reshape(2, 4)
    assert np.frombuffer(kitti.points_bytes(points), dtype="<f4").reshape(-1, 4).tolist() == points.tolist()
    with pytest.raises(ValueError, match="finite"):
        kitti.points_bytes(points * np.float32(np.nan))
    with pytest.raises(ValueError, match="4"):
        kitti.points_bytes(points[:, :3])


@pytest.mark.parametrize(
    "text", ["Box 0.1 0", "Box " + "1 " * 13 + "nan", "Box " + "1 " * 13 + "x", "Box " + "1 " * 15]
)
def test_broken_labels(tmp_path, text):
    path = tmp_path / "l.txt"
    path.write_text("Box " + "1 " * 14 + "\n" + text + "\n")
    with pytest.raises(InputError) as caught:
        kitti.read_labels(path)
    assert caught.value.where == f"{path}, line 2"


def test_broken_calibration(tmp_path):
    whole = kitti.calibration_text(CONFIG, *POSES["level"])
    path = tmp_path / "c.txt"
    for text in ("", whole[:300], whole.replace("R0_rect", "R1"), "P2: a b\n"):
        path.write_text(text)
        with pytest.raises(InputError, match=r"matrix"):
            kitti.read_calibration(path)
    with pytest.raises(InputError, match="no such file"):
        kitti.read_calibration(tmp_path / "none.txt")
