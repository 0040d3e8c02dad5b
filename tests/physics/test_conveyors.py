"""Goods on conveyors in one dimension: friction, queues, merges, diverters, photo-eyes, jams, and nothing is lost."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from floorcast.common.errors import InputError
from floorcast.layouts.model import Conveyor, Diverter, Layout, PhotoEye
from floorcast.physics.conveyor_network import network_of
from floorcast.physics.conveyors import ConveyorSystem

from .networks import feed, goods, hall, random_network, worst_overlap

GRAVITY = 9.81
STEP = 1.0 / 240.0


def system(layout, count=20, size=(0.4, 0.3), mass=5.0, **options):
    return ConveyorSystem(network_of(layout), [size] * count, [mass] * count, **options)


def straight(name="A", start=(1.0, 2.0), length=8.0, **options):
    return Conveyor(id=name, start=start, end=(start[0] + length, start[1]), **options)


def fill(conveyors, name, numbers, pitch, **options):
    for place, k in enumerate(numbers):
        assert conveyors.insert(name, k, at=0.3 + pitch * place, **options)


@pytest.mark.parametrize("speed", [0.2, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("friction", [0.2, 0.5, 0.8])
@pytest.mark.parametrize("mass", [1.0, 50.0])
def test_a_carton_reaches_belt_speed_after_v_over_mu_g_and_leaves_with_it(speed, friction, mass):
    belts = system(hall(straight(speed=speed, friction=friction, at_end="fall")), 1, mass=mass)
    belts.insert("A", 0, at=1.0)
    ramp = speed / (friction * GRAVITY)
    reached = 0.0
    for step in range(240 * 60):
        belts.advance(1)
        now, time = belts.counts, (step + 1) * STEP
        if now.fell:
            break
        place, v = belts.state(0)
        # Constant acceleration, then constant speed.
        run = 0.5 * friction * GRAVITY * time**2 if time < ramp else speed * (time - 0.5 * ramp)
        assert place == pytest.approx(1.0 + run, abs=1e-9)
        reached = reached or (time if v >= 0.95 * speed else 0.0)
        assert v <= speed + 1e-12
    assert reached == pytest.approx(0.95 * ramp, abs=STEP)
    assert v == pytest.approx(speed, rel=1e-12)
    assert time == pytest.approx(7.0 / speed + 0.5 * ramp, abs=STEP + 1e-9)


def test_nothing_depends_on_how_steps_are_cut_into_calls_or_on_what_ran_before():
    rng = np.random.default_rng(3)
    layout, inducts, _ = random_network(rng)
    size, mass = goods(rng, 30)

    def run(cut):
        belts = ConveyorSystem(network_of(layout), size, mass, key=7, skew=0.1)
        for k in range(30):
            belts.insert(inducts[k % 3], k)
            for _ in range(0, 240, cut):
                belts.advance(cut)
        return belts.places()[1].tobytes(), [(e.time, e.kind, e.conveyor, e.eye, e.good) for e in belts.events()]

    whole = run(240)
    assert len(whole[1]) > 20
    assert run(12) == whole
    assert run(1) == whole


@settings(max_examples=4, deadline=None, derandomize=True)
@given(st.integers(0, 10_000))
def test_goods_in_random_networks_are_conserved_never_share_space_and_all_come_out(seed):
    rng = np.random.default_rng(seed)
    layout, inducts, exits = random_network(rng)
    size, mass = goods(rng, 80)
    belts = ConveyorSystem(network_of(layout), size, mass, key=seed)
    spare = list(range(80))

    def look(tick):
        now = belts.counts
        assert now.put_on == now.on + now.taken + now.out + now.fell
        assert now.on == sum(len(on) for on in belts.on_belts().values()) == 80 - len(spare)
        if tick % 40 == 0:
            assert worst_overlap(belts, size) < 1e-6

    came, gone = feed(belts, inducts, exits, spare, rng, 30, look=look)
    assert came > 30
    gone += feed(belts, [], exits, spare, rng, 240, every=60)[1]
    assert gone == came == belts.counts.taken
    for name in layout.conveyors:
        on, off = belts.passed(name.id)
        assert on == off


@pytest.mark.slow
def test_a_hundred_thousand_goods_are_conserved():
    put_on = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        layout, inducts, exits = random_network(rng, rows=12, segments=3)
        size, mass = goods(rng, 600)
        belts = ConveyorSystem(network_of(layout), size, mass, key=seed, speed=4.0, step_time=1.0 / 60.0)
        spare = list(range(600))
        while belts.counts.put_on < 8400:
            feed(belts, inducts, exits, spare, rng, 5, every=24)
            now = belts.counts
            assert now.put_on == now.on + now.taken
            assert now.on == 600 - len(spare)
        assert worst_overlap(belts, size) < 1e-6
        feed(belts, [], exits, spare, rng, 60, every=120)
        assert belts.counts.on == 0
        assert sorted(spare) == list(range(600))
        put_on += belts.counts.put_on
    assert put_on >= 100_000


def test_a_queue_stands_end_to_end_and_leaves_one_by_one():
    belts = system(hall(straight()), 6)
    fill(belts, "A", range(6), 0.8)
    belts.advance(240 * 30)
    places = [belts.state(k)[0] for k in belts.on_belts()["A"]]
    assert places[0] == pytest.approx(7.8)
    assert -np.diff(places) == pytest.approx(0.401)
    assert belts.waiting("A") == 5
    assert belts.take("A") == 5
    assert belts.take("A") is None
    belts.advance(240)
    assert belts.take("A") == 4
    assert belts.counts.taken == 2
    assert belts.counts.on == 4


def test_zones_keep_goods_apart():
    belts = system(hall(straight(zone_length=1.0)), 7)
    for k in range(7):
        while not belts.insert("A", k):
            belts.advance(24)
    closest = math.inf
    for _ in range(1200):
        belts.advance(6)
        places = [belts.state(k)[0] for k in belts.on_belts()["A"]]
        closest = min(closest, float((-np.diff(places)).min(initial=math.inf)))
    # They stand with their fronts in zones of their own, and never touched on the way.
    assert [math.floor(place + 0.2 - 1e-6) for place in places] == [7, 6, 5, 4, 3, 2, 1]
    assert closest > 0.5


def merging(rule, priority=0):
    return hall(
        straight("A", speed=0.6, merge=rule, next="B"),
        straight("B", start=(9.0, 2.0), length=5.0, speed=0.6),
        Conveyor(id="S", start=(5.0, 0.2), end=(5.0, 1.7), speed=0.6, next="A", priority=priority),
    )


@pytest.mark.parametrize(("rule", "priority"), [("zipper", 0), ("priority", 1), ("priority", -1)])
def test_who_goes_first_where_two_meet(rule, priority):
    belts = system(merging(rule, priority), 80)
    order = []
    through, side = list(range(40)), list(range(40, 80))
    while len(order) < 12:
        for queue, name in ((through, "A"), (side, "S")):
            if belts.insert(name, queue[0]):
                queue.pop(0)
        belts.advance(12)
        order += [k for k in belts.on_belts()["B"] if k not in order]
        belts.take("B")
    turns = ["side" if k >= 40 else "through" for k in order[2:]]
    if rule == "zipper":
        assert all(a != b for a, b in itertools.pairwise(turns))
    else:
        assert turns.count("side") >= 9 if priority > 0 else turns.count("side") == 0


def diverting(**rule):
    return hall(
        straight("A", length=4.0, next="B", divert=Diverter(to="C", **rule)),
        straight("B", start=(5.0, 2.0), length=6.0),
        Conveyor(id="C", start=(5.0, 2.3), end=(5.0, 8.3)),
    )


def divert(belts, count, drain=True):
    """Send goods past the diverter; return which of them came to B."""
    waiting, done = list(range(count)), []
    for _ in range(100 * count):
        if waiting and belts.insert("A", waiting[0]):
            waiting.pop(0)
        belts.advance(12)
        done += [k for k in belts.on_belts()["B"] if k not in done]
        if drain:
            belts.take("B")
            belts.take("C")
        if not waiting and not belts.on_belts()["A"]:
            break
    return done


def test_diverters_keep_their_rules():
    assert divert(system(diverting(rule="alternate"), 10), 10) == [0, 2, 4, 6, 8]
    mass = [3.0, 8.0, 3.0, 8.0, 8.0]
    heavy = ConveyorSystem(network_of(diverting(rule="heavier", mass=5.0)), [[0.4, 0.3]] * 5, mass)
    assert divert(heavy, 5) == [0, 2]
    shared = system(diverting(rule="share", share=0.25), 200)
    # Binomial: 150 of 200 with a standard deviation of 6.1.
    assert len(divert(shared, 200)) == pytest.approx(150, abs=20)
    full = divert(system(diverting(rule="overflow"), 24, speed=2.0), 24, drain=False)
    assert full == list(range(len(full)))
    assert 10 <= len(full) <= 15


def test_a_good_that_a_diverter_skews_gets_stuck():
    belts = system(diverting(rule="alternate"), 4, skew=1.0)
    divert(belts, 2)
    belts.advance(2400)
    assert belts.stuck() == [1]
    assert [e.good for e in belts.events() if e.kind == "stuck"] == [1]
    belts.clear("A")
    belts.advance(2400)
    assert belts.on_belts()["C"] == [1]


def test_photo_eyes_switch_when_goods_come_and_go():
    eye = PhotoEye(id="E", at=5.0)
    belts = system(hall(straight(eyes=(eye,))), 2, debounce=0.1)
    belts.insert("A", 0, at=2.0, speed=0.5)
    # 35 ms between the two: too short for the eye.
    belts.insert("A", 1, at=2.0 - 0.4 - 0.0175, speed=0.5)
    belts.advance(240 * 12)
    told = [(e.kind, e.time) for e in belts.events() if e.eye == "E"]
    assert [kind for kind, _ in told] == ["blocked", "clear"]
    assert told[0][1] == pytest.approx(2.8 / 0.5 + 0.1, abs=2 * STEP)
    assert told[1][1] == pytest.approx((3.2 + 0.4175) / 0.5 + 0.1, abs=2 * STEP)


def test_an_eye_sees_what_sticks_out_of_the_next_conveyor():
    near = PhotoEye(id="E", at=7.95)
    belts = system(hall(straight(eyes=(near,), next="B"), straight("B", start=(9.0, 2.0))), 1)
    belts.insert("A", 0, at=7.0, speed=0.5)
    # The middle is 0.1 m onto B, the tail 0.1 m on A.
    belts.advance(round(1.1 / 0.5 * 240))
    assert belts.conveyor_of(0) == "B"
    assert belts.blocked("E")


def test_a_jam_is_found_goods_pile_up_behind_it_and_flow_again_when_it_is_cleared():
    layout = hall(
        straight("A", next="B", eyes=(PhotoEye(id="E", at=7.5),)),
        straight("B", start=(9.0, 2.0), length=6.0),
    )
    belts = system(layout, 12, patience=3.0, sinks=("B",))
    fill(belts, "A", range(10), 0.7, speed=0.5)
    belts.advance(240 * 6)
    jammed = belts.jam("B", 0.2)
    assert belts.conveyor_of(jammed) == "B"
    belts.advance(240 * 20)
    assert belts.stuck() == [jammed]
    alarms = [e for e in belts.events() if e.kind == "jam"]
    assert [e.eye for e in alarms] == ["E"]
    queue = belts.on_belts()["A"]
    assert len(queue) >= 5
    assert all(belts.state(k)[1] < 1e-6 for k in queue)
    belts.clear("B")
    belts.advance(240 * 60)
    assert belts.counts.out == 10
    assert not belts.stuck()
    assert [e.eye for e in belts.events() if e.kind == "jam_over"] == ["E"]


def test_a_jam_on_an_empty_conveyor_waits_for_the_next_good():
    belts = system(hall(straight()), 2)
    assert belts.jam("A", 3.0) is None
    belts.insert("A", 0)
    belts.advance(240 * 20)
    assert belts.stuck() == [0]
    assert belts.state(0) == pytest.approx((3.0, 0.0))
    belts.remove(0)
    assert belts.counts.taken == 1
    assert belts.stuck() == []


def test_a_jam_to_come_outlives_what_sticks_before_it():
    """Goods that the diverter skews stick at 3.9 m; the jam at 3.95 m waits for the first that is not skewed."""
    belts = system(diverting(rule="share", share=1.0), 12, skew=0.5)
    assert belts.jam("A", 3.95) is None
    places = []
    for k in range(12):
        belts.insert("A", k)
        belts.advance(2400)
        if k in belts.stuck():
            places.append(round(belts.state(k)[0], 3))
        belts.remove(k)
    assert places[0] == 3.9
    assert places.count(3.95) == 1


def test_what_is_cleared_is_called_off():
    belts = system(diverting(rule="alternate"), 4, skew=1.0)
    belts.jam("B", 1.0)
    belts.insert("A", 0)
    belts.advance(120)
    for name in "ABC":
        belts.clear(name)
    belts.advance(2400)
    assert belts.stuck() == []
    with pytest.raises(InputError, match="nothing gets stuck"):
        belts.jam("B", 99.0)


def test_a_stopped_conveyor_holds_what_is_on_it_and_what_comes():
    belts = system(hall(straight("A", next="B"), straight("B", start=(9.0, 2.0))), 2)
    belts.insert("A", 0, at=4.0, speed=0.5)
    belts.stop("A")
    belts.advance(240)
    # Friction stops it over v^2 / (2 mu g).
    assert belts.state(0) == pytest.approx((4.0 + 0.25 / (2 * 0.5 * GRAVITY), 0.0), abs=1e-9)
    assert not belts.running("A")
    belts.start("A")
    belts.advance(240 * 20)
    assert belts.conveyor_of(0) == "B"


def test_a_bend_is_followed_round():
    bend = Conveyor(id="A", start=(1, 1), end=(5, 5), bends=({"x": 5, "y": 1, "radius": 2.0},), speed=1.0)
    belts = system(hall(bend), 1)
    belts.insert("A", 0, at=2.0 + math.pi / 2)
    _, place = belts.places()
    # Half way round an arc about (3, 3).
    x, y = 3.0 + 2.0 * math.sin(math.pi / 4), 3.0 - 2.0 * math.cos(math.pi / 4)
    assert place[0, :3] == pytest.approx([x, y, math.pi / 4])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda s: s.stop("X"), "no conveyor 'X'"),
        (lambda s: s.insert("A", 99), "no good 99"),
        (lambda s: s.insert("A", 0, at=50.0), "no place"),
        (lambda s: s.remove(1), "on no conveyor"),
        (lambda s: s.blocked("E"), "no photo-eye"),
        (lambda s: s.insert("A", 0) and s.insert("A", 0), "is on conveyor 'A' already"),
        (lambda s: system(hall(straight(length=0.3)), 1).insert("A", 0), "0.40 m long"),
        (lambda s: system(hall(straight(width=0.3)), 1).insert("A", 0), "between the rails"),
        (lambda s: system(merging("zipper"), sinks=("A",)), "feeds another"),
        (lambda s: system(hall(straight()), 2, speed=-1.0), "speed -1.0"),
    ],
)
def test_bad_input_is_refused(call, words):
    belts = system(hall(straight()), 2)
    with pytest.raises(InputError, match=words):
        call(belts)


def test_a_circle_is_refused():
    a, b = straight("A", next="B"), Conveyor(id="B", start=(9, 2), end=(1, 2.2), next="A")
    with pytest.raises(InputError, match="circle"):
        network_of(Layout(length=20, width=10, conveyors=(a, b)))
