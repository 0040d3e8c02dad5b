import numpy as np
import pytest

from floorcast.common.primitives import BOX, CAPSULE, CYLINDER, PLANE, SPHERE, TRIANGLE, PrimitiveBuilder
from floorcast.perception.config import Lighting
from floorcast.perception.shadows import MAX_TEXELS, shadow_map

from .shading_views import DOWN, builder_with_floor, picture, places, scene_of

HARD = Lighting(direction=(0.6, 0.3, -1), key=1.0, ambient=0.0)
TOWARDS = np.array([-0.6, -0.3, 1.0]) / np.linalg.norm([0.6, 0.3, 1.0])


def dark_floor(scene, lighting=HARD, place=(0.5, 0.2, 4.0)):
    light, inverse, face = picture(scene, place, lighting=lighting)
    seen = face == 5
    return light[..., 1][seen] < 1e-6, places(inverse, place, DOWN)[seen]


def test_a_boxs_shadow_ends_where_geometry_says():
    builder = builder_with_floor()
    builder.box((0.25, 0.3, 0.5), (0, 0, 0.5), class_name="sign", instance_id=2)
    dark, point = dark_floor(scene_of(builder))

    # The shadow is the hull of the foot and the top moved by (0.6, 0.3) m.
    def inside(x, y, grow):
        low, high = np.full(len(x), 0.0), np.full(len(x), 1.0)
        for value, half, shift in ((x, 0.25 + grow, 0.6), (y, 0.3 + grow, 0.3)):
            low, high = np.maximum(low, (value - half) / shift), np.minimum(high, (value + half) / shift)
        return low <= high

    sure, never = inside(point[:, 0], point[:, 1], -0.03), ~inside(point[:, 0], point[:, 1], 0.03)
    assert sure.sum() > 50
    assert dark[sure].all()
    assert not dark[never].any()


SOLIDS = [
    (BOX, (0.3, 0.2, 0.1)), (SPHERE, (0.3, 0, 0)), (CYLINDER, (0.2, 0.4, 0)), (CAPSULE, (0.15, 0.3, 0)),
    (TRIANGLE, (0.5, 0.1, 0.4)),
]  # fmt: skip


@pytest.mark.parametrize("moves", [False, True])
@pytest.mark.parametrize(("kind", "size"), SOLIDS)
def test_shadows_agree_with_rays(kind, size, moves):
    turn = np.array([0.2, 0.3, 0.1, 0.9])
    builder, mover = builder_with_floor(), PrimitiveBuilder()
    builder.box((0.05, 0.05, 0.3), (1.0, 0.0, 0.3), class_name="sign", instance_id=3)
    turned = {"class_name": "sign", "instance_id": 2, "quaternion": turn / np.linalg.norm(turn)}
    if moves:
        mover.add(kind, size, (0, 0, 0), body=0, **turned)
    else:
        builder.add(kind, size, (0, 0, 0.7), **turned)
    scene = scene_of(builder, mover, int(moves))
    if moves:
        scene.update([[0, 0, 0.7, 0, 0, 0, 1]])
    dark, point = dark_floor(scene)
    hits = scene.cast(point + np.array([0, 0, 1e-4]), np.tile(TOWARDS, (len(point), 1)))
    wrong = dark != (hits.index >= 0)
    assert dark.sum() > 50
    assert wrong.mean() < 0.012
    # Those that differ are near an edge: rays moved by 3 cm do not all agree.
    around = [
        scene.cast(point[wrong] + np.array([dx, dy, 1e-4]), np.tile(TOWARDS, (wrong.sum(), 1))).index >= 0
        for dx, dy in ((0.03, 0), (-0.03, 0), (0, 0.03), (0, -0.03))
    ]
    assert np.ptp(np.array(around).astype(int), axis=0).all()


def test_a_mover_takes_its_shadow_along():
    mover = PrimitiveBuilder()
    mover.box((0.2, 0.2, 0.1), (0, 0, 0), class_name="amr", instance_id=9, body=0)
    builder = builder_with_floor()
    builder.box((0.1, 0.1, 0.1), (-3, 0, 0.1), class_name="sign", instance_id=3)
    scene = scene_of(builder, mover, 1)
    straight = Lighting(direction=(0.3, 0, -1), key=1.0, ambient=0.0)
    for x in (0.0, 0.4):
        scene.update([[x, 0, 1.0, 0, 0, 0, 1]])
        dark, point = dark_floor(scene, straight)
        # From underside (0.9 m) and top (1.1 m): x + 0.3 z -/+ 0.2.
        assert abs(point[dark, 0].max() - (x + 0.33 + 0.2)) < 0.06


def test_a_plane_overhead_keeps_all_light_out():
    builder = builder_with_floor()
    builder.add(PLANE, (0, 0, 0), (0, 0, 6), class_name="sign", instance_id=4, quaternion=(1, 0, 0, 0))
    dark, _ = dark_floor(scene_of(builder))
    assert dark.all()


def test_maps_of_large_halls_are_bounded():
    builder = builder_with_floor()
    for x, y in ((0, 0), (400, 250)):
        builder.box((1, 1, 5), (x, y, 5), class_name="sign", instance_id=3)
    scene = scene_of(builder)
    made = shadow_map(scene.tables, scene._bounds, scene.static_count, TOWARDS)
    assert len(made.texels) < 1.1 * MAX_TEXELS
