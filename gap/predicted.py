"""The predicted distribution of motion inside a calibration and a gap: fitted where the logs allow, judged, compared.

What it is compared with is the simplest prediction that a calibrated twin gives: its replay with normal errors, whose
mean and covariance at each horizon are those of the training windows (``spread_baseline``, ``plain``). Both are scored
on the same held-out windows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..common.errors import InputError
from ..robots.motion_spread import MotionSpread
from ..robots.twin import Twin
from .fieldlog import FieldLog
from .holdout import Holdout
from .metrics import Metric, Samples
from .problems import fitting_horizons
from .replay import make_windows
from .spread import SAMPLES, fit_spread, judge_spread, measure_spread, measured, scored
from .spread_baseline import fit_normal_errors, judge_normal
from .tasks import Evaluate, in_process

LEAST_WINDOWS = 20
"""Training windows at a horizon below which no covariance of normal errors is fitted."""
NORMAL = "the calibrated replay with normal errors, mean and covariance those of the training windows at each horizon"


@dataclass(frozen=True)
class Prediction:
    """Scores of held-out logs at the same windows.

    Attributes:
        names: of the logs.
        normal: by log, scores of the replay with normal errors. spread: by log, of the twin's spread.
    """

    names: tuple[str, ...]
    normal: tuple[list[Samples], ...]
    spread: tuple[list[Samples], ...]

    def metrics(self, seed: int, resamples: int) -> tuple[list[Metric], list[Metric]]:
        """Return the metrics of the normal errors and of the spread, by log and of all."""
        before, after = (
            measured(self.names, side, seed=seed, resamples=resamples) for side in (self.normal, self.spread)
        )
        return before, after


def fit_if_possible(
    logs: Sequence[FieldLog], seed: int = 0, *, evaluate_many: Evaluate = in_process
) -> tuple[MotionSpread | None, list[str]]:
    """Fit the distribution of motion to training logs; without enough of what it needs, say why not.

    Returns:
        The distribution or None, and notes.
    """
    try:
        found = fit_spread(logs, seed, evaluate_many=evaluate_many)
    except InputError as error:
        return None, [f"The twin has no section for the spread of motion: {error}"]
    robots = len({log.robot for log in logs})
    if robots > 1:
        return found, []
    return found, ["The spread of motion is that of one robot: how robots differ from each other it cannot know."]


def judge_prediction(split: Holdout, twin: Twin, *, horizons: Sequence[float], seed: int = 0) -> Prediction | None:
    """Score a twin's spread and normal errors about its replay on held-out logs.

    Args:
        split: what the twin was fitted to, as the normal errors are, and held-out logs.
        twin: with a spread; without one there is nothing to judge.
        horizons: [s]; those that do not fit into every log, or have few training windows, are left out.
        seed: of the samples.

    Returns:
        None where there is no spread, or no horizon fits.
    """
    if twin.spread is None:
        return None
    trained, judged = split.trained, split.judged
    common = [
        value for value in horizons if all(value in fitting_horizons(horizons, log) for log in (*trained, *judged))
    ]
    if not common:
        return None
    windows = [make_windows(log, common) for log in trained]
    enough = [
        value
        for number, value in enumerate(windows[0].horizons)
        if sum(int(item.valid[:, number].sum()) for item in windows) >= LEAST_WINDOWS
    ]
    if not enough:
        return None
    drive = twin.apply(trained[0].model).drive
    normal = fit_normal_errors([make_windows(log, enough) for log in trained], drive, scaled=False)
    held = [make_windows(log, enough) for log in judged]
    return Prediction(
        tuple(log.name for log in judged),
        tuple(scored(judge_normal(item, normal, "plain", SAMPLES, seed)) for item in held),
        tuple(scored(judge_spread(item, twin.spread, seed=seed)) for item in held),
    )


def measure_prediction(logs: Sequence[FieldLog], twin: Twin | None, *, seed: int = 0) -> tuple[list[Metric], list[str]]:
    """Judge a twin's spread on logs: CRPS and shares within the 95 % bands.

    Returns:
        Metrics, empty without a spread or without the commands it needs, and notes.
    """
    if twin is None or twin.spread is None:
        return [], []
    try:
        found = measure_spread(logs, twin.spread, seed=seed)
    except InputError as error:
        return [], [f"The twin's spread was not judged: {error}"]
    files = {source.sha256 for source in twin.provenance.logs if source.robot in _trained_robots(twin)}
    own = [log.name for log in logs if any(file.sha256 in files for file in log.report.files)]
    flattered = [f"The twin's spread was fitted to {', '.join(own)}: how well its bands hold there proves nothing."]
    return found, flattered if own else []


def _trained_robots(twin: Twin) -> set[str]:
    return {name.split("/")[0].split(",")[0] for name in twin.provenance.trained_on}
