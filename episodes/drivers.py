"""Who drives forklifts: what is drawn for each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Driver:
    """What was drawn for one forklift and its driver.

    Attributes:
        speed: usual speed [m/s]. reaction_time: [s]. careless: whether the driver looks a second late.
        dwell: mean time of a stop [s]. payload: load carried between every other pair of stops [kg].
    """

    speed: float
    reaction_time: float
    careless: bool
    dwell: float
    payload: float
