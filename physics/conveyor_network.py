"""The conveyors of a layout as tables that the compiled one-dimensional model reads (see ``conveyor_motion``)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..common.errors import InputError
from ..layouts.conveyors import (
    MERGING_ANGLE,
    SURFACE_DROP,
    Joint,
    Piece,
    conveyor_joints,
    conveyor_pieces,
    line_length,
)
from ..layouts.model import Conveyor, Layout
from . import conveyor_motion as motion

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_RULES = {"alternate": motion.ALTERNATE, "share": motion.SHARE, "heavier": motion.HEAVIER, "overflow": motion.OVERFLOW}
RIDE = 0.002
"""Goods ride this much [m] above the solid bed: in Bullet what moves lies on the bed, which must not brake them."""
_THROUGH = -1
"""Feeder of a merge: what comes along the conveyor itself."""


@dataclass(frozen=True)
class Network:
    """What does not change of B conveyors; columns as named in ``conveyor_motion``.

    Attributes:
        conveyors: as in the layout; index: number by id; pieces: their centre lines.
        surface: (B,) float64 height [m] at which goods ride.
        belt: (B, BELT_COLUMNS) float64; count: (B, COUNT_COLUMNS) int64, as they are at the start.
        outlet: (2 B, OUTLET_COLUMNS) float64, row 2 b for ``next`` of b and 2 b + 1 for its diverter; outlet_to:
            (2 B, OUTLET_TO_COLUMNS) int64.
        merge: (M, MERGE_COLUMNS) float64; merge_at: (M, MERGE_AT_COLUMNS) int64.
        feeder: (F,) int64 outlets that feed merges, in the order of their priority; -1 is through traffic.
        eye: (E,) float64 places [m]; eye_on: (E,) int64 conveyors; eye_id: their names.
        piece: (P, PIECE_COLUMNS) float64, the pieces of all conveyors.
        order: (B,) int64, every conveyor after all that it feeds.
        longest: (B,) float64 [m], length of the shortest conveyor that goods from here may come to: none may be longer.
    """

    conveyors: tuple[Conveyor, ...]
    index: dict[str, int]
    pieces: tuple[tuple[Piece, ...], ...]
    surface: FloatArray
    belt: FloatArray
    count: IntArray
    outlet: FloatArray
    outlet_to: IntArray
    merge: FloatArray
    merge_at: IntArray
    feeder: IntArray
    eye: FloatArray
    eye_on: IntArray
    eye_id: tuple[str, ...]
    piece: FloatArray
    order: IntArray
    longest: FloatArray


def network_of(layout: Layout, *, gravity: float = 9.81) -> Network:
    """Return the tables of a layout's conveyors.

    Args:
        layout: valid in the sense of ``layouts.validation.check_layout``.
        gravity: [m/s^2].

    Raises:
        InputError: goods would go round in a circle.
    """
    conveyors = layout.conveyors
    pieces = tuple(conveyor_pieces(conveyor) for conveyor in conveyors)
    joints = conveyor_joints(layout)
    number = len(conveyors)
    belt = np.zeros((number, motion.BELT_COLUMNS))
    count = np.zeros((number, motion.COUNT_COLUMNS), dtype=np.int64)
    outlet = np.zeros((2 * number, motion.OUTLET_COLUMNS))
    outlet_to = np.full((2 * number, motion.OUTLET_TO_COLUMNS), -1, dtype=np.int64)
    rows: list[tuple[float, ...]] = []
    for b, conveyor in enumerate(conveyors):
        length = line_length(pieces[b])
        belt[b, motion.B_LENGTH] = belt[b, motion.B_DECIDE] = length
        belt[b, motion.B_SPEED] = conveyor.speed
        belt[b, motion.B_GRIP] = conveyor.friction * gravity
        belt[b, motion.B_JAM_AT] = math.inf
        belt[b, motion.B_TURN] = 2.0 * length
        belt[b, motion.B_ZONE] = conveyor.zone_length or 0.0
        if conveyor.divert is not None:
            belt[b, motion.B_SHARE], belt[b, motion.B_MASS] = conveyor.divert.share, conveyor.divert.mass
            count[b, motion.C_RULE] = _RULES[conveyor.divert.rule]
        count[b, [motion.C_FIRST, motion.C_LAST, motion.C_LEFT]] = -1
        count[b, motion.C_END] = motion.FALL if conveyor.at_end == "fall" else motion.HOLD
        count[b, motion.C_PIECE] = len(rows)
        start = 0.0
        for piece in pieces[b]:
            rows.append((start, piece.x, piece.y, piece.yaw, piece.length, piece.curvature))
            start += piece.length
        count[b, motion.C_PIECE_END] = len(rows)
    for joint in joints:
        row = 2 * joint.source + joint.diverted
        extended = belt[joint.source, motion.B_LENGTH] + joint.transfer
        cos, sin = math.cos(joint.angle), math.sin(joint.angle)
        outlet[row] = joint.entry, extended, joint.angle, cos, sin, extended, joint.entry
        outlet_to[row, motion.O_TARGET] = joint.target
        count[joint.source, motion.C_END] = motion.ONWARD
    _part_ways(conveyors, joints, belt, outlet)
    merge, merge_at, feeder = _merges(conveyors, joints, outlet, outlet_to, count)
    for joint in joints:
        b, row = joint.source, 2 * joint.source + joint.diverted
        stopping = belt[b, motion.B_SPEED] ** 2 / (2.0 * belt[b, motion.B_GRIP])
        if outlet_to[row, motion.O_MERGE] >= 0:
            belt[b, motion.B_TURN] = min(belt[b, motion.B_TURN], outlet[row, motion.O_STOP])
        early = min(belt[b, motion.B_LENGTH], belt[b, motion.B_TURN]) - stopping - 0.05
        belt[b, motion.B_DECIDE] = min(belt[b, motion.B_DECIDE], early)
    eyes = [(eye.at, b, eye.id) for b, conveyor in enumerate(conveyors) for eye in conveyor.eyes]
    for b in range(number):
        mine = [e for e, (_, on, _) in enumerate(eyes) if on == b]
        if mine:
            count[b, motion.C_EYE], count[b, motion.C_EYE_END] = mine[0], mine[-1] + 1
    order = _order(joints, number)
    longest = belt[:, motion.B_LENGTH].copy()
    for b in order.tolist():
        for joint in joints:
            if joint.source == b:
                longest[b] = min(longest[b], longest[joint.target])
    return Network(
        conveyors=conveyors,
        index={conveyor.id: b for b, conveyor in enumerate(conveyors)},
        pieces=pieces,
        surface=np.array([conveyor.height - SURFACE_DROP + RIDE for conveyor in conveyors], dtype=np.float64),
        belt=belt,
        count=count,
        outlet=outlet,
        outlet_to=outlet_to,
        merge=merge,
        merge_at=merge_at,
        feeder=feeder,
        eye=np.array([at for at, _, _ in eyes], dtype=np.float64),
        eye_on=np.array([on for _, on, _ in eyes], dtype=np.int64),
        eye_id=tuple(name for _, _, name in eyes),
        piece=np.array(rows, dtype=np.float64).reshape(-1, motion.PIECE_COLUMNS),
        order=order,
        longest=longest,
    )


def _part_ways(conveyors: Sequence[Conveyor], joints: Sequence[Joint], belt: FloatArray, outlet: FloatArray) -> None:
    """Say where the lanes of a diverter's two outlets part: who takes one waits before that for who took the other."""
    pairs: dict[int, list[Joint]] = {}
    for joint in joints:
        pairs.setdefault(joint.source, []).append(joint)
    for source, both in pairs.items():
        if len(both) != 2:
            continue
        width = conveyors[source].width
        for mine, other in (both, both[::-1]):
            lane = conveyors[mine.target].width
            setback = _setback(0.0, width, other.angle - mine.angle, conveyors[other.target].width)
            ahead = _setback(0.0, lane, other.angle - mine.angle, conveyors[other.target].width)
            row = 2 * source + mine.diverted
            outlet[row, motion.O_CLEAR] = mine.entry + ahead
            parting = outlet[row, motion.O_EXTENDED] - setback
            belt[source, motion.B_TURN] = min(belt[source, motion.B_TURN], parting)


def _merges(
    conveyors: Sequence[Conveyor],
    joints: Sequence[Joint],
    outlet: FloatArray,
    outlet_to: IntArray,
    count: IntArray,
) -> tuple[FloatArray, IntArray, IntArray]:
    """Find the places that only one good may be in at a time, and where the others wait for it.

    That is where several feeders meet, and every entry from the side. A waiting good stands clear of the lanes of all
    others: its front is behind the corner where the edges of the two lanes cross.
    """
    groups: list[list[Joint]] = []
    for joint in sorted(joints, key=lambda j: (j.target, j.entry, j.source, j.diverted)):
        last = groups[-1][-1] if groups else None
        if last is not None and last.target == joint.target:
            reach = 0.5 * (conveyors[last.source].width + conveyors[joint.source].width)
            if joint.entry - last.entry < reach:
                groups[-1].append(joint)
                continue
        groups.append([joint])
    rows: list[tuple[float, float]] = []
    ints: list[tuple[int, ...]] = []
    feeders: list[int] = []
    for group in groups:
        target = group[0].target
        own = conveyors[target]
        through = max(joint.entry for joint in group) > 0.01
        if len(group) == 1 and not through and abs(group[0].angle) <= MERGING_ANGLE:
            continue
        entry = float(np.mean([joint.entry for joint in group]))
        lanes: list[tuple[int, float, float, int]] = [
            (2 * joint.source + joint.diverted, joint.angle, conveyors[joint.source].width,
             conveyors[joint.source].priority)
            for joint in group
        ]  # fmt: skip
        if through:
            lanes.append((_THROUGH, 0.0, own.width, own.priority))
        stop = math.inf
        for row, angle, width, _ in lanes:
            # Goods run out along the target whatever feeds it: its lane is always one of the others.
            others = [(a, w) for r, a, w, _ in lanes if r != row]
            if row != _THROUGH:
                others.append((0.0, own.width))
            setback = max((_setback(angle, width, a, w) for a, w in others), default=0.0)
            if row == _THROUGH:
                stop = entry - setback
            else:
                outlet[row, motion.O_STOP] = max(
                    outlet[row, motion.O_EXTENDED] - setback, 0.3 * outlet[row, motion.O_EXTENDED]
                )
                outlet_to[row, motion.O_MERGE] = len(rows)
        lanes.sort(key=lambda lane: (-lane[3], lane[0] != _THROUGH, lane[0]))
        zipper = own.merge == "zipper"
        ints.append((target, -1, zipper, -1, len(feeders), len(feeders) + len(lanes)))
        feeders += [row for row, _, _, _ in lanes]
        rows.append((entry, stop))
        if through:
            if count[target, motion.C_THROUGH_END] == 0:
                count[target, motion.C_THROUGH] = len(rows) - 1
            count[target, motion.C_THROUGH_END] = len(rows)
    return (
        np.array(rows, dtype=np.float64).reshape(-1, motion.MERGE_COLUMNS),
        np.array(ints, dtype=np.int64).reshape(-1, motion.MERGE_AT_COLUMNS),
        np.array(feeders, dtype=np.int64),
    )


def _setback(angle: float, width: float, other_angle: float, other_width: float) -> float:
    """Return how far [m] before their crossing the front on one lane is clear of the other lane."""
    between = other_angle - angle
    sin = abs(math.sin(between))
    if sin < math.sin(0.5 * MERGING_ANGLE):
        return 0.0
    return (0.5 * other_width + 0.5 * width * abs(math.cos(between))) / sin


def _order(joints: Sequence[Joint], number: int) -> IntArray:
    """Return the conveyors so that each stands after all that it feeds."""
    waiting = [{joint.target for joint in joints if joint.source == b} for b in range(number)]
    order: list[int] = []
    done: set[int] = set()
    while len(order) < number:
        ready = [b for b in range(number) if b not in done and waiting[b] <= done]
        if not ready:
            raise InputError(
                "the conveyors feed each other in a circle",
                where="conveyors",
                mend="let one of them end at a station, or without 'next'",
            )
        order += ready
        done.update(ready)
    return np.array(order, dtype=np.int64)
