"""Verdicts on policies, from episodes that really ran."""

import json
import shlex
from xml.etree import ElementTree

import pytest
import yaml

from floorcast.cluster.evaluate import rollout, validate
from floorcast.cluster.run import Resources
from floorcast.common.errors import FloorcastError, InputError
from floorcast.episodes.scenario import SCENARIO_FOLDER
from floorcast.robots.twin import Twin, TwinProvenance, save_twin

HERE = Resources(workers=0)

STILL = '''
"""A policy that never moves."""


class Still:
    def reset(self, info):
        pass

    def act(self, observation):
        return 0.0, 0.0
'''


@pytest.fixture
def still(tmp_path):
    path = tmp_path / "still.py"
    path.write_text(STILL)
    return f"{path}:Still"


def gates(tmp_path, text):
    path = tmp_path / "gates.yaml"
    path.write_text(f"gates:\n{text}")
    return str(path)


def test_one_run_is_judged_by_several_gates_and_grows(tmp_path, still):
    def judge(text, episodes=4):
        return validate(
            "small",
            policy=still,
            gates=gates(tmp_path, text),
            episodes=episodes,
            seed=3,
            out=tmp_path / "run",
            resources=HERE,
        )

    failed = judge("- {metric: success, min: 0.9}\n")
    assert (failed.verdict.verdict, failed.verdict.exit_code) == ("fail", 1)  # 0 of 4 successes
    undecided = judge("- {metric: collision, max: 0.05}\n")
    assert (undecided.verdict.verdict, undecided.verdict.exit_code) == ("inconclusive", 3)  # 0 of 4 collisions
    assert undecided.verdict.episodes_needed == 55  # 59 in all: 0.95**59 < 0.05
    assert undecided.rollout.outcome.fresh == 0  # the episodes of the first run were taken
    grown = judge("- {metric: collision, max: 0.5}\n", episodes=5)
    assert (grown.verdict.verdict, grown.verdict.exit_code) == ("pass", 0)  # 0 of 5: the upper end is 0.45
    assert grown.rollout.outcome.fresh == 1
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["verdict"] == "pass"
    assert {"name", "value", "ci_low", "ci_high", "n", "bound", "verdict"} <= set(summary["kpis"][0])
    suite = ElementTree.parse(tmp_path / "run" / "junit.xml").getroot()
    assert suite.find(".//testcase") is not None


def test_a_policy_that_throws_is_reported_with_its_traceback(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text(STILL.replace("return 0.0, 0.0", 'raise KeyError("no such weight")'))
    with pytest.raises(FloorcastError, match="no such weight") as error:
        rollout("small", policy=f"{path}:Still", episodes=(0,), seed=0, out=tmp_path / "run", resources=HERE)
    assert "floorcast rollout small" in str(error.value)
    entry = json.loads((tmp_path / "run" / "ledger.jsonl").read_text())
    assert entry["status"] == "failed"
    assert "no such weight" in entry["traceback"]


def test_a_damaged_record_is_made_again(tmp_path, still):
    def run():
        return rollout("small", policy=still, episodes=(0,), seed=0, out=tmp_path / "run", resources=HERE)

    first = run()
    path = tmp_path / "run" / "episodes" / "000000.npz"
    whole = path.read_bytes()
    assert run().outcome.fresh == 0
    path.write_bytes(whole[: len(whole) // 2])
    again = run()
    assert again.outcome.fresh == 1
    assert path.read_bytes() == whole
    assert again.outcome.kpis == first.outcome.kpis


def test_bad_names_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match="nomnal"):
        rollout("nomnal", policy="navigator", episodes=(0,), seed=0, out=tmp_path / "run", resources=HERE)
    with pytest.raises(InputError):
        rollout("small", policy="navigatr", episodes=(0,), seed=0, out=tmp_path / "run", resources=HERE)
    assert not (tmp_path / "run").exists()


def test_an_edited_policy_file_is_another_run(tmp_path, still):
    def run():
        return rollout("small", policy=still, episodes=(0,), seed=0, out=tmp_path / "run", resources=HERE)

    run()
    (tmp_path / "still.py").write_text(STILL.replace("0.0, 0.0", "0.1, 0.0"))
    with pytest.raises(InputError, match="policy_hash"):
        run()


def test_the_repro_line_names_the_twin(tmp_path, still):
    twin = tmp_path / "my twin.yaml"
    origin = TwinProvenance(tool="test", seed=0, logs=[], trained_on=[], judged_on=[], gap_before=[], gap_after=[])
    save_twin(Twin(name="amr", kind="differential", parameters={}, provenance=origin), twin)
    result = rollout("small", policy=still, episodes=(2,), seed=5, out=tmp_path / "run", resources=HERE, twin=twin)
    words = shlex.split(result.outcome.done[0].repro)
    assert words[:3] == ["floorcast", "rollout", "small"]
    assert words[words.index("--twin") + 1] == str(twin)
    assert words[words.index("--episode") + 1] == "2"


def crowded(tmp_path, counts):
    content = yaml.safe_load((SCENARIO_FOLDER / "small.yaml").read_text())
    content["robots"]["count"] = {"distribution": "choice", "values": counts, "unit": 1}
    path = tmp_path / "crowded.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_an_episode_that_cannot_be_built_is_recorded_and_the_others_go_on(tmp_path, still, workers):
    scenario = crowded(tmp_path, [1, 90])
    plan = {"policy": still, "episodes": (0, 1, 2, 3), "seed": 0, "out": tmp_path / "run"}
    result = rollout(scenario, resources=Resources(workers=workers), **plan)
    assert len(result.outcome.done) + len(result.outcome.failed) == 4
    assert result.outcome.done
    assert result.outcome.failed
    for entry in result.outcome.failed:
        assert "no room for 90 robots" in entry.traceback
        assert entry.attempts == 1


def test_a_scenario_of_which_no_episode_can_be_built_is_bad_input(tmp_path, still):
    with pytest.raises(InputError, match="no room for 90 robots"):
        rollout(crowded(tmp_path, [90]), policy=still, episodes=(0, 1), seed=0, out=tmp_path / "run", resources=HERE)
