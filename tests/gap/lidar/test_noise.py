"""The noise fit finds what the product's own lidar was told, and its pieces meet their closed forms."""

from functools import cache

import numpy as np
import pytest
from scipy import stats
from scipy.special import gamma

from floorcast.common.errors import InputError
from floorcast.common.primitives import BOX, PrimitiveBuilder
from floorcast.gap.lidar.noise import (
    FIELDS,
    NoiseSample,
    density_of_outliers,
    fit_noise,
    range_step,
    weibull_by_l_moments,
)
from floorcast.perception.config import LidarConfig
from floorcast.perception.lidar import Lidar
from floorcast.perception.scene import Scene, empty_primitives
from floorcast.robots.twin import TwinParameter

TOLD = {
    "range_noise": 0.008,
    "range_noise_growth": 0.0,
    "range_resolution": 0.005,
    "shared_noise": 0.02,
    "shared_angle": 0.15,
    "outlier_short": 0.01,
    "outlier_long": 0.03,
    "outlier_angle": 0.04,
    "outlier_short_size": 0.25,
    "outlier_short_shape": 0.9,
    "outlier_long_size": 0.6,
    "outlier_long_shape": 0.7,
    "edge_shift": 0.006,
    "edge_mixed": 0.1,
    "dropout": 0.03,
    "grazing_dropout": 0.0,
    "outlier_least": 0.1,
}
BEAMS, SCANS = 360, 200


@cache
def hall():
    """A room of 16 m with boxes in it."""
    rng = np.random.default_rng(4)
    builder = PrimitiveBuilder()
    for x, y in ((8.5, 0.0), (-8.5, 0.0), (0.0, 8.5), (0.0, -8.5)):
        builder.add(BOX, (0.5, 9.0, 2.0) if x else (9.0, 0.5, 2.0), (x, y, 0.0), class_name="wall")
    for _ in range(14):
        angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(3.5, 7.0)
        size = (*rng.uniform(0.3, 0.8, 2), 2.0)
        place = (distance * np.cos(angle), distance * np.sin(angle), 0.0)
        builder.add(BOX, size, place, class_name="box", yaw=rng.uniform(0, 3))
    return Scene(builder.build(), empty_primitives(), 0)


@cache
def sample(seed=0, **changes):
    """Residuals of scans from the middle of the room, by the product's own lidar."""
    lidar = Lidar(LidarConfig(beams=BEAMS, range_max=60.0, **{**TOLD, **changes}))
    rng = np.random.default_rng(seed)
    place = np.column_stack([rng.uniform(-1.5, 1.5, (SCANS, 2)), np.zeros(SCANS)])
    turn = np.tile(np.eye(3), (SCANS, 1, 1))
    batch = lidar.scan_batch(hall(), place, turn, stream=seed, sensors=range(SCANS), frame=0)
    true, row = lidar.true_ranges(hall(), place, turn)
    real, expected = batch.ranges[:, 0].astype(float), true[:, 0].astype(float)
    back = np.isfinite(real)
    error = np.where(back, np.where(back, real, 0.0) - expected, np.nan)
    return NoiseSample(
        error, expected, ~back, row[:, 0], np.ones_like(expected), np.repeat(np.arange(SCANS // 10), 10),
        2 * np.pi / BEAMS, range_step(batch.ranges[:, 0]),
    )  # fmt: skip


@pytest.mark.slow
def test_the_fit_finds_what_the_lidar_was_told():
    found = fit_noise([sample()], seed=0, own_map=False)
    assert set(found) == set(FIELDS)
    assert set(FIELDS) <= set(LidarConfig.model_fields)
    LidarConfig().calibrated({name: item.value for name, item in found.items()})
    assert found["range_resolution"].value == 0.005
    tolerance = {
        "range_noise": 0.1, "shared_noise": 0.12, "shared_angle": 0.3, "outlier_short": 0.3, "outlier_long": 0.3,
        "outlier_angle": 0.3, "edge_shift": 0.25, "edge_mixed": 0.25,
        "dropout": 0.05,
    }  # fmt: skip
    for name, share in tolerance.items():
        item = found[name]
        assert item.value == pytest.approx(TOLD[name], rel=share), name
        assert item.ci_low <= item.value <= item.ci_high
        assert item.identifiable, name
    assert found["range_bias"].value == pytest.approx(0.0, abs=0.002)
    # Small outliers beside an edge pass for the edge's: fewer and larger ones are left, of the same mean error.
    total = [
        value("outlier_long") * (value("outlier_least") + value("outlier_long_size") * gamma(1 + 1 / shape))
        for value, shape in (
            (TOLD.__getitem__, TOLD["outlier_long_shape"]),
            (lambda name: found[name].value, found["outlier_long_shape"].value),
        )
    ]
    assert total[1] == pytest.approx(total[0], rel=0.3)


@pytest.mark.slow
def test_a_bias_shows_only_against_a_map_from_elsewhere():
    biased = sample(1, range_bias=0.04)
    found = fit_noise([biased], seed=0, own_map=False)["range_bias"]
    assert found.value == pytest.approx(0.04, abs=0.003)
    assert found.identifiable
    assert not fit_noise([biased], seed=0, own_map=True)["range_bias"].identifiable


@pytest.mark.slow
def test_a_quiet_lidar_comes_out_quiet():
    quiet = dict.fromkeys(
        ("outlier_short", "outlier_long", "edge_shift", "edge_mixed", "shared_noise", "dropout", "range_resolution"),
        0.0,
    )
    found = fit_noise([sample(2, **quiet)], seed=0)
    assert found["range_noise"].value == pytest.approx(0.008, rel=0.08)
    for name in ("outlier_short", "outlier_long", "edge_shift", "edge_mixed", "dropout"):
        assert found[name].value < 2e-4, name
    assert found["shared_noise"].value < 0.003
    assert not found["outlier_long_size"].identifiable


def test_sizes_by_l_moments_are_those_of_the_distribution():
    for scale, shape in ((0.3, 0.6), (2.0, 1.0), (1.0, 2.5)):
        even = (np.arange(100_000) + 0.5) / 100_000
        values = scale * stats.weibull_min(shape).ppf(even)
        assert weibull_by_l_moments(values) == pytest.approx((scale, shape), rel=0.02)
    assert weibull_by_l_moments(np.zeros(5)) == (0.0, 1.0)


def test_the_density_of_outliers_gives_back_their_number():
    ranges = np.random.default_rng(0).uniform(1, 20, 5000)
    density = density_of_outliers(ranges, 700)
    assert (1 - np.exp(-density * ranges)).sum() == pytest.approx(700, rel=1e-6)
    assert density_of_outliers(ranges, 0) == 0.0


@pytest.mark.parametrize(("step", "found"), [(0.05, 0.05), (0.01, 0.01), (0.001, 0.001), (0.0, 0.0)])
def test_the_step_of_ranges_is_found(step, found):
    r = np.random.default_rng(0).uniform(0.5, 30, 20_000)
    r = np.round(r / step) * step if step else r
    r[:2000] += 0.025 if step == 0.05 else 0.0  # now and then a mean of two readings
    assert range_step(r.astype(np.float32)) == found


def test_too_few_beams_are_refused_and_few_stretches_give_no_interval():
    part = sample().take(np.arange(3))
    with pytest.raises(InputError, match="lidar beams can be held"):
        fit_noise([part], seed=0)
    few = fit_noise([sample().take(np.arange(25))], seed=0)
    assert few["range_noise"].ci_low is None
    assert not few["range_noise"].identifiable
    assert isinstance(few["range_noise"], TwinParameter)
