"""The windows of the robots' lidars: dirt on them, things before them, sensors that have died.

A policy learns of none of this but through its scans.

Light passes a window twice, out and back again. What is left of the signal must still be over the threshold of
detection, as in ``perception.lidar_signal``: a pulse of intensity a (reflectivity times cosine of incidence) at range r
is lost if ``(1 - loss) a / 0.1 (R10 / r)^2 < 1 + detection_noise n``, n standard normal, R10 the range at which targets
of 10 % reflectivity are detected; a lidar that does not state it is taken to see them as far as its ``range_max``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..common.geometry import wrap_angle
from ..common.seeding import generator
from ..perception.config import LidarConfig
from .routes import FloatArray

Ranges = NDArray[np.float32]

HAZE = 0.3
"""Mean distance from ``range_min`` on [m] at which light that dirt scatters back seems to come from; exponential."""


@dataclass(frozen=True)
class Dirt:
    """What is on, or before, part of a window.

    Attributes:
        bearing: middle of the part, counter-clockwise from the lidar's x axis; sector: its width [rad].
        loss: share of the light that is lost, out and back again.
        short_returns: share of the beams there that come back from the dirt itself.
        distance: of something opaque before the window [m]: nothing is seen behind it, and nothing of it if it is
            nearer than the lidar can measure; None if there is no such thing.
    """

    bearing: float = 0.0
    sector: float = 2.0 * np.pi
    loss: float = 0.0
    short_returns: float = 0.0
    distance: float | None = None


class Windows:
    """The windows of R robots' lidars.

    Args:
        config: of the lidars. angles: (B,) azimuths of their beams [rad]. robots: R. seed, index: the episode.

    Attributes:
        dirt: what is on each robot's window now; change it at will.
        worn: (R,) share of the light that wear has taken from the whole window [-].
        dead: how many reasons each robot's lidar has to report nothing; it reports if there is none.
    """

    def __init__(self, config: LidarConfig, angles: FloatArray, robots: int, seed: int, index: int) -> None:
        self._config, self._angles = config, angles
        self._seed, self._index = seed, index
        self._reach = config.range_at_10_percent or config.range_max
        self.dirt: list[list[Dirt]] = [[] for _ in range(robots)]
        self.worn = np.zeros(robots)
        self.dead: Counter[int] = Counter()

    def look_through(self, frame: int, robot: int, ranges: Ranges, intensity: Ranges) -> Ranges | None:
        """Return what a lidar reports through its window; None if it reports nothing at all.

        Args:
            frame: number of the scan. robot: its index.
            ranges: (B,) [m] that a clean lidar would report, inf for nothing; intensity: (B,) of these echoes.
        """
        if self.dead[robot] > 0:
            return None
        dirt, worn = self.dirt[robot], float(self.worn[robot])
        if not dirt and worn <= 0.0:
            return ranges
        chance = generator(self._seed, self._index, f"robots.{robot}.window", frame)
        noise = chance.standard_normal(len(ranges))
        left = np.full(len(ranges), 1.0 - worn)
        for spot in dirt:
            left[self._within(spot)] *= 1.0 - spot.loss
        with np.errstate(divide="ignore", invalid="ignore"):
            signal = left * intensity.astype(np.float64) / 0.1 * (self._reach / ranges) ** 2
        lost = (left < 1.0) & ~(signal >= 1.0 + self._config.detection_noise * noise)
        seen = np.where(lost, np.float32(np.inf), ranges).astype(np.float32)
        for spot in dirt:
            within = self._within(spot)
            if spot.short_returns > 0.0:
                returns = within & (chance.random(len(ranges)) < spot.short_returns)
                haze = self._config.range_min + chance.exponential(HAZE, len(ranges))
                seen = np.where(returns, np.minimum(seen, haze), seen).astype(np.float32)
            if spot.distance is not None:
                measured = spot.distance >= self._config.range_min
                seen[within] = np.minimum(seen[within], spot.distance) if measured else np.inf
        return seen

    def _within(self, spot: Dirt) -> NDArray[np.bool_]:
        return np.abs(wrap_angle(self._angles - spot.bearing)) <= 0.5 * spot.sector + 1e-9
