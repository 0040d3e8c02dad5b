"""Whether a change of an error counts: one rule for terminals, pages and summaries."""

from __future__ import annotations

import math
from typing import Literal

Verdict = Literal["better", "worse", "no difference that matters", "no difference shown", "too few windows"]

SHARE_THAT_MATTERS = 0.01
"""Of the error before: a smaller change is no reason to do anything."""
RESOLUTION = {
    "m": 1e-4, "m/s": 1e-4, "rad": math.radians(0.01), "rad/s": math.radians(0.01), "°": 0.01, "°/s": 0.01, "ms": 1.0,
}  # fmt: skip
"""By unit, what no reference pose or clock of a field log tells apart: 0.1 mm, 0.01 degrees, 1 ms."""
WORDS: dict[Verdict, str] = {
    "better": "clearly better",
    "worse": "clearly worse",
    "no difference that matters": "no difference that matters",
    "no difference shown": "no clear difference",
    "too few windows": "too few windows for an interval",
}
"""The verdicts as pages say them."""


def judge_change(before: float, low: float | None, high: float | None, unit: str = "") -> Verdict:
    """Judge the change of an error, of which less is better.

    It is better or worse only if the whole interval of the change lies beyond what matters: 1 % of the error before,
    and the resolution of its unit (a minimum-effect test, Murphy and Myors, J. Applied Psychology 84, 1999). So an
    interval of -3 mm to -0.005 mm is no improvement that anybody could build on.

    Args:
        before: the error before the change, in ``unit``.
        low, high: ends of the interval of after - before; None where there is none.
        unit: of all three.

    Returns:
        ``better`` or ``worse``; ``no difference that matters`` where the whole interval lies within what does not
        matter; ``no difference shown`` where it holds both; ``too few windows`` without one.
    """
    if low is None or high is None:
        return "too few windows"
    least = max(SHARE_THAT_MATTERS * abs(before), RESOLUTION.get(unit, 0.0))
    if high < 0.0 and high <= -least:
        return "better"
    if low > 0.0 and low >= least:
        return "worse"
    return "no difference that matters" if max(-low, high) <= least else "no difference shown"


def judge_apart(
    before: float,
    ends_before: tuple[float | None, float | None],
    ends_after: tuple[float | None, float | None],
    unit: str = "",
) -> Verdict:
    """Judge a change by the intervals of the error before and after, where there is none of the change itself.

    Asks for more than ``judge_change``: the two intervals must lie apart.
    """
    low, high = ends_before
    after_low, after_high = ends_after
    if low is None or high is None or after_low is None or after_high is None:
        return "too few windows"
    return judge_change(before, after_low - high, after_high - low, unit)
