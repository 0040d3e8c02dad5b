"""The straight run of an Omron LD-250, and the Isaac Sim runs that came with it, which are marked as simulated.

``real_straight_*.csv``: ``t,x,y,yaw,vx`` at 10 Hz from the robot's own localisation, heading in steps of one degree;
``isaac_sim_runs/nav2_run_N.csv``: the same columns from a simulator. The speed column is the derivative of x and tells
nothing that the poses do not.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from ..fieldlog import FieldLog
from .delimited import read_csv
from .options import ReadOptions

_REAL = re.compile(r"real_straight_\w+\.csv")
_SIMULATED = re.compile(r"nav2_run_(\d+)\.csv")


def omron_files(path: Path) -> list[Path]:
    """Return the files of such a set, in order: the real run, or the runs of its simulator; none if this is no such."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    for form in (_REAL, _SIMULATED):
        found = [item for item in files if form.fullmatch(item.name)]
        if found:
            return found
    return []


def read_omron(path: Path, options: ReadOptions) -> list[FieldLog]:
    """Read the real run, or the simulated ones (``simulated`` is set); raises as ``read_csv`` does."""
    logs = []
    for item in omron_files(path):
        number = _SIMULATED.fullmatch(item.name)
        known = options.model_copy(
            update={
                "robot": options.robot or "omron_ld250",
                "drive": options.drive or "differential",
                "pose_source": options.pose_source or "localisation",
                "simulated": number is not None,
            }
        )
        logs += [replace(log, run=number[1] if number else "") for log in read_csv(item, known)]
    return logs
