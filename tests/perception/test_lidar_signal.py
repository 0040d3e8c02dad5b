"""What a lidar makes of true ranges: each link of the noise chain against its closed form."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit
from numpy.testing import assert_allclose, assert_array_equal
from pydantic import ValidationError
from scipy import stats

from floorcast.common.classes import CLASS_NAMES
from floorcast.common.primitives import BOX, CYLINDER, PLANE, SPHERE, PrimitiveBuilder
from floorcast.perception import lidar_signal as signal
from floorcast.perception.config import LidarConfig
from floorcast.perception.lanes import LANES
from floorcast.perception.lidar import Lidar
from floorcast.perception.noise import QUANTILES
from floorcast.perception.scene import Scene, empty_primitives

SILENT = {"range_noise": 0.0, "dropout": 0.0, "grazing_dropout": 0.0}
GREY = ((160 / 255 + 0.055) / 1.055) ** 2.4
"""Reflectivity of the default colour."""


def measure(config, scene, position=(0.0, 0.0, 0.0), rotation=None, stream=5, sensor=0, frame=0):
    """Measure one scan, geometry by the ray caster: truth, first and second return, intensities, flags."""
    lidar = Lidar(config)
    poses = np.eye(3)[None] if rotation is None else np.asarray(rotation, dtype=np.float64).reshape(-1, 3, 3)
    origins, n = np.array(position, dtype=np.float64).reshape(-1, 3), len(lidar.directions)
    column = np.arange(n) % len(poses)
    hits = scene.cast(
        np.ascontiguousarray(origins[column]),
        np.einsum("bij,bj->bi", poses[column], lidar.directions),
        config.range_max,
    )
    two = n if config.returns == 2 else 0
    sizes = (n, n, two, two)
    ranges, intensity, second, second_intensity = (np.full(size, np.nan, np.float32) for size in sizes)
    flags = np.zeros(n, np.uint8)
    signal.measure_scan(
        scene.tables,
        signal.lidar_surface(scene.world_primitives()),
        scene.instance_id,
        signal.lidar_settings(config),
        QUANTILES,
        np.uint64(stream),
        np.uint64(sensor),
        np.uint64(frame),
        -1,
        origins,
        poses,
        lidar.directions,
        len(lidar.angles),
        hits.range,
        hits.index,
        ranges,
        intensity,
        second,
        second_intensity,
        flags,
    )
    assert not np.isnan(ranges).any()
    assert not np.isnan(second).any()
    assert not np.isnan(intensity).any()
    return hits.range, ranges, second, intensity, flags


def wall(distance, color=(160, 160, 160), class_name="wall"):
    """A wall across x, far wider than any beam."""
    builder = PrimitiveBuilder()
    builder.box((0.5, 4000, 50), (distance + 0.5, 0, 0), class_name=class_name, color=color)
    return Scene(builder.build(), empty_primitives(), 0)


def pencil(count, angle=0.0, **settings):
    """A lidar whose ``count`` beams all go the same way."""
    return LidarConfig(
        **{"beams": count, "angle_min": angle, "angle_max": angle + 1e-9, "range_max": 200.0, **settings}
    )


def within(count, share, sigmas=4.0):
    """Half width of a confidence interval of a share."""
    return sigmas * np.sqrt(max(share * (1 - share), 0.5 / count) / count)


@pytest.mark.parametrize("distance", [2.0, 12.0, 35.0])
def test_the_noise_grows_with_range_and_with_weak_signals(distance):
    n = 40000
    config = pencil(
        n, range_noise=0.01, range_noise_growth=2e-3, range_noise_weak=0.02, range_bias=0.004, range_at_10_percent=60,
        dropout=0, grazing_dropout=0,
    )  # fmt: skip
    _, ranges, *_ = measure(config, wall(distance))
    strength = GREY / 0.1 * (60 / distance) ** 2
    sigma = np.sqrt(0.01**2 + (2e-3 * distance) ** 2 + 0.02**2 / strength)
    error = ranges.astype(float) - distance
    assert np.isfinite(ranges).all()
    assert error.mean() == pytest.approx(0.004, abs=4 * sigma / np.sqrt(n))
    assert error.std() == pytest.approx(sigma, rel=4 / np.sqrt(2 * n))
    assert stats.kurtosis(error) == pytest.approx(0, abs=0.12)


def test_weak_signals_are_the_noisier():
    config = pencil(40000, range_noise=0, range_noise_weak=0.03, range_at_10_percent=20, dropout=0, grazing_dropout=0)
    distance = 20 * np.sqrt(GREY / 0.1 / 2)  # The signal is 2.
    _, ranges, *_ = measure(config, wall(distance))
    back = ranges[np.isfinite(ranges)].astype(float)
    assert len(back) > 39990
    assert back.std() == pytest.approx(0.03 / np.sqrt(2), rel=0.02)


@pytest.mark.parametrize("strength", [0.6, 0.9, 1.0, 1.15, 1.5])
@pytest.mark.parametrize("angle", [0.0, 1.1])
def test_detection_fades_as_the_normal_distribution_says(strength, angle):
    n = 20000
    distance = 20 * np.sqrt(GREY * np.cos(angle) / 0.1 / strength) * np.cos(angle)
    config = pencil(n, angle, range_at_10_percent=20, detection_noise=0.25, **SILENT)
    _, ranges, *_ = measure(config, wall(distance))
    expected = stats.norm.cdf((strength - 1) / 0.25)
    assert np.isfinite(ranges).mean() == pytest.approx(expected, abs=within(n, expected) + 3e-4)


@pytest.mark.parametrize("angle", [0.0, 0.8, 1.3])
def test_dropout_adds_up_from_incidence_and_detection(angle):
    n = 20000
    config = pencil(n, angle, dropout=0.03, grazing_dropout=0.5, range_noise=0)
    _, ranges, _, intensity, flags = measure(config, wall(5.0))
    expected = 0.03 + 0.5 * (1 - np.cos(angle)) ** 4
    assert np.isinf(ranges).mean() == pytest.approx(expected, abs=within(n, expected))
    assert_array_equal(flags == 0, np.isinf(ranges))
    assert_array_equal(intensity > 0, np.isfinite(ranges))


def test_ranges_and_intensities_come_in_whole_steps():
    config = LidarConfig(beams=720, range_resolution=0.004, intensity_noise=0.1, intensity_resolution=1 / 255)
    _, ranges, _, intensity, _ = measure(config, wall(3.0))
    steps = ranges[np.isfinite(ranges)].astype(float) / 0.004
    assert_allclose(steps, np.round(steps), atol=1e-3)
    assert len(np.unique(steps)) > 50
    levels = intensity.astype(float) * 255
    assert_allclose(levels, np.round(levels), atol=1e-4)
    assert levels.max() <= 255


def test_intensity_and_its_noise():
    n = 40000
    _, _, _, intensity, _ = measure(pencil(n, 0.5, intensity_noise=0.08, **SILENT), wall(4.0))
    assert intensity.mean() == pytest.approx(GREY * np.cos(0.5), rel=0.002)
    assert intensity.std() == pytest.approx(0.08 * GREY * np.cos(0.5), rel=0.03)


def drifts(frames, **settings):
    config = LidarConfig(beams=4, angle_min=-1e-6, angle_max=1e-6, rate=10, **{**SILENT, **settings})
    scene = wall(5.0)
    return np.array([measure(config, scene, frame=f)[1].astype(float) - 5.0 for f in frames])


def test_drift_is_shared_slow_and_of_the_stated_size():
    error = drifts(range(0, 40000, 40), range_drift=0.02, range_drift_time=2.0)  # Two knots apart: independent.
    assert_allclose(error, error[:, :1] * np.ones((1, 4)), atol=1e-6)
    assert error[:, 0].std() == pytest.approx(0.02, rel=0.1)
    assert abs(np.corrcoef(error[:-1, 0], error[1:, 0])[0, 1]) < 0.13
    following = drifts(range(100), range_drift=0.02, range_drift_time=2.0)[:, 0]
    assert np.abs(np.diff(following)).max() < 0.02 * 5 * np.pi / 2 / 20


def test_each_ring_has_its_own_constant_bias():
    config = LidarConfig(beams=3, angle_min=-1e-6, angle_max=1e-6, elevations=(0.0,) * 400, ring_bias=0.03, **SILENT)
    scene = wall(5.0)
    first, second = (measure(config, scene, frame=f)[1].reshape(400, 3).astype(float) - 5 for f in (0, 7))
    assert_array_equal(first, second)
    assert_allclose(first, first[:, :1] * np.ones((1, 3)), atol=2e-6)
    assert first[:, 0].std() == pytest.approx(0.03, rel=0.15)
    assert not np.array_equal(first, measure(config, scene, sensor=1)[1].reshape(400, 3) - 5)


def edge_scene(near=4.0, far=10.0, edge=0.0):
    """A near wall that covers y > edge, before a far one."""
    builder = PrimitiveBuilder()
    builder.box((0.5, 50, 50), (near + 0.5, 50 + edge, 0), class_name="wall")
    builder.box((0.5, 500, 50), (far + 0.5, 0, 0), class_name="wall")
    return Scene(builder.build(), empty_primitives(), 0)


@pytest.mark.parametrize("returns", [1, 2])
def test_the_share_of_a_footprint_across_an_edge(returns):
    divergence, near, far = 0.01, 4.0, 10.0
    config = LidarConfig(
        beams=401, angle_min=-0.02, angle_max=0.02, range_max=50, divergence_horizontal=divergence, returns=returns,
        echo_separation=100.0 if returns == 1 else 0.1, **SILENT,
    )  # fmt: skip
    angles = Lidar(config).angles
    for shift in (-0.001, -0.0023, -0.0037):  # Where the near wall's end face is not seen.
        scene = edge_scene(near, far, near * np.tan(shift))
        truth, ranges, second, _, flags = measure(config, scene)
        beside = np.abs(np.diff(truth)).argmax()
        for b in (beside - 30, beside, beside + 1, beside + 20):
            share_near = 0.5 + (angles[b] - shift) / divergence  # Of the footprint, flat profile.
            assert flags[b] & signal.MIXED
            strength = np.array([share_near / near**2, (1 - share_near) / far**2])
            if returns == 1:
                expected = strength @ [near, far / np.cos(shift)] / strength.sum()
                assert ranges[b] == pytest.approx(expected, abs=0.05)
            else:
                strongest = strength.argmax()
                both = sorted([ranges[b], second[b]])
                assert_allclose(both, [near, far], atol=1e-2)
                assert (ranges[b] < second[b]) == (strongest == 0)
        assert (flags[np.abs(angles - shift) > divergence] == signal.TARGET).all()


def test_edges_of_solids_without_a_closed_form_are_searched():
    config = LidarConfig(
        beams=81, angle_min=-0.02, angle_max=0.02, divergence_horizontal=0.01, returns=2, echo_separation=0.1, **SILENT
    )
    upright = measure(config, edge_scene(edge=-0.009))
    builder = PrimitiveBuilder()
    lean = np.array([np.sin(1e-5), 0.0, 0.0, np.cos(1e-5)])
    builder.box((0.5, 50, 50), (4.5, 49.991, 0), class_name="wall", quaternion=lean)
    builder.box((0.5, 500, 50), (10.5, 0, 0), class_name="wall", quaternion=lean)
    leaning = measure(config, Scene(builder.build(), empty_primitives(), 0))
    assert (upright[4] & signal.MIXED).sum() > 10
    assert_array_equal(upright[4], leaning[4])
    assert_allclose(np.sort([upright[1], upright[2]], axis=0), np.sort([leaning[1], leaning[2]], axis=0), atol=5e-3)
    swapped = (upright[1] < upright[2]) != (leaning[1] < leaning[2])  # Echoes of equal strength.
    assert swapped.sum() <= 1
    assert np.abs(upright[3] - leaning[3])[~swapped].max() < 1 / 100


def test_a_lidar_that_moves_by_nothing_measures_as_one_at_rest():
    count, scene = 100, cluttered()  # No whole number of vectors in a ring.
    config = LidarConfig(beams=count, elevations=(-0.3, -0.1, 0.05, 0.2), **EVERYTHING)
    rest = measure(config, scene, (1.0, 2.0, 0.3), rotated(0.4))
    moving = measure(config, scene, [(1.0, 2.0, 0.3)] * count, np.array([rotated(0.4)] * count))
    assert (rest[4] & signal.MIXED > 0).sum() > 8
    for one, other in zip(rest, moving, strict=True):
        same = (one == other) | (np.abs(one - other.astype(float)) < 4e-3)
        assert (~same).sum() <= 2  # On the verge of detection; others differ by a step at most.


def test_return_modes_order_the_echoes():
    scene = edge_scene()
    for mode in ("strongest", "first", "last"):
        config = LidarConfig(
            beams=41, angle_min=-0.02, angle_max=0.02, divergence_horizontal=0.01, returns=2, return_mode=mode, **SILENT
        )
        _, ranges, second, _, flags = measure(config, scene)
        both = (flags & signal.MIXED > 0) & np.isfinite(second)
        assert both.any()
        if mode != "strongest":
            assert ((ranges < second) == (mode == "first"))[both].all()


def test_the_upper_edge_of_a_box_is_found_between_rings():
    near, top, divergence = 4.0, 0.0237, 0.012
    builder = PrimitiveBuilder()
    builder.box((0.5, 50, 5), (near + 0.5, 0, near * np.tan(top) - 5), class_name="wall")
    builder.box((0.5, 500, 50), (10.5, 0, 0), class_name="wall")
    scene = Scene(builder.build(), empty_primitives(), 0)
    rings = 0.01 * np.arange(-4, 8)
    config = LidarConfig(
        beams=1, angle_min=0, angle_max=1e-9, elevations=tuple(rings.tolist()), divergence_vertical=divergence,
        returns=2, echo_separation=0.1, **SILENT,
    )  # fmt: skip
    for rotation in (np.eye(3), tilted(1e-6)):  # The second is no longer level.
        _, ranges, second, intensity, flags = measure(config, scene, rotation=rotation)
        assert_array_equal(np.flatnonzero(flags & signal.MIXED), [6])  # The ring at 0.02.
        share = 0.5 - (top - rings[6]) / divergence
        assert_allclose([ranges[6], second[6]], [near / np.cos(0.02), 10 / np.cos(top + 0.0012)], rtol=1e-3)
        assert intensity[6] == pytest.approx((1 - share) * GREY * np.cos(0.02), rel=0.01)


def tilted(pitch):
    c, s = np.cos(pitch), np.sin(pitch)
    return np.array([[c, 0, s], [0, 1.0, 0], [-s, 0, c]])


def test_where_surfaces_meet_there_is_no_edge():
    builder = PrimitiveBuilder()
    builder.add(PLANE, (0,), (0, 0, 0), class_name="floor")
    builder.box((0.5, 50, 5), (5.5, 0, 5), class_name="wall")
    builder.box((0.5, 1, 0.5), (4.5, 1, 0.5), class_name="box")
    scene = Scene(builder.build(), empty_primitives(), 0)
    config = LidarConfig(
        beams=9, angle_min=-0.4, angle_max=-0.1, elevations=(-0.3, -0.2, -0.1, 0.1), divergence_horizontal=0.01,
        divergence_vertical=0.01, **SILENT,
    )  # fmt: skip
    *_, flags = measure(config, scene, position=(0.0, 0.0, 0.9))
    assert (flags == signal.TARGET).all()


def test_no_divergence_no_mixing():
    _, _, _, _, flags = measure(LidarConfig(beams=41, angle_min=-0.02, angle_max=0.02, **SILENT), edge_scene())
    assert (flags == signal.TARGET).all()


def test_film_in_front_of_goods_gives_a_first_return():
    config = pencil(
        50, 0.3, film_share=1.0, film_gap=0.3, film_haze=0.08, echo_separation=0.1, returns=2, return_mode="first",
        **SILENT,
    )  # fmt: skip
    scene = wall(5.0, class_name="box")
    truth, ranges, second, intensity, flags = measure(config, scene)
    assert_allclose(second, truth, rtol=1e-6)
    assert_allclose(ranges, truth - 0.3 / np.cos(0.3), rtol=1e-5)
    assert (flags == signal.TARGET | signal.WRAPPED).all()
    assert_allclose(intensity, 0.08 * np.cos(0.3), rtol=1e-5)
    strongest = measure(config.model_copy(update={"return_mode": "strongest", "returns": 1}), scene)[1]
    assert_allclose(strongest, truth, rtol=1e-6)


def test_film_takes_light_at_grazing_incidence():
    plain, wrapped = (pencil(4000, 1.35, range_at_10_percent=10, film_share=s, **SILENT) for s in (0.0, 1.0))
    cosine = np.cos(1.35)
    surface = signal.lidar_surface(wall(5.0, class_name="box").world_primitives())[0, signal.REFLECTIVITY]
    distance = 10 * np.sqrt(surface * cosine / 0.1 / 1.6) * cosine  # Without film the signal is 1.6.
    scene = wall(distance, class_name="box")
    assert np.isfinite(measure(plain, scene)[1]).mean() > 0.99
    assert np.isfinite(measure(wrapped, scene)[1]).mean() < 0.5


def test_the_stated_share_of_the_goods_is_wrapped_and_stays_so():
    builder = PrimitiveBuilder()
    for k in range(600):
        a = 2 * np.pi * k / 600
        builder.box((0.02, 0.02, 1), (10 * np.cos(a), 10 * np.sin(a), 0), yaw=a, class_name="box", instance_id=k + 1)
    scene = Scene(builder.build(), empty_primitives(), 0)
    config = LidarConfig(beams=600, film_share=0.3, **SILENT)
    flags = [measure(config, scene, frame=f, sensor=f, rotation=rotated(np.pi / 600 * 0))[4] for f in (0, 1)]
    assert_array_equal(*flags)
    assert (flags[0] & signal.WRAPPED > 0).mean() == pytest.approx(0.3, abs=0.08)


def rotated(yaw):
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def test_a_shiny_floor_shows_the_wall_behind_its_reflection():
    builder = PrimitiveBuilder()
    builder.add(PLANE, (0,), (0, 0, 0), class_name="floor", color=(40, 40, 40))
    builder.box((0.5, 50, 20), (30.5, 0, 20), class_name="wall", color=(250, 250, 250))
    scene = Scene(builder.build(), empty_primitives(), 0)
    down = 0.06  # The floor is met at 86.6 degrees, 8.3 m away.
    config = LidarConfig(
        beams=1, angle_min=0, angle_max=1e-9, elevations=(-down,), range_max=80, gloss=1.0, range_at_10_percent=200,
        echo_separation=0.3, returns=2, return_mode="strongest", **SILENT,
    )  # fmt: skip
    truth, ranges, second, _, flags = measure(config, scene, position=(0.0, 0.0, 0.5))
    assert truth[0] == pytest.approx(0.5 / np.sin(down), rel=1e-5)
    mirror = 0.04 + 0.96 * (1 - np.sin(down)) ** 5
    floor = (1 - mirror) * signal.lidar_surface(scene.world_primitives())[0, 0] * np.sin(down) / truth[0] ** 2
    image = mirror**2 * signal.lidar_surface(scene.world_primitives())[1, 0] * np.cos(down) / (30 / np.cos(down)) ** 2
    assert image > floor
    assert ranges[0] == pytest.approx(30 / np.cos(down), abs=1e-3)
    assert second[0] == pytest.approx(truth[0], abs=1e-5)
    assert flags[0] == signal.TARGET | signal.MIRRORED
    matt = measure(config.model_copy(update={"gloss": 0.0}), scene, position=(0.0, 0.0, 0.5))
    assert matt[1][0] == pytest.approx(truth[0], abs=1e-5)


@pytest.mark.parametrize("sweep", [0.0, 0.08])
def test_what_is_drawn_of_a_mirror_image_is_what_rays_find(sweep):
    rng = np.random.default_rng(8)
    builder = PrimitiveBuilder()
    builder.add(PLANE, (0,), (0, 0, 0.1), class_name="floor", color=(250, 250, 250))
    for k in range(60):
        place = rng.uniform((-8, -8, -0.1), (8, 8, 1.5))
        builder.add(
            (BOX, CYLINDER, SPHERE)[k % 3], rng.uniform(0.05, 0.4, 3), place, class_name="rack", instance_id=k + 1
        )
    for side in (-1, 1):
        builder.box((0.5, 20, 4), (12 * side, 0, 0), class_name="wall")
    scene = Scene(builder.build(), empty_primitives(), 0)
    config = LidarConfig(
        beams=300, elevations=(0.1, -0.02, -0.3, -0.1), range_max=30, gloss=1.0, returns=2, sweep_time=sweep, **SILENT
    )
    position, rotation = np.array([0.3, -0.2, 0.9]), rotated(0.7)
    velocity = np.array([0.5, -0.3, 0.0, 0.0, 0.0, 0.8]) if sweep else None
    lidar = Lidar(config)
    scan, truth = lidar.scan(scene, position, rotation, stream=5, sensor=0, frame=0, velocity=velocity)
    if sweep:
        time = signal.beam_times(config)
        origins = position + time[:, None] * velocity[:3]
        turns = np.array([rotated(0.7 + 0.8 * t) for t in time])
    else:
        origins, turns = position[None], rotation[None]
    _, ranges, second, _, flags = measure(config, scene, rotation=turns, position=origins)
    assert (flags & signal.MIRRORED > 0).sum() > 150
    same = flags == truth.flags.reshape(-1)
    for got, expected in ((scan.ranges, ranges), (scan.second_ranges, second)):
        same &= np.isclose(got.reshape(-1), expected, atol=2e-3) | (got.reshape(-1) == expected)
    assert (~same).sum() <= 2  # Rays start a little above the floor.


@pytest.mark.parametrize("strength", [0.98, 1.02])
def test_mirrored_echoes_that_are_just_strong_enough_are_found(strength):
    builder = PrimitiveBuilder()
    builder.add(PLANE, (0,), (0, 0, 0), class_name="floor", color=(40, 40, 40))
    builder.box((0.5, 50, 20), (30.5, 0, 20), class_name="wall", color=(255, 255, 255))
    scene, down = Scene(builder.build(), empty_primitives(), 0), 0.06
    mirror, path = 0.04 + 0.96 * (1 - np.sin(down)) ** 5, 30 / np.cos(down)
    gain = strength * path**2 / (mirror**2 * np.cos(down))
    config = LidarConfig(
        beams=1, angle_min=0, angle_max=1e-9, elevations=(-down,), range_max=80, gloss=1.0, returns=2,
        range_at_10_percent=np.sqrt(gain / 10), detection_noise=0.0, **SILENT,
    )  # fmt: skip
    for lean in (0.0, 1e-6):  # Drawn, and found by a ray.
        scan, _ = Lidar(config).scan(scene, (0.0, 0.0, 0.5), tilted(lean), stream=5, sensor=0, frame=0)
        assert np.isfinite(scan.ranges).sum() == (strength > 1.0)
        if strength > 1.0:
            assert scan.ranges[0, 0] == pytest.approx(path, rel=1e-4)


@njit(error_model="numpy")
def report_one_by_one(settings, quantiles, key, columns, truth, echoes, out, flags):
    for b in range(flags.size):
        signal.report_beam(settings, quantiles, key, 0.01, 1.0, b, truth, echoes, out[0], out[1], out[2], out[3], flags)


@njit(error_model="numpy")
def report_together(settings, quantiles, key, columns, truth, echoes, out, flags):
    row = np.zeros(truth.size, np.int32)
    signal.report_returns(
        settings, quantiles, key, np.uint64(2), np.uint64(3), 0.01, columns, truth, row, echoes, out[0], out[1], out[2],
        out[3], flags,
    )  # fmt: skip


@pytest.mark.parametrize("mode", ["strongest", "first", "last"])
def test_beams_are_reported_alike_in_vectors_and_one_by_one(mode):
    settings = {**EVERYTHING, "return_mode": mode, "ring_bias": 0.0, "dirty_sectors": 0.0}
    settings = {**settings, "false_echoes": 0.0, "crosstalk": 0.0, "dropout": 0.1, "grazing_dropout": 0.5}
    rng, count = np.random.default_rng(2), 3 * 333
    n = count + LANES
    values = rng.uniform(0.01, 1.0, (5, n)).astype(np.float32)
    values[2] = truth = rng.uniform(0.5, 29.0, n).astype(np.float32)
    values[2] += np.where(rng.random(n) < 0.3, 0.1, 5.0).astype(np.float32)
    kind = rng.choice([signal.TARGET, signal.TARGET | signal.MIXED], n).astype(np.int32)
    values[2, kind == signal.TARGET], values[3, kind == signal.TARGET] = np.inf, 0.0
    values[1] *= 0.5
    echoes = signal.Echoes(*values, np.zeros(n, np.float32), kind)
    got = []
    for report in (report_one_by_one, report_together):
        out, flags = np.full((4, count), np.nan, np.float32), np.zeros(count, np.uint8)
        report(signal.lidar_settings(LidarConfig(**settings)), QUANTILES, np.uint64(7), 333, truth, echoes, out, flags)
        got.append((*out, flags))
    for one, other in zip(*got, strict=True):
        same = (one == other) | (np.abs(one - other) < 1e-5)
        assert (~same).sum() <= 3  # On the verge of the next step, or of detection.
    assert (np.isfinite(got[0][2]) & (got[0][4] > 0)).sum() > 50


def test_dust_and_crosstalk_come_as_often_as_stated():
    n = 40000
    config = pencil(n, false_echoes=0.1, false_echo_length=2.0, crosstalk=0.05, range_min=0.5, **SILENT)
    _, ranges, _, _, flags = measure(config, wall(4.0))
    dust, other = flags == signal.DUST, flags == signal.CROSSTALK
    expected = 0.1 * (1 - np.exp(-(4.0 - 0.5) / 2.0))
    assert dust.mean() == pytest.approx(expected, abs=within(n, expected))
    assert other.mean() == pytest.approx(0.05, abs=within(n, 0.05))
    assert_allclose(ranges[flags == signal.TARGET], 4.0, rtol=1e-6)
    short = ranges[dust].astype(float) - 0.5
    cdf = lambda x: (1 - np.exp(-x / 2)) / (1 - np.exp(-3.5 / 2))  # noqa: E731
    assert stats.kstest(short, cdf).pvalue > 1e-3
    assert stats.kstest(ranges[other], stats.uniform(0.5, 199.5).cdf).pvalue > 1e-3


def test_strays_appear_before_an_empty_sky():
    scene = Scene(empty_primitives(), empty_primitives(), 0)
    _, ranges, _, _, flags = measure(LidarConfig(beams=20000, crosstalk=0.2, range_noise=0), scene)
    assert np.isfinite(ranges).mean() == pytest.approx(0.2, abs=0.012)
    assert ((flags == signal.CROSSTALK) == np.isfinite(ranges)).all()


def test_dirty_sectors_lose_weak_targets():
    config = LidarConfig(beams=3600, range_at_10_percent=8, dirty_sectors=0.4, dirt_loss=0.8, **SILENT)
    builder = PrimitiveBuilder()
    for k in range(72):
        a = np.pi * k / 36
        builder.box((0.1, 0.6, 1), (10.1 * np.cos(a), 10.1 * np.sin(a), 0), yaw=a, class_name="wall")
    scene = Scene(builder.build(), empty_primitives(), 0)
    shares, per_sector = [], []
    for sensor in range(60):
        lost = np.isinf(measure(config, scene, sensor=sensor)[1]).reshape(36, 100)
        shares.append(lost.mean())
        per_sector.append(lost.mean(axis=1))
    assert np.mean(shares) == pytest.approx(0.4, abs=4 * np.sqrt(0.24 / (36 * 60)) + 0.01)
    assert set(np.round(np.concatenate(per_sector), 1).tolist()) <= {0.0, 1.0}


def test_units_are_turned_by_their_own_constant_angle():
    words = np.arange(500, dtype=np.uint64)
    turned = np.array([signal.unit_angle(0.01, np.uint64(3), s) for s in words])
    assert turned.std() == pytest.approx(0.01, rel=0.13)
    assert signal.unit_angle(0.01, np.uint64(3), words[7]) == turned[7]
    # A turned unit scans as a straight one that stands turned.
    scene, straight = cluttered(), LidarConfig(beams=90, **SILENT)
    scan, truth = Lidar(straight.model_copy(update={"angle_offset": 0.01})).scan(
        scene, np.zeros(3), np.eye(3), stream=3, sensor=7, frame=0
    )
    ranges, _ = Lidar(straight).true_ranges(scene, np.zeros((1, 3)), rotated(turned[7])[None])
    assert_array_equal(truth.ranges, ranges[0])
    assert not np.array_equal(scan.ranges, Lidar(straight).true_ranges(scene, np.zeros((1, 3)), np.eye(3)[None])[0][0])


def test_beam_times_follow_the_sweep():
    times = signal.beam_times(LidarConfig(beams=5, rate=10, sweep_time=0.08))
    assert_allclose(times, [0, 0.02, 0.04, 0.06, 0.08])
    assert_allclose(signal.beam_times(LidarConfig(beams=5, rate=10, sweep_time=0.08, clockwise=True)), times[::-1])
    assert signal.beam_times(LidarConfig(beams=1, sweep_time=0.05)).tolist() == [0.0]


def test_surfaces_are_bounded_for_every_class_and_colour():
    builder = PrimitiveBuilder()
    for name in CLASS_NAMES:
        for color in ((0, 0, 0), (255, 255, 255), (200, 30, 60)):
            builder.add(BOX, (1, 1, 1), (0, 0, 0), class_name=name, color=color)
    surface = signal.lidar_surface(builder.build())
    assert surface.dtype == np.float32
    assert surface[:, signal.REFLECTIVITY].min() >= 0.02
    assert surface.max() <= 1
    dark, light, _ = surface.reshape(-1, 3, signal.SURFACE_COLUMNS)[:, :, 0].T
    assert (light > dark).all()


EVERYTHING = {
    "range_noise_growth": 1e-3, "range_noise_weak": 0.02, "range_drift": 0.01, "ring_bias": 0.01,
    "range_resolution": 0.002, "range_at_10_percent": 15.0, "dirty_sectors": 0.1, "divergence_horizontal": 0.02,
    "divergence_vertical": 0.02, "aperture": 0.01, "returns": 2, "intensity_noise": 0.1,
    "intensity_resolution": 1 / 255, "false_echoes": 0.02, "crosstalk": 0.01, "film_share": 0.5, "gloss": 0.8,
}  # fmt: skip


def cluttered():
    rng = np.random.default_rng(4)
    builder = PrimitiveBuilder()
    builder.add(PLANE, (0,), (0, 0, -1), class_name="floor")
    for k in range(120):
        name = CLASS_NAMES[k % len(CLASS_NAMES)]
        kind = k % 6 if k % 6 != PLANE else BOX
        size = rng.uniform(0.1, 0.6, 3)
        if kind == 5:
            size[1] = 0.5 * size[0]
        q = rng.normal(size=4)
        builder.add(kind, size, rng.uniform((-12, -12, -1), (12, 12, 2)), class_name=name, instance_id=k + 1,
                    quaternion=q / np.linalg.norm(q), color=rng.integers(0, 256, 3))  # fmt: skip
    return Scene(builder.build(), empty_primitives(), 0)


def test_everything_at_once_stays_finite_and_within_limits():
    scene = cluttered()
    config = LidarConfig(beams=360, elevations=tuple(np.linspace(-0.4, 0.3, 8).tolist()), **EVERYTHING)
    seen = 0
    for frame, place in enumerate(np.random.default_rng(1).uniform((-10, -10, -0.9), (10, 10, 1.5), (12, 3))):
        _, ranges, second, intensity, flags = measure(config, scene, tuple(place), frame=frame)
        for values in (ranges, second):
            back = np.isfinite(values)
            assert (values[back] >= config.range_min - 1e-6).all()
            assert (values[back] <= config.range_max + 1e-6).all()
        assert intensity.min() >= 0
        assert intensity.max() <= 1
        seen |= int(np.bitwise_or.reduce(flags))
        assert_array_equal(ranges, measure(config, scene, tuple(place), frame=frame)[1])
    assert seen == 63  # Every kind of return came up.


def test_from_inside_a_solid_nothing_is_measured():
    scene = wall(-0.5)
    _, ranges, _, intensity, flags = measure(LidarConfig(beams=36), scene)
    assert np.isinf(ranges).all()
    assert (intensity == 0).all()
    assert (flags == 0).all()


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"beams": 0}, "beams"),
        ({"range_noise": -1}, "range_noise"),
        ({"range_noise": float("nan")}, "range_noise"),
        ({"range_noise_weak": 0.1}, "range_noise_weak"),
        ({"dirty_sectors": 0.5}, "dirty_sectors"),
        ({"returns": 3}, "returns"),
        ({"return_mode": "second"}, "return_mode"),
        ({"divergence_horizontal": 2.0}, "divergence_horizontal"),
        ({"sweep_time": 0.2, "rate": 10}, "sweep_time"),
        ({"dropout": 0.6, "crosstalk": 0.6}, "dropout"),
        ({"range_bias": 1e9}, "range_bias"),
        ({"range_resolution": 1e9}, "range_resolution"),
        ({"elevations": ()}, "elevations"),
    ],
)
def test_absurd_settings_are_named(settings, field):
    with pytest.raises(ValidationError, match=field):
        LidarConfig(**settings)
