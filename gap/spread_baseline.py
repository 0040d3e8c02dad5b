"""What a predicted distribution has to beat: one pair of gains, one delay and one lag, with fitted normal errors.

Two are fitted, both on the training logs alone:

- ``plain``: at each horizon, the error of the end in the frame of the predicted end is normal with the mean and the
  full covariance that the training windows have;
- ``scaled``: variances are a constant, plus terms in the squares of the travel and of the turn that were asked for, and
  means are proportional to travel and turn; by maximum likelihood. It knows that a robot that stands stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import minimize

from ..common.geometry import FloatArray, compose, relative
from ..common.seeding import generator
from ..robots.model import DriveParameters
from .metrics import Metric, Samples, measure, pool
from .replay import STEP, DriveReplay, Windows
from .spread import Judged, judge, true_ends

Kind = Literal["plain", "scaled"]


@dataclass(frozen=True)
class NormalErrors:
    """Normal errors about the replay of a drive with constant gains, delay and lag.

    Attributes:
        drive: what is replayed.
        mean: (H, 3), covariance: (H, 3, 3), of ``plain``.
        scaled: (H, 3, 5): logarithms of the constant variance and of the factors of squared travel and turn, then the
            factors of travel and turn in the mean; for x, y, yaw.
    """

    drive: DriveParameters
    mean: FloatArray
    covariance: FloatArray
    scaled: FloatArray

    def samples(self, windows: Windows, kind: Kind, count: int, seed: int) -> FloatArray:
        """Sample ends (K, H, count, 3) in the frames of the windows' starts."""
        ends, asked = _replayed(windows, self.drive)
        rng = generator(seed, "gap.spread.baseline", kind, windows.log.name)
        out = np.empty((*ends.shape[:2], count, 3))
        for number in range(ends.shape[1]):
            if kind == "plain":
                error = rng.multivariate_normal(self.mean[number], self.covariance[number], size=(len(ends), count))
            else:
                mean, variance = _scaled(self.scaled[number], asked[:, number])
                noise = rng.standard_normal((len(ends), count, 3))
                error = mean[:, None] + np.sqrt(variance)[:, None] * noise
            out[:, number] = compose(ends[:, number, None], error)
        return out


def fit_normal_errors(windows: Sequence[Windows], drive: DriveParameters, *, scaled: bool = True) -> NormalErrors:
    """Fit the errors of a drive whose gains, delay and lag are fitted already.

    Args:
        windows: of the training logs, all with the same horizons. drive: what is replayed. scaled: whether ``scaled``
            is fitted too, which takes far longer than ``plain``; else its parameters are not a number.
    """
    replays = [_replayed(item, drive) for item in windows]
    means, covariances, likeliest = [], [], []
    for number in range(len(windows[0].horizons)):
        rows = [item.valid[:, number] for item in windows]
        error = np.concatenate(
            [
                relative(ends[row, number], true_ends(item)[row, number])
                for item, (ends, _), row in zip(windows, replays, rows, strict=True)
            ]
        )
        asked = np.concatenate([part[row, number] for (_, part), row in zip(replays, rows, strict=True)])
        means.append(error.mean(axis=0))
        covariances.append(np.cov(error.T))
        likeliest.append([_likeliest(error[:, axis], asked) if scaled else np.full(5, np.nan) for axis in range(3)])
    return NormalErrors(drive, np.array(means), np.array(covariances), np.array(likeliest))


def judge_normal(windows: Windows, errors: NormalErrors, kind: Kind, count: int, seed: int) -> list[Judged]:
    """Score the windows of one log."""
    return judge(windows, true_ends(windows), errors.samples(windows, kind, count, seed))


def gains(
    mine: Sequence[Sequence[Judged]], theirs: Sequence[Sequence[Judged]], *, seed: int = 0, resamples: int = 1000
) -> list[Metric]:
    """Return by how much CRPS is lower than another prediction's on the same windows, as a share of the other's.

    Args:
        mine, theirs: by log, scores at each horizon.

    Returns:
        ``crps_pos_gain`` and ``crps_yaw_gain`` by horizon for each log and for ``all``; 0.15 is 15 % better. Windows
        are resampled in pairs.
    """
    by_log = []
    for ours, others in zip(mine, theirs, strict=True):
        part = []
        for a, b in zip(ours, others, strict=True):
            for name, one, two in (("pos", a.position, b.position), ("yaw", a.heading, b.heading)):
                pair = np.column_stack([one, two])
                part.append(Samples(f"crps_{name}_gain", a.horizon, "-", a.block, share_saved, (pair,)))
        by_log.append(part)
    found = []
    for ours, part in zip(mine, by_log, strict=True):
        found += [measure(item, ours[0].robot, seed=seed, resamples=resamples) for item in part]
    if len(by_log) > 1:
        found += [measure(item, "all", seed=seed, resamples=resamples) for item in pool(by_log)]
    return found


def share_saved(values: FloatArray) -> FloatArray:
    """One less the ratio of the means of the two columns."""
    mean = values.mean(axis=-2)
    result: FloatArray = 1.0 - mean[..., 0] / mean[..., 1]
    return result


def _replayed(windows: Windows, drive: DriveParameters) -> tuple[FloatArray, FloatArray]:
    """Return replayed ends (K, H, 3) in the frames of the starts, and travel, turn and net turn asked for (K, H, 3)."""
    replay = DriveReplay([windows])
    steps = windows.horizon_steps
    path = replay.simulate(drive)
    ends = relative(windows.truth[:, :1], path[:, steps])
    given = replay.commands(drive.command_delay) * STEP
    sums = np.stack([np.abs(given[..., 0]), np.abs(given[..., 1]), given[..., 1]], axis=-1)
    return ends, np.cumsum(sums, axis=1)[:, steps - 1]


def _scaled(values: FloatArray, asked: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return means and variances (K, 3) of errors; values (3, 5), asked (K, 3)."""
    mean = asked[:, :1] * values[:, 3] + asked[:, 2:] * values[:, 4]
    variance = (
        np.exp(values[:, 0]) + np.exp(values[:, 1]) * asked[:, :1] ** 2 + np.exp(values[:, 2]) * asked[:, 1:2] ** 2
    )
    return mean, variance


def _likeliest(error: FloatArray, asked: FloatArray) -> FloatArray:
    scale = float(error.var()) + 1e-12

    def loss(point: FloatArray) -> float:
        mean, variance = _scaled(point[None], asked)
        return float(0.5 * (np.log(variance) + (error[:, None] - mean) ** 2 / variance).sum())

    first, second = ((asked[:, axis] ** 2).mean() + 1e-9 for axis in range(2))
    start = np.array([np.log(0.05 * scale), np.log(scale / first), np.log(0.3 * scale / second), 0.0, 0.0])
    found = minimize(loss, start, method="Nelder-Mead", options={"maxiter": 3000, "maxfev": 3000})
    result: FloatArray = found.x
    return result
