"""Where a camera's lens brings rays to in the picture, inside it and, for silhouettes that leave it, beyond.

Lenses (OpenCV's conventions): the pinhole; Brown-Conrady, with x = X / Z, y = Y / Z, r^2 = x^2 + y^2,

    x' = x (1 + k1 r^2 + k2 r^4 + k3 r^6) + 2 p1 x y + p2 (r^2 + 2 x^2), and y' likewise with p1 and p2 exchanged;

the fisheye after Kannala and Brandt (2006): a ray at the angle t from the axis goes to the radius
t (1 + k1 t^2 + k2 t^4 + k3 t^6 + k4 t^8). Pixels are u = fx x' + cx, v = fy y' + cy.

Such polynomials hold only as far as the picture reaches, and fold back somewhere beyond. From a little outside the
picture's corners on the lens is therefore taken to go on with constant magnification: each ray maps to one place, and
what lies outside the picture stays outside.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .compiled import compiled, inlined

if TYPE_CHECKING:
    from .config import CameraConfig

FloatArray = NDArray[np.float64]

PINHOLE, BROWN_CONRADY, FISHEYE = 0.0, 1.0, 2.0

VIEW_COLUMNS = 14
LENS, FOCAL_X, FOCAL_Y, CENTER_X, CENTER_Y, NEAR, EDGE, SLOPE, FIRST = 0, 1, 2, 3, 4, 5, 6, 7, 8
"""Columns of a view: the lens; focal lengths and centre [pixels]; near plane [m]; where the polynomial ends (tangent of
the angle, or the angle [rad] of a fisheye) and the magnification from there on; then k1, k2, p1, p2, k3 or k1 to k4."""

EDGE_MARGIN = 1.05
"""The polynomial serves to this many times the distance of the farthest corner."""

STEP_PX = 8.0
"""Edges are bent by the lens in pieces of about so many pixels."""
MAX_PIECES = 64


@lru_cache(maxsize=64)
def camera_view(config: CameraConfig) -> FloatArray:
    """Return a camera as the kernels read it, (``VIEW_COLUMNS``,) float64."""
    view = np.zeros(VIEW_COLUMNS)
    view[FOCAL_X] = view[FOCAL_Y] = config.focal
    view[CENTER_X], view[CENTER_Y] = config.center
    view[NEAR] = config.near
    if config.lens == "fisheye":
        view[LENS] = FISHEYE
        view[FIRST : FIRST + 4] = config.k1, config.k2, config.k3, config.k4
    else:
        view[FIRST : FIRST + 5] = config.k1, config.k2, config.p1, config.p2, config.k3
        view[LENS] = BROWN_CONRADY if view[FIRST:].any() else PINHOLE
    if view[LENS] != PINHOLE:
        _bound_lens(view, config.width, config.height)
    view.setflags(write=False)
    return view


def project_points(points: ArrayLike, config: CameraConfig) -> FloatArray:
    """Return the places (N, 2) u, v [pixels] of points (N, 3) [m] in ``camera_optical``; z > 0 except for a fisheye."""
    return _project_points(np.ascontiguousarray(points, dtype=np.float64), camera_view(config))


@inlined
def bend(x: float, y: float, view: FloatArray) -> tuple[float, float]:
    """Return the image point of a lens, in focal lengths, of a point in its undistorted plane within its edge."""
    square = x * x + y * y
    k1, k2 = view[FIRST], view[FIRST + 1]
    if view[LENS] == FISHEYE:
        scale = 1 + square * (k1 + square * (k2 + square * (view[FIRST + 2] + square * view[FIRST + 3])))
        return x * scale, y * scale
    p1, p2 = view[FIRST + 2], view[FIRST + 3]
    scale = 1 + square * (k1 + square * (k2 + square * view[FIRST + 4]))
    return (
        x * scale + 2 * p1 * x * y + p2 * (square + 2 * x * x),
        y * scale + p1 * (square + 2 * y * y) + 2 * p2 * x * y,
    )


@compiled
def project_ray(x: float, y: float, z: float, view: FloatArray) -> tuple[float, float]:
    """Return the place u, v [pixels] of a ray (x, y, z) in ``camera_optical``; z > 0 except for a fisheye."""
    if view[LENS] == PINHOLE:
        return view[CENTER_X] + view[FOCAL_X] * x / z, view[CENTER_Y] + view[FOCAL_Y] * y / z
    across = np.sqrt(x * x + y * y)
    radius = np.arctan2(across, z) if view[LENS] == FISHEYE else across / z
    scale = radius / across if across > 0.0 else 0.0
    x, y = x * scale, y * scale
    edge = view[EDGE]
    if radius <= edge:
        x, y = bend(x, y, view)
    else:
        rim_x, rim_y = x * edge / radius, y * edge / radius
        a, b = bend(rim_x, rim_y, view)
        x, y = a + view[SLOPE] * (x - rim_x), b + view[SLOPE] * (y - rim_y)
    return view[CENTER_X] + view[FOCAL_X] * x, view[CENTER_Y] + view[FOCAL_Y] * y


@compiled
def bend_ring(
    corners: FloatArray, count: int, basis: FloatArray, view: FloatArray, ring: FloatArray, first: int
) -> int:
    """Write a ring of straight edges as the lens shows it; return the index past its last corner.

    Args:
        corners: (count, 2) coordinates a, b of the corners; the ray to one is ``basis[0] a + basis[1] b + basis[2]``.
        basis: (3, 3) in ``camera_optical``.
        view: of the camera.
        ring: (N, 2) [pixels], written from ``first`` on; needs ``MAX_PIECES`` times as many places as corners.
    """
    at = first
    for i in range(count):
        j = i + 1 if i + 1 < count else 0
        ax, ay, az = _unit_ray(corners, i, basis)
        bx, by, bz = _unit_ray(corners, j, basis)
        u, v = project_ray(ax, ay, az, view)
        cx, cy, cz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        sine = np.sqrt(cx * cx + cy * cy + cz * cz)
        angle = np.arctan2(sine, ax * bx + ay * by + az * bz)
        ring[at, 0], ring[at, 1] = u, v
        at += 1
        pieces = int(min(max(np.ceil(angle * view[FOCAL_X] / STEP_PX), 1.0), float(MAX_PIECES)))
        for piece in range(1, pieces):
            # Along the great circle in even steps.
            t = angle * piece / pieces
            p, q = np.sin(angle - t) / sine, np.sin(t) / sine
            ring[at, 0], ring[at, 1] = project_ray(p * ax + q * bx, p * ay + q * by, p * az + q * bz, view)
            at += 1
    return at


@inlined
def _unit_ray(corners: FloatArray, i: int, basis: FloatArray) -> tuple[float, float, float]:
    a, b = corners[i, 0], corners[i, 1]
    x = a * basis[0, 0] + b * basis[1, 0] + basis[2, 0]
    y = a * basis[0, 1] + b * basis[1, 1] + basis[2, 1]
    z = a * basis[0, 2] + b * basis[1, 2] + basis[2, 2]
    norm = np.sqrt(x * x + y * y + z * z)
    return x / norm, y / norm, z / norm


def _bound_lens(view: FloatArray, width: int, height: int) -> None:
    """Fill in where a lens's polynomial ends, for a picture of that size [pixels]."""
    across = max(view[CENTER_X] + 0.5, width - 0.5 - view[CENTER_X])
    down = max(view[CENTER_Y] + 0.5, height - 0.5 - view[CENTER_Y])
    corner = EDGE_MARGIN * float(np.hypot(across / view[FOCAL_X], down / view[FOCAL_Y]))
    fisheye = view[LENS] == FISHEYE
    radius = np.linspace(0.0, np.pi if fisheye else max(4.0 * corner, 8.0), 20001)
    square = radius**2
    k = view[FIRST:]
    if fisheye:
        image = radius * (1 + square * (k[0] + square * (k[1] + square * (k[2] + square * k[3]))))
    else:
        image = radius * (1 + square * (k[0] + square * (k[1] + square * k[4])))
    slope = np.gradient(image, radius)
    # The farthest radius up to which magnification stays positive, or where the picture has ended.
    past = np.flatnonzero((slope < 0.05) | (image > corner))
    last = max(int(past[0]) - 1, 1) if len(past) else len(radius) - 1
    view[EDGE], view[SLOPE] = radius[last], max(float(slope[last]), 0.05)


@compiled
def _project_points(points: FloatArray, view: FloatArray) -> FloatArray:
    pixels = np.empty((len(points), 2))
    for i in range(len(points)):
        pixels[i, 0], pixels[i, 1] = project_ray(points[i, 0], points[i, 1], points[i, 2], view)
    return pixels
