import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.common.geometry import relative
from floorcast.common.primitives import PrimitiveBuilder
from floorcast.gap.bullet_replay import FREQUENCY, drive_in_bullet, follow_in_bullet, replay_in_bullet
from floorcast.gap.fieldlog import CREATE_MODEL
from floorcast.gap.replay import STEP, DriveReplay, drive_fast, make_windows
from floorcast.physics.settings import PhysicsSettings
from floorcast.physics.world import World
from floorcast.robots.model import RobotModel
from floorcast.robots.wheels import integrate

from .synthetic import make_log

KINDS = {
    "differential": (RobotModel(), [0.8, 0.3]),
    "tricycle": (RobotModel(kind="tricycle", width=1.0), [0.6, 0.15]),
    "mecanum": (RobotModel(kind="mecanum"), [0.5, 0.3, 0.3]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_bullet_and_the_fast_model_end_in_the_same_place(kind):
    model, size = KINDS[kind]
    rng = np.random.default_rng(3)
    # Four windows of four seconds; a new command every half second.
    held = rng.uniform(-1.0, 1.0, (4, 8, len(size))) * size
    held[..., 0] = np.abs(held[..., 0])
    commands = np.repeat(held, 25, axis=1)
    start = np.column_stack([rng.uniform(-50, 50, (4, 2)), [0.0, 1.5, 3.0, -2.0]])
    moving = commands[:, 0] * 0.5
    drive = model.drive.model_copy(update={"command_delay": 0.0})
    fast = drive_fast(drive, start, moving, commands)
    found = drive_in_bullet(commands, start, moving, model, together=3)
    assert not found.touched.any()
    assert not found.blocked.any()
    error = relative(fast[:, -1], found.poses[:, -1])
    assert np.hypot(error[:, 0], error[:, 1]).max() < 0.006
    assert np.abs(error[:, 2]).max() < np.radians(0.35)
    assert np.hypot(*(fast[:, -1, :2] - start[:, :2]).T).min() > 0.3
    # Turns run on past half a turn alike.
    np.testing.assert_allclose(found.poses[:, -1, 2], fast[:, -1, 2], atol=0.02)


def test_the_mark_of_a_straight_drive_is_that_of_arithmetic():
    commands = np.zeros((1, 100, 2))
    commands[..., 0] = 0.5
    found = drive_in_bullet(commands, np.array([[7.0, -3.0, 0.5 * np.pi]]), np.array([[0.5, 0.0]]), RobotModel())
    np.testing.assert_allclose(found.poses[0, -1], [7.0, -2.0, 0.5 * np.pi], atol=1e-6)


def test_windows_are_driven_as_the_log_says():
    log = make_log(14.0, gain=(0.9, 1.1), delay=0.2, lag=0.1)
    windows = make_windows(log, (1, 5), every=4.0)
    model = CREATE_MODEL.model_copy(
        update={
            "drive": CREATE_MODEL.drive.model_copy(
                update={"linear_gain": 0.9, "angular_gain": 1.1, "command_delay": 0.2, "motor_lag": 0.1}
            )
        }
    )
    poses = replay_in_bullet(windows, model)
    error = relative(windows.truth, poses)[windows.valid[:, 1]][:, 250]
    assert np.median(np.hypot(error[:, 0], error[:, 1])) < 0.006
    assert np.abs(poses - DriveReplay([windows]).simulate(model.drive))[windows.valid[:, 1], 250, :2].max() < 0.006


@pytest.mark.parametrize("kind", ["tricycle", "mecanum"])
def test_a_path_that_wheels_counted_is_followed(kind):
    turn = np.repeat([0.4, -0.3], 100)
    steps = np.column_stack([np.full(200, 0.4), np.full(200, 0.1 if kind == "mecanum" else 0.0), turn]) * STEP
    path = integrate(steps)[None]
    found = follow_in_bullet(path, KINDS[kind][0])
    apart = relative(path[0], found.poses[0])
    assert np.hypot(apart[:, 0], apart[:, 1]).max() < 0.01
    assert np.abs(apart[:, 2]).max() < 0.02


def _walled() -> World:
    builder = PrimitiveBuilder()
    builder.box([0.1, 3.0, 0.5], [2.0, 0.0, 0.5], class_name="wall", body=0)
    settings = PhysicsSettings(frequency=FREQUENCY)
    return World(builder.build(), ["wall"], ["W1"], settings=settings)


def test_walls_stop_a_robot_that_was_told_to_drive_on():
    commands = np.zeros((3, 200, 2))
    commands[..., 0] = 0.8
    start = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, np.pi], [1.9, 0.0, 0.0]])
    model = RobotModel()
    found = drive_in_bullet(commands, start, np.zeros((3, 2)), model, world=_walled())
    np.testing.assert_array_equal(found.touched, [True, False, False])
    np.testing.assert_array_equal(found.blocked, [False, False, True])
    assert 1.9 - 0.5 * model.length - 0.02 < found.poses[0, -1, 0] < 1.9 - 0.5 * model.length + 0.02
    assert found.poses[1, -1, 0] < -2.5
    assert np.isnan(found.poses[2]).all()


def test_a_world_whose_steps_do_not_fit_is_refused():
    world = World(PrimitiveBuilder().build(), [], [])
    with pytest.raises(InputError, match="240 Hz"):
        drive_in_bullet(np.zeros((1, 10, 2)), np.zeros((1, 3)), np.zeros((1, 2)), RobotModel(), world=world)
