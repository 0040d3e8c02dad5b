"""Point replay by a twin's spread: where the robot ends on average, from its response to commands and its clock.

What ``robots.motion_spread`` samples has a middle: the mean response to each command, held from tick to tick of the
clock by which commands are taken over, delayed and lagged. Nobody logs that clock, but ends of turns tell of it, so the
command in force is averaged over clocks drawn as the sampler draws them, and one path is driven by the average. No
processes act on it. On training robots left out of the fit, means of whole paths or of samples came out the same
(medians within 4 %, either way), and have no path that a robot could drive.
"""

from __future__ import annotations

import numpy as np

from ..common.geometry import FloatArray, compose
from ..common.kernels import compiled
from ..common.seeding import seed_sequence
from ..robots.motion_spread import GRID, MotionSpread, mean_taken_over, sync_edges, warm_steps
from ..robots.twin import Twin
from .fieldlog import SECOND, FieldLog
from .replay import STEP, Windows, commands_body
from .spread import response_of
from .spread_response import TimedCommands

CLOCKS = 64
"""Clocks that a window is averaged over."""
_PER_STEP = round(STEP / GRID)


def replays_by_response(twin: Twin | None, log: FieldLog) -> bool:
    """Tell whether a log is replayed by the response of a twin's spread, not by the twin's gains."""
    return twin is not None and twin.spread is not None and commands_body(log) and log.drive == "differential"


def response_paths(windows: Windows, spread: MotionSpread) -> FloatArray:
    """Replay the windows of a log by the mean response and the clock.

    Args:
        windows: of a log with commands (M, 2). spread: whose response and clock count; its noise does not.

    Returns:
        Poses (K, T + 1, 3) from the true starting poses on; yaw runs on past half a turn.
    """
    log = windows.log
    commands = TimedCommands(log)
    response = response_of(spread)
    rate = commands.rate(response.with_scatter(log.cmd))
    edges = sync_edges(commands.seconds, log.cmd, response.span) / GRID
    values = spread.values()
    warm, steps = warm_steps(values), int(windows.horizon_steps[-1]) * _PER_STEP
    begin = (windows.start_ns - log.cmd_t_ns[0]) / SECOND / GRID - warm
    key = np.uint64(seed_sequence(0, "gap.response_replay", log.name).generate_state(1, np.uint64)[0])
    path = np.empty((len(windows), steps // _PER_STEP + 1, 3))
    for row, place in enumerate(begin.tolist()):
        held = mean_taken_over(rate, edges, place, warm + steps, values, CLOCKS, key + np.uint64(row))
        _drive(held, warm, spread.lag.value, _PER_STEP, path[row])
    return compose(windows.truth[:, :1], path)


@compiled
def _drive(held: FloatArray, warm: int, lag: float, every: int, out: FloatArray) -> None:
    """Follow speeds (L, 2) behind a lag [s], ``warm`` steps before the start; ``out`` (T + 1, 3) gets the poses."""
    blend = 1.0 - np.exp(-GRID / lag) if lag > 0.0 else 1.0
    v, w = held[0, 0], held[0, 1]
    x = y = yaw = 0.0
    out[0] = 0.0
    for i in range(len(held)):
        v += blend * (held[i, 0] - v)
        w += blend * (held[i, 1] - w)
        if i < warm:
            continue
        middle = yaw + 0.5 * GRID * w
        x += v * GRID * np.cos(middle)
        y += v * GRID * np.sin(middle)
        yaw += w * GRID
        if (i - warm + 1) % every == 0:
            place = (i - warm + 1) // every
            out[place, 0], out[place, 1], out[place, 2] = x, y, yaw
