"""The drift monitor: quiet on sound logs, right about what moved; its parts against independent computations."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import multivariate_t

from floorcast.common.errors import InputError
from floorcast.gap.drift import motion_stream, watch
from floorcast.gap.drift_filter import Noise, Stream, follow, run_filter, threshold
from floorcast.gap.fieldlog import CREATE_MODEL
from floorcast.gap.made import Change, Slip, Tracker, make_log
from floorcast.robots.twin import Twin

VALUES = {"linear_gain": 0.95, "angular_gain": 0.93, "command_delay": 0.15, "motor_lag": 0.1}
DRIVE = CREATE_MODEL.drive.model_copy(update=VALUES)
SMOOTH = Slip(0.02, 0.04, 1.5, 0.004, 0.008, 60.0, 0.2, 0.002, 0.01)
MONITOR = {
    "window_s": 0.5, "names": list(VALUES), "white": [0.0014, 0.0013, 0.0041], "window": [0.0073, 0.016, 0.003, 0.004],
    "wander_quick": [0.016, 0.032, 0.0017, 0.0021], "wander_slow": [0.003, 0.006, 0.0018, 0.0024],
    "memory_s": [2.5, 50.0], "tails": 30.0,
}  # fmt: skip


def made_twin(**changes):
    parameters = {
        name: {"value": value, "ci_low": value - 0.02, "ci_high": value + 0.02, "identifiable": True, "unit": "-"}
        for name, value in VALUES.items()
    }
    empty = {"logs": [], "trained_on": [], "judged_on": [], "gap_before": [], "gap_after": []}
    document = {
        "name": "made", "kind": "differential", "parameters": parameters, "monitor": {"motion": MONITOR},
        "provenance": {"tool": "test", "seed": 0, **empty}, **changes,
    }  # fmt: skip
    return Twin.model_validate(document)


def made_stream(rng, count=200, offset=0.0, onset=0):
    """A stream of one parameter and two channels, its noise that of the filter's model."""
    slope = rng.uniform(0.5, 1.5, (count, 2, 1))
    noise = Noise(np.array([0.1, 0.2]), np.array([0.05]), np.array([[0.03], [0.02]]), np.array([3.0, 50.0]), 30.0)
    wander = np.zeros((2, count))
    for band in range(2):
        keep = np.exp(-2.0 / noise.memory[band])
        wander[band, 0] = noise.wander[band, 0] * rng.standard_normal()
        for k in range(1, count):
            fresh = np.sqrt(1 - keep**2) * noise.wander[band, 0] * rng.standard_normal()
            wander[band, k] = keep * wander[band, k - 1] + fresh
    value = wander.sum(axis=0) + 0.05 * rng.standard_normal(count) + offset * (np.arange(count) >= onset)
    error = slope[..., 0] * value[:, None] + noise.white * rng.standard_normal((count, 2))
    time, whole = 2.0 * np.arange(1, count + 1), np.ones(count, dtype=bool)
    return Stream(("gain",), time, error, slope, whole, np.array([1.0])), noise


def test_the_filters_likelihood_of_a_window_is_that_of_a_student_t():
    stream, noise = made_stream(np.random.default_rng(0), count=1)
    prior = np.array([[0.04]])
    found = run_filter(stream, noise, prior)
    slope = stream.slope[0]
    variance = prior[0, 0] + (noise.wander**2).sum() + noise.window[0] ** 2
    scale = slope @ slope.T * variance + np.diag(noise.white**2)
    expected = multivariate_t(loc=np.zeros(2), shape=scale, df=noise.tails).logpdf(stream.error[0])
    constant = multivariate_t(loc=np.zeros(2), shape=np.eye(2), df=noise.tails).logpdf(np.zeros(2))
    assert found.log_likelihood == pytest.approx(expected - constant, rel=1e-9)


def test_with_light_tails_the_filter_whitens_as_the_whole_covariance_does():
    # Gaussian limit: the sum of the innovations' squares is e' S^-1 e of all windows together.
    stream, noise = made_stream(np.random.default_rng(1), count=25)
    noise = Noise(noise.white, noise.window, noise.wander, noise.memory, 1e9)
    found = run_filter(stream, noise, np.array([[0.04]]))
    lag = np.abs(stream.time[:, None] - stream.time[None, :])
    value = 0.04 + sum(noise.wander[b, 0] ** 2 * np.exp(-lag / noise.memory[b]) for b in range(2))
    value = value + noise.window[0] ** 2 * np.eye(25)
    flat = stream.slope[..., 0]
    full = np.einsum("ka,kl,lb->kalb", flat, value, flat).reshape(50, 50) + np.diag(np.tile(noise.white**2, 25))
    error = stream.error.ravel()
    assert (found.score**2).sum() == pytest.approx(error @ np.linalg.solve(full, error), rel=1e-6)


def test_the_threshold_is_passed_by_as_many_sound_streams_as_asked_and_a_step_is_found_where_it_is():
    passed = 0
    for seed in range(100):
        stream, noise = made_stream(np.random.default_rng(seed))
        filtered = run_filter(stream, noise, np.array([[0.01]]))
        if seed == 0:
            limit = threshold(stream, noise, filtered, 5, rate=0.05, seed=0)
        passed += follow(stream, noise, filtered, 5).statistic.max() > limit
    assert passed <= 12  # 0.05 of 100, within what chance allows
    stream, noise = made_stream(np.random.default_rng(0), offset=0.2, onset=100)
    found = follow(stream, noise, run_filter(stream, noise, np.array([[0.01]])), 5)
    assert abs(int(found.began[-1, 0]) - 100) <= 5
    assert abs(found.size[-1, 0] - 0.2) < 3.0 * found.error[-1, 0]


def test_errors_that_no_possible_change_explains_raise_nothing():
    # A robot that is not told to turn: its turns' gain changes nothing but rounding, whatever the heading does.
    stream, noise = made_stream(np.random.default_rng(0), offset=0.5)
    stream = replace(stream, slope=1e-12 * np.ones_like(stream.slope))
    filtered = run_filter(stream, noise, np.array([[0.01]]))
    assert np.abs(filtered.score.sum(axis=0)).max() > 100.0
    assert follow(stream, noise, filtered, 5).statistic.max() < 1e-6
    assert threshold(stream, noise, filtered, 5, rate=0.05, seed=0) < 10.0


def test_the_sensitivity_of_windows_predicts_a_robot_that_differs():
    quiet = Slip(0.0, 0.0, 1.5, 0.0, 0.0, 60.0, 0.0)
    other = DRIVE.model_copy(update={"linear_gain": 0.97, "angular_gain": 0.91})
    log = make_log(other, seconds=60, seed=1, slip=quiet, tracker=Tracker(0.0, 0.0, 50.0, 0.0))
    stream = motion_stream(log, VALUES)
    predicted = 0.02 * stream.slope[..., 0] - 0.02 * stream.slope[..., 1]
    left = (stream.error - predicted)[stream.whole]
    assert np.median(np.abs(left[:, 0])) < 0.25 * np.median(np.abs(stream.error[stream.whole][:, 0]))
    assert np.median(np.abs(left[:, 2])) < 0.25 * np.median(np.abs(stream.error[stream.whole][:, 2]))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parameter", "size"),
    [("linear_gain", -0.05), ("angular_gain", -0.1), ("command_delay", 0.1), ("motor_lag", 0.05)],
)
def test_a_moved_parameter_is_named_within_five_minutes_with_its_size(parameter, size):
    log = make_log(DRIVE, seconds=600, seed=4, slip=SMOOTH, changes=[Change(parameter, size, 240.0)])
    found = watch(log, made_twin())
    assert found.alarm
    assert found.parameter == parameter
    assert 240.0 < found.at_s <= 540.0
    assert found.change_low < size < found.change_high
    assert abs(found.began_s - 240.0) < 60.0
    assert parameter in found.sentence()


def test_sound_logs_raise_no_alarm():
    for seed in range(3):
        found = watch(make_log(DRIVE, seconds=300, seed=20 + seed, slip=SMOOTH), made_twin())
        assert not found.alarm
        assert found.parameter is None
        assert {row.parameter for row in found.rows} == set(VALUES)


@pytest.mark.slow
def test_a_twin_without_the_monitors_section_says_so_and_one_of_another_kind_is_refused():
    log = make_log(DRIVE, seconds=100, seed=3, slip=SMOOTH)
    found = watch(log, made_twin(monitor={}))
    assert any("monitor" in note for note in found.notes)
    tricycle = made_twin(kind="tricycle", parameters={}, monitor={})
    with pytest.raises(InputError, match="tricycle"):
        watch(log, tricycle)
    with pytest.raises(InputError, match="whole windows"):
        watch(make_log(DRIVE, seconds=20, seed=3), made_twin())


def test_the_limit_follows_what_sound_logs_reached_and_a_monitor_learnt_with_a_lost_spread_is_not_used():
    log = make_log(DRIVE, seconds=100, seed=5, slip=SMOOTH)
    once = watch(log, made_twin())
    doubled = watch(log, made_twin(monitor={"motion": {**MONITOR, "dispersion": 2.0}}))
    assert doubled.rows[0].limit == pytest.approx(2.0 * once.rows[0].limit)
    lost = watch(log, made_twin(monitor={"motion": {**MONITOR, "by_response": True}}))
    assert any("section 'monitor'" in note for note in lost.notes)
