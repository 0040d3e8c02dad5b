"""Task times of fleet messages, read from lines as a broker sees them: orders whose every second is known."""

import json

import numpy as np
import pytest

from floorcast.gap.inspect import inspect
from floorcast.gap.orders import has_orders, measure_orders
from floorcast.gap.readers import read_log


def line(number, seconds, x, y, order="A", **values):
    minutes, rest = divmod(seconds, 60.0)
    base = {
        "headerId": number, "timestamp": f"2026-01-01T08:{int(minutes):02d}:{rest:06.3f}Z", "version": "2.1.0",
        "manufacturer": "acme", "serialNumber": "amr", "orderId": order, "orderUpdateId": 0,
        "lastNodeId": "n0", "lastNodeSequenceId": 0, "nodeStates": [{"nodeId": "n1"}], "edgeStates": [],
        "actionStates": [], "errors": [], "driving": False, "paused": False, "operatingMode": "AUTOMATIC",
        "safetyState": {"eStop": "NONE", "fieldViolation": False}, "batteryState": {"batteryCharge": 80.0},
        "agvPosition": {"x": x, "y": y, "theta": 0.0, "mapId": "hall", "positionInitialized": True},
    }  # fmt: skip
    return seconds, {**base, **values}


def an_order(start, name, wait, **stop):
    """Ten metres east at 1 m/s, a wait half way, five metres north, five seconds of handling: 20 s and the wait."""
    at = {"lastNodeId": f"{name}-begin"}
    found = [line(0, start + t, t, 0.0, name, driving=True, **at) for t in range(5)]
    found.append(line(0, start + 5, 5.0, 0.0, name, **at, **stop))
    t = start + 5 + wait
    found += [line(0, t + k, 5.0 + k, 0.0, name, driving=True, **at) for k in range(5)]
    t += 5
    found += [line(0, t + k, 10.0, float(k), name, driving=True, lastNodeId=f"{name}-middle") for k in range(5)]
    arrived = {"nodeStates": [], "lastNodeId": f"{name}-end"}
    running = [{"actionId": f"{name}-a", "actionType": "drop", "actionStatus": "RUNNING"}]
    found.append(line(0, t + 5, 10.0, 5.0, name, actionStates=running, **arrived))
    done = [{**running[0], "actionStatus": "FINISHED"}]
    return [*found, line(0, t + 10, 10.0, 5.0, name, actionStates=done, **arrived)]


def read(tmp_path, lines):
    text = (json.dumps({**body, "headerId": number}) for number, (_, body) in enumerate(lines))
    (tmp_path / "fleet.jsonl").write_text("\n".join(text) + "\n")
    (log,) = read_log(tmp_path / "fleet.jsonl")
    return log


@pytest.fixture(scope="module")
def gap(tmp_path_factory):
    lines = [item for k in range(6) for item in an_order(100 * k, f"order{k}", wait=4.0 + k)]
    return measure_orders(read(tmp_path_factory.mktemp("vda"), lines))


def test_the_seconds_of_an_order_are_those_that_were_written(gap):
    assert len(gap.orders) == 6
    for k, order in enumerate(gap.orders):
        assert order.duration == pytest.approx(24.0 + k)
        assert order.spent == pytest.approx(
            {"driving": 15.0, "waiting": 4.0 + k, "handling": 5.0, "safety": 0, "error": 0, "paused": 0}
        )
        assert order.driven == pytest.approx(15.0, abs=1e-6)
        # East to the node at (10, 0), then north to the end at (10, 5): the way driven is the straight one.
        assert order.straight == pytest.approx(15.0, abs=1e-6)


def test_shares_medians_and_intervals(gap):
    found = {item.name: item for item in gap.metrics}
    waits = np.arange(4.0, 10.0)
    assert gap.free_speed == pytest.approx(1.0)
    assert found["order_time_s"].value == pytest.approx(np.median(20 + waits))
    assert found["order_waiting_share"].value == pytest.approx(waits.sum() / (20 * 6 + waits.sum()))
    assert found["order_time_s"].floor == pytest.approx(1.0)
    assert found["route_ratio"].value == pytest.approx(1.0)
    for item in gap.metrics:
        assert item.ci_low <= item.value <= item.ci_high
    assert gap.excess["waiting"] == pytest.approx(waits.sum())
    assert found["order_gap_s"].value == pytest.approx(np.median(waits), abs=1e-6)


@pytest.mark.parametrize(
    ("stop", "kind"),
    [
        ({"safetyState": {"eStop": "MANUAL", "fieldViolation": False}}, "safety"),
        ({"errors": [{"errorType": "lost", "errorLevel": "FATAL"}]}, "error"),
        ({"errors": [{"errorType": "dust", "errorLevel": "WARNING"}], "paused": True}, "paused"),
        ({"actionStates": [{"actionId": "x", "actionType": "lift", "actionStatus": "RUNNING"}]}, "handling"),
    ],
)
def test_why_a_robot_stands(tmp_path, stop, kind):
    lines = an_order(0, "A", 8.0, **stop)
    if kind == "handling":
        lines[6][1]["actionStates"] = [{**stop["actionStates"][0], "actionStatus": "FINISHED"}]
    (order,) = measure_orders(read(tmp_path, lines)).orders
    assert order.spent[kind] == pytest.approx(8.0 + (5.0 if kind == "handling" else 0.0))
    assert sum(order.spent.values()) == pytest.approx(order.duration)


def test_time_between_orders_is_of_none(tmp_path):
    log = read(
        tmp_path, [*an_order(0, "A", 1.0), line(0, 60, 10.0, 5.0, "A", lastNodeId="A-end"), *an_order(100, "B", 1.0)]
    )
    gap = measure_orders(log)
    assert [order.duration for order in gap.orders] == pytest.approx([21.0, 21.0])
    assert all(item.ci_low is None for item in gap.metrics)
    assert not has_orders(read(tmp_path, [line(0, 0, 0, 0, ""), line(0, 1, 0, 0, "")]))


def test_inspection_promises_task_times_only_where_orders_give_them(tmp_path):
    def told(lines):
        (facts,) = inspect([read(tmp_path, lines)]).logs
        (item,) = [item for item in facts.measurable if item.what == "task times and routes"]
        return item.possible, item.why

    assert told([*an_order(0, "A", 1.0), *an_order(100, "B", 1.0)]) == (True, "2 orders")
    idle = [line(0, k, 0.0, 0.0, "", driving=k % 2 == 0) for k in range(5)]
    possible, why = told(idle)
    assert not possible
    assert "no order that was taken" in why
    nowhere = [(at, {**body, "agvPosition": None}) for at, body in an_order(0, "A", 1.0)]
    assert told(nowhere) == (True, "1 order; times only: no positions to measure routes by")
