"""Ids: a site's own, as far as a layout can hold them."""

from __future__ import annotations

import re

_BAD = re.compile(r"[^A-Za-z0-9_.:-]+")


class Names:
    """Gives each thing an id of its own, the site's where that can be one; ``changed`` holds those that could not."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._next: dict[str, int] = {}  # thousands of things may share a name
        self.changed: dict[str, str] = {}

    def __call__(self, wanted: str, otherwise: str) -> str:
        """Return an id for what the site calls ``wanted``, or for ``otherwise`` if it has no name."""
        base = _BAD.sub("_", wanted).strip("_")[:56] or otherwise
        name, number = base, self._next.get(base, 2)
        while name in self._taken:
            name, number = f"{base}_{number}", number + 1
        self._taken.add(name)
        self._next[base] = number
        if wanted and name != wanted:
            self.changed[name] = wanted
        return name


def label(text: str, limit: int = 256) -> str:
    """Return a name as it can stand in a file and on a plan: printable, of one line, ``limit`` characters at most."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:limit]).strip()
