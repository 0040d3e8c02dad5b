"""Profiles of real lidars: strict files, and signals that match what the profile states and no other."""

from __future__ import annotations

import re

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats
from scipy.optimize import minimize

from floorcast.common.config import load_model
from floorcast.common.errors import InputError
from floorcast.episodes.scenario import Scenario
from floorcast.perception.config import LidarConfig
from floorcast.perception.lidar_profile import lidar_profiles, load_lidar
from floorcast.perception.lidar_signal import REFLECTIVITY, lidar_surface
from floorcast.perception.profiles import ASSUMED, load_profile, profile_path

from .test_lidar_signal import cluttered, measure, wall, within


@pytest.mark.parametrize("name", lidar_profiles())
def test_every_profile_names_the_source_of_every_figure(name):
    profile = load_profile("lidar", name)
    config = load_lidar(name)
    assert config.profile == name
    assert len(profile.settings) > 15
    assert {f.source for f in profile.settings.values()} <= {*profile.sources, ASSUMED}
    assert sum(f.source != ASSUMED for f in profile.settings.values()) >= 8
    assert config.rate * config.sweep_time <= 1
    assert (config.angle_max - config.angle_min) / config.beams == pytest.approx(
        2 * np.pi * config.rate * config.sweep_time / config.beams, rel=0.02
    )


def test_the_kinds_that_were_asked_for_are_there():
    assert {"sick_nanoscan3", "hokuyo_utm30lx", "velodyne_vlp16", "velodyne_hdl32e"} <= set(lidar_profiles())
    assert len(load_lidar("velodyne_vlp16").elevations) == 16
    assert len(load_lidar("velodyne_hdl32e").elevations) == 32
    assert sorted(load_lidar("velodyne_hdl32e").elevations)[0] == pytest.approx(np.radians(-30.67))


@pytest.mark.parametrize("name", lidar_profiles())
@pytest.mark.parametrize(("distance", "angle"), [(2.0, 0.0), (6.0, 0.7), (9.0, 0.0), (30.0, 0.3), (55.0, 0.0)])
def test_measured_sigma_bias_and_dropout_match_the_profile(name, distance, angle):
    """Many beams at a wall; expectations written down anew from the formulas, strays and drift left out."""
    n = 20000
    base = load_lidar(name)
    config = base.model_copy(
        update={
            "beams": n, "angle_min": angle, "angle_max": angle + 1e-9, "elevations": (0.0,), "range_drift": 0.0,
            "ring_bias": 0.0, "false_echoes": 0.0, "range_bias": 0.017, "range_max": 200.0,
        }
    )  # fmt: skip
    scene = wall(distance * np.cos(angle))
    rho = float(lidar_surface(scene.world_primitives())[0, REFLECTIVITY])
    _, ranges, *_ = measure(config, scene, sensor=3)
    strength = rho / 0.1 * np.cos(angle) * (base.range_at_10_percent / distance) ** 2
    seen = stats.norm.cdf((strength - 1) / base.detection_noise)
    seen *= 1 - base.dropout - base.grazing_dropout * (1 - np.cos(angle)) ** 4
    back = ranges[np.isfinite(ranges)].astype(float)
    assert len(back) / n == pytest.approx(seen, abs=within(n, seen) + 5e-4)
    if len(back) < 1000:
        return
    variance = base.range_noise**2 + (base.range_noise_growth * distance) ** 2
    variance += base.range_noise_weak**2 * min(4.0, 1 / strength) + base.range_resolution**2 / 12
    sigma = np.sqrt(variance)
    assert back.mean() - distance == pytest.approx(0.017, abs=4.5 * sigma / np.sqrt(len(back)) + 2e-6 * distance)
    assert back.std() == pytest.approx(sigma, rel=4.5 / np.sqrt(2 * len(back)))


def frames_of(config, scene, frames):
    """What a statistician sees of one place: (frames, beams, features) of ranges and intensities."""
    rows = []
    for frame in frames:
        truth, ranges, _, intensity, _ = measure(config, scene, (0.5, 0.2, 0.0), frame=frame)
        both = np.isfinite(ranges) & np.isfinite(truth)
        error = np.where(both, np.subtract(ranges, truth, where=both, out=np.zeros_like(ranges)), 0.0)
        rows.append(np.stack([error, intensity, np.isinf(ranges).astype(float)], axis=-1))
    return np.array(rows, dtype=np.float64)


def classifier_two_sample(first, second, folds=5):
    """Return the accuracy of a classifier that tells two sets of frames apart, and the half width of its interval.

    C2ST (Lopez-Paz and Oquab, 2017): logistic regression on each beam's error, its square, intensity and loss,
    split by whole frames, so that beams of one frame never stand on both sides.
    """
    frames, beams, _ = first.shape
    x = np.concatenate([first, second]).reshape(2 * frames * beams, 3)
    x = np.column_stack([x, x[:, 0] ** 2, np.abs(x[:, 0]), x[:, 1] ** 2])
    x = (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-12)
    y = np.repeat([0.0, 1.0], frames * beams)
    group = np.tile(np.repeat(np.arange(frames), beams), 2) % folds
    right = np.zeros(folds)
    for fold in range(folds):
        held = group == fold
        design, target = np.column_stack([x[~held], np.ones((~held).sum())]), y[~held]

        def loss(w, design=design, target=target):
            z = design @ w
            p = 1 / (1 + np.exp(-np.clip(z, -30, 30)))
            value = np.mean(np.logaddexp(0, z) - target * z) + 1e-4 * w @ w
            return value, design.T @ (p - target) / len(target) + 2e-4 * w

        w = minimize(loss, np.zeros(design.shape[1]), jac=True, method="L-BFGS-B").x
        guess = np.column_stack([x[held], np.ones(held.sum())]) @ w > 0
        right[fold] = np.mean(guess == (y[held] > 0.5))
    # Folds are independent up to the shared training frames; t interval with folds - 1 degrees of freedom.
    return right.mean(), stats.t.ppf(0.9995, folds - 1) * right.std(ddof=1) / np.sqrt(folds) + 1e-3


def test_two_halves_of_a_profile_cannot_be_told_apart_and_two_profiles_can():
    scene = cluttered()
    base = load_lidar("hokuyo_utm30lx", beams=180, film_share=0.3, gloss=0.3, range_drift=0.0)
    half, other_half = frames_of(base, scene, range(0, 60, 2)), frames_of(base, scene, range(1, 60, 2))
    accuracy, width = classifier_two_sample(half, other_half)
    assert abs(accuracy - 0.5) < max(width, 0.012)
    for change in ({"range_noise": 0.02}, {"range_bias": 0.01}, {"dropout": 0.1}):
        changed = frames_of(base.model_copy(update=change), scene, range(1, 60, 2))
        seen, width = classifier_two_sample(half, changed)
        assert seen - width > max(accuracy, 0.5)
        # Classifiers of single beams are all but blind to dropout, which tests of the signal count instead.
        assert "dropout" in change or seen > accuracy + 0.02


def test_a_scenario_takes_a_profile_and_wins_over_it(tmp_path):
    file = tmp_path / "scenario.yaml"
    file.write_text("sensors:\n  lidar: {profile: sick_nanoscan3, rate: 10, range_noise: 0.03}\n")
    lidar = load_model(file, Scenario).sensors.lidar
    assert (lidar.range_noise, lidar.rate, lidar.range_resolution) == (0.03, 10, 0.001)
    assert lidar.beams == 1618
    assert LidarConfig.model_validate(lidar.model_dump()) == lidar
    file.write_text("sensors:\n  lidar: {profile: sick_nanoscan, rate: 10}\n")
    with pytest.raises(InputError, match=r"line 2.*sick_nanoscan.*(\n.*)*known: hokuyo"):
        load_model(file, Scenario)


GOOD = """\
schema_version: 1
device: test
sources: {sheet: a data sheet}
settings:
  beams: {value: 100, source: sheet}
  angle_min: {value: -90, unit: deg, source: sheet}
  angle_max: {value: 90, unit: deg, source: sheet}
  range_noise: {value: 5, unit: mm, source: assumed}
"""


def test_an_own_file_is_read_and_converted(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text(GOOD)
    config = load_lidar(file, rate=5)
    assert (config.beams, config.rate) == (100, 5)
    assert config.angle_max == pytest.approx(np.pi / 2)
    assert config.range_noise == pytest.approx(0.005)
    assert LidarConfig(profile=str(file), beams=7).beams == 7


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("source: sheet}\n  angle_min", "source: shet}\n  angle_min", "no source 'shet'"),
        ("value: 100", "value: 0", "line 5.*beams"),
        ("beams:", "beamz:", "beamz"),
        ("unit: mm", "unit: furlong", "line 8.*unit"),
        ("value: 90", "value: -95", "angle_max"),
        ("value: 5,", "value: .nan,", "range_noise"),
        ("device: test\n", "", "device"),
        ("schema_version: 1", "schema_version: 2", "line 1.*schema_version"),
    ],
)
def test_wrong_files_are_refused_by_field_and_line(tmp_path, old, new, expected):
    file = tmp_path / "mine.yaml"
    assert old in GOOD
    file.write_text(GOOD.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        load_lidar(file)
    assert str(file) in str(caught.value)
    assert re.search(expected, str(caught.value)), str(caught.value)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(InputError, match="no lidar profile named 'sick'") as caught:
        profile_path("lidar", "sick")
    assert "velodyne_vlp16" in str(caught.value)
    with pytest.raises(ValidationError, match="velodyne_vlp16"):
        LidarConfig(profile="sick")
    with pytest.raises(InputError, match="no such file"):
        load_lidar("/nowhere/at/all.yaml")
