"""Which sensor settings and which parts of the light a scenario may randomize, with their units. Loads no simulator.

A range in ``unit: nominal`` multiplies the setting that the scenario gives. What is not listed here is the build of a
sensor (picture size, number of beams, rates), not its state: it is the same in every episode.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

import annotated_types
from pydantic import BaseModel, SerializerFunctionWrapHandler, create_model, model_serializer

from ..common.config import StrictModel
from ..perception.config import ABSENT_BY_DEFAULT, CameraConfig, InertialErrors, LidarConfig, WheelOdometryConfig
from . import distributions as ranges
from .distributions import Quantity


def quantities(model: type[BaseModel], units: dict[str, str]) -> dict[str, Quantity]:
    """Return what ranges of a model's fields must keep to: the field's own bounds, and the unit given here.

    Args:
        model: the settings.
        units: field -> SI unit of its dimension. Nominal units are allowed too where a field cannot be negative.
    """
    found = {}
    for name, unit in units.items():
        bounds = {"minimum": -math.inf, "maximum": math.inf, "above": -math.inf}
        for mark in _marks(model.model_fields[name].annotation, list(model.model_fields[name].metadata)):
            if isinstance(mark, annotated_types.Ge):
                bounds["minimum"] = float(mark.ge)  # type: ignore[arg-type]
            elif isinstance(mark, annotated_types.Gt):
                bounds["above"] = float(mark.gt)  # type: ignore[arg-type]
            elif isinstance(mark, annotated_types.Le):
                bounds["maximum"] = float(mark.le)  # type: ignore[arg-type]
            elif isinstance(mark, annotated_types.Lt):
                bounds["maximum"] = math.nextafter(float(mark.lt), -math.inf)  # type: ignore[arg-type]
        whole = model.model_fields[name].annotation is int
        positive = max(bounds["minimum"], bounds["above"]) >= 0
        found[name] = Quantity(unit, **bounds, whole=whole, relative=positive and not whole)
    return found


def _marks(annotation: Any, marks: list[Any]) -> list[Any]:
    """Return the bounds of a field, also those inside an ``Annotated`` or a pydantic ``Field``."""
    if get_origin(annotation) is Annotated:
        marks = marks + list(get_args(annotation)[1:])
    return [part for mark in marks for part in getattr(mark, "metadata", [mark])]


LIDAR_UNITS: dict[str, str] = {
    "range_max": "m",
    "range_noise": "m",
    "range_noise_growth": "1",
    "range_noise_weak": "m",
    "range_bias": "m",
    "range_drift": "m",
    "range_drift_time": "s",
    "ring_bias": "m",
    "angle_offset": "rad",
    "range_resolution": "m",
    "sweep_time": "s",
    "shared_noise": "m",
    "shared_noise_growth": "1",
    "shared_angle": "rad",
    "clutter_share": "1",
    "clutter_angle": "rad",
    "edge_shift": "rad",
    "edge_mixed": "1",
    "outlier_short": "1/m",
    "outlier_long": "1",
    "outlier_angle": "rad",
    "outlier_least": "m",
    "outlier_short_size": "1",
    "outlier_short_shape": "1",
    "outlier_long_size": "m",
    "outlier_long_shape": "1",
    "dropout": "1",
    "grazing_dropout": "1",
    "range_at_10_percent": "m",
    "detection_noise": "1",
    "dirty_sectors": "1",
    "dirt_loss": "1",
    "divergence_horizontal": "rad",
    "divergence_vertical": "rad",
    "aperture": "m",
    "echo_separation": "m",
    "intensity_noise": "1",
    "intensity_resolution": "1",
    "false_echoes": "1",
    "false_echo_length": "m",
    "crosstalk": "1",
    "film_share": "1",
    "film_gap": "m",
    "film_haze": "1",
    "gloss": "1",
}
"""Fields of a ``LidarConfig`` that a scenario may randomize, with their units."""

CAMERA_UNITS: dict[str, str] = {
    "horizontal_fov": "rad",
    "k1": "1",
    "k2": "1",
    "k3": "1",
    "k4": "1",
    "p1": "1",
    "p2": "1",
    "vignetting": "1",
    "softness": "pixel",
    "dirt": "1",
    "exposure": "1",
    "gain": "1",
    "exposure_target": "1",
    "exposure_percentile": "1",
    "noise": "grey",
    "shot_noise": "grey",
    "full_well": "electron",
    "read_noise": "electron",
    "dark_nonuniformity": "1",
    "gain_nonuniformity": "1",
    "row_nonuniformity": "1",
    "column_nonuniformity": "1",
    "hot_pixels": "1",
    "exposure_time": "s",
    "readout_time": "s",
    "jpeg_quality": "1",
}
"""Fields of a ``CameraConfig`` that a scenario may randomize, with their units."""

CAMERA_ELEMENTS: dict[str, tuple[str, int]] = {
    "white_balance_red": ("white_balance", 0),
    "white_balance_blue": ("white_balance", 2),
    "center_offset_x": ("center_offset", 0),
    "center_offset_y": ("center_offset", 1),
}
"""Ranges of single elements of a ``CameraConfig``'s fields: name -> field and place in it."""

GYROSCOPE_UNITS: dict[str, str] = {
    "noise_density": "rad/s/sqrt(Hz)",
    "bias_instability": "rad/s",
    "bias_time": "s",
    "random_walk": "rad/s2/sqrt(Hz)",
    "turn_on_bias": "rad/s",
    "scale_error": "1",
    "misalignment": "rad",
    "resolution": "rad/s",
    "limit": "rad/s",
}
"""Fields of a gyroscope's ``InertialErrors`` that a scenario may randomize, with their units."""

ACCELEROMETER_UNITS: dict[str, str] = {
    "noise_density": "m/s2/sqrt(Hz)",
    "bias_instability": "m/s2",
    "bias_time": "s",
    "random_walk": "m/s3/sqrt(Hz)",
    "turn_on_bias": "m/s2",
    "scale_error": "1",
    "misalignment": "rad",
    "resolution": "m/s2",
    "limit": "m/s2",
}
"""The same of an accelerometer."""

ODOMETRY_UNITS: dict[str, str] = {
    "rotation_per_rotation": "rad2/rad",
    "rotation_per_metre": "rad2/m",
    "translation_per_metre": "m2/m",
    "translation_per_rotation": "m2/rad",
}
"""Fields of a ``WheelOdometryConfig`` that a scenario may randomize, with their units."""

LIDAR_QUANTITIES = quantities(LidarConfig, LIDAR_UNITS)
CAMERA_QUANTITIES = quantities(CameraConfig, CAMERA_UNITS) | {
    "white_balance_red": Quantity("1", above=0, relative=True),
    "white_balance_blue": Quantity("1", above=0, relative=True),
    "center_offset_x": Quantity("pixel"),
    "center_offset_y": Quantity("pixel"),
}
GYROSCOPE_QUANTITIES = quantities(InertialErrors, GYROSCOPE_UNITS)
ACCELEROMETER_QUANTITIES = quantities(InertialErrors, ACCELEROMETER_UNITS)
ODOMETRY_QUANTITIES = quantities(WheelOdometryConfig, ODOMETRY_UNITS)


class _Ranges(StrictModel):
    """Leaves ranges that are not given, of fields that came later, out of what is written: hashes stay."""

    @model_serializer(mode="wrap")
    def _without_what_is_absent(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        document: dict[str, Any] = handler(self)
        return {key: value for key, value in document.items() if key not in ABSENT_BY_DEFAULT or value is not None}


def optional_ranges(name: str, quantities: dict[str, Quantity], module: str) -> type[BaseModel]:
    """Return a strict model with one optional range for each quantity."""
    fields: dict[str, Any] = {key: (ranges.quantity(check) | None, None) for key, check in quantities.items()}
    return create_model(name, __base__=_Ranges, __module__=module, **fields)


if TYPE_CHECKING:

    class LidarRanges(StrictModel):
        """Optional ranges of ``LIDAR_QUANTITIES``."""

    class CameraRanges(StrictModel):
        """Optional ranges of ``CAMERA_QUANTITIES``."""

    class GyroscopeRanges(StrictModel):
        """Optional ranges of ``GYROSCOPE_QUANTITIES``."""

    class AccelerometerRanges(StrictModel):
        """Optional ranges of ``ACCELEROMETER_QUANTITIES``."""

    class OdometryRanges(StrictModel):
        """Optional ranges of ``ODOMETRY_QUANTITIES``."""

else:
    LidarRanges = optional_ranges("LidarRanges", LIDAR_QUANTITIES, __name__)
    CameraRanges = optional_ranges("CameraRanges", CAMERA_QUANTITIES, __name__)
    GyroscopeRanges = optional_ranges("GyroscopeRanges", GYROSCOPE_QUANTITIES, __name__)
    AccelerometerRanges = optional_ranges("AccelerometerRanges", ACCELEROMETER_QUANTITIES, __name__)
    OdometryRanges = optional_ranges("OdometryRanges", ODOMETRY_QUANTITIES, __name__)


class ImuRanges(StrictModel):
    """What varies of an IMU, drawn once per episode."""

    gyroscope: GyroscopeRanges = GyroscopeRanges()
    accelerometer: AccelerometerRanges = AccelerometerRanges()


class SensorVariation(StrictModel):
    """Optional ranges of sensor settings, drawn once per episode; a range wins over the setting of the same name."""

    lidar: LidarRanges = LidarRanges()
    camera: CameraRanges = CameraRanges()
    imu: ImuRanges = ImuRanges()
    odometry: OdometryRanges = OdometryRanges()
