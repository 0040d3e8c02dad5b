"""What the lidars of a recorded episode measured, scanned again: for exports to other viewers."""

from __future__ import annotations

import numpy as np

from ...common.geometry import quaternion_from_rpy
from ...perception.lidar import Lidar
from ..routes import FloatArray
from ..sensing import ScanQueue
from .playback import Moment, Playback, Rebuilt

OPTICAL = quaternion_from_rpy(-0.5 * np.pi, 0.0, -0.5 * np.pi)
"""From a camera's mount (x forward, z up) to ``camera_optical`` (x right, y down, z forward)."""


class Rescanner:
    """Scans with all lidars in the rebuilt scene, with the noise of then.

    Args:
        playback: the episode. first: control step of the first moment that is asked for.
    """

    def __init__(self, playback: Playback, first: int) -> None:
        self._rebuilt, sampled = Rebuilt(playback), playback.sampled
        lidar = Lidar(sampled.lidar)
        taken = -(-first // playback.scenario.scan_every)
        self._queue = ScanQueue(lidar, sampled.models, 0.0, self._rebuilt.stream, taken)
        self._directions = np.stack([np.cos(lidar.angles), np.sin(lidar.angles), np.zeros(len(lidar.angles))], axis=1)

    def points(self, moment: Moment) -> list[FloatArray]:
        """Return the points (N, 3) [m] that each robot's lidar gives at a moment, in its ``laser`` frame."""
        self._queue.take(self._rebuilt.scene(moment), moment.pose, moment.time, moment.velocity)
        _, ranges = self._queue.newest(moment.time)
        hits = [np.isfinite(row) for row in ranges]
        return [row[hit, None] * self._directions[hit] for row, hit in zip(ranges, hits, strict=True)]
