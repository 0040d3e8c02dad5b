import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from floorcast.common.errors import InputError
from floorcast.layouts.model import Column, Conveyor, Good, Layout
from floorcast.layouts.occupancy import BORDER, clearance_field, occupancy_grid

from .hall import small_hall


def hall(**things):
    return Layout(length=10.0, width=6.0, **things)


def inner(grid):
    """The occupied cells inside the hall, as a set of x, y corners in cells."""
    skip = round(BORDER / grid.resolution)
    return grid.occupied[skip:-skip, skip:-skip]


def test_a_square_column_covers_its_cells_and_no_more():
    grid = occupancy_grid(hall(columns=(Column(id="P", x=3.0, y=2.0, width=0.4),)), 0.05)
    expected = np.zeros((120, 200), dtype=bool)
    expected[36:44, 56:64] = True
    assert (inner(grid) == expected).all()


def test_the_border_is_occupied_and_cells_map_back():
    grid = occupancy_grid(hall(), 0.1)
    assert grid.shape == (70, 110)
    assert grid.origin == pytest.approx([-0.5, -0.5])
    assert not inner(grid).any()
    assert grid.occupied.sum() == 70 * 110 - 60 * 100
    cells = np.array([[5, 5], [64, 104], [0, 0]])
    assert grid.cell_to_world(cells)[0] == pytest.approx([0.05, 0.05])
    assert (grid.world_to_cell(grid.cell_to_world(cells)) == cells).all()
    assert grid.world_to_cell([9.99, 0.01]).tolist() == [5, 104]  # row follows y, column follows x
    assert grid.inside([[0, 0], [-1, 0], [69, 109], [70, 0]]).tolist() == [True, False, True, False]


@settings(max_examples=40, deadline=None)
@given(
    st.floats(2, 8), st.floats(2, 4), st.floats(-math.pi, math.pi), st.floats(0.02, 1.5), st.floats(0.02, 1.5)
)  # fmt: skip
def test_a_turned_carton_covers_just_the_cells_it_overlaps(x, y, yaw, length, width):
    good = Good(id="G", x=x, y=y, yaw=yaw, size=(length, width, 0.4))
    grid = occupancy_grid(hall(goods=(good,)), 0.1)
    covered = inner(grid)
    # Points of the carton lie in occupied cells.
    steps = np.linspace(-0.4999, 0.4999, 60)
    a, b = (axis.ravel() for axis in np.meshgrid(steps * length, steps * width))
    points = np.stack([x + math.cos(yaw) * a - math.sin(yaw) * b, y + math.sin(yaw) * a + math.cos(yaw) * b], axis=-1)
    cells = grid.world_to_cell(points)
    assert grid.occupied[cells[:, 0], cells[:, 1]].all()
    # Occupied cells come as near to the carton as a cell's own half diagonal.
    rows, columns = np.nonzero(covered)
    dx, dy = (columns + 0.5) * 0.1 - x, (rows + 0.5) * 0.1 - y
    along = np.abs(math.cos(yaw) * dx + math.sin(yaw) * dy) - 0.5 * length
    across = np.abs(math.cos(yaw) * dy - math.sin(yaw) * dx) - 0.5 * width
    assert (np.hypot(np.maximum(along, 0), np.maximum(across, 0)) < 0.0708).all()


def test_a_round_column_leaves_the_corners_of_its_square_free():
    square = inner(occupancy_grid(hall(columns=(Column(id="P", x=3.0, y=3.0, width=2.0),)), 0.05))
    disc = inner(occupancy_grid(hall(columns=(Column(id="P", x=3.0, y=3.0, width=2.0, round=True),)), 0.05))
    assert not (disc & ~square).any()
    # The area of a disc plus the half cells along its rim: about 8 r / d more cells than pi r^2 / d^2.
    assert disc.sum() * 0.05**2 == pytest.approx(math.pi + 4 * 0.05, rel=0.03)


def test_only_the_band_of_heights_counts():
    belt = Conveyor(id="C", start=(2.0, 3.0), end=(6.0, 3.0), width=0.6, height=0.75)
    layout = hall(conveyors=(belt,))
    under = inner(occupancy_grid(layout, 0.05, z_max=0.4))
    whole = inner(occupancy_grid(layout, 0.05))
    assert 0 < under.sum() < 0.1 * whole.sum()
    assert whole.sum() * 0.05**2 == pytest.approx(4 * 0.6)
    assert not inner(occupancy_grid(layout, 0.05, z_min=0.8)).any()
    flat = Good(id="G", x=5, y=3, size=(1, 1, 0.02))
    assert not inner(occupancy_grid(hall(goods=(flat,)))).any()


def test_loose_goods_can_be_left_out():
    layout = small_hall()
    with_goods, without = occupancy_grid(layout), occupancy_grid(layout, loose_goods=False)
    cell = tuple(with_goods.world_to_cell([15.0, 1.0]))
    assert with_goods.occupied[cell]
    assert not without.occupied[cell]
    rack = tuple(with_goods.world_to_cell([12.0, 8.0]))
    assert with_goods.occupied[rack]
    assert without.occupied[rack]


def test_clearance_is_the_distance_to_the_nearest_occupied_cell():
    layout = hall(columns=(Column(id="P", x=3.1, y=2.2, width=0.5),), goods=(Good(id="G", x=7, y=4, size=(1, 0.4, 1)),))
    grid = occupancy_grid(layout, 0.25)
    field = clearance_field(grid)
    occupied = np.argwhere(grid.occupied)
    every = np.argwhere(np.ones(grid.shape))
    nearest = np.sqrt(((every[:, None] - occupied[None]) ** 2).sum(axis=-1).min(axis=1)) * 0.25
    assert field.dtype == np.float32
    assert field.ravel() == pytest.approx(nearest, rel=1e-6)


def test_a_grid_beyond_memory_is_refused():
    with pytest.raises(InputError, match="limit"):
        occupancy_grid(Layout(length=1e4, width=1e4))
