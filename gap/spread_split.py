"""Which part of the error of dead-reckoned commands is what: a nested ablation of squared errors.

The mean squared error of raw commands at a horizon is 100 %. Stages are put in one by one, and what each takes away is
its share:

- ``delay``: delay, lag and the mean age of held commands; to it is added the variance that the random clock predicts;
- ``drive``: the mean response to commands; to it is added the variance of constant differences between robots;
- ``slip``: the variance of gains and veer that wander, and of stalls;
- ``truth noise``: the variance of the tracker and of the body's rocking;
- ``collision``: what windows in which another robot was in contact err more than the others, if poses of the other
  robots are in the same set and frame; 0 where no other robot came near;
- ``unexplained``: the rest. Where the predicted variances are more than what is left of the error, they are scaled
  down to it and nothing is unexplained.

Squared errors add up where causes are independent, but single windows weigh heavily; intervals resample blocks of
windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import FloatArray, relative, wrap_angle
from ..common.seeding import generator
from ..robots.motion_spread import VALUE_NAMES, MotionSpread
from .fieldlog import SECOND, FieldLog, interpolate_pose
from .metrics import block_indices, block_length
from .replay import DriveReplay, Windows, make_windows
from .spread import HORIZONS, clock_of, predict_key, response_of
from .spread_clock import sampled
from .spread_fit import Ends, ends_of
from .spread_response import TimedCommands

SHARES = ("drive", "delay", "slip", "collision", "truth noise", "unexplained")
CONTACT_MARGIN = 0.02
"""Robots whose centres are nearer than their mean length and this [m] count as in contact."""
SAMPLES = 64
RESAMPLES = 500
_CAUSES = {
    "delay": ("hold",),
    "drive": ("turn_robot", "travel_robot", "veer_robot", "crab_robot"),
    "slip": ("turn_sd", "travel_sd", "veer_sd", "stall_rate"),
    "truth noise": ("rock_position", "rock_yaw", "truth_position", "truth_yaw"),
}


@dataclass(frozen=True)
class ErrorSplit:
    """Shares [%] of the mean squared error at one horizon: by name of ``SHARES``, value and 95 % interval.

    Attributes:
        quantity: ``position`` or ``heading``.
        horizon_s: [s]
        rms: of the raw error [m or rad].
        windows: number; contact: how many with another robot in contact.
        shares, low, high: in the order of ``SHARES``; the shares add up to 100.
    """

    quantity: str
    horizon_s: float
    rms: float
    windows: int
    contact: int
    shares: dict[str, float]
    low: dict[str, float]
    high: dict[str, float]

    def sentence(self) -> str:
        """Return the split in words."""
        unit = "m" if self.quantity == "position" else "rad"
        ranked = sorted(self.shares.items(), key=lambda item: -item[1])
        parts = ", ".join(f"{name} {value:.0f} %" for name, value in ranked if value >= 0.5)
        return (
            f"Of the squared {self.quantity} error of raw commands after {self.horizon_s:g} s "
            f"(root mean square {self.rms:.3g} {unit}): {parts}."
        )


def split_motion_error(
    logs: Sequence[FieldLog],
    spread: MotionSpread,
    *,
    horizon: float = 10.0,
    others: Sequence[FieldLog] = (),
    seed: int = 0,
) -> dict[str, float]:
    """Return the shares [%] of ``SHARES`` at one horizon, the mean of those of position and heading."""
    both = motion_error_splits(logs, spread, horizons=(horizon,), others=others, seed=seed)
    return {name: float(np.mean([item.shares[name] for item in both])) for name in SHARES}


def motion_error_splits(
    logs: Sequence[FieldLog],
    spread: MotionSpread,
    *,
    horizons: Sequence[float] = HORIZONS,
    others: Sequence[FieldLog] = (),
    seed: int = 0,
) -> list[ErrorSplit]:
    """Split the error of logs, for position and heading at each horizon.

    Args:
        logs: to be explained; if they are of several robots at the same time in one frame, contacts are found.
        spread: fitted to other logs. horizons: [s]. others: logs of robots that may have been in contact with them, in
            the same frame. seed: of samples and bootstrap.

    Raises:
        InputError: a log is too short, or has no commands of forward speed and yaw rate.
    """
    parts = [_Part(log, [*logs, *others], spread, tuple(horizons), seed) for log in logs]
    found = []
    for number, horizon in enumerate(parts[0].windows.horizons):
        rows = [item.windows.valid[:, number] for item in parts]
        lengths = [int(row.sum()) for row in rows]
        if min(lengths) == 0:
            continue
        contact = np.concatenate([item.contact[row, number] for item, row in zip(parts, rows, strict=True)])
        block = block_length(horizon, parts[0].windows.every, max(lengths))
        index = block_indices(lengths, block, RESAMPLES, generator(seed, "gap.spread.split", str(horizon)))
        for quantity in ("position", "heading"):
            table = np.concatenate([item.squares(quantity)[row, number] for item, row in zip(parts, rows, strict=True)])
            value = _shares(table, contact)
            drawn = np.array([_shares(table[draw], contact[draw]) for draw in index])
            low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
            found.append(
                ErrorSplit(
                    quantity, horizon, float(np.sqrt(table[:, 0].mean())), len(table), int(contact.sum()),
                    *(dict(zip(SHARES, each.tolist(), strict=True)) for each in (value, low, high)),
                )
            )  # fmt: skip
    return found


def _shares(table: FloatArray, contact: NDArray[np.bool_]) -> FloatArray:
    """Return the shares [%] from squares (n, 3 + causes): raw, timed, mean response, then variances by cause."""
    raw, timed, left = table[:, :3].mean(axis=0)
    variance = dict(zip(_CAUSES, table[:, 3:].mean(axis=0).tolist(), strict=True))
    bumped = 0.0
    if contact.any() and not contact.all():
        bumped = max(0.0, float(table[contact, 2].mean() - table[~contact, 2].mean()) * float(contact.mean()))
    rest = max(float(left) - bumped, 0.0)
    predicted = sum(variance.values())
    scale = min(1.0, rest / predicted) if predicted > 0.0 else 0.0
    # A stage that makes errors larger takes nothing away; the next one takes the sum.
    delay = max(float(raw - timed), 0.0)
    drive = max(float(min(raw, timed) - left), 0.0)
    found = np.array(
        [
            drive + scale * variance["drive"], delay + scale * variance["delay"], scale * variance["slip"],
            bumped, scale * variance["truth noise"], rest - scale * predicted,
        ]
    )  # fmt: skip
    result: FloatArray = 100.0 * np.maximum(found, 0.0) / max(float(np.maximum(found, 0.0).sum()), 1e-30)
    return result


class _Part:
    """One log: squared errors of the stages, and the variances that causes predict."""

    def __init__(
        self, log: FieldLog, logs: Sequence[FieldLog], spread: MotionSpread, horizons: tuple[float, ...], seed: int
    ) -> None:
        self.windows = make_windows(log, horizons)
        commands, response, clock = TimedCommands(log), response_of(spread), clock_of(spread)
        ends = ends_of(self.windows, commands, response, clock)
        plain = replace(response, gain=np.ones(2), done=response.asked.copy())
        timed = ends_of(self.windows, commands, plain, clock)
        raw = DriveReplay([self.windows]).raw()[:, self.windows.horizon_steps]
        raw = relative(self.windows.truth[:, :1], raw)
        self._errors = [_difference(each, ends.truth) for each in (raw, timed.mean, self._centre(ends, spread, seed))]
        self._variances = self._causes(ends, spread, seed)
        self.contact = contacts(self.windows, logs)

    def squares(self, quantity: str) -> FloatArray:
        """Return (K, H, 3 + causes) squares of the position's or the heading's error."""
        axes = [0, 1] if quantity == "position" else [2]
        errors = [(each[..., axes] ** 2).sum(axis=-1) for each in self._errors]
        return np.stack([*errors, *(each[..., axes].sum(axis=-1) for each in self._variances)], axis=-1)

    def _centre(self, ends: Ends, spread: MotionSpread, seed: int) -> FloatArray:
        """Return the mean of the samples (K, H, 3)."""
        key = predict_key(seed, self.windows.log.name)
        mean: FloatArray = sampled(ends, spread.values(), SAMPLES, key).mean(axis=2)
        return mean

    def _causes(self, ends: Ends, spread: MotionSpread, seed: int) -> list[FloatArray]:
        """Return, by cause, the variance (K, H, 3) of samples in which nothing else is random."""
        key = predict_key(seed, self.windows.log.name)
        found = []
        every = [name for names in _CAUSES.values() for name in names]
        sure = replace(ends, rate=ends.rate * np.array([1.0, 1.0, 0.0, 0.0]))
        for cause, names in _CAUSES.items():
            values = spread.values()
            for name in every:
                if name not in names:
                    values[VALUE_NAMES.index(name)] = 0.0
            # What cells do scatters because wheels slip, stick or answer differently: it counts as slip.
            part = ends if cause == "slip" else sure
            found.append(sampled(part, values, SAMPLES, key).var(axis=2, ddof=1))
        return found


def _difference(ends: FloatArray, truth: FloatArray) -> FloatArray:
    error = ends - truth
    error[..., 2] = wrap_angle(error[..., 2])
    return error


def contacts(windows: Windows, logs: Sequence[FieldLog]) -> NDArray[np.bool_]:
    """Tell (K, H) in which windows another robot touches this one before the horizon.

    Robots count as touching when their centres are nearer than the mean of their lengths and ``CONTACT_MARGIN``; logs
    of the same robot, and stretches in which the other's pose is not known, do not count.
    """
    log = windows.log
    grid = windows.grid_ns()[:, ::10]
    near = np.zeros(grid.shape, dtype=bool)
    for other in logs:
        if other.robot == log.robot:
            continue
        known = (grid >= other.pose_t_ns[0]) & (grid <= other.pose_t_ns[-1])
        if not known.any():
            continue
        there = interpolate_pose(grid, other.pose_t_ns, other.pose)
        gap = np.hypot(there[..., 0] - windows.truth[:, ::10, 0], there[..., 1] - windows.truth[:, ::10, 1])
        near |= known & (gap < 0.5 * (log.model.length + other.model.length) + CONTACT_MARGIN)
    so_far = np.maximum.accumulate(near, axis=1)
    place = np.round(np.array(windows.horizons) * SECOND / (10 * 20_000_000)).astype(np.int64)
    result: NDArray[np.bool_] = so_far[:, np.minimum(place, so_far.shape[1] - 1)]
    return result
