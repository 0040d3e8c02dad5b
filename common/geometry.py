"""Planar poses (SE(2)) and quaternions. SI units, radians, REP-103 axes; quaternions are xyzw."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def wrap_angle(angle: ArrayLike) -> FloatArray:
    """Wrap angles [rad], any shape, to [-pi, pi)."""
    return (np.asarray(angle, dtype=np.float64) + np.pi) % (2.0 * np.pi) - np.pi


def compose(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Return the pose ``a * b``: poses (..., 3) as x [m], y [m], yaw [rad]; b is given in the frame of a."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    cos, sin = np.cos(a[..., 2]), np.sin(a[..., 2])
    pose = np.empty(np.broadcast_shapes(a.shape, b.shape))
    pose[..., 0] = a[..., 0] + cos * b[..., 0] - sin * b[..., 1]
    pose[..., 1] = a[..., 1] + sin * b[..., 0] + cos * b[..., 1]
    pose[..., 2] = wrap_angle(a[..., 2] + b[..., 2])
    return pose


def relative(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Return the pose of b in the frame of a, ``inverse(a) * b``: poses (..., 3)."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    cos, sin = np.cos(a[..., 2]), np.sin(a[..., 2])
    dx, dy = b[..., 0] - a[..., 0], b[..., 1] - a[..., 1]
    pose = np.empty(np.broadcast_shapes(a.shape, b.shape))
    pose[..., 0] = cos * dx + sin * dy
    pose[..., 1] = -sin * dx + cos * dy
    pose[..., 2] = wrap_angle(b[..., 2] - a[..., 2])
    return pose


def quaternion_from_yaw(yaw: ArrayLike) -> FloatArray:
    """Return quaternions xyzw (..., 4) of rotations about z [rad]."""
    half = 0.5 * np.asarray(yaw, dtype=np.float64)
    quaternion = np.zeros((*half.shape, 4))
    quaternion[..., 2], quaternion[..., 3] = np.sin(half), np.cos(half)
    return quaternion


def quaternion_from_rpy(roll: float, pitch: float, yaw: float) -> FloatArray:
    """Return the quaternion xyzw (4,) of fixed-axis roll, pitch, yaw [rad] (URDF convention)."""
    cr, sr, cp, sp = np.cos(roll / 2), np.sin(roll / 2), np.cos(pitch / 2), np.sin(pitch / 2)
    cy, sy = np.cos(yaw / 2), np.sin(yaw / 2)
    return np.array(
        [
            sr * cp * cy - cr * sp * sy,
            cr * sp * cy + sr * cp * sy,
            cr * cp * sy - sr * sp * cy,
            cr * cp * cy + sr * sp * sy,
        ]
    )


def rotation_matrix(quaternion: ArrayLike) -> FloatArray:
    """Return rotation matrices (..., 3, 3) of unit quaternions xyzw (..., 4)."""
    q = np.asarray(quaternion, dtype=np.float64)
    x, y, z, w = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    matrix = np.empty((*q.shape[:-1], 3, 3))
    matrix[..., 0, 0] = 1 - 2 * (y * y + z * z)
    matrix[..., 0, 1] = 2 * (x * y - z * w)
    matrix[..., 0, 2] = 2 * (x * z + y * w)
    matrix[..., 1, 0] = 2 * (x * y + z * w)
    matrix[..., 1, 1] = 1 - 2 * (x * x + z * z)
    matrix[..., 1, 2] = 2 * (y * z - x * w)
    matrix[..., 2, 0] = 2 * (x * z - y * w)
    matrix[..., 2, 1] = 2 * (y * z + x * w)
    matrix[..., 2, 2] = 1 - 2 * (x * x + y * y)
    return matrix


def quaternion_multiply(a: ArrayLike, b: ArrayLike) -> FloatArray:
    """Return the product of quaternions xyzw (..., 4): the rotation b followed by a."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    ax, ay, az, aw = np.moveaxis(a, -1, 0)
    bx, by, bz, bw = np.moveaxis(b, -1, 0)
    return np.stack(
        [
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
            aw * bw - ax * bx - ay * by - az * bz,
        ],
        axis=-1,
    )


def mounted(base_pose: ArrayLike, offset: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Place a sensor that is fixed to a body standing on the floor.

    Args:
        base_pose: (..., 3) x [m], y [m], yaw [rad] of ``base_link`` in ``map``, on the floor.
        offset: (6,) x, y, z [m] and roll, pitch, yaw [rad] of the sensor in ``base_link``.

    Returns:
        position (..., 3) [m] and rotation (..., 3, 3) of the sensor frame (x forward, y left, z up) in ``map``.
    """
    base_pose, offset = np.asarray(base_pose, dtype=np.float64), np.asarray(offset, dtype=np.float64)
    base = rotation_matrix(quaternion_from_yaw(base_pose[..., 2]))
    position = np.einsum("...ij,j->...i", base, offset[:3])
    position[..., :2] += base_pose[..., :2]
    return position, base @ _leaning(*offset[3:].tolist())


@functools.lru_cache(maxsize=64)
def _leaning(roll: float, pitch: float, yaw: float) -> FloatArray:
    """Return the rotation matrix of fixed-axis roll, pitch, yaw [rad]; not to be changed."""
    matrix = rotation_matrix(quaternion_from_rpy(roll, pitch, yaw))
    matrix.flags.writeable = False
    return matrix


def optical(rotation: ArrayLike) -> FloatArray:
    """Turn sensor rotations (..., 3, 3), x forward, z up, into ``camera_optical`` axes (x right, y down, z forward)."""
    to_optical = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    return np.asarray(rotation, dtype=np.float64) @ to_optical
