"""Vectors in kernels: each lane against numpy's answer for one number."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from numpy.testing import assert_array_equal

from floorcast.perception.lanes import (
    LANES,
    WIDE_LANES,
    absolute,
    any_lane,
    bits_of,
    first_bit,
    flag_bits,
    float_of,
    floor,
    gather,
    gather_bytes,
    gather_rows,
    greater,
    greatest,
    item,
    lane,
    lane_numbers,
    leading,
    least,
    lesser,
    load,
    narrow,
    root,
    row_stride,
    select,
    spread,
    spread_row,
    spread_wide,
    store,
    store_bytes,
    store_colors,
    to_float,
    to_int,
    wide_lane_numbers,
)
from floorcast.perception.noise import QUANTILES, normal_lanes, random_bits_of, random_lanes
from floorcast.perception.plane_light import whole_lanes


@njit(error_model="numpy")
def fractions(a, b, at, out):
    x, y = load(a, at), load(b, at)
    store(out, 0, (x + y) * np.float32(2.0) - x / y)
    store(out, LANES, select((x < y) | (y > 1.0), lesser(x, y), greater(x, np.float32(0.5))))
    store(out, 2 * LANES, floor(x) + root(absolute(y)))
    store(out, 3 * LANES, to_float(to_int(x)) + to_float(whole_lanes(x)))
    store(out, 4 * LANES, select((x >= y) & (x <= 3.0), np.float32(1.0), np.float32(0.0)))
    return lane(x, 3), any_lane(x == y), leading(x < y), item(a, 2)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 7))
def test_fractions_are_as_numpy_has_them(seed, at):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0, 3, (2, LANES + 7)).astype(np.float32)
    if seed % 3 == 0:
        b[at] = a[at]
    if seed % 5 == 0:
        b = a + np.float32(1.0)
    out = np.zeros(5 * LANES, np.float32)
    fourth, equal, first, third = fractions(a, b, at, out)
    x, y = a[at : at + LANES], b[at : at + LANES]
    half, two = np.float32(0.5), np.float32(2.0)
    chosen = np.where((x < y) | (y > 1), np.minimum(x, y), np.maximum(x, half))
    expected = [
        (x + y) * two - x / y,
        chosen,
        np.floor(x) + np.sqrt(np.abs(y)),
        np.trunc(x) + np.floor(x),
        ((x >= y) & (x <= 3)).astype(np.float32),
    ]
    assert_array_equal(out.reshape(5, LANES), expected)
    assert (fourth, equal, third) == (x[3], (x == y).any(), a[2])
    assert first == (LANES if (x < y).all() else np.argmin(x < y))


@njit(error_model="numpy")
def whole_numbers(a, table, bytes_, colors, out):
    x = load(a, 0)
    store(out, 0, ((x & 255) << 3) | (x >> 28))
    store(out, LANES, gather(table, x & 63) - lane_numbers() * 2)
    store(out, 2 * LANES, select(x == 7, spread(np.int32(1)), x ^ 5))
    store(out, 3 * LANES, gather_bytes(bytes_, x & 31) + (3 - x))
    store_bytes(bytes_, 32, x)
    store_colors(colors, 2, x, x >> 8, x >> 16)


def test_whole_numbers_are_as_numpy_has_them():
    rng = np.random.default_rng(4)
    x = rng.integers(-(2**31), 2**31, LANES).astype(np.int32)
    x[3] = 7
    table = rng.integers(0, 2**32, 64, dtype=np.uint32)
    bytes_ = rng.integers(0, 256, 32 + LANES + 1).astype(np.uint8)
    before, last = bytes_[:32].copy(), bytes_[-1]
    colors = np.zeros(3 * (LANES + 3), np.uint8)
    out = np.zeros(4 * LANES, np.int32)
    whole_numbers(x, table, bytes_, colors, out)
    unsigned = x.view(np.uint32)
    number = np.arange(LANES, dtype=np.int32)
    assert_array_equal(out[:LANES].view(np.uint32), ((unsigned & 255) << 3) | (unsigned >> 28))
    assert_array_equal(out[LANES : 2 * LANES], table[x & 63].view(np.int32) - 2 * number)
    assert_array_equal(out[2 * LANES : 3 * LANES], np.where(x == 7, 1, x ^ 5))
    assert_array_equal(out[3 * LANES :], before[x & 31] + (3 - x))
    assert_array_equal(bytes_, [*before, *(x & 255), last])
    planes = np.stack([x & 255, (x >> 8) & 255, (x >> 16) & 255], axis=1)
    assert_array_equal(colors, [0] * 6 + planes.ravel().tolist() + [0] * 3)


@njit(error_model="numpy")
def noise_lanes(key, first, quantiles, out):
    bits = random_lanes(key, first)
    for part in range(np.uint64(3)):
        store(out, LANES * part, normal_lanes(bits, part, quantiles))


def test_random_numbers_are_those_of_one_element():
    out = np.zeros(3 * LANES, np.float32)
    noise_lanes(np.uint64(2**63 + 12345), np.uint64(77), QUANTILES, out)
    bits = random_bits_of(np.uint64(2**63 + 12345), np.arange(77, 77 + LANES))
    expected = [QUANTILES[(bits >> np.uint64(12 * part)) & np.uint64(4095)] for part in range(3)]
    assert_array_equal(out.reshape(3, LANES), expected)


@njit(error_model="numpy")
def there_and_back(x):
    return bits_of(x), float_of(bits_of(x))


def test_bits_of_a_number():
    for value in (0.0, 1.0, -2.5, 3e-40, np.inf):
        number = np.float32(value)
        assert there_and_back(number) == (number.view(np.int32), number)


def test_a_vector_may_start_anywhere_in_a_row():
    for width in range(1, 70):
        assert row_stride(width) % LANES == 0
        assert width - 1 + LANES <= row_stride(width) <= width + 2 * LANES


@njit(error_model="numpy")
def rows(table, at, out):
    of_each, of_one = gather_rows(table, load(at, 0)), spread_row(table, at[1])
    store(out, 0, of_each[0])
    store(out, LANES, of_each[LANES - 2])
    store(out, 2 * LANES, of_one[3])
    bits = flag_bits(of_each[0] < of_one[3])
    return bits, first_bit(bits)


def test_rows_of_a_table_become_its_columns():
    rng = np.random.default_rng(3)
    table, at = rng.normal(size=(40, LANES)).astype(np.float32), rng.integers(0, 40, LANES).astype(np.int32)
    out = np.zeros(3 * LANES, np.float32)
    bits, first = rows(table, at, out)
    assert_array_equal(out[:LANES], table[at, 0])
    assert_array_equal(out[LANES : 2 * LANES], table[at, LANES - 2])
    assert_array_equal(out[2 * LANES :], np.full(LANES, table[at[1], 3]))
    expected = np.flatnonzero(table[at, 0] < table[at[1], 3])
    assert bits == sum(1 << int(k) for k in expected)
    assert first == expected[0]


@njit(error_model="numpy")
def wide_numbers(a, b, out, words, singles):
    x, y = load(a, 1), load(b, 1)
    store(out, 0, (x - y) * 2.0 / greater(absolute(y), spread_wide(0.5)))
    store(out, WIDE_LANES, select((x < y) & (y > 0.25), lesser(x, y), floor(x) + root(absolute(y))))
    number = wide_lane_numbers() + 3
    store(words, 0, select(number > 5, bits_of(x) & ~7, spread_wide(9)) | 1)
    store(singles, 0, narrow(x, y))
    return greatest(load(words, 0)), flag_bits(x < y), any_lane(x == y), first_bit(flag_bits(number >= 7))


def test_wide_numbers_are_as_numpy_has_them():
    rng = np.random.default_rng(5)
    a, b = rng.normal(0, 3, (2, WIDE_LANES + 1))
    b[4] = a[4]
    out, words = np.zeros(2 * WIDE_LANES), np.zeros(WIDE_LANES, np.int64)
    singles = np.zeros(LANES, np.float32)
    most, below, equal, lowest = wide_numbers(a, b, out, words, singles)
    x, y = a[1:].copy(), b[1:].copy()
    assert_array_equal(out[:WIDE_LANES], (x - y) * 2.0 / np.maximum(np.abs(y), 0.5))
    chosen = np.where((x < y) & (y > 0.25), np.minimum(x, y), np.floor(x) + np.sqrt(np.abs(y)))
    assert_array_equal(out[WIDE_LANES:], chosen)
    expected = np.where(np.arange(WIDE_LANES) + 3 > 5, x.view(np.int64) & ~7, 9) | 1
    assert_array_equal(words, expected)
    assert_array_equal(singles, np.concatenate([x, y]).astype(np.float32))
    assert (most, equal, lowest) == (expected.max(), True, 4)
    assert below == sum(1 << k for k in range(WIDE_LANES) if x[k] < y[k])


@njit(error_model="numpy")
def least_of(a):
    x = load(a, 0)
    return least(x), flag_bits(x > 0)


def test_the_least_lane_and_flags_as_bits():
    a = np.random.default_rng(6).integers(-50, 50, LANES).astype(np.int32)
    assert least_of(a) == (a.min(), sum(1 << k for k in range(LANES) if a[k] > 0))
