"""Datasets from the command line: equal bytes at any worker count, through kills of driver and worker."""

import filecmp
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from floorcast.cluster.generate import generate
from floorcast.cluster.run import Resources
from floorcast.common.errors import InputError
from floorcast.perception.datasets.check import check_dataset

FRAMES = 14


def command(out, workers, frames=FRAMES):
    words = ["generate", "small", "--frames", str(frames), "--seed", "7", "--workers", str(workers), "--out", str(out)]
    return [sys.executable, "-m", "floorcast", *words]


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in Path(folder).rglob("*") if path.is_file())


def assert_same(a, b):
    assert files(a) == files(b)
    _, differing, errors = filecmp.cmpfiles(a, b, files(a), shallow=False)
    assert (differing, errors) == ([], [])


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    out = tmp_path_factory.mktemp("reference") / "run"
    result = generate("small", frames=FRAMES, seed=7, out=out, resources=Resources(workers=0))
    assert result.summary["frames"] == FRAMES
    assert not result.failed
    return out


def ledger_lines(out):
    path = out / "ledger.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"ended early: {process.returncode}"
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


@pytest.mark.slow
def test_the_dataset_passes_its_own_check(reference):
    report = check_dataset(reference / "dataset")
    assert report.problems == ()
    assert report.frames == FRAMES


@pytest.mark.slow
def test_two_workers_write_the_same_bytes(reference, tmp_path):
    subprocess.run(command(tmp_path / "run", 2), check=True, capture_output=True)
    assert_same(reference / "dataset", tmp_path / "run" / "dataset")


@pytest.mark.slow
def test_a_killed_driver_started_again_ends_with_the_same_bytes(reference, tmp_path):
    out = tmp_path / "run"
    process = subprocess.Popen(command(out, 2), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: ledger_lines(out) >= 1, process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = ledger_lines(out)
    assert not (out / "summary.json").exists()
    subprocess.run(command(out, 2), check=True, capture_output=True)
    assert_same(reference / "dataset", out / "dataset")
    episodes = [json.loads(line)["episode"] for line in (out / "ledger.jsonl").read_text().splitlines()]
    assert len(episodes) == len(set(episodes)), "an episode that was done was run again"
    assert before < len(episodes)


def workers_of(pid):
    """Process ids of the Ray workers that run a unit, below a driver."""
    table = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
                table[int(folder.name)] = (parent, (folder / "cmdline").read_bytes())
            except (OSError, IndexError):
                continue

    def below(child):
        while child in table:
            if child == pid:
                return True
            child = table[child][0]
        return False

    return [child for child, (_, line) in table.items() if line.startswith(b"ray::_attempt") and below(child)]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds worker processes through /proc")
def test_a_killed_worker_is_replaced_and_the_bytes_are_the_same(reference, tmp_path):
    out = tmp_path / "run"
    process = subprocess.Popen(command(out, 2), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: workers_of(process.pid), process)
    os.kill(workers_of(process.pid)[0], signal.SIGKILL)
    assert process.wait(timeout=240) == 0
    assert_same(reference / "dataset", out / "dataset")
    attempts = [json.loads(line)["attempts"] for line in (out / "ledger.jsonl").read_text().splitlines()]
    assert max(attempts) == 2


def test_no_pictures_is_bad_input(tmp_path):
    with pytest.raises(InputError, match="0 frames"):
        generate("small", frames=0, seed=7, out=tmp_path / "run", resources=Resources(workers=0))
    assert not (tmp_path / "run").exists()


FAILS_ONCE = """
import pathlib

FLAG = pathlib.Path(__file__).with_name("flag")


class Policy:
    def reset(self, info):
        if FLAG.exists():
            FLAG.unlink()
            raise RuntimeError("no luck this time")

    def act(self, observation):
        return 0.0, 0.0
"""


@pytest.mark.slow
def test_an_episode_that_failed_is_made_up_for_by_the_same_command(tmp_path):
    (tmp_path / "policy.py").write_text(FAILS_ONCE)

    def run(out):
        return generate(
            "small", frames=5, seed=1, out=out, resources=Resources(workers=0), policy=f"{tmp_path}/policy.py:Policy"
        )

    whole = run(tmp_path / "whole")
    (tmp_path / "flag").touch()
    first = run(tmp_path / "run")
    assert [entry.episode for entry in first.failed] == [0]
    assert first.summary["frames"] == 1
    again = run(tmp_path / "run")
    assert not again.failed
    assert again.summary["content_hash"] == whole.summary["content_hash"]
    assert_same(tmp_path / "whole" / "dataset", tmp_path / "run" / "dataset")


def test_a_picture_lost_from_a_finished_dataset_is_made_again_even_after_a_kill(tmp_path):
    def run():
        return generate("small", frames=1, seed=1, out=tmp_path / "run", resources=Resources(workers=0))

    first = run()
    picture = tmp_path / "run" / "dataset" / "images" / "000000_00_0000.png"
    picture.unlink()
    # A kill right after the episode was begun anew leaves no manifest.
    (tmp_path / "run" / "shards" / "000000.json").unlink()
    assert run().summary["content_hash"] == first.summary["content_hash"]
    assert picture.exists()
