"""Reading the logs that a command names, and what decides a run on them."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..common.config import config_hash
from ..common.errors import InputError
from ..gap.fieldlog import FieldLog, sha256_of
from ..gap.metrics import Metric
from ..gap.readers import load_options, read_log
from ..gap.results import Comparison
from ..robots.twin import Twin
from ..validation.gap_section import pooled_logs

Rows = list[tuple[str, ...]]
MOST_FINDINGS = 12
"""Findings of the import that a terminal shows; the summary holds all."""


@dataclass(frozen=True)
class FieldRun:
    """A gap or calibration run: its folder, a short table, the summary, notes for people, and alarms of drift."""

    folder: Path
    rows: Rows
    summary: dict[str, Any]
    notes: list[str]
    alarms: list[str] = field(default_factory=list)


def read_logs(
    paths: Sequence[Path], *, robots: Sequence[str] | None = None, options: Path | None = None
) -> list[FieldLog]:
    """Read all logs of some files and folders, or those of the robots named.

    A robot that is in several files without a name for its runs gets the files' names for them.

    Raises:
        InputError: a log or the options cannot be used, a robot is in none of the logs, or one log was named twice.
    """
    chosen = load_options(options) if options is not None else None
    found: list[tuple[Path, FieldLog]] = []
    for path in paths:
        if robots is None or len(paths) == 1:
            names: Sequence[str | None] = [None] if robots is None else robots
            found += [(path, log) for name in names for log in read_log(path, name, options=chosen)]
        else:
            found += [(path, log) for log in read_log(path, options=chosen) if any(is_called(log, n) for n in robots)]
    if not found:
        raise InputError(
            f"none of the logs holds {', '.join(robots or ())}", where=", ".join(map(str, paths)), mend="check --robot"
        )
    often = Counter(log.name for _, log in found)
    logs = [replace(log, run=path.stem) if often[log.name] > 1 and not log.run else log for path, log in found]
    twice = [name for name, count in Counter(log.name for log in logs).items() if count > 1]
    if twice:
        raise InputError(
            f"several logs of {', '.join(twice)}",
            where=", ".join(map(str, paths)),
            mend="name each log once, and give runs of one robot different file names",
        )
    return logs


def is_called(log: FieldLog, name: str) -> bool:
    """Tell whether a log is of the robot or run that a user named: ``robot4``, ``4`` or ``robot/run``."""
    digits = name.lower().removeprefix("robot").strip("_ ")
    return name in (log.robot, log.name) or (digits.isdecimal() and log.robot.removeprefix("robot") == digits)


def identity_of(logs: Sequence[FieldLog], seed: int) -> dict[str, Any]:
    """Return what decides the results of a run on logs: their files' bytes, which robots, the seed."""
    return {
        "logs": sorted({file.sha256 for log in logs for file in log.report.files}),
        "robots": [log.name for log in logs],
        "seed": seed,
    }


def identity_of_calibration(
    logs: Sequence[FieldLog],
    seed: int,
    *,
    sides: tuple[Sequence[str], Sequence[str]],
    options: Path | None,
    name: str | None,
    date: str | None,
    parent: Twin | None,
) -> dict[str, Any]:
    """Return what decides a calibration: the logs, how they are read, who is on which side, what the twin is told."""
    identity = {**identity_of(logs, seed), "train": list(sides[0]), "test": list(sides[1]), "name": name, "date": date}
    identity |= {"parent": config_hash(parent)} if parent is not None else {}
    identity |= {"options": sha256_of(options)} if options is not None else {}
    return identity


def command_line(command: str, paths: Sequence[Path], **options: Any) -> str:
    """Return the command that makes a run again; options that are None or empty are left out.

    Folders are left out of the logs' names, as pages and summaries move between machines.
    """
    words = ["floorcast", *command.split(), *(path.name for path in paths)]
    for name, value in options.items():
        if value is None or value is False:
            continue
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words.append(",".join(value) if isinstance(value, list | tuple) else getattr(value, "name", str(value)))
    return shlex.join(words)


def first_findings(findings: Sequence[str]) -> list[str]:
    """Return the first findings of the import, and how many more there are."""
    rest = len(findings) - MOST_FINDINGS
    more = [f"{rest} more findings of the import are in summary.json"] if rest > 0 else []
    return [*findings[:MOST_FINDINGS], *more]


def metric_cells(metric: Metric) -> tuple[str, ...]:
    """Return value, interval, n, floor, ratio and unit as cells of a table."""
    interval = "-" if metric.ci_low is None else f"{number_cell(metric.ci_low)} to {number_cell(metric.ci_high)}"
    return (
        number_cell(metric.value),
        interval,
        str(metric.n),
        number_cell(metric.floor),
        number_cell(metric.ratio),
        metric.unit or "-",
    )


def robot_cell(item: Metric | Comparison, beside: Sequence[Metric] | Sequence[Comparison]) -> str:
    """Return whose a figure is; of all logs together with their number where some lack it: ``all (2 of 3)``."""
    found = pooled_logs((item.name, item.robot, item.horizon_s), [(m.name, m.robot, m.horizon_s) for m in beside])
    return item.robot if found is None else f"{item.robot} ({found[0]} of {found[1]})"


def number_cell(value: float | None) -> str:
    """Return a number with four digits, a dash for none."""
    return "-" if value is None else f"{value:.4g}"
