"""Checks that need a CUDA device, or numba's simulator of one: ``test_cuda.py`` runs this file in a process of its own.

On a machine with a GPU: ``pytest -m gpu tests/perception/test_cuda.py``.
"""

import warnings

import numpy as np
import pytest
from numba import cuda

from floorcast.common.errors import InputError
from floorcast.common.geometry import optical
from floorcast.common.primitives import PLANE, PrimitiveBuilder, Primitives
from floorcast.perception.camera import Camera
from floorcast.perception.config import CameraConfig, LidarConfig, Lighting
from floorcast.perception.device import resolve_device, simulated
from floorcast.perception.lidar import Lidar
from floorcast.perception.lidar_signal import lidar_settings, lidar_surface, measure_scan
from floorcast.perception.noise import QUANTILES, as_word
from floorcast.perception.shading import light_table, linear_to_srgb, looks
from floorcast.perception.worlds import Worlds
from floorcast.tests.perception.worlds_hall import BODIES, movers, random_places, random_poses, small_hall

ROUNDING = {"float32": 2e-4, "float64": 1e-6}
"""Ranges [m] in these small halls; a grazing hit magnifies the rounding of the place."""


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # The simulator's scalars warn of an overflow that a GPU wraps silently.
        yield


def pair(worlds=3, shift=0.0, precision="float32", **options):
    halls = [small_hall(1, shift=shift), small_hall(2, shift=shift)]
    poses = random_poses(np.random.default_rng(3), worlds, shift)
    made = [
        Worlds(halls, movers(), BODIES, worlds, hall_of_world=np.arange(worlds) % 2, device=device, **options, **more)
        for device, more in (("cpu", {}), ("cuda", {"precision": precision}))
    ]
    for each in made:
        each.update(poses)
    return *made, poses


def assert_same_truth(expected, got, tolerance):
    """Same hits but for beams that pass an edge within rounding, of which these few hundred have at most two."""
    close = np.isclose(expected.true_ranges, got.true_ranges, atol=tolerance, rtol=0)
    assert (~close).sum() <= 2
    assert (close & np.isfinite(expected.true_ranges)).sum() > 50
    assert (expected.instance_id != got.instance_id)[close].sum() == 0
    assert (expected.class_id != got.class_id)[close].sum() == 0
    return close


def signal(scene, lidar, position, rotation, stream, sensor, frame, exclude):
    """Measured ranges and intensities of one lidar: the CPU's signal chain behind the CPU's ray caster."""
    hits = scene.cast(position, lidar.directions @ rotation.T, lidar.config.range_max, exclude)
    ranges, intensity = np.empty_like(hits.range), np.empty_like(hits.range)
    none, flags = np.empty(0, np.float32), np.empty(len(ranges), np.uint8)
    surface = lidar_surface(Primitives.concatenate([scene.static, scene.moving]))
    words = (as_word(stream), as_word(sensor), as_word(frame))
    place = (position[None].copy(), rotation[None].copy(), lidar.directions, len(lidar.angles))
    settings = lidar_settings(lidar.config)
    reported = (ranges, intensity, none, none, flags)
    measure_scan(
        scene.tables, surface, scene.instance_id, settings, QUANTILES, *words, exclude, *place, hits.range, hits.index,
        *reported,
    )  # fmt: skip
    return ranges, intensity


NOISY = {
    "range_bias": 0.02,
    "range_noise": 0.01,
    "range_noise_growth": 0.002,
    "range_noise_weak": 0.02,
    "range_drift": 0.05,
    "ring_bias": 0.03,
    "range_at_10_percent": 8.0,
    "dropout": 0.05,
    "dirty_sectors": 0.3,
    "intensity_noise": 0.05,
    "intensity_resolution": 1 / 255,
    "range_resolution": 0.001,
    "false_echoes": 0.05,
    "crosstalk": 0.05,
    "film_share": 0.5,
    "film_gap": 0.4,
    "echo_separation": 0.3,
}


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("changes", [{}, NOISY], ids=["default", "noisy"])
def test_scans_equal_those_of_the_cpu(precision, changes):
    cpu, gpu, _ = pair(precision=precision)
    positions, rotations = random_places(np.random.default_rng(5), 3, 2)
    lidar = Lidar(LidarConfig(beams=60, elevations=(-0.2, -0.1, 0.0, 0.1, 0.2), **changes))
    options = {"stream": [5, 6, 7], "sensors": [2, 9], "frame": [1, 2, 3]}
    got = gpu.scan(lidar, positions, rotations, exclude_body=[0, -1], **options).numpy()
    tolerance = ROUNDING[precision]
    close = assert_same_truth(cpu.scan(lidar, positions, rotations, exclude_body=[0, -1], **options), got, tolerance)
    for w in range(3):
        for s in range(2):
            place = positions[w, s], rotations[w, s]
            words = options["stream"][w], options["sensors"][s], options["frame"][w]
            ranges, intensity = signal(cpu.scene(w), lidar, *place, *words, [0, -1][s])
            shape, ok = got.ranges[w, s].shape, close[w, s]
            ranges, intensity = ranges.reshape(shape), intensity.reshape(shape)
            # A beam on a threshold (of detection, of a step) may fall to its other side.
            same = np.isclose(ranges, got.ranges[w, s], atol=max(tolerance, 2 * lidar.config.range_resolution))
            assert (same | ~ok).mean() > 0.99
            even = np.isclose(intensity, got.intensity[w, s], atol=max(1e-3, 2 * lidar.config.intensity_resolution))
            assert (even | ~same).mean() > 0.99
            assert np.isfinite(ranges).any()


def test_scans_far_from_the_origin_keep_their_accuracy():
    cpu, gpu, _ = pair(shift=100.0)
    positions, rotations = random_places(np.random.default_rng(6), 3, 1, shift=100.0)
    lidar = Lidar(LidarConfig(beams=120, dropout=0.0, range_noise=0.0, range_max=40.0))
    expected, got = cpu.scan(lidar, positions, rotations), gpu.scan(lidar, positions, rotations).numpy()
    close = np.isclose(expected.true_ranges, got.true_ranges, atol=1e-3, rtol=0)
    assert (~close).sum() <= 2


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_pictures_equal_those_of_the_cpu(precision):
    cpu, gpu, _ = pair(worlds=2, precision=precision)
    positions, rotations = random_places(np.random.default_rng(8), 2, 2, height=1.1, tilt=0.2)
    rotations = np.stack([[optical(turn) for turn in world] for world in rotations])
    camera = Camera(CameraConfig(width=25, height=18))
    options = {"stream": [5, 6], "sensors": [1, 4], "frame": 2, "exclude_body": [[0, -1], [1, 2]]}
    expected = cpu.render(camera, positions, rotations, Lighting(), **options)
    got = gpu.render(camera, positions, rotations, Lighting(), **options).numpy()
    close = np.isclose(expected.depth, got.depth, rtol=1e-4, atol=0)
    assert (~close).sum() <= 2
    assert np.isfinite(expected.depth).mean() > 0.4
    assert (expected.instance_id != got.instance_id)[close].sum() == 0
    assert (expected.class_id != got.class_id)[close].sum() == 0


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_light_follows_lambert_and_shadows(precision):
    """A table seen from above; a board that moves throws its shadow on a part of it."""
    hall, board = PrimitiveBuilder(), PrimitiveBuilder()
    hall.box((5.0, 5.0, 0.1), (0.0, 0.0, 0.0), class_name="amr", instance_id=1, color=(128, 128, 128))
    board.box((1.5, 5.0, 0.05), (0.0, 0.0, 0.0), class_name="amr", instance_id=2, body=0)
    gpu = Worlds(hall.build(), board.build(), 1, 1, device="cuda", precision=precision)
    gpu.update(np.array([[[-3.5, 0.0, 3.0, 0.0, 0.0, 0.0, 1.0]]]))
    lighting = Lighting(direction=(0.6, 0.0, -0.8), key=0.5, ambient=0.2)
    camera = Camera(CameraConfig(width=16, height=8, noise=0.0, shot_noise=0.0))
    down = np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]])
    got = gpu.render(camera, np.array([[[0.0, 0.0, 2.0]]]), down[None, None], lighting).numpy()
    np.testing.assert_allclose(got.depth, 1.9, atol=1e-5)
    # Light runs 0.75 m along x for each metre down: the edges of the board are moved by that, from its top and bottom.
    x = 1.9 * (np.arange(16) - 7.5) / camera.config.focal
    dark = (x > -5.0 + 0.75 * (2.95 - 0.1)) & (x < -2.0 + 0.75 * (3.05 - 0.1))
    assert 2 < dark.sum() < 14
    table, albedo = light_table(lighting), looks(hall.build())[0, :3]
    for u in range(16):
        # The sky's ambient light on a face that looks up; solids near it take away up to 60 % of that.
        key = (0.0 if dark[u] else 0.8) * table[3:6]
        low, high = (linear_to_srgb(albedo * (key + share * table[6:9])) for share in (0.4, 1.0))
        assert (got.rgb[0, 0, 4, u] >= np.floor(low)).all()
        assert (got.rgb[0, 0, 4, u] <= np.ceil(high)).all()


def test_any_split_of_the_worlds_gives_the_same_bytes():
    _, gpu, poses = pair()
    positions, rotations = random_places(np.random.default_rng(5), 3, 1)
    lidar = Lidar(LidarConfig(beams=40))
    whole = gpu.scan(lidar, positions, rotations, stream=[0, 1, 2]).numpy()
    alone = Worlds([small_hall(1), small_hall(2)], movers(), BODIES, 1, hall_of_world=[1], device="cuda")
    alone.update(poses[1:2])
    part = alone.scan(lidar, positions[1:2], rotations[1:2], stream=[1]).numpy()
    assert part.ranges.tobytes() == whole.ranges[1:2].tobytes()
    assert part.instance_id.tobytes() == whole.instance_id[1:2].tobytes()


def test_some_worlds_can_be_reset_alone():
    cpu, gpu, poses = pair()
    positions, rotations = random_places(np.random.default_rng(5), 3, 1)
    lidar = Lidar(LidarConfig(beams=60))
    for each in (cpu, gpu):
        each.update(poses[:1] + np.array([0.5, 0, 0, 0, 0, 0, 0]), worlds=[2])
    assert_same_truth(cpu.scan(lidar, positions, rotations), gpu.scan(lidar, positions, rotations).numpy(), 2e-4)


def test_poses_on_the_device_that_are_not_usable_are_not_seen():
    cpu, gpu, poses = pair()
    positions, rotations = random_places(np.random.default_rng(5), 3, 1)
    lidar = Lidar(LidarConfig(beams=60, elevations=(-0.3, 0.0)))
    away, broken = poses.copy(), poses.copy()
    away[0, 0, 0], broken[0, 0, 0] = 1e4, np.nan
    away[1, 1, 0], broken[1, 1, 3:] = 1e4, 0.0
    cpu.update(away)
    gpu.update(cuda.to_device(broken))
    rotations[2] = np.eye(3)
    expected = cpu.scan(lidar, positions, rotations)
    positions[2] = np.nan
    got = gpu.scan(lidar, cuda.to_device(positions), cuda.to_device(rotations)).numpy()
    assert np.isinf(got.ranges[2]).all()
    assert np.isinf(got.true_ranges[2]).all()
    assert not got.instance_id[2].any()
    close = np.isclose(expected.true_ranges[:2], got.true_ranges[:2], atol=2e-4)
    assert (~close).sum() <= 1
    for name in ("ranges", "true_ranges", "intensity"):
        assert not np.isnan(getattr(got, name)).any()


def test_a_lidar_inside_a_solid_is_at_range_zero():
    hall = PrimitiveBuilder()
    hall.box((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), class_name="rack", instance_id=7)
    hall.add(PLANE, (0.0,), (0.0, 0.0, -5.0), class_name="floor")
    empty = PrimitiveBuilder().build()
    lidar = Lidar(LidarConfig(beams=16))
    gpu = Worlds(hall.build(), empty, 0, 2, device="cuda")
    positions = np.array([[[0.1, 0.2, 0.3]], [[0.0, 0.0, -6.0]]])
    got = gpu.scan(lidar, positions, np.tile(np.eye(3), (2, 1, 1, 1))).numpy()
    assert (got.true_ranges == 0.0).all()
    assert (got.instance_id[0] == 7).all()
    assert np.isinf(got.ranges).all()


def test_effects_that_the_gpu_lacks_are_refused():
    _, gpu, _ = pair()
    positions, rotations = random_places(np.random.default_rng(5), 3, 1)
    for changes in ({"gloss": 0.5}, {"divergence_horizontal": 0.01}, {"returns": 2}):
        with pytest.raises(InputError, match="GPU"):
            gpu.scan(Lidar(LidarConfig(beams=8, **changes)), positions, rotations)
    for changes in ({"k1": 0.01}, {"supersampling": 2}, {"jpeg_quality": 80}):
        with pytest.raises(InputError, match="GPU"):
            gpu.render(Camera(CameraConfig(width=8, height=8, **changes)), positions, rotations, Lighting())


def test_an_empty_hall_gives_empty_scans():
    empty = PrimitiveBuilder().build()
    gpu = Worlds(empty, empty, 0, 1, device="cuda")
    got = gpu.scan(Lidar(LidarConfig(beams=8)), np.zeros((1, 1, 3)), np.eye(3)[None, None]).numpy()
    assert np.isinf(got.true_ranges).all()


def test_the_device_is_found():
    assert resolve_device("auto") == "cuda"
    assert resolve_device("cpu") == "cpu"


@pytest.mark.skipif(simulated(), reason="torch needs a GPU to share its memory")
def test_torch_shares_the_memory():
    torch = pytest.importorskip("torch")
    _, gpu, poses = pair()
    positions, rotations = random_places(np.random.default_rng(5), 3, 1)
    lidar = Lidar(LidarConfig(beams=60))
    gpu.update(torch.as_tensor(poses, device="cuda"))
    scans = gpu.scan(lidar, torch.as_tensor(positions, device="cuda"), torch.as_tensor(rotations, device="cuda"))
    tensor = scans.torch()["ranges"]
    assert tensor.is_cuda
    assert np.array_equal(tensor.cpu().numpy(), scans.numpy().ranges)
    assert tensor.data_ptr() == scans.ranges.__cuda_array_interface__["data"][0]
