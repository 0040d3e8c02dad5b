"""Ends of whole runs, against how far the robot itself ends apart where it was told the same twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..common.geometry import FloatArray, relative, wrap_angle
from ..common.seeding import generator
from ..robots.twin import Twin
from ..robots.wheels import WheelParameters
from .fieldlog import FieldLog
from .floor import repeated_runs, told_alike
from .metrics import CONFIDENCE, MIN_BLOCKS, Metric
from .replay import commands_wheels, whole_run
from .replay_of import replay_of


def run_end_metrics(
    logs: Sequence[FieldLog],
    twin: Twin | None,
    *,
    seed: int,
    resamples: int,
    wheels: Mapping[str, WheelParameters | None],
) -> list[Metric]:
    """Return how far replays of whole runs end from the truth; nothing unless all logs are runs of raw wheel commands.

    Args:
        logs: runs, replayed from their first input until the robot has rolled out.
        twin: as in ``replay_of``.
        wheels: textbook wheels by robot; of robots that are not in it, they are fitted to each run alone.
        seed: of the bootstrap. resamples: of it.

    Returns:
        ``run_end_pos_err`` [m] and ``run_end_yaw_err`` [rad]: medians over runs for ``all``. Intervals (95 %): runs
        that were told the same are drawn together (a cluster bootstrap; Cameron, Gelbach and Miller 2008), none for
        fewer than four such groups. Floor: the median of how far such runs end from each other; a model that knows
        the mean end exactly errs by about 0.7 of it.
    """
    if len(logs) < 2 or not all(commands_wheels(log) for log in logs):
        return []
    errors = np.array([_end_error(log, twin, wheels.get(log.robot)) for log in logs])
    apart = np.array([error for _, _, error in repeated_runs(logs)]).reshape(-1, 3)
    groups = told_alike(logs)
    found = []
    for name, unit, values, repeats in (
        ("run_end_pos_err", "m", np.hypot(errors[:, 0], errors[:, 1]), np.hypot(apart[:, 0], apart[:, 1])),
        ("run_end_yaw_err", "rad", np.abs(errors[:, 2]), np.abs(apart[:, 2])),
    ):
        value = float(np.median(values))
        floor = float(np.median(repeats)) if len(repeats) else None
        low, high = _interval(values, groups, generator(seed, "runs", name), resamples)
        ratio = value / floor if floor else None
        found.append(Metric(name, "all", None, value, low, high, len(values), floor, ratio, unit))
    return found


def _end_error(log: FieldLog, twin: Twin | None, textbook: WheelParameters | None) -> FloatArray:
    """Return the error (3,) of the replayed end as seen from the true one: x, y [m], yaw [rad]."""
    windows = whole_run(log)
    before, after = replay_of(windows, twin, textbook)
    error = relative(windows.truth[0, -1], (before if twin is None else after)[0, -1])
    error[2] = wrap_angle(error[2])
    return error


def _interval(
    values: FloatArray, groups: Sequence[int], rng: np.random.Generator, resamples: int
) -> tuple[float, float] | tuple[None, None]:
    rows = [np.flatnonzero(np.asarray(groups) == group) for group in range(max(groups) + 1)]
    if len(rows) < MIN_BLOCKS:
        return None, None
    drawn = [
        np.median(values[np.concatenate([rows[group] for group in choice])])
        for choice in rng.integers(0, len(rows), size=(resamples, len(rows)))
    ]
    low, high = np.quantile(drawn, [0.5 - 0.5 * CONFIDENCE, 0.5 + 0.5 * CONFIDENCE])
    return float(low), float(high)
