"""UTIAS multi-robot sets (MRCLAM): commands in ``RobotN_Odometry.dat``, Vicon poses in ``RobotN_Groundtruth.dat``.

Format: K. Leung, Y. Halpern, T. Barfoot, H. Liu, "The UTIAS multi-robot cooperative localization and mapping dataset",
International Journal of Robotics Research 30(8), 2011. In spite of its name, ``Odometry.dat`` holds what the robots
were told (forward speed m/s, yaw rate rad/s), not what their encoders read.
"""

from __future__ import annotations

import re
from pathlib import Path

from ...common.errors import InputError
from ...common.geometry import wrap_angle
from ..fieldlog import CREATE_MODEL, FieldLog, LogReport
from .records import read_table, sort_out_times

_FILE = re.compile(r"Robot(\d+)_(Odometry|Groundtruth)\.dat")


def robots_in(folder: Path) -> list[int]:
    """Return the numbers of the robots that have both an odometry and a ground-truth file, in order.

    Raises:
        InputError: a robot has one of the two files only; the other is named.
    """
    found: dict[int, set[str]] = {}
    for entry in folder.iterdir():
        match = _FILE.fullmatch(entry.name)
        if match:
            found.setdefault(int(match[1]), set()).add(match[2])
    for number, kinds in sorted(found.items()):
        for kind in ("Odometry", "Groundtruth"):
            if kind not in kinds:
                raise InputError(
                    f"robot {number} has no {kind} file",
                    where=str(folder / f"Robot{number}_{kind}.dat"),
                    mend="copy the file from the set, or remove the robot's other files",
                )
    return sorted(found)


def read_mrclam(folder: Path, robot: int | None = None) -> list[FieldLog]:
    """Read the logs of a set, or of one robot of it.

    Args:
        folder: holds ``RobotN_Odometry.dat`` and ``RobotN_Groundtruth.dat``.
        robot: number of the robot; None reads all.

    Raises:
        InputError: no such robot, a file is missing, or one has too many bad records.
    """
    numbers = robots_in(folder)
    if robot is not None:
        if robot not in numbers:
            raise InputError(
                f"no robot {robot} in this set",
                where=str(folder),
                mend=f"the set holds robots {', '.join(str(number) for number in numbers)}",
            )
        numbers = [robot]
    return [_read_robot(folder, number) for number in numbers]


def _read_robot(folder: Path, number: int) -> FieldLog:
    commands = read_table(folder / f"Robot{number}_Odometry.dat", 3, limit=(20.0, 50.0))
    truth = read_table(folder / f"Robot{number}_Groundtruth.dat", 4)
    cmd_t_ns, pose_t_ns = sort_out_times(commands), sort_out_times(truth)
    report = LogReport((commands.report(), truth.report()))
    pose = truth.values[:, 1:4].copy()
    pose[:, 2] = wrap_angle(pose[:, 2])
    return FieldLog(
        robot=f"robot{number}",
        drive="differential",
        pose_t_ns=pose_t_ns,
        pose=pose,
        cmd_t_ns=cmd_t_ns,
        cmd=commands.values[:, 1:3].copy(),
        model=CREATE_MODEL,
        report=report,
    )
