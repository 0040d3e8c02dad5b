"""Sensor profiles: settings of real devices as YAML files, each figure with its unit and its source.

A profile looks like this::

    schema_version: 1
    device: Example scanner
    sources: {sheet: "Example AG, data sheet 123, 2020-01"}
    settings:
      range_noise: {value: 12, unit: mm, source: sheet, note: "one sigma"}
      dropout: {value: 0.001, source: assumed}
"""

from __future__ import annotations

import difflib
import math
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError, model_validator

from ..common.config import StrictModel, load_model, yaml_lines
from ..common.errors import InputError

PROFILE_FOLDER = Path(__file__).resolve().parent.parent / "assets" / "sensors"

ASSUMED = "assumed"
"""The source of figures that no document gives: typical of the kind of device."""

UNITS: dict[str, float] = {
    "1": 1.0,
    "m": 1.0,
    "mm": 0.001,
    "s": 1.0,
    "ms": 0.001,
    "Hz": 1.0,
    "rad": 1.0,
    "mrad": 0.001,
    "deg": math.pi / 180.0,
    "rad/s": 1.0,
    "deg/s": math.pi / 180.0,
    "deg/h": math.pi / 180.0 / 3600.0,
    "deg/s/sqrt(Hz)": math.pi / 180.0,
    "rad/s/sqrt(Hz)": 1.0,
    "rad/s2/sqrt(Hz)": 1.0,
    "m/s2": 1.0,
    "m/s2/sqrt(Hz)": 1.0,
    "m/s3/sqrt(Hz)": 1.0,
    "g": 9.80665,
    "mg": 9.80665e-3,
    "ug": 9.80665e-6,
    "ug/sqrt(Hz)": 9.80665e-6,
    "%": 0.01,
}
"""Unit of a figure -> factor to SI."""

Settings = TypeVar("Settings", bound=BaseModel)


class Figure(StrictModel):
    """One setting of a device, as its document gives it."""

    value: float | int | bool | str | tuple[float, ...]
    unit: Literal[tuple(UNITS)] = "1"  # type: ignore[valid-type]
    """Unit of ``value``; converted to SI."""
    source: Annotated[str, Field(min_length=1)]
    """One of the profile's ``sources``, or ``assumed``."""
    note: str = ""

    def si(self) -> Any:
        """Return the value in SI units; words, whole numbers without a unit and switches as they are."""
        if self.unit == "1" or isinstance(self.value, str | bool):
            return self.value
        factor = UNITS[self.unit]
        if isinstance(self.value, tuple):
            return tuple(v * factor for v in self.value)
        return self.value * factor


class Profile(StrictModel):
    """Settings of a device and where they come from."""

    schema_version: Literal[1] = 1
    device: Annotated[str, Field(min_length=1)]
    description: str = ""
    sources: dict[str, str] = Field(default_factory=dict)
    """Short name -> document: title, number, revision or date."""
    settings: dict[str, Figure]

    @model_validator(mode="after")
    def _sources_exist(self) -> Profile:
        for name, figure in self.settings.items():
            if figure.source != ASSUMED and figure.source not in self.sources:
                known = ", ".join([*self.sources, ASSUMED])
                raise ValueError(f"settings.{name}.source: no source '{figure.source}' (known: {known})")
        return self


def profile_names(kind: str) -> tuple[str, ...]:
    """Return the names of the built-in profiles of a kind of sensor (``lidar``, ``imu``, ``wheels``), sorted."""
    return tuple(sorted(path.stem for path in (PROFILE_FOLDER / kind).glob("*.yaml")))


def profile_path(kind: str, name_or_path: str | Path) -> Path:
    """Return the file of a profile.

    Args:
        kind: kind of sensor. name_or_path: a built-in name, or a path (anything with a slash or a suffix), relative to
            the working directory.

    Raises:
        InputError: no such name; the known ones are listed.
    """
    path = Path(name_or_path)
    if path.name != str(name_or_path) or path.suffix:
        return path
    known = profile_names(kind)
    if str(name_or_path) not in known:
        close = difflib.get_close_matches(str(name_or_path), known, n=1)
        mend = f"did you mean '{close[0]}'? " if close else ""
        raise InputError(
            f"no {kind} profile named '{name_or_path}'", mend=f"{mend}known: {', '.join(known)}; or give a YAML file"
        )
    return PROFILE_FOLDER / kind / f"{name_or_path}.yaml"


def load_profile(kind: str, name_or_path: str | Path) -> Profile:
    """Read a profile.

    Raises:
        InputError: no such profile, or the file is wrong (every wrong field is listed with its line).
    """
    return load_model(profile_path(kind, name_or_path), Profile)


def profile_settings(kind: str, name_or_path: str | Path) -> dict[str, Any]:
    """Return the settings of a profile in SI units, by name; see ``load_profile`` for errors."""
    profile = load_profile(kind, name_or_path)
    settings: dict[str, Any] = {}
    for name, figure in profile.settings.items():
        *groups, last = name.split(".")
        place = settings
        for group in groups:
            place = place.setdefault(group, {})
        place[last] = figure.si()
    return settings


def load_settings(kind: str, name_or_path: str | Path, model: type[Settings], **changes: Any) -> Settings:
    """Return the settings of a device.

    Args:
        kind: kind of sensor. name_or_path: see ``profile_path``. model: the settings' model.
        changes: settings that win over the profile's.

    Raises:
        InputError: as ``load_profile``, or settings that do not fit the model, named with file and line.
    """
    path = profile_path(kind, name_or_path)
    try:
        return model.model_validate({**profile_settings(kind, name_or_path), **changes})
    except ValidationError as error:
        problems = []
        for item in error.errors():
            field = ".".join(str(part) for part in item["loc"])
            line = yaml_lines(path, [("settings", field, "value")])[0] if field else None
            at = f"line {line}, " if line is not None and str(item["loc"][0]) not in changes else ""
            problems.append(f"{at}field '{field or 'settings'}': {item['msg'].removeprefix('Value error, ')}")
        raise InputError(
            f"the profile is no {model.__name__}:\n  - " + "\n  - ".join(problems),
            where=str(path),
            mend="correct the fields named above",
        ) from error


def with_profile(kind: str, data: Any, fields: int) -> Any:
    """Return settings with those of the profile that their ``profile`` names put under them.

    For use in models with a field ``profile``; what is given besides wins. If all ``fields`` are given (settings that
    were written out whole), the profile is not read.

    Raises:
        ValueError: no such profile, or a bad one.
    """
    if not isinstance(data, dict) or not data.get("profile") or len(data) >= fields:
        return data
    try:
        settings = profile_settings(kind, str(data["profile"]))
    except InputError as error:
        raise ValueError(str(error)) from error
    for name, value in data.items():
        below = settings.get(name)
        settings[name] = {**below, **value} if isinstance(below, dict) and isinstance(value, dict) else value
    return settings
