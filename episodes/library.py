"""The built-in scenarios at a glance. Loads no simulator."""

from __future__ import annotations

from dataclasses import dataclass

from .scenario import built_in_scenarios, load_scenario


@dataclass(frozen=True)
class LibraryEntry:
    """A built-in scenario.

    Attributes:
        name, description: as in its file.
        duration: longest time of an episode [s].
        disturbances: kinds that may occur, each once, in the order of the file.
    """

    name: str
    description: str
    duration: float
    disturbances: tuple[str, ...]


def scenario_library() -> list[LibraryEntry]:
    """Return all built-in scenarios, by name."""
    entries = []
    for name in built_in_scenarios():
        scenario = load_scenario(name)
        kinds = tuple(dict.fromkeys(disturbance.kind for disturbance in scenario.disturbances))
        entries.append(LibraryEntry(name, scenario.description, scenario.duration, kinds))
    return entries
