"""Sensor settings as data. Imports no simulator."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field, model_validator

from ..common.config import StrictModel

Positive = Annotated[float, Field(gt=0)]
Probability = Annotated[float, Field(ge=0, le=1)]


class LidarConfig(StrictModel):
    """A scanning lidar: ``beams`` azimuths from ``angle_min`` to ``angle_max`` [rad], one row for each elevation.

    Azimuths are spread evenly; a full turn leaves out the last, which would repeat the first.
    """

    beams: int = Field(default=360, ge=1, le=65536)
    angle_min: float = -math.pi
    angle_max: float = math.pi
    elevations: tuple[float, ...] = (0.0,)
    """Elevation of each ring above the sensor's xy plane [rad]; one zero is a 2D lidar."""
    range_min: Annotated[float, Field(ge=0)] = 0.05
    range_max: Positive = 25.0
    rate: Positive = 10.0
    """Scans per second [Hz]."""
    range_noise: Annotated[float, Field(ge=0)] = 0.01
    """Standard deviation of the range [m]."""
    range_bias: float = 0.0
    """[m]"""
    dropout: Probability = 0.002
    """Chance that a beam at normal incidence comes back empty."""
    grazing_dropout: Probability = 0.3
    """Chance of dropout added as the incidence angle goes to 90 degrees."""

    @model_validator(mode="after")
    def _ranges(self) -> LidarConfig:
        if self.angle_max <= self.angle_min:
            raise ValueError(f"angle_max {self.angle_max} must be above angle_min {self.angle_min}")
        if self.angle_max - self.angle_min > 2 * math.pi + 1e-9:
            raise ValueError("angle_max - angle_min is over a full turn")
        if self.range_max <= self.range_min:
            raise ValueError(f"range_max {self.range_max} must be above range_min {self.range_min}")
        if not self.elevations:
            raise ValueError("elevations must name at least one ring")
        if any(abs(e) >= math.pi / 2 for e in self.elevations):
            raise ValueError("elevations must lie between -pi/2 and pi/2")
        return self


class CameraConfig(StrictModel):
    """A pinhole camera; the optical axis meets the image centre ((width - 1) / 2, (height - 1) / 2), square pixels."""

    width: int = Field(default=640, ge=2, le=8192)
    height: int = Field(default=480, ge=2, le=8192)
    horizontal_fov: Annotated[float, Field(gt=0.02, lt=3.0)] = 1.39
    """[rad]"""
    near: Positive = 0.05
    far: Positive = 60.0
    rate: Positive = 5.0
    """Pictures per second [Hz]."""
    noise: Annotated[float, Field(ge=0, le=64)] = 2.0
    """Standard deviation of the read noise [8-bit grey levels]."""
    shot_noise: Annotated[float, Field(ge=0, le=64)] = 1.0
    """Standard deviation of the photon noise at full white [8-bit grey levels]; goes with the root of the signal."""

    @property
    def focal(self) -> float:
        """Focal length [pixels]: fx = fy."""
        return 0.5 * self.width / math.tan(0.5 * self.horizontal_fov)

    @model_validator(mode="after")
    def _near_far(self) -> CameraConfig:
        if self.far <= self.near:
            raise ValueError(f"far {self.far} must be above near {self.near}")
        return self


class Lighting(StrictModel):
    """The light of the hall: one directional key light that casts shadows, and ambient light from everywhere."""

    direction: tuple[float, float, float] = (0.35, 0.2, -1.0)
    """Where the light travels to, in ``map``; need not be normalised; z < 0."""
    key: Annotated[float, Field(ge=0, le=4)] = 0.65
    ambient: Annotated[float, Field(ge=0, le=4)] = 0.35
    temperature: Annotated[float, Field(ge=2000, le=12000)] = 5000.0
    """Colour temperature of the key light [K]; 5000 K is rendered neutral."""

    @model_validator(mode="after")
    def _downwards(self) -> Lighting:
        if self.direction[2] >= 0:
            raise ValueError("direction must point down (z < 0)")
        return self
