"""The error of the localisation over a long episode, drawn as it is needed."""

from __future__ import annotations

import numpy as np

from ..common.seeding import generator
from .randomization import SampledScenario
from .routes import FloatArray

_PART = 4096
"""Control steps drawn at once."""


class LocalisationErrors:
    """The rows of ``sensing.localisation_errors``, the same numbers, without holding all of them.

    Indexed by control step, or by control step and robot, in order: a step that lies in a part before is gone. What is
    told of a step may be changed in place.

    Args:
        sampled: standard deviations and correlation time. period: of control [s]. seed, index: the episode.
    """

    def __init__(self, sampled: SampledScenario, period: float, seed: int, index: int) -> None:
        self._size = np.array([sampled.position_error, sampled.position_error, sampled.heading_error])
        self._keep = float(np.exp(-period / sampled.error_time))
        self._fresh = float(np.sqrt(1.0 - self._keep * self._keep))
        robots = len(sampled.drives)
        self._streams = [generator(seed, index, f"robots.{robot}.localisation") for robot in range(robots)]
        self._first = -_PART
        self._rows = np.empty((_PART, robots, 3))
        self._last = np.zeros((robots, 3))

    def __getitem__(self, at: int | tuple[int, int]) -> FloatArray:
        """Return the errors (R, 3) x, y [m], yaw [rad] at a control step, or that (3,) of one robot."""
        step = at if isinstance(at, int) else at[0]
        while step >= self._first + _PART:
            self._draw()
        if step < self._first:
            raise IndexError(f"the error of control step {step} is gone; they are told from step {self._first} on")
        row: FloatArray = self._rows[step - self._first]
        return row if isinstance(at, int) else row[at[1]]

    def _draw(self) -> None:
        """Draw the next part: an Ornstein-Uhlenbeck process that goes on from the last row."""
        begun = self._first >= 0
        for robot, stream in enumerate(self._streams):
            noise = stream.standard_normal((_PART, 3))
            value = self._last[robot] if begun else noise[0]
            for k in range(_PART):
                value = self._keep * value + self._fresh * noise[k] if k or begun else noise[0]
                self._rows[k, robot] = value
            self._last[robot] = value
        self._rows *= self._size
        self._first += _PART
