"""Open-loop replay in the PyBullet world, with the robots that episodes drive.

The same windows, re-anchored at true pose and speed, and the same commands as in ``replay``; what differs is who moves
the robot: ``robots.fleet.Fleet`` in ``physics.world.World``, step by step at 250 Hz, instead of one compiled rollout at
50 Hz. Without a world of the user's, many windows run at once, each robot in a cell of its own so far from the others
that nothing can touch, and every step of every robot is made in Bullet. In a world with walls, windows run one after
the other at their true places, so that contacts count; there, as in episodes, Bullet is entered near something.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..common.errors import InputError
from ..common.geometry import FloatArray, relative
from ..common.primitives import PrimitiveBuilder
from ..physics.settings import PhysicsSettings
from ..physics.world import World
from ..robots.drive import GRAVITY
from ..robots.fleet import Fleet
from ..robots.model import RobotModel
from .replay import STEP, DriveReplay, Windows

FREQUENCY = 250.0
"""Steps per second [Hz]: nearest to the world's usual 240 that divides the common time grid."""
TOGETHER = 64
"""Windows at once in one world."""
EVERYWHERE = 1e4
"""Margin [m] within which everything counts as near, so that every step is Bullet's."""
_SPARE = 5.0
_UNLIMITED = {
    **dict.fromkeys(("linear_gain", "angular_gain", "lateral_gain", "steering_gain"), 1.0),
    **dict.fromkeys(("motor_lag", "steering_lag", "steering_offset", "rolling_resistance", "roller_friction"), 0.0),
    **dict.fromkeys(("max_acceleration", "max_deceleration", "max_yaw_acceleration", "max_steering_rate"), 1e4),
    "max_wheel_torque": 1e7,
    "friction": 100.0,
    "max_yaw_rate": 20.0,
    "max_steering_angle": 3.1,
}
"""A drive that does what it is told, and does not slip."""


@dataclass(frozen=True)
class BulletReplay:
    """What a replay in Bullet gave.

    Attributes:
        poses: (K, T + 1, 3) every ``STEP``, yaw runs on past half a turn; NaN for blocked windows.
        touched: (K,) bool: the robot touched something.
        blocked: (K,) bool: the window's true start lies in something solid of the world, so it was not driven.
    """

    poses: FloatArray
    touched: NDArray[np.bool_]
    blocked: NDArray[np.bool_]


def replay_in_bullet(
    windows: Windows | Sequence[Windows], model: RobotModel, *, world: World | None = None
) -> FloatArray:
    """Replay the commands of windows in Bullet; see ``drive_in_bullet``.

    Args:
        windows: of one or more logs with commands; equal horizons.
        model: the robot, with a twin applied where there is one.
        world: with walls, at 250 Hz (``FREQUENCY``); None: an empty floor.

    Returns:
        Poses (K, T + 1, 3) float64 x, y [m], yaw [rad] every ``STEP``.
    """
    replay = DriveReplay([windows] if isinstance(windows, Windows) else windows)
    commands = replay.commands(model.drive.command_delay)
    return drive_in_bullet(commands, replay.start_pose, replay.start_velocity, model, world=world).poses


def follow_in_bullet(paths: FloatArray, model: RobotModel, *, world: World | None = None) -> BulletReplay:
    """Drive robots along dead-reckoned paths, as their wheels counted: what counts cannot tell is what they touched.

    Each step's motion is asked of a drive without lag, ramps, limits or slip, so that only contacts keep the robot from
    it: jumps from count to count would make wheels slip that did not.

    Args:
        paths: (K, T + 1, 3) poses of ``base_link`` every ``STEP``, for example of ``TricycleReplay`` or
            ``WheelReplay`` with the tracked mark at the origin.
        model: the robot.
        world: as in ``replay_in_bullet``.

    Returns:
        The poses that came of it; a tricycle or a differential drive does not follow sideways motion.
    """
    turn = np.diff(np.unwrap(paths[..., 2], axis=1), axis=1)
    moved = relative(paths[:, :-1], paths[:, 1:])
    # The screw that leads from pose to pose.
    half = 0.5 * turn
    safe = np.where(np.abs(half) < 1e-9, 1.0, half)
    cotangent = np.where(np.abs(half) < 1e-9, 1.0, safe / np.tan(safe))
    along = cotangent * moved[..., 0] + half * moved[..., 1]
    across = cotangent * moved[..., 1] - half * moved[..., 0]
    commands = np.stack([along, across, turn], axis=-1) / STEP
    if model.kind != "mecanum":
        commands = commands[..., [0, 2]]
    free = {name: value for name, value in _UNLIMITED.items() if name in type(model.drive).model_fields}
    ideal = model.model_copy(update={"drive": model.drive.model_copy(update=free)})
    return drive_in_bullet(commands, paths[:, 0], commands[:, 0], ideal, world=world)


def drive_in_bullet(
    commands: FloatArray,
    start_pose: FloatArray,
    start_velocity: FloatArray,
    model: RobotModel,
    *,
    world: World | None = None,
    together: int = TOGETHER,
) -> BulletReplay:
    """Drive K robots of one model in Bullet.

    Args:
        commands: (K, T, 2) v [m/s], omega [rad/s] or (K, T, 3) vx, vy, omega, held over steps of ``STEP`` and already
            delayed: the model's own ``command_delay`` is not added.
        start_pose: (K, 3) x, y [m], yaw [rad].
        start_velocity: (K, 2) v, omega or (K, 3) vx, vy, omega.
        model: the robot.
        world: as in ``replay_in_bullet``; its robots are replaced. It stays open.
        together: windows at once without a world.

    Raises:
        InputError: the world's rate is not a whole multiple of 50 Hz.
    """
    drive = model.drive.model_copy(update={"command_delay": 0.0})
    count = len(commands)
    if world is not None:
        return _one_by_one(commands, start_pose, start_velocity, model.model_copy(update={"drive": drive}), world)
    moved = model.model_copy(update={"drive": drive})
    poses = np.empty((count, commands.shape[1] + 1, 3))
    for first in range(0, count, together):
        rows = slice(first, min(first + together, count))
        poses[rows] = _far_apart(commands[rows], start_pose[rows], start_velocity[rows], moved)
    none = np.zeros(count, dtype=np.bool_)
    return BulletReplay(poses, none, none.copy())


def _far_apart(
    commands: FloatArray, start_pose: FloatArray, start_velocity: FloatArray, model: RobotModel
) -> FloatArray:
    """Drive robots at once, each in its own cell. Returns the poses (K, T + 1, 3) that Bullet itself came to."""
    settings = PhysicsSettings(frequency=FREQUENCY, margin=EVERYWHERE, release_margin=EVERYWHERE)
    count = len(commands)
    # A single robot would be near nothing and stay out of Bullet: it gets a neighbour that stands.
    robots = max(count, 2)
    cell = 2.0 * (_reach(commands, start_velocity, model) + model.radius) + _SPARE
    side = int(np.ceil(np.sqrt(robots)))
    place = cell * np.column_stack([np.arange(robots) % side, np.arange(robots) // side]).astype(np.float64)
    at = np.zeros((robots, 3))
    at[:, :2], at[:count, 2] = place, start_pose[:, 2]
    moving = np.zeros((robots, start_velocity.shape[1]))
    moving[:count] = start_velocity
    given = np.zeros((robots, *commands.shape[1:]))
    given[:count] = commands
    world = World(PrimitiveBuilder().build(), [], [], settings=settings)
    try:
        fleet = Fleet(world, [model] * robots)
        fleet.reset(at, velocities=moving, check=False)
        poses = _drive(fleet, given, at, _steps_each(world))[:count]
    finally:
        world.close()
    poses[..., :2] += (start_pose[:, :2] - place[:count])[:, None]
    return poses


def _reach(commands: FloatArray, start_velocity: FloatArray, model: RobotModel) -> float:
    """Return how far a robot can come at most [m]: at its top speed all the time, then sliding to a stop."""
    drive = model.drive
    fastest = np.hypot(drive.max_speed, getattr(drive, "max_lateral_speed", 0.0))
    fastest = max(float(fastest), float(np.abs(start_velocity[:, :-1]).max(initial=0.0)))
    return fastest * commands.shape[1] * STEP + fastest**2 / (2.0 * drive.friction * GRAVITY)


def _one_by_one(
    commands: FloatArray, start_pose: FloatArray, start_velocity: FloatArray, model: RobotModel, world: World
) -> BulletReplay:
    """Drive one robot after the other at its true place among what stands there."""
    each, count = _steps_each(world), len(commands)
    poses = np.full((count, commands.shape[1] + 1, 3), np.nan)
    touched, blocked = np.zeros(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
    fleet = Fleet(world, [model])
    for k in range(count):
        at = start_pose[k : k + 1]
        blocked[k] = bool(world.obstacles_at(0, at[0]))
        if blocked[k]:
            continue
        fleet.reset(at, velocities=start_velocity[k : k + 1], check=False)
        poses[k] = _drive(fleet, commands[k : k + 1], at, each)[0]
        touched[k] = bool(world.contacts())
    return BulletReplay(poses, touched, blocked)


def _drive(fleet: Fleet, commands: FloatArray, start: FloatArray, each: int) -> FloatArray:
    """Step a fleet through commands (R, T, C). Returns poses (R, T + 1, 3): Bullet's where it has the robot."""
    poses = np.empty((len(commands), commands.shape[1] + 1, 3))
    poses[:, 0] = start
    for step in range(commands.shape[1]):
        fleet.command(commands[:, step])
        fleet.step(each)
        known, own = fleet.world.bullet_pose(), fleet.pose
        poses[:, step + 1] = np.where(np.isfinite(known), known, own)
    poses[..., 2] = np.unwrap(poses[..., 2], axis=1)
    return poses


def _steps_each(world: World) -> int:
    """Return the physics steps in one step of the time grid."""
    each = STEP / world.settings.step_time
    if abs(each - round(each)) > 1e-9 * each:
        raise InputError(
            f"a world of {world.settings.frequency:g} Hz does not divide the replay's steps of {STEP:g} s",
            where="frequency",
            mend=f"build it with PhysicsSettings(frequency={FREQUENCY:g})",
        )
    return round(each)
