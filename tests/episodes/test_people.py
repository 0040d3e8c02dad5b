import math

import numpy as np
import pytest

from floorcast.common.classes import CLASS_IDS
from floorcast.common.seeding import generator
from floorcast.episodes.clearance import clearances, footprints
from floorcast.episodes.hall import hall_of
from floorcast.episodes.people import Walker, person_shape, plan_people
from floorcast.episodes.vehicles import Vehicles
from floorcast.episodes.walking import PERSON_RADIUS
from floorcast.layouts.generator import generate_layout
from floorcast.layouts.recipe import LayoutRecipe
from floorcast.robots.model import RobotModel

from .hall import empty_hall

DT = 0.05
AMR = RobotModel()


def robots(pose=(), velocity=()):
    vehicles = Vehicles([AMR] * len(pose), len(pose))
    vehicles.update(np.array(pose).reshape(-1, 3), np.array(velocity).reshape(-1, 2))
    return vehicles


def walker(**changes):
    options = {"speed": 1.2, "pause": 2.0, "stops_per_minute": 2.0, "careless": False, "crossing": False, **changes}
    return Walker(**options)


def plan(layout, walkers, routes=(), starts=((0.0, 0.0),), seed=0, duration=60.0):
    rngs = [generator(seed, "walk", i) for i in range(len(walkers))]
    hall = hall_of(layout)
    return plan_people(walkers, layout, hall.walkable(), list(routes), np.array(starts), duration, rngs)


def walk(people, steps, vehicles=robots()):  # noqa: B008
    poses, speeds = [], []
    for _ in range(steps):
        people.step(vehicles, DT)
        poses.append(people.pose)
        speeds.append(people.velocity.copy())
    return np.array(poses), np.array(speeds)


@pytest.mark.parametrize("seed", range(4))
def test_nobody_enters_racks_walls_or_goods(seed):
    layout = generate_layout(LayoutRecipe(area=250, loose_goods=8), seed)
    hall = hall_of(layout)
    people = plan(layout, [walker(), walker(crossing=True, speed=1.6), walker(careless=True)], seed=seed)
    poses, speeds = walk(people, 1200)
    static = footprints(hall.solids.static, 0.03, 1.9)
    nothing = (np.zeros((1200, 0, 7)), np.zeros((1200, 0, 2)), np.zeros(0))
    to_static = np.stack(
        [clearances(poses[:, [i]], np.zeros((1, 2)), static, *nothing)[0][:, 0] for i in range(3)], axis=1
    )
    assert to_static.min() > PERSON_RADIUS - 0.01
    step = np.hypot(*np.diff(poses[:, :, :2], axis=0).T)
    assert step.max() < 1.7 * 1.6 * DT
    assert (np.hypot(speeds[..., 0], speeds[..., 1]).max(axis=0) > 0.9).all()


def test_walking_is_smooth_and_velocity_is_the_motion():
    people = plan(generate_layout(LayoutRecipe(area=250), 1), [walker()])
    poses, speeds = walk(people, 1200)
    np.testing.assert_allclose(np.diff(poses[:, 0, :2], axis=0) / DT, speeds[1:, 0], atol=1e-9)
    acceleration = np.linalg.norm(np.diff(speeds[:, 0], axis=0), axis=-1) / DT
    assert np.quantile(acceleration, 0.99) < 4.0
    # Faces where it walks.
    moving = np.hypot(*speeds[:, 0].T) > 0.8
    off = (np.arctan2(speeds[:, 0, 1], speeds[:, 0, 0]) - poses[:, 0, 2] + math.pi) % (2 * math.pi) - math.pi
    assert np.quantile(np.abs(off[moving]), 0.9) < 0.5


def test_people_stop_and_go():
    people = plan(generate_layout(LayoutRecipe(area=250), 1), [walker(pause=3.0, stops_per_minute=6.0)])
    _, speeds = walk(people, 2400)
    standing = np.hypot(*speeds[:, 0].T) < 0.05
    assert 0.1 < standing.mean() < 0.9
    assert np.count_nonzero(np.diff(standing.astype(int)) == 1) >= 3


def test_the_same_twice_and_other_seeds_differ():
    layout = generate_layout(LayoutRecipe(area=250), 2)
    first, _ = walk(plan(layout, [walker(), walker()]), 300)
    again, _ = walk(plan(layout, [walker(), walker()]), 300)
    other, _ = walk(plan(layout, [walker(), walker()], seed=1), 300)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1.0


def test_crossing_people_cross_the_way_of_the_robots():
    route = np.array([[1.0, 4.0], [13.0, 4.0]])
    people = plan(empty_hall(), [walker(crossing=True, pause=0.5)], routes=[route], starts=((1.0, 4.0),))
    poses, _ = walk(people, 1200)
    side = np.sign(poses[:, 0, 1] - 4.0)
    assert np.count_nonzero(np.diff(side[side != 0])) >= 5


@pytest.mark.parametrize("careless", [False, True])
def test_nobody_walks_into_a_robot_that_stands(careless):
    route = np.array([[1.0, 4.0], [13.0, 4.0]])
    people = plan(empty_hall(), [walker(crossing=True, careless=careless)], routes=[route], starts=((1.0, 4.0),))
    middle = 0.5 * (people._path[0, 0] + people._path[0, 1])
    poses, _ = walk(people, 1200, robots([[*middle, 0.0]], [[0.0, 0.0]]))
    gap = np.hypot(*(poses[:, 0, :2] - middle).T) - 0.555 - PERSON_RADIUS
    assert gap.min() > 0.0
    # ... but goes round it.
    side = np.sign(poses[:, 0, 1] - middle[1])
    assert np.count_nonzero(np.diff(side[side != 0])) >= 2


def test_attentive_people_keep_away_from_moving_robots_more_than_careless_ones():
    route = np.array([[1.0, 4.0], [13.0, 4.0]])
    nearest = {}
    for careless in (False, True):
        gaps = []
        for seed in range(12):
            people = plan(
                empty_hall(),
                [walker(crossing=True, careless=careless)],
                routes=[route],
                seed=seed,
                starts=((1.0, 4.0),),
            )
            gap = np.inf
            for k in range(240):
                x = 1.0 + 12.0 * k / 240
                pose, speed = np.array([[x, 4.0, 0.0]]), np.array([[1.0, 0.0]])
                people.step(robots(pose, speed), DT)
                gap = min(gap, float(np.hypot(*(people.position[0] - pose[0, :2]))) - 0.555 - PERSON_RADIUS)
            gaps.append(gap)
        nearest[careless] = np.array(gaps)
    met = nearest[True] < 0.5
    assert met.sum() >= 4
    assert np.median(nearest[False][met]) > np.median(nearest[True][met]) + 0.1


def test_nobody_starts_on_a_robot_and_a_full_hall_stands_still():
    starts = ((4.0, 4.0), (10.0, 4.0))
    people = plan(generate_layout(LayoutRecipe(area=250), 3), [walker()] * 4, starts=starts)
    for start in starts:
        assert np.hypot(*(people.position - start).T).min() > 2.0
    tight = plan(empty_hall(0.5, 0.5), [walker()])
    poses, _ = walk(tight, 20)
    assert np.ptp(poses[:, 0], axis=0).max() == 0.0
    assert len(plan(empty_hall(), [])) == 0


def test_a_person_has_the_size_of_a_person():
    shape = person_shape(0, generator(0, "looks"), body=3, instance_id=41)
    assert set(shape.class_id) == {CLASS_IDS["person"]}
    assert set(shape.instance_id) == {41}
    assert set(shape.body) == {3}
    rows = footprints(shape, -1, 3)
    reach = np.hypot(rows[:, 0], rows[:, 1]) + np.hypot(rows[:, 4], rows[:, 5]) + rows[:, 6]
    assert reach.max() < 0.35
    top = (shape.position[:, 2] + shape.size[:, 0]).max()
    assert 1.55 < top < 1.95
    assert (shape.position[:, 2] - np.where(shape.kind == 0, shape.size[:, 2], shape.size[:, 0])).min() > -0.01
