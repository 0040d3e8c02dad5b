"""The result of a gap measurement or a calibration in a few plain sentences, the most important first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..common.change import WORDS, judge_apart
from ..gap.lidar.residuals import CHANGED_SHARE
from ..gap.metrics import Metric
from ..gap.results import CalibrationResult
from ..gap.sources import SourceSplit
from ..gap.whole import WholeGap
from ..robots.twin import Twin
from ..validation.gap_section import parameter_label
from ..validation.wording import number_text, percent_text, value_text


def gap_answers(result: WholeGap, split: SourceSplit, twin: Twin | None) -> list[str]:
    """Return the result in plain sentences: how far, how far at best, what to do."""
    answers = [
        f"{name} no longer fits its twin: {report.sentence(parameter_label)}."
        for name, report in result.drift.items()
        if report.alarm
    ]
    if result.drift and not answers:
        answers.append("No alarm: " + ("the log fits" if len(result.drift) == 1 else "the logs fit") + " the twin.")
    metric = _longest(result.motion_metrics, "pos_end_err")
    if metric is not None:
        heading = _same(result.motion_metrics, metric, "yaw_end_err")
        who = "the calibrated twin" if twin else "the robot as it is described"
        answers.append(
            f"Driven for {number_text(metric.horizon_s)} s by the logged commands alone, {who} ends "
            f"{_estimate(metric)} from where the real robot ended"
            + (f", and {_degrees(heading)} off its heading." if heading else ".")
        )
        if metric.floor:
            answers.append(
                f"Told the same twice, the real robot itself differs by {value_text(metric.floor, 'm')}: "
                + (f"the gap is {metric.ratio:.1f} times that." if metric.ratio else "")
            )
    lidar = next((m for m in result.metrics if m.name == "lidar_sigma"), None)
    if lidar is not None:
        short = next((m for m in result.metrics if (m.name, m.robot) == ("lidar_unexplained_short", lidar.robot)), None)
        changed = short is not None and short.value > CHANGED_SHARE
        answers.append(
            f"The lidar of {lidar.robot} reads known walls with a scatter of {_millimetres(lidar.value)}"
            + (f", of which its own noise is {_millimetres(lidar.floor)}." if lidar.floor else ".")
            + (" The hall changed while the log was made, or is not all mapped." if changed else "")
        )
    drift = _widest(result, "odom_drift_per_m_5m")
    if drift is not None:
        turn = f"{number_text(abs(float(np.degrees(drift.value))))}° {'left' if drift.value > 0 else 'right'}"
        answers.append(f"Per metre driven, the wheel odometry of {drift.robot} turns {turn} of where the robot goes.")
    gap_s = _widest(result, "order_gap_s")
    if gap_s is not None:
        answers.append(
            f"An order of {gap_s.robot} takes {_estimate(gap_s)} more than an undisturbed drive and its handling."
        )
    first = next((fix for fix in split.ranked if fix.gain is not None and not fix.at_most), None)
    if first is not None and first.gain is not None:
        what = first.title[:1].lower() + first.title[1:]
        answers.append(f"Worth most now: {what} ({percent_text(round(first.gain, 2))} {first.of}).")
    return answers


def calibration_answers(result: CalibrationResult) -> list[str]:
    """Return what a calibration did for the driving on held-out data, and what the log pins down."""
    answers = []
    rows = [row for row in result.comparison if row.name == "pos_end_err" and row.horizon_s is not None]
    robots = {row.robot for row in rows}
    rows = [row for row in rows if row.robot == ("all" if "all" in robots else row.robot)]
    rows = [row for row in rows if row.ci_low is not None] or rows
    if rows:
        row = max(rows, key=lambda item: item.horizon_s or 0.0)
        verdict = WORDS[row.verdict]
        answers.append(
            f"On data that the calibration never saw, the simulated robot ends {value_text(row.after, 'm')} from the "
            f"real one after {number_text(row.horizon_s)} s; before it was {value_text(row.before, 'm')} ({verdict})."
        )
    known = [parameter_label(p.name) for p in result.fit.parameters if p.identifiable]
    unknown = [parameter_label(p.name) for p in result.fit.parameters if not p.identifiable]
    if known:
        answers.append(f"The log pins down: {', '.join(known)}.")
    if unknown:
        answers.append(f"It does not pin down: {', '.join(unknown)}. These stay randomized over their intervals.")
    return answers


def compared_answers(before: Sequence[Metric], after: Sequence[Metric]) -> list[str]:
    """Say what a calibration did for simulated scans and for what is predicted of the odometry, on held-out data."""
    answers = []
    first = {(item.name, item.robot): item for item in before}
    for item in after:
        old = first.get((item.name, item.robot))
        if old is None:
            continue
        if item.name == "lidar_w1_core":
            ends = ((old.ci_low, old.ci_high), (item.ci_low, item.ci_high))
            words = WORDS[judge_apart(old.value, *ends, item.unit)]
            answers.append(
                f"On scans that the calibration never saw ({item.robot}), simulated range errors lie "
                f"{_millimetres(item.value)} from the real ones; by the data sheet it was {_millimetres(old.value)} "
                f"({words})."
            )
        if item.name == "odom_yaw_coverage_5m":
            answers.append(
                f"What the twin predicts for the odometry of {item.robot} holds {percent_text(round(item.value, 3))} "
                "of its heading errors over 5 m, where 95 % are meant; the run's own first fifth would hold "
                f"{percent_text(round(old.value, 3))}."
            )
    return answers


def _longest(metrics: Sequence[Metric], name: str) -> Metric | None:
    """Return the metric of the longest horizon with an interval, of all robots together if there are several."""
    found = [item for item in metrics if item.name == name and item.horizon_s is not None]
    everyone = [item for item in found if item.robot == "all"]
    found = everyone or found
    certain = [item for item in found if item.ci_low is not None]
    return max(certain or found, key=lambda item: item.horizon_s or 0.0, default=None)


def _widest(result: WholeGap, name: str) -> Metric | None:
    """Return the metric of the log in which it is greatest."""
    return max((m for m in result.metrics if m.name == name), key=lambda m: abs(m.value), default=None)


def _same(metrics: Sequence[Metric], like: Metric, name: str) -> Metric | None:
    return next((m for m in metrics if (m.name, m.robot, m.horizon_s) == (name, like.robot, like.horizon_s)), None)


def _estimate(metric: Metric) -> str:
    text = value_text(metric.value, metric.unit, interval=(metric.ci_low, metric.ci_high))
    if metric.ci_low is None or metric.ci_high is None:
        return text
    low, high = (value_text(v, "", interval=(metric.ci_low, metric.ci_high)) for v in (metric.ci_low, metric.ci_high))
    return f"{text} ({low} to {high})"


def _degrees(metric: Metric) -> str:
    return f"{number_text(float(np.degrees(metric.value)))}°"


def _millimetres(value: float) -> str:
    return f"{1e3 * value:.0f} mm"
