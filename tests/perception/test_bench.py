"""The benchmark itself: its hall is what it says, every peer sees what we see, a failing peer is a row and no crash."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
from xml.etree import ElementTree

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.common.geometry import quaternion_from_rpy
from floorcast.common.primitives import BOX, CAPSULE, CYLINDER, PLANE, SPHERE, TRIANGLE, PrimitiveBuilder
from floorcast.perception.bench import sensors as bench
from floorcast.perception.bench import worker
from floorcast.perception.bench.compare import alternate, sensor_case
from floorcast.perception.bench.hall import bench_hall, camera_pose, lidar_pose
from floorcast.perception.bench.ours import noisy, quiet
from floorcast.perception.bench.peer import PictureAgreement, RayFan, View, picture_agreement, ray_agreement
from floorcast.perception.bench.pybullet_peer import PyBulletPeer, compound_urdf
from floorcast.perception.bench.scaling import bench_scaling
from floorcast.perception.bench.sensors import bench_sensors, run_apart
from floorcast.perception.bench.triangles import triangulate
from floorcast.perception.bench.worker import Job, run_job
from floorcast.perception.camera import Camera
from floorcast.perception.config import CameraConfig, LidarConfig, Lighting
from floorcast.perception.lidar import Lidar
from floorcast.perception.scene import Scene, empty_primitives

AREA = 200.0
LIBRARIES = {
    "pybullet": "pybullet",
    "open3d": "open3d",
    "embreex": "embreex",
    "mujoco": "mujoco",
    "warp": "warp",
    "moderngl": "moderngl",
}


@pytest.fixture(scope="module")
def hall():
    return bench_hall(1, area=AREA)


def make_peer(name, hall):
    if importlib.util.find_spec(LIBRARIES[name]) is None:
        pytest.skip(f"{name} is not installed")
    module, cls, _ = worker.MODULES[name]
    from floorcast.perception.bench.peer import PeerUnavailable

    try:
        return getattr(importlib.import_module(f"floorcast.perception.bench.{module}"), cls)(hall, 1)
    except PeerUnavailable as error:
        pytest.skip(str(error))


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


def some_of_each():
    builder = PrimitiveBuilder()
    turn = quaternion_from_rpy(0.3, -0.7, 2.0)
    for kind, size in ((BOX, (0.4, 0.2, 0.3)), (CYLINDER, (0.3, 0.5)), (CAPSULE, (0.2, 0.4)), (SPHERE, (0.35,))):
        builder.add(kind, size, (3 + 2 * kind, 1.5, -2), class_name="box", quaternion=turn)
    return builder.build()


def volume(vertices, faces):
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return float(np.einsum("ni,ni->n", a, np.cross(b, c)).sum() / 6.0)


def test_triangulated_solids_are_closed_turn_outwards_and_keep_within_the_error():
    solids = some_of_each()
    size = solids.size
    exact = [
        8 * np.prod(size[0]),
        np.pi * size[1, 0] ** 2 * 2 * size[1, 1],
        np.pi * size[2, 0] ** 2 * (2 * size[2, 1] + 4 / 3 * size[2, 0]),
        4 / 3 * np.pi * size[3, 0] ** 3,
    ]
    scene = Scene(solids, empty_primitives(), 0)
    for error in (0.004, 0.0005):
        mesh = triangulate(solids, error=error)
        for row in range(4):
            faces = mesh.faces[mesh.owner == row]
            edges = {tuple(edge) for face in faces.tolist() for edge in zip(face, face[1:] + face[:1], strict=True)}
            assert len(edges) == 3 * len(faces)
            assert all(edge[::-1] in edges for edge in edges)
            assert volume(mesh.vertices, faces) == pytest.approx(exact[row], rel=2e-9 if row == 0 else 12 * error)
            # Corners and middles of faces, seen from far away, are where the solid is.
            a, b, c = (mesh.vertices[faces[:, k]] for k in range(3))
            middle, normal = (a + b + c) / 3.0, np.cross(b - a, c - a)
            normal /= np.linalg.norm(normal, axis=1, keepdims=True)
            hits = scene.cast(middle + 0.5 * normal, -normal, 2.0)
            assert np.abs(hits.range - 0.5).max() < 2.5 * error


def test_planes_and_triangles_are_triangulated_too():
    builder = PrimitiveBuilder()
    builder.add(PLANE, (0,), (1, 2, 3), class_name="floor")
    builder.add(TRIANGLE, (0.5, 0.2, 0.3), (0, 0, 1), class_name="box")
    mesh = triangulate(builder.build())
    assert mesh.owner.tolist() == [0, 0, 1]
    assert (mesh.vertices[mesh.vertex_owner == 0, 2] == 3.0).all()
    np.testing.assert_allclose(mesh.vertices[mesh.faces[2]], [[-0.5, -0.3, 1], [0.5, -0.3, 1], [0.2, 0.3, 1]])


def test_compounds_keep_every_solid_at_its_place():
    root = ElementTree.fromstring(compound_urdf(some_of_each()))
    origins = [element.attrib for element in root.iterfind(".//collision/origin")]
    assert [float(o["xyz"].split()[0]) for o in origins] == [3.0, 5.0, 7.0, 9.0]
    np.testing.assert_allclose([float(v) for v in origins[0]["rpy"].split()], [0.3, -0.7, 2.0])
    assert len(root.findall(".//visual")) == 4
    assert root.find(".//collision//capsule").attrib == {"radius": "0.2", "length": "0.8"}


def test_a_plane_is_no_part_of_a_compound():
    builder = PrimitiveBuilder()
    builder.add(PLANE, (0,), (0, 0, 0), class_name="floor")
    with pytest.raises(ValueError, match="plane"):
        compound_urdf(builder.build())


@pytest.mark.parametrize("name", ["pybullet", "open3d", "embreex", "mujoco", "warp"])
def test_a_peer_that_casts_rays_meets_what_we_meet(name, hall):
    config = LidarConfig(beams=720, elevations=(-0.2, 0.0, 0.1), range_max=30.0)
    bodies = hall.poses[5]
    with make_peer(name, hall) as peer:
        for place in hall.places[:2]:
            position, rotation = lidar_pose(place, 0.6)
            direction = Lidar(config).directions @ rotation.T
            rays = peer.lay_out([RayFan(position, direction, 30.0), RayFan(position + 0.1, direction, 30.0)])

            def work(poses, peer=peer, rays=rays):
                peer.update(poses)
                return peer.cast(rays)

            peer.tune(work)
            found = peer.ranges(work(bodies))
            found[found > 30.0] = np.inf
            hall.scene.update(bodies)
            for k in range(2):
                part = found[k * len(direction) : (k + 1) * len(direction)]
                _, near = ray_agreement(hall.scene, position + 0.1 * k, direction, 30.0, part)
                assert near > 0.998


@pytest.mark.parametrize("name", ["pybullet", "open3d", "embreex", "mujoco", "warp", "moderngl"])
def test_a_peer_that_takes_pictures_shows_what_we_show(name, hall):
    config = CameraConfig(width=64, height=48)
    bodies = hall.poses[5]
    spot = bodies[0, :3] + np.array([0.0, 0.0, 1.5])  # Above robot 0, looking down: moved bodies must be there.
    with make_peer(name, hall) as peer:
        for position, rotation in (camera_pose(hall.places[0]), (spot, np.diag([1.0, -1.0, -1.0]))):
            view = View(config, position, rotation, Lighting())
            aimed = peer.aim(view)
            peer.update(bodies)
            taken = peer.show(peer.picture(aimed))
            hall.scene.update(bodies)
            frame = Camera(quiet(config)).render(
                hall.scene, position, rotation, Lighting(), stream=0, sensor=0, frame=0
            )
            share = picture_agreement(frame, hall.scene, taken)
            assert share.depth_near > (0.9 if name == "pybullet" else 0.98)  # TinyRenderer's is half a pixel low.
            assert taken.rgb.shape == (48, 64, 3)
            assert taken.rgb.std() > 5
            if taken.row is not None:
                assert share.ids_near > 0.99


def test_a_wrong_peer_is_seen(hall):
    position, rotation = lidar_pose(hall.places[0], 0.6)
    direction = Lidar(LidarConfig()).directions @ rotation.T
    ranges = hall.scene.cast(position, direction, 25.0).range.astype(float)
    ranges[::10] += 0.02
    plain, near = ray_agreement(hall.scene, position, direction, 25.0, ranges)
    assert plain == pytest.approx(0.9, abs=0.02)
    assert near < 0.95
    frame = Camera(CameraConfig(width=32, height=24)).render(
        hall.scene, *camera_pose(hall.places[0]), Lighting(), stream=0, sensor=0, frame=0
    )
    from floorcast.perception.bench.peer import PeerPicture

    share = picture_agreement(frame, hall.scene, PeerPicture(frame.rgb, frame.depth * 1.5, None))
    assert share.depth_near < 0.6
    assert np.isnan(share.ids)
    assert isinstance(share, PictureAgreement)


def test_quiet_sensors_measure_the_truth_and_noisy_ones_do_not(hall):
    position, rotation = lidar_pose(hall.places[0], 0.6)
    for config, same in ((quiet(LidarConfig()), True), (noisy(LidarConfig()), False)):
        scan, truth = Lidar(config).scan(hall.scene, position, rotation, stream=0, sensor=0, frame=0)
        first = scan.ranges.reshape(len(scan.elevations), len(scan.angles), -1)[..., 0]
        assert np.array_equal(first, truth.ranges) == same


def test_turns_are_fair_and_bounded():
    calls = []

    def side(name):
        return lambda poses: calls.append((name, int(poses[0, 0])))

    poses = np.arange(4.0)[:, None, None] * np.ones((1, 2, 7))
    times = alternate(side("a"), side("b"), poses, 7, 10.0)
    assert len(times) == 7
    assert [n for n, _ in calls].count("a") == [n for n, _ in calls].count("b")
    assert [f for n, f in calls if n == "a"] == [f for n, f in calls if n == "b"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repeat": 0}, "repeat is 0"),
        ({"peers": ["nobody"]}, "no peer 'nobody'"),
        ({"sensors": ["sonar"]}, "no sensor 'sonar'"),
        ({"sensors": ["lidar 0 beams"]}, "beams"),
        ({"cores": [100_000]}, "cores are"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        bench_sensors(**options)


def test_a_missing_peer_is_an_outcome_with_its_reason(monkeypatch):
    from floorcast.perception.bench import peer

    class Absent(PyBulletPeer):
        def __init__(self, hall, cores):
            raise peer.PeerUnavailable("it is not installed")

    monkeypatch.setattr("floorcast.perception.bench.pybullet_peer.PyBulletPeer", Absent)
    outcome = run_job(Job("pybullet", area=AREA, repeat=1))
    assert outcome.comparisons == []
    assert outcome.reason == "it is not installed"


def test_a_peer_that_crashes_or_hangs_costs_its_own_rows_only(monkeypatch):
    outcome = run_apart(Job("pybullet", area=AREA), seconds=0.01)
    assert "took more than" in outcome.reason
    outcome = run_apart(dataclasses.replace(Job("pybullet"), peer="nobody"))
    assert "KeyError" in outcome.reason
    monkeypatch.setattr(bench, "run_apart", lambda job: outcome)
    report = bench_sensors(peers=["warp"], cores=[1])
    assert [(row.peer, row.cores, row.batch) for row in report.rows] == [("warp", 1, 1), ("warp", 1, 8)]
    assert {row.skipped for row in report.rows} == {outcome.reason}


def test_a_run_of_one_peer_gives_rows_with_times_and_agreement():
    if importlib.util.find_spec("pybullet") is None:
        pytest.skip("pybullet is not installed")
    report = bench_sensors(repeat=1, peers=["pybullet"], sensors=["lidar 360 beams"], cores=[1])
    assert [row.batch for row in report.rows] == [1, 8]
    assert report.rows[0].agree_near > 0.998
    for row in report.rows:
        assert (row.name, row.peer, row.cores, row.skipped) == ("lidar 360 beams", "PyBullet rayTestBatch", 1, "")
        assert row.ours_ms > 0
        assert row.ratio == pytest.approx(row.peer_ms / row.ours_ms)
        json.dumps([vars(row)])
    assert "solids" in report.conditions["hall"]


@pytest.mark.slow
def test_scaling_is_measured_and_drawn(tmp_path):
    if importlib.util.find_spec("open3d") is None:
        pytest.skip("open3d is not installed")
    points, missing = bench_scaling(tmp_path, peers=["open3d"], quick=True)
    assert missing == []
    assert {point.who for point in points} == {"ours", "open3d"}
    assert {point.at for point in points if point.panel == "beams"} == {90.0, 360.0}
    assert (tmp_path / "scaling.png").stat().st_size > 10_000
    assert "<svg" in (tmp_path / "scaling.svg").read_text()
    assert len(json.loads((tmp_path / "scaling.json").read_text())) == len(points)


def test_a_hall_with_an_annex_holds_both_and_keeps_ids_apart():
    hall = bench_hall(0, area=AREA, annex=300.0)
    static = hall.solids.static
    assert (static.kind == PLANE).sum() == 1
    objects = static.take(static.instance_id > 0)
    beyond = objects.position[:, 0] > hall.length + 4
    assert beyond.any()
    assert not set(objects.instance_id[beyond]) & set(objects.instance_id[~beyond])
    assert hall.parts.instance_id.min() > objects.instance_id.max()


@pytest.mark.parametrize(
    ("name", "rays"), [("lidar 90 beams", 90), ("lidar 4 x 128", 512), ("camera 64 x 48", 64 * 48)]
)
def test_sensors_are_made_from_their_names(name, rays):
    config = sensor_case(name).config
    count = config.width * config.height if isinstance(config, CameraConfig) else len(Lidar(config).directions)
    assert count == rays
