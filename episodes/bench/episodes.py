"""Whole episodes against a plain PyBullet loop, where the time goes, and how it grows; each job in its own process."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ...common.errors import InputError
from ...perception.bench.sensors import cpu_name
from .worker import Job, Outcome

JOB_SECONDS = 900.0
SECONDS = 30.0
"""Simulated time of every episode [s]."""
CAMERAS = ((640, 480), (128, 128))
ROBOTS = (1, 4, 16, 64)
AREAS = (250.0, 1000.0, 4000.0, 10_000.0)
FILLS = (0.001, 0.01, 0.1, 0.4, 1.0)
PEER = "PyBullet, a plain loop"
BIG = 10_000.0

__all__ = ["EpisodeBench", "EpisodeRow", "bench_episodes"]


@dataclass(frozen=True)
class EpisodeRow:
    """One measured line.

    Attributes:
        name: what was run. peer: against what, or "".
        ours_ms, peer_ms: processor time [ms] of all of it; ours is the median of the repeats. ratio: peer / ours.
        cores: of both sides. times_real: simulated time by ours. ours_wall_ms, peer_wall_ms: wall times likewise.
        note: what it did. panel, at: of the plot and the place in it, or "" and None.
    """

    name: str
    peer: str
    ours_ms: float | None
    peer_ms: float | None
    ratio: float | None
    cores: int = 1
    times_real: float | None = None
    note: str = ""
    panel: str = ""
    at: float | None = None
    ours_wall_ms: float | None = None
    peer_wall_ms: float | None = None


@dataclass(frozen=True)
class EpisodeBench:
    """All rows of a run; the parts of the first comparison: name, ours [ms]; and the conditions."""

    rows: list[EpisodeRow]
    parts: dict[str, float] = field(default_factory=dict)
    parts_total: float = 0.0
    naive_parts: dict[str, float] = field(default_factory=dict)
    conditions: dict[str, str] = field(default_factory=dict)


def bench_episodes(
    *,
    repeat: int = 5,
    seed: int = 0,
    only: Sequence[str] = (),
    policy: str = "",
    quick: bool = False,
    tell: Callable[[str], None] | None = None,
) -> EpisodeBench:
    """Time whole episodes.

    Args:
        repeat: timed episodes of each case of ours; the peer's runs once.
        seed: of halls and episodes.
        only: groups "peer", "policy", "physics", "scaling"; none for all.
        policy: "module:attribute" of the policy of the group "policy"; "" leaves that out.
        quick: episodes of 1 s in a small hall, only to try it out.
        tell: is told what runs.

    Raises:
        InputError: ``repeat`` below 1, or a group that there is not.
    """
    groups = ("peer", "policy", "physics", "scaling")
    if repeat < 1:
        raise InputError(f"repeat is {repeat}", where="bench episodes", mend="give at least 1")
    for name in only:
        if name not in groups:
            raise InputError(f"there is no group {name!r}", where="bench episodes", mend=f"one of {', '.join(groups)}")
    chosen = [name for name in groups if not only or name in only]
    jobs = [job for job in _jobs(repeat, seed, policy, quick) if job[0] in chosen]
    rows: list[EpisodeRow] = []
    bench = EpisodeBench(rows)
    for number, (_, name, panel, job) in enumerate(jobs):
        if tell is not None:
            tell(f"{number + 1} of {len(jobs)}: {name}")
        outcome = run_apart(job)
        rows += _rows(name, panel, job, outcome)
        if outcome.parts and not bench.parts:
            bench = replace(
                bench,
                parts={part: 1e3 * seconds for part, seconds in outcome.parts.items()},
                parts_total=1e3 * outcome.parts_total,
                naive_parts={part: 1e3 * seconds for part, seconds in outcome.naive_parts.items()},
            )
    bench.conditions.update(_conditions(repeat, seed))
    return bench


def part_rows(bench: EpisodeBench) -> list[tuple[str, ...]]:
    """Return where the time of the first comparison goes as a table: part, milliseconds, share; the peer's below."""
    rows: list[tuple[str, ...]] = [("where the time goes", "ms", "share")]
    for title, parts in (("of ours", bench.parts), (f"of the peer: {PEER}", bench.naive_parts)):
        total = sum(parts.values())
        if total:
            rows += [(part, f"{spent:.1f}", f"{100 * spent / total:.1f} %") for part, spent in parts.items()]
            rows.append((f"all {title}", f"{total:.1f}", "100 %"))
    return rows


def run_apart(job: Job) -> Outcome:
    """Do a job in a process of its own on one processor; a crash or a hang gives an outcome with its reason."""
    processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    job = replace(job, processor=processors[-1] if processors else -1)
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "FLOORCAST_THREADS"):
        environment[name] = "1"
    with tempfile.TemporaryDirectory(prefix="floorcast_bench_") as folder:
        source, target, log = (Path(folder) / name for name in ("job.json", "outcome.json", "log.txt"))
        source.write_text(json.dumps(asdict(job)))
        command = [sys.executable, "-m", f"{__package__}.worker", str(source), str(target)]
        with log.open("w") as output:
            try:
                code = subprocess.run(
                    command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=environment,
                    timeout=JOB_SECONDS, check=False,
                ).returncode  # fmt: skip
            except subprocess.TimeoutExpired:
                return Outcome(reason=f"took more than {JOB_SECONDS:.0f} s")
        if code != 0 or not target.exists():
            last = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-1:]
            return Outcome(reason=f"ended with code {code}: {last[0].strip() if last else 'no message'}")
        return Outcome(**json.loads(target.read_text()))


def _jobs(repeat: int, seed: int, policy: str, quick: bool) -> list[tuple[str, str, str, Job]]:
    """Return group, name, panel of the plot, and job of everything that is run."""
    size: dict[str, Any] = {"seconds": 1.0, "area": 200.0, "people": 1, "robots": 2} if quick else {}
    base: dict[str, Any] = {"seed": seed, **size}
    seconds = base.get("seconds", SECONDS)
    few = max(1, min(3, repeat))
    robots = base.get("robots", 8)
    start = f"{seconds:g} s, {robots} AMRs"
    jobs = []
    for width, height in CAMERAS[1:] if quick else CAMERAS:
        case = {**base, "camera": (width, height)}
        job = Job("episode", case, repeat, naive=True, parts=True)
        jobs.append(("peer", f"{start}, lidars, camera {width} x {height}", "", job))
    case = {**base, "camera": CAMERAS[0], "fresh": True}
    jobs.append(("peer", f"{start}, the same, a new hall in each episode", "", Job("episode", case, few)))
    jobs.append(("peer", f"{start}, lidars, no camera", "", Job("episode", base, repeat)))
    if policy:
        named = Job("episode", {**base, "camera": CAMERAS[0]}, few, policy=policy)
        jobs.append(("policy", f"{start}, lidars, camera 640 x 480, policy {policy.rpartition(':')[2]}", "", named))
    jobs.append(("physics", "physics", "", Job("physics", {}, few)))
    for count in () if quick else ROBOTS:
        case = {**base, "area": BIG, "people": 0, "robots": count}
        jobs.append(("scaling", f"{count} AMRs, lidars, 10,000 m2", "robots", Job("episode", case, few)))
    for fill in () if quick else FILLS:
        case = {**base, "area": BIG, "people": 0, "fill": fill, "levels": 5}
        jobs.append(("scaling", "8 AMRs, lidars, 10,000 m2", "goods", Job("episode", case, few)))
    for area in () if quick else AREAS:
        case = {**base, "area": area}
        jobs.append(("scaling", f"8 AMRs, lidars, {area:,.0f} m2", "area", Job("episode", case, few)))
    return jobs


def _rows(name: str, panel: str, job: Job, outcome: Outcome) -> list[EpisodeRow]:
    if outcome.reason:
        return [EpisodeRow(name, "", None, None, None, note=f"skipped: {outcome.reason}")]
    if job.kind == "physics":
        return [
            EpisodeRow(
                f"30 s of {case}, physics alone", "", 1e3 * spent, None, None, times_real=30.0 / spent, note=note
            )
            for case, (spent, note) in outcome.physics.items()
        ]
    ours = statistics.median(outcome.ours)
    seconds = job.case.get("seconds", SECONDS)
    note = (
        f"wall {1e3 * statistics.median(outcome.wall):.0f} ms; {outcome.solids} solids, {outcome.goods} goods, "
        f"{outcome.scans} scans, {outcome.pictures} pictures, {outcome.path:.1f} m a robot"
    )
    if outcome.contacts:
        note += f", {outcome.contacts} collisions"
    if outcome.agree is not None:
        note += f"; the peer's robots drove {outcome.peer_path:.1f} m, first scans agree {100 * outcome.agree:.1f} %"
    return [
        EpisodeRow(
            name if panel != "goods" else f"{name}, {outcome.goods} goods",
            PEER if outcome.peer is not None else "",
            1e3 * ours,
            None if outcome.peer is None else 1e3 * outcome.peer,
            None if outcome.peer is None else outcome.peer / ours,
            times_real=seconds / ours,
            note=note,
            panel=panel,
            ours_wall_ms=1e3 * statistics.median(outcome.wall),
            peer_wall_ms=None if outcome.peer_wall is None else 1e3 * outcome.peer_wall,
            at={"robots": outcome.robots, "goods": outcome.goods, "area": job.case.get("area")}.get(panel),
        )
    ]


def _conditions(repeat: int, seed: int) -> dict[str, str]:
    return {
        "episode": "30 s, control at 20 Hz, physics at 240 Hz; 360 beams at 10 Hz on every robot, with noise; one "
        "robot takes 5 pictures a second, with noise, depth and ids; 4 people; the scripted driver on both sides",
        "written": "record, all scans, pictures as JPEG: by both sides",
        "counted": "processor time of all of it, reset and writing too; the hall is the same in all episodes and "
        f"known, unless it says new; median of {repeat} episodes, the peer's once, in the same process",
        "peer": "every solid a body, robots with wheel joints, rayTestBatch, TinyRenderer with shadows; no noise, "
        "odometry, IMU, tasks or KPIs; people are played back",
        "machine": f"{cpu_name()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}, one core for each side",
        "seed": str(seed),
    }
