"""What a robot is: body, drive, actuators and sensor mounts, as data. Imports no simulator."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ..common.config import StrictModel

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


class DriveParameters(StrictModel):
    """A differential drive and its actuators. Every field can be a twin parameter (calibrated, randomized).

    Frame ``base_link``: between the wheels, on the floor, x forward.
    """

    wheel_radius: Positive = 0.1
    track_width: Positive = 0.5
    mass: Positive = 90.0
    payload: NonNegative = 0.0
    inertia: Positive = 8.0
    """Yaw inertia of the unladen robot about its centre [kg m^2]."""
    linear_gain: Positive = 1.0
    """Linear speed reached for each m/s asked [-]."""
    angular_gain: Positive = 1.0
    """Yaw rate reached for each rad/s asked [-]."""
    command_delay: NonNegative = 0.02
    """Dead time between a command and the motors [s]."""
    motor_lag: NonNegative = 0.08
    """Time constant of the wheel speed loop [s]."""
    max_wheel_torque: Positive = 30.0
    """Per drive wheel [N m]."""
    max_speed: Positive = 2.0
    """[m/s]"""
    max_yaw_rate: Positive = 2.5
    """[rad/s]"""
    max_acceleration: Positive = 1.5
    """Of the speed ramp [m/s^2]."""
    max_deceleration: Positive = 2.0
    """Of the braking ramp [m/s^2]."""
    max_yaw_acceleration: Positive = 4.0
    """[rad/s^2]"""
    friction: Positive = 0.8
    """Coefficient of friction between drive wheels and floor [-]."""
    drive_wheel_load: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Share of the weight that stands on the two drive wheels [-]; casters carry the rest."""
    rolling_resistance: Annotated[float, Field(ge=0, le=0.2)] = 0.012
    """Drag that the motors overcome while the robot rolls, as a share of its weight [-]."""
    encoder_ticks: int = Field(default=4096, gt=0)
    """Encoder ticks in one wheel turn."""


class SensorMount(StrictModel):
    """Where a sensor sits: position x, y, z [m] and roll, pitch, yaw [rad] in ``base_link``."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.2
    roll: float = 0.0
    pitch: float = 0.0
    yaw: float = 0.0


class RobotModel(StrictModel):
    """A robot type.

    The footprint is the rectangle length x width centred on ``base_link``; ``shape`` names a URDF in ``assets/robots``
    or a path to one.
    """

    name: str = "amr"
    kind: Literal["differential"] = "differential"
    shape: str = "amr.urdf"
    length: Positive = 0.9
    width: Positive = 0.65
    height: Positive = 0.35
    drive: DriveParameters = DriveParameters()
    lidar_mount: SensorMount = SensorMount(x=0.35, z=0.12)
    """Low enough to see an empty pallet (0.144 m high)."""
    camera_mount: SensorMount = SensorMount(x=0.42, z=0.32)
    max_payload: NonNegative = 120.0
    hotel_power: NonNegative = 60.0
    """Electrical power that computers and sensors draw all the time [W]."""
    drive_efficiency: Annotated[float, Field(gt=0, le=1)] = 0.75

    @property
    def radius(self) -> float:
        """Radius [m] of the circle about ``base_link`` that holds the footprint."""
        return 0.5 * float((self.length**2 + self.width**2) ** 0.5)

    @model_validator(mode="after")
    def _track_within_body(self) -> RobotModel:
        if self.drive.track_width > self.width + 0.2:
            raise ValueError(f"drive.track_width {self.drive.track_width} m is wider than the body ({self.width} m)")
        return self
