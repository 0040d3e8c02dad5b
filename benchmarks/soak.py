"""A soak of the sensors: thousands of scans and pictures in changing scenes, and whether memory stays flat.

    python benchmarks/soak.py --thousands 20

Every round places the moving bodies, scans with a 360-beam and a 16 x 1024 lidar, takes a picture with full noise and
labels it; every so often a new scene is built, of another hall, so that tables, grids and scratch memory of all sizes
come and go. The resident set is sampled; growth per thousand rounds is the slope of a line through the samples after
the warm-up (least squares), which does not mind single jumps of the allocator. Exit code 1 if it is above the bound.
"""

from __future__ import annotations

import argparse
import gc
import resource
import sys
import time
from pathlib import Path

import numpy as np

from floorcast.perception.bench.hall import BenchHall, bench_hall, camera_pose, lidar_pose
from floorcast.perception.bench.ours import noisy
from floorcast.perception.camera import Camera
from floorcast.perception.config import CameraConfig, LidarConfig, Lighting
from floorcast.perception.labels import label_frame
from floorcast.perception.lidar import Lidar
from floorcast.perception.scene import Scene

BOUND_MB = 1.0
"""Growth that is allowed [MB per thousand rounds]."""
WARM_UP = 0.25
"""Share of the rounds, at the beginning, that is not judged: caches fill, the allocator finds its size."""
SAMPLES = 200


def resident_mb() -> float:
    """Return the resident set of this process [MB]."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1e6
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def soak(rounds: int, *, rebuild: int, area: float, tell: bool = True) -> tuple[float, float]:
    """Return growth [MB per thousand rounds] and the resident set at the end [MB]."""
    lidars = [
        Lidar(noisy(LidarConfig())),
        Lidar(
            noisy(
                LidarConfig(beams=1024, elevations=tuple(np.radians(np.linspace(-15, 15, 16)).tolist()), range_max=60.0)
            )
        ),
    ]
    cameras = [Camera(noisy(CameraConfig(width=w, height=h))) for w, h in ((128, 128), (160, 120))]
    halls: dict[int, BenchHall] = {}
    every = max(1, rounds // SAMPLES)
    at, used = [], []
    begin = time.perf_counter()
    hall, scene = bench_hall(0, area=area), None
    for k in range(rounds):
        if k % rebuild == 0:
            # Four halls are kept as data (building a layout is not what is soaked); scenes are built anew each time.
            seed = (k // rebuild) % 4
            if seed not in halls:
                halls[seed] = bench_hall(seed, area=area)
            hall = halls[seed]
            scene = Scene(hall.scene.static, hall.scene.moving, hall.scene.body_count)
        assert scene is not None
        round_of_all(hall, scene, lidars, cameras[k % 2], k)
        if k % every == 0:
            gc.collect()
            at.append(k)
            used.append(resident_mb())
            if tell and len(at) % 20 == 1:
                print(f"{k:8d} rounds  {time.perf_counter() - begin:7.1f} s  {used[-1]:8.1f} MB", flush=True)
    judged = np.array(at) >= WARM_UP * rounds
    slope = float(np.polyfit(np.array(at)[judged], np.array(used)[judged], 1)[0])
    return 1e3 * slope, used[-1]


def round_of_all(hall: BenchHall, scene: Scene, lidars: list[Lidar], camera: Camera, k: int) -> None:
    """Place the bodies, scan, take a picture and label it."""
    scene.update(hall.poses[k % len(hall.poses)])
    place = hall.places[k % len(hall.places)]
    for lidar, height in zip(lidars, (0.25, 0.6), strict=True):
        lidar.scan(scene, *lidar_pose(place, height), stream=k, sensor=0, frame=k)
    frame = camera.render(scene, *camera_pose(place), Lighting(), stream=k, sensor=1, frame=k)
    label_frame(frame, scene.world_primitives())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--thousands", type=float, default=10.0, help="thousands of rounds (default 10)")
    parser.add_argument(
        "--rebuild", type=int, default=100, help="rounds after which a new scene is built (default 100)"
    )
    parser.add_argument("--area", type=float, default=1000.0, help="of the halls [m2] (default 1000)")
    parser.add_argument("--bound", type=float, default=BOUND_MB, help="growth allowed [MB per thousand rounds]")
    options = parser.parse_args()
    rounds = round(1000 * options.thousands)
    growth, end = soak(rounds, rebuild=options.rebuild, area=options.area)
    verdict = "flat" if growth <= options.bound else "GROWS"
    print(
        f"{rounds} rounds of two scans, a picture and its labels: {end:.0f} MB at the end, {growth:+.3f} MB per "
        f"thousand rounds after warm-up (bound {options.bound:g}): {verdict}"
    )
    sys.exit(0 if growth <= options.bound else 1)


if __name__ == "__main__":
    main()
