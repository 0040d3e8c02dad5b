"""Task-time and route gaps of a fleet's own messages (VDA 5050): where the time of orders goes, how long routes are.

A log without commands says nothing about how a robot drives, but its orders and states say how long each order took,
how long of that it drove, handled a load, waited or stood still for safety, and how far it went compared with the
straight way. What an order takes beyond an undisturbed drive along the straight way plus its handling is its gap.

Events: ``kind`` is the message's topic (``order``, ``state``, ...), ``values`` the message itself, with the field names
of VDA 5050; both those of 2.x (``agvPosition``, ``batteryState``, ``eStop``) and of 3.0 (``mobileRobotPosition``,
``powerSupply``, ``activeEmergencyStop``) are understood. Other events are passed over.

A state holds until the next one, for ``LONGEST_SILENCE`` at most (the standard asks for one every 30 s); what lies
beyond is of unknown kind and left out. A second of an order is, the first that applies: ``safety`` (an emergency stop,
or something in the protective field), ``error`` (one that stops the robot: FATAL, in 3.0 CRITICAL too), ``paused``,
``driving``, ``handling`` (an action runs), else ``waiting``: there is a way to go, and nothing says why it stands.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..common.geometry import FloatArray
from ..common.seeding import generator
from .fieldlog import SECOND, FieldLog, LogEvent
from .metrics import Metric

LONGEST_SILENCE = 35.0
"""Time for which a state is taken to hold [s]."""
FEWEST_ORDERS = 4
"""Orders below which no interval is given."""
STATES = ("driving", "handling", "waiting", "safety", "error", "paused")
"""What a second of an order can be."""
_FREE_QUANTILE = 0.9
_RESAMPLES = 1000
_STOPPING = frozenset({"FATAL", "CRITICAL"})


@dataclass(frozen=True)
class Order:
    """One order of one robot as its states tell it.

    Attributes:
        order_id: its name.
        duration: from the first state that names it to the last before it is done [s].
        spent: seconds by ``STATES``; less than the duration where states are missing.
        driven: length of the path through the reported positions [m]; None without positions.
        straight: sum of the straight ways between the order's nodes as they were reached [m]; None likewise.
    """

    order_id: str
    duration: float
    spent: dict[str, float]
    driven: float | None
    straight: float | None


@dataclass(frozen=True)
class OrderGap:
    """The task-time and route gap of one log.

    Attributes:
        metrics: ``order_time_s``, ``order_<state>_share`` of all orders' time, ``route_ratio`` (driven over straight)
            and ``order_gap_s``, medians over orders but for the shares; floor: odd against even orders. There is no
            ratio: a duration is no error.
        orders: in order of time.
        free_speed: speed of undisturbed driving [m/s], the 90th percentile between states that both drive; None without
            positions.
        excess: seconds of all orders beyond an undisturbed drive and handling, by cause (``waiting``, ``safety``,
            ``error``, ``paused``, ``detour``, ``slow``); empty where positions are missing.
        excess_intervals: 95 %, of the shares of that.
        notes: in words for people.
    """

    metrics: list[Metric]
    orders: list[Order]
    free_speed: float | None
    excess: dict[str, float] = field(default_factory=dict)
    excess_intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def has_orders(log: FieldLog) -> bool:
    """Tell whether a log holds states that name an order."""
    return any(event.kind == "state" and event.values.get("orderId") for event in log.events)


def measure_orders(log: FieldLog, *, seed: int = 0) -> OrderGap:
    """Measure where the time of a robot's orders goes.

    Args:
        log: with events; see ``has_orders``.
        seed: of the bootstrap over orders.
    """
    states = [event for event in log.events if event.kind == "state"]
    orders = _orders(states)
    free = _free_speed(states)
    metrics = _metrics(orders, free, log.name, seed)
    excess, ends = _excess(orders, free, log.name, seed)
    known = sum(sum(order.spent.values()) for order in orders)
    total = sum(order.duration for order in orders)
    notes = [f"{log.name}: {len(orders)} orders; the states hold no positions, so that routes cannot be measured."]
    if free is not None:
        notes = [
            f"{log.name}: {len(orders)} orders. What an order takes beyond a drive along the straight way between its "
            f"nodes at {free:.2f} m/s and its handling is its gap."
        ]
    if total > 0 and known < 0.95 * total:
        share = f"{1 - known / total:.0%}"
        notes.append(f"{log.name}: for {share} of the orders' time no state came within {LONGEST_SILENCE:g} s.")
    return OrderGap(metrics, orders, free, excess, ends, notes)


def kind_of_second(state: Mapping[str, Any]) -> str:
    """Return what a robot does in a state: one of ``STATES``."""
    safety = _mapping(state.get("safetyState"))
    stop = safety.get("activeEmergencyStop", safety.get("eStop", "NONE"))
    if str(stop).upper() not in ("NONE", "") or safety.get("fieldViolation") is True:
        return "safety"
    if any(str(_mapping(item).get("errorLevel")).upper() in _STOPPING for item in _items(state.get("errors"))):
        return "error"
    if state.get("paused") is True:
        return "paused"
    if state.get("driving") is True:
        return "driving"
    running = ("RUNNING", "INITIALIZING")
    if any(str(_mapping(item).get("actionStatus")).upper() in running for item in _items(state.get("actionStates"))):
        return "handling"
    return "waiting"


def position_of(state: Mapping[str, Any]) -> tuple[float, float, str] | None:
    """Return x, y [m] and the map of a state; None where it says none, or that it is not localised."""
    for name in ("agvPosition", "mobileRobotPosition"):
        place = _mapping(state.get(name))
        localised = place.get("positionInitialized", place.get("localized", True))
        x, y = place.get("x"), place.get("y")
        if _is_number(x) and _is_number(y) and localised is not False:
            return float(x), float(y), str(place.get("mapId", ""))  # type: ignore[arg-type]
    return None


def _orders(states: Sequence[LogEvent]) -> list[Order]:
    """Cut the states into orders: a new one where the order's name changes, its end where nothing is left to do."""
    found: list[Order] = []
    current: list[LogEvent] = []
    for event in states:
        name = str(event.values.get("orderId") or "")
        if current and name != str(current[0].values.get("orderId")):
            _close(current, event, found)
            current = []
        if not name or (not current and _is_done(event.values)):
            continue
        current.append(event)
        if _is_done(event.values):
            _close(current, None, found)
            current = []
    return found


def _is_done(state: Mapping[str, Any]) -> bool:
    """Tell whether an order is done: no node or edge is left, the robot stands, no action waits or runs."""
    left = (*_items(state.get("nodeStates")), *_items(state.get("edgeStates")))
    open_actions = [
        item
        for item in _items(state.get("actionStates"))
        if str(_mapping(item).get("actionStatus")).upper() not in ("FINISHED", "FAILED")
    ]
    return not left and not open_actions and state.get("driving") is not True


def _close(states: Sequence[LogEvent], following: LogEvent | None, found: list[Order]) -> None:
    """Add the order that states tell; one without a second state is too short to be told."""
    ends = [*states, *([following] if following is not None else [])]
    if len(ends) < 2:
        return
    spent = dict.fromkeys(STATES, 0.0)
    path: list[tuple[float, float, str]] = []
    stops: list[tuple[float, float, str]] = []
    node: Any = None
    for event, after in itertools.pairwise(ends):
        seconds = (after.t_ns - event.t_ns) / SECOND
        if seconds <= LONGEST_SILENCE:
            spent[kind_of_second(event.values)] += seconds
    for event in states:
        place = position_of(event.values)
        if place is None:
            continue
        path.append(place)
        here = (event.values.get("lastNodeId"), event.values.get("lastNodeSequenceId"))
        if here != node:
            node = here
            stops.append(place)
    if path and stops[-1] != path[-1]:
        stops.append(path[-1])
    duration = (ends[-1].t_ns - ends[0].t_ns) / SECOND
    driven, straight = (_length(path), _length(stops)) if len(path) > 1 else (None, None)
    found.append(Order(str(states[0].values.get("orderId")), duration, spent, driven, straight))


def _length(points: Sequence[tuple[float, float, str]]) -> float:
    """Return the length of a way [m]; between different maps it is not counted."""
    return float(sum(np.hypot(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(points) if a[2] == b[2]))


def _free_speed(states: Sequence[LogEvent]) -> float | None:
    speeds = []
    for event, after in itertools.pairwise(states):
        seconds = (after.t_ns - event.t_ns) / SECOND
        one, other = position_of(event.values), position_of(after.values)
        if one is None or other is None or one[2] != other[2] or not 0.2 <= seconds <= LONGEST_SILENCE:
            continue
        if kind_of_second(event.values) == kind_of_second(after.values) == "driving":
            speeds.append(np.hypot(other[0] - one[0], other[1] - one[1]) / seconds)
    quantile = float(np.quantile(speeds, _FREE_QUANTILE)) if speeds else 0.0
    return quantile if quantile > 0.01 else None


def _metrics(orders: Sequence[Order], free: float | None, name: str, seed: int) -> list[Metric]:
    found = []
    times = np.array([order.duration for order in orders])
    if len(times):
        found.append(_median_metric("order_time_s", times, "s", name, seed))
    spent = np.array([[order.spent[state] for state in STATES] for order in orders]).reshape(-1, len(STATES))
    for number, state in enumerate(STATES):
        if spent.sum() > 0:
            found.append(_share_metric(f"order_{state}_share", spent[:, number], spent.sum(axis=1), name, seed))
    routes = np.array(
        [o.driven / o.straight for o in orders if o.driven is not None and o.straight and o.straight > 0.5]
    )
    if len(routes):
        found.append(_median_metric("route_ratio", routes, "1", name, seed))
    gaps = _gaps(orders, free)
    if free is not None and len(gaps):
        found.append(_median_metric("order_gap_s", gaps.sum(axis=1), "s", name, seed))
    return found


CAUSES = ("waiting", "safety", "error", "paused", "detour", "slow")
"""Of an order's time beyond an undisturbed drive and its handling."""


def _gaps(orders: Sequence[Order], free: float | None) -> FloatArray:
    """Return by order and ``CAUSES`` the seconds (K, 6) beyond an undisturbed drive; orders without a way are left out.

    Detour: what the driven way is longer than the straight one, at free speed. Slow: what driving took beyond that.
    """
    rows = []
    for order in orders:
        if free is None or order.driven is None or order.straight is None:
            continue
        detour = max(order.driven - order.straight, 0.0) / free
        slow = order.spent["driving"] - min(order.straight, order.driven) / free - detour
        rows.append([*(order.spent[cause] for cause in CAUSES[:4]), detour, max(slow, 0.0)])
    return np.array(rows).reshape(-1, len(CAUSES))


def _excess(
    orders: Sequence[Order], free: float | None, name: str, seed: int
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    gaps = _gaps(orders, free)
    if gaps.sum() <= 0.0:
        return {}, {}
    found = dict(zip(CAUSES, gaps.sum(axis=0).tolist(), strict=True))
    if len(gaps) < FEWEST_ORDERS:
        return found, {}
    index = generator(seed, "orders", "excess", name).integers(0, len(gaps), (_RESAMPLES, len(gaps)))
    drawn = gaps[index].sum(axis=1)
    shares = drawn / np.maximum(drawn.sum(axis=1, keepdims=True), 1e-9)
    low, high = np.quantile(shares, [0.025, 0.975], axis=0)
    return found, {cause: (float(low[i]), float(high[i])) for i, cause in enumerate(CAUSES)}


def _median_metric(metric: str, values: FloatArray, unit: str, name: str, seed: int) -> Metric:
    low = high = None
    if len(values) >= FEWEST_ORDERS:
        index = generator(seed, "orders", metric, name).integers(0, len(values), (_RESAMPLES, len(values)))
        low, high = (float(end) for end in np.quantile(np.median(values[index], axis=1), [0.025, 0.975]))
    floor = abs(float(np.median(values[0::2]) - np.median(values[1::2]))) if len(values) >= FEWEST_ORDERS else None
    value = float(np.median(values))
    return Metric(metric, name, None, value, low, high, len(values), floor, None, unit)


def _share_metric(metric: str, part: FloatArray, whole: FloatArray, name: str, seed: int) -> Metric:
    low = high = floor = None
    value = float(part.sum() / whole.sum())
    if len(part) >= FEWEST_ORDERS:
        index = generator(seed, "orders", metric, name).integers(0, len(part), (_RESAMPLES, len(part)))
        drawn = part[index].sum(axis=1) / np.maximum(whole[index].sum(axis=1), 1e-9)
        low, high = (float(end) for end in np.quantile(drawn, [0.025, 0.975]))
        halves = [part[k::2].sum() / max(whole[k::2].sum(), 1e-9) for k in (0, 1)]
        floor = abs(float(halves[0] - halves[1]))
    return Metric(metric, name, None, value, low, high, len(part), floor, None, "1")


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))
