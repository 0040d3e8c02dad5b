"""Ray casting a second time, slowly and in another way, as the answer that tests hold the kernels against.

For each solid the points where a ray crosses any of its bounding surfaces are listed (face planes, the cylinder's wall,
spheres) and the first one that lies on the solid counts. The kernels intersect intervals instead.
"""

from __future__ import annotations

import numpy as np

from floorcast.common.geometry import rotation_matrix
from floorcast.common.primitives import BOX, CAPSULE, CYLINDER, PLANE, SPHERE, TRIANGLE

ON_SURFACE = 1e-7


def signed_distance(kind, size, point):
    """Distance (N,) [m] from points (N, 3) in the local frame to the solid; negative inside."""
    if kind == BOX:
        q = np.abs(point) - size
        return np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(axis=1), 0)
    if kind == PLANE:
        return point[:, 2]
    if kind == SPHERE:
        return np.linalg.norm(point, axis=1) - size[0]
    if kind == TRIANGLE:
        corner = np.array([[-size[0], -size[2]], [size[0], -size[2]], [size[1], size[2]]])
        edge = np.roll(corner, -1, axis=0) - corner
        outward = np.stack([edge[:, 1], -edge[:, 0]], axis=1) / np.linalg.norm(edge, axis=1, keepdims=True)
        beyond = ((point[:, None, :2] - corner) * outward).sum(axis=2).max(axis=1)
        return np.maximum(np.maximum(np.abs(point[:, 2]), beyond), 1e-12)  # no inside
    if kind == CYLINDER:
        q = np.stack([np.hypot(point[:, 0], point[:, 1]) - size[0], np.abs(point[:, 2]) - size[1]], axis=1)
        return np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(axis=1), 0)
    along = np.clip(point[:, 2], -size[1], size[1])
    return np.linalg.norm(point - np.stack([0 * along, 0 * along, along], axis=1), axis=1) - size[0]


def crossings(kind, size, o, d):
    """All t (K, N) at which rays o (3,) + t d (N, 3) may cross the solid's surface; nan where they do not."""

    def faces(axis, half):
        return [(side * half - o[axis]) / d[:, axis] for side in (-1.0, 1.0)]

    def roots(a, b, c):
        root = np.sqrt(b * b - a * c)
        return [(-b - root) / a, (-b + root) / a]

    def ball(center):
        p = o - center
        return roots((d * d).sum(axis=1), d @ p, p @ p - size[0] ** 2)

    wall = [] if kind in (BOX, PLANE, SPHERE, TRIANGLE) else roots(
        (d[:, :2] ** 2).sum(axis=1), d[:, :2] @ o[:2], o[:2] @ o[:2] - size[0] ** 2
    )  # fmt: skip
    if kind == BOX:
        return faces(0, size[0]) + faces(1, size[1]) + faces(2, size[2])
    if kind in (PLANE, TRIANGLE):
        return [-o[2] / d[:, 2]]
    if kind == SPHERE:
        return ball(np.zeros(3))
    if kind == CYLINDER:
        return wall + faces(2, size[1])
    assert kind == CAPSULE
    return wall + ball(np.array([0, 0, size[1]])) + ball(np.array([0, 0, -size[1]]))


def exact_ranges(world, origin, direction, reach=np.inf, skip=()):
    """Ranges (N,) and rows (N,) of the first solids on rays from one point; inf and -1 for none."""
    rotation = rotation_matrix(world.quaternion)
    best, row = np.full(len(direction), np.inf), np.full(len(direction), -1)
    for i in range(len(world)):
        if i in skip:
            continue
        kind, size = int(world.kind[i]), world.size[i]
        o, d = (origin - world.position[i]) @ rotation[i], direction @ rotation[i]
        if signed_distance(kind, size, o[None])[0] <= 0:
            best[:], row[:] = 0.0, i
            continue
        with np.errstate(all="ignore"):
            for t in crossings(kind, size, o, d):
                ok = np.isfinite(t) & (t >= 0) & (t < best)
                point = o + np.where(ok, t, 0.0)[:, None] * d
                ok &= np.abs(signed_distance(kind, size, point)) < ON_SURFACE
                best, row = np.where(ok, t, best), np.where(ok, i, row)
    missed = best > reach
    return np.where(missed, np.inf, best), np.where(missed, -1, row)


def random_directions(rng, count):
    d = rng.normal(size=(count, 3))
    return d / np.linalg.norm(d, axis=1, keepdims=True)
