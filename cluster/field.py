"""Calibration runs on field logs: read, fit, judge, write results into a run folder."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..gap.fieldlog import FieldLog
from ..gap.holdout import hold_out
from ..gap.run import STAGES, CalibrationResult, calibrate, check_logs
from ..gap.sensor_calibration import moves_untold
from ..gap.twins import Origin
from ..gap.whole import judged_sources
from ..robots.twin import Twin, family_member, load_twin, save_twin
from ..validation.gap_page import write_gap_page
from .field_logs import (
    FieldRun,
    Rows,
    command_line,
    first_findings,
    identity_of_calibration,
    is_called,
    number_cell,
    read_logs,
    robot_cell,
)
from .field_page import calibration_page
from .field_sensors import run_calibrate_sensors
from .kept import KeptTasks
from .progress import progress
from .run_folder import open_run
from .stages import Stages
from .tasks import evaluating

WHOLE_PATH = ("mean_pos_err", "mean_yaw_err")
WHOLE_RUNS = ("run_end_pos_err", "run_end_yaw_err")
BY_GAINS = ("gains_pos_end_err", "gains_yaw_end_err", "response_pos_end_err", "response_yaw_end_err")
COMPARED = ("pos_end_err", "yaw_end_err", *BY_GAINS, "ate_rmse", "delay_ms", "crps_pos", "crps_yaw", *WHOLE_PATH)
TWIN_FILE, MEMBER_FOLDER = "twin.yaml", "robots"


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
    from_twin: Path | None = None,
    spread: bool = True,
    workers: int = 0,
    address: str | None = None,
    resume: bool = True,
) -> FieldRun:
    """Calibrate on one part of logs, judge on the other; write ``twin.yaml``, ``summary.json`` and ``report.html``.

    With several robots to train on, ``robots/`` holds the twin of each.

    Args:
        paths: files or folders of logs.
        train, test: robots or runs; by default about 30 % are held out.
        seed, out, options, name, date: as the user gives them.
        html: where to write the page as well.
        from_twin: twin that the new one is the next version of.
        spread: whether the twin gets a section that says how motion differs from its mean, where the logs allow.
        workers, address: where the work is done; the result does not depend on it.
        resume: whether a started run is continued.

    Raises:
        InputError: the log cannot be used, a robot is unknown or on both sides, or the output folder holds another run.
    """
    logs = read_logs(paths, options=options)
    parent = load_twin(from_twin) if from_twin is not None else None
    command = command_line(
        "calibrate", paths, train=train, test=test, options=options, name=name, date=date, from_twin=from_twin,
        no_spread=not spread, seed=seed,
    )  # fmt: skip
    if moves_untold(logs):
        return run_calibrate_sensors(
            logs, paths, train=_named(logs, train), test=_named(logs, test), options=options,
            origin=Origin(name, date, seed, parent, command), out=out, html=html, workers=workers, address=address,
            resume=resume,
        )  # fmt: skip
    check_logs(logs)
    split = hold_out(logs, _named(logs, train), _named(logs, test))
    sides = [log.name for log in split.trained], [log.name for log in split.judged]
    identity = identity_of_calibration(
        logs, seed, sides=sides, options=options, name=name, date=date, parent=parent
    )  # fmt: skip
    identity |= {} if spread else {"spread": False}
    with open_run(out, "calibrate", identity, resume=resume) as folder:
        kept = KeptTasks(folder)
        with (
            progress("calibrating", STAGES, unit="stages") as advance,
            evaluating(workers, address, kept) as evaluate_many,
        ):
            result = calibrate_split(
                logs, train=train, test=test, seed=seed, name=name, date=date, parent=parent,
                command=command, spread=spread,
                evaluate_many=evaluate_many, stage=Stages(advance),
            )  # fmt: skip
            advance(1)
        members = save_twins(result.twin, folder.path)
        findings = [line for log in logs for line in log.report.lines()]
        summary = {**result.to_summary(), "log": ", ".join(path.name for path in paths), "twin": TWIN_FILE}
        summary["log_findings"] = findings
        page = calibration_page(
            logs,
            result,
            judged_sources(
                result.judged, result.twin, result.textbook, every=result.after.anchor_every, others=logs, seed=seed
            ),
            command=command,
        )
        for place in (folder.path / "report.html", *([html] if html is not None else [])):
            write_gap_page(place, page)
        folder.write_summary({**summary, "robots": members} if members else summary)
        kept.clear()
    notes = [
        *kept.lines(),
        *(f"{p.name} = {p.value:.4g} {p.unit} ({p.ci_low:.4g} to {p.ci_high:.4g})"
          + ("" if p.identifiable else f"; not identifiable: {p.reason}") for p in result.fit.parameters),
        *result.notes,
        *first_findings(findings),
        f"twin: {folder.path / TWIN_FILE}",
        f"page: {folder.path / 'report.html'}",
    ]  # fmt: skip
    return FieldRun(folder.path, comparison_rows(result), summary, notes)


def calibrate_split(
    logs: Sequence[FieldLog],
    *,
    train: Sequence[str] | None,
    test: Sequence[str] | None,
    seed: int,
    **options: Any,
) -> CalibrationResult:
    """Calibrate with the user's split (``robot4``, ``4`` or ``robot/run``), or the default one; options of
    ``calibrate``."""
    return calibrate(logs, train=_named(logs, train), test=_named(logs, test), seed=seed, **options)


def save_twins(twin: Twin, folder: Path) -> dict[str, str]:
    """Write a twin and those of its family; returns the family's files, relative to the folder, by robot."""
    save_twin(twin, folder / TWIN_FILE)
    robots = list(dict.fromkeys(robot for item in twin.family.values() for robot in item.robots))
    files = {robot: f"{MEMBER_FOLDER}/{re.sub(r'[^A-Za-z0-9_.-]', '_', robot)}.yaml" for robot in robots}
    if files:
        (folder / MEMBER_FOLDER).mkdir(exist_ok=True)
    for robot, file in files.items():
        save_twin(family_member(twin, robot), folder / file)
    return files


def _named(logs: Sequence[FieldLog], names: Sequence[str] | None) -> list[str | int] | None:
    return None if names is None else [_spelled(logs, item) for item in names]


def _spelled(logs: Sequence[FieldLog], name: str) -> str:
    """Return the robot or run that a user means, also by the beginning of a name; the name itself where none is."""
    if any(name in (log.robot, log.name) for log in logs):
        return name
    called = next((log.robot for log in logs if is_called(log, name)), None)
    begun = sorted({log.robot for log in logs if log.robot.startswith(name)})
    return called or (begun[0] if len(begun) == 1 else name)


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
                robot_cell(item, result.comparison),
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
        if before.name in (*WHOLE_PATH, *WHOLE_RUNS):
            after = result.after.metric(before.name, before.robot, before.horizon_s)
            change = f"{100 * (after.value / before.value - 1):+.0f} %" if before.value else "-"
            values = (
                number_cell(before.value),
                number_cell(after.value),
                change,
                "-",
                str(before.n),
                before.unit,
                "one path" if before.name in WHOLE_PATH else "ends of runs",
            )
            rows.append((before.name, before.robot, "-", *values))
    return rows
