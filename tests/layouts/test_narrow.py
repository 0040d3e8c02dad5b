import math

import numpy as np
import pytest

from floorcast.layouts.model import Layout, SourceFrame, Station, Wall
from floorcast.layouts.narrow import narrow_regions
from floorcast.layouts.occupancy import OccupancyGrid, occupancy_grid, sharp_clearance
from floorcast.layouts.validation import check_layout


def slanted_door(gap: float, tilt: float = 0.35) -> Layout:
    """Two rooms parted by a thin slanted wall with a door of ``gap`` metres, square to the wall."""
    ex, ey = math.sin(-tilt), math.cos(-tilt)
    ends = (-4.2, -0.5 * gap, 0.5 * gap, 4.2)
    points = [(6.0 + s * ex, 4.0 + s * ey) for s in ends]
    walls = tuple(Wall(id=f"W{i}", start=points[i], end=points[i + 1], thickness=0.1, height=2.5) for i in (0, 2))
    stations = (Station(id="a", x=1.5, y=4.0), Station(id="b", kind="drop", x=10.5, y=4.0))
    source = SourceFrame(file="site", format="test")
    return Layout(length=12.0, width=8.0, height=3.0, walls=walls, stations=stations, source=source)


def blocked(layout: Layout, **options) -> list[str]:
    return [p.message for p in check_layout(layout, **options) if p.field.startswith("stations")]


def test_door_lets_a_robot_through_by_its_width():
    layout = slanted_door(0.79)
    assert blocked(layout, robot_radius=0.5551)
    assert blocked(layout, robot_radius=0.5551, footprint=(0.9, 0.65)) == []
    assert blocked(layout, robot_radius=0.6, footprint=(0.9, 0.8))


@pytest.mark.parametrize(("width", "turns"), [(0.9, False), (1.2, True)])
def test_a_long_robot_turns_a_corner_only_where_it_fits(width, turns):
    """At 45 degrees a rectangle fits round a corner of two corridors if L / 2 <= sqrt(2) w - W: here w >= 1.025 m."""
    size, resolution = 160, 0.05
    free = np.zeros((size, size), dtype=np.bool_)
    cells = round(width / resolution)
    free[20 : 20 + cells, 20:140] = True
    free[20:140, 20 : 20 + cells] = True
    from scipy import ndimage

    clearance = (ndimage.distance_transform_edt(free) * resolution - 0.5 * resolution).astype(np.float32)
    regions, stride = narrow_regions(clearance, resolution, 1.6, 0.65)
    middle = (20 + cells // 2) // stride
    ends = [set(np.unique(regions[:, middle, 100 // stride])), set(np.unique(regions[:, 100 // stride, middle]))]
    assert all(labels - {0} for labels in ends)
    assert bool((ends[0] & ends[1]) - {0}) == turns


def test_sharp_clearance_is_never_too_large_and_hardly_too_small():
    layout = slanted_door(1.0)
    grid = occupancy_grid(layout, 0.1)
    found = sharp_clearance(layout, grid)
    exact = np.full(grid.shape, np.inf)
    points = grid.cell_to_world(np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1))
    for wall in layout.walls:
        along = np.array([wall.end[0] - wall.start[0], wall.end[1] - wall.start[1]])
        length = np.hypot(*along)
        local = points - wall.start
        t, n = local @ along / length, (local[..., 1] * along[0] - local[..., 0] * along[1]) / length
        beyond = np.maximum(np.maximum(-t, t - length), 0.0)
        exact = np.minimum(exact, np.hypot(beyond, np.maximum(np.abs(n) - 0.05, 0.0)))
    near = (exact < 1.5) & inside(grid, points, layout, exact)
    assert np.max((found - exact)[near]) < 1e-6
    assert np.max((exact - found)[near]) < 0.05


def inside(grid: OccupancyGrid, points: np.ndarray, layout: Layout, exact: np.ndarray) -> np.ndarray:
    """Where the nearest thing is a wall, not the hall's edge."""
    edge = np.minimum(points, (layout.length, layout.width) - points).min(axis=-1)
    return (edge > exact) & ~grid.occupied
