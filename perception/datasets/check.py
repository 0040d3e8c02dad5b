"""Holds a dataset on disk against what it promises, from the files alone.

Masks, areas and boxes are judged by pycocotools; ids by the instance images; classes by the semantic images; distances
by the depth images; 3D boxes by projecting KITTI's label files through KITTI's calibration files onto the masks;
panoptic images by the instance and semantic ones; lidar points by the 3D boxes of what their labels name; every file by
its checksum.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pycocotools.mask
from numpy.typing import NDArray

from ...common.errors import InputError
from ..labels import intrinsic_matrix, nearest_distance, project_boxes
from ..masks import instance_runs, run_length_codes
from . import kitti, png
from .coco import categories, load_coco
from .panoptic import STUFF_BASE, panoptic_categories
from .reader import camera_config
from .semantic_kitti import config_text, read_point_labels
from .shards import (
    CHECKSUM_FILE,
    COCO_FILE,
    EPISODES_FILE,
    FRAME_FOLDERS,
    IMAGE_LINK,
    PANOPTIC_FILE,
    POINT_CONFIG_FILE,
    POINT_FOLDER,
    POINT_LABEL_FOLDER,
    POINT_LINK,
    TRAIN_FILE,
)

BOX_TOLERANCE_PX = 2.0
"""How far a projected 3D box may lie from the mask of an object that nothing hides or cuts off."""

MIN_FITTED_PX = 4
"""Thinner masks are not held to fit tightly: the tip of a sliver falls between pixel centres."""

DISTANCE_TOLERANCE_M = 0.005
"""Depth is stored in whole millimetres; the corner of a wide picture sees that enlarged."""

POINT_TOLERANCE_M = 0.2
"""How far a point may lie outside the 3D box of its object: noise, and the way a lidar drives while it turns."""

STRAY_SHARE = 0.2
"""Share of an object's points, and two of them besides, that may be farther off: returns mixed at its edges."""

MAX_PROBLEMS = 100
"""Problems that are told in words; the rest are counted."""


@dataclass(frozen=True)
class ClassStatistics:
    """Of one class: annotations, different objects (by episode and track), and visible pixels."""

    annotations: int
    objects: int
    pixels: int


@dataclass(frozen=True)
class CheckReport:
    """What ``check_dataset`` found.

    Attributes:
        folder: of the dataset, as it was given.
        frames, annotations: in the annotation file.
        checked_frames: pictures that were opened.
        episodes: number of episodes.
        problems: what is wrong, in words, at most ``MAX_PROBLEMS``; problem_count: all of them.
        classes: by class name, only those that occur.
        occlusion: annotations by KITTI's level, "0" (shows at least 95 %) to "3" (less than 10 %).
        truncated: annotations that the picture's edge cuts by more than 1 %.
        distance_m: least, 5 %, 50 %, 95 % quantile and greatest distance [m].
        boxes_held_to_masks: unhidden, uncut cuboids of ``MIN_FITTED_PX`` and more whose 3D box was held to fit the mask
            tightly; none in pictures with a rolling shutter, whose rows are of other moments than the box.
        worst_box_error_px: greatest distance of those boxes from the mask [pixels]; 0 if there were none.
        points: lidar points in the pictures that were opened; labelled_points: those that have labels.
        points_held_to_boxes: points that were held to lie in the 3D box of the object that their label names.
    """

    folder: str
    frames: int
    annotations: int
    checked_frames: int
    episodes: int
    problems: tuple[str, ...]
    problem_count: int
    classes: dict[str, ClassStatistics] = field(default_factory=dict)
    occlusion: dict[str, int] = field(default_factory=dict)
    truncated: int = 0
    distance_m: dict[str, float] = field(default_factory=dict)
    boxes_held_to_masks: int = 0
    worst_box_error_px: float = 0.0
    points: int = 0
    labelled_points: int = 0
    points_held_to_boxes: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.problem_count == 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "ok": self.ok}

    def require_ok(self) -> None:
        """Raise an InputError that lists the first problems, if there are any."""
        if self.ok:
            return
        shown = [f"  - {problem}" for problem in self.problems[:12]]
        if self.problem_count > len(shown):
            shown.append(f"  - ... and {self.problem_count - len(shown)} more")
        raise InputError(
            f"the dataset has {self.problem_count} problems:\n" + "\n".join(shown),
            where=self.folder,
            mend="remove the folder and run the command that made it again",
        )


def check_dataset(folder: str | Path, *, sampling: int | None = None) -> CheckReport:
    """Check a dataset.

    Args:
        folder: of the dataset.
        sampling: open only so many pictures, spread evenly over the set; None opens all. The annotation file is always
            checked whole, and every file must be there.

    Returns:
        The report; anything wrong with the contents is a problem in it.

    Raises:
        InputError: there is no dataset (no folder, an empty one, none or a broken annotation file).
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError("no such folder", where=str(folder), mend="give the path of a dataset folder")
    if not (folder / COCO_FILE).exists():
        empty = "the folder is empty" if not any(folder.iterdir()) else f"the folder has no {COCO_FILE}"
        raise InputError(empty, where=str(folder), mend="give the dataset folder of a finished run")
    coco = load_coco(folder / COCO_FILE)
    return _Checker(folder, coco).report(sampling)


class _Checker:
    """Collects problems and counts while it walks through one dataset."""

    def __init__(self, folder: Path, coco: Any) -> None:
        self.folder = folder
        self.images: list[dict[str, Any]] = coco.dataset["images"]
        self.annotations: list[dict[str, Any]] = coco.dataset["annotations"]
        self.categories: list[dict[str, Any]] = coco.dataset["categories"]
        self.of_image: Mapping[int, list[dict[str, Any]]] = coco.imgToAnns
        self.problems: list[str] = []
        self.problem_count = 0
        self.held = 0
        self.worst = 0.0
        self.points = self.labelled_points = self.held_points = 0
        self.panoptic: dict[str, dict[str, Any]] = {}
        self.class_of: dict[tuple[int, int], int] = {}

    def problem(self, where: str, what: str) -> None:
        self.problem_count += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(f"{where}: {what}")

    def report(self, sampling: int | None) -> CheckReport:
        usable = self._check_records()
        checksums = self._checksums()
        self._check_lists()
        if usable:
            self._check_classes()
            self._check_panoptic_file()
        chosen = self.images if usable else []
        if sampling is not None and sampling < len(chosen):
            index = np.linspace(0, len(chosen) - 1, max(sampling, 0)).round().astype(int)
            chosen = [chosen[i] for i in index]
        for image in chosen:
            self._check_image(image, checksums)
        return CheckReport(
            folder=str(self.folder),
            frames=len(self.images),
            annotations=len(self.annotations),
            checked_frames=len(chosen),
            episodes=len({image.get("episode") for image in self.images}),
            problems=tuple(self.problems),
            problem_count=self.problem_count,
            boxes_held_to_masks=self.held,
            worst_box_error_px=round(self.worst, 3),
            points=self.points,
            labelled_points=self.labelled_points,
            points_held_to_boxes=self.held_points,
            **(self._statistics() if usable else {}),
        )

    # The annotation file by itself

    def _check_records(self) -> bool:
        """Check the annotation file; return whether it makes enough sense to go on."""
        before = self.problem_count
        if not self.images:
            self.problem(COCO_FILE, "no pictures")
        if self.categories != categories():
            self.problem(COCO_FILE, "categories are not the fixed list of classes")
        for name, rows in (("images", self.images), ("annotations", self.annotations)):
            if len({row["id"] for row in rows}) != len(rows):
                self.problem(COCO_FILE, f"an id stands twice in {name}")
        image_ids = {image["id"] for image in self.images}
        category_ids = {category["id"] for category in self.categories}
        for image in self.images:
            for key in ("episode", "robot", "number", "intrinsics", "near_m", "min_pixels"):
                if key not in image:
                    self.problem(COCO_FILE, f"image {image['id']} has no {key}")
        for annotation in self.annotations:
            where = f"{COCO_FILE}, annotation {annotation['id']}"
            if annotation["image_id"] not in image_ids:
                self.problem(where, f"picture {annotation['image_id']} does not exist")
            if annotation["category_id"] not in category_ids:
                self.problem(where, f"category {annotation['category_id']} does not exist")
            self._check_values(annotation, where)
        return self.problem_count == before

    def _check_values(self, annotation: Mapping[str, Any], where: str) -> None:
        if annotation["iscrowd"] != 0:
            self.problem(where, "iscrowd is not 0")
        ranges = {
            "visib_fract": (1e-9, 1.0),
            "truncated": (0.0, 1.0),
            "distance_m": (0.0, 1e6),
            "rotation_y": (-math.pi - 1e-5, math.pi + 1e-5),
            "occluded": (0, 3),
            "track_id": (1, png.MAX_INSTANCE_ID),
        }
        for key, (low, high) in ranges.items():
            value = annotation.get(key)
            if not isinstance(value, int | float) or not low <= value <= high:
                self.problem(where, f"{key} is {value}, outside {low} to {high}")
        for key, count in (("bbox", 4), ("amodal_bbox", 4), ("center_camera", 3), ("size_lwh", 3)):
            values = annotation.get(key)
            if not isinstance(values, list) or len(values) != count:
                self.problem(where, f"{key} must be {count} numbers")

    # Lists of files

    def _checksums(self) -> dict[str, str]:
        """Return SHA-256 by file name; every file that stands there must exist, and every file must stand there."""
        path = self.folder / CHECKSUM_FILE
        if not path.exists():
            self.problem(CHECKSUM_FILE, "missing: the dataset was not finished")
            return {}
        rows = [line.partition("  ") for line in path.read_text(encoding="utf-8", errors="replace").splitlines()]
        checksums = {name: digest for digest, _, name in rows}
        present = {
            file.relative_to(self.folder).as_posix()
            for part in sorted({*FRAME_FOLDERS, "coco", "kitti/ImageSets", "semantickitti"})
            if (self.folder / part).is_dir()
            for file in (self.folder / part).iterdir()
            if file.name != "sequences"
        }
        for name in sorted(checksums.keys() - present):
            if not (self.folder / name).exists():
                self.problem(name, "missing")
        for name in sorted(present - checksums.keys()):
            self.problem(name, "not a file of this dataset")
        for name in (COCO_FILE, PANOPTIC_FILE, EPISODES_FILE, TRAIN_FILE, POINT_CONFIG_FILE):
            self._check_sum(name, checksums)
        if (self.folder / POINT_LABEL_FOLDER).is_dir():
            if (self.folder / POINT_LINK).resolve() != (self.folder / POINT_FOLDER).resolve():
                self.problem(POINT_LINK, "is not a link to the points")
            if not (self.folder / POINT_CONFIG_FILE).is_file():
                self.problem(POINT_CONFIG_FILE, "missing")
            elif (self.folder / POINT_CONFIG_FILE).read_text(encoding="utf-8", errors="replace") != config_text():
                self.problem(POINT_CONFIG_FILE, "is not the map of our classes")
        if (self.folder / IMAGE_LINK).resolve() != (self.folder / "images").resolve():
            self.problem(IMAGE_LINK, "is not a link to the pictures")
        return checksums

    def _check_sum(self, name: str, checksums: Mapping[str, str]) -> None:
        path = self.folder / name
        if not path.exists():
            return
        if checksums.get(name) != hashlib.sha256(path.read_bytes()).hexdigest():
            self.problem(name, "the checksum does not fit")

    def _check_lists(self) -> None:
        stems = [Path(image["file_name"]).stem for image in self.images]
        try:
            train = (self.folder / TRAIN_FILE).read_text(encoding="utf-8").splitlines()
            if train != stems:
                self.problem(TRAIN_FILE, "does not list the pictures of the annotation file")
            lines = (self.folder / EPISODES_FILE).read_text(encoding="utf-8").splitlines()
            if [stem for line in lines for stem in json.loads(line)["pictures"]] != stems:
                self.problem(EPISODES_FILE, "does not list the pictures of the annotation file")
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.problem("lists of pictures", f"cannot be read: {error}")

    def _check_classes(self) -> None:
        """Each object must have one class in all pictures of its episode."""
        episode = {image["id"]: image["episode"] for image in self.images}
        for annotation in self.annotations:
            key = (episode[annotation["image_id"]], annotation["track_id"])
            if self.class_of.setdefault(key, annotation["category_id"]) != annotation["category_id"]:
                self.problem(f"{COCO_FILE}, annotation {annotation['id']}", "the object has another class elsewhere")

    def _check_panoptic_file(self) -> None:
        try:
            data = json.loads((self.folder / PANOPTIC_FILE).read_text(encoding="utf-8"))
            if data["categories"] != panoptic_categories():
                self.problem(PANOPTIC_FILE, "categories are not the fixed list of classes")
            if data["images"] != self.images:
                self.problem(PANOPTIC_FILE, f"its pictures are not those of {COCO_FILE}")
            self.panoptic = {row["file_name"]: row for row in data["annotations"]}
            if len(self.panoptic) != len(data["annotations"]):
                self.problem(PANOPTIC_FILE, "a picture stands twice")
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.problem(PANOPTIC_FILE, f"cannot be read: {error}")

    # One picture

    def _check_image(self, image: Mapping[str, Any], checksums: Mapping[str, str]) -> None:
        stem = Path(image["file_name"]).stem
        for subfolder, suffix in FRAME_FOLDERS.items():
            name = f"{subfolder}/{stem}{suffix}"
            if (self.folder / name).exists() and checksums:
                self._check_sum(name, checksums)
        annotations = self.of_image.get(image["id"], [])
        try:
            self._check_masks(stem, image, annotations)
            self._check_kitti(stem, image, annotations)
        except InputError as error:
            self.problem(Path(error.where or stem).name, error.what)

    def _check_masks(self, stem: str, image: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]]) -> None:
        shape = (image["height"], image["width"])
        rgb = png.read_rgb(self.folder / f"images/{stem}.png")
        depth = png.read_depth(self.folder / f"depth/{stem}.png")
        instance = png.read_instance(self.folder / f"instance/{stem}.png")
        semantic = png.read_semantic(self.folder / f"semantic/{stem}.png")
        if not rgb.shape[:2] == depth.shape == instance.shape == semantic.shape == shape:
            self.problem(stem, f"the images do not all have {shape[1]} x {shape[0]} pixels")
            return
        codes = [annotation["segmentation"] for annotation in annotations]
        if any(not isinstance(code, dict) or tuple(code.get("size", ())) != shape for code in codes):
            self.problem(stem, "a mask does not have the picture's size")
            return
        self._check_disjoint(stem, annotations, codes)
        self._check_ids(stem, image, annotations, instance, depth)
        self._check_semantic(stem, annotations, instance, semantic)
        self._check_panoptic(stem, image, annotations, instance, semantic)

    def _check_disjoint(self, stem: str, annotations: Sequence[Mapping[str, Any]], codes: list[dict[str, Any]]) -> None:
        """Let pycocotools judge areas and boxes, and that the masks' union is as large as they are together."""
        if not codes:
            return
        areas = np.atleast_1d(pycocotools.mask.area(codes)).astype(np.int64)
        boxes = pycocotools.mask.toBbox(codes).reshape(-1, 4)
        for annotation, area, box in zip(annotations, areas.tolist(), boxes.tolist(), strict=True):
            where = f"{stem}, annotation {annotation['id']}"
            if annotation["area"] != area:
                self.problem(where, f"area is {annotation['area']}, the mask has {area} pixels")
            if list(annotation["bbox"]) != box:
                self.problem(where, f"bbox is {annotation['bbox']}, the mask fits {box}")
            if not _within(annotation["bbox"], annotation["amodal_bbox"]):
                self.problem(where, "bbox is not within amodal_bbox")
        union = int(pycocotools.mask.area(pycocotools.mask.merge(codes, intersect=False)))
        if union != int(areas.sum()):
            self.problem(stem, f"masks overlap in {int(areas.sum()) - union} pixels")

    def _check_ids(
        self,
        stem: str,
        image: Mapping[str, Any],
        annotations: Sequence[Mapping[str, Any]],
        instance: NDArray[np.int32],
        depth: NDArray[np.float32],
    ) -> None:
        """Each mask must be what the instance image says, each distance what the depth image says."""
        runs = instance_runs(instance)
        codes = dict(zip(runs.instance_id.tolist(), run_length_codes(runs), strict=True))
        distance = nearest_distance(depth, instance, runs.instance_id, camera_config(image))
        nearest = dict(zip(runs.instance_id.tolist(), distance.tolist(), strict=True))
        tracks = [annotation["track_id"] for annotation in annotations]
        if len(set(tracks)) != len(tracks):
            self.problem(stem, "a track_id stands twice")
        for annotation in annotations:
            where = f"{stem}, annotation {annotation['id']}"
            track = annotation["track_id"]
            if codes.get(track) != annotation["segmentation"]["counts"].encode():
                self.problem(where, f"the mask is not where the instance image holds {track}")
            elif (
                math.isfinite(nearest[track]) and abs(nearest[track] - annotation["distance_m"]) > DISTANCE_TOLERANCE_M
            ):
                self.problem(where, f"distance_m is {annotation['distance_m']}, depth says {nearest[track]:.3f}")
        large = runs.instance_id[runs.area >= image["min_pixels"]].tolist()
        for track in sorted(set(large) - set(tracks)):
            self.problem(stem, f"instance {track} shows but has no annotation")

    def _check_semantic(
        self,
        stem: str,
        annotations: Sequence[Mapping[str, Any]],
        instance: NDArray[np.int32],
        semantic: NDArray[np.uint8],
    ) -> None:
        if int(semantic.max(initial=0)) > len(self.categories):
            self.problem(stem, "the semantic image holds a class that does not exist")
        expected = np.zeros(int(instance.max(initial=0)) + 1, dtype=np.uint8)
        for annotation in annotations:
            if annotation["track_id"] < len(expected):
                expected[annotation["track_id"]] = annotation["category_id"]
        wanted = expected[instance]
        wrong = int(np.count_nonzero((wanted != 0) & (wanted != semantic)))
        if wrong:
            self.problem(stem, f"{wrong} pixels have another class in the semantic image than in their annotation")

    def _check_panoptic(
        self,
        stem: str,
        image: Mapping[str, Any],
        annotations: Sequence[Mapping[str, Any]],
        instance: NDArray[np.int32],
        semantic: NDArray[np.uint8],
    ) -> None:
        """Segments must be the annotated instances, and one for each class of what has none; they must not overlap."""
        row = self.panoptic.get(f"{stem}.png")
        if row is None or row.get("image_id") != image["id"]:
            self.problem(f"{PANOPTIC_FILE}, {stem}", "the picture has no segments")
            return
        segment = png.read_panoptic(self.folder / f"panoptic/{stem}.png")
        tracks = [annotation["track_id"] for annotation in annotations]
        expected = np.where(np.isin(instance, tracks), instance, 0)
        stuff = (instance == 0) & (semantic > 0)
        expected[stuff] = STUFF_BASE + semantic[stuff].astype(np.int32)
        if segment.shape != expected.shape or (segment != expected).any():
            self.problem(stem, "the panoptic image is not what the instance and semantic images say")
            return
        ids, first, count = np.unique(segment, return_index=True, return_counts=True)
        found = {(int(i), int(semantic.flat[at]), int(n)) for i, at, n in zip(ids, first, count, strict=True) if i != 0}
        told = {(item["id"], item["category_id"], item["area"]) for item in row["segments_info"]}
        if found != told or len(told) != len(row["segments_info"]):
            self.problem(f"{PANOPTIC_FILE}, {stem}", "ids, classes or areas of segments are not those of the image")

    def _check_kitti(self, stem: str, image: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]]) -> None:
        objects = kitti.read_labels(self.folder / f"kitti/training/label_2/{stem}.txt")
        calibration = kitti.read_calibration(self.folder / f"kitti/training/calib/{stem}.txt")
        points = self._points(stem)
        if len(objects) != len(annotations):
            self.problem(stem, f"KITTI has {len(objects)} objects, COCO {len(annotations)}")
            return
        config = camera_config(image)
        to_camera = np.linalg.inv(intrinsic_matrix(config)) @ calibration.projection[:, :3]
        if np.abs(to_camera @ to_camera.T - np.eye(3)).max() > 1e-6:
            self.problem(stem, "P2 is not the camera of the annotation file")
            return
        self._check_point_labels(stem, image, annotations, objects, calibration, points)
        if not objects:
            return
        corners = np.stack([item.corners() for item in objects]) @ to_camera.T
        projected = project_boxes(corners, config)
        still = not image.get("readout_time_s")
        for item, annotation, box in zip(objects, annotations, projected, strict=True):
            where = f"{stem}, annotation {annotation['id']}"
            self._check_kitti_object(where, item, annotation)
            # Rows that a rolling shutter read at another moment show things beside their boxes.
            if still:
                self._check_projected(where, annotation, box)

    def _check_kitti_object(self, where: str, item: kitti.KittiObject, annotation: Mapping[str, Any]) -> None:
        if item.type != kitti.KITTI_TYPES[annotation["category_id"] - 1]:
            self.problem(where, f"KITTI calls it {item.type}")
        x, y, width, height = annotation["amodal_bbox"]
        if item.box != (x, y, x + width - 1, y + height - 1):
            self.problem(where, "KITTI's 2D box is not amodal_bbox")

    def _check_projected(self, where: str, annotation: Mapping[str, Any], projected: NDArray[np.float64]) -> None:
        """Hold the projected 3D box (4,) to the mask."""
        x, y, width, height = annotation["bbox"]
        # How far the mask reaches out of the projected box on each side [pixels]; negative is within.
        beyond = np.array(
            [projected[0] - x, projected[1] - y, x + width - 1 - projected[2], y + height - 1 - projected[3]]
        )
        if not (beyond <= BOX_TOLERANCE_PX).all():
            self.problem(where, f"the mask reaches {beyond.max():.1f} pixels out of the projected 3D box")
        whole = annotation["visib_fract"] == 1.0 and annotation["truncated"] == 0.0
        if annotation.get("cuboid") and whole and min(width, height) >= MIN_FITTED_PX:
            error = float(np.abs(beyond).max())
            self.held += 1
            self.worst = max(self.worst, error)
            if not error <= BOX_TOLERANCE_PX:
                self.problem(where, f"the projected 3D box is {error:.1f} pixels off the mask")

    def _points(self, stem: str) -> NDArray[np.float32]:
        """Return the points (N, 4) of a picture, none if they are not usable."""
        path = self.folder / f"{POINT_FOLDER}/{stem}.bin"
        data = path.read_bytes() if path.exists() else b""
        points = np.frombuffer(data[: len(data) // 16 * 16], dtype="<f4").reshape(-1, 4)
        self.points += len(points)
        if len(data) % 16 or not np.isfinite(points).all():
            self.problem(path.name, "not a list of x y z intensity as float32")
            return np.zeros((0, 4), np.float32)
        return points

    def _check_point_labels(
        self,
        stem: str,
        image: Mapping[str, Any],
        annotations: Sequence[Mapping[str, Any]],
        objects: Sequence[kitti.KittiObject],
        calibration: kitti.KittiCalibration,
        points: NDArray[np.float32],
    ) -> None:
        """Labels must be known, of one class for each object, and points must lie in the box of what they name."""
        path = self.folder / f"{POINT_LABEL_FOLDER}/{stem}.label"
        if not path.exists():
            return
        classes, instances = read_point_labels(path)
        self.labelled_points += len(classes)
        if len(classes) != len(points):
            self.problem(path.name, f"{len(classes)} labels for {len(points)} points")
            return
        if int(classes.max(initial=0)) > len(self.categories):
            self.problem(path.name, "a class that does not exist")
        for key in np.unique(np.stack([instances, classes]), axis=1).T.tolist():
            track, kind = key
            if track > 0 and self.class_of.setdefault((image["episode"], track), kind) != kind:
                self.problem(path.name, f"object {track} is of class {kind} here and of another elsewhere")
        in_level = np.column_stack([points[:, :3], np.ones(len(points))]) @ calibration.lidar_to_camera.T
        for item, annotation in zip(objects, annotations, strict=True):
            mine = instances == annotation["track_id"]
            self.held_points += int(mine.sum())
            stray = int(np.count_nonzero(_beyond_box(in_level[mine], item) > POINT_TOLERANCE_M))
            if stray > 2 + STRAY_SHARE * mine.sum():
                where = f"{path.name}, object {annotation['track_id']}"
                self.problem(where, f"{stray} of its {mine.sum()} points lie outside its 3D box")

    # Counts

    def _statistics(self) -> dict[str, Any]:
        episode = {image["id"]: image["episode"] for image in self.images}
        names = {category["id"]: category["name"] for category in self.categories}
        by_class: dict[str, list[dict[str, Any]]] = {}
        for annotation in self.annotations:
            by_class.setdefault(names[annotation["category_id"]], []).append(annotation)
        classes = {
            name: ClassStatistics(
                annotations=len(by_class[name]),
                objects=len({(episode[row["image_id"]], row["track_id"]) for row in by_class[name]}),
                pixels=sum(row["area"] for row in by_class[name]),
            )
            for name in names.values()
            if name in by_class
        }
        distances = np.array([annotation["distance_m"] for annotation in self.annotations])
        quantiles = {"min": 0.0, "p05": 0.05, "p50": 0.5, "p95": 0.95, "max": 1.0}
        return {
            "classes": classes,
            "occlusion": {str(i): sum(row["occluded"] == i for row in self.annotations) for i in range(4)},
            "truncated": sum(row["truncated"] > 0.01 for row in self.annotations),
            "distance_m": {
                name: round(float(np.quantile(distances, q)), 3) for name, q in quantiles.items() if len(distances)
            },
        }


def _beyond_box(points: NDArray[np.float64], item: kitti.KittiObject) -> NDArray[np.float64]:
    """Return how far (N,) [m] points (N, 3) in the level camera frame lie outside an object's 3D box."""
    height, width, length = item.size
    cos, sin = np.cos(item.rotation_y), np.sin(item.rotation_y)
    away = points - item.location
    local = np.stack(
        [cos * away[:, 0] - sin * away[:, 2], away[:, 1] + 0.5 * height, sin * away[:, 0] + cos * away[:, 2]], axis=1
    )
    return np.linalg.norm(np.maximum(np.abs(local) - 0.5 * np.array([length, height, width]), 0.0), axis=1)


def _within(inner: Sequence[float], outer: Sequence[float]) -> bool:
    return (
        inner[0] >= outer[0]
        and inner[1] >= outer[1]
        and inner[0] + inner[2] <= outer[0] + outer[2]
        and inner[1] + inner[3] <= outer[1] + outer[3]
    )
