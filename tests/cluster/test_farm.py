"""The farm on a real local Ray: results, retries after throws, dead and hung workers."""

import os
import time

import pytest

from floorcast.cluster.farm import farm
from floorcast.common.errors import FloorcastError, InputError, OutputError


def by_index(outcomes):
    return {outcome.index: outcome for outcome in outcomes}


def test_all_jobs_come_back_whatever_the_worker_count():
    def square(job):
        return job * job

    jobs = [(index, index) for index in range(7)]
    here = by_index(farm(square, jobs, workers=0))
    there = by_index(farm(square, jobs, workers=2))
    assert {i: o.value for i, o in here.items()} == {i: i * i for i in range(7)}
    assert {i: o.value for i, o in there.items()} == {i: o.value for i, o in here.items()}


@pytest.mark.slow
def test_failures_are_retried_then_recorded_and_the_run_goes_on(tmp_path):
    marks = str(tmp_path)

    def unit(job):
        path = os.path.join(marks, job)
        with open(path, "a") as file:
            file.write("x")
        started = os.path.getsize(path)
        if job == "throws":
            raise RuntimeError("broken on purpose")
        if job == "dies" and started == 1:
            os.kill(os.getpid(), 9)
        if job == "hangs" and started == 1:
            time.sleep(600)
        return f"{job}:{started}"

    jobs = list(enumerate(["fine", "throws", "dies", "hangs"]))
    got = by_index(farm(unit, jobs, workers=2, attempts=2, timeout_s=30))  # Long enough to start on a busy machine.
    assert got[0].value == "fine:1"
    assert got[1].value is None
    assert "broken on purpose" in got[1].traceback
    assert got[1].attempts == 2
    assert got[2].value == "dies:2"
    assert got[2].attempts == 2
    assert got[3].value == "hangs:2"


def test_a_full_disk_in_a_worker_stops_the_run_with_its_own_error():
    def unit(job):
        raise OutputError("the disk is full", where="/somewhere", mend="free some space")

    with pytest.raises(OutputError) as error:
        list(farm(unit, [(0, None), (1, None)], workers=1))
    assert error.value.where == "/somewhere"


@pytest.mark.parametrize("address", ["127.0.0.1:1", "nonsense"])
def test_no_cluster_at_the_address_is_bad_input(address):
    with pytest.raises(InputError, match="Ray cluster"):
        list(farm(str, [(0, 1)], address=address))


@pytest.mark.parametrize("workers", [0, 1])
def test_what_was_raised_on_purpose_is_not_tried_again_and_leaving_is_a_failure(workers):
    def unit(job):
        if job == "refuses":
            raise FloorcastError("the policy answered NaN")
        raise SystemExit(0)

    got = by_index(farm(unit, [(0, "refuses"), (1, "leaves")], workers=workers, attempts=2))
    assert got[0].attempts == 1
    assert "the policy answered NaN" in got[0].traceback
    assert got[1].value is None
    assert got[1].traceback is not None


def test_a_local_run_joins_no_cluster_that_the_environment_names(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    (outcome,) = farm(abs, [(0, -3)], workers=1)
    assert outcome.value == 3
