"""Open3D's ``RaycastingScene`` (Embree), used as well as it can be.

Read for it: the reference of ``open3d.t.geometry.RaycastingScene`` (0.19 and 0.20). A scene cannot be changed once it
has been cast into, hence the two scenes of ``embree``. ``nthreads`` bounds the threads of building and of casting.
Rays are one float32 tensor (N, 6), laid out beforehand and shared with numpy. One call answers all fans of a batch.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ...common.geometry import FloatArray
from .embree import EmbreePeer, Float32, Hits
from .hall import BenchHall
from .peer import PeerUnavailable
from .triangles import Triangles


class Open3DPeer(EmbreePeer):
    """The hall in two of Open3D's ray casting scenes."""

    name: ClassVar[str] = "open3d"
    scan_label: ClassVar[str | None] = "Open3D (Embree)"
    picture_label: ClassVar[str | None] = "Open3D (Embree)"

    def __init__(self, hall: BenchHall, cores: int) -> None:
        try:
            import open3d
        except (ImportError, OSError) as error:
            raise PeerUnavailable(f"Open3D cannot be loaded: {error}") from error
        self._open3d: Any = open3d
        super().__init__(hall, cores)

    def build(self, vertices: FloatArray, triangles: Triangles) -> Any:
        """See ``EmbreePeer.build``."""
        core = self._open3d.core
        scene = self._open3d.t.geometry.RaycastingScene(nthreads=self.cores)
        scene.add_triangles(
            core.Tensor.from_numpy(vertices.astype(np.float32)),
            core.Tensor.from_numpy(triangles.faces.astype(np.uint32)),
        )
        return scene

    def pack(self, origin: Float32, direction: Float32) -> Any:
        """See ``EmbreePeer.pack``."""
        rays = np.empty((len(origin), 6), np.float32)
        rays[:, :3], rays[:, 3:] = origin, direction
        return self._open3d.core.Tensor.from_numpy(rays)

    def hit_distance(self, scene: Any, native: Any) -> Float32:
        """See ``EmbreePeer.hit_distance``."""
        found: Float32 = scene.cast_rays(native, nthreads=self.cores)["t_hit"].numpy()
        return found

    def hits(self, scene: Any, native: Any) -> Hits:
        """See ``EmbreePeer.hits``."""
        answer = scene.cast_rays(native, nthreads=self.cores)
        # The id of a miss is 2^32 - 1: as int32 it is -1.
        triangle = answer["primitive_ids"].numpy().view(np.int32)
        return Hits(answer["t_hit"].numpy(), triangle, answer["primitive_normals"].numpy())

    def occluded(self, scene: Any, native: Any) -> NDArray[np.bool_]:
        """See ``EmbreePeer.occluded``."""
        found: NDArray[np.bool_] = scene.test_occlusions(native, nthreads=self.cores).numpy()
        return found
