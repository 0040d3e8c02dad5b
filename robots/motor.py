"""The electrical and thermal side of the wheel motors, in step with the traction model of ``drive``.

A direct-current motor (or a synchronous one seen in its rotor's frame) behind a gear. The traction model gives the
force F at the wheel's surface and its speed v; from these

- motor speed ``w = v N / r``, motor torque ``F r / (N eta)`` when the wheel is driven and ``F r eta / N`` when it
  drives the motor (N gear ratio, eta gear efficiency), plus a no-load torque against the motion;
- current = motor torque / torque constant, copper loss = resistance x current^2, both at every physics step;
- electrical power = torque x speed + copper loss. Positive power is drawn through the controller at its efficiency, of
  negative power the share ``regeneration`` goes back, the rest is burnt.

Copper and no-load losses heat the winding, a single thermal mass behind a single resistance (IEC 60034-1 speaks of the
thermal equivalent time constant), solved exactly for a loss that is constant in a step. The copper's resistance grows
with temperature by 0.393 % for each kelvin (IEC 60028).
"""

from __future__ import annotations

from math import exp

import numpy as np
from numpy.typing import NDArray

from ..common.kernels import compiled
from .condition_model import MotorParameters

FloatArray = NDArray[np.float64]

COPPER = 0.00393
"""Temperature coefficient of the resistance of copper at 20 degrees Celsius [1/K]."""
REFERENCE_TEMPERATURE = 20.0
"""At which resistances are given [degrees Celsius]."""
_FULL_SPEED = 0.01
"""Wheel speed [m/s] at which the no-load torque is fully developed, as rolling resistance is in ``drive``."""

MOTOR_NAMES = (
    "torque_constant",
    "gear_ratio",
    "gear_efficiency",
    "no_load_torque",
    "resistance",
    "thermal_resistance",
    "thermal_capacity",
    "controller_efficiency",
    "regeneration",
)
"""Columns of a motor table, named and measured as in ``MotorParameters``."""
M_CONSTANT, M_RATIO, M_GEAR, M_NO_LOAD, M_RESISTANCE, M_THERMAL_RESISTANCE, M_THERMAL_CAPACITY = range(7)
M_CONTROLLER, M_REGENERATION = range(7, 9)

LOAD_NAMES = ("square", "drawn", "returned", "turned", "travel")
"""Columns of a load table, all since it was last cleared: integral of the current squared [A^2 s];
electrical energy into the motor and out of it [J]; angle turned by the motor [rad]; travel of the wheel [m]."""
L_SQUARE, L_DRAWN, L_RETURNED, L_TURNED, L_TRAVEL = range(5)


def motor_row(parameters: MotorParameters) -> FloatArray:
    """Return a motor as a row (9,), columns as in ``MOTOR_NAMES``."""
    return np.array([float(getattr(parameters, name)) for name in MOTOR_NAMES])


@compiled
def note_load(motor: FloatArray, load: FloatArray, force: float, speed: float, radius: float, dt: float) -> None:
    """Add one step of a wheel to its load.

    Args:
        motor: (9,) as it is now. load: (5,), changed in place.
        force: of the motor at the wheel's surface [N]. speed: of that surface [m/s]. radius: of the wheel [m].
        dt: [s].
    """
    ratio = motor[M_RATIO] / radius
    turning = speed * ratio
    torque = force / ratio
    torque = torque / motor[M_GEAR] if force * speed >= 0.0 else torque * motor[M_GEAR]
    torque += motor[M_NO_LOAD] * min(max(speed / _FULL_SPEED, -1.0), 1.0)
    current = torque / motor[M_CONSTANT]
    square = current * current
    power = torque * turning + motor[M_RESISTANCE] * square
    load[L_SQUARE] += square * dt
    if power > 0.0:
        load[L_DRAWN] += power * dt
    else:
        load[L_RETURNED] -= power * dt
    load[L_TURNED] += abs(turning) * dt
    load[L_TRAVEL] += abs(speed) * dt


@compiled
def bus_power(motor: FloatArray, load: FloatArray, dt: float) -> float:
    """Return the mean power [W] that a motor's controller took from the battery over the ``dt`` of a load."""
    given_back = motor[M_REGENERATION] * motor[M_CONTROLLER] * load[L_RETURNED]
    return (load[L_DRAWN] / motor[M_CONTROLLER] - given_back) / dt


@compiled
def losses(motor: FloatArray, load: FloatArray, dt: float) -> float:
    """Return the mean loss inside a motor [W]: copper and no-load."""
    return (motor[M_RESISTANCE] * load[L_SQUARE] + motor[M_NO_LOAD] * load[L_TURNED]) / dt


@compiled
def winding_resistance(cold: float, temperature: float) -> float:
    """Return the resistance [ohm] of a winding that has ``cold`` at 20 degrees Celsius."""
    return cold * (1.0 + COPPER * (temperature - REFERENCE_TEMPERATURE))


@compiled
def warm_up(motor: FloatArray, temperature: float, surroundings: float, loss: float, dt: float) -> float:
    """Return the temperature of a winding after ``dt`` [s] with a constant loss [W]; all in degrees Celsius."""
    steady = surroundings + motor[M_THERMAL_RESISTANCE] * loss
    decay = exp(-dt / (motor[M_THERMAL_RESISTANCE] * motor[M_THERMAL_CAPACITY]))
    return steady + (temperature - steady) * decay
