"""The main job on one page: random episodes, a labelled dataset, a verdict, and the gap of a real logged robot."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from .. import __version__
from ..common.errors import InputError
from ..episodes.randomization import sample_scenario
from ..episodes.store import load_record
from ..gap.holdout import TRAIN_SHARE
from ..gap.readers import read_log
from ..gap.run import CalibrationResult
from ..layouts.drawing import plan_svg
from ..perception.datasets.overlay import draw_labels
from ..perception.datasets.reader import DatasetReader
from ..perception.datasets.shards import DatasetSummary
from ..robots.twin import save_twin
from ..validation.gates import Verdict, evaluate_gates, load_gates
from ..validation.kpis import KpiEstimate, aggregate
from ..validation.report import (
    Failure,
    GapSection,
    ReportData,
    TrajectoryPlot,
    TwinParameter,
    pair_metrics,
    write_report,
)
from .field import WHOLE_PATH, calibrate_split
from .field_logs import Rows
from .generate import frames_of, put_together, shard_of
from .jobs import DATASET_FOLDER, is_whole, record_path
from .run import EpisodePlan, Resources, RunOutcome, make_plan, run_episodes
from .run_folder import LedgerEntry, RunFolder

SCENARIO = "nominal"
POLICY = "navigator"
GATES = "demo"
FIELD_LOG = "tricycle"
SAMPLE_FRAMES = 6
GAP_METRICS = ("pos_end_err", "yaw_end_err", "ate_rmse", *WHOLE_PATH)


@dataclass(frozen=True)
class DemoResult:
    """What the demo left: folder, page, a short table and the summary."""

    folder: Path
    report: Path
    rows: Rows
    summary: dict[str, Any]


def run_demo(*, out: Path, seed: int, episodes: int, resources: Resources) -> DemoResult:
    """Run the demo and write ``report.html``, ``summary.json``, ``dataset/`` and ``twin.yaml``.

    Raises:
        InputError: the output folder holds another run, or cannot be written.
    """
    plan = make_plan(SCENARIO, policy=POLICY, seed=seed, episodes=tuple(range(episodes)))
    frames = episodes * plan.scenario.capture.frames
    identity = {**plan.identity(), "episodes": episodes}
    with RunFolder(out, "demo", identity) as folder:
        outcome = run_episodes(
            plan,
            folder,
            resources,
            title="demo: episodes",
            record=True,
            frames=lambda index: frames_of(plan, frames, index),
            is_whole=lambda entry: (
                shard_of(folder, entry.episode) is not None and is_whole(folder.path, entry.artefacts)
            ),
        )
        dataset = put_together(folder, plan, outcome, None)
        verdict = evaluate_gates(load_gates(GATES), outcome.kpis, seed=seed, not_run=len(outcome.failed))
        estimates = aggregate(outcome.kpis, seed=seed)
        calibration = calibrate_split(read_log(Path(FIELD_LOG)), train=None, test=None, seed=seed)
        save_twin(calibration.twin, folder.path / "twin.yaml")
        summary = {
            "scenario": plan.scenario.name,
            "policy": plan.policy,
            "seed": seed,
            "verdict": verdict.verdict,
            "episodes": len(outcome.done),
            "episodes_failed": [entry.episode for entry in outcome.failed],
            "kpis": [row.as_dict() for row in verdict.rows] + [estimate.as_dict() for estimate in estimates],
            "dataset": vars(dataset),
            "gap": calibration.to_summary(),
        }
        report = folder.path / "report.html"
        write_report(report, _page(plan, folder, outcome, dataset, verdict, estimates, calibration))
        folder.write_summary(summary)
    return DemoResult(folder.path, report, _rows(verdict, dataset, calibration), summary)


def _rows(verdict: Verdict, dataset: DatasetSummary, calibration: CalibrationResult) -> Rows:
    rows: Rows = [("result", "value", "interval")]
    rows.append(("verdict", verdict.verdict, ""))
    for row in verdict.rows:
        level = 100.0 * (2.0 * row.confidence - 1.0)
        interval = f"{_text(row.ci_low)} to {_text(row.ci_high)} ({level:.4g} %)"
        rows.append((row.name, _text(row.value), f"{interval}, {row.verdict}"))
    rows.append(("labelled pictures", str(dataset.frames), ""))
    rows.append(("labelled objects", str(dataset.objects), ""))
    for item in calibration.comparison:
        if item.name in GAP_METRICS:
            at = "" if item.horizon_s is None else f" at {item.horizon_s:g} s"
            change = f"{item.before:.3f} -> {item.after:.3f} {item.unit}"
            interval = "" if item.ci_low is None else f"change {_text(item.ci_low)} to {_text(item.ci_high)} (95 %)"
            rows.append((f"gap {item.name}{at}", change, interval))
    for before in calibration.before.metrics:
        if before.name in WHOLE_PATH:
            after = calibration.after.metric(before.name, before.robot, before.horizon_s)
            rows.append((f"gap {before.name}", f"{before.value:.3f} -> {after.value:.3f} {before.unit}", "one path"))
    return rows


def _page(
    plan: EpisodePlan,
    folder: RunFolder,
    outcome: RunOutcome,
    dataset: DatasetSummary,
    verdict: Verdict,
    estimates: Sequence[KpiEstimate],
    calibration: CalibrationResult,
) -> ReportData:
    shown = _most_telling(outcome.done)
    record = load_record(record_path(folder.path, shown.episode))
    layout = sample_scenario(plan.scenario, plan.seed, shown.episode, plan.twin).layout
    reader = DatasetReader.open(folder.path / DATASET_FOLDER)
    simulated = sum(load_record(record_path(folder.path, entry.episode)).duration for entry in outcome.done)
    return ReportData(
        title="Floorcast demo",
        subtitle=f"{len(outcome.done)} random episodes of the scenario '{plan.scenario.name}', and a real robot's log",
        subject=f"The policy {plan.policy}",
        standing_on=(
            "No twin: the simulated AMRs have their data sheet's parameters. The gap below is that of another robot, a "
            "logged tricycle; measure your own with 'floorcast gap'."
        ),
        facts=(
            ("Episodes", str(len(outcome.done))),
            ("Simulated time", f"{simulated / 60:.1f} min"),
            ("Labelled pictures", str(dataset.frames)),
            ("Labelled objects", f"{dataset.objects:,}"),
        ),
        verdict=verdict,
        kpis=estimates,
        failures=[_failure(plan, entry) for entry in outcome.done if entry.result["kpis"].get("success") != 1],
        plan_svg=plan_svg(
            layout,
            trajectories=[record.pose[:, robot] for robot in range(record.pose.shape[1])],
            people=[record.person_pose[:, person] for person in range(record.person_pose.shape[1])],
            events=[event for event in record.events if event.kind in ("collision", "near_miss")],
        ),
        plan_caption=(
            f"Episode {shown.episode}: {record.pose.shape[1]} robots, {record.person_pose.shape[1]} people, "
            f"{record.duration:.0f} s."
        ),
        frames=_sample_frames(reader),
        dataset=(
            ("Pictures", str(dataset.frames)),
            ("Labelled objects", f"{dataset.objects:,}"),
            ("Size", f"{dataset.bytes / 1e6:.1f} MB"),
            ("Formats", "COCO instances, KITTI, depth, instance and semantic images"),
            ("Content hash", dataset.content_hash[:16]),
        ),
        class_counts=_class_counts(reader),
        gap=_gap_section(calibration),
        command=f"floorcast demo --seed {plan.seed} --episodes {len(plan.episodes)}",
        conditions=(
            ("Scenario", f"{plan.scenario.name} ({plan.identity()['scenario_hash']})"),
            ("Seed", str(plan.seed)),
            ("Version", __version__),
            ("Python", platform.python_version()),
        ),
        warnings=[
            f"Episode {entry.episode} could not be run and is not in these figures: {entry.repro}"
            for entry in outcome.failed
        ],
    )


def _failure(plan: EpisodePlan, entry: LedgerEntry) -> Failure:
    kpis = entry.result["kpis"]
    what = "collision" if kpis.get("collision") == 1 else "timeout" if kpis.get("timeout") == 1 else "task not done"
    return Failure(title=f"Episode {entry.episode}: {what}", command=entry.repro)


def _most_telling(entries: Sequence[LedgerEntry]) -> LedgerEntry:
    """Return a failed episode if there is one, else the one in which a robot and a person came closest."""

    def order(entry: LedgerEntry) -> tuple[float, float, int]:
        kpis = entry.result["kpis"]
        closest = kpis.get("min_sep_person_m")
        return (kpis.get("success") or 0.0, closest if closest is not None else float("inf"), entry.episode)

    return min(entries, key=order)


def _sample_frames(reader: DatasetReader) -> list[tuple[str, bytes]]:
    """Return the pictures with the most kinds of objects, one of each of a few episodes, with their labels drawn."""
    best: dict[int, tuple[int, dict[str, Any]]] = {}
    for image in reader.images:
        kinds = len({annotation["category_id"] for annotation in reader.annotations.get(image["id"], [])})
        if kinds > best.get(image["episode"], (-1, {}))[0]:
            best[image["episode"]] = (kinds, image)
    ranked = sorted(best.values(), key=lambda item: (-item[0], item[1]["id"]))[:SAMPLE_FRAMES]
    frames = []
    for _, image in sorted(ranked, key=lambda item: item[1]["id"]):
        drawn = draw_labels(reader.picture(image), reader.labels(image))
        ok, png = cv2.imencode(".png", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
        if not ok:
            raise InputError("a sample picture cannot be encoded", where=image["file_name"])
        frames.append((f"Episode {image['episode']}, robot {image['robot']}, {image['time_s']:.1f} s", png.tobytes()))
    return frames


def _class_counts(reader: DatasetReader) -> dict[str, int]:
    counts = Counter(
        reader.categories[record["category_id"]] for records in reader.annotations.values() for record in records
    )
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _gap_section(calibration: CalibrationResult) -> GapSection:
    return GapSection(
        source=(
            "A real front-traction tricycle (forklift kinematics), 113 s of encoder ticks and tracked poses. "
            f"Calibrated on the first {100 * TRAIN_SHARE:.0f} % of the log; all figures are of the rest, "
            "which the calibration never saw."
        ),
        metrics=pair_metrics(
            [metric for metric in calibration.before.metrics if metric.name in GAP_METRICS],
            [metric for metric in calibration.after.metrics if metric.name in GAP_METRICS],
            calibration.comparison,
        ),
        trajectories=[
            TrajectoryPlot(title=path.label, real=path.real, before=path.before, after=path.after)
            for path in calibration.paths
        ],
        parameters=[
            TwinParameter(p.name, p.value, p.ci_low, p.ci_high, p.unit, p.identifiable)
            for p in calibration.fit.parameters
        ],
        notes=calibration.notes,
    )


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
