"""From the topics of a recording to the field logs of its robots."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...common.errors import InputError
from ...common.geometry import FloatArray, wrap_angle
from ..fieldlog import MAX_BAD_SHARE, SECOND, Drive, FieldLog, FileReport, Finding, IntArray, LogEvent, LogReport
from .options import ReadOptions, Role
from .rosscans import scans_of
from .rostables import Clock, Rows, in_order, offset_of
from .rostf import Tree, base_name, sound_poses, tilt_of, yaw_of
from .rostopics import (
    Choice,
    Collector,
    Topic,
    belongs,
    choose,
    clouds_of,
    namespace_of,
    robots_of,
    wheel_names,
    wheel_order,
)

CLOCKS_APART = SECOND
"""Header stamps of two topics that are further apart [ns], as seen by the recorder, are of two clocks."""
RADIAN_COUNTS = 65536
"""Counts a turn that wheel angles in radians are stored as."""
_SIDEWAYS = 0.02
_CLOCK_FRAMES = ("odom", "base_link", "base_footprint")
_UPRIGHT = 0.9
"""Mean cosine of an axis against the vertical from which on it counts as upright."""
_CLIMB = 0.5
"""No robot climbs so far [m]."""
_TABLES: tuple[Role, ...] = ("cmd", "odom", "pose", "scan", "wheels")


@dataclass
class Recording:
    """One recording: its file or folder, the name of the run where a folder holds several, and whether it is simulated.

    A robot without a name of its own is called after the file or folder.
    """

    path: Path
    run: str = ""
    simulated: bool = False


def build_logs(
    recording: Recording, collector: Collector, reports: list[FileReport], options: ReadOptions
) -> list[FieldLog]:
    """Make a log for each robot of a recording that has anything to say.

    Raises:
        InputError: a topic that the user named is missing or does not fit; too many messages of one are bad.
    """
    prefixes = {
        child.rpartition("/")[0]
        for _, _, child in collector.edges
        if base_name(child) in ("base_link", "base_footprint") and "/" in child
    }
    spaces = robots_of(collector.topics, prefixes)
    logs = []
    for space in spaces if len(spaces) > 1 else ["".join(spaces)]:
        alone = len(spaces) <= 1
        log = _Robot(recording, collector, options, space, alone).build(reports)
        if log is not None:
            logs.append(log)
    return logs


@dataclass
class _Notes:
    """Collects what is to be said."""

    skipped: list[Finding] = field(default_factory=list)
    notes: list[Finding] = field(default_factory=list)
    used: int = 0

    def say(self, text: str) -> None:
        self.notes.append(Finding(text, 1, 0))

    def note(self, where: str, reason: str, count: int, first: int) -> None:
        self.notes.append(Finding(f"{where}: {reason}", count, first))


class _Robot:
    def __init__(
        self, recording: Recording, collector: Collector, options: ReadOptions, space: str, alone: bool
    ) -> None:
        self._recording, self._options, self._space, self._alone = recording, options, space, alone
        self._collector = collector
        own = [topic for topic in collector.topics.values() if alone or belongs(topic.name, space)]
        self._topics = own
        self._notes = _Notes()
        edges = {
            (parent, child): rows
            for (origin, parent, child), rows in collector.edges.items()
            if alone or origin in ("", space)
        }
        self._edges = edges
        self._clock = Clock(header=True)

    def build(self, reports: list[FileReport]) -> FieldLog | None:
        """Return the log; None if there is nothing to put into it."""
        chosen: dict[Role, Choice | None] = {role: self._choose(role) for role in _TABLES}
        self._clock = self._settle_clock(chosen)
        tree = Tree(self._edges, self._clock)
        base = self._base_frame(tree)
        changes: dict[str, Any] = {}
        changes.update(self._commands(chosen["cmd"]))
        changes.update(self._odometry(chosen["odom"], tree, base))
        changes.update(self._poses(chosen["pose"], tree, base))
        changes.update(self._wheels(chosen["wheels"]))
        if chosen["scan"] is not None:
            changes["scans"] = scans_of(
                chosen["scan"].topic, self._clock, tree, base, self._options, self._notes.say, self._sift
            )
        if not changes:
            return None
        changes["events"] = self._events()
        drive = self._drive(changes)
        self._say_rest(chosen)
        name = self._options.robot if self._alone and self._options.robot else self._space
        pose_t_ns = changes.pop("pose_t_ns", np.empty(0, dtype=np.int64))
        return FieldLog(
            robot=name or self._recording.path.name.partition(".")[0],
            run=self._recording.run,
            drive=drive,
            pose_t_ns=pose_t_ns,
            pose=changes.pop("pose", np.empty((0, 3))),
            simulated=self._recording.simulated,
            report=self._report(reports),
            **changes,
        )

    def _choose(self, role: Role) -> Choice | None:
        asked = self._options.topics.get(role)
        if asked is not None and asked in self._collector.topics and self._collector.topics[asked].kind == "tf":
            return None  # the transforms are looked at where no topic is chosen
        choice = choose(role, self._topics, self._options, self._collector.topics)
        if choice is None:
            return None
        topic = choice.topic
        if topic.bad:
            if topic.bad > MAX_BAD_SHARE * topic.count:
                raise InputError(
                    f"{topic.bad} of {topic.count} messages of {topic.name} are bad, over the limit of "
                    f"{MAX_BAD_SHARE:.0%} (first: message {topic.first_bad})",
                    where=str(self._recording.path),
                    mend=f"copy the file again, or name another topic: 'topics: {{{role}: /another}}'",
                )
            self._notes.skipped.append(
                Finding(f"{topic.name}: message that cannot be decoded", topic.bad, topic.first_bad)
            )
        self._notes.say(choice.remark)
        return choice

    def _settle_clock(self, chosen: dict[Role, Choice | None]) -> Clock:
        """Decide between header and receive stamps, and say how far they are apart."""
        offsets: dict[str, int] = {}
        silent = []
        for choice in filter(None, chosen.values()):
            for rows in _rows_of(choice.topic):
                offset = offset_of(rows)
                if offset is not None:
                    offsets[choice.topic.name] = offset
                elif choice.topic.kind != "twist" or any(rows.head):
                    silent.append(choice.topic.name)
        for (_, frame), rows in self._edges.items():
            own = self._alone or namespace_of(frame) in ("", self._space)
            # Latched transforms come again with the stamp of long ago: only what is stamped anew tells of the clock.
            anew = 2 * len(set(rows.head)) > max(len(rows.head), 3)
            offset = offset_of(rows) if own and anew and base_name(frame) in _CLOCK_FRAMES else None
            if offset is not None:
                offsets[f"/tf {frame}"] = offset
        for name in silent:
            self._notes.say(f"{name}: its headers hold no stamps; receive stamps are used")
        if not offsets:
            return Clock(header=False)
        told = ", ".join(f"{name} {offset / SECOND:.4f} s" for name, offset in offsets.items())
        self._notes.say(f"received after their header stamps by (median): {told}")
        values = sorted(offsets.values())
        if values[-1] - values[0] > CLOCKS_APART:
            self._notes.say("header stamps are of clocks over 1 s apart: receive stamps are used for all topics")
            return Clock(header=False)
        middle = values[len(values) // 2]
        if abs(middle) <= CLOCKS_APART:
            return Clock(header=True)
        self._notes.say(
            f"header stamps differ from receive stamps by {-middle / SECOND:.3f} s: messages without a header are "
            "shifted by as much"
        )
        return Clock(header=True, offset_ns=middle)

    def _sift(self, name: str, rows: Rows, sound: Any = None) -> tuple[IntArray, Any]:
        """Put rows in order, say what was found, and return stamps and index."""
        ordered = in_order(rows, self._clock, sound)
        for reason, count, first in ordered.skipped:
            self._notes.skipped.append(Finding(f"{name}: {reason}", count, first))
        bad = sum(count for _, count, _ in ordered.skipped)
        if bad > MAX_BAD_SHARE * max(len(rows.log), 1):
            kinds = "; ".join(f"{count} x {reason}" for reason, count, _ in ordered.skipped)
            raise InputError(
                f"{bad} of {len(rows.log)} messages of {name} are bad, over the limit of {MAX_BAD_SHARE:.0%}: {kinds}",
                where=str(self._recording.path),
                mend="name another topic, or record again",
            )
        for reason, count, first in ordered.notes:
            self._notes.note(name, reason, count, first)
        if rows.stride > 1:
            self._notes.say(f"{name}: {rows.seen} messages thinned evenly, one in {rows.stride} is kept")
        self._notes.used += len(ordered.t_ns)
        return ordered.t_ns, ordered.index

    def _commands(self, choice: Choice | None) -> dict[str, Any]:
        if choice is None:
            return {}
        rows = choice.topic.rows
        values = rows.table()
        sound = np.isfinite(values).all(axis=1) & (np.abs(values) <= (50.0, 50.0, 100.0)).all(axis=1)
        t_ns, index = self._sift(choice.topic.name, rows, sound)
        values = values[index]
        aside = float(np.mean(np.abs(values[:, 1]) > 1e-6)) if len(values) else 0.0
        if aside > 0.01:
            self._notes.say(f"{choice.topic.name}: {aside:.0%} of the commands ask for sideways motion")
            return {"cmd_t_ns": t_ns, "cmd": values}
        return {"cmd_t_ns": t_ns, "cmd": values[:, [0, 2]]}

    def _odometry(self, choice: Choice | None, tree: Tree, base: str) -> dict[str, Any]:
        if choice is not None:
            t_ns, pose = self._planar(choice.topic.name, choice.topic.rows)
            return {"odom_t_ns": t_ns, "odom": pose}
        chain = tree.above(base) if base else []
        origin = next((frame for frame in chain if base_name(frame).startswith("odom")), None)
        if origin is None or origin == base:
            return {}
        return self._along(tree, origin, base, chain, "odom")

    def _along(self, tree: Tree, origin: str, base: str, chain: list[str], table: str) -> dict[str, Any]:
        """Return a table of poses composed from the transforms between two frames."""
        for frame, parent in itertools.pairwise(chain[: chain.index(origin) + 1]):
            link, rows = tree.edge(frame), tree.rows(frame)
            if link is not None and not link.fixed:
                self._sift(f"/tf {parent} -> {frame}", rows, sound_poses(rows.table()))
        track = tree.track(origin, base)
        if track is None or len(track.t_ns) < 2:
            return {}
        way = " -> ".join(reversed(chain[: chain.index(origin) + 1]))
        self._notes.say(f"{table}: composed of the transforms {way}, {len(track.t_ns)} of them")
        self._say_tilt(table, track.turn)
        pose = np.column_stack([track.position[:, :2], wrap_angle(yaw_of(track.turn))])
        return {f"{table}_t_ns": track.t_ns, table: pose}

    def _planar(self, name: str, rows: Rows) -> tuple[IntArray, FloatArray]:
        """Return stamps and planar poses of rows of position and quaternion."""
        values = rows.table()
        t_ns, index = self._sift(name, rows, sound_poses(values))
        values = values[index]
        if len(values) == 0:
            return t_ns, np.empty((0, 3))
        turn = values[:, 3:] / np.linalg.norm(values[:, 3:], axis=1, keepdims=True)
        position = values[:, :3]
        if _y_is_up(position, turn):
            self._notes.say(f"{name}: its y axis points up; (x, -z) is taken for the floor and turns about y for yaw")
            position = position[:, [0, 2, 1]] * (1.0, -1.0, 1.0)
            turn = turn[:, [0, 2, 1, 3]] * (1.0, -1.0, 1.0, 1.0)
        self._say_tilt(name, turn)
        return t_ns, np.column_stack([position[:, :2], wrap_angle(yaw_of(turn))])

    def _say_tilt(self, name: str, turn: FloatArray) -> None:
        tilt = np.degrees(tilt_of(turn))
        if len(tilt) and np.max(tilt) > 1.0:
            told = f"{np.median(tilt):.1f} degrees (median, at most {np.max(tilt):.1f})"
            self._notes.say(f"{name}: tilted by {told}; only yaw is used")

    def _base_frame(self, tree: Tree) -> str:
        for name in ("base_link", "base_footprint"):
            prefixed = f"{self._space}/{name}"
            found = [frame for frame in tree.frames if base_name(frame) == name]
            if self._space and prefixed in found:
                return prefixed
            if name in found or len(found) == 1:
                return name if name in found else found[0]
        return ""

    def _poses(self, choice: Choice | None, tree: Tree, base: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        source = "localisation"
        if choice is not None and (choice.source == "tracker" or "pose" in self._options.topics):
            found, source = self._pose_rows(choice), choice.source
        if not found:
            found, source = self._pose_of_tree(tree, base)
        if not found and choice is not None:
            found, source = self._pose_rows(choice), choice.source
        if found:
            found["pose_source"] = self._options.pose_source or source
            if found["pose_source"] == "localisation":
                self._notes.say("pose: the robot's own localisation, which is no independent truth")
        return found

    def _pose_rows(self, choice: Choice) -> dict[str, Any]:
        t_ns, pose = self._planar(choice.topic.name, choice.topic.rows)
        return {"pose_t_ns": t_ns, "pose": pose}

    def _pose_of_tree(self, tree: Tree, base: str) -> tuple[dict[str, Any], str]:
        chain = tree.above(base) if base else []
        root = next((frame for frame in chain[1:] if base_name(frame) in ("map", "world", "earth")), None)
        if root is None:
            return {}, ""
        odom = next((frame for frame in chain if base_name(frame).startswith("odom")), None)
        if odom is not None:
            link = tree.track(root, odom)
            if link is None or link.fixed:
                self._notes.say(
                    f"/tf {root} -> {odom} never changes: nothing localised the robot, so its pose is not known"
                )
                return {}, ""
        direct = odom is None and (self._recording.simulated or base_name(root) == "world")
        return self._along(tree, root, base, chain, "pose"), "tracker" if direct else "localisation"

    def _wheels(self, choice: Choice | None) -> dict[str, Any]:
        if choice is None:
            return {}
        topic = choice.topic
        names = wheel_names(topic)
        order = wheel_order(names)
        if not names or order is None:
            self._notes.say(f"{topic.name}: the joints {', '.join(names) or 'it holds'} are no wheels that can be told")
            return {}
        rows = topic.joints[names]
        values = rows.table()[:, order]
        t_ns, index = self._sift(
            topic.name, rows, np.isfinite(values).all(axis=1) & (np.abs(values) < 1e15).all(axis=1)
        )
        values = values[index]
        told = ", ".join(names[k] for k in order)
        whole = bool((values == np.round(values)).all()) and len(values) > 0 and np.ptp(values) > 0
        if whole:
            self._notes.say(f"{topic.name}: whole numbers throughout, so encoder counts ({told})")
            ticks, wrapped = unwrap_counts(values.astype(np.int64))
            if wrapped:
                self._notes.say(f"{topic.name}: {wrapped} roll-overs of the counters undone")
        else:
            self._notes.say(
                f"{topic.name}: fractions, so angles in radians ({told}); stored as counts of {RADIAN_COUNTS} a turn"
            )
            ticks = np.round(values * (RADIAN_COUNTS / (2.0 * np.pi))).astype(np.int64)
        return {"ticks_t_ns": t_ns, "ticks": ticks}

    def _events(self) -> tuple[LogEvent, ...]:
        asked = self._options.topics.get("event")
        events: list[LogEvent] = []
        for topic in self._topics if self._alone else self._collector.topics.values():
            if topic.kind == "event" and asked in (None, topic.name):
                events += [event for event in topic.events if self._concerns(event)]
        return tuple(sorted(events, key=lambda event: event.t_ns))

    def _concerns(self, event: LogEvent) -> bool:
        """Tell whether a word is of this robot, as far as it names one."""
        name = event.values.get("name", "")
        if self._alone:
            return True
        return namespace_of(event.kind) in ("", self._space) and name in ("", self._space, "hall")

    def _drive(self, tables: dict[str, Any]) -> Drive:
        """Tell what moves the robot by what it does; the user knows better."""
        if self._options.drive is not None:
            return self._options.drive
        if tables.get("cmd", np.empty((0, 2))).shape[1] == 3:
            self._notes.say("drive: mecanum, since it is told to move sideways")
            return "mecanum"
        ticks = tables.get("ticks", np.empty((0, 0)))
        if ticks.shape[1] == 4 and len(ticks) > 1:
            steps = np.diff(ticks, axis=0)
            aside = float(np.abs(steps @ (1, -1, -1, 1)).sum()) / max(float(np.abs(steps).sum()), 1.0)
            kind: Drive = "mecanum" if aside > _SIDEWAYS else "differential"
            self._notes.say(
                f"drive: {kind}, since {aside:.1%} of the wheels' motion is of front against rear wheels of a side"
            )
            return kind
        if ticks.shape[1] == 2 or "cmd" in tables:
            self._notes.say("drive: taken for differential; 'drive: tricycle' or 'mecanum' says otherwise")
            return "differential"
        return "unknown"

    def _say_rest(self, chosen: dict[Role, Choice | None]) -> None:
        """Name the topics that were not used."""
        taken = {choice.topic.name for choice in chosen.values() if choice is not None}
        rest = [
            topic
            for topic in self._topics
            if topic.name not in taken and topic.kind not in ("tf", "event") and topic.count
        ]
        empty = sorted(topic.name for topic in self._topics if topic.count == 0)
        if rest:
            told = [topic.described() for topic in sorted(rest, key=lambda topic: topic.name)]
            more = f" and {len(told) - 20} more" if len(told) > 20 else ""
            self._notes.say(f"not used: {', '.join(told[:20])}{more}")
        if chosen.get("scan") is None and (clouds := clouds_of(rest)):
            self._notes.say(clouds)
        if empty:
            self._notes.say(f"without any message: {', '.join(empty[:20])}")
        for topic in self._topics:
            if topic.problem or topic.bad >= max(1, topic.count):
                self._notes.say(f"{topic.described()} cannot be read: {topic.problem or 'damaged or another type'}")
        if self._collector.crowd:
            self._notes.say(f"/tf: {self._collector.crowd} transforms of too many frames left out")

    def _report(self, reports: list[FileReport]) -> LogReport:
        first, *others = reports
        notes = self._notes
        return LogReport(
            (
                replace(
                    first, used=notes.used, skipped=tuple(notes.skipped), notes=(*first.notes, *tuple(notes.notes))
                ),
                *others,
            )
        )


def _y_is_up(position: FloatArray, turn: FloatArray) -> bool:
    """Tell whether a tracker's y axis points up: the robot's own y axis stays upright, and its z axis does not.

    Where the robot hardly turned both stay upright, and the height is the axis along which it hardly moved.
    """
    x, y, z, _ = turn.T
    upright_y, upright_z = np.mean(1 - 2 * (x * x + z * z)) > _UPRIGHT, np.mean(1 - 2 * (x * x + y * y)) > _UPRIGHT
    _, across, high = np.ptp(position, axis=0)
    return bool(upright_y and (not upright_z or (high > _CLIMB and across < 0.2 * high)))


def unwrap_counts(counts: IntArray) -> tuple[IntArray, int]:
    """Undo roll-overs of 16- and 32-bit counters.

    A step of over half a counter's range is a roll-over, where no count leaves that range.

    Args:
        counts: (K, wheels) int64 as read.

    Returns:
        The running counts (K, wheels), which begin as read, and the number of roll-overs undone.
    """
    low, high = int(counts.min()), int(counts.max())
    steps = np.diff(counts, axis=0)
    for bits in (16, 32):
        full = 1 << bits
        fits = (low >= 0 and high < full) or (low >= -full // 2 and high < full // 2)
        rolled = np.abs(steps) > full // 2
        if fits:
            if not rolled.any():
                break
            mended = steps - np.sign(steps) * full * rolled
            return np.concatenate([counts[:1], counts[0] + np.cumsum(mended, axis=0)]), int(rolled.sum())
    return counts, 0


def _rows_of(topic: Topic) -> Iterable[Rows]:
    if topic.kind == "scan":
        group = topic.scans.largest()
        return [group.rows] if group is not None else []
    if topic.kind == "joints":
        return [topic.joints[wheel_names(topic)]] if wheel_names(topic) else []
    return [topic.rows]
