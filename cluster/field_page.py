"""From what a gap measurement or a calibration found to the page that shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..gap.drift import DriftReport
from ..gap.fieldlog import FieldLog
from ..gap.lidar.residuals import MAP, MOVING, POSE, SENSOR, SHORT
from ..gap.metrics import Metric
from ..gap.motion_sources import SPLIT_HORIZON
from ..gap.odometry import OdometryGap
from ..gap.orders import OrderGap
from ..gap.results import CalibrationResult, Comparison, ReplayPath
from ..gap.sources import SourceSplit
from ..gap.whole import LidarPart, WholeGap
from ..robots.twin import Twin
from ..validation.gap_page import (
    Action,
    Block,
    Coverage,
    Drift,
    DriftRow,
    FamilyRow,
    GapPage,
    Histogram,
    MapPicture,
    Share,
    Split,
)
from ..validation.gap_section import (
    ALL,
    GapMetric,
    GapSection,
    TrajectoryPlot,
    TwinParameter,
    pair_metrics,
    parameter_label,
)
from ..validation.plots import Estimate
from ..validation.wording import number_text, percent_text
from .field_answers import calibration_answers, compared_answers, gap_answers

ON_PAGE = (
    "pos_end_err", "yaw_end_err", "ate_rmse", "v_rmse", "omega_rmse", "delay_ms", "rpe_1m", "mean_pos_err",
    "mean_yaw_err",
)  # fmt: skip
"""Motion metrics on the page; the summary holds all."""
ODOMETRY_ON_PAGE = (
    "odom_pos_per_m_1m", "odom_yaw_per_m_1m", "odom_drift_per_m_1m", "odom_pos_per_m_5m", "odom_yaw_per_m_5m",
    "odom_drift_per_m_5m", "odom_pos_coverage_5m", "odom_pos_width_5m", "odom_yaw_coverage_5m", "odom_yaw_width_5m",
)  # fmt: skip
LIDAR_ON_PAGE = (
    "lidar_bias", "lidar_sigma", "lidar_sigma_sim", "lidar_dropout_diff", "lidar_w1_core", "lidar_w1_all", "lidar_c2st",
    "lidar_inliers", "lidar_coverage", "lidar_unexplained_short", "lidar_raw_bias", "lidar_raw_sigma",
)  # fmt: skip
OF_THE_LOG = frozenset({
    "lidar_sigma", "lidar_inliers", "lidar_coverage", "lidar_unexplained_short", "lidar_raw_sigma", "odom_pos_per_m_1m",
    "odom_yaw_per_m_1m", "odom_drift_per_m_1m", "odom_pos_per_m_5m", "odom_yaw_per_m_5m", "odom_drift_per_m_5m",
})  # fmt: skip
"""Metrics that describe a log, and that no calibration changes."""
_ODOMETRY_BEFORE = (
    "'Before' is predicted by the first fifth of each held-out run itself, 'after' by the twin, which never saw the "
    "run. Coverage should be 95 %, with a bound that is not much wider than it must be."
)
_LIDAR_HELD_OUT = (
    "Simulated scans of held-out logs against the real ones, laid on a map that was made of every other 3 m of path. "
    "'Before' is the data sheet of the device that the scans read most like, 'after' the twin."
)
_ODOMETRY_HELD_OUT = (
    "What the robot believed to have driven on held-out logs, against where it really was: the error gathered per "
    "metre. "
)
PREDICTED = ("crps_pos", "crps_yaw", "band95_pos", "band95_yaw")
SIDES = ("Bell-shaped errors", "The twin's spread")
"""What the two predictions are called."""
GAINS_ALONE = ("gains_pos_end_err", "gains_yaw_end_err")
"""Shown beside the twin's own errors, of all robots together: how much is owed to the response to commands."""
MAX_PATHS = 4
"""Trajectories drawn, typical ones of several robots before unusual ones of one."""


def gap_page(
    logs: Sequence[FieldLog],
    result: WholeGap,
    *,
    twin: Twin | None,
    command: str,
    missing: Sequence[tuple[str, str]],
    before: WholeGap | None = None,
) -> GapPage:
    """Return the page of a measured gap.

    Args:
        logs: that were measured. result: what came out. twin: that was simulated, if any. command: of the run.
        missing: what could not be measured, and why.
        before: the same gap before a calibration; its lidar and odometry then stand beside.
    """
    lidar = [metric for part in before.lidar.values() for metric in part.metrics] if before is not None else []
    odometry = [metric for gap in before.odometry.values() for metric in gap.metrics] if before is not None else []
    return GapPage(
        title=f"The gap between simulation and {_whose(logs)}",
        subtitle=_what(logs),
        answers=[*compared_answers([*lidar, *odometry], result.metrics), *gap_answers(result, result.sources, twin)],
        facts=[*_facts(logs, twin), *(_sides(twin) if twin is not None and before is not None else [])],
        actions=_actions(result.sources),
        splits=_splits(result.sources),
        drift=_drift(result.drift),
        motion=_motion(result, twin) if result.motion else None,
        predicted=predicted_block(result.motion_metrics),
        lidar=_lidar(result.lidar, lidar),
        odometry=_odometry(result.odometry, odometry),
        tasks=_tasks(result.orders),
        findings=result.reports,
        missing=missing,
        command=command,
        conditions=_conditions(logs, result.seed),
    )


def calibration_page(
    logs: Sequence[FieldLog], result: CalibrationResult, split: SourceSplit, *, command: str
) -> GapPage:
    """Return the page of a calibration: held-out data before and after, and the twin."""
    return GapPage(
        title=f"A calibrated twin of {_whose(logs)}",
        subtitle=_what(logs),
        answers=[*calibration_answers(result), *compared_answers(result.before.metrics, result.after.metrics)],
        facts=[*_facts(logs, None), *_sides(result.twin)],
        actions=_actions(split),
        splits=_splits(split),
        motion=calibration_section(result),
        predicted=predicted_block(result.after.metrics, result.before.metrics, result.comparison),
        lidar=held_out_block(result, LIDAR_ON_PAGE, _LIDAR_HELD_OUT),
        odometry=held_out_block(result, ODOMETRY_ON_PAGE, _ODOMETRY_HELD_OUT + _ODOMETRY_BEFORE),
        families=_families(result.twin),
        findings=[line for log in logs for line in log.report.lines()],
        command=command,
        conditions=[
            *_conditions(logs, result.after.seed),
            ("Twin", f"{result.twin.name}, version {result.twin.version}"),
        ],
    )


def calibration_section(result: CalibrationResult, *, source: str = "") -> GapSection:
    """Return the driving before and after a calibration, on held-out data."""
    # Delays have a sign: what is left of one is no smaller error for being below zero.
    alone = _gains_alone(result.after.metrics)
    # Before any gains, both are judged against the same replay.
    keys = {(item.name, item.robot) for item in alone}
    raw = [replace(item, name=f"gains_{item.name}") for item in result.before.metrics]
    before = [*_shown(result.before.metrics), *(item for item in raw if (item.name, item.robot) in keys)]
    before, after = (
        [item for item in side if item.unit != "ms"] for side in (before, [*_shown(result.after.metrics), *alone])
    )
    return GapSection(
        source=source
        or f"Replays of logged commands on data that the calibration never saw: {', '.join(result.test)}. 'Before' is "
        f"{result.before.model}; 'after' is the calibrated twin.",
        metrics=pair_metrics(before, after, result.comparison),
        trajectories=_trajectories(result.paths),
        parameters=[
            TwinParameter(p.name, p.value, p.ci_low, p.ci_high, p.unit, p.identifiable) for p in result.fit.parameters
        ],
        notes=result.notes,
    )


def _motion(result: WholeGap, twin: Twin | None) -> GapSection:
    metrics = [*_shown(result.motion_metrics), *_gains_alone(result.motion_metrics)]
    model = ", ".join(dict.fromkeys(item.model for item in result.motion))
    parameters = [
        TwinParameter(name, p.value, p.ci_low, p.ci_high, p.unit, p.identifiable)
        for name, p in (twin.parameters.items() if twin else ())
    ]
    return GapSection(
        source=f"The real robot's commands, replayed in simulation from the true start of each stretch: {model}.",
        metrics=pair_metrics([], metrics) if twin else pair_metrics(metrics, []),
        trajectories=_trajectories(result.paths),
        parameters=parameters,
        notes=[note for item in result.motion[:1] for note in item.notes],
    )


def _shown(metrics: Sequence[Metric]) -> list[Metric]:
    return [item for item in metrics if item.name in ON_PAGE]


def _gains_alone(metrics: Sequence[Metric]) -> list[Metric]:
    """Return the errors of the twin's gains alone: of all robots together, or of the only one."""
    found = [item for item in metrics if item.name in GAINS_ALONE]
    pooled = [item for item in found if item.robot == ALL]
    return pooled or (found if len({item.robot for item in found}) == 1 else [])


def predicted_block(
    metrics: Sequence[Metric], normal: Sequence[Metric] = (), comparison: Sequence[Comparison] = ()
) -> Block | None:
    """Return how often the real robot ended within the twin's 95 % band, and how far the prediction was off.

    Args:
        metrics: of the twin's spread among others; without them there is nothing to show.
        normal: of normal errors about the replay. comparison: of both, paired.
    """
    after, before = ([item for item in side if item.name in PREDICTED] for side in (metrics, normal))
    if not after:
        return None
    names = list(dict.fromkeys(item.robot for item in after))
    whose = "all" if "all" in names else names[0]
    of = "all robots together" if whose == "all" else whose
    pictures = [
        _coverage(title, [item for item in after if (item.name, item.robot) == (name, whose)],
                  [item for item in before if (item.name, item.robot) == (name, whose)], of)
        for title, name in (("Position", "band95_pos"), ("Heading", "band95_yaw"))
    ]  # fmt: skip
    lead = (
        "The twin does not say one place where the robot will be, but how likely each is. If it is right, the real "
        "robot ends within the 95 % band 95 times in 100: fewer means that the simulated robot is too sure of itself, "
        "more that it scatters too much. The score (CRPS) is the distance of the prediction from what happened; it is "
        "small for a narrow prediction that is right."
    )
    lead += _share_within(after, whose)
    if before:
        lead += (
            " Compared with it: the calibrated robot with bell-shaped errors as wide as on the data it was fitted to."
        )
    # Of a band more is not better and less is not worse: its share stands alone.
    scores = [item for item in before if item.name not in ("band95_pos", "band95_yaw") and item.robot == whose]
    rows = pair_metrics(scores, [item for item in after if item.robot == whose], _comparison_of(comparison, whose))
    notes = ["The figures of each robot alone are in summary.json."] if len(names) > 1 else []
    return Block(lead=lead, metrics=rows, coverage=pictures, notes=notes, sides=SIDES)


def _comparison_of(rows: Sequence[Comparison], robot: str) -> list[Comparison]:
    """Return the compared scores of predictions of one robot."""
    return [row for row in rows if row.name in PREDICTED and row.robot == robot]


def _share_within(metrics: Sequence[Metric], robot: str) -> str:
    """Say how often the bands held, for the horizon that the error is split at or the longest below it."""
    found = {name: [m for m in metrics if (m.name, m.robot) == (name, robot)] for name in ("band95_pos", "band95_yaw")}
    fits = [m.horizon_s for m in found["band95_pos"] if m.horizon_s is not None and m.horizon_s <= SPLIT_HORIZON]
    if not fits:
        return ""
    position, heading = (next(m for m in side if m.horizon_s == max(fits)) for side in found.values())
    return (
        f" Here it held {percent_text(round(position.value, 3))} of the positions and "
        f"{percent_text(round(heading.value, 3))} of the headings after {number_text(max(fits))} s."
    )


def _coverage(title: str, after: Sequence[Metric], before: Sequence[Metric], of: str) -> Coverage:
    horizons = sorted({item.horizon_s for item in after if item.horizon_s is not None})
    series = [(SIDES[1], "s-after", after), (SIDES[0], "s-before", before)]

    def at(side: Sequence[Metric], horizon: float) -> Estimate | None:
        found = next((item for item in side if item.horizon_s == horizon), None)
        return Estimate(found.value, found.ci_low, found.ci_high) if found is not None else None

    return Coverage(
        f"{title}: how often the real robot ended within the 95 % band",
        horizons,
        [(name, style, [at(side, horizon) for horizon in horizons]) for name, style, side in series if side],
        f"{of[:1].upper()}{of[1:]}. Shaded: 93 to 97 %. Lines are 95 % intervals.",
    )


def _trajectories(paths: Sequence[ReplayPath]) -> list[TrajectoryPlot]:
    several = len({path.robot for path in paths}) > 1
    return [
        TrajectoryPlot(
            title=f"{path.robot}: {path.label}" if several else path.label[:1].upper() + path.label[1:],
            real=path.real,
            before=path.before,
            after=path.after,
        )
        for path in sorted(paths, key=lambda path: "95th" in path.label)[:MAX_PATHS]
    ]


def _actions(split: SourceSplit) -> list[Action]:
    return [
        Action(fix.title, fix.sentence, fix.cost, fix.evidence, fix.gain, fix.ci_low, fix.ci_high, fix.of, fix.at_most)
        for fix in split.ranked
    ]


def _splits(split: SourceSplit) -> list[Split]:
    return [
        Split(
            item.title,
            item.whole,
            [Share(s.source, s.name, s.share, s.ci_low, s.ci_high, s.meaning) for s in item.shares],
            item.how,
        )
        for item in split.splits
    ]


def _lidar(parts: Mapping[str, LidarPart], before: Sequence[Metric]) -> Block | None:
    """Return the map with what the scans saw, residuals at the log's poses and aligned, and the table."""
    if not parts:
        return None
    maps, histograms = [], []
    for name, part in list(parts.items())[:MAX_PATHS]:
        found = part.residuals
        maps.append(_map_picture(name, part))
        reach = max(3.0 * found.core, 0.1)
        raw, aligned = (_differences(found.measured, expected) for expected in (found.expected_raw, found.expected))
        histograms.append(
            Histogram(
                f"Range error of real scans: {name}",
                "metres (measured less expected)",
                [("At the log's poses", "s-before", raw), ("Laid on the map", "s-after", aligned)],
                -reach,
                reach,
                "What lies beyond the ends is drawn at them.",
            )
        )
    return Block(
        lead="Real scans against a map, and simulated ones against the real. Without a layout the map is made of the "
        "scans of every other 3 m of path, and the others are judged by it. At the log's poses the figures hold the "
        "errors of these poses too; laid on the map they are those of the lidar and the map.",
        metrics=_beside(before, [m for part in parts.values() for m in part.metrics], LIDAR_ON_PAGE),
        histograms=histograms,
        maps=maps,
        notes=[note for part in parts.values() for note in part.notes],
    )


def _beside(before: Sequence[Metric], after: Sequence[Metric], shown: Sequence[str]) -> list[GapMetric]:
    """Return the rows of a table: after beside before, or without these alone.

    Of two sides, rows that no calibration can change, since they describe the log, are left out.
    """
    first, second = ([item for item in side if item.name in shown] for side in (before, after))
    if not first:
        return pair_metrics(second, [])
    return [row for row in pair_metrics(first, second) if row.name not in OF_THE_LOG]


def held_out_block(result: CalibrationResult, shown: Sequence[str], lead: str) -> Block | None:
    """Return one sensor's table on held-out logs with commands, before and after; None where none was calibrated."""
    rows = _beside(result.before.metrics, result.after.metrics, shown)
    return Block(lead=lead, metrics=rows) if rows else None


def _map_picture(name: str, part: LidarPart) -> MapPicture:
    found, segments = part.residuals, part.map.segments
    angle = found.pose[:, 2:3] + found.scans.angles
    with np.errstate(invalid="ignore"):
        ends = found.pose[:, None, :2] + found.measured[..., None] * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    seen = np.isfinite(found.measured)
    kinds = {"match": (SENSOR,), "pose": (POSE,), "map": (MAP,), "moving": (MOVING,), "unexplained": (SHORT,)}
    points = {kind: ends[seen & np.isin(found.label, labels)] for kind, labels in kinds.items()}
    return MapPicture(
        f"What the lidar of {name} saw",
        np.concatenate([segments.start, segments.end], axis=1),
        points,
        found.pose[:, :2],
        "Grey lines: the map. The thin line is the way of the robot.",
    )


def _differences(measured: NDArray[np.float32], expected: NDArray[np.float32]) -> NDArray[np.float64]:
    known = np.isfinite(measured) & np.isfinite(expected)
    return measured[known].astype(np.float64) - expected[known]


def _odometry(gaps: Mapping[str, OdometryGap], before: Sequence[Metric]) -> Block | None:
    """Return heading errors by metre of each log with the predicted band, and the table."""
    if not gaps:
        return None
    pictures = []
    for name, gap in list(gaps.items())[:MAX_PATHS]:
        if len(gap.judged) == 0:
            continue
        degrees = np.degrees(gap.judged.error[:, 2] / gap.judged.travel)
        expected = np.degrees(gap.mean[:, 2])
        reach = float(np.quantile(np.abs(degrees), 0.995)) or 1.0
        pictures.append(
            Histogram(
                f"Heading error of the odometry over 5 m: {name}",
                "degrees per metre",
                [
                    ("Real robot", "s-real", degrees),
                    ("Without what was predicted", "s-after", degrees - expected),
                ],
                -reach,
                reach,
            )
        )
    return Block(
        lead="What the robot believed to have driven, against where it really was: the error gathered per metre. "
        + (_ODOMETRY_BEFORE if before else "The first fifth of the run predicts the rest, unless a twin does."),
        metrics=_beside(before, [m for gap in gaps.values() for m in gap.metrics], ODOMETRY_ON_PAGE),
        histograms=pictures,
        notes=[f"{name}: {note}." for name, gap in gaps.items() for note in gap.notes],
    )


def _tasks(gaps: Mapping[str, OrderGap]) -> Block | None:
    if not gaps:
        return None
    metrics = pair_metrics([metric for gap in gaps.values() for metric in gap.metrics], [])
    orders = sum(len(gap.orders) for gap in gaps.values())
    return Block(
        lead=f"{orders} orders as the robots' own messages tell them. Without commands nothing can be said about how "
        "they drive, only about how long orders take and how far the way is.",
        metrics=metrics,
        notes=[note for gap in gaps.values() for note in gap.notes],
    )


def _drift(reports: Mapping[str, DriftReport]) -> Drift | None:
    """Return the alarms, or that there is none."""
    if not reports:
        return None
    raised = {name: report for name, report in reports.items() if report.alarm}
    lines = [f"{name}: {report.sentence(parameter_label)}." for name, report in (raised or reports).items()]
    rows = [
        DriftRow(
            name if len(reports) > 1 else "",
            row.parameter,
            row.unit,
            Estimate(row.expected, row.expected_low, row.expected_high),
            Estimate(row.now, row.now_low, row.now_high),
            row.statistic > row.limit,
            row.since_s,
            row.statistic / row.limit,
        )
        for name, report in reports.items()
        for row in report.rows
    ]
    notes = list(dict.fromkeys(note for report in reports.values() for note in report.notes))
    return Drift(bool(raised), lines, rows, notes)


def _sides(twin: Twin) -> list[tuple[str, str]]:
    found = []
    for name, logs in (("Fitted on", twin.provenance.trained_on), ("Judged on", twin.provenance.judged_on)):
        found.append((name, ", ".join(logs) if len(logs) <= 4 else f"{', '.join(logs[:3])} and {len(logs) - 3} more"))
    return found


def _families(twin: Twin) -> list[FamilyRow]:
    return [
        FamilyRow(
            name,
            item.unit,
            item.mean,
            item.spread,
            {robot: Estimate(p.value, p.ci_low, p.ci_high) for robot, p in item.robots.items()},
        )
        for name, item in twin.family.items()
    ]


def _whose(logs: Sequence[FieldLog]) -> str:
    robots = list(dict.fromkeys(log.robot for log in logs))
    return robots[0] if len(robots) == 1 else f"{len(robots)} robots"


def _what(logs: Sequence[FieldLog]) -> str:
    """Say in a line what the logs hold."""
    tables = {
        "commands": any(len(log.cmd_t_ns) for log in logs),
        "wheel commands": any(len(log.wheel_cmd_t_ns) for log in logs),
        "encoder ticks": any(len(log.ticks_t_ns) for log in logs),
        "odometry": any(len(log.odom_t_ns) for log in logs),
        "lidar scans": any(log.scans is not None for log in logs),
        "events": any(log.events for log in logs),
        "true poses": any(len(log.pose_t_ns) for log in logs),
    }
    held = [name for name, there in tables.items() if there]
    runs = f"{len(logs)} logs" if len(logs) > 1 else "One log"
    return f"{runs} with {', '.join(held)}" if held else runs


def _facts(logs: Sequence[FieldLog], twin: Twin | None) -> list[tuple[str, str]]:
    seconds = sum((log.pose_t_ns[-1] - log.pose_t_ns[0]) / 1e9 for log in logs if len(log.pose_t_ns) > 1)
    metres = sum(
        float(np.hypot(*np.diff(log.pose[:: max(1, len(log.pose) // 2000), :2], axis=0).T).sum())
        for log in logs
        if len(log.pose) > 1
    )
    facts = [("Robots", str(len({log.robot for log in logs}))), ("Runs", str(len(logs)))]
    facts += [("Logged", f"{seconds / 60:.1f} min"), ("Driven", f"about {metres:.0f} m")] if seconds else []
    if twin is not None:
        facts.append(("Twin", f"{twin.name}, version {twin.version}"))
    return facts


def _conditions(logs: Sequence[FieldLog], seed: int) -> list[tuple[str, str]]:
    files = {file.sha256: Path(file.path).name for log in logs for file in log.report.files}
    shown = [(name, digest[:16]) for digest, name in files.items()][:8]
    more = [("Further files", str(len(files) - len(shown)))] if len(files) > len(shown) else []
    return [("Seed", str(seed)), ("Version", __version__), *shown, *more]
