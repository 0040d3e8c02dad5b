"""The relations metric: on made poses, and on the real runs beside what was published."""

import math
import os
from pathlib import Path

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.gap.readers import read_log
from floorcast.gap.relations import PUBLISHED, find_offset, measure_relations, read_relations

from .test_odometry import make_run

ROOT = Path(os.environ.get("FLOORCAST_FIELDDATA", Path(__file__).resolve().parents[3] / "shared" / "fielddata"))


def write_relations(path, log, ahead, error=0.0, count=400):
    """Relations of a log's own poses, by homogeneous matrices, on a clock that is ``ahead``."""
    rng = np.random.default_rng(0)
    lines = []
    for _ in range(count):
        i = int(rng.integers(0, len(log.pose) - 60))
        j = i + int(rng.integers(1, 60))
        matrices = []
        for x, y, yaw in (log.pose[i], log.pose[j]):
            c, s = math.cos(yaw), math.sin(yaw)
            matrices.append(np.array([[c, -s, x], [s, c, y], [0, 0, 1]]))
        step = np.linalg.inv(matrices[0]) @ matrices[1]
        yaw = math.atan2(step[1, 0], step[0, 0])
        t = [log.pose_t_ns[k] / 1e9 + ahead for k in (i, j)]
        lines.append(f"{t[0]:.6f} {t[1]:.6f} {step[0, 2] + error:.9f} {step[1, 2]:.9f} 0 0 0 {yaw:.9f}\n")
    path.write_text("".join(lines))
    return read_relations(path)


@pytest.mark.parametrize("ahead", [0.0, 1234.5, -0.8])
def test_a_constant_error_is_measured_whatever_the_clock(tmp_path, ahead):
    log = make_run(0, count=3000)
    relations = write_relations(tmp_path / "made.relations", log, ahead, error=0.05)
    assert find_offset(log, relations) == pytest.approx(ahead, abs=0.06)
    rows = {row.name: row for row in measure_relations(log, relations, offset=ahead).metrics}
    assert rows["relation_pos_err"].value == pytest.approx(0.05, abs=1e-5)
    assert rows["relation_pos_err_std"].value == pytest.approx(0.0, abs=1e-5)
    assert rows["relation_yaw_err"].value == pytest.approx(0.0, abs=1e-5)
    found = measure_relations(log, relations)
    assert found.found
    assert found.metrics[0].value == pytest.approx(0.05, abs=0.02)


def test_relations_of_another_run_are_refused(tmp_path):
    relations = write_relations(tmp_path / "other.relations", make_run(1, count=3000), 50.0)
    with pytest.raises(InputError, match="no clock offset"):
        measure_relations(make_run(2, count=3000), relations)
    with pytest.raises(InputError, match="relations lie within"):
        measure_relations(make_run(2, count=3000), relations, offset=1e7)


@pytest.mark.slow
@pytest.mark.fielddata
@pytest.mark.skipif(not (ROOT / "carmen").is_dir(), reason=f"no field data at {ROOT} (set FLOORCAST_FIELDDATA)")
@pytest.mark.parametrize(
    ("run", "log", "clock", "mean", "spread"),
    [
        ("intel", "intel-corrected", 976052857.337284, 0.064, 0.079),
        ("fr079", "freiburg-079-corrected", 1211.504444, 0.073, 0.057),
    ],
)
def test_the_published_accuracy_of_two_runs(run, log, clock, mean, spread):
    (log,) = read_log(ROOT / "carmen" / f"{log}.log.gz")
    relations = read_relations(ROOT / "carmen" / f"{run}.relations")
    given = {row.name: row for row in measure_relations(log, relations, offset=clock).metrics}
    assert given["relation_pos_err"].value == pytest.approx(mean, abs=0.001)
    assert given["relation_pos_err_std"].value == pytest.approx(spread, abs=0.001)
    # With the clocks matched by the turns, the published figures come out.
    result = measure_relations(log, relations)
    found = {row.name: row for row in result.metrics}
    assert abs(result.offset - clock) < 0.1
    published = PUBLISHED[run]
    assert found["relation_pos_err"].value == pytest.approx(published[0], abs=0.003)
    assert found["relation_pos_err_std"].value == pytest.approx(published[1], abs=0.004)
