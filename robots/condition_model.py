"""What the condition of a robot is, as data: battery, motors, vibration, telemetry. Loads no simulator."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from ..common.config import StrictModel
from .faults import FAULT_KINDS, FaultEffects
from .wear import WearParameters

Positive = Annotated[float, Field(gt=0)]
NonNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(gt=0, le=1)]

TELEMETRY_RATE = 10
"""Rows of telemetry in a second [Hz]."""

MEASURED: tuple[str, ...] = (
    "t_s",
    "current_a",
    "voltage_v",
    "motor_current_left_a",
    "motor_current_right_a",
    "temperature_left_c",
    "temperature_right_c",
    "vibration_rms_mm_s",
    "speed_m_s",
    "soc",
)
"""Columns that a robot measures: end of the tenth of a second; mean current out of the battery and its voltage; RMS
currents of the motors; their windings' temperatures; vibration; mean speed of the wheels; state of charge [-]."""
LABELS: tuple[str, ...] = ("fault", "fault_active", "severity", "rul_h")
"""Columns of the truth: code of the fault that is farthest (0 none; see ``faults.FAULT_KINDS``), whether it has failed,
its level, and the hours of operation left until the robot's next failure (0 after one, nan if none is to come)."""
COLUMNS = MEASURED + LABELS


class BatteryParameters(StrictModel):
    """A battery pack. Every field can be a twin parameter."""

    cells: int = Field(default=16, ge=1, le=400)
    """Cells in series; 16 make 51.2 V."""
    capacity_ah: Positive = 40.0
    """When new [Ah]."""
    resistance: Annotated[float, Field(ge=0)] = 0.04
    """Of the pack when new [ohm]."""
    health: Share = 1.0
    """Capacity left, as a share of ``capacity_ah``."""
    resistance_growth: Annotated[float, Field(ge=0)] = 0.0
    """By which share of it the resistance has grown."""
    coulombic_efficiency: Share = 0.995
    """Charge stored for each unit of charge that flows in; the rest becomes heat."""
    charge_current: Positive = 20.0
    """In the first phase of charging, constant current [A]."""
    charge_voltage: Positive = 3.45
    """In the second phase, constant voltage, per cell [V]. Makers allow up to 3.65 V."""
    charge_end: Share = 0.05
    """Charging ends below this share of ``charge_current``."""
    cut_off_voltage: Annotated[float, Field(ge=0)] = 2.5
    """Terminal voltage per cell below which the battery protects itself and switches the drives off [V]."""


class MotorParameters(StrictModel):
    """A wheel motor with gear and controller. Every field can be a twin parameter.

    With these defaults the electrical energy of ordinary driving agrees with ``RobotModel.drive_efficiency``.
    """

    torque_constant: Positive = 0.15
    """Also the voltage constant [N m/A, V s]."""
    gear_ratio: Positive = 15.0
    gear_efficiency: Share = 0.9
    no_load_torque: NonNegative = 0.006
    """Iron losses and the friction of the rotor [N m]."""
    resistance: NonNegative = 0.3
    """Of the winding at 20 degrees Celsius [ohm]."""
    thermal_resistance: Positive = 3.0
    """Winding to surroundings [K/W]."""
    thermal_capacity: Positive = 200.0
    """[J/K]"""
    controller_efficiency: Share = 0.95
    regeneration: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the braking power that goes back to the battery."""
    safety_brake: NonNegative = 100.0
    """Force at the wheel's surface of a brake that closes when the drives have no power [N]."""
    derating_temperature: Positive = 120.0
    """Winding temperature above which the controller takes torque away [degrees Celsius] ..."""
    maximum_temperature: Positive = 150.0
    """... and at which it leaves none."""


class VibrationParameters(StrictModel):
    """Where the vibration of a sound robot comes from; each can be a twin parameter. Assumed."""

    rest: NonNegative = 0.08
    """With the robot at rest: fans, and noise of the sensor [mm/s]."""
    rolling: NonNegative = 0.6
    """Of the sound drive at the reference speed [mm/s]; grows in proportion to speed."""
    reference_speed: Positive = 1.0
    """[m/s]"""
    payload_growth: NonNegative = 0.2
    """Growth by 100 kg of payload, as a share."""


class TelemetryNoise(StrictModel):
    """Standard deviations of the errors of a robot's own measurements."""

    current_a: NonNegative = 0.1
    """[A]"""
    voltage_v: NonNegative = 0.03
    """[V]"""
    temperature_c: NonNegative = 0.3
    """[K]"""
    vibration: NonNegative = 0.08
    """As a share of the value: an RMS over a tenth of a second is itself uncertain."""
    speed_m_s: NonNegative = 0.005
    """[m/s]"""
    soc: NonNegative = 0.005
    """[-]"""


class ConditionParameters(StrictModel):
    """Everything about the condition of a robot that is not in its drive."""

    battery: BatteryParameters = BatteryParameters()
    motor: MotorParameters = MotorParameters()
    wear: WearParameters = WearParameters()
    effects: FaultEffects = FaultEffects()
    vibration: VibrationParameters = VibrationParameters()
    noise: TelemetryNoise = TelemetryNoise()
    surroundings_c: Annotated[float, Field(ge=-40, le=80)] = 20.0
    """Temperature of the air [degrees Celsius]."""


def fault_name(code: int) -> str:
    """Return the kind of a fault's code in the telemetry; "" for none."""
    return FAULT_KINDS[code - 1] if code > 0 else ""
