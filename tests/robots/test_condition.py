"""Wear, faults and telemetry of a fleet on a free floor."""

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from floorcast.common.primitives import PrimitiveBuilder
from floorcast.physics.world import World
from floorcast.robots.condition import FleetCondition, RobotStart, measurement_error
from floorcast.robots.condition_model import COLUMNS, ConditionParameters
from floorcast.robots.faults import FAULT_KINDS, Fault, FaultModel, draw_faults
from floorcast.robots.fleet import Fleet
from floorcast.robots.model import RobotModel
from floorcast.robots.wear import WEAR_NAMES, WearParameters

SOUND = ConditionParameters(wear=WearParameters(**dict.fromkeys(WEAR_NAMES, 0.0)))
PLAN = ((4.0, 1.0, 0.0), (3.0, 0.4, 0.8), (2.0, 0.0, 0.0))


@pytest.fixture(scope="module")
def world():
    made = World(PrimitiveBuilder().build(), (), ())
    yield made
    made.close()


def column(rows, name, robot=0):
    return rows[:, robot, COLUMNS.index(name)]


def drive(world, starts, plan=PLAN, time_scale=1.0, chunk=None, rounds=1):
    """Drive robots 50 m apart by rows of (seconds, v, omega); starts None: without conditions."""
    robots = 2 if starts is None else len(starts)
    fleet = Fleet(world, [RobotModel()] * robots)
    fleet.reset([[0.0, 50.0 * r, 0.0] for r in range(robots)])
    seconds = rounds * sum(row[0] for row in plan)
    condition = None if starts is None else FleetCondition(fleet, starts, 5, seconds, time_scale)
    for duration, v, omega in plan * rounds:
        fleet.command([[v, omega]] * robots)
        steps = round(duration * 240)
        for first in range(0, steps, chunk or steps):
            (fleet.step if condition is None else condition.advance)(min(chunk or steps, steps - first))
    return fleet, condition


def fault(kind, side="left", failure_h=0.0, severity=1.0, onset_h=None, robot=0):
    onset = failure_h if onset_h is None else onset_h
    return Fault(robot, kind, side, onset, failure_h, severity, 2.0)


def failed(*faults):
    return RobotStart(SOUND, 0.0, 0.8, faults)


def test_a_sound_fleet_drives_bit_for_bit_as_without_and_the_books_balance(world):
    bare, _ = drive(world, None)
    fleet, condition = drive(world, [failed(), failed()])
    again, other = drive(world, [failed(), failed()], chunk=7)
    for name in ("pose", "velocity", "odometry", "energy_wh"):
        assert np.array_equal(getattr(bare, name), getattr(fleet, name))
        assert np.array_equal(getattr(again, name), getattr(fleet, name))
    assert np.array_equal(condition.telemetry, other.telemetry, equal_nan=True)
    assert condition.telemetry.shape == (90, 2, len(COLUMNS))
    assert np.abs(condition.imbalance).max() < 1e-6
    # The estimate without a battery agrees with the motors' own books.
    assert condition.energy_wh == pytest.approx(fleet.energy_wh, rel=0.03)
    hotel = RobotModel().hotel_power * 9.0 / 3600.0
    assert condition.energy_wh - hotel == pytest.approx(fleet.energy_wh - hotel, rel=0.1)


def test_what_faults_do_to_the_drive(world):
    kinds = [fault("drive_unit"), fault("encoder", severity=0.1), fault("brake"), fault("motor"), fault("bearing")]
    fleet, condition = drive(world, [failed(), *(failed(item) for item in kinds)], plan=((6.0, 1.0, 0.0),))
    rows = condition.telemetry[20:]
    sound, dead, miscounting, braked, weak = fleet.pose[:5]
    assert sound[1] == pytest.approx(0.0, abs=1e-9)
    assert abs(dead[2]) > 0.3, "a dead left wheel lets the robot turn"
    assert miscounting[1] == pytest.approx(100.0, abs=1e-9)
    assert fleet.odometry[2, 2] > 0.3, "the odometry believes in a turn to the left"
    assert column(rows, "motor_current_left_a", 3).mean() > column(rows, "motor_current_left_a", 0).mean() + 1.0
    assert abs(braked[1] - 100.0 - 50.0) < 0.01, "a brake is overcome by the motor"
    assert abs(weak[2]) > 0.3, "a failed motor gives no torque"
    assert column(rows, "vibration_rms_mm_s", 5).mean() > 4.5 > 1.8 > column(rows, "vibration_rms_mm_s", 0).mean()


def test_a_weak_battery_sags_and_protects_itself(world):
    starts = [RobotStart(SOUND, 0.0, soc, faults) for soc, faults in ((0.5, ()), (0.5, (fault("battery", ""),)))]
    starts.append(RobotStart(SOUND, 0.0, 2e-5, ()))
    fleet, condition = drive(world, starts)
    voltage = condition.telemetry[:, :, COLUMNS.index("voltage_v")]
    assert voltage[3:10, 1].mean() < voltage[3:10, 0].mean() - 0.3
    assert fleet.pose[2, 0] < 0.7 * fleet.pose[0, 0], "the third ran out of charge"
    assert np.abs(condition.imbalance).max() < 1e-6
    condition.connect(2, True)
    condition.advance(480)
    assert condition.health[2, 0] > 1e-4


def test_worn_wheels_are_slow_and_count_too_much(world):
    worn = SOUND.model_copy(update={"wear": SOUND.wear.model_copy(update={"radius_loss": 1e-6})})
    starts = [failed(), RobotStart(worn, 1e6 / 1800.0, 0.8)]
    fleet, condition = drive(world, starts, plan=((6.0, 1.0, 0.0), (2.0, 0.0, 0.0)))
    share = condition.health[1, -1]
    assert share == pytest.approx(0.99, abs=1e-5)
    assert fleet.pose[1, 0] / fleet.pose[0, 0] == pytest.approx(share, rel=2e-3)
    assert fleet.odometry[1, 0] == pytest.approx(fleet.pose[1, 0] / share, rel=1e-3)


def test_labels_are_what_was_injected(world):
    kinds = [fault(kind, failure_h=1.005, onset_h=0.405, severity=0.7) for kind in FAULT_KINDS]
    starts = [failed(item) for item in kinds] + [failed()]
    _, condition = drive(world, starts, time_scale=600.0)
    rows = condition.telemetry
    hours = (np.arange(len(rows)) + 1) * 0.1 * 600.0 / 3600.0
    active = hours >= 1.005
    level = np.where(active, 0.7, 0.7 * np.clip((hours - 0.405) / 0.6, 0.0, 1.0) ** 2)
    for robot in range(len(kinds)):
        assert column(rows, "severity", robot) == pytest.approx(level, abs=1e-9)
        assert np.array_equal(column(rows, "fault_active", robot), active)
        assert np.array_equal(column(rows, "fault", robot), np.where(level > 0, robot + 1, 0))
        assert column(rows, "rul_h", robot) == pytest.approx(np.maximum(1.005 - hours, 0.0), abs=1e-9)
    assert not column(rows, "severity", -1).any()
    assert np.isnan(column(rows, "rul_h", -1)).all()
    changes = condition.changes()
    assert len(changes) == 2 * len(kinds)
    first = int(np.argmax(active))
    assert {change.time for change in changes if change.stage == "failure"} == {(first + 1) / 10}


def test_times_to_failure_are_weibull_and_belong_to_their_robot():
    models = (FaultModel(kind="bearing", shape=1.7, scale_h=400.0), FaultModel(kind="encoder"))
    for age in (0.0, 300.0):
        drawn = np.array([draw_faults(models, age, r, 3, 0)[0].failure_h for r in range(1500)])
        assert (drawn > age).all()
        law = stats.weibull_min(1.7, scale=400.0)
        survived = (law.cdf(drawn) - law.cdf(age)) / law.sf(age)
        assert stats.kstest(survived, "uniform").pvalue > 0.01
    assert draw_faults(models, 0.0, 7, 3, 0)[0] == draw_faults(models[:1], 0.0, 7, 3, 0)[0]
    assert FaultModel(kind="motor").mean_h == pytest.approx(500.0)
    planned = draw_faults((FaultModel(kind="brake", at_s=36.0, robot=1, side="right"),), 10.0, 1, 0, 0, 100.0)
    assert planned[0].failure_h == pytest.approx(11.0)
    assert planned[0].side == "right"
    assert not draw_faults((FaultModel(kind="brake", at_s=36.0, robot=1),), 10.0, 0, 0, 0)
    with pytest.raises(ValidationError, match="not drawn"):
        FaultModel(kind="brake", at_s=1.0, shape=2.0)


def test_measurement_errors_are_standard_normal():
    drawn = np.array(
        [measurement_error(np.uint64(9), r, k, c) for r in range(4) for k in range(1000) for c in range(9)]
    )
    assert stats.kstest(drawn, "norm").pvalue > 0.01
    assert len(np.unique(drawn)) == len(drawn)
