"""From a triangle mesh to the boxes that stand for it: one for each part that is a box, else cells put together.

A part is what hangs together by common corners. One that is closed is solid inside; one that is not, or that is said to
be a shell, is sheets of ``SHEET`` metres. Boxes cover the mesh to within ``SLACK`` metres.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...common.mesh import TriangleMesh

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MAX_BOXES = 64
"""Boxes for one mesh; where more would be needed, cells grow until these suffice."""
SHEET = 0.02
"""Thickness of what is only a surface [m]."""
SLACK = 0.002
"""How far a mesh may come out of its boxes [m]."""
FULL = 0.95
"""Share of its box from which a part is a box."""
CLOSED = 1e-3
"""Share of its area, and of its box, by which a part's openings may show."""
WORTH = 0.85
"""Share of the one box up to which cells are taken in its place."""
SMALL = 0.4
"""Diagonal [m] up to which a part is one box whatever its shape."""
LEVELS = 40
"""Different coordinates along an axis up to which cells end at the mesh's own corners."""
GRIDS = (24, 16, 12, 8, 6, 4, 3, 2, 1)
"""Cells along the longest axis of what has no such corners, or needs too many boxes: finer ones first."""
SMALLEST_CELL = 0.03
"""[m]."""
MAX_PAIRS = 3_000_000
"""Pairs of a triangle and a cell that are looked at for one grid."""
WELD = 1e-5
"""Corners nearer than this [m] are one."""


@dataclass(frozen=True)
class OrientedBox:
    """A box: middle (3,) [m], rotation (3, 3) whose columns are its axes, full size (3,) [m] along them.

    ``whole``: it stands for one closed part alone, of which it holds nearly as much as it is.
    """

    centre: Floats
    rotation: Floats
    size: Floats
    whole: bool = False


def mesh_boxes(mesh: TriangleMesh, *, shell: bool = False) -> list[OrientedBox]:
    """Return at most ``MAX_BOXES`` boxes that cover a mesh, in its own frame.

    Args:
        mesh: the mesh. shell: take closed parts for thin shells too.
    """
    vertices, faces = _welded(mesh)
    parts = _connected(faces, len(vertices))
    if len(parts) > MAX_BOXES:
        parts = [faces]
    drafts = [_Draft.of(vertices, part, shell) for part in parts]
    plain = sum(draft.plain for draft in drafts)
    budget = (MAX_BOXES - plain) // max(1, len(drafts) - plain)
    return _without_inner([box for draft in drafts for box in draft.boxes(budget)])


@dataclass(frozen=True)
class _Draft:
    """A part (N, 3, 3) in the axes of its box, the one box, and whether that box is all it needs."""

    triangles: Floats
    one: OrientedBox
    closed: bool
    plain: bool

    @staticmethod
    def of(vertices: Floats, faces: Ints, shell: bool) -> _Draft:
        corners = vertices[np.unique(faces)]
        rotation = _best_axes(corners, vertices[faces])
        triangles = (vertices @ rotation)[faces]
        low, high = triangles.min(axis=(0, 1)), triangles.max(axis=(0, 1))
        size = np.maximum(high - low, SHEET)
        volume = 0.0 if shell else _enclosed(triangles)
        closed, whole = volume > 0.0, volume >= FULL * float(np.prod(size))
        plain = whole or float(np.linalg.norm(size)) <= SMALL or float(size.min()) <= 2.0 * SHEET
        return _Draft(triangles, OrientedBox(rotation @ (0.5 * (low + high)), rotation, size, whole), closed, plain)

    def boxes(self, budget: int) -> list[OrientedBox]:
        """Return at most ``budget`` boxes of cells, or the one box where cells would be hardly less."""
        worth = WORTH * float(np.prod(self.one.size))
        for planes in [] if self.plain else _plane_sets(self.triangles, self.closed):
            solid = _cells(self.triangles, planes, self.closed)
            cuboids = None if solid is None else _merged(solid, budget)
            if cuboids is None:
                continue
            found = [_cuboid(planes, cuboid, self.one.rotation) for cuboid in cuboids]
            if found and sum(float(np.prod(box.size)) for box in found) < worth:
                return found
        return [self.one]


# -- the mesh ----------------------------------------------------------------------------------------------------------


def _welded(mesh: TriangleMesh) -> tuple[Floats, Ints]:
    """Return vertices and faces with corners at one place made one, and without the faces that this makes nothing."""
    used, inverse = np.unique(mesh.faces, return_inverse=True)
    _, first, place = np.unique(
        np.round(mesh.vertices[used] / WELD).astype(np.int64), axis=0, return_index=True, return_inverse=True
    )
    faces = place.reshape(-1)[inverse.reshape(-1)].reshape(-1, 3)
    whole = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 0] != faces[:, 2])
    return mesh.vertices[used][first], (faces[whole] if whole.any() else faces).astype(np.int64)


def _connected(faces: Ints, count: int) -> list[Ints]:
    """Return the faces of each part that hangs together, in the order of their first corners."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    start, end = faces.ravel(), np.roll(faces, 1, axis=1).ravel()
    links = coo_matrix((np.ones(len(start), np.int8), (start, end)), shape=(count, count))
    _, label = connected_components(links, directed=False)
    owner = label[faces[:, 0]]
    order = np.argsort(owner, kind="stable")
    cuts = np.flatnonzero(np.diff(owner[order])) + 1
    return list(np.split(faces[order], cuts))


def _enclosed(triangles: Floats) -> float:
    """Return the volume [m^3] that triangles (N, 3, 3) close in, 0 if they leave a way in.

    By the divergence theorem: a closed surface's areas cancel, and its flux of x, y and z is the volume each. This also
    holds of meshes whose corners do not meet those of their neighbours, or whose flat triangles were dropped.
    """
    middle = triangles.mean(axis=1)
    area = 0.5 * np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    flux = (area * (middle - middle.mean(axis=0))).sum(axis=0)
    whole = float(np.abs(area).sum())
    box = float(np.prod(np.ptp(triangles.reshape(-1, 3), axis=0)))
    even = np.abs(area.sum(axis=0)).max() < CLOSED * whole and np.ptp(flux) < CLOSED * max(box, 1e-9)
    return abs(float(flux.mean())) if even and abs(flux.mean()) > CLOSED * box else 0.0


def _best_axes(corners: Floats, triangles: Floats) -> Floats:
    """Return the axes (3, 3), as columns, of the smallest box found around corners (N, 3).

    Tried: the mesh's own axes, and the smallest rectangles seen along these and along the greatest face.
    """
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    greatest = normal[np.linalg.norm(normal, axis=1).argmax()]
    ups = [np.eye(3)[2], np.eye(3)[0], np.eye(3)[1]]
    # Corners that were welded may leave nothing but lines.
    if np.linalg.norm(greatest) > 0.0:
        ups.append(greatest / np.linalg.norm(greatest))
    best = np.eye(3)
    least = float(np.prod(np.maximum(np.ptp(corners, axis=0), SHEET)))
    for up in ups:
        # The axis nearest to the hall's plane stays first, so that upright boxes are turned about z only.
        aside = np.eye(3)[int(np.abs(up).argmin())]
        first = np.cross(aside, up)
        first /= np.linalg.norm(first)
        plane = np.stack([first, np.cross(up, first)], axis=1)
        angle = _least_rectangle(corners @ plane)
        cos, sin = math.cos(angle), math.sin(angle)
        axes = np.column_stack([plane @ (cos, sin), plane @ (-sin, cos), up])
        volume = float(np.prod(np.maximum(np.ptp(corners @ axes, axis=0), SHEET)))
        if volume < least * (1.0 - 1e-3):
            best, least = axes, volume
    return _upright_first(best)


def _upright_first(axes: Floats) -> Floats:
    """Return the same axes, right-handed, the most upright one third and pointing up."""
    third = int(np.abs(axes[2]).argmax())
    up = axes[:, third] * (1.0 if axes[2, third] >= 0.0 else -1.0)
    first = axes[:, (third + 1) % 3]
    first = first * (1.0 if first[np.abs(first).argmax()] >= 0.0 else -1.0)
    return np.column_stack([first, np.cross(up, first), up])


def _least_rectangle(points: Floats) -> float:
    """Return the angle [rad] of the smallest rectangle around points (N, 2); it lies along an edge of their hull."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        hull = points[ConvexHull(points).vertices]
    except (QhullError, ValueError):
        # On one line, or nearly: along that line.
        spread = points - points.mean(axis=0)
        return float(math.atan2(*np.linalg.svd(spread, full_matrices=False)[2][0][::-1]))
    edge = np.roll(hull, -1, axis=0) - hull
    angles = np.unique(np.round(np.arctan2(edge[:, 1], edge[:, 0]) % (0.5 * math.pi), 6))[:720]
    cos, sin = np.cos(angles), np.sin(angles)
    along, across = np.outer(cos, hull[:, 0]) + np.outer(sin, hull[:, 1]), np.outer(cos, hull[:, 1])
    across -= np.outer(sin, hull[:, 0])
    area = np.ptp(along, axis=1) * np.ptp(across, axis=1)
    return float(angles[int(area.argmin())])


# -- cells -------------------------------------------------------------------------------------------------------------


def _plane_sets(triangles: Floats, closed: bool) -> list[list[Floats]]:
    """Return grids to try: the planes [m] that bound their cells along each axis."""
    points = triangles.reshape(-1, 3)
    low, high = points.min(axis=0), points.max(axis=0)
    sets = []
    levels = [np.unique(np.round(points[:, axis], 3)) for axis in range(3)]
    normal = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    area = np.linalg.norm(normal, axis=1)
    square = float(area[np.abs(normal).max(axis=1) > 0.9999 * area].sum()) > 0.98 * float(area.sum())
    if square and max(len(level) for level in levels) <= LEVELS:
        half = 0.0 if closed else 0.5 * SHEET
        sets.append([_spread(level, half) for level in levels])
    margin = 0.0 if closed else 0.5 * SHEET
    for count in GRIDS:
        cell = max(float((high - low).max()) / count, SMALLEST_CELL)
        counts = np.maximum(np.ceil((high - low + 2 * margin) / cell - 1e-9), 1).astype(int)
        sets.append([np.linspace(low[axis] - margin, high[axis] + margin, counts[axis] + 1) for axis in range(3)])
    return sets


def _spread(level: Floats, half: float) -> Floats:
    """Return each level, or the two levels ``half`` beside it; those that would cross are left out."""
    if half == 0.0:
        return level
    planes = np.sort(np.concatenate([level - half, level + half]))
    return planes[np.concatenate([[True], np.diff(planes) > 1e-3])]


def _cells(triangles: Floats, planes: list[Floats], closed: bool) -> NDArray[np.bool_] | None:
    """Return which cells (nx, ny, nz) the surface or, if closed, the inside fills; None if that is too much work."""
    solid = _crossed(triangles, planes)
    if solid is None or not closed:
        return solid
    return solid | _within(triangles, planes)


def _crossed(triangles: Floats, planes: list[Floats]) -> NDArray[np.bool_] | None:
    """Return the cells (nx, ny, nz) that triangles go through (separating axes); touching is not enough."""
    shape = tuple(len(plane) - 1 for plane in planes)
    solid = np.zeros(shape, dtype=np.bool_)
    low, high = triangles.min(axis=1), triangles.max(axis=1)
    touch = 0.25 * SLACK
    first = np.stack([np.searchsorted(planes[k][1:], low[:, k] + touch, "right") for k in range(3)], axis=1)
    last = np.stack([np.searchsorted(planes[k][:-1], high[:, k] - touch, "left") - 1 for k in range(3)], axis=1)
    span = np.maximum(last - first + 1, 0)
    count = span.prod(axis=1)
    if count.sum() > MAX_PAIRS:
        return None
    middle = [0.5 * (plane[1:] + plane[:-1]) for plane in planes]
    half = [np.maximum(0.5 * np.diff(plane) - touch, 1e-6) for plane in planes]
    edges = np.cumsum(count)
    for begin, end in itertools.pairwise(
        [0, *np.searchsorted(edges, np.arange(100_000, int(count.sum()), 100_000)).tolist(), len(triangles)]
    ):
        number = count[begin:end]
        owner = begin + np.repeat(np.arange(len(number)), number)
        place = np.arange(len(owner)) - np.repeat(np.cumsum(number) - number, number)
        size = span[owner]
        cell = first[owner] + np.stack(
            [place // np.maximum(size[:, 1] * size[:, 2], 1), place // np.maximum(size[:, 2], 1) % size[:, 1],
             place % size[:, 2]], axis=1
        )  # fmt: skip
        centre = np.stack([middle[k][cell[:, k]] for k in range(3)], axis=1)
        extent = np.stack([half[k][cell[:, k]] for k in range(3)], axis=1)
        cell = cell[_overlap(triangles[owner] - centre[:, None], extent)]
        solid[cell[:, 0], cell[:, 1], cell[:, 2]] = True
    return solid


def _overlap(triangle: Floats, half: Floats) -> NDArray[np.bool_]:
    """Return which triangles (N, 3, 3) meet the boxes of half extents (N, 3) about the origin (Akenine-Moeller 2001).

    The axes of the boxes are known not to part them.
    """
    edge = np.roll(triangle, -1, axis=1) - triangle
    axes = [np.cross(edge[:, 0], edge[:, 1])]
    for axis in np.eye(3):
        axes += [np.cross(axis, edge[:, k]) for k in range(3)]
    meets = np.ones(len(triangle), dtype=np.bool_)
    for direction in axes:
        at = np.einsum("nij,nj->ni", triangle, direction)
        reach = np.einsum("nj,nj->n", half, np.abs(direction))
        meets &= (at.min(axis=1) <= reach) & (at.max(axis=1) >= -reach)
    return meets


def _within(triangles: Floats, planes: list[Floats]) -> NDArray[np.bool_]:
    """Return the cells (nx, ny, nz) whose middles closed triangles go around (winding number along z)."""
    # Off the middle by a little: lines through middles often go along edges exactly.
    x, y = (plane[:-1] + share * np.diff(plane) for plane, share in zip(planes, (0.5137, 0.4871), strict=False))
    z = 0.5 * (planes[2][1:] + planes[2][:-1])
    inside = np.zeros((len(x), len(y), len(z)), dtype=np.bool_)
    a, b, c = triangles[:, 0], triangles[:, 1], triangles[:, 2]
    twice = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    good = np.abs(twice) > 1e-12
    a, b, c, twice = a[good], b[good], c[good], twice[good]
    for i, px in enumerate(x.tolist()):
        near = (np.minimum(np.minimum(a[:, 0], b[:, 0]), c[:, 0]) <= px) & (
            np.maximum(np.maximum(a[:, 0], b[:, 0]), c[:, 0]) >= px
        )
        p, q, r, area = a[near], b[near], c[near], twice[near]
        for j, py in enumerate(y.tolist()):
            v = ((px - p[:, 0]) * (r[:, 1] - p[:, 1]) - (py - p[:, 1]) * (r[:, 0] - p[:, 0])) / area
            w = ((q[:, 0] - p[:, 0]) * (py - p[:, 1]) - (q[:, 1] - p[:, 1]) * (px - p[:, 0])) / area
            hit = (v >= 0.0) & (w >= 0.0) & (v + w <= 1.0)
            height = p[hit, 2] + v[hit] * (q[hit, 2] - p[hit, 2]) + w[hit] * (r[hit, 2] - p[hit, 2])
            winding = (np.sign(area[hit])[:, None] * (height[:, None] > z[None, :])).sum(axis=0)
            inside[i, j] = winding != 0
    return inside


def _merged(solid: NDArray[np.bool_], budget: int) -> list[tuple[slice, slice, slice]] | None:
    """Return cuboids of cells that fill a grid, the fewest of six orders of growing; None if over the budget."""
    best: list[tuple[slice, slice, slice]] | None = None
    for order in itertools.permutations(range(3)):
        most = budget if best is None else len(best) - 1
        found = _grown(solid, order, most)
        if found is not None:
            best = found
    return best


def _grown(solid: NDArray[np.bool_], order: tuple[int, ...], most: int) -> list[tuple[slice, slice, slice]] | None:
    """Return cuboids, each grown from the first cell that is left, along the axes in turn."""
    left = solid.copy()
    found: list[tuple[slice, slice, slice]] = []
    while left.any():
        if len(found) >= most:
            return None
        start = np.unravel_index(int(left.argmax()), left.shape)
        low, high = [int(k) for k in start], [int(k) + 1 for k in start]
        for axis in order:
            while high[axis] < left.shape[axis]:
                face = tuple(high[axis] if k == axis else slice(low[k], high[k]) for k in range(3))
                if not left[face].all():
                    break
                high[axis] += 1
        cuboid = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
        left[cuboid] = False
        found.append(cuboid)
    return found


def _cuboid(planes: list[Floats], cuboid: tuple[slice, slice, slice], rotation: Floats) -> OrientedBox:
    low = np.array([plane[part.start] for plane, part in zip(planes, cuboid, strict=True)])
    high = np.array([plane[part.stop] for plane, part in zip(planes, cuboid, strict=True)])
    return OrientedBox(rotation @ (0.5 * (low + high)), rotation, high - low)


def _without_inner(boxes: list[OrientedBox]) -> list[OrientedBox]:
    """Return the boxes that no greater one holds whole."""
    order = sorted(range(len(boxes)), key=lambda index: -float(np.prod(boxes[index].size)))
    signs = np.array(list(itertools.product((-0.5, 0.5), repeat=3)))
    kept: list[int] = []
    for index in order:
        box = boxes[index]
        corners = box.centre + (signs * box.size) @ box.rotation.T
        if not any(
            (np.abs((corners - boxes[k].centre) @ boxes[k].rotation) <= 0.5 * boxes[k].size + SLACK).all() for k in kept
        ):
            kept.append(index)
    return [boxes[index] for index in sorted(kept)]
