"""Goods on conveyors in Bullet: friction as in the closed form, both models agree, and goods go over and back."""

import math

import numpy as np
import pytest

from floorcast.common.primitives import PrimitiveBuilder
from floorcast.layouts.geometry import layout_solids
from floorcast.layouts.model import Conveyor, Good
from floorcast.physics.belt_bodies import BeltBodies
from floorcast.physics.conveyor_network import network_of
from floorcast.physics.conveyors import ConveyorSystem
from floorcast.physics.handling import with_spares
from floorcast.physics.world import World

from .networks import hall

GRAVITY = 9.81
NOBODY = np.zeros((0, 3))


class Floor:
    """A hall with conveyors, cartons in reserve and perhaps a robot with an arm that tests put where they like."""

    def __init__(self, layout, mass=8.0, count=4, *, always=True, arm=False):
        cartons = [Good(id=f"B{k}", x=0, y=0, size=(0.4, 0.3, 0.2), mass=mass) for k in range(count)]
        self.world = World.from_solids(with_spares(layout_solids(layout), cartons))
        shape = PrimitiveBuilder()
        shape.box((0.2, 0.2, 0.5), (0, 0, 0.5), class_name="amr", body=0)
        shape.box((0.5, 0.1, 0.1), (0.5, 0, 0.95), class_name="amr", body=0)
        self.world.set_robots([shape.build()] if arm else [])
        self.world.reset(*([500.0], [40.0]) if arm else ())
        self.robots = np.array([[15.0, 10.0, 0.0]]) if arm else NOBODY
        self.belts = ConveyorSystem(network_of(layout), [(0.4, 0.3)] * count, [mass] * count)
        self.bodies = BeltBodies(self.belts, self.world, always=always)

    def pass_time(self, steps, drift=None):
        """Both models move on; the robot drives at ``drift``, whatever it meets."""
        still = np.zeros_like(self.robots) if drift is None else np.array([drift], dtype=np.float64)
        for _ in range(steps):
            if self.world.must_touch(self.robots):
                self.world.touch_step(self.robots, still)
            else:
                self.world.advance_free(1)
            self.robots = self.robots + still * self.world.settings.step_time
        self.belts.advance(steps)
        self.bodies.update(self.robots, 0.3)

    def place(self, k):
        pose = self.world.loose_pose()[k]
        return np.array([pose[0], pose[1], pose[2], 2.0 * math.atan2(pose[5], pose[6])])


@pytest.fixture
def floor():
    made = []

    def build(*args, **options):
        made.append(Floor(*args, **options))
        return made[-1]

    yield build
    for one in made:
        one.world.close()


def ramp_of(one, speed, friction):
    """Put a carton on; return time [s] to 95 % of the conveyor's speed over the closed form, and its last speed."""
    one.belts.insert("A", 0, at=0.5)
    one.bodies.update(NOBODY, 0.3)
    before, reached, v = 0.0, 0.0, 0.0
    for step in range(round(240 * (1.2 / speed + 2.0 * speed / (friction * GRAVITY)))):
        one.pass_time(1)
        before, v = v, one.world.good_velocity(0)[0]
        if not reached and v >= 0.95 * speed:
            reached = (step + (0.95 * speed - before) / (v - before)) / 240
    return reached * friction * GRAVITY / (0.95 * speed), v


RIDES = [(0.5, 0.25, 8.0), (1.0, 0.5, 40.0)]
MORE_RIDES = [(v, mu, m) for v in (0.2, 0.5, 1.0, 2.0) for mu in (0.2, 0.5, 0.8) for m in (1.0, 50.0)]


def check_ramp(floor, speed, friction, mass):
    one = floor(hall(Conveyor(id="A", start=(1, 2), end=(9, 2), speed=speed, friction=friction)), mass)
    ratio, v = ramp_of(one, speed, friction)
    assert ratio == pytest.approx(1.0, abs=0.05)
    assert v == pytest.approx(speed, rel=0.01)
    assert one.place(0)[2] == pytest.approx(0.832, abs=0.001)


@pytest.mark.parametrize(("speed", "friction", "mass"), RIDES)
def test_a_carton_in_bullet_reaches_belt_speed_after_v_over_mu_g(floor, speed, friction, mass):
    check_ramp(floor, speed, friction, mass)


@pytest.mark.slow
@pytest.mark.parametrize(("speed", "friction", "mass"), MORE_RIDES)
def test_a_carton_in_bullet_reaches_belt_speed_for_many_speeds_frictions_and_masses(floor, speed, friction, mass):
    check_ramp(floor, speed, friction, mass)


Y = math.radians(19)
BEND = {"radius": 1.5, "x": 5.0}
HALLS = {
    "straight": (hall(Conveyor(id="A", start=(1, 2), end=(9, 2), speed=0.8)), ["A"], 0.02, 0.02),
    "faster": (
        hall(
            Conveyor(id="A", start=(1, 2), end=(5, 2), speed=0.5, next="B"),
            Conveyor(id="B", start=(5, 2), end=(9, 2), speed=1.0),
        ),
        ["A"],
        0.15,
        0.05,
    ),
    "left": (hall(Conveyor(id="A", start=(1, 2), end=(5, 6), speed=0.8, bends=({**BEND, "y": 2},))), ["A"], 0.04, 0.12),
    "right": (
        hall(Conveyor(id="A", start=(1, 6), end=(5, 2), speed=0.8, bends=({**BEND, "y": 6},))),
        ["A"],
        0.04,
        0.12,
    ),
    "merge": (
        hall(
            Conveyor(id="A", start=(1, 4), end=(5, 4), speed=0.8, next="B"),
            Conveyor(id="S", start=(5 - 4 * math.cos(Y), 4 - 4 * math.sin(Y)), end=(5, 4), speed=0.8, next="B"),
            Conveyor(id="B", start=(5, 4), end=(9, 4), speed=0.8),
        ),
        ["A", "S"],
        0.05,
        0.12,
    ),
    "from the side": (
        hall(
            Conveyor(id="A", start=(1, 4), end=(9, 4), speed=0.8),
            Conveyor(id="S", start=(4, 1), end=(4, 3.7), speed=0.8, next="A"),
        ),
        ["S"],
        0.05,
        0.02,
    ),
}
"""Layout, where cartons are put on, and how far [m] and by what angle [rad] the two models may differ."""


def check_agreement(floor, name):
    layout, starts, distance, turn = HALLS[name]
    both = [floor(layout, always=always) for always in (False, True)]
    worst = np.zeros(2)
    for tick in range(220):
        for one in both:
            if tick % 120 == 0 and tick // 120 < len(starts):
                assert one.belts.insert(starts[tick // 120], tick // 120)
                one.bodies.update(NOBODY, 0.3)
            one.pass_time(12)
        for k in range(min(tick // 120 + 1, len(starts))):
            apart = both[0].place(k) - both[1].place(k)
            yaw = (apart[3] + math.pi) % (2 * math.pi) - math.pi
            worst = np.maximum(worst, [math.hypot(apart[0], apart[1]), abs(yaw)])
            assert abs(apart[2]) < 0.002
    assert both[1].belts.counts == both[0].belts.counts
    return worst, (distance, turn)


@pytest.mark.parametrize("name", ["merge"])
def test_both_models_take_a_carton_to_the_same_place(floor, name):
    worst, allowed = check_agreement(floor, name)
    assert (worst < allowed).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["straight", "faster", "left", "right", "from the side"])
def test_both_models_take_a_carton_to_the_same_place_everywhere(floor, name):
    worst, allowed = check_agreement(floor, name)
    assert (worst < allowed).all()


def test_goods_are_in_bullet_while_a_robot_reaches_up_to_them_and_come_back(floor):
    one = floor(hall(Conveyor(id="A", start=(1, 4), end=(11, 4), speed=0.5)), always=False, arm=True)
    one.belts.insert("A", 0, at=1.0)
    one.bodies.update(one.robots, 0.3)
    one.pass_time(120)
    assert one.bodies.active == []
    assert one.world.moving_goods() == []
    one.robots[0, :2] = 1.6, 3.0
    one.pass_time(12)
    assert one.bodies.active == ["A"]
    assert one.world.moving_goods() == [0]
    one.pass_time(120)
    x, v = one.place(0)[0], one.world.good_velocity(0)[0]
    assert v == pytest.approx(0.5, abs=0.01)
    one.robots[0, :2] = 15.0, 10.0
    for _ in range(20):
        one.pass_time(12)
    assert one.bodies.active == []
    assert one.world.moving_goods() == []
    assert one.place(0)[0] == pytest.approx(x + 0.5, abs=0.02)
    assert one.belts.counts.on == 1


def test_a_stopped_conveyor_stops_its_cartons_in_bullet_too(floor):
    """Friction stops a carton over v^2 / (2 mu g)."""
    one = floor(hall(Conveyor(id="A", start=(1, 4), end=(11, 4), speed=0.5)))
    one.belts.insert("A", 0, at=3.0, speed=0.5)
    for _ in range(10):
        one.pass_time(12)
    x, grip = one.place(0)[0], one.belts.friction(0, 9.81) * 9.81
    one.belts.stop("A")
    for _ in range(40):
        one.pass_time(12)
    assert one.place(0)[0] - x == pytest.approx(0.25 / (2 * grip), abs=0.01)


def test_a_robot_pushes_a_carton_off_the_conveyor(floor):
    one = floor(hall(Conveyor(id="A", start=(1, 4), end=(11, 4), speed=0.1, guide_height=0.005)),
                always=False, arm=True)  # fmt: skip
    one.belts.insert("A", 0, at=3.0)
    one.bodies.update(one.robots, 0.3)
    # Its arm reaches over the conveyor and sweeps it.
    one.robots[0] = 4.0, 2.2, math.pi / 2
    for _ in range(40):
        one.pass_time(12, drift=(0.0, 0.6, 0.0))
    assert one.belts.counts.fell == 1
    assert one.belts.counts.on == 0
    assert [e.kind for e in one.belts.events()] == ["fell"]
    assert one.place(0)[2] < 0.75


def test_a_run_with_goods_in_bullet_is_the_same_after_a_reset(floor):
    layout = hall(
        Conveyor(id="A", start=(1, 4), end=(5, 4), speed=0.6, next="B"), Conveyor(id="B", start=(5, 4), end=(9, 4))
    )

    def run(one):
        one.world.reset([500.0], [40.0])
        one.belts = ConveyorSystem(network_of(layout), [(0.4, 0.3)] * 4, [8.0] * 4)
        one.bodies = BeltBodies(one.belts, one.world)
        one.robots = np.array([[4.0, 2.4, math.pi / 2]])
        for k in range(3):
            one.belts.insert("A", k, at=0.5 + 0.8 * k, speed=0.6)
        for tick in range(30):
            one.pass_time(12, drift=(0.0, 0.5 if tick < 18 else -0.5, 0.0))
        return one.world.loose_pose().tobytes(), one.belts.places()[1].tobytes(), one.belts.counts

    used = floor(layout, always=False, arm=True)
    first = run(used)
    assert used.world.loose_pose()[:3, 3:5].any()
    assert run(used) == first
    assert run(floor(layout, always=False, arm=True)) == first
