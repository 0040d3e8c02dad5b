from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from floorcast.common.errors import InputError
from floorcast.common.geometry import compose, wrap_angle
from floorcast.gap.fieldlog import CREATE_MODEL, interpolate_pose
from floorcast.gap.replay import STEP, DriveReplay, make_windows, start_velocity

from .synthetic import SECOND, START, make_log

angles = st.floats(-3.0, 3.0)


@settings(max_examples=50, deadline=None)
@given(v=st.floats(-2, 2), w=st.floats(-3, 3), yaw=angles, share=st.floats(0, 1))
def test_interpolation_follows_the_circle_between_two_poses(v, w, yaw, share):
    start = np.array([1.0, -2.0, yaw])

    def after(t):
        turn = w * t
        chord = v * t * np.sinc(turn / (2 * np.pi))
        return compose(start, [chord * np.cos(turn / 2), chord * np.sin(turn / 2), turn])

    table = np.array([start, after(1.0)])
    found = interpolate_pose(int(share * 1e9), np.array([0, SECOND]), table)
    expected = after(int(share * 1e9) / 1e9)
    np.testing.assert_allclose(found[:2], expected[:2], atol=1e-9)
    assert abs(float(wrap_angle(found[2] - expected[2]))) < 1e-9


def test_interpolation_takes_the_short_way_round_and_holds_the_ends():
    table = np.array([[0, 0, np.pi - 0.1], [0, 0, -np.pi + 0.1]])
    stamps = np.array([10, 20])
    assert abs(abs(interpolate_pose(15, stamps, table)[2]) - np.pi) < 1e-12
    np.testing.assert_allclose(interpolate_pose(5, stamps, table), table[0])
    np.testing.assert_allclose(interpolate_pose(25, stamps, table), table[1])


def test_windows_over_a_hole_in_the_truth_are_left_out_and_counted():
    log = make_log(60.0)
    since = (log.pose_t_ns - START * SECOND) / 1e9
    hole = (since > 30.0) & (since < 32.0)
    holed = replace(log, pose_t_ns=log.pose_t_ns[~hole], pose=log.pose[~hole])
    whole, windows = make_windows(log, (1, 5), every=1.0), make_windows(holed, (1, 5), every=1.0)
    assert whole.left_out == (0, 0)
    start = (windows.start_ns - START * SECOND) / 1e9
    for column, horizon in enumerate((1.0, 5.0)):
        crossing = (start - 0.2 < 32.0) & (start + horizon > 30.0)
        inside = whole.valid[:, column]
        np.testing.assert_array_equal(windows.valid[:, column], inside & ~crossing)
        assert windows.left_out[column] == (inside & crossing).sum()
    # A hole of a quarter of a second is bridged.
    short = (since > 30.0) & (since < 30.2)
    bridged = replace(log, pose_t_ns=log.pose_t_ns[~short], pose=log.pose[~short])
    assert make_windows(bridged, (1, 5), every=1.0).left_out == (0, 0)


def test_no_window_runs_past_the_end():
    log = make_log(40.0)
    windows = make_windows(log, (1, 30), every=5.0)
    last = min(log.pose_t_ns[-1], log.cmd_t_ns[-1])
    ends = windows.start_ns + 30 * SECOND
    np.testing.assert_array_equal(windows.valid[:, 1], ends <= last)
    assert windows.valid[:, 0].sum() > windows.valid[:, 1].sum()


def test_raw_replay_equals_the_robot_that_obeys():
    log = make_log(60.0)
    windows = make_windows(log, (1, 10), every=5.0)
    error = DriveReplay([windows]).raw()[:, :, :2] - windows.truth[:, :, :2]
    assert np.abs(error[windows.valid[:, 1]]).max() < 2e-3  # 0.05 s command grid against 2 ms Euler steps


def test_the_traction_model_with_the_true_parameters_follows_the_late_robot():
    log = make_log(60.0, gain=(0.9, 1.1), delay=0.2, lag=0.15)
    windows = make_windows(log, (10,), every=5.0)
    replay = DriveReplay([windows])
    true = CREATE_MODEL.drive.model_copy(
        update={"linear_gain": 0.9, "angular_gain": 1.1, "command_delay": 0.2, "motor_lag": 0.15}
    )
    valid = windows.valid[:, 0]
    near = np.hypot(*np.moveaxis((replay.simulate(true) - windows.truth)[valid, -1, :2], -1, 0))
    far = np.hypot(*np.moveaxis((replay.raw() - windows.truth)[valid, -1, :2], -1, 0))
    assert np.median(near) < 0.01
    assert np.median(far) > 10 * np.median(near)


def test_the_replay_never_sees_the_truth_after_its_start():
    log = make_log(30.0)
    windows = make_windows(log, (10,), every=60.0)
    since = log.pose_t_ns - windows.start_ns[0]
    moved = log.pose.copy()
    moved[since > 0] += 1.0
    other = make_windows(replace(log, pose=moved), (10,), every=60.0)
    one, two = DriveReplay([windows]), DriveReplay([other])
    np.testing.assert_array_equal(one.raw(), two.raw())
    np.testing.assert_array_equal(one.simulate(CREATE_MODEL.drive), two.simulate(CREATE_MODEL.drive))
    assert np.abs(windows.truth[0, -1] - other.truth[0, -1]).max() > 0.5


@settings(max_examples=20, deadline=None)
@given(delay=st.floats(0.0, 0.5))
def test_delayed_commands_are_the_means_of_the_held_ones(delay):
    log = make_log(12.0)
    windows = make_windows(log, (4,), every=2.0)
    found = DriveReplay([windows]).commands(delay)
    fine = np.arange(0, 4, STEP / 100) + STEP / 200
    for row, start in enumerate(windows.start_ns):
        t = (start - log.cmd_t_ns[0]) / 1e9 + fine - delay
        held = log.cmd[np.clip(np.searchsorted((log.cmd_t_ns - log.cmd_t_ns[0]) / 1e9, t, side="right") - 1, 0, None)]
        np.testing.assert_allclose(found[row].cumsum(0), held.reshape(-1, 100, 2).mean(1).cumsum(0), atol=0.4)
        np.testing.assert_allclose(found[row].sum(0) * STEP, held.mean(0) * 4.0, atol=0.01)


def test_the_starting_speed_is_that_of_the_truth():
    log = make_log(30.0)
    windows = make_windows(log, (1,), every=0.7)
    found = start_velocity(windows)
    seconds = (windows.start_ns - log.cmd_t_ns[0]) / 1e9
    held = log.cmd[(seconds / 0.05).astype(int)]
    before = log.cmd[((seconds - 0.21) / 0.05).astype(int)]
    steady = np.all(held == before, axis=1)
    assert steady.sum() > 20
    np.testing.assert_allclose(found[steady], held[steady], atol=5e-3)


@pytest.mark.parametrize("horizons", [(), (0.0,), (-1,), (1e6,)])
def test_impossible_horizons_are_refused(horizons):
    with pytest.raises(InputError, match="horizons"):
        make_windows(make_log(10.0), horizons)


def test_a_log_shorter_than_its_window_is_refused_by_name():
    with pytest.raises(InputError, match="too short") as caught:
        make_windows(make_log(5.0, robot="robot9"), (10,))
    assert caught.value.where == "robot9"


def test_tables_that_do_not_overlap_are_refused():
    log = make_log(10.0)
    late = replace(log, cmd_t_ns=log.cmd_t_ns + 100 * SECOND)
    with pytest.raises(InputError, match="do not overlap in time"):
        make_windows(late, (1,))


def test_a_split_log_shares_no_record():
    log = make_log(40.0)
    first, rest = log.split(0.6)
    assert len(first.pose) + len(rest.pose) >= len(log.pose) - 10  # the tail after the last command is cut off
    assert first.pose_t_ns[-1] < rest.pose_t_ns[0]
    assert first.cmd_t_ns[-1] < rest.cmd_t_ns[0]
    with pytest.raises(InputError, match="share to train on"):
        log.split(1.5)
