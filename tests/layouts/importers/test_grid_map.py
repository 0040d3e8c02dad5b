from pathlib import Path

import pytest

from floorcast.common.errors import InputError
from floorcast.layouts.importers.detect import import_layout
from floorcast.layouts.model import Layout
from floorcast.layouts.validation import check_layout

FILE = Path(__file__).parent / "site_files" / "depot.map"


@pytest.fixture
def imported(tmp_path):
    def read(text, **options):
        path = tmp_path / "site.map"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return import_layout(path, **options)

    return read


def grid(*rows, height=None, width=None):
    return "\n".join(["type octile", f"height {height or len(rows)}", f"width {width or len(rows[0])}", "map", *rows])


def area(layout):
    return sum(abs(w.end[0] - w.start[0] + w.end[1] - w.start[1]) * w.thickness for w in layout.walls)


def test_cells_become_walls_stations_and_waypoints(tmp_path):
    layout = import_layout(FILE).layout
    assert (layout.length, layout.width) == (12.0, 6.0)
    # Two long walls, the ends of the right one and a shelf.
    assert [(w.start, w.end, w.thickness) for w in layout.walls] == [
        ((0.0, 5.5), (12.0, 5.5), 1.0),
        ((11.5, 3.0), (11.5, 5.0), 1.0),
        ((3.0, 2.5), (7.0, 2.5), 1.0),
        ((11.0, 1.5), (12.0, 1.5), 1.0),
        ((0.0, 0.5), (12.0, 0.5), 1.0),
    ]
    assert [(s.id, s.x, s.y, s.kind) for s in layout.stations] == [
        ("E_0_1", 0.5, 4.5, "pick"),
        ("E_11_3", 11.5, 2.5, "pick"),
    ]
    assert len(layout.waypoints) == 10
    assert (layout.waypoints[0].id, layout.waypoints[0].x, layout.waypoints[0].y) == ("S_3_2", 3.5, 3.5)
    # The middle of the cell in column 3, row 2 by the source's frame.
    source = layout.source
    assert source.mirrored
    assert (3.5 * source.scale + source.x, -2.5 * source.scale + source.y) == (3.5, 3.5)
    layout.save(tmp_path / "hall.yaml")
    assert Layout.load(tmp_path / "hall.yaml") == layout


def test_robots_need_cells_that_are_wider_than_they():
    assert any("blocked" in problem.message for problem in check_layout(import_layout(FILE).layout))
    layout = import_layout(FILE, cell_size=1.3).layout
    assert layout.length == pytest.approx(15.6)
    assert check_layout(layout) == []


def test_swamp_is_floor_and_water_an_obstacle(imported):
    found = imported(grid("..SW", "T.GO").replace("\n", "\r\n") + "\r\n")
    assert area(found.layout) == 3.0
    assert found.layout.waypoints == ()
    assert found.leftovers.counts == {
        "swamp cell S, taken for floor": 1,
        "water cell W, taken for an obstacle": 1,
    }


@pytest.mark.parametrize(
    ("text", "message", "where"),
    [
        (grid("..", height=50_000, width=20_000), "a map of 20000 x 50000 cells is not read", "site.map"),
        (grid("..", height=10**9, width=10**9), "is not read", "site.map"),
        (grid("..", height=-3), "height is '-3', no count of cells", "line 2"),
        (grid("..", width="9" * 50), "width is '9999", "line 3"),
        (grid("..", "..", height=3), "the header says 3 rows and 2 follow it", "line 4"),
        (grid("..", "...", ".."), "the row has 3 cells and the header says width 2", "line 6"),
        (grid("..", "", ".."), "the row has 0 cells", "line 6"),
        (grid("..", ".x"), "'x' is no cell", "line 6, column 2"),
        (grid("..", ".\x00"), "is no cell", "line 6, column 2"),
        ("type octile\nheight 2\nmap\n..\n..\n", "does not say width", "line 3"),
        ("height 2\nwidth 2\n..\n..\n", "does not begin as a grid does", "site.map"),
        ("", "does not begin as a grid does", "site.map"),
        (b"\xff\xfe" + b"\n" * 10_000, "does not begin", "site.map"),
        ("type octile\nheight 3\nwidth 2\nmap\n" + "\n" * 10_000, "the header says 3 rows and 0 follow", "line 4"),
    ],
)
def test_bad_files_are_refused(imported, text, message, where):
    with pytest.raises(InputError, match=message) as caught:
        imported(text)
    assert where in caught.value.where


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), float("inf"), 1e6])
def test_bad_cell_sizes_are_refused(size):
    with pytest.raises(InputError, match="a cell of"):
        import_layout(FILE, cell_size=size)


def test_options_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(InputError, match="no levels"):
        import_layout(FILE, level="1")
    with pytest.raises(InputError, match="no cells to size"):
        import_layout(FILE.with_name("room.yaml"), cell_size=2.0)
    path = tmp_path / "long.map"
    path.write_text(grid("." * 200))
    with pytest.raises(InputError, match="more than the 10000 m"):
        import_layout(path, cell_size=60.0)
