"""Which topic of a bag is what: collects what may be of use while the bag streams by, then chooses, and says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from ...common.errors import InputError
from ..fieldlog import LogEvent
from .options import ReadOptions, Role
from .rosfile import Channel, Sink, Stream
from .rosmsg import DECODE_ERRORS, KINDS, Decoder, Joints, Kind, Placed, Twist, Word, decoder_of
from .rostables import MAX_ROWS, Rows, ScanRows
from .rostf import MAX_EDGES, base_name, limit_of

MAX_EVENTS = 100_000
_MAX_JOINTS = 64
_MAX_JOINT_SETS = 16
ROLE_KINDS: dict[Role, tuple[Kind, ...]] = {
    "cmd": ("twist",),
    "odom": ("odometry", "tf"),
    "pose": ("pose", "odometry", "tf"),
    "scan": ("scan",),
    "wheels": ("joints",),
    "event": ("event",),
}
"""Kinds of message that can serve a role, the usual one first."""

_TRUTH = ("truth", "optitrack", "mocap", "vicon", "vrpn", "qualisys", "tracker", "/gt")
_OWN = ("amcl", "tracked_pose", "slam", "localiz", "localis", "robot_pose")
_NO_POSE = ("goal", "initial", "target", "setpoint", "waypoint", "marker", "desired", "reference", "plan", "camera")
_CARRIED = ("base_", "camera", "optical", "laser", "lidar", "imu", "gripper", "tool")
_NO_DRIVE = ("caster", "steer", "castor", "drop")


@dataclass
class Topic:
    """All messages of one topic that were kept.

    Attributes:
        channel: of its first publisher.
        kind: what its messages are read as; None: nobody wants them.
        count: messages.
        bad: messages that could not be decoded, and the number (from 1) of the first.
        problem: why none of them can be read, if so.
        rows: of ``twist`` (vx, vy, yaw rate), ``pose`` and ``odometry`` (position, quaternion).
        scans: of ``scan``.
        joints: of ``joints``, by the names of the joints.
        events: of ``event``.
    """

    channel: Channel
    kind: Kind | None
    streams: list[Stream] = field(default_factory=list)
    bad: int = 0
    first_bad: int = 0
    problem: str = ""
    rows: Rows = field(default_factory=lambda: Rows(0))
    scans: ScanRows = field(default_factory=lambda: ScanRows(None))
    joints: dict[tuple[str, ...], Rows] = field(default_factory=dict)
    events: list[LogEvent] = field(default_factory=list)

    @property
    def name(self) -> str:
        """As the recording has it."""
        return self.channel.topic

    @property
    def count(self) -> int:
        """Messages of all publishers, bad ones included."""
        return sum(stream.count for stream in self.streams)

    @property
    def frame(self) -> str:
        """The frame most of its messages name, without slash and robot."""
        frames = (self.scans if self.kind == "scan" else self.rows).frames
        return base_name(frames.most_common(1)[0][0][0]) if frames else ""

    def described(self) -> str:
        """Return the topic with type and number of messages."""
        return f"{self.name} ({self.channel.msgtype}, {self.count} messages)"


class Collector:
    """Collects the topics of one recording; hand ``open`` to the readers of its files."""

    def __init__(self, options: ReadOptions) -> None:
        self.topics: dict[str, Topic] = {}
        self.edges: dict[tuple[str, str, str], Rows] = {}
        """Transforms by (namespace of the topic, parent, child)."""
        self.crowd = 0
        """Transforms beyond ``MAX_EDGES``, not kept."""
        self._named: dict[tuple[str, str, str], Rows] = {}
        self._options = options
        self._asked: dict[str, Role] = {topic: role for role, topic in options.topics.items()}

    def open(self, channel: Channel) -> Stream:
        """Decide about a channel."""
        topic = self.topics.get(channel.topic)
        kind = self._kind(channel)
        if topic is None:
            topic = self.topics[channel.topic] = Topic(channel, kind)
            topic.rows.width = 3 if kind == "twist" else 7
            topic.scans.limit = self._options.max_scans
        stream = Stream(channel, None)
        topic.streams.append(stream)
        if kind is not None and kind == topic.kind:
            try:
                decode = decoder_of(channel, kind)
            except ValueError as error:
                topic.problem = str(error)
            else:
                stream.sink = _sink(topic, stream, decode, self._taker(topic, kind))
        return stream

    def _kind(self, channel: Channel) -> Kind | None:
        usual = KINDS.get(channel.msgtype)
        role = self._asked.get(channel.topic)
        if role is not None:
            return usual if usual in ROLE_KINDS[role] else ROLE_KINDS[role][0]
        if usual == "scan" and "scan" in self._options.topics:
            return None  # the only other table that takes much memory
        return usual

    def _taker(self, topic: Topic, kind: Kind) -> Any:
        """Return what takes a decoded record of a kind, with its receive stamp first."""
        if kind in ("twist", "pose", "odometry"):
            return lambda log_ns, record: _take_row(topic.rows, log_ns, record)
        if kind == "scan":
            return topic.scans.add
        if kind == "joints":
            return lambda log_ns, record: _take_joints(topic.joints, log_ns, record)
        if kind == "event":
            return lambda log_ns, record: _take_event(topic, log_ns, record)
        space = namespace_of(topic.name)
        return lambda log_ns, record: self._take_transforms(space, log_ns, record)

    def _take_transforms(self, space: str, log_ns: int, record: list[Placed]) -> None:
        for t_ns, frame, child, values in record:
            rows = self._named.get((space, frame, child))
            if rows is None:
                key = (space, frame.strip("/"), child.strip("/"))
                rows = self.edges.get(key)
                if rows is None:
                    if len(self.edges) >= MAX_EDGES:
                        self.crowd += 1
                        continue
                    rows = self.edges[key] = Rows(7, limit_of(key[1], key[2], MAX_ROWS))
                self._named[(space, frame, child)] = rows
            rows.add(log_ns, t_ns, values)


def _sink(topic: Topic, stream: Stream, decode: Decoder, take: Any) -> Sink:
    def sink(log_ns: int, view: memoryview) -> None:
        try:
            record = decode(view)
        except DECODE_ERRORS:
            topic.bad += 1
            topic.first_bad = topic.first_bad or stream.count + 1
            return
        take(log_ns, record)

    return sink


def _take_row(rows: Rows, log_ns: int, record: Twist | Placed) -> None:
    rows.frames[(record.frame, record.child if isinstance(record, Placed) else "")] += 1
    rows.add(log_ns, record.t_ns, record.values)


def _take_joints(joints: dict[tuple[str, ...], Rows], log_ns: int, record: Joints) -> None:
    rows = joints.get(record.names)
    if rows is None:
        if not 0 < len(record.names) <= _MAX_JOINTS or len(joints) >= _MAX_JOINT_SETS:
            return
        rows = joints[record.names] = Rows(len(record.names))
    if len(record.positions) == rows.width:
        rows.add(log_ns, record.t_ns, record.positions)


def _take_event(topic: Topic, log_ns: int, record: Word) -> None:
    if len(topic.events) < MAX_EVENTS:
        topic.events.append(LogEvent(record.t_ns or log_ns, topic.name.strip("/"), record.content))


def namespace_of(topic: str) -> str:
    """Return the first part of a topic's or frame's name; empty where it has only one."""
    first, slash, _ = topic.strip("/").partition("/")
    return first if slash else ""


def rank(role: Role, topic: Topic) -> tuple[int, str] | None:
    """Tell how well a topic's usual name and type fit a role: lower is better; None: not at all.

    Returns:
        The rank, and for ``pose`` who told it (``tracker`` or ``localisation``).
    """
    if topic.kind not in ROLE_KINDS[role] or topic.kind == "tf":
        return None
    name = topic.name.lower()
    last = name.rpartition("/")[2]
    if role == "cmd":
        return _rank_command(name, last, topic)
    if role == "odom":
        if topic.frame in ("map", "world") or _any(_TRUTH, name):
            return None
        return (0 if last == "odom" else 3 if "filtered" in name else 1 if "odom" in name else 4), ""
    if role == "pose":
        return _rank_pose(name, last, topic)
    if role == "wheels":
        return (0, "") if wheel_names(topic) else None
    if role == "scan":
        return (0 if last == "scan" else 1 if "scan" in last else 2), ""
    return (0, "")


def _rank_command(name: str, last: str, topic: Topic) -> tuple[int, str] | None:
    if topic.channel.msgtype == "floorcast.RobotState":
        return 0, ""
    if "cmd" not in name and "command" not in name:
        return None
    by_hand = 3 if _any(("joy", "teleop", "key"), name) else 0
    return (0 if last == "cmd_vel" else 1 if last.startswith("cmd_vel") else 2) + by_hand, ""


def _rank_pose(name: str, last: str, topic: Topic) -> tuple[int, str] | None:
    # A pose told in a frame that the robot carries is of something that the robot saw.
    if _any(_NO_POSE, last) or topic.frame.startswith("odom") or _any(_CARRIED, topic.frame):
        return None
    if _any(_TRUTH, name):
        return 0, "tracker"
    if topic.kind == "odometry":
        return (3, "localisation") if topic.frame in ("map", "world") else None
    if _any(_OWN, name) or topic.frame == "map":
        return 2, "localisation"
    return 1, "tracker"


def _any(words: tuple[str, ...], text: str) -> bool:
    return any(word in text for word in words)


def wheel_names(topic: Topic) -> tuple[str, ...]:
    """Return the joints of the largest set that reads like two or four wheels; empty if there is none."""
    sets = [names for names in topic.joints if len(_wheels_of(names)) in (2, 4)]
    return max(sets, key=lambda names: topic.joints[names].seen, default=())


def _wheels_of(names: tuple[str, ...]) -> list[int]:
    """Return where in ``names`` driven wheels stand: those called wheels, or all if all are called after corners."""
    called = [k for k, name in enumerate(names) if "wheel" in name.lower() and not _any(_NO_DRIVE, name.lower())]
    if called:
        return called
    corners = all(_any(("left", "right"), name.lower()) or base_name(name.lower()) in _SHORT for name in names)
    return list(range(len(names))) if corners else []


_SHORT = {
    **dict.fromkeys(("fl", "lf"), (False, True)),
    **dict.fromkeys(("fr", "rf"), (False, False)),
    **dict.fromkeys(("rl", "lr", "bl", "lb"), (True, True)),
    **dict.fromkeys(("rr", "br", "rb"), (True, False)),
}
"""(rear, left) of short names of wheels."""


def wheel_order(names: tuple[str, ...]) -> list[int] | None:
    """Return where in ``names`` left and right, or front left, front right, rear left, rear right stand."""
    places: dict[tuple[bool, bool], int] = {}
    wheels = _wheels_of(names)
    for k in wheels:
        name = names[k].lower()
        place = ("rear" in name or "back" in name, "left" in name)
        places[_SHORT.get(base_name(name), place)] = k
    if len(wheels) == 2:
        sides = {left: k for (_, left), k in places.items()}
        return [sides[True], sides[False]] if len(sides) == 2 else None
    wanted = [(False, True), (False, False), (True, True), (True, False)]
    return [places[place] for place in wanted] if all(place in places for place in wanted) else None


@dataclass(frozen=True)
class Choice:
    """The topic that serves a role, who told it (poses), and what is to be said about it."""

    topic: Topic
    source: str
    remark: str


def choose(role: Role, topics: list[Topic], options: ReadOptions, everything: dict[str, Topic]) -> Choice | None:
    """Choose the topic of a role among those of a robot.

    Raises:
        InputError: the topic that the user named is not there, or cannot be read as what it is to be.
    """
    asked = options.topics.get(role)
    if asked is not None and asked not in everything:
        raise InputError(
            f"there is no topic '{asked}' in this recording", where=f"topics.{role}", mend=listing(everything)
        )
    if asked is not None and any(topic.name == asked for topic in topics):
        topic = everything[asked]
        if topic.problem or topic.bad >= max(1, topic.count):
            why = topic.problem or f"none of its messages reads as {ROLE_KINDS[role][0]}"
            raise InputError(
                f"the topic {topic.described()} does not serve as '{role}': {why}",
                where=f"topics.{role}",
                mend=listing(everything),
            )
        source = (rank(role, topic) or (0, "tracker"))[1] or "tracker"
        return Choice(topic, source, f"{role}: {topic.described()}, as asked")
    ranked = [(found, topic) for topic in topics if (found := rank(role, topic)) is not None]
    alive = [(found, topic) for found, topic in ranked if topic.count > topic.bad]
    if not alive:
        return None
    alive.sort(key=lambda item: (item[0][0], -item[1].count, item[1].name))
    (_, source), best = alive[0]
    others = [topic.described() for _, topic in alive[1:]]
    also = (
        f"; passed over: {', '.join(others)}; 'topics: {{{role}: {alive[1][1].name}}}' takes another" if others else ""
    )
    return Choice(best, source, f"{role}: {best.described()}{also}")


_CLOUD = "sensor_msgs/msg/PointCloud2"


def listing(topics: dict[str, Topic]) -> str:
    """Say which topics there are and how to name one."""
    if not topics:
        return "the recording holds no topic at all: record it again"
    named = [topic.described() for topic in sorted(topics.values(), key=lambda topic: topic.name)]
    more = f" and {len(named) - 40} more" if len(named) > 40 else ""
    roles = ", ".join(ROLE_KINDS)
    return (
        f"name the topics, for example 'topics: {{cmd: /my_robot/velocity, odom: /my_robot/odom}}' (roles: {roles}); "
        f"the recording holds {', '.join(named[:40])}{more}"
    )


def clouds_of(topics: Iterable[Topic]) -> str:
    """Say that point clouds are not read and what helps; empty where there are none."""
    names = sorted(topic.name for topic in topics if topic.channel.msgtype == _CLOUD and topic.count)
    if not names:
        return ""
    return (
        f"point clouds are not read ({', '.join(names[:5])}): the lidar is measured by planar scans (LaserScan); "
        "pointcloud_to_laserscan makes some of a cloud"
    )


def belongs(topic: str, space: str) -> bool:
    """Tell whether a topic has a robot's name in its path, such as ``/vrpn_client_node/amr1/pose``."""
    return space in topic.strip("/").split("/")[:-1]


def robots_of(topics: dict[str, Topic], prefixes: set[str]) -> list[str]:
    """Return the namespaces that are robots of their own; empty where the recording is of one robot without a name.

    A namespace is a robot if it has two kinds of topics of a robot's own, or is one of several of the same name with
    different numbers (``amr1``, ``amr2``).

    Args:
        topics: by name.
        prefixes: of the frames ``PREFIX/base_link``.
    """
    roles: dict[str, set[str]] = {prefix: {"tf"} for prefix in prefixes}
    for topic in topics.values():
        space = namespace_of(topic.name)
        if not space or topic.count == 0:
            continue
        for role in ("cmd", "odom", "wheels", "scan", "pose"):
            if rank(role, topic) is not None:
                roles.setdefault(space, set()).add(role)
    stems = Counter(space.rstrip("0123456789") for space in roles if space[-1].isdigit())
    several = {
        space
        for space, found in roles.items()
        if space[-1].isdigit() and stems[space.rstrip("0123456789")] > 1 and found != {"scan"}
    }
    return sorted({space for space, found in roles.items() if len(found) > 1} | several, key=_natural)


def _natural(name: str) -> tuple[str, int]:
    stem = name.rstrip("0123456789")
    return stem, int(name[len(stem) :] or 0)
