"""The classifier two-sample test: fair where there is nothing to tell, sharp where there is, blind where it says."""

import numpy as np
import pytest
from scipy.stats import linregress

from floorcast.gap.lidar.c2st import FEATURES, WINDOW, scan_windows, two_sample_test

SCANS, BEAMS, GROUPS = 240, 180, 48
ANGLES = np.linspace(-np.pi / 2, np.pi / 2, BEAMS)
STRETCH = np.repeat(np.arange(GROUPS), SCANS // GROUPS)
STEP = 0.01


def rooms(seed):
    rng = np.random.default_rng(seed)
    turn = rng.uniform(-1, 1, (SCANS, 1))
    x = rng.uniform(1, 6, (SCANS, 1)) / np.maximum(np.abs(np.cos(ANGLES + turn)), 1e-3)
    y = rng.uniform(1, 6, (SCANS, 1)) / np.maximum(np.abs(np.sin(ANGLES + turn)), 1e-3)
    return np.minimum(np.minimum(x, y), 30.0)


def sensed(true, seed, noise=0.006, step=STEP):
    r = true + noise * np.random.default_rng(seed).standard_normal(true.shape)
    return np.round(r / step) * step


def told(a, b, seed=0):
    return two_sample_test(scan_windows(a, ANGLES, STRETCH), scan_windows(b, ANGLES, STRETCH), seed=seed)


def test_features_equal_plain_formulas():
    rng = np.random.default_rng(0)
    r = 3 + 0.1 * rng.standard_normal(WINDOW)
    ranges = np.full((1, BEAMS), np.inf)
    places = np.sort(rng.permutation(BEAMS)[:WINDOW])
    ranges[0, places] = r
    features, group = scan_windows(ranges, ANGLES, np.array([7]))
    assert features.shape == (1, len(FEATURES))
    assert group.tolist() == [7]
    row = dict(zip(FEATURES, features[0], strict=True))
    second, third = np.diff(r, 2), np.diff(r, 3)
    assert row["range"] == pytest.approx(r.mean())
    assert row["second_difference_max"] == pytest.approx(np.abs(second).max())
    assert row["second_difference_50"] == pytest.approx(np.sort(np.abs(second))[(WINDOW - 2) // 2])
    assert row["third_difference_max"] == pytest.approx(np.abs(third).max())
    assert row["neighbour_correlation"] == pytest.approx(second[1:] @ second[:-1] / (second @ second))
    points = np.column_stack([r * np.cos(ANGLES[places]), r * np.sin(ANGLES[places])])
    deviation = np.linalg.svd(points - points.mean(axis=0))[1][1] / np.sqrt(WINDOW)
    assert row["line_rms"] == pytest.approx(deviation)
    assert linregress(points[:, 0], points[:, 1]).stderr > 0  # not a degenerate cloud


@pytest.mark.slow
def test_what_is_the_same_cannot_be_told_apart():
    inside, values = 0, []
    for seed in range(8):
        true = rooms(seed)
        result = told(sensed(true, 100 + seed), sensed(true, 200 + seed), seed)
        inside += result.ci_low <= 0.5 <= result.ci_high
        values.append(result.accuracy)
    assert inside >= 7
    assert np.mean(values) == pytest.approx(0.5, abs=0.01)


@pytest.mark.slow
def test_wrong_noise_smoothing_and_steps_are_told():
    true = rooms(1)
    real = sensed(true, 2)
    wrong = {
        "white": sensed(true, 3, noise=0.02),
        "none": true,
        "smooth": np.round(np.apply_along_axis(np.convolve, 1, sensed(true, 3), np.ones(3) / 3, "same") / STEP) * STEP,
        "steps": sensed(true, 3, step=0.001),
    }
    for name, scans in wrong.items():
        result = told(real, scans)
        assert result.ci_low > 0.6, name
        assert sum(result.importance.values()) == pytest.approx(1.0)


@pytest.mark.slow
def test_it_is_blind_to_scale_and_dropout_which_others_see():
    # The reason why it is never read alone: see test_scan_metrics for the metrics that see both.
    true = rooms(1)
    real = sensed(true, 2)
    assert told(real, sensed(1.03 * true, 3)).ci_low < 0.52
    lost = sensed(true, 3)
    lost[np.random.default_rng(0).random(lost.shape) < 0.02] = np.inf
    assert told(real, lost).accuracy < 0.56


def test_the_same_seed_gives_the_same_answer_and_few_groups_none():
    true = rooms(4)[::6]
    a, b = (scan_windows(sensed(true, seed), ANGLES, STRETCH[::6]) for seed in (1, 2))
    assert two_sample_test(a, b, seed=5) == two_sample_test(a, b, seed=5)
    one = (a[0], np.zeros(len(a[1]), np.int64))
    assert np.isnan(two_sample_test(one, one, seed=5).accuracy)
