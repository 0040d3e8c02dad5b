"""Closed-loop straight drives tuned to logged runs: read, tune, write results into a run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..common.errors import InputError
from ..gap.closed_loop import LD250, tune_closed_loop
from ..robots.twin import save_twin
from .field_logs import FieldRun, Rows, identity_of, number_cell, read_logs
from .run_folder import open_run


def run_closed_loop(
    paths: Sequence[Path], *, out: Path | None, options: Path | None = None, date: str | None = None
) -> FieldRun:
    """Tune a closed-loop straight drive to the one run of a log; write ``twin.yaml`` and ``summary.json``.

    Raises:
        InputError: the log cannot be used, holds several runs or no straight one, or the output folder holds another
            run.
    """
    logs = read_logs(paths, options=options)
    if len(logs) != 1:
        raise InputError(f"--closed-loop tunes to one run, the log holds {len(logs)}", mend="name the file of one run")
    log = logs[0]
    result = tune_closed_loop(log, model=LD250 if log.robot == LD250.name else log.model, date=date)
    with open_run(out, "closed-loop", {**identity_of(logs, 0), "date": date}) as folder:
        save_twin(result.twin, folder.path / "twin.yaml")
        summary = {**result.to_summary(), "log": str(paths[0].name), "twin": "twin.yaml"}
        folder.write_summary(summary)
    rows: Rows = [("what", "J", "RMSE pos m", "RMSE yaw rad", "samples")]
    named = (("tuned drive", result.score), ("the same in PyBullet", result.in_bullet), ("bare trapezoid", result.bare))
    rows += [
        (what, number_cell(score.j), number_cell(score.rmse_pos), number_cell(score.rmse_yaw), str(score.samples))
        for what, score in named
    ]
    told = ", ".join(f"{name} {value:.4g}" for name, value in vars(result.drive).items())
    notes = [*result.notes, f"{result.evaluations} drives made; told: {told}", f"twin: {folder.path / 'twin.yaml'}"]
    return FieldRun(folder.path, rows, summary, notes)
