import math

import numpy as np
import pytest

from floorcast.common.config import config_hash
from floorcast.episodes.live import LiveEpisode
from floorcast.episodes.loop import run_episode
from floorcast.episodes.scenario import Scenario
from floorcast.episodes.store import record_bytes
from floorcast.robots.model import DriveParameters, RobotModel, SensorMount

from .hall import Steer, empty_hall, quick

LARGE = RobotModel(
    name="large",
    length=1.5,
    width=1.1,
    height=0.5,
    max_payload=500.0,
    lidar_mount=SensorMount(x=0.6, z=0.3),
    camera_mount=SensorMount(x=0.7, z=0.9),
    drive=DriveParameters(mass=300.0, inertia=60.0, track_width=0.9, max_speed=1.0),
)


def mixed(**changes):
    scenario = quick(duration=6.0, people=1, frames=3, layout=empty_hall(16.0, 10.0), **changes)
    others = [
        {
            "model": LARGE.model_dump(),
            "count": {"distribution": "constant", "value": 2, "unit": "1"},
            "drive": {"mass": {"distribution": "uniform", "low": 1.1, "high": 1.2, "unit": "nominal"}},
        }
    ]
    content = scenario.model_dump()
    content["robots"]["others"] = others
    content["tasks"]["payload"] = {"distribution": "constant", "value": 300, "unit": "kg"}
    return Scenario.model_validate(content)


def test_every_robot_is_driven_seen_and_told_as_its_own_model():
    episode = LiveEpisode(mixed(), 0, 0, None)
    assert [model.name for model in episode.sampled.models] == ["amr", "large", "large"]
    assert [info.robot.name for info in episode.infos()] == ["amr", "large", "large"]
    np.testing.assert_allclose(episode.radius, [0.55509, 0.5 * math.hypot(1.5, 1.1), 0.5 * math.hypot(1.5, 1.1)], 1e-5)
    drives = episode.sampled.drives
    assert drives[0].mass == 90.0
    assert all(330.0 <= drive.mass <= 360.0 for drive in drives[1:])
    assert drives[1].mass != drives[2].mass
    # A payload is what the model can carry.
    assert [tasks[0].payload for tasks in episode.sampled.tasks] == [120.0, 300.0, 300.0]


def test_distances_and_pictures_are_those_of_the_model():
    taken = []
    record = run_episode(mixed(), Steer, policy_name="steer", seed=1, index=0, capture=taken.append)
    wall = np.minimum(record.pose[..., :2], [16.0, 10.0] - record.pose[..., :2]).min(axis=-1)
    assert record.min_clearance[:, 1:].max() > 0.5
    # From the walls alone no robot can be farther than its own outline allows.
    assert (record.min_clearance <= wall - [0.325, 0.55, 0.55] + 1e-9).all()
    height = {capture.robot: capture.frame.position[2] for capture in taken}
    assert len(height) == 3
    np.testing.assert_allclose([height[robot] for robot in range(3)], [0.32, 0.9, 0.9])


def test_equal_bytes_and_an_absent_fleet_says_nothing():
    first, again = (run_episode(mixed(), Steer, policy_name="steer", seed=2, index=1) for _ in range(2))
    assert record_bytes(first) == record_bytes(again)
    plain = quick()
    assert "others" not in plain.model_dump()["robots"]
    assert config_hash(plain) != config_hash(mixed())
    with pytest.raises(ValueError, match="model"):
        Scenario.model_validate(
            {"robots": {"others": [{"count": {"distribution": "constant", "value": 1, "unit": "1"}}]}}
        )
