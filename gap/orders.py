"""Task-time and route gaps of a fleet's own messages (VDA 5050): where the time of orders goes, how long routes are.

A log without commands says nothing about how a robot drives, but its messages say how long each order took, how long of
that it drove, handled a load, waited or stood still, and how far it went compared with the straight way. What an order
takes beyond an undisturbed drive along the straight way plus its handling is its gap.

Events are those of ``readers.vda5050``: changes of what a robot reports. An order runs from ``order_taken`` (an update
of the same order goes on with it) to the last thing that its robot did before the next one. A second of an order is,
the first that applies: ``safety`` (an emergency stop), ``error`` (one that stops the robot: FATAL, in 3.0 CRITICAL
too), ``paused``, ``driving``, ``handling`` (an action runs), else ``waiting``: there is a way to go, and nothing says
why the robot stands.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..common.geometry import FloatArray
from ..common.seeding import generator
from .fieldlog import SECOND, FieldLog, LogEvent, interpolate_pose
from .metrics import Metric

FEWEST_ORDERS = 4
"""Orders below which no interval is given."""
STATES = ("driving", "handling", "waiting", "safety", "error", "paused")
"""What a second of an order can be."""
_FREE_QUANTILE = 0.9
_RESAMPLES = 1000
_LONGEST_STEP = 35.0
"""Between positions that a speed is taken from [s]; states come every 30 s at least."""
_DOES = frozenset({"order_taken", "node", "driving", "paused", "emergency_stop", "error", "error_cleared", "action"})
_STOPPING = frozenset({"FATAL", "CRITICAL"})


@dataclass(frozen=True)
class Order:
    """One order of one robot as its states tell it.

    Attributes:
        order_id: its name.
        duration: from when it is taken to the last thing that its robot did for it [s].
        spent: seconds by ``STATES``.
        driven: length of the path through the reported positions [m]; None without positions.
        straight: sum of the straight ways between the places where nodes were reached [m]; None likewise.
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
        free_speed: speed of undisturbed driving [m/s], the 90th percentile between positions while driving; None
            without positions.
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
    """Tell whether a log holds orders that its robot took."""
    return any(event.kind == "order_taken" for event in log.events)


def timed_orders(log: FieldLog) -> int:
    """Return of how many orders a log tells how long they took."""
    return sum(events[-1][0].t_ns > events[0][0].t_ns for events in _cut(log.events))


def measure_orders(log: FieldLog, *, seed: int = 0) -> OrderGap:
    """Measure where the time of a robot's orders goes.

    Args:
        log: with events; see ``has_orders``.
        seed: of the bootstrap over orders.
    """
    free = _free_speed(log)
    orders = [order for events in _cut(log.events) if (order := _order(log, events)) is not None]
    metrics = _metrics(orders, free, log.name, seed)
    excess, ends = _excess(orders, free, log.name, seed)
    notes = [f"{log.name}: {len(orders)} orders; the log holds no positions, so that routes cannot be measured."]
    if free is not None:
        notes = [
            f"{log.name}: {len(orders)} orders. What an order takes beyond a drive along the straight way between its "
            f"nodes at {free:.2f} m/s and its handling is its gap."
        ]
    return OrderGap(metrics, orders, free, excess, ends, notes)


class _Robot:
    """What a robot reports of itself, as far as it has changed."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.errors: set[tuple[str, str]] = set()
        self.running: set[str] = set()

    def take(self, event: LogEvent) -> None:
        """Take over what an event changes."""
        value = event.values.get("value")
        if event.kind in ("driving", "paused", "emergency_stop"):
            self.values[event.kind] = value
        elif event.kind in ("error", "error_cleared"):
            name = (str(event.values.get("errorType")), str(event.values.get("errorLevel")).upper())
            (self.errors.add if event.kind == "error" else self.errors.discard)(name)
        elif event.kind == "action":
            runs = str(value).upper() in ("RUNNING", "INITIALIZING")
            (self.running.add if runs else self.running.discard)(str(event.values.get("actionId")))

    @property
    def does(self) -> str:
        """One of ``STATES``."""
        if str(self.values.get("emergency_stop") or "NONE").upper() != "NONE":
            return "safety"
        if any(level in _STOPPING for _, level in self.errors):
            return "error"
        if self.values.get("paused") is True:
            return "paused"
        if self.values.get("driving") is True:
            return "driving"
        return "handling" if self.running else "waiting"


def _cut(events: Sequence[LogEvent]) -> list[list[tuple[LogEvent, str]]]:
    """Return the events of each order, each with what the robot does from then on."""
    robot, orders = _Robot(), list[list[tuple[LogEvent, str]]]()
    name: Any = None
    for event in events:
        robot.take(event)
        if event.kind == "order_taken" and event.values.get("orderId") != name:
            name = event.values.get("orderId")
            orders.append([])
        if orders and event.kind in _DOES:
            orders[-1].append((event, robot.does))
    return orders


def _order(log: FieldLog, events: Sequence[tuple[LogEvent, str]]) -> Order | None:
    """Return the order that events tell; None if nothing was done for it."""
    start, end = events[0][0].t_ns, events[-1][0].t_ns
    if end <= start:
        return None
    spent = dict.fromkeys(STATES, 0.0)
    for (event, does), (after, _) in itertools.pairwise(events):
        spent[does] += (after.t_ns - event.t_ns) / SECOND
    driven = straight = None
    inside = (log.pose_t_ns >= start) & (log.pose_t_ns <= end)
    if inside.sum() >= 2:
        driven = _length(log.pose[inside, :2])
        nodes = [event.t_ns for event, _ in events if event.kind == "node"]
        stops = np.unique(np.clip([start, *nodes, end], log.pose_t_ns[0], log.pose_t_ns[-1]))
        straight = _length(interpolate_pose(stops, log.pose_t_ns, log.pose)[:, :2])
    return Order(str(events[0][0].values.get("orderId")), (end - start) / SECOND, spent, driven, straight)


def _length(points: FloatArray) -> float:
    return float(np.hypot(*np.diff(points, axis=0).T).sum()) if len(points) > 1 else 0.0


def _free_speed(log: FieldLog) -> float | None:
    """Return the speed of undisturbed driving [m/s]; None without positions while driving."""
    if len(log.pose_t_ns) < 2:
        return None
    changes = [event for event in log.events if event.kind == "driving"]
    stamps = np.array([event.t_ns for event in changes], dtype=np.int64)
    drives = np.array([False, *(event.values.get("value") is True for event in changes)])
    begin, end = (np.searchsorted(stamps, t, side="right") for t in (log.pose_t_ns[:-1], log.pose_t_ns[1:] - 1))
    seconds = np.diff(log.pose_t_ns) / SECOND
    chosen = (begin == end) & drives[begin] & (seconds <= _LONGEST_STEP)
    speeds = np.hypot(*np.diff(log.pose[:, :2], axis=0).T)[chosen] / seconds[chosen]
    quantile = float(np.quantile(speeds, _FREE_QUANTILE)) if len(speeds) else 0.0
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
