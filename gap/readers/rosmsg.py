"""Messages of bags as plain numbers: the common types straight from their bytes, all others through their definition.

Wire formats: ROS 1 (http://wiki.ros.org/msg), little endian and packed; ROS 2 as CDR (OMG DDS-RTPS 10.2), values
aligned to their size after a head of four bytes. The types read here have not changed since ROS 2 began; a ROS 1 type
is told by its MD5 and read by the definition in the bag where that differs.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .rosfile import MAX_STAMP, Channel

Kind = str
"""``twist``, ``pose``, ``odometry``, ``tf``, ``scan``, ``joints`` or ``event``."""


class Twist(NamedTuple):
    """Stamp [ns] (0: none), frame, vx, vy [m/s], yaw rate [rad/s]."""

    t_ns: int
    frame: str
    values: tuple[float, ...]


class Placed(NamedTuple):
    """A pose or transform: stamp [ns] (0: none), parent and child frame, x, y, z [m], qx, qy, qz, qw."""

    t_ns: int
    frame: str
    child: str
    values: Sequence[float]


class Scan(NamedTuple):
    """One scan; ``ranges`` float32 [m]. ``shape``: angle_min, angle_max, increment [rad], range_min, range_max [m]."""

    t_ns: int
    frame: str
    shape: tuple[float, float, float, float, float]
    ranges: NDArray[np.float32]


class Joints(NamedTuple):
    """Names of joints and their positions."""

    t_ns: int
    frame: str
    names: tuple[str, ...]
    positions: tuple[float, ...]


class Word(NamedTuple):
    """Anything else, as plain JSON values."""

    t_ns: int
    frame: str
    content: dict[str, Any]


Decoder = Callable[[memoryview], Any]
"""Turns bytes into a record of its kind (``tf``: a list of ``Placed``); raises one of ``DECODE_ERRORS`` if they are not
such a message."""
DECODE_ERRORS = (
    struct.error,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    IndexError,
    OverflowError,
    MemoryError,
    RecursionError,
)

KINDS: dict[str, Kind] = {
    "geometry_msgs/msg/Twist": "twist",
    "geometry_msgs/msg/TwistStamped": "twist",
    "nav_msgs/msg/Odometry": "odometry",
    "geometry_msgs/msg/PoseStamped": "pose",
    "geometry_msgs/msg/PoseWithCovarianceStamped": "pose",
    "geometry_msgs/msg/TransformStamped": "pose",
    "geometry_msgs/msg/Pose2D": "pose",
    "tf2_msgs/msg/TFMessage": "tf",
    "tf/msg/tfMessage": "tf",
    "sensor_msgs/msg/LaserScan": "scan",
    "sensor_msgs/msg/JointState": "joints",
    "foxglove.PoseInFrame": "pose",
    "foxglove_msgs/msg/PoseInFrame": "pose",
    "foxglove.FrameTransform": "tf",
    "foxglove.FrameTransforms": "tf",
    "foxglove_msgs/msg/FrameTransform": "tf",
    "foxglove_msgs/msg/FrameTransforms": "tf",
    "foxglove.LaserScan": "scan",
    "foxglove_msgs/msg/LaserScan": "scan",
    "foxglove.Log": "event",
    "floorcast.RobotState": "twist",
}
"""Kind of every type that is looked at without being asked for."""

_DIGESTS = {
    "geometry_msgs/msg/Twist": "9f195f881246fdfa2798d1d3eebca84a",
    "geometry_msgs/msg/TwistStamped": "98d34b0043a2093cf9d9345ab6eef12e",
    "nav_msgs/msg/Odometry": "cd5e73d190d741a2f92e81eda573aca7",
    "geometry_msgs/msg/PoseStamped": "d3812c3cbc69362b77dc0b19b345f8f5",
    "geometry_msgs/msg/PoseWithCovarianceStamped": "953b798c0f514ff060a53a3498ce6246",
    "geometry_msgs/msg/TransformStamped": "b5764a33bfeb3588febc2682852579b0",
    "geometry_msgs/msg/Pose2D": "938fa65709584ad8e77d238529be13b8",
    "tf2_msgs/msg/TFMessage": "94810edda583a504dfda3829e70d7eec",
    "tf/msg/tfMessage": "94810edda583a504dfda3829e70d7eec",
    "sensor_msgs/msg/LaserScan": "90c7ef2dc6895d81024acba2ac42f369",
    "sensor_msgs/msg/JointState": "3066dcd76a6cfaef579bd0f34173e9fd",
}
"""MD5 of the definitions that ``_Wire`` reads; ``*`` in a bag stands for any."""


def decoder_of(channel: Channel, kind: Kind) -> Decoder:
    """Return what decodes a channel's messages into records of a kind.

    Raises:
        ValueError: the encoding is unknown, or the definition is missing or cannot be read.
    """
    if channel.encoding in ("ros1", "cdr"):
        known = KINDS.get(channel.msgtype) == kind and channel.msgtype in _DIGESTS
        if known and channel.digest in ("", "*", _DIGESTS.get(channel.msgtype)):
            return _wire_decoder(channel)
        return _typestore_decoder(channel, kind)
    if channel.encoding == "json":
        read = READ_OBJECT[kind]
        return lambda view: read(json.loads(bytes(view)))
    if channel.encoding == "protobuf":
        return _protobuf_decoder(channel, kind)
    raise ValueError(f"its messages are encoded as '{channel.encoding}'")


_WORTH_A_LAYOUT = 4
_MAX_LAYOUTS = 64


class _Layout:
    """Where the numbers of a list of transforms stand.

    A publisher of a robot's joints names the same frames in every message: once the bytes of all names have been
    compared, the numbers are gathered without looking at the names again.
    """

    def __init__(
        self, wire: _Wire, view: memoryview, found: list[Placed], stamps: list[int], places: list[int]
    ) -> None:
        self._names = [(placed.frame, placed.child) for placed in found]
        self._stamp = np.add.outer(stamps, np.arange(8))
        self._place = np.add.outer(places, np.arange(56))
        self._order = wire.order
        fixed = np.ones(len(view), dtype=bool)
        fixed[self._stamp] = fixed[self._place] = False
        if not wire.cdr:
            fixed[self._stamp - 4] = False  # the sequence number, and harmlessly half of the stamp
        self._fixed = np.flatnonzero(fixed)
        self._bytes = np.frombuffer(view, np.uint8)[self._fixed]

    def fits(self, view: memoryview) -> bool:
        """Tell whether a message of this length names the same frames."""
        return bool((np.frombuffer(view, np.uint8)[self._fixed] == self._bytes).all())

    def read(self, view: memoryview) -> list[Placed]:
        """Return the transforms of a message that fits."""
        data = np.frombuffer(view, np.uint8)
        stamps = data[self._stamp].view(self._order + "u4").astype(np.int64) @ (1_000_000_000, 1)
        values = data[self._place].view(self._order + "f8").tolist()
        return [
            Placed(t_ns, frame, child, place)
            for (frame, child), t_ns, place in zip(self._names, stamps.tolist(), values, strict=True)
        ]


class _Wire:
    """Reads the fields of one wire format."""

    def __init__(self, order: str, cdr: bool) -> None:
        self.order, self.cdr = order, cdr
        self.skip = 4 if cdr else 0
        self._u32 = struct.Struct(order + "I")
        self._stamp = struct.Struct(order + ("iI" if cdr else "II"))
        self._doubles = {count: struct.Struct(f"{order}{count}d") for count in (2, 3, 6, 7)}
        self._scan = struct.Struct(order + "7f")
        self._names: dict[bytes, str] = {}
        self._layouts: dict[int, _Layout] = {}

    def count(self, view: memoryview, at: int) -> tuple[int, int]:
        if self.cdr:
            at = (at + 3) & -4
        return self._u32.unpack_from(view, at)[0], at + 4

    def text(self, view: memoryview, at: int) -> tuple[str, int]:
        length, at = self.count(view, at)
        if length > len(view) - at:
            raise ValueError("a text is longer than its message")
        raw = bytes(view[at : at + length])
        name = self._names.get(raw)
        if name is None:
            name = raw.rstrip(b"\x00").decode() if self.cdr else raw.decode()
            if len(self._names) < 4096:
                self._names[raw] = name
        return name, at + length

    def header(self, view: memoryview, at: int) -> tuple[int, str, int]:
        at = (at + 3) & -4 if self.cdr else at + 4  # ROS 1 begins with a sequence number
        seconds, nanoseconds = self._stamp.unpack_from(view, at)
        frame, at = self.text(view, at + 8)
        return seconds * 1_000_000_000 + nanoseconds, frame, at

    def doubles(self, view: memoryview, at: int, count: int) -> tuple[tuple[float, ...], int]:
        if self.cdr:
            at = ((at - 4 + 7) & -8) + 4  # aligned after the head of four bytes
        return self._doubles[count].unpack_from(view, at), at + 8 * count

    def sequence(self, view: memoryview, at: int, form: str, size: int) -> tuple[NDArray[Any], int]:
        count, at = self.count(view, at)
        if count > len(view):
            raise ValueError("a list is longer than its message")
        if self.cdr and count and size == 8:
            at = ((at - 4 + 7) & -8) + 4
        return np.frombuffer(view, self.order + form, count, at), at + size * count

    def end(self, view: memoryview, at: int) -> None:
        if not 0 <= len(view) - at <= (3 if self.cdr else 0):
            raise ValueError("the message is longer or shorter than its type")

    # One method a type, named by KINDS' types.

    def twist(self, view: memoryview) -> Twist:
        values, at = self.doubles(view, self.skip, 6)
        self.end(view, at)
        return Twist(0, "", (values[0], values[1], values[5]))

    def twist_stamped(self, view: memoryview) -> Twist:
        t_ns, frame, at = self.header(view, self.skip)
        values, at = self.doubles(view, at, 6)
        self.end(view, at)
        return Twist(t_ns, frame, (values[0], values[1], values[5]))

    def odometry(self, view: memoryview) -> Placed:
        t_ns, frame, at = self.header(view, self.skip)
        child, at = self.text(view, at)
        values, at = self.doubles(view, at, 7)
        self.end(view, at + 8 * (36 + 6 + 36))
        return Placed(t_ns, frame, child, values)

    def pose_stamped(self, view: memoryview) -> Placed:
        t_ns, frame, at = self.header(view, self.skip)
        values, at = self.doubles(view, at, 7)
        self.end(view, at)
        return Placed(t_ns, frame, "", values)

    def pose_with_covariance(self, view: memoryview) -> Placed:
        t_ns, frame, at = self.header(view, self.skip)
        values, at = self.doubles(view, at, 7)
        self.end(view, at + 8 * 36)
        return Placed(t_ns, frame, "", values)

    def transform(self, view: memoryview) -> Placed:
        t_ns, frame, at = self.header(view, self.skip)
        child, at = self.text(view, at)
        values, at = self.doubles(view, at, 7)
        self.end(view, at)
        return Placed(t_ns, frame, child, values)

    def transforms(self, view: memoryview) -> list[Placed]:
        layout = self._layouts.get(len(view))
        if layout is not None and layout.fits(view):
            return layout.read(view)
        count, at = self.count(view, self.skip)
        if count * 60 > len(view):
            raise ValueError("a list is longer than its message")
        found, stamps, places = [], [], []
        for _ in range(count):
            stamps.append((at + 3) & -4 if self.cdr else at + 4)
            t_ns, frame, at = self.header(view, at)
            child, at = self.text(view, at)
            values, at = self.doubles(view, at, 7)
            places.append(at - 56)
            found.append(Placed(t_ns, frame, child, values))
        self.end(view, at)
        if count >= _WORTH_A_LAYOUT and len(self._layouts) < _MAX_LAYOUTS:
            self._layouts[len(view)] = _Layout(self, view, found, stamps, places)
        return found

    def pose_2d(self, view: memoryview) -> Placed:
        (x, y, yaw), at = self.doubles(view, self.skip, 3)
        self.end(view, at)
        return Placed(0, "", "", (x, y, 0.0, 0.0, 0.0, float(np.sin(yaw / 2)), float(np.cos(yaw / 2))))

    def scan(self, view: memoryview) -> Scan:
        t_ns, frame, at = self.header(view, self.skip)
        if self.cdr:
            at = (at + 3) & -4
        angle_min, angle_max, increment, _, _, range_min, range_max = self._scan.unpack_from(view, at)
        ranges, at = self.sequence(view, at + 28, "f4", 4)
        _, at = self.sequence(view, at, "f4", 4)
        self.end(view, at)
        return Scan(t_ns, frame, (angle_min, angle_max, increment, range_min, range_max), ranges)

    def joints(self, view: memoryview) -> Joints:
        t_ns, frame, at = self.header(view, self.skip)
        count, at = self.count(view, at)
        if count * 4 > len(view):
            raise ValueError("a list is longer than its message")
        names = []
        for _ in range(count):
            name, at = self.text(view, at)
            names.append(name)
        positions, at = self.sequence(view, at, "f8", 8)
        _, at = self.sequence(view, at, "f8", 8)
        _, at = self.sequence(view, at, "f8", 8)
        self.end(view, at)
        return Joints(t_ns, frame, tuple(names), tuple(positions.tolist()))


_METHODS = {
    "geometry_msgs/msg/Twist": "twist",
    "geometry_msgs/msg/TwistStamped": "twist_stamped",
    "nav_msgs/msg/Odometry": "odometry",
    "geometry_msgs/msg/PoseStamped": "pose_stamped",
    "geometry_msgs/msg/PoseWithCovarianceStamped": "pose_with_covariance",
    "geometry_msgs/msg/TransformStamped": "transform",
    "geometry_msgs/msg/Pose2D": "pose_2d",
    "tf2_msgs/msg/TFMessage": "transforms",
    "tf/msg/tfMessage": "transforms",
    "sensor_msgs/msg/LaserScan": "scan",
    "sensor_msgs/msg/JointState": "joints",
}


def _wire_decoder(channel: Channel) -> Decoder:
    name = _METHODS[channel.msgtype]
    if channel.encoding == "ros1":
        decoder: Decoder = getattr(_Wire("<", cdr=False), name)
        return decoder
    little, big = getattr(_Wire("<", cdr=True), name), getattr(_Wire(">", cdr=True), name)

    def decode(view: memoryview) -> Any:
        head = bytes(view[:2])
        if head == b"\x00\x01":
            return little(view)
        if head == b"\x00\x00":
            return big(view)
        raise ValueError("unknown encapsulation")

    return decode


def _typestore_decoder(channel: Channel, kind: Kind) -> Decoder:
    """Decode by the definition that the file holds, or the one that ROS has of that name."""
    from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

    text = channel.definition.decode("utf-8", "replace")
    try:
        if text.strip():
            store = get_typestore(Stores.EMPTY)
            if channel.definition_format.endswith("idl"):
                bar = "=" * 80 + "\n"
                parts = [part.partition("\n")[2] for part in text.split(bar)[1:]] or [text]
                for part in parts:
                    store.register(get_types_from_idl(part))
            else:
                store.register(get_types_from_msg(text, channel.msgtype))
        else:
            store = get_typestore(Stores.ROS1_NOETIC if channel.encoding == "ros1" else Stores.LATEST)
        decode = store.deserialize_ros1 if channel.encoding == "ros1" else store.deserialize_cdr
        if channel.msgtype not in store.fielddefs:
            raise KeyError(channel.msgtype)
    except Exception as error:  # the parser raises many kinds; all mean that the definition is of no use
        raise ValueError(f"its definition cannot be read: {error}") from error
    read = READ_OBJECT[kind]

    def run(view: memoryview) -> Any:
        try:
            message = decode(bytes(view), channel.msgtype)
        except Exception as error:  # generated code: whatever damaged bytes make it raise
            raise ValueError(str(error)) from error
        return read(message)

    return run


def _protobuf_decoder(channel: Channel, kind: Kind) -> Decoder:
    try:
        from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
    except ImportError as error:
        raise ValueError("protobuf messages need the package 'protobuf'") from error
    try:
        files = descriptor_pb2.FileDescriptorSet.FromString(channel.definition)
        pool = descriptor_pool.DescriptorPool()
        for file in files.file:
            pool.Add(file)
        create = message_factory.GetMessageClass(pool.FindMessageTypeByName(channel.msgtype))
    except Exception as error:  # protobuf raises many kinds; all mean that the schema is of no use
        raise ValueError(f"its protobuf schema cannot be read: {error}") from error
    read = READ_OBJECT[kind]

    def run(view: memoryview) -> Any:
        try:
            message = create.FromString(bytes(view))
        except Exception as error:
            raise ValueError(str(error)) from error
        return read(message)

    return run


_MISSING = object()


def _get(message: Any, *names: str) -> Any:
    """Return the first field there is of these names, of an object or a mapping."""
    for name in names:
        value = message.get(name, _MISSING) if isinstance(message, dict) else getattr(message, name, _MISSING)
        if value is not _MISSING:
            return value
    raise KeyError(names[0])


def _has(message: Any, name: str) -> bool:
    return name in message if isinstance(message, dict) else hasattr(message, name)


def _stamp(message: Any) -> tuple[int, str]:
    """Return the stamp [ns] (0: none) and frame of a message with a ROS header or Foxglove's fields."""
    holder = _get(message, "header") if _has(message, "header") else message
    frame = str(_get(holder, "frame_id", "parent_frame_id")) if _has_any(holder, "frame_id", "parent_frame_id") else ""
    if not _has_any(holder, "stamp", "timestamp"):
        return 0, frame
    stamp = _get(holder, "stamp", "timestamp")
    t_ns = int(_get(stamp, "sec", "secs", "seconds")) * 1_000_000_000
    t_ns += int(_get(stamp, "nanosec", "nsec", "nsecs", "nanos"))
    if abs(t_ns) > MAX_STAMP:
        raise ValueError("an impossible stamp")
    return t_ns, frame


def _has_any(message: Any, *names: str) -> bool:
    return any(_has(message, name) for name in names)


def _within(message: Any, name: str) -> Any:
    """Unwrap ``PoseWithCovariance`` and the like: fields of the same name within each other."""
    while _has(message, name):
        message = _get(message, name)
    return message


def _point(message: Any) -> tuple[float, float, float]:
    return float(_get(message, "x")), float(_get(message, "y")), float(_get(message, "z") if _has(message, "z") else 0)


def _placement(message: Any) -> tuple[float, ...]:
    place = _within(_within(message, "pose"), "transform")
    if _has(place, "theta"):
        x, y, _ = _point(place)
        yaw = float(_get(place, "theta"))
        return x, y, 0.0, 0.0, 0.0, float(np.sin(yaw / 2)), float(np.cos(yaw / 2))
    turn = _get(place, "orientation", "rotation")
    return (
        *_point(_get(place, "position", "translation")),
        *(float(_get(turn, axis)) for axis in ("x", "y", "z")),
        float(_get(turn, "w")),
    )


def _read_twist(message: Any) -> Twist:
    t_ns, frame = _stamp(message)
    if _has(message, "command_v"):  # what floorcast's own recordings tell of a robot
        values = (float(_get(message, "command_v")), 0.0, float(_get(message, "command_omega")))
        return Twist(t_ns, frame, values)
    body = _within(message, "twist")
    linear, angular = _get(body, "linear"), _get(body, "angular")
    return Twist(t_ns, frame, (float(_get(linear, "x")), float(_get(linear, "y")), float(_get(angular, "z"))))


def _read_pose(message: Any) -> Placed:
    if _has(message, "poses"):
        (only,) = _get(message, "poses")
        return Placed(*_stamp(message), "", _placement(only))
    child = str(_get(message, "child_frame_id")) if _has(message, "child_frame_id") else ""
    return Placed(*_stamp(message), child, _placement(message))


def _read_tf(message: Any) -> list[Placed]:
    return [_read_pose(item) for item in (_get(message, "transforms") if _has(message, "transforms") else [message])]


def _read_scan(message: Any) -> Scan:
    t_ns, frame = _stamp(message)
    raw = _get(message, "ranges")
    if isinstance(raw, list):
        raw = [np.nan if value is None else value for value in raw]
    ranges = np.asarray(raw, dtype=np.float32)
    first = float(_get(message, "angle_min", "start_angle"))
    last = float(_get(message, "angle_max", "end_angle"))
    given = float(_get(message, "angle_increment")) if _has(message, "angle_increment") else 0.0
    increment = given or (last - first) / max(len(ranges) - 1, 1)
    near = float(_get(message, "range_min")) if _has(message, "range_min") else 0.0
    far = float(_get(message, "range_max")) if _has(message, "range_max") else 0.0
    return Scan(t_ns, frame, (first, last, increment, near, far), ranges)


def _read_joints(message: Any) -> Joints:
    names = tuple(str(name) for name in _get(message, "name"))
    positions = tuple(float(value) for value in _get(message, "position"))
    return Joints(*_stamp(message), names, positions)


def _read_event(message: Any) -> Word:
    t_ns, frame = _stamp(message)
    content = _plain(message, 0)
    return Word(t_ns, frame, content if isinstance(content, dict) else {"data": content})


def _plain(value: Any, depth: int) -> Any:
    """Turn a message into JSON values: a dozen entries of a list, four levels deep."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, (float, np.generic)):
        number = value.item() if isinstance(value, np.generic) else value
        return number if not isinstance(number, float) or np.isfinite(number) else str(number)
    if depth >= 4:
        return str(value)[:200]
    if isinstance(value, dict):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(item, depth + 1) for item in value[:12]]
    if hasattr(value, "DESCRIPTOR") and hasattr(value, "ListFields"):
        return {field.name: _plain(item, depth + 1) for field, item in value.ListFields()}
    fields = getattr(value, "__dataclass_fields__", {})
    named = {name: getattr(value, name) for name in fields if not name.startswith("__")}
    return {name: _plain(item, depth + 1) for name, item in named.items()} if named else str(value)[:200]


READ_OBJECT: dict[Kind, Callable[[Any], Any]] = {
    "twist": _read_twist,
    "pose": _read_pose,
    "odometry": _read_pose,
    "tf": _read_tf,
    "scan": _read_scan,
    "joints": _read_joints,
    "event": _read_event,
}
"""Finds a kind's values in an object or mapping by the usual names of fields."""
