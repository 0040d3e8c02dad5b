"""How near robots are to what they could touch: compiled plan-view distances that decide when Bullet is needed.

Solids are *footprints*, rows of a table (K, 6): centre x, y [m], cosine and sine of the yaw, half extents along the own
axes [m]; a round footprint has its radius in column 4 and -1 in column 5. Distances go from a point to the footprint.
Tables of static footprints have a seventh column, the lowest z [m] of the solid: what is above a robot is not near it.
"""

from __future__ import annotations

from math import floor, sqrt

import numpy as np
from numpy.typing import NDArray

from ..common.classes import CLASS_IDS
from ..common.geometry import rotation_matrix
from ..common.kernels import compiled
from ..common.primitives import BOX, CAPSULE, CYLINDER, PLANE, SPHERE, Primitives

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FOOTPRINT_COLUMNS = 6
TIGHT = 1
"""Something is within the margin of a robot."""
CHANGED = 2
"""What is near is not what it was a step ago."""
_UPRIGHT = 1.0 - 1e-9


def heights(solids: Primitives) -> tuple[FloatArray, FloatArray]:
    """Return the lowest and the highest z [m] of each solid, (N,) each; planes are at their position's z."""
    rotation = rotation_matrix(solids.quaternion)
    kind, size = solids.kind, solids.size
    extent = np.abs(rotation[:, 2, :] * size).sum(axis=1)
    axis = np.abs(rotation[:, 2, 2])
    rim = np.sqrt(np.clip(1.0 - axis**2, 0.0, None))
    extent = np.where(kind == CYLINDER, size[:, 1] * axis + size[:, 0] * rim, extent)
    extent = np.where(kind == CAPSULE, size[:, 1] * axis + size[:, 0], extent)
    extent = np.where(kind == SPHERE, size[:, 0], extent)
    extent = np.where(kind == PLANE, 0.0, extent)
    return solids.position[:, 2] - extent, solids.position[:, 2] + extent


def footprints(solids: Primitives) -> FloatArray:
    """Return the footprints (N, 6) of solids: exact for upright ones, bounding circles for tilted ones."""
    rotation = rotation_matrix(solids.quaternion)
    kind, size = solids.kind, solids.size
    table = np.empty((len(solids), FOOTPRINT_COLUMNS))
    table[:, :2] = solids.position[:, :2]
    table[:, 2], table[:, 3] = rotation[:, 0, 0], rotation[:, 1, 0]
    table[:, 4:6] = size[:, :2]
    upright = np.abs(rotation[:, 2, 2]) > _UPRIGHT
    bound = np.where(kind == BOX, np.linalg.norm(size, axis=1), size[:, 0] + size[:, 1])
    bound = np.where(kind == CYLINDER, np.hypot(size[:, 0], size[:, 1]), bound)
    bound = np.where(upright & np.isin(kind, (CYLINDER, CAPSULE)), size[:, 0], bound)
    bound = np.where(kind == SPHERE, size[:, 0], bound)
    round_ones = ~(upright & (kind == BOX))
    table[round_ones, 4], table[round_ones, 5] = bound[round_ones], -1.0
    return table


def touchable(solids: Primitives, top: float) -> NDArray[np.bool_]:
    """Return which solids (N,) something lower than ``top`` [m] standing on the floor could touch."""
    low, high = heights(solids)
    return (low < top) & (high > 0.0) & (solids.kind != PLANE) & (solids.class_id != CLASS_IDS["floor"])


def overlaps(table: FloatArray, x: float, y: float, yaw: float, half_length: float, half_width: float) -> IntArray:
    """Return the rows of the footprint table that a rectangle centred on x, y overlaps (separating axes)."""
    cos, sin = np.cos(yaw), np.sin(yaw)
    dx, dy = table[:, 0] - x, table[:, 1] - y
    along, across = cos * dx + sin * dy, -sin * dx + cos * dy
    is_round = table[:, 5] < 0.0
    outside = np.hypot(np.maximum(np.abs(along) - half_length, 0.0), np.maximum(np.abs(across) - half_width, 0.0))
    round_hit = outside < table[:, 4]
    c = np.abs(cos * table[:, 2] + sin * table[:, 3])
    s = np.abs(cos * table[:, 3] - sin * table[:, 2])
    own = (np.abs(along) < half_length + c * table[:, 4] + s * table[:, 5]) & (
        np.abs(across) < half_width + s * table[:, 4] + c * table[:, 5]
    )
    other_along = np.abs(table[:, 2] * dx + table[:, 3] * dy)
    other_across = np.abs(-table[:, 3] * dx + table[:, 2] * dy)
    other = (other_along < table[:, 4] + c * half_length + s * half_width) & (
        other_across < table[:, 5] + s * half_length + c * half_width
    )
    return np.flatnonzero(np.where(is_round, round_hit, own & other))


@compiled
def distance(table: FloatArray, row: int, x: float, y: float) -> float:
    """Distance [m] from a point to a footprint, 0 inside."""
    dx, dy = x - table[row, 0], y - table[row, 1]
    if table[row, 5] < 0.0:
        return max(sqrt(dx * dx + dy * dy) - table[row, 4], 0.0)
    u = max(abs(table[row, 2] * dx + table[row, 3] * dy) - table[row, 4], 0.0)
    w = max(abs(table[row, 2] * dy - table[row, 3] * dx) - table[row, 5], 0.0)
    return sqrt(u * u + w * w)


@compiled
def refresh_neighbours(
    table: FloatArray,
    x: float,
    y: float,
    robot: int,
    radius: float,
    horizon: float,
    neighbours: NDArray[np.int32],
    anchors: FloatArray,
) -> None:
    """Keep in row ``robot`` the footprints within radius + horizon of it; column 0 holds their number.

    ``anchors`` (R, 4) keeps x, y of the query and the horizon, and holds the height of the robot's top [m].
    """
    count = 0
    for row in range(len(table)):
        if table[row, 6] < anchors[robot, 3] and distance(table, row, x, y) < radius + horizon:
            count += 1
            neighbours[robot, count] = row
    neighbours[robot, 0] = count
    anchors[robot, 0], anchors[robot, 1], anchors[robot, 2] = x, y, horizon


@compiled
def static_gap(
    table: FloatArray,
    x: float,
    y: float,
    robot: int,
    radius: float,
    margin: float,
    neighbours: NDArray[np.int32],
    anchors: FloatArray,
) -> float:
    """Gap [m] between a robot's circle and the nearest static footprint; at most what the neighbour list covers."""
    moved = sqrt((x - anchors[robot, 0]) ** 2 + (y - anchors[robot, 1]) ** 2)
    if not moved + margin < anchors[robot, 2]:
        refresh_neighbours(table, x, y, robot, radius, 1.0 + margin, neighbours, anchors)
        moved = 0.0
    gap = anchors[robot, 2] - moved
    for k in range(1, neighbours[robot, 0] + 1):
        gap = min(gap, distance(table, neighbours[robot, k], x, y) - radius)
    return gap


@compiled
def free_time(
    x: FloatArray,
    y: FloatArray,
    speed: FloatArray,
    radius: FloatArray,
    static: FloatArray,
    neighbours: NDArray[np.int32],
    anchors: FloatArray,
    people: FloatArray,
    person_radius: float,
    goods: FloatArray,
    margin: float,
) -> float:
    """Return for how long [s] no robot can come within the margin of anything; <= 0 if one is there now.

    Args:
        x, y, radius: (R,) centres and radii of the robots [m]; speed: (R,) bounds of their speeds [m/s].
        static: (K, 7) footprints and lowest z; neighbours, anchors: see ``refresh_neighbours``.
        people: (P, 4) x, y [m], vx, vy [m/s] now; goods: (L, 6) footprints of goods at rest.
    """
    best = np.inf
    for i in range(len(x)):
        gap = static_gap(static, x[i], y[i], i, radius[i], margin, neighbours, anchors)
        for k in range(len(goods)):
            dx, dy = x[i] - goods[k, 0], y[i] - goods[k, 1]
            bound = gap + radius[i] + goods[k, 4] + max(goods[k, 5], 0.0)
            if dx * dx + dy * dy < bound * bound:
                gap = min(gap, distance(goods, k, x[i], y[i]) - radius[i])
        best = min(best, (gap - margin) / speed[i])
        for j in range(i):
            centre = sqrt((x[i] - x[j]) ** 2 + (y[i] - y[j]) ** 2)
            best = min(best, (centre - radius[i] - radius[j] - margin) / (speed[i] + speed[j]))
        for k in range(len(people)):
            centre = sqrt((x[i] - people[k, 0]) ** 2 + (y[i] - people[k, 1]) ** 2)
            walking = sqrt(people[k, 2] ** 2 + people[k, 3] ** 2)
            best = min(best, (centre - radius[i] - person_radius - margin) / (speed[i] + walking))
        if best <= 0.0:
            return best
    return best


@compiled
def whole_steps(time: float, dt: float, most: int) -> int:
    """Return how many steps fit into a free time: at least one, at most ``most``."""
    if time >= most * dt:
        return most
    return max(1, floor(time / dt))


@compiled
def mark_near(
    pose: FloatArray,
    radius: FloatArray,
    static: FloatArray,
    group: IntArray,
    neighbours: NDArray[np.int32],
    anchors: FloatArray,
    people: FloatArray,
    person_radius: float,
    goods: FloatArray,
    margin: float,
    release: float,
    synced: IntArray,
    step: int,
    near_robot: NDArray[np.bool_],
    near_person: NDArray[np.bool_],
    near_good: NDArray[np.bool_],
    near_group: NDArray[np.bool_],
) -> int:
    """Set the flags of what is near a robot.

    Near is within ``margin``, and within ``release`` of a robot that is in Bullet now (synced[i] == step). Other shapes
    are as in ``free_time``; pose (R, 3); group (K,) is the physics group of each static footprint.

    Returns:
        TIGHT if something is within ``margin`` of a robot (exactly when ``free_time`` is not above zero), plus CHANGED
        if flags differ from what they were, or a robot that is near is not in Bullet now.
    """
    tight = False
    old_robot, old_person = near_robot.copy(), near_person.copy()
    old_good, old_group = near_good.copy(), near_group.copy()
    near_robot[:] = False
    near_person[:] = False
    near_good[:] = False
    near_group[:] = False
    for i in range(len(pose)):
        x, y = pose[i, 0], pose[i, 1]
        wide = release if synced[i] == step else margin
        if static_gap(static, x, y, i, radius[i], wide, neighbours, anchors) <= wide:
            near_robot[i] = True
            for k in range(1, neighbours[i, 0] + 1):
                row = neighbours[i, k]
                gap = distance(static, row, x, y) - radius[i]
                if gap <= wide:
                    near_group[group[row]] = True
                    tight = tight or gap <= margin
        nearest = _mark_goods(goods, x, y, radius[i], wide, near_good)
        near_robot[i] |= nearest <= wide
        tight = tight or nearest <= margin
        for j in range(i):
            gap = sqrt((x - pose[j, 0]) ** 2 + (y - pose[j, 1]) ** 2) - radius[i] - radius[j]
            if gap <= wide or (gap <= release and synced[j] == step):
                near_robot[i] = near_robot[j] = True
                tight = tight or gap <= margin
        for k in range(len(people)):
            gap = sqrt((x - people[k, 0]) ** 2 + (y - people[k, 1]) ** 2) - radius[i] - person_radius
            if gap <= wide:
                near_robot[i] = near_person[k] = True
                tight = tight or gap <= margin
    changed = _differ(old_robot, near_robot) or _differ(old_person, near_person)
    changed = changed or _differ(old_good, near_good) or _differ(old_group, near_group)
    for i in range(len(pose)):
        changed = changed or (near_robot[i] and synced[i] != step)
    return (TIGHT if tight else 0) + (CHANGED if changed else 0)


@compiled
def _mark_goods(
    goods: FloatArray, x: float, y: float, radius: float, wide: float, near_good: NDArray[np.bool_]
) -> float:
    """Set the flags of goods within ``wide`` of a circle and return the smallest gap [m]."""
    nearest = np.inf
    for k in range(len(goods)):
        dx, dy = x - goods[k, 0], y - goods[k, 1]
        bound = wide + radius + goods[k, 4] + max(goods[k, 5], 0.0)
        if dx * dx + dy * dy < bound * bound:
            gap = distance(goods, k, x, y) - radius
            near_good[k] |= gap <= wide
            nearest = min(nearest, gap)
    return nearest


@compiled
def _differ(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> bool:
    for k in range(len(a)):  # noqa: SIM110 - numba compiles no generators
        if a[k] != b[k]:
            return True
    return False


@compiled
def mark_around(
    x: float,
    y: float,
    reach: float,
    goods: FloatArray,
    static: FloatArray,
    group: IntArray,
    near_good: NDArray[np.bool_],
    near_group: NDArray[np.bool_],
) -> None:
    """Set the flags of goods and static groups within ``reach`` [m] of a point."""
    for k in range(len(goods)):
        if distance(goods, k, x, y) < reach:
            near_good[k] = True
    for row in range(len(static)):
        if distance(static, row, x, y) < reach:
            near_group[group[row]] = True
