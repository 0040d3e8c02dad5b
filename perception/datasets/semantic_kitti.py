"""Point labels in SemanticKITTI's form (Behley et al. 2019): one 32-bit word for each point of a sweep.

The upper 16 bits hold the instance id, the lower 16 the class: ``floorcast.common.classes`` ids, 0 = unlabelled. Words
stand in the order of the points in the velodyne file of the same stem. Stuff (floor, walls) has instance 0; a thing has
the id that the instance images and COCO's ``track_id`` give it, so that it is the same object in all sweeps and
pictures of an episode. All sweeps of a dataset are one sequence, ``00``; stems name episode, robot and number.

``config_text`` is the file that SemanticKITTI's own tools call ``semantic-kitti.yaml``. Trainable ids are the class
ids, all of them.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...common.classes import CLASS_NAMES
from ...common.errors import InputError
from .overlay import class_color

MAX_INSTANCE_ID = 65535
"""Greatest instance id that a label holds."""


def label_bytes(point_class: NDArray[np.integer], point_instance: NDArray[np.integer]) -> bytes:
    """Return a label file: little-endian uint32, ``instance << 16 | class``, of points (N,), (N,).

    Raises:
        InputError: an id does not fit into 16 bits.
        ValueError: the two are not lists of the same length, or an id is negative.
    """
    classes, instances = np.asarray(point_class), np.asarray(point_instance)
    if classes.ndim != 1 or classes.shape != instances.shape:
        raise ValueError(f"classes {classes.shape} and instances {instances.shape} of points must be (N,)")
    if min(int(classes.min(initial=0)), int(instances.min(initial=0))) < 0:
        raise ValueError("class and instance ids of points are not negative")
    greatest = int(instances.max(initial=0))
    if greatest > MAX_INSTANCE_ID or int(classes.max(initial=0)) > 0xFFFF:
        raise InputError(
            f"instance id {greatest} does not fit into a point label (at most {MAX_INSTANCE_ID})",
            where="point labels",
            mend="take pictures of this hall without points (capture.points: false), or of a smaller hall",
        )
    return ((instances.astype(np.uint32) << np.uint32(16)) | classes.astype(np.uint32)).astype("<u4").tobytes()


def read_point_labels(path: str | Path) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Read class and instance ids, (N,) int32 each, of a label file.

    Raises:
        InputError: missing, or not a whole number of 32-bit words.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise InputError("no such file", where=str(path), mend="generate it again") from error
    except OSError as error:
        raise InputError(f"cannot read: {error.strerror or error}", where=str(path)) from error
    if len(data) % 4:
        raise InputError(
            f"not a list of 32-bit labels: {len(data)} bytes",
            where=str(path),
            mend="the file may be cut short: generate it again",
        )
    words = np.frombuffer(data, dtype="<u4")
    return (words & np.uint32(0xFFFF)).astype(np.int32), (words >> np.uint32(16)).astype(np.int32)


def config_text() -> str:
    """Return the class map and the learning map as YAML, with the keys of SemanticKITTI's ``semantic-kitti.yaml``."""
    names = ("unlabeled", *CLASS_NAMES)
    identity = [f"  {i}: {i}" for i in range(len(names))]
    # SemanticKITTI gives colours blue first.
    colors = [[0, 0, 0], *(list(class_color(i)[::-1]) for i in range(1, len(names)))]
    lines = [
        'name: "floorcast"',
        "labels:",
        *(f"  {i}: {json.dumps(name)}" for i, name in enumerate(names)),
        "color_map: # bgr",
        *(f"  {i}: {color}" for i, color in enumerate(colors)),
        "learning_map:",
        *identity,
        "learning_map_inv:",
        *identity,
        "learning_ignore:",
        *(f"  {i}: {'true' if i == 0 else 'false'}" for i in range(len(names))),
        "split:",
        "  train: [0]",
        "  valid: []",
        "  test: []",
    ]
    return "\n".join(lines) + "\n"
