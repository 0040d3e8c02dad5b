"""Fleets in a world: the compiled model, delay, odometry, energy and contacts with what stands around."""

from __future__ import annotations

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.common.primitives import PrimitiveBuilder
from floorcast.episodes.bench.physics import free_poses
from floorcast.layouts.generator import generate_layout
from floorcast.layouts.geometry import layout_solids
from floorcast.layouts.recipe import LayoutRecipe
from floorcast.physics.settings import PhysicsSettings
from floorcast.physics.world import World
from floorcast.robots.drive import parameter_array, rollout
from floorcast.robots.fleet import Fleet
from floorcast.robots.model import DriveParameters, RobotModel

DT = 1.0 / 240.0


def empty_world(**options):
    return World(PrimitiveBuilder().build(), (), (), settings=PhysicsSettings(**options))


@pytest.fixture
def world():
    made = empty_world()
    yield made
    made.close()


def drive_plan(fleet, plan):
    """Drive by rows of (seconds, v, omega), all robots alike."""
    for seconds, v, omega in plan:
        fleet.command([[v, omega]] * len(fleet.models))
        fleet.step(round(seconds / DT))


def test_free_fleet_is_the_rollout(world):
    """30 s of random commands: within 1 mm (in fact rounding) of the batched rollout, delay line included."""
    rng = np.random.default_rng(11)
    drives = [DriveParameters(motor_lag=0.1, command_delay=d, linear_gain=g) for d, g in ((0.0, 1.0), (0.1333, 0.97))]
    fleet = Fleet(world, [RobotModel()] * 2, drives)
    start = np.array([[0.0, 0.0, 0.3], [60.0, 0.0, -1.0]])
    fleet.reset(start)
    commands = np.zeros((2, 30 * 240, 2))
    poses = [fleet.pose]
    for k in range(1, 600):
        command = rng.uniform((-0.5, -1.5), (1.5, 1.5), (2, 2))
        commands[:, (k - 1) * 12 + 12 : k * 12 + 12] = command[:, None]
        fleet.step(12)
        poses.append(fleet.pose)
        fleet.command(command)
    fleet.step(12)
    expected = rollout(parameter_array(drives), start, np.zeros((2, 2)), commands, DT, apply_delay=True)
    assert np.abs(np.array(poses).transpose(1, 0, 2)[..., :2] - expected[:, :-1:12, :2]).max() < 1e-3
    assert np.abs(fleet.pose[:, :2] - expected[:, -1, :2]).max() < 1e-9


def test_all_in_bullet_changes_nothing():
    """A margin as wide as the hall keeps every robot in Bullet at every step; the free floor must be the same."""
    ends = []
    for margin in (0.06, 500.0):
        made = empty_world(margin=margin, release_margin=margin)
        fleet = Fleet(made, [RobotModel()] * 2)
        fleet.reset([[0, 0, 0], [0, 8, 1]])
        drive_plan(fleet, [(3, 1.0, 0.4), (3, 0.3, -1.2), (2, 0, 0)])
        ends.append(np.concatenate([fleet.pose, fleet.odometry]))
        made.close()
    assert np.abs(ends[0] - ends[1]).max() < 1e-6


def test_cutting_steps_into_calls_changes_no_bit():
    solids = PrimitiveBuilder()
    solids.box((0.1, 2, 1), (2.0, 0, 1), class_name="wall")
    ends = []
    for chunk in (1, 7, 48):
        made = World(solids.build(), ("wall",), ("W1",))
        fleet = Fleet(made, [RobotModel()] * 2)
        fleet.reset([[0, 0, 0.2], [0.2, 4, 0.3]])
        fleet.command([[0.9, 0.1], [0.7, -0.5]])
        made.set_people([[3.0, 4.0, 0.0]], [[-0.4, 0.0]])
        for _ in range(0, 48 * 21, chunk):
            fleet.step(chunk)
        ends.append((fleet.pose, fleet.velocity, fleet.energy_wh, fleet.odometry, made.contacts()))
        made.close()
    assert ends[0][4], "the robots must have touched something for this to mean anything"
    for other in ends[1:]:
        for a, b in zip(ends[0][:4], other[:4], strict=True):
            assert np.array_equal(a, b)
        assert ends[0][4] == other[4]


@pytest.mark.parametrize(("area", "seed"), [(150, 0), (800, 1), (2500, 2), (9000, 3)])
def test_does_what_it_is_told_on_generated_layouts(area, seed):
    made = World.from_solids(layout_solids(generate_layout(LayoutRecipe(area=area), seed)))
    fleet = Fleet(made, [RobotModel()])
    start = free_start(made, seed)
    fleet.reset([start])
    drive_plan(fleet, [(4, 0.5, 0), (1, 0, 0)])
    travelled = float(np.hypot(*(fleet.pose[0, :2] - start[:2])))
    assert travelled == pytest.approx(2.0, rel=0.02)
    fleet.reset([start])
    drive_plan(fleet, [(4, 0, 0.5), (1, 0, 0)])
    turned = fleet.pose[0, 2] - start[2]
    assert np.arctan2(np.sin(turned - 2.0), np.cos(turned - 2.0)) == pytest.approx(0, abs=0.06)
    v, drive = 1.2, fleet.models[0].drive
    fleet.reset([start])
    drive_plan(fleet, [(1.3, v, 0)])
    assert fleet.velocity[0, 0] == pytest.approx(v, rel=1e-2)
    before, speed = fleet.pose[0], fleet.velocity[0, 0]
    drive_plan(fleet, [(2, 0, 0)])
    reaction = speed * (drive.command_delay + drive.motor_lag)
    stopping = speed**2 / (2 * drive.max_deceleration) + reaction
    assert float(np.hypot(*(fleet.pose[0, :2] - before[:2]))) == pytest.approx(stopping, rel=0.01)
    assert not made.contacts()
    made.close()


def free_start(world, seed):
    """A pose with 2.6 m of free floor ahead, from a seeded search."""
    rng = np.random.default_rng(seed)
    low, high = world.static_table[:, :2].min(axis=0), world.static_table[:, :2].max(axis=0)
    for _ in range(20_000):
        x, y = rng.uniform(low, high)
        yaw = rng.choice([0.0, np.pi / 2, np.pi, -np.pi / 2])
        ahead = [(x + s * np.cos(yaw), y + s * np.sin(yaw)) for s in np.linspace(-0.2, 2.8, 7)]
        if not any(world.obstacles_at(0, (*point, turn)) for point in ahead for turn in (yaw, yaw + 0.8, yaw + 1.6)):
            return np.array([x, y, yaw])
    raise AssertionError("the hall has no free floor")


def test_delay_and_lag_make_the_reaction(world):
    drive = DriveParameters(command_delay=0.213, motor_lag=0.15)
    fleet = Fleet(world, [RobotModel()], [drive])
    fleet.reset([[0, 0, 0]])
    drive_plan(fleet, [(4, 1.0, 0)])
    x = fleet.pose[0, 0]
    drive_plan(fleet, [(3, 0, 0)])
    assert fleet.pose[0, 0] - x == pytest.approx(1.0 / (2 * 2.0) + 1.0 * (0.213 + 0.15), rel=1e-6)


def test_payload_slows_a_weak_robot(world):
    drive = DriveParameters(max_wheel_torque=3.0, max_acceleration=3.0)
    speeds = []
    for payload in (0.0, 90.0):
        fleet = Fleet(world, [RobotModel()], [drive])
        fleet.reset([[0, 0, 0]], [payload])
        drive_plan(fleet, [(0.8, 2.0, 0)])
        speeds.append(fleet.velocity[0, 0])
    assert speeds[1] < 0.6 * speeds[0]
    fleet.set_payload(0, 0.0)
    before = fleet.velocity[0, 0]
    drive_plan(fleet, [(0.2, 2.0, 0)])
    assert fleet.velocity[0, 0] - before == pytest.approx(0.2 * (60 / 90 - 0.012 * 9.81), rel=0.01)


def test_floor_friction_of_the_episode_counts(world):
    drive = DriveParameters(max_deceleration=5.0)
    stops = []
    for friction in (0.8, 0.1):
        fleet = Fleet(world, [RobotModel()], [drive])
        fleet.reset([[0, 0, 0]], friction=friction)
        drive_plan(fleet, [(6, 1.0, 0)])
        x = fleet.pose[0, 0]
        drive_plan(fleet, [(4, 0, 0)])
        stops.append(fleet.pose[0, 0] - x)
    assert stops[0] == pytest.approx(1 / 10 + 0.1, rel=0.01)
    assert stops[1] == pytest.approx(1 / (2 * 0.1 * 0.7 * 9.81) + 0.02, rel=0.05)


def test_odometry_counts_whole_ticks_and_believes_the_nominal_model(world):
    true = DriveParameters(wheel_radius=0.099, track_width=0.51)
    fleet = Fleet(world, [RobotModel()], [true])
    fleet.reset([[2.0, 1.0, 0.0]])
    drive_plan(fleet, [(5, 0.8, 0), (2, 0, 0)])
    true_distance = fleet.pose[0, 0] - 2.0
    tick = 2 * np.pi * 0.1 / 4096
    assert fleet.odometry[0, 0] - 2.0 == pytest.approx(true_distance / 0.99, abs=2 * tick)
    ticks = fleet.encoder_ticks
    assert ticks.dtype == np.int64
    assert ticks[0, 0] == int(true_distance / (2 * np.pi * 0.099) * 4096 + 1e-6)
    drive_plan(fleet, [(4, 0, 1.0), (2, 0, 0)])
    assert fleet.odometry[0, 2] != pytest.approx(fleet.pose[0, 2], abs=0.02)


def test_encoder_velocity_is_quantised_and_close(world):
    fleet = Fleet(world, [RobotModel()])
    fleet.reset([[0, 0, 0]])
    assert not fleet.encoder_velocity.any()
    drive_plan(fleet, [(4, 0.7, 0.3)])
    step = 2 * np.pi * 0.1 / 4096 / 0.05
    assert fleet.encoder_velocity[0, 0] == pytest.approx(0.7, abs=step)
    assert fleet.encoder_velocity[0, 1] == pytest.approx(0.3, abs=2 * step / 0.5)


def test_wheels_that_slip_fool_the_odometry(world):
    fleet = Fleet(world, [RobotModel()])
    fleet.reset([[0, 0, 0]], friction=0.05)
    drive_plan(fleet, [(2, 1.5, 0)])
    true_distance, believed = fleet.pose[0, 0], fleet.odometry[0, 0]
    assert true_distance == pytest.approx(0.5 * 0.05 * 0.7 * 9.81 * 2**2, rel=0.1)
    assert believed > 1.5 * true_distance


def test_friction_may_change_under_one_robot(world):
    """A spill under robot 1 alone: it slides mu share g, its neighbour brakes as it was told."""
    fleet = Fleet(world, [RobotModel()] * 2)
    fleet.reset([[0, 0, 0], [0, 5, 0]])
    drive_plan(fleet, [(3, 1.5, 0)])
    fleet.set_friction([0.8, 0.05])
    before = fleet.pose[:, 0]
    drive_plan(fleet, [(5, 0, 0)])
    dry = 1.5 * (fleet.models[0].drive.command_delay + 0.08) + 1.5**2 / (2 * 2.0)
    wet = 1.5**2 / (2 * 0.05 * 0.7 * 9.81)
    assert fleet.pose[:, 0] - before == pytest.approx([dry, wet], rel=0.02)
    for bad in ([0.8], [0.8, 0.0], [np.nan, 0.5]):
        with pytest.raises(InputError, match="friction"):
            fleet.set_friction(bad)
    fleet.reset([[0, 0, 0], [0, 5, 0]])
    drive_plan(fleet, [(3, 1.5, 0)])
    assert fleet.pose[0, 0] == fleet.pose[1, 0], "a reset takes the spill away"


def test_energy_is_motor_work_over_efficiency_and_hotel_load(world):
    model = RobotModel(hotel_power=50.0, drive_efficiency=0.8)
    fleet = Fleet(world, [model], [DriveParameters(rolling_resistance=0.0)])
    fleet.reset([[0, 0, 0]])
    fleet.step(2400)
    assert fleet.energy_wh[0] == pytest.approx(50 * 10 / 3600)
    drive_plan(fleet, [(6, 1.2, 0)])
    kinetic = 0.5 * 90 * 1.2**2
    assert fleet.energy_wh[0] == pytest.approx((50 * 16 + kinetic / 0.8) / 3600, rel=1e-3)
    drive_plan(fleet, [(4, 0, 0)])
    assert fleet.energy_wh[0] == pytest.approx((50 * 20 + kinetic / 0.8) / 3600, rel=1e-3), "braking gives nothing back"
    rolling = Fleet(world, [model], [DriveParameters(rolling_resistance=0.02)])
    rolling.reset([[0, 0, 0]])
    drive_plan(rolling, [(10, 1.2, 0)])
    work = kinetic + 0.02 * 90 * 9.81 * rolling.pose[0, 0]
    assert rolling.energy_wh[0] == pytest.approx((50 * 10 + work / 0.8) / 3600, rel=2e-3)


def test_commands_beyond_the_limits_are_clamped(world):
    fleet = Fleet(world, [RobotModel()])
    fleet.reset([[0, 0, 0]])
    drive_plan(fleet, [(5, 1e6, 0)])
    assert fleet.velocity[0, 0] == pytest.approx(fleet.models[0].drive.max_speed)


@pytest.mark.parametrize("bad", [[[np.nan, 0]], [[0, np.inf]], [[0, 0, 0, 0]], [[0, 0], [0, 0]]])
def test_bad_commands_are_refused_and_the_old_ones_stay(world, bad):
    fleet = Fleet(world, [RobotModel()])
    fleet.reset([[0, 0, 0]])
    fleet.command([[0.5, 0]])
    with pytest.raises(InputError, match="commands"):
        fleet.command(bad)
    fleet.step(960)
    assert fleet.velocity[0, 0] == pytest.approx(0.5)


def test_bad_resets_are_refused(world):
    fleet = Fleet(world, [RobotModel()] * 2)
    apart = [[0, 0, 0], [5, 0, 0]]
    for arguments, text in (
        (([[0, 0, 0]],), "shape"),
        (([[0, 0, 0], [np.nan, 0, 0]],), "robot 1"),
        ((apart, [1.0, -1.0]), "negative"),
        ((apart, None, 0.0), "friction"),
        ((apart, None, float("nan")), "friction"),
        (([[0, 0, 0], [0.3, 0, 0]],), "each other"),
    ):
        with pytest.raises(InputError, match=text):
            fleet.reset(*arguments)
    for robot, kg in ((0, -1.0), (0, 1e4), (2, 5.0), (0, float("nan"))):
        with pytest.raises(InputError):
            fleet.set_payload(robot, kg)
    with pytest.raises(InputError, match="2 robot models"):
        Fleet(world, [RobotModel()] * 2, [DriveParameters()])


def test_a_robot_inside_a_rack_is_refused():
    solids = PrimitiveBuilder()
    solids.box((2.0, 0.5, 0.02), (5.0, 5.0, 0.2), class_name="rack", yaw=0.5)
    made = World(solids.build(), ("rack",), ("R07",))
    fleet = Fleet(made, [RobotModel()])
    with pytest.raises(InputError, match="rack R07") as caught:
        fleet.reset([[6.0, 5.5, 0.0]])
    assert "x 6.00 m" in str(caught.value)
    fleet.reset([[5.0, 7.0, 0.0]])
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 2])
def test_robots_out_of_bullet_while_free_drive_as_those_always_in_it(seed):
    """60 s of six robots bumping into racks, walls and each other: 1 mm from what Bullet alone makes of them."""
    solids = layout_solids(generate_layout(LayoutRecipe(area=400, loose_goods=0), 3))
    settings = [PhysicsSettings(), PhysicsSettings(margin=8.0, release_margin=8.0)]
    worlds = [World.from_solids(solids, settings=chosen) for chosen in settings]
    fleets = [Fleet(world, [RobotModel()] * 6) for world in worlds]
    start = free_poses(worlds[0], 6, seed)
    for fleet in fleets:
        fleet.reset(start)
    rng, worst = np.random.default_rng(seed), 0.0
    for k in range(60 * 20):
        if k % 40 == 0:
            command = rng.uniform((-0.1, -0.9), (0.35, 0.9), (6, 2))
        for fleet in fleets:
            fleet.command(command)
            fleet.step(12)
        worst = max(worst, float(np.abs(fleets[0].pose[:, :2] - fleets[1].pose[:, :2]).max()))
    touched = [[(contact.robot, contact.other_id) for contact in world.contacts()] for world in worlds]
    for world in worlds:
        world.close()
    assert 0.0 < worst < 1e-3
    assert touched[0] == touched[1]
    assert len(touched[0]) > 10
    assert np.linalg.norm(fleets[0].pose[:, :2] - start[:, :2], axis=1).max() > 1.0
