"""The opening stock of a hall: its pallet positions, what lies in them, and as which article."""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass

import numpy as np

from ..layouts.loads import rack_slots
from ..layouts.model import Good, Layout, Rack
from .stock import SLOT

_TOP_LEVEL = 1.6
"""Free height above the topmost beam [m]; it decides nothing here."""
_SEATED = 0.05
"""A load whose underside lies so far below a beam's top still stands on it [m]."""


@dataclass(frozen=True)
class StoragePlace:
    """A pallet position: name of its account, place x, y [m] in ``map``, and how many cartons it takes."""

    name: str
    x: float
    y: float
    capacity: int


@dataclass(frozen=True)
class Inventory:
    """What the racks hold at first.

    Attributes:
        places: all pallet positions, by name of their account, in the order of the layout.
        opening: cartons by (place, article).
        mass: of a carton of each article [kg], the mean of those in the racks.
        skus: the articles that a robot can carry, by name; the first is asked for most.
        too_heavy: articles that it cannot.
    """

    places: dict[str, StoragePlace]
    opening: dict[tuple[str, str], int]
    mass: dict[str, float]
    skus: tuple[str, ...]
    too_heavy: tuple[str, ...]


def take_stock(layout: Layout, articles: int, max_payload: float, capacity: int) -> Inventory:
    """Count what the racks of a hall hold.

    Every carton, crate, carrier and stillage in a rack is one carton of stock; pallets bear them and are none. What
    lies in one pallet position is one article; which, follows from the position's name alone.

    Args:
        layout: the hall.
        articles: how many there are.
        max_payload: of the robots [kg]; heavier cartons stay where they are.
        capacity: cartons that a pallet position takes at least.
    """
    places: dict[str, StoragePlace] = {}
    found: dict[str, list[Good]] = {}
    racked: dict[str, list[Good]] = {}
    for good in layout.goods:
        if good.rack is not None and good.kind not in ("pallet", "cone"):
            racked.setdefault(good.rack, []).append(good)
    for rack in layout.racks:
        names, x, y, level, local = _positions(rack)
        for name in names:
            found[name] = []
        for good in racked.get(rack.id, ()):
            found[names[_position_of(good, rack, level, local)]].append(good)
        for name, px, py in zip(names, x, y, strict=True):
            places[name] = StoragePlace(name, px, py, max(capacity, len(found[name])))
    opening: dict[tuple[str, str], int] = {}
    masses: dict[str, list[float]] = {}
    for name, goods in found.items():
        if goods:
            sku = article_of(name, articles)
            opening[name, sku] = len(goods)
            masses.setdefault(sku, []).extend(good.mass for good in goods)
    mass = {sku: sum(masses[sku]) / len(masses[sku]) for sku in sorted(masses)}
    return Inventory(
        places=places,
        opening=opening,
        mass=mass,
        skus=tuple(sku for sku in mass if mass[sku] <= max_payload),
        too_heavy=tuple(sku for sku in mass if mass[sku] > max_payload),
    )


def article_of(place: str, articles: int) -> str:
    """Return the article that a pallet position holds at first: spread evenly over all, by a checksum of its name."""
    return f"SKU-{zlib.crc32(place.encode()) % articles + 1:05d}"


def _positions(rack: Rack) -> tuple[list[str], list[float], list[float], np.ndarray, np.ndarray]:
    """Return names, x and y [m] in ``map``, levels, and local x [m] of the pallet positions of a rack."""
    slots = rack_slots(rack, _TOP_LEVEL)
    names = [f"{SLOT}{rack.id}-{slot.bay + 1:02d}-{slot.level}-{slot.number + 1}" for slot in slots]
    cos, sin = math.cos(rack.yaw), math.sin(rack.yaw)
    local = np.array([slot.x for slot in slots])
    x, y = (rack.x + cos * local).tolist(), (rack.y + sin * local).tolist()
    return names, x, y, np.array([slot.level for slot in slots]), local


def _position_of(good: Good, rack: Rack, level: np.ndarray, local: np.ndarray) -> int:
    """Return the number of the pallet position that a good stands in: on its level, the nearest along the rack."""
    feet = ([0.0] if rack.floor_level else []) + list(rack.level_heights)
    stands_on = max(sum(good.z >= foot - _SEATED for foot in feet) - 1, 0)
    along = math.cos(rack.yaw) * (good.x - rack.x) + math.sin(rack.yaw) * (good.y - rack.y)
    return int(np.argmin(np.abs(local - along) + 1e6 * (level != stands_on)))
