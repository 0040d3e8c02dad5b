"""Conveyors that carry goods: a whole network in one compiled one-dimensional model.

What a disturbance, a task or a robot may do to a conveyor, by its id:

- ``stop(id)``, ``start(id)``: its drive fails, and works again. Goods on it come to rest, and those behind queue.
- ``jam(id)``: a good on it gets stuck (the next one to come, if it is empty); ``clear(id)`` sets free what is stuck.
- ``insert(id, good)``: put a loose good on its start (or elsewhere); False if there is no room yet.
- ``take(id)``: take away the good that waits at its end; None if there is none. ``remove(good)``: from anywhere.
- ``on_belts()``: what is where.

Every good is told by its number among the loose goods of the world. Nothing is lost: what was put on is on a
conveyor, was taken, left through a sink, or fell off (``ConveyorSystem.counts``).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.errors import InputError
from ..layouts.conveyors import MERGING_ANGLE
from ..layouts.geometry import belt_width
from . import conveyor_motion as motion
from .conveyor_network import Network
from .conveyor_places import places

FloatArray = NDArray[np.float64]

EventKind = Literal["blocked", "clear", "jam", "jam_over", "arrived", "out", "fell", "stuck"]
_KINDS: tuple[EventKind, ...] = ("blocked", "clear", "jam", "jam_over", "arrived", "out", "fell", "stuck")
_OF_EYES = 4
"""The first so many kinds are told by photo-eyes."""


@dataclass(frozen=True)
class ConveyorEvent:
    """Something that happened on a conveyor.

    Attributes:
        time: [s] since the start.
        kind: ``blocked`` and ``clear`` when a photo-eye switches, ``jam`` when one has been blocked for too long and
            ``jam_over`` when it clears again; ``arrived`` when a good comes to wait at an end, ``out`` when one leaves
            through a sink, ``fell`` when one goes over an end, ``stuck`` when one gets stuck.
        conveyor: its id.
        eye: id of the photo-eye, or "".
        good: the good, or -1 where a photo-eye speaks.
    """

    time: float
    kind: EventKind
    conveyor: str
    eye: str = ""
    good: int = -1


@dataclass(frozen=True)
class ConveyorCounts:
    """Where all goods are that were ever put on: ``put_on == on + taken + out + fell``, always."""

    put_on: int
    on: int
    taken: int
    out: int
    fell: int


class ConveyorSystem:
    """All conveyors of a layout and the goods on them.

    Args:
        network: see ``conveyor_network.network_of``.
        size: (N, 2) full length and width [m] of the goods, along their own x and y axes.
        mass: (N,) [kg].
        key: number of the random stream, for instance from ``common.seeding``: every conveyor draws from it by its own
            counter, whatever the others do.
        friction, speed: factors on what the layout says [-].
        skew: chance that a good which a diverter turns gets stuck there.
        sinks: ids of conveyors without ``next`` through whose end goods leave the hall.
        debounce: a photo-eye switches after this time [s]; patience: blocked for this long [s] it reports a jam.
        step_time: [s]; goods move at this step, photo-eyes switch on its multiples.

    Raises:
        InputError: shapes do not fit, a factor is not above zero, a sink feeds something or is not a conveyor.
    """

    def __init__(
        self,
        network: Network,
        size: ArrayLike,
        mass: ArrayLike,
        *,
        key: int = 0,
        friction: float = 1.0,
        speed: float = 1.0,
        skew: float = 0.0,
        sinks: Collection[str] = (),
        debounce: float = 0.05,
        patience: float = 5.0,
        step_time: float = 1.0 / 240.0,
    ) -> None:
        extent, weight = np.asarray(size, dtype=np.float64), np.asarray(mass, dtype=np.float64)
        goods = len(weight)
        if extent.shape != (goods, 2) or not (extent > 0).all() or not (weight > 0).all():
            raise InputError(f"goods have sizes {extent.shape} and masses {weight.shape}, all above zero", where="size")
        if not (friction > 0 and speed >= 0 and 0 <= skew <= 1 and debounce >= 0 and patience > 0):
            raise InputError(
                f"friction {friction}, speed {speed}, skew {skew}, debounce {debounce}, patience {patience}",
                where="ConveyorSystem",
                mend="give factors and times above zero, and a chance from 0 to 1",
            )
        self.network, self.step_time, self.size = network, step_time, extent
        self._debounce, self._patience = round(debounce / step_time), round(patience / step_time)
        self._belt, self._count = network.belt.copy(), network.count.copy()
        self._belt[:, motion.B_GRIP] *= friction
        self._belt[:, motion.B_SPEED] *= speed
        self._belt[:, motion.B_SKEW] = skew
        self._drive = self._belt[:, motion.B_SPEED].copy()
        for name in sinks:
            b = self._number(name)
            if self._count[b, motion.C_END] == motion.ONWARD:
                raise InputError(
                    f"conveyor '{name}' feeds another, so goods cannot leave the hall there", where="sinks"
                )
            self._count[b, motion.C_END] = motion.SINK
        self._merge_at = network.merge_at.copy()
        words = np.random.SeedSequence(entropy=key).generate_state(len(network.conveyors), np.uint64)
        self._key: NDArray[np.uint64] = words.astype(np.uint64)
        self._good = np.zeros((goods, motion.GOOD_COLUMNS))
        self._good[:, motion.G_LENGTH], self._good[:, motion.G_WIDTH] = 0.5 * extent[:, 0], 0.5 * extent[:, 1]
        self._good[:, motion.G_MASS] = weight
        self._link = np.full((goods, motion.LINK_COLUMNS), -1, dtype=np.int64)
        self._link[:, motion.K_STUCK :] = 0
        self._eye_state = np.zeros((len(network.eye), motion.EYE_COLUMNS), dtype=np.int64)
        self._eye_state[:, motion.E_SINCE] = -1
        self._buffer = np.empty((4 * goods + 6 * len(network.eye) + 64, motion.EVENT_COLUMNS))
        self._events: list[ConveyorEvent] = []
        self._steps = 0
        self._put_on = self._taken = self._out = self._fell = 0

    # -- what others do to conveyors ---------------------------------------------------------------------------------

    def stop(self, conveyor: str) -> None:
        """Let the drive of a conveyor fail; goods on it come to rest by friction."""
        self._belt[self._number(conveyor), motion.B_SPEED] = 0.0

    def start(self, conveyor: str) -> None:
        """Let the drive of a conveyor work again."""
        b = self._number(conveyor)
        self._belt[b, motion.B_SPEED] = self._drive[b]

    def running(self, conveyor: str) -> bool:
        """Return whether a conveyor's drive works."""
        b = self._number(conveyor)
        return bool(self._belt[b, motion.B_SPEED] == self._drive[b])

    def jam(self, conveyor: str, at: float | None = None) -> int | None:
        """Let a good get stuck on a conveyor: the one nearest to a place, or the next that comes by if it is empty.

        Args:
            conveyor: its id. at: the place [m] along it; its middle if left out.

        Returns:
            The good that is stuck now, or None if it is still to come.

        Raises:
            InputError: no such conveyor, or the place is not on it.
        """
        b = self._number(conveyor)
        length = float(self._belt[b, motion.B_LENGTH])
        place = 0.5 * length if at is None else at
        if not 0.0 <= place <= length + 1e-9:
            raise InputError(
                f"conveyor '{conveyor}' is {length:.2f} m long: nothing gets stuck at {place} m", where="at"
            )
        goods = self.goods_on(b)
        if not goods:
            self._belt[b, motion.B_JAM_AT] = place
            return None
        good = min(goods, key=lambda k: (abs(float(self._good[k, motion.G_S]) - place), k))
        self._link[good, motion.K_STUCK] = 1
        self._good[good, motion.G_V] = 0.0
        self._events.append(ConveyorEvent(self.time, "stuck", conveyor, good=good))
        return good

    def clear(self, conveyor: str) -> None:
        """Set free what is stuck on a conveyor, and call off a jam that is still to come."""
        b = self._number(conveyor)
        self._belt[b, motion.B_JAM_AT] = math.inf
        for k in self.goods_on(b):
            self._link[k, motion.K_STUCK] = 0
            self._good[k, motion.G_STUCK_AT] = motion.NEVER

    def insert(
        self, conveyor: str, good: int, *, at: float | None = None, yaw: float = 0.0, speed: float = 0.0
    ) -> bool:
        """Put a good on a conveyor.

        Args:
            conveyor: its id.
            good: number of the good; it must not be on a conveyor.
            at: where its middle is to be [m] along the conveyor; as near to the start as it fits if left out.
            yaw: of the good against the conveyor [rad]. speed: [m/s] along it.

        Returns:
            Whether there was room.

        Raises:
            InputError: no such conveyor or good, it is on a conveyor already, too long for the way ahead or too wide,
                or ``at`` is beyond the conveyor.
        """
        b = self._number(conveyor)
        if not 0 <= good < len(self._good):
            raise InputError(f"there is no good {good}", mend=f"goods are 0 to {len(self._good) - 1}")
        if self._link[good, motion.K_BELT] >= 0:
            on = self.network.conveyors[self._link[good, motion.K_BELT]].id
            raise InputError(f"good {good} is on conveyor '{on}' already", mend="take it off first")
        length, width = (float(v) for v in self._good[good, [motion.G_LENGTH, motion.G_WIDTH]])
        half = abs(math.cos(yaw)) * length + abs(math.sin(yaw)) * width
        if 2.0 * max(length, width) > self.network.longest[b] + 1e-9:
            raise InputError(
                f"good {good} is {2.0 * max(length, width):.2f} m long and a conveyor ahead of it only "
                f"{self.network.longest[b]:.2f} m",
                where=f"conveyor '{conveyor}'",
                mend="lengthen the conveyor, or carry smaller goods",
            )
        between = belt_width(self.network.conveyors[b])
        if 2.0 * min(length, width) > between + 1e-9:
            raise InputError(
                f"good {good} is {2.0 * min(length, width):.2f} m wide and conveyor '{conveyor}' has {between:.2f} m "
                "between the rails",
                mend="widen the conveyor, or carry smaller goods",
            )
        place = half if at is None else at
        if not 0.0 <= place <= self._belt[b, motion.B_LENGTH]:
            raise InputError(f"conveyor '{conveyor}' has no place at {place} m", where="at")
        if self._entering(b, place, half) or self._zone_taken(b, place):
            return False
        if not motion.put_on(self._good, self._link, self._count, good, b, place, speed, yaw):
            return False
        self._put_on += 1
        return True

    def waiting(self, conveyor: str) -> int | None:
        """Return the good that has come to the end of a conveyor and waits there, if there is one."""
        b = self._number(conveyor)
        k = int(self._count[b, motion.C_FIRST])
        if k < 0 or self._count[b, motion.C_END] == motion.ONWARD:
            return None
        front = self._good[k, motion.G_S] + self._good[k, motion.G_HALF]
        return k if front >= self._belt[b, motion.B_LENGTH] - 0.005 else None

    def take(self, conveyor: str) -> int | None:
        """Take away the good that waits at the end of a conveyor; None if there is none."""
        good = self.waiting(conveyor)
        if good is not None:
            self.remove(good)
        return good

    def remove(self, good: int) -> None:
        """Take a good off its conveyor, wherever it is, stuck or not.

        Raises:
            InputError: it is on none.
        """
        self._require_on(good)
        motion.take_off(self._link, self._count, good)
        self._taken += 1

    # -- goods that Bullet moves for a while (see ``belt_bodies``) ---------------------------------------------------

    def loosen(self, good: int) -> None:
        """Leave a good to Bullet: it keeps its place in the queue, and is moved by ``follow`` alone."""
        self._require_on(good)
        self._link[good, motion.K_FREE] = 1

    def follow(self, good: int, s: float, speed: float, offset: float, yaw: float) -> None:
        """Say where a good that Bullet moves is on its conveyor.

        Args:
            s: place along it [m]. speed: along it [m/s]. offset: to the left of its centre line [m]. yaw: against it
                [rad].
        """
        self._require_on(good)
        row = self._good[good]
        row[motion.G_S], row[motion.G_V], row[motion.G_OFFSET], row[motion.G_YAW] = s, max(speed, 0.0), offset, yaw
        row[motion.G_HALF] = abs(math.cos(yaw)) * row[motion.G_LENGTH] + abs(math.sin(yaw)) * row[motion.G_WIDTH]
        motion.reorder(self._good, self._link, self._count, good)

    def pass_on(self, good: int) -> bool:
        """Hand a good that Bullet has moved over the end of its conveyor to the next one; returns whether there is one.

        It goes to the outlet chosen for it, or else to ``next``.
        """
        self._require_on(good)
        b = int(self._link[good, motion.K_BELT])
        row = 2 * b + max(int(self._link[good, motion.K_OUTLET]), 0)
        if self.network.outlet_to[row, motion.O_TARGET] < 0:
            return False
        outlet = self.network.outlet
        motion.hand_over(self._good, self._link, self._count, outlet, self.network.outlet_to, good, row)
        return True

    def tighten(self, good: int) -> None:
        """Take a good back from Bullet: it rides on from where it is."""
        self._link[good, motion.K_FREE] = 0

    def lose(self, good: int) -> None:
        """Take note that a good which Bullet moves has fallen off its conveyor."""
        conveyor = self.conveyor_of(good)
        self._require_on(good)
        motion.take_off(self._link, self._count, good)
        self._fell += 1
        self._events.append(ConveyorEvent(self.time, "fell", conveyor or "", good=good))

    def loosened(self) -> list[int]:
        """Return the goods that Bullet moves, in order of their numbers."""
        return np.flatnonzero(self._link[:, motion.K_FREE]).tolist()

    def held(self) -> list[int]:
        """Return the goods that a stop holds or that are stuck, in order of their numbers."""
        return np.flatnonzero((self._link[:, motion.K_HELD] == 1) | (self._link[:, motion.K_STUCK] == 1)).tolist()

    def turns_aside(self, good: int) -> bool:
        """Return whether the outlet of a good turns by so much that only a powered transfer takes it round."""
        b = int(self._link[good, motion.K_BELT])
        row = 2 * b + max(int(self._link[good, motion.K_OUTLET]), 0)
        return bool(abs(self.network.outlet[row, motion.O_ANGLE]) > MERGING_ANGLE)

    def drive_speed(self, b: int) -> float:
        """Return the speed [m/s] of conveyor number b now."""
        return float(self._belt[b, motion.B_SPEED])

    def friction(self, b: int, gravity: float) -> float:
        """Return the coefficient of friction of conveyor number b [-]."""
        return float(self._belt[b, motion.B_GRIP]) / gravity

    # -- what can be seen --------------------------------------------------------------------------------------------

    @property
    def time(self) -> float:
        """Seconds since the start."""
        return self._steps * self.step_time

    @property
    def counts(self) -> ConveyorCounts:
        """Where all goods are that were put on."""
        on = int(self._count[:, motion.C_GOODS].sum())
        return ConveyorCounts(self._put_on, on, self._taken, self._out, self._fell)

    def on_belts(self) -> dict[str, list[int]]:
        """Return the goods on every conveyor, by its id, from the first to the last."""
        return {c.id: self.goods_on(b) for b, c in enumerate(self.network.conveyors)}

    def conveyor_of(self, good: int) -> str | None:
        """Return the id of the conveyor that a good is on, or None."""
        b = int(self._link[good, motion.K_BELT])
        return None if b < 0 else self.network.conveyors[b].id

    def number_of(self, good: int) -> int:
        """Return the number of the conveyor that a good is on, or -1."""
        return int(self._link[good, motion.K_BELT])

    def goods_on(self, b: int) -> list[int]:
        """Return the goods on conveyor number b, from the first to the last."""
        goods, k = [], int(self._count[b, motion.C_FIRST])
        while k >= 0:
            goods.append(k)
            k = int(self._link[k, motion.K_BEHIND])
        return goods

    def passed(self, conveyor: str) -> tuple[int, int]:
        """Return how many goods have come onto a conveyor and how many have gone off it."""
        b = self._number(conveyor)
        return int(self._count[b, motion.C_ON]), int(self._count[b, motion.C_OFF])

    def state(self, good: int) -> tuple[float, float]:
        """Return place [m] of the middle along its conveyor and speed [m/s] of a good.

        Raises:
            InputError: it is on none.
        """
        self._require_on(good)
        return float(self._good[good, motion.G_S]), float(self._good[good, motion.G_V])

    def stuck(self) -> list[int]:
        """Return the goods that are stuck, in order of their numbers."""
        return np.flatnonzero(self._link[:, motion.K_STUCK]).tolist()

    def blocked(self, eye: str) -> bool:
        """Return the output of a photo-eye."""
        if eye not in self.network.eye_id:
            raise InputError(f"there is no photo-eye '{eye}'", mend=f"there are {', '.join(self.network.eye_id)}")
        return bool(self._eye_state[self.network.eye_id.index(eye), motion.E_OUTPUT])

    def events(self) -> list[ConveyorEvent]:
        """Return what has happened since the last call."""
        taken, self._events = self._events, []
        return taken

    def places(self) -> tuple[list[int], FloatArray]:
        """Return the goods on conveyors, in order of their numbers, and x, y [m], yaw [rad], z [m] of each (n, 4).

        z is the height of their undersides.
        """
        planar = np.zeros((len(self._good), 3))
        network = self.network
        places(
            self._good, self._link, self._belt, self._count, network.outlet, network.outlet_to, network.piece, planar
        )
        goods = np.flatnonzero(self._link[:, motion.K_BELT] >= 0)
        height = network.surface[self._link[goods, motion.K_BELT]]
        return goods.tolist(), np.column_stack([planar[goods], height])

    # -- stepping ----------------------------------------------------------------------------------------------------

    def advance(self, steps: int = 1) -> None:
        """Let ``steps`` steps pass. Splitting them over several calls changes nothing, not even a bit."""
        network, left = self.network, steps
        while left > 0:
            done, events = motion.advance(
                self._good,
                self._link,
                self._belt,
                self._count,
                network.outlet,
                network.outlet_to,
                network.merge,
                self._merge_at,
                network.feeder,
                network.eye,
                self._eye_state,
                self._key,
                network.order,
                self._steps,
                left,
                self.step_time,
                self._debounce,
                self._patience,
                self._buffer,
            )
            self._steps += done
            left -= done
            self._read(self._buffer[:events].tolist())

    def _read(self, rows: Sequence[Sequence[float]]) -> None:
        for step, number, which, good in rows:
            kind, time = _KINDS[int(number)], (step + 1.0) * self.step_time
            if number < _OF_EYES:
                on, eye = int(self.network.eye_on[int(which)]), self.network.eye_id[int(which)]
                self._events.append(ConveyorEvent(time, kind, self.network.conveyors[on].id, eye=eye))
                continue
            self._out += kind == "out"
            self._fell += kind == "fell"
            self._events.append(ConveyorEvent(time, kind, self.network.conveyors[int(which)].id, good=int(good)))

    def _zone_taken(self, b: int, place: float) -> bool:
        """Return whether a good is in the accumulation zone of a place [m] on conveyor b, if it has zones."""
        zone = float(self._belt[b, motion.B_ZONE])
        if not zone:
            return False
        low = math.floor(place / zone) * zone
        states = [(self._good[k, motion.G_S], self._good[k, motion.G_HALF]) for k in self.goods_on(b)]
        return any(s - half < low + zone and s + half > low for s, half in states)

    def _entering(self, b: int, place: float, half: float) -> bool:
        """Return whether a good that comes from another conveyor is where one of half length ``half`` [m] shall be."""
        for row in np.flatnonzero(self.network.outlet_to[:, motion.O_TARGET] == b).tolist():
            k = int(self._count[row // 2, motion.C_FIRST])
            if k < 0 or self._link[k, motion.K_OUTLET] != row % 2:
                continue
            outlet, reach = self.network.outlet[row], float(self._good[k, motion.G_HALF])
            s = float(self._good[k, motion.G_S])
            if s + reach <= outlet[motion.O_STOP] + 1e-6:
                continue
            # From the side it takes up the same stretch all along its way.
            entering = outlet[motion.O_ENTRY] + (s - outlet[motion.O_EXTENDED]) * max(outlet[motion.O_COS], 0.0)
            if abs(entering - place) < reach + half + motion.GAP:
                return True
        return False

    def _require_on(self, good: int) -> None:
        if not 0 <= good < len(self._good) or self._link[good, motion.K_BELT] < 0:
            raise InputError(f"good {good} is on no conveyor")

    def _number(self, conveyor: str) -> int:
        number = self.network.index.get(conveyor)
        if number is None:
            raise InputError(
                f"there is no conveyor '{conveyor}'", mend=f"conveyors: {', '.join(self.network.index) or 'none'}"
            )
        return number
