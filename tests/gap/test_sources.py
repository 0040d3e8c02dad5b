"""The split of the gap by source: logs made with one fault each, put right by hand; ranks; what is left unsaid."""

from dataclasses import replace

import numpy as np
import pytest

from floorcast.gap.fieldlog import SECOND
from floorcast.gap.motion_sources import MotionSplit, split_motion
from floorcast.gap.odometry import OdometryGap, OdometryWindows
from floorcast.gap.replay import DriveReplay, make_windows
from floorcast.gap.sensor_sources import odometry_error, odometry_fixes
from floorcast.gap.sources import ErrorSplit, Fix, Share, missing_fixes, motion_error, motion_fixes, split_by_source

from .synthetic import make_log


def logs(**faults):
    return [make_log(80.0, seed=n, robot=f"robot{n}", noise=1e-5, **faults) for n in (1, 2)]


@pytest.fixture(scope="module")
def late():
    return split_motion(logs(gain=(1.0, 1.0), delay=0.3, lag=0.0), every=2.0, resamples=100)


@pytest.fixture(scope="module")
def short():
    return split_motion(logs(gain=(0.9, 0.9), delay=0.0, lag=0.0), every=2.0, resamples=100)


def test_a_robot_that_is_only_late_errs_by_delay(late):
    assert late.held_out
    assert late.shares["delay"] > 0.9
    assert abs(late.shares["drive"]) < 0.08


def test_a_robot_that_only_falls_short_errs_by_its_gains(short):
    assert short.shares["drive"] > 0.9
    assert abs(short.shares["delay"]) < 0.08


def test_the_shares_are_those_of_the_whole_error(late, short):
    for split in (late, short):
        assert sum(split.shares.values()) == pytest.approx(1.0)
        assert split.intervals["values"][0] > 0.85
        for name in split.shares:
            low, high = split.intervals[name]
            assert low - 1e-9 <= split.shares[name] <= high + 1e-9
    # 100 % is the mean squared error of the plain replay, taken here by its own way.
    ends = []
    for log in logs(gain=(0.9, 0.9), delay=0.0, lag=0.0):
        windows = make_windows(log, (1.0, 2.0, 5.0, 10.0), every=2.0)
        ends.append(
            ((DriveReplay([windows]).raw()[:, 500, :2] - windows.truth[:, 500, :2]) ** 2).sum(1)[windows.valid[:, 3]]
        )
    assert short.total == pytest.approx(np.concatenate(ends).mean())


@pytest.mark.slow
def test_a_robot_of_two_minds_errs_by_chance_and_one_that_pulls_aside_does_not():
    """The same commands twice: once the robot does otherwise each time, once it errs alike."""
    log = make_log(40.0, seed=5, gain=(1.0, 1.0), delay=0.0, lag=0.0, noise=1e-5)

    def twice(first, second):
        """Drive the log twice in one run, its heading turned more and more by so much [rad/s]."""
        parts = []
        for rate in (first, second):
            seconds = (log.pose_t_ns - log.pose_t_ns[0]) / 1e9
            step = np.diff(log.pose[:, :2], axis=0, prepend=log.pose[:1, :2])
            turn = rate * seconds
            moved = np.column_stack([
                np.cos(turn) * step[:, 0] - np.sin(turn) * step[:, 1],
                np.sin(turn) * step[:, 0] + np.cos(turn) * step[:, 1],
            ]).cumsum(axis=0)  # fmt: skip
            parts.append(np.column_stack([moved + log.pose[0, :2], log.pose[:, 2] + turn]))
        later = 42 * SECOND
        return replace(
            log,
            pose_t_ns=np.concatenate([log.pose_t_ns, log.pose_t_ns + later]),
            pose=np.concatenate(parts),
            cmd_t_ns=np.concatenate([log.cmd_t_ns, log.cmd_t_ns + later]),
            cmd=np.concatenate([log.cmd, log.cmd]),
        )

    pulls = [replace(twice(0.05, 0.05), robot=name) for name in ("a", "b")]
    wavers = [replace(twice(0.05, -0.05), robot=name) for name in ("a", "b")]
    alike, differing = (split_motion(item, every=2.0, resamples=20) for item in (pulls, wavers))
    assert alike.shares["scatter"] < 0.1 * alike.shares["rest"]
    assert differing.shares["scatter"] > 5 * differing.shares["rest"]


@pytest.mark.slow
def test_touch_is_charged_with_what_it_adds():
    """A robot is shoved by half a metre while another stands beside it."""
    log = make_log(60.0, seed=2, noise=1e-5)
    start, end = log.pose_t_ns[0] + 20 * SECOND, log.pose_t_ns[0] + 24 * SECOND
    shoved = log.pose.copy()
    shoved[:, 0] += 0.5 * np.clip((log.pose_t_ns - start) / (end - start), 0.0, 1.0)
    near = (log.pose_t_ns > start) & (log.pose_t_ns < end)
    other = log.pose + np.array([0.0, 50.0, 0.0])
    other[near] = shoved[near] + (0.3, 0.0, 0.0)
    one = replace(log, robot="pushed", pose=shoved)
    two = replace(log, robot="pusher", pose=other)
    split = split_motion([one, two], every=1.0, resamples=20)
    assert split.shares["contact"] > 0.3
    assert split.shares["contact"] > 3 * split.shares.get("scatter", 0.0)
    apart = replace(two, pose=log.pose + np.array([0.0, 50.0, 0.0]))
    assert split_motion([one, apart], every=1.0, resamples=20).shares["contact"] == 0.0


@pytest.mark.slow
def test_equal_input_gives_equal_shares(short):
    again = split_motion(logs(gain=(0.9, 0.9), delay=0.0, lag=0.0), every=2.0, resamples=100)
    assert again == short


def test_what_comes_back_in_the_odometry_is_told_from_chance():
    """Windows that all turn 0.2 rad too far, give or take 0.1: of 0.05 rad2, 0.04 come back."""
    error = np.zeros((400, 3))
    error[:, 2] = 0.2 + 0.1 * np.where(np.arange(400) % 2, 1.0, -1.0)
    one = np.full(400, 5.0)
    stamps = np.arange(400, dtype=np.int64)
    windows = OdometryWindows(5.0, stamps, stamps, np.arange(400.0), one, one, one, error, 0)
    mean = np.column_stack([np.zeros(400), np.zeros(400), np.full(400, 0.04)])
    split = odometry_error(OdometryGap([], {}, [], windows, mean, mean, mean), "amr")
    same, chance = split.shares
    assert same.share == pytest.approx(0.8)
    assert chance.share == pytest.approx(0.2)
    assert same.ci_low <= same.share <= same.ci_high
    assert odometry_error(OdometryGap([], {}, [], windows.where(stamps < 0), mean[:0], mean, mean), "amr") is None
    fixes = odometry_fixes(split, has_odometry=False)
    assert [(fix.name, fix.gain) for fix in fixes] == [("calibrate_odometry", pytest.approx(0.8))]


def made(**shares):
    return MotionSplit(10.0, 0.01, shares, {name: (v - 0.01, v + 0.01) for name, v in shares.items()}, 90, True, ("r",))


def test_proven_gains_come_first_then_what_is_at_most_then_what_is_not_known():
    split = made(drive=0.2, delay=0.1, contact=0.0, reference=0.001, scatter=0.15, rest=0.549)
    fixes = motion_fixes(split, with_twin=False, has_spread=False) + missing_fixes({"lidar"})
    ranked = split_by_source([motion_error(split)], fixes).ranked
    assert [fix.name for fix in ranked] == ["calibrate", "model_spread", "measure_delay", "extend_model", "log_scans"]
    assert ranked[0].gain == pytest.approx(0.3)
    with_twin = motion_fixes(split, with_twin=True, has_spread=True)
    assert [fix.name for fix in with_twin] == ["extend_model"]


def test_gains_too_small_to_matter_are_not_named():
    fixes = [Fix("a", "A", "", "", "", gain=0.001), Fix("b", "B", "", "", "", gain=0.02), Fix("c", "C", "", "", "")]
    assert [fix.name for fix in split_by_source([], fixes).ranked] == ["b", "c"]


def test_overall_shares_count_every_measurement_the_same():
    motion = ErrorSplit("motion", "", "", "", (Share("dynamics", "", 0.6, None, None, ""), Share("unexplained", "", 0.4, None, None, "")))  # fmt: skip  # noqa: E501
    lidar = ErrorSplit("lidar", "", "", "", (Share("sensor", "", 0.2, None, None, ""), Share("scene", "", 0.8, None, None, "")))  # fmt: skip  # noqa: E501
    shares = split_by_source([motion, lidar], []).shares
    assert shares == pytest.approx({"dynamics": 0.3, "unexplained": 0.2, "sensor": 0.1, "scene": 0.4})
    assert sum(shares.values()) == pytest.approx(1.0)
