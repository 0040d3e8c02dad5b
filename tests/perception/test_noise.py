"""The counter-based random numbers: known answers, distributions, and independence of everything but their purpose."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit
from scipy import special, stats

from floorcast.perception.noise import (
    CAMERA,
    LIDAR,
    QUANTILES,
    as_word,
    mix,
    noise_key,
    normal_quantile,
    random_bits,
    standard_normal,
    table_normal,
    uniform,
)


@njit
def many(key, count, gaussian):
    out = np.empty(count)
    for i in range(count):
        out[i] = standard_normal(key, i) if gaussian else uniform(key, i)
    return out


def key(stream=0, purpose=LIDAR, sensor=0, frame=0):
    return np.uint64(noise_key(as_word(stream), purpose, as_word(sensor), as_word(frame)))


def test_the_hash_is_splitmix64():
    # First outputs of SplitMix64 seeded with 1234567, as published with Vigna's reference implementation.
    first = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821]
    assert [int(random_bits(np.uint64(1234567), i)) for i in range(5)] == first
    assert int(mix(np.uint64(0))) == 0


def test_uniform_numbers_are_uniform_and_never_at_the_ends():
    values = many(key(), 200_000, False)
    assert 0 < values.min() < 2e-5
    assert 1 - 2e-5 < values.max() < 1
    assert stats.kstest(values, "uniform").statistic < 0.005
    # Neighbouring elements are uncorrelated.
    assert abs(np.corrcoef(values[:-1], values[1:])[0, 1]) < 0.01


def test_normal_numbers_are_normal():
    values = many(key(3), 400_000, True)
    assert stats.kstest(values, "norm").statistic < 0.004
    assert abs(values.mean()) < 0.01
    assert values.std() == pytest.approx(1, abs=0.01)
    assert stats.kurtosis(values) == pytest.approx(0, abs=0.05)


def test_quantile_against_scipy_far_into_the_tails():
    p = np.concatenate([np.linspace(1e-4, 1 - 1e-4, 999), [1e-16, 1e-12, 1e-7, 1 - 1e-7, 1 - 1e-12]])
    ours = np.array([normal_quantile(x) for x in p])
    np.testing.assert_allclose(ours, special.ndtri(p), rtol=1e-6, atol=1e-6)


def test_the_table_gives_normal_numbers_that_are_independent_between_parts():
    @njit
    def draw(key, count, table):
        out = np.empty((count, 5))
        for i in range(count):
            for part in range(5):
                out[i, part] = table_normal(random_bits(key, i), part, table)
        return out

    values = draw(key(9), 100_000, QUANTILES)
    assert QUANTILES.std() == pytest.approx(1)
    for part in range(5):
        assert stats.kstest(values[:, part], "norm").statistic < 0.006
    assert np.abs(np.corrcoef(values.T) - np.eye(5)).max() < 0.015


def test_every_part_of_the_key_matters_and_zero_is_as_good_as_any():
    keys = [
        int(key(stream, purpose, sensor, frame))
        for stream in (0, 1, 2**63, 2**64 - 1)
        for purpose in (LIDAR, CAMERA)
        for sensor in range(8)
        for frame in range(200)
    ]
    assert len(set(keys)) == len(keys)
    assert 0 not in keys


def test_frames_and_sensors_are_uncorrelated():
    draws = np.array([many(key(5, LIDAR, s, f), 4000, True) for s in range(4) for f in range(4)])
    correlation = np.corrcoef(draws) - np.eye(16)
    assert np.abs(correlation).max() < 0.07


def test_an_element_does_not_depend_on_its_neighbours():
    values = many(key(7), 100, True)
    assert [standard_normal(key(7), i) for i in (99, 0, 42)] == [values[99], values[0], values[42]]


def test_any_integer_is_a_word():
    assert as_word(-1) == np.uint64(2**64 - 1)
    assert as_word(2**64 + 5) == np.uint64(5)
    assert as_word(0) == np.uint64(0)
