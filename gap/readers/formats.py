"""The table of log formats: how each is recognised and what reads it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ...common.errors import InputError
from ..fieldlog import FieldLog
from ..store import holds_log, load_logs
from .carmen import looks_like_carmen, read_carmen
from .delimited import PARQUET, looks_like_csv, read_csv, read_parquet
from .mecanum import read_mecanum, takes_in
from .mrclam import read_mrclam, robots_in
from .omron import omron_files, read_omron
from .opening import head_of
from .options import ReadOptions
from .parts import Part
from .rosbag import bag_parts, looks_like_mcap, looks_like_rosbag, read_mcap, read_rosbag
from .tricycle import looks_like_tricycle, read_tricycle
from .tum import read_tum, tum_files
from .vda5050 import looks_like_vda5050, read_vda5050


@dataclass(frozen=True)
class Reader:
    """One format.

    Attributes:
        name: as ``ReadOptions.format`` has it.
        what: what such a log looks like, for people.
        matches: tells from the path and the file's first bytes (unpacked; ``b""`` for a folder) whether it is one.
            Readers are asked in the order of ``READERS``, the pickiest first.
        read: reads all robots and runs.
        read_robot: reads one robot, where that spares reading the others; None: all are read and one is picked.
        parts: the recordings of a folder that are read one by one; None, or no parts: all in one go.
    """

    name: str
    what: str
    matches: Callable[[Path, bytes], bool]
    read: Callable[[Path, ReadOptions], list[FieldLog]]
    read_robot: Callable[[Path, str | int, ReadOptions], list[FieldLog]] | None = None
    parts: Callable[[Path], list[Part]] | None = None


def _number(robot: str | int) -> int:
    digits = str(robot).lower().removeprefix("robot").strip("_ ")
    if not digits.isdecimal():
        raise InputError(f"'{robot}' names no robot", mend="give its number, for example 4 or robot4")
    return int(digits)


def _tricycle_file(path: Path) -> Path | None:
    if path.is_file():
        return path if looks_like_tricycle(head_of(path)) else None
    files = (item for item in sorted(path.glob("*.txt")) if item.is_file())
    return next((item for item in files if looks_like_tricycle(head_of(item))), None)


READERS: tuple[Reader, ...] = (
    Reader(
        "stored",
        "a folder that 'floorcast gap import' wrote, or a folder of such",
        lambda path, head: holds_log(path),
        lambda path, options: load_logs(path),
    ),
    Reader(
        "rosbag",
        "a ROS 1 .bag, a ROS 2 bag folder or .db3 file, or a folder of bags",
        looks_like_rosbag,
        read_rosbag,
        parts=bag_parts,
    ),
    Reader("mcap", "an .mcap file with ROS or Foxglove messages", looks_like_mcap, read_mcap),
    Reader(
        "mrclam",
        "a folder with RobotN_Odometry.dat and RobotN_Groundtruth.dat",
        lambda path, head: path.is_dir() and bool(robots_in(path)),
        lambda path, options: read_mrclam(path),
        lambda path, robot, options: read_mrclam(path, _number(robot)),
    ),
    Reader(
        "tricycle",
        "a text file of 'time: ticks: model_pose: tracker_pose:' records",
        lambda path, head: _tricycle_file(path) is not None,
        lambda path, options: [read_tricycle(_tricycle_file(path) or path)],
    ),
    Reader(
        "carmen",
        "a text file (.log, .clf, .gz) of ODOM, FLASER or ROBOTLASER1 lines",
        lambda path, head: looks_like_carmen(head),
        read_carmen,
    ),
    Reader(
        "mecanum",
        "a folder with commands/control_takeNN.csg and poses/takeNN.txt",
        lambda path, head: path.is_dir() and bool(takes_in(path)),
        read_mecanum,
    ),
    Reader(
        "vda5050",
        "VDA 5050 messages, one JSON text a line, with or without topics",
        lambda path, head: path.is_file() and looks_like_vda5050(head),
        read_vda5050,
    ),
    Reader(
        "tum",
        "'stamp x y z qx qy qz qw' lines, or a folder with groundtruth.txt and estimated.txt of them",
        lambda path, head: bool(tum_files(path)),
        read_tum,
    ),
    Reader(
        "omron",
        "real_straight_*.csv or nav2_run_N.csv (simulated), or a folder with them",
        lambda path, head: bool(omron_files(path)),
        read_omron,
    ),
    Reader(
        "parquet",
        "a Parquet table with a column of times",
        lambda path, head: head.startswith(PARQUET),
        read_parquet,
    ),
    Reader(
        "csv",
        "a table of comma, semicolon or tab separated values with a column of times",
        lambda path, head: path.is_file() and looks_like_csv(head),
        read_csv,
    ),
)
"""All formats."""
