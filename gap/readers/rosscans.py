"""Laser scans of a bag: one shape of scan, REP-117 meanings, and where the laser sits."""

from __future__ import annotations

from collections.abc import Callable
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

    Scans of the shape (number and angles of beams) that came most often are kept. Ranges get the meanings of REP-117:
    nearer than ``range_min`` is -inf, ``range_max`` and beyond +inf; 0 and below, which drivers older than REP-117
    write for no reading, is NaN.

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
    if group is None or group.shape[2] == 0.0:
        return None
    others = topic.scans.seen - group.rows.seen
    if others:
        kinds = len(topic.scans.groups) - 1
        say(
            f"{topic.name}: {others} scans of {kinds} other shapes left out; {group.rows.seen} of "
            f"{len(group.ranges[0])} beams from {group.shape[0]:.4f} rad are kept"
        )
    t_ns, index = sift(topic.name, group.rows)
    if len(t_ns) == 0:
        return None
    ranges = np.stack([group.ranges[k] for k in index])
    near, far = _reach(group, ranges, topic.name, say)
    zero = _mean_as_rep117(ranges, near, far)
    if zero:
        say(f"{topic.name}: {zero} ranges of 0 or below taken for no valid reading (NaN)")
    first, increment = group.shape[0], group.shape[2]
    mount, over = _mount(topic, tree, base, options, say)
    if over:
        # Seen from above the beams of a laser that hangs upside down run clockwise: turn their order round.
        first, ranges = -(first + increment * (ranges.shape[1] - 1)), np.ascontiguousarray(ranges[:, ::-1])
    return Scans(t_ns, ranges, float(first), float(increment), float(near), float(far), mount)


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
