"""What 'look into a log' says: rates, holes, leaps, clocks, and what can be measured."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from floorcast.commands.gap import gap_app
from floorcast.common.errors import InputError
from floorcast.gap.inspect import inspect, inspect_rows
from floorcast.gap.readers import ReadOptions, read_log
from floorcast.gap.readers.sanity import examine
from floorcast.gap.replay import make_windows

from .synthetic import make_log
from .test_odometry import make_run

ROOT = Path(os.environ.get("FLOORCAST_FIELDDATA", Path(__file__).resolve().parents[3] / "shared" / "fielddata"))
fielddata = [
    pytest.mark.slow,
    pytest.mark.fielddata,
    pytest.mark.skipif(not ROOT.is_dir(), reason=f"no field data at {ROOT} (set FLOORCAST_FIELDDATA)"),
]


def facts(log):
    (found,) = inspect([log]).logs
    return found


def test_tables_rates_and_holes():
    log = make_log(60.0, seed=2)
    lost = (log.pose_t_ns < log.pose_t_ns[2000]) | (log.pose_t_ns > log.pose_t_ns[2200])
    log = replace(log, pose_t_ns=log.pose_t_ns[lost], pose=log.pose[lost])
    pose, cmd = facts(log).tables
    assert (pose.table, cmd.table) == ("pose", "cmd")
    assert pose.rate_hz == pytest.approx(100.0)
    assert cmd.rate_hz == pytest.approx(20.0)
    assert pose.holes == 1
    assert pose.longest_hole_s == pytest.approx(2.02, abs=0.02)
    assert pose.hole_at_s == pytest.approx(log.pose_t_ns[0] / 1e9 + 19.99, abs=0.02)
    assert facts(log).travel_m == pytest.approx(np.hypot(*np.diff(log.pose[:, :2], axis=0).T).sum(), rel=0.02)


def test_a_clock_20_ms_off_is_measured_with_its_interval():
    log = make_log(60.0, seed=3)
    before = facts(log).clocks[0]
    late = facts(replace(log, cmd_t_ns=log.cmd_t_ns - 20_000_000)).clocks[0]
    assert abs(before.offset_s) < 0.01
    assert late.offset_s - before.offset_s == pytest.approx(0.02, abs=0.004)
    assert late.low_s <= late.offset_s <= late.high_s
    assert late.clear


def test_a_clock_an_hour_off_is_named_and_shifted():
    log = make_log(60.0, seed=4)
    wrong = examine(replace(log, cmd_t_ns=log.cmd_t_ns + 3600 * 10**9), ReadOptions())
    with pytest.raises(InputError, match="do not overlap in time") as caught:
        _ = wrong.duration
    assert "shift_s: {cmd: -3600.0}" in caught.value.mend
    told = facts(wrong)
    assert told.clocks[0].offset_s == pytest.approx(-3600.0, abs=0.11)
    assert not next(item for item in told.measurable if item.what == "motion replay").possible
    mended = examine(wrong, ReadOptions(shift_s={"cmd": -3600.0}))
    assert mended.duration == pytest.approx(log.duration)


def test_a_clock_off_by_more_than_the_fine_search_is_no_offset_at_its_end():
    # So slow that no wrong clock makes turns over a second differ by much.
    log = make_log(90.0, seed=6)
    log = replace(log, pose_t_ns=log.pose_t_ns[0] + 4 * (log.pose_t_ns - log.pose_t_ns[0]), cmd=0.25 * log.cmd)
    stamps = log.cmd_t_ns[0] + 4 * (log.cmd_t_ns - log.cmd_t_ns[0])
    for late in (1.5, 20.0):
        told = facts(replace(log, cmd_t_ns=stamps + round(late * 1e9)))
        assert told.clocks[0].offset_s == pytest.approx(-late, abs=0.2)
        assert not next(item for item in told.measurable if item.what == "motion replay").possible


def test_a_heading_jump_is_found_told_and_left_out_by_who_asks():
    log = make_run(1, count=3000)
    odom = log.odom.copy()
    odom[1500:, 2] = (odom[1500:, 2] + 1.4 + np.pi) % (2 * np.pi) - np.pi
    marked = examine(replace(log, odom=odom), ReadOptions())
    assert marked.breaks("odom").tolist() == [log.odom_t_ns[1499:1501].tolist()]
    assert len(marked.breaks("pose")) == 0
    assert "odom: heading by 8" in facts(marked).jumps[0]
    assert "leap in odom" in "\n".join(marked.report.lines())
    assert len(examine(log, ReadOptions()).breaks()) == 0


def test_a_leap_of_the_truth_does_not_make_the_clocks_look_apart():
    # Turns that repeat: with the leap in, another round seemed to fit better than the right one.
    t = np.arange(0.0, 120.0, 0.05)
    turning = 0.25 * np.sin(0.3 * t) + 0.1
    yaw = np.cumsum(turning) * 0.05
    x, y = np.cumsum(0.015 * np.cos(yaw)), np.cumsum(0.015 * np.sin(yaw))
    yaw[1200:] += np.radians(80.0)
    t_ns = np.round(t * 1e9).astype(np.int64)
    pose = np.column_stack([x, y, (yaw + np.pi) % (2 * np.pi) - np.pi])
    cmd = np.column_stack([np.full(len(t), 0.3), turning])
    log = replace(make_log(seconds=5.0), pose_t_ns=t_ns, pose=pose, cmd_t_ns=t_ns, cmd=cmd)
    leapt = facts(examine(log, ReadOptions()))
    assert len(leapt.jumps) == 1
    assert leapt.clocks[0].offset_s == pytest.approx(-0.05, abs=0.005)  # sums of turns end a step late
    assert any(item.what == "motion replay" and item.possible for item in leapt.measurable)


def test_windows_across_a_leap_of_the_truth_are_left_out_of_the_replay():
    log = make_log(60.0, seed=5)
    pose = log.pose.copy()
    pose[3000:, 2] = (pose[3000:, 2] + 1.4 + np.pi) % (2 * np.pi) - np.pi
    marked = examine(replace(log, pose=pose), ReadOptions())
    ((before, after),) = marked.breaks("pose")
    windows = make_windows(marked, (1.0, 5.0), every=1.0)
    crossing = (windows.start_ns[:, None] < after) & (windows.start_ns[:, None] + [10**9, 5 * 10**9] > before)
    assert crossing.any()
    assert not (crossing & windows.valid).any()
    assert make_windows(log, (1.0, 5.0), every=1.0).valid.sum() > windows.valid.sum()


def test_a_turn_during_a_hole_that_both_tables_show_is_no_leap():
    log = make_run(2, count=3000, noise=(0.001, 0.001))
    odom, pose = log.odom.copy(), log.pose.copy()
    for track, t_ns in ((odom, log.odom_t_ns), (pose, log.pose_t_ns)):
        after = t_ns >= log.odom_t_ns[1500]
        track[after, 2] = (track[after, 2] + 1.2 + np.pi) % (2 * np.pi) - np.pi
    assert len(examine(replace(log, odom=odom, pose=pose), ReadOptions()).breaks()) == 0


def test_a_simulated_run_measures_nothing_and_rows_are_plain():
    log = replace(make_log(30.0), simulated=True)
    rows = inspect_rows([log])
    assert {row["value"] for row in rows if row["section"] == "measurable"} == {False}
    assert all(isinstance(row["value"], str | float | int | bool | None) for row in rows)
    assert any("simulated" in line for line in inspect([log]).lines())


def test_the_command_line_tells_the_same(tmp_path):
    log = make_log(10.0)
    rows = np.column_stack([log.cmd_t_ns / 1e9, log.cmd])
    path = tmp_path / "told.csv"
    path.write_text("t,cmd_v,cmd_omega\n" + "".join(",".join(f"{v:.6f}" for v in row) + "\n" for row in rows))
    done = CliRunner().invoke(gap_app, ["inspect", str(path)])
    assert done.exit_code == 0, done.output
    assert "cmd: 200 records (20 Hz" in done.output
    assert "motion replay: no (no true poses)" in done.output
    done = CliRunner().invoke(gap_app, ["inspect", str(path), "--json"])
    assert json.loads(done.output)["facts"] == inspect_rows(read_log(path))


class TestField:
    pytestmark = fielddata

    def test_the_jump_of_seattle_and_the_hole_of_mrclam(self):
        (seattle,) = read_log(ROOT / "carmen" / "seattle-corrected.log.gz")
        assert "odom: heading by 83 degrees within 5.74 s at 1244.180 s" in facts(seattle).jumps
        (robot4,) = read_log(ROOT / "mrclam" / "MRCLAM_Dataset6", 4)
        pose = facts(robot4).tables[0]
        assert pose.longest_hole_s == pytest.approx(2.03, abs=0.01)
