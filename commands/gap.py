"""``floorcast gap`` and ``floorcast calibrate``: field logs in, the gap, its sources and a twin out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ..common.errors import InputError
from .shared import Address, Json, Out, Resume, Seed, Twin, Workers, make_resources, show_result, split_names, tell

Logs = Annotated[
    list[Path], typer.Argument(help="Field logs: files or folders, or 'tricycle', the bundled one.", show_default=False)
]
Robots = Annotated[str | None, typer.Option("--robot", help="Robots of the logs, for example 1,2.")]
Options = Annotated[
    Path | None, typer.Option("--options", help="YAML: topics, columns, units and so on, where the log does not tell.")
]
Html = Annotated[Path | None, typer.Option("--html", help="Write the page here too; the output folder has it anyway.")]
MOST_UNREAD = 20
"""Recordings that could not be read are told one by one, up to so many."""
MEASURE = "measure"
"""The command meant where none is named: ``floorcast gap LOG``."""


class _WithDefault(TyperGroup):
    """A group whose first command is meant where the first word names none."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [MEASURE, *args]
        return list(super().parse_args(ctx, args))


gap_app = typer.Typer(
    cls=_WithDefault,
    help="The sim-to-real gap of field logs. 'floorcast gap LOG' is short for 'floorcast gap measure LOG'; a log that "
    "is called like a command is given as ./inspect.",
    no_args_is_help=True,
)


@gap_app.command(MEASURE)
def measure(
    logs: Logs,
    twin: Twin = None,
    robot: Robots = None,
    options: Options = None,
    layout: Annotated[
        Path | None, typer.Option("--layout", help="The hall, in the frame of the logs' poses; else a map is made.")
    ] = None,
    html: Html = None,
    alarm: Annotated[
        bool, typer.Option("--alarm", help="Exit code 1 if a log no longer fits the twin; names the value that moved.")
    ] = False,
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Measure how far simulation is from the field, with intervals, and say where the gap comes from."""
    from ..cluster.field_gap import run_gap

    if alarm and twin is None:
        raise InputError("--alarm needs a twin to hold the log against", where="--twin", mend="give its file")

    result = run_gap(
        logs, twin=twin, robots=split_names(robot), options=options, layout=layout, seed=seed, out=out, html=html
    )
    show_result(result.rows, result.summary, as_json)
    for line in result.notes:
        tell(line)
    for line in result.alarms:
        tell(f"alarm: {line}")
    if alarm and result.alarms:
        raise typer.Exit(1)


@gap_app.command("inspect")
def inspect_logs(
    logs: Logs,
    robot: Robots = None,
    options: Options = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Say what logs hold, how sound they are, and what of the gap can be measured from them."""
    from ..gap.inspect import inspect
    from ..gap.readers import load_options, read_log

    chosen = load_options(options) if options is not None else None
    names: tuple[str | None, ...] = split_names(robot) or (None,)
    found = inspect([log for path in logs for name in names for log in read_log(path, name, options=chosen)], seed)
    if as_json:
        show_result([], {"facts": found.inspect_rows()}, as_json)
    else:
        typer.echo("\n".join(found.lines()))


@gap_app.command("import")
def import_log(
    log: Annotated[Path, typer.Argument(help="A field log: file or folder.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the Parquet tables; one below it for each run.")],
    options: Options = None,
    as_json: Json = False,
) -> None:
    """Turn a log of any format into Parquet tables, which read fast and mean the same everywhere."""
    from ..gap.readers import load_options
    from ..gap.store import import_log as run
    from ..gap.store import load_log

    unread: list[str] = []
    folders = run(log, out, load_options(options) if options is not None else None, unread=unread)
    rows: list[tuple[str, ...]] = [("log", "folder", "records")]
    for folder in folders:
        found = load_log(folder)
        counts = {name: len(getattr(found, name)) for name in ("pose", "cmd", "wheel_cmd", "odom", "ticks", "events")}
        counts["scans"] = len(found.scans) if found.scans is not None else 0
        rows.append((found.name, str(folder), ", ".join(f"{name} {count}" for name, count in counts.items() if count)))
    show_result(rows, {"folders": [str(folder) for folder in folders], "unread": unread}, as_json)
    for line in unread[:MOST_UNREAD]:
        tell(line)
    if len(unread) > MOST_UNREAD:
        tell(f"{len(unread) - MOST_UNREAD} more left out; --json names them all")


@gap_app.command("map")
def map_log(
    log: Annotated[Path, typer.Argument(help="A field log with scans and reference poses: file or folder.")],
    out: Annotated[Path, typer.Option("--out", help="The layout file to write (YAML).")],
    robot: Annotated[str | None, typer.Option("--robot", help="Which robot, where the log holds several.")] = None,
    options: Options = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Make a hall to drive in from what a log's lidar saw, and say how good it is."""
    from ..gap.lidar.site import make_site
    from ..gap.readers import load_options, read_log

    logs = read_log(log, robot, options=load_options(options) if options is not None else None)
    site = make_site(next((item for item in logs if item.scans is not None), logs[0]), seed=seed)
    site.layout.save(out)
    rows = site.rows
    show_result([(name, value) for name, value in rows], {"layout": str(out), **dict(rows[1:])}, as_json)
    for line in (*site.judged.notes, *site.sensor.evidence):
        tell(line)


@gap_app.command("task")
def task(
    table: Annotated[Path, typer.Argument(help="CSV or Parquet: policy, kpi, real, sim; n or intervals if known.")],
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """Measure whether simulation ranks policies as the field does: correlation, wrong orders, bias."""
    from ..cluster.field_gap import run_task_gap

    result = run_task_gap(table, seed=seed, out=out)
    show_result(result.rows, result.summary, as_json)
    for line in result.notes:
        tell(line)


def calibrate(
    logs: Logs,
    train: Annotated[str | None, typer.Option("--train", help="Robots to fit, for example 1,2,3.")] = None,
    test: Annotated[str | None, typer.Option("--test", help="Robots to judge on, for example 4,5.")] = None,
    options: Options = None,
    name: Annotated[str | None, typer.Option("--name", help="Of the twin.")] = None,
    date: Annotated[str | None, typer.Option("--date", help="Written into the twin; the clock is not read.")] = None,
    closed_loop: Annotated[
        bool, typer.Option("--closed-loop", help="Tune a straight drive under control to the log's one run instead.")
    ] = False,
    html: Html = None,
    from_twin: Annotated[
        Path | None,
        typer.Option("--from-twin", help="Twin whose next version this is; the search begins at its values."),
    ] = None,
    no_spread: Annotated[
        bool, typer.Option("--no-spread", help="Leave out how motion differs from its mean: gains, delay and lag only.")
    ] = False,
    seed: Seed = 0,
    workers: Workers = None,
    address: Address = None,
    out: Out = None,
    resume: Resume = True,
    as_json: Json = False,
) -> None:
    """Fit a twin to one part of field logs and judge it, before and after, on the part held out."""
    if closed_loop:
        _closed_loop(logs, options, date, out, as_json, train or test or name or html)
        return
    from ..cluster.field import run_calibrate

    resources = make_resources(workers, address)
    result = run_calibrate(
        logs,
        train=split_names(train),
        test=split_names(test),
        options=options,
        name=name,
        date=date,
        html=html,
        from_twin=from_twin,
        spread=not no_spread,
        seed=seed,
        out=out,
        workers=resources.workers,
        address=resources.address,
        resume=resume,
    )
    show_result(result.rows, result.summary, as_json)
    for line in result.notes:
        tell(line)


def _closed_loop(
    logs: list[Path], options: Path | None, date: str | None, out: Path | None, as_json: bool, other: object
) -> None:
    if other:
        raise InputError(
            "--closed-loop tunes to one run: --train, --test, --name and --html have no meaning with it",
            mend="leave them out",
        )
    from ..cluster.field_closed_loop import run_closed_loop

    result = run_closed_loop(logs, out=out, options=options, date=date)
    show_result(result.rows, result.summary, as_json)
    for line in result.notes:
        tell(line)
