"""Values of an Open-RMF building file, each taken only if it is what it should be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .names import label
from .report import Leftovers

Floats = NDArray[np.float64]
MAX_DIGITS = 64
"""Characters of a number that stands as text."""


@dataclass(frozen=True)
class Edge:
    """What joins two vertices: its place in the file's list, the vertices' places, and its parameters."""

    number: int
    start: int
    end: int
    parameters: dict[str, Any]


def number(value: Any) -> float | None:
    """Return a finite number, or None. YAML reads ``1e-05``, which the traffic editor writes, as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, str) and len(value) > MAX_DIGITS:
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def word(value: Any) -> str:
    """Return a name as text that can be shown; YAML reads names such as ``12`` as numbers. Empty for what is none."""
    if isinstance(value, bool | str):
        return label(str(value))
    return f"{value:g}" if isinstance(value, int | float) and number(value) is not None else ""


def mapping(value: Any) -> dict[Any, Any]:
    """Return a mapping; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def entries(level: dict[Any, Any], section: str, leftovers: Leftovers) -> list[Any]:
    """Return a section's list; a section that is something else is counted."""
    value = level.get(section)
    if value is not None and not isinstance(value, list):
        leftovers.add("section that is not a list", section)
    return value if isinstance(value, list) else []


def parameters(value: Any) -> dict[str, Any]:
    """Return parameters without the types that stand before their values: ``{name: [type, value]}``."""
    return {
        str(key): pair[1] for key, pair in mapping(value).items() if isinstance(pair, list | tuple) and len(pair) == 2
    }


def points(rows: list[Any]) -> Floats:
    """Return x, y (N, 2) of rows that begin with them; NaN where they do not."""
    found = np.full((len(rows), 2), np.nan)
    for index, row in enumerate(rows):
        if isinstance(row, list) and len(row) >= 2:
            x, y = number(row[0]), number(row[1])
            if x is not None and y is not None:
                found[index] = x, y
    return found


def edges(
    level: dict[Any, Any], section: str, what: str, usable: NDArray[np.bool_], leftovers: Leftovers
) -> list[Edge]:
    """Return the edges of a section whose vertices can be used; the others are counted.

    Args:
        level: the level. section: its list. what: a word for one of them. usable: (N,) which vertices have a place.
        leftovers: for the others.
    """
    found = []
    for index, row in enumerate(entries(level, section, leftovers)):
        if not (isinstance(row, list) and len(row) >= 2):
            leftovers.add(f"{what} that names no two vertices", f"{what} {index}")
            continue
        start, end = (place if type(place) is int and 0 <= place < len(usable) else None for place in row[:2])
        if start is None or end is None or not (usable[start] and usable[end]):
            leftovers.add(f"{what} with a vertex that the level lacks or that has no place", f"{what} {index}")
            continue
        found.append(Edge(index, start, end, parameters(row[2] if len(row) > 2 else None)))
    return found
