"""Forks that lift pallets and set them down, and what they say when they cannot."""

from __future__ import annotations

from math import hypot, pi, sqrt

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.layouts.geometry import layout_solids
from floorcast.layouts.model import Good, Layout, Obstacle, Rack
from floorcast.perception.scene import Scene
from floorcast.physics.world import World
from floorcast.robots.fleet import Fleet
from floorcast.robots.fork_controller import PalletMove, Place, StuckError
from floorcast.robots.forks import ForkParameters, next_height
from floorcast.robots.load import load_robot

DECK = 0.7 * 0.144
"""Of a pallet's underside above its foot [m]."""
FORKLIFT = load_robot("forklift")
FORKS = FORKLIFT.forks
RACK = Rack(id="R1", x=15, y=14, yaw=0, bays=2)
FLOOR = Place(5, 3, 0, pi)
LEVEL = Place(14.5, 14, 1.6, pi / 2)


@pytest.fixture
def hall():
    """Build worlds that are closed when the test ends: hall(goods, racks and obstacles)."""
    made = []

    def build(goods, **things):
        layout = Layout(name="hall", length=24, width=18, goods=tuple(goods), **things)
        made.append(World.from_solids(layout_solids(layout)))
        return made[-1]

    yield build
    for world in made:
        world.close()


def pallet(place=FLOOR, mass=1000.0, height=0.8):
    """A pallet of 25 kg with a box on it; ``mass`` is that of both [kg]."""
    at = {"x": place.x, "y": place.y, "yaw": place.entry}
    box = Good(id="B", kind="box", z=place.z + 0.144, size=(1.1, 0.75, height), mass=mass - 25, **at)
    return [Good(id="P", kind="pallet", z=place.z, size=(1.2, 0.8, 0.144), mass=25, **at), box]


def engaged(place=FLOOR, along=0.63, across=0.0):
    return PalletMove(FORKS, place, place)._engaged(place, along, across, 0.0)


def fleet_in(world, pose):
    fleet = Fleet(world, [FORKLIFT])
    fleet.reset([pose], check=False)
    return fleet


def lift(fleet, height):
    """Command the forks and wait until they stand."""
    fleet.command_forks(0, height)
    before = None
    while fleet.fork_height[0] != before:
        before = fleet.fork_height[0]
        fleet.step(12)


def move(world, start, pick, drop, period=0.05):
    """Let the controller move the pallet; returns the fleet, the events, and error [m] and turn [rad] at the end."""
    fleet = fleet_in(world, start)
    task, events = PalletMove(FORKS, pick, drop, period=period), []
    for _ in range(4000):
        v, omega, height = task.act(tuple(fleet.pose[0].tolist()), float(fleet.fork_height[0]))
        if task.done:
            break
        fleet.command([[v, omega]])
        fleet.command_forks(0, height)
        fleet.step(round(240 * period))
        events += fleet.fork_events()
    assert task.done
    pose = world.loose_pose()[0]
    low = world.good_heights(0)[0]
    error = sqrt(hypot(pose[0] - drop.x, pose[1] - drop.y) ** 2 + (low - drop.z) ** 2)
    turn = (2 * np.arctan2(pose[5], pose[6]) - drop.entry + pi / 2) % pi - pi / 2
    return fleet, events, error, turn


def errant_start(place, rng):
    x, y, yaw = PalletMove(FORKS, place, place)._behind(engaged(place), 3.2)
    c, s = np.cos(yaw), np.sin(yaw)
    dx, dy, turn = rng.uniform((-0.3, -0.2, -0.14), (0.3, 0.2, 0.14))
    return x + c * dx - s * dy, y + s * dx + c * dy, yaw + turn


# -- the lift ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("way", "up"), [(2.0, 0.35), (0.1, 0.35), (-1.5, 0.3)])
def test_a_carriage_moves_in_a_trapezoid_of_speed_and_stops_where_it_shall(way, up):
    height, speed, dt, steps, fastest = 2.0, 0.0, 1 / 240, 0, 0.0
    while height != 2.0 + way or speed != 0.0:
        after = next_height(height, speed, 2.0 + way, up, 0.3, 0.4, dt)
        assert abs(after[1] - speed) <= 0.4 * dt + 1e-12
        assert after[0] - height == pytest.approx(0.5 * (speed + after[1]) * dt, abs=2e-6)
        height, speed = after
        assert min(0.0, way) - 1e-9 <= height - 2.0 <= max(0.0, way) + 1e-9, "it does not go too far"
        steps, fastest = steps + 1, max(fastest, abs(speed))
    top = up if way > 0 else 0.3
    ideal = abs(way) / top + top / 0.4 if abs(way) > top**2 / 0.4 else 2 * sqrt(abs(way) / 0.4)
    assert steps * dt == pytest.approx(ideal, abs=0.05)
    assert fastest == pytest.approx(min(top, sqrt(0.4 * abs(way))), rel=0.02)


def test_lifting_takes_work_over_efficiency_and_time_with_a_load(hall):
    world = hall(pallet(mass=1100))
    fleet = fleet_in(world, engaged())
    lift(fleet, DECK + 0.05)
    before, start = fleet.energy_wh[0], world.time
    fleet.command_forks(0, DECK + 1.05)
    while fleet.fork_height[0] < DECK + 1.05:
        fleet.step(12)
    weight = (1100 + FORKS.carriage_mass) * 9.81
    hotel = FORKLIFT.hotel_power * (world.time - start)
    spent = (fleet.energy_wh[0] - before) * 3600 - hotel
    assert spent == pytest.approx(weight * 1.0 / FORKS.efficiency, rel=1e-3)
    slow = FORKS.lift_power * FORKS.efficiency / weight
    assert slow < FORKS.lift_speed
    assert world.time - start == pytest.approx(1.0 / slow + slow / FORKS.acceleration, abs=0.06)
    before = fleet.energy_wh[0]
    fleet.command_forks(0, DECK + 0.05)
    start = world.time
    fleet.step(240 * 5)
    spent = (fleet.energy_wh[0] - before) * 3600
    assert spent == pytest.approx(FORKLIFT.hotel_power * (world.time - start), rel=1e-3), "nothing is won or spent"


def test_a_load_is_told_to_the_drive_and_rides_as_it_was_met(hall):
    world = hall(pallet())
    fleet = fleet_in(world, engaged(along=0.7, across=0.01))
    lift(fleet, 0.5)
    (event,) = fleet.fork_events()
    assert (event.kind, event.other_id, event.mass) == ("picked", "P", 1000.0)
    assert event.height == pytest.approx(DECK, abs=2e-3)
    assert fleet.fork_load(0) == (0, 1)
    assert fleet.payload[0] == 1000
    x, y = FORKS.in_base(0.7, 0.01)
    assert fleet._parameters[0, drive_column("payload_x")] == pytest.approx(x, abs=2e-3)
    assert fleet._parameters[0, drive_column("payload_y")] == pytest.approx(y, abs=2e-3)
    pose = world.loose_pose()
    assert world.good_heights(0)[0] == pytest.approx(0.5 - DECK, abs=2e-3)
    assert pose[1, 2] - pose[0, 2] == pytest.approx(0.544 - 0.08436, abs=2e-3), "the box rides on the pallet"
    assert not [c for c in world.contacts() if c.other_class != "pallet"]


def drive_column(name):
    from floorcast.robots.drive_table import PARAMETER_NAMES

    return PARAMETER_NAMES.index(name)


def test_cutting_steps_differently_changes_no_bit(hall):
    def run(cuts):
        world = hall(pallet(), racks=(RACK,))
        fleet = fleet_in(world, engaged())
        out = []
        for height, speed in ((0.2, 0.0), (0.3, 0.3), (0.08, 0.0)):
            fleet.command([[speed, 0.1 * speed]])
            fleet.command_forks(0, height)
            for cut in cuts:
                fleet.step(cut)
            out += [fleet.body_pose().tobytes(), repr(fleet.fork_events()), fleet.energy_wh.tobytes()]
        return out

    assert run([400]) == run([1] * 300 + [100]) == run([133, 267])


# -- pallets moved by the controller -----------------------------------------------------------------------------------


def test_a_pallet_of_a_tonne_is_placed_within_a_centimetre_on_a_rack_level(hall):
    world = hall(pallet(), racks=(RACK,))
    fleet, events, error, turn = move(world, errant_start(FLOOR, np.random.default_rng(1)), FLOOR, LEVEL)
    assert [(event.kind, event.other_id) for event in events] == [("picked", "P"), ("placed", "R1")]
    assert error < 0.01
    assert abs(turn) < 0.01
    assert world.loose_pose()[1, 2] - world.loose_pose()[0, 2] == pytest.approx(0.544 - 0.08436, abs=4e-3)
    assert fleet.payload[0] == 0
    assert not world.contacts()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pick", "drop", "seed"),
    [
        (FLOOR, Place(5, 8, 0, pi), 2),
        (FLOOR, Place(9, 9, 0, 0.7), 3),
        (LEVEL, FLOOR, 4),
        (LEVEL, FLOOR, 5),
        (FLOOR, Place(15.6, 14, 3.2, pi / 2), 6),
    ],
)
def test_pallets_are_moved_between_floor_and_levels_from_errant_starts(hall, pick, drop, seed):
    world = hall(pallet(pick), racks=(RACK,))
    _, events, error, turn = move(world, errant_start(pick, np.random.default_rng(seed)), pick, drop)
    assert [event.kind for event in events] == ["picked", "placed"]
    assert error < 0.01
    assert abs(turn) < 0.01
    assert not world.contacts()


def test_a_pallet_is_stacked_on_what_stands_there(hall):
    world = hall([*pallet(mass=300), Good(id="T", kind="stillage", x=5, y=8, size=(1.2, 0.9, 0.7), mass=400)])
    fleet = fleet_in(world, engaged())
    lift(fleet, 1.0)
    at = Place(5, 8, 0.7, pi)
    x, y, yaw = engaged(at)
    fleet._state[0, :3] = x, y, yaw  # where a drive would have brought it
    fleet.step(1)
    lift(fleet, 0.7 + 0.08)
    picked, placed = fleet.fork_events()
    assert (placed.kind, placed.other_class, placed.other_id) == ("placed", "stillage", "T")
    fleet.step(480)
    assert world.good_heights(0)[0] == pytest.approx(0.7, abs=3e-3)
    assert picked.mass == 300


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mass", "along", "kind"), [(1150, 0.62, "picked"), (1150, 0.75, "overload")])
def test_capacity_is_a_moment_about_the_axle(hall, mass, along, kind):
    assert FORKS.max_load == 1200
    world = hall(pallet(mass=mass))
    fleet = fleet_in(world, engaged(along=along))
    lift(fleet, 0.4)
    lift(fleet, 0.5)
    (event,) = fleet.fork_events()
    assert event.kind == kind
    assert event.mass == mass
    lifted = world.good_heights(0)[0]
    assert lifted == pytest.approx(0.5 - DECK if kind == "picked" else 0.0, abs=3e-3)
    assert fleet.payload[0] == (mass if kind == "picked" else 0)


def test_a_pallet_met_by_one_tine_is_missed_and_stays(hall):
    world = hall(pallet())
    fleet = fleet_in(world, engaged(across=FORKS.spacing))
    lift(fleet, 0.4)
    (event,) = fleet.fork_events()
    assert (event.kind, event.other_id) == ("missed", "P")
    assert fleet.fork_height[0] == pytest.approx(DECK, abs=5e-3)
    assert world.loose_pose()[0, :3] == pytest.approx([5, 3, 0.08436], abs=0.01)


@pytest.mark.slow
def test_tines_that_only_just_reach_in_do_not_hold_a_pallet(hall):
    world = hall(pallet())
    fleet = fleet_in(world, engaged(along=FORKS.length + 0.05))
    lift(fleet, 0.4)
    assert [event.kind for event in fleet.fork_events()] == ["missed"]


def test_tines_beside_the_pockets_push_the_pallet_and_say_so(hall):
    world = hall(pallet(mass=100))
    fleet = fleet_in(world, engaged(along=0.6 + FORKS.length + 0.1, across=0.1))
    fleet.command([[-0.3, 0.0]])
    fleet.step(240 * 4)
    contact = world.contacts()[0]
    assert (contact.other_class, contact.other_id) == ("pallet", "P")
    assert world.loose_pose()[0, 0] < 4.9


def test_a_load_raised_into_a_beam_is_stopped_and_reported(hall):
    place = Place(14.5, 14, 0, pi / 2)
    world = hall(pallet(place, height=1.2), racks=(RACK,))
    fleet = fleet_in(world, engaged(place))
    lift(fleet, 1.0)
    events = fleet.fork_events()
    assert [(event.kind, event.other_class, event.other_id) for event in events] == [
        ("picked", "pallet", "P"),
        ("blocked", "rack", "R1"),
    ]
    top = world.good_heights(1)[1]
    assert top == pytest.approx(1.6 - RACK.beam_height, abs=0.01)
    assert {c.other_class for c in world.contacts()} == {"rack"}
    lift(fleet, 0.08)
    assert [event.kind for event in fleet.fork_events()] == ["placed"], "down it goes"


@pytest.mark.slow
def test_a_load_set_down_over_an_edge_falls_and_is_reported(hall):
    table = Obstacle(id="T", x=3.7, y=3, z=0.25, size=(1.0, 2.0, 0.5))
    world = hall(pallet(Place(6, 3, 0, pi), mass=200), obstacles=(table,))
    fleet = fleet_in(world, engaged(Place(6, 3, 0, pi)))
    lift(fleet, 0.8)
    fleet._state[0, 0] -= 1.25  # the pallet's middle is beyond the table's edge
    fleet.step(1)
    lift(fleet, 0.5)
    events = fleet.fork_events()
    assert ("unstable", "obstacle", "T") in [(event.kind, event.other_class, event.other_id) for event in events]
    fleet.command([[0.3, 0.0]])
    fleet.step(240 * 8)
    assert world.good_heights(1)[0] < 0.3, "the box lies on the floor, or on the pallet there"


def test_bad_commands_are_explained(hall):
    world = hall(pallet())
    fleet = fleet_in(world, engaged())
    with pytest.raises(InputError, match="cannot go to 9"):
        fleet.command_forks(0, 9.0)
    with pytest.raises(InputError, match="robot 1 has no forks"):
        fleet.command_forks(1, 0.5)
    with pytest.raises(InputError, match="out of reach"):
        PalletMove(FORKS, FLOOR, Place(0, 0, 4.0, 0))
    with pytest.raises(ValueError, match="lowered"):
        ForkParameters(thickness=0.1)
    task = PalletMove(FORKS, FLOOR, LEVEL)

    def wait():
        for _ in range(100):
            task.act(engaged(), 0.3)

    with pytest.raises(StuckError, match="stand at"):
        wait()


# -- the sight of it ---------------------------------------------------------------------------------------------------


def test_sensors_see_carriage_and_load_go_up(hall):
    world = hall(pallet())
    fleet = fleet_in(world, engaged())
    parts = FORKS.solids()
    loose = world._loose
    solids = parts.concatenate([_in_body(loose, loose.body + 1), _in_body(parts, parts.body + 3)])
    scene = Scene(solids.take([]), solids, 5)

    def seen_from_the_side(z):
        scene.update(fleet.body_pose())
        return scene.cast([5.0, 0.0, z], [[0.0, 1.0, 0.0]]).range[0]

    assert np.isfinite(seen_from_the_side(0.5))
    assert not np.isfinite(seen_from_the_side(2.0))
    lift(fleet, 1.8)
    assert not np.isfinite(seen_from_the_side(0.5))
    assert seen_from_the_side(2.0) == pytest.approx(3 - 0.375, abs=0.01)
    assert np.isfinite(seen_from_the_side(1.8 - 0.02)), "a tine"
    poses = fleet.body_pose()[3:]
    assert poses[:, 2] == pytest.approx([1.8 - 0.08, 0.5 * (1.8 - 0.08)])


def _in_body(solids, body):
    from dataclasses import replace

    return replace(solids, body=body.astype(np.int32))
