import math
import re

import pytest

from floorcast.common.config import parse_model
from floorcast.common.errors import InputError
from floorcast.layouts.model import (
    Aisle,
    Charger,
    Column,
    DockDoor,
    Good,
    Lane,
    Layout,
    Light,
    Rack,
    Station,
    Wall,
    Waypoint,
)
from floorcast.layouts.validation import check_layout, require_valid

from .hall import small_hall


def spoiled(**changes):
    return small_hall().model_copy(update=changes)


def added(kind, thing):
    return spoiled(**{kind: (*getattr(small_hall(), kind), thing)})


def replaced(kind, index, **changes):
    things = list(getattr(small_hall(), kind))
    things[index] = things[index].model_copy(update=changes)
    return spoiled(**{kind: tuple(things)})


def test_the_small_hall_is_valid():
    assert check_layout(small_hall()) == []
    require_valid(small_hall(), "small.yaml")


def test_a_route_graph_of_a_site_is_valid():
    points = (Waypoint(id="N1", x=2.0, y=3.0), Waypoint(id="N2", x=20.0, y=3.0, yaw=0.0))
    assert check_layout(spoiled(waypoints=points, lanes=(Lane(id="L1", start="N2", end="N1"),))) == []


@pytest.mark.parametrize(
    ("layout", "field", "words"),
    [
        (added("walls", Wall(id="W9", start=(9.0, 7.0), end=(9.0, 12.0))), "racks[0]", "'R1' goes through"),
        (added("racks", Rack(id="R3", x=14.0, y=8.5, bays=1)), "racks[2]", "'R3' overlaps racks[0] 'R1' by 0.60 m"),
        (added("columns", Column(id="P2", x=8.0, y=8.0)), "racks[0]", "columns[1] 'P2'"),
        (added("racks", Rack(id="R3", x=18.0, y=2.0, bays=2)), "racks[2]", "outside"),
        (added("columns", Column(id="R1", x=8.0, y=2.0)), "racks[0].id", "already"),
        (replaced("goods", 0, id="E1"), "goods[0].id", "already that of chargers[0]"),
        (replaced("goods", 1, rack="R7"), "goods[1].rack", "names rack 'R7'"),
        (replaced("goods", 1, y=6.0), "goods[1]", "does not stand in its rack"),
        (replaced("goods", 1, size=(0.7, 1.1, 1.5)), "goods[1].z", "sticks in a beam"),
        (replaced("goods", 1, z=1.65), "goods[1]", "overlaps goods[0] 'G1' by"),
        (replaced("goods", 2, x=5.0, y=5.1), "goods[2]", "overlaps columns[0] 'P1'"),
        (replaced("goods", 2, x=25.0), "goods[2]", "outside"),
        (replaced("goods", 2, size=(0.4, 0.3, 8.0)), "goods[2]", "reaches 8 m"),
        (replaced("stations", 0, x=21.0), "stations[0]", "outside"),
        (replaced("stations", 0, y=7.2), "stations[0]", "blocked"),
        (replaced("chargers", 0, x=1.0, y=8.0, yaw=math.pi), "chargers[0]", "blocked"),
        (added("docks", DockDoor(id="D2", x=3.0, y=9.0)), "docks[1]", "away from the outer walls"),
        (added("docks", DockDoor(id="D2", x=0.0, y=10.0)), "docks[1]", "overlaps docks[0]"),
        (added("aisles", Aisle(id="A2", start=(9.0, 6.0), end=(9.0, 11.0), width=2)), "aisles[1]", "obstacle"),
        (added("aisles", Aisle(id="A2", start=(9.0, 6.0), end=(9.0, 16.0), width=2)), "aisles[1].end", "outside"),
        (added("aisles", Aisle(id="A2", start=(9.0, 6.0), end=(9.0, 6.0), width=2)), "aisles[1]", "starts where"),
        (added("walls", Wall(id="W9", start=(9.0, 2.0), end=(90.0, 2.0))), "walls[4].end", "outside"),
        (added("lights", Light(position=(3.0, 30.0, 5.0))), "lights[1]", "outside"),
        (added("lights", Light(position=(3.0, 3.0, 9.0))), "lights[1]", "reaches 9 m"),
        (replaced("columns", 0, height=9.0), "columns[0].height", "reaches 9 m"),
        (replaced("racks", 1, level_heights=(3.2, 1.6)), "racks[1].level_heights", "must rise"),
        (replaced("racks", 1, height=2.0), "racks[1].height", "top level"),
        (spoiled(length=1e5), "length", "over the limit"),
        (added("waypoints", Waypoint(id="N1", x=21.0, y=3.0)), "waypoints[0]", "outside"),
        (added("waypoints", Waypoint(id="R1", x=1.0, y=3.0)), "waypoints[0].id", "already that of racks[0]"),
        (added("lanes", Lane(id="R1", start="N1", end="N1")), "lanes[0].id", "already that of racks[0]"),
        (added("lanes", Lane(id="L1", start="N1", end="R1")), "lanes[0].start", "names waypoint 'N1'"),
        (added("lanes", Lane(id="L1", start="N1", end="R1")), "lanes[0].end", "names waypoint 'R1'"),
    ],
)  # fmt: skip
def test_each_fault_is_named(layout, field, words):
    problems = check_layout(layout)
    found = [problem for problem in problems if problem.field == field and words in problem.message]
    assert found, [str(problem) for problem in problems]
    assert all(problem.mend for problem in problems)
    with pytest.raises(InputError) as caught:
        require_valid(layout, "spoiled.yaml")
    assert "spoiled.yaml" in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_walled_off_station_is_unreachable_though_the_floor_around_it_is_free():
    walls = (
        *small_hall().walls,
        Wall(id="F1", start=(16.5, 0.0), end=(16.5, 4.0)),
        Wall(id="F2", start=(16.4, 4.1), end=(20.0, 4.1)),
    )
    layout = spoiled(walls=walls)
    (problem,) = check_layout(layout)
    assert problem.field == "chargers[0]"
    assert "cannot be reached" in problem.message


def test_a_narrow_gap_lets_small_robots_through():
    gap = 1.3
    walls = (
        *small_hall().walls,
        Wall(id="F1", start=(7.0, 0.0), end=(7.0, 6.0 - gap / 2)),
        Wall(id="F2", start=(7.0, 6.0 + gap / 2), end=(7.0, 12.0)),
    )
    layout = spoiled(walls=walls)
    assert check_layout(layout, robot_radius=0.56) == []
    assert {problem.field for problem in check_layout(layout, robot_radius=0.7)} <= {
        "stations[1]",
        "stations[0]",
        "chargers[0]",
    }
    assert check_layout(layout, robot_radius=0.7) != []


def test_a_loose_carton_can_block_a_lane():
    walls = (
        *small_hall().walls,
        Wall(id="F1", start=(7.0, 0.0), end=(7.0, 5.0)),
        Wall(id="F2", start=(7.0, 7.0), end=(7.0, 12.0)),
    )
    assert check_layout(spoiled(walls=walls)) == []
    goods = (*small_hall().goods, Good(id="G9", x=7.0, y=6.0, size=(0.3, 1.2, 0.5)))
    assert check_layout(spoiled(walls=walls, goods=goods)) != []


def test_things_that_touch_do_not_overlap():
    first = small_hall().racks[0]
    beside = first.model_copy(update={"id": "R3", "x": first.x - first.length, "bays": first.bays})
    racks = (*small_hall().racks, beside)
    stations = (small_hall().stations[0], Station(id="S2", x=2.0, y=5.0))
    layout = spoiled(racks=racks, stations=stations, columns=(), docks=())
    assert [problem for problem in check_layout(layout) if "overlaps" in problem.message] == []
    nearer = beside.model_copy(update={"x": beside.x + 0.02})
    problems = check_layout(layout.model_copy(update={"racks": (*small_hall().racks, nearer)}))
    assert [problem.field for problem in problems if "by 0.02 m" in problem.message] == ["racks[2]"]


def test_walls_may_cross_and_double_each_other_and_hide_no_rack_in_a_wall():
    """1,600 crossings are more than the overlaps that are told."""
    lines = [Wall(id=f"V{i}", start=(1.1 + 0.02 * i, 9.0), end=(1.1 + 0.02 * i, 10.0)) for i in range(40)]
    lines += [Wall(id=f"H{i}", start=(1.0, 9.1 + 0.02 * i), end=(2.0, 9.1 + 0.02 * i)) for i in range(40)]
    doubled = small_hall().walls[0].model_copy(update={"id": "W1.again"})
    layout = spoiled(walls=(*lines, *small_hall().walls, doubled), stations=(), chargers=(), docks=())
    assert check_layout(layout) == []
    through = Wall(id="W9", start=(9.0, 7.0), end=(9.0, 12.0))
    problems = check_layout(layout.model_copy(update={"walls": (*layout.walls, through)}))
    assert {problem.field for problem in problems} == {"racks[0]", "racks[1]"}


def test_many_problems_fit_one_screen():
    goods = tuple(Good(id=f"G{i}", x=-5.0 - i, y=3.0, size=(0.5, 0.5, 0.5)) for i in range(50))
    with pytest.raises(InputError) as caught:
        require_valid(spoiled(goods=goods), "hall.yaml")
    assert "and 40 more" in str(caught.value)
    assert len(str(caught.value).splitlines()) < 20


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"length": 1e308}, "length"),
        ({"width": 2e4}, "width"),
        ({"walls": [{"id": "W9", "start": [-1e308, 0], "end": [1e308, 0]}]}, "walls.0.start.0"),
        ({"aisles": [{"id": "A9", "start": [0, 0], "end": [0, 1e300], "width": 1}]}, "aisles.0.end.1"),
        ({"conveyors": [{"id": "C9", "start": [1, 1], "end": [2, 2], "width": 1e308}]}, "conveyors.0.width"),
        ({"goods": [{"id": "G", "x": 1, "y": 1, "size": [1e308, 1, 1]}]}, "goods.0.size.0"),
        ({"goods": [{"id": "G", "x": 1, "y": 1, "size": [1, 1, 1], "color": [0, 256, 0]}]}, "goods.0.color.1"),
        ({"racks": [{"id": "R", "x": 1, "y": 1, "bays": 1, "level_heights": [1.0] * 41}]}, "racks.0.level_heights"),
        pytest.param({"goods": [{}] * 500_001}, "goods", marks=pytest.mark.slow),
    ],
)
def test_impossible_numbers_are_refused_when_read(changes, field):
    with pytest.raises(InputError, match="field") as caught:
        parse_model({**small_hall().model_dump(mode="json"), **changes}, Layout, source="hall.yaml")
    assert f"'{field}" in str(caught.value)


def test_everything_in_one_spot_is_told_in_bounded_time_and_space(monkeypatch):
    monkeypatch.setattr("floorcast.layouts.footprints.MAX_CANDIDATES", 20_000)
    goods = tuple(Good(id=f"H{i}", x=12.0, y=6.0, size=(0.5, 0.5, 0.5)) for i in range(1000))
    problems = check_layout(spoiled(goods=goods))
    assert 900 < len([problem for problem in problems if "overlaps" in problem.message]) <= 1000


def test_problems_of_a_file_name_their_lines(tmp_path):
    path = tmp_path / "hall.yaml"
    layout = replaced("racks", 1, height=2.0)
    layout.save(path)
    with pytest.raises(InputError) as caught:
        require_valid(Layout.load(path), str(path))
    number = int(re.search(r"line (\d+), racks\[1\]\.height: ", str(caught.value)).group(1))
    assert path.read_text().splitlines()[number - 1].strip() == "height: 2.0"


def test_chargers_count_as_places_to_reach():
    blocked = Charger(id="E2", x=18.0, y=0.15, yaw=math.pi / 2)
    crate = Good(id="G9", kind="crate", x=18.0, y=0.8, size=(0.6, 0.6, 0.6))
    layout = added("chargers", blocked).model_copy(update={"goods": (*small_hall().goods, crate)})
    assert [problem.field for problem in check_layout(layout)] == ["chargers[1]"]
