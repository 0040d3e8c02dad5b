"""The picture of how the cost of an episode grows."""

from __future__ import annotations

from pathlib import Path

from .episodes import EpisodeRow

_PANELS = (
    ("robots", "robots with lidars at 10 Hz, 10,000 m2"),
    ("goods", "goods, 8 robots, 10,000 m2"),
    ("area", "area of the hall [m2], 8 robots"),
)


def draw_growth(rows: list[EpisodeRow], path: str | Path) -> None:
    """Draw times real time against robots, goods and area; rows without a panel are left out."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (panel, label) in zip(figure.subplots(1, 3, sharey=True), _PANELS, strict=True):
        points = sorted(
            (row.at, row.times_real) for row in rows if row.panel == panel and row.at and row.times_real is not None
        )
        axes.plot([at for at, _ in points], [times for _, times in points], "o-", color="#1b4f8f")
        for at, times in points:
            axes.annotate(
                f"{times:.0f}x", (at, times), textcoords="offset points", xytext=(0, 7), ha="center", fontsize=8
            )
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xlabel(label)
        axes.axhline(10.0, color="#888888", linewidth=0.8, linestyle="--")
        axes.grid(visible=True, which="major", alpha=0.3)
        axes.margins(x=0.12, y=0.2)
    figure.axes[0].text(0.02, 10.5, "10x", transform=figure.axes[0].get_yaxis_transform(), fontsize=8, color="#666666")
    figure.axes[0].set_ylabel("times real time, one core")
    figure.savefig(path, dpi=110)
