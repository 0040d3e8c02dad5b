import os

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.gap.readers import bundled_log, detect_format, read_log
from floorcast.gap.readers.tricycle import mend_counter
from floorcast.gap.store import import_log

from .synthetic import START, write_mrclam


def edit(path, change):
    lines = path.read_text().splitlines(keepends=True)
    change(lines)
    path.write_text("".join(lines))


def test_a_sound_set_is_read_whole(tmp_path):
    for number in (2, 1):
        write_mrclam(tmp_path, number)
    assert detect_format(tmp_path) == "mrclam"
    logs = read_log(tmp_path)
    assert [log.robot for log in logs] == ["robot1", "robot2"]
    expected = np.loadtxt(tmp_path / "Robot1_Odometry.dat")
    np.testing.assert_allclose(logs[0].cmd, expected[:, 1:])
    np.testing.assert_allclose(logs[0].cmd_t_ns / 1e9, expected[:, 0])
    assert logs[0].cmd_t_ns[1] - logs[0].cmd_t_ns[0] == 50_000_000
    assert logs[0].report.skipped == 0
    assert logs[0].report.lines() == []
    assert np.abs(logs[0].pose[:, 2]).max() <= np.pi
    assert [log.robot for log in read_log(tmp_path, robot=2)] == ["robot2"]
    assert [log.robot for log in read_log(tmp_path, robot="robot2")] == ["robot2"]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{t} nan 0.1\n", "NaN"),
        ("{t} 0.1 inf\n", "NaN, infinity"),
        ("{t} 0.1\n", "without 3 columns"),
        ("{t} 0.1 0.2 0.3\n", "without 3 columns"),
        ("{t} fast 0.2\n", "text in place of a number"),
        ("{t} 1.2.3 0.2\n", "text in place of a number"),
        ("{t} 1e300 0.2\n", "impossible value"),
        ("{t} 99 0.2\n", "impossible value"),
        ("-5 0.1 0.2\n", "impossible time"),
    ],
)
def test_one_bad_record_is_skipped_and_reported_with_its_line(tmp_path, row, reason):
    odometry, _ = write_mrclam(tmp_path)
    clean = read_log(tmp_path)[0]

    def damage(lines):
        lines[40] = row.format(t=START + 1.8)

    edit(odometry, damage)
    log = read_log(tmp_path)[0]
    assert len(log.cmd) == len(clean.cmd) - 1
    (finding,) = log.report.files[0].skipped
    assert (finding.count, finding.first_line) == (1, 41)
    assert reason in finding.reason
    assert "line 41" in log.report.lines()[0]
    np.testing.assert_array_equal(log.cmd, np.delete(clean.cmd, 36, axis=0))


def test_time_that_goes_backwards_costs_only_the_wrong_records(tmp_path):
    odometry, _ = write_mrclam(tmp_path)
    clean = read_log(tmp_path)[0]

    def damage(lines):
        lines[50] = f"{START + 1.0:.3f} 0.1 0.2\n"  # an old record again
        lines[90] = f"{START + 9e5:.3f} 0.1 0.2\n"  # one stamp leaps ahead: the rest must survive it

    edit(odometry, damage)
    log = read_log(tmp_path)[0]
    assert len(log.cmd) == len(clean.cmd) - 2
    assert (np.diff(log.cmd_t_ns) > 0).all()
    (finding,) = log.report.files[0].skipped
    assert (finding.count, finding.first_line) == (2, 51)


def test_of_records_that_share_a_stamp_the_last_is_used(tmp_path):
    odometry, _ = write_mrclam(tmp_path)

    def damage(lines):
        stamp = lines[30].split()[0]
        lines.insert(31, f"{stamp} 0.123 0.456\n")

    edit(odometry, damage)
    log = read_log(tmp_path)[0]
    np.testing.assert_array_equal(log.cmd[26], [0.123, 0.456])
    assert log.report.skipped == 0
    assert log.report.files[0].notes[0].count == 1


def test_a_line_cut_off_at_the_end_is_never_used(tmp_path):
    odometry, _ = write_mrclam(tmp_path)
    clean = read_log(tmp_path)[0]
    # The cut leaves three columns, but the last number is no longer the one that was logged.
    text = odometry.read_text()
    odometry.write_text(text.rstrip()[:-1])
    log = read_log(tmp_path)[0]
    np.testing.assert_array_equal(log.cmd, clean.cmd[:-1])
    assert "cut off" in log.report.files[0].skipped[0].reason


def test_line_ends_and_a_byte_order_mark_of_another_system_do_no_harm(tmp_path):
    odometry, _ = write_mrclam(tmp_path)
    clean = read_log(tmp_path)[0]
    odometry.write_bytes(b"\xef\xbb\xbf" + odometry.read_bytes().replace(b"\n", b"\r\n"))
    np.testing.assert_array_equal(read_log(tmp_path)[0].cmd, clean.cmd)


def test_too_many_bad_records_refuse_the_file_with_counts_and_line(tmp_path):
    odometry, _ = write_mrclam(tmp_path)

    def damage(lines):
        for index in range(60, 60 + 30):
            lines[index] = "nan nan nan\n"

    edit(odometry, damage)
    with pytest.raises(InputError, match="30 of 400 records are bad, over the limit of 5%") as caught:
        read_log(tmp_path)
    assert caught.value.where == f"{odometry}, line 61"


@pytest.mark.parametrize("content", [b"", b"\n \n", b"# only\n# comments\n", b"\x00\x01\x02" * 300])
def test_files_without_records_are_refused_by_name(tmp_path, content):
    _, ground = write_mrclam(tmp_path)
    ground.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_log(tmp_path)
    assert str(ground) in str(caught.value.where)


def test_a_missing_partner_file_is_named(tmp_path):
    _, ground = write_mrclam(tmp_path)
    ground.unlink()
    with pytest.raises(InputError, match="robot 1 has no Groundtruth file"):
        read_log(tmp_path)


def test_folders_and_files_that_are_no_logs(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        read_log(tmp_path / "nowhere")
    with pytest.raises(InputError, match="the folder is empty"):
        read_log(tmp_path)
    (tmp_path / "notes.txt").write_text("nothing of use\n")
    with pytest.raises(InputError, match="this folder is no field log"):
        read_log(tmp_path)
    with pytest.raises(InputError, match="not a field log of a known format"):
        read_log(tmp_path / "notes.txt")
    (tmp_path / "empty.txt").write_text("")
    with pytest.raises(InputError, match="the file is empty"):
        read_log(tmp_path / "empty.txt")


def test_a_folder_of_logs_is_read_log_by_log_and_a_bad_one_does_not_end_it(tmp_path):
    table = "t,x,y,yaw,robot\n" + "".join(f"{0.1 * k:.1f},{0.05 * k:.2f},0,0,amr\n" for k in range(30))
    folder = tmp_path / "site"
    (folder / "set").mkdir(parents=True)
    write_mrclam(folder / "set")
    for name in ("a b.csv", "c.csv"):
        (folder / name).write_text(table)
    (folder / "bad.csv").write_text(table + "1,2,oops,0,amr\n" * 30)
    (folder / "notes.txt").write_text("nothing of use")
    (folder / ".hidden").write_text(table)
    logs = read_log(folder)
    assert [log.name for log in logs] == ["amr/a b", "amr/c", "robot1/set"]
    bad, notes = [line for line in logs[0].report.lines() if "left out" in line]
    assert "bad.csv left out, as it cannot be read: " in bad
    assert "notes.txt left out, as it cannot be read: not a field log of a known format" in notes
    unread: list[str] = []
    folders = import_log(folder, tmp_path / "out", unread=unread)
    assert [item.name for item in folders] == ["amr_a_b", "amr_c", "robot1_set"]
    assert len(unread) == 2
    assert [log.name for log in read_log(tmp_path / "out")] == [log.name for log in logs]
    for name in ("a b.csv", "c.csv"):
        (folder / name).unlink()
    (folder / "set" / "Robot1_Odometry.dat").write_text("rubbish\n")
    with pytest.raises(InputError, match=r"none of the 3 recordings can be read: bad\.csv left out"):
        read_log(folder)


def test_logs_of_another_format_beside_a_set_are_told(tmp_path):
    write_mrclam(tmp_path)
    (tmp_path / "c.csv").write_text("t,x,y,yaw\n" + "".join(f"{k},0,0,0\n" for k in range(30)))
    (log,) = read_log(tmp_path)
    assert "c.csv (csv) beside it not read" in "\n".join(log.report.lines())


def test_a_pipe_is_refused_for_it_cannot_be_read_twice(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="a pipe or a device"):
        read_log(tmp_path / "pipe")


def test_unknown_robots_are_refused_with_those_there_are(tmp_path):
    write_mrclam(tmp_path)
    with pytest.raises(InputError, match="no robot 7") as caught:
        read_log(tmp_path, robot=7)
    assert "1" in str(caught.value.mend)
    with pytest.raises(InputError, match="names no robot"):
        read_log(tmp_path, robot="fred")
    with pytest.raises(InputError, match="no robot 'robot1'"):
        read_log("tricycle", robot="robot1")


def test_the_bundled_tricycle_log():
    (log,) = read_log("tricycle")
    assert len(log.ticks) == 2434
    assert log.pose_frame == "laser"
    assert log.tricycle.k_steer == 0.1
    assert log.tricycle.sensor_x == 1.5
    assert -4096 <= log.ticks[:, 0].min() < 0 < log.ticks[:, 0].max() < 4096
    # Backwards by 65,536 three times: no real step of this log is so long.
    (note,) = log.report.files[0].notes
    assert (note.count, note.first_line) == (3, 571)
    assert np.abs(np.diff(log.ticks[:, 1])).max() < 45_000
    with pytest.raises(InputError, match="no bundled log"):
        bundled_log("forklift")


def test_a_damaged_tricycle_record_is_skipped(tmp_path):
    lines = bundled_log("tricycle").read_text().splitlines(keepends=True)
    lines[100] = lines[100].replace("tracker_pose", "tracker")
    lines[200] = lines[200].replace("ticks: ", "ticks: x")
    lines[300] = lines[300][:40] + "\n"
    (tmp_path / "log.txt").write_text("".join(lines))
    (log,) = read_log(tmp_path)
    assert len(log.ticks) == 2434 - 3
    assert log.report.skipped == 3
    assert {item.first_line for item in log.report.files[0].skipped} == {101, 201}


def test_a_counter_is_mended_only_where_it_contradicts_the_motion():
    t_ns = np.arange(0, 200, dtype=np.int64) * 40_000_000
    steps = np.full(199, 7000, dtype=np.int64)
    steps[100:104] = 0
    steps[104] = 5 * 7000  # all five at once after a stall
    honest = np.concatenate([[0], np.cumsum(steps)])
    kept, changed = mend_counter(t_ns, honest)
    assert not changed.any()
    np.testing.assert_array_equal(kept, honest)
    steps[104] -= 65536
    broken = np.concatenate([[0], np.cumsum(steps)])
    for sign in (1, -1):  # forwards and backwards alike
        mended, changed = mend_counter(t_ns, sign * broken)
        assert np.flatnonzero(changed).tolist() == [104]
        np.testing.assert_array_equal(mended, sign * honest)
    # A real reversal is no roll-over.
    reversing = np.concatenate([np.full(100, 9000), np.full(99, -9000)]).astype(np.int64)
    _, changed = mend_counter(t_ns, np.concatenate([[0], np.cumsum(reversing)]))
    assert not changed.any()
