"""What the lidar sees that is not on the map: things that stay and things that move.

Scans are kept in the ``odom`` frame, which drifts but never jumps, so that the error of localisation does not look
like motion; they are put into ``map`` with the newest estimate. SI units.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import compose, relative
from ..common.kernels import compiled
from ..robots.model import SensorMount
from .planner import NavigationMap

FloatArray = NDArray[np.float64]

SIGHT = 8.0
"""Farther away, points are not looked at: beams are too far apart and the error in yaw too large [m]."""
_EXPLAINED = 0.22
"""A point this near to something on the map [m] belongs to it (map and localisation error) ..."""
_EXPLAINED_PER_METRE = 0.012
"""... and this much more for each metre of range."""
_SPLIT = 0.35
"""Neighbouring points farther apart than this belong to different things [m]."""
_GATE, _GATE_PER_SECOND = 0.45, 0.75
"""A thing is found again within this distance of where it should be [m, m/s]."""
_LARGEST_MOVER = 1.6
"""[m]"""
_PERSON_SIZE = 0.5
"""What is unknown and looks no larger than this [m] may be the legs of a person ..."""
PERSON_GIRTH = 0.12
"""... whose body stands out this far beyond them [m]."""
_OTHER_GIRTH = 0.03
"""[m]"""
_WALKED = 10.0
"""So long after it last moved, something the size of a person counts as one that may walk on any moment [s]."""
WALKING = 1.2
"""Speed at which somebody who walks may turn towards the robot [m/s] ..."""
STANDING = 0.5
"""... and what is reckoned with from somebody who stands or goes away [m/s]."""
_CELL = 0.1
_OFFSET = 100_000
_CONFIRMED = 3.0
_MOST = 12.0
_FAMILIAR = 4.0
"""Where something was seen as often as this, it stays: what is seen there again is no mover, however it may look."""
_MEMORY = 45.0
"""Things out of sight are forgotten after this time [s]."""


@dataclass
class Track:
    """Something followed from scan to scan, in ``odom``.

    Attributes:
        position: (2,) [m], middle of the visible side; velocity: (2,) [m/s]; first: (2,) where it was first seen.
        seen: number of scans; missed: scans in a row without it.
        size: largest visible extent [m].
        moved: when it last moved [s].
    """

    position: FloatArray
    velocity: FloatArray
    first: FloatArray
    seen: int = 1
    missed: int = 0
    size: float = 0.0
    moved: float = -math.inf

    @property
    def moves(self) -> bool:
        """Whether it is taken to be moving: long enough in sight, fast enough, and really elsewhere than at first."""
        speed = math.hypot(self.velocity[0], self.velocity[1])
        return self.seen >= 3 and speed > 0.25 and self.gone > 0.2

    @property
    def gone(self) -> float:
        """Distance from where it was first seen, or last stood [m]."""
        return math.hypot(self.position[0] - self.first[0], self.position[1] - self.first[1])


@dataclass
class ObstacleLayer:
    """Follows movers and remembers things that stay.

    Attributes:
        nav: the map that explains most points.
        mount: of the lidar on the robot.
        angles: (B,) beam angles [rad].
        blind_half_length, blind_half_width: points within this rectangle about base_link are the robot itself [m].
        points: (N, 2) newest scan in ``odom``; velocity: (N, 2) of the thing each belongs to, 0 for what stays;
            girth: (N,) [m] how far that thing may stand out beyond the point; unknown: (N,) not on the map;
            alert: (N,) speed [m/s] at which that thing may come towards the robot all of a sudden, because it is of a
            person's size and moves or did a moment ago; 0 for everything else.
    """

    nav: NavigationMap
    mount: SensorMount
    angles: FloatArray
    blind_half_length: float
    blind_half_width: float
    points: FloatArray = field(default_factory=lambda: np.empty((0, 2)))
    velocity: FloatArray = field(default_factory=lambda: np.empty((0, 2)))
    girth: FloatArray = field(default_factory=lambda: np.empty(0))
    unknown: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=bool))
    alert: FloatArray = field(default_factory=lambda: np.empty(0))
    returns: float = 1.0
    scan_time: float = -math.inf
    _odom: FloatArray = field(default_factory=lambda: np.zeros(3))
    _history: deque[tuple[float, FloatArray]] = field(default_factory=lambda: deque(maxlen=64))
    _tracks: list[Track] = field(default_factory=list)
    _cells: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    _score: FloatArray = field(default_factory=lambda: np.empty(0))
    _last: FloatArray = field(default_factory=lambda: np.empty(0))
    _girth: FloatArray = field(default_factory=lambda: np.empty(0))
    _placed: tuple[FloatArray, float, FloatArray, FloatArray] | None = None

    def update(
        self,
        time: float,
        pose: FloatArray,
        velocity: FloatArray,
        scan: NDArray[np.float32],
        scan_time: float,
    ) -> None:
        """Take in an observation: pose (3,) in ``map``, velocity (2,), scan (B,) [m] taken at ``scan_time`` [s]."""
        if self._history:
            period = time - self._history[-1][0]
            turn = float(velocity[1]) * period
            step = float(velocity[0]) * period
            middle = 0.5 * turn
            self._odom = compose(self._odom, (step * math.cos(middle), step * math.sin(middle), turn))
        self._history.append((time, self._odom))
        if scan_time <= self.scan_time:
            return
        elapsed = min(scan_time - self.scan_time, 1.0)
        self.scan_time = scan_time
        ranges = np.asarray(scan, dtype=np.float64)
        self.returns = float(np.count_nonzero(np.isfinite(ranges))) / max(1, len(ranges))
        then = self._odom_at(scan_time)
        # The estimate is of now, the scan of a moment ago: go back by what odometry says.
        pose_then = compose(pose, relative(self._odom, then))
        base = _scan_points(ranges, self.angles, self.mount.x, self.mount.y, self.mount.yaw, SIGHT)
        itself = (np.abs(base[:, 0]) < self.blind_half_length) & (np.abs(base[:, 1]) < self.blind_half_width)
        base = base[~itself]
        seen = _place(base, then)
        on_map = _place(base, pose_then)
        distance = np.hypot(base[:, 0], base[:, 1])
        unknown = self.nav.clearance_at(on_map) > _EXPLAINED + _EXPLAINED_PER_METRE * distance
        self.points = seen
        self.velocity = np.zeros_like(seen)
        self.girth = np.zeros(len(seen))
        self.unknown = unknown
        self.alert = np.zeros(len(seen))
        moving = self._follow(seen, unknown, self._familiar(on_map), elapsed)
        stays = unknown & ~moving
        self._remember(on_map[stays], self.girth[stays], pose_then, ranges, scan_time)

    def in_map(self, pose: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the newest scan's points (N, 2) [m] and their velocities (N, 2) [m/s] in ``map``, moved on to now."""
        now = self._history[-1][0]
        if self._placed is None or self._placed[0] is not pose or self._placed[1] != now:
            anchor = compose(pose, relative(self._odom, np.zeros(3)))
            points = _place(self.points + (now - self.scan_time) * self.velocity, anchor)
            velocity = _place(self.velocity, np.array([0.0, 0.0, anchor[2]]))
            self._placed = (pose, now, points, velocity)
        return self._placed[2], self._placed[3]

    def movers(self, pose: FloatArray) -> FloatArray:
        """Return x, y [m], vx, vy [m/s] and size [m] in ``map`` of everything that moves now, (M, 5)."""
        found = [track for track in self._tracks if track.moves and track.missed <= 1]
        if not found:
            return np.empty((0, 5))
        anchor = compose(pose, relative(self._odom, np.zeros(3)))
        at = _place(np.array([track.position for track in found]), anchor)
        velocity = _place(np.array([track.velocity for track in found]), np.array([0.0, 0.0, anchor[2]]))
        return np.column_stack([at, velocity, [track.size for track in found]])

    def staying(self) -> FloatArray:
        """Return x, y and girth (N, 3) [m] of cells in ``map`` that hold something that stays and is not on the map."""
        sure = self._score >= _CONFIRMED
        return np.column_stack([_centres(self._cells[sure]), self._girth[sure]])

    def _odom_at(self, time: float) -> FloatArray:
        later = self._history[-1]
        for entry in reversed(self._history):
            if entry[0] <= time:
                if later[0] <= entry[0]:
                    return entry[1]
                share = (time - entry[0]) / (later[0] - entry[0])
                return compose(entry[1], share * relative(entry[1], later[1]))
            later = entry
        return later[1]

    def _familiar(self, points: FloatArray) -> NDArray[np.bool_]:
        """Whether points (N, 2) [m] in ``map`` lie in cells that hold something that stays."""
        if len(self._cells) == 0:
            return np.zeros(len(points), dtype=bool)
        key = _keys(points)
        at = np.minimum(np.searchsorted(self._cells, key), len(self._cells) - 1)
        return (self._cells[at] == key) & (self._score[at] >= _FAMILIAR)

    def _follow(
        self,
        points: FloatArray,
        unknown: NDArray[np.bool_],
        familiar: NDArray[np.bool_],
        elapsed: float,
    ) -> NDArray[np.bool_]:
        """Match clusters of unknown points with tracks; return which points (N,) belong to movers."""
        label, count = _clusters(points, unknown, _SPLIT)
        moving = np.zeros(len(points), dtype=bool)
        for known in self._tracks:
            known.position = known.position + known.velocity * elapsed
            known.missed += 1
        free = list(self._tracks)
        for k in range(count):
            members = label == k
            cluster = points[members]
            low, high = cluster.min(axis=0), cluster.max(axis=0)
            size = math.hypot(high[0] - low[0], high[1] - low[1])
            self.girth[members] = PERSON_GIRTH if size < _PERSON_SIZE else _OTHER_GIRTH
            if len(cluster) < 2 or size > _LARGEST_MOVER:
                continue
            middle = 0.5 * (low + high)
            found = _take_nearest(free, middle, _GATE + _GATE_PER_SECOND * elapsed)
            if found is None:
                self._tracks.append(Track(middle, np.zeros(2), middle, size=size))
                continue
            track = found
            error = middle - track.position
            track.position = track.position + 0.55 * error
            track.velocity = track.velocity + 0.25 / max(elapsed, 1e-3) * error
            track.seen += 1
            track.missed = 0
            track.size = size
            if np.mean(familiar[members]) > 0.5:
                # Only the view of it changes: the visible part of what stands still wanders as the robot drives by.
                track.velocity = 0.5 * track.velocity
                track.first = track.position
            if track.moves:
                if track.gone > 0.5:
                    track.moved = self.scan_time
                moving |= members
                self.velocity[members] = track.velocity
            self.alert[members] = self._alertness(track)
        self._tracks = [track for track in self._tracks if track.missed <= 4]
        return moving

    def _alertness(self, track: Track) -> float:
        since = self.scan_time - track.moved
        if track.size >= _PERSON_SIZE or since > _WALKED:
            return 0.0
        away = track.position - self._odom[:2]
        leaves = float(away @ track.velocity) > 0.5 * math.hypot(*away) * math.hypot(*track.velocity)
        return STANDING if since > 0.7 or (track.moves and leaves) else WALKING

    def _remember(
        self, points: FloatArray, girth: FloatArray, pose: FloatArray, ranges: FloatArray, time: float
    ) -> None:
        """Count cells up where something is seen, and down where a beam passes through."""
        cells, inverse = np.unique(np.concatenate([self._cells, _keys(points)]), return_inverse=True)
        merged, newest, thick = np.zeros(len(cells)), np.full(len(cells), -np.inf), np.zeros(len(cells))
        np.add.at(merged, inverse[: len(self._cells)], self._score)
        np.maximum.at(newest, inverse, np.concatenate([self._last, np.full(len(points), time)]))
        np.maximum.at(thick, inverse, np.concatenate([self._girth, girth]))
        struck = np.zeros(len(cells), dtype=bool)
        struck[inverse[len(self._cells) :]] = True
        laser = compose(pose, (self.mount.x, self.mount.y, self.mount.yaw))
        through = _passed_through(_centres(cells), laser, self.angles, ranges, _CELL)
        merged = np.minimum(merged + struck - 1.5 * (through & ~struck), _MOST)
        kept = (merged > 0) & (time - newest < _MEMORY)
        self._cells, self._score, self._last, self._girth = cells[kept], merged[kept], newest[kept], thick[kept]


def _keys(points: FloatArray) -> NDArray[np.int64]:
    """Number the memory cells that points (N, 2) [m] lie in; halls reach less than 10 km either way."""
    cell = np.floor(points / _CELL).astype(np.int64) + _OFFSET
    return cell[:, 0] * (2 * _OFFSET) + cell[:, 1]


def _centres(keys: NDArray[np.int64]) -> FloatArray:
    """Return the centres (N, 2) [m] of numbered cells."""
    return (np.column_stack(np.divmod(keys, 2 * _OFFSET)) - _OFFSET + 0.5) * _CELL


def _take_nearest(tracks: list[Track], middle: FloatArray, gate: float) -> Track | None:
    best, distance = -1, gate
    for index, track in enumerate(tracks):
        away = math.hypot(track.position[0] - middle[0], track.position[1] - middle[1])
        if away < distance:
            best, distance = index, away
    return tracks.pop(best) if best >= 0 else None


def _place(points: FloatArray, pose: FloatArray) -> FloatArray:
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    return points @ np.array([[cos, sin], [-sin, cos]]) + pose[:2]


@compiled
def _scan_points(ranges: FloatArray, angles: FloatArray, x: float, y: float, yaw: float, sight: float) -> FloatArray:
    """Points (N, 2) [m] in ``base_link`` of the beams that come back from within ``sight`` [m], in beam order."""
    out = np.empty((len(ranges), 2))
    count = 0
    for i in range(len(ranges)):
        if 0.0 < ranges[i] < sight:
            out[count, 0] = x + ranges[i] * math.cos(yaw + angles[i])
            out[count, 1] = y + ranges[i] * math.sin(yaw + angles[i])
            count += 1
    return out[:count]


@compiled
def _clusters(points: FloatArray, chosen: NDArray[np.bool_], split: float) -> tuple[NDArray[np.int64], int]:
    """Label (N,) runs of chosen points in beam order that lie within ``split`` [m] of the one before; -1 elsewhere."""
    label = np.full(len(points), -1, dtype=np.int64)
    count = 0
    before = -1
    for i in range(len(points)):
        if not chosen[i]:
            continue
        if before < 0 or math.hypot(points[i, 0] - points[before, 0], points[i, 1] - points[before, 1]) > split:
            count += 1
        label[i] = count - 1
        before = i
    if count > 1 and before >= 0:
        # The first and the last run may be one thing behind the robot, where the beams begin and end.
        first = 0
        while label[first] < 0:
            first += 1
        if math.hypot(points[first, 0] - points[before, 0], points[first, 1] - points[before, 1]) <= split:
            for i in range(len(points)):
                if label[i] == count - 1:
                    label[i] = 0
            count -= 1
    return label, count


@compiled
def _passed_through(
    centres: FloatArray, laser: FloatArray, angles: FloatArray, ranges: FloatArray, cell: float
) -> NDArray[np.bool_]:
    """Whether the beam towards each cell (N, 2) [m] came back from clearly behind it.

    A beam that does not come back says nothing: dropout looks the same.
    """
    out = np.zeros(len(centres), dtype=np.bool_)
    beams = len(angles)
    if beams < 2:
        return out
    step = (angles[beams - 1] - angles[0]) / (beams - 1)
    for i in range(len(centres)):
        dx, dy = centres[i, 0] - laser[0], centres[i, 1] - laser[1]
        distance = math.sqrt(dx * dx + dy * dy)
        off = (math.atan2(dy, dx) - laser[2] - angles[0]) % (2.0 * math.pi)
        beam = round(off / step)
        if beam == beams and off > 2.0 * math.pi - step:
            beam = 0
        if beam >= beams:
            continue
        if math.isfinite(ranges[beam]) and ranges[beam] > distance + 1.5 * cell + 0.01 * distance:
            out[i] = True
    return out
