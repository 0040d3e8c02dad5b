"""Settings of the physics world as data. Imports no simulator."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..common.config import StrictModel

Positive = Annotated[float, Field(gt=0)]
Coefficient = Annotated[float, Field(ge=0, le=2)]


class PhysicsSettings(StrictModel):
    """How the PyBullet world is built and stepped. The tests hold the accuracy that these values give."""

    frequency: Annotated[float, Field(ge=60, le=2000)] = 240.0
    """Steps per second [Hz]. At 60 Hz pushed cartons sink into the robot by centimetres; at 240 Hz by a millimetre."""
    gravity: Positive = 9.81
    """[m/s^2]"""
    solver_iterations: Annotated[int, Field(ge=1, le=500)] = 30
    contact_erp: Annotated[float, Field(ge=0, le=1)] = 0.2
    """Share of a penetration that one step removes."""
    margin: Annotated[float, Field(ge=0.02, le=1e4)] = 0.06
    """Gap [m] between a robot's circle and a solid below which the robot enters Bullet. Above one step of travel."""
    release_margin: Annotated[float, Field(ge=0.02, le=1e4)] = 0.25
    """Gap [m] above which what has been in Bullet is parked again."""
    reach: Positive = 2.0
    """Static solids whose underside is higher than this [m] cannot be touched and stay out of Bullet."""
    person_radius: Positive = 0.25
    person_height: Annotated[float, Field(ge=0.6)] = 1.75
    person_mass: Positive = 75.0
    """Effective mass [kg] of a person in a contact: that of the legs in ISO/TS 15066, table A.3."""
    person_give: Positive = 0.08
    """Overlap [m] at which a person passes through a robot that cannot give way."""
    goods_friction: Coefficient = 0.4
    """Between loose goods and the floor."""
    robot_friction: Coefficient = 0.3
    """Of a robot's body; multiplied by that of what it touches."""
    static_friction: Coefficient = 1.0
    """Of floor, racks and walls; multiplied by that of what touches them."""
    tilt_inertia: Positive = 1e6
    """Roll and pitch inertia of robots in Bullet [kg m^2]: they stay level whatever they touch."""
    settle_speed: Positive = 0.005
    """Goods slower than this [m/s, rad/s] for ``settle_time`` [s] have come to rest."""
    settle_time: Positive = 0.25
    contact_pause: Positive = 0.25
    """Two touches of the same pair closer in time than this [s] are one contact."""
    impact_time: Positive = 0.02
    """The impulse of a contact is summed over this time from its start [s]."""

    @property
    def step_time(self) -> float:
        """[s]"""
        return 1.0 / self.frequency
