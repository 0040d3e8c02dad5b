"""Scan matching against poses that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.common.geometry import wrap_angle
from floorcast.gap.lidar.map_layout import layout_map
from floorcast.gap.lidar.matching import Segments, align, match_grid

from .hall import hall, rounds, scans_of

TRUTH = rounds(1, step=0.8)


@pytest.fixture(scope="module")
def grid():
    scans, _, _ = scans_of(hall(), TRUTH[:2])
    return match_grid(layout_map(hall(), scans).segments)


def errors(found, truth):
    return np.hypot(*(found.pose - truth)[:, :2].T), np.abs(wrap_angle(found.pose[:, 2] - truth[:, 2]))


@pytest.mark.parametrize("offset", [(0.3, 0.0, 0.1745), (-0.2, 0.22, -0.1745), (0.0, -0.3, 0.1), (0.05, 0.02, 0.01)])
def test_poses_are_found_from_30_cm_and_10_degrees_away(grid, offset):
    scans, _, _ = scans_of(hall(), TRUTH)
    found = align(scans, TRUTH + np.array(offset), grid, range_noise=0.01)
    place, turn = errors(found, TRUTH)
    assert found.ok.all()
    assert place.max() < 0.002
    assert np.degrees(turn.max()) < 0.05


def test_with_noise_poses_are_unbiased_and_the_covariance_says_how_far_off_they_are(grid):
    """Normalised estimation error squared (Bar-Shalom, Li and Kirubarajan 2001, 5.4): mean 3 for 3 unknowns."""
    truth = np.repeat(TRUTH[::4], 20, axis=0)
    scans, _, _ = scans_of(hall(), truth, noise=0.02)
    start = truth + np.random.default_rng(5).normal(0.0, 1.0, truth.shape) * [0.05, 0.05, 0.02]
    found = align(scans, start, grid, range_noise=0.02, map_noise=0.002, prior=(10.0, 10.0))
    error = found.pose - truth
    error[:, 2] = wrap_angle(error[:, 2])
    nees = np.einsum("si,sij,sj->s", error, np.linalg.inv(found.covariance), error)
    assert found.ok.all()
    assert np.abs(error[:, :2].mean(axis=0)).max() < 4.0 * error[:, :2].std() / np.sqrt(len(error))
    assert 2.3 < nees.mean() < 4.2
    assert np.mean(nees < 7.815) > 0.88  # 95 % of chi-square with 3 degrees of freedom


def test_a_corridor_leaves_its_length_to_the_start():
    segments = Segments(
        np.array([[50.0, 1.0], [-50.0, -1.0]]),
        np.array([[-50.0, 1.0], [50.0, -1.0]]),
        np.array([[0.0, -1.0], [0.0, 1.0]]),
    )
    angles = np.linspace(-np.pi / 2, np.pi / 2, 181)
    with np.errstate(divide="ignore"):
        ranges = (1.0 / np.abs(np.sin(angles))).astype(np.float32)
    scans, _, _ = scans_of(hall(), TRUTH[:1])
    scans = replace(scans, ranges=np.where(ranges > 39.0, np.inf, ranges)[None])
    found = align(scans, np.array([[0.2, 0.1, 0.05]]), match_grid(segments), range_noise=0.01, prior=(0.3, 0.17))
    assert found.ok[0]
    assert found.pose[0, 0] == pytest.approx(0.2, abs=0.01)
    assert found.pose[0, 1:] == pytest.approx([0.0, 0.0], abs=1e-3)
    assert np.sqrt(found.covariance[0, 0, 0]) == pytest.approx(0.3, rel=0.05)
    assert np.sqrt(found.covariance[0, 1, 1]) < 0.005


def test_what_does_not_fit_is_refused(grid):
    scans, _, _ = scans_of(hall(), TRUTH[:4])
    nonsense = replace(scans, ranges=np.random.default_rng(0).uniform(0.5, 8.0, scans.ranges.shape).astype(np.float32))
    start = TRUTH[:4] + 0.01
    found = align(nonsense, start, grid, range_noise=0.01)
    assert not found.ok.any()
    assert found.pose == pytest.approx(start, abs=1e-12)
    assert np.isnan(found.covariance).all()
    empty = replace(scans, ranges=np.full_like(scans.ranges, np.nan))
    assert not align(empty, start, grid).ok.any()
    with pytest.raises(InputError, match="not finite"):
        align(scans, np.full((4, 3), np.nan), grid)
    with pytest.raises(InputError, match="no surface"):
        match_grid(Segments(*(np.empty((0, 2)),) * 3))


def test_a_scan_turned_the_other_way_round_gives_the_same_pose(grid):
    scans, _, _ = scans_of(hall(), TRUTH[:6])
    clockwise = replace(
        scans, ranges=scans.ranges[:, ::-1].copy(), angle_min=-scans.angle_min, angle_increment=-scans.angle_increment
    )
    start = TRUTH[:6] + np.array([0.1, -0.1, 0.05])
    a, b = align(scans, start, grid), align(clockwise, start, grid)
    assert b.pose == pytest.approx(a.pose, abs=1e-6)
