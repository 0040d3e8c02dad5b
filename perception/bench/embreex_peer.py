"""embreex: Embree 4 through thin bindings, used directly (trimesh's layer above it only adds time).

Read for it: embreex 4.4's ``EmbreeScene.run`` and ``TriangleMesh``. It takes one ray at a time (no packets) in one
thread, and keeps the interpreter's lock, so that all cores help it no more than one does. The full answer
(``output=1``), distance and triangle and normal, costs as much as the distance alone.
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


class EmbreexPeer(EmbreePeer):
    """The hall in two of embreex's scenes."""

    name: ClassVar[str] = "embreex"
    scan_label: ClassVar[str | None] = "embreex"
    picture_label: ClassVar[str | None] = "embreex"

    def __init__(self, hall: BenchHall, cores: int) -> None:
        try:
            from embreex import mesh_construction, rtcore, rtcore_scene
        except (ImportError, OSError) as error:
            raise PeerUnavailable(f"embreex cannot be loaded: {error}") from error
        self._mesh: Any = mesh_construction.TriangleMesh
        self._scene: Any = rtcore_scene.EmbreeScene
        self._device: Any = rtcore.EmbreeDevice()
        super().__init__(hall, cores)

    def build(self, vertices: FloatArray, triangles: Triangles) -> Any:
        """See ``EmbreePeer.build``."""
        scene = self._scene(self._device)
        mesh = self._mesh(scene, vertices.astype(np.float32), triangles.faces)
        return scene, mesh

    def pack(self, origin: Float32, direction: Float32) -> Any:
        """See ``EmbreePeer.pack``."""
        return np.ascontiguousarray(origin), np.ascontiguousarray(direction)

    def hit_distance(self, scene: Any, native: Any) -> Float32:
        """See ``EmbreePeer.hit_distance``."""
        found: Float32 = scene[0].run(*native, query="DISTANCE")
        return found

    def hits(self, scene: Any, native: Any) -> Hits:
        """See ``EmbreePeer.hits``."""
        answer = scene[0].run(*native, output=1)
        normal = answer["Ng"]
        length = np.sqrt(np.einsum("ni,ni->n", normal, normal))
        return Hits(answer["tfar"], answer["primID"], normal / np.maximum(length, np.float32(1e-12))[:, None])

    def occluded(self, scene: Any, native: Any) -> NDArray[np.bool_]:
        """See ``EmbreePeer.occluded``."""
        # 0 for a ray that meets something, -1 for one that does not.
        found: NDArray[np.bool_] = scene[0].run(*native, query="OCCLUDED") >= 0
        return found
