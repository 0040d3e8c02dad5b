"""The conveyors of an episode: goods come onto them and leave, and robots bring them and take them away.

At a station that a conveyor names as ``next``, a robot that has loaded has the good that waited at the conveyor's end:
its mass is the payload, and it is seen on board. At a station that a conveyor names as its ``induct``, what a robot
brings is put onto the conveyor: the good on board, or one of the conveyors' own if it carries an unnamed load. Where
there is no room yet, or none of the conveyors' own is left, it waits out of sight and is put on as soon as there is.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from ..common.errors import InputError
from ..common.seeding import generator
from ..layouts.conveyors import line_length, line_pose
from ..layouts.model import Good, Layout
from ..physics.belt_bodies import BeltBodies
from ..physics.conveyor_network import network_of
from ..physics.conveyors import ConveyorEvent, ConveyorSystem
from .actors import Actor
from .record import Event
from .scenario import PHYSICS_RATE

if TYPE_CHECKING:
    from .live import LiveEpisode
    from .scenario import Scenario

NEAR = 0.3
"""Goods on a conveyor are Bullet's when something that reaches up to them comes this near [m], and what it drives in a
control period besides."""
FASTEST = 2.5
"""Speed [m/s] that nothing in a hall exceeds."""


def belt_goods(scenario: Scenario, seed: int, index: int) -> tuple[Good, ...]:
    """Return the goods that the conveyors of an episode need, which wait out of the world; empty without conveyors."""
    ranges = scenario.conveyors
    if ranges is None:
        return ()
    rows = []
    for name in ("length", "width", "height", "mass"):
        rng, source = generator(seed, index, f"conveyors.goods.{name}"), getattr(ranges, name)
        rows.append([source.sample(rng) for _ in range(ranges.goods)])
    shade = generator(seed, index, "conveyors.goods.color").uniform(0.8, 1.15, ranges.goods)
    return tuple(
        Good(
            id=f"belt_good_{k}",
            x=0.0,
            y=0.0,
            size=(length, width, height),
            mass=mass,
            color=(int(181 * shade[k]), int(136 * shade[k]), int(92 * shade[k])),
        )
        for k, (length, width, height, mass) in enumerate(zip(*rows, strict=True))
    )


class Belts(Actor):
    """The conveyors of a hall at work.

    Args:
        episode: the episode; its scenario has ``conveyors``.
        first: number of the first of the conveyors' own goods among the loose ones (see ``belt_goods``).

    Attributes:
        system: the conveyors and what is on them: what stops, starts, jams and clears them.
        bodies: their goods in Bullet.

    Raises:
        InputError: a source or a sink is not a conveyor of the hall, or the goods do not fit the conveyors.
    """

    def __init__(self, episode: LiveEpisode, first: int) -> None:
        ranges = episode.scenario.conveyors
        if ranges is None:
            raise ValueError("the scenario has no conveyors")
        layout, values = episode.sampled.layout, episode.sampled.values
        seed, index = episode.seed, episode.index
        drawn = {
            name: float(getattr(ranges, name).sample(generator(seed, index, f"conveyors.{name}")))
            for name in ("friction", "speed", "skew", "debounce", "patience")
        }
        values.update({f"conveyors.{name}": value for name, value in drawn.items()})
        sources, sinks = _sources(layout, ranges.sources), _sinks(layout, ranges.sinks)
        self._episode, self._world = episode, episode.world
        self.system = ConveyorSystem(
            network_of(layout, gravity=episode.world.settings.gravity),
            episode.world.loose_size[:, :2],
            episode.world.loose_mass,
            key=int(generator(seed, index, "conveyors.key").integers(2**62)),
            sinks=sinks,
            step_time=1.0 / PHYSICS_RATE,
            **drawn,
        )
        self.bodies = BeltBodies(self.system, episode.world)
        self._mine = set(range(first, first + ranges.goods))
        self._spare = deque(range(first, first + ranges.goods))
        self._backlog: dict[str, int] = dict.fromkeys(sources, 0)
        self._brought: dict[str, deque[int]] = {c.id: deque() for c in layout.conveyors if c.induct is not None}
        self._owed = dict.fromkeys(self._brought, 0)
        self._exits = {c.next: c.id for c in layout.conveyors if c.next is not None}
        self._inducts = {c.induct: c.id for c in layout.conveyors if c.induct is not None}
        self._arrivals = {name: generator(seed, index, f"conveyors.{name}.arrivals") for name in sources}
        self._interval: dict[str, float] = {}
        self._due: dict[str, float] = {}
        for name in sources:
            interval = float(ranges.interval.sample(generator(seed, index, f"conveyors.{name}.interval")))
            values[f"conveyors.{name}.interval"] = self._interval[name] = interval
            self._due[name] = float(self._arrivals[name].exponential(interval))
        self._tells_eyes = ranges.eye_events
        self._seen = 0
        self._events: list[Event] = []
        self._require_room()

    def settle(self, time: float) -> None:
        """Serve the robots, let goods come, move what is on the conveyors and let what has left be gone."""
        self._serve_robots()
        self._let_in(time)
        self.system.advance(PHYSICS_RATE // self._episode.scenario.control_rate)
        self.bodies.update(self._episode.machines.pose, NEAR + FASTEST * self._episode.period)
        for event in self.system.events():
            if event.kind == "out":
                self._put_away(event.good)
            elif event.kind == "fell":
                self.bodies.fall(event.good, event.conveyor)
            if self._tells_eyes or event.kind not in ("blocked", "clear"):
                self._events.append(self._told(event))

    def events(self) -> list[Event]:
        """Return what photo-eyes, ends and jams have reported."""
        return list(self._events)

    def _let_in(self, time: float) -> None:
        for name in self._owed:
            while self._owed[name] and self._spare:
                self._brought[name].append(self._spare.popleft())
                self._owed[name] -= 1
        for name, goods in self._brought.items():
            if goods and self.system.insert(name, goods[0]):
                goods.popleft()
        for name in self._backlog:
            while self._due[name] <= time:
                self._due[name] += float(self._arrivals[name].exponential(self._interval[name]))
                self._backlog[name] += 1
            speed = self.system.drive_speed(self.system.network.index[name])
            if self._backlog[name] and self._spare and self.system.insert(name, self._spare[0], speed=speed):
                self._spare.popleft()
                self._backlog[name] -= 1

    def _serve_robots(self) -> None:
        """Take note of what robots loaded and unloaded since the last time."""
        new, self._seen = self._episode.events[self._seen :], len(self._episode.events)
        for event in new:
            if event.kind == "pick" and event.other_id in self._exits:
                good = self.system.take(self._exits[event.other_id])
                if good is not None:
                    self._load(good, event.robot)
            elif event.kind == "drop":
                self._unload(event.robot, self._inducts.get(event.other_id))

    def _load(self, good: int, robot: int) -> None:
        model = self._episode.fleet.models[robot]
        height = float(self._world.standing_pose(good, 0.0, 0.0, model.height + 0.005)[2])
        self._world.carry_good(good, robot, (-0.05, 0.0, height, 0.0, 0.0, 0.0, 1.0))
        mass = min(float(self._world.loose_mass[good]), model.max_payload)
        self._episode.fleet.set_payload(robot, mass)

    def _unload(self, robot: int, conveyor: str | None) -> None:
        goods = [k for k in self._world.carried_by(robot) if k in self._mine]
        for good in goods:
            self._world.hide_good(good)
        if conveyor is None:
            self._spare.extend(goods)
        elif goods or self._spare:
            self._brought[conveyor].extend(goods or [self._spare.popleft()])
        else:
            self._owed[conveyor] += 1

    def _put_away(self, good: int) -> None:
        self._world.hide_good(good)
        if good in self._mine:
            self._spare.append(good)

    def _told(self, event: ConveyorEvent) -> Event:
        network = self.system.network
        pieces = network.pieces[network.index[event.conveyor]]
        s = float(network.eye[network.eye_id.index(event.eye)]) if event.eye else line_length(pieces)
        x, y, _ = line_pose(pieces, s)
        name = event.eye or event.conveyor
        return Event(event.time, "conveyor", -1, event.kind, name, float(event.good), position=(x, y))

    def _require_room(self) -> None:
        """Raise an InputError unless every good that may come fits every conveyor that it may come to."""
        network = self.system.network
        names = [*self._backlog, *self._brought]
        shortest = min((float(network.longest[network.index[name]]) for name in names), default=np.inf)
        size = self._world.loose_size[sorted(self._mine)]
        if size[:, :2].max(initial=0.0) > shortest:
            raise InputError(
                f"goods of up to {size[:, :2].max():.2f} m come onto conveyors, of which one is {shortest:.2f} m long",
                where=f"scenario '{self._episode.scenario.name}', conveyors.length",
                mend="let smaller goods come, or lengthen the conveyor",
            )


def _sources(layout: Layout, named: tuple[str, ...] | None) -> tuple[str, ...]:
    fed = {name for c in layout.conveyors for name in (c.next, c.divert.to if c.divert is not None else None)}
    return _known(layout, named, "sources", tuple(
        c.id for c in layout.conveyors if c.id not in fed and c.induct is None
    ))  # fmt: skip


def _sinks(layout: Layout, named: tuple[str, ...] | None) -> tuple[str, ...]:
    return _known(layout, named, "sinks", tuple(
        c.id for c in layout.conveyors if c.next is None and c.at_end == "hold"
    ))  # fmt: skip


def _known(layout: Layout, named: tuple[str, ...] | None, field: str, otherwise: tuple[str, ...]) -> tuple[str, ...]:
    if named is None:
        return otherwise
    known = [conveyor.id for conveyor in layout.conveyors]
    for name in named:
        if name not in known:
            raise InputError(
                f"there is no conveyor '{name}' in the hall",
                where=f"conveyors.{field}",
                mend=f"conveyors: {', '.join(known) or 'none'}",
            )
    return named
