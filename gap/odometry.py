"""The gap of a robot's own odometry, per metre driven: what it gets wrong, and what a twin predicts that it will.

Windows of a given travel (1 m and 5 m of odometry) begin at every reference pose. The error of a window is the pose
that the odometry gives for its end in the frame of the pose that the reference gives, both from the window's start:
along and aside [m], heading [rad]; divided by the travel it is an error per metre.

Model (``robots.odometry.OdometryErrors``), for a window of travel s, net turn g and
sum of turns q, all as the odometry has them:

- along: mean (1 - 1 / k_s) s, variance R_x + a3 s + a4 q;
- heading: mean (1 - 1 / k_g) g + d s / (k_s k_g), variance R_h + a1 q + a2 s + sigma_d^2 s^2;
- aside follows from the heading on the way: mean d s^2 / 2, variance R_y + (a1 q s^2 + a2 s^3) / 3 + sigma_d^2 s^4 / 4;

a1 to a4 are the alphas of the random error: heading by turn, heading by travel, travel by travel, travel by turn.
R is the noise of the reference itself (a SLAM pose is good to some 5 cm): it does not grow with the path, which is how
windows of different lengths tell it from the odometry's. It is part of the band that a measured error is held against,
not of the twin. Means are fitted by Huber's estimate, variances by non-negative least squares on squared residuals.
How many standard deviations hold 95 % is taken from residuals of blocks of the training part that the fit left out.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from ..common.errors import InputError
from ..common.geometry import FloatArray, relative, wrap_angle
from ..common.seeding import generator
from ..perception.config import WheelOdometryConfig
from ..robots.odometry import OdometryErrors
from ..robots.twin import Twin, TwinParameter
from .clocks import fine_offset, yaw_track
from .fieldlog import SECOND, FieldLog, IntArray, interpolate_pose
from .metrics import CONFIDENCE, MIN_BLOCKS, Metric, block_indices

METRES = (1.0, 5.0)
"""Travels of the windows that are reported [m]."""
FIT_METRES = (0.5, 1.0, 2.0, 5.0)
"""Travels of the windows that are fitted [m]: short ones show the reference's noise, long ones the drift."""
SHARE = 0.2
"""Share of the run that calibrates."""
_ANCHOR = 0.1
"""Windows begin at poses at least so far apart [m, or rad / 2]."""
_SAGGING = 1.5
"""A window may exceed its travel by this factor before it is left out."""
_HUBER = 1.345
_CAP = 3.0
"""Residuals beyond so many standard deviations count as this much in the fit of variances."""
_FOLDS = 4
_DRAWS = 256
_REFITS = 60
_RESAMPLES = 300
_FITTED = 400
"""Windows of one travel that are fitted at most, evenly spread: they overlap, so more tell little more."""
NORMAL = 1.959964
"""Standard deviations that hold 95 % of a normal distribution."""
UNITS = {
    "travel_gain": "1",
    "turn_gain": "1",
    "heading_per_metre": "rad/m",
    "drift_sigma": "rad/m",
    "rotation_per_rotation": "rad2/rad",
    "rotation_per_metre": "rad2/m",
    "translation_per_metre": "m2/m",
    "translation_per_rotation": "m2/rad",
}
"""Of the parameters of ``OdometryErrors``."""


@dataclass(frozen=True)
class OdometryWindows:
    """Windows of one travel.

    Attributes:
        metres: the travel asked for [m].
        start_ns, end_ns: (K,) int64.
        at: (K,) travel from the first reference pose to the window's begin [m].
        travel: (K,) odometry's travel s [m].
        turn: (K,) sum of absolute turns q [rad].
        net: (K,) net turn g [rad].
        error: (K, 3) along, aside [m], heading [rad].
        left_out: windows that lie across a leap or a standstill of the record.
    """

    metres: float
    start_ns: IntArray
    end_ns: IntArray
    at: FloatArray
    travel: FloatArray
    turn: FloatArray
    net: FloatArray
    error: FloatArray
    left_out: int

    def __len__(self) -> int:
        return len(self.travel)

    def where(self, mask: NDArray[np.bool_]) -> OdometryWindows:
        """Return the windows of a mask (K,) bool."""
        names = ("start_ns", "end_ns", "at", "travel", "turn", "net", "error")
        return replace(self, **{name: getattr(self, name)[mask] for name in names})

    @property
    def per_metre(self) -> FloatArray:
        """(K, 2) distance [m/m] and absolute heading error [rad/m]."""
        position = np.hypot(self.error[:, 0], self.error[:, 1])
        return np.column_stack([position, np.abs(self.error[:, 2])]) / self.travel[:, None]


@dataclass(frozen=True)
class OdometryFit:
    """A fitted model of the odometry's errors.

    Attributes:
        errors: the model.
        reference: (3,) standard deviation of the reference's part in a window's error: along, aside [m], heading [rad].
        reach: (3,) how many standard deviations hold 95 % of the errors of another stretch, by component.
        windows: how many were fitted.
    """

    errors: OdometryErrors
    reference: FloatArray
    reach: FloatArray
    windows: int

    def moments(self, windows: OdometryWindows, *, reference: bool = True) -> tuple[FloatArray, FloatArray]:
        """Return mean and standard deviation (K, 3) of the windows' errors, with or without the reference's noise."""
        e, s, q = self.errors, windows.travel, windows.turn
        drift, drift2 = e.heading_per_metre / (e.travel_gain * e.turn_gain), e.drift_sigma**2
        mean = np.column_stack(
            [
                (1.0 - 1.0 / e.travel_gain) * s,
                0.5 * drift * s**2,
                (1.0 - 1.0 / e.turn_gain) * windows.net + drift * s,
            ]
        )
        variance = np.column_stack(
            [
                e.translation_per_metre * s + e.translation_per_rotation * q,
                (e.rotation_per_rotation * q * s**2 + e.rotation_per_metre * s**3) / 3.0 + 0.25 * drift2 * s**4,
                e.rotation_per_rotation * q + e.rotation_per_metre * s + drift2 * s**2,
            ]
        )
        if reference:
            variance = variance + self.reference**2
        return mean, np.sqrt(variance)

    def bound(self, windows: OdometryWindows, seed: int) -> tuple[float, float]:
        """Return what 95 % of the errors per metre stay below: distance [m/m] and heading [rad/m], over all windows."""
        mean, sigma = self.moments(windows)
        sigma = sigma * (self.reach / NORMAL)
        white = generator(seed, "gap.odometry.bound").standard_normal((_DRAWS, 1, 3))
        drawn = (mean + sigma * white) / windows.travel[:, None]
        position = np.hypot(drawn[..., 0], drawn[..., 1])
        return float(np.quantile(position, CONFIDENCE)), float(np.quantile(np.abs(drawn[..., 2]), CONFIDENCE))


@dataclass(frozen=True)
class OdometryGap:
    """What was measured of one log.

    Attributes:
        metrics: rows; ``robot`` is the log's name.
        parameters: the model fitted to the first part of the run, as a twin holds it.
        notes: what was left out and what does not hold still, in sentences.
        judged: windows of ``METRES[-1]`` of the judged part, for drawing.
        mean, low, high: (K, 3) prediction of each of them per metre, and its 95 % interval.
    """

    metrics: list[Metric]
    parameters: dict[str, TwinParameter]
    notes: list[str]
    judged: OdometryWindows
    mean: FloatArray
    low: FloatArray
    high: FloatArray


def odometry_windows(log: FieldLog, metres: float) -> OdometryWindows:
    """Cut a log into windows of so much travel, one from every reference pose.

    Raises:
        InputError: the log lacks odometry or a reference, or the two do not overlap.
    """
    anchors, odometry, travelled, turned, net = _anchors(log)
    reference = interpolate_pose(anchors, log.pose_t_ns, log.pose)
    last = np.searchsorted(travelled, travelled + metres)
    start = np.flatnonzero(last < len(anchors))
    end = last[start]
    travel = travelled[end] - travelled[start]
    good = travel <= _SAGGING * metres + 0.5
    for before, after in log.breaks("pose", "odom"):
        good &= (anchors[end] <= before) | (anchors[start] >= after)
    left_out = int((~good).sum())
    start, end, travel = start[good], end[good], travel[good]
    error = relative(
        relative(reference[start], reference[end]),
        relative(odometry[start], odometry[end]),
    )
    return OdometryWindows(
        metres,
        anchors[start],
        anchors[end],
        travelled[start] - travelled[0],
        travel,
        turned[end] - turned[start],
        net[end] - net[start],
        error,
        left_out,
    )


def _anchors(log: FieldLog) -> tuple[IntArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return stamps of reference poses to begin at, odometry there, and travel, turns and net turn until there."""
    if len(log.odom_t_ns) < 2 or len(log.pose_t_ns) < 2:
        what = "odometry" if len(log.odom_t_ns) < 2 else "reference poses"
        raise InputError(f"the log holds no {what}: its odometry cannot be judged", where=log.name)
    inside = (log.pose_t_ns >= log.odom_t_ns[0]) & (log.pose_t_ns <= log.odom_t_ns[-1])
    stamps = log.pose_t_ns[inside]
    if len(stamps) < 2:
        raise InputError(
            "odometry and reference poses do not overlap in time",
            where=log.name,
            mend="look at the clocks with 'floorcast gap inspect', and shift one with the option shift_s",
        )
    # Odometry sampled so densely that its own rounding adds up would seem to travel while it stands.
    coarse = _coarse(log)
    step = relative(log.odom[coarse[:-1]], log.odom[coarse[1:]])
    clock = log.odom_t_ns[coarse] / SECOND
    sums = [
        np.concatenate([[0.0], np.cumsum(part)])
        for part in (np.hypot(step[:, 0], step[:, 1]), np.abs(step[:, 2]), step[:, 2])
    ]
    travelled, turned, net = (np.interp(stamps / SECOND, clock, part) for part in sums)
    progress = np.maximum(travelled, 0.5 * turned)
    keep = [0]
    for index in range(1, len(stamps)):
        if progress[index] - progress[keep[-1]] >= _ANCHOR:
            keep.append(index)
    chosen = np.array(keep)
    odometry = interpolate_pose(stamps[chosen], log.odom_t_ns, log.odom)
    return stamps[chosen], odometry, travelled[chosen], turned[chosen], net[chosen]


def _coarse(log: FieldLog) -> IntArray:
    pause = 0.1 * SECOND
    slot = (log.odom_t_ns - log.odom_t_ns[0]) // round(pause)
    return np.append(np.flatnonzero(np.diff(slot, prepend=-1) > 0), len(slot) - 1)


def fit_model(windows: Sequence[OdometryWindows]) -> OdometryFit:
    """Fit the model to windows of several travels of one stretch of a run.

    Raises:
        InputError: fewer than twenty windows.
    """
    count = sum(len(item) for item in windows)
    if count < 20:
        raise InputError(
            f"{count} windows of odometry are too few to fit its errors",
            mend="give a longer log, or a greater share of it to calibrate with",
        )
    whole = _fit(windows)
    edges = np.quantile(np.concatenate([item.at for item in windows]), np.linspace(0.0, 1.0, _FOLDS + 1))
    edges[-1] += 1.0
    outside: list[FloatArray] = []
    for low, high in itertools.pairwise(edges):
        # Windows that touch the block from outside stay out of both sides.
        rest = [item.where((item.at + item.travel <= low) | (item.at >= high)) for item in windows]
        held = [item.where((item.at >= low) & (item.at < high)) for item in windows]
        if sum(map(len, rest)) < 20:
            continue
        fold = _fit(rest)
        for item in held:
            mean, sigma = fold.moments(item)
            outside.append(np.abs(item.error - mean) / sigma)
    if not outside:
        return whole
    # Of blocks that the fit has not seen: its own uncertainty is in them.
    return replace(whole, reach=np.clip(np.quantile(np.concatenate(outside), CONFIDENCE, axis=0), 1.5, 4.0))


def _fit(windows: Sequence[OdometryWindows]) -> OdometryFit:
    """Fit means and variances in turns; each weighs the windows by the other."""
    s = np.concatenate([item.travel for item in windows])
    q = np.concatenate([item.turn for item in windows])
    g = np.concatenate([item.net for item in windows])
    error = np.concatenate([item.error for item in windows])
    error[:, 2] = wrap_angle(error[:, 2])
    one = np.ones_like(s)
    short = s <= 1.5 if (s <= 1.5).sum() >= 20 else s > 0.0
    sigma = np.maximum(1.4826 * np.median(np.abs(error - np.median(error, axis=0)), axis=0), 1e-9) * one[:, None]
    along, heading, aside = np.zeros(1), np.zeros(2), 0.0
    var_along, var_heading, var_aside = np.zeros(3), np.zeros(4), 0.0
    for _ in range(6):
        # On longer windows the error of heading bends the path and shortens it.
        along = _huber(s[short, None], error[short, 0], sigma[short, 0])
        heading = _huber(np.column_stack([g, s]), error[:, 2], sigma[:, 2])
        aside = 0.5 * heading[1]
        residual = error - np.column_stack([along[0] * s, aside * s**2, np.column_stack([g, s]) @ heading])
        capped = np.minimum(residual**2, (_CAP * sigma) ** 2)
        var_along = _variances(np.column_stack([one, s, q]), capped[:, 0], sigma[:, 0])
        var_heading = _variances(np.column_stack([one, q, s, s**2]), capped[:, 2], sigma[:, 2])
        carried = (var_heading[1] * q * s**2 + var_heading[2] * s**3) / 3.0 + 0.25 * var_heading[3] * s**4
        weight = 1.0 / sigma[:, 1] ** 4
        var_aside = max(float((weight * (capped[:, 1] - carried)).sum() / weight.sum()), 0.0)
        sigma = np.sqrt(
            np.column_stack(
                [
                    np.column_stack([one, s, q]) @ var_along,
                    var_aside + carried,
                    np.column_stack([one, q, s, s**2]) @ var_heading,
                ]
            )
        )
        sigma = np.maximum(sigma, 1e-6)
    # Travel and turns of a window are the odometry's own, gains and drift included: solved for the true ones.
    travel_gain = float(np.clip(1.0 / (1.0 - along[0]), 0.1, 2.0))
    turn_gain = float(np.clip(1.0 / (1.0 - heading[0]), 0.1, 2.0))
    errors = OdometryErrors(
        travel_gain=travel_gain,
        turn_gain=turn_gain,
        heading_per_metre=float(np.clip(heading[1] * travel_gain * turn_gain, -1.0, 1.0)),
        drift_sigma=float(np.sqrt(var_heading[3])),
        rotation_per_rotation=float(var_heading[1]),
        rotation_per_metre=float(var_heading[2]),
        translation_per_metre=float(var_along[1]),
        translation_per_rotation=float(var_along[2]),
    )
    reference = np.sqrt(np.array([var_along[0], var_aside, var_heading[0]]))
    return OdometryFit(errors, reference, np.full(3, NORMAL), len(s))


def _huber(features: FloatArray, values: FloatArray, sigma: FloatArray) -> FloatArray:
    """Return Huber's estimate of a linear model, by reweighted least squares."""
    weight: FloatArray = 1.0 / sigma
    found: FloatArray = np.zeros(features.shape[1])
    for _ in range(8):
        solved = np.linalg.lstsq(features * weight[:, None], values * weight, rcond=None)[0]
        found = np.asarray(solved, dtype=np.float64)
        off = np.abs(values - features @ found) / sigma
        weight = np.asarray(np.sqrt(np.minimum(1.0, _HUBER / np.maximum(off, 1e-12))) / sigma, dtype=np.float64)
    return found


def _variances(features: FloatArray, squares: FloatArray, sigma: FloatArray) -> FloatArray:
    """Return non-negative coefficients of a variance, squares weighed by their own spread (sqrt 2 sigma^2)."""
    weight = 1.0 / sigma**2
    scale = np.maximum(np.abs(features * weight[:, None]).max(axis=0), 1e-30)
    found, _ = nnls(features * weight[:, None] / scale, squares * weight)
    result: FloatArray = found / scale
    return result


def wheel_odometry(twin: Twin) -> WheelOdometryConfig:
    """Return the random part of a twin's odometry errors as the simulated wheel odometry takes it."""
    names = [name for name in WheelOdometryConfig.model_fields if name in twin.odometry]
    return WheelOdometryConfig.model_validate({name: twin.odometry[name].value for name in names})


def fit_odometry(log: FieldLog, share: float = SHARE, seed: int = 0) -> dict[str, TwinParameter]:
    """Fit the errors of a log's odometry, as a twin's ``odometry`` section holds them.

    Args:
        log: with odometry and reference poses.
        share: of the travel, from its beginning, that is fitted.
        seed: of the intervals' bootstrap.

    Raises:
        InputError: the log lacks odometry or reference poses, or that part of it is too short.
    """
    return _fit_share(log, share, seed)[1]


def measure_odometry(log: FieldLog, *, twin: Twin | None = None, seed: int = 0, share: float = SHARE) -> OdometryGap:
    """Measure the errors of a log's odometry per metre, and how well its first part, or a twin, predicts the rest.

    Metrics, for each of ``METRES``: ``odom_pos_per_m`` and ``odom_yaw_per_m`` (medians), their 95th percentiles
    ``..._p95``, ``odom_drift_per_m`` (mean signed heading error), all over the whole log; over the part that was not
    fitted ``odom_pos_bound`` and ``odom_yaw_bound`` (what is predicted to hold 95 % of the errors), ``..._coverage``
    (the share that it holds) and ``..._width`` (the bound over the part's own 95th percentile).

    Args:
        log: with odometry and reference poses.
        twin: with an ``odometry`` section; None: the model is fitted to the first ``share`` of the travel.
        seed: of bootstraps and predictions.
        share: of the travel, from its beginning, that calibrates and is not judged.

    Raises:
        InputError: the log lacks odometry or reference poses, or is too short.
    """
    fit, parameters, windows, border, notes = _fit_share(log, share, seed)
    if twin is not None and twin.odometry:
        given = {name: item.value for name, item in twin.odometry.items() if name in UNITS}
        fit = replace(fit, errors=OdometryErrors.model_validate(given), reach=np.full(3, NORMAL))
        notes.append(f"predicted by twin {twin.name} version {twin.version}; the noise of the reference is this log's")
    metrics: list[Metric] = []
    for item in windows:
        if item.metres in METRES and len(item):
            metrics += _size_rows(log.name, item, seed)
            metrics += _band_rows(log.name, item.where(item.at >= border), fit, seed)
    longest = windows[-1]
    if longest.left_out:
        notes.append(f"{longest.left_out} windows of {longest.metres:g} m lie across a leap or a hole and are left out")
    notes += _steadiness(longest, border)
    judged = longest.where(longest.at >= border)
    mean, sigma = fit.moments(judged)
    half = sigma * fit.reach
    scale = judged.travel[:, None]
    return OdometryGap(metrics, parameters, notes, judged, mean / scale, (mean - half) / scale, (mean + half) / scale)


def _fit_share(
    log: FieldLog, share: float, seed: int
) -> tuple[OdometryFit, dict[str, TwinParameter], list[OdometryWindows], float, list[str]]:
    if not 0.0 < share < 1.0:
        raise InputError(f"the share to fit is {share}", mend="give a number between 0 and 1, for example 0.2")
    border, notes = _border(log, share), _clock_note(log, seed)
    windows = [odometry_windows(log, metres) for metres in FIT_METRES]
    training = [item.where(item.at + item.travel <= border) for item in windows]
    training = [
        item.where(np.arange(len(item)) % -(-len(item) // _FITTED) == 0) if len(item) else item for item in training
    ]
    fit = fit_model(training)
    drawn = _refits(training, border, seed)
    parameters = {}
    for name, unit in UNITS.items():
        value = float(getattr(fit.errors, name))
        low, high = np.quantile(drawn[name], [(1.0 - CONFIDENCE) / 2.0, (1.0 + CONFIDENCE) / 2.0])
        low, high = min(float(low), value), max(float(high), value)
        neutral = 1.0 if name.endswith("gain") else 0.0
        parameters[name] = TwinParameter(
            value=value, ci_low=low, ci_high=high, identifiable=not low <= neutral <= high, unit=unit
        )
    return fit, parameters, windows, border, notes


def _border(log: FieldLog, share: float) -> float:
    """Return the travel [m] at which the part that calibrates ends."""
    long = odometry_windows(log, FIT_METRES[-1])
    if len(long) == 0:
        raise InputError(
            f"the odometry never travels {FIT_METRES[-1]:g} m within sight of the reference", where=log.name
        )
    return share * float((long.at + long.travel).max())


def _clock_note(log: FieldLog, seed: int) -> list[str]:
    """Say whether the odometry's clock is off: what that makes of turns counts among the odometry's errors."""
    reference, track = yaw_track(log, "pose"), yaw_track(log, "odom")
    offset = fine_offset(reference, track, seed=seed) if reference and track else None
    if offset is None or not offset.clear:
        return []
    part = 1.0 - (offset.after / offset.before) ** 2
    return [
        f"odometry turns {abs(offset.seconds) * 1e3:.0f} ms {'before' if offset.seconds > 0 else 'after'} the reference"
        f" ({offset.low * 1e3:.0f} to {offset.high * 1e3:.0f} ms), which makes {part:.0%} of the variance of its turns"
        f" over a second; reading with shift_s: {{odom: {offset.seconds:.3f}}} takes that out"
    ]


def _refits(windows: Sequence[OdometryWindows], border: float, seed: int) -> dict[str, FloatArray]:
    """Refit the model to resampled blocks of 5 m of the training part (R,), by parameter."""
    rng = generator(seed, "gap.odometry.refit")
    blocks = max(4, int(border / FIT_METRES[-1]))
    of_block = [np.minimum((item.at / border * blocks).astype(int), blocks - 1) for item in windows]
    found: dict[str, list[float]] = {name: [] for name in UNITS}
    for _ in range(_REFITS):
        drawn = np.bincount(rng.integers(0, blocks, blocks), minlength=blocks)
        parts = [_repeat(item, drawn[block]) for item, block in zip(windows, of_block, strict=True)]
        if sum(map(len, parts)) < 20:
            continue
        errors = _fit(parts).errors
        for name, values in found.items():
            values.append(float(getattr(errors, name)))
    return {name: np.array(values) for name, values in found.items()}


def _repeat(item: OdometryWindows, times: IntArray) -> OdometryWindows:
    index = np.repeat(np.arange(len(item)), times)
    names = ("start_ns", "end_ns", "at", "travel", "turn", "net", "error")
    return replace(item, **{name: getattr(item, name)[index] for name in names})


def _size_rows(robot: str, item: OdometryWindows, seed: int) -> list[Metric]:
    """How large the errors of all windows are."""
    size = item.per_metre
    signed = np.column_stack([size, item.error[:, 2] / item.travel])
    suffix = f"{item.metres:g}m"
    wanted = (
        (f"odom_pos_per_m_{suffix}", 0, lambda part: np.median(part, axis=-1), "m/m"),
        (f"odom_pos_per_m_p95_{suffix}", 0, lambda part: np.percentile(part, 95, axis=-1), "m/m"),
        (f"odom_yaw_per_m_{suffix}", 1, lambda part: np.median(part, axis=-1), "rad/m"),
        (f"odom_yaw_per_m_p95_{suffix}", 1, lambda part: np.percentile(part, 95, axis=-1), "rad/m"),
        (f"odom_drift_per_m_{suffix}", 2, lambda part: np.mean(part, axis=-1), "rad/m"),
    )
    return [_row(name, robot, signed[:, column], reduce, item, unit, seed) for name, column, reduce, unit in wanted]


def _band_rows(robot: str, item: OdometryWindows, fit: OdometryFit, seed: int) -> list[Metric]:
    """How the predicted bounds do on windows that were not fitted."""
    if len(item) < 20:
        return []
    rows = []
    suffix = f"{item.metres:g}m"
    for column, (what, unit) in enumerate((("pos", "m/m"), ("yaw", "rad/m"))):
        bound, size = fit.bound(item, seed)[column], item.per_metre[:, column]
        rows.append(Metric(f"odom_{what}_bound_{suffix}", robot, None, bound, None, None, len(size), None, None, unit))
        rows.append(
            _row(
                f"odom_{what}_coverage_{suffix}",
                robot,
                size <= bound,
                lambda part: np.mean(part, axis=-1),
                item,
                "1",
                seed,
            )
        )
        rows.append(
            _row(
                f"odom_{what}_width_{suffix}",
                robot,
                size / bound,
                lambda part: 1.0 / np.percentile(part, 95, axis=-1),
                item,
                "1",
                seed,
            )
        )
    return rows


def _row(
    name: str,
    robot: str,
    values: NDArray[Any],
    reduce: Callable[[FloatArray], FloatArray],
    item: OdometryWindows,
    unit: str,
    seed: int,
) -> Metric:
    """Reduce one value a window; the interval resamples runs of windows that are two travels long."""
    count = len(values)
    every = max(float(item.at.max() - item.at.min()) / max(count - 1, 1), 1e-9)
    block = max(1, int(np.ceil(2.0 * item.metres / every)), int(np.ceil(count ** (1.0 / 3.0))))
    values = np.asarray(values, dtype=np.float64)
    low = high = None
    if count >= MIN_BLOCKS * block:
        index = block_indices([count], block, _RESAMPLES, generator(seed, "bootstrap", name, robot))
        low, high = (float(value) for value in np.quantile(reduce(values[index]), [0.025, 0.975]))
    return Metric(name, robot, None, float(reduce(values)), low, high, count, None, None, unit)


def _steadiness(item: OdometryWindows, border: float) -> list[str]:
    """Say whether the heading drift of later parts of the run differs from that of the part that calibrates."""
    edges = np.linspace(0.0, float(item.at.max()) + 1e-9, 6)
    drift = np.degrees(item.error[:, 2] / item.travel)
    parts = [drift[(item.at >= low) & (item.at < high)] for low, high in itertools.pairwise(edges)]
    told = ", ".join(f"{part.mean():.2f}" if len(part) else "-" for part in parts)
    first, later = drift[item.at + item.travel <= border], drift[item.at >= border]
    if len(first) < 5 or len(later) < 5:
        return []
    # Neighbouring windows overlap: only one in a travel counts for the uncertainty.
    counts = [max(1.0, np.ptp(item.at[mask]) / item.metres) for mask in (item.at < border, item.at >= border)]
    error = np.sqrt(first.var() / counts[0] + later.var() / counts[1])
    differs = abs(first.mean() - later.mean()) > 1.96 * error
    verdict = "changes along the run" if differs else "holds still within its uncertainty"
    return [
        f"heading drift {verdict}: {first.mean():.2f} degrees/m in the part that calibrates, {later.mean():.2f}"
        f" after it (difference known to {1.96 * error:.2f}); by fifths of the travel {told}"
    ]
