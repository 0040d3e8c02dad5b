"""Disturbances of orders and equipment where robots serve orders from stock."""

import pytest

from floorcast.episodes.loop import run_episode
from floorcast.episodes.scenario import Scenario, load_scenario

from .hall import Steer, Still

BASE = load_scenario("small").model_dump(mode="json")


def fixed(value, unit="1"):
    return {"distribution": "constant", "value": value, "unit": unit}


def run(disturbances=(), duration=60.0, rate=240.0, **changes):
    """A minute of orders in a small hall; robots steer through everything, so that episodes are cheap."""
    content = {
        **BASE,
        "duration": duration,
        "control_rate": 10,
        "layout": {"recipe": {"area": 120, "bays_per_row": [2, 4], "loose_goods": 0, "chargers": 1}},
        "robots": {**BASE["robots"], "count": fixed(2)},
        "people": {"count": fixed(0)},
        "orders": {"rate": rate, "lines": fixed(1), "quantity": fixed(1), "returns": 0.0, "service": fixed(2, "s")},
        "sensors": {"lidar": {"beams": 36}},
        "capture": {"frames": 0},
        "disturbances": list(disturbances),
        **changes,
    }
    record = run_episode(Scenario.model_validate(content), Steer, policy_name="steer", seed=1, index=0)
    assert record.floor is not None
    return record


def came(record, kind, start=0.0, end=1e9):
    return sum(order.kind == kind and start <= order.time < end for order in record.floor.orders)


def test_demand_surges_while_they_last():
    calm = run(duration=40.0)
    surge = {"kind": "demand_surge", "at": 10, "duration": fixed(20, "s"), "factor": fixed(8, "nominal")}
    busy = run([surge], duration=40.0)
    assert came(busy, "out", 0, 10) == came(calm, "out", 0, 10)
    assert came(busy, "out", 10, 30) > 3 * max(came(calm, "out", 10, 30), 1)
    # Eight times 240 an hour are 10.7 in 20 s; 4 deviations of a Poisson number are 13.
    assert came(busy, "out", 10, 30) < 24
    assert came(busy, "out", 30, 40) <= came(calm, "out", 0, 40)


def test_returns_come_in_evenly_over_their_time():
    returns = {"kind": "mass_returns", "at": 5, "duration": fixed(20, "s"), "orders": fixed(12)}
    record = run([returns], duration=30.0, rate=0.0)
    assert [came(record, "return", start, start + 5.0) for start in (0.0, 5.0, 10.0, 15.0, 20.0, 25.1)] == [
        pytest.approx(n, abs=1) for n in (0, 3, 3, 3, 3, 0)
    ]
    assert came(record, "return") == 12
    at_once = run([{"kind": "mass_returns", "at": 5, "orders": fixed(7)}], duration=8.0, rate=0.0)
    assert came(at_once, "return", 4.9, 5.2) == 7

    # At ten steps a second the last step of this second ends at 0.9999999999999999 s of it.
    short = {"kind": "mass_returns", "at": 0.3, "duration": fixed(1, "s"), "orders": fixed(3)}
    assert came(run([short], duration=2.0, rate=0.0), "return") == 3


def test_a_robot_that_fails_hands_its_order_to_the_other():
    fail = {"kind": "equipment_failure", "at": 4, "robots": [0], "duration": fixed(25, "s")}
    calm, one_less = run(duration=30.0), run([fail], duration=30.0)
    stands = slice(70, 280)
    assert abs(one_less.velocity[stands, 0, 0]).max() < 1e-6
    assert abs(calm.velocity[stands, 0, 0]).max() > 0.5
    assert abs(one_less.velocity[stands, 1, 0]).max() > 0.5
    assert one_less.floor.stock.conserved()


def test_what_falls_off_a_robot_is_booked():
    record = run([{"kind": "dropped_carton", "source": "load", "at": 1}], duration=45.0)
    (begin,) = (event for event in record.events if event.kind == "disturbance")
    states = record.floor.stock.by_kind()
    assert states["quarantine"] == 1
    assert record.floor.stock.conserved()
    assert begin.time > 1.0


@pytest.mark.parametrize("kind", ["conveyor_jam", "equipment_failure"])
def test_what_is_on_a_conveyor_that_is_held_up_waits_and_its_station_with_it(kind):
    content = load_scenario("conveyor_jam").model_dump(mode="json")
    hold = {"kind": kind, "id": "C02", "at": [5, 8], "duration": fixed(15, "s")}
    if kind == "equipment_failure":
        hold["equipment"] = "conveyor"
    content.update(disturbances=[hold], duration=40.0, people={"count": fixed(0)}, capture={"frames": 0})
    content["conveyors"]["interval"] = fixed(4, "s")
    content["sensors"] = {"lidar": {"beams": 36}}
    record = run_episode(Scenario.model_validate(content), Still, policy_name="still", seed=1, index=0)
    out = {name: [] for name in ("C01", "C02", "C03")}
    for event in record.events:
        if event.kind == "conveyor" and event.other == "out":
            out[event.other_id].append(event.time)
    # What is past the place may still leave; the second spell ends at 23 s, not the first at 20 s.
    assert not [time for time in out["C02"] if 11.0 < time < 23.0]
    assert [time for time in out["C02"] if time > 23.0]
    assert [time for time in out["C01"] if 11.0 < time < 23.0]
    begins = [event for event in record.events if event.kind == "disturbance" and event.other_id == "begin"]
    conveyor = next(c for c in load_scenario("conveyor_jam").layout.fixed.conveyors if c.id == "C02")
    assert begins[0].position[0] == pytest.approx(0.5 * (conveyor.start[0] + conveyor.end[0]))
