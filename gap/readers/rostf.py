"""The tree of coordinate frames that ``/tf`` and ``/tf_static`` tell (REP-105), composed over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...common.geometry import FloatArray
from ..fieldlog import IntArray
from .rostables import Clock, Rows, in_order

CENTRAL = ("map", "odom", "base_link", "base_footprint", "world")
"""Frames whose transforms are kept in full; of others, such as wheels and arms, a sample will do."""
SAMPLE = 10_000
MAX_EDGES = 4000
_STILL = 1e-6
"""Transforms that differ by less [m, quaternion] are the same."""


def base_name(frame: str) -> str:
    """Return a frame without its robot's prefix."""
    return frame.rpartition("/")[2]


def limit_of(parent: str, child: str, most: int) -> int:
    """Return how many rows of a transform are worth keeping."""
    return most if base_name(child) in CENTRAL or base_name(parent) in ("map", "world") else SAMPLE


@dataclass(frozen=True)
class Track:
    """Transforms over time.

    Attributes:
        t_ns: (N,) int64, strictly increasing.
        position: (N, 3) [m].
        turn: (N, 4) unit quaternions xyzw.
    """

    t_ns: IntArray
    position: FloatArray
    turn: FloatArray

    @property
    def fixed(self) -> bool:
        """Whether it never changes."""
        return len(self.t_ns) == 1 or bool(
            (np.ptp(self.position, axis=0) < _STILL).all()
            and (np.abs(np.sum(self.turn * self.turn[0], axis=1)) > 1.0 - _STILL).all()
        )


def rotate(turn: FloatArray, vector: FloatArray) -> FloatArray:
    """Rotate vectors (..., 3) by unit quaternions xyzw (..., 4)."""
    axis, w = turn[..., :3], turn[..., 3:]
    cross = 2.0 * np.cross(axis, vector)
    return np.asarray(vector + w * cross + np.cross(axis, cross))


def multiply(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return the Hamilton product of quaternions xyzw (..., 4): first after second."""
    a, aw = first[..., :3], first[..., 3:]
    b, bw = second[..., :3], second[..., 3:]
    return np.concatenate([aw * b + bw * a + np.cross(a, b), aw * bw - np.sum(a * b, axis=-1, keepdims=True)], axis=-1)


def yaw_of(turn: FloatArray) -> FloatArray:
    """Return the yaw [rad] of quaternions xyzw (..., 4), z up (the last of roll, pitch, yaw)."""
    x, y, z, w = np.moveaxis(turn, -1, 0)
    return np.arctan2(2.0 * (w * z + x * y), 1.0 - 2.0 * (y * y + z * z))


def tilt_of(turn: FloatArray) -> FloatArray:
    """Return the angle [rad] between the body's z axis and the vertical of quaternions xyzw (..., 4)."""
    return np.asarray(np.arccos(np.clip(1.0 - 2.0 * (turn[..., 0] ** 2 + turn[..., 1] ** 2), -1.0, 1.0)))


def sound_poses(values: FloatArray) -> NDArray[np.bool_]:
    """Tell which rows (N, 7) of position and quaternion can be poses."""
    with np.errstate(over="ignore", invalid="ignore"):  # damaged numbers are what this looks for
        length = np.linalg.norm(values[:, 3:], axis=1)
    return np.isfinite(values).all(axis=1) & (np.abs(values[:, :3]) < 1e6).all(axis=1) & (np.abs(length - 1.0) < 0.1)


class Tree:
    """Frames of one robot.

    Args:
        edges: rows (x, y, z, qx, qy, qz, qw) by (parent, child).
        clock: which stamps count.
    """

    def __init__(self, edges: dict[tuple[str, str], Rows], clock: Clock) -> None:
        self._clock = clock
        self._edges = edges
        self._parents: dict[str, str] = {}
        for parent, child in sorted(edges, key=lambda key: edges[key].seen):
            self._parents[child] = parent  # of several parents, the one told most often
        self._tracks: dict[tuple[str, str], Track | None] = {}

    @property
    def frames(self) -> list[str]:
        """All frames, by name."""
        return sorted({*self._parents, *self._parents.values()})

    def above(self, frame: str) -> list[str]:
        """Return the frames from one up to its root, itself first."""
        chain = [frame]
        while chain[-1] in self._parents and self._parents[chain[-1]] not in chain:
            chain.append(self._parents[chain[-1]])
        return chain

    def edge(self, child: str) -> Track | None:
        """Return the transform from a frame's parent to it; None if no row of it is sound."""
        key = (self._parents[child], child)
        if key not in self._tracks:
            rows = self._edges[key]
            values = rows.table()
            ordered = in_order(rows, self._clock, sound_poses(values))
            values = values[ordered.index]
            turn = values[:, 3:] / np.linalg.norm(values[:, 3:], axis=1, keepdims=True)
            self._tracks[key] = Track(ordered.t_ns, values[:, :3], turn) if len(values) else None
        return self._tracks[key]

    def rows(self, child: str) -> Rows:
        """Return the rows as they came of the transform from a frame's parent to it."""
        return self._edges[(self._parents[child], child)]

    def track(self, ancestor: str, child: str) -> Track | None:
        """Return the pose of a frame in one above it, at the stamps of the transform that is told most often.

        Between two transforms, positions are interpolated along the line and turns along the shorter arc; outside the
        time that all moving parts share there is no pose. None where a link is missing.
        """
        chain = self.above(child)
        if ancestor not in chain:
            return None
        links = []
        for frame in chain[: chain.index(ancestor)]:
            link = self.edge(frame)
            if link is None:
                return None
            links.append(link)
        if not links:
            return Track(np.zeros(1, dtype=np.int64), np.zeros((1, 3)), np.array([[0.0, 0.0, 0.0, 1.0]]))
        # Where nothing moves, the robot stood: the transform that is told most often says when.
        moving = [link for link in links if not link.fixed] or [max(links, key=lambda link: len(link.t_ns))]
        finest = max(moving, key=lambda link: len(link.t_ns)).t_ns
        start, end = max(link.t_ns[0] for link in moving), min(link.t_ns[-1] for link in moving)
        t_ns = finest[(finest >= start) & (finest <= end)]
        if len(t_ns) == 0:
            return None
        position = np.zeros((len(t_ns), 3))
        turn = np.tile([0.0, 0.0, 0.0, 1.0], (len(t_ns), 1))
        for link in links:  # from the child upwards
            at, by = _sample(link, t_ns)
            position, turn = at + rotate(by, position), multiply(by, turn)
        return Track(t_ns, position, turn)


def _sample(link: Track, t_ns: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return position (N, 3) and turn (N, 4) of a link at stamps within its time."""
    if link.fixed:
        return np.tile(link.position[0], (len(t_ns), 1)), np.tile(link.turn[0], (len(t_ns), 1))
    if link.t_ns is t_ns:
        return link.position, link.turn
    after = np.clip(np.searchsorted(link.t_ns, t_ns), 1, len(link.t_ns) - 1)
    before = after - 1
    share = ((t_ns - link.t_ns[before]) / (link.t_ns[after] - link.t_ns[before]))[:, None]
    position = (1.0 - share) * link.position[before] + share * link.position[after]
    first, second = link.turn[before], link.turn[after]
    second = np.where(np.sum(first * second, axis=1, keepdims=True) < 0.0, -second, second)
    turn = (1.0 - share) * first + share * second
    return position, turn / np.linalg.norm(turn, axis=1, keepdims=True)
