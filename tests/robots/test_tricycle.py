import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from floorcast.common.errors import InputError
from floorcast.robots.tricycle import TricycleParameters, dead_reckon, signed_steering, unwrap_traction

TRUCK = TricycleParameters(k_steer=0.5, k_traction=0.02, axis_length=1.4, steer_offset=0.1)


def ticks_of(angle: float) -> float:
    """Steering ticks at which the truck's wheel stands at an angle [rad]."""
    return (angle - TRUCK.steer_offset) / TRUCK.k_steer / (2 * np.pi) * TRUCK.steering_ticks


def test_straight_ahead():
    traction = np.linspace(0, 5000 * 100, 51)
    pose = dead_reckon(np.full(51, ticks_of(0.0)), traction, TRUCK)
    np.testing.assert_allclose(pose[-1], [2.0, 0.0, 0.0], atol=1e-12)


@pytest.mark.parametrize("angle", [0.3, -0.8, 1.4])
@pytest.mark.parametrize("steps", [2, 40])
def test_a_fixed_wheel_drives_a_circle_whatever_the_step(angle, steps):
    travel = 3.0
    traction = np.linspace(0, travel / TRUCK.k_traction * TRUCK.traction_ticks, steps)
    pose = dead_reckon(np.full(steps, ticks_of(angle)), traction, TRUCK)
    # The front wheel rolls on a circle of radius L / sin a, the rear axle's centre on one of L / tan a.
    turn = travel * np.sin(angle) / TRUCK.axis_length
    radius = TRUCK.axis_length / np.tan(angle)
    np.testing.assert_allclose(pose[-1], [radius * np.sin(turn), radius * (1 - np.cos(turn)), turn], atol=1e-9)


def test_driving_back_the_same_way_returns_to_the_start():
    rng = np.random.default_rng(0)
    steering = np.cumsum(rng.uniform(-50, 50, 200))
    traction = np.cumsum(rng.uniform(0, 9000, 200))
    both = dead_reckon(np.concatenate([steering, steering[::-1]]), np.concatenate([traction, traction[::-1]]), TRUCK)
    np.testing.assert_allclose(both[-1], 0.0, atol=1e-9)


def test_agrees_with_a_fine_integration_of_the_rolling_condition():
    rng = np.random.default_rng(1)
    steering = np.cumsum(rng.uniform(-40, 40, 80))
    traction = np.cumsum(rng.uniform(-2000, 9000, 80))
    pose = dead_reckon(steering, traction, TRUCK)
    x = y = yaw = 0.0
    for i in range(79):
        mean = 0.5 * (steering[i] + steering[i + 1])
        angle = TRUCK.k_steer * mean * 2 * np.pi / 8192 + TRUCK.steer_offset
        piece = (traction[i + 1] - traction[i]) / 5000 * TRUCK.k_traction / 500
        for _ in range(500):
            x += piece * np.cos(angle) * np.cos(yaw)
            y += piece * np.cos(angle) * np.sin(yaw)
            yaw += piece * np.sin(angle) / TRUCK.axis_length
    np.testing.assert_allclose(pose[-1], [x, y, yaw], atol=1e-4)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-(2**31) + 1, 2**31 - 1), min_size=1, max_size=30), st.integers(0, 2**32 - 1))
def test_a_wrapping_counter_runs_on(steps, start):
    counter = np.concatenate([[start], start + np.cumsum(np.array(steps, dtype=np.int64))])
    found = unwrap_traction(counter % 2**32)
    np.testing.assert_array_equal(found, counter - start)


def test_steering_ticks_of_the_upper_half_are_negative():
    assert signed_steering([0, 1, 4095, 4096, 8191]).tolist() == [0, 1, 4095, -4096, -1]


def test_ticks_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="differ in shape"):
        dead_reckon(np.zeros(3), np.zeros(4), TRUCK)
    with pytest.raises(InputError, match="one row of ticks"):
        unwrap_traction(np.zeros((2, 2)))


def test_no_ticks_and_one_tick():
    assert dead_reckon(np.zeros(0), np.zeros(0), TRUCK).shape == (0, 3)
    np.testing.assert_array_equal(dead_reckon([5.0], [7.0], TRUCK), np.zeros((1, 3)))
    assert unwrap_traction(np.zeros(0)).shape == (0,)
