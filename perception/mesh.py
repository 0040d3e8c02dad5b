"""Triangle meshes from files (STL, OBJ, DAE, PLY, OFF, GLB), as solids that every sensor sees.

A mesh is a hollow, two-sided surface: holes are holes, and a sensor inside one sees it from within. Only the named file
is read: textures and material libraries that it refers to are not.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from ..common.classes import CLASS_IDS
from ..common.errors import InputError
from ..common.geometry import FloatArray, rotation_matrix
from ..common.primitives import TRIANGLE, Primitives

SUFFIXES = (".stl", ".obj", ".dae", ".ply", ".off", ".glb")
MAX_BYTES = 256 * 2**20
MAX_TRIANGLES = 500_000
SMALLEST_AREA = 1e-12
"""Triangles of less area [m2] are dropped."""


@dataclass(frozen=True)
class TriangleMesh:
    """A mesh and what was found wrong with it.

    Attributes:
        vertices: (V, 3) float64 [m] in the mesh's own frame.
        faces: (F, 3) int64 rows of ``vertices``, counter-clockwise seen from the front.
        color: (F, 3) uint8 sRGB, or None if the file gives none.
        degenerate: triangles that were dropped because they have no area.
        open_edges: edges that belong to one triangle only: the rims of holes. 0 for a closed mesh.
    """

    vertices: FloatArray
    faces: NDArray[np.int64]
    color: NDArray[np.uint8] | None = None
    degenerate: int = 0
    open_edges: int = 0

    def __len__(self) -> int:
        return len(self.faces)


def load_mesh(path: str | Path, *, scale: float | Sequence[float] = 1.0) -> TriangleMesh:
    """Read a mesh file; all its objects become one mesh.

    Args:
        path: STL, OBJ, DAE, PLY, OFF or GLB. Units are metres but where a DAE names another; a DAE's up axis is z.
        scale: factor on the coordinates, one or (3,): 0.001 for a file in millimetres.

    Returns:
        The mesh without its degenerate triangles.

    Raises:
        InputError: the file cannot be read, has no triangles or too many, coordinates that are not finite or faces that
            name vertices which are not there.
    """
    path = Path(path)
    factor = np.broadcast_to(np.asarray(scale, dtype=np.float64), (3,))
    if not (np.isfinite(factor).all() and (factor > 0).all()):
        raise InputError(f"the scale is {scale}", where=str(path), mend="give a factor above 0, or three")
    vertices, faces, color = _read(path)
    return clean_mesh(vertices * factor, faces, color, where=str(path))


def clean_mesh(
    vertices: ArrayLike, faces: ArrayLike, color: ArrayLike | None = None, *, where: str = "mesh"
) -> TriangleMesh:
    """Return a mesh (V, 3), (F, 3) without its degenerate triangles, checked; see ``load_mesh`` for what is raised."""
    vertices = np.asarray(vertices, dtype=np.float64).reshape(-1, 3)
    faces = np.asarray(faces, dtype=np.int64).reshape(-1, 3)
    if len(faces) > MAX_TRIANGLES:
        raise InputError(
            f"{len(faces)} triangles, the limit is {MAX_TRIANGLES}", where=where, mend="simplify the mesh first"
        )
    if len(faces) and (faces.min() < 0 or faces.max() >= len(vertices)):
        bad = int(np.flatnonzero((faces < 0).any(axis=1) | (faces >= len(vertices)).any(axis=1))[0])
        raise InputError(
            f"triangle {bad} names vertices {faces[bad].tolist()}, there are {len(vertices)}",
            where=where,
            mend="export the mesh again",
        )
    used = np.unique(faces)
    if not np.isfinite(vertices[used]).all():
        bad = int(used[~np.isfinite(vertices[used]).all(axis=1)][0])
        raise InputError(
            f"vertex {bad} is not finite: {vertices[bad].tolist()}", where=where, mend="export the mesh again"
        )
    corners = vertices[faces]
    area = 0.5 * np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    good = area > SMALLEST_AREA
    if not good.any():
        raise InputError("there is no triangle with an area", where=where, mend="check the file, or its scale")
    kept = faces[good]
    edges = np.sort(kept[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    # Files like STL repeat each vertex: edges are compared by where they are.
    _, place = np.unique(np.round(vertices[used], 9), axis=0, return_inverse=True)
    number = np.zeros(len(vertices), np.int64)
    number[used] = place.reshape(-1)
    _, count = np.unique(np.sort(number[edges], axis=1), axis=0, return_counts=True)
    return TriangleMesh(
        vertices,
        kept,
        None if color is None else np.asarray(color, dtype=np.uint8)[good],
        int((~good).sum()),
        int((count == 1).sum()),
    )


def mesh_primitives(
    mesh: TriangleMesh,
    *,
    class_name: str,
    instance_id: int = 0,
    body: int = 0,
    color: Sequence[int] | None = None,
    position: ArrayLike = (0.0, 0.0, 0.0),
    quaternion: ArrayLike = (0.0, 0.0, 0.0, 1.0),
) -> Primitives:
    """Return a mesh as solids, one for each triangle.

    Args:
        mesh: the mesh. class_name: of ``common.classes``. instance_id, body: as in ``Primitives``, for all triangles.
        color: sRGB for all triangles; the mesh's own, or grey, if left out.
        position, quaternion: of the mesh's frame in the holder's (``map``, or the moving body), [m] and xyzw.
    """
    corner = mesh.vertices[mesh.faces]
    length = np.linalg.norm(corner[:, [1, 2, 0]] - corner, axis=2)
    # The longest edge becomes the base, so that the third corner stands over it.
    first = length.argmax(axis=1)
    rows = np.arange(len(corner))
    start, stop, third = (corner[rows, (first + k) % 3] for k in range(3))
    base = length[rows, first]
    along = (stop - start) / base[:, None]
    normal = np.cross(along, third - start)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    across = np.cross(normal, along)
    height = np.einsum("ij,ij->i", third - start, across)
    foot = np.einsum("ij,ij->i", third - start, along) - 0.5 * base
    middle = start + 0.5 * base[:, None] * along + 0.5 * height[:, None] * across
    turn = rotation_matrix(np.asarray(quaternion, dtype=np.float64))
    axes = turn @ np.stack([along, across, normal], axis=2)
    count = len(corner)
    if color is not None:
        paint: NDArray[Any] = np.tile(np.asarray(color, dtype=np.uint8), (count, 1))
    else:
        paint = np.full((count, 3), 160, np.uint8) if mesh.color is None else mesh.color
    return Primitives(
        kind=np.full(count, TRIANGLE, np.uint8),
        size=np.stack([0.5 * base, np.clip(foot, -0.5 * base, 0.5 * base), 0.5 * height], axis=1),
        position=np.asarray(position, dtype=np.float64) + middle @ turn.T,
        quaternion=Rotation.from_matrix(axes).as_quat(),
        color=paint,
        class_id=np.full(count, CLASS_IDS[class_name], np.int32),
        instance_id=np.full(count, instance_id, np.int32),
        body=np.full(count, body, np.int32),
    )


def _read(path: Path) -> tuple[FloatArray, NDArray[np.int64], NDArray[np.uint8] | None]:
    """Return vertices, faces and colours of the file, unchecked."""
    import trimesh  # Takes a third of a second to load: only who has meshes pays.

    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            f"'{suffix or path.name}' is no mesh format that is read",
            where=str(path),
            mend=f"use {', '.join(SUFFIXES)}",
        )
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise InputError(f"{size / 2**20:.0f} MB, the limit is {MAX_BYTES / 2**20:.0f}", where=str(path))
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path), mend="check the path") from error
    if suffix == ".dae" and (b"<!DOCTYPE" in data or b"<!ENTITY" in data):
        raise InputError("declares XML entities, which no mesh needs", where=str(path), mend="export the mesh again")
    try:
        loaded = trimesh.load_scene(io.BytesIO(data), file_type=suffix[1:], process=False, skip_materials=True)
        parts = [part for part in loaded.dump() if isinstance(part, trimesh.Trimesh) and len(part.faces)]
        first = np.cumsum([0, *(len(part.vertices) for part in parts)])
        vertices = np.concatenate([np.asarray(part.vertices) for part in parts] or [np.zeros((0, 3))])
        faces = np.concatenate([part.faces + n for part, n in zip(parts, first, strict=False)] or [np.zeros((0, 3))])
        colors = [_face_colors(part) for part in parts]
    except Exception as error:  # The readers raise whatever a broken file makes them trip over.
        raise InputError(
            f"not a mesh that can be read: {type(error).__name__}: {error}",
            where=str(path),
            mend="open it in a mesh editor and export it again",
        ) from error
    if len(faces) == 0:
        raise InputError("has no triangles", where=str(path), mend="point clouds and curves cannot be seen by sensors")
    if suffix == ".dae":
        vertices = _upright_metres(vertices, data[:65536].decode("utf-8", "replace"))
    return (
        vertices,
        faces,
        None
        if all(c is None for c in colors)
        else np.concatenate(
            [
                np.full((len(part.faces), 3), 160, np.uint8) if c is None else c
                for part, c in zip(parts, colors, strict=True)
            ]
        ),
    )


def _face_colors(part: Any) -> NDArray[np.uint8] | None:
    """Return the colours (F, 3) of a trimesh object's faces, or None if it has none."""
    visual = part.visual
    if visual.kind in ("face", "vertex"):
        return np.asarray(visual.face_colors)[:, :3].astype(np.uint8)
    color = getattr(getattr(visual, "material", None), "main_color", None)
    return None if color is None else np.tile(np.asarray(color)[:3].astype(np.uint8), (len(part.faces), 1))


def _upright_metres(vertices: FloatArray, head: str) -> FloatArray:
    """Return a COLLADA file's vertices in metres with z up, by the ``asset`` element at its head."""
    unit = re.search(r"<unit\b[^>]*\bmeter=[\"']([^\"']+)[\"']", head)
    up = re.search(r"<up_axis>\s*([XYZ])_UP", head)
    axis = up.group(1) if up else "Y"  # The standard's default.
    if axis == "X":
        vertices = np.stack([-vertices[:, 1], -vertices[:, 2], vertices[:, 0]], axis=1)
    elif axis == "Y":
        vertices = np.stack([vertices[:, 0], -vertices[:, 2], vertices[:, 1]], axis=1)
    return vertices * (float(unit.group(1)) if unit else 1.0)
