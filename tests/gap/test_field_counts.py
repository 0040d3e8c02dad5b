"""Every log of the field data reads, and holds as many records as plain Python counts in the files."""

import gzip
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from floorcast.gap.readers import read_log

ROOT = Path(os.environ.get("FLOORCAST_FIELDDATA", Path(__file__).resolve().parents[3] / "shared" / "fielddata"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.fielddata,
    pytest.mark.skipif(not ROOT.is_dir(), reason=f"no field data at {ROOT} (set FLOORCAST_FIELDDATA)"),
]


def lines_of(path):
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def noted(log, words):
    return sum(item.count for file in log.report.files for item in file.notes if words in item.reason)


@pytest.mark.parametrize("name", ["intel", "freiburg-079", "edmonton", "fhw", "seattle"])
def test_corrected_carmen_logs(name):
    path = ROOT / "carmen" / f"{name}-corrected.log.gz"
    kinds = Counter(line.split()[0] for line in lines_of(path))
    (log,) = read_log(path)
    (report,) = log.report.files
    assert report.records == sum(kinds.values())
    assert not report.skipped
    assert len(log.scans) == len(log.pose) == kinds["FLASER"]
    shared, rebased = noted(log, "ODOM record that shares its stamp"), noted(log, "only moves the odometry")
    assert rebased == kinds["FLASER"]
    assert len(log.odom) + shared + rebased == kinds["ODOM"]
    assert noted(log, "NEFF") == kinds["NEFF"]
    beams = next(int(line.split()[1]) for line in lines_of(path) if line.startswith("FLASER"))
    assert log.scans.ranges.shape[1] == beams


@pytest.mark.parametrize("name", ["intel-lab", "fr079"])
def test_newer_carmen_logs(name):
    path = ROOT / "carmen" / f"{name}.log.gz"
    lines = lines_of(path)
    kinds = Counter(line.split()[0] for line in lines)
    (log,) = read_log(path)
    assert log.report.files[0].records == sum(kinds.values())
    assert len(log.scans) == len(log.pose) == kinds["ROBOTLASER1"]
    assert noted(log, "VERTEX2") == kinds["VERTEX2"]
    assert noted(log, "EDGE2") == kinds["EDGE2"]
    words = next(line for line in lines if line.startswith("ROBOTLASER1")).split()
    first = [float(word) for word in words[9 : 9 + int(words[8])]]
    far = np.isposinf(log.scans.ranges[0])
    np.testing.assert_allclose(log.scans.ranges[0][~far], [value for value in first if value < 81], atol=1e-5)


def test_mecanum_takes():
    logs = read_log(ROOT / "mecanum")
    assert [log.run for log in logs] == [f"{number:02d}" for number in range(1, 25)]
    for log in logs:
        commands = lines_of(ROOT / "mecanum" / "commands" / f"control_take{log.run}.csg")
        poses = lines_of(ROOT / "mecanum" / "poses" / f"take{log.run}.txt")
        assert len(log.wheel_cmd) == len(commands) + 2  # standing before and after
        assert len(log.pose) == len(poses)
        x, y = (float(word) for word in poses[-1].split()[1:3])
        np.testing.assert_allclose(log.pose[-1, :2], [y, -x])
        w1, w2, w3, w4 = (float(word) for word in commands[5].split()[1:])
        np.testing.assert_array_equal(log.wheel_cmd[6], [-w4, w3, -w2, w1])


def test_the_wheels_of_the_mecanum_base_are_those_of_its_motion():
    """The map from wheels to motion, by least squares over all takes, has the signs of a mecanum base."""
    wheels, twists = [], []
    for log in read_log(ROOT / "mecanum"):
        t = (log.pose_t_ns - log.wheel_cmd_t_ns[1]) / 1e9
        yaw = np.unwrap(log.pose[:, 2])
        a, b = np.searchsorted(t, [2.0, 5.0])
        middle = 0.5 * (yaw[a:b:15][1:] + yaw[a:b:15][:-1])
        move = np.diff(log.pose[a:b:15, 0] + 1j * log.pose[a:b:15, 1]) * np.exp(-1j * middle)
        wheels.append(log.wheel_cmd[10])
        twists.append([move.real.mean(), move.imag.mean(), np.diff(yaw[a:b:15]).mean()])
    gains = np.linalg.lstsq(np.array(wheels), np.array(twists), rcond=None)[0].T
    np.testing.assert_array_equal(np.sign(gains), [[1, 1, 1, 1], [-1, 1, 1, -1], [-1, 1, -1, 1]])


def test_tables_and_the_tricycle():
    folder = ROOT / "omron_ld250"
    (real,) = read_log(folder)
    assert len(real.pose) == len(lines_of(folder / "real_straight_5m.csv")) - 1
    assert not real.simulated
    runs = read_log(folder / "isaac_sim_runs")
    assert len(runs) == 7
    for log in runs:
        assert log.simulated
        assert len(log.pose) == len(lines_of(folder / "isaac_sim_runs" / f"nav2_run_{log.run}.csv")) - 1
    (tricycle,) = read_log(ROOT / "tricycle")
    stamps = [line.split()[1] for line in lines_of(ROOT / "tricycle" / "dataset.txt") if line.startswith("time:")]
    assert len(tricycle.ticks) == len(tricycle.pose) == len(set(stamps))


def test_mrclam_robots():
    folder = ROOT / "mrclam" / "MRCLAM_Dataset6"
    for number, log in enumerate(read_log(folder), start=1):
        for kind, table in (("Odometry", log.cmd), ("Groundtruth", log.pose)):
            lines = lines_of(folder / f"Robot{number}_{kind}.dat")
            assert len(table) == len({line.split()[0] for line in lines})


@pytest.mark.parametrize(
    ("name", "topics"),
    [
        ("bag1", {"/robot/pose": "pose", "/wheel_states": "ticks"}),
        ("bag3", {"/robot/pose": "pose", "/wheel_states": "ticks"}),
        ("turtlebot_scan_tf", {"/scan": "scans"}),
    ],
)
def test_bags_hold_as_many_messages_as_their_own_index_says(name, topics):
    """The index of a ROS 1 bag counts messages by connection; read here byte by byte."""
    path = ROOT / "rosbags" / f"{name}.bag"
    counts = index_counts(path.read_bytes())
    (log,) = read_log(path)
    for topic, table in topics.items():
        rows = len(log.scans) if table == "scans" else len(getattr(log, table))
        dropped = noted(log, "shares its stamp") + noted(log, "same stamp")
        assert rows <= counts[topic] <= rows + max(dropped, round(0.002 * rows))


def index_counts(data):
    """Messages by topic from the records of a bag: connections name topics, chunk infos count messages."""
    names, counts, place = {}, Counter(), data.index(b"\n") + 1
    while place < len(data):
        fields, body, place = record(data, place)
        if fields[b"op"] == b"\x07":
            names[fields[b"conn"]] = fields[b"topic"].decode()
        elif fields[b"op"] == b"\x06":
            for start in range(0, len(body), 8):
                counts[body[start : start + 4]] += int.from_bytes(body[start + 4 : start + 8], "little")
    total = Counter()
    for connection, topic in names.items():
        total[topic] += counts[connection]
    return total


def record(data, place):
    size = int.from_bytes(data[place : place + 4], "little")
    header, place = data[place + 4 : place + 4 + size], place + 4 + size
    fields, at = {}, 0
    while at < size:
        length = int.from_bytes(header[at : at + 4], "little")
        name, _, value = header[at + 4 : at + 4 + length].partition(b"=")
        fields[name] = value
        at += 4 + length
    size = int.from_bytes(data[place : place + 4], "little")
    return fields, data[place + 4 : place + 4 + size], place + 4 + size
