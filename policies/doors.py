"""Ways through doors that are hardly wider than the robot: straight, in the middle, and from far enough ahead."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from .search import lookup, resample

FloatArray = NDArray[np.float64]

LONGEST = 1.6
"""Narrow stretches of a way up to this length are doors [m]; longer ones are corridors, which guide by themselves."""
REACH = (1.3, 1.0, 0.75)
"""So far on either side of a door the way is straight [m]; the first that has room."""
_DIRECTIONS = np.linspace(0.0, np.pi, 48, endpoint=False)
_OFFSETS = np.linspace(-0.2, 0.2, 9)
_ALONG = np.linspace(-0.5, 0.5, 11)


def straight_through_doors(
    points: FloatArray,
    field: NDArray[np.float32],
    origin: tuple[float, float],
    resolution: float,
    hard: float,
    tight: float,
    spacing: float,
) -> FloatArray:
    """Lead a path straight through its doors.

    Args:
        points: (N, 2) x, y [m].
        field: (H, W) float32 clearance [m]; origin, resolution: of that grid [m].
        hard: no way leads where there is less room [m]; tight: below this a stretch is narrow [m].
        spacing: between points of a path [m].

    Returns:
        (M, 2): the path, with a straight line through every door that has one from the side the path comes from.
    """

    def room(at: FloatArray) -> NDArray[np.float32]:
        flat = np.ascontiguousarray(at.reshape(-1, 2))
        return lookup(field, origin[0], origin[1], resolution, flat).reshape(at.shape[:-1])

    def is_free(a: FloatArray, b: FloatArray) -> bool:
        steps = max(2, int(np.ceil(np.hypot(*(b - a)) / (0.5 * resolution))))
        return bool(np.all(room(a + np.linspace(0.0, 1.0, steps)[:, None] * (b - a)) >= hard))

    narrow = np.concatenate([[False], room(points) < tight, [False]])
    starts, ends = np.flatnonzero(narrow[1:] & ~narrow[:-1]), np.flatnonzero(narrow[:-1] & ~narrow[1:])
    # From the end on, so that numbers of earlier points stay; beyond ``changed`` the path has been led anew.
    changed = len(points)
    for first, last in reversed(list(zip(starts.tolist(), ends.tolist(), strict=True))):
        if last > changed:
            continue
        stretch = points[first:last]
        if np.sum(np.hypot(*np.diff(stretch, axis=0).T)) > LONGEST:
            continue
        centre, along = _best_line(stretch[int(room(stretch).argmin())], room)
        if along @ (stretch[-1] - stretch[0]) < 0.0:
            along = -along
        for reach in REACH:
            entry, leave = centre - reach * along, centre + reach * along
            before, after = _outside(points, first, last, centre, reach + 0.5)
            legs = (points[before], entry, leave, points[after])
            if np.hypot(*(points[0] - centre)) < reach + 0.1:
                # Already before the door: from here onto its line, if the robot is all but on it.
                legs = (points[0], centre - 0.3 * along, leave, points[after])
            if all(is_free(a, b) for a, b in pairwise(legs)):
                points, changed = np.concatenate([points[:before], np.array(legs), points[after + 1 :]]), before
                break
    return resample(np.ascontiguousarray(points), spacing)


def _outside(points: FloatArray, first: int, last: int, centre: FloatArray, reach: float) -> tuple[int, int]:
    """Return the nearest points of the path before and behind a narrow stretch that lie ``reach`` away [m]."""
    away = np.hypot(*(points - centre).T)
    before = np.flatnonzero(away[:first] >= reach)
    after = np.flatnonzero(away[last:] >= reach)
    return (int(before[-1]) if len(before) else 0), (last + int(after[0]) if len(after) else len(points) - 1)


def _best_line(about: FloatArray, room: Callable[[FloatArray], NDArray[np.float32]]) -> tuple[FloatArray, FloatArray]:
    """Return a point near one [m] and the direction of the metre-long line through it that has most room."""
    along = np.stack([np.cos(_DIRECTIONS), np.sin(_DIRECTIONS)], axis=-1)
    across = np.stack([-along[:, 1], along[:, 0]], axis=-1)
    centres = about + _OFFSETS[None, :, None] * across[:, None, :]
    lines = centres[:, :, None, :] + _ALONG[None, None, :, None] * along[:, None, None, :]
    least = room(lines)
    score = least.min(axis=-1) + 0.05 * least.mean(axis=-1)
    direction, offset = np.unravel_index(int(score.argmax()), score.shape)
    return centres[direction, offset], along[direction]
