"""What happens when robots touch things, and that an episode is the same whatever the world did before."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.common.primitives import PLANE, PrimitiveBuilder
from floorcast.layouts.generator import generate_layout
from floorcast.layouts.geometry import layout_solids
from floorcast.layouts.recipe import LayoutRecipe
from floorcast.physics.settings import PhysicsSettings
from floorcast.physics.world import World, WorldPool
from floorcast.robots.fleet import Fleet
from floorcast.robots.model import DriveParameters, RobotModel

FRONT = 0.45
"""From base_link to the front of the robot [m]."""


@pytest.fixture
def make():
    """Build worlds that are closed when the test ends: make(static builder, groups, goods=[(size, mass, x, y)])."""
    made = []

    def build(static=None, groups=(), goods=(), **options):
        loose, poses = PrimitiveBuilder(), []
        for k, (half, _, x, y) in enumerate(goods):
            loose.box((half,) * 3, (0, 0, 0), class_name="box", instance_id=50 + k, body=k)
            poses.append((x, y, half, 0, 0, 0, 1))
        world = World(
            (static or PrimitiveBuilder()).build(),
            [kind for kind, _ in groups],
            [name for _, name in groups],
            loose=loose.build(),
            loose_pose=np.reshape(poses, (-1, 7)),
            loose_mass=[mass for _, mass, _, _ in goods],
            loose_id=[f"G{k}" for k in range(len(goods))],
            settings=PhysicsSettings(**options),
        )
        made.append(world)
        return world

    yield build
    for world in made:
        world.close()


def start(world, poses, *, drives=None, **options):
    fleet = Fleet(world, [RobotModel()] * len(poses), drives)
    fleet.reset(poses, **options)
    return fleet


def run(fleet, seconds, commands):
    fleet.command(commands)
    fleet.step(round(seconds * 240))


def wall(x=3.0):
    builder = PrimitiveBuilder()
    builder.add(PLANE, (0, 0), (0, 0, 0), class_name="floor")
    builder.box((0.1, 5, 1), (x + 0.1, 0, 1), class_name="wall", body=1)
    return builder, (("floor", "floor"), ("wall", "W1"))


@pytest.mark.parametrize("speed", [0.3, 1.0, 2.0])
def test_a_wall_stops_a_robot_for_good(make, speed):
    world = make(*wall())
    fleet = start(world, [[0, 0.2, 0]])
    deepest = 0.0
    fleet.command([[speed, 0]])
    for _ in range(240 * (4 if speed > 0.5 else 10)):
        fleet.step(1)
        deepest = max(deepest, fleet.pose[0, 0] + FRONT - 3.0)
    assert deepest < speed / 240 + 1e-3, "no deeper than one step of travel"
    assert fleet.pose[0] == pytest.approx([3.0 - FRONT, 0.2, 0.0], abs=2e-3)
    assert abs(fleet.velocity[0, 0]) < 0.03
    (contact,) = world.contacts()
    assert (contact.robot, contact.other_class, contact.other_id) == (0, "wall", "W1")
    assert contact.speed == pytest.approx(speed, rel=0.02)
    push = 0.8 * 0.7 * 90 * 9.81 * world.settings.impact_time
    assert 90 * speed * 0.99 < contact.impulse < 90 * speed + push + 1.0
    assert contact.position[0] == pytest.approx(3.0, abs=0.01)
    assert contact.time == pytest.approx((3.0 - FRONT) / speed + 0.1 + speed / 3.0, abs=0.03)
    assert world.contacts() == []


def test_impulse_is_mass_times_speed_with_payload(make):
    world = make(*wall())
    fleet = start(world, [[0, 0, 0]], payloads=[60.0])
    run(fleet, 5, [[1.0, 0]])
    (contact,) = world.contacts()
    assert contact.impulse == pytest.approx(150 * 1.0, rel=0.1)


def test_a_glancing_touch_reports_the_speed_along_the_normal(make):
    world = make(*wall())
    fleet = start(world, [[2.0, -2.0, np.pi / 2 - 0.3]])
    run(fleet, 3, [[1.0, 0]])
    (contact, *_) = world.contacts()
    assert contact.speed == pytest.approx(np.sin(0.3), abs=0.03)


def test_separate_touches_are_separate_reports_and_one_touch_is_one(make):
    world = make(*wall())
    fleet = start(world, [[1.5, 0, 0]])
    run(fleet, 4, [[0.5, 0]])
    assert len(world.contacts()) == 1
    run(fleet, 3, [[-0.3, 0]])
    run(fleet, 5, [[0.5, 0]])
    assert len(world.contacts()) == 1


def test_thin_uprights_are_not_passed_through(make):
    builder = PrimitiveBuilder()
    for y in np.arange(-1.0, 1.01, 0.5):
        builder.box((0.04, 0.04, 1), (3.0, y, 1), class_name="rack", body=0)
    world = make(builder, [("rack", "R1")])
    fleet = start(world, [[0, 0.25, 0]], payloads=[120.0])
    run(fleet, 6, [[2.0, 0]])
    assert fleet.pose[0, 0] + FRONT < 2.97
    assert world.contacts()[0].other_class == "rack"


def test_beams_above_the_robot_do_not_stop_it(make):
    builder = PrimitiveBuilder()
    builder.box((0.1, 5, 0.05), (2.0, 0, 0.6), class_name="rack", body=0)
    world = make(builder, [("rack", "R1")])
    fleet = start(world, [[0, 0, 0]])
    run(fleet, 5, [[1.0, 0]])
    assert fleet.pose[0, 0] > 4.0
    assert not world.contacts()


def test_a_round_column_is_round(make):
    builder = PrimitiveBuilder()
    builder.cylinder(0.3, 1.0, (3.0, 0, 1.0), class_name="column", body=0)
    world = make(builder, [("column", "C1")])
    fleet = start(world, [[0, 0, 0]])
    run(fleet, 5, [[0.5, 0]])
    run(fleet, 1.5, [[0, 0]])
    assert fleet.pose[0, 0] + FRONT == pytest.approx(2.7, abs=2e-3)
    # Beside the axis the surface is further away by the versine.
    fleet.reset([[0, 0.325 + 0.28, 0]])
    run(fleet, 7, [[0.5, 0]])
    (contact,) = world.contacts()
    touch = 3.0 - np.sqrt(0.3**2 - 0.28**2) - FRONT
    assert contact.time == pytest.approx(touch / 0.5 + 0.1 + 0.5 / 3, abs=0.03)


@pytest.mark.parametrize(("mass", "moves"), [(10.0, True), (100.0, True), (150.0, False)])
def test_a_carton_is_pushed_as_far_as_traction_reaches(make, mass, moves):
    """The wheels hold 0.8 * 0.7 * 90 g = 494 N; a carton resists with 0.4 m g: 392 N for 100 kg, 589 N for 150 kg."""
    world = make(goods=[(0.2, mass, 1.5, 0.0)])
    fleet = start(world, [[0, 0, 0]])
    run(fleet, 6, [[0.3, 0]])
    carton = world.loose_pose()[0]
    (contact,) = world.contacts()
    assert (contact.other_class, contact.other_id) == ("box", "G0")
    assert contact.speed == pytest.approx(0.3, rel=0.02)
    if moves:
        assert carton[0] - fleet.pose[0, 0] == pytest.approx(FRONT + 0.2, abs=5e-3), "stays in front of the robot"
        assert fleet.pose[0, 0] > 1.5
    else:
        assert carton[0] == pytest.approx(1.5, abs=0.03)
        assert fleet.odometry[0, 0] > fleet.pose[0, 0] + 0.3, "the wheels spin"
    assert carton[2] == pytest.approx(0.2, abs=2e-3), "it neither sinks nor climbs"


def test_a_released_carton_slides_by_friction_and_comes_to_rest(make):
    world = make(goods=[(0.2, 20.0, 1.2, 0.0)])
    fleet = start(world, [[0, 0, 0]], drives=[DriveParameters(max_deceleration=5.3, motor_lag=0.0, friction=1.5)])
    run(fleet, 4, [[1.0, 0]])
    assert world.goods_moving
    before = world.loose_pose()[0, 0]
    run(fleet, 2, [[0, 0]])
    slid = world.loose_pose()[0, 0] - before
    assert slid == pytest.approx(1.0 / (2 * 0.4 * 9.81) + 0.02, rel=0.1)
    assert not world.goods_moving
    rest = world.loose_pose()
    run(fleet, 1, [[0, 0]])
    assert np.array_equal(rest, world.loose_pose())


def test_one_carton_pushes_the_next(make):
    world = make(goods=[(0.2, 8.0, 1.5, 0.0), (0.2, 8.0, 2.2, 0.0), (0.2, 8.0, 9.0, 0.0)])
    fleet = start(world, [[0, 0, 0]])
    run(fleet, 6, [[0.5, 0]])
    pose = world.loose_pose()
    assert pose[1, 0] - pose[0, 0] == pytest.approx(0.4, abs=0.01)
    assert pose[1, 0] > 2.9
    assert pose[2].tolist() == [9.0, 0, 0.2, 0, 0, 0, 1], "what nobody touched has not moved by a bit"


def test_a_stack_and_a_tall_carton_fall_and_come_to_rest(make):
    loose, poses = PrimitiveBuilder(), [(1.5, 0, 0.2), (1.5, 0, 0.6), (4.0, 0, 0.6)]
    for k, half in enumerate([(0.2, 0.2, 0.2), (0.2, 0.2, 0.2), (0.1, 0.1, 0.6)]):
        loose.box(half, (0, 0, 0), class_name="box", body=k)
    quaternion = np.tile([0, 0, 0, 1.0], (3, 1))
    world = World(
        *_empty(),
        loose=loose.build(),
        loose_pose=np.hstack([poses, quaternion]),
        loose_mass=[10.0, 10.0, 6.0],
        loose_id=["low", "high", "tall"],
    )
    fleet = start(world, [[0, 0, 0]])
    run(fleet, 4.5, [[1.2, 0]])
    run(fleet, 4, [[0, 0]])
    pose = world.loose_pose()
    assert pose[0, 2] == pytest.approx(0.2, abs=2e-3)
    assert pose[0, 0] - fleet.pose[0, 0] > FRONT + 0.19, "the low one was pushed ahead"
    assert pose[1, 2] == pytest.approx(0.35 + 0.2, abs=5e-3), "the high one slid onto the robot's deck"
    assert pose[2, 2] == pytest.approx(0.1, abs=5e-3), "the tall one was toppled"
    run(fleet, 1, [[0, 0]])
    assert np.abs(world.loose_pose() - pose).max() < 1e-3, "all have come to rest"
    run(fleet, 1, [[-0.3, 0]])
    assert world.loose_pose()[1, 0] < pose[1, 0] - 0.1, "what lies on the deck rides along"
    world.close()


def test_two_robots_share_the_blow(make):
    world = make()
    fleet = start(world, [[0, 0, 0], [4, 0, np.pi]])
    run(fleet, 5, [[0.6, 0], [0.4, 0]])
    first, second = world.contacts()
    assert (first.robot, first.other_class, first.other_id) == (0, "amr", "amr_1")
    assert (second.robot, second.other_class, second.other_id) == (1, "amr", "amr_0")
    assert first.speed == pytest.approx(1.0, rel=0.03)
    assert second.impulse == pytest.approx(first.impulse, rel=1e-6)
    assert fleet.pose[1, 0] - fleet.pose[0, 0] > 0.88


def test_a_person_walks_into_a_robot_and_is_not_stopped(make):
    world = make()
    fleet = start(world, [[0, 0, 0]])
    world.set_people([[2.0, 0.0, np.pi], [0.0, 5.0, 0.0]], [[-1.0, 0.0], [1.0, 0.0]])
    run(fleet, 1.5, [[0, 0]])
    (contact,) = world.contacts()
    assert (contact.other_class, contact.other_id) == ("person", "person_0")
    assert contact.speed == pytest.approx(1.0, rel=0.02)
    assert contact.time == pytest.approx(2.0 - FRONT - 0.25, abs=0.02)
    assert world.person_pose()[0, 0] == pytest.approx(0.5, abs=1e-9)
    assert fleet.pose[0, 0] < -0.1, "the robot was shoved"
    assert world.person_pose()[1, 0] == pytest.approx(1.5)


def test_a_robot_drives_into_a_standing_person(make):
    world = make()
    fleet = start(world, [[0, 0, 0]])
    world.set_people([[2.0, 0.1, 0.0]], [[0.0, 0.0]])
    run(fleet, 4, [[0.8, 0]])
    (contact,) = world.contacts()
    assert contact.other_class == "person"
    assert contact.speed == pytest.approx(0.8, rel=0.02)
    assert contact.impulse == pytest.approx(0.8 * 90 * 75 / (90 + 75), rel=0.02)
    assert fleet.pose[0, 0] + FRONT < 1.76


def test_a_robot_pinched_between_a_person_and_a_wall_stays_sane(make):
    world = make(*wall(2.0))
    fleet = start(world, [[2.0 - FRONT - 0.05, 0, 0.1]])
    world.set_people([[0.5, 0.15, 0.0]], [[1.5, 0.0]])
    fleet.command([[0.3, 0]])
    for _ in range(480):
        fleet.step(1)
        assert np.hypot(*fleet.velocity[0]) < 6.0
        assert abs(fleet.velocity[0, 0]) < 2.0
    corner = np.abs([[np.cos(fleet.pose[0, 2]) * FRONT, np.sin(fleet.pose[0, 2]) * 0.325]]).sum()
    assert fleet.pose[0, 0] + corner < 2.0 + 0.1, "it was not pressed through the wall"
    assert world.person_pose()[0, 0] == pytest.approx(3.5), "the person walked on"
    touched = {contact.other_class for contact in world.contacts()}
    assert touched == {"wall", "person"}


def test_a_compound_of_many_children_is_whole(make):
    """PyBullet drops children silently in some ways of building: the last of 1,500 must stop a robot too."""
    builder = PrimitiveBuilder()
    for k in range(1500):
        builder.box((0.05, 0.05, 0.3), (3.0, 0.1 * k, 0.3), class_name="rack", body=0)
    world = make(builder, [("rack", "R1")])
    for y in (0.0, 1.6, 75.0, 149.5):
        fleet = start(world, [[2.0, y, 0]])
        run(fleet, 3, [[0.5, 0]])
        assert fleet.pose[0, 0] + FRONT == pytest.approx(2.95, abs=3e-3)


def test_moving_bodies_come_in_the_documented_order(make):
    world = make(goods=[(0.2, 8.0, 5.0, 1.0)])
    fleet = start(world, [[0, 0, 0.5], [3, 3, 0]])
    world.set_people([[8.0, 8.0, 1.0]], [[0, 0]])
    pose = fleet.body_pose()
    assert pose.shape == (4, 7)
    assert pose[0] == pytest.approx([0, 0, 0, 0, 0, np.sin(0.25), np.cos(0.25)])
    assert pose[2, :3] == pytest.approx([8, 8, 0])
    assert pose[3] == pytest.approx([5, 1, 0.2, 0, 0, 0, 1])


# -- the same episode, whatever came before ----------------------------------------------------------------------------


def busy_world():
    return World.from_solids(layout_solids(generate_layout(LayoutRecipe(area=400, loose_goods=12), 3)))


def busy_episode(world, seed=0):
    """Six robots that bump into racks, goods, people and each other; returns a hash of everything that came out."""
    solids = world.static_table
    centre = np.append(0.5 * (solids[:, :2].min(axis=0) + solids[:, :2].max(axis=0)), 0.0)
    fleet = Fleet(world, [RobotModel()] * 6)
    rng = np.random.default_rng(seed)
    poses: list[np.ndarray] = []
    while len(poses) < 6:
        pose = centre + rng.uniform((-8, -6, -3), (8, 6, 3))
        if not world.obstacles_at(0, pose) and all(np.hypot(*(pose - p)[:2]) > 1.2 for p in poses):
            poses.append(pose)
    fleet.reset(poses, rng.uniform(0, 80, 6), 0.6)
    digest, touched = hashlib.sha256(), set()
    for tick in range(80):
        if tick % 10 == 0:
            fleet.command(rng.uniform((0.2, -0.8), (1.2, 0.8), (6, 2)))
            world.set_people(rng.uniform((-6, -5, 0), (6, 5, 0), (3, 3)) + centre, rng.normal(0, 1, (3, 2)))
        fleet.step(12)
        for value in (fleet.pose, fleet.velocity, fleet.energy_wh, fleet.odometry, fleet.body_pose()):
            digest.update(value.tobytes())
        contacts = world.contacts()
        touched |= {contact.other_class for contact in contacts}
        digest.update(repr(contacts).encode())
    return digest.hexdigest(), touched


def test_an_episode_is_bit_equal_in_fresh_reset_and_foreign_worlds():
    foreign = subprocess.Popen([sys.executable, __file__], stdout=subprocess.PIPE, text=True)
    fresh = busy_world()
    first, touched = busy_episode(fresh)
    assert len(touched) >= 3, f"only {touched} were touched: too calm to mean anything"
    again, _ = busy_episode(fresh)
    assert again == first, "a reset world gives the same episode"
    other, _ = busy_episode(fresh, seed=1)
    assert other != first
    assert busy_episode(fresh)[0] == first, "what came between does not matter"
    fresh.close()
    reused = busy_world()
    assert busy_episode(reused)[0] == first, "a used client gives the same episode"
    reused.close()
    output, _ = foreign.communicate(timeout=120)
    assert output.strip() == first, "another process gives the same episode"


def test_a_pool_keeps_worlds_and_clients():
    pool = WorldPool(size=2)
    built = []

    def build():
        world = World(*_empty())
        built.append(world)
        return world

    first = pool.get("a", build)
    assert pool.get("a", build) is first
    pool.get("b", build)
    clients = {world._bodies.client for world in built}
    pool.get("c", build)
    assert first._bodies.client == -1, "the world used longest ago is closed"
    assert built[-1]._bodies.client in clients, "and its client serves the next"
    assert len(built) == 3
    pool.close()
    with pytest.raises(InputError):
        WorldPool(size=0)


def _empty():
    return PrimitiveBuilder().build(), (), ()


def test_resets_do_not_grow_memory():
    world = World(*_empty())
    builder, groups = wall()
    world.close()
    world = World(builder.build(), [g[0] for g in groups], [g[1] for g in groups])

    def episode():
        fleet = start(world, [[2.4, 0, 0]])
        run(fleet, 0.5, [[0.5, 0]])

    for _ in range(20):
        episode()
    before = _resident()
    for _ in range(60):
        episode()
    assert _resident() - before < 8e6
    world.close()


def _resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


# -- bad input ---------------------------------------------------------------------------------------------------------


def test_bad_input_is_explained(make):
    builder, groups = wall()
    with pytest.raises(InputError, match="group 1"):
        World(builder.build(), ("floor",), ("floor",))
    with pytest.raises(InputError, match="one length"):
        World(*_empty(), loose_pose=np.zeros((1, 7)), loose_mass=[1.0], loose_id=())
    world = make(builder, groups)
    with pytest.raises(InputError, match="not finite"):
        world.set_people([[np.nan, 0, 0]], [[0, 0]])
    with pytest.raises(InputError, match=r"\(P, 3\)"):
        world.set_people([[0, 0]], [[0, 0]])
    world.set_people([[0, 0, 0]], [[0, 0]])
    with pytest.raises(InputError, match="2 people"):
        world.set_people(np.zeros((2, 3)), np.zeros((2, 2)))
    world.reset()
    world.set_people(np.zeros((2, 3)), np.zeros((2, 2)))


if __name__ == "__main__":
    print(busy_episode(busy_world())[0])
