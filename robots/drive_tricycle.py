"""The traction of a tricycle: one front wheel that drives and steers, two rear wheels that only roll.

``base_link`` is in the middle of the rear axle. With wheel base L, wheel speed s and angle d of the front wheel (true:
encoder times gain plus offset) and without slip ``v = s cos d`` and ``omega = s sin d / L`` (Siegwart, Nourbakhsh,
Scaramuzza, *Introduction to Autonomous Mobile Robots*, section 3.2).

The controller turns a command v, omega into the angle whose tangent is ``omega L / v`` and the speed
``hypot(v, omega L)``; of the two angles half a turn apart it takes the one nearer to where the wheel is, if the wheel
may turn so far. The set point of the angle moves at a bounded rate and, while the truck rolls, no further than the
highest yaw rate allows at that speed: ``sin d <= max_yaw_rate L / s``. Traction waits for the steering: it is asked
for the share ``cos 3e`` of the speed while the wheel is off by the angle e, for none from 30 degrees on. A command to
stand leaves the angle as it is. ``max_yaw_acceleration`` has no part in this.

Loads follow from the place of the centre of mass between the axles, at rest. The front wheel has a torque limit and a
friction circle; the rear wheels, which share one sideways speed, a limit on their side force. Rolling resistance of all
wheels is charged to the motor.
"""

from __future__ import annotations

from math import asin, atan2, cos, exp, pi, sin, sqrt

from ..common.kernels import compiled
from .drive_common import (
    AT_LIMIT,
    CONVERGED,
    DRAG_SPEED,
    PASSES,
    Pair,
    Triple,
    balance,
    clamp,
    free_motion,
    lagged,
    move,
    ramp,
)
from .drive_table import (
    GRAVITY,
    P_ACCELERATION,
    P_ANGULAR_GAIN,
    P_BASE,
    P_DECELERATION,
    P_FRICTION,
    P_LAG,
    P_LINEAR_GAIN,
    P_MAX_SPEED,
    P_MAX_YAW_RATE,
    P_RADIUS,
    P_ROLLING,
    P_STEER_GAIN,
    P_STEER_LAG,
    P_STEER_MAX,
    P_STEER_OFFSET,
    P_STEER_RATE,
    P_TORQUE,
    S_FORCE_LEFT,
    S_OMEGA,
    S_RAMP_V,
    S_STEER,
    S_STEER_SET,
    S_TARGET_LEFT,
    S_TRAVEL_LEFT,
    S_WHEEL_LEFT,
    S_WORK,
    FloatArray,
)

STANDING = 1e-9
"""A command [m/s] below which the angle of the wheel stays as it is."""


@compiled
def wheel_command(v: float, omega: float, base: float, most: float, angle: float) -> Pair:
    """Return the angle [rad] and the speed [m/s] of the front wheel for v [m/s], omega [rad/s] of the rear axle.

    Args:
        v, omega: of ``base_link``.
        base: wheel base [m]; most: highest angle either way [rad]; angle: where the wheel is now [rad].

    Where ``most`` is below a quarter turn, the angle is cut to it and ``v`` gives way to nothing but the cut.
    """
    across = omega * base
    speed = sqrt(v * v + across * across)
    if speed < STANDING:
        return angle, 0.0
    ahead = atan2(across, v)
    back = ahead - pi if ahead > 0.0 else ahead + pi
    forwards = abs(ahead) <= most and (abs(back) > most or abs(ahead - angle) <= abs(back - angle))
    if forwards or (abs(back) > most and abs(ahead) <= abs(back)):
        return clamp(ahead, -most, most), speed
    return clamp(back, -most, most), -speed


@compiled
def _follow(p: FloatArray, s: FloatArray, i: int, now: Pair, v: float, omega: float, dt: float) -> Pair:
    """Move the ramps, speed [m/s] and angle [rad] of the front wheel, for ``dt`` towards a command; returns both."""
    speed, angle = now
    base = p[i, P_BASE]
    goal_v = clamp(v * p[i, P_LINEAR_GAIN], -p[i, P_MAX_SPEED], p[i, P_MAX_SPEED])
    goal_omega = clamp(omega * p[i, P_ANGULAR_GAIN], -p[i, P_MAX_YAW_RATE], p[i, P_MAX_YAW_RATE])
    goal_angle, goal_speed = wheel_command(goal_v, goal_omega, base, p[i, P_STEER_MAX], angle)
    goal_speed *= cos(3.0 * min(abs(goal_angle - s[i, S_STEER]), pi / 6.0))
    across, rolling = p[i, P_MAX_YAW_RATE] * base, abs(speed)
    if across < rolling:
        most = max(asin(across / rolling), min(abs(angle), abs(goal_angle)))
        goal_angle = clamp(goal_angle, -most, most)
    turn = p[i, P_STEER_RATE] * dt
    return (
        ramp(speed, goal_speed, p[i, P_ACCELERATION], p[i, P_DECELERATION], dt),
        angle + clamp(goal_angle - angle, -turn, turn),
    )


@compiled
def _solve(
    mass: float,
    inertia: float,
    base: float,
    a: float,
    b: float,
    free: Triple,
    heading: Pair,
    target: float,
    drag: float,
    motor: float,
    grip: Pair,
) -> tuple[float, float, float, bool]:
    """Find the impulses [N s] that bring the front wheel to its speed and keep both axles from sliding, within limits.

    Args:
        mass, inertia, a, b: of the truck, about its centre of mass at a, b. base: wheel base.
        free: u, w [m/s] of the centre of mass and omega [rad/s] without wheel forces.
        heading: cosine and sine of the front wheel's angle. target: its speed [m/s].
        drag: what the motor loses to rolling resistance; motor: the most that it gives [N s].
        grip: the most that the front wheel and the rear axle can take [N s].

    Returns:
        impulses of the front wheel along and across itself and of the rear axle across, and whether the front slips.
    """
    c, q = heading
    free_u, free_w, omega = free
    grip_front, grip_rear = grip
    new_omega = target * q / base
    along = mass * (target * c - new_omega * b - free_u)
    across = mass * (new_omega * a - free_w)
    front = (inertia * (new_omega - omega) + a * across - b * along) / base
    drive, side, rear = along * c + front * q, front * c - along * q, across - front
    if abs(drive + drag) <= motor and drive * drive + side * side <= grip_front * grip_front and abs(rear) <= grip_rear:
        return drive, side, rear, False

    # Lever arms of the three forces about the centre of mass.
    arm_drive = (base - a) * q + b * c
    arm_side = (base - a) * c - b * q
    effective_drive = 1.0 / (1.0 / mass + arm_drive * arm_drive / inertia)
    effective_side = 1.0 / (1.0 / mass + arm_side * arm_side / inertia)
    effective_rear = 1.0 / (1.0 / mass + a * a / inertia)
    drive = side = rear = 0.0
    slips = False
    for _ in range(PASSES):
        before_drive, before_side, before_rear = drive, side, rear
        turn = omega + (arm_drive * drive + arm_side * side - a * rear) / inertia
        u = free_u + (drive * c - side * q) / mass
        w = free_w + (drive * q + side * c + rear) / mass
        drive += effective_drive * (target - (u * c + w * q + turn * arm_drive))
        drive = clamp(drive, -motor - drag, motor - drag)
        gained = drive - before_drive
        turn += arm_drive * gained / inertia
        u += gained * c / mass
        w += gained * q / mass
        side -= effective_side * (w * c - u * q + turn * arm_side)
        size = sqrt(drive * drive + side * side)
        slips = size > grip_front
        if slips:
            drive *= grip_front / size
            side *= grip_front / size
        turn = omega + (arm_drive * drive + arm_side * side - a * rear) / inertia
        w = free_w + (drive * q + side * c + rear) / mass
        rear = clamp(rear - effective_rear * (w - turn * a), -grip_rear, grip_rear)
        moved = abs(drive - before_drive) + abs(side - before_side) + abs(rear - before_rear)
        if moved <= CONVERGED * (grip_front + grip_rear):
            break
    return drive, side, rear, slips and abs(drive + drag) < AT_LIMIT * motor


@compiled
def advance_tricycle(
    p: FloatArray,
    s: FloatArray,
    i: int,
    old_v: float,
    old_omega: float,
    command_v: float,
    command_omega: float,
    rest: float,
    dt: float,
) -> None:
    """Advance tricycle i by one step, in place: the model of the module docstring.

    The old command v [m/s], omega [rad/s] still holds in the first share ``rest`` of the step, the new one after it.
    """
    before_speed, before_angle = s[i, S_RAMP_V], s[i, S_STEER_SET]
    now = (before_speed, before_angle)
    if rest > 0.0:
        now = _follow(p, s, i, now, old_v, old_omega, rest * dt)
    now = _follow(p, s, i, now, command_v, command_omega, (1.0 - rest) * dt)
    lag, steering_lag = p[i, P_LAG], p[i, P_STEER_LAG]
    target = lagged(s[i, S_TARGET_LEFT], before_speed, now[0], lag, exp(-dt / lag) if lag > 0.0 else 0.0, dt)
    angle = lagged(
        s[i, S_STEER], before_angle, now[1], steering_lag, exp(-dt / steering_lag) if steering_lag > 0.0 else 0.0, dt
    )
    s[i, S_RAMP_V], s[i, S_STEER_SET], s[i, S_TARGET_LEFT], s[i, S_STEER] = now[0], now[1], target, angle

    mass, inertia, a, b = balance(p, i)
    base = p[i, P_BASE]
    free_u, free_w, normal = free_motion(p, s, i, a, b, dt)
    omega = s[i, S_OMEGA]
    weight = mass * GRAVITY * normal
    on_front = clamp(a / base, 0.0, 1.0)
    grip = p[i, P_FRICTION] * weight * dt
    drag = p[i, P_ROLLING] * weight * dt * clamp(s[i, S_WHEEL_LEFT] / DRAG_SPEED, -1.0, 1.0)
    motor = p[i, P_TORQUE] / p[i, P_RADIUS] * dt
    truth = p[i, P_STEER_GAIN] * angle + p[i, P_STEER_OFFSET]
    c, q = cos(truth), sin(truth)
    drive, side, rear, slips = _solve(
        mass,
        inertia,
        base,
        a,
        b,
        (free_u, free_w, omega),
        (c, q),
        target,
        drag,
        motor,
        (on_front * grip, (1.0 - on_front) * grip),
    )
    along, front = drive * c - side * q, drive * q + side * c
    new_omega = omega + (base * front - a * (front + rear) + b * along) / inertia
    new_v = free_u + along / mass + new_omega * b
    new_lateral = free_w + (front + rear) / mass - new_omega * a

    wheel = target if slips else new_v * c + (new_lateral + new_omega * base) * q
    mean = 0.5 * (s[i, S_WHEEL_LEFT] + wheel)
    s[i, S_WHEEL_LEFT] = wheel
    s[i, S_TRAVEL_LEFT] += mean * dt
    s[i, S_FORCE_LEFT] = (drive + drag) / dt
    s[i, S_WORK] += max((drive + drag) * mean, 0.0)
    move(s, i, new_v, new_lateral, new_omega, dt)
