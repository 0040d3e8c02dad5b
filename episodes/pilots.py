"""The policies of an episode: one for each robot, asked once in every control step, blamed for what they answer."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..common.errors import FloorcastError
from .policy import EpisodeInfo, Observation, Policy


class PolicyError(FloorcastError):
    """A policy failed: it raised, or answered something that is no command."""


class Pilots:
    """Policies that are ready for an episode.

    Args:
        make_policy: gives a new policy for each robot.
        name: of the policy, for errors.
        infos: what each robot is told at the start.

    Raises:
        PolicyError: a policy could not be made or reset.
    """

    def __init__(self, make_policy: Callable[[], Policy], name: str, infos: Sequence[EpisodeInfo]) -> None:
        self._name = name
        self._policies = [self._ready(make_policy, robot, info) for robot, info in enumerate(infos)]

    def ask(self, robot: int, step: int, observation: Observation) -> tuple[float, float]:
        """Return a robot's command v [m/s], omega [rad/s].

        Raises:
            PolicyError: it raised, or answered NaN or something that is not two numbers.
        """
        try:
            answer: Any = self._policies[robot].act(observation)
        except Exception as error:
            where = self._where(robot, step, observation)
            raise PolicyError(f"{where}: act raised {type(error).__name__}: {error}") from error
        try:
            v, omega = (float(value) for value in answer)
        except (TypeError, ValueError):
            where = self._where(robot, step, observation)
            raise PolicyError(
                f"{where}: act must return two numbers v [m/s], omega [rad/s], not {_shown(answer)}"
            ) from None
        if not (math.isfinite(v) and math.isfinite(omega)):
            where = self._where(robot, step, observation)
            raise PolicyError(f"{where}: act returned {_shown(answer)}; both numbers must be finite")
        return v, omega

    def _where(self, robot: int, step: int, observation: Observation) -> str:
        return f"policy '{self._name}', robot {robot}, step {step} ({observation.time:.2f} s)"

    def _ready(self, make_policy: Callable[[], Policy], robot: int, info: EpisodeInfo) -> Policy:
        try:
            policy = make_policy()
            policy.reset(info)
        except Exception as error:
            raise PolicyError(
                f"policy '{self._name}' failed to start for robot {robot}: {type(error).__name__}: {error}"
            ) from error
        return policy


def _shown(answer: Any) -> str:
    text = repr(answer)
    return text if len(text) <= 80 else text[:77] + "..."
