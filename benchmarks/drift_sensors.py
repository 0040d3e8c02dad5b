"""How the drift monitor of lidar and odometry does on real buildings, sound and with injected changes.

Of each CARMEN log the first part calibrates and the rest is watched: as it is, then with a change put into all of it.
The lidar's bias is watched against a map of the first part too, as a site's own map would be.

    python benchmarks/drift_sensors.py --share 0.5
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from floorcast.common.geometry import relative
from floorcast.common.seeding import generator
from floorcast.gap.drift_sensors import sound_sensors, watch_sensors
from floorcast.gap.fieldlog import SECOND, FieldLog
from floorcast.gap.holdout import hold_out
from floorcast.gap.lidar.map import LidarMap, build_map
from floorcast.gap.lidar.run import hold_scans
from floorcast.gap.lidar.sensor import local_noise
from floorcast.gap.odometry import fit_odometry
from floorcast.gap.readers import read_log
from floorcast.robots.twin import Twin, TwinProvenance

BUILDINGS = ("intel", "freiburg-079", "edmonton", "fhw", "seattle")


def scans_changed(log: FieldLog, change: Callable[[np.ndarray], np.ndarray]) -> FieldLog:
    """Return the log with its ranges (S, B) changed."""
    assert log.scans is not None
    return replace(log, scans=replace(log.scans, ranges=change(log.scans.ranges).astype(np.float32)))


def odometry_changed(log: FieldLog, travel: float, turn: float) -> FieldLog:
    """Return the log with travel and turns of its odometry scaled."""
    step = relative(log.odom[:-1], log.odom[1:])
    yaw = log.odom[0, 2] + np.concatenate([[0.0], np.cumsum(turn * step[:, 2])])
    moved = travel * (step[:, 0] + 1j * step[:, 1]) * np.exp(1j * yaw[:-1])
    place = log.odom[0, 0] + 1j * log.odom[0, 1] + np.concatenate([[0.0], np.cumsum(moved)])
    return replace(log, odom=np.column_stack([place.real, place.imag, np.angle(np.exp(1j * yaw))]))


def injected(name: str, log: FieldLog) -> FieldLog:
    """Return the log with a named change."""
    rng = generator(0, "benchmark", name)
    if name.startswith("odometry"):
        _, what, size = name.split()
        gain = 1.0 + float(size.removesuffix("%")) / 100.0
        return odometry_changed(log, gain if what == "travel" else 1.0, gain if what == "turn" else 1.0)
    assert log.scans is not None
    if name == "noise x2":
        sigma = np.sqrt(3.0) * local_noise(log.scans)
        return scans_changed(log, lambda r: r + sigma * rng.standard_normal(r.shape))
    if name == "dropout +5":
        return scans_changed(log, lambda r: np.where(rng.random(r.shape) < 0.05, np.nan, r))
    if name == "bias +30 mm":
        return scans_changed(log, lambda r: r + 0.03)
    return scans_changed(log, lambda r: 1.01 * r) if name == "range +1 %" else log


CHANGES = (
    "none", "bias +30 mm", "range +1 %", "noise x2", "dropout +5", "odometry turn -5%", "odometry turn -10%",
    "odometry travel +5%",
)  # fmt: skip


def watched(twin: Twin, log: FieldLog, site: LidarMap | None) -> str:
    """Watch a log and return what was said and after how many metres."""
    report = watch_sensors(log, twin, hold_scans(log, layout=site).residuals)
    if report is None:
        return "not watched"
    if not report.alarm or report.at_s is None:
        return "-"
    inside = (log.pose_t_ns - log.pose_t_ns[0]) / SECOND <= report.at_s
    metres = np.hypot(*np.diff(log.pose[inside, :2], axis=0).T).sum()
    also = f" (also {', '.join(report.also)})" if report.also else ""
    return f"{report.parameter} after {metres:.0f} m, {report.change:+.3g}{also}"


def main() -> None:
    """Print what the monitor says of each building and change."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=0.5)
    parser.add_argument("--buildings", default=",".join(BUILDINGS))
    parser.add_argument("--changes", default=",".join(CHANGES))
    options = parser.parse_args()
    root = Path(os.environ.get("FLOORCAST_FIELDDATA", "../shared/fielddata")) / "carmen"
    for building in options.buildings.split(","):
        begun = time.process_time()
        split = hold_out(read_log(root / f"{building}-corrected.log.gz"), options.share)
        (first,), (rest,) = split.trained, split.judged
        odometry = fit_odometry(first, share=0.999)
        provenance = TwinProvenance(
            tool="benchmark", seed=0, logs=[], trained_on=[first.name], judged_on=[rest.name], gap_before=[],
            gap_after=[],
        )  # fmt: skip
        twin = Twin(
            name=building, kind="differential", parameters={}, odometry=odometry, provenance=provenance,
            sensor_monitor=sound_sensors([first], odometry),
        )  # fmt: skip
        assert first.scans is not None
        site = build_map(first, np.ones(len(first.scans), np.bool_))
        for change in options.changes.split(","):
            log = injected(change, rest)
            print(f"{building:13s} {change:20s} own map: {watched(twin, log, None)}", flush=True)
            if change in ("none", "bias +30 mm", "range +1 %"):
                print(f"{building:13s} {change:20s} map of the first part: {watched(twin, log, site)}", flush=True)
        print(f"{building:13s} {time.process_time() - begun:.1f} s", flush=True)


if __name__ == "__main__":
    main()
