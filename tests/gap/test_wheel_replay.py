from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

from floorcast.common.errors import InputError
from floorcast.common.geometry import compose, relative, wrap_angle
from floorcast.gap.calibration import fit
from floorcast.gap.fieldlog import FieldLog, FileReport, LogReport
from floorcast.gap.floor import repeated_runs
from floorcast.gap.motion_sources import split_motion
from floorcast.gap.problems import problem_for
from floorcast.gap.repeats import run_end_metrics
from floorcast.gap.replay import WheelReplay, make_windows, wheel_chain, whole_run
from floorcast.gap.run import measure_gap
from floorcast.gap.wheel_start import closed_form_wheels, textbook_wheels
from floorcast.robots.drive_mecanum import body_speed
from floorcast.robots.wheels import WheelParameters, body_matrix, count_motion

REPORT = LogReport((FileReport("run", "0" * 64, 1, 1),))
LATERAL, TURNING = np.array([-1, 1, 1, -1]), np.array([-1, 1, -1, 1])


def body_path(seconds: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Twists (N, 3) every 5 ms that wander, and the poses (N + 1, 3) they lead to (Euler, no code of the product)."""
    rng = np.random.default_rng(seed)
    count = int(seconds / 0.005)
    knots = rng.uniform(-1, 1, (int(seconds) + 2, 3)) * [0.4, 0.3, 0.8]
    at = np.arange(count) * 0.005
    twist = np.column_stack([np.interp(at, np.arange(len(knots)), column) for column in knots.T])
    pose = np.zeros((count + 1, 3))
    for i, (vx, vy, omega) in enumerate(twist):
        middle = pose[i, 2] + 0.0025 * omega
        c, s = np.cos(middle), np.sin(middle)
        pose[i + 1] = pose[i] + 0.005 * np.array([c * vx - s * vy, s * vx + c * vy, omega])
    return twist, pose


def counting_log(gains, reach, seed=0, mount=(0.0, 0.0, 0.0), delay=0.0, wheels=4, seconds=30.0) -> FieldLog:
    twist, pose = body_path(seconds, seed)
    if wheels == 2:
        twist[:, 1] = 0.0
        twist, pose = twist, _without_sliding(twist)
    speed = twist[:, :1] + twist[:, 1:2] * LATERAL[:wheels] + reach * twist[:, 2:] * TURNING[:wheels]
    counts = np.concatenate([np.zeros((1, wheels)), np.cumsum(speed * 0.005, axis=0)]) / np.array(gains)
    stamps = np.arange(len(pose)) * 5_000_000
    mark = compose(pose, np.array(mount))
    return FieldLog(
        robot="base",
        drive="mecanum" if wheels == 4 else "differential",
        pose_t_ns=stamps[::2] + round(delay * 1e9),
        pose=mark[::2],
        ticks_t_ns=stamps[::4],
        ticks=np.round(counts[::4]).astype(np.int64),
        report=REPORT,
    )


def _without_sliding(twist):
    pose = np.zeros((len(twist) + 1, 3))
    for i, (vx, _, omega) in enumerate(twist):
        middle = pose[i, 2] + 0.0025 * omega
        pose[i + 1] = pose[i] + 0.005 * np.array([np.cos(middle) * vx, np.sin(middle) * vx, omega])
    return pose


def test_equal_loads_without_drag_are_the_textbook_mean():
    rng = np.random.default_rng(1)
    matrix = body_matrix(WheelParameters(wheel_reach=0.37), 4)
    for speeds in rng.normal(size=(5, 4)):
        np.testing.assert_allclose(matrix @ speeds, body_speed(tuple(speeds), 0.37), atol=1e-12)


def test_creep_is_the_least_work_of_slip_and_rollers():
    share, drag, reach = 0.7, 0.2, 0.3
    wheels = np.array([0.4, -0.1, 0.0, 0.25])
    load = np.array([1 - share, share, share, 1 - share])

    def work(xi):
        slip = xi[0] + LATERAL * xi[1] + TURNING * reach * xi[2] - wheels
        roller = xi[0] - LATERAL * xi[1] - wheels
        return (load * (slip**2 + drag * roller**2)).sum()

    found = minimize(work, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-14}).x
    parameters = WheelParameters(wheel_reach=reach, diagonal_share=share, roller_drag=drag)
    np.testing.assert_allclose(body_matrix(parameters, 4) @ wheels, found, atol=1e-6)


def test_a_wheel_base_with_three_wheels_is_refused():
    with pytest.raises(InputError, match="3 wheels"):
        count_motion(np.zeros((4, 3)), WheelParameters())


def test_counts_lead_along_the_path_that_was_driven():
    log = counting_log([2e-5] * 4, 0.35, mount=(0.1, -0.05, 0.4), delay=0.03)
    wheels = WheelParameters(
        **dict.fromkeys(("wheel_gain_front_left", "wheel_gain_front_right"), 2e-5),
        **dict.fromkeys(("wheel_gain_rear_left", "wheel_gain_rear_right"), 2e-5),
        wheel_reach=0.35, sensor_x=0.1, sensor_y=-0.05, sensor_yaw=0.4, tick_delay=0.03,
    )  # fmt: skip
    windows = make_windows(log, (1, 10), every=5.0)
    error = relative(windows.truth, WheelReplay([windows]).simulate(wheels))[windows.valid[:, 1]]
    assert np.hypot(error[..., 0], error[..., 1]).max() < 0.003
    assert np.abs(wrap_angle(error[..., 2])).max() < 0.005


@pytest.mark.parametrize("signs", [(1, 1, 1, 1), (1, -1, 1, -1), (-1, 1, 1, -1)])
def test_signs_gain_reach_and_turn_of_the_mark_are_found_from_the_data(signs):
    gains = 1e-3 * np.array(signs)
    log = counting_log(gains, 0.4, seed=2, mount=(0.0, 0.0, 0.5 * np.pi + 0.1), seconds=60.0)
    found = closed_form_wheels([log])
    np.testing.assert_allclose(found.gains(4), gains, rtol=0.08)
    assert abs(found.wheel_reach / 0.4 - 1) < 0.07  # the grid of reaches
    assert abs(found.sensor_yaw - 0.5 * np.pi - 0.1) < 0.06  # screws of two seconds: a start


def test_wheels_before_a_calibration_are_those_of_the_training_logs():
    worn = counting_log([1.0e-3, 1.0e-3], 0.2, seed=6, wheels=2, seconds=60.0)
    judged = replace(counting_log([0.8e-3, 0.8e-3], 0.2, seed=7, wheels=2, seconds=60.0), run="2")
    known = textbook_wheels([worn])
    gaps = [measure_gap([judged], horizons=(2.0, 5.0), resamples=10, textbook=wheels) for wheels in (None, known)]
    flattered, honest = (gap.metric("pos_end_err", judged.name, 5.0) for gap in gaps)
    assert honest.value > 3.0 * flattered.value
    # Counts are no commands: without these no delay and no floor is known.
    assert honest.floor is None
    assert "delay_ms" not in {metric.name for metric in gaps[1].metrics}
    split = split_motion([judged], twin=None, textbook=known, every=1.0, resamples=10)
    assert split.total > 9.0 * flattered.value**2


def test_two_wheels_are_calibrated_from_their_counts():
    log = counting_log([0.9e-4, 1.1e-4], 0.2, seed=5, wheels=2, delay=0.08, mount=(0.05, 0.0, 0.0))
    found = fit(problem_for([log], 2.0), seed=0, refits=20).values
    assert abs(found["wheel_gain_front_left"] - 0.9e-4) < 2e-7
    assert abs(found["wheel_gain_front_right"] - 1.1e-4) < 2e-7
    assert abs(found["wheel_reach"] - 0.2) < 2e-3
    assert abs(found["tick_delay"] - 0.08) < 5e-3
    assert abs(found["sensor_x"] - 0.05) < 5e-3


def told_log(commands, seconds, parameters, run="1") -> FieldLog:
    """A run under raw commands (n, 4), each held for ``seconds``, from an Euler integration of its own."""
    step = 0.002
    count = int((len(commands) * seconds + 1.0) / step)
    speed, pose = np.zeros(4), np.zeros((count + 1, 3))
    matrix = body_matrix(parameters, 4)
    for i in range(count):
        k = int((i * step - parameters.command_delay) // seconds)
        told = commands[k] if 0 <= k < len(commands) else np.zeros(4)
        target = parameters.gains(4) * np.sign(told) * np.maximum(np.abs(told) - parameters.dead_band, 0)
        speed += (1 - np.exp(-step / parameters.motor_lag)) * (target - speed)
        vx, vy, omega = matrix @ speed
        middle = pose[i, 2] + 0.5 * step * omega
        c, s = np.cos(middle), np.sin(middle)
        pose[i + 1] = pose[i] + step * np.array([c * vx - s * vy, s * vx + c * vy, omega])
    stamps = np.round(np.arange(0, len(commands) + 1) * seconds * 1e9).astype(np.int64)
    return FieldLog(
        robot="base",
        run=run,
        drive="mecanum",
        pose_t_ns=(np.arange(count + 1) * 2_000_000)[::5],
        pose=pose[::5],
        wheel_cmd_t_ns=stamps,
        wheel_cmd=np.vstack([commands, np.zeros((1, 4))]),
        wheel_cmd_unit="raw",
        report=REPORT,
    )


def told_parameters() -> WheelParameters:
    return WheelParameters(
        wheel_gain_front_left=0.004, wheel_gain_front_right=0.0045, wheel_gain_rear_left=0.0042,
        wheel_gain_rear_right=0.0038, dead_band=12.0, wheel_reach=0.2, diagonal_share=0.65, roller_drag=0.15,
        motor_lag=0.15, command_delay=0.1,
    )  # fmt: skip


def test_raw_commands_lead_through_delay_dead_band_lag_and_creep():
    rng = np.random.default_rng(4)
    log = told_log(rng.choice([-100.0, -60.0, 0.0, 8.0, 60.0, 100.0], (6, 4)), 1.0, told_parameters())
    windows = whole_run(log)
    found = WheelReplay([windows]).simulate(told_parameters())
    error = relative(windows.truth[0], found[0])
    assert np.hypot(*np.diff(log.pose[:, :2], axis=0).T).sum() > 0.6
    assert np.abs(error[:, :2]).max() < 0.004
    assert np.abs(wrap_angle(error[:, 2])).max() < 0.01


@pytest.mark.slow
def test_what_lies_between_raw_commands_and_motion_is_recovered():
    rng = np.random.default_rng(7)
    runs = [
        told_log(rng.choice([-110.0, -70.0, 0.0, 70.0, 110.0], (6, 4)), 1.0, told_parameters(), run=str(i))
        for i in range(6)
    ]
    found = fit(problem_for(runs, 1.0), seed=0, refits=20).values
    for name, within in {
        "wheel_gain_front_left": 4e-5, "wheel_gain_rear_right": 4e-5, "dead_band": 0.6, "wheel_reach": 0.004,
        "diagonal_share": 0.02, "roller_drag": 0.01, "motor_lag": 0.03, "command_delay": 0.03,
    }.items():  # fmt: skip
        assert abs(found[name] - getattr(told_parameters(), name)) < within, name


def test_runs_that_were_told_the_same_are_paired_and_compared():
    commands = np.array([[60.0, 60, 60, 60]])
    one = told_log(commands, 1.0, told_parameters(), run="1")
    longer = told_log(np.array([[60.0, 60, 60, 60], [0, 0, 0, 0]]), 1.0, told_parameters(), run="2")
    other = told_log(-commands, 1.0, told_parameters(), run="3")
    pairs = repeated_runs([one, longer, other])
    assert [(a.run, b.run) for a, b, _ in pairs] == [("1", "2")]
    np.testing.assert_allclose(pairs[0][2], 0.0, atol=1e-3)
    moved = replace(longer, pose=np.vstack([longer.pose[:-1], compose(longer.pose[-1], [0.03, 0.04, 0.05])]))
    apart = repeated_runs([one, moved])[0][2]
    assert abs(np.hypot(*apart[:2]) - 0.05) < 2e-3
    assert abs(apart[2] - 0.05) < 1e-3


def test_ends_of_runs_are_held_against_those_of_repeats():
    runs = []
    for number, level in enumerate((60.0, 80.0, 100.0, -70.0)):
        base = told_log(np.full((1, 4), level), 7.0, told_parameters(), run=f"{number}a")
        nudged = compose(base.pose[-1], [0.01 * (number + 1), 0.0, 0.02])
        runs += [base, replace(base, run=f"{number}b", pose=np.vstack([base.pose[:-1], nudged]))]
    found = {item.name: item for item in run_end_metrics(runs, None, seed=0, resamples=200, wheels={})}
    position = found["run_end_pos_err"]
    assert abs(position.floor - 0.025) < 1e-9  # the median of 1, 2, 3 and 4 cm
    assert abs(found["run_end_yaw_err"].floor - 0.02) < 1e-9
    # Independently: the textbook wheels of each run alone, from its start to its end.
    ends = []
    for run in runs:
        times, chain = wheel_chain(run, wheels := closed_form_wheels([run]))
        assert times[-1] >= 8.0
        mark = compose(chain, wheels.sensor_pose)
        end = compose(run.pose[0], relative(mark[0], mark[400]))
        ends.append(np.hypot(*(end - run.pose[-1])[:2]))
    assert abs(position.value - np.median(ends)) < 2e-3
    assert position.ci_low <= position.value <= position.ci_high
    assert position.ratio == position.value / position.floor
    few = run_end_metrics(runs[:4], None, seed=0, resamples=200, wheels={})
    assert few[0].ci_low is None
    assert run_end_metrics(runs[:1], None, seed=0, resamples=200, wheels={}) == []
