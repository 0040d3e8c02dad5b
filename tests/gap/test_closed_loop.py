import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.gap.closed_loop import LD250, Run, run_of, score, tune_closed_loop, yaw_step
from floorcast.gap.fieldlog import FieldLog, FileReport, LogReport
from floorcast.robots.model import RobotModel


def straight_log(cruise=0.5, up=0.5, down=0.4, distance=2.0, rounded=True, bent=0.0) -> FieldLog:
    """A robot that drives a trapezoid exactly, every 0.1 s."""
    holding = distance / cruise - 0.5 * cruise / up - 0.5 * cruise / down
    end = cruise / up + holding + cruise / down
    t = np.arange(0.0, end + 0.3, 0.1)
    fine = np.linspace(0.0, end, 20001)
    speed = np.minimum.reduce([up * fine, np.full_like(fine, cruise), down * (end - fine)])
    place = np.concatenate([[0.0], np.cumsum(0.5 * (speed[1:] + speed[:-1]) * np.diff(fine))])
    x = np.interp(t, fine, place)
    yaw = bent * x
    pose = np.column_stack([x, 0.5 * bent * x**2, np.zeros(len(t)) if rounded else yaw + 1e-5 * np.sin(37.0 * t)])
    # The run begins anywhere, facing anywhere.
    (x, y, yaw), c, s = pose.T, np.cos(2.0), np.sin(2.0)
    pose = np.column_stack([5 + c * x - s * y, -3 + s * x + c * y, 2.0 + yaw])
    return FieldLog(
        robot="truck",
        drive="differential",
        pose_t_ns=np.round(t * 1e9).astype(np.int64),
        pose=pose,
        report=LogReport((FileReport("run.csv", "0" * 64, len(t), len(t)),)),
    )


def test_j_of_a_constant_offset_is_arithmetic():
    t = np.array([0.0, 0.35, 1.0])
    real = Run(t, np.column_stack([t, np.zeros(3), np.zeros(3)]))
    # 10 cm behind and two degrees off, with other stamps; grid 0, 0.1, ..., 0.7 (0.8 is left out).
    late = np.array([0.0, 0.5, 0.8])
    other = Run(late, np.column_stack([late - 0.06, np.full(3, 0.08), np.full(3, 2.0 * np.pi + 0.0349)]))
    found = score(real, other)
    assert found.samples == 8
    assert abs(found.rmse_pos - 0.1) < 1e-12
    assert abs(found.rmse_yaw - 0.0349) < 1e-12
    assert abs(found.j - 1.0) < 1e-9


def test_a_run_is_seen_from_its_first_pose():
    run = run_of(straight_log())
    np.testing.assert_allclose(run.pose[0], 0.0, atol=1e-12)
    assert abs(run.pose[-1, 0] - 2.0) < 1e-3
    assert np.abs(run.pose[:, 1:]).max() < 1e-9


def test_a_trapezoid_is_driven_again_within_fifty_drives_in_both_worlds():
    found = tune_closed_loop(straight_log())
    assert found.evaluations <= 50
    assert found.score.j < 0.06
    assert abs(found.in_bullet.j - found.score.j) < 0.002
    assert abs(found.drive.cruise_speed - 0.5) < 0.02
    assert abs(found.drive.distance - 2.0) < 0.05
    assert found.bare.j < 0.01
    assert "single run" in found.notes[0]
    assert not found.twin.parameters["max_speed"].identifiable
    # A few drives only: worse or equal, never more than allowed.
    fewer = tune_closed_loop(straight_log(), most=10)
    assert fewer.evaluations == 10
    assert fewer.score.j >= found.score.j - 1e-9
    assert found.twin.apply(LD250).drive.max_acceleration == found.drive.acceleration


def test_the_step_of_the_heading_and_its_floor_are_found():
    log = straight_log()
    assert abs(yaw_step(log) - np.radians(1.0)) < 1e-12
    assert yaw_step(straight_log(bent=0.05, rounded=False)) == 0.0
    stepped = straight_log(bent=0.05, rounded=False)
    half = np.radians(0.5)
    stepped.pose[:, 2] = np.round(stepped.pose[:, 2] / half) * half
    assert abs(yaw_step(stepped) - half) < 1e-9
    # The floor against drawn headings: uniform within one step, seen as none.
    drawn = np.random.default_rng(0).uniform(-0.5, 0.5, 200_000) * np.radians(1.0)
    t = np.arange(len(drawn)) * 0.1
    flat, true = np.zeros((len(t), 3)), np.column_stack([np.zeros((len(t), 2)), drawn])
    made = score(Run(t, flat), Run(t, true)).j
    assert abs(made - 0.5 * np.radians(1.0) / np.sqrt(12) / 0.0349) < 1e-3


@pytest.mark.parametrize(
    ("log", "options", "reason"),
    [
        (straight_log(bent=0.5), {}, "no straight drive"),
        (straight_log(distance=0.4, cruise=0.1), {}, "no straight drive"),
        (straight_log(), {"most": 5}, "too few"),
        (straight_log(), {"model": RobotModel(kind="mecanum")}, "differential"),
    ],
)
def test_what_cannot_be_tuned_is_refused(log, options, reason):
    with pytest.raises(InputError, match=reason):
        tune_closed_loop(log, **options)
