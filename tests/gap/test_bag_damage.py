"""Bags that were cut off or damaged: what can be had of them, and what is said."""

import re
import sqlite3
import struct

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.gap.readers import read_log

from .bags import drive, write_bag1, write_bag2
from .test_rosbag import said, same


@pytest.fixture(scope="module")
def circle1():
    return drive(ros=1)


@pytest.fixture(scope="module")
def circle2():
    return drive(ros=2)


def test_a_bag_cut_at_60_percent_is_read_to_its_last_whole_message(tmp_path, circle1):
    whole = write_bag1(tmp_path / "x.bag", circle1, chunk=30_000).read_bytes()
    cut = tmp_path / "cut.bag"
    cut.write_bytes(whole[: int(0.6 * len(whole))])
    (log,) = read_log(cut)
    # Independent count: headers of odometry messages in the bytes themselves, by connection number.
    number = re.search(rb"conn=(.{4}).{0,30}topic=/odom", whole, re.DOTALL)[1]
    pattern = re.compile(rb"op=\x02.{4}conn=" + re.escape(number) + rb".{4}time=.{8}(.{4})", re.DOTALL)
    data = cut.read_bytes()
    there = [m for m in pattern.finditer(data) if m.end() + struct.unpack("<I", m[1])[0] <= len(data)]
    assert len(log.odom) == len(there)
    assert 0.5 * 200 < len(there) < 0.75 * 200
    assert "not whole" in said(log)
    assert re.search("6[01]% of its data is there", said(log))
    assert "% of" in said(log)


def test_a_damaged_compressed_chunk_costs_only_itself(tmp_path, circle1):
    path = write_bag1(tmp_path / "x.bag", circle1, "bz2", chunk=30_000)
    data = bytearray(path.read_bytes())
    chunks = [m.start() for m in re.finditer(b"BZh9", data)]
    middle = chunks[len(chunks) // 2]
    data[middle + 40 : middle + 60] = bytes(20)
    path.write_bytes(data)
    (log,) = read_log(path)
    assert len(log.odom) == pytest.approx(200 * (1 - 1 / len(chunks)), abs=8)
    assert "1 x bz2 chunk that cannot be unpacked" in said(log)


def test_a_damaged_length_costs_only_its_neighbourhood(tmp_path, circle1):
    path = write_bag1(tmp_path / "x.bag", circle1, chunk=30_000)
    data = bytearray(path.read_bytes())
    place = [m.start() for m in re.finditer(rb"time=.{12}", data, re.DOTALL)][600]
    data[place + 13 : place + 17] = b"\xff\xff\xff\x7f"
    path.write_bytes(data)
    (log,) = read_log(path)
    assert len(log.odom) + len(log.pose) + len(log.cmd) >= 200 + 400 + 80 - 3
    assert "damaged bytes, passed over" in said(log)


def test_a_database_that_is_cut_gives_what_it_can(tmp_path, circle2):
    folder = write_bag2(tmp_path / "run", circle2, "sqlite3")
    (file,) = folder.glob("*.db3")
    data = file.read_bytes()
    file.write_bytes(data[: int(0.7 * len(data)) // 4096 * 4096])
    (log,) = read_log(folder)
    assert 50 < len(log.odom) < 200
    np.testing.assert_allclose(log.odom, np.array(circle2.odom)[: len(log.odom), 1:], atol=1e-12)
    assert "damaged" in said(log)
    file.write_bytes(data[:2000])
    with pytest.raises(InputError, match="SQLite storage cannot be read"):
        read_log(folder)


def test_a_killed_recorder_leaves_a_write_ahead_log(tmp_path, circle2):
    """All messages are still in the -wal file beside the database, and there is no metadata."""
    (source,) = write_bag2(tmp_path / "run", circle2, "sqlite3").glob("*.db3")
    live, killed = tmp_path / "live.db3", tmp_path / "killed"
    killed.mkdir()
    base, old = sqlite3.connect(live), sqlite3.connect(source)
    base.execute("PRAGMA journal_mode = WAL")
    base.execute("PRAGMA wal_autocheckpoint = 0")
    for line in old.iterdump():
        if not line.startswith(("BEGIN", "COMMIT")):
            base.execute(line)
    base.commit()
    for suffix in ("", "-wal"):
        (killed / f"x.db3{suffix}").write_bytes(live.with_name(live.name + suffix).read_bytes())
    base.close()
    old.close()
    assert (killed / "x.db3").stat().st_size < 10_000
    same(read_log(killed)[0], circle2)


def test_databases_that_are_no_bags(tmp_path):
    with sqlite3.connect(tmp_path / "x.db3") as base:
        base.execute("CREATE TABLE messages (id INTEGER)")
    base.close()
    with pytest.raises(InputError, match="SQLite storage cannot be read"):
        read_log(tmp_path / "x.db3")
