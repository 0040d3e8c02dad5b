import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from floorcast.common.errors import InputError
from floorcast.layouts.importers import rectangles
from floorcast.layouts.importers.rectangles import merged_rectangles, require_size, walls_of

grids = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=12))


@settings(max_examples=150, deadline=None)
@given(grids)
def test_rectangles_cover_exactly_the_occupied_cells_and_each_once(occupied):
    cover = np.zeros(occupied.shape, dtype=int)
    for top, bottom, left, right in merged_rectangles(occupied, "grid").tolist():
        assert top < bottom
        assert left < right
        cover[top:bottom, left:right] += 1
    np.testing.assert_array_equal(cover, occupied)


@settings(max_examples=40, deadline=None)
@given(grids, st.integers(1, 30))
def test_rectangles_do_not_depend_on_the_size_of_blocks(occupied, block):
    whole = merged_rectangles(occupied, "grid")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rectangles, "BLOCK_CELLS", block)
        np.testing.assert_array_equal(merged_rectangles(occupied, "grid"), whole)


@settings(max_examples=60, deadline=None)
@given(grids, st.sampled_from([0.05, 0.02, 1.0]))
def test_walls_stand_on_their_cells(occupied, cell):
    rows, columns = occupied.shape
    cover = np.zeros(occupied.shape, dtype=int)
    y, x = np.mgrid[:rows, :columns]
    x, y = (x + 0.5) * cell, (rows - y - 0.5) * cell
    for wall in walls_of(merged_rectangles(occupied, "grid"), rows, cell):
        (x0, y0), (x1, y1), half = wall["start"], wall["end"], 0.5 * wall["thickness"]
        wide, high = (0.0, half) if y0 == y1 else (half, 0.0)
        assert max(x1 - x0, y1 - y0) >= 2 * half - 1e-9
        cover += (x > x0 - wide) & (x < x1 + wide) & (y > y0 - high) & (y < y1 + high)
    np.testing.assert_array_equal(cover, occupied)


def test_few_rectangles_for_walls_that_cross():
    plus = np.zeros((41, 41), dtype=bool)
    plus[19:22] = plus[:, 19:22] = True
    assert len(merged_rectangles(plus, "grid")) == 3
    assert len(merged_rectangles(np.ones((30, 40), dtype=bool), "grid")) == 1
    # A flight of stairs both ways: rows suit one flight and columns the other.
    stairs = np.zeros((60, 130), dtype=bool)
    for step in range(10):
        stairs[5 + step, 10 * step : 10 * step + 10] = True
        stairs[5 * step : 5 * step + 5, 110 + step] = True
    assert len(merged_rectangles(stairs, "grid")) == 20


def test_ragged_maps_are_refused(monkeypatch):
    chess = np.indices((20, 20)).sum(axis=0) % 2 == 0
    monkeypatch.setattr(rectangles, "MAX_RECTANGLES", 199)
    with pytest.raises(InputError, match="more rectangles than the 199 walls"):
        merged_rectangles(chess, "grid")
    monkeypatch.setattr(rectangles, "MAX_RUNS", 100)
    with pytest.raises(InputError, match="more rectangles"):
        merged_rectangles(chess, "grid")


@pytest.mark.parametrize("size", [(0, 5), (5, -1), (65_536, 1), (20_000, 20_000)])
def test_sizes_beyond_the_limits_are_refused(size):
    with pytest.raises(InputError, match="is not read"):
        require_size(*size, "file")
