"""Gap runs on field logs and KPI tables: read, measure, write results into a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..common.config import config_hash
from ..gap.fieldlog import sha256_of
from ..gap.metrics import Metric
from ..gap.task import measure_task_gap
from ..gap.task_table import read_kpi_table
from ..gap.whole import WholeGap, measure_whole
from ..layouts.model import Layout
from ..robots.twin import load_twin
from ..validation.gap_page import write_gap_page
from .field_logs import (
    FieldRun,
    Rows,
    command_line,
    first_findings,
    identity_of,
    metric_cells,
    number_cell,
    read_logs,
    robot_cell,
)
from .field_page import gap_page
from .run_folder import open_run

SHOWN = (
    "pos_end_err", "yaw_end_err", "gains_pos_end_err", "gains_yaw_end_err",
    "ate_rmse", "delay_ms", "mean_pos_err", "mean_yaw_err", "run_end_pos_err",
    "run_end_yaw_err", "crps_pos", "crps_yaw", "band95_pos", "band95_yaw",
    "lidar_bias", "lidar_sigma", "lidar_w1_core", "lidar_w1_all", "lidar_dropout_diff", "lidar_c2st",
    "lidar_inliers", "lidar_unexplained_short", "odom_pos_per_m_5m",
    "odom_yaw_per_m_5m", "odom_pos_coverage_5m", "odom_yaw_coverage_5m", "order_time_s",
    "order_gap_s", "order_waiting_share", "route_ratio",
)  # fmt: skip
"""Metrics of the short table, where a summary holds all."""
MOST_LOGS = 8
"""Logs that the short table shows one by one; of more only all together."""
PART_WORDS = {"motion": "driving", "lidar": "lidar", "odometry": "wheel odometry", "drift": "drift"}


def run_gap(
    paths: Sequence[Path],
    *,
    twin: Path | None,
    robots: Sequence[str] | None,
    seed: int,
    out: Path | None,
    options: Path | None = None,
    layout: Path | None = None,
    html: Path | None = None,
) -> FieldRun:
    """Measure the gap of logs and write ``summary.json`` and ``report.html``.

    Args:
        paths: files and folders with logs.
        twin: file of calibrated parameters, or None.
        robots: names of those to be measured; None for all.
        seed: of the bootstraps.
        out: output folder, or None for the default one.
        options: file that says how the logs are read, or None.
        layout: file of the hall, in the frame of the logs' poses; None makes a map of half of each log's scans.
        html: a further place for the page, or None.

    Raises:
        InputError: a log or the twin cannot be used, or the output folder holds another run.
    """
    logs = read_logs(paths, robots=robots, options=options)
    calibrated = load_twin(twin) if twin is not None else None
    hall = Layout.load(layout) if layout is not None else None
    result = measure_whole(logs, twin=calibrated, layout=hall, seed=seed)
    identity = {
        **identity_of(logs, seed),
        "twin_hash": config_hash(calibrated) if calibrated is not None else None,
        "layout_hash": config_hash(hall) if hall is not None else None,
    }
    with open_run(out, "gap", identity) as folder:
        summary = {**result.to_summary(), "log": ", ".join(path.name for path in paths)}
        page = gap_page(
            logs,
            result,
            twin=calibrated,
            missing=missing_lines(result),
            command=command_line("gap", paths, twin=twin, robot=robots, options=options, layout=layout, seed=seed),
        )
        for place in (folder.path / "report.html", *([html] if html is not None else [])):
            write_gap_page(place, page)
        folder.write_summary(summary)
    missing = [f"not measured: {what}: {why}" for what, why in missing_lines(result)]
    notes = [*missing, *result.all_notes(), *first_findings(result.reports), f"page: {folder.path / 'report.html'}"]
    alarms = [f"{name}: {report.sentence()}" for name, report in result.drift.items() if report.alarm]
    return FieldRun(folder.path, gap_rows(result.metrics), summary, notes, alarms)


def run_task_gap(table: Path, *, seed: int, out: Path | None) -> FieldRun:
    """Measure the task gap of a table of KPIs and write ``summary.json``.

    Raises:
        InputError: the table cannot be used, or the output folder holds another run.
    """
    result = measure_task_gap(read_kpi_table(table), seed=seed)
    with open_run(out, "gap-task", {"table": sha256_of(table), "seed": seed}) as folder:
        summary = {**result.to_summary(), "log": table.name}
        folder.write_summary(summary)
    rows: Rows = [("metric", "value", "95 % interval", "policies", "floor", "ratio", "unit")]
    rows += [(metric.name, *metric_cells(metric)) for metric in result.metrics]
    return FieldRun(folder.path, rows, summary, [*result.notes, *result.reports, f"run: {folder.path}"])


def gap_rows(metrics: Sequence[Metric]) -> Rows:
    """Return the short table of a gap."""
    rows: Rows = [("metric", "robot", "horizon s", "value", "95 % interval", "n", "floor", "ratio", "unit")]
    logs = list(dict.fromkeys(metric.robot for metric in metrics))
    shown = set(logs if len(logs) <= MOST_LOGS or "all" not in logs else ["all"])
    for metric in metrics:
        if metric.name in SHOWN and metric.robot in shown:
            rows.append(
                (metric.name, robot_cell(metric, metrics), number_cell(metric.horizon_s), *metric_cells(metric))
            )
    return rows


def missing_lines(result: WholeGap) -> list[tuple[str, str]]:
    """Say what could not be measured, of which logs, and why; logs with the same reason together."""
    groups: dict[tuple[str, str], list[str]] = {}
    for item in result.missing:
        groups.setdefault((item.part, item.reason), []).append(item.robot)
    return [(f"{PART_WORDS[part]} of {few(names)}", reason) for (part, reason), names in groups.items()]


def few(names: Sequence[str], most: int = 3) -> str:
    """Return names as a list, the first of many."""
    return ", ".join(names) if len(names) <= most + 1 else f"{', '.join(names[:most])} and {len(names) - most} more"
