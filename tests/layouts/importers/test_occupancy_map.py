import math
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.layouts.importers import pictures
from floorcast.layouts.importers.detect import import_layout
from floorcast.layouts.importers.pictures import read_picture
from floorcast.layouts.model import Layout
from floorcast.layouts.validation import check_layout

FILE = Path(__file__).parent / "site_files" / "room.yaml"
PICTURE = np.array([[205, 0, 0], [254, 254, 0], [254, 205, 205]], dtype=np.uint8)


@pytest.fixture
def site(tmp_path):
    """A function that writes a map and its picture (bytes, or an array for a PNG) and returns the YAML file."""

    def write(picture=PICTURE, **changes):
        fields = {
            "image": "site.png",
            "resolution": 0.5,
            "origin": [0.0, 0.0, 0.0],
            "negate": 0,
            "occupied_thresh": 0.65,
            "free_thresh": 0.196,
        } | changes
        data = picture if isinstance(picture, bytes) else cv2.imencode(".png", picture)[1].tobytes()
        (tmp_path / "site.png").write_bytes(data)
        path = tmp_path / "site.yaml"
        path.write_text("".join(f"{key}: {value}\n" for key, value in fields.items()))
        return path

    return write


def area(layout):
    return sum(abs(w.end[0] - w.start[0] + w.end[1] - w.start[1]) * w.thickness for w in layout.walls)


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(rows, columns, pixels, *, depth=8, colour=0):
    header = struct.pack(">IIBBBBB", columns, rows, depth, colour, 0, 0, 0)
    return pictures.SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def test_room(tmp_path):
    found = import_layout(FILE)
    layout = found.layout
    # Known are nine columns and five rows; the first column and the outer rows are not.
    assert (layout.length, layout.width) == (4.5, 2.5)
    assert found.read == {"cells": 70, "cells of the hall": 45, "occupied cells": 25, "free cells": 20, "walls": 6}
    assert area(layout) == pytest.approx(25 * 0.25)
    assert found.leftovers.counts == {}
    # The table: columns 4 and 5, row 3 of the picture.
    assert ((1.5, 1.25), (2.5, 1.25), 0.5) in [(w.start, w.end, w.thickness) for w in layout.walls]
    # The picture's lower left corner is the origin; the hall's lies one column and one row from it.
    assert (layout.source.x, layout.source.y) == (2.0 - 0.5, -1.0 - 0.5)
    assert check_layout(layout) == []
    layout.save(tmp_path / "hall.yaml")
    assert Layout.load(tmp_path / "hall.yaml") == layout


def test_turned_origin(site):
    source = import_layout(site(origin=[3.0, -2.0, 0.5])).layout.source
    # The origin of the picture, at (3, -2) in the map, is the corner of this hall.
    x = math.cos(source.yaw) * 3.0 + math.sin(source.yaw) * 2.0 + source.x
    y = math.sin(source.yaw) * 3.0 - math.cos(source.yaw) * 2.0 + source.y
    assert (x, y) == pytest.approx((0.0, 0.0), abs=1e-6)
    assert source.yaw == pytest.approx(-0.5)


def test_thresholds_modes_and_negation(site):
    def counts(picture=PICTURE, **changes):
        found = import_layout(site(picture, **changes))
        unknown, graded = (
            sum(n for key, n in found.leftovers.counts.items() if word in key) for word in ("unknown", "may be")
        )
        return found.read["occupied cells"], found.read["free cells"], unknown, graded

    assert counts() == (3, 3, 3, 0)
    assert counts(negate=1) == (6, 3, 0, 0)
    assert counts(mode="scale") == (3, 3, 0, 3)
    percent = np.array([[0, 100, 66], [30, 101, 255], [19, 65, 0]], dtype=np.uint8)
    assert counts(percent, mode="raw") == (2, 3, 2, 2)
    colour = np.dstack([PICTURE] * 3)
    assert counts(colour) == (3, 3, 3, 0)
    see_through = np.dstack([colour, np.full((3, 3), 255, dtype=np.uint8)])
    see_through[1, 0, 3] = 0
    assert counts(see_through, mode="scale") == (3, 2, 1, 3)
    # Alpha counts as a fourth colour, so that opaque grey is free, as map_server has it.
    assert counts(see_through) == (3, 5, 1, 0)
    sixteen = PICTURE.astype(np.uint16) * 257
    assert counts(sixteen) == (3, 3, 3, 0)
    big_endian = b"P5\n# deep\n3 3\n65535\n" + sixteen.astype(">u2").tobytes()
    assert counts(big_endian) == (3, 3, 3, 0)
    assert counts(b"P5 3 3 255 " + PICTURE.tobytes()) == (3, 3, 3, 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resolution": 0}, "field 'resolution'"),
        ({"resolution": -0.05}, "field 'resolution'"),
        ({"resolution": ".nan"}, "field 'resolution'"),
        ({"origin": "[.nan, 0, 0]"}, "field 'origin.0'"),
        ({"origin": "[0, .inf, 0]"}, "field 'origin.1'"),
        ({"origin": "[0, 0]"}, "field 'origin"),
        ({"occupied_thresh": 1.5}, "field 'occupied_thresh'"),
        ({"free_thresh": 0.9}, "free_thresh 0.9 is above"),
        ({"mode": "cubic"}, "field 'mode'"),
        ({"image": "/etc/passwd"}, "leads out of the folder"),
        ({"image": "../site.png"}, "leads out of the folder"),
        ({"image": '"a\\0b"'}, "leads out of the folder"),
        ({"image": "absent.png"}, "no such file"),
        ({"image": "."}, "this is a folder"),
        ({"image": "site.yaml"}, "neither a PGM"),
        ({"occupied_thresh": 1, "free_thresh": 0}, "no cell of the map is known"),
    ],
)
def test_bad_map_files_are_refused(site, changes, message):
    path = site(**changes)
    with pytest.raises(InputError, match=message) as caught:
        import_layout(path)
    assert str(path.parent) in caught.value.where


def test_absolute_paths_and_links_out_are_refused(site, tmp_path):
    with pytest.raises(InputError, match="leads out"):
        import_layout(site(image=str(tmp_path / "site.png")))
    os.symlink(FILE.with_name("room.pgm"), tmp_path / "link.pgm")
    with pytest.raises(InputError, match="leads out"):
        import_layout(site(image="link.pgm"))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"P5\n40000 40000\n255\n\0", "a map of 40000 x 40000 cells is not read"),
        (b"P5\n0 4\n255\n", "is not read"),
        (b"P5\n4 4\n0\n" + bytes(16), "greatest value of the PGM is 0"),
        (b"P5\n4 4\n70000\n" + bytes(16), "greatest value of the PGM is 70000"),
        (b"P5\n4 4\n255\n" + bytes(15), "take 16 bytes, and 15 follow"),
        (b"P5\n4 4\n255\n" + b"x" * 17, "take 16 bytes, and 17 follow"),
        (b"P5\n4 4\n100\n" + b"\xff" * 16, "a pixel is 255, above the greatest value 100"),
        (b"P5\n4 -4\n255\n" + bytes(16), "no height"),
        (b"P5\n4 " + b"9" * 50 + b"\n255\n", "no height"),
        (b"P5" + b"\n#" * 100_000, "no width"),
        (b"P5\n4", "no width"),
        (b"P2\n2 2\n255\n200 200 0 ", "says 4 pixels and 3 follow"),
        (b"P2\n9000 9000\n255\n0 0 0", "hold fewer"),
        (b"P2\n2 2\n255\n0 0 0 0 0", "more than the 4 pixels"),
        (b"P2\n2 2\n255\n0 -1 0 0", "no number from 0"),
        (b"P2\n2 2\n255\n0 1_0 0 0", "no number from 0"),
        (b"P2\n2 2\n255\n0 999999 0 0", "no number from 0"),
        (b"P2\n2 2\n255\n0 256 0 0", "above the greatest value"),
        (b"P2\n2 2\n65535\n0 65536 0 0", "above 65535"),
        (b"P6\n2 2\n255\n" + bytes(12), "neither a PGM"),
        (b"", "neither a PGM"),
    ],
)
def test_bad_pgms_are_refused(tmp_path, data, message):
    (tmp_path / "map.pgm").write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_picture(tmp_path / "map.pgm")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (png(60_000, 60_000, b""), "a map of 60000 x 60000 cells is not read"),
        (png(10_000, 10_000, b"", depth=16, colour=6), "save it in grey"),
        (png(3, 3, bytes(12))[:-20], "the PNG ends"),
        (png(3, 3, bytes(12))[:46], "the PNG ends within a chunk"),
        (png(3, 3, bytes(11)), "take 12 bytes, and the PNG holds 11"),
        (png(3, 3, bytes(50_000_000)), "take 12 bytes, and the PNG holds more"),
        (png(3, 3, bytes(12)).replace(b"IDAT", b"IDAX"), "check sum"),
        (png(3, 3, bytes(12), depth=3), "does not exist"),
        (pictures.SIGNATURE + chunk(b"IEND", b""), "does not begin with its header"),
        (pictures.SIGNATURE, "the PNG ends before"),
        (
            png(3, 3, b"")[:33] + chunk(b"IDAT", b"no zlib stream") + chunk(b"IEND", b""),
            "cannot be unpacked",
        ),
    ],
)
def test_bad_pngs_are_refused(tmp_path, data, message):
    (tmp_path / "map.png").write_bytes(data)
    with pytest.raises(InputError, match=message):
        read_picture(tmp_path / "map.png")


def test_pngs_of_several_kinds_are_whole(tmp_path):
    bits = bytes([0, 0b10100000, 0, 0b01000000])
    (tmp_path / "map.png").write_bytes(png(2, 3, bits, depth=1))
    np.testing.assert_array_equal(read_picture(tmp_path / "map.png").values, [[255, 0, 255], [0, 255, 0]])
    # Interlaced: of 3 x 3 pixels, five of the seven passes hold any.
    passes = [[9], [], [], [7], [8, 1], [2, 3], [4, 5, 6]]
    shapes = [(1, 1), (0, 0), (0, 0), (1, 1), (1, 2), (2, 1), (1, 3)]
    rows = [
        row for values, (high, _) in zip(passes, shapes, strict=True) if high for row in np.reshape(values, (high, -1))
    ]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 3, 8, 0, 0, 0, 1))
    data = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + bytes(row.tolist()) for row in rows)))
    (tmp_path / "map.png").write_bytes(pictures.SIGNATURE + header + data + chunk(b"IEND", b""))
    np.testing.assert_array_equal(read_picture(tmp_path / "map.png").values, [[9, 2, 7], [4, 5, 6], [8, 3, 1]])


def test_unknown_keys_are_counted_and_a_huge_hall_refused(site):
    assert import_layout(site(cost="high")).leftovers.counts["key of the map's file"] == 1
    wide = np.full((1, 200), 254, dtype=np.uint8)
    with pytest.raises(InputError, match="a hall has 10000 m"):
        import_layout(site(wide, resolution=60.0))
