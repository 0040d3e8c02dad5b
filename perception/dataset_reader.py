"""Reading pictures and their labels back from a dataset folder."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .coco import load_coco
from .dataset import COCO_FILE
from .labels import ObjectLabel
from .png import read_rgb


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

    def labels(self, image: dict[str, Any]) -> list[ObjectLabel]:
        """Return the labels of an image record.

        What the file does not hold (the 3D box projected into the picture) is nan, and the camera
        is taken to be level.
        """
        return [_label(annotation) for annotation in self.annotations.get(image["id"], [])]


def _label(record: dict[str, Any]) -> ObjectLabel:
    yaw = record["rotation_y"]
    cos, sin = np.cos(yaw), np.sin(yaw)
    # Columns: length, width (to the left of the length, seen from above), height (up) in camera_optical (y down).
    axes = np.array([[cos, sin, 0.0], [0.0, 0.0, -1.0], [-sin, cos, 0.0]])
    nan = float("nan")
    return ObjectLabel(
        instance_id=record["track_id"],
        class_id=record["category_id"],
        image_shape=(record["segmentation"]["size"][0], record["segmentation"]["size"][1]),
        rle=record["segmentation"]["counts"].encode("ascii"),
        box=tuple(record["bbox"]),
        area=record["area"],
        amodal_box=tuple(record["amodal_bbox"]),
        visib_fract=record["visib_fract"],
        truncation=record["truncated"],
        distance_m=record["distance_m"],
        center_camera=np.array(record["center_camera"]),
        size=np.array(record["size_lwh"]),
        axes_camera=axes,
        yaw_camera=yaw,
        box3d_image=(nan, nan, nan, nan),
        cuboid=record["cuboid"],
    )
