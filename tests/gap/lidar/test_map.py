"""The map from a log against the hall that was scanned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from floorcast.gap.lidar.map import LidarMap, build_map, laser_poses, split_stretches
from floorcast.gap.lidar.map_layout import layout_map
from floorcast.gap.lidar.map_space import look_around, run_blocks
from floorcast.layouts.model import Layout
from floorcast.layouts.validation import check_layout

from .hall import hall, rounds, run_of

ROUND = rounds(2, step=0.25)


@pytest.fixture(scope="module")
def made():
    run = run_of(hall(), ROUND, noise=0.01)
    half = split_stretches(run.log)
    return run, half, build_map(run.log, half)


def test_stretches_alternate_by_path_not_by_time():
    run = run_of(hall(), ROUND, beams=3)
    half = split_stretches(run.log, 3.0)
    path = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(ROUND[:, :2], axis=0).T))])
    assert half.tolist() == [int(p // 3.0) % 2 == 0 for p in path]
    standing = replace(run.log, pose=np.repeat(ROUND[:1], len(ROUND), axis=0))
    assert split_stretches(standing).all()


def test_walls_are_where_they_are(made):
    """Distances of the map's segment ends to the hall's faces, by hand for the outer walls and the middle block."""
    _, _, lidar_map = made
    ends = np.concatenate([lidar_map.segments.start, lidar_map.segments.end])
    long = np.hypot(*(lidar_map.segments.end - lidar_map.segments.start).T) > 1.5
    faces = {("x", 0.05), ("x", 13.95), ("y", 0.05), ("y", 8.95), ("y", 3.55), ("y", 5.45), ("x", 4.95), ("x", 9.05)}
    found = set()
    for start, end, normal in zip(
        lidar_map.segments.start[long], lidar_map.segments.end[long], lidar_map.segments.normal[long], strict=True
    ):
        axis = "x" if abs(normal[0]) > 0.99 else "y" if abs(normal[1]) > 0.99 else ""
        at = 0.5 * (start + end)["xy".index(axis)] if axis else np.nan
        near = [face for face in faces if face[0] == axis and abs(face[1] - at) < 0.004]
        found |= set(near)
    assert found == faces
    assert ends.min(axis=0) == pytest.approx([0.05, 0.05], abs=0.03)
    assert ends.max(axis=0) == pytest.approx([13.95, 8.95], abs=0.03)


def test_expected_ranges_are_the_true_ones_where_the_map_knows(made):
    run, half, lidar_map = made
    found = lidar_map.expected(laser_poses(run.log)[~half])
    error = found.ranges - run.clean[~half]
    assert np.isfinite(error).mean() > 0.98
    assert np.nanquantile(np.abs(error), 0.95) < 0.02
    assert ((found.surface >= 0) == np.isfinite(found.ranges)).all()


@pytest.mark.slow
def test_people_are_not_mapped():
    """Walkers cross ahead in every scan: the map has no more surfaces inside the free space than without them."""
    run = run_of(hall(), ROUND, noise=0.01, walkers=2)
    lidar_map = build_map(run.log, split_stretches(run.log))
    expected = lidar_map.expected(ROUND)
    empty = run_of(hall(), ROUND).clean
    in_front = np.isfinite(expected.ranges) & (expected.ranges < empty - 0.1)
    assert in_front.mean() < 0.004


def test_the_layout_is_valid_and_reads_as_the_map(made, tmp_path):
    run, half, lidar_map = made
    layout = lidar_map.to_layout("site", "run.log")
    assert check_layout(layout) == []
    layout.save(tmp_path / "site.yaml")
    again = Layout.load(tmp_path / "site.yaml")
    assert again == layout
    assert len(layout.walls) >= 8
    poses = laser_poses(run.log)[~half]
    shift = [layout.source.x, layout.source.y, 0.0]
    as_layout = layout_map(again, run.log.scans).expected(poses + shift).ranges
    as_map = lidar_map.expected(poses).ranges
    known = np.isfinite(as_map)
    assert np.mean(np.abs(as_layout - as_map)[known] < 0.002) > 0.99


def test_what_nobody_saw_is_not_known():
    """Scans of one room say nothing of what lies behind its wall, and a beam into the dark is not a free one."""
    run = run_of(hall(), ROUND[:6], noise=0.005)
    lidar_map = build_map(run.log, np.ones(6, np.bool_))
    behind = lidar_map.expected(np.array([[2.2, 4.5, np.pi]]))
    assert isinstance(lidar_map, LidarMap)
    assert np.isnan(behind.ranges).mean() > 0.9
    assert (behind.surface == -1).mean() > 0.9


def test_beams_mark_the_cells_they_cross():
    seen = look_around(
        np.array([[2.0]], np.float32), np.array([0.0]), np.array([[0.0, 0.0, 0.0]]), run_blocks(np.array([3]), 4), 5.0
    )
    points = np.column_stack([np.arange(0.05, 3.0, 0.1), np.zeros(30)])
    marked = seen.at(seen.crossed, points)
    assert set(marked.tolist()) == {0, 1 << 48}
    assert (marked[points[:, 0] < 1.7] > 0).all()
    assert (marked[points[:, 0] > 2.0] == 0).all()


@settings(max_examples=12, deadline=None)
@given(beams=st.sampled_from([90, 180, 181, 360, 361]), span=st.sampled_from([np.pi, 1.5 * np.pi, 2.0 * np.pi * 0.999]))
def test_any_number_of_beams_and_field_of_view(beams, span):
    run = run_of(hall(), ROUND[::12], beams=beams, span=span)
    lidar_map = layout_map(hall(), run.log.scans)
    error = lidar_map.expected(run.truth).ranges - run.clean
    assert np.nanquantile(np.abs(error), 0.99) < 1e-3
