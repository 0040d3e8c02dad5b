"""The report: one self-contained HTML page that opens from a file, without network or scripts.

Everything is embedded (style, charts as SVG, pictures as data URIs); a content security policy in the page forbids the
browser to load anything else. All text is escaped. Equal data gives equal bytes: no clock, no random ids.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from .. import __version__, assets
from ..common.errors import InputError
from ..common.files import write_text_atomic
from . import plots, wording
from .gates import GateRow, Verdict
from .kpis import KpiEstimate, kpi_info
from .plots import Estimate, HorizonSeries, Series

FloatArray = NDArray[np.float64]
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

GAP_LABELS = {
    "pos_end_err": "Position error",
    "yaw_end_err": "Heading error",
    "ate_rmse": "Path error (ATE, RMSE)",
    "v_rmse": "Speed error (RMSE)",
    "omega_rmse": "Yaw rate error (RMSE)",
    "rpe_1m": "Relative error per 1 m",
    "rpe_5m": "Relative error per 5 m",
    "delay_ms": "Command delay",
    "tau_ms": "Motor lag",
    "offset_ms": "Clock offset",
}


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
    replay [s], or None.
    """

    name: str
    unit: str
    before: Estimate | None
    after: Estimate | None
    horizon_s: float | None = None
    robot: str = ""
    n: int | None = None
    floor: float | None = None


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


@dataclass(frozen=True)
class Failure:
    """A failed episode: what went wrong and the command that shows it again."""

    title: str
    command: str
    detail: str = ""


@dataclass(frozen=True)
class ReportData:
    """What the page shows; a section without data is left out.

    Attributes:
        title, subtitle: of the page.
        subject: who the verdict is about, at the beginning of a sentence ("The policy navigator").
        standing_on: the twin that the verdict stands on and its gap, in one line.
        facts: a few (name, value) at the top.
        verdict: of the gates. kpis: all KPIs; those that have a gate are not repeated.
        failures: failed episodes with their reproduction commands.
        plan_svg: the floor plan with trajectories, an SVG document as text; plan_caption: below it.
        frames: (caption, PNG bytes) of sample pictures with their labels drawn.
        dataset: (name, value) facts of the dataset; class_counts: labelled objects by class.
        gap: the sim-to-real gap.
        command: that made this run. conditions: (name, value) it ran under.
        warnings: what a reader must know before trusting the page.
        kpi_confidence: level of the intervals of ``kpis``.
    """

    title: str
    subtitle: str = ""
    subject: str = "The policy"
    standing_on: str = ""
    facts: Sequence[tuple[str, str]] = ()
    verdict: Verdict | None = None
    kpis: Sequence[KpiEstimate] = ()
    failures: Sequence[Failure] = ()
    plan_svg: str | None = None
    plan_caption: str = ""
    frames: Sequence[tuple[str, bytes]] = ()
    dataset: Sequence[tuple[str, str]] = ()
    class_counts: Mapping[str, int] = field(default_factory=dict)
    gap: GapSection | None = None
    command: str = ""
    conditions: Sequence[tuple[str, str]] = ()
    warnings: Sequence[str] = ()
    kpi_confidence: float = 0.95


def write_report(path: str | Path, data: ReportData) -> None:
    """Write the page, whole or not at all.

    Raises:
        InputError: a picture is not a PNG, the plan is not SVG, a trajectory has the wrong shape, or the file cannot be
            written.
    """
    write_text_atomic(path, render_report(data))


def render_report(data: ReportData) -> str:
    """Return the page as text; raises as ``write_report``."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        words=wording, plural=lambda count, word: f"{count:,} {word}{'' if count == 1 else 's'}".replace(",", " ")
    )
    return environment.get_template("report.html.j2").render(
        data=data,
        version=__version__,
        style=Markup(_read_template("report.css")),
        gates=_gate_rows(data.verdict),
        sentence=wording.verdict_sentence(data.verdict, subject=data.subject) if data.verdict else "",
        kpis=_other_kpis(data),
        plan=_plan_uri(data.plan_svg),
        frames=[(caption, _png_uri(caption, png)) for caption, png in data.frames],
        classes=_class_bars(data.class_counts),
        gap=_gap_view(data.gap) if data.gap else None,
    )


def pair_metrics(before: Iterable[Any], after: Iterable[Any]) -> list[GapMetric]:
    """Join metrics before and after calibration by name, robot and horizon, in the order of their first appearance.

    Args:
        before, after: mappings or objects with ``name, robot, horizon_s, value, ci_low, ci_high, n, floor, unit``, as
            the ``metrics`` of ``summary.json``.

    Returns:
        One row for each metric; a side that is missing is None.
    """
    sides: tuple[dict[tuple[str, str, float | None], Any], ...] = ({}, {})
    for side, items in zip(sides, (before, after), strict=True):
        for item in items:
            robot = _get(item, "robot")
            side[(str(_get(item, "name")), "" if robot is None else str(robot), _get(item, "horizon_s"))] = item
    rows = []
    for key in dict.fromkeys([*sides[0], *sides[1]]):
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
            )
        )
    return rows


def _get(item: Any, name: str) -> Any:
    return item.get(name) if isinstance(item, Mapping) else getattr(item, name, None)


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(float(value)) else None


def _estimate(item: Any) -> Estimate | None:
    value = _finite(_get(item, "value")) if item is not None else None
    return None if value is None else Estimate(value, _finite(_get(item, "ci_low")), _finite(_get(item, "ci_high")))


def _read_template(name: str) -> str:
    return (files(assets) / "templates" / name).read_text(encoding="utf-8")


def _gate_rows(verdict: Verdict | None) -> list[dict[str, Any]]:
    return [_gate_view(row) for row in verdict.rows] if verdict else []


def _gate_view(row: GateRow) -> dict[str, Any]:
    proportion = row.kind == "proportion"
    chart = plots.interval_bar(
        row.value,
        row.ci_low,
        row.ci_high,
        row.bound,
        row.side,
        proportion=proportion,
        alt=wording.finding_text(row),
    )
    return {
        "row": row,
        "word": wording.outcome_word(row.verdict),
        "value": wording.value_text(row.value, row.unit, proportion=proportion, interval=(row.ci_low, row.ci_high)),
        "bound": wording.bound_text(row),
        "interval": wording.interval_text(row.ci_low, row.ci_high, row.unit, proportion=proportion),
        "level": wording.percent_text(round(2.0 * row.confidence - 1.0, 9)),
        "needed": wording.needed_text(row.episodes_needed) if row.verdict == "inconclusive" else "",
        "chart": Markup(chart),
    }


def _other_kpis(data: ReportData) -> list[dict[str, Any]]:
    # A gate on the mean or the rate shows all that the plain KPI would.
    shown = {row.name for row in data.verdict.rows} if data.verdict else set()
    views = []
    for item in data.kpis:
        if item.name in shown or item.value is None:
            continue
        proportion = item.kind == "proportion"
        views.append(
            {
                "label": item.label,
                "description": _unless_equal(kpi_info(item.name).description, item.label),
                "value": wording.value_text(
                    item.value, item.unit, proportion=proportion, interval=(item.ci_low, item.ci_high)
                ),
                "interval": wording.interval_text(item.ci_low, item.ci_high, item.unit, proportion=proportion),
                "n": item.n,
            }
        )
    return views


def _unless_equal(description: str, label: str) -> str:
    return "" if description.casefold().rstrip(".") == label.casefold() else description


def _plan_uri(svg: str | None) -> str | None:
    """Embed the plan as a picture: a browser runs no script in an SVG picture and loads nothing for it."""
    if svg is None:
        return None
    if "<svg" not in svg[:2_000]:
        raise InputError("the floor plan is not SVG", where="ReportData.plan_svg", mend="pass the text of an SVG file")
    start = svg.index("<svg")
    if "xmlns=" not in svg[start : svg.index(">", start)]:  # inline SVG may go without, a picture may not
        svg = svg[:start] + '<svg xmlns="http://www.w3.org/2000/svg"' + svg[start + len("<svg") :]
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _png_uri(caption: str, png: bytes) -> str:
    if not png.startswith(PNG_SIGNATURE):
        raise InputError(
            "a picture is not a PNG", where=f"ReportData.frames, '{caption}'", mend="encode it as PNG first"
        )
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _class_bars(counts: Mapping[str, int]) -> list[dict[str, Any]]:
    most = max(counts.values(), default=0)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [
        {
            "name": name.replace("_", " "),
            "count": f"{count:,}".replace(",", " "),
            "percent": f"{100.0 * count / most:.1f}" if most else "0",
        }
        for name, count in ordered
    ]


def _gap_view(gap: GapSection) -> dict[str, Any]:
    robots = {metric.robot for metric in gap.metrics}
    # The name of the only robot would repeat itself in every row.
    metrics = [replace(metric, robot="") for metric in gap.metrics] if len(robots) == 1 else list(gap.metrics)
    rows = []
    for metric in metrics:
        change, trend = _change(metric.before, metric.after)
        rows.append(
            {
                "label": _metric_label(metric),
                "before": _estimate_view(metric.before, metric.unit),
                "after": _estimate_view(metric.after, metric.unit),
                "change": change,
                "trend": trend,
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
        "has_floor": any(metric.floor is not None for metric in metrics),
        "headlines": _headlines(metrics),
        "horizons": _horizon_charts(metrics),
        "trajectories": [_trajectory_view(item) for item in gap.trajectories],
        "parameters": [_parameter_view(item) for item in gap.parameters],
    }


def _metric_label(metric: GapMetric, *, with_horizon: bool = True) -> str:
    label = GAP_LABELS.get(metric.name, metric.name.replace("_", " "))
    if metric.horizon_s is not None and with_horizon:
        label += f" after {wording.number_text(metric.horizon_s)} s"
    return f"{label} ({metric.robot})" if metric.robot else label


def _estimate_view(estimate: Estimate | None, unit: str) -> dict[str, str]:
    if estimate is None:
        return {"value": "–", "interval": ""}
    ends = wording.interval_text(estimate.low, estimate.high)
    value = wording.value_text(estimate.value, unit, interval=(estimate.low, estimate.high))
    return {"value": value, "interval": "" if ends == "–" else ends}


def _change(before: Estimate | None, after: Estimate | None) -> tuple[str, str]:
    """Return the relative change and whether it is clear: intervals that overlap leave it open."""
    if before is None or after is None or before.value == 0:
        return "–", "open"
    share = after.value / before.value - 1.0
    text = f"{'+' if share >= 0 else '−'}{abs(100 * share):.0f} %"
    if after.high is not None and before.low is not None and after.high < before.low:
        return text, "better"
    if after.low is not None and before.high is not None and after.low > before.high:
        return text, "worse"
    return text, "open"


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
        change, trend = _change(metric.before, metric.after)
        views.append(
            {
                "label": _metric_label(metric),
                "before": wording.number_text(metric.before.value),
                "after": wording.value_text(metric.after.value, metric.unit),
                "change": change,
                "trend": trend,
            }
        )
    return views


def _horizon_charts(metrics: Sequence[GapMetric]) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str], list[GapMetric]] = {}
    for metric in metrics:
        if metric.horizon_s is not None and metric.horizon_s > 0:
            groups.setdefault((metric.name, metric.robot), []).append(metric)
    charts = []
    for group in groups.values():
        if len(group) < 2:
            continue
        group = sorted(group, key=lambda metric: metric.horizon_s or 0.0)
        label = _metric_label(group[0], with_horizon=False)
        lines: list[HorizonSeries] = []
        pick: dict[tuple[str, str], Callable[[GapMetric], Estimate | None]] = {
            ("Before", "s-before"): lambda metric: metric.before,
            ("After", "s-after"): lambda metric: metric.after,
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
        chart = plots.horizon_chart(horizons, lines, unit=group[0].unit, alt=alt)
        charts.append({"title": label, "chart": Markup(chart), "legend": [(line.name, line.style) for line in lines]})
    return charts


def _trajectory_view(plot: TrajectoryPlot) -> dict[str, Any]:
    series = [Series("Real robot", "s-real", _points(plot.title, plot.real))]
    if plot.before is not None:
        series.append(Series("Before calibration", "s-before", _points(plot.title, plot.before)))
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


def _parameter_view(parameter: TwinParameter) -> dict[str, Any]:
    return {
        "name": parameter.name.replace("_", " "),
        "value": wording.value_text(parameter.value, parameter.unit, interval=(parameter.ci_low, parameter.ci_high)),
        "interval": wording.interval_text(parameter.ci_low, parameter.ci_high, parameter.unit),
        "identifiable": parameter.identifiable,
    }
