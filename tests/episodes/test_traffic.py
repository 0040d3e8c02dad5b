"""Who waits for whom, and what becomes of robots that block each other."""

from __future__ import annotations

import math

import numpy as np
import pytest

from floorcast.episodes.hall import hall_of
from floorcast.episodes.traffic import Progress, TrafficWatch, Ways, aisle_at, aisle_room, find_refuges
from floorcast.layouts.generator import generate_layout
from floorcast.layouts.model import Aisle
from floorcast.layouts.recipe import LayoutRecipe

RADIUS = 0.55


def held(poses: list[list[float]], speeds: list[float], rank: tuple[int, ...] = (0, 0)) -> set[int]:
    watch, progress = TrafficWatch([], RADIUS), [Progress() for _ in poses]
    velocity = np.array([[speed, 0.0] for speed in speeds])
    watch.keep_apart(5.0, np.array(poses), velocity, progress, [True] * len(poses), rank)
    return {r for r, mine in enumerate(progress) if mine.held(5.1)}


@pytest.mark.parametrize(
    ("poses", "speeds", "rank", "waits"),
    [
        # Side by side at two chargers: they cannot both turn.
        ([[0, 0, 0], [0, 1.1, 0]], [0.0, 0.0], (1, 0), {1}),
        ([[0, 0, 0], [0, 1.1, 0]], [0.0, 0.0], (0, 0), {1}),
        # One behind the other: 1.5 m/s need 0.9 m to react and 0.75 m to brake, beside the 1.1 m between the middles.
        ([[0, 0, 0], [2.7, 0, 0]], [1.5, 1.5], (0, 0), {0}),
        ([[0, 0, 0], [2.8, 0, 0]], [1.5, 1.5], (0, 0), set()),
        # Crossing at right angles, both there at the same time: the lower rank waits; a second apart, nobody.
        ([[-3, 0, 0], [0, -3, math.pi / 2]], [1.5, 1.5], (1, 0), {1}),
        ([[-3, 0, 0], [0, -5, math.pi / 2]], [1.5, 1.5], (1, 0), set()),
        # Head-on in two lanes of a wide aisle.
        ([[-3, 0, 0], [3, 1.6, math.pi]], [1.5, 1.5], (0, 0), set()),
        ([[-2, 0, 0], [2, 0.2, math.pi]], [1.5, 1.5], (0, 1), {0}),
    ],
)
def test_who_waits(poses, speeds, rank, waits) -> None:
    assert held(poses, speeds, rank) == waits


def test_nobody_is_held_for_ever() -> None:
    watch, progress = TrafficWatch([], RADIUS), [Progress(), Progress()]
    pose, velocity = np.array([[0.0, 0, 0], [0.0, 1.0, 0]]), np.zeros((2, 2))
    times = np.arange(0.0, 30.0, 0.3)
    waited = []
    for time in times:
        watch.keep_apart(float(time), pose, velocity, progress, [True, True], [0, 0])
        waited.append(progress[1].held(float(time)))
    runs = "".join("x" if w else "." for w in waited).split(".")
    assert max(map(len, runs)) * 0.3 < 8.0
    assert 0.3 < np.mean(waited) < 0.95


def test_of_two_that_block_each_other_one_withdraws_and_comes_back() -> None:
    refuges = [np.array([4.0, 3.0, 0.0]), np.array([-3.0, 1.0, 0.0])]
    watch, progress = TrafficWatch(refuges, RADIUS), [Progress(), Progress()]
    pose = np.array([[0.0, 0, 0], [1.5, 0, math.pi]])
    for time in range(41):
        for mine, at in zip(progress, pose, strict=True):
            mine.note(float(time), at, mine.detour is None or not mine.resting)
        watch.look(float(time), pose, progress, [True, True], [1, 0])
        if progress[1].detour is not None:
            break
    assert time > 20, "blocked after 20 s"
    assert (watch.deadlocks, watch.withdrawals) == (1, 1)
    assert progress[0].detour is None, "the one with the higher rank goes on"
    assert np.array_equal(progress[1].detour, refuges[0]), "away from the other one"
    progress[1].rest(50.0)
    assert progress[1].until == pytest.approx(58.0)
    progress[1].resume(58.0)
    assert progress[1].detour is None


def test_refuges_leave_stations_and_ways_free() -> None:
    layout = generate_layout(LayoutRecipe(area=400, loose_goods=0), 2)
    ground = hall_of(layout).ground(0.33)
    places = [np.array([s.x, s.y, s.yaw]) for s in layout.stations]
    found = find_refuges(Ways(ground), places, RADIUS, 8)
    assert len(found) >= 6
    points = np.array([refuge[:2] for refuge in found])
    for k, point in enumerate(points):
        assert ground.clearance[ground.cell(point)] > RADIUS
        assert min(np.hypot(*(point - place[:2])) for place in places) > 1.5
        assert min(np.hypot(*(points - point).T)[np.arange(len(points)) != k]) > 2.0


def test_aisles_hold_as_many_as_fit_side_by_side() -> None:
    wide, narrow = (Aisle(id=name, start=(0, y), end=(10, y), width=w) for name, y, w in (("W", 0, 2.8), ("N", 5, 1.7)))
    assert (aisle_room(wide, 0.65), aisle_room(narrow, 0.65)) == (2, 1)
    assert aisle_at([wide, narrow], np.array([3.0, 5.5, 0.0])) is narrow
    assert aisle_at([wide, narrow], np.array([3.0, 2.0])) is None
