"""What the reader of mesh files refuses; what sensors see of meshes is tested with the sensors."""

import numpy as np
import pytest

from floorcast.common.errors import InputError
from floorcast.common.mesh import load_mesh

COLLADA = """<?xml version="1.0" encoding="utf-8"?>{head}
<COLLADA xmlns="http://www.collada.org/2005/11/COLLADASchema" version="1.4.1">
<asset><unit meter="0.01"/><up_axis>Z_UP</up_axis></asset>
<library_geometries>{geometries}</library_geometries>
<library_visual_scenes><visual_scene id="s">{nodes}</visual_scene></library_visual_scenes>
<scene><instance_visual_scene url="#s"/></scene></COLLADA>"""
GEOMETRY = """<geometry id="{name}" name="{name}"><mesh>
<source id="{name}-p"><float_array id="{name}-a" count="9">0 0 0 {edge} 0 0 0 {edge} 0</float_array><technique_common>
<accessor source="#{name}-a" count="3" stride="3"><param name="X" type="float"/><param name="Y" type="float"/>
<param name="Z" type="float"/></accessor></technique_common></source>
<vertices id="{name}-v"><input semantic="POSITION" source="#{name}-p"/></vertices>
<triangles count="1"><input semantic="VERTEX" source="#{name}-v" offset="0"/><p>0 1 2</p></triangles>
</mesh></geometry>"""
NODE = '<node id="n{number}"><instance_geometry url="#{name}"/></node>'


def collada(path, names=("a", "b"), head="", repeats=1, filler="", encoding="utf-8"):
    text = COLLADA.format(
        head=head,
        geometries="".join(GEOMETRY.format(name=name, edge=100 * (k + 1)) for k, name in enumerate(names)) + filler,
        nodes="".join(NODE.format(number=f"{name}{k}", name=name) for name in names for k in range(repeats)),
    )
    path.write_bytes(text.encode(encoding))
    return path


def test_a_part_is_taken_by_its_name(tmp_path):
    path = collada(tmp_path / "two.dae")
    assert len(load_mesh(path)) == 2
    part = load_mesh(path, part="b")
    assert np.ptp(part.vertices[part.faces.ravel()], axis=0) == pytest.approx([2, 2, 0])
    with pytest.raises(InputError, match="has no part 'c'"):
        load_mesh(path, part="c")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"head": '<!DOCTYPE a [<!ENTITY b "c">]>'}, "XML entities"),
        ({"head": '<!DOCTYPE a [<!ENTITY b "c">]>', "encoding": "utf-16"}, "not XML in UTF-8"),
        ({"repeats": 1000, "filler": f"<!--{' ' * 1_000_000}-->"}, "repeats its parts too often"),
    ],
)
def test_collada_with_entities_or_endless_copies_is_refused(tmp_path, options, words):
    with pytest.raises(InputError, match=words):
        load_mesh(collada(tmp_path / "bad.dae", **options))


def test_too_many_indices_values_and_copies_are_refused_before_they_are_made(tmp_path, monkeypatch):
    import trimesh

    monkeypatch.setattr("floorcast.common.mesh.MAX_NUMBERS", 50)
    path = collada(tmp_path / "many.dae")
    path.write_text(path.read_text().replace("<p>0 1 2</p>", f"<p>{' 0 1 2' * 20}</p>"))
    with pytest.raises(InputError, match=r"\d+ indices, the limit is 50"):
        load_mesh(path)
    box = trimesh.creation.box()
    (tmp_path / "box.glb").write_bytes(box.export(file_type="glb"))
    assert len(load_mesh(tmp_path / "box.glb")) == 12
    monkeypatch.setattr("floorcast.common.mesh.MAX_NUMBERS", 20)
    with pytest.raises(InputError, match="values, the limit is 20"):
        load_mesh(tmp_path / "box.glb")
    monkeypatch.undo()
    (tmp_path / "torn.glb").write_bytes(b"glTF" + bytes(20))
    with pytest.raises(InputError, match="not a GLB file"):
        load_mesh(tmp_path / "torn.glb")
    scene = trimesh.Scene()
    for k in range(5):
        scene.add_geometry(box, geom_name="b", node_name=f"n{k}")
    (tmp_path / "copies.glb").write_bytes(scene.export(file_type="glb"))
    whole = len(load_mesh(tmp_path / "copies.glb"))
    monkeypatch.setattr("floorcast.common.mesh.MAX_TRIANGLES", whole - 1)
    with pytest.raises(InputError, match=f"{whole} triangles"):
        load_mesh(tmp_path / "copies.glb")


def test_nodes_that_hold_each_other_are_refused(tmp_path):
    path = collada(tmp_path / "bad.dae")
    twice = '<node id="d{}"><instance_node url="#d{}"/><instance_node url="#d{}"/></node>'
    nodes = "".join(twice.format(k, k + 1, k + 1) for k in range(40))
    scenes = "<library_visual_scenes>"
    path.write_text(path.read_text().replace(scenes, f"<library_nodes>{nodes}</library_nodes>{scenes}"))
    with pytest.raises(InputError, match="repeats its parts too often"):
        load_mesh(path)


def test_files_over_the_size_given_are_not_read(tmp_path):
    with pytest.raises(InputError, match="the limit is 0"):
        load_mesh(collada(tmp_path / "two.dae"), max_bytes=1000)
