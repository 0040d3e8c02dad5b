import numpy as np
import pytest

from floorcast.gap.readers import rosmsg
from floorcast.gap.readers.rosfile import Channel
from floorcast.gap.readers.rosmsg import DECODE_ERRORS, KINDS, decoder_of

from .bags import START, STORE1, STORE2, Written

TYPES = sorted(rosmsg._DIGESTS)


def random_message(out, name, rng, frame):
    """A message of random numbers, with a frame's name that shifts what comes after it."""

    def number():
        return float(rng.normal())

    def pose():
        turn = out.make("geometry_msgs/msg/Quaternion", *(number() for _ in range(4)))
        point = out.make("geometry_msgs/msg/Point", number(), number(), number())
        return out.make("geometry_msgs/msg/Pose", point, turn)

    def twist():
        return out.make("geometry_msgs/msg/Twist", *(out.vector(number(), number(), number()) for _ in range(2)))

    def transform(child):
        turn = out.make("geometry_msgs/msg/Quaternion", *(number() for _ in range(4)))
        place = out.make("geometry_msgs/msg/Transform", out.vector(number(), number(), number()), turn)
        return out.make("geometry_msgs/msg/TransformStamped", head, child, place)

    head = out.header(START + int(rng.integers(0, 10**9)), frame)
    covariance = rng.normal(size=36)
    with_covariance = {
        kind: out.make(f"geometry_msgs/msg/{kind}WithCovariance", value(), covariance)
        for kind, value in (("Pose", pose), ("Twist", twist))
    }
    fields = {
        "geometry_msgs/msg/Twist": lambda: (twist().linear, twist().angular),
        "geometry_msgs/msg/TwistStamped": lambda: (head, twist()),
        "nav_msgs/msg/Odometry": lambda: (head, frame[::-1] + "x", with_covariance["Pose"], with_covariance["Twist"]),
        "geometry_msgs/msg/PoseStamped": lambda: (head, pose()),
        "geometry_msgs/msg/PoseWithCovarianceStamped": lambda: (head, with_covariance["Pose"]),
        "geometry_msgs/msg/Pose2D": lambda: (number(), number(), number()),
        "tf2_msgs/msg/TFMessage": lambda: ([transform(frame + "_" * k) for k in range(len(frame))],),
        "sensor_msgs/msg/LaserScan": lambda: (
            head, *rng.normal(size=7).astype(np.float32).tolist(),
            rng.normal(size=3 + len(frame)).astype(np.float32), rng.normal(size=len(frame)).astype(np.float32),
        ),
        "sensor_msgs/msg/JointState": lambda: (
            head, [frame + "a", "wheel", ""], rng.normal(size=3), rng.normal(size=len(frame)), np.zeros(0)
        ),
    }  # fmt: skip
    if name == "geometry_msgs/msg/TransformStamped":
        return transform(frame + "_child")
    return out.make(name, *fields[name]())


def plain(value):
    """Tuples and arrays as lists, so that records compare by what they hold."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("wire", ["ros1", "little", "big"])
def test_the_common_types_read_as_rosbags_own_reader_has_them(name, wire):
    """Straight from the bytes, and by rosbags' generated code from the definition: the same numbers and names."""
    written = "tf2_msgs/msg/TFMessage" if name == "tf/msg/tfMessage" else name
    if wire != "ros1" and written not in STORE2.types:
        pytest.skip("ROS 2 has no such type")
    out = Written(1 if wire == "ros1" else 2)
    rng = np.random.default_rng(len(name))
    encoding = "ros1" if wire == "ros1" else "cdr"
    definition = out.store.generate_msgdef(written, ros_version=out.ros)[0].encode()
    kind = KINDS[name]
    direct = decoder_of(Channel("/x", name, encoding), kind)
    # An unknown MD5 has the definition followed.
    generic = decoder_of(Channel("/x", written, encoding, definition, f"ros{out.ros}msg", "0" * 32), kind)
    for frame in ("", "a", "ab", "odom", "base_link", "a_frame_of_odd_length"):
        message = random_message(out, written, rng, frame)
        if wire == "ros1":
            data = bytes(STORE1.serialize_ros1(message, written))
        else:
            data = bytes(STORE2.serialize_cdr(message, written, little_endian=wire == "little"))
        for _ in range(2):  # the second time by what the first has learnt
            assert plain(direct(memoryview(data))) == plain(generic(memoryview(data)))
        for broken in (data[:-5], data + bytes(9)):
            with pytest.raises(DECODE_ERRORS):
                direct(memoryview(broken))
