import pytest
import yaml

from floorcast.common.config import to_yaml
from floorcast.common.errors import InputError
from floorcast.robots.load import load_robot
from floorcast.robots.model import RobotModel
from floorcast.robots.tricycle import TricycleParameters
from floorcast.robots.twin import Twin, load_twin, save_twin

SOURCE = {"file": "Robot1_Odometry.dat", "robot": "robot1", "sha256": "ab" * 32}
ROW = {
    "name": "pos_end_err", "robot": "robot4", "horizon_s": 5.0, "value": 0.02, "ci_low": None, "ci_high": None, "n": 3,
    "floor": None, "ratio": None, "unit": "m",
}  # fmt: skip


def data(**changes):
    content = {
        "name": "site-a",
        "version": 2,
        "kind": "differential",
        "parameters": {
            "linear_gain": {"value": 0.96, "ci_low": 0.94, "ci_high": 0.98, "identifiable": True, "unit": "-"},
            "command_delay": {"value": 0.13, "ci_low": 0.07, "ci_high": 0.18, "identifiable": False, "unit": "s"},
        },
        "provenance": {
            "tool": "floorcast 0.1.0",
            "seed": 0,
            "logs": [SOURCE],
            "trained_on": ["robot1"],
            "judged_on": ["robot4"],
            "gap_before": [ROW],
            "gap_after": [ROW],
        },
    }
    content.update(changes)
    return content


def write(path, content):
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def test_a_twin_survives_its_file(tmp_path):
    twin = Twin.model_validate(data())
    save_twin(twin, tmp_path / "twin.yaml")
    again = load_twin(tmp_path / "twin.yaml")
    assert again == twin
    assert to_yaml(again) == (tmp_path / "twin.yaml").read_text()
    assert again.values == {"linear_gain": 0.96, "command_delay": 0.13}


def test_applying_changes_what_it_names_and_nothing_else():
    model = RobotModel()
    found = Twin.model_validate(data()).apply(model)
    assert found.drive.linear_gain == 0.96
    assert found.drive.command_delay == 0.13
    restored = found.drive.model_copy(
        update={"linear_gain": model.drive.linear_gain, "command_delay": model.drive.command_delay}
    )
    assert found.model_copy(update={"drive": restored}) == model


def test_a_tricycle_twin_applies_to_tricycles_only():
    parameter = {"value": 0.56, "identifiable": True, "unit": "-"}
    twin = Twin.model_validate(data(kind="tricycle", parameters={"k_steer": parameter}))
    assert twin.apply_tricycle(TricycleParameters()).k_steer == 0.56
    with pytest.raises(InputError, match="is of a tricycle robot"):
        twin.apply(RobotModel())
    with pytest.raises(InputError, match="is of a differential robot"):
        Twin.model_validate(data()).apply_tricycle(TricycleParameters())


def test_twins_of_all_kinds_change_their_drives():
    known = {"identifiable": True, "unit": "-"}
    truck = Twin.model_validate(
        data(
            kind="tricycle",
            parameters={
                "k_steer": {"value": 0.56, **known},
                "axis_length": {"value": 1.21, **known},
                "steer_offset": {"value": 0.02, **known},
                "motor_lag": {"value": 0.2, **known},
            },
        )
    ).apply(load_robot("forklift"))
    drive = truck.drive
    assert (drive.wheel_base, drive.steering_offset, drive.motor_lag, drive.steering_gain) == (1.21, 0.02, 0.2, 1.0)
    assert drive.payload_x == load_robot("forklift").drive.payload_x
    platform = Twin.model_validate(data(kind="mecanum", parameters={"roller_friction": {"value": 0.05, **known}}))
    assert platform.apply(load_robot("mecanum")).drive.roller_friction == 0.05
    with pytest.raises(InputError, match="is of a mecanum robot"):
        platform.apply(load_robot("forklift"))
    with pytest.raises(ValueError, match="no parameter 'roller_friction'"):
        Twin.model_validate(data(parameters={"roller_friction": {"value": 0.05, **known}}))


def test_a_value_that_the_robot_cannot_have_is_refused_when_applied():
    wide = {"track_width": {"value": 1.5, "identifiable": True, "unit": "m"}}
    with pytest.raises(InputError, match="does not fit the robot model"):
        Twin.model_validate(data(parameters=wide)).apply(RobotModel())


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            ("parameters", "linear_gian"),
            {"value": 1.0, "identifiable": True, "unit": "-"},
            "no parameter 'linear_gian'",
        ),
        (("parameters", "friction"), {"value": -1.0, "identifiable": True, "unit": "-"}, "friction"),
        (("parameters", "linear_gain", "ci_low"), 2.0, "upside down"),
        (("parameters", "linear_gain", "ci_low"), None, "both be given"),
        (("parameters", "linear_gain", "value"), float("nan"), "finite"),
        (("provenance", "logs", 0, "sha256"), "1234", "sha256"),
        (("format",), 2, "format"),
        (("colour",), "red", "unknown key"),
        (("version",), 0, "version"),
    ],
)
def test_a_wrong_file_is_refused_by_name_and_field(tmp_path, path, value, message):
    content = data()
    target = content
    for part in path[:-1]:
        target = target[part]
    target[path[-1]] = value
    file = write(tmp_path / "twin.yaml", content)
    with pytest.raises(InputError, match=message) as caught:
        load_twin(file)
    assert caught.value.where == str(file)


def test_a_missing_or_empty_file_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_twin(tmp_path / "none.yaml")
    (tmp_path / "empty.yaml").write_text("")
    with pytest.raises(InputError, match="empty"):
        load_twin(tmp_path / "empty.yaml")
