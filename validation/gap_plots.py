"""Charts of the gap page as SVG text, in the manner of ``plots``: colours come from the style sheet.

Classes used besides those of ``plots``: ``kind-<source>`` (areas of a share bar), ``dots-<kind>`` (points of a map),
``wall``, ``band``, ``alarm``. Equal input gives equal bytes.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .plots import Estimate, nice_ticks
from .wording import percent_text

FloatArray = NDArray[np.float64]
MAP_POINTS = 6_000
"""Points drawn of each kind; more are thinned out evenly."""


@dataclass(frozen=True)
class Bars:
    """One series of a histogram: its name, style class and the share of samples in each bin (B,)."""

    name: str
    style: str
    shares: FloatArray


def share_bar(shares: Sequence[tuple[str, float]], *, alt: str) -> str:
    """Return one horizontal bar cut into shares (kind, 0..1); what is below zero takes no room."""
    width, height = 600.0, 26.0
    total = sum(max(share, 0.0) for _, share in shares)
    parts = [f'<rect class="track" x="0" y="0" width="{width:g}" height="{height:g}" rx="5"/>']
    place = 0.0
    for kind, share in shares:
        size = width * max(share, 0.0) / max(total, 1.0)
        if size >= 0.5:
            parts.append(
                f'<rect class="kind-{_attribute(kind)}" x="{place:.1f}" y="0" width="{max(size - 1.5, 0.5):.1f}" '
                f'height="{height:g}" rx="3"/>'
            )
        place += size
    return (
        f'<svg class="share" viewBox="0 0 {width:g} {height:g}" preserveAspectRatio="none" role="img" '
        f'aria-label="{_attribute(alt)}" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def histogram(edges: FloatArray, series: Sequence[Bars], *, unit: str, alt: str, width: float = 420.0) -> str:
    """Return histograms over common bins as outlines, the first one filled.

    Args:
        edges: (B + 1,) of the bins, ascending.
        series: shares of the samples by bin.
        unit: of the edges.
        alt: description for those who cannot see the chart.
        width: of the drawing, in its own units.
    """
    height, left, right, top, bottom = 240.0, 46.0, 14.0, 22.0, 40.0
    most = max((float(item.shares.max()) for item in series if len(item.shares)), default=1.0) * 1.06 or 1.0
    low, high = float(edges[0]), float(edges[-1])

    def x(value: float) -> float:
        return left + (width - left - right) * (value - low) / (high - low)

    def y(share: float) -> float:
        return height - bottom - (height - top - bottom) * min(share / most, 1.0)

    parts = _axes(
        x, y, nice_ticks(low, high, 6), nice_ticks(0.0, most, 4), (left, width - right), height - bottom, percent=True
    )
    parts.append(_below(width, left, right, height, unit))
    parts.append('<text class="tick" x="4" y="13">share of samples</text>')
    for number, item in enumerate(series):
        points = [f"{x(low):.1f} {y(0.0):.1f}"]
        for index, share in enumerate(item.shares.tolist()):
            points += [
                f"{x(float(edges[index])):.1f} {y(share):.1f}",
                f"{x(float(edges[index + 1])):.1f} {y(share):.1f}",
            ]
        points.append(f"{x(high):.1f} {y(0.0):.1f}")
        path = "M" + "L".join(points)
        if number == 0:
            parts.append(f'<path class="{_attribute(item.style)}-band" d="{path}Z"/>')
        parts.append(f'<path class="{_attribute(item.style)}" d="{path}"/>')
    return _svg(width, height, parts, alt)


def coverage_chart(
    horizons: Sequence[float],
    series: Sequence[tuple[str, Sequence[Estimate | None]]],
    *,
    target: tuple[float, float],
    alt: str,
    width: float = 420.0,
) -> str:
    """Return how many real end points lay inside the predicted band, over prediction horizons [s].

    Args:
        horizons: (K,) increasing, > 0.
        series: (style class, K estimates of the share 0..1).
        target: shares between which it should be; drawn as a band.
        alt: description for those who cannot see the chart.
        width: of the drawing, in its own units.
    """
    height, left, right, top, bottom = 240.0, 46.0, 14.0, 22.0, 40.0
    known = [e for _, estimates in series for e in estimates if e is not None]
    least = min([0.8, *(e.low if e.low is not None else e.value for e in known)])
    least = max(0.0, math.floor(least * 10.0) / 10.0)
    logs = [math.log(h) for h in horizons]
    reach = logs[-1] - logs[0] if len(logs) > 1 else 1.0

    def x(index: int) -> float:
        share = (logs[index] - logs[0]) / reach if len(logs) > 1 else 0.5
        return left + 14 + (width - left - right - 28) * share

    def y(share: float) -> float:
        return height - bottom - (height - top - bottom) * (share - least) / (1.0 - least)

    parts = [
        f'<rect class="good" x="{left}" y="{y(target[1]):.1f}" width="{width - left - right:g}" '
        f'height="{y(target[0]) - y(target[1]):.1f}"/>'
    ]
    for tick in nice_ticks(least, 1.0, 5):
        parts.append(f'<line class="grid" x1="{left}" y1="{y(tick):.1f}" x2="{width - right}" y2="{y(tick):.1f}"/>')
        parts.append(
            f'<text class="tick" x="{left - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{percent_text(tick)}</text>'
        )
    for index, horizon in enumerate(horizons):
        parts.append(
            f'<text class="tick" x="{x(index):.1f}" y="{height - bottom + 17:.1f}" text-anchor="middle">'
            f"{horizon:g}</text>"
        )
    parts.append(_below(width, left, right, height, "seconds ahead"))
    for number, (style, estimates) in enumerate(series):
        shift = 6.0 * (number - (len(series) - 1) / 2)
        placed = [(x(i) + shift, e) for i, e in enumerate(estimates) if e is not None]
        if len(placed) > 1:
            points = " ".join(f"{place:.1f},{y(e.value):.1f}" for place, e in placed)
            parts.append(f'<polyline class="{_attribute(style)}" points="{points}"/>')
        for place, e in placed:
            if e.low is not None and e.high is not None:
                parts.append(
                    f'<line class="{_attribute(style)} whisker" x1="{place:.1f}" y1="{y(e.low):.1f}" '
                    f'x2="{place:.1f}" y2="{y(e.high):.1f}"/>'
                )
            parts.append(f'<circle class="{_attribute(style)}-dot" cx="{place:.1f}" cy="{y(e.value):.1f}" r="4"/>')
    return _svg(width, height, parts, alt)


def map_picture(
    walls: FloatArray,
    points: Mapping[str, FloatArray],
    path: FloatArray | None = None,
    *,
    alt: str,
    width: float = 720.0,
    max_height: float = 640.0,
) -> str:
    """Return a hall seen from above: walls, the robot's path and what its lidar saw, by kind.

    Args:
        walls: (W, 4) segments x1, y1, x2, y2 [m].
        points: (N, 2) [m] by kind; drawn in this order, as ``dots-<kind>``.
        path: (P, 2) [m] of the robot, or None.
        alt: description for those who cannot see the picture.
        width, max_height: of the drawing, in its own units.
    """
    corners = [walls.reshape(-1, 2), *points.values(), *([path] if path is not None else [])]
    every = np.concatenate([item for item in corners if len(item)] or [np.zeros((1, 2))])
    every = every[np.isfinite(every).all(axis=1)]
    low, high = (every.min(axis=0), every.max(axis=0)) if len(every) else (np.zeros(2), np.ones(2))
    span = np.maximum(high - low, 0.5)
    scale = min((width - 20.0) / span[0], (max_height - 44.0) / span[1])
    width, height = 20.0 + scale * float(span[0]), 44.0 + scale * float(span[1])

    def place(xy: FloatArray) -> FloatArray:
        return np.stack([10.0 + (xy[:, 0] - low[0]) * scale, 10.0 + (high[1] - xy[:, 1]) * scale], axis=-1)

    parts = []
    ends = place(walls.reshape(-1, 2)).reshape(-1, 4) if len(walls) else np.empty((0, 4))
    lines = "".join(f"M{a:.1f} {b:.1f}L{c:.1f} {d:.1f}" for a, b, c, d in ends.tolist())
    if lines:
        parts.append(f'<path class="wall" d="{lines}"/>')
    for kind, xy in points.items():
        stride = max(1, math.ceil(len(xy) / MAP_POINTS))
        # Points of the same tenth of a unit would lie on each other.
        cells = np.unique(np.round(place(xy[::stride]), 1), axis=0) if len(xy) else np.empty((0, 2))
        dots = "".join(f"M{a:g} {b:g}h0" for a, b in cells.tolist() if math.isfinite(a) and math.isfinite(b))
        if dots:
            parts.append(f'<path class="dots-{_attribute(kind)}" d="{dots}"/>')
    if path is not None and len(path):
        stride = max(1, len(path) // 1500)
        track = "L".join(f"{a:.1f} {b:.1f}" for a, b in place(path[::stride]).tolist())
        parts.append(f'<path class="track-line" d="M{track}"/>')
    parts.append(_scale_bar(scale, width, height))
    return _svg(width, height, parts, alt)


def timeline(
    times: FloatArray,
    values: FloatArray,
    band: tuple[float, float],
    *,
    alarm_at: float | None,
    unit: str,
    alt: str,
    width: float = 720.0,
) -> str:
    """Return values over time [s] with the band they were predicted to stay in, and where an alarm was raised.

    Args:
        times, values: (N,); values that are not finite break the line.
        band: lowest and highest value that was expected.
        alarm_at: time [s], or None.
        unit: of the values.
        alt: description for those who cannot see the chart.
        width: of the drawing, in its own units.
    """
    height, left, right, top, bottom = 220.0, 56.0, 14.0, 22.0, 40.0
    known = values[np.isfinite(values)]
    low, high = min([band[0], *known.tolist()]), max([band[1], *known.tolist()])
    pad = 0.08 * (high - low) or 1.0
    low, high = low - pad, high + pad
    first, last = (float(times[0]), float(times[-1])) if len(times) > 1 else (0.0, 1.0)

    def x(value: float) -> float:
        return left + (width - left - right) * (value - first) / max(last - first, 1e-9)

    def y(value: float) -> float:
        return height - bottom - (height - top - bottom) * (value - low) / (high - low)

    parts = [
        f'<rect class="good" x="{left}" y="{y(band[1]):.1f}" width="{width - left - right:g}" '
        f'height="{max(y(band[0]) - y(band[1]), 1.0):.1f}"/>'
    ]
    parts += _axes(
        x,
        y,
        nice_ticks(first, last, 6),
        nice_ticks(low, high, 4),
        (left, width - right),
        height - bottom,
        percent=False,
    )
    parts.append(_below(width, left, right, height, "seconds into the log"))
    parts.append(f'<text class="tick" x="4" y="13">{html.escape(unit)}</text>')
    pieces, on = [], False
    for t, value in zip(times.tolist(), values.tolist(), strict=True):
        if math.isfinite(value):
            pieces.append(f"{'L' if on else 'M'}{x(t):.1f} {y(value):.1f}")
        on = math.isfinite(value)
    parts.append(f'<path class="s-after" d="{"".join(pieces)}"/>')
    if alarm_at is not None:
        parts.append(
            f'<line class="alarm" x1="{x(alarm_at):.1f}" y1="{top}" x2="{x(alarm_at):.1f}" y2="{y(low):.1f}"/>'
        )
    return _svg(width, height, parts, alt)


def parameter_bar(value: float, low: float, high: float, start: float, stop: float, *, alt: str) -> str:
    """Return where a value and its interval lie between two ends of a range."""
    width, height, pad = 180.0, 22.0, 7.0

    def x(number: float) -> float:
        return pad + (width - 2 * pad) * min(max((number - start) / max(stop - start, 1e-12), 0.0), 1.0)

    parts = [
        f'<rect class="track" x="{pad}" y="8" width="{width - 2 * pad:g}" height="6" rx="3"/>',
        f'<line class="ci" x1="{x(low):.1f}" y1="11" x2="{max(x(high), x(low) + 1):.1f}" y2="11"/>',
        f'<circle class="point" cx="{x(value):.1f}" cy="11" r="4.5"/>',
    ]
    return (
        f'<svg class="bar" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{_attribute(alt)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def _axes(
    x: Callable[[float], float],
    y: Callable[[float], float],
    across: Sequence[float],
    up: Sequence[float],
    ends: tuple[float, float],
    floor: float,
    *,
    percent: bool,
) -> list[str]:
    """Return grid lines and numbers of both axes, the lower one at the height ``floor``."""
    parts = []
    for tick in up:
        text = percent_text(tick) if percent else _tick(tick)
        parts.append(f'<line class="grid" x1="{ends[0]}" y1="{y(tick):.1f}" x2="{ends[1]}" y2="{y(tick):.1f}"/>')
        parts.append(f'<text class="tick" x="{ends[0] - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{text}</text>')
    for tick in across:
        parts.append(
            f'<text class="tick" x="{x(tick):.1f}" y="{floor + 17:.1f}" text-anchor="middle">{_tick(tick)}</text>'
        )
    return parts


def _below(width: float, left: float, right: float, height: float, text: str) -> str:
    middle = (left + width - right) / 2
    return f'<text class="tick" x="{middle:.1f}" y="{height - 6:.1f}" text-anchor="middle">{html.escape(text)}</text>'


def _scale_bar(scale: float, width: float, height: float) -> str:
    length = next(
        m for m in (100.0, 50.0, 20.0, 10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1) if m * scale < 0.3 * width or m == 0.1
    )
    y = height - 16.0
    return (
        f'<path class="axis" fill="none" d="M10 {y - 4:.1f}V{y:.1f}H{10 + length * scale:.1f}V{y - 4:.1f}"/>'
        f'<text class="tick" x="10" y="{height - 3:.1f}">{length:g} m</text>'
    )


def _tick(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def _attribute(text: str) -> str:
    return html.escape(text, quote=True)


def _svg(width: float, height: float, parts: Sequence[str], alt: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{_attribute(alt)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )
