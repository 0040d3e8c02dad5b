"""A straight run driven again in closed loop: the robot is told to go so far, and its controller sees to it.

Nothing of the real path is replayed. A trapezoid of speed (up, cruise, down over a distance) gives where the robot
should be; the controller asks for the speed of the trapezoid, corrected by how far the robot is behind, and steers back
to the line. The robot is the product's: lag, dead time, ramps, traction. What is tuned is the trapezoid, to one real
run, so that the outcome says how well such a drive *can* be made to look like that run, and nothing about the next one.

The score is that of a public comparison (Omron LD-250 against Isaac Sim with Nav2):

    J = 0.5 (RMSE_pos / 0.1 m + RMSE_yaw / 0.0349 rad)

with both runs placed on their first pose and linearly interpolated every 0.1 s, from their start up to, but not
including, the end of the shorter one. So read, it gives back the seven published values to their last digit but one.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import least_squares

from .. import __version__
from ..common.errors import InputError
from ..common.geometry import FloatArray, relative, wrap_angle
from ..common.primitives import PrimitiveBuilder
from ..physics.settings import PhysicsSettings
from ..physics.world import World
from ..robots.fleet import Fleet
from ..robots.model import DriveParameters, RobotModel
from ..robots.twin import LogSource, Twin, TwinParameter, TwinProvenance
from .bullet_replay import EVERYWHERE, FREQUENCY
from .fieldlog import SECOND, FieldLog

SCORE_STEP = 0.1
"""Of the grid that J is taken on [s]."""
POSITION_SCALE, YAW_SCALE = 0.1, 0.0349
"""[m], [rad]: two degrees."""
MOST_EVALUATIONS = 50
"""Drives that the tuning may take."""
CONTROL_STEPS = 10
"""Physics steps between commands: 25 Hz."""
STRAIGHT = 0.1
"""Share of its length that a run may stray sideways and still count as straight."""

_ALONG, _ACROSS, _HEADING = 2.0, 2.0, 2.0
"""Gains of the controller: on the lag along the line [1/s], on the distance from it [rad/m^2], on the heading [1/s]:
of half a second each. They hold the robot on the line and on time; they are not tuned to the run."""
_SHORTEST = 0.5
_NAMES = ("cruise_speed", "acceleration", "deceleration", "distance", "lead")
_UNITS = ("m/s", "m/s^2", "m/s^2", "m", "s")


class _Spent(Exception):
    """All drives that were allowed have been made."""


LD250 = RobotModel(
    name="omron_ld250",
    length=0.963,
    width=0.718,
    height=0.383,
    max_payload=250.0,
    drive=DriveParameters(
        wheel_radius=0.1,
        track_width=0.55,
        mass=148.0,
        inertia=17.0,
        max_speed=1.2,
        max_acceleration=1.5,
        max_deceleration=1.5,
    ),
)
"""Omron LD-250. Body, mass, payload and top speed from its data sheet; wheels, inertia (of a uniform box) and ramps are
assumed: the run does not come near what they limit."""


@dataclass(frozen=True)
class Run:
    """A run as a table: t (N,) [s] from its start; pose (N, 3) x, y [m], yaw [rad], first pose at the origin."""

    t: FloatArray
    pose: FloatArray


@dataclass(frozen=True)
class Score:
    """How far two runs are apart: J [-], its two parts RMSE_pos [m] and RMSE_yaw [rad], and the number of samples."""

    j: float
    rmse_pos: float
    rmse_yaw: float
    samples: int


@dataclass(frozen=True)
class StraightDrive:
    """What the robot is told: cruise speed [m/s], acceleration, deceleration [m/s^2], distance [m], and how long before
    the log begins it was told [s]."""

    cruise_speed: float
    acceleration: float
    deceleration: float
    distance: float
    lead: float


@dataclass(frozen=True)
class ClosedLoopResult:
    """A straight run in closed loop, tuned to one real run.

    Attributes:
        drive: what the robot was told.
        score: of the product's traction model. in_bullet: of the same drive in PyBullet.
        bare: score of the trapezoid alone, without robot or controller, fitted likewise.
        evaluations: drives that the tuning took.
        yaw_step: step in which the real heading is given [rad]; 0 if finer than the readings tell.
        yaw_floor: J that rounding of the heading to that step makes by itself (uniform within the step) [-].
        real, simulated, bullet: the runs.
        notes: what to beware of.
        twin: the robot with the tuned limits.
    """

    drive: StraightDrive
    score: Score
    in_bullet: Score
    bare: Score
    evaluations: int
    yaw_step: float
    yaw_floor: float
    real: Run
    simulated: Run
    bullet: Run
    notes: tuple[str, ...]
    twin: Twin

    def to_summary(self) -> dict[str, Any]:
        """Return everything but the runs, JSON-safe; ``metrics`` as scripts lean on it."""
        return {
            "metrics": _rows(self.score, self.in_bullet, self.bare, self.yaw_floor),
            "drive": vars(self.drive),
            "evaluations": self.evaluations,
            "yaw_step_rad": self.yaw_step,
            "notes": list(self.notes),
        }


def run_of(log: FieldLog) -> Run:
    """Return the poses of a log as a run that starts at the origin.

    Raises:
        InputError: fewer than ten poses.
    """
    if len(log.pose_t_ns) < 10:
        raise InputError("a run needs at least ten poses", where=log.name)
    pose = relative(log.pose[0], log.pose)
    return Run((log.pose_t_ns - log.pose_t_ns[0]) / SECOND, pose)


def score(real: Run, simulated: Run) -> Score:
    """Return how far a simulated run is from a real one; see the module's docstring for the formula."""
    grid = np.arange(0.0, min(real.t[-1], simulated.t[-1]), SCORE_STEP)
    one, other = _at(real, grid), _at(simulated, grid)
    position = float(np.sqrt(((one - other)[:, :2] ** 2).sum(axis=1).mean()))
    yaw = float(np.sqrt((wrap_angle(one[:, 2] - other[:, 2]) ** 2).mean()))
    return Score(0.5 * (position / POSITION_SCALE + yaw / YAW_SCALE), position, yaw, len(grid))


def tune_closed_loop(
    log: FieldLog, *, model: RobotModel = LD250, most: int = MOST_EVALUATIONS, date: str | None = None
) -> ClosedLoopResult:
    """Tune a closed-loop straight drive to one real run.

    Args:
        log: with poses; commands are not needed.
        model: the robot.
        most: drives that the tuning may take.
        date: written into the twin as given.

    Raises:
        InputError: the run is no straight drive forwards of at least half a metre; ``most`` is below ten; the model is
            no differential drive.
    """
    real = run_of(log)
    _check(real, log.name, most, model)
    start = _first_guess(real)
    bare = _fitted(lambda told: _bare(told, real), real, start, 10 * most)[0]
    with _Track(model, in_bullet=False) as track:
        drive, evaluations = _fitted(lambda told: track.drive(told, real.t[-1]), real, bare, most)
        simulated = track.drive(drive, real.t[-1])
    with _Track(model, in_bullet=True) as track:
        bullet = track.drive(drive, real.t[-1])
    scores = score(real, simulated), score(real, bullet), score(real, _bare(bare, real))
    step = yaw_step(log)
    floor = 0.5 * step / np.sqrt(12.0) / YAW_SCALE
    notes = _notes(real, scores, step, floor)
    twin = _twin(log, model, drive, (f"J = {scores[0].j:.4f} on the run it was tuned to.", *notes), date)
    return ClosedLoopResult(drive, *scores, evaluations, step, floor, real, simulated, bullet, notes, twin)


def yaw_step(log: FieldLog) -> float:
    """Return the step in which headings are given [rad], 0 if they are not rounded visibly.

    A run whose headings are all alike is taken to be rounded to whole degrees: no tracker reads the same figure ten
    times and more.
    """
    yaw = np.unique(np.round(log.pose[:, 2], 9))
    if len(yaw) == 1:
        return float(np.radians(1.0))
    steps = np.diff(yaw)
    least = float(steps.min())
    whole = np.abs(steps / least - np.round(steps / least)).max() < 0.02
    return least if whole and len(yaw) <= 0.5 * len(log.pose) else 0.0


class _Track:
    """An empty floor with one robot on it, to be driven again and again.

    Args:
        model: the robot.
        in_bullet: make every step in Bullet and read the pose from it; else only the traction model runs.
    """

    def __init__(self, model: RobotModel, *, in_bullet: bool) -> None:
        settings = PhysicsSettings(frequency=FREQUENCY)
        if in_bullet:
            settings = settings.model_copy(update={"margin": EVERYWHERE, "release_margin": EVERYWHERE})
        self._in_bullet = in_bullet
        self._world = World(PrimitiveBuilder().build(), [], [], settings=settings)
        # A robot that is near nothing stays out of Bullet, so that it gets a neighbour far away.
        self._fleet = Fleet(self._world, [model] * (2 if in_bullet else 1))

    def __enter__(self) -> _Track:
        return self

    def __exit__(self, *_: object) -> None:
        self._world.close()

    def drive(self, told: StraightDrive, seconds: float) -> Run:
        """Drive from the origin along x for so long after the log's start. Returns the run from that start on."""
        fleet = self._fleet
        robots = len(fleet.models)
        start = np.zeros((robots, 3))
        start[1:, 1] = 1000.0
        fleet.reset(start, check=False)
        step = CONTROL_STEPS * fleet.step_time
        count = int(np.ceil((seconds + told.lead) / step)) + 1
        pose = np.zeros((count + 1, 3))
        command = np.zeros((robots, 2))
        for k in range(count):
            x, y, yaw = pose[k]
            place, speed = _profile(told, np.array([k * step, (k + 0.5) * step]))
            v = float(speed[1] + _ALONG * (place[0] - x))
            command[0] = max(v, 0.0), -_ACROSS * v * y - _HEADING * yaw
            fleet.command(command)
            fleet.step(CONTROL_STEPS)
            pose[k + 1] = self._world.bullet_pose()[0] if self._in_bullet else fleet.pose[0]
        times = np.arange(count + 1, dtype=np.float64) * step
        whole = Run(times, pose)
        grid = np.append(np.arange(0.0, seconds, 0.5 * step), seconds)
        return Run(grid, relative(_at(whole, np.array([told.lead]))[0], _at(whole, grid + told.lead)))


def _profile(told: StraightDrive, t: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return how far the trapezoid has come (N,) [m] and its speed (N,) [m/s] at times (N,) [s] after it was told."""
    up, down, distance = told.acceleration, told.deceleration, told.distance
    # Where the distance is too short for the cruise, the trapezoid is a triangle.
    cruise = min(told.cruise_speed, float(np.sqrt(2.0 * distance * up * down / (up + down))))
    rising, falling = cruise / up, cruise / down
    holding = distance / cruise - 0.5 * (rising + falling)
    end = rising + holding + falling
    s = np.clip(t, 0.0, end)
    first = 0.5 * up * np.minimum(s, rising) ** 2
    middle = cruise * np.clip(s - rising, 0.0, holding)
    last = np.maximum(s - rising - holding, 0.0)
    place = first + middle + cruise * last - 0.5 * down * last**2
    speed = np.minimum(np.minimum(up * s, cruise), down * (end - s))
    return place, speed


def _bare(told: StraightDrive, real: Run) -> Run:
    """Return the trapezoid itself as a run."""
    grid = np.append(np.arange(0.0, real.t[-1], 0.02), real.t[-1])
    place, _ = _profile(told, grid + told.lead)
    begun, _ = _profile(told, np.array([told.lead]))
    return Run(grid, np.column_stack([place - begun, np.zeros((len(grid), 2))]))


def _first_guess(real: Run) -> StraightDrive:
    """Read a trapezoid off a run: cruise at its usual speed, ramps from the time lost against it."""
    x = real.pose[:, 0]
    length = float(x[-1])
    grid = np.linspace(0.0, real.t[-1], 200)
    place = np.interp(grid, real.t, x)
    speed = np.gradient(place, grid)
    cruise = float(np.median(speed[(place > 0.2 * length) & (place < 0.8 * length)]))
    lost = max(float(real.t[-1]) - length / cruise, 0.2)
    ramp = cruise / lost
    return StraightDrive(cruise, ramp, ramp, length, 0.1)


def _fitted(
    drive: Callable[[StraightDrive], Run], real: Run, start: StraightDrive, most: int
) -> tuple[StraightDrive, int]:
    """Fit a drive to a run by least squares, within ``most`` drives. Returns the best one made, and the drives made."""
    grid = np.arange(0.0, real.t[-1], SCORE_STEP)
    wanted = _at(real, grid)[:, :2]
    scale = np.array([start.cruise_speed, start.acceleration, start.deceleration, start.distance, 0.5])
    best: tuple[float, FloatArray] = (np.inf, np.array(list(vars(start).values())) / scale)
    made = 0

    def residuals(point: FloatArray) -> FloatArray:
        nonlocal best, made
        if made >= most:
            raise _Spent
        made += 1
        error: FloatArray = (_at(drive(StraightDrive(*(point * scale).tolist())), grid)[:, :2] - wanted).ravel()
        if (cost := float(error @ error)) < best[0]:
            best = cost, point.copy()
        return error

    low = np.array([0.5, 0.2, 0.2, 0.8, 0.0])
    high = np.array([2.0, 8.0, 8.0, 1.25, 4.0])
    with contextlib.suppress(_Spent):
        least_squares(
            residuals, np.clip(best[1], low + 1e-6, high - 1e-6), bounds=(low, high), diff_step=1e-2, xtol=1e-4
        )
    return StraightDrive(*(best[1] * scale).tolist()), made


def _check(real: Run, name: str, most: int, model: RobotModel) -> None:
    if most < 10:
        raise InputError(f"{most} drives are too few to tune five values", mend="allow at least 10")
    if model.kind != "differential":
        raise InputError(f"the closed-loop drive is for differential drives, {model.name} is {model.kind}")
    length = float(real.pose[-1, 0])
    aside = float(np.abs(real.pose[:, 1]).max())
    back = float(-np.diff(real.pose[:, 0]).min())
    if length < _SHORTEST or aside > STRAIGHT * length or back > STRAIGHT * length:
        raise InputError(
            f"the run is no straight drive forwards: it ends {length:.2f} m ahead and strays {aside:.2f} m sideways",
            where=name,
            mend=f"give a run of at least {_SHORTEST} m along the robot's first heading",
        )


def _at(run: Run, grid: FloatArray) -> FloatArray:
    columns = (run.pose[:, 0], run.pose[:, 1], np.unwrap(run.pose[:, 2]))
    return np.column_stack([np.interp(grid, run.t, column) for column in columns])


def _notes(real: Run, scores: tuple[Score, Score, Score], step: float, floor: float) -> tuple[str, ...]:
    notes = [
        "A fit to a single run: J says how well this run can be imitated. It is not held out, has no interval, and "
        "does not tell how the robot's next run will differ.",
        f"A bare trapezoid of speed fitted to the same run, without robot or controller, has J = {scores[2].j:.3f}.",
        f"In PyBullet the tuned drive has J = {scores[1].j:.4f}, against {scores[0].j:.4f} in the traction model.",
    ]
    if step > 0.0:
        most = 0.5 * (0.5 * step) / YAW_SCALE
        notes.append(
            f"The real heading is given in steps of {np.degrees(step):.2g} degrees: rounding alone puts "
            f"{floor:.3f} (at most {most:.3f}) on J, so that drives whose J differs by less cannot be told apart by "
            "heading."
        )
    if np.unique(real.pose[:, 2]).size == 1:
        notes.append("The real heading never changes: the part of J for heading only says that the drive is straight.")
    return tuple(notes)


def _rows(tuned: Score, bullet: Score, bare: Score, floor: float) -> list[dict[str, Any]]:
    empty = {"robot": "all", "horizon_s": None, "ci_low": None, "ci_high": None}
    named = (
        ("j", tuned.j, "-"),
        ("j_bullet", bullet.j, "-"),
        ("j_bare_trapezoid", bare.j, "-"),
        ("rmse_pos", tuned.rmse_pos, "m"),
        ("rmse_yaw", tuned.rmse_yaw, "rad"),
    )
    return [
        {
            "name": name, "value": value, **empty, "n": 1, "floor": floor if name.startswith("j") and floor else None,
            "ratio": value / floor if name.startswith("j") and floor else None, "unit": unit,
        }
        for name, value, unit in named
    ]  # fmt: skip


def _twin(log: FieldLog, model: RobotModel, drive: StraightDrive, notes: tuple[str, ...], date: str | None) -> Twin:
    # One run shows what the robot did, not what it can do elsewhere: nothing is called identified.
    held = {
        "max_speed": (drive.cruise_speed, "m/s"),
        "max_acceleration": (drive.acceleration, "m/s^2"),
        "max_deceleration": (drive.deceleration, "m/s^2"),
    }
    return Twin(
        name=model.name,
        kind="differential",
        parameters={
            name: TwinParameter(value=value, identifiable=False, unit=unit) for name, (value, unit) in held.items()
        },
        provenance=TwinProvenance(
            tool=f"floorcast {__version__}",
            date=date,
            seed=0,
            logs=[
                LogSource(file=Path(file.path).name, robot=log.robot, sha256=file.sha256) for file in log.report.files
            ],
            trained_on=[log.name],
            judged_on=[],
            gap_before=[],
            gap_after=[],  # nothing was held out
            notes=list(notes),
        ),
    )
