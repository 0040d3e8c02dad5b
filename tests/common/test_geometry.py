"""Planar poses and quaternions against matrices."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from floorcast.common import geometry
from floorcast.common.seeding import generator

angle = st.floats(-7, 7)
length = st.floats(-50, 50)
pose = st.tuples(length, length, angle)


def matrix(p):
    c, s = np.cos(p[2]), np.sin(p[2])
    return np.array([[c, -s, p[0]], [s, c, p[1]], [0, 0, 1]])


@given(pose, pose)
def test_compose_and_relative_are_matrix_products(a, b):
    np.testing.assert_allclose(matrix(geometry.compose(a, b)), matrix(a) @ matrix(b), atol=1e-9)
    np.testing.assert_allclose(matrix(geometry.relative(a, b)), np.linalg.inv(matrix(a)) @ matrix(b), atol=1e-9)


@given(angle)
def test_wrapped_angles_are_equal_turns_in_range(a):
    wrapped = float(geometry.wrap_angle(a))
    assert -np.pi <= wrapped < np.pi
    assert abs(np.exp(1j * wrapped) - np.exp(1j * a)) < 1e-9


@given(angle, st.floats(-1.5, 1.5), angle, angle)
def test_quaternions_agree_with_scipy(roll, pitch, yaw, other):
    ours = geometry.quaternion_from_rpy(roll, pitch, yaw)
    theirs = Rotation.from_euler("xyz", [roll, pitch, yaw])
    np.testing.assert_allclose(geometry.rotation_matrix(ours), theirs.as_matrix(), atol=1e-9)
    product = geometry.quaternion_multiply(ours, geometry.quaternion_from_yaw(other))
    expected = theirs * Rotation.from_euler("z", other)
    np.testing.assert_allclose(geometry.rotation_matrix(product), expected.as_matrix(), atol=1e-9)


def test_a_camera_looks_where_its_mount_points():
    position, rotation = geometry.mounted([1.0, 2.0, np.pi / 2], [0.5, 0.0, 0.3, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(position, [1.0, 2.5, 0.3], atol=1e-12)
    np.testing.assert_allclose(geometry.optical(rotation)[:, 2], [0.0, 1.0, 0.0], atol=1e-12)  # z forward
    np.testing.assert_allclose(geometry.optical(rotation)[:, 1], [0.0, 0.0, -1.0], atol=1e-12)  # y down


def test_streams_depend_on_name_and_index_only():
    def draw(*path):
        return generator(0, *path).random(4).tolist()

    assert draw(3, "light") == draw(3, "light")
    streams = [draw(3, "light"), draw(3, "people"), draw(4, "light"), draw("3", "light"), draw(0), draw()]
    assert len({tuple(s) for s in streams}) == len(streams)
    assert generator(1, 3, "light").random() != generator(0, 3, "light").random()
