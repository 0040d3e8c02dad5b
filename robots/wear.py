"""Slow wear of a robot: what hours, kilometres and charging cycles take from it."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ..common.config import StrictModel

NonNegative = Annotated[float, Field(ge=0)]

WEAR_NAMES = (
    "radius_loss",
    "torque_constant_loss",
    "friction_growth",
    "bearing_growth",
    "window_dirt",
    "capacity_fade",
    "resistance_growth",
)
"""Columns of a wear table, named and measured as in ``WearParameters``."""
W_RADIUS, W_CONSTANT, W_FRICTION, W_BEARING, W_WINDOW, W_FADE, W_RESISTANCE = range(7)


class WearParameters(StrictModel):
    """Rates of wear. Every field can be a twin parameter; the defaults are assumed, none is measured.

    All are linear: in the distance driven, in the hours of operation, or in full cycles of the battery.
    """

    radius_loss: NonNegative = 2e-6
    """Of the drive wheels' tread [m/km]: 2 mm in 1000 km."""
    torque_constant_loss: NonNegative = 0.01
    """Share of the torque constant that magnets lose in 1000 h [-]."""
    friction_growth: NonNegative = 0.05
    """Growth of the rolling resistance in 1000 h, as a share of it [-]."""
    bearing_growth: NonNegative = 0.15
    """Growth of the vibration at the reference speed in 1000 h [mm/s]."""
    window_dirt: NonNegative = 0.05
    """Share of the lidar's light that dirt on its window takes, after 1000 h [-]."""
    capacity_fade: NonNegative = 1e-4
    """Share of the new capacity that is lost in a full cycle [-]: 80 % are left after 2000 cycles."""
    resistance_growth: NonNegative = 1e-4
    """Growth of the battery's resistance in a full cycle, as a share of it [-]."""
    speed_before: NonNegative = 0.5
    """Mean speed of the hours before the run [m/s], from which the kilometres of that time follow."""
    cycles_before: NonNegative = 0.1
    """Full cycles of the battery in an hour before the run [1/h]."""


def wear_row(parameters: WearParameters) -> NDArray[np.float64]:
    """Return rates of wear as a row (7,), columns as in ``WEAR_NAMES``."""
    return np.array([float(getattr(parameters, name)) for name in WEAR_NAMES])
