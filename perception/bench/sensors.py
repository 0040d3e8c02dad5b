"""Sensors against their peers on one generated hall in one run: times, ratios, and a check that all see the same.

What is compared is a call that places all moving bodies and then scans or takes a picture, on both sides; see
``compare`` for the turns, ``worker`` for cores and processes, and the module of each peer for how it is used and what
it read for it.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...common.errors import InputError
from .compare import SENSORS, Comparison, sensor_case
from .hall import PEOPLE, ROBOTS, SENSOR_POSES, BenchHall, bench_hall
from .worker import MODULES, OURS, Job, Outcome

BATCH = 8
"""Sensors served at once with all cores, and lidars on one core."""
JOB_SECONDS = 600.0
"""A peer that takes longer for one number of cores is given up; compiling our kernels the first time is within it."""

__all__ = ["BenchHall", "BenchRow", "SensorBench", "bench_hall", "bench_sensors"]


@dataclass(frozen=True)
class BenchRow:
    """One comparison, or the reason why there is none.

    Attributes:
        name: of the sensor. peer: against what; "Floorcast, ..." is ours with more than geometry.
        ours_ms, peer_ms: median time [ms] of one scan or picture, moving bodies placed; ours is geometry only.
        ratio: peer / ours. cores: of both sides. batch: sensors served at once (times are of one).
        ours_min_ms, peer_min_ms, ratio_min: the same of the fastest calls.
        agree, agree_near, agree_ids, shadows, note: see ``compare.Comparison``.
        skipped: why the peer was left out, or "".
    """

    name: str
    peer: str
    ours_ms: float | None
    peer_ms: float | None
    ratio: float | None
    cores: int
    batch: int = 1
    ours_min_ms: float | None = None
    peer_min_ms: float | None = None
    ratio_min: float | None = None
    agree: float | None = None
    agree_near: float | None = None
    agree_ids: float | None = None
    shadows: bool = True
    note: str = ""
    skipped: str = ""


@dataclass(frozen=True)
class SensorBench:
    """All comparisons of a run, and the conditions that they hold under."""

    rows: list[BenchRow]
    conditions: dict[str, str] = field(default_factory=dict)


def bench_sensors(
    *,
    repeat: int = 15,
    seed: int = 0,
    peers: Sequence[str] = (),
    sensors: Sequence[str] = (),
    cores: Sequence[int] = (),
    tell: Callable[[str], None] | None = None,
) -> SensorBench:
    """Time the sensors against the peers.

    Args:
        repeat: timed repetitions at each pose of each sensor; slow ones get fewer.
        seed: of the hall.
        peers: names (``worker.MODULES``) or "ours" (noise and labels against geometry only); none for all.
        sensors: names (``compare.sensor_case``); none for the four of ``compare.SENSORS``.
        cores: numbers of cores; none for one and all.
        tell: is told what runs.

    Returns:
        A row for each sensor, peer and number of cores; a peer that is missing or fails has a row with the reason.

    Raises:
        InputError: ``repeat`` below 1, or a peer, sensor or number of cores that there is not.
    """
    jobs = _jobs(repeat, seed, peers, sensors, cores)
    rows: list[BenchRow] = []
    versions: dict[str, str] = {}
    for number, job in enumerate(jobs):
        if tell is not None:
            how = f"{_cores(job.cores)}, {'one by one' if job.batch == 1 else f'batches of {job.batch}'}"
            tell(f"{number + 1} of {len(jobs)}: {job.peer}, {how}")
        outcome = run_apart(job)
        rows += [bench_row(item) for item in outcome.comparisons]
        if outcome.reason:
            rows.append(BenchRow("all" if not outcome.comparisons else "the rest", job.peer, None, None, None,
                                 job.cores, job.batch, skipped=outcome.reason))  # fmt: skip
        if outcome.version:
            versions[job.peer] = outcome.version
    order = {name: place for place, name in enumerate(SENSORS)}
    rows.sort(key=lambda row: (row.cores, row.batch, order.get(row.name, len(order))))
    return SensorBench(rows, _conditions(seed, rows, versions))


def bench_row(item: Comparison) -> BenchRow:
    """Return a comparison as a row."""
    return BenchRow(
        **asdict(item),
        ratio=item.peer_ms / item.ours_ms,
        ratio_min=item.peer_min_ms / item.ours_min_ms,
    )


def run_apart(job: Job, *, seconds: float = JOB_SECONDS) -> Outcome:
    """Do a job in a process of its own; a crash or a hang gives an outcome with its reason."""
    with tempfile.TemporaryDirectory(prefix="floorcast_bench_") as folder:
        source, target, log = (Path(folder) / name for name in ("job.json", "outcome.json", "log.txt"))
        source.write_text(json.dumps(asdict(job)))
        command = [sys.executable, "-m", f"{__package__}.worker", str(source), str(target)]
        with log.open("w") as output:
            try:
                code = subprocess.run(
                    command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=_environment(job.cores),
                    timeout=seconds, check=False,
                ).returncode  # fmt: skip
            except subprocess.TimeoutExpired:
                return Outcome([], reason=f"took more than {seconds:.0f} s")
        if code != 0 or not target.exists():
            last = [line for line in log.read_text(errors="replace").splitlines() if line.strip()][-1:]
            return Outcome([], reason=f"ended with code {code}: {last[0].strip() if last else 'no message'}")
        found: dict[str, Any] = json.loads(target.read_text())
    found["comparisons"] = [Comparison(**item) for item in found["comparisons"]]
    return Outcome(**found)


def _jobs(repeat: int, seed: int, peers: Sequence[str], sensors: Sequence[str], cores: Sequence[int]) -> list[Job]:
    if repeat < 1:
        raise InputError(f"repeat is {repeat}", where="bench sensors", mend="give at least 1")
    known = (OURS, *MODULES)
    for name in peers:
        if name not in known:
            raise InputError(f"there is no peer {name!r}", where="bench sensors", mend=f"one of {', '.join(known)}")
    for name in sensors:
        sensor_case(name)
    processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    most = len(processors) or os.cpu_count() or 1
    if any(not 1 <= count <= most for count in cores):
        raise InputError(f"cores are {list(cores)}", where="bench sensors", mend=f"give 1 to {most}")
    counts = tuple(dict.fromkeys(cores or (1, most)))
    lidars = tuple(name for name in sensors or SENSORS if name.startswith("lidar"))
    # On one core lidars are served one by one, and then as a fleet's are: all in one call.
    kinds = [(1, 1, tuple(sensors)), (1, BATCH, lidars)] if 1 in counts else []
    kinds += [(count, BATCH, tuple(sensors)) for count in counts if count > 1]
    return [
        Job(
            peer=peer,
            cores=count,
            processor=processors[-1] if count == 1 and processors else -1,
            sensors=names,
            seed=seed,
            repeat=repeat,
            places=SENSOR_POSES if batch == 1 else 2,
            batch=batch,
            check=batch == 1 or count > 1,
        )
        for count, batch, names in kinds
        for peer in known
        if (not peers or peer in peers) and (names or batch == 1 or count > 1)
    ]


def _environment(cores: int) -> dict[str, str]:
    """Return the environment of a worker: as many threads as cores for every library that reads it from there."""
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "NUMBA_NUM_THREADS",
        "FLOORCAST_THREADS",
    ):
        environment[name] = str(cores)
    # llvmpipe with no thread of its own draws in the caller's.
    environment["LP_NUM_THREADS"] = "0" if cores == 1 else str(cores)
    return environment


def _conditions(seed: int, rows: list[BenchRow], versions: dict[str, str]) -> dict[str, str]:
    hall = bench_hall(seed)
    scene = hall.scene
    flat = sorted({row.peer for row in rows if not row.shadows})
    checked = [row for row in rows if row.agree_near is not None]
    worst = min(checked, key=lambda row: row.agree_near or 0.0, default=None)
    conditions = {
        "hall": f"{hall.length:.0f} x {hall.width:.0f} m, seed {seed}, {scene.static_count} static solids",
        "moving": f"{len(hall.parts)} parts of {ROBOTS} robots and {PEOPLE} people, placed anew for every scan and "
        f"picture on both sides; {len(scene.moving) - len(hall.parts)} solids of loose goods too on our side",
        "picture": "RGB, depth, instance and class ids, with shadows"
        + (f"; without shadows: {', '.join(flat)}" if flat else "")
        + "; PyBullet's has no ids of goods in a compound; ours alone has materials and textures",
        "times": "median, Python calls included; peers' rays are laid out beforehand; one core: one thread on one "
        f"processor for each side, one sensor at a time and lidars also in batches of {BATCH}; more cores: batches of "
        f"{BATCH} sensors; times are of one sensor",
        "machine": f"{cpu_name()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}",
        "peers": ", ".join(f"{name} {version}" for name, version in versions.items()) or "none",
    }
    if worst is not None:
        ids = min((row.agree_ids for row in rows if row.agree_ids is not None), default=1.0)
        conditions["check"] = (
            "least agreement within 1 cm, worst pose, with leave at edges: "
            f"{100 * (worst.agree_near or 0.0):.2f} % ({worst.peer}, {worst.name}); of ids {100 * ids:.2f} %"
        )
    return conditions


def _cores(count: int) -> str:
    return "one core" if count == 1 else f"{count} cores"


def cpu_name() -> str:
    """Return what the processor calls itself."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
