"""Labelled datasets of a given number of pictures, the same bytes whatever the workers and interruptions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import __version__
from ..common.errors import InputError
from ..perception.datasets.shards import DatasetSummary, ShardManifest, assemble_dataset, find_shard
from .jobs import DATASET_FOLDER, SHARD_FOLDER
from .run import EpisodePlan, Resources, RunOutcome, make_plan, run_episodes
from .run_folder import LedgerEntry, RunFolder, open_run


@dataclass(frozen=True)
class GenerateResult:
    """What a generation run left: its folder, summary (as in ``summary.json``) and the episodes that failed."""

    folder: Path
    summary: dict[str, Any]
    failed: list[LedgerEntry]


def generate(
    scenario: str,
    *,
    frames: int,
    seed: int,
    out: Path | None,
    resources: Resources,
    policy: str = "navigator",
    twin: Path | None = None,
    license_name: str | None = None,
    resume: bool = True,
) -> GenerateResult:
    """Generate a labelled dataset of exactly so many pictures.

    Args:
        scenario: built-in name or file.
        frames: pictures; the last episode gives fewer if they do not divide.
        seed: of the run.
        out: the run folder; the dataset goes to ``dataset/`` in it.
        resources: workers.
        policy: what drives the robots that carry the cameras.
        twin: twin file, or None.
        license_name: licence to write into the dataset, or None for none.
        resume: whether a started run is continued.

    Raises:
        InputError: bad input; nothing is written that a later run would take for a result.
    """
    if frames < 1:
        raise InputError(f"{frames} frames asked for", where="--frames", mend="ask for at least 1")
    plan = _plan(scenario, frames, seed, policy, twin)
    identity = {**plan.identity(), "frames": frames, "license": license_name}
    with open_run(out, "generate", identity, resume=resume) as folder:
        outcome = run_episodes(
            plan,
            folder,
            resources,
            title=f"generate {plan.scenario.name}",
            record=False,
            frames=lambda index: frames_of(plan, frames, index),
            is_whole=lambda entry: shard_of(folder, entry.episode) is not None,
        )
        dataset = put_together(folder, plan, outcome, license_name)
        summary = dataset_summary(dataset, outcome)
        folder.write_summary(summary)
    return GenerateResult(folder.path, summary, outcome.failed)


def frames_of(plan: EpisodePlan, frames: int, index: int) -> int:
    """Return how many pictures an episode contributes to ``frames`` in all."""
    per_episode = plan.scenario.capture.frames
    return max(0, min(per_episode, frames - index * per_episode))


def shard_of(folder: RunFolder, index: int) -> ShardManifest | None:
    """Return the finished shard of an episode, or None."""
    return find_shard(folder.path / DATASET_FOLDER, index, shards=folder.path / SHARD_FOLDER, run=folder.run_id)


def put_together(folder: RunFolder, plan: EpisodePlan, outcome: RunOutcome, license_name: str | None) -> DatasetSummary:
    """Assemble the dataset of all finished episodes, in order.

    Raises:
        InputError: files of a finished episode are gone or damaged, or the disk is full.
    """
    shards = []
    for entry in outcome.done:
        shard = shard_of(folder, entry.episode)
        if shard is None:
            raise InputError(
                f"files of episode {entry.episode}, which was finished, are gone",
                where=str(folder.path),
                mend="run the same command again: the episode will be done anew",
            )
        shards.append(shard)
    info = {
        "description": f"Synthetic warehouse pictures, scenario {plan.scenario.name}",
        "generator": f"floorcast {__version__}",
        "seed": plan.seed,
        **{key: value for key, value in plan.identity().items() if key.endswith("_hash")},
    }
    return assemble_dataset(folder.path / DATASET_FOLDER, shards, info=info, license=license_name)


def dataset_summary(dataset: DatasetSummary, outcome: RunOutcome) -> dict[str, Any]:
    """Return the contract's summary of a generation run; the rate counts everything that this call did."""
    fresh_frames = dataset.frames * outcome.fresh / max(len(outcome.done), 1)
    return {
        "frames": dataset.frames,
        "objects": dataset.objects,
        "episodes": len(outcome.done),
        "episodes_failed": len(outcome.failed),
        "frames_per_s": round(fresh_frames / outcome.wall_s, 3) if outcome.fresh else None,
        "bytes": dataset.bytes,
        "content_hash": dataset.content_hash,
    }


def _plan(scenario: str, frames: int, seed: int, policy: str, twin: Path | None) -> EpisodePlan:
    first = make_plan(scenario, policy=policy, seed=seed, episodes=(0,), twin=twin)
    per_episode = first.scenario.capture.frames
    if per_episode < 1:
        raise InputError(
            "the scenario takes no pictures", where=f"{scenario}, field 'capture.frames'", mend="set it to 1 or more"
        )
    episodes = tuple(range(-(-frames // per_episode)))
    return replace(first, episodes=episodes)
