"""KITTI object labels, calibration and point clouds (Geiger et al., object detection benchmark development kit).

What to know when reading them:

- A type is our class name in camel case (``Person``, ``PalletTruck``); ``KITTI_ALIASES`` gives KITTI's own words where
  it has one, and classes that KITTI does not know stay as they are.
- The 2D box is amodal: around the whole object as if nothing stood in front, cut at the picture's edges, in whole
  pixels (first and last column and row).
- ``occluded`` is 0 (at least 95 % of what lies in the picture shows), 1 (50 %), 2 (10 %) or 3 (less). KITTI's 3 means
  "unknown", and its evaluation passes such objects over, as it should those that hardly show.
- 3D boxes live in the level camera frame: KITTI's boxes turn about the camera's y axis only, so y must point straight
  down. For a camera mounted level this is the usual camera frame and ``P2`` the usual matrix. A pitched or rolled
  camera's ``P2`` holds the turn into the camera as well, so that ``P2 * X`` still gives pixels.
- KITTI's pictures are rectified, and ``P2`` knows no lens: for a camera whose lens distorts, ``P2`` is its matrix
  without the distortion, boxes are those of the picture as it is, and COCO's image record holds the coefficients.
- ``P0`` to ``P3`` are equal (one camera), ``R0_rect`` and ``Tr_imu_to_velo`` are identity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...common.classes import CLASS_NAMES
from ...common.errors import InputError
from ..config import CameraConfig
from ..labels import ObjectLabel, intrinsic_matrix, level_rotation

KITTI_TYPES: tuple[str, ...] = tuple("".join(word.capitalize() for word in name.split("_")) for name in CLASS_NAMES)
"""Types in the order of the class ids, the first for class 1."""

KITTI_ALIASES: dict[str, str] = {"Person": "Pedestrian", "Forklift": "Truck", "PalletTruck": "Truck"}
"""KITTI's own words for our types, for tools that know only those."""

OCCLUSION_BOUNDS: tuple[float, ...] = (0.95, 0.5, 0.1)
"""Least visible fraction of the levels 0, 1 and 2."""


@dataclass(frozen=True)
class KittiObject:
    """One line of a label file; see the module's docstring. Angles [rad], lengths [m], pixels.

    ``location`` is the centre of the underside in the level camera frame; ``size`` is height, width, length.
    """

    type: str
    truncated: float
    occluded: int
    alpha: float
    box: tuple[float, float, float, float]
    size: tuple[float, float, float]
    location: tuple[float, float, float]
    rotation_y: float

    def corners(self) -> NDArray[np.float64]:
        """Corners (8, 3) [m] of the 3D box in the level camera frame (x right, y down, z forward)."""
        height, width, length = self.size
        signs = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-1.0, 0.0) for z in (-0.5, 0.5)])
        local = signs * [length, height, width]
        cos, sin = np.cos(self.rotation_y), np.sin(self.rotation_y)
        turn = np.array([[cos, 0.0, sin], [0.0, 1.0, 0.0], [-sin, 0.0, cos]])
        return local @ turn.T + self.location


@dataclass(frozen=True)
class KittiCalibration:
    """``projection`` (3, 4): level camera frame to pixels; ``lidar_to_camera`` (3, 4): lidar to level camera frame."""

    projection: NDArray[np.float64]
    lidar_to_camera: NDArray[np.float64]


def occlusion_level(visib_fract: float) -> int:
    """Return KITTI's ``occluded`` 0 to 3 of a visible fraction (see ``OCCLUSION_BOUNDS``)."""
    return sum(visib_fract < bound for bound in OCCLUSION_BOUNDS)


def label_text(labels: Sequence[ObjectLabel], rotation: NDArray[np.float64]) -> str:
    """Return the label file of a picture whose camera has the axes ``rotation`` (3, 3 columns, in ``map``)."""
    to_level = level_rotation(rotation).T @ rotation
    return "".join(_label_line(label, to_level) for label in labels)


def calibration_text(
    config: CameraConfig,
    position: NDArray[np.float64],
    rotation: NDArray[np.float64],
    lidar_position: NDArray[np.float64] | None = None,
    lidar_rotation: NDArray[np.float64] | None = None,
) -> str:
    """Return the calibration file of a picture.

    Args:
        config: of the camera.
        position, rotation: of ``camera_optical`` in ``map``: (3,) [m], (3, 3) columns.
        lidar_position, lidar_rotation: of the frame of the points in ``map``. Without them the lidar is written as
            standing in the camera, x forward, z up.
    """
    level = level_rotation(rotation)
    turn = rotation.T @ level
    turn[np.abs(turn) < 1e-15] = 0.0
    projection = np.concatenate([intrinsic_matrix(config) @ turn, np.zeros((3, 1))], axis=1)
    if lidar_position is None or lidar_rotation is None:
        from_lidar = np.array([[0.0, -1.0, 0.0, 0.0], [0.0, 0.0, -1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
    else:
        offset = level.T @ (np.asarray(lidar_position, dtype=np.float64) - position)
        from_lidar = np.concatenate([level.T @ lidar_rotation, offset[:, None]], axis=1)
    identity = np.eye(3)
    lines = [(f"P{i}", projection) for i in range(4)]
    lines.append(("R0_rect", identity))
    lines.append(("Tr_velo_to_cam", from_lidar))
    lines.append(("Tr_imu_to_velo", np.concatenate([identity, np.zeros((3, 1))], axis=1)))
    return "".join(f"{name}: " + " ".join(f"{value + 0.0:.12e}" for value in m.ravel()) + "\n" for name, m in lines)


def points_bytes(points: NDArray[np.float32]) -> bytes:
    """Return a velodyne file: points (N, 4) x, y, z [m], intensity, little-endian float32."""
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 4:
        raise ValueError(f"points must be (N, 4), not {points.shape}")
    if not np.isfinite(points).all():
        raise ValueError("points must be finite: leave out beams that came back empty")
    return np.ascontiguousarray(points, dtype="<f4").tobytes()


def read_labels(path: str | Path) -> list[KittiObject]:
    """Read a label file.

    Raises:
        InputError: missing, or a line that does not hold a type and 14 finite numbers.
    """
    objects = []
    for number, line in enumerate(_lines(path), start=1):
        fields = line.split()
        try:
            values = [float(value) for value in fields[1:]]
        except ValueError:
            values = []
        if len(fields) != 15 or len(values) != 14 or not np.isfinite(values).all():
            raise InputError(
                "not a KITTI label: a type and 14 numbers are expected",
                where=f"{path}, line {number}",
                mend="the file may be cut short: generate it again",
            )
        objects.append(
            KittiObject(
                type=fields[0],
                truncated=values[0],
                occluded=int(values[1]),
                alpha=values[2],
                box=(values[3], values[4], values[5], values[6]),
                size=(values[7], values[8], values[9]),
                location=(values[10], values[11], values[12]),
                rotation_y=values[13],
            )
        )
    return objects


def read_calibration(path: str | Path) -> KittiCalibration:
    """Read a calibration file; R0_rect is applied to both matrices.

    Raises:
        InputError: missing, or a matrix is not there or has the wrong number of values.
    """
    matrices: dict[str, NDArray[np.float64]] = {}
    for number, line in enumerate(_lines(path), start=1):
        name, _, rest = line.partition(":")
        try:
            matrices[name] = np.array([float(value) for value in rest.split()])
        except ValueError as error:
            raise InputError(f"matrix {name} holds a word", where=f"{path}, line {number}") from error
    for name, count in (("P2", 12), ("R0_rect", 9), ("Tr_velo_to_cam", 12)):
        if name not in matrices or len(matrices[name]) != count:
            raise InputError(f"matrix {name} with {count} values is missing", where=str(path))
    rectify = matrices["R0_rect"].reshape(3, 3)
    projection = matrices["P2"].reshape(3, 4)
    return KittiCalibration(
        projection=np.concatenate([projection[:, :3] @ rectify, projection[:, 3:]], axis=1),
        lidar_to_camera=rectify @ matrices["Tr_velo_to_cam"].reshape(3, 4),
    )


def _label_line(label: ObjectLabel, to_level: NDArray[np.float64]) -> str:
    x, y, width, height = label.amodal_box
    length, breadth, tall = label.size.tolist()
    location = (to_level @ label.center_camera).tolist()
    alpha = (label.yaw_camera - math.atan2(location[0], location[2]) + math.pi) % (2.0 * math.pi) - math.pi
    numbers = [
        *(alpha, x, y, x + width - 1, y + height - 1),
        *(tall, breadth, length),
        *(location[0], location[1] + 0.5 * tall, location[2], label.yaw_camera),
    ]
    # A distance of 1 m turns 0.1 mm into a few hundredths of a pixel; KITTI's own two decimals would cost whole ones.
    text = " ".join(f"{value:.4f}" for value in numbers)
    kind = KITTI_TYPES[label.class_id - 1]
    return f"{kind} {label.truncation:.4f} {occlusion_level(label.visib_fract)} {text}\n"


def _lines(path: str | Path) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise InputError("no such file", where=str(path), mend="generate it again") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read: {error}", where=str(path)) from error
