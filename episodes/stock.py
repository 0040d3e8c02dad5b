"""The stock of a hall: how many cartons of which article lie where, exact after any run.

Bookkeeping is double entry: a move takes cartons from one place and puts as many into another, and is refused where
the source does not hold them. What comes into the house comes from the account ``OUTSIDE``; what leaves ends in
``SHIPPED``. Every carton carries the time of its receipt along, so that the oldest can be taken first.
"""

from __future__ import annotations

import bisect
import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..common.errors import InputError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

OUTSIDE = "outside"
"""Where goods come from. The one place that may owe: its balance is minus what has been received."""
INBOUND = "inbound"
"""Received, at the gate, not yet stored."""
SHIPPED = "shipped"
QUARANTINE = "quarantine"
"""Damaged or blocked."""

SLOT, ROBOT, STATION, CONVEYOR = "slot:", "robot:", "station:", "conveyor:"
"""Beginnings of the names of all other places."""

_UNDATED = (OUTSIDE, SHIPPED)


class Move(NamedTuple):
    """Cartons of one article that went from one place to another at ``time`` [s], and why."""

    time: float
    source: str
    target: str
    sku: str
    quantity: int
    why: str


class Lot(NamedTuple):
    """Cartons of one article at one place, received at ``date`` [s] (below zero: before the run)."""

    date: float
    place: str
    quantity: int


@dataclass(frozen=True)
class StockTable:
    """The books as arrays: what there was at first, and every move since.

    Attributes:
        places, skus, reasons: names; the arrays hold indices into them.
        opening: (N, 3) int64 place, sku, quantity.
        time: (M,) float64 [s], not decreasing.
        moves: (M, 5) int64 source, target, sku, quantity, reason.
    """

    places: tuple[str, ...]
    skus: tuple[str, ...]
    reasons: tuple[str, ...]
    opening: IntArray
    time: FloatArray
    moves: IntArray

    def balances(self, until: float = math.inf) -> IntArray:
        """Return how many cartons lie where (P, S) int64 after all moves up to ``until`` [s]: the moves replayed."""
        stock = np.zeros((len(self.places), len(self.skus)), dtype=np.int64)
        np.add.at(stock, (self.opening[:, 0], self.opening[:, 1]), self.opening[:, 2])
        rows = self.moves[: int(np.searchsorted(self.time, until, side="right"))]
        np.add.at(stock, (rows[:, 0], rows[:, 2]), -rows[:, 3])
        np.add.at(stock, (rows[:, 1], rows[:, 2]), rows[:, 3])
        return stock

    def conserved(self) -> bool:
        """Whether no place but ``OUTSIDE`` ever owed a carton, every move moved some, and none was lost or made."""
        if np.any(self.moves[:, 3] <= 0) or np.any(np.diff(self.time) < 0):
            return False
        lowest = self._lowest()
        if OUTSIDE in self.places:
            lowest = np.delete(lowest, self.places.index(OUTSIDE), axis=0)
        opening = np.zeros(len(self.skus), dtype=np.int64)
        np.add.at(opening, self.opening[:, 1], self.opening[:, 2])
        return bool(np.all(lowest >= 0) and np.array_equal(self.balances().sum(axis=0), opening))

    def by_kind(self) -> dict[str, int]:
        """Return how many cartons lie in places of each kind at the end: ``slot``, ``robot``, ``shipped``, ..."""
        total = self.balances().sum(axis=1)
        found: dict[str, int] = {}
        for place, quantity in zip(self.places, total.tolist(), strict=True):
            kind = place.split(":", 1)[0]
            found[kind] = found.get(kind, 0) + int(quantity)
        return dict(sorted(found.items()))

    def _lowest(self) -> IntArray:
        """Return the lowest that each balance (P, S) ever was."""
        stock = np.zeros((len(self.places), len(self.skus)), dtype=np.int64)
        np.add.at(stock, (self.opening[:, 0], self.opening[:, 1]), self.opening[:, 2])
        lowest = stock.copy()
        for source, target, sku, quantity, _ in self.moves.tolist():
            stock[source, sku] -= quantity
            lowest[source, sku] = min(lowest[source, sku], stock[source, sku])
            stock[target, sku] += quantity
        return lowest


@dataclass
class _Names:
    """Numbers names in the order of their first use."""

    index: dict[str, int] = field(default_factory=dict)

    def __call__(self, name: str) -> int:
        return self.index.setdefault(name, len(self.index))


class Ledger:
    """The books while they are kept.

    Args:
        opening: cartons by (place, sku) before the first move, each > 0.
        dates: time of receipt [s] by (place, sku); 0 where left out.

    Raises:
        InputError: an opening balance that is not above zero.
    """

    def __init__(
        self, opening: Mapping[tuple[str, str], int], dates: Mapping[tuple[str, str], float] | None = None
    ) -> None:
        self._lots: dict[tuple[str, str], list[tuple[float, int]]] = {}
        self._places: dict[str, dict[str, None]] = {}
        self._contents: dict[str, dict[str, None]] = {}
        self._total: dict[tuple[str, str], int] = {}
        self._reserved: dict[tuple[str, str], int] = {}
        self._place, self._sku, self._why = _Names(), _Names(), _Names()
        self._opening: list[tuple[int, int, int]] = []
        # Plain numbers: a day's moves take a few megabytes.
        self._time = array("d")
        self._moves = array("q")
        for (place, sku), quantity in opening.items():
            if quantity <= 0:
                raise InputError(f"an opening stock of {quantity} cartons of '{sku}'", where=f"place '{place}'")
            self._opening.append((self._place(place), self._sku(sku), quantity))
            self._put(place, sku, (dates or {}).get((place, sku), 0.0), quantity)

    def __len__(self) -> int:
        """Return how many moves there were."""
        return len(self._time)

    def balance(self, place: str, sku: str) -> int:
        """Return how many cartons of an article a place holds."""
        return self._total.get((place, sku), 0)

    def available(self, place: str, sku: str) -> int:
        """Return how many of them are not reserved."""
        return self.balance(place, sku) - self._reserved.get((place, sku), 0)

    def reserve(self, place: str, sku: str, quantity: int) -> None:
        """Keep cartons for somebody; a negative quantity gives them back.

        Raises:
            InputError: more than is available, or more given back than was reserved.
        """
        held = self._reserved.get((place, sku), 0)
        if quantity > self.available(place, sku) or held + quantity < 0:
            raise InputError(f"{quantity} cartons of '{sku}' cannot be reserved", where=f"place '{place}'")
        self._reserved[place, sku] = held + quantity
        if held + quantity == 0:
            del self._reserved[place, sku]

    def contents(self, place: str) -> list[tuple[str, int]]:
        """Return what a place holds: article and quantity, by article."""
        return [(sku, self._total[place, sku]) for sku in sorted(self._contents.get(place, ()))]

    def where(self, sku: str, within: str = "") -> list[Lot]:
        """Return where an article lies, the oldest first; of one age by name of the place.

        Args:
            sku: the article.
            within: only places whose names begin so.
        """
        lots = [
            Lot(date, place, quantity)
            for place in self._places.get(sku, ())
            if place.startswith(within)
            for date, quantity in self._lots.get((place, sku), ())
        ]
        return sorted(lots)

    def move(self, time: float, source: str, target: str, sku: str, quantity: int, why: str) -> Move:
        """Book a move; the oldest cartons go.

        Raises:
            InputError: nothing to move, source and target are one, the source does not hold that many that nobody has
                reserved, or ``time`` lies before the move before. The books stay as they were.
        """
        if quantity <= 0 or source == target:
            raise InputError(f"{quantity} cartons of '{sku}' from '{source}' to '{target}' is no move", where=why)
        if self._time and time < self._time[-1]:
            raise InputError(f"a move at {time} s after one at {self._time[-1]} s", where=why)
        if source != OUTSIDE and self.available(source, sku) < quantity:
            held = self.available(source, sku)
            raise InputError(f"'{source}' can give {held} cartons of '{sku}', not {quantity}", where=f"{why}, {time} s")
        taken = self._take(source, sku, quantity) if source not in _UNDATED else [(time, quantity)]
        if source in _UNDATED:
            self._count(source, sku, -quantity)
        for date, part in taken:
            self._put(target, sku, date, part)
        self._time.append(float(time))
        self._moves.extend((self._place(source), self._place(target), self._sku(sku), quantity, self._why(why)))
        return Move(float(time), source, target, sku, quantity, why)

    def moves(self) -> list[Move]:
        """Return all moves so far, in order."""
        place, sku, why = list(self._place.index), list(self._sku.index), list(self._why.index)
        return [
            Move(time, place[a], place[b], sku[s], quantity, why[w])
            for time, (a, b, s, quantity, w) in zip(self._time, self.table().moves.tolist(), strict=True)
        ]

    def table(self) -> StockTable:
        """Return the books so far."""
        return StockTable(
            places=tuple(self._place.index),
            skus=tuple(self._sku.index),
            reasons=tuple(self._why.index),
            opening=np.array(self._opening, dtype=np.int64).reshape(-1, 3),
            time=np.array(self._time, dtype=np.float64),
            moves=np.array(self._moves, dtype=np.int64).reshape(-1, 5),
        )

    def conserved(self) -> bool:
        """Whether the books are sound: see ``StockTable.conserved``; and the moves replayed give what is held now."""
        table = self.table()
        stock = table.balances()
        replayed = {(table.places[p], table.skus[s]): int(stock[p, s]) for p, s in np.argwhere(stock).tolist()}
        dated = {key: sum(quantity for _, quantity in lots) for key, lots in self._lots.items()}
        now = {key: quantity for key, quantity in self._total.items() if key[0] not in _UNDATED}
        return table.conserved() and replayed == self._total and dated == now

    def _count(self, place: str, sku: str, quantity: int) -> None:
        total = self._total.get((place, sku), 0) + quantity
        if total:
            self._total[place, sku] = total
            self._places.setdefault(sku, {})[place] = None
            self._contents.setdefault(place, {})[sku] = None
        else:
            self._total.pop((place, sku), None)
            self._places[sku].pop(place, None)
            self._contents[place].pop(sku, None)

    def _put(self, place: str, sku: str, date: float, quantity: int) -> None:
        self._count(place, sku, quantity)
        if place in _UNDATED:
            return
        lots = self._lots.setdefault((place, sku), [])
        at = bisect.bisect_left(lots, date, key=lambda lot: lot[0])
        if at < len(lots) and lots[at][0] == date:
            lots[at] = (date, lots[at][1] + quantity)
        else:
            lots.insert(at, (date, quantity))

    def _take(self, place: str, sku: str, quantity: int) -> list[tuple[float, int]]:
        """Take the oldest cartons; returns their dates and quantities."""
        lots = self._lots[place, sku]
        taken: list[tuple[float, int]] = []
        left = quantity
        while left:
            date, there = lots[0]
            part = min(there, left)
            taken.append((date, part))
            left -= part
            if part == there:
                lots.pop(0)
            else:
                lots[0] = (date, there - part)
        if not lots:
            del self._lots[place, sku]
        self._count(place, sku, -quantity)
        return taken
