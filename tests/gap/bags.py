"""Bags of a robot on a circle, written by rosbags' and mcap's own writers: what was written is what is true."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

START = 1_700_000_000_000_000_000
MS = 1_000_000
BEAMS = 90
LASER = (0.3, -0.1, 0.5)
"""Mount of the laser: x, y, yaw."""
LATENCY = 7 * MS
"""From a header's stamp to the recorder."""
STORE1, STORE2 = get_typestore(Stores.ROS1_NOETIC), get_typestore(Stores.ROS2_HUMBLE)
STORE1.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", "tf2_msgs/msg/TFMessage"))


@dataclass
class Written:
    """Messages (topic, type, receive stamp, message) and the tables that are to come back."""

    ros: int
    messages: list = field(default_factory=list)
    cmd: list = field(default_factory=list)
    odom: list = field(default_factory=list)
    scan: list = field(default_factory=list)
    pose: list = field(default_factory=list)
    ticks: list = field(default_factory=list)

    @property
    def store(self):
        return STORE1 if self.ros == 1 else STORE2

    def make(self, name, *args):
        return self.store.types[name](*args)

    def header(self, t_ns, frame):
        stamp = self.make("builtin_interfaces/msg/Time", int(t_ns // 10**9), int(t_ns % 10**9))
        return self.make("std_msgs/msg/Header", *([0] if self.ros == 1 else []), stamp, frame)

    def vector(self, *values):
        return self.make("geometry_msgs/msg/Vector3", *map(float, values))

    def turn(self, yaw):
        return self.make("geometry_msgs/msg/Quaternion", 0.0, 0.0, float(np.sin(yaw / 2)), float(np.cos(yaw / 2)))

    def pose_of(self, x, y, yaw, z=0.0):
        point = self.make("geometry_msgs/msg/Point", float(x), float(y), float(z))
        return self.make("geometry_msgs/msg/Pose", point, self.turn(yaw))

    def add(self, topic, msgtype, t_ns, message):
        self.messages.append((topic, msgtype, int(t_ns), message))

    def twist(self, topic, t_ns, v, omega, vy=0.0):
        message = self.make("geometry_msgs/msg/Twist", self.vector(v, vy, 0), self.vector(0, 0, omega))
        self.add(topic, "geometry_msgs/msg/Twist", t_ns, message)

    def odometry(self, topic, t_ns, x, y, yaw, frame="odom"):
        twist = self.make("geometry_msgs/msg/Twist", self.vector(0.5, 0, 0), self.vector(0, 0, 0.1))
        message = self.make(
            "nav_msgs/msg/Odometry",
            self.header(t_ns, frame),
            "base_footprint",
            self.make("geometry_msgs/msg/PoseWithCovariance", self.pose_of(x, y, yaw), np.zeros(36)),
            self.make("geometry_msgs/msg/TwistWithCovariance", twist, np.zeros(36)),
        )
        self.add(topic, "nav_msgs/msg/Odometry", t_ns + LATENCY, message)

    def laser(self, topic, t_ns, ranges, frame="laser", angle_min=-1.0, reach=(0.1, 20.0)):
        message = self.make(
            "sensor_msgs/msg/LaserScan",
            self.header(t_ns, frame),
            angle_min, 1.0, 0.02, 0.0, 0.1, *reach,
            np.asarray(ranges, dtype=np.float32), np.full(len(ranges), 7, dtype=np.float32),
        )  # fmt: skip
        self.add(topic, "sensor_msgs/msg/LaserScan", t_ns + LATENCY, message)

    def transforms(self, topic, log_ns, *links):
        """Links: (stamp, parent, child, x, y, yaw)."""
        items = [
            self.make(
                "geometry_msgs/msg/TransformStamped",
                self.header(t_ns, parent),
                child,
                self.make("geometry_msgs/msg/Transform", self.vector(x, y, 0.2), self.turn(yaw)),
            )
            for t_ns, parent, child, x, y, yaw in links
        ]
        self.add(topic, "tf2_msgs/msg/TFMessage", log_ns, self.make("tf2_msgs/msg/TFMessage", items))

    def posed(self, topic, t_ns, x, y, yaw, frame="world"):
        message = self.make("geometry_msgs/msg/PoseStamped", self.header(t_ns, frame), self.pose_of(x, y, yaw, 0.3))
        self.add(topic, "geometry_msgs/msg/PoseStamped", t_ns + LATENCY, message)

    def joints(self, topic, t_ns, names, positions):
        message = self.make(
            "sensor_msgs/msg/JointState",
            self.header(t_ns, "base_link"),
            list(names),
            np.asarray(positions, dtype=np.float64),
            np.zeros(len(names)),
            np.zeros(0),
        )
        self.add(topic, "sensor_msgs/msg/JointState", t_ns + LATENCY, message)

    def picture(self, t_ns, size=3000):
        data = np.random.default_rng(int(t_ns) % 1000).integers(0, 256, size, dtype=np.uint8)
        message = self.make("sensor_msgs/msg/Image", self.header(t_ns, "camera"), 30, size // 90, "rgb8", 0, 90, data)
        self.add("/camera/image_raw", "sensor_msgs/msg/Image", t_ns, message)

    def raw(self):
        """Yield (topic, type, receive stamp, bytes) in order of receipt."""
        pack = self.store.serialize_ros1 if self.ros == 1 else self.store.serialize_cdr
        for topic, msgtype, t_ns, message in sorted(self.messages, key=lambda item: item[2]):
            yield topic, msgtype, t_ns, bytes(pack(message, msgtype))


def drive(ros=2, seconds=4.0, space="", pictures=True) -> Written:
    """A robot on a circle of 2 m: commands 20 Hz, odometry 50 Hz, transforms, scans 10 Hz, a tracker at 100 Hz."""
    out = Written(ros)
    rng = np.random.default_rng(5)
    link = [(START, f"{space}base_footprint", f"{space}base_link", 0.0, 0.0, 0.0)]
    laser = [(START, f"{space}base_link", f"{space}laser", *LASER)]
    out.transforms("/tf_static", START, *link, *laser)
    top = f"/{space}"
    for k in range(int(100 * seconds)):
        t = START + k * 10 * MS
        yaw = 0.25 * k * 0.01
        x, y = 2.0 * np.sin(yaw), 2.0 - 2.0 * np.cos(yaw)
        out.pose.append((t, x, y, yaw))
        out.posed(f"{top}tracker/pose", t, x, y, yaw)
        if k % 2 == 0:
            out.odom.append((t, 1.02 * x, y, yaw + 0.01))
            out.odometry(f"{top}odom", *out.odom[-1])
            out.transforms("/tf", t + LATENCY, (t, f"{space}odom", f"{space}base_footprint", 1.02 * x, y, yaw + 0.01))
        if k % 5 == 0:
            out.cmd.append((t, 0.5 + 0.01 * (k % 3), 0.25))
            out.twist(f"{top}cmd_vel", *out.cmd[-1])
        if k % 10 == 0:
            ranges = rng.uniform(0.5, 15.0, BEAMS).astype(np.float32)
            ranges[:4] = (np.nan, np.inf, 0.05, 25.0)
            out.scan.append((t, ranges))
            out.laser(f"{top}scan", t, ranges, frame=f"{space}laser")
            if pictures:
                out.picture(t)
    return out


def write_bag1(path: Path, written: Written, compression="none", chunk=None) -> Path:
    path.unlink(missing_ok=True)
    writer = Writer1(path)
    if compression != "none":
        writer.set_compression(Writer1.CompressionFormat[compression.upper()])
    with writer:
        if chunk is not None:
            writer.chunk_threshold = chunk
        connections = {}
        for topic, msgtype, t_ns, data in written.raw():
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, msgtype, typestore=STORE1)
            writer.write(connections[topic], t_ns, data)
    return path


def write_bag2(path: Path, written: Written, storage="mcap", compression=None) -> Path:
    writer = Writer2(path, version=9, storage_plugin=StoragePlugin[storage.upper()])
    if compression is not None:
        writer.set_compression(CompressionMode[compression], CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for topic, msgtype, t_ns, data in written.raw():
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, msgtype, typestore=STORE2)
            writer.write(connections[topic], t_ns, data)
    return path


def write_mcap(path: Path, written: Written, compression="ZSTD", chunk=20_000, chunking=True) -> Path:
    from mcap.writer import CompressionType
    from mcap.writer import Writer as McapWriter

    with path.open("wb") as file:
        writer = McapWriter(file, chunk_size=chunk, compression=CompressionType[compression], use_chunking=chunking)
        writer.start(profile="ros2" if written.ros == 2 else "ros1", library="test")
        channels = {}
        for topic, msgtype, t_ns, data in written.raw():
            if topic not in channels:
                text = written.store.generate_msgdef(msgtype, ros_version=written.ros)[0].encode()
                name = msgtype if written.ros == 2 else msgtype.replace("/msg/", "/")
                schema = writer.register_schema(name, f"ros{written.ros}msg", text)
                encoding = "cdr" if written.ros == 2 else "ros1"
                channels[topic] = writer.register_channel(topic, encoding, schema)
            writer.add_message(channels[topic], t_ns, data, t_ns)
        writer.finish()
    return path
