"""Takes of a mecanum base under a camera: wheel commands with stamps, camera poses with nothing but frame numbers.

A folder with ``commands/control_takeNN.csg`` (seconds and four wheel commands of -128..128 a line) and
``poses/takeNN.txt`` (frame name, x m, y m, heading in degrees, from the first frame's pose). What the files leave
open is found from them:

- *Frame rate*: every take is one command held for a known time, and the robot stands before and after. The frames
  over which it moves at more than half its speed, over that time, give the rate (ramps up and down weigh the same);
  the median over takes is snapped to the nearest usual camera rate within 3 %.
- *Clock*: a take's commands are set to begin where the motion does. How long the robot takes to start is lost.
- *Wheels*: the least-squares map from the four commands to the body's twist has the sign pattern of a mecanum base
  (vx + + + +, vy - + + -, omega - + - + for front left, front right, rear left, rear right) if the camera's y is
  ahead, and FL, FR, RL, RR = -w4, +w3, -w2, +w1. Calling x ahead would fit the signs as well, but then the base would
  be faster sideways than ahead, and rollers slip the other way. Front and rear cannot be told apart: the direction
  of the first take counts as ahead.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ...common.errors import InputError
from ...common.geometry import FloatArray, wrap_angle
from ..fieldlog import SECOND, FieldLog, Finding, LogReport
from .options import ReadOptions
from .records import Table, read_table, sort_out_times

_COMMANDS = re.compile(r"control_take(\d+)\.csg")
_FRAME = re.compile(rb"^[ \t]*[A-Za-z_]*0*(\d+)\.\w+(?=[ \t])", re.MULTILINE)
_RATES = np.array([24.0, 25.0, 30.0, 48.0, 50.0, 60.0, 75.0, 90.0, 100.0, 120.0])
_SPAN = 6
"""Speeds are taken over twice so many frames."""
_BRIDGED = 6
"""A motion that pauses for so few frames is one motion."""
_REACH = 0.2
"""Turning counts as much as moving at this distance from the centre [m]."""


def takes_in(folder: Path) -> list[int]:
    """Return the numbers of the takes that have commands and poses, in order; none if this is no such folder.

    Raises:
        InputError: a take has commands and no poses.
    """
    if not (folder / "commands").is_dir() or not (folder / "poses").is_dir():
        return []
    names = sorted(item.name for item in (folder / "commands").iterdir())
    numbers = [match[1] for name in names if (match := _COMMANDS.fullmatch(name))]
    for number in numbers:
        if not (folder / "poses" / f"take{number}.txt").is_file():
            raise InputError(
                f"take {number} has no poses",
                where=str(folder / "poses" / f"take{number}.txt"),
                mend="copy the file from the set, or remove the take's commands",
            )
    return [int(number) for number in numbers]


def read_mecanum(folder: Path, options: ReadOptions) -> list[FieldLog]:
    """Read all takes, one log each (``run`` is the take's number in two digits).

    Raises:
        InputError: a file cannot be read or has too many bad records, or a robot never moves.
    """
    takes = [_Take(folder, number) for number in takes_in(folder)]
    measured = float(np.median([take.moving / take.commanded for take in takes]))
    nearest = float(_RATES[np.abs(_RATES / measured - 1.0).argmin()])
    rate = nearest if abs(nearest / measured - 1.0) <= 0.03 else measured
    return [take.log(rate, measured, options) for take in takes]


class _Take:
    def __init__(self, folder: Path, number: int) -> None:
        self.number = number
        self._commands = read_table(
            folder / "commands" / f"control_take{number:02d}.csg", 5, limit=(128.0, 128.0, 128.0, 128.0)
        )
        self._t_ns = sort_out_times(self._commands)
        self._poses: Table = read_table(
            folder / "poses" / f"take{number:02d}.txt", 4, rewrite=lambda data: _FRAME.sub(rb"\1", data)
        )
        sort_out_times(self._poses)
        self.commanded = float(self._t_ns[-1] - self._t_ns[0]) / SECOND
        first, last = moving_frames(self._poses.values, str(self._poses.path))
        self.moving = last - first
        self._first = first

    def log(self, rate: float, measured: float, options: ReadOptions) -> FieldLog:
        frames, x, y, heading = self._poses.values.T
        start_ns = round(self._first / rate * SECOND)
        stop_ns = int(self._t_ns[-1]) + round(np.median(np.diff(self._t_ns)))
        stamps = np.concatenate([[0], start_ns + self._t_ns - self._t_ns[0], [start_ns + stop_ns - self._t_ns[0]]])
        w1, w2, w3, w4 = self._commands.values[:, 1:].T
        wheels = np.zeros((len(stamps), 4))
        wheels[1:-1] = np.column_stack([-w4, w3, -w2, w1])
        inside = np.append(np.diff(stamps) > 0, True)
        self._commands.notes.append(
            Finding("standstill before the first and after the last command added, not in the file", 2, 1)
        )
        self._poses.notes.append(
            Finding(
                f"frame without a stamp: {rate:g} frames a second (measured {measured:.1f}), commands set to begin"
                f" with the motion at frame {self._first}; the delay of the first motion is lost",
                len(frames),
                1,
            )
        )
        return FieldLog(
            robot=options.robot or "mecanum",
            run=f"{self.number:02d}",
            drive="mecanum",
            pose_t_ns=np.round(frames / rate * SECOND).astype(np.int64),
            pose=np.column_stack([y, -x, wrap_angle(np.radians(heading))]),
            wheel_cmd_t_ns=stamps[inside],
            wheel_cmd=wheels[inside],
            wheel_cmd_unit="raw",
            report=LogReport((self._commands.report(), self._poses.report())),
        )


def moving_frames(values: FloatArray, where: str) -> tuple[int, int]:
    """Return the first and last frame of the longest motion, at half of its speed.

    Args:
        values: (N, 4) frame number, x [m], y [m], heading [degrees].
        where: names the file in errors.

    Raises:
        InputError: the robot never moves for half a second.
    """
    frames, position, heading = values[:, 0], values[:, 1:3], np.unwrap(np.radians(values[:, 3]))
    if len(frames) < 4 * _SPAN:
        raise InputError("too few frames to tell when the robot moves", where=where)
    step = position[2 * _SPAN :] - position[: -2 * _SPAN]
    turn = heading[2 * _SPAN :] - heading[: -2 * _SPAN]
    speed = np.sqrt((step**2).sum(axis=1) + (_REACH * turn) ** 2) / (frames[2 * _SPAN :] - frames[: -2 * _SPAN])
    fast = np.flatnonzero(speed > 0.5 * np.percentile(speed, 70))
    parts = np.split(fast, np.flatnonzero(np.diff(fast) > _BRIDGED) + 1)
    longest = max(parts, key=len)
    if len(longest) < 30 or np.percentile(speed, 70) < 1e-4:
        raise InputError("the robot never moves: this take tells nothing", where=where, mend="leave the take out")
    return int(frames[longest[0] + _SPAN]), int(frames[longest[-1] + _SPAN])
