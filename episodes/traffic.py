"""Room for several robots: places out of everybody's way, aisles that hold so many, robots that block each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from scipy.ndimage import distance_transform_edt

from ..layouts.model import Aisle
from .routes import FloatArray, Ground, distance_field, shortest_path

_OFF_STATIONS = 1.8
"""A refuge lies so far from every station and charger [m]."""
_APART = 2.2
"""Refuges lie so far from each other [m]."""
_OFF_WAYS = 3.0
"""Farther from the ways between stations than this, one refuge is as good as another [m]."""
_MOST_WAYS = 400
"""Ways between stations that are looked at."""

BLOCKED_AFTER = 20.0
"""A robot with a goal that has come no farther for so long is blocked [s]."""
_PROGRESS, _TURN = 0.5, 0.8
"""What counts as having come farther [m, rad]."""
_NEAR = 4.0
"""Blocked robots nearer to each other than this block each other [m]."""
_ALONE = 40.0
"""Blocked so long with nobody blocked near by, a robot withdraws as well [s]."""
_AWAY = 30.0
_REST = 8.0
"""A robot that withdraws drives away for at most so long, and then rests [s]."""

_FORESEEN = 2.5
"""So far ahead robots that drive are watched for meeting each other [s]."""
_LEAST_GAP = 0.35
"""Robots that would pass each other with less between their circles than this are kept apart [m]."""
_WATCHED = 6.0
"""Robots farther from each other than this have nothing to do with each other [m]."""
_TURNING_GAP = 0.1
"""Two robots need this between their circles to turn at the same time [m]."""
_BESIDE = 0.3
"""A robot drives behind another one if it is off its line by less than both circles' radii less this [m]."""
_REACTION, _BRAKING = 0.6, 1.5
"""Time until a robot that is held brakes [s], and how hard [m/s^2]."""
_FAST = 0.15
"""A slower robot counts as standing [m/s]: to drive round it is the others' own business."""
_HOLD = 1.2
_MOST_HOLD = 6.0
"""A robot that has to let another one pass is held at least, and in one go at most, so long [s]."""


class Ways:
    """Lengths of the shortest ways to places, each field computed once.

    Args:
        ground: where a robot's centre may be.
    """

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self._fields: dict[tuple[float, float], np.ndarray] = {}

    def field(self, target: FloatArray) -> np.ndarray:
        """Return the distances (H, W) float32 [m] to a place x, y [m]."""
        key = (float(target[0]), float(target[1]))
        if key not in self._fields:
            self._fields[key] = distance_field(self.ground, np.asarray(target[:2])).astype(np.float32)
        return self._fields[key]

    def length(self, start: FloatArray, target: FloatArray) -> float:
        """Return the length [m] of the shortest way; inf if there is none."""
        cell = self.ground.nearest_free(start)
        return math.inf if cell is None else float(self.field(target)[cell])


def find_refuges(ways: Ways, places: Sequence[FloatArray], radius: float, count: int) -> list[FloatArray]:
    """Return places to wait at: off the ways between ``places`` where there is room, near none of them, apart.

    Args:
        ways: of the hall.
        places: stations and chargers (3,) x, y [m], yaw.
        radius: of the robots [m].
        count: how many are wanted; fewer come back from a hall without room.
    """
    ground = ways.ground
    reachable = np.isfinite(ways.field(places[0]))
    room = reachable & (ground.clearance > radius + 0.2)
    rows, columns = np.nonzero(room)
    points = ground.origin + (np.column_stack([columns, rows]) + 0.5) * ground.resolution
    free = np.ones(len(points), dtype=np.bool_)
    for place in places:
        free &= np.hypot(*(points - place[:2]).T) > _OFF_STATIONS
    points, rows, columns = points[free], rows[free], columns[free]
    away = _off_ways(ways, places)[rows, columns]
    chosen: list[FloatArray] = []
    for k in np.argsort(-np.minimum(away, _OFF_WAYS), kind="stable"):
        if len(chosen) >= count:
            break
        if all(math.hypot(points[k, 0] - other[0], points[k, 1] - other[1]) >= _APART for other in chosen):
            chosen.append(np.array([points[k, 0], points[k, 1], 0.0]))
    return chosen


def _off_ways(ways: Ways, places: Sequence[FloatArray]) -> FloatArray:
    """Return how far each cell (H, W) is from the shortest ways between places [m]."""
    ground = ways.ground
    busy = np.zeros(ground.free.shape, dtype=np.bool_)
    pairs = [(a, b) for a in range(len(places)) for b in range(a)]
    step = max(1, len(pairs) // _MOST_WAYS)
    for a, b in pairs[::step]:
        path = shortest_path(ground, ways.field(places[a]).astype(np.float64), places[b][:2], places[a][:2])
        if path is None:
            continue
        for start, end in pairwise(path):
            pieces = max(1, math.ceil(float(np.hypot(*(end - start))) / ground.resolution))
            for share in np.arange(pieces + 1) / pieces:
                busy[ground.cell(start + share * (end - start))] = True
    if not busy.any():
        return np.full(busy.shape, _OFF_WAYS)
    return np.asarray(distance_transform_edt(~busy) * ground.resolution)


def aisle_room(aisle: Aisle, robot_width: float) -> int:
    """Return how many robots may have business in an aisle at once: as many as fit side by side, at least one."""
    return max(1, math.floor((aisle.width - 0.3) / (robot_width + 0.3)))


def aisle_at(aisles: Sequence[Aisle], point: FloatArray) -> Aisle | None:
    """Return the aisle that a point x, y [m] lies in; the first of several."""
    for aisle in aisles:
        start, end = np.array(aisle.start), np.array(aisle.end)
        along = end - start
        length = float(np.hypot(*along))
        if length < 1e-9:
            continue
        offset = np.asarray(point[:2]) - start
        share = float(offset @ along) / length
        across = abs(float(along[0] * offset[1] - along[1] * offset[0])) / length
        if 0.0 <= share <= length and across <= 0.5 * aisle.width:
            return aisle
    return None


@dataclass
class Progress:
    """Whether a robot gets on.

    Attributes:
        place: (3,) pose from which it has come no farther; since: when it was there first [s].
        detour: where it withdraws to, if it does; until: when that ends [s]; resting: whether it stands and waits.
        attempts: how often it has withdrawn since it last reached a goal.
        held_since, held_until: while it lets another one pass [s].
    """

    place: FloatArray = field(default_factory=lambda: np.zeros(3))
    since: float = 0.0
    detour: FloatArray | None = None
    until: float = 0.0
    resting: bool = False
    attempts: int = 0
    held_since: float = -math.inf
    held_until: float = -math.inf

    def held(self, time: float) -> bool:
        """Whether the robot has to let another one pass now."""
        return time < self.held_until

    def hold(self, time: float) -> None:
        """Let another one pass."""
        if not self.held(time):
            # Held for long, it may go first for a while.
            if time - self.held_until < _HOLD and time - self.held_since > _MOST_HOLD:
                return
            if time - self.held_until > _HOLD:
                self.held_since = time
        elif time - self.held_since > _MOST_HOLD:
            return
        self.held_until = time + _HOLD

    def note(self, time: float, pose: FloatArray, has_goal: bool) -> None:
        """Take note of where the robot is now, (3,) x, y [m], yaw [rad]."""
        turned = abs((pose[2] - self.place[2] + math.pi) % (2.0 * math.pi) - math.pi)
        moved = math.hypot(pose[0] - self.place[0], pose[1] - self.place[1])
        if not has_goal or moved > _PROGRESS or turned > _TURN:
            self.place, self.since = np.array(pose, dtype=np.float64), time

    def blocked(self, time: float) -> float:
        """Return for how long the robot has come no farther [s]."""
        return time - self.since

    def withdraw(self, time: float, refuge: FloatArray, pose: FloatArray) -> None:
        """Drive to a refuge (3,) and wait there a while."""
        self.detour, self.until, self.resting = refuge, time + _AWAY, False
        self.attempts += 1
        self.place, self.since = np.array(pose, dtype=np.float64), time

    def rest(self, time: float) -> None:
        """Stand where the robot is and wait."""
        self.resting, self.until = True, time + _REST

    def resume(self, time: float) -> None:
        """Go on with what was to be done."""
        self.detour, self.resting, self.since = None, False, time


class TrafficWatch:
    """Finds robots that block each other, and sends one of them out of the way.

    Args:
        refuges: places to wait at, (3,) each.
        radius: of the robots [m].
    """

    def __init__(self, refuges: Sequence[FloatArray], radius: float) -> None:
        self._refuges, self._radius = list(refuges), radius
        self._locked: set[tuple[int, int]] = set()
        self.deadlocks = 0
        """Times that two robots have blocked each other so far."""
        self.withdrawals = 0

    def keep_apart(
        self,
        time: float,
        pose: FloatArray,
        velocity: FloatArray,
        progress: Sequence[Progress],
        driving: Sequence[bool],
        rank: Sequence[int],
    ) -> None:
        """Hold one of two robots that would come too near to each other; see ``look`` for the arguments.

        Of two so near that they cannot both turn, only one moves. Who could not stop behind the other, if that one
        stopped at once, waits. And if the two, going on as they do, would pass each other too closely, the one waits
        that has the other before it; if both have, or neither, the one of lower rank.

        Args:
            velocity: (R, 2) v [m/s], omega [rad/s].
        """
        heading = np.column_stack([np.cos(pose[:, 2]), np.sin(pose[:, 2])])
        for a in range(len(pose)):
            for b in range(a):
                if not (driving[a] and driving[b]):
                    continue
                apart = pose[b, :2] - pose[a, :2]
                if float(apart @ apart) > _WATCHED**2:
                    continue
                for waits in self._who_waits(a, b, apart, heading, velocity[:, 0], rank):
                    progress[waits].hold(time)

    def _who_waits(
        self, a: int, b: int, apart: FloatArray, heading: FloatArray, speed: FloatArray, rank: Sequence[int]
    ) -> list[int]:
        """Return who of two robots that drive has to wait; ``apart`` leads from the first to the second [m]."""
        lower = a if (rank[a], -a) < (rank[b], -b) else b
        if math.hypot(*apart) < 2.0 * self._radius + _TURNING_GAP:
            return [lower]
        behind = [
            r for r, ahead in ((a, apart), (b, -apart)) if self._follows_too_close(ahead, heading[r], float(speed[r]))
        ]
        if len(behind) == 1:
            return behind
        if min(abs(speed[a]), abs(speed[b])) < _FAST:
            return []
        closing = speed[b] * heading[b] - speed[a] * heading[a]
        square = float(closing @ closing)
        when = min(-float(apart @ closing) / square, _FORESEEN) if square > 1e-9 else 0.0
        if when <= 0.0 or float(np.hypot(*(apart + when * closing))) > 2.0 * self._radius + _LEAST_GAP:
            return []
        sees_a, sees_b = float(heading[a] @ apart) > 0.0, -float(heading[b] @ apart) > 0.0
        return [lower if sees_a == sees_b else (a if sees_a else b)]

    def _follows_too_close(self, ahead: FloatArray, heading: FloatArray, speed: float) -> bool:
        """Whether a robot could not stop behind another one, which lies at ``ahead`` (2,) [m], if that stopped now."""
        along = float(heading @ ahead)
        across = abs(float(heading[0] * ahead[1] - heading[1] * ahead[0]))
        if speed < _FAST or along <= 0.0 or across > 2.0 * self._radius - _BESIDE:
            return False
        return along - 2.0 * self._radius < speed * _REACTION + 0.5 * speed * speed / _BRAKING

    def look(
        self, time: float, pose: FloatArray, progress: Sequence[Progress], driving: Sequence[bool], rank: Sequence[int]
    ) -> None:
        """Judge the traffic.

        Args:
            time: now [s].
            pose: (R, 3).
            progress: of each robot; that of one that has to withdraw is changed.
            driving: whether it has a goal.
            rank: the lower, the sooner a robot has to give way.
        """
        robots = range(len(progress))
        blocked = [driving[r] and progress[r].blocked(time) > BLOCKED_AFTER for r in robots]
        locked = {
            (a, b)
            for a in robots
            for b in range(a)
            if blocked[a] and blocked[b] and math.hypot(*(pose[a, :2] - pose[b, :2])) < _NEAR
        }
        self.deadlocks += len(locked - self._locked)
        self._locked = locked
        yielding: set[int] = set()
        for a, b in sorted(locked):
            if a not in yielding and b not in yielding:
                yielding.add(min((a, b), key=lambda r: (rank[r], -r)))
        yielding |= {r for r in robots if blocked[r] and progress[r].blocked(time) > _ALONE}
        for r in sorted(yielding):
            refuge = self._refuge(r, pose, progress)
            if progress[r].detour is not None or refuge is None:
                # Not even the way out is free: stand a while, others move.
                progress[r].detour = progress[r].detour if progress[r].detour is not None else pose[r].copy()
                progress[r].rest(time)
                progress[r].attempts += 1
            else:
                progress[r].withdraw(time, refuge, pose[r])
                self.withdrawals += 1

    def _refuge(self, robot: int, pose: FloatArray, progress: Sequence[Progress]) -> FloatArray | None:
        """Return the nearest refuge that nobody is at or drives to, and that leads away from the others; another one
        at every attempt."""
        others = [pose[r, :2] for r in range(len(pose)) if r != robot]
        others += [p.detour[:2] for r, p in enumerate(progress) if r != robot and p.detour is not None]
        options: list[tuple[bool, float, int, FloatArray]] = []
        for refuge in self._refuges:
            mine = math.hypot(*(refuge[:2] - pose[robot, :2]))
            theirs = min((math.hypot(*(refuge[:2] - other)) for other in others), default=math.inf)
            if theirs > 1.5 and mine > 1.0:
                options.append((theirs < mine, mine, len(options), refuge))
        options.sort(key=lambda option: option[:3])
        return options[progress[robot].attempts % len(options)][3] if options else None
