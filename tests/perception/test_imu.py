"""Inertial sensors and wheel odometry: Allan deviations and spreads against the densities that were asked for."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pydantic import ValidationError

from floorcast.common.errors import InputError
from floorcast.perception.config import ImuConfig, InertialErrors, WheelOdometryConfig
from floorcast.perception.imu import GRAVITY, WANDER_PEAK, Imu, allan_deviation, planar_motion
from floorcast.perception.profiles import ASSUMED, load_profile, load_settings, profile_names
from floorcast.perception.wheel_odometry import WheelOdometry

RATE = 100.0


def at_rest(errors, robots, samples, rate=RATE):
    """Gyroscope output (robots, samples, 3) of units at rest."""
    imu = Imu(ImuConfig(rate=rate, gyroscope=errors), 1, np.arange(robots))
    return imu.measure(np.zeros((robots, samples, 3)), np.zeros((robots, samples, 3)))[0]


def closed_form(errors, tau):
    """Allan variance of white noise, first-order Gauss-Markov process and random walk (IEEE Std 952, annex C)."""
    t = errors.bias_time
    variance = (errors.bias_instability / WANDER_PEAK) ** 2
    markov = 2 * variance * t / tau * (1 - t / (2 * tau) * (3 - 4 * np.exp(-tau / t) + np.exp(-2 * tau / t)))
    return errors.noise_density**2 / tau + markov + errors.random_walk**2 * tau / 3


def mean_allan(samples, tau, rate=RATE):
    """Root mean square of the Allan deviations of all axes of all units, and its standard error."""
    flat = np.moveaxis(samples, 1, 0).reshape(samples.shape[1], -1)
    variance = allan_deviation(flat, rate, tau) ** 2
    return np.sqrt(variance.mean(axis=1)), 0.5 * variance.std(axis=1) / np.sqrt(flat.shape[1]) / np.sqrt(
        variance.mean(axis=1)
    )


@pytest.mark.parametrize(
    ("errors", "slope"),
    [
        (InertialErrors(noise_density=2e-4), -0.5),
        (InertialErrors(random_walk=3e-5), 0.5),
        (InertialErrors(bias_instability=1e-4, bias_time=2.0), None),
        (InertialErrors(noise_density=2e-4, bias_instability=1e-4, bias_time=5.0, random_walk=2e-5), None),
    ],
)
def test_allan_deviation_has_the_asked_density_and_slope(errors, slope):
    tau = np.array([0.1, 0.4, 1.0, 4.0, 10.0, 30.0])
    measured, error = mean_allan(at_rest(errors, 40, 30000), tau)
    # The closed form is continuous in time: discrete sums differ by some parts in a hundred at ten samples.
    expected = np.sqrt(closed_form(errors, tau))
    np.testing.assert_array_less(np.abs(measured - expected), 5 * error + (0.01 if slope == -0.5 else 0.06) * expected)
    if slope is not None:
        fitted = np.polyfit(np.log(tau[1:]), np.log(measured[1:]), 1)[0]
        assert fitted == pytest.approx(slope, abs=0.05)


def test_the_floor_of_the_wandering_bias_is_what_data_sheets_print():
    errors = InertialErrors(bias_instability=1e-4, bias_time=1.0)
    measured, _ = mean_allan(at_rest(errors, 60, 20000), [1.5, 1.89, 2.4])
    assert measured.max() == pytest.approx(1e-4, rel=0.03)


def test_the_wander_is_stationary_from_the_first_sample():
    errors = InertialErrors(bias_instability=1e-3, bias_time=50.0)
    out = at_rest(errors, 3000, 200)
    spread = 1e-3 / WANDER_PEAK
    assert out[:, 0].std() == pytest.approx(spread, rel=0.04)
    assert out[:, -1].std() == pytest.approx(spread, rel=0.04)
    kept = (out[:, 0] * out[:, -1]).mean() / spread**2
    assert kept == pytest.approx(np.exp(-199 / RATE / 50), abs=0.06)


def test_constants_of_the_units_have_the_stated_spread():
    errors = InertialErrors(turn_on_bias=0.02, scale_error=0.01, misalignment=0.005)
    imu = Imu(ImuConfig(gyroscope=errors), 1, np.arange(4000))
    still = imu.measure(np.zeros((4000, 1, 3)), np.zeros((4000, 1, 3)))[0][:, 0]
    turning = imu.measure(np.tile([0.0, 0, 2.0], (4000, 1, 1)), np.zeros((4000, 1, 3)))[0][:, 0] - still
    assert still.std() == pytest.approx(0.02, rel=0.03)
    assert (turning[:, 2] / 2 - 1).std() == pytest.approx(0.01, rel=0.05)
    assert (turning[:, :2] / 2).std() == pytest.approx(0.005, rel=0.05)
    assert turning[:, 2].mean() == pytest.approx(2.0, abs=0.002)


def test_steps_and_limits():
    config = ImuConfig(gyroscope=InertialErrors(resolution=0.01, limit=1.0, noise_density=1e-3))
    motion = np.linspace(-3, 3, 1000)[None, :, None] * np.ones(3)
    out, exact = Imu(config, 0, [0]).measure(motion, motion)
    assert_allclose(out / 0.01, np.round(out / 0.01), atol=1e-9)
    assert (out.min(), out.max()) == (-1.0, 1.0)
    assert_array_equal(exact, motion)  # The accelerometer has no errors.
    assert np.abs(out - np.clip(motion, -1, 1)).max() < 0.06


def test_the_bytes_do_not_depend_on_how_samples_and_robots_are_grouped():
    config = load_settings("imu", "bosch_bmi055", ImuConfig)
    rng = np.random.default_rng(0)
    motion = rng.normal(size=(2, 5, 300, 3))
    whole = Imu(config, 9, np.arange(5)).measure(*motion)
    parts = Imu(config, 9, np.arange(5))
    pieces = [
        parts.measure(motion[0][:, a:b], motion[1][:, a:b]) for a, b in ((0, 1), (1, 120), (120, 120), (120, 300))
    ]
    alone = [Imu(config, 9, [r]).measure(motion[0][r : r + 1], motion[1][r : r + 1]) for r in range(5)]
    for s in range(2):
        assert_array_equal(whole[s], np.concatenate([p[s] for p in pieces], axis=1))
        assert_array_equal(whole[s], np.concatenate([p[s] for p in alone]))
    other = Imu(config, 10, np.arange(5)).measure(*motion)
    assert not np.array_equal(whole[0], other[0])


def test_an_exact_imu_reports_the_planar_motion():
    t = np.arange(200) / RATE
    speed, turn = 0.5 * np.sin(t)[None], np.full((1, 200), 0.4)
    angular, force = planar_motion(speed, turn, 0.5 * np.cos(t)[None])
    gyro, accel = Imu(ImuConfig(rate=RATE), 0, [0]).measure(angular, force)
    assert_allclose(gyro[0, :, 2], 0.4)
    assert_allclose(accel[0, :, 0], 0.5 * np.cos(t))
    assert_allclose(accel[0, :, 1], speed[0] * 0.4)
    assert_allclose(accel[0, :, 2], GRAVITY)


@pytest.mark.parametrize("kind", ["imu", "wheels"])
def test_profiles_are_sound(kind):
    model = {"imu": ImuConfig, "wheels": WheelOdometryConfig}[kind]
    names = profile_names(kind)
    assert len(names) == 2
    for name in names:
        profile = load_profile(kind, name)
        assert {f.source for f in profile.settings.values()} <= {*profile.sources, ASSUMED}
        assert model(profile=name).model_copy(update={"profile": ""}) == load_settings(kind, name, model)
    with pytest.raises(InputError, match=f"no {kind} profile"):
        load_settings(kind, "nothing", model)


def test_single_errors_win_over_a_profile():
    config = ImuConfig(profile="movella_mti300", gyroscope={"limit": 5.0})
    assert config.gyroscope.limit == 5.0
    assert config.gyroscope.noise_density == pytest.approx(1.745e-4, rel=1e-3)


def test_profile_units_are_converted():
    mti = load_settings("imu", "movella_mti300", ImuConfig)
    assert mti.gyroscope.noise_density == pytest.approx(1.745e-4, rel=1e-3)
    assert mti.gyroscope.bias_instability == pytest.approx(4.848e-5, rel=1e-3)
    assert mti.accelerometer.noise_density == pytest.approx(5.884e-4, rel=1e-3)
    assert mti.accelerometer.limit == pytest.approx(196.13, rel=1e-4)


def test_bad_motions_and_settings_are_refused():
    imu = Imu(ImuConfig(), 0, [0, 1])
    with pytest.raises(InputError, match="do not fit"):
        imu.measure(np.zeros((1, 5, 3)), np.zeros((1, 5, 3)))
    with pytest.raises(InputError, match="not finite"):
        imu.measure(np.full((2, 5, 3), np.nan), np.zeros((2, 5, 3)))
    for bad in ({"rate": 0}, {"gyroscope": {"noise_density": -1}}, {"gyroscope": {"resolution": 2, "limit": 1}}):
        with pytest.raises(ValidationError):
            ImuConfig(**bad)
    with pytest.raises(InputError, match="averaging"):
        allan_deviation(np.zeros(10), 1.0, [6.0])


def arcs(robots, steps, way, turn):
    """Poses of robots that drive arcs of equal steps."""
    k = np.arange(1, steps + 1) / steps
    yaw = turn * k
    x = way * (np.sin(yaw) / turn if turn else k)
    y = way * ((1 - np.cos(yaw)) / turn if turn else 0 * k)
    return np.tile(np.stack([x, y, yaw], axis=-1), (robots, 1, 1))


@pytest.mark.parametrize("steps", [1, 20, 500])
@pytest.mark.parametrize("direction", [1, -1])
def test_odometry_errors_grow_with_the_way_however_often_it_is_read(steps, direction):
    config = WheelOdometryConfig(rotation_per_metre=4e-4, translation_per_metre=9e-4)
    robots, way = 4000, 3.0 * direction
    odometry = WheelOdometry(config, 2, np.arange(robots), np.zeros((robots, 3)))
    end = odometry.measure(arcs(robots, steps, way, 0.0))[:, -1]
    assert end[:, 2].std() == pytest.approx(np.sqrt(4e-4 * 3), rel=0.05)
    assert end[:, 0].std() == pytest.approx(np.sqrt(9e-4 * 3), rel=0.06)
    assert end[:, 0].mean() == pytest.approx(way, abs=0.01)


def test_odometry_errors_of_turning():
    config = WheelOdometryConfig(rotation_per_rotation=1e-3, translation_per_rotation=2e-4)
    robots, steps = 4000, 50
    poses = np.zeros((robots, steps, 3))
    poses[:, :, 2] = np.linspace(0, 5.0, steps + 1)[1:]
    end = WheelOdometry(config, 2, np.arange(robots), np.zeros((robots, 3))).measure(poses)[:, -1]
    assert end[:, 2].std() == pytest.approx(np.sqrt(1e-3 * 5), rel=0.05)
    assert np.sqrt((end[:, :2] ** 2).sum(axis=1).mean()) == pytest.approx(np.sqrt(2e-4 * 5), rel=0.05)


def test_odometry_without_errors_follows_the_poses_and_splits_do_not_matter():
    poses = arcs(3, 40, 2.0, 1.3)
    exact = WheelOdometry(WheelOdometryConfig(), 2, range(3), np.zeros((3, 3))).measure(poses)
    assert_allclose(exact, poses, atol=1e-12)
    config = load_settings("wheels", "differential_amr", WheelOdometryConfig)
    whole = WheelOdometry(config, 2, range(3), np.zeros((3, 3))).measure(poses)
    parts = WheelOdometry(config, 2, range(3), np.zeros((3, 3)))
    assert_array_equal(whole, np.concatenate([parts.measure(poses[:, :7]), parts.measure(poses[:, 7:])], axis=1))
    assert not np.array_equal(whole, poses)
    with pytest.raises(InputError):
        parts.measure(np.full((3, 1, 3), np.inf))
