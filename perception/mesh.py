"""Triangle meshes as solids that every sensor sees.

A mesh is a hollow, two-sided surface: holes are holes, and a sensor inside one sees it from within.
``common.mesh`` reads the files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from ..common.classes import CLASS_IDS
from ..common.geometry import rotation_matrix
from ..common.mesh import TriangleMesh, clean_mesh, load_mesh
from ..common.primitives import TRIANGLE, Primitives

__all__ = ["TriangleMesh", "clean_mesh", "load_mesh", "mesh_primitives"]


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
