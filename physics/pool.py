"""Worlds that a process keeps, so that clients and worlds are used again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..common.errors import InputError

if TYPE_CHECKING:
    from .world import World


class WorldPool:
    """Keeps the worlds a process has built, so that clients and worlds are used again.

    Args:
        size: how many worlds are kept; the one used longest ago is closed, and its Bullet client serves the next.
    """

    def __init__(self, size: int = 4) -> None:
        if size < 1:
            raise InputError(f"a pool holds at least one world, not {size}")
        self._size = size
        self._worlds: OrderedDict[str, World] = OrderedDict()

    def get(self, key: str, build: Callable[[], World]) -> World:
        """Return the world of a key (for example the layout's hash), reset; build it if it is not there."""
        world = self._worlds.pop(key, None)
        if world is None:
            while len(self._worlds) >= self._size:
                self._worlds.popitem(last=False)[1].close()
            world = build()
        else:
            world.reset()
        self._worlds[key] = world
        return world

    def close(self) -> None:
        """Close all worlds."""
        while self._worlds:
            self._worlds.popitem()[1].close()
