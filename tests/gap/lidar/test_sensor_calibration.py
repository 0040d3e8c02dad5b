"""A log without commands gives a twin of its sensors, fitted to one part and judged on the other."""

from dataclasses import replace

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.gap.holdout import hold_out
from floorcast.gap.lidar.noise import FIELDS
from floorcast.gap.sensor_calibration import calibrate_sensors, moves_untold
from floorcast.gap.sensors import lidar_section
from floorcast.gap.twins import Origin
from floorcast.robots.twin import Twin

from .hall import hall, rounds, run_of


def test_a_log_without_commands_is_divided_by_the_time_of_its_poses():
    log = run_of(hall(), rounds(1, step=0.8)).log
    assert moves_untold([log])
    split = hold_out([log])
    first, rest = split.trained[0].scans, split.judged[0].scans
    assert len(first) + len(rest) == len(log.scans)
    assert len(first) == pytest.approx(0.7 * len(log.scans), abs=1)
    assert first.t_ns[-1] < rest.t_ns[0]
    driven = replace(log, cmd_t_ns=log.pose_t_ns, cmd=np.zeros((len(log.pose), 2)))
    assert not moves_untold([driven])


def test_scans_that_cannot_be_used_are_said_and_give_no_section():
    log = run_of(hall(), rounds(1, step=0.8)).log
    empty = replace(log, scans=replace(log.scans, ranges=np.full_like(log.scans.ranges, np.nan)))
    one = replace(log, scans=log.scans.where(np.arange(len(log.scans)) == 0))
    still = replace(log, pose=np.repeat(log.pose[:1], len(log.pose), axis=0))
    for bad in (empty, still):
        section, notes = lidar_section([bad], 0)
        assert section == {}
        assert any(bad.name in note for note in notes)
    with pytest.raises(InputError, match="neither odometry nor lidar"):
        calibrate_sensors([one], train=0.5, origin=Origin())


@pytest.mark.slow
def test_sensors_are_calibrated_and_judged_on_another_building():
    logs = [
        replace(run_of(hall(seed=k), rounds(2, step=0.25), noise=0.05, beams=91, seed=k).log, robot=f"site{k}")
        for k in (1, 2)
    ]
    result = calibrate_sensors(logs, train=["site1"], test=["site2"], origin=Origin("lidars", seed=3))
    twin = result.twin
    assert set(twin.lidar) == set(FIELDS)
    assert twin.lidar["range_noise"].value == pytest.approx(0.05, rel=0.15)
    assert twin.parameters == {}
    assert twin.provenance.trained_on == ["site1"]
    assert {row.robot for row in twin.provenance.gap_after} == {"site2"}
    before, after = (
        next(row for row in rows if row.name == "lidar_w1_core").value
        for rows in (twin.provenance.gap_before, twin.provenance.gap_after)
    )
    assert after < 0.5 * before
    assert Twin.model_validate(twin.model_dump()) == twin
