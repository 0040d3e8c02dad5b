"""What a calibration is fitted to and what it is judged on: the two share no robot, no run or no moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..common.errors import InputError
from .fieldlog import FieldLog

TRAIN_SHARE = 0.7
"""Share of the robots, of the runs of the only robot, or of the time of the only run that is trained on by default."""

Train = Sequence[str | int] | float | None
"""Robots or runs to train on, a share of each log's time, or None for the default."""


@dataclass(frozen=True)
class Holdout:
    """Logs to train on and logs to judge on.

    Attributes:
        trained, judged: the logs.
        share: of each log's time that was trained on, where logs were cut in time; else None.
    """

    trained: list[FieldLog]
    judged: list[FieldLog]
    share: float | None = None

    def names(self) -> tuple[list[str], list[str]]:
        """Return what was trained on and what was judged on, for the twin's provenance."""
        first, rest = ("", "") if self.share is None else (f", first {self.share:.0%} of its time", ", the rest")
        rest = f"{rest} of its time" if rest else ""
        return [log.name + first for log in self.trained], [log.name + rest for log in self.judged]


def hold_out(logs: Sequence[FieldLog], train: Train = None, test: Sequence[str | int] | None = None) -> Holdout:
    """Divide logs.

    By default about 30 % are held out: whole robots where there are several, else whole runs where there are several,
    else the end of the only one.

    Args:
        logs: runs of robots.
        train: robots (all their runs) or runs by name, or a share (0..1) of each log's time from its beginning.
        test: robots or runs to judge on; None takes all others. Not to be given with a share.

    Raises:
        InputError: a name is unknown or on both sides, or one side is empty.
    """
    if isinstance(train, int | float):
        if test is not None:
            raise InputError(
                "a share to train on and robots to judge on cannot both be given", mend="give one of the two"
            )
        pairs = [log.split(float(train)) for log in logs]
        return Holdout([pair[0] for pair in pairs], [pair[1] for pair in pairs], float(train))
    if train is None and test is None:
        return _by_default(logs)
    judged = _chosen(logs, test) if test is not None else None
    trained = _chosen(logs, train) if train is not None else _others(logs, judged or [])
    judged = _others(logs, trained) if judged is None else judged
    both = [log.name for log in trained if any(log is other for other in judged)]
    if both:
        raise InputError(
            f"{', '.join(both)} would be trained on and judged on", mend="judge on robots that were not trained on"
        )
    if not trained or not judged:
        raise InputError(
            "no robot is left to train on or to judge on",
            mend=f"the logs hold {', '.join(log.name for log in logs)}; with one run, train on a share of its time, "
            "for example 0.65",
        )
    return Holdout(trained, judged)


def _by_default(logs: Sequence[FieldLog]) -> Holdout:
    robots = list(dict.fromkeys(log.robot for log in logs))
    if len(logs) == 1:
        return hold_out(logs, TRAIN_SHARE)
    if len(robots) > 1:
        first = robots[: max(1, int(TRAIN_SHARE * len(robots)))]
        trained = [log for log in logs if log.robot in first]
    else:
        trained = list(logs[: max(1, int(TRAIN_SHARE * len(logs)))])
    return Holdout(trained, _others(logs, trained))


def _others(logs: Sequence[FieldLog], chosen: Sequence[FieldLog]) -> list[FieldLog]:
    return [log for log in logs if not any(log is other for other in chosen)]


def _chosen(logs: Sequence[FieldLog], names: Sequence[str | int]) -> list[FieldLog]:
    """Return the logs of named robots or runs, in the order of the names."""
    found: list[FieldLog] = []
    for item in names:
        wanted = {str(item), f"robot{item}"}
        named = [log for log in logs if log.robot in wanted or log.name in wanted]
        if not named:
            raise InputError(
                f"no robot '{item}' in the logs", mend=f"the logs hold {', '.join(log.name for log in logs)}"
            )
        found += [log for log in named if not any(log is other for other in found)]
    return found
