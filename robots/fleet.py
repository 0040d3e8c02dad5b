"""The robots of an episode: drive models moved at once in compiled code, and Bullet wherever something touches."""

from __future__ import annotations

from collections.abc import Sequence
from math import cos, sin
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..common.errors import InputError
from ..common.geometry import wrap_angle
from ..physics.world import World
from . import drive, odometry
from .drive_table import (
    P_ANGULAR_GAIN,
    P_DELAY,
    P_FRICTION,
    P_LINEAR_GAIN,
    P_MAX_SPEED,
    P_PAYLOAD,
    P_PAYLOAD_X,
    P_PAYLOAD_Y,
    P_ROLLING,
    P_SLOPE_X,
    P_SLOPE_Y,
    S_BRAKE_LEFT,
    S_COUNT_LEFT,
    S_DRIFT_X,
    S_KICK_LATERAL,
    S_KICK_OMEGA,
    S_KICK_V,
    S_LATERAL,
    S_OMEGA,
    S_SHARE_LEFT,
    S_STEER,
    S_V,
    S_WORK,
    S_X,
    S_YAW,
    FloatArray,
    mass_of,
    parameter_array,
)
from .fleet_kernels import advance_all, free_run
from .fleet_spread import FleetMotion, RobotMotion
from .lifting import ForkEvent, Lifts
from .model import DRIVE_OF, DriveParameters, RobotModel
from .motor import LOAD_NAMES, MOTOR_NAMES
from .urdf import load_shape

JOULES_PER_WH = 3600.0
STEEPEST = 0.5
"""Gradient [-] above which a slope is refused: no warehouse has one."""


class Fleet:
    """R robots in a world, stepped together at the world's rate (240 Hz unless set otherwise); kinds may be mixed.

    Args:
        world: where they drive; the fleet tells it about its robots and resets it.
        models: what the robots are and believe of themselves (odometry uses ``model.drive``).
        parameters: their true drive parameters in this episode; None: those of the models.
        motions: how differential drives depart from their gains, None for those that do not; empty: none does.

    Raises:
        InputError: the lists differ in length, a robot with a motion is no differential drive, or a shape cannot be
            read.
    """

    def __init__(
        self,
        world: World,
        models: Sequence[RobotModel],
        parameters: Sequence[DriveParameters] | None = None,
        motions: Sequence[RobotMotion | None] = (),
    ) -> None:
        given = [model.drive for model in models] if parameters is None else list(parameters)
        if len(given) != len(models):
            raise InputError(f"{len(models)} robot models, but {len(given)} sets of drive parameters")
        for robot, (model, parameter) in enumerate(zip(models, given, strict=True)):
            if type(parameter) is not DRIVE_OF[model.kind]:
                raise InputError(f"robot {robot} is {model.kind}, but its drive a {type(parameter).__name__}")
        if motions and len(motions) != len(models):
            raise InputError(f"{len(models)} robot models, but {len(motions)} motions")
        for robot, (model, motion) in enumerate(zip(models, motions, strict=False)):
            if motion is not None and model.kind != "differential":
                raise InputError(
                    f"robot {robot} is {model.kind}: the spread of motion is known of differential drives alone"
                )
        self.world = world
        self.models = list(models)
        self._motion = FleetMotion(motions)
        self._dt = world.settings.step_time
        self._given = parameter_array(given)
        self._nominal = parameter_array([model.drive for model in models])
        self._efficiency = np.array([model.drive_efficiency for model in models])
        self._hotel_power = np.array([model.hotel_power for model in models])
        self._motors = np.zeros((0, 2, len(MOTOR_NAMES)))
        self._load = np.zeros((0, 2, len(LOAD_NAMES)))
        forks = [model.forks for model in models]
        kinds = [(model.shape, model.class_name) for model in models]
        shapes = {kind: load_shape(*kind) for kind in dict.fromkeys(kinds)}
        world.set_robots(
            [shapes[kind] for kind in kinds],
            {i: item.solids(models[i].class_name) for i, item in enumerate(forks) if item is not None},
            [item.stroke if item is not None else 0.0 for item in forks],
        )
        self._lifts = Lifts(world, forks, [model.max_payload for model in models], self.set_payload)
        self.reset(np.zeros((len(models), 3)), check=False)

    def reset(
        self,
        poses: ArrayLike,
        payloads: ArrayLike | None = None,
        friction: float | None = None,
        *,
        velocities: ArrayLike | None = None,
        check: bool = True,
    ) -> None:
        """Start an episode: the world is as it was built, and robots stand still unless told otherwise.

        Args:
            poses: (R, 3) x, y [m], yaw [rad].
            payloads: (R,) [kg]; None: those of the drive parameters.
            friction: of the floor under the drive wheels, for all robots [-]; None: that of the drive parameters.
            velocities: (R, 2) v [m/s], omega [rad/s] or (R, 3) vx, vy, omega at which they roll steadily; None: none.
            check: refuse poses at which a robot stands in something.

        Raises:
            InputError: a value is not finite or negative, or a robot would stand in a rack, wall, good or other robot.
        """
        count = len(self.models)
        pose = _finite(poses, (count, 3), "poses")
        self._parameters = self._given.copy()
        if payloads is not None:
            self._parameters[:, P_PAYLOAD] = _not_negative(_finite(payloads, (count,), "payloads"), "payloads")
        if friction is not None:
            if not (np.isfinite(friction) and friction > 0):
                raise InputError(f"the friction of the floor must be above zero, not {friction}", where="friction")
            self._parameters[:, P_FRICTION] = friction
        moving = np.zeros((count, 2)) if velocities is None else velocities
        self._state = drive.initial_state(pose, moving, self._parameters)
        self._motion.reset(self._state[:, [S_V, S_OMEGA]], self._dt)
        self.world.reset(*self._mass_and_inertia())
        self._lifts.reset()
        self.world.follow(self._state[:, S_X : S_YAW + 1])
        if check:
            self._require_free(pose)
        self._before = pose.copy()
        self._command = np.zeros((count, 3))
        self._line = np.zeros((count, drive.delay_steps(self._parameters, self._dt), 3))
        shift = self._parameters[:, P_DELAY] / self._dt
        self._delay_whole = np.floor(shift).astype(np.int64)
        self._delay_rest = shift - self._delay_whole
        self._ticks = np.zeros((count, odometry.window_steps(self._dt) + 1, odometry.ENCODERS), dtype=np.int64)
        self._odometry = pose.copy()
        self._step_count = 0

    def command(self, commands: ArrayLike) -> None:
        """Set the commands that hold until the next call.

        Args:
            commands: (R, 2) v [m/s], omega [rad/s], or (R, 3) vx, vy [m/s], omega [rad/s] in ``base_link``, of which
                only mecanum drives heed vy. Values beyond a robot's limits are clamped to its ``max_speed``,
                ``max_lateral_speed`` and ``max_yaw_rate``, as its controller would.

        Raises:
            InputError: the shape does not fit, or a value is NaN or infinite; the old commands stay.
        """
        sideways = np.ndim(commands) == 2 and np.shape(commands)[1] == 3
        given = _finite(commands, (len(self.models), 3 if sideways else 2), "commands")
        self._command = drive.three_columns(given)

    def step(self, steps: int = 1) -> None:
        """Let ``steps`` physics steps pass. Splitting them over several calls changes nothing, not even a bit."""
        while self._lifts.moving and steps > 0:
            self._drive(1)
            self._lifts.advance(self._state[:, S_X : S_YAW + 1], self._dt)
            steps -= 1
        self._drive(steps)

    def _drive(self, steps: int) -> None:
        """Let ``steps`` physics steps pass without change of what the forks do."""
        done = 0
        while done < steps:
            if not self.world.goods_moving:
                free = self._free_run(steps - done)
                self.world.advance_free(free)
                done += free
            # The free run stops early only where Bullet is needed.
            forced = True
            while done < steps:
                np.copyto(self._before, self._state[:, S_X : S_YAW + 1])
                if not (self.world.must_touch(self._before) or forced):
                    break
                self._touch_step()
                forced = False
                done += 1

    def set_payload(self, robot: int, kg: float, offset: tuple[float, float] | None = None) -> None:
        """Load or unload a robot.

        Args:
            robot: which.
            kg: what it carries from now on [kg].
            offset: where the payload's centre of mass sits in ``base_link``, x, y [m]; None: where the model says. It
                shifts the centre of mass, adds yaw inertia, and changes what each wheel carries.

        Raises:
            InputError: no such robot; or the payload is negative, not finite or above ``max_payload`` of the model; or
                the offset is not finite or outside the robot's footprint.
        """
        self._require_robot(robot)
        model = self.models[robot]
        if not (np.isfinite(kg) and 0 <= kg <= model.max_payload):
            raise InputError(f"robot {robot} cannot carry {kg} kg", mend=f"give 0 to {model.max_payload} kg")
        x, y = self._given[robot, P_PAYLOAD_X : P_PAYLOAD_Y + 1] if offset is None else offset
        if offset is not None and not (abs(x) <= 0.5 * model.length and abs(y) <= 0.5 * model.width):
            raise InputError(
                f"a payload at x {x:g} m, y {y:g} m is not on robot {robot}",
                mend=f"stay within {0.5 * model.length:g} m and {0.5 * model.width:g} m of base_link",
            )
        self._parameters[robot, P_PAYLOAD] = kg
        self._parameters[robot, P_PAYLOAD_X : P_PAYLOAD_Y + 1] = x, y
        mass, inertia = self._mass_and_inertia()
        self.world.set_mass(robot, float(mass[robot]), float(inertia[robot]))

    def set_slope(self, gradient: ArrayLike) -> None:
        """Tilt the floor under each robot, from now until the next call or reset: a ramp.

        Gravity then pulls downhill and presses less on the floor. Poses stay planar, measured along the floor, and
        PyBullet goes on with a level one, so that contacts on a slope are those on the level.

        Args:
            gradient: (R, 2) rise for each metre along x and along y of ``map`` [-]; 0.05 is a slope of 5 %.

        Raises:
            InputError: the shape does not fit, or a slope is not finite or above 0.5; the old ones stay.
        """
        given = _finite(gradient, (len(self.models), 2), "slopes")
        steep = np.hypot(given[:, 0], given[:, 1])
        if (steep > STEEPEST).any():
            robot = int(np.argmax(steep))
            raise InputError(f"the slope under robot {robot} is {100 * steep[robot]:.0f} %", mend="stay below 50 %")
        self._parameters[:, P_SLOPE_X : P_SLOPE_Y + 1] = given

    def set_friction(self, friction: ArrayLike) -> None:
        """Change the friction of the floor under each robot, from now until the next call or reset.

        Args:
            friction: (R,) coefficient between the wheels and the floor [-], for example low on a spill.

        Raises:
            InputError: the shape does not fit, or a value is not finite or not above zero; the old values stay.
        """
        given = _finite(friction, (len(self.models),), "friction")
        if (given <= 0).any():
            robot = int(np.argmin(given))
            raise InputError(
                f"the friction of the floor under robot {robot} must be above zero, not {given[robot]:g}",
                where="friction",
            )
        self._parameters[:, P_FRICTION] = given

    def command_forks(self, robot: int, height: float) -> None:
        """Set the height to which a truck's forks go, at the speed that they have, until the next call.

        Args:
            robot: index. height: of the tines' upper faces above the floor [m].

        Raises:
            InputError: no such robot, it has no forks, or they do not go there.
        """
        self._lifts.command(robot, height)

    def fork_events(self) -> list[ForkEvent]:
        """Return what happened at the forks since the last call, in order of time."""
        return self._lifts.events()

    @property
    def fork_height(self) -> FloatArray:
        """Heights (R,) [m] of the tines' upper faces; NaN for robots without forks."""
        return np.array([self._lifts.height(i) for i in range(len(self.models))])

    def fork_load(self, robot: int) -> tuple[int, ...]:
        """Return the loose goods on a truck's forks, the one that the tines hold first."""
        return self._lifts.load(robot)

    def watch_motors(self, motors: FloatArray) -> FloatArray:
        """Reckon what the motors do, from now on, at every physics step.

        Args:
            motors: (R, 2, M) float64, left and right, rows as by ``motor.motor_row``; kept, not copied, so that changes
                take effect at the next step.

        Returns:
            The load (R, 2, L) float64, columns as in ``motor.LOAD_NAMES``, which ``step`` adds to in place. Who reads
            it may clear it.

        Raises:
            InputError: the shape does not fit, or a robot is no differential drive.
        """
        for robot, model in enumerate(self.models):
            if model.kind != "differential":
                raise InputError(
                    f"motors and wear are modelled for differential drives; robot {robot} is {model.kind}",
                    mend="leave the condition out, or take robots of kind differential",
                )
        shape = (len(self.models), 2, len(MOTOR_NAMES))
        if motors.shape != shape or motors.dtype != np.float64 or not motors.flags.c_contiguous:
            raise InputError(f"motors must be float64 of shape {shape}, C-contiguous, not {motors.shape}")
        self._motors = motors
        self._load = np.zeros((len(self.models), 2, len(LOAD_NAMES)))
        return self._load

    def set_condition(
        self,
        torque_share: FloatArray,
        brake: FloatArray,
        radius_share: FloatArray,
        count_share: FloatArray,
        friction_share: FloatArray,
        speed_limit: FloatArray,
    ) -> None:
        """Say what wear and faults have done to the drives; holds until the next call or reset.

        Args:
            torque_share: (R, 2) of the motors' torque that is left, left and right [-].
            brake: (R, 2) force that drags on a rolling wheel [N].
            radius_share: (R,) of the wheels' radius that is left [-]. The loops of the motors hold turns, not metres:
                worn wheels are slow, and what the odometry counts is too long.
            count_share: (R, 2) of a wheel's ticks that its encoder counts [-].
            friction_share: (R,) factor on the rolling resistance [-].
            speed_limit: (R,) what the supply voltage allows [m/s].
        """
        given, now = self._given, self._parameters
        now[:, P_LINEAR_GAIN] = given[:, P_LINEAR_GAIN] * radius_share
        now[:, P_ANGULAR_GAIN] = given[:, P_ANGULAR_GAIN] * radius_share
        now[:, P_ROLLING] = given[:, P_ROLLING] * friction_share
        now[:, P_MAX_SPEED] = np.minimum(given[:, P_MAX_SPEED], speed_limit)
        self._state[:, S_SHARE_LEFT : S_SHARE_LEFT + 2] = torque_share / radius_share[:, None]
        self._state[:, S_BRAKE_LEFT : S_BRAKE_LEFT + 2] = brake
        self._state[:, S_COUNT_LEFT : S_COUNT_LEFT + 2] = count_share / radius_share[:, None]

    @property
    def motion(self) -> FleetMotion:
        """What robots make of commands beyond their drives' gains; how much of that lies outside the twin's log."""
        return self._motion

    @property
    def payload(self) -> FloatArray:
        """What the robots carry (R,) [kg]."""
        return self._parameters[:, P_PAYLOAD].copy()

    @property
    def step_time(self) -> float:
        """Physics step [s]."""
        return self._dt

    @property
    def pose(self) -> FloatArray:
        """True poses (R, 3) x, y [m], yaw [rad] in [-pi, pi) of ``base_link`` in ``map``."""
        pose = self._state[:, S_X : S_YAW + 1].copy()
        pose[:, 2] = wrap_angle(pose[:, 2])
        return pose

    @property
    def velocity(self) -> FloatArray:
        """True velocities (R, 2) v [m/s], omega [rad/s] of ``base_link``; see ``lateral_velocity``."""
        return self._state[:, [S_V, S_OMEGA]]

    @property
    def lateral_velocity(self) -> FloatArray:
        """True sideways velocities (R,) [m/s]; but for mecanum drives not zero only while wheels slide."""
        return self._state[:, S_LATERAL].copy()

    @property
    def steering_angle(self) -> FloatArray:
        """Angles of the front wheels (R,) as the steering encoders read them [rad]; zero for kinds without one."""
        return self._state[:, S_STEER].copy()

    @property
    def energy_wh(self) -> FloatArray:
        """Electrical energy (R,) [Wh] since the reset: motor work over efficiency plus hotel load; no regeneration.

        The estimate of a robot whose battery and motors are not modelled; see ``condition`` for those.
        """
        hotel = self._hotel_power * (self._step_count * self._dt)
        lifting = self._lifts.energy(len(self.models))
        return (self._state[:, S_WORK] / self._efficiency + hotel + lifting) / JOULES_PER_WH

    @property
    def odometry(self) -> FloatArray:
        """Dead-reckoned poses (R, 3) from the encoders, yaw in [-pi, pi); they start at the true start poses."""
        pose = self._odometry.copy()
        pose[:, 2] = wrap_angle(pose[:, 2])
        return pose

    @property
    def encoder_velocity(self) -> FloatArray:
        """Measured velocities (R, 2) v [m/s], omega [rad/s] from the encoder ticks of the last 0.05 s."""
        return odometry.wheel_velocity(self._nominal, self._ticks, self._step_count, self._dt)[:, :2]

    @property
    def encoder_lateral_velocity(self) -> FloatArray:
        """Measured sideways velocities (R,) [m/s] likewise; zero but for mecanum drives."""
        return odometry.wheel_velocity(self._nominal, self._ticks, self._step_count, self._dt)[:, 2]

    @property
    def encoder_ticks(self) -> NDArray[np.int64]:
        """Encoder ticks (R, 4): cumulative, left and right; of a mecanum drive front left, front right, rear left, rear
        right; of a tricycle cumulative traction and absolute steering. The rest is zero."""
        return self._ticks[:, self._step_count % self._ticks.shape[1]].copy()

    def body_pose(self) -> FloatArray:
        """Return the poses (B, 7) of all moving bodies for ``Scene.update``; order as in ``World.body_pose``."""
        return self.world.body_pose(self._state[:, S_X : S_YAW + 1])

    def _mass_and_inertia(self) -> tuple[FloatArray, FloatArray]:
        """Return mass [kg] and yaw inertia about ``base_link`` [kg m^2], both (R,), for Bullet, where that
        is the centre of a robot."""
        mass, inertia, x, y = mass_of(self._parameters)
        return mass, inertia + mass * (x * x + y * y)

    def _require_robot(self, robot: int) -> None:
        if not 0 <= robot < len(self.models):
            raise InputError(f"there is no robot {robot}", mend=f"robots are 0 to {len(self.models) - 1}")

    def _require_free(self, pose: FloatArray) -> None:
        for i, row in enumerate(pose):
            obstacles = self.world.obstacles_at(i, row)
            if obstacles:
                names = ", ".join(f"{kind} {name}" for kind, name in obstacles[:3])
                raise InputError(
                    f"robot {i} would stand in {names}",
                    where=f"pose x {row[0]:.2f} m, y {row[1]:.2f} m, yaw {row[2]:.2f} rad",
                    mend="start it at a free place",
                )
        radius = self.world.robot_radius
        for i in range(len(pose)):
            for j in range(i):
                if np.hypot(*(pose[i, :2] - pose[j, :2])) < 0.5 * (radius[i] + radius[j]):
                    raise InputError(
                        f"robots {j} and {i} would stand in each other",
                        where=f"pose x {pose[i, 0]:.2f} m, y {pose[i, 1]:.2f} m",
                        mend="start them further apart",
                    )

    def _drive_arguments(self) -> tuple[Any, ...]:
        """What both kernels below take first: the drives as they are now."""
        return (
            self._parameters,
            self._nominal,
            self._state,
            self._command,
            self._line,
            self._delay_whole,
            self._delay_rest,
            self._step_count,
            self._ticks,
            self._odometry,
            self._motors,
            self._load,
            self._motion.table,
            self._motion.cells,
            self._motion.state,
            self._motion.random,
            self._dt,
        )

    def _free_run(self, steps: int) -> int:
        world = self.world
        done = int(
            free_run(
                *self._drive_arguments(),
                steps,
                world.robot_radius,
                world.static_table,
                world.neighbours,
                world.anchors,
                world.people,
                world.people_age,
                world.settings.person_radius,
                world.goods_table,
                world.settings.margin,
            )
        )
        self._step_count += done
        return done

    def _touch_step(self) -> None:
        advance_all(*self._drive_arguments())
        self._step_count += 1
        drift = np.ascontiguousarray(self._state[:, S_DRIFT_X : S_DRIFT_X + 3])
        changed, pose, velocity = self.world.touch_step(self._before, drift)
        for i in changed:
            state = self._state[i]
            state[S_X : S_YAW + 1] = pose[i]
            c, s = cos(pose[i, 2]), sin(pose[i, 2])
            # Bullet had the mean velocity of the step; the second half of what the wheels did comes on top.
            state[S_V] = c * velocity[i, 0] + s * velocity[i, 1] + state[S_KICK_V]
            state[S_LATERAL] = -s * velocity[i, 0] + c * velocity[i, 1] + state[S_KICK_LATERAL]
            state[S_OMEGA] = velocity[i, 2] + state[S_KICK_OMEGA]


def _finite(value: ArrayLike, shape: tuple[int, ...], name: str) -> FloatArray:
    array = np.array(value, dtype=np.float64)
    if array.shape != shape:
        raise InputError(f"{name} have shape {array.shape}, expected {shape}", where=name)
    if not np.isfinite(array).all():
        robot = int(np.argwhere(~np.isfinite(array))[0][0])
        raise InputError(f"{name} of robot {robot} are not finite: {array[robot].tolist()}", where=name)
    return array


def _not_negative(value: FloatArray, name: str) -> FloatArray:
    if (value < 0).any():
        raise InputError(f"{name} must not be negative: {value.tolist()}", where=name)
    return value
