"""A second, independent renderer: every ray against every solid in plain numpy. Slow, simple, for small pictures."""

from __future__ import annotations

import functools

import cv2
import numpy as np

from floorcast.common.geometry import mounted, optical, rotation_matrix
from floorcast.common.primitives import BOX, CAPSULE, CYLINDER, PLANE, SPHERE, TRIANGLE, Primitives
from floorcast.perception.config import CameraConfig
from floorcast.perception.frames import CameraFrame


def camera_pose(x, y, z, yaw=0.0, pitch=0.0, roll=0.0):
    """Position and camera_optical rotation of a camera at x, y, z [m]; pitch above 0 looks down."""
    position, rotation = mounted([x, y, yaw], [0.0, 0.0, z, roll, pitch, 0.0])
    return position, optical(rotation)


def render(world: Primitives, config: CameraConfig, position, rotation, number: int = 0) -> CameraFrame:
    rays = lens_rays(config).reshape(-1, 3) @ np.asarray(rotation).T
    depth = np.full(len(rays), np.inf)
    instance = np.zeros(len(rays), dtype=np.int32)
    semantic = np.zeros(len(rays), dtype=np.uint8)
    color = np.full((len(rays), 3), 30, dtype=np.uint8)
    for i in range(len(world)):
        axes = rotation_matrix(world.quaternion[i])
        origin = (np.asarray(position) - world.position[i]) @ axes
        hit = _hit(int(world.kind[i]), world.size[i], origin, rays @ axes, config.near)
        closer = (hit < depth) & (hit <= config.far)
        depth[closer] = hit[closer]
        instance[closer] = world.instance_id[i]
        semantic[closer] = world.class_id[i]
        color[closer] = world.color[i]
    shape = (config.height, config.width)
    noise = np.random.Generator(np.random.PCG64(number)).integers(0, 6, size=(*shape, 3), dtype=np.uint8)
    return CameraFrame(
        config=config,
        position=np.asarray(position, dtype=np.float64),
        rotation=np.asarray(rotation, dtype=np.float64),
        rgb=np.minimum(color.reshape(*shape, 3), 249) + noise,
        depth=depth.reshape(shape).astype(np.float32),
        instance=instance.reshape(shape),
        semantic=semantic.reshape(shape),
    )


def _hit(kind, size, origin, rays, near):
    """Smallest ray parameter (= planar depth, rays have z = 1) from near on at which rays (N, 3) meet one solid."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if kind == BOX:
            return _slabs(size, origin, rays, near)
        if kind == PLANE:
            return _from(near, np.where(rays[:, 2] != 0, -origin[2] / rays[:, 2], np.nan))
        if kind == SPHERE:
            return _from(near, *_sphere(size[0], origin, rays))
        if kind == CYLINDER:
            caps = [(sign * size[1] - origin[2]) / rays[:, 2] for sign in (-1, 1)]
            on_cap = [np.where(np.hypot(*(origin[:2, None] + t * rays[:, :2].T)) <= size[0], t, np.nan) for t in caps]
            return _from(near, *_barrel(size, origin, rays), *on_cap)
        if kind == TRIANGLE:
            return _from(near, _triangle(size, origin, rays))
        assert kind == CAPSULE
        ends = [_sphere(size[0], origin - [0, 0, sign * size[1]], rays) for sign in (-1, 1)]
        outer = [
            np.where(sign * (origin[2] + t * rays[:, 2]) >= size[1], t, np.nan)
            for sign, pair in zip((-1, 1), ends, strict=True)
            for t in pair
        ]
        return _from(near, *_barrel(size, origin, rays), *outer)


def _from(near, *candidates):
    """The first of the candidate parameters at or behind the near plane; nan never counts."""
    stacked = np.stack(candidates)
    return np.where(stacked >= near, stacked, np.inf).min(axis=0)


def _slabs(size, origin, rays, near):
    first, last = (-size - origin) / rays, (size - origin) / rays
    enter = np.nanmax(np.minimum(first, last), axis=1)
    leave = np.nanmin(np.maximum(first, last), axis=1)
    met = enter <= leave
    return _from(near, np.where(met, enter, np.nan), np.where(met, leave, np.nan))


def _sphere(radius, origin, rays):
    a = (rays**2).sum(axis=1)
    b = rays @ origin
    root = np.sqrt(b**2 - a * (origin @ origin - radius**2))
    return (-b - root) / a, (-b + root) / a


def _barrel(size, origin, rays):
    a = (rays[:, :2] ** 2).sum(axis=1)
    b = rays[:, :2] @ origin[:2]
    root = np.sqrt(b**2 - a * (origin[:2] @ origin[:2] - size[0] ** 2))
    hits = ((-b - root) / a, (-b + root) / a)
    return [np.where(np.abs(origin[2] + t * rays[:, 2]) <= size[1], t, np.nan) for t in hits]


def _triangle(size, origin, rays):
    """Where rays meet the triangle (-a, -h), (a, -h), (b, h) in the local plane z = 0, by the signs of three edges."""
    a, b, h = size
    t = -origin[2] / rays[:, 2]
    x, y = origin[0] + t * rays[:, 0], origin[1] + t * rays[:, 1]
    corners = [(-a, -h), (a, -h), (b, h)]
    inside = np.ones(len(rays), dtype=bool)
    for (ax, ay), (bx, by) in zip(corners, [*corners[1:], corners[0]], strict=True):
        inside &= (bx - ax) * (y - ay) - (by - ay) * (x - ax) >= 0
    return np.where(inside, t, np.nan)


@functools.cache
def lens_rays(config: CameraConfig) -> np.ndarray:
    """Rays (H, W, 3) of the pixels, by inverting OpenCV's projection: z = 1, or of unit length for a fisheye."""
    u, v = np.meshgrid(np.arange(config.width, dtype=np.float64), np.arange(config.height, dtype=np.float64))
    pixels = np.stack([u, v], axis=-1).reshape(-1, 1, 2)
    cx, cy = config.center
    matrix = np.array([[config.focal, 0, cx], [0, config.focal, cy], [0, 0, 1]])
    if config.lens == "fisheye":
        # OpenCV's own inverse stops at 90 degrees; its polynomial is inverted by bisection instead.
        plane = (pixels[:, 0] - [cx, cy]) / config.focal
        radius = np.hypot(*plane.T)
        low, high = np.zeros(len(radius)), np.full(len(radius), np.pi)
        for _ in range(60):
            t = (low + high) / 2
            image = t * (1 + config.k1 * t**2 + config.k2 * t**4 + config.k3 * t**6 + config.k4 * t**8)
            low, high = np.where(image < radius, t, low), np.where(image < radius, high, t)
        across = np.sin(t) / np.maximum(radius, 1e-12)
        rays = np.stack([plane[:, 0] * across, plane[:, 1] * across, np.cos(t)], axis=1)
    else:
        coefficients = np.array([config.k1, config.k2, config.p1, config.p2, config.k3])
        plane = (pixels[:, 0] - [cx, cy]) / config.focal
        for _ in range(100):
            solid = np.concatenate([plane, np.ones((len(plane), 1))], axis=1)
            image = cv2.projectPoints(solid, np.zeros(3), np.zeros(3), matrix, coefficients)[0][:, 0]
            step = 0.7 * (image - pixels[:, 0]) / config.focal
            plane -= step
            if np.abs(step).max() < 1e-14:
                break
        rays = np.concatenate([plane, np.ones((len(plane), 1))], axis=1)
    return rays.reshape(config.height, config.width, 3)
