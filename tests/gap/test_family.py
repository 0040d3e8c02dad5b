"""Families of robots, held-out logs and versions of twins."""

from dataclasses import replace

import numpy as np
import pytest

from floorcast.common.config import config_hash
from floorcast.common.errors import InputError
from floorcast.gap.calibration import fit
from floorcast.gap.family import random_effects
from floorcast.gap.fieldlog import CREATE_MODEL
from floorcast.gap.holdout import hold_out
from floorcast.gap.made import Slip, Tracker, make_log
from floorcast.gap.problems import problem_for
from floorcast.gap.run import calibrate
from floorcast.gap.scoring import Expansion, Scoring
from floorcast.gap.tasks import in_process
from floorcast.robots.twin import family_member

from .synthetic import make_log as synthetic_log

DRIVE = CREATE_MODEL.drive.model_copy(
    update={"linear_gain": 0.95, "angular_gain": 0.93, "command_delay": 0.15, "motor_lag": 0.1}
)


def test_equal_errors_give_the_textbook_analysis_of_variance():
    # With equal errors REML is the variance between less that of the errors, and the mean's interval Student's.
    values = np.array([0.90, 0.95, 1.02, 0.97])
    found = random_effects(values, np.full(4, 0.02))
    assert found.mean == pytest.approx(values.mean())
    assert found.spread**2 == pytest.approx(values.var(ddof=1) - 0.02**2, rel=1e-4)
    assert found.ci_high - found.mean == pytest.approx(3.182446 * values.std(ddof=1) / 2.0, rel=1e-4)
    assert found.new_low < found.ci_low < found.ci_high < found.new_high
    assert found.spread_low <= found.spread <= found.spread_high


def test_differences_no_greater_than_the_fits_errors_are_no_spread():
    assert random_effects([1.0, 1.01, 0.99], [0.05, 0.05, 0.05]).spread == 0.0


def test_a_robot_that_was_not_logged_keeps_to_what_is_possible():
    delays, errors = [0.02, 0.08, 0.11], [0.01, 0.01, 0.01]
    free, bound = random_effects(delays, errors), random_effects(delays, errors, bounds=(0.0, 0.6))
    assert free.new_low < free.ci_low < 0.0 == bound.new_low == bound.ci_low
    assert bound.new_high == free.new_high
    assert bound.ci_high == free.ci_high


def test_the_spreads_interval_holds_the_true_spread():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        values = 1.0 + 0.05 * rng.standard_normal(6) + 0.02 * rng.standard_normal(6)
        found = random_effects(values, np.full(6, 0.02))
        held += found.spread_low <= 0.05 <= found.spread_high
    assert 180 <= held <= 198


def test_about_a_third_is_held_out_by_robots_then_runs_then_time():
    def logs(*names):
        made = synthetic_log(seconds=4)
        return [replace(made, robot=name.partition("/")[0], run=name.partition("/")[2]) for name in names]

    robots = hold_out(logs("a/1", "a/2", "b/1", "c/1", "d/1"))
    assert [log.name for log in robots.judged] == ["c/1", "d/1"]
    runs = hold_out(logs(*(f"a/{n}" for n in range(10))))
    assert [log.run for log in runs.judged] == ["7", "8", "9"]
    time = hold_out(logs("a"))
    assert time.share == 0.7
    assert time.trained[0].pose_t_ns[-1] < time.judged[0].pose_t_ns[0]
    named = hold_out(logs("a/1", "a/2", "b/1"), train=["a/1", "b"])
    assert [log.name for log in named.judged] == ["a/2"]
    with pytest.raises(InputError, match="trained on and judged on"):
        hold_out(logs("a/1", "a/2"), train=["a"], test=["a/2"])


def test_without_noise_delay_and_lag_are_each_what_is_true():
    # A speed measured before the window's start is stale where the robot speeds up: that alone cost 0.02 s of each.
    still = Slip(0.0, 0.0, 1.5, 0.0, 0.0, 60.0, 0.0, 0.0, 0.0)
    log = make_log(DRIVE, seconds=90, seed=3, slip=still, tracker=Tracker(0.0, 0.0, 50.0, 0.0))
    scoring = Scoring.of(problem_for([log], 5.0))
    found = scoring.problem.values(scoring.polish(scoring.problem.cube({**DRIVE.model_dump(), "command_delay": 0.2})))
    for name in ("command_delay", "motor_lag"):
        assert found[name] == pytest.approx(getattr(DRIVE, name), abs=0.006)
    assert found["linear_gain"] == pytest.approx(DRIVE.linear_gain, abs=0.002)


def test_refits_on_the_expansion_are_those_on_the_replay():
    scoring = Scoring.of(problem_for([make_log(DRIVE, seconds=120, seed=2)], 5.0))
    best = scoring.polish(scoring.problem.cube({**DRIVE.model_dump()}))
    scoring = scoring.scaled_at(best)
    best = scoring.polish(best)
    expansion = Expansion(scoring, best, in_process)
    weight = scoring.only(np.arange(len(scoring.truth) // 3, len(scoring.truth)))
    there, near = scoring.polish(best, weight), expansion.refit(best, weight)
    assert np.abs(near - there)[:2].max() < 6e-3
    # Along the valley of delay against lag both stop where little is left to gain; what the log knows is their sum.
    values, close = scoring.problem.values(there), scoring.problem.values(near)
    together = [item["command_delay"] + item["motor_lag"] for item in (values, close)]
    assert together[0] == pytest.approx(together[1], abs=0.01)
    assert np.abs(there - best).max() > 0.002  # there was something to find


@pytest.mark.slow
def test_delay_and_lag_are_said_to_be_known_together():
    found = fit(problem_for([make_log(DRIVE, seconds=240, seed=5)], 5.0), seed=0, refits=20)
    pair = next(item for item in found.together if set(item.names) == {"command_delay", "motor_lag"})
    assert pair.correlation < -0.8
    assert pair.ci_low <= 0.25 <= pair.ci_high
    alone = {item.name: item.ci_high - item.ci_low for item in found.parameters}
    assert pair.ci_high - pair.ci_low < min(alone["command_delay"], alone["motor_lag"])
    assert "together 0.2" in pair.sentence()


@pytest.mark.slow
def test_a_family_holds_each_robot_and_a_new_version_names_its_parent():
    logs = [
        make_log(DRIVE.model_copy(update={"linear_gain": gain}), seconds=64, seed=number, robot=f"robot{number}")
        for number, gain in enumerate((0.9, 1.0, 0.95))
    ]
    options = {"seed": 0, "refits": 20, "resamples": 20, "horizons": (1.0, 5.0), "anchor_every": 5.0}
    first = calibrate(logs, train=["robot0", "robot1"], **options).twin
    gain = first.family["linear_gain"]
    assert gain.robots["robot0"].value == pytest.approx(0.9, abs=0.04)
    assert gain.robots["robot1"].value == pytest.approx(1.0, abs=0.04)
    assert 0.02 < gain.spread < 0.15
    assert gain.new_low < 0.95 < gain.new_high
    member = family_member(first, "1")
    assert member.values["linear_gain"] == gain.robots["robot1"].value
    with pytest.raises(InputError, match="robot0, robot1"):
        family_member(first, "robot2")
    second = calibrate(logs, train=["robot0", "robot1"], parent=first, date="2026-01-01", **options).twin
    assert second.version == 2
    assert second.provenance.parent == config_hash(first)
    assert second.values["linear_gain"] == pytest.approx(first.values["linear_gain"], abs=2e-3)
