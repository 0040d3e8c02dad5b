"""Floor plans as files and as SVG text. Both formats are drawn from the same marks."""

from __future__ import annotations

import io
from collections.abc import Iterable
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.errors import InputError
from ..common.files import write_bytes_atomic, write_text_atomic
from .model import Layout
from .plan import Plan, PlanEvent, plan_marks
from .plan_shapes import STYLES, Mark, Style

FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', Helvetica, Arial, sans-serif"
PNG_SCALE = 2
"""Pixels of the PNG for each pixel of the page."""


def draw_plan(
    layout: Layout,
    path: str | Path,
    *,
    trajectories: Iterable[ArrayLike] = (),
    people: Iterable[ArrayLike] = (),
    events: Iterable[PlanEvent] = (),
) -> None:
    """Write a floor plan with legend and scale bar.

    Args:
        layout: the hall.
        path: ends in ``.png`` or ``.svg``.
        trajectories, people, events: as in ``plan_svg``.

    Raises:
        InputError: another suffix, or the file cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".png", ".svg"):
        raise InputError(
            f"a floor plan cannot be written as '{suffix or path.name}'",
            where=str(path),
            mend="end the file's name in .png or .svg",
        )
    plan = plan_marks(layout, trajectories=trajectories, people=people, events=events)
    if suffix == ".svg":
        write_text_atomic(path, _svg(plan) + "\n")
    else:
        write_bytes_atomic(path, _png(plan))


def plan_svg(
    layout: Layout,
    *,
    trajectories: Iterable[ArrayLike] = (),
    people: Iterable[ArrayLike] = (),
    events: Iterable[PlanEvent] = (),
) -> str:
    """Return a floor plan as one ``<svg>`` element, ready to stand in a page.

    It scales with its container, follows the reader's light or dark scheme (or a ``data-theme`` attribute on the page's
    root), and carries tooltips and a description for screen readers.

    Args:
        layout: the hall.
        trajectories: robots' paths, each (T, 2 or more) x, y [m] in ``map``; rows with NaN break a path.
        people: people's paths, alike.
        events: objects with ``kind`` and ``position`` (x, y [m]); "collision" and "near_miss" have their own marks.
    """
    return _svg(plan_marks(layout, trajectories=trajectories, people=people, events=events))


def _svg(plan: Plan) -> str:
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="floor-plan" role="img" viewBox="0 0 {_number(plan.width)} '
        f'{_number(plan.height)}" width="{_number(plan.width)}" height="{_number(plan.height)}" '
        f'style="max-width:100%;height:auto" font-family="{FONT}">',
        f"<title>{escape(plan.title)}</title>",
        f"<desc>{escape(plan.description)}</desc>",
        f"<style>{_style_sheet(plan)}</style>",
        *(_svg_mark(mark) for mark in plan.marks),
        "</svg>",
    ]
    return "\n".join(lines)


def _style_sheet(plan: Plan) -> str:
    """Return the rules of the styles in use, with colours for light and dark pages; all scoped to the plan."""
    used = sorted({mark.style for mark in plan.marks})
    light = "".join(_rule(name, STYLES[name], 0, pen=True) for name in used)
    dark = {prefix: "".join(_rule(name, STYLES[name], 1, prefix=prefix) for name in used) for prefix in _DARK}
    return light + f"@media (prefers-color-scheme: dark){{{dark[_DARK[0]]}}}" + dark[_DARK[1]]


_DARK = (':root:not([data-theme="light"]) ', ':root[data-theme="dark"] ')


def _rule(name: str, style: Style, scheme: int, *, prefix: str = "", pen: bool = False) -> str:
    parts = [f"fill:{style.fill[scheme] if style.fill else 'none'}"]
    if style.stroke:
        parts.append(f"stroke:{style.stroke[scheme]}")
    if pen and style.stroke:
        parts.append(f"stroke-width:{style.width:g}")
        parts.append("stroke-linejoin:round;stroke-linecap:round" if style.dash is None else "stroke-linecap:butt")
        if style.dash:
            parts.append(f"stroke-dasharray:{style.dash[0]:g} {style.dash[1]:g}")
        if name == "halo":
            parts.append("paint-order:stroke")
    if pen and name == "title":
        parts.append("font-weight:600")
    return f"{prefix}.floor-plan .p-{name}{{{';'.join(parts)}}}"


def _svg_mark(mark: Mark) -> str:
    common = f'class="p-{mark.style}"'
    if mark.color is not None:
        common += f' style="{"stroke" if STYLES[mark.style].fill is None else "fill"}:{mark.color}"'
    if mark.opacity < 1.0:
        common += f' fill-opacity="{mark.opacity:g}"'
    x, y = mark.points[0]
    if mark.kind == "text":
        turned = f' transform="rotate({-mark.turn:g} {_number(x)} {_number(y)})"' if mark.turn else ""
        return (
            f'<text {common} x="{_number(x)}" y="{_number(y)}" font-size="{mark.size:g}" '
            f'text-anchor="{mark.anchor}"{turned}>{escape(mark.text)}</text>'
        )
    tooltip = f"><title>{escape(mark.text)}</title></" if mark.text else "/>"
    if mark.kind == "circle":
        tag, shape = "circle", f'cx="{_number(x)}" cy="{_number(y)}" r="{mark.size:g}"'
    else:
        tag = "polygon" if mark.kind == "polygon" else "polyline"
        shape = 'points="' + " ".join(f"{_number(a)},{_number(b)}" for a, b in mark.points) + '"'
    return f"<{tag} {common} {shape}{tooltip}{tag + '>' if mark.text else ''}"


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def plan_picture(plan: Plan, scale: float) -> NDArray[np.uint8]:
    """Return a plan as a picture (H, W, 3) uint8 RGB on a light page, ``scale`` pixels for each of the page's."""
    canvas = _canvas(plan, scale)
    canvas.draw()
    return np.array(canvas.buffer_rgba(), dtype=np.uint8)[..., :3].copy()


def _png(plan: Plan) -> bytes:
    buffer = io.BytesIO()
    # No stamp and no version: the same plan is the same file.
    _canvas(plan, PNG_SCALE).figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _canvas(plan: Plan, scale: float) -> Any:
    """Return the marks on a canvas of Matplotlib's Agg, off screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(plan.width / 100.0, plan.height / 100.0), dpi=100 * scale)
    canvas = FigureCanvasAgg(figure)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0.0, plan.width)
    axes.set_ylim(plan.height, 0.0)
    axes.axis("off")
    for order, mark in enumerate(plan.marks):
        artist = _artist(mark, axes)
        artist.set_zorder(order)
    return canvas


def _artist(mark: Mark, axes: Any) -> Any:
    """Add a mark to Matplotlib axes; widths there are points, 72 to the 100 pixels of an inch."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Circle, Polygon

    style = STYLES[mark.style]
    fill = style.fill[0] if style.fill else "none"
    stroke = style.stroke[0] if style.stroke else "none"
    if mark.color is not None:
        fill, stroke = (mark.color, stroke) if style.fill else (fill, mark.color)
    width = 0.72 * style.width
    if mark.kind == "text":
        return _text_artist(mark, style, axes)
    if mark.kind == "line":
        xs, ys = zip(*mark.points, strict=True)
        line = Line2D(xs, ys, color=stroke, linewidth=width, solid_capstyle="round", solid_joinstyle="round")
        if style.dash:
            # Matplotlib counts dashes in line widths.
            line.set_linestyle((0, tuple(length / style.width for length in style.dash)))
        return axes.add_line(line)
    options: dict[str, Any] = {"facecolor": fill, "edgecolor": stroke, "linewidth": width if style.stroke else 0.0}
    if mark.opacity < 1.0:
        options["alpha"] = mark.opacity
    patch = Circle(mark.points[0], mark.size, **options) if mark.kind == "circle" else Polygon(mark.points, **options)
    return axes.add_patch(patch)


def _text_artist(mark: Mark, style: Style, axes: Any) -> Any:
    from matplotlib.patheffects import Normal, Stroke

    text = axes.text(
        *mark.points[0],
        mark.text.replace("$", r"\$"),
        fontsize=0.72 * mark.size,
        color=style.fill[0] if style.fill else "#000000",
        ha={"start": "left", "middle": "center", "end": "right"}[mark.anchor],
        va="baseline",
        rotation=mark.turn,
        rotation_mode="anchor",
        fontweight="bold" if mark.style == "title" else "normal",
    )
    if style.stroke:
        text.set_path_effects([Stroke(linewidth=0.72 * style.width, foreground=style.stroke[0]), Normal()])
    return text
