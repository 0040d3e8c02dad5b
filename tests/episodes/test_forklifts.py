import numpy as np
import pytest

from floorcast.common.classes import CLASS_IDS
from floorcast.common.config import config_hash
from floorcast.common.errors import InputError
from floorcast.common.seeding import generator
from floorcast.episodes import chronicle
from floorcast.episodes.clearance import clearances, footprints
from floorcast.episodes.drivers import Driver
from floorcast.episodes.driving import PROGRESS, drive_all
from floorcast.episodes.forklifts import plan_rounds
from floorcast.episodes.hall import hall_of
from floorcast.episodes.loop import run_episode
from floorcast.episodes.scenario import ForkliftRanges, Scenario
from floorcast.episodes.store import load_record, record_bytes, save_record
from floorcast.episodes.view.playback import Playback, Rebuilt
from floorcast.layouts.generator import generate_layout
from floorcast.layouts.model import Station
from floorcast.layouts.recipe import LayoutRecipe

from .hall import Still, empty_hall, quick

STATIONS = (
    Station(id="P1", x=4.0, y=3.0, yaw=0.0, kind="pick"),
    Station(id="D1", x=20.0, y=3.0, yaw=0.0, kind="drop"),
)
HALL = empty_hall(24.0, 14.0, STATIONS)
WAYS = (((5.0, 10.0), (19.0, 10.0)),)
RANGES = ForkliftRanges(waypoints=WAYS)
ATTENTIVE = Driver(speed=2.0, reaction_time=0.8, careless=False, dwell=2.0, payload=300.0)


def with_forklift(duration=12.0, **changes):
    options = {"waypoints": WAYS, "dwell": {"distribution": "constant", "value": 1, "unit": "s"}, **changes}
    return quick(duration=duration, frames=2, people=1, layout=HALL, forklifts=options)


def drive(driver, obstacle, appears=0.0, seconds=15.0, dt=0.05):
    """Drive along the hall, a person standing somewhere from some time on; returns poses (T, 3) and speeds."""
    hall = hall_of(HALL)
    rounds = plan_rounds(RANGES, [driver], HALL, hall, np.zeros((0, 3)), [generator(0, "round")])
    ground, progress = hall.ground(0.0), np.zeros((1, PROGRESS))
    commands, finished = np.zeros((1, 2)), np.zeros(1, dtype=bool)
    pose, speed, poses, speeds = rounds.start.copy(), np.zeros(1), [], []
    for k in range(int(seconds / dt)):
        people = np.array([obstacle] if k * dt >= appears else []).reshape(-1, 2)
        drive_all(rounds.traits, progress, rounds.path, rounds.arcs, rounds.path_count, rounds.stop_at,
                  rounds.stop_for, people, np.zeros_like(people), pose, speed, np.array([[0.0, 0.0, 1.4, 0.5]]), 0,
                  ground.clearance, ground.resolution, ground.origin, dt, commands, finished)  # fmt: skip
        speed += np.clip(commands[:, 0] - speed, -1.8 * dt, 0.8 * dt)
        pose[0] += dt * np.array([speed[0] * np.cos(pose[0, 2]), speed[0] * np.sin(pose[0, 2]), commands[0, 1]])
        poses.append(pose[0].copy())
        speeds.append(speed[0])
    return np.array(poses), np.array(speeds)


def test_a_driver_keeps_to_the_way_and_stops_at_its_end():
    poses, speeds = drive(ATTENTIVE, (0.0, 0.0))
    assert speeds.max() == pytest.approx(2.0, abs=0.01)
    arrived = int(np.argmax(poses[:, 0] > 18.6))
    assert np.abs(poses[:arrived, 1] - 10.0).max() < 0.05
    assert speeds[arrived : arrived + 20].min() < 0.02


def test_a_driver_stops_before_who_is_seen_in_time_and_late_if_careless():
    ahead = (14.0, 10.0)
    poses, speeds = drive(ATTENTIVE, ahead)
    gap = ahead[0] - 0.25 - 1.4 - poses[:, 0].max()
    assert 0.3 < gap < 2.0
    assert speeds[-1] == 0.0
    # Braking begins when the reaction time is over, and a second later if the driver is careless.
    late = Driver(speed=2.0, reaction_time=0.8, careless=True, dwell=2.0, payload=300.0)
    begins = []
    for driver in (ATTENTIVE, late):
        _, speeds = drive(driver, (17.5, 10.0), appears=5.0)
        begins.append(0.05 * int(np.argmax(np.diff(speeds) < -0.01)) - 5.0)
    np.testing.assert_allclose(begins, [0.8, 1.8], atol=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_rounds_are_driven_without_touching_the_hall(seed):
    layout = generate_layout(LayoutRecipe(area=600, aisle_width=3.2, loose_goods=6), seed)
    scenario = quick(duration=40.0, frames=0, people=0, layout=layout, forklifts={"count": constant(2)})
    record = run_episode(scenario, Still, policy_name="still", seed=seed, index=0)
    static = footprints(hall_of(layout).solids.static, 0.01, 2.2)
    steps = len(record.time)
    nothing = (np.zeros((steps, 0, 7)), np.zeros((steps, 0, 2)), np.zeros(0))
    for f in range(2):
        pose = record.forklift_pose[:, [f]]
        assert clearances(pose, np.array([[1.4, 0.5]]), static, *nothing)[0].min() > 0.0
        assert np.hypot(*np.diff(pose[:, 0, :2], axis=0).T).sum() > 10.0
    assert record.forklift_load.max() == 1.0


def constant(value, unit="1"):
    return {"distribution": "constant", "value": value, "unit": unit}


@pytest.mark.slow
def test_robots_and_cameras_meet_a_forklift():
    class Ram(Still):
        def act(self, observation):
            # Across the hall to where the truck passes to and fro.
            x, y = observation.pose[:2]
            away = np.arctan2(10.0 - y, 12.0 - x) - observation.pose[2]
            away = (away + np.pi) % (2 * np.pi) - np.pi
            if np.hypot(12.0 - x, 10.0 - y) < 0.3:
                return 0.0, 0.0
            return (1.2, 2.0 * away) if abs(away) < 0.3 else (0.0, 1.5 * np.sign(away))

    seen, records = [], []
    scenario = with_forklift(30.0, careless=constant(1), reaction_time=constant(5, "s"))
    for _ in range(2):
        records.append(run_episode(scenario, Ram, policy_name="ram", seed=0, index=0, capture=seen.append))
    first, again = records
    assert record_bytes(first) == record_bytes(again)
    hits = [event for event in first.events if event.kind == "collision"]
    assert ("forklift", "forklift_1") in {(event.other, event.other_id) for event in hits}
    assert {event.robot for event in hits} == {0}
    # The nearest thing was the truck, there and then.
    hit = next(event for event in hits if event.other == "forklift")
    assert first.min_clearance[int(hit.time * 20) : int(hit.time * 20) + 4].min() < 0.05
    worlds = np.concatenate([capture.world.class_id for capture in seen])
    assert CLASS_IDS["forklift"] in worlds


def test_records_keep_forklifts_and_play_them(tmp_path):
    scenario = with_forklift(12.0)
    taken = []
    record = run_episode(scenario, Still, policy_name="still", seed=1, index=2, capture=taken.append)
    save_record(record, tmp_path / "episode.npz")
    read = load_record(tmp_path / "episode.npz")
    np.testing.assert_array_equal(read.forklift_pose, record.forklift_pose)
    assert record_bytes(read) == record_bytes(record)
    assert record.forklift_pose.shape == (240, 1, 3)
    playback = Playback(read, scenario)
    moment = playback.at(taken[1].time)
    np.testing.assert_array_equal(Rebuilt(playback).scene(moment).world_primitives().position, taken[1].world.position)


def test_a_decimated_record_keeps_the_forklifts_rows_and_nothing_else(monkeypatch):
    monkeypatch.setattr(chronicle, "PART", 2.0)
    given, watched = with_forklift(20.0, dwell=constant(0.5, "s")).model_copy(update={"record_rate": 5}), []
    kept, full = (
        run_episode(scenario, Still, policy_name="still", seed=1, index=2, watch=lambda _, live: watched.append(live))
        for scenario in (given, given.model_copy(update={"record_rate": None}))
    )
    np.testing.assert_array_equal(kept.time, full.time[::4])
    np.testing.assert_array_equal(kept.forklift_pose, full.forklift_pose[::4])
    np.testing.assert_array_equal(kept.forklift_load, full.forklift_load[::4])
    assert kept.forklift_load.max() == 1.0
    least = np.minimum.reduceat(full.min_clearance, np.arange(0, len(full.time), 4))
    np.testing.assert_array_equal(kept.min_clearance, least)
    # What was not kept is gone.
    with pytest.raises(KeyError):
        watched[0].forklifts.history(np.array([1]))


def test_without_forklifts_nothing_is_said_of_them(tmp_path):
    plain = quick(duration=1.0, frames=0)
    assert "forklifts" not in plain.model_dump()
    record = run_episode(plain, Still, policy_name="still", seed=0, index=0)
    assert record.forklift_pose.shape[1] == 0
    assert b"forklift" not in record_bytes(record)
    assert config_hash(plain) != config_hash(with_forklift())


def test_halls_without_room_and_worn_forklifts_are_refused():
    stations = tuple(station.model_copy(update={"x": 0.25 * station.x, "y": 1.2}) for station in STATIONS)
    narrow = quick(layout=empty_hall(6.0, 2.4, stations), people=0, forklifts={})
    with pytest.raises(InputError, match="forklift 0"):
        run_episode(narrow, Still, policy_name="still", seed=0, index=0)
    with pytest.raises(ValueError, match="condition"):
        Scenario.model_validate({"forklifts": {}, "condition": {}})
