"""Real buildings: half of each run makes the map, the other half is held against it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from floorcast.gap.lidar.map import build_map, split_stretches
from floorcast.gap.lidar.residuals import SENSOR, measure_residuals, sensor_class
from floorcast.gap.readers import read_log
from floorcast.layouts.validation import check_layout

ROOT = Path(os.environ.get("FLOORCAST_FIELDDATA", Path(__file__).resolve().parents[4] / "shared" / "fielddata"))
pytestmark = [
    pytest.mark.fielddata,
    pytest.mark.slow,
    pytest.mark.skipif(not (ROOT / "carmen").is_dir(), reason=f"no field data at {ROOT} (set FLOORCAST_FIELDDATA)"),
]


@pytest.mark.parametrize(
    ("name", "profiles", "noise", "coverage", "inliers", "changed"),
    [
        ("intel-corrected", {"sick_lms200", "sick_lms291"}, (4, 8), 0.8, 0.93, False),
        ("freiburg-079-corrected", {"sick_lms200", "sick_lms291"}, (6, 12), 0.85, 0.9, False),
        ("edmonton-corrected", {"sick_pls"}, (30, 45), 0.7, 0.86, False),
        ("fhw-corrected", {"sick_pls"}, (20, 30), 0.9, 0.84, True),
    ],
)
def test_buildings_by_their_own_map(name, profiles, noise, coverage, inliers, changed):
    log = read_log(ROOT / "carmen" / f"{name}.log.gz")[0]
    half = split_stretches(log)
    lidar_map = build_map(log, half)
    found = measure_residuals(log, lidar_map, ~half)
    error = (found.measured - found.expected)[np.isfinite(found.measured) & np.isfinite(found.expected)]
    core = error[np.abs(error) <= found.core]
    assert sensor_class(log.scans).profile in profiles
    assert noise[0] < 1e3 * found.noise < noise[1]
    assert found.coverage > coverage
    assert np.mean(np.abs(error) < 0.3) > inliers
    assert abs(core.mean()) < 0.01
    assert 1.4826 * np.median(np.abs(error)) < 3.0 * found.noise
    assert found.changed == changed
    assert any("changed" in line for line in found.notes) == changed
    assert found.alignment.ok.mean() > 0.95
    assert np.mean(found.label == SENSOR) > 0.6
    if name.startswith("fhw"):
        assert check_layout(lidar_map.to_layout(name, f"{name}.log.gz")) == []
