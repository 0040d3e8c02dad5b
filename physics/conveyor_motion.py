"""Goods on conveyors in one dimension, compiled: friction, queues, merges, diverters, zones, photo-eyes and jams.

A good is a point on a centre line with an extent along it. Sliding friction brings it to the speed of what carries it,
v' = mu g towards the conveyor (Coulomb; so at rest it takes v / (mu g)), integrated in closed form within a step, and
it never comes nearer to the good ahead than ``GAP``. Conveyors are gone through from the last to the first, so what is
ahead has moved before what is behind it.

Arrays, one row each; columns are the constants below:

- ``good`` (N, GOOD_COLUMNS) float64 and ``link`` (N, LINK_COLUMNS) int64: goods; those of a conveyor are a list that is
  linked by ``K_AHEAD`` and ``K_BEHIND``.
- ``belt`` (B, BELT_COLUMNS) float64 and ``count`` (B, COUNT_COLUMNS) int64: conveyors.
- ``outlet`` (2 B, OUTLET_COLUMNS) float64 and ``outlet_to`` (2 B, OUTLET_TO_COLUMNS) int64: where they lead.
- ``merge`` (M, MERGE_COLUMNS) float64 and ``merge_at`` (M, MERGE_AT_COLUMNS) int64: places for one good at a time.
- ``eye`` (E,) float64 and ``eye_state`` (E, EYE_COLUMNS) int64: photo-eyes.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ..common.kernels import compiled

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

GAP = 0.001
"""Least distance between goods in a queue [m]."""
EPSILON = 1e-9
CLEARING_TIME = 1.5
"""Goods of higher priority that will be at a merge within this time [s] are waited for."""

# good: s [m] of its middle, speed [m/s], half extents along the conveyor, along its own axes [m]; its yaw against the
# conveyor [rad]; its offset to the left of the centre line [m]; mass [kg]; s at which it is to get stuck [m]
G_S, G_V, G_HALF, G_LENGTH, G_WIDTH, G_YAW, G_OFFSET, G_MASS, G_STUCK_AT = range(9)
GOOD_COLUMNS = 9
# link: conveyor or -1; neighbours in its list; outlet chosen (0, 1) or -1; row of the outlet it came by; whether it is
# stuck; whether Bullet moves it; whether a stop holds it
K_BELT, K_AHEAD, K_BEHIND, K_OUTLET, K_CAME_BY, K_STUCK, K_FREE, K_HELD = range(8)
LINK_COLUMNS = 8
# belt: length [m], speed now [m/s], mu g [m/s2], place at which the next good gets stuck [m], s of a front from which
# an outlet is chosen [m], chance and mass [kg] of the diverter, zone length or 0 [m], chance to get stuck when
# diverted, s that fronts do not pass before their turn to leave [m]
B_LENGTH, B_SPEED, B_GRIP, B_JAM_AT, B_DECIDE, B_SHARE, B_MASS, B_ZONE, B_SKEW, B_TURN = range(10)
BELT_COLUMNS = 10
# count: ends of the list, goods in it; what is at its end; rule of its diverter; goods that came to the diverter, those
# diverted; goods that came on and went off; ranges of its eyes, of its merges with through traffic, of its pieces
(C_FIRST, C_LAST, C_GOODS, C_END, C_RULE, C_CAME, C_DIVERTED, C_ON, C_OFF, C_EYE, C_EYE_END, C_THROUGH, C_THROUGH_END,
 C_PIECE, C_PIECE_END, C_LEFT) = range(16)  # fmt: skip
COUNT_COLUMNS = 16
HOLD, FALL, SINK, ONWARD = 0, 1, 2, 3
"""What happens at the end of a conveyor: goods wait, fall off, leave the hall, or go on to the next."""
ALTERNATE, SHARE, HEAVIER, OVERFLOW = 1, 2, 3, 4
# outlet: s on the target of its entry, s on the source there [m], angle of the turn [rad], its cosine and sine, s on
# the source where fronts wait [m], s on the target from which a good's tail is clear of the source's other outlet [m]
O_ENTRY, O_EXTENDED, O_ANGLE, O_COS, O_SIN, O_STOP, O_CLEAR = range(7)
OUTLET_COLUMNS = 7
O_TARGET, O_MERGE = 0, 1
OUTLET_TO_COLUMNS = 2
# merge: s of the entry and of the stop for through traffic (inf without) [m]
M_ENTRY, M_STOP = 0, 1
MERGE_COLUMNS = 2
# merge_at: conveyor, good that has it or -1, zipper or priority, place of the feeder that had it last, range of feeders
M_BELT, M_HOLDER, M_ZIPPER, M_LAST, M_FEEDER, M_FEEDER_END = range(6)
MERGE_AT_COLUMNS = 6
# eye_state: whether a good covers it now, its output, step since which the two differ or -1, step at which the output
# became blocked, whether that was reported as a jam
E_COVERED, E_OUTPUT, E_SINCE, E_BLOCKED, E_ALARM = range(5)
EYE_COLUMNS = 5
# piece: s of its start, x, y [m], yaw [rad], length [m], curvature [1/m]
PIECE_COLUMNS = 6

EVENT_BLOCKED, EVENT_CLEAR, EVENT_JAM, EVENT_JAM_OVER, EVENT_ARRIVED, EVENT_OUT, EVENT_FELL, EVENT_STUCK = range(8)
EVENT_COLUMNS = 4
"""Step at whose end it happened, kind, eye or conveyor, good or -1."""

NEVER = 1e18
"""A place [m] that nothing comes to."""
_SIDE_COS = math.cos(0.35)
"""Cosine of ``layouts.conveyors.MERGING_ANGLE``."""


def _part(function: Any) -> Any:
    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return njit(nogil=True, error_model="numpy", **options)(function)


def _inlined(function: Any) -> Any:
    # What is called for every good: a call that passes arrays counts references atomically.
    options: dict[str, Any] = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    return njit(nogil=True, error_model="numpy", forceinline=True, **options)(function)


@_part
def chance(key: np.uint64, number: int) -> float:
    """Return a number in [0, 1) that belongs to a key and a count: SplitMix64 (Steele, Lea and Flood, 2014)."""
    z = key + np.uint64(number + 1) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return float(z >> np.uint64(11)) / 9007199254740992.0


@_part
def _turn(good: FloatArray, k: int, yaw: float) -> None:
    """Set the yaw of good k against its conveyor, and with it its extent along it."""
    good[k, G_YAW] = yaw - 2.0 * math.pi * math.floor(0.5 + yaw / (2.0 * math.pi))
    good[k, G_HALF] = abs(math.cos(yaw)) * good[k, G_LENGTH] + abs(math.sin(yaw)) * good[k, G_WIDTH]


@_part
def _link_in(good: FloatArray, link: IntArray, count: IntArray, k: int, b: int) -> None:
    """Put good k into the list of conveyor b by its s."""
    ahead = count[b, C_LAST]
    behind = -1
    while ahead >= 0 and good[ahead, G_S] < good[k, G_S]:
        behind = ahead
        ahead = link[ahead, K_AHEAD]
    link[k, K_BELT], link[k, K_AHEAD], link[k, K_BEHIND] = b, ahead, behind
    link[k, K_OUTLET] = -1
    if ahead >= 0:
        link[ahead, K_BEHIND] = k
    else:
        count[b, C_FIRST] = k
    if behind >= 0:
        link[behind, K_AHEAD] = k
    else:
        count[b, C_LAST] = k
    count[b, C_GOODS] += 1
    count[b, C_ON] += 1


@_part
def _link_out(link: IntArray, count: IntArray, k: int) -> None:
    """Take good k out of the list of its conveyor."""
    b, ahead, behind = link[k, K_BELT], link[k, K_AHEAD], link[k, K_BEHIND]
    if ahead >= 0:
        link[ahead, K_BEHIND] = behind
    else:
        count[b, C_FIRST] = behind
    if behind >= 0:
        link[behind, K_AHEAD] = ahead
    else:
        count[b, C_LAST] = ahead
    link[k, K_BELT] = link[k, K_AHEAD] = link[k, K_BEHIND] = link[k, K_OUTLET] = -1
    link[k, K_STUCK] = 0
    count[b, C_GOODS] -= 1
    count[b, C_OFF] += 1


@compiled
def put_on(good: FloatArray, link: IntArray, count: IntArray, k: int, b: int, s: float, v: float, yaw: float) -> bool:
    """Put good k onto conveyor b at s [m] with speed v [m/s], turned by ``yaw`` [rad]; False if another is there."""
    half = abs(math.cos(yaw)) * good[k, G_LENGTH] + abs(math.sin(yaw)) * good[k, G_WIDTH]
    other = count[b, C_LAST]
    while other >= 0:
        if abs(good[other, G_S] - s) < good[other, G_HALF] + half + GAP - EPSILON:
            return False
        other = link[other, K_AHEAD]
    good[k, G_S], good[k, G_V], good[k, G_OFFSET], good[k, G_STUCK_AT] = s, v, 0.0, NEVER
    link[k, K_CAME_BY], link[k, K_STUCK], link[k, K_FREE], link[k, K_HELD] = -1, 0, 0, 0
    _turn(good, k, yaw)
    _link_in(good, link, count, k, b)
    return True


@compiled
def take_off(link: IntArray, count: IntArray, k: int) -> None:
    """Take good k off its conveyor."""
    _link_out(link, count, k)
    link[k, K_FREE] = 0


@compiled
def reorder(good: FloatArray, link: IntArray, count: IntArray, k: int) -> None:
    """Put good k where it belongs in the list of its conveyor, after its s was changed from outside."""
    b, chosen = link[k, K_BELT], link[k, K_OUTLET]
    ahead, behind = link[k, K_AHEAD], link[k, K_BEHIND]
    if (ahead < 0 or good[ahead, G_S] >= good[k, G_S]) and (behind < 0 or good[behind, G_S] <= good[k, G_S]):
        return
    stuck = link[k, K_STUCK]
    _link_out(link, count, k)
    _link_in(good, link, count, k, b)
    link[k, K_OUTLET], link[k, K_STUCK] = chosen, stuck
    count[b, C_ON] -= 1
    count[b, C_OFF] -= 1


@compiled
def hand_over(good: FloatArray, link: IntArray, count: IntArray, outlet: FloatArray, outlet_to: IntArray, k: int,
              row: int) -> None:  # fmt: skip
    """Put good k, which is on the source of an outlet, onto its target at the same place."""
    beyond = good[k, G_S] - outlet[row, O_EXTENDED]
    offset, cos, sin = good[k, G_OFFSET], outlet[row, O_COS], outlet[row, O_SIN]
    stuck = link[k, K_STUCK]
    count[link[k, K_BELT], C_LEFT] = k
    _link_out(link, count, k)
    # The source's axes seen from the target are turned by minus the angle.
    good[k, G_S] = outlet[row, O_ENTRY] + beyond * cos + offset * sin
    good[k, G_OFFSET] = offset * cos - beyond * sin
    good[k, G_V] = max(0.0, good[k, G_V] * cos)
    _turn(good, k, good[k, G_YAW] - outlet[row, O_ANGLE])
    _link_in(good, link, count, k, outlet_to[row, O_TARGET])
    link[k, K_CAME_BY], link[k, K_STUCK] = row, stuck


@_part
def _downstream(good: FloatArray, link: IntArray, count: IntArray, b: int, s: float) -> int:
    """Return the good of conveyor b that is the first at or beyond s [m], or -1."""
    k = count[b, C_LAST]
    while k >= 0 and good[k, G_S] < s - EPSILON:
        k = link[k, K_AHEAD]
    return k


@_part
def _half_after(good: FloatArray, k: int, angle: float) -> float:
    """Return the half extent [m] of good k along a conveyor that turns by ``angle`` [rad] from its own."""
    yaw = good[k, G_YAW] - angle
    return abs(math.cos(yaw)) * good[k, G_LENGTH] + abs(math.sin(yaw)) * good[k, G_WIDTH]


@_part
def _room(good: FloatArray, link: IntArray, belt: FloatArray, count: IntArray, outlet: FloatArray,
          outlet_to: IntArray, row: int, k: int) -> bool:  # fmt: skip
    """Return whether the target of an outlet has room for good k where it would enter."""
    target, entry = outlet_to[row, O_TARGET], outlet[row, O_ENTRY]
    half = _half_after(good, k, outlet[row, O_ANGLE])
    other = _downstream(good, link, count, target, entry)
    side = outlet[row, O_COS] < _SIDE_COS
    if side and other >= 0 and good[other, G_S] - good[other, G_HALF] < entry + half + GAP:
        return False
    zone = belt[target, B_ZONE]
    if zone > 0.0:
        number = math.floor(max(entry, 0.0) / zone)
        other = count[target, C_LAST]
        while other >= 0:
            if good[other, G_S] - good[other, G_HALF] >= (number + 1) * zone:
                break
            if good[other, G_S] + good[other, G_HALF] > number * zone:
                return False
            other = link[other, K_AHEAD]
    return True


@_part
def _choose(good: FloatArray, link: IntArray, belt: FloatArray, count: IntArray, outlet: FloatArray,
            outlet_to: IntArray, key: NDArray[np.uint64], b: int, k: int) -> None:  # fmt: skip
    """Choose the outlet of good k, the first on conveyor b."""
    rule, number = count[b, C_RULE], count[b, C_CAME]
    count[b, C_CAME] += 1
    diverted = False
    if rule == ALTERNATE:
        diverted = number % 2 == 1
    elif rule == SHARE:
        diverted = chance(key[b], 2 * number) < belt[b, B_SHARE]
    elif rule == HEAVIER:
        diverted = good[k, G_MASS] > belt[b, B_MASS]
    elif rule == OVERFLOW:
        diverted = not _room(good, link, belt, count, outlet, outlet_to, 2 * b, k)
    link[k, K_OUTLET] = 1 if diverted else 0
    if diverted:
        count[b, C_DIVERTED] += 1
        if chance(key[b], 2 * number + 1) < belt[b, B_SKEW]:
            good[k, G_STUCK_AT] = belt[b, B_LENGTH] - 0.5 * good[k, G_HALF]


@_part
def _waiting_at(good: FloatArray, link: IntArray, count: IntArray, outlet: FloatArray, merge: FloatArray, m: int,
                target: int, row: int, early: float) -> int:  # fmt: skip
    """Return the good of a feeder that stands at its stop before merge m or comes to it within ``early`` s, or -1."""
    if row < 0:
        b, stop = target, merge[m, M_STOP]
        k = count[b, C_LAST]
        first = -1
        while k >= 0 and good[k, G_S] + good[k, G_HALF] <= stop + EPSILON:
            first = k
            k = link[k, K_AHEAD]
        k = first
    else:
        b, stop = row // 2, outlet[row, O_STOP]
        k = count[b, C_FIRST]
        if k >= 0 and (link[k, K_OUTLET] < 0 or 2 * b + link[k, K_OUTLET] != row):
            k = -1
    if k < 0 or link[k, K_STUCK]:
        return -1
    if good[k, G_S] + good[k, G_HALF] < stop - good[k, G_V] * early - 0.01:
        return -1
    return k


@_part
def _arbitrate(good: FloatArray, link: IntArray, belt: FloatArray, count: IntArray, outlet: FloatArray,
               outlet_to: IntArray, merge: FloatArray, merge_at: IntArray, feeder: IntArray,
               dt: float) -> None:  # fmt: skip
    """Let go of merges that their goods have left, and give them to those whose turn it is."""
    for m in range(len(merge_at)):
        target, holder = merge_at[m, M_BELT], merge_at[m, M_HOLDER]
        first, end = merge_at[m, M_FEEDER], merge_at[m, M_FEEDER_END]
        if holder >= 0:
            on, keep = link[holder, K_BELT], False
            if on == target:
                keep = good[holder, G_S] - good[holder, G_HALF] < merge[m, M_ENTRY]
            elif on >= 0:
                for f in range(first, end):
                    keep = keep or (feeder[f] >= 0 and feeder[f] // 2 == on)
            if keep:
                continue
            merge_at[m, M_HOLDER] = -1
        # In turns: early enough that a good with the way free does not brake. By priority: others keep out of its way.
        zipper = merge_at[m, M_ZIPPER]
        begin, early = (merge_at[m, M_LAST] + 1, 2.0 * dt) if zipper else (0, CLEARING_TIME)
        for turn in range(end - first):
            f = first + (begin + turn) % (end - first)
            k = _waiting_at(good, link, count, outlet, merge, m, target, feeder[f], early)
            if k >= 0:
                # Whose turn it is waits for room, and lets nobody by: the others might never leave it any.
                if feeder[f] < 0 or _room(good, link, belt, count, outlet, outlet_to, feeder[f], k):
                    merge_at[m, M_HOLDER], merge_at[m, M_LAST] = k, f - first
                break


@_part
def _limit_at_end(good: FloatArray, link: IntArray, belt: FloatArray, count: IntArray, outlet: FloatArray,
                  outlet_to: IntArray, merge_at: IntArray, b: int, k: int) -> float:  # fmt: skip
    """Return how far [m] the first good k of conveyor b may go."""
    half = good[k, G_HALF]
    end = count[b, C_END]
    if end == HOLD:
        return belt[b, B_LENGTH] - half
    if end != ONWARD:
        return NEVER
    row = 2 * b + max(link[k, K_OUTLET], 0)
    m, limit = outlet_to[row, O_MERGE], NEVER
    before, other_row = count[b, C_LEFT], 4 * b + 1 - row
    if (
        before >= 0
        and link[before, K_CAME_BY] == other_row
        and link[before, K_BELT] == outlet_to[other_row, O_TARGET]
        and good[before, G_S] - good[before, G_HALF] < outlet[other_row, O_CLEAR]
    ):
        # What left by the other outlet is not out of the way yet.
        limit = belt[b, B_TURN] - half
    if m >= 0:
        if merge_at[m, M_HOLDER] != k:
            return min(limit, outlet[row, O_STOP] - half)
    elif good[k, G_S] + half <= belt[b, B_LENGTH] + EPSILON and not _room(
        good, link, belt, count, outlet, outlet_to, row, k
    ):
        limit = min(limit, belt[b, B_LENGTH] - half)
    if outlet[row, O_COS] >= _SIDE_COS:
        other = _downstream(good, link, count, outlet_to[row, O_TARGET], outlet[row, O_ENTRY])
        if other >= 0:
            half = max(half, _half_after(good, k, outlet[row, O_ANGLE]))
            room = good[other, G_S] - good[other, G_HALF] - GAP - half - outlet[row, O_ENTRY]
            limit = min(limit, outlet[row, O_EXTENDED] + room)
    return limit


@_inlined
def _cover(count: IntArray, eye: FloatArray, eye_state: IntArray, b: int, s: float, half: float) -> None:
    """Note that the span s - half to s + half [m] of conveyor b covers photo-eyes."""
    for e in range(count[b, C_EYE], count[b, C_EYE_END]):
        if abs(eye[e] - s) <= half:
            eye_state[e, E_COVERED] = 1


@_inlined
def _see(count: IntArray, outlet: FloatArray, eye: FloatArray, eye_state: IntArray, b: int, s: float, half: float,
         came: int) -> None:  # fmt: skip
    """Cover photo-eyes of conveyor b, and of the one before it (outlet ``came``, or -1), on which a tail still lies."""
    _cover(count, eye, eye_state, b, s, half)
    if came >= 0 and s - half < outlet[came, O_ENTRY] and outlet[came, O_COS] >= _SIDE_COS:
        _cover(count, eye, eye_state, came // 2, s - outlet[came, O_ENTRY] + outlet[came, O_EXTENDED], half)


@_part
def _note(event: FloatArray, number: int, step: int, kind: int, which: int, k: int) -> int:
    event[number, 0], event[number, 1], event[number, 2], event[number, 3] = step, kind, which, k
    return number + 1


@_part
def _straddling(good: FloatArray, link: IntArray, belt: FloatArray, count: IntArray, outlet: FloatArray,
                outlet_to: IntArray, b: int, k: int) -> tuple[float, float, float]:  # fmt: skip
    """Return which share of good k lies on a neighbour in line with its conveyor b, and that one's speed and grip.

    [1, m/s, m/s2]; the share is 0 for all but goods on a joint.
    """
    s, half, came = good[k, G_S], good[k, G_HALF], link[k, K_CAME_BY]
    if came >= 0 and s - half < outlet[came, O_ENTRY] and outlet[came, O_COS] >= _SIDE_COS:
        share = (half - s + outlet[came, O_ENTRY]) / (2.0 * half)
        return share, belt[came // 2, B_SPEED], belt[came // 2, B_GRIP]
    if count[b, C_END] == ONWARD and s + half > belt[b, B_LENGTH] and link[k, K_OUTLET] >= 0:
        row = 2 * b + link[k, K_OUTLET]
        if outlet[row, O_COS] >= _SIDE_COS:
            target = outlet_to[row, O_TARGET]
            return (s + half - belt[b, B_LENGTH]) / (2.0 * half), belt[target, B_SPEED], belt[target, B_GRIP]
    return 0.0, 0.0, 0.0


@_part
def _between(v: float, one: float, pull: float, other: float, other_pull: float, dt: float) -> float:
    """Return the speed [m/s] after dt of what lies on two conveyors: their speeds, and mu g of each by its share."""
    if one > other:
        one, pull, other, other_pull = other, other_pull, one, pull
    if v < one:
        return min(one, v + (pull + other_pull) * dt)
    if v > other:
        return max(other, v - (pull + other_pull) * dt)
    return min(other, max(one, v + (other_pull - pull) * dt))


@_inlined
def _stop_and_drive(good: FloatArray, link: IntArray, belt: FloatArray, count: IntArray, outlet: FloatArray,
                    outlet_to: IntArray, merge: FloatArray, merge_at: IntArray, key: NDArray[np.uint64], b: int,
                    k: int, ahead: int, stopping: float) -> tuple[float, float]:  # fmt: skip
    """Return how far [m] stops let good k of conveyor b go, and at what speed [m/s] it is driven.

    ``ahead`` is the good before it or -1; ``stopping`` [m] is the way that goods need to stop.
    """
    s, half, zone = good[k, G_S], good[k, G_HALF], belt[b, B_ZONE]
    drive, stop = belt[b, B_SPEED], belt[b, B_TURN] - half
    if ahead < 0:
        # Whether a good overflows is seen when it arrives, all else when it becomes the first.
        late = count[b, C_RULE] == OVERFLOW and s + half < belt[b, B_DECIDE]
        if link[k, K_OUTLET] < 0 and count[b, C_END] == ONWARD and not late:
            _choose(good, link, belt, count, outlet, outlet_to, key, b, k)
        stop = _limit_at_end(good, link, belt, count, outlet, outlet_to, merge_at, b, k)
    for m in range(count[b, C_THROUGH], count[b, C_THROUGH_END]):
        if merge_at[m, M_HOLDER] != k and s + half <= merge[m, M_STOP] + EPSILON:
            stop = min(stop, merge[m, M_STOP] - half)
    if zone > 0.0 and ahead >= 0:
        ends = (math.floor((s + half - EPSILON) / zone) + 1.0) * zone
        if s + half >= ends - stopping - 0.02 and good[ahead, G_S] - good[ahead, G_HALF] < ends + zone:
            drive = 0.0
            stop = min(stop, ends - half)
    return stop, drive


@_inlined
def _leave(good: FloatArray, link: IntArray, belt: FloatArray, count: IntArray, outlet: FloatArray,
           outlet_to: IntArray, eye: FloatArray, eye_state: IntArray, b: int, k: int) -> int:  # fmt: skip
    """Let the first good k of conveyor b go over its end, if it has come there.

    Returns:
        -1 if it stays, ONWARD if it is on the next conveyor now, SINK or FALL if it is on none.
    """
    s, half, end, length = good[k, G_S], good[k, G_HALF], count[b, C_END], belt[b, B_LENGTH]
    if end == ONWARD and link[k, K_OUTLET] >= 0:
        row = 2 * b + link[k, K_OUTLET]
        if s >= outlet[row, O_EXTENDED]:
            hand_over(good, link, count, outlet, outlet_to, k, row)
            return ONWARD
        if s + half > length and outlet[row, O_COS] >= _SIDE_COS:
            on = s - outlet[row, O_EXTENDED] + outlet[row, O_ENTRY]
            _cover(count, eye, eye_state, outlet_to[row, O_TARGET], on, half)
    elif end in (SINK, FALL) and s >= length and link[k, K_FREE] == 0:
        _link_out(link, count, k)
        return int(end)
    return -1


@_inlined
def _pulled(v: float, drive: float, grip: float, dt: float) -> tuple[float, float]:
    """Return the way [m] and the speed [m/s] after dt of what slides at v on what moves at ``drive`` [m/s]."""
    slip = drive - v
    pull = math.copysign(grip, slip)
    time = min(dt, abs(slip) / grip)
    faster = drive if time < dt else v + pull * dt
    return v * time + 0.5 * pull * time * time + drive * (dt - time), faster


@_inlined
def _stuck_at(good: FloatArray, belt: FloatArray, b: int, k: int, s: float, moved: float) -> float:
    """Return where good k of conveyor b gets stuck on its way from s to ``moved`` [m], or NEVER.

    What made it stick is used up; a jam that is still to come stays.
    """
    skewed, jam = good[k, G_STUCK_AT], belt[b, B_JAM_AT]
    if s <= jam < min(moved, skewed):
        belt[b, B_JAM_AT] = NEVER
        return float(jam)
    if moved >= skewed:
        good[k, G_STUCK_AT] = NEVER
        return float(max(s, skewed))
    return NEVER


@_part
def _move_belt(good: FloatArray, link: IntArray, belt: FloatArray, count: IntArray, outlet: FloatArray,
               outlet_to: IntArray, merge: FloatArray, merge_at: IntArray, eye: FloatArray, eye_state: IntArray,
               key: NDArray[np.uint64], b: int, dt: float, step: int, event: FloatArray,
               number: int) -> int:  # fmt: skip
    """Move the goods of conveyor b by one step, from the first to the last; returns the number of events now."""
    speed, grip, length = belt[b, B_SPEED], belt[b, B_GRIP], belt[b, B_LENGTH]
    stopping = speed * speed / (2.0 * grip)
    # Only the first good of a plain conveyor can meet a stop.
    plain = count[b, C_THROUGH_END] == count[b, C_THROUGH] and belt[b, B_ZONE] == 0.0
    eyes = count[b, C_EYE_END] > count[b, C_EYE]
    k, ahead = count[b, C_FIRST], -1
    while k >= 0:
        behind = link[k, K_BEHIND]
        s, v, half = good[k, G_S], good[k, G_V], good[k, G_HALF]
        stop, drive = belt[b, B_TURN] - half, speed
        if ahead < 0 or not plain:
            stop, drive = _stop_and_drive(
                good, link, belt, count, outlet, outlet_to, merge, merge_at, key, b, k, ahead, stopping
            )
        tail = good[ahead, G_S] - good[ahead, G_HALF] - GAP - half if ahead >= 0 else NEVER
        limit = min(stop, tail)
        if link[k, K_STUCK] == 0:
            free = link[k, K_FREE] == 1
            moved, faster = s + v * dt, v
            share, other_speed, other_grip = 0.0, 0.0, 0.0
            came = link[k, K_CAME_BY]
            if not free and (s + half > length or (came >= 0 and s - half < outlet[came, O_ENTRY])):
                share, other_speed, other_grip = _straddling(good, link, belt, count, outlet, outlet_to, b, k)
            if share > 0.0:
                faster = _between(v, drive, grip * (1.0 - share), other_speed, other_grip * share, dt)
                moved = s + 0.5 * (v + faster) * dt
            elif not free:
                way, faster = _pulled(v, drive, grip, dt)
                moved = s + way
            link[k, K_HELD] = 1 if moved >= stop - EPSILON else 0
            if moved > limit:
                moved = max(limit, s)
                faster = min(faster, (moved - s) / dt)
            stuck = _stuck_at(good, belt, b, k, s, moved)
            if stuck < NEVER:
                moved, faster = stuck, 0.0
                link[k, K_STUCK] = 1
                number = _note(event, number, step, EVENT_STUCK, b, k)
            here = length - half - 2.0 * EPSILON
            if ahead < 0 and count[b, C_END] == HOLD and s < here <= moved:
                number = _note(event, number, step, EVENT_ARRIVED, b, k)
            good[k, G_S], good[k, G_V] = moved, faster
            s = moved
        came = link[k, K_CAME_BY]
        if eyes or (came >= 0 and s - half < outlet[came, O_ENTRY]):
            _see(count, outlet, eye, eye_state, b, s, half, came)
        gone = _leave(good, link, belt, count, outlet, outlet_to, eye, eye_state, b, k) if ahead < 0 else -1
        if gone in (SINK, FALL):
            number = _note(event, number, step, EVENT_OUT if gone == SINK else EVENT_FELL, b, k)
        ahead = k if gone < 0 else ahead
        k = behind
    return number


@_part
def _watch(eye_state: IntArray, step: int, debounce: int, patience: int, event: FloatArray, number: int) -> int:
    """Let the photo-eyes switch, and report those that stay blocked; returns the number of events now."""
    for e in range(len(eye_state)):
        covered = eye_state[e, E_COVERED]
        if covered == eye_state[e, E_OUTPUT]:
            eye_state[e, E_SINCE] = -1
        elif eye_state[e, E_SINCE] < 0:
            eye_state[e, E_SINCE] = step
        if eye_state[e, E_SINCE] >= 0 and step - eye_state[e, E_SINCE] >= debounce:
            eye_state[e, E_OUTPUT], eye_state[e, E_SINCE] = covered, -1
            number = _note(event, number, step, EVENT_BLOCKED if covered else EVENT_CLEAR, e, -1)
            eye_state[e, E_BLOCKED] = step
            if not covered and eye_state[e, E_ALARM]:
                eye_state[e, E_ALARM] = 0
                number = _note(event, number, step, EVENT_JAM_OVER, e, -1)
        if eye_state[e, E_OUTPUT] and not eye_state[e, E_ALARM] and step - eye_state[e, E_BLOCKED] >= patience:
            eye_state[e, E_ALARM] = 1
            number = _note(event, number, step, EVENT_JAM, e, -1)
    return number


@compiled
def advance(good: FloatArray, link: IntArray, belt: FloatArray, count: IntArray, outlet: FloatArray,
            outlet_to: IntArray, merge: FloatArray, merge_at: IntArray, feeder: IntArray, eye: FloatArray,
            eye_state: IntArray, key: NDArray[np.uint64], order: IntArray, step: int, steps: int, dt: float,
            debounce: int, patience: int, event: FloatArray) -> tuple[int, int]:  # fmt: skip
    """Move all goods on all conveyors.

    Args:
        good, link, belt, count, outlet, outlet_to, merge, merge_at, feeder, eye, eye_state: see the module.
        key: (B,) uint64 keys of the conveyors' random numbers. order: (B,) every conveyor after all that it feeds.
        step: number of the first step; steps: how many; dt: [s] of one.
        debounce: steps after which a photo-eye switches; patience: steps blocked until it reports a jam.
        event: (V, EVENT_COLUMNS) float64, written from the start; V at least 2 N + 3 E + 1.

    Returns:
        The steps made, fewer than asked for where ``event`` might have been too short, and the number of events.
    """
    number = 0
    most = 2 * len(good) + 3 * len(eye) + 1
    for done in range(steps):
        if number + most > len(event):
            return done, number
        _arbitrate(good, link, belt, count, outlet, outlet_to, merge, merge_at, feeder, dt)
        for e in range(len(eye)):
            eye_state[e, E_COVERED] = 0
        for place in range(len(order)):
            number = _move_belt(
                good, link, belt, count, outlet, outlet_to, merge, merge_at, eye, eye_state, key, order[place], dt,
                step + done, event, number,
            )  # fmt: skip
        if len(eye):
            number = _watch(eye_state, step + done, debounce, patience, event, number)
    return steps, number
