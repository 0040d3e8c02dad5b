"""Solids as triangles, for peers that know nothing else: boxes exactly, round ones within a stated error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...common.geometry import FloatArray, rotation_matrix
from ...common.primitives import BOX, CAPSULE, CYLINDER, PLANE, SPHERE, TRIANGLE, Primitives

PLANE_REACH = 150.0
"""A plane becomes a square of this half width [m]."""
MIN_SEGMENTS, MAX_SEGMENTS = 8, 720

_CORNERS = np.array([[x, y, z] for x in (-1.0, 1.0) for y in (-1.0, 1.0) for z in (-1.0, 1.0)])
_BOX_FACES = np.array(
    [
        [0, 1, 3], [0, 3, 2],
        [4, 6, 7], [4, 7, 5],
        [0, 4, 5], [0, 5, 1],
        [2, 3, 7], [2, 7, 6],
        [0, 2, 6], [0, 6, 4],
        [1, 5, 7], [1, 7, 3],
    ]
)  # fmt: skip
"""Counter-clockwise from outside."""


@dataclass(frozen=True)
class Triangles:
    """A triangulated table of solids.

    Attributes:
        vertices: (V, 3) float64 [m]; in ``map``, or in the frames of the bodies that carry the solids.
        faces: (F, 3) int32 rows of ``vertices``, counter-clockwise from outside.
        owner: (F,) int32 row of the solid in the table.
        vertex_owner: (V,) int32 the same of each vertex.
    """

    vertices: FloatArray
    faces: NDArray[np.int32]
    owner: NDArray[np.int32]
    vertex_owner: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.faces)


def triangulate(solids: Primitives, *, error: float = 0.004) -> Triangles:
    """Return solids as triangles.

    Args:
        solids: of any kind.
        error: how far [m] the polygon of a circle may be off to either side; it lies partly outside of the circle and
            partly inside. Solids that are round in two directions may be off by two and a half times that.
    """
    vertices: list[FloatArray] = [np.zeros((0, 3))]
    faces: list[NDArray[np.int64]] = [np.zeros((0, 3), np.int64)]
    owners: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    vertex_owners: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    count = 0
    turn = rotation_matrix(solids.quaternion)
    boxes = np.flatnonzero(solids.kind == BOX)
    if len(boxes):
        corners = _CORNERS[None] * solids.size[boxes, None, :]
        placed = np.einsum("nij,nkj->nki", turn[boxes], corners) + solids.position[boxes, None, :]
        vertices.append(placed.reshape(-1, 3))
        faces.append((_BOX_FACES[None] + 8 * np.arange(len(boxes))[:, None, None]).reshape(-1, 3))
        owners.append(np.repeat(boxes, 12))
        vertex_owners.append(np.repeat(boxes, 8))
        count = 8 * len(boxes)
    for row in np.flatnonzero(solids.kind != BOX).tolist():
        local, own = _shape(int(solids.kind[row]), solids.size[row], error)
        vertices.append(local @ turn[row].T + solids.position[row])
        faces.append(own + count)
        owners.append(np.full(len(own), row))
        vertex_owners.append(np.full(len(local), row))
        count += len(local)
    return Triangles(
        np.concatenate(vertices),
        np.concatenate(faces).astype(np.int32),
        np.concatenate(owners).astype(np.int32),
        np.concatenate(vertex_owners).astype(np.int32),
    )


def segments(radius: float, error: float) -> int:
    """Return into how many equal parts a circle is cut so that its polygon is at most ``error`` [m] off to either side.

    A regular n-gon has a sagitta of r (1 - cos(pi / n)); scaled by half of it, it is that far out and that far in.
    """
    part = min(2.0 * error / radius, 1.0)
    count = int(np.ceil(np.pi / np.arccos(1.0 - part)))
    return int(np.clip(count + count % 2, MIN_SEGMENTS, MAX_SEGMENTS))


def _shape(kind: int, size: FloatArray, error: float) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return vertices (V, 3) [m] and faces (F, 3) of a solid in its own frame."""
    if kind == PLANE:
        reach = PLANE_REACH
        square = np.array([[-reach, -reach, 0.0], [reach, -reach, 0.0], [reach, reach, 0.0], [-reach, reach, 0.0]])
        return square, np.array([[0, 1, 2], [0, 2, 3]])
    if kind == TRIANGLE:
        a, b, h = size.tolist()
        return np.array([[-a, -h, 0.0], [a, -h, 0.0], [b, h, 0.0]]), np.array([[0, 1, 2]])
    radius = float(size[0])
    around = segments(radius, error)
    if kind == CYLINDER:
        wide = radius * 2.0 / (1.0 + np.cos(np.pi / around))
        return _lathe(np.array([wide, wide]), np.array([-size[1], size[1]]), around)
    if kind not in (CAPSULE, SPHERE):
        raise ValueError(f"kind {kind} is unknown")
    half = float(size[1]) if kind == CAPSULE else 0.0
    bands = max(2, -(-around // 4))
    latitude = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 2 * bands + 1)[1:-1]
    # Two bulges per facet, around and along: each is balanced by half of its own sagitta.
    wide = radius * 2.0 / (1.0 + np.cos(np.pi / around))
    high = radius * 2.0 / (1.0 + np.cos(0.25 * np.pi / bands))
    if half > 0.0:
        middle = bands - 1
        latitude = np.concatenate([latitude[: middle + 1], latitude[middle:]])
    shift = np.where(np.arange(len(latitude)) < 0.5 * len(latitude), -half, half)
    if half == 0.0:
        shift = np.zeros(len(latitude))
    rings, heights = wide * np.cos(latitude), high * np.sin(latitude) + shift
    return _lathe(rings, heights, around, poles=(-high - half, high + half))


def _lathe(
    radii: FloatArray, heights: FloatArray, around: int, *, poles: tuple[float, float] | None = None
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return rings of given radii and heights [m], from below, joined and closed at both ends."""
    angle = np.arange(around) * 2.0 * np.pi / around
    circle = np.stack([np.cos(angle), np.sin(angle), np.zeros(around)], axis=1)
    rings = circle[None] * radii[:, None, None] + np.array([0.0, 0.0, 1.0]) * heights[:, None, None]
    low, high = poles if poles is not None else (float(heights[0]), float(heights[-1]))
    ends = np.array([[0.0, 0.0, low], [0.0, 0.0, high]])
    vertices = np.concatenate([rings.reshape(-1, 3), ends])
    this = np.arange(around)
    following = (this + 1) % around
    faces = []
    for ring in range(len(radii) - 1):
        a, b = ring * around + this, ring * around + following
        faces += [np.stack([a, b, b + around], axis=1), np.stack([a, b + around, a + around], axis=1)]
    bottom, top = len(radii) * around, len(radii) * around + 1
    last = (len(radii) - 1) * around
    faces.append(np.stack([np.full(around, bottom), following, this], axis=1))
    faces.append(np.stack([np.full(around, top), last + this, last + following], axis=1))
    return vertices, np.concatenate(faces)
