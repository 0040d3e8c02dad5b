"""Replays, closed loop and published figures on real runs; skipped where the field data is absent."""

import os
from pathlib import Path

import numpy as np
import pytest

from floorcast.common.geometry import relative
from floorcast.gap.bullet_replay import replay_in_bullet
from floorcast.gap.calibration import fit
from floorcast.gap.closed_loop import run_of, score, tune_closed_loop
from floorcast.gap.floor import repeatability, repeated_runs
from floorcast.gap.problems import problem_for
from floorcast.gap.readers import read_log
from floorcast.gap.replay import DriveReplay, WheelReplay, make_windows, whole_run
from floorcast.gap.run import calibrate
from floorcast.gap.wheel_start import closed_form_wheels

ROOT = Path(os.environ.get("FLOORCAST_FIELDDATA", Path(__file__).resolve().parents[3] / "shared" / "fielddata"))
OMRON, MECANUM = ROOT / "omron_ld250", ROOT / "mecanum"

pytestmark = [
    pytest.mark.fielddata,
    pytest.mark.skipif(not OMRON.is_dir(), reason=f"no field data at {ROOT} (set FLOORCAST_FIELDDATA)"),
]


def test_the_seven_published_j_values_come_out():
    real = run_of(read_log(OMRON / "real_straight_5m.csv")[0])
    table = np.loadtxt(OMRON / "isaac_sim_runs" / "bo_evals_7.csv", delimiter=",", skiprows=1)
    for number, published in zip(table[:, 0].astype(int), table[:, 3], strict=True):
        simulated = read_log(OMRON / "isaac_sim_runs" / f"nav2_run_{number}.csv")[0]
        assert abs(score(real, run_of(simulated)).j - published) < 1e-5


@pytest.mark.slow
def test_the_straight_run_of_the_ld250_is_driven_again_within_fifty_drives():
    found = tune_closed_loop(read_log(OMRON / "real_straight_5m.csv")[0])
    assert found.evaluations <= 50
    assert found.score.j <= 0.09
    assert found.in_bullet.j <= 0.09
    assert 0.08 < found.bare.j < 0.09
    assert abs(found.yaw_floor - 0.0722) < 1e-4


def test_the_repeats_of_the_mecanum_base_are_pairs_and_give_the_known_floor():
    pairs = repeated_runs(read_log(MECANUM))
    assert [(int(a.run), int(b.run)) for a, b, _ in pairs] == [(k, k + 1) for k in range(1, 24, 2)]
    apart = np.array([error for _, _, error in pairs])
    assert abs(np.median(np.hypot(apart[:, 0], apart[:, 1])) - 0.028) < 5e-4
    assert abs(np.degrees(np.abs(apart[:, 2]).mean()) - 2.8) < 0.05
    assert abs(np.degrees(np.median(np.abs(apart[:, 2]))) - 2.24) < 0.05


@pytest.mark.slow
def test_mecanum_wheels_are_calibrated_on_one_take_of_each_command_and_judged_on_the_other():
    logs = read_log(MECANUM)
    problem = problem_for(logs[0::2], 1.0)
    start = closed_form_wheels(logs[0::2])
    found = fit(problem, seed=0, refits=20, max_evaluations=500)
    ends = {}
    for name, wheels in (("before", start), ("after", start.model_copy(update=found.values))):
        errors = []
        for log in logs[1::2]:
            whole = whole_run(log)
            errors.append(relative(whole.truth[0, -1], WheelReplay([whole]).simulate(wheels)[0, -1]))
        position = np.hypot(*np.array(errors)[:, :2].T)
        ends[name] = np.median(position), np.degrees(np.median(np.abs(np.array(errors)[:, 2])))
    assert ends["before"][0] > 0.7
    assert ends["after"][0] < 0.13
    assert ends["after"][1] < 7.0 < 50.0 < ends["before"][1]


@pytest.mark.slow
def test_bag3_gives_the_same_wheels_as_the_closed_form_and_serves_bag1():
    logs = read_log(ROOT / "rosbags" / "bag1.bag") + read_log(ROOT / "rosbags" / "bag3.bag")
    found = calibrate(logs, train=[logs[1].name], test=[logs[0].name], seed=0, refits=20, resamples=200)
    reach = found.twin.parameters["wheel_reach"]
    assert reach.identifiable
    assert 0.35 < reach.ci_low < reach.value < reach.ci_high < 0.37
    assert found.after.metric("pos_end_err", logs[0].name, 30.0).value < 0.06
    assert np.degrees(found.after.metric("yaw_end_err", logs[0].name, 30.0).value) < 1.2


@pytest.mark.slow
def test_bullet_and_the_fast_model_agree_within_the_floor_on_a_real_robot():
    log = read_log(ROOT / "mrclam" / "MRCLAM_Dataset6", 5)[0]
    windows = make_windows(log, (1, 2, 5, 10, 30), every=10.0)
    drive = log.model.drive.model_copy(update={"linear_gain": 0.96, "angular_gain": 0.95, "command_delay": 0.2})
    fast = DriveReplay([windows]).simulate(drive)
    bullet = replay_in_bullet(windows, log.model.model_copy(update={"drive": drive}))
    floors = repeatability(windows)
    assert floors
    for number, (horizon, step) in enumerate(zip(windows.horizons, windows.horizon_steps, strict=True)):
        valid = windows.valid[:, number]
        apart = relative(fast[valid, step], bullet[valid, step])
        position = np.percentile(np.hypot(apart[:, 0], apart[:, 1]), 95)
        heading = np.percentile(np.abs(apart[:, 2]), 95)
        assert position < 0.0002 * horizon + 0.0005
        if horizon in floors:
            assert position < floors[horizon][0]
            assert heading < floors[horizon][1]
