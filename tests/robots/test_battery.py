"""Battery and motor: closed forms and ledgers."""

import math

import numpy as np
import pytest

from floorcast.robots import battery, motor
from floorcast.robots.condition_model import BatteryParameters, MotorParameters

PACK = battery.battery_row(BatteryParameters())
CELLS, CAPACITY, RESISTANCE, COULOMBIC = PACK[:4]


def energy(soc):
    return CELLS * CAPACITY * battery.stored_energy(soc)


@pytest.mark.parametrize("power", [900.0, 20.0, -400.0])
def test_terminal_energy_and_heat_are_what_the_store_loses(power):
    soc = start = 0.6
    given = heat = 0.0
    for _ in range(900):
        current, voltage, soc, warmth = battery.discharge(soc, power, 1.0, CELLS, CAPACITY, RESISTANCE, COULOMBIC)
        assert current * voltage == pytest.approx(power, rel=1e-9)
        given, heat = given + current * voltage, heat + warmth
        assert warmth >= (1 - 1e-12) * RESISTANCE * current**2
    assert abs(soc - start) > 0.002
    assert given + heat == pytest.approx(energy(start) - energy(soc), rel=1e-9)


def test_stored_energy_is_the_integral_of_the_voltage():
    grid = np.linspace(0.0, 1.0, 20001)
    voltage = np.interp(grid, battery.CHARGE_POINTS, battery.CELL_VOLTAGE)
    for soc in (0.01, 0.33, 0.95, 1.0):
        part = grid <= soc + 1e-12
        assert battery.stored_energy(soc) == pytest.approx(np.trapezoid(voltage[part], grid[part]), rel=1e-6)
        assert battery.open_circuit_voltage(soc) == pytest.approx(np.interp(soc, grid, voltage))


def test_voltage_sags_by_the_resistance_and_an_empty_battery_gives_nothing():
    idle = CELLS * battery.open_circuit_voltage(0.5)
    current, voltage, _, _ = battery.discharge(0.5, 1000.0, 0.1, CELLS, CAPACITY, RESISTANCE, COULOMBIC)
    assert voltage == pytest.approx(idle - RESISTANCE * current, abs=1e-5)
    assert battery.discharge(0.0, 1000.0, 0.1, CELLS, CAPACITY, RESISTANCE, COULOMBIC)[0] == 0.0
    # More than the source can give into any load: half the voltage is left.
    current, voltage, _, _ = battery.discharge(0.5, 1e6, 0.01, CELLS, CAPACITY, RESISTANCE, COULOMBIC)
    assert current * voltage == pytest.approx(idle**2 / (4 * RESISTANCE), rel=1e-3)


def test_charging_is_constant_current_then_constant_voltage_then_over():
    soc, rows, put, heat = 0.3, [], 0.0, 0.0
    most, limit, end = PACK[battery.B_CHARGE_CURRENT], PACK[battery.B_CHARGE_VOLTAGE], PACK[battery.B_CHARGE_END]
    for _ in range(2000):
        current, voltage, soc, warmth = battery.charge(
            soc, 5.0, CELLS, CAPACITY, RESISTANCE, COULOMBIC, most, limit, end
        )
        rows.append((-current, voltage))
        put, heat = put - current * voltage * 5.0, heat + warmth
    current, voltage = np.array(rows).T
    constant = current > 0.999 * most
    tapering = ~constant & (current > 0)
    assert constant[:100].all()
    assert (np.diff(current) <= 1e-9).all()
    assert voltage.max() <= limit + 1e-3
    assert tapering.sum() > 1
    assert voltage[tapering][:-1] == pytest.approx(limit, rel=2e-3)
    assert current[-1] == 0.0
    assert soc > 0.98
    assert put - heat == pytest.approx(energy(soc) - energy(0.3), rel=1e-9)


def test_fade_and_growth_are_parameters():
    worn = battery.battery_row(BatteryParameters(health=0.8, resistance_growth=0.5))
    assert worn[battery.B_CAPACITY] == pytest.approx(0.8 * CAPACITY)
    assert worn[battery.B_RESISTANCE] == pytest.approx(1.5 * RESISTANCE)


@pytest.mark.parametrize(("force", "speed"), [(60.0, 1.2), (-60.0, 1.2), (60.0, -0.7)])
def test_motor_power_is_work_and_losses(force, speed):
    given = MotorParameters(regeneration=0.5)
    row, load = motor.motor_row(given), np.zeros(len(motor.LOAD_NAMES))
    for _ in range(24):
        motor.note_load(row, load, force, speed, 0.1, 1 / 240)
    turning = speed * given.gear_ratio / 0.1
    work = force * speed
    at_motor = work / given.gear_efficiency if work > 0 else work * given.gear_efficiency
    idle = given.no_load_torque * abs(turning)
    current = (at_motor + idle) / turning / given.torque_constant
    power = at_motor + idle + given.resistance * current**2
    drawn = power / given.controller_efficiency if power > 0 else power * given.controller_efficiency * 0.5
    assert motor.bus_power(row, load, 0.1) == pytest.approx(drawn, rel=1e-9)
    assert motor.losses(row, load, 0.1) == pytest.approx(given.resistance * current**2 + idle, rel=1e-9)


def test_winding_warms_with_its_time_constant_to_the_steady_temperature():
    given = MotorParameters()
    row = motor.motor_row(given)
    constant = given.thermal_resistance * given.thermal_capacity
    steady = 20.0 + given.thermal_resistance * 10.0
    assert motor.warm_up(row, 20.0, 20.0, 10.0, constant) == pytest.approx(steady - 30.0 * math.exp(-1), rel=1e-12)
    temperature = 20.0
    for _ in range(6000):
        temperature = motor.warm_up(row, temperature, 20.0, 10.0, 0.1)
    assert temperature == pytest.approx(motor.warm_up(row, 20.0, 20.0, 10.0, 600.0), rel=1e-9)
    # With copper that grows more resistive: T = Ta + Rth I^2 R (1 + a (T - 20)), solved for T.
    square, temperature = 30.0, 20.0
    for _ in range(3000):
        loss = square * motor.winding_resistance(given.resistance, temperature)
        temperature = motor.warm_up(row, temperature, 20.0, loss, 10.0)
    rise = given.thermal_resistance * square * given.resistance
    assert temperature - 20.0 == pytest.approx(rise / (1 - motor.COPPER * rise), rel=1e-6)
