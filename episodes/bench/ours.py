"""One timed episode of ours, as a user runs it: reset, policies, physics, sensors, KPIs, and everything written."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..capture import Capture
from ..hall import forget_halls
from ..loop import run_episode
from ..policy import Policy
from ..record import EpisodeRecord
from ..store import save_record
from .parts import Stopwatch
from .setting import Case, Drivers, Journal, Plan, plan_episode

WRITING = "writing: pictures"
WRITING_RECORD = "writing: record and scans"


@dataclass
class OurOutcome:
    """What an episode took and gave.

    Attributes:
        seconds, wall: processor and wall time of all of it [s]. plan: what was drawn. record: what came out.
        scans: (S, R, B) all scans [m] that the driver saw; None with another policy.
        pictures, bytes: how many pictures and bytes were written.
    """

    seconds: float
    wall: float
    plan: Plan
    record: EpisodeRecord
    scans: NDArray[np.float32] | None
    pictures: int
    bytes: int


def run_ours(
    case: Case,
    index: int,
    folder: Path,
    *,
    policy: Callable[[], Policy] | None = None,
    stopwatch: Stopwatch | None = None,
) -> OurOutcome:
    """Run one episode of a case and write it to a folder, from which it is taken away again.

    Args:
        case: what to run. index: of the episode. folder: for what is written.
        policy: in place of the scripted driver; then no scans are kept and written.
        stopwatch: is told the time of each part.
    """
    scenario = case.scenario()
    plan = plan_episode(scenario, case.seed, index)
    if case.fresh:
        forget_halls()
    drivers = Drivers(plan.routes)
    journal = Journal(folder)

    def take(capture: Capture) -> None:
        journal.picture(capture.frame.rgb)

    def write(record: EpisodeRecord) -> NDArray[np.float32] | None:
        save_record(record, folder / "record.npz")
        scans = drivers.scans() if policy is None else None
        if scans is not None:
            journal.scans(scans)
        return scans

    if stopwatch is not None:
        take = stopwatch.part(WRITING, take)
        write = stopwatch.part(WRITING_RECORD, write)
    with stopwatch.watching() if stopwatch is not None else contextlib.nullcontext():
        start, clock = time.process_time(), time.perf_counter()
        record = run_episode(
            scenario,
            policy or drivers,
            policy_name="bench",
            seed=case.seed,
            index=index,
            capture=take if case.camera else None,
        )
        scans = write(record)
        seconds, wall = time.process_time() - start, time.perf_counter() - clock
    written = journal.written + (folder / "record.npz").stat().st_size
    journal.clear()
    return OurOutcome(seconds, wall, plan, record, scans, journal.pictures, written)
