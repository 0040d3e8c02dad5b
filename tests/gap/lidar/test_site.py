"""A hall from a log on the command line."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from floorcast.cli import app
from floorcast.gap.store import save_log
from floorcast.layouts.model import Layout
from floorcast.layouts.validation import check_layout

from .hall import LENGTH, WIDTH, hall, rounds, run_of


@pytest.mark.slow
def test_a_log_becomes_a_hall_to_drive_in(tmp_path):
    run = run_of(hall(), rounds(2, step=0.3), noise=0.01, pose_noise=(0.02, 0.004))
    save_log(run.log, tmp_path / "log")
    result = CliRunner().invoke(
        app, ["gap", "map", str(tmp_path / "log"), "--out", str(tmp_path / "hall.yaml"), "--json"]
    )
    assert result.exit_code == 0, result.output
    summary = json.loads(result.stdout)
    assert float(summary["coverage"].rstrip("%")) > 97
    assert float(summary["residual of the other half"].split()[0]) == pytest.approx(10.0, abs=2.0)
    layout = Layout.load(tmp_path / "hall.yaml")
    assert check_layout(layout) == []
    ends = [point for wall in layout.walls for point in (wall.start, wall.end)]
    for axis, size in enumerate((LENGTH, WIDTH)):
        inner = max(point[axis] for point in ends) - min(point[axis] for point in ends)
        # Between the inner faces of the outer walls, and half a mapped surface's depth on either side.
        assert inner == pytest.approx(size - 0.1 + 0.02, abs=0.02)
