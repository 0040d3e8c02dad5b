"""Which replay belongs to a log: as it came, and with a twin."""

from __future__ import annotations

import numpy as np

from ..common.geometry import FloatArray
from ..robots.twin import Twin
from ..robots.wheels import WheelParameters
from .fieldlog import FieldLog
from .problems import nominal_tricycle
from .replay import DriveReplay, TricycleReplay, WheelReplay, Windows, commands_body, commands_wheels
from .response_replay import replays_by_response, response_paths
from .wheel_start import closed_form_wheels


def replay_of(
    windows: Windows, twin: Twin | None, textbook: WheelParameters | None = None
) -> tuple[FloatArray, FloatArray]:
    """Replay the windows of a log without and with a twin.

    Commands v, omega (or vx, vy, omega) are dead-reckoned as they stand, and with a twin driven by the traction model;
    with a twin that has a spread by its mean response and clock (``response_replay``).
    Encoder counts and raw wheel commands are dead-reckoned; without a twin with the tricycle of the log's header, or
    with textbook wheels.

    Args:
        windows: of one log.
        twin: calibrated parameters, or None.
        textbook: what is known of the wheels without a twin (``wheel_start.textbook_wheels`` of other logs); None
            fits them to this very log, which flatters them.

    Returns:
        Poses (K, T + 1, 3) without and with it; the same array twice if there is none.

    Raises:
        InputError: the twin is of another kind of robot, or the wheels do not explain how the robot moved.
    """
    log = windows.log
    if commands_body(log):
        drive = DriveReplay([windows])
        before = drive.raw()
        if twin is None:
            return before, before
        if twin.spread is not None and replays_by_response(twin, log):
            return before, response_paths(windows, twin.spread)
        every = np.arange(windows.horizon_steps[-1] + 1)
        return before, drive.simulate_warm(twin.apply(log.model).drive, steps=every)
    if log.drive == "tricycle":
        tricycle, nominal = TricycleReplay([windows]), nominal_tricycle(log)
        before = tricycle.simulate(nominal)
        return before, tricycle.simulate(twin.apply_tricycle(nominal)) if twin else before
    wheels = WheelReplay([windows])
    before = wheels.simulate(textbook or closed_form_wheels([log]))
    return before, wheels.simulate(twin.apply_wheels(WheelParameters(), log.drive)) if twin else before


def raw_replay(log: FieldLog, fitted_to: str) -> str:
    """Name what ``replay_of`` does with a log without a twin; ``fitted_to``: which logs textbook wheels come from."""
    if commands_body(log):
        return "raw commands, dead-reckoned"
    if log.drive == "tricycle":
        return "encoder ticks, dead-reckoned with the parameters of the log's header"
    what = "raw wheel commands" if commands_wheels(log) else "wheel counts"
    return f"{what}, dead-reckoned with textbook wheels whose gain and reach are fitted to {fitted_to}"
