"""What a gap measurement and a calibration return."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..common.change import Verdict, judge_change
from ..common.geometry import FloatArray
from ..robots.twin import Twin
from ..robots.wheels import WheelParameters
from .calibration import Fit
from .fieldlog import FieldLog
from .metrics import Metric


@dataclass(frozen=True)
class WindowCount:
    """How many windows of a log were used at a horizon, and how many fell on a hole in truth or inputs."""

    robot: str
    horizon_s: float
    used: int
    left_out: int


@dataclass(frozen=True)
class ReplayPath:
    """A stretch of a log for drawing: (N, 2) float64 x, y [m] in ``map``, from a common true start."""

    robot: str
    label: str
    real: FloatArray
    before: FloatArray
    after: FloatArray | None = None


@dataclass(frozen=True)
class GapResult:
    """The measured gap of one model on some logs.

    Attributes:
        metrics: by robot, and for all robots together (``all``) where there are several.
        windows: counts by robot and horizon.
        matched: by robot, share of the time of the commands or ticks over which the truth is known.
        paths: stretches for drawing; ``before`` is the replay without a twin, ``after`` with it (if one was given).
        notes: how the numbers were made and what to beware of.
        reports: findings of the import.
        model: what was replayed.
        anchor_every: time between windows [s].
        seed: of the bootstrap.
    """

    metrics: list[Metric]
    windows: list[WindowCount]
    matched: dict[str, float]
    paths: list[ReplayPath]
    notes: list[str]
    reports: list[str]
    model: str
    anchor_every: float
    seed: int

    def metric(self, name: str, robot: str, horizon_s: float | None = None) -> Metric:
        """Return one metric.

        Raises:
            KeyError: there is none of that name, robot and horizon.
        """
        for item in self.metrics:
            if (item.name, item.robot, item.horizon_s) == (name, robot, horizon_s):
                return item
        raise KeyError((name, robot, horizon_s))

    def to_summary(self) -> dict[str, Any]:
        """Return everything but the paths, JSON-safe; ``metrics`` as scripts lean on it."""
        return {
            "metrics": [item.to_row() for item in self.metrics],
            "windows": [vars(item) for item in self.windows],
            "matched": self.matched,
            "model": self.model,
            "anchor_every_s": self.anchor_every,
            "seed": self.seed,
            "notes": self.notes,
            "log_findings": self.reports,
        }


@dataclass(frozen=True)
class Comparison:
    """A metric before and after, on the same windows; the interval is that of the paired difference."""

    name: str
    robot: str
    horizon_s: float | None
    before: float
    after: float
    difference: float
    ci_low: float | None
    ci_high: float | None
    relative: float | None
    n: int
    unit: str

    @property
    def verdict(self) -> Verdict:
        """Whether the change counts: see ``common.change.judge_change``."""
        return judge_change(self.before, self.ci_low, self.ci_high, self.unit)

    def to_row(self) -> dict[str, Any]:
        """Return the fields and the verdict as a JSON-safe row."""
        return {**vars(self), "verdict": self.verdict}


@dataclass(frozen=True)
class CalibrationResult:
    """A new twin and what it is worth on held-out data.

    Attributes:
        twin: the calibrated parameters with their provenance.
        before, after: the gap on the held-out data without and with the twin.
        comparison: before against after, paired, with intervals of the difference.
        fit: the fit on the training data.
        held_out_fit: what the held-out data alone would give: a check of the intervals, used for nothing else.
        train, test: names of what was trained on and judged on.
        judged: the logs, or parts of logs, that were judged on.
        paths: held-out stretches for drawing.
        textbook: wheels as the training logs give them without a calibration; None for other logs.
        notes: what to beware of.
    """

    twin: Twin
    before: GapResult
    after: GapResult
    comparison: list[Comparison]
    fit: Fit
    held_out_fit: dict[str, float]
    train: list[str]
    test: list[str]
    judged: list[FieldLog]
    paths: list[ReplayPath]
    textbook: WheelParameters | None
    notes: list[str]

    def to_summary(self) -> dict[str, Any]:
        """Return everything but the paths, JSON-safe; ``metrics`` is the held-out gap after calibration."""
        return {
            **self.after.to_summary(),
            "metrics_before": [item.to_row() for item in self.before.metrics],
            "comparison": [item.to_row() for item in self.comparison],
            "parameters": [vars(item) for item in self.fit.parameters],
            "held_out_fit": self.held_out_fit,
            "by_part": self.fit.by_part,
            "loss": {"before": self.fit.loss_before, "after": self.fit.loss_after},
            "train": self.train,
            "test": self.test,
            "notes": self.notes,
        }
