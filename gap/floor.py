"""How well reality repeats itself: the real robot against the real robot where it was told the same twice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ..common.geometry import FloatArray, relative, wrap_angle
from .fieldlog import SECOND, FieldLog, IntArray, interpolate_pose
from .replay import Windows, commands_body, lay_windows, mean_commands

HISTORY = 1.0
"""Commands must agree from this long before the window on [s], because delay and lag carry them over."""
EVERY = 1.0
MIN_WINDOWS = 20
"""Repeated windows below which no floor is given."""
_SAME_COMMANDS = 0.01
"""Two stretches count as told the same if travel (times 3) [m] and turn [rad] asked so far differ by less, root mean
square."""
_STANDSTILL = 0.01
_PARTNERS = 24
_SAMPLE_STEPS = 10


def repeatability(windows: Windows) -> dict[float, tuple[float, float]]:
    """Compare true motions of one robot over windows in which it was told the same.

    For each horizon, windows are laid every second and each moving one is paired with those, not overlapping in
    time, whose commands agree from one second before it to its end. The floor is the median over windows of the
    median difference of their true motion. No model is involved. A model that knows the mean motion exactly would
    still err by about 0.7 times the floor; windows that repeat are simpler than the rest, so that the floor is
    rather too low than too high.

    Args:
        windows: of a log; of others than differential drives under commands of the body nothing is returned.

    Returns:
        By horizon [s]: position [m] and heading [rad]. Horizons with fewer than ``MIN_WINDOWS`` repeated windows are
        not in it.
    """
    if windows.log.drive != "differential" or not commands_body(windows.log):
        return {}
    log = windows.log
    found = {}
    for horizon in windows.horizons:
        length = horizon + HISTORY
        if log.duration < 2.0 * length:
            continue
        start_ns, valid, _ = lay_windows(log, (length,), EVERY)
        pair = _floor_at(log, start_ns[valid[:, 0]], horizon)
        if pair is not None:
            found[horizon] = pair
    return found


def repeated_runs(logs: Sequence[FieldLog]) -> list[tuple[FieldLog, FieldLog, FloatArray]]:
    """Compare whole runs in which a robot was told the same from start to end, however long it was held.

    Args:
        logs: runs with raw wheel commands.

    Returns:
        Pairs of runs, and where the second one ended as seen from the first one's end (3,): x, y [m], yaw [rad], both
        runs placed on their first pose. Runs are paired with all others of the same sequence of commands.
    """
    group = told_alike(logs)
    ends = [_end(log) for log in logs]
    return [
        (logs[i], logs[j], relative(ends[i], ends[j]))
        for i in range(len(logs))
        for j in range(i + 1, len(logs))
        if group[i] == group[j]
    ]


def told_alike(logs: Sequence[FieldLog]) -> list[int]:
    """Return the group (from 0) of each run: one robot, given the same raw commands in the same order."""
    known: dict[tuple[str, bytes], int] = {}
    return [known.setdefault((log.robot, _sequence(log).tobytes()), len(known)) for log in logs]


def _sequence(log: FieldLog) -> FloatArray:
    """Return the different raw commands (n, W) of a run in their order."""
    commands = log.wheel_cmd
    changed = np.append(True, np.any(np.diff(commands, axis=0) != 0.0, axis=1))
    return commands[changed] + 0.0  # no minus zero


def _end(log: FieldLog) -> FloatArray:
    """Return where a run ended (3,), as seen from its first pose."""
    return relative(log.pose[0], log.pose[-1])


def _floor_at(log: FieldLog, begin_ns: IntArray, horizon: float) -> tuple[float, float] | None:
    if len(begin_ns) < MIN_WINDOWS:
        return None
    commands = mean_commands(log, begin_ns, horizon + HISTORY)
    count = commands.shape[1] // _SAMPLE_STEPS
    means = commands[:, : count * _SAMPLE_STEPS].reshape(len(commands), count, _SAMPLE_STEPS, 2).mean(axis=2)
    moving = np.abs(means).max(axis=(1, 2)) > _STANDSTILL
    means, start_ns = means[moving], begin_ns[moving] + round(HISTORY * SECOND)
    if len(means) < MIN_WINDOWS:
        return None
    asked = np.cumsum(means, axis=1) * 0.2 * np.array([3.0, 1.0]) / np.sqrt(count)
    feature = asked.reshape(len(asked), -1)
    ends = start_ns + round(horizon * SECOND)
    moved = relative(
        interpolate_pose(start_ns, log.pose_t_ns, log.pose), interpolate_pose(ends, log.pose_t_ns, log.pose)
    )
    partners = min(_PARTNERS, len(feature))
    distance, partner = cKDTree(feature).query(feature, k=partners, distance_upper_bound=_SAME_COMMANDS)
    near = np.isfinite(distance)
    partner = np.where(near, partner, 0)
    apart = np.abs(start_ns[partner] - start_ns[:, None]) > (horizon + HISTORY) * SECOND
    near &= apart
    differ = relative(moved[:, None], moved[partner])
    return _median_of_medians(differ, near)


def _median_of_medians(differ: FloatArray, near: NDArray[np.bool_]) -> tuple[float, float] | None:
    has = near.any(axis=1)
    if has.sum() < MIN_WINDOWS:
        return None
    position = np.where(near, np.hypot(differ[..., 0], differ[..., 1]), np.nan)[has]
    heading = np.where(near, np.abs(wrap_angle(differ[..., 2])), np.nan)[has]
    return float(np.median(np.nanmedian(position, axis=1))), float(np.median(np.nanmedian(heading, axis=1)))
