"""Task times of fleet messages: orders written by hand, whose every second is known."""

import numpy as np
import pytest

from floorcast.gap.fieldlog import SECOND, FieldLog, LogEvent, LogReport
from floorcast.gap.orders import has_orders, kind_of_second, measure_orders, position_of


def state(seconds, x, y, order="A", **values):
    base = {
        "orderId": order, "lastNodeId": "n0", "lastNodeSequenceId": 0, "nodeStates": [{"nodeId": "n1"}],
        "edgeStates": [], "actionStates": [], "errors": [], "driving": False,
        "safetyState": {"eStop": "NONE", "fieldViolation": False},
        "agvPosition": {"x": x, "y": y, "theta": 0.0, "mapId": "hall", "positionInitialized": True},
    }  # fmt: skip
    return LogEvent(round(seconds * SECOND), "state", {**base, **values})


def log_of(events, robot="amr"):
    none = np.empty(0, dtype=np.int64)
    return FieldLog(robot, "unknown", none, np.empty((0, 3)), LogReport(()), events=tuple(events))


def an_order(start, name, wait):
    """Ten metres east at 1 m/s, a wait half way, five metres north, five seconds of handling: 20 s and the wait."""
    events = [state(start + t, t, 0.0, name, driving=True) for t in range(6)]
    events[-1] = state(start + 5, 5.0, 0.0, name)
    t = start + 5 + wait
    events += [state(t + k, 5.0 + k, 0.0, name, driving=True) for k in range(6)]
    t += 5
    events += [
        state(t + k, 10.0, float(k), name, driving=True, lastNodeId="n1", lastNodeSequenceId=2) for k in range(1, 6)
    ]
    running = [{"actionId": "a", "actionStatus": "RUNNING"}]
    events[-1] = state(
        t + 5, 10.0, 5.0, name, nodeStates=[], actionStates=running, lastNodeId="n2", lastNodeSequenceId=4
    )
    done = [{"actionId": "a", "actionStatus": "FINISHED"}]
    return [
        *events,
        state(t + 10, 10.0, 5.0, name, nodeStates=[], actionStates=done, lastNodeId="n2", lastNodeSequenceId=4),
    ]


@pytest.fixture(scope="module")
def gap():
    events = [event for k in range(6) for event in an_order(100 * k, f"order{k}", wait=4.0 + k)]
    return measure_orders(log_of(events))


def test_the_seconds_of_an_order_are_those_that_were_written(gap):
    assert len(gap.orders) == 6
    for k, order in enumerate(gap.orders):
        assert order.duration == pytest.approx(24.0 + k)
        assert order.spent == pytest.approx(
            {"driving": 15.0, "waiting": 4.0 + k, "handling": 5.0, "safety": 0, "error": 0, "paused": 0}
        )
        assert order.driven == pytest.approx(15.0)


def test_the_route_is_held_against_the_straight_way_between_nodes(gap):
    # East to the node at (10, 1), where the next state names it, then to the end at (10, 5).
    assert gap.orders[0].straight == pytest.approx(np.hypot(10.0, 1.0) + 4.0)
    found = {item.name: item for item in gap.metrics}
    assert found["route_ratio"].value == pytest.approx(15.0 / (np.hypot(10.0, 1.0) + 4.0))
    assert gap.free_speed == pytest.approx(1.0)


def test_shares_medians_and_intervals(gap):
    found = {item.name: item for item in gap.metrics}
    waits = np.arange(4.0, 10.0)
    assert found["order_time_s"].value == pytest.approx(np.median(20 + waits))
    assert found["order_waiting_share"].value == pytest.approx(waits.sum() / (20 * 6 + waits.sum()))
    assert found["order_time_s"].floor == pytest.approx(1.0)
    for item in gap.metrics:
        assert item.ci_low <= item.value <= item.ci_high
    detour = 15.0 - np.hypot(10.0, 1.0) - 4.0
    assert gap.excess["waiting"] == pytest.approx(waits.sum())
    assert gap.excess["detour"] == pytest.approx(6 * detour)
    assert found["order_gap_s"].value == pytest.approx(np.median(waits) + detour)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ({"driving": True}, "driving"),
        ({"driving": True, "safetyState": {"eStop": "MANUAL"}}, "safety"),
        ({"safetyState": {"activeEmergencyStop": "REMOTE"}}, "safety"),
        ({"safetyState": {"fieldViolation": True}, "paused": True}, "safety"),
        ({"errors": [{"errorLevel": "FATAL"}], "paused": True}, "error"),
        ({"errors": [{"errorLevel": "WARNING"}], "paused": True}, "paused"),
        ({"actionStates": [{"actionStatus": "RUNNING"}]}, "handling"),
        ({"actionStates": None, "errors": "none", "safetyState": []}, "waiting"),
    ],
)
def test_what_a_state_is_both_versions_and_broken_ones(values, kind):
    assert kind_of_second(values) == kind


def test_positions_of_both_versions_and_none():
    assert position_of({"mobileRobotPosition": {"x": 1, "y": 2.0, "mapId": "m"}}) == (1.0, 2.0, "m")
    for broken in (
        {},
        {"agvPosition": None},
        {"agvPosition": {"x": "1", "y": 2}},
        {"agvPosition": {"x": float("nan"), "y": 0}},
    ):
        assert position_of(broken) is None
    assert position_of({"agvPosition": {"x": 1, "y": 2, "positionInitialized": False}}) is None


def test_a_silence_is_of_no_known_kind():
    events = [state(0, 0, 0, driving=True), state(10, 5, 0, driving=True), state(100, 5, 0, nodeStates=[])]
    (order,) = measure_orders(log_of(events)).orders
    assert order.duration == 100
    assert sum(order.spent.values()) == 10


def test_orders_that_end_by_another_one_and_states_without_any():
    events = [state(0, 0, 0, ""), state(1, 0, 0, "A"), state(5, 0, 0, "B"), state(6, 0, 0, "B", nodeStates=[])]
    gap = measure_orders(log_of(events))
    assert [(order.order_id, order.duration) for order in gap.orders] == [("A", 4.0), ("B", 1.0)]
    assert all(item.ci_low is None for item in gap.metrics)
    assert not has_orders(log_of([state(0, 0, 0, "")]))
