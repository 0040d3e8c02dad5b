"""An inertial measurement unit: what gyroscope and accelerometer report of a true motion, of many robots at once.

Output of each axis (IEEE Std 952-1997, annex C, for the random parts)::

    y = limit(round((1 + scale) * x + misalignment . x_other + turn_on + wander + walk + N * sqrt(rate) * n))

``wander`` is a first-order Gauss-Markov process (bias instability), ``walk`` a random walk. Random numbers are hashed
from (stream, sensor, sample number, axis), so that the bytes do not depend on how samples or robots are grouped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.errors import InputError
from ..common.geometry import FloatArray
from .compiled import compiled
from .noise import INERTIAL, INERTIAL_UNIT, as_word, noise_key, standard_normal

if TYPE_CHECKING:
    from .config import ImuConfig, InertialErrors

GRAVITY = 9.80665
"""Standard gravity [m/s^2]."""

WANDER_PEAK = 0.618
"""Largest Allan deviation of a first-order Gauss-Markov process over its standard deviation (at 1.89 time constants).
"""

N_DENSITY, N_WANDER, N_KEEP, N_WALK, N_TURN_ON, N_SCALE, N_MISALIGNMENT, N_RESOLUTION, N_LIMIT = range(9)
"""Places in the errors of one triad as the kernel reads them, discrete in time."""

_DRAWS_PER_SAMPLE = 18


@dataclass
class ImuState:
    """What R units carry from one call to the next.

    Attributes:
        sample: number of the next sample.
        bias: (R, 2, 3, 2) float64: of gyroscope and accelerometer, each axis, the wandering and the walking bias.
    """

    bias: FloatArray
    sample: int = field(default=0)


class Imu:
    """The IMUs of R robots, all of one kind.

    Args:
        config: settings. stream: noise stream of the episode. sensors: (R,) numbers of the units.
    """

    def __init__(self, config: ImuConfig, stream: int, sensors: ArrayLike) -> None:
        self.config = config
        self._stream = as_word(stream)
        self._sensors = np.array([as_word(s) for s in np.atleast_1d(np.asarray(sensors)).tolist()], dtype=np.uint64)
        self._errors = np.stack([_discrete(e, config.rate) for e in (config.gyroscope, config.accelerometer)])
        self.response, self.offset = np.empty((len(self._sensors), 2, 3, 3)), np.empty((len(self._sensors), 2, 3))
        """Constant matrix (R, 2, 3, 3) and bias (R, 2, 3) of each unit's gyroscope and accelerometer."""
        self.state = ImuState(np.zeros((len(self._sensors), 2, 3, 2)))
        _make_units(self._errors, self._stream, self._sensors, self.response, self.offset, self.state.bias)

    def measure(self, angular_velocity: ArrayLike, specific_force: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Measure the next N samples of R robots.

        Args:
            angular_velocity: (R, N, 3) [rad/s] and specific_force: (R, N, 3) [m/s^2] (acceleration less gravity: at
                rest +9.81 along the axis that points up), in the frame ``imu`` (x forward, y left, z up), at
                ``config.rate``.

        Returns:
            Gyroscope (R, N, 3) [rad/s] and accelerometer (R, N, 3) [m/s^2].

        Raises:
            InputError: shapes that do not fit, or values that are not finite.
        """
        true = [np.ascontiguousarray(a, dtype=np.float64) for a in (angular_velocity, specific_force)]
        robots = len(self._sensors)
        if true[0].shape != true[1].shape or true[0].ndim != 3 or true[0].shape[::2] != (robots, 3):
            raise InputError(
                f"angular velocities {true[0].shape} and specific forces {true[1].shape} do not fit",
                where="Imu.measure",
                mend=f"give ({robots}, N, 3) of both",
            )
        if not all(np.isfinite(a).all() for a in true):
            raise InputError("a true motion is not finite", where="Imu.measure", mend="give finite values")
        measured = [np.empty_like(a) for a in true]
        _measure(
            self._errors,
            self._stream,
            self._sensors,
            self.state.sample,
            self.response,
            self.offset,
            self.state.bias,
            true[0],
            true[1],
            measured[0],
            measured[1],
        )
        self.state.sample += true[0].shape[1]
        return measured[0], measured[1]


def planar_motion(speed: ArrayLike, yaw_rate: ArrayLike, acceleration: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Return what an IMU at the origin of a robot on a level floor would feel.

    Args:
        speed: (R, N) forward speed [m/s]. yaw_rate: (R, N) [rad/s]. acceleration: (R, N) or (R, 1), dv/dt [m/s^2].

    Returns:
        Angular velocity (R, N, 3) [rad/s] and specific force (R, N, 3) [m/s^2]: dv/dt ahead, v * yaw rate to the left,
        gravity up.
    """
    v, turn = np.asarray(speed, dtype=np.float64), np.asarray(yaw_rate, dtype=np.float64)
    angular, force = np.zeros((*v.shape, 3)), np.zeros((*v.shape, 3))
    angular[..., 2] = turn
    force[..., 0] = acceleration
    force[..., 1] = v * turn
    force[..., 2] = GRAVITY
    return angular, force


def allan_deviation(samples: ArrayLike, rate: float, times: ArrayLike) -> FloatArray:
    """Return the overlapping Allan deviation of a signal (IEEE Std 952-1997, annex C).

    Args:
        samples: (N, ...) rate signal at ``rate`` [Hz]. times: (T,) averaging times [s], rounded to whole samples.

    Returns:
        (T, ...) Allan deviation in the unit of the samples.

    Raises:
        InputError: an averaging time that is no sample long, or over half of the record.
    """
    values = np.asarray(samples, dtype=np.float64)
    total = np.concatenate([np.zeros((1, *values.shape[1:])), np.cumsum(values, axis=0)])
    deviations = []
    for time in np.atleast_1d(np.asarray(times, dtype=np.float64)).tolist():
        m = round(time * rate)
        if not 1 <= m <= len(values) // 2:
            raise InputError(
                f"averaging over {time} s takes {m} of {len(values)} samples",
                where="allan_deviation",
                mend="give times between one sample and half of the record",
            )
        mean = (total[m:] - total[:-m]) / m
        step = mean[m:] - mean[:-m]
        deviations.append(np.sqrt(0.5 * np.mean(step * step, axis=0)))
    return np.array(deviations)


def _discrete(errors: InertialErrors, rate: float) -> FloatArray:
    keep = np.exp(-1.0 / (rate * errors.bias_time))
    return np.array(
        [
            errors.noise_density * np.sqrt(rate),
            errors.bias_instability / WANDER_PEAK,
            keep,
            errors.random_walk / np.sqrt(rate),
            errors.turn_on_bias,
            errors.scale_error,
            errors.misalignment,
            errors.resolution,
            errors.limit,
        ]
    )


@compiled
def _make_units(
    errors: FloatArray,
    stream: np.uint64,
    sensors: NDArray[np.uint64],
    response: FloatArray,
    offset: FloatArray,
    bias: FloatArray,
) -> None:
    """Draw the constants of each unit, and the wandering bias at the start from its stationary distribution."""
    for r in range(len(sensors)):
        key = noise_key(stream, INERTIAL_UNIT, sensors[r], np.uint64(0))
        element = 0
        for s in range(2):
            for i in range(3):
                for j in range(3):
                    size = errors[s, N_SCALE] if i == j else errors[s, N_MISALIGNMENT]
                    response[r, s, i, j] = (1.0 if i == j else 0.0) + size * standard_normal(key, element)
                    element += 1
                offset[r, s, i] = errors[s, N_TURN_ON] * standard_normal(key, element)
                bias[r, s, i, 0] = errors[s, N_WANDER] * standard_normal(key, element + 1)
                bias[r, s, i, 1] = 0.0
                element += 2


@compiled
def _measure(
    errors: FloatArray,
    stream: np.uint64,
    sensors: NDArray[np.uint64],
    sample: int,
    response: FloatArray,
    offset: FloatArray,
    bias: FloatArray,
    angular_velocity: FloatArray,
    specific_force: FloatArray,
    gyroscope: FloatArray,
    accelerometer: FloatArray,
) -> None:
    """Measure N samples of R units, the first one being number ``sample``; moves ``bias`` on."""
    for r in range(len(sensors)):
        key = noise_key(stream, INERTIAL, sensors[r], np.uint64(0))
        for s in range(2):
            true = angular_velocity if s == 0 else specific_force
            measured = gyroscope if s == 0 else accelerometer
            white, walk, keep = errors[s, N_DENSITY], errors[s, N_WALK], errors[s, N_KEEP]
            stir = errors[s, N_WANDER] * np.sqrt(1.0 - keep * keep)
            step, limit = errors[s, N_RESOLUTION], errors[s, N_LIMIT]
            for n in range(true.shape[1]):
                for i in range(3):
                    element = (sample + n) * _DRAWS_PER_SAMPLE + 9 * s + 3 * i
                    value = offset[r, s, i] + bias[r, s, i, 0] + bias[r, s, i, 1]
                    for j in range(3):
                        value += response[r, s, i, j] * true[r, n, j]
                    if white > 0.0:
                        value += white * standard_normal(key, element)
                    if stir > 0.0:
                        bias[r, s, i, 0] = keep * bias[r, s, i, 0] + stir * standard_normal(key, element + 1)
                    if walk > 0.0:
                        bias[r, s, i, 1] += walk * standard_normal(key, element + 2)
                    if step > 0.0:
                        value = np.floor(value / step + 0.5) * step
                    if limit > 0.0:
                        value = min(max(value, -limit), limit)
                    measured[r, n, i] = value
