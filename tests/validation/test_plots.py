import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from floorcast.validation.plots import (
    MAX_POINTS,
    Estimate,
    HorizonSeries,
    Series,
    horizon_chart,
    interval_bar,
    nice_ticks,
    trajectory_chart,
)

NS = "{http://www.w3.org/2000/svg}"


def path_points(svg, style):
    path = next(e for e in ElementTree.fromstring(svg).iter(f"{NS}path") if e.get("class") == style)
    return np.array([[float(n) for n in re.split(r"[ ]", part)] for part in re.split("[ML]", path.get("d"))[1:]])


@given(st.floats(-1e4, 1e4), st.floats(1e-2, 1e6), st.integers(2, 10))
def test_ticks_are_round_evenly_spaced_and_inside(low, span, count):
    high = low + span
    ticks = nice_ticks(low, high, count)
    assert len(ticks) <= 3 * count
    assert all(low - 1e-6 * span - 1e-9 <= t <= high + 1e-6 * span + 1e-9 for t in ticks)
    if len(ticks) > 1:
        step = ticks[1] - ticks[0]
        mantissa = step / 10 ** math.floor(math.log10(step) + 1e-6)
        assert min(abs(mantissa - m) for m in (1, 2, 5)) < 1e-2


def test_ticks_of_nothing():
    assert nice_ticks(1.0, 1.0) == [1.0]
    assert nice_ticks(math.nan, 1.0) == []


def test_trajectories_keep_one_scale_for_both_axes():
    square = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]])
    points = path_points(trajectory_chart([Series("r", "s-real", square)], alt="x"), "s-real")
    sides = np.linalg.norm(np.diff(points, axis=0), axis=1)
    assert sides == pytest.approx(np.full(3, sides[0]), abs=0.15)
    assert points[2, 1] < points[1, 1]  # y points up


@pytest.mark.parametrize("scale", [(1e-3, 1.0), (1.0, 1e-3), (1e4, 1e4), (0.0, 0.0)])
def test_any_shape_stays_inside_the_drawing(scale):
    angle = np.linspace(0, 6, 200)
    svg = trajectory_chart([Series("r", "s-real", np.stack([np.cos(angle), np.sin(angle)], 1) * scale)], alt="x")
    width, height = map(float, ElementTree.fromstring(svg).get("viewBox").split()[2:])
    points = path_points(svg, "s-real")
    assert points.min() >= 0
    assert points[:, 0].max() <= width
    assert points[:, 1].max() <= height


def test_gaps_break_the_line_and_long_paths_are_thinned_but_keep_their_end():
    path = np.stack([np.linspace(0, 100, 50_000), np.sin(np.linspace(0, 60, 50_000))], 1)
    points = path_points(trajectory_chart([Series("r", "s-real", path)], alt="x"), "s-real")
    assert len(points) <= MAX_POINTS + 1
    svg = trajectory_chart([Series("r", "s-real", np.array([[0, 0], [1, 0], [np.nan, 0], [2, 0], [3, 1]]))], alt="x")
    assert svg.count("M") == 2
    assert "nan" not in svg


def test_nothing_to_draw_says_so():
    assert "no trajectory" in trajectory_chart([Series("r", "s-real", np.full((3, 2), np.nan))], alt="x")
    assert "no trajectory" in trajectory_chart([], alt="x")


def test_interval_bar_places_value_and_bound_in_order():
    svg = interval_bar(0.5, 0.3, 0.7, 0.8, "min", proportion=True, alt="a")
    root = ElementTree.fromstring(svg)
    x = {e.get("class"): float(e.get("cx") or e.get("x1") or e.get("x")) for e in root}
    assert x["point"] < x["bound"] == x["good"]
    assert root.get("aria-label") == "a"


@pytest.mark.parametrize("ends", [(None, None), (None, 2.0), (1.0, None), (2.0, 2.0), (-1e9, 1e9)])
@pytest.mark.parametrize("value", [None, 2.0, 0.0, -3.0])
def test_interval_bar_of_odd_numbers_is_whole(value, ends):
    svg = interval_bar(value, *ends, 2.0, "max", proportion=False, alt='<"&>')
    ElementTree.fromstring(svg)
    assert "nan" not in svg
    assert "inf" not in svg


def test_horizon_chart_has_a_marker_for_each_estimate():
    series = [
        HorizonSeries("Before", "s-before", (Estimate(1, 0.5, 1.5), None, Estimate(3.0))),
        HorizonSeries("After", "s-after", (Estimate(0.5), Estimate(0.7, 0.6, 0.9), Estimate(0.0))),
    ]
    root = ElementTree.fromstring(horizon_chart([1, 5, 30], series, unit="m", alt="x"))
    dots = [e.get("class") for e in root.iter(f"{NS}circle")]
    assert dots.count("s-before-dot") == 2
    assert dots.count("s-after-dot") == 3
    ElementTree.fromstring(
        horizon_chart([1], [HorizonSeries("A", "s-after", (Estimate(0.0),))], unit="m", alt="x")
    )  # one horizon, all zero
