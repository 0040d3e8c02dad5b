"""Decimal numbers in bytes, by compiled code, as exactly as ``float``.

A number of at most 2^53 without its point, times or over a power of ten up to 10^22, is two exact doubles and one
rounded operation: the nearest double there is (W. D. Clinger, "How to Read Floating Point Numbers Accurately", PLDI
1990). Anything else is left to ``float``, which takes twenty times as long.
"""

from __future__ import annotations

import numpy as np

from ...common.kernels import compiled

_POWERS = np.array([float(10**k) for k in range(23)])
_MOST_DIGITS = 18
_EXACT = 1 << 53


@compiled
def is_blank(byte):  # type: ignore[no-untyped-def]
    """Tell whether a byte parts words, as ``bytes.split`` has it."""
    return byte == 32 or 9 <= byte <= 13


@compiled
def next_word(data, at, end):  # type: ignore[no-untyped-def]
    """Return where the next word begins and ends, both ``end`` if there is none.

    Args:
        data: (N,) uint8.
        at, end: places to look between.
    """
    while at < end and is_blank(data[at]):
        at += 1
    stop = at
    while stop < end and not is_blank(data[stop]):
        stop += 1
    return at, stop


@compiled
def last_word(data, at, end):  # type: ignore[no-untyped-def]
    """Return where the last word begins and ends; likewise."""
    while end > at and is_blank(data[end - 1]):
        end -= 1
    begin = end
    while begin > at and not is_blank(data[begin - 1]):
        begin -= 1
    return begin, end


@compiled
def read_count(data, at, end):  # type: ignore[no-untyped-def]
    """Return the next word as a whole number and where it ends; -1 if it is no plain one of at most six digits."""
    begin, stop = next_word(data, at, end)
    value = 0
    if stop == begin or stop - begin > 6:
        return -1, stop
    for place in range(begin, stop):
        digit = data[place] - 48
        if not 0 <= digit <= 9:
            return -1, stop
        value = 10 * value + digit
    return value, stop


@compiled
def read_decimal(data, at, end):  # type: ignore[no-untyped-def]
    """Read the next word as a number, equal to the bit to what ``float`` makes of it.

    Args:
        data: (N,) uint8.
        at, end: places to look between.

    Returns:
        The number; where its word ends, or -1 where the word is no number or one that only ``float`` reads exactly.
    """
    while at < end and is_blank(data[at]):
        at += 1
    negative = at < end and data[at] == 45
    if at < end and (data[at] == 45 or data[at] == 43):
        at += 1
    mantissa = np.int64(0)
    digits, scale, seen = 0, 0, 0
    point = False
    while at < end:
        byte = np.int64(data[at])
        if 48 <= byte <= 57:
            seen += 1
            if digits == _MOST_DIGITS:
                return 0.0, -1
            mantissa = 10 * mantissa + (byte - 48)
            digits += 1 if mantissa > 0 else 0
            scale -= 1 if point else 0
        elif byte == 46 and not point:
            point = True
        else:
            break
        at += 1
    if seen == 0:
        return _read_special(data, at, end, negative)
    if at < end and (data[at] == 101 or data[at] == 69):
        power, at = _read_power(data, at + 1, end)
        if at < 0:
            return 0.0, -1
        scale += power
    if (at < end and not is_blank(data[at])) or mantissa > _EXACT or scale > 22 or scale < -22:
        return 0.0, -1
    value = float(mantissa)
    value = value * _POWERS[scale] if scale >= 0 else value / _POWERS[-scale]
    return (-value if negative else value), at


@compiled
def _read_power(data, at, end):  # type: ignore[no-untyped-def]
    """Return the power of ten and where it ends; -1 for none, or one of over three digits."""
    down = at < end and data[at] == 45
    if at < end and (data[at] == 45 or data[at] == 43):
        at += 1
    begin, power = at, 0
    while at < end and 48 <= data[at] <= 57 and at - begin <= 3:
        power = 10 * power + (data[at] - 48)
        at += 1
    if at == begin or at - begin > 3:
        return 0, -1
    return (-power if down else power), at


@compiled
def _read_special(data, at, end, negative):  # type: ignore[no-untyped-def]
    """Read ``nan`` and ``inf`` in letters of any size."""
    if end - at < 3 or (end - at > 3 and not is_blank(data[at + 3])):
        return 0.0, -1
    a, b, c = data[at] | 32, data[at + 1] | 32, data[at + 2] | 32
    if a == 110 and b == 97 and c == 110:
        return np.nan, at + 3
    if a == 105 and b == 110 and c == 102:
        return (-np.inf if negative else np.inf), at + 3
    return 0.0, -1
