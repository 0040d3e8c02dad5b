import math

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from floorcast.common.config import StrictModel, load_model, to_yaml
from floorcast.common.errors import InputError
from floorcast.episodes import distributions as d


class Holder(StrictModel):
    speed: d.Speed
    share: d.Fraction | None = None
    count: d.Count | None = None
    factor: d.Factor | None = None


def draws(source, n=4000):
    rng = np.random.default_rng(1)
    return np.array([source.sample(rng) for _ in range(n)])


def error_of(tmp_path, text):
    path = tmp_path / "ranges.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        load_model(path, Holder)
    return str(caught.value)


GOOD = "speed: {distribution: uniform, low: 1, high: 2, unit: m/s}\n"


@pytest.mark.parametrize(
    ("source", "mean", "std"),
    [
        (d.Constant(value=3, unit="m"), 3.0, 0.0),
        (d.Uniform(low=1, high=4, unit="m"), 2.5, 3 / math.sqrt(12)),
        (d.Uniform(low=36, high=72, unit="km/h"), 15.0, 10 / math.sqrt(12)),
        (d.LogUniform(low=1, high=math.e, unit="m"), math.e - 1, math.sqrt((math.e**2 - 1) / 2 - (math.e - 1) ** 2)),
        (d.Normal(mean=1, std=2, unit="m"), 1.0, 2.0),
        # Cut at one standard deviation on either side: variance 1 - 2 phi(1) / (2 Phi(1) - 1).
        (d.TruncatedNormal(mean=0, std=1, low=-1, high=1, unit="m"), 0.0, math.sqrt(1 - 2 * 0.2419707 / 0.6826895)),
        (d.UniformInteger(low=0, high=3, unit="1"), 1.5, math.sqrt(15 / 12)),
        (d.Choice(values=(1, 5), weights=(3, 1), unit="1"), 2.0, math.sqrt(3)),
    ],
)
def test_moments(source, mean, std):
    values = draws(source)
    assert values.mean() == pytest.approx(mean, abs=5 * std / math.sqrt(len(values)) + 1e-12)
    assert values.std() == pytest.approx(std, rel=0.08, abs=1e-12)


def test_units_become_si():
    assert d.Constant(value=180, unit="deg").sample(np.random.default_rng(0)) == pytest.approx(math.pi)
    assert d.Constant(value=25, unit="%").sample(np.random.default_rng(0)) == pytest.approx(0.25)
    assert d.Constant(value=5, unit="mm").sample(np.random.default_rng(0)) == pytest.approx(0.005)


@given(
    low=st.floats(-1e3, 1e3),
    width=st.floats(0, 1e3),
    mean=st.floats(-1e3, 1e3),
    std=st.floats(0.1, 1e3),
    seed=st.integers(0, 100),
)
def test_draws_stay_in_the_support(low, width, mean, std, seed):
    rng = np.random.default_rng(seed)
    sources = [d.Uniform(low=low, high=low + width, unit="cm")]
    if max(low - mean, mean - low - width) <= 6 * std:
        sources.append(d.TruncatedNormal(low=low, high=low + width, mean=mean, std=std, unit="cm"))
    else:
        with pytest.raises(ValidationError, match="6 std"):
            d.TruncatedNormal(low=low, high=low + width, mean=mean, std=std, unit="cm")
    for source in sources:
        bottom, top = source.support()
        for _ in range(20):
            assert bottom - 1e-9 <= source.sample(rng) <= top + 1e-9


def test_tails_of_a_truncated_normal_are_right():
    # Far out in the tail the density falls as exp(-5 z): mean 1/5 beyond the edge, to first order.
    values = draws(d.TruncatedNormal(mean=0, std=1, low=5, high=50, unit="m"))
    assert values.min() >= 5.0
    assert values.mean() == pytest.approx(5.1865, abs=0.02)
    mirrored = draws(d.TruncatedNormal(mean=0, std=1, low=-50, high=-5, unit="m"))
    assert mirrored.mean() == pytest.approx(-5.1865, abs=0.02)


def test_choice_never_draws_weight_zero():
    assert set(draws(d.Choice(values=(1, 2, 3), weights=(0, 1, 0), unit="1"), 200)) == {2.0}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("speed: {distribution: uniform, low: 3, high: 2, unit: m/s}", ["line 1", "'speed", "upside down"]),
        (GOOD + "count: {distribution: integer, low: 3, high: 2, unit: 1}", ["line 2", "'count", "upside down"]),
        ("\nspeed: {distribution: uniform, low: 1, high: 2, unit: m/z}", ["line 2", "unknown unit 'm/z'", "m/s"]),
        ("speed: {distribution: uniform, low: 1, high: 2, unit: kg}", ["unit 'kg' does not fit", "km/h"]),
        ("speed: {distribution: uniform, low: 1, high: 2}", ["speed.uniform.unit", "required"]),
        ("speed: {low: 1, high: 2, unit: m/s}", ["'speed'", "name the distribution"]),
        ("speed: {distribution: gauss, low: 1, unit: m/s}", ["gauss", "truncated_normal"]),
        ("speed: 1.5", ["'speed'", "distribution and unit"]),
        ("speed: {distribution: uniform, low: 1, hihg: 2, unit: m/s}", ["unknown key", "did you mean 'high'"]),
        ("speed: {distribution: normal, mean: 1, std: 1, unit: m/s}", ["truncated_normal", "> 0"]),
        (GOOD + "share: {distribution: uniform, low: 0, high: 120, unit: '%'}", ["line 2", "<= 1"]),
        (GOOD + "count: {distribution: uniform, low: 0, high: 2, unit: 1}", ["count", "integer"]),
        (GOOD + "factor: {distribution: uniform, low: 0, high: 2, unit: nominal}", ["above 0"]),
        (GOOD + "factor: {distribution: uniform, low: 1, high: 2, unit: m}", ["does not fit", "nominal"]),
        ("speed: {distribution: uniform, low: .nan, high: 2, unit: m/s}", ["speed.uniform.low", "finite"]),
        ("speed: {distribution: choice, values: [1, 2], weights: [1], unit: m/s}", ["1 weights for 2 values"]),
        ("speed: {distribution: choice, values: [], unit: m/s}", ["speed.choice.values"]),
    ],
)
def test_bad_ranges_name_file_line_and_field(tmp_path, text, parts):
    message = error_of(tmp_path, text)
    for part in [*parts, "ranges.yaml"]:
        assert part in message


def test_yaml_round_trip():
    holder = Holder(speed=d.Uniform(low=1, high=2, unit="m/s"), count=d.UniformInteger(low=0, high=3, unit="1"))
    assert Holder.model_validate(yaml.safe_load(to_yaml(holder))) == holder
