import copy
import math
import os
from pathlib import Path

import numpy as np
import pytest
import yaml

from floorcast.common.errors import InputError
from floorcast.layouts.importers import rmf
from floorcast.layouts.importers.detect import import_layout
from floorcast.layouts.model import Layout
from floorcast.layouts.reachability import docking_pose
from floorcast.layouts.validation import check_layout

ROOT = Path(os.environ.get("FLOORCAST_FIELDDATA", Path(__file__).resolve().parents[4] / "shared" / "fielddata"))
FOLDER = ROOT / "layouts" / "rmf"
LANE = {"bidirectional": [4, True], "graph_idx": [2, 0], "orientation": [1, ""], "speed_limit": [3, 0]}


def small_level():
    """Return a room of 10 x 6 m at 0.02 m per pixel, a wall with a door of 2 m at x = 5 m, a lane through it."""
    return {
        "drawing": {"filename": "small.png"},
        "elevation": 0,
        "vertices": [
            [0, 0, 0, ""],
            [500, 0, 0, ""],
            [500, 300, 0, ""],
            [0, 300, 0, ""],
            [250, 0, 0, ""],
            [250, 100, 0, ""],
            [250, 200, 0, ""],
            [250, 300, 0, ""],
            [100, 150, 0, "west", {"pickup_dispenser": [1, "shelf"], "is_holding_point": [4, True]}],
            [400, 150, 0, "east", {"dropoff_ingestor": [1, "bin"]}],
            [400, 250, 0, "power", {"is_charger": [4, True], "is_parking_spot": [4, True]}],
            [350, 20, 0, "", {"is_parking_spot": [4, True], "lift_cabin": [1, "lift"]}],
        ],
        "walls": [[a, b, {"alpha": [3, 1]}] for a, b in ((0, 1), (1, 2), (2, 3), (3, 0), (4, 5), (6, 7))],
        "lanes": [
            [8, 9, LANE],
            [9, 10, {**LANE, "bidirectional": [4, False], "graph_idx": [2, 3], "speed_limit": [3, 0.7]}],
        ],
        "doors": [[5, 6, {"name": [1, "middle"], "type": [1, "hinged"]}]],
        "floors": [{"parameters": {}, "vertices": [0, 1, 2, 3]}],
        "measurements": [[0, 1, {"distance": [3, 10.0]}], [3, 0, {"distance": [3, 6.0]}]],
        "models": [{"model_name": "Chair", "name": "chair", "x": 3, "y": 4, "z": 0, "yaw": 0}],
    }


def small_building(**changes):
    return {
        "name": "small",
        "coordinate_system": "reference_image",
        "levels": {"L1": small_level()},
        "lifts": {},
        **changes,
    }


@pytest.fixture
def written(tmp_path):
    def write(building):
        path = tmp_path / "small.building.yaml"
        path.write_text(building if isinstance(building, str) else yaml.safe_dump(building))
        return path

    return write


def in_map(source, point):
    """Return where a source point lies in ``map``, by what the source frame says."""
    x, y = point[0], -point[1] if source.mirrored else point[1]
    cos, sin = math.cos(source.yaw), math.sin(source.yaw)
    return (
        source.scale * (cos * x - sin * y) + source.x,
        source.scale * (sin * x + cos * y) + source.y,
    )


def test_a_small_building(written, tmp_path):
    found = import_layout(written(small_building()))
    layout = found.layout
    assert (layout.name, layout.length, layout.width) == ("small L1", pytest.approx(10.1), pytest.approx(6.1))
    assert layout.source.scale == pytest.approx(0.02)
    assert layout.source.mirrored
    assert found.read["walls"] == len(layout.walls) == 6
    # The picture's upper edge is the hall's far side; walls are half their thickness longer at either end.
    top = next(wall for wall in layout.walls if wall.id == "L1.wall0")
    assert (top.start, top.end) == ((0.0, pytest.approx(6.05)), (pytest.approx(10.1), pytest.approx(6.05)))
    assert {(wall.thickness, wall.height) for wall in layout.walls} == {(0.1, 2.5)}
    places = {point.id: (point.x, point.y) for point in layout.waypoints}
    assert list(places) == ["west", "east", "power", "L1.vertex11"]
    assert places["west"] == pytest.approx((2.05, 3.05))
    assert places["west"] == pytest.approx(in_map(layout.source, (100, 150)), abs=1e-4)
    both, one = layout.lanes
    assert (both.start, both.end, both.one_way, both.max_speed, both.name) == ("west", "east", False, None, "graph 0")
    assert (one.id, one.one_way, one.max_speed, one.name) == ("L1.lane1", True, 0.7, "graph 3")
    # Stations face the way that robots come there; a place without a name to wait at is none.
    assert [(s.id, s.kind, s.yaw) for s in layout.stations] == [
        ("west.pick", "pick", pytest.approx(math.pi)),
        ("east.drop", "drop", 0.0),
    ]
    left = found.leftovers.counts
    assert left["door, which stays open"] == left["place in a lift"] == 1
    assert left["model, whose size the file does not tell"] == 1
    assert check_layout(layout) == []
    layout.save(tmp_path / "small.yaml")
    assert Layout.load(tmp_path / "small.yaml") == layout


def test_a_charger_is_placed_where_its_robot_stands_on_the_vertex(written):
    building = small_building()
    (charger,) = import_layout(written(building)).layout.chargers
    x, y, yaw = docking_pose(charger, rmf.ROBOT_RADIUS)
    assert (x, y) == pytest.approx((8.05, 1.05), abs=1e-3)
    assert yaw == pytest.approx(-math.pi / 2)  # the way the lane comes from the north
    # A wall where the box stood: it goes to a side, and never onto the lane.
    building["levels"]["L1"]["vertices"] += [[350, 290, 0, ""], [450, 290, 0, ""]]
    building["levels"]["L1"]["walls"].append([12, 13, {}])
    (moved,) = import_layout(written(building)).layout.chargers
    assert docking_pose(moved, rmf.ROBOT_RADIUS)[:2] == pytest.approx((8.05, 1.05), abs=1e-3)
    assert moved.yaw != charger.yaw
    assert check_layout(import_layout(written(building)).layout) == []
    # Walls all around: no charger, and the place stays.
    building["levels"]["L1"]["vertices"] += [[360, 215, 0, ""], [440, 215, 0, ""]]
    building["levels"]["L1"]["walls"] += [[14, 12, {}], [15, 13, {}], [14, 15, {}]]
    found = import_layout(written(building))
    assert found.layout.chargers == ()
    assert found.leftovers.counts["charger without room for its box: a place to stand only"] == 1
    assert "power.stand" in {station.id for station in found.layout.stations}


def test_a_wall_along_a_door_is_cut_open(written):
    building = small_building()
    level = building["levels"]["L1"]
    level["walls"] = [edge for edge in level["walls"] if edge[:2] not in ([4, 5], [6, 7])] + [[7, 4, {}]]
    found = import_layout(written(building))
    assert found.leftovers.counts["wall along a door, cut open there"] == 1
    pieces = sorted(
        tuple(sorted((wall.start[1], wall.end[1]))) for wall in found.layout.walls if wall.id.startswith("L1.wall4")
    )
    assert pieces == [pytest.approx((0.0, 2.05)), pytest.approx((4.05, 6.1))]
    assert check_layout(found.layout) == []


def test_levels_lie_on_the_reference_level_by_fiducials(written):
    """The upper level's drawing is turned by 0.3 rad, twice as fine, shifted, and has no measurement of its own."""
    building = small_building(reference_level_name="L1")
    lower = building["levels"]["L1"]
    upper = building["levels"]["L2"] = copy.deepcopy(lower)

    def drawn(x, y):
        turned = 2.0 * complex(x, -y) * complex(math.cos(0.3), math.sin(0.3)) + complex(40, -700)
        return [turned.real, -turned.imag]

    upper["vertices"] = [[*drawn(*row[:2]), *row[2:]] for row in lower["vertices"]]
    del upper["measurements"]
    marks = {"a": (10, 20), "b": (480, 30), "c": (200, 280)}
    lower["fiducials"] = [[*place, name] for name, place in marks.items()]
    upper["fiducials"] = [[*drawn(*place), name] for name, place in reversed(marks.items())]
    path = written(building)
    first, second = import_layout(path, level="L1").layout, import_layout(path, level="L2").layout
    assert second.source.scale == pytest.approx(0.01)
    assert second.source.yaw == pytest.approx(-0.3)
    for a, b in zip(first.walls, second.walls, strict=True):
        assert a.start + a.end == pytest.approx(b.start + b.end, abs=1e-3)
    for place in marks.values():
        assert in_map(first.source, place) == pytest.approx(in_map(second.source, drawn(*place)), abs=1e-3)
    # One in common is not enough.
    upper["fiducials"] = upper["fiducials"][:1]
    found = import_layout(written(building), level="L2")
    assert found.layout.source.scale == 0.05
    assert any("two fiducials" in line for line in found.leftovers.lines())


def test_which_level(written):
    building = small_building()
    building["levels"]["L2"] = copy.deepcopy(building["levels"]["L1"])
    with pytest.raises(InputError, match="'L1', 'L2'"):
        import_layout(written(building))
    with pytest.raises(InputError, match="no level 'L9'"):
        import_layout(written(building), level="L9")
    del building["levels"]["L2"]["lanes"]
    assert import_layout(written(building)).layout.source.name == "L1"
    assert import_layout(written(building), level="L2").layout.lanes == ()


@pytest.mark.parametrize(
    "measurements",
    [
        None,
        [],
        [[0, 1, {"distance": [3, 0]}]],
        [[0, 1, {"distance": [3, -2.0]}]],
        [[0, 1, {"distance": [3, 1e300]}]],
        [[0, 1, {"distance": [3, float("nan")]}]],
        [[0, 0, {"distance": [3, 2.0]}]],
        [[0, 99, {"distance": [3, 2.0]}]],
    ],
)
def test_without_a_measurement_the_editors_scale_is_taken_and_told(written, measurements):
    building = small_building()
    building["levels"]["L1"]["measurements"] = measurements
    found = import_layout(written(building))
    assert found.layout.source.scale == 0.05
    assert any("guess" in line for line in found.leftovers.lines())


def test_measurements_that_disagree_are_told(written):
    building = small_building()
    building["levels"]["L1"]["measurements"][1][2]["distance"] = [3, 6.9]
    found = import_layout(written(building))
    assert found.layout.source.scale == pytest.approx((10 / 500 + 6.9 / 300) / 2)
    assert [count for reason, count in found.leftovers.counts.items() if "off their mean" in reason] == [2]


def test_metres_and_the_globe(written):
    """One room in metres, in degrees and on map tiles: 0.001 degrees of latitude are 110.6 m at the equator."""
    building = small_building(coordinate_system="cartesian_meters")
    metres = import_layout(written(building)).layout
    assert (metres.length, metres.width) == pytest.approx((500.1, 300.1))
    assert metres.source.scale == 1.0
    assert not metres.source.mirrored
    north = {point.id: point.y for point in metres.waypoints}
    assert north["power"] > north["east"]

    building["coordinate_system"] = "wgs84"
    for row in building["levels"]["L1"]["vertices"]:
        row[:2] = 103.78 + row[0] * 1e-6, 45.0 + row[1] * 1e-6
    globe = import_layout(written(building)).layout
    # Lengths of a degree at 45 degrees of latitude, from tables of WGS 84.
    assert globe.length == pytest.approx(78846.8 * 5e-4 + 0.1, rel=1e-4)
    assert globe.width == pytest.approx(111131.7 * 3e-4 + 0.1, rel=1e-4)
    assert "103.78" in globe.source.name

    building["coordinate_system"] = "web_mercator"
    for sign in (1, -1):
        tiles = copy.deepcopy(building)
        for row in tiles["levels"]["L1"]["vertices"]:
            up = math.asinh(math.tan(math.radians(row[1])))
            row[:2] = 128 + 128 * row[0] / 180, sign * (128 - 128 * up / math.pi)
        layout = import_layout(written(tiles)).layout
        assert (layout.length, layout.width) == pytest.approx((globe.length, globe.width), abs=1e-3)
        assert layout.waypoints[0].y == pytest.approx(globe.waypoints[0].y, abs=1e-3)


@pytest.mark.parametrize(
    ("section", "value", "reason"),
    [
        ("walls", [[0, 99, {}]], "wall with a vertex"),
        ("walls", [[-1, 2, {}]], "wall with a vertex"),
        ("walls", [[True, 2, {}]], "wall with a vertex"),
        ("walls", [["0", 2.0, {}]], "wall with a vertex"),
        ("walls", [[0]], "names no two vertices"),
        ("walls", [{"start": 0}], "names no two vertices"),
        ("walls", [[2, 2, {}]], "ends where it starts"),
        ("walls", 7, "not a list"),
        ("lanes", [[0, 12, LANE]], "lane with a vertex"),
        ("lanes", [[8, 9, {"speed_limit": [3, float("inf")]}]], "speed limit"),
        ("lanes", [[8, 9, {"speed_limit": [3, -1]}]], "speed limit"),
        ("lanes", [[8, 9, {"orientation": [1, "backward"]}]], "orientation"),
        ("vertices", [[float("nan"), 3, 0, "a"]], "two numbers"),
        ("vertices", [["x", 3, 0, "a"]], "two numbers"),
        ("vertices", [[10**400, 3, 0, "a"]], "two numbers"),
        ("vertices", ["vertex"], "two numbers"),
        ("vertices", [[1e30, 3, 0, "a"]], "away from the middle"),
        ("vertices", [[30, 3, 0, "", {"magic": [1, "yes"]}]], "not known"),
        ("magic", [1], "part of the level that is not known"),
        ("floors", [{"vertices": [0, 1, 77]}], "floor with"),
        ("floors", ["floor"], "floor with"),
        ("models", ["model"], "model, whose size"),
        ("holes", [{"vertices": [0, 1, 2]}], "hole in a floor"),
    ],
)
def test_one_bad_thing_is_counted_and_the_rest_goes_on(written, section, value, reason):
    building = small_building()
    building["levels"]["L1"].setdefault(section, [])
    if isinstance(value, list):
        building["levels"]["L1"][section] += value
    else:
        building["levels"]["L1"][section] = value
    found = import_layout(written(building))
    assert [count for told, count in found.leftovers.counts.items() if reason in told], found.leftovers.lines()
    walls = 0 if value == 7 else 6
    assert len(found.layout.walls) == walls
    size = (10.1, 6.1) if walls else (10.0, 6.0)
    assert (found.layout.length, found.layout.width) == pytest.approx(size)
    assert {"west", "east", "power"} <= {point.id for point in found.layout.waypoints}


def test_numbers_that_yaml_reads_as_text_are_numbers(written):
    building = small_building()
    building["levels"]["L1"]["vertices"][0][0] = "1e-05"
    found = import_layout(written(building))
    assert found.read["walls"] == 6
    assert found.layout.length == pytest.approx(10.1)


def test_names_of_one_kind_stay_apart(written):
    building = small_building()
    level = building["levels"]["L1"]
    level["vertices"] += [[30 + i / 100, 30, 0, "same" if i % 2 else "x" * 300] for i in range(2000)]
    found = import_layout(written(building))
    points = found.layout.waypoints
    assert len({point.id for point in points}) == len(points) == 2004
    assert {point.name for point in points} == {"west", "east", "power", "", "same", "x" * 256}
    assert [count for reason, count in found.leftovers.counts.items() if "stands twice" in reason] == [1999]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("levels:\n  L1:\n    vertices: [[0, 0", "not valid YAML"),
        ("levels: !!python/object/apply:os.system ['true']", "not valid YAML"),
        ("a: &a [1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
         "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n"
         "f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]", "values once all aliases"),
        ("levels: &l\n  L1: *l", "stands within"),
        ("levels: !!int ''", "cannot be read"),
        ("", "no levels"),
        ("[1, 2]", "no levels"),
        ("levels: [1]", "no levels"),
        ("levels: {}", "which level"),
        ("levels: {L1: 5}", "no mapping"),
        ("levels: {L1: {}}", "nothing in it"),
        ("levels: {L1: {vertices: [[.nan, 1, 0, a]]}}", "nothing in it"),
        ("coordinate_system: mars\nlevels: {L1: {}}", "coordinate system"),
        ("coordinate_system: wgs84\nlevels: {L1: {vertices: [[500, 1, 0, a]]}}", "nothing in it"),
    ],
)  # fmt: skip
def test_files_of_no_use_are_refused(written, text, words):
    with pytest.raises(InputError, match=words):
        import_layout(written(text))


def test_a_file_of_too_much_is_refused(written, monkeypatch):
    monkeypatch.setattr(rmf, "MAX_VALUES", 1000)
    text = "levels:\n  L1:\n    vertices:\n" + "    - [0, 0, 0, a]\n" * 200
    with pytest.raises(InputError, match="more than 1,000 values"):
        import_layout(written(text))
    monkeypatch.setattr(rmf, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match="larger than"):
        import_layout(written(text))


@pytest.mark.slow
@pytest.mark.fielddata
@pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no field data at {ROOT} (set FLOORCAST_FIELDDATA)")
def test_every_level_of_the_field_files(tmp_path):
    """Counts, lengths and places against an independent reading of each file."""
    seen = {}
    for path in sorted(FOLDER.glob("*.building.yaml")):
        building = yaml.safe_load(path.read_text())
        for name, level in building["levels"].items():
            found = import_layout(path, level=name)
            layout = found.layout
            seen[path.name.split(".")[0], name] = len(layout.walls), len(layout.lanes)
            vertices = level["vertices"]
            used = {vertex for lane in level["lanes"] for vertex in lane[:2]}
            used |= {index for index, row in enumerate(vertices) if row[3]}
            assert len(layout.waypoints) >= len(used)
            assert len(layout.walls) == len(level.get("walls", []))
            assert len(layout.lanes) == len(level["lanes"])
            assert sum(not lane.one_way for lane in layout.lanes) == sum(
                lane[2]["bidirectional"][1] for lane in level["lanes"]
            )
            assert found.leftovers.counts["door, which stays open"] == len(level.get("doors", []))
            chargers = sum(row[4].get("is_charger", [4, False])[1] for row in vertices if len(row) > 4)
            without = found.leftovers.counts["charger without room for its box: a place to stand only"]
            assert len(layout.chargers) + without == chargers
            if not layout.source.mirrored:
                continue
            # Each wall and each named vertex lies where the source frame says, y up.
            for wall, edge in zip(layout.walls, level["walls"], strict=True):
                middle = np.mean([vertices[v][:2] for v in edge[:2]], axis=0)
                assert np.mean([wall.start, wall.end], axis=0) == pytest.approx(in_map(layout.source, middle), abs=2e-4)
            for edge in level["measurements"] if name == next(iter(building["levels"])) else []:
                ends = [in_map(layout.source, vertices[v][:2]) for v in edge[:2]]
                assert math.dist(*ends) == pytest.approx(edge[2]["distance"][1], rel=0.01)
            layout.save(tmp_path / "layout.yaml")
            assert Layout.load(tmp_path / "layout.yaml") == layout
    assert seen["office", "L1"] == (33, 30)
    assert seen["clinic", "L1"][0] + seen["clinic", "L2"][0] == 619
    assert seen["campus", "L1"] == (0, 154)
    assert len(seen) == 10
