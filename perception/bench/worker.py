"""One peer against ours in a process of its own: ``python -m floorcast.perception.bench.worker JOB RESULT``.

Each peer and number of cores gets a process, for three reasons: libraries that bring their own LLVM and OpenGL do not
get into each other's way; a peer that crashes or hangs costs its own rows and no others; and *one core* is meant for
everybody: the process ties itself to one processor before any library is loaded, so that all threads that libraries
start share it, and numbers of threads (OpenMP, Embree, llvmpipe, ours) are set to one besides. Within the process the
two sides take turns.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .compare import Comparison

MODULES = {
    "pybullet": ("pybullet_peer", "PyBulletPeer", "pybullet"),
    "open3d": ("open3d_peer", "Open3DPeer", "open3d"),
    "embreex": ("embreex_peer", "EmbreexPeer", "embreex"),
    "mujoco": ("mujoco_peer", "MujocoPeer", "mujoco"),
    "warp": ("warp_peer", "WarpPeer", "warp-lang"),
    "moderngl": ("moderngl_peer", "ModernGLPeer", "moderngl"),
}
"""Module, class and distribution of each peer."""
OURS = "ours"
"""The name of the job that times our own variants against each other."""


@dataclass(frozen=True)
class Job:
    """What a worker does.

    Attributes:
        peer: a key of MODULES, or OURS. cores: threads of both sides.
        processor: the processor to stay on, or -1 for any.
        sensors: names of sensors (``compare.sensor_case``), none for the four of ``compare.SENSORS``.
        seed, area, annex, robots: of the hall (``hall.bench_hall``).
        repeat: timed calls at each of ``places`` sensor poses. batch: sensors that are served at once.
        seconds: about how long one comparison may take. check: compare what both see, too.
    """

    peer: str
    cores: int = 1
    processor: int = -1
    sensors: tuple[str, ...] = ()
    seed: int = 0
    area: float = 1000.0
    annex: float = 0.0
    robots: int = 8
    repeat: int = 15
    places: int = 4
    batch: int = 1
    seconds: float = 2.5
    check: bool = True


@dataclass(frozen=True)
class Outcome:
    """What a worker found: comparisons, the number of static solids, the peer's version, why there is not all of it."""

    comparisons: list[Comparison]
    solids: int = 0
    version: str = ""
    reason: str = ""
    seconds: float = 0.0


def run_job(job: Job) -> Outcome:
    """Do a job in this process; a peer that is not there, or fails, gives an outcome with its reason."""
    import importlib

    from .compare import compare_ours, compare_peer
    from .hall import bench_hall
    from .peer import PeerUnavailable

    start = time.perf_counter()
    hall = bench_hall(job.seed, area=job.area, annex=job.annex, robots=job.robots)
    solids = hall.scene.static_count
    if job.peer == OURS:
        return Outcome(compare_ours(job, hall), solids, seconds=time.perf_counter() - start)
    module, name, package = MODULES[job.peer]
    rows: list[Comparison] = []
    reason = ""
    try:
        make = getattr(importlib.import_module(f".{module}", __package__), name)
        with make(hall, job.cores) as peer:
            for row in compare_peer(job, hall, peer):
                rows.append(row)
    except PeerUnavailable as error:
        reason = str(error).splitlines()[0]
    except Exception as error:  # a peer's failure is a row, never a crash
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
    return Outcome(rows, solids, _version(package), reason, time.perf_counter() - start)


def _version(package: str) -> str:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def main(arguments: list[str]) -> None:
    """Read a job from a JSON file, do it and write the outcome into another."""
    source, target = arguments
    given: dict[str, Any] = json.loads(Path(source).read_text())
    job = Job(**{**given, "sensors": tuple(given["sensors"])})
    if job.processor >= 0 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {job.processor})
    outcome = run_job(job)
    Path(target).write_text(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    main(sys.argv[1:])
