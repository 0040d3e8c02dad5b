"""Stages of a calibration as steps of a progress bar."""

from __future__ import annotations

from collections.abc import Callable


class Stages:
    """Moves the bar on when a stage begins: the one before is done."""

    def __init__(self, advance: Callable[[int], None]) -> None:
        self._advance, self._begun = advance, False

    def __call__(self, what: str) -> None:
        """Begin a stage."""
        if self._begun:
            self._advance(1)
        self._begun = True
