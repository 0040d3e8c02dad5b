import json

import numpy as np
import pytest

from floorcast.cluster.field_closed_loop import run_closed_loop
from floorcast.common.errors import InputError
from floorcast.robots.twin import load_twin


def _write_run(path):
    t = np.arange(0.0, 5.2, 0.1)
    cruise = 0.5
    end = 2.0 / cruise + cruise / 0.5  # two metres
    speed = np.clip(np.minimum(0.5 * t, 0.5 * (end - t)), 0.0, cruise)
    x = np.concatenate([[0.0], np.cumsum(0.05 * (speed[1:] + speed[:-1]))])
    rows = np.column_stack([t, x, 0 * t, 0 * t, speed])
    np.savetxt(path, rows, delimiter=",", header="t,x,y,yaw,vx", comments="", fmt="%.6f")
    return path


@pytest.mark.slow
def test_a_users_run_is_tuned_to_and_its_results_are_written(tmp_path):
    run = run_closed_loop([_write_run(tmp_path / "mine.csv")], out=tmp_path / "out")
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    tuned = next(row for row in summary["metrics"] if row["name"] == "j")
    assert tuned["value"] < 0.05
    assert tuned["ci_low"] is None
    assert summary["evaluations"] <= 50
    assert any("single run" in line for line in run.notes)
    twin = load_twin(tmp_path / "out" / "twin.yaml")
    assert abs(twin.values["max_speed"] - 0.5) < 0.02
    assert twin.provenance.judged_on == []


def test_several_runs_at_once_are_refused(tmp_path):
    paths = [_write_run(tmp_path / "a.csv"), _write_run(tmp_path / "b.csv")]
    with pytest.raises(InputError, match="one run"):
        run_closed_loop(paths, out=tmp_path / "out")
