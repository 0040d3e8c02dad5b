"""Labels of a picture: masks, 2D and 3D boxes, visibility and distance of every visible object.

Frames: ``camera_optical`` is x right, y down, z forward, and so are images. Pixel (x, y) is centred on u = x, v = y;
the optical axis meets the image at ((W - 1) / 2, (H - 1) / 2). The level camera frame is ``camera_optical`` turned so
that its y axis points straight down; for a camera that is mounted level the two are the same. KITTI's boxes, which turn
about y only, live in the level frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import overload

import numpy as np
import pycocotools.mask
from numpy.typing import ArrayLike, NDArray

from ..common.classes import class_name
from ..common.primitives import PLANE, Primitives
from .boxes import parts_of, place_parts, solid_boxes
from .compiled import compiled, spliced
from .config import CameraConfig
from .frames import CameraFrame, LidarScan, LidarTruth
from .lidar_signal import TARGET
from .masks import InstanceRuns, hash_ids, hash_place, instance_runs, run_length_codes
from .projection import (
    CENTER_X,
    CENTER_Y,
    FISHEYE,
    FOCAL_X,
    FOCAL_Y,
    LENS,
    NEAR,
    PINHOLE,
    camera_view,
    project_ray,
)
from .silhouette import silhouettes

MIN_PIXELS = 16
"""Objects that show fewer pixels get no label."""

EDGE_PIECES = 16
"""Edges of 3D boxes are followed at so many places through a lens that bends them."""

_CORNER_SIGNS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)


@dataclass(frozen=True)
class ObjectLabel:
    """One visible object in one picture.

    Attributes:
        instance_id: of the object, the same in all pictures of an episode.
        class_id: see ``floorcast.common.classes``.
        image_shape: (H, W) [pixels].
        rle: the mask in COCO's compressed run-length code.
        box: x, y, width, height [pixels], tight around the visible mask; pixel x covers x to x + 1.
        area: visible pixels.
        amodal_box: the same around the whole silhouette inside the picture, as if nothing stood in front.
        visib_fract: visible pixels / pixels of the amodal silhouette inside the picture, above 0 and at most 1. The
            silhouette is polygonal (see ``silhouette``): about 0.5 % off for round things, one row of pixels at edges.
        extent: x1, y1, x2, y2 of the whole silhouette; pixel centres are whole numbers. It goes on beyond the
            picture's edges, to a canvas that has the picture's size once more on every side.
        truncation: share of the amodal silhouette on that canvas that lies outside the picture, 0 to 1.
        distance_m: from the optical centre to the nearest visible point [m].
        center_camera: (3,) float64 [m], centre of the 3D box in ``camera_optical``.
        size: (3,) float64 [m], length, width, height of the 3D box, which stands upright in ``map``.
        axes_camera: (3, 3) float64, columns are the directions of length, width, height (up) in ``camera_optical``.
        yaw_camera: KITTI's rotation_y [rad] in [-pi, pi): heading about the downward axis of the level camera frame, 0
            when the length points right.
        box3d_image: x1, y1, x2, y2 of the projected 3D box, cut at the near plane and at the picture's edges
            (-0.5 to W - 0.5); pixel centres are whole numbers.
        cuboid: the object is one upright box, so that the 3D box is its exact surface.
        tilted: the object leans by more than half a degree. Then the oriented box below is another than the upright
            one; otherwise the two are the same.
        oriented_center: (3,) float64 [m], centre in ``camera_optical`` of the box along the axes of the object's
            leading part (its first box, else its first solid).
        oriented_size: (3,) float64 [m], its full size along those axes.
        oriented_axes: (3, 3) float64, columns are those axes in ``camera_optical``.
    """

    instance_id: int
    class_id: int
    image_shape: tuple[int, int]
    rle: bytes
    box: tuple[int, int, int, int]
    area: int
    amodal_box: tuple[int, int, int, int]
    extent: tuple[float, float, float, float]
    visib_fract: float
    truncation: float
    distance_m: float
    center_camera: NDArray[np.float64]
    size: NDArray[np.float64]
    axes_camera: NDArray[np.float64]
    yaw_camera: float
    box3d_image: tuple[float, float, float, float]
    cuboid: bool
    tilted: bool
    oriented_center: NDArray[np.float64]
    oriented_size: NDArray[np.float64]
    oriented_axes: NDArray[np.float64]

    @property
    def class_name(self) -> str:
        """Name of the class."""
        return class_name(self.class_id)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The visible mask (H, W) bool, decoded anew on each access."""
        decoded = pycocotools.mask.decode({"size": list(self.image_shape), "counts": self.rle})
        return np.asarray(decoded, dtype=bool)

    @property
    def corners_camera(self) -> NDArray[np.float64]:
        """Corners (8, 3) [m] of the 3D box in ``camera_optical``; corners i and i ^ 1, i ^ 2, i ^ 4 share an edge."""
        return box_corners(self.center_camera, self.size, self.axes_camera)

    @property
    def oriented_corners(self) -> NDArray[np.float64]:
        """Corners (8, 3) [m] of the oriented box in ``camera_optical``, in the same order."""
        return box_corners(self.oriented_center, self.oriented_size, self.oriented_axes)


@dataclass(frozen=True, eq=False)
class FrameLabels(Sequence[ObjectLabel]):
    """The labels of one picture as arrays over its S objects, in ascending order of instance id.

    It is a sequence too: its items are ``ObjectLabel``s, made when the first is asked for. See there for what the
    columns mean; boxes are (S, 4), vectors (S, 3), axes (S, 3, 3). ``runs`` holds the masks.
    """

    runs: InstanceRuns
    class_id: NDArray[np.int32]
    amodal_box: NDArray[np.int64]
    extent: NDArray[np.float64]
    visib_fract: NDArray[np.float64]
    truncation: NDArray[np.float64]
    distance_m: NDArray[np.float64]
    center_camera: NDArray[np.float64]
    size: NDArray[np.float64]
    axes_camera: NDArray[np.float64]
    yaw_camera: NDArray[np.float64]
    box3d_image: NDArray[np.float64]
    cuboid: NDArray[np.bool_]
    tilted: NDArray[np.bool_]
    oriented_center: NDArray[np.float64]
    oriented_size: NDArray[np.float64]
    oriented_axes: NDArray[np.float64]

    @property
    def instance_id(self) -> NDArray[np.int32]:
        """(S,) ids, ascending."""
        return self.runs.instance_id

    @property
    def area(self) -> NDArray[np.int64]:
        """(S,) visible pixels."""
        return self.runs.area

    @property
    def box(self) -> NDArray[np.int64]:
        """(S, 4) x, y, width, height [pixels] around the visible masks."""
        return self.runs.box

    @cached_property
    def rle(self) -> list[bytes]:
        """The masks in COCO's compressed run-length code; coded at the first access."""
        return run_length_codes(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    @overload
    def __getitem__(self, index: int) -> ObjectLabel: ...

    @overload
    def __getitem__(self, index: slice) -> list[ObjectLabel]: ...

    def __getitem__(self, index: int | slice) -> ObjectLabel | list[ObjectLabel]:
        return self._items[index]

    def __iter__(self) -> Iterator[ObjectLabel]:
        return iter(self._items)

    @cached_property
    def _items(self) -> list[ObjectLabel]:
        columns = zip(
            self.instance_id.tolist(),
            self.class_id.tolist(),
            self.rle,
            map(tuple, self.box.tolist()),
            self.area.tolist(),
            map(tuple, self.amodal_box.tolist()),
            map(tuple, self.extent.tolist()),
            self.visib_fract.tolist(),
            self.truncation.tolist(),
            self.distance_m.tolist(),
            self.center_camera,
            self.size,
            self.axes_camera,
            self.yaw_camera.tolist(),
            map(tuple, self.box3d_image.tolist()),
            self.cuboid.tolist(),
            self.tilted.tolist(),
            self.oriented_center,
            self.oriented_size,
            self.oriented_axes,
            strict=True,
        )
        shape = self.runs.shape
        return [ObjectLabel(row[0], row[1], shape, *row[2:]) for row in columns]


@dataclass(frozen=True)
class LabelledFrame:
    """A picture of an episode with its labels.

    Attributes:
        episode: index of the episode, 0 to 999,999.
        robot: index of the robot, 0 to 99.
        number: of the picture in this episode and robot, 0 to 999,999 (four digits in file names, or more).
        time: since the start of the episode [s].
        frame: the picture and its ground truth.
        labels: of its objects.
        points: (N, 4) float32 x, y, z [m], intensity of a lidar sweep taken with it, in the lidar's frame; or None.
        lidar_position: (3,) [m] of the lidar in ``map``; must be given with points.
        lidar_rotation: (3, 3), columns are the lidar's axes in ``map``; must be given with points.
        min_pixels: what ``label_frame`` was given.
        point_class, point_instance: (N,) int32 class and instance id of what each point lies on (0 = stuff or nothing
            that is counted); or None where the sweep came without its truth.
    """

    episode: int
    robot: int
    number: int
    time: float
    frame: CameraFrame
    labels: Sequence[ObjectLabel]
    points: NDArray[np.float32] | None = None
    lidar_position: NDArray[np.float64] | None = None
    lidar_rotation: NDArray[np.float64] | None = None
    min_pixels: int = MIN_PIXELS
    point_class: NDArray[np.int32] | None = None
    point_instance: NDArray[np.int32] | None = None

    @property
    def stem(self) -> str:
        """Name of the picture's files without suffix."""
        return f"{self.episode:06d}_{self.robot:02d}_{self.number:04d}"


def label_frame(frame: CameraFrame, world: Primitives, *, min_pixels: int = MIN_PIXELS) -> FrameLabels:
    """Label every countable object that shows in a picture.

    Masks come from the id buffer alone, so they are disjoint by construction.

    Args:
        frame: the picture with its ground truth.
        world: all solids as they stood when the picture was taken, in ``map`` (``Scene.world_primitives``).
        min_pixels: objects that show fewer pixels are left out.

    Returns:
        Labels in ascending order of instance id.

    Raises:
        ValueError: the picture shows an instance that the world does not have, or a plane with an instance id.
    """
    config, view = frame.config, camera_view(frame.config)
    runs = instance_runs(frame.instance, min_pixels=max(min_pixels, 1))
    table = hash_ids(runs.instance_id)
    index, offset = _parts_of(world, runs.instance_id, table)
    position, rotation = np.ascontiguousarray(frame.position), np.ascontiguousarray(frame.rotation)
    kind, size = world.kind[index], world.size[index]
    local, center, axes = place_parts(index, world.position, world.quaternion, position, rotation)
    covered = silhouettes(
        kind,
        size,
        center,
        axes,
        offset,
        runs.start,
        runs.stop,
        runs.offset,
        width=config.width,
        height=config.height,
        view=view,
    )
    boxes = solid_boxes(kind, size, center, axes, local, offset, rotation)
    heading = boxes.axes[:, :, 0] @ (rotation.T @ level_rotation(rotation))
    yaw = np.arctan2(-heading[:, 2], heading[:, 0])
    yaw[yaw >= np.pi] = -np.pi
    return FrameLabels(
        runs=runs,
        class_id=world.class_id[index[offset[:-1]]],
        amodal_box=covered.box,
        extent=covered.extent,
        visib_fract=runs.area / covered.area,
        truncation=covered.truncation,
        distance_m=_distances(frame.depth, frame.instance, table, len(runs), config),
        center_camera=boxes.center,
        size=boxes.size,
        axes_camera=boxes.axes,
        yaw_camera=yaw,
        box3d_image=_project_boxes(
            box_corners(boxes.center, boxes.size, boxes.axes), config.width, config.height, view
        ),
        cuboid=boxes.cuboid,
        tilted=boxes.tilted,
        oriented_center=boxes.oriented_center,
        oriented_size=boxes.oriented_size,
        oriented_axes=boxes.oriented_axes,
    )


def label_points(scan: LidarScan, truth: LidarTruth) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return class and instance ids, (N,) int32 each, of the points that ``Lidar.points`` makes of a scan.

    The instance is 0 for stuff. Both are 0 for a return that is no echo of what the beam points at: dust, or another
    lidar's pulse (``lidar_signal.TARGET``).
    """
    back = np.isfinite(scan.ranges)
    class_id, instance_id = truth.class_id[back].astype(np.int32), truth.instance_id[back].astype(np.int32)
    if truth.flags is not None:
        stray = (truth.flags[back] & TARGET) == 0
        class_id[stray], instance_id[stray] = 0, 0
    return class_id, instance_id


def box_corners(center: ArrayLike, size: ArrayLike, axes: ArrayLike) -> NDArray[np.float64]:
    """Return the corners (..., 8, 3) [m] of boxes: centers (..., 3), full sizes (..., 3), axes (..., 3, 3 columns).

    Corners i and i ^ 1, i ^ 2, i ^ 4 share an edge.
    """
    local = 0.5 * np.asarray(size, dtype=np.float64)[..., None, :] * _CORNER_SIGNS
    return np.asarray(center)[..., None, :] + local @ np.swapaxes(np.asarray(axes), -1, -2)


def level_rotation(rotation: ArrayLike) -> NDArray[np.float64]:
    """Return the axes (3, 3) in ``map`` of the level camera frame: y straight down, z as near to forward as it can be.

    Args:
        rotation: (3, 3), columns are the axes of ``camera_optical`` in ``map``. A level camera gets its own axes back
            without rounding; one that looks straight up or down keeps its x axis.
    """
    rotation = np.asarray(rotation, dtype=np.float64)
    if max(abs(rotation[0, 1]), abs(rotation[1, 1]), abs(rotation[2, 1] + 1.0)) < 1e-9:
        return rotation.copy()
    x, y = rotation[0, 2], rotation[1, 2]
    norm = np.sqrt(x * x + y * y)
    if norm < 1e-6:
        x, y = -rotation[1, 0], rotation[0, 0]
        norm = np.sqrt(x * x + y * y)
    x, y = x / norm, y / norm
    return np.array([[y, 0.0, x], [-x, 0.0, y], [0.0, -1.0, 0.0]])


def intrinsic_matrix(config: CameraConfig) -> NDArray[np.float64]:
    """Return the camera matrix (3, 3) [pixels]; pixel centres are whole numbers."""
    return np.array(
        [
            [config.focal, 0.0, config.center[0]],
            [0.0, config.focal, config.center[1]],
            [0.0, 0.0, 1.0],
        ]
    )


def project_boxes(corners: NDArray[np.float64], config: CameraConfig) -> NDArray[np.float64]:
    """Return x1, y1, x2, y2 (N, 4) of boxes with the given corners (N, 8, 3) in ``camera_optical``.

    Boxes are cut at the near plane and at the picture's edges. A box that is wholly behind the near plane gives nan.
    """
    corners = np.ascontiguousarray(corners, dtype=np.float64)
    return _project_boxes(corners, config.width, config.height, camera_view(config))


def nearest_distance(
    depth: NDArray[np.floating], instance: NDArray[np.integer], instance_id: NDArray[np.int32], config: CameraConfig
) -> NDArray[np.float64]:
    """Return the distance (S,) [m] from the optical centre to the nearest visible point of each object.

    Args:
        depth: (H, W) planar depth [m].
        instance: (H, W) instance ids.
        instance_id: (S,) the objects asked for, each above 0; inf for those that do not show.
        config: of the camera.
    """
    ids = np.asarray(instance_id, dtype=np.int32)
    return _distances(depth, instance, hash_ids(ids), len(ids), config)


@lru_cache(maxsize=8)
def ray_lengths(config: CameraConfig) -> NDArray[np.float32]:
    """Return what turns depth into distance from the optical centre: (H, W) float32, 1 on the axis and for fisheyes."""
    if config.lens == "fisheye":
        return np.ones((config.height, config.width), dtype=np.float32)
    if camera_view(config)[LENS] != PINHOLE:
        from .optics import pixel_rays  # a kernel of its own, which a pinhole need not wait for

        return np.nan_to_num(np.linalg.norm(pixel_rays(config), axis=2), nan=1.0).astype(np.float32)
    u = (np.arange(config.width) - config.center[0]) / config.focal
    v = (np.arange(config.height) - config.center[1]) / config.focal
    lengths = np.sqrt(1.0 + u[None, :] ** 2 + v[:, None] ** 2).astype(np.float32)
    lengths.setflags(write=False)
    return lengths


def _distances(
    depth: NDArray[np.floating],
    instance: NDArray[np.integer],
    table: NDArray[np.int32],
    objects: int,
    config: CameraConfig,
) -> NDArray[np.float64]:
    """Return what ``nearest_distance`` does for the objects (S,) that a table numbers."""
    least, ranges = np.full(objects, np.inf, dtype=np.float32), np.empty(config.width, dtype=np.float32)
    # Floats of one sign are ordered as their bits are; whole numbers have a least value in vector registers.
    _nearest(
        np.ascontiguousarray(depth, dtype=np.float32),
        np.ascontiguousarray(instance, dtype=np.int32),
        ray_lengths(config),
        table,
        ranges,
        ranges.view(np.int32),
        least.view(np.int32),
    )
    return least.astype(np.float64)


def _parts_of(
    world: Primitives, instance_id: NDArray[np.int32], table: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of the given objects' solids (ascending ids), grouped, and where each group starts (S + 1,)."""
    index, offset = parts_of(world.instance_id, table, len(instance_id))
    missing = instance_id[np.diff(offset) == 0][:5].tolist()
    if missing:
        raise ValueError(f"the picture shows instances {missing} that the world does not have")
    if (world.kind[index] == PLANE).any():
        raise ValueError("a plane is infinite and cannot carry an instance id")
    return index, offset


def _project_boxes(
    corners: NDArray[np.float64], width: int, height: int, view: NDArray[np.float64]
) -> NDArray[np.float64]:
    image = np.empty((len(corners), 4))
    project = _project_straight if view[LENS] == PINHOLE else _project_bent
    project(corners, view, image)
    image[image[:, 0] > image[:, 2]] = np.nan
    np.clip(image, -0.5, [width - 0.5, height - 0.5, width - 0.5, height - 0.5], out=image)
    return image


@spliced
def _shown(corners: NDArray[np.float64], n: int, i: int, j: int, near: float) -> tuple[float, float]:
    """Return where the edge from corner i to j of box n comes before the near plane and where it leaves (1, 0: no)."""
    start, stop = corners[n, i, 2], corners[n, j, 2]
    if i == j or (start < near and stop < near):
        return 1.0, 0.0
    crossing = (near - start) / (stop - start) if (start < near) != (stop < near) else 0.0
    return crossing if start < near else 0.0, crossing if stop < near else 1.0


@compiled
def _project_straight(corners: NDArray[np.float64], view: NDArray[np.float64], image: NDArray[np.float64]) -> None:
    """Write x1, y1, x2, y2 (N, 4) of boxes (N, 8, 3) seen through a pinhole; x1 > x2 for those behind."""
    for n in range(len(corners)):
        left, top, right, bottom = np.inf, np.inf, -np.inf, -np.inf
        for edge in range(24):
            i, j = edge // 3, edge // 3 | 1 << edge % 3
            first, last = _shown(corners, n, i, j, view[NEAR])
            if first > last:
                continue
            for end in range(2):
                t = last if end else first
                z = corners[n, i, 2] + t * (corners[n, j, 2] - corners[n, i, 2])
                u = view[CENTER_X] + view[FOCAL_X] * (corners[n, i, 0] + t * (corners[n, j, 0] - corners[n, i, 0])) / z
                v = view[CENTER_Y] + view[FOCAL_Y] * (corners[n, i, 1] + t * (corners[n, j, 1] - corners[n, i, 1])) / z
                left, top, right, bottom = min(left, u), min(top, v), max(right, u), max(bottom, v)
        image[n, 0], image[n, 1], image[n, 2], image[n, 3] = left, top, right, bottom


@compiled
def _project_bent(corners: NDArray[np.float64], view: NDArray[np.float64], image: NDArray[np.float64]) -> None:
    """Do as ``_project_straight`` does, through any lens."""
    near = -np.inf if view[LENS] == FISHEYE else view[NEAR]
    for n in range(len(corners)):
        left, top, right, bottom = np.inf, np.inf, -np.inf, -np.inf
        for edge in range(24):
            i, j = edge // 3, edge // 3 | 1 << edge % 3
            first, last = _shown(corners, n, i, j, near)
            for piece in range(EDGE_PIECES + 1 if first <= last else 0):
                t = first + (last - first) * piece / EDGE_PIECES
                u, v = project_ray(
                    corners[n, i, 0] + t * (corners[n, j, 0] - corners[n, i, 0]),
                    corners[n, i, 1] + t * (corners[n, j, 1] - corners[n, i, 1]),
                    corners[n, i, 2] + t * (corners[n, j, 2] - corners[n, i, 2]),
                    view,
                )
                left, top, right, bottom = min(left, u), min(top, v), max(right, u), max(bottom, v)
        image[n, 0], image[n, 1], image[n, 2], image[n, 3] = left, top, right, bottom


@compiled
def _nearest(
    depth: NDArray[np.float32],
    ids: NDArray[np.int32],
    lengths: NDArray[np.float32],
    table: NDArray[np.int32],
    ranges: NDArray[np.float32],
    bits: NDArray[np.int32],
    least: NDArray[np.int32],
) -> None:
    """Lower ``least`` (S,) to depth times length over the pixels of each instance in the table, as bits.

    ``ranges`` (W,) is scratch and ``bits`` the same memory.
    """
    height, width = np.uint64(ids.shape[0]), np.uint64(ids.shape[1])
    for y in range(height):
        for x in range(width):
            ranges[x] = depth[y, x] * lengths[y, x]
        begin = np.uint64(0)
        while begin < width:
            key = ids[y, begin]
            end = begin + np.uint64(1)
            while end < width and ids[y, end] == key:
                end += np.uint64(1)
            if key > 0:
                at = hash_place(table, key)
                if table[at, 0] == key:
                    nearest = least[table[at, 1]]
                    for i in range(begin, end):
                        nearest = min(nearest, bits[i])
                    least[table[at, 1]] = nearest
            begin = end
