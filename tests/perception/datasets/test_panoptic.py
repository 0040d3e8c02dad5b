"""The panoptic annotations, decoded as COCO's own panoptic API does."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from floorcast.common.classes import CLASS_IDS, CLASS_NAMES
from floorcast.common.errors import InputError
from floorcast.perception.datasets.panoptic import panoptic_segments
from floorcast.perception.datasets.shards import assemble_dataset

from .small_dataset import labelled, write_shard


def test_segments_partition_the_picture(tmp_path):
    folder = tmp_path / "d"
    shards = [write_shard(folder, episode) for episode in range(2)]
    assemble_dataset(folder, shards, info={"description": "test"}, license="CC0-1.0")
    data = json.loads((folder / "coco/panoptic.json").read_text())
    coco = json.loads((folder / "coco/instances.json").read_text())
    assert data["images"] == coco["images"]
    assert data["info"] == coco["info"]
    assert data["licenses"] == coco["licenses"]
    kinds = {category["id"]: category for category in data["categories"]}
    assert [kinds[i]["name"] for i in range(1, len(CLASS_NAMES) + 1)] == list(CLASS_NAMES)
    assert {kind["name"] for kind in kinds.values() if not kind["isthing"]} == {"floor", "wall"}
    assert len(data["annotations"]) == 4
    for image, row in zip(data["images"], data["annotations"], strict=True):
        assert row["image_id"] == image["id"]
        frame = labelled(image["episode"], image["number"])
        blue, green, red = np.moveaxis(cv2.imread(str(folder / "panoptic" / row["file_name"])).astype(int), 2, 0)
        ids = red + 256 * green + 65536 * blue
        painted = np.zeros_like(ids)
        for segment in row["segments_info"]:
            mask = ids == segment["id"]
            rows, columns = np.nonzero(mask)
            assert segment["area"] == mask.sum() > 0
            x, y = columns.min(), rows.min()
            assert segment["bbox"] == [x, y, columns.max() - x + 1, rows.max() - y + 1]
            assert (frame.frame.semantic[mask] == segment["category_id"]).all()
            assert segment["iscrowd"] == 0
            painted[mask] += 1
            if kinds[segment["category_id"]]["isthing"]:
                assert (frame.frame.instance[mask] == segment["id"]).all()
            else:
                assert (frame.frame.instance[mask] == 0).all()
        assert (painted == (ids > 0)).all()
        things = {a["track_id"] for a in coco["annotations"] if a["image_id"] == image["id"]}
        told = {s["id"] for s in row["segments_info"] if kinds[s["category_id"]]["isthing"]}
        assert told == things
        void = frame.frame.instance[ids == 0]
        assert not np.isin(void, list(things)).any()
        assert (frame.frame.semantic[(ids == 0)][void == 0] == 0).all()


def test_things_without_numbers_are_a_crowd():
    frame = labelled(0, 0)
    instance = np.where(frame.frame.instance == 3, 0, frame.frame.instance)
    loose = replace(
        frame,
        frame=replace(frame.frame, instance=instance),
        labels=[label for label in frame.labels if label.instance_id != 3],
    )
    ids, segments = panoptic_segments(loose)
    (crowd,) = [segment for segment in segments if segment["iscrowd"]]
    assert crowd["category_id"] == CLASS_IDS["cone"]
    assert (frame.frame.instance[ids == crowd["id"]] == 3).all()
    assert crowd["area"] == (frame.frame.instance == 3).sum()


def test_ids_that_are_stuff():
    frame = labelled(0, 0)
    with pytest.raises(InputError, match="16776961"):
        panoptic_segments(replace(frame, labels=[replace(frame.labels[0], instance_id=0xFFFF01)]))
