"""The COCO file as pycocotools reads it."""

from __future__ import annotations

import json

import numpy as np
import pycocotools.mask
import pytest

from floorcast.common.classes import CLASS_NAMES
from floorcast.common.errors import InputError
from floorcast.perception.datasets.coco import categories, frame_lines, instances_chunks, load_coco
from floorcast.perception.datasets.shards import assemble_dataset

from .small_dataset import labelled, small_frame, write_shard


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coco") / "dataset"
    shards = [write_shard(folder, episode) for episode in range(2)]
    assemble_dataset(folder, shards, info={"description": "test"}, license="CC-BY-4.0")
    return folder


def write(path, lines, **options):
    options = {"info": {}, "license_name": None, **options}
    path.write_text("".join(instances_chunks([lambda: iter(lines)], **options)))
    return path


def test_masks_are_disjoint_and_boxes_fit_exactly(folder):
    coco = load_coco(folder / "coco/instances.json")
    assert len(coco.imgs) == 4
    for number, image_id in enumerate(coco.getImgIds()):
        frame = small_frame((number // 2 + number % 2) % 3)
        painted = np.zeros(frame.instance.shape, dtype=np.int32)
        for annotation in coco.loadAnns(coco.getAnnIds(image_id)):
            mask = coco.annToMask(annotation).astype(bool)
            assert not painted[mask].any()
            painted[mask] = annotation["track_id"]
            assert annotation["area"] == mask.sum()
            rows, columns = np.nonzero(mask)
            x, y = columns.min(), rows.min()
            assert annotation["bbox"] == [x, y, columns.max() - x + 1, rows.max() - y + 1]
            assert annotation["bbox"] == pycocotools.mask.toBbox(annotation["segmentation"]).tolist()
            assert annotation["iscrowd"] == 0
            assert CLASS_NAMES[annotation["category_id"] - 1] == coco.cats[annotation["category_id"]]["name"]
            assert (frame.semantic[mask] == annotation["category_id"]).all()
        small = painted != frame.instance
        assert np.bincount(frame.instance[small], minlength=2)[1:].max() < 16


def test_records(folder):
    data = json.loads((folder / "coco/instances.json").read_text())
    assert data["categories"] == categories()
    assert [category["id"] for category in data["categories"]] == list(range(1, len(CLASS_NAMES) + 1))
    assert data["info"] == {"description": "test"}
    assert data["licenses"] == [{"id": 1, "name": "CC-BY-4.0", "url": ""}]
    assert [image["license"] for image in data["images"]] == [1] * 4
    assert [image["file_name"] for image in data["images"]] == [
        "000000_00_0000.png",
        "000000_00_0001.png",
        "000001_00_0000.png",
        "000001_00_0001.png",
    ]
    assert [image["id"] for image in data["images"]] == [1, 2, 3, 4]
    assert [row["id"] for row in data["annotations"]] == list(range(1, len(data["annotations"]) + 1))
    wanted = {"visib_fract", "truncated", "track_id", "distance_m", "amodal_bbox", "center_camera", "size_lwh"}
    assert all(wanted <= set(row) for row in data["annotations"])


def test_no_licence_unless_given(tmp_path):
    path = write(tmp_path / "c.json", frame_lines(labelled(0, 0)).splitlines(keepends=True))
    data = json.loads(path.read_text())
    assert data["licenses"] == []
    assert "license" not in data["images"][0]


def test_pictures_without_objects(tmp_path):
    empty = frame_lines(labelled(0, 0)).splitlines(keepends=True)[:1]
    coco = load_coco(write(tmp_path / "c.json", empty * 2))
    assert len(coco.imgs) == 2
    assert coco.anns == {}


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_cut_file(folder, tmp_path, share):
    text = (folder / "coco/instances.json").read_text()
    path = tmp_path / "cut.json"
    path.write_text(text[: int(share * len(text))])
    with pytest.raises(InputError, match="JSON") as caught:
        load_coco(path)
    assert str(path) in caught.value.where
    assert "line" in caught.value.where


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[]", "object"),
        ("{}", "images"),
        ('{"images": [], "annotations": []}', "categories"),
        ('{"images": [{"id": 1}], "annotations": [], "categories": []}', "file_name"),
        ('{"images": [], "annotations": [3], "categories": []}', "'id'"),
    ],
)
def test_json_that_is_not_coco(tmp_path, content, words):
    path = tmp_path / "c.json"
    path.write_text(content)
    with pytest.raises(InputError, match=words):
        load_coco(path)


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_coco(tmp_path / "none.json")
