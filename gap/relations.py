"""Accuracy of a log's poses by relations that people verified: pairs of stamps and the true pose of one in the other.

Metric: R. Kuemmerle, B. Steder, C. Dornhege, M. Ruhnke, G. Grisetti, C. Stachniss, A. Kleiner, "On measuring the
accuracy of SLAM algorithms", Autonomous Robots 27(4), 2009: the mean over relations of the distance, and of the
absolute angle, between the relation and what the log's poses make of it. Relations say how good a reference is,
whatever its frame: the floor of everything that is measured against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..common.errors import InputError
from ..common.geometry import FloatArray, compose, relative, wrap_angle
from ..common.seeding import generator
from .fieldlog import SECOND, FieldLog, IntArray, interpolate_pose
from .metrics import CONFIDENCE, Metric, block_indices
from .readers.records import read_table

PUBLISHED: dict[str, tuple[float, float]] = {"intel": (0.070, 0.083), "fr079": (0.061, 0.044)}
"""Mean absolute translation error and its standard deviation [m] of a particle filter, as the paper gives them."""
_RESAMPLES = 500
_BLOCK = 25
"""Neighbouring relations that are resampled together."""
_COARSE, _FINE = 0.5, 0.01
"""Steps of the search for the clock's offset [s]."""
_PROBES = 150
_CAP = 0.5
"""Angles beyond count as this much [rad] while the clock's offset is sought."""


@dataclass(frozen=True)
class Relations:
    """Verified relations.

    Attributes:
        seconds: (R, 2) stamps i and j [s].
        pose: (R, 3) pose of j in the frame of i: x, y [m], yaw [rad].
        skipped: records that were no relation.
    """

    seconds: FloatArray
    pose: FloatArray
    skipped: int


@dataclass(frozen=True)
class RelationsResult:
    """What relations say of a log.

    Attributes:
        metrics: ``relation_pos_err`` [m] and ``relation_yaw_err`` [rad] (means), and their standard deviations
            ``..._std``, over relations.
        offset: seconds that were taken from the relations' stamps to get the log's.
        found: True if the offset was found by matching.
        outside: relations beyond the log's first or last pose.
        error: (n, 2) distance [m] and angle [rad] of each relation used.
    """

    metrics: list[Metric]
    offset: float
    found: bool
    outside: int
    error: FloatArray


def read_relations(path: str | Path) -> Relations:
    """Read a file of lines ``t_i t_j dx dy dz roll pitch yaw``.

    Raises:
        InputError: the file cannot be read, or more than 5 % of it is bad.
    """
    table = read_table(Path(path), 8, limit=(1e10, *(1e6,) * 6))
    table.require_usable()
    skipped = sum(item.count for item in table.skipped)
    return Relations(table.values[:, :2].copy(), table.values[:, [2, 3, 7]].copy(), skipped)


def measure_relations(
    log: FieldLog, relations: Relations, *, offset: float | None = None, seed: int = 0
) -> RelationsResult:
    """Hold a log's poses against verified relations.

    Between two poses of the log, the raw odometry tells the way, bent to meet both; without one, the constant twist.

    Args:
        log: with poses.
        relations: of the same run.
        offset: seconds that the relations' clock is ahead of the log's; None: zero if they agree at once, else found by
            matching.
        seed: of the bootstrap.

    Raises:
        InputError: the log has no poses, or no clock offset makes the two agree.
    """
    if len(log.pose_t_ns) < 2:
        raise InputError("the log holds no poses to hold against the relations", where=log.name)
    found = offset is None
    shift = find_offset(log, relations) if offset is None else offset
    stamps = np.round((relations.seconds - shift) * SECOND).astype(np.int64)
    inside = (stamps.min(axis=1) >= log.pose_t_ns[0]) & (stamps.max(axis=1) <= log.pose_t_ns[-1])
    if inside.sum() < 10:
        raise InputError(
            f"only {int(inside.sum())} relations lie within the log's time",
            where=log.name,
            mend="give the offset between the two clocks",
        )
    error = _errors(log, stamps[inside], relations.pose[inside])
    order = np.argsort(stamps[inside, 0], kind="stable")
    metrics = []
    for column, (name, unit) in enumerate((("relation_pos_err", "m"), ("relation_yaw_err", "rad"))):
        values = error[order, column]
        index = block_indices([len(values)], _BLOCK, _RESAMPLES, generator(seed, "bootstrap", name, log.name))
        for suffix, reduce in (("", np.mean), ("_std", np.std)):
            drawn = np.asarray(reduce(values[index], axis=-1))
            low, high = np.quantile(drawn, [(1.0 - CONFIDENCE) / 2.0, (1.0 + CONFIDENCE) / 2.0])
            metrics.append(
                Metric(
                    name + suffix,
                    log.name,
                    None,
                    float(reduce(values)),
                    float(low),
                    float(high),
                    len(values),
                    None,
                    None,
                    unit,
                )
            )
    return RelationsResult(metrics, shift, found, int((~inside).sum()), error)


def find_offset(log: FieldLog, relations: Relations) -> float:
    """Return by how many seconds the relations' clock is ahead of the log's, found by what turns agree with.

    Raises:
        InputError: no offset makes half of the relations agree to a tenth of a radian.
    """
    # Short relations change fast with the clock.
    apart = np.abs(relations.seconds[:, 1] - relations.seconds[:, 0])
    near = np.argsort(apart, kind="stable")
    turning = near[np.abs(relations.pose[near, 2]) > 0.1]
    near = turning if len(turning) >= 30 else near
    probes = near[:: max(1, len(near[: 8 * _PROBES]) // _PROBES)][:_PROBES]
    begin, end = log.pose_t_ns[0] / SECOND, log.pose_t_ns[-1] / SECOND
    first, last = relations.seconds.min(), relations.seconds.max()
    least = first - end + 0.3 * min(end - begin, last - first)
    most = last - begin - 0.3 * min(end - begin, last - first)
    clock, yaw = log.pose_t_ns / SECOND, np.unwrap(log.pose[:, 2])
    tried = np.arange(least, most, _COARSE)
    if least <= 0.0 <= most:
        tried = np.append(tried, 0.0)
    best = _best(tried, clock, yaw, relations, probes)
    for step in (0.1, _FINE):
        width = 5.0 * (_COARSE if step == 0.1 else 0.1)
        best = _best(best + np.arange(-width, width + step, step), clock, yaw, relations, probes)
    seconds = relations.seconds[probes] - best
    inside = (seconds.min(axis=1) >= clock[0]) & (seconds.max(axis=1) <= clock[-1])
    turned = np.interp(seconds[:, 1], clock, yaw) - np.interp(seconds[:, 0], clock, yaw)
    if inside.sum() < 10 or np.median(np.abs(wrap_angle(turned - relations.pose[probes, 2]))[inside]) > 0.1:
        raise InputError(
            "no clock offset makes the log's turns agree with the relations",
            where=log.name,
            mend="check that both are of the same run, or give the offset",
        )
    return float(best)


def _best(tried: FloatArray, clock: FloatArray, yaw: FloatArray, relations: Relations, probes: IntArray) -> float:
    cost = np.empty(len(tried))
    for start in range(0, len(tried), 512):
        part = tried[start : start + 512, None]
        i, j = (relations.seconds[probes, column] - part for column in (0, 1))
        off = np.abs(wrap_angle(np.interp(j, clock, yaw) - np.interp(i, clock, yaw) - relations.pose[probes, 2]))
        off = np.where((np.minimum(i, j) < clock[0]) | (np.maximum(i, j) > clock[-1]), _CAP, off)
        cost[start : start + 512] = np.minimum(off, _CAP).mean(axis=1)
    return float(tried[cost.argmin()])


def _errors(log: FieldLog, stamps: IntArray, told: FloatArray) -> FloatArray:
    ends = [pose_between(log, stamps[:, column]) for column in (0, 1)]
    seen = relative(ends[0], ends[1])
    distance = np.hypot(seen[:, 0] - told[:, 0], seen[:, 1] - told[:, 1])
    return np.column_stack([distance, np.abs(wrap_angle(seen[:, 2] - told[:, 2]))])


def pose_between(log: FieldLog, t_ns: IntArray) -> FloatArray:
    """Return poses (N, 3) at stamps within the log: raw odometry between reference poses, bent to meet both.

    Args:
        log: with poses; without odometry the twist between poses is taken for constant.
        t_ns: (N,) int64.
    """
    odom = log.odom_t_ns
    if len(odom) < 2:
        return interpolate_pose(t_ns, log.pose_t_ns, log.pose)
    before = np.clip(np.searchsorted(log.pose_t_ns, t_ns, side="right") - 1, 0, len(log.pose_t_ns) - 2)
    ends = log.pose_t_ns[before], log.pose_t_ns[before + 1]
    part = (t_ns - ends[0]) / (ends[1] - ends[0])
    here, first, last = (interpolate_pose(stamps, odom, log.odom) for stamps in (t_ns, *ends))
    ahead = compose(log.pose[before], relative(first, here))
    back = compose(log.pose[before + 1], relative(last, here))
    return compose(ahead, relative(ahead, back) * part[:, None])
