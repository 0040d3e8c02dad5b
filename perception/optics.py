"""Lenses: where a point of the world falls in the picture, and which way each pixel looks.

Conventions are those of OpenCV (module *calib3d*), pixel centres are whole numbers:

- ``perspective``, after Brown, *Close-range camera calibration*, 1971, and Conrady: with x = X / Z, y = Y / Z and
  r^2 = x^2 + y^2, ``x' = x g + 2 p1 x y + p2 (r^2 + 2 x^2)``, ``y' = y g + p1 (r^2 + 2 y^2) + 2 p2 x y``,
  ``g = 1 + k1 r^2 + k2 r^4 + k3 r^6``;
- ``fisheye``, after Kannala and Brandt, *A generic camera model and calibration method for conventional, wide-angle,
  and fish-eye lenses*, 2006: with the angle t from the optical axis,
  ``t' = t (1 + k1 t^2 + k2 t^4 + k3 t^6 + k4 t^8)``, and (x', y') of that length in the direction of (X, Y).

A pixel is ``(u, v) = (f x' + cx, f y' + cy)``. A point at *depth* d in pixel (u, v) is at ``d * ray(u, v)``: rays of
perspective lenses have z = 1, so depth is planar; rays of fisheyes have unit length, so depth is the distance from the
optical centre (planar depth says nothing at 90 degrees and beyond).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.geometry import FloatArray
from .compiled import compiled, inlined

if TYPE_CHECKING:
    from .config import CameraConfig

ITERATIONS = 100
EXACT = 1e-12
"""Newton's method goes on until a step is this small (of the focal length)."""
ACCEPTED = 1e-9
"""Greatest error of an inverse (of the focal length)."""
K1, K2, P1, P2, K3, K4, LIMIT, FISHEYE = range(8)
"""Entries of a lens table: coefficients, the greatest radius or angle that is not folded over, 1 for a fisheye."""
FARTHEST_RADIUS = 1e6
CHECKED = 17
"""A lens is checked at so many places along each side of the picture, and so many rows and columns."""


def lens_table(config: CameraConfig) -> FloatArray:
    """Return the lens (8,) as the kernels read it."""
    fisheye = config.lens == "fisheye"
    series = (config.k1, config.k2, config.k3, config.k4) if fisheye else (config.k1, config.k2, config.k3)
    limit = fold(series, math.pi if fisheye else FARTHEST_RADIUS)
    return np.array([config.k1, config.k2, config.p1, config.p2, config.k3, config.k4, limit, float(fisheye)])


def fold(series: tuple[float, ...], limit: float) -> float:
    """Return the least r up to ``limit`` at which ``r (1 + k1 r^2 + k2 r^4 + ...)`` stops growing; else ``limit``."""
    # Its slope is a polynomial in r^2.
    slope = [1.0, *((2 * i + 3) * k for i, k in enumerate(series))]
    roots = np.roots(slope[::-1])
    real = roots[np.abs(roots.imag) < 1e-9].real
    turning = [math.sqrt(root) for root in real.tolist() if 0.0 < root < limit * limit]
    return min(turning, default=limit)


def is_plain(config: CameraConfig) -> bool:
    """Tell whether the lens is a pinhole: straight lines stay straight."""
    return config.lens == "perspective" and not any((config.k1, config.k2, config.k3, config.p1, config.p2))


def project(points: ArrayLike, config: CameraConfig) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return where points fall in the picture.

    Args:
        points: (N, 3) [m] in ``camera_optical``. config: the camera.

    Returns:
        Pixels (N, 2) u, v, also outside of the picture; and whether the lens images each point at all (N,): it lies in
        front of a perspective lens, within the radius or angle that the distortion does not fold over. The others' are
        NaN.
    """
    xyz = np.ascontiguousarray(points, dtype=np.float64).reshape(-1, 3)
    pixels, seen = np.empty((len(xyz), 2)), np.empty(len(xyz), np.bool_)
    _project(xyz, lens_table(config), config.focal, *config.center, pixels, seen)
    return pixels, seen


def unproject(pixels: ArrayLike, config: CameraConfig) -> FloatArray:
    """Return the rays (N, 3) of pixels (N, 2) u, v in ``camera_optical``: z = 1 for perspective lenses, of unit length
    for fisheyes; NaN where the lens images nothing."""
    uv = np.ascontiguousarray(pixels, dtype=np.float64).reshape(-1, 2)
    rays = np.empty((len(uv), 3))
    _unproject(uv, lens_table(config), config.focal, *config.center, rays)
    return rays


def pixel_rays(config: CameraConfig, samples: int = 1) -> FloatArray:
    """Return the rays (H * samples, W * samples, 3) of a grid of samples that splits each pixel evenly."""
    width, height = config.width * samples, config.height * samples
    u = (np.arange(width) + 0.5) / samples - 0.5
    v = (np.arange(height) + 0.5) / samples - 0.5
    grid = np.stack(np.broadcast_arrays(u[None, :], v[:, None]), axis=-1)
    return unproject(grid.reshape(-1, 2), config).reshape(height, width, 3)


def check_lens(config: CameraConfig) -> None:
    """Check that a lens images the field it claims, one to one.

    Raises:
        ValueError: the distortion folds inside the picture (perspective), or inside ``horizontal_fov`` (fisheye).
    """
    if is_plain(config):
        return
    names = "k1, k2, k3, p1, p2" if config.lens == "perspective" else "k1, k2, k3, k4"
    if config.lens == "fisheye":
        if fold((config.k1, config.k2, config.k3, config.k4), math.pi) <= 0.5 * config.horizontal_fov:
            raise ValueError(f"the distortion {names} folds the picture within horizontal_fov: give smaller values")
        return
    u = np.linspace(-0.5, config.width - 0.5, CHECKED)
    v = np.linspace(-0.5, config.height - 0.5, CHECKED)
    rays = unproject(np.stack(np.meshgrid(u, v), axis=-1).reshape(-1, 2), config)
    if not np.isfinite(rays).all():
        raise ValueError(f"the distortion {names} folds the picture before its edge: give smaller values")


@inlined
def distort(lens: FloatArray, x: float, y: float) -> tuple[float, float, float, float, float]:
    """Return the distorted place of a point on the plane z = 1, and dx'/dx, dx'/dy (= dy'/dx), dy'/dy."""
    k1, k2, k3, p1, p2 = lens[K1], lens[K2], lens[K3], lens[P1], lens[P2]
    s = x * x + y * y
    g = 1.0 + s * (k1 + s * (k2 + s * k3))
    slope = k1 + s * (2.0 * k2 + s * 3.0 * k3)
    dx = x * g + 2.0 * p1 * x * y + p2 * (s + 2.0 * x * x)
    dy = y * g + p1 * (s + 2.0 * y * y) + 2.0 * p2 * x * y
    a = g + 2.0 * x * x * slope + 2.0 * p1 * y + 6.0 * p2 * x
    b = 2.0 * x * y * slope + 2.0 * p1 * x + 2.0 * p2 * y
    d = g + 2.0 * y * y * slope + 6.0 * p1 * y + 2.0 * p2 * x
    return dx, dy, a, b, d


@inlined
def bent(lens: FloatArray, r: float) -> tuple[float, float]:
    """Return the distorted radius (perspective, without p1 and p2) or angle (fisheye), and its slope."""
    s = r * r
    if lens[FISHEYE] > 0.0:
        value = 1.0 + s * (lens[K1] + s * (lens[K2] + s * (lens[K3] + s * lens[K4])))
        slope = 1.0 + s * (3.0 * lens[K1] + s * (5.0 * lens[K2] + s * (7.0 * lens[K3] + s * 9.0 * lens[K4])))
    else:
        value = 1.0 + s * (lens[K1] + s * (lens[K2] + s * lens[K3]))
        slope = 1.0 + s * (3.0 * lens[K1] + s * (5.0 * lens[K2] + s * 7.0 * lens[K3]))
    return r * value, slope


@inlined
def unbent(lens: FloatArray, radius: float) -> float:
    """Return the r with ``bent(r) = radius``, NaN if there is none.

    Newton's method, kept in a bracket that each step narrows (Press et al., *Numerical Recipes*, 9.4): up to the fold
    the function grows, so it always converges.
    """
    low, high = 0.0, lens[LIMIT]
    most, _ = bent(lens, high)
    if radius > most:
        return np.nan
    r = min(radius, high)
    for _ in range(ITERATIONS):
        value, slope = bent(lens, r)
        if value > radius:
            high = r
        else:
            low = r
        following = r - (value - radius) / slope if slope > 0.0 else -1.0
        if not (following > low and following < high):
            following = 0.5 * (low + high)
        step = abs(following - r)
        r = following
        if step <= EXACT * (1.0 + r) * 0.1:
            break
    return r


@inlined
def undistort(lens: FloatArray, dx: float, dy: float) -> tuple[float, float]:
    """Return the point on the plane z = 1 that ``distort`` takes to (dx, dy); NaN if there is none before the fold."""
    radius = np.sqrt(dx * dx + dy * dy)
    r = unbent(lens, radius)
    if lens[P1] == 0.0 and lens[P2] == 0.0:
        scale = r / radius if radius > 0.0 else 1.0
        return dx * scale, dy * scale
    scale = r / radius if radius > 0.0 else 1.0
    if not np.isfinite(scale):
        scale = 0.99 * lens[LIMIT] / radius
    x, y = dx * scale, dy * scale
    # From the radial answer Newton's method in two dimensions, its steps halved until each of them helps.
    fx, fy, a, b, d = distort(lens, x, y)
    error = abs(fx - dx) + abs(fy - dy)
    for _ in range(ITERATIONS):
        determinant = a * d - b * b
        if error <= EXACT or determinant <= 0.0:
            break
        ex, ey = fx - dx, fy - dy
        sx, sy = (d * ex - b * ey) / determinant, (a * ey - b * ex) / determinant
        part = 1.0
        while part > 1e-4:
            fx, fy, a, b, d = distort(lens, x - part * sx, y - part * sy)
            if abs(fx - dx) + abs(fy - dy) < error:
                break
            part *= 0.5
        if part <= 1e-4:
            fx, fy, a, b, d = distort(lens, x, y)
            break
        x, y, error = x - part * sx, y - part * sy, abs(fx - dx) + abs(fy - dy)
    if error > ACCEPTED or a * d - b * b <= 0.0 or x * x + y * y > lens[LIMIT] ** 2:
        return np.nan, np.nan
    return x, y


@inlined
def project_point(lens: FloatArray, x: float, y: float, z: float) -> tuple[float, float]:
    """Return the place (of the focal length) of a point in ``camera_optical``; NaN if the lens does not image it."""
    if lens[FISHEYE] > 0.0:
        radius = np.sqrt(x * x + y * y)
        angle = np.arctan2(radius, z)
        if not angle <= lens[LIMIT]:
            return np.nan, np.nan
        value, _ = bent(lens, angle)
        scale = value / radius if radius > 0.0 else 0.0
        return x * scale, y * scale
    if not z > 0.0:
        return np.nan, np.nan
    x, y = x / z, y / z
    if x * x + y * y > lens[LIMIT] ** 2:
        return np.nan, np.nan
    dx, dy, _, _, _ = distort(lens, x, y)
    return dx, dy


@inlined
def ray_of(lens: FloatArray, dx: float, dy: float) -> tuple[float, float, float]:
    """Return the ray of a place (of the focal length) in the picture; NaN if the lens images nothing there."""
    if lens[FISHEYE] > 0.0:
        radius = np.sqrt(dx * dx + dy * dy)
        angle = unbent(lens, radius)
        scale = np.sin(angle) / radius if radius > 0.0 else 1.0
        return dx * scale, dy * scale, np.cos(angle)
    x, y = undistort(lens, dx, dy)
    return x, y, (1.0 if np.isfinite(x) else np.nan)


@compiled
def _project(
    points: FloatArray,
    lens: FloatArray,
    focal: float,
    cx: float,
    cy: float,
    pixels: FloatArray,
    seen: NDArray[np.bool_],
) -> None:
    for n in range(len(points)):
        x, y = project_point(lens, points[n, 0], points[n, 1], points[n, 2])
        seen[n] = np.isfinite(x) and np.isfinite(y)
        pixels[n, 0], pixels[n, 1] = focal * x + cx, focal * y + cy


@compiled
def _unproject(pixels: FloatArray, lens: FloatArray, focal: float, cx: float, cy: float, rays: FloatArray) -> None:
    for n in range(len(pixels)):
        rays[n, 0], rays[n, 1], rays[n, 2] = ray_of(lens, (pixels[n, 0] - cx) / focal, (pixels[n, 1] - cy) / focal)
