"""The odometry's errors per metre: recovered from made runs, predicted on the rest of them, and of real buildings."""

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.gap.clocks import coarse_offset, fine_offset, yaw_track
from floorcast.gap.fieldlog import FieldLog, FileReport, LogEvent, LogReport
from floorcast.gap.odometry import fit_model, fit_odometry, measure_odometry, odometry_windows, wheel_odometry
from floorcast.gap.odometry_judged import judge_odometry
from floorcast.gap.readers import read_log
from floorcast.robots.odometry import OdometryErrors
from floorcast.robots.twin import Twin, TwinProvenance

ROOT = Path(os.environ.get("FLOORCAST_FIELDDATA", Path(__file__).resolve().parents[3] / "shared" / "fielddata"))
ERRORS = OdometryErrors(
    travel_gain=1.03,
    turn_gain=0.98,
    heading_per_metre=-0.03,
    rotation_per_rotation=0.002,
    rotation_per_metre=0.0004,
    translation_per_metre=0.0005,
)


def integrate(steps):
    """Poses of steps (N, 3), by complex numbers."""
    yaw = np.concatenate([[0.0], np.cumsum(steps[:, 2])])
    place = np.concatenate([[0.0], np.cumsum((steps[:, 0] + 1j * steps[:, 1]) * np.exp(1j * yaw[:-1]))])
    return np.column_stack([place.real, place.imag, (yaw + math.pi) % (2 * math.pi) - math.pi])


def make_run(seed, errors=ERRORS, count=4000, noise=(0.02, 0.004)):
    """A robot at 10 Hz that drives 0.05 m a step on bends; the reference has noise and comes every fifth sample."""
    rng = np.random.default_rng(seed)
    bend = np.repeat(rng.normal(0.0, 0.03, count // 30 + 1), 30)[:count]
    steps = np.column_stack([np.full(count, 0.05), np.zeros(count), bend])
    truth, odom = integrate(steps), integrate(errors.disturb(steps, rng))
    t_ns = np.arange(count + 1, dtype=np.int64) * 100_000_000 + 10**15
    pose = truth[::5] + rng.standard_normal((len(truth[::5]), 3)) * [noise[0], noise[0], noise[1]]
    return FieldLog(
        robot="made",
        drive="differential",
        pose_t_ns=t_ns[::5],
        pose=pose,
        pose_source="slam",
        odom_t_ns=t_ns,
        odom=odom,
        report=LogReport((FileReport("made.log", "0" * 64, count, count),)),
    )


@pytest.mark.slow
def test_made_errors_are_recovered_and_the_rest_of_the_run_is_covered():
    found = [measure_odometry(make_run(seed)) for seed in range(4)]
    for name in ("turn_gain", "heading_per_metre"):
        hits = [gap.parameters[name] for gap in found]
        inside = [item.ci_low <= getattr(ERRORS, name) <= item.ci_high for item in hits]
        assert sum(inside) >= 3, name
    assert np.mean([gap.parameters["travel_gain"].value for gap in found]) == pytest.approx(1.03, abs=0.006)
    drift = np.mean([gap.parameters["heading_per_metre"].value for gap in found])
    assert drift == pytest.approx(-0.03, abs=0.004)
    turning = np.mean(
        [gap.parameters["rotation_per_rotation"].value + gap.parameters["rotation_per_metre"].value for gap in found]
    )
    assert 0.0006 < turning < 0.004
    rows = [{row.name: row for row in gap.metrics} for gap in found]
    for what in ("pos", "yaw"):
        for metres in ("1m", "5m"):
            coverage = np.mean([row[f"odom_{what}_coverage_{metres}"].value for row in rows])
            width = np.mean([row[f"odom_{what}_width_{metres}"].value for row in rows])
            assert 0.88 < coverage < 0.99
            assert 0.75 < width < 1.4


def test_the_moments_of_a_window_are_those_of_many_drawn_paths():
    rng = np.random.default_rng(1)
    errors = OdometryErrors(
        heading_per_metre=0.02,
        drift_sigma=0.01,
        rotation_per_rotation=0.003,
        rotation_per_metre=0.0005,
        translation_per_metre=0.001,
        translation_per_rotation=0.002,
    )
    bend = np.tile([0.02, -0.02], 50)
    steps = np.broadcast_to(np.column_stack([np.full(100, 0.05), np.zeros(100), bend]), (4000, 100, 3))
    drawn = errors.disturb(steps, rng)
    yaw = np.cumsum(drawn[..., 2], axis=1)
    x = (drawn[..., 0] * np.cos(yaw)).sum(axis=1)
    y = (drawn[..., 0] * np.sin(yaw)).sum(axis=1) - (0.05 * np.sin(np.cumsum(bend))).sum()
    log = make_run(0, count=1500)
    window = odometry_windows(log, 5.0).where(np.arange(len(odometry_windows(log, 5.0))) < 1)
    window = replace(window, travel=np.array([5.0]), turn=np.array([2.0]), net=np.array([0.0]))
    fit = replace(fit_model([odometry_windows(log, m) for m in (1.0, 5.0)]), errors=errors)
    mean, sigma = fit.moments(window, reference=False)
    # Held against the true end (5 m ahead, no turn), turned back by the mean heading for the along component.
    assert yaw[:, -1].mean() == pytest.approx(mean[0, 2], abs=0.01)
    assert yaw[:, -1].std() == pytest.approx(sigma[0, 2], rel=0.05)
    assert y.mean() == pytest.approx(mean[0, 1], rel=0.1)
    assert y.std() == pytest.approx(sigma[0, 1], rel=0.1)
    assert x.std() == pytest.approx(sigma[0, 0], rel=0.15)


@pytest.mark.slow
def test_a_twin_hands_its_random_errors_to_the_simulated_odometry():
    parameters = fit_odometry(make_run(2, count=3000), share=0.5)
    assert set(parameters) == set(OdometryErrors.model_fields)
    provenance = TwinProvenance(tool="t", seed=0, logs=[], trained_on=[], judged_on=[], gap_before=[], gap_after=[])
    twin = Twin(name="made", kind="differential", parameters={}, odometry=parameters, provenance=provenance)
    config = wheel_odometry(twin)
    assert config.rotation_per_rotation == parameters["rotation_per_rotation"].value
    assert config.translation_per_metre == parameters["translation_per_metre"].value


def test_however_finely_a_path_is_cut_the_errors_are_the_same():
    coarse = np.tile([0.5, 0.0, 0.1], (2000, 10, 1))
    fine = np.tile([0.05, 0.0, 0.01], (2000, 100, 1))
    errors = OdometryErrors(
        heading_per_metre=0.01,
        rotation_per_rotation=0.01,
        rotation_per_metre=0.002,
        translation_per_metre=0.003,
        translation_per_rotation=0.001,
    )
    a, b = (errors.disturb(item, np.random.default_rng(2)) for item in (coarse, fine))
    for axis in (0, 2):
        assert a[..., axis].sum(axis=1).mean() == pytest.approx(b[..., axis].sum(axis=1).mean(), abs=0.02)
        assert a[..., axis].sum(axis=1).std() == pytest.approx(b[..., axis].sum(axis=1).std(), rel=0.08)


def test_windows_across_a_leap_are_left_out():
    log = make_run(3, count=2000)
    odom = log.odom.copy()
    odom[1000:, 2] += 1.4
    leap = LogEvent(int(log.odom_t_ns[1000]), "jump", {"table": "odom", "from_ns": int(log.odom_t_ns[999])})
    marked = replace(log, odom=odom, events=(leap,))
    windows = odometry_windows(marked, 5.0)
    assert windows.left_out > 0
    assert np.abs(windows.error[:, 2]).max() < 0.6
    assert np.abs(odometry_windows(replace(log, odom=odom), 5.0).error[:, 2]).max() > 1.0


def test_what_is_missing_is_said():
    log = make_run(4, count=900)
    with pytest.raises(InputError, match="no odometry"):
        measure_odometry(replace(log, odom_t_ns=log.odom_t_ns[:0], odom=log.odom[:0]))
    with pytest.raises(InputError, match="do not overlap in time"):
        fit_odometry(replace(log, odom_t_ns=log.odom_t_ns + 3600 * 10**9))
    with pytest.raises(InputError, match="too few to fit"):
        fit_odometry(log, share=0.02)


@pytest.mark.parametrize("late", [0.02, -0.15])
def test_a_clock_that_is_a_little_off_is_measured(late):
    log = make_run(5, errors=OdometryErrors(rotation_per_rotation=0.0005), noise=(0.01, 0.002))
    shifted = replace(log, odom_t_ns=log.odom_t_ns + round(late * 1e9))
    offset = fine_offset(yaw_track(shifted, "pose"), yaw_track(shifted, "odom"))
    assert offset.low <= -late <= offset.high
    assert offset.high - offset.low < 0.05
    assert offset.seconds == pytest.approx(-late, abs=0.015)


def test_a_clock_that_is_an_hour_off_is_found():
    log = make_run(6)
    shifted = replace(log, odom_t_ns=log.odom_t_ns + 3600 * 10**9)
    seconds, correlation = coarse_offset(yaw_track(shifted, "pose"), yaw_track(shifted, "odom"))
    assert seconds == pytest.approx(-3600.0, abs=0.2)
    assert correlation > 0.9
    other = make_run(7)  # another run altogether
    assert coarse_offset(yaw_track(log, "pose"), yaw_track(other, "odom")) is None


@pytest.mark.slow
@pytest.mark.fielddata
@pytest.mark.skipif(not (ROOT / "carmen").is_dir(), reason=f"no field data at {ROOT} (set FLOORCAST_FIELDDATA)")
def test_the_known_drift_of_four_buildings_and_what_a_fifth_of_the_run_predicts():
    known = {"intel": -3.29, "freiburg-079": -0.77, "edmonton": 0.05, "fhw": 0.76}
    for name, drift in known.items():
        (log,) = read_log(ROOT / "carmen" / f"{name}-corrected.log.gz")
        rows = {row.name: row for row in measure_odometry(log).metrics}
        assert math.degrees(rows["odom_drift_per_m_5m"].value) == pytest.approx(drift, abs=0.07)
        for metres in ("1m", "5m"):
            assert 0.85 <= rows[f"odom_pos_coverage_{metres}"].value <= 0.99
            assert rows[f"odom_pos_width_{metres}"].value <= 2.0
            assert rows[f"odom_yaw_coverage_{metres}"].value >= 0.84
            assert rows[f"odom_yaw_width_{metres}"].value <= 2.0


@pytest.mark.slow
def test_a_twin_is_judged_on_a_held_out_run_beside_the_runs_own_prediction():
    held = make_run(1, count=1000)
    twin = Twin(name="t", version=1, kind="differential", parameters={}, odometry=fit_odometry(make_run(0, count=1000)),
                provenance=TwinProvenance(tool="t", seed=0, logs=[], trained_on=["a"], judged_on=["b"], gap_before=[],
                                          gap_after=[]))  # fmt: skip
    found = judge_odometry([replace(held, odom_t_ns=held.odom_t_ns[:1], odom=held.odom[:1]), held], twin, 0)
    assert found.before == measure_odometry(held).metrics
    assert found.after == measure_odometry(held, twin=twin).metrics
    nothing = judge_odometry([replace(held, odom_t_ns=held.odom_t_ns[:1], odom=held.odom[:1])], twin, 0)
    assert nothing.after == []
    assert "not judged" in nothing.notes[0]
