import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.layouts.importers.stations import add_stations, with_walls
from floorcast.layouts.model import Layout, Station, Wall
from floorcast.layouts.validation import check_layout

ROOMS = Layout(
    length=20.0,
    width=8.0,
    height=3.0,
    walls=(Wall(id="W1", start=(14.0, 0.0), end=(14.0, 8.0), height=2.5),),
)


def test_stations_stand_apart_in_the_largest_room():
    layout = add_stations(ROOMS, "6")
    places = np.array([(s.x, s.y) for s in layout.stations])
    assert len(places) == 6
    assert np.all(places[:, 0] < 14.0 - 0.56)
    gaps = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1)) + 100 * np.eye(6)
    # Six points in a room of 12.3 x 6.9 m that the centre of a robot can be in: 5 m apart at the very best.
    assert gaps.min() > 3.5
    assert check_layout(layout) == []
    assert {s.kind for s in layout.stations} == {"pick", "drop"}
    assert add_stations(ROOMS, "6") == layout


def test_stations_from_a_file(tmp_path):
    file = tmp_path / "stations.yaml"
    file.write_text("stations:\n- {id: in, kind: pick, x: 2, y: 2}\n- {id: out, kind: drop, x: 9, y: 6, yaw: 1.57}\n")
    layout = add_stations(ROOMS, str(file))
    assert layout.stations == (
        Station(id="in", x=2.0, y=2.0),
        Station(id="out", kind="drop", x=9.0, y=6.0, yaw=1.57),
    )
    with pytest.raises(InputError, match="'in' is taken"):
        add_stations(layout, str(file))


@pytest.mark.parametrize(
    ("asked", "words"), [("1", "ask for 2"), ("201", "ask for 2"), ("150", "room for"), ("none.yaml", "no such file")]
)
def test_what_cannot_be_added_is_refused(asked, words):
    with pytest.raises(InputError, match=words):
        add_stations(ROOMS, asked)
    with pytest.raises(InputError, match="radius room"):
        add_stations(ROOMS, "2", robot_radius=5.0)


def test_walls_stand_around_a_hall_that_has_nothing():
    bare = Layout(length=9.0, width=5.0, height=2.0)
    layout = with_walls(bare)
    assert len(layout.walls) == 4
    assert check_layout(layout) == []
    assert with_walls(layout) is layout
    assert with_walls(ROOMS) is ROOMS
