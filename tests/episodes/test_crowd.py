import dataclasses
import math

import numpy as np
import pytest

from floorcast.common.seeding import generator
from floorcast.episodes.clearance import clearances, footprints
from floorcast.episodes.crowd import plan_crowd
from floorcast.episodes.distributions import Constant
from floorcast.episodes.hall import hall_of
from floorcast.episodes.loop import run_episode
from floorcast.episodes.people import Walker
from floorcast.episodes.routes import Ground
from floorcast.episodes.scenario import PeopleRanges, Scenario, load_scenario
from floorcast.episodes.social_force import RELAXATION
from floorcast.episodes.store import record_bytes
from floorcast.episodes.vehicles import Vehicles
from floorcast.episodes.walking import PERSON_RADIUS
from floorcast.layouts.generator import generate_layout
from floorcast.layouts.model import Layout, Rack
from floorcast.layouts.recipe import LayoutRecipe
from floorcast.robots.model import RobotModel

from .hall import Still, empty_hall, quick

DT = 0.05
HALL = generate_layout(LayoutRecipe(area=250, loose_goods=8), 1)


def walker(**changes):
    options = {"speed": 1.2, "pause": 2.0, "stops_per_minute": 0.0, "careless": False, "crossing": False, **changes}
    return Walker(**options)


def nobody():
    return Vehicles([], 0)


def plan(layout, walkers, routes=(), seed=0, duration=60.0):
    rngs = [generator(seed, "crowd", i) for i in range(len(walkers))]
    ground = hall_of(layout).walkable()
    return plan_crowd(walkers, layout, ground, list(routes), np.zeros((0, 3)), duration, rngs)


def on_ways(ways, speed=1.3, starts=None, room=None):
    """A crowd on given closed ways over wide floor, or over the floor of clearance ``room`` at 0.1 m from (0, 0)."""
    field = np.full((200, 400), 10.0) if room is None else room
    ground = Ground(field > 0, field, 0.1, np.zeros(2))
    crowd = plan_crowd([walker(speed=speed)] * len(ways), Layout(length=40.0, width=20.0), ground, [],
                       np.zeros((0, 3)), 10.0, [generator(0, i) for i in range(len(ways))])  # fmt: skip
    longest = max(len(way) for way in ways)
    path, arcs = np.zeros((len(ways), longest, 2)), np.zeros((len(ways), longest))
    for i, way in enumerate(ways):
        path[i, : len(way)] = way
        arcs[i, 1 : len(way)] = np.cumsum(np.hypot(*np.diff(np.array(way, dtype=float), axis=0).T))
    return dataclasses.replace(
        crowd,
        position=np.array(starts if starts is not None else path[:, 0], dtype=float),
        _path=path,
        _arcs=arcs,
        _path_count=np.array([len(way) for way in ways]),
        _stop_at=np.full((len(ways), 1), np.inf),
        _stop_for=np.zeros((len(ways), 1)),
        _stop_face=np.full((len(ways), 1), math.nan),
    )


def walk(crowd, steps, vehicles=None):
    poses, speeds = [], []
    for _ in range(steps):
        crowd.step(vehicles or nobody(), DT)
        poses.append(crowd.pose)
        speeds.append(crowd.velocity.copy())
    return np.array(poses), np.array(speeds)


def test_a_free_walker_takes_up_the_desired_speed_with_the_relaxation_time():
    crowd = on_ways([[(2.0, 10.0), (38.0, 10.0)]])
    _, speeds = walk(crowd, 60)
    begin = DT * np.arange(60)
    # Mean of 1.3 (1 - exp(-t / tau)) over each step; the model is exact at the ends of its parts of 25 ms.
    way = [1.3 * 0.025 * sum(1 - math.exp(-(t + part) / RELAXATION) for part in (0.025, 0.05)) for t in begin]
    np.testing.assert_allclose(speeds[:, 0, 0] * DT, way, rtol=1e-9)
    np.testing.assert_allclose(speeds[:, 0, 1], 0.0, atol=1e-9)


def test_two_who_meet_head_on_pass_on_the_right():
    crowd = on_ways([[(2.0, 10.0), (38.0, 10.0)], [(38.0, 10.0), (2.0, 10.0)]])
    poses, _ = walk(crowd, 600)
    gap = np.hypot(*(poses[:, 0, :2] - poses[:, 1, :2]).T)
    assert 2 * PERSON_RADIUS < gap.min() < 1.5
    assert poses[gap.argmin(), 0, 1] < 10.0 < poses[gap.argmin(), 1, 1]
    assert poses[-1, 0, 0] > 35.0
    assert poses[-1, 1, 0] < 5.0


def corridor(count, seed=0):
    """Speed [m/s] and density [1/m^2] of a stream in the middle of a corridor of 3 m."""
    x, y = np.meshgrid(0.1 * (np.arange(400) + 0.5), 0.1 * (np.arange(34) + 0.5) - 0.2)
    room = np.maximum(np.minimum(np.minimum(x, 40.0 - x), np.minimum(y, 3.0 - y)), 0.0)
    rng = generator(seed, "corridor")
    places = np.array([(a, b) for a in np.arange(2.0, 36.0, 0.6) for b in np.arange(0.4, 2.8, 0.6)])
    starts = rng.permutation(places)[:count]
    crowd = on_ways([[(0.5, b), (39.5, b)] for _, b in starts], speed=1.34, starts=starts, room=room)
    crowd._origin = np.array([0.0, -0.2])
    crowd._walk[:, 0] = starts[:, 0] - 0.5
    speeds, densities = [], []
    for k in range(600):
        crowd.step(nobody(), DT)
        for i in np.flatnonzero(crowd.position[:, 0] > 37.0):
            # Round and round, as soon as there is room at the beginning.
            back = crowd.position[i] - (34.0, 0.0)
            if np.hypot(*(crowd.position - back).T).min() > 2 * PERSON_RADIUS:
                crowd.position[i] = back
                crowd._walk[i, 0] = back[0] - 0.5
        inner = np.abs(crowd.position[:, 0] - 20.0) < 8.0
        if k > 200:
            speeds.append(crowd.velocity[inner, 0].mean())
            densities.append(inner.sum() / 48.0)
    return np.mean(speeds), np.mean(densities), crowd


@pytest.mark.slow
def test_a_stream_is_as_fast_as_its_density_allows():
    for count in (10, 50, 80, 110):
        speed, density, crowd = corridor(count)
        # Weidmann, Transporttechnik der Fussgaenger, 1993.
        expected = 1.34 * (1.0 - math.exp(-1.913 * (1.0 / density - 1.0 / 5.4)))
        assert speed == pytest.approx(expected, rel=0.25), density
        away = np.hypot(*(crowd.position[:, None] - crowd.position[None]).transpose(2, 0, 1))
        assert away[np.triu_indices(count, 1)].min() > 2 * PERSON_RADIUS - 0.02


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_nobody_enters_racks_walls_goods_or_other_people(seed):
    layout = generate_layout(LayoutRecipe(area=250, loose_goods=8), seed)
    walkers = [walker(group=0)] * 3 + [walker(group=1)] * 2 + [walker(), walker(crossing=True), walker(careless=True)]
    poses, speeds = walk(plan(layout, walkers * 2, seed=seed, duration=300.0), 6000)
    static = footprints(hall_of(layout).solids.static, 0.03, 1.9)
    nothing = (np.zeros((6000, 0, 7)), np.zeros((6000, 0, 2)), np.zeros(0))
    to_static = [
        clearances(poses[:, [i]], np.zeros((1, 2)), static, *nothing)[0].min() for i in range(len(walkers * 2))
    ]
    assert min(to_static) > PERSON_RADIUS - 0.01
    away = np.hypot(*(poses[:, :, None, :2] - poses[:, None, :, :2]).transpose(3, 0, 1, 2))
    first, second = np.triu_indices(len(walkers * 2), 1)
    assert away[:, first, second].min() > 2 * PERSON_RADIUS - 0.05
    np.testing.assert_allclose(np.diff(poses[..., :2], axis=0) / DT, speeds[1:], atol=1e-9)
    # Nobody gets stuck for good: in any minute everybody gets away from where they were.
    moved = np.hypot(*(poses[1200::600, :, :2] - poses[:-1200:600, :, :2]).transpose(2, 0, 1))
    assert (moved.max(axis=0) > 3.0).all()


def test_groups_keep_together_and_others_do_not():
    walkers = [walker(group=0), walker(group=0), walker(group=0), walker(), walker()]
    poses, _ = walk(plan(HALL, walkers, duration=120.0), 1600)
    middle = poses[:, :3, :2].mean(axis=1, keepdims=True)
    apart = np.hypot(*(poses[:, :3, :2] - middle).transpose(2, 0, 1)).max(axis=1)
    assert np.quantile(apart, 0.9) < 1.6
    assert np.hypot(*(poses[:, 3, :2] - poses[:, 4, :2]).T).max() > 6.0
    assert np.hypot(*(poses[-1, 0, :2] - poses[400, 0, :2]).T) + np.hypot(*np.ptp(poses[:, 0, :2], axis=0)) > 6.0


def test_people_work_at_racks_and_face_them():
    poses, speeds = walk(plan(HALL, [walker(pause=6.0)], duration=120.0), 2400)
    still = np.hypot(*speeds[:, 0].T) < 0.02
    # The end of every stay.
    ends = np.flatnonzero(still[:-1] & ~still[1:])
    ends = [k for k in ends if still[max(k - 40, 0) : k].all() and k > 200]
    assert len(ends) >= 3
    for k in ends:
        x, y, yaw = poses[k, 0]
        ahead = np.array([x + math.cos(yaw), y + math.sin(yaw)])
        at_rack = any(_in_rack(rack, ahead) for rack in HALL.racks)
        at_station = any(math.hypot(s.x - x, s.y - y) < 1.4 for s in HALL.stations)
        assert at_rack or at_station


def _in_rack(rack, point):
    dx, dy = point - (rack.x, rack.y)
    c, s = math.cos(rack.yaw), math.sin(rack.yaw)
    return abs(c * dx + s * dy) < 0.5 * rack.length and abs(c * dy - s * dx) < 0.5 * rack.depth + 0.3


RACKED = empty_hall(20.0, 10.0).model_copy(
    update={"racks": tuple(Rack(id=f"R{i}", x=x, y=6.2, bays=2) for i, x in enumerate((4.5, 12.5)))}
)
ROUTE = np.array([[1.0, 4.0], [18.0, 4.0]])


def drive_past(seed, speed=1.2, offset=0.0):
    """Let a robot drive past somebody who is to step out; returns their poses and the robot's."""
    crowd = plan(RACKED, [walker(sudden=True)], routes=[ROUTE], seed=seed)
    vehicles = Vehicles([RobotModel()], 1)
    people, robots = [], []
    for k in range(560):
        x = -12.0 + speed * DT * k + offset
        vehicles.update(np.array([[x, 4.0, 0.0]]), np.array([[speed, 0.0]]))
        crowd.step(vehicles, DT)
        people.append(crowd.pose[0])
        robots.append(x)
    return np.array(people), np.array(robots), crowd


def test_somebody_steps_out_when_a_robot_comes_and_so_that_it_matters():
    gaps = []
    for seed in range(6):
        people, robots, crowd = drive_past(seed)
        meet, wait = crowd._traits[0, 4:6], crowd._traits[0, 6]
        assert abs(meet[1] - 4.0) < 1e-9
        begun = int(np.argmax(np.hypot(*(people[:, :2] - people[0, :2]).T) > 0.05))
        assert begun > 0
        # Waits until the robot is as many seconds away as the way to its lane takes.
        assert (meet[0] - robots[begun]) / 1.2 == pytest.approx(wait, abs=0.5)
        gaps.append(np.hypot(people[:, 0] - robots, people[:, 1] - 4.0).min())
        standing, _, _ = drive_past(seed, speed=0.0)
        np.testing.assert_array_equal(standing[0], standing[-1])
    # A robot that does not brake would be met closely.
    assert np.median(gaps) < 1.3


def test_attentive_people_let_a_vehicle_pass_and_go_round_one_that_stands():
    for x, speed in ((4.0, 1.5), (20.0, 0.0)):
        crowd = on_ways([[(20.0, 4.0), (20.0, 16.0)]])
        vehicles = Vehicles([RobotModel()], 1)
        gap = np.inf
        for k in range(400):
            vehicles.update(np.array([[x + speed * DT * k, 10.0, 0.0]]), np.array([[speed, 0.0]]))
            crowd.step(vehicles, DT)
            dx, dy = np.abs(crowd.position[0] - (vehicles.pose[0, 0], 10.0)) - (0.45, 0.325)
            gap = min(gap, math.hypot(max(dx, 0.0), max(dy, 0.0)))
        assert gap > PERSON_RADIUS
        assert crowd.position[0, 1] > 14.0


def test_episodes_with_a_crowd_are_pure():
    people = PeopleRanges(
        count=Constant(value=6, unit="1"),
        model="social_force",
        groups=Constant(value=0.5, unit="1"),
        sudden=Constant(value=1, unit="1"),
    )
    crowded = quick(duration=5.0, frames=0, layout=RACKED).model_copy(update={"people": people})
    records = [run_episode(crowded, Still, policy_name="still", seed=3, index=0) for _ in range(2)]
    assert record_bytes(records[0]) == record_bytes(records[1])
    drawn = records[0].sampled
    assert [drawn[f"people.{p}.group"] for p in range(6)] == [0, 0, 0, -1, -1, -1]
    assert [drawn[f"people.{p}.sudden"] for p in range(3, 6)] == [1, 1, 1]


def test_a_scenario_without_a_crowd_says_nothing_of_it():
    content = load_scenario("crossing_people").model_dump()["people"]
    assert "groups" not in content
    with pytest.raises(ValueError, match="social_force"):
        Scenario.model_validate({"people": {"sudden": {"distribution": "constant", "value": 0.5, "unit": "1"}}})
