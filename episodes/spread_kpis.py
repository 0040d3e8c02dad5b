"""Key performance indicators of an episode whose robots move as a twin's spread says: that they do, how well known."""

from __future__ import annotations

from ..robots.fleet_spread import FleetMotion
from .kpis import KpiDefinition

_OWN = "Floorcast"

SPREAD_KPI_DEFINITIONS: dict[str, KpiDefinition] = {
    item.name: item
    for item in (
        KpiDefinition(
            "spread_robots",
            "1",
            "count",
            "neither",
            "Robots that moved as the spread of the twin says, not by its gains alone",
            "number of robots with a motion drawn from the twin's spread",
            _OWN,
            fleet=True,
        ),
        KpiDefinition(
            "spread_outside_ratio",
            "1",
            "value",
            "lower",
            "Share of their driving under commands unlike any that the twin's logs hold, where its gains stand in",
            "1 - mean weight of the command's cell, exp(-d^2 / (2 reach^2)) at distance d, over the time for which "
            "those robots were told to move",
            _OWN,
            fleet=True,
        ),
    )
}
"""Beside these such an episode has all other KPIs; one without a spread has none of these."""


def spread_kpis(motion: FleetMotion) -> dict[str, float | None]:
    """Return the KPIs of ``SPREAD_KPI_DEFINITIONS``, none where no robot moved by a spread."""
    robots = int(motion.used.sum())
    if robots == 0:
        return {}
    told, outside = motion.told.sum(axis=0).tolist()
    return {"spread_robots": float(robots), "spread_outside_ratio": outside / told if told > 0.0 else None}
