import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from floorcast.episodes.routes import DistanceField, Ground, distance_field, line_is_free, path_length, shortest_path


def ground(free, resolution=0.1, origin=(0.0, 0.0)):
    free = np.asarray(free, dtype=bool)
    return Ground(free, np.where(free, 1.0, 0.0), resolution, np.array(origin))


def test_open_floor_is_straight():
    place = ground(np.ones((200, 300)))
    goal = np.array([15.05, 10.05])
    field = distance_field(place, goal)
    rows, columns = np.mgrid[:200, :300]
    exact = 0.1 * np.hypot(rows - 100, columns - 150)
    assert np.abs(field - exact).max() < 0.12
    path = shortest_path(place, field, np.array([1.0, 2.0]), goal)
    assert len(path) == 2
    assert path_length(path) == pytest.approx(math.hypot(14.05, 8.05))


def test_around_a_wall_is_the_taut_string():
    free = np.ones((200, 300))
    free[50:, 150:155] = 0
    place = ground(free)
    start, goal = np.array([2.05, 18.05]), np.array([28.05, 18.05])
    path = shortest_path(place, distance_field(place, goal), start, goal)
    # Round the two lower corners of the wall, at x 15.0 and 15.5, y 5.0.
    exact = math.hypot(12.95, 13.05) + 0.5 + math.hypot(12.55, 13.05)
    assert path_length(path) == pytest.approx(exact, rel=0.005)
    for a, b in itertools.pairwise(path):
        assert line_is_free(place, a, b)


def test_no_way_and_origin():
    free = np.ones((50, 50))
    free[:, 25] = 0
    place = ground(free, origin=(-3.0, 7.0))
    goal = np.array([-2.0, 9.0])
    field = distance_field(place, goal)
    assert np.isfinite(field[:, :25]).all()
    assert np.isinf(field[:, 25:]).all()
    assert shortest_path(place, field, np.array([1.5, 9.0]), goal) is None
    np.testing.assert_allclose(place.centre(*place.cell(goal)), goal, atol=0.051)


def test_blocked_ends_move_to_the_nearest_free_cell():
    free = np.ones((50, 50))
    free[20:24, 20:24] = 0
    place = ground(free)
    assert place.nearest_free(np.array([2.25, 2.05])) == (19, 22)
    assert place.nearest_free(np.array([2.25, 2.2]), reach=0.1) is None
    assert np.isinf(distance_field(ground(np.zeros((40, 40))), np.array([2.0, 2.0]))).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_paths_are_feasible_and_no_longer_than_the_field_says(seed):
    rng = np.random.default_rng(seed)
    free = np.ones((60, 80), dtype=bool)
    for _ in range(8):
        r, c = rng.integers(0, 60), rng.integers(0, 80)
        free[r : r + rng.integers(2, 15), c : c + rng.integers(2, 15)] = False
    place = ground(free)
    rows, columns = np.nonzero(free)
    a, b = rng.integers(len(rows), size=2)
    start, goal = place.centre(int(rows[a]), int(columns[a])), place.centre(int(rows[b]), int(columns[b]))
    field = distance_field(place, goal)
    path = shortest_path(place, field, start, goal)
    if path is None:
        assert np.isinf(field[place.cell(start)])
        return
    length = path_length(path)
    assert length >= np.hypot(*(goal - start)) - 1e-9
    assert length <= field[place.cell(start)] * 1.02 + 0.1
    assert all(line_is_free(place, p, q) for p, q in itertools.pairwise(path))


def test_a_field_solved_only_as_far_as_asked_gives_the_same_ways():
    rng = np.random.default_rng(5)
    free = rng.random((90, 140)) > 0.2
    place = ground(free)
    goal = np.array([9.05, 4.05])
    full = distance_field(place, goal)
    partial = DistanceField(place, goal)
    lengths = []
    for _ in range(40):
        start = rng.uniform((0.0, 0.0), (14.0, 9.0))
        path, exact = partial.path(start, goal), shortest_path(place, full, start, goal)
        assert (path is None) == (exact is None)
        if path is not None:
            assert np.array_equal(path, exact)
            lengths.append(path_length(path))
    assert len(lengths) > 20
    assert max(lengths) > 5.0
    assert np.array_equal(partial.all(), full)


def test_nobody_gets_out_of_solid_matter():
    free = np.zeros((60, 60))
    free[:20] = 1
    place = ground(free)
    inside = DistanceField(place, np.array([3.0, 5.0]))
    assert np.isinf(inside.all()).all()
    assert inside.path(np.array([1.0, 1.0]), np.array([3.0, 5.0])) is None
