import json
from dataclasses import replace

import numpy as np
import pytest

from floorcast.common.config import to_yaml
from floorcast.common.errors import InputError
from floorcast.common.geometry import compose
from floorcast.gap.calibration import fit
from floorcast.gap.problems import tricycle_problem
from floorcast.gap.readers import read_log
from floorcast.gap.replay import make_windows, tricycle_chain
from floorcast.gap.run import calibrate, matched_share, measure_gap
from floorcast.robots.tricycle import TricycleParameters

from .synthetic import SECOND, make_log

TRUE = {"gain": (0.93, 1.08), "delay": 0.15, "lag": 0.1}


@pytest.fixture(scope="module")
def three_robots():
    return [make_log(50.0, seed=n, robot=f"robot{n}", noise=2e-4, **TRUE) for n in (1, 2, 3)]


@pytest.fixture(scope="module")
def calibrated(three_robots):
    return calibrate(three_robots, train=[1, "robot2"], refits=20, resamples=200, anchor_every=3.0)


def test_calibration_finds_the_parameters_that_made_the_log(calibrated):
    found = calibrated.fit.values
    assert found["linear_gain"] == pytest.approx(0.93, abs=0.01)
    assert found["angular_gain"] == pytest.approx(1.08, abs=0.01)
    assert found["command_delay"] + found["motor_lag"] == pytest.approx(0.25, abs=0.02)
    for item in calibrated.fit.parameters:
        assert item.ci_low <= item.ci_high
    gain = calibrated.fit.parameters[0]
    assert gain.identifiable
    # Two robots leave one degree of freedom: 12.7 standard errors.
    assert gain.ci_low <= 0.93 <= gain.ci_high
    assert calibrated.fit.parts == 2


@pytest.mark.slow
def test_the_verdict_rests_on_the_robot_that_was_held_out(calibrated, three_robots):
    assert (calibrated.train, calibrated.test) == (["robot1", "robot2"], ["robot3"])
    assert {item.robot for item in calibrated.after.metrics} == {"robot3"}
    for row in calibrated.comparison:
        if row.name == "pos_end_err" and row.ci_high is not None:
            assert row.verdict == "better"
            assert row.relative < -0.5
    # What the held-out robot does has no part in the fit.
    other = [*three_robots[:2], make_log(50.0, seed=9, robot="robot3", gain=(0.5, 0.5))]
    again = calibrate(other, train=[1, 2], refits=20, resamples=50, anchor_every=3.0)
    assert again.fit.values == calibrated.fit.values


@pytest.mark.slow
def test_calibration_is_deterministic_and_leaves_the_global_generator_alone(calibrated, three_robots):
    np.random.seed(123)  # noqa: NPY002
    state = np.random.get_state()  # noqa: NPY002
    again = calibrate(three_robots, train=[1, 2], refits=20, resamples=200, anchor_every=3.0)
    after = np.random.get_state()  # noqa: NPY002
    assert state[0] == after[0]
    np.testing.assert_array_equal(state[1], after[1])
    assert state[2:] == after[2:]
    assert to_yaml(again.twin) == to_yaml(calibrated.twin)
    assert json.dumps(again.to_summary()) == json.dumps(calibrated.to_summary())


def test_summaries_are_json_with_the_promised_fields(calibrated):
    summary = json.loads(json.dumps(calibrated.to_summary(), allow_nan=False))
    expected = {"name", "robot", "horizon_s", "value", "ci_low", "ci_high", "n", "floor", "ratio", "unit"}
    assert all(set(row) == expected for row in summary["metrics"])
    names = {row["name"] for row in summary["metrics"]}
    assert {"pos_end_err", "yaw_end_err", "v_rmse", "omega_rmse", "delay_ms", "tau_ms", "ate_rmse", "rpe_1m"} <= names
    assert any("Track width" in note for note in summary["notes"])


def test_the_twin_says_what_it_rests_on(calibrated):
    provenance = calibrated.twin.provenance
    assert {source.robot for source in provenance.logs} == {"robot1", "robot2", "robot3"}
    assert provenance.trained_on == ["robot1", "robot2"]
    assert provenance.judged_on == ["robot3"]
    assert provenance.date is None
    assert len(provenance.gap_before) == len(provenance.gap_after) > 0


def test_measured_delay_is_that_of_the_robot(three_robots):
    gap = measure_gap(three_robots, resamples=100)
    assert gap.metric("offset_ms", "all", 5.0).value == pytest.approx(240, abs=40)
    assert gap.metric("delay_ms", "all", 5.0).value == pytest.approx(150, abs=40)
    assert gap.metric("tau_ms", "all", 5.0).value == pytest.approx(100, abs=41)
    assert set(gap.matched) == {"robot1", "robot2", "robot3"}
    with pytest.raises(KeyError):
        gap.metric("pos_end_err", "robot8", 1.0)


def test_a_robot_on_both_sides_is_refused(three_robots):
    with pytest.raises(InputError, match="trained on and judged on"):
        calibrate(three_robots, train=[1, 2], test=[2, 3])
    with pytest.raises(InputError, match="no robot 'robot7'"):
        calibrate(three_robots, train=["robot7"])
    with pytest.raises(InputError, match="no robot is left"):
        calibrate(three_robots, train=[1, 2, 3])
    with pytest.raises(InputError, match="cannot both be given"):
        calibrate(three_robots, train=0.5, test=[3])


def test_logs_that_cannot_be_measured_are_refused(three_robots):
    with pytest.raises(InputError, match="no field log"):
        measure_gap([])
    with pytest.raises(InputError, match="different drives"):
        measure_gap([three_robots[0], *read_log("tricycle")])
    with pytest.raises(InputError, match="share a robot's name"):
        measure_gap([three_robots[0], three_robots[0]])


def test_truth_that_covers_too_little_is_refused(three_robots):
    log = three_robots[0]
    assert matched_share(log) == pytest.approx(1.0, abs=0.01)
    keep = (log.pose_t_ns - log.pose_t_ns[0]) < 37.5 * SECOND
    short = replace(log, pose_t_ns=log.pose_t_ns[keep], pose=log.pose[keep])
    assert matched_share(short) == pytest.approx(0.75, abs=0.01)
    with pytest.raises(InputError, match="over only 75%"):
        measure_gap([short])


def test_a_twin_of_another_kind_is_refused(calibrated):
    with pytest.raises(InputError, match="differential robot, a tricycle"):
        measure_gap(read_log("tricycle"), twin=calibrated.twin)


@pytest.mark.slow
def test_tricycle_parameters_are_found_from_made_ticks():
    (log,) = read_log("tricycle")
    true = TricycleParameters(
        k_steer=0.5, k_traction=0.012, axis_length=1.3, steer_offset=0.03, sensor_x=1.2, sensor_y=0.1, sensor_yaw=0.05,
        tick_delay=0.04,
    )  # fmt: skip
    chain = compose(tricycle_chain(log, true), true.sensor_pose)
    seconds = (log.ticks_t_ns - log.ticks_t_ns[0]) / 1e9
    yaw = np.unwrap(chain[:, 2])
    late = np.column_stack([np.interp(seconds - 0.04, seconds, column) for column in (chain[:, 0], chain[:, 1], yaw)])
    made = replace(log, pose=late)
    windows = [make_windows(made, (1, 2, 5, 10), every=1.0)]
    found = fit(tricycle_problem(windows, log.tricycle), seed=0, refits=20).values
    for name in (
        "k_steer",
        "k_traction",
        "axis_length",
        "steer_offset",
        "sensor_x",
        "sensor_y",
        "sensor_yaw",
        "tick_delay",
    ):
        assert found[name] == pytest.approx(getattr(true, name), abs=0.01), name


@pytest.mark.slow
def test_the_bundled_tricycle_after_calibration_on_the_part_held_out():
    result = calibrate(read_log("tricycle"), train=0.65, refits=20, resamples=200)
    length = next(item.horizon_s for item in result.after.metrics if item.name == "mean_pos_err")
    before = result.before.metric("mean_pos_err", "tricycle", length).value
    after = result.after.metric("mean_pos_err", "tricycle", length).value
    assert before > 2.0
    assert after < 0.2
    for horizon, limit in ((1.0, 0.03), (2.0, 0.05), (5.0, 0.1)):
        assert result.after.metric("pos_end_err", "tricycle", horizon).value < limit
    (path,) = result.paths
    assert path.real.shape == path.before.shape == path.after.shape
    assert path.real.shape[1] == 2
    np.testing.assert_allclose(path.real[0], path.after[0], atol=1e-9)
    assert np.hypot(*(path.real - path.after).T).mean() == pytest.approx(after, rel=0.05)


@pytest.mark.slow
def test_a_split_by_time_is_said_in_the_twin():
    log = make_log(60.0, **TRUE)
    result = calibrate([log], train=0.6, refits=20, resamples=50, anchor_every=2.0)
    assert result.twin.provenance.trained_on == ["robot1, first 60% of its time"]
    assert result.twin.provenance.judged_on == ["robot1, the rest of its time"]
    assert any("same log" in note for note in result.notes)
    halves = result.fit.by_part
    assert set(halves) == {"first half", "second half"}
    for item in result.fit.parameters:
        for half in halves.values():
            assert item.ci_low - 1e-9 <= half[item.name] <= item.ci_high + 1e-9
