"""How well the drift monitor keeps quiet on sound logs, and how soon and how rightly it names what moved.

    python benchmarks/drift.py [--clean 100] [--trials 10] [--floor rough] [--json rows.json]

A twin is calibrated on made logs of three robots that differ (``gap.made``), by the product's own calibration. Sound
logs of 15 minutes follow: of those robots, each against its own twin. Then drifts of each parameter, of several sizes,
as a step or a ramp of two minutes, five minutes after the start. Nothing about the made robots is told to the monitor
but the twin. With ``--field FOLDER`` the real MRCLAM robots are watched as well, those that
the twin was fitted to and those it was not.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from floorcast.common.seeding import generator
from floorcast.gap.drift import watch
from floorcast.gap.fieldlog import CREATE_MODEL
from floorcast.gap.made import Change, Slip, make_log
from floorcast.gap.readers import read_log
from floorcast.gap.run import calibrate
from floorcast.robots.model import DriveParameters
from floorcast.robots.twin import Twin
from floorcast.validation.statistics import clopper_pearson

AT = 300.0
"""When a drift begins [s]."""
IN_TIME = 300.0
"""Within so many seconds it should be named."""
SECONDS = 900.0
ROBOTS = 3
FLOORS = {
    "rough": Slip(),
    "smooth": Slip(0.02, 0.04, 1.5, 0.004, 0.008, 60.0, 0.2, 0.002, 0.01),
}
"""How the floor disturbs: ``rough`` is about what the MRCLAM robots show, ``smooth`` a sealed industrial floor."""
DRIFTS = {
    "linear_gain": (-0.03, -0.05, -0.10),
    "angular_gain": (-0.03, -0.05, -0.10),
    "command_delay": (0.05, 0.10),
    "motor_lag": (0.05, 0.10),
}


def true_drive(robot: int) -> DriveParameters:
    """Return the true parameters of a made robot: the kind's, and what this one differs by."""
    rng = generator(7, "drift.robots", robot)
    return CREATE_MODEL.drive.model_copy(
        update={
            "linear_gain": 0.95 + 0.01 * rng.standard_normal(),
            "angular_gain": 0.93 + 0.015 * rng.standard_normal(),
            "command_delay": 0.15 + 0.01 * rng.standard_normal(),
            "motor_lag": 0.10 + 0.01 * rng.standard_normal(),
        }
    )


def made_twin(slip: Slip) -> Twin:
    """Calibrate a twin on a log of each robot."""
    logs = [
        make_log(true_drive(robot), seconds=SECONDS, seed=100, robot=f"robot{robot}", slip=slip)
        for robot in range(ROBOTS)
    ]
    judged = make_log(true_drive(ROBOTS), seconds=120.0, seed=100, robot="judged", slip=slip)
    train = [log.robot for log in logs]
    return calibrate(
        [*logs, judged], train=train, test=["judged"], refits=20, resamples=20, horizons=(1.0, 5.0), spread=False
    ).twin


def clean_logs(twin: Twin, slip: Slip, count: int) -> dict[str, Any]:
    """Watch sound logs."""
    alarms, greatest = [], []
    for number in range(count):
        robot = number % ROBOTS
        log = make_log(true_drive(robot), seconds=SECONDS, seed=1000 + number, robot=f"robot{robot}", slip=slip)
        found = watch(log, twin, seed=number)
        alarms.append(found.alarm)
        greatest.append(max(row.statistic for row in found.rows))
    interval = clopper_pearson(sum(alarms), count)
    return {
        "logs": count, "false_alarms": sum(alarms), "rate_low": interval.low, "rate_high": interval.high,
        "statistic_median": float(np.median(greatest)), "statistic_most": max(greatest),
        "limit": found.rows[0].limit,
    }  # fmt: skip


def drifting_logs(twin: Twin, slip: Slip, parameter: Any, size: float, ramp: float, trials: int) -> dict[str, Any]:
    """Watch logs in which one parameter moves."""
    named: Counter[str] = Counter()
    delays, in_time, alike, covered = [], 0, 0, 0
    for number in range(trials):
        robot = number % ROBOTS
        log = make_log(
            true_drive(robot), seconds=SECONDS, seed=5000 + number, robot=f"robot{robot}", slip=slip,
            changes=[Change(parameter, size, AT, ramp)],
        )  # fmt: skip
        found = watch(log, twin, seed=number)
        named[found.parameter or "none"] += 1
        if found.at_s is None or found.change_low is None or found.change_high is None:
            continue
        late = found.at_s - AT
        delays.append(late)
        right = found.parameter == parameter
        alike += right or parameter in found.also
        in_time += right and 0.0 < late <= IN_TIME
        covered += right and found.change_low <= size <= found.change_high
    interval = clopper_pearson(in_time, trials)
    return {
        "parameter": parameter, "size": size, "ramp_s": ramp, "trials": trials, "alarms": trials - named["none"],
        "named_in_time": in_time, "rate_low": interval.low, "rate_high": interval.high, "named_or_alike": alike,
        "median_delay_s": float(np.median(delays)) if delays else None, "named": dict(named), "covered": covered,
    }  # fmt: skip


def field_logs(folder: Path) -> list[dict[str, Any]]:
    """Watch the real robots that the twin was not fitted to, and those that it was, each against its twin."""
    logs = read_log(folder)
    twin = calibrate(logs).twin
    rows = []
    for log in logs:
        found = watch(log, twin)
        rows.append({"robot": log.robot, "alarm": found.alarm, "says": found.sentence(),
                     "statistic": max(row.statistic for row in found.rows), "limit": found.rows[0].limit})  # fmt: skip
    return rows


def main() -> None:
    """Run it all and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--clean", type=int, default=100)
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--floor", choices=FLOORS, default="rough")
    parser.add_argument("--field", type=Path)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    slip = replace(FLOORS[chosen.floor])
    twin = made_twin(slip)
    rows: list[dict[str, Any]] = []
    if chosen.clean:
        rows.append({"floor": chosen.floor, **clean_logs(twin, slip, chosen.clean)})
        print(rows[-1], flush=True)
    for parameter, sizes in DRIFTS.items() if chosen.trials else ():
        for size in sizes:
            for ramp in (0.0, 120.0):
                rows.append(drifting_logs(twin, slip, parameter, size, ramp, chosen.trials))
                print(rows[-1], flush=True)
    if chosen.field is not None:
        rows += field_logs(chosen.field)
        for row in rows[-5:]:
            print(row, flush=True)
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
