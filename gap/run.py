"""Measure the gap between replay and reality, and calibrate a twin that narrows it, judged on data it never saw."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..common.errors import InputError
from ..common.geometry import FloatArray, relative, wrap_angle
from ..common.seeding import generator
from ..robots.motion_spread import MotionSpread
from ..robots.twin import MonitorNoise, Twin
from ..robots.wheels import WheelParameters
from .calibration import Fit, Refit, fit, refit_problem
from .drift import fit_monitor
from .drift_sensors import sound_sensors
from .fieldlog import SECOND, FieldLog
from .holdout import Holdout, Train, hold_out
from .metrics import (
    MIN_BLOCKS,
    Metric,
    Samples,
    block_indices,
    enough_blocks,
    measure,
    pool,
    reduce_drawn,
    window_samples,
)
from .odometry_judged import judge_odometry
from .predicted import NORMAL, Prediction, fit_if_possible, judge_prediction
from .problems import Problem, fitting_horizons, problem_for
from .repeats import run_end_metrics
from .replay import MAX_TRUTH_GAP, STEP, VELOCITY_BASE, Windows, commands_body, commands_wheels, make_windows
from .replay_of import raw_replay, replay_of
from .response_replay import replays_by_response
from .results import CalibrationResult, Comparison, GapResult, ReplayPath, WindowCount
from .sensors import judge_lidar, lidar_section, odometry_section
from .tasks import Evaluate, in_process
from .twins import Origin, calibration_notes, carry_over, make_family, make_twin, provenance_rows
from .wheel_start import textbook_wheels

HORIZONS = (1.0, 2.0, 5.0, 10.0, 30.0)
SHORT_LOG = 300.0
"""Logs shorter than this [s] get a window every second instead of every five, and are judged as one whole path as well.
"""
MIN_MATCHED = 0.8
"""Share of the time of commands or ticks over which the truth must be known."""
_FITTED_HERE, _FITTED_BEFORE = "these very logs, which flatters them", "the training logs"
COMPARED = ("pos_end_err", "yaw_end_err", "ate_rmse", "v_rmse", "omega_rmse", "rpe_1m")
ENDS = ("pos_end_err", "yaw_end_err")
"""Errors that are told of the gains alone too, as ``gains_...``, and by the response against these, ``response_...``.
"""
SCORED = ("crps_pos", "crps_yaw")
"""Scores of predictions that are compared."""


def measure_gap(
    logs: Sequence[FieldLog],
    *,
    twin: Twin | None = None,
    horizons: Sequence[float] = HORIZONS,
    seed: int = 0,
    resamples: int = 1000,
    anchor_every: float | None = None,
    textbook: WheelParameters | None = None,
) -> GapResult:
    """Replay logs open loop and measure how far the replay ends from reality.

    Without a twin, commands are dead-reckoned as they stand (tricycle: ticks, with the parameters of the log's
    header). With one, the traction model of ``robots.drive`` runs with its parameters.

    Args:
        logs: one for each robot, all of one kind of drive.
        twin: calibrated parameters, or None.
        horizons: lengths of the windows [s]. Speeds, delay and lag need 5 s among them. Lengths that a log is too
        short for
            are left out.
        seed: of the bootstrap.
        resamples: of the bootstrap.
        anchor_every: time between windows [s]; None takes 5 s, or 1 s where a log is shorter than ``SHORT_LOG``.
        textbook: wheels of counts and raw wheel commands as known without a twin, from other logs; None fits them to
            all logs of each robot, which flatters them.

    Raises:
        InputError: no logs, logs of different drives, a twin of another kind, or truth for less than 80 % of the time.
    """
    check_logs(logs)
    every = _anchor(logs, anchor_every)
    wheels = {
        robot: textbook or textbook_wheels([log for log in logs if log.robot == robot])
        for robot in dict.fromkeys(log.robot for log in logs)
    }
    replays = [_Replay(log, horizons, every, twin, wheels[log.robot]) for log in logs]
    samples = [window_samples(item.windows, item.after if twin else item.before) for item in replays]
    metrics = []
    for item, part in zip(replays, samples, strict=True):
        metrics += [measure(each, item.log.name, seed=seed, resamples=resamples) for each in part]
        metrics += [measure(each, item.log.name, seed=seed, resamples=resamples) for each in item.gains_samples()]
        metrics += item.whole_path_metrics(twin is not None)
    if len(logs) > 1:
        metrics += [measure(each, "all", seed=seed, resamples=resamples) for each in pool(samples)]
        by_gains = pool([item.gains_samples() for item in replays])
        metrics += [measure(each, "all", seed=seed, resamples=resamples) for each in by_gains]
    metrics += run_end_metrics(logs, twin, seed=seed, resamples=resamples, wheels=wheels)
    return GapResult(
        metrics=metrics,
        windows=[count for item in replays for count in item.counts()],
        matched={item.log.name: item.matched for item in replays},
        paths=[path for item in replays for path in item.paths()],
        notes=_gap_notes(replays, every),
        reports=[line for log in logs for line in log.report.lines()],
        model=_model_of(twin, logs[0])
        if twin
        else raw_replay(logs[0], _FITTED_HERE if textbook is None else _FITTED_BEFORE),
        anchor_every=every,
        seed=seed,
    )


def calibrate(
    logs: Sequence[FieldLog],
    *,
    train: Train = None,
    test: Sequence[str | int] | None = None,
    seed: int = 0,
    horizons: Sequence[float] = HORIZONS,
    refits: int = 60,
    resamples: int = 1000,
    anchor_every: float | None = None,
    name: str | None = None,
    version: int = 1,
    date: str | None = None,
    parent: Twin | None = None,
    command: str | None = None,
    spread: bool = True,
    evaluate_many: Evaluate = in_process,
    stage: Callable[[str], None] = lambda what: None,
) -> CalibrationResult:
    """Calibrate a twin on one part of the logs and judge it on the other.

    With several robots to train on, the twin's values are those of all of them together and its ``family`` holds each
    robot's own with mean and spread (``robots.twin.family_member``).

    Args:
        logs: runs of robots, all of one kind of drive; (robot, run) is unique.
        train: robots or runs to train on, or the share (0..1) of each log's time, from its beginning; None holds out
            about 30 % (see ``holdout``).
        test: robots or runs to judge on; None takes all others. Not to be given with a share.
        seed: of the fit and the bootstraps.
        horizons: lengths of the judged windows [s].
        refits: bootstrap refits for the parameters' intervals.
        resamples: bootstrap resamples for the gap's intervals.
        anchor_every: as in ``measure_gap``.
        name: of the twin.
        version: of the twin, where it has no parent.
        date: written into the twin as given; the clock is not read.
        parent: the twin that the new one is the next version of: the search begins at its values, and what is not
            calibrated anew is taken over.
        command: what was called; written into the twin.
        spread: whether the distribution of motion is fitted too, which takes about a minute for three robots. It needs
            commands of a differential drive; where there are none, or too few, a note says so.
        evaluate_many: does the independent pieces of work; the result does not depend on it.
        stage: told what is being done, ``STAGES`` times.

    Raises:
        InputError: as in ``measure_gap``; a robot is unknown, or stands on both sides; the parent is of another kind.
    """
    check_logs(logs)
    split = hold_out(logs, train, test)
    every = _anchor(split.trained, anchor_every)
    stage("fitting all training logs")
    problem = _begin_at(problem_for(split.trained, every), parent, split.trained[0].drive)
    found = fit(problem, seed=seed, refits=refits, evaluate_many=evaluate_many)
    stage("fitting each robot, and the held-out data as a check")
    members, held_out = _others_fitted(split, found, every, evaluate_many)
    notes = calibration_notes(found, held_out, split, make_family(found, members))
    origin = Origin(name, date, seed, parent, command, version)
    odometry, said = odometry_section(split.trained, seed)
    notes += said
    lidar, said = lidar_section(split.trained, seed)
    notes += said
    stage("learning how much motion differs from its mean")
    predicted, said = fit_if_possible(split.trained, seed, evaluate_many=evaluate_many) if spread else (None, [])
    notes += said
    stage("learning what a sound robot's errors are like")
    monitor, lacking = _monitor(split.trained, found, members, _replayed_by(predicted, parent, spread), evaluate_many)
    notes += lacking
    sound = sound_sensors(split.trained, odometry, seed)
    sections = {"odometry": odometry, "lidar": lidar, "sensor_monitor": sound, "spread": predicted}
    twin = make_twin(found, split, members, monitor, origin, notes).model_copy(update=sections)
    twin = carry_over(twin, parent)
    if not spread:
        twin = twin.model_copy(update={"spread": None})
    if predicted is not None:
        notes.append(
            "Robots of episodes with this twin move by its spread; 'robots: {motion_spread: false}' keeps them to its "
            "gains."
        )
    elif twin.spread is not None:
        notes.append("Its spread, by which it is replayed, is the earlier twin's, which may have seen these logs.")
    stage("judging on the held-out data")
    options: dict[str, Any] = {
        "horizons": horizons, "seed": seed, "resamples": resamples, "anchor_every": anchor_every
    }  # fmt: skip
    known = textbook_wheels(split.trained)
    options["textbook"] = known
    before, after = measure_gap(split.judged, **options), measure_gap(split.judged, twin=twin, **options)
    comparison = _compare(split.judged, twin, known, horizons, before.anchor_every, seed, resamples)
    # One that was taken over from the parent may have seen these logs.
    prediction = judge_prediction(split, twin, horizons=horizons, seed=seed) if predicted is not None else None
    if prediction is not None:
        normal, spreads = prediction.metrics(seed, resamples)
        before, after = (
            replace(side, metrics=side.metrics + more) for side, more in ((before, normal), (after, spreads))
        )
        comparison += _compare_predictions(prediction, seed, resamples)
        notes.append(f"crps and band95 before calibration are those of {NORMAL}, after it those of the twin's spread.")
    if lidar:
        # One that was taken over from the parent may have seen these logs.
        scans = judge_lidar(split.judged, twin, seed)
        notes += scans.notes
        before = replace(before, metrics=before.metrics + scans.before)
        after = replace(after, metrics=after.metrics + scans.after)
    if odometry:
        driven = judge_odometry(split.judged, twin, seed)
        notes += driven.notes
        before = replace(before, metrics=before.metrics + driven.before)
        after = replace(after, metrics=after.metrics + driven.after)
    rows = {
        "gap_before": provenance_rows(before.metrics),
        "gap_after": provenance_rows(after.metrics),
    }
    twin = twin.model_copy(update={"provenance": twin.provenance.model_copy(update={**rows, "notes": notes})})
    return CalibrationResult(
        twin=twin,
        before=before,
        after=after,
        comparison=comparison,
        fit=found,
        held_out_fit=held_out.values,
        train=[log.name for log in split.trained],
        test=[log.name for log in split.judged],
        judged=list(split.judged),
        paths=after.paths,
        textbook=known,
        notes=notes,
    )


STAGES = 5
"""How often ``calibrate`` tells its stage."""


def _begin_at(problem: Problem, parent: Twin | None, drive: str) -> Problem:
    """Begin the search at the values of an earlier twin."""
    if parent is None:
        return problem
    if parent.kind != drive:
        raise InputError(
            f"twin '{parent.name}' is of a {parent.kind} robot, the logs are of a {drive} one",
            mend="give the twin of this kind of robot, or none",
        )
    ranges = tuple(
        replace(item, start=float(np.clip(parent.values.get(item.name, item.start), item.low, item.high)))
        for item in problem.ranges
    )
    return replace(problem, ranges=ranges)


def _model_of(twin: Twin, log: FieldLog) -> str:
    """Name the replay of a twin."""
    name = f"twin {twin.name} version {twin.version}"
    return f"{name}, mean response and clock of its spread" if replays_by_response(twin, log) else name


def _others_fitted(split: Holdout, found: Fit, every: float, evaluate_many: Evaluate) -> tuple[dict[str, Refit], Refit]:
    """Fit each training robot alone, where there are several, and the held-out data."""
    robots = list(dict.fromkeys(log.robot for log in split.trained))
    robots = robots if len(robots) > 1 else []
    problems = [
        problem_for([log for log in split.trained if log.robot == robot], every).within(found.free, found.values)
        for robot in robots
    ]
    fits = evaluate_many(refit_problem, found.values, [*problems, problem_for(split.judged, every)])
    return dict(zip(robots, fits, strict=False)), fits[-1]


def _replayed_by(predicted: MotionSpread | None, parent: Twin | None, spread: bool) -> MotionSpread | None:
    """Return the spread that the new twin will hold: its own, else its parent's."""
    if predicted is not None or not spread or parent is None:
        return predicted
    return parent.spread


def _monitor(
    trained: Sequence[FieldLog],
    found: Fit,
    members: Mapping[str, Refit],
    spread: MotionSpread | None,
    evaluate_many: Evaluate,
) -> tuple[MonitorNoise | None, list[str]]:
    """Learn what a sound robot's errors are like, each robot at its own values; says why where it cannot."""
    values = {log.name: members[log.robot].values if log.robot in members else found.values for log in trained}
    try:
        return evaluate_many(monitor_task, (values, spread), [list(trained)])[0], []
    except InputError as error:
        return None, [f"The twin has no section for the drift monitor: {error.what} ({error.mend})."]


def monitor_task(
    known: tuple[Mapping[str, Mapping[str, float]], MotionSpread | None], logs: Sequence[FieldLog]
) -> MonitorNoise:
    """Fit the monitor's noise: a task."""
    return fit_monitor(logs, *known)


class _Replay:
    """One log with its windows and their replays without (``before``) and with a twin (``after``)."""

    def __init__(
        self,
        log: FieldLog,
        horizons: Sequence[float],
        every: float,
        twin: Twin | None,
        textbook: WheelParameters | None,
    ) -> None:
        self.log = log
        self.matched = matched_share(log)
        if self.matched < MIN_MATCHED:
            raise InputError(
                f"the true pose is known over only {self.matched:.0%} of the time of the inputs (80 % are needed)",
                where=log.name,
                mend="check that both were stamped by the same clock, or cut the log to the part with truth",
            )
        self.windows = make_windows(log, fitting_horizons(horizons, log), every=every)
        self._twin = twin
        self.before, self.after = replay_of(self.windows, twin, textbook)
        self.by_gains: FloatArray | None = None
        if twin is not None and replays_by_response(twin, log):
            self.by_gains = replay_of(self.windows, twin.model_copy(update={"spread": None}))[1]
        self.whole: tuple[Windows, FloatArray, FloatArray] | None = None
        if log.duration < SHORT_LOG:
            length = np.floor((log.duration - VELOCITY_BASE) / STEP) * STEP
            whole = make_windows(log, (float(length),), every=float(length))
            self.whole = (whole, *replay_of(whole, twin, textbook))

    def counts(self) -> list[WindowCount]:
        """Return the windows used and left out."""
        used = self.windows.valid.sum(axis=0)
        return [
            WindowCount(self.log.name, horizon, int(count), left)
            for horizon, count, left in zip(self.windows.horizons, used, self.windows.left_out, strict=True)
        ]

    def gains_samples(self) -> list[Samples]:
        """Return the ends' errors by the twin's gains alone, where its replay does more; else nothing."""
        if self.by_gains is None:
            return []
        found = window_samples(self.windows, self.by_gains)
        return [replace(item, name=f"gains_{item.name}") for item in found if item.name in ENDS]

    def whole_path_metrics(self, with_twin: bool) -> list[Metric]:
        """Return the mean errors over the whole log, replayed once from its start; short logs only."""
        if self.whole is None:
            return []
        windows, before, after = self.whole
        error = relative(windows.truth[0], (after if with_twin else before)[0])
        position, heading = np.hypot(error[:, 0], error[:, 1]).mean(), np.abs(wrap_angle(error[:, 2])).mean()
        length = windows.horizons[0]
        return [
            Metric(name, self.log.name, length, float(value), None, None, 1, None, None, unit)
            for name, value, unit in (("mean_pos_err", position, "m"), ("mean_yaw_err", heading, "rad"))
        ]

    def paths(self) -> list[ReplayPath]:
        """Return stretches for drawing: the whole of a short log, else typical windows of the longest horizon."""
        if self.whole is not None:
            windows, before, after = self.whole
            return [self._path(f"whole stretch, {windows.horizons[0]:.0f} s open loop", windows, before, after, 0)]
        rows = np.flatnonzero(self.windows.valid[:, -1])
        if len(rows) == 0:
            return []
        error = relative(self.windows.truth[rows, -1], self.before[rows, -1])
        order = rows[np.argsort(np.hypot(error[:, 0], error[:, 1]), kind="stable")]
        horizon = self.windows.horizons[-1]
        return [
            self._path(
                f"{horizon:g} s window at the {what} of errors without twin",
                self.windows,
                self.before,
                self.after,
                int(order[int(share * (len(order) - 1))]),
            )
            for what, share in (("median", 0.5), ("95th percentile", 0.95))
        ]

    def _path(self, label: str, windows: Windows, before: FloatArray, after: FloatArray, row: int) -> ReplayPath:
        pick = slice(None, None, 5)
        return ReplayPath(
            robot=self.log.name,
            label=label,
            real=windows.truth[row, pick, :2].copy(),
            before=before[row, pick, :2].copy(),
            after=after[row, pick, :2].copy() if self._twin is not None else None,
        )


def matched_share(log: FieldLog) -> float:
    """Return the share of the time from first to last command (or tick) that lies between near true poses.

    Near are poses at most ``MAX_TRUTH_GAP`` apart.

    Raises:
        InputError: commands or truth are too few, or do not overlap.
    """
    start, end = log.span_ns
    inputs = log.input_t_ns
    gaps = np.diff(np.clip(log.pose_t_ns, start, end)) / SECOND
    lost = gaps[np.diff(log.pose_t_ns) > MAX_TRUTH_GAP * SECOND].sum()
    return float((log.duration - lost) / ((inputs[-1] - inputs[0]) / SECOND))


def check_logs(logs: Sequence[FieldLog]) -> None:
    """Raise InputError where logs cannot be measured together: none, of an unknown drive, of several, named twice."""
    if not logs:
        raise InputError("no field log was given", mend="name a log file or folder")
    for log in logs:
        if log.drive == "unknown":
            raise InputError(
                "the log does not say what moves the robot", where=log.name, mend="name the drive, or a robot model"
            )
    drives = sorted({log.drive for log in logs})
    if len(drives) > 1:
        raise InputError(f"logs of different drives: {', '.join(drives)}", mend="measure each kind on its own")
    names = [log.name for log in logs]
    if len(set(names)) < len(names):
        raise InputError(
            f"two logs share a robot's name: {', '.join(names)}", mend="give each run of a robot a name of its own"
        )


def _anchor(logs: Sequence[FieldLog], every: float | None) -> float:
    if every is not None:
        return every
    return 1.0 if min(log.duration for log in logs) < SHORT_LOG else 5.0


def _compare(
    logs: Sequence[FieldLog],
    twin: Twin,
    textbook: WheelParameters | None,
    horizons: Sequence[float],
    every: float,
    seed: int,
    resamples: int,
) -> list[Comparison]:
    """Compare before and after on the same windows: every resample draws the same windows for both."""
    names = [log.name for log in logs]
    befores, afters, middles = [], [], []
    for log in logs:
        item = _Replay(log, horizons, every, twin, textbook)
        befores.append(window_samples(item.windows, item.before))
        afters.append(window_samples(item.windows, item.after))
        middles.append(item.gains_samples())
    rows = _compare_samples(names, befores, afters, COMPARED, seed, resamples)
    if all(middles):
        raw, response = (
            [[item for item in part if item.name in ENDS] for part in parts] for parts in (befores, afters)
        )
        rows += _compare_samples(names, *_named("gains", raw, middles), seed, resamples)
        rows += _compare_samples(names, *_named("response", middles, response), seed, resamples)
    return rows


def _named(
    what: str, befores: Sequence[Sequence[Samples]], afters: Sequence[Sequence[Samples]]
) -> tuple[list[list[Samples]], list[list[Samples]], tuple[str, ...]]:
    """Name the ends' errors of two sides by what is compared; also returns the names."""
    names = [f"{what}_{name}" for name in ENDS]

    def renamed(parts: Sequence[Sequence[Samples]]) -> list[list[Samples]]:
        return [[replace(x, name=f"{what}_{x.name.removeprefix('gains_')}") for x in part] for part in parts]

    return renamed(befores), renamed(afters), tuple(names)


def _compare_predictions(found: Prediction, seed: int, resamples: int) -> list[Comparison]:
    """Compare the scores of normal errors and of the spread on the same windows."""
    return _compare_samples(found.names, found.normal, found.spread, SCORED, seed, resamples)


def _compare_samples(
    names: Sequence[str],
    befores: Sequence[Sequence[Samples]],
    afters: Sequence[Sequence[Samples]],
    compared: Sequence[str],
    seed: int,
    resamples: int,
) -> list[Comparison]:
    rows = []
    groups = list(zip(names, befores, afters, strict=True))
    if len(names) > 1:
        groups.append(("all", pool(befores), pool(afters)))
    for robot, before, after in groups:
        pairs = zip(before, after, strict=True)
        rows += [_paired(robot, one, other, seed, resamples) for one, other in pairs if one.name in compared]
    return rows


def _paired(robot: str, before: Samples, after: Samples, seed: int, resamples: int) -> Comparison:
    one, other = np.concatenate(before.values), np.concatenate(after.values)
    lengths = [len(part) for part in before.values]
    low = high = None
    if enough_blocks(lengths, before.block):
        rng = generator(seed, "paired", before.name, robot, str(before.horizon))
        index = block_indices(lengths, before.block, resamples, rng)
        drawn = reduce_drawn(after, other, index) - reduce_drawn(before, one, index)
        low, high = (float(value) for value in np.quantile(drawn, [0.025, 0.975]))
    value_before, value_after = float(before.statistic(one)), float(after.statistic(other))
    change = value_after - value_before
    return Comparison(
        before.name,
        robot,
        before.horizon,
        value_before,
        value_after,
        change,
        low,
        high,
        change / value_before if value_before > 0 else None,
        len(one),
        before.unit,
    )


def _gap_notes(replays: Sequence[_Replay], every: float) -> list[str]:
    notes = [
        f"Windows start on the true pose every {every:g} s and overlap; intervals (95 %) come from a moving-block "
        "bootstrap over windows within each log, blocks twice as long as the horizon; of shorter logs, whole logs are "
        "drawn. "
        f"Fewer than {MIN_BLOCKS} blocks give no interval.",
        "The interval of 'all' holds for these robots; it does not cover robots that were not logged.",
    ]
    if commands_body(replays[0].log):
        notes.append(
            "Floor: median difference of the real robot's own motion where it was told the same twice (commands equal "
            "from 1 s before the window to its end); none where fewer than 20 windows repeat."
        )
        notes.append("offset_ms holds clock offset, dead time and lag together: this log cannot tell them apart.")
    else:
        runs = len(replays) > 1 and all(commands_wheels(item.log) for item in replays)
        notes.append(
            "Floor: how far runs that were told the same end from each other, for whole runs (run_end)."
            if runs
            else "Floor: none, the log holds no repeated run."
        )
        notes.append("delay_ms and tau_ms are not given: they need commands of the body's motion.")
    notes.append("truth_pos_err and truth_yaw_err: disagreement of the even with the odd samples of the tracker.")
    if any(item.by_gains is not None for item in replays):
        notes.append(
            "The twin's replay is the mean response to commands and the clock of its spread; gains_pos_end_err and "
            "gains_yaw_end_err are those of its gains, delay and lag alone. Speeds over the first seconds (v_rmse, "
            "delay_ms, ...) are those of the response too."
        )
    left = sum(count.left_out for item in replays for count in item.counts())
    if left:
        notes.append(
            f"{left} windows (all horizons) fall on a hole in truth ({MAX_TRUTH_GAP} s) or inputs and are left out."
        )
    return notes
