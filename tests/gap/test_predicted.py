"""The predicted distribution of motion inside calibration, gap, split by source and page."""

from __future__ import annotations

import json

import numpy as np
import pytest

from floorcast.cluster.evaluate import rollout
from floorcast.cluster.field_page import predicted_block
from floorcast.cluster.run import Resources
from floorcast.gap.holdout import Holdout
from floorcast.gap.predicted import fit_if_possible, judge_prediction, measure_prediction
from floorcast.gap.run import calibrate
from floorcast.gap.spread_sources import split_by_spread, spread_error, spread_fixes
from floorcast.gap.twins import carry_over
from floorcast.gap.whole import measure_whole
from floorcast.robots.twin import LogSource, Twin, TwinParameter, TwinProvenance, save_twin

from .synthetic import wander
from .test_spread import clocked, driven, some_spread

GAINS = {"linear_gain": 0.95, "angular_gain": 1.05}


def some_twin(spread, logs=()):
    empty = {"judged_on": [], "gap_before": [], "gap_after": []}
    sources = [
        LogSource(file=file.path, robot=log.robot, sha256=file.sha256) for log in logs for file in log.report.files
    ]
    return Twin(
        name="made",
        kind="differential",
        parameters={name: TwinParameter(value=value, identifiable=True, unit="-") for name, value in GAINS.items()},
        spread=spread,
        provenance=TwinProvenance(tool="t", seed=0, logs=sources, trained_on=[log.name for log in logs], **empty),
    )


@pytest.fixture(scope="module")
def robots():
    found = []
    for number in (1, 2):
        seconds, commands = wander(125.0, number)
        found.append(driven(seconds, commands, commands * (0.95, 1.05), f"robot{number}", noise=2e-4, seed=number))
    return found


@pytest.fixture(scope="module")
def told():
    """A spread that knows the gains of the robots, and says that they wander a little."""
    return some_spread(linear_gain=0.95, angular_gain=1.05, turn_sd=0.02, travel_sd=0.02)


def test_too_little_data_is_a_note_with_the_reason(robots):
    found, notes = fit_if_possible(robots[:1])
    assert found is None
    assert len(notes) == 1
    assert "180 s are needed" in notes[0]


def test_a_right_spread_and_normal_errors_are_scored_on_the_same_windows(robots, told):
    split = Holdout(robots[:1], robots[1:])
    found = judge_prediction(split, some_twin(told), horizons=(1.0, 2.0, 55.0))
    for normal, spread in zip(found.normal[0], found.spread[0], strict=True):
        assert (normal.name, normal.horizon, normal.block) == (spread.name, spread.horizon, spread.block)
        assert len(normal.values[0]) == len(spread.values[0]) > 0
    # Too few windows of 55 s to fit a covariance to.
    assert {item.horizon for item in found.spread[0]} == {1.0, 2.0}
    before, after = found.metrics(0, 50)
    assert {item.name for item in after} == {"crps_pos", "crps_yaw", "band95_pos", "band95_yaw"}
    assert [item.robot for item in before] == ["robot2"] * 8
    assert judge_prediction(split, some_twin(None), horizons=(1.0,)) is None


def test_a_spread_that_was_fitted_to_the_log_says_so(robots, told):
    metrics, notes = measure_prediction(robots, some_twin(told, robots[:1]))
    assert metrics
    # Both made robots carry the same hash: what was fitted is known by file.
    assert notes == ["The twin's spread was fitted to robot1, robot2: how well its bands hold there proves nothing."]
    assert measure_prediction(robots, some_twin(told))[1] == []
    assert measure_prediction(robots, None) == ([], [])


def test_the_split_by_the_spread_sums_to_one_and_finds_the_gains(robots, told):
    splits = split_by_spread(robots, some_twin(told))
    assert [item.quantity for item in splits] == ["position", "heading"]
    for item in splits:
        shares = {share.name: share.share for share in spread_error(item, ["robot1"]).shares}
        assert sum(shares.values()) == pytest.approx(1.0, abs=1e-3)
        # Made with gains, and no slip.
        assert shares["Response"] > 0.9
    assert spread_fixes(splits) == []
    wrong = some_spread(linear_gain=1.6, angular_gain=1.05)
    assert [fix.name for fix in spread_fixes(split_by_spread(robots, some_twin(wrong)))] == ["extend_model"]
    assert split_by_spread(robots, some_twin(None)) == []


def test_the_page_draws_the_bands_that_were_measured(robots, told):
    metrics, _ = measure_prediction(robots[:1], some_twin(told))
    block = predicted_block(metrics)
    assert [list(item.horizons) for item in block.coverage] == [[1.0, 2.0, 5.0, 10.0, 30.0]] * 2
    drawn = {h: e.value for h, e in zip(block.coverage[0].horizons, block.coverage[0].series[0][2], strict=True)}
    assert drawn == {item.horizon_s: item.value for item in metrics if item.name == "band95_pos"}
    assert len(block.metrics) == len(metrics)
    assert predicted_block([item for item in metrics if item.name == "none"]) is None


@pytest.mark.slow
def test_the_gap_with_a_twin_measures_bands_and_splits_by_them(robots, told):
    whole = measure_whole(robots[:1], twin=some_twin(told))
    assert len([item for item in whole.metrics if item.name.startswith("band95")]) == 2 * 5
    assert [item.measurement for item in whole.sources.splits] == ["motion position", "motion heading"]
    without = measure_whole(robots[:1], twin=some_twin(None))
    assert not [item for item in without.metrics if item.name.startswith("band95")]
    assert [item.measurement for item in without.sources.splits] == ["motion"]


@pytest.mark.slow
def test_calibration_fits_a_spread_judges_it_on_a_robot_that_it_never_saw_and_episodes_drive_by_it(tmp_path):
    logs = [clocked(seed, seconds=130.0) for seed in (1, 2, 3)]
    result = calibrate(logs, train=[1, 2], refits=5, resamples=100, horizons=(1.0, 5.0))
    twin = result.twin
    assert twin.spread is not None
    assert twin.spread.trained_on == ["robot1", "robot2"]
    scores = {(item.name, item.horizon_s): item for item in result.comparison if item.name.startswith("crps")}
    assert set(scores) == {("crps_pos", 1.0), ("crps_pos", 5.0), ("crps_yaw", 1.0), ("crps_yaw", 5.0)}
    # A minute or two of two robots: neither prediction is much better, and none is much worse.
    assert all(item.verdict != "worse" and item.relative < 0.2 for item in scores.values())
    summary = json.loads(json.dumps(result.to_summary(), allow_nan=False))
    for rows in (summary["metrics"], summary["metrics_before"]):
        assert {row["name"] for row in rows} >= {"crps_pos", "crps_yaw", "band95_pos", "band95_yaw"}
    assert any(row.name == "band95_pos" for row in twin.provenance.gap_after)
    found = result.after.metric("crps_pos", "robot3", 5.0)
    assert found.value == pytest.approx(scores["crps_pos", 5.0].after)
    assert np.isfinite(found.value)
    # What is known of motion goes into the next version.
    assert carry_over(twin.model_copy(update={"spread": None}), twin).spread == twin.spread
    # The replay by the response is told apart from that by the gains, which stands between it and raw commands.
    rows = {(item.name, item.robot, item.horizon_s): item for item in result.comparison}
    for name in ("pos_end_err", "yaw_end_err"):
        whole, gains, response = (rows[f"{what}{name}", "robot3", 5.0] for what in ("", "gains_", "response_"))
        assert (whole.before, whole.after) == (gains.before, response.after)
        assert gains.after == response.before
    assert any("motion_spread: false" in note for note in result.notes)

    save_twin(twin, tmp_path / "twin.yaml")
    (tmp_path / "short.yaml").write_text("name: short\nduration: 3.0\n")
    done = rollout(
        str(tmp_path / "short.yaml"), policy="navigator", episodes=(0,), seed=1, out=tmp_path / "out",
        resources=Resources(workers=0), twin=tmp_path / "twin.yaml",
    )  # fmt: skip
    kpis = {item["name"]: item["value"] for item in done.summary["kpis"]}
    assert kpis["spread_robots"] == 2.0
    assert 0.0 < kpis["spread_outside_ratio"] <= 1.0
