import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from floorcast.common.primitives import BOX, CAPSULE, CYLINDER, SPHERE, TRIANGLE
from floorcast.perception.config import Lighting
from floorcast.perception.deferred import whole
from floorcast.perception.shading import light_color

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


def test_whole_numbers_are_floors():
    values = np.array([-3.0, -2.5, -0.1, 0.0, 0.9, 7.0, 1e6 + 0.5], np.float32)
    assert [whole(value) for value in values] == np.floor(values).astype(int).tolist()
