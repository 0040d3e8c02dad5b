"""Shards and their assembly: the same bytes whatever happened on the way; bad input leaves nothing half-written."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from floorcast.common.errors import InputError
from floorcast.perception.datasets import png, shards
from floorcast.perception.datasets.shards import ShardManifest, ShardWriter, assemble_dataset, find_shard, shard_folder

from .small_dataset import labelled, small_frame, tree, write_shard


def assemble(folder, shards, **options):
    return assemble_dataset(folder, shards, **{"info": {"description": "test"}, "license": None, **options})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A dataset that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "dataset"
    shards = [write_shard(folder, episode, metadata={"seed": 7}) for episode in range(3)]
    return folder, assemble(folder, shards), tree(folder)


# Layout and contents


def test_layout(whole):
    folder, summary, files = whole
    for name in ("images/000001_00_0001.png", "depth/000001_00_0001.png", "instance/000001_00_0001.png"):
        assert name in files
    assert files["kitti/training/image_2"] == "../../images"
    assert (folder / "kitti/training/image_2/000000_00_0000.png").is_file()
    # Only episode 1 has points.
    assert files["semantickitti/sequences/00/velodyne"] == "../../../kitti/training/velodyne"
    assert (folder / "semantickitti/sequences/00/velodyne/000001_00_0000.bin").is_file()
    assert [name for name in files if "sequences/00/labels" in name] == [
        "semantickitti/sequences/00/labels/000001_00_0000.label",
        "semantickitti/sequences/00/labels/000001_00_0001.label",
    ]
    assert [name for name in files if "training/velodyne" in name] == [
        "kitti/training/velodyne/000001_00_0000.bin",
        "kitti/training/velodyne/000001_00_0001.bin",
    ]
    assert files["kitti/ImageSets/train.txt"].decode().splitlines() == [
        f"{episode:06d}_00_{number:04d}" for episode in range(3) for number in range(2)
    ]
    episodes = [json.loads(line) for line in files["episodes.jsonl"].decode().splitlines()]
    assert [row["episode"] for row in episodes] == [0, 1, 2]
    assert episodes[2]["metadata"] == {"seed": 7}
    assert episodes[2]["pictures"] == ["000002_00_0000", "000002_00_0001"]
    assert summary.frames == 6
    assert summary.objects == sum(row["objects"] for row in episodes)
    assert summary.bytes == sum(len(data) for data in files.values() if isinstance(data, bytes))


def test_checksums_stand_for_every_byte(whole):
    _, summary, files = whole
    lines = files["checksums.sha256"].decode().splitlines()
    assert {line[66:]: line[:64] for line in lines} == {
        name: hashlib.sha256(data).hexdigest()
        for name, data in files.items()
        if isinstance(data, bytes) and name != "checksums.sha256"
    }
    assert summary.content_hash == hashlib.sha256(files["checksums.sha256"]).hexdigest()


def test_pictures_come_back(whole):
    folder, _, _ = whole
    frame = small_frame(1)
    assert (png.read_rgb(folder / "images/000000_00_0001.png") == frame.rgb).all()
    assert (png.read_instance(folder / "instance/000000_00_0001.png") == frame.instance).all()
    assert (png.read_semantic(folder / "semantic/000000_00_0001.png") == frame.semantic).all()
    depth = png.read_depth(folder / "depth/000000_00_0001.png")
    hit = np.isfinite(frame.depth)
    assert (np.isfinite(depth) == hit).all()
    assert np.abs(depth[hit] - frame.depth[hit]).max() <= 0.000501


def test_no_points_no_folder(tmp_path):
    assemble(tmp_path / "d", [write_shard(tmp_path / "d", 0)])
    assert not (tmp_path / "d/kitti/training/velodyne").exists()
    assert not (tmp_path / "d/semantickitti").exists()


def test_licence_and_info_are_the_users(tmp_path):
    shards = [write_shard(tmp_path / "d", 0)]
    first = assemble(tmp_path / "d", shards, license="CC0-1.0")
    assert json.loads((tmp_path / "d/coco/instances.json").read_text())["licenses"][0]["name"] == "CC0-1.0"
    assert assemble(tmp_path / "d", shards).content_hash != first.content_hash


# The same bytes, whatever happened


def test_order_of_work_does_not_show(whole, tmp_path):
    folder = tmp_path / "dataset"
    shards = [write_shard(folder, episode, reverse=True, metadata={"seed": 7}) for episode in (2, 0, 1)]
    summary = assemble(folder, [shards[1].path, shards[0], str(shards[2].path)])
    assert tree(folder) == whole[2]
    assert summary == whole[1]


def test_again_is_the_same(whole):
    folder, summary, files = whole
    shards = [find_shard(folder, episode) for episode in range(3)]
    assert assemble(folder, shards) == summary
    assert tree(folder) == files


def test_a_shard_without_manifest_is_done_again(whole, tmp_path):
    """Killed in the middle of a shard: half its pictures, a torn temporary file, no manifest."""
    folder = tmp_path / "dataset"
    write_shard(folder, 0, metadata={"seed": 7})
    ShardWriter(folder, 1).add(labelled(1, 1, points=True))
    (folder / "images/.000001_00_0000.png.abc.part").write_bytes(b"half")
    (folder / "images/000001_00_0000.png").write_bytes(b"torn")
    (folder / "coco").mkdir()
    (folder / "coco/.instances.json.abc.part").write_bytes(b"half")
    assert find_shard(folder, 1) is None
    assert find_shard(folder, 0) is not None
    shards = [write_shard(folder, episode, metadata={"seed": 7}) for episode in (1, 2)]
    assemble(folder, [find_shard(folder, 0), *shards])
    assert tree(folder) == whole[2]


class Killed(BaseException):
    """Stands for a kill: nothing of the process runs any more, so every later step fails as well."""


def session(folder):
    shards = [find_shard(folder, episode) or write_shard(folder, episode, pictures=1) for episode in range(2)]
    assemble(folder, shards)


@pytest.mark.parametrize("start", [pytest.param("empty", marks=pytest.mark.slow), "finished", "picture lost"])
def test_killed_before_any_step_the_next_session_mends_it(tmp_path, monkeypatch, start):
    expected = tmp_path / "expected"
    session(expected)
    steps = 0
    while True:
        folder = tmp_path / f"{start}{steps}" / "dataset"
        if start != "empty":
            session(folder)
        if start == "picture lost":
            (folder / "images/000001_00_0000.png").unlink()
        left = [steps]

        def counted(original, left=left):
            def step(*args, **options):
                left[0] -= 1
                if left[0] < 0:
                    raise Killed
                return original(*args, **options)

            return step

        with monkeypatch.context() as patch:
            for name in ("replace", "unlink", "symlink", "rmdir", "mkdir", "chmod"):
                patch.setattr(os, name, counted(getattr(os, name)))
            with contextlib.suppress(Killed):
                session(folder)
        if (folder / "checksums.sha256").exists() and start != "picture lost":
            assert tree(folder) == tree(expected)
        session(folder)
        assert tree(folder) == tree(expected)
        if left[0] >= 0:
            break
        steps += 1
    assert steps > 5


def test_killed_for_real(whole, tmp_path):
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from floorcast.perception.datasets.shards import ShardWriter\n"
        "from floorcast.tests.perception.datasets.small_dataset import labelled, write_shard\n"
        "folder = Path(sys.argv[1])\n"
        "write_shard(folder, 0, metadata={'seed': 7})\n"
        "writer = ShardWriter(folder, 1, metadata={'seed': 7})\n"
        "print('ready', flush=True)\n"
        "for number in range(10000):\n"
        "    writer.add(labelled(1, number, points=True))\n"
    )
    folder = tmp_path / "dataset"
    process = subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    while not list((folder / "images").glob("000001_*")):
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    done = [find_shard(folder, episode) for episode in range(3)]
    assert [shard is not None for shard in done] == [True, False, False]
    shards = [done[0]] + [write_shard(folder, episode, metadata={"seed": 7}) for episode in (1, 2)]
    assemble(folder, shards)
    assert tree(folder) == whole[2]


def test_a_failed_episode_leaves_nothing(tmp_path, whole):
    folder = tmp_path / "dataset"

    def broken_episode():
        with ShardWriter(folder, 5) as writer:
            writer.add(labelled(5, 0))
            raise RuntimeError("episode broke")

    with pytest.raises(RuntimeError, match="episode broke"):
        broken_episode()
    assert tree(folder) == {}
    assert tree(shard_folder(folder)) == {}


def test_a_second_attempt_that_fails_does_not_harm_the_first(tmp_path):
    folder = tmp_path / "dataset"
    second = ShardWriter(folder, 0)
    second.add(labelled(0, 0))
    shard = write_shard(folder, 0)
    second.discard()
    assert find_shard(folder, 0) == shard


def test_stale_pictures_of_failed_episodes_are_swept(whole, tmp_path):
    folder = tmp_path / "dataset"
    ShardWriter(folder, 9).add(labelled(9, 0))
    assemble(folder, [write_shard(folder, episode, metadata={"seed": 7}) for episode in range(3)])
    assert tree(folder) == whole[2]


@pytest.mark.parametrize("damage", ["remove", "cut", "manifest", "annotations"])
def test_a_damaged_shard_is_not_done(tmp_path, damage):
    folder = tmp_path / "dataset"
    shard = write_shard(folder, 0)
    picture = folder / "depth/000000_00_0001.png"
    if damage == "remove":
        picture.unlink()
    elif damage == "cut":
        picture.write_bytes(picture.read_bytes()[:-1])
    elif damage == "manifest":
        shard.path.write_text(shard.path.read_text()[:-40])
    else:
        shard.annotation_path.unlink()
    assert find_shard(folder, 0) is None
    with pytest.raises(InputError, match=r"incomplete|manifest|read"):
        assemble(folder, [shard])
    assert not (folder / "coco/instances.json").exists()


def test_damaged_annotations_are_refused(tmp_path):
    shard = write_shard(tmp_path / "d", 0)
    shard.annotation_path.write_text(shard.annotation_path.read_text().replace('"iscrowd":0', '"iscrowd":1', 1))
    with pytest.raises(InputError, match="damaged"):
        assemble(tmp_path / "d", [shard])


# Bad input


def test_a_full_disk(tmp_path, monkeypatch):
    folder = tmp_path / "dataset"
    writer = ShardWriter(folder, 0)
    writer.add(labelled(0, 0))
    before = tree(folder)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(InputError, match="No space left") as caught:
            writer.add(labelled(0, 1))
        assert "free some space" in caught.value.mend
        assert tree(folder) == before
        with pytest.raises(InputError, match="No space left"):
            writer.close()
    assert find_shard(folder, 0) is None
    shard = writer.close()
    assert shard.frames == 1
    finished = tree(folder)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(InputError, match="No space left"):
            assemble(folder, [shard])
    assert {name: data for name, data in tree(folder).items() if name != "kitti/training/image_2"} == finished


def test_a_folder_with_another_run(tmp_path):
    folder = tmp_path / "dataset"
    first = write_shard(folder, 0, run="abc")
    with pytest.raises(InputError, match="another run"):
        find_shard(folder, 0, run="def")
    with pytest.raises(InputError, match="another run"):
        ShardWriter(folder, 0, run="def")
    with pytest.raises(InputError, match="another run"):
        assemble(folder, [first, write_shard(folder, 1, run="def")])


def test_a_folder_with_a_finished_dataset(tmp_path):
    folder = tmp_path / "dataset"
    assemble(folder, [write_shard(folder, episode) for episode in range(2)])
    before = tree(folder)
    with pytest.raises(InputError, match="finished dataset"):
        ShardWriter(folder, 7)
    with pytest.raises(InputError, match="another dataset"):
        assemble(folder, [find_shard(folder, 0)])
    assert tree(folder) == before


def test_files_that_are_not_ours_stay(tmp_path):
    folder = tmp_path / "dataset"
    shard = write_shard(folder, 0)
    (folder / "images/holiday.png").write_bytes(b"mine")
    ShardWriter(folder, 3).add(labelled(3, 0))
    with pytest.raises(InputError, match="in the way") as caught:
        assemble(folder, [shard])
    assert "holiday" in caught.value.where
    assert (folder / "images/holiday.png").read_bytes() == b"mine"
    assert (folder / "images/000003_00_0000.png").exists()


@pytest.mark.parametrize("shards", ["none", "empty"])
def test_nothing_to_assemble(tmp_path, shards):
    manifests = [] if shards == "none" else [write_shard(tmp_path / "d", 0, pictures=0)]
    with pytest.raises(InputError, match="no pictures"):
        assemble(tmp_path / "d", manifests)


def test_an_episode_twice(tmp_path):
    shard = write_shard(tmp_path / "d", 0)
    with pytest.raises(InputError, match="twice"):
        assemble(tmp_path / "d", [shard, shard.path])


def test_a_file_where_the_folder_should_be(tmp_path):
    (tmp_path / "d").write_text("")
    with pytest.raises(InputError, match="cannot write"):
        ShardWriter(tmp_path / "d", 0)


def test_pictures_that_do_not_belong(tmp_path):
    writer = ShardWriter(tmp_path / "d", 0)
    writer.add(labelled(0, 0))
    with pytest.raises(ValueError, match="before"):
        writer.add(labelled(0, 0))
    with pytest.raises(ValueError, match="episode 1"):
        writer.add(labelled(1, 0))
    with pytest.raises(InputError, match="no file name"):
        writer.add(labelled(0, 1_000_000))
    with pytest.raises(ValueError, match="lidar_position"):
        writer.add(replace(labelled(0, 1), points=np.zeros((1, 4), dtype=np.float32)))
    with pytest.raises(InputError, match="999999"):
        ShardWriter(tmp_path / "d", 1_000_000)


def test_many_pictures_sort_by_number(tmp_path):
    folder = tmp_path / "d"
    writer = ShardWriter(folder, 0)
    for number in (10_000, 9_999, 3):
        writer.add(labelled(0, number))
    assemble(folder, [writer.close()])
    train = (folder / "kitti/ImageSets/train.txt").read_text().split()
    assert train == ["000000_00_0003", "000000_00_9999", "000000_00_10000"]


def test_manifests_of_another_version(tmp_path):
    path = tmp_path / "000000.json"
    for text in ("", "{", "[]", '{"format": 2}'):
        path.write_text(text)
        with pytest.raises(InputError, match="manifest"):
            ShardManifest.load(path)


# PNG files


@given(hnp.arrays(np.int32, (4, 5), elements=st.integers(0, png.MAX_INSTANCE_ID)))
@settings(max_examples=50, deadline=None)
def test_ids_of_any_size_come_back(tmp_path_factory, ids):
    path = tmp_path_factory.getbasetemp() / "ids.png"
    path.write_bytes(png.encode_instance(ids))
    assert (png.read_instance(path) == ids).all()


def test_ids_that_do_not_fit():
    with pytest.raises(InputError, match="16777216"):
        png.encode_instance(np.full((2, 2), png.MAX_INSTANCE_ID + 1, dtype=np.int32))


def test_depth_at_the_ends_of_its_range(tmp_path):
    depth = np.array([[0.0004, 0.0006, 65.535, 65.5357, np.inf, np.nan, 1.2345]], dtype=np.float32)
    (tmp_path / "d.png").write_bytes(png.encode_depth(depth))
    back = png.read_depth(tmp_path / "d.png")
    assert back[0] == pytest.approx([np.inf, 0.001, 65.535, np.inf, np.inf, np.inf, 1.235], abs=0.0006)


def test_every_cut_of_a_png_is_found(tmp_path):
    data = png.encode_rgb(small_frame(0).rgb[:8, :8])
    for length in range(len(data)):
        with pytest.raises(InputError, match=r"cut short|empty|not a PNG"):
            png.decode_png(data[:length], "x")
    with pytest.raises(InputError, match="damaged"):
        png.decode_png(data[:60] + bytes([data[60] ^ 1]) + data[61:], "x")
    with pytest.raises(InputError, match="no such file"):
        png.read_rgb(tmp_path / "none.png")


def test_kinds_of_images_are_not_mixed_up(tmp_path):
    path = tmp_path / "i.png"
    path.write_bytes(png.encode_semantic(np.ones((3, 3), dtype=np.uint8)))
    for read in (png.read_rgb, png.read_depth, png.read_instance):
        with pytest.raises(InputError):
            read(path)
    path.write_bytes(png.encode_rgb(np.ones((3, 3, 3), dtype=np.uint8)))
    with pytest.raises(InputError):
        png.read_semantic(path)


def test_frame_folders_are_all_written(whole):
    assert {name.rpartition("/")[0] for name in whole[2]} >= set(shards.FRAME_FOLDERS)
