from __future__ import annotations

import heapq
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from floorcast.layouts.generator import LayoutRecipe, generate_layout
from floorcast.layouts.model import Layout, Wall
from floorcast.policies import planner
from floorcast.policies.planner import NavigationMap, PlannerSettings, navigation_map, plan_path, with_obstacles
from floorcast.policies.pursuit import PursuitSettings, speed_profile
from floorcast.policies.search import search
from floorcast.robots.model import RobotModel

ROBOT = RobotModel()
SETTINGS = PlannerSettings.for_robot(ROBOT.length, ROBOT.width)
PLAIN = PlannerSettings(hard=0.3, tight=0.3, soft=0.3, tight_cost=0.0, soft_cost=0.0, keep_right=0.0, escape=0.0)


def open_map(rows: int, columns: int, clearance: float = 5.0) -> NavigationMap:
    return NavigationMap(np.full((rows, columns), clearance, dtype=np.float32), 0.1, np.zeros(2))


def dijkstra(free: np.ndarray, start: tuple[int, int], goal: tuple[int, int]) -> float:
    """Independent shortest 8-connected way in cells."""
    best = {start: 0.0}
    heap = [(0.0, start)]
    while heap:
        cost, (r, c) = heapq.heappop(heap)
        if (r, c) == goal:
            return cost
        if cost > best[r, c]:
            continue
        for dr in (-1, 0, 1):
            for dc in (-1, 0, 1):
                a, b = r + dr, c + dc
                if (dr, dc) == (0, 0) or not (0 <= a < free.shape[0] and 0 <= b < free.shape[1]) or not free[a, b]:
                    continue
                new = cost + math.hypot(dr, dc)
                if new < best.get((a, b), math.inf) - 1e-12:
                    best[a, b] = new
                    heapq.heappush(heap, (new, (a, b)))
    return math.inf


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.05, 0.45))
def test_search_costs_what_dijkstra_says(seed: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    free = rng.random((14, 17)) > density
    free[0, 0] = free[-1, -1] = True
    field = np.where(free, 5.0, 0.0).astype(np.float32)
    ends = np.array([0, 0, 13, 16])
    cells, cost = search(
        field, np.zeros((0, 0), dtype=np.uint8), 0.1, ends, PLAIN.as_array(), np.zeros((0, 0), dtype=np.bool_)
    )
    expected = 0.1 * dijkstra(free, (0, 0), (13, 16))
    if math.isinf(expected):
        assert len(cells) == 0
        assert math.isinf(cost)
        return
    assert cost == pytest.approx(expected, rel=1e-4)
    assert all(free[r, c] for r, c in cells)
    steps = np.abs(np.diff(cells, axis=0))
    assert steps.max() == 1
    assert tuple(cells[0]) == (0, 0)
    assert tuple(cells[-1]) == (13, 16)
    assert 0.1 * np.sum(np.hypot(*steps.T)) == pytest.approx(cost, rel=1e-4)


def test_way_through_free_space_is_straight() -> None:
    nav = open_map(200, 300)
    path = plan_path(nav, np.array([1.0, 1.0]), np.array([28.0, 17.0]), SETTINGS)
    assert path is not None
    assert path.length == pytest.approx(math.hypot(27.0, 16.0), rel=1e-3)
    assert np.array_equal(path.points[0], [1.0, 1.0])
    assert np.array_equal(path.points[-1], [28.0, 17.0])
    assert np.max(np.diff(path.arc)) < 0.12


def room_with_a_door(door: float) -> Layout:
    middle = 6.0
    return Layout(
        length=20.0,
        width=12.0,
        walls=(
            Wall(id="A", start=(10.0, 0.0), end=(10.0, middle - door / 2)),
            Wall(id="B", start=(10.0, middle + door / 2), end=(10.0, 12.0)),
        ),
    )


def test_way_leads_through_the_door_and_keeps_clear() -> None:
    layout = room_with_a_door(2.0)
    nav = navigation_map(layout)
    path = plan_path(nav, np.array([2.0, 2.0]), np.array([18.0, 2.0]), SETTINGS)
    assert path is not None
    assert path.clearance.min() > SETTINGS.tight
    at_door = path.points[np.argmin(np.abs(path.points[:, 0] - 10.0))]
    assert abs(at_door[1] - 6.0) < 0.4
    # Two straight legs are the least there can be, corners cost a little.
    legs = 2 * math.hypot(8.0, 4.0)
    assert legs < path.length + 1.5
    assert path.length < 1.12 * legs


def test_no_way_through_a_gap_narrower_than_the_robot() -> None:
    nav = navigation_map(room_with_a_door(0.6))
    assert plan_path(nav, np.array([2.0, 2.0]), np.array([18.0, 2.0]), SETTINGS) is None


def test_ends_outside_the_hall_give_no_way() -> None:
    nav = open_map(50, 50)
    inside = np.array([2.5, 2.5])
    assert plan_path(nav, inside, np.array([9.0, 2.5]), SETTINGS) is None
    assert plan_path(nav, np.array([-0.5, 2.5]), inside, SETTINGS) is None


def test_start_at_the_goal_is_a_path() -> None:
    nav = open_map(50, 50)
    path = plan_path(nav, np.array([2.51, 2.5]), np.array([2.52, 2.5]), SETTINGS)
    assert path is not None
    assert len(path.points) >= 2
    assert np.all(np.isfinite(speed_profile(path, PursuitSettings.for_robot(ROBOT))))


def test_robot_that_stands_too_close_is_let_out() -> None:
    nav = navigation_map(room_with_a_door(3.0))
    path = plan_path(nav, np.array([9.6, 2.0]), np.array([2.0, 2.0]), SETTINGS)
    assert path is not None
    assert path.clearance[-1] > SETTINGS.tight


def test_obstacle_is_driven_around_and_its_clearance_is_exact() -> None:
    nav = navigation_map(Layout(length=12.0, width=8.0))
    obstacle = np.array([[6.0, 4.0, 0.2]])
    field = with_obstacles(nav, obstacle, 1.5)
    rows, columns = np.indices(field.shape)
    centre_x = nav.origin[0] + (columns + 0.5) * nav.resolution
    centre_y = nav.origin[1] + (rows + 0.5) * nav.resolution
    distance = np.maximum(np.hypot(centre_x - 6.0, centre_y - 4.0) - 0.2, 0.0)
    near = distance < 1.2
    assert np.allclose(field[near], np.minimum(nav.clearance, distance)[near], atol=1e-5)
    far = distance > 2.1
    assert np.array_equal(field[far], nav.clearance[far])
    path = plan_path(nav, np.array([2.0, 4.0]), np.array([10.0, 4.0]), SETTINGS, clearance=field)
    assert path is not None
    assert np.min(np.hypot(*(path.points - [6.0, 4.0]).T)) - 0.2 > SETTINGS.tight
    assert np.all(nav.clearance >= field)


def test_opposite_ways_through_an_aisle_keep_right() -> None:
    layout = Layout(
        length=24.0,
        width=12.0,
        walls=(
            Wall(id="A", start=(4.0, 4.4), end=(20.0, 4.4)),
            Wall(id="B", start=(4.0, 7.6), end=(20.0, 7.6)),
        ),
    )
    nav = navigation_map(layout)
    west, east = np.array([2.0, 6.0]), np.array([22.0, 6.0])
    out, back = plan_path(nav, west, east, SETTINGS), plan_path(nav, east, west, SETTINGS)
    assert out is not None
    assert back is not None
    y_out = np.interp(12.0, out.points[:, 0], out.points[:, 1])
    y_back = np.interp(12.0, back.points[::-1, 0], back.points[::-1, 1])
    assert y_out < 5.95
    assert y_back > 6.05
    assert min(out.clearance.min(), back.clearance.min()) > SETTINGS.tight


@pytest.mark.parametrize("seed", [0, 3])
def test_every_pair_of_stations_has_a_way_that_is_not_far_longer_than_needed(seed: int) -> None:
    layout = generate_layout(LayoutRecipe(area=500), seed)
    nav = navigation_map(layout)
    free = nav.clearance > SETTINGS.tight
    stations = layout.stations[:5]
    for a in stations:
        for b in stations:
            if a.id == b.id:
                continue
            start, goal = np.array([a.x, a.y]), np.array([b.x, b.y])
            path = plan_path(nav, start, goal, SETTINGS)
            assert path is not None
            assert np.all(path.clearance >= SETTINGS.hard - 0.1)
            cells = [tuple(int(v) for v in (p[::-1] - nav.origin[::-1]) / nav.resolution) for p in (start, goal)]
            shortest = 0.1 * dijkstra(free, cells[0], cells[1])
            # Clearance and keeping right are worth a longer way, but not any way.
            assert path.length < 1.6 * shortest + 0.5


def test_map_is_kept_for_a_layout_and_equal_for_an_equal_one() -> None:
    layout = generate_layout(LayoutRecipe(area=200), 1)
    twin = layout.model_copy()
    assert navigation_map(layout) is navigation_map(layout)
    assert np.array_equal(navigation_map(layout).clearance, navigation_map(twin).clearance)


def test_loose_goods_are_not_on_the_map() -> None:
    layout = generate_layout(LayoutRecipe(area=300, loose_goods=10), 2)
    loose = [good for good in layout.goods if good.rack is None]
    assert loose
    bare = layout.model_copy(update={"goods": tuple(g for g in layout.goods if g.rack is not None)})
    assert np.array_equal(navigation_map(layout).clearance, navigation_map(bare).clearance)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_speed_profile_can_be_braked_everywhere_and_ends_at_rest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    points = np.cumsum(np.add(rng.normal(0, 0.08, (60, 2)), [0.06, 0.0]), axis=0)
    path = planner._as_path(points, rng.uniform(0.4, 2.0, 60).astype(np.float32), 1.0)
    pursuit = PursuitSettings.for_robot(ROBOT)
    limit = speed_profile(path, pursuit)
    assert limit[-1] == 0.0
    assert np.all((limit >= 0) & (limit <= pursuit.cruise))
    drop = limit[:-1] ** 2 - limit[1:] ** 2
    assert np.all(drop <= 2 * pursuit.deceleration * np.diff(path.arc) + 1e-9)
