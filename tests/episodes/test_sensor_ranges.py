"""Every setting of a sensor that is a state, not its build, can vary; its bounds are those of the setting itself."""

from typing import Annotated

import pytest
from pydantic import ValidationError

from floorcast.episodes.randomization import sample_scenario
from floorcast.episodes.scenario import Scenario, load_scenario
from floorcast.episodes.sensor_ranges import (
    ACCELEROMETER_UNITS,
    CAMERA_UNITS,
    GYROSCOPE_UNITS,
    LIDAR_UNITS,
    ODOMETRY_UNITS,
)
from floorcast.perception.config import CameraConfig, InertialErrors, LidarConfig, WheelOdometryConfig

BUILD = {
    LidarConfig: {"beams", "angle_min", "angle_max", "elevations", "range_min", "rate", "returns"},
    CameraConfig: {"width", "height", "near", "far", "rate", "supersampling", "blur_samples"},
    InertialErrors: set(),
    WheelOdometryConfig: set(),
}


def is_number(field):
    return field.annotation in (int, float) or getattr(field.annotation, "__origin__", None) is Annotated


@pytest.mark.parametrize(
    ("model", "units"),
    [
        (LidarConfig, LIDAR_UNITS),
        (CameraConfig, CAMERA_UNITS),
        (InertialErrors, GYROSCOPE_UNITS),
        (InertialErrors, ACCELEROMETER_UNITS),
        (WheelOdometryConfig, ODOMETRY_UNITS),
    ],
)
def test_every_number_that_is_not_the_build_can_vary(model, units):
    numbers = {name for name, field in model.model_fields.items() if is_number(field)}
    assert set(units) == numbers - BUILD[model]


@pytest.mark.parametrize(
    ("sensor", "name", "source", "complaint"),
    [
        ("lidar", "dropout", {"distribution": "uniform", "low": 0.5, "high": 1.5, "unit": "1"}, "<= 1"),
        ("lidar", "range_noise", {"distribution": "normal", "mean": 0.0, "std": 0.1, "unit": "m"}, ">= 0"),
        ("lidar", "range_bias", {"distribution": "constant", "value": 2, "unit": "nominal"}, "does not fit"),
        ("lidar", "range_max", {"distribution": "constant", "value": 0, "unit": "m"}, "> 0"),
        ("camera", "noise", {"distribution": "constant", "value": 1, "unit": "m"}, "does not fit"),
        ("camera", "nose", {"distribution": "constant", "value": 1, "unit": "grey"}, "Extra inputs"),
    ],
)
def test_ranges_keep_to_the_bounds_and_units_of_their_setting(sensor, name, source, complaint):
    with pytest.raises(ValidationError) as error:
        Scenario.model_validate({"sensors": {"vary": {sensor: {name: source}}}})
    assert complaint in str(error.value)
    assert name in str(error.value)


def test_single_elements_of_a_setting_can_vary():
    red = {"distribution": "constant", "value": 1.5, "unit": "nominal"}
    right = {"distribution": "constant", "value": -3, "unit": "pixel"}
    small = load_scenario("small").model_dump(mode="json")
    small["sensors"]["vary"]["camera"] = {"white_balance_red": red, "center_offset_x": right}
    small["sensors"]["camera"]["white_balance"] = (0.8, 1.0, 1.2)
    sampled = sample_scenario(Scenario.model_validate(small), 0, 0)
    assert sampled.camera.white_balance == pytest.approx((1.2, 1.0, 1.2))
    assert sampled.camera.center_offset == (-3.0, 0.0)
    assert sampled.values["sensors.camera.white_balance_red"] == pytest.approx(1.2)
