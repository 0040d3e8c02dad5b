from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from scipy.signal import lfilter
from scipy.spatial.transform import Rotation

from floorcast.gap.floor import repeatability
from floorcast.gap.metrics import (
    Samples,
    _best_delay,
    _best_lag,
    _best_offset,
    aligned_rmse,
    block_indices,
    block_length,
    interval,
    lag_table,
    measure,
    median,
    pool,
    rates,
    reduce_drawn,
    window_samples,
)
from floorcast.gap.replay import DriveReplay, make_windows

from .synthetic import drive, make_log, wander


def by_name(samples, name, horizon):
    return next(item for item in samples if (item.name, item.horizon) == (name, horizon))


def test_end_errors_are_those_that_were_put_in():
    log = make_log(200.0)
    windows = make_windows(log, (1, 5), every=5.0)
    replayed = windows.truth.copy()
    replayed[:, 250, 0] += 0.03
    replayed[:, 250, 1] -= 0.04
    replayed[:, 250, 2] += 2 * np.pi - 0.1  # a turn more is no error
    samples = window_samples(windows, replayed)
    assert measure(by_name(samples, "pos_end_err", 5.0), "a", seed=0, resamples=50).value == pytest.approx(0.05)
    assert measure(by_name(samples, "yaw_end_err", 5.0), "a", seed=0, resamples=50).value == pytest.approx(0.1)
    assert measure(by_name(samples, "pos_end_err", 1.0), "a", seed=0, resamples=50).value == 0.0


def test_speed_errors_are_those_that_were_put_in():
    log = make_log(120.0)
    windows = make_windows(log, (5,), every=5.0)
    real = rates(windows.truth)
    assert np.abs(real[..., 0]).max() < 0.31
    # The same path, travelled twice as fast: the error in speed is the speed itself.
    slow = DriveReplay([windows]).raw()
    fast = slow.copy()
    fast[:, :, :2] = slow[:, :1, :2] + 2.0 * (slow[:, :, :2] - slow[:, :1, :2])
    value = measure(by_name(window_samples(windows, fast), "v_rmse", 5.0), "a", seed=0, resamples=50).value
    valid = windows.valid[:, 0]
    assert value == pytest.approx(np.sqrt((rates(slow)[valid][..., 0] ** 2).mean()), rel=0.01)


def test_alignment_agrees_with_an_independent_solver():
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((4, 30, 2)), rng.standard_normal((4, 30, 2))
    for row, found in enumerate(aligned_rmse(a, b)):
        p, q = a[row] - a[row].mean(0), b[row] - b[row].mean(0)
        best = min(
            np.sqrt((((p @ Rotation.from_euler("z", angle).as_matrix()[:2, :2].T) - q) ** 2).sum(1).mean())
            for angle in np.linspace(-np.pi, np.pi, 2001)
        )
        assert found == pytest.approx(best, rel=1e-5)
    turned = a @ Rotation.from_euler("z", 0.7).as_matrix()[:2, :2].T + [3.0, -1.0]
    assert aligned_rmse(a, turned).max() < 1e-7


@pytest.mark.parametrize(("delay", "lag"), [(0.0, 0.0), (0.16, 0.0), (0.1, 0.2), (-0.2, 0.1)])
def test_delay_and_lag_are_found_apart(delay, lag):
    rng = np.random.default_rng(1)
    source = gaussian_filter1d(rng.standard_normal((30, 500)), 6, axis=1)
    decay = np.exp(-0.02 / lag) if lag else 0.0
    lagged = lfilter([1 - decay], [1, -decay], source, axis=1)
    shift = round(delay / 0.02)
    real = np.roll(0.8 * lagged, shift, axis=1)[:, 100:400] + 0.002 * rng.standard_normal((30, 300))
    offset, table = lag_table(source[:, 100:400], real)
    assert float(_best_delay(table.sum(0))) == pytest.approx(1e3 * delay, abs=12)
    assert float(_best_lag(table.sum(0))) == pytest.approx(1e3 * lag, abs=21)
    if lag == 0.0:
        assert float(_best_offset(offset.sum(0))) == pytest.approx(1e3 * delay, abs=5)


def test_blocks_are_runs_within_one_group():
    index = block_indices([10, 7], 3, 200, np.random.default_rng(0))
    assert index.shape == (200, 17)
    assert index[:, :10].min() == 0
    assert index[:, :10].max() == 9
    assert index[:, 10:].min() == 10
    assert index[:, 10:].max() == 16
    steps = np.diff(index[:, :3], axis=1) % 10
    assert (steps == 1).all()


def test_runs_shorter_than_two_blocks_are_drawn_whole_and_cover_the_truth():
    rng, hits, trials = np.random.default_rng(3), 0, 120
    for trial in range(trials):
        # Twelve runs of one to four windows, each run with an error of its own.
        runs = tuple(np.full((count, 1), rng.standard_normal()) for count in [1, 2, 3, 4] * 3)
        samples = Samples("x", None, "m", 10, lambda values: values[..., 0].mean(axis=-1), runs)
        low, high = interval(samples, seed=trial, path=("short",), resamples=200)
        hits += low <= 0.0 <= high
    assert 0.8 < hits / trials < 0.99
    index = block_indices([3, 40, 2], 10, 50, np.random.default_rng(0))
    assert index.shape == (50, 45)
    drawn = np.concatenate([index[:, 40:]]).ravel()
    assert set(drawn) <= {0, 1, 2, 43, 44}
    assert (index[:, :40] >= 3).all()
    few = Samples("x", None, "m", 10, median, tuple(np.zeros((3, 1)) for _ in range(3)))
    assert interval(few, seed=0, path=("few",), resamples=20) is None


def test_intervals_of_overlapping_windows_cover_the_truth_where_naive_ones_do_not():
    # Moving averages stand in for windows of 30 s laid every 5 s: neighbours share five sixths of their content.
    rng = np.random.default_rng(7)
    hits = {"blocks": 0, "single": 0}
    trials = 120
    for trial in range(trials):
        noise = rng.standard_normal(185)
        values = np.convolve(noise, np.ones(6) / 6, mode="valid")[:, None]
        for kind, block in (("blocks", block_length(30.0, 5.0, 180)), ("single", 1)):
            samples = Samples("x", None, "m", block, median, (values,))
            low, high = interval(samples, seed=trial, path=(kind,), resamples=200)
            hits[kind] += low <= 0.0 <= high
    assert hits["single"] / trials < 0.8
    assert hits["blocks"] / trials > 0.85


def test_too_few_independent_windows_give_no_interval():
    samples = Samples("x", 30.0, "m", 12, median, (np.arange(40.0)[:, None],))
    metric = measure(samples, "a", seed=0, resamples=50)
    assert metric.ci_low is None
    assert metric.ci_high is None
    assert metric.value == 19.5


def test_additive_samples_are_reduced_as_sums():
    values = np.random.default_rng(0).standard_normal((50, 3))

    def ratio(sums):
        return sums[..., 0] / (1.0 + sums[..., 1] ** 2)

    samples = Samples("x", None, "m", 2, ratio, (values,), additive=True)
    index = block_indices([50], 2, 20, np.random.default_rng(5))
    np.testing.assert_allclose(reduce_drawn(samples, values, index), ratio(values[index].sum(axis=1)))


def test_pooling_keeps_robots_apart_in_the_bootstrap():
    one = Samples("x", 1.0, "m", 2, median, (np.zeros((30, 1)),), floor=0.1)
    two = Samples("x", 1.0, "m", 3, median, (np.ones((31, 1)),), floor=0.3)
    (joined,) = pool([[one], [two]])
    assert [len(part) for part in joined.values] == [30, 31]
    assert joined.block == 3
    assert joined.floor == pytest.approx(0.2)
    metric = measure(joined, "all", seed=0, resamples=100)
    # 30 zeros and 31 ones in every draw: the median never moves.
    assert (metric.value, metric.ci_low, metric.ci_high) == (1.0, 1.0, 1.0)


def test_a_horizon_that_one_log_lacks_is_pooled_over_the_others():
    short, long = (Samples("x", horizon, "m", 1, median, (np.ones((8, 1)),)) for horizon in (1.0, 30.0))
    joined = {item.horizon: len(item.values) for item in pool([[short], [short, long], [short, long]])}
    assert joined == {1.0: 3, 30.0: 2}


def test_the_floor_is_what_the_robot_does_when_told_the_same_twice():
    # Twelve seconds of commands over and over; the robot's gains change from round to round by one in a hundred.
    times, commands = wander(12.0, 4)
    rng = np.random.default_rng(0)
    rounds = 10
    pose, stamps = [], []
    for number in range(rounds):
        truth = drive(times, commands, gain=(1.0, 1.0 + 0.01 * rng.standard_normal()))
        pose.append(truth[:, 1:])
        stamps.append(truth[:, 0] + 12.0 * number)
    log = make_log(10.0)
    base = log.pose_t_ns[0]
    told = np.tile(commands, (rounds, 1))
    log = replace(
        log,
        pose=np.concatenate(pose),
        pose_t_ns=base + np.round(np.concatenate(stamps) * 1e9).astype(np.int64),
        cmd=told,
        cmd_t_ns=base + np.round(np.arange(len(told)) * 0.05 * 1e9).astype(np.int64),
    )
    # Windows that cross from one round into the next jump back to the origin in the truth: they differ, the others set
    # the median.
    floor = repeatability(make_windows(log, (2,), every=5.0))
    position, heading = floor[2.0]
    assert 0.0005 < heading < 0.05
    assert position < 0.02
    assert repeatability(make_windows(make_log(60.0), (2,), every=5.0)) == {}
