"""How fast bags and text logs are read, and in how much memory: made files of many gigabytes - bags full of pictures,
CARMEN scans and CSV rows - read by a process of its own.

    python benchmarks/bags.py --gigabytes 4 --folder /tmp --forms bag,mcap,carmen,csv
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

START = 1_700_000_000_000_000_000
BEAMS = 720
PICTURE = 640 * 480 * 3
_READ = """
import json, resource, sys, time
from pathlib import Path
from floorcast.gap.readers import ReadOptions, read_log
import numpy, pyarrow
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
wall, cpu = time.perf_counter(), time.process_time()
(log,) = read_log(Path(sys.argv[1]), options=ReadOptions())
print(json.dumps({
    "cpu_s": round(time.process_time() - cpu, 2), "wall_s": round(time.perf_counter() - wall, 2),
    "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10, "libraries_mib": before >> 10,
    "cmd": len(log.cmd), "odom": len(log.odom), "scans": len(log.scans or ()), "pose": len(log.pose),
}))
"""


def _store(ros: int) -> Typestore:
    store = get_typestore(Stores.ROS1_NOETIC if ros == 1 else Stores.ROS2_HUMBLE)
    if ros == 1:
        store.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", "tf2_msgs/msg/TFMessage"))
    return store


class _Robot:
    """Makes the messages of a robot that drives on and turns."""

    def __init__(self, ros: int) -> None:
        self._ros, self._types = ros, _store(ros).types
        self._rng = np.random.default_rng(0)
        self._picture = self._rng.integers(0, 256, PICTURE, dtype=np.uint8)

    def _make(self, name: str, *args: object) -> object:
        return self._types[name](*args)  # type: ignore[arg-type]

    def _header(self, t_ns: int, frame: str) -> object:
        stamp = self._make("builtin_interfaces/msg/Time", t_ns // 10**9, t_ns % 10**9)
        return self._make("std_msgs/msg/Header", *([0] if self._ros == 1 else []), stamp, frame)

    def _vector(self, x: float, y: float, z: float) -> object:
        return self._make("geometry_msgs/msg/Vector3", x, y, z)

    def _turn(self, yaw: float) -> object:
        return self._make("geometry_msgs/msg/Quaternion", 0.0, 0.0, float(np.sin(yaw / 2)), float(np.cos(yaw / 2)))

    def cmd_vel(self, t_ns: int, now: float) -> tuple[str, object]:
        kind = "geometry_msgs/msg/Twist"
        return kind, self._make(kind, self._vector(0.5, 0.0, 0.0), self._vector(0.0, 0.0, 0.1))

    def odom(self, t_ns: int, now: float) -> tuple[str, object]:
        place = self._make(
            "geometry_msgs/msg/Pose", self._make("geometry_msgs/msg/Point", now, 0.0, 0.0), self._turn(0.1 * now)
        )
        body = self._make("geometry_msgs/msg/PoseWithCovariance", place, np.zeros(36))
        moving = self._make("geometry_msgs/msg/TwistWithCovariance", self.cmd_vel(t_ns, now)[1], np.zeros(36))
        kind = "nav_msgs/msg/Odometry"
        return kind, self._make(kind, self._header(t_ns, "odom"), "base_link", body, moving)

    def tf(self, t_ns: int, now: float) -> tuple[str, object]:
        links = []
        for parent, child, x in (("odom", "base_link", now), ("map", "odom", 0.01 * now)):
            place = self._make("geometry_msgs/msg/Transform", self._vector(x, 0.0, 0.0), self._turn(0.1 * now))
            head = self._header(t_ns, parent)
            links.append(self._make("geometry_msgs/msg/TransformStamped", head, child, place))
        return "tf2_msgs/msg/TFMessage", self._make("tf2_msgs/msg/TFMessage", links)

    def scan(self, t_ns: int, now: float) -> tuple[str, object]:
        ranges = self._rng.uniform(0.5, 20.0, BEAMS).astype(np.float32)
        shape = (-3.1, 3.1, 0.0087, 0.0, 0.066, 0.1, 25.0)
        kind = "sensor_msgs/msg/LaserScan"
        return kind, self._make(kind, self._header(t_ns, "laser"), *shape, ranges, np.zeros(0, np.float32))

    def imu(self, t_ns: int, now: float) -> tuple[str, object]:
        kind, nine = "sensor_msgs/msg/Imu", np.zeros(9)
        turning, falling = self._vector(0, 0, 0.1), self._vector(0, 0, 9.81)
        return kind, self._make(
            kind, self._header(t_ns, "imu"), self._turn(0.1 * now), nine, turning, nine, falling, nine
        )

    def image(self, t_ns: int, now: float) -> tuple[str, object]:
        kind = "sensor_msgs/msg/Image"
        return kind, self._make(kind, self._header(t_ns, "camera"), 480, 640, "rgb8", 0, 1920, self._picture)


def messages(ros: int, seconds: float, pictures: float) -> Iterator[tuple[str, str, int, bytes]]:
    """Commands 20 Hz, odometry and transforms 50 Hz, scans 15 Hz, an IMU 100 Hz, and pictures at a rate [Hz]."""
    store, robot = _store(ros), _Robot(ros)
    pack = store.serialize_ros1 if ros == 1 else store.serialize_cdr
    rates = {"cmd_vel": 20.0, "odom": 50.0, "tf": 50.0, "scan": 15.0, "imu": 100.0}
    if pictures:
        rates["image"] = pictures
    due = dict.fromkeys(rates, 0.0)
    while (now := min(due.values())) <= seconds:
        name = min(due, key=lambda item: due[item])
        due[name] += 1.0 / rates[name]
        t_ns = START + round(now * 1e9)
        kind, message = getattr(robot, name)(t_ns, now)
        yield f"/{name}", kind, t_ns, bytes(pack(message, kind))


def write(folder: Path, form: str, seconds: float, pictures: float) -> Path:
    """Write a bag: ``bag``, ``bag-lz4``, ``bag-bz2``, ``db3``, ``mcap`` or ``mcap-zstd``."""
    ros = 1 if form.startswith("bag") else 2
    path = folder / (f"{form}.bag" if ros == 1 else form)
    if form == "mcap-zstd":
        return _write_packed(path.with_suffix(".mcap"), seconds, pictures)
    if ros == 1:
        # Both writers have the same methods and no common type.
        writer: Any = Writer1(path)
        if form != "bag":
            writer.set_compression(Writer1.CompressionFormat[form.removeprefix("bag-").upper()])
    else:
        plugin = StoragePlugin.SQLITE3 if form == "db3" else StoragePlugin.MCAP
        writer = Writer2(path, version=9, storage_plugin=plugin)
    store = _store(ros)
    connections: dict[str, Any] = {}
    with writer:
        for topic, kind, t_ns, data in messages(ros, seconds, pictures):
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=store)
            writer.write(connections[topic], t_ns, data)
    return path


def _write_packed(path: Path, seconds: float, pictures: float) -> Path:
    from mcap.writer import CompressionType, Writer

    with path.open("wb") as file:
        writer = Writer(file, compression=CompressionType.ZSTD)
        writer.start(profile="ros2", library="benchmark")
        channels: dict[str, int] = {}
        for topic, kind, t_ns, data in messages(2, seconds, pictures):
            if topic not in channels:
                channels[topic] = writer.register_channel(topic, "cdr", writer.register_schema(kind, "ros2msg", b""))
            writer.add_message(channels[topic], t_ns, data, t_ns)
        writer.finish()
    return path


def write_text(folder: Path, form: str, size: float) -> Path:
    """Write a text log of so many bytes: ``carmen`` (scans of 180 beams and odometry) or ``csv``."""
    path = folder / ("large.log" if form == "carmen" else "large.csv")
    rng = np.random.default_rng(0)
    scans = [" ".join(f"{reach:.2f}" for reach in rng.uniform(0.5, 30.0, 180)) for _ in range(1000)]
    with path.open("w") as file:
        if form == "csv":
            file.write("t,x,y,yaw,cmd_v,cmd_omega\n")
        # One round on a circle of 3 m in as many steps as there are scans: poses repeat, stamps go on.
        turns = [2.0 * math.pi * step / len(scans) for step in range(len(scans))]
        poses = [
            (3.0 * math.cos(turn), 3.0 * math.sin(turn), math.remainder(turn + 0.5 * math.pi, math.tau))
            for turn in turns
        ]
        shown = [[f"{value:.6f}" for value in pose] for pose in poses]
        ticks = 0
        while file.tell() < size:
            for pose, scan in zip(shown, scans, strict=True):
                ticks += 1
                now = f"{0.05 * ticks:.2f}"
                if form == "csv":
                    file.write(f"{now},{','.join(pose)},0.38,0.13\n")
                    continue
                place = " ".join(pose)
                file.write(f"ODOM {place} 0 0 0 {now} host {now}\n")
                file.write(f"FLASER 180 {scan} {place} {place} {now} host {now}\n")
    return path


def measure(path: Path) -> dict[str, float]:
    """Read a bag in a new process; returns its times [s], peak memory [MiB] and speed [MB/s]."""
    size = sum(file.stat().st_size for file in ([path] if path.is_file() else path.iterdir()))
    found = json.loads(subprocess.run([sys.executable, "-c", _READ, str(path)], check=True, capture_output=True).stdout)
    return {"gigabytes": round(size / 1e9, 2), "mb_per_cpu_s": round(size / 1e6 / found["cpu_s"]), **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=2.0, help="size of the large files")
    parser.add_argument("--minutes", type=float, default=15.0, help="length of the recordings")
    parser.add_argument("--folder", type=Path, default=Path("/tmp"))
    parser.add_argument("--forms", default="bag,bag-lz4,bag-bz2,db3,mcap,mcap-zstd,carmen,csv")
    options = parser.parse_args()
    seconds = 60.0 * options.minutes
    rate = options.gigabytes * 1e9 / PICTURE / seconds
    for form in options.forms.split(","):
        text = form in ("carmen", "csv")
        for pictures in (0.0,) if text else (0.0, rate):
            began = time.perf_counter()
            if text:
                path = write_text(options.folder, form, options.gigabytes * 1e9)
            else:
                path = write(options.folder, form, seconds, pictures)
            written = round(time.perf_counter() - began, 1)
            try:
                told = {"form": form, "pictures_hz": round(pictures, 2), "written_s": written, **measure(path)}
                print(json.dumps(told), flush=True)
            finally:
                for file in [path] if path.is_file() else list(path.iterdir()):
                    file.unlink()
                if path.is_dir():
                    path.rmdir()


if __name__ == "__main__":
    main()
