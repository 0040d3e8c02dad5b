"""The predicted distribution of motion on real robots: fitted to three, judged on two that it never saw."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from floorcast.common.geometry import relative
from floorcast.gap.drift import fit_monitor, watch
from floorcast.gap.readers import read_log
from floorcast.gap.replay import DriveReplay, make_windows
from floorcast.gap.response_replay import response_paths
from floorcast.gap.spread import HORIZONS, fit_spread, judge, measure_spread, predict, true_ends
from floorcast.gap.spread_baseline import fit_normal_errors, gains, judge_normal
from floorcast.robots.twin import Twin

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


@pytest.fixture(scope="module")
def logs():
    return read_log(FIELDDATA / "mrclam" / "MRCLAM_Dataset6")


@pytest.fixture(scope="module")
def spread(logs):
    return fit_spread(logs[:3])


def test_crps_is_15_percent_below_constant_gains_with_normal_errors_and_bands_hold(logs, spread):
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


def test_no_sound_robot_drifts_and_one_that_drives_a_tenth_less_far_does(logs, spread):
    parameters = {
        name: {"value": value, "ci_low": value - 0.04, "ci_high": value + 0.04, "identifiable": True, "unit": "-"}
        for name, value in CONSTANT_GAINS.items()
    }
    monitor = fit_monitor(logs[:3], {log.name: CONSTANT_GAINS for log in logs[:3]}, spread)
    assert monitor.by_response
    assert monitor.dispersion > 1.2  # real robots show more than the noise that is fitted to them
    empty = {"logs": [], "trained_on": [], "judged_on": [], "gap_before": [], "gap_after": []}
    provenance = {"tool": "test", "seed": 0, **empty}
    twin = Twin.model_validate(
        {
            "name": "made", "kind": "differential", "parameters": parameters, "provenance": provenance,
            "monitor": {"motion": monitor}, "spread": spread,
        }
    )  # fmt: skip
    for log in logs:
        assert not watch(log, twin).alarm, log.name
        middle = 0.5 * (log.span_ns[1] - log.span_ns[0])
        found = watch(_shortened(log, middle, 0.9), twin)
        assert found.parameter == "linear_gain", log.name
        assert 0.0 < found.at_s - middle / 1e9 < 300.0
        assert found.change == pytest.approx(-0.1, abs=0.05)


def _shortened(log, since_ns, factor):
    """The log of a robot that goes only a part as far from some time on, its turns as they were."""
    step = relative(log.pose[:-1], log.pose[1:])
    step[log.pose_t_ns[1:] - log.span_ns[0] >= since_ns, :2] *= factor
    yaw = log.pose[:-1, 2]
    x = np.cos(yaw) * step[:, 0] - np.sin(yaw) * step[:, 1]
    y = np.sin(yaw) * step[:, 0] + np.cos(yaw) * step[:, 1]
    place = log.pose[0, :2] + np.concatenate([np.zeros((1, 2)), np.cumsum(np.column_stack([x, y]), axis=0)])
    return replace(log, pose=np.column_stack([place, log.pose[:, 2]]))


def _error(windows, path):
    """Errors (K, H, 3) of replayed ends."""
    return true_ends(windows) - relative(path[:, :1], path[:, windows.horizon_steps])
