"""A calibration on Ray gives the same twin, bit for bit, whoever did the work."""

import operator

import pytest

from floorcast.cluster.tasks import evaluating
from floorcast.common.errors import InputError
from floorcast.gap.fieldlog import CREATE_MODEL
from floorcast.gap.made import make_log
from floorcast.gap.run import calibrate, monitor_task
from floorcast.robots.twin import load_twin, save_twin

DRIVE = CREATE_MODEL.drive.model_copy(
    update={"linear_gain": 0.95, "angular_gain": 0.93, "command_delay": 0.15, "motor_lag": 0.1}
)


@pytest.mark.slow
def test_no_workers_one_and_two_give_the_same_twin(tmp_path):
    logs = [make_log(DRIVE, seconds=70, seed=number, robot=f"robot{number}") for number in range(3)]
    written = []
    for workers in (0, 1, 2):
        with evaluating(workers) as evaluate_many:
            found = calibrate(
                logs, train=["robot0", "robot1"], seed=3, refits=20, resamples=50, horizons=(1.0, 5.0),
                anchor_every=5.0, evaluate_many=evaluate_many,
            )  # fmt: skip
            save_twin(found.twin, tmp_path / f"{workers}.yaml")
            written.append((tmp_path / f"{workers}.yaml").read_bytes())
            if workers == 1:
                assert evaluate_many(operator.mul, 3, [5, 1, 2]) == [15, 3, 6]
                with pytest.raises(InputError, match="too few"):
                    evaluate_many(monitor_task, ({"robot0": {}}, None), [[logs[0]]])
    assert written[0] == written[1] == written[2]
    twin = load_twin(tmp_path / "2.yaml")
    assert set(twin.family["linear_gain"].robots) == {"robot0", "robot1"}
    assert twin.monitor["motion"].names == [*twin.parameters]
