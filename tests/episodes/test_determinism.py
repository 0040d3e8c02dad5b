"""Bit for bit: a minute of everything, in a world used again, in a fresh one, and in another process."""

import subprocess
import sys
from pathlib import Path

import pytest

from floorcast.episodes.hall import forget_halls
from floorcast.episodes.scenario import load_scenario

from .busy import busy, run_busy

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_minute_of_everything_is_bit_equal_fresh_restored_and_in_another_process():
    forget_halls()
    record, fresh = run_busy(0)
    assert record.duration == 60.0
    touched = {event.other for event in record.events if event.kind == "collision"}
    assert len(touched) >= 3, touched
    assert "person" in touched
    assert len(record.loose_moves) > 50
    happened = {event.other for event in record.events if event.kind == "disturbance"}
    assert happened == {disturbance.kind for disturbance in busy().disturbances}
    assert {"fault", "conveyor"} <= {event.kind for event in record.events}
    # Other episodes and other halls in between; then the same world once more, and one built anew.
    _, other = run_busy(1, 10.0)
    run_busy(0, 4.0, load_scenario("small").model_copy(update={"duration": 4.0}))
    _, restored = run_busy(0)
    assert restored == fresh != other
    code = "import sys; from floorcast.tests.episodes.busy import run_busy; sys.stdout.write(run_busy(0)[1])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT.parent)
    assert done.stdout == fresh


@pytest.mark.slow
def test_one_worker_or_two_write_the_same_records(tmp_path):
    from floorcast.cluster.evaluate import rollout
    from floorcast.cluster.run import Resources
    from floorcast.common.config import save_model

    path = tmp_path / "busy.yaml"
    save_model(busy(8.0), path)
    records = []
    for workers in (0, 1, 2):
        result = rollout(
            str(path), policy="reckless", episodes=(0, 1, 2), seed=3, out=tmp_path / f"{workers}",
            resources=Resources(workers=workers),
        )  # fmt: skip
        files = sorted(result.folder.rglob("*.npz"))
        assert len(files) == 3
        records.append([file.read_bytes() for file in files])
    assert records[0] == records[1] == records[2]
    assert len(set(records[0])) == 3
