"""The page of a gap measurement or a calibration: one self-contained HTML file for people who run the site.

It opens from a file, without network or scripts, in light and dark, on a phone and on paper. All text is escaped.
Equal data gives equal bytes. The gap's own module stands on the same floor and is not imported: everything comes as
plain data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from .. import __version__
from ..common.errors import InputError
from ..common.files import write_text_atomic
from . import gap_plots, wording
from .gap_plots import Bars
from .gap_section import GapMetric, GapSection, gap_view, parameter_label, plain_unit
from .plots import Estimate
from .templates import page_environment, read_template

FloatArray = NDArray[np.float64]
Kind = Literal["dynamics", "sensor", "scene", "behaviour", "reference", "unexplained"]

KINDS: dict[str, tuple[str, str]] = {
    "dynamics": ("Dynamics", "how the robot drives: gains, delay, slip"),
    "sensor": ("Sensor", "what the lidar and the wheel counters add of their own"),
    "scene": ("Scene", "walls, racks and goods that are not where the map has them"),
    "behaviour": ("Behaviour", "others on the floor: people, robots, waiting"),
    "reference": ("Reference", "the log's own truth is not exact; simulation has no part in it"),
    "unexplained": ("Not explained", "what none of the models here accounts for"),
}
"""Sources of the gap: their names, and what they are in a few words."""
MAX_ROWS = 60
"""Figures shown in the open; a longer table is folded away."""


@dataclass(frozen=True)
class Share:
    """A part of an observed error: its source, a name, its share (0..1) with interval, and what it means."""

    kind: Kind
    name: str
    share: float
    low: float | None = None
    high: float | None = None
    meaning: str = ""


@dataclass(frozen=True)
class Split:
    """One observed error cut into shares: what 100 % is, and how the shares were found."""

    title: str
    whole: str
    shares: Sequence[Share]
    how: str = ""


@dataclass(frozen=True)
class Action:
    """Something that would narrow the gap.

    ``gain`` is the share (0..1) of the error named in ``of`` that it is expected to remove; None where the log cannot
    tell. With ``at_most`` it is all that there is to win, and not what is expected. ``evidence`` says what the
    expectation rests on, ``cost`` what it takes.
    """

    title: str
    sentence: str
    cost: str
    evidence: str
    gain: float | None = None
    low: float | None = None
    high: float | None = None
    of: str = ""
    at_most: bool = False


@dataclass(frozen=True)
class Histogram:
    """Samples (N,) by series, name and style class, over common bins between two ends, in ``unit``."""

    title: str
    unit: str
    series: Sequence[tuple[str, str, FloatArray]]
    low: float
    high: float
    caption: str = ""
    bins: int = 50


@dataclass(frozen=True)
class Coverage:
    """How many real end points lay within the predicted 95 % band, by horizon [s]."""

    title: str
    horizons: Sequence[float]
    series: Sequence[tuple[str, str, Sequence[Estimate | None]]]
    caption: str = ""
    target: tuple[float, float] = (0.93, 0.97)


@dataclass(frozen=True)
class MapPicture:
    """A hall as the lidar saw it: walls (W, 4) [m], points (N, 2) [m] by kind, the robot's path (P, 2) [m]."""

    title: str
    walls: FloatArray
    points: Mapping[str, FloatArray]
    path: FloatArray | None = None
    caption: str = ""


@dataclass(frozen=True)
class DriftRow:
    """A parameter of one robot: what its twin expects, and what it would be now if it had moved.

    ``now`` is sought over all moments for the one from which on the value looks most unlike the twin's, so it lies
    away from what is expected by chance too; ``evidence`` is its test's statistic over what an alarm takes, and
    ``moved`` says that it was enough. ``since_s``: that moment [s].
    """

    robot: str
    parameter: str
    unit: str
    expected: Estimate
    now: Estimate
    moved: bool
    since_s: float | None = None
    evidence: float | None = None


@dataclass(frozen=True)
class Drift:
    """What the drift monitor saw: sentences, parameters, notes; and courses over time with what was expected."""

    alarm: bool
    sentences: Sequence[str]
    rows: Sequence[DriftRow] = ()
    notes: Sequence[str] = ()
    courses: Sequence[tuple[str, str, FloatArray, FloatArray, tuple[float, float]]] = ()
    """Title, unit, times (N,) [s], values (N,), lowest and highest expected value."""
    at_s: float | None = None


@dataclass(frozen=True)
class FamilyRow:
    """A parameter across robots of one kind: mean, spread between robots, and each robot's own value."""

    name: str
    unit: str
    mean: float
    spread: float
    robots: Mapping[str, Estimate]


@dataclass(frozen=True)
class Block:
    """Metrics and pictures of one part of the gap, with an opening sentence; ``sides`` names the two compared."""

    lead: str = ""
    metrics: Sequence[GapMetric] = ()
    histograms: Sequence[Histogram] = ()
    maps: Sequence[MapPicture] = ()
    coverage: Sequence[Coverage] = ()
    notes: Sequence[str] = ()
    sides: tuple[str, str] = ("Before", "After")


@dataclass(frozen=True)
class GapPage:
    """What the page shows; a section without data is left out.

    Attributes:
        title, subtitle: of the page.
        answers: the result in a few plain sentences, the most important first.
        facts: a few (name, value) at the top.
        actions: what to fix first, the greatest gain first.
        splits: where the gap comes from.
        motion: metrics, trajectories and parameters of the replay; its prediction in ``predicted``.
        lidar, odometry, tasks: the other parts.
        families: parameters across robots.
        drift: of a log against a twin.
        findings: of the import. missing: (what, why) could not be measured.
        command: that made the page. conditions: (name, value) it ran under.
        warnings: what a reader must know before trusting the page.
    """

    title: str
    subtitle: str = ""
    answers: Sequence[str] = ()
    facts: Sequence[tuple[str, str]] = ()
    actions: Sequence[Action] = ()
    splits: Sequence[Split] = ()
    motion: GapSection | None = None
    predicted: Block | None = None
    lidar: Block | None = None
    odometry: Block | None = None
    tasks: Block | None = None
    families: Sequence[FamilyRow] = ()
    drift: Drift | None = None
    findings: Sequence[str] = ()
    missing: Sequence[tuple[str, str]] = ()
    command: str = ""
    conditions: Sequence[tuple[str, str]] = ()
    warnings: Sequence[str] = field(default_factory=list)


def write_gap_page(path: str | Path, page: GapPage) -> None:
    """Write the page, whole or not at all.

    Raises:
        InputError: a picture has the wrong shape, or the file cannot be written.
    """
    write_text_atomic(path, render_gap_page(page))


def render_gap_page(page: GapPage) -> str:
    """Return the page as text; raises as ``write_gap_page``."""
    blocks = {
        "predicted": ("Does the prediction hold?", page.predicted),
        "lidar": ("Lidar", page.lidar),
        "odometry": ("Wheel odometry", page.odometry),
        "tasks": ("Tasks and routes", page.tasks),
    }
    used = dict.fromkeys(share.kind for split in page.splits for share in split.shares)
    return (
        page_environment()
        .get_template("gap.html.j2")
        .render(
            page=page,
            version=__version__,
            style=Markup(read_template("report.css") + read_template("gap.css")),
            motion=_motion_view(page.motion) if page.motion else None,
            actions=[_action_view(item) for item in page.actions],
            splits=[_split_view(item) for item in page.splits],
            kinds=[(kind, *KINDS[kind]) for kind in KINDS if kind in used],
            blocks=[(key, title, _block_view(block)) for key, (title, block) in blocks.items() if block is not None],
            families=[_family_view(item) for item in page.families],
            drift=_drift_view(page.drift) if page.drift else None,
            max_rows=MAX_ROWS,
        )
    )


def _motion_view(section: GapSection) -> dict[str, Any]:
    """Draw charts for one robot only, or for all together: thirty robots would make ninety charts."""
    robots = list(dict.fromkeys(metric.robot for metric in section.metrics))
    chosen = "all" if "all" in robots else robots[0] if robots else ""
    view = gap_view(section)
    if len(robots) > 1:
        some = gap_view(replace(section, metrics=[m for m in section.metrics if m.robot == chosen], trajectories=()))
        view.update(horizons=some["horizons"], headlines=some["headlines"])
    view["of"] = "all robots together" if chosen == "all" else chosen
    view["several"] = len(robots) > 1
    return view


def _action_view(action: Action) -> dict[str, Any]:
    gain = None if action.gain is None else max(0.0, min(1.0, action.gain))
    return {
        "title": action.title,
        "sentence": action.sentence,
        "cost": action.cost,
        "evidence": action.evidence,
        "gain": "" if gain is None else ("up to " if action.at_most else "") + wording.percent_text(round(gain, 2)),
        "interval": "" if action.low is None else wording.interval_text(action.low, action.high, proportion=True),
        "of": action.of,
        "bar": "" if gain is None else f"{100 * gain:.1f}",
    }


def _split_view(split: Split) -> dict[str, Any]:
    shares = [
        {
            "kind": item.kind,
            "source": KINDS[item.kind][0],
            "name": item.name,
            "share": wording.percent_text(round(item.share, 3)),
            "interval": "" if item.low is None else wording.interval_text(item.low, item.high, proportion=True),
            "meaning": item.meaning,
        }
        for item in split.shares
    ]
    alt = f"{split.title}: " + ", ".join(f"{item['name']} {item['share']}" for item in shares)
    bar = gap_plots.share_bar([(item.kind, item.share) for item in split.shares], alt=alt)
    return {"title": split.title, "whole": split.whole, "how": split.how, "shares": shares, "bar": Markup(bar)}


def _block_view(block: Block) -> dict[str, Any]:
    view = gap_view(GapSection(metrics=block.metrics), sides=block.sides)
    pictures = [_histogram_view(item) for item in block.histograms]
    pictures += [_coverage_view(item) for item in block.coverage]
    return {
        "lead": block.lead,
        "table": view,
        "pictures": pictures,
        "maps": [_map_view(item) for item in block.maps],
        "notes": block.notes,
    }


def _histogram_view(item: Histogram) -> dict[str, Any]:
    if not item.high > item.low:
        raise InputError("a histogram has no width", where=f"Histogram '{item.title}'", mend="give low below high")
    edges = np.linspace(item.low, item.high, item.bins + 1)
    bars, legend = [], []
    for name, style, values in item.series:
        known = np.asarray(values, dtype=np.float64)
        known = known[np.isfinite(known)]
        counts = np.histogram(np.clip(known, item.low, item.high), edges)[0]
        bars.append(Bars(name, style, counts / max(len(known), 1)))
        legend.append((name, style))
    alt = f"{item.title}: distribution of " + ", ".join(name for name, _ in legend)
    chart = gap_plots.histogram(edges, bars, unit=item.unit, alt=alt)
    return {"title": item.title, "caption": item.caption, "chart": Markup(chart), "legend": legend}


def _coverage_view(item: Coverage) -> dict[str, Any]:
    series = [(style, estimates) for _, style, estimates in item.series]
    alt = f"{item.title}: share of real end points within the predicted 95 % band, by seconds ahead"
    chart = gap_plots.coverage_chart(item.horizons, series, target=item.target, alt=alt)
    legend = [(name, style) for name, style, _ in item.series]
    return {"title": item.title, "caption": item.caption, "chart": Markup(chart), "legend": legend}


_DOTS = {
    "match": "seen where the map has it",
    "pose": "off because the log's pose is",
    "map": "the map is wrong here",
    "moving": "something moved or new",
    "unexplained": "not explained",
}


def _map_view(item: MapPicture) -> dict[str, Any]:
    walls = np.asarray(item.walls, dtype=np.float64)
    if walls.ndim != 2 or walls.shape[1] != 4:
        raise InputError(
            f"walls have shape {walls.shape}, not (W, 4)",
            where=f"MapPicture '{item.title}'",
            mend="give x1, y1, x2, y2",
        )
    points = {kind: np.asarray(xy, dtype=np.float64).reshape(-1, 2) for kind, xy in item.points.items()}
    legend = [(f"dots-{kind}", _DOTS.get(kind, kind)) for kind, xy in points.items() if len(xy)]
    alt = f"{item.title}: walls, the robot's path and lidar points: " + ", ".join(text for _, text in legend)
    chart = gap_plots.map_picture(walls, points, item.path, alt=alt)
    return {"title": item.title, "caption": item.caption, "chart": Markup(chart), "legend": legend}


def _drift_view(drift: Drift) -> dict[str, Any]:
    courses = []
    for title, unit, times, values, band in drift.courses:
        alt = f"{title} over the log, with the band that the twin expects"
        chart = gap_plots.timeline(times, values, band, alarm_at=drift.at_s, unit=unit, alt=alt)
        courses.append({"title": title, "chart": Markup(chart)})
    rows = [
        {
            "name": (f"{row.robot}: " if row.robot else "") + parameter_label(row.parameter),
            "expected": _text(row.expected, plain_unit(row.unit)),
            "now": _text(row.now, plain_unit(row.unit)),
            "moved": row.moved,
            "since": wording.MISSING if row.since_s is None else f"from {row.since_s:.0f} s on",
            "evidence": "" if row.evidence is None else wording.percent_text(round(row.evidence, 2)),
        }
        for row in drift.rows
    ]
    return {"alarm": drift.alarm, "sentences": drift.sentences, "rows": rows, "notes": drift.notes, "courses": courses}


def _text(estimate: Estimate, unit: str) -> dict[str, str]:
    ends = (estimate.low, estimate.high)
    interval = wording.interval_text(*ends)
    return {
        "value": wording.value_text(estimate.value, unit, interval=ends),
        "interval": "" if interval == "–" else interval,
    }


def _family_view(row: FamilyRow) -> dict[str, Any]:
    ends = [end for e in row.robots.values() for end in (e.value, e.low, e.high) if end is not None]
    ends += [row.mean - row.spread, row.mean + row.spread]
    low, high = min(ends), max(ends)
    robots = []
    for name, e in row.robots.items():
        text = wording.value_text(e.value, plain_unit(row.unit), interval=(e.low, e.high))
        bounds = (e.value if e.low is None else e.low, e.value if e.high is None else e.high)
        alt = f"{row.name} of {name}: {text}"
        bar = gap_plots.parameter_bar(e.value, *bounds, low, high, alt=alt)
        robots.append({"name": name, "value": text, "bar": Markup(bar)})
    return {
        "name": parameter_label(row.name),
        "mean": wording.value_text(row.mean, plain_unit(row.unit)),
        "spread": wording.value_text(row.spread, plain_unit(row.unit)),
        "robots": robots,
    }
