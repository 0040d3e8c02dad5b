"""The predicted distribution of motion on real robots: fitted to three, judged on two that it never saw."""

from __future__ import annotations

import numpy as np
import pytest

from floorcast.common.geometry import relative
from floorcast.gap.readers import read_log
from floorcast.gap.replay import DriveReplay, make_windows
from floorcast.gap.response_replay import response_paths
from floorcast.gap.spread import HORIZONS, fit_spread, judge, measure_spread, predict, true_ends
from floorcast.gap.spread_baseline import fit_normal_errors, gains, judge_normal

from .test_fielddata import ROOT as FIELDDATA

pytestmark = [
    pytest.mark.fielddata,
    pytest.mark.slow,
    pytest.mark.skipif(not FIELDDATA.is_dir(), reason=f"no field data at {FIELDDATA}"),
]
CONSTANT_GAINS = {
    "linear_gain": 0.9577, "angular_gain": 0.9471, "command_delay": 0.1342, "motor_lag": 0.0936
}  # fmt: skip
"""What the calibration finds on the three training robots."""


def test_crps_is_15_percent_below_constant_gains_with_normal_errors_and_bands_hold():
    logs = read_log(FIELDDATA / "mrclam" / "MRCLAM_Dataset6")
    spread = fit_spread(logs[:3])
    windows = [make_windows(log, HORIZONS) for log in logs]
    drive = logs[0].model.drive.model_copy(update=CONSTANT_GAINS)
    normal = fit_normal_errors(windows[:3], drive)
    mine = [judge(item, true_ends(item), predict(item, spread)) for item in windows[3:]]
    theirs = [judge_normal(item, normal, "plain", 200, 0) for item in windows[3:]]
    found = [item for item in gains(mine, theirs) if item.robot == "all"]
    assert len(found) == 2 * len(HORIZONS)
    for item in found:
        assert item.value >= 0.15, (item.name, item.horizon_s, item.value)
        assert item.ci_low is not None
        assert item.ci_low > 0.0, (item.name, item.horizon_s, item.ci_low)
    for item in measure_spread(logs[3:], spread):
        if item.robot == "all" and item.name.startswith("band95"):
            # 0.953 to 0.980 when this was written.
            assert 0.93 <= item.value <= 0.985, (item.name, item.horizon_s, item.value)
    ends = [
        np.hypot(*_error(item, response_paths(item, spread))[..., :2].T)[-1][item.valid[:, -1]] for item in windows[3:]
    ]
    by_gains = [
        np.hypot(*_error(item, DriveReplay([item]).simulate(drive))[..., :2].T)[-1][item.valid[:, -1]]
        for item in windows[3:]
    ]
    # Medians after 30 s: 0.070 m and 0.14 m when this was written.
    assert float(np.median(np.concatenate(ends))) < 0.6 * float(np.median(np.concatenate(by_gains)))


def _error(windows, path):
    """Errors (K, H, 3) of replayed ends."""
    return true_ends(windows) - relative(path[:, :1], path[:, windows.horizon_steps])
