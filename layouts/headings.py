"""Codes of directions on a grid; see ``directions``."""

from __future__ import annotations

import math

HEADINGS = 64
"""Directions that rules know."""
ANY_WAY = 0
"""Rule of a cell that is driven in any direction; 1 to ``HEADINGS`` are directions."""
OFF_LANES = 255
"""Rule of floor beside the lanes of a hall that has lanes."""
WRONG_WAY = -0.3
"""Cosine of the angle to the ruled direction below which a motion is against it."""


def heading_angle(code: int) -> float:
    """Return the direction [rad] that a code from 1 to ``HEADINGS`` stands for."""
    return (code - 1) * 2.0 * math.pi / HEADINGS
