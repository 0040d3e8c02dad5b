"""The navigator: drives one robot from goal to goal."""

from __future__ import annotations

from ..episodes.policy import EpisodeInfo, Observation


class Navigator:
    """A* on the map, regulated pure pursuit and a lidar safety stop.

    Args:
        careful: False switches off everything that looks at the lidar: the robot drives through whatever is not on
            its map.
    """

    def __init__(self, *, careful: bool = True) -> None:
        self._careful = careful

    def reset(self, info: EpisodeInfo) -> None:
        """Forget everything and prepare for an episode."""
        self._info = info

    def act(self, observation: Observation) -> tuple[float, float]:
        """Return the command v [m/s], omega [rad/s] for the next control period."""
        return 0.0, 0.0
