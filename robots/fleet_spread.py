"""How single robots of a fleet follow commands where a twin knows more than gains: the spread of motion, step by step.

What ``motion_spread`` samples for windows of a log acts here on robots while they drive, by the same kernels. Each
physics step of a robot that has a ``RobotMotion``:

1. The command, delayed by the drive's delay line, is taken over when the robot's own clock ticks: every ``hold``, from
   a phase drawn at the start. A tick within a step splits that step.
2. The command taken over becomes what such a command does on average (the table of cells; gains alone where the log
   holds nothing like it).
3. Gains that wander, what differs from robot to robot, scatter of cells and stalls change that every ``PATH_STEP``.
4. The drive follows: ramps, lag, torque and friction of the traction model as for any other robot.

Left out is what belongs to the log and not to the robot: the rocking and the noise of the tracked mark, its crab (a
differential drive cannot travel across its wheels, a mark mounted askew seems to), and the edges by which a log tells
where the clock stood: a policy does not know the clock of the robot that it commands.

Random numbers are of each robot's own, so that neither the other robots nor Bullet have a part in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import FloatArray
from ..common.kernels import compiled
from .motion_spread import (
    PATH_STEP,
    VALUE_NAMES,
    MotionSpread,
    as_driven,
    first_wander,
    hold_factor,
    memory_of,
    moving_share,
    next_wander,
    respond_one,
    uniform,
)

_VALUES = len(VALUE_NAMES)
_HOLD = VALUE_NAMES.index("hold")
_RESPONSE = _VALUES
_FIRST, _COUNT, _FACTOR, _OWN, _ACTIVE, _COLUMNS = (_RESPONSE + k for k in (7, 8, 9, 10, 13, 14))
"""Columns of a robot's parameters: ``MotionSpread.values``, ``response_values``, rows of its cells, what it draws."""

_TICK, _TAKEN_V, _TAKEN_W, _MEAN_V, _MEAN_W, _ODD_V, _ODD_W, _MOVING, _STALLED, _WANDER = range(10)
_DONE_V, _DONE_W, _KNOWN, _TOLD, _OUTSIDE, _STATES = range(15, 21)
"""Columns of a robot's state: next tick in steps; the command taken over; what it does on average and its scatter; the
share of now in which it moves, and how long it stalls after it [s]; what wanders (5); what it is to do; the weight of
its cell; for how long it was told to move, and how much of that lies outside the log [s]."""

Split = tuple[float, float, float, float, float]


@dataclass(frozen=True)
class RobotMotion:
    """How one robot of an episode departs from what its drive's gains say.

    Attributes:
        spread: of its kind; see ``motion_spread.MotionSpread``.
        turn, travel, veer: what this robot differs by for good [-, -, rad/m].
        tail: factor on all that differs or wanders [-].
        key: of its random numbers.
    """

    spread: MotionSpread
    turn: float
    travel: float
    veer: float
    tail: float
    key: int


class FleetMotion:
    """Tables of a fleet's motions, as ``follow_one`` takes them.

    Args:
        motions: by robot, None for one that follows its gains; empty: for all.

    Attributes:
        table: (R, P) parameters; (0, P) where no robot has a motion. cells: (C, 6). state: (R, S). random: (R,) uint64.
    """

    def __init__(self, motions: Sequence[RobotMotion | None]) -> None:
        given = [item for item in motions if item is not None]
        count = len(motions) if given else 0
        self.table = np.zeros((count, _COLUMNS))
        self.state = np.zeros((count, _STATES))
        self.random = np.zeros(count, dtype=np.uint64)
        self._keys = np.array([0 if item is None else item.key for item in motions][:count], dtype=np.uint64)
        tables: list[FloatArray] = [np.zeros((0, 6))]
        for row, item in zip(self.table, motions, strict=False):
            if item is None:
                continue
            cells = item.spread.cell_table()
            row[:_VALUES], row[_RESPONSE:_FIRST] = item.spread.values(), item.spread.response_values()
            row[_FIRST], row[_COUNT], row[_FACTOR] = sum(map(len, tables)), len(cells), item.tail
            row[_OWN:_ACTIVE] = item.turn, item.travel, item.veer
            row[_ACTIVE] = 1.0
            tables.append(cells)
        self.cells = np.concatenate(tables)

    def reset(self, velocity: FloatArray, dt: float) -> None:
        """Begin anew with robots that roll at v [m/s], omega [rad/s] (R, 2), with a physics step of ``dt`` [s]."""
        self.random[:] = self._keys
        self.state[:] = 0.0
        begin_all(self.table, self.state, self.random, np.ascontiguousarray(velocity[: len(self.table)]), dt)

    @property
    def used(self) -> NDArray[np.bool_]:
        """(R,) whether a robot has a motion; empty where none has."""
        result: NDArray[np.bool_] = self.table[:, _ACTIVE] > 0.0
        return result

    @property
    def told(self) -> FloatArray:
        """(R, 2) for how long robots were told to move, and how much of that is outside the log [s].

        A command counts as outside by what is missing of its cell's weight (``motion_spread.respond_to``).
        """
        return self.state[:, _TOLD : _OUTSIDE + 1].copy()


@compiled
def begin_all(
    table: FloatArray, state: FloatArray, random: NDArray[np.uint64], velocity: FloatArray, dt: float
) -> None:
    """Draw where clocks and processes of robots stand at the start."""
    for i in range(len(table)):
        if not is_spread(table, i):
            continue
        own = random[i : i + 1]
        state[i, _TICK] = uniform(own) * table[i, _HOLD] / dt
        wander = first_wander(own)
        for k in range(5):
            state[i, _WANDER + k] = wander[k]
        state[i, _TAKEN_V] = state[i, _MEAN_V] = velocity[i, 0]
        state[i, _TAKEN_W] = state[i, _MEAN_W] = velocity[i, 1]


@compiled
def is_spread(table: FloatArray, i: int) -> bool:
    """Tell whether robot i of ``FleetMotion.table`` has a motion."""
    return table[i, _ACTIVE] != 0.0


@compiled
def follow_one(
    table: FloatArray,
    cells: FloatArray,
    state: FloatArray,
    random: NDArray[np.uint64],
    i: int,
    older_v: float,
    older_w: float,
    newer_v: float,
    newer_w: float,
    rest: float,
    step: int,
    dt: float,
) -> Split:
    """Return what robot i is to do in a step: v, omega [m/s, rad/s] at first, v, omega then, share of the first.

    Args:
        table, cells, state, random: of ``FleetMotion``; the last two go on.
        older_v, older_w, newer_v, newer_w: the delayed commands of this step; the older one holds in its first share
            ``rest``.
        step: number of the step since the reset. dt: [s].
    """
    row = table[i]
    every = max(round(PATH_STEP / dt), 1)
    if step % every == 0:
        _wander_on(row, state, random[i : i + 1], i, step > 0)
        _set_done(row, state, i)
    before_v, before_w = state[i, _DONE_V], state[i, _DONE_W]
    share = 0.0
    if row[_HOLD] < dt:
        share = rest
        _take(row, cells, state, i, newer_v, newer_w)
    else:
        while state[i, _TICK] < step + 1.0:
            share = state[i, _TICK] - step
            if share < rest:
                _take(row, cells, state, i, older_v, older_w)
            else:
                _take(row, cells, state, i, newer_v, newer_w)
            state[i, _TICK] += row[_HOLD] * hold_factor(row, random[i : i + 1]) / dt
    if state[i, _TAKEN_V] != 0.0 or state[i, _TAKEN_W] != 0.0:
        state[i, _TOLD] += dt
        state[i, _OUTSIDE] += (1.0 - state[i, _KNOWN]) * dt
    return before_v, before_w, state[i, _DONE_V], state[i, _DONE_W], share


@compiled
def _wander_on(row: FloatArray, state: FloatArray, own: NDArray[np.uint64], i: int, begun: bool) -> None:
    """Let what wanders pass ``PATH_STEP``, unless the episode begins, and draw the stalls of the next one."""
    if begun:
        wander = (
            state[i, _WANDER],
            state[i, _WANDER + 1],
            state[i, _WANDER + 2],
            state[i, _WANDER + 3],
            state[i, _WANDER + 4],
        )
        wander = next_wander(wander, memory_of(row), own)
        for k in range(5):
            state[i, _WANDER + k] = wander[k]
    state[i, _MOVING], state[i, _STALLED] = moving_share(row, state[i, _STALLED], own)


@compiled
def _take(row: FloatArray, cells: FloatArray, state: FloatArray, i: int, v: float, omega: float) -> None:
    """Take a command over."""
    if v != state[i, _TAKEN_V] or omega != state[i, _TAKEN_W]:
        state[i, _TAKEN_V], state[i, _TAKEN_W] = v, omega
        mean_v, mean_w, odd_v, odd_w, known = respond_one(
            v, omega, cells, int(row[_FIRST]), int(row[_COUNT]), row[_RESPONSE:_FIRST]
        )
        if v == 0.0 and omega == 0.0:
            # That cell of the table tells how short stops come out (some mm/s): a robot that goes on standing stands.
            mean_v = mean_w = 0.0
        state[i, _MEAN_V], state[i, _MEAN_W], state[i, _ODD_V], state[i, _ODD_W] = mean_v, mean_w, odd_v, odd_w
        state[i, _KNOWN] = known
    _set_done(row, state, i)


@compiled
def _set_done(row: FloatArray, state: FloatArray, i: int) -> None:
    """Say what the command taken over comes to now."""
    wander = (
        state[i, _WANDER],
        state[i, _WANDER + 1],
        state[i, _WANDER + 2],
        state[i, _WANDER + 3],
        state[i, _WANDER + 4],
    )
    own = (row[_OWN], row[_OWN + 1], row[_OWN + 2])
    moving = state[i, _MOVING]
    state[i, _DONE_V], state[i, _DONE_W] = as_driven(
        moving * state[i, _MEAN_V],
        moving * state[i, _MEAN_W],
        state[i, _ODD_V],
        state[i, _ODD_W],
        row,
        own,
        row[_FACTOR],
        wander,
    )
