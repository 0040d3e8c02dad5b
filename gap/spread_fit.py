"""Fit of the parameters of ``MotionSpread`` that say how much motion differs from its mean.

To first order the error of a window's end is a linear function of the processes that cause it, so that its covariance
is a sum over causes of variance times a matrix that depends on the window and on the cause's correlation time. The
matrices are computed once for a grid of times, by propagation along the mean path; the one of the hold by sampling.
Then the parameters maximise a composite likelihood (Varin, Reid and Firth, *Statistica Sinica* 21, 2011): all windows
and horizons as if they were independent, each a Student's t in x, y and yaw.

The errors should be those of robots that the mean was not fitted to (``spread.fit_spread`` sees to that): errors about
a mean that was fitted to the same windows are too small, and those between robots by the most.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import digamma, gammaln

from ..common.geometry import FloatArray, relative, wrap_angle
from ..common.kernels import compiled
from ..robots.motion_spread import (
    GRID,
    MOVING_V,
    MOVING_W,
    PATH_STEP,
    SCATTER_TIME,
    VALUE_NAMES,
    sample_ends,
    sync_edges,
)
from .fieldlog import SECOND, FieldLog, IntArray
from .replay import Windows
from .spread_response import Response, TimedCommands, aged, at_places, cumulate, lagged

TIMES = np.array([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2])
"""Grid of correlation times [s]; between them covariances are interpolated on a logarithmic axis."""
NAMES = (
    "turn_sd", "turn_time", "travel_sd", "travel_time", "veer_sd", "veer_time",
    "turn_robot", "travel_robot", "veer_robot", "crab_robot", "rock_position", "rock_yaw",
    "scatter_v", "scatter_w", "scatter_time", "tail",
)  # fmt: skip
"""What the likelihood is maximised over; ``scatter_v`` and ``scatter_w`` are factors on what cells scatter."""
START = np.array([0.05, 1.0, 0.02, 2.0, 0.05, 0.5, 0.01, 0.01, 0.01, 0.01, 7e-4, 3e-3, 1.0, 1.0, SCATTER_TIME, 6.0])
_PRIOR = 2.0
"""Standard deviation of the weak normal prior of the logarithms, around ``START``."""
_TAIL_ABOVE = 2.2
_HOLD_SAMPLES = 48
_ITERATIONS = 300
_STILL = {name: 1.0 if name.endswith("_time") else 0.0 for name in NAMES} | {"tail": 100.0}
_TIME_OF = {
    "turn_sd": "turn_time", "travel_sd": "travel_time", "veer_sd": "veer_time",
    "scatter_v": "scatter_time", "scatter_w": "scatter_time",
}  # fmt: skip
"""Causes with a correlation time; the other causes are constant along a path, or noise of its ends."""


@dataclass(frozen=True)
class Clock:
    """By what clock commands are taken over; fields as in ``MotionSpread``."""

    hold: float
    hold_jitter: float
    sync_share: float
    sync_delay: float
    sync_jitter: float
    delay: float
    lag: float
    stall_rate: float = 0.0
    stall_time: float = 0.0


def value_array(clock: Clock, noise: dict[str, float], truth: tuple[float, float]) -> FloatArray:
    """Return the array that ``sample_ends`` takes."""
    given = {**noise, **vars(clock), "truth_position": truth[0], "truth_yaw": truth[1]}
    return np.array([given[name] for name in VALUE_NAMES])


@dataclass(frozen=True)
class Ends:
    """Ends of the windows of one log in the frame of their starts.

    Attributes:
        log: where they come from.
        truth: (K, H, 3) measured.
        valid: (K, H) bool.
        rate: (G, 4) mean response and its scatter every ``GRID``, neither held, delayed nor lagged; place: (K,) starts
            in it; edges: (E,) as ``sample_ends`` takes them.
        mean: (K, H, 3) of the mean path.
        travel, heading: (K, T) of the mean path: travel of each step [m], heading in its middle [rad].
        turn: (K, T) of the mean path [rad].
        odd: (K, T, 2) scatter of the mean path's speeds [m/s, rad/s].
        moving: (K, 1 + H) 1 where the mean path moves, at the start and at the ends, else 0.
        steps: (H,) horizons in steps of ``PATH_STEP``.
    """

    log: FieldLog
    truth: FloatArray
    valid: NDArray[np.bool_]
    rate: FloatArray
    place: FloatArray
    edges: FloatArray
    mean: FloatArray
    travel: FloatArray
    heading: FloatArray
    turn: FloatArray
    odd: FloatArray
    moving: FloatArray
    steps: IntArray

    def first(self, count: int) -> Ends:
        """Return the first so many horizons."""
        return replace(
            self, truth=self.truth[:, :count], valid=self.valid[:, :count], mean=self.mean[:, :count],
            moving=self.moving[:, : count + 1], steps=self.steps[:count],
        )  # fmt: skip


def ends_of(windows: Windows, commands: TimedCommands, response: Response, clock: Clock) -> Ends:
    """Return true and mean ends of windows."""
    rate = commands.rate(response.with_scatter(commands.log.cmd))
    start, truth = windows.truth[:, :1], windows.truth[:, windows.horizon_steps]
    found = relative(start, truth)
    steps = path_steps(windows)
    place = (windows.start_ns - windows.log.cmd_t_ns[0]) / SECOND / GRID
    total = cumulate(lagged(aged(rate, clock.hold, clock.hold_jitter), clock.lag))
    grid = place[:, None] - clock.delay / GRID + np.arange(steps[-1] + 1)[None, :] * round(PATH_STEP / GRID)
    moved = np.diff(at_places(total, grid), axis=1)
    yaw = np.cumsum(moved[..., 1], axis=1)
    heading = yaw - 0.5 * moved[..., 1]
    travel = moved[..., 0]
    path = np.stack(
        [np.cumsum(travel * np.cos(heading), axis=1), np.cumsum(travel * np.sin(heading), axis=1), yaw], axis=-1
    )
    now = moved / PATH_STEP
    moves = ((np.abs(now[..., 0]) > MOVING_V) | (np.abs(now[..., 1]) > MOVING_W)).astype(np.float64)
    return Ends(
        log=windows.log, truth=found, valid=windows.valid, rate=rate, place=place,
        odd=moved[..., 2:] / PATH_STEP,
        edges=sync_edges(commands.seconds, windows.log.cmd, response.span) / GRID, mean=path[:, steps - 1],
        travel=np.ascontiguousarray(travel), heading=heading, turn=moved[..., 1],
        moving=np.concatenate([moves[:, :1], moves[:, steps - 1]], axis=1), steps=steps,
    )  # fmt: skip


def path_steps(windows: Windows) -> IntArray:
    """Return the horizons (H,) of windows in steps of ``PATH_STEP``, at least one."""
    return np.maximum(np.round(np.array(windows.horizons) / PATH_STEP).astype(np.int64), 1)


@dataclass(frozen=True)
class Covariances:
    """Covariances of the ends of n windows and horizons, for causes of unit size.

    Attributes:
        error: (n, 3) true minus expected end x, y [m], yaw [rad]; the heading wrapped.
        causes: by the name of its size, one of (n, 3, 3) for each of ``TIMES``; of a cause without a time just one.
        hold: (n, 3, 3) of hold and stalls, as they are.
        truth: (2, n, 3, 3) of the tracker's position and of its heading.
    """

    error: FloatArray
    causes: dict[str, list[FloatArray]]
    hold: FloatArray
    truth: FloatArray


def joined(parts: Sequence[Covariances]) -> Covariances:
    """Return all windows of some logs."""
    return Covariances(
        error=np.concatenate([item.error for item in parts]),
        causes={
            name: [np.concatenate(each) for each in zip(*(item.causes[name] for item in parts), strict=True)]
            for name in parts[0].causes
        },
        hold=np.concatenate([item.hold for item in parts]),
        truth=np.concatenate([item.truth for item in parts], axis=1),
    )


def covariances(ends: Ends, clock: Clock, key: np.uint64) -> Covariances:
    """Compute the covariances of the windows of a log."""
    v, omega = ends.travel / PATH_STEP, ends.turn / PATH_STEP
    zero = np.zeros_like(v)
    forward, turning = np.stack([v, zero, zero], axis=-1), np.stack([zero, zero, omega], axis=-1)
    bending = np.stack([zero, zero, np.abs(v)], axis=-1)
    odd = np.stack([ends.odd[..., 0], zero, zero], axis=-1), np.stack([zero, zero, ends.odd[..., 1]], axis=-1)

    def spread(shape: FloatArray, keep: float) -> FloatArray:
        found = propagate(shape, ends.travel, ends.heading, ends.steps, keep, PATH_STEP)
        return np.asarray(found[ends.valid], dtype=np.float64)

    mean, held = ends.mean, np.zeros((*ends.mean.shape, 3))
    if clock.hold > 0.0 or clock.stall_rate > 0.0:
        mean, held = hold_moments(ends, clock, key)
    error = ends.truth - mean
    error[..., 2] = wrap_angle(error[..., 2])
    swing, ends_only = _measured(ends.mean)
    start, stop = ends.moving[:, :1, None, None], ends.moving[:, 1:, None, None]
    keeps = np.exp(-PATH_STEP / TIMES).tolist()
    shapes = {"turn_sd": turning, "travel_sd": forward, "veer_sd": bending, "scatter_v": odd[0], "scatter_w": odd[1]}
    causes = {name: [spread(shape, keep) for keep in keeps] for name, shape in shapes.items()}
    constant = {"turn_robot": turning, "travel_robot": forward, "veer_robot": bending}
    constant["crab_robot"] = np.stack([zero, v, zero], axis=-1)
    causes |= {name: [spread(shape, 1.0)] for name, shape in constant.items()}
    causes["rock_position"] = [((start + stop) * ends_only[0])[ends.valid]]
    causes["rock_yaw"] = [(start * swing + stop * ends_only[1])[ends.valid]]
    return Covariances(
        error=error[ends.valid], causes=causes, hold=held[ends.valid],
        truth=np.stack([(2.0 * ends_only[0] + 0.0 * swing)[ends.valid], (swing + ends_only[1])[ends.valid]]),
    )  # fmt: skip


def hold_moments(ends: Ends, clock: Clock, key: np.uint64) -> tuple[FloatArray, FloatArray]:
    """Return mean (K, H, 3) and covariance (K, H, 3, 3) of the ends for random holds and stalls alone, from samples."""
    values = value_array(clock, _STILL, (0.0, 0.0))
    sure = ends.rate * np.array([1.0, 1.0, 0.0, 0.0])
    drawn = sample_ends(sure, ends.edges, ends.place, ends.steps, values, _HOLD_SAMPLES, key)
    mean = drawn.mean(axis=2)
    off = drawn - mean[:, :, None]
    # The mean is one of samples too, and errors are counted from it.
    share = (1.0 + 1.0 / _HOLD_SAMPLES) / (_HOLD_SAMPLES - 1)
    return mean, np.einsum("khni,khnj->khij", off, off) * share


def _measured(mean: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return what noise of unit variance in the measured poses does to ends.

    Returns:
        (K, H, 3, 3) of the heading at the start, which swings the path; (2, 1, 1, 3, 3) of position and of heading at
        the end.
    """
    lever = np.stack([mean[..., 1], -mean[..., 0], -np.ones(mean.shape[:2])], axis=-1)
    only = np.zeros((2, 1, 1, 3, 3))
    only[0, ..., 0, 0] = only[0, ..., 1, 1] = only[1, ..., 2, 2] = 1.0
    return lever[..., :, None] * lever[..., None, :], only


@compiled
def propagate(
    shape: FloatArray, travel: FloatArray, heading: FloatArray, steps: IntArray, keep: float, step: float
) -> FloatArray:
    """Covariance of a path's end, to first order, when a stationary process of unit variance disturbs its speeds.

    Args:
        shape: (K, T, 3) how much of it disturbs forward speed [m/s], lateral speed [m/s] and yaw rate [rad/s].
        travel: (K, T) [m] and heading (K, T) [rad] of the mean path.
        steps: (H,) ascending numbers of steps.
        keep: correlation of the process from step to step; 1: it is constant.
        step: [s].

    Returns:
        (K, H, 3, 3) covariance of x, y [m] and yaw [rad] in the frame of the start.
    """
    out = np.zeros((len(travel), len(steps), 3, 3))
    for k in range(len(travel)):
        xx = xy = xt = yy = yt = tt = 0.0
        cx = cy = ct = 0.0  # covariances with the process as it is now
        h = 0
        for i in range(steps[-1]):
            c, s = np.cos(heading[k, i]), np.sin(heading[k, i])
            bx = (shape[k, i, 0] * c - shape[k, i, 1] * s) * step
            by = (shape[k, i, 0] * s + shape[k, i, 1] * c) * step
            bt = shape[k, i, 2] * step
            fx, fy = -travel[k, i] * s, travel[k, i] * c
            # The turn of this step acts on half of its travel.
            bx += 0.5 * fx * bt
            by += 0.5 * fy * bt
            nxx = xx + 2.0 * (bx * cx + fx * xt + bx * fx * ct) + bx * bx + fx * fx * tt
            nyy = yy + 2.0 * (by * cy + fy * yt + by * fy * ct) + by * by + fy * fy * tt
            nxy = xy + bx * cy + by * cx + fx * yt + fy * xt + bx * by + (bx * fy + by * fx) * ct + fx * fy * tt
            nxt = xt + bx * ct + fx * tt + bt * cx + bx * bt + bt * fx * ct
            nyt = yt + by * ct + fy * tt + bt * cy + by * bt + bt * fy * ct
            ntt = tt + 2.0 * bt * ct + bt * bt
            cx, cy, ct = keep * (cx + bx + fx * ct), keep * (cy + by + fy * ct), keep * (ct + bt)
            xx, xy, xt, yy, yt, tt = nxx, nxy, nxt, nyy, nyt, ntt
            if i + 1 == steps[h]:
                o = out[k, h]
                o[0, 0], o[0, 1], o[0, 2] = xx, xy, xt
                o[1, 0], o[1, 1], o[1, 2] = xy, yy, yt
                o[2, 0], o[2, 1], o[2, 2] = xt, yt, tt
                h += 1
    return out


@dataclass(frozen=True)
class Noise:
    """Fitted parameters: by ``NAMES``, with the tracker's noise [m, rad] and the loss (negative log likelihood)."""

    values: dict[str, float]
    truth: tuple[float, float]
    loss: float

    @property
    def scatter(self) -> tuple[float, float]:
        """Factors on the scatter of forward speed and of yaw rate."""
        return self.values["scatter_v"], self.values["scatter_w"]

    def scaled(self, factor: float) -> Noise:
        """Return the same with the sizes of all processes multiplied by a factor; times and tail stay."""
        sizes = {
            name: value if name == "tail" or name.endswith("_time") else factor * value
            for name, value in self.values.items()
        }
        return replace(self, values=sizes)


def fit_noise(table: Covariances, truth: tuple[float, float], start: FloatArray | None = None) -> Noise:
    """Maximise the composite likelihood.

    Args:
        table: of the training windows. truth: the tracker's noise [m, rad]. start: (P,) logarithms to begin at.
    """
    centre = np.log(START)
    likelihood = Likelihood(table, truth)

    def loss(point: FloatArray) -> tuple[float, FloatArray]:
        value, slope = likelihood(point)
        off = (point - centre) / _PRIOR
        return value + 0.5 * float((off * off).sum()), slope + off / _PRIOR

    found = minimize(
        loss, centre if start is None else start, jac=True, method="L-BFGS-B",
        bounds=[(value - 7.0, value + 7.0) for value in centre], options={"maxiter": _ITERATIONS},
    )  # fmt: skip
    return Noise(_named(found.x), truth, float(found.fun))


class Likelihood:
    """Negative logarithm of the composite likelihood, and its slope in the logarithms of the parameters.

    Args:
        table: of n windows and horizons. truth: the tracker's noise [m, rad].
    """

    def __init__(self, table: Covariances, truth: tuple[float, float]) -> None:
        self._error = table.error
        self._causes = table.causes
        self._sure = table.hold + truth[0] ** 2 * table.truth[0] + truth[1] ** 2 * table.truth[1] + 1e-12 * np.eye(3)

    def __call__(self, point: FloatArray) -> tuple[float, FloatArray]:
        """Return value and slope (P,) at a point (P,) of logarithms."""
        values = _named(point)
        total = self._sure.copy()
        parts: dict[str, tuple[FloatArray, FloatArray | None]] = {}
        for name, grid in self._causes.items():
            parts[name] = _between(grid, values[_TIME_OF[name]] if name in _TIME_OF else None)
            total += values[name] ** 2 * parts[name][0]
        inverse = np.linalg.inv(total)
        pulled = np.einsum("nij,nj->ni", inverse, self._error)
        size = np.linalg.slogdet(total)[1]
        far = (self._error * pulled).sum(axis=1)
        freedom = values["tail"]
        constant = gammaln(0.5 * (freedom + 3.0)) - gammaln(0.5 * freedom) - 1.5 * np.log(freedom * np.pi)
        value = (-constant + 0.5 * size + 0.5 * (freedom + 3.0) * np.log1p(far / freedom)).sum()
        heavy = ((freedom + 3.0) / (freedom + far))[:, None, None]
        # d value / d covariance, (n, 3, 3).
        push = 0.5 * inverse - 0.5 * heavy * pulled[:, :, None] * pulled[:, None, :]
        slope = dict.fromkeys(NAMES, 0.0)
        for name, (part, change) in parts.items():
            square = values[name] ** 2
            # Not by matrix products: those of long arrays depend on the number of threads in their last digits.
            slope[name] += 2.0 * square * float((push * part).sum())
            if change is not None:
                slope[_TIME_OF[name]] += square * float((push * change).sum())
        bend = 0.5 * digamma(0.5 * (freedom + 3.0)) - 0.5 * digamma(0.5 * freedom) - 1.5 / freedom
        rise = -bend + 0.5 * np.log1p(far / freedom) - 0.5 * (freedom + 3.0) * far / (freedom * (freedom + far))
        slope["tail"] = float(rise.sum()) * (freedom - _TAIL_ABOVE)
        return float(value), np.array([slope[name] for name in NAMES])


def _between(grid: list[FloatArray], time: float | None) -> tuple[FloatArray, FloatArray | None]:
    """Interpolate covariances over the logarithm of the correlation time; return them and their slope along it."""
    if time is None:
        return grid[0], None
    known = np.log(TIMES)
    place = float(np.interp(np.log(time), known, np.arange(len(TIMES))))
    low = min(int(place), len(TIMES) - 2)
    step = grid[low + 1] - grid[low]
    inside = known[0] < np.log(time) < known[-1]
    return grid[low] + (place - low) * step, step / (known[low + 1] - known[low]) if inside else None


def _named(point: FloatArray) -> dict[str, float]:
    values = dict(zip(NAMES, np.exp(point).tolist(), strict=True))
    values["tail"] += _TAIL_ABOVE
    return values


def logarithms(noise: Noise) -> FloatArray:
    """Return fitted values as a point that ``fit_noise`` may begin at."""
    values = {**noise.values, "tail": noise.values["tail"] - _TAIL_ABOVE}
    return np.log(np.array([values[name] for name in NAMES]))


def tracker_noise(log: FieldLog) -> tuple[float, float]:
    """Return the standard deviation of one true pose's noise [m, rad], from second differences of neighbours.

    Motion hardly bends within two samples; the second difference of white noise has six times its variance. The median
    is used, so that short starts, stops and turns do not count. Noise slower than the samples is not seen.
    """
    pose = log.pose
    bend = pose[2:] - 2.0 * pose[1:-1] + pose[:-2]
    bend[:, 2] = wrap_angle(bend[:, 2])
    scale = 1.4826 * np.median(np.abs(bend), axis=0) / np.sqrt(6.0)
    return max(float(np.hypot(scale[0], scale[1]) / np.sqrt(2.0)), 1e-5), max(float(scale[2]), 1e-5)
