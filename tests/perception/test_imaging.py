"""From light to grey levels: every link of the chain against its closed form."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from floorcast.perception.config import CameraConfig
from floorcast.perception.imaging import compress, develop_picture, development, gaussian, meter, soften, transmission
from floorcast.perception.lanes import row_stride
from floorcast.perception.noise import QUANTILES, random_bits_of
from floorcast.perception.shading import linear_to_srgb, srgb_to_linear

SHAPE = (150, 200, 3)
QUIET = {"width": 200, "height": 150, "noise": 0.0, "shot_noise": 0.0}


def rows_of(light):
    """Lay light (H, W, 3) out as the kernels want it."""
    height, width, _ = light.shape
    rows = np.full((height, 3, row_stride(width)), np.nan, np.float32)
    rows[..., :width] = np.moveaxis(light, 2, 1)
    return rows


def develop(light, config, *, key=1, sensor=0):
    """Develop light (H, W, 3), or one level everywhere."""
    light = rows_of(np.broadcast_to(np.asarray(light, dtype=np.float32), SHAPE))
    how = development(config, sensor)
    exposure, gain = meter(light, config, how.transmission)
    rgb = np.zeros(SHAPE, np.uint8)
    develop_picture(light, how, exposure, gain, np.uint64(key), rgb)
    return rgb


def linear(rgb):
    return srgb_to_linear(rgb).astype(float)


def test_encoding_is_srgb_and_clips():
    light = np.linspace(-0.5, 1.5, SHAPE[0])[:, None, None]
    expected = np.rint(linear_to_srgb(light))
    assert np.abs(develop(light, CameraConfig(**QUIET)) - expected).max() <= 1
    assert (develop(light, CameraConfig(**QUIET)) == expected).mean() > 0.99


@pytest.mark.parametrize("read_noise", [0.0, 25.0])
def test_photon_transfer_curve_of_a_linear_sensor(read_noise):
    # EMVA 1288: the variance in electrons is their mean plus the square of the dark noise. Measured after the sRGB
    # curve, whose slope it is divided by; rounding adds 1/12 of a squared grey level.
    well = 4000.0
    config = CameraConfig(**{**QUIET, "noise": 9.0}, full_well=well, read_noise=read_noise)
    count = SHAPE[0] * SHAPE[1]
    for light in (0.05, 0.2, 0.5):
        rgb = develop(light, config).astype(float)
        slope = 255 * 1.055 / 2.4 * light ** (1 / 2.4 - 1)
        electrons = light * well
        expected = slope**2 * (electrons + read_noise**2) / well**2 + 1 / 12
        variance = rgb.var(axis=(0, 1))
        # Four standard errors of a variance, and 2 % for the curve's bend.
        assert_allclose(variance, expected, rtol=4 * np.sqrt(2 / count) + 0.02)
        assert_allclose(linear(rgb).mean(axis=(0, 1)), light, rtol=0.01)


def test_gain_brightens_noise_and_exposure_gathers_photons():
    dark = {**QUIET, "full_well": 2000.0}
    by_gain = develop(0.3, CameraConfig(**dark, exposure=0.1, gain=10)).astype(float)
    by_light = develop(0.3, CameraConfig(**dark)).astype(float)
    assert_allclose(linear(by_gain).mean(), 0.3, rtol=0.02)
    assert_allclose(by_gain.std() / by_light.std(), np.sqrt(10), rtol=0.06)


def test_what_is_over_the_full_well_is_lost_whatever_the_gain():
    assert_array_equal(
        develop(5.0, CameraConfig(**QUIET, full_well=1e4, exposure=2, gain=0.25)), np.rint(linear_to_srgb(0.25))
    )


def test_fixed_pattern_belongs_to_the_sensor_alone():
    pattern = {"dark_nonuniformity": 0.02, "gain_nonuniformity": 0.05}
    config = CameraConfig(**QUIET, **pattern)
    one, again, other = develop(0.4, config, key=1), develop(0.4, config, key=2), develop(0.4, config, sensor=1)
    assert_array_equal(one, again)
    assert (one != other).mean() > 0.5
    deviation = np.hypot(0.02, 0.05 * 0.4)
    assert_allclose(linear(one).std(axis=(0, 1)), deviation, rtol=0.03)
    assert_allclose(linear(one).mean(), 0.4, rtol=0.005)
    rows = linear(develop(0.4, CameraConfig(**QUIET, row_nonuniformity=0.03)))[..., 1]
    assert np.ptp(rows, axis=1).max() < 1e-6
    assert rows[:, 0].std() == pytest.approx(0.03, rel=0.25)
    columns = linear(develop(0.4, CameraConfig(**QUIET, column_nonuniformity=0.03)))[..., 1]
    assert np.ptp(columns, axis=0).max() < 1e-6
    assert columns[0].std() == pytest.approx(0.03, rel=0.25)


def test_hot_pixels_are_as_many_as_said_and_bright():
    rgb = linear(develop(0.0, CameraConfig(**QUIET, hot_pixels=0.01)))
    hot = rgb[..., 0] > 0.1
    expected = 0.01 * hot.size
    assert abs(hot.sum() - expected) < 4 * np.sqrt(expected)
    assert rgb[hot].min() > 0.19
    assert (rgb[~hot] == 0).all()


def test_vignetting_is_cos_to_the_fourth():
    config = CameraConfig(**QUIET, vignetting=1.0, horizontal_fov=1.6, center_offset=(10, -4))
    share = transmission(config, 0)
    for v, u in ((0, 0), (75, 100), (149, 199), (30, 180)):
        x, y = (u - config.center[0]) / config.focal, (v - config.center[1]) / config.focal
        cosine = 1 / np.sqrt(1 + x * x + y * y)
        assert share[v, u] == pytest.approx(cosine**4, rel=1e-5)
    assert_allclose(linear(develop(0.8, config))[..., 0], 0.8 * share, atol=0.008)


def test_dirt_stays_on_its_camera_and_takes_no_more_than_said():
    config = CameraConfig(**QUIET, dirt=0.6)
    share = transmission(config, 0)
    assert 0.39 < share.min() < 0.9
    assert share.max() <= 1
    assert (transmission(config, 0) == share).all()
    assert (transmission(config, 1) != share).any()


def test_auto_exposure_meets_its_target_within_its_limits():
    ramp = np.linspace(0.02, 0.1, SHAPE[1])[None, :, None]
    config = CameraConfig(**QUIET, auto_exposure=True, exposure_target=0.3)
    assert np.median(linear(develop(ramp, config))) == pytest.approx(0.3, rel=0.02)
    low = config.model_copy(update={"exposure_limits": (0.5, 2.0)})
    assert np.median(linear(develop(ramp, low))) == pytest.approx(0.12, rel=0.03)
    dark = develop(0.0, config)
    assert (dark == 0).all()
    high = config.model_copy(update={"exposure_percentile": 100.0})
    assert linear(develop(ramp, high)).max() == pytest.approx(0.3, rel=0.02)


def test_auto_white_balance_makes_the_mean_grey_within_its_limits():
    warm = np.array([0.5, 0.4, 0.3])
    config = CameraConfig(**QUIET, auto_white_balance=True)
    assert_allclose(linear(develop(warm, config)).mean(axis=(0, 1)), 0.4, rtol=0.01)
    tight = config.model_copy(update={"white_balance_limits": (0.9, 1.1)})
    assert_allclose(linear(develop(warm, tight)).mean(axis=(0, 1)), [0.45, 0.4, 0.33], rtol=0.015)
    fixed = CameraConfig(**QUIET, white_balance=(0.8, 1.0, 1.5))
    assert_allclose(linear(develop(0.4, fixed)).mean(axis=(0, 1)), [0.32, 0.4, 0.6], rtol=0.015)


def test_monochrome_is_luminance_with_one_noise():
    config = CameraConfig(**{**QUIET, "noise": 5.0}, monochrome=True)
    rgb = develop(np.array([0.5, 0.2, 0.1]), config)
    assert (rgb == rgb[..., :1]).all()
    expected = linear_to_srgb(0.2126 * 0.5 + 0.7152 * 0.2 + 0.0722 * 0.1)
    assert rgb[..., 0].mean() == pytest.approx(expected, abs=0.2)
    assert rgb[..., 0].std() == pytest.approx(np.sqrt(25 + 1 / 12), rel=0.03)


def test_softness_is_a_gaussian_that_keeps_the_light():
    light = np.zeros((61, 61, 3), np.float32)
    light[30, 30] = 1.0
    light = rows_of(light)
    soften(light, gaussian(2.0), np.empty_like(light), 61)
    v, u = np.indices((61, 61)) - 30
    expected = np.exp(-(v**2 + u**2) / 8.0)
    assert_allclose(light[:, 0, :61], expected / expected.sum(), atol=2e-5)
    flat = rows_of(np.full((20, 30, 3), 0.37, np.float32))
    soften(flat, gaussian(3.0), np.empty_like(flat), 30)
    assert_allclose(flat[..., :30], 0.37, rtol=1e-5)


@pytest.mark.parametrize("width", [2, 5, 15, 16, 17, 40])
def test_every_pixel_of_a_row_is_developed_whatever_its_width(width):
    levels = np.random.default_rng(width).random((3, width, 3)).astype(np.float32)
    config = CameraConfig(width=width, height=3, noise=2.0, shot_noise=3.0)
    one = development(config, 0)
    rgb = np.zeros((3, width, 3), np.uint8)
    develop_picture(rows_of(levels), one, 1.0, np.ones(3, np.float32), np.uint64(9), rgb)
    expected = linear_to_srgb(levels)
    bits = random_bits_of(np.uint64(9), np.arange(3 * width)).reshape(3, width)
    for i in range(3):
        normal = QUANTILES[(bits >> np.uint64(12 * i)) & np.uint64(4095)]
        noisy = expected[..., i] + np.sqrt(4.0 + 9.0 * expected[..., i] / 255.0) * normal
        assert np.abs(rgb[..., i] - np.clip(noisy, 0, 255)).max() <= 0.51


@pytest.mark.parametrize("monochrome", [False, True])
def test_jpeg_loses_more_at_lower_quality_and_is_repeatable(monochrome):
    rgb = np.random.default_rng(3).integers(0, 256, (64, 80, 3)).astype(np.uint8)
    if monochrome:
        rgb[:] = rgb[..., :1]
    error = [np.abs(compress(rgb, q, monochrome).astype(int) - rgb).mean() for q in (10, 50, 95)]
    assert error[0] > error[1] > error[2] > 0
    assert_array_equal(compress(rgb, 50, monochrome), compress(rgb, 50, monochrome))
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 200
    assert (compress(red, 95, False)[..., 0] > 180).all()
