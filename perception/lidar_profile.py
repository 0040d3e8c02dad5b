"""Lidar settings after real devices: profiles in ``assets/sensors/lidar``, or the user's own files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .config import LidarConfig
from .profiles import load_settings, profile_names


def lidar_profiles() -> tuple[str, ...]:
    """Return the names of the built-in lidar profiles, sorted."""
    return profile_names("lidar")


def load_lidar(name_or_path: str | Path, **changes: Any) -> LidarConfig:
    """Return the settings of a lidar.

    Args:
        name_or_path: a name of ``lidar_profiles()``, or the path of a YAML file (see ``profiles``).
        changes: fields of ``LidarConfig`` that win over the profile's.

    Raises:
        InputError: no such profile (the known ones are listed), or a bad file (named with its lines).
    """
    config = load_settings("lidar", name_or_path, LidarConfig, **changes)
    return config.model_copy(update={"profile": str(name_or_path)})
