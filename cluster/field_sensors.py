"""Calibration runs on logs without commands: odometry and lidar, judged, with results in a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..gap.fieldlog import FieldLog
from ..gap.holdout import hold_out
from ..gap.metrics import Metric
from ..gap.sensor_calibration import SENSOR_STAGES, SensorCalibration, calibrate_sensors
from ..gap.twins import Origin
from ..robots.twin import TwinParameter, save_twin
from ..validation.gap_page import write_gap_page
from .field_gap import SHOWN, missing_lines
from .field_logs import FieldRun, Rows, identity_of_calibration, number_cell, robot_cell
from .field_page import gap_page
from .kept import KeptTasks
from .progress import progress
from .run_folder import open_run
from .stages import Stages
from .tasks import evaluating

TWIN_FILE = "twin.yaml"


def run_calibrate_sensors(
    logs: Sequence[FieldLog],
    paths: Sequence[Path],
    *,
    train: Sequence[str | int] | None,
    test: Sequence[str | int] | None,
    options: Path | None,
    origin: Origin,
    out: Path | None,
    html: Path | None,
    workers: int = 0,
    address: str | None = None,
    resume: bool = True,
) -> FieldRun:
    """Fit odometry and lidar to one part of logs, judge them on the other; write twin, summary and page.

    Args:
        logs: without commands, wheel commands and ticks.
        paths: of which they were read.
        train, test: robots or runs; by default about 30 % are held out.
        options: file by which the logs were read, or None.
        origin: what is written into the twin; its seed is that of all fits.
        out: output folder, or None for the default one.
        html: a further place for the page, or None.
        workers, address: where the work is done; the result does not depend on it.
        resume: whether a started run is continued.

    Raises:
        InputError: nothing can be fitted, a robot is unknown or on both sides, or the folder holds another run.
    """
    identity = identity_of_calibration(
        logs, origin.seed, sides=hold_out(logs, train, test).names(), options=options, name=origin.name,
        date=origin.date, parent=origin.parent,
    )  # fmt: skip
    with open_run(out, "calibrate", identity, resume=resume) as folder:
        kept = KeptTasks(folder)
        with (
            progress("calibrating", SENSOR_STAGES, unit="stages") as advance,
            evaluating(workers, address, kept) as evaluate_many,
        ):
            result = calibrate_sensors(
                logs, train=train, test=test, origin=origin, evaluate_many=evaluate_many, stage=Stages(advance)
            )
            advance(1)
        save_twin(result.twin, folder.path / TWIN_FILE)
        summary = {**result.to_summary(), "log": ", ".join(path.name for path in paths), "twin": TWIN_FILE}
        page = gap_page(
            result.judged,
            result.after,
            twin=result.twin,
            command=origin.command or "floorcast calibrate",
            missing=missing_lines(result.after),
            before=result.before,
        )
        page = replace(page, title=f"A calibrated twin of {result.twin.name}: what is left of the gap")
        for place in (folder.path / "report.html", *([html] if html is not None else [])):
            write_gap_page(place, page)
        folder.write_summary(summary)
        kept.clear()
    fitted = {**result.twin.odometry, **result.twin.lidar}
    notes = [*kept.lines(), *(_line(name, item) for name, item in fitted.items()), *result.notes]
    notes += [f"twin: {folder.path / TWIN_FILE}", f"page: {folder.path / 'report.html'}"]
    return FieldRun(folder.path, sensor_rows(result), summary, notes)


def sensor_rows(result: SensorCalibration) -> Rows:
    """Return the short table: held-out data by data sheets and by the twin, with the twin's interval."""
    rows: Rows = [("metric", "robot", "before", "after", "95 % interval after", "n", "floor", "unit")]
    before = {_key(item): item for item in result.before.metrics}
    for after in result.after.metrics:
        first = before.get(_key(after))
        if after.name not in SHOWN:
            continue
        interval = "-" if after.ci_low is None else f"{number_cell(after.ci_low)} to {number_cell(after.ci_high)}"
        rows.append(
            (
                after.name,
                robot_cell(after, result.after.metrics),
                number_cell(first.value if first is not None else None),
                number_cell(after.value),
                interval,
                str(after.n),
                number_cell(after.floor),
                after.unit,
            )
        )
    return rows


def _key(item: Metric) -> tuple[str, str, float | None]:
    return item.name, item.robot, item.horizon_s


def _line(name: str, item: TwinParameter) -> str:
    interval = "" if item.ci_low is None else f" ({item.ci_low:.4g} to {item.ci_high:.4g})"
    unit = "" if item.unit in ("1", "-") else f" {item.unit}"
    return f"{name} = {item.value:.4g}{unit}{interval}" + ("" if item.identifiable else "; not identifiable")
