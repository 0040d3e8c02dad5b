import gc
import hashlib
import os
import pickle
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest

from floorcast.common.classes import CLASS_IDS
from floorcast.common.errors import FloorcastError, InputError
from floorcast.episodes.distributions import Constant
from floorcast.episodes.hall import forget_halls
from floorcast.episodes.loop import PolicyError, run_episode
from floorcast.episodes.policy import EpisodeInfo, Observation
from floorcast.episodes.randomization import sample_scenario
from floorcast.episodes.store import record_bytes
from floorcast.robots.model import RobotModel

from .hall import SMALL, Steer, Still, quick

CROWD = quick(duration=5.0, frames=3, people=3, robots=2)


def run(scenario=CROWD, policy=Steer, seed=0, index=0, **options):
    return run_episode(scenario, policy, policy_name="steer", seed=seed, index=index, **options)


def digest(scenario, index, seed=0):
    """Hash of the record and all pictures of an episode."""
    state = hashlib.sha256()

    def take(capture):
        for array in (capture.frame.rgb, capture.frame.depth, capture.frame.instance, capture.world.position):
            state.update(np.ascontiguousarray(array).tobytes())

    state.update(record_bytes(run(scenario, seed=seed, index=index, capture=take)))
    return state.hexdigest()


def test_pure_whatever_the_process_did_before():
    order = [digest(CROWD, index) for index in (0, 1, 2)]
    assert len(set(order)) == 3
    assert [digest(CROWD, index) for index in (2, 0, 1)] == [order[2], order[0], order[1]]
    assert digest(SMALL.model_copy(update={"duration": 3.0}), 1) not in order
    forget_halls()
    assert digest(CROWD, 1) == order[1]
    assert digest(CROWD, 1, seed=1) != order[1]
    root = Path(__file__).resolve().parents[2]
    code = (
        "import sys; from floorcast.tests.episodes import test_loop as t; "
        "sys.stdout.write(t.digest(t.CROWD, 2) + ' ' + t.digest(t.CROWD, 0))"
    )
    fresh = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ}, cwd=root.parent
    )
    assert fresh.stdout.split() == [order[2], order[0]]


def test_pictures_do_not_change_the_record_and_are_exact():
    for scenario, index in ((CROWD, 4), (quick(duration=30.0, frames=5, people=0), 0)):
        taken = []
        with_pictures = run(scenario, index=index, capture=taken.append)
        assert record_bytes(with_pictures) == record_bytes(run(scenario, index=index))
        assert [capture.number for capture in taken] == list(range(scenario.capture.frames))
        times = [capture.time for capture in taken]
        assert times == sorted(times)
        assert times[-1] < scenario.duration
        assert taken[0].frame.rgb.shape == (24, 32, 3)
        assert taken[0].points is None
    # The second ended early, yet was photographed to the end.
    assert with_pictures.duration < 0.8 * scenario.duration
    assert times[-1] > with_pictures.duration


def test_a_delivered_task():
    record = run(quick(duration=40.0, people=0), index=1)
    (task,) = record.tasks
    assert task.success
    assert [event.kind for event in record.events] == ["goal_reached", "pick", "goal_reached", "drop"]
    assert record.duration == pytest.approx(task.end_time)
    assert len(record.time) == round(record.duration * 20)
    assert task.start_time < task.pick_time < task.end_time
    assert task.shortest_length - 0.6 < task.path_length < 1.2 * task.shortest_length
    np.testing.assert_allclose(np.diff(record.time), 0.05, atol=1e-9)
    moved = np.hypot(*np.diff(record.pose[:, 0, :2], axis=0).T) / 0.05
    np.testing.assert_allclose(moved, np.abs(record.velocity[:-1, 0, 0] + record.velocity[1:, 0, 0]) / 2, atol=0.03)
    assert record.min_clearance.min() > 0
    assert np.isinf(record.person_distance).all()
    assert record.energy_wh[0] > 60 * record.duration / 3600
    assert record.kpis["success"] == 1.0
    assert record.kpis["spl"] == pytest.approx(task.shortest_length / max(task.path_length, task.shortest_length))


def test_a_task_that_is_not_done_times_out():
    record = run(quick(duration=3.0, people=0), Still)
    assert record.duration == 3.0
    assert len(record.time) == 60
    assert [event.kind for event in record.events] == ["timeout"]
    assert record.events[0].time == 3.0
    assert not record.tasks[0].success
    assert record.kpis["success"] == 0.0
    assert record.kpis["timeout"] == 1.0


def test_driving_into_a_wall_is_a_collision():
    class Ram(Still):
        def act(self, observation):
            return 1.0, 0.0

    record = run(quick(duration=16.0, people=0), Ram)
    hits = [event for event in record.events if event.kind == "collision"]
    assert hits
    assert hits[0].other == "wall"
    assert 0.3 < hits[0].value < 1.2
    assert hits[0].impulse > 10
    k = int(hits[0].time * 20)
    assert record.min_clearance[max(0, k - 1) : k + 3, 0].min() < 0.05
    assert record.kpis["collision"] == 1.0


class Watch(Steer):
    """Keeps all it was shown."""

    seen: list = []  # noqa: RUF012
    infos: list = []  # noqa: RUF012

    def reset(self, info):
        super().reset(info)
        Watch.infos.append(info)

    def act(self, observation):
        Watch.seen.append(observation)
        return super().act(observation)


@pytest.fixture
def watched():
    Watch.seen, Watch.infos = [], []
    record = run(CROWD, Watch, index=2)
    observations = [Watch.seen[r :: len(Watch.infos)] for r in range(len(Watch.infos))]
    return record, observations, list(Watch.infos)


def reachable(root):
    """Everything that can be reached from an object through data, code left out."""
    stack, found = [root], {}
    while stack:
        item = stack.pop()
        if id(item) in found or isinstance(item, type) or callable(item):
            continue
        found[id(item)] = item
        stack.extend(gc.get_referents(item))
        if isinstance(item, np.ndarray) and item.base is not None:
            stack.append(item.base)
    return list(found.values())


def test_an_observation_leads_to_nothing_but_measurements(watched):
    _, observations, _ = watched
    for observation in (observations[0][0], observations[1][-1]):
        arrays = [item for item in reachable(observation) if isinstance(item, np.ndarray)]
        shapes = sorted(array.shape for array in arrays)
        assert shapes in (sorted([(3,), (2,), (3,), (k, 6), (36,), (3,)]) for k in (0, CROWD.imu_samples))
        assert all(array.base is None for array in arrays)
        assert not any(is_dataclass(item) and not isinstance(item, Observation) for item in reachable(observation))
    assert [field.name for field in fields(Observation)] == [
        "time", "pose", "velocity", "odometry", "imu", "scan", "scan_time", "goal", "carrying",
    ]  # fmt: skip


def test_observations_are_measured_not_true(watched):
    record, observations, _ = watched
    for robot, seen in enumerate(observations):
        believed = np.array([observation.pose for observation in seen])
        error = believed[:, :2] - record.pose[:, robot, :2]
        assert (np.abs(error).max(axis=1) > 0).all()
        assert 0.002 < error.std() < 0.1
        speed = np.array([observation.velocity[0] for observation in seen])
        assert not np.array_equal(speed, record.velocity[:, robot, 0])
        np.testing.assert_allclose(speed, record.velocity[:, robot, 0], atol=0.12)
        turning = np.array([observation.imu[-1, 2] for observation in seen[1:]])
        assert not np.isclose(turning, record.velocity[1 : len(seen), robot, 1], atol=1e-4).any()
        np.testing.assert_allclose(turning, record.velocity[1 : len(seen), robot, 1], atol=0.12)
        age = np.array([observation.time - observation.scan_time for observation in seen])
        # 10 Hz scans seen 20 ms late by a 20 Hz controller; only the first is there at once.
        np.testing.assert_allclose(age[1:], np.where(np.arange(1, len(age)) % 2 == 1, 0.05, 0.1), atol=1e-9)
        assert seen[0].scan_time == 0.0


def test_changing_an_observation_changes_nothing():
    class Vandal(Steer):
        def act(self, observation):
            answer = super().act(observation)
            for array in (
                observation.pose, observation.velocity, observation.odometry, observation.imu, observation.scan
            ):  # fmt: skip
                array[:] = 99.0
            if observation.goal is not None:
                observation.goal[:] = 99.0
            return answer

    assert record_bytes(run(policy=Vandal)) == record_bytes(run())


def test_robots_are_told_the_nominal_model_and_a_map_without_loose_goods(watched):
    scenario = SMALL.model_copy(update={"duration": 0.5})
    Watch.infos = []
    run(scenario, Watch, index=3)
    (info,) = Watch.infos
    sampled = sample_scenario(scenario, 0, 3)
    assert isinstance(info, EpisodeInfo)
    assert info.robot == RobotModel()
    assert info.robot.drive.motor_lag != sampled.drives[0].motor_lag
    assert any(good.rack is None for good in sampled.layout.goods)
    assert all(good.rack is not None for good in info.layout.goods)
    assert info.layout.racks == sampled.layout.racks
    assert info.goal_tolerance == (0.25, 0.35)
    _, _, infos = watched
    assert infos[0].seed != infos[1].seed


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((float("nan"), 0.0), "finite"),
        ((0.0, float("inf")), "finite"),
        ((1.0,), "two numbers"),
        ((1.0, 2.0, 3.0), "two numbers"),
        (None, "two numbers"),
        ("fast", "two numbers"),
        (np.zeros((2, 2)), "two numbers"),
    ],
)
def test_wrong_answers_name_policy_robot_and_step(answer, words):
    class Wrong(Still):
        def act(self, observation):
            return answer if observation.time >= 0.2 else (0.0, 0.0)

    with pytest.raises(PolicyError) as caught:
        run(policy=Wrong)
    message = str(caught.value)
    assert "policy 'steer', robot 0, step 4 (0.20 s)" in message
    assert words in message
    assert isinstance(caught.value, FloorcastError)
    assert str(pickle.loads(pickle.dumps(caught.value))) == message


def test_policies_that_raise_are_named_with_their_error():
    class Broken(Still):
        def act(self, observation):
            raise KeyError("weights")

    class NoStart(Still):
        def reset(self, info):
            raise RuntimeError("no file")

    with pytest.raises(PolicyError, match=r"robot 0, step 0 .*KeyError: 'weights'") as caught:
        run(policy=Broken)
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(PolicyError, match=r"failed to start.*RuntimeError: no file"):
        run(policy=NoStart)


def test_numpy_answers_are_fine():
    class Numpy(Still):
        def act(self, observation):
            return np.array([0.1, 0.0], dtype=np.float32)

    record = run(quick(duration=0.5), Numpy)
    np.testing.assert_allclose(record.command[:, 0, 0], 0.1)


def test_ice_makes_braking_longer():
    class Brake(Still):
        def act(self, observation):
            return (1.5, 0.0) if observation.time < 2.0 else (0.0, 0.0)

    way = []
    for friction in (0.8, 0.05):
        floor = {"friction": {"distribution": "constant", "value": friction, "unit": "1"}}
        record = run(quick(duration=6.0, people=0, floor=floor), Brake, seed=3)
        speed = record.velocity[40, 0, 0]
        stop = np.hypot(*(record.pose[-1, 0, :2] - record.pose[40, 0, :2]))
        way.append(stop / max(speed, 1e-9) ** 2)
    assert way[1] > 2 * way[0]


def test_points_come_with_the_pose_of_their_lidar():
    scenario = quick(duration=1.0, frames=1, people=0)
    capture = scenario.capture.model_copy(
        update={"points": True, "lidar": scenario.capture.lidar.model_copy(update={"beams": 64})}
    )
    taken = []
    run(scenario.model_copy(update={"capture": capture}), capture=taken.append)
    (shot,) = taken
    points = shot.points
    assert points.dtype == np.float32
    assert points.shape[1] == 4
    assert len(points) > 300
    world = points[:, :3] @ shot.lidar_rotation.T + shot.lidar_position
    # Everything lies on the floor or within the walls of the bare hall.
    assert (world.min(axis=0) > [-0.2, -0.2, -0.15]).all()
    assert (world.max(axis=0)[:2] < [14.2, 8.2]).all()
    assert np.abs(shot.lidar_position - shot.frame.position).max() < 0.2
    assert len(shot.point_class) == len(shot.point_instance) == len(points)
    floor = shot.point_class == CLASS_IDS["floor"]
    assert floor.sum() > 50
    assert np.abs(world[floor, 2]).max() < 0.15
    assert (shot.point_instance[floor] == 0).all()
    assert not (world[~floor, 2] < -0.15).any()


def test_a_hall_without_room_is_refused():
    robots = SMALL.robots.model_copy(update={"count": Constant(value=200, unit="1")})
    with pytest.raises(InputError, match="no room for 200 robots"):
        run(SMALL.model_copy(update={"robots": robots}))


def test_a_rolling_shutter_and_a_long_exposure_see_the_motion():
    def pictures(**camera):
        data = CROWD.model_dump(mode="json")
        data["sensors"]["camera"].update(camera, noise=0.0, shot_noise=0.0)
        taken = []
        run(type(CROWD).model_validate(data), capture=lambda capture: taken.append(capture.frame))
        return taken

    still, blurred, rolling = pictures(), pictures(exposure_time=0.05), pictures(readout_time=0.05)
    assert any(np.abs(a.rgb.astype(int) - b.rgb).mean() > 0.2 for a, b in zip(still, blurred, strict=True))
    assert all(np.array_equal(a.instance, b.instance) for a, b in zip(still, blurred, strict=True))
    assert any((a.instance != b.instance).mean() > 0.001 for a, b in zip(still, rolling, strict=True))
