"""The report: one self-contained HTML page that opens from a file, without network or scripts.

Everything is embedded (style, charts as SVG, pictures as data URIs); a content security policy in the page forbids the
browser to load anything else. All text is escaped. Equal data gives equal bytes: no clock, no random ids.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from .. import __version__
from ..common.errors import InputError
from ..common.files import write_text_atomic
from . import plots, wording
from .gap_section import GapMetric, GapSection, TrajectoryPlot, TwinParameter, gap_view, pair_metrics
from .gates import GateRow, Verdict
from .kpis import KpiEstimate, kpi_info
from .plots import Estimate
from .templates import page_environment, read_template

__all__ = [
    "Estimate",
    "Failure",
    "GapMetric",
    "GapSection",
    "ReportData",
    "TrajectoryPlot",
    "TwinParameter",
    "pair_metrics",
    "render_report",
    "write_report",
]

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


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
    return (
        page_environment()
        .get_template("report.html.j2")
        .render(
            data=data,
            version=__version__,
            style=Markup(read_template("report.css")),
            gates=_gate_rows(data.verdict),
            sentence=wording.verdict_sentence(data.verdict, subject=data.subject) if data.verdict else "",
            kpis=_other_kpis(data),
            plan=_plan_uri(data.plan_svg),
            frames=[(caption, _png_uri(caption, png)) for caption, png in data.frames],
            classes=_class_bars(data.class_counts),
            gap=gap_view(data.gap) if data.gap else None,
        )
    )


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
