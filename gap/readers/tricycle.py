"""Logs of a front-traction tricycle: encoder ticks, and the laser's pose from an external tracker.

One record a line: ``time: S ticks: STEERING TRACTION model_pose: X Y YAW tracker_pose: X Y YAW``, after a header of
``#`` lines that gives the nominal parameters. The steering encoder is absolute; traction counts on and wraps at 32
bits. The tracker's first pose is the laser's, so that (0, 0, 0) is where the laser was, not the rear axle.

The 32-bit count is itself summed from a 16-bit counter: where the reading stalled for so long that the wheel turned
more than 32,767 ticks, the sum runs the wrong way by 65,536. Such steps contradict the speed before and after them
and are mended.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...common.geometry import wrap_angle
from ...robots.tricycle import TricycleParameters, signed_steering, unwrap_traction
from ..fieldlog import SECOND, FieldLog, Finding, IntArray, LogReport
from .records import read_table, sort_out_times

_NUMBER = rb"([-+.\w]+)"
_TRIPLE = rb"\s+".join([_NUMBER] * 3)
_RECORD = re.compile(
    rb"^[ \t]*time:[ \t]*"
    + _NUMBER
    + rb"[ \t]+ticks:[ \t]*"
    + _NUMBER
    + rb"[ \t]+"
    + _NUMBER
    + rb"[ \t]+model_pose:[ \t]*"
    + _TRIPLE.replace(rb"\s", rb"[ \t]")
    + rb"[ \t]+tracker_pose:[ \t]*"
    + _TRIPLE.replace(rb"\s", rb"[ \t]")
    + rb"[ \t]*\r?$",
    re.MULTILINE,
)
_VALUES = re.compile(rb"^#parameter_values:[ \t]*(.+)$", re.MULTILINE)
_MAXIMA = re.compile(rb"^#joints_max_enc_values:[ \t]*(\d+)[ \t]+(\d+)", re.MULTILINE)
_LASER = re.compile(rb"^#[ \t]*translation:[ \t]*\[(.+?)\]", re.MULTILINE)

COUNTER_RANGE = 65536
"""Of the counter that the logged traction is summed from."""
_NEIGHBOURHOOD = SECOND
"""Speed is judged from the steps within this time before and after [ns]."""


def looks_like_tricycle(head: bytes) -> bool:
    """Tell by the first bytes of a file whether it is such a log."""
    return b"#kinematic_model: traction_drive_wheel" in head or _RECORD.search(head) is not None


def read_tricycle(path: Path) -> FieldLog:
    """Read a log.

    Raises:
        InputError: the file cannot be read, is no such log, or has too many bad records.
    """
    header: list[bytes] = []

    def rewrite(data: bytes) -> bytes:
        header.append(data[:4096])
        return _RECORD.sub(rb" ".join(rb"\%d" % group for group in range(1, 10)), data)

    table = read_table(path, 9, rewrite=rewrite, limit=(1e10, 1e10, 1e6, 1e6, 1e6, 1e6, 1e6, 1e6))
    t_ns = sort_out_times(table)
    nominal = _nominal(header[0])
    ticks = table.values[:, 1:3].astype(np.int64)
    traction, mended = mend_counter(t_ns, unwrap_traction(ticks[:, 1]))
    if mended.any():
        line = int(table.line[1:][mended][0])
        table.notes.append(
            Finding("traction count mended after a roll-over of its 16-bit source", int(mended.sum()), line)
        )
    pose = table.values[:, 6:9].copy()
    pose[:, 2] = wrap_angle(pose[:, 2])
    return FieldLog(
        robot="tricycle",
        drive="tricycle",
        pose_frame="laser",
        pose_t_ns=t_ns,
        pose=pose,
        ticks_t_ns=t_ns,
        ticks=np.column_stack([signed_steering(ticks[:, 0], modulus=nominal.steering_ticks), traction]),
        tricycle=nominal,
        report=LogReport((table.report(),)),
    )


def mend_counter(t_ns: IntArray, traction: IntArray) -> tuple[IntArray, NDArray[np.bool_]]:
    """Undo roll-overs of the 16-bit counter that the traction count was summed from.

    A step is mended if it runs against the motion within a second around it, is longer than an eighth of the counter's
    range, and, with one range added, comes at least twice as close to the ticks expected from the mean speed around it
    and the time since the count last changed. No pose is looked at.

    Args:
        t_ns: (N,) int64 stamps.
        traction: (N,) int64 running count.

    Returns:
        the mended running count (N,) and which steps (N - 1,) bool were changed.
    """
    steps = np.diff(traction)
    mended = np.zeros(len(steps), dtype=bool)
    for index in np.flatnonzero(np.abs(steps) > COUNTER_RANGE // 8):
        low = int(np.searchsorted(t_ns, t_ns[index] - _NEIGHBOURHOOD))
        high = int(np.searchsorted(t_ns, t_ns[index + 1] + _NEIGHBOURHOOD, side="right")) - 1
        around = np.delete(steps[low:high], index - low)
        seconds = (t_ns[high] - t_ns[low]) / SECOND
        rate = around.sum() / seconds if seconds > 0 else 0.0
        if rate * steps[index] >= 0:
            continue
        moved = np.flatnonzero(steps[:index])
        since = t_ns[moved[-1] + 1] if len(moved) else t_ns[0]
        expected = rate * (t_ns[index + 1] - since) / SECOND
        fixed = steps[index] + (COUNTER_RANGE if rate > 0 else -COUNTER_RANGE)
        if fixed * rate > 0 and abs(fixed - expected) < 0.5 * abs(steps[index] - expected):
            steps[index] = fixed
            mended[index] = True
    return np.concatenate([traction[:1], traction[0] + np.cumsum(steps)]), mended


def _nominal(header: bytes) -> TricycleParameters:
    """Read the nominal parameters from the header; what it does not give keeps its default."""
    found: dict[str, float] = {}
    values, maxima, laser = _VALUES.search(header), _MAXIMA.search(header), _LASER.search(header)
    try:
        if values:
            names = ("k_steer", "k_traction", "axis_length", "steer_offset")
            found.update(zip(names, (float(value) for value in values[1].split()), strict=False))
        if laser:
            found.update(zip(("sensor_x", "sensor_y"), (float(value) for value in laser[1].split(b",")), strict=False))
    except ValueError:
        found = {}
    if maxima:
        found.update(steering_ticks=int(maxima[1]), traction_ticks=int(maxima[2]))
    return TricycleParameters.model_validate(found)
