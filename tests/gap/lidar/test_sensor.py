"""Noise, step and class of a sensor from its scans alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.gap.lidar.sensor import local_noise, range_step, sensor_class, standing_noise

from .hall import hall, rounds, scans_of

TRUTH = rounds(1, step=0.3)


def quantised(noise: float, step: float, beams: int = 181):
    scans, _, _ = scans_of(hall(), TRUTH, noise=noise, beams=beams)
    return replace(scans, ranges=(np.round(scans.ranges / step) * step).astype(np.float32)) if step else scans


@pytest.mark.parametrize(("noise", "step"), [(0.005, 0.01), (0.01, 0.0), (0.025, 0.05), (0.04, 0.05), (0.03, 0.001)])
def test_noise_is_read_off_neighbouring_beams_through_any_step(noise, step):
    """A rounded range errs by the noise and by the rounding, a uniform variable: step / sqrt(12)."""
    scans = quantised(noise, step)
    assert local_noise(scans) == pytest.approx(np.hypot(noise, step / np.sqrt(12.0)), rel=0.06)
    assert range_step(scans) == (step or None)


def test_noise_of_a_standing_robot_is_told_by_repeats_alone():
    poses = np.repeat(TRUTH[:1], 20, axis=0)
    scans, _, _ = scans_of(hall(), poses, noise=0.02)
    assert standing_noise(scans, poses) == pytest.approx(0.02, rel=0.05)
    assert standing_noise(scans, TRUTH[:20]) is None


def test_noise_is_not_read_off_nothing():
    scans = quantised(0.01, 0.01)
    with pytest.raises(InputError, match="triples"):
        local_noise(replace(scans, ranges=np.full_like(scans.ranges, np.nan)))


@pytest.mark.parametrize(
    ("noise", "step", "beams", "wanted"),
    [(0.005, 0.01, 181, "sick_lms200"), (0.01, 0.01, 361, "sick_lms291"), (0.03, 0.05, 181, "sick_pls")],
)
def test_classes_follow_step_and_noise(noise, step, beams, wanted):
    found = sensor_class(quantised(noise, step, beams))
    assert found.profile == wanted
    assert found.ranking[0][0] == wanted
    assert any("steps of" in line for line in found.evidence)
    assert all(not name.startswith("velodyne") for name, _ in found.ranking)
