"""VDA 5050 messages, 2.x and 3.0, as JSON: what a fleet's MQTT broker saw.

Messages may be bare payloads, payloads behind their topic (as ``mosquitto_sub -v`` prints them, with or without a time
in front), or objects with ``topic`` and ``payload``; each on a line of its own, pretty-printed over several, written
one after the other, or in an array (see ``jsonstream``). Messages: VDA 5050, "Interface for the communication between
automated guided vehicles and a master control", versions 2.0 to 3.0; 3.0 calls ``agvPosition``
``mobileRobotPosition`` and ``batteryState`` ``powerSupply``. Positions are the vehicle's own localisation: no
independent truth, and there are no commands, so such logs give the gap of task times and routes only.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ...common.errors import InputError
from ...common.geometry import wrap_angle
from ..fieldlog import MAX_BAD_SHARE, SECOND, FieldLog, FileReport, Finding, LogEvent, LogReport
from .columns import reckon
from .jsonstream import JsonRecords
from .options import ReadOptions
from .records import Table, sort_out_times
from .stream import LineStream, Rows

_TOPIC = re.compile(r"(?:^|\s)([^\s{]*/)?([^\s/{]+)/([^\s/{]+)/([A-Za-z]+)\s+(?=\{)")
_KINDS = ("state", "visualization", "order", "instantActions", "connection", "factsheet")
_MAX_PAUSE = 1.0
"""Speeds that come more rarely [s] are not added up to a track."""
_MAX_EVENTS = 500_000


def looks_like_vda5050(head: bytes) -> bool:
    """Tell by the first bytes of a file whether such messages stand in it."""
    brace = head.find(b"{")
    if brace < 0 or head.count(b"\n", 0, brace) >= 20:
        return False
    return all(b'"%s"' % key in head or b'\\"%s\\"' % key in head for key in (b"serialNumber", b"headerId"))


@dataclass
class _Vehicle:
    """What one vehicle has said so far."""

    poses: Rows = field(default_factory=lambda: Rows(5))
    speeds: Rows = field(default_factory=lambda: Rows(5))
    events: list[LogEvent] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)
    maps: set[str] = field(default_factory=set)
    lost: int = 0
    messages: int = 0
    lines: list[int] = field(default_factory=list)


def read_vda5050(path: Path, options: ReadOptions) -> list[FieldLog]:
    """Read a dump, one log for each vehicle (``manufacturer/serialNumber`` where serial numbers repeat).

    Events: ``order``, ``node`` (reached), ``action``, ``error``, ``error_cleared``, ``loads``, ``driving``, ``paused``,
    ``operating_mode``, ``battery`` (whole per cent), ``emergency_stop``, ``connection``, ``instant_actions``.

    Raises:
        InputError: the file cannot be read, holds no message, or more than 5 % of its records are none.
    """
    stream = LineStream(path)
    vehicles: dict[tuple[str, str], _Vehicle] = {}
    bad: list[int] = []
    count = 0
    topic = ""
    for record in JsonRecords(stream.blocks()):
        if not record.is_object and _topic_kind(record.before):
            topic = record.before  # its payload begins on the next line
            continue
        count += 1
        message = parse_message(record.before.strip() or topic, record.value)
        topic = ""
        if message is None:
            bad.append(record.line)
            continue
        kind, body, t_ns = message
        key = (str(body.get("manufacturer", "")), str(body.get("serialNumber", "")))
        _take(vehicles.setdefault(key, _Vehicle()), kind, body, t_ns, record.line)
    if not vehicles or len(bad) > MAX_BAD_SHARE * count:
        where = f"{path}, line {bad[0]}" if bad else str(path)
        raise InputError(
            f"{len(bad)} of {count} records are no VDA 5050 message with a time and a serial number",
            where=where,
            mend="give JSON messages, with or without their topic in front, or an array of them",
        )
    skipped = [Finding("record that is no VDA 5050 message", len(bad), bad[0])] if bad else []
    if stream.cut is not None:
        skipped.append(Finding(stream.cut, 1, count))
    serials = [serial for _, serial in vehicles]
    return [
        _build(
            vehicle,
            options.robot or (f"{maker}/{serial}" if serials.count(serial) > 1 else serial),
            FileReport(str(path), stream.sha256, vehicle.messages + len(bad), vehicle.messages, tuple(skipped)),
            options,
        )
        for (maker, serial), vehicle in vehicles.items()
    ]


def parse_message(before: str, body: Any) -> tuple[str, dict[str, Any], int] | None:
    """Return kind, payload and time [ns since 1970] of a record; None if it is no message.

    Args:
        before: text in front of it, perhaps its topic.
        body: the object.
    """
    outer = body.get("topic") if isinstance(body, dict) and "payload" in body else None
    if outer is not None:
        body = body["payload"]
        try:
            body = json.loads(body) if isinstance(body, str) else body
        except (ValueError, RecursionError):
            return None
    if not isinstance(body, dict) or "serialNumber" not in body:
        return None
    named = str(outer).rsplit("/", 1)[-1] if outer else ""
    t_ns = _time(body.get("timestamp"))
    if t_ns is None:
        return None
    return _topic_kind(before) or (named if named in _KINDS else _kind(body)), body, t_ns


def _topic_kind(text: str) -> str:
    """Return the kind of message that a topic at the end of a text names, empty without one."""
    topic = _TOPIC.search(f"{text} {{")
    return topic[4] if topic and topic[4] in _KINDS else ""


def _kind(body: dict[str, Any]) -> str:
    for kind, signs in (
        ("state", ("operatingMode", "nodeStates")),
        ("order", ("nodes",)),
        ("instantActions", ("actions", "instantActions")),
        ("connection", ("connectionState",)),
        ("factsheet", ("typeSpecification",)),
        ("visualization", ("agvPosition", "mobileRobotPosition", "velocity")),
    ):
        if any(sign in body for sign in signs):
            return kind
    return "unknown"


def _time(stamp: Any) -> int | None:
    """Return ns since 1970 of an ISO 8601 time; without a zone it is UTC, as the standard asks."""
    if not isinstance(stamp, str):
        return None
    try:
        when = datetime.fromisoformat(stamp.strip().replace(",", "."))
    except ValueError:
        return None
    when = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return int(when.timestamp()) * SECOND + when.microsecond * 1000


def _take(vehicle: _Vehicle, kind: str, body: dict[str, Any], t_ns: int, line: int) -> None:
    vehicle.messages += 1
    if kind in ("state", "visualization"):
        _take_motion(vehicle, body, t_ns, line)
    if kind == "state":
        _take_state(vehicle, body, t_ns)
    elif kind == "order":
        nodes = [str(node.get("nodeId")) for node in _objects(body.get("nodes"))]
        values = {"orderId": body.get("orderId"), "orderUpdateId": body.get("orderUpdateId"), "nodes": nodes}
        _tell(vehicle, t_ns, "order", values)
    elif kind == "instantActions":
        actions = _objects(body.get("actions") or body.get("instantActions"))
        _tell(vehicle, t_ns, "instant_actions", {"types": [str(item.get("actionType")) for item in actions]})
    elif kind == "connection":
        _change(vehicle, t_ns, "connection", body.get("connectionState"))


def _take_motion(vehicle: _Vehicle, body: dict[str, Any], t_ns: int, line: int) -> None:
    seconds = t_ns / SECOND
    place = body.get("mobileRobotPosition") or body.get("agvPosition")
    if isinstance(place, dict):
        known = place.get("localized", place.get("positionInitialized", True))
        pose = [_number(place.get(name)) for name in ("x", "y", "theta")]
        if known and np.isfinite(pose).all():
            vehicle.poses.add(np.array([[seconds, *pose, line]]))
            vehicle.maps.add(str(place.get("mapId", "")))
        else:
            vehicle.lost += 1
    velocity = body.get("velocity")
    if isinstance(velocity, dict):
        speed = [_number(velocity.get(name, 0.0)) for name in ("vx", "vy", "omega")]
        if np.isfinite(speed).all():
            vehicle.speeds.add(np.array([[seconds, *speed, line]]))


def _take_state(vehicle: _Vehicle, body: dict[str, Any], t_ns: int) -> None:
    order = {"orderId": body.get("orderId"), "orderUpdateId": body.get("orderUpdateId")}
    if order["orderId"] and vehicle.last.get("order") != order:
        vehicle.last["order"] = order
        _tell(vehicle, t_ns, "order_taken", {**order, "nodes_left": len(_objects(body.get("nodeStates")))})
    node = (body.get("lastNodeId"), body.get("lastNodeSequenceId"))
    if node[0] and vehicle.last.get("node") != node:
        vehicle.last["node"] = node
        _tell(vehicle, t_ns, "node", {"nodeId": node[0], "sequenceId": node[1], "orderId": body.get("orderId")})
    for key, kind in (("driving", "driving"), ("paused", "paused"), ("operatingMode", "operating_mode")):
        _change(vehicle, t_ns, kind, body.get(key))
    power = body.get("powerSupply") or body.get("batteryState")
    if isinstance(power, dict):
        charge = _number(power.get("stateOfCharge", power.get("batteryCharge")))
        if np.isfinite(charge):
            _change(vehicle, t_ns, "battery", int(np.floor(charge)))
    safety = body.get("safetyState")
    if isinstance(safety, dict):
        _change(vehicle, t_ns, "emergency_stop", safety.get("activeEmergencyStop", safety.get("eStop")))
    if isinstance(body.get("loads"), list):
        _change(vehicle, t_ns, "loads", [str(load.get("loadId", "")) for load in _objects(body["loads"])])
    for action in _objects(body.get("actionStates")):
        _change(vehicle, t_ns, "action", action.get("actionStatus"), str(action.get("actionId")), action)
    _take_errors(vehicle, body, t_ns)


def _take_errors(vehicle: _Vehicle, body: dict[str, Any], t_ns: int) -> None:
    now = {f"{item.get('errorType')}|{item.get('errorLevel')}" for item in _objects(body.get("errors"))}
    before = vehicle.last.get("errors", set())
    for kind, names in (("error", now - before), ("error_cleared", before - now)):
        for name in sorted(names):
            what, _, level = name.partition("|")
            _tell(vehicle, t_ns, kind, {"errorType": what, "errorLevel": level})
    vehicle.last["errors"] = now


def _change(
    vehicle: _Vehicle, t_ns: int, kind: str, value: Any, item: str = "", more: dict[str, Any] | None = None
) -> None:
    """Tell a value if it differs from the last one told of its kind and item."""
    key = f"{kind}/{item}"
    if value is None or (key in vehicle.last and vehicle.last[key] == value):
        return
    vehicle.last[key] = value
    values = {"value": value} if not item else {"actionId": item, "value": value}
    if more is not None:
        values["actionType"] = more.get("actionType")
    _tell(vehicle, t_ns, kind, values)


def _tell(vehicle: _Vehicle, t_ns: int, kind: str, values: dict[str, Any]) -> None:
    if len(vehicle.events) < _MAX_EVENTS:
        vehicle.events.append(LogEvent(t_ns, kind, values))


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else float("nan")


def _build(vehicle: _Vehicle, name: str, report: FileReport, options: ReadOptions) -> FieldLog:
    notes = [Finding("VDA 5050: gives task times and routes only, there are no commands", vehicle.messages, 1)]
    if vehicle.lost:
        notes.append(
            Finding("position of a vehicle that is not localized, or without numbers: left out", vehicle.lost, 1)
        )
    if len(vehicle.maps) > 1:
        notes.append(Finding(f"poses on several maps ({', '.join(sorted(vehicle.maps))})", len(vehicle.maps), 1))
    if len(vehicle.events) == _MAX_EVENTS:
        notes.append(Finding(f"events beyond the first {_MAX_EVENTS} are let go", 1, 0))
    tables: dict[str, Any] = {}
    for table, rows in (("pose", vehicle.poses), ("odom", vehicle.speeds)):
        kept = rows.values()
        if len(kept) < 2:
            continue
        part = Table(Path(report.path), kept[:, :4], kept[:, 4].astype(np.int64), len(kept), report.sha256)
        t_ns = sort_out_times(part)
        notes += [*part.skipped, *part.notes]
        values = part.values[:, 1:].copy()
        if table == "odom":
            if np.median(np.diff(t_ns)) > _MAX_PAUSE * SECOND:
                notes.append(Finding("measured speed comes too rarely to be added up to a track", len(values), 1))
                continue
            values = reckon(values[:, [0, 2]], t_ns)
        else:
            values[:, 2] = wrap_angle(values[:, 2])
        tables[f"{table}_t_ns"], tables[table] = t_ns, values
    events = sorted(vehicle.events, key=lambda event: event.t_ns)
    whole = FileReport(report.path, report.sha256, report.records, report.used, report.skipped, tuple(notes))
    return FieldLog(
        robot=name,
        drive=options.drive or "unknown",
        report=LogReport((whole,)),
        pose_source="localisation",
        events=tuple(events),
        **{"pose_t_ns": np.empty(0, dtype=np.int64), "pose": np.empty((0, 3)), **tables},
    )
