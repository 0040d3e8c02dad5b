"""The gap's commands in this process: import, page, hall, alarm."""

import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from floorcast.cluster.field_answers import compared_answers
from floorcast.cluster.field_page import LIDAR_ON_PAGE, held_out_block
from floorcast.commands.gap import gap_app
from floorcast.common.errors import InputError
from floorcast.gap.fieldlog import CREATE_MODEL
from floorcast.gap.made import make_log
from floorcast.gap.metrics import Metric
from floorcast.gap.store import load_log, save_log

DRIVE = CREATE_MODEL.drive.model_copy(update={"linear_gain": 0.95, "command_delay": 0.15})


def gap(*words):
    return CliRunner().invoke(gap_app, [str(word) for word in words], catch_exceptions=True)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    return save_log(make_log(DRIVE, seconds=40, seed=1), tmp_path_factory.mktemp("logs") / "robot1")


def test_a_log_is_imported_into_tables_that_measure_the_same(stored, tmp_path):
    done = gap("import", stored, "--out", tmp_path / "tables", "--json")
    assert done.exit_code == 0, done.output
    (folder,) = json.loads(done.stdout)["folders"]
    assert (load_log(folder).pose == load_log(stored).pose).all()
    assert (load_log(folder).cmd == load_log(stored).cmd).all()


@pytest.mark.slow
def test_the_page_is_written_to_a_further_place_too(stored, tmp_path):
    done = gap(stored, "--out", tmp_path / "run", "--html", tmp_path / "page.html", "--json")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "page.html").read_bytes() == (tmp_path / "run" / "report.html").read_bytes()
    told = json.loads(done.stdout)
    assert told["metrics"] == json.loads((tmp_path / "run" / "summary.json").read_text())["metrics"]


def test_what_a_gap_lacks_or_cannot_use_is_refused(stored, tmp_path):
    done = gap(stored, "--alarm", "--out", tmp_path / "run")
    assert isinstance(done.exception, InputError)
    assert "twin" in done.exception.what
    (tmp_path / "hall.yaml").write_text("racks: 3\n")
    done = gap(stored, "--layout", tmp_path / "hall.yaml", "--out", tmp_path / "run")
    assert isinstance(done.exception, InputError)
    assert "hall.yaml" in str(done.exception.where)
    assert not (tmp_path / "run").exists()


def test_a_calibrations_page_shows_what_it_did_for_the_lidar_of_held_out_logs():
    def side(w1, coverage):
        rows = (("lidar_w1_core", w1, 0.002), ("lidar_sigma", 0.02, 0.002), ("odom_yaw_coverage_5m", coverage, 0.01))
        return SimpleNamespace(
            metrics=[Metric(name, "b", None, v, v - half, v + half, 9, None, None, "m") for name, v, half in rows]
        )

    result = SimpleNamespace(before=side(0.03, 0.8), after=side(0.02, 0.95))
    block = held_out_block(result, LIDAR_ON_PAGE, "lead")
    (row,) = block.metrics  # the scatter of real ranges is the log's and no calibration's
    assert (row.name, row.before.value, row.after.value) == ("lidar_w1_core", 0.03, 0.02)
    assert held_out_block(result, ("odom_none",), "lead") is None
    lidar, odometry = compared_answers(result.before.metrics, result.after.metrics)
    assert "20 mm from the real ones; by the data sheet it was 30 mm (clearly better)" in lidar
    assert "95 % of its heading errors" in odometry


def test_linear_algebra_is_limited_before_anything_loads_it():
    code = "import sys, floorcast.cli; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
