"""The orders of an episode as they come in."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..common.errors import InputError
from ..common.seeding import generator
from .orders import OrderKind, OrderRanges, ReplayedLine

_HOUR = 3600.0
_DAY = 24 * _HOUR


@dataclass(frozen=True)
class Order:
    """What somebody wants: articles out of the house, or brought back in.

    Attributes:
        name: unique within the episode.
        time: when it came in [s].
        kind: "out", or "return" for goods that come back.
        lines: article and cartons.
        due: when it must be done [s].
    """

    name: str
    time: float
    kind: OrderKind
    lines: tuple[tuple[str, int], ...]
    due: float


class OrderStream:
    """The orders of an episode, in order of time.

    Without a file the arrivals are a Poisson process of rate ``rate * profile * surges``, made from a unit-rate process
    by a change of time (Cinlar, *Introduction to Stochastic Processes*, 1975, section 4.7): order n comes in when the
    integral of the rate has reached the n-th arrival of the unit-rate process. So a changed rate moves orders in time,
    but never changes what the n-th one asks for.

    Args:
        ranges: of the scenario.
        skus: articles that can be asked for, the most popular first.
        seed, index: the episode.

    Raises:
        InputError: the order file was not read, or there is nothing to order.
    """

    def __init__(self, ranges: OrderRanges, skus: Sequence[str], seed: int, index: int) -> None:
        if ranges.file is not None:
            raise InputError(
                f"the order file '{ranges.file}' was not read", mend="read the scenario with load_scenario"
            )
        if ranges.replay is None and not skus:
            raise InputError(
                "there is nothing that the robots could bring",
                where="orders",
                mend="stock the racks with goods no heavier than the robot's max_payload",
            )
        self._ranges, self._skus, self._seed, self._index = ranges, list(skus), seed, index
        weight = np.arange(1, len(self._skus) + 1, dtype=np.float64) ** -ranges.popularity
        self._weight = weight / weight.sum() if len(weight) else weight
        self._unit = generator(seed, index, "orders.arrivals")
        self._next = float(self._unit.exponential())
        self._passed, self._time = 0.0, 0.0
        self._count, self._injected = 0, 0
        self._extra: list[Order] = []
        self._replay = _replayed(ranges, seed, index) if ranges.replay is not None else None
        self.factor = 1.0
        """Factor on the rate from now on, beside profile and surges."""
        self.returns = ranges.returns
        """Share of the orders from now on that bring goods back in."""

    @property
    def ended(self) -> bool:
        """Whether no further order can come: a file is at its end."""
        return self._replay is not None and not self._replay and not self._extra

    def rate(self, time: float) -> float:
        """Return the rate [1/s] at a time [s], ``factor`` left out."""
        given = self._ranges
        day = (time + given.start_hour * _HOUR) % _DAY
        # The small addition keeps a boundary that was reached by adding from falling into the hour before it.
        factor = given.profile[int((day + 1e-6) / _DAY * len(given.profile)) % len(given.profile)]
        for surge in given.surges:
            if surge.at - 1e-6 <= time < surge.at + surge.duration - 1e-6:
                factor *= surge.factor
        return given.rate / _HOUR * factor

    def advance(self, until: float) -> list[Order]:
        """Return the orders that have come in since the last call, up to ``until`` [s], in order of time."""
        orders, self._extra = self._extra, []
        if self._replay is not None:
            while self._replay and self._replay[0].time <= until:
                orders.append(self._replay.popleft())
        else:
            orders += self._drawn(until)
        self._time = max(self._time, until)
        return orders

    def inject_returns(self, count: int, lines: tuple[tuple[str, int], ...] | None = None) -> None:
        """Let ``count`` orders that bring goods back in come now, beside all others.

        Args:
            count: how many.
            lines: article and cartons of each; drawn like those of any order if left out.
        """
        for _ in range(count if self._skus or lines else 0):
            rng = generator(self._seed, self._index, "orders.injected", self._injected)
            if lines is not None:
                due = self._time + self._ranges.due.sample(rng)
                order = Order(f"R{self._injected:05d}", self._time, "return", lines, due)
            else:
                order = self._order(f"R{self._injected:05d}", self._time, rng, "return")
            self._extra.append(order)
            self._injected += 1

    def _drawn(self, until: float) -> list[Order]:
        orders = []
        while self._time < until:
            end = min(until, self._boundary(self._time))
            rate = self.factor * self.rate(self._time)
            while rate > 0 and self._passed + rate * (end - self._time) >= self._next:
                self._time += (self._next - self._passed) / rate
                self._passed = self._next
                self._next += float(self._unit.exponential())
                rng = generator(self._seed, self._index, "orders", self._count)
                orders.append(self._order(f"O{self._count:06d}", self._time, rng))
                self._count += 1
            self._passed += rate * max(end - self._time, 0.0)
            self._time = end
        return orders

    def _boundary(self, time: float) -> float:
        """Return when the rate may change next [s]."""
        length = _DAY / len(self._ranges.profile)
        shift = self._ranges.start_hour * _HOUR
        nearest = (math.floor((time + shift + 1e-6) / length) + 1) * length - shift
        for surge in self._ranges.surges:
            for edge in (surge.at, surge.at + surge.duration):
                if time + 1e-6 < edge < nearest:
                    nearest = edge
        return nearest

    def _order(self, name: str, time: float, rng: np.random.Generator, kind: OrderKind | None = None) -> Order:
        given = self._ranges
        drawn: OrderKind = "return" if rng.random() < self.returns else "out"
        count = min(round(given.lines.sample(rng)), len(self._skus))
        chosen = rng.choice(len(self._skus), size=count, replace=False, p=self._weight)
        lines = tuple((self._skus[int(i)], round(given.quantity.sample(rng))) for i in chosen)
        return Order(name, time, kind or drawn, lines, time + given.due.sample(rng))


def _replayed(ranges: OrderRanges, seed: int, index: int) -> deque[Order]:
    """Return the orders of a file, in order of time; an order comes in with its first line."""
    lines: dict[str, list[tuple[str, int]]] = {}
    first: dict[str, ReplayedLine] = {}
    for line in ranges.replay or ():
        first.setdefault(line.order, line)
        lines.setdefault(line.order, []).append((line.sku, line.quantity))
    orders: deque[Order] = deque()
    for number, (name, line) in enumerate(first.items()):
        wait = ranges.due.sample(generator(seed, index, "orders.due", number))
        due = line.due if line.due is not None else line.time + wait
        orders.append(Order(name, line.time, line.kind, tuple(lines[name]), due))
    return orders
