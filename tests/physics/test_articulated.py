"""The reference on PyBullet's wheel joints: that it is built right, and what it needs for that."""

from __future__ import annotations

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.physics.articulated import ArticulatedRobot, articulated_differential, differential_urdf

BUILD = {"mass": 90.0, "inertia": 8.0, "radius": 0.1, "track": 0.5}


def arc(wheel, left=0.375, right=0.625, seconds=4):
    """Speed [m/s] and yaw rate [rad/s] in the second half of a drive with constant wheel speeds [m/s]."""
    robot = articulated_differential(friction=0.8, torque=30.0, wheel=wheel, load_share=0.7, **BUILD)
    poses = []
    for _ in range(seconds * 240):
        robot.step(left, right)
        poses.append(robot.pose)
    assert robot.tilt < 0.01
    robot.close()
    path = np.array(poses)[len(poses) // 2 :]
    path[:, 2] = np.unwrap(path[:, 2])
    way = np.hypot(*np.diff(path[:, :2], axis=0).T).sum()
    return way / (0.5 * seconds), (path[-1, 2] - path[0, 2]) / (0.5 * seconds)


def test_spheres_drive_an_arc_as_kinematics_says_and_cylinders_do_not():
    v, omega = arc("sphere")
    assert v == pytest.approx(0.5, rel=0.01)
    assert omega == pytest.approx(0.5, rel=0.005)
    assert arc("cylinder")[1] < 0.49


def test_a_wheel_joint_or_file_that_is_not_there_is_explained(tmp_path):
    path = tmp_path / "robot.urdf"
    path.write_text(differential_urdf(**BUILD))
    options = {"radius": 0.1, "friction": 0.8, "torque": 30.0}
    with pytest.raises(InputError, match=r"no joint 'l_wheel'") as caught:
        ArticulatedRobot(path, ["l_wheel"], ["right"], **options)
    assert "left, right" in str(caught.value)
    with pytest.raises(InputError, match="cannot load"):
        ArticulatedRobot(tmp_path / "none.urdf", ["left"], ["right"], **options)
    robot = ArticulatedRobot(path, ["left"], ["right"], **options)
    for _ in range(240):
        robot.step(0.4, 0.4)
    assert robot.pose[0] == pytest.approx(0.4, abs=0.02)
    robot.close()
