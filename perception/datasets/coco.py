"""COCO instance annotations, with what a simulator knows besides: visibility, truncation, distance and 3D boxes.

Records beyond the COCO standard. Images carry ``episode``, ``robot``, ``number``, ``time_s``, the camera
(``intrinsics`` fx, fy, cx, cy [pixels], ``position`` [m] and ``rotation`` row by row of ``camera_optical`` in ``map``,
``near_m``) and ``min_pixels``, below which an object got no label; a lens that distorts adds ``lens`` (coefficients as
OpenCV has them, see ``CameraConfig``), and a rolling shutter ``readout_time_s`` from the first row to the last. All
boxes and masks are those of the picture as it is, distorted; but 3D boxes, their projections and amodal silhouettes are
those of the moment of the pose, and rows that a rolling shutter reads at another may show things beside them.
Annotations carry ``track_id`` (the instance id: the same object in all pictures of an episode), ``visib_fract``,
``truncated``, ``distance_m``, ``amodal_bbox`` (x, y, width, height of the whole silhouette, cut at the picture's
edges), ``amodal_extent`` (x1, y1, x2, y2 of it, not cut there), ``occluded`` (as in KITTI) and the upright 3D box:
``center_camera`` [m], ``size_lwh`` [m], ``rotation_y`` [rad] (see ``labels.ObjectLabel``), ``cuboid``. Where an object
leans, ``oriented_box`` is its tight box: ``center`` [m], ``size`` [m] and ``axes``, the columns of which are the
directions of the sizes in ``camera_optical``, row by row.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...common.classes import CLASS_NAMES, STUFF_CLASSES
from ...common.errors import InputError
from ..labels import LabelledFrame, ObjectLabel
from ..projection import LENS, PINHOLE, camera_view
from .kitti import occlusion_level

IMAGE_LINE = "image "
ANNOTATION_LINE = "annotation "
PANOPTIC_LINE = "panoptic "

LENS_KEYS = ("lens", "horizontal_fov", "k1", "k2", "k3", "k4", "p1", "p2")
"""Settings of ``CameraConfig`` that a picture through a distorting lens is told with."""

_LIVING = frozenset({"person"})
_VEHICLES = frozenset({"forklift", "amr", "pallet_truck"})
_LOADS = frozenset({"pallet", "small_load_carrier", "stillage", "box", "crate"})


def categories() -> list[dict[str, Any]]:
    """Return COCO's categories: all classes in the fixed order of ``floorcast.common.classes``."""
    return [
        {"id": number, "name": name, "supercategory": _supercategory(name)}
        for number, name in enumerate(CLASS_NAMES, start=1)
    ]


def frame_lines(labelled: LabelledFrame) -> str:
    """Return the records of a picture as lines of JSON without ids: the image first, then its annotations.

    Image lines begin with ``IMAGE_LINE``, annotation lines with ``ANNOTATION_LINE``.
    """
    lines = [IMAGE_LINE + json_text(_image_record(labelled))]
    lines += [ANNOTATION_LINE + json_text(_annotation_record(label)) for label in labelled.labels]
    return "\n".join(lines) + "\n"


def instances_chunks(
    shards: Iterable[Callable[[], Iterable[str]]], info: Mapping[str, Any], license_name: str | None
) -> Iterator[str]:
    """Yield the text of ``instances.json`` piece by piece, so that no more than one line has to be in memory.

    Args:
        shards: for each shard a function that reads its lines (see ``frame_lines``) anew. Each is called twice. Ids are
            counted in this order from 1.
        info: COCO's ``info``; nothing is added, so that equal input gives equal bytes.
        license_name: name of the pictures' licence, or None to leave it open.
    """
    shards = list(shards)
    yield from header_chunks(categories(), info, license_name)
    yield from image_chunks(shards, license_name)
    yield '\n],\n"annotations": ['
    image_id = annotation_id = 0
    for line in (line for shard in shards for line in shard()):
        if line.startswith(IMAGE_LINE):
            image_id += 1
        elif line.startswith(ANNOTATION_LINE):
            annotation_id += 1
            record = line[len(ANNOTATION_LINE) + 1 :].rstrip("\n")
            yield ("," if annotation_id > 1 else "") + f'\n{{"id":{annotation_id},"image_id":{image_id},{record}'
    yield "\n]\n}\n"


def header_chunks(
    kinds: Iterable[Mapping[str, Any]], info: Mapping[str, Any], license_name: str | None
) -> Iterator[str]:
    """Yield what stands before the pictures of an annotation file: info, licences and categories."""
    licenses = [] if license_name is None else [{"id": 1, "name": license_name, "url": ""}]
    yield '{\n"info": ' + json_text(dict(info)) + ',\n"licenses": ' + json_text(licenses) + ',\n"categories": [\n'
    yield ",\n".join(json_text(kind) for kind in kinds)


def image_chunks(shards: Iterable[Callable[[], Iterable[str]]], license_name: str | None) -> Iterator[str]:
    """Yield the records of the pictures in the lines of shards; ids count from 1."""
    licensed = "" if license_name is None else '"license":1,'
    yield '\n],\n"images": ['
    images = (line for shard in shards for line in shard() if line.startswith(IMAGE_LINE))
    for image_id, line in enumerate(images, start=1):
        # The records are JSON objects already; ids go in front of their first key.
        record = line[len(IMAGE_LINE) + 1 :].rstrip("\n")
        yield ("," if image_id > 1 else "") + f'\n{{"id":{image_id},{licensed}{record}'


def load_coco(path: str | Path) -> Any:
    """Load an annotation file with ``pycocotools.coco.COCO``, quietly.

    Raises:
        InputError: missing, cut short, not JSON or not a COCO instance file.
    """
    from pycocotools.coco import COCO  # loads matplotlib

    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise InputError(
            "no such file", where=str(path), mend="check the path, or generate the dataset again"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read: {error}", where=str(path)) from error
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"not valid JSON: {error.msg}",
            where=f"{path}, line {error.lineno}",
            mend="the file may be cut short: run the same command again to write it anew",
        ) from error
    _require_shape(data, path)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = data
        coco.createIndex()
    return coco


def json_text(value: Any) -> str:
    """Return JSON in one line, keys sorted, so that equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)


def _image_record(labelled: LabelledFrame) -> dict[str, Any]:
    """Return the record of a picture, without its id."""
    frame = labelled.frame
    config = frame.config
    extra: dict[str, Any] = {}
    if camera_view(config)[LENS] != PINHOLE:
        extra["lens"] = {key: getattr(config, key) for key in LENS_KEYS}
    if config.readout_time > 0:
        extra["readout_time_s"] = config.readout_time
    return {
        "file_name": f"{labelled.stem}.png",
        "width": config.width,
        "height": config.height,
        "episode": labelled.episode,
        "robot": labelled.robot,
        "number": labelled.number,
        "time_s": round(float(labelled.time), 6),
        "intrinsics": [*(round(config.focal, 9), round(config.focal, 9)), *config.center],
        "near_m": config.near,
        "position": _rounded(frame.position, 6),
        "rotation": _rounded(frame.rotation.ravel(), 9),
        "min_pixels": labelled.min_pixels,
        **extra,
    }


def _annotation_record(label: ObjectLabel) -> dict[str, Any]:
    """Return the record of an object, without its own and its picture's id."""
    oriented = {}
    if label.tilted:
        oriented["oriented_box"] = {
            "center": _rounded(label.oriented_center, 5),
            "size": _rounded(label.oriented_size, 5),
            "axes": _rounded(label.oriented_axes.ravel(), 9),
        }
    return {
        "category_id": label.class_id,
        "bbox": list(label.box),
        "area": label.area,
        "segmentation": {"size": list(label.image_shape), "counts": label.rle.decode("ascii")},
        "iscrowd": 0,
        "track_id": label.instance_id,
        # Rounding must not turn a glimpse of a huge thing into 0, which would mean that it does not show.
        "visib_fract": max(round(label.visib_fract, 6), 1e-6),
        "truncated": round(label.truncation, 6),
        "occluded": occlusion_level(label.visib_fract),
        "distance_m": round(label.distance_m, 4),
        "amodal_bbox": list(label.amodal_box),
        "amodal_extent": _rounded(label.extent, 2),
        "center_camera": _rounded(label.center_camera, 5),
        "size_lwh": _rounded(label.size, 5),
        "rotation_y": round(label.yaw_camera, 6),
        "cuboid": label.cuboid,
        **oriented,
    }


def _require_shape(data: Any, path: Path) -> None:
    required = {
        "images": ("id", "file_name", "width", "height"),
        "annotations": ("id", "image_id", "category_id", "bbox", "area", "segmentation", "iscrowd"),
        "categories": ("id", "name"),
    }
    if not isinstance(data, dict):
        raise InputError("not a COCO file: an object was expected", where=str(path))
    for section, keys in required.items():
        rows = data.get(section)
        if not isinstance(rows, list):
            raise InputError(f"not a COCO file: the list '{section}' is missing", where=str(path))
        for number, row in enumerate(rows):
            missing = [key for key in keys if not isinstance(row, dict) or key not in row]
            if missing:
                raise InputError(f"'{missing[0]}' is missing", where=f"{path}, {section}[{number}]")


def _supercategory(name: str) -> str:
    if name in STUFF_CLASSES:
        return "building"
    for group, members in (("person", _LIVING), ("vehicle", _VEHICLES), ("load", _LOADS)):
        if name in members:
            return group
    return "building" if name in ("column", "dock_door") else "equipment"


def _rounded(values: Iterable[Any], digits: int) -> list[float]:
    numbers = values.ravel().tolist() if isinstance(values, np.ndarray) else values
    # Adding zero turns -0.0 into 0.0.
    return [round(value, digits) + 0.0 for value in numbers]
