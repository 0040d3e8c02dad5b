"""What acts in an episode beside the policies: people, belts, disturbances, order desks.

The loop calls every actor of an episode in the order of its list, at the same places of every control step. An actor
that overrides nothing changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .record import Event
from .routes import FloatArray

if TYPE_CHECKING:
    from ..physics.world import World
    from ..robots.fleet import Fleet
    from .crowd import Crowd
    from .people import People
    from .vehicles import Vehicles


class Actor:
    """Something that acts; what it needs of the episode it is given when it is made."""

    def begin(self, step: int, time: float) -> None:
        """Control step ``step`` begins at ``time`` [s]: before anything is logged, sensed or decided."""

    def command(self, time: float, commands: FloatArray) -> None:
        """Change in place what the drives are told (R, 2) v [m/s], omega [rad/s]; the policies have been asked."""

    def advance(self, time: float, period: float) -> None:
        """Move on by ``period`` [s] from ``time`` [s], just before physics does the same."""

    def settle(self, time: float) -> None:
        """Physics has come to ``time`` [s], the end of the control step."""

    def events(self) -> Sequence[Event]:
        """Return everything that the record shall tell, so far."""
        return ()


class Pedestrians(Actor):
    """People on foot: they decide where to go and walk there while physics runs."""

    def __init__(self, people: People | Crowd, fleet: Fleet, world: World, vehicles: Vehicles) -> None:
        self._people, self._fleet, self._world, self._vehicles = people, fleet, world, vehicles
        world.set_people(people.pose, people.velocity)

    def advance(self, time: float, period: float) -> None:
        """Let everybody take a step."""
        before = self._people.pose
        self._vehicles.update(self._fleet.pose, self._fleet.velocity)
        self._people.step(self._vehicles, period)
        before[:, 2] = self._people.yaw
        self._world.set_people(before, self._people.velocity)
