"""The benchmark itself: its hall is what it says, both sides see the same, and (slow) the ratios hold."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.common.geometry import quaternion_from_rpy
from floorcast.common.primitives import BOX, CAPSULE, CYLINDER, PLANE, SPHERE, PrimitiveBuilder
from floorcast.perception.bench.sensors import PyBulletPeer, bench_hall, bench_sensors, compound_urdf
from floorcast.perception.config import CameraConfig, Lighting


def test_the_hall_is_of_the_stated_size_and_repeats():
    hall, again = bench_hall(0), bench_hall(0)
    assert 950 < hall.length * hall.width < 1050
    assert 2000 < hall.scene.static_count < 2900
    assert len(hall.parts) == 48
    assert np.array_equal(hall.poses, again.poses)
    assert np.array_equal(hall.places, again.places)
    for frame in (0, 7):
        hall.scene.update(hall.poses[frame])
        for height in (0.25, 0.6, 1.2):
            up = hall.scene.cast(np.append(hall.places[0, :2], height), [(0, 0, 1), (1, 0, 0)])
            assert (up.range > 0).all()  # No sensor stands in a solid.


def test_compounds_keep_every_solid_at_its_place():
    builder = PrimitiveBuilder()
    turn = quaternion_from_rpy(0.3, -0.7, 2.0)
    for kind in (BOX, CYLINDER, CAPSULE, SPHERE):
        builder.add(kind, (0.1, 0.2, 0.3), (kind, 1.5, -2), class_name="box", quaternion=turn)
    root = ElementTree.fromstring(compound_urdf(builder.build()))
    origins = [element.attrib for element in root.iterfind(".//collision/origin")]
    assert [float(o["xyz"].split()[0]) for o in origins] == [BOX, CYLINDER, CAPSULE, SPHERE]
    np.testing.assert_allclose([float(v) for v in origins[0]["rpy"].split()], [0.3, -0.7, 2.0])
    assert len(root.findall(".//visual")) == 4
    assert root.find(".//collision//capsule").attrib == {"radius": "0.1", "length": "0.4"}


def test_a_plane_is_no_part_of_a_compound():
    builder = PrimitiveBuilder()
    builder.add(PLANE, (0,), (0, 0, 0), class_name="floor")
    with pytest.raises(ValueError, match="plane"):
        compound_urdf(builder.build())


def test_the_peer_holds_the_moved_bodies_and_its_picture_shows_the_hall():
    hall = bench_hall(1)
    spot = hall.poses[5, 0]  # Robot 0, from above.
    down, config = np.diag([1.0, -1.0, -1.0]), CameraConfig(width=64, height=48)
    position = spot[:3] + np.array([0.0, 0.0, 1.5])
    with PyBulletPeer(hall) as peer:
        peer.update(hall.poses[5])
        ray = np.array([[0.0, 0.0, -1.0]])
        assert peer.ranges(position, ray, 5.0)[0] == pytest.approx(1.5 - 0.33, abs=0.01)
        ids = np.asarray(peer.picture(config, position, down, Lighting())[4])
        assert np.reshape(ids, (48, 64))[24, 32] == peer.movers[0]


def test_no_repetition_is_refused():
    with pytest.raises(InputError, match="repeat is 0"):
        bench_sensors(repeat=0)


@pytest.mark.slow
def test_the_sensors_are_as_much_faster_as_promised():
    bench = bench_sensors(repeat=5)
    rows = {row.name: row for row in bench.rows}
    assert list(rows) == ["lidar 360 beams", "lidar 16 x 1024", "camera 128 x 128", "camera 640 x 480"]
    assert rows["lidar 360 beams"].ratio >= 8
    assert rows["lidar 16 x 1024"].ratio >= 8
    assert rows["camera 128 x 128"].ratio >= 2.5
    assert min(row.agree for row in bench.rows) >= 0.999
    json.dumps([vars(row) for row in bench.rows])
    assert "solids" in bench.conditions["hall"]
