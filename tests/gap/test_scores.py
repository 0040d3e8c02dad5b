"""Scores against closed forms, brute force, and what calibrated samples must do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate
from scipy.spatial.distance import cdist
from scipy.stats import norm

from floorcast.gap import scores


def test_crps_of_samples_is_the_mean_over_pairs():
    rng = np.random.default_rng(0)
    x, y = rng.gamma(2.0, size=(5, 31)), rng.normal(1.5, 1.0, 5)
    for fair, pairs in ((True, 31 * 30), (False, 31 * 31)):
        spread = np.abs(x[:, :, None] - x[:, None, :]).sum(axis=(1, 2)) / pairs
        brute = np.abs(x - y[:, None]).mean(axis=1) - 0.5 * spread
        np.testing.assert_allclose(scores.crps(x, y, fair=fair), brute, rtol=1e-12)


def test_crps_of_a_normal_distribution_is_the_integral_of_its_definition():
    for mean, sd, truth in ((0.0, 1.0, 0.3), (2.0, 0.5, 0.0), (-1.0, 3.0, 4.0)):
        low = integrate.quad(lambda t, m, s: norm.cdf(t, m, s) ** 2, mean - 12 * sd, truth, args=(mean, sd))[0]
        end = max(truth, mean) + 12 * sd
        high = integrate.quad(lambda t, m, s: norm.sf(t, m, s) ** 2, truth, end, args=(mean, sd))[0]
        assert scores.crps_normal(mean, sd, truth) == pytest.approx(low + high, rel=1e-6)


def test_fair_crps_has_no_bias_from_few_samples():
    rng = np.random.default_rng(1)
    few = scores.crps(rng.normal(size=(40_000, 4)), np.full(40_000, 0.7))
    assert few.mean() == pytest.approx(float(scores.crps_normal(0.0, 1.0, 0.7)), abs=4 * few.std() / 200)
    plain = scores.crps(rng.normal(size=(40_000, 4)), np.full(40_000, 0.7), fair=False)
    assert plain.mean() > few.mean() + 0.1


def test_energy_score_is_the_mean_over_pairs_of_points():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(4, 3, 17, 2)), rng.normal(size=(4, 3, 2))
    found = scores.energy_score(x, y)
    for place in np.ndindex(4, 3):
        away = np.hypot(*(x[place] - y[place]).T).mean()
        assert found[place] == pytest.approx(away - 0.5 * cdist(x[place], x[place]).sum() / (17 * 16), rel=1e-12)
    # On a line the energy score is the CRPS.
    line = np.stack([x[..., 0], np.zeros_like(x[..., 0])], axis=-1)
    np.testing.assert_allclose(
        scores.energy_score(line, np.stack([y[..., 0], np.zeros_like(y[..., 0])], axis=-1)),
        scores.crps(x[..., 0], y[..., 0]), rtol=1e-12,
    )  # fmt: skip


def test_headings_are_scored_across_the_turn():
    samples = np.array([[np.pi - 0.1, -np.pi + 0.1, np.pi - 0.2]])
    shifted = scores.crps_angle(samples - np.pi, np.zeros(1))
    assert scores.crps_angle(samples, np.array([np.pi]))[0] == pytest.approx(shifted[0], rel=1e-9)
    assert shifted[0] < 0.1


def test_interval_score_charges_width_and_misses():
    found = scores.interval_score(np.zeros(3), np.full(3, 2.0), np.array([1.0, 2.5, -0.1]), level=0.9)
    np.testing.assert_allclose(found, [2.0, 2.0 + 20.0 * 0.5, 2.0 + 20.0 * 0.1])


def test_bands_of_the_true_distribution_hold_what_they_say_and_ranks_are_flat():
    rng = np.random.default_rng(3)
    x, y = rng.gamma(2.0, size=(4000, 99)), rng.gamma(2.0, size=4000)
    assert scores.in_central_band(x, y).mean() == pytest.approx(0.95, abs=0.012)
    histogram = np.histogram(scores.pit(x, y), bins=10, range=(0, 1))[0]
    assert ((histogram - 400.0) ** 2 / 400.0).sum() < 28.0  # chi-square with 9 degrees of freedom, 0.1 %
    turn = np.array([[1.0, 0.9], [0.0, 0.4]])
    points, truth = rng.standard_t(4, size=(4000, 99, 2)) @ turn, rng.standard_t(4, size=(4000, 2)) @ turn
    assert scores.in_region(points, truth).mean() == pytest.approx(0.95, abs=0.012)


def test_ratios_to_the_bands_border_say_how_far_to_widen():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(3000, 400)), 1.6 * rng.normal(size=3000)
    assert np.quantile(scores.central_ratio(x, y), 0.95) == pytest.approx(1.6, rel=0.05)
    points, truth = rng.normal(size=(3000, 400, 2)), 1.6 * rng.normal(size=(3000, 2))
    assert np.quantile(scores.region_ratio(points, truth), 0.95) == pytest.approx(1.6, rel=0.05)
