"""Trajectory files as the TUM RGB-D benchmark has them: ``stamp x y z qx qy qz qw`` a line, blank or comma between.

A file of that form is one trajectory: of poses that an external tracker or a SLAM program found. A folder with
``groundtruth*`` and ``estimated*`` (or ``odom*``) files is one run: true poses, and what the robot believed. Heights,
and tilts, are passed over; how large they are is said.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from ...common.geometry import FloatArray, wrap_angle
from ..fieldlog import FieldLog, FileReport, Finding, IntArray, LogReport
from .opening import head_of
from .options import ReadOptions
from .records import read_table, sort_out_times

_TRUTH = re.compile(r"(groundtruth|ground_truth|gt|truth|stamped_groundtruth)[^/]*\.(txt|tum|csv)", re.IGNORECASE)
_BELIEF = re.compile(r"(estimated?|estimate|odom|odometry|stamped_traj_estimate)[^/]*\.(txt|tum|csv)", re.IGNORECASE)
_TILTED = np.radians(5.0)


def looks_like_tum(head: bytes) -> bool:
    """Tell by the first bytes of a file whether it is a trajectory: eight numbers a line that end in a quaternion."""
    rows = []
    for line in head.splitlines()[:60]:
        words = line.replace(b",", b" ").split()
        if not words or words[0].startswith(b"#"):
            continue
        try:
            rows.append([float(word) for word in words])
        except ValueError:
            return False
        if len(rows[-1]) != 8:
            rows.pop()
            break
    if len(rows) < 2:
        return False
    norm = np.linalg.norm(np.array(rows)[:, 4:], axis=1)
    return bool((np.abs(norm - 1.0) < 0.02).mean() > 0.8)


def tum_files(path: Path) -> dict[str, Path]:
    """Return the trajectory files of a run by table (``pose``, ``odom``); none if there is no true trajectory."""
    if path.is_file():
        return {"pose": path} if looks_like_tum(head_of(path)) else {}
    found: dict[str, Path] = {}
    for item in sorted(path.iterdir()):
        for table, form in (("pose", _TRUTH), ("odom", _BELIEF)):
            if item.is_file() and form.fullmatch(item.name) and looks_like_tum(head_of(item)):
                found.setdefault(table, item)
    return found if "pose" in found else {}


def read_tum(path: Path, options: ReadOptions) -> list[FieldLog]:
    """Read a trajectory, or a run of two.

    Raises:
        InputError: a file cannot be read, or has too many bad records.
    """
    tables: dict[str, Any] = {}
    reports = []
    for table, file in tum_files(path).items():
        tables[f"{table}_t_ns"], tables[table], report = _trajectory(file)
        reports.append(report)
    return [
        FieldLog(
            robot=options.robot or re.sub(r"(\.(txt|tum|csv|gz))+$", "", path.name),
            drive=options.drive or "unknown",
            pose_source=options.pose_source or "tracker",
            report=LogReport(tuple(reports)),
            **tables,
        )
    ]


def _trajectory(path: Path) -> tuple[IntArray, FloatArray, FileReport]:
    table = read_table(path, 8, rewrite=lambda data: data.replace(b",", b" "))
    table.drop(
        np.abs(np.linalg.norm(table.values[:, 4:], axis=1) - 1.0) > 0.05, "record whose quaternion is not of length one"
    )
    t_ns = sort_out_times(table)
    x, y, z, w = table.values[:, 4:].T
    yaw = np.arctan2(2.0 * (w * z + x * y), w * w + x * x - y * y - z * z)
    tilt = np.arccos(np.clip(1.0 - 2.0 * (x * x + y * y), -1.0, 1.0))
    if np.median(tilt) > _TILTED:
        told = f"body tilted by {np.degrees(np.median(tilt)):.0f} degrees (median): is z up? only yaw is used"
        table.notes.append(Finding(told, int((tilt > _TILTED).sum()), int(table.line[0])))
    if np.ptp(table.values[:, 3]) > 0.1:
        told = f"height changes by {np.ptp(table.values[:, 3]):.2f} m and is passed over"
        table.notes.append(Finding(told, len(t_ns), int(table.line[0])))
    pose = np.column_stack([table.values[:, 1], table.values[:, 2], wrap_angle(yaw)])
    return t_ns, pose, table.report()
