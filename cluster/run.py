"""Runs of many episodes: farm what the ledger lacks, then give every finished episode in order of its index."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..common.config import config_hash, save_model
from ..common.errors import FloorcastError, InputError
from ..episodes.policy import Policy
from ..episodes.scenario import Scenario, load_scenario
from ..perception.datasets.shards import CHECKSUM_FILE
from ..policies.registry import BUILT_IN, load_policy
from ..robots.twin import Twin, load_twin
from .farm import farm
from .jobs import DATASET_FOLDER, EpisodeJob, EpisodeResult, file_sha256, result_dict, run_job
from .progress import progress
from .run_folder import LedgerEntry, RunFolder
from .warm import compiling_ahead

SCENARIO_FILE, TWIN_FILE = "scenario.yaml", "twin.yaml"
"""What a run with records was made with, in its folder."""


@dataclass(frozen=True)
class EpisodePlan:
    """Which episodes to run, with what.

    Attributes:
        scenario_name: a built-in name or a file, as the user wrote it.
        scenario: what it holds.
        twin: calibrated parameters, or None for the robot model's own.
        policy: name of the policy (see ``policies.load_policy``).
        seed: of the run.
        episodes: indices of the episodes.
        policy_hash: SHA-256 of the file that holds the policy's class; None for a built-in one, which the version of
            Floorcast stands for.
        twin_name: the twin's file as the user wrote it.
    """

    scenario_name: str
    scenario: Scenario
    twin: Twin | None
    policy: str
    seed: int
    episodes: tuple[int, ...]
    policy_hash: str | None = None
    twin_name: str | None = None

    def identity(self) -> dict[str, Any]:
        """Return all that decides the results, for the run folder; a run may be continued with more episodes."""
        return {
            "scenario": self.scenario.name,
            "scenario_hash": config_hash(self.scenario),
            "twin_hash": config_hash(self.twin) if self.twin is not None else None,
            "policy": self.policy,
            "policy_hash": self.policy_hash,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class Resources:
    """Where and with how many workers a run is done; never part of its identity."""

    workers: int
    address: str | None = None
    attempts: int = 3
    timeout_s: float = 900.0


@dataclass(frozen=True)
class RunOutcome:
    """All episodes of a run in order of index.

    Attributes:
        done: ledger entries of the finished ones.
        failed: of those that failed every attempt.
        wall_s: seconds that this call took; ``fresh``: episodes that this call ran (the others were there).
    """

    done: list[LedgerEntry]
    failed: list[LedgerEntry]
    wall_s: float
    fresh: int

    @property
    def kpis(self) -> list[dict[str, float | None]]:
        """KPIs of the finished episodes."""
        return [entry.result["kpis"] for entry in self.done]


def make_plan(
    scenario: str, *, policy: str, seed: int, episodes: tuple[int, ...], twin: Path | None = None
) -> EpisodePlan:
    """Load what the user named; raises InputError before anything is written."""
    loaded = load_scenario(scenario)
    made_by = load_policy(policy)
    return EpisodePlan(
        scenario_name=scenario,
        scenario=loaded,
        twin=load_twin(twin) if twin is not None else None,
        policy=policy,
        seed=seed,
        episodes=episodes,
        policy_hash=_policy_hash(policy, made_by),
        twin_name=str(twin) if twin is not None else None,
    )


def run_episodes(
    plan: EpisodePlan,
    folder: RunFolder,
    resources: Resources,
    *,
    title: str,
    record: bool,
    frames: Callable[[int], int] | None = None,
    is_whole: Callable[[LedgerEntry], bool] = lambda entry: True,
) -> RunOutcome:
    """Run the episodes of a plan that the ledger does not hold yet.

    Args:
        plan: what to run.
        folder: the open run folder.
        resources: workers.
        title: shown with the progress bar.
        record: whether records are kept.
        frames: pictures to keep of each episode by index, or None for no dataset.
        is_whole: whether the artefacts of a finished entry are still there.

    Raises:
        OutputError: the folder cannot be written (a full disk, say).
        InputError: no episode could be run, for what the user gave (a hall without room for the robots, say).
        FloorcastError: every episode failed otherwise; the message holds the first traceback.
    """
    started = time.perf_counter()
    if record:
        _keep_inputs(plan, folder.path)
    entries = folder.entries()
    finished = {
        index: entries[index]
        for index in plan.episodes
        if index in entries and entries[index].status == "done" and is_whole(entries[index])
    }
    jobs = [(index, _job(plan, folder, index, record, frames)) for index in plan.episodes if index not in finished]
    if jobs and frames is not None:
        # A dataset put together without these episodes (they failed, or their files are gone) is not finished any more.
        (folder.path / DATASET_FOLDER / CHECKSUM_FILE).unlink(missing_ok=True)
    failed: list[LedgerEntry] = []
    refused: dict[int, InputError] = {}
    workers_here = bool(jobs) and resources.address is None and resources.workers > 0
    ahead = compiling_ahead(pictures=frames is not None) if workers_here else contextlib.nullcontext()
    with progress(title, len(plan.episodes), done=len(finished)) as advance, ahead:
        outcomes = farm(
            run_job,
            jobs,
            workers=min(resources.workers, max(len(jobs), 1)) if resources.address is None else resources.workers,
            address=resources.address,
            attempts=resources.attempts,
            timeout_s=resources.timeout_s,
        )
        by_index = dict(jobs)
        for outcome in outcomes:
            entry = LedgerEntry(
                episode=outcome.index,
                seed=plan.seed,
                status="done" if outcome.traceback is None else "failed",
                attempts=outcome.attempts,
                wall_s=round(outcome.wall_s, 3),
                repro=by_index[outcome.index].repro,
                traceback=outcome.traceback,
            )
            if isinstance(outcome.value, EpisodeResult):
                entry = replace(entry, artefacts=outcome.value.artefacts, result=result_dict(outcome.value))
                finished[outcome.index] = entry
            else:
                failed.append(entry)
                if outcome.bad_input is not None:
                    refused[outcome.index] = outcome.bad_input
            folder.append(entry)
            advance(1)
    failed.sort(key=lambda entry: entry.episode)
    if failed and not finished:
        first = failed[0]
        if len(refused) == len(failed):
            raise refused[first.episode]
        raise FloorcastError(
            f"all {len(failed)} episodes failed; the first, episode {first.episode}:\n{first.traceback}\n"
            f"run it alone: {first.repro}"
        )
    return RunOutcome(
        done=[finished[index] for index in sorted(finished)],
        failed=failed,
        wall_s=time.perf_counter() - started,
        fresh=len(jobs) - len(failed),
    )


def _keep_inputs(plan: EpisodePlan, folder: Path) -> None:
    """Write down the scenario and the twin as they were read: records mean little without them, and files change."""
    for name, model in ((SCENARIO_FILE, plan.scenario), (TWIN_FILE, plan.twin)):
        if model is not None and not (folder / name).exists():
            save_model(model, folder / name)


def _job(
    plan: EpisodePlan, folder: RunFolder, index: int, record: bool, frames: Callable[[int], int] | None
) -> EpisodeJob:
    return EpisodeJob(
        scenario=plan.scenario,
        scenario_name=plan.scenario_name,
        twin=plan.twin,
        policy=plan.policy,
        seed=plan.seed,
        index=index,
        folder=folder.path.resolve(),
        record=record,
        dataset=frames is not None,
        frames=frames(index) if frames is not None else None,
        run=folder.run_id,
        twin_name=plan.twin_name,
    )


def _policy_hash(name: str, made_by: Callable[[], Policy]) -> str | None:
    """Return the SHA-256 of the file that a user's policy is in: with other code the same name is another run."""
    if name.strip() in BUILT_IN:
        return None
    file = getattr(sys.modules.get(made_by.__module__), "__file__", None)
    return file_sha256(Path(file)) if file is not None else None
