from __future__ import annotations

import math

import numpy as np
import pytest

from floorcast.episodes.policy import EpisodeInfo, Observation
from floorcast.layouts.generator import LayoutRecipe, generate_layout
from floorcast.layouts.model import Layout, Wall
from floorcast.policies.navigator import Navigator
from floorcast.policies.registry import load_policy
from floorcast.robots.model import RobotModel

from .hall import ANGLES, Hall, Outcome, Person

ROOM = Layout(
    length=16.0,
    width=10.0,
    walls=(
        Wall(id="S", start=(0.0, 0.0), end=(16.0, 0.0)),
        Wall(id="N", start=(0.0, 10.0), end=(16.0, 10.0)),
        Wall(id="W", start=(0.0, 0.0), end=(0.0, 10.0)),
        Wall(id="E", start=(16.0, 0.0), end=(16.0, 10.0)),
    ),
)
AISLE = ROOM.model_copy(
    update={
        "walls": (
            *ROOM.walls,
            Wall(id="A", start=(2.5, 3.5), end=(13.5, 3.5)),
            Wall(id="B", start=(2.5, 6.3), end=(13.5, 6.3)),
        )
    }
)
NAVIGATOR = load_policy("navigator")
RECKLESS = load_policy("reckless")


def test_reaches_a_pose_in_an_empty_room_without_detour() -> None:
    hall = Hall(ROOM, pose_noise=0.01)
    machine = hall.add(NAVIGATOR, (2.0, 2.0, math.pi), [(13.0, 7.0, math.pi / 2)])
    outcome = hall.run(40)
    assert outcome.done
    assert not outcome.touched
    trail = np.array(machine.trail)
    length = np.sum(np.hypot(*np.diff(trail[:, :2], axis=0).T))
    assert length < 1.08 * math.hypot(11.0, 5.0)
    assert machine.finished_at < 18.0


@pytest.mark.parametrize("seed", [0, 1])
def test_serves_stations_of_a_generated_hall_with_people(seed: int) -> None:
    layout = generate_layout(LayoutRecipe(area=400), seed)
    hall = Hall(layout, seed=seed, pose_noise=0.01)
    a, b, c = (s for s in layout.stations[:3])
    middle = [(s.x, s.y) for s in (b, a)]
    hall.people = [Person(middle, 0.9)]
    hall.add(NAVIGATOR, (c.x, c.y, c.yaw), [(a.x, a.y, a.yaw)])
    outcome = hall.run(90)
    assert outcome.done
    assert not outcome.touched


def test_drives_around_goods_that_are_not_on_the_map() -> None:
    hall = Hall(ROOM, boxes=((7.0, 5.0, 0.3), (9.5, 4.6, 0.25)))
    hall.add(NAVIGATOR, (2.0, 5.0, 0.0), [(14.0, 5.0, 0.0)])
    outcome = hall.run(40)
    assert outcome.done
    assert not outcome.touched
    assert outcome.least_static > 0.05


def test_aisle_that_is_blocked_is_left_for_another_way() -> None:
    # Boxes across the whole aisle: the way round outside it is the only one.
    hall = Hall(AISLE, boxes=tuple((8.0, y, 0.3) for y in (3.9, 4.5, 5.1, 5.7)))
    machine = hall.add(NAVIGATOR, (3.5, 4.9, 0.0), [(12.5, 4.9, 0.0)])
    outcome = hall.run(75)
    assert outcome.done
    assert not outcome.touched
    across = [pose for pose in machine.trail if abs(pose[0] - 8.0) < 0.2]
    assert all(pose[1] < 3.4 or pose[1] > 6.4 for pose in across)


@pytest.mark.parametrize("careless", [False, True])
def test_lets_a_crossing_person_pass(careless: bool) -> None:
    hall = Hall(ROOM, people=[Person([(8.0, 1.0), (8.0, 9.0)], 1.2, careless=careless)])
    hall.add(NAVIGATOR, (2.0, 5.0, 0.0), [(14.0, 5.0, 0.0)])
    outcome = hall.run(60)
    assert outcome.done
    assert not outcome.touched


def test_waits_while_a_person_stands_in_a_doorway() -> None:
    door = ROOM.model_copy(
        update={
            "walls": (
                *ROOM.walls,
                Wall(id="A", start=(8.0, 0.0), end=(8.0, 4.3)),
                Wall(id="B", start=(8.0, 5.7), end=(8.0, 10.0)),
            )
        }
    )
    person = Person([(8.0, 5.0), (8.0, 5.01)], 0.001)
    hall = Hall(door, people=[person])
    machine = hall.add(NAVIGATOR, (3.0, 5.0, 0.0), [(13.0, 5.0, 0.0)])
    blocked = hall.run(20)
    assert not blocked.touched
    assert not blocked.done
    assert machine.pose[0] < 7.5
    person.points = np.array([[12.0, 9.0], [12.0, 9.01]])
    outcome = hall.run(40)
    assert outcome.done
    assert not outcome.touched


def test_two_robots_that_meet_in_an_aisle_pass() -> None:
    hall = Hall(AISLE)
    hall.add(NAVIGATOR, (3.0, 4.9, 0.0), [(13.0, 4.9, 0.0)])
    hall.add(NAVIGATOR, (13.0, 4.9, math.pi), [(3.0, 4.9, math.pi)])
    outcome = hall.run(60)
    assert outcome.done
    assert not outcome.touched
    assert outcome.least_robot > 0.05
    assert max(machine.finished_at for machine in outcome.machines) < 40


def test_two_robots_that_swap_in_the_open_pass_without_stopping_for_long() -> None:
    hall = Hall(ROOM)
    hall.add(NAVIGATOR, (2.0, 5.0, 0.0), [(14.0, 5.0, 0.0)])
    hall.add(NAVIGATOR, (14.0, 5.0, math.pi), [(2.0, 5.0, math.pi)])
    outcome = hall.run(40)
    assert outcome.done
    assert not outcome.touched
    assert max(machine.finished_at for machine in outcome.machines) < 20


def test_reckless_drives_into_what_is_not_on_its_map() -> None:
    hall = Hall(ROOM, boxes=((8.0, 5.0, 0.3),))
    hall.add(RECKLESS, (2.0, 5.0, 0.0), [(14.0, 5.0, 0.0)])
    assert any("the hall" in what for what in hall.run(12).touched)
    hall = Hall(ROOM, people=[Person([(8.0, 5.0), (8.0, 5.1)], 0.01)])
    hall.add(RECKLESS, (2.0, 5.0, 0.0), [(14.0, 5.0, 0.0)])
    assert any("a person" in what for what in hall.run(12).touched)
    hall = Hall(ROOM)
    hall.add(RECKLESS, (2.0, 5.0, 0.0), [(14.0, 5.0, 0.0)])
    outcome = hall.run(30)
    assert outcome.done
    assert not outcome.touched


def test_same_seed_same_trail_and_other_seeds_only_wait_otherwise() -> None:
    def trail(seed: int) -> Outcome:
        hall = Hall(AISLE, people=[Person([(12.0, 4.9), (5.0, 4.9)], 1.0)], seed=seed, pose_noise=0.01)
        hall.add(NAVIGATOR, (3.0, 4.9, 0.0), [(13.0, 4.9, 0.0)])
        return hall.run(12)

    first, again, other = trail(3), trail(3), trail(4)
    assert np.array_equal(first.machines[0].trail, again.machines[0].trail)
    assert not np.array_equal(first.machines[0].trail, other.machines[0].trail)


def make(careful: bool = True) -> Navigator:
    policy = Navigator(careful=careful)
    policy.reset(EpisodeInfo(RobotModel(), ROOM, 0.05, (0.25, 0.25), ANGLES, 0))
    return policy


def observe(time: float, scan: np.ndarray, *, scan_time: float | None = None, goal=(13.0, 5.0, 0.0)) -> Observation:
    return Observation(
        time,
        np.array([3.0, 5.0, 0.0]),
        np.zeros(2),
        np.zeros(3),
        np.empty((0, 6)),
        scan.astype(np.float32),
        time if scan_time is None else scan_time,
        None if goal is None else np.array(goal),
        False,
    )


def test_stands_without_a_goal_and_starts_again_with_one() -> None:
    policy = make()
    clear = np.full(len(ANGLES), 9.0)
    assert policy.act(observe(0.0, clear, goal=None)) == (0.0, 0.0)
    assert policy.act(observe(0.05, clear))[0] > 0
    assert policy.act(observe(0.10, clear, goal=None)) == (0.0, 0.0)


def test_stands_when_the_lidar_is_old_or_blind() -> None:
    policy, clear = make(), np.full(len(ANGLES), 9.0)
    assert policy.act(observe(0.0, clear))[0] > 0
    assert policy.act(observe(0.5, clear, scan_time=0.0))[0] > 0
    assert policy.act(observe(0.7, clear, scan_time=0.0)) == (0.0, 0.0)
    assert policy.act(observe(0.8, np.full(len(ANGLES), np.inf))) == (0.0, 0.0)
    assert policy.act(observe(0.9, clear))[0] > 0


def test_reckless_does_not_look_at_the_lidar() -> None:
    near = np.full(len(ANGLES), 0.2)
    assert make(careful=False).act(observe(0.0, near))[0] > 0
    assert make().act(observe(0.0, near)) == (0.0, 0.0)


def test_unreachable_goal_is_waited_for_without_error() -> None:
    policy, clear = make(), np.full(len(ANGLES), 9.0)
    for k in range(200):
        v, omega = policy.act(observe(0.05 * k, clear, goal=(40.0, 5.0, 0.0)))
        assert math.isfinite(v)
        assert math.isfinite(omega)
        assert v <= 0.25
