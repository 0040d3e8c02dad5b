"""Point replay by the response and clock of a twin's spread: closed forms, the sampler's mean, the gap."""

from __future__ import annotations

import numpy as np
import pytest

from floorcast.common.geometry import relative, wrap_angle
from floorcast.gap.replay import make_windows
from floorcast.gap.response_replay import response_paths
from floorcast.gap.run import measure_gap
from floorcast.gap.spread import predict, true_ends

from .test_predicted import some_twin
from .test_spread import clocked, driven
from .test_spread_in_fleet import made_spread, pulses

NOISE = ("stall_rate", "turn_sd", "travel_sd", "veer_sd", "turn_robot", "travel_robot", "veer_robot", "hold_jitter")
SURE = dict.fromkeys(NOISE, 0.0)


def ends_of(windows, spread):
    """Replayed ends (K, H, 3) in the frames of their starts."""
    path = response_paths(windows, spread)
    return relative(path[:, :1], path[:, windows.horizon_steps])


def test_without_a_clock_the_path_is_the_table_s_answer_a_delay_later():
    stamps, command = pulses()
    done = np.where(command[:, 1:] > 0.0, (0.05, 0.5), 0.0)
    done = np.where((command[:, 1:] == 0.0) & (command[:, :1] > 0.0), (0.12, 0.01), done)
    # Turns to the right are like no cell: the signs differ, and gains alone count.
    done = np.where(command[:, 1:] < 0.0, command * (0.98, 0.93), done)
    late = np.concatenate([np.zeros((3, 2)), done[:-3]])
    windows = make_windows(driven(stamps, command, late), (1.0, 5.0, 10.0), every=2.0)
    spread = made_spread(**SURE, hold=0.0, delay=0.06, lag=0.0)
    error = (ends_of(windows, spread) - true_ends(windows))[windows.valid]
    assert np.hypot(error[:, 0], error[:, 1]).max() < 2e-3
    assert np.abs(wrap_angle(error[:, 2])).max() < 0.012  # a grid step of a turn
    assert np.abs(ends_of(windows, made_spread(**SURE, hold=0.0, delay=0.5, lag=0.0)) - true_ends(windows)).max() > 0.1


def test_with_a_clock_the_heading_is_the_mean_of_what_the_sampler_draws():
    stamps, command = pulses()
    windows = make_windows(driven(stamps, command, command), (2.0, 10.0), every=3.0)
    spread = made_spread(**SURE, sync_share=0.7, sync_delay=0.1, sync_jitter=0.02)
    drawn = predict(windows, spread, samples=1500)
    scatter = drawn[..., 2].std(axis=2)
    assert scatter.max() > 0.02
    # Turns are rates over time: their mean is that of the mean rate, but for the error of 64 clocks.
    off = ends_of(windows, spread)[..., 2] - drawn[..., 2].mean(axis=2)
    assert np.abs(wrap_angle(off)[windows.valid]).max() < 4.0 * scatter.max() / 8.0
    # Ends of turns tell the clock: a free one leaves more open, and has another mean.
    free = predict(windows, made_spread(**SURE), samples=300)
    assert free[..., 2].std(axis=2).max() > 1.2 * scatter.max()


def test_the_gap_names_what_is_replayed_and_tells_of_the_gains_apart():
    logs = [clocked(seed, seconds=25.0) for seed in (1, 2)]
    twin = some_twin(made_spread(hold=0.25, delay=0.0, lag=0.0))
    found = measure_gap(logs, twin=twin, horizons=(1.0, 2.0), resamples=20)
    gains = measure_gap(logs, twin=some_twin(None), horizons=(1.0, 2.0), resamples=20)
    assert found.model == "twin made version 1, mean response and clock of its spread"
    assert gains.model == "twin made version 1"
    assert not [item for item in gains.metrics if item.name.startswith("gains_")]
    for name in ("pos_end_err", "yaw_end_err"):
        for robot in ("robot1", "robot2", "all"):
            alone = found.metric(f"gains_{name}", robot, 2.0)
            assert alone.value == gains.metric(name, robot, 2.0).value
            assert (alone.ci_low is None) == (gains.metric(name, robot, 2.0).ci_low is None)
    windows = make_windows(logs[0], (1.0, 2.0), every=1.0)
    error = (ends_of(windows, twin.spread) - true_ends(windows))[windows.valid[:, 1], 1]
    assert found.metric("pos_end_err", "robot1", 2.0).value == pytest.approx(
        float(np.median(np.hypot(error[:, 0], error[:, 1]))), rel=1e-6
    )
    assert any("gains_pos_end_err" in note for note in found.notes)
