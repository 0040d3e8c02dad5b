import pickle

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.perception.camera import Camera
from floorcast.perception.config import CameraConfig, LidarConfig, Lighting
from floorcast.perception.lidar import Lidar
from floorcast.perception.scene import Scene
from floorcast.perception.threads import set_threads
from floorcast.perception.worlds import Worlds

from .worlds_hall import BODIES, movers, random_places, random_poses, small_hall

LIDAR = Lidar(LidarConfig(beams=90, elevations=(-0.1, 0.0, 0.1)))
NAMES = ("ranges", "intensity", "true_ranges", "instance_id", "class_id")


def make(worlds=5, **options):
    halls = [small_hall(1), small_hall(2, shift=3.0)]
    made = Worlds(halls, movers(), BODIES, worlds, hall_of_world=np.arange(worlds) % 2, device="cpu", **options)
    rng = np.random.default_rng(7)
    return halls, made, random_poses(rng, worlds), *random_places(rng, worlds, 2)


LIDARS = {
    "rings": LIDAR.config,
    "level": LidarConfig(beams=90, angle_offset=0.02, returns=2, film_share=0.5),
    "wide beams": LidarConfig(beams=60, divergence_horizontal=0.01, gloss=1.0),
}


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", LIDARS)
def test_worlds_see_what_scenes_see_bit_for_bit(name, threads):
    halls, worlds, poses, positions, rotations = make()
    lidar = Lidar(LIDARS[name])
    if name != "rings":
        rotations[:] = np.eye(3)
        positions[..., 2] = np.linspace(0.3, 0.7, 10).reshape(5, 2)
    worlds.update(poses)
    streams, frames = np.arange(10, 15), np.arange(5)
    options = {"stream": streams, "sensors": [3, 4], "frame": frames, "exclude_body": [0, -1]}
    set_threads(threads)
    try:
        got = worlds.scan(lidar, positions, rotations, **options)
        again = worlds.scan(lidar, positions, rotations, **options)
    finally:
        set_threads(1)
    assert 0.2 < np.isfinite(got.ranges).mean() < 1.0
    for w in range(5):
        scene = Scene(halls[w % 2], movers(), BODIES)
        scene.update(poses[w])
        for s in range(2):
            scan, truth = lidar.scan(
                scene,
                positions[w, s],
                rotations[w, s],
                stream=int(streams[w]),
                sensor=3 + s,
                frame=int(frames[w]),
                exclude_body=[0, -1][s],
            )
            assert np.array_equal(got.ranges[w, s], scan.ranges)
            assert np.array_equal(got.intensity[w, s], scan.intensity)
            assert np.array_equal(got.true_ranges[w, s], truth.ranges)
            assert np.array_equal(got.instance_id[w, s], truth.instance_id)
            assert np.array_equal(got.class_id[w, s], truth.class_id)
    assert all(getattr(again, name).tobytes() == getattr(got, name).tobytes() for name in NAMES)


def test_more_heights_than_are_listed_change_nothing(monkeypatch):
    _, worlds, poses, positions, rotations = make()
    lidar = Lidar(LIDARS["level"])
    rotations[:] = np.eye(3)
    positions[..., 2] = np.linspace(0.3, 0.7, 10).reshape(5, 2)
    worlds.update(poses)
    listed = worlds.scan(lidar, positions, rotations)
    monkeypatch.setattr("floorcast.perception.worlds.MAX_SLICES", 1)
    assert np.array_equal(worlds.scan(lidar, positions, rotations).ranges, listed.ranges)


def test_a_scan_leaves_scenes_that_rays_can_be_cast_into():
    halls, worlds, poses, positions, rotations = make()
    worlds.update(poses)
    rays = LIDAR.directions[::7]
    scene = worlds.scene(4)
    before = scene.cast(positions[4, 0], rays).range
    worlds.scan(LIDAR, positions, rotations)
    alone = Scene(halls[0], movers(), BODIES)
    alone.update(poses[4])
    assert np.array_equal(scene.cast(positions[4, 0], rays).range, alone.cast(positions[4, 0], rays).range)
    assert np.array_equal(worlds.scene(4).cast(positions[4, 0], rays).range, before)


def test_copies_of_worlds_scan_alike():
    _, worlds, poses, positions, rotations = make()
    worlds.update(poses)
    before = worlds.scan(LIDAR, positions, rotations)
    other = pickle.loads(pickle.dumps(worlds))
    worlds.update(poses[::-1].copy())
    assert np.array_equal(other.scan(LIDAR, positions, rotations).ranges, before.ranges)


@pytest.mark.slow  # It compiles the camera.
def test_pictures_of_worlds_are_those_of_scenes_bit_for_bit():
    halls, worlds, poses, positions, rotations = make(3)
    worlds.update(poses)
    camera, rotations = Camera(CameraConfig(width=24, height=16)), rotations[..., [1, 2, 0]] * [-1, -1, 1]
    got = worlds.render(camera, positions, rotations, Lighting(), stream=[4, 5, 6], frame=2, exclude_body=[-1, 0])
    assert np.isfinite(got.depth).mean() > 0.3
    for w in range(3):
        scene = Scene(halls[w % 2], movers(), BODIES)
        scene.update(poses[w])
        for s in range(2):
            place = positions[w, s], rotations[w, s]
            options = {"stream": 4 + w, "sensor": s, "frame": 2, "exclude_body": [-1, 0][s]}
            picture = camera.render(scene, *place, Lighting(), **options)
            assert np.array_equal(got.rgb[w, s], picture.rgb)
            assert np.array_equal(got.depth[w, s], picture.depth)
            assert np.array_equal(got.instance_id[w, s], picture.instance)
            assert np.array_equal(got.class_id[w, s], picture.semantic)


def test_any_split_of_the_worlds_gives_the_same_bytes():
    halls, worlds, poses, positions, rotations = make()
    worlds.update(poses)
    whole = worlds.scan(LIDAR, positions, rotations, stream=np.arange(5))
    for w in range(5):
        alone = Worlds(halls, movers(), BODIES, 1, hall_of_world=[w % 2], device="cpu")
        alone.update(poses[w : w + 1])
        part = alone.scan(LIDAR, positions[w : w + 1], rotations[w : w + 1], stream=[w])
        for name in NAMES:
            assert getattr(part, name).tobytes() == getattr(whole, name)[w : w + 1].tobytes()


def test_some_worlds_can_be_reset_alone():
    _, worlds, poses, positions, rotations = make()
    worlds.update(poses)
    before = worlds.scan(LIDAR, positions, rotations)
    worlds.update(poses[[0, 2]] + np.array([1.5, 0, 0, 0, 0, 0, 0]), worlds=[1, 3])
    after = worlds.scan(LIDAR, positions, rotations)
    changed = [not np.array_equal(before.true_ranges[w], after.true_ranges[w]) for w in range(5)]
    assert changed == [False, True, False, True, False]
    moved = poses.copy()
    moved[[1, 3]] = poses[[0, 2]] + np.array([1.5, 0, 0, 0, 0, 0, 0])
    worlds.update(moved)
    assert np.array_equal(worlds.scan(LIDAR, positions, rotations).ranges, after.ranges)


def test_a_world_takes_little_memory():
    worlds = Worlds(small_hall(1), movers(), BODIES, 4096, device="cpu")
    assert worlds.nbytes == 4096 * BODIES * 7 * 8


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda p: p[:2], "shape"),
        (lambda p: p * np.nan, "not usable"),
        (lambda p: p * [1, 1, 1, 0, 0, 0, 0], "not usable"),
    ],
)
def test_bad_poses_are_refused_and_change_nothing(change, what):
    _, worlds, poses, positions, rotations = make()
    worlds.update(poses)
    before = worlds.scan(LIDAR, positions, rotations)
    with pytest.raises(InputError, match=what):
        worlds.update(change(poses))
    assert np.array_equal(worlds.scan(LIDAR, positions, rotations).ranges, before.ranges)


def test_bad_arguments_are_named():
    hall = small_hall(1)
    with pytest.raises(InputError, match="0 halls"):
        Worlds([], movers(), BODIES, 2, device="cpu")
    with pytest.raises(InputError, match="hall_of_world"):
        Worlds(hall, movers(), BODIES, 2, hall_of_world=[0, 1], device="cpu")
    with pytest.raises(InputError, match="precision"):
        Worlds(hall, movers(), BODIES, 2, device="cpu", precision="half")
    with pytest.raises(InputError, match="device 'gpu' is unknown"):
        Worlds(hall, movers(), BODIES, 2, device="gpu")
    _, worlds, poses, positions, rotations = make()
    with pytest.raises(InputError, match="worlds 0 to 5 of 5"):
        worlds.update(poses[:2], worlds=[0, 5])
    with pytest.raises(InputError, match="do not fit 5 worlds"):
        worlds.scan(LIDAR, positions[:3], rotations[:3])
    with pytest.raises(InputError, match="rotation"):
        worlds.scan(LIDAR, positions, 2.0 * rotations)
    with pytest.raises(InputError, match="stream has shape"):
        worlds.scan(LIDAR, positions, rotations, stream=[1, 2])
