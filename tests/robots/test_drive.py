"""The traction model against closed-form answers and an independent integration."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from floorcast.common.errors import InputError
from floorcast.robots import drive, drive_table
from floorcast.robots.drive import GRAVITY, delay_commands, parameter_array, rollout, rollout_velocity
from floorcast.robots.model import DRIVE_OF, DriveParameters

DT = 1.0 / 240.0


def run(parameters, commands, *, velocity=(0.0, 0.0), dt=DT):
    """Drive one robot from the origin; returns poses (T + 1, 3) and velocities (T + 1, 2)."""
    table = parameter_array([parameters])
    pose, speed = rollout_velocity(table, np.zeros((1, 3)), [velocity], np.asarray(commands)[None], dt)
    return pose[0], speed[0]


def held(v, omega, seconds, dt=DT):
    return np.tile([float(v), float(omega)], (round(seconds / dt), 1))


def test_columns_are_the_fields_of_the_model():
    fields = {name for kind in DRIVE_OF.values() for name in kind.model_fields}
    assert set(drive.PARAMETER_NAMES) == fields | {"kind", "unladen_x", "slope_x", "slope_y"}
    values = {name: 0.1 + 0.001 * k for k, name in enumerate(DriveParameters.model_fields)}
    values["encoder_ticks"] = 77
    row = parameter_array([DriveParameters(**values)])[0]
    assert row[drive_table.P_RADIUS] == values["wheel_radius"]
    assert row[drive_table.P_LAG] == values["motor_lag"]
    assert row[drive_table.P_DECELERATION] == values["max_deceleration"]
    assert row[drive_table.P_FRICTION] == values["friction"]
    assert row[drive_table.P_ROLLING] == values["rolling_resistance"]
    assert row[drive_table.P_TICKS] == 77
    truck = parameter_array([DRIVE_OF["tricycle"](steering_ticks=99)])[0]
    assert (truck[drive_table.P_KIND], truck[drive_table.P_STEER_TICKS]) == (drive_table.TRICYCLE, 99)
    assert parameter_array([DRIVE_OF["mecanum"](roller_friction=0.07)])[0, drive_table.P_ROLLER] == 0.07
    assert len(drive.STATE_NAMES) == drive_table.S_FORCE_RR + 1


def test_ramp_and_lag_meet_the_closed_form_distance():
    parameters = DriveParameters(max_acceleration=1.0, max_deceleration=2.0, motor_lag=0.1)
    pose, speed = run(parameters, np.concatenate([held(0.5, 0, 4), held(0, 0, 4)]))
    # Ramp: v T - v^2 / 2a + v^2 / 2d; the lag only shifts it in time.
    assert pose[-1, 0] == pytest.approx(0.5 * 4 - 0.125 + 0.0625, abs=1e-9)
    assert abs(speed[-1, 0]) < 1e-9
    # Velocity inside the ramp: a (t - tau (1 - exp(-t / tau))).
    t = 60 * DT
    assert speed[60, 0] == pytest.approx(t - 0.1 * (1 - np.exp(-t / 0.1)), abs=1e-12)


@pytest.mark.parametrize("payload", [0.0, 120.0])
def test_default_robot_does_what_it_is_told(payload):
    parameters = DriveParameters(payload=payload)
    pose, _ = run(parameters, np.concatenate([held(0.5, 0, 4), held(0, 0, 2)]))
    assert pose[-1, 0] == pytest.approx(2.0, rel=0.02)
    pose, _ = run(parameters, np.concatenate([held(0, 0.5, 4), held(0, 0, 2)]))
    assert pose[-1, 2] == pytest.approx(2.0, rel=0.03)
    assert np.abs(pose[-1, :2]).max() < 1e-9


@pytest.mark.parametrize(("v", "lag", "deceleration"), [(0.5, 0.08, 2.0), (1.5, 0.2, 1.2), (2.0, 0.0, 3.0)])
def test_stopping_distance(v, lag, deceleration):
    parameters = DriveParameters(motor_lag=lag, max_deceleration=deceleration, friction=1.5)
    pose, speed = run(parameters, held(0, 0, 6), velocity=(v, 0))
    assert pose[-1, 0] == pytest.approx(v * v / (2 * deceleration) + v * lag, rel=1e-6)
    assert abs(speed[-1, 0]) < 1e-9


@pytest.mark.parametrize("payload", [0.0, 200.0])
def test_acceleration_is_limited_by_motor_torque(payload):
    parameters = DriveParameters(
        max_wheel_torque=4.0, payload=payload, max_acceleration=10, motor_lag=0.0, rolling_resistance=0.01
    )
    _, speed = run(parameters, held(1.5, 0, 0.8))
    force = 2 * 4.0 / 0.1 - 0.01 * (90 + payload) * GRAVITY
    expected = force / (90 + payload)
    assert (speed[150, 0] - speed[50, 0]) / (100 * DT) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("friction", [0.05, 0.2])
@pytest.mark.parametrize("dt", [DT, 1 / 60])
def test_braking_on_ice_is_limited_by_friction(friction, dt):
    parameters = DriveParameters(friction=friction, max_deceleration=9.0, motor_lag=0.01)
    pose, _ = run(parameters, held(0, 0, 8, dt), velocity=(1.0, 0), dt=dt)
    ideal = 1.0 / (2 * friction * 0.7 * GRAVITY)
    # The wheels need about 0.1 s to come to a stop and lose grip only when their ramp outruns the friction.
    assert ideal < pose[-1, 0] < ideal * 1.001 + 0.02
    assert pose[-1, 0] == pytest.approx(ideal, rel=0.01)


def test_a_fast_curve_slides_outwards_at_the_friction_limit():
    parameters = DriveParameters(friction=0.3, max_yaw_acceleration=50)
    limit = 0.3 * 0.7 * GRAVITY
    _, speed = run(parameters, held(1.0, 1.5, 2), velocity=(1.0, 1.5))
    assert np.allclose(speed[-1], (1.0, 1.5), atol=1e-9), "v omega = 1.5 m/s^2 is below the limit of 2.06"
    pose, speed = run(parameters, held(1.5, 2.0, 25), velocity=(1.5, 2.0))
    assert np.allclose(speed[:, 1], 2.0)
    velocity = np.diff(pose[:, :2], axis=0) / DT
    acceleration = np.linalg.norm(np.diff(velocity, axis=0), axis=1) / DT
    assert acceleration.max() < limit * 1.02
    # The yaw rate is held: the path becomes a circle with the limit as its centripetal acceleration, a = v omega.
    assert np.linalg.norm(velocity[-3600:], axis=1).mean() == pytest.approx(limit / 2.0, rel=0.01)


def test_against_an_independent_integration():
    """Lag and ramp as plain differential equations, solved by an adaptive method."""
    parameters = DriveParameters(motor_lag=0.15, linear_gain=0.97, angular_gain=1.04)
    plan = [(0.0, 1.2, 0.6), (1.5, 0.4, -1.0), (3.0, -0.8, 0.3), (4.5, 0.0, 0.0)]
    commands = np.concatenate([held(v, w, 1.5) for _, v, w in plan])

    def right_side(t, y):
        _, v, w = [row for row in plan if row[0] <= t + 1e-12][-1]
        ramp_v, ramp_w, real_v, real_w, _, _, yaw = y
        goal_v, goal_w = 0.97 * v, 1.04 * w
        rate = 1.5 if abs(goal_v) > abs(ramp_v) and goal_v * ramp_v >= 0 else 2.0
        slope_v = rate * np.clip((goal_v - ramp_v) / 1e-4, -1, 1)
        slope_w = 4.0 * np.clip((goal_w - ramp_w) / 1e-4, -1, 1)
        return [
            slope_v,
            slope_w,
            (ramp_v - real_v) / 0.15,
            (ramp_w - real_w) / 0.15,
            real_v * np.cos(yaw),
            real_v * np.sin(yaw),
            real_w,
        ]

    y = np.zeros(7)
    for start, _, _ in plan:
        y = solve_ivp(right_side, (start, start + 1.5 - 1e-9), y, max_step=0.01, rtol=1e-6, method="LSODA").y[:, -1]
    pose, speed = run(parameters, commands)
    assert pose[-1] == pytest.approx(y[4:], abs=2e-3)
    assert speed[-1] == pytest.approx(y[2:4], abs=2e-3)


def test_the_step_hardly_matters():
    rng = np.random.default_rng(4)
    coarse = np.repeat(rng.uniform(-1, 1, (20, 2)), 10, axis=0)
    pose_coarse, _ = run(DriveParameters(), coarse, dt=1 / 20)
    pose_fine, _ = run(DriveParameters(), np.repeat(coarse, 12, axis=0), dt=DT)
    assert np.abs(pose_coarse[-1] - pose_fine[-1]).max() < 0.01


def test_batch_members_do_not_touch_each_other():
    rng = np.random.default_rng(5)
    table = parameter_array(
        [DriveParameters(mass=m, friction=f) for m, f in zip((50, 90, 200), (0.1, 0.8, 0.3), strict=True)]
    )
    start, velocity = rng.normal(size=(3, 3)), rng.normal(size=(3, 2))
    commands = rng.normal(size=(3, 200, 2))
    together = rollout(table, start, velocity, commands, DT)
    for i in range(3):
        one = slice(i, i + 1)
        assert np.array_equal(together[one], rollout(table[one], start[one], velocity[one], commands[one], DT))


@settings(max_examples=40, deadline=None)
@given(
    st.floats(0.03, 1.2),
    st.floats(20, 400),
    st.floats(1, 40),
    st.lists(st.tuples(st.floats(-4, 4), st.floats(-6, 6)), min_size=2, max_size=8),
)
def test_limits_hold_for_any_command(friction, mass, torque, plan):
    parameters = DriveParameters(friction=friction, mass=mass, max_wheel_torque=torque)
    commands = np.concatenate([held(v, w, 0.5) for v, w in plan])
    pose, speed = run(parameters, commands)
    assert np.abs(speed[:, 0]).max() <= parameters.max_speed + 1e-9
    assert np.abs(speed[:, 1]).max() <= parameters.max_yaw_rate + 1e-9
    velocity = np.diff(pose[:, :2], axis=0) / DT
    acceleration = np.linalg.norm(np.diff(velocity, axis=0), axis=1) / DT
    # 1e-3: the pose moves along chords, at the heading of the middle of each step.
    assert acceleration.max() <= friction * 0.7 * GRAVITY * 1.001 + 1e-3


@settings(max_examples=25, deadline=None)
@given(st.floats(-2, 2), st.floats(-2.5, 2.5), st.floats(0.05, 1.0))
@example(1.0, 2.0, 0.4375)  # both wheels on the edge of their friction circles
@example(-2.0, 2.5, 0.4375)
def test_left_and_right_are_mirror_images(v, omega, friction):
    parameters = DriveParameters(friction=friction)
    right, _ = run(parameters, held(v, omega, 2))
    left, _ = run(parameters, held(v, -omega, 2))
    assert np.allclose(right * [1, -1, -1], left, atol=1e-6)


def test_delayed_commands_keep_the_mean_of_each_step():
    commands = np.zeros((1, 12, 2))
    commands[0, 4:, 0] = 1.0
    delayed = delay_commands(commands, 2.25 * DT, DT)[0, :, 0]
    assert delayed.tolist() == [0] * 6 + [0.75] + [1] * 5
    assert np.array_equal(delay_commands(commands, 0.0, DT), commands)


@pytest.mark.parametrize("delay", [0.0, 0.1, 0.0213, 0.37])
def test_dead_time_adds_its_distance_exactly(delay):
    table = parameter_array([DriveParameters(command_delay=delay)])
    commands = np.concatenate([held(0.9, 0, 1), held(0, 0, 3)])[None]
    pose = rollout(table, np.zeros((1, 3)), [[0.9, 0]], commands, DT, apply_delay=True)
    assert pose[0, -1, 0] == pytest.approx(0.9 * (1 + delay + 0.08) + 0.9**2 / (2 * 2.0), abs=1e-9)
    blended = rollout(table, np.zeros((1, 3)), [[0.9, 0]], delay_commands(commands, delay, DT), DT)
    assert blended[0, -1, 0] == pytest.approx(pose[0, -1, 0], abs=0.9 * DT)


def test_zero_is_a_fixed_point():
    pose, speed = run(DriveParameters(), held(0, 0, 5))
    assert not pose.any()
    assert not speed.any()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"commands": np.full((1, 5, 2), np.nan)}, "not finite"),
        ({"commands": np.zeros((1, 5))}, "shape"),
        ({"start_pose": np.zeros((2, 3))}, "start_pose"),
        ({"start_velocity": [[np.inf, 0]]}, "start_velocity"),
        ({"dt": 0.0}, "step"),
        ({"dt": float("nan")}, "step"),
        ({"parameters": np.zeros((1, 3))}, "parameters"),
    ],
)
def test_bad_input_is_explained(change, text):
    arguments = {
        "parameters": parameter_array([DriveParameters()]),
        "start_pose": np.zeros((1, 3)),
        "start_velocity": np.zeros((1, 2)),
        "commands": np.zeros((1, 5, 2)),
        "dt": DT,
    }
    with pytest.raises(InputError, match=text):
        rollout(**(arguments | change))
