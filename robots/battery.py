"""A lithium iron phosphate battery: open-circuit voltage, sag, capacity fade, charging, and an exact energy ledger.

The cell is the simplest equivalent circuit, a voltage source that depends on the state of charge in series with a
resistance (Plett, *Battery Management Systems*, volume 1, 2015, chapter 2, without the diffusion voltages).
Its open-circuit voltage is piecewise linear, so that the stored energy is known in closed form. Over a step the current
is constant and the source counts with its mean over the charge that flows, so that energies add up without an error of
the step length: what the terminals give and what turns into heat is what the store loses.

Sign: current and power are positive out of the battery.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray

from ..common.kernels import compiled
from .condition_model import BatteryParameters

FloatArray = NDArray[np.float64]

CHARGE_POINTS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.98, 1.0)
"""States of charge [-] at which the open-circuit voltage is tabled."""
CELL_VOLTAGE = (2.60, 2.95, 3.10, 3.20, 3.24, 3.27, 3.285, 3.29, 3.30, 3.325, 3.33, 3.335, 3.345, 3.45)
"""Open-circuit voltage of a cell at rest, 25 degrees Celsius [V]. Assumed: the shape that Plett describes for this
chemistry, a plateau at 3.2 to 3.35 V between two knees, in round numbers. Hysteresis is left out."""

_CHARGE = np.array(CHARGE_POINTS)
_VOLTAGE = np.array(CELL_VOLTAGE)
_SLOPE = np.append(np.diff(_VOLTAGE) / np.diff(_CHARGE), 0.0)
_ENERGY = np.append(0.0, np.cumsum(0.5 * (_VOLTAGE[1:] + _VOLTAGE[:-1]) * np.diff(_CHARGE)))
_ROUNDS = 3
"""Times that current and mean voltage are set to fit each other; a step moves so little charge that each gains about
five digits."""

B_CELLS, B_CAPACITY, B_RESISTANCE, B_COULOMBIC, B_CHARGE_CURRENT, B_CHARGE_VOLTAGE, B_CUT_OFF, B_CHARGE_END = range(8)
"""Columns of a battery table: see ``battery_row``."""


def battery_row(parameters: BatteryParameters) -> FloatArray:
    """Return a battery as a row (8,), with fade and growth applied.

    Columns: cells, capacity [C], resistance [ohm], coulombic efficiency, charging current [A], charging voltage and
    cut-off voltage of the pack [V], current at which charging ends [A].
    """
    cells = parameters.cells
    return np.array(
        [
            cells,
            parameters.capacity_ah * 3600.0 * parameters.health,
            parameters.resistance * (1.0 + parameters.resistance_growth),
            parameters.coulombic_efficiency,
            parameters.charge_current,
            cells * parameters.charge_voltage,
            cells * parameters.cut_off_voltage,
            parameters.charge_end * parameters.charge_current,
        ]
    )


@compiled
def _segment(soc: float) -> int:
    k = 0
    while k < len(_CHARGE) - 2 and soc >= _CHARGE[k + 1]:
        k += 1
    return k


@compiled
def open_circuit_voltage(soc: float) -> float:
    """Return the open-circuit voltage of a cell [V] at a state of charge in [0, 1]."""
    k = _segment(soc)
    return _VOLTAGE[k] + _SLOPE[k] * (soc - _CHARGE[k])


@compiled
def stored_energy(soc: float) -> float:
    """Return the energy stored in a cell, for each coulomb of its capacity [J/C]: the integral of its voltage."""
    k = _segment(soc)
    rest = soc - _CHARGE[k]
    return _ENERGY[k] + (_VOLTAGE[k] + 0.5 * _SLOPE[k] * rest) * rest


@compiled
def _mean_voltage(soc: float, after: float) -> float:
    """Return the mean open-circuit voltage of a cell between two states of charge [V]."""
    if abs(after - soc) < 1e-12:
        return open_circuit_voltage(soc)
    return (stored_energy(after) - stored_energy(soc)) / (after - soc)


@compiled
def _after(soc: float, current: float, dt: float, capacity: float, coulombic: float) -> float:
    stored = current if current > 0.0 else current * coulombic
    return soc - stored * dt / capacity


@compiled
def discharge(
    soc: float, power: float, dt: float, cells: float, capacity: float, resistance: float, coulombic: float
) -> tuple[float, float, float, float]:
    """Hold a power at the terminals for ``dt`` [s].

    Args:
        soc: state of charge in [0, 1]. power: out of the battery [W], negative into it.
        cells, capacity [C], resistance [ohm], coulombic: as in ``battery_row``.

    Returns:
        current [A], terminal voltage [V], the state of charge after the step, heat [J]. Current times voltage is less
        than the power asked where the battery is empty, full or too weak.
    """
    current = 0.0
    source = cells * open_circuit_voltage(soc)
    for _ in range(_ROUNDS):
        root = source * source - 4.0 * resistance * power
        # At most half of the source's voltage is left at the terminals: the most power that there is.
        current = 2.0 * power / (source + sqrt(root)) if root > 0.0 else 0.5 * source / resistance
        most = soc * capacity / dt
        least = -(1.0 - soc) * capacity / (coulombic * dt)
        current = min(max(current, least), most)
        source = cells * _mean_voltage(soc, _after(soc, current, dt, capacity, coulombic))
    lost = 0.0 if current > 0.0 else (1.0 - coulombic) * source * -current
    heat = (resistance * current * current + lost) * dt
    after = min(max(_after(soc, current, dt, capacity, coulombic), 0.0), 1.0)
    return current, source - resistance * current, after, heat


@compiled
def charge(
    soc: float,
    dt: float,
    cells: float,
    capacity: float,
    resistance: float,
    coulombic: float,
    most_current: float,
    most_voltage: float,
    end_current: float,
) -> tuple[float, float, float, float]:
    """Charge for ``dt`` [s] at constant current, or at constant voltage once that is reached; as ``discharge``.

    Nothing flows where the voltage allows less than ``end_current`` [A]: the battery is full.
    """
    current = 0.0
    source = cells * open_circuit_voltage(soc)
    for _ in range(_ROUNDS):
        wanted = most_current
        if source + resistance * wanted > most_voltage:
            wanted = max((most_voltage - source) / resistance, 0.0) if resistance > 0.0 else 0.0
        if wanted < end_current:
            wanted = 0.0
        current = -min(wanted, (1.0 - soc) * capacity / (coulombic * dt))
        source = cells * _mean_voltage(soc, _after(soc, current, dt, capacity, coulombic))
    heat = (resistance * current * current + (1.0 - coulombic) * source * -current) * dt
    after = min(max(_after(soc, current, dt, capacity, coulombic), 0.0), 1.0)
    return current, source - resistance * current, after, heat
