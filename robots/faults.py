"""Faults: kinds, Weibull times to failure, onset before failure, and what a fault does at a given level.

A fault has a level between 0 and its severity. Before the onset it is 0; from onset to failure it grows as
``severity x (share of that time) ^ progression``; from the failure on it stays at the severity and the fault is
*active*. Kinds without a warning jump. All times are hours of operation since the robot was new.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gamma
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from ..common.config import StrictModel
from ..common.seeding import generator

FaultKind = Literal["bearing", "motor", "brake", "drive_unit", "encoder", "battery", "lidar_window"]

FAULT_KINDS: tuple[FaultKind, ...] = (
    "bearing",
    "motor",
    "brake",
    "drive_unit",
    "encoder",
    "battery",
    "lidar_window",
)
"""The codes of kinds are their places here, from 1; 0 is no fault."""
K_BEARING, K_MOTOR, K_BRAKE, K_DRIVE_UNIT, K_ENCODER, K_BATTERY, K_WINDOW = range(1, 8)

FIELD_MTBF = 500.0
"""Mean operating time between failures that the field reports for one equipment class [h]."""

WARNINGS: dict[FaultKind, float] = {
    "bearing": 60.0,
    "motor": 40.0,
    "brake": 20.0,
    "drive_unit": 0.0,
    "encoder": 0.0,
    "battery": 80.0,
    "lidar_window": 30.0,
}
"""Hours of operation for which a kind announces itself, unless a model says otherwise. Assumed."""

F_KIND, F_SIDE, F_ONSET, F_FAILURE, F_SEVERITY, F_PROGRESSION = range(6)
"""Columns of a fault table: code of the kind (0: an empty row), side (0 left, 1 right), onset and failure [s of
operation], severity [-], exponent of the growth [-]."""

Share = Annotated[float, Field(gt=0, le=1)]
NonNegative = Annotated[float, Field(ge=0)]


class FaultModel(StrictModel):
    """When one kind of fault comes: drawn from a Weibull distribution for each robot, or at a given time.

    ============  ==================================================================  ====================
    kind          what it does                                                        side
    ============  ==================================================================  ====================
    bearing       vibration and drag grow                                             of one wheel
    motor         weaker magnets and more resistance, hence heat; then loss of torque of one wheel
    brake         drags on a wheel                                                    of one wheel
    drive_unit    dead wheel: no torque                                               of one wheel
    encoder       loses the share ``severity`` of its ticks                           of one wheel
    battery       less capacity, more resistance: the voltage sags                    none
    lidar_window  dirt on the lidar's window                                          none
    ============  ==================================================================  ====================
    """

    kind: FaultKind
    shape: Annotated[float, Field(gt=0, le=50)] = 2.0
    """Weibull shape: 1 has no memory, above 1 things wear out."""
    scale_h: Annotated[float, Field(gt=0)] = FIELD_MTBF / gamma(1.5)
    """Weibull scale [h of operation]; the default has a mean of 500 h with the default shape."""
    at_s: NonNegative | None = None
    """Fails at this time after the start of the run [s], whatever shape and scale say."""
    robot: Annotated[int, Field(ge=0)] | None = None
    """The only robot that has it; left out: every robot draws its own."""
    side: Literal["left", "right"] | None = None
    """Left out: drawn."""
    severity: Share = 1.0
    """Level from the failure on."""
    warning_h: NonNegative | None = None
    """Time of operation from onset to failure [h]; 0 comes without a warning. Left out: ``WARNINGS`` of the kind."""
    progression: Annotated[float, Field(gt=0, le=20)] = 2.0
    """Exponent of the growth between onset and failure."""

    @property
    def mean_h(self) -> float:
        """Mean time to failure of the Weibull distribution [h]."""
        return self.scale_h * gamma(1.0 + 1.0 / self.shape)

    @model_serializer(mode="wrap")
    def _as_it_is_read(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        if self.at_s is not None:
            del content["shape"], content["scale_h"]
        return content

    @model_validator(mode="after")
    def _scheduled_has_no_other_law(self) -> FaultModel:
        if self.at_s is not None and {"shape", "scale_h"} & self.model_fields_set:
            raise ValueError("a fault with 'at_s' is not drawn: leave out 'shape' and 'scale_h'")
        return self


class FaultEffects(StrictModel):
    """What faults do at level 1; every effect is proportional to the level. Assumed, none is measured."""

    bearing_vibration: NonNegative = 7.0
    """RMS velocity at the reference speed [mm/s]: zone D of ISO 10816-1, class I."""
    bearing_drag: NonNegative = 20.0
    """[N]"""
    motor_weakening: Annotated[float, Field(ge=0, lt=1)] = 0.4
    """Share of the torque constant that is lost before the failure."""
    motor_resistance: NonNegative = 1.0
    """Growth of the winding's resistance, as a share of it."""
    brake_drag: NonNegative = 60.0
    """[N]"""
    battery_fade: Annotated[float, Field(ge=0, lt=1)] = 0.4
    """Share of the capacity that is lost."""
    battery_resistance: NonNegative = 5.0
    """Growth of the battery's resistance, as a share of it."""


E_VIBRATION, E_BEARING_DRAG, E_WEAKENING, E_MOTOR_RESISTANCE, E_BRAKE_DRAG, E_FADE, E_BATTERY_RESISTANCE = range(7)


def effect_row(effects: FaultEffects) -> NDArray[np.float64]:
    """Return effects as a row (7,), in the order of the fields."""
    return np.array([float(getattr(effects, name)) for name in FaultEffects.model_fields])


@dataclass(frozen=True)
class Fault:
    """A fault that a robot has or will have; times in hours of operation since it was new.

    Attributes:
        robot: index. kind: what. side: "left", "right", or "" where a kind has none.
        onset_h, failure_h: when the level leaves zero, when the fault becomes active.
        severity, progression: level from then on, and exponent of the growth before.
    """

    robot: int
    kind: FaultKind
    side: str
    onset_h: float
    failure_h: float
    severity: float
    progression: float


def time_to_failure(shape: float, scale: float, age: float, rng: np.random.Generator) -> float:
    """Draw a Weibull time to failure, given that it lies beyond ``age``; same unit as ``scale`` and ``age``.

    Takes one random number: the hazard that builds up until the failure is exponential.
    """
    hazard: float = (age / scale) ** shape + float(rng.standard_exponential())
    return max(scale * hazard ** (1.0 / shape), age)


def draw_faults(
    models: tuple[FaultModel, ...], age_h: float, robot: int, seed: int, index: int, time_scale: float = 1.0
) -> tuple[Fault, ...]:
    """Draw the faults of one robot.

    Args:
        models: the kinds; the same kind may stand more than once.
        age_h: operation before the run [h]. The robot has survived it: failures come later.
        robot, seed, index: what identifies robot and run.
        time_scale: seconds of operation in a second of the run, for faults with ``at_s``.

    Returns:
        A fault for each model that concerns the robot, in their order. Each draws from a stream of its own, named by
        its kind and by how many of that kind stand before it, so that other models never change what it draws.
    """
    found: list[Fault] = []
    seen: dict[str, int] = {}
    for model in models:
        number = seen.get(model.kind, 0)
        seen[model.kind] = number + 1
        if model.robot is not None and model.robot != robot:
            continue
        rng = generator(seed, index, f"robots.{robot}.faults.{model.kind}.{number}")
        if model.at_s is None:
            failure = time_to_failure(model.shape, model.scale_h, age_h, rng)
        else:
            failure = age_h + model.at_s * time_scale / 3600.0
        drawn = ("left", "right")[int(rng.integers(2))]
        side = "" if model.kind in ("battery", "lidar_window") else (model.side or drawn)
        warning = WARNINGS[model.kind] if model.warning_h is None else model.warning_h
        found.append(Fault(robot, model.kind, side, failure - warning, failure, model.severity, model.progression))
    return tuple(found)


def fault_table(faults: tuple[tuple[Fault, ...], ...]) -> NDArray[np.float64]:
    """Return the faults of R robots as a table (R, F, 6), columns ``F_KIND`` and so on; empty rows are of kind 0."""
    width = max((len(row) for row in faults), default=0)
    table = np.zeros((len(faults), width, 6))
    for r, row in enumerate(faults):
        for k, fault in enumerate(row):
            table[r, k] = (
                FAULT_KINDS.index(fault.kind) + 1,
                fault.side == "right",
                fault.onset_h * 3600.0,
                fault.failure_h * 3600.0,
                fault.severity,
                fault.progression,
            )
    return table
