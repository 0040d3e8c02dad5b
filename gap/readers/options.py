"""What a user may say about a log that the log does not say itself: topics, columns, units, the kind of drive."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from ...common.config import StrictModel, load_model

Role = Literal["cmd", "odom", "pose", "scan", "wheels", "event"]
"""What a topic is taken for."""
Shifted = Literal["pose", "cmd", "wheel_cmd", "odom", "ticks", "scans", "events"]
"""Tables of a log whose clock may be shifted."""

UNITS: dict[str, float] = {
    "m": 1.0, "cm": 0.01, "mm": 0.001, "ft": 0.3048, "in": 0.0254,
    "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "min": 60.0,
    "rad": 1.0, "deg": 0.017453292519943295, "rev": 6.283185307179586,
    "m/s": 1.0, "cm/s": 0.01, "mm/s": 0.001, "km/h": 1.0 / 3.6,
    "rad/s": 1.0, "deg/s": 0.017453292519943295, "rpm": 0.10471975511965977,
    "raw": 1.0,
}  # fmt: skip
"""Factor to SI of every unit that a column may be said to have."""
QUANTITIES: dict[str, tuple[str, ...]] = {
    "t": ("s", "ms", "us", "ns", "min", "iso8601"),
    "length": ("m", "cm", "mm", "ft", "in"),
    "angle": ("rad", "deg", "rev"),
    "speed": ("m/s", "cm/s", "mm/s", "km/h"),
    "rate": ("rad/s", "deg/s", "rpm"),
    "wheel": ("rad/s", "deg/s", "rpm", "raw"),
}
"""Units by kind of quantity, the first being SI."""


class ReadOptions(StrictModel):
    """How a log is to be read; everything is optional, and readers take what concerns them."""

    format: str | None = None
    """A key of ``readers.FORMATS``; None: found by looking at the file."""
    robot: str | None = None
    """Name of the robot, for formats that do not say."""
    drive: Literal["differential", "tricycle", "mecanum", "unknown"] | None = None
    """What moves the robot, for formats that do not say."""
    pose_source: Literal["tracker", "slam", "localisation"] | None = None
    """What told the poses, for formats that do not say."""
    topics: dict[Role, str] = Field(default_factory=dict)
    """Of a bag: topic by role. Roles that are left out are looked for by the usual names and types."""
    columns: dict[str, str] = Field(default_factory=dict)
    """Of a table: column (name, or number from 1) by field, such as ``{"t": "Zeit", "x": "pos_x", "odom_x": "7"}``."""
    units: dict[str, str] = Field(default_factory=dict)
    """Of a table: unit by field, such as ``{"yaw": "deg", "x": "mm", "t": "ms"}``; SI where left out."""
    delimiter: Literal[",", ";", "\t", "|", " "] | None = None
    """Of a CSV file; None: found by looking."""
    decimal: Literal[".", ","] | None = None
    """Of a CSV file; None: found by looking."""
    shift_s: dict[Shifted, float] = Field(default_factory=dict)
    """Seconds to add to the stamps of a table, where two clocks disagree: ``{"odom": 3600.0}``."""
    simulated: bool | None = None
    """True for a run that a simulator made; None: told by the names of file and folder."""
    max_scans: int | None = Field(default=None, ge=1)
    """Keep at most so many scans, evenly spread over the log."""
    laser_mount: tuple[float, float, float] | None = None
    """Pose of the laser in ``base_link``: x [m], y [m], yaw [rad], for formats that do not say."""

    @field_validator("units")
    @classmethod
    def _units_known(cls, value: dict[str, str]) -> dict[str, str]:
        for field, unit in value.items():
            if unit not in UNITS and unit != "iso8601":
                raise ValueError(f"unknown unit '{unit}' of '{field}' (known: {', '.join([*UNITS, 'iso8601'])})")
        return value


def load_options(path: str | Path) -> ReadOptions:
    """Read options from a YAML file.

    Raises:
        InputError: the file is missing, is not YAML or has a field that does not fit; names it and its line.
    """
    return load_model(path, ReadOptions)
