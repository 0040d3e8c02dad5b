"""Demand as an order stream: when orders come in and what they ask for. Configuration; loads no simulator."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..common.config import StrictModel
from . import distributions as ranges
from .distributions import Constant, UniformInteger

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
OrderKind = Literal["out", "return"]

Time = Annotated[float, Field(ge=0, le=1e9)]
Name = Annotated[str, Field(min_length=1, max_length=64)]


class Surge(StrictModel):
    """A spell of the day with ``factor`` times as many orders, from ``at`` [s] on for ``duration`` [s]."""

    factor: Annotated[float, Field(ge=0, le=100)]
    at: NonNegative
    duration: Positive


class ReplayedLine(StrictModel):
    """A line of an order that really came in: see ``order_file``."""

    time: Time
    """When the order came in [s]."""
    order: Name
    sku: Name
    quantity: Annotated[int, Field(ge=1, le=1_000_000)]
    kind: OrderKind = "out"
    due: Time | None = None
    """When it is to be done [s]; ``OrderRanges.due`` after its time if left out."""


class Replenishment(StrictModel):
    """What runs low is ordered from the supplier and put away as it comes."""

    below: Annotated[int, Field(ge=0, le=1_000_000)] = 6
    """An article is ordered once fewer cartons than this are in the house, on order, and not yet sold."""
    quantity: Annotated[int, Field(ge=1, le=1_000_000)] = 12
    """Cartons of an order to the supplier."""
    lead_time: NonNegative = 1800.0
    """From the order until the cartons are at the gate [s]."""


class ChargingRules(StrictModel):
    """When robots charge; needs the scenario's ``condition``."""

    below: Share = 0.3
    """State of charge below which a robot takes no further task and drives to a charger."""
    idle_below: Share = 0.7
    """An idle robot below this charges while it has nothing to do."""
    until: Share = 0.9
    """State of charge at which a robot leaves the charger; a robot that charges idly leaves it for any task once above
    ``below`` by a fifth."""
    rescue: NonNegative = 600.0
    """A robot whose battery has switched off waits so long for a mobile charger [s]."""

    @model_validator(mode="after")
    def _order(self) -> ChargingRules:
        if not self.below < self.until:
            raise ValueError(f"until {self.until} must be above below {self.below}")
        return self


class OrderCosts(StrictModel):
    """What things cost, for ``cost_per_task`` of an episode with orders."""

    energy_price: NonNegative = 0.25
    """[EUR/kWh]"""
    robot_hour: NonNegative = 4.0
    """Depreciation, service and software of one robot [EUR/h]."""
    late_order: NonNegative = 2.0
    """For each order that is done late, or is open past its time at the end [EUR]."""


class OrderRanges(StrictModel):
    """Orders over the time of an episode, drawn as a Poisson process or replayed from a file.

    The n-th order, and the moment it comes in, depend on seed and episode alone, never on what the robots do.
    """

    rate: Annotated[float, Field(ge=0, le=100_000)] = 20.0
    """Orders [1/h], before ``profile`` and ``surges``."""
    profile: tuple[Annotated[float, Field(ge=0, le=100)], ...] = Field(default=(1.0,), min_length=1, max_length=24)
    """Factors on the rate over the day, all of one length, 24 for one in each hour; the next day begins anew."""
    start_hour: Annotated[float, Field(ge=0, lt=24)] = 0.0
    """Hour of the day at which the episode begins."""
    surges: tuple[Surge, ...] = Field(default=(), max_length=1000)
    lines: ranges.PositiveCount = UniformInteger(low=1, high=3, unit="1")
    """Articles of an order."""
    quantity: ranges.PositiveCount = UniformInteger(low=1, high=2, unit="1")
    """Cartons of a line."""
    skus: Annotated[int, Field(ge=1, le=100_000)] = 40
    """Articles that the racks hold."""
    popularity: Annotated[float, Field(ge=0, le=4)] = 0.8
    """Exponent s of Zipf's law: the k-th article is asked for in proportion to k^-s."""
    returns: Share = 0.05
    """Share of the orders that bring goods back in."""
    due: ranges.PositiveDuration = Constant(value=60, unit="min")
    """From an order's arrival until it must be done, drawn for each."""
    service: ranges.Duration = ranges.Constant(value=20, unit="s")
    """Time of a handover between robot and picker, drawn for each."""
    file: str | None = None
    """An order file to replay in place of all draws; read when the scenario is loaded and kept as ``replay``."""
    replay: tuple[ReplayedLine, ...] | None = None
    skipped: dict[str, int] = Field(default_factory=dict)
    """Rows of the file that could not be used, by reason."""
    replenishment: Replenishment | None = Replenishment()
    charging: ChargingRules = ChargingRules()
    costs: OrderCosts = OrderCosts()

    @model_validator(mode="after")
    def _one_source(self) -> OrderRanges:
        if self.file is not None and self.replay is not None:
            raise ValueError("give only one of file and replay")
        return self
