"""Orders and stock of an episode as tables that a spreadsheet reads: CSV files, equal floors to equal bytes."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..common.files import write_bytes_atomic, write_json_atomic
from .record import FloorResult

MOVES, ORDERS, CLOSING, SUMMARY = "stock_moves.csv", "orders.csv", "stock.csv", "summary.json"


def write_floor(floor: FloorResult, folder: str | Path) -> list[Path]:
    """Write a floor's tables.

    - ``stock_moves.csv``: ``time_s, source, target, sku, quantity, why``; the opening stock comes first, out of
      ``opening`` at time 0.
    - ``stock.csv``: ``place, sku, quantity`` at the end; what is negative is what came from outside.
    - ``orders.csv``: ``order, kind, time_s, due_s, end_s, lines, cartons, backordered``; ``end_s`` is empty for open
      orders, ``due_s`` for those without a time.
    - ``summary.json``: cartons by kind of place, orders by kind, whether the books are sound.

    Returns:
        The files written.

    Raises:
        InputError: the folder cannot be written.
    """
    folder, stock = Path(folder), floor.stock
    rows = [(0.0, "opening", stock.places[p], stock.skus[s], q, "opening") for p, s, q in stock.opening.tolist()]
    for time, (source, target, sku, quantity, why) in zip(stock.time.tolist(), stock.moves.tolist(), strict=True):
        names = (stock.places[source], stock.places[target], stock.skus[sku], quantity, stock.reasons[why])
        rows.append((time, *names))
    closing = stock.balances()
    held = [
        (place, sku, int(closing[p, s]))
        for p, place in enumerate(stock.places)
        for s, sku in enumerate(stock.skus)
        if closing[p, s]
    ]
    orders = [
        (o.name, o.kind, o.time, _known(o.due), _known(o.end_time), o.lines, o.cartons, o.backordered)
        for o in floor.orders
    ]
    tables: tuple[tuple[str, tuple[str, ...], Iterable[Sequence[object]]], ...] = (
        (MOVES, ("time_s", "source", "target", "sku", "quantity", "why"), rows),
        (CLOSING, ("place", "sku", "quantity"), sorted(held)),
        (ORDERS, ("order", "kind", "time_s", "due_s", "end_s", "lines", "cartons", "backordered"), orders),
    )
    written = []
    for name, header, content in tables:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(content)
        write_bytes_atomic(folder / name, text.getvalue().encode())
        written.append(folder / name)
    write_json_atomic(folder / SUMMARY, summary_of(floor))
    return [*written, folder / SUMMARY]


def summary_of(floor: FloorResult) -> dict[str, object]:
    """Return what matters of a floor, in plain numbers."""
    kinds = sorted({order.kind for order in floor.orders})
    done = {kind: sum(o.kind == kind and math.isfinite(o.end_time) for o in floor.orders) for kind in kinds}
    return {
        "stock_conserved": floor.stock.conserved(),
        "cartons": floor.stock.by_kind(),
        "moves": len(floor.stock.time),
        "orders": {kind: sum(o.kind == kind for o in floor.orders) for kind in kinds},
        "orders_done": done,
        "blockades": floor.deadlocks,
        "withdrawals": floor.withdrawals,
        "rows_skipped": floor.skipped,
    }


def _known(value: float) -> float | str:
    return value if math.isfinite(value) else ""
