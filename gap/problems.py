"""What is fitted for which kind of drive: the parameters, where to search for them, and the replay that they change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..common.errors import InputError
from ..common.geometry import FloatArray
from ..robots.model import DriveParameters, MecanumDrive, TricycleDrive
from ..robots.tricycle import TricycleParameters
from ..robots.wheels import WHEEL_GAINS, WheelParameters
from .fieldlog import FieldLog
from .floor import told_alike
from .replay import (
    VELOCITY_BASE,
    DriveReplay,
    TricycleReplay,
    WheelReplay,
    Windows,
    commands_body,
    commands_wheels,
    make_windows,
)
from .wheel_start import closed_form_wheels, most_turned

FIT_HORIZONS = (1.0, 2.0, 5.0, 10.0)
"""Longer ones add much time and little information: errors there are mostly drift that no parameter explains."""
LAG_HORIZONS = (0.3, 0.6)
"""Looked at as well where the body is commanded: they tell lag from delay, of which later only the sum is seen."""
FIT_EVERY = 1.0
"""Time between windows where the body is commanded [s]: each change of a command should fall into the first instants of
some window, where lag and delay differ. Commands are driven once however many windows there are."""
MOST_DENSE = 4000
"""Windows of one log; a longer one has them further apart, up to what the caller asks for."""
TURNED = np.pi
"""Angle [rad] that a robot must have turned through in a log before where the tracked mark sits can be told."""


@dataclass(frozen=True)
class ParameterRange:
    """A parameter to be fitted: where to search, and where to begin."""

    name: str
    low: float
    high: float
    start: float
    unit: str


@dataclass(frozen=True)
class Part:
    """A part of a model that training data may show to be needed, or not (``structure``).

    Attributes:
        what: it is, in words.
        directions: (D, P) orthonormal, in the unit cube; those of different parts are at right angles.
        basic: whether it is left as it was only with all the others.
    """

    what: str
    directions: FloatArray
    basic: bool = False


@dataclass(frozen=True)
class Pull:
    """What draws a parameter towards its start where data say nothing of it.

    Attributes:
        number: of the parameter.
        residual: that each window gets as one more column, for half the range away from the start.
    """

    number: int
    residual: float


@dataclass(frozen=True)
class Problem:
    """What is fitted to what.

    Attributes:
        ranges: the parameters.
        windows: one for each log.
        simulate: end poses (K, H, 3) of all windows for parameter values (P,), in the order of ``windows``.
        baseline: the same for the robot as it came.
        parts: of the model that may be left as they were; together they span the cube. None where all is fitted.
        free: (P, P) projector onto the directions that are fitted, from the start; None fits all.
        groups: of each log, from 0, where runs that were told the same repeat each other; else empty.
        pull: towards the start; None where there is none.
    """

    ranges: tuple[ParameterRange, ...]
    windows: tuple[Windows, ...]
    simulate: Callable[[dict[str, float]], FloatArray]
    baseline: FloatArray
    parts: tuple[Part, ...] = ()
    free: FloatArray | None = None
    groups: tuple[int, ...] = ()
    pull: Pull | None = None

    def values(self, cube: FloatArray) -> dict[str, float]:
        """Map a point of the unit cube (P,) to parameter values."""
        places = np.clip(cube, 0.0, 1.0).tolist()
        return {
            item.name: item.low + place * (item.high - item.low)
            for item, place in zip(self.ranges, places, strict=True)
        }

    def cube(self, values: dict[str, float]) -> FloatArray:
        """Map parameter values to the unit cube (P,)."""
        places = [(values[item.name] - item.low) / (item.high - item.low) for item in self.ranges]
        return np.clip(np.array(places), 0.0, 1.0)

    def pulled(self, cube: FloatArray) -> float:
        """Return the residual of the pull at a point of the unit cube (P,); zero without one."""
        if self.pull is None:
            return 0.0
        item = self.ranges[self.pull.number]
        start = (item.start - item.low) / (item.high - item.low)
        return 2.0 * self.pull.residual * float(cube[self.pull.number] - start)

    def tied(self, cube: FloatArray) -> FloatArray:
        """Return the nearest point (P,) of the cube that differs from the start only by what is fitted."""
        if self.free is None:
            return cube
        start = self.cube({item.name: item.start for item in self.ranges})
        return start + np.einsum("pq,q->p", self.free, cube - start)

    def without(self, parts: Sequence[int]) -> Problem:
        """Return the problem in which these parts, by number, stay as they are at the start."""
        kept = [part.directions for number, part in enumerate(self.parts) if number not in parts]
        return self.within(
            sum((np.einsum("dp,dq->pq", rows, rows) for rows in kept), np.zeros((len(self.ranges),) * 2))
        )

    def within(self, free: FloatArray | None, values: Mapping[str, float] | None = None) -> Problem:
        """Return the problem in which only the directions of a projector (P, P) are fitted.

        Args:
            free: the projector; None returns the problem as it is.
            values: to start at; None starts where the problem does.
        """
        if free is None:
            return self
        ranges = (
            self.ranges if values is None else tuple(replace(item, start=values[item.name]) for item in self.ranges)
        )
        held = replace(self, ranges=ranges, free=free)
        simulate = self.simulate
        return replace(held, simulate=lambda values: simulate(held.values(held.tied(held.cube(values)))))


def problem_for(
    logs: Sequence[FieldLog],
    every: float,
    *,
    horizons: Sequence[float] | None = None,
    textbook: WheelParameters | None = None,
) -> Problem:
    """Return what can be fitted to logs of one kind of drive.

    Args:
        logs: of robots of one kind; several runs of a robot are several logs.
        every: time between windows [s]; without ``horizons``, at most ``FIT_EVERY`` where the body is commanded.
        horizons: lengths at which ends are compared [s]; None takes ``FIT_HORIZONS``, and ``LAG_HORIZONS`` where the
            replay is driven by commands of the body's motion.
        textbook: wheels at which a search begins and which are the robot as it came; None takes those of these logs.

    Raises:
        InputError: the logs do not hold what the kind of drive needs.
    """
    if horizons is None and commands_body(logs[0]):
        every = min(every, max(FIT_EVERY, max(log.duration for log in logs) / MOST_DENSE))
        horizons = (*LAG_HORIZONS, *FIT_HORIZONS)
    elif horizons is None:
        horizons = FIT_HORIZONS
    windows = [make_windows(log, fitting_horizons(horizons, log), every=every) for log in logs]
    windows = [_with_horizons(item, windows) for item in windows]
    first = logs[0]
    if commands_body(first):
        return drive_problem(windows, first.model.drive)
    if first.drive == "tricycle":
        return tricycle_problem(windows, nominal_tricycle(first))
    return wheel_problem(windows, textbook or closed_form_wheels(logs))


def fitting_horizons(horizons: Sequence[float], log: FieldLog) -> tuple[float, ...]:
    """Return the horizons [s] that fit into the log; all of them if none does, so that the error names the log."""
    room = log.duration - VELOCITY_BASE
    return tuple(value for value in horizons if value <= room) or tuple(horizons)


def nominal_tricycle(log: FieldLog) -> TricycleParameters:
    """Return the tricycle as the log's header describes it.

    Raises:
        InputError: the log describes none.
    """
    if log.tricycle is None:
        raise InputError("the log gives no parameters of the tricycle", where=log.robot)
    return log.tricycle


def drive_problem(windows: Sequence[Windows], drive: DriveParameters) -> Problem:
    """Fit gains, delay and lag to commands; of a mecanum drive the sideways gain, of a tricycle its steering as well.

    Track width and wheel radius are not fitted: from commands and poses alone, a wider track and a lower angular
    gain (a larger wheel and a higher linear gain) give the same motion, so that only the gains can be known.
    """
    replay = DriveReplay(windows)
    steps = windows[0].horizon_steps

    def simulate(values: dict[str, float]) -> FloatArray:
        return replay.simulate_warm(drive.model_copy(update=values), steps=steps)

    ranges = [
        ParameterRange("linear_gain", 0.6, 1.4, 1.0, "-"),
        ParameterRange("angular_gain", 0.6, 1.4, 1.0, "-"),
        ParameterRange("command_delay", 0.0, 0.6, 0.1, "s"),
        ParameterRange("motor_lag", 0.0, 0.5, 0.1, "s"),
    ]
    if isinstance(drive, MecanumDrive):
        ranges.append(ParameterRange("lateral_gain", 0.5, 1.4, 1.0, "-"))
    elif isinstance(drive, TricycleDrive):
        ranges.append(ParameterRange("steering_lag", 0.0, 0.5, 0.1, "s"))
        ranges.append(ParameterRange("steering_offset", -0.3, 0.3, 0.0, "rad"))
    return Problem(tuple(ranges), tuple(windows), simulate, replay.raw()[:, steps])


def tricycle_problem(windows: Sequence[Windows], nominal: TricycleParameters) -> Problem:
    """Fit the kinematics of a tricycle, the mount of its tracked sensor and the delay between ticks and tracker."""
    replay = TricycleReplay(windows)
    steps = windows[0].horizon_steps

    def simulate(values: dict[str, float]) -> FloatArray:
        return replay.simulate(nominal.model_copy(update=values), steps=steps)

    # Steering gears differ by an order of magnitude between trucks and the nominal one is often a guess, so its
    # range is wide; lengths and wheel sizes are known better.
    ranges = (
        ParameterRange("k_steer", 0.02, 1.5, nominal.k_steer, "-"),
        ParameterRange("k_traction", 0.5 * nominal.k_traction, 1.5 * nominal.k_traction, nominal.k_traction, "m"),
        ParameterRange("axis_length", 0.4 * nominal.axis_length, 2.0 * nominal.axis_length, nominal.axis_length, "m"),
        ParameterRange("steer_offset", -0.3, 0.3, nominal.steer_offset, "rad"),
        ParameterRange("sensor_x", nominal.sensor_x - 1.0, nominal.sensor_x + 1.0, nominal.sensor_x, "m"),
        ParameterRange("sensor_y", nominal.sensor_y - 0.5, nominal.sensor_y + 0.5, nominal.sensor_y, "m"),
        ParameterRange("sensor_yaw", nominal.sensor_yaw - 0.3, nominal.sensor_yaw + 0.3, nominal.sensor_yaw, "rad"),
        ParameterRange("tick_delay", -0.2, 0.4, nominal.tick_delay, "s"),
    )
    return Problem(ranges, tuple(windows), simulate, simulate({}))


def wheel_problem(windows: Sequence[Windows], start: WheelParameters) -> Problem:
    """Fit two or four wheels: gains by wheel, reach, mount of the tracked mark and delay; begins at textbook wheels.

    From raw commands also what lies between command and speed (dead band, lag), and how the wheels' contradictions are
    settled (``robots.wheels``), which stands for the sideways gain as well: counts cannot tell it from the gains. The
    share of the load on the diagonals is drawn to one half, that of a rigid base on a level floor with its load in the
    middle, with the worth of one window: runs that never drive the wheels of a diagonal apart leave it open. Where
    the mark sits is left at the middle, within a millimetre, unless a robot turns more than ``TURNED`` in a log.
    """
    replay = WheelReplay(windows)
    steps, log = windows[0].horizon_steps, windows[0].log
    told = commands_wheels(log)
    wheels = (log.wheel_cmd if told else log.ticks).shape[1]

    def simulate(values: dict[str, float]) -> FloatArray:
        return replay.simulate(start.model_copy(update=values), steps=steps)

    unit = "m/s per unit" if told else "m per count"
    ranges = []
    for name, gain in zip(WHEEL_GAINS, start.gains(wheels), strict=False):
        low, high = sorted((0.4 * float(gain), 2.5 * float(gain)))
        ranges.append(ParameterRange(name, low, high, float(gain), unit))
    ranges.append(
        ParameterRange("wheel_reach", 0.3 * start.wheel_reach, 3.0 * start.wheel_reach, start.wheel_reach, "m")
    )
    if wheels == 4 and not told:
        ranges.append(ParameterRange("lateral_gain", 0.5, 1.3, 1.0, "-"))
    if told:
        smallest = float(min(np.abs(item.log.wheel_cmd[item.log.wheel_cmd != 0]).min() for item in windows))
        ranges += [
            ParameterRange("dead_band", 0.0, 0.8 * smallest, 0.1 * smallest, "units"),
            ParameterRange("motor_lag", 0.0, 0.5, 0.1, "s"),
            ParameterRange("command_delay", 0.0, 0.6, 0.1, "s"),
        ]
        if wheels == 4:
            ranges.append(ParameterRange("diagonal_share", 0.05, 0.95, 0.5, "-"))
            ranges.append(ParameterRange("roller_drag", 0.0, 0.5, 0.05, "-"))
    else:
        ranges.append(ParameterRange("tick_delay", -0.2, 0.4, 0.0, "s"))
    reach = 0.3 if most_turned([item.log for item in windows]) > TURNED else 0.001
    ranges += [ParameterRange(name, -reach, reach, 0.0, "m") for name in ("sensor_x", "sensor_y")]
    ranges.append(
        ParameterRange("sensor_yaw", start.sensor_yaw - 0.15, start.sensor_yaw + 0.15, start.sensor_yaw, "rad")
    )
    baseline = replay.simulate(start, steps=steps)
    if not told:
        return Problem(tuple(ranges), tuple(windows), simulate, baseline, _wheel_parts(ranges, start.gains(wheels)))
    # A few runs under raw commands, each command held from start to end, are too few to choose parts by.
    groups = tuple(told_alike([item.log for item in windows]))
    names = [item.name for item in ranges]
    pull = None
    if "diagonal_share" in names:
        pull = Pull(names.index("diagonal_share"), _worth_of_one(sum(len(item) for item in windows), 3 * len(steps)))
    return Problem(tuple(ranges), tuple(windows), simulate, baseline, groups=groups, pull=pull)


def _worth_of_one(windows: int, columns: int) -> float:
    """Return the residual whose loss, for all the windows, is that of a single one that errs as is typical.

    Typical is a residual of one in every column; the loss is that of ``scoring.loss_of``, solved for the residual.
    """
    loss = 2.0 * (np.sqrt(2.0) - 1.0) * columns / windows
    return float(np.sqrt((1.0 + 0.5 * loss) ** 2 - 1.0))


def _wheel_parts(ranges: Sequence[ParameterRange], gains: FloatArray) -> tuple[Part, ...]:
    """Return the parts of a model of wheels.

    What textbook wheels are fitted for as well has no value of its own to be left at, so it is basic.
    """
    place = {item.name: row for item, row in zip(ranges, np.eye(len(ranges)), strict=True)}
    # A wheel whose numbers run backwards has its range mirrored: more of it is a lower place in the cube.
    rows = [np.sign(gain) * place.pop(name) for name, gain in zip(WHEEL_GAINS, gains, strict=False)]
    mean, side, *others = _MIXED[len(gains)] @ np.array(rows)
    basic = [mean, place.pop("wheel_reach"), place.pop("sensor_yaw")]
    parts = [
        Part("gain, reach and turn of the mark", np.array(basic), basic=True),
        Part("what left wheels have more than right ones", side[None]),
        Part("place of the mark", np.array([place.pop("sensor_x"), place.pop("sensor_y")])),
    ]
    if others:
        parts.append(Part("other differences between wheels", np.array(others)))
    return (*parts, *(Part(name, row[None]) for name, row in place.items()))


_MIXED = {
    2: np.array([[1.0, 1.0], [1.0, -1.0]]) / np.sqrt(2.0),
    4: 0.5 * np.array([[1.0, 1.0, 1.0, 1.0], [1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0], [1.0, -1.0, -1.0, 1.0]]),
}
"""Mean and differences of two or four wheels: orthonormal rows."""


def _with_horizons(item: Windows, others: Sequence[Windows]) -> Windows:
    """Cut windows of one log to the horizons that all logs have."""
    count = min(len(other.horizons) for other in others)
    if len(item.horizons) == count:
        return item
    last = int(item.horizon_steps[count - 1])
    return replace(
        item,
        horizons=item.horizons[:count],
        truth=item.truth[:, : last + 1],
        valid=item.valid[:, :count],
        left_out=item.left_out[:count],
    )
