"""From a fit to a twin file: its values and intervals, its family, what it rests on, and what to beware of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .. import __version__
from ..common.config import config_hash
from ..common.errors import InputError
from ..robots.twin import (
    FamilyParameter,
    GapRow,
    LogSource,
    MonitorNoise,
    ParameterCorrelation,
    Twin,
    TwinParameter,
    TwinProvenance,
)
from .calibration import Fit, FittedParameter, Refit
from .family import random_effects
from .fieldlog import FieldLog
from .holdout import Holdout
from .metrics import Metric
from .structure import KEPT

CARRIED = ("odometry", "lidar", "monitor", "sensor_monitor", "spread")
"""Sections that a new version takes over from the twin it was calibrated from, where it has none of its own."""


@dataclass(frozen=True)
class Origin:
    """What is written into a twin beside its values.

    Attributes:
        name: of the twin; None takes the parent's, or the robot model's.
        date: as the caller gives it; the clock is not read.
        seed: of the fit.
        parent: the twin that this one is the next version of.
        command: what was called.
        version: of the twin; the parent's and one more where there is a parent.
    """

    name: str | None = None
    date: str | None = None
    seed: int = 0
    parent: Twin | None = None
    command: str | None = None
    version: int = 1


def make_twin(
    found: Fit,
    split: Holdout,
    members: Mapping[str, Refit],
    monitor: MonitorNoise | None,
    origin: Origin,
    notes: Sequence[str],
) -> Twin:
    """Put a twin together.

    Args:
        found: the fit of all training logs.
        split: what was trained and judged on.
        members: the fit of each training robot alone, by robot.
        monitor: what a sound robot's errors are like, if known.
        origin: what else is written down.
        notes: what to beware of.
    """
    first, parent = split.trained[0], origin.parent
    kind = first.drive
    if kind == "unknown":
        raise InputError("the log does not say what moves the robot", where=first.name, mend="name the drive")
    trained_on, judged_on = split.names()
    fitted = {item.name: _parameter(item) for item in found.parameters}
    return Twin(
        name=origin.name or (parent.name if parent else "tricycle" if kind == "tricycle" else first.model.name),
        version=origin.version if parent is None else parent.version + 1,
        kind=kind,
        parameters=fitted if parent is None else {**parent.parameters, **fitted},
        family=make_family(found, members),
        correlation=ParameterCorrelation(
            names=[item.name for item in found.parameters],
            rows=[[float(f"{value:.6f}") for value in row] for row in found.correlation],
        ),
        monitor={} if monitor is None else {"motion": monitor},
        provenance=TwinProvenance(
            tool=f"floorcast {__version__}",
            date=origin.date,
            seed=origin.seed,
            logs=log_sources([*split.trained, *split.judged]),
            trained_on=trained_on,
            judged_on=judged_on,
            gap_before=[],
            gap_after=[],
            notes=list(notes),
            parent=config_hash(parent) if parent is not None else None,
            command=origin.command,
        ),
    )


def carry_over(twin: Twin, parent: Twin | None) -> Twin:
    """Return the twin with the sections of its parent that it has none of."""
    if parent is None:
        return twin
    missing: dict[str, Any] = {
        name: getattr(parent, name) for name in CARRIED if not getattr(twin, name) and getattr(parent, name)
    }
    return twin.model_copy(update=missing)


def make_family(found: Fit, members: Mapping[str, Refit]) -> dict[str, FamilyParameter]:
    """Return how parameters differ between robots; empty with fewer than two whose fits have a known error."""
    family = {}
    for item in found.parameters:
        known = {robot: fit for robot, fit in members.items() if np.isfinite(fit.errors[item.name])}
        if len(known) < 2:
            continue
        values = np.array([fit.values[item.name] for fit in known.values()])
        # Robots on the end of a range have no error of their own there: without a floor they would outweigh the rest.
        errors = np.array([fit.errors[item.name] for fit in known.values()])
        effects = random_effects(
            values, np.maximum(errors, 0.1 * np.median(errors) + 1e-9), bounds=(item.least, item.most)
        )
        family[item.name] = FamilyParameter(
            mean=effects.mean,
            spread=effects.spread,
            robots={
                robot: TwinParameter(
                    value=fit.values[item.name],
                    ci_low=fit.intervals[item.name][0],
                    ci_high=fit.intervals[item.name][1],
                    identifiable=item.identifiable,
                    unit=item.unit,
                )
                for robot, fit in known.items()
            },
            unit=item.unit,
            ci_low=effects.ci_low,
            ci_high=effects.ci_high,
            spread_low=effects.spread_low,
            spread_high=effects.spread_high,
            new_low=effects.new_low,
            new_high=effects.new_high,
        )
    return family


def calibration_notes(found: Fit, held_out: Refit, split: Holdout, family: Mapping[str, FamilyParameter]) -> list[str]:
    """Say how the numbers were made and what to beware of."""
    trained = split.trained
    notes = [
        "Track width and wheel radius are not fitted: from commands and poses alone they cannot be told apart from "
        "the angular and the linear gain."
        if trained[0].drive == "differential"
        else "The traction gain stands for wheel size and gear together: ticks and poses cannot tell them apart."
        if trained[0].drive == "tricycle"
        else "Gains stand for wheel size, gear and slip together: commands and poses cannot tell them apart."
    ]
    robots = len({log.robot for log in trained})
    part = "robots" if robots > 1 else "groups of runs" if len(trained) > 1 else "stretches of the log"
    notes.append(
        f"Intervals of parameters (95 %) rest on how much the fit differs between {found.parts} {part} (jackknife, "
        f"Student's t). They are for the mean of such {part}: one may lie outside; slower drift is not covered."
    )
    if len(trained) == 1 and split.share is None:
        notes.append("This is a fit to a single run.")
    if split.share is not None:
        notes.append("Judged on the later part of the same log: same robot, same day, same floor.")
    elif {log.robot for log in trained} & {log.robot for log in split.judged}:
        notes.append("Judged on other runs of a robot that was trained on.")
    notes += [f"{item.sentence()}." for item in found.together]
    if found.held:
        notes.append(f"Not fitted: {', '.join(found.held)}; {KEPT}.")
    for item in found.parameters:
        if item.reason == KEPT:
            continue
        if not item.identifiable:
            notes.append(f"{item.name} is not identified by this log: {item.reason}.")
        notes += _held_out_note(item, held_out)
    return notes + [_family_note(name, item) for name, item in family.items()]


def _parameter(item: FittedParameter) -> TwinParameter:
    return TwinParameter(
        value=item.value, ci_low=item.ci_low, ci_high=item.ci_high, identifiable=item.identifiable, unit=item.unit
    )


def provenance_rows(metrics: Sequence[Metric]) -> list[GapRow]:
    """Return the rows of the metrics that have a value: with too few scans or groups some have none."""
    return [GapRow.model_validate(item.to_row()) for item in metrics if np.isfinite(item.value)]


def log_sources(logs: Sequence[FieldLog]) -> list[LogSource]:
    """Return the files of logs, each once, for a twin's provenance."""
    found = {
        (file.path, log.robot): LogSource(file=Path(file.path).name, robot=log.robot, sha256=file.sha256)
        for log in logs
        for file in log.report.files
    }
    return list(found.values())


def _family_note(name: str, item: FamilyParameter) -> str:
    unit = "" if item.unit == "-" else f" {item.unit}"
    return (
        f"{name} of {len(item.robots)} robots: mean {item.mean:.4g}{unit} ({item.ci_low:.4g} to {item.ci_high:.4g}), "
        f"spread between robots {item.spread:.3g}{unit} ({item.spread_low:.3g} to {item.spread_high:.3g}); one that "
        f"was not logged: {item.new_low:.4g} to {item.new_high:.4g}."
    )


def _held_out_note(item: FittedParameter, held_out: Refit) -> list[str]:
    """Say where the held-out data would give another value than the interval allows; nothing if it does not."""
    value, (low, high) = held_out.values[item.name], held_out.intervals[item.name]
    if item.ci_low <= value <= item.ci_high:
        return []
    note = (
        f"Fitted on the held-out data alone, {item.name} would be {value:.4g} {item.unit}, outside its interval "
        f"[{item.ci_low:.4g}, {item.ci_high:.4g}]"
    )
    if low <= item.ci_high and item.ci_low <= high:
        return [f"{note}; that fit's own interval [{low:.4g}, {high:.4g}] meets it."]
    return [f"{note} and with an interval of its own that does not meet it: the model does not hold everywhere."]
