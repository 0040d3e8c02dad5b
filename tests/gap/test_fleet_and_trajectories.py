"""VDA 5050 dumps and TUM trajectories."""

import itertools
import json
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from floorcast.common.errors import InputError
from floorcast.gap.inspect import inspect
from floorcast.gap.readers import detect_format, read_log, stream
from floorcast.gap.readers.jsonstream import JsonRecords

from .synthetic import drive, wander


def state(serial, k, **more):
    stamp = f"2025-03-01T08:{k // 60:02d}:{k % 60:02d}.25Z"
    return {
        "headerId": k,
        "timestamp": stamp,
        "version": "2.1.0",
        "manufacturer": "ACME",
        "serialNumber": serial,
    } | more


def fleet(version=2):
    """Two vehicles for 40 s: one drives an order of three nodes and has an error, the other stands."""
    where, power, safety = ("agvPosition", "batteryState", "eStop")
    charge, known = "batteryCharge", "positionInitialized"
    if version == 3:
        where, power, safety, charge, known = (
            "mobileRobotPosition", "powerSupply", "activeEmergencyStop", "stateOfCharge", "localized",
        )  # fmt: skip
    lines = [("order", state("r1", 0, orderId="o1", orderUpdateId=0, nodes=[{"nodeId": n} for n in "abc"], edges=[]))]
    for k in range(40):
        body = {
            "orderId": "o1", "orderUpdateId": 0, "lastNodeId": "abc"[k // 15], "lastNodeSequenceId": 2 * (k // 15),
            "driving": k < 35, "paused": False, "operatingMode": "AUTOMATIC", "nodeStates": [], "edgeStates": [],
            "actionStates": [
                {"actionId": "p", "actionType": "pick", "actionStatus": "RUNNING" if k < 31 else "FINISHED"}
            ],
            "errors": [{"errorType": "blocked", "errorLevel": "WARNING"}] if 10 <= k < 14 else [],
            "loads": [{"loadId": "L7"}] if k > 30 else [], power: {charge: 80.4 - 0.1 * k, "charging": False},
            "safetyState": {safety: "NONE", "fieldViolation": False},
            where: {"x": 0.5 * k, "y": 1.0, "theta": 0.1, "mapId": "hall", known: k != 5},
            "velocity": {"vx": 0.5, "vy": 0.0, "omega": 0.0},
        }  # fmt: skip
        lines.append(("state", state("r1", k, **body)))
        still = {**body, "driving": False, "orderId": "", "lastNodeId": "z", "errors": [], "loads": []}
        still[where] = {"x": 3.0, "y": 4.0, "theta": 0.0, "mapId": "hall", known: True}
        lines.append(("state", state("r2", k, **still)))
    return lines


def bare(kind, body):
    return json.dumps(body)


def topic(kind, body):
    return f"uagv/v2/ACME/{body['serialNumber']}/{kind} {json.dumps(body)}"


def stamped(kind, body):
    return f"2025-03-01T08:00:00+0000 {topic(kind, body)}"


def wrapped(kind, body):
    return json.dumps({"topic": f"uagv/v2/ACME/{body['serialNumber']}/{kind}", "payload": json.dumps(body), "qos": 0})


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("form", [bare, topic, stamped, wrapped])
def test_every_vehicle_of_a_dump_becomes_a_log(tmp_path, form, version):
    path = tmp_path / "mqtt.jsonl"
    path.write_text("\n".join(form(*line) for line in fleet(version)) + "\n")
    assert detect_format(path) == "vda5050"
    first, second = read_log(path)
    assert (first.robot, second.robot) == ("r1", "r2")
    assert len(first.pose) == 39  # once it was not localized
    assert len(second.pose) == 40
    assert first.pose_source == "localisation"
    assert first.pose_t_ns[0] == 1740816000_250_000_000  # 2025-03-01 08:00:00.25 UTC, from a calendar
    np.testing.assert_allclose(first.odom[-1], [0.5 * 39, 0.0, 0.0], atol=1e-9)
    told = [(event.kind, event.values) for event in first.events]
    assert [values["nodeId"] for kind, values in told if kind == "node"] == ["a", "b", "c"]
    assert [kind for kind, _ in told if kind.startswith("error")] == ["error", "error_cleared"]
    assert [values["value"] for kind, values in told if kind == "loads"] == [[], ["L7"]]
    assert [values["value"] for kind, values in told if kind == "battery"] == [80, 79, 78, 77, 76]
    assert [values["value"] for kind, values in told if kind == "driving"] == [True, False]
    assert [values["value"] for kind, values in told if kind == "action"] == ["RUNNING", "FINISHED"]
    assert ("order", {"orderId": "o1", "orderUpdateId": 0, "nodes": ["a", "b", "c"]}) in told
    assert any("task times and routes only" in line for line in first.report.lines())
    can = {item.what: item for item in inspect([first]).logs[0].measurable}
    assert can["task times and routes"].possible
    assert not can["motion replay"].possible
    assert "no commands" in can["motion replay"].why


def test_bad_lines_of_a_dump_are_counted_and_too_many_refused(tmp_path):
    lines = [bare(*line) for line in fleet()]
    lines[20] = lines[20][:50]
    path = tmp_path / "bad.jsonl"
    path.write_text("\n".join(lines) + "\n")
    logs = read_log(path)
    assert sum(len(log.pose) for log in logs) == 78
    assert "1 x record that is no VDA 5050 message (first at line 21)" in "\n".join(logs[0].report.lines())
    path.write_text("\n".join([*lines[:40], *["oops"] * 5]) + "\n")
    with pytest.raises(InputError, match="6 of 45 records"):
        read_log(path)


def pretty(lines):
    return "".join(json.dumps(body, indent=2) + "\n" for _, body in lines)


def pretty_topics(lines):
    return "".join(f"uagv/v2/ACME/{b['serialNumber']}/{kind}\n{json.dumps(b, indent=1)}\n\n" for kind, b in lines)


def together(lines):
    return "".join(json.dumps(body) for _, body in lines)


def array(lines):
    return json.dumps([body for _, body in lines])


def pretty_array(lines):
    return json.dumps(
        [{"topic": f"uagv/v2/ACME/{body['serialNumber']}/{kind}", "payload": body} for kind, body in lines], indent=4
    )


@pytest.mark.parametrize("form", [pretty, pretty_topics, together, array, pretty_array])
def test_messages_over_several_lines_together_or_in_an_array_are_the_same_log(tmp_path, monkeypatch, form):
    monkeypatch.setattr(stream, "BLOCK", 1000)
    plain, other = tmp_path / "plain.jsonl", tmp_path / "other.json"
    plain.write_text("\n".join(bare(*line) for line in fleet()) + "\n")
    text = form(fleet())
    other.write_text(text)
    assert detect_format(other) == "vda5050"
    for log, wanted in zip(read_log(other), read_log(plain), strict=True):
        assert log.events == wanted.events
        np.testing.assert_array_equal(log.pose, wanted.pose)
    # One message torn in its middle costs itself, and is told with its line.
    torn = text.index('"headerId": 17')
    other.write_text(text[: torn + 60] + text[torn + 200 :])
    logs = read_log(other)
    assert sum(log.report.files[0].used for log in logs) == 80
    begin = text.rindex('{\n        "topic"' if form is pretty_array else "{", 0, torn)
    (skipped,) = logs[0].report.files[0].skipped
    assert (skipped.count, skipped.first_line) == (1, text.count("\n", 0, begin) + 1)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 400), max_size=20),
    st.integers(0, 1500),
    st.sampled_from([b"", b"{", b'"', b"}", b"\n", b"x"]),
)
def test_where_blocks_of_json_end_makes_no_difference(sizes, at, damage):
    text = pretty_topics(fleet()[1:3]).encode()
    text = text[:at] + damage + text[at + 3 :] if damage else text
    ends = [0, *np.cumsum(sizes).tolist(), len(text)]
    parts = [text[a:b] for a, b in itertools.pairwise(ends)]
    assert list(JsonRecords(parts)) == list(JsonRecords([text]))


def test_an_array_on_one_line_is_read_in_bounded_memory():
    block = b"".join(b'{"headerId": 1, "values": [%d]}, ' % k for k in range(500))
    tracemalloc.start()
    count = sum(
        record.value is not None for record in JsonRecords(itertools.chain([b"["], itertools.repeat(block, 40)))
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 20_000
    assert peak < 10 * len(block)


def trajectory(path, rows, comma=False):
    lines = ["# timestamp tx ty tz qx qy qz qw"]
    for t, x, y, yaw in rows:
        cells = [
            f"{t:.6f}",
            f"{x:.6f}",
            f"{y:.6f}",
            "0.1",
            "0",
            "0",
            f"{math.sin(yaw / 2):.9f}",
            f"{math.cos(yaw / 2):.9f}",
        ]
        lines.append((", " if comma else " ").join(cells))
    path.write_text("\n".join(lines) + "\n")


def test_trajectories_single_and_in_pairs(tmp_path):
    rows = drive(*wander(20.0, 1))[::3]
    rows[:, 0] += 1.6e9
    trajectory(tmp_path / "groundtruth.txt", rows)
    believed = rows * [1.0, 1.02, 1.02, 1.0]
    trajectory(tmp_path / "estimated.txt", believed, comma=True)
    assert detect_format(tmp_path) == "tum"
    (log,) = read_log(tmp_path)
    assert (len(log.pose), len(log.odom)) == (len(rows), len(rows))
    np.testing.assert_allclose(log.pose[:, :2], rows[:, 1:3], atol=1e-6)
    np.testing.assert_allclose(np.exp(1j * log.pose[:, 2]), np.exp(1j * rows[:, 3]), atol=1e-6)
    np.testing.assert_allclose(log.odom[:, :2], believed[:, 1:3], atol=1e-6)
    (single,) = read_log(tmp_path / "estimated.txt")
    assert len(single.pose) == len(rows)
    assert len(single.odom) == 0
    text = (tmp_path / "groundtruth.txt").read_text().splitlines()
    text[9] = text[9].rsplit(" ", 1)[0] + " 3.0"
    (tmp_path / "groundtruth.txt").write_text("\n".join(text) + "\n")
    (log,) = read_log(tmp_path)
    assert len(log.pose) == len(rows) - 1
    assert any("quaternion" in line for line in log.report.lines())
