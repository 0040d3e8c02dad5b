"""What the compiled drive models of all kinds share: ramp, lag, free motion, and the move of the pose."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, sin, sqrt
from typing import Any

from ..common.kernels import compiled, import_stamp, kept
from .drive_table import (
    GRAVITY,
    P_INERTIA,
    P_MASS,
    P_PAYLOAD,
    P_PAYLOAD_X,
    P_PAYLOAD_Y,
    P_SLOPE_X,
    P_SLOPE_Y,
    P_UNLADEN_X,
    PAYLOAD_GYRATION,
    S_DRIFT_X,
    S_DRIFT_Y,
    S_DRIFT_YAW,
    S_KICK_LATERAL,
    S_KICK_OMEGA,
    S_KICK_V,
    S_LATERAL,
    S_OMEGA,
    S_V,
    S_X,
    S_Y,
    S_YAW,
    FloatArray,
)

Pair = tuple[float, float]
Triple = tuple[float, float, float]
Quadruple = tuple[float, float, float, float]

PASSES = 100
"""Most Gauss-Seidel passes. The coupling of wheels is weak, so that a pass gains about one digit; where several
wheels stand on the edge of their circles it takes more to make left and right turns mirror images."""
CONVERGED = 1e-10
"""Relative change of the impulses at which the passes end."""
DRAG_SPEED = 0.01
"""Wheel speed [m/s] at which rolling resistance is fully developed; below it grows linearly from zero."""
AT_LIMIT = 0.999
"""Share of a motor's limit from which on it counts as reached."""


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a kernel as ``compiled`` does, and put its code into whatever calls it.

    The dispatch between kinds of drives must not cost the common kind a quarter of its time.
    """
    from numba import njit

    dispatcher = njit(cache=True, nogil=True, error_model="numpy", forceinline=True)(function)
    return kept(dispatcher, import_stamp(function.__code__.co_filename))


@compiled
def clamp(value: float, low: float, high: float) -> float:
    """Return the value, or the nearer of the two ends it is beyond."""
    return min(max(value, low), high)


@compiled
def ramp(current: float, target: float, up: float, down: float, dt: float) -> float:
    """Move towards the target: at most ``up`` away from zero, at most ``down`` towards zero, both per second."""
    if current * target < 0.0:
        # Through zero: brake first, then speed up in what is left of the step.
        stop_time = abs(current) / down
        if stop_time >= dt:
            return current - down * dt if current > 0.0 else current + down * dt
        left = up * (dt - stop_time)
        return min(target, left) if target > 0.0 else max(target, -left)
    rate = up if abs(target) > abs(current) else down
    return current + clamp(target - current, -rate * dt, rate * dt)


@compiled
def lagged(value: float, before: float, after: float, lag: float, decay: float, dt: float) -> float:
    """First-order lag, exact for an input that goes linearly from ``before`` to ``after``."""
    if lag <= 0.0:
        return after
    offset = (after - before) / dt * lag
    return after - offset + (value - before + offset) * decay


@compiled
def balance(p: FloatArray, i: int) -> Quadruple:
    """Return mass [kg], inertia about the centre of mass [kg m^2] and its x, y [m]; see ``drive_table.mass_of``."""
    own, load = p[i, P_MASS], p[i, P_PAYLOAD]
    mass = own + load
    away_x, away_y = p[i, P_PAYLOAD_X] - p[i, P_UNLADEN_X], p[i, P_PAYLOAD_Y]
    inertia = p[i, P_INERTIA] + PAYLOAD_GYRATION * load + own * load / mass * (away_x * away_x + away_y * away_y)
    return mass, inertia, p[i, P_UNLADEN_X] + load / mass * away_x, load / mass * away_y


@compiled
def backwards_turn(omega: float, dt: float) -> Pair:
    """Return cosine and sine of the angle that ``base_link`` turns in a step.

    Without wheel forces the velocity keeps its direction in the map, so that it turns backwards in ``base_link``
    (Cayley form of the rotation: keeps the length exactly).
    """
    h = 0.5 * omega * dt
    scale = 1.0 / (1.0 + h * h)
    return (1.0 - h * h) * scale, 2.0 * h * scale


@compiled
def free_motion(p: FloatArray, s: FloatArray, i: int, a: float, b: float, dt: float) -> Triple:
    """Return the velocity [m/s] of the centre of mass, in ``base_link``, after a step without wheel forces.

    ``a``, ``b`` are its place [m]. On a floor that rises by the gradient (gx, gy) gravity pulls with
    ``-g (gx, gy) / sqrt(1 + gx^2 + gy^2)`` along the floor. The third value is the share of gravity that presses on the
    floor, ``1 / sqrt(1 + gx^2 + gy^2)``.
    """
    omega = s[i, S_OMEGA]
    u, w = s[i, S_V] - omega * b, s[i, S_LATERAL] + omega * a
    c, q = backwards_turn(omega, dt)
    free_u, free_w = c * u + q * w, c * w - q * u
    gx, gy = p[i, P_SLOPE_X], p[i, P_SLOPE_Y]
    if gx == 0.0 and gy == 0.0:
        return free_u, free_w, 1.0
    normal = 1.0 / sqrt(1.0 + gx * gx + gy * gy)
    pull = GRAVITY * normal * dt
    middle = s[i, S_YAW] + 0.5 * omega * dt
    ca, sa = cos(middle), sin(middle)
    return free_u - pull * (gx * ca + gy * sa), free_w - pull * (gy * ca - gx * sa), normal


@compiled
def move(s: FloatArray, i: int, v: float, lateral: float, omega: float, dt: float) -> None:
    """Move the pose by the trapezoid rule and keep the new velocity."""
    old_v, old_lateral, old_omega = s[i, S_V], s[i, S_LATERAL], s[i, S_OMEGA]
    mean_v, mean_lateral, mean_omega = 0.5 * (old_v + v), 0.5 * (old_lateral + lateral), 0.5 * (old_omega + omega)
    turn = 0.5 * mean_omega * dt
    middle = s[i, S_YAW] + turn
    # The chord of an arc is shorter than the arc by sin(turn) / turn.
    chord = 1.0 - turn * turn / 6.0
    ca, sa = cos(middle) * chord, sin(middle) * chord
    s[i, S_DRIFT_X] = mean_v * ca - mean_lateral * sa
    s[i, S_DRIFT_Y] = mean_v * sa + mean_lateral * ca
    s[i, S_DRIFT_YAW] = mean_omega
    s[i, S_X] += s[i, S_DRIFT_X] * dt
    s[i, S_Y] += s[i, S_DRIFT_Y] * dt
    s[i, S_YAW] += mean_omega * dt
    s[i, S_KICK_V], s[i, S_KICK_LATERAL] = 0.5 * (v - old_v), 0.5 * (lateral - old_lateral)
    s[i, S_KICK_OMEGA] = 0.5 * (omega - old_omega)
    s[i, S_V], s[i, S_LATERAL], s[i, S_OMEGA] = v, lateral, omega
