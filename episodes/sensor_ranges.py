"""Which sensor settings and which parts of the light a scenario may randomize, with their units. Loads no simulator.

A range in ``unit: nominal`` multiplies the setting that the scenario gives. What is not listed here is the build of a
sensor (picture size, number of beams, rates), not its state: it is the same in every episode.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, create_model

from ..common.config import StrictModel
from . import distributions as ranges
from .distributions import Quantity

LIDAR_QUANTITIES: dict[str, Quantity] = {
    "range_noise": Quantity("m", minimum=0, relative=True),
    "range_bias": Quantity("m"),
    "dropout": Quantity("1", minimum=0, maximum=1, relative=True),
    "grazing_dropout": Quantity("1", minimum=0, maximum=1, relative=True),
    "range_max": Quantity("m", above=0, relative=True),
}
"""Fields of a ``LidarConfig`` that a scenario may randomize."""

CAMERA_QUANTITIES: dict[str, Quantity] = {
    "noise": Quantity("grey", minimum=0, maximum=64, relative=True),
    "shot_noise": Quantity("grey", minimum=0, maximum=64, relative=True),
    "horizontal_fov": Quantity("rad", above=0.02, maximum=math.pi, relative=True),
}
"""Fields of a ``CameraConfig`` that a scenario may randomize."""


def optional_ranges(name: str, quantities: dict[str, Quantity], module: str) -> type[BaseModel]:
    """Return a strict model with one optional range for each quantity."""
    fields: dict[str, Any] = {key: (ranges.quantity(check) | None, None) for key, check in quantities.items()}
    return create_model(name, __base__=StrictModel, __module__=module, **fields)


if TYPE_CHECKING:

    class LidarRanges(StrictModel):
        """Optional ranges of ``LIDAR_QUANTITIES``."""

    class CameraRanges(StrictModel):
        """Optional ranges of ``CAMERA_QUANTITIES``."""

else:
    LidarRanges = optional_ranges("LidarRanges", LIDAR_QUANTITIES, __name__)
    CameraRanges = optional_ranges("CameraRanges", CAMERA_QUANTITIES, __name__)
