"""What stands in the racks of a site: pallets by how fast their articles move, and small goods on shelves.

Articles are ranked A, B and C as warehouses slot them: fast ones low and near the front, where they are opened and
seldom full; slow ones high and far away, mostly full and wrapped.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .loads import (
    CARRIERS,
    PALLET_DEPTH,
    PALLET_HEIGHT,
    PALLET_WIDTH,
    STEEL,
    WOOD,
    Item,
    Slot,
    any_of,
    carton_color,
    item_mass,
    millimetres,
    rack_slots,
    shaded,
    stand_load,
)
from .model import Good, GoodClass, Rack
from .recipe import PALLET_OVERHANG, Frame, ZoneRecipe

PlacedRack = tuple[Rack, tuple[float, float]]
"""A rack with the u, v of its centre [m]."""

_OCCUPANCY = np.array([0.6, 1.0, 1.7])
"""How often places of ranks A, B and C are taken, against each other."""
_PARTIAL = (0.5, 0.28, 0.08)
"""Share of opened pallets in ranks A, B and C."""
_OVERHANG = 0.02
"""How far cartons may stand out over a pallet's edge [m]."""
# Cartons along the pallet's width, its depth, and layers: from large white goods to master cartons.
_PATTERNS = ((1, 1, 1), (1, 2, 1), (1, 2, 2), (2, 2, 1), (2, 2, 2), (1, 3, 1), (2, 3, 1), (1, 3, 2), (1, 1, 2))
_CARRIER_SIZES = ((0.3, 0.2, 0.147), (0.4, 0.3, 0.147), (0.4, 0.3, 0.28), (0.6, 0.4, 0.147), (0.6, 0.4, 0.28))
"""Small load carriers after VDA 4500: length, width, height [m]."""
_SHELF_FILL = (0.75, 0.95, 0.95, 0.8, 0.6)
"""How full shelves are, from the floor up: the golden zone between knee and shoulder is fullest."""


def stock_bulk(
    racks: Sequence[PlacedRack],
    frame: Frame,
    level_height: float,
    fill: float,
    zones: ZoneRecipe,
    rng: np.random.Generator,
) -> list[Good]:
    """Fill the pallet places of bulk storage; exactly ``round(fill * places)`` are taken.

    Args:
        racks: with their u, v [m].
        frame: lays row coordinates into the hall.
        level_height: of the topmost level, which no beam ends [m].
        fill: share of places that are taken.
        zones: for the shares of fast and slow articles.
        rng: draws which places and what stands there.
    """
    slots = [(slot, place) for rack, place in racks for slot in rack_slots(rack, level_height)]
    if not slots:
        return []
    rank = _ranks(slots, zones, rng)
    # The k largest of weight^(1/u) keys are a draw without replacement by weight (Efraimidis and Spirakis 2006).
    keys = np.log(rng.random(len(slots))) / _OCCUPANCY[rank]
    taken = np.zeros(len(slots), dtype=np.bool_)
    taken[np.argsort(-keys, kind="stable")[: round(fill * len(slots))]] = True
    goods: list[Good] = []
    for index in np.flatnonzero(taken).tolist():
        slot, place = slots[index]
        goods += stand_load(slot, place, frame, _load(slot, int(rank[index]), rng), rng)
    return goods


def stock_shelves(racks: Sequence[PlacedRack], frame: Frame, fill: float, rng: np.random.Generator) -> list[Good]:
    """Fill shelves with cartons and carriers of many sizes, side by side with gaps, faces to the front.

    Args:
        racks: the shelves with their u, v [m].
        frame: lays row coordinates into the hall.
        fill: how full the fullest shelves are.
        rng: draws what stands where.
    """
    goods: list[Good] = []
    for rack, place in racks:
        feet = ([0.0] if rack.floor_level else []) + list(rack.level_heights)
        for level, z in enumerate(feet):
            above = next((top for top in rack.level_heights if top > z), rack.height + 0.1)
            free = above - z - rack.beam_height - 0.03
            share = fill * _SHELF_FILL[min(level, len(_SHELF_FILL) - 1)]
            for bay in range(rack.bays):
                goods += _shelf(rack, place, bay, level, z, free, share, frame, rng)
    return goods


def _ranks(
    slots: Sequence[tuple[Slot, tuple[float, float]]], zones: ZoneRecipe, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return 0, 1, 2 for ranks A, B, C of every place: by distance from the front and height, with some disorder."""
    u = np.array([place[0] + slot.x for slot, place in slots])
    height = np.array([slot.z for slot, _ in slots])
    away = (u - u.min()) / max(float(np.ptp(u)), 1e-9)
    effort = away + 1.2 * height / max(float(height.max()), 1e-9) + 0.5 * rng.random(len(slots))
    order = np.argsort(effort, kind="stable")
    rank = np.ones(len(slots), dtype=np.int64)
    rank[order[: round(zones.fast_movers * len(slots))]] = 0
    rank[order[len(slots) - round(zones.slow_movers * len(slots)) :]] = 2
    return rank


def _load(slot: Slot, rank: int, rng: np.random.Generator) -> list[Item]:
    """Return the unit load of a place."""
    depth = min(PALLET_DEPTH, slot.rack.depth + 2 * PALLET_OVERHANG)
    kind, opened, style = rng.random(3).tolist()
    room = slot.free - PALLET_HEIGHT
    if room < 0.3:
        return [Item("box", (PALLET_WIDTH, millimetres(depth), max(0.1, millimetres(slot.free))), (0.0, 0.0, 0.0),
                     carton_color(rng))]  # fmt: skip
    if kind < 0.05:
        size = (PALLET_WIDTH, millimetres(depth), millimetres(min(0.97, slot.free)))
        return [Item("stillage", size, (0.0, 0.0, 0.0), any_of(STEEL, rng))]
    if kind < 0.08:
        return _empty_pallets(depth, slot.free, rng)
    pallet = Item("pallet", (PALLET_WIDTH, millimetres(depth), PALLET_HEIGHT), (0.0, 0.0, 0.0), any_of(WOOD, rng))
    if kind < 0.12:
        size = (millimetres(0.96 * PALLET_WIDTH), millimetres(0.96 * depth), millimetres(min(0.9, room)))
        return [pallet, Item("crate", size, (0.0, 0.0, PALLET_HEIGHT), any_of(WOOD, rng))]
    if kind < 0.2:
        return [pallet, *_carriers(depth, room, rng)]
    partial = opened < _PARTIAL[rank]
    if kind < 0.32 and partial:
        return [pallet, *_mixed(depth, room, rng)]
    if not partial and style < (0.15, 0.4, 0.65)[rank]:
        return [pallet, _wrapped(depth, room, rng)]
    return [pallet, *_cartons(depth, room, partial, rng)]


def _empty_pallets(depth: float, free: float, rng: np.random.Generator) -> list[Item]:
    """Return a stack of empty pallets, from one up to eight, each a little off the one below."""
    count = max(1, min(int(rng.integers(1, 9)), math.floor(free / PALLET_HEIGHT)))
    return [
        Item(
            "pallet",
            (PALLET_WIDTH, millimetres(depth), PALLET_HEIGHT),
            (float(rng.uniform(-0.01, 0.01)), float(rng.uniform(-0.01, 0.01)), level * PALLET_HEIGHT),
            any_of(WOOD, rng),
        )
        for level in range(count)
    ]


def _wrapped(depth: float, room: float, rng: np.random.Generator) -> Item:
    """Return a full pallet in stretch film: one block."""
    share = rng.uniform(0.7, 1.0)
    size = (millimetres(0.98 * PALLET_WIDTH), millimetres(0.98 * depth), millimetres(max(0.3, share * room)))
    return Item("box", size, (0.0, 0.0, PALLET_HEIGHT), carton_color(rng))


def _cartons(depth: float, room: float, partial: bool, rng: np.random.Generator) -> list[Item]:
    """Return cartons of one article in layers; of an opened pallet, layers and cartons of the top layer are gone."""
    nx, ny, most = _PATTERNS[int(rng.integers(len(_PATTERNS)))]
    overhang = _OVERHANG if rng.random() < 0.15 else -0.02
    cell_x, cell_y = (PALLET_WIDTH + overhang) / nx, (depth + overhang) / ny
    height = millimetres(min(room / most, rng.uniform(0.75, 1.0) * room / most) - 0.001)
    layers = max(1, most - int(rng.integers(0, most))) if partial else most
    color, shrink = carton_color(rng), float(rng.uniform(0.97, 0.995))
    size = (millimetres(shrink * cell_x), millimetres(shrink * cell_y), height)
    if partial and layers == 1 and nx * ny == 1:
        size = (size[0], size[1], millimetres(max(0.15, 0.5 * height)))
    items = []
    for layer in range(layers):
        missing = int(rng.integers(0, nx * ny)) if partial and layer == layers - 1 else 0
        for number in range(nx * ny - missing):
            x, y = (number % nx + 0.5) * cell_x - 0.5 * nx * cell_x, (number // nx + 0.5) * cell_y - 0.5 * ny * cell_y
            items.append(Item("box", size, (x, y, PALLET_HEIGHT + layer * size[2]), shaded(color, rng)))
    return items


def _mixed(depth: float, room: float, rng: np.random.Generator) -> list[Item]:
    """Return a mixed pallet: four stacks of one or two cartons, each of its own size and colour."""
    items: list[Item] = []
    cell_x, cell_y = 0.5 * PALLET_WIDTH, 0.5 * depth
    for number in range(4):
        if items and rng.random() < 0.15:
            continue
        z, reach = PALLET_HEIGHT, 1.0
        for _ in range(int(rng.integers(1, 3))):
            height = millimetres(rng.uniform(0.2, 0.48) * room)
            # What stands on top is no larger than what carries it.
            reach *= float(rng.uniform(0.8, 0.98))
            size = (millimetres(reach * cell_x), millimetres(reach * cell_y), height)
            place = ((number % 2 - 0.5) * cell_x, (number // 2 - 0.5) * cell_y, z)
            items.append(Item("box", size, place, carton_color(rng)))
            z += height
    return items


def _carriers(depth: float, room: float, rng: np.random.Generator) -> list[Item]:
    """Return small load carriers in layers of two, up to four high; the top layer may have one only."""
    height, color = 0.28 if rng.random() < 0.6 else 0.147, any_of(CARRIERS, rng)
    layers = max(1, min(int(rng.integers(1, 5)), math.floor(room / height)))
    top = int(rng.integers(1, 3))
    size = (0.6, millimetres(min(0.4, 0.45 * depth)), height)
    return [
        Item("small_load_carrier", size, (0.0, side * 0.25 * depth, PALLET_HEIGHT + layer * height), color)
        for layer in range(layers)
        for side in (-1, 1)[: top if layer == layers - 1 else 2]
    ]


def _shelf(
    rack: Rack,
    place: tuple[float, float],
    bay: int,
    level: int,
    z: float,
    free: float,
    share: float,
    frame: Frame,
    rng: np.random.Generator,
) -> list[Good]:
    """Return what stands on one shelf of one bay, from left to right."""
    start = -0.5 * rack.bays * rack.bay_width + bay * rack.bay_width + 0.5 * rack.upright_width + 0.02
    end = start + rack.bay_width - rack.upright_width - 0.04
    goods: list[Good] = []
    x = start
    while True:
        draws = rng.random(7).tolist()
        kind: GoodClass = "box"
        size = (
            millimetres(0.16 + 0.34 * draws[1] ** 1.5),
            millimetres(min(0.92 * rack.depth, 0.18 + 0.4 * draws[2])),
            millimetres(min(free, 0.1 + draws[3] * (free - 0.1))),
        )
        if draws[0] < 0.5:
            fitting = [c for c in _CARRIER_SIZES if c[2] <= free and c[0] <= 0.98 * rack.depth]
            if fitting:
                kind, (length, width, height) = "small_load_carrier", fitting[int(draws[1] * len(fitting))]
                # Carriers show their short side.
                size = (width, length, height)
        if x + size[0] > end:
            return goods
        if draws[4] < share:
            x0, v0 = place[0] + x + 0.5 * size[0], place[1] + (draws[5] - 0.5) * 0.5 * (rack.depth - size[1])
            at = frame.point(x0, v0)
            goods.append(
                Good(
                    id=f"{rack.id}-{bay + 1:02d}-{level}-{len(goods) + 1}",
                    kind=kind,
                    x=at[0],
                    y=at[1],
                    z=round(z, 4),
                    yaw=frame.yaw(0.0),
                    size=size,
                    mass=item_mass(kind, size),
                    color=any_of(CARRIERS, rng) if kind == "small_load_carrier" else carton_color(rng),
                    rack=rack.id,
                )
            )
        x += size[0] + 0.01 + 0.06 * draws[6]
