from dataclasses import replace

import numpy as np
import pytest

from floorcast.gap.calibration import Fit, fit
from floorcast.gap.fieldlog import FieldLog
from floorcast.gap.problems import Problem, problem_for
from floorcast.gap.structure import KEPT

from .test_wheel_replay import counting_log

EQUAL, WORN = [1e-3, 1e-3, -1e-3, 1e-3], [0.96e-3, 1.04e-3, -0.96e-3, 1.04e-3]


def seen(log: FieldLog, seed: int, metres: float = 0.004, radians: float = 0.008) -> FieldLog:
    """The log as a poor tracker sees it: noise that stays for a fifth of a second."""
    noise = np.random.default_rng(seed).standard_normal((len(log.pose) // 20 + 1, 3)) * [metres, metres, radians]
    return replace(log, pose=log.pose + np.repeat(noise, 20, axis=0)[: len(log.pose)])


def fitted(gains: list[float], seed: int) -> Fit:
    return fit(problem_for([seen(counting_log(gains, 0.35, seed=seed, seconds=40.0), seed)], 1.0), seed=0, refits=20)


@pytest.mark.slow
def test_equal_wheels_get_one_gain_and_what_was_not_needed_stays_as_it_was():
    found = fitted(EQUAL, 3)
    values = {item.name: item for item in found.parameters}
    assert "lateral_gain" in found.held
    assert {"what left wheels have more than right ones", "other differences between wheels"} <= set(found.held)
    gains = [values[f"wheel_gain_{name}"] for name in ("front_left", "front_right", "rear_left", "rear_right")]
    np.testing.assert_allclose(
        [item.value / sign for item, sign in zip(gains, (1, 1, -1, 1), strict=True)], gains[0].value
    )
    assert gains[0].identifiable
    assert abs(gains[0].value / 1e-3 - 1) < 0.01
    # One that runs backwards has the same interval, mirrored.
    np.testing.assert_allclose([gains[2].ci_low, gains[2].ci_high], [-gains[0].ci_high, -gains[0].ci_low])
    assert (values["lateral_gain"].value, values["lateral_gain"].ci_high) == (1.0, 1.0)
    assert not values["lateral_gain"].identifiable
    assert values["lateral_gain"].reason == KEPT


@pytest.mark.slow
def test_wheels_that_differ_are_told_apart():
    found = fitted(WORN, 4)
    assert "what left wheels have more than right ones" not in found.held
    assert (
        abs(found.values["wheel_gain_front_right"] / found.values["wheel_gain_front_left"] / (1.04 / 0.96) - 1) < 0.01
    )


def test_a_problem_without_its_parts_is_the_robot_as_it_came():
    problem = problem_for([counting_log(WORN, 0.35, seed=5, seconds=25.0)], 5.0)
    everything = np.array([part.directions.sum(axis=0) for part in problem.parts])
    for number in range(len(problem.parts)):
        held = problem.without([number])
        moved = problem.cube(start_of(problem)) + 0.1 * everything[number]
        np.testing.assert_allclose(held.simulate(problem.values(moved)), problem.baseline, atol=1e-9)
        assert np.abs(problem.simulate(problem.values(moved)) - problem.baseline).max() > 1e-4
    nothing = problem.without(range(len(problem.parts)))
    np.testing.assert_allclose(nothing.tied(np.full(len(problem.ranges), 0.3)), problem.cube(start_of(problem)))


def start_of(problem: Problem) -> dict[str, float]:
    return {item.name: item.start for item in problem.ranges}
