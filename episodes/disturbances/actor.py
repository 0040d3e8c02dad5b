"""The disturbances of an episode at work: begun and ended in time, put together where several act on one thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..actors import Actor
from ..record import Event
from ..routes import FloatArray
from .effects import EFFECTS, Effect, LightEffect, Lights
from .floor import BlockedAisleEffect, DroppedCartonEffect, SpillEffect
from .plan import Occurrence
from .supply import ConveyorEffect, DemandEffect, ReturnsEffect, failure_effect

if TYPE_CHECKING:
    from ..live import LiveEpisode

_EFFECTS: dict[str, Callable[[LiveEpisode, Occurrence], Effect]] = {
    **EFFECTS,
    "equipment_failure": failure_effect,
    "conveyor_jam": ConveyorEffect,
    "demand_surge": DemandEffect,
    "mass_returns": ReturnsEffect,
    "spill": SpillEffect,
    "blocked_aisle": BlockedAisleEffect,
    "dropped_carton": DroppedCartonEffect,
}
_HEADLINES = {
    "spill": "friction",
    "blocked_aisle": "goods",
    "dropped_carton": "mass",
    "dim_light": "level",
    "dirty_lidar": "loss",
    "blocked_sensor": "sector",
    "lost_localisation": "jump",
    "network_delay": "latency",
    "equipment_failure": "crawl",
    "battery_fade": "capacity",
    "conveyor_jam": "at_share",
    "demand_surge": "factor",
    "mass_returns": "orders",
}
"""The drawn value that events of a kind carry."""


class Disturbances(Actor):
    """Begins, holds and ends what was planned.

    Args:
        episode: complete but for this actor.
        planned: what will happen, in order of time.
    """

    def __init__(self, episode: LiveEpisode, planned: Sequence[Occurrence]) -> None:
        self._episode = episode
        self._waiting = [_EFFECTS[what.settings.kind](episode, what) for what in planned]
        self._active: list[Effect] = []
        self._events: list[Event] = []
        self._lights = Lights(episode)
        self._floor = np.full(len(episode.machines.models), episode.sampled.friction)
        self._friction = self._floor
        self._spills = [effect for effect in self._waiting if isinstance(effect, SpillEffect)]
        self._dimming = any(isinstance(effect, LightEffect) for effect in self._waiting)

    def begin(self, step: int, time: float) -> None:
        """End what is over, begin what is due, and let the rest go on."""
        for effect in [effect for effect in self._active if effect.what.end <= time + 1e-9]:
            if effect.end(time):
                self._active.remove(effect)
                self._note(effect, time, "end")
        for effect in [effect for effect in self._waiting if effect.what.begin <= time + 1e-9]:
            if effect.what.end <= time + 1e-9:
                # It never found room, or is shorter than a control period.
                self._waiting.remove(effect)
            elif effect.begin(time):
                self._waiting.remove(effect)
                self._active.append(effect)
                self._note(effect, time, "begin")
        for effect in self._active:
            effect.hold(step, time)
        if self._dimming:
            self._lights.set([effect for effect in self._active if isinstance(effect, LightEffect)], time)
        if self._spills:
            self._wet(self._episode.machines.pose)

    def command(self, time: float, commands: FloatArray) -> None:
        """Change what the drives are told: on its way to them first, then at the drives."""
        for effect in sorted(self._active, key=lambda effect: effect.late):
            effect.command(time, commands)

    def events(self) -> Sequence[Event]:
        """Return what began and ended so far."""
        return self._events

    def _wet(self, pose: FloatArray) -> None:
        friction = self._floor.copy()
        for number, effect in enumerate(self._spills):
            active = effect in self._active
            self._episode.stage.show_patch(number, effect.what.place if active else None)
            if active:
                effect.friction(pose, friction)
        if not np.array_equal(friction, self._friction):
            self._friction = friction
            self._episode.machines.set_friction(friction)

    def _note(self, effect: Effect, time: float, stage: str) -> None:
        what = effect.what
        value = what.values.get(_HEADLINES.get(what.settings.kind, ""), 0.0)
        for robot in what.robots or (-1,):
            place = effect.place(robot)
            self._events.append(Event(time, "disturbance", robot, what.settings.kind, stage, value, position=place))
