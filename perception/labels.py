"""Labels of a picture: masks, 2D and 3D boxes, visibility and distance of every visible object.

Frames: ``camera_optical`` is x right, y down, z forward, and so are images. Pixel (x, y) is centred on u = x, v = y;
the optical axis meets the image at ((W - 1) / 2, (H - 1) / 2). The level camera frame is ``camera_optical`` turned so
that its y axis points straight down; for a camera that is mounted level the two are the same. KITTI's boxes, which turn
about y only, live in the level frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pycocotools.mask
from numpy.typing import ArrayLike, NDArray

from ..common.classes import class_name
from ..common.geometry import rotation_matrix
from ..common.primitives import BOX, CAPSULE, CYLINDER, PLANE, SPHERE, Primitives
from .config import CameraConfig
from .frames import CameraFrame
from .masks import InstanceRuns, instance_runs, run_length_codes
from .silhouette import silhouettes

MIN_PIXELS = 16
"""Objects that show fewer pixels get no label."""

UPRIGHT_COSINE = np.cos(np.radians(0.5))
"""A box tilted by more than half a degree is not a cuboid that turns about the vertical only."""

_CORNER_SIGNS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=np.float64)
_EDGES = np.array([(i, i | bit) for i in range(8) for bit in (1, 2, 4) if not i & bit])


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
        truncation: share of the amodal silhouette that lies outside the picture, 0 to 1, on a canvas that has the
            picture's size once more on every side.
        distance_m: from the optical centre to the nearest visible point [m].
        center_camera: (3,) float64 [m], centre of the 3D box in ``camera_optical``.
        size: (3,) float64 [m], length, width, height of the 3D box, which stands upright in ``map``.
        axes_camera: (3, 3) float64, columns are the directions of length, width, height (up) in ``camera_optical``.
        yaw_camera: KITTI's rotation_y [rad] in [-pi, pi): heading about the downward axis of the level camera frame, 0
            when the length points right.
        box3d_image: x1, y1, x2, y2 of the projected 3D box, cut at the near plane and at the picture's edges
            (-0.5 to W - 0.5); pixel centres are whole numbers.
        cuboid: the object is one upright box, so that the 3D box is its exact surface.
    """

    instance_id: int
    class_id: int
    image_shape: tuple[int, int]
    rle: bytes
    box: tuple[int, int, int, int]
    area: int
    amodal_box: tuple[int, int, int, int]
    visib_fract: float
    truncation: float
    distance_m: float
    center_camera: NDArray[np.float64]
    size: NDArray[np.float64]
    axes_camera: NDArray[np.float64]
    yaw_camera: float
    box3d_image: tuple[float, float, float, float]
    cuboid: bool

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
    """

    episode: int
    robot: int
    number: int
    time: float
    frame: CameraFrame
    labels: list[ObjectLabel]
    points: NDArray[np.float32] | None = None
    lidar_position: NDArray[np.float64] | None = None
    lidar_rotation: NDArray[np.float64] | None = None
    min_pixels: int = MIN_PIXELS

    @property
    def stem(self) -> str:
        """Name of the picture's files without suffix."""
        return f"{self.episode:06d}_{self.robot:02d}_{self.number:04d}"


def label_frame(frame: CameraFrame, world: Primitives, *, min_pixels: int = MIN_PIXELS) -> list[ObjectLabel]:
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
    runs = instance_runs(frame.instance)
    runs = runs.keep(runs.area >= min_pixels)
    if len(runs) == 0:
        return []
    parts, offset = _parts_of(world, runs.instance_id)
    local = rotation_matrix(parts.quaternion)
    config = frame.config
    covered = silhouettes(
        parts.kind,
        parts.size,
        (parts.position - frame.position) @ frame.rotation,
        frame.rotation.T @ local,
        offset,
        runs.start,
        runs.stop,
        runs.offset,
        width=config.width,
        height=config.height,
        focal=config.focal,
        near=config.near,
    )
    center, size, heading, cuboid = _upright_boxes(parts, local, offset)
    axes = _box_axes(heading)
    center_camera = (center - frame.position) @ frame.rotation
    axes_camera = frame.rotation.T @ axes
    projected = project_boxes(box_corners(center_camera, size, axes_camera), config)
    in_level = axes[:, :, 0] @ level_rotation(frame.rotation)
    yaw = np.arctan2(-in_level[:, 2], in_level[:, 0])
    yaw[yaw >= np.pi] = -np.pi
    distance = nearest_distance(frame.depth, config, runs)
    codes = run_length_codes(runs)
    visible = runs.area / covered.area
    class_ids = parts.class_id[offset[:-1]]
    shape = (config.height, config.width)
    return [
        ObjectLabel(
            instance_id=int(runs.instance_id[i]),
            class_id=int(class_ids[i]),
            image_shape=shape,
            rle=codes[i],
            box=_four(runs.box[i].tolist()),
            area=int(runs.area[i]),
            amodal_box=_four(covered.box[i].tolist()),
            visib_fract=float(visible[i]),
            truncation=float(covered.truncation[i]),
            distance_m=float(distance[i]),
            center_camera=center_camera[i],
            size=size[i],
            axes_camera=axes_camera[i],
            yaw_camera=float(yaw[i]),
            box3d_image=_four(projected[i].tolist()),
            cuboid=bool(cuboid[i]),
        )
        for i in range(len(runs))
    ]


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
    down = np.array([0.0, 0.0, -1.0])
    if np.abs(rotation[:, 1] - down).max() < 1e-9:
        return rotation.copy()
    forward = rotation[:, 2] * [1.0, 1.0, 0.0]
    if np.linalg.norm(forward) < 1e-6:
        forward = np.cross(rotation[:, 0], down)
    forward /= np.linalg.norm(forward)
    return np.stack([np.cross(down, forward), down, forward], axis=1)


def intrinsic_matrix(config: CameraConfig) -> NDArray[np.float64]:
    """Return the camera matrix (3, 3) [pixels]; pixel centres are whole numbers."""
    return np.array(
        [
            [config.focal, 0.0, 0.5 * (config.width - 1)],
            [0.0, config.focal, 0.5 * (config.height - 1)],
            [0.0, 0.0, 1.0],
        ]
    )


def project_boxes(corners: NDArray[np.float64], config: CameraConfig) -> NDArray[np.float64]:
    """Return x1, y1, x2, y2 (N, 4) of boxes with the given corners (N, 8, 3) in ``camera_optical``.

    Boxes are cut at the near plane and at the picture's edges. A box that is wholly behind the near plane gives nan.
    """
    corners = np.asarray(corners, dtype=np.float64)
    start, stop = corners[:, _EDGES[:, 0]], corners[:, _EDGES[:, 1]]
    z_start, z_stop = start[..., 2], stop[..., 2]
    crosses = (z_start < config.near) != (z_stop < config.near)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(crosses, (config.near - z_start) / (z_stop - z_start), 0.0)
        cut = start + t[..., None] * (stop - start)
        cut[..., 2] = config.near
        points = np.concatenate([corners, cut], axis=1)
        shown = np.concatenate([corners[..., 2] >= config.near, crosses], axis=1)
        image = config.focal * points[..., :2] / points[..., 2:]
    image += [0.5 * (config.width - 1), 0.5 * (config.height - 1)]
    low = np.where(shown[..., None], image, np.inf).min(axis=1)
    high = np.where(shown[..., None], image, -np.inf).max(axis=1)
    edge = np.array([config.width - 0.5, config.height - 0.5])
    result = np.concatenate([np.clip(low, -0.5, edge), np.clip(high, -0.5, edge)], axis=1)
    result[~shown.any(axis=1)] = np.nan
    return result


def _parts_of(world: Primitives, instance_id: NDArray[np.int32]) -> tuple[Primitives, NDArray[np.int64]]:
    """Return the solids of the given objects (ascending ids), grouped, and where each group starts (S + 1,)."""
    slot = np.minimum(np.searchsorted(instance_id, world.instance_id), len(instance_id) - 1)
    index = np.flatnonzero(instance_id[slot] == world.instance_id)
    index = index[np.argsort(slot[index], kind="stable")]
    count = np.bincount(slot[index], minlength=len(instance_id))
    if not count.all():
        missing = instance_id[count == 0][:5].tolist()
        raise ValueError(f"the picture shows instances {missing} that the world does not have")
    parts = world.take(index)
    if (parts.kind == PLANE).any():
        raise ValueError("a plane is infinite and cannot carry an instance id")
    return parts, np.concatenate([[0], np.cumsum(count)]).astype(np.int64)


def _upright_boxes(
    parts: Primitives, local: NDArray[np.float64], offset: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Return center (S, 3), size (S, 3), heading (S, 2) and cuboid (S,) of the objects' upright boxes in ``map``.

    The heading is the local x axis of the object's first box, or of its first solid if it has none: the chassis of a
    vehicle, the trunk of a person. If that axis stands upright (a toppled thing), the local y axis serves.
    """
    objects = np.repeat(np.arange(len(offset) - 1), np.diff(offset))
    number = np.arange(len(parts))
    first_box = np.minimum.reduceat(np.where(parts.kind == BOX, number, len(parts)), offset[:-1])
    leader = np.where(first_box < len(parts), first_box, offset[:-1])
    axes = local[leader]
    upright = np.abs(axes[:, 2, :]).argmax(axis=1)
    chosen = np.where(upright == 0, 1, 0)
    heading = axes[np.arange(len(leader)), :2, chosen]
    heading = heading / np.linalg.norm(heading, axis=1, keepdims=True)
    directions = _box_axes(heading)[objects]
    middle = np.einsum("nik,ni->nk", directions, parts.position)
    reach = _reach(parts, np.einsum("nij,nik->njk", local, directions))
    low = np.minimum.reduceat(middle - reach, offset[:-1], axis=0)
    high = np.maximum.reduceat(middle + reach, offset[:-1], axis=0)
    center = np.einsum("nik,nk->ni", _box_axes(heading), 0.5 * (low + high))
    is_upright = np.abs(axes[:, 2, :]).max(axis=1) >= UPRIGHT_COSINE
    cuboid = (np.diff(offset) == 1) & (parts.kind[offset[:-1]] == BOX) & is_upright
    return center, high - low, heading, cuboid


def _reach(parts: Primitives, direction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how far (N, 3) solids reach from their centre along directions (N, 3, 3 columns) in their own axes."""
    radius, half_length = parts.size[:, :1], parts.size[:, 1:2]
    along = np.abs(direction[:, 2, :])
    kind = parts.kind[:, None]
    across = np.sqrt(np.maximum(1.0 - along**2, 0.0))
    box = np.einsum("nj,njk->nk", parts.size, np.abs(direction))
    cylinder = radius * across + half_length * along
    capsule = radius + half_length * along
    sphere = np.broadcast_to(radius, along.shape)
    return np.select([kind == BOX, kind == CYLINDER, kind == CAPSULE, kind == SPHERE], [box, cylinder, capsule, sphere])


def _box_axes(heading: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return axes (S, 3, 3), columns forward, left, up in ``map``, of unit headings (S, 2)."""
    axes = np.zeros((len(heading), 3, 3))
    axes[:, :2, 0] = heading
    axes[:, 0, 1] = -heading[:, 1]
    axes[:, 1, 1] = heading[:, 0]
    axes[:, 2, 2] = 1.0
    return axes


def nearest_distance(depth: NDArray[np.float32], config: CameraConfig, runs: InstanceRuns) -> NDArray[np.float64]:
    """Return the distance (S,) [m] from the optical centre to the nearest visible point of each object.

    ``depth`` (H, W) is planar [m]; ``runs`` holds the objects' pixels.
    """
    ranges = _ranges(depth, config)
    by_column = np.ascontiguousarray(ranges.T).reshape(-1)
    by_column = np.append(by_column, np.float32(np.inf))
    # Every second stretch between the run ends is a run; runs of several objects are brought back into image order.
    order = np.argsort(runs.start)
    ends = np.stack([runs.start[order], runs.stop[order]], axis=1).reshape(-1)
    least = np.empty(len(order), dtype=np.float64)
    least[order] = np.minimum.reduceat(by_column, ends)[::2]
    return np.minimum.reduceat(least, runs.offset[:-1])


def _ranges(depth: NDArray[np.floating], config: CameraConfig) -> NDArray[np.float32]:
    """Turn planar depth (H, W) [m] into distances (H, W) float32 [m] from the optical centre."""
    u = (np.arange(config.width, dtype=np.float32) - 0.5 * (config.width - 1)) / np.float32(config.focal)
    v = (np.arange(config.height, dtype=np.float32) - 0.5 * (config.height - 1)) / np.float32(config.focal)
    return depth.astype(np.float32, copy=False) * np.sqrt(1 + u[None, :] ** 2 + v[:, None] ** 2, dtype=np.float32)


def _four(values: list) -> tuple:
    return values[0], values[1], values[2], values[3]
