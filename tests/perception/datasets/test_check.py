"""The check finds nothing wrong with a good dataset and names what is wrong with a bad one."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace

import cv2
import numpy as np
import pycocotools.mask
import pytest

from floorcast.common.classes import CLASS_NAMES
from floorcast.common.errors import InputError
from floorcast.perception.datasets import png
from floorcast.perception.datasets.check import check_dataset
from floorcast.perception.datasets.shards import ShardWriter, assemble_dataset, find_shard
from floorcast.perception.labels import LabelledFrame, label_frame

from ..reference_renderer import render
from .small_dataset import POSES, SMALL, labelled, small_world, write_shard

STEM = "000000_00_0001"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("check") / "dataset"
    assemble_dataset(folder, [write_shard(folder, episode) for episode in range(2)], info={}, license=None)
    return folder


@pytest.fixture
def folder(good, tmp_path):
    return shutil.copytree(good, tmp_path / "dataset", symlinks=True)


def rehash(folder):
    """Make the checksums fit again, so that only the contents can give the damage away."""
    path = folder / "checksums.sha256"
    names = [line[66:] for line in path.read_text().splitlines()]
    lines = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    path.write_text("".join(lines))


def edit(folder, change):
    path = folder / "coco/instances.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    rehash(folder)


def test_a_good_dataset(good):
    report = check_dataset(good)
    assert report.problems == ()
    assert report.ok
    report.require_ok()
    assert (report.frames, report.checked_frames, report.episodes) == (4, 4, 2)
    points = [labelled(1, number, points=True) for number in range(2)]
    assert report.points == report.labelled_points == sum(len(frame.points) for frame in points)
    tracks = [[label.instance_id for label in frame.labels] for frame in points]
    held = sum(np.isin(frame.point_instance, ids).sum() for frame, ids in zip(points, tracks, strict=True))
    assert report.points_held_to_boxes == held > 5
    expected = [labelled(episode, number).labels for episode in range(2) for number in range(2)]
    labels = [label for frame in expected for label in frame]
    assert report.annotations == len(labels)
    people = [label for label in labels if label.class_name == "person"]
    assert report.classes["person"].annotations == len(people)
    assert report.classes["person"].pixels == sum(label.area for label in people)
    assert report.classes["person"].objects <= 2
    assert "floor" not in report.classes
    assert sum(report.occlusion.values()) == len(labels)
    assert report.distance_m["min"] == pytest.approx(min(label.distance_m for label in labels), abs=0.001)
    assert report.distance_m["p50"] == pytest.approx(np.median([label.distance_m for label in labels]), abs=0.001)
    assert report.boxes_held_to_masks >= 2
    assert report.worst_box_error_px <= 1.5
    assert json.loads(json.dumps(report.to_dict()))["ok"] is True


def test_ids_beyond_16_bits(tmp_path):
    """Halls with more than 65,535 things: the instance images change form, everything else stays as it is."""
    world = small_world()
    many = replace(world, instance_id=np.where(world.instance_id > 0, world.instance_id + 70_000, 0).astype(np.int32))
    frame = render(many, SMALL, *POSES[0])
    with ShardWriter(tmp_path / "d", 0) as writer:
        writer.add(LabelledFrame(0, 0, 0, 0.0, frame, label_frame(frame, many)))
    assemble_dataset(tmp_path / "d", [find_shard(tmp_path / "d", 0)], info={}, license=None)
    report = check_dataset(tmp_path / "d")
    assert report.problems == ()
    assert report.annotations == len(labelled(0, 0).labels)


def test_sampling_opens_fewer_pictures(folder):
    (folder / f"images/{STEM}.png").write_bytes(b"broken")
    assert check_dataset(folder, sampling=1).ok
    report = check_dataset(folder, sampling=4)
    assert report.checked_frames == 4
    assert not report.ok
    assert check_dataset(folder, sampling=100).checked_frames == 4


def first(data, **wanted):
    return next(row for row in data["annotations"] if all(row[key] == value for key, value in wanted.items()))


def shift_mask(data):
    row = first(data, image_id=1)
    mask = pycocotools.mask.decode(row["segmentation"])
    moved = pycocotools.mask.encode(np.asfortranarray(np.roll(mask, 3, axis=1)))
    row["segmentation"]["counts"] = moved["counts"].decode()
    row["bbox"] = pycocotools.mask.toBbox(moved).tolist()


def overlap(data):
    one, two = [row for row in data["annotations"] if row["image_id"] == 1][:2]
    merged = pycocotools.mask.merge([one["segmentation"], two["segmentation"]])
    one["segmentation"]["counts"] = merged["counts"].decode()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: first(data)["bbox"].__setitem__(2, first(data)["bbox"][2] + 1), "the mask fits"),
        (lambda data: first(data).update(area=5), "area is 5"),
        (shift_mask, "not where the instance image"),
        (overlap, "overlap"),
        (lambda data: data["annotations"].pop(0), "no annotation"),
        (lambda data: first(data).update(category_id=2), "another class"),
        (lambda data: first(data).update(category_id=99), "category 99"),
        (lambda data: first(data).update(image_id=99), "picture 99"),
        (lambda data: first(data).update(visib_fract=1.2), "visib_fract is 1.2"),
        (lambda data: first(data).update(truncated=-0.1), "truncated"),
        (lambda data: first(data).update(iscrowd=1), "iscrowd"),
        (lambda data: first(data).update(distance_m=1.0), "depth says"),
        (lambda data: first(data).update(track_id=8), "twice"),
        (lambda data: first(data).pop("amodal_bbox"), "amodal_bbox"),
        (lambda data: data["annotations"][1].update(id=1), "id stands twice"),
        (lambda data: data["categories"].pop(), "fixed list"),
        (lambda data: data["images"].pop(), "list the pictures"),
        (lambda data: data["images"][0].update(height=60), "160 x 60"),
        (lambda data: data["images"][0].pop("intrinsics"), "intrinsics"),
        (lambda data: data["images"][0]["intrinsics"].__setitem__(0, 300.0), "P2"),
        (lambda data: data.update(images=[], annotations=[]), "no pictures"),
    ],
)
def test_wrong_annotations_are_found(folder, change, words):
    edit(folder, change)
    report = check_dataset(folder)
    assert any(words in problem for problem in report.problems), report.problems
    with pytest.raises(InputError, match="problems"):
        report.require_ok()


@pytest.mark.parametrize("part", ["images", "depth", "instance", "semantic", "panoptic"])
@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "remove", "other size"])
def test_broken_pictures_are_found(folder, part, damage):
    path = folder / part / f"{STEM}.png"
    data = path.read_bytes()
    if damage == "remove":
        path.unlink()
    elif damage == "other size":
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        path.write_bytes(cv2.imencode(".png", image[:-1])[1].tobytes())
    else:
        path.write_bytes({"cut": data[:-30], "flip": data[:99] + b"\xff\xfe" + data[101:], "empty": b""}[damage])
    if damage != "remove":
        rehash(folder)
    report = check_dataset(folder)
    assert any(STEM in problem for problem in report.problems), report.problems


def test_a_changed_pixel_is_found_by_its_checksum(folder):
    path = folder / f"images/{STEM}.png"
    rgb = png.read_rgb(path)
    rgb[0, 0] ^= 1
    path.write_bytes(png.encode_rgb(rgb))
    assert check_dataset(folder).problems == (f"images/{STEM}.png: the checksum does not fit",)


def test_a_changed_id_is_found(folder):
    path = folder / f"instance/{STEM}.png"
    ids = png.read_instance(path)
    ids[np.nonzero(ids)[0][0], np.nonzero(ids)[1][0]] = 0
    path.write_bytes(png.encode_instance(ids))
    rehash(folder)
    assert any("not where the instance image" in problem for problem in check_dataset(folder).problems)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda line: " ".join([*line.split()[:11], "0.5", *line.split()[12:]]), "3D box"),
        (lambda line: "Cow " + line.partition(" ")[2], "Cow"),
        (lambda line: line[:20], "not a KITTI label"),
        (lambda line: "", "objects, COCO"),
        (lambda line: " ".join([*line.split()[:4], "1", *line.split()[5:]]), "2D box"),
    ],
)
def test_wrong_kitti_labels_are_found(folder, change, words):
    path = folder / f"kitti/training/label_2/{STEM}.txt"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([change(lines[0]), *lines[1:]]).strip() + "\n")
    rehash(folder)
    report = check_dataset(folder)
    assert any(words in problem for problem in report.problems), report.problems


def test_wrong_points_are_found(folder):
    path = folder / "kitti/training/velodyne/000001_00_0000.bin"
    path.write_bytes(path.read_bytes()[:-3])
    rehash(folder)
    assert any("float32" in problem for problem in check_dataset(folder).problems)


LABEL_FILE = "semantickitti/sequences/00/labels/000001_00_0000.label"


def relabel(words):
    """One more class than there are."""
    words[:] = words & 0xFFFF0000 | (len(CLASS_NAMES) + 1)
    return words


def swap(words):
    """Things of the same class change their ids."""
    one, two = words >> 16 == 7, words >> 16 == 8
    words[one], words[two] = words[one] & 0xFFFF | 8 << 16, words[two] & 0xFFFF | 7 << 16
    return words


def change_class(words):
    words[words >> 16 == 3] = 3 << 16 | 1
    return words


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda words: words[:-1], "labels for"),
        (relabel, "a class that does not exist"),
        (swap, "points lie outside its 3D box"),
        (change_class, "object 3 is of class 1 here"),
    ],
)
def test_wrong_point_labels_are_found(folder, change, words):
    path = folder / LABEL_FILE
    change(np.fromfile(path, dtype="<u4")).astype("<u4").tofile(path)
    rehash(folder)
    report = check_dataset(folder)
    assert any(words in problem for problem in report.problems), report.problems


def test_a_cut_label_file(folder):
    path = folder / LABEL_FILE
    path.write_bytes(path.read_bytes()[:-3])
    rehash(folder)
    assert any("32-bit labels" in problem for problem in check_dataset(folder).problems)


def test_the_class_map_of_point_labels(folder):
    path = folder / "semantickitti/semantic-kitti.yaml"
    path.write_text(path.read_text().replace('1: "person"', '1: "forklift"'))
    (folder / "semantickitti/sequences/00/velodyne").unlink()
    rehash(folder)
    text = " ".join(check_dataset(folder).problems)
    assert "not the map of our classes" in text
    assert "not a link to the points" in text


def edit_panoptic(folder, change):
    path = folder / "coco/panoptic.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    rehash(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data["annotations"].pop(0), "has no segments"),
        (lambda data: data["annotations"][0]["segments_info"][0].update(area=1), "ids, classes or areas"),
        (lambda data: data["annotations"][0]["segments_info"].pop(), "ids, classes or areas"),
        (lambda data: data["categories"][0].update(isthing=0), "fixed list"),
        (lambda data: data["images"].pop(), "not those of coco/instances.json"),
        (lambda data: data.pop("annotations"), "cannot be read"),
    ],
)
def test_wrong_segments_are_found(folder, change, words):
    edit_panoptic(folder, change)
    report = check_dataset(folder)
    assert any(words in problem for problem in report.problems), report.problems


def test_a_wrong_panoptic_pixel_is_found(folder):
    path = folder / f"panoptic/{STEM}.png"
    ids = png.read_panoptic(path)
    ids[ids > 0xFFFF00] += 1
    path.write_bytes(png.encode_panoptic(ids))
    rehash(folder)
    assert any("panoptic image is not" in problem for problem in check_dataset(folder).problems)


def test_files_too_many_and_too_few(folder):
    (folder / "images/stray.png").write_bytes(b"")
    (folder / "episodes.jsonl").unlink()
    (folder / "kitti/training/image_2").unlink()
    (folder / f"kitti/training/calib/{STEM}.txt").unlink()
    text = " ".join(check_dataset(folder).problems)
    assert "stray.png: not a file of this dataset" in text
    assert "episodes.jsonl: missing" in text
    assert "image_2: is not a link" in text
    assert f"kitti/training/calib/{STEM}.txt: missing" in text


def test_an_unfinished_dataset(folder):
    (folder / "checksums.sha256").unlink()
    assert check_dataset(folder).problems == ("checksums.sha256: missing: the dataset was not finished",)


def test_many_problems_are_counted_not_listed(folder):
    edit(folder, lambda data: data.update(annotations=[{**data["annotations"][0], "iscrowd": 1}] * 500))
    report = check_dataset(folder)
    assert len(report.problems) == 100
    assert report.problem_count >= 500
    with pytest.raises(InputError, match="more"):
        report.require_ok()


def test_no_dataset(tmp_path):
    with pytest.raises(InputError, match="no such folder"):
        check_dataset(tmp_path / "none")
    with pytest.raises(InputError, match="empty"):
        check_dataset(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(InputError, match=r"no coco/instances\.json"):
        check_dataset(tmp_path)


def test_a_cut_annotation_file(folder):
    path = folder / "coco/instances.json"
    path.write_text(path.read_text()[:-100])
    with pytest.raises(InputError, match="JSON"):
        check_dataset(folder)


@pytest.mark.parametrize("readout", [0.0, 0.03])
def test_rows_read_late_may_lie_beside_the_box(tmp_path, readout):
    """Masks whose lower rows slid aside are wrong, but not where a rolling shutter read those rows later."""
    config = SMALL.model_copy(update={"readout_time": readout})
    frame = render(small_world(), config, *POSES[0])
    for image in (frame.instance, frame.semantic, frame.depth):
        image[60:] = np.roll(image[60:], 6, axis=1)
    with ShardWriter(tmp_path, 0) as writer:
        writer.add(LabelledFrame(0, 0, 0, 0.0, frame, label_frame(frame, small_world())))
        manifest = writer.close()
    assemble_dataset(tmp_path, [manifest], info={}, license=None)
    report = check_dataset(tmp_path)
    assert report.ok == (readout > 0), report.problems
    assert all("projected 3D box" in problem or "out of the" in problem for problem in report.problems)


@pytest.mark.parametrize(("noise", "most"), [(0, 4000), (4, 150_000)])
def test_colour_pictures_are_kept_exactly_and_small(tmp_path, noise, most):
    """Flat ones as repeats; noise of 9 equal levels (3.2 bits each) in little more than its entropy of differences."""
    levels = np.random.default_rng(5).integers(-noise, noise + 1, (240, 320, 3)) + 128
    data = png.encode_rgb(levels.astype(np.uint8))
    (tmp_path / "a.png").write_bytes(data)
    assert (png.read_rgb(tmp_path / "a.png") == levels).all()
    assert len(data) < most
    for height in (1, 2, 16, 17):
        (tmp_path / "a.png").write_bytes(png.encode_rgb(levels[:height].astype(np.uint8)))
        assert (png.read_rgb(tmp_path / "a.png") == levels[:height]).all()
