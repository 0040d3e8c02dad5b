"""Whether calibration finds what is true: made robots with known parameters, and how often 95 % intervals hold them.

    python benchmarks/calibration_coverage.py [--trials 40] [--minutes 5] [--robots 3] [--floor rough]

Each trial draws true parameters, makes logs of robots with them (``gap.made``: slip that lasts from seconds to minutes,
bumps, a noisy tracker, jittering clocks), calibrates as the product does and looks whether each interval holds the
truth. With several robots all have the same parameters, so that the mean over robots is known; with ``--differ`` they
differ by a known spread and the mean of the kind is what should be held. Printed by parameter: coverage with its exact
interval, the mean width over 3.92 standard deviations of the estimates' errors (1 would be an interval as narrow as
it can be and still hold), and the bias.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from floorcast.common.seeding import generator
from floorcast.gap.calibration import fit
from floorcast.gap.fieldlog import CREATE_MODEL
from floorcast.gap.made import Slip, make_log
from floorcast.gap.problems import problem_for
from floorcast.validation.statistics import clopper_pearson

FLOORS = {
    "rough": Slip(),
    "smooth": Slip(0.02, 0.04, 1.5, 0.004, 0.008, 60.0, 0.2, 0.002, 0.01),
}
TRUE = {"linear_gain": (0.90, 1.05), "angular_gain": (0.88, 1.05), "command_delay": (0.05, 0.25),
        "motor_lag": (0.05, 0.20)}  # fmt: skip
"""Ranges that the true parameters of a trial are drawn from."""
SPREAD = {"linear_gain": 0.01, "angular_gain": 0.015, "command_delay": 0.01, "motor_lag": 0.01}
"""Standard deviation between robots, with ``--differ``."""


def trial(number: int, robots: int, minutes: float, slip: Slip, differ: bool) -> tuple[dict[str, float], Any]:
    """Make the logs of a trial and fit them. Returns the truth and the fit."""
    rng = generator(11, "coverage", number)
    truth = {name: float(rng.uniform(*ends)) for name, ends in TRUE.items()}
    logs = []
    for robot in range(robots):
        own = {name: value + differ * SPREAD[name] * float(rng.standard_normal()) for name, value in truth.items()}
        logs.append(
            make_log(CREATE_MODEL.drive.model_copy(update=own), seconds=60.0 * minutes, seed=10_000 + number,
                     robot=f"robot{robot}", slip=slip)
        )  # fmt: skip
    return truth, fit(problem_for(logs, 5.0), seed=number, refits=20)


def main() -> None:
    """Run the trials and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--robots", type=int, default=3)
    parser.add_argument("--floor", choices=FLOORS, default="rough")
    parser.add_argument("--differ", action="store_true")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    started = time.process_time()
    errors: dict[str, list[float]] = {name: [] for name in TRUE}
    widths: dict[str, list[float]] = {name: [] for name in TRUE}
    held = dict.fromkeys(TRUE, 0)
    for number in range(chosen.trials):
        truth, found = trial(number, chosen.robots, chosen.minutes, FLOORS[chosen.floor], chosen.differ)
        for item in found.parameters:
            held[item.name] += item.ci_low <= truth[item.name] <= item.ci_high
            errors[item.name].append(item.value - truth[item.name])
            widths[item.name].append(item.ci_high - item.ci_low)
    rows = []
    for name in TRUE:
        interval = clopper_pearson(held[name], chosen.trials)
        spread = float(np.std(errors[name], ddof=1))
        rows.append({
            "parameter": name, "held": held[name], "trials": chosen.trials, "coverage": held[name] / chosen.trials,
            "low": interval.low, "high": interval.high, "bias": float(np.mean(errors[name])), "spread": spread,
            "width": float(np.mean(widths[name])), "width_ratio": float(np.mean(widths[name])) / (3.92 * spread),
        })  # fmt: skip
        print({key: round(value, 4) if isinstance(value, float) else value for key, value in rows[-1].items()})
    total = sum(held.values())
    print(f"all: {total} of {len(TRUE) * chosen.trials} held; {time.process_time() - started:.0f} s of processor time")
    if chosen.json is not None:
        chosen.json.write_text(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
