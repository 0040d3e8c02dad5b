"""A progress bar with rate and time left; plain lines where there is no terminal."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

PLAIN_PERIOD_S = 10.0


@contextlib.contextmanager
def progress(title: str, total: int, *, done: int = 0, unit: str = "episodes") -> Iterator[Callable[[int], None]]:
    """Show progress on standard error while the block runs.

    Args:
        title: what is going on.
        total: units in all; ``done``: units finished earlier.
        unit: what is counted.

    Yields:
        A function that adds finished units.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        with _plain(title, total, done, unit) as advance:
            yield advance
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=total, completed=done, rate="")
        started = time.perf_counter()
        count = 0

        def advance_bar(units: int) -> None:
            nonlocal count
            count += units
            rate = count / max(time.perf_counter() - started, 1e-9)
            bar.update(task, advance=units, rate=f"{rate:.2f} {unit}/s")

        yield advance_bar


@contextlib.contextmanager
def _plain(title: str, total: int, done: int, unit: str) -> Iterator[Callable[[int], None]]:
    started = shown = time.perf_counter()
    count = 0

    def advance(units: int) -> None:
        nonlocal count, shown
        count += units
        now = time.perf_counter()
        if now - shown >= PLAIN_PERIOD_S or done + count == total:
            shown = now
            rate = count / max(now - started, 1e-9)
            left = (total - done - count) / max(rate, 1e-9)
            print(
                f"{title}: {done + count}/{total} {unit}, {rate:.2f}/s, {left:.0f} s left", file=sys.stderr, flush=True
            )

    yield advance
