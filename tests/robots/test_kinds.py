"""Tricycle and mecanum drives, slopes and payloads off the centre: kinematics, balances, and properties that hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from floorcast.common.errors import InputError
from floorcast.common.primitives import PrimitiveBuilder
from floorcast.physics.settings import PhysicsSettings
from floorcast.physics.world import World
from floorcast.robots.drive import GRAVITY, initial_state, parameter_array, rollout, rollout_velocity, step_drives
from floorcast.robots.drive_table import (
    P_SLOPE_X,
    P_SLOPE_Y,
    S_LATERAL,
    S_OMEGA,
    S_V,
    S_WORK,
    mass_of,
)
from floorcast.robots.drive_tricycle import wheel_command
from floorcast.robots.fleet import Fleet
from floorcast.robots.load import load_robot
from floorcast.robots.model import DriveParameters, MecanumDrive, RobotModel, TricycleDrive

DT = 1.0 / 240.0
KINDS = (DriveParameters(), TricycleDrive(), MecanumDrive())


def held(command, seconds):
    return np.tile(np.asarray(command, dtype=float), (round(seconds / DT), 1))


def run(parameters, commands, *, slope=(0.0, 0.0), pose=(0.0, 0.0, 0.0), velocity=(0.0, 0.0)):
    """Drive one robot; returns poses (T + 1, 3) and velocities (T + 1, 2)."""
    table = parameter_array([parameters])
    table[0, P_SLOPE_X : P_SLOPE_Y + 1] = slope
    poses, speeds = rollout_velocity(table, [pose], [velocity], np.asarray(commands)[None], DT)
    return poses[0], speeds[0]


def trace(parameters, commands, *, slope=(0.0, 0.0)):
    """Drive one robot from rest; returns the states (T + 1, S)."""
    table = parameter_array([parameters])
    table[0, P_SLOPE_X : P_SLOPE_Y + 1] = slope
    state = initial_state(np.zeros((1, 3)), np.zeros((1, 2)), table)
    states = [state[0].copy()]
    for command in commands:
        step_drives(table, state, np.array([command]), DT)
        states.append(state[0].copy())
    return np.array(states)


@pytest.mark.parametrize(("v", "radius"), [(0.3, 1.0), (1.0, 2.5), (-0.8, 3.0), (1.5, -6.0)])
def test_a_tricycle_drives_the_circle_of_its_steering_angle(v, radius):
    pose, speed = run(TricycleDrive(), held((v, v / radius), 20))
    assert speed[-1] == pytest.approx((v, v / radius), rel=1e-6)
    centre = pose[-1000:, :2].T + radius * np.array([-np.sin(pose[-1000:, 2]), np.cos(pose[-1000:, 2])])
    assert np.ptp(centre, axis=1).max() < 1e-3, "the centre of the circle must stand still"


def test_a_tricycle_pivots_about_its_rear_axle():
    pose, speed = run(TricycleDrive(), np.concatenate([held((0, 0.7), 4), held((0, 0), 2)]))
    assert speed[700] == pytest.approx((0, 0.7), abs=1e-6)
    assert np.abs(pose[:, :2]).max() < 0.01
    assert pose[-1, 2] > 2.0


def test_the_wheel_turns_the_shorter_way():
    assert wheel_command(0.0, 0.5, 1.2, 1.75, 1.5) == pytest.approx((np.pi / 2, 0.6))
    assert wheel_command(0.0, 0.5, 1.2, 1.75, -1.5) == pytest.approx((-np.pi / 2, -0.6))
    assert wheel_command(-1.0, 0.0, 1.2, 1.75, 0.3) == pytest.approx((0.0, -1.0))
    assert wheel_command(0.0, 0.0, 1.2, 1.75, 0.3) == (0.3, 0.0)
    angle, speed = wheel_command(0.0, 0.5, 1.2, 1.2, 0.0)
    assert (abs(angle), abs(speed)) == pytest.approx((1.2, 0.6)), "beyond what the wheel can turn"


@pytest.mark.parametrize(
    "command", [(0.8, 0, 0), (0, 0.6, 0), (0.5, 0.5, 0), (-0.4, 0.6, 0), (0.5, -0.3, 0.6), (0, 0, 1)]
)
def test_a_mecanum_drive_goes_wherever_it_is_told(command):
    states = trace(MecanumDrive(payload=60), held(command, 3))
    assert states[-1, [S_V, S_LATERAL, S_OMEGA]] == pytest.approx(command, abs=1e-6)


@pytest.mark.parametrize("parameters", KINDS, ids=lambda p: type(p).__name__)
@settings(max_examples=40, deadline=None)
@given(st.floats(-1.5, 1.5), st.floats(-1.0, 1.0), st.floats(-1.5, 1.5), st.floats(0.05, 1.0), st.floats(-0.1, 0.1))
def test_left_and_right_are_mirror_images(parameters, v, lateral, omega, friction, slope):
    changed = parameters.model_copy(update={"friction": friction, "payload": 40.0, "payload_y": 0.1})
    mirror = changed.model_copy(update={"payload_y": -0.1})
    right, _ = run(changed, held((v, lateral, omega), 1.5), slope=(0.05, slope))
    left, _ = run(mirror, held((v, -lateral, -omega), 1.5), slope=(0.05, -slope))
    assert np.allclose(right * [1, -1, -1], left, atol=1e-6)


@pytest.mark.parametrize("parameters", KINDS, ids=lambda p: type(p).__name__)
@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-2, 2), st.floats(-1, 1), st.floats(-1.5, 1.5)), min_size=1, max_size=4),
    st.floats(0.05, 1.0),
    st.floats(5, 60),
    st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1)),
)
def test_no_energy_comes_from_nothing(parameters, plan, friction, torque, slope):
    """Kinetic and potential energy never exceed what the motors have put in."""
    changed = parameters.model_copy(
        update={"friction": friction, "max_wheel_torque": torque, "payload": 50.0, "payload_x": 0.1, "payload_y": 0.05}
    )
    states = trace(changed, np.concatenate([held(command, 0.5) for command in plan]), slope=slope)
    mass, inertia, x, y = (float(value[0]) for value in mass_of(parameter_array([changed])))
    u, w = states[:, S_V] - states[:, S_OMEGA] * y, states[:, S_LATERAL] + states[:, S_OMEGA] * x
    kinetic = 0.5 * mass * (u * u + w * w) + 0.5 * inertia * states[:, S_OMEGA] ** 2
    cos, sin = np.cos(states[:, 2]), np.sin(states[:, 2])
    place = states[:, :2] + np.column_stack([cos * x - sin * y, sin * x + cos * y])
    height = (place - place[0]) @ np.array(slope) / np.sqrt(1 + np.dot(slope, slope))
    gained = kinetic + mass * GRAVITY * height - states[:, S_WORK]
    assert gained.max() < 1e-3 * (1.0 + kinetic.max() + states[-1, S_WORK])


def test_robots_of_all_kinds_in_one_batch_do_not_touch_each_other():
    rng = np.random.default_rng(5)
    table = parameter_array([*KINDS, DriveParameters(payload=30, payload_x=0.2)])
    table[:, P_SLOPE_X] = (0.0, 0.03, -0.02, 0.0)
    commands = rng.normal(size=(4, 300, 3))
    start, velocity = rng.normal(size=(4, 3)), np.array([[0.5, 0.1]] * 4)
    together = rollout(table, start, velocity, commands, DT)
    for i in range(4):
        one = slice(i, i + 1)
        assert np.array_equal(together[one], rollout(table[one], start[one], velocity[one], commands[one], DT))


@pytest.mark.parametrize("parameters", KINDS, ids=lambda p: type(p).__name__)
def test_steady_starts_stay_steady(parameters):
    _, speed = run(parameters, held((0.6, 0.2), 1), velocity=(0.6, 0.2))
    assert np.allclose(speed, (0.6, 0.2), atol=1e-9)


def test_the_general_balance_meets_the_plain_one():
    """A payload a hair off the centre takes the general way; it must agree with the plain one for the centre."""
    rng = np.random.default_rng(2)
    commands = np.repeat(rng.uniform((-1.5, -2.5), (1.5, 2.5), (10, 2)), 60, axis=0)
    for friction in (0.8, 0.1):
        plain, _ = run(DriveParameters(payload=50, friction=friction), commands)
        general, _ = run(DriveParameters(payload=50, friction=friction, payload_x=1e-12), commands)
        assert np.abs(plain - general).max() < 1e-6


@pytest.mark.parametrize("kind", ["differential", "tricycle", "mecanum"])
def test_loads_and_inertia_by_the_parallel_axis_theorem(kind):
    parameters = load_robot({"differential": "amr_600", "tricycle": "forklift", "mecanum": "mecanum"}[kind]).drive
    loaded = parameters.model_copy(update={"payload": 200.0, "payload_x": -0.3, "payload_y": 0.1})
    mass, inertia, x, y = (float(value[0]) for value in mass_of(parameter_array([loaded])))
    own_x = parameters.drive_wheel_load * parameters.wheel_base if kind == "tricycle" else 0.0
    assert mass == parameters.mass + 200.0
    assert (x, y) == pytest.approx(((parameters.mass * own_x - 60.0) / mass, 20.0 / mass))
    about_own = parameters.mass * ((own_x - x) ** 2 + y * y)
    about_load = 200.0 * ((-0.3 - x) ** 2 + (0.1 - y) ** 2)
    assert inertia == pytest.approx(parameters.inertia + 0.06 * 200.0 + about_own + about_load)


@pytest.mark.parametrize("name", ["amr_600", "forklift", "mecanum"])
def test_encoders_reckon_the_way(name):
    """Without slip, the dead-reckoned pose is the true one but for the ticks; the measured velocity too."""
    world = World(PrimitiveBuilder().build(), (), (), settings=PhysicsSettings())
    fleet = Fleet(world, [load_robot(name)])
    fleet.reset([[1.0, 2.0, 0.5]])
    for command in ((0.8, 0.3, 0.4), (0.5, 0.0, -0.6), (-0.4, -0.2, 0.2)):
        fleet.command([command])
        fleet.step(480)
    assert fleet.odometry[0] == pytest.approx(fleet.pose[0], abs=0.01)
    assert fleet.encoder_velocity[0] == pytest.approx(fleet.velocity[0], abs=0.02)
    assert fleet.encoder_lateral_velocity[0] == pytest.approx(fleet.lateral_velocity[0], abs=0.02)
    assert fleet.encoder_ticks.shape == (1, 4)
    world.close()


def test_mixed_fleet_cut_into_calls_changes_no_bit():
    solids = PrimitiveBuilder()
    solids.box((0.1, 20, 1), (6.0, 0, 1), class_name="wall")
    ends = []
    for chunk in (1, 48):
        made = World(solids.build(), ("wall",), ("W1",))
        fleet = Fleet(made, [load_robot(name) for name in ("amr_100", "forklift", "mecanum")])
        fleet.reset([[0, 0, 0.2], [0, 5, 0.3], [0, -5, 0.0]])
        fleet.set_slope([[0.0, 0.03], [0.02, 0.0], [-0.02, 0.01]])
        fleet.set_payload(1, 800.0)
        fleet.command([[0.9, 0.0, 0.1], [0.9, 0.0, -0.05], [0.8, 0.3, 0.05]])
        for _ in range(0, 48 * 42, chunk):
            fleet.step(chunk)
        ends.append((fleet.pose, fleet.velocity, fleet.energy_wh, fleet.odometry, fleet.encoder_ticks))
        touched = {contact.robot for contact in made.contacts()}
        made.close()
    assert len(touched) >= 2, "robots must have met the wall for this to mean anything"
    for one, other in zip(*ends, strict=True):
        assert np.array_equal(one, other)


def test_what_does_not_fit_is_refused():
    world = World(PrimitiveBuilder().build(), (), (), settings=PhysicsSettings())
    fleet = Fleet(world, [load_robot("forklift"), load_robot("amr_100")])
    for call, text in (
        (lambda: fleet.set_payload(1, 50.0, (0.6, 0.0)), "not on robot 1"),
        (lambda: fleet.set_payload(1, 50.0, (float("nan"), 0.0)), "not on robot 1"),
        (lambda: fleet.set_slope([[0.0, 0.0], [0.6, 0.0]]), "slope under robot 1"),
        (lambda: fleet.set_slope([[0.0, 0.0]]), "shape"),
        (lambda: fleet.watch_motors(np.zeros((2, 2, 9))), "robot 0 is tricycle"),
        (lambda: Fleet(world, [load_robot("mecanum")], [DriveParameters()]), "robot 0 is mecanum"),
        (lambda: load_robot("amr_60"), "amr_600"),
    ):
        with pytest.raises(InputError, match=text):
            call()
    with pytest.raises(ValueError, match="needs a MecanumDrive"):
        RobotModel(kind="mecanum", drive=TricycleDrive())
    world.close()
