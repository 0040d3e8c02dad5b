import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from floorcast.common.primitives import BOX, CAPSULE, CYLINDER, SPHERE, TRIANGLE
from floorcast.perception.config import Lighting
from floorcast.perception.deferred import shade_tables
from floorcast.perception.noise import as_word, random_bits
from floorcast.perception.shading import light_color, looks, srgb_to_linear

from .shading_views import AHEAD, DOWN, builder_with_floor, picture, places, scene_of

ALBEDO = 0.5028865  # sRGB 188
SKY_TINT = np.array([1.02, 1.06, 1.12])


@pytest.mark.parametrize("direction", [(0, 0, -1), (0.5, 0.2, -1), (-2, 1, -0.5)])
def test_a_floor_reflects_by_lamberts_law(direction):
    lighting = Lighting(direction=direction, key=0.7, ambient=0.2, temperature=3500)
    light, _, _ = picture(scene_of(builder_with_floor()), (0, 0, 3), lighting=lighting)
    cosine = -direction[2] / np.linalg.norm(direction)
    expected = ALBEDO * (0.7 * light_color(3500) * cosine + 0.2 * SKY_TINT)
    assert_allclose(light, np.broadcast_to(expected, light.shape), rtol=2e-4)


def test_a_sphere_is_shaded_by_its_normal():
    builder = builder_with_floor()
    builder.add(SPHERE, (0.5, 0, 0), (0, 0, 1.0), class_name="sign", instance_id=0, color=(188, 188, 188))
    scene = scene_of(builder)
    lighting = Lighting(direction=(0.4, 0.1, -1), key=0.8, ambient=0.0)
    light, inverse, face = picture(scene, (0, 0, 4), lighting=lighting)
    round_ = face == 15
    normal = (places(inverse, (0, 0, 4), DOWN)[round_] - [0, 0, 1.0]) / 0.5
    towards = np.array([-0.4, -0.1, 1.0]) / np.linalg.norm([0.4, 0.1, 1])
    assert round_.sum() > 200
    assert_allclose(light[round_][:, 1], 0.8 * scene.looks[1, 1] * np.maximum(normal @ towards, 0), atol=2e-3)


def test_a_rows_neighbours_do_not_matter():
    """The same pixels come out alike however the row is cut into runs, as a picture of other width cuts it."""
    builder = builder_with_floor()
    for k in range(12):
        builder.box((0.1, 0.12, 0.2), (0.3 * k - 1.6, 0.0, 0.2), class_name="box", instance_id=k + 2)
    scene = scene_of(builder)
    wide, _, _ = picture(scene, (0, 0, 3), size=64)
    again, _, _ = picture(scene, (0, 0, 3), size=64)
    assert_array_equal(wide, again)


KINDS = [(BOX, (0.4, 0.3, 0.2)), (SPHERE, (0.4, 0, 0)), (CYLINDER, (0.3, 0.4, 0)), (CAPSULE, (0.2, 0.4, 0)),
         (TRIANGLE, (0.5, 0.1, 0.4))]  # fmt: skip


@pytest.mark.parametrize(("kind", "size"), KINDS)
def test_every_kind_gives_finite_light_from_everywhere(kind, size):
    builder = builder_with_floor()
    turn = np.array([0.3, -0.2, 0.5, 0.7])
    builder.add(kind, size, (0, 0, 0.8), class_name="box", instance_id=5, quaternion=turn / np.linalg.norm(turn))
    scene = scene_of(builder)
    for place, rotation in (((0, 0, 3), DOWN), ((-2, 0, 0.8), AHEAD), ((0, 0, 0.8), AHEAD), ((-2, 0, 1e-7), AHEAD)):
        light, _, face = picture(scene, place, rotation, lighting=Lighting(key=1.0, direction=(1, 0, -1e-6)))
        assert np.isfinite(light).all()
        assert light.min() >= 0.0
        assert (face >= 0).any()


def test_a_triangle_is_lit_on_the_side_that_is_seen():
    """Light from +x: who looks at the triangle from there sees it lit, from behind it is dark, however it is turned."""
    lighting = Lighting(direction=(-1, 0, -0.2), key=0.8, ambient=0.0, temperature=5000)
    cosine = 1 / np.hypot(1, 0.2)
    half = np.sqrt(0.5)
    for turn in (half, -half):  # Its normal along +x, then along -x.
        builder = builder_with_floor()
        builder.add(TRIANGLE, (2.0, 0.0, 2.0), (0, 0, 2.2), class_name="sign", instance_id=0, color=(188, 188, 188),
                    quaternion=(0, turn, 0, half))  # fmt: skip
        scene = scene_of(builder)
        back = AHEAD * np.array([[-1], [-1], [1]])
        for place, rotation, expected in ((-2, AHEAD, 0.0), (2, back, 0.8 * cosine)):
            light, _, face = picture(scene, (place, 0, 2.2), rotation, lighting=lighting)
            seen = (face >> 3) == 1
            assert seen.sum() > 500
            assert_allclose(light[seen], np.broadcast_to(expected * scene.looks[1, :3], light[seen].shape), atol=2e-3)


def test_one_solids_look_is_its_objects():
    solids = builder_with_floor()
    for instance in (0, 0, 3, 3, 70000):
        solids.box((1, 1, 1), (0, 0, 0), class_name="box", instance_id=instance, color=(120, 130, 140))
    table = looks(solids.build())
    assert_array_equal(table[3], table[4])
    assert len(np.unique(table[1:, 4])) == 4
    key = as_word(0x10C)
    for row, element in ((1, -2), (3, 3), (5, 70000)):
        bits = int(random_bits(key, element))
        assert table[row, 4] == (bits & 0xFFFF) / 65536
        assert_allclose(table[row, :3] / srgb_to_linear((120, 130, 140)), 0.93 + 0.14 * (bits >> 16 & 0xFFFF) / 65536,
                        rtol=1e-6)  # fmt: skip


def test_a_scenes_shading_is_kept_until_something_changes():
    scene = scene_of(builder_with_floor(), lamps=[[0, 0, 3, 1, 4000, 2]])
    kept = shade_tables(scene, Lighting())
    assert shade_tables(scene, Lighting()) is kept
    brighter = shade_tables(scene, Lighting(key=0.9))
    assert brighter.light[3] > kept.light[3]
    assert brighter.shadow is kept.shadow
    assert brighter.lamps is kept.lamps
    scene.lamps = np.array([[0.0, 0, 3, 2, 4000, 2]])
    assert_allclose(shade_tables(scene, Lighting()).lamps, 2 * kept.lamps, rtol=1e-6)


def test_what_is_hidden_by_nothing_is_the_roof():
    light, _, face = picture(scene_of(builder_with_floor()), (0, 0, 1), AHEAD)
    assert (face < 0).any()
    assert np.isfinite(light).all()
    assert light[face < 0].min() > 0.05


def test_a_shiny_floor_shows_the_light_where_it_mirrors():
    builder = builder_with_floor()
    plain = scene_of(builder)
    shiny = scene_of(builder)
    shiny.looks[:, 3] = 3  # concrete
    lighting = Lighting(direction=(0, 0, -1), key=1.0, ambient=0.0)
    dull, _, _ = picture(plain, (0, 0, 3), lighting=lighting)
    light, _, _ = picture(shiny, (0, 0, 3), lighting=lighting)
    ratio = (light / dull)[..., 1]
    assert ratio[28:36, 28:36].mean() > ratio[:4, :4].mean() + 0.2
