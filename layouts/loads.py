"""What stands on racks and on the floor: unit loads and loose goods of many sizes and colours."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .model import Good, GoodClass, Rack
from .recipe import PALLET_OVERHANG, Frame

Color = tuple[int, int, int]
Size = tuple[float, float, float]

PALLET_WIDTH = 0.8
PALLET_DEPTH = 1.2
PALLET_HEIGHT = 0.144
"""An EPAL pallet [m]."""
SLOT_WIDTH = 0.86
"""Least width of a pallet position in a bay [m]."""
LIFT_CLEARANCE = 0.1
"""Between the top of a load and the beam above it [m]."""

_CARTONS: tuple[Color, ...] = (
    (181, 136, 92),
    (196, 154, 108),
    (166, 124, 82),
    (205, 170, 125),
    (150, 112, 76),
    (224, 220, 210),
    (92, 98, 104),
    (58, 110, 152),
    (176, 74, 56),
    (84, 128, 84),
)
_CARTON_SHARES = (0.24, 0.2, 0.16, 0.14, 0.08, 0.07, 0.03, 0.03, 0.025, 0.025)
CARRIERS: tuple[Color, ...] = ((34, 86, 156), (172, 40, 40), (128, 132, 138), (222, 176, 36))
WOOD: tuple[Color, ...] = ((190, 156, 110), (172, 138, 96), (150, 122, 88))
STEEL: tuple[Color, ...] = ((118, 126, 134), (94, 104, 112))

# Cartons along the pallet's width, its depth and its height, and how common the pattern is.
_PATTERNS: tuple[tuple[tuple[int, int, int], float], ...] = (
    ((1, 1, 1), 0.12),
    ((1, 2, 1), 0.18),
    ((1, 2, 2), 0.24),
    ((2, 2, 1), 0.18),
    ((1, 3, 1), 0.14),
    ((1, 1, 2), 0.06),
    ((2, 2, 2), 0.08),
)


class Slot(NamedTuple):
    """A pallet position: its rack, bay and level from 0, number in the bay from 0, local x and z [m], free height."""

    rack: Rack
    bay: int
    level: int
    number: int
    x: float
    z: float
    free: float


@dataclass(frozen=True)
class Item:
    """A good before it is placed: offset of the centre of its underside in the axes of the pallet position [m]."""

    kind: GoodClass
    size: Size
    offset: tuple[float, float, float]
    color: Color
    yaw: float = 0.0


def rack_slots(rack: Rack, level_height: float) -> list[Slot]:
    """Return the pallet positions of a rack, bay by bay, from the floor up."""
    clear = rack.bay_width - rack.upright_width
    per_bay = max(1, math.floor(clear / SLOT_WIDTH))
    pitch = clear / per_bay
    feet = ([0.0] if rack.floor_level else []) + list(rack.level_heights)
    slots = []
    for bay in range(rack.bays):
        left = -0.5 * rack.bays * rack.bay_width + bay * rack.bay_width + 0.5 * rack.upright_width
        for level, z in enumerate(feet):
            above = next((top for top in rack.level_heights if top > z), z + level_height)
            free = above - z - rack.beam_height - LIFT_CLEARANCE
            slots += [
                Slot(rack, bay, level, number, left + (number + 0.5) * pitch, z, free) for number in range(per_bay)
            ]
    return slots


def pallet_places(racks: Iterable[Rack]) -> int:
    """Return how many pallets stand in racks at most; shelves that are too shallow for a pallet have no place."""
    places = 0
    for rack in racks:
        if rack.depth >= PALLET_WIDTH:
            in_a_bay = max(1, math.floor((rack.bay_width - rack.upright_width) / SLOT_WIDTH))
            places += rack.bays * in_a_bay * (len(rack.level_heights) + rack.floor_level)
    return places


def stock_racks(
    racks: list[tuple[Rack, tuple[float, float]]],
    frame: Frame,
    level_height: float,
    fill: float,
    rng: np.random.Generator,
) -> list[Good]:
    """Fill the pallet positions of racks, given with their u and v [m].

    Exactly ``round(fill * positions)`` positions are taken; which ones and with what is up to ``rng``.
    """
    slots = [(slot, place) for rack, place in racks for slot in rack_slots(rack, level_height)]
    taken = np.zeros(len(slots), dtype=bool)
    taken[rng.permutation(len(slots))[: round(fill * len(slots))]] = True
    goods: list[Good] = []
    for (slot, place), used in zip(slots, taken.tolist(), strict=True):
        if used:
            goods += stand_load(slot, place, frame, _unit_load(slot, rng), rng)
    return goods


def loose_item(rng: np.random.Generator, *, staging: bool) -> Item:
    """Return something that may stand on the floor: large things only in the staging area."""
    pick = rng.random()
    if staging and pick < 0.55:
        return Item("pallet", (PALLET_DEPTH, PALLET_WIDTH, PALLET_HEIGHT), (0.0, 0.0, 0.0), any_of(WOOD, rng))
    if staging and pick < 0.7:
        return Item("cone", (0.36, 0.36, 0.7), (0.0, 0.0, 0.0), (232, 92, 28))
    if pick < 0.72:
        size = (
            millimetres(rng.uniform(0.3, 0.6)),
            millimetres(rng.uniform(0.22, 0.4)),
            millimetres(rng.uniform(0.18, 0.45)),
        )
        return Item("box", size, (0.0, 0.0, 0.0), carton_color(rng))
    if pick < 0.9:
        return Item("small_load_carrier", (0.6, 0.4, 0.28), (0.0, 0.0, 0.0), any_of(CARRIERS, rng))
    return Item("crate", (0.6, 0.4, millimetres(rng.uniform(0.3, 0.5))), (0.0, 0.0, 0.0), any_of(WOOD, rng))


def item_mass(kind: GoodClass, size: Size) -> float:
    """Return a usual mass [kg] for a good of that kind and size [m]."""
    volume = size[0] * size[1] * size[2]
    if kind == "pallet":
        return round(max(4.0, 160.0 * volume), 2)
    density = {"stillage": 300.0, "small_load_carrier": 110.0, "crate": 180.0, "cone": 28.0}.get(kind, 140.0)
    return round(max(0.5, density * volume), 2)


def stand_load(
    slot: Slot, place: tuple[float, float], frame: Frame, items: list[Item], rng: np.random.Generator
) -> list[Good]:
    """Place a load: a forklift driver's centimetre and half degree off, the whole load alike."""
    dx, dy, turn = rng.uniform(-1.0, 1.0, 3) * (0.012, 0.015, 0.008)
    cos, sin = math.cos(turn), math.sin(turn)
    name = f"{slot.rack.id}-{slot.bay + 1:02d}-{slot.level}-{slot.number + 1}"
    goods = []
    for index, item in enumerate(items):
        ox, oy, oz = item.offset
        x, y = frame.point(place[0] + slot.x + dx + cos * ox - sin * oy, place[1] + dy + sin * ox + cos * oy)
        goods.append(
            Good(
                id=name if index == 0 else f"{name}.{index}",
                kind=item.kind,
                x=x,
                y=y,
                z=round(slot.z + oz, 4),
                yaw=frame.yaw(turn + item.yaw),
                size=item.size,
                mass=item_mass(item.kind, item.size),
                color=item.color,
                rack=slot.rack.id,
            )
        )
    return goods


def _unit_load(slot: Slot, rng: np.random.Generator) -> list[Item]:
    depth = min(PALLET_DEPTH, slot.rack.depth + 2 * PALLET_OVERHANG)
    pick = rng.random()
    if slot.free < PALLET_HEIGHT + 0.3:
        return _cartons(PALLET_WIDTH, depth, 0.0, max(0.12, slot.free), rng)
    if pick < 0.08:
        height = millimetres(min(0.97, slot.free))
        return [Item("stillage", (PALLET_WIDTH, millimetres(depth), height), (0.0, 0.0, 0.0), any_of(STEEL, rng))]
    pallet = Item("pallet", (PALLET_WIDTH, millimetres(depth), PALLET_HEIGHT), (0.0, 0.0, 0.0), any_of(WOOD, rng))
    room = slot.free - PALLET_HEIGHT
    if pick < 0.14:
        size = (millimetres(0.94 * PALLET_WIDTH), millimetres(0.94 * depth), millimetres(min(0.9, room)))
        return [pallet, Item("crate", size, (0.0, 0.0, PALLET_HEIGHT), any_of(WOOD, rng))]
    if pick < 0.24:
        return [pallet, *_carriers(depth, room, rng)]
    if pick < 0.28:
        return [pallet]
    return [pallet, *_cartons(PALLET_WIDTH, depth, PALLET_HEIGHT, room, rng)]


def _cartons(width: float, depth: float, foot: float, room: float, rng: np.random.Generator) -> list[Item]:
    """Stack cartons in a pattern; those of a layer are of one height, the top layer may lack some."""
    shares = np.array([share for _, share in _PATTERNS])
    nx, ny, layers = _PATTERNS[int(rng.choice(len(_PATTERNS), p=shares / shares.sum()))][0]
    cell_x, cell_y = 0.96 * width / nx, 0.96 * depth / ny
    total = min(room, rng.uniform(0.45, 1.0) * room + 0.1)
    base_color = carton_color(rng)
    items: list[Item] = []
    z = foot
    for layer in range(layers):
        height = millimetres(total / layers - 0.001)
        last = layer == layers - 1 and layers > 1
        for ix in range(nx):
            for iy in range(ny):
                if last and items and rng.random() < 0.18:
                    continue
                shrink_x, shrink_y, recolor = rng.uniform(0.88, 0.985), rng.uniform(0.88, 0.985), rng.random()
                items.append(
                    Item(
                        "box",
                        (millimetres(shrink_x * cell_x), millimetres(shrink_y * cell_y), height),
                        ((ix + 0.5) * cell_x - 0.48 * width, (iy + 0.5) * cell_y - 0.48 * depth, z),
                        carton_color(rng) if recolor < 0.25 else shaded(base_color, rng),
                    )
                )
        z += height
    return items


def _carriers(depth: float, room: float, rng: np.random.Generator) -> list[Item]:
    """Stack 600 x 400 mm carriers two side by side along the depth, up to three high."""
    layers = max(1, min(int(rng.integers(1, 4)), math.floor(room / 0.28)))
    height, color = millimetres(min(0.28, room)), any_of(CARRIERS, rng)
    size = (0.6, millimetres(min(0.4, 0.45 * depth)), height)
    return [
        Item("small_load_carrier", size, (0.0, side * 0.25 * depth, PALLET_HEIGHT + layer * height), color)
        for layer in range(layers)
        for side in (-1, 1)
    ]


def carton_color(rng: np.random.Generator) -> Color:
    """Return a carton's colour: brown boards mostly, some white and printed ones."""
    return shaded(_CARTONS[int(rng.choice(len(_CARTONS), p=_CARTON_SHARES))], rng)


def any_of(colors: tuple[Color, ...], rng: np.random.Generator) -> Color:
    """Return one of the colours, a little lighter or darker."""
    return shaded(colors[int(rng.integers(len(colors)))], rng)


def shaded(color: Color, rng: np.random.Generator) -> Color:
    """Return a colour made a little lighter or darker."""
    factor = rng.uniform(0.9, 1.1)
    return tuple(min(255, round(channel * factor)) for channel in color)  # type: ignore[return-value]


def millimetres(value: float) -> float:
    """Return a length [m] rounded to a millimetre."""
    return round(float(value), 3)
