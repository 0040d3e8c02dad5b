"""How the cost of a scan and of a picture grows: with solids, beams, pixels and robots; drawn beside two peers."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...common.errors import InputError
from ...common.files import write_json_atomic
from .sensors import run_apart
from .worker import MODULES, Job

PEERS = ("open3d", "pybullet")
HALLS = ((1000.0, 0.0), (2500.0, 0.0), (5000.0, 0.0), (10_000.0, 0.0), (10_000.0, 6000.0))
"""Areas of the hall and of a second one beside it [m^2]: 2,400 to 50,000 solids."""
BEAMS = (90, 360, 1440, 5760)
PIXELS = ((64, 48), (128, 96), (320, 240), (640, 480), (1280, 960))
ROBOTS = (1, 4, 16, 64)
ROBOTS_AREA = 10_000.0

LABELS = {"ours": "Floorcast", "open3d": "Open3D (Embree)", "pybullet": "PyBullet"}
COLORS = {"ours": "#1b4f8f", "open3d": "#c2571a", "pybullet": "#3b7d4f"}
MARKERS = {"ours": "o", "open3d": "s", "pybullet": "^"}
PANELS: tuple[tuple[str, str, str], ...] = (
    ("solids, lidar 360 beams", "static solids", "lidar, 360 beams"),
    ("solids, lidar 16 x 1024", "static solids", "lidar, 16 x 1024"),
    ("solids, camera 128 x 128", "static solids", "camera, 128 x 128"),
    ("beams", "beams of a lidar of one ring", "2,400 solids"),
    ("pixels", "pixels of a picture", "2,400 solids"),
    ("robots", "robots, each with a lidar of 360 beams", "all robots, 32,000 solids"),
)


@dataclass(frozen=True)
class Point:
    """One measured point: panel, who, where on the horizontal axis, median and least time [ms]."""

    panel: str
    who: str
    at: float
    median_ms: float
    least_ms: float


def measure_scaling(
    *, peers: Sequence[str] = PEERS, tell: Callable[[str], None] | None = None, quick: bool = False
) -> tuple[list[Point], list[str]]:
    """Measure all panels on one core, bodies placed for each call.

    Args:
        peers: names (``worker.MODULES``) that are measured beside ours. tell: is told what runs.
        quick: a few small cases only, to try it out.

    Returns:
        Points, and why peers are missing somewhere.

    Raises:
        InputError: a peer that there is not.
    """
    for name in peers:
        if name not in MODULES:
            raise InputError(f"there is no peer {name!r}", where="bench scaling", mend=f"one of {', '.join(MODULES)}")
    points: list[Point] = []
    missing: list[str] = []
    cases = _cases(quick)
    for number, (name, case) in enumerate((name, case) for case in cases for name in peers):
        panel, job = case
        if tell is not None:
            tell(f"{number + 1} of {len(cases) * len(peers)}: {name}, {panel}")
        outcome = run_apart(replace(job, peer=name))
        if outcome.reason:
            missing.append(f"{LABELS.get(name, name)}, {panel}: {outcome.reason}")
        for item in outcome.comparisons:
            place, at = _axis(panel, item.name, outcome.solids, job)
            times = job.batch if panel == "robots" else 1
            points.append(Point(place, "ours", at, times * item.ours_ms, times * item.ours_min_ms))
            points.append(Point(place, name, at, times * item.peer_ms, times * item.peer_min_ms))
    return _merged(points), missing


def draw_scaling(points: Sequence[Point], path: str | Path) -> None:
    """Draw the panels into a PNG or SVG file; medians as lines, least times as the lower ends of bars."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    panels = [panel for panel in PANELS if any(point.panel == panel[0] for point in points)]
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, grid = pyplot.subplots(rows, columns, figsize=(4.3 * columns, 3.5 * rows), squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (panel, label, title) in zip(grid.flat, panels, strict=False):
        _draw_panel(axes, [point for point in points if point.panel == panel])
        axes.set_xlabel(label)
        axes.set_title(title, fontsize=10, loc="left")
    for row in grid:
        row[0].set_ylabel("time on one core [ms]")
    handles, names = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, names, loc="upper center", ncols=len(names), frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.95))
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def bench_scaling(
    out: str | Path,
    *,
    peers: Sequence[str] = PEERS,
    tell: Callable[[str], None] | None = None,
    quick: bool = False,
) -> tuple[list[Point], list[str]]:
    """Measure (``measure_scaling``), and write ``scaling.png``, ``scaling.svg`` and ``scaling.json`` into a folder."""
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    points, missing = measure_scaling(peers=peers, tell=tell, quick=quick)
    write_json_atomic(folder / "scaling.json", [asdict(point) for point in points])
    for suffix in ("png", "svg"):
        draw_scaling(points, folder / f"scaling.{suffix}")
    return points, missing


def _cases(quick: bool) -> list[tuple[str, Job]]:
    processors = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [-1]
    base = Job("", processor=processors[-1], repeat=3 if quick else 10, places=2, seconds=1.0, check=False)
    sensors = ("lidar 360 beams", "lidar 16 x 1024", "camera 128 x 128")
    if quick:
        small = replace(base, area=200.0, places=1)
        return [
            ("solids", replace(small, sensors=sensors[:1])),
            ("beams", replace(small, sensors=("lidar 90 beams", "lidar 360 beams"))),
            ("robots", replace(small, sensors=sensors[:1], batch=2, robots=2)),
        ]
    cases = [("solids", replace(base, sensors=sensors, area=area, annex=annex)) for area, annex in HALLS]
    cases.append(("beams", replace(base, sensors=tuple(f"lidar {count} beams" for count in BEAMS))))
    cases.append(("pixels", replace(base, sensors=tuple(f"camera {w} x {h}" for w, h in PIXELS))))
    cases += [
        ("robots", replace(base, sensors=sensors[:1], area=ROBOTS_AREA, robots=count, batch=count)) for count in ROBOTS
    ]
    return cases


def _axis(panel: str, sensor: str, solids: int, job: Job) -> tuple[str, float]:
    """Return the panel and the place on its horizontal axis of a comparison."""
    if panel == "solids":
        return f"solids, {sensor}", float(solids)
    if panel == "robots":
        return panel, float(job.batch)
    numbers = [int(word) for word in sensor.split() if word.isdigit()]
    return panel, float(np.prod(numbers))


def _merged(points: list[Point]) -> list[Point]:
    """Return the points with those of ours that were measured against several peers merged: the middle of medians."""
    found: dict[tuple[str, str, float], list[Point]] = {}
    for point in points:
        found.setdefault((point.panel, point.who, point.at), []).append(point)
    return [
        replace(
            group[0],
            median_ms=float(np.median([point.median_ms for point in group])),
            least_ms=min(point.least_ms for point in group),
        )
        for group in found.values()
    ]


def _draw_panel(axes: Any, points: list[Point]) -> None:
    for who in dict.fromkeys(point.who for point in points):
        line = sorted((point for point in points if point.who == who), key=lambda point: point.at)
        at, median = [point.at for point in line], np.array([point.median_ms for point in line])
        below = np.maximum(median - [point.least_ms for point in line], 0.0)
        axes.errorbar(
            at,
            median,
            yerr=[below, np.zeros_like(below)],
            color=COLORS.get(who, "#666666"),
            marker=MARKERS.get(who, "d"),
            markersize=4,
            linewidth=1.6,
            elinewidth=0.8,
            label=LABELS.get(who, who),
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.minorticks_off()
    places = sorted({point.at for point in points})
    axes.set_xticks(places, [f"{value:,.0f}" for value in places], rotation=25, ha="right")
    axes.grid(True, which="major", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
