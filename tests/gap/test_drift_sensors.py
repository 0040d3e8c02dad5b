"""The monitor of lidar and odometry: sound logs stay silent, changes are named, small ones are let be."""

import json
from dataclasses import replace

import numpy as np
import pytest

from floorcast.common.geometry import relative
from floorcast.gap.drift import DriftReport, DriftRow
from floorcast.gap.drift_sensors import FEWEST_SOUND, joined, sensor_stretches, watch_sensors
from floorcast.robots.twin import SoundStretches, Twin, TwinParameter, TwinProvenance, load_twin, save_twin

from .test_odometry import integrate, make_run

NEUTRAL = {
    "travel_gain": 1.0, "turn_gain": 1.0, "heading_per_metre": 0.0, "drift_sigma": 0.0, "rotation_per_rotation": 0.0,
    "rotation_per_metre": 0.0, "translation_per_metre": 0.0, "translation_per_rotation": 0.0,
}  # fmt: skip
PROVENANCE = TwinProvenance(tool="t", seed=0, logs=[], trained_on=["a"], judged_on=["b"], gap_before=[], gap_after=[])


def twin_of(log, stretches=None):
    odometry = {name: TwinParameter(value=value, identifiable=True, unit="1") for name, value in NEUTRAL.items()}
    sound = {
        name: {"made": SoundStretches(score=list(item.score), info=list(item.info))}
        for name, item in sensor_stretches(log, odometry, None).items()
    }
    return Twin(name="t", kind="differential", parameters={}, odometry=odometry, sensor_monitor=stretches or sound,
                provenance=PROVENANCE)  # fmt: skip


def bent(log, gain, since=0.0):
    """The log with the turns of its odometry scaled from a share of it on."""
    step = relative(log.odom[:-1], log.odom[1:])
    step[int(since * len(step)) :, 2] *= gain
    return replace(log, odom=integrate(step))


def test_a_stretch_says_what_was_put_into_it():
    still = {name: TwinParameter(value=value, identifiable=True, unit="1") for name, value in NEUTRAL.items()}
    log = make_run(0, count=1200, noise=(0.0, 0.0))
    exact = replace(log, odom=integrate(_steps(log)))
    for travel, turn in ((1.0, 0.95), (1.03, 1.0)):
        steps = _steps(log) * [travel, travel, turn]
        found = sensor_stretches(replace(exact, odom=integrate(steps)), still, None)
        estimate = {name: item.score.sum() / item.info.sum() for name, item in found.items()}
        # Counted too much over counted: 1 - 1 / gain.
        assert estimate["odometry_travel"] == pytest.approx(1 - 1 / travel, abs=5e-3)
        assert estimate["odometry_turn"] == pytest.approx(1 - 1 / turn, abs=5e-3)


def test_a_change_of_turns_is_named_and_a_sound_log_is_not():
    twin = twin_of(make_run(0, count=1600))
    watched = make_run(1, count=1200)
    sound = watch_sensors(watched, twin, None)
    assert not sound.alarm
    assert [row.parameter for row in sound.rows] == ["odometry_travel", "odometry_turn", "odometry_drift"]
    report = watch_sensors(bent(watched, 0.85, since=0.5), twin, None)
    assert report.alarm
    # On bends drawn at random a turn that is counted short and a drift to one side look alike: both are named.
    assert "odometry_turn" in (report.parameter, *report.also)
    assert "odometry_travel" not in (report.parameter, *report.also)
    assert 40.0 < report.began_s < report.at_s
    assert f"{report.parameter} moved by" in report.sentence()
    json.dumps(report.to_summary())


def test_what_is_plain_but_too_small_to_matter_is_no_alarm():
    twin = twin_of(make_run(0, count=1600))
    tight = {"odometry_travel": {"made": SoundStretches(score=[1e-4, -1e-4] * 30, info=[4.0] * 60)}}
    log = make_run(1, count=1200)
    steps = _steps(log)
    for travel, alarm in ((1.005, False), (1.03, True)):
        moved = replace(log, pose=integrate(steps)[::5], odom=integrate(steps * [travel, travel, 1.0]))
        report = watch_sensors(moved, twin.model_copy(update={"sensor_monitor": tight}), None)
        assert report.alarm is alarm
        assert report.rows[0].statistic >= report.rows[0].limit or not alarm


def test_too_few_stretches_watch_nothing_and_twins_keep_what_is_sound(tmp_path):
    log = make_run(0, count=1200)
    twin = twin_of(log)
    assert watch_sensors(log, twin.model_copy(update={"sensor_monitor": {}}), None) is None
    few = {
        "odometry_travel": {"made": SoundStretches(score=[0.0] * (FEWEST_SOUND - 1), info=[4.0] * (FEWEST_SOUND - 1))}
    }
    assert watch_sensors(log, twin.model_copy(update={"sensor_monitor": few}), None) is None
    save_twin(twin, tmp_path / "twin.yaml")
    assert load_twin(tmp_path / "twin.yaml") == twin
    assert "sensor_monitor" not in twin.model_copy(update={"sensor_monitor": {}}).model_dump()


def test_of_two_reports_the_earlier_alarm_counts():
    def report(parameter, at):
        row = DriftRow(parameter, "m", 0, 0, 0, 1, 1, 1, 0, 9.0 if at else 1.0, 2.0)
        return DriftReport(at is not None, at, parameter if at else None, (), 1.0, 1.0, 1.0, 0.0, [row], [parameter])

    both = joined(report("a", 50.0), report("b", 20.0))
    assert (both.parameter, both.at_s, [row.parameter for row in both.rows]) == ("b", 20.0, ["a", "b"])
    assert joined(report("a", None), report("b", 20.0)).alarm
    assert joined(None, report("b", None)).notes == ["b"]
    assert joined(None, None) is None


def _steps(log):
    """Steps of the true path, at the odometry's stamps, of a log without noise."""
    rng = np.random.default_rng(0)
    count = len(log.odom) - 1
    bend = np.repeat(rng.normal(0.0, 0.03, count // 30 + 1), 30)[:count]
    return np.column_stack([np.full(count, 0.05), np.zeros(count), bend])
