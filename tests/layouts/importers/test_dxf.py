"""DXF drawings, made here with ezdxf: what is on the wall layers comes out in metres where it was drawn."""

from __future__ import annotations

import math

import ezdxf
import pytest
from ezdxf import units

from floorcast.common.errors import InputError
from floorcast.layouts.importers import dxf
from floorcast.layouts.importers.detect import import_layout
from floorcast.layouts.model import Layout


@pytest.fixture
def drawing():
    document = ezdxf.new("R2010")
    document.units = units.MM
    for name in ("A-WALL", "Möbel"):
        document.layers.add(name)
    return document


def saved(document, tmp_path, name="hall.dxf"):
    path = tmp_path / name
    document.saveas(path)
    return path


def room(space, layer="A-WALL"):
    space.add_lwpolyline(
        [(1000, 2000), (9000, 2000), (9000, 7000), (1000, 7000)], close=True, dxfattribs={"layer": layer}
    )


def test_walls_come_out_in_metres_where_they_were_drawn(drawing, tmp_path):
    space = drawing.modelspace()
    room(space)
    space.add_line((4000, 2000), (4000, 5000), dxfattribs={"layer": "A-WALL"})
    space.add_line((0, 0), (100_000, 0), dxfattribs={"layer": "Möbel"})
    space.add_text("office", dxfattribs={"layer": "A-WALL"})
    found = import_layout(saved(drawing, tmp_path))
    layout = found.layout
    assert (layout.length, layout.width) == pytest.approx((9.0, 6.0))
    ends = {tuple(round(v, 6) for v in (*wall.start, *wall.end)) for wall in layout.walls}
    assert ends == {
        (0.5, 0.5, 8.5, 0.5), (8.5, 0.5, 8.5, 5.5), (8.5, 5.5, 0.5, 5.5), (0.5, 5.5, 0.5, 0.5), (3.5, 0.5, 3.5, 3.5),
    }  # fmt: skip
    assert found.read == {"entities": 3, "layers": 2, "lines": 5}
    assert found.leftovers.counts == {"line on a layer that is not of walls": 1, "TEXT has no place in a layout": 1}
    # The source's frame leads back to the drawing.
    x, y, scale = layout.source.x, layout.source.y, layout.source.scale
    assert (scale * 4000 + x, scale * 2000 + y) == pytest.approx((3.5, 0.5))
    layout.save(tmp_path / "hall.yaml")
    assert Layout.load(tmp_path / "hall.yaml") == layout


def test_curves_become_chords_near_them(drawing, tmp_path):
    drawing.modelspace().add_circle((5000, 5000), 3000, dxfattribs={"layer": "A-WALL"})
    walls = import_layout(saved(drawing, tmp_path)).layout.walls
    middles = [((w.start[0] + w.end[0]) / 2 - 3.5, (w.start[1] + w.end[1]) / 2 - 3.5) for w in walls]
    assert all(3.0 - dxf.SAGITTA - 1e-6 <= math.hypot(*middle) <= 3.0 for middle in middles)
    assert sum(math.dist(w.start, w.end) for w in walls) == pytest.approx(6 * math.pi, rel=0.01)


def test_blocks_are_taken_apart_and_layer_0_is_the_insertions(drawing, tmp_path):
    block = drawing.blocks.new("cell")
    block.add_line((0, 0), (2000, 0))
    drawing.modelspace().add_blockref("cell", (1000, 1000), dxfattribs={"layer": "A-WALL", "rotation": 90})
    drawing.modelspace().add_blockref("cell", (1000, 1000), dxfattribs={"layer": "Möbel"})
    (wall,) = import_layout(saved(drawing, tmp_path)).layout.walls
    assert math.dist(wall.start, wall.end) == pytest.approx(2.0)
    assert wall.start[0] == pytest.approx(wall.end[0])


@pytest.mark.parametrize(("factor", "unit", "said"), [(1, "millimetres", 8.0), (0.001, "metres", 8.0)])
def test_a_drawing_without_a_unit_is_guessed_and_said(drawing, tmp_path, factor, unit, said):
    drawing.units = 0
    drawing.modelspace().add_line((0, 0), (8000 * factor, 0), dxfattribs={"layer": "A-WALL"})
    found = import_layout(saved(drawing, tmp_path))
    assert math.dist(found.layout.walls[0].start, found.layout.walls[0].end) == pytest.approx(said)
    assert any(unit in line for line in found.leftovers.lines())


def test_a_layer_may_be_asked_for(drawing, tmp_path):
    room(drawing.modelspace(), "Möbel")
    path = saved(drawing, tmp_path)
    with pytest.raises(InputError, match=r"no layer is named after walls[\s\S]*Möbel \(1\)"):
        import_layout(path)
    assert len(import_layout(path, level="möbel").layout.walls) == 4
    with pytest.raises(InputError, match="nothing is drawn on layer 'roof'"):
        import_layout(path, level="roof")


def test_bad_drawings_are_refused(drawing, tmp_path, monkeypatch):
    junk = tmp_path / "junk.dxf"
    for content in (b"", b"no drawing at all", b"\x00" * 100, b"  0\nSECTION\n  2\nENTITIES\n  0\nLINE\n"):
        junk.write_bytes(content)
        with pytest.raises(InputError):
            import_layout(junk)
    drawing.units = units.KM
    drawing.modelspace().add_line((0, 0), (8000, 0), dxfattribs={"layer": "A-WALL"})
    with pytest.raises(InputError, match=r"set the drawing's unit"):
        import_layout(saved(drawing, tmp_path))
    monkeypatch.setattr(dxf, "MOST_LINES", 0)
    with pytest.raises(InputError, match="more than 0 things"):
        import_layout(saved(drawing, tmp_path))


def test_blocks_within_blocks_and_arrays_do_not_blow_up(drawing, tmp_path, monkeypatch):
    monkeypatch.setattr(dxf, "MOST_LINES", 1000)
    room(drawing.modelspace())
    for k in range(12):
        block = drawing.blocks.new(f"b{k}")
        if k == 0:
            block.add_line((0, 0), (10, 0), dxfattribs={"layer": "A-WALL"})
        else:
            block.add_blockref(f"b{k - 1}", (0, 0))
    drawing.modelspace().add_blockref("b11", (0, 0))
    array = {"row_count": 30_000, "column_count": 30_000, "row_spacing": 1, "column_spacing": 1}
    drawing.modelspace().add_blockref("b0", (0, 0), dxfattribs=array)
    found = import_layout(saved(drawing, tmp_path))
    assert len(found.layout.walls) == 4
    assert found.leftovers.counts["block inserted as an array"] == 1
    assert found.leftovers.counts["block inserted more than 8 deep"] == 1
    bomb = drawing.blocks.new("bomb0")
    for k in range(1, 8):
        within, bomb = bomb, drawing.blocks.new(f"bomb{k}")
        for _ in range(20):
            bomb.add_blockref(within.name, (0, 0))
    drawing.modelspace().add_blockref("bomb7", (0, 0))
    with pytest.raises(InputError, match="more than 1,000 things"):
        import_layout(saved(drawing, tmp_path))
