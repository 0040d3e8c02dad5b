"""3D boxes around objects that are made of several solids: upright ones, and ones along a tilted object's own axes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..common.primitives import BOX, CAPSULE, CYLINDER, TRIANGLE
from .compiled import compiled, spliced
from .masks import hash_place

FloatArray = NDArray[np.float64]
Indices = NDArray[np.int64]

UPRIGHT_COSINE = float(np.cos(np.radians(0.5)))
"""A box tilted by more than half a degree is not a cuboid that turns about the vertical only."""


MESH_SAMPLE = 256
"""Triangles that a mesh's heading is found from."""


class SolidBoxes(NamedTuple):
    """Boxes around S objects, in ``camera_optical``; columns of axes are directions of length, width and height.

    Attributes:
        center (S, 3) [m], size (S, 3) [m], axes (S, 3, 3): of the box that stands upright in ``map``.
        cuboid: (S,) the object is one upright box.
        tilted: (S,) the object's leading part leans by more than half a degree.
        oriented_center, oriented_size, oriented_axes: of the box along the leading part's own axes; the upright box
            where that part does not lean.
    """

    center: FloatArray
    size: FloatArray
    axes: FloatArray
    cuboid: NDArray[np.bool_]
    tilted: NDArray[np.bool_]
    oriented_center: FloatArray
    oriented_size: FloatArray
    oriented_axes: FloatArray


def parts_of(world_id: NDArray[np.int32], table: NDArray[np.int32], objects: int) -> tuple[Indices, Indices]:
    """Return the rows of a world (P,) that belong to S objects, by object, and where each object's begin (S + 1,).

    ``table`` numbers the ids of the objects (``masks.hash_ids``); rows keep their order within a group.
    """
    number = np.empty(len(world_id), dtype=np.int32)
    offset, place = np.zeros(objects + 1, dtype=np.int64), np.zeros(objects + 1, dtype=np.int64)
    index = np.empty(_number_parts(world_id, table, number, offset, place), dtype=np.int64)
    _group_parts(number, place, index)
    return index, offset


@compiled
def _number_parts(
    world_id: NDArray[np.int32], table: NDArray[np.int32], number: NDArray[np.int32], offset: Indices, place: Indices
) -> int:
    """Write which object each row belongs to (-1 = none) and where each object's begin, twice; return how many do."""
    for p in range(len(world_id)):
        number[p] = -1
        if world_id[p] > 0:
            at = hash_place(table, world_id[p])
            if table[at, 0] != 0:
                number[p] = table[at, 1]
                offset[number[p] + 1] += 1
    for s in range(1, len(offset)):
        offset[s] += offset[s - 1]
        place[s] = offset[s]
    return offset[-1]


@compiled
def _group_parts(number: NDArray[np.int32], place: Indices, index: Indices) -> None:
    for p in range(len(number)):
        if number[p] >= 0:
            index[place[number[p]]] = p
            place[number[p]] += 1


def place_parts(
    index: NDArray[np.int64],
    position: FloatArray,
    quaternion: FloatArray,
    camera_position: FloatArray,
    camera_rotation: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return local axes in ``map`` (P, 3, 3 columns), centres (P, 3) [m] and local axes in ``camera_optical``.

    ``index`` (P,) names rows of ``position`` (N, 3) [m] and ``quaternion`` (N, 4) xyzw, unit, in ``map``.
    """
    count = len(index)
    local, axes, center = np.empty((count, 3, 3)), np.empty((count, 3, 3)), np.empty((count, 3))
    _place_parts(index, position, quaternion, camera_position, camera_rotation, local, center, axes)
    return local, center, axes


@compiled
def _place_parts(
    index: Indices,
    position: FloatArray,
    quaternion: FloatArray,
    camera_position: FloatArray,
    camera_rotation: FloatArray,
    local: FloatArray,
    center: FloatArray,
    axes: FloatArray,
) -> None:
    for i in range(len(index)):
        p = index[i]
        x, y, z, w = quaternion[p, 0], quaternion[p, 1], quaternion[p, 2], quaternion[p, 3]
        local[i, 0, 0], local[i, 1, 1], local[i, 2, 2] = (
            1 - 2 * (y * y + z * z),
            1 - 2 * (x * x + z * z),
            1 - 2 * (x * x + y * y),
        )
        local[i, 0, 1], local[i, 1, 0] = 2 * (x * y - z * w), 2 * (x * y + z * w)
        local[i, 0, 2], local[i, 2, 0] = 2 * (x * z + y * w), 2 * (x * z - y * w)
        local[i, 1, 2], local[i, 2, 1] = 2 * (y * z - x * w), 2 * (y * z + x * w)
        for k in range(3):
            center[i, k] = 0.0
            for j in range(3):
                center[i, k] += camera_rotation[j, k] * (position[p, j] - camera_position[j])
                axes[i, k, j] = (
                    camera_rotation[0, k] * local[i, 0, j]
                    + camera_rotation[1, k] * local[i, 1, j]
                    + camera_rotation[2, k] * local[i, 2, j]
                )


def solid_boxes(
    kind: NDArray[np.uint8],
    size: FloatArray,
    center: FloatArray,
    axes: FloatArray,
    local: FloatArray,
    offset: NDArray[np.int64],
    camera_rotation: FloatArray,
) -> SolidBoxes:
    """Return the boxes around S objects made of P primitives.

    The heading of an upright box is the local x axis of the object's first box, or of its first solid if it has none:
    the chassis of a vehicle, the trunk of a person. If that axis stands upright (a toppled thing), the local y axis
    serves. A mesh's triangles have no axes that mean anything: its box is the one of least area on the floor, headed
    whichever way is nearest to its first triangle's x axis, so that it turns with the mesh; it has no box that leans.

    Args:
        kind (P,), size (P, 3): as in ``Primitives``, grouped by object, without planes.
        center (P, 3) [m], axes (P, 3, 3), local (P, 3, 3): see ``place_parts``.
        offset: (S + 1,) where each object's primitives start.
        camera_rotation: (3, 3), columns are the axes of ``camera_optical`` in ``map``.
    """
    objects = len(offset) - 1
    upright, own = np.empty((objects, 3, 3)), np.empty((objects, 3, 3))
    cuboid, tilted = np.empty(objects, dtype=np.bool_), np.empty(objects, dtype=np.bool_)
    every = np.ones(objects, dtype=np.bool_)
    mesh, heading = np.empty(objects, dtype=np.bool_), np.empty((objects, 2))
    _box_axes(kind, axes, local, offset, camera_rotation, upright, own, cuboid, tilted, mesh, heading)
    if mesh.any():  # a kernel of its own, which others need not wait for
        corners = np.empty((2, 3 * MESH_SAMPLE))
        _mesh_axes(size, center, axes, offset, camera_rotation, mesh, heading, corners, upright, own)
    middle, extent = np.empty((objects, 3)), np.empty((objects, 3))
    _enclose(kind, size, center, axes, offset, every, upright, middle, extent)
    own_middle, own_extent = middle.copy(), extent.copy()
    if tilted.any():
        _enclose(kind, size, center, axes, offset, tilted, own, own_middle, own_extent)
    return SolidBoxes(middle, extent, upright, cuboid, tilted, own_middle, own_extent, own)


@compiled
def _box_axes(
    kind: NDArray[np.uint8],
    axes: FloatArray,
    local: FloatArray,
    offset: Indices,
    camera_rotation: FloatArray,
    upright_axes: FloatArray,
    own_axes: FloatArray,
    cuboid: NDArray[np.bool_],
    tilted: NDArray[np.bool_],
    mesh: NDArray[np.bool_],
    heading: FloatArray,
) -> None:
    """Write the axes of the upright and oriented boxes (S, 3, 3), what kind they are and their headings (S, 2)."""
    for s in range(len(offset) - 1):
        first, last = offset[s], offset[s + 1]
        leader = first
        for p in range(first, last):
            if kind[p] == BOX:
                leader = p
                break
        upright = 0
        for j in range(1, 3):
            if abs(local[leader, 2, j]) > abs(local[leader, 2, upright]):
                upright = j
        across = 1 if upright == 0 else 0
        x, y = local[leader, 0, across], local[leader, 1, across]
        norm = np.sqrt(x * x + y * y)
        x, y = x / norm, y / norm
        heading[s, 0], heading[s, 1] = x, y
        mesh[s] = kind[leader] == TRIANGLE
        leans = abs(local[leader, 2, upright]) < UPRIGHT_COSINE and not mesh[s]
        tilted[s] = leans
        cuboid[s] = last - first == 1 and kind[leader] == BOX and not leans
        for k in range(3):
            upright_axes[s, k, 0] = camera_rotation[0, k] * x + camera_rotation[1, k] * y
            upright_axes[s, k, 1] = camera_rotation[1, k] * x - camera_rotation[0, k] * y
            upright_axes[s, k, 2] = camera_rotation[2, k]
            for j in range(3):
                own_axes[s, k, j] = axes[leader, k, j] if leans else upright_axes[s, k, j]


@spliced
def _rectangle(across: FloatArray, along: FloatArray, count: int, cos: float, sin: float) -> float:
    """Return the area of the rectangle around points, one of whose sides has the direction (cos, sin)."""
    left, right, low, high = np.inf, -np.inf, np.inf, -np.inf
    for i in range(count):
        u, v = cos * across[i] + sin * along[i], cos * along[i] - sin * across[i]
        left, right, low, high = min(left, u), max(right, u), min(low, v), max(high, v)
    return (right - left) * (high - low)


@spliced
def _mesh_heading(
    size: FloatArray,
    center: FloatArray,
    axes: FloatArray,
    camera_rotation: FloatArray,
    first: int,
    last: int,
    start: float,
    across: FloatArray,
    along: FloatArray,
) -> float:
    """Return the heading [rad] of the rectangle of least area around triangles ``first:last`` seen from above.

    Directions are tried in steps that shrink to 0.03 degrees, with at most ``MESH_SAMPLE`` triangles. Of the four ways
    a rectangle can face, the one nearest to ``start``; and ``start`` itself for what is as round as that.
    """
    step = max((last - first + MESH_SAMPLE - 1) // MESH_SAMPLE, 1)
    count = (last - first + step - 1) // step
    for i in range(count):
        p = first + i * step
        for corner in range(3):
            a = -size[p, 0] if corner == 0 else (size[p, 0] if corner == 1 else size[p, 1])
            b = size[p, 2] if corner == 2 else -size[p, 2]
            u, v = 0.0, 0.0
            for k in range(3):
                place = center[p, k] + a * axes[p, k, 0] + b * axes[p, k, 1]
                u += camera_rotation[0, k] * place
                v += camera_rotation[1, k] * place
            across[3 * i + corner], along[3 * i + corner] = u, v
    best, least, most = 0.0, np.inf, 0.0
    width = 0.25 * np.pi
    for _ in range(3):
        middle = best
        for turn in range(-15, 16):
            angle = middle + width * turn / 15
            area = _rectangle(across, along, 3 * count, np.cos(start + angle), np.sin(start + angle))
            most = max(most, area)
            if area < least * (1.0 - 1e-9):
                best, least = angle, area
        width /= 10.0
    return start + best if most >= 1.02 * least else start


@compiled
def _mesh_axes(
    size: FloatArray,
    center: FloatArray,
    axes: FloatArray,
    offset: Indices,
    camera_rotation: FloatArray,
    mesh: NDArray[np.bool_],
    heading: FloatArray,
    corners: FloatArray,
    upright_axes: FloatArray,
    own_axes: FloatArray,
) -> None:
    """Turn the boxes of meshes to the headings of least area, from the ``heading`` (S, 2) of a triangle."""
    for s in range(len(mesh)):
        if not mesh[s]:
            continue
        start = np.arctan2(heading[s, 1], heading[s, 0])
        angle = _mesh_heading(
            size, center, axes, camera_rotation, offset[s], offset[s + 1], start, corners[0], corners[1]
        )
        x, y = np.cos(angle), np.sin(angle)
        for k in range(3):
            upright_axes[s, k, 0] = camera_rotation[0, k] * x + camera_rotation[1, k] * y
            upright_axes[s, k, 1] = camera_rotation[1, k] * x - camera_rotation[0, k] * y
            own_axes[s, k, 0], own_axes[s, k, 1] = upright_axes[s, k, 0], upright_axes[s, k, 1]


@spliced
def _reach(kind: int, size: FloatArray, p: int, x: float, y: float, z: float) -> tuple[float, float]:
    """Return how far [m] solid p reaches from its centre against and along a unit direction in its own axes."""
    a, b = size[p, 0], size[p, 1]
    if kind == TRIANGLE:
        foot, top = -size[p, 2] * y, b * x + size[p, 2] * y
        return min(foot - a * abs(x), top), max(foot + a * abs(x), top)
    if kind == BOX:
        reach = a * abs(x) + b * abs(y) + size[p, 2] * abs(z)
    elif kind == CYLINDER:
        reach = a * np.sqrt(max(1.0 - z * z, 0.0)) + b * abs(z)
    elif kind == CAPSULE:
        reach = a + b * abs(z)
    else:
        reach = a
    return -reach, reach


@compiled
def _enclose(
    kind: NDArray[np.uint8],
    size: FloatArray,
    center: FloatArray,
    axes: FloatArray,
    offset: Indices,
    wanted: NDArray[np.bool_],
    box_axes: FloatArray,
    box_center: FloatArray,
    box_size: FloatArray,
) -> None:
    """Write centre and size of the boxes along ``box_axes`` (S, 3, 3) around the wanted objects (S,)."""
    for s in range(len(wanted)):
        if not wanted[s]:
            continue
        for k in range(3):
            box_center[s, k] = 0.0
        for j in range(3):
            x, y, z = box_axes[s, 0, j], box_axes[s, 1, j], box_axes[s, 2, j]
            least, most = np.inf, -np.inf
            for p in range(offset[s], offset[s + 1]):
                middle = x * center[p, 0] + y * center[p, 1] + z * center[p, 2]
                below, above = _reach(
                    kind[p],
                    size,
                    p,
                    x * axes[p, 0, 0] + y * axes[p, 1, 0] + z * axes[p, 2, 0],
                    x * axes[p, 0, 1] + y * axes[p, 1, 1] + z * axes[p, 2, 1],
                    x * axes[p, 0, 2] + y * axes[p, 1, 2] + z * axes[p, 2, 2],
                )
                least, most = min(least, middle + below), max(most, middle + above)
            box_size[s, j] = most - least
            middle = 0.5 * (least + most)
            box_center[s, 0] += middle * x
            box_center[s, 1] += middle * y
            box_center[s, 2] += middle * z
