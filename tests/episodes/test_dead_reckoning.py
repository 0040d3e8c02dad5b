"""Odometry and IMU in the episode: exact settings give the exact motion, and errors are drawn per episode."""

from typing import ClassVar

import numpy as np
import pytest

from floorcast.common.geometry import relative, wrap_angle
from floorcast.episodes.loop import run_episode
from floorcast.episodes.randomization import sample_scenario
from floorcast.episodes.scenario import Scenario
from floorcast.perception.imu import GRAVITY

from .hall import Steer, quick

EXACT = {"rate": 100.0, "gyroscope": {}, "accelerometer": {}}
DRIVE = quick(duration=4.0, frames=0, people=0, robots=2)


class Listen(Steer):
    """Steers, and keeps what it hears."""

    heard: ClassVar[list] = []

    def act(self, observation):
        Listen.heard.append(observation)
        return super().act(observation)


def listened(scenario):
    Listen.heard = []
    record = run_episode(scenario, Listen, policy_name="listen", seed=0, index=0)
    robots = record.pose.shape[1]
    return record, [Listen.heard[r::robots] for r in range(robots)]


def with_sensors(**sensors):
    data = DRIVE.model_dump(mode="json")
    data["sensors"].update(sensors)
    return Scenario.model_validate(data)


def test_an_exact_imu_integrates_to_the_motion():
    drive = with_sensors(imu=EXACT)
    record, heard = listened(drive)
    for r, observations in enumerate(heard):
        assert observations[0].imu.shape == (0, 6)
        samples = np.concatenate([o.imu for o in observations])
        per_step = drive.imu_samples
        assert len(samples) == per_step * (len(observations) - 1)
        dt = 1.0 / drive.sensors.imu.rate
        speed = np.cumsum(samples[:, 3]) * dt + record.velocity[0, r, 0]
        assert np.allclose(speed[per_step - 1 :: per_step], record.velocity[1 : len(observations), r, 0], atol=1e-9)
        assert np.allclose(samples[per_step - 1 :: per_step, 2], record.velocity[1 : len(observations), r, 1])
        turned = wrap_angle(record.pose[len(observations) - 1, r, 2] - record.pose[0, r, 2])
        assert wrap_angle(np.sum(samples[:, 2]) * dt) == pytest.approx(turned, abs=0.03)
        assert np.allclose(samples[:, 5], GRAVITY)


def test_exact_odometry_starts_at_zero_and_follows_the_robot():
    record, heard = listened(DRIVE)
    for r, observations in enumerate(heard):
        assert np.allclose(observations[0].odometry, 0.0)
        true = relative(record.pose[0, r], record.pose[len(observations) - 1, r])
        way = np.hypot(*np.diff(record.pose[:, r, :2], axis=0).T).sum()
        assert way > 0.3
        assert np.hypot(*(observations[-1].odometry - true)[:2]) < 0.1 * way + 0.02


def test_profiles_and_ranges_reach_the_policy():
    noisy = with_sensors(
        imu={"profile": "bosch_bmi055"},
        odometry={"profile": "differential_amr"},
        vary={"imu": {"gyroscope": {"turn_on_bias": {"distribution": "constant", "value": 5, "unit": "deg/s"}}}},
    )
    sampled = sample_scenario(noisy, 0, 0)
    assert sampled.imu.gyroscope.turn_on_bias == pytest.approx(np.radians(5))
    assert sampled.values["sensors.imu.gyroscope.turn_on_bias"] == sampled.imu.gyroscope.turn_on_bias
    _, exact = listened(DRIVE)
    _, heard = listened(noisy)
    _, again = listened(noisy)
    assert heard[0][5].imu.shape == (noisy.imu_samples, 6)
    for r in range(2):
        assert np.array_equal(heard[r][-1].imu, again[r][-1].imu)
        assert np.array_equal(heard[r][-1].odometry, again[r][-1].odometry)
        assert not np.allclose(heard[r][-1].odometry, exact[r][-1].odometry)
    # Two robots are two units.
    assert not np.allclose(heard[0][1].imu.mean(axis=0)[:2], heard[1][1].imu.mean(axis=0)[:2])


@pytest.mark.parametrize(("rate", "samples"), [(33.0, 2), (5.0, 1), (200.0, 10)])
def test_the_rate_of_an_imu_is_rounded_to_the_control_rate(rate, samples):
    scenario = with_sensors(imu={"rate": rate})
    assert scenario.imu_samples == samples
    assert sample_scenario(scenario, 0, 0).imu.rate == samples * scenario.control_rate
