"""Figures on the real MRCLAM set; skipped where the field data is absent."""

import math
import os
from pathlib import Path

import pytest

from floorcast.gap.readers import read_log
from floorcast.gap.run import calibrate, measure_gap

ROOT = Path(os.environ.get("FLOORCAST_FIELDDATA", Path(__file__).resolve().parents[3] / "shared" / "fielddata"))
SET = ROOT / "mrclam" / "MRCLAM_Dataset6"

pytestmark = [
    pytest.mark.fielddata,
    pytest.mark.skipif(not SET.is_dir(), reason=f"no field data at {ROOT} (set FLOORCAST_FIELDDATA)"),
]


@pytest.fixture(scope="module")
def logs():
    return read_log(SET)


def test_raw_commands_reproduce_the_known_gap(logs):
    gap = measure_gap(logs, resamples=50)
    for log in logs:
        assert 0.15 <= gap.metric("pos_end_err", log.robot, 30.0).value <= 0.19
        assert 5.0 <= math.degrees(gap.metric("yaw_end_err", log.robot, 30.0).value) <= 9.0
        position = gap.metric("pos_end_err", log.robot, 5.0)
        assert position.ci_low < position.value < position.ci_high
        assert position.n > 100
        assert gap.metric("yaw_end_err", log.robot, 1.0).floor is not None
        assert 120 < gap.metric("offset_ms", log.robot, 5.0).value < 250
    lost = {(item.robot, item.horizon_s): item.left_out for item in gap.windows}
    assert lost["robot4", 30.0] > lost["robot5", 30.0]  # the hole of two seconds in Vicon


@pytest.mark.slow
def test_robots_four_and_five_gain_from_robots_one_to_three(logs):
    result = calibrate(logs, train=[1, 2, 3], test=[4, 5], refits=20, resamples=300, spread=False)
    rows = {(row.name, row.horizon_s): row for row in result.comparison if row.robot == "all"}
    for horizon in (1.0, 2.0, 5.0):
        heading = rows["yaw_end_err", horizon]
        assert heading.verdict == "better"
        assert -0.45 < heading.relative < -0.15
    assert rows["yaw_end_err", 30.0].verdict == "no difference shown"
    assert 0.13 < rows["pos_end_err", 30.0].after < 0.16
    values = result.twin.values
    assert values["linear_gain"] == pytest.approx(0.96, abs=0.02)
    assert values["angular_gain"] == pytest.approx(0.95, abs=0.02)
    assert values["command_delay"] + values["motor_lag"] == pytest.approx(0.22, abs=0.05)
    # The intervals of three robots hold what the two others would give, though no fit has seen those.
    for item in result.fit.parameters:
        assert item.ci_low <= result.held_out_fit[item.name] <= item.ci_high, item.name
