"""The sim-to-real gap as the report shows it: what goes in, and the rows, headlines and charts made of it.

Angles given in rad are shown in degrees. The gap's own module stands on the same floor and is not imported: metrics
come as plain rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from ..common.change import WORDS, Verdict, judge_apart, judge_change
from ..common.errors import InputError
from . import plots, wording
from .plots import Estimate, HorizonSeries, Series

FloatArray = NDArray[np.float64]

GAP_LABELS = {
    "pos_end_err": "Position error",
    "yaw_end_err": "Heading error",
    "gains_pos_end_err": "Position error with the twin's gains, delay and lag alone",
    "gains_yaw_end_err": "Heading error with the twin's gains, delay and lag alone",
    "ate_rmse": "Path error (ATE, RMSE)",
    "v_rmse": "Speed error (RMSE)",
    "omega_rmse": "Yaw rate error (RMSE)",
    "rpe_1m": "Relative error per 1 m",
    "rpe_5m": "Relative error per 5 m",
    "delay_ms": "Command delay",
    "tau_ms": "Motor lag",
    "offset_ms": "Clock offset",
    "pos_end_p95": "Position error, 95th percentile",
    "yaw_end_p95": "Heading error, 95th percentile",
    "mean_pos_err": "Mean position error over the whole run",
    "mean_yaw_err": "Mean heading error over the whole run",
    "lidar_bias": "Simulated less real range error (bias)",
    "lidar_sigma": "Scatter of real ranges on known walls",
    "lidar_sigma_sim": "Scatter of simulated ranges on the same walls",
    "lidar_dropout_diff": "Missing returns, simulated against real (percentage points)",
    "lidar_w1_core": "Distance between the range errors, real and simulated, on known walls (W1)",
    "lidar_w1_all": "The same over all beams (W1)",
    "lidar_c2st": "How often a classifier tells real scans from simulated ones (0.5: never)",
    "lidar_inliers": "Share of beams on the mapped surface",
    "lidar_coverage": "Share of returns for which the map knows a surface",
    "lidar_unexplained_short": "Share of beams that are short for no reason the map knows",
    "lidar_raw_bias": "Bias at the log's own poses",
    "lidar_raw_sigma": "Scatter at the log's own poses",
    "odom_pos_per_m_1m": "Odometry: position error per metre, over 1 m",
    "odom_yaw_per_m_1m": "Odometry: heading error per metre, over 1 m",
    "odom_drift_per_m_1m": "Odometry: mean drift of the heading, over 1 m",
    "odom_pos_per_m_5m": "Odometry: position error per metre, over 5 m",
    "odom_yaw_per_m_5m": "Odometry: heading error per metre, over 5 m",
    "odom_drift_per_m_5m": "Odometry: mean drift of the heading, over 5 m",
    "odom_pos_coverage_5m": "Share of position errors within what was predicted (should be 0.95)",
    "odom_pos_width_5m": "Width of the predicted position error against the errors' own (should be near 1)",
    "odom_yaw_coverage_5m": "Share of heading errors within what was predicted (should be 0.95)",
    "odom_yaw_width_5m": "Width of the predicted heading error against the errors' own (should be near 1)",
    "order_time_s": "Time of an order",
    "order_gap_s": "Time of an order beyond an undisturbed drive",
    "order_driving_share": "Share of the orders' time: driving",
    "order_handling_share": "Share of the orders' time: handling",
    "order_waiting_share": "Share of the orders' time: waiting",
    "order_safety_share": "Share of the orders' time: safety stops",
    "order_error_share": "Share of the orders' time: errors",
    "order_paused_share": "Share of the orders' time: paused",
    "route_ratio": "Way driven over the straight way",
    "crps_pos": "Predicted position: distance from what happened (CRPS)",
    "crps_yaw": "Predicted heading: distance from what happened (CRPS)",
    "band95_pos": "Share of real positions within the predicted 95 % band",
    "band95_yaw": "Share of real headings within the predicted 95 % band",
    "truth_pos_err": "Position noise of the reference",
    "truth_yaw_err": "Heading noise of the reference",
}


PARAMETER_LABELS = {
    "linear_gain": "distance gain",
    "angular_gain": "turning gain",
    "lateral_gain": "sideways gain",
    "command_delay": "delay of commands",
    "motor_lag": "lag of the motors",
    "tick_delay": "delay of the encoders",
    "k_steer": "steering gear",
    "k_traction": "metres per wheel turn",
    "axis_length": "wheel base",
    "steer_offset": "steering zero",
    "sensor_x": "tracker ahead of the axle",
    "sensor_y": "tracker left of the middle",
    "sensor_yaw": "tracker's heading",
    "wheel_radius": "wheel radius",
    "track_width": "track width",
    "max_acceleration": "greatest acceleration",
    "max_deceleration": "greatest braking",
    "max_speed": "greatest speed",
    "lidar_bias": "range error of the lidar",
    "lidar_noise": "noise of the lidar",
    "lidar_dropout": "share of lost beams",
    "odometry_travel": "odometry's error of travel per metre",
    "odometry_turn": "odometry's error of turns per radian",
    "odometry_drift": "odometry's pull to one side per metre",
}


LESS_IS_BETTER = frozenset({
    "gains_pos_end_err", "gains_yaw_end_err",
    "pos_end_err", "yaw_end_err", "pos_end_p95", "yaw_end_p95", "ate_rmse", "v_rmse", "omega_rmse", "rpe_1m", "rpe_5m",
    "mean_pos_err", "mean_yaw_err", "run_end_pos_err", "run_end_yaw_err", "crps_pos", "crps_yaw",
    "lidar_w1_core", "lidar_w1_all", "lidar_c2st", "lidar_raw_w1_core", "lidar_raw_w1_all", "lidar_raw_c2st",
})  # fmt: skip
"""Metrics of which a change is called better or worse: errors that have no sign and are no property of the log."""
ALL = "all"
"""Stands for the robot in figures of several logs together."""
_NOT_DRAWN = frozenset({"band95_pos", "band95_yaw", "gains_pos_end_err", "gains_yaw_end_err"})
"""Shares that have a chart of their own, against what they should be; and rows that only stand beside others."""
_AXIS_UNITS = {"m": "metres", "°": "degrees"}


@dataclass(frozen=True)
class TrajectoryPlot:
    """One replayed run seen from above: (N, 2) arrays of x, y [m] of the real robot and of the simulated one.

    ``before`` and ``after`` are the simulator's paths before and after calibration; either may be missing.
    """

    title: str
    real: FloatArray
    before: FloatArray | None = None
    after: FloatArray | None = None
    caption: str = ""


@dataclass(frozen=True)
class GapMetric:
    """One gap metric before and after calibration, on data that calibration never saw.

    ``floor`` is the real half against the real half: no simulator can be closer. ``horizon_s`` is the length of the
    replay [s], or None. ``change`` is after - before with the interval of the paired difference; without it a change is
    called clear only if the two intervals are apart, which asks for more. ``logs`` says of a figure of all logs how
    many of how many it is of, where some lack it.
    """

    name: str
    unit: str
    before: Estimate | None
    after: Estimate | None
    horizon_s: float | None = None
    robot: str = ""
    n: int | None = None
    floor: float | None = None
    change: Estimate | None = None
    logs: tuple[int, int] | None = None


@dataclass(frozen=True)
class TwinParameter:
    """A calibrated parameter. One that the log cannot identify stays randomized, and the page says so."""

    name: str
    value: float
    ci_low: float | None = None
    ci_high: float | None = None
    unit: str = ""
    identifiable: bool = True


@dataclass(frozen=True)
class GapSection:
    """The sim-to-real gap: where the log comes from, metrics, trajectories and the twin's parameters."""

    source: str = ""
    metrics: Sequence[GapMetric] = ()
    trajectories: Sequence[TrajectoryPlot] = ()
    parameters: Sequence[TwinParameter] = ()
    notes: Sequence[str] = ()


def pair_metrics(before: Iterable[Any], after: Iterable[Any], changes: Iterable[Any] = ()) -> list[GapMetric]:
    """Join metrics before and after calibration by name, robot and horizon, in the order of their first appearance.

    Args:
        before, after: mappings or objects with ``name, robot, horizon_s, value, ci_low, ci_high, n, floor, unit``, as
            the ``metrics`` of ``summary.json``.
        changes: of the paired differences, with ``name, robot, horizon_s, difference, ci_low, ci_high``.

    Returns:
        One row for each metric; a side that is missing is None.
    """
    sides: tuple[dict[tuple[str, str, float | None], Any], ...] = ({}, {}, {})
    for side, items in zip(sides, (before, after, changes), strict=True):
        for item in items:
            robot = _get(item, "robot")
            side[(str(_get(item, "name")), "" if robot is None else str(robot), _get(item, "horizon_s"))] = item
    keys = list(dict.fromkeys([*sides[0], *sides[1]]))
    rows = []
    for key in keys:
        first, second = sides[0].get(key), sides[1].get(key)
        either = second if second is not None else first
        rows.append(
            GapMetric(
                name=key[0],
                robot=key[1],
                horizon_s=key[2],
                unit=str(_get(either, "unit") or ""),
                before=_estimate(first),
                after=_estimate(second),
                n=_get(either, "n"),
                floor=_finite(_get(either, "floor")),
                change=_estimate(sides[2].get(key), "difference"),
                logs=pooled_logs(key, keys),
            )
        )
    return rows


def pooled_logs(
    key: tuple[str, str, float | None], keys: Iterable[tuple[str, str, float | None]]
) -> tuple[int, int] | None:
    """Say of a figure of all logs together how many logs it is of, and of how many.

    Args:
        key: name, robot and horizon of the figure. keys: of all figures beside it.

    Returns:
        None where it is of one log, or of all of them.
    """
    if key[1] != ALL:
        return None
    single = [other for other in keys if other[1] != ALL]
    have = sum((name, horizon) == (key[0], key[2]) for name, _, horizon in single)
    names = {robot for name, robot, _ in single if name == key[0]}
    return (have, len(names)) if 0 < have < len(names) else None


def _get(item: Any, name: str) -> Any:
    return item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(float(value)) else None


def _estimate(item: Any, key: str = "value") -> Estimate | None:
    value = _finite(_get(item, key)) if item is not None else None
    return None if value is None else Estimate(value, _finite(_get(item, "ci_low")), _finite(_get(item, "ci_high")))


def gap_view(gap: GapSection, *, sides: tuple[str, str] = ("Before", "After")) -> dict[str, Any]:
    """Return the section as the template takes it: texts, charts, which columns there are; ``sides`` names two.

    Raises:
        InputError: a trajectory has the wrong shape.
    """
    robots = {metric.robot for metric in gap.metrics}
    # The name of the only robot would repeat itself in every row.
    metrics = [_in_degrees(replace(m, robot="") if len(robots) == 1 else m) for m in gap.metrics]
    rows = []
    for metric in metrics:
        change, verdict = _change(metric)
        rows.append(
            {
                "label": _metric_label(metric),
                "before": _estimate_view(metric.before, metric.unit),
                "after": _estimate_view(metric.after, metric.unit),
                "change": change,
                "trend": verdict,
                "verdict": WORDS[verdict] if change != wording.MISSING else "",
                "floor": wording.value_text(metric.floor, metric.unit),
                "n": "–" if metric.n is None else f"{metric.n:,}".replace(",", " "),
            }
        )
    both = any(metric.before for metric in metrics) and any(metric.after for metric in metrics)
    return {
        "source": gap.source,
        "notes": gap.notes,
        "rows": rows,
        "both": both,
        "sides": sides,
        "has_floor": any(metric.floor is not None for metric in metrics),
        "headlines": _headlines(metrics),
        "horizons": _horizon_charts(metrics, sides),
        "trajectories": [_trajectory_view(item) for item in gap.trajectories],
        "parameters": [_parameter_view(item) for item in gap.parameters],
    }


def _metric_label(metric: GapMetric, *, with_horizon: bool = True) -> str:
    label = GAP_LABELS.get(metric.name, metric.name.replace("_", " "))
    if metric.horizon_s is not None and with_horizon:
        label += f" after {wording.number_text(metric.horizon_s)} s"
    if metric.logs is not None:
        return f"{label} ({metric.robot}: {metric.logs[0]} of {metric.logs[1]} logs)"
    return f"{label} ({metric.robot})" if metric.robot else label


def _estimate_view(estimate: Estimate | None, unit: str) -> dict[str, str]:
    if estimate is None:
        return {"value": "–", "interval": ""}
    ends = wording.interval_text(estimate.low, estimate.high)
    value = wording.value_text(estimate.value, unit, interval=(estimate.low, estimate.high))
    return {"value": value, "interval": "" if ends == "–" else ends}


def _change(metric: GapMetric) -> tuple[str, Verdict]:
    """Return the relative change and the verdict on it; without a paired difference, from the two intervals."""
    before, after = metric.before, metric.after
    if before is None or after is None or before.value == 0 or metric.name not in LESS_IS_BETTER:
        return wording.MISSING, "too few windows"
    share = after.value / before.value - 1.0
    text = f"{'+' if share >= 0 else '−'}{abs(100 * share):.0f} %"
    if metric.change is not None:
        return text, judge_change(before.value, metric.change.low, metric.change.high, metric.unit)
    return text, judge_apart(before.value, (before.low, before.high), (after.low, after.high), metric.unit)


def _in_degrees(metric: GapMetric) -> GapMetric:
    """Return a metric as people read it: angles in degrees, ratios without a unit."""
    if plain_unit(metric.unit) != metric.unit:
        return replace(metric, unit="")
    if not metric.unit.startswith("rad"):
        return metric

    def turn(estimate: Estimate | None) -> Estimate | None:
        if estimate is None:
            return None
        ends = (None if end is None else math.degrees(end) for end in (estimate.low, estimate.high))
        return Estimate(math.degrees(estimate.value), *ends)

    return replace(
        metric,
        unit="°" + metric.unit.removeprefix("rad"),
        before=turn(metric.before),
        after=turn(metric.after),
        change=turn(metric.change),
        floor=None if metric.floor is None else math.degrees(metric.floor),
    )


def _headlines(metrics: Sequence[GapMetric]) -> list[dict[str, str]]:
    """Pick position and heading error at the shortest and longest horizon: what a reader asks for first."""
    chosen: list[GapMetric] = []
    for name in ("pos_end_err", "yaw_end_err"):
        known = [m for m in metrics if m.name == name and m.before and m.after and m.horizon_s is not None]
        known = [m for m in known if m.robot == known[0].robot]
        known.sort(key=lambda metric: metric.horizon_s or 0.0)
        chosen.extend(known[:1] + known[-1:] if len(known) > 1 else known)
    views = []
    for metric in chosen:
        if metric.before is None or metric.after is None:
            continue
        change, verdict = _change(metric)
        # Three digits of a millimetre in metres are no figure to read at a glance.
        short = metric.unit == "m" and max(metric.before.value, metric.after.value) < 1.0
        scale, unit = (100.0, "cm") if short else (1.0, metric.unit)
        views.append(
            {
                "label": _metric_label(metric),
                "before": wording.number_text(scale * metric.before.value),
                "after": wording.value_text(scale * metric.after.value, unit),
                "change": change,
                "trend": verdict,
                "verdict": WORDS[verdict],
            }
        )
    return views


def _horizon_charts(metrics: Sequence[GapMetric], sides: tuple[str, str]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str], list[GapMetric]] = {}
    for metric in metrics:
        if metric.horizon_s is not None and metric.horizon_s > 0 and metric.name not in _NOT_DRAWN:
            groups.setdefault((metric.name, metric.robot), []).append(metric)
    charts = []
    for group in groups.values():
        if len(group) < 2:
            continue
        group = sorted(group, key=lambda metric: metric.horizon_s or 0.0)
        label = _metric_label(group[0], with_horizon=False)
        lines: list[HorizonSeries] = []
        one_sided = not (any(metric.before for metric in group) and any(metric.after for metric in group))
        pick: dict[tuple[str, str], Callable[[GapMetric], Estimate | None]] = {
            ("Simulation" if one_sided else sides[0], "s-before"): lambda metric: metric.before,
            ("Simulation" if one_sided else sides[1], "s-after"): lambda metric: metric.after,
            ("Floor", "s-floor"): lambda metric: None if metric.floor is None else Estimate(metric.floor),
        }
        for (legend, style), function in pick.items():
            estimates = tuple(function(metric) for metric in group)
            if any(estimate is not None for estimate in estimates):
                lines.append(HorizonSeries(legend, style, estimates))
        horizons = [metric.horizon_s or 0.0 for metric in group]
        alt = (
            f"{label} over {wording.number_text(horizons[0])} to {wording.number_text(horizons[-1])} s of replay; "
            + ("the figures are in the table below")
        )
        chart = plots.horizon_chart(horizons, lines, unit=_AXIS_UNITS.get(group[0].unit, group[0].unit), alt=alt)
        charts.append({"title": label, "chart": Markup(chart), "legend": [(line.name, line.style) for line in lines]})
    return charts


def _trajectory_view(plot: TrajectoryPlot) -> dict[str, Any]:
    series = [Series("Real robot", "s-real", _points(plot.title, plot.real))]
    if plot.before is not None:
        name = "Before calibration" if plot.after is not None else "Simulation"
        series.append(Series(name, "s-before", _points(plot.title, plot.before)))
    if plot.after is not None:
        series.append(Series("After calibration", "s-after", _points(plot.title, plot.after)))
    alt = f"{plot.title}: paths seen from above of " + ", ".join(item.name.lower() for item in series)
    return {
        "title": plot.title,
        "caption": plot.caption,
        "chart": Markup(plots.trajectory_chart(series, alt=alt)),
        "legend": [(item.name, item.style) for item in series],
    }


def _points(title: str, points: FloatArray) -> FloatArray:
    array = np.asarray(points, dtype=np.float64)
    if array.ndim != 2 or array.shape[1] < 2:
        raise InputError(
            f"a trajectory has shape {array.shape}, not (N, 2)",
            where=f"TrajectoryPlot '{title}'",
            mend="give x and y in metres, one row for each time",
        )
    return array[:, :2]


def parameter_label(name: str) -> str:
    """Return what a parameter is called for people."""
    return PARAMETER_LABELS.get(name, name.replace("_", " "))


def plain_unit(unit: str) -> str:
    """Return a unit as people read it: nothing for a ratio."""
    return "" if unit in ("1", "-") else unit


def _parameter_view(parameter: TwinParameter) -> dict[str, Any]:
    unit = plain_unit(parameter.unit)
    return {
        "name": parameter_label(parameter.name),
        "value": wording.value_text(parameter.value, unit, interval=(parameter.ci_low, parameter.ci_high)),
        "interval": wording.interval_text(parameter.ci_low, parameter.ci_high, unit),
        "identifiable": parameter.identifiable,
    }
