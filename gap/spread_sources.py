"""The split of the motion error by a twin's spread in the common form of ``sources``, and what could be done about it.

Where a twin holds a spread and the logs hold commands, ``spread_split`` says more than the ablation of
``motion_sources``: what is random in the robot itself is what the spread predicts of these very windows, whether or not
anything repeats in the log.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..common.errors import InputError
from ..robots.twin import Twin
from .fieldlog import FieldLog
from .motion_sources import SPLIT_HORIZON
from .problems import fitting_horizons
from .replay import commands_body
from .sources import SMALL, ErrorSplit, Fix, Share, Source
from .spread import HORIZONS
from .spread_split import ErrorSplit as SpreadSplit
from .spread_split import motion_error_splits

_PARTS: dict[str, tuple[Source, str, str]] = {
    "drive": ("dynamics", "Response", "does by a constant amount more or less than it is told; robots differ in it"),
    "delay": ("dynamics", "Delay", "it does what it is told too late, and at the tick of its own clock"),
    "slip": ("dynamics", "Slip", "differs each time though it is told the same: slip, bumps, stalls"),
    "collision": ("behaviour", "Contact", "another logged robot was within touch"),
    "truth noise": ("reference", "Tracker", "noise of the true poses themselves, and the body's rocking"),
    "unexplained": ("unexplained", "Not predicted", "beyond what the twin and its spread predict"),
}
_UNSEEN = 5e-4
_MUCH = 0.1


def split_by_spread(
    logs: Sequence[FieldLog], twin: Twin | None, *, others: Sequence[FieldLog] = (), seed: int = 0
) -> list[SpreadSplit]:
    """Split the squared error of raw commands, position and heading, at ``SPLIT_HORIZON`` or the longest that fits.

    Args:
        logs: of one kind of drive. twin: calibrated on other logs, or None. others: robots that may have been in
            contact. seed: of samples and bootstrap.

    Returns:
        Two splits, or none where the twin has no spread or the logs do not allow it.
    """
    if twin is None or twin.spread is None or not all(commands_body(log) for log in logs):
        return []
    fits = [
        value
        for value in HORIZONS
        if value <= SPLIT_HORIZON and all(value in fitting_horizons(HORIZONS, log) for log in logs)
    ]
    if not fits:
        return []
    try:
        return motion_error_splits(logs, twin.spread, horizons=fits[-1:], others=others, seed=seed)
    except InputError:
        return []


def spread_error(split: SpreadSplit, logs: Sequence[str]) -> ErrorSplit:
    """Return one split in the common form; ``logs`` are their names."""
    shares = []
    for name, percent in split.shares.items():
        source, title, meaning = _PARTS[name]
        if name in ("collision", "truth noise", "unexplained") and percent / 100.0 < _UNSEEN:
            continue
        shares.append(Share(source, title, percent / 100.0, split.low[name] / 100.0, split.high[name] / 100.0, meaning))
    whose = logs[0] if len(logs) == 1 else f"{len(logs)} logs"
    position = split.quantity == "position"
    what = "distance" if position else "heading error"
    size = f"{split.rms:.3g} m" if position else f"{math.degrees(split.rms):.3g}°"
    return ErrorSplit(
        f"motion {split.quantity}",
        f"Driving: {split.quantity} after {split.horizon_s:g} s ({whose})",
        f"100 % is the mean squared {what} of dead-reckoned commands from the real robot: ({size})², "
        f"over {split.windows} stretches.",
        "The twin's delay and response were put in one after the other; what is left is shared out by what the twin's "
        "spread predicts of these stretches.",
        tuple(shares),
    )


def spread_fixes(splits: Sequence[SpreadSplit]) -> list[Fix]:
    """Return what could be done about the driving, from the split of the position."""
    found = []
    for split in splits:
        if split.quantity != "position":
            continue
        of = f"of the squared position error after {split.horizon_s:g} s"
        for name, least, fix in _FIXES:
            share = split.shares[name] / 100.0
            if share > least:
                ends = split.low[name] / 100.0, split.high[name] / 100.0
                found.append(Fix(*fix, share, *ends, of, at_most=name == "unexplained"))
    return found


_FIXES = (
    (
        "unexplained",
        _MUCH,
        (
            "extend_model",
            "Look for what the model lacks",
            "The robot errs more than the twin's spread allows for: something real is missing or has changed since "
            "the twin was calibrated, such as a marker that moved, another floor, or worn wheels.",
            "a new calibration on this log first; then an engineer's day with the residuals",
            "what is left when the twin's response, delay and spread are taken off",
        ),
    ),
    (
        "collision",
        SMALL,
        (
            "simulate_others",
            "Put the other robots into the simulation",
            "Where robots come within touch, the logged one is pushed or stops; simulated alone it is not.",
            "a scenario with the fleet instead of one robot",
            "stretches with and without another robot within touch",
        ),
    ),
)
