"""One job of the benchmark in a process of its own: ``python -m floorcast.episodes.bench.worker JOB RESULT``.

As with the sensors' benchmark, the process ties itself to one processor before any library is loaded, so that *one
core* is meant for everybody, and a crash costs a row and no more. Ours and the peer run in the same process, one after
the other.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .naive import NaiveOutcome
    from .ours import OurOutcome
    from .setting import Case

AGREE = 0.1
"""Ranges [m] of the first scans that differ by less are of the same thing; ours have noise."""
AGREE_SHARE = 0.9
"""Least share of equal ranges in the first scans: below, the two sides do not stand in the same hall."""


@dataclass(frozen=True)
class Job:
    """What a worker does.

    Attributes:
        kind: "episode" or "physics".
        case: fields of a ``setting.Case``.
        repeat: timed runs of ours, after one that warms up.
        naive: run the plain PyBullet loop too. parts: tell where the time goes.
        policy: "module:attribute" of a policy in place of the scripted driver, or "".
        processor: to stay on, or -1 for any.
    """

    kind: str
    case: dict[str, Any] = field(default_factory=dict)
    repeat: int = 5
    naive: bool = False
    parts: bool = False
    policy: str = ""
    processor: int = -1


@dataclass
class Outcome:
    """What a worker found; times are processor times [s] unless they are said to be wall times.

    Attributes:
        ours, wall: of each timed episode. peer, peer_wall: of the peer's. naive_parts: by part.
        parts: by part, of another episode of ours, which took ``parts_total`` while it was watched.
        goods, solids, loose, robots: of the hall. scans, pictures, bytes, contacts: of the last timed episode.
        path, peer_path: that a robot drove, mean of all [m]. agree: share of equal ranges in the first scans.
        physics: least time and a note by case. reason: why there is not all of it.
    """

    ours: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    peer: float | None = None
    peer_wall: float | None = None
    parts: dict[str, float] = field(default_factory=dict)
    parts_total: float = 0.0
    naive_parts: dict[str, float] = field(default_factory=dict)
    goods: int = 0
    solids: int = 0
    loose: int = 0
    robots: int = 0
    scans: int = 0
    pictures: int = 0
    bytes: int = 0
    contacts: int = 0
    path: float = 0.0
    peer_path: float | None = None
    agree: float | None = None
    physics: dict[str, tuple[float, str]] = field(default_factory=dict)
    reason: str = ""


def run_job(job: Job) -> Outcome:
    """Do a job in this process.

    Raises:
        FloorcastError: the two sides did not do the same work.
    """
    from .setting import Case

    if job.kind == "physics":
        from .physics import physics_times

        return Outcome(physics=physics_times(job.repeat))
    camera = job.case.get("camera")
    return _episodes(job, Case(**{**job.case, "camera": None if camera is None else tuple(camera)}))


def _episodes(job: Job, case: Case) -> Outcome:
    from .ours import run_ours
    from .parts import REST, Stopwatch

    outcome = Outcome(robots=case.robots)
    policy = _attribute(job.policy) if job.policy else None
    with tempfile.TemporaryDirectory(prefix="floorcast_bench_") as name:
        folder = Path(name)
        run_ours(case, 0, folder, policy=policy)
        for index in range(1, job.repeat + 1):
            run = run_ours(case, index, folder, policy=policy)
            outcome.ours.append(run.seconds)
            outcome.wall.append(run.wall)
        _describe(outcome, run)
        if job.parts:
            # The middle one of as many as were timed, so that the table and the time above it are of the same kind.
            watched = []
            for index in range(1, job.repeat + 1):
                stopwatch = Stopwatch()
                again = run_ours(case, index, folder, policy=policy, stopwatch=stopwatch)
                stopwatch.seconds[REST] += again.seconds - sum(stopwatch.seconds.values())
                watched.append((again.seconds, stopwatch.seconds))
            watched.sort(key=lambda item: item[0])
            outcome.parts_total, outcome.parts = watched[len(watched) // 2]
        if job.naive:
            _compare(job, case, run, folder, outcome)
    return outcome


def _compare(job: Job, case: Case, run: OurOutcome, folder: Path, outcome: Outcome) -> None:
    """Run the peer on the last episode of ours."""
    from .naive import run_naive
    from .setting import Drivers

    drivers = Drivers(run.plan.routes)
    start, clock = time.process_time(), time.perf_counter()
    peer = run_naive(case.scenario(), run.plan, run.record, drivers, folder, case.seed, job.repeat)
    outcome.peer, outcome.peer_wall = time.process_time() - start, time.perf_counter() - clock
    outcome.naive_parts = peer.seconds
    outcome.peer_path = _path(peer.pose)
    outcome.agree = require_same_work(run, peer)


def require_same_work(run: OurOutcome, peer: NaiveOutcome) -> float:
    """Return the share of ranges on which the first scans of both sides agree.

    Raises:
        FloorcastError: the sides took different numbers of steps, scans or pictures, or do not see the same hall.
    """
    import numpy as np

    from ...common.errors import FloorcastError

    if run.scans is None:
        raise FloorcastError("only the scripted driver can be compared with the peer")
    ours = (len(run.record.pose), run.scans.shape[0] * run.scans.shape[1], run.pictures)
    theirs = (len(peer.pose), peer.scans, peer.pictures)
    if ours != theirs:
        raise FloorcastError(f"steps, scans and pictures differ: {ours} of ours, {theirs} of the peer's")
    first, other = run.scans[0], peer.first_scan
    nothing = np.isinf(first) & np.isinf(other)
    with np.errstate(invalid="ignore"):
        agree = float(np.mean(nothing | (np.abs(first - other) < AGREE)))
    if agree < AGREE_SHARE:
        raise FloorcastError(f"only {100 * agree:.1f} % of the ranges of the first scans agree")
    return agree


def _describe(outcome: Outcome, run: OurOutcome) -> None:
    layout, solids = run.plan.sampled.layout, run.plan.hall.solids
    outcome.goods, outcome.solids, outcome.loose = len(layout.goods), len(solids.static), len(solids.loose_pose)
    outcome.scans = 0 if run.scans is None else run.scans.shape[0] * run.scans.shape[1]
    outcome.pictures, outcome.bytes = run.pictures, run.bytes
    outcome.contacts = sum(event.kind == "collision" for event in run.record.events)
    outcome.path = _path(run.record.pose)


def _path(pose: Any) -> float:
    """Return how far robots (T, R, 3) drove, mean of all [m]."""
    import numpy as np

    return float(np.linalg.norm(np.diff(pose[..., :2], axis=0), axis=2).sum(axis=0).mean())


def _attribute(name: str) -> Any:
    module, attribute = name.split(":")
    return getattr(importlib.import_module(module), attribute)


def main(arguments: list[str]) -> None:
    """Read a job from a JSON file, do it and write the outcome into another."""
    source, target = arguments
    job = Job(**json.loads(Path(source).read_text()))
    if job.processor >= 0 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {job.processor})
    Path(target).write_text(json.dumps(asdict(run_job(job))))


if __name__ == "__main__":
    main(sys.argv[1:])
