"""The predicted distribution of motion: sampler against theory, recovery of known truth, bands, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.gap import spread_fit
from floorcast.gap.fieldlog import CREATE_MODEL, FieldLog, FileReport, LogReport
from floorcast.gap.replay import make_windows
from floorcast.gap.spread import fit_spread, judge, measure_spread, predict, widened
from floorcast.gap.spread_fit import TIMES, Clock, Ends, Likelihood, covariances, fit_noise, propagate, value_array
from floorcast.gap.spread_response import TimedCommands, fit_response
from floorcast.robots.motion_spread import (
    GRID,
    PATH_STEP,
    VALUE_NAMES,
    Estimate,
    MotionSpread,
    age_weights,
    sample_ends,
    sync_edges,
    take_over,
)

from .synthetic import SECOND, START, make_log

NO_CLOCK = Clock(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
STILL = {
    "turn_sd": 0.0, "turn_time": 1.0, "travel_sd": 0.0, "travel_time": 1.0, "veer_sd": 0.0, "veer_time": 1.0,
    "turn_robot": 0.0, "travel_robot": 0.0, "veer_robot": 0.0, "crab_robot": 0.0,
    "rock_position": 0.0, "rock_yaw": 0.0, "scatter_time": 5.0, "tail": 1e6,
}  # fmt: skip
STEPS = np.array([5, 25, 50])


def ends(rate, noise, clock=NO_CLOCK, samples=4000, truth=(0.0, 0.0), edges=(), start=100.0, key=1):
    values = value_array(clock, {**STILL, **noise}, truth)
    place = np.atleast_1d(np.asarray(start, dtype=float))
    return sample_ends(rate, np.asarray(edges, dtype=float), place, STEPS, values, samples, np.uint64(key))


def arc(v=0.4, omega=0.2, count=1000):
    return np.tile([v, omega, 0.0, 0.0], (count, 1))


@pytest.mark.parametrize(
    ("noise", "shape", "keep"),
    [
        ({"turn_sd": 0.05, "turn_time": 0.8}, (0.0, 0.0, 0.2), np.exp(-PATH_STEP / 0.8)),
        ({"travel_sd": 0.05, "travel_time": 3.0}, (0.4, 0.0, 0.0), np.exp(-PATH_STEP / 3.0)),
        ({"veer_sd": 0.1, "veer_time": 0.4}, (0.0, 0.0, 0.4), np.exp(-PATH_STEP / 0.4)),
        ({"turn_robot": 0.05}, (0.0, 0.0, 0.2), 1.0),
        ({"crab_robot": 0.03}, (0.0, 0.4, 0.0), 1.0),
        ({"scatter_time": 1.5}, (0.0, 0.0, 1.0), np.exp(-PATH_STEP / 1.5)),
    ],
)
def test_samples_have_the_covariance_that_first_order_theory_gives(noise, shape, keep):
    scatter = 0.02 if "scatter_time" in noise else 0.0
    drawn = ends(arc() + np.array([0.0, 0.0, 0.0, scatter]), noise)[0]
    turn = 0.2 * PATH_STEP * (np.arange(50) + 0.5)
    theory = (
        propagate(np.tile(shape, (1, 50, 1)), np.full((1, 50), 0.4 * PATH_STEP), turn[None], STEPS, keep, PATH_STEP)[0]
        * (scatter or max(noise[name] for name in noise if not name.endswith("time"))) ** 2
    )
    for number in range(len(STEPS)):
        found = np.cov(drawn[number].T)
        size = np.sqrt(np.outer(np.diag(theory[number]), np.diag(theory[number]))) + 1e-9
        np.testing.assert_allclose(found / size, theory[number] / size, atol=0.1)


def made_table(seed, turn=0.06, tail=6.0):
    """Errors whose covariance is that of a turning gain that wanders, told in arcs of several lengths, and a tail."""
    rng = np.random.default_rng(seed)
    omega = np.repeat(rng.uniform(-0.5, 0.5, 200), 50).reshape(200, 50)
    heading = np.cumsum(omega, axis=1) * PATH_STEP
    ends = Ends(
        log=make_log(seconds=2.0), truth=np.zeros((200, 3, 3)), valid=np.ones((200, 3), dtype=bool),
        rate=np.zeros((10, 4)), place=np.zeros(200), edges=np.empty(0), mean=np.zeros((200, 3, 3)),
        travel=np.full((200, 50), 0.02), heading=heading, turn=omega * PATH_STEP, odd=np.full((200, 50, 2), 1e-3),
        moving=np.ones((200, 4)), steps=STEPS,
    )  # fmt: skip
    table = covariances(ends, NO_CLOCK, np.uint64(0))
    shape = turn**2 * table.causes["turn_sd"][2] + 1e-8 * (table.truth[0] + table.truth[1])
    normal = rng.standard_normal((len(shape), 3)) * np.sqrt(tail / rng.chisquare(tail, (len(shape), 1)))
    return replace(table, error=np.einsum("nij,nj->ni", np.linalg.cholesky(shape), normal))


def test_the_likelihood_has_the_slope_that_differences_give_and_finds_what_made_the_errors():
    table = made_table(0)
    likelihood = Likelihood(table, (1e-4, 1e-4))
    point = np.log(spread_fit.START) + 0.2 * np.random.default_rng(1).standard_normal(len(spread_fit.START))
    step = 1e-5 * np.eye(len(point))
    numeric = [(likelihood(point + each)[0] - likelihood(point - each)[0]) / 2e-5 for each in step]
    np.testing.assert_allclose(likelihood(point)[1], numeric, rtol=1e-4, atol=1e-3)
    found = fit_noise(table, (1e-4, 1e-4)).values
    assert found["turn_sd"] == pytest.approx(0.06, rel=0.15)
    assert found["turn_time"] == pytest.approx(TIMES[2], rel=0.3)
    assert 4.0 < found["tail"] < 9.0


def test_without_noise_the_path_is_the_arc():
    drawn = ends(arc(), {}, samples=2)[0]
    for number, steps in enumerate(STEPS):
        t = steps * PATH_STEP
        np.testing.assert_allclose(drawn[number, :, 2], 0.2 * t, rtol=1e-9)
        np.testing.assert_allclose(drawn[number, :, 0], 2.0 * np.sin(0.2 * t), rtol=1e-3)


def test_a_robot_that_is_told_to_stand_stands_and_rocks_only_while_it_moves():
    noise = {name: 0.2 for name in STILL if name not in ("tail",)}
    standing = ends(np.zeros((1000, 4)), noise, clock=replace(NO_CLOCK, stall_rate=0.5, stall_time=0.2))
    assert np.abs(standing).max() == 0.0


def test_windows_and_samples_have_numbers_of_their_own():
    noise = {"turn_sd": 0.1, "travel_robot": 0.1}
    both = ends(arc(), noise, samples=8, start=[100.0, 200.0])
    alone = ends(arc(), noise, samples=4, start=[100.0])
    np.testing.assert_array_equal(both[:1, :, :4], alone)
    assert np.abs(both[0] - both[1]).min() > 0.0


def test_a_told_clock_executes_a_pulse_for_whole_periods_up_to_its_fall():
    rate = np.zeros((1000, 4))
    rate[476:500, 1] = 1.0  # 0.48 s asked
    clock = Clock(hold=0.25, hold_jitter=0.0, sync_share=1.0, sync_delay=0.1, sync_jitter=0.0, delay=0.02, lag=0.0)
    held, state = np.empty((1000, 4)), np.array([5], dtype=np.uint64)
    take_over(rate, np.array([500.0]), 0.0, value_array(clock, STILL, (0.0, 0.0)), state, held)
    on = np.flatnonzero(held[:, 1])
    assert on[-1] == 500 + round(0.1 / GRID) - 1  # ends when the fall is taken over
    assert len(on) * GRID == pytest.approx(0.5, abs=1.01 * GRID)  # two whole periods


def test_ages_of_held_commands_follow_renewal_theory():
    for hold, jitter in ((0.4, 0.05), (0.6, 0.3)):
        weights = age_weights(hold, jitter)
        mean = (weights * np.arange(len(weights))).sum() * GRID
        assert weights.sum() == pytest.approx(1.0)
        assert mean == pytest.approx(0.5 * hold * (1.0 + jitter**2), abs=0.6 * GRID)  # E[L^2] / (2 E[L])


def test_edges_are_falls_that_last():
    seconds = np.arange(0.0, 4.0, 0.02)
    command = np.zeros((200, 2))
    command[:, 0], command[50:65, 1], command[120:121, 0] = 0.1, 0.4, 0.0
    np.testing.assert_allclose(sync_edges(seconds, command, np.array([0.1, 0.4])), [1.3])


def test_a_response_that_no_gain_explains_is_found_in_flickering_commands():
    rng = np.random.default_rng(0)
    seconds = np.arange(0.0, 200.0, 0.02)
    # Slow, fast, and arcs that the robot cuts to half their speed; they flicker faster than it is measured.
    kinds = np.array([[0.1, 0.0], [0.2, 0.0], [0.2, 0.5]])
    done = np.array([[0.14, 0.0], [0.2, 0.0], [0.1, 0.45]])
    place = np.repeat(rng.integers(0, 3, 2000), 5)
    log = driven(seconds, kinds[place], done[place])
    fitted = fit_response([TimedCommands(log)], 0.0)
    np.testing.assert_allclose(fitted.respond(kinds), done, atol=0.01)


def driven(seconds, commands, speeds, robot="robot1", noise=0.0, seed=0):
    """A log whose truth follows given speeds (M, 2), held from each command's stamp on (Euler, 5 ms)."""
    t = np.arange(seconds[0], seconds[-1], 0.005)
    now = speeds[np.searchsorted(seconds, t, side="right") - 1]
    yaw = np.concatenate([[0.0], np.cumsum(now[:-1, 1]) * 0.005])
    x = np.concatenate([[0.0], np.cumsum(now[:-1, 0] * np.cos(yaw[:-1] + 0.0025 * now[:-1, 1])) * 0.005])
    y = np.concatenate([[0.0], np.cumsum(now[:-1, 0] * np.sin(yaw[:-1] + 0.0025 * now[:-1, 1])) * 0.005])
    pose = np.column_stack([x, y, (yaw + np.pi) % (2 * np.pi) - np.pi])[::4]
    pose += noise * np.random.default_rng(seed).standard_normal(pose.shape)
    return FieldLog(
        robot=robot, drive="differential", pose=pose, cmd=commands, model=CREATE_MODEL,
        pose_t_ns=START * SECOND + np.round(t[::4] * 1e9).astype(np.int64),
        cmd_t_ns=START * SECOND + np.round(seconds * 1e9).astype(np.int64),
        report=LogReport((FileReport(f"{robot}.dat", "0" * 64, len(seconds), len(seconds)),)),
    )  # fmt: skip


def clocked(seed, seconds=200.0, hold=0.25):
    """A robot that looks at its command every 0.25 s, with a turning gain of its own, and is told to turn in pulses."""
    rng = np.random.default_rng(seed)
    stamps = np.arange(0.0, seconds, 0.02)
    command = np.tile([0.12, 0.0], (len(stamps), 1))
    t = 1.0
    while t < seconds - 3.0:
        begin, length = t + rng.uniform(0.8, 2.0), rng.uniform(0.12, 0.7)
        command[(stamps >= begin) & (stamps < begin + length)] = 0.1, 0.6 * rng.choice([-1.0, 1.0])
        t = begin + length
    looks = np.arange(-1.0 + rng.uniform(0.0, hold), seconds, hold)
    seen = looks[np.maximum(np.searchsorted(looks, stamps, side="right") - 1, 0)]
    taken = command[np.clip(np.searchsorted(stamps, seen, side="right") - 1, 0, None)]
    gain = np.array([1.0 + 0.01 * rng.standard_normal(), 0.95 + 0.02 * rng.standard_normal()])
    return driven(stamps, command, taken * gain, robot=f"robot{seed}", noise=2e-4, seed=seed)


@pytest.mark.slow
def test_a_known_clock_lies_in_its_interval_and_bands_hold_on_robots_that_were_not_trained_on():
    spread = fit_spread([clocked(seed) for seed in (1, 2)])
    assert spread.hold.ci_low <= 0.25 <= spread.hold.ci_high
    np.testing.assert_allclose(spread.respond(np.array([[0.12, 0.0]]))[0], [0.12, 0.0], atol=0.005)
    assert spread.respond(np.array([[0.1, 0.6]]))[0, 1] == pytest.approx(0.57, abs=0.03)
    found = measure_spread([clocked(seed) for seed in (4, 5, 6)], spread, resamples=200)
    for item in found:
        if item.robot == "all" and item.name.startswith("band95"):
            assert 0.85 <= item.value <= 1.0, (item.name, item.horizon_s, item.value)
            assert item.ci_low is not None


def some_spread(**values):
    names = (*VALUE_NAMES, "linear_gain", "angular_gain")
    numbers = {**STILL, **vars(NO_CLOCK), "truth_position": 1e-4, "truth_yaw": 1e-4, "linear_gain": 1.0}
    numbers |= {"angular_gain": 1.0, **values}
    return MotionSpread.model_validate({name: Estimate(value=numbers[name], unit="-").model_dump() for name in names})


def test_prediction_is_a_function_of_its_seed_and_metrics_say_what_the_samples_say():
    log = make_log(seconds=90.0, noise=1e-4)
    spread = some_spread(turn_sd=0.05, rock_position=1e-3, rock_yaw=2e-3)
    windows = make_windows(log, (1.0, 5.0))
    first = predict(windows, spread, samples=64, seed=3)
    np.testing.assert_array_equal(first, predict(windows, spread, samples=64, seed=3))
    assert np.abs(first - predict(windows, spread, samples=64, seed=4)).max() > 0.0
    metrics = {(m.name, m.horizon_s): m for m in measure_spread([log], spread, samples=64, resamples=50)}
    assert {name for name, _ in metrics} == {"crps_pos", "crps_yaw", "band95_pos", "band95_yaw"}
    assert all(item.n > 0 and item.floor is None for item in metrics.values())


def test_sharper_samples_about_the_truth_score_better_and_widening_keeps_the_mean():
    log = make_log(seconds=60.0)
    windows = make_windows(log, (1.0, 2.0))
    truth = np.zeros((len(windows), 2, 3))
    drawn = np.random.default_rng(0).normal(scale=0.1, size=(len(windows), 2, 50, 3))
    wide = widened(drawn, np.full((2, 2), 2.0))
    np.testing.assert_allclose(wide.mean(axis=2), drawn.mean(axis=2), atol=1e-12)
    np.testing.assert_allclose(wide.std(axis=2), 2.0 * drawn.std(axis=2))
    for sharp, blunt in zip(judge(windows, truth, drawn), judge(windows, truth, wide), strict=True):
        assert sharp.position.mean() < blunt.position.mean()
        assert sharp.heading.mean() < blunt.heading.mean()


def test_what_cannot_be_fitted_is_refused_with_the_reason():
    with pytest.raises(InputError, match="too little"):
        fit_spread([make_log(seconds=30.0)])
    log = make_log(seconds=30.0)
    with pytest.raises(InputError, match="differential"):
        fit_spread([replace(log, drive="mecanum")])
    with pytest.raises(InputError, match="commands"):
        predict(make_windows(log, (1.0,)), some_spread()).shape and fit_spread([replace(log, cmd=np.empty((0, 2)))])
