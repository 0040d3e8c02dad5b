"""Counter-based random numbers, compiled: a value depends on what it is for, never on batch, thread or order.

A key is hashed from (stream, purpose, sensor, frame); the value of an element (a beam, a pixel's channel) is hashed
from the key and the element's number. The hash is the output function of SplitMix64 (Steele, Lea and Flood, *Fast
Splittable Pseudorandom Number Generators*, 2014), so the elements of a key are a stretch of that generator's sequence.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compiled import compiled, inlined, part
from .lanes import gather, lane_words, low_half

LIDAR, CAMERA = 1, 2
"""Purposes: a lidar and a camera that share stream, sensor and frame draw different numbers."""
LIDAR_UNIT, LIDAR_DRIFT, LIDAR_FILM, INERTIAL, INERTIAL_UNIT, WHEELS = 3, 4, 5, 6, 7, 8
"""Purposes of the numbers that belong to one lidar unit, its slow drift, wrapped goods, inertial sensors (samples and
unit) and wheel odometry."""
CAMERA_UNIT = 9
"""Purpose of the numbers that belong to one camera unit: what is wrong with its sensor, and what sticks to its lens."""
LIDAR_RUNS = 10
"""Purpose of the errors that neighbouring beams of a lidar share."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31, _S11 = np.uint64(27), np.uint64(30), np.uint64(31), np.uint64(11)
_TO_UNIT = 1.0 / 9007199254740992.0  # 2^-53


@inlined
def mix(state: np.uint64) -> np.uint64:
    """Return the SplitMix64 output (uint64) of a state (uint64)."""
    z = state
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    return z ^ (z >> _S31)


@compiled
def noise_key(stream: np.uint64, purpose: int, sensor: np.uint64, frame: np.uint64) -> np.uint64:
    """Return the key (uint64) of one frame of one sensor.

    Args:
        stream: the episode's noise stream. purpose: LIDAR or CAMERA. sensor: index of the sensor. frame: its number.
    """
    key = mix(np.uint64(stream) + _GOLDEN)
    key = mix(key ^ (np.uint64(purpose) + _GOLDEN))
    key = mix(key + np.uint64(sensor) * _GOLDEN + _MIX_1)
    return mix(key ^ (np.uint64(frame) * _MIX_2 + _GOLDEN))


@inlined
def random_bits(key: np.uint64, element: int) -> np.uint64:
    """Return 64 random bits (uint64) of an element."""
    return mix(key + (np.uint64(element) + np.uint64(1)) * _GOLDEN)


def random_bits_of(key: np.uint64, elements: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return ``random_bits`` of many elements, int64 of any shape, without compiling anything."""
    bits: NDArray[np.uint64] = mix.py_func(key + (elements.astype(np.uint64) + np.uint64(1)) * _GOLDEN)
    return bits


@inlined
def uniform(key: np.uint64, element: int) -> float:
    """Return a uniform number in (0, 1): 2^53 equal steps, never 0 and never 1."""
    return (np.float64(random_bits(key, element) >> _S11) + 0.5) * _TO_UNIT


@inlined
def normal_quantile(p: float) -> float:
    """Return the quantile of the standard normal distribution, 0 < p < 1, to seven digits.

    Wichura, *Algorithm AS 241: The Percentage Points of the Normal Distribution*, 1988, routine PPND7. One uniform
    number gives one normal number, without trigonometry and, for 85 % of them, without a logarithm.
    """
    q = p - 0.5
    if abs(q) <= 0.425:
        r = 0.180625 - q * q
        return (
            q
            * (((5.9109374720e01 * r + 1.5929113202e02) * r + 5.0434271938e01) * r + 3.3871327179)
            / (((6.7187563600e01 * r + 7.8757757664e01) * r + 1.7895169469e01) * r + 1.0)
        )
    r = np.sqrt(-np.log(p if q < 0.0 else 1.0 - p))
    if r <= 5.0:
        r -= 1.6
        value = (((1.7023821103e-01 * r + 1.3067284816) * r + 2.7568153900) * r + 1.4234372777) / (
            (1.2021132975e-01 * r + 7.3700164250e-01) * r + 1.0
        )
    else:
        r -= 5.0
        value = (((1.7337203997e-02 * r + 4.2868294337e-01) * r + 3.0812263860) * r + 6.6579051150) / (
            (1.2258202635e-02 * r + 2.4197894225e-01) * r + 1.0
        )
    return -value if q < 0.0 else value


@inlined
def standard_normal(key: np.uint64, element: int) -> float:
    """Return a number from the standard normal distribution for an element."""
    return normal_quantile(uniform(key, element))


QUANTILE_BITS = 12


def _quantile_table() -> NDArray[np.float32]:
    count = 1 << QUANTILE_BITS
    values = np.array([NormalDist().inv_cdf((i + 0.5) / count) for i in range(count)])
    return (values / values.std()).astype(np.float32)


QUANTILES: NDArray[np.float32] = _quantile_table()
"""(4096,) equally likely values of a standard normal distribution: enough for noise that is rounded to 8 bits after."""


@inlined
def table_normal(bits: np.uint64, part: int, quantiles: NDArray[np.float32]) -> float:
    """Return a number from the standard normal distribution, in 4096 steps up to 3.7 deviations.

    Args:
        bits: random bits of an element. part: 0 to 4, which of them to use; parts are independent.
        quantiles: QUANTILES.
    """
    return quantiles[np.int64((bits >> np.uint64(QUANTILE_BITS * part)) & np.uint64((1 << QUANTILE_BITS) - 1))]


@part
def random_lanes(key: np.uint64, first: np.uint64) -> Any:
    """Return ``random_bits`` of the elements ``first`` to ``first + LANES - 1``, ``Lanes`` of uint64."""
    z = lane_words() * _GOLDEN + (key + (first + np.uint64(1)) * _GOLDEN)
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    return z ^ (z >> _S31)


@part
def normal_lanes(bits: Any, part: np.uint64, quantiles: NDArray[np.float32]) -> Any:
    """Return ``table_normal`` of random bits, ``Lanes`` of float32."""
    shift = np.uint64(QUANTILE_BITS) * part
    return gather(quantiles, low_half(bits >> shift) & ((1 << QUANTILE_BITS) - 1))


def as_word(value: int) -> np.uint64:
    """Return any integer as a 64-bit word for ``noise_key`` (taken modulo 2^64)."""
    return np.uint64(int(value) & 0xFFFFFFFFFFFFFFFF)
