"""The traction of a differential drive; see ``drive`` for the model that all kinds share."""

from __future__ import annotations

from math import exp, sqrt

from ..common.kernels import compiled
from .drive_common import (
    AT_LIMIT,
    CONVERGED,
    DRAG_SPEED,
    PASSES,
    Pair,
    backwards_turn,
    balance,
    clamp,
    free_motion,
    inlined,
    lagged,
    move,
    ramp,
)
from .drive_table import (
    GRAVITY,
    P_ACCELERATION,
    P_ANGULAR_GAIN,
    P_DECELERATION,
    P_FRICTION,
    P_INERTIA,
    P_LAG,
    P_LINEAR_GAIN,
    P_LOAD,
    P_MASS,
    P_MAX_SPEED,
    P_MAX_YAW_RATE,
    P_PAYLOAD,
    P_PAYLOAD_X,
    P_PAYLOAD_Y,
    P_RADIUS,
    P_ROLLING,
    P_SLOPE_X,
    P_SLOPE_Y,
    P_TORQUE,
    P_TRACK,
    P_YAW_ACCELERATION,
    PAYLOAD_GYRATION,
    S_BRAKE_LEFT,
    S_BRAKE_RIGHT,
    S_COUNT_LEFT,
    S_COUNT_RIGHT,
    S_FORCE_LEFT,
    S_FORCE_RIGHT,
    S_LATERAL,
    S_OMEGA,
    S_RAMP_OMEGA,
    S_RAMP_V,
    S_SHARE_LEFT,
    S_SHARE_RIGHT,
    S_TARGET_LEFT,
    S_TARGET_RIGHT,
    S_TRAVEL_LEFT,
    S_TRAVEL_RIGHT,
    S_V,
    S_WHEEL_LEFT,
    S_WHEEL_RIGHT,
    S_WORK,
    FloatArray,
)

Outcome = tuple[float, float, float, bool, bool]


@compiled
def _solve_traction(
    mass: float,
    inertia: float,
    half: float,
    v: float,
    lateral: float,
    omega: float,
    target_left: float,
    target_right: float,
    drag_left: float,
    drag_right: float,
    motor_left: float,
    motor_right: float,
    grip: float,
) -> Outcome:
    """Find the wheel impulses [N s] that bring both wheels to their targets as far as torque and grip allow.

    ``half`` is half the track [m]; ``v``, ``lateral``, ``omega`` the velocity without wheel forces; ``drag`` what the
    motors lose to rolling resistance and brakes, ``motor`` the most that each gives, ``grip`` the radius of a friction
    circle [N s].

    Returns:
        longitudinal impulses left and right, the sum of the lateral ones, and whether the left and right wheel slip.
    """
    change_v = 0.5 * (target_left + target_right) - v
    change_omega = 0.5 * (target_right - target_left) / half - omega
    left = 0.5 * (mass * change_v - inertia * change_omega / half)
    right = 0.5 * (mass * change_v + inertia * change_omega / half)
    side = -0.5 * mass * lateral
    torque_holds = abs(left + drag_left) <= motor_left and abs(right + drag_right) <= motor_right
    if torque_holds and max(left * left, right * right) + side * side <= grip * grip:
        return left, right, 2.0 * side, False, False

    effective = 1.0 / (1.0 / mass + half * half / inertia)
    left = right = side_left = side_right = 0.0
    slip_left = slip_right = False
    for _ in range(PASSES):
        before_left, before_right, before_side = left, right, side_left + side_right
        side_change = -0.5 * (mass * lateral + side_left + side_right)
        speed = v + (left + right) / mass - (omega + (right - left) * half / inertia) * half
        left = clamp(left + effective * (target_left - speed), -motor_left - drag_left, motor_left - drag_left)
        side_left += side_change
        size = sqrt(left * left + side_left * side_left)
        slip_left = size > grip
        if slip_left:
            left *= grip / size
            side_left *= grip / size
        speed = v + (left + right) / mass + (omega + (right - left) * half / inertia) * half
        right = clamp(right + effective * (target_right - speed), -motor_right - drag_right, motor_right - drag_right)
        side_right += side_change
        size = sqrt(right * right + side_right * side_right)
        slip_right = size > grip
        if slip_right:
            right *= grip / size
            side_right *= grip / size
        moved = abs(left - before_left) + abs(right - before_right) + abs(side_left + side_right - before_side)
        if moved <= CONVERGED * grip:
            break
    # A motor at its torque limit cannot spin the wheel: only side force took the wheel out of its circle.
    slip_left = slip_left and abs(left + drag_left) < AT_LIMIT * motor_left
    slip_right = slip_right and abs(right + drag_right) < AT_LIMIT * motor_right
    return left, right, side_left + side_right, slip_left, slip_right


@compiled
def _solve_offset(
    mass: float,
    inertia: float,
    half: float,
    a: float,
    b: float,
    free_u: float,
    free_w: float,
    omega: float,
    target_left: float,
    target_right: float,
    drag_left: float,
    drag_right: float,
    motor_left: float,
    motor_right: float,
    grip_left: float,
    grip_right: float,
) -> Outcome:
    """Do what ``_solve_traction`` does for a centre of mass at ``a``, ``b`` [m] and wheels that carry unlike loads.

    ``free_u``, ``free_w`` are the velocity of the centre of mass without wheel forces. Both wheels are treated alike in
    a pass, so that mirror images stay mirror images to the bit; side forces divide as the loads do.
    """
    new_omega = 0.5 * (target_right - target_left) / half
    along = mass * (0.5 * (target_left + target_right) - new_omega * b - free_u)
    side = mass * (new_omega * a - free_w)
    moment = inertia * (new_omega - omega) + a * side - b * along
    left, right = 0.5 * (along - moment / half), 0.5 * (along + moment / half)
    both = max(grip_left + grip_right, 1e-12)
    share_left, share_right = grip_left / both, grip_right / both
    side_left, side_right = share_left * side, share_right * side
    torque_holds = abs(left + drag_left) <= motor_left and abs(right + drag_right) <= motor_right
    if (
        torque_holds
        and left * left + side_left * side_left <= grip_left * grip_left
        and right * right + side_right * side_right <= grip_right * grip_right
    ):
        return left, right, side, False, False

    effective_left = 1.0 / (1.0 / mass + (half - b) * (half - b) / inertia)
    effective_right = 1.0 / (1.0 / mass + (half + b) * (half + b) / inertia)
    effective_side = 1.0 / (1.0 / mass + a * a / inertia)
    left = right = side_left = side_right = 0.0
    slip_left = slip_right = False
    for _ in range(PASSES):
        before_left, before_right, before_side = left, right, side_left + side_right
        turn = omega + ((right - left) * half - a * before_side + b * (left + right)) / inertia
        change = -effective_side * (free_w + before_side / mass - turn * a)
        side_left += share_left * change
        side_right += share_right * change
        turn -= a * change / inertia
        ahead = free_u + (left + right) / mass + turn * b
        left += effective_left * (target_left - (ahead - turn * half))
        right += effective_right * (target_right - (ahead + turn * half))
        left = clamp(left, -motor_left - drag_left, motor_left - drag_left)
        right = clamp(right, -motor_right - drag_right, motor_right - drag_right)
        size_left, size_right = sqrt(left * left + side_left * side_left), sqrt(right * right + side_right * side_right)
        slip_left, slip_right = size_left > grip_left, size_right > grip_right
        if slip_left:
            left *= grip_left / size_left
            side_left *= grip_left / size_left
        if slip_right:
            right *= grip_right / size_right
            side_right *= grip_right / size_right
        moved = abs(left - before_left) + abs(right - before_right) + abs(side_left + side_right - before_side)
        if moved <= CONVERGED * both:
            break
    slip_left = slip_left and abs(left + drag_left) < AT_LIMIT * motor_left
    slip_right = slip_right and abs(right + drag_right) < AT_LIMIT * motor_right
    return left, right, side_left + side_right, slip_left, slip_right


@compiled
def _follow(p: FloatArray, i: int, ramp_v: float, ramp_omega: float, v: float, omega: float, dt: float) -> Pair:
    """Move the ramp of drive i for ``dt`` towards a command; returns v [m/s], omega [rad/s]."""
    goal_v = clamp(v * p[i, P_LINEAR_GAIN], -p[i, P_MAX_SPEED], p[i, P_MAX_SPEED])
    goal_omega = clamp(omega * p[i, P_ANGULAR_GAIN], -p[i, P_MAX_YAW_RATE], p[i, P_MAX_YAW_RATE])
    yaw_rate = p[i, P_YAW_ACCELERATION]
    return (
        ramp(ramp_v, goal_v, p[i, P_ACCELERATION], p[i, P_DECELERATION], dt),
        ramp(ramp_omega, goal_omega, yaw_rate, yaw_rate, dt),
    )


@inlined
def advance_differential(
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
    """Advance differential drive i by one step, in place: the model of ``drive``.

    The old command v [m/s], omega [rad/s] still holds in the first share ``rest`` of the step, the new one after it.
    """
    half = 0.5 * p[i, P_TRACK]
    ramp_v, ramp_omega = s[i, S_RAMP_V], s[i, S_RAMP_OMEGA]
    if rest > 0.0:
        ramp_v, ramp_omega = _follow(p, i, ramp_v, ramp_omega, old_v, old_omega, rest * dt)
    ramp_v, ramp_omega = _follow(p, i, ramp_v, ramp_omega, command_v, command_omega, (1.0 - rest) * dt)

    lag = p[i, P_LAG]
    decay = exp(-dt / lag) if lag > 0.0 else 0.0
    old_left, old_right = s[i, S_RAMP_V] - s[i, S_RAMP_OMEGA] * half, s[i, S_RAMP_V] + s[i, S_RAMP_OMEGA] * half
    target_left = lagged(s[i, S_TARGET_LEFT], old_left, ramp_v - ramp_omega * half, lag, decay, dt)
    target_right = lagged(s[i, S_TARGET_RIGHT], old_right, ramp_v + ramp_omega * half, lag, decay, dt)
    s[i, S_RAMP_V], s[i, S_RAMP_OMEGA] = ramp_v, ramp_omega
    s[i, S_TARGET_LEFT], s[i, S_TARGET_RIGHT] = target_left, target_right

    if p[i, P_SLOPE_X] != 0.0 or p[i, P_SLOPE_Y] != 0.0 or p[i, P_PAYLOAD_X] != 0.0 or p[i, P_PAYLOAD_Y] != 0.0:
        _roll_on_slope(p, s, i, target_left, target_right, half, dt)
        return
    v, lateral, omega = s[i, S_V], s[i, S_LATERAL], s[i, S_OMEGA]
    c, q = backwards_turn(omega, dt)
    free_v, free_lateral = c * v + q * lateral, c * lateral - q * v

    mass = p[i, P_MASS] + p[i, P_PAYLOAD]
    inertia = p[i, P_INERTIA] + PAYLOAD_GYRATION * p[i, P_PAYLOAD]
    weight = mass * GRAVITY
    drag = 0.5 * p[i, P_ROLLING] * weight * dt
    drag_left = (drag + s[i, S_BRAKE_LEFT] * dt) * clamp(s[i, S_WHEEL_LEFT] / DRAG_SPEED, -1.0, 1.0)
    drag_right = (drag + s[i, S_BRAKE_RIGHT] * dt) * clamp(s[i, S_WHEEL_RIGHT] / DRAG_SPEED, -1.0, 1.0)
    motor = p[i, P_TORQUE] / p[i, P_RADIUS] * dt
    grip = 0.5 * p[i, P_FRICTION] * p[i, P_LOAD] * weight * dt
    motor_left, motor_right = motor * s[i, S_SHARE_LEFT], motor * s[i, S_SHARE_RIGHT]
    left, right, side, slip_left, slip_right = _solve_traction(
        mass,
        inertia,
        half,
        free_v,
        free_lateral,
        omega,
        target_left,
        target_right,
        drag_left,
        drag_right,
        motor_left,
        motor_right,
        grip,
    )
    new_v = free_v + (left + right) / mass
    new_lateral = free_lateral + side / mass
    new_omega = omega + (right - left) * half / inertia
    _finish_step(
        s, i, new_v, new_lateral, new_omega, left + drag_left, right + drag_right, slip_left, slip_right, half, dt
    )


@compiled
def _roll_on_slope(
    p: FloatArray, s: FloatArray, i: int, target_left: float, target_right: float, half: float, dt: float
) -> None:
    """Advance a drive on a slope, or with a payload off the centre, whose lagged wheel targets are known.

    The drive wheels carry their share of the weight wherever the payload sits along the robot, as they are sprung
    against the casters; across the robot, their loads follow it.
    """
    mass, inertia, a, b = balance(p, i)
    free_u, free_w, normal = free_motion(p, s, i, a, b, dt)
    omega = s[i, S_OMEGA]
    weight = mass * GRAVITY * normal
    drag = 0.5 * p[i, P_ROLLING] * weight * dt
    drag_left = (drag + s[i, S_BRAKE_LEFT] * dt) * clamp(s[i, S_WHEEL_LEFT] / DRAG_SPEED, -1.0, 1.0)
    drag_right = (drag + s[i, S_BRAKE_RIGHT] * dt) * clamp(s[i, S_WHEEL_RIGHT] / DRAG_SPEED, -1.0, 1.0)
    motor = p[i, P_TORQUE] / p[i, P_RADIUS] * dt
    grip = p[i, P_FRICTION] * p[i, P_LOAD] * weight * dt
    lean = clamp(0.5 * b / half, -0.5, 0.5)
    left, right, side, slip_left, slip_right = _solve_offset(
        mass,
        inertia,
        half,
        a,
        b,
        free_u,
        free_w,
        omega,
        target_left,
        target_right,
        drag_left,
        drag_right,
        motor * s[i, S_SHARE_LEFT],
        motor * s[i, S_SHARE_RIGHT],
        (0.5 + lean) * grip,
        (0.5 - lean) * grip,
    )
    new_omega = omega + ((right - left) * half - a * side + b * (left + right)) / inertia
    new_v = free_u + (left + right) / mass + new_omega * b
    new_lateral = free_w + side / mass - new_omega * a
    _finish_step(
        s, i, new_v, new_lateral, new_omega, left + drag_left, right + drag_right, slip_left, slip_right, half, dt
    )


@compiled
def _finish_step(
    s: FloatArray,
    i: int,
    v: float,
    lateral: float,
    omega: float,
    motor_left: float,
    motor_right: float,
    slip_left: bool,
    slip_right: bool,
    half: float,
    dt: float,
) -> None:
    """Turn wheels, count work, and move."""
    wheel_left = s[i, S_TARGET_LEFT] if slip_left else v - omega * half
    wheel_right = s[i, S_TARGET_RIGHT] if slip_right else v + omega * half
    mean_left, mean_right = 0.5 * (s[i, S_WHEEL_LEFT] + wheel_left), 0.5 * (s[i, S_WHEEL_RIGHT] + wheel_right)
    s[i, S_WHEEL_LEFT], s[i, S_WHEEL_RIGHT] = wheel_left, wheel_right
    s[i, S_TRAVEL_LEFT] += mean_left * dt * s[i, S_COUNT_LEFT]
    s[i, S_TRAVEL_RIGHT] += mean_right * dt * s[i, S_COUNT_RIGHT]
    s[i, S_FORCE_LEFT], s[i, S_FORCE_RIGHT] = motor_left / dt, motor_right / dt
    s[i, S_WORK] += max(motor_left * mean_left, 0.0) + max(motor_right * mean_right, 0.0)
    move(s, i, v, lateral, omega, dt)
