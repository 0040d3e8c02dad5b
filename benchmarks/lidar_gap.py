"""The lidar gap before and after, with noise fitted in one building and judged in another of the same kind of sensor.

``python benchmarks/lidar_gap.py`` reads the CARMEN logs below ``FLOORCAST_FIELDDATA``. Of each log, every other 3 m of
path makes the map, the others are judged; nothing of the judged building goes into the noise.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

from floorcast.gap.lidar.run import HeldScans, LidarGap, fit_held, hold_scans, judge
from floorcast.gap.readers import read_log
from floorcast.robots.twin import Twin, TwinParameter, TwinProvenance

FILES = {
    "intel": "intel-corrected.log.gz",
    "fr079": "freiburg-079-corrected.log.gz",
    "edmonton": "edmonton-corrected.log.gz",
    "fhw": "fhw-corrected.log.gz",
    "seattle": "seattle-corrected.log.gz",
}
PAIRS = (
    ("intel", "fr079"), ("fr079", "intel"), ("edmonton", "fhw"), ("fhw", "edmonton"),
    # Nothing was chosen for these; noise of one kind of sensor from other buildings.
    ("intel", "seattle"), ("fr079", "seattle"), ("seattle", "intel"), ("seattle", "fr079"),
)  # fmt: skip
ROWS = (
    "bias", "sigma", "sigma_sim", "w1_core", "w1_all", "dropout_diff", "c2st", "dcd", "inliers", "coverage"
)  # fmt: skip


def main() -> None:
    """Print one table for each pair."""
    folder = Path(os.environ.get("FLOORCAST_FIELDDATA", "../shared/fielddata")) / "carmen"
    held, twins = {}, {}
    for name, file in FILES.items():
        log = read_log(folder / file)[0]
        begun = time.process_time()
        held[name] = hold_scans(log)
        print(f"{name}: map and alignment {time.process_time() - begun:.1f} s of processor time", flush=True)
        begun = time.process_time()
        twins[name] = as_twin(name, fit_held([held[name]], 0))
        print(f"{name}: fit {time.process_time() - begun:.1f} s", flush=True)
        for field, item in twins[name].lidar.items():
            interval = "-" if item.ci_low is None else f"{item.ci_low:.4g} to {item.ci_high:.4g}"
            print(
                f"  {field} {item.value:.4g} ({interval}) {item.unit}{'' if item.identifiable else ' not identified'}"
            )
    for fitted, judged in PAIRS:
        compare(fitted, held[judged], twins[fitted], twins[judged])


def compare(fitted: str, held: HeldScans, twin: Twin, own: Twin) -> None:
    """Print the figures of one building for the noise of another."""
    begun = time.process_time()
    gaps = [judge(held, perfect=True), judge(held), judge(held, twin=twin), judge(held, twin=own)]
    name = held.log.name
    short = held.residuals.short
    print(
        f"\n{fitted} -> {name} (unexplained short {short.value:.1%}), {time.process_time() - begun:.1f} s", flush=True
    )
    print("| figure | no noise | data sheet | fitted elsewhere | interval | floor | raw poses | fitted here |")
    for row in ROWS:
        after = gaps[2].metric(f"lidar_{row}")
        cells = [shown(gap, f"lidar_{row}") for gap in gaps[:3]]
        interval = "-" if after.ci_low is None else f"{after.ci_low:.4g} to {after.ci_high:.4g}"
        floor = "-" if after.floor is None else f"{after.floor:.4g}"
        cells += [interval, floor, shown(gaps[2], f"lidar_raw_{row}"), shown(gaps[3], f"lidar_{row}")]
        print(f"| {row} | " + " | ".join(cells) + " |", flush=True)


def shown(gap: LidarGap, name: str) -> str:
    """Return a metric's value as text."""
    return f"{gap.metric(name).value:.4g}"


def as_twin(name: str, lidar: dict[str, TwinParameter]) -> Twin:
    """Return a twin of the lidar alone."""
    provenance = TwinProvenance(
        tool="benchmarks/lidar_gap.py", seed=0, logs=[], trained_on=[name], judged_on=[], gap_before=[], gap_after=[]
    )
    return Twin(name=name, kind="differential", parameters={}, lidar=lidar, provenance=provenance)


if __name__ == "__main__":
    main()
