"""The stock ledger against a naive one: a list of cartons, each with its place and date."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from floorcast.common.errors import InputError
from floorcast.episodes.record import FloorResult, OrderResult
from floorcast.episodes.stock import OUTSIDE, SHIPPED, Ledger, StockTable
from floorcast.episodes.stock_file import write_floor

PLACES = (OUTSIDE, SHIPPED, "slot:a", "slot:b", "robot:0")
SKUS = ("x", "y")


class LedgerMachine(RuleBasedStateMachine):
    """Every carton is an entry of its own in the naive model."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger({("slot:a", "x"): 3, ("slot:b", "x"): 2}, {("slot:b", "x"): -5.0})
        self.cartons = [("x", "slot:a", 0.0)] * 3 + [("x", "slot:b", -5.0)] * 2
        self.reserved: dict[tuple[str, str], int] = {}
        self.time = 0.0

    def held(self, place: str, sku: str) -> int:
        return sum(carton[:2] == (sku, place) for carton in self.cartons)

    @rule(
        source=st.sampled_from(PLACES),
        end=st.sampled_from(PLACES),
        sku=st.sampled_from(SKUS),
        quantity=st.integers(0, 4),
        later=st.sampled_from((0.0, 1.0, 7.5)),
    )
    def move(self, source: str, end: str, sku: str, quantity: int, later: float) -> None:
        now = self.time + later
        allowed = (
            quantity > 0
            and source != end
            and (source == OUTSIDE or self.held(source, sku) - self.reserved.get((source, sku), 0) >= quantity)
        )
        if not allowed:
            with pytest.raises(InputError):
                self.ledger.move(now, source, end, sku, quantity, "test")
            return
        self.ledger.move(now, source, end, sku, quantity, "test")
        self.time = now
        if source == OUTSIDE:
            moved = [now] * quantity
        else:
            mine = sorted(carton for carton in self.cartons if carton[:2] == (sku, source))[:quantity]
            for carton in mine:
                self.cartons.remove(carton)
            moved = [now if source == SHIPPED else carton[2] for carton in mine]
        if end != OUTSIDE:
            self.cartons += [(sku, end, date) for date in moved]

    @rule(place=st.sampled_from(PLACES[2:]), sku=st.sampled_from(SKUS), quantity=st.integers(-3, 3))
    def reserve(self, place: str, sku: str, quantity: int) -> None:
        held = self.reserved.get((place, sku), 0)
        if quantity > self.held(place, sku) - held or held + quantity < 0:
            with pytest.raises(InputError):
                self.ledger.reserve(place, sku, quantity)
            return
        self.ledger.reserve(place, sku, quantity)
        self.reserved[place, sku] = held + quantity

    @invariant()
    def same_stock(self) -> None:
        for sku in SKUS:
            naive: dict[tuple[float, str], int] = {}
            for name, place, date in self.cartons:
                if name == sku and place != SHIPPED:
                    naive[date, place] = naive.get((date, place), 0) + 1
            assert self.ledger.where(sku) == sorted((date, place, n) for (date, place), n in naive.items())
            for place in PLACES[1:]:
                assert self.ledger.balance(place, sku) == self.held(place, sku)
                free = self.held(place, sku) - self.reserved.get((place, sku), 0)
                assert self.ledger.available(place, sku) == free

    @invariant()
    def nothing_is_lost(self) -> None:
        assert self.ledger.conserved()
        received = sum(m.quantity * ((m.source == OUTSIDE) - (m.target == OUTSIDE)) for m in self.ledger.moves())
        assert 5 + received == len(self.cartons)


TestLedger = LedgerMachine.TestCase
TestLedger.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


def _table(moves: list[tuple[int, int, int, int, int]]) -> StockTable:
    return StockTable(
        places=("slot:a", "slot:b", OUTSIDE),
        skus=("x",),
        reasons=("why",),
        opening=np.array([[0, 0, 2]]),
        time=np.arange(len(moves), dtype=np.float64),
        moves=np.array(moves, dtype=np.int64).reshape(-1, 5),
    )


def test_books_that_owed_a_carton_for_a_while_are_not_sound() -> None:
    assert _table([(0, 1, 0, 2, 0), (1, 0, 0, 1, 0)]).conserved()
    assert not _table([(1, 0, 0, 1, 0), (0, 1, 0, 3, 0)]).conserved(), "slot b gave what it did not have yet"
    assert _table([(2, 1, 0, 4, 0)]).conserved(), "deliveries come from outside"
    assert not _table([(0, 1, 0, -1, 0)]).conserved()
    assert _table([(0, 1, 0, 2, 0), (1, 0, 0, 1, 0)]).balances(0.5)[:, 0].tolist() == [0, 2, 0]


def test_the_tables_on_disk_tell_the_whole_story(tmp_path) -> None:
    ledger = Ledger({("slot:a", "x"): 5, ("slot:b", "y"): 1})
    ledger.move(3.0, "slot:a", "robot:0", "x", 2, "load")
    ledger.move(4.0, "robot:0", SHIPPED, "x", 1, "ship")
    ledger.move(5.5, OUTSIDE, "inbound", "z", 4, "return")
    orders = [OrderResult("O1", "out", 0.0, float("inf"), float("nan"), 1, 2, 0)]
    floor = FloorResult(orders, ledger.table(), np.zeros(1), 0, 0, {})
    paths = {path.name: path for path in write_floor(floor, tmp_path)}
    held: dict[tuple[str, str], int] = {}
    for row in csv.DictReader(paths["stock_moves.csv"].open()):
        for place, sign in ((row["source"], -1), (row["target"], 1)):
            held[place, row["sku"]] = held.get((place, row["sku"]), 0) + sign * int(row["quantity"])
    closing = {(r["place"], r["sku"]): int(r["quantity"]) for r in csv.DictReader(paths["stock.csv"].open())}
    assert closing == {key: n for key, n in held.items() if n and key[0] != "opening"}
    assert closing["robot:0", "x"] == 1
    assert paths["orders.csv"].read_text().splitlines()[1] == "O1,out,0.0,,,1,2,0"
    assert json.loads(paths["summary.json"].read_text())["cartons"] == {
        "inbound": 4,
        "outside": -4,
        "robot": 1,
        "shipped": 1,
        "slot": 4,
    }
