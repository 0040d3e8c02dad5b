"""Textbook wheels by closed form: one gain, a reach, which wheels run backwards, and how the tracked mark is turned.

Over stretches of time the wheels' counts (or the time integrals of their raw commands) c_i are set against the motion
of the tracked mark, as the screw that leads from its start to its end. With the mark turned by psi against the robot
and a reach K, ideal wheels say

    (x, y) = R(-psi) M_xy (g c),   turn = M_turn (g c) / K,

linear in the gains g of the wheels. Quarter turns and a range of reaches are tried; the least squares that are left
choose. Where several explain the motion as well (a base that drives backwards is the same base turned half round), the
one with the fewest wheels that run backwards is taken; where the reach hardly matters, the middle one of those that do
as well. Then every wheel gets the mean gain, with its sign, and psi follows as the angle between what was seen and what
the wheels say.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..common.errors import InputError
from ..common.geometry import FloatArray, relative, wrap_angle
from ..robots.wheels import WHEEL_GAINS, WheelParameters, body_matrix
from .fieldlog import SECOND, FieldLog, interpolate_pose
from .replay import MAX_TRUTH_GAP, commands_body, commands_wheels, crosses_gap

STRETCH = 2.0
"""Length of the stretches that are set against each other [s]."""
REACHES = np.geomspace(0.05, 1.5, 200)
"""Reaches that are tried [m]."""
_ARM = 0.3
"""A turn counts as the way that it makes at this distance [m]."""
_STILL = 1e-3
_AS_GOOD = 1.05
_WORST = 0.5
"""Share of the squared motion left unexplained above which the wheels' columns cannot be in the order that they should
have."""


def textbook_wheels(logs: Sequence[FieldLog]) -> WheelParameters | None:
    """Return the textbook wheels of logs that hold wheel counts or raw wheel commands; None for other logs.

    Raises:
        InputError: as in ``closed_form_wheels``.
    """
    first = logs[0]
    return None if commands_body(first) or first.drive == "tricycle" else closed_form_wheels(logs)


def closed_form_wheels(logs: Sequence[FieldLog]) -> WheelParameters:
    """Return textbook wheels that fit logs best: equal gains but for the sign, no delay, no slip.

    Raises:
        InputError: the robot hardly moves; or the wheels' numbers do not explain half of its motion.
    """
    pairs = [_stretches(log) for log in logs]
    counted = np.concatenate([pair[0] for pair in pairs])
    screw = np.concatenate([pair[1] for pair in pairs])
    moving = np.abs(screw).max(axis=1) > _STILL
    if moving.sum() < 3:
        raise InputError("the robot hardly moves", where=logs[0].name, mend="give a log in which it drives")
    counted, screw = counted[moving], screw[moving]
    wheels = counted.shape[1]
    found = []
    for quarter in range(4) if wheels == 4 else (0, 2):
        body = _turned(screw, 0.5 * np.pi * quarter)
        along, turning = _squares(counted, body)
        tried = [(*_gains(along, turning, reach), quarter, reach) for reach in REACHES.tolist()]
        least = min(item[0] for item in tried)
        good = [item for item in tried if item[0] <= _AS_GOOD * least]
        found.append(good[len(good) // 2])
    total = float((_weighed(screw) ** 2).sum())
    least = min(item[0] for item in found)
    if least > _WORST * total:
        raise InputError(
            "the wheels' numbers do not explain how the robot moved",
            where=logs[0].name,
            mend="give the columns in the order front left, front right, rear left, rear right",
        )
    good = [item for item in found if item[0] <= _AS_GOOD * least + 1e-6 * total]
    _, gains, quarter, reach = min(good, key=lambda item: ((item[1] < 0).sum(), item[0]))
    signs = np.where(gains < 0, -1.0, 1.0)
    body = (counted * signs) @ body_matrix(WheelParameters(wheel_reach=reach), wheels).T
    turned = 0.5 * np.pi * quarter
    moved = _turned(screw, turned)
    gain = float((body[:, :2] * moved[:, :2]).sum() / (body[:, :2] ** 2).sum())
    across = float((moved[:, 0] * body[:, 1] - moved[:, 1] * body[:, 0]).sum())
    turned += float(np.arctan2(across, float((moved[:, :2] * body[:, :2]).sum())))
    named = {name: float(gain * sign) for name, sign in zip(WHEEL_GAINS, signs, strict=False)}
    return WheelParameters.model_validate({**named, "wheel_reach": reach, "sensor_yaw": float(wrap_angle(turned))})


def most_turned(logs: Sequence[FieldLog]) -> float:
    """Return the greatest angle [rad] that a robot turned through in a log, left and right added up."""
    return float(max(np.abs(_stretches(log)[1][:, 2]).sum() for log in logs))


def _turned(screw: FloatArray, angle: float) -> FloatArray:
    """Return body motions (S, 3) in a frame that is turned back by an angle [rad]."""
    c, s = np.cos(angle), np.sin(angle)
    return np.column_stack([c * screw[:, 0] - s * screw[:, 1], s * screw[:, 0] + c * screw[:, 1], screw[:, 2]])


def _weighed(motion: FloatArray) -> FloatArray:
    return motion * np.array([1.0, 1.0, _ARM])


def _squares(counted: FloatArray, body: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return triangles (W + 1, W + 1), of moves along and across and of turns at a reach of 1 m, by QR.

    Their rows have the same least squares as the stretches themselves, and there are few of them.
    """
    wheels = counted.shape[1]
    matrix = body_matrix(WheelParameters(wheel_reach=1.0), wheels) * np.array([[1.0], [1.0], [_ARM]])
    wanted = _weighed(body)
    design = np.concatenate([counted[:, None, :] * matrix[None], wanted[:, :, None]], axis=2)
    along = np.linalg.qr(design[:, :2].reshape(-1, wheels + 1)).R
    turning = np.linalg.qr(design[:, 2]).R
    return along, turning


def _gains(along: FloatArray, turning: FloatArray, reach: float) -> tuple[float, FloatArray]:
    """Return the squares left and the gains (W,) that explain the motion best with a reach [m]; see ``_squares``."""
    design = np.concatenate([along[:, :-1], turning[:, :-1] / reach])
    wanted = np.concatenate([along[:, -1], turning[:, -1]])
    gains, *_ = np.linalg.lstsq(design, wanted, rcond=None)
    return float(((wanted - design @ gains) ** 2).sum()), gains


def _stretches(log: FieldLog) -> tuple[FloatArray, FloatArray]:
    """Return what the wheels counted (S, W) in stretches of a log, and the mark's screws (S, 3) over them."""
    first, last = log.span_ns
    borders = np.arange(first, last + 1, round(STRETCH * SECOND), dtype=np.int64)
    if commands_wheels(log):
        stamps, table = log.wheel_cmd_t_ns, log.wheel_cmd
        seconds = (stamps - stamps[0]) / SECOND
        sums = np.concatenate(
            [np.zeros((1, table.shape[1])), np.cumsum(table[:-1] * np.diff(seconds)[:, None], axis=0)]
        )
    else:
        stamps, sums = log.ticks_t_ns, log.ticks.astype(np.float64)
        seconds = (stamps - stamps[0]) / SECOND
    at = (borders - stamps[0]) / SECOND
    counted = np.diff(np.column_stack([np.interp(at, seconds, column) for column in sums.T]), axis=0)
    pose = interpolate_pose(borders, log.pose_t_ns, log.pose)
    step = relative(pose[:-1], pose[1:])
    whole = ~crosses_gap(log.pose_t_ns, MAX_TRUTH_GAP, borders[:-1], borders[1:])
    return counted[whole], _screw(step[whole])


def _screw(step: FloatArray) -> FloatArray:
    """Return the body twists (N, 3) that lead to relative poses (N, 3) in unit time: the logarithm on SE(2)."""
    half = 0.5 * step[:, 2]
    safe = np.where(np.abs(half) < 1e-9, 1.0, half)
    cotangent = np.where(np.abs(half) < 1e-9, 1.0, safe / np.tan(safe))
    return np.column_stack(
        [cotangent * step[:, 0] + half * step[:, 1], -half * step[:, 0] + cotangent * step[:, 1], step[:, 2]]
    )
