import json
import os
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from floorcast.cli import app
from floorcast.common.errors import InputError
from floorcast.perception.bench import worlds
from floorcast.perception.bench.worlds import FIELDS, main, read_hall, tiny_hall
from floorcast.perception.lidar_signal import S_MAX, lidar_settings

BARE = """
import sys
sys.modules.update(dict.fromkeys(("pydantic", "pybullet", "yaml", "cv2", "scipy", "torch")))
from floorcast.perception.bench.worlds import main
sys.exit(main(sys.argv[1:]))
"""


def test_the_gpu_benchmark_runs_in_the_simulator_with_numpy_and_numba_alone(tmp_path):
    pytest.importorskip("numba_cuda")
    hall, report = tmp_path / "hall.npz", tmp_path / "report.json"
    tiny_hall().save(hall)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BARE, "--tiny", "--json", str(report)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
    )
    assert done.returncode == 0, done.stderr
    got = json.loads(report.read_text())
    assert got["passed"] is True
    assert got["colors"] is None
    assert len(got["checks"]) == 6
    assert {(row["sensor"], row["worlds"]) for row in got["rows"]} == {
        (sensor, count) for sensor in ("lidar_2d", "lidar_3d", "camera") for count in (1, 2)
    }
    for row in got["rows"]:
        assert row["rays_per_second"] == pytest.approx(
            row["worlds"] * {"lidar_2d": 24, "lidar_3d": 32, "camera": 64}[row["sensor"]] / (row["ms"] / 1e3)
        )
        assert row["operations_per_beam"] > 40
    # A pixel's ray and, where it meets something in the light, its shadow's.
    assert got["counts"]["lidar_2d"]["ray"] == 1.0
    assert 1.0 < got["counts"]["camera"]["ray"] <= 2.0
    assert got["counts"]["lidar_2d"]["body"] == 2.0


def test_settings_without_pydantic_lack_nothing_that_must_not_be_zero(monkeypatch):
    monkeypatch.setattr(worlds, "_have", lambda name: False)
    settings = lidar_settings(worlds.lidar_of(24, (0.0, 0.1), 30.0).config)
    assert np.isfinite(settings).all()
    assert settings[S_MAX] == 30.0


@pytest.mark.slow
def test_it_runs_on_the_cpu(tmp_path, capsys):
    report = tmp_path / "report.json"
    assert main(["--tiny", "--device", "cpu", "--json", str(report)]) == 0
    assert json.loads(report.read_text())["passed"] is True
    assert "lidar_3d" in capsys.readouterr().out


def test_a_hall_survives_its_file(tmp_path):
    hall = tiny_hall()
    hall.save(tmp_path / "hall.npz")
    again = read_hall(tmp_path / "hall.npz")
    assert np.array_equal(again.poses, hall.poses)
    assert np.array_equal(again.places, hall.places)
    for name in FIELDS:
        assert np.array_equal(getattr(again.static, name), getattr(hall.static, name))
        assert np.array_equal(getattr(again.moving, name), getattr(hall.moving, name))


def test_bad_input_is_named(tmp_path, capsys):
    (tmp_path / "no.npz").write_text("nothing")
    with pytest.raises(InputError, match="this is no hall"):
        read_hall(tmp_path / "no.npz")
    assert main(["--scene", str(tmp_path / "missing.npz")]) == 2
    assert "missing.npz" in capsys.readouterr().err
    assert main(["--tiny", "--device", "cpu", "--worlds", "0"]) == 2


def test_the_command_line_takes_a_device():
    runner = CliRunner()
    done = runner.invoke(app, ["bench", "worlds", "--tiny", "--device", "cpu"])
    assert done.exit_code == 0
    done = runner.invoke(app, ["bench", "worlds", "--tiny", "--device", "gpu"])
    assert isinstance(done.exception, InputError)
    assert "device 'gpu' is unknown" in str(done.exception)
