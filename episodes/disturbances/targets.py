"""Whether a scenario has what its disturbances act on. Loads no simulator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .config import MOST, DimLight, Disturbance

if TYPE_CHECKING:
    from ..scenario import Scenario


def require_targets(scenario: Scenario) -> None:
    """Raise ValueError for the first disturbance that could do nothing in this scenario, saying what to add."""
    for number, disturbance in enumerate(scenario.disturbances):
        problem = _problem(disturbance, scenario)
        if problem:
            raise ValueError(f"disturbances.{number} ({disturbance.kind}): {problem}")


def _problem(disturbance: Disturbance, scenario: Scenario) -> str:
    first = min(disturbance.at) if disturbance.at is not None else (disturbance.window or (0.0,))[0]
    if first >= scenario.duration:
        return f"begins at {first:g} s, after the episode of {scenario.duration:g} s: begin earlier or raise duration"
    if disturbance.rate is not None and disturbance.rate * scenario.duration / 3600.0 > MOST:
        return f"more than {MOST} occurrences in an episode: lower the rate"
    robots = getattr(disturbance, "robots", None)
    fewest = round(scenario.robots.count.support()[0])
    if isinstance(robots, tuple) and max(robots) >= fewest:
        return f"names robot {max(robots)}, episodes may have only {fewest} (0 to {fewest - 1}): raise robots.count"
    if disturbance.kind in ("demand_surge", "mass_returns") and scenario.orders is None:
        return "no orders come in: add a section 'orders', which may be empty: orders: {}"
    equipment = getattr(disturbance, "equipment", "conveyor" if disturbance.kind == "conveyor_jam" else "")
    if equipment == "conveyor" and scenario.conveyors is None:
        return "the hall's conveyors stand still: add a section 'conveyors', which may be empty: conveyors: {}"
    if equipment == "charger" and (scenario.orders is None or scenario.condition is None):
        return "no robot charges: add the sections 'orders' and 'condition'"
    if disturbance.kind == "battery_fade" and scenario.condition is None:
        return "robots have no batteries: add a section 'condition', which may be empty: condition: {}"
    if isinstance(disturbance, DimLight) and disturbance.place is not None and scenario.light.lamps.support()[1] <= 0:
        return "no lamps are lit: raise light.lamps, or leave 'place' out to dim all the light"
    if disturbance.kind == "dead_sensor" and getattr(disturbance, "sensor", "") == "camera":
        return "" if scenario.capture.frames else "no pictures are taken: raise capture.frames"
    return ""
