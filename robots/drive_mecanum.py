"""The traction of four mecanum wheels, whose rollers stand at 45 degrees.

A wheel transmits force only along the axes of its rollers; across them the rollers turn. With half the wheel base lx,
half the track ly and K = lx + ly, the surface speeds of the wheels front left, front right, rear left, rear right are
``vx -/+/+/- vy -/+/-/+ K omega`` (Muir and Neuman 1987, *Kinematic modeling for feedback control of an omnidirectional
wheeled mobile robot*). Four wheel speeds for three directions: the forces are spread so that their squares are least,
which is what four equal compliances do.

Each wheel has a torque limit, a friction circle for the load it carries, rolling resistance and rollers that drag
against their own turning. The load of a wheel follows the centre of mass along and across the robot.
"""

from __future__ import annotations

from math import exp, sqrt

from ..common.kernels import compiled
from .drive_common import (
    AT_LIMIT,
    CONVERGED,
    DRAG_SPEED,
    PASSES,
    Pair,
    Quadruple,
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
    P_LATERAL_GAIN,
    P_LINEAR_GAIN,
    P_LOAD,
    P_MAX_LATERAL,
    P_MAX_SPEED,
    P_MAX_YAW_RATE,
    P_RADIUS,
    P_ROLLER,
    P_ROLLING,
    P_TORQUE,
    P_TRACK,
    P_YAW_ACCELERATION,
    S_FORCE_LEFT,
    S_FORCE_RIGHT,
    S_FORCE_RL,
    S_FORCE_RR,
    S_LATERAL,
    S_OMEGA,
    S_RAMP_LATERAL,
    S_RAMP_OMEGA,
    S_RAMP_V,
    S_TARGET_LEFT,
    S_TARGET_RIGHT,
    S_TARGET_RL,
    S_TARGET_RR,
    S_TRAVEL_LEFT,
    S_TRAVEL_RIGHT,
    S_TRAVEL_RL,
    S_TRAVEL_RR,
    S_V,
    S_WHEEL_LEFT,
    S_WHEEL_RIGHT,
    S_WHEEL_RL,
    S_WHEEL_RR,
    S_WORK,
    FloatArray,
)

ROOT_HALF = sqrt(0.5)
FRONT_LEFT = (S_TARGET_LEFT, S_WHEEL_LEFT, S_TRAVEL_LEFT, S_FORCE_LEFT)
FRONT_RIGHT = (S_TARGET_RIGHT, S_WHEEL_RIGHT, S_TRAVEL_RIGHT, S_FORCE_RIGHT)
REAR_LEFT = (S_TARGET_RL, S_WHEEL_RL, S_TRAVEL_RL, S_FORCE_RL)
REAR_RIGHT = (S_TARGET_RR, S_WHEEL_RR, S_TRAVEL_RR, S_FORCE_RR)
"""Columns of a wheel: its lagged target, its surface speed, its travel, the force of its motor."""
CREEP = 0.05
"""How far wheels at their limits may creep, as a share of the change of speed that their force makes in a step: makes
the spread of four forces over three directions unique."""


@compiled
def _follow(p: FloatArray, i: int, now: Triple, v: float, lateral: float, omega: float, dt: float) -> Triple:
    """Move the ramps, vx, vy [m/s] and omega [rad/s], for ``dt`` towards a command; returns them."""
    up, down, yaw = p[i, P_ACCELERATION], p[i, P_DECELERATION], p[i, P_YAW_ACCELERATION]
    most, aside, fastest = p[i, P_MAX_SPEED], p[i, P_MAX_LATERAL], p[i, P_MAX_YAW_RATE]
    return (
        ramp(now[0], clamp(v * p[i, P_LINEAR_GAIN], -most, most), up, down, dt),
        ramp(now[1], clamp(lateral * p[i, P_LATERAL_GAIN], -aside, aside), up, down, dt),
        ramp(now[2], clamp(omega * p[i, P_ANGULAR_GAIN], -fastest, fastest), yaw, yaw, dt),
    )


@compiled
def wheel_speeds(v: float, lateral: float, omega: float, reach: float) -> Quadruple:
    """Return the surface speeds [m/s] of the four wheels; ``reach`` is half the wheel base plus half the track [m]."""
    turn = omega * reach
    return v - lateral - turn, v + lateral + turn, v + lateral - turn, v - lateral + turn


@compiled
def body_speed(wheels: Quadruple, reach: float) -> Triple:
    """Return vx, vy [m/s], omega [rad/s] that fit four wheel speeds best: the inverse of ``wheel_speeds``."""
    fl, fr, rl, rr = wheels
    return 0.25 * (fl + fr + rl + rr), 0.25 * (fr - fl + rl - rr), 0.25 * (fr - fl - rl + rr) / reach


@compiled
def _loads(a: float, b: float, half_base: float, half_track: float) -> Quadruple:
    """Return the shares of the weight on the four wheels for a centre of mass at a, b [m]."""
    x, y = clamp(a / half_base, -1.0, 1.0), clamp(b / half_track, -1.0, 1.0)
    return (
        0.25 * (1.0 + x) * (1.0 + y),
        0.25 * (1.0 + x) * (1.0 - y),
        0.25 * (1.0 - x) * (1.0 + y),
        0.25 * (1.0 - x) * (1.0 - y),
    )


@compiled
def _solve(
    mass: float,
    inertia: float,
    reach: float,
    a: float,
    b: float,
    free: Triple,
    targets: Quadruple,
    low: Quadruple,
    high: Quadruple,
) -> Quadruple:
    """Find the impulses [N s] along the rollers' axes that bring the wheels to their speeds, within ``low``, ``high``.

    ``free`` is u, w [m/s] of the centre of mass at a, b [m], and omega [rad/s], without these impulses.
    """
    goal_v, goal_lateral, goal_omega = body_speed(targets, reach)
    along = mass * (goal_v - goal_omega * b - free[0])
    across = mass * (goal_lateral + goal_omega * a - free[1])
    turn = (inertia * (goal_omega - free[2]) + a * across - b * along) / reach
    each = 0.5 * ROOT_HALF
    fl = each * (along - across - turn)
    fr = each * (along + across + turn)
    rl = each * (along + across - turn)
    rr = each * (along - across + turn)
    if low[0] <= fl <= high[0] and low[1] <= fr <= high[1] and low[2] <= rl <= high[2] and low[3] <= rr <= high[3]:
        return fl, fr, rl, rr
    fl, fr = clamp(fl, low[0], high[0]), clamp(fr, low[1], high[1])
    rl, rr = clamp(rl, low[2], high[2]), clamp(rr, low[3], high[3])

    # Lever arms about the centre of mass: those about base_link less those of the force's parts about it.
    arm_fl, arm_fr = ROOT_HALF * (-reach + a + b), ROOT_HALF * (reach - a + b)
    arm_rl, arm_rr = ROOT_HALF * (-reach - a + b), ROOT_HALF * (reach + a + b)
    creep = CREEP / mass
    base = 1.0 / mass + creep
    scale = abs(fl) + abs(fr) + abs(rl) + abs(rr)
    for _ in range(PASSES):
        before = (fl, fr, rl, rr)
        # Left and right at once, so that mirror images stay mirror images to the bit.
        u = free[0] + ROOT_HALF * ((fl + fr) + (rl + rr)) / mass
        w = free[1] + ROOT_HALF * ((fr - fl) + (rl - rr)) / mass
        omega = free[2] + ((arm_fl * fl + arm_fr * fr) + (arm_rl * rl + arm_rr * rr)) / inertia
        off_fl = ROOT_HALF * (targets[0] - u + w) - omega * arm_fl - creep * fl
        off_fr = ROOT_HALF * (targets[1] - u - w) - omega * arm_fr - creep * fr
        fl = clamp(fl + off_fl / (base + arm_fl * arm_fl / inertia), low[0], high[0])
        fr = clamp(fr + off_fr / (base + arm_fr * arm_fr / inertia), low[1], high[1])
        u = free[0] + ROOT_HALF * ((fl + fr) + (rl + rr)) / mass
        w = free[1] + ROOT_HALF * ((fr - fl) + (rl - rr)) / mass
        omega = free[2] + ((arm_fl * fl + arm_fr * fr) + (arm_rl * rl + arm_rr * rr)) / inertia
        off_rl = ROOT_HALF * (targets[2] - u - w) - omega * arm_rl - creep * rl
        off_rr = ROOT_HALF * (targets[3] - u + w) - omega * arm_rr - creep * rr
        rl = clamp(rl + off_rl / (base + arm_rl * arm_rl / inertia), low[2], high[2])
        rr = clamp(rr + off_rr / (base + arm_rr * arm_rr / inertia), low[3], high[3])
        moved = (abs(fl - before[0]) + abs(fr - before[1])) + (abs(rl - before[2]) + abs(rr - before[3]))
        if moved <= CONVERGED * scale:
            break
    return fl, fr, rl, rr


@compiled
def advance_mecanum(
    p: FloatArray,
    s: FloatArray,
    i: int,
    old_v: float,
    old_lateral: float,
    old_omega: float,
    command_v: float,
    command_lateral: float,
    command_omega: float,
    rest: float,
    dt: float,
) -> None:
    """Advance mecanum drive i by one step, in place: the model of the module docstring.

    The old command vx, vy [m/s], omega [rad/s] still holds in the first share ``rest`` of the step, then the new one.
    """
    half_base, half_track = 0.5 * p[i, P_BASE], 0.5 * p[i, P_TRACK]
    reach = half_base + half_track
    before = (s[i, S_RAMP_V], s[i, S_RAMP_LATERAL], s[i, S_RAMP_OMEGA])
    now = before
    if rest > 0.0:
        now = _follow(p, i, now, old_v, old_lateral, old_omega, rest * dt)
    now = _follow(p, i, now, command_v, command_lateral, command_omega, (1.0 - rest) * dt)
    s[i, S_RAMP_V], s[i, S_RAMP_LATERAL], s[i, S_RAMP_OMEGA] = now[0], now[1], now[2]
    lag = p[i, P_LAG]
    decay = exp(-dt / lag) if lag > 0.0 else 0.0
    old, new = wheel_speeds(before[0], before[1], before[2], reach), wheel_speeds(now[0], now[1], now[2], reach)
    targets = (
        lagged(s[i, S_TARGET_LEFT], old[0], new[0], lag, decay, dt),
        lagged(s[i, S_TARGET_RIGHT], old[1], new[1], lag, decay, dt),
        lagged(s[i, S_TARGET_RL], old[2], new[2], lag, decay, dt),
        lagged(s[i, S_TARGET_RR], old[3], new[3], lag, decay, dt),
    )
    s[i, S_TARGET_LEFT], s[i, S_TARGET_RIGHT] = targets[0], targets[1]
    s[i, S_TARGET_RL], s[i, S_TARGET_RR] = targets[2], targets[3]

    mass, inertia, a, b = balance(p, i)
    free_u, free_w, normal = free_motion(p, s, i, a, b, dt)
    press = p[i, P_LOAD] * mass * GRAVITY * normal * dt
    share = _loads(a, b, half_base, half_track)
    motor = p[i, P_TORQUE] / p[i, P_RADIUS] * dt
    v, lateral, omega = s[i, S_V], s[i, S_LATERAL], s[i, S_OMEGA]
    drag_fl, roll_fl, low_fl, high_fl = _wheel(
        p,
        i,
        -1.0,
        v - omega * half_track,
        lateral + omega * half_base,
        s[i, S_WHEEL_LEFT],
        share[0] * press,
        (motor, dt),
    )
    drag_fr, roll_fr, low_fr, high_fr = _wheel(
        p,
        i,
        1.0,
        v + omega * half_track,
        lateral + omega * half_base,
        s[i, S_WHEEL_RIGHT],
        share[1] * press,
        (motor, dt),
    )
    drag_rl, roll_rl, low_rl, high_rl = _wheel(
        p, i, 1.0, v - omega * half_track, lateral - omega * half_base, s[i, S_WHEEL_RL], share[2] * press, (motor, dt)
    )
    drag_rr, roll_rr, low_rr, high_rr = _wheel(
        p, i, -1.0, v + omega * half_track, lateral - omega * half_base, s[i, S_WHEEL_RR], share[3] * press, (motor, dt)
    )
    # What the rollers' drag does to the body: it points across the axes.
    along = ROOT_HALF * ((drag_fl + drag_fr) + (drag_rl + drag_rr))
    across = ROOT_HALF * ((drag_fl - drag_fr) + (drag_rr - drag_rl))
    spin = (half_base - half_track) * ((drag_fl - drag_fr) + (drag_rl - drag_rr))
    free = (
        free_u + along / mass,
        free_w + across / mass,
        omega + (ROOT_HALF * spin - a * across + b * along) / inertia,
    )
    low, high = (low_fl, low_fr, low_rl, low_rr), (high_fl, high_fr, high_rl, high_rr)
    fl, fr, rl, rr = _solve(mass, inertia, reach, a, b, free, targets, low, high)
    along = ROOT_HALF * ((fl + fr) + (rl + rr))
    across = ROOT_HALF * ((fr - fl) + (rl - rr))
    spin = ROOT_HALF * reach * ((fr - fl) + (rr - rl))
    new_omega = free[2] + (spin - a * across + b * along) / inertia
    new_v = free[0] + along / mass + new_omega * b
    new_lateral = free[1] + across / mass - new_omega * a
    rolled = wheel_speeds(new_v, new_lateral, new_omega, reach)
    limits = (motor, dt)
    _turn(s, i, FRONT_LEFT, rolled[0], (fl, low_fl, high_fl), (drag_fl, roll_fl), limits)
    _turn(s, i, FRONT_RIGHT, rolled[1], (fr, low_fr, high_fr), (drag_fr, roll_fr), limits)
    _turn(s, i, REAR_LEFT, rolled[2], (rl, low_rl, high_rl), (drag_rl, roll_rl), limits)
    _turn(s, i, REAR_RIGHT, rolled[3], (rr, low_rr, high_rr), (drag_rr, roll_rr), limits)
    move(s, i, new_v, new_lateral, new_omega, dt)


@compiled
def _wheel(
    p: FloatArray, i: int, sign: float, x: float, y: float, surface: float, press: float, limits: Pair
) -> Quadruple:
    """Return what a wheel can do in a step.

    Args:
        sign: of vy in its surface speed: its rollers' axes lie along (1, sign).
        x, y: velocity of its hub [m/s]. surface: its surface speed [m/s].
        press: what presses it on the floor [N s]. limits: what its motor gives [N s], and the step [s].

    Returns:
        impulses [N s]: the drag of its rollers along (1, -sign), its rolling resistance, and the least and the greatest
        impulse along the rollers' axes that motor and friction allow.
    """
    turning = ROOT_HALF * ((x - surface) - sign * y)
    most = p[i, P_ROLLER] * press
    # Long steps must not turn the rollers back.
    full = max(DRAG_SPEED, 2.0 * p[i, P_ROLLER] * GRAVITY * limits[1])
    drag = -most * clamp(turning / full, -1.0, 1.0)
    roll = p[i, P_ROLLING] * press * clamp(surface / DRAG_SPEED, -1.0, 1.0)
    grip = p[i, P_FRICTION] * press
    grip = sqrt(max(grip * grip - drag * drag, 0.0))
    reach = limits[0] / ROOT_HALF
    middle = -drag - roll / ROOT_HALF
    low, high = max(-grip, middle - reach), min(grip, middle + reach)
    return drag, roll, min(low, high), max(low, high)


@compiled
def _turn(
    s: FloatArray, i: int, columns: tuple[int, int, int, int], rolled: float, force: Triple, lost: Pair, limits: Pair
) -> None:
    """Turn a wheel and count its work.

    Args:
        columns: of the wheel in the state. rolled: surface speed if it does not slip [m/s].
        force: impulse along the rollers' axes, and the least and the greatest that were allowed [N s].
        lost: drag of the rollers, rolling resistance [N s]. limits: what the motor gives [N s], and the step [s].
    """
    target, wheel, travel, motor = columns
    given = ROOT_HALF * (force[0] + lost[0]) + lost[1]
    slips = (force[0] <= force[1] or force[0] >= force[2]) and abs(given) < AT_LIMIT * limits[0]
    surface = s[i, target] if slips else rolled
    mean = 0.5 * (s[i, wheel] + surface)
    s[i, wheel] = surface
    s[i, travel] += mean * limits[1]
    s[i, motor] = given / limits[1]
    s[i, S_WORK] += max(given * mean, 0.0)
