"""A hall from a log, as ``floorcast gap map`` makes it, and how good it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...layouts.model import Layout
from ..fieldlog import FieldLog
from .map import build_map, require_scans, split_stretches
from .residuals import Residuals, measure_residuals
from .sensor import SensorClass, sensor_class


@dataclass(frozen=True)
class Site:
    """A hall that a log's scans drew.

    Attributes:
        layout: from all scans. judged: one half of the scans held against a map from the other half.
        sensor: what the scans read like.
    """

    layout: Layout
    judged: Residuals
    sensor: SensorClass

    @property
    def rows(self) -> list[tuple[str, str]]:
        """What is known of it, as a table."""
        residual = self.judged.measured - self.judged.expected
        known = np.abs(residual[np.isfinite(residual)])
        return [
            ("what", "value"),
            ("size", f"{self.layout.length:g} x {self.layout.width:g} m"),
            ("walls", str(len(self.layout.walls))),
            ("short pieces", str(len(self.layout.obstacles))),
            ("sensor", self.sensor.profile),
            ("local noise", f"{self.sensor.noise * 1e3:.1f} mm"),
            ("coverage", f"{self.judged.coverage:.1%}"),
            ("residual of the other half", f"{1.4826e3 * float(np.median(known)) if len(known) else 0.0:.1f} mm"),
            *((f"share of {name}", f"{share.value:.1%}") for name, share in self.judged.shares.items()),
            ("short and unexplained", f"{self.judged.short.value:.1%}"),
        ]


def make_site(log: FieldLog, *, seed: int = 0) -> Site:
    """Make a hall from a log with scans and reference poses.

    Raises:
        InputError: no scans, no poses, or too few of them.
    """
    half = split_stretches(log)
    judged = measure_residuals(log, build_map(log, half), ~half, seed=seed)
    whole = build_map(log, np.ones(len(half), np.bool_))
    files = [Path(file.path).name for file in log.report.files]
    layout = whole.to_layout(log.name[:128], ", ".join(files)[:256])
    return Site(layout, judged, sensor_class(require_scans(log)))
