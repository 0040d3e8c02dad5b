"""Running a policy over many episodes, and judging it by gates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..common.errors import InputError
from ..episodes.record import EpisodeRecord
from ..episodes.store import load_record
from ..validation.gates import Verdict, evaluate_gates, load_gates
from ..validation.junit import write_junit
from ..validation.kpis import KpiEstimate, aggregate
from .jobs import is_whole, record_path
from .run import EpisodePlan, Resources, RunOutcome, make_plan, run_episodes
from .run_folder import LedgerEntry, RunFolder, open_run


@dataclass(frozen=True)
class RolloutResult:
    """Episodes that were run: folder, plan, ledger entries, KPIs over all of them."""

    folder: Path
    plan: EpisodePlan
    outcome: RunOutcome
    estimates: list[KpiEstimate]
    summary: dict[str, Any]

    def record(self, entry: LedgerEntry) -> EpisodeRecord:
        """Read the record of an episode."""
        return load_record(record_path(self.folder, entry.episode))


@dataclass(frozen=True)
class ValidationResult:
    """A rollout, the verdict of the gates on it, and the JUnit file."""

    rollout: RolloutResult
    verdict: Verdict
    junit: Path


def rollout(
    scenario: str,
    *,
    policy: str,
    episodes: tuple[int, ...],
    seed: int,
    out: Path | None,
    resources: Resources,
    twin: Path | None = None,
    resume: bool = True,
) -> RolloutResult:
    """Run episodes, keep their records and sum up their KPIs.

    Args:
        scenario: built-in name or file.
        policy: see ``policies.load_policy``.
        episodes: indices.
        seed: of the run.
        out: run folder, or None for the default one.
        resources: workers.
        twin: twin file, or None.
        resume: whether a started run is continued.

    Raises:
        InputError: bad input.
        FloorcastError: every episode failed.
    """
    plan = _checked_plan(scenario, policy, seed, episodes, twin)
    with open_run(out, "rollout", plan.identity(), resume=resume) as folder:
        result = _run(plan, folder, resources)
        folder.write_summary(result.summary)
    return result


def validate(
    scenario: str,
    *,
    policy: str,
    gates: str,
    episodes: int,
    seed: int,
    out: Path | None,
    resources: Resources,
    twin: Path | None = None,
    resume: bool = True,
) -> ValidationResult:
    """Run episodes and judge them by gates. The same folder takes more episodes, or other gates, later.

    Episodes that could not be run tell nothing about the policy: with any of them a pass becomes inconclusive.

    Args:
        gates: built-in name or ``gates.yaml``.
        episodes: how many, from index 0 on.
        scenario, policy, seed, out, resources, twin, resume: as for ``rollout``.

    Raises:
        InputError: bad input.
        FloorcastError: every episode failed.
    """
    gate_file = load_gates(gates)
    plan = _checked_plan(scenario, policy, seed, tuple(range(episodes)), twin)
    with open_run(out, "validate", plan.identity(), resume=resume) as folder:
        result = _run(plan, folder, resources)
        verdict = evaluate_gates(gate_file, result.outcome.kpis, seed=seed, not_run=len(result.outcome.failed))
        junit = folder.path / "junit.xml"
        write_junit(junit, verdict)
        rows = [row.as_dict() for row in verdict.rows]
        gated = {row.metric for row in verdict.rows}
        others = [estimate.as_dict() for estimate in result.estimates if estimate.name not in gated]
        result.summary.update({**verdict.as_dict(), "kpis": rows + others})
        folder.write_summary(result.summary)
    return ValidationResult(result, verdict, junit)


def _checked_plan(scenario: str, policy: str, seed: int, episodes: tuple[int, ...], twin: Path | None) -> EpisodePlan:
    if not episodes:
        raise InputError("no episodes asked for", where="--episodes", mend="ask for at least 1")
    return make_plan(scenario, policy=policy, seed=seed, episodes=episodes, twin=twin)


def _run(plan: EpisodePlan, folder: RunFolder, resources: Resources) -> RolloutResult:
    outcome = run_episodes(
        plan,
        folder,
        resources,
        title=f"{plan.policy} in {plan.scenario.name}",
        record=True,
        is_whole=lambda entry: is_whole(folder.path, entry.artefacts),
    )
    estimates = aggregate(outcome.kpis, seed=plan.seed)
    summary = {
        "scenario": plan.scenario.name,
        "policy": plan.policy,
        "seed": plan.seed,
        "twin": plan.twin.version if plan.twin is not None else None,
        "episodes": len(outcome.done),
        "episodes_failed": [entry.episode for entry in outcome.failed],
        "episodes_per_s": round(outcome.fresh / outcome.wall_s, 3) if outcome.fresh else None,
        "kpis": [estimate.as_dict() for estimate in estimates],
    }
    return RolloutResult(folder.path, plan, outcome, estimates, summary)
