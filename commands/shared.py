"""What all commands share: their common options, and how they show results.

Results go to standard output, remarks to standard error, so that ``--json`` stays JSON.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from ..common.errors import InputError

Seed = Annotated[int, typer.Option("--seed", min=0, max=2**63 - 1, help="Seed of everything random; 0 is a seed.")]
Out = Annotated[Path | None, typer.Option("--out", help="Output folder; by default one under runs/ for each run.")]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=0, help="Worker processes; all cores by default, 0 for this process alone."),
]
Address = Annotated[str | None, typer.Option("--address", help="HOST:PORT of a Ray cluster; this machine by default.")]
Resume = Annotated[bool, typer.Option("--resume/--no-resume", help="Go on with the run that the folder holds.")]
Twin = Annotated[Path | None, typer.Option("--twin", help="Twin file with calibrated parameters.")]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON on standard output.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the rows as JSON into this file.")]
Device = Annotated[str, typer.Option("--device", help="Where sensors are computed: auto, cpu or cuda.")]


def cell_text(value: Any) -> str:
    """Return a value as a table shows it: numbers with four digits, a dash for none."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def show_result(rows: list[tuple[str, ...]], summary: dict[str, Any], as_json: bool) -> None:
    """Print a short table, its first row the head, or the summary as JSON."""
    if as_json:
        print(json.dumps(summary, indent=2, sort_keys=True))
    else:
        show_table(rows)


def show_table(rows: list[tuple[str, ...]]) -> None:
    """Print rows in columns, the first as the head."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for number, row in enumerate(rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))


def tell(text: str) -> None:
    """Print a remark on standard error."""
    print(text, file=sys.stderr)


def make_resources(workers: int | None, address: str | None) -> Any:
    """Return what a run may use: all cores of this machine unless told otherwise."""
    from ..cluster.run import Resources

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    if workers is None:
        workers = 0 if address is not None else cores
    return Resources(workers=workers, address=address)


def split_names(text: str | None) -> tuple[str, ...] | None:
    """Split ``1,2,3`` into names; None stays None.

    Raises:
        InputError: no name in it.
    """
    if text is None:
        return None
    names = tuple(part.strip() for part in text.split(",") if part.strip())
    if not names:
        raise InputError("no robot named", where=text, mend="give names like 1,2,3")
    return names
