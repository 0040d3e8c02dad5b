"""The intervals of calibrated parameters hold what they promise, on made windows with known truth."""

import numpy as np
import pytest

from floorcast.gap.calibration import fit, refit
from floorcast.gap.fieldlog import CREATE_MODEL, FieldLog, LogReport
from floorcast.gap.made import make_log
from floorcast.gap.problems import ParameterRange, Problem, problem_for
from floorcast.gap.replay import STEP, Windows
from floorcast.gap.scoring import Scoring

SPEED, TURN = 0.4, 0.3
HORIZONS = (1.0, 2.0, 5.0)


def windows_of(robot, gain, slip):
    """Windows of one second's distance whose ends are those of a robot with the gains (2,) and the slip (K, 2)."""
    count = len(slip)
    steps = round(HORIZONS[-1] / STEP)
    truth = np.zeros((count, steps + 1, 3))
    time = np.arange(steps + 1) * STEP
    truth[:, :, 0] = (gain[0] + slip[:, :1]) * SPEED * time
    truth[:, :, 2] = (gain[1] + slip[:, 1:]) * TURN * time
    none = np.empty(0, dtype=np.int64)
    log = FieldLog(robot, "differential", none, np.empty((0, 3)), LogReport(()))
    start_ns = np.arange(count, dtype=np.int64) * 1_000_000_000
    return Windows(log, HORIZONS, start_ns, truth, np.ones((count, 3), dtype=bool), (0, 0, 0), 1.0)


def problem_of(windows):
    count = sum(len(item) for item in windows)

    def simulate(values):
        ends = np.zeros((count, len(HORIZONS), 3))
        ends[:, :, 0] = values["linear_gain"] * SPEED * np.array(HORIZONS)
        ends[:, :, 2] = values["angular_gain"] * TURN * np.array(HORIZONS)
        return ends

    ranges = (ParameterRange("linear_gain", 0.5, 1.5, 1.0, "-"), ParameterRange("angular_gain", 0.5, 1.5, 1.0, "-"))
    return Problem(ranges, tuple(windows), simulate, simulate({"linear_gain": 1.0, "angular_gain": 1.0}))


def correlated(rng, count, seconds, spread):
    """Slip (count, 2) of every second that forgets itself over so many seconds."""
    keep = np.exp(-1.0 / seconds)
    slip = np.empty((count, 2))
    slip[0] = rng.standard_normal(2)
    for i in range(1, count):
        slip[i] = keep * slip[i - 1] + np.sqrt(1 - keep**2) * rng.standard_normal(2)
    return spread * slip


def coverage(make, trials):
    """Share of intervals that hold the true gain: as reported, and by the quantiles of the bootstrap alone."""
    reported = bootstrap = 0
    for trial in range(trials):
        rng = np.random.default_rng(1000 + trial)
        true = np.array([0.93, 1.08])
        found = fit(problem_of(make(rng, true)), seed=trial, refits=20, max_evaluations=40)
        for number, item in enumerate(found.parameters):
            reported += item.ci_low <= true[number] <= item.ci_high
            low, high = np.quantile(found.refits[:, number], [0.025, 0.975])
            bootstrap += low <= true[number] <= high
    return reported / (2 * trials), bootstrap / (2 * trials)


@pytest.mark.slow
def test_intervals_of_one_log_with_correlated_slip_cover_the_truth():
    reported, bootstrap = coverage(
        lambda rng, true: [windows_of("robot1", true, correlated(rng, 180, 6.0, 0.05))], trials=30
    )
    assert reported >= 0.9
    assert bootstrap < 0.85  # what the quantiles of resampled blocks alone would have promised


@pytest.mark.slow
def test_intervals_of_three_robots_that_differ_cover_their_mean():
    def robots(rng, true):
        return [
            windows_of(f"robot{n}", true + 0.03 * rng.standard_normal(2), correlated(rng, 40, 4.0, 0.03))
            for n in range(3)
        ]

    reported, bootstrap = coverage(robots, trials=30)
    assert reported >= 0.9
    assert bootstrap < 0.85


def test_the_jackknife_of_a_mean_is_students_interval():
    # The fit of two robots without any scatter within is the mean of their gains: one degree of freedom, t = 12.706.
    gains = np.array([[0.99, 1.0], [1.01, 1.0]])
    none = np.zeros((30, 2))
    made = [windows_of(f"robot{n}", gain, none) for n, gain in enumerate(gains)]
    found = refit(problem_of(made), {"linear_gain": 1.0, "angular_gain": 1.0})
    low, high = found.intervals["linear_gain"]
    assert found.values["linear_gain"] == pytest.approx(1.0, abs=1e-3)
    assert high - low == pytest.approx(2 * 12.706 * 0.01, rel=0.05)
    low, high = found.intervals["angular_gain"]
    assert high - low < 1e-3


def test_intervals_stay_within_the_range_and_hold_the_value():
    rng = np.random.default_rng(0)
    made = [windows_of(f"robot{n}", np.array([gain, 1.0]), correlated(rng, 30, 3.0, 0.02)) for n, gain in
            enumerate((0.55, 1.4))]  # fmt: skip
    found = fit(problem_of(made), seed=0, refits=20, max_evaluations=40)
    first = found.parameters[0]
    assert 0.5 <= first.ci_low <= first.value <= first.ci_high <= 1.5
    assert not first.identifiable
    assert found.parts == 2


def test_a_log_without_a_second_part_pins_nothing_down():
    made = [windows_of("robot1", np.array([1.0, 1.0]), np.zeros((3, 2)))]
    made[0].valid[1:] = False
    found = fit(problem_of(made), seed=0, refits=20, max_evaluations=40)
    assert found.parts == 1
    assert not any(item.identifiable for item in found.parameters)


@pytest.mark.slow
def test_a_fit_that_ended_with_hardly_any_lag_crosses_to_the_valley_of_the_truth():
    true = {"linear_gain": 0.9402, "angular_gain": 1.0273, "command_delay": 0.0784, "motor_lag": 0.118}
    log = make_log(CREATE_MODEL.drive.model_copy(update=true), seconds=300, seed=10_028, robot="robot0")
    scoring = Scoring.of(problem_for([log], 5.0))
    wrong = scoring.problem.cube({**true, "command_delay": 0.176, "motor_lag": 0.004})
    scoring = scoring.scaled_at(wrong)
    stuck = scoring.polish(wrong)
    assert scoring.problem.values(stuck)["motor_lag"] < 0.03
    crossed = scoring.cross(stuck)
    assert scoring.loss(crossed) < scoring.loss(stuck)
    assert abs(scoring.problem.values(crossed)["motor_lag"] - true["motor_lag"]) < 0.03
    assert abs(scoring.problem.values(crossed)["command_delay"] - true["command_delay"]) < 0.03
    # From the right one nothing is found that is better by more than the steps of commands make.
    again = scoring.problem.values(scoring.cross(crossed))
    assert abs(again["motor_lag"] - scoring.problem.values(crossed)["motor_lag"]) < 0.01
