"""Files of real sites and of the formats' makers; skipped where the field data is absent."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.layouts.importers.detect import import_layout
from floorcast.layouts.model import Layout
from floorcast.layouts.validation import check_layout

ROOT = Path(os.environ.get("FLOORCAST_FIELDDATA", Path(__file__).resolve().parents[4] / "shared" / "fielddata"))
SITES = ROOT / "layouts"

pytestmark = [
    pytest.mark.fielddata,
    pytest.mark.skipif(not SITES.is_dir(), reason=f"no field data at {ROOT} (set FLOORCAST_FIELDDATA)"),
]


def wall_area(layout):
    return sum(abs(w.end[0] - w.start[0] + w.end[1] - w.start[1]) * w.thickness for w in layout.walls)


def assert_round_trip(layout, tmp_path):
    layout.save(tmp_path / "hall.yaml")
    assert Layout.load(tmp_path / "hall.yaml") == layout


@pytest.mark.parametrize("number", range(2, 21))
def test_lif_examples(number, tmp_path):
    path = SITES / "lif" / f"lif_{number:02d}.json"
    layouts = json.loads(path.read_text())["layouts"]
    for index, one in enumerate(layouts):
        found = import_layout(path, level=one["layoutId"] if len(layouts) > 1 else None)
        layout, left = found.layout, found.leftovers.counts
        assert len(layout.waypoints) == len(one["nodes"])
        away = left["edge to a layout that is not taken"] + left["edge to a node that is not there"]
        lanes = sum(1 if lane.one_way else 2 for lane in layout.lanes)
        assert lanes + away == len(one["edges"])
        interactions = sum(len(station["interactionNodeIds"]) for station in one.get("stations", ()))
        assert len(layout.stations) + len(layout.chargers) == interactions
        for node, waypoint in zip(one["nodes"], layout.waypoints, strict=True):
            there = (node["nodePosition"]["x"] + layout.source.x, node["nodePosition"]["y"] + layout.source.y)
            assert there == pytest.approx((waypoint.x, waypoint.y)), index
        assert check_layout(layout) == []
        assert_round_trip(layout, tmp_path)
    if len(layouts) > 1:
        with pytest.raises(InputError, match="several levels"):
            import_layout(path)


def test_lif_form_has_words_for_numbers():
    # The first example is a form: "number" stands where numbers go.
    with pytest.raises(InputError, match=r"layouts\[0\]\.nodes\[0\]\.nodePosition\.x must be a number and is 'number'"):
        import_layout(SITES / "lif" / "lif_01.json")


@pytest.mark.slow
def test_grid_of_the_league(tmp_path):
    path = SITES / "mapf" / "warehouse_long_corridor_large.map"
    text = path.read_text()
    body = text[text.index("map\n") + 4 :]
    found = import_layout(path)
    assert (found.layout.length, found.layout.width) == (500.0, 140.0)
    assert wall_area(found.layout) == pytest.approx(body.count("@"))
    assert len(found.layout.stations) == body.count("E")
    assert len(found.layout.waypoints) == body.count("S")
    assert len(found.layout.walls) < body.count("@") / 10
    assert_round_trip(found.layout, tmp_path)


@pytest.mark.parametrize(
    ("folder", "picture", "resolution"),
    [
        ("maps_pgm", "map.pgm", 0.05),
        ("aws_small_warehouse/maps/002", "map.pgm", 0.02),
        ("aws_small_warehouse/maps/005", "map_rotated.png", 0.05),
        ("aws_small_warehouse/maps/005", "map.pgm", 0.05),
    ],
)
def test_occupancy_maps(folder, picture, resolution, tmp_path):
    import cv2

    values = cv2.imread(str(SITES / folder / picture), cv2.IMREAD_UNCHANGED).astype(np.float64)
    alpha = values.ndim == 3
    values = values.mean(axis=-1) if alpha else values
    occupied, free = (255 - values) / 255 > 0.65, (255 - values) / 255 < 0.196
    given = (SITES / folder / "map.yaml").read_text().splitlines()
    (tmp_path / "map.yaml").write_text("\n".join([f"image: {picture}", *given[1:]]))
    (tmp_path / picture).write_bytes((SITES / folder / picture).read_bytes())
    found = import_layout(tmp_path / "map.yaml")
    layout = found.layout
    assert found.read["occupied cells"] == np.count_nonzero(occupied)
    assert wall_area(layout) == pytest.approx(np.count_nonzero(occupied) * resolution**2)
    rows, columns = np.nonzero(occupied | free)
    assert layout.length == pytest.approx((np.ptp(columns) + 1) * resolution)
    assert layout.width == pytest.approx((np.ptp(rows) + 1) * resolution)
    assert len(layout.walls) < np.count_nonzero(occupied) / 5
    assert check_layout(layout) == []
    assert_round_trip(layout, tmp_path)
