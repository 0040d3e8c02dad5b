"""Conveyors in an episode: goods come, are seen, leave, and robots bring and take them."""

import numpy as np
import pytest

from floorcast.common.config import config_hash
from floorcast.common.errors import InputError
from floorcast.episodes.live import LiveEpisode
from floorcast.episodes.loop import run_episode
from floorcast.episodes.record import Event
from floorcast.episodes.store import record_bytes
from floorcast.layouts.model import Conveyor, Layout, PhotoEye, Station

from .hall import Steer, empty_hall, quick


def constant(value, unit):
    return {"distribution": "constant", "value": value, "unit": unit}


def site():
    """A feeder that ends at a pick station, and one that starts at a drop station and runs into the feeder's side."""
    bare = empty_hall()
    conveyors = (
        Conveyor(id="FEED", start=(1.0, 6.5), end=(6.0, 6.5), next="OUT", eyes=(PhotoEye(id="EYE", at=4.0),)),
        Conveyor(id="BACK", start=(11.0, 4.5), end=(11.0, 7.0), induct="IN"),
    )
    stations = (
        Station(id="OUT", x=7.0, y=6.5, yaw=np.pi, kind="pick"),
        Station(id="IN", x=11.0, y=3.3, yaw=np.pi / 2, kind="drop"),
    )
    return Layout(**{**dict(bare), "conveyors": conveyors, "stations": stations})


def scenario(**changes):
    conveyors = {"interval": constant(3, "s"), "goods": 12, "speed": constant(2, "nominal"), **changes}
    return quick(duration=40.0, frames=0, people=0, layout=site(), conveyors=conveyors)


def run(episode, seconds, errands=False):
    rate = episode.scenario.control_rate
    for step in range(round(seconds * rate)):
        for actor in episode.actors:
            actor.begin(step, step / rate)
        episode.advance(step / rate)
        episode.settle((step + 1) / rate)


def test_a_scenario_without_conveyors_keeps_its_hash():
    still = quick(layout=site())
    assert "conveyors" not in still.model_dump()
    assert config_hash(scenario()) != config_hash(still)


def test_goods_come_at_their_rate_are_seen_and_leave():
    episode = LiveEpisode(scenario(sinks=("BACK", "FEED"), interval=constant(1.5, "s")), 3, 0, None)
    run(episode, 30)
    counts = episode.belts.system.counts
    # Poisson: 20 expected, standard deviation 4.5.
    assert 9 <= counts.put_on <= 31
    assert counts.put_on == counts.on + counts.out
    assert counts.out > 3
    poses = episode.world.loose_pose()
    on = [k for goods in episode.belts.system.on_belts().values() for k in goods]
    assert on
    for k in range(12):
        if k in on:
            assert poses[k, 2] > 0.73
            assert 1.0 < poses[k, 0] < 6.1
            assert poses[k, 1] == pytest.approx(6.5)
        else:
            assert poses[k, 2] < -500.0
    told = [event.other for event in episode.belts.events()]
    assert told.count("out") == counts.out
    assert "blocked" in told


def test_a_robot_takes_what_waits_and_puts_on_what_it_brings():
    record = run_episode(scenario(), Steer, policy_name="steer", seed=2, index=0)
    assert record.kpis["success"] == 1.0
    pick = next(event for event in record.events if event.kind == "pick")
    arrived = next(event for event in record.events if event.kind == "conveyor" and event.other == "arrived")
    assert arrived.time < pick.time
    good = int(arrived.value)
    # It is on board right after, rides along, and is on the other conveyor at the end.
    moves = record.loose_moves[record.loose_moves[:, 1] == good]
    rate = 20
    riding = moves[(moves[:, 0] > (pick.time + 0.5) * rate) & (moves[:, 0] < record.duration * rate - 2)]
    steps = riding[:, 0].astype(int)
    away = np.hypot(*(riding[:, 2:4] - record.pose[steps, 0, :2]).T)
    assert len(riding) > 100
    assert away.max() < 0.06
    assert riding[:, 4].min() > 0.3
    # What it carries is not in its way, nor is what rides above it.
    assert record.min_clearance[steps, 0].min() > 0.1


def test_a_good_that_a_robot_brings_rides_on():
    episode = LiveEpisode(scenario(sources=()), 2, 0, None)
    episode.world.carry_good(4, 0, (0, 0, 0.5, 0, 0, 0, 1))
    episode.events.append(Event(0.0, "drop", 0, other_id="IN"))
    run(episode, 1.0)
    assert episode.belts.system.on_belts()["BACK"] == [4]
    assert episode.world.carried_by(0) == []
    run(episode, 4.0)
    assert episode.belts.system.counts.out == 1
    assert episode.world.loose_pose()[4, 2] < -500.0


def test_what_is_brought_while_no_good_is_left_comes_later():
    episode = LiveEpisode(scenario(sources=(), goods=1), 2, 0, None)
    episode.events += [Event(0.0, "drop", 0, other_id="IN")] * 3
    run(episode, 1.0)
    assert episode.belts.system.counts.put_on == 1
    run(episode, 14.0)
    assert episode.belts.system.counts.out == 3


def test_an_episode_with_conveyors_is_the_same_again():
    wanted = scenario(skew=constant(0.2, "1"))
    first, second = (record_bytes(run_episode(wanted, Steer, policy_name="s", seed=5, index=1)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sources": ("X",)}, "no conveyor 'X'"),
        ({"sinks": ("X",)}, "no conveyor 'X'"),
        ({"sources": ("FEED",), "length": constant(2.0, "m"), "width": constant(1.9, "m")}, "m wide"),
    ],
)
def test_what_does_not_fit_the_hall_is_refused(changes, words):
    with pytest.raises(InputError, match=words):
        run(LiveEpisode(scenario(**changes), 1, 0, None), 10)
