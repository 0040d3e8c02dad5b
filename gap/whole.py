"""The whole gap of a set of logs: every part that their tables allow, and for the others the reason why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ..common.errors import InputError
from ..layouts.model import Layout
from ..robots.twin import Twin
from ..robots.wheels import WheelParameters
from .drift import DriftReport, watch
from .drift_sensors import joined, watch_sensors
from .fieldlog import FieldLog
from .lidar.map import LidarMap, build_map, require_scans, split_stretches
from .lidar.map_layout import layout_map
from .lidar.residuals import Residuals, measure_residuals
from .lidar.run import held_scans, judge
from .metrics import Metric
from .motion_sources import split_motion
from .odometry import OdometryGap, measure_odometry
from .orders import OrderGap, has_orders, measure_orders
from .predicted import measure_prediction
from .results import GapResult, ReplayPath
from .run import measure_gap
from .sensor_sources import lidar_errors, lidar_fixes, odometry_error, odometry_fixes, residual_metrics
from .sources import (
    ErrorSplit,
    Fix,
    SourceSplit,
    missing_fixes,
    motion_error,
    motion_fixes,
    order_error,
    order_fixes,
    split_by_source,
)
from .spread_sources import split_by_spread, spread_error, spread_fixes

Part = Literal["motion", "lidar", "odometry", "drift"]


@dataclass(frozen=True)
class Missing:
    """A part of the gap that a log cannot give, and why, in words for people."""

    part: Part
    robot: str
    reason: str


@dataclass(frozen=True)
class LidarPart:
    """The lidar's part of one log: its scans held against a map that was not made of them."""

    residuals: Residuals
    map: LidarMap
    metrics: list[Metric]
    notes: list[str]


@dataclass(frozen=True)
class WholeGap:
    """All that a set of logs says about the gap.

    Attributes:
        motion: replays, one result for each kind of drive.
        lidar: by log, its scans against a map.
        odometry: by log, errors of its own dead reckoning.
        orders: by log, task times and routes, where it has a fleet's messages.
        drift: by log, whether it still fits the twin; empty without one.
        sources: the gap split by source, and what to fix first.
        missing: what could not be measured, and why.
        reports: findings of the import.
        seed: of all bootstraps.
    """

    motion: list[GapResult]
    lidar: dict[str, LidarPart]
    odometry: dict[str, OdometryGap]
    orders: dict[str, OrderGap]
    drift: dict[str, DriftReport]
    sources: SourceSplit
    missing: list[Missing]
    reports: list[str]
    seed: int

    @property
    def motion_metrics(self) -> list[Metric]:
        """Metrics of the replays."""
        return [metric for result in self.motion for metric in result.metrics]

    @property
    def metrics(self) -> list[Metric]:
        """Metrics of all parts."""
        found = [metric for part in self.lidar.values() for metric in part.metrics]
        found += [metric for gap in self.odometry.values() for metric in gap.metrics]
        found += [metric for gap in self.orders.values() for metric in gap.metrics]
        return self.motion_metrics + found

    @property
    def paths(self) -> list[ReplayPath]:
        """Replayed stretches, for drawing."""
        return [path for result in self.motion for path in result.paths]

    def to_summary(self) -> dict[str, Any]:
        """Return everything but pictures, JSON-safe."""
        return {
            "metrics": [metric.to_row() for metric in self.metrics],
            "windows": [vars(count) for result in self.motion for count in result.windows],
            "matched": {robot: share for result in self.motion for robot, share in result.matched.items()},
            "drift": {name: report.to_summary() for name, report in self.drift.items()},
            "sources": self.sources.to_summary(),
            "model": ", ".join(dict.fromkeys(result.model for result in self.motion)),
            "missing": [vars(item) for item in self.missing],
            "notes": self.all_notes(),
            "log_findings": self.reports,
            "seed": self.seed,
        }

    def all_notes(self) -> list[str]:
        """Return the notes of all parts, each once."""
        notes = [note for result in self.motion for note in result.notes]
        notes += [note for part in self.lidar.values() for note in part.notes]
        notes += [f"{name}: {note}" for name, gap in self.odometry.items() for note in gap.notes]
        notes += [note for gap in self.orders.values() for note in gap.notes]
        return list(dict.fromkeys(notes))


def measure_whole(
    logs: Sequence[FieldLog], *, twin: Twin | None = None, layout: Layout | None = None, seed: int = 0
) -> WholeGap:
    """Measure every part of the gap that the logs' tables allow.

    Args:
        logs: of any robots; (robot, run) is unique.
        twin: calibrated parameters, or None: then the robot as its data sheet or the log's header has it.
        layout: the hall, in the frame of the logs' poses; None makes a map of half of each log's scans.
        seed: of all bootstraps.

    Raises:
        InputError: no logs, or nothing at all can be measured; the twin is of another kind of robot.
    """
    missing: list[Missing] = []
    motion = _motion(logs, twin, seed, missing)
    lidar = _lidar(logs, layout, twin, seed, missing)
    odometry = _odometry(logs, twin, seed, missing)
    orders = {log.name: measure_orders(log, seed=seed) for log in logs if has_orders(log)}
    if not motion and not lidar and not odometry and not any(gap.metrics for gap in orders.values()):
        reasons = "\n  - ".join(f"{item.robot}: {item.part}: {item.reason}" for item in missing[:12])
        raise InputError(
            f"nothing of the gap can be measured from these logs:\n  - {reasons}",
            mend="'floorcast gap inspect' says what a log holds and what it lacks; a straight run of which there is "
            "only the path can be tuned with 'floorcast calibrate --closed-loop'",
        )
    drift = _drift(logs, motion, lidar, twin, seed, missing)
    sources = split_by_source(*_splits_and_fixes(logs, motion, lidar, odometry, orders, missing, twin, layout, seed))
    reports = [line for log in logs for line in log.report.lines()]
    return WholeGap(motion, lidar, odometry, orders, drift, sources, missing, reports, seed)


def _motion(logs: Sequence[FieldLog], twin: Twin | None, seed: int, missing: list[Missing]) -> list[GapResult]:
    """Replay the logs that can be, by kind of drive."""
    groups: dict[str, list[FieldLog]] = {}
    for log in logs:
        reason = why_no_motion(log)
        if reason is None:
            groups.setdefault(log.drive, []).append(log)
        else:
            missing.append(Missing("motion", log.name, reason))
    found = []
    for group in groups.values():
        try:
            result = measure_gap(group, twin=twin, seed=seed)
            scores, said_of_it = measure_prediction(group, twin, seed=seed)
            found.append(replace(result, metrics=result.metrics + scores, notes=result.notes + said_of_it))
        except InputError as error:
            missing += [Missing("motion", log.name, said(error)) for log in group]
    return found


def _lidar(
    logs: Sequence[FieldLog], layout: Layout | None, twin: Twin | None, seed: int, missing: list[Missing]
) -> dict[str, LidarPart]:
    found = {}
    for log in logs:
        if log.scans is None or len(log.scans) < 2 or len(log.pose_t_ns) < 2:
            lacks = "no lidar scans" if log.scans is None or len(log.scans) < 2 else "no true poses"
            missing.append(Missing("lidar", log.name, lacks))
            continue
        try:
            found[log.name] = _held(log, layout, twin, seed)
        except InputError as error:
            missing.append(Missing("lidar", log.name, said(error)))
    return found


def _held(log: FieldLog, layout: Layout | None, twin: Twin | None, seed: int) -> LidarPart:
    """Hold a log's scans, and simulated ones, against the layout, or every other stretch against a map of the rest."""
    scans, of_map = require_scans(log), split_stretches(log)
    if layout is not None:
        lidar_map, judged = layout_map(layout, scans), np.ones_like(of_map)
    else:
        lidar_map, judged = build_map(log, of_map), ~of_map
    found = measure_residuals(log, lidar_map, judged, seed=seed)
    simulated = judge(held_scans(log, lidar_map, found, own_map=layout is None), twin=twin, seed=seed)
    metrics = residual_metrics(found, log.name)
    # Of inliers and coverage the residuals' own shares are shown, which count all judged beams.
    known = {metric.name for metric in metrics} | {"lidar_raw_inliers", "lidar_raw_coverage"}
    metrics += [metric for metric in simulated.metrics if metric.name not in known]
    notes = [f"{log.name}: the simulated lidar is {simulated.model}."]
    if layout is None:
        notes.append(f"{log.name}: the map was made of the scans of every other 3 m of path; the others are judged.")
    if found.changed:
        notes.append(
            f"{log.name}: the scene changed or is not all mapped: {found.short.value:.1%} of the beams are short for "
            "no reason that the map knows."
        )
    return LidarPart(found, lidar_map, metrics, notes)


def _odometry(logs: Sequence[FieldLog], twin: Twin | None, seed: int, missing: list[Missing]) -> dict[str, OdometryGap]:
    found = {}
    for log in logs:
        if len(log.odom_t_ns) < 2:
            missing.append(Missing("odometry", log.name, "no odometry"))
            continue
        try:
            found[log.name] = measure_odometry(log, twin=twin, seed=seed)
        except InputError as error:
            missing.append(Missing("odometry", log.name, said(error)))
    return found


def said(error: InputError) -> str:
    """Return what an error says and how to mend it, in one line."""
    return f"{error.what} ({error.mend})" if error.mend else error.what


def _drift(
    logs: Sequence[FieldLog],
    motion: Sequence[GapResult],
    lidar: Mapping[str, LidarPart],
    twin: Twin | None,
    seed: int,
    missing: list[Missing],
) -> dict[str, DriftReport]:
    """Hold every log against the twin: its motion, where it could be replayed, its lidar and its odometry."""
    found: dict[str, DriftReport] = {}
    if twin is None:
        return found
    replayed = {name for result in motion for name in result.matched}
    for log in logs:
        driving = None
        if log.name in replayed:
            try:
                driving = watch(log, twin, seed)
            except InputError as error:
                missing.append(Missing("drift", log.name, said(error)))
        sensing = watch_sensors(log, twin, lidar[log.name].residuals if log.name in lidar else None, seed)
        report = joined(driving, sensing)
        if report is not None:
            found[log.name] = report
    return found


def _splits_and_fixes(
    logs: Sequence[FieldLog],
    motion: Sequence[GapResult],
    lidar: Mapping[str, LidarPart],
    odometry: Mapping[str, OdometryGap],
    orders: Mapping[str, OrderGap],
    missing: Sequence[Missing],
    twin: Twin | None,
    layout: Layout | None,
    seed: int,
) -> tuple[list[ErrorSplit], list[Fix]]:
    splits: list[ErrorSplit] = []
    # What one log lacks and another has is no lack of the set.
    there = {"motion": bool(motion), "lidar": bool(lidar), "odometry": bool(odometry)}
    fixes: list[Fix] = missing_fixes({item.part for item in missing if not there.get(item.part, True)})
    for result in motion:
        group = [log for log in logs if log.name in result.matched]
        driving, better = _driving(group, logs, twin, None, result.anchor_every, seed)
        splits += driving
        fixes += better
    for name, part in lidar.items():
        splits += lidar_errors(part.residuals, name)
        has_noise = twin is not None and bool(twin.lidar)
        fixes += lidar_fixes(part.residuals, has_noise=has_noise, from_layout=layout is not None)
    for name, driven in odometry.items():
        error = odometry_error(driven, name, twin=twin, seed=seed)
        splits += [error] if error is not None else []
        fixes += odometry_fixes(error, has_odometry=twin is not None and bool(twin.odometry))
    for name, gap in orders.items():
        error = order_error(gap, name)
        splits += [error] if error is not None else []
        fixes += order_fixes(gap)
    return splits, fixes


def _driving(
    group: Sequence[FieldLog],
    others: Sequence[FieldLog],
    twin: Twin | None,
    textbook: WheelParameters | None,
    every: float,
    seed: int,
) -> tuple[list[ErrorSplit], list[Fix]]:
    """Split the driving's error: by the twin's spread where it has one that applies, else by putting values right."""
    by_spread = split_by_spread(group, twin, others=others, seed=seed)
    if by_spread:
        return [spread_error(item, [log.name for log in group]) for item in by_spread], spread_fixes(by_spread)
    found = split_motion(group, twin=twin, textbook=textbook, every=every, seed=seed)
    has_spread = twin is not None and twin.spread is not None
    return [motion_error(found)], motion_fixes(found, with_twin=twin is not None, has_spread=has_spread)


def judged_sources(
    judged: Sequence[FieldLog],
    twin: Twin,
    textbook: WheelParameters | None,
    *,
    every: float,
    others: Sequence[FieldLog] = (),
    seed: int = 0,
) -> SourceSplit:
    """Split the gap that a calibration leaves on the logs it was judged on.

    Args:
        judged: logs of one kind of drive that the twin was not fitted to.
        twin: the calibrated one.
        textbook: wheels as they were known without it, where the logs have wheels.
        every: time between windows [s].
        others: logs of robots that may have been in contact with them.
        seed: of the bootstrap.
    """
    return split_by_source(*_driving(judged, others, twin, textbook, every, seed))


def why_no_motion(log: FieldLog) -> str | None:
    """Return why a log's motion cannot be replayed; None if it can."""
    if len(log.input_t_ns) < 2:
        fleet = "; task times and routes only" if has_orders(log) else ""
        return f"no commands, wheel commands or encoder ticks{fleet}"
    if len(log.pose_t_ns) < 2:
        return "no true poses"
    if log.drive == "unknown":
        return "nobody says what moves the robot: give 'drive' with --options"
    return None
