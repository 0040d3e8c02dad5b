"""The twin's spread in fleets and episodes: the distribution that it predicts is the one that robots drive."""

from __future__ import annotations

import numpy as np
import pytest

from floorcast.common.config import config_hash
from floorcast.common.errors import InputError
from floorcast.common.geometry import wrap_angle
from floorcast.common.primitives import PrimitiveBuilder
from floorcast.common.seeding import generator
from floorcast.episodes.loop import run_episode
from floorcast.episodes.scenario import Scenario
from floorcast.gap.replay import make_windows
from floorcast.gap.spread import predict
from floorcast.physics.settings import PhysicsSettings
from floorcast.physics.world import World
from floorcast.robots.fleet import Fleet
from floorcast.robots.load import load_robot
from floorcast.robots.model import DriveParameters, RobotModel
from floorcast.robots.motion_spread import ResponseCell
from floorcast.robots.twin import Twin
from floorcast.robots.twin_draw import draw_motion, respond_drive

from .test_predicted import some_twin
from .test_spread import driven, some_spread

BRISK = DriveParameters(
    max_acceleration=50.0, max_deceleration=50.0, max_yaw_acceleration=200.0, max_wheel_torque=500.0, friction=8.0,
    motor_lag=0.0, command_delay=0.0, rolling_resistance=0.0,
)  # fmt: skip
"""A drive whose limits nothing reaches, so that the spread alone decides."""
NOISY = {
    "linear_gain": 0.98, "angular_gain": 0.93, "hold": 0.25, "hold_jitter": 0.1, "delay": 0.06, "lag": 0.05,
    "stall_rate": 0.1, "stall_time": 0.4, "turn_sd": 0.1, "turn_time": 1.5, "travel_sd": 0.05, "travel_time": 3.0,
    "veer_sd": 0.1, "veer_time": 1.0, "turn_robot": 0.05, "travel_robot": 0.04, "veer_robot": 0.1, "tail": 6.0,
}  # fmt: skip


def made_spread(**values):
    """A spread with two kinds of commands that no gain explains, one of which scatters."""
    cells = [
        ResponseCell(v=0.12, omega=0.0, v_done=0.12, omega_done=0.01, seconds=100.0),
        ResponseCell(v=0.1, omega=0.6, v_done=0.05, omega_done=0.5, omega_scatter=0.05, seconds=50.0),
    ]
    spread = some_spread(**{**NOISY, "truth_position": 0.0, "truth_yaw": 0.0, **values})
    return spread.model_copy(update={"cells": cells, "span": (0.12, 0.6), "reach": 0.1})


def pulses(seconds=22.0):
    """Commands every 0.02 s (M,), (M, 2): a second at rest, then driving with turns of 0.3 s to a second, then rest."""
    rng = np.random.default_rng(4)
    stamps = np.arange(0.0, seconds, 0.02)
    command = np.zeros((len(stamps), 2))
    command[(stamps >= 1.0) & (stamps < 20.0)] = 0.12, 0.0
    for begin in np.arange(2.0, 19.0, 1.5):
        turning = (stamps >= begin) & (stamps < begin + rng.uniform(0.3, 1.0))
        command[turning] = 0.1, rng.choice([0.6, 0.6, -0.5])
    return stamps, command


def fleet_of(spread, count, *, motion=True, frequency=250, margin=0.06, drive=BRISK):
    world = World(
        PrimitiveBuilder().build(), (), (),
        settings=PhysicsSettings(frequency=frequency, margin=margin, release_margin=margin),
    )  # fmt: skip
    motions = [draw_motion(spread, generator(7, f"robot.{k}")) for k in range(count)] if motion else []
    fleet = Fleet(world, [RobotModel()] * count, [respond_drive(drive, drive, spread)] * count, motions)
    side = int(np.ceil(np.sqrt(count)))
    start = np.zeros((count, 3))
    start[:, 0], start[:, 1] = 20.0 * (np.arange(count) % side), 20.0 * (np.arange(count) // side)
    fleet.reset(start)
    return fleet, start


def drive_all(fleet, commands, steps=5):
    for command in commands:
        fleet.command(np.tile(command, (len(fleet.models), 1)))
        fleet.step(steps)
    return fleet


@pytest.mark.slow
def test_robots_of_a_fleet_end_as_the_spread_predicts():
    stamps, command = pulses()
    windows = make_windows(driven(stamps, command, command), (10.0, 21.0), every=100.0)
    spread = made_spread()
    expected = predict(windows, spread, samples=3000)[0]
    count = 300
    fleet, start = fleet_of(spread, count)
    plain, origin = fleet_of(spread, 1, motion=False)
    # A window begins 0.2 s after the log.
    for theory, given in zip(expected, (command[10:510], command[510:1060]), strict=True):
        theory[:, 2] = wrap_angle(theory[:, 2])
        ends = drive_all(fleet, given).pose - start
        gains = drive_all(plain, given).pose - origin
        error = theory.std(axis=0) * np.sqrt(1.0 / count + 1.0 / len(theory))
        assert (np.abs(ends.mean(axis=0) - theory.mean(axis=0)) < 3.5 * error).all()
        # Standard deviations of heavy tails: within five errors of those of normal samples.
        np.testing.assert_allclose(ends.std(axis=0), theory.std(axis=0), rtol=5.0 / np.sqrt(2.0 * count))
        assert (np.abs(gains[0] - theory.mean(axis=0)) > 10.0 * error).any()
    fleet.world.close()
    plain.world.close()


def test_neither_bullet_nor_other_robots_nor_how_steps_are_cut_changes_a_bit():
    spread, (_, command) = made_spread(), pulses(8.0)
    ends = []
    for count, margin, cut in ((3, 0.06, 1), (3, 500.0, 1), (2, 0.06, 5)):
        fleet, _ = fleet_of(spread, count, margin=margin, frequency=240)
        for row in command:
            fleet.command(np.tile(row, (count, 1)))
            for _ in range(cut):
                fleet.step(5 // cut)
        ends.append(np.column_stack([fleet.pose, fleet.odometry])[:2])
        fleet.world.close()
    assert np.array_equal(ends[0], ends[1])
    assert np.array_equal(ends[0], ends[2])
    assert np.abs(ends[0][0] - ends[0][1])[2] > 1e-3  # robots have differences of their own


def test_robots_told_to_stand_stand_and_the_log_knows_only_its_own_commands():
    calm = {name: 0.0 for name in NOISY if name.endswith(("_sd", "_robot", "_rate"))}
    fleet, start = fleet_of(made_spread(**calm), 4)
    drive_all(fleet, np.zeros((100, 2)))
    assert np.array_equal(fleet.pose, start)
    assert not fleet.motion.told.any()
    drive_all(fleet, np.tile([0.12, 0.0], (250, 1)))
    inside = fleet.motion.told
    np.testing.assert_allclose(inside[:, 0], 5.0, atol=0.4)
    np.testing.assert_allclose(inside[:, 1], 0.0, atol=1e-9)
    fleet.reset(start)
    drive_all(fleet, np.tile([1.0, 0.0], (250, 1)))
    np.testing.assert_allclose(fleet.motion.told[:, 1], fleet.motion.told[:, 0], rtol=1e-9)
    np.testing.assert_allclose(fleet.pose[:, 0] - start[:, 0], 0.98 * 5.0, atol=0.4)  # gains stand in
    fleet.world.close()


def test_only_differential_drives_have_a_spread():
    world = World(PrimitiveBuilder().build(), (), (), settings=PhysicsSettings())
    motion = draw_motion(made_spread(), generator(1, "x"))
    with pytest.raises(InputError, match="robot 0 is tricycle"):
        Fleet(world, [load_robot("forklift")], motions=[motion])
    with pytest.raises(InputError, match="1 robot models, but 2 motions"):
        Fleet(world, [RobotModel()], motions=[motion, None])
    with pytest.raises(ValueError, match="a mecanum robot has no spread"):
        Twin.model_validate({**some_twin(made_spread()).model_dump(), "kind": "mecanum", "parameters": {}})
    world.close()


class Ahead:
    """Drives in an arc, fast at first, then as slowly as the log knows."""

    def reset(self, info):
        self.calls = 0

    def act(self, observation):
        self.calls += 1
        return (0.5, 0.3) if self.calls < 40 else (0.12, 0.0)


@pytest.fixture(scope="module")
def scenario():
    return Scenario.model_validate({"name": "small", "duration": 4.0})


def episode(scenario, twin):
    return run_episode(scenario, Ahead, policy_name="ahead", seed=3, index=1, twin=twin)


def test_an_episode_uses_the_twin_s_spread_unless_told_not_to(scenario):
    told = scenario.model_copy(update={"robots": scenario.robots.model_copy(update={"motion_spread": False})})
    assert "motion_spread" not in scenario.model_dump()["robots"]
    assert config_hash(told) != config_hash(scenario)
    spread, without = some_twin(made_spread()), some_twin(None)
    used, again, plain, opted = (
        episode(*case) for case in ((scenario, spread), (scenario, spread), (scenario, without), (told, spread))
    )
    assert np.array_equal(used.pose, again.pose)
    assert used.kpis["spread_robots"] == len(used.robot_radius)
    assert used.kpis["spread_outside_ratio"] == pytest.approx(0.5, abs=0.07)  # 2 of 4 s are nothing that the log knows
    assert {f"robots.0.motion.{name}" for name in ("turn", "travel", "veer", "tail")} <= set(used.sampled)
    assert np.array_equal(plain.pose, opted.pose)
    assert not np.array_equal(plain.pose, used.pose)
    assert "spread_robots" not in plain.kpis
    assert "robots.0.motion.turn" not in opted.sampled


def test_what_a_drive_was_drawn_to_be_stays_on_top_of_the_spread():
    spread = made_spread()
    base = DriveParameters(linear_gain=0.9, angular_gain=1.1, command_delay=0.13, motor_lag=0.09)
    drawn = base.model_copy(update={"linear_gain": 0.945, "command_delay": 0.15, "motor_lag": 0.01})
    found = respond_drive(drawn, base, spread)
    assert found.linear_gain == pytest.approx(1.05)
    assert found.angular_gain == pytest.approx(1.0)
    assert found.command_delay == pytest.approx(0.08)
    assert found.motor_lag == 0.0
