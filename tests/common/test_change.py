import math

import pytest

from floorcast.common.change import judge_change
from floorcast.gap.results import Comparison


@pytest.mark.parametrize(
    ("before", "low", "high", "unit", "verdict"),
    [
        (0.2, -0.03, -0.02, "m", "better"),
        (0.2, 0.02, 0.03, "m", "worse"),
        (0.005, -0.0012, -5e-6, "m", "no difference shown"),  # clear of zero by a hair; may be 24 % or nothing
        (0.12, -0.069, -0.00075, "rad", "no difference shown"),  # half or next to nothing: no word on which
        (0.2, -0.0019, -0.0001, "m", "no difference that matters"),  # less than 1 % of 0.2
        (0.2, -0.001, 0.001, "m", "no difference that matters"),  # surely less than 1 %
        (0.002, -9e-5, -5e-5, "m", "no difference that matters"),  # 2.5 % and more, but below 0.1 mm
        (0.2, -0.03, 0.01, "m", "no difference shown"),
        (0.2, None, None, "m", "too few windows"),
        (0.0, 0.0, 0.0, "m", "no difference that matters"),
        (2.0, -0.04, -0.03, "", "better"),
    ],
)
def test_a_change_counts_only_if_all_of_its_interval_matters(before, low, high, unit, verdict):
    assert judge_change(before, low, high, unit) == verdict


def test_degrees_and_radians_are_judged_alike_and_comparisons_by_the_same_rule():
    for low, high in ((-0.5, -0.02), (-0.5, -0.008), (0.02, 0.4)):
        row = Comparison("yaw_end_err", "r", 1.0, math.radians(0.7), 0.0, 0.0, math.radians(low), math.radians(high),
                         None, 9, "rad")  # fmt: skip
        assert row.verdict == judge_change(0.7, low, high, "°")
