"""Gap and calibration runs on field logs: read, measure, write results into a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.config import config_hash
from ..gap.fieldlog import FieldLog
from ..gap.metrics import Metric
from ..gap.readers import read_log
from ..gap.run import CalibrationResult, GapResult, calibrate, measure_gap
from ..robots.twin import load_twin, save_twin
from .run_folder import open_run

DEFAULT_TRAIN_SHARE = 0.7
"""Share of each log's time that is trained on where a log has one robot only."""
WHOLE_PATH = ("mean_pos_err", "mean_yaw_err")
SHOWN = ("pos_end_err", "yaw_end_err", "ate_rmse", "delay_ms", *WHOLE_PATH)
Rows = list[tuple[str, ...]]


@dataclass(frozen=True)
class FieldRun:
    """A gap or calibration run: its folder, a short table, the summary and notes for people."""

    folder: Path
    rows: Rows
    summary: dict[str, Any]
    notes: list[str]


def run_gap(log: Path, *, twin: Path | None, robots: Sequence[str] | None, seed: int, out: Path | None) -> FieldRun:
    """Measure the gap of a log and write ``summary.json``.

    Raises:
        InputError: the log or the twin cannot be used, or the output folder holds another run.
    """
    logs = read_robots(log, robots)
    calibrated = load_twin(twin) if twin is not None else None
    result = measure_gap(logs, twin=calibrated, seed=seed)
    identity = {
        **_identity(logs, seed),
        "twin_hash": config_hash(calibrated) if calibrated is not None else None,
    }
    with open_run(out, "gap", identity) as folder:
        summary = {**result.to_summary(), "log": str(log.name)}
        folder.write_summary(summary)
    return FieldRun(folder.path, gap_rows(result), summary, [*result.notes, *result.reports, f"run: {folder.path}"])


def run_calibrate(
    log: Path, *, train: Sequence[str] | None, test: Sequence[str] | None, seed: int, out: Path | None
) -> FieldRun:
    """Calibrate on one part of a log, judge on the other, and write ``twin.yaml`` and ``summary.json``.

    Raises:
        InputError: the log cannot be used, a robot is unknown or on both sides, or the output folder holds another run.
    """
    logs = read_robots(log, None)
    result = calibrate_split(logs, train=train, test=test, seed=seed)
    identity = {**_identity(logs, seed), "train": result.train, "test": result.test}
    with open_run(out, "calibrate", identity) as folder:
        save_twin(result.twin, folder.path / "twin.yaml")
        summary = {**result.to_summary(), "log": str(log.name), "twin": "twin.yaml"}
        folder.write_summary(summary)
    notes = [
        *(f"{p.name} = {p.value:.4g} {p.unit} ({p.ci_low:.4g} to {p.ci_high:.4g})"
          + ("" if p.identifiable else f"; not identifiable: {p.reason}") for p in result.fit.parameters),
        *result.notes,
        f"twin: {folder.path / 'twin.yaml'}",
    ]  # fmt: skip
    return FieldRun(folder.path, comparison_rows(result), summary, notes)


def calibrate_split(
    logs: Sequence[FieldLog], *, train: Sequence[str] | None, test: Sequence[str] | None, seed: int
) -> CalibrationResult:
    """Calibrate with the user's split; by default the first 60 % of the robots, or of the one robot's time."""
    if train is None and test is not None:
        train = [log.robot for log in logs if not any(_same(log.robot, name) for name in test)]
    if train is not None:
        return calibrate(logs, train=list(train), test=list(test) if test is not None else None, seed=seed)
    if len(logs) == 1:
        return calibrate(logs, train=DEFAULT_TRAIN_SHARE, seed=seed)
    count = max(1, round(0.6 * len(logs)))
    return calibrate(logs, train=[log.robot for log in logs[:count]], seed=seed)


def read_robots(log: Path, robots: Sequence[str] | None) -> list[FieldLog]:
    """Read all robots of a log, or those named."""
    if robots is None:
        return read_log(log)
    return [found for name in robots for found in read_log(log, name)]


def gap_rows(result: GapResult) -> Rows:
    """Return the short table of a gap."""
    rows: Rows = [("metric", "robot", "horizon s", "value", "95 % interval", "n", "floor", "ratio", "unit")]
    for metric in result.metrics:
        if metric.name in SHOWN:
            rows.append((metric.name, metric.robot, _number(metric.horizon_s), *_estimate(metric)))
    return rows


def comparison_rows(result: CalibrationResult) -> Rows:
    """Return the short table of a calibration: held-out data, before and after, interval of the paired difference.

    Whole-path errors are one number for each log, so they stand without an interval.
    """
    rows: Rows = [
        ("metric", "robot", "horizon s", "before", "after", "change", "95 % interval of the change", "n", "unit", "so")
    ]
    for item in result.comparison:
        if item.name not in SHOWN:
            continue
        interval = "-" if item.ci_low is None else f"{_number(item.ci_low)} to {_number(item.ci_high)}"
        change = "-" if item.relative is None else f"{100 * item.relative:+.0f} %"
        rows.append(
            (
                item.name,
                item.robot,
                _number(item.horizon_s),
                _number(item.before),
                _number(item.after),
                change,
                interval,
                str(item.n),
                item.unit,
                item.verdict,
            )
        )
    for before in result.before.metrics:
        if before.name in WHOLE_PATH:
            after = result.after.metric(before.name, before.robot, before.horizon_s)
            change = f"{100 * (after.value / before.value - 1):+.0f} %" if before.value else "-"
            values = (_number(before.value), _number(after.value), change, "-", str(before.n), before.unit, "one path")
            rows.append((before.name, before.robot, "-", *values))
    return rows


def _identity(logs: Sequence[FieldLog], seed: int) -> dict[str, Any]:
    return {
        "logs": [file.sha256 for log in logs for file in log.report.files],
        "robots": [log.robot for log in logs],
        "seed": seed,
    }


def _same(robot: str, name: str) -> bool:
    return robot == name or robot.removeprefix("robot") == name.lower().removeprefix("robot").strip("_ ")


def _estimate(metric: Metric) -> tuple[str, ...]:
    interval = "-" if metric.ci_low is None else f"{_number(metric.ci_low)} to {_number(metric.ci_high)}"
    return (
        _number(metric.value),
        interval,
        str(metric.n),
        _number(metric.floor),
        _number(metric.ratio),
        metric.unit,
    )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
