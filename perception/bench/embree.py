"""What Open3D and embreex have in common: Embree on triangles, with moving bodies beside a scene that rests.

Neither binding can move what a scene holds, so the parts of moving bodies live in a second, small scene. Two ways of
keeping it right are tried, and the faster is kept for each sensor:

- *rebuild*: the parts are placed anew and a new small scene is built from them for every frame;
- *ray*: the small scene is built once with each body at a spot of its own, and those rays that pass a body's bounding
  sphere are turned into its frame instead. That is possible for the rays of one sensor, which share their origin.

Round solids become polygons, 4 mm off at most (finer ones cost more). Rays are laid out before the time is taken, as
float32. A picture is primary rays, shadow rays towards the sun for what faces it, and Lambert shading in numpy.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...common.geometry import FloatArray, rotation_matrix
from .hall import BenchHall
from .peer import Peer, PeerPicture, RayFan, Shader, View, all_solids, moving_rows, pixel_directions, resting_rows
from .triangles import Triangles, triangulate

Float32 = NDArray[np.float32]
SPOT = 8.0
"""Bodies of the scene that is built once stand this far apart [m]."""
SHADOW_OFFSET = 1e-3


@dataclass(frozen=True)
class Hits:
    """What rays met in one scene: distance (N,) float32 [ray lengths], inf for none, and triangle (N,) or -1."""

    distance: Float32
    triangle: NDArray[Any]
    normal: Float32


@dataclass
class Rays:
    """Rays of a batch as float32, and the fans that they come from."""

    native: Any
    origin: Float32
    direction: Float32
    fans: list[tuple[int, int, FloatArray]]


@dataclass(frozen=True)
class AimedView:
    """The rays of a picture, z = 1 in ``camera_optical``, as the peer takes them, and its shader."""

    rays: Rays
    shader: Shader
    shape: tuple[int, int]
    far: float


class EmbreePeer(Peer):
    """A peer that casts rays through Embree."""

    def __init__(self, hall: BenchHall, cores: int) -> None:
        super().__init__(hall, cores)
        resting, moving = all_solids(hall)
        self._rest, self._parts = triangulate(resting), triangulate(moving)
        self._rest_row = np.append(resting_rows(hall)[self._rest.owner], -1)
        self._part_row = np.append(moving_rows(hall)[self._parts.owner], -1)
        self._vertex_body = moving.body[self._parts.vertex_owner]
        bodies = int(moving.body.max()) + 1 if len(moving) else 0
        radius = np.zeros(bodies)
        np.maximum.at(radius, self._vertex_body, np.linalg.norm(self._parts.vertices, axis=1))
        self._radius = radius
        self._spot = np.zeros((bodies, 3))
        self._spot[:, 0] = SPOT * np.arange(bodies)
        self._pose = np.zeros((bodies, 7))
        self._turn = np.zeros((bodies, 3, 3))
        self._by_ray = False
        self._rest_scene = self.build(self._rest.vertices, self._rest)
        self._spread_scene = self.build(self._parts.vertices + self._spot[self._vertex_body], self._parts)
        self._moving_scene: Any = None

    @abstractmethod
    def build(self, vertices: FloatArray, triangles: Triangles) -> Any:
        """Return a scene of triangles with these vertices (V, 3)."""

    @abstractmethod
    def pack(self, origin: Float32, direction: Float32) -> Any:
        """Return rays (N, 3), (N, 3) as the library takes them."""

    @abstractmethod
    def hit_distance(self, scene: Any, native: Any) -> Float32:
        """Return the distances (N,) that rays go in a scene; inf, or more than 1e30, for none."""

    @abstractmethod
    def hits(self, scene: Any, native: Any) -> Hits:
        """Return distances, triangles and normals."""

    @abstractmethod
    def occluded(self, scene: Any, native: Any) -> NDArray[np.bool_]:
        """Return which rays (N,) meet anything."""

    def update(self, poses: FloatArray) -> None:
        """See ``Peer.update``."""
        self._pose = poses[: len(self._pose)]
        self._turn = rotation_matrix(self._pose[:, 3:])
        if not self._by_ray:
            self._rebuild()

    def lay_out(self, fans: list[RayFan]) -> Rays:
        """See ``Peer.lay_out``."""
        origin = np.concatenate([np.broadcast_to(fan.origin, fan.direction.shape) for fan in fans]).astype(np.float32)
        direction = np.concatenate([fan.direction for fan in fans]).astype(np.float32)
        ends = np.cumsum([len(fan.direction) for fan in fans]).tolist()
        spans = [(end - len(fan.direction), end, fan.origin) for fan, end in zip(fans, ends, strict=True)]
        return Rays(self.pack(origin, direction), origin, direction, spans)

    def cast(self, rays: Rays) -> Float32:
        """See ``Peer.cast``."""
        distance = self.hit_distance(self._rest_scene, rays.native)
        if not self._by_ray:
            return np.minimum(distance, self.hit_distance(self._moving_scene, rays.native))
        for start, stop, origin in rays.fans:
            self._cast_at_bodies(rays.direction[start:stop], origin, distance[start:stop])
        return distance

    def ranges(self, answer: Float32) -> FloatArray:
        """See ``Peer.ranges``."""
        return np.where(answer > 1e30, np.inf, answer).astype(np.float64)

    def tune(self, work: Callable[[FloatArray], None]) -> None:
        """Choose between the two ways of moving bodies; see the module."""
        spent = {}
        for by_ray in (False, True):
            self._by_ray = by_ray
            work(self.hall.poses[0])
            seconds = []
            for poses in self.hall.poses[1:6]:
                start = time.perf_counter()
                work(poses)
                seconds.append(time.perf_counter() - start)
            spent[by_ray] = min(seconds)
        self._by_ray = spent[True] < spent[False]
        self.note = "rays turned into the bodies' frames" if self._by_ray else "a small scene of the bodies rebuilt"

    def aim(self, view: View) -> AimedView:
        """See ``Peer.aim``."""
        direction = pixel_directions(view.config) @ view.rotation.T
        rays = self.lay_out([RayFan(view.position, direction, view.config.far)])
        shape = (view.config.height, view.config.width)
        self._by_ray = False
        self.note = "a small scene of the bodies rebuilt; shaded in numpy"
        return AimedView(rays, Shader(self.hall, view.lighting), shape, view.config.far)

    def picture(self, aimed: AimedView) -> PeerPicture:
        """See ``Peer.picture``."""
        rays, shader = aimed.rays, aimed.shader
        rest, moving = self.hits(self._rest_scene, rays.native), self.hits(self._moving_scene, rays.native)
        first = moving.distance < rest.distance
        distance = np.where(first, moving.distance, rest.distance)
        row = np.where(first, self._part_row[moving.triangle], self._rest_row[rest.triangle])
        beyond = distance > aimed.far
        row[beyond] = -1
        distance[beyond] = np.inf
        facing_rest, facing_moving = rest.normal @ shader.sun, moving.normal @ shader.sun
        facing = np.where(first, facing_moving, facing_rest)
        lit = (facing > 0.0) & ~beyond
        look = np.flatnonzero(lit)
        place = rays.origin[look] + distance[look, None] * rays.direction[look]
        start: Float32 = (place + SHADOW_OFFSET * shader.sun).astype(np.float32)
        native = self.pack(start, np.broadcast_to(shader.sun, start.shape))
        dark = self.occluded(self._rest_scene, native) | self.occluded(self._moving_scene, native)
        lit[look[dark]] = False
        rgb = shader.shade(row, facing, lit).reshape(*aimed.shape, 3)
        return PeerPicture(rgb, distance.reshape(aimed.shape), row.reshape(aimed.shape))

    def show(self, taken: PeerPicture) -> PeerPicture:
        """See ``Peer.show``."""
        return taken

    def _rebuild(self) -> None:
        turned = np.einsum("vij,vj->vi", self._turn[self._vertex_body], self._parts.vertices)
        self._moving_scene = self.build(turned + self._pose[self._vertex_body, :3], self._parts)

    def _cast_at_bodies(self, direction: Float32, origin: FloatArray, distance: Float32) -> None:
        """Shorten ``distance`` (N,) of the rays of one fan, unit vectors (N, 3), to the bodies that they meet."""
        offset = (self._pose[:, :3] - origin).astype(np.float32)
        along = direction @ offset.T
        apart = np.einsum("bi,bi->b", offset, offset) - (self._radius**2).astype(np.float32)
        ray, body = np.nonzero((along > 0.0) & (along * along >= apart) | (apart <= 0.0))
        if not len(ray):
            return
        inverse = np.swapaxes(self._turn, 1, 2).astype(np.float32)
        turned = np.einsum("nij,nj->ni", inverse[body], direction[ray])
        # Begin just before the body, that other bodies' spots are not in the way; end just behind it.
        width = 1.5 * self._radius[body].astype(np.float32)
        skipped = np.maximum(along[ray, body] - width, np.float32(0.0))
        start = (np.einsum("bij,bj->bi", inverse, -offset) + self._spot).astype(np.float32)[body]
        start += skipped[:, None] * turned
        found = self.hit_distance(self._spread_scene, self.pack(start, turned))
        found = np.where(found <= 2.0 * width, found + skipped, np.float32(np.inf))
        np.minimum.at(distance, ray, found)
