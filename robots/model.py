"""What a robot is: body, drive, actuators and sensor mounts, as data. Imports no simulator."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    Field,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from ..common.config import StrictModel
from .forks import ForkParameters

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]


RobotKind = Literal["differential", "tricycle", "mecanum"]


class _Extended(StrictModel):
    """A model that has grown: fields named in ``_LATER`` are left out of what is written while they are at default.

    So files and hashes from before there were such fields stay what they were.
    """

    _LATER: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        for name in self._LATER:
            if getattr(self, name) == type(self).model_fields[name].default:
                content.pop(name, None)
        return content


class DriveParameters(_Extended):
    """A differential drive and its actuators. Every field can be a twin parameter (calibrated, randomized).

    Frame ``base_link``: between the wheels, on the floor, x forward. Unladen, the centre of mass is above its origin.
    """

    _LATER: ClassVar[tuple[str, ...]] = ("payload_x", "payload_y")

    wheel_radius: Positive = 0.1
    track_width: Positive = 0.5
    mass: Positive = 90.0
    payload: NonNegative = 0.0
    inertia: Positive = 8.0
    """Yaw inertia of the unladen robot about its centre of mass [kg m^2]."""
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
    payload_x: float = 0.0
    """Where the payload's centre of mass sits in ``base_link`` [m]."""
    payload_y: float = 0.0
    """[m]"""


class TricycleDrive(DriveParameters):
    """One front wheel that drives and steers, and two rear wheels that only roll, as on a forklift.

    Frame ``base_link``: on the floor, in the middle of the rear axle, x towards the front wheel, so that it is also the
    point about which the truck turns on the spot. Forks, where there are any, point backwards (-x): the load stands on
    the side of the rear axle.

    What ``DriveParameters`` says of drive wheels is here about the front wheel: ``wheel_radius``, ``max_wheel_torque``,
    ``encoder_ticks`` and ``drive_wheel_load``, its share of the weight of the unladen truck, which places the centre of
    mass at ``drive_wheel_load * wheel_base``. ``track_width`` is that of the rear wheels. ``max_acceleration`` and
    ``max_deceleration`` are those of the front wheel's speed.
    """

    wheel_base: Positive = 1.15
    """From the rear axle to the front wheel [m]."""
    max_steering_angle: Annotated[float, Field(gt=0, le=3.1)] = 1.75
    """Of the front wheel, either way [rad]; from pi / 2 on the truck can turn on the spot."""
    max_steering_rate: Positive = 2.0
    """[rad/s]"""
    steering_lag: NonNegative = 0.06
    """Time constant of the steering loop [s]."""
    steering_gain: Annotated[float, Field(gt=0.3, lt=3)] = 1.0
    """True angle of the wheel [rad] for each radian that the steering encoder reads [-]; the controller takes it for 1.
    """
    steering_offset: Annotated[float, Field(ge=-0.5, le=0.5)] = 0.0
    """True angle of the wheel where the steering encoder reads zero [rad]."""
    steering_ticks: int = Field(default=8192, gt=1)
    """Ticks in one turn of the steering encoder."""
    drive_wheel_load: Annotated[float, Field(gt=0, le=1)] = 0.6
    mass: Positive = 2500.0
    inertia: Positive = 900.0
    wheel_radius: Positive = 0.18
    track_width: Positive = 0.86
    max_wheel_torque: Positive = 850.0
    max_yaw_rate: Positive = 1.2
    max_acceleration: Positive = 0.7
    max_deceleration: Positive = 0.9
    payload_x: float = -0.85


class MecanumDrive(DriveParameters):
    """Four driven wheels whose rollers stand at 45 degrees: drives in every direction.

    Frame ``base_link``: on the floor, in the middle of the four wheels. All wheels carry alike while the payload is
    centred. ``max_acceleration`` and ``max_deceleration`` hold for x and for y.
    """

    wheel_base: Positive = 0.6
    """From the front wheels to the rear wheels [m]; ``track_width`` is from the left ones to the right ones."""
    max_lateral_speed: Positive = 1.0
    """[m/s]"""
    lateral_gain: Positive = 1.0
    """Sideways speed reached for each m/s asked [-]."""
    roller_friction: Annotated[float, Field(ge=0, le=0.2)] = 0.03
    """Drag of the rollers' own bearings while they turn, as a share of a wheel's load [-]."""
    drive_wheel_load: Annotated[float, Field(gt=0, le=1)] = 1.0
    max_wheel_torque: Positive = 20.0


DRIVE_OF: dict[str, type[DriveParameters]] = {
    "differential": DriveParameters,
    "tricycle": TricycleDrive,
    "mecanum": MecanumDrive,
}
"""Drive parameters by kind of robot."""


class SensorMount(StrictModel):
    """Where a sensor sits: position x, y, z [m] and roll, pitch, yaw [rad] in ``base_link``."""

    x: float = 0.0
    y: float = 0.0
    z: float = 0.2
    roll: float = 0.0
    pitch: float = 0.0
    yaw: float = 0.0


class RobotModel(_Extended):
    """A robot type.

    The footprint is the rectangle length x width centred on ``base_link``; ``shape`` names a URDF in ``assets/robots``
    or a path to one. Planners and distances use the footprint, contacts the shape. A robot that stands out farther on
    one side of ``base_link`` than on the other gives twice the greater half as its length or width.
    """

    _LATER: ClassVar[tuple[str, ...]] = ("class_name", "forks")

    name: str = "amr"
    kind: RobotKind = "differential"
    class_name: Literal["amr", "forklift", "pallet_truck"] = "amr"
    """What labels and contacts call it."""
    shape: str = "amr.urdf"
    length: Positive = 0.9
    width: Positive = 0.65
    height: Positive = 0.35
    drive: SerializeAsAny[DriveParameters] = DriveParameters()
    """``DriveParameters``, ``TricycleDrive`` or ``MecanumDrive``, as ``kind`` says."""
    lidar_mount: SensorMount = SensorMount(x=0.35, z=0.12)
    """Low enough to see an empty pallet (0.144 m high)."""
    camera_mount: SensorMount = SensorMount(x=0.42, z=0.32)
    max_payload: NonNegative = 120.0
    hotel_power: NonNegative = 60.0
    """Electrical power that computers and sensors draw all the time [W]."""
    drive_efficiency: Annotated[float, Field(gt=0, le=1)] = 0.75

    forks: ForkParameters | None = None
    """Mast and forks, on trucks that have them."""

    @property
    def radius(self) -> float:
        """Radius [m] of the circle about ``base_link`` that holds the footprint."""
        return 0.5 * float((self.length**2 + self.width**2) ** 0.5)

    @property
    def load_place(self) -> tuple[float, float, float]:
        """Middle of what a load is shown standing on, x, y, z [m] in ``base_link``: the deck, or the lowered forks."""
        if self.forks is not None:
            return self.drive.payload_x, self.drive.payload_y, self.forks.lowered_height
        return -0.05, 0.0, self.height

    @model_validator(mode="before")
    @classmethod
    def _drive_of_kind(cls, data: Any) -> Any:
        # Without one, the drive is the default of the kind, not of the class.
        if isinstance(data, dict) and data.get("kind", "differential") != "differential" and "drive" not in data:
            return {**data, "drive": {}}
        return data

    @field_validator("drive", mode="wrap")
    @classmethod
    def _drive_fits_kind(
        cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> DriveParameters:
        kind = info.data.get("kind", "differential")
        wanted = DRIVE_OF[kind]
        if isinstance(value, DriveParameters):
            if type(value) is not wanted:
                raise ValueError(f"a {kind} robot needs a {wanted.__name__}, not a {type(value).__name__}")
            return value
        if wanted is DriveParameters:
            checked: DriveParameters = handler(value)
            return checked
        return wanted.model_validate(value)

    @model_validator(mode="after")
    def _track_within_body(self) -> RobotModel:
        if self.drive.track_width > self.width + 0.2:
            raise ValueError(f"drive.track_width {self.drive.track_width} m is wider than the body ({self.width} m)")
        return self
