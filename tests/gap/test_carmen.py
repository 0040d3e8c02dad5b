"""CARMEN logs: raw and corrected ones, two clocks, no returns, damage."""

import gzip
import math
import re
import struct

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from floorcast.common.errors import InputError
from floorcast.gap.readers import ReadOptions, detect_format, read_log, stream
from floorcast.gap.readers.carmen import no_return
from floorcast.gap.readers.decimals import read_decimal

BEAMS = 180


def odom(x, y, yaw, t):
    return f"ODOM {x!r} {y!r} {yaw!r} 0 0 0 {t} host {t}\n"


def flaser(pose, t, ranges=None, odom_pose=None):
    ranges = [5.0] * BEAMS if ranges is None else ranges
    own = " ".join(repr(v) for v in pose)
    other = " ".join(repr(v) for v in (odom_pose or pose))
    return f"FLASER {len(ranges)} {' '.join(f'{r:g}' for r in ranges)} {own} {other} {t} host {t}\n"


def corrected_log(steps=40):
    """A robot drives an arc; its odometry turns 2 % too little; SLAM puts it right after every fifth reading."""
    true = believed = (0.0, 0.0, 0.0)
    raw = [believed]
    lines, poses, shown, t = [], [], (0.0, 0.0, 0.0), 0.0

    def ahead(pose, length, turn):
        return (pose[0] + length * math.cos(pose[2]), pose[1] + length * math.sin(pose[2]), pose[2] + turn)

    lines.append(odom(*shown, 0.0))
    for i in range(1, steps):
        t = 0.25 * i
        true = ahead(true, 0.1, 0.05)
        shown = ahead(shown, 0.1, 0.049)
        raw.append(ahead(raw[-1], 0.1, 0.049))
        lines.append(odom(*shown, t))
        if i % 5 == 0:
            shown = true
            poses.append(true)
            lines += [flaser(true, t), odom(*true, 0), "NEFF 12.5\n"]
    return lines, np.array(raw), np.array(poses)


def test_the_odometry_of_a_corrected_log_is_the_chain_of_its_raw_increments(tmp_path):
    lines, raw, poses = corrected_log()
    path = tmp_path / "hall-corrected.log.gz"
    path.write_bytes(gzip.compress("".join(lines).encode()))
    assert detect_format(path) == "carmen"
    (log,) = read_log(path)
    np.testing.assert_allclose(log.odom, raw, atol=1e-12)
    np.testing.assert_allclose(log.pose, poses, atol=1e-12)
    assert (log.robot, log.pose_source, log.pose_frame) == ("hall-corrected", "slam", "base_link")
    np.testing.assert_array_equal(log.scans.t_ns, log.pose_t_ns)
    assert any("7 x ODOM line that only moves the odometry" in line for line in log.report.lines())


def test_a_raw_log_has_odometry_and_no_truth_even_if_the_robot_stands(tmp_path):
    stand = [odom(1.0, 2.0, 0.5, t) + flaser((1.1, 2.0, 0.5), t + 0.01, odom_pose=(1.0, 2.0, 0.5)) for t in range(1, 9)]
    path = tmp_path / "raw.log"
    path.write_text("".join(stand))
    (log,) = read_log(path)
    assert (len(log.odom), len(log.pose), len(log.scans)) == (8, 0, 8)
    np.testing.assert_allclose(log.scans.mount, (0.1 * math.cos(0.5), -0.1 * math.sin(0.5), 0.0), atol=1e-9)


def test_the_newer_record_gives_mount_angles_and_both_clocks(tmp_path):
    ranges = " ".join(["2.5"] * 30 + ["81.83"] * 6)
    text = "".join(
        f"VERTEX2 {i} 0 0 0\nROBOTLASER1 0 -1.5 3.0 0.1 50.0 0.1 0 36 {ranges} 2 9 9"
        f" {0.1 * i} 0.2 0.0 {0.1 * i - 0.2} 0.2 0.0 0 0 0 0 0 {1000.5 + i} host {0.25 + i}\n"
        for i in range(5)
    )
    path = tmp_path / "new.log"
    path.write_text(text)
    (log,) = read_log(path)
    assert log.scans.angle_min == -1.5
    assert log.scans.angle_increment == 0.1
    np.testing.assert_allclose(log.scans.mount, (0.2, 0.0, 0.0), atol=1e-12)
    assert np.isinf(log.scans.ranges[:, 30:]).all()
    assert (log.scans.ranges[:, :30] == 2.5).all()
    assert log.pose_source == "slam"
    assert log.pose_t_ns[0] == 1000_500_000_000
    said = "\n".join(log.report.lines())
    assert "leads the logger's by 1000.250000 s" in said
    assert "5 x VERTEX2 line passed over" in said
    # Without the graph, nobody has corrected those poses: they are what the robot believed.
    path.write_text("".join(line for line in text.splitlines(keepends=True) if line[0] == "R"))
    (log,) = read_log(path)
    assert len(log.pose) == 0
    assert len(log.odom) == 5


def test_no_return_is_told_from_far_walls():
    walls = np.random.default_rng(0).uniform(1.0, 30.0, (50, 180)).astype(np.float32)
    assert no_return(walls)[0] == math.inf  # a hall of 30 m has no such number
    walls[::3, ::7] = 51.15
    walls[::5, ::9] = 51.09
    low, reach = no_return(walls)
    assert low == pytest.approx(51.09, abs=2e-3)
    assert reach == pytest.approx(51.09, abs=1e-3)


def test_stamps_out_of_order_are_mended_and_non_finite_ranges_kept_apart(tmp_path):
    lines, raw, _ = corrected_log()
    lines[10] = lines[10].replace("1.75 host 1.75", "1.3 host 1.3")
    ranges = [5.0] * 60 + [math.nan] * 60 + [math.inf] * 59 + [-1.0]
    lines.append(flaser((0.0, 0.0, 0.0), 10.0, ranges))
    path = tmp_path / "jitter.log"
    path.write_text("".join(lines))
    (log,) = read_log(path)
    assert (np.diff(log.odom_t_ns) > 0).all()
    np.testing.assert_allclose(log.odom, raw, atol=1e-12)
    assert any("1 x ODOM stamp out of order" in line for line in log.report.lines())
    last = log.scans.ranges[-1]
    assert np.isnan(last[60:120]).all()
    assert np.isinf(last[120:179]).all()
    assert np.isnan(last[179])


def test_a_gzip_file_cut_at_60_percent_gives_what_unpacks(tmp_path):
    rng = np.random.default_rng(1)
    ranges = rng.uniform(1, 20, (300, BEAMS)).round(2)
    text = "".join(odom(0.1 * i, 0.0, 0.0, i) + flaser((0.1 * i, 0.0, 0.0), i, list(ranges[i])) for i in range(300))
    data = gzip.compress(text.encode())
    path = tmp_path / "cut.log.gz"
    path.write_bytes(data[: int(0.6 * len(data))])
    (log,) = read_log(path)
    assert 0.5 * 300 < len(log.scans) < 0.65 * 300
    said = "\n".join(log.report.lines())
    assert f"gzip file cut off after {int(0.6 * len(data))} bytes" in said
    assert "last line cut off" in said


def test_damage_beyond_five_percent_is_refused_and_less_is_counted(tmp_path):
    lines = [odom(0.1 * i, 0.0, 0.0, i) for i in range(100)]
    lines[7] = "ODOM 0.1 zero 0 0 0 0 7 host 7\n"
    path = tmp_path / "some.log"
    path.write_text("".join(lines))
    (log,) = read_log(path)
    assert log.report.files[0].skipped[0].first_line == 8
    assert len(log.odom) == 99
    for i in range(40, 50):
        lines[i] = lines[i][:9] + "\n"
    path.write_text("".join(lines))
    with pytest.raises(InputError, match="11 of 100 records are bad"):
        read_log(path)


def test_a_scan_cut_short_is_never_filled_up(tmp_path):
    lines = [flaser((0.1 * i, 0.0, 0.0), i) for i in range(30)]
    lines[9] = " ".join(lines[9].split()[:150]) + "\n"
    lines[20] = " ".join(lines[20].split()[:150]).replace(" 5", " 5.00000000000000000000") + "\n"  # left to float
    path = tmp_path / "short.log"
    path.write_text("".join(lines))
    with pytest.raises(InputError, match="2 of 30 records are bad"):
        read_log(path)
    path.write_text("".join(lines + [flaser((0.0, 0.0, 0.0), 30 + i) for i in range(20)]))
    (log,) = read_log(path)
    assert [(item.count, item.first_line) for item in log.report.files[0].skipped] == [(2, 10)]
    assert len(log.scans) == 48


def test_scans_can_be_thinned(tmp_path):
    path = tmp_path / "many.log"
    path.write_text("".join(odom(0.1 * i, 0, 0, i) + flaser((0.1 * i, 0.0, 0.0), i) for i in range(50)))
    (log,) = read_log(path, options=ReadOptions(max_scans=5))
    assert len(log.scans) == 5
    assert log.scans.t_ns[-1] == 49_000_000_000
    assert len(log.odom) == 50


def written(value, form):
    return form.format(value).encode()


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.builds(
            written,
            st.floats(allow_nan=True),
            st.sampled_from(["{!r}", "{:.6f}", "{:g}", "{:.14e}", "+{}", "{:.2f} 7"]),
        ),
        st.from_regex(rb"[-+]?[0-9]{0,20}\.?[0-9]{0,20}([eE][-+]?[0-9]{0,4})?", fullmatch=True),
        st.text("0123456789.+-eEinfaN_x ", max_size=12).map(str.encode),
    )
)
@example(b"9007199254740993")  # 2^53 + 1 lies between two doubles
@example(b"9300000000000000000")  # over 2^63
@example(b"1e23")  # beyond the powers of ten that are exact
@example(b"-0.0")
@example(b"infinity")
def test_a_decimal_is_what_float_makes_of_it_or_left_to_float(text):
    value, at = read_decimal(np.frombuffer(text, dtype=np.uint8), 0, len(text))
    if at >= 0:
        word = text.split()[0]
        assert text[:at].split() == [word]
        assert struct.pack("d", value) == struct.pack("d", float(word)) or (
            math.isnan(value) and math.isnan(float(word))
        )


def test_usual_numbers_are_read_by_the_fast_way():
    for text in (b"976052890.123456", b"-1.570796", b"81.83", b"0", b"1e-05", b"+3.25e2", b"nan", b"-inf"):
        assert read_decimal(np.frombuffer(text, dtype=np.uint8), 0, len(text))[1] == len(text)


def test_what_the_fast_way_cannot_read_is_read_all_the_same_and_blocks_leave_no_seam(tmp_path, monkeypatch):
    lines, raw, _ = corrected_log(60)
    plain, mixed = tmp_path / "a.log", tmp_path / "b.log"
    plain.write_text("".join(lines))
    # Zeros that change nothing: over eighteen digits, which only float reads.
    slow = [
        re.sub(r"(\.\d+)(?= )", r"\g<1>00000000000000000000", line) if i > 20 and i % 3 else line
        for i, line in enumerate(lines)
    ]
    mixed.write_text("".join(slow))
    monkeypatch.setattr(stream, "BLOCK", 3000)
    (log,), (other,) = read_log(plain), read_log(mixed)
    np.testing.assert_allclose(log.odom, raw, atol=1e-12)
    np.testing.assert_array_equal(log.odom, other.odom)
    np.testing.assert_array_equal(log.pose, other.pose)
    np.testing.assert_array_equal(log.scans.ranges, other.scans.ranges)
