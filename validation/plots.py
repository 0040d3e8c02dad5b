"""Charts as SVG text for the report page: colours come from the page's style sheet, so that they follow its theme.

Classes used: ``grid``, ``axis``, ``tick``, ``s-real``, ``s-before``, ``s-after``, ``s-floor`` (lines), the same with
``-band`` (areas) and ``-dot`` (markers), ``good``, ``bound``, ``ci``, ``point``. Equal input gives equal bytes.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .statistics import Side
from .wording import number_text

FloatArray = NDArray[np.float64]
MAX_POINTS = 4_000


@dataclass(frozen=True)
class Series:
    """A line of a chart: its name in the legend, its style class and points (N, 2); NaN rows break the line."""

    name: str
    style: str
    points: FloatArray


@dataclass(frozen=True)
class Estimate:
    """A value and the ends of its interval; None where there is none."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class HorizonSeries:
    """A line over prediction horizons: name, style class and one estimate (or None) for each horizon."""

    name: str
    style: str
    estimates: tuple[Estimate | None, ...]


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return about ``count`` round numbers (steps of 1, 2 or 5 times a power of ten) inside [low, high]."""
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low] if math.isfinite(low) else []
    raw = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = min((power * factor for factor in (1.0, 2.0, 5.0, 10.0)), key=lambda size: abs(math.log(size / raw)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


def interval_bar(
    value: float | None, low: float | None, high: float | None, bound: float, side: Side, *, proportion: bool, alt: str
) -> str:
    """Return a small chart of one gate: good side shaded, limit as a line, interval as a bar, value as a dot.

    An unbounded end of the interval runs to the edge of the chart.
    """
    width, height, middle, pad = 220.0, 34.0, 17.0, 8.0
    least, most = _domain([value, low, high, bound], proportion)

    def x(number: float) -> float:
        share = (number - least) / (most - least)
        return pad + (width - 2 * pad) * min(max(share, 0.0), 1.0)

    edge = x(bound)
    good_from, good_to = (edge, width - pad) if side == "min" else (pad, edge)
    parts = [
        f'<rect class="track" x="{pad:.1f}" y="{middle - 6:.1f}" width="{width - 2 * pad:.1f}" height="12" rx="3"/>',
        f'<rect class="good" x="{good_from:.1f}" y="{middle - 6:.1f}" width="{max(good_to - good_from, 0):.1f}"'
        ' height="12" rx="3"/>',
    ]
    if value is not None and (low is not None or high is not None):
        left = x(low) if low is not None else pad
        right = x(high) if high is not None else width - pad
        parts.append(f'<line class="ci" x1="{left:.1f}" y1="{middle}" x2="{right:.1f}" y2="{middle}"/>')
        for end, known in ((left, low is not None), (right, high is not None)):
            if known:
                parts.append(f'<line class="ci" x1="{end:.1f}" y1="{middle - 5}" x2="{end:.1f}" y2="{middle + 5}"/>')
    parts.append(f'<line class="bound" x1="{edge:.1f}" y1="3" x2="{edge:.1f}" y2="{height - 3:.0f}"/>')
    if value is not None:
        parts.append(f'<circle class="point" cx="{x(value):.1f}" cy="{middle}" r="4.5"/>')
    return _svg(width, height, parts, alt, "bar")


def trajectory_chart(series: Sequence[Series], *, alt: str, width: float = 460.0, max_height: float = 460.0) -> str:
    """Return paths seen from above, x and y [m] to one scale, with a metre grid and a dot where the first begins.

    Args:
        series: lines with points (N, 2) [m]; one without a finite point is left out.
        alt: description for those who cannot see the chart.
        width, max_height: of the drawing, in its own units.
    """
    known = [item for item in series if np.isfinite(item.points).all(axis=-1).any()]
    if not known:
        return _svg(width, 60, ['<text class="tick" x="12" y="34">no trajectory</text>'], alt, "chart")
    every = np.concatenate([item.points[np.isfinite(item.points).all(axis=-1)] for item in known])
    low, high = every.min(axis=0), every.max(axis=0)
    span = max(float((high - low).max()), 0.1)
    margin = 0.05 * span
    low, high = low - margin, high + margin
    left, right, top, bottom = 46.0, 12.0, 10.0, 38.0
    scale = min((width - left - right) / (high[0] - low[0]), (max_height - top - bottom) / (high[1] - low[1]))
    height = top + bottom + scale * float(high[1] - low[1])
    if height < 200.0:  # a flat path gets some room above and below
        extra = 0.5 * (200.0 - height) / scale
        low[1], high[1], height = low[1] - extra, high[1] + extra, 200.0
    extra_x = 0.5 * ((width - left - right) / scale - float(high[0] - low[0]))
    low[0], high[0] = low[0] - extra_x, high[0] + extra_x

    def place(points: FloatArray) -> FloatArray:
        return np.stack([left + (points[:, 0] - low[0]) * scale, height - bottom - (points[:, 1] - low[1]) * scale], -1)

    parts = _metre_grid(low, high, place, left, width - right, top, height - bottom)
    for item in known:
        pixels = place(np.asarray(item.points, dtype=np.float64))
        parts.append(f'<path class="{_attribute(item.style)}" d="{_path(pixels)}"/>')
    start = place(known[0].points[np.isfinite(known[0].points).all(axis=-1)][:1])[0]
    parts.append(f'<circle class="{_attribute(known[0].style)}-dot" cx="{start[0]:.1f}" cy="{start[1]:.1f}" r="4"/>')
    return _svg(width, height, parts, alt, "chart")


def horizon_chart(
    horizons: Sequence[float], series: Sequence[HorizonSeries], *, unit: str, alt: str, width: float = 420.0
) -> str:
    """Return errors over prediction horizons [s] (logarithmic) from zero up, with intervals as bands.

    Args:
        horizons: (K,) increasing, > 0.
        series: lines with K estimates each.
        unit: of the values.
        alt: description for those who cannot see the chart.
        width: of the drawing, in its own units.
    """
    height, left, right, top, bottom = 260.0, 52.0, 16.0, 24.0, 40.0
    tops = [e.high if e.high is not None else e.value for s in series for e in s.estimates if e is not None]
    most = max(tops, default=1.0) * 1.08 or 1.0
    logs = [math.log(h) for h in horizons]
    reach = (logs[-1] - logs[0]) if len(logs) > 1 else 1.0

    def x(index: int) -> float:
        share = (logs[index] - logs[0]) / reach if len(logs) > 1 else 0.5
        return left + 14 + (width - left - right - 28) * share

    def y(value: float) -> float:
        return height - bottom - (height - top - bottom) * min(max(value / most, 0.0), 1.0)

    parts = []
    for tick in nice_ticks(0.0, most, 5):
        parts.append(f'<line class="grid" x1="{left}" y1="{y(tick):.1f}" x2="{width - right}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{_tick(tick)}</text>')
    for index, horizon in enumerate(horizons):
        parts.append(
            f'<text class="tick" x="{x(index):.1f}" y="{height - bottom + 17:.1f}" text-anchor="middle">'
            f"{_tick(horizon)}</text>"
        )
    parts.append(f'<line class="axis" x1="{left}" y1="{y(0)}" x2="{width - right}" y2="{y(0)}"/>')
    parts.append(
        f'<text class="tick" x="{(left + width - right) / 2:.1f}" y="{height - 6:.1f}" text-anchor="middle">'
        "seconds of replay</text>"
    )
    parts.append(f'<text class="tick" x="4" y="14">{html.escape(unit)}</text>')
    for shift, item in zip(_shifts(len(series)), series, strict=True):
        parts.extend(_horizon_line(item, [x(i) + shift for i in range(len(horizons))], y))
    return _svg(width, height, parts, alt, "chart")


def _horizon_line(item: HorizonSeries, xs: Sequence[float], y: Callable[[float], float]) -> list[str]:
    style = _attribute(item.style)
    known = [(position, e) for position, e in zip(xs, item.estimates, strict=True) if e is not None]
    parts = []
    if len(known) > 1:
        points = " ".join(f"{position:.1f},{y(e.value):.1f}" for position, e in known)
        parts.append(f'<polyline class="{style}" points="{points}"/>')
    for position, e in known:
        if e.low is not None and e.high is not None:
            parts.append(
                f'<line class="{style} whisker" x1="{position:.1f}" y1="{y(e.low):.1f}" x2="{position:.1f}" '
                f'y2="{y(e.high):.1f}"/>'
            )
        parts.append(f'<circle class="{style}-dot" cx="{position:.1f}" cy="{y(e.value):.1f}" r="4"/>')
    return parts


def _shifts(count: int) -> list[float]:
    """Set lines beside each other, so that whiskers do not cover each other."""
    return [5.0 * (index - (count - 1) / 2) for index in range(count)]


def _metre_grid(
    low: FloatArray,
    high: FloatArray,
    place: Callable[[FloatArray], FloatArray],
    left: float,
    right: float,
    top: float,
    bottom: float,
) -> list[str]:
    span = max(float(high[0] - low[0]), 1e-9)
    parts = []
    count_y = max(2, round(5 * float(high[1] - low[1]) / span))
    for tick in nice_ticks(float(low[0]), float(high[0]), 6):
        px = float(place(np.array([[tick, low[1]]]))[0, 0])
        parts.append(f'<line class="grid" x1="{px:.1f}" y1="{top:.1f}" x2="{px:.1f}" y2="{bottom:.1f}"/>')
        parts.append(f'<text class="tick" x="{px:.1f}" y="{bottom + 16:.1f}" text-anchor="middle">{_tick(tick)}</text>')
    for tick in nice_ticks(float(low[1]), float(high[1]), count_y):
        py = float(place(np.array([[low[0], tick]]))[0, 1])
        parts.append(f'<line class="grid" x1="{left:.1f}" y1="{py:.1f}" x2="{right:.1f}" y2="{py:.1f}"/>')
        parts.append(f'<text class="tick" x="{left - 6:.1f}" y="{py + 4:.1f}" text-anchor="end">{_tick(tick)}</text>')
    parts.append(
        f'<text class="tick" x="{(left + right) / 2:.1f}" y="{bottom + 33:.1f}" text-anchor="middle">metres</text>'
    )
    return parts


def _domain(numbers: Sequence[float | None], proportion: bool) -> tuple[float, float]:
    if proportion:
        return 0.0, 1.0
    known = [number for number in numbers if number is not None]
    low, high = min(known), max(known)
    if low >= 0.0 and low < 0.5 * high:
        low = 0.0
    pad = 0.12 * (high - low) or max(abs(high), 1.0) * 0.5
    return (low if low == 0.0 else low - pad), high + pad


def _path(pixels: FloatArray) -> str:
    """Return path commands, to a tenth of a unit, without repeated points; gaps where a row is not finite."""
    stride = max(1, math.ceil(len(pixels) / MAX_POINTS))
    kept = pixels[::stride]
    if len(pixels) and (len(pixels) - 1) % stride:
        kept = np.concatenate([kept, pixels[-1:]])
    rounded = np.round(kept, 1)
    commands: list[str] = []
    previous: tuple[float, float] | None = None
    for px, py in rounded.tolist():
        if not (math.isfinite(px) and math.isfinite(py)):
            previous = None
        elif previous is None:
            commands.append(f"M{px:g} {py:g}")
            previous = (px, py)
        elif (px, py) != previous:
            commands.append(f"L{px:g} {py:g}")
            previous = (px, py)
    return "".join(commands)


def _tick(value: float) -> str:
    return f"{value:g}".replace("-", "−") if abs(value) < 1e6 else number_text(value)


def _attribute(text: str) -> str:
    return html.escape(text, quote=True)


def _svg(width: float, height: float, parts: Sequence[str], alt: str, style: str) -> str:
    body = "".join(parts)
    return (
        f'<svg class="{style}" viewBox="0 0 {width:g} {height:.0f}" role="img" aria-label="{_attribute(alt)}" '
        f'xmlns="http://www.w3.org/2000/svg">{body}</svg>'
    )
