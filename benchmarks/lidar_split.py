"""The split of lidar residuals held to the truth: generated halls with known poses, noise and people.

``python benchmarks/lidar_split.py [SEED]`` makes 16 halls of 300 to 600 m2 (layouts SEED to SEED + 15, by default 100)
and says for each whether the shares of pose and sensor and that of moving things lie within their 95 % intervals.
"""

from __future__ import annotations

import sys

import numpy as np

from floorcast.gap.lidar.map import build_map, split_stretches
from floorcast.gap.lidar.residuals import NO_MAP, SENSOR, Share, measure_residuals
from floorcast.layouts.generator import generate_layout
from floorcast.layouts.recipe import LayoutRecipe
from floorcast.tests.gap.lidar.hall import aisle_tour, run_of

AREAS = (300.0, 400.0, 600.0, 500.0)
NOISES = (0.005, 0.01, 0.02, 0.03)
POSES = (0.01, 0.02, 0.035, 0.05)


def main() -> None:
    """Print a line for each hall and the sums."""
    first = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    total = np.zeros(3, np.int64)
    for k in range(16):
        layout = generate_layout(LayoutRecipe(area=AREAS[k % 4], row_direction="length"), first + k)
        noise, pose = NOISES[(k // 4 + k) % 4], POSES[k % 4]
        run = run_of(
            layout,
            aisle_tour(layout, 1 if k % 2 else 2),
            noise=noise,
            pose_noise=(pose, 0.1 * pose),
            walkers=k % 3,
            seed=k,
        )
        half = split_stretches(run.log)
        found = measure_residuals(run.log, build_map(run.log, half), ~half)
        core = (found.label == SENSOR) & np.isfinite(found.expected_raw)
        raw = np.mean(np.clip((found.measured - found.expected_raw)[core], -0.3, 0.3) ** 2)
        aligned = np.mean((found.measured - found.expected)[core] ** 2)
        sensor = np.mean((found.measured - run.clean[~half])[core] ** 2)
        hidden = run.walker[~half] & (run.clean[~half] < found.expected - found.core)
        moving = hidden.sum() / (found.label != NO_MAP).sum()
        inside = [
            within(found.shares["pose"], 1.0 - aligned / raw),
            within(found.shares["sensor"], sensor / raw),
            within(found.short, moving),
        ]
        total += inside
        print(
            f"hall {first + k}: noise {noise} m, poses {pose} m, people {k % 3}: pose, sensor, moving inside {inside}; "
            f"sensor {1e3 * found.variance['sensor'] ** 0.5:.2f} mm for {1e3 * sensor**0.5:.2f}; "
            f"short {found.short.value:.4f} for {moving:.4f}",
            flush=True,
        )
    print(
        f"within their intervals, of 16: pose {total[0]}, sensor {total[1]}, moving {total[2]} "
        "(without people none is true)"
    )


def within(share: Share, true: float) -> bool:
    """Tell whether a true share lies in an interval."""
    return share.ci_low is not None and share.ci_high is not None and bool(share.ci_low <= true <= share.ci_high)


if __name__ == "__main__":
    main()
