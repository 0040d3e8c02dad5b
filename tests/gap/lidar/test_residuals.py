"""The split of residuals against what was put into made scans."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.common.geometry import compose, relative
from floorcast.gap.lidar.map import build_map, split_stretches, stretch_numbers
from floorcast.gap.lidar.map_layout import layout_map
from floorcast.gap.lidar.residuals import (
    DROPOUT,
    MOVING,
    NO_MAP,
    SENSOR,
    _parts,
    _piece_table,
    _windows,
    measure_residuals,
)
from floorcast.gap.lidar.run import measure_lidar
from floorcast.gap.lidar.site import make_site
from floorcast.layouts.generator import generate_layout
from floorcast.layouts.model import Layout
from floorcast.layouts.recipe import LayoutRecipe

from .hall import aisle_tour, hall, rounds, run_of

ROUND = rounds(3, step=0.2)
EMPTY = Layout(name="empty", length=14.0, width=9.0)


def truth_of(run, found, judged):
    """Mean squares [m^2] of the core's sensor noise, and of what is left of aligned residuals without it."""
    core = found.label == SENSOR
    noise = (run.log.scans.ranges - run.clean)[judged][core]
    rest = (found.measured - found.expected)[core] - noise
    return float(np.mean(noise**2)), float(np.mean(rest**2))


@pytest.fixture(scope="module")
def walked():
    """Pose noise, sensor noise, two walkers, and the map that half of the run's scans give."""
    run = run_of(hall(), ROUND, noise=0.01, pose_noise=(0.03, 0.008), walkers=2)
    half = split_stretches(run.log)
    return run, ~half, measure_residuals(run.log, build_map(run.log, half), ~half)


def test_the_map_is_as_good_as_millimetres_and_poses_are_found_again(walked):
    run, judged, found = walked
    assert found.coverage > 0.98
    assert found.alignment.ok.all()
    off = relative(run.truth[judged], found.pose)
    # The map lies in the mean frame of reference poses that err by 3 cm each.
    frame = off[:, :2].mean(axis=0)
    assert np.hypot(*frame) < 0.01
    core = found.label == SENSOR
    clean = (run.clean[judged] - found.expected)[core]
    assert np.median(np.abs(clean)) < 0.004
    assert abs(np.mean((found.measured - found.expected)[core])) < 0.002


def test_moving_things_are_told_from_the_map(walked):
    run, judged, found = walked
    walker = run.walker[judged]
    seen = walker & (np.abs(found.measured - found.expected) > found.core)
    assert np.mean(found.label[seen] == MOVING) > 0.95
    assert np.mean(found.label[~walker] == MOVING) < 0.001
    assert found.changed
    assert found.short.value == pytest.approx(seen.mean(), abs=0.01)


def test_shares_of_pose_and_sensor_are_those_that_were_put_in(walked):
    run, judged, found = walked
    noise, rest = truth_of(run, found, judged)
    assert found.variance["sensor"] == pytest.approx(noise, rel=0.06)
    assert np.sqrt(found.variance["map"] + found.variance["pose_left"]) < 0.006
    assert np.sqrt(rest) < 0.006
    raw = np.clip((found.measured - found.expected_raw)[found.label == SENSOR], -0.3, 0.3)
    raw = raw[np.isfinite(raw)]
    total = np.mean(raw**2)
    share = 1.0 - (noise + rest) / total
    assert found.shares["pose"].ci_low - 0.005 <= share <= found.shares["pose"].ci_high + 0.005
    assert found.shares["sensor"].ci_low <= noise / total <= found.shares["sensor"].ci_high
    assert sum(part.value for part in found.shares.values()) == pytest.approx(1.0)


@pytest.mark.slow
def test_the_split_holds_in_a_generated_hall():
    """Racks, pallets and cartons: pose, sensor and moving things lie within their intervals."""
    layout = generate_layout(LayoutRecipe(area=400.0, row_direction="length"), 2)
    run = run_of(layout, aisle_tour(layout, 2), noise=0.01, pose_noise=(0.04, 0.004), walkers=1, seed=2)
    half = split_stretches(run.log)
    found = measure_residuals(run.log, build_map(run.log, half), ~half)
    put_in, _ = truth_of(run, found, ~half)
    core = (found.label == SENSOR) & np.isfinite(found.expected_raw)
    raw = np.clip((found.measured - found.expected_raw)[core], -0.3, 0.3)
    aligned = (found.measured - found.expected)[core]
    pose = 1.0 - np.mean(aligned**2) / np.mean(raw**2)
    in_the_way = run.walker[~half] & (run.clean[~half] < found.expected - found.core)
    known = found.label != NO_MAP
    assert found.coverage > 0.95
    assert found.shares["pose"].ci_low - 0.001 <= pose <= found.shares["pose"].ci_high + 0.001
    assert found.short.ci_low - 0.003 <= in_the_way.sum() / known.sum() <= found.short.ci_high + 0.003
    assert found.shares["sensor"].ci_low <= put_in / np.mean(raw**2) <= found.shares["sensor"].ci_high
    assert found.variance["sensor"] ** 0.5 == pytest.approx(put_in**0.5, rel=0.04)
    assert found.noise == pytest.approx(0.01, rel=0.15)


def test_errors_of_a_given_layout_are_found_as_the_map_s():
    """Each wall of the layout is off by 2 cm: what scans miss it by is its error, not noise."""
    run = run_of(hall(), ROUND, noise=0.01, pose_noise=(0.01, 0.003))
    judged = np.ones(len(ROUND), np.bool_)
    found = measure_residuals(run.log, layout_map(hall(0.02, seed=3), run.log.scans), judged)
    noise, rest = truth_of(run, found, judged)
    assert found.coverage > 0.99
    assert np.sqrt(rest) > 0.012
    assert found.variance["sensor"] == pytest.approx(noise, rel=0.1)
    assert found.variance["map"] + found.variance["pose_left"] == pytest.approx(rest, rel=0.2)
    exact = measure_residuals(run.log, layout_map(hall(), run.log.scans), judged)
    assert np.sqrt(exact.variance["map"]) < 0.001
    assert not exact.changed


@pytest.mark.slow
def test_what_was_carried_in_after_two_thirds_of_the_run_is_a_change():
    """A pallet stands there in the last round only: returns of it lie in space that was seen free."""
    plain = hall()
    pallet = plain.obstacles[0].model_copy(update={"id": "new", "x": 9.9, "y": 4.5, "size": (0.8, 1.2, 1.0)})
    changed = plain.model_copy(update={"obstacles": (*plain.obstacles, pallet)})
    third = 2 * len(ROUND) // 3
    run, later = run_of(plain, ROUND, noise=0.01), run_of(changed, ROUND, noise=0.01)
    ranges = np.concatenate([run.log.scans.ranges[:third], later.log.scans.ranges[third:]])
    log = replace(run.log, scans=replace(run.log.scans, ranges=ranges))
    half = split_stretches(log)
    found = measure_residuals(log, build_map(log, half), ~half)
    on_pallet = later.clean < run.clean - found.core
    on_pallet[:third] = False
    on_pallet = on_pallet[~half]
    assert on_pallet.sum() > 500
    assert np.mean(found.label[on_pallet] == MOVING) > 0.9
    assert np.mean(found.label[~on_pallet] == MOVING) < 0.002


def test_dropouts_and_unknown_places_have_their_labels():
    run = run_of(hall(), ROUND[::2], noise=0.005)
    ranges = run.log.scans.ranges.copy()
    ranges[:, 40:50] = np.nan
    ranges[:, 50:60] = np.inf
    log = replace(run.log, scans=replace(run.log.scans, ranges=ranges))
    # The map's half saw only what lies ahead of the first metres.
    chosen = stretch_numbers(log) < 2
    found = measure_residuals(log, build_map(log, chosen), ~chosen)
    due = np.isfinite(found.expected[:, 40:60])
    assert due.any()
    assert (found.label[:, 40:60][due] == DROPOUT).all()
    assert (found.label[:, 40:60][~due] == NO_MAP).all()
    assert 0.2 < found.coverage < 0.95
    assert found.label[np.isfinite(found.expected) & np.isfinite(found.measured)].max() < DROPOUT
    known = np.isfinite(found.expected) & np.isfinite(found.measured)
    assert np.mean(found.label[known] == SENSOR) > 0.95


@pytest.mark.slow
def test_poses_of_the_base_and_clockwise_scans_give_the_same_split():
    run = run_of(hall(), ROUND[::2], noise=0.01, pose_noise=(0.02, 0.005))
    mount = (0.3, -0.1, 0.4)
    base = replace(
        run.log,
        pose_frame="base_link",
        pose=compose(run.log.pose, relative(np.array(mount), np.zeros(3))),
        scans=replace(run.log.scans, mount=mount),
    )
    scans = run.log.scans
    clockwise = replace(
        run.log,
        scans=replace(
            scans,
            ranges=scans.ranges[:, ::-1].copy(),
            angle_min=-scans.angle_min,
            angle_increment=-scans.angle_increment,
        ),
    )
    half = split_stretches(run.log)
    wanted = measure_residuals(run.log, build_map(run.log, half), ~half)
    for log in (base, clockwise):
        found = measure_residuals(log, build_map(log, half), ~half)
        assert found.coverage == pytest.approx(wanted.coverage, abs=0.01)
        assert found.variance["sensor"] == pytest.approx(wanted.variance["sensor"], rel=0.05)
        assert found.beams["sensor"].value == pytest.approx(wanted.beams["sensor"].value, abs=0.01)


@pytest.mark.slow
def test_the_same_log_gives_the_same_bits(walked):
    run, judged, found = walked
    again = measure_residuals(run.log, build_map(run.log, ~judged), judged)
    for name in ("pose", "expected", "expected_raw", "label", "label_raw", "surface"):
        assert getattr(again, name).tobytes() == getattr(found, name).tobytes()
    assert again.shares == found.shares
    assert again.variance == found.variance


def test_the_map_s_part_is_that_of_all_pairs_counted_one_by_one():
    """The analysis of variance by sums equals a mean over explicit pairs of stretches, and finds what was put in."""
    rng = np.random.default_rng(4)
    pieces, runs, repeats = 12, 5, 6
    place, run = (part.ravel() for part in np.indices((pieces, runs, repeats))[:2])
    kept = rng.random(len(place)) < 0.7
    place, run = place[kept], run[kept]
    own = rng.normal(0.0, 0.02, pieces)[place] + rng.normal(0.0, 0.01, (pieces, runs))[place, run]
    own = own + rng.normal(0.0, 0.005, len(own))
    ones = np.ones(len(own))
    table = _piece_table(own, ones, place, run)
    moments = np.stack([np.bincount(run, w, runs) for w in (ones, 4.0 * own**2, own**2)])
    nothing = np.full((3, 6), np.nan, np.float32)
    windows = _windows(nothing, nothing, np.zeros((3, 6), int), np.arange(3), runs, 0.005)
    pose, in_map, left, sensor = _parts(moments, table, windows, np.ones(runs))

    across = weight = 0.0
    for k in range(pieces):
        means = {r: own[(place == k) & (run == r)].mean() for r in set(run[place == k].tolist())}
        products = [means[a] * means[b] for a in means for b in means if a != b]
        across += np.mean(products) * (place == k).sum()
        weight += (place == k).sum()
    assert pose == pytest.approx(3.0 * np.mean(own**2))
    assert in_map == pytest.approx(across / weight)
    assert sensor == 0.005**2  # too few windows: the noise of the scans themselves
    assert in_map + left + sensor == pytest.approx(np.mean(own**2))
    assert np.sqrt([in_map, left]) == pytest.approx([0.02, 0.01], rel=0.4)


@pytest.mark.parametrize("step", [0.0, 0.05])
def test_the_sensor_s_part_is_what_neighbours_do_not_share(step):
    """Noise that grows with range under an offset and a slope of each scan, people in a twentieth of it, a step."""
    rng = np.random.default_rng(1)
    scans, beams = 600, 120
    expected = np.tile(np.linspace(2.0, 12.0, beams), (scans, 1)).astype(np.float32)
    noise = 0.02 + 0.002 * expected
    own = rng.normal(0.0, 0.04, (scans, 1)) + rng.normal(0.0, 0.03, (scans, 1)) * np.linspace(-1, 1, beams)
    own = own + noise * rng.standard_normal(own.shape)
    own[rng.random((scans, beams // 12)).repeat(12, axis=1) < 0.05] *= 3.0
    if step:
        own = np.round((own + expected) / step) * step - expected
    run = np.repeat(np.arange(20), scans // 20)
    weight = np.bincount(rng.integers(0, 20, 20), minlength=20).astype(float)
    found = _windows(own, expected, np.zeros(own.shape, int), run, 20, 1.0).variance(weight)
    true = np.mean((weight[run] @ noise**2) / weight[run].sum()) + step**2 / 12
    assert np.sqrt(found) == pytest.approx(np.sqrt(true), rel=0.04)


def test_poses_that_do_not_belong_to_the_scans_are_said_and_are_no_change_of_the_scene():
    run = run_of(hall(), ROUND[::4], noise=0.01)
    wrong = replace(run.log, pose=run.log.pose[::-1].copy())
    half = split_stretches(wrong)
    found = measure_residuals(wrong, layout_map(hall(), run.log.scans), ~half)
    assert found.alignment.ok.mean() < 0.5
    assert any("could not be matched" in line for line in found.notes)
    assert not found.changed


def test_long_logs_are_thinned_and_that_is_said(monkeypatch):
    run = run_of(hall(), ROUND[::4], noise=0.01)
    monkeypatch.setattr("floorcast.gap.lidar.residuals.MOST_BEAMS", 40 * 181)
    everything = np.ones(len(run.truth), np.bool_)
    found = measure_residuals(run.log, layout_map(hall(), run.log.scans), everything)
    assert found.every == int(np.ceil(len(run.truth) / 40))
    assert len(found.scans) == len(found.pose) == len(found.stretch) <= 40
    assert found.notes[1].startswith(f"one in {found.every} ")


def test_short_runs_give_what_can_be_known_of_them():
    """Two stretches of 3 m: figures without intervals, and none that is no number."""
    gap = measure_lidar(run_of(hall(), ROUND[:25], noise=0.01).log)
    assert all(np.isfinite(item.value) for item in gap.metrics)
    assert all(item.ci_low is None for item in gap.metrics if item.name != "lidar_dropout_diff")
    assert {item.name for item in gap.metrics} >= {"lidar_sigma", "lidar_w1_all", "lidar_raw_w1_core"}
    assert any("too few scans or beams for lidar_c2st" in line for line in gap.notes)


def test_logs_that_cannot_be_judged_are_refused():
    run = run_of(hall(), ROUND[:30])
    standing = replace(run.log, pose=np.repeat(ROUND[:1], 30, axis=0))
    for judge in (measure_lidar, make_site):
        with pytest.raises(InputError, match="no scan is left to judge"):
            judge(standing)
    lost = run.log.pose.copy()
    lost[7] = np.nan
    with pytest.raises(InputError, match="have no finite pose"):
        measure_lidar(replace(run.log, pose=lost))
    lost = run.log.pose.copy()
    lost[20:, 0] += 1e7
    with pytest.raises(InputError, match="10000 km across"):
        make_site(replace(run.log, pose=lost))
    for layout, shift, said in ((hall(), 100.0, "where any of the judged beams"), (EMPTY, 0.0, "holds no surface")):
        moved = replace(run.log, pose=run.log.pose + np.array([shift, 0.0, 0.0]))
        with pytest.raises(InputError, match=said):
            measure_lidar(moved, layout=layout_map(layout, run.log.scans))
    with pytest.raises(InputError, match="no lidar scans"):
        split_stretches(replace(run.log, scans=None))
    with pytest.raises(InputError, match="no reference poses"):
        split_stretches(replace(run.log, pose=run.log.pose[:0], pose_t_ns=run.log.pose_t_ns[:0]))
    with pytest.raises(InputError, match="no scan is left"):
        build_map(run.log, np.zeros(30, np.bool_))
    blind = replace(run.log, scans=replace(run.log.scans, ranges=np.full_like(run.log.scans.ranges, np.inf)))
    with pytest.raises(InputError):
        build_map(blind, np.ones(30, np.bool_))
