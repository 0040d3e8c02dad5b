"""What a worker does for one episode. Pure in its job: no clock, no shared state, whole files only."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.config import config_hash
from ..episodes.loop import Capture, run_episode
from ..episodes.record import EpisodeRecord
from ..episodes.scenario import Scenario
from ..episodes.stock_file import write_floor
from ..episodes.store import save_record
from ..episodes.telemetry import Telemetry, save_telemetry
from ..perception.datasets.shards import ShardWriter
from ..perception.labels import LabelledFrame, label_frame
from ..policies.registry import load_policy
from ..robots.twin import Twin

RECORD_FOLDER = "episodes"
DATASET_FOLDER = "dataset"
SHARD_FOLDER = "shards"
TELEMETRY_FOLDER = "telemetry"
"""Holds a folder of telemetry for each episode, if the scenario gives its robots a condition."""
FLOOR_FOLDER = "floor"
"""Holds a folder with orders and stock for each episode, if the scenario has orders."""


@dataclass(frozen=True)
class EpisodeJob:
    """One episode to run.

    Attributes:
        scenario, twin, policy, seed, index: what decides the result.
        scenario_name, twin_name: as the user wrote them, for the repro line.
        folder: the run's output folder, seen by every worker.
        record: whether to keep the episode's record.
        dataset: whether to write labelled pictures.
        frames: pictures to keep at most, from the first on.
        run: id of the run, so that shards of different runs never mix.
    """

    scenario: Scenario
    scenario_name: str
    twin: Twin | None
    policy: str
    seed: int
    index: int
    folder: Path
    record: bool
    dataset: bool
    frames: int | None = None
    run: str = ""
    twin_name: str | None = None

    @property
    def repro(self) -> str:
        """The command that runs this episode alone."""
        words = ["floorcast", "rollout", self.scenario_name, "--policy", self.policy]
        words += ["--seed", str(self.seed), "--episode", str(self.index)]
        words += ["--twin", self.twin_name] if self.twin_name is not None else []
        return shlex.join(words)


@dataclass(frozen=True)
class EpisodeResult:
    """What a worker sends back: small, so that nothing big crosses Ray's object store.

    Attributes:
        kpis: of the episode.
        artefacts: SHA-256 of the files written, by path relative to the run folder.
        frames: labelled pictures written.
    """

    kpis: dict[str, float | None]
    artefacts: dict[str, str]
    frames: int


def record_path(folder: Path, index: int) -> Path:
    """Return where the record of an episode is kept."""
    return folder / RECORD_FOLDER / f"{index:06d}.npz"


def run_job(job: EpisodeJob) -> EpisodeResult:
    """Run one episode, writing its record and its labelled pictures if asked.

    Raises:
        InputError: the disk is full or the scenario cannot be realised.
    """
    if not job.dataset:
        record, telemetry = _run(job, None)
        return EpisodeResult(dict(record.kpis), {**_keep(job, record), **telemetry}, 0)
    with ShardWriter(
        job.folder / DATASET_FOLDER,
        job.index,
        shards=job.folder / SHARD_FOLDER,
        run=job.run,
        metadata=episode_metadata(job),
    ) as writer:
        kept = 0

        def capture(taken: Capture) -> None:
            nonlocal kept
            if job.frames is None or kept < job.frames:
                kept += 1
                writer.add(_labelled(job.index, taken))

        record, telemetry = _run(job, capture)
        artefacts = {**_keep(job, record), **telemetry}
    return EpisodeResult(dict(record.kpis), artefacts, kept)


def episode_metadata(job: EpisodeJob) -> dict[str, Any]:
    """Return what a dataset says of an episode's origin."""
    return {
        "seed": job.seed,
        "scenario": job.scenario.name,
        "scenario_hash": config_hash(job.scenario),
        "twin_version": job.twin.version if job.twin is not None else None,
        "policy": job.policy,
    }


def _run(job: EpisodeJob, capture: Callable[[Capture], None] | None) -> tuple[EpisodeRecord, dict[str, str]]:
    """Run the episode and write its telemetry, if there is any; returns the record, and checksums by path."""
    written: dict[str, str] = {}

    def keep(telemetry: Telemetry) -> None:
        folder = job.folder / TELEMETRY_FOLDER / f"{job.index:06d}"
        for path in save_telemetry(telemetry, folder):
            written[str(path.relative_to(job.folder))] = file_sha256(path)

    record = run_episode(
        job.scenario,
        load_policy(job.policy),
        policy_name=job.policy,
        seed=job.seed,
        index=job.index,
        twin=job.twin,
        capture=capture,
        telemetry=keep,
    )
    return record, written


def _labelled(episode: int, taken: Capture) -> LabelledFrame:
    return LabelledFrame(
        episode=episode,
        robot=taken.robot,
        number=taken.number,
        time=taken.time,
        frame=taken.frame,
        labels=label_frame(taken.frame, taken.world),
        points=taken.points,
        lidar_position=taken.lidar_position,
        lidar_rotation=taken.lidar_rotation,
        point_class=taken.point_class,
        point_instance=taken.point_instance,
    )


def _keep(job: EpisodeJob, record: EpisodeRecord) -> dict[str, str]:
    """Write the record if asked, with orders and stock as tables, and return checksums by path."""
    if not job.record:
        return {}
    path = record_path(job.folder, job.index)
    save_record(record, path)
    written = [path]
    if record.floor is not None:
        written += write_floor(record.floor, job.folder / FLOOR_FOLDER / f"{job.index:06d}")
    return {str(file.relative_to(job.folder)): file_sha256(file) for file in written}


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_whole(folder: Path, artefacts: Mapping[str, str]) -> bool:
    """Return whether all files of a finished episode, SHA-256 by path, are in the run folder as they were written."""
    return all((folder / path).is_file() and file_sha256(folder / path) == digest for path, digest in artefacts.items())


def result_dict(result: EpisodeResult) -> dict[str, Any]:
    """Return what the ledger keeps of a result."""
    return {"kpis": result.kpis, "frames": result.frames}
