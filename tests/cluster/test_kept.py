"""Calibrations go on after a kill: kept tasks, the same bytes, and what is refused or dropped."""

import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from floorcast.cluster import kept as kept_tasks
from floorcast.cluster import tasks
from floorcast.cluster.field import run_calibrate
from floorcast.cluster.kept import KeptTasks
from floorcast.cluster.run_folder import RUN_FILE, TASK_FOLDER, RunFolder
from floorcast.cluster.tasks import evaluating
from floorcast.common.errors import InputError
from floorcast.gap.fieldlog import CREATE_MODEL
from floorcast.gap.made import make_log
from floorcast.gap.store import save_log

DRIVE = CREATE_MODEL.drive.model_copy(
    update={"linear_gain": 0.95, "angular_gain": 0.93, "command_delay": 0.15, "motor_lag": 0.1}
)
done: list[int] = []


def power(shared, task):
    """A task that is noted in ``done``; of an array, so that a result is not a plain value."""
    done.append(int(task[0]))
    return shared**task


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Give a function that starts the run anew, as after a kill, with everything worth keeping."""
    monkeypatch.setattr(tasks, "WORTH_KEEPING_S", 0.0)
    done.clear()

    def start(seed=0):
        folder = RunFolder(tmp_path / "run", "calibrate", {"seed": seed})
        with folder:
            return KeptTasks(folder)

    return start


def work(kept, bases=(2.0, 3.0)):
    with evaluating(0, kept=kept) as evaluate_many:
        return [evaluate_many(power, base, [np.array([n, 0.5]) for n in range(4)]) for base in bases]


def test_what_is_kept_is_taken_over_and_equal(opened):
    first = work(opened())
    assert len(done) == 8
    again = opened()
    np.testing.assert_array_equal(work(again), first)
    assert len(done) == 8
    assert again.taken == 8
    assert again.lines() == ["went on: 8 finished tasks taken over"]
    again.clear()
    work(opened())
    assert len(done) == 16


def test_short_tasks_of_a_call_are_kept_together_and_those_in_between_not_at_all(opened, monkeypatch):
    seconds = {0: 1.0, 1: 0.15, 2: 0.1, 3: 3.0}
    monkeypatch.setattr(tasks, "WORTH_KEEPING_S", 0.2)
    monkeypatch.setattr(tasks, "_here", lambda f, s, t: ((n, f(s, x), seconds[n]) for n, x in enumerate(t)))
    kept = opened()
    work(kept, [2.0])
    assert len(list(kept._folder.iterdir())) == 3  # one each for the two long ones, one for the others
    monkeypatch.setitem(seconds, 2, 0.01)
    kept.clear()
    work(opened(), [2.0])
    assert len(list(kept._folder.iterdir())) == 2
    done.clear()
    np.testing.assert_array_equal(work(opened(), [2.0]), [[2.0 ** np.array([n, 0.5]) for n in range(4)]])
    assert done == [1, 2]


@pytest.mark.parametrize("harm", [lambda data: data[: len(data) // 2], lambda data: data[:-1] + b"x", lambda data: b""])
def test_a_damaged_file_is_dropped_with_a_note_and_its_task_done_again(opened, harm):
    first = work(opened())
    harmed = sorted(opened()._folder.iterdir())[3]
    harmed.write_bytes(harm(harmed.read_bytes()))
    done.clear()
    again = opened()
    np.testing.assert_array_equal(work(again), first)
    assert len(done) == 1
    assert harmed.name in again.lines()[1]
    assert "damaged" in again.lines()[1]
    work(opened())
    assert len(done) == 1, "it was not kept again"


def test_a_file_that_calls_something_is_not_obeyed(opened, tmp_path):
    work(opened(), [2.0])
    held = sorted(opened()._folder.iterdir())[0]

    class Harm:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    data = pickle.dumps(Harm())
    held.write_bytes(kept_tasks.hashlib.sha256(data).digest() + data)
    again = opened()
    work(again, [2.0])
    assert "damaged" in again.lines()[1]
    assert not (tmp_path / "harm").exists()


def test_other_arguments_functions_and_calls_share_nothing(opened):
    kept = opened()
    array = np.arange(3.0)
    given = [(power, [array]), (power, [array]), (work, [array]), (power, [array + 1]), (power, [array.reshape(3, 1)])]
    keys = [kept.keys(function, some)[0] for function, some in given]
    assert len(set(keys)) == len(keys)
    assert opened().keys(*given[0])[0] == keys[0]


def test_what_would_not_fit_is_not_kept_and_said(opened, monkeypatch):
    monkeypatch.setattr(kept_tasks, "MOST_BYTES", 1000)
    kept = opened()
    work(kept)
    assert sum(path.stat().st_size for path in kept._folder.iterdir()) <= 1000
    assert any("no further tasks were kept" in line for line in kept.lines())


def refused(path, written):
    with RunFolder(path, "calibrate", {}) as folder:
        (folder.path / written).mkdir()
        raise InputError("the robot never moves")


def test_bad_input_leaves_no_folder_behind_but_what_was_written(tmp_path):
    with pytest.raises(InputError, match="never moves"):
        refused(tmp_path / "a" / "run", TASK_FOLDER)
    assert not (tmp_path / "a").exists()
    with pytest.raises(InputError, match="never moves"):
        refused(tmp_path / "b", "robots")
    assert (tmp_path / "b" / RUN_FILE).exists()


def command(log, out, workers):
    words = ["calibrate", str(log), "--train", "0,1", "--no-spread", "--seed", "3", "--workers", str(workers)]
    return [sys.executable, "-m", "floorcast", *words, "--out", str(out)]


@pytest.mark.slow
def test_a_killed_calibration_goes_on_and_ends_with_the_same_bytes(tmp_path):
    log = tmp_path / "log"
    for number in range(3):
        robot = f"robot{number}"
        save_log(make_log(DRIVE, seconds=60, seed=number, robot=robot), log / robot)
    run_calibrate([log], train=["0", "1"], test=None, seed=3, out=tmp_path / "whole", spread=False)
    out = tmp_path / "run"
    process = subprocess.Popen(command(log, out, 0), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not (out / TASK_FOLDER).is_dir() or not any(path.suffix == "" for path in (out / TASK_FOLDER).iterdir()):
        assert process.poll() is None, f"ended early: {process.returncode}"
        assert time.monotonic() < end, "nothing was kept"
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "twin.yaml").exists()

    kept = {path.name for path in (out / TASK_FOLDER).iterdir()}
    with pytest.raises(InputError, match="seed is 3 there and 4 here"):
        run_calibrate([log], train=["0", "1"], test=None, seed=4, out=out, spread=False)
    assert {path.name for path in (out / TASK_FOLDER).iterdir()} == kept

    again = subprocess.run(command(log, out, 1), check=True, capture_output=True, text=True)
    assert "finished tasks taken over" in again.stdout + again.stderr
    for name in ("twin.yaml", "summary.json", "report.html", "robots/robot0.yaml"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert not (out / TASK_FOLDER).exists()
