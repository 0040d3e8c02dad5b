"""CSV and Parquet tables of any dialect, and the units that contradict them."""

import functools
import gzip
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from floorcast.common.errors import InputError
from floorcast.gap.readers import ReadOptions, detect_format, read_log

from .synthetic import drive, wander


@functools.cache
def made(seconds, seed):
    times, commands = wander(seconds, seed)
    truth = drive(times, commands, step=0.01)
    count = min(len(truth), len(times) - 1)  # a pose every five steps: as often as commands
    return np.column_stack([times[:count], truth[:count, 1:], commands[:count]])


def run(seconds=30.0, seed=3):
    """Rows every 50 ms: time, true x, y, yaw (unwrapped), commanded v and omega."""
    return made(seconds, seed).copy()


def write(path, rows, header, form="{:.6f}", delimiter=",", end="\n", decimal="."):
    lines = [delimiter.join(header)] if header else []
    lines += [delimiter.join(form.format(value).replace(".", decimal) for value in row) for row in rows]
    path.write_bytes((end.join(lines) + end).encode())
    return path


NAMES = ("t", "x", "y", "yaw", "cmd_v", "cmd_omega")


def check(log, rows):
    np.testing.assert_allclose(log.pose_t_ns / 1e9, rows[:, 0], atol=2e-6)
    np.testing.assert_allclose(log.pose[:, :2], rows[:, 1:3], atol=2e-6)
    np.testing.assert_allclose(np.exp(1j * log.pose[:, 2]), np.exp(1j * rows[:, 3]), atol=2e-6)
    np.testing.assert_allclose(log.cmd, rows[:, 4:6], atol=2e-6)


def test_usual_dialects_give_the_same_log(tmp_path):
    rows = run()
    plain = write(tmp_path / "a.csv", rows, NAMES)
    german = write(
        tmp_path / "b.csv", rows, ("Zeit", "Pos X", "Pos Y", "Heading", "v_cmd", "w_cmd"), "{:.6f}", ";", "\r\n", ","
    )
    german.write_bytes(b"\xef\xbb\xbf" + german.read_bytes())
    quoted = write(tmp_path / "c.csv", rows, [f'"{name}"' for name in NAMES], '"{:.6f}"')
    tabs = write(tmp_path / "d.tsv", rows, ("# time", "x", "y", "theta", "cmd_vx", "cmd_w"), delimiter="\t")
    packed = tmp_path / "e.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    for path in (plain, german, quoted, tabs, packed):
        assert detect_format(path) == "csv"
        (log,) = read_log(path)
        check(log, rows)
        assert log.drive == "differential"


def test_units_of_the_header_of_the_options_and_of_dates(tmp_path):
    rows = run()
    scaled = rows * [1e3, 1e3, 1e3, 180 / math.pi, 1.0, 1.0]
    header = ("time [ms]", "x (mm)", "y_mm", "yaw_deg", "cmd_v", "cmd_omega")
    check(read_log(write(tmp_path / "header.csv", scaled, header))[0], rows)
    options = ReadOptions(
        columns={"t": "1", "x": "2", "y": "3", "yaw": "4", "cmd_v": "5", "cmd_omega": "6"},
        units={"t": "ms", "x": "mm", "y": "mm", "yaw": "deg"},
    )
    check(read_log(write(tmp_path / "bare.csv", scaled, None), options=options)[0], rows)
    lines = ["stamp,x,y,yaw,cmd_v,cmd_omega"]
    for row in rows:
        whole = np.datetime64("2024-02-29T23:59:50") + np.timedelta64(round(row[0] * 1e6), "us")
        lines.append(f"{whole}+01:00," + ",".join(f"{v:.6f}" for v in row[1:]))
    path = tmp_path / "dates.csv"
    path.write_text("\n".join(lines) + "\n")
    (log,) = read_log(path)
    assert log.pose_t_ns[0] // 10**9 == 1709247590  # 22:59:50 UTC, from a calendar
    np.testing.assert_allclose((log.pose_t_ns - log.pose_t_ns[0]) / 1e9, rows[:, 0], atol=2e-6)
    nano = rows.copy()
    nano[:, 0] = 1.7e18 + rows[:, 0] * 1e9
    (log,) = read_log(write(tmp_path / "nano.csv", nano, NAMES, "{:.6f}"))
    np.testing.assert_allclose(log.pose_t_ns / 1e9, 1.7e9 + rows[:, 0], atol=2e-6)
    assert any("taken for ns since 1970" in line for line in log.report.lines())


@pytest.mark.parametrize(
    ("scale", "field", "unit"),
    [
        ((1, 1, 1, 180 / math.pi, 1, 1), "yaw", "deg"),
        ((1, 1, 1, 1, 1, 180 / math.pi), "cmd_omega", "deg/s"),
        ((1, 1000, 1000, 1, 1, 1), "x", "mm"),
        ((1000, 1, 1, 1, 1, 1), "t", "ms"),
        ((1, 1, 1, 1, 1000, 1), "cmd_v", "mm/s"),
    ],
)
def test_a_unit_that_contradicts_the_motion_is_refused_with_the_evidence(tmp_path, scale, field, unit):
    rows = run(60.0)
    path = write(tmp_path / "units.csv", rows * scale, NAMES)
    with pytest.raises(InputError) as caught:
        read_log(path)
    assert f"'{field}' is not said" in caught.value.what
    assert f"looks like {unit}" in caught.value.what
    said = {"x": {"x": unit, "y": unit}}.get(field, {field: unit})
    check(read_log(path, options=ReadOptions(units=said))[0], rows)
    # Who insists on SI is obeyed.
    assert read_log(path, options=ReadOptions(units={"t": "s", "x": "m", "y": "m", "yaw": "rad", "cmd_v": "m/s",
                                                     "cmd_omega": "rad/s"}))  # fmt: skip


def test_sound_logs_raise_no_suspicion(tmp_path):
    for seed in range(3):
        (log,) = read_log(write(tmp_path / "fine.csv", run(30.0, seed), NAMES))
        assert not any("looks like" in line for line in log.report.lines())


def test_bad_cells_cost_their_rows_and_empty_ones_only_their_table(tmp_path):
    rows = run()
    lines = write(tmp_path / "x.csv", rows, NAMES).read_text().splitlines(keepends=True)
    lines[5] = lines[5].replace(lines[5].split(",")[1], "nan", 1)
    lines[9] = "garbage\n"
    lines[12] = lines[11]  # the same stamp twice
    cells = lines[20].rstrip().split(",")
    lines[20] = ",".join([cells[0], "", "", "", *cells[4:]]) + "\n"
    path = tmp_path / "bad.csv"
    path.write_text("".join(lines)[:-3])  # and the last line is cut
    (log,) = read_log(path)
    assert (len(log.pose), len(log.cmd)) == (len(rows) - 4, len(rows) - 4)
    said = "\n".join(log.report.lines())
    for words in (
        "1 x row with NaN",
        "1 x row without 6 columns (first at line 10)",
        "shares its stamp",
        "last cell cut",
    ):
        assert words in said


def test_time_backwards_is_left_out_and_too_much_damage_refused(tmp_path):
    rows = run()
    rows[100, 0] = rows[40, 0]
    path = write(tmp_path / "back.csv", rows, NAMES)
    (log,) = read_log(path)
    assert len(log.pose) == len(rows) - 1
    assert any("time goes backwards" in line for line in log.report.lines())
    lines = path.read_text().splitlines(keepends=True)
    lines[1::10] = ["x,y\n"] * len(lines[1::10])
    path.write_text("".join(lines))
    with pytest.raises(InputError, match="over the limit of 5%"):
        read_log(path)


def test_what_is_no_table_is_said(tmp_path):
    path = tmp_path / "noise.csv"
    path.write_bytes(np.random.default_rng(0).bytes(5000))
    with pytest.raises(InputError, match="not a field log"):
        read_log(path)
    path.write_text("a,b,c\n1,2,3\n2,3,4\n")
    with pytest.raises(InputError, match="not a field log"):
        read_log(path)
    with pytest.raises(InputError, match="no pose, odometry, commands or ticks") as caught:
        read_log(path, options=ReadOptions(columns={"t": "a"}))
    assert "b, c" in caught.value.what
    with pytest.raises(InputError, match="no column 'zeit'"):
        read_log(path, options=ReadOptions(columns={"t": "zeit"}))
    path.write_text("t,x,y,yaw\n")
    with pytest.raises(InputError, match="no records"):
        read_log(path)


def test_several_robots_and_measured_speeds_in_one_table(tmp_path):
    rows = run()
    path = tmp_path / "fleet.csv"
    header = "robot_id,timestamp,odom_v,odom_omega,x,y,theta\n"
    body = [
        f"{name},{r[0]:.6f},{r[4]:.6f},{r[5]:.6f},{r[1]:.6f},{r[2]:.6f},{r[3]:.6f}\n" for r in rows for name in "ab"
    ]
    path.write_text(header + "".join(body))
    logs = read_log(path)
    assert [log.robot for log in logs] == ["a", "b"]
    for log in logs:
        assert len(log.pose) == len(rows)
        # The odometry is the integral of the speeds: it follows the truth, which obeys them at once.
        assert np.abs(log.odom[:, :2] - log.pose[:, :2]).max() < 0.1
    assert len(read_log(path, "b")) == 1
    with pytest.raises(InputError, match="no robot 'c'"):
        read_log(path, "c")


def test_parquet_with_dates(tmp_path):
    rows = run()
    stamps = pa.array(np.round(rows[:, 0] * 1e6).astype(np.int64) + 1_700_000_000_000_000, pa.timestamp("us", tz="UTC"))
    table = pa.table({"time": stamps, **{name: rows[:, i] for i, name in enumerate(NAMES) if i}})
    path = tmp_path / "log.parquet"
    pq.write_table(table, path)
    assert detect_format(path) == "parquet"
    (log,) = read_log(path)
    np.testing.assert_allclose(log.pose_t_ns / 1e9 - 1.7e9, rows[:, 0], atol=2e-6)
    np.testing.assert_allclose(log.cmd, rows[:, 4:6])
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match="not a whole Parquet file"):
        read_log(path)


def test_a_simulated_run_is_never_taken_for_a_real_one(tmp_path):
    folder = tmp_path / "isaac_sim_runs"
    folder.mkdir()
    path = write(folder / "nav2_run_4.csv", run()[:, :4], ("t", "x", "y", "yaw"))
    (log,) = read_log(path)
    assert log.simulated
    assert log.run == "4"
    assert any("from a simulator" in line for line in log.report.lines())
    assert read_log(write(tmp_path / "gazebo_7.csv", run(), NAMES))[0].simulated
    assert not read_log(write(tmp_path / "simple.csv", run(), NAMES))[0].simulated


def test_a_table_in_a_western_code_page_reads_as_in_utf8(tmp_path):
    text = "Zeit [s];x [mm];y [mm];Richtung [\u00b0];Gerät\n"
    text += "".join(f"{0.1 * k:.1f};{30 * k};0;90,5;Mühle\n".replace(".", ",") for k in range(60))
    options = ReadOptions(columns={"yaw": "Richtung [\u00b0]"})
    logs = []
    for name, encoding in (("new.csv", "utf-8"), ("old.csv", "cp1252")):
        (tmp_path / name).write_text(text, encoding=encoding)
        (log,) = read_log(tmp_path / name, options=options)
        logs.append(log)
    np.testing.assert_array_equal(logs[0].pose, logs[1].pose)
    np.testing.assert_allclose(logs[1].pose[-1], [1.77, 0.0, np.radians(90.5)])
    damaged = bytearray((tmp_path / "old.csv").read_bytes())
    damaged[500:506] = b"\xff\x81;\xfe\xff;"  # bytes that are letters nowhere, in a row of another width
    (tmp_path / "old.csv").write_bytes(bytes(damaged))
    (log,) = read_log(tmp_path / "old.csv", options=options)
    assert len(log.pose) == 59
