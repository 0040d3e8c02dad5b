"""Mast and forks of a truck, as data: their shape, how they move, what they can lift. Imports no simulator."""

from __future__ import annotations

from math import cos, pi, sin, sqrt
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from ..common.config import StrictModel
from ..common.geometry import quaternion_from_yaw
from ..common.primitives import PrimitiveBuilder, Primitives

FloatArray = NDArray[np.float64]
Positive = Annotated[float, Field(gt=0)]

GRAVITY = 9.81
"""[m/s^2]"""
STEEL = (58, 60, 64)
PLATE = (226, 160, 32)
ARRIVED = 1e-6
"""Forks this near [m] to where they shall be are there."""


class ForkParameters(StrictModel):
    """Two tines on a carriage that goes up and down a mast.

    The fork frame has its origin on the floor under the middle of the tines' heel, x along the tines. Heights are those
    of the tines' upper faces above the floor.
    """

    x: float = -0.3
    """Of the heel in ``base_link`` [m]."""
    yaw: float = pi
    """Of the tines in ``base_link`` [rad]: pi where they point backwards."""
    length: Positive = 1.15
    """Of a tine [m]."""
    width: Positive = 0.12
    """Of a tine [m]."""
    spacing: Positive = 0.336
    """From the middle of one tine to that of the other [m]: the pockets of an 800 mm pallet."""
    thickness: Positive = 0.045
    """Of a tine [m]."""
    backrest_height: Positive = 0.5
    """From the tines' upper faces to the top of the carriage [m]."""
    mast_height: Positive = 2.0
    """Of the mast with the forks lowered [m]; its inner stage goes up half as far as they do, and is for looks only."""
    lowered_height: Positive = 0.08
    """[m]"""
    lift_height: Positive = 3.6
    """[m]"""
    lift_speed: Positive = 0.35
    """Highest speed upwards [m/s]; a load makes it slower, see ``lift_power``."""
    lower_speed: Positive = 0.3
    """[m/s]"""
    acceleration: Positive = 0.4
    """Of the carriage, speeding up and braking [m/s^2]."""
    max_load: Positive = 1400.0
    """Rated capacity [kg] with the centre of mass at ``load_centre``."""
    load_centre: Positive = 0.6
    """From the heel [m]; the further out a load is, the less may be lifted: its moment about ``base_link`` counts."""
    carriage_mass: Positive = 140.0
    """Of what goes up and down besides the load [kg]."""
    lift_power: Positive = 5500.0
    """Electrical power of the pump motor [W]: it bounds the speed with a load."""
    efficiency: Annotated[float, Field(gt=0, le=1)] = 0.65
    """Work on carriage and load for each joule from the battery; nothing is recovered when they come down."""

    @model_validator(mode="after")
    def _tines_above_floor(self) -> ForkParameters:
        if self.lowered_height < self.thickness:
            raise ValueError(f"tines {self.thickness} m thick cannot be lowered to {self.lowered_height} m")
        if self.lift_height <= self.lowered_height:
            raise ValueError(f"lift_height {self.lift_height} m is not above lowered_height {self.lowered_height} m")
        if self.spacing <= self.width:
            raise ValueError(f"tines {self.width} m wide and {self.spacing} m apart overlap")
        return self

    @property
    def stroke(self) -> float:
        """How far the forks go up [m]."""
        return self.lift_height - self.lowered_height

    def lifting_speed(self, load: float) -> float:
        """Return the highest speed upwards [m/s] with a load [kg]."""
        return min(self.lift_speed, self.lift_power * self.efficiency / ((load + self.carriage_mass) * GRAVITY))

    def can_lift(self, load: float, distance: float) -> bool:
        """Return whether a load [kg] whose centre of mass is ``distance`` [m] from the heel is within the capacity."""
        arm = abs(self.x)
        return load <= self.max_load and load * (arm + distance) <= self.max_load * (arm + self.load_centre)

    def in_base(self, x: float, y: float) -> tuple[float, float]:
        """Return a point of the fork frame [m] in ``base_link``."""
        c, s = cos(self.yaw), sin(self.yaw)
        return self.x + c * x - s * y, s * x + c * y

    def in_forks(self, x: float, y: float) -> tuple[float, float]:
        """Return a point of ``base_link`` [m] in the fork frame."""
        c, s = cos(self.yaw), sin(self.yaw)
        return c * (x - self.x) + s * y, c * y - s * (x - self.x)

    def solids(self, class_name: str = "forklift") -> Primitives:
        """Return tines, carriage and the inner stage of the mast, lowered, in ``base_link``, of a class of robots.

        ``body`` is 0 for what goes up as far as the forks, 1 for what goes up half as far.
        """
        builder = PrimitiveBuilder()
        quaternion = quaternion_from_yaw(self.yaw).tolist()
        z = self.lowered_height - 0.5 * self.thickness
        for side in (-0.5, 0.5):
            place = self.in_base(0.5 * self.length, side * self.spacing)
            size = (0.5 * self.length, 0.5 * self.width, 0.5 * self.thickness)
            builder.box(size, (*place, z), class_name=class_name, color=STEEL, quaternion=quaternion)
        # The carriage ends above the plane of scanners at the height of a pallet, which would else see it all the time.
        foot, top = self.lowered_height + 0.06, self.lowered_height + self.backrest_height
        plate = (0.025, 0.5 * (self.spacing + 2.0 * self.width), 0.5 * (top - foot))
        place = self.in_base(-0.025, 0.0)
        builder.box(plate, (*place, 0.5 * (foot + top)), class_name=class_name, color=PLATE, quaternion=quaternion)
        reach = 0.5 * (self.mast_height - foot)
        for side in (-1.0, 1.0):
            place = self.in_base(-0.1, side * (0.5 * self.spacing + 0.1))
            size = (0.03, 0.02, reach)
            builder.box(size, (*place, foot + reach), class_name=class_name, color=STEEL, quaternion=quaternion, body=1)
        return builder.build()


def next_height(
    height: float, speed: float, target: float, up: float, down: float, acceleration: float, dt: float
) -> tuple[float, float]:
    """Move a carriage for one step towards a height, at bounded speed and acceleration, so that it stops there.

    The speed v' after the step of length dt solves ``v'^2 / 2a = d - (v + v') dt / 2`` where braking must begin: what
    is left of the way d is just enough to stop. Positions follow by the trapezoid rule.

    Args:
        height: [m]; speed: upwards [m/s]; target: [m].
        up, down: highest speeds either way [m/s], above 0; acceleration: [m/s^2]; dt: [s].

    Returns:
        height [m] and speed [m/s] after the step.
    """
    way = target - height
    if abs(way) <= ARRIVED and abs(speed) <= acceleration * dt:
        return target, 0.0
    sign = 1.0 if way > 0 else -1.0
    left, now, limit = abs(way), sign * speed, up if way > 0 else down
    change = acceleration * dt
    room = change * change + 8.0 * acceleration * left - 4.0 * change * now
    braking = 0.5 * (sqrt(room) - change) if room > 0.0 else 0.0
    wanted = max(0.0, min(limit, braking))
    after = min(max(wanted, now - change), now + change)
    moved = 0.5 * (now + after) * dt
    if left - moved <= ARRIVED and now <= change:
        return target, 0.0
    return height + sign * moved, sign * after
