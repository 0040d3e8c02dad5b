"""A sampled hall, made ready once: its solids, the ground one may be on, its physics world. Kept for the process.

What is kept never changes an outcome: everything here is a pure function of the layout, and a world is reset before
use.
"""

from __future__ import annotations

import dataclasses
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..common.config import config_hash
from ..layouts.geometry import LayoutSolids, layout_solids
from ..layouts.model import Good, Layout
from ..layouts.occupancy import cell_size, clearance_field, is_sharp, occupancy_grid, sharp_clearance
from ..physics.handling import with_spares
from ..physics.world import World, WorldPool
from .people import WALKING_MARGIN
from .randomization import forget_layouts, layout_hash
from .routes import FieldStore, FloatArray, Ground
from .walking import PERSON_RADIUS

_KEPT = 4
"""Halls and worlds that a process keeps: enough for a scenario with few halls, no growth over one with thousands."""


@dataclass(frozen=True)
class Hall:
    """Everything that follows from a layout alone.

    Attributes:
        layout: the hall; map_layout: the same without loose goods, which is what robots are told.
        content: hash of the layout.
        solids: its shapes.
        clearance: (H, W) float64 [m], a lower bound of the distance from each cell's centre to the nearest solid below
            1.9 m, loose goods included.
        resolution, origin: of that grid, as in ``Ground``.
        reserve: what tells goods in reserve apart, which are among the solids; "" without any.
    """

    layout: Layout
    map_layout: Layout
    content: str
    solids: LayoutSolids
    clearance: FloatArray
    resolution: float
    origin: FloatArray
    reserve: str = ""
    _grounds: dict[float, Ground] = field(default_factory=dict, repr=False)

    def ground(self, distance: float) -> Ground:
        """Return where the centre of a disc of radius ``distance`` [m] may be."""
        ground = self._grounds.get(distance)
        if ground is None:
            ground = Ground(self.clearance >= distance, self.clearance, self.resolution, self.origin)
            self._grounds[distance] = ground
        return ground

    @property
    def fields(self) -> FieldStore:
        """Distances to places that episodes of this process have needed."""
        return _fields

    def walkable(self) -> Ground:
        """Return where people plan to walk."""
        return self.ground(PERSON_RADIUS + WALKING_MARGIN)


_halls: OrderedDict[str, Hall] = OrderedDict()
_worlds: WorldPool | None = None
_fields = FieldStore()


def hall_of(layout: Layout) -> Hall:
    """Return the hall of a layout; built on first use."""
    content = layout_hash(layout)
    hall = _halls.pop(content, None)
    if hall is None:
        while len(_halls) >= _KEPT:
            _halls.popitem(last=False)
        hall = _build(layout, content)
    _halls[content] = hall
    return hall


def with_reserve(hall: Hall, goods: Sequence[Good]) -> Hall:
    """Return a hall with further loose goods that wait out of the world, after its own."""
    if not goods:
        return hall
    reserve = f"{hall.reserve}+{config_hash({'goods': [good.model_dump() for good in goods]})}"
    return dataclasses.replace(hall, solids=with_spares(hall.solids, goods), reserve=reserve)


def world_of(hall: Hall, loose_mass: float) -> World:
    """Return the physics world of a hall, reset.

    Args:
        hall: the hall.
        loose_mass: factor on the masses of its loose goods.
    """
    global _worlds
    if _worlds is None:
        _worlds = WorldPool(_KEPT)
    solids = dataclasses.replace(hall.solids, loose_mass=hall.solids.loose_mass * loose_mass)
    return _worlds.get(f"{hall.content}{hall.reserve}:{loose_mass!r}", lambda: World.from_solids(solids))


def forget_halls() -> None:
    """Give back everything that was kept."""
    _halls.clear()
    _fields.clear()
    forget_layouts()
    if _worlds is not None:
        _worlds.close()


def _build(layout: Layout, content: str) -> Hall:
    solids = layout_solids(layout)
    resolution = cell_size(layout, 0.1 if layout.area <= 2500.0 else 0.2)
    grid = occupancy_grid(layout, resolution, solids=solids)
    # Distances count from cell centre to cell centre: matter may be half a cell nearer.
    clearance = np.maximum(clearance_field(grid).astype(np.float64) - 0.5 * resolution, 0.0)
    if is_sharp(layout):
        clearance = sharp_clearance(layout, grid, solids=solids).astype(np.float64)
    racked = tuple(good for good in layout.goods if good.rack is not None)
    return Hall(
        layout=layout,
        map_layout=layout.model_copy(update={"goods": racked}),
        content=content,
        solids=solids,
        clearance=clearance,
        resolution=resolution,
        origin=np.asarray(grid.origin, dtype=np.float64),
    )
