import json
import math
from pathlib import Path

import pytest

from floorcast.common.errors import InputError
from floorcast.layouts.importers.detect import import_layout
from floorcast.layouts.model import Layout
from floorcast.layouts.validation import check_layout

FILE = Path(__file__).parent / "site_files" / "two_rooms.lif.json"


@pytest.fixture
def data():
    return json.loads(FILE.read_text())


@pytest.fixture
def imported(tmp_path):
    def read(data, **options):
        path = tmp_path / "site.json"
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        return import_layout(path, **options)

    return read


def test_graph_stations_and_frame(tmp_path):
    found = import_layout(FILE, level="0")
    layout = found.layout
    assert layout.name == "Two rooms, Ground floor (Floorcast, 2024-05-02T08:00:00.00Z, LIF 1.0.0)"
    assert (layout.length, layout.width) == (18.0, 10.0)
    places = {waypoint.id: (waypoint.x, waypoint.y, waypoint.yaw, waypoint.name) for waypoint in layout.waypoints}
    assert places["A"] == (2.0, 2.0, 1.5, "")
    assert places["B"] == (10.0, 2.0, None, "crossing")
    # A point of the file is where the source frame says.
    assert (100.0 + layout.source.x, -20.0 + layout.source.y) == places["A"][:2]
    lanes = {lane.id: lane for lane in layout.lanes}
    assert set(lanes) == {"A-B", "B-C", "B-D"}
    assert (lanes["A-B"].one_way, lanes["A-B"].max_speed, lanes["A-B"].name) == (False, 0.8, "A-B / B-A")
    assert (lanes["B-C"].one_way, lanes["B-C"].max_speed) == (True, None)
    first, second = layout.stations
    assert (first.id, first.kind, first.x, first.y, first.yaw) == ("hand_over", "pick", 2.0, 2.0, 1.5)
    # Robots come to C northwards and backwards.
    assert (second.id, second.kind, second.x, second.y) == ("hand_over:C", "drop", 10.0, 8.0)
    assert second.yaw == pytest.approx(-math.pi / 2)
    (charger,) = layout.chargers
    assert charger.x > 16.0
    assert abs(charger.yaw) == pytest.approx(math.pi)
    assert check_layout(layout) == []
    assert found.read == {"layouts": 1, "nodes": 4, "edges": 5, "stations": 2, "lanes": 3, "of them two-way": 1}
    layout.save(tmp_path / "hall.yaml")
    assert Layout.load(tmp_path / "hall.yaml") == layout


def test_what_has_no_place_is_counted():
    counts = import_layout(FILE, level="ground").leftovers.counts
    assert counts["edge to a layout that is not taken"] == 1
    assert counts["trajectory of a vehicle type of an edge"] == 1
    assert counts["rotationAllowed of a vehicle type of an edge"] == 6
    assert counts["actions of a vehicle type of a node"] == 3
    assert counts["maxSpeed of a further vehicle type, where the lowest holds"] == 1
    assert counts["maxSpeed of one direction of a two-way lane, where the lower holds"] == 1
    assert counts["id that another thing has or a layout cannot hold, renamed"] == 2


def test_levels_are_chosen_or_listed(data, imported):
    for level, nodes in (("1", 1), ("upper", 1), ("0", 4)):
        assert imported(data, level=level).read["nodes"] == nodes
    for options in ({}, {"level": "7"}):
        with pytest.raises(InputError) as caught:
            imported(data, **options)
        assert "ground (level 0); upper (level 1)" in str(caught.value)
        assert "--level" in str(caught.value)
    # Parts of one level on one map belong together.
    data["layouts"][1]["layoutLevelId"] = "0"
    data["layouts"][1]["nodes"][0]["mapId"] = "m"
    found = imported(data)
    assert (found.read["layouts"], found.read["nodes"], found.read["lanes"]) == (2, 5, 4)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("nodes", 2, "nodePosition", "x"), "8", r"layouts\[0\].nodes\[2\].nodePosition.x must be a number and is '8'"),
        (("nodes", 2, "nodePosition", "x"), True, r"nodePosition.x must be a finite number"),
        (("nodes", 2, "nodePosition", "x"), 10**400, r"nodePosition.x must be a finite number"),
        (("nodes", 2, "nodePosition", "y"), 1e9, r"nodePosition.y is 1e\+09 m"),
        (("nodes", 2, "nodePosition", "y"), 50_000, "the nodes lie over"),
        (("nodes", 1, "nodePosition"), [1, 2], r"layouts\[0\].nodes\[1\].nodePosition must be a mapping"),
        (("nodes", 1, "nodeId"), "A", r"layouts\[0\].nodes\[1\].nodeId 'A' is the id of another node"),
        (("nodes", 1, "nodeId"), 7, r"layouts\[0\].nodes\[1\].nodeId must be a text"),
        (("nodes", 3), "D", r"layouts\[0\].nodes\[3\] must be a mapping"),
        (("nodes",), [], "there is no node"),
        (("nodes",), {}, r"layouts\[0\].nodes must be a list"),
        (("edges", 0, "startNodeId"), None, r"layouts\[0\].edges\[0\].startNodeId must be a text"),
        (
            ("edges", 0, "vehicleTypeEdgeProperties", 1, "maxSpeed"),
            "fast",
            r"layouts\[0\].edges\[0\].vehicleTypeEdgeProperties\[1\].maxSpeed must be a number",
        ),
        (("stations", 0, "interactionNodeIds"), [], r"layouts\[0\].stations\[0\].interactionNodeIds is empty"),
        (("stations", 0, "interactionNodeIds"), [3], r"interactionNodeIds\[0\] must be a text"),
        (("stations", 0, "stationPosition"), {"theta": "north"}, r"stations\[0\].stationPosition.theta must be"),
    ],
)
def test_wrong_fields_are_named(data, imported, place, value, message):
    target = data["layouts"][0]
    for part in place[:-1]:
        target = target[part]
    target[place[-1]] = value
    with pytest.raises(InputError, match=message):
        imported(data, level="0")


@pytest.mark.parametrize("key", ["nodeId", "nodePosition"])
def test_missing_fields_are_named(data, imported, key):
    del data["layouts"][0]["nodes"][1][key]
    with pytest.raises(InputError, match=rf"layouts\[0\].nodes\[1\].{key} is missing"):
        imported(data, level="0")


@pytest.mark.parametrize(
    "text", ['{"metaInformation": {}', "[]", "{}", '{"metaInformation": {}, "layouts": []}', "[" * 9999]
)
def test_files_that_are_no_lif(imported, text):
    with pytest.raises(InputError, match=r"site\.json"):
        imported(text)


def test_infinite_numbers_and_nan(data, imported):
    text = json.dumps(data)
    for number in ("NaN", "1e999", "-Infinity"):
        with pytest.raises(InputError):
            imported(text.replace('"x": 100.0', f'"x": {number}'), level="0")


def test_broken_links_are_left_out_and_odd_names_held(data, imported):
    ground = data["layouts"][0]
    ground["edges"][2]["endNodeId"] = "nowhere"
    ground["stations"][1]["interactionNodeIds"] = ["D", "nowhere"]
    ground["nodes"][0]["nodeName"] = "\ud800\n\x00 gate" + "x" * 1000
    ground["nodes"][0]["colour"] = 3
    ground["edges"][0]["vehicleTypeEdgeProperties"][0]["maxSpeed"] = -1
    for number in range(3):
        ground["edges"].append({**ground["edges"][1], "edgeId": "A-B"} | {"edgeName": str(number)})
    found = imported(data, level="0")
    counts = found.leftovers.counts
    assert counts["edge to a node that is not there"] == 1
    assert counts["interaction node of a station that is not there"] == 1
    assert counts["key that LIF does not have"] == 1
    assert counts["maxSpeed that is not above 0 and up to 100 m/s"] == 1
    assert [lane.id for lane in found.layout.lanes] == ["A-B", "B-D", "A-B_2", "A-B_3", "A-B_4"]
    assert found.layout.waypoints[0].name.startswith("gatexxx")
    assert found.layout.lanes[0].max_speed == 0.8
