"""Contacts as a safety engineer counts them: one report for each touch of a pair, not one for each step."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Contact:
    """A robot touched something.

    Attributes:
        time: [s] since the reset of the world.
        robot: index of the robot. Two robots that touch each give a report.
        other_class: class name of the other party ("rack", "wall", "person", "amr", "box", ...).
        other_id: its layout id; "person_2" and "amr_1" for people and robots by index.
        speed: relative speed [m/s] along the contact normal just before the touch, >= 0.
        impulse: normal impulse [N s], summed from the touch on over at most ``PhysicsSettings.impact_time``. With a
            person: closing speed times the reduced mass of both (the two-body model of ISO/TS 15066, annex A).
        position: x, y [m] in ``map``.
    """

    time: float
    robot: int
    other_class: str
    other_id: str
    speed: float
    impulse: float
    position: tuple[float, float]


@dataclass
class _Touch:
    start: float
    last: float
    speed: float
    impulse: float
    position: tuple[float, float]
    reported: bool = False


class ContactTracker:
    """Joins the contact points of single steps into contacts.

    Args:
        pause: two touches of a pair closer in time than this [s] are one contact.
        impact_time: how long the impulse is summed [s].
    """

    def __init__(self, pause: float, impact_time: float) -> None:
        self._pause = pause
        self._impact_time = impact_time
        self._touches: dict[tuple[int, str, str], _Touch] = {}
        self._ended: list[Contact] = []

    def clear(self) -> None:
        """Forget everything."""
        self._touches.clear()
        self._ended.clear()

    @property
    def waiting(self) -> bool:
        """Whether there are contacts that ``take`` has not returned yet."""
        return bool(self._ended) or any(not touch.reported for touch in self._touches.values())

    def goes_on(self, time: float, robot: int, other: tuple[str, str]) -> bool:
        """Return whether a touch of this pair at ``time`` [s] would go on from an earlier one."""
        known = self._touches.get((robot, *other))
        return known is not None and time - known.last <= self._pause

    def touch(
        self,
        time: float,
        robot: int,
        other: tuple[str, str],
        speed: float,
        impulse: float,
        position: tuple[float, float],
    ) -> None:
        """Count what one step saw of a pair: speed [m/s] before the step and normal impulse [N s] of the step."""
        key = (robot, *other)
        known = self._touches.get(key)
        if known is not None and time - known.last > self._pause:
            self._end(key, known)
            known = None
        if known is None:
            self._touches[key] = _Touch(time, time, speed, impulse, position)
            return
        known.last = time
        if time - known.start < self._impact_time:
            known.impulse += impulse

    def take(self) -> list[Contact]:
        """Return the contacts that began since the last call, in order of time, then robot, class and id."""
        found = self._ended
        self._ended = []
        for key, touch in self._touches.items():
            if not touch.reported:
                found.append(_contact(key, touch))
                touch.reported = True
        return sorted(found, key=lambda c: (c.time, c.robot, c.other_class, c.other_id))

    def _end(self, key: tuple[int, str, str], touch: _Touch) -> None:
        if not touch.reported:
            self._ended.append(_contact(key, touch))


def _contact(key: tuple[int, str, str], touch: _Touch) -> Contact:
    return Contact(touch.start, key[0], key[1], key[2], touch.speed, touch.impulse, touch.position)
