"""Goods that are placed, hidden, carried and released."""

from __future__ import annotations

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.common.primitives import PrimitiveBuilder
from floorcast.layouts.geometry import layout_solids
from floorcast.layouts.model import Good, Layout
from floorcast.perception.scene import Scene
from floorcast.physics.handling import HIDDEN_POSE, with_spares
from floorcast.physics.world import World
from floorcast.robots.fleet import Fleet
from floorcast.robots.model import RobotModel
from floorcast.robots.urdf import load_shape

HALF = 0.2
FRONT = 0.45


@pytest.fixture
def make():
    """Build worlds that are closed when the test ends: make(places of 8 kg cartons, static solids)."""
    made = []

    def build(places, static=None, groups=()):
        loose = PrimitiveBuilder()
        for k in range(len(places)):
            loose.box((HALF,) * 3, (0, 0, 0), class_name="box", instance_id=50 + k, body=k)
        world = World(
            (static or PrimitiveBuilder()).build(),
            [kind for kind, _ in groups],
            [name for _, name in groups],
            loose=loose.build(),
            loose_pose=np.reshape([(*place, 0, 0, 0, 1) for place in places], (-1, 7)),
            loose_mass=[8.0] * len(places),
            loose_id=[f"G{k}" for k in range(len(places))],
        )
        made.append(world)
        return world

    yield build
    for world in made:
        world.close()


def start(world, poses):
    fleet = Fleet(world, [RobotModel()] * len(poses))
    fleet.reset(poses)
    return fleet


def run(fleet, seconds, commands):
    fleet.command(commands)
    fleet.step(round(seconds * 240))


def test_a_carried_good_moves_with_the_robot_wherever_it_drives(make):
    world = make([(5.0, 5.0, HALF), (9.0, 0.0, HALF)])
    fleet = start(world, [[0, 0, 0], [0, 4, 0]])
    offset = np.array([0.1, -0.2, 0.6, 0, 0, np.sin(0.2), np.cos(0.2)])
    world.carry_good(0, 1, offset)
    run(fleet, 3, [[0, 0], [0.7, 0.5]])
    x, y, yaw = fleet.pose[1]
    assert fleet.pose[1, 0] > 1.0
    expected = [x + np.cos(yaw) * 0.1 + np.sin(yaw) * 0.2, y + np.sin(yaw) * 0.1 - np.cos(yaw) * 0.2, 0.6]
    for pose in (world.loose_pose()[0], fleet.body_pose()[2]):
        assert pose[:3] == pytest.approx(expected, abs=1e-12)
        assert 2 * np.arctan2(pose[5], pose[6]) == pytest.approx(yaw + 0.4)
    assert world.carried_by(1) == [0]
    assert not world.goods_moving
    assert world.loose_pose()[1].tolist() == [9.0, 0, HALF, 0, 0, 0, 1]


def test_what_sticks_out_meets_a_rack_and_what_does_not_passes(make):
    beam = PrimitiveBuilder()
    beam.box((0.05, 5, 0.05), (3.0, 0, 1.0), class_name="rack", body=0)
    world = make([(-5.0, 0.0, HALF)], beam, [("rack", "R1")])
    fleet = start(world, [[0, 0, 0]])
    ahead = [0.9, 0, 0.9, 0, 0, 0, 1]
    radius = world.robot_radius[0]
    world.carry_good(0, 0, ahead)
    assert world.robot_radius[0] == pytest.approx(np.hypot(1.1, 0.325))
    run(fleet, 5, [[0.8, 0]])
    assert fleet.pose[0, 0] + 0.9 + HALF == pytest.approx(2.95, abs=5e-3), "the load stands at the beam"
    (contact,) = world.contacts()
    assert (contact.other_class, contact.robot) == ("rack", 0)
    assert contact.speed == pytest.approx(0.8, rel=0.02)
    assert 90 * 0.8 * 0.99 < contact.impulse < 90 * 0.8 * 1.2
    # Lowered on board it fits under the beam.
    run(fleet, 1, [[-0.3, 0]])
    world.carry_good(0, 0, [0.0, 0, 0.6, 0, 0, 0, 1])
    assert world.robot_radius[0] == radius
    run(fleet, 5, [[0.8, 0]])
    assert fleet.pose[0, 0] > 4.0
    assert not world.contacts()
    world.reset()
    assert world.loose_pose()[0, 0] == -5.0
    assert world.robot_radius[0] == radius


@pytest.mark.parametrize("speed", [0.3, 1.2])
def test_a_wall_that_robot_and_load_meet_at_once_stops_both_once(make, speed):
    wall = PrimitiveBuilder()
    wall.box((0.1, 5, 1), (3.1, 0, 1.0), class_name="wall", body=0)
    world = make([(-5.0, 0.0, HALF)], wall, [("wall", "W1")])
    fleet = start(world, [[1.2, 0, 0]])
    world.carry_good(0, 0, [FRONT - HALF, 0.1, 0.6, 0, 0, 0, 1])
    deepest = 0.0
    fleet.command([[speed, 0]])
    for _ in range(240 * (3 if speed > 0.5 else 7)):
        fleet.step(1)
        deepest = max(deepest, fleet.pose[0, 0] + FRONT - 3.0)
    assert deepest < speed / 240 + 1e-3
    assert fleet.pose[0] == pytest.approx([3.0 - FRONT, 0, 0], abs=3e-3)
    (contact,) = world.contacts()
    assert contact.speed == pytest.approx(speed, rel=0.02)
    push = 0.8 * 0.7 * 90 * 9.81 * world.settings.impact_time
    assert 90 * speed * 0.9 < contact.impulse < 90 * speed * 1.1 + push


def test_a_beam_above_is_known_when_what_is_held_is_raised_into_it(make):
    beam = PrimitiveBuilder()
    beam.box((0.5, 1, 0.05), (1.0, 0, 3.0), class_name="rack", body=0)
    world = make([(-5.0, 0.0, HALF)], beam, [("rack", "R1")])
    world.set_robots([load_shape("amr.urdf")], lift=[4.0])
    fleet_pose = np.zeros((1, 3))
    world.reset([90.0], [8.0])
    world.follow(fleet_pose)
    world.carry_good(0, 0, [1.0, 0, 0.25, 0, 0, 0, 1])
    touched_at = None
    for step in range(400):
        world.set_hold_height(0, 0.01 * step)
        assert world.must_touch(fleet_pose)
        world.touch_step(fleet_pose, np.zeros((1, 3)))
        if 0 in world.hold_stops and touched_at is None:
            touched_at = world.loose_pose()[0, 2] + HALF
            assert world.hold_stops[0][:2] == ("rack", "R1")
            assert world.hold_stops[0][2] < -0.9
    assert touched_at == pytest.approx(2.95, abs=0.03)
    with pytest.raises(InputError, match=r"4\.5 m"):
        world.set_hold_height(0, 4.5)


def test_a_robot_meets_what_another_carries(make):
    world = make([(-5.0, 0.0, HALF)])
    fleet = start(world, [[0, 0, 0], [3, 0, np.pi]])
    world.carry_good(0, 1, [1.0, 0, 0.25, 0, 0, 0, 1])
    run(fleet, 5, [[0.5, 0], [0, 0]])
    assert {(c.robot, c.other_id) for c in world.contacts()} == {(0, "amr_1"), (1, "amr_0")}
    assert fleet.pose[1, 0] - fleet.pose[0, 0] > FRONT + 1.2 - 5e-3


def test_a_released_good_falls_and_comes_to_rest_and_can_be_pushed(make):
    world = make([(-5.0, 0.0, HALF), (-5.0, 3.0, HALF)])
    fleet = start(world, [[0, 0, 0]])
    world.carry_good(0, 0, [1.2, 0, 0.5, 0, 0, 0, 1])
    run(fleet, 2, [[0.5, 0]])
    run(fleet, 1, [[0.0, 0]])
    place = fleet.pose[0, 0] + 1.2
    world.release_good(0)
    run(fleet, 1.5, [[0, 0]])
    assert not world.goods_moving
    assert world.loose_pose()[0, :2] == pytest.approx([place, 0], abs=0.02), "a fall of 0.3 m may shift it a little"
    assert world.loose_pose()[0, 2:] == pytest.approx([HALF, 0, 0, 0, 1], abs=2e-3)
    run(fleet, 3, [[0.4, 0]])
    assert world.loose_pose()[0, 0] == pytest.approx(fleet.pose[0, 0] + FRONT + HALF, abs=5e-3), "it was pushed"
    # The same again after it has moved and lain asleep for long, and onto another one.
    run(fleet, 4, [[-0.4, 0]])
    world.carry_good(0, 0, [1.2, 0, 1.0, 0, 0, 0, 1])
    world.place_good(1, world.standing_pose(1, *(fleet.pose[0, :2] + [1.2, 0]), 0.0))
    world.release_good(0)
    run(fleet, 2, [[0, 0]])
    assert world.loose_pose()[0, 2] == pytest.approx(3 * HALF, abs=2e-3)
    # What it stands on is taken away.
    world.hide_good(1)
    run(fleet, 2, [[0, 0]])
    assert world.loose_pose()[0, 2] == pytest.approx(HALF, abs=2e-3)


@pytest.mark.parametrize("away", ["place_good", "drop_good", "guide_good"])
def test_what_stood_on_a_good_that_is_taken_away_falls(make, away):
    world = make([(2.0, 0.0, HALF), (2.0, 0.0, 3 * HALF)])
    fleet = start(world, [[0, 0, 0]])
    getattr(world, away)(0, world.standing_pose(0, -3.0, 1.0, 0.0))
    run(fleet, 2.0, [[0.0, 0]])
    assert world.loose_pose()[1, 2] == pytest.approx(HALF, abs=0.01)


def test_hidden_goods_touch_nothing_and_are_seen_by_nobody(make):
    world = make([(2.0, 0.0, HALF), HIDDEN_POSE[:3]])
    fleet = start(world, [[0, 0, 0]])
    assert world.hidden_goods() == [1]
    run(fleet, 4.0, [[0.5, 0]])
    assert len(world.contacts()) == 1, "it was pushed, and so is in Bullet"
    world.hide_good(0)
    run(fleet, 4.0, [[0.5, 0]])
    assert fleet.pose[0, 0] > 3.5
    assert not world.contacts()
    loose = PrimitiveBuilder()
    loose.box((HALF,) * 3, (0, 0, 0), class_name="box", body=1)
    scene = Scene(PrimitiveBuilder().build(), loose.build(), 2)
    pose = fleet.body_pose()
    eye, look = [pose[0, 0], 0, 0.3], [[-1.0, 0, 0]]
    scene.update(pose[[0, 1]])
    assert not np.isfinite(scene.cast(eye, look).range[0])
    world.place_good(0, world.standing_pose(0, 0.0, 0.0, 0.0))
    scene.update(fleet.body_pose()[[0, 1]])
    assert scene.cast(eye, look).range[0] == pytest.approx(fleet.pose[0, 0] - HALF, abs=1e-5)
    run(fleet, 12, [[-0.5, 0]])
    assert len(world.contacts()) == 1, "placed again, it is met again"


def test_episodes_after_handling_are_the_same_to_the_bit(make):
    world = make([(1.5, 0.1, HALF), HIDDEN_POSE[:3], (1.5, 0.1, 3 * HALF)])

    def episode(handled):
        fleet = start(world, [[0, 0, 0], [4, 0.2, np.pi]])
        if handled:
            world.place_good(1, world.standing_pose(1, 2.4, -0.1, 0.0))
        run(fleet, 2, [[0.6, 0], [0.5, 0]])
        if handled:
            world.carry_good(0, 0, [0, 0, 2.5, 0, 0, 0, 1])
            run(fleet, 1, [[0.6, 0.2], [0.5, 0]])
            world.release_good(0)
        run(fleet, 2, [[0.6, 0], [0.5, 0.4]])
        return fleet.body_pose().tobytes(), repr(world.contacts())

    plain, handled = episode(False), episode(True)
    assert plain != handled
    assert episode(False) == plain
    assert episode(True) == handled


def test_spares_are_goods_of_the_layout_that_wait(make):
    hall = Layout(name="h", length=20, width=10, goods=(Good(id="A", x=5, y=5, size=(0.4, 0.4, 0.4)),))
    spares = [
        Good(id="S0", kind="pallet", x=0, y=0, size=(1.2, 0.8, 0.144), mass=25.0),
        Good(id="S1", x=0, y=0, size=(0.3, 0.3, 0.2), mass=5.0),
    ]
    before = layout_solids(hall)
    solids = with_spares(before, spares)
    assert solids.loose_id == ("A", "S0", "S1")
    assert solids.loose_mass.tolist() == [8.0, 25.0, 5.0]
    assert sorted(solids.object_id[i] for i in set(solids.loose.instance_id.tolist())) == ["A", "S0", "S1"]
    assert solids.next_instance_id == before.next_instance_id + 2
    world = World.from_solids(solids)
    assert world.hidden_goods() == [1, 2]
    world.place_good(1, world.standing_pose(1, 3.0, 3.0, 0.5, 0.3))
    pallet = solids.loose.take(solids.loose.body == 1)
    low = world.loose_pose()[1, 2] + (pallet.position[:, 2] - pallet.size[:, 2]).min()
    assert low == pytest.approx(0.5)
    world.close()
    with pytest.raises(InputError, match="'A'"):
        with_spares(before, [Good(id="A", x=0, y=0, size=(1, 1, 1))])


def test_bad_handling_is_explained(make):
    world = make([(2.0, 0.0, HALF)])
    world.set_robots([load_shape("amr.urdf")])
    world.reset()
    good = [0, 0, 1, 0, 0, 0, 1]
    with pytest.raises(InputError, match="no loose good 1"):
        world.place_good(1, good)
    with pytest.raises(InputError, match="no loose good -1"):
        world.hide_good(-1)
    with pytest.raises(InputError, match="no robot 1"):
        world.carry_good(0, 1, good)
    with pytest.raises(InputError, match="nobody carries good 'G0'"):
        world.release_good(0)
    for bad in ([0, 0, np.nan, 0, 0, 0, 1], [0, 0, 0], [0, 0, 0, 0, 0, 0, 0.5]):
        with pytest.raises(InputError, match="G0"):
            world.place_good(0, bad)
    assert world.loose_pose()[0, 0] == 2.0
