"""The condition of a fleet in a run: batteries, motors, wear, faults, and the telemetry that shows them.

Ten times a second one compiled call for all robots turns what the motors have done since (see ``motor.note_load``) into
currents, temperatures, charge and vibration, lets wear and faults go on, writes a row of telemetry with its labels, and
tells the drives what is left of them. Seconds of operation, which wear and faults count, may pass faster than seconds
of the run by ``time_scale``; batteries and temperatures follow the seconds of the run.

Vibration is the RMS velocity that a sensor on the axle measures. Its levels follow ISO 10816-1 (now ISO 20816-1), annex
B, class I (machines up to 15 kW): good up to 0.71 mm/s, acceptable up to 1.8, tolerable for a while up to 4.5, damaging
above.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, inf, log, nan, pi, sqrt
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..common.errors import InputError
from ..common.kernels import compiled
from . import battery as cell
from .battery import battery_row, charge, discharge, stored_energy
from .condition_model import COLUMNS, MEASURED, TELEMETRY_RATE, ConditionParameters, TelemetryNoise
from .faults import (
    E_BATTERY_RESISTANCE,
    E_BEARING_DRAG,
    E_BRAKE_DRAG,
    E_FADE,
    E_MOTOR_RESISTANCE,
    E_VIBRATION,
    E_WEAKENING,
    F_FAILURE,
    F_KIND,
    F_ONSET,
    F_PROGRESSION,
    F_SEVERITY,
    F_SIDE,
    K_BATTERY,
    K_BEARING,
    K_BRAKE,
    K_DRIVE_UNIT,
    K_ENCODER,
    K_MOTOR,
    K_WINDOW,
    Fault,
    effect_row,
    fault_table,
)
from .motor import (
    L_SQUARE,
    L_TRAVEL,
    M_CONSTANT,
    M_RATIO,
    M_RESISTANCE,
    bus_power,
    losses,
    motor_row,
    warm_up,
    winding_resistance,
)
from .wear import (
    W_BEARING,
    W_CONSTANT,
    W_FADE,
    W_FRICTION,
    W_RADIUS,
    W_RESISTANCE,
    W_WINDOW,
    wear_row,
)

if TYPE_CHECKING:
    from .fleet import Fleet

FloatArray = NDArray[np.float64]
Pair = tuple[float, float]

_JOULES_PER_WH = 3600.0
_MEASURES = len(MEASURED)

HEALTH_NAMES: tuple[str, ...] = (
    "soc",
    "temperature_left",
    "temperature_right",
    "operation_s",
    "travel_m",
    "throughput",
    "capacity",
    "switched_off",
    "delivered",
    "heat",
    "faded",
    "used",
    "window_dirt",
    "radius_share",
)
"""Columns of the health of a robot: state of charge; windings [degrees Celsius]; seconds of operation and metres since
new; charge through the battery since new [C]; capacity [C]; whether the battery protects itself (0 or 1). Ledger since
the start [J]: energy out of the terminals, heat in the battery, energy lost with capacity, energy used by drives and
hotel load. Share of light lost on the lidar's window; share left of the wheels' radius."""
H_SOC, H_LEFT, H_RIGHT, H_OPERATION, H_TRAVEL, H_THROUGHPUT, H_CAPACITY, H_OFF, H_DELIVERED, H_HEAT = range(10)
H_FADED, H_USED, H_WINDOW, H_RADIUS = range(10, 14)

O_SURROUNDINGS, O_REST, O_ROLLING, O_REFERENCE, O_PAYLOAD, O_DERATING, O_HOTTEST, O_HOTEL, O_RADIUS = range(9)
O_SAFETY = 9
"""Columns of what else a robot is: temperature of the air; ``VibrationParameters``; temperatures at which torque is
taken away [degrees Celsius]; hotel load [W]; nominal radius of the wheels [m]; safety brake [N]."""

_VIBRATION = MEASURED.index("vibration_rms_mm_s")
_NOISE_OF = np.array([-1, 0, 1, 0, 0, 2, 2, 3, 4, 5])
"""Which field of ``TelemetryNoise`` each measured column has; the time has none."""
_SPEED_RESERVE = 0.95
"""Share of the battery's voltage that the controllers can put on the motors."""
_LEAST_RADIUS = 0.5
"""Share of a wheel's radius at which it counts as worn out and wears no more."""


@dataclass(frozen=True)
class RobotStart:
    """How a robot enters the run.

    Attributes:
        parameters: of this robot.
        age_h: hours of operation behind it.
        soc: state of charge in [0, 1].
        faults: of this robot, see ``faults.draw_faults``.
    """

    parameters: ConditionParameters
    age_h: float
    soc: float
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class FaultChange:
    """A fault began to grow ("onset") or became active ("failure") at ``time`` [s] after the start of the run."""

    time: float
    robot: int
    kind: str
    stage: str
    severity: float


class FleetCondition:
    """The condition of the R robots of a fleet.

    Args:
        fleet: just reset. Its drives are set to the robots' state of wear at once.
        starts: R robots.
        stream: names the noise of the telemetry.
        duration: longest time of the run [s].
        time_scale: seconds of operation in a second of the run, at least 0; scales wear and faults alone.

    Raises:
        InputError: numbers do not fit, or the physics rate is no multiple of 10 Hz.
    """

    def __init__(
        self, fleet: Fleet, starts: Sequence[RobotStart], stream: int, duration: float, time_scale: float = 1.0
    ) -> None:
        robots = len(fleet.models)
        if len(starts) != robots:
            raise InputError(f"{robots} robots, but {len(starts)} conditions")
        if not (np.isfinite(time_scale) and time_scale >= 0):
            raise InputError(f"time_scale must be zero or above, not {time_scale}", where="time_scale")
        steps = 1.0 / (TELEMETRY_RATE * fleet.step_time)
        if abs(steps - round(steps)) > 1e-9:
            raise InputError(f"the physics rate must be a multiple of {TELEMETRY_RATE} Hz", where="physics step")
        self.fleet, self.starts, self.time_scale = fleet, list(starts), time_scale
        self._tick_steps, self._steps, self._ticks = round(steps), 0, 0
        self._stream = np.uint64(stream)
        given = [start.parameters for start in starts]
        self._battery = np.array([battery_row(p.battery) for p in given])
        self._motor = np.array([motor_row(p.motor) for p in given])
        self._wear = np.array([wear_row(p.wear) for p in given])
        self._effects = np.array([effect_row(p.effects) for p in given])
        self._other = np.array(
            [
                (
                    p.surroundings_c,
                    p.vibration.rest,
                    p.vibration.rolling,
                    p.vibration.reference_speed,
                    p.vibration.payload_growth,
                    p.motor.derating_temperature,
                    p.motor.maximum_temperature,
                    model.hotel_power,
                    model.drive.wheel_radius,
                    p.motor.safety_brake,
                )
                for p, model in zip(given, fleet.models, strict=True)
            ]
        )
        self._noise = np.array([[getattr(p.noise, name) for name in TelemetryNoise.model_fields] for p in given])
        self._faults = fault_table(tuple(start.faults for start in starts))
        self._noted = np.full((*self._faults.shape[:2], 2), -1, dtype=np.int64)
        self._charging = np.zeros(robots, dtype=np.bool_)
        self._table = np.full((int(np.ceil(duration * TELEMETRY_RATE - 1e-9)), robots, len(COLUMNS)), nan)
        self.health = np.zeros((robots, len(HEALTH_NAMES)))
        """(R, H) float64, columns as in ``HEALTH_NAMES``; a live view."""
        self.health[:, H_SOC] = [start.soc for start in starts]
        self.health[:, H_LEFT] = self.health[:, H_RIGHT] = [p.surroundings_c for p in given]
        hours = np.array([start.age_h for start in starts])
        self.health[:, H_OPERATION] = hours * 3600.0
        self.health[:, H_TRAVEL] = hours * 3600.0 * np.array([p.wear.speed_before for p in given])
        cycles = hours * np.array([p.wear.cycles_before for p in given])
        self.health[:, H_THROUGHPUT] = cycles * 2.0 * self._battery[:, cell.B_CAPACITY]
        self._live = np.repeat(self._motor[:, None], 2, axis=1)
        self._load = fleet.watch_motors(self._live)
        self._pair = np.zeros((3, robots, 2))
        self._single = np.zeros((2, robots))
        self._settle(tick=-1)
        self._first_energy = self._stored()

    def advance(self, steps: int) -> None:
        """Let ``steps`` physics steps of the fleet pass; cutting them into calls changes nothing, not even a bit."""
        while steps > 0:
            part = min(steps, self._tick_steps - self._steps)
            self.fleet.step(part)
            self._steps, steps = self._steps + part, steps - part
            if self._steps == self._tick_steps:
                self._steps = 0
                self._settle(self._ticks)
                self._ticks += 1

    def connect(self, robot: int, charging: bool) -> None:
        """Connect a robot to its charger, or take it off. The charger feeds its computers too."""
        self._charging[robot] = charging

    def scale_battery(self, robot: int, capacity: float, resistance: float) -> None:
        """Multiply the new capacity and the resistance of a robot's battery, from the next telemetry tick on.

        The charge in the cells that are lost goes with them, as with any other fade.

        Args:
            robot: index. capacity, resistance: factors [-], above 0.
        """
        self._battery[robot, cell.B_CAPACITY] *= capacity
        self._battery[robot, cell.B_RESISTANCE] *= resistance

    @property
    def telemetry(self) -> FloatArray:
        """(N, R, C) float64, columns as in ``COLUMNS``: N rows so far, at 10 Hz, at most those of the duration."""
        return self._table[: min(self._ticks, len(self._table))].copy()

    @property
    def energy_wh(self) -> FloatArray:
        """Electrical energy (R,) that drives and hotel load have used since the start [Wh]."""
        return self.health[:, H_USED] / _JOULES_PER_WH

    @property
    def window_dirt(self) -> FloatArray:
        """Share of the light (R,) that is lost on each lidar's window [-]."""
        return self.health[:, H_WINDOW].copy()

    @property
    def imbalance(self) -> FloatArray:
        """What is missing in the battery's books (R,) [J]: energy stored at first, less what is stored, was delivered,
        became heat or went with capacity. Zero but for rounding.
        """  # fmt: skip
        out = self.health[:, H_DELIVERED] + self.health[:, H_HEAT] + self.health[:, H_FADED]
        return self._first_energy - self._stored() - out

    def changes(self) -> list[FaultChange]:
        """Return every onset and failure so far, in order of time."""
        found = []
        for r, start in enumerate(self.starts):
            for k, fault in enumerate(start.faults):
                for stage, tick in zip(("onset", "failure"), self._noted[r, k].tolist(), strict=True):
                    if tick >= 0:
                        found.append(FaultChange(tick / TELEMETRY_RATE, r, fault.kind, stage, fault.severity))
        return sorted(found, key=lambda change: (change.time, change.robot, change.kind, change.stage))

    def _stored(self) -> FloatArray:
        per_coulomb = np.array([stored_energy(soc) for soc in self.health[:, H_SOC].tolist()])
        return self._battery[:, cell.B_CELLS] * self.health[:, H_CAPACITY] * per_coulomb

    def _settle(self, tick: int) -> None:
        """Close a tenth of a second (or, with tick -1, none) and tell the drives what is left of them."""
        _settle_kernel(
            tick,
            1.0 / TELEMETRY_RATE if tick >= 0 else 0.0,
            self.time_scale,
            self._stream,
            self._battery,
            self._motor,
            self._wear,
            self._effects,
            self._other,
            self._noise,
            self._faults,
            self._charging,
            self.fleet.payload,
            self._load,
            self.health,
            self._live,
            self._noted,
            self._pair,
            self._single,
            self._table,
        )
        torque, brake, count = self._pair
        self.fleet.set_condition(torque, brake, self.health[:, H_RADIUS], count, self._single[0], self._single[1])


@compiled
def _mix(state: np.uint64) -> np.uint64:
    """Return the output of SplitMix64 (Steele, Lea and Flood 2014) for a state."""
    z = state
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@compiled
def measurement_error(stream: np.uint64, robot: int, tick: int, column: int) -> float:
    """Return a standard normal number that depends on its arguments alone (Box and Muller 1958)."""
    golden = np.uint64(0x9E3779B97F4A7C15)
    key = _mix(stream + golden)
    key = _mix(key + np.uint64(robot) * golden)
    key = _mix(key ^ (np.uint64(tick) * np.uint64(0x94D049BB133111EB) + golden))
    key += np.uint64(2 * column) * golden
    # In (0, 1]: the logarithm is finite.
    first = (float(_mix(key + golden) >> np.uint64(11)) + 1.0) * 2.0**-53
    second = float(_mix(key + golden + golden) >> np.uint64(11)) * 2.0**-53
    return sqrt(-2.0 * log(first)) * cos(2.0 * pi * second)


@compiled
def fault_level(fault: FloatArray, operation: float) -> float:
    """Return the level of a fault (6,) after so many seconds of operation."""
    if operation >= fault[F_FAILURE]:
        return fault[F_SEVERITY]
    if operation <= fault[F_ONSET]:
        return 0.0
    grown = (operation - fault[F_ONSET]) / (fault[F_FAILURE] - fault[F_ONSET])
    return fault[F_SEVERITY] * grown ** fault[F_PROGRESSION]


@compiled
def _add_effect(kind: int, side: int, level: float, failed: bool, effects: FloatArray, sums: FloatArray) -> None:
    """Add what one fault does to the sums (2, 7) of its robot: see ``_gather_faults``."""
    if kind == K_BEARING:
        sums[side, 1] += effects[E_BEARING_DRAG] * level
        sums[side, 5] += effects[E_VIBRATION] * level
    elif kind == K_MOTOR:
        sums[side, 3] *= 1.0 - effects[E_WEAKENING] * level
        sums[side, 4] += effects[E_MOTOR_RESISTANCE] * level
        if failed:
            sums[side, 0] *= 1.0 - level
    elif kind == K_BRAKE:
        sums[side, 1] += effects[E_BRAKE_DRAG] * level
    elif kind == K_DRIVE_UNIT:
        sums[side, 0] *= 1.0 - level
    elif kind == K_ENCODER:
        sums[side, 2] *= 1.0 - level
    elif kind == K_BATTERY:
        sums[0, 6] = max(sums[0, 6], level)
    elif kind == K_WINDOW:
        sums[1, 6] = max(sums[1, 6], level)


@compiled
def _gather_faults(
    faults: FloatArray, effects: FloatArray, operation: float, tick: int, noted: NDArray[np.int64], sums: FloatArray
) -> tuple[int, bool, float, float]:
    """Add up what the faults (F, 6) of a robot do.

    Args:
        sums: (2, 7) by side, cleared and written: torque share, drag [N], share of ticks, torque constant, winding
            resistance, vibration [mm/s]; and, of the robot, in the last column battery level and window level.

    Returns:
        code, whether active, level of the fault that is farthest, and the seconds of operation to the next failure:
        zero once one has failed, infinite if none is to come.
    """
    sums[:] = 0.0
    sums[:, 0] = sums[:, 2] = sums[:, 3] = sums[:, 4] = 1.0
    code, active, worst, left = 0, False, 0.0, inf
    for k in range(len(faults)):
        level = fault_level(faults[k], operation)
        failed = operation >= faults[k, F_FAILURE]
        kind = int(faults[k, F_KIND])
        if kind == 0:
            continue
        left = min(left, max(faults[k, F_FAILURE] - operation, 0.0))
        if level <= 0.0:
            continue
        if noted[k, 0] < 0:
            noted[k, 0] = tick + 1
        if failed and noted[k, 1] < 0:
            noted[k, 1] = tick + 1
        if (failed and not active) or (failed == active and level > worst):
            code, active, worst = kind, failed, level
        _add_effect(kind, int(faults[k, F_SIDE]), level, failed, effects, sums)
    return code, active, worst, left


@compiled
def _settle_battery(
    h: FloatArray,
    battery: FloatArray,
    wear: FloatArray,
    effects: FloatArray,
    level: float,
    charging: bool,
    power: float,
    period: float,
) -> Pair:
    """Let the battery of a robot fade and give ``power`` [W] for ``period`` [s]; returns current [A] and voltage [V].

    With a period of zero only its capacity is set.
    """
    cells, new_capacity = battery[cell.B_CELLS], battery[cell.B_CAPACITY]
    cycles = h[H_THROUGHPUT] / (2.0 * new_capacity)
    capacity = new_capacity * max(1.0 - wear[W_FADE] * cycles, 0.05) * (1.0 - effects[E_FADE] * level)
    resistance = battery[cell.B_RESISTANCE] * (1.0 + wear[W_RESISTANCE] * cycles)
    resistance *= 1.0 + effects[E_BATTERY_RESISTANCE] * level
    if period <= 0.0:
        h[H_CAPACITY] = capacity
        return 0.0, cells * cell.open_circuit_voltage(h[H_SOC])
    h[H_FADED] += (h[H_CAPACITY] - capacity) * cells * stored_energy(h[H_SOC])
    h[H_CAPACITY] = capacity
    coulombic = battery[cell.B_COULOMBIC]
    if charging:
        limit, end = battery[cell.B_CHARGE_CURRENT], battery[cell.B_CHARGE_VOLTAGE]
        current, voltage, after, heat = charge(
            h[H_SOC], period, cells, capacity, resistance, coulombic, limit, end, battery[cell.B_CHARGE_END]
        )
        h[H_OFF] = 0.0
        h[H_USED] += power * period
    else:
        asked = power if h[H_OFF] == 0.0 else 0.0
        current, voltage, after, heat = discharge(h[H_SOC], asked, period, cells, capacity, resistance, coulombic)
        if voltage < battery[cell.B_CUT_OFF] or after <= 0.0:
            h[H_OFF] = 1.0
        h[H_USED] += current * voltage * period
    h[H_SOC] = after
    h[H_DELIVERED] += current * voltage * period
    h[H_HEAT] += heat
    h[H_THROUGHPUT] += abs(current) * period
    return current, voltage


@compiled
def _settle_motor(
    h: FloatArray,
    side: int,
    sound: FloatArray,
    live: FloatArray,
    load: FloatArray,
    other: FloatArray,
    sums: FloatArray,
    constant: float,
    period: float,
) -> float:
    """Warm a winding by its losses, set the motor as it is now, and return the share of its torque that is left."""
    if period > 0.0:
        loss = losses(live, load, period)
        h[H_LEFT + side] = warm_up(sound, h[H_LEFT + side], other[O_SURROUNDINGS], loss, period)
    weakened = constant * sums[3]
    live[M_CONSTANT] = sound[M_CONSTANT] * weakened
    live[M_RESISTANCE] = winding_resistance(sound[M_RESISTANCE] * sums[4], h[H_LEFT + side])
    hot = (h[H_LEFT + side] - other[O_DERATING]) / max(other[O_HOTTEST] - other[O_DERATING], 1e-9)
    # The controller limits current: weaker magnets leave less torque.
    return 0.0 if h[H_OFF] > 0.0 else weakened * sums[0] * (1.0 - min(max(hot, 0.0), 1.0))


@compiled
def _settle_kernel(
    tick: int,
    period: float,
    time_scale: float,
    stream: np.uint64,
    battery: FloatArray,
    motor: FloatArray,
    wear: FloatArray,
    effects: FloatArray,
    other: FloatArray,
    noise: FloatArray,
    faults: FloatArray,
    charging: NDArray[np.bool_],
    payload: FloatArray,
    load: FloatArray,
    health: FloatArray,
    live: FloatArray,
    noted: NDArray[np.int64],
    pair: FloatArray,
    single: FloatArray,
    table: FloatArray,
) -> None:
    """Close the ``period`` [s] at the end of tick number ``tick`` for all robots; with a period of 0 set the drives.

    Args:
        motor: (R, 9) sound motors. live: (R, 2, 9) motors as they are, written. other: (R, 10), columns ``O_...``.
        load: (R, 2, 5), cleared. pair: (3, R, 2) torque shares, brakes, shares of ticks, written.
        single: (2, R) friction shares and speed limits, written. table: (N, R, C), row ``tick`` written.
    """
    sums = np.empty((2, 7))
    for i in range(len(health)):
        h, o = health[i], other[i]
        travel = 0.5 * (load[i, 0, L_TRAVEL] + load[i, 1, L_TRAVEL])
        h[H_OPERATION] += period * time_scale
        h[H_TRAVEL] += travel * time_scale
        code, active, worst, left = _gather_faults(faults[i], effects[i], h[H_OPERATION], tick, noted[i], sums)
        power = 0.0
        if period > 0.0:
            drives = bus_power(live[i, 0], load[i, 0], period) + bus_power(live[i, 1], load[i, 1], period)
            power = o[O_HOTEL] + drives
        current, voltage = _settle_battery(h, battery[i], wear[i], effects[i], sums[0, 6], charging[i], power, period)
        thousand_hours = h[H_OPERATION] / 3.6e6
        constant = max(1.0 - wear[i, W_CONSTANT] * thousand_hours, 0.05)
        for side in range(2):
            pair[0, i, side] = _settle_motor(
                h, side, motor[i], live[i, side], load[i, side], o, sums[side], constant, period
            )
            pair[1, i, side] = sums[side, 1] + (o[O_SAFETY] if h[H_OFF] > 0.0 else 0.0)
            pair[2, i, side] = sums[side, 2]
        h[H_RADIUS] = max(1.0 - wear[i, W_RADIUS] * h[H_TRAVEL] / 1000.0 / o[O_RADIUS], _LEAST_RADIUS)
        h[H_WINDOW] = 1.0 - (1.0 - sums[1, 6]) * max(1.0 - wear[i, W_WINDOW] * thousand_hours, 0.0)
        single[0, i] = 1.0 + wear[i, W_FRICTION] * thousand_hours
        turning = _SPEED_RESERVE * voltage / motor[i, M_CONSTANT]
        single[1, i] = max(turning * o[O_RADIUS] / motor[i, M_RATIO], 0.01)
        if period > 0.0 and tick < len(table):
            row, speed = table[tick, i], travel / period
            row[0], row[1], row[2] = (tick + 1) * period, current, voltage
            row[3], row[4] = sqrt(load[i, 0, L_SQUARE] / period), sqrt(load[i, 1, L_SQUARE] / period)
            row[5], row[6] = h[H_LEFT], h[H_RIGHT]
            row[7] = _vibration(o, speed, payload[i], wear[i, W_BEARING] * thousand_hours, sums[0, 5], sums[1, 5])
            row[8], row[9] = speed, h[H_SOC]
            _add_errors(row, noise[i], stream, i, tick)
            row[_MEASURES], row[_MEASURES + 1], row[_MEASURES + 2] = code, 1.0 if active else 0.0, worst
            row[_MEASURES + 3] = left / 3600.0 if left < inf else nan
        load[i] = 0.0


@compiled
def _add_errors(row: FloatArray, noise: FloatArray, stream: np.uint64, robot: int, tick: int) -> None:
    """Add the errors of the measurements to a row of telemetry."""
    for column in range(1, _MEASURES):
        scale = noise[_NOISE_OF[column]]
        if column == _VIBRATION:
            scale *= row[column]
        if scale > 0.0:
            row[column] += scale * measurement_error(stream, robot, tick, column)


@compiled
def _vibration(other: FloatArray, speed: float, payload: float, worn: float, left: float, right: float) -> float:
    """Return the RMS velocity [mm/s]: independent sources add by their squares."""
    moving = speed / other[O_REFERENCE] * (1.0 + other[O_PAYLOAD] * payload / 100.0)
    sound = other[O_ROLLING] + worn
    rolling = moving * moving * (sound * sound + left * left + right * right)
    return sqrt(other[O_REST] * other[O_REST] + rolling)
