"""What KPIs need of trajectories: sums and extremes over control steps, which add up over the parts of an episode."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.geometry import wrap_angle
from .record import EpisodeRecord

if TYPE_CHECKING:
    from .kpis import KpiSettings

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_PAIRS_AT_ONCE = 1 << 18  # bounds the memory of the pair-wise arrays at any number of steps and robots


@dataclass
class TrajectorySums:
    """Sums over (step, robot), and extremes.

    Attributes:
        path: driven [m]. jerk_square: sum of squared jerks [m^2/s^6] over jerk_rows.
        min_sep, min_sep_person, stop_margin: least distances [m]; ttc: least time to collision [s].
        intrusion, overspeed, stuck, with_goal, waiting, rows: how many. deadlocks: spells, over pairs of robots.
    """

    path: float = 0.0
    jerk_square: float = 0.0
    jerk_rows: int = 0
    min_sep: float = math.inf
    min_sep_person: float = math.inf
    ttc: float = math.inf
    stop_margin: float = math.inf
    intrusion: int = 0
    overspeed: int = 0
    stuck: int = 0
    with_goal: int = 0
    waiting: int = 0
    rows: int = 0
    deadlocks: int = 0

    def add(self, other: TrajectorySums) -> None:
        """Take in the sums of the steps that follow."""
        for name in ("min_sep", "min_sep_person", "ttc", "stop_margin"):
            setattr(self, name, min(getattr(self, name), getattr(other, name)))
        for name in ("path", "jerk_square", "jerk_rows", "intrusion", "overspeed", "stuck"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("with_goal", "waiting", "rows", "deadlocks"):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def kpis(self, dt: float) -> dict[str, float]:
        """Return the KPIs that follow from these sums alone, for control steps of ``dt`` [s]."""
        return {
            "min_sep_m": self.min_sep,
            "min_sep_person_m": self.min_sep_person,
            "ttc_min_s": self.ttc,
            "stop_margin_min_m": self.stop_margin,
            "intrusion_s": dt * float(self.intrusion),
            "overspeed_s": dt * float(self.overspeed),
            "stuck_s": dt * float(self.stuck),
            "deadlock_count": float(self.deadlocks),
            "wait_ratio": self.waiting / self.with_goal if self.with_goal else math.nan,
            "utilisation": self.with_goal / self.rows if self.rows else math.nan,
        }


def trajectory_sums(record: EpisodeRecord, dt: float, settings: KpiSettings, first: int = 0) -> TrajectorySums:
    """Return the sums over the rows of a record.

    Args:
        record: only its trajectories and radii are read.
        dt: between two rows [s].
        settings: constants of the formulas.
        first: rows before this one were counted before, and only tell what went on; to judge who is stuck there must be
            ``settings.stuck_window`` of them, or all that there are.
    """
    sums = TrajectorySums()
    _add_motion(record, dt, settings, first, sums)
    _add_separation(record, settings, first, sums)
    return sums


def disc_time_to_collision(position: ArrayLike, velocity: ArrayLike, radius: ArrayLike) -> FloatArray:
    """Return when two discs at constant velocity touch.

    Args:
        position: (..., 2) centre of the second disc relative to the first [m].
        velocity: (..., 2) velocity of the second relative to the first [m/s].
        radius: (...) sum of the two radii [m].

    Returns:
        (...) seconds: the closed form [-p.v - sqrt((p.v)^2 - |v|^2 (|p|^2 - R^2))] / |v|^2 for p.v < 0; 0 where the
        discs overlap and still approach; inf where they never touch, stand still or part.
    """
    p, v = np.asarray(position, dtype=np.float64), np.asarray(velocity, dtype=np.float64)
    closing = np.sum(p * v, axis=-1)
    speed2 = np.sum(v * v, axis=-1)
    gap = np.sum(p * p, axis=-1) - np.asarray(radius, dtype=np.float64) ** 2
    discriminant = closing * closing - speed2 * gap
    hits = (closing < 0) & (discriminant >= 0)
    root = np.sqrt(np.where(hits, discriminant, 0.0))
    # gap / (-p.v + root) is the same root without the cancellation of -p.v - root for near-grazing or slow pairs.
    with np.errstate(over="ignore"):  # discs that hardly close at all meet at infinity
        time = np.where(hits, np.maximum(gap, 0.0) / np.where(hits, root - closing, 1.0), np.inf)
    return np.asarray(time)


def _add_motion(record: EpisodeRecord, dt: float, settings: KpiSettings, first: int, sums: TrajectorySums) -> None:
    steps = np.diff(record.pose[max(first - 1, 0) :, :, :2], axis=0)
    sums.path = float(np.sum(np.hypot(steps[..., 0], steps[..., 1])))
    has_goal = _has_goal(record)
    # A jerk takes three rows: the one of the last row can only be told with the next part.
    begin = max(first - 2, 0)
    jerk = np.diff(record.velocity[begin:, :, 0], n=2, axis=0) / dt**2
    jerk = jerk[has_goal[begin + 1 : -1]] if len(jerk) else np.empty(0)
    sums.jerk_square, sums.jerk_rows = float(np.sum(jerk**2)), jerk.size
    still = (np.abs(record.velocity[:, :, 0]) < settings.moving_speed) & (
        np.abs(record.velocity[:, :, 1]) < 5 * settings.moving_speed
    )
    stuck = _stuck(record, has_goal, dt, settings)
    sums.stuck = int(np.count_nonzero(stuck[first:]))
    sums.with_goal = int(np.count_nonzero(has_goal[first:]))
    sums.waiting = int(np.count_nonzero((still & has_goal)[first:]))
    sums.rows = int(has_goal[first:].size)
    sums.deadlocks = _deadlocks(record, stuck, first, settings)


def _add_separation(record: EpisodeRecord, settings: KpiSettings, first: int, sums: TrajectorySums) -> None:
    person = record.person_distance[first:]
    speed = np.abs(record.velocity[first:, :, 0])
    moving = speed > settings.moving_speed
    stop = speed * settings.reaction_time + speed**2 / (2 * settings.deceleration) + settings.stop_reserve
    too_fast = (speed > 1.02 * settings.speed_limit) | (
        (person < settings.person_zone) & (speed > settings.person_zone_speed)
    )
    sums.min_sep = float(np.min(record.min_clearance[first:], initial=np.inf))
    sums.min_sep_person = float(np.min(person, initial=np.inf))
    sums.ttc = _smallest_time_to_collision(record, first)
    sums.stop_margin = float(np.min((person - stop)[moving], initial=np.inf))
    sums.intrusion = int(np.count_nonzero(person < settings.intrusion_distance))
    sums.overspeed = int(np.count_nonzero(too_fast))


def _smallest_time_to_collision(record: EpisodeRecord, first: int) -> float:
    """Over all steps and all pairs of robots, and of robots and people: arrays (rows of T, R, R + P)."""
    yaw, v = record.pose[first:, :, 2], record.velocity[first:, :, 0]
    robot_velocity = np.stack([v * np.cos(yaw), v * np.sin(yaw)], axis=-1)
    robots = record.pose[first:, :, :2]
    others = np.concatenate([robots, record.person_pose[first:, :, :2]], axis=1)
    other_velocity = np.concatenate([robot_velocity, record.person_velocity[first:]], axis=1)
    radius = record.robot_radius[:, None] + np.concatenate([record.robot_radius, record.person_radius])[None, :]
    np.fill_diagonal(radius, np.nan)  # a robot against itself: every comparison with nan is false, so never a hit
    rows = max(1, _PAIRS_AT_ONCE // max(1, radius.size))
    smallest = math.inf
    for start in range(0, len(robots), rows):
        part = slice(start, start + rows)
        time = disc_time_to_collision(
            others[part, None, :, :] - robots[part, :, None, :],
            other_velocity[part, None, :, :] - robot_velocity[part, :, None, :],
            radius,
        )
        smallest = min(smallest, float(np.min(time, initial=np.inf)))
    return smallest


def _has_goal(record: EpisodeRecord) -> BoolArray:
    """(T, R): whether the robot had a goal."""
    return np.asarray(np.all(np.isfinite(record.goal[:, :, :2]), axis=-1))


def _stuck(record: EpisodeRecord, has_goal: BoolArray, dt: float, settings: KpiSettings) -> BoolArray:
    """(T, R): no progress over the window that ends here, with the same goal throughout."""
    window = max(1, round(settings.stuck_window / dt))
    stuck = np.zeros(has_goal.shape, dtype=bool)
    if len(has_goal) <= window:
        return stuck
    step = record.pose[window:, :, :2] - record.pose[:-window, :, :2]
    turn = wrap_angle(record.pose[window:, :, 2] - record.pose[:-window, :, 2])
    idle = (np.hypot(step[..., 0], step[..., 1]) < settings.stuck_distance) & (np.abs(turn) < settings.stuck_turn)
    without_goal = np.cumsum(~has_goal, axis=0)
    changed = np.cumsum(np.any(record.goal[1:] != record.goal[:-1], axis=-1) & has_goal[1:] & has_goal[:-1], axis=0)
    changed = np.concatenate([np.zeros((1, has_goal.shape[1]), dtype=changed.dtype), changed])
    always = (without_goal[window:] == without_goal[:-window]) & has_goal[:-window]
    stuck[window:] = idle & always & (changed[window:] == changed[:-window])
    return stuck


def _deadlocks(record: EpisodeRecord, stuck: BoolArray, first: int, settings: KpiSettings) -> int:
    gap = record.pose[:, :, None, :2] - record.pose[:, None, :, :2]
    near = np.hypot(gap[..., 0], gap[..., 1]) < settings.deadlock_distance
    both = stuck[:, :, None] & stuck[:, None, :] & near
    one, other = np.triu_indices(stuck.shape[1], k=1)
    pairs = both[:, one, other]
    if not len(pairs):
        return 0
    begun = int(np.count_nonzero(pairs[0])) if first == 0 else 0
    later = max(first, 1)
    return begun + int(np.count_nonzero(pairs[later:] & ~pairs[later - 1 : -1]))
