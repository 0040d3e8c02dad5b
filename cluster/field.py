"""Calibration runs on field logs: read, fit, judge, write results into a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..gap.fieldlog import FieldLog
from ..gap.run import CalibrationResult, calibrate
from ..gap.whole import judged_sources
from ..robots.twin import save_twin
from ..validation.gap_page import write_gap_page
from .field_logs import FieldRun, Rows, command_line, identity_of, is_called, number_cell, read_logs
from .field_page import calibration_page
from .run_folder import open_run

DEFAULT_TRAIN_SHARE = 0.7
"""Share of each log's time that is trained on where a log has one robot only."""
WHOLE_PATH = ("mean_pos_err", "mean_yaw_err")
COMPARED = ("pos_end_err", "yaw_end_err", "ate_rmse", "delay_ms", *WHOLE_PATH)


def run_calibrate(
    paths: Sequence[Path],
    *,
    train: Sequence[str] | None,
    test: Sequence[str] | None,
    seed: int,
    out: Path | None,
    options: Path | None = None,
    name: str | None = None,
    date: str | None = None,
    html: Path | None = None,
) -> FieldRun:
    """Calibrate on one part of logs, judge on the other; write ``twin.yaml``, ``summary.json`` and ``report.html``.

    Raises:
        InputError: the log cannot be used, a robot is unknown or on both sides, or the output folder holds another run.
    """
    logs = read_logs(paths, options=options)
    result = calibrate_split(logs, train=train, test=test, seed=seed, name=name, date=date)
    identity = {**identity_of(logs, seed), "train": result.train, "test": result.test, "name": name, "date": date}
    with open_run(out, "calibrate", identity) as folder:
        save_twin(result.twin, folder.path / "twin.yaml")
        summary = {**result.to_summary(), "log": ", ".join(path.name for path in paths), "twin": "twin.yaml"}
        command = command_line("calibrate", paths, train=train, test=test, options=options, name=name, seed=seed)
        page = calibration_page(
            logs,
            result,
            judged_sources(result.judged, result.twin, every=result.after.anchor_every, seed=seed),
            command=command,
        )
        for place in (folder.path / "report.html", *([html] if html is not None else [])):
            write_gap_page(place, page)
        folder.write_summary(summary)
    notes = [
        *(f"{p.name} = {p.value:.4g} {p.unit} ({p.ci_low:.4g} to {p.ci_high:.4g})"
          + ("" if p.identifiable else f"; not identifiable: {p.reason}") for p in result.fit.parameters),
        *result.notes,
        f"twin: {folder.path / 'twin.yaml'}",
        f"page: {folder.path / 'report.html'}",
    ]  # fmt: skip
    return FieldRun(folder.path, comparison_rows(result), summary, notes)


def calibrate_split(
    logs: Sequence[FieldLog],
    *,
    train: Sequence[str] | None,
    test: Sequence[str] | None,
    seed: int,
    name: str | None = None,
    date: str | None = None,
) -> CalibrationResult:
    """Calibrate with the user's split; by default the first 60 % of the robots, or of the one robot's time."""
    if train is None and test is not None:
        train = [log.robot for log in logs if not any(is_called(log, item) for item in test)]
    options: dict[str, Any] = {"seed": seed, "name": name, "date": date}
    if train is not None:
        return calibrate(logs, train=list(train), test=list(test) if test is not None else None, **options)
    if len(logs) == 1:
        return calibrate(logs, train=DEFAULT_TRAIN_SHARE, **options)
    count = max(1, round(0.6 * len(logs)))
    return calibrate(logs, train=[log.robot for log in logs[:count]], **options)


def comparison_rows(result: CalibrationResult) -> Rows:
    """Return the short table of a calibration: held-out data, before and after, interval of the paired difference.

    Whole-path errors are one number for each log, so they stand without an interval.
    """
    rows: Rows = [
        ("metric", "robot", "horizon s", "before", "after", "change", "95 % interval of the change", "n", "unit", "so")
    ]
    for item in result.comparison:
        if item.name not in COMPARED:
            continue
        interval = "-" if item.ci_low is None else f"{number_cell(item.ci_low)} to {number_cell(item.ci_high)}"
        change = "-" if item.relative is None else f"{100 * item.relative:+.0f} %"
        rows.append(
            (
                item.name,
                item.robot,
                number_cell(item.horizon_s),
                number_cell(item.before),
                number_cell(item.after),
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
            values = (
                number_cell(before.value),
                number_cell(after.value),
                change,
                "-",
                str(before.n),
                before.unit,
                "one path",
            )
            rows.append((before.name, before.robot, "-", *values))
    return rows
