"""Key performance indicators of an episode with orders: how well the fleet served them, and at what cost."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .kpis import KpiDefinition
from .orders import OrderCosts
from .record import EpisodeRecord, FloorResult, OrderResult

_OWN = "Floorcast"

ORDER_KPI_DEFINITIONS: dict[str, KpiDefinition] = {
    item.name: item
    for item in (
        KpiDefinition(
            "orders_per_h",
            "1/h",
            "value",
            "higher",
            "Finished orders in an hour, deliveries from the supplier not counted",
            "3600 * number of orders with an end / duration",
            "VDI 2710",
            fleet=True,
        ),
        KpiDefinition(
            "lead_time_median_s",
            "s",
            "value",
            "lower",
            "Time from an order's arrival to its end, the middle one of all finished orders",
            "median of (end - arrival)",
            _OWN,
            fleet=True,
        ),
        KpiDefinition(
            "lead_time_p95_s",
            "s",
            "value",
            "lower",
            "Time from an order's arrival to its end that 95 % of the finished orders keep to",
            "95 % quantile of (end - arrival), linear between order statistics",
            _OWN,
            fleet=True,
        ),
        KpiDefinition(
            "late_orders",
            "1",
            "count",
            "lower",
            "Orders that were done too late, or were open past their time at the end",
            "number of orders with end > due, or without an end and due < duration",
            _OWN,
            fleet=True,
        ),
        KpiDefinition(
            "open_orders",
            "1",
            "count",
            "neither",
            "Orders still open at the end",
            "number of orders without an end",
            _OWN,
            fleet=True,
        ),
        KpiDefinition(
            "backorder_share",
            "1",
            "value",
            "lower",
            "Share of the cartons ordered that had to wait for stock",
            "sum of backordered cartons / sum of cartons, over orders that take goods out",
            _OWN,
            fleet=True,
        ),
        KpiDefinition(
            "energy_per_task_wh",
            "Wh",
            "value",
            "lower",
            "Electrical energy for each finished trip",
            "energy_wh / number of successful tasks",
            _OWN,
            fleet=True,
        ),
        KpiDefinition(
            "charge_share",
            "1",
            "value",
            "lower",
            "Share of robot time at chargers",
            "time at chargers / (robots * duration)",
            _OWN,
            fleet=True,
        ),
        KpiDefinition(
            "blockades",
            "1",
            "count",
            "lower",
            "Times that two robots blocked each other until the dispatcher sent one away",
            "spells in which two robots nearer than 4 m with goals had come no farther for 20 s",
            _OWN,
            fleet=True,
        ),
        KpiDefinition(
            "stock_conserved",
            "1",
            "rate",
            "higher",
            "Every carton is accounted for",
            "1 if the moves replayed from the opening stock leave no place with less than nothing and the same sum of "
            "every article, else 0",
            _OWN,
            fleet=True,
        ),
    )
}
"""Beside these an episode with orders has all KPIs of ``kpis.KPI_DEFINITIONS``, four of them with a meaning of its own;
see ``order_kpis``."""


def order_kpis(record: EpisodeRecord, floor: FloorResult, costs: OrderCosts) -> dict[str, float | None]:
    """Return the KPIs of ``ORDER_KPI_DEFINITIONS``, and those that mean something else where there are orders.

    - ``success``: nothing was touched and every carton is accounted for. Orders that are open at the end are no
      failure, since they keep coming in; late ones show in ``late_orders`` and ``on_time_rate``.
    - ``timeout``: 0.
    - ``on_time_rate``: of the orders that are done, or whose time has passed: the share done in time.
    - ``cost_per_task``: robot hours, energy and late orders for each finished trip, by ``costs``.

    Args:
        record: the episode, with its ``kpis``.
        floor: its orders and stock.
        costs: prices.
    """
    hours = record.duration / 3600.0
    orders = [order for order in floor.orders if order.kind != "supply"]
    done = [order for order in orders if math.isfinite(order.end_time)]
    late = sum(_is_late(order, record.duration) for order in orders)
    judged = sum(math.isfinite(order.end_time) or order.due < record.duration for order in orders)
    lead = np.array([order.end_time - order.time for order in done])
    trips = sum(task.success for task in record.tasks)
    energy = float(np.sum(record.energy_wh))
    robots = len(record.energy_wh)
    cost = robots * hours * costs.robot_hour + energy / 1000.0 * costs.energy_price + late * costs.late_order
    conserved = floor.stock.conserved()
    outward = [order for order in orders if order.kind == "out"]
    cartons = sum(order.cartons for order in outward)
    collided = any(event.kind == "collision" for event in record.events)
    return {
        "success": float(conserved and not collided),
        "timeout": 0.0,
        "on_time_rate": 1.0 - late / judged if judged else None,
        "cost_per_task": cost / trips if trips else None,
        "orders_per_h": len(done) / hours if hours > 0 else None,
        "lead_time_median_s": float(np.median(lead)) if len(lead) else None,
        "lead_time_p95_s": float(np.quantile(lead, 0.95)) if len(lead) else None,
        "late_orders": float(late),
        "open_orders": float(len(orders) - len(done)),
        "backorder_share": _sum(outward) / cartons if cartons else None,
        "energy_per_task_wh": energy / trips if trips else None,
        "charge_share": float(np.sum(floor.charging_s)) / (robots * record.duration),
        "blockades": float(floor.deadlocks),
        "stock_conserved": float(conserved),
    }


def _is_late(order: OrderResult, end: float) -> bool:
    return order.end_time > order.due if math.isfinite(order.end_time) else order.due < end


def _sum(orders: Sequence[OrderResult]) -> int:
    return sum(order.backordered for order in orders)
