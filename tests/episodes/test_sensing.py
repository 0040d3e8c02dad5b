import math
from types import SimpleNamespace

import numpy as np
import pytest

from floorcast.common.classes import CLASS_IDS
from floorcast.common.config import config_hash
from floorcast.common.geometry import compose, mounted
from floorcast.episodes.capture import capture_schedule
from floorcast.episodes.distributions import Constant
from floorcast.episodes.hall import hall_of
from floorcast.episodes.randomization import sample_scenario
from floorcast.episodes.sensing import ScanQueue, Stage, carried_velocity, localisation_errors, localised, upright
from floorcast.layouts.generator import generate_layout
from floorcast.layouts.model import Light
from floorcast.layouts.recipe import LayoutRecipe
from floorcast.perception.config import LidarConfig
from floorcast.perception.lidar import Lidar
from floorcast.robots.load import load_robot
from floorcast.robots.model import RobotModel

from .hall import SMALL, empty_hall, quick

MODEL = RobotModel()


class CountingLidar:
    """Answers with the number of the scan as every range."""

    config = LidarConfig()

    def scan_batch(self, scene, position, rotation, *, stream, sensors, frame, exclude_body, velocity, truth):
        assert list(exclude_body) == list(sensors)
        batch = np.full((len(position), 1, 4), float(frame), dtype=np.float32)
        batch += 100 * np.arange(len(position), dtype=np.float32)[:, None, None]
        return SimpleNamespace(ranges=batch)


@pytest.mark.parametrize(("latency", "age"), [(0.0, 0), (0.02, 1), (0.05, 1), (0.06, 2), (0.31, 7)])
def test_scans_arrive_after_their_latency(latency, age):
    queue = ScanQueue(CountingLidar(), [MODEL] * 2, latency, 1)
    for k in range(40):
        now = k * 0.05
        queue.take(None, np.zeros((2, 3)), now, np.zeros((2, 2)))
        time, scans = queue.newest(now)
        # The newest scan that is at least ``latency`` old; at the start the first one serves.
        expected = max(0, k - age)
        assert time == pytest.approx(expected * 0.05)
        np.testing.assert_array_equal(scans[0], expected)
        np.testing.assert_array_equal(scans[1], expected + 100)


def test_scans_of_a_batch_do_not_share_memory():
    queue = ScanQueue(CountingLidar(), [MODEL] * 2, 0.0, 1)
    queue.take(None, np.zeros((2, 3)), 0.0, np.zeros((2, 2)))
    _, (a, b) = queue.newest(0.0)
    assert a.base is None
    assert b.base is None


def test_localisation_error_is_stationary_and_correlated():
    sensors = SMALL.sensors.model_copy(
        update={
            "position_error": Constant(value=5, unit="cm"),
            "heading_error": Constant(value=1, unit="deg"),
            "error_time": Constant(value=2, unit="s"),
        }
    )
    sampled = sample_scenario(SMALL.model_copy(update={"sensors": sensors}), 0, 0)
    errors = np.array([localisation_errors(sampled, 200, 0.05, 1, index)[:, 0] for index in range(400)])
    assert errors.shape == (400, 200, 3)
    np.testing.assert_allclose(errors[:, 0].std(axis=0), [0.05, 0.05, math.radians(1)], rtol=0.15)
    np.testing.assert_allclose(errors[:, -1].std(axis=0), [0.05, 0.05, math.radians(1)], rtol=0.15)
    lag = errors[:, 0, 0] @ errors[:, 40, 0] / (errors[:, 0, 0] @ errors[:, 0, 0])
    assert lag == pytest.approx(math.exp(-1), abs=0.12)
    assert abs(np.corrcoef(errors[:, 0, 0], errors[:, 0, 1])[0, 1]) < 0.15


def test_estimates_wrap():
    got = localised(np.array([1.0, 2.0, 3.1]), np.array([0.1, -0.1, 0.2]))
    np.testing.assert_allclose(got, [1.1, 1.9, 3.3 - 2 * math.pi])


def test_the_stage_holds_everything_once():
    layout = generate_layout(LayoutRecipe(area=150, loose_goods=4), 2)
    solids = hall_of(layout).solids
    loose = len(solids.loose_pose)
    assert loose > 0
    stage = Stage(solids, [MODEL] * 2, 3, 0, 0)
    scene = stage.scene
    assert scene.body_count == 2 + 3 + loose + 2
    owners: dict[int, set[int]] = {}
    for body, instance in zip(scene.moving.body, scene.moving.instance_id, strict=True):
        owners.setdefault(int(instance), set()).add(int(body))
    assert len(owners) == scene.body_count
    assert all(len(bodies) == 1 for bodies in owners.values())
    assert not set(owners) & set(solids.static.instance_id.tolist())
    robots = upright(np.array([[3.0, 3.0, 0.0], [6.0, 3.0, 1.0]]))
    people = upright(np.array([[2.0, 2.0, 0.0], [4.0, 5.0, 0.0], [1.0, 5.0, 0.0]]))
    body_pose = np.concatenate([robots, people, solids.loose_pose])
    stage.update(body_pose, np.array([False, True]))
    world = scene.world_primitives()
    carrier = world.take((world.class_id == CLASS_IDS["small_load_carrier"]) & (world.body >= 5 + loose))
    assert carrier.position[0, 2] < -5
    np.testing.assert_allclose(carrier.position[1, :2], [6.0, 3.0], atol=0.06)
    assert carrier.position[1, 2] > MODEL.height
    person = world.take(world.body == 3)
    assert np.hypot(*(person.position[:, :2] - (4.0, 5.0)).T).max() < 0.4
    good = world.take(world.body == 5)
    assert np.abs(good.position - solids.loose_pose[0, :3]).max() < 1.5


def test_the_stage_shows_forks_where_they_are_and_lowered_if_that_is_not_said():
    truck = load_robot("forklift")
    stage = Stage(hall_of(empty_hall()).solids, [truck] * 2, 0, 0, 0)
    robots = upright(np.array([[4.0, 3.0, 0.0], [8.0, 3.0, math.pi / 2]]))
    carriage, mast = robots.copy(), robots.copy()
    carriage[:, 2], mast[:, 2] = (0.5, 2.0), (0.25, 1.0)
    held = np.stack([carriage, mast], axis=1).reshape(4, 7)
    for body_pose, lift in ((np.concatenate([robots, held]), (0.5, 2.0)), (robots, (0.0, 0.0))):
        stage.update(body_pose, np.zeros(2, dtype=bool))
        solids = stage.scene.world_primitives()
        for r, rise in enumerate(lift):
            tines = solids.take(solids.body == 2 + 2 * r).position[:2]
            assert tines[:, 2] == pytest.approx(0.08 - 0.5 * 0.045 + rise)
            assert set(solids.instance_id[solids.body == 3 + 2 * r]) == set(solids.instance_id[solids.body == r])
    assert tines[:, :2].mean(axis=0) == pytest.approx([8.0, 3.0 - 0.25 - 0.5 * 1.15]), "behind the truck"
    moving = stage.body_velocity(
        np.array([[4.0, 3.0, 0.0], [8.0, 3.0, 1.0]]), np.array([[1.0, 0], [0, 0.5]]), np.empty((0, 2))
    )
    assert np.array_equal(moving[2:4], moving[[0, 0]])
    assert np.array_equal(moving[4:6], moving[[1, 1]])


def test_the_lidar_sees_walls_at_their_distance_from_its_mount():
    hall = empty_hall().model_copy(update={"lights": (Light(position=(2, 2, 5), power=0.5),)})
    stage = Stage(hall_of(hall).solids, [MODEL], 0, 0, 0)
    assert stage.scene.lamps[:, :4].tolist() == [[2, 2, 5, 0.5]]
    stage.update(upright(np.array([[4.0, 3.0, math.pi / 2]])), np.array([False]))
    config = LidarConfig(beams=4, range_noise=0, dropout=0, grazing_dropout=0)
    queue = ScanQueue(Lidar(config), [MODEL], 0.0, 0)
    queue.take(stage.scene, np.array([[4.0, 3.0, math.pi / 2]]), 0.0, np.zeros((1, 2)))
    _, (scan,) = queue.newest(0.0)
    # Beams at -180, -90, 0, 90 degrees; heading along y; inner wall faces 0.1 m inside the centre lines.
    x = MODEL.lidar_mount.x
    np.testing.assert_allclose(scan, [3.0 + x - 0.1, 10.0 - 0.1, 5.0 - x - 0.1, 4.0 - 0.1], atol=1e-4)


@pytest.mark.parametrize("frames", [1, 3, 8, 80])
def test_captures_are_exact_spread_and_take_turns(frames):
    scenario = quick(frames=frames)
    seen = set()
    for index in range(20):
        rows = capture_schedule(scenario, 3, 0, index)
        assert [number for _, _, number in rows] == list(range(frames))
        steps = np.array([step for step, _, _ in rows])
        assert steps.min() >= 0
        assert steps.max() < scenario.control_steps
        assert (np.diff(steps) >= max(1, scenario.control_steps // frames)).all()
        counts = np.bincount([robot for _, robot, _ in rows], minlength=3)
        assert counts.max() - counts.min() <= 1
        seen.add((rows[0][0], rows[0][1]))
    assert len(seen) > 2
    assert capture_schedule(quick(frames=0), 3, 0, 0) == []


def test_one_robot_may_take_all_pictures_at_the_times_of_those_in_turn():
    taken = quick(frames=5, duration=10.0)
    one = taken.model_copy(update={"capture": taken.capture.model_copy(update={"robot": 4})})
    assert [row[1] for row in capture_schedule(one, 3, 0, 0)] == [1] * 5
    assert [row[::2] for row in capture_schedule(one, 3, 0, 0)] == [
        row[::2] for row in capture_schedule(taken, 3, 0, 0)
    ]
    assert "robot" not in taken.model_dump()["capture"]
    assert config_hash(one) != config_hash(taken)


def test_a_sensor_off_the_middle_of_a_turning_robot_moves_sideways():
    pose, position = np.array([1.0, 2.0, np.pi / 2]), np.array([1.0, 2.5, 0.3])
    # Half a metre ahead of a robot that faces +y, drives at 1 m/s and turns left at 2 rad/s.
    expected = [-1.0, 1.0, 0.0, 0.0, 0.0, 2.0]
    assert np.allclose(carried_velocity(pose, np.array([1.0, 2.0]), position), expected)
    step = 1e-6
    moved = compose(pose, np.array([1.0 * step, 0.0, 2.0 * step]))
    later, _ = mounted(moved, np.array([0.5, 0, 0.3, 0, 0, 0]))
    assert np.allclose((later - position) / step, expected[:3], atol=1e-5)


def test_a_lidar_that_sweeps_while_its_robot_turns_reports_turned_ranges():
    hall = empty_hall()
    model = RobotModel()
    scene = Stage(hall_of(hall).solids, [model], 0, 0, 0).scene
    pose = np.array([[4.0, 3.0, 0.3]])
    body = np.zeros((scene.body_count, 7))
    body[:, 2], body[:, 6] = -20.0, 1.0
    body[0] = upright(pose)[0]
    scene.update(body)
    settings = {"range_noise": 0.0, "dropout": 0.0, "grazing_dropout": 0.0, "rate": 10.0}
    taken = {}
    for sweep, omega in ((0.1, 1.0), (0.1, 0.0), (0.0, 1.0)):
        queue = ScanQueue(Lidar(LidarConfig(**settings, sweep_time=sweep)), [model], 0.0, 1)
        queue.take(scene, pose, 0.0, np.array([[0.0, omega]]))
        taken[sweep, omega] = queue.newest(0.0)[1][0]
    assert np.array_equal(taken[0.1, 0.0], taken[0.0, 1.0])
    # The last beam of the sweep looks from 0.1 s * 1 rad/s further round; the lidar circles the robot's middle.
    turned = pose + np.array([0.0, 0.0, 0.1 * 359 / 360])
    still = ScanQueue(Lidar(LidarConfig(**settings)), [model], 0.0, 1)
    still.take(scene, turned, 0.0, np.zeros((1, 2)))
    assert taken[0.1, 1.0][-1] == pytest.approx(still.newest(0.0)[1][0][-1], abs=0.01)
    assert abs(taken[0.1, 1.0][-1] - taken[0.0, 1.0][-1]) > 0.02
