"""The compiled loop over a fleet: delay lines, drives, encoders, motors, and for how long nothing can touch."""

from __future__ import annotations

from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..common.kernels import content_stamp, imported_files, kept
from ..physics import proximity
from . import drive, fleet_spread, motor, odometry
from .drive import GRAVITY, advance_one
from .drive_table import (
    P_BASE,
    P_KIND,
    P_MAX_LATERAL,
    P_MAX_SPEED,
    P_MAX_YAW_RATE,
    P_RADIUS,
    P_SLOPE_X,
    P_SLOPE_Y,
    S_FORCE_LEFT,
    S_FORCE_RIGHT,
    S_LATERAL,
    S_V,
    S_WHEEL_LEFT,
    S_WHEEL_RIGHT,
    S_X,
    S_Y,
    TRICYCLE,
    FloatArray,
)
from .fleet_spread import follow_one, is_spread
from .motor import note_load
from .odometry import count_ticks

_FARTHEST = 1.0
"""How far around a robot a proof that nothing can touch looks, beyond the margin [m]: see ``proximity.static_gap``."""

_STAMP = content_stamp(
    sorted(
        {Path(__file__)}.union(
            *(imported_files(str(m.__file__)) for m in (drive, fleet_spread, motor, odometry, proximity))
        )
    )
)


def _jit(function: Any) -> Any:
    # These kernels call functions of the modules named in the stamp, and of no other.
    return kept(njit(cache=True, nogil=True, error_model="numpy")(function), _STAMP)


@_jit
def advance_all(
    true: FloatArray,
    nominal: FloatArray,
    state: FloatArray,
    command: FloatArray,
    line: FloatArray,
    delay_whole: NDArray[np.int64],
    delay_rest: FloatArray,
    step: int,
    ticks: NDArray[np.int64],
    reckoned: FloatArray,
    motors: FloatArray,
    load: FloatArray,
    table: FloatArray,
    cells: FloatArray,
    follow: FloatArray,
    random: NDArray[np.uint64],
    dt: float,
) -> None:
    """Advance all robots by one step: delay lines, drives, encoders, motors if ``load`` has rows; ``step`` from 0.

    Robots with a row in ``table`` do what ``fleet_spread`` makes of their commands.
    """
    watched, spread = len(load) > 0, len(table) > 0
    size = line.shape[1]
    now = step % size
    for i in range(len(true)):
        line[i, now, 0], line[i, now, 1], line[i, now, 2] = command[i, 0], command[i, 1], command[i, 2]
        newer = (step - delay_whole[i] + 2 * size) % size
        older = (newer + size - 1) % size
        left, right = state[i, S_WHEEL_LEFT], state[i, S_WHEEL_RIGHT]
        old_v, old_omega, old_lateral = line[i, older, 0], line[i, older, 1], line[i, older, 2]
        new_v, new_omega, new_lateral = line[i, newer, 0], line[i, newer, 1], line[i, newer, 2]
        rest = delay_rest[i]
        if spread and is_spread(table, i):
            old_v, old_omega, new_v, new_omega, rest = follow_one(
                table, cells, follow, random, i, old_v, old_omega, new_v, new_omega, rest, step, dt
            )
        advance_one(true, state, i, old_v, old_omega, old_lateral, new_v, new_omega, new_lateral, rest, dt)
        if watched:
            radius = true[i, P_RADIUS]
            left, right = 0.5 * (left + state[i, S_WHEEL_LEFT]), 0.5 * (right + state[i, S_WHEEL_RIGHT])
            note_load(motors[i, 0], load[i, 0], state[i, S_FORCE_LEFT], left, radius, dt)
            note_load(motors[i, 1], load[i, 1], state[i, S_FORCE_RIGHT], right, radius, dt)
        count_ticks(true, nominal, state, i, step + 1, ticks, reckoned)


@_jit
def free_run(
    true: FloatArray,
    nominal: FloatArray,
    state: FloatArray,
    command: FloatArray,
    line: FloatArray,
    delay_whole: NDArray[np.int64],
    delay_rest: FloatArray,
    step: int,
    ticks: NDArray[np.int64],
    reckoned: FloatArray,
    motors: FloatArray,
    load: FloatArray,
    table: FloatArray,
    cells: FloatArray,
    follow: FloatArray,
    random: NDArray[np.uint64],
    dt: float,
    steps: int,
    radius: FloatArray,
    static: FloatArray,
    neighbours: NDArray[np.int32],
    anchors: FloatArray,
    people: FloatArray,
    people_age: int,
    person_radius: float,
    goods: FloatArray,
    margin: float,
) -> int:
    """Advance all robots until one comes near something; return how many steps were made.

    Whether a step is free is decided by the poses before it alone: steps that skip the test are proven free by the
    distances and speeds, so that the outcome does not depend on how the steps are cut into calls.
    """
    count = len(true)
    speed = np.empty(count)
    x, y = np.empty(count), np.empty(count)
    walkers = people.copy()
    done = 0
    while done < steps:
        for i in range(count):
            x[i], y[i] = state[i, S_X], state[i, S_Y]
            fastest = abs(state[i, S_V]) + abs(state[i, S_LATERAL])
            speed[i] = max(fastest, true[i, P_MAX_SPEED] + true[i, P_MAX_LATERAL]) + 0.05
            if true[i, P_KIND] == TRICYCLE:
                # The front wheel may still have the speed of a curve when it already points straight ahead.
                speed[i] = max(speed[i], true[i, P_MAX_SPEED] + true[i, P_MAX_YAW_RATE] * true[i, P_BASE])
            if true[i, P_SLOPE_X] != 0.0 or true[i, P_SLOPE_Y] != 0.0:
                # A sliding robot gains g times the slope over the farthest way that one proof covers.
                pull = GRAVITY * sqrt(true[i, P_SLOPE_X] ** 2 + true[i, P_SLOPE_Y] ** 2)
                speed[i] = sqrt(speed[i] ** 2 + 2.0 * pull * (_FARTHEST + margin))
        for k in range(len(people)):
            walkers[k, 0] = people[k, 0] + people[k, 2] * ((people_age + done) * dt)
            walkers[k, 1] = people[k, 1] + people[k, 3] * ((people_age + done) * dt)
        time = proximity.free_time(
            x, y, speed, radius, static, neighbours, anchors, walkers, person_radius, goods, margin
        )
        if time <= 0.0:
            return done
        for _ in range(proximity.whole_steps(time, dt, steps - done)):
            advance_all(
                true,
                nominal,
                state,
                command,
                line,
                delay_whole,
                delay_rest,
                step + done,
                ticks,
                reckoned,
                motors,
                load,
                table,
                cells,
                follow,
                random,
                dt,
            )
            done += 1
    return done
