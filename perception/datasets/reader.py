"""Reading pictures and their labels back from a dataset folder."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import CameraConfig
from ..labels import ObjectLabel, box_corners, level_rotation, project_boxes
from .coco import load_coco
from .png import read_rgb
from .semantic_kitti import read_point_labels
from .shards import COCO_FILE, POINT_FOLDER, POINT_LABEL_FOLDER


@dataclass(frozen=True)
class DatasetReader:
    """The pictures of a dataset, in order.

    Attributes:
        folder: of the dataset.
        images: COCO image records.
        annotations: COCO annotation records by image id.
        categories: class name by category id.
    """

    folder: Path
    images: list[dict[str, Any]]
    annotations: dict[int, list[dict[str, Any]]]
    categories: dict[int, str]

    @staticmethod
    def open(folder: str | Path) -> DatasetReader:
        """Open a dataset folder.

        Raises:
            InputError: the annotations are missing, cut short or no COCO instances.
        """
        folder = Path(folder)
        content = load_coco(folder / COCO_FILE).dataset
        annotations: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for annotation in content["annotations"]:
            annotations[annotation["image_id"]].append(annotation)
        names = {category["id"]: category["name"] for category in content["categories"]}
        return DatasetReader(folder, content["images"], dict(annotations), names)

    def picture(self, image: dict[str, Any]) -> NDArray[np.uint8]:
        """Return the picture of an image record, (H, W, 3) uint8 RGB, its checksum verified.

        Raises:
            InputError: the file is missing or damaged.
        """
        return read_rgb(self.folder / "images" / image["file_name"])

    def points(self, image: dict[str, Any]) -> NDArray[np.float32] | None:
        """Return the lidar points of an image record, (N, 4) float32 x, y, z [m], intensity; None if it has none."""
        path = self.folder / POINT_FOLDER / Path(image["file_name"]).with_suffix(".bin")
        return np.fromfile(path, dtype="<f4").reshape(-1, 4) if path.exists() else None

    def point_labels(self, image: dict[str, Any]) -> tuple[NDArray[np.int32], NDArray[np.int32]] | None:
        """Return class and instance ids, (N,) int32 each, of those points; None if they have no labels.

        Raises:
            InputError: the file is damaged.
        """
        path = self.folder / POINT_LABEL_FOLDER / Path(image["file_name"]).with_suffix(".label")
        return read_point_labels(path) if path.exists() else None

    def labels(self, image: dict[str, Any]) -> list[ObjectLabel]:
        """Return the labels of an image record; 3D boxes as exact as the file's decimals."""
        rotation = np.array(image["rotation"]).reshape(3, 3)
        from_level = rotation.T @ level_rotation(rotation)
        config = camera_config(image)
        return [_label(annotation, from_level, config) for annotation in self.annotations.get(image["id"], [])]


def camera_config(image: Mapping[str, Any]) -> CameraConfig:
    """Return the camera of an image record; only what projection needs, and a far plane just behind the near one."""
    width, height, (focal, _, center_u, center_v) = image["width"], image["height"], image["intrinsics"]
    lens = image.get("lens", {"horizontal_fov": 2.0 * math.atan(0.5 * width / focal)})
    return CameraConfig(
        width=width,
        height=height,
        near=image["near_m"],
        far=image["near_m"] + 1,
        center_offset=(center_u - 0.5 * (width - 1), center_v - 0.5 * (height - 1)),
        **lens,
    )


def _label(record: dict[str, Any], from_level: NDArray[np.float64], config: CameraConfig) -> ObjectLabel:
    yaw = record["rotation_y"]
    cos, sin = np.cos(yaw), np.sin(yaw)
    # Columns: length, width (to the left of the length, seen from above), height (up) in the level frame (y down).
    axes = from_level @ np.array([[cos, sin, 0.0], [0.0, 0.0, -1.0], [-sin, cos, 0.0]])
    center, size = np.array(record["center_camera"]), np.array(record["size_lwh"])
    x1, y1, x2, y2 = project_boxes(box_corners(center, size, axes)[None], config)[0].tolist()
    oriented = record.get("oriented_box")
    return ObjectLabel(
        instance_id=record["track_id"],
        class_id=record["category_id"],
        image_shape=(record["segmentation"]["size"][0], record["segmentation"]["size"][1]),
        rle=record["segmentation"]["counts"].encode("ascii"),
        box=tuple(record["bbox"]),
        area=record["area"],
        amodal_box=tuple(record["amodal_bbox"]),
        extent=tuple(record["amodal_extent"]),
        visib_fract=record["visib_fract"],
        truncation=record["truncated"],
        distance_m=record["distance_m"],
        center_camera=center,
        size=size,
        axes_camera=axes,
        yaw_camera=yaw,
        box3d_image=(x1, y1, x2, y2),
        cuboid=record["cuboid"],
        tilted=oriented is not None,
        oriented_center=center if oriented is None else np.array(oriented["center"]),
        oriented_size=size if oriented is None else np.array(oriented["size"]),
        oriented_axes=axes if oriented is None else np.array(oriented["axes"]).reshape(3, 3),
    )
