import dataclasses
import json
import os

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from floorcast.common.errors import InputError, OutputError
from floorcast.gap import store
from floorcast.gap.fieldlog import CREATE_MODEL, FieldLog, FileReport, Finding, LogEvent, LogReport, Scans
from floorcast.gap.readers import read_log
from floorcast.gap.store import import_log, load_log, save_log
from floorcast.robots.model import RobotModel
from floorcast.robots.tricycle import TricycleParameters

from .bags import drive, write_bag1
from .synthetic import make_log

MODELS = [
    RobotModel(),
    CREATE_MODEL,
    RobotModel(kind="mecanum", width=1.0),
    RobotModel(name="truck", kind="tricycle", length=2.4, width=1.2, class_name="forklift"),
]
BITS = {np.dtype(np.float64): np.uint64, np.dtype(np.float32): np.uint32, np.dtype(np.int64): np.int64}


def equal_to_the_bit(one, other):
    for field in dataclasses.fields(FieldLog):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, np.ndarray):
            same_array(a, b)
        elif isinstance(a, Scans):
            for inner in dataclasses.fields(Scans):
                x, y = getattr(a, inner.name), getattr(b, inner.name)
                same_array(x, y) if isinstance(x, np.ndarray) else same_value(x, y)
        else:
            same_value(a, b)


def same_array(a, b):
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    np.testing.assert_array_equal(np.ascontiguousarray(a).view(BITS[a.dtype]), b.view(BITS[b.dtype]))


def same_value(a, b):
    assert type(a) is type(b)
    assert a == b


@st.composite
def logs(draw):
    """Any log: empty tables, every bit pattern of a float, odd names, events in any JSON."""

    def stamps():
        return np.sort(np.unique(draw(hnp.arrays(np.int64, draw(st.integers(0, 6)), unique=True))))

    def table(width, kind):
        t_ns = stamps()
        bits = draw(hnp.arrays(np.uint64, (len(t_ns), width)))
        return t_ns, bits.view(kind)

    text = st.text(st.characters(blacklist_categories=["Cs"]), max_size=8)
    json_value = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | text,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
        max_leaves=6,
    )
    changes = {}
    for name, width in (("pose", 3), ("odom", 3), ("cmd", draw(st.sampled_from([2, 3]))), ("wheel_cmd", 4)):
        changes[f"{name}_t_ns"], changes[name] = table(width, np.float64)
    changes["ticks_t_ns"], changes["ticks"] = table(draw(st.integers(1, 4)), np.int64)
    if draw(st.booleans()):
        t_ns, beams = stamps(), draw(st.integers(1, 5))
        ranges = draw(hnp.arrays(np.uint32, (len(t_ns), beams))).view(np.float32)
        number = st.floats(allow_nan=False, allow_infinity=False)
        mount = draw(st.tuples(number, number, number))
        far = draw(st.floats(0, allow_nan=False))
        changes["scans"] = Scans(t_ns, ranges, draw(number), draw(number), draw(number), far, mount)
    finding = st.builds(Finding, text, st.integers(0, 2**40), st.integers(0, 2**40))
    found = st.lists(finding, max_size=2).map(tuple)
    files = st.builds(
        FileReport, text, text, st.integers(0, 9), st.integers(0, 9), found, found, st.sampled_from(["line", "message"])
    )
    event = st.builds(LogEvent, st.integers(-(2**63), 2**63 - 1), text, st.dictionaries(text, json_value, max_size=3))
    return FieldLog(
        robot=draw(text),
        run=draw(text),
        drive=draw(st.sampled_from(["differential", "tricycle", "mecanum", "unknown"])),
        pose_frame=draw(st.sampled_from(["base_link", "laser"])),
        pose_source=draw(st.sampled_from(["tracker", "slam", "localisation"])),
        wheel_cmd_unit=draw(st.sampled_from(["rad/s", "raw"])),
        simulated=draw(st.booleans()),
        model=draw(st.sampled_from(MODELS)),
        tricycle=draw(st.none() | st.builds(TricycleParameters, k_steer=st.floats(0.1, 1))),
        events=tuple(sorted(draw(st.lists(event, max_size=3)), key=lambda item: item.t_ns)),
        report=LogReport(tuple(draw(st.lists(files, max_size=2)))),
        **changes,
    )


@settings(max_examples=6, deadline=None, database=None)
@given(log=logs())
def test_any_log_comes_back_to_the_bit(tmp_path_factory, log):
    folder = tmp_path_factory.mktemp("store")
    equal_to_the_bit(log, load_log(save_log(log, folder)))


def test_tables_name_their_units_and_frames(tmp_path):
    save_log(make_log(seconds=5.0), tmp_path / "log")
    schema = pq.read_schema(tmp_path / "log" / "pose.parquet")
    assert schema.names == ["t_ns", "x", "y", "yaw"]
    assert schema.field("yaw").metadata == {b"unit": b"rad", b"frame": b"map"}
    assert schema.field("t_ns").metadata == {b"unit": b"ns"}
    assert pq.read_schema(tmp_path / "log" / "cmd.parquet").field("v").metadata[b"unit"] == b"m/s"


def test_import_and_reading_again_are_the_same_log(tmp_path):
    bag = write_bag1(tmp_path / "x.bag", drive(ros=1, seconds=2.0, pictures=False))
    (log,) = read_log(bag)
    assert import_log(bag, tmp_path / "out") == [tmp_path / "out"]
    (again,) = read_log(tmp_path / "out")
    equal_to_the_bit(log, again)
    (tmp_path / "bags").mkdir()
    for name in ("a.bag", "b.bag"):
        (tmp_path / "bags" / name).write_bytes(bag.read_bytes())
    folders = import_log(tmp_path / "bags", tmp_path / "many")
    assert [folder.name for folder in folders] == ["bags_a", "bags_b"]
    assert [log.name for log in read_log(tmp_path / "many")] == ["bags/a", "bags/b"]


def test_two_writings_are_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        save_log(make_log(seconds=5.0), tmp_path / name)
    for path in sorted((tmp_path / "a").iterdir()):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_a_log_is_replaced_whole_or_not_at_all(tmp_path, monkeypatch):
    folder = tmp_path / "log"
    first, second = make_log(seconds=5.0), make_log(seconds=6.0)
    save_log(first, folder)
    real = store._write_table

    def broken(path, name, table, width):
        if name == "odom":
            raise OSError(28, "No space left on device")
        return real(path, name, table, width)

    with monkeypatch.context() as patch:
        patch.setattr(store, "_write_table", broken)
        with pytest.raises(OutputError, match="No space"):
            save_log(second, folder)
    equal_to_the_bit(first, load_log(folder))
    assert os.listdir(tmp_path) == ["log"]
    save_log(second, folder)
    equal_to_the_bit(second, load_log(folder))
    assert os.listdir(tmp_path) == ["log"]


def test_other_folders_are_never_overwritten(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match="no stored log"):
        save_log(make_log(seconds=5.0), tmp_path)
    folder = save_log(make_log(seconds=5.0), tmp_path / "log")
    (folder / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"no stored log: notes\.txt"):
        save_log(make_log(seconds=5.0), folder)
    assert (folder / "notes.txt").exists()
    with pytest.raises(InputError, match="in the way"):
        save_log(make_log(seconds=5.0), tmp_path / "thesis.tex")


def test_a_log_json_of_another_program_is_no_log(tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "log.json").write_text('{"level": "info"}')
    assert not store.holds_log(tmp_path)
    assert not store.holds_log(tmp_path / "other")
    save_log(make_log(seconds=5.0), tmp_path / "ours")
    assert store.log_folders(tmp_path) == [tmp_path / "ours"]


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(format="floorcast.fieldlog/9"), "this version reads"),
        (lambda d: d.update(drive="hover"), "does not fit"),
        (lambda d: d.pop("robot"), "does not fit"),
        (lambda d: d["tables"].pop("pose"), "tells nothing sensible of the table pose"),
        (lambda d: d["tables"]["pose"].update(rows=10**15), "GiB of memory"),
        (lambda d: d["tables"]["pose"].update(rows=3), "other rows or columns"),
        (lambda d: d["tables"]["ticks"].update(width=3), "other rows or columns"),
        (lambda d: d["tables"]["cmd"].update(width=-1), "nothing sensible"),
        (lambda d: d["tables"]["pose"].update(sha256="0" * 64), "SHA-256 differs"),
        (lambda d: d["model"].update(length=-1), "does not fit"),
    ],
)
def test_a_hostile_manifest_is_refused(tmp_path, change, message):
    folder = save_log(make_log(seconds=5.0), tmp_path / "log")
    edit(folder / "log.json", change)
    with pytest.raises(InputError, match=message):
        load_log(folder)


def test_hostile_files_are_refused(tmp_path):
    import pyarrow as pa

    folder = save_log(make_log(seconds=5.0), tmp_path / "log")
    good = (folder / "pose.parquet").read_bytes()
    table = pq.read_table(folder / "pose.parquet")
    backwards = table.slice(0, 5).take(pa.array([3, 2, 1, 0, 4]))
    texts = pa.table({name: pa.array(["x"] * 5) for name in ("t_ns", "x", "y", "yaw")})
    gaps = pa.table(
        {"t_ns": pa.array(range(5)), **{name: pa.array([1.0, None, 2, 3, 4]) for name in ("x", "y", "yaw")}}
    )
    for content, message in ((backwards, "do not rise"), (texts, "another type"), (gaps, "gaps"), (None, "be read")):
        if content is None:
            (folder / "pose.parquet").write_bytes(good[:-40] + bytes(40))
        else:
            pq.write_table(content, folder / "pose.parquet")

        def told(manifest):
            manifest["tables"]["pose"].update(rows=5, sha256=store.sha256_of(folder / "pose.parquet"))

        edit(folder / "log.json", told)
        with pytest.raises(InputError, match=message):
            load_log(folder)
    (folder / "pose.parquet").unlink()
    with pytest.raises(InputError, match="cannot be read"):
        load_log(folder)
    for content in (b"", b"[]", b"{", b"[" * 100_000, b"\xff\xfe"):
        (folder / "log.json").write_bytes(content)
        with pytest.raises(InputError):
            load_log(folder)
    with pytest.raises(InputError, match="no stored log"):
        load_log(tmp_path / "nowhere")
