"""Text in blocks and rows in bounded memory."""

import gzip
import hashlib
import tracemalloc

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.gap.readers import stream
from floorcast.gap.readers.records import read_table, sort_out_times
from floorcast.gap.readers.stream import LineStream, Rows


def test_blocks_are_whole_lines_of_plain_and_packed_files(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "BLOCK", 1000)
    rng = np.random.default_rng(0)
    text = b"\n".join(b"x" * int(n) for n in rng.integers(0, 400, 200)) + b"\ntail"
    plain, packed, joined = (tmp_path / name for name in ("a.txt", "b.gz", "c.gz"))
    plain.write_bytes(b"\xef\xbb\xbf" + text)
    packed.write_bytes(gzip.compress(text))
    joined.write_bytes(gzip.compress(text[:9000]) + gzip.compress(text[9000:]))
    for path in (plain, packed, joined):
        source = LineStream(path)
        blocks = list(source)
        assert b"".join(blocks) == text
        assert all(block.endswith(b"\n") for block in blocks[:-1])
        assert len(blocks) > 5
        assert source.cut is None
        assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    damaged = bytearray(packed.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    packed.write_bytes(bytes(damaged))
    source = LineStream(packed)
    assert text.startswith(b"".join(list(source)[:1]))
    assert "damaged" in source.cut or "cut off" in source.cut


def test_a_line_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "MAX_LINE", 10_000)
    monkeypatch.setattr(stream, "BLOCK", 4096)
    path = tmp_path / "zeros.bin"
    path.write_bytes(bytes(50_000))
    with pytest.raises(InputError, match="no text file"):
        list(LineStream(path))


def test_rows_beyond_the_limit_are_thinned_evenly():
    rows = Rows(2, limit=100)
    for start in range(0, 1000, 37):
        index = np.arange(start, min(start + 37, 1000))
        rows.add(np.column_stack([index, index]))
    kept = rows.values()[:, 0]
    assert rows.seen == 1000
    assert 50 <= len(kept) <= 100
    np.testing.assert_array_equal(kept, np.arange(0, 1000, rows.stride))


def test_thinning_and_joining_hold_no_second_copy():
    rows = Rows(4, limit=100_000)
    tracemalloc.start()
    for start in range(0, 150_000, 1000):
        rows.add(np.full((1000, 4), float(start)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1.2 * 100_000 * 4 * 8
    np.testing.assert_array_equal(rows.values()[:, 0], np.repeat(1000.0 * np.arange(150), 500))


def test_a_table_larger_than_its_memory_is_read_in_it(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "MAX_TABLE_BYTES", 130_000)
    monkeypatch.setattr(stream, "BLOCK", 50_000)
    path = tmp_path / "long.txt"
    path.write_text("".join(f"{0.01 * k:.2f} {k % 7}.5 {k % 11}.25\n" for k in range(40_000)))
    tracemalloc.start()
    table = read_table(path, 3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000  # its lines as objects alone would take 4 MB
    t_ns = sort_out_times(table)
    assert 2_000 < len(t_ns) < 4_100
    k = np.round(t_ns / 1e7).astype(int)
    np.testing.assert_allclose(table.values[:, 1], k % 7 + 0.5)
    assert len(np.unique(np.diff(k))) == 1
    (note,) = [item for item in table.report().notes if "let go" in item.reason]
    assert note.count == 40_000 - len(t_ns)
    assert table.records == 40_000
