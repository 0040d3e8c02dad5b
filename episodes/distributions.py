"""Ranges with a named distribution and a named unit, as scenarios write them.

A range stands in a YAML file as, for example, ``{distribution: uniform, low: 0.4, high: 0.8, unit: m/s}``. Values are
converted to SI when they are drawn. Loads no simulator.
"""

from __future__ import annotations

import difflib
import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

import numpy as np
from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator
from scipy.special import ndtr, ndtri

from ..common.config import StrictModel

UNITS: dict[str, tuple[str, float]] = {
    "1": ("1", 1.0),
    "%": ("1", 0.01),
    "nominal": ("nominal", 1.0),
    "m": ("m", 1.0),
    "cm": ("m", 0.01),
    "mm": ("m", 0.001),
    "m2": ("m2", 1.0),
    "s": ("s", 1.0),
    "ms": ("s", 0.001),
    "min": ("s", 60.0),
    "h": ("s", 3600.0),
    "Hz": ("Hz", 1.0),
    "rad": ("rad", 1.0),
    "deg": ("rad", math.pi / 180.0),
    "m/s": ("m/s", 1.0),
    "mm/s": ("m/s", 0.001),
    "km/h": ("m/s", 1.0 / 3.6),
    "rad/s": ("rad/s", 1.0),
    "deg/s": ("rad/s", math.pi / 180.0),
    "m/s2": ("m/s2", 1.0),
    "rad/s2": ("rad/s2", 1.0),
    "deg/s2": ("rad/s2", math.pi / 180.0),
    "kg": ("kg", 1.0),
    "g": ("kg", 0.001),
    "kg m2": ("kg m2", 1.0),
    "N m": ("N m", 1.0),
    "mrad": ("rad", 0.001),
    "deg/h": ("rad/s", math.pi / 648_000.0),
    "mg": ("m/s2", 9.80665e-3),
    "rad/s/sqrt(Hz)": ("rad/s/sqrt(Hz)", 1.0),
    "deg/s/sqrt(Hz)": ("rad/s/sqrt(Hz)", math.pi / 180.0),
    "m/s2/sqrt(Hz)": ("m/s2/sqrt(Hz)", 1.0),
    "ug/sqrt(Hz)": ("m/s2/sqrt(Hz)", 9.80665e-6),
    "rad/s2/sqrt(Hz)": ("rad/s2/sqrt(Hz)", 1.0),
    "m/s3/sqrt(Hz)": ("m/s3/sqrt(Hz)", 1.0),
    "rad2/rad": ("rad2/rad", 1.0),
    "rad2/m": ("rad2/m", 1.0),
    "m2/m": ("m2/m", 1.0),
    "1/m": ("1/m", 1.0),
    "m2/rad": ("m2/rad", 1.0),
    "K": ("K", 1.0),
    "grey": ("grey", 1.0),
    "pixel": ("pixel", 1.0),
    "electron": ("electron", 1.0),
}
"""Unit -> (SI unit of its dimension, factor to it). ``nominal`` means: times the nominal (or calibrated) value."""


class _Range(StrictModel):
    """What every distribution has."""

    unit: str

    @field_validator("unit", mode="before")
    @classmethod
    def _known_unit(cls, unit: Any) -> str:
        # YAML reads a bare 1 as a number; as a unit it can only mean "dimensionless".
        name = "1" if unit == 1 and not isinstance(unit, bool) else unit
        if not isinstance(name, str) or name not in UNITS:
            close = difflib.get_close_matches(str(name), UNITS, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"known units: {', '.join(UNITS)}"
            raise ValueError(f"unknown unit '{name}' ({hint})")
        return name

    @property
    def dimension(self) -> str:
        """The SI unit that ``sample`` answers in."""
        return UNITS[self.unit][0]

    @property
    def integral(self) -> bool:
        """Whether only whole numbers are drawn."""
        return False

    def support(self) -> tuple[float, float]:
        """Return the lowest and highest value that can be drawn, in SI units."""
        factor = UNITS[self.unit][1]
        low, high = self._support()
        return low * factor, high * factor

    def sample(self, rng: np.random.Generator) -> float:
        """Draw one value, in SI units; takes the same number of random numbers every time."""
        return self._draw(rng) * UNITS[self.unit][1]

    @abstractmethod
    def _support(self) -> tuple[float, float]:
        """Return the lowest and highest value, in the range's own unit."""

    @abstractmethod
    def _draw(self, rng: np.random.Generator) -> float:
        """Draw one value, in the range's own unit."""


class _Between(_Range):
    """A range with two ends."""

    low: float
    high: float

    @model_validator(mode="after")
    def _right_way_up(self) -> _Between:
        if self.low > self.high:
            raise ValueError(f"the range is upside down: low {self.low:g} is above high {self.high:g}")
        return self

    def _support(self) -> tuple[float, float]:
        return self.low, self.high


class Constant(_Range):
    """Always ``value``."""

    distribution: Literal["constant"] = "constant"
    value: float

    @property
    def integral(self) -> bool:
        """Whether the value is a whole number."""
        return self.value == round(self.value)

    def _support(self) -> tuple[float, float]:
        return self.value, self.value

    def _draw(self, rng: np.random.Generator) -> float:
        return self.value


class Uniform(_Between):
    """Evenly between ``low`` and ``high``."""

    distribution: Literal["uniform"] = "uniform"

    def _draw(self, rng: np.random.Generator) -> float:
        return self.low + (self.high - self.low) * rng.random()


class LogUniform(_Between):
    """Evenly in the logarithm, between ``low`` > 0 and ``high``."""

    distribution: Literal["log_uniform"] = "log_uniform"

    @model_validator(mode="after")
    def _positive(self) -> LogUniform:
        if self.low <= 0:
            raise ValueError(f"low must be above 0 for log_uniform, not {self.low:g}")
        return self

    def _draw(self, rng: np.random.Generator) -> float:
        value = self.low * (self.high / self.low) ** rng.random()
        return min(max(value, self.low), self.high)


class Normal(_Range):
    """Gaussian with ``mean`` and standard deviation ``std``; unbounded."""

    distribution: Literal["normal"] = "normal"
    mean: float
    std: Annotated[float, Field(ge=0)]

    def _support(self) -> tuple[float, float]:
        return (-math.inf, math.inf) if self.std > 0 else (self.mean, self.mean)

    def _draw(self, rng: np.random.Generator) -> float:
        return self.mean + self.std * float(rng.standard_normal())


class TruncatedNormal(_Between):
    """Gaussian with ``mean`` and ``std``, conditioned on lying between ``low`` and ``high``."""

    distribution: Literal["truncated_normal"] = "truncated_normal"
    mean: float
    std: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _has_mass(self) -> TruncatedNormal:
        if max((self.low - self.mean) / self.std, (self.mean - self.high) / self.std) > 6.0:
            raise ValueError("low and high lie over 6 std away from the mean: nothing could be drawn between them")
        return self

    def _draw(self, rng: np.random.Generator) -> float:
        # Inverse of the distribution function on the side where its tail is exact (ndtr saturates at 1 above 8 std).
        sign = 1.0 if self.mean >= self.low else -1.0
        a, b = (self.low - self.mean) / self.std, (self.high - self.mean) / self.std
        lower, upper = (ndtr(a), ndtr(b)) if sign > 0 else (ndtr(-b), ndtr(-a))
        z = sign * float(ndtri(lower + (upper - lower) * rng.random()))
        return min(max(self.mean + self.std * z, self.low), self.high)


class UniformInteger(_Range):
    """Whole numbers from ``low`` to ``high``, both included, equally likely."""

    distribution: Literal["integer"] = "integer"
    low: int
    high: int

    @model_validator(mode="after")
    def _right_way_up(self) -> UniformInteger:
        if self.low > self.high:
            raise ValueError(f"the range is upside down: low {self.low} is above high {self.high}")
        return self

    @property
    def integral(self) -> bool:
        """Always."""
        return True

    def _support(self) -> tuple[float, float]:
        return float(self.low), float(self.high)

    def _draw(self, rng: np.random.Generator) -> float:
        return float(rng.integers(self.low, self.high, endpoint=True))


class Choice(_Range):
    """One of ``values``, with ``weights`` (equal if left out)."""

    distribution: Literal["choice"] = "choice"
    values: Annotated[tuple[float, ...], Field(min_length=1)]
    weights: tuple[Annotated[float, Field(ge=0)], ...] | None = None

    @model_validator(mode="after")
    def _weights_fit(self) -> Choice:
        if self.weights is not None and len(self.weights) != len(self.values):
            raise ValueError(f"{len(self.weights)} weights for {len(self.values)} values")
        if self.weights is not None and sum(self.weights) <= 0:
            raise ValueError("at least one weight must be above 0")
        return self

    @property
    def integral(self) -> bool:
        """Whether all values are whole numbers."""
        return all(value == round(value) for value in self.values)

    def _support(self) -> tuple[float, float]:
        return min(self.values), max(self.values)

    def _draw(self, rng: np.random.Generator) -> float:
        cumulative = np.cumsum(self.weights if self.weights is not None else np.ones(len(self.values)))
        index = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
        return self.values[min(index, len(self.values) - 1)]


Distribution = Annotated[
    Constant | Uniform | LogUniform | Normal | TruncatedNormal | UniformInteger | Choice,
    Field(discriminator="distribution"),
]

DISTRIBUTION_NAMES = ("constant", "uniform", "log_uniform", "normal", "truncated_normal", "integer", "choice")


class Sampler(Protocol):
    """What a validated range can do, whichever its distribution."""

    unit: str

    def sample(self, rng: np.random.Generator) -> float:
        """Draw one value, in SI units."""
        ...


@dataclass(frozen=True)
class Quantity:
    """Checks that a range fits the field it stands in.

    Args:
        dimension: the SI unit of the field (a value of ``UNITS``).
        minimum, maximum: bounds that no drawn value may pass, in SI units.
        above: bound that every drawn value must exceed.
        whole: whether only whole numbers make sense.
        relative: whether ``unit: nominal`` (times the nominal value) is allowed too; must then stay above 0.
    """

    dimension: str
    minimum: float = -math.inf
    maximum: float = math.inf
    above: float = -math.inf
    whole: bool = False
    relative: bool = False

    def __call__(self, value: _Range) -> _Range:
        """Return the range unchanged, or raise ValueError saying what does not fit."""
        low, high = value.support()
        if value.dimension == "nominal" and self.relative:
            if low <= 0:
                raise ValueError(f"a share of the nominal value must stay above 0; this range goes down to {low:g}")
            return value
        if value.dimension != self.dimension:
            fitting = [name for name, (dimension, _) in UNITS.items() if dimension == self.dimension]
            fitting += ["nominal"] if self.relative else []
            raise ValueError(f"unit '{value.unit}' does not fit; use one of: {', '.join(fitting)}")
        if self.whole and not value.integral:
            raise ValueError("a count: use 'integer' (or 'constant' or 'choice' of whole numbers)")
        too_low = low < self.minimum or (self.above > -math.inf and low <= self.above)
        if too_low or high > self.maximum:
            raise ValueError(f"values from {low:g} to {high:g} can be drawn, allowed is {self._allowed()}")
        return value

    def _allowed(self) -> str:
        parts = [
            f">= {self.minimum:g}" if self.minimum > -math.inf else "",
            f"> {self.above:g}" if self.above > -math.inf else "",
            f"<= {self.maximum:g}" if self.maximum < math.inf else "",
        ]
        unit = "" if self.dimension == "1" else f" {self.dimension}"
        return " and ".join(part for part in parts if part) + unit + " (bound a normal with truncated_normal)"


def _named(value: Any) -> Any:
    """Explain a bare number or a range without a distribution before pydantic complains about tags."""
    if isinstance(value, Mapping) and "distribution" in value:
        return value
    if isinstance(value, _Range):
        return value
    example = "{distribution: constant, value: 1.0, unit: m}"
    if isinstance(value, Mapping):
        raise ValueError(f"name the distribution, one of: {', '.join(DISTRIBUTION_NAMES)}")
    raise ValueError(f"write a range with its distribution and unit, like {example}")


def quantity(check: Quantity) -> Any:
    """Return the type of a field that holds a range of this quantity."""
    return Annotated[Distribution, BeforeValidator(_named), AfterValidator(check)]


AnyRange = Annotated[Distribution, BeforeValidator(_named)]
Fraction = Annotated[AnyRange, AfterValidator(Quantity("1", minimum=0, maximum=1))]
Count = Annotated[AnyRange, AfterValidator(Quantity("1", minimum=0, maximum=1000, whole=True))]
PositiveCount = Annotated[AnyRange, AfterValidator(Quantity("1", minimum=1, maximum=1000, whole=True))]
Factor = Annotated[AnyRange, AfterValidator(Quantity("nominal", relative=True))]
Power = Annotated[AnyRange, AfterValidator(Quantity("1", minimum=0, maximum=4))]
Friction = Annotated[AnyRange, AfterValidator(Quantity("1", above=0, maximum=2))]
Length = Annotated[AnyRange, AfterValidator(Quantity("m", minimum=0))]
Duration = Annotated[AnyRange, AfterValidator(Quantity("s", minimum=0))]
PositiveDuration = Annotated[AnyRange, AfterValidator(Quantity("s", above=0))]
Angle = Annotated[AnyRange, AfterValidator(Quantity("rad"))]
Elevation = Annotated[AnyRange, AfterValidator(Quantity("rad", minimum=0.17, maximum=math.pi / 2))]
AngleError = Annotated[AnyRange, AfterValidator(Quantity("rad", minimum=0, maximum=1))]
Speed = Annotated[AnyRange, AfterValidator(Quantity("m/s", above=0, maximum=10))]
Mass = Annotated[AnyRange, AfterValidator(Quantity("kg", minimum=0))]
Temperature = Annotated[AnyRange, AfterValidator(Quantity("K", minimum=2000, maximum=12000))]
