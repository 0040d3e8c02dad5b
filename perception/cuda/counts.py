"""Counting what rays do: the device functions run as plain Python, with a tally of cells, entries, boxes and solids.

The counts say how much arithmetic and memory a scan or a picture asks for, so that a measured speed can be held against
a device's ceilings.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from ..intersect import AXIS_BOX, FLAT_TRIANGLE, HALF_SPACE, TURNED_BOX, TURNED_CAPSULE, TURNED_CYLINDER
from . import rays
from .tables import WorldTables
from .translate import Function, rebound, source_of, width_of

TURNED = (TURNED_BOX, TURNED_CYLINDER, TURNED_CAPSULE, FLAT_TRIANGLE)

OPERATIONS = {"ray": 40, "cell": 14, "entry": 2, "body": 25, "straight": 28, "upright": 60, "turned": 90}
"""Arithmetic operations of each event, counted in the source: additions, multiplications, comparisons, minima and
maxima as one, divisions and roots as eight. Shading and noise are not in them."""
BYTES = {"ray": 0, "cell": 8, "entry": 16, "body": 24, "straight": 33, "upright": 33, "turned": 97}
"""Bytes that each event loads, of 32-bit tables; the caches serve most of them."""


class Tally:
    """Device functions as plain Python that count their events.

    Attributes:
        counts: events so far: ``ray``, ``cell``, ``entry`` (of a cell's list), ``body`` (a mover's box), and solids
            tested: ``straight`` (boxes along the axes and planes), ``upright`` and ``turned``.
        primary: beams or pixels that the events belong to, for the caller to count.
    """

    def __init__(self, real: type = np.float32) -> None:
        self.real = real
        self.counts: Counter[str] = Counter()
        self.primary = 0
        self._made: dict[Function, Any] = {}

    def function(self, function: Function) -> Callable[..., Any]:
        """Return a device function as plain Python."""
        return self._make(function, self.real)

    def _make(self, function: Function, real: type) -> Any:
        if function not in self._made:
            plain = rebound(source_of(function), width_of(function, real), self._make)
            event = {rays.meets_box: "body", rays.end_of_cell: "cell", rays.reaches_up: "entry", rays.walk: "ray"}
            if function is rays.test_row:
                self._made[function] = self._counted_test(plain)
            elif function in event:
                self._made[function] = self._counted(plain, event[function])
            else:
                self._made[function] = plain
        return self._made[function]

    def _counted(self, plain: Callable[..., Any], event: str) -> Callable[..., Any]:
        def counted(*arguments: Any) -> Any:
            self.counts[event] += 1
            return plain(*arguments)

        return counted

    def _counted_test(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def counted(tables: WorldTables, p: int, *arguments: Any) -> Any:
            shape = int(tables.shape[p])
            straight = shape in (AXIS_BOX, HALF_SPACE)
            self.counts["straight" if straight else ("turned" if shape in TURNED else "upright")] += 1
            return plain(tables, p, *arguments)

        return counted

    def totals(self) -> tuple[int, int]:
        """Return the operations and the bytes loaded by all events so far."""
        return (
            sum(OPERATIONS[event] * count for event, count in self.counts.items()),
            sum(BYTES[event] * count for event, count in self.counts.items()),
        )
