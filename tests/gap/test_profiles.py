"""What the data allow where they do not pin a parameter down, against closed forms."""

import numpy as np
from scipy.stats import t as student_t

from floorcast.common.seeding import generator
from floorcast.gap.problems import ParameterRange, Problem, Pull
from floorcast.gap.profiles import allowed_points
from floorcast.gap.scoring import Scoring
from floorcast.gap.tasks import in_process

from .test_intervals import HORIZONS, SPEED, TURN, windows_of

SLIP = np.array([-0.002, 0.001, 0.0015, -0.0005])


def made(pull):
    """Four commands given twice: the ends follow the sum of two gains, so that only it can be known."""
    windows = [windows_of("base", (1.0 + SLIP[log // 2], 1.0), np.zeros((5, 2))) for log in range(8)]

    def simulate(values):
        ends = np.zeros((40, len(HORIZONS), 3))
        ends[:, :, 0] = (values["one"] + values["other"]) * SPEED * np.array(HORIZONS)
        ends[:, :, 2] = TURN * np.array(HORIZONS)
        return ends

    ranges = (ParameterRange("one", 0.0, 1.0, 0.5, "-"), ParameterRange("other", 0.0, 1.0, 0.3, "-"))
    baseline = simulate({"one": 0.5, "other": 0.495})
    return Problem(ranges, tuple(windows), simulate, baseline, groups=(0, 0, 1, 1, 2, 2, 3, 3), pull=pull)


def test_a_valley_is_followed_to_the_ends_and_no_further_than_the_commands_scatter():
    scoring = Scoring.of(made(Pull(0, 0.5)))
    best = scoring.polish(np.array([0.4, 0.4]))
    np.testing.assert_allclose(best, [0.5, 0.5], atol=0.002)  # where it is drawn to, at no cost
    found = allowed_points(scoring, best, np.zeros(2, dtype=bool), in_process)
    assert found[:, 0].min() < 0.07
    assert found[:, 0].max() > 0.93
    # Of four means of equal size the sum is known within t standard errors of theirs; the loss is robust, hence more.
    reach = student_t.ppf(0.975, 3) * SLIP.std(ddof=1) / 2.0
    apart = np.abs(found.sum(axis=1) - 1.0 - SLIP.mean())
    assert apart.max() < 1.5 * reach


def test_without_a_pull_only_what_is_stopped_is_followed():
    scoring = Scoring.of(made(None))
    best = scoring.polish(np.array([0.0, 0.9]))
    assert len(allowed_points(scoring, best, np.zeros(2, dtype=bool), in_process)) == 2
    found = allowed_points(scoring, best, np.array([False, True]), in_process)
    assert np.ptp(found[:, 1]) > 0.9


def test_commands_are_resampled_whole():
    scoring = Scoring.of(made(None))
    seen = set()
    for number in range(20):
        weight = scoring.resample(generator(0, "refit", number))
        assert weight.sum() == 40
        by_command = weight.reshape(4, 10)
        np.testing.assert_array_equal(by_command, np.repeat(by_command[:, :1], 10, axis=1))
        seen |= set(by_command[:, 0].tolist())
    assert {0.0, 1.0, 2.0} <= seen
