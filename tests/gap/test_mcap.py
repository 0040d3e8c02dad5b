import base64
import json
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.exceptions import McapError
from mcap.reader import make_reader
from mcap.stream_reader import StreamReader
from mcap.writer import CompressionType, Writer

from floorcast.common.errors import InputError
from floorcast.episodes.loop import run_episode
from floorcast.episodes.view import foxglove
from floorcast.episodes.view.playback import Playback
from floorcast.gap.readers import ReadOptions, read_log
from floorcast.gap.readers.rosbag import read_mcap, read_rosbag

from ..episodes.hall import Steer, quick
from .bags import MS, START, drive, write_bag1, write_bag2, write_mcap
from .test_rosbag import said, same


@pytest.fixture(scope="module")
def circle():
    return drive(ros=2)


@pytest.fixture(scope="module")
def short():
    return drive(ros=2, seconds=0.6)


@pytest.mark.parametrize(("compression", "chunking"), [("NONE", True), ("LZ4", True), ("ZSTD", True), ("NONE", False)])
def test_mcap_comes_back_as_written(tmp_path, circle, compression, chunking):
    (log,) = read_log(write_mcap(tmp_path / "run.mcap", circle, compression, chunking=chunking))
    same(log, circle)
    assert not any("not whole" in line for line in log.report.lines())


def test_ros1_messages_in_mcap(tmp_path):
    written = drive(ros=1)
    same(read_log(write_mcap(tmp_path / "run.mcap", written))[0], written)


def whole_messages(data):
    """An independent count: mcap's own stream reader, up to where it gives up."""
    counts = {}
    channels = {}
    try:
        import io

        for record in StreamReader(io.BytesIO(data)).records:
            name = type(record).__name__
            if name == "Channel":
                channels[record.id] = record.topic
            elif name == "Message":
                topic = channels[record.channel_id]
                counts[topic] = counts.get(topic, 0) + 1
    except (McapError, struct.error, EOFError, ValueError):
        pass
    return counts


@pytest.mark.parametrize(("compression", "share"), [("NONE", 0.3), ("ZSTD", 0.6), ("LZ4", 0.6), ("ZSTD", 0.97)])
def test_a_file_cut_anywhere_is_recovered_and_says_how_much(tmp_path, circle, compression, share):
    path = write_mcap(tmp_path / "run.mcap", circle, compression)
    data = path.read_bytes()[: int(share * path.stat().st_size)]
    path.write_bytes(data)
    with pytest.raises((McapError, ValueError)):
        make_reader(path.open("rb")).get_summary()  # the seeking reader gives up
    (log,) = read_log(path)
    counts = whole_messages(data)
    # What mcap's stream reader gives, and of a chunk that was cut its whole messages as well.
    assert counts["/odom"] <= len(log.odom) <= counts["/odom"] + 12
    np.testing.assert_allclose(log.odom, np.array(circle.odom)[: len(log.odom), 1:], atol=1e-12)
    (line,) = [line for line in log.report.lines() if "not whole" in line]
    assert f"recovered {log.report.files[0].records} messages" in line
    assert "% of" in line
    assert " s long" in line


def test_a_cut_chunk_gives_its_whole_messages(tmp_path, circle):
    """One chunk holds all: mcap's stream reader saves nothing of it, here most of it comes back."""
    for compression in ("NONE", "LZ4", "ZSTD"):
        path = write_mcap(tmp_path / "run.mcap", circle, compression, chunk=10_000_000)
        data = path.read_bytes()
        ((at, length),) = chunks_of(data)
        path.write_bytes(data[: at + int(0.7 * length)])
        assert whole_messages(path.read_bytes()) == {}
        (log,) = read_log(path)
        assert 100 < len(log.odom) < 180
        np.testing.assert_allclose(log.odom, np.array(circle.odom)[: len(log.odom), 1:], atol=1e-12)


def chunks_of(data):
    at, found = 8, []
    while at < len(data) - 8:
        kind, length = struct.unpack_from("<BQ", data, at)
        if kind == 6:
            found.append((at, length))
        if kind == 15:
            return found
        at += 9 + length
    return found


@pytest.mark.parametrize("compression", ["NONE", "LZ4", "ZSTD"])
def test_a_damaged_chunk_costs_only_itself(tmp_path, circle, compression):
    path = write_mcap(tmp_path / "run.mcap", circle, compression)
    data = bytearray(path.read_bytes())
    chunks = chunks_of(data)
    at, length = chunks[len(chunks) // 2]
    data[at + length // 2] ^= 0xFF
    path.write_bytes(data)
    (log,) = read_log(path)
    assert 200 - 16 <= len(log.odom) < 200
    assert "1 x " in said(log)
    assert "left out" in said(log)
    assert "not whole" not in said(log)


def test_a_damaged_length_is_passed_over(tmp_path, circle):
    path = write_mcap(tmp_path / "run.mcap", circle, "ZSTD")
    data = bytearray(path.read_bytes())
    chunks = chunks_of(data)
    data[chunks[3][0] + 7] ^= 0x10  # the record claims to be longer than the file
    path.write_bytes(data)
    (log,) = read_log(path)
    assert 200 - 16 <= len(log.odom) < 200
    assert "passed over" in said(log)


def test_numbers_that_promise_memory_get_none(tmp_path, circle):
    path = write_mcap(tmp_path / "run.mcap", circle, "ZSTD")
    data = bytearray(path.read_bytes())
    at, _ = chunks_of(data)[2]
    struct.pack_into("<Q", data, at + 9 + 16, 1 << 60)  # says it unpacks to an exabyte
    path.write_bytes(data)
    (log,) = read_log(path)
    assert len(log.odom) >= 200 - 16


def write_foxglove(path, schemas, messages, encoding="json"):
    with path.open("wb") as file:
        writer = Writer(file, compression=CompressionType.ZSTD)
        writer.start(profile="", library="test")
        channels = {}
        for topic, (name, form, text) in schemas.items():
            channels[topic] = writer.register_channel(topic, encoding, writer.register_schema(name, form, text))
        for topic, t_ns, data in messages:
            writer.add_message(channels[topic], t_ns, data, t_ns)
        writer.finish()
    return path


def test_foxglove_json(tmp_path):
    schemas = {
        "/pose": ("foxglove.PoseInFrame", "jsonschema", b"{}"),
        "/scan": ("foxglove.LaserScan", "jsonschema", b"{}"),
        "/cmd_vel": ("geometry_msgs/TwistStamped", "jsonschema", b"{}"),
    }
    messages = []
    for k in range(30):
        t = START + k * 50 * MS
        stamp = {"sec": t // 10**9, "nsec": t % 10**9}
        place = {"position": {"x": k, "y": 2, "z": 0}, "orientation": {"x": 0, "y": 0, "z": 0.6, "w": 0.8}}
        scan = {"start_angle": -1.0, "end_angle": 1.0, "ranges": [1.0, None, 3.0]}
        twist = {"linear": {"x": 0.5, "y": 0, "z": 0}, "angular": {"x": 0, "y": 0, "z": 0.1 * k}}
        head = {"stamp": {"sec": t // 10**9, "nanosec": t % 10**9}, "frame_id": "base_link"}
        for topic, message in (
            ("/pose", {"timestamp": stamp, "frame_id": "world", "pose": place}),
            ("/scan", {"timestamp": stamp, "frame_id": "laser", "pose": place, **scan}),
            ("/cmd_vel", {"header": head, "twist": twist}),
        ):
            messages.append((topic, t, json.dumps(message).encode()))
    (log,) = read_log(write_foxglove(tmp_path / "x.mcap", schemas, messages))
    np.testing.assert_allclose(log.pose, [(k, 2.0, 2 * np.arctan2(0.6, 0.8)) for k in range(30)])
    np.testing.assert_allclose(log.cmd, [(0.5, 0.1 * k) for k in range(30)])
    np.testing.assert_array_equal(log.scans.ranges[0], np.array([1, np.nan, 3], np.float32))
    assert (log.scans.angle_min, log.scans.angle_increment) == (-1.0, 1.0)


def test_foxglove_protobuf(tmp_path):
    pb = pytest.importorskip("google.protobuf.descriptor_pb2")
    from google.protobuf import descriptor_pool, message_factory

    files = pb.FileDescriptorSet()
    file = files.file.add(name="foxglove/PoseInFrame.proto", package="foxglove", syntax="proto3")

    def message(name, **fields):
        item = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), 1):
            entry = item.field.add(name=field, number=number, label=1)
            if isinstance(kind, str):
                entry.type, entry.type_name = 11, f".foxglove.{kind}"
            else:
                entry.type = kind

    message("Stamp", seconds=3, nanos=5)
    message("Vector3", x=1, y=1, z=1)
    message("Quaternion", x=1, y=1, z=1, w=1)
    message("Pose", position="Vector3", orientation="Quaternion")
    message("PoseInFrame", timestamp="Stamp", frame_id=9, pose="Pose")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    create = message_factory.GetMessageClass(pool.FindMessageTypeByName("foxglove.PoseInFrame"))
    messages = []
    for k in range(20):
        t = START + k * 50 * MS
        item = create(frame_id="world")
        item.timestamp.seconds, item.timestamp.nanos = t // 10**9, t % 10**9
        item.pose.position.x, item.pose.orientation.w = 0.5 * k, 1.0
        messages.append(("/pose", t, item.SerializeToString()))
    schema = {"/pose": ("foxglove.PoseInFrame", "protobuf", files.SerializeToString())}
    (log,) = read_log(write_foxglove(tmp_path / "x.mcap", schema, messages, "protobuf"))
    np.testing.assert_array_equal(log.pose_t_ns, START + 50 * MS * np.arange(20))
    np.testing.assert_allclose(log.pose[:, 0], 0.5 * np.arange(20))


@pytest.mark.slow
def test_what_view_writes_reads_back(tmp_path):
    playback = Playback(
        run_episode(quick(duration=3.0), Steer, policy_name="steer", seed=0, index=0), quick(duration=3.0)
    )
    record = playback.record
    foxglove.write_mcap(playback, tmp_path / "x.mcap", points=False)
    logs = read_log(tmp_path / "x.mcap")
    assert [log.robot for log in logs] == [f"robot_{r}" for r in range(record.pose.shape[1])]
    for r, log in enumerate(logs):
        assert log.simulated
        np.testing.assert_array_equal(log.pose_t_ns, np.round(record.time * 1e9))
        np.testing.assert_allclose(log.pose, record.pose[:, r], atol=1e-4)
        np.testing.assert_allclose(log.cmd, record.command[:, r], atol=1e-5)


# Files that nobody wrote: whatever is done to the bytes, there is a log or an InputError.


@pytest.fixture(scope="module")
def originals(tmp_path_factory, short):
    folder = tmp_path_factory.mktemp("fuzz")
    early = drive(ros=1, seconds=0.6)
    made = {
        "plain.mcap": write_mcap(folder / "plain.mcap", short, "NONE"),
        "loose.mcap": write_mcap(folder / "loose.mcap", short, chunking=False),
        "zstd.mcap": write_mcap(folder / "zstd.mcap", short, "ZSTD"),
        "plain.bag": write_bag1(folder / "plain.bag", early, chunk=20_000),
        "bz2.bag": write_bag1(folder / "bz2.bag", early, "bz2", chunk=20_000),
        "lz4.bag": write_bag1(folder / "lz4.bag", early, "lz4", chunk=20_000),
        "sqlite.db3": next(write_bag2(folder / "run", short, "sqlite3").glob("*.db3")),
    }
    return folder, {name: path.read_bytes() for name, path in made.items()}


def read_somehow(path):
    read = read_mcap if path.suffix == ".mcap" else read_rosbag
    try:
        logs = read(path, ReadOptions())
    except InputError as error:
        if not (error.what and error.where):
            raise AssertionError("an error without a place") from error
        return
    for log in logs:
        for stamps in (log.pose_t_ns, log.odom_t_ns, log.cmd_t_ns, log.scans.t_ns if log.scans else log.cmd_t_ns):
            assert (np.diff(stamps) > 0).all()
        assert np.isfinite(log.pose).all()
        assert np.isfinite(log.odom).all()
        assert np.isfinite(log.cmd).all()


NAMES = ["plain.mcap", "loose.mcap", "zstd.mcap", "plain.bag", "bz2.bag", "lz4.bag", "sqlite.db3"]


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8, deadline=None, database=None)
@given(data=st.data())
def test_cuts_and_flips_never_do_harm(originals, name, data):
    folder, contents = originals
    content = bytearray(contents[name])
    end = data.draw(st.one_of(st.just(len(content)), st.integers(1, len(content))))
    del content[end:]
    for place, value in data.draw(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=8)):
        content[min(int(place * len(content)), len(content) - 1)] = value
    path = folder / f"x.{name.rpartition('.')[2]}"
    path.write_bytes(content)
    read_somehow(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_many_cuts_and_flips_never_do_harm(originals, name):
    folder, contents = originals
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    path = folder / f"y.{name.rpartition('.')[2]}"
    for _ in range(60):
        content = bytearray(contents[name])
        if rng.random() < 0.5:
            del content[rng.integers(1, len(content)) :]
        for place in rng.integers(0, len(content), rng.integers(0, 30)):
            content[place] ^= 1 << rng.integers(0, 8)
        if rng.random() < 0.2:  # a stretch of zeros, as of a disk that lost power
            start = rng.integers(0, len(content))
            content[start : start + 4096] = bytes(len(content[start : start + 4096]))
        path.write_bytes(content)
        read_somehow(path)


def test_other_files_are_told_apart(tmp_path):
    (tmp_path / "a.mcap").write_bytes(b"\x89MCAP0\r\n")
    with pytest.raises(InputError, match="nothing that a gap could be measured from"):
        read_log(tmp_path / "a.mcap")
    (tmp_path / "b.bag").write_bytes(b"#ROSBAG V1.2\n" + bytes(100))
    with pytest.raises(InputError, match=r"not a ROS 1 bag of format 2\.0"):
        read_log(tmp_path / "b.bag")
    (tmp_path / "c.mcap").write_bytes(base64.b64decode("iU1DQVAwDQo=") * 1000)
    with pytest.raises(InputError):
        read_log(tmp_path / "c.mcap")
