"""A plain controller that fetches a pallet and puts it elsewhere: drive in, lift, drive, lower, drive out.

It knows where the pallet stands and where the truck is, and steers the middle of the rear axle along straight lines.
With lateral error e, heading error h and speed v, the yaw rate ``-|v| (sign(v) e / L^2 + 2 h / L)`` makes e decay
critically damped over the way with length L (the linear feedback of Canudas de Wit, Siciliano, Bastin, *Theory of Robot
Control*, section 9.5, for small errors); for large e the heading that it asks for is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import atan2, copysign, cos, hypot, pi, sin, sqrt

from ..common.errors import InputError
from .forks import ForkParameters

Command = tuple[float, float, float]
"""v [m/s], omega [rad/s], height of the forks [m]."""
Pose = tuple[float, float, float]
"""x, y [m], yaw [rad]."""


@dataclass(frozen=True)
class Place:
    """Where a pallet stands: the middle of its underside x, y, z [m], and the direction [rad] in which tines enter it.

    The tines enter along its length, so that the direction is the pallet's yaw or the opposite.
    """

    x: float
    y: float
    z: float
    entry: float


@dataclass(frozen=True)
class Manners:
    """How the controller drives.

    Attributes:
        approach: from the place where the truck is in line to where the tines are in [m].
        play: greatest error of the tines' tips with which they are driven in [m]; attempts: to get into line.
        speed: on the way [m/s]; near_speed: where the truck gets into line [m/s]; creep: with the tines near or in a
            pallet [m/s]; braking: [m/s^2].
        turn_speed: [rad/s]; damping: the length L above [m]; steepest: bound of the heading error asked for [rad].
        stiffness: speed for each metre that is left to go [1/s].
        gap: between the pallet and the heel of the tines [m].
        clearance: by which a load is lifted off before it moves [m]; travel: of its underside on the way [m].
        arrived: [m]; aligned: [rad]; patience: time after which forks that do not move are taken to be stuck [s].
    """

    approach: float = 3.2
    play: float = 0.015
    attempts: int = 4
    speed: float = 0.8
    near_speed: float = 0.4
    creep: float = 0.25
    braking: float = 0.25
    stiffness: float = 1.2
    turn_speed: float = 0.4
    damping: float = 0.32
    steepest: float = 0.35
    gap: float = 0.03
    clearance: float = 0.08
    travel: float = 0.12
    arrived: float = 0.002
    aligned: float = 0.002
    patience: float = 2.0


class StuckError(RuntimeError):
    """The forks do not get to where they shall go, or the truck not into line."""


class PalletMove:
    """Moves one pallet from a place to another; ask ``act`` once in each control period.

    The way from the pick to the drop is straight, from the point where the truck is in line with the one to the point
    where it is in line with the other, with turns on the spot: the caller sees to it that it is free. The truck begins
    in line with the pick or not far from it.

    Args:
        forks: of the truck. pick, drop: where the pallet stands and shall stand.
        length: of the pallet along the tines [m]; underside: of its deck above its foot [m].
        period: between two calls of ``act`` [s].

    Raises:
        InputError: a place is out of the forks' reach.
    """

    def __init__(
        self,
        forks: ForkParameters,
        pick: Place,
        drop: Place,
        *,
        length: float = 1.2,
        underside: float = 0.1008,
        period: float = 0.05,
        manners: Manners | None = None,
    ) -> None:
        self._forks, self._pick, self._drop = forks, pick, drop
        self._length, self._underside, self._period = length, underside, period
        self._manners = manners or Manners()
        for name, place in (("pick", pick), ("drop", drop)):
            highest = place.z + underside + self._manners.clearance
            if not (place.z + forks.lowered_height < place.z + underside and highest <= forks.lift_height):
                raise InputError(
                    f"the {name} at {place.z} m is out of reach of forks that go to {forks.lift_height} m",
                    where=f"PalletMove.{name}",
                )
        self._pose: Pose = (0.0, 0.0, 0.0)
        self._height = forks.lowered_height
        self._asked = forks.lowered_height
        self._steps = self._run()
        self.done = False
        """Whether the pallet stands where it shall and the truck is out of it."""

    def act(self, pose: Pose, height: float) -> Command:
        """Return what to do now.

        Args:
            pose: of ``base_link`` in ``map``, x, y [m], yaw [rad]. height: of the forks [m].

        Raises:
            StuckError: the forks do not get to where they shall go, or the truck does not get into line.
        """
        self._pose, self._height = pose, height
        command = next(self._steps, None)
        if command is None:
            self.done = True
            return 0.0, 0.0, self._asked
        return command

    # -- the plan ----------------------------------------------------------------------------------------------------

    def _run(self) -> Iterator[Command]:
        manners, forks = self._manners, self._forks
        pick, drop = self._pick, self._drop
        yield from self._lift(pick.z + forks.lowered_height)
        engaged = self._engaged(pick, 0.5 * self._length + manners.gap, 0.0, 0.0)
        yield from self._reverse_in(engaged)
        yield from self._lift(pick.z + self._underside + manners.clearance)
        # Where the pallet really is on the tines counts for where the truck must stop to set it down.
        heading = pick.entry - forks.yaw
        dx, dy = pick.x - self._pose[0], pick.y - self._pose[1]
        c, s = cos(self._pose[2]), sin(self._pose[2])
        along, across = forks.in_forks(c * dx + s * dy, c * dy - s * dx)
        turned = _turn(heading - self._pose[2])
        yield from self._drive(self._behind(engaged, manners.approach), manners.speed)
        yield from self._lift(max(manners.travel + self._underside, forks.lowered_height))
        goal = self._engaged(drop, along, across, turned)
        start = self._behind(goal, manners.approach)
        yield from self._go_to(start)
        yield from self._lift(drop.z + self._underside + manners.clearance)
        yield from self._reverse_in(goal)
        yield from self._lift(drop.z + forks.lowered_height)
        yield from self._drive(self._behind(goal, manners.approach), manners.speed)
        yield from self._lift(forks.lowered_height)

    def _engaged(self, place: Place, along: float, across: float, turned: float) -> Pose:
        """Return the pose of ``base_link`` with the tines in, the pallet at along, across [m] in the fork frame."""
        yaw = place.entry - self._forks.yaw - turned
        x, y = self._forks.in_base(along, across)
        c, s = cos(yaw), sin(yaw)
        return place.x - c * x + s * y, place.y - s * x - c * y, yaw

    def _behind(self, pose: Pose, way: float) -> Pose:
        """Return the pose from which the tines are driven straight into a pose, ``way`` [m] before it."""
        out = pose[2] + self._forks.yaw + pi
        return pose[0] + way * cos(out), pose[1] + way * sin(out), pose[2]

    # -- its parts ---------------------------------------------------------------------------------------------------

    def _reverse_in(self, goal: Pose) -> Iterator[Command]:
        """Drive with the tines first until they are near, once more if they do not point into the pockets, then in."""
        manners = self._manners
        near = self._behind(goal, self._length + 0.25)
        for attempt in range(manners.attempts):
            if attempt:
                yield from self._drive(self._behind(goal, manners.approach), manners.near_speed)
            yield from self._drive(near, manners.near_speed, stop=False)
            dx, dy = self._pose[0] - near[0], self._pose[1] - near[1]
            across = cos(near[2]) * dy - sin(near[2]) * dx
            turned = _turn(self._pose[2] - near[2])
            if abs(across) + self._length * abs(turned) <= manners.play:
                yield from self._drive(goal, manners.creep)
                return
        raise StuckError(f"the truck is not in line with the pallet after {manners.attempts} attempts")

    def _go_to(self, goal: Pose) -> Iterator[Command]:
        dx, dy = goal[0] - self._pose[0], goal[1] - self._pose[1]
        if hypot(dx, dy) > 0.05:
            course = atan2(dy, dx)
            ahead = abs(_turn(course - self._pose[2])) <= 0.5 * pi
            heading = course if ahead else course + pi
            yield from self._turn_to(heading)
            yield from self._drive((goal[0], goal[1], heading), self._manners.speed)
        yield from self._turn_to(goal[2])

    def _drive(self, goal: Pose, speed: float, *, stop: bool = True) -> Iterator[Command]:
        """Follow the line of a pose until the pose is reached, forwards or backwards."""
        manners = self._manners
        c, s = cos(goal[2]), sin(goal[2])
        way = c * (goal[0] - self._pose[0]) + s * (goal[1] - self._pose[1])
        sign = copysign(1.0, way)
        calm = 0
        while calm < 3:
            dx, dy = goal[0] - self._pose[0], goal[1] - self._pose[1]
            left, error = sign * (c * dx + s * dy), s * dx - c * dy
            if not stop and left <= 0.0:
                return
            calm = calm + 1 if abs(left) <= manners.arrived else 0
            v = sign * speed
            if stop:
                fastest = min(speed, sqrt(2.0 * manners.braking * abs(left)), manners.stiffness * abs(left))
                v = sign * copysign(fastest, left) if calm == 0 else 0.0
            bounded = min(max(0.5 * error / manners.damping, -manners.steepest), manners.steepest)
            heading = _turn(self._pose[2] - goal[2])
            omega = -abs(v) * 2.0 / manners.damping * (copysign(1.0, v) * bounded + heading)
            yield v, omega, self._asked

    def _turn_to(self, yaw: float) -> Iterator[Command]:
        manners = self._manners
        calm = 0
        while calm < 5:
            left = _turn(yaw - self._pose[2])
            calm = calm + 1 if abs(left) <= manners.aligned else 0
            rate = min(manners.turn_speed, 1.2 * abs(left))
            yield 0.0, copysign(rate, left) if abs(left) > manners.aligned else 0.0, self._asked

    def _lift(self, height: float) -> Iterator[Command]:
        """Raise or lower the forks, standing; raises StuckError if they do not move."""
        self._asked = height
        before, waited = self._height, 0.0
        while abs(self._height - height) > 1e-4:
            yield 0.0, 0.0, height
            waited = waited + self._period if self._height == before else 0.0
            before = self._height
            if waited > self._manners.patience:
                raise StuckError(f"the forks stand at {self._height:.3f} m and should go to {height:.3f} m")


def _turn(angle: float) -> float:
    """Return an angle [rad] in [-pi, pi)."""
    return (angle + pi) % (2.0 * pi) - pi
