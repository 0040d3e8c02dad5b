"""What a scenario says of the conveyors of its hall: what comes onto them, how they run, what goes wrong. Loads no
simulator."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from ..common.config import StrictModel
from ..layouts.model import Identifier
from . import distributions as ranges
from .distributions import Constant, Quantity, Uniform

_Edge = Annotated[ranges.AnyRange, AfterValidator(Quantity("m", minimum=0.05, maximum=2.0))]
_Mass = Annotated[ranges.AnyRange, AfterValidator(Quantity("kg", minimum=0.05, maximum=2000))]
_Interval = Annotated[ranges.AnyRange, AfterValidator(Quantity("s", minimum=0.05, maximum=86_400))]


class ConveyorRanges(StrictModel):
    """Conveyors that run: all of the hall's do. Ranges are drawn once per episode unless said otherwise."""

    interval: _Interval = Constant(value=8, unit="s")
    """Mean time between two goods that come to a source, drawn for each source; they come as a Poisson process, and
    wait out of sight while there is no room."""
    sources: tuple[Identifier, ...] | None = None
    """Conveyors at whose start goods come into the hall; left out: all that nothing feeds and no robot serves."""
    sinks: tuple[Identifier, ...] | None = None
    """Conveyors at whose end goods leave the hall; left out: all without ``next`` that hold goods at their end."""
    goods: int = Field(default=40, ge=1, le=2000)
    """Goods that there are for all conveyors together; none comes while all are on the way."""
    length: _Edge = Uniform(low=0.3, high=0.45, unit="m")
    """Length, width and height are drawn for each good."""
    width: _Edge = Uniform(low=0.22, high=0.35, unit="m")
    height: _Edge = Uniform(low=0.12, high=0.3, unit="m")
    mass: _Mass = Uniform(low=2, high=15, unit="kg")
    """Drawn for each good."""
    friction: ranges.Factor = Constant(value=1, unit="nominal")
    """Factor on the friction between goods and conveyors."""
    speed: ranges.Factor = Constant(value=1, unit="nominal")
    """Factor on the conveyors' speeds."""
    skew: ranges.Fraction = Constant(value=0, unit="1")
    """Chance that a good which a diverter turns gets stuck there."""
    debounce: ranges.Duration = Constant(value=50, unit="ms")
    """A photo-eye switches when it has seen the same for so long."""
    patience: ranges.PositiveDuration = Constant(value=5, unit="s")
    """A photo-eye that is blocked for so long reports a jam."""
    eye_events: bool = True
    """Whether the record tells every switch of a photo-eye; jams that they find are told in any case."""
