"""What one step saw of a touch, and how the speed that only parts overlapping bodies is taken out again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SAME = 1e-7
"""Difference [m; m/s, rad/s] between Bullet's outcome and the free one below which nothing was touched."""


@dataclass
class Touch:
    """What one step saw of a robot and another body: closing speed [m/s], normal impulse [N s], place [m]."""

    robot: int
    other: int
    position: tuple[float, float]
    speed: float = 0.0
    impulse: float = 0.0
    known: bool = False
    """Whether it goes on from an earlier step, so that the speed is not asked for."""


@dataclass(slots=True)
class Push:
    """A point where something that nothing stops holds up a robot.

    ``other`` is its Bullet body; the normal points to the robot, the arm [m] from the robot's centre to the point;
    ``approach`` is the speed [m/s] of the other along the normal, ``rebound`` the impulse [N s] taken out again.
    """

    other: int
    normal_x: float
    normal_y: float
    arm_x: float
    arm_y: float
    approach: float
    rebound: float = 0.0


def without_rebound(
    pushes: Sequence[Push],
    velocity: tuple[float, float, float],
    before: Sequence[float],
    mass: float,
    inertia: float,
) -> tuple[float, float, float]:
    """Take out of a velocity what Bullet added to push a robot out of a standing solid or a person.

    Penetration is corrected by velocity, which has moved the robot within the step and must not stay: touching is
    without restitution. Removed as impulses along the contact normals, where a point leaves faster than it did before
    and faster than what it touches, which nothing stops, came towards it.

    Args:
        pushes: where it is held up; their ``rebound`` grows by what is taken out.
        velocity: vx, vy [m/s], yaw rate [rad/s] in ``map`` after the step; before: the same, before it.
        mass: of the robot [kg]; inertia: about z [kg m^2].

    Returns:
        the velocity that stays.
    """
    vx, vy, omega = velocity
    for _ in range(4):
        calm = True
        for push in pushes:
            nx, ny = push.normal_x, push.normal_y
            lever = push.arm_x * ny - push.arm_y * nx
            leaving = vx * nx + vy * ny + omega * lever
            allowed = max(push.approach, before[0] * nx + before[1] * ny + before[2] * lever)
            if leaving > allowed + SAME:
                calm = False
                impulse = (leaving - allowed) / (1.0 / mass + lever * lever / inertia)
                push.rebound += impulse
                vx -= impulse * nx / mass
                vy -= impulse * ny / mass
                omega -= impulse * lever / inertia
        if calm:
            break
    return vx, vy, omega
