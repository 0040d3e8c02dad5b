"""Disturbances of what robots work with: stations, chargers, conveyors, and the orders that come in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...layouts.conveyors import line_length
from ..dispatch import Dispatcher
from ..routes import FloatArray
from .config import EquipmentFailure
from .effects import Effect
from .plan import Occurrence

if TYPE_CHECKING:
    from ..belts import Belts
    from ..live import LiveEpisode


class FailureEffect(Effect):
    """A robot that stands or crawls; one that stands hands its order back, where there are orders."""

    late = True

    def begin(self, time: float) -> bool:
        """Take robots that stand out of the order desk's service."""
        desk = self.episode.errands
        if isinstance(desk, Dispatcher) and self.drawn("crawl") == 0.0:
            for robot in self.what.robots:
                desk.take_out("robot", str(robot), time, self.what.label)
        return True

    def command(self, time: float, commands: FloatArray) -> None:
        """Slow down what the robots are told."""
        crawl = self.drawn("crawl")
        for robot in self.what.robots:
            row = commands[robot]
            rim = abs(float(row[-1])) * float(self.episode.radius[robot])
            fastest = max(float(np.hypot(*row[:2])) if len(row) > 2 else abs(float(row[0])), rim)
            row *= min(1.0, crawl / fastest) if fastest > 0.0 else 1.0

    def end(self, time: float) -> bool:
        """Give them back."""
        desk = self.episode.errands
        if isinstance(desk, Dispatcher) and self.drawn("crawl") == 0.0:
            for robot in self.what.robots:
                desk.give_back("robot", str(robot), time, self.what.label)
        return True


class StationEffect(Effect):
    """A station that serves nobody."""

    def begin(self, time: float) -> bool:
        """Close it."""
        self.episode.closed.append(self.what.target)
        return True

    def end(self, time: float) -> bool:
        """Open it again."""
        self.episode.closed.remove(self.what.target)
        return True


class ChargerEffect(Effect):
    """A charger that charges nobody."""

    def begin(self, time: float) -> bool:
        """Let nobody be sent there."""
        dispatcher_of(self).take_out("charger", self.what.target, time, self.what.label)
        return True

    def end(self, time: float) -> bool:
        """Let it charge again."""
        dispatcher_of(self).give_back("charger", self.what.target, time, self.what.label)
        return True


class ConveyorEffect(Effect):
    """A conveyor whose drive fails, or on which something gets stuck; the stations at its ends wait."""

    def begin(self, time: float) -> bool:
        """Stop it, or let a good get stuck."""
        system, name = self._belts().system, self.what.target
        if self.what.settings.kind == "conveyor_jam":
            pieces = system.network.pieces[system.network.index[name]]
            system.jam(name, self.drawn("at_share") * line_length(pieces))
        else:
            system.stop(name)
        conveyor = next(c for c in self.episode.sampled.layout.conveyors if c.id == name)
        stations = {station.id for station in self.episode.sampled.layout.stations}
        self._waiting = [end for end in (conveyor.induct, conveyor.next) if end is not None and end in stations]
        self.episode.closed.extend([name, *self._waiting])
        return True

    def end(self, time: float) -> bool:
        """Let it run again."""
        system, name, closed = self._belts().system, self.what.target, self.episode.closed
        for equipment in (name, *self._waiting):
            closed.remove(equipment)
        if name not in closed:
            # Nothing else holds it up.
            system.clear(name)
            system.start(name)
        return True

    def _belts(self) -> Belts:
        belts = self.episode.belts
        assert belts is not None
        return belts


class DemandEffect(Effect):
    """Orders that come in faster or slower."""

    def begin(self, time: float) -> bool:
        """Multiply their rate."""
        desk = dispatcher_of(self)
        desk.demand(desk.warehouse.stream.factor * self.drawn("factor"))
        return True

    def end(self, time: float) -> bool:
        """Divide it again."""
        desk = dispatcher_of(self)
        desk.demand(desk.warehouse.stream.factor / self.drawn("factor"))
        return True


class ReturnsEffect(Effect):
    """Goods that come back, one order after the other."""

    def begin(self, time: float) -> bool:
        """Note that none has come yet."""
        self._come = 0
        return True

    def hold(self, step: int, time: float) -> None:
        """Let those come in that are due."""
        total = self._total()
        lasting = self.what.values.get("duration", 0.0)
        passed = time - self.what.begin + self.episode.period
        due = total if passed >= lasting else int(total * passed / lasting)
        dispatcher_of(self).inject_returns(due - self._come)
        self._come = due

    def end(self, time: float) -> bool:
        """Let those come in that rounding of times has left over."""
        dispatcher_of(self).inject_returns(self._total() - self._come)
        return True

    def _total(self) -> int:
        return round(self.drawn("orders"))


def dispatcher_of(effect: Effect) -> Dispatcher:
    """Return who gives out the orders of the episode."""
    desk = effect.episode.errands
    assert isinstance(desk, Dispatcher)
    return desk


def failure_effect(episode: LiveEpisode, what: Occurrence) -> Effect:
    """Return the effect of an ``equipment_failure``, by its equipment."""
    kinds: dict[str, type[Effect]] = {
        "robot": FailureEffect,
        "station": StationEffect,
        "charger": ChargerEffect,
        "conveyor": ConveyorEffect,
    }
    settings = what.settings
    assert isinstance(settings, EquipmentFailure)
    return kinds[settings.equipment](episode, what)
