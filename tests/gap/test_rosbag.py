import os
import re
import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag1 import Reader as Reader1
from rosbags.rosbag1 import Writer as Writer1
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from floorcast.common.errors import InputError
from floorcast.gap.readers import ReadOptions, read_log
from floorcast.gap.readers.rosbag import read_rosbag
from floorcast.gap.readers.rosrobot import unwrap_counts
from floorcast.gap.readers.rostf import yaw_of

from .bags import BEAMS, LASER, LATENCY, MS, START, STORE1, Written, drive, write_bag1, write_bag2, write_mcap

FIELD = Path(os.environ.get("FLOORCAST_FIELDDATA", "../shared/fielddata")) / "rosbags"
fielddata = pytest.mark.fielddata
PLAIN = ReadOptions()


@pytest.fixture(scope="module")
def circle1():
    return drive(ros=1)


@pytest.fixture(scope="module")
def circle2():
    return drive(ros=2)


def said(log):
    return "\n".join(log.report.lines())


def same(log, written):
    """What came back is what was written, value by value."""
    cmd, odom, pose = (np.array(rows) for rows in (written.cmd, written.odom, written.pose))
    np.testing.assert_array_equal(log.cmd, cmd[:, 1:])
    # A Twist has no header: its receive stamp is its stamp.
    np.testing.assert_array_equal(log.cmd_t_ns, [row[0] for row in written.cmd])
    np.testing.assert_array_equal(log.odom_t_ns, [row[0] for row in written.odom])
    np.testing.assert_allclose(log.odom, odom[:, 1:], atol=1e-12)
    np.testing.assert_array_equal(log.pose_t_ns, [row[0] for row in written.pose])
    np.testing.assert_allclose(log.pose, pose[:, 1:], atol=1e-12)
    assert log.pose_source == "tracker"
    scans = log.scans
    np.testing.assert_array_equal(scans.t_ns, [row[0] for row in written.scan])
    expected = np.array([row[1] for row in written.scan])
    expected[:, 2], expected[:, 3] = -np.inf, np.inf  # REP-117: 0.05 m is too near, 25 m beyond reach
    np.testing.assert_array_equal(scans.ranges, expected)
    assert scans.ranges.dtype == np.float32
    assert (scans.angle_min, scans.range_max) == (-1.0, 20.0)
    assert scans.angle_increment == pytest.approx(0.02)
    np.testing.assert_allclose(scans.mount, LASER, atol=1e-12)
    assert log.drive == "differential"
    assert log.report.skipped == 0


@pytest.mark.parametrize("compression", ["none", "bz2", "lz4"])
def test_rosbag1_comes_back_as_written(tmp_path, circle1, compression):
    path = write_bag1(tmp_path / "a.bag", circle1, compression, chunk=30_000)
    (log,) = read_log(path)
    same(log, circle1)
    assert log.robot == "a"
    assert "/camera/image_raw (sensor_msgs/msg/Image, 40 messages)" in said(log)
    assert "/odom 0.0070 s" in said(log)


@pytest.mark.parametrize(
    ("storage", "compression"),
    [
        ("sqlite3", None),
        ("mcap", None),
        pytest.param("sqlite3", "MESSAGE", marks=pytest.mark.slow),
        pytest.param("sqlite3", "FILE", marks=pytest.mark.slow),
    ],
)
def test_rosbag2_comes_back_as_written(tmp_path, circle2, storage, compression):
    folder = write_bag2(tmp_path / "run", circle2, storage, compression)
    (log,) = read_log(folder)
    same(log, circle2)
    assert log.robot == "run"
    # Without its metadata, and its storage alone, it reads the same.
    if compression is None:
        (folder / "metadata.yaml").unlink()
        same(read_log(folder)[0], circle2)
        (file,) = folder.iterdir()
        same(read_log(file)[0], circle2)


def test_split_bags_are_one_recording_and_others_are_runs(tmp_path, circle1, circle2):
    early, late = (Written(1, messages=part) for part in (circle1.messages[:700], circle1.messages[700:]))
    for number, part in enumerate((early, late)):
        write_bag1(tmp_path / f"shift_{number}.bag", part)
    (log,) = read_log(tmp_path)
    same(log, circle1)
    assert len(log.report.files) == 2
    (tmp_path / "shift_1.bag").rename(tmp_path / "other.bag")
    write_bag1(tmp_path / "shift_0.bag", circle1)
    write_bag1(tmp_path / "other.bag", circle1)
    logs = read_log(tmp_path)
    assert [log.run for log in logs] == ["other", "shift_0"]
    assert {log.robot for log in logs} == {tmp_path.name}
    # A split ROS 2 folder is read in the order of its numbers, not of its names.
    folder = tmp_path / "split"
    folder.mkdir()
    parts = np.array_split(np.arange(len(circle2.messages)), 11)
    for number, part in enumerate(parts):
        write_mcap(folder / f"run_{number}.mcap", Written(2, messages=[circle2.messages[k] for k in part]))
    same(read_log(folder)[0], circle2)


@pytest.mark.parametrize("ros", [1, 2])
@pytest.mark.parametrize("joints", [0, 6])
def test_odometry_and_pose_from_tf(tmp_path, ros, joints):
    """odom -> base_footprint -> base_link moves, map -> odom corrects: composed against hand-made matrices."""
    out = Written(ros)

    def matrix(x, y, yaw):
        return np.array([[np.cos(yaw), -np.sin(yaw), x], [np.sin(yaw), np.cos(yaw), y], [0, 0, 1]])

    expected_odom, expected_pose = [], []
    for k in range(50):
        t = START + k * 20 * MS
        moved = (0.1 * k, 0.01 * k, 0.05 * k)
        fixed = (5.0 + 0.002 * k, -1.0, 0.3)  # localisation drifts on as fast as the odometry
        # Among many joints, messages of the same frames are read another way; every tenth names others.
        arm = [(t, "base_link", f"joint_{j + (k % 10 == 0)}", 0.1, 0.2, 0.01 * k) for j in range(joints)]
        out.transforms("/tf", t, (t, "map", "odom", *fixed), *arm, (t, "odom", "base_footprint", *moved))
        chain = matrix(*moved) @ matrix(0.2, 0.0, 0.1)
        for rows, place in ((expected_odom, chain), (expected_pose, matrix(*fixed) @ chain)):
            rows.append((place[0, 2], place[1, 2], np.arctan2(place[1, 0], place[0, 0])))
    out.transforms("/tf_static", START, (START, "base_footprint", "base_link", 0.2, 0.0, 0.1))
    (log,) = read_log(write_mcap(tmp_path / "tf.mcap", out) if ros == 2 else write_bag1(tmp_path / "tf.bag", out))
    np.testing.assert_array_equal(log.odom_t_ns, START + 20 * MS * np.arange(50))
    np.testing.assert_allclose(log.odom, expected_odom, atol=1e-9)
    np.testing.assert_allclose(log.pose, expected_pose, atol=1e-9)
    assert log.pose_source == "localisation"
    assert "no independent truth" in said(log)


def test_a_laser_upside_down_reads_from_above(tmp_path):
    """Rolled by 180 degrees, a beam to the laser's left goes to the robot's right."""
    out = Written(2)
    item = out.make(
        "geometry_msgs/msg/TransformStamped",
        out.header(START, "base_link"),
        "laser",
        out.make(
            "geometry_msgs/msg/Transform", out.vector(0.4, 0, 0), out.make("geometry_msgs/msg/Quaternion", 1.0, 0, 0, 0)
        ),
    )
    out.add("/tf_static", "tf2_msgs/msg/TFMessage", START, out.make("tf2_msgs/msg/TFMessage", [item]))
    ranges = np.linspace(1, 9, 101, dtype=np.float32)
    for k in range(5):
        out.laser("/scan", START + k * MS, ranges, angle_min=-0.5)
    (log,) = read_log(write_bag2(tmp_path / "up", out))
    np.testing.assert_array_equal(log.scans.ranges[0], ranges[::-1])
    assert log.scans.angle_min == pytest.approx(-1.5, abs=1e-6)
    np.testing.assert_allclose(log.scans.mount, (0.4, 0.0, 0.0), atol=1e-12)


def test_several_robots_by_namespace(tmp_path):
    out = Written(2)
    for space, speed in (("robot1", 0.3), ("robot2", 0.6), ("robot10", 0.9)):
        for k in range(20):
            t = START + k * 50 * MS
            out.twist(f"/{space}/cmd_vel", t, speed, 0.0)
            out.odometry(f"/{space}/odom", t, speed * k, 0.0, 0.0)
    logs = read_log(write_bag2(tmp_path / "fleet", out))
    assert [(log.robot, log.cmd[0, 0]) for log in logs] == [("robot1", 0.3), ("robot2", 0.6), ("robot10", 0.9)]
    assert [log.odom[-1, 0] for log in logs] == [19 * 0.3, 19 * 0.6, 19 * 0.9]
    assert [log.robot for log in read_log(tmp_path / "fleet", robot="robot2")] == ["robot2"]


def test_what_is_no_robot_makes_none(tmp_path):
    """Two lidars are one robot; a tracker's topics belong to the robot they name."""
    out = Written(2)
    for k in range(20):
        t = START + k * 50 * MS
        out.twist("/cmd_vel", t, 0.3, 0.0)
        for number in (1, 2):
            out.laser(f"/lidar{number}/scan", t, np.ones(9 + number))
    (log,) = read_log(write_bag2(tmp_path / "one", out))
    assert len(log.scans) == len(log.cmd) == 20
    for k in range(20):
        for number in (1, 2):
            out.odometry(f"/amr{number}/odom", START + k * 50 * MS, k, 0, 0)
            out.posed(f"/vrpn_client_node/amr{number}/pose", START + k * 50 * MS, 10.0 * number, 0, 0)
    logs = read_log(write_bag2(tmp_path / "two", out))
    assert [(log.robot, log.pose[0, 0]) for log in logs] == [("amr1", 10.0), ("amr2", 20.0)]


def test_a_robot_that_stands_has_odometry_all_the_same(tmp_path):
    out = Written(2)
    for k in range(20):
        t = START + k * 50 * MS
        out.transforms("/tf", t, (t, "odom", "base_link", 1.0, 2.0, 0.5))
        out.laser("/scan", t, np.ones(9), frame="base_link")
    (log,) = read_log(write_bag2(tmp_path / "still", out))
    np.testing.assert_allclose(log.odom, np.tile([1.0, 2.0, 0.5], (20, 1)))
    assert log.scans.mount == (0.0, 0.0, 0.0)
    assert "no transform" not in said(log)


def test_wheels_among_other_joints(tmp_path):
    names = ("left_shoulder", "right_shoulder", "wheel_left_joint", "wheel_right_joint", "caster_wheel")
    out = Written(1)
    for k in range(20):
        out.joints("/joint_states", START + k * 20 * MS, names, [0.1, 0.2, 3.25 * k, 2.25 * k, 9.0])
    (log,) = read_log(write_bag1(tmp_path / "x.bag", out))
    np.testing.assert_allclose(log.ticks[-1] / 65536 * 2 * np.pi, (19 * 3.25, 19 * 2.25), atol=1e-4)


def test_topics_are_chosen_said_and_overruled(tmp_path):
    out = Written(2)
    for k in range(30):
        t = START + k * 50 * MS
        out.twist("/cmd_vel", t, 0.1, 0.0)
        out.twist("/cmd_vel_nav", t, 0.2, 0.0)
        out.odometry("/odom", t, 0.1 * k, 0, 0)
        out.odometry("/odometry/filtered", t, 0.2 * k, 0, 0)
        out.odometry("/base_pose_ground_truth", t, 0.3 * k, 0, 0, frame="map")
        out.posed("/goal_pose", t, 99, 99, 0, frame="map")
    path = write_bag2(tmp_path / "many", out)
    (log,) = read_log(path)
    assert (log.cmd[0, 0], log.odom[-1, 0], log.pose[-1, 0]) == pytest.approx((0.1, 2.9, 8.7))
    assert log.pose_source == "tracker"
    assert "cmd: /cmd_vel (" in said(log)
    assert "topics: {cmd: /cmd_vel_nav}" in said(log)
    assert "/goal_pose" in re.search(r"not used: (.*)", said(log))[1]
    (log,) = read_log(path, options=ReadOptions(topics={"cmd": "/cmd_vel_nav", "odom": "/odometry/filtered"}))
    assert (log.cmd[0, 0], log.odom[-1, 0]) == pytest.approx((0.2, 5.8))
    with pytest.raises(InputError, match="no topic '/cmd'") as caught:
        read_log(path, options=ReadOptions(topics={"cmd": "/cmd"}))
    assert "/cmd_vel_nav (geometry_msgs/msg/Twist, 30 messages)" in caught.value.mend
    with pytest.raises(InputError, match="does not serve as 'scan'"):
        read_log(path, options=ReadOptions(topics={"scan": "/odom"}))


def test_an_empty_topic_gives_way_and_is_named(tmp_path):
    out = Written(1)
    for k in range(20):
        out.odometry("/odometry/filtered", START + k * 50 * MS, k, 0, 0)
        text = out.make("std_msgs/msg/String", f"order {k}")
        out.add("/orders", "std_msgs/msg/String", START + k * 50 * MS, text)
    with Writer1(tmp_path / "x.bag") as writer:
        writer.add_connection("/odom", "nav_msgs/msg/Odometry", typestore=STORE1)
        connections = {}
        for topic, msgtype, t_ns, data in out.raw():
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, msgtype, typestore=STORE1)
            writer.write(connections[topic], t_ns, data)
    (log,) = read_log(tmp_path / "x.bag")
    assert log.odom[-1, 0] == 19
    assert "without any message: /odom" in said(log)
    assert log.events == ()
    (log,) = read_log(tmp_path / "x.bag", options=ReadOptions(topics={"event": "/orders"}))
    assert [event.values for event in log.events] == [{"data": f"order {k}"} for k in range(20)]


def test_a_bag_without_anything_of_use_lists_what_there_is(tmp_path):
    out = Written(1)
    for k in range(5):
        out.picture(START + k * MS)
    with pytest.raises(InputError, match="nothing that a gap could be measured from") as caught:
        read_log(write_bag1(tmp_path / "x.bag", out))
    assert "/camera/image_raw (sensor_msgs/msg/Image, 5 messages)" in caught.value.mend
    assert "topics: {cmd:" in caught.value.mend


def test_point_clouds_are_said_not_to_be_read(tmp_path):
    written = Written(2)
    for k in range(20):
        t = START + k * 100 * MS
        cloud = (written.header(t, "lidar"), 1, 1, [], False, 4, 4, np.zeros(4, np.uint8), True)
        written.add("/points", "sensor_msgs/msg/PointCloud2", t, written.make("sensor_msgs/msg/PointCloud2", *cloud))
    with pytest.raises(InputError, match=r"point clouds are not read \(/points\): .* planar scans"):
        read_log(write_bag2(tmp_path / "clouds", written))
    for k in range(20):
        written.odometry("/odom", START + k * 100 * MS, 0.1 * k, 0.0, 0.0)
    (log,) = read_log(write_bag2(tmp_path / "odom", written))
    assert any("pointcloud_to_laserscan" in line for line in log.report.lines())


@pytest.mark.parametrize("unset", [False, True])
def test_stamped_commands_of_several_robots_and_scans_of_changing_intensities(tmp_path, unset):
    written = Written(2)
    for k in range(100):
        t = START + k * 50 * MS
        for space, speed in (("amr1", 0.4), ("amr2", 0.6)):
            twist = written.make("geometry_msgs/msg/Twist", written.vector(speed, 0, 0), written.vector(0, 0, 0.1))
            head = written.header(0 if unset else t, "base_link")  # Nav2 leaves the stamp unset in some versions
            message = written.make("geometry_msgs/msg/TwistStamped", head, twist)
            written.add(f"/{space}/cmd_vel", "geometry_msgs/msg/TwistStamped", t, message)
            written.odometry(f"/{space}/odom", t, 0.05 * speed * k, 0.0, 0.0, frame=f"{space}/odom")
        shape = (written.header(t, "amr1/laser"), -1.0, 1.0, 0.02, 0.0, 0.1, 0.1, 20.0, np.full(BEAMS, 3, np.float32))
        intensities = np.full((0, BEAMS, BEAMS // 2)[k % 3], 7, dtype=np.float32)
        scan = written.make("sensor_msgs/msg/LaserScan", *shape, intensities)
        written.add("/amr1/scan", "sensor_msgs/msg/LaserScan", t, scan)
    logs = read_log(write_bag2(tmp_path / "fleet", written))
    assert [log.robot for log in logs] == ["amr1", "amr2"]
    for log, speed in zip(logs, (0.4, 0.6), strict=True):
        np.testing.assert_array_equal(log.cmd, np.tile([speed, 0.1], (100, 1)))
        assert log.cmd_t_ns[0] == START
    assert len(logs[0].scans) == 100


def test_clocks_that_disagree_are_said_and_dealt_with(tmp_path):
    hour = 3600 * 10**9

    def recorded(shift_odom, shift_scan, zero=False):
        out = Written(2)
        for k in range(40):
            t = START + k * 50 * MS
            out.twist("/cmd_vel", t, 0.1, 0.0)
            for topic, shift in (("odom", shift_odom), ("scan", shift_scan)):
                if topic == "odom":
                    out.odometry("/odom", 0 if zero else t + shift, k, 0, 0)
                else:
                    out.laser("/scan", 0 if zero else t + shift, np.ones(9))
                name, kind, _, message = out.messages[-1]
                out.messages[-1] = (name, kind, t + LATENCY, message)
        return read_log(write_bag2(tmp_path / f"{shift_odom}{shift_scan}{zero}", out))[0]

    near = recorded(-20 * MS, -20 * MS)  # 20 ms between stamp and receipt: no more than a delay
    assert near.cmd_t_ns[0] == START
    assert near.odom_t_ns[0] == START - 20 * MS
    assert "clocks" not in said(near)
    far = recorded(hour, hour)  # all headers an hour ahead: what has no header goes along
    assert far.odom_t_ns[0] == START + hour
    assert abs(far.cmd_t_ns[0] - far.odom_t_ns[0]) <= LATENCY
    assert "differ from receive stamps by 3599.993 s" in said(far)
    apart = recorded(0, hour)  # two clocks: only the recorder saw both
    assert apart.odom_t_ns[0] == apart.scans.t_ns[0] == START + LATENCY
    assert "clocks over 1 s apart" in said(apart)
    none = recorded(0, 0, zero=True)
    assert none.odom_t_ns[0] == START + LATENCY
    assert "hold no stamps" in said(none)


def test_latched_transforms_do_not_tell_of_the_clock(tmp_path):
    out = Written(2)
    old = START - 600 * 10**9  # stamped when the node came up, sent again with each part of the recording
    for k in range(40):
        out.odometry("/odom", START + k * 50 * MS, k, 0, 0)
        if k % 20 == 0:
            out.transforms("/tf_static", START + k * 50 * MS, (old, "base_footprint", "base_link", 0.0, 0.0, 0.0))
    (log,) = read_log(write_bag2(tmp_path / "x", out))
    assert log.odom_t_ns[0] == START
    assert "clocks" not in said(log)


def test_messages_out_of_order_twice_and_far_off(tmp_path):
    out = Written(2)
    times = [START + k * 50 * MS for k in range(100)]
    head = list(times)
    head[10], head[11] = head[11], head[10]  # overtook one another
    head[20] = head[21]  # the same stamp twice
    head[30] += 10**15  # a stamp of another age
    for k, (log_ns, t) in enumerate(zip(times, head, strict=True)):
        out.odometry("/odom", t, k, 0, 0)
        name, kind, _, message = out.messages[-1]
        out.messages[-1] = (name, kind, log_ns, message)
    (log,) = read_log(write_bag2(tmp_path / "order", out))
    assert (np.diff(log.odom_t_ns) > 0).all()
    assert log.odom[:, 0].tolist() == [*range(10), 11, 10, *range(12, 20), *range(21, 30), *range(31, 100)]
    assert [(item.count, item.first_line) for item in log.report.files[0].skipped] == [(1, 31)]
    assert "out of order" in said(log)
    assert "shares its stamp" in said(log)


def test_scans_of_changing_shape_keep_the_majority(tmp_path):
    out = Written(2)
    for k in range(30):
        beams = BEAMS if k % 5 else BEAMS - 1
        jitter = 1e-6 * k  # a driver that computes its angles anew is still one shape
        out.laser("/scan", START + k * 50 * MS, np.full(beams, k + 1.0), angle_min=-1.0 + jitter, reach=(0.1, 100.0))
    (log,) = read_log(write_bag2(tmp_path / "shape", out))
    assert log.scans.ranges.shape == (24, BEAMS)
    assert log.scans.ranges[:, 0].tolist() == [k + 1 for k in range(30) if k % 5]
    assert "6 scans of other shapes left out" in said(log)


def test_scans_of_ever_other_numbers_of_beams_are_brought_to_one(tmp_path):
    """A driver that sends what it got in each turn: a wall at 2 m, seen under the same angles to half a beam."""
    out = Written(1)
    for k in range(60):
        beams = 180 + k % 7
        angles = np.linspace(-1.0, 1.0, beams)
        message_of = 2.0 / np.cos(angles) + 0.001 * k
        out.laser("/scan", START + k * 100 * MS, message_of, reach=(0.1, 100.0))
        out.messages[-1][3].angle_increment = 2.0 / (beams - 1)
    out.laser("/scan", START + 7000 * MS, np.ones(9))
    (log,) = read_log(write_bag1(tmp_path / "x.bag", out))
    assert len(log.scans) == 60
    expected = 2.0 / np.cos(log.scans.angles) + 0.001 * np.arange(60)[:, None]
    slope = np.abs(np.tan(log.scans.angles)) * 2.0 / np.cos(log.scans.angles)
    assert (np.abs(log.scans.ranges - expected) <= slope * 0.51 * log.scans.angle_increment + 1e-3).all()
    assert "brought to" in said(log)
    assert "1 left out" in said(log)


def test_a_clockwise_laser_is_turned_round(tmp_path):
    out = Written(2)
    for k in range(5):
        out.laser("/scan", START + k * 100 * MS, np.arange(1.0, 12.0), angle_min=0.5)
        out.messages[-1][3].angle_increment = -0.1
    (log,) = read_log(write_bag2(tmp_path / "x", out))
    assert (log.scans.angle_min, log.scans.angle_increment) == pytest.approx((-0.5, 0.1))
    assert log.scans.ranges[0].tolist() == list(range(11, 0, -1))


def test_scans_are_thinned_evenly(tmp_path):
    out = Written(1)
    for k in range(100):
        out.laser("/scan", START + k * 50 * MS, np.full(9, k + 1.0), reach=(0.1, 1000.0))
    (log,) = read_log(write_bag1(tmp_path / "x.bag", out), options=ReadOptions(max_scans=30))
    assert log.scans.ranges[:, 0].tolist() == list(range(1, 101, 4))
    assert "thinned evenly, one in 4" in said(log)


def test_wheels_counts_or_radians_by_their_values(tmp_path):
    names = ("rear_right_wheel", "front_left_wheel", "rear_left_wheel", "front_right_wheel")
    for unit, skid in ((1.0, False), (0.25, True)):
        out = Written(1)
        for k in range(50):
            left, right = 10 * k, 8 * k
            front_left = left if skid else left + 6 * k
            out.joints("/joint_states", START + k * 20 * MS, names, np.array([right, front_left, left, right]) * unit)
        (log,) = read_log(write_bag1(tmp_path / f"{unit}.bag", out))
        assert log.drive == ("differential" if skid else "mecanum")
        turns = log.ticks[-1] / (1.0 if unit == 1.0 else 65536 / (2 * np.pi))
        np.testing.assert_allclose(turns, np.array([front_left, right, left, right]) * unit, atol=1e-4)
        assert ("encoder counts" if unit == 1.0 else "radians") in said(log)


def test_counters_that_roll_over_count_on():
    true = np.cumsum(np.tile([[900, -1200]], (200, 1)), axis=0)
    for bits in (16, 32):
        start = (1 << bits) - 5000
        wrapped = (true + start) % (1 << bits)
        again, count = unwrap_counts(wrapped)
        np.testing.assert_array_equal(np.diff(again, axis=0), np.diff(true, axis=0))
        assert count > 0
    again, count = unwrap_counts(true)
    np.testing.assert_array_equal(again, true)
    assert count == 0


@pytest.mark.parametrize("most", [3.0, 0.1])
def test_a_tracker_with_y_up_is_turned_over(tmp_path, most):
    """Motive exports y up: the floor is x and -z, and yaw a turn about y."""
    out = Written(1)
    yaws = np.linspace(-most, most, 40)
    for k, yaw in enumerate(yaws):
        message = out.make(
            "geometry_msgs/msg/PoseStamped",
            out.header(START + k * 10 * MS, "world"),
            out.make(
                "geometry_msgs/msg/Pose",
                out.make("geometry_msgs/msg/Point", 1.0 * k, 0.3, -2.0 * k),
                out.make("geometry_msgs/msg/Quaternion", 0.0, np.sin(yaw / 2), 0.0, np.cos(yaw / 2)),
            ),
        )
        out.add("/vrpn/robot/pose", "geometry_msgs/msg/PoseStamped", START + k * 10 * MS, message)
    (log,) = read_log(write_bag1(tmp_path / "x.bag", out))
    np.testing.assert_allclose(log.pose, np.column_stack([np.arange(40), 2.0 * np.arange(40), yaws]), atol=1e-9)
    assert "y axis points up" in said(log)


def test_a_type_that_differs_from_its_name_is_read_by_its_definition(tmp_path):
    """Some fork's Twist with a field in front: its MD5 says so, and the bag's own definition is followed."""
    store = get_typestore(Stores.ROS1_NOETIC)
    text = "float64 weight\ngeometry_msgs/Vector3 linear\ngeometry_msgs/Vector3 angular\n"
    text += "=" * 80 + "\nMSG: geometry_msgs/Vector3\nfloat64 x\nfloat64 y\nfloat64 z\n"
    other = get_typestore(Stores.EMPTY)
    other.register(get_types_from_msg(text, "geometry_msgs/msg/Twist"))
    vector, twist = (other.types[f"geometry_msgs/msg/{name}"] for name in ("Vector3", "Twist"))
    with Writer1(tmp_path / "x.bag") as writer:
        connection = writer.add_connection("/cmd_vel", "geometry_msgs/msg/Twist", typestore=other)
        for k in range(5):
            message = twist(7.0, vector(0.1 * k, 0.0, 0.0), vector(0.0, 0.0, 0.3))
            writer.write(connection, START + k * MS, other.serialize_ros1(message, "geometry_msgs/msg/Twist"))
    assert store.generate_msgdef("geometry_msgs/msg/Twist")[1] != other.generate_msgdef("geometry_msgs/msg/Twist")[1]
    (log,) = read_log(tmp_path / "x.bag")
    np.testing.assert_allclose(log.cmd, np.column_stack([0.1 * np.arange(5), np.full(5, 0.3)]))


def test_too_many_bad_messages_refuse_the_topic(tmp_path):
    out = Written(1)
    for k in range(20):
        out.odometry("/odom", START + k * 50 * MS, np.nan if k % 4 == 0 else k, 0, 0)
    with pytest.raises(InputError, match="5 of 20 messages of /odom are bad, over the limit of 5%"):
        read_log(write_bag1(tmp_path / "x.bag", out))


# The real bags


def counts_by_index(path):
    """An independent count: the reader of rosbags goes by the index at the end of the file."""
    with Reader1(path) as reader:
        return Counter({topic: info.msgcount for topic, info in reader.topics.items()})


@fielddata
@pytest.mark.skipif(not FIELD.exists(), reason="field data folder not found (FLOORCAST_FIELDDATA)")
@pytest.mark.parametrize("name", ["bag1", pytest.param("bag3", marks=pytest.mark.slow)])
def test_the_optitrack_bags(name):
    counts = counts_by_index(FIELD / f"{name}.bag")
    (log,) = read_rosbag(FIELD / f"{name}.bag", PLAIN)
    assert log.drive == "mecanum"
    assert (len(log.ticks), len(log.pose)) == (counts["/wheel_states"], counts["/robot/pose"])
    assert log.report.files[0].records == sum(counts.values())
    store = get_typestore(Stores.ROS1_NOETIC)
    with Reader1(FIELD / f"{name}.bag") as reader:
        for connection, _, raw in list(reader.messages())[::500]:
            message = store.deserialize_ros1(raw, connection.msgtype)
            t_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            if connection.topic == "/wheel_states":
                row = log.ticks[np.searchsorted(log.ticks_t_ns, t_ns)]
                np.testing.assert_array_equal(row, message.position)
            else:
                row = log.pose[np.searchsorted(log.pose_t_ns, t_ns)]
                turn = message.pose.orientation
                yaw = yaw_of(np.array([turn.x, turn.y, turn.z, turn.w]))
                np.testing.assert_allclose(row, (message.pose.position.x, message.pose.position.y, yaw), atol=1e-5)
    # x and y are the floor, yaw is about z and the wheels stand in order: what mecanum wheels tell of each half second
    # ahead, aside and round is what the tracker saw in the body's frame.
    t_ns = np.arange(max(log.pose_t_ns[0], log.ticks_t_ns[0]), min(log.pose_t_ns[-1], log.ticks_t_ns[-1]), 500 * MS)
    x, y, yaw = (np.interp(t_ns, log.pose_t_ns, column) for column in (*log.pose.T[:2], np.unwrap(log.pose[:, 2])))
    step = np.exp(-1j * yaw[:-1]) * np.diff(x + 1j * y)
    fl, fr, rl, rr = np.diff([np.interp(t_ns, log.ticks_t_ns, column) for column in log.ticks.T])
    assert np.corrcoef(step.real, fl + fr + rl + rr)[0, 1] > 0.99
    assert np.corrcoef(step.imag, fr + rl - fl - rr)[0, 1] > 0.99
    if name == "bag3":  # bag1 hardly turns
        assert np.corrcoef(np.diff(yaw), fr + rr - fl - rl)[0, 1] > 0.95


@fielddata
@pytest.mark.skipif(not FIELD.exists(), reason="field data folder not found (FLOORCAST_FIELDDATA)")
def test_the_turtlebot_bag():
    path = FIELD / "turtlebot_scan_tf.bag"
    counts = counts_by_index(path)
    (log,) = read_rosbag(path, PLAIN)
    assert log.report.files[0].records == sum(counts.values()) == 3008
    assert log.scans.ranges.shape == (counts["/scan"], 640) == (819, 640)
    assert 0.08 < np.mean(~np.isfinite(log.scans.ranges)) < 0.12
    assert len(log.odom) == 1376
    np.testing.assert_allclose(log.scans.mount, (-0.087, 0.0125, 0.0), atol=1e-9)
    assert len(log.pose) == 0
    assert "nothing localised the robot" in said(log)
    assert "44316.9" in said(log)


@fielddata
@pytest.mark.skipif(not FIELD.exists(), reason="field data folder not found (FLOORCAST_FIELDDATA)")
@pytest.mark.parametrize("name", ["bag1", "turtlebot_scan_tf"])
def test_a_real_bag_cut_at_60_percent(tmp_path, name):
    data = (FIELD / f"{name}.bag").read_bytes()
    data, whole = data[: int(0.6 * len(data))], data
    (tmp_path / "cut.bag").write_bytes(data)
    (log,) = read_rosbag(tmp_path / "cut.bag", PLAIN)
    # The index of the whole bag tells where every message lies: those within the first 60 % must be there.
    there = Counter()
    with Reader1(FIELD / f"{name}.bag") as reader:
        for connection in reader.connections:
            for entry in reader.indexes[connection.id]:
                start = reader.chunks[entry.chunk_pos].datapos + entry.offset
                (header,) = struct.unpack_from("<I", whole, start)
                (body,) = struct.unpack_from("<I", whole, start + 4 + header)
                there[connection.topic] += start + 8 + header + body <= len(data)
    assert log.report.files[0].records == sum(there.values())
    if name == "bag1":
        assert (len(log.ticks), len(log.pose)) == (there["/wheel_states"], there["/robot/pose"])
    else:
        assert len(log.scans) == there["/scan"]
    assert "60% of its data is there" in said(log)
