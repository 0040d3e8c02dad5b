"""Conditions in episodes: absent they leave no trace, present they give telemetry with labels."""

import numpy as np
import pytest

from floorcast.common.config import config_hash
from floorcast.common.errors import InputError
from floorcast.episodes.loop import run_episode
from floorcast.episodes.scenario import Scenario
from floorcast.episodes.telemetry import load_telemetry, save_telemetry
from floorcast.robots.condition_model import COLUMNS
from floorcast.robots.wear import WEAR_NAMES

from .hall import Steer, quick


def constant(value, unit):
    return {"distribution": "constant", "value": value, "unit": unit}


def run(condition, **options):
    scenario = quick(duration=6.0, frames=0, people=1, robots=2, **({"condition": condition} if condition else {}))
    return run_episode(scenario, Steer, policy_name="steer", seed=0, index=0, **options)


def test_a_condition_without_wear_or_faults_changes_no_bit_and_an_absent_one_no_hash():
    sound = {"model": {"wear": dict.fromkeys(WEAR_NAMES, 0.0)}}
    bare, with_condition = run(None), run(sound)
    for name in ("pose", "velocity", "command", "goal", "person_pose"):
        assert np.array_equal(getattr(bare, name), getattr(with_condition, name), equal_nan=True)
    assert "condition" not in Scenario().model_dump()
    assert "condition" not in Scenario().model_dump_json()
    assert Scenario.model_validate(quick(condition=sound).model_dump()) == quick(condition=sound)
    assert config_hash(quick(condition=sound)) != config_hash(quick())


def test_a_planned_fault_shows_in_events_telemetry_and_files(tmp_path):
    condition = {
        "age": constant(100, "h"),
        "battery": {"resistance": {"distribution": "uniform", "low": 1.0, "high": 2.0, "unit": "nominal"}},
        "faults": [
            {"kind": "drive_unit", "at_s": 2.0, "robot": 1, "side": "left"},
            {"kind": "bearing", "scale_h": 5000.0},
        ],
    }
    taken = []
    record = run(condition, telemetry=taken.append)
    (telemetry,) = taken
    (failure,) = [event for event in record.events if event.other == "drive_unit" and event.other_id == "failure"]
    assert (failure.kind, failure.robot) == ("fault", 1)
    assert failure.time == pytest.approx(2.0, abs=0.11)
    assert telemetry.rows.shape == (60, 2, len(COLUMNS))
    active = telemetry.rows[:, :, COLUMNS.index("fault_active")]
    assert not active[:, 0].any()
    assert np.array_equal(active[:, 1], telemetry.rows[:, 1, 0] >= failure.time - 1e-6)
    assert record.sampled["robots.0.condition.age"] == 360_000.0
    assert len(telemetry.faults[0]) == 1

    save_telemetry(telemetry, tmp_path / "a")
    again = load_telemetry(tmp_path / "a")
    assert np.allclose(again.rows, telemetry.rows, rtol=1e-5, atol=1e-9, equal_nan=True)
    assert again.faults == telemetry.faults
    save_telemetry(again, tmp_path / "b")
    for name in ("telemetry.json", "robot_000.csv", "robot_001.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    text = (tmp_path / "b" / "robot_001.csv").read_text()
    assert ",drive_unit,1," in text
    (tmp_path / "b" / "robot_001.csv").write_text(text.replace("drive_unit", "brake"))
    with pytest.raises(InputError, match="not the one"):
        load_telemetry(tmp_path / "b")
    with pytest.raises(InputError, match="no whole telemetry"):
        load_telemetry(tmp_path)


def test_a_fault_for_a_robot_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="robot 5"):
        run({"faults": [{"kind": "brake", "at_s": 1.0, "robot": 5}]})
