"""Textbook wheels by closed form: one gain, a reach, which wheels run backwards, and how the tracked mark is turned.

Over a stretch of time the wheels' counts (or the time integrals of their raw commands) c_i are set against the motion
of the tracked mark, as the screw that leads from its start to its end. With the mark turned by psi against the robot
and the wheels' signs s_i, ideal wheels say

    R(psi) (x, y) = g sum_i s_i c_i p_i / n,   turn = g sum_i s_i c_i q_i / (n K),

linear in g and g / K. All signs and quarter turns are tried and the best is kept; then psi follows in closed form as the
angle between what was seen and what the wheels say.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from ..common.errors import InputError
from ..common.geometry import FloatArray, relative
from ..robots.wheels import WHEEL_GAINS, WheelParameters, body_matrix
from .fieldlog import SECOND, FieldLog, interpolate_pose
from .replay import MAX_TRUTH_GAP, Windows, commands_wheels, crosses_gap

STRETCH = 2.0
"""Length of the stretches that are set against each other [s]."""
_STILL = 1e-3
_WORST = 0.5
"""Share of the squared motion left unexplained above which the wheels' columns cannot be in the order that they should
have."""


def closed_form_wheels(windows: Sequence[Windows]) -> WheelParameters:
    """Return textbook wheels that fit logs best: equal gains but for the sign, no delay, no slip.

    Raises:
        InputError: the robot hardly moves; or no signs explain half of its motion.
    """
    pairs = [_stretches(item.log) for item in windows]
    counted = np.concatenate([pair[0] for pair in pairs])
    screw = np.concatenate([pair[1] for pair in pairs])
    moving = np.abs(screw).max(axis=1) > _STILL
    if moving.sum() < 3:
        raise InputError("the robot hardly moves", where=windows[0].log.name, mend="give a log in which it drives")
    counted, screw = counted[moving], screw[moving]
    wheels = counted.shape[1]
    unit = body_matrix(WheelParameters(wheel_reach=1.0), wheels)
    best, left = None, np.inf
    total = float((screw**2).sum())
    # A base that is turned half round and runs backwards is the same one: the first wheel may be taken as it is.
    for signs in itertools.product((1.0, -1.0), repeat=wheels):
        body = (counted * np.array(signs)) @ unit.T
        for quarter in range(4) if wheels == 4 else (0,):
            trial = _fit_one(body, screw, 0.5 * np.pi * quarter)
            if trial[0] < left - 1e-9 * total:
                left, best = trial[0], (np.array(signs), *trial[1:])
    if best is None or left > _WORST * total:
        raise InputError(
            "the wheels' numbers do not explain how the robot moved",
            where=windows[0].log.name,
            mend="give the columns in the order front left, front right, rear left, rear right",
        )
    signs_found, gain, reach, turned = best
    gains = {name: float(gain * sign) for name, sign in zip(WHEEL_GAINS, signs_found, strict=False)}
    return WheelParameters.model_validate({**gains, "wheel_reach": reach, "sensor_yaw": turned})


def _fit_one(body: FloatArray, screw: FloatArray, turned: float) -> tuple[float, float, float, float]:
    """Return the squares left, the gain, the reach [m] and the mark's yaw [rad], near a given one, for given signs."""
    c, s = np.cos(turned), np.sin(turned)
    moved = np.column_stack([c * screw[:, 0] - s * screw[:, 1], s * screw[:, 0] + c * screw[:, 1]])
    power = float((body[:, :2] ** 2).sum())
    spin = float((body[:, 2] ** 2).sum())
    gain = float((body[:, :2] * moved).sum()) / max(power, 1e-12)
    rate = float((body[:, 2] * screw[:, 2]).sum()) / max(spin, 1e-12)
    if gain <= 0.0 or rate <= 0.0:
        return np.inf, 1.0, 1.0, turned
    left = float(((moved - gain * body[:, :2]) ** 2).sum() + ((screw[:, 2] - rate * body[:, 2]) ** 2).sum())
    cross = float((moved[:, 0] * body[:, 1] - moved[:, 1] * body[:, 0]).sum())
    fine = float(np.arctan2(cross, float((moved * body[:, :2]).sum())))
    return left, gain, gain / rate, turned + fine


def _stretches(log: FieldLog) -> tuple[FloatArray, FloatArray]:
    """Return what the wheels counted (S, W) in stretches of a log, and the mark's screws (S, 3) over them."""
    first, last = log.span_ns
    borders = np.arange(first, last + 1, round(STRETCH * SECOND), dtype=np.int64)
    if commands_wheels(log):
        stamps, table = log.wheel_cmd_t_ns, log.wheel_cmd
        seconds = (stamps - stamps[0]) / SECOND
        sums = np.concatenate([np.zeros((1, table.shape[1])), np.cumsum(table[:-1] * np.diff(seconds)[:, None], axis=0)])
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
