"""Warp on the CPU: two ``wp.Mesh`` and ray queries in compiled kernels, used as well as they can be.

Read for it: the reference of ``warp.Mesh``, ``mesh_query_ray`` and ``mesh_query_ray_anyhit`` of Warp 1.18 and 1.19.
What rests is one mesh, what moves another, whose vertices a kernel places before ``refit``. A kernel asks the resting
mesh first and the moving one only as far as that hit; a picture (primary ray, shadow ray, Lambert shading, encoding)
is one kernel too. Kernels are built without the backward pass, with fast maths. A kernel on the CPU runs in one
thread; with all cores, the rays are split over Python threads, each with a launch of its own, which run side by side.
"""

from __future__ import annotations

import importlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import numpy as np

from ...common.geometry import FloatArray, rotation_matrix
from ..shading import light_table
from .hall import BenchHall
from .peer import Peer, PeerPicture, PeerUnavailable, RayFan, Shader, View, all_solids, moving_rows, resting_rows
from .triangles import Triangles, triangulate


class WarpPeer(Peer):
    """The hall as two Warp meshes."""

    name: ClassVar[str] = "warp"
    scan_label: ClassVar[str | None] = "Warp (CPU)"
    picture_label: ClassVar[str | None] = "Warp (CPU)"

    def __init__(self, hall: BenchHall, cores: int) -> None:
        try:
            warp: Any = importlib.import_module("warp")

            warp.config.quiet = True
            warp.init()
            from . import warp_kernels
        except Exception as error:
            raise PeerUnavailable(f"Warp cannot be loaded: {error}") from error
        super().__init__(hall, cores)
        self._wp: Any = warp
        self._kernels: Any = warp_kernels
        resting, moving = all_solids(hall)
        rest, parts = triangulate(resting), triangulate(moving)
        self._rest, _ = self._mesh(rest.vertices, rest)
        # Built where the bodies are: refitting a tree that was built with all of them at the origin is 20 times slower.
        carried = moving.body[parts.vertex_owner]
        turn = rotation_matrix(hall.poses[0, :, 3:])[carried]
        here = np.einsum("nij,nj->ni", turn, parts.vertices) + hall.poses[0, carried, :3]
        self._moving, self._placed = self._mesh(here, parts)
        self._local = self._array(parts.vertices, warp.vec3)
        self._body = self._array(carried, warp.int32)
        self._pose = self._array(hall.poses[0, : int(moving.body.max()) + 1], warp.transform)
        self._pose_view = self._pose.numpy()
        self._rest_row = self._array(resting_rows(hall)[rest.owner], warp.int32)
        self._part_row = self._array(moving_rows(hall)[parts.owner], warp.int32)
        self._pool = ThreadPoolExecutor(cores) if cores > 1 else None
        self.note = "one launch per thread" if cores > 1 else ""

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def update(self, poses: FloatArray) -> None:
        """See ``Peer.update``."""
        self._pose_view[:] = poses[: len(self._pose_view)]
        self._wp.launch(
            self._kernels.place,
            dim=len(self._local),
            inputs=[self._local, self._body, self._pose, self._placed],
            device="cpu",
        )
        self._moving.refit()

    def lay_out(self, fans: list[RayFan]) -> tuple[Any, ...]:
        """See ``Peer.lay_out``."""
        origin = np.concatenate([np.broadcast_to(fan.origin, fan.direction.shape) for fan in fans])
        reach = np.concatenate([np.full(len(fan.direction), fan.reach) for fan in fans])
        direction = np.concatenate([fan.direction for fan in fans])
        out = self._wp.empty(len(reach), dtype=self._wp.float32, device="cpu")
        vec3, real = self._wp.vec3, self._wp.float32
        return self._array(origin, vec3), self._array(direction, vec3), self._array(reach, real), out

    def cast(self, rays: tuple[Any, ...]) -> Any:
        """See ``Peer.cast``."""
        origin, direction, reach, out = rays
        given = [self._rest.id, self._moving.id, origin, direction, reach, out]
        self._launch(self._kernels.cast, len(out), lambda first: [*given, first])
        return out.numpy()

    def ranges(self, answer: Any) -> FloatArray:
        """See ``Peer.ranges``."""
        return np.asarray(answer, dtype=np.float64)

    def aim(self, view: View) -> tuple[Any, ...]:
        """See ``Peer.aim``."""
        config, wp = view.config, self._wp
        shader, table = Shader(self.hall, view.lighting), light_table(view.lighting)
        light = np.stack([table[0:3], table[3:6], 0.5 * (table[6:9] + table[9:12]), table[12:15]])
        count = config.width * config.height
        given = [
            self._rest.id,
            self._moving.id,
            self._rest_row,
            self._part_row,
            self._array(shader.albedo, wp.vec3),
            self._array(shader.encoding, wp.uint8),
            self._array(light, wp.vec3),
            wp.vec3(*view.position),
            wp.mat33(*view.rotation.reshape(-1).tolist()),
            wp.vec4(config.focal, 0.5 * (config.width - 1), 0.5 * (config.height - 1), config.far),
            config.width,
        ]
        out = [
            wp.empty(size, dtype=kind, device="cpu")
            for size, kind in ((3 * count, wp.uint8), (count, wp.float32), (count, wp.int32))
        ]
        return given, out, (config.height, config.width)

    def picture(self, aimed: tuple[Any, ...]) -> PeerPicture:
        """See ``Peer.picture``."""
        given, out, shape = aimed
        self._launch(self._kernels.draw, shape[0] * shape[1], lambda first: [*given, first, *out])
        rgb, depth, row = (array.numpy() for array in out)
        return PeerPicture(rgb.reshape(*shape, 3).copy(), depth.reshape(shape).copy(), row.reshape(shape).copy())

    def show(self, taken: PeerPicture) -> PeerPicture:
        """See ``Peer.show``."""
        return taken

    def _launch(self, kernel: Any, count: int, inputs: Any) -> None:
        if self._pool is None:
            self._wp.launch(kernel, dim=count, inputs=inputs(0), device="cpu")
            return
        edges = np.linspace(0, count, 4 * self.cores + 1).astype(int).tolist()

        def part(first: int, last: int) -> None:
            self._wp.launch(kernel, dim=last - first, inputs=inputs(first), device="cpu")

        list(self._pool.map(part, edges[:-1], edges[1:]))

    def _array(self, values: Any, kind: Any) -> Any:
        return self._wp.array(np.asarray(values), dtype=kind, device="cpu")

    def _mesh(self, vertices: FloatArray, triangles: Triangles) -> tuple[Any, Any]:
        points = self._array(vertices, self._wp.vec3)
        indices = self._array(triangles.faces.reshape(-1), self._wp.int32)
        return self._wp.Mesh(points=points, indices=indices, bvh_constructor="sah"), points
