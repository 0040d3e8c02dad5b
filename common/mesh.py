"""Triangle meshes from files (STL, OBJ, DAE, PLY, OFF, GLB), read with bounds.

Only the named file is read: textures and material libraries that it refers to are not.
"""

from __future__ import annotations

import io
import json
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .errors import InputError
from .geometry import FloatArray

SUFFIXES = (".stl", ".obj", ".dae", ".ply", ".off", ".glb")
MAX_BYTES = 256 * 2**20
MAX_TRIANGLES = 500_000
MAX_REPEATED = 2**29
"""Bytes of a COLLADA file with all that is instanced written out."""
MAX_NUMBERS = 12 * MAX_TRIANGLES
"""Indices in a COLLADA file and values in a GLB file."""
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


def load_mesh(
    path: str | Path, *, scale: float | Sequence[float] = 1.0, part: str | None = None, max_bytes: int = MAX_BYTES
) -> TriangleMesh:
    """Read a mesh file; all its objects become one mesh.

    Args:
        path: STL, OBJ, DAE, PLY, OFF or GLB. Units are metres but where a DAE names another; a DAE's up axis is z.
        scale: factor on the coordinates, one or (3,): 0.001 for a file in millimetres.
        part: name of the only object to take; None: all.
        max_bytes: size of the largest file that is read.

    Returns:
        The mesh without its degenerate triangles.

    Raises:
        InputError: the file cannot be read, is too large, has no such part, no triangles or too many, coordinates that
            are not finite or faces that name vertices which are not there.
    """
    path = Path(path)
    factor = np.broadcast_to(np.asarray(scale, dtype=np.float64), (3,))
    if not (np.isfinite(factor).all() and (factor > 0).all()):
        raise InputError(f"the scale is {scale}", where=str(path), mend="give a factor above 0, or three")
    vertices, faces, color = _read(path, part, max_bytes)
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


def _read(
    path: Path, part: str | None, max_bytes: int
) -> tuple[FloatArray, NDArray[np.int64], NDArray[np.uint8] | None]:
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
        if size > max_bytes:
            raise InputError(f"{size / 2**20:.0f} MB, the limit is {max_bytes / 2**20:.0f}", where=str(path))
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path), mend="check the path") from error
    if suffix == ".dae":
        _check_collada(data, str(path))
    if suffix == ".glb":
        _check_glb(data, str(path))
    try:
        loaded = trimesh.load_scene(io.BytesIO(data), file_type=suffix[1:], process=False, skip_materials=True)
        _check_size(loaded, str(path))
        meshes = [mesh for mesh in loaded.dump() if isinstance(mesh, trimesh.Trimesh) and len(mesh.faces)]
        parts = [mesh for mesh in meshes if part is None or part in _names(mesh)]
        first = np.cumsum([0, *(len(part.vertices) for part in parts)])
        vertices = np.concatenate([np.asarray(part.vertices) for part in parts] or [np.zeros((0, 3))])
        faces = np.concatenate([part.faces + n for part, n in zip(parts, first, strict=False)] or [np.zeros((0, 3))])
        colors = [_face_colors(part) for part in parts]
    except InputError:
        raise
    except Exception as error:  # The readers raise whatever a broken file makes them trip over.
        raise InputError(
            f"not a mesh that can be read: {type(error).__name__}: {error}",
            where=str(path),
            mend="open it in a mesh editor and export it again",
        ) from error
    if meshes and not parts:
        known = sorted({name for mesh in meshes for name in _names(mesh)})
        raise InputError(f"has no part {part!r}", where=str(path), mend=f"one of {', '.join(known)}"[:500])
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


def _names(mesh: Any) -> set[str]:
    """Return what a trimesh object is called: its node and its geometry, with and without COLLADA's endings."""
    names = {str(mesh.metadata.get(key) or "") for key in ("node", "name")} - {""}
    return names | {name.removesuffix(end) for name in names for end in ("-lib", "-mesh", "Mesh")}


def _check_collada(data: bytes, where: str) -> None:
    """Refuse COLLADA text that declares entities, hides that it does, or repeats its parts without end."""
    encoding = re.search(rb"<\?xml[^>]{0,200}encoding\s*=\s*[\"']([^\"']*)", data[:400])
    known = encoding is None or encoding.group(1).lower() in (b"utf-8", b"us-ascii", b"ascii", b"iso-8859-1")
    if not known or b"\0" in data:
        raise InputError("is not XML in UTF-8 or ASCII", where=where, mend="export the mesh again")
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise InputError("declares XML entities, which no mesh needs", where=where, mend="export the mesh again")
    # What is written once may be meant many times: a geometry by each instance of it, and whole trees of nodes by
    # references to nodes, n of which make 3^(n/3) copies at most.
    instances = re.findall(rb"<(?:[\w.-]+:)?instance_geometry[^>]{0,500}?url\s*=\s*[\"']([^\"']*)", data)
    copies = 1 + len(instances) - len(set(instances))
    references = len(re.findall(rb"<(?:[\w.-]+:)?instance_node\b", data))
    if (copies > 1 or references) and len(data) * copies * 3.0 ** min(references / 3.0, 100.0) > MAX_REPEATED:
        raise InputError("repeats its parts too often", where=where, mend="export the mesh without instances")
    # Corners are looked up before triangles are counted, so their number is found first, by the blanks between them.
    numbers = sum(
        index.group(1).count(blank)
        for index in re.finditer(rb"<(?:[\w.-]+:)?p\b[^>]*>([^<]*)<", data)
        for blank in (b" ", b"\n", b"\t", b"\r")
    )
    if numbers > MAX_NUMBERS:
        raise InputError(f"{numbers} indices, the limit is {MAX_NUMBERS}", where=where, mend="simplify the mesh first")


def _check_glb(data: bytes, where: str) -> None:
    """Refuse glTF whose header tells of more numbers than a mesh may have; those without a buffer are made up."""
    try:
        (length,) = struct.unpack_from("<I", data, 12)
        accessors = json.loads(data[20 : 20 + length]).get("accessors", [])
        numbers = sum(int(accessor["count"]) for accessor in accessors)
    except (struct.error, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"not a GLB file that can be read: {error}", where=where, mend="export it again") from error
    if numbers > MAX_NUMBERS:
        raise InputError(f"{numbers} values, the limit is {MAX_NUMBERS}", where=where, mend="simplify the mesh first")


def _check_size(scene: Any, where: str) -> None:
    """Refuse a trimesh scene whose meshes have too many triangles once all copies of them are made."""
    faces = {name: len(getattr(mesh, "faces", ())) for name, mesh in scene.geometry.items()}
    total = sum(faces[scene.graph[node][1]] for node in scene.graph.nodes_geometry)
    if total > MAX_TRIANGLES:
        raise InputError(
            f"{total} triangles, the limit is {MAX_TRIANGLES}", where=where, mend="simplify the mesh first"
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
