"""Drawing robots that a twin allows: what a calibration knows becomes what an episode randomizes.

Two draws add up. What robots of the kind have in common is drawn from the fit's intervals, with the correlations of its
refits (a Gaussian copula): a value that the log identified from a normal cut off at its interval's ends, one that it
did not from the whole interval evenly. What one robot differs by is drawn from the spread of the family, if the twin
has one. How a robot departs from its gains while it drives (``fleet_spread``) is drawn too, where the twin says.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import annotated_types
import numpy as np

from ..common.geometry import FloatArray
from .fleet_spread import RobotMotion
from .model import DRIVE_OF, DriveParameters
from .motion_spread import MotionSpread
from .twin import DRIVE_PARAMETERS, Twin

CONFIDENCE_WIDTH = 2 * 1.959964
"""Standard deviations of a normal between the ends of its 95 % interval."""
_SHRINK = 0.98
"""Correlations are taken as this much of themselves, so that they always have a root."""


def draw_names(twin: Twin) -> tuple[str, ...]:
    """Return the drive parameters of a twin that are drawn: those with an interval, in the twin's order."""
    return tuple(
        name
        for name, item in twin.parameters.items()
        if name in DRIVE_PARAMETERS[twin.kind] and item.ci_low is not None and item.ci_high is not None
    )


def draw_drive(
    twin: Twin, common: FloatArray, own: FloatArray, *, drawn_apart: Collection[str] = ()
) -> dict[str, float]:
    """Return drive parameters of one robot.

    Args:
        twin: calibrated parameters.
        common: (P,) standard normal numbers, the same for all robots of an episode; P is the length of ``draw_names``.
        own: (P,) standard normal numbers of this robot.
        drawn_apart: parameters whose difference from robot to robot is drawn elsewhere.

    Returns:
        By name; each within its field's bounds.
    """
    names = draw_names(twin)
    together = _root(twin, names) @ common
    drawn = {}
    for number, name in enumerate(names):
        item = twin.parameters[name]
        low, high = float(item.ci_low or 0.0), float(item.ci_high or 0.0)
        if item.identifiable:
            value = item.value + (high - low) / CONFIDENCE_WIDTH * float(together[number])
            value = min(max(value, low), high)
        else:
            value = low + (high - low) * 0.5 * (1.0 + math.erf(float(together[number]) / math.sqrt(2.0)))
        if name in twin.family and name not in drawn_apart:
            value += twin.family[name].spread * float(own[number])
        drawn[name] = _within(twin, name, value)
    return drawn


GAINS = ("linear_gain", "angular_gain")
"""What ``draw_motion`` says of robots' differences too."""


def draw_motion(spread: MotionSpread, rng: np.random.Generator) -> RobotMotion:
    """Draw one robot of the kind: what it differs by for good, how much it varies, and its random numbers.

    As ``motion_spread.sample_ends`` does for a path: normal differences times the square root of the degrees of freedom
    over a chi-square number.
    """
    freedom = spread.tail.value
    tail = float(np.sqrt(freedom / rng.chisquare(freedom)))
    turn, travel, veer = (tail * rng.standard_normal(3)).tolist()
    return RobotMotion(
        spread=spread,
        turn=turn * spread.turn_robot.value,
        travel=travel * spread.travel_robot.value,
        veer=veer * spread.veer_robot.value,
        tail=tail,
        key=int(rng.integers(0, 2**64, dtype=np.uint64)),
    )


def respond_drive(drive: DriveParameters, base: DriveParameters, spread: MotionSpread) -> DriveParameters:
    """Return the drive of a robot whose commands ``fleet_spread`` transforms.

    The spread's response, delay and lag stand in place of the twin's gains, delay and lag; what ``drive``, drawn for a
    robot, has more or less of them than ``base``, the twin's, it keeps: gains as factors, delay and lag as differences.
    """
    return drive.model_copy(
        update={
            **{name: getattr(drive, name) / getattr(base, name) for name in GAINS},
            "command_delay": max(spread.delay.value + drive.command_delay - base.command_delay, 0.0),
            "motor_lag": max(spread.lag.value + drive.motor_lag - base.motor_lag, 0.0),
        }
    )


def _root(twin: Twin, names: tuple[str, ...]) -> FloatArray:
    """Return the Cholesky factor (P, P) of the correlations; what the twin does not correlate stands alone."""
    matrix = np.eye(len(names))
    if twin.correlation is not None:
        place = {name: number for number, name in enumerate(twin.correlation.names)}
        for i, one in enumerate(names):
            for j, other in enumerate(names):
                if i != j and one in place and other in place:
                    matrix[i, j] = _SHRINK * twin.correlation.rows[place[one]][place[other]]
    values, vectors = np.linalg.eigh(matrix)
    # Correlations rounded or of few refits may just fail to be a correlation: the nearest one is.
    mended = (vectors * np.maximum(values, 1e-9)) @ vectors.T
    scale = np.sqrt(np.diagonal(mended))
    return np.linalg.cholesky(mended / np.outer(scale, scale))


def _within(twin: Twin, name: str, value: float) -> float:
    """Hold a value within the bounds of its field; the spread of a family knows none."""
    for bound in DRIVE_OF[twin.kind].model_fields[name].metadata:
        if isinstance(bound, annotated_types.Ge):
            value = max(value, float(bound.ge))  # type: ignore[arg-type]
        elif isinstance(bound, annotated_types.Gt):
            value = max(value, float(bound.gt) + 1e-6)  # type: ignore[arg-type]
        elif isinstance(bound, annotated_types.Le):
            value = min(value, float(bound.le))  # type: ignore[arg-type]
        elif isinstance(bound, annotated_types.Lt):
            value = min(value, float(bound.lt) - 1e-6)  # type: ignore[arg-type]
    return value
