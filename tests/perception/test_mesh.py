"""Meshes: read from files, cleaned, and seen by rays as an independent implementation says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from floorcast.common.errors import InputError
from floorcast.common.geometry import rotation_matrix
from floorcast.common.primitives import TRIANGLE, Primitives
from floorcast.perception.mesh import clean_mesh, load_mesh, mesh_primitives
from floorcast.perception.scene import Scene, empty_primitives

from .exact import exact_ranges

CUBE = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], dtype=float)
CUBE_FACES = np.array(
    [
        [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
        [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3],
    ]
)  # fmt: skip


def write_obj(path, vertices, faces):
    lines = [f"v {x} {y} {z}" for x, y, z in vertices] + ["f " + " ".join(str(i + 1) for i in f) for f in faces]
    path.write_text("\n".join(lines) + "\n")
    return path


def corners_of(solids):
    """The three corners (N, 3, 3) of each triangle, from its definition."""
    a, b, h = solids.size.T
    local = np.zeros((len(solids), 3, 3))
    local[:, 0, :2], local[:, 1, :2], local[:, 2, :2] = np.c_[-a, -h], np.c_[a, -h], np.c_[b, h]
    return solids.position[:, None] + np.einsum("nij,nkj->nki", rotation_matrix(solids.quaternion), local)


def moller_trumbore(corners, origin, direction):
    """Range (N,) of the nearest of T triangles (T, 3, 3) on each ray, two-sided; inf for none."""
    e1, e2 = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    p = np.cross(direction[:, None], e2)
    det = (e1 * p).sum(-1)
    s = origin - corners[:, 0]
    u = (s * p).sum(-1) / det
    q = np.cross(s, e1)
    v = (direction[:, None] * q).sum(-1) / det
    t = (e2 * q).sum(-1) / det
    return np.where((u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0), t, np.inf).min(axis=1)


def random_mesh(rng, count=40):
    base = rng.uniform(-3, 3, (count, 1, 3))
    vertices = (base + rng.normal(0, 0.6, (count, 3, 3))).reshape(-1, 3)
    return clean_mesh(vertices, np.arange(3 * count).reshape(-1, 3))


def test_triangles_keep_their_corners_through_any_pose():
    rng = np.random.default_rng(3)
    mesh = random_mesh(rng)
    turn = Rotation.random(random_state=5)
    solids = mesh_primitives(mesh, class_name="box", position=(1.0, 2.0, 3.0), quaternion=turn.as_quat())
    expected = turn.apply(mesh.vertices[mesh.faces].reshape(-1, 3)).reshape(-1, 3, 3) + np.array([1.0, 2.0, 3.0])
    found = corners_of(solids)
    # The same corners in the same cyclic order, from whichever one the base begins at.
    turns = np.stack([np.abs(np.roll(expected, -k, axis=1) - found).max(axis=(1, 2)) for k in range(3)])
    assert turns.min(axis=0).max() < 1e-9
    assert (np.abs(solids.size[:, 1]) <= solids.size[:, 0]).all()


@pytest.mark.parametrize("seed", range(6))
def test_rays_meet_triangles_where_two_other_methods_say(seed):
    rng = np.random.default_rng(seed)
    solids = mesh_primitives(random_mesh(rng), class_name="box", instance_id=4, position=(5.0, 5.0, 1.0))
    scene = Scene(solids, empty_primitives(), 0)
    direction = rng.normal(size=(2000, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    origin = np.array([5.0, 5.0, 1.0]) + rng.uniform(-2, 2, 3)
    hits = scene.cast(origin, direction)
    expected = moller_trumbore(corners_of(solids), origin, direction)
    agree = np.isclose(hits.range, expected, rtol=1e-6) | (np.isinf(hits.range) & np.isinf(expected))
    assert agree.mean() > 0.999  # a ray within 1 nm of an edge may differ
    ranges, _ = exact_ranges(scene.world_primitives(), origin, direction)
    assert (np.isclose(hits.range, ranges, rtol=1e-6) | (np.isinf(hits.range) & np.isinf(ranges))).mean() > 0.999
    seen = np.isfinite(hits.range)
    assert seen.sum() > 50
    assert ((hits.normal * direction).sum(axis=1)[seen] < 0).all()  # whichever side is seen, its normal looks back


def test_a_closed_mesh_has_no_cracks_from_inside_or_outside():
    mesh = clean_mesh(CUBE, CUBE_FACES)
    assert mesh.open_edges == 0
    solids = mesh_primitives(mesh, class_name="box", quaternion=Rotation.random(random_state=2).as_quat())
    scene = Scene(solids, empty_primitives(), 0)
    rng = np.random.default_rng(0)
    direction = rng.normal(size=(200_000, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    assert np.isfinite(scene.cast((0.1, 0.05, -0.02), direction).range).all()
    # Straight at edges and corners, where cracks would be.
    target = corners_of(solids)
    edge = 0.5 * (target + np.roll(target, 1, axis=1)).reshape(-1, 3)
    aim = np.concatenate([target.reshape(-1, 3), edge]) - np.array([0.1, 0.05, -0.02])
    aim /= np.linalg.norm(aim, axis=1, keepdims=True)
    assert np.isfinite(scene.cast((0.1, 0.05, -0.02), aim).range).all()


def test_a_moving_mesh_moves():
    solids = mesh_primitives(clean_mesh(CUBE, CUBE_FACES), class_name="amr", instance_id=1, body=0)
    scene = Scene(empty_primitives(), solids, 1)
    scene.update([[4.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]])
    assert scene.cast((0.0, 0.0, 0.2), [[1.0, 0.0, 0.0]]).range[0] == pytest.approx(3.0)
    scene.update([[9.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]])
    assert scene.cast((0.0, 0.0, 0.2), [[1.0, 0.0, 0.0]]).range[0] == pytest.approx(8.0)


def test_holes_and_degenerate_triangles_are_counted_and_survive(tmp_path):
    faces = np.concatenate([CUBE_FACES[:-2], [[0, 0, 1], [3, 3, 3]]])
    mesh = load_mesh(write_obj(tmp_path / "holed.obj", CUBE, faces))
    assert (len(mesh), mesh.degenerate, mesh.open_edges) == (10, 2, 4)
    scene = Scene(mesh_primitives(mesh, class_name="box"), empty_primitives(), 0)
    up_and_down = scene.cast((0.0, 0.2, 0.0), [[0.0, 0.0, 1.0], [0.0, 0.0, -1.0]])
    assert np.isinf(up_and_down.range[0])
    assert up_and_down.range[1] == pytest.approx(1.0)


@pytest.mark.parametrize("suffix", ["stl", "ply", "off", "obj", "glb", "dae"])
def test_formats_that_another_library_wrote(tmp_path, suffix):
    import trimesh

    path = tmp_path / f"cube.{suffix}"
    written = trimesh.Trimesh(CUBE * 0.5, CUBE_FACES, process=False)
    path.write_bytes(data if isinstance(data := written.export(file_type=suffix), bytes) else data.encode())
    mesh = load_mesh(path, scale=2.0)
    assert len(mesh) == 12
    extent = np.ptp(mesh.vertices[mesh.faces].reshape(-1, 3), axis=0)
    assert np.allclose(extent, 2.0, atol=1e-5)


def test_a_collada_file_says_its_unit_and_its_up_axis(tmp_path):
    import trimesh

    tall = trimesh.creation.box(extents=(1.0, 2.0, 3.0))
    text = tall.export(file_type="dae").decode()
    extents = {}
    for axis in ("X_UP", "Y_UP", "Z_UP"):
        head = f'<asset><unit name="centimeter" meter="0.01"/><up_axis>{axis}</up_axis></asset>'
        start, stop = text.index("<asset>"), text.index("</asset>") + len("</asset>")
        path = tmp_path / f"{axis}.dae"
        path.write_text(text[:start] + head + text[stop:])
        mesh = load_mesh(path)
        extents[axis] = np.ptp(mesh.vertices[mesh.faces].reshape(-1, 3), axis=0).round(6).tolist()
    assert extents == {"X_UP": [0.02, 0.03, 0.01], "Y_UP": [0.01, 0.03, 0.02], "Z_UP": [0.01, 0.02, 0.03]}


def bad_files(folder):
    nan = write_obj(folder / "nan.obj", np.where(CUBE == 1, np.nan, CUBE), CUBE_FACES)
    empty, cut, points = folder / "empty.stl", folder / "cut.stl", folder / "points.obj"
    empty.write_bytes(b"")
    cut.write_bytes(b"\x00" * 80 + np.uint32(1000).tobytes() + b"\x01" * 120)
    points.write_text("v 0 0 0\nv 1 0 0\n")
    flat = write_obj(folder / "flat.obj", CUBE * [1, 1, 0] * 0, CUBE_FACES)
    entities = folder / "entities.dae"
    entities.write_text('<!DOCTYPE x [<!ENTITY a "aaaa">]><COLLADA>&a;</COLLADA>')
    text = folder / "mesh.txt"
    text.write_text("hello")
    return [nan, empty, cut, points, flat, entities, text, folder / "missing.stl", folder]


@pytest.mark.parametrize("number", range(9))
def test_bad_files_are_refused_by_name(tmp_path, number):
    path = bad_files(tmp_path)[number]
    with pytest.raises(InputError) as error:
        load_mesh(path)
    assert path.name in str(error.value)


def test_other_files_are_not_read(tmp_path):
    secret = tmp_path / "secret.mtl"
    secret.write_text("newmtl m\nKd 1 0 0\n")
    folder = tmp_path / "meshes"
    folder.mkdir()
    path = write_obj(folder / "a.obj", CUBE, CUBE_FACES)
    path.write_text("mtllib ../secret.mtl\nusemtl m\n" + path.read_text())
    color = load_mesh(path).color
    assert color is None or (color[:, 0] < 250).any() or (color == color[0, 0]).all()


@pytest.mark.parametrize(
    ("size", "what"), [((1.0, 2.0, 1.0), "beyond the base"), ((1.0, 0.0, 0.0), "size"), ((-1.0, 0.0, 1.0), "size")]
)
def test_scenes_refuse_bad_triangles(size, what):
    good = mesh_primitives(clean_mesh(CUBE, CUBE_FACES), class_name="box")
    assert (good.kind == TRIANGLE).all()
    bad = Primitives(**{**vars(good), "size": np.tile(size, (len(good), 1))})
    with pytest.raises(InputError, match=what):
        Scene(bad, empty_primitives(), 0)
