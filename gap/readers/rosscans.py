"""Laser scans of a bag: one shape of scan, REP-117 meanings, and where the laser sits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import pi
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..fieldlog import Scans
from .options import ReadOptions
from .rostables import Clock, Rows, ScanGroup
from .rostf import Tree, rotate, tilt_of, yaw_of
from .rostopics import Topic

Sift = Callable[[str, Rows], tuple[Any, Any]]
_MAJORITY = 0.8
"""Share of scans from which on one shape stands for all."""
_STEEP = 0.1
_TOLD_STEEP = np.radians(2.0)


def scans_of(
    topic: Topic,
    clock: Clock,
    tree: Tree,
    base: str,
    options: ReadOptions,
    say: Callable[[str], None],
    sift: Sift,
) -> Scans | None:
    """Return the scans of a topic.

    Scans of the shape (number and angles of beams) that came most often are kept. Where a driver sends another number
    of beams over the same sector all the time, those of other shapes give it, for each of its beams, their nearest.
    Ranges get the meanings of REP-117: nearer than ``range_min`` is -inf, ``range_max`` and beyond +inf; 0 and below,
    which drivers older than REP-117 write for no reading, is NaN.

    Args:
        topic: of kind ``scan``.
        clock: which stamps count.
        tree: of the robot's frames.
        base: its base frame; empty if there is none.
        options: ``laser_mount`` stands above what the transforms tell.
        say: takes remarks.
        sift: puts rows in order.

    Returns:
        The scans; None if there are none.
    """
    group = topic.scans.largest()
    if group is None or group.beams == 0:
        return None
    if group.shape[2] == 0.0 or not np.isfinite(group.shape[:3:2]).all():
        say(f"{topic.name}: its scans name no angles, so they cannot be used")
        return None
    group = _one_shape(topic, group, say)
    t_ns, index = sift(topic.name, group.rows)
    if len(t_ns) == 0:
        return None
    ranges = np.stack([group.ranges[k] for k in index])
    near, far = _reach(group, ranges, topic.name, say)
    zero = _mean_as_rep117(ranges, near, far)
    if zero:
        say(f"{topic.name}: {zero} ranges of 0 or below taken for no valid reading (NaN)")
    first, increment = group.shape[0], group.shape[2]
    if increment < 0.0:  # a laser that turns clockwise: the last beam comes first
        first, increment = first + increment * (ranges.shape[1] - 1), -increment
        ranges = np.ascontiguousarray(ranges[:, ::-1])
    mount, over = _mount(topic, tree, base, options, say)
    if over:
        # Seen from above the beams of a laser that hangs upside down run clockwise: turn their order round.
        first, ranges = -(first + increment * (ranges.shape[1] - 1)), np.ascontiguousarray(ranges[:, ::-1])
    return Scans(t_ns, ranges, float(first), float(increment), float(near), float(far), mount)


def _one_shape(topic: Topic, group: ScanGroup, say: Callable[[str], None]) -> ScanGroup:
    """Return the scans of the most frequent shape, and say what became of the others."""
    rows, scans = group.rows, topic.scans
    away = scans.seen - rows.seen
    if away == 0:
        return group
    kept = f"{group.beams} beams from {group.shape[0]:.4f} rad"
    if rows.seen >= _MAJORITY * scans.seen:
        say(f"{topic.name}: {away} scans of other shapes left out; {rows.seen} of {kept} are kept")
        return group
    alike = [other for other in scans.groups.values() if other is not group and other.ranges and _alike(group, other)]
    angles = group.shape[0] + group.shape[2] * np.arange(group.beams)
    parts = list(_scans_in(group))
    for other in alike:
        nearest = np.clip(np.round((angles - other.shape[0]) / other.shape[2]).astype(np.int64), 0, other.beams - 1)
        parts += [(number, log, head, ranges[nearest]) for number, log, head, ranges in _scans_in(other)]
    parts.sort(key=lambda part: part[0])
    moved = sum(other.rows.seen for other in alike)
    say(
        f"{topic.name}: no shape of scan prevails; {moved} scans of {len(alike)} other shapes over the same sector are "
        f"brought to {kept} by their nearest beams, {away - moved} left out"
    )
    joined = Rows(0, stride=rows.stride, seen=rows.seen + moved)
    joined.log.extend(part[1] for part in parts)
    joined.head.extend(part[2] for part in parts)
    return ScanGroup(group.shape, joined, [part[0] for part in parts], [part[3] for part in parts])


def _scans_in(group: ScanGroup) -> Iterator[tuple[int, int, int, NDArray[np.float32]]]:
    return zip(group.number, group.rows.log, group.rows.head, group.ranges, strict=True)


def _alike(group: ScanGroup, other: ScanGroup) -> bool:
    """Tell whether two shapes cover the same sector, to three beams."""
    ends = [(shape.shape[0], shape.shape[0] + shape.shape[2] * (shape.beams - 1)) for shape in (group, other)]
    room = 3.0 * abs(group.shape[2])
    return other.shape[2] != 0.0 and all(abs(a - b) <= room for a, b in zip(*ends, strict=True))


def _reach(group: ScanGroup, ranges: NDArray[np.float32], name: str, say: Callable[[str], None]) -> tuple[float, float]:
    """Return the nearest and farthest range that the sensor can tell; by the ranges where the messages do not say."""
    near, far = group.shape[3], group.shape[4]
    if np.isfinite(near) and far > max(near, 0.0):
        return max(near, 0.0), far
    seen = ranges[np.isfinite(ranges) & (ranges > 0)]
    far = float(seen.max()) * 1.001 if len(seen) else 1.0
    say(f"{name}: its limits of range make no sense; 0 to {far:.2f} m is taken, by what it read")
    return 0.0, far


def _mean_as_rep117(ranges: NDArray[np.float32], near: float, far: float) -> int:
    """Give ranges their meanings in place; returns how many were zero or below."""
    with np.errstate(invalid="ignore"):
        zero = (ranges <= 0.0) & np.isfinite(ranges)
        ranges[zero] = np.nan
        ranges[ranges >= np.float32(far)] = np.inf
        ranges[(ranges < np.float32(near))] = -np.inf
    return int(zero.sum())


def _mount(
    topic: Topic, tree: Tree, base: str, options: ReadOptions, say: Callable[[str], None]
) -> tuple[tuple[float, float, float], bool]:
    """Return the laser's pose in the base frame, and whether it hangs upside down."""
    if options.laser_mount is not None:
        return options.laser_mount, False
    frame = topic.scans.frames.most_common(1)[0][0][0].strip("/")
    named = frame if frame in tree.frames else next((name for name in tree.frames if name.endswith("/" + frame)), "")
    track = tree.track(base, named) if base and named else None
    if track is None:
        say(
            f"{topic.name}: no transform from {base or 'a base frame'} to its frame '{frame}'; the laser is taken to "
            "sit in the robot's origin ('laser_mount: [x, y, yaw]' says where it is)"
        )
        return (0.0, 0.0, 0.0), False
    if not track.fixed:
        say(f"{topic.name}: its frame '{frame}' moves on the robot; where it was first is taken")
    position, turn = track.position[0], track.turn[0]
    tilt = float(tilt_of(turn))
    over = tilt > 0.5 * pi
    ahead = rotate(turn, np.array([1.0, 0.0, 0.0]))
    steep = pi - tilt if over else tilt
    if steep > _TOLD_STEEP:
        say(f"{topic.name}: the laser is tilted by {np.degrees(steep):.1f} degrees; it is treated as level")
    yaw = float(np.arctan2(ahead[1], ahead[0])) if over or steep > _STEEP else float(yaw_of(turn))
    return (float(position[0]), float(position[1]), yaw), over
