"""The gap split by source - dynamics, sensor, scene, behaviour - and what to fix first.

Every measurement has its own currency: squared metres at the end of a replay, squared metres of lidar range, seconds of
an order. Metres of one are not metres of another, so that nothing is added across them: each measurement's error is
100 %, its parts are shares of it, and a part belongs to one source. The overall shares are plain means over the
measurements there are, each counting the same; they say where to look, not how much there is to win.

Two kinds of share belong to no source: the **reference** (the log's own truth is not exact, which no simulator can
mend) and the **unexplained**.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .motion_sources import MotionSplit
from .orders import OrderGap

Source = Literal["dynamics", "sensor", "scene", "behaviour", "reference", "unexplained"]
SOURCES: tuple[Source, ...] = ("dynamics", "sensor", "scene", "behaviour", "reference", "unexplained")
SMALL = 0.01
"""A gain below this share of an error is not worth naming."""
_UNSEEN = 5e-4


@dataclass(frozen=True)
class Share:
    """A part of one measured error.

    Attributes:
        source: to which it belongs.
        name: of the part, in a word or two.
        share: of the error, 0..1; below zero where a value that was put in makes it worse.
        ci_low, ci_high: its 95 % interval, None where there is none.
        meaning: in words for people.
    """

    source: Source
    name: str
    share: float
    ci_low: float | None
    ci_high: float | None
    meaning: str


@dataclass(frozen=True)
class ErrorSplit:
    """One measured error and its parts, which sum to one.

    Attributes:
        measurement: what was measured (``motion``, ``lidar``, ``time``).
        title: what it is called for people.
        whole: what 100 % is.
        how: how the shares were found.
        shares: the parts.
    """

    measurement: str
    title: str
    whole: str
    how: str
    shares: tuple[Share, ...]


@dataclass(frozen=True)
class Fix:
    """Something that would narrow the gap.

    Attributes:
        name: for scripts.
        title: for people.
        sentence: what to do, and what comes of it.
        cost: what it takes.
        evidence: what the expectation rests on.
        gain: share of the error ``of`` that it is expected to take away, 0..1; None where the logs cannot tell.
        ci_low, ci_high: its 95 % interval, None where there is none.
        at_most: whether ``gain`` is all that there is to win, and not what is expected.
        of: the error, for people.
    """

    name: str
    title: str
    sentence: str
    cost: str
    evidence: str
    gain: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    of: str = ""
    at_most: bool = False


@dataclass(frozen=True)
class SourceSplit:
    """All errors by their parts, the overall shares by source, and what to fix first.

    Attributes:
        splits: one for each measurement.
        shares: by source, the mean over measurements; empty without any.
        ranked: the greatest expected gain first, then those of which only the most is known, then the others.
    """

    splits: tuple[ErrorSplit, ...]
    shares: dict[Source, float] = field(default_factory=dict)
    ranked: tuple[Fix, ...] = ()

    def to_summary(self) -> dict[str, Any]:
        """Return everything, JSON-safe."""
        return {
            "shares": self.shares,
            "splits": [{**vars(split), "shares": [vars(share) for share in split.shares]} for split in self.splits],
            "fix_first": [vars(fix) for fix in self.ranked],
        }


def split_by_source(splits: Sequence[ErrorSplit], fixes: Iterable[Fix]) -> SourceSplit:
    """Put the measured splits together and rank what could be done.

    Args:
        splits: of the measurements there are.
        fixes: what could be done; those whose gain is known to be under ``SMALL`` are left out.
    """
    totals = dict.fromkeys(SOURCES, 0.0)
    for split in splits:
        for share in split.shares:
            totals[share.source] += share.share / len(splits)
    known = [fix for fix in fixes if fix.gain is None or fix.gain >= SMALL]
    ranked = sorted(known, key=lambda fix: (fix.gain is None, fix.at_most, -(fix.gain or 0.0)))
    shares = {source: value for source, value in totals.items() if splits and value != 0.0}
    return SourceSplit(tuple(splits), shares, tuple(ranked))


_MOTION: dict[str, tuple[Source, str, str]] = {
    "drive": ("dynamics", "Gains and lengths", "by a constant factor more or less than it is told"),
    "delay": ("dynamics", "Delay", "it does what it is told too late"),
    "contact": ("behaviour", "Contact", "another logged robot was within touch"),
    "reference": ("reference", "Tracker", "noise of the true poses themselves"),
    "scatter": ("dynamics", "Chance", "differs each time though it is told the same: slip, bumps, play"),
    "rest": ("unexplained", "Repeats, not modelled", "comes back when it is told the same; no value here explains it"),
}  # fmt: skip
_REST_UNPAIRED = "chance (slip, bumps), and what the model lacks; nothing repeats in this log to tell them apart"


def motion_error(split: MotionSplit) -> ErrorSplit:
    """Return a motion split in the common form."""
    shares = []
    for name, share in split.shares.items():
        source, title, meaning = _MOTION[name]
        if name == "rest" and "scatter" not in split.shares:
            title, meaning = "The rest", _REST_UNPAIRED
        if name in ("contact", "reference") and share < _UNSEEN:
            continue
        low, high = split.intervals.get(name, (None, None))
        shares.append(Share(source, title, share, low, high, meaning))
    whose = split.logs[0] if len(split.logs) == 1 else f"{len(split.logs)} logs"
    judged = (
        "Gains and delays were fitted on one half of the data and judged on the other, both ways round."
        if split.held_out
        else "Gains and delays are those of the twin."
    )
    return ErrorSplit(
        "motion",
        f"Driving: position after {split.horizon_s:g} s ({whose})",
        f"100 % is the mean squared distance between the replay without a twin and the real robot: "
        f"({split.total**0.5:.3g} m)², over {split.windows} stretches.",
        judged,
        tuple(shares),
    )


def motion_fixes(split: MotionSplit, *, with_twin: bool, has_spread: bool) -> list[Fix]:
    """Return what could be done about the driving.

    Args:
        split: of the driving.
        with_twin: whether a calibrated twin was given.
        has_spread: whether that twin holds a spread.
    """
    of = f"of the squared position error after {split.horizon_s:g} s"
    fixes = []
    values = split.shares["drive"] + split.shares["delay"]
    if not with_twin:
        fixes.append(
            Fix(
                "calibrate",
                "Calibrate a twin on this log",
                _sentence_of_values(split),
                "one command, 'floorcast calibrate', and a few minutes of a computer",
                "gains and delays fitted on one half of this data and judged on the other",
                max(values, 0.0),
                *_ends(split.intervals, "values"),
                of,
            )
        )
        if split.shares["delay"] > SMALL:
            fixes.append(
                Fix(
                    "measure_delay",
                    "Measure the delay between command and motion",
                    "Part of the gain above is delay alone. A log cannot tell the robot's own delay from clocks that "
                    "disagree; a few sudden starts and stops, filmed or tracked, can.",
                    "ten minutes on the floor",
                    "the error without and with the delay, gains put right or not",
                    split.shares["delay"],
                    *_ends(split.intervals, "delay"),
                    of,
                )
            )
    scatter = split.shares.get("scatter", 0.0)
    if scatter > SMALL and not has_spread:
        fixes.append(
            Fix(
                "model_spread",
                "Let the simulated robot scatter as the real one does",
                "The robot does not do the same twice. No value of any parameter removes that, but a simulated robot "
                "with a spread shows a policy all that may happen: gates then count the bad turns too.",
                "that calibration, where commands are of the body: its twin has a spread; else ranges in a scenario",
                "stretches in which the robot was told the same at different times",
                scatter,
                *_ends(split.intervals, "scatter"),
                of + ", which becomes spread",
            )
        )
    if "scatter" in split.shares and split.shares["rest"] > 0.1:
        fixes.append(
            Fix(
                "extend_model",
                "Look for what the model lacks",
                "This part comes back whenever the robot is told the same, so something real is missing in gains and "
                "delay: a response that depends on speed, a tracker marker beside the wheel axle, a pull to one side.",
                "a calibration first: the response to commands in its twin may hold much of this; then an engineer's "
                "day with the residuals",
                "errors of stretches in which the robot was told the same, after gains and delay were put right",
                split.shares["rest"],
                *_ends(split.intervals, "rest"),
                of,
                at_most=True,
            )
        )
    if split.shares.get("contact", 0.0) > SMALL:
        fixes.append(
            Fix(
                "simulate_others",
                "Put the other robots into the simulation",
                "Where robots come within touch, the logged one is pushed or stops; simulated alone it is not.",
                "a scenario with the fleet instead of one robot",
                "stretches with and without another robot within touch",
                split.shares["contact"],
                *_ends(split.intervals, "contact"),
                of,
            )
        )
    return fixes


_ORDER: dict[str, tuple[Source, str, str]] = {
    "waiting": (
        "behaviour",
        "Waiting",
        "stands with a way to go, and no message says why: traffic, people",
    ),
    "safety": ("behaviour", "Safety stops", "an emergency stop, or somebody in the protective field"),
    "error": ("behaviour", "Errors", "an error that stops the robot"),
    "paused": ("behaviour", "Pauses", "paused by the control or by hand"),
    "detour": ("scene", "Detours", "the way driven is longer than the straight one between the nodes"),
    "slow": ("dynamics", "Slow driving", "driving below its free speed: curves, starts, stops, slow zones"),
}


def order_error(gap: OrderGap, name: str) -> ErrorSplit | None:
    """Return the time of a robot's orders in the common form; None where positions or any excess are missing."""
    total = sum(gap.excess.values())
    if total <= 0.0 or gap.free_speed is None:
        return None
    shares = []
    for cause, seconds in gap.excess.items():
        if seconds / total < _UNSEEN:
            continue
        source, title, meaning = _ORDER[cause]
        shares.append(Share(source, title, seconds / total, *_ends(gap.excess_intervals, cause), meaning))
    return ErrorSplit(
        "orders",
        f"Orders: time beyond an undisturbed drive ({name})",
        f"100 % is what {len(gap.orders)} orders took beyond a drive along the straight way at "
        f"{gap.free_speed:.2g} m/s and beyond their handling: {total:.0f} s.",
        "From the robot's own states, each held until the next.",
        tuple(shares),
    )


def order_fixes(gap: OrderGap) -> list[Fix]:
    """Return what could be done about the time of orders."""
    total = sum(gap.excess.values())
    if total <= 0.0:
        return []
    of = "of the orders' time beyond an undisturbed drive"
    texts = {
        "waiting": (
            "find_waits", "Find out what the robots wait for, and simulate it",
            "A simulation without the traffic, people and queues that robots wait for finishes orders too soon.",
            "a scenario with the whole fleet and its people; a day of watching the places where robots stand",
        ),
        "safety": (
            "simulate_people", "Put people and forklifts where robots stop for safety",
            "Each safety stop is somebody in the way, or a field set too wide for the aisle.",
            "a list of the places of the stops, from the same log",
        ),
        "error": (
            "simulate_faults", "Simulate the faults that stop the robots",
            "Orders in simulation never fail unless faults are planned into the scenario.",
            "the scenario's 'condition' section, with the rates of this log",
        ),
        "detour": (
            "resurvey_layout", "Bring the layout's lanes up to date",
            "Robots drive farther than the nodes ask for: blocked aisles or lanes that the layout lacks.",
            "one import of the fleet manager's present map",
        ),
    }  # fmt: skip
    return [
        Fix(*texts[cause], "the robots' own states", gap.excess[cause] / total,
            *_ends(gap.excess_intervals, cause), of, at_most=True)
        for cause in texts
    ]  # fmt: skip


def missing_fixes(missing: Collection[str]) -> list[Fix]:
    """Return what would let the next log say more.

    Args:
        missing: parts of the gap that could not be measured.
    """
    known = {
        "motion": Fix(
            "log_commands",
            "Log the commands and a true pose",
            "Without what the robot was told and where it really was, nothing can be said about how it drives.",
            "two more topics in the recorder: the commands (cmd_vel) and a tracker's or a mapper's pose",
            "this log lacks them",
        ),
        "lidar": Fix(
            "log_scans",
            "Log the lidar",
            "Without scans nothing can be said about the sensor, nor about what has changed in the hall.",
            "one more topic in the recorder",
            "this log lacks it",
        ),
        "odometry": Fix(
            "log_odometry",
            "Log the wheel odometry",
            "Without what the robot believed to have driven, its drift cannot be simulated.",
            "one more topic in the recorder",
            "this log lacks it",
        ),
    }
    return [fix for part, fix in known.items() if part in missing]


def _sentence_of_values(split: MotionSplit) -> str:
    drive, delay = split.shares["drive"], split.shares["delay"]
    if drive + delay < SMALL:
        return "Better gains and delays would not help on data that they were not fitted to."
    more = "mostly by its gains and lengths" if drive > 2 * delay else "mostly by its delay" if delay > 2 * drive else (
        "by gains and delay about equally"
    )  # fmt: skip
    return f"With values fitted to the robot the simulated one follows it more closely, {more}."


def _ends(intervals: Mapping[str, tuple[float, float]], name: str) -> tuple[float | None, float | None]:
    return intervals.get(name, (None, None))
