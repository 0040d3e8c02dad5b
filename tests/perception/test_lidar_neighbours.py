"""Errors that neighbouring beams of a lidar share: moments against closed forms, and nothing of them by default."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from pydantic import ValidationError

from floorcast.common.errors import InputError
from floorcast.common.primitives import BOX, PrimitiveBuilder
from floorcast.perception.config import LidarConfig
from floorcast.perception.lidar import Lidar
from floorcast.perception.scene import Scene, empty_primitives
from floorcast.perception.worlds import NOT_ON_GPU, _lidar_settings

QUIET = {"range_noise": 0.0, "dropout": 0.0, "grazing_dropout": 0.0, "range_max": 200.0, "beams": 720}
PLACES = 40


def hall():
    """Four walls around the origin, 20 m off, as tall as a lidar can see."""
    builder = PrimitiveBuilder()
    for x, y in ((21.0, 0.0), (-21.0, 0.0), (0.0, 21.0), (0.0, -21.0)):
        builder.add(BOX, (1.0, 22.0, 5.0) if x else (22.0, 1.0, 5.0), (x, y, 0.0), class_name="wall")
    return Scene(builder.build(), empty_primitives(), 0)


def errors_of(frames=30, **settings):
    """Measured minus true ranges (frames * places, beams), and the true ones."""
    lidar = Lidar(LidarConfig(**{**QUIET, **settings}))
    position = np.zeros((PLACES, 3))
    position[:, 0] = np.linspace(-5.0, 5.0, PLACES)
    rotation = np.tile(np.eye(3), (PLACES, 1, 1))
    scene, found, true = hall(), [], []
    for frame in range(frames):
        batch = lidar.scan_batch(scene, position, rotation, stream=3, sensors=range(PLACES), frame=frame)
        found.append(batch.ranges[:, 0].astype(float))
        true.append(batch.true_ranges[:, 0].astype(float))
    return np.concatenate(found) - np.concatenate(true), np.concatenate(true)


def test_shared_noise_is_smooth_and_of_the_asked_deviation_and_angle():
    error, _ = errors_of(shared_noise=0.05, shared_angle=0.06)
    spacing = 2 * np.pi / 720
    assert error.std() == pytest.approx(0.05, rel=0.02)
    assert abs(error.mean()) < 0.001
    # Beams on one wall: the corners of the hall, seen from its middle, lie at odd multiples of 45 degrees.
    wall = error[:, 290:430]
    for lag in (1, 6, 12, 30):
        a = lag * spacing / 0.06
        found = (wall[:, :-lag] * wall[:, lag:]).mean() / wall.var()
        assert found == pytest.approx((1 + a) * np.exp(-a), abs=0.02)
    # Walls and scans know nothing of each other: beams 360 and 540 look along x and y.
    error, _ = errors_of(shared_noise=0.05, shared_angle=3.0)
    assert np.corrcoef(error[:, 350], error[:, 370])[0, 1] > 0.9
    assert abs(np.corrcoef(error[:, 360], error[:, 540])[0, 1]) < 0.1
    assert abs(np.corrcoef(error[::2, 360], error[1::2, 360])[0, 1]) < 0.15


def test_shared_noise_grows_with_range():
    error, true = errors_of(shared_noise=0.03, shared_noise_growth=0.004)
    for low, high in ((15.0, 17.0), (24.0, 28.0)):
        inside = (true > low) & (true < high)
        expected = np.sqrt((0.03**2 + (0.004 * true[inside]) ** 2).mean())
        assert error[inside].std() == pytest.approx(expected, rel=0.03)


def test_runs_have_the_asked_share_lengths_and_sizes():
    density, long, angle, least = 0.004, 0.05, 0.06, 0.2
    error, true = errors_of(
        outlier_short=density,
        outlier_long=long,
        outlier_angle=angle,
        outlier_least=least,
        outlier_short_size=0.1,
        outlier_short_shape=0.8,
        outlier_long_size=0.9,
        outlier_long_shape=0.6,
    )
    out = np.abs(error) > 1e-3
    assert (error < -1e-3).mean() == pytest.approx((1 - np.exp(-density * true)).mean(), rel=0.08)
    assert (error > 1e-3).mean() == pytest.approx(long, rel=0.1)
    near, far = true < np.quantile(true, 0.3), true > np.quantile(true, 0.7)
    assert (error[far] < -1e-3).mean() > 1.1 * (error[near] < -1e-3).mean()
    padded = np.pad(out, ((0, 0), (1, 1))).astype(int)
    begin, end = np.diff(padded, axis=1) == 1, np.diff(padded, axis=1) == -1
    lengths = np.flatnonzero(end.ravel()) - np.flatnonzero(begin.ravel())
    mean = angle / (2 * np.pi / 720)
    assert lengths.mean() == pytest.approx(mean, rel=0.06)
    for k in (1, 3, 8):  # geometric
        assert (lengths > k).mean() == pytest.approx((1 - 1 / mean) ** k, abs=0.03)
    first = begin[:, :-1]
    short, beyond = first & (error < 0), first & (error > 0)
    relative = -np.log1p(error[short] / true[short]) - least / true[short]
    for found, scale, shape in ((relative, 0.1, 0.8), (error[beyond] - least, 0.9, 0.6)):
        assert found.min() > -1e-4
        for p in (0.25, 0.5, 0.9):
            assert (found <= scale * (-np.log(1 - p)) ** (1 / shape)).mean() == pytest.approx(p, abs=0.04)
    # The whole run is wrong by the same distance.
    both = (error[:, 1:] > 1e-3) & (error[:, :-1] > 1e-3)
    assert np.abs(np.diff(error, axis=1)[both]).max() < 1e-4


def test_runs_of_single_beams_keep_their_share():
    error, _ = errors_of(outlier_long=0.3, outlier_angle=1e-6)
    assert (error > 1e-3).mean() == pytest.approx(0.3, rel=0.03)


def test_clutter_gathers_the_outliers_and_keeps_their_share():
    share, angle, beams = 0.3, 0.3, np.deg2rad(0.5)
    error, _ = errors_of(clutter_share=share, clutter_angle=angle, outlier_long=0.05, outlier_angle=1e-6)
    out = error > 1e-3
    assert out.mean() == pytest.approx(0.05, rel=0.12)
    # Runs of one beam in one state of a chain of two: covariance p^2 (1 - c) / c exp(-lag / ((1 - c) width)).
    for lag in (8, 25):
        found = ((out[:, :-lag] - 0.05) * (out[:, lag:] - 0.05)).mean()
        expected = 0.05**2 * (1 - share) / share * np.exp(-lag * beams / ((1 - share) * angle))
        assert found == pytest.approx(expected, rel=0.25)


def comb():
    """Posts of 2 m width and gap at 10 m before a wall at 20 m, seen from the origin only: many plain edges."""
    builder = PrimitiveBuilder()
    for x, y in ((21.0, 0.0), (-21.0, 0.0), (0.0, 21.0), (0.0, -21.0)):
        builder.add(BOX, (1.0, 22.0, 5.0) if x else (22.0, 1.0, 5.0), (x, y, 0.0), class_name="wall")
    for k in range(16):
        angle = 2 * np.pi * (k + 0.3) / 16
        builder.add(BOX, (0.05, 1.0, 5.0), (10 * np.cos(angle), 10 * np.sin(angle), 0.0), class_name="box", yaw=angle)
    return Scene(builder.build(), empty_primitives(), 0)


def test_edges_are_seen_too_far_left_or_right_and_mixed_between_their_sides():
    scene, scale, spacing = comb(), 0.02, 2 * np.pi / 720
    position, rotation = np.zeros((400, 3)), np.tile(np.eye(3), (400, 1, 1))

    def scan(**settings):
        lidar = Lidar(LidarConfig(**QUIET, outlier_least=2.0, **settings))
        batch = lidar.scan_batch(scene, position, rotation, stream=3, sensors=range(400), frame=0)
        return batch.ranges[:, 0].astype(float), batch.true_ranges[0, 0].astype(float)

    measured, true = scan(edge_shift=scale)
    edges = np.flatnonzero(np.abs(np.diff(true)) > 2.0)
    assert len(edges) >= 31
    wrong = np.abs(measured - true) > 2.0
    # The mean number of beams on the wrong side of an edge: 1 / (2 sinh(x / 2)) with x = spacing / scale.
    assert wrong.sum() / (400 * len(edges)) == pytest.approx(1 / (2 * np.sinh(spacing / scale / 2)), rel=0.06)
    first = edges[8]
    assert (wrong[:, first] & wrong[:, first + 1]).sum() == 0  # it moves to one side
    assert wrong[:, first].mean() == pytest.approx(wrong[:, first + 1].mean(), abs=0.1)
    mixed, _ = scan(edge_mixed=0.4)
    odd = np.abs(mixed - true) > 1e-3
    assert odd.sum() / (400 * len(edges)) == pytest.approx(0.4, rel=0.05)
    inside = mixed[:, edges[8] : edges[8] + 2]
    low, high = sorted((true[edges[8]], true[edges[8] + 1]))
    share = (inside - low)[odd[:, edges[8] : edges[8] + 2]] / (high - low)
    assert share.min() > 0.0
    assert share.max() < 1.0
    assert share.mean() == pytest.approx(0.5, abs=0.08)


def test_a_slanted_wall_has_no_edges():
    """Along a wall at grazing incidence neighbouring ranges differ by metres; only its two ends are edges."""
    builder = PrimitiveBuilder()
    builder.add(BOX, (20.0, 0.5, 2.0), (12.0, 1.0, 0.0), class_name="wall")
    builder.add(BOX, (60.0, 0.5, 2.0), (0.0, -25.0, 0.0), class_name="wall")
    scene, turn = Scene(builder.build(), empty_primitives(), 0), np.tile(np.eye(3), (50, 1, 1))
    lidar = Lidar(LidarConfig(**QUIET, outlier_least=0.05, edge_shift=1e-5, edge_mixed=1.0))
    batch = lidar.scan_batch(scene, np.zeros((50, 3)), turn, stream=3, sensors=range(50), frame=0)
    true, row = batch.true_ranges[0, 0].astype(float), lidar.true_ranges(scene, np.zeros((1, 3)), turn[:1])[1][0, 0]
    met = np.isfinite(true)
    steps = np.abs(np.diff(true))[met[1:] & met[:-1] & (row[1:] == row[:-1])]
    assert (steps > 0.05).sum() > 50
    assert np.abs(batch.ranges[:, 0][:, met] - true[met]).max() < 1e-5


def test_without_them_not_a_bit_changes_and_the_rest_of_the_noise_stays_its_own():
    plain = {"range_noise": 0.02, "dropout": 0.05, "crosstalk": 0.01, "frames": 2}
    before, _ = errors_of(**plain)
    same, _ = errors_of(**plain, shared_angle=0.3, outlier_angle=0.2, outlier_long_shape=0.5)
    assert_array_equal(before, same)
    del plain["crosstalk"]
    before, shared = errors_of(**plain)[0], errors_of(**plain, shared_noise=0.05)[0]
    alone, back = errors_of(frames=2, shared_noise=0.05)[0], np.isfinite(before)
    assert_array_equal(np.isfinite(shared), back)
    assert np.abs(shared[back] - before[back] - alone[back]).max() < 1e-5


def test_lidars_on_the_gpu_refuse_them_by_name():
    for name in ("shared_noise", "shared_noise_growth", "edge_shift", "edge_mixed", "outlier_short", "outlier_long"):
        assert name in NOT_ON_GPU
        with pytest.raises(InputError, match=name):
            _lidar_settings(Lidar(LidarConfig(**{name: 0.1})))


def test_impossible_settings_are_refused():
    for bad in ({"outlier_long": 0.6}, {"shared_angle": 0.0}, {"outlier_short_shape": 0.1}, {"shared_noise": 30.0}):
        with pytest.raises(ValidationError):
            LidarConfig(**bad)
