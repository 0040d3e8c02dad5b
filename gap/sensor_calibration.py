"""Calibrate the sensors of a robot whose logs hold no commands, so that nothing of its drive can be fitted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .. import __version__
from ..common.config import config_hash
from ..common.errors import InputError
from ..robots.twin import RobotKind, Twin, TwinProvenance
from .drift_sensors import sound_sensors
from .fieldlog import FieldLog
from .holdout import Holdout, Train, hold_out
from .sensors import Section, has_scans, lidar_section, odometry_section
from .tasks import Evaluate, in_process
from .twins import Origin, log_sources, provenance_rows
from .whole import WholeGap, measure_whole

SENSOR_STAGES = 2
"""How often ``calibrate_sensors`` tells its stage."""


@dataclass(frozen=True)
class SensorCalibration:
    """A twin of sensors alone and what it is worth on held-out data.

    Attributes:
        twin: without drive parameters, unless its parent has some.
        before: the gap on the held-out data by data sheets.
        after: the same with the twin.
        judged: the logs, or parts of logs, that were judged on.
        notes: what to beware of.
    """

    twin: Twin
    before: WholeGap
    after: WholeGap
    judged: list[FieldLog]
    notes: list[str]

    def to_summary(self) -> dict[str, Any]:
        """Return everything, JSON-safe; ``metrics`` is the held-out gap after calibration."""
        provenance = self.twin.provenance
        sections = {"odometry": self.twin.odometry, "lidar": self.twin.lidar}
        return {
            **self.after.to_summary(),
            "metrics_before": [item.to_row() for item in self.before.metrics],
            "parameters": [
                {"section": section, "name": name, **item.model_dump()}
                for section, items in sections.items()
                for name, item in items.items()
            ],
            "train": provenance.trained_on,
            "test": provenance.judged_on,
            "notes": self.notes,
        }


def moves_untold(logs: Sequence[FieldLog]) -> bool:
    """Tell whether no log holds commands, wheel commands or ticks, but one holds scans or odometry."""
    return not any(len(log.input_t_ns) > 1 for log in logs) and any(
        has_scans(log) or len(log.odom_t_ns) > 1 for log in logs
    )


def calibrate_sensors(
    logs: Sequence[FieldLog],
    *,
    train: Train = None,
    test: Sequence[str | int] | None = None,
    origin: Origin,
    evaluate_many: Evaluate = in_process,
    stage: Callable[[str], None] = lambda what: None,
) -> SensorCalibration:
    """Fit odometry and lidar to one part of logs and judge them on the other.

    Args:
        logs: of one kind of robot, with scans or odometry and with reference poses; (robot, run) is unique.
        train, test: as in ``holdout.hold_out``.
        origin: what is written into the twin; its seed is that of the fits and bootstraps.
        evaluate_many: does the independent pieces of work; the result does not depend on it.
        stage: told what is being done, ``SENSOR_STAGES`` times.

    Raises:
        InputError: nothing could be fitted, logs of different drives, or a robot is unknown or on both sides.
    """
    split = hold_out(logs, train, test)
    stage("fitting odometry and lidar")
    (odometry, notes), (lidar, said) = evaluate_many(_fit_section, (split.trained, origin.seed), ["odometry", "lidar"])
    notes = notes + said
    if not odometry and not lidar:
        raise InputError(
            "neither odometry nor lidar can be fitted to these logs" + "".join(f"\n  - {line}" for line in notes),
            mend="'floorcast gap inspect' says what a log holds and what it lacks",
        )
    twin, kind_note = _sensor_twin(split, odometry, lidar, origin)
    sound = sound_sensors(split.trained, twin.odometry, origin.seed)
    twin = twin.model_copy(update={"sensor_monitor": sound or twin.sensor_monitor})
    notes += kind_note
    notes.append("No commands were logged, so nothing of the drive is calibrated.")
    if split.share is not None:
        notes.append("Judged on the later part of the same log: same robot, same day, same floor.")
    stage("judging the data sheets and the twin on the held-out data")
    before, after = evaluate_many(_judge, (split.judged, origin.seed), [None, twin])
    provenance = twin.provenance.model_copy(
        update={
            "gap_before": provenance_rows(before.metrics),
            "gap_after": provenance_rows(after.metrics),
            "notes": notes,
        }
    )
    return SensorCalibration(twin.model_copy(update={"provenance": provenance}), before, after, split.judged, notes)


def _fit_section(shared: tuple[Sequence[FieldLog], int], section: str) -> tuple[Section, list[str]]:
    """Fit one section of the twin: a task."""
    return odometry_section(*shared) if section == "odometry" else lidar_section(*shared)


def _judge(shared: tuple[Sequence[FieldLog], int], twin: Twin | None) -> WholeGap:
    """Measure the gap of the held-out logs: a task."""
    return measure_whole(shared[0], twin=twin, seed=shared[1])


def _sensor_twin(split: Holdout, odometry: Any, lidar: Any, origin: Origin) -> tuple[Twin, list[str]]:
    """Return the twin without its rows and notes, and what is to be said of its kind."""
    parent, first = origin.parent, split.trained[0]
    kind, notes = _kind(split, parent)
    trained_on, judged_on = split.names()
    provenance = TwinProvenance(
        tool=f"floorcast {__version__}",
        date=origin.date,
        seed=origin.seed,
        logs=log_sources([*split.trained, *split.judged]),
        trained_on=trained_on,
        judged_on=judged_on,
        gap_before=[],
        gap_after=[],
        parent=config_hash(parent) if parent is not None else None,
        command=origin.command,
    )
    if parent is None:
        twin = Twin(
            name=origin.name or first.robot, version=origin.version, kind=kind, parameters={}, odometry=odometry,
            lidar=lidar, provenance=provenance,
        )  # fmt: skip
        return twin, notes
    changes = {
        "name": origin.name or parent.name,
        "version": parent.version + 1,
        "odometry": odometry or parent.odometry,
        "lidar": lidar or parent.lidar,
        "provenance": provenance,
    }
    return parent.model_copy(update=changes), notes


def _kind(split: Holdout, parent: Twin | None) -> tuple[RobotKind, list[str]]:
    drives: list[RobotKind] = sorted(
        {log.drive for log in (*split.trained, *split.judged) if log.drive != "unknown"}  # type: ignore[arg-type]
    )
    if len(drives) > 1:
        raise InputError(f"logs of different drives: {', '.join(drives)}", mend="calibrate each kind on its own")
    if parent is not None:
        if drives and drives[0] != parent.kind:
            raise InputError(
                f"twin '{parent.name}' is of a {parent.kind} robot, the logs are of a {drives[0]} one",
                mend="give the twin of this kind of robot, or none",
            )
        return parent.kind, []
    if drives:
        return drives[0], []
    return "differential", [
        "The logs do not say what moves the robot: the twin is written for a differential drive ('drive' in a file "
        "given by --options names another)."
    ]
