"""Exact distances between footprints, from ground truth: what an episode's record holds for evaluation.

Seen from above a robot is its rectangle, a person a disc, everything else the rectangle or disc of each of its solids
that reaches into the robot's height.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import rotation_matrix
from ..common.kernels import compiled
from ..common.primitives import BOX, CAPSULE, CYLINDER, PLANE, SPHERE, Primitives

FloatArray = NDArray[np.float64]

_NEAR = 8.0
"""Radius of the list of near solids that is kept along a robot's way [m]."""


def footprints(solids: Primitives, low: float, high: float) -> FloatArray:
    """Return the outlines, seen from above, of solids that reach into a range of heights.

    Args:
        solids: N solids; planes are left out. Solids that are not upright count with the box around them.
        low, high: heights [m] in the solids' frame.

    Returns:
        (M, 7) float64, M <= N: centre x, y [m]; cosine and sine of the yaw; half extents along and across [m]; radius
        of the rounding [m] (a disc has no half extents).
    """
    rows = np.zeros((len(solids), 7))
    rotation = rotation_matrix(solids.quaternion)
    upright = np.abs(rotation[:, 2, 2]) > 1.0 - 1e-6
    rows[:, :2] = solids.position[:, :2]
    rows[:, 2], rows[:, 3] = 1.0, 0.0
    size, kind = solids.size, solids.kind
    half_height = np.zeros(len(solids))

    box = kind == BOX
    half_height[box] = size[box, 2]
    rows[box, 2], rows[box, 3] = rotation[box, 0, 0], rotation[box, 1, 0]
    rows[box, 4:6] = size[box, :2]
    round_upright = ((kind == CYLINDER) | (kind == CAPSULE)) & upright
    half_height[round_upright] = size[round_upright, 1] + np.where(
        kind[round_upright] == CAPSULE, size[round_upright, 0], 0.0
    )
    rows[round_upright, 6] = size[round_upright, 0]
    sphere = kind == SPHERE
    half_height[sphere] = size[sphere, 0]
    rows[sphere, 6] = size[sphere, 0]

    tilted = ~upright & ~sphere & (kind != PLANE)
    local = np.where(
        (kind == BOX)[:, None],
        size,
        np.column_stack([size[:, 0], size[:, 0], size[:, 1] + np.where(kind == CAPSULE, size[:, 0], 0.0)]),
    )
    around = np.einsum("nij,nj->ni", np.abs(rotation), local)
    rows[tilted, 2], rows[tilted, 3], rows[tilted, 6] = 1.0, 0.0, 0.0
    rows[tilted, 4:6] = around[tilted, :2]
    half_height[tilted] = around[tilted, 2]

    z = solids.position[:, 2]
    keep = (kind != PLANE) & (z + half_height > low) & (z - half_height < high)
    return np.ascontiguousarray(rows[keep])


def placed_rectangles(pose: FloatArray, length: float, width: float) -> FloatArray:
    """Return the outlines (T, N, 7), as from ``footprints``, of rectangles [m] centred on poses (T, N, 3)."""
    rows = np.zeros((*pose.shape[:2], 7))
    rows[..., :2] = pose[..., :2]
    rows[..., 2], rows[..., 3] = np.cos(pose[..., 2]), np.sin(pose[..., 2])
    rows[..., 4], rows[..., 5] = 0.5 * length, 0.5 * width
    return rows


def clearances(
    pose: FloatArray,
    half_extents: FloatArray,
    static: FloatArray,
    loose: FloatArray,
    person: FloatArray,
    person_radius: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Return how far every robot was from everything, at every step.

    Args:
        pose: (T, R, 3) x, y [m], yaw [rad] of the robots.
        half_extents: (R, 2) half length and half width of their footprints [m].
        static: (N, 7) outlines as from ``footprints``.
        loose: (T, L, 7) outlines of loose goods.
        person: (T, P, 2) x, y [m]; person_radius: (P,) [m].

    Returns:
        distance to the nearest thing, people and other robots included (T, R), and to the nearest person (T, R) [m]; 0
        where they touch or overlap, inf where there is nothing.
    """
    everything = np.full(pose.shape[:2], np.inf)
    people = np.full(pose.shape[:2], np.inf)
    _clearances(
        np.ascontiguousarray(pose, dtype=np.float64),
        np.ascontiguousarray(half_extents, dtype=np.float64),
        np.ascontiguousarray(static, dtype=np.float64),
        np.ascontiguousarray(loose, dtype=np.float64),
        np.ascontiguousarray(person, dtype=np.float64),
        np.ascontiguousarray(person_radius, dtype=np.float64),
        everything,
        people,
    )
    return everything, people


@compiled
def _point_to_rectangle(x: float, y: float, b: FloatArray) -> float:
    """Squared distance from a point to the rectangle of an outline row."""
    dx, dy = x - b[0], y - b[1]
    u = max(abs(b[2] * dx + b[3] * dy) - b[4], 0.0)
    v = max(abs(-b[3] * dx + b[2] * dy) - b[5], 0.0)
    return u * u + v * v


@compiled
def _separated(a: FloatArray, b: FloatArray) -> bool:
    """Tell whether an axis of rectangle a separates it from rectangle b."""
    dx, dy = b[0] - a[0], b[1] - a[1]
    cos = abs(a[2] * b[2] + a[3] * b[3])
    sin = abs(a[2] * b[3] - a[3] * b[2])
    along = abs(a[2] * dx + a[3] * dy)
    across = abs(-a[3] * dx + a[2] * dy)
    return along > a[4] + b[4] * cos + b[5] * sin or across > a[5] + b[4] * sin + b[5] * cos


@compiled
def _outline_distance(a: FloatArray, b: FloatArray) -> float:
    """Distance between two outlines (rectangles grown by their radii); 0 where they overlap."""
    if not (_separated(a, b) or _separated(b, a)):
        return 0.0
    best = np.inf
    for i in range(4):
        su = 1.0 if i & 1 else -1.0
        sv = 1.0 if i & 2 else -1.0
        ax = a[0] + su * a[4] * a[2] - sv * a[5] * a[3]
        ay = a[1] + su * a[4] * a[3] + sv * a[5] * a[2]
        best = min(best, _point_to_rectangle(ax, ay, b))
        bx = b[0] + su * b[4] * b[2] - sv * b[5] * b[3]
        by = b[1] + su * b[4] * b[3] + sv * b[5] * b[2]
        best = min(best, _point_to_rectangle(bx, by, a))
    return max(0.0, np.sqrt(best) - a[6] - b[6])


@compiled
def _bound(b: FloatArray) -> float:
    """Radius of the circle around an outline."""
    return np.sqrt(b[4] * b[4] + b[5] * b[5]) + b[6]


@compiled
def _nearer(a: FloatArray, b: FloatArray, bounds: float, best: float) -> float:
    """Return the smaller of ``best`` and the distance between two outlines, looking closely only if it can matter.

    ``bounds`` is the sum of the radii of the circles around them.
    """
    reach = best + bounds
    if (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 >= reach * reach:
        return best
    return min(best, _outline_distance(a, b))


@compiled
def _place(outline: FloatArray, pose: FloatArray, half_extents: FloatArray) -> None:
    outline[0], outline[1] = pose[0], pose[1]
    outline[2], outline[3] = np.cos(pose[2]), np.sin(pose[2])
    outline[4], outline[5], outline[6] = half_extents[0], half_extents[1], 0.0


@compiled
def _list_near(static: FloatArray, bound: FloatArray, x: float, y: float, near: NDArray[np.int64]) -> int:
    """Write down which outlines come within _NEAR of a point; returns how many."""
    count = 0
    for k in range(len(static)):
        reach = _NEAR + bound[k]
        if (static[k, 0] - x) ** 2 + (static[k, 1] - y) ** 2 < reach * reach:
            near[count] = k
            count += 1
    return count


@compiled
def _closest(
    body: FloatArray,
    own: float,
    static: FloatArray,
    bound: FloatArray,
    chosen: NDArray[np.int64],
    nearest: int,
) -> tuple[int, float]:
    """Return which of some outlines is nearest, and its distance; -1 and inf for none.

    It begins with ``nearest``, or -1: what was nearest a moment ago leaves little of the rest worth a closer look.
    """
    best = np.inf
    if nearest >= 0:
        best = _outline_distance(body, static[nearest])
    for k in chosen:
        closer = _nearer(body, static[k], own + bound[k], best)
        if closer < best:
            best, nearest = closer, k
    return nearest, best


@compiled
def _clearances(
    pose: FloatArray,
    half_extents: FloatArray,
    static: FloatArray,
    loose: FloatArray,
    person: FloatArray,
    person_radius: FloatArray,
    everything: FloatArray,
    people: FloatArray,
) -> None:
    steps, robots = pose.shape[0], pose.shape[1]
    every, near = np.arange(len(static)), np.empty(len(static), dtype=np.int64)
    bound = np.empty(len(static))
    for k in range(len(static)):
        bound[k] = _bound(static[k])
    placed = np.empty((steps, robots, 7))
    for t in range(steps):
        for r in range(robots):
            _place(placed[t, r], pose[t, r], half_extents[r])
    disc = np.zeros(7)
    disc[2] = 1.0
    for r in range(robots):
        near_count, near_x, near_y, nearest = 0, np.inf, np.inf, -1
        own = np.sqrt(half_extents[r, 0] ** 2 + half_extents[r, 1] ** 2)
        for t in range(steps):
            body = placed[t, r]
            moved = np.sqrt((body[0] - near_x) ** 2 + (body[1] - near_y) ** 2)
            if not moved < 0.5 * _NEAR:
                near_x, near_y, moved = body[0], body[1], 0.0
                near_count = _list_near(static, bound, near_x, near_y, near)
            nearest, best = _closest(body, own, static, bound, near[:near_count], nearest)
            if best > _NEAR - moved - own:
                # Whatever is not in the list is farther than this; only now can it matter.
                nearest, best = _closest(body, own, static, bound, every, nearest)
            for k in range(loose.shape[1]):
                best = _nearer(body, loose[t, k], own + _bound(loose[t, k]), best)
            for k in range(robots):
                if k != r:
                    best = _nearer(body, placed[t, k], own + _bound(placed[t, k]), best)
            nearest_person = np.inf
            for k in range(person.shape[1]):
                disc[0], disc[1], disc[6] = person[t, k, 0], person[t, k, 1], person_radius[k]
                nearest_person = _nearer(body, disc, own + person_radius[k], nearest_person)
            people[t, r] = nearest_person
            everything[t, r] = min(best, nearest_person)
