"""Scan metrics against scipy and brute force, and what each of them sees and does not see."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import median_abs_deviation, wasserstein_distance

from floorcast.gap.lidar.metrics import (
    DCD_SCALE,
    ScanPairs,
    core_of,
    density_aware_chamfer,
    residuals,
    scan_metrics,
    wasserstein,
)

ANGLES = np.linspace(-np.pi / 2, np.pi / 2, 91)


def pairs(noise=0.02, simulated_noise=0.02, bias=0.0, lost=0.03, outliers=0.05, scans=240, seed=0):
    """Scans of rooms: real ones with noise, outliers and dropout; simulated ones with noise alone."""
    rng = np.random.default_rng(seed)
    expected = rng.uniform(2.0, 8.0, (scans, 1)) * (1 + 0.2 * np.cos(3 * ANGLES + rng.uniform(0, 6, (scans, 1))))
    expected[:, :4] = np.nan
    real = expected + bias + noise * rng.standard_normal(expected.shape)
    out = rng.random(expected.shape) < outliers
    real[out] += rng.exponential(1.0, out.sum())
    real[:, :4] = 3.0
    real[rng.random(expected.shape) < lost] = np.inf
    simulated = expected + simulated_noise * rng.standard_normal(expected.shape)
    poses = np.zeros((scans, 3))
    return ScanPairs(ANGLES, expected, real, simulated, np.repeat(np.arange(scans // 10), 10), poses)


def by_name(given, **options):
    return {item.name: item for item in scan_metrics(given, "r", local_noise=0.02, seed=1, **options)}


@pytest.mark.parametrize("sizes", [(1, 1), (7, 400), (300, 300), (1000, 13)])
def test_wasserstein_equals_scipys(sizes):
    rng = np.random.default_rng(sum(sizes))
    a, b = rng.standard_normal(sizes[0]), np.round(rng.exponential(1.0, sizes[1]), 1)
    assert wasserstein(a, b) == pytest.approx(wasserstein_distance(a, b), rel=1e-9, abs=1e-12)


def test_chamfer_distance_equals_brute_force():
    rng = np.random.default_rng(3)
    sizes = [(5, 9), (40, 40), (1, 3), (0, 4)]
    first, second = [rng.normal(size=(n, 2)) for n, _ in sizes], [rng.normal(size=(m, 2)) for _, m in sizes]
    begin, middle = (np.cumsum([0, *(pair[k] for pair in sizes)]) for k in (0, 1))
    found = density_aware_chamfer(np.concatenate(first), np.concatenate(second), begin, middle, 2.0)
    for k, (a, b) in enumerate(zip(first, second, strict=True)):
        if len(a) == 0:
            assert np.isnan(found[k])
            continue
        d = cdist(a, b)
        total = 0.0
        for table in (d, d.T):
            near = table.argmin(axis=1)
            chosen = np.bincount(near, minlength=table.shape[1])
            total += 0.5 * np.mean(1 - np.exp(-2.0 * table.min(axis=1)) / chosen[near])
        assert found[k] == pytest.approx(total)
    same = density_aware_chamfer(first[1], first[1], np.array([0, 40]), np.array([0, 40]), DCD_SCALE)
    assert same[0] == pytest.approx(0.0, abs=1e-12)


def test_metrics_equal_independent_computations():
    given = pairs(noise=0.03, simulated_noise=0.02, bias=0.008, scans=120)
    found = by_name(given)
    e, s = (given.real - given.expected).ravel(), (given.simulated - given.expected).ravel()
    e, s = e[np.isfinite(e)], s[np.isfinite(s)]
    core = e[np.abs(e) < 0.5]
    assert found["lidar_bias"].value == pytest.approx(np.median(core))
    assert found["lidar_sigma"].value == pytest.approx(median_abs_deviation(core, scale="normal"), rel=1e-4)
    assert found["lidar_sigma"].ratio == pytest.approx(found["lidar_sigma"].value / 0.02)
    assert found["lidar_w1_core"].value == pytest.approx(wasserstein_distance(core, s[np.abs(s) < 0.5]), rel=1e-9)
    assert found["lidar_w1_all"].value == pytest.approx(wasserstein_distance(e, s), rel=1e-9)
    known = np.isfinite(given.expected)
    assert found["lidar_dropout_diff"].value == pytest.approx(-100 * np.isinf(given.real[known]).mean())
    back = np.isfinite(given.real)
    assert found["lidar_coverage"].value == pytest.approx((back & known).sum() / back.sum())
    assert found["lidar_inliers"].value == pytest.approx((np.abs(e) < 0.5).mean())
    halves = [
        e_half[np.isfinite(e_half)] for e_half in (residuals(given.real[m], given.expected[m]) for m in given.halves())
    ]
    assert found["lidar_w1_all"].floor == pytest.approx(wasserstein_distance(*halves))
    assert found["lidar_w1_core"].floor == pytest.approx(wasserstein_distance(*(core_of(half) for half in halves)))


@pytest.mark.slow
def test_intervals_hold_the_truth_and_widen_with_what_a_stretch_shares():
    given = pairs()
    found = by_name(given)
    for name in ("lidar_bias", "lidar_sigma", "lidar_sigma_sim"):
        truth = 0.0 if name == "lidar_bias" else 0.02
        assert found[name].ci_low <= truth * 1.02 + 5e-4
        assert found[name].ci_high >= truth * 0.98 - 5e-4
        assert found[name].ci_low <= found[name].value <= found[name].ci_high
    # A bias of its own in each stretch: beams of a stretch are no independent witnesses.
    shift = 0.02 * np.random.default_rng(1).standard_normal(24)[given.stretch][:, None]
    shared = by_name(replace(given, real=given.real + shift))["lidar_bias"]
    plain = found["lidar_bias"]
    assert shared.ci_high - shared.ci_low > 4 * (plain.ci_high - plain.ci_low)
    few = by_name(given.where(given.stretch < 3))["lidar_bias"]
    assert few.ci_low is None
    assert np.isfinite(few.value)


@pytest.mark.slow
def test_each_metric_sees_its_own_fault():
    base = pairs(outliers=0.0)
    plain = by_name(base)
    scaled = by_name(replace(base, simulated=base.simulated * 1.03))
    assert scaled["lidar_w1_core"].value > plain["lidar_w1_core"].value + 0.1
    drop = base.simulated.copy()
    drop[np.random.default_rng(0).random(drop.shape) < 0.1] = np.inf
    dropped = by_name(replace(base, simulated=drop))
    assert dropped["lidar_dropout_diff"].value == pytest.approx(plain["lidar_dropout_diff"].value + 10, abs=1.0)
    assert dropped["lidar_w1_core"].value == pytest.approx(plain["lidar_w1_core"].value, abs=1e-3)
    moved = by_name(replace(base, simulated=base.simulated + 0.3))
    assert moved["lidar_dcd"].value > 1.5 * plain["lidar_dcd"].value
    # The real robot stood still, so that its next scan differs by noise alone: the floor of the chamfer distance.
    still = replace(base, real=np.broadcast_to(base.real[:1], base.real.shape).copy())
    assert by_name(still)["lidar_dcd"].floor == pytest.approx(0.0, abs=1e-9)
