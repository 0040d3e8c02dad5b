"""Meshes as boxes: they cover the mesh, and are not much more than it."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from floorcast.common.mesh import clean_mesh
from floorcast.layouts.importers.boxes import MAX_BOXES, SHEET, mesh_boxes

FACES = np.array([(0, 2, 1), (1, 2, 3), (4, 5, 6), (5, 7, 6), (0, 1, 4), (1, 5, 4),
                  (2, 6, 3), (3, 6, 7), (0, 4, 2), (2, 4, 6), (1, 3, 5), (3, 7, 5)])  # fmt: skip


def block(low, high):
    """Vertices and faces of a closed box."""
    corners = np.array([[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)], dtype=float)
    return np.array(low) + corners * (np.array(high) - low), FACES


def joined(*parts):
    first = np.cumsum([0, *(len(vertices) for vertices, _ in parts)])
    return clean_mesh(
        np.concatenate([vertices for vertices, _ in parts]),
        np.concatenate([faces + n for (_, faces), n in zip(parts, first, strict=False)]),
    )


def prism(outline, height):
    """A closed mesh that stands on a star-shaped outline (N, 2) about its first corner."""
    n = len(outline)
    ring = np.asarray(outline, dtype=float)
    vertices = np.concatenate([np.column_stack([ring, np.full(n, z)]) for z in (0.0, height)])
    faces = [(0, k + 1, k) for k in range(1, n - 1)] + [(n, n + k, n + k + 1) for k in range(1, n - 1)]
    for k in range(n):
        a, b = k, (k + 1) % n
        faces += [(a, b, n + b), (a, n + b, n + a)]
    return vertices, np.array(faces)


def on_surface(mesh, count=6000):
    corners = mesh.vertices[mesh.faces]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    rng = np.random.default_rng(3)
    triangle = corners[rng.choice(len(corners), count, p=area / area.sum())]
    u, v = rng.random((2, count, 1))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    return triangle[:, 0] + u * (triangle[:, 1] - triangle[:, 0]) + v * (triangle[:, 2] - triangle[:, 0])


def held(boxes, points, slack=0.0025):
    inside = [(np.abs((points - box.centre) @ box.rotation) <= 0.5 * box.size + slack).all(axis=1) for box in boxes]
    return np.any(inside, axis=0)


def volume(boxes):
    return sum(float(np.prod(box.size)) for box in boxes)


def test_a_leaning_box_is_one_box_of_its_size():
    vertices, faces = block((0, 0, 0), (0.3, 1.0, 2.5))
    mesh = clean_mesh(vertices @ Rotation.from_euler("xyz", [0.2, 0.5, 0.9]).as_matrix().T + 3.0, faces)
    (box,) = mesh_boxes(mesh)
    assert box.whole
    assert sorted(box.size.tolist()) == pytest.approx([0.3, 1.0, 2.5], abs=1e-6)
    assert held([box], mesh.vertices, 1e-6).all()
    assert np.linalg.det(box.rotation) == pytest.approx(1.0)


def test_a_shelf_in_one_piece_is_legs_and_decks():
    # One closed prism: a comb lying on its back, stood up, is a deck on three legs.
    comb = [(2, 0.9), (2, 1), (0, 1), (0, 0), (0.1, 0), (0.1, 0.9), (0.9, 0.9), (0.9, 0),
            (1.0, 0), (1.0, 0.9), (1.9, 0.9), (1.9, 0), (2, 0)]  # fmt: skip
    vertices, faces = prism(comb, 0.8)
    ring = [(2, 0), (2, 1), (0, 1), (0, 0), (0.1, 0), (0.1, 0.9), (0.9, 0.9), (0.9, 0), (1.0, 0), (1.0, 0.9),
            (1.9, 0.9), (1.9, 0)]  # fmt: skip
    from matplotlib.path import Path as Outline

    boxes = mesh_boxes(clean_mesh(vertices[:, [0, 2, 1]], faces))
    points = np.random.default_rng(0).uniform((-0.1, 0, -0.1), (2.1, 0.8, 1.1), (4000, 3))
    inside = Outline(ring).contains_points(points[:, [0, 2]])
    agree = held(boxes, points, 0.0) == inside
    assert agree.mean() > 0.995
    assert len(boxes) == 4
    assert volume(boxes) == pytest.approx(0.8 * (2 * 0.1 + 3 * 0.1 * 0.9), rel=0.01)


def test_round_and_slanted_parts_are_covered_with_little_more():
    angle = np.arange(32) * 2 * np.pi / 32
    drum = prism(np.stack([np.cos(angle), np.sin(angle)], axis=-1), 1.0)
    mesh = clean_mesh(*drum)
    boxes = mesh_boxes(mesh)
    assert held(boxes, on_surface(mesh)).all()
    assert volume(boxes) <= 4.0 * 1.001  # never more than the box around it
    wedge = clean_mesh(*prism([(0, 0), (4, 0), (0, 3)], 1.0))
    boxes = mesh_boxes(wedge)
    assert held(boxes, on_surface(wedge)).all()
    assert 6.0 < volume(boxes) < 9.0
    assert 1 < len(boxes) <= MAX_BOXES


def test_a_tube_without_lids_is_hollow_and_so_is_a_closed_shell():
    vertices, faces = block((0, 0, 0), (10, 6, 4))
    tube = clean_mesh(vertices, faces[4:])
    middle = np.array([[5.0, 3.0, 2.0]])
    for boxes, surface in ((mesh_boxes(tube), tube), (mesh_boxes(clean_mesh(vertices, faces), shell=True), tube)):
        assert held(boxes, on_surface(surface)).all()
        assert not held(boxes, middle).any()
        assert volume(boxes) < 2.0 * SHEET * (2 * 10 * 4 + 2 * 6 * 4 + 2 * 10 * 6)


def test_walls_with_thickness_leave_the_hall_free():
    outer, inner = block((0, 0, 0), (10, 6, 4)), block((0.2, 0.2, 0), (9.8, 5.8, 4))
    rims = []
    for level in (0, 4):
        o, i = outer[0][level : level + 4][[0, 1, 3, 2]], inner[0][level : level + 4][[0, 1, 3, 2]]
        for k in range(4):
            quad = np.array([o[k], o[(k + 1) % 4], i[(k + 1) % 4], i[k]])
            rims.append((quad, np.array([(0, 1, 2), (0, 2, 3)]) if level else np.array([(0, 2, 1), (0, 3, 2)])))
    mesh = joined((outer[0], FACES[4:]), (inner[0], FACES[4:, ::-1]), *rims)
    boxes = mesh_boxes(mesh)
    assert len(boxes) == 4
    assert volume(boxes) == pytest.approx(4 * (10 * 6 - 9.6 * 5.6), rel=0.01)


@pytest.mark.parametrize("scale", [1e-4, 1e-3, 1.0, 1e3])
@pytest.mark.parametrize(
    "corners",
    [
        [(0, 0, 0), (1, 0, 0), (0, 1, 0)],
        [(0, 0, 0), (1, 1, 1), (2, 2, 2.01)],
        [(0, 0, 0), (3, 0, 0), (3, 0, 1e-3), (0, 0, 1e-3)],
        [(0, 0, 5), (1, 2, 5), (-2, 1, 5), (4, 4, 9)],
    ],
)
def test_flat_thin_and_tiny_meshes_are_covered(corners, scale):
    faces = [(0, 1, 2)] if len(corners) == 3 else [(0, 1, 2), (0, 2, 3)]
    mesh = clean_mesh(np.array(corners) * scale, faces)
    boxes = mesh_boxes(mesh)
    assert all(np.isfinite(box.rotation).all() and (box.size >= SHEET - 1e-9).all() for box in boxes)
    assert held(boxes, on_surface(mesh, 500)).all()


def test_hundreds_of_parts_become_a_bounded_number_of_boxes():
    rng = np.random.default_rng(5)
    middle = rng.uniform(0, 3, (300, 3))
    mesh = joined(*(block(m - 0.05, m + 0.05) for m in middle))
    boxes = mesh_boxes(mesh)
    assert len(boxes) <= MAX_BOXES
    assert held(boxes, on_surface(mesh)).all()
    assert volume(boxes) < 3.2**3
