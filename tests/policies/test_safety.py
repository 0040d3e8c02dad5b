from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from floorcast.policies.planner import _as_path
from floorcast.policies.pursuit import PursuitSettings, advance, arc_rollout, pursue, rollout, speed_profile
from floorcast.policies.safety import PERIOD, SafetySettings, first_hit, nearest, separation_speed
from floorcast.robots.model import RobotModel

ROBOT = RobotModel()
SAFE = SafetySettings.for_robot(ROBOT, 0.05)
PURSUIT = PursuitSettings.for_robot(ROBOT)
ORIGIN = np.zeros(3)


def straight(length: float):
    points = np.column_stack([np.linspace(0, length, round(length / 0.1) + 1), np.zeros(round(length / 0.1) + 1)])
    path = _as_path(points, np.full(len(points), 3.0, dtype=np.float32), length)
    return path, speed_profile(path, PURSUIT)


def foresee(v: float, top: float, brake_after: float = SAFE.reaction, steps: int = 60) -> np.ndarray:
    path, limit = straight(20.0)
    return rollout(
        path.points, path.arc, limit, 0, ORIGIN, v, top, brake_after, SAFE.deceleration, PERIOD, steps,
        PURSUIT.as_array(),
    )  # fmt: skip


def hit(motion: np.ndarray, points, velocity=None, girth=None, **changes: float) -> int:
    points = np.asarray(points, dtype=float).reshape(-1, 2)
    margins = {"front": SAFE.front, "side": SAFE.side, "mover": SAFE.mover, "growth": SAFE.mover_growth, "behind": 9.0}
    margins.update(changes)
    return first_hit(
        motion,
        PERIOD,
        points,
        np.zeros_like(points) if velocity is None else np.asarray(velocity, dtype=float).reshape(-1, 2),
        np.zeros(len(points)) if girth is None else np.asarray(girth, dtype=float),
        SAFE.half_length,
        SAFE.half_width,
        margins["front"],
        margins["side"],
        margins["mover"],
        margins["growth"],
        margins["behind"],
    )


@pytest.mark.parametrize("speed", [0.3, 0.8, 1.5])
def test_stopping_distance_is_reaction_and_v2_over_2a(speed: float) -> None:
    motion = foresee(speed, speed)
    assert motion[-1, 3] == 0.0
    # Braking begins with the first whole step after the reaction time.
    begun = math.ceil(SAFE.reaction / PERIOD - 1e-9) * PERIOD
    expected = speed * begun + speed**2 / (2 * SAFE.deceleration)
    assert motion[-1, 0] == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("speed", [0.3, 0.8, 1.5])
def test_wall_ahead_counts_exactly_from_stopping_distance_and_margin(speed: float) -> None:
    motion = foresee(speed, speed)
    reach = motion[-1, 0] + SAFE.half_length + SAFE.front
    wall = [[0.0, y] for y in np.linspace(-1, 1, 21)]
    assert hit(motion, np.add(wall, [reach + 0.02, 0.0])) == -1
    assert hit(motion, np.add(wall, [reach - 0.03, 0.0])) > 0


def test_what_lies_beside_the_path_does_not_count() -> None:
    motion = foresee(1.0, 1.0)
    beside = SAFE.half_width + SAFE.side
    assert hit(motion, [[1.0, beside + 0.01]]) == -1
    assert hit(motion, [[1.0, beside - 0.01]]) > 0
    assert hit(motion, [[1.0, beside + 0.01]], girth=[0.05]) > 0


def test_what_is_within_the_margin_already_stops_only_what_comes_nearer() -> None:
    close = [[SAFE.half_length + 0.05, 0.0]]
    assert hit(foresee(0.0, 0.1), close) > 0
    back = arc_rollout(ORIGIN, -0.3, 0.0, 0.5, 1.0, 2.0, PERIOD, 40)
    assert hit(back, close) == -1


def test_crossing_walker_is_foreseen() -> None:
    """A walker that reaches the path when the robot does is a hit, one that has crossed before is not."""
    on = foresee(1.0, 1.0, brake_after=math.inf, steps=30)
    meets = [[1.5 + SAFE.half_length, -1.5]]
    assert hit(on, meets, [[0.0, 1.0]]) > 0
    assert hit(on, meets, [[0.0, -1.0]]) == -1
    assert hit(on, [[1.5 + SAFE.half_length, 1.5]], [[0.0, 1.0]]) == -1
    assert hit(on, meets) == -1


def test_follower_counts_only_for_a_while() -> None:
    still = arc_rollout(ORIGIN, 0.1, 0.0, 3.0, 1.0, 1.0, PERIOD, 30)
    behind = [[-2.0, 0.0]]
    assert hit(still, behind, [[1.2, 0.0]], behind=9.0) > 0
    assert hit(still, behind, [[1.2, 0.0]], behind=0.5) == -1


def test_turning_on_the_spot_needs_the_swept_circle() -> None:
    turn = arc_rollout(ORIGIN, 0.0, 1.0, 3.2, 1.0, 2.0, PERIOD, 60)
    radius = ROBOT.radius
    beside = [[0.0, radius + 0.04]]
    assert hit(turn, beside, front=SAFE.turn, side=SAFE.turn) == -1
    assert hit(turn, [[0.0, 0.5 * (radius + SAFE.half_width)]], front=SAFE.turn, side=SAFE.turn) > 0


@settings(max_examples=80, deadline=None)
@given(st.floats(-1.2, 1.2), st.floats(-1.5, 1.5), st.integers(0, 9999))
def test_first_hit_agrees_with_a_plain_reckoning(v: float, omega: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    motion = arc_rollout(ORIGIN, v, omega, 1.0, 1.0, 2.0, PERIOD, 40)
    points = rng.uniform(-2.5, 2.5, (12, 2))
    velocity = np.where(rng.random((12, 1)) < 0.5, 0.0, rng.uniform(-1.3, 1.3, (12, 2)))
    girth = rng.uniform(0, 0.2, 12)

    def depth(i: int, k: int) -> float:
        t = k * PERIOD
        x, y, yaw = motion[k, :3]
        dx, dy = points[i] + t * velocity[i] - [x, y]
        bx, by = math.cos(yaw) * dx + math.sin(yaw) * dy, -math.sin(yaw) * dx + math.cos(yaw) * dy
        across = SAFE.side + girth[i]
        along = SAFE.front + girth[i]
        if np.any(velocity[i]):
            across = SAFE.mover + SAFE.mover_growth * t + girth[i]
            along = max(along, across)
        return max((abs(bx) - SAFE.half_length) / along, (abs(by) - SAFE.half_width) / across)

    expected = -1
    for k in range(1, len(motion)):
        if any(depth(i, k) < min(1.0, depth(i, 0) - 0.005) for i in range(len(points))):
            expected = k
            break
    assert hit(motion, points, velocity, girth) == expected


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 9999))
def test_nearest_agrees_with_points_on_the_outline(seed: int) -> None:
    rng = np.random.default_rng(seed)
    pose = np.array([*rng.uniform(-1, 1, 2), rng.uniform(-3, 3)])
    points = rng.uniform(-4, 4, (6, 2))
    s = np.linspace(-1, 1, 801)
    a, b = SAFE.half_length, SAFE.half_width
    edges = np.concatenate(
        [np.column_stack([a * s, side * b * np.ones_like(s)]) for side in (-1, 1)]
        + [np.column_stack([side * a * np.ones_like(s), b * s]) for side in (-1, 1)]
    )
    cos, sin = math.cos(pose[2]), math.sin(pose[2])
    outline = edges @ np.array([[cos, sin], [-sin, cos]]) + pose[:2]
    distance = np.linalg.norm(points[:, None] - outline[None], axis=2).min(axis=1)
    local = (points - pose[:2]) @ np.array([[cos, -sin], [sin, cos]])
    distance[(np.abs(local) <= [a, b]).all(axis=1)] = 0.0
    assert nearest(pose, points, np.zeros(6), a, b) == pytest.approx(distance.min(), abs=2e-3)
    assert nearest(pose, points[:0], np.zeros(0), a, b) == math.inf


@settings(max_examples=60, deadline=None)
@given(st.floats(0.0, 6.0), st.floats(0.3, 1.6))
def test_separation_speed_leaves_time_to_stand(distance: float, approach: float) -> None:
    v = separation_speed(distance, approach, SAFE)
    assert v >= 0
    if v > 0:
        covered = approach * (SAFE.reaction + v / SAFE.hard_deceleration)
        assert covered + 0.05 == pytest.approx(distance, abs=1e-9)


def drive_along(points: np.ndarray, start: np.ndarray, seconds: float = 60.0) -> np.ndarray:
    """An ideal unicycle under pursuit; returns poses (T, 4) with speed."""
    path = _as_path(points, np.full(len(points), 2.0, dtype=np.float32), 0.0)
    limit, array = speed_profile(path, PURSUIT), PURSUIT.as_array()
    pose, v, index, turning, out = start.astype(float).copy(), 0.0, 0, False, []
    for _ in range(round(seconds / 0.05)):
        index = advance(path.points, path.arc, index, pose[0], pose[1])
        if path.length - path.arc[index] < 0.03:
            break
        v, omega, turning = pursue(path.points, path.arc, limit, index, *pose, v, turning, array)
        pose += 0.05 * np.array([v * math.cos(pose[2]), v * math.sin(pose[2]), omega])
        out.append([*pose, v])
    return np.array(out)


def test_pursuit_follows_a_bend_closely_and_stops_at_the_end() -> None:
    s = np.linspace(0, math.pi / 2, 40)
    bend = np.column_stack([4.0 + 2.0 * np.sin(s), 2.0 - 2.0 * np.cos(s)])
    points = np.concatenate(
        [
            np.column_stack([np.linspace(0, 3.9, 40), np.zeros(40)]),
            bend,
            np.column_stack([np.full(30, 6.0), np.linspace(2.1, 5, 30)]),
        ]
    )
    driven = drive_along(points, np.array([0.0, 0.3, 0.0]))
    away = np.linalg.norm(driven[:, None, :2] - points[None], axis=2).min(axis=1)
    assert np.all(away[driven[:, 0] > 1.5] < 0.12)
    assert np.hypot(*(driven[-1, :2] - points[-1])) < 0.12
    assert driven[-1, 3] < 0.35
    assert driven[:, 3].max() > 0.9 * PURSUIT.cruise


def test_robot_that_faces_away_turns_on_the_spot_first() -> None:
    points = np.column_stack([np.linspace(0, 5, 51), np.zeros(51)])
    driven = drive_along(points, np.array([0.0, 0.0, math.pi * 0.9]))
    first = np.argmax(driven[:, 3] > 0)
    assert abs(driven[first, 2]) < 0.2
    assert np.hypot(*driven[max(first - 1, 0), :2]) < 0.05
    assert np.hypot(*(driven[-1, :2] - [5.0, 0.0])) < 0.12
