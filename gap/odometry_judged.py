"""What a twin's odometry section is worth on logs that it was not fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..common.errors import InputError
from ..robots.twin import Twin
from .fieldlog import FieldLog
from .metrics import Metric
from .odometry import measure_odometry


@dataclass(frozen=True)
class OdometryJudgement:
    """Odometry of held-out logs, predicted by themselves and by a twin.

    Attributes:
        before: metrics where each log's own first fifth predicts the rest: what one has without a calibration.
        after: the same with the twin's prediction.
        notes: in words for people.
    """

    before: list[Metric]
    after: list[Metric]
    notes: list[str]


def judge_odometry(judged: Sequence[FieldLog], twin: Twin, seed: int) -> OdometryJudgement:
    """Judge the odometry of held-out logs, where they have it.

    Args:
        judged: logs that the twin's odometry was not fitted to.
        twin: with an ``odometry`` section.
        seed: of bootstraps and predictions.
    """
    before: list[Metric] = []
    after: list[Metric] = []
    notes: list[str] = []
    for log in judged:
        if len(log.odom_t_ns) < 2 or len(log.pose_t_ns) < 2:
            continue
        try:
            own, fitted = measure_odometry(log, seed=seed), measure_odometry(log, twin=twin, seed=seed)
        except InputError as error:
            notes.append(f"The odometry is not judged on {log.name}: {error.what}.")
            continue
        before += own.metrics
        after += fitted.metrics
        notes += [f"{log.name}: {note}." for note in fitted.notes]
    if not after:
        notes.append("The odometry is not judged: no held-out log has odometry over enough of the way.")
    else:
        notes.append(
            "Odometry before calibration is predicted by the first fifth of each held-out run itself, after it by the "
            "twin, which never saw that run."
        )
    return OdometryJudgement(before, after, notes)
