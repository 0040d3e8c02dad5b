"""What an import found, and what it could not use."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ..model import Layout

EXAMPLES = 5
"""Things named for each reason."""


@dataclass
class Leftovers:
    """What of a file a layout has no place for, by reason.

    One thing that cannot be used never ends an import: it is counted here, and the rest goes on.
    """

    counts: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, thing: str = "", count: int = 1) -> None:
        """Count things that could not be used, none if ``count`` is 0; the first few of a reason are named."""
        if not count:
            return
        self.counts[reason] += count
        named = self.examples.setdefault(reason, [])
        if thing and len(named) < EXAMPLES:
            named.append(thing[:80])

    def lines(self) -> list[str]:
        """Return a line for each reason, the most frequent first."""
        lines = []
        for reason, count in self.counts.most_common():
            named = ", ".join(self.examples[reason])
            more = ", ..." if named and count > len(self.examples[reason]) else ""
            lines.append(f"{count} x {reason}" + (f" ({named}{more})" if named else ""))
        return lines


@dataclass(frozen=True)
class Imported:
    """A layout, what was read from the source to make it (things by kind), and what was left."""

    layout: Layout
    read: dict[str, int]
    leftovers: Leftovers
