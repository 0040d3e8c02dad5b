"""The sensors' part of a calibration: sections of a twin fitted to training logs, and what they are worth on others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..common.errors import InputError
from ..robots.twin import Twin, TwinParameter
from .fieldlog import FieldLog
from .lidar.run import HeldScans, fit_held, hold_scans, judge
from .metrics import Metric
from .odometry import fit_odometry

Section = dict[str, TwinParameter]


@dataclass(frozen=True)
class LidarJudgement:
    """Real scans of held-out logs against simulated ones.

    Attributes:
        before: metrics with the data sheet's noise. after: with the twin's. notes: in words for people.
    """

    before: list[Metric]
    after: list[Metric]
    notes: list[str]


def has_scans(log: FieldLog) -> bool:
    """Tell whether a log has scans and reference poses to hold them against a map."""
    return log.scans is not None and len(log.scans) > 1 and len(log.pose_t_ns) > 1


def odometry_section(trained: Sequence[FieldLog], seed: int) -> tuple[Section, list[str]]:
    """Fit what the robot's own odometry gets wrong, where a training log has it; says of which log, or why not."""
    log = next((log for log in trained if len(log.odom_t_ns) > 1), None)
    if log is None:
        return {}, []
    try:
        return fit_odometry(log, share=0.999, seed=seed), [f"The odometry's errors are those of {log.name} alone."]
    except InputError as error:
        return {}, [f"The twin has no section for odometry: {_said(error)}"]


def lidar_section(trained: Sequence[FieldLog], seed: int) -> tuple[Section, list[str]]:
    """Fit the lidar's noise, where training logs have scans and poses; says of which logs, or why not.

    Of each log, every other 3 m of path makes the map that the other scans are held against.
    """
    held, notes = _held([log for log in trained if has_scans(log)], "fitted to", seed)
    if not held:
        return {}, notes
    names = ", ".join(each.log.name for each in held)
    try:
        return fit_held(held, seed), [*notes, f"The lidar's noise is that of {names}."]
    except InputError as error:
        return {}, [*notes, f"The twin has no section for the lidar: {_said(error)}"]


def judge_lidar(judged: Sequence[FieldLog], twin: Twin, seed: int) -> LidarJudgement:
    """Hold real scans of held-out logs against simulated ones, by the data sheet and by the twin.

    Args:
        judged: logs that the twin's lidar was not fitted to; each makes its map of its own every other 3 m of path.
        twin: with a ``lidar`` section.
        seed: of noise, classifier and bootstraps.
    """
    held, notes = _held([log for log in judged if has_scans(log)], "judged on", seed)
    before, after = [], []
    for each in held:
        sheet, fitted = judge(each, seed=seed), judge(each, twin=twin, seed=seed)
        before += sheet.metrics
        after += fitted.metrics
        notes.append(f"{each.log.name}: the lidar before calibration is {sheet.model}, after it {fitted.model}.")
    if not held:
        notes.append("The lidar's noise is not judged: no held-out log has scans that can be.")
    return LidarJudgement(before, after, notes)


def _held(logs: Sequence[FieldLog], use: str, seed: int) -> tuple[list[HeldScans], list[str]]:
    found, notes = [], []
    for log in logs:
        try:
            found.append(hold_scans(log, seed=seed))
        except InputError as error:
            notes.append(f"The lidar's noise is not {use} {log.name}: {_said(error)}")
    return found, notes


def _said(error: InputError) -> str:
    return f"{error.what} ({error.mend})." if error.mend else f"{error.what}."
