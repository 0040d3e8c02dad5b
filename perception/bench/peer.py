"""What the benchmark asks of a peer, and how it is checked that a peer sees the same scene as we do."""

from __future__ import annotations

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ...common.errors import FloorcastError
from ...common.geometry import FloatArray
from ...common.primitives import Primitives
from ..config import CameraConfig, Lighting
from ..frames import CameraFrame
from ..scene import Scene
from ..shading import light_table, linear_to_srgb, looks
from .hall import BenchHall

AGREE_M = 0.01
"""Two ranges or depths are the same within this [m]."""
EDGE_M = 0.004
"""How far [m] a ray may be shifted to find the peer's answer at an edge: the error of the triangulation, and beyond the
1 mm within which an iterative ray test stops."""


class PeerUnavailable(FloorcastError):
    """A peer that cannot run here, with the reason."""


@dataclass(frozen=True)
class RayFan:
    """All rays of one scan.

    Attributes:
        origin: (3,) [m] in ``map``. direction: (N, 3) unit vectors in ``map``. reach: longest range [m].
    """

    origin: FloatArray
    direction: FloatArray
    reach: float


@dataclass(frozen=True)
class View:
    """One picture to take: settings, position (3,) [m], axes (3, 3) of ``camera_optical`` in ``map``, and the light."""

    config: CameraConfig
    position: FloatArray
    rotation: FloatArray
    lighting: Lighting


@dataclass(frozen=True)
class PeerPicture:
    """What a peer shows: colour (H, W, 3) uint8, planar depth (H, W) [m] and object ids (H, W).

    Depth is inf, and the row -1, where nothing is. ``row`` names solids by their row in the table of the world (static
    first, then parts); None if the peer cannot tell all of them apart.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[Any]
    row: NDArray[Any] | None


class Peer(ABC):
    """A peer that holds the benchmark's hall. Loose goods rest in it, as they do in the benchmark.

    Rays and views are laid out beforehand and not timed, to the peer's advantage; ``update``, ``cast`` and ``picture``
    are timed. ``ranges`` and ``show`` read the answers for the check, not timed.
    """

    name: ClassVar[str]
    """The word for ``--peer``."""
    scan_label: ClassVar[str | None] = None
    """What makes its scans; None if it makes none."""
    picture_label: ClassVar[str | None] = None
    """What makes its pictures; None if it makes none."""
    shadows: ClassVar[bool] = True
    """Its pictures have shadows."""

    def __init__(self, hall: BenchHall, cores: int) -> None:
        self.hall, self.cores = hall, cores
        self.note = ""
        """How it was used, for the report."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027  (most have nothing to give back)
        """Give back what the peer holds."""

    @abstractmethod
    def update(self, poses: FloatArray) -> None:
        """Place the moving bodies (B, 7); goods among them rest."""

    def lay_out(self, fans: list[RayFan]) -> Any:
        """Return the rays of a batch of scans as ``cast`` takes them."""
        raise PeerUnavailable(f"{self.name} makes no scans")

    def cast(self, rays: Any) -> Any:
        """Cast rays."""
        raise PeerUnavailable(f"{self.name} makes no scans")

    def ranges(self, answer: Any) -> FloatArray:
        """Return the ranges [m] of an answer of ``cast``, of all fans in a row; inf for none."""
        raise PeerUnavailable(f"{self.name} makes no scans")

    @abstractmethod
    def aim(self, view: View) -> Any:
        """Return a view as ``picture`` takes it."""

    @abstractmethod
    def picture(self, aimed: Any) -> Any:
        """Take a picture."""

    @abstractmethod
    def show(self, taken: Any) -> PeerPicture:
        """Return an answer of ``picture`` as arrays."""

    def tune(self, work: Callable[[FloatArray], None]) -> None:  # noqa: B027  (most have nothing to choose)
        """Choose the fastest settings for a piece of work (a function of the bodies' poses)."""


def all_solids(hall: BenchHall) -> tuple[Primitives, Primitives]:
    """Return what rests, static solids and loose goods in ``map``, and what moves, in the bodies' frames.

    Rows of the resting solids and then of the moving ones are those of ``resting_rows`` and ``moving_rows``.
    """
    hall.scene.update(hall.poses[0])
    world = hall.scene.world_primitives()
    return world.take(resting_rows(hall)), hall.parts


def resting_rows(hall: BenchHall) -> NDArray[np.int64]:
    """Return the rows in the world's table of static solids and loose goods."""
    rows = np.arange(len(hall.scene))
    return np.concatenate([rows[: hall.scene.static_count], rows[hall.scene.static_count + len(hall.parts) :]])


def moving_rows(hall: BenchHall) -> NDArray[np.int64]:
    """Return the rows in the world's table of the parts of robots and people."""
    return hall.scene.static_count + np.arange(len(hall.parts))


def pixel_directions(config: CameraConfig) -> FloatArray:
    """Return the directions (H * W, 3) of the pixels in ``camera_optical``, z = 1, row by row."""
    u, v = np.meshgrid(np.arange(config.width), np.arange(config.height))
    x = (u - 0.5 * (config.width - 1)) / config.focal
    y = (v - 0.5 * (config.height - 1)) / config.focal
    return np.stack([x, y, np.ones(x.shape)], axis=-1).reshape(-1, 3)


def ray_agreement(
    scene: Scene, origin: FloatArray, direction: FloatArray, reach: float, expected: ArrayLike
) -> tuple[float, float]:
    """Compare ranges of ours with a peer's, for rays from one point.

    Args:
        scene: to cast into. origin: (3,) [m]. direction: (N, 3) unit vectors. reach: longest range [m].
        expected: (N,) the peer's ranges [m], inf for none.

    Returns:
        Share of rays within 1 cm, and the same with EDGE_M of leave to either side.
    """
    theirs = np.asarray(expected, dtype=np.float64)
    plain = same_range(scene.cast(origin, direction, reach).range, theirs)
    close = plain.copy()
    off = np.flatnonzero(~plain)
    if len(off):
        close[off] = near_edge(scene, origin, direction[off], reach, theirs[off], EDGE_M)
    return float(plain.mean()), float(close.mean())


def near_edge(
    scene: Scene, origin: FloatArray, direction: FloatArray, reach: float, expected: FloatArray, shift: float
) -> NDArray[np.bool_]:
    """Return which expected ranges (N,) [m] a ray gives that is shifted sideways by at most ``shift`` [m].

    Origins are (3,) or (N, 3), directions (N, 3) unit vectors; eight shifts about each ray are tried.
    """
    side = np.cross(direction, [0.0, 0.0, 1.0])
    length = np.linalg.norm(side, axis=1, keepdims=True)
    side = np.where(length > 1e-6, side / np.maximum(length, 1e-9), [1.0, 0.0, 0.0])
    up = np.cross(side, direction)
    found = np.zeros(len(direction), dtype=bool)
    for a in (-shift, 0.0, shift):
        for b in (-shift, 0.0, shift):
            found |= same_range(scene.cast(origin + a * side + b * up, direction, reach).range, expected)
    return found


def same_range(ranges: ArrayLike, expected: ArrayLike) -> NDArray[np.bool_]:
    """Return which ranges [m] agree within 1 cm, or are both inf."""
    mine, other = np.asarray(ranges, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    both = np.isfinite(mine) & np.isfinite(other)
    close = np.abs(np.where(both, mine, 0.0) - np.where(both, other, np.inf)) <= AGREE_M
    return close | (np.isinf(mine) & np.isinf(other))


@dataclass(frozen=True)
class PictureAgreement:
    """Shares of pixels in which a peer's picture and ours are the same; see ``picture_agreement``."""

    depth: float
    depth_near: float
    ids: float
    ids_near: float


def picture_agreement(frame: CameraFrame, scene: Scene, theirs: PeerPicture) -> PictureAgreement:
    """Compare a peer's picture with ours.

    Returns:
        Share of pixels with depth within 1 cm, and the same where the peer's depth lies, within 1 cm, between those of
        our pixel and its eight neighbours (edges of triangulated things, samples half a pixel apart); and the same two
        shares of ids, instance and class together, NaN for a peer without them.
    """
    mine = np.where(np.isfinite(frame.depth), frame.depth, 1e6)
    depth = np.where(np.isfinite(theirs.depth), theirs.depth, 1e6)
    around = _neighbours(mine)
    same = np.abs(mine - depth) <= AGREE_M
    near = (depth >= around.min(axis=0) - AGREE_M) & (depth <= around.max(axis=0) + AGREE_M)
    if theirs.row is None:
        return PictureAgreement(float(same.mean()), float(near.mean()), np.nan, np.nan)
    label = frame.instance.astype(np.int64) * 1000 + frame.semantic
    table = np.append(scene.instance_id.astype(np.int64) * 1000 + scene.class_id, 0)
    other = table[theirs.row]
    same_id = label == other
    near_id = (_neighbours(label) == other).any(axis=0)
    return PictureAgreement(float(same.mean()), float(near.mean()), float(same_id.mean()), float(near_id.mean()))


def _neighbours(image: NDArray[Any]) -> NDArray[Any]:
    padded = np.pad(image, 1, mode="edge")
    height, width = image.shape
    return np.stack([padded[j : j + height, i : i + width] for j in range(3) for i in range(3)])


class Shader:
    """Plain Lambert shading in vectorised float32, for peers that only cast rays: one sun with shadows, ambient light.

    Attributes:
        sun: (3,) float32 unit vector towards the key light.
        albedo: (P + 1, 3) float32, linear, of the rows of the world's table; the last is for nothing.
        encoding: (STEPS + 1,) uint8, sRGB of linear light.
    """

    STEPS = 4095

    def __init__(self, hall: BenchHall, lighting: Lighting) -> None:
        table = light_table(lighting)
        self.sun = table[:3].astype(np.float32)
        self._key, self._ambient = table[3:6].astype(np.float32), (0.5 * (table[6:9] + table[9:12])).astype(np.float32)
        world = hall.scene.world_primitives()
        background = table[12:15].astype(np.float32)
        self.albedo = np.concatenate([looks(world)[:, :3], [[0.0, 0.0, 0.0]]]).astype(np.float32)
        self.encoding = np.rint(linear_to_srgb(np.arange(self.STEPS + 1) / self.STEPS)).astype(np.uint8)
        self._background = self.encoding[np.rint(np.clip(background, 0, 1) * self.STEPS).astype(int)]

    def shade(self, row: NDArray[Any], facing: NDArray[np.float32], lit: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """Return colours (N, 3) uint8 of rows (N,), -1 for none, with n.l (N,) and whether the sun reaches them."""
        level = np.where(lit, np.maximum(facing, np.float32(0.0)), np.float32(0.0))
        light = level[:, None] * self._key + self._ambient
        light *= self.albedo[row]
        light *= np.float32(self.STEPS)
        np.clip(light, 0.0, self.STEPS, out=light)
        color = self.encoding[light.astype(np.int16)]
        color[row < 0] = self._background
        return color


@contextmanager
def _scratch_file(text: str, suffix: str) -> Any:
    with tempfile.NamedTemporaryFile("w", suffix=suffix, prefix="floorcast_bench_") as file:
        file.write(text)
        file.flush()
        yield file.name


def scratch_file(text: str, suffix: str) -> AbstractContextManager[str]:
    """Write a text into a file that lives as long as the context; its name is the context's value."""
    result: AbstractContextManager[str] = _scratch_file(text, suffix)
    return result
